use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::key::PACKAGES;
use crate::dockerfile::moves::Move;
use crate::dockerfile::plan::{Plan, Step, has_word};
use crate::dockerfile::{Kind, Run, clean_source};
use crate::ecosystem::{self, Action, Manager};
use crate::facts;
use crate::shell::{self, Command};
use crate::view::DockerfileView;
use crate::volatility::Volatility;
use std::collections::{BTreeMap, BTreeSet};

declare_rule! {
    /// Dependencies are installed after the sources are copied.
    ///
    /// Any change to any copied file gives the copy a new cache key, and every later
    /// instruction runs again. Manifests and lockfiles change far less often than
    /// source code: copy them first, install, then copy the rest.
    ///
    /// ```dockerfile,bad
    /// #- .dockerignore
    /// node_modules
    /// #- package.json
    /// {"name": "app"}
    /// #- package-lock.json
    /// {"lockfileVersion": 3}
    /// #- Dockerfile
    /// FROM node:22.11-slim
    /// WORKDIR /app
    /// COPY . .
    /// RUN npm ci
    /// ```
    ///
    /// ```dockerfile,fixed
    /// FROM node:22.11-slim
    /// WORKDIR /app
    /// COPY package.json package-lock.json ./
    /// RUN npm ci
    /// COPY . .
    /// ```
    ///
    /// An install that needs the sources is left alone: `pip install .`, a `package.json` with
    /// scripts that npm runs, dependencies in folders of the project, a second install of the project
    /// itself behind one of its dependencies, here or in a stage that they are copied from. So is a
    /// copy of tools that the same command runs, a project that the same command fetches, a manifest that a command makes of
    /// the copied sources (`go mod init`), and an install
    /// behind a condition that the default of a build argument does not meet.
    ///
    /// An install of tools by their names needs nothing of the project. It is named where it is proven that it
    /// can stand above the copy; to bring `pip` or `npm` up to date, and below a copy of single files, it is
    /// an information only.
    ///
    /// ```dockerfile,good
    /// #- pyproject.toml
    /// [project]
    /// name = "app"
    /// version = "1"
    /// #- Dockerfile
    /// FROM python:3.13-slim
    /// WORKDIR /app
    /// COPY . .
    /// RUN pip install .
    /// ```
    ///
    /// ## Fix safety
    ///
    /// The fix is offered only if it is proven that the image stays the same: every file that
    /// the install reads is known and copied before it, the ignore file keeps what the install
    /// writes out of the context, and nothing between the two instructions conflicts with the
    /// install. Otherwise a note says what stands in the way.
    pub(crate) static COPY_BEFORE_INSTALL = {
        name: "copy-before-install",
        level: Level::Warning,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

/// For more installs of tools than this no proof is tried.
const MAX_TRIED: usize = 30;

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    let mut tried = 0;
    // One finding for each copy, however many stages and installs it stands before.
    let mut causes: BTreeMap<usize, Cause> = BTreeMap::new();
    for plan in view.plans() {
        for (index, step) in plan.own() {
            let dependencies = step.dependency_install();
            let Some(install) = dependencies.or_else(|| named_install(step)) else { continue };
            let Some(copy) = culprit(plan, index, install) else { continue };
            let mut proven = None;
            let is_meant = match dependencies {
                Some(_) => {
                    plan.fetches_project(index, install)
                        || is_installed(&plan.steps[..copy], install.manager)
                        || is_copied(view, plan, index, install)
                        || makes_manifest(plan, copy, index, install.manager)
                        || plan.is_off_by_default(index, install)
                }
                // Only a proof shows that it needs none of it.
                None if plan.steps[copy].stage != plan.stage || tried == MAX_TRIED => true,
                None => {
                    tried += 1;
                    proven = view.prove(plan.stage, |it| it.hoist(&view.source, index, copy)).ok();
                    proven.is_none()
                }
            };
            if is_meant {
                continue;
            }
            let needs = match dependencies {
                Some(_) => Needs::Manifests,
                None if renews_installer(install) || plan.brings_named_files(copy) => Needs::Little,
                None => Needs::Nothing,
            };
            let cause = causes.entry(plan.steps[copy].instruction.span.start).or_default();
            let command = if needs == Needs::Manifests { install.display.clone() } else { as_written(step, install) };
            cause.victims.push(Victim { stage: plan.stage, index, copy, command, needs, proven });
        }
    }
    for mut cause in causes.into_values() {
        report(view, &mut cause, findings);
    }
}

/// The first install of a RUN that installs what its command line names, does nothing else, and needs no file of
/// the project.
fn named_install<'s>(step: &'s Step<'_>) -> Option<&'s ecosystem::Step> {
    let takes_away = |it: &ecosystem::Step| ["uninstall", "remove", "lock"].iter().any(|verb| it.display.ends_with(verb));
    let is_named = |it: &&ecosystem::Step| it.action == Action::InstallNamed && it.manager != Manager::Corepack && !takes_away(it);
    let needs_files = !step.needs.files.is_empty() || !step.needs.trees.is_empty();
    let mut installs = step.installs.iter().filter(|it| it.installs());
    if step.obstacle.is_some() || needs_files || !installs.clone().all(|it| is_named(&it)) {
        return None;
    }
    installs.next()
}

/// A command as it stands in the file, or the beginning of it.
fn as_written(step: &Step<'_>, install: &ecosystem::Step) -> String {
    const MOST: usize = 60;
    let Kind::Run(run) = &step.instruction.kind else { return install.display.clone() };
    let text = run.command.text.get(install.span.start..install.span.end).unwrap_or(&install.display);
    shell::beginning(text, MOST)
}

/// Whether it only brings the package manager itself up to date, which takes a moment.
fn renews_installer(install: &ecosystem::Step) -> bool {
    let name = |it: &str| it.split(['=', '<', '>', '~', '!', '@']).next().unwrap_or("").to_owned();
    install.operands.iter().all(|it| matches!(name(&it.text).as_str(), "pip" | "setuptools" | "wheel" | "npm"))
}

fn is_installed(steps: &[Step<'_>], manager: Manager) -> bool {
    steps.iter().any(|it| it.installs.iter().any(|it| it.manager == manager && it.action == Action::InstallDependencies))
}

/// Whether a command below the copy makes the manifest, as `go mod init` does of the sources: then there is none to
/// copy first.
fn makes_manifest(plan: &Plan<'_>, copy: usize, index: usize, manager: Manager) -> bool {
    let programs = match manager {
        Manager::Npm | Manager::Yarn | Manager::Pnpm | Manager::Bun => &["npm", "yarn", "pnpm", "bun"][..],
        Manager::Pip | Manager::Uv | Manager::Poetry | Manager::Pipenv => &["uv", "poetry", "pdm"],
        Manager::Go => &["go"],
        Manager::Cargo => &["cargo"],
        Manager::Composer => &["composer"],
        Manager::Bundler => &["bundle"],
        Manager::Maven | Manager::Gradle => &["gradle"],
        Manager::Dotnet => &["dotnet"],
        Manager::Apt | Manager::Apk | Manager::Dnf | Manager::Zypper | Manager::Corepack | Manager::Shell => &[],
    };
    let makes = |it: &Command| {
        let words = it.invocation().map_or(&[][..], |it| it.arguments());
        let mut verbs = words.iter().filter(|it| !it.text.starts_with('-')).take(2);
        it.program().is_some_and(|it| programs.contains(&it)) && verbs.any(|it| matches!(it.text.as_str(), "init" | "new"))
    };
    plan.steps[copy + 1..=index].iter().any(|it| matches!(&it.instruction.kind, Kind::Run(run) if run.script.commands.iter().any(makes)))
}

/// Whether an install of another stage is copied before the step `index`, so that there is little
/// left to install.
fn is_copied(view: &DockerfileView<'_>, plan: &Plan<'_>, index: usize, install: &ecosystem::Step) -> bool {
    // `npm ci` begins with nothing, whatever is there.
    if install.manager == Manager::Npm && install.frozen {
        return false;
    }
    plan.steps[..index].iter().enumerate().any(|(at, step)| {
        let Kind::Copy(copy) = &step.instruction.kind else { return false };
        let from = copy.from.as_deref().and_then(|it| plan.dockerfile.stage(it));
        let Some(other) = from.and_then(|from| view.plans().find(|it| it.stage == from.index)) else { return false };
        let sources = plan.sources(at);
        let installs = other.steps.iter().filter(|it| is_installed(std::slice::from_ref(*it), install.manager));
        installs.filter_map(|it| it.state.directory.as_deref()).any(|folder| sources.iter().any(|it| holds_packages(&format!("/{it}"), folder)))
    })
}

/// Whether a folder of the image holds what was installed for the project in `project`: it is the
/// project, or a place of packages.
fn holds_packages(folder: &str, project: &str) -> bool {
    facts::is_below(project, folder) || PACKAGES.contains(&facts::name(folder))
}

/// What a copy makes run again.
#[derive(Default)]
struct Cause {
    victims: Vec<Victim>,
}

/// An install that runs again.
struct Victim {
    stage: usize,
    index: usize,
    copy: usize,
    command: String,
    needs: Needs,
    /// The proof that it can stand above the copy, where that had to be known to report it.
    proven: Option<Move>,
}

/// What an install needs of the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// What names its dependencies.
    Manifests,
    /// Nothing.
    Nothing,
    /// Nothing, and it seldom takes much: it is done at once, or the copy brings single files.
    Little,
}

/// The copy that makes an install run again for nothing: the first that brings more than single
/// files, which change less often, or else the first. A copy of tools that the command itself runs is none, nor is one of
/// single files that commands above it name: what they make of them it may need.
fn culprit(plan: &Plan<'_>, index: usize, install: &ecosystem::Step) -> Option<usize> {
    let mut copies = volatile_copies(plan, index).filter(|it| !plan.uses_tool(*it, index, install) && !is_run_between(plan, *it, index));
    let first = copies.next()?;
    if !plan.brings_named_files(first) {
        return Some(first);
    }
    copies.find(|it| !plan.brings_named_files(*it)).or(Some(first))
}

/// Whether a copy brings single files only, all of which commands between it and `index` name.
fn is_run_between(plan: &Plan<'_>, copy: usize, index: usize) -> bool {
    let Kind::Copy(copied) = &plan.steps[copy].instruction.kind else { return false };
    let between = || plan.steps[copy + 1..index].iter().filter_map(|it| if let Kind::Run(run) = &it.instruction.kind { Some(run) } else { None });
    let is_named = |source: &str| between().any(|it| has_word(&it.command.text, facts::name(source)));
    plan.brings_named_files(copy) && copied.sources.iter().all(|it| is_named(&it.text))
}

/// The first copy of the chain before `index` that brings sources from the build context.
pub(super) fn first_volatile_copy(plan: &Plan<'_>, index: usize) -> Option<usize> {
    volatile_copies(plan, index).next()
}

/// Copies of sources, unless a mount above, or one of the step `index` itself, has the same sources in its key: then it
/// runs again wherever the copy stands.
fn volatile_copies(plan: &Plan<'_>, index: usize) -> impl Iterator<Item = usize> {
    let bound_by = |run: &Run| run.mounts.iter().filter(|it| it.binds_context()).map(|it| clean_source(it.source().unwrap_or_default())).collect();
    let mut bound: BTreeSet<String> = match &plan.steps[index].instruction.kind {
        Kind::Run(run) => bound_by(run),
        _ => BTreeSet::new(),
    };
    let mut is_volatile = move |step: &Step<'_>| match &step.instruction.kind {
        Kind::Run(run) => {
            bound.append(&mut bound_by(run));
            false
        }
        Kind::Copy(copy) => {
            let is_changing = copy.from_context() && plan.own_volatility(step) >= Volatility::Often;
            is_changing && !copy.sources.iter().all(|it| is_bound(&bound, &clean_source(&it.text)))
        }
        _ => false,
    };
    plan.steps[..index].iter().enumerate().filter(move |(_, it)| is_volatile(it)).map(|(at, _)| at)
}

