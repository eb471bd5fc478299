//! Bundler and RubyGems.
//!
//! Facts: docs/facts.md B.8; <https://bundler.io/man/bundle-install.1.html>,
//! <https://bundler.io/man/gemfile.5.html>.

use super::arguments::{Flags, Means, Tool, Verb, frozen, switch, valued, verb};
use super::manifest::{Collector, locate_text};
use super::{Action, Manager, Obstacle, Role, application_root};
use crate::edit::Span;
use crate::effects::Place;
use crate::facts::{is_below, join};

const NONE: &[Flags] = &[];

const BUNDLE: &[Flags] = &[
    switch("--frozen", Means::Frozen),
    switch("--deployment", Means::Deployment),
    switch(
        "--quiet -q --verbose --no-cache --no-prune --force --redownload --prefer-local --full-index --standalone --clean --no-color --local",
        Means::Nothing,
    ),
    valued("-j --jobs --retry -r --without --with --trust-policy", Means::Nothing),
    valued("--path --binstubs --shebang", Means::Path(Role::Output)),
    valued("--gemfile", Means::Path(Role::File)),
];

const BUNDLE_VERBS: &[Verb] = &[
    verb("install", Action::InstallDependencies, NONE),
    frozen("config|config set|config unset|config list", Action::Other, &[switch("--global", Means::Global), switch("--local", Means::Nothing)]),
    verb("update|lock|add|remove", Action::InstallNamed, NONE),
    frozen("clean", Action::Clean, NONE),
];

const GEM_VERBS: &[Verb] = &[
    frozen("install|update|uninstall", Action::InstallNamed, NONE),
    frozen("sources", Action::Other, &[valued("-a --add -r --remove", Means::Nothing)]),
    frozen("cleanup", Action::Clean, NONE),
];

/// Commands of Bundler and RubyGems.
pub(super) const TOOLS: &[Tool] = &[
    Tool { manager: Manager::Bundler, programs: "bundle bundler", verbs: BUNDLE_VERBS, flags: BUNDLE, default: Some("install"), otherwise: Action::Build },
    Tool {
        manager: Manager::Bundler,
        programs: "gem",
        verbs: GEM_VERBS,
        flags: &[
            switch("-N --no-document --no-doc --no-ri --no-rdoc --conservative --force -f --system --quiet -q --silent --pre", Means::Nothing),
            valued("-v --version --source --platform", Means::Nothing),
            valued("-i --install-dir -n --bindir", Means::Path(Role::Output)),
        ],
        default: None,
        otherwise: Action::Other,
    },
];

/// Variables of Bundler that name no file that is read.
const KNOWN_VARIABLES: &[&str] = &[
    "BUNDLE_DEPLOYMENT",
    "BUNDLE_FROZEN",
    "BUNDLE_WITHOUT",
    "BUNDLE_WITH",
    "BUNDLE_PATH",
    "BUNDLE_JOBS",
    "BUNDLE_RETRY",
    "BUNDLE_SILENCE_ROOT_WARNING",
    "BUNDLE_BIN",
    "BUNDLE_APP_CONFIG",
    "BUNDLE_CACHE_PATH",
    "BUNDLE_USER_CACHE",
    "BUNDLE_USER_HOME",
    "BUNDLE_GLOBAL_GEM_CACHE",
    "BUNDLE_FORCE_RUBY_PLATFORM",
    "BUNDLE_CLEAN",
    "BUNDLE_NO_CACHE",
    "BUNDLE_IGNORE_MESSAGES",
    "BUNDLE_VERSION",
    "BUNDLE_BUILD__SASSC",
    "BUNDLE_TIMEOUT",
];

pub(super) fn footprint(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let step = collector.step;
    collector.check_variables(&["BUNDLE_"], KNOWN_VARIABLES)?;
    collector.touches_outside();
    install_folders(collector)?;
    let is_gem = step.display.starts_with("gem");
    match step.action {
        Action::Other if !is_gem => {
            collector.writes(Place::File(join(collector.folder, ".bundle/config")));
            Ok(())
        }
        Action::InstallDependencies => bundle(collector),
        Action::InstallNamed if is_gem => gem(collector),
        Action::InstallNamed => Err(collector.obstacle(format!("`{}` rewrites the lockfile", step.display))),
        _ => Ok(()),
    }
}

