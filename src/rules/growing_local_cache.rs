use super::{Check, Findings, declare_rule};
use crate::cache::{Backend, CacheEntry};
use crate::diagnostic::{FileEdits, Fix, Level};
use crate::view::{StepView, WorkflowView};
use crate::volatility::Axis;
use crate::workflow::{RunnerKind, Step};

declare_rule! {
    /// A folder of layers only grows.
    ///
    /// An export to a folder adds the new layers and leaves the old ones there. Where the folder is
    /// imported, exported to, and kept for the next run, it grows with every change, and so does
    /// the time to restore and to save it. Export to an empty folder and let it take the place of
    /// the old one, or let Buildx remove what is no longer used with `reset=true`, which it knows
    /// since 0.35.
    ///
    /// ```yaml,bad
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: actions/cache@v5
    ///         with:
    ///           path: /tmp/.buildx-cache
    ///           key: buildx-${{ github.sha }}
    ///           restore-keys: buildx-
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           cache-from: type=local,src=/tmp/.buildx-cache
    ///           cache-to: type=local,dest=/tmp/.buildx-cache,mode=max
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
    ///       - uses: actions/cache@v5
    ///         with:
    ///           path: /tmp/.buildx-cache
    ///           key: buildx-${{ github.sha }}
    ///           restore-keys: buildx-
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           cache-from: type=local,src=/tmp/.buildx-cache
    ///           cache-to: type=local,dest=/tmp/.buildx-cache-new,mode=max
    ///       - run: rm -rf /tmp/.buildx-cache && mv /tmp/.buildx-cache-new /tmp/.buildx-cache
    /// ```
    ///
    /// A folder that another step removes or moves is not reported, nor one that nothing keeps: on
    /// a hosted runner it is gone with the job. What is saved once under a key that never changes
    /// does not grow.
    ///
    /// ## Fix safety
    ///
    /// Only a cache option is added, which is safe where the workflow asks for a Buildx that knows
    /// it, and unsafe elsewhere.
    pub(crate) static GROWING_LOCAL_CACHE = {
        name: "growing-local-cache",
        level: Level::Warning,
        fixes: true,
        check: Check::Workflow(check),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    for build in view.judged() {
        let Some(export) = build.build.exports.iter().find(|it| grows(build, it)) else { continue };
        let Some(folder) = export.folder().filter(|it| is_kept(build) && !is_emptied(build, it)) else { continue };
        let finding = findings.report(export.span, format!("old layers stay in `{folder}`, which grows with every change"));
        finding.maybe_fix(|| fix(view, build, export));
    }
}

/// Whether it adds to what was imported.
fn grows(build: &StepView<'_>, export: &CacheEntry) -> bool {
    let is_plain = export.backend == Backend::Local && !export.opaque && export.attribute("reset").is_none();
    is_plain && export.location().is_some() && build.build.imports.iter().any(|it| it.location() == export.location())
}

/// Whether the folder outlives the job, and what was added to it does too.
fn is_kept(build: &StepView<'_>) -> bool {
    let on_disk = build.job.runner.as_ref().is_some_and(|it| it.kind == RunnerKind::SelfHosted);
    let stays = |it: &Axis| matches!(it, Axis::Workflow | Axis::Matrix(_) | Axis::Ref);
    let saves = |it: &&Step| !it.runs("actions/cache/restore") && it.input("key").is_some_and(|it| !it.value.variance().iter().all(stays));
    on_disk || build.keepers().iter().any(saves)
}

/// Whether something may take old layers out of the folder.
fn is_emptied(build: &StepView<'_>, folder: &str) -> bool {
    let own = build.own_step().and_then(|it| it.run.as_ref());
    let by_own_script = own.is_some_and(|it| it.script.commands.iter().any(|it| matches!(it.program(), Some("rm" | "mv" | "find" | "rsync"))));
    by_own_script || build.is_touched(folder)
}

fn fix(view: &WorkflowView<'_>, build: &StepView<'_>, export: &CacheEntry) -> Option<Fix> {
    let edit = view.edits().set_attributes(export, &[("reset", "true")])?;
    let title = "Take layers that are no longer used out of the folder";
    if knows_reset(build) {
        return Some(Fix::cache_options(title, view.path.clone(), edit));
    }
    Some(Fix::unproven(format!("{title} (Buildx 0.35)"), vec![FileEdits { path: view.path.clone(), edits: edit.into_edits(), create: false }]))
}

/// Whether the Buildx that the job asks for knows `reset` (docs/facts.md D.4).
fn knows_reset(build: &StepView<'_>) -> bool {
    let version = |it: &Step| it.known("version").filter(|_| it.runs("docker/setup-buildx-action"));
    let asked = build.steps_before().iter().rev().find_map(version);
    asked.is_some_and(|it| {
        let mut numbers = it.trim().trim_start_matches('v').split('.').map(str::parse::<u32>);
        it.trim() == "latest" || matches!((numbers.next(), numbers.next()), (Some(Ok(0)), Some(Ok(35..))) | (Some(Ok(1..)), _))
    })
}

#[cfg(test)]
mod tests {
    use super::GROWING_LOCAL_CACHE as RULE;
    use crate::rules::testing::{check, check_fix, check_unsafe_fix, marked, steps};

    const MESSAGE: &str = "warning: old layers stay in `/tmp/cache`, which grows with every change";
    const KEEP: &str = "- uses: actions/cache@v5\n  with:\n    path: /tmp/cache\n    key: a-${{ github.sha }}\n    restore-keys: a-\n";
    const BUILD: &str =
        "- uses: docker/build-push-action@v7\n  with:\n    cache-from: type=local,src=/tmp/cache\n    cache-to: type=local,dest=/tmp/cache,mode=max\n";

    fn found(text: &str) -> String {
        marked(text, "type=local,dest=/tmp/cache,mode=max", MESSAGE)
    }

    #[test]
    fn a_folder_that_is_kept_grows() {
        let text = steps(&format!("- uses: docker/setup-buildx-action@v4\n{KEEP}{BUILD}"));
        check_unsafe_fix(&RULE, &found(&text), &text.replace("dest=/tmp/cache,mode=max", "dest=/tmp/cache,mode=max,reset=true"));
    }

    #[test]
    fn a_buildx_that_can_empty_it_does_so_safely() {
        for version in ["v0.35.0", "0.36.1", "latest"] {
            let text = steps(&format!("- uses: docker/setup-buildx-action@v4\n  with: {{version: {version}}}\n{KEEP}{BUILD}"));
            check_fix(&RULE, &found(&text), &text.replace("dest=/tmp/cache,mode=max", "dest=/tmp/cache,mode=max,reset=true"));
        }
        let old = steps(&format!("- uses: docker/setup-buildx-action@v4\n  with: {{version: v0.34.1}}\n{KEEP}{BUILD}"));
        check_unsafe_fix(&RULE, &found(&old), &old.replace("dest=/tmp/cache,mode=max", "dest=/tmp/cache,mode=max,reset=true"));
    }

    #[test]
    fn a_runner_of_ones_own_keeps_it_too() {
        let text = steps(&format!("- uses: docker/setup-buildx-action@v4\n{BUILD}")).replace("ubuntu-latest", "self-hosted");
        check(&RULE, &found(&text));
    }

    #[test]
    fn what_is_gone_with_the_job_does_not_grow() {
        check(&RULE, &steps(&format!("- uses: docker/setup-buildx-action@v4\n{BUILD}")));
        check(&RULE, &steps(&format!("{}{BUILD}", KEEP.replace("actions/cache@v5", "actions/cache/restore@v5"))));
        check(&RULE, &steps(&format!("{}{BUILD}", KEEP.replace("a-${{ github.sha }}", "a"))));
        check(&RULE, &steps(&format!("{}{BUILD}", KEEP.replace("path: /tmp/cache", "path: ~/.npm"))));
    }

    #[test]
    fn a_folder_that_is_emptied_does_not_grow() {
        check(&RULE, &steps(&format!("{KEEP}{BUILD}- run: find /tmp/cache -mtime +7 -delete")));
        check(&RULE, &steps(&format!("{KEEP}{BUILD}- uses: ./.github/actions/prune")));
        check(&RULE, &steps(&format!("{KEEP}{}- run: mv /tmp/new /tmp/cache", BUILD.replace("dest=/tmp/cache", "dest=/tmp/new"))));
        check(&RULE, &steps(&format!("{KEEP}{}", BUILD.replace("mode=max", "mode=max,reset=true"))));
    }

    #[test]
    fn other_caches_are_silent() {
        check(&RULE, &steps(&format!("{KEEP}{}", BUILD.replace("type=local,src=/tmp/cache", "type=gha").replace("type=local,dest=/tmp/cache", "type=gha"))));
        check(&RULE, &steps(&format!("{KEEP}{}", BUILD.replace("docker/build-push-action", "depot/build-push-action"))));
    }
}