/// Whether `source`, or a folder that it is in, is among the paths of the context that mounts have.
fn is_bound(bound: &BTreeSet<String>, source: &str) -> bool {
    let folders = source.match_indices('/').map(|(at, _)| &source[..at]);
    folders.chain(["", source]).any(|it| bound.contains(it))
}

fn report(view: &DockerfileView<'_>, cause: &mut Cause, findings: &mut Findings<'_>) {
    let Some(first) = cause.victims.first() else { return };
    let Some(plan) = view.plans().find(|it| it.stage == first.stage) else { return };
    let copy = plan.steps[first.copy].instruction;
    let mut commands: Vec<&str> = cause.victims.iter().map(|it| it.command.as_str()).collect();
    commands.dedup();
    let needless = match commands.len() {
        _ if cause.victims.iter().any(|it| it.needs == Needs::Manifests) => "",
        1 => ", which needs none of it",
        _ => ", which need none of it",
    };
    let mut finding = findings.report(copy.span, format!("any change to {} runs {} again{needless}", what_changes(plan, first), list(&commands)));
    if cause.victims.iter().all(|it| it.needs == Needs::Little) {
        finding = finding.level(Level::Info);
    }
    let mut refused = Vec::new();
    let mut fix: Option<(Needs, Move)> = None;
    for victim in &mut cause.victims {
        let Some(plan) = view.plans().find(|it| it.stage == victim.stage) else { continue };
        finding = finding.note(plan.steps[victim.index].instruction.span, format!("`{}` runs again", victim.command));
        match victim.proven.take().map_or_else(|| view.prove(victim.stage, |it| it.hoist(&view.source, victim.index, victim.copy)), Ok) {
            // What is installed from manifests most often takes longest.
            Ok(proven) if fix.as_ref().is_none_or(|it| it.0 != Needs::Manifests && victim.needs == Needs::Manifests) => fix = Some((victim.needs, proven)),
            Ok(_) => {}
            Err(refusal) => refused.push((plan, victim, refusal)),
        }
    }
    let suggest = || refused.iter().find_map(|(plan, victim, _)| plan.suggest_hoist(&view.source, victim.index, victim.copy));
    let suggestion = || Some(view.suggestion("Install from the manifests first, which is not proven", suggest()?));
    match (fix, refused.first()) {
        (Some((Needs::Manifests, proven)), _) => drop(finding.fix(view.reordering("Install from the manifests first", proven))),
        (Some((Needs::Nothing | Needs::Little, proven)), first) => {
            let finding = match first.filter(|(_, victim, _)| victim.needs == Needs::Manifests) {
                Some((_, _, refusal)) => finding.unproven(refusal),
                None => finding,
            };
            drop(finding.fix(view.reordering("Install it above the copy", proven)));
        }
        (None, Some((_, _, refusal))) => drop(finding.unproven(refusal).maybe_fix(suggestion)),
        (None, None) => {}
    }
}