fn install_folders(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let step = collector.step;
    let folder = collector.folder;
    for path in step.paths.iter().filter(|it| it.role == Role::Output) {
        collector.writes(Place::tree(join(folder, &path.path)));
        // Old forms of these settings are remembered.
        collector.writes(Place::File(join(folder, ".bundle/config")));
    }
    let is_install = step.action == Action::InstallDependencies;
    let deployed = is_install && (step.has(Means::Deployment) || collector.is_on("BUNDLE_DEPLOYMENT") || step.frozen);
    if deployed {
        collector.writes(Place::tree(join(folder, "vendor/bundle")));
        collector.writes(Place::File(join(folder, ".bundle/config")));
    }
    for name in ["BUNDLE_PATH", "BUNDLE_BIN", "BUNDLE_APP_CONFIG", "GEM_HOME"] {
        match collector.variable(name) {
            Some(None) => return Err(collector.obstacle(format!("the value of `{name}` is not known"))),
            Some(Some(value)) => {
                let path = join(folder, value);
                if application_root(folder).is_some_and(|it| is_below(&path, it)) {
                    collector.writes(Place::tree(path));
                }
            }
            None => {}
        }
    }
    Ok(())
}

fn gem(collector: &Collector<'_>) -> Result<(), Obstacle> {
    let is_file = |text: &str| text.ends_with(".gem") || text.starts_with(['.', '/', '$', '~']);
    match collector.step.operands.iter().find(|it| it.computed || is_file(&it.text)) {
        Some(word) => Err(Obstacle::in_script(word.span, format!("`{}` may name a file", word.text))),
        None if collector.step.operands.is_empty() => Err(collector.obstacle("`gem install` reads the `Gemfile`")),
        None => Ok(()),
    }
}

fn bundle(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let step = collector.step;
    let folder = collector.folder;
    if let Some(path) = step.paths.iter().find(|it| it.role == Role::File) {
        return Err(Obstacle::in_script(path.span, format!("`{}` is not followed", path.path)));
    }
    let path = join(folder, "Gemfile");
    let text = collector.require(&path)?;
    gemfile(collector, &path, &text)?;
    collector.exists(&join(folder, ".ruby-version"))?;
    remembered_settings(collector)?;
    collector.tree(&join(folder, "vendor/cache"))?;
    lockfile(collector)
}

/// `.bundle/config` holds settings by the names of their variables.
fn remembered_settings(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let path = join(collector.folder, ".bundle/config");
    let Some(text) = collector.optional(&path)? else { return Ok(()) };
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        if key == "BUNDLE_PATH" {
            collector.writes(Place::tree(join(collector.folder, value.trim().trim_matches('"'))));
        } else if !KNOWN_VARIABLES.contains(&key) {
            return Err(Obstacle::in_file(&path, locate_text(&text, key), format!("what `{key}` of `.bundle/config` does is not known")));
        }
    }
    Ok(())
}

fn lockfile(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let step = collector.step;
    let path = join(collector.folder, "Gemfile.lock");
    let Some(text) = collector.optional(&path)? else {
        collector.writes(Place::File(path));
        return Ok(());
    };
    if text.lines().any(|it| it == "PATH") {
        return Err(Obstacle::in_file(&path, locate_text(&text, "PATH"), "`Gemfile.lock` takes a gem from a folder"));
    }
    let is_frozen = step.frozen || step.has(Means::Deployment) || collector.is_on("BUNDLE_DEPLOYMENT") || collector.is_on("BUNDLE_FROZEN");
    if !is_frozen {
        return Err(collector.obstacle(format!("`{}` may rewrite `Gemfile.lock`", step.display)));
    }
    Ok(())
}

