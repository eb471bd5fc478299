use super::{Check, Findings, declare_rule};
use crate::build::Build;
use crate::cache::{Attribute, Backend, CacheEntry};
use crate::diagnostic::{Fix, Level};
use crate::dockerfile::context::Origin;
use crate::links::locations::{Location, Side};
use crate::view::{Site, StepView, TargetView, TargetsView, WorkflowView};
use crate::volatility::{Axis, Variance};
use std::cell::LazyCell;
use std::collections::BTreeSet;

declare_rule! {
    /// A cache is exported to another place in every run.
    ///
    /// A scope with the commit or the number of the run in it is never asked for again: the next
    /// run has another commit and another number. The builder starts empty in every run, and the
    /// repository's room for caches fills up.
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
    ///           cache-from: type=gha,scope=app-${{ github.sha }}
    ///           cache-to: type=gha,mode=max,scope=app-${{ github.sha }}
    /// ```
    ///
    /// ```yaml,fixed
    /// #- .github/workflows/ci.yml
    /// on: push
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
    /// A second export to a place that stays is enough. So is a date without the time, which the runs
    /// of one day have in common: whoever puts it there wants to start afresh each day. So are a list
    /// of names in a bucket with one that stays, and a place that another build of the same run
    /// imports from.
    ///
    /// What a called workflow or action is given counts as well: it is a warning then, since it is right
    /// for other calls, and silent where the caller has more than one call that could import it.
    ///
    /// ## Fix safety
    ///
    /// Only cache options change.
    pub(crate) static PER_RUN_CACHE_SCOPE = {
        name: "per-run-cache-scope",
        level: Level::Error,
        fixes: true,
        check: Check::Builds(check, check_targets),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    let sites = LazyCell::new(|| view.sites());
    for build in view.judged() {
        for (entry, key, axis) in lost(build.build) {
            if !is_handed_on(view, build, entry) {
                findings.report(key.span, message(key, &axis, "")).maybe_fix(|| fix(view, build, entry, key));
            }
        }
        if build.build.exports.iter().any(|it| per_run(it).is_none() && is_given(it)) {
            check_as_called(view, &sites, build, findings);
        }
    }
}

/// What a call makes of the places. Another call may do well, and those of other repositories are not known.
fn check_as_called(view: &WorkflowView<'_>, sites: &[Site<'_>], build: &StepView<'_>, findings: &mut Findings<'_>) {
    let is_alone = |it: &&Site<'_>| sites.iter().filter(|other| other.path == it.path).count() == 1 && !it.imports_per_run();
    let lost = sites.iter().filter(is_alone).map(|it| lost_as_called(it, build.build)).find(|it| !it.is_empty()).unwrap_or_default();
    for (_, key, origin) in lost.into_iter().filter(|it| !is_handed_on(view, build, it.0)) {
        let Some(axis) = axis(&origin.variance) else { continue };
        let finding = findings.report(key.span, message(key, &axis, &origin.as_called())).level(Level::Warning);
        drop(finding.note_in(origin.path.clone(), origin.span, origin.note()));
    }
}

/// The exports of a build that a call sends to places that change, if all do.
fn lost_as_called<'b>(site: &Site<'_>, build: &'b Build) -> Vec<(&'b CacheEntry, &'b Attribute, Origin)> {
    let mut res = Vec::new();
    for entry in &build.exports {
        if per_run(entry).is_some() {
            continue;
        }
        let Some(key) = entry.key().filter(|_| !entry.opaque && entry.backend != Backend::Inline) else { return Vec::new() };
        let Some(origin) = site.origin(&key.value, |it| axis(it).is_some()).filter(|_| !is_list(key)) else { return Vec::new() };
        res.push((entry, key, origin));
    }
    res
}

fn is_given(entry: &CacheEntry) -> bool {
    entry.key().is_some_and(|it| it.value.variance().has_inputs())
}

fn check_targets(view: &TargetsView<'_>, findings: &mut Findings<'_>) {
    let mut seen = BTreeSet::new();
    for (target, build) in view.judged() {
        // Another target reads it, in a later call of the same run.
        let is_handed_on = |it: &CacheEntry| view.targets.iter().filter(|other| other.index != target.index).any(|other| imports(other, it));
        for (entry, key, axis) in lost(&build.build) {
            if view.has(entry) && !is_handed_on(entry) && seen.insert(key.span) {
                findings.report(key.span, message(key, &axis, ""));
            }
        }
    }
}

fn imports(target: &TargetView<'_>, export: &CacheEntry) -> bool {
    // What two targets have in common is one option, not one for the other.
    let has_it = target.build.exports.iter().any(|it| it.span == export.span);
    !has_it && target.build.imports.iter().any(|it| it.opaque || it.location() == export.location())
}

