use super::{Check, Findings, declare_rule};
use crate::cache::{Backend, CacheEntry};
use crate::diagnostic::{FileEdits, FileSpan, Fix, Level};
use crate::links::locations::{Location, Side};
use crate::view::{Run, StepView, WorkflowView};
use crate::volatility::Axis;
use crate::workflow::repair::CacheEdit;
use crate::workflow::{Event, Step, Trigger};
use std::collections::BTreeSet;

declare_rule! {
    /// A cache is exported in runs of pull requests.
    ///
    /// In GitHub's cache nobody but the same pull request reads what it writes, and it takes room
    /// from the cache of the default branch, which all read: 10 GB in all. A registry or a bucket
    /// is one for all runs: there code that nobody has looked at yet replaces what every later
    /// build starts from. And a run of `pull_request_target` or `issue_comment` is given a cache of
    /// GitHub that it can only read, so that the export fails, and the build with it.
    ///
    /// ```yaml,bad
    /// #- .github/workflows/ci.yml
    /// on: [push, pull_request]
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           cache-from: type=gha,scope=app
    ///           cache-to: type=gha,mode=max,scope=app
    /// ```
    ///
    /// ```yaml,good
    /// #- .github/workflows/ci.yml
    /// on: [push, pull_request]
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           cache-from: type=gha,scope=app
    ///           cache-to: ${{ github.event_name != 'pull_request' && 'type=gha,mode=max,scope=app' || '' }}
    /// ```
    ///
    /// An information for GitHub's cache, where a pull request that lives long may do well with
    /// layers of its own; a warning where others read what it writes, and where the export must
    /// fail. Not reported are workflows that build nothing on branches by themselves, builds and exports with a
    /// condition, a `cache-mode`, references that each pull request has for itself, and
    /// `workflow_run`, which is as trusted as the run before it.
    ///
    /// ## Fix safety
    ///
    /// Only cache options change; unsafe for GitHub's cache, as a pull request then does without
    /// layers of its own. There is no fix where an expression in the option would have to
    /// stand in another one.
    pub(crate) static PULL_REQUEST_CACHE_EXPORT = {
        name: "pull-request-cache-export",
        level: Level::Info,
        fixes: true,
        check: Check::Workflow(check),
    }
}

/// Why a run had better not write a location.
enum Harm {
    /// Nobody else reads it.
    Room,
    /// Others read it.
    Shared,
    /// GitHub refuses it.
    Refused(FileSpan),
    /// It is written by a run of the default branch, with code that strangers send.
    Poisoned(FileSpan),
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    if view.workflow.broken {
        return;
    }
    for build in view.judged().filter(|it| !it.build.opaque && it.may_write_cache()) {
        let runs = build.runs(view);
        // Another rule says that these are left out.
        let is_left_out = |it: &CacheEntry| view.is_on_github() && it.needs_token() && build.lacks_token(view);
        for entry in build.build.exports.iter().filter(|it| is_plain(it) && !is_left_out(it)) {
            let Some(harm) = harm(view, build, entry, &runs) else { continue };
            let (level, message) = match harm {
                Harm::Room => (Level::Info, "what a pull request exports nobody else can read, and it takes room from the cache of the default branch"),
                Harm::Shared => (Level::Warning, "what a pull request builds takes the place of the cache that all other builds import"),
                Harm::Refused(_) => (Level::Warning, "runs of this workflow may only read GitHub's cache, so that this export fails"),
                Harm::Poisoned(_) => (Level::Warning, "what strangers send takes the place of the cache that other builds import"),
            };
            let finding = findings.report(entry.span, message).level(level);
            match harm {
                Harm::Refused(trigger) | Harm::Poisoned(trigger) => {
                    drop(finding.note_in(trigger.path, trigger.span, "anybody can start a run on the default branch with this event"))
                }
                // A pull request that lives long loses by it.
                Harm::Room => drop(finding.maybe_fix(|| Some(unproven(view, edit(view, build, entry)?)))),
                Harm::Shared => drop(finding.maybe_fix(|| Some(Fix::cache_options(TITLE, view.path.clone(), edit(view, build, entry)?)))),
            }
        }
    }
}

fn is_plain(entry: &CacheEntry) -> bool {
    let kept = matches!(entry.backend, Backend::Gha | Backend::Registry | Backend::S3 | Backend::Azblob);
    kept && !entry.opaque && !entry.is_joined() && !entry.conditional
}

fn harm(view: &WorkflowView<'_>, build: &StepView<'_>, entry: &CacheEntry, runs: &BTreeSet<Run>) -> Option<Harm> {
    if runs.contains(&Run::Unknown) {
        return None;
    }
    let is_gha = entry.backend == Backend::Gha;
    if let Some((path, trigger)) = view.read_only_trigger(build) {
        let trigger = FileSpan { path: path.clone(), span: trigger.span };
        let fails = entry.attribute("ignore-error").is_none_or(|it| it.known().as_deref() == Some("false")) && entry.attribute("token").is_none();
        return match is_gha {
            true => (fails && view.is_on_github()).then_some(Harm::Refused(trigger)),
            false => (builds_what_strangers_send(build) && is_shared(view, build, entry)).then_some(Harm::Poisoned(trigger)),
        };
    }
    // What somebody starts by hand does not keep the cache of the default branch current.
    let by_itself = |it: &Trigger| (it.event == Event::Push && !it.is_tags_only()) || it.event == Event::Schedule;
    let others = runs.contains(&Run::Branch) && view.triggers().iter().any(|it| by_itself(it.1));
    match is_gha {
        _ if !runs.contains(&Run::PullRequest) => None,
        true => (others && view.is_on_github()).then_some(Harm::Room),
        false => is_shared(view, build, entry).then_some(Harm::Shared),
    }
}

