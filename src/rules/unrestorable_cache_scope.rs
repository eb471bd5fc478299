use super::{Check, Findings, declare_rule};
use crate::cache::{Backend, CacheEntry};
use crate::diagnostic::Level;
use crate::links::locations::{Location, Side};
use crate::value::Value;
use crate::view::{Run, StepView, WorkflowView};
use crate::workflow::Trigger;
use std::collections::BTreeSet;

declare_rule! {
    /// A cache is written only where no other run can read it.
    ///
    /// GitHub keeps a cache for each branch, tag and pull request. A run reads that of its own, of
    /// the branch a pull request is for, and of the default branch; never that of another tag or of
    /// another pull request. A cache that only these write is empty for every new one of them.
    ///
    /// ```yaml,bad
    /// #- .github/workflows/release.yml
    /// on:
    ///   push:
    ///     tags: ['v*']
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           push: true
    ///           tags: org/app:${{ github.ref_name }}
    ///           cache-from: type=gha,scope=app
    ///           cache-to: type=gha,mode=max,scope=app
    /// ```
    ///
    /// ```yaml,good
    /// #- .github/workflows/release.yml
    /// on:
    ///   push:
    ///     branches: [main]
    ///     tags: ['v*']
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           push: ${{ github.ref_type == 'tag' }}
    ///           tags: org/app:${{ github.ref_name }}
    ///           cache-from: type=gha,scope=app
    ///           cache-to: type=gha,mode=max,scope=app
    /// ```
    ///
    /// A build of any workflow that runs on a branch and exports to the same scope is enough, and
    /// so is one of which this cannot be told. A registry or a bucket is the same for all runs.
    /// What a release imports others can have written; a release without a cache is a good choice
    /// too.
    ///
    /// ## Fix safety
    ///
    /// There is no fix: when a workflow runs is not to be changed unseen.
    pub(crate) static UNRESTORABLE_CACHE_SCOPE = {
        name: "unrestorable-cache-scope",
        level: Level::Warning,
        fixes: false,
        check: Check::Workflow(check),
    }
}

/// More builds that write one location than that are not looked at.
const MAX_WRITERS: usize = 200;

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    if view.workflow.broken || !view.is_on_github() || view.may_use(Side::Export, Backend::Gha) {
        return;
    }
    let mut seen: Vec<Location> = Vec::new();
    for build in view.judged().filter(|it| !it.build.opaque && it.may_write_cache()) {
        for entry in build.build.exports.iter().filter(|it| is_plain(it)) {
            let fresh: Vec<Location> = build.locations(entry, &view.path).into_iter().filter(|it| !seen.contains(it)).collect();
            seen.extend(fresh.iter().cloned());
            if fresh.is_empty() {
                continue;
            }
            let Some(runs) = fresh.iter().map(|it| writers(view, build, it)).collect::<Option<Vec<_>>>() else { continue };
            let triggers = view.triggers();
            if triggers.iter().any(|(_, it)| has_moving_tag(it)) {
                return;
            }
            let runs: BTreeSet<Run> = runs.into_iter().flatten().collect();
            let words: Vec<&str> = runs.iter().map(|it| it.words()).collect();
            let message = format!("only {} write {}, which {} can read", words.join(" and "), entry.describe(), others(&runs));
            let finding = findings.report(entry.span, message);
            match triggers.first() {
                Some((path, trigger)) => drop(finding.note_in((*path).clone(), trigger.span, "no build on a branch writes it")),
                None => drop(finding),
            }
        }
    }
}

/// Whether one of the tags is a name that is no version, such as `next`: it is pushed again and again, and its runs
/// read what the last one wrote.
fn has_moving_tag(trigger: &Trigger) -> bool {
    let is_name = |it: &str| !it.contains(['*', '?', '+', '[', '!']) && !it.contains(|it: char| it.is_ascii_digit());
    trigger.tags.iter().flat_map(|it| &it.patterns).filter_map(Value::known).any(|it| is_name(&it))
}

/// Who cannot read it: runs of the same pull request, or of the same tag, do.
fn others(runs: &BTreeSet<Run>) -> &'static str {
    let is_all = |run: Run| runs.iter().all(|it| *it == run);
    if is_all(Run::PullRequest) {
        "no other pull request"
    } else if is_all(Run::Tag) {
        "no other tag"
    } else {
        "no run of another ref"
    }
}

fn is_plain(entry: &CacheEntry) -> bool {
    entry.backend == Backend::Gha
        && !entry.opaque
        && !entry.is_joined()
        && !entry.conditional
        && entry.attribute("token").is_none()
        && entry.attribute("url").is_none()
}

/// What all builds that write a location run on, if that is closed for everybody else.
fn writers(view: &WorkflowView<'_>, build: &StepView<'_>, location: &Location) -> Option<BTreeSet<Run>> {
    let mut res = build.runs(view);
    let mut closed = matches!(location, Location::At(_)) && !res.is_empty();
    for (count, it) in view.users(Side::Export, location).enumerate() {
        // Bake and compose files run wherever somebody calls them.
        closed &= it.described.step.is_some() && count < MAX_WRITERS;
        if !closed {
            return None;
        }
        res.extend(it.runs(view.snapshot));
    }
    (closed && res.iter().all(|it| it.is_closed())).then_some(res)
}

#[cfg(test)]
mod tests {
    use super::UNRESTORABLE_CACHE_SCOPE as RULE;
    use crate::rules::testing::{build_step, check, check_without_fix, marked};

    const TAGS: &str = "on: {push: {tags: ['v*']}}";

    fn on(on: &str, with: &str) -> String {
        build_step(with).replace("on: push", on)
    }

