use super::copy_before_install::list;
use super::frozen_command_output::is_renewed;
use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::plan::{Plan, Step, is_remote_copy};
use crate::dockerfile::{Frontend, Kind, Run};
use crate::ecosystem::{Action, Manager};
use crate::edit::Span;
use crate::facts;
use crate::shell::{Command, Join, Word};
use crate::view::DockerfileView;
use std::collections::BTreeSet;

declare_rule! {
    /// A command fetches something that moves, and the cache keeps what it was.
    ///
    /// The text of the command stays the same when `latest` becomes another version, or a branch gets
    /// new commits: a builder that has the layer keeps the old one for ever, another builder gets
    /// the new one. Name a version, a tag or a commit; or use `ADD`, which asks the server on every
    /// build and goes by what it gives.
    ///
    /// ```dockerfile,bad
    /// FROM debian:12.9-slim
    /// RUN curl -fsSLo /bin/tool https://example.org/tool/releases/latest/download/tool && chmod +x /bin/tool
    /// ```
    ///
    /// ```dockerfile,good
    /// FROM debian:12.9-slim
    /// RUN curl -fsSLo /bin/tool https://example.org/tool/releases/download/v1.2.3/tool && chmod +x /bin/tool
    /// ```
    ///
    /// A script that is fetched and run, if it is told a version or no branch is named, and packages
    /// without a version, are an information only. Left alone is what a checksum beside it pins, a
    /// repository of which a commit is checked out, an address that a variable is a part of, and a
    /// command that a build argument gives a new key on purpose.
    ///
    /// ## Fix safety
    ///
    /// There is no fix: the version is not in the file, and a server is never asked.
    pub(crate) static MOVING_FETCH = {
        name: "moving-fetch",
        level: Level::Warning,
        fixes: false,
        check: Check::Dockerfile(check),
    }
}

/// Something that is fetched.
struct Fetch {
    /// In the text of the script.
    span: Span,
    level: Level,
    message: String,
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    if view.dockerfile.frontend == Frontend::Foreign {
        return;
    }
    for plan in view.plans() {
        for (index, step) in plan.own() {
            let Kind::Run(run) = &step.instruction.kind else { continue };
            let mut found = fetches(plan, index, run);
            // One is enough for an instruction: the worst, and the first of those.
            found.sort_by_key(|it| (std::cmp::Reverse(it.level), it.span));
            let mut found = found.into_iter();
            let Some(fetch) = found.next().filter(|_| !is_renewed(plan, index, run) && !follows_remote(plan, index)) else { continue };
            let finding = findings.report(run.command.span(fetch.span), fetch.message).level(fetch.level);
            drop(found.fold(finding, |finding, it| finding.note(run.command.span(it.span), it.message)));
        }
    }
}

/// Whether an ADD above takes what is behind an address, and nothing that a checksum pins: it is asked
/// for on every build, and gives all below it a new key when it changed.
fn follows_remote(plan: &Plan<'_>, index: usize) -> bool {
    let has_checksum = |it: &Step<'_>| it.instruction.flags.iter().any(|it| it.name == "checksum");
    plan.steps[..index].iter().any(|it| matches!(&it.instruction.kind, Kind::Copy(copy) if copy.add && is_remote_copy(copy) && !has_checksum(it)))
}

fn fetches(plan: &Plan<'_>, index: usize, run: &Run) -> Vec<Fetch> {
    let commands = &run.script.commands;
    let is_checked = commands.iter().any(is_checksum);
    let mut res = Vec::new();
    for (at, command) in commands.iter().enumerate() {
        if !is_checked {
            let shell = commands.get(at + 1).filter(|it| it.joined == Join::Pipe).is_some_and(runs_input);
            // Then the script is old, and what it installs is not.
            let told = commands[at + 1..].iter().any(is_told_version);
            res.extend(address(command, shell, told));
        }
        res.extend(clone(plan, index, command));
        res.extend(packages(run, command));
    }
    res
}

/// Whether a command compares a checksum.
fn is_checksum(command: &Command) -> bool {
    let sums = ["sha256sum", "sha512sum", "sha1sum", "sha384sum", "md5sum", "shasum", "b2sum"];
    command.program().is_some_and(|it| sums.contains(&it))
}