/// Whether a build that is not of a pull request reads what is written, in a place that is the same
/// for all of them.
fn is_shared(view: &WorkflowView<'_>, build: &StepView<'_>, entry: &CacheEntry) -> bool {
    let Some(key) = entry.key() else { return false };
    let variance = key.value.variance();
    let apart = [Axis::Ref, Axis::Event, Axis::Unknown].iter().any(|it| variance.has(it)) || variance.is_per_commit();
    let is_outside = |it: &Run| matches!(it, Run::Branch | Run::Tag | Run::Stranger);
    let read = |it: &Location| view.users(Side::Import, it).any(|it| it.runs(view.snapshot).iter().any(is_outside));
    !apart && build.locations(entry, &view.path).iter().any(|it| matches!(it, Location::At(_)) && read(it))
}

/// Whether the job checks out the pull request, which is not what such an event checks out by itself.
fn builds_what_strangers_send(build: &StepView<'_>) -> bool {
    let checks_out = |it: &Step| it.is_checkout() && it.input("ref").is_some_and(|it| ["head", "pull"].iter().any(|word| it.value.pattern().contains(word)));
    build.steps_before().iter().any(checks_out)
}

const TITLE: &str = "Export in other runs only";

fn unproven(view: &WorkflowView<'_>, edit: CacheEdit) -> Fix {
    Fix::unproven(TITLE, vec![FileEdits { path: view.path.clone(), edits: edit.into_edits(), create: false }])
}

fn edit(view: &WorkflowView<'_>, build: &StepView<'_>, entry: &CacheEntry) -> Option<CacheEdit> {
    // Without other runs there would be no export at all.
    if build.runs(view).iter().all(|it| *it == Run::PullRequest) {
        return None;
    }
    view.edits().keep_from_pull_requests(entry)
}

#[cfg(test)]
mod tests {
    use super::PULL_REQUEST_CACHE_EXPORT as RULE;
    use crate::rules::testing::{build_step, check, check_fix, check_unsafe_fix, check_without_fix, marked, steps};

    const ROOM: &str = "info: what a pull request exports nobody else can read, and it takes room from the cache of the default branch";
    const SHARED: &str = "warning: what a pull request builds takes the place of the cache that all other builds import";
    const REFUSED: &str = "warning: runs of this workflow may only read GitHub's cache, so that this export fails";
    const STRANGERS: &str = "note: anybody can start a run on the default branch with this event";

    fn on(events: &str, with: &str) -> String {
        build_step(with).replace("on: push", events)
    }

    #[test]
    fn the_export_is_kept_for_other_runs() {
        let both = "on: [push, pull_request]";
        for (before, entry, after) in [
            ("cache-to: type=gha,mode=max", "type=gha,mode=max", "cache-to: ${{ github.event_name != 'pull_request' && 'type=gha,mode=max' || '' }}"),
            (
                "cache-to: |\n  type=gha,scope=a\n  type=inline",
                "type=gha,scope=a",
                "cache-to: |\n  ${{ github.event_name != 'pull_request' && 'type=gha,scope=a' || '' }}\n  type=inline",
            ),
        ] {
            check_unsafe_fix(&RULE, &marked(&on(both, before), entry, ROOM), &on(both, after));
        }
        let own = "cache-to: type=gha,scope=${{ matrix.app }}";
        check_without_fix(&RULE, &marked(&on(both, own), "type=gha,scope=${{ matrix.app }}", ROOM));
    }

    #[test]
    fn a_registry_is_one_for_all() {
        let with = "cache-from: type=registry,ref=org/app:cache\ncache-to: type=registry,ref=org/app:cache,mode=max";
        let after = "cache-from: type=registry,ref=org/app:cache\ncache-to: ${{ github.event_name != 'pull_request' && 'type=registry,ref=org/app:cache,mode=max' || '' }}";
        let events = "on: {push: {branches: [main]}, pull_request: }";
        check_fix(&RULE, &marked(&on(events, with), "type=registry,ref=org/app:cache,mode=max", SHARED), &on(events, after));
        let read = build_step("cache-from: type=registry,ref=org/app:cache").replace("ci.yml", "main.yml");
        let alone = marked(&on("on: pull_request", with), "type=registry,ref=org/app:cache,mode=max", SHARED);
        check_without_fix(&RULE, &format!("{alone}{read}"));
        check(&RULE, &on("on: pull_request", with));
    }