/// The exports of a build to places that change, if all do: any other may be the one that is asked
/// for again.
fn lost(build: &Build) -> Vec<(&CacheEntry, &Attribute, Axis)> {
    let stays = |it: &CacheEntry| it.opaque || (it.backend != Backend::Inline && per_run(it).is_none());
    if build.exports.iter().any(stays) {
        return Vec::new();
    }
    build.exports.iter().filter_map(|it| per_run(it).map(|(key, axis)| (it, key, axis))).collect()
}

/// `caller` says by whose call, where the build does not say it by itself.
fn message(key: &Attribute, axis: &Axis, caller: &str) -> String {
    let changes = if *axis == Axis::Commit { "with every commit" } else { "in every run" };
    format!("`{}` changes {changes}{caller}, so that what is exported is never imported again", key.name)
}

/// The attribute that makes the place another one in every run, and what it changes with.
fn per_run(entry: &CacheEntry) -> Option<(&Attribute, Axis)> {
    let key = entry.key().filter(|_| !entry.opaque)?;
    let axis = axis(&key.value.variance())?;
    (!is_list(key)).then_some((key, axis))
}

/// What makes a place another one in every run.
fn axis(variance: &Variance) -> Option<Axis> {
    [Axis::Run, Axis::Commit].into_iter().find(|it| variance.has(it))
}

/// Whether it is a list of names, which is written to all of them.
fn is_list(key: &Attribute) -> bool {
    key.name == "name" && key.value.pattern().contains(';')
}

/// Whether another build reads it: a later job of the same run, or a workflow that follows.
fn is_handed_on(view: &WorkflowView<'_>, build: &StepView<'_>, entry: &CacheEntry) -> bool {
    let pattern = entry.location();
    let same = |it: &&StepView<'_>| it.index != build.index && it.build.imports.iter().any(|it| it.opaque || it.location() == pattern);
    let locations = build.locations(entry, &view.path);
    let elsewhere = |it: &Location| view.users(Side::Import, it).any(|it| *it.path != view.path);
    view.builds.iter().any(|it| same(&it)) || locations.iter().any(elsewhere)
}

fn fix(view: &WorkflowView<'_>, build: &StepView<'_>, entry: &CacheEntry, key: &Attribute) -> Option<Fix> {
    let kept = view.without(&key.value, Variance::is_per_commit);
    let to = match (kept.as_str(), entry.backend) {
        ("", Backend::Gha) => view.scope_name(build)?,
        // Without a tag it would be the image itself.
        (kept, Backend::Registry) if kept.ends_with(':') => format!("{kept}buildcache"),
        (kept, _) => kept.to_owned(),
    };
    let broken = to.is_empty() || to.ends_with('/') || to.contains("//") || to.contains("/:");
    if broken || taken(view, build, entry, &to) {
        return None;
    }
    let edit = view.move_cache(build, &entry.location()?, &to)?;
    Some(Fix::cache_options(format!("Use `{to}` in every run"), view.path.clone(), edit))
}

/// Whether somebody writes to the new place already.
fn taken(view: &WorkflowView<'_>, build: &StepView<'_>, entry: &CacheEntry, to: &str) -> bool {
    let Some(key) = entry.key() else { return true };
    let moved = entry.with_key(&crate::value::Value::literal(to, key.value.span));
    build.locations(&moved, &view.path).iter().any(|it| view.is_used(Side::Export, it, &[]))
}

#[cfg(test)]
mod tests {
    use super::PER_RUN_CACHE_SCOPE as RULE;
    use crate::rules::testing::{build_step, check, check_fix, check_without_fix, marked, steps};

    const COMMIT: &str = "error: `scope` changes with every commit, so that what is exported is never imported again";

    #[test]
    fn what_changes_is_taken_out_on_both_sides() {
        let cases = [
            ("app-${{ github.sha }}", "app"),
            ("${{ github.sha }}-app", "app"),
            ("${{ github.ref_name }}-${{ github.sha }}", "${{ github.ref_name }}"),
            ("a-${{ github.sha }}-b", "a-b"),
            ("${{ github.sha }}", "image"),
        ];
        for (scope, expected) in cases {
            let text = |it: &str| {
                build_step(&format!("tags: org/image\ncache-to: type=gha,mode=max,scope={it}\ncache-from: |\n  type=gha,scope={it}\n  type=gha,scope=main"))
            };
            check_fix(&RULE, &marked(&text(scope), &format!("scope={scope}"), COMMIT), &text(expected));
        }
    }