fn is_shell(command: &Command) -> bool {
    command.program().is_some_and(|it| matches!(it, "sh" | "bash" | "ash" | "dash" | "zsh"))
}

/// Whether a command runs what it is given on its input: a shell, or another interpreter that is given no
/// script and no text to run.
fn runs_input(command: &Command) -> bool {
    let is_interpreter = command.program().is_some_and(|it| matches!(it, "php" | "python" | "python3" | "perl" | "ruby" | "node"));
    let first = command.invocation().and_then(|it| it.arguments().first());
    is_shell(command) || (is_interpreter && first.is_none_or(|it| matches!(it.text.as_str(), "-" | "--")))
}

/// Whether a command runs a script that is told which version to install.
fn is_told_version(command: &Command) -> bool {
    let Some([program, words @ ..]) = command.invocation().map(|it| it.words) else { return false };
    let is_script = program.text.starts_with("./") || program.text.ends_with(".sh") || (is_shell(command) && words.iter().all(|it| it.text != "-c"));
    is_script && words.iter().chain(command.assignments.iter().map(|(_, it)| it)).any(|it| is_version(&it.text))
}

/// A file that is fetched by its address, by the command or in a substitution.
fn address(command: &Command, shell: bool, told: bool) -> Option<Fetch> {
    let fetches = |text: &str| ["curl ", "wget "].iter().any(|it| text.contains(it));
    let is_program = command.program().is_some_and(|it| matches!(it, "curl" | "wget"));
    let words = command.words.iter().chain(command.assignments.iter().map(|(_, it)| it));
    let addresses = words.filter(|it| is_program || (it.computed && fetches(&it.text))).flat_map(|word| urls(&word.text).map(move |it| (word, it)));
    let mut script = None;
    for (word, url) in addresses {
        let told = told && is_script(url);
        if moves(url) && !told {
            let message = "what this address gives moves on, and the cached layer keeps what it was".to_owned();
            return Some(Fetch { span: word.span, level: Level::Warning, message });
        }
        if (shell || told) && (!names_version(url) || moves(url)) {
            script = script.or(Some(word.span));
        }
    }
    let message = "the script behind this address may change, and the cached layer keeps what it did".to_owned();
    script.map(|span| Fetch { span, level: Level::Info, message })
}

/// The addresses in a word.
fn urls(text: &str) -> impl Iterator<Item = &str> {
    let ends = |it: char| it.is_whitespace() || matches!(it, '"' | '\'' | '`' | ')' | '|' | ';' | '<' | '>');
    text.match_indices("http")
        .map(move |(at, _)| text[at..].split(ends).next().unwrap_or(""))
        .filter(|it| it.starts_with("http://") || it.starts_with("https://"))
}

/// Whether an address looks like that of a script, and not of an archive.
fn is_script(url: &str) -> bool {
    url.ends_with(".sh") || !facts::name(url).contains('.')
}

/// Whether an address is one whose content is replaced: the latest release, a branch.
fn moves(url: &str) -> bool {
    let path = url.split_once("://").map_or("", |it| it.1);
    let (host, path) = path.split_once('/').unwrap_or((path, ""));
    // Lists of packages, and keys, are meant to be those of today.
    if path.ends_with(".gpg")
        || path.ends_with(".asc")
        || path.ends_with(".list")
        || path.ends_with(".repo")
        || path.ends_with(".key")
        || path.ends_with(".pem")
    {
        return false;
    }
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let parts = || path.split('/');
    // A number of a version beside it says which one: `/latest/download/tool-1.2.3`.
    if parts().any(|it| it == "latest") || parts().any(|it| is_named(it, "latest") || is_named(it, "nightly") || it == "stable.txt") {
        return !names_version(url);
    }
    let is_forge = ["github", "gitlab", "bitbucket", "codeberg", "gitea"].iter().any(|it| host.contains(it));
    let is_branch =
        |it: &str| ["main", "master", "HEAD", "develop", "trunk"].iter().any(|branch| it == *branch || it.strip_prefix(branch).is_some_and(is_archive));
    is_forge && parts().skip(2).any(is_branch) && !names_version(url)
}

/// `tool-latest.tgz`, `latest_amd64.deb`
fn is_named(part: &str, word: &str) -> bool {
    part.split(['-', '_', '.']).any(|it| it == word)
}

