use super::{Check, Findings, declare_rule};
use crate::build::Build;
use crate::cache::Backend;
use crate::diagnostic::{FileEdits, Fix, Level};
use crate::edit::{Edit, EditSet, Span};
use crate::view::{StepView, WorkflowView};
use crate::workflow::{Action, Line, Step};

declare_rule! {
    /// A version is asked for that only knows a cache service that is gone.
    ///
    /// GitHub shut down the first version of its cache service on 15 April 2025. What was made for
    /// it fails: `actions/cache` before 3.4.0 and 4.2.0, and Buildx before 0.21.0, BuildKit before
    /// 0.20.0 and Docker before 28.0 for `type=gha`.
    ///
    /// ```yaml,bad
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/cache@v2
    ///         with:
    ///           path: /tmp/buildx
    ///           key: buildx
    /// ```
    ///
    /// ```yaml,good
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/cache@v5
    ///         with:
    ///           path: /tmp/buildx
    ///           key: buildx
    /// ```
    ///
    /// A tag such as `v4` moves, and is current. A version of Buildx or BuildKit matters only in a
    /// job that uses the cache of GitHub.
    ///
    /// ## Fix safety
    ///
    /// Unsafe: another version is used, the oldest one that works, or a tag that moves where there is
    /// one now. A commit that is pinned is left
    /// to its owner.
    pub(crate) static RETIRED_CACHE_API = {
        name: "retired-cache-api",
        level: Level::Error,
        fixes: true,
        check: Check::Workflow(check),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    // Other services that read workflows have caches of their own.
    if !view.is_on_github() {
        return;
    }
    for job in &view.workflow.jobs {
        let has_cache = |it: &Build| it.imports.iter().chain(&it.exports).any(|it| it.backend == Backend::Gha);
        // The options of bake and compose stand in their files.
        let in_files =
            |it: &&StepView<'_>| it.job.id == job.id && view.calls(it).into_iter().flatten().any(|it| it.targets.iter().any(|it| has_cache(&it.build)));
        let uses_cache = job.builds.iter().any(|it| has_cache(&it.build)) || view.builds.iter().any(|it| in_files(&it));
        for step in &job.steps {
            check_cache_action(view, step, findings);
            if uses_cache {
                check_builder(view, step, findings);
            }
        }
    }
}

fn check_cache_action(view: &WorkflowView<'_>, step: &Step, findings: &mut Findings<'_>) {
    let Some(action) = step.action.as_ref().filter(|_| step.is_folder_cache()) else { return };
    if !is_retired(action) {
        return;
    }
    let version = action.reference.as_deref().filter(|_| !action.is_pinned()).or(action.comment.as_deref()).unwrap_or_default();
    let message = format!("`{}` {version} needs a cache service that was shut down in 2025, and fails", action.name);
    let current = current(action);
    let replace = || edit(view, step, action.reference_span, current, format!("Use `{}@{current}`", action.name));
    findings.report(action.span, message).maybe_fix(|| if action.is_pinned() { None } else { replace() });
}

/// The version to use: a tag that moves for one that moves, the first that works for one that was
/// given to the last number.
fn current(action: &Action) -> &'static str {
    let is_exact = action.reference.as_deref().is_some_and(|it| it.matches('.').count() == 2);
    match action.version() {
        Some((3, _)) if is_exact => "v3.4.0",
        _ if is_exact => "v4.2.0",
        // The inputs are those of v4, whose Node.js GitHub takes out of its runners.
        _ => "v5",
    }
}

/// Whether the version is before 3.4.0, or before 4.2.0 of the fourth major version.
fn is_retired(action: &Action) -> bool {
    match action.version() {
        // Tags of a major version move, and those of the first two ended before the change.
        Some((major, None)) => major < 3,
        Some((3, Some(minor))) => minor < 4,
        Some((4, Some(minor))) => minor < 2,
        Some((major, Some(_))) => major < 3,
        None => false,
    }
}

