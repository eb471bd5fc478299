use super::{Check, Findings, declare_rule};
use crate::cache::{Attribute, Backend, CacheEntry};
use crate::diagnostic::{Fix, Level};
use crate::links::locations::{Location, Side};
use crate::value::{Part, Value};
use crate::view::{Run, StepView, WorkflowView};
use crate::volatility::{Axis, Variance};
use crate::workflow::{Event, Trigger};

declare_rule! {
    /// A cache is another one for each branch, and a new branch has none.
    ///
    /// GitHub keeps what branches write apart by itself, and lets a branch read the cache of the
    /// default branch. With the name of the branch in the scope it asks for a name that the default
    /// branch never wrote, and starts empty. A registry keeps nothing apart: there a branch may
    /// well have a reference of its own, as long as it also imports that of the default branch.
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
    ///           cache-from: type=gha,scope=app-${{ github.ref_name }}
    ///           cache-to: type=gha,mode=max,scope=app-${{ github.ref_name }}
    /// ```
    ///
    /// ```yaml,fixed
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
    /// Any second import is enough, and so is a workflow that runs on one branch only.
    ///
    /// ## Fix safety
    ///
    /// Only cache options change, on both sides. Offered for GitHub's cache, where no other build
    /// uses the old or the new scope: in a registry a pull request would then replace the cache of
    /// the default branch.
    pub(crate) static BRANCH_ONLY_CACHE_SCOPE = {
        name: "branch-only-cache-scope",
        level: Level::Info,
        fixes: true,
        check: Check::Workflow(check),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    if view.workflow.broken {
        return;
    }
    for build in view.judged().filter(|it| !it.build.opaque && !it.build.no_cache && it.may_write_cache() && runs_on_several(view, it)) {
        let Some((entry, key)) = build.build.exports.iter().find_map(|it| Some((it, branch_key(it)?))) else { continue };
        if has_fallback(build, entry) {
            continue;
        }
        let message = match entry.backend {
            Backend::Gha => format!("a new branch starts empty: `{}` is another one for each branch, which GitHub keeps apart already", key.name),
            _ => format!("a new branch starts empty: `{}` is another one for each branch, and no other is imported", key.name),
        };
        findings.report(key.span, message).maybe_fix(|| fix(view, build, entry, key));
    }
}

/// The attribute that names the branch, where the rest of the location is known.
fn branch_key(entry: &CacheEntry) -> Option<&Attribute> {
    let key = entry.key().filter(|_| !entry.opaque && !entry.is_joined())?;
    let variance = key.value.variance();
    let is_list = key.name == "name" && key.value.pattern().contains(';');
    (names_branch(&variance) && !is_list && !is_base(&key.value)).then_some(key)
}

fn names_branch(variance: &Variance) -> bool {
    variance.has(&Axis::Ref) && !variance.is_unknown() && !variance.is_per_commit()
}

/// Whether it names the branch that a pull request is for: that one has a cache.
fn is_base(value: &Value) -> bool {
    value.parts.iter().any(|it| matches!(it, Part::Expression { source, .. } if source.contains("base")))
}

/// Whether something else is imported, of another branch perhaps.
fn has_fallback(build: &StepView<'_>, entry: &CacheEntry) -> bool {
    let own = entry.location();
    build.build.imports.iter().any(|it| it.opaque || it.is_joined() || it.location() != own)
}

/// Whether it runs on more than one branch.
fn runs_on_several(view: &WorkflowView<'_>, build: &StepView<'_>) -> bool {
    let runs = build.runs(view);
    if runs.contains(&Run::Unknown) {
        return false;
    }
    if runs.contains(&Run::PullRequest) || runs.contains(&Run::MergeGroup) {
        return true;
    }
    let is_open = |push: &Trigger| {
        push.branches.as_ref().is_none_or(|it| it.patterns.len() > 1 || it.patterns.iter().any(|it| it.pattern().contains(['*', '?', '+', '['])))
    };
    let triggers = view.triggers();
    let mut pushes = triggers.iter().map(|it| it.1).filter(|it| it.event == Event::Push && !it.is_tags_only());
    runs.contains(&Run::Branch) && pushes.any(is_open)
}

fn fix(view: &WorkflowView<'_>, build: &StepView<'_>, entry: &CacheEntry, key: &Attribute) -> Option<Fix> {
    if entry.backend != Backend::Gha {
        return None;
    }
    let kept = view.without(&key.value, |it| it.has(&Axis::Ref));
    let to = if kept.is_empty() { view.scope_name(build)? } else { kept };
    let old = build.locations(entry, &view.path);
    let in_use = |it: &Location| [Side::Export, Side::Import].iter().any(|side| view.is_used(*side, it, &[build]));
    let moved = entry.with_key(&Value::literal(to.clone(), key.value.span));
    if to.ends_with('/') || old.iter().chain(&build.locations(&moved, &view.path)).any(in_use) {
        return None;
    }
    let edit = view.move_cache(build, &entry.location()?, &to)?;
    Some(Fix::cache_options(format!("Use the scope `{to}` on every branch"), view.path.clone(), edit))
}

#[cfg(test)]
mod tests {
    use super::BRANCH_ONLY_CACHE_SCOPE as RULE;
    use crate::rules::testing::{build_step, check, check_fix, check_without_fix, marked};

    const SCOPE: &str = "info: a new branch starts empty: `scope` is another one for each branch, which GitHub keeps apart already";

    fn both(scope: &str) -> String {
        build_step(&format!("tags: org/app:1\ncache-from: type=gha,scope={scope}\ncache-to: type=gha,mode=min,scope={scope}"))
    }

    fn found(text: &str, key: &str, message: &str) -> String {
        // The import has the same key on an earlier line.
        let (import, export) = text.split_at(text.find("cache-to").unwrap());
        format!("{import}{}", marked(export, key, message))
            .replace(&format!("{}^", " ".repeat(export.find(key).unwrap())), &format!("{}^", " ".repeat(10 + export.find(key).unwrap())))
    }

    #[test]
    fn the_name_of_the_branch_is_taken_out() {
        for (scope, after) in [
            ("app-${{ github.ref_name }}", "app"),
            ("${{ github.head_ref || github.ref_name }}-app", "app"),
            ("${{ github.ref }}", "app"),
            ("a-${{ github.ref_name }}-b", "a-b"),
        ] {
            check_fix(&RULE, &found(&both(scope), &format!("scope={scope}"), SCOPE), &both(after));
        }
    }

    #[test]
    fn what_is_called_runs_on_the_branches_of_its_callers() {
        let callee = both("app-${{ github.ref_name }}").replace("on: push", "on: workflow_call");
        let called = |on: &str| format!("#- .github/workflows/main.yml\non: {on}\njobs:\n  a:\n    uses: ./.github/workflows/ci.yml\n");
        let marked = found(&callee, "scope=app-${{ github.ref_name }}", SCOPE);
        check_fix(&RULE, &format!("{marked}{}", called("push")), &both("app").replace("on: push", "on: workflow_call"));
        for on in ["{push: {branches: [main]}}", "schedule", "workflow_call"] {
            check(&RULE, &format!("{callee}{}", called(on)));
        }
    }

    #[test]
    fn a_registry_needs_the_default_branch_beside_it() {
        let entry = "type=registry,ref=org/app:cache-${{ github.ref_name }}";
        let text = build_step(&format!("cache-from: {entry}\ncache-to: {entry},mode=max"));
        let message = "info: a new branch starts empty: `ref` is another one for each branch, and no other is imported";
        check_without_fix(&RULE, &found(&text, "ref=org/app:cache-${{ github.ref_name }}", message));
        check(&RULE, &build_step(&format!("cache-from: |\n  {entry}\n  type=registry,ref=org/app:cache-main\ncache-to: {entry},mode=max")));
    }

    #[test]
    fn scopes_that_others_use_are_not_moved() {
        let text = both("app-${{ github.ref_name }}");
        let other = build_step("cache-from: type=gha,scope=app-${{ github.ref_name }}").replace("ci.yml", "other.yml");
        check_without_fix(&RULE, &format!("{}{other}", found(&text, "scope=app-${{ github.ref_name }}", SCOPE)));
        let taken = build_step("file: other.Dockerfile\ncache-to: type=gha,scope=app").replace("ci.yml", "other.yml");
        check_without_fix(&RULE, &format!("{}{taken}", found(&text, "scope=app-${{ github.ref_name }}", SCOPE)));
    }

    #[test]
    fn a_second_import_is_enough() {
        for imports in ["type=gha,scope=app-main", "type=gha,scope=app-${{ github.base_ref }}", "type=registry,ref=org/app:cache", "${{ inputs.cache }}"] {
            check(
                &RULE,
                &build_step(&format!(
                    "cache-from: |\n  type=gha,scope=${{{{ github.ref_name }}}}\n  {imports}\ncache-to: type=gha,scope=${{{{ github.ref_name }}}}"
                )),
            );
        }
    }

    #[test]
    fn a_workflow_of_one_branch_is_silent() {
        for on in [
            "on: {push: {branches: [main]}}",
            "on: {push: {branches: [main]}, workflow_dispatch: }",
            "on: schedule",
            "on: workflow_call",
            "on: {push: {tags: ['v*']}}",
        ] {
            check(&RULE, &both("${{ github.ref_name }}").replace("on: push", on));
        }
    }

    #[test]
    fn other_scopes_are_silent() {
        for scope in [
            "app",
            "${{ github.workflow }}",
            "${{ github.base_ref }}",
            "${{ github.sha }}",
            "${{ github.ref_name }}-${{ github.sha }}",
            "${{ steps.a.outputs.b }}",
        ] {
            check(&RULE, &both(scope));
        }
        check(&RULE, &build_step("cache-from: type=gha,scope=${{ github.ref_name }}\ncache-to: type=gha"));
        check(&RULE, &both("${{ github.ref_name }}").replace("docker/build-push-action", "depot/build-push-action"));
    }
}