    fn found(text: &str, trigger: &str, entry: &str, who: &str) -> String {
        let others = match who {
            "tags" => "no other tag",
            "pull requests" => "no other pull request",
            _ => "no run of another ref",
        };
        let message = format!("warning: only {who} write the scope `app`, which {others} can read");
        marked(&marked(text, trigger, "note: no build on a branch writes it"), entry, &message)
    }

    #[test]
    fn a_tag_that_moves_reads_what_it_wrote() {
        let with = "cache-to: type=gha,mode=max,scope=app";
        check(&RULE, &on("on: {push: {tags: ['v*', next]}}", with));
        check(&RULE, &on("on: {push: {tags: [nightly]}}", with));
        check(&RULE, &found(&on("on: {push: {tags: [v1.2]}}", with), "push", "type=gha,mode=max,scope=app", "tags"));
    }

    #[test]
    fn a_cache_of_tags_or_pull_requests_is_read_by_nobody_else() {
        for (events, trigger, who) in [
            ("on: {push: {tags: ['v*']}}", "push", "tags"),
            ("on: {release: {types: [published]}}", "release", "tags"),
            ("on: pull_request", "pull_request", "pull requests"),
            ("on: [pull_request, merge_group]", "pull_request", "pull requests and merge groups"),
        ] {
            check_without_fix(&RULE, &found(&on(events, "cache-to: type=gha,scope=app"), trigger, "type=gha,scope=app", who));
        }
    }

    #[test]
    fn a_condition_may_keep_branches_out() {
        let text =
            on("on: [push, pull_request]", "cache-to: type=gha,scope=app").replace("    steps:", "    if: github.event_name == 'pull_request'\n    steps:");
        check(&RULE, &found(&text, "push", "type=gha,scope=app", "pull requests"));
    }

    #[test]
    fn a_build_on_a_branch_is_enough() {
        for events in ["on: push", "on: {push: {branches: [main], tags: ['v*']}}", "on: [pull_request, schedule]", "on: [release, workflow_dispatch]"] {
            check(&RULE, &on(events, "cache-to: type=gha,scope=app"));
        }
        let release = on(TAGS, "cache-to: type=gha,scope=app");
        let main = on("on: {push: {branches: [main]}}", "cache-to: type=gha,scope=app").replace("ci.yml", "main.yml");
        check(&RULE, &format!("{release}{main}"));
        let other = main.replace("scope=app", "scope=web");
        check(&RULE, &format!("{}{other}", found(&release, "push", "type=gha,scope=app", "tags")));
    }

    #[test]
    fn writers_that_are_not_known_are_silent() {
        let release = on(TAGS, "cache-to: type=gha,scope=app");
        for with in ["cache-to: type=gha,scope=${{ inputs.scope }}", "cache-to: ${{ inputs.cache }}"] {
            check(&RULE, &format!("{release}{}", on("on: push", with).replace("ci.yml", "main.yml")));
        }
        check(&RULE, &format!("{release}#- docker-bake.hcl\ntarget \"a\" {{\n  cache-to = [\"type=gha,scope=app\"]\n}}\n"));
        check(&RULE, &on("on: workflow_call", "cache-to: type=gha,scope=app"));
        check(&RULE, &on(TAGS, "cache-to: ${{ github.event_name == 'push' && 'type=gha,scope=app' || '' }}"));
    }

    #[test]
    fn caches_that_all_runs_share_are_silent() {
        check(&RULE, &on(TAGS, "cache-to: type=registry,ref=org/app:cache"));
        check(&RULE, &on(TAGS, "cache-from: type=gha,scope=app"));
        check(&RULE, &on(TAGS, "cache-to: type=gha,scope=app").replace("docker/build-push-action", "depot/build-push-action"));
        check(&RULE, &on(TAGS, "cache-to: type=gha,scope=app").replace(".github", ".gitea"));
    }

    #[test]
    fn what_is_called_runs_on_what_its_callers_do() {
        let callee = on("on: workflow_call", "cache-to: type=gha,scope=app").replace("ci.yml", "build.yml");
        let caller =
            |name: &str, on: &str| format!("#- .github/workflows/{name}\non: {on}\njobs:\n  a:\n    if: success()\n    uses: ./.github/workflows/build.yml\n");
        let both = format!("{callee}{}", caller("ci.yml", "pull_request"));
        check_without_fix(&RULE, &found(&both, "pull_request", "type=gha,scope=app", "pull requests"));
        check(&RULE, &format!("{both}{}", caller("main.yml", "push")));
        check(&RULE, &format!("{both}{}", caller("main.yml", "workflow_run")));
        let tags = format!("{both}{}", caller("main.yml", "push").replace("success()", "startsWith(github.ref, 'refs/tags/')"));
        check_without_fix(&RULE, &found(&tags, "pull_request", "type=gha,scope=app", "tags and pull requests"));
        check(&RULE, &tags.replace("startsWith(github.ref, 'refs/tags/')", "inputs.all"));
        check(&RULE, &callee);
    }

    #[test]
    fn an_action_runs_on_what_its_callers_do() {
        let action = "#- .github/actions/build/action.yml\nruns:\n  using: composite\n  steps:\n    - uses: docker/setup-buildx-action@v4\n    - uses: docker/build-push-action@v7\n      with:\n        cache-to: type=gha,scope=app\n#- .github/workflows/ci.yml\non: EVENT\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: ./.github/actions/build\n";
        check_without_fix(&RULE, &found(&action.replace("EVENT", "release"), "release", "type=gha,scope=app", "tags"));
        check(&RULE, &action.replace("EVENT", "push"));
    }
}
