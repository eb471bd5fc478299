use super::{Check, Finding, Findings, declare_rule};
use crate::cache::{Backend, CacheEntry};
use crate::diagnostic::{Fix, Level};
use crate::links::locations::Side;
use crate::view::{StepView, TargetsView, WorkflowView, is_fixed_entry};
use crate::volatility::Axis;
use crate::workflow::repair::CacheEdit;
use std::collections::BTreeSet;
use std::sync::Arc;

declare_rule! {
    /// A build exports its cache to one place and imports it from another.
    ///
    /// Each option is valid, but together they never meet: what is exported is not read again, and
    /// what is imported is not there.
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
    ///           cache-from: type=gha
    ///           cache-to: type=gha,mode=max,scope=api
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
    ///           cache-from: type=gha,scope=api
    ///           cache-to: type=gha,mode=max,scope=api
    /// ```
    ///
    /// One import that matches is enough: another one, of the main branch for example, is fine. So
    /// is an import of what another build of the repository exports, as long as somebody reads what
    /// this one exports. Where expressions may make both places the same nothing is reported, and
    /// nothing where a command or another step may move the folder of a local cache, nor where the export goes to another place for
    /// every commit, which is the matter of `per-run-cache-scope`.
    ///
    /// ## Fix safety
    ///
    /// Only a cache option changes.
    pub(crate) static CACHE_LOCATION_MISMATCH = {
        name: "cache-location-mismatch",
        level: Level::Error,
        fixes: true,
        check: Check::Builds(check, check_targets),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    if view.workflow.broken {
        return;
    }
    for build in view.judged().filter(|it| !it.build.opaque && !it.build.no_cache && it.may_write_cache()) {
        let (imports, exports) = (&build.build.imports, &build.build.exports);
        let Some((import, export)) = apart(imports, exports).filter(|_| !is_moved(build, exports)) else { continue };
        let found = imports.iter().any(|it| is_used(view, build, Side::Export, it));
        let read = exports.iter().any(|it| is_used(view, build, Side::Import, it));
        // Where the export goes is what is wrong there, and another rule's matter; to import it would find nothing.
        if exports.iter().any(|it| view.changes_per_run(it)) {
            continue;
        }
        // A build may start from what another one left, and leave something for a third one.
        if found && read {
            continue;
        }
        let finding = report(findings, import, export, found || read);
        finding.note(export.span, GOES_HERE).maybe_fix(|| fix(view, import, export));
    }
}

fn check_targets(view: &TargetsView<'_>, findings: &mut Findings<'_>) {
    if view.is_broken() {
        return;
    }
    let mut seen = BTreeSet::new();
    for (target, build) in view.judged().filter(|(_, it)| !it.build.no_cache) {
        let (imports, exports) = (&build.build.imports, &build.build.exports);
        // A folder may be moved to where it is imported from.
        let is_told = |it: &CacheEntry| is_fixed_entry(it) && it.backend != Backend::Local;
        let Some((import, export)) = apart(imports, exports).filter(|_| imports.iter().chain(exports).all(is_told)) else { continue };
        let may_be_found = |it: &CacheEntry| it.backend == Backend::Registry || view.may_be_used(Side::Export, Some(target), build, it);
        let found = imports.iter().any(may_be_found);
        let read = exports.iter().any(|it| view.may_be_used(Side::Import, Some(target), build, it));
        if (found && read) || !view.has(import) {
            continue;
        }
        let Some(path) = view.file_of(build, export).filter(|_| seen.insert(import.span)) else { continue };
        let finding = report(findings, import, export, found || read).note_in(path.clone(), export.span, GOES_HERE);
        finding.maybe_fix(|| {
            let key = export.key().filter(|_| import.backend == export.backend)?;
            let is_plain = |it: &String| it.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_./:@".contains(&it));
            let value = if path == view.path { key.value.span.of(&view.source).to_owned() } else { key.value.known().filter(is_plain)? };
            Some(aligned(view.path.clone(), export, view.set_attributes(import, &[(import.key_name()?, &value)])?))
        });
    }
}

const GOES_HERE: &str = "the export goes here";

/// An import and an export of a build none of whose imports can lead to where one of its exports goes.
fn apart<'e>(imports: &'e [CacheEntry], exports: &'e [CacheEntry]) -> Option<(&'e CacheEntry, &'e CacheEntry)> {
    let meets = imports.iter().any(|import| exports.iter().any(|export| import.may_meet(export)));
    let is_plain = |it: &CacheEntry| (it.location().is_some() || it.backend == Backend::Inline) && !it.is_joined();
    let (import, export) = (imports.first()?, exports.first()?);
    (!meets && imports.iter().chain(exports).all(is_plain)).then_some((import, export))
}