/// Versions of the builder that a step asks for.
fn check_builder(view: &WorkflowView<'_>, step: &Step, findings: &mut Findings<'_>) {
    if step.runs("docker/setup-buildx-action") {
        if let Some((input, text)) = step.input("version").and_then(|it| Some((it, it.value.known()?)))
            && is_before(text.trim(), (0, 21))
        {
            let fix = || edit(view, step, input.value.span, "v0.21.0", "Use Buildx 0.21.0".to_owned());
            findings.report(input.value.span, format!("Buildx {} cannot use the cache of GitHub, which needs 0.21.0", text.trim())).maybe_fix(fix);
        }
        for line in step.lines("driver-opts") {
            check_image(view, step, &line, findings);
        }
    }
    if step.runs("docker/setup-docker-action")
        && let Some((input, text)) = step.input("version").and_then(|it| Some((it, it.value.known()?)))
        && is_before(text.trim(), (28, 0))
    {
        let fix = || edit(view, step, input.value.span, "v28.0.0", "Use Docker 28.0.0".to_owned());
        findings.report(input.value.span, format!("Docker {} cannot use the cache of GitHub, which needs 28.0.0", text.trim())).maybe_fix(fix);
    }
}

fn check_image(view: &WorkflowView<'_>, step: &Step, line: &Line, findings: &mut Findings<'_>) {
    const IMAGE: &str = "image=moby/buildkit:";
    let text = line.passage.text();
    let Some(tag) = text.strip_prefix(IMAGE).filter(|it| is_before(it, (0, 20))) else { return };
    let at = line.passage.source(Span::new(IMAGE.len(), text.len()));
    let suffix = if tag.ends_with("-rootless") { "-rootless" } else { "" };
    let fix = || edit(view, step, at, &format!("v0.20.0{suffix}"), "Use BuildKit 0.20.0".to_owned());
    findings.report(line.span, format!("BuildKit {tag} cannot use the cache of GitHub, which needs 0.20.0")).maybe_fix(fix);
}

/// Whether a version, given with its minor number, is before another one.
fn is_before(text: &str, limit: (u32, u32)) -> bool {
    let mut numbers = text.strip_prefix('v').unwrap_or(text).split(['.', '-', '+']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < limit,
        // `v27` of Docker says enough.
        (Some(Ok(major)), None) => limit.0 > 0 && major < limit.0,
        _ => false,
    }
}

/// Puts a version in the place of another one, if it stands there as it is read.
fn edit(view: &WorkflowView<'_>, step: &Step, at: Span, version: &str, title: String) -> Option<Fix> {
    let plain = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_alphanumeric() || b".-+".contains(&it));
    if step.shared || !plain(at.of(&view.source)) {
        return None;
    }
    let edits = EditSet::new(vec![Edit::replace(at, version)]).ok()?;
    Some(Fix::unproven(title, vec![FileEdits { path: view.path.clone(), edits, create: false }]))
}

#[cfg(test)]
mod tests {
    use super::RETIRED_CACHE_API as RULE;
    use crate::rules::testing::{build_step, check, check_unsafe_fix, check_without_fix, marked, steps};

    fn gone(uses: &str, version: &str) -> String {
        let name = uses.split('@').next().unwrap();
        format!("error: `{name}` {version} needs a cache service that was shut down in 2025, and fails")
    }

    #[test]
    fn old_versions_of_the_cache_action_fail() {
        for (uses, current) in [
            ("actions/cache@v1", "v5"),
            ("actions/cache@v2.1", "v5"),
            ("actions/cache@v2.1.7", "v4.2.0"),
            ("actions/cache@v3.3.1", "v3.4.0"),
            ("actions/cache@v4.1.2", "v4.2.0"),
            ("actions/cache/restore@v3.2.0", "v3.4.0"),
            ("actions/cache/save@v4.0.0", "v4.2.0"),
        ] {
            let (name, version) = uses.split_once('@').unwrap();
            let text = |uses: &str| steps(&format!("- uses: {uses}\n  with:\n    path: a\n    key: b"));
            check_unsafe_fix(&RULE, &marked(&text(uses), uses, &gone(uses, version)), &text(&format!("{name}@{current}")));
        }
    }