/// A `Gemfile` is a program. Only lines of the usual forms are understood.
fn gemfile(collector: &mut Collector<'_>, path: &str, text: &str) -> Result<(), Obstacle> {
    let mut at = 0;
    let mut refused = Ok(());
    for line in text.split_inclusive('\n') {
        let content = line.trim();
        let span = Span::new(at + (line.len() - line.trim_start().len()), at + line.trim_end().len());
        at += line.len();
        let obstacle = |reason: String| Obstacle::in_file(path, Some(span), reason);
        // Gems in folders of the project count more than code above them that is not followed.
        if let Some(what) = gems_of_project(content) {
            return Err(obstacle(format!("`{what}` in the `Gemfile` takes sources")).for_sources());
        }
        if refused.is_ok() {
            refused = gemfile_line(collector, content).map_err(obstacle);
        }
    }
    refused
}

/// What makes a line of a `Gemfile` take a gem from a folder.
fn gems_of_project(line: &str) -> Option<&'static str> {
    let option = || ["path:", ":path"].into_iter().find(|it| mentions(line, it));
    ["path", "gemspec"].into_iter().find(|it| *it == first_word(line)).or_else(option)
}

fn first_word(line: &str) -> &str {
    let end = line.find(|it: char| !it.is_ascii_alphanumeric() && it != '_').unwrap_or(line.len());
    &line[..end]
}

fn gemfile_line(collector: &mut Collector<'_>, line: &str) -> Result<(), String> {
    let word = first_word(line);
    let word_end = word.len();
    if let Some(what) = ["eval_gemfile", "require_relative"].into_iter().find(|it| *it == word) {
        return Err(format!("`{what}` in the `Gemfile` takes sources"));
    }
    for name in environment_names(line) {
        collector.reads_variable(name);
    }
    match word {
        "" if line.is_empty() || line.starts_with('#') => Ok(()),
        "ruby" => ruby_version(collector, line),
        "gem" | "source" | "group" | "platforms" | "platform" | "end" | "git_source" | "install_if" | "git" | "github" if !calls_code(line) => Ok(()),
        // The rest of a call that takes several lines.
        _ if line.starts_with(['"', '\'', ':', '[', ']', '}', ')', '%']) && !calls_code(line) => Ok(()),
        "require" | "branch" | "ref" | "tag" | "group" | "groups" if line[word_end..].starts_with(':') && !calls_code(line) => Ok(()),
        _ => Err("the `Gemfile` has code that is not followed".to_owned()),
    }
}

fn mentions(line: &str, what: &str) -> bool {
    !line.starts_with('#') && line.match_indices(what).any(|(at, _)| !line[..at].ends_with(|it: char| it.is_ascii_alphanumeric() || it == '_'))
}

fn calls_code(line: &str) -> bool {
    ["File.", "Dir", "IO.", "`", "%x", "system(", "eval", "load", "require_", "__dir__", "__FILE__"].iter().any(|it| mentions(line, it))
}

/// `ruby file: ".ruby-version"` reads the file beside the `Gemfile`.
fn ruby_version(collector: &mut Collector<'_>, line: &str) -> Result<(), String> {
    for name in [".ruby-version", ".tool-versions"] {
        if line.contains(name) {
            return collector.exists(&join(collector.folder, name)).map(drop).map_err(|it| it.reason);
        }
    }
    if calls_code(line) || line.contains("file:") { Err("the `Gemfile` reads a file for the version of Ruby".to_owned()) } else { Ok(()) }
}