fn report<'f, 'a>(findings: &'f mut Findings<'a>, import: &CacheEntry, export: &CacheEntry, is_used: bool) -> Finding<'f, 'a> {
    let message = format!("{} is imported, but {} is exported, so that the two never meet", import.describe(), export.describe());
    let level = if is_used { Level::Warning } else { Level::Error };
    findings.report(import.span, message).level(level)
}

fn aligned(path: Arc<str>, export: &CacheEntry, edit: CacheEdit) -> Fix {
    Fix::cache_options(format!("Import {}", export.describe()), path, edit)
}

/// Whether another build of the repository uses the place, or may do so.
fn is_used(view: &WorkflowView<'_>, build: &StepView<'_>, side: Side, entry: &CacheEntry) -> bool {
    let known = build.locations(entry, &view.path).iter().any(|it| view.is_used(side, it, &[build]));
    known || view.may_use(side, entry.backend) || (entry.backend == Backend::Registry && side == Side::Export)
}

/// Whether the folder that is exported may be moved to where it is imported from.
fn is_moved(build: &StepView<'_>, exports: &[CacheEntry]) -> bool {
    let mut folders = exports.iter().filter(|it| it.backend == Backend::Local).filter_map(|it| it.attribute("dest")).map(|it| it.pattern());
    folders.any(|it| build.may_move(&it))
}

/// Imports from where the export goes.
fn fix(view: &WorkflowView<'_>, import: &CacheEntry, export: &CacheEntry) -> Option<Fix> {
    // A branch that reads and writes a name of its own only starts empty.
    let by_branch = |it: &CacheEntry| it.key().is_some_and(|it| it.value.variance().has(&Axis::Ref));
    if import.backend != export.backend || (by_branch(export) && !by_branch(import)) {
        return None;
    }
    let edit = align(view, import, export)?;
    Some(aligned(view.path.clone(), export, edit))
}

fn align(view: &WorkflowView<'_>, import: &CacheEntry, export: &CacheEntry) -> Option<CacheEdit> {
    let name = import.key_name()?;
    match export.key() {
        Some(key) => view.edits().set_attributes(import, &[(name, view.written(&key.value))]),
        // Without one the export goes to the default.
        None => view.edits().remove_attribute(import, name),
    }
}

#[cfg(test)]
mod tests {
    use super::CACHE_LOCATION_MISMATCH as RULE;
    use crate::rules::testing::{build_step, check, check_fix, check_without_fix, marked, steps};

    fn found(text: &str, import: &str, export: &str, level: &str, message: &str) -> String {
        let text = marked(text, import, &format!("{level}: {message}, so that the two never meet"));
        marked(&text, export, "note: the export goes here")
    }

    #[test]
    fn the_import_follows_the_export() {
        let cases = [
            (
                "cache-to: type=gha,scope=x\ncache-from: type=gha,scope=y",
                "type=gha,scope=y",
                "type=gha,scope=x",
                "the scope `y` is imported, but the scope `x` is exported",
                "cache-to: type=gha,scope=x\ncache-from: type=gha,scope=x",
            ),
            (
                "cache-to: type=gha,mode=max\ncache-from: 'type=gha,scope=y'",
                "type=gha,scope=y",
                "type=gha,mode=max",
                "the scope `y` is imported, but the scope `buildkit` is exported",
                "cache-to: type=gha,mode=max\ncache-from: 'type=gha'",
            ),
            (
                "cache-from: |\n  type=gha,scope=app\ncache-to: |\n  type=gha,mode=max,scope=app-${{ github.repository_owner }}",
                "type=gha,scope=app",
                "type=gha,mode=max,scope=app-${{ github.repository_owner }}",
                "the scope `app` is imported, but the scope `app-${{ github.repository_owner }}` is exported",
                "cache-from: |\n  type=gha,scope=app-${{ github.repository_owner }}\ncache-to: |\n  type=gha,mode=max,scope=app-${{ github.repository_owner }}",
            ),
        ];
        for (before, import, export, message, after) in cases {
            check_fix(&RULE, &found(&build_step(before), import, export, "error", message), &build_step(after));
        }
    }

    #[test]
    fn other_backends_never_meet() {
        let text = build_step("cache-from: type=gha\ncache-to: type=inline");
        check_without_fix(&RULE, &found(&text, "type=gha", "type=inline", "error", "the scope `buildkit` is imported, but the image itself is exported"));
        let text = build_step("cache-from: type=gha\ncache-to: type=registry,ref=org/app:cache");
        check(
            &RULE,
            &found(
                &text,
                "type=gha",
                "type=registry,ref=org/app:cache",
                "error",
                "the scope `buildkit` is imported, but the reference `org/app:cache` is exported",
            ),
        );
    }

