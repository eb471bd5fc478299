use super::{Check, Findings, declare_rule};
use crate::build::Tool;
use crate::diagnostic::{FileEdits, Fix, Level};
use crate::dockerfile::{Kind, Stage};
use crate::edit::Span;
use crate::view::{StepView, TargetBuild, TargetView, TargetsView, WorkflowView};
use crate::workflow::{Event, Input, Trigger};
use std::collections::BTreeSet;

declare_rule! {
    /// A cache is imported by a build that must not use one.
    ///
    /// With `no-cache` every instruction runs again, whatever was imported. The option is often
    /// left over from a search for a fault.
    ///
    /// ```yaml,bad
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           no-cache: true
    ///           cache-from: type=gha
    ///           cache-to: type=gha,mode=max
    /// ```
    ///
    /// ```yaml,good
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           cache-from: type=gha
    ///           cache-to: type=gha,mode=max
    /// ```
    ///
    /// A build that only exports fills the cache anew, which is a good use of the option. Workflows
    /// that run on a schedule or by hand only are not reported: they build images again to get new
    /// packages. Of a target of bake and a service of compose both have to stand in their file, and a workflow has
    /// to build it that runs for more than a schedule or a release, if one is known at all. `no-cache-filters` is
    /// reported only if it names all stages that run anything, and an expression decides nothing before the run.
    ///
    /// ## Fix safety
    ///
    /// Unsafe: layers of the cache have the packages of the day they were built.
    pub(crate) static NO_CACHE_WITH_CACHE = {
        name: "no-cache-with-cache",
        level: Level::Warning,
        fixes: true,
        check: Check::Builds(check, check_targets),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    if view.workflow.broken || is_refresh(view) {
        return;
    }
    for build in view.judged().filter(|it| it.build.no_cache) {
        let Some(import) = build.build.imports.first() else { continue };
        let Some((span, input)) = option(view, build) else { continue };
        let finding = findings.report(span, "no layer is taken from the cache that this build imports");
        finding.note(import.span, "the import is for nothing").maybe_fix(|| fix(view, build, input?));
    }
}

/// Targets and services whose file says both.
fn check_targets(view: &TargetsView<'_>, findings: &mut Findings<'_>) {
    if view.is_broken() {
        return;
    }
    let mut seen = BTreeSet::new();
    // A file may be there for one workflow that builds everything again, at night or for a release.
    let is_rare = |it: &&Trigger| refreshes(it) || it.runs_on_tags();
    let is_refresh = |it: &TargetBuild<'_>| {
        let triggers = view.triggers(it);
        !triggers.is_empty() && triggers.iter().all(is_rare)
    };
    // Another file may take it back.
    let is_so = |it: &TargetBuild<'_>| it.build.no_cache;
    let is_meant = |it: &&TargetView<'_>| it.build.no_cache && !it.build.opaque && it.builds.iter().all(is_so) && !it.builds.iter().all(is_refresh);
    for target in view.targets.iter().filter(is_meant) {
        let Some(import) = target.build.imports.first().filter(|it| view.has(it) && seen.insert(it.span)) else { continue };
        findings.report(import.span, format!("no layer is taken from this cache, since `{}` is built without one", target.build.name));
    }
}

/// Whether it only runs to build everything again.
fn is_refresh(view: &WorkflowView<'_>) -> bool {
    let triggers = view.triggers();
    !triggers.is_empty() && triggers.iter().all(|it| refreshes(it.1))
}

/// Whether an event starts builds to have everything anew.
fn refreshes(trigger: &Trigger) -> bool {
    matches!(trigger.event, Event::Schedule | Event::WorkflowDispatch)
}

/// The option that keeps all layers from being used, with the name of the input that it is.
fn option(view: &WorkflowView<'_>, build: &StepView<'_>) -> Option<(Span, Option<&'static str>)> {
    let step = build.own_step()?;
    let input = |name: &str| step.input(name);
    if let Some(found) = input("no-cache").filter(|it| it.truth() == Some(true)) {
        return Some((found.span, Some("no-cache")));
    }
    if let Some(found) = input("no-cache-filters") {
        return is_for_all_stages(view, build, found).then_some((found.span, Some("no-cache-filters")));
    }
    // Of a command it is a flag; of `--no-cache-filter` not all stages are known to be meant.
    let flagged = step.run.as_ref().is_some_and(|it| it.script.commands.iter().any(|it| it.words.iter().any(|it| it.text == "--no-cache")));
    (build.build.tool == Tool::Command && flagged).then_some((build.build.span, None))
}

/// Whether the stages that are named are all that run anything.
fn is_for_all_stages(view: &WorkflowView<'_>, build: &StepView<'_>, filters: &Input) -> bool {
    let names: Option<Vec<String>> = filters.list(true).iter().map(|it| it.known().map(str::to_lowercase)).collect();
    let (Some(names), Some(path)) = (names, build.dockerfile()) else { return false };
    let (Some(dockerfile), [place, ..]) = (view.dockerfile(path), build.places.as_slice()) else { return false };
    let runs = |it: &&Stage| it.instructions.iter().any(|it| matches!(it.kind, Kind::Run(_)));
    let mut stages = place.target.stages(dockerfile).into_iter().flatten().filter(runs).peekable();
    stages.peek().is_some() && stages.all(|it| it.name.as_ref().is_some_and(|it| names.contains(it)))
}

fn fix(view: &WorkflowView<'_>, build: &StepView<'_>, input: &str) -> Option<Fix> {
    let edits = view.remove_input(build.own_step()?, input)?;
    Some(Fix::unproven(format!("Remove `{input}`"), vec![FileEdits { path: view.path.clone(), edits, create: false }]))
}