fn is_archive(ending: &str) -> bool {
    matches!(ending, ".zip" | ".tar.gz" | ".tgz" | ".tar.bz2" | ".tar.xz")
}

fn names_commit(path: &str) -> bool {
    path.split(['/', '-', '.']).any(|it| it.len() >= 7 && it.bytes().all(|it| it.is_ascii_hexdigit()) && it.bytes().any(|it| it.is_ascii_digit()))
}

/// Whether a version, a commit or a variable is a part of the address.
fn names_version(url: &str) -> bool {
    let path = url.split_once("://").and_then(|it| it.1.split_once('/')).map_or("", |it| it.1);
    is_version(path) || names_commit(path)
}

/// Whether a version or a variable is a part of a text.
fn is_version(text: &str) -> bool {
    let dotted = text.as_bytes().windows(3).any(|it| it[0].is_ascii_digit() && it[1] == b'.' && it[2].is_ascii_digit());
    dotted || text.contains('$')
}

/// A repository of which no commit is named.
fn clone(plan: &Plan<'_>, index: usize, command: &Command) -> Option<Fetch> {
    let words = command.invocation()?.words;
    let [git, verb, rest @ ..] = words else { return None };
    if git.literal() != Some("git") || verb.literal() != Some("clone") {
        return None;
    }
    let url = rest.iter().find(|it| ["https://", "http://", "git://", "ssh://", "git@"].iter().any(|start| it.text.starts_with(start)))?;
    // What is cloned is then chosen by whoever builds.
    if url.literal().is_none() || rest.iter().any(|it| it.text.starts_with("--revision") || it.computed) || chooses_later(plan, index) {
        return None;
    }
    let moving = |branch: &str| matches!(branch, "main" | "master" | "HEAD" | "develop" | "dev" | "trunk");
    let branch = rest.iter().enumerate().find_map(|(at, it)| match it.text.as_str() {
        "-b" | "--branch" => rest.get(at + 1).map(|it| it.text.as_str()),
        text => text.strip_prefix("--branch="),
    });
    match branch {
        Some(branch) if !moving(branch) => None,
        _ => {
            let message = "this clones the newest commit once, and the cached layer keeps that one".to_owned();
            Some(Fetch { span: command.span, level: Level::Warning, message })
        }
    }
}

/// Whether a command of this instruction, or of a later one of the stage, checks out a commit.
fn chooses_later(plan: &Plan<'_>, index: usize) -> bool {
    let chooses = |it: &Command| it.words.iter().any(|it| matches!(it.text.as_str(), "checkout" | "reset" | "switch" | "fetch" | "pull"));
    let in_text = |run: &Run| ["checkout", "reset --hard"].iter().any(|it| run.command.text.contains(it));
    plan.own().filter(|(later, _)| *later >= index).any(|(_, it)| match &it.instruction.kind {
        Kind::Run(run) => in_text(run) || run.script.commands.iter().any(|it| it.program() == Some("git") && chooses(it)),
        _ => false,
    })
}

/// Packages that the command line names without a version.
fn packages(run: &Run, command: &Command) -> Option<Fetch> {
    match command.program() {
        Some("go") => return go_packages(command),
        Some("cargo") => return crates(command),
        Some("pecl") => return extensions(command),
        Some("composer" | "composer.phar") => return php_packages(command),
        _ => {}
    }
    let step = run.reading.steps.iter().find(|it| it.span == command.span).filter(|it| it.action == Action::InstallNamed)?;
    let is_loose: fn(&str) -> bool = match step.manager {
        Manager::Npm | Manager::Yarn | Manager::Pnpm | Manager::Bun => is_loose_node_package,
        Manager::Pip => is_loose_python_package,
        _ => return None,
    };
    // A list of constraints pins them.
    let constrained = command.words.iter().any(|it| matches!(it.text.as_str(), "-c" | "--constraint" | "-r" | "uninstall" | "--require-hashes"));
    // A word behind a long flag that is not known may be its value.
    let unknown: BTreeSet<Span> = step.unknown.iter().map(|it| it.0).collect();
    let takes_next = |it: &Word| unknown.contains(&it.span) && it.text.starts_with("--") && !it.text.contains('=');
    let values: BTreeSet<Span> = command.words.windows(2).filter(|it| takes_next(&it[0])).map(|it| it[1].span).collect();
    let operands = step.operands.iter().filter(|it| !values.contains(&it.span));
    let loose: Vec<&str> = operands.filter_map(Word::literal).filter(|it| is_loose(it)).collect();
    if loose.is_empty() || constrained || step.operands.iter().any(|it| it.computed) {
        return None;
    }
    Some(newest(command, &step.display, &loose))
}