    #[test]
    fn references_of_one_pull_request_are_silent() {
        for name in [
            "pr-${{ github.event.number }}",
            "${{ github.head_ref }}",
            "${{ github.ref_name }}",
            "${{ github.event_name }}",
            "${{ github.sha }}",
            "${{ inputs.tag }}",
        ] {
            let entry = format!("type=registry,ref=org/app:{name}");
            check(&RULE, &on("on: [push, pull_request]", &format!("cache-from: {entry}\ncache-to: {entry}")));
        }
    }

    #[test]
    fn runs_that_strangers_start_cannot_write() {
        for event in ["pull_request_target", "issue_comment"] {
            let text = on(&format!("on: [push, {event}]"), "cache-to: type=gha");
            check_without_fix(&RULE, &marked(&marked(&text, event, STRANGERS), "type=gha", REFUSED));
        }
        for with in
            ["cache-to: type=gha,ignore-error=true", "cache-to: type=gha,token=t,url=u", "cache-to: ${{ github.event_name == 'push' && 'type=gha' || '' }}"]
        {
            check(&RULE, &on("on: pull_request_target", with));
        }
        check(&RULE, &on("on: pull_request_target", "cache-to: type=gha").replace("jobs:", "cache-mode: write\njobs:"));
        check(&RULE, &on("on: workflow_run", "cache-to: type=gha"));
    }

    #[test]
    fn what_strangers_send_is_not_for_all() {
        let with = "context: .\ncache-from: type=registry,ref=org/app:cache\ncache-to: type=registry,ref=org/app:cache,mode=max";
        let text = on("on: pull_request_target", with);
        let head = text.replace(
            "      - uses: docker/build",
            "      - uses: actions/checkout@v6\n        with: {ref: '${{ github.event.pull_request.head.sha }}'}\n      - uses: docker/build",
        );
        let message = "warning: what strangers send takes the place of the cache that other builds import";
        check_without_fix(&RULE, &marked(&marked(&head, "pull_request_target", STRANGERS), "type=registry,ref=org/app:cache,mode=max", message));
        check(&RULE, &text);
    }

    #[test]
    fn conditions_that_leave_pull_requests_out_are_silent() {
        let text = on("on: [push, pull_request]", "cache-to: type=gha");
        for condition in [
            "github.event_name == 'push'",
            "github.event_name != 'pull_request'",
            "github.ref == 'refs/heads/main'",
            "inputs.push || github.event_name == 'push'",
        ] {
            check(&RULE, &text.replace("    steps:", &format!("    if: {condition}\n    steps:")));
        }
        check(&RULE, &on("on: [push, pull_request]", "cache-to: ${{ github.event_name == 'push' && 'type=gha' || '' }}"));
    }

    #[test]
    fn what_a_script_without_the_token_leaves_out_is_silent() {
        let text = |before: &str| {
            let build = format!("{before}- uses: docker/setup-buildx-action@v4\n- run: docker buildx build --cache-to type=gha,mode=max .");
            steps(&build).replace("on: push", "on: [push, pull_request]")
        };
        check(&RULE, &text(""));
        check(&RULE, &marked(&text("- uses: crazy-max/ghaction-github-runtime@v3\n"), "type=gha,mode=max", ROOM));
    }

    #[test]
    fn other_workflows_and_builders_are_silent() {
        for events in [
            "on: push",
            "on: pull_request",
            "on: {push: {tags: ['v*']}, pull_request: }",
            "on: [pull_request, merge_group, workflow_dispatch]",
            "on: workflow_call",
        ] {
            check(&RULE, &on(events, "cache-to: type=gha"));
        }
        for with in ["cache-to: type=inline", "cache-to: type=local,dest=/tmp/a", "cache-from: type=gha", "cache-to: ${{ inputs.cache }}"] {
            check(&RULE, &on("on: [push, pull_request]", with));
        }
        check(&RULE, &on("on: [push, pull_request]", "cache-to: type=gha").replace("docker/build-push-action", "depot/build-push-action"));
        check(&RULE, &on("on: [push, pull_request]", "cache-to: type=gha").replace("jobs:", "cache-mode: read\njobs:"));
    }

    #[test]
    fn what_is_called_runs_when_its_callers_do() {
        let callee = on("on: workflow_call", "cache-to: type=gha").replace("ci.yml", "build.yml");
        let called = |on: &str| format!("{callee}#- .github/workflows/ci.yml\non: {on}\njobs:\n  a:\n    uses: ./.github/workflows/build.yml\n");
        check_without_fix(&RULE, &marked(&marked(&called("pull_request_target"), "pull_request_target", STRANGERS), "type=gha", REFUSED));
        let after = callee.replace("type=gha", "${{ github.event_name != 'pull_request' && 'type=gha' || '' }}");
        check_unsafe_fix(&RULE, &marked(&called("[push, pull_request]"), "type=gha", ROOM), &after);
        for on in ["push", "pull_request", "workflow_call", "workflow_run", "pull_request_target\ncache-mode: write"] {
            check(&RULE, &called(on));
        }
        check(&RULE, &called("[push, pull_request_target]").replace("  a:\n", "  a:\n    if: github.event_name == 'push'\n"));
    }
}