/// What it is whose change runs an install again: what the copy brings, and what others below it bring if nothing is known of
/// that, so that any of them may be the cause.
fn what_changes(plan: &Plan<'_>, victim: &Victim) -> String {
    let is_known = |it: &String| it.is_empty() || plan.context.entry(it).flatten().is_some();
    let stage = plan.steps[victim.copy].stage;
    let others: Vec<usize> = volatile_copies(plan, victim.index).filter(|it| *it > victim.copy && plan.steps[*it].stage == stage).collect();
    let kind = &plan.steps[victim.copy].instruction.kind;
    let is_whole = matches!(kind, Kind::Copy(copy) if copy.whole_context());
    if others.is_empty() || is_whole || plan.sources(victim.copy).iter().any(is_known) {
        return what_is_copied(kind);
    }
    let copies = std::iter::once(victim.copy).chain(others);
    let sources = copies.filter_map(|it| if let Kind::Copy(copy) = &plan.steps[it].instruction.kind { Some(&copy.sources) } else { None });
    let mut names: Vec<&str> = sources.flatten().map(|it| it.text.as_str()).collect();
    names.dedup();
    list(&names)
}

/// What a copy brings, for a message.
pub(super) fn what_is_copied(kind: &Kind) -> String {
    let Kind::Copy(copy) = kind else { return "the copied files".to_owned() };
    match &copy.sources[..] {
        _ if copy.whole_context() => "the build context".to_owned(),
        [source] => format!("`{}`", source.text),
        sources => list(&sources.iter().map(|it| it.text.as_str()).collect::<Vec<_>>()),
    }
}