fn newest(command: &Command, display: &str, loose: &[&str]) -> Fetch {
    let message = format!("`{display}` takes the newest {} once, and the cached layer keeps what it took", list(loose));
    Fetch { span: command.span, level: Level::Info, message }
}

/// The words behind the verb of a command that are no flags, if all of them mean what they say.
fn plain_operands<'c>(words: &'c [Word], valued: &[&str]) -> Option<Vec<&'c str>> {
    let mut res = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.literal()? {
            flag if flag.starts_with('-') => {
                if valued.contains(&flag) {
                    words.next();
                }
            }
            operand => res.push(operand),
        }
    }
    Some(res)
}

/// `cargo install` of packages without a version, or of a repository without a commit. `--locked` pins
/// what they depend on, which is the most of it.
fn crates(command: &Command) -> Option<Fetch> {
    let words = command.invocation()?.arguments();
    let (verb, words) = match words {
        // `cargo +nightly install`
        [toolchain, verb, words @ ..] if toolchain.text.starts_with('+') => (verb, words),
        [verb, words @ ..] => (verb, words),
        [] => return None,
    };
    let has = |flags: &[&str]| words.iter().any(|it| flags.contains(&it.text.split('=').next().unwrap_or("")));
    if verb.literal() != Some("install") || has(&["--path", "--version", "--vers", "--rev", "--tag", "--list"]) {
        return None;
    }
    if has(&["--git"]) {
        let message = "`cargo install` takes the newest commit once, and the cached layer keeps that one".to_owned();
        return (!has(&["--branch"])).then_some(Fetch { span: command.span, level: Level::Info, message });
    }
    let loose: Vec<&str> = plain_operands(words, VALUED_OF_CARGO)?.into_iter().filter(|it| !it.contains(['@', '/', '.'])).collect();
    (!loose.is_empty() && !has(&["--locked", "--frozen", "--offline"])).then(|| newest(command, "cargo install", &loose))
}

/// Flags of `cargo install` that the next word belongs to (<https://doc.rust-lang.org/cargo/commands/cargo-install.html>).
const VALUED_OF_CARGO: &[&str] = &[
    "-j",
    "--jobs",
    "--profile",
    "-F",
    "--features",
    "--target",
    "--target-dir",
    "--color",
    "--config",
    "--bin",
    "--example",
    "--index",
    "--registry",
    "--root",
    "-Z",
    "-C",
];

/// `pecl install` of extensions without a version: `name-1.2.3` has one, `name-beta` a channel.
fn extensions(command: &Command) -> Option<Fetch> {
    let [verb, words @ ..] = command.invocation()?.arguments() else { return None };
    if verb.literal() != Some("install") {
        return None;
    }
    let names_version = |it: &str| it.rsplit_once('-').is_some_and(|it| it.1.starts_with(|it: char| it.is_ascii_digit()));
    // Options of an extension are `name="value"`, whatever flags stand before them.
    let is_name = |it: &str| it.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-".contains(&it));
    let loose: Vec<&str> = plain_operands(words, &[])?.into_iter().filter(|it| is_name(it) && !names_version(it)).collect();
    (!loose.is_empty()).then(|| newest(command, "pecl install", &loose))
}

/// `composer require` of packages without a version: `vendor/name:^1.2` has one, or the next word is one.
fn php_packages(command: &Command) -> Option<Fetch> {
    let operands = plain_operands(command.invocation()?.arguments(), &["-d", "--working-dir", "--ignore-platform-req"])?;
    let (display, packages) = match operands.as_slice() {
        ["global", "require" | "req", packages @ ..] => ("composer global require", packages),
        ["require" | "req", packages @ ..] => ("composer require", packages),
        _ => return None,
    };
    let is_package = |it: &str| it.matches('/').count() == 1 && !it.starts_with(['.', '/']);
    let is_loose = |(at, it): (usize, &&str)| {
        let told = packages.get(at + 1).is_some_and(|next| !next.contains('/'));
        is_package(it) && !it.contains([':', '=', ' ', '@']) && !told
    };
    let loose: Vec<&str> = packages.iter().enumerate().filter(|it| is_loose(*it)).map(|(_, it)| *it).collect();
    (!loose.is_empty()).then(|| newest(command, display, &loose))
}