    #[test]
    fn a_pinned_commit_is_left_to_its_owner() {
        let uses = "actions/cache@704facf57e6136b1bc63b828d79edcd491f0ee84";
        let text = steps(&format!("- uses: {uses} # v3.3.2"));
        let fixture = marked(&text, uses, &gone("actions/cache", "3.3.2")).replace("cache` 3.3.2", "cache` v3.3.2");
        check_without_fix(&RULE, &fixture);
        check(&RULE, &steps(&format!("- uses: {uses}")));
    }

    #[test]
    fn options_in_a_bake_or_compose_file_count() {
        let text = |cache: &str| {
            let file = format!("#- docker-bake.hcl\ntarget \"default\" {{\n  cache-from = [\"{cache}\"]\n}}\n");
            file + &steps("- uses: docker/setup-buildx-action@v4\n  with: {version: v0.20.1}\n- run: docker buildx bake")
        };
        let message = "error: Buildx v0.20.1 cannot use the cache of GitHub, which needs 0.21.0";
        check(&RULE, &marked(&text("type=gha"), "v0.20.1", message));
        check(&RULE, &text("type=registry,ref=o/app:cache"));
    }

    #[test]
    fn current_versions_are_silent() {
        for uses in
            ["actions/cache@v3", "actions/cache@v3.4.0", "actions/cache@v4", "actions/cache@v4.2.0", "actions/cache@v5", "actions/cache@main", "other/cache@v1"]
        {
            check(&RULE, &steps(&format!("- uses: {uses}")));
        }
        check(&RULE, &steps("- uses: actions/cache@v2").replace(".github", ".gitea"));
    }

    fn set_up(with: &str, cache: &str) -> String {
        steps(&format!("- uses: docker/setup-buildx-action@v3\n  with:\n    {with}\n- uses: docker/build-push-action@v6\n  with:\n    cache-from: {cache}"))
    }

    #[test]
    fn old_builders_cannot_use_the_new_service() {
        let text = set_up("version: v0.12.1", "type=gha");
        let message = "error: Buildx v0.12.1 cannot use the cache of GitHub, which needs 0.21.0";
        check_unsafe_fix(&RULE, &marked(&text, "v0.12.1", message), &text.replace("v0.12.1", "v0.21.0"));
        let text = set_up("driver-opts: |\n      network=host\n      image=moby/buildkit:v0.13.2-rootless", "type=gha");
        let message = "error: BuildKit v0.13.2-rootless cannot use the cache of GitHub, which needs 0.20.0";
        check_unsafe_fix(&RULE, &marked(&text, "image=moby/buildkit:v0.13.2-rootless", message), &text.replace("v0.13.2", "v0.20.0"));
    }

    #[test]
    fn builders_that_are_new_enough_or_not_asked_are_silent() {
        for with in [
            "version: latest",
            "version: v0.21.0",
            "version: v0.30.1",
            "version: ${{ inputs.version }}",
            "driver-opts: image=moby/buildkit:v0.20.0",
            "driver-opts: image=moby/buildkit:master",
            "driver-opts: image=other/buildkit:v0.1.0",
        ] {
            check(&RULE, &set_up(with, "type=gha"));
        }
        check(&RULE, &set_up("version: v0.12.1", "type=registry,ref=org/app:cache"));
    }

    #[test]
    fn old_versions_of_docker_are_found() {
        let text = build_step("cache-to: type=gha").replace("docker/setup-buildx-action@v4", "docker/setup-docker-action@v4\n        with: {version: v27.5}");
        check(&RULE, &marked(&text, "v27.5", "error: Docker v27.5 cannot use the cache of GitHub, which needs 28.0.0"));
        check(&RULE, &text.replace("v27.5", "v28.1.1"));
    }
}