/// `a`, `b` and `c`, each quoted; more than three are counted.
pub(super) fn list(items: &[&str]) -> String {
    let quoted: Vec<String> = items.iter().map(|it| format!("`{it}`")).collect();
    match &quoted[..] {
        [] => String::new(),
        [one] => one.clone(),
        [a, b] => format!("{a} and {b}"),
        [a, b, c] => format!("{a}, {b} and {c}"),
        [a, b, rest @ ..] => format!("{a}, {b} and {} more", rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::COPY_BEFORE_INSTALL as RULE;
    use crate::rules::testing::{build_step, check, check_fix};

    #[test]
    fn a_manifest_that_is_made_of_the_sources_cannot_go_first() {
        for command in ["RUN go mod init example.org/client && go mod tidy\n", "RUN go mod init example.org/client\nRUN go mod tidy\n"] {
            check(&RULE, &format!("#- main.go\nx\n#- Dockerfile\nFROM golang:1.25.0\nWORKDIR /src\nCOPY *.go ./\n{command}RUN go mod download\n"));
        }
        check(&RULE, "#- a.js\nx\n#- Dockerfile\nFROM node:22.11\nWORKDIR /app\nCOPY *.js ./\nRUN npm init -y && npm install\n");
        check(
            &RULE,
            "
#- main.go

#- Dockerfile
FROM golang:1.25.0
WORKDIR /src
RUN go mod init example.org/client
COPY *.go ./
^^^^^^^^^^^^ warning: any change to `*.go` runs `go mod download` again
RUN go mod download
^^^^^^^^^^^^^^^^^^^ note: `go mod download` runs again
    ^^^^^^^^^^^^^^^ note: no safe fix: `go.mod` is not in the build context
",
        );
    }

    #[test]
    fn all_copies_of_which_nothing_is_known_are_named() {
        let build = format!("{}#- src/a.c\n\n", build_step("context: ."));
        let found = |copies: &str, what: &str| {
            let (first, others) = copies.split_once('\n').unwrap_or((copies, ""));
            let marks = "^".repeat(first.len());
            check(
                &RULE,
                &format!(
                    "{build}#- Dockerfile\nFROM node:22.11\nWORKDIR /app\n{first}\n{marks} warning: any change to {what} runs `pnpm install` again\n{others}RUN pnpm install --frozen-lockfile\n^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `pnpm install` runs again\n    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: no safe fix: `package.json` is not in the build context\n"
                ),
            );
        };
        found("COPY ./meta .\nCOPY ./deps .\n", "`./meta` and `./deps`");
        found("COPY ./meta .\n", "`./meta`");
        found("COPY * .\nCOPY ./deps .\n", "the build context");
        found("COPY src .\nCOPY ./deps .\n", "`src`");
        found("COPY ./meta .\nCOPY src .\n", "`./meta` and `src`");
    }

    #[test]
    fn packages_that_the_same_command_installs_from_the_copy_are_needed() {
        let files = "#- helpers/a.py\n\n#- helpers/TA.whl\n\n#- requirements.txt\nflask==3.0\n#- Dockerfile\nFROM python:3.13-slim\nWORKDIR /app\n";
        let install = |links: &str| format!("RUN pip install --user --no-index --find-links {links} TA-Lib && pip install --user -r /app/requirements.txt\n");
        check(&RULE, &format!("{files}COPY helpers/* /tmp/\nCOPY requirements.txt /app/\n{}", install("/tmp/")));
        let found = "COPY helpers/* /tmp/\n^^^^^^^^^^^^^^^^^^^^ warning: any change to `helpers/*` runs `pip install -r /app/requirements.txt` again\nCOPY requirements.txt /app/\n";
        let text = install("/opt/wheels");
        let notes = format!("{} note: `pip install -r /app/requirements.txt` runs again\n", "^".repeat(text.len() - 1));
        let obstacle = format!("{}^^^^^^^^^^^ note: no safe fix: `pip install` installs `/opt/wheels`, which takes sources\n", " ".repeat(47));
        check(&RULE, &format!("{files}{found}{text}{notes}{obstacle}"));
    }

    #[test]
    fn a_file_that_a_pattern_names_and_that_is_not_there_is_no_source() {
        let files = "#- composer.json\n{}\n#- composer.lock\n{}\n#- src/a.php\n\n#- Dockerfile\nFROM composer:2.8.3\nWORKDIR /app\n";
        let install = "RUN composer install --no-scripts --no-autoloader\n";
        check(&RULE, &format!("{files}COPY composer.* symfony.* ./\n{install}COPY . .\n"));
        let note = format!("{} note: `composer install` runs again\n", "^".repeat(install.len() - 1));
        let found = format!(
            "COPY composer.* src/*.* ./\n{} warning: any change to `composer.*` and `src/*.*` runs `composer install` again\n{install}{note}",
            "^".repeat(26)
        );
        check(&RULE, &format!("{files}{found}COPY . .\n"));
    }

    /// A real build ran no step less with the install above the copy.
    #[test]
    fn sources_that_a_mount_above_has_already_are_no_cause() {
        let files =
            "#- .dockerignore\nnode_modules\n#- package.json\n{}\n#- package-lock.json\n{}\n#- src/a.c\n\n#- Dockerfile\nFROM node:22.11\nWORKDIR /app\n";
        check(&RULE, &format!("{files}RUN --mount=target=/mnt make -C /mnt\nCOPY . .\nRUN npm ci\n"));
        check(&RULE, &format!("{files}RUN --mount=type=bind,source=.,target=/mnt make -C /mnt\nCOPY . .\nRUN npm ci\n"));
        check(&RULE, &format!("{files}RUN --mount=type=bind,source=src,target=/mnt make -C /mnt\nCOPY package*.json ./\nCOPY src/a ./src/a\nRUN npm ci\n"));
        check(&RULE, &format!("{files}COPY . /copy\nRUN --mount=type=bind,target=. npm ci\n"));
    }

    #[test]
    fn a_mount_has_no_part_in_the_key_of_what_is_above_it_or_from_another_stage() {
        let files = "#- .dockerignore\nnode_modules\n#- package.json\n{}\n#- package-lock.json\n{}\n#- Dockerfile\nFROM alpine:3.20 AS a\n";
        let found = "COPY . .\n^^^^^^^^ warning: any change to the build context runs `npm ci` again\n";
        let install = "RUN npm ci\n^^^^^^^^^^ note: `npm ci` runs again\n";
        let unknown = "                        ^^^^^^^^^^^^ note: no safe fix: `make` is not known, and may read or write anything\n";
        check(&RULE, &format!("{files}FROM node:22.11\nWORKDIR /app\n{found}RUN --mount=target=/mnt make -C /mnt\n{unknown}{install}"));
        check(&RULE, &format!("{files}FROM node:22.11\nWORKDIR /app\nRUN --mount=from=a,target=/mnt make -C /mnt\n{found}{install}"));
        check(&RULE, &format!("{files}RUN --mount=target=/mnt make -C /mnt\nFROM node:22.11\nWORKDIR /app\n{found}{install}"));
    }

    #[test]
    fn the_cause_is_the_first_copy_of_what_no_mount_has() {
        check(
            &RULE,
            "
#- .dockerignore
node_modules
#- package.json
{}
#- package-lock.json
{}
#- src/a.c

#- lib/b.c

#- Dockerfile
FROM node:22.11
WORKDIR /app
COPY package*.json ./
RUN --mount=type=bind,source=src,target=/mnt make -C /mnt
COPY src ./src
COPY lib ./lib
^^^^^^^^^^^^^^ warning: any change to `lib` runs `npm ci` again
RUN npm ci
^^^^^^^^^^ note: `npm ci` runs again
",
        );
    }

    #[test]
    fn a_mount_of_a_part_of_the_sources_leaves_the_rest() {
        check(
            &RULE,
            "
#- .dockerignore
node_modules
#- package.json
{}
#- package-lock.json
{}
#- Dockerfile
FROM node:22.11
WORKDIR /app
RUN --mount=type=bind,source=src,target=/mnt make -C /mnt
COPY . .
^^^^^^^^ warning: any change to the build context runs `npm ci` again
RUN npm ci
^^^^^^^^^^ note: `npm ci` runs again
",
        );
    }

    #[test]
    fn whole_context_before_install() {
        check_fix(
            &RULE,
            r#"
#- .dockerignore
node_modules
#- package.json
{"name": "app"}
#- package-lock.json
{"lockfileVersion": 3}
#- Dockerfile
FROM node:22.11
WORKDIR /app
# Sources.
COPY . .
^^^^^^^^ warning: any change to the build context runs `npm ci` again
# Dependencies.
RUN npm ci
^^^^^^^^^^ note: `npm ci` runs again
CMD ["node", "."]
"#,
            r#"
FROM node:22.11
WORKDIR /app
COPY package.json package-lock.json ./
# Dependencies.
RUN npm ci
# Sources.
COPY . .
CMD ["node", "."]
"#,
        );
    }

    #[test]
    fn a_list_that_is_only_in_one_of_the_contexts_says_which_is_meant() {
        check_fix(
            &RULE,
            r#"
#- docs/requirements.txt
a==1
#- main.c

#- docker/Dockerfile
FROM python:3.13
COPY . /src/
^^^^^^^^^^^^ warning: any change to the build context runs `pip install -r /src/docs/requirements.txt` again
RUN pip install -r /src/docs/requirements.txt
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `pip install -r /src/docs/requirements.txt` runs again
"#,
            r#"
#- docker/Dockerfile
FROM python:3.13
COPY docs/requirements.txt /src/docs/
RUN pip install -r /src/docs/requirements.txt
COPY . /src/
"#,
        );
    }

    #[test]
    fn a_list_that_is_in_both_contexts_leaves_both() {
        check(
            &RULE,
            r#"
#- requirements.txt
-r more.txt
#- docker/requirements.txt
a==1
#- docker/Dockerfile
FROM python:3.13
WORKDIR /src
COPY . .
^^^^^^^^ warning: any change to the build context runs `pip install -r requirements.txt` again
RUN pip install -r requirements.txt
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `pip install -r requirements.txt` runs again
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: no safe fix: `more.txt` is not in the build context, if the context is the root of the repository
"#,
        );
    }

    #[test]
    fn tools_that_need_nothing_of_the_project_go_above_it() {
        check_fix(
            &RULE,
            r#"
#- main.py
#- Dockerfile
FROM python:3.13
WORKDIR /app
COPY . .
^^^^^^^^ warning: any change to the build context runs `pip install apprise==1.9.0` again, which needs none of it
# For messages.
RUN pip install apprise==1.9.0
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `pip install apprise==1.9.0` runs again
RUN python main.py
"#,
            r#"
FROM python:3.13
WORKDIR /app
# For messages.
RUN pip install apprise==1.9.0
COPY . .
RUN python main.py
"#,
        );
        check_fix(
            &RULE,
            r#"
#- a.csproj
<Project></Project>
#- Dockerfile
FROM mcr.microsoft.com/dotnet/sdk:8.0
WORKDIR /src
COPY . .
^^^^^^^^ warning: any change to the build context runs `dotnet tool install --global dotnet-ef --version 8.0.15` again, which needs none of it
RUN dotnet tool install --global dotnet-ef --version 8.0.15
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `dotnet tool install --global dotnet-ef --version 8.0.15` runs again
RUN dotnet ef migrations script
"#,
            r#"
FROM mcr.microsoft.com/dotnet/sdk:8.0
WORKDIR /src
RUN dotnet tool install --global dotnet-ef --version 8.0.15
COPY . .
RUN dotnet ef migrations script
"#,
        );
    }

    #[test]
    fn to_renew_the_package_manager_is_an_information() {
        check(
            &RULE,
            r#"
#- main.py
#- Dockerfile
FROM python:3.13
WORKDIR /app
COPY . .
^^^^^^^^ info: any change to the build context runs `pip install --upgrade pip setuptools` again, which needs none of it
RUN pip install --upgrade pip setuptools
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `pip install --upgrade pip setuptools` runs again
RUN pip install .
"#,
        );
    }

    #[test]
    fn tools_and_dependencies_below_one_copy_are_one_finding() {
        check_fix(
            &RULE,
            r#"
#- requirements.txt
a==1
#- Dockerfile
FROM python:3.13
WORKDIR /app
COPY . .
^^^^^^^^ warning: any change to the build context runs `pip install --upgrade pip` and `pip install -r requirements.txt` again
RUN pip install --upgrade pip
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `pip install --upgrade pip` runs again
RUN pip install -r requirements.txt
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `pip install -r requirements.txt` runs again
"#,
            r#"
FROM python:3.13
WORKDIR /app
RUN pip install --upgrade pip
COPY requirements.txt ./
RUN pip install -r requirements.txt
COPY . .
"#,
        );
    }

    #[test]
    fn what_stands_in_the_way_of_the_dependencies_is_said_beside_a_fix_for_tools() {
        check_fix(
            &RULE,
            r#"
#- package.json
{"name": "a"}
#- Dockerfile
FROM node:22.11
WORKDIR /app
COPY . .
^^^^^^^^ warning: any change to the build context runs `npm install -g @angular/cli` and `npm install` again
^^^^^^^^ note: no safe fix: this writes `/app/package-lock.json`, and so does the later instruction
RUN npm install -g @angular/cli
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `npm install -g @angular/cli` runs again
RUN npm install
^^^^^^^^^^^^^^^ note: `npm install` runs again
"#,
            r#"
FROM node:22.11
WORKDIR /app
RUN npm install -g @angular/cli
COPY . .
RUN npm install
"#,
        );
    }

    #[test]
    fn below_a_copy_of_single_files_it_is_an_information() {
        check(
            &RULE,
            r#"
#- app.py
#- Dockerfile
FROM python:3.13
COPY app.py /app/
^^^^^^^^^^^^^^^^^ info: any change to `app.py` runs `pip install flask` again, which needs none of it
RUN pip install flask
^^^^^^^^^^^^^^^^^^^^^ note: `pip install flask` runs again
"#,
        );
    }

    #[test]
    fn tools_that_may_need_the_project_are_silent() {
        let files = "#- package.json\n{}\n#- tool/package.json\n{}\n#- global.json\n{}\n#- Dockerfile\nFROM node:22.11\nWORKDIR /app\n";
        for lines in [
            "COPY . .\nRUN npm install -g ./tool\n",
            "COPY . .\nRUN npm install -g nodemon && npm run build\n",
            "COPY . .\nRUN make\nRUN npm install -g nodemon\n",
            "COPY . .\nRUN npm install express\n",
            "COPY . .\nRUN corepack enable\n",
            "COPY . .\nRUN pip uninstall -y flask\n",
            "COPY . .\nRUN dotnet tool install --global dotnet-ef --version 8.0.15\n",
            "COPY . /root\nRUN npm install -g nodemon\n",
            "COPY package*.json ./\nRUN npm install -g nodemon\n",
        ] {
            check(&RULE, &format!("{files}{lines}"));
        }
        check(&RULE, "#- main.py\n#- Dockerfile\nFROM python:3.13 AS prod\nWORKDIR /app\nCOPY . .\nFROM prod AS dev\nRUN pip install debugpy\n");
    }

    #[test]
    fn an_install_that_the_default_of_an_argument_skips_is_silent() {
        let files = "#- package.json\n{}\n#- Dockerfile\nFROM node:22.11\nWORKDIR /app\n";
        let install = "COPY . .\nRUN if [ \"$WITH_UI\" = \"1\" ]; then \\\n    npm install && make ui; \\\n    else mkdir ui; fi\n";
        check(&RULE, &format!("{files}ARG WITH_UI=0\n{install}"));
        check(&RULE, &format!("{files}ARG WITH_UI\n{install}"));
    }

    #[test]
    fn an_install_behind_another_condition_is_told_of() {
        let files = "#- package.json\n{}\n#- Dockerfile\nFROM node:22.11\nWORKDIR /app\n";
        for (argument, condition) in [("ARG WITH_UI=1\n", "\"$WITH_UI\" = \"1\""), ("", "-f package.json"), ("ARG WITH_UI=0\n", "\"$WITH_UI\" != \"1\"")] {
            check(
                &RULE,
                &format!(
                    "{files}{argument}COPY . .\n^^^^^^^^ warning: any change to the build context runs `npm install` again\n\
                     RUN if [ {condition} ]; then npm install; fi\n    ^^ note: no safe fix: the command has a condition, which is not followed\n{0}^^^^ note: `npm install` runs again\n",
                    "^".repeat(format!("if [ {condition} ]; then npm install; fi").len()),
                ),
            );
        }
    }

    #[test]
    fn copies_of_manifests_alone_move_as_they_are_written() {
        check_fix(
            &RULE,
            r#"
#- .dockerignore
node_modules
#- web/package.json
{"name": "app"}
#- web/package-lock.json
{"lockfileVersion": 3}
#- api/a.proto
#- Dockerfile
FROM node:22.11
WORKDIR /app

# Sources.
COPY api /src/api
^^^^^^^^^^^^^^^^^ warning: any change to `api` runs `npm ci` again

COPY web/package.json package.json

COPY web/package-lock.json package-lock.json
RUN npm ci
^^^^^^^^^^ note: `npm ci` runs again

RUN make
"#,
            r#"
FROM node:22.11
WORKDIR /app

COPY web/package.json package.json

COPY web/package-lock.json package-lock.json
RUN npm ci
# Sources.
COPY api /src/api

RUN make
"#,
        );
    }

    #[test]
    fn a_copy_with_a_mode_makes_the_folder_with_it() {
        check(
            &RULE,
            r#"
#- requirements.txt
a==1
#- Dockerfile
FROM python:3.13
COPY --chmod=700 . /app
^^^^^^^^^^^^^^^^^^^^^^^ warning: any change to the build context runs `pip install -r requirements.txt` again
^^^^^^^^^^^^^^^^^^^^^^^ note: no safe fix: this writes `/app`, and so does the later instruction
WORKDIR /app
RUN pip install -r requirements.txt
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `pip install -r requirements.txt` runs again
"#,
        );
    }

    #[test]
    fn variables_with_known_values_are_followed() {
        check_fix(
            &RULE,
            r#"
#- pkg/a.py
#- app/requirements.txt
a==1
#- Dockerfile
FROM python:3.13
ENV TOP=/opt/x PART=app
ADD pkg ${TOP}/pkg
^^^^^^^^^^^^^^^^^^ warning: any change to `pkg` runs `pip install -r requirements.txt` again
ADD ${PART} ${TOP}/${PART}
WORKDIR ${TOP}/${PART}
RUN pip install -r requirements.txt
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `pip install -r requirements.txt` runs again
"#,
            r#"
FROM python:3.13
ENV TOP=/opt/x PART=app
WORKDIR ${TOP}/${PART}
COPY app/requirements.txt ${TOP}/${PART}/
RUN pip install -r requirements.txt
ADD pkg ${TOP}/pkg
ADD ${PART} ${TOP}/${PART}
"#,
        );
    }

    #[test]
    fn a_copy_under_another_name_keeps_it() {
        check_fix(
            &RULE,
            r#"
#- base.txt
a==1
#- src/a.py
#- Dockerfile
FROM python:3.13
WORKDIR /app
COPY src src
^^^^^^^^^^^^ warning: any change to `src` runs `pip install -r requirements.txt` again
COPY base.txt requirements.txt
RUN pip install -r requirements.txt
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `pip install -r requirements.txt` runs again
"#,
            r#"
FROM python:3.13
WORKDIR /app
COPY base.txt requirements.txt
RUN pip install -r requirements.txt
COPY src src
"#,
        );
    }

    #[test]
    fn blank_lines_move_with_what_they_divide() {
        check_fix(
            &RULE,
            r#"
#- requirements.txt
a==1
#- Dockerfile
FROM python:3.13

COPY . /app
^^^^^^^^^^^ warning: any change to the build context runs `pip install b==2` and `pip install -r requirements.txt` again

WORKDIR /app

# Needs nothing.
RUN pip install b==2
^^^^^^^^^^^^^^^^^^^^ note: `pip install b==2` runs again

RUN pip install -r requirements.txt
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `pip install -r requirements.txt` runs again

CMD ["python"]
"#,
            r#"
FROM python:3.13

WORKDIR /app

# Needs nothing.
RUN pip install b==2

COPY requirements.txt /app/
RUN pip install -r requirements.txt
COPY . /app

CMD ["python"]
"#,
        );
    }

    #[test]
    fn modules_that_python_itself_would_take_stay_below() {
        check(
            &RULE,
            r#"
#- requirements.txt
a==1
#- lib/sitecustomize.py
#- Dockerfile
FROM python:3.13
ENV PYTHONPATH=/app/lib
WORKDIR /app
COPY . /app
^^^^^^^^^^^ warning: any change to the build context runs `pip install -r requirements.txt` again
RUN pip install -r requirements.txt
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `pip install -r requirements.txt` runs again
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: no safe fix: Python itself reads `lib/sitecustomize.py`
"#,
        );
    }

    #[test]
    fn what_takes_sources_is_silent_whatever_stands_beside_it() {
        for run in [
            "RUN /venv/bin/pip install -e /app > /log",
            "RUN ./prepare.sh && pip install /app",
            "RUN cd /app && ./prepare.sh && poetry install",
            "ENV PATH=$TOOLS/bin:$PATH\nRUN cd /app && poetry install --no-root",
        ] {
            let fixture = format!(
                "#- pyproject.toml\n[tool.poetry.dependencies]\na = {{ path = \"lib\" }}\n#- lib/a.py\n#- Dockerfile\nFROM example.org/python:1\nWORKDIR /app\nCOPY . /app\n{run}\n"
            );
            check(&RULE, &fixture);
        }
    }

    #[test]
    fn packages_that_another_stage_installed_are_there() {
        check(
            &RULE,
            r#"
#- pyproject.toml
[tool.poetry]
name = "a"
#- poetry.lock
#- src/a.py
#- Dockerfile
FROM python:3.13 AS packages
WORKDIR /opt/setup
COPY pyproject.toml poetry.lock ./
RUN poetry install
FROM python:3.13
COPY --from=packages /opt/setup /opt/setup
WORKDIR /app
COPY src pyproject.toml poetry.lock ./
RUN . /opt/setup/.venv/bin/activate && poetry install
"#,
        );
    }

    #[test]
    fn npm_ci_begins_anew_whatever_was_copied() {
        check(
            &RULE,
            r#"
#- package.json
{"name": "app"}
#- package-lock.json
{"lockfileVersion": 3}
#- .dockerignore
node_modules
#- Dockerfile
FROM node:22.11 AS packages
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
FROM node:22.11
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY . .
^^^^^^^^ warning: any change to the build context runs `npm ci` again
RUN npm run build && npm ci --omit=dev
    ^^^^^^^^^^^^^ note: no safe fix: `npm run` may read or write anything
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `npm ci` runs again
"#,
        );
    }

    #[test]
    fn the_output_of_another_project_is_no_package() {
        check(
            &RULE,
            r#"
#- package.json
{"name": "app"}
#- package-lock.json
{"lockfileVersion": 3}
#- .dockerignore
node_modules
#- Dockerfile
FROM node:22.11 AS web
WORKDIR /web
COPY package.json package-lock.json ./
RUN npm ci && npm run build
FROM node:22.11
COPY --from=web /web/dist /app/public
WORKDIR /app
COPY . .
^^^^^^^^ warning: any change to the build context runs `npm install` again
RUN npm install && npm run build
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `npm install` runs again
                   ^^^^^^^^^^^^^ note: no safe fix: `npm run` may read or write anything
"#,
        );
    }

    #[test]
    fn folders_of_the_image_are_no_sources() {
        check(
            &RULE,
            "#- package.json\n{}\n#- docker/startup/a.sh\n#- Dockerfile\nFROM node:22.11\nCOPY docker/startup /etc/init.d/\nCOPY package.json .\nRUN npm install\n",
        );
    }

    #[test]
    fn an_opaque_command_in_between_blocks_the_fix() {
        check(
            &RULE,
            r#"
#- .dockerignore
node_modules
#- package.json
{"name": "app"}
#- package-lock.json
{"lockfileVersion": 3}
#- Dockerfile
FROM node:22.11
WORKDIR /app
COPY . .
^^^^^^^^ warning: any change to the build context runs `npm ci` again
RUN ./generate-manifest.sh
    ^^^^^^^^^^^^^^^^^^^^^^ note: no safe fix: `./generate-manifest.sh` is not known, and may read or write anything
RUN npm ci
^^^^^^^^^^ note: `npm ci` runs again
"#,
        );
    }

    #[test]
    fn a_pattern_is_what_it_selects() {
        let files = "#- go.mod\nmodule a\n#- go.sum\n#- main.go\n#- composer.json\n{}\n#- symfony.lock\n{}\n#- Dockerfile\n";
        check(&RULE, &format!("{files}FROM golang:1.23.4\nWORKDIR /src\nCOPY go.* ./\nRUN go mod download\n"));
        check(&RULE, &format!("{files}FROM composer:2.8\nWORKDIR /src\nCOPY composer.* symfony.* ./\nRUN composer install --no-scripts --no-autoloader\n"));
        // Nothing is known of the folder.
        check(&RULE, "FROM golang:1.23.4\nWORKDIR /src\nCOPY src/go.* ./\nRUN go mod download\n");
        check(
            &RULE,
            &format!(
                "{files}{}",
                "FROM golang:1.23.4
WORKDIR /src
COPY m* go.* ./
^^^^^^^^^^^^^^^ warning: any change to `m*` and `go.*` runs `go mod download` again
RUN go mod download
^^^^^^^^^^^^^^^^^^^ note: `go mod download` runs again
"
            ),
        );
    }

    #[test]
    fn files_of_which_something_is_made_that_an_install_may_need_come_first() {
        let files =
            "#- .dockerignore\nnode_modules\n#- package.json\n{}\n#- package-lock.json\n{}\n#- main.c\n\n#- Dockerfile\nFROM node:22.11\nWORKDIR /app\n";
        check(&RULE, &format!("{files}COPY main.c /tmp/\nRUN cc -o /usr/bin/tool /tmp/main.c\nCOPY package*.json ./\nRUN npm ci\n"));
        let found = "COPY main.c /tmp/\n^^^^^^^^^^^^^^^^^ warning: any change to `main.c` runs `npm ci` again\n";
        let between = "RUN cc --version\n    ^^^^^^^^^^^^ note: no safe fix: `cc` is not known, and may read or write anything\n";
        check(&RULE, &format!("{files}{found}{between}COPY package*.json ./\nRUN npm ci\n^^^^^^^^^^ note: `npm ci` runs again\n"));
    }

    #[test]
    fn tools_that_the_install_itself_runs_come_first() {
        check(&RULE, "FROM debian:12.9\nCOPY helpers/ /helpers/\nWORKDIR /work/app\nRUN /helpers/fetch https://example.org/a . && npm install\n");
        check(
            &RULE,
            "#- releases/prune.mjs\n#- Dockerfile\nFROM debian:12.9\nCOPY releases/prune.mjs /tmp/prune.mjs\nRUN <<EOF\nset -e\nif true; then cd /b; npm install; node /tmp/prune.mjs; fi\nEOF\n",
        );
        check(
            &RULE,
            "#- scripts/check.cjs\n#- package.json\n{}\n#- Dockerfile\nFROM node:22.11\nWORKDIR /app\nCOPY package.json ./\nCOPY scripts/check.cjs ./scripts/\nRUN node scripts/check.cjs\nRUN npm install\n",
        );
    }

    #[test]
    fn a_list_of_packages_is_no_tool() {
        check(
            &RULE,
            r#"
#- src/reqs/a.txt
a==1
#- Dockerfile
FROM python:3.13
COPY src /opt/build
^^^^^^^^^^^^^^^^^^^ warning: any change to `src` runs `pip install -r /opt/build/reqs/a.txt` again
WORKDIR /work
RUN pip install -r /opt/build/reqs/a.txt
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `pip install -r /opt/build/reqs/a.txt` runs again
"#,
        );
    }

    #[test]
    fn a_project_that_the_command_fetches_is_none_of_the_context() {
        let run = "RUN curl -o /tmp/x.tgz https://example.org/x.tgz && tar -C /opt/x -xf /tmp/x.tgz && cd /opt/x && composer install";
        check(&RULE, &format!("#- files/etc/a.php\n#- Dockerfile\nFROM debian:12.9\nADD files /\n{run}\n"));
        // One that is copied may be anywhere in what is copied.
        check(
            &RULE,
            r#"
#- web/admin/package.json
{"name": "a"}
#- Dockerfile
FROM debian:12.9
WORKDIR /src
COPY ./web/admin ./web/admin
^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: any change to `./web/admin` runs `yarn install` again
RUN curl -fsSL https://example.org/volta | bash && cd web/admin && yarn install
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: no safe fix: `curl` is not known, and may read or write anything
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `yarn install` runs again
"#,
        );
    }

    #[test]
    fn gems_of_the_project_need_its_sources_whatever_the_gemfile_does_before() {
        check(
            &RULE,
            r#"
#- Gemfile
require "./lib/helper"
gem "a", path: "engines/a"
#- lib/helper.rb
#- engines/a/a.gemspec
#- Dockerfile
FROM ruby:3.3.6
WORKDIR /app
COPY . .
RUN bundle install
"#,
        );
    }

    #[test]
    fn a_folder_is_blamed_before_single_files() {
        check(
            &RULE,
            r#"
#- package.json
{"name": "a"}
#- lib/helper.rb
#- Gemfile
#- Dockerfile
FROM ruby:3.3.6
WORKDIR /app
COPY lib/helper.rb lib/
COPY . .
^^^^^^^^ warning: any change to the build context runs `npm install` again
^^^^^^^^ note: no safe fix: this writes `/app/package-lock.json`, and so does the later instruction
RUN npm install
^^^^^^^^^^^^^^^ note: `npm install` runs again
"#,
        );
    }

    #[test]
    fn manifests_that_are_programs_are_manifests() {
        check(
            &RULE,
            "#- mix.exs\n#- assets/package.json\n{}\n#- Dockerfile\nFROM elixir:1.18\nWORKDIR /app\nCOPY mix.exs mix.lock ./\nRUN mix deps.get\nCOPY assets/package.json assets/\nRUN cd assets && npm install\n",
        );
    }

    #[test]
    fn where_packages_go_says_nothing_of_sources() {
        let project = "#- kit/pyproject.toml\n[project]\nname = \"kit\"\nversion = \"1\"\ndependencies = [\"store\"]\n[tool.uv.sources]\nstore = { path = \"../store\" }\n#- kit/uv.lock\n#- store/pyproject.toml\n[project]\nname = \"store\"\nversion = \"1\"\n";
        let text = "#- Dockerfile\nFROM python:3.13\nWORKDIR /app\nARG VENV\nENV VIRTUAL_ENV=$VENV\nENV PATH=$VENV/bin:$PATH\nCOPY store store\nCOPY kit/pyproject.toml kit/uv.lock kit/\nRUN cd kit && uv sync --active\n";
        check(&RULE, &format!("{project}{text}"));
    }
}