fn go_packages(command: &Command) -> Option<Fetch> {
    let words = command.invocation()?.arguments();
    let installs = words.first().is_some_and(|it| matches!(it.text.as_str(), "install" | "get"));
    let loose = words.iter().filter_map(Word::literal).find(|it| ["@latest", "@master", "@main"].iter().any(|end| it.ends_with(end)))?;
    let message = format!("`{loose}` moves on, and the cached layer keeps what it was");
    installs.then_some(Fetch { span: command.span, level: Level::Info, message })
}

fn is_loose_node_package(package: &str) -> bool {
    let is_registry = !package.contains([':', '\\']) && !package.starts_with(['.', '/', '~', '-']) && !package.ends_with(".tgz");
    // The first `@` is that of a scope.
    match package.get(1..).and_then(|it| it.split_once('@')) {
        Some((_, version)) => is_registry && (version == "*" || is_channel(version)),
        None => is_registry && package.matches('/').count() <= usize::from(package.starts_with('@')),
    }
}

/// Whether what stands behind the `@` of a package of Node is a name that moves from version to version, as
/// `latest` and `beta` do, and no version itself: no range begins with another letter than `v` and `x`.
fn is_channel(version: &str) -> bool {
    let is_number = |it: &str| it.starts_with(|it: char| it.is_ascii_digit());
    let is_range = version.strip_prefix('v').is_some_and(is_number) || version.eq_ignore_ascii_case("x") || version.to_ascii_lowercase().starts_with("x.");
    version.starts_with(|it: char| it.is_ascii_alphabetic()) && !is_range && !version.contains(['/', ' '])
}

fn is_loose_python_package(package: &str) -> bool {
    // Tools that everybody brings up to date.
    let is_tool = matches!(package, "pip" | "setuptools" | "wheel");
    !is_tool && !package.contains(['=', '@', '/', '<', '~', '>', '!']) && !package.starts_with(['.', '-']) && !package.ends_with(".whl")
}

#[cfg(test)]
mod tests {
    use super::MOVING_FETCH as RULE;
    use crate::rules::testing::check;

    const ADDRESS: &str = "warning: what this address gives moves on, and the cached layer keeps what it was";
    const CLONE: &str = "warning: this clones the newest commit once, and the cached layer keeps that one";

    /// A stage with one command, of which the part is found.
    fn found(command: &str, part: &str, message: &str) {
        let at = command.find(part).unwrap();
        check(&RULE, &format!("FROM debian:12.9\nRUN {command}\n{}{} {message}\n", " ".repeat(4 + at), "^".repeat(part.len())));
    }

    fn silent(lines: &str) {
        check(&RULE, &format!("FROM debian:12.9\n{lines}\n"));
    }

    #[test]
    fn the_latest_release_moves() {
        found("curl -L https://github.com/a/b/releases/latest/download/c -o /c", "https://github.com/a/b/releases/latest/download/c", ADDRESS);
        found("wget https://example.org/tool-latest.tgz", "https://example.org/tool-latest.tgz", ADDRESS);
        found(
            "V=\"$(curl -s https://api.github.com/repos/a/b/releases/latest | jq -r .tag_name)\" && echo $V",
            "\"$(curl -s https://api.github.com/repos/a/b/releases/latest | jq -r .tag_name)\"",
            ADDRESS,
        );
    }

    #[test]
    fn a_branch_moves() {
        found("curl -O https://raw.githubusercontent.com/a/b/master/install.sh", "https://raw.githubusercontent.com/a/b/master/install.sh", ADDRESS);
        found("wget https://github.com/a/b/archive/main.tar.gz", "https://github.com/a/b/archive/main.tar.gz", ADDRESS);
        found("git clone --depth 1 https://example.org/a.git /a && make -C /a", "git clone --depth 1 https://example.org/a.git /a", CLONE);
        found("git clone -b master https://example.org/a.git", "git clone -b master https://example.org/a.git", CLONE);
    }

