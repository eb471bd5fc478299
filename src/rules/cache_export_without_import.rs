use super::{Check, Findings, declare_rule};
use crate::cache::{Backend, CacheEntry};
use crate::diagnostic::{Fix, Level};
use crate::links::locations::Side;
use crate::view::{StepView, TargetsView, WorkflowView, is_fixed_entry};
use crate::workflow::repair::matching_import;
use std::collections::BTreeSet;

declare_rule! {
    /// A cache is exported and nothing imports it.
    ///
    /// Exporting costs time and room in every run. Without a `cache-from` of the same location the
    /// builder starts empty all the same.
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
    ///           cache-to: type=gha,mode=max,scope=app
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
    ///           cache-to: type=gha,mode=max,scope=app
    ///           cache-from: type=gha,scope=app
    /// ```
    ///
    /// A build that fills a cache for others is not reported as long as a build of the repository
    /// imports it, nor one that must not use a cache (`no-cache`, `cache-mode: write-only`).
    ///
    /// ## Fix safety
    ///
    /// Only a cache option is added.
    pub(crate) static CACHE_EXPORT_WITHOUT_IMPORT = {
        name: "cache-export-without-import",
        level: Level::Warning,
        fixes: true,
        check: Check::Builds(check, check_targets),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    if view.workflow.broken {
        return;
    }
    for build in view.judged().filter(|it| it.build.imports.is_empty() && !it.build.no_cache && !it.build.opaque && it.may_write_cache()) {
        // An entry that may be anything may be meant for another build.
        if build.build.exports.iter().any(|it| it.opaque || it.is_joined()) {
            continue;
        }
        let Some(export) = build.build.exports.iter().find(|it| is_kept(it)) else { continue };
        if build.build.exports.iter().any(|it| is_read(view, build, it)) {
            continue;
        }
        findings.report(export.span, message(export)).maybe_fix(|| fix(view, build, export));
    }
}

fn check_targets(view: &TargetsView<'_>, findings: &mut Findings<'_>) {
    if view.is_broken() {
        return;
    }
    let mut seen = BTreeSet::new();
    for (target, build) in view.judged().filter(|(_, it)| it.build.imports.is_empty() && !it.build.no_cache && view.is_placed(it)) {
        let exports = &build.build.exports;
        let is_read = |it: &CacheEntry| it.opaque || it.is_joined() || !is_fixed_entry(it) || view.may_be_used(Side::Import, None, build, it);
        let Some(export) = exports.iter().find(|it| is_kept(it)).filter(|it| view.has(it) && !exports.iter().any(is_read)) else { continue };
        if seen.insert(export.span) {
            let edit = || view.add_import(target, export, &matching_import(&view.source, export)?);
            findings.report(export.span, message(export)).maybe_fix(|| Some(Fix::cache_options("Import what is exported", view.path.clone(), edit()?)));
        }
    }
}

fn message(export: &CacheEntry) -> String {
    format!("nothing imports {}, so that it is exported in vain", export.describe())
}

/// Whether it can be imported again, and from this repository only: a registry or a bucket has
/// readers elsewhere, but a build that does not read what it writes there itself is no better.
fn is_kept(entry: &CacheEntry) -> bool {
    matches!(entry.backend, Backend::Gha | Backend::Registry | Backend::S3 | Backend::Azblob) && entry.location().is_some()
}

fn is_read(view: &WorkflowView<'_>, build: &StepView<'_>, export: &CacheEntry) -> bool {
    let known = build.locations(export, &view.path).iter().any(|it| view.is_used(Side::Import, it, &[]));
    known || view.may_use(Side::Import, export.backend)
}

fn fix(view: &WorkflowView<'_>, build: &StepView<'_>, export: &CacheEntry) -> Option<Fix> {
    // It would find nothing.
    if view.changes_per_run(export) {
        return None;
    }
    // An import in all runs of what is exported in some is what one wants, but cannot be written
    // from the part of an expression.
    let import = matching_import(&view.source, export)?;
    let edit = view.edits().add(build.job.steps.get(build.step.step)?, build.step, Some(&import), None)?;
    Some(Fix::cache_options("Import what is exported", view.path.clone(), edit))
}

#[cfg(test)]
mod tests {
    use super::CACHE_EXPORT_WITHOUT_IMPORT as RULE;
    use crate::rules::testing::{build_step, check, check_fix, check_without_fix, marked, steps};

    #[test]
    fn the_import_is_added_in_every_style() {
        let cases = [
            ("cache-to: type=gha,mode=max", "type=gha,mode=max", "the scope `buildkit`", "cache-to: type=gha,mode=max\ncache-from: type=gha"),
            (
                "cache-to: |\n  type=registry,ref=org/app:cache,mode=max,image-manifest=true\n",
                "type=registry,ref=org/app:cache,mode=max,image-manifest=true",
                "the reference `org/app:cache`",
                "cache-to: |\n  type=registry,ref=org/app:cache,mode=max,image-manifest=true\ncache-from: type=registry,ref=org/app:cache",
            ),
            (
                "cache-to: 'type=gha,mode=max,scope=${{ github.ref_name }}' # why",
                "type=gha,mode=max,scope=${{ github.ref_name }}",
                "the scope `${{ github.ref_name }}`",
                "cache-to: 'type=gha,mode=max,scope=${{ github.ref_name }}' # why\ncache-from: type=gha,scope=${{ github.ref_name }}",
            ),
        ];
        for (before, entry, place, after) in cases {
            let message = format!("warning: nothing imports {place}, so that it is exported in vain");
            check_fix(&RULE, &marked(&build_step(before), entry, &message), &build_step(after));
        }
    }

    #[test]
    fn what_changes_with_each_run_is_not_imported() {
        let message = |scope: &str| format!("warning: nothing imports the scope `{scope}`, so that it is exported in vain");
        let text = build_step("cache-to: type=gha,mode=max,scope=${{ github.sha }}");
        check_without_fix(&RULE, &marked(&text, "type=gha,mode=max,scope=${{ github.sha }}", &message("${{ github.sha }}")));
    }

    #[test]
    fn a_flag_may_be_added_to_a_command() {
        let text = steps("- uses: docker/setup-buildx-action@v4\n- run: docker buildx build --cache-to type=registry,ref=org/app:cache,mode=max .");
        check_fix(
            &RULE,
            &marked(
                &text,
                "type=registry,ref=org/app:cache,mode=max",
                "warning: nothing imports the reference `org/app:cache`, so that it is exported in vain",
            ),
            &text.replace("build --cache-to", "build --cache-from type=registry,ref=org/app:cache --cache-to"),
        );
    }

    #[test]
    fn bake_knows_no_such_flag() {
        let text = steps("- uses: docker/setup-buildx-action@v4\n- run: docker buildx bake --set '*.cache-to=type=gha'");
        check_without_fix(&RULE, &marked(&text, "type=gha", "warning: nothing imports the scope `buildkit`, so that it is exported in vain"));
    }

    #[test]
    fn shared_text_is_not_edited() {
        let text = build_step("<<: *options\ncache-to: type=gha,mode=max").replace("on: push", "env: &options {A: b}\non: push");
        check_without_fix(&RULE, &marked(&text, "type=gha,mode=max", "warning: nothing imports the scope `buildkit`, so that it is exported in vain"));
    }

    #[test]
    fn what_another_build_imports_is_silent() {
        let other = |with: &str| build_step(with).replace("ci.yml", "other.yml");
        check(&RULE, &format!("{}{}", build_step("cache-to: type=gha,mode=max,scope=a"), other("cache-from: type=gha,scope=a")));
        check(&RULE, &format!("{}{}", build_step("cache-to: type=gha,mode=max,scope=a"), other("cache-from: type=gha,scope=${{ inputs.scope }}")));
        check(&RULE, &format!("{}{}", build_step("cache-to: type=gha,mode=max,scope=a"), other("cache-from: ${{ inputs.cache }}")));
        let bake = "#- docker-bake.hcl\ntarget \"a\" {\n  cache-from = [\"type=gha,scope=a\"]\n}\n";
        check(&RULE, &format!("{}{bake}", build_step("cache-to: type=gha,mode=max,scope=a")));
        let called = steps("- run: x").replace("ci.yml", "other.yml") + "  more:\n    uses: org/workflows/.github/workflows/image.yml@main\n";
        check(&RULE, &format!("{}{called}", build_step("cache-to: type=gha,mode=max,scope=a")));
    }

    #[test]
    fn another_scope_or_backend_is_no_import() {
        let other = build_step("cache-from: |\n  type=gha,scope=b\n  type=registry,ref=org/app:cache").replace("ci.yml", "other.yml");
        let text = build_step("cache-to: type=gha,mode=max,scope=a");
        check(
            &RULE,
            &format!("{}{other}", marked(&text, "type=gha,mode=max,scope=a", "warning: nothing imports the scope `a`, so that it is exported in vain")),
        );
    }

    #[test]
    fn what_has_an_import_or_wants_none_is_silent() {
        for with in [
            "cache-from: type=gha\ncache-to: type=gha",
            "cache-from: ${{ inputs.cache }}\ncache-to: type=gha",
            "cache-to: type=gha\nno-cache: true",
            "cache-to: type=inline",
            "cache-to: ${{ inputs.cache }}",
            "cache-to: type=gha,${{ inputs.more }}",
            "cache-to: type=local,dest=/tmp/cache",
        ] {
            check(&RULE, &build_step(with));
        }
        check(&RULE, &build_step("cache-to: type=gha").replace("jobs:", "cache-mode: write-only\njobs:"));
        check(&RULE, &build_step("cache-to: type=gha").replace("docker/build-push-action", "depot/build-push-action"));
    }

    #[test]
    fn targets_of_bake_and_services_of_compose_export_too() {
        let message = "warning: nothing imports the scope `a`, so that it is exported in vain";
        let bake = "#- docker-bake.hcl\ntarget \"app\" {\n  cache-to = [\"type=gha,scope=a\"]\n}\n";
        check_fix(&RULE, &marked(bake, "type=gha,scope=a", message), &bake.replace("  cache-to", "  cache-from = [\"type=gha,scope=a\"]\n  cache-to")[19..]);
        check(&RULE, &bake.replace("docker-bake.hcl", "ci/other.hcl"));
        check(&RULE, &bake.replace("scope=a", "scope=${NAME}"));
        check(&RULE, &format!("{bake}{}", build_step("cache-from: type=gha,scope=a\ncache-to: type=gha,scope=a")));
        let compose = "#- compose.yaml\nservices:\n  app:\n    build:\n      cache_to: ['type=gha,scope=a']\n";
        let fixed = format!("{}      cache_from: ['type=gha,scope=a']\n", &compose[16..]);
        check_fix(&RULE, &marked(compose, "type=gha,scope=a", message), &fixed);
        check(&RULE, &compose.replace("compose.yaml", "compose.ci.yaml"));
        check(&RULE, &format!("{compose}      cache_from: ['type=gha,scope=a']\n"));
    }

    #[test]
    fn a_service_and_a_target_of_one_name_are_one() {
        let call = steps("- uses: docker/bake-action@v7\n  with:\n    source: .\n    targets: app\n    files: |\n      compose.yaml\n      docker-bake.hcl");
        let message = "warning: nothing imports the scope `a`, so that it is exported in vain";
        let compose = |with: &str| format!("#- compose.yaml\nservices:\n  app:\n    build:\n      context: .\n{with}");
        let exporting = compose("      cache_to: ['type=gha,scope=a']\n");
        let bake = |with: &str| format!("#- docker-bake.hcl\ntarget \"app\" {{\n  {with}\n}}\n");
        let fixed = format!("#- compose.yaml\n{}      cache_from: ['type=gha,scope=a']\n", &exporting[16..]);
        check_fix(&RULE, &format!("{call}{}{}", bake("target = \"a\""), marked(&exporting, "type=gha,scope=a", message)), &fixed);
        check(&RULE, &format!("{call}{}{exporting}", bake("cache-from = [\"type=gha,scope=a\"]")));
        check(&RULE, &format!("{call}{}{exporting}", bake("cache-to = [\"type=inline\"]")));
        let of_bake = bake("cache-to = [\"type=gha,scope=a\"]");
        check(&RULE, &format!("{call}{}{of_bake}", compose("      cache_from: ['type=gha,scope=a']\n")));
        let fixed = of_bake.replace("  cache-to", "  cache-from = [\"type=gha,scope=a\"]\n  cache-to");
        check_fix(&RULE, &format!("{call}{exporting}{}", marked(&of_bake, "type=gha,scope=a", message)), &fixed);
    }

    #[test]
    fn what_a_composite_action_exports_is_imported_elsewhere_or_not() {
        let action = crate::rules::testing::build_action("cache-to: type=gha,scope=${{ inputs.target }}", &["a", "b"]);
        let message = "warning: nothing imports the scope `${{ inputs.target }}`, so that it is exported in vain";
        let reader = |scope: &str| build_step(&format!("cache-from: type=gha,scope={scope}\ncache-to: type=gha,scope={scope}")).replace("ci.yml", "other.yml");
        check(&RULE, &(marked(&action, "type=gha,scope=${{ inputs.target }}", message) + &reader("c")));
        check(&RULE, &(action.clone() + &reader("a")));
    }

    #[test]
    fn an_action_that_can_be_read_hides_nothing() {
        let export = build_step("cache-to: type=gha,scope=x").replace("ci.yml", "other.yml");
        let message = "warning: nothing imports the scope `x`, so that it is exported in vain";
        let action = crate::rules::testing::build_action("context: .", &["a"]);
        check(&RULE, &(action.clone() + &marked(&export, "type=gha,scope=x", message)));
        check(&RULE, &(action.replace("using: composite", "using: node24") + &export));
    }
}