#[cfg(test)]
mod tests {
    use super::NO_CACHE_WITH_CACHE as RULE;
    use crate::rules::testing::{build_step, check, check_unsafe_fix, check_without_fix, marked, steps};

    const CACHE: &str = "cache-from: type=gha\ncache-to: type=gha,mode=max";

    fn found(text: &str, option: &str, import: &str) -> String {
        marked(&marked(text, option, "warning: no layer is taken from the cache that this build imports"), import, "note: the import is for nothing")
    }

    #[test]
    fn targets_and_services_have_the_option_too() {
        let message = "warning: no layer is taken from this cache, since `app` is built without one";
        let bake = "#- docker-bake.hcl\ntarget \"app\" {\n  no-cache = true\n  cache-from = [\"type=gha,scope=a\"]\n}\n";
        let compose = "#- compose.yaml\nservices:\n  app:\n    build:\n      context: .\n      no_cache: true\n      cache_from: [org/app:cache]\n";
        check_without_fix(&RULE, &marked(bake, "type=gha,scope=a", message));
        check_without_fix(&RULE, &marked(compose, "org/app:cache", message));
        check(&RULE, &bake.replace("true", "false"));
        check(&RULE, &compose.replace("      cache_from: [org/app:cache]\n", ""));
        let bake_only = steps("- uses: docker/bake-action@v7\n  with: {source: ., targets: app}");
        check(&RULE, &format!("{compose}#- docker-bake.hcl\ntarget \"app\" {{ no-cache = false }}\n{bake_only}"));
        let called = |on: &str| steps("- uses: docker/bake-action@v7\n  with: {source: ., targets: app}").replace("on: push", on);
        for on in ["on: schedule", "on: [schedule, workflow_dispatch]", "on: release", "on: {push: {tags: ['v*']}}"] {
            check(&RULE, &format!("{bake}{}", called(on)));
            check_without_fix(&RULE, &format!("{}{}{}", marked(bake, "type=gha,scope=a", message), called(on), called("on: push").replace("ci.yml", "b.yml")));
        }
        let callee = called("on: workflow_call");
        let caller = |on: &str| format!("#- .github/workflows/main.yml\non: {on}\njobs:\n  a:\n    uses: ./.github/workflows/ci.yml\n");
        check(&RULE, &format!("{bake}{callee}{}", caller("schedule")));
        check_without_fix(&RULE, &format!("{}{callee}{}", marked(bake, "type=gha,scope=a", message), caller("push")));
        check_without_fix(&RULE, &format!("{}{callee}", marked(bake, "type=gha,scope=a", message)));
    }

    #[test]
    fn the_option_is_taken_away() {
        let text = build_step(&format!("no-cache: true\n{CACHE}"));
        check_unsafe_fix(&RULE, &found(&text, "no-cache: true", "type=gha"), &build_step(CACHE));
        let alone = build_step("cache-from: org/base:cache\nno-cache: True");
        check_unsafe_fix(&RULE, &found(&alone, "no-cache: True", "org/base:cache"), &build_step("cache-from: org/base:cache"));
    }

    #[test]
    fn flags_of_a_command_are_options_too() {
        let text = steps("- run: docker build --no-cache --cache-from org/app:cache .");
        check_without_fix(&RULE, &found(&text, "docker build", "org/app:cache"));
        check(&RULE, &steps("- run: docker build --cache-from org/app:cache ."));
    }

    #[test]
    fn filters_may_name_all_stages() {
        let stages = "#- Dockerfile\nFROM a:1.0 AS base\nRUN a\nFROM base AS app\nRUN b\n";
        let text = build_step(&format!("no-cache-filters: base,App\n{CACHE}"));
        check(&RULE, &format!("{stages}{}", found(&text, "no-cache-filters: base,App", "type=gha")));
        check(&RULE, &format!("{stages}{}", build_step(&format!("no-cache-filters: base\n{CACHE}"))));
        check(&RULE, &build_step(&format!("no-cache-filters: base\n{CACHE}")));
    }

    #[test]
    fn what_only_exports_fills_the_cache_anew() {
        check(&RULE, &build_step("no-cache: true\ncache-to: type=gha,mode=max"));
        check(&RULE, &build_step("no-cache: true"));
    }

    #[test]
    fn an_option_that_is_off_or_decided_later_is_silent() {
        for option in
            ["no-cache: false", "no-cache: ''", "no-cache: ${{ inputs.fresh }}", "no-cache: ${{ github.event_name == 'schedule' }}", "no-cache-filters: ''"]
        {
            check(&RULE, &build_step(&format!("{option}\n{CACHE}")));
        }
    }

    #[test]
    fn builds_that_renew_an_image_are_silent() {
        let text = build_step(&format!("no-cache: true\n{CACHE}"));
        check(&RULE, &text.replace("on: push", "on: {schedule: [{cron: '0 3 * * *'}], workflow_dispatch: }"));
        check(&RULE, &text.replace("docker/build-push-action", "depot/build-push-action"));
        let callee = text.replace("on: push", "on: workflow_call");
        let called = |on: &str| format!("#- .github/workflows/main.yml\non: {on}\njobs:\n  a:\n    uses: ./.github/workflows/ci.yml\n");
        check(&RULE, &format!("{callee}{}", called("schedule")));
        check_unsafe_fix(
            &RULE,
            &format!("{}{}", found(&callee, "no-cache: true", "type=gha"), called("[schedule, push]")),
            &callee.replace("          no-cache: true\n", ""),
        );
    }
}