    #[test]
    fn a_script_and_packages_are_an_information() {
        found(
            "curl https://example.org/install | sh",
            "https://example.org/install",
            "info: the script behind this address may change, and the cached layer keeps what it did",
        );
        found(
            "npm install -g typescript eslint@9.0.0",
            "npm install -g typescript eslint@9.0.0",
            "info: `npm install` takes the newest `typescript` once, and the cached layer keeps what it took",
        );
        found(
            "pip install --no-cache-dir flask gunicorn",
            "pip install --no-cache-dir flask gunicorn",
            "info: `pip install` takes the newest `flask` and `gunicorn` once, and the cached layer keeps what it took",
        );
        found(
            "go install example.org/a@latest",
            "go install example.org/a@latest",
            "info: `example.org/a@latest` moves on, and the cached layer keeps what it was",
        );
    }

    #[test]
    fn packages_of_other_languages_are_an_information() {
        let newest = |command: &str, package: &str| format!("info: `{command}` takes the newest `{package}` once, and the cached layer keeps what it took");
        for (text, command, package) in [
            ("pecl install -f xdebug", "pecl install", "xdebug"),
            ("pecl install redis-6.1.0 apcu-beta", "pecl install", "apcu-beta"),
            ("cargo install sqlx-cli --no-default-features --features postgres", "cargo install", "sqlx-cli"),
            ("cargo +nightly install a@1.2.3 wasm-pack", "cargo install", "wasm-pack"),
            ("bun install --global tool@dev", "bun install", "tool@dev"),
            ("npm install -g @scope/tool@beta npm@10.9.0", "npm install", "@scope/tool@beta"),
            ("npm install -D tool", "npm install", "tool"),
            ("npm install --save-dev tool", "npm install", "tool"),
            ("yarn add --dev tool", "yarn add", "tool"),
            ("pip install --new-option=value tool", "pip install", "tool"),
            ("composer require --no-interaction vendor/tool", "composer require", "vendor/tool"),
            ("composer global require vendor/a:^1.0 vendor/b", "composer global require", "vendor/b"),
        ] {
            found(text, text, &newest(command, package));
        }
        let git = "cargo install --git https://example.org/a.git";
        found(git, git, "info: `cargo install` takes the newest commit once, and the cached layer keeps that one");
    }

    #[test]
    fn packages_of_other_languages_with_a_version_are_silent() {
        for command in [
            "pecl install xdebug-3.4.0 redis-6.1.0RC2",
            "pecl install -oD 'enable-redis-zstd=\"yes\"' redis-6.3.0",
            "pecl install ./ext/package.xml",
            "pecl install $EXTENSIONS",
            "pecl channel-update pecl.php.net",
            "cargo install sqlx-cli --version 0.8.2",
            "cargo install --vers=0.8.2 sqlx-cli",
            "cargo install sqlx-cli@0.8.2",
            "cargo install --locked cargo-chef",
            "cargo install --path .",
            "cargo install --path=crates/a --root /out",
            "cargo install --git https://example.org/a.git --rev 24454f8",
            "cargo install --git https://example.org/a.git --tag v1.2.3 a",
            "cargo install $TOOLS",
            "rustup component add clippy",
            "bun install --global tool@1.2.3 other@v2 third@x",
            "npm install -g tool@npm:other@1.0.0 a@user/repo",
            "composer require vendor/tool:^1.2",
            "composer require vendor/tool 1.2.*",
            "composer require vendor/tool=1.2 ext-json",
            "composer require $PACKAGES",
            "composer install",
        ] {
            silent(&format!("RUN {command}"));
        }
    }

    #[test]
    fn an_interpreter_runs_what_it_is_given_as_a_shell_does() {
        let script = "info: the script behind this address may change, and the cached layer keeps what it did";
        let address = "https://example.org/installer";
        found(&format!("curl -sS {address} | php -- --install-dir=/usr/local/bin"), address, script);
        found(&format!("curl -sSL {address} | python3 -"), address, script);
        found(&format!("curl -sSL {address} | POETRY_VERSION=1.8.3 python"), address, script);
        for reader in ["python3 -m json.tool", "php -r 'echo 1;'", "perl -pe s/a/b/", "node filter.js", "ruby -e 'puts 1'"] {
            silent(&format!("RUN curl -sSL {address} | {reader}"));
        }
    }