    #[test]
    fn an_export_that_nobody_reads_is_a_warning_where_the_import_works() {
        let text = build_step("cache-from: type=gha,scope=main\ncache-to: type=gha,mode=max,scope=app");
        let other = build_step("cache-from: type=gha,scope=main\ncache-to: type=gha,scope=main").replace("ci.yml", "main.yml");
        check(
            &RULE,
            &format!(
                "{}{other}",
                found(&text, "type=gha,scope=main", "type=gha,mode=max,scope=app", "warning", "the scope `main` is imported, but the scope `app` is exported")
            ),
        );
    }

    #[test]
    fn one_import_that_matches_is_enough() {
        for with in [
            "cache-from: type=gha\ncache-to: type=gha,mode=max",
            "cache-from: |\n  type=gha,scope=main\n  type=gha,scope=app\ncache-to: type=gha,scope=app",
            "cache-from: type=gha,scope=buildkit\ncache-to: type=gha",
            "cache-from: org/app:latest\ncache-to: type=inline",
            "cache-from: type=registry,ref=docker.io/org/app:cache\ncache-to: type=registry,ref=org/app:cache",
            "cache-from: type=gha\ncache-to: |\n  type=gha\n  type=registry,ref=org/app:cache",
        ] {
            check(&RULE, &build_step(with));
        }
    }

    #[test]
    fn expressions_may_make_both_the_same() {
        for with in [
            "cache-from: type=gha,scope=${{ github.base_ref }}\ncache-to: type=gha,scope=${{ github.ref_name }}",
            "cache-from: type=gha,scope=app\ncache-to: type=gha,scope=${{ inputs.scope }}",
            "cache-from: ${{ inputs.from }}\ncache-to: type=gha",
            "cache-from: type=gha,${{ inputs.from }}\ncache-to: type=gha,scope=a",
        ] {
            check(&RULE, &build_step(with));
        }
    }

    #[test]
    fn builds_that_hand_caches_on_are_silent() {
        let text = build_step("cache-from: type=gha,scope=main\ncache-to: type=gha,scope=next");
        let main = build_step("cache-from: type=gha,scope=main\ncache-to: type=gha,scope=main").replace("ci.yml", "main.yml");
        let next = build_step("cache-from: type=gha,scope=next").replace("ci.yml", "next.yml");
        check(&RULE, &format!("{text}{main}{next}"));
        check(
            &RULE,
            &build_step("cache-from: type=registry,ref=org/base:cache\ncache-to: type=gha,scope=a")
                .replace("cache-to: type=gha,scope=a", "cache-to: ${{ inputs.to }}"),
        );
    }

    #[test]
    fn a_local_cache_is_moved_by_a_later_step() {
        let build = "- uses: docker/setup-buildx-action@v4\n- uses: docker/build-push-action@v7\n  with:\n    cache-from: type=local,src=/tmp/cache\n    cache-to: type=local,dest=/tmp/cache-new\n";
        check(&RULE, &steps(&format!("{build}- run: |\n    rm -rf /tmp/cache\n    mv /tmp/cache-new /tmp/cache")));
        check(&RULE, &steps(&format!("- uses: actions/cache@v5\n  with: {{path: /tmp/cache-new, key: a}}\n{build}")));
        let message = "the folder `/tmp/cache` is imported, but the folder `/tmp/cache-new` is exported";
        check_without_fix(&RULE, &found(&steps(build), "type=local,src=/tmp/cache", "type=local,dest=/tmp/cache-new", "error", message));
    }

    #[test]
    fn a_script_moves_the_local_cache_that_it_exports() {
        let script = |lines: &str| {
            let build = "docker buildx build --cache-from type=local,src=/tmp/old/api --cache-to type=local,dest=/tmp/new/api .";
            steps(&format!("- uses: docker/setup-buildx-action@v4\n- run: |\n    {build}\n    {lines}"))
        };
        for lines in [
            "rm -rf /tmp/old && mv /tmp/new /tmp/old",
            "mv /tmp/new/* /tmp/old",
            "sudo rsync -a --delete '/tmp/new/api/' /tmp/old/api",
            "if true; then cp -r /tmp/new/. /tmp/old; fi",
            "mv \"$NEW\" /tmp/old",
            "true\n- run: mv /tmp/new /tmp/old",
        ] {
            check(&RULE, &script(lines));
        }
        let message = "the folder `/tmp/old/api` is imported, but the folder `/tmp/new/api` is exported";
        for lines in ["rm -rf /tmp/new", "mv /tmp/newer /tmp/old", "true\n- run: cp -r dist /srv", "echo mv /tmp/new"] {
            check_without_fix(&RULE, &found(&script(lines), "type=local,src=/tmp/old/api", "type=local,dest=/tmp/new/api", "error", message));
        }
    }