    #[test]
    fn references_and_names_are_places_too() {
        let text = |it: &str| build_step(&format!("cache-to: 'type=registry,mode=max,ref={it}'"));
        let message = "error: `ref` changes with every commit, so that what is exported is never imported again";
        let of = |it: &str| marked(&text(it), &format!("ref={it}"), message);
        check_fix(&RULE, &of("org/app:cache-${{ github.sha }}"), &text("org/app:cache"));
        check_fix(&RULE, &of("org/app:${{ github.sha }}"), &text("org/app:buildcache"));
        check_without_fix(&RULE, &of("org/${{ github.sha }}/app"));
        let bucket = build_step("cache-to: type=s3,bucket=b,region=r,name=${{ github.run_id }}");
        check_without_fix(
            &RULE,
            &marked(&bucket, "name=${{ github.run_id }}", "error: `name` changes in every run, so that what is exported is never imported again"),
        );
    }

    #[test]
    fn a_second_export_that_stays_is_enough() {
        check(&RULE, &build_step("cache-to: |\n  type=registry,ref=org/app:${{ github.sha }}\n  type=registry,ref=org/app:cache"));
        check(&RULE, &build_step("cache-to: type=s3,bucket=b,region=r,name=${{ github.sha }};main"));
        check(&RULE, &build_step("cache-to: |\n  type=gha,scope=${{ github.sha }}\n  ${{ inputs.more }}"));
    }

    #[test]
    fn a_cache_for_a_later_job_is_silent() {
        let text = build_step("cache-to: type=gha,scope=app-${{ github.sha }}");
        let later = "  test:\n    needs: build\n    runs-on: ubuntu-latest\n    steps:\n      - uses: docker/build-push-action@v7\n        with:\n          cache-from: type=gha,scope=app-${{ github.sha }}\n";
        check(&RULE, &format!("{text}{later}"));
        check(&RULE, &format!("{text}{}", build_step("cache-from: type=gha,scope=app-${{ github.sha }}").replace("ci.yml", "other.yml")));
    }

    #[test]
    fn places_that_stay_for_a_while_are_silent() {
        for scope in ["app", "${{ github.ref_name }}", "${{ github.workflow }}", "${{ matrix.arch }}", "${{ inputs.scope }}", "${{ hashFiles('go.sum') }}"] {
            check(&RULE, &build_step(&format!("cache-to: type=gha,scope={scope}")));
        }
        let dated = "- id: date\n  run: echo \"date=$(date +'%Y-%m-%d')\" >> $GITHUB_OUTPUT\n- uses: docker/setup-buildx-action@v4\n- uses: docker/build-push-action@v7\n  with:\n    cache-to: type=gha,scope=app-${{ steps.date.outputs.date }}";
        check(&RULE, &steps(dated));
        check(&RULE, &build_step("tags: org/app:${{ github.sha }}\ncache-to: type=inline"));
        check(&RULE, &build_step("cache-to: type=local,dest=/tmp/cache-${{ github.sha }}"));
        check(&RULE, &build_step("cache-from: |\n  type=gha,scope=${{ github.sha }}\n  type=gha\ncache-to: type=gha"));
    }

    #[test]
    fn builders_that_keep_their_layers_are_silent() {
        check(&RULE, &steps("- uses: depot/build-push-action@v1\n  with:\n    cache-to: type=gha,scope=${{ github.sha }}"));
    }

    #[test]
    fn a_variable_of_the_runner_changes_in_a_bake_file_too() {
        let bake = "#- docker-bake.hcl\nvariable \"GITHUB_SHA\" {}\ntarget \"app\" {\n  cache-to = [\"type=gha,scope=${GITHUB_SHA}\"]\n}\n";
        let message = "error: `scope` changes with every commit, so that what is exported is never imported again";
        check(&RULE, &marked(bake, "scope=${GITHUB_SHA}", message));
        check(&RULE, &bake.replace("GITHUB_SHA", "NAME"));
        check(&RULE, &format!("{bake}target \"web\" {{\n  cache-from = [\"type=gha,scope=${{GITHUB_SHA}}\"]\n}}\n"));
        let compose = "#- compose.yaml\nservices:\n  app:\n    build:\n      cache_to: ['type=registry,ref=o/app:${GITHUB_RUN_ID:-0}']\n";
        check(&RULE, &marked(compose, "ref=o/app:${GITHUB_RUN_ID:-0}", "error: `ref` changes in every run, so that what is exported is never imported again"));
    }