    #[test]
    fn several_in_one_instruction_are_one_finding() {
        check(
            &RULE,
            "
FROM debian:12.9
RUN npm install -g typescript && \\
    ^^^^^^^^^^^^^^^^^^^^^^^^^ note: `npm install` takes the newest `typescript` once, and the cached layer keeps what it took
    git clone https://example.org/a.git && \\
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: this clones the newest commit once, and the cached layer keeps that one
    git clone https://example.org/b.git
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: this clones the newest commit once, and the cached layer keeps that one
",
        );
    }

    #[test]
    fn a_script_that_is_told_the_version_is_an_information() {
        let script = "info: the script behind this address may change, and the cached layer keeps what it did";
        let address = "https://raw.githubusercontent.com/a/b/main/install.sh";
        found(&format!("curl -sSfL {address} | sh -s -- -b /usr/local/bin v3.97.0"), address, script);
        found(&format!("curl -s {address} | TAG=v5.9.0 bash"), address, script);
        found(&format!("curl -fsSLo get.sh {address} && chmod +x get.sh && ./get.sh --version v3.2.1"), address, script);
        found(&format!("curl -s {address} | bash"), address, ADDRESS);
    }

    #[test]
    fn what_names_a_version_is_silent() {
        for command in [
            "curl -LO https://github.com/a/b/releases/download/v1.2.3/c",
            "curl -LO https://github.com/a/b/releases/download/v${VERSION}/c",
            "curl https://example.org/v1.2/install | sh",
            "curl -O https://raw.githubusercontent.com/a/b/24454f830cdb571e2c4ad15481119c43b3cafd48/main/x",
            "wget https://deb.debian.org/debian/pool/main/o/openssl/libssl_1.1.deb",
            "curl -O https://github.com/a/bin/raw/main/tool-$VERSION",
            "curl -O https://raw.githubusercontent.com/a/b/main/tool-1.2.3.js",
            "git clone -b v1.2 https://example.org/a.git",
            "git clone --branch=$TAG https://example.org/a.git",
            "git clone https://example.org/a.git && cd a && git checkout 24454f8",
            "git clone $URL",
            "npm install -g typescript@5.4 @scope/x@1",
            "npm install ./a ../b",
            "npm ci --noproxy registry.npmjs.org --maxsockets 1",
            "npm ci --new-option value",
            "npm install -g --https-proxy proxy.example.org typescript@5.4",
            "npm install -g --new-option value typescript@5.4",
            "pip install flask==3.0 'x>=1' -c constraints.txt",
            "pip install --upgrade pip setuptools wheel",
            "go install example.org/a@v1.2.3",
        ] {
            silent(&format!("RUN {command}"));
        }
    }

    #[test]
    fn a_checksum_pins_what_moves() {
        silent("RUN curl -LO https://example.org/latest/c && echo '24454f830cdb571e  c' | sha256sum -c -");
    }

    #[test]
    fn keys_and_lists_of_packages_are_those_of_today() {
        silent("RUN curl -fsSL https://example.org/latest/key.gpg | gpg --dearmor > /k && curl https://example.org/latest/x.list > /l");
    }

    #[test]
    fn a_later_command_may_choose_the_commit() {
        silent("RUN git clone https://example.org/a.git /a\nWORKDIR /a\nRUN git checkout v1.2");
    }

    #[test]
    fn a_key_that_is_renewed_on_purpose_is_silent() {
        silent("ARG CACHEBUST=1\nRUN git clone https://example.org/a.git");
        silent("ADD https://example.org/api/refs/heads/main /tmp/head\nRUN git clone https://example.org/a.git");
        silent("ARG REF\nRUN git clone https://example.org/a.git && ./use $REF");
    }

    #[test]
    fn other_commands_may_name_addresses() {
        silent(
            "RUN echo 'deb https://example.org/latest /' > /etc/apt/sources.list\nENV URL=https://example.org/latest/a\nADD https://example.org/latest/a /a",
        );
    }
}