    #[test]
    fn an_import_is_not_narrowed_to_one_branch() {
        let text = build_step("cache-from: type=gha,scope=app\ncache-to: type=gha,scope=app-${{ github.ref_name }}");
        let message = "the scope `app` is imported, but the scope `app-${{ github.ref_name }}` is exported";
        check_without_fix(&RULE, &found(&text, "type=gha,scope=app", "type=gha,scope=app-${{ github.ref_name }}", "error", message));
    }

    #[test]
    fn an_export_that_changes_with_each_run_is_not_imported() {
        let with = |scope: &str| format!("cache-from: type=gha,scope=app\ncache-to: type=gha,mode=max,scope={scope}");
        for scope in ["app-${{ github.sha }}", "${{ github.run_id }}"] {
            check(&RULE, &build_step(&with(scope)));
        }
        let callee = build_step(&with("app-${{ inputs.tag }}")).replace("ci.yml", "build.yml");
        let callee = callee.replace("on: push", "on: {workflow_call: {inputs: {tag: {type: string}}}}");
        let caller =
            |tag: &str| format!("#- .github/workflows/main.yml\non: push\njobs:\n  a:\n    uses: ./.github/workflows/build.yml\n    with: {{tag: '{tag}'}}\n");
        let message = "the scope `app` is imported, but the scope `app-${{ inputs.tag }}` is exported";
        let found = |level: &str| found(&callee, "type=gha,scope=app", "type=gha,mode=max,scope=app-${{ inputs.tag }}", level, message);
        check(&RULE, &format!("{callee}{}", caller("x-${{ github.sha }}")));
        let aligned = callee.replace("type=gha,scope=app\n", "type=gha,scope=app-${{ inputs.tag }}\n");
        check_fix(&RULE, &format!("{}{}", found("error"), caller("x")), &aligned);
        check_fix(&RULE, &format!("{}{}", found("warning"), caller("${{ github.repository_owner }}")), &aligned);
        check_fix(&RULE, &found("warning"), &aligned);
    }

    #[test]
    fn targets_of_bake_have_two_sides_too() {
        let bake =
            |import: &str| format!("#- docker-bake.hcl\ntarget \"app\" {{\n  cache-from = [\"{import}\"]\n  cache-to = [\"type=gha,scope=b,mode=max\"]\n}}\n");
        let message = "error: the scope `a` is imported, but the scope `b` is exported, so that the two never meet";
        let text = marked(&marked(&bake("type=gha,scope=a"), "type=gha,scope=a", message), "type=gha,scope=b,mode=max", "note: the export goes here");
        check_fix(&RULE, &text, &bake("type=gha,scope=b"));
        for import in ["type=gha,scope=b", "type=gha,scope=${NAME}", "type=local,src=x"] {
            check(&RULE, &bake(import));
        }
        check(
            &RULE,
            &(bake("type=gha,scope=a") + "target \"a\" {\n  cache-to = [\"type=gha,scope=a\"]\n}\ntarget \"b\" {\n  cache-from = [\"type=gha,scope=b\"]\n}\n"),
        );
    }

    #[test]
    fn the_two_sides_of_a_target_may_stand_in_two_files() {
        let call = |files: &str| steps(&format!("- run: docker buildx bake {files} app"));
        let compose = |line: &str| format!("#- compose.yaml\nservices:\n  app:\n    build:\n      context: .\n      {line}\n");
        let bake = |line: &str| format!("#- docker-bake.hcl\ntarget \"app\" {{\n  {line}\n}}\n");
        let message = "error: the scope `a` is imported, but the scope `b` is exported, so that the two never meet";
        let note = "note: the export goes here";
        let (imports, exports) = (compose("cache_from: ['type=gha,scope=a']"), bake("cache-to = [\"type=gha,scope=b\"]"));
        let text = marked(&imports, "type=gha,scope=a", message) + &marked(&exports, "type=gha,scope=b", note);
        check_fix(&RULE, &(call("") + &text), &imports.replace("scope=a", "scope=b"));
        check(&RULE, &(call("-f compose.yaml") + &imports + &exports));
        let (imports, exports) = (bake("cache-from = [\"type=gha,scope=a\"]"), compose("cache_to: ['type=gha,scope=b']"));
        let text = marked(&imports, "type=gha,scope=a", message) + &marked(&exports, "type=gha,scope=b", note);
        check_fix(&RULE, &(call("-f docker-bake.hcl -f compose.yaml") + &text), &imports.replace("scope=a", "scope=b"));
        check(&RULE, &(call("") + &imports + &exports.replace("scope=b", "scope=a")));
        let replaced = bake("cache-from = [\"type=gha,scope=a\"]\n  cache-to = [\"type=gha,scope=a\"]");
        check(&RULE, &(call("") + &replaced + &exports));
    }
}