    /// A reusable workflow whose scope an input says, and callers: the name of the file, and its jobs.
    fn called(scope: &str, callers: &[(&str, &str)]) -> String {
        let callee = format!(
            "#- .github/workflows/build.yml\non:\n  workflow_call:\n    inputs:\n      tag: {{type: string, default: x}}\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: docker/setup-buildx-action@v4\n      - uses: docker/build-push-action@v7\n        with:\n          cache-to: type=gha,scope={scope}\n"
        );
        callers.iter().fold(callee, |res, (name, jobs)| format!("{res}#- .github/workflows/{name}\non: push\njobs:\n{jobs}"))
    }

    const CALL: &str = "  call:\n    uses: ./.github/workflows/build.yml\n    with: {tag: 'a-${{ github.sha }}'}\n";
    const AS_CALLED: &str = "warning: `scope` changes with every commit as `ci.yml` calls it, so that what is exported is never imported again";

    /// With the note at what the call gives.
    fn given(text: &str, by: &str) -> String {
        marked(text, by, &format!("note: `{by}` is given here"))
    }

    #[test]
    fn what_a_call_gives_counts() {
        let scope = "scope=app-${{ inputs.tag }}";
        let text = called("app-${{ inputs.tag }}", &[("ci.yml", CALL)]);
        check_without_fix(&RULE, &given(&marked(&text, scope, AS_CALLED), "a-${{ github.sha }}"));
        let fixed = CALL.replace("${{ github.sha }}", "main");
        check_without_fix(
            &RULE,
            &given(&marked(&called("app-${{ inputs.tag }}", &[("ci.yml", CALL), ("other.yml", &fixed)]), scope, AS_CALLED), "a-${{ github.sha }}"),
        );
        check(&RULE, &called("app-${{ inputs.tag }}", &[("ci.yml", &fixed)]));
        check(&RULE, &called("app-${{ inputs.tag }}", &[("ci.yml", &CALL.replace("tag:", "other:"))]));
        check(&RULE, &called("app-${{ inputs.tag }}", &[]));
        check(&RULE, &called("app", &[("ci.yml", CALL)]));
    }

    #[test]
    fn what_the_caller_may_import_again_is_silent() {
        let scope = "app-${{ inputs.tag }}";
        check(&RULE, &called(scope, &[("ci.yml", &format!("{CALL}{}", CALL.replace("call:", "again:")))]));
        let reads = "  read:\n    needs: call\n    runs-on: ubuntu-latest\n    steps:\n      - uses: docker/build-push-action@v7\n        with:\n          cache-from: type=gha,scope=app-a-${{ github.sha }}\n";
        check(&RULE, &called(scope, &[("ci.yml", &format!("{CALL}{reads}"))]));
        check(&RULE, &called(&format!("{scope}\n            type=gha"), &[("ci.yml", CALL)]).replace("cache-to: ", "cache-to: |\n            "));
    }

    #[test]
    fn a_call_through_another_counts_and_a_step_that_calls_an_action() {
        let text = called(
            "${{ inputs.tag }}",
            &[
                ("middle.yml", "  call:\n    uses: ./.github/workflows/build.yml\n    with: {tag: '${{ inputs.tag }}'}\n"),
                ("ci.yml", &CALL.replace("build.yml", "middle.yml")),
            ],
        );
        let text = text.replace("middle.yml\non: push", "middle.yml\non:\n  workflow_call:\n    inputs: {tag: {type: string}}");
        check_without_fix(&RULE, &given(&marked(&text, "scope=${{ inputs.tag }}", AS_CALLED), "a-${{ github.sha }}"));
        let action = "#- .github/actions/build/action.yml\ninputs:\n  tag: {required: true}\n  run: {default: '${{ github.run_id }}'}\nruns:\n  using: composite\n  steps:\n    - uses: docker/setup-buildx-action@v4\n    - uses: docker/build-push-action@v7\n      with:\n        cache-to: type=gha,scope=${{ inputs.tag }}\n#- .github/workflows/ci.yml\non: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: ./.github/actions/build\n        with: {tag: 'a-${{ github.sha }}'}\n";
        check_without_fix(&RULE, &given(&marked(action, "scope=${{ inputs.tag }}", AS_CALLED), "a-${{ github.sha }}"));
        check(&RULE, &action.replace("github.sha", "github.ref_name"));
        let default = action.replace("scope=${{ inputs.tag }}", "scope=${{ inputs.run }}");
        let message = AS_CALLED.replace("with every commit", "in every run");
        let note = "note: `${{ github.run_id }}` is given here";
        check_without_fix(&RULE, &marked(&marked(&default, "scope=${{ inputs.run }}", &message), "'${{ github.run_id }}'", note));
    }
}