/// Names in `ENV["NAME"]` and `ENV.fetch("NAME")`.
fn environment_names(line: &str) -> Vec<String> {
    let behind = line.split("ENV").skip(1);
    behind.filter_map(|it| it.split(['"', '\'']).nth(1)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use crate::ecosystem::tests::{footprint_in, footprint_of, refusal};

    const GEMFILE: (&str, &str) =
        ("Gemfile", "source \"https://rubygems.org\"\nruby \"3.3.0\"\n\ngem \"rails\", \"~> 7\"\ngroup :test do\n  gem \"x\", require: false\nend\n");
    const LOCK: (&str, &str) = ("Gemfile.lock", "GEM\n  remote: https://rubygems.org/\n");

    #[test]
    fn bundle_install_needs_to_be_frozen() {
        assert_eq!(footprint_in("bundle install", &[GEMFILE, LOCK], &[("BUNDLE_FROZEN", "true")]), "needs Gemfile Gemfile.lock; writes nothing");
        assert_eq!(footprint_of("bundle config frozen 1; bundle", &[GEMFILE, LOCK]), "needs Gemfile Gemfile.lock; writes .bundle/config vendor/bundle/");
        assert_eq!(
            footprint_in("bundle install --jobs 4", &[GEMFILE, LOCK], &[("BUNDLE_DEPLOYMENT", "1"), ("BUNDLE_PATH", "/usr/local/bundle")]),
            "needs Gemfile Gemfile.lock; writes .bundle/config vendor/bundle/"
        );
        assert_eq!(
            footprint_of("bundle config set --local deployment true && bundle install && rm -rf ~/.bundle", &[GEMFILE, LOCK]),
            "needs Gemfile Gemfile.lock; writes .bundle/config vendor/bundle/"
        );
        assert_eq!(refusal("bundle install", &[GEMFILE, LOCK]), "`bundle install` may rewrite `Gemfile.lock`");
        assert_eq!(refusal("bundle", &[GEMFILE, LOCK]), "`bundle install` may rewrite `Gemfile.lock`");
        assert!(refusal("bundle config set without development && bundle install", &[GEMFILE, LOCK]).contains("may rewrite"));
        assert_eq!(footprint_of("bundle install", &[GEMFILE]), "needs Gemfile; writes Gemfile.lock");
    }

    #[test]
    fn remembered_settings_are_carried() {
        let config = (".bundle/config", "---\nBUNDLE_PATH: \"gems\"\nBUNDLE_WITHOUT: \"test\"\n");
        assert_eq!(
            footprint_of("bundle install --frozen", &[GEMFILE, LOCK, config]),
            "needs .bundle/config Gemfile Gemfile.lock; writes .bundle/config gems/ vendor/bundle/"
        );
        assert!(refusal("bundle install --frozen", &[GEMFILE, LOCK, (".bundle/config", "BUNDLE_LOCAL__X: \"../x\"")]).contains("BUNDLE_LOCAL__X"));
    }

    #[test]
    fn the_version_of_ruby_is_carried() {
        let gemfile = ("Gemfile", "ruby file: \".ruby-version\"\n");
        assert!(footprint_of("bundle install --frozen", &[gemfile, LOCK, (".ruby-version", "3.3")]).starts_with("needs .ruby-version Gemfile"));
        assert!(refusal("bundle install --frozen", &[("Gemfile", "ruby File.read(\"x\")\n"), LOCK]).contains("version of Ruby"));
    }

    #[test]
    fn a_gem_on_disk_or_code_stands_in_the_way() {
        for line in [
            "gem \"x\", path: \"../x\"",
            "gem 'x', :path => 'x'",
            "gemspec",
            "path \"x\" do",
            "eval_gemfile \"x\"",
            "require_relative \"x\"",
            "Dir[\"*\"].each do |x|",
            "gem File.read(\"x\")",
            "plugin \"x\"",
            "if x?",
        ] {
            let text = format!("source \"x\"\n{line}\n");
            let reason = refusal("bundle install --frozen", &[("Gemfile", &text), LOCK]);
            assert!(reason.starts_with(&format!("Gemfile:{line}")), "{reason}");
        }
        for line in [
            "# gemspec",
            "gem \"gemspec_x\"",
            "gem \"x\", git: \"https://x\", branch: \"y\"",
            "git_source(:github) { |repo| \"https://x/#{repo}.git\" }",
            "platforms :mri do",
            "gem \"x\", ENV[\"Y\"]",
        ] {
            let text = format!("source \"x\"\n{line}\n");
            assert!(footprint_of("bundle install --frozen", &[("Gemfile", &text), LOCK]).starts_with("needs"), "{line}");
        }
        assert!(refusal("bundle install --frozen", &[GEMFILE, ("Gemfile.lock", "PATH\n  remote: .\n")]).contains("from a folder"));
    }

    #[test]
    fn gems_are_installed_by_name() {
        assert_eq!(footprint_of("gem install bundler:2.5.0 --no-document", &[GEMFILE]), "needs nothing; writes nothing");
        assert!(refusal("gem install x.gem", &[]).contains("may name a file"));
        assert!(refusal("bundle exec rake", &[GEMFILE]).contains("may read or write anything"));
        assert!(refusal("bundle update", &[GEMFILE, LOCK]).contains("rewrites"));
    }
}
