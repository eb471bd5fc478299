use super::{Check, Findings, declare_rule};
use crate::build::Tool;
use crate::cache::{Backend, CacheEntry};
use crate::diagnostic::{Fix, Level};
use crate::links::locations::Side;
use crate::view::{StepView, TargetsView, WorkflowView, is_fixed_entry};
use crate::workflow::Event;
use crate::workflow::repair::matching_export;
use std::collections::BTreeSet;

declare_rule! {
    /// A cache is imported that nothing exports.
    ///
    /// The import fails with a warning that nobody reads, and the build starts empty in every run.
    ///
    /// ```yaml,bad
    /// #- .github/workflows/ci.yml
    /// on:
    ///   push:
    ///     branches: [main]
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           cache-from: type=gha,scope=app
    /// ```
    ///
    /// ```yaml,fixed
    /// #- .github/workflows/ci.yml
    /// on:
    ///   push:
    ///     branches: [main]
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
    /// All workflows, bake files and compose files of the repository are looked at for an export.
    /// A registry or a bucket may be filled from elsewhere; there only an import of the image that
    /// the build itself pushes, without a cache in it, is reported.
    ///
    /// ## Fix safety
    ///
    /// Only a cache option is added, and only to a workflow that runs on pushes to branches: what a
    /// pull request exports nobody else can read. There is no fix where somebody who may not write to
    /// the repository can start the workflow on the main branch, whose cache is not theirs to write.
    pub(crate) static CACHE_IMPORT_WITHOUT_EXPORT = {
        name: "cache-import-without-export",
        level: Level::Warning,
        fixes: true,
        check: Check::Builds(check, check_targets),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    if view.workflow.broken {
        return;
    }
    for build in view.judged().filter(|it| it.build.exports.is_empty() && !it.build.opaque && !it.build.no_cache && it.may_write_cache()) {
        // One import that works is enough.
        if build.build.imports.is_empty() || !build.build.imports.iter().all(|it| is_empty(view, build, it)) {
            continue;
        }
        let Some(import) = build.build.imports.first() else { continue };
        let is_lenient = findings.asks_for_lenience(build.build.push);
        findings.report(import.span, message(import)).maybe_fix(|| fix(view, build, import, is_lenient));
    }
}

fn check_targets(view: &TargetsView<'_>, findings: &mut Findings<'_>) {
    if view.is_broken() {
        return;
    }
    let mut seen = BTreeSet::new();
    for (_, build) in view.judged().filter(|(_, it)| it.build.exports.is_empty() && !it.build.no_cache && view.is_placed(it)) {
        // A registry is written to from elsewhere as well.
        let is_empty =
            |it: &CacheEntry| it.backend == Backend::Gha && !it.is_joined() && is_fixed_entry(it) && !view.may_be_used(Side::Export, None, build, it);
        let Some(import) = build.build.imports.first().filter(|it| view.has(it) && build.build.imports.iter().all(is_empty)) else { continue };
        if seen.insert(import.span) {
            findings.report(import.span, message(import));
        }
    }
}

fn message(import: &CacheEntry) -> String {
    format!("nothing exports {}, so that this import finds nothing", import.describe())
}

/// Whether an import can find nothing.
fn is_empty(view: &WorkflowView<'_>, build: &StepView<'_>, import: &CacheEntry) -> bool {
    if import.opaque || import.is_joined() {
        return false;
    }
    let exported = || build.locations(import, &view.path).iter().any(|it| view.is_used(Side::Export, it, &[])) || view.may_use(Side::Export, import.backend);
    match import.backend {
        Backend::Gha => !exported(),
        Backend::Registry => is_own_image(build, import) && !exported(),
        Backend::Inline | Backend::Local | Backend::S3 | Backend::Azblob | Backend::Unknown => false,
    }
}

/// Whether the import is the image that the build pushes. Older builders took the layers of any
/// image that was pulled, so that only Buildx is asked.
fn is_own_image(build: &StepView<'_>, import: &CacheEntry) -> bool {
    let own = |tag: &crate::value::Value| import.with_key(tag).location() == import.location();
    let uses_buildx = build.build.tool == Tool::BuildPushAction || build.build.name.contains("buildx");
    uses_buildx && import.location().is_some() && build.build.push != Some(false) && build.build.tags.iter().any(own)
}

fn fix(view: &WorkflowView<'_>, build: &StepView<'_>, import: &CacheEntry, is_lenient: bool) -> Option<Fix> {
    let writes = view.triggers().iter().any(|it| it.1.event == Event::Push && !it.1.is_tags_only());
    // What is exported to the name of the image would take the image's place.
    if !writes || import.backend != Backend::Gha || view.may_be_started_by_strangers() {
        return None;
    }
    let export = matching_export(&view.source, import, is_lenient)?;
    let edit = view.edits().add(build.job.steps.get(build.step.step)?, build.step, None, Some(&export))?;
    Some(Fix::cache_options("Export what is imported", view.path.clone(), edit))
}

#[cfg(test)]
mod tests {
    use super::CACHE_IMPORT_WITHOUT_EXPORT as RULE;
    use crate::rules::testing::{build_step, check, check_fix, check_without_fix, marked, steps};

    fn found(text: &str, entry: &str, place: &str) -> String {
        marked(text, entry, &format!("warning: nothing exports {place}, so that this import finds nothing"))
    }

    #[test]
    fn the_export_is_added_in_every_style() {
        let cases = [
            ("cache-from: type=gha", "type=gha", "the scope `buildkit`", "cache-from: type=gha\ncache-to: type=gha,mode=max"),
            (
                "cache-from: |\n  type=gha,scope=a\n  type=gha,scope=b",
                "type=gha,scope=a",
                "the scope `a`",
                "cache-from: |\n  type=gha,scope=a\n  type=gha,scope=b\ncache-to: type=gha,mode=max,scope=a",
            ),
            (
                "cache-from: \"type=gha,scope=${{ vars.SCOPE }}\"",
                "type=gha,scope=${{ vars.SCOPE }}",
                "the scope `${{ vars.scope }}`",
                "cache-from: \"type=gha,scope=${{ vars.SCOPE }}\"\ncache-to: type=gha,mode=max,scope=${{ vars.SCOPE }}",
            ),
        ];
        for (before, entry, place, after) in cases {
            check_fix(&RULE, &found(&build_step(before), entry, place), &build_step(after));
        }
    }

    #[test]
    fn a_workflow_of_pull_requests_gets_no_export() {
        let text = build_step("cache-from: type=gha").replace("on: push", "on: pull_request");
        check_without_fix(&RULE, &found(&text, "type=gha", "the scope `buildkit`"));
    }

    #[test]
    fn an_image_without_a_cache_in_it_is_no_cache() {
        let text = build_step("push: true\ntags: org/app:latest\ncache-from: type=registry,ref=org/app:latest");
        check_without_fix(&RULE, &found(&text, "type=registry,ref=org/app:latest", "the reference `org/app:latest`"));
        let bare = build_step("push: true\ntags: |\n  docker.io/org/app\n  org/app:1\ncache-from: org/app:latest");
        check(&RULE, &found(&bare, "org/app:latest", "the reference `org/app:latest`"));
        for with in [
            "push: true\ntags: org/app:latest\ncache-from: type=registry,ref=org/app:latest\ncache-to: type=inline",
            "push: true\ntags: org/app:latest\ncache-from: type=registry,ref=org/app:latest\nbuild-args: BUILDKIT_INLINE_CACHE=1",
            "push: true\ntags: org/app:latest\ncache-from: type=registry,ref=org/app:cache",
            "tags: org/app:latest\ncache-from: type=registry,ref=org/app:latest",
        ] {
            check(&RULE, &build_step(with));
        }
        check(&RULE, &steps("- run: docker pull org/app && docker build --cache-from org/app -t org/app . && docker push org/app"));
    }

    #[test]
    fn an_export_anywhere_in_the_repository_is_one() {
        let import = build_step("cache-from: type=gha,scope=app-amd64");
        for with in ["cache-to: type=gha,scope=app-amd64", "cache-to: type=gha,scope=${{ inputs.scope }}", "cache-to: ${{ inputs.cache }}"] {
            check(&RULE, &format!("{import}{}", build_step(with).replace("ci.yml", "other.yml")));
        }
        let matrix = build_step("cache-to: type=gha,scope=app-${{ matrix.arch }}").replace("ci.yml", "other.yml");
        check(&RULE, &format!("{import}{}", matrix.replace("    steps:", "    strategy: {matrix: {arch: [amd64, arm64]}}\n    steps:")));
        check(&RULE, &format!("{import}#- docker-bake.hcl\ntarget \"a\" {{\n  cache-to = [\"type=gha,scope=app-amd64\"]\n}}\n"));
        let calls = "#- .github/workflows/other.yml\non: push\njobs:\n  a:\n    uses: docker/github-builder/.github/workflows/build.yml@v1\n";
        check(&RULE, &format!("{import}{calls}"));
        check(&RULE, &format!("{import}{}", steps("- uses: ./.github/actions/docker-build").replace("ci.yml", "other.yml")));
    }

    #[test]
    fn an_export_to_another_scope_is_none() {
        let other = build_step("cache-to: type=gha,scope=other").replace("ci.yml", "other.yml");
        check(&RULE, &format!("{}{other}", found(&build_step("cache-from: type=gha,scope=app"), "type=gha,scope=app", "the scope `app`")));
    }

    #[test]
    fn what_may_come_from_elsewhere_is_silent() {
        for with in [
            "cache-from: type=registry,ref=org/base:cache",
            "cache-from: type=local,src=/tmp/cache",
            "cache-from: type=s3,bucket=b,region=r",
            "cache-from: ${{ inputs.cache }}",
            "cache-from: |\n  type=gha\n  type=registry,ref=org/base:cache",
            "cache-from: type=gha\nno-cache: true",
            "cache-from: type=gha\nbuild-args: ${{ inputs.args }}",
        ] {
            check(&RULE, &build_step(with));
        }
        check(&RULE, &build_step("cache-from: type=gha").replace("jobs:", "cache-mode: read\njobs:"));
    }

    #[test]
    fn an_image_that_is_pushed_is_not_lost_with_its_cache() {
        let step = |with: &str| build_step(&format!("push: true\ncache-from: type=gha,scope=app{with}"));
        let message = "warning: nothing exports the scope `app`, so that this import finds nothing";
        check_fix(&RULE, &marked(&step(""), "type=gha,scope=app", message), &step("\ncache-to: type=gha,mode=max,scope=app,ignore-error=true"));
    }

    #[test]
    fn targets_of_bake_import_too() {
        let bake = "#- docker-bake.hcl\ntarget \"app\" {\n  cache-from = [\"type=gha,scope=a\"]\n}\n";
        check(&RULE, &marked(bake, "type=gha,scope=a", "warning: nothing exports the scope `a`, so that this import finds nothing"));
        check(&RULE, &bake.replace("type=gha,scope=a", "o/app:latest"));
        check(&RULE, &format!("{bake}{}", build_step("cache-from: type=gha,scope=a\ncache-to: type=gha,scope=a")));
        let call = steps("- uses: docker/setup-buildx-action@v4\n- uses: docker/bake-action@v7\n  with: {targets: app, set: '*.cache-to=type=gha,scope=a'}");
        check(&RULE, &format!("{bake}{call}"));
    }
}
