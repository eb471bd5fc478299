use super::{Check, Findings, declare_rule};
use crate::build::Tool;
use crate::cache::{Backend, CacheEntry};
use crate::diagnostic::{FileEdits, Fix, Level};
use crate::edit::EditSet;
use crate::view::{StepView, WorkflowView};
use crate::workflow::{Builder, Runner, Step, Variable};

declare_rule! {
    /// A cache is exported by a builder that cannot do so.
    ///
    /// Without a step that sets up Buildx the build runs in Docker's own builder, whose driver
    /// knows `type=inline` only. It ends with "Cache export is not supported for the docker
    /// driver".
    ///
    /// ```yaml,bad
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           push: true
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
    ///           push: true
    ///           cache-from: type=gha
    ///           cache-to: type=gha,mode=max
    /// ```
    ///
    /// Docker with the containerd image store can export caches: a step that turns it on is looked
    /// for. Runners of one's own, job containers, and jobs in which a script or another action may
    /// set up a builder are not reported.
    ///
    /// ## Fix safety
    ///
    /// Unsafe: with another builder the image is no longer in Docker unless the step says
    /// `load: true`.
    pub(crate) static CACHE_EXPORT_WITHOUT_BUILDX = {
        name: "cache-export-without-buildx",
        level: Level::Error,
        fixes: true,
        check: Check::Workflow(check),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    if view.workflow.broken || !view.is_on_github() {
        return;
    }
    for build in view.judged().filter(|it| it.builder == Builder::Docker && matches!(it.build.tool, Tool::BuildPushAction | Tool::Bake)) {
        let Some(export) = build.build.exports.iter().find(|it| needs_buildx(it)) else { continue };
        if may_have_builder(view, build) {
            continue;
        }
        findings.report(export.span, "Docker's own builder cannot export this cache, and the build fails").maybe_fix(|| fix(view, build));
    }
}

/// Whether Docker's own builder cannot write it, in every run.
fn needs_buildx(entry: &CacheEntry) -> bool {
    let other = matches!(entry.backend, Backend::Gha | Backend::Registry | Backend::Local | Backend::S3 | Backend::Azblob);
    other && !entry.opaque && !entry.conditional
}

/// Whether something that is not understood may have chosen another builder.
fn may_have_builder(view: &WorkflowView<'_>, build: &StepView<'_>) -> bool {
    let chosen = |it: &[Variable]| it.iter().any(|it| it.name == "BUILDX_BUILDER" || it.name == "DOCKER_CONTEXT" || it.name == "DOCKER_HOST");
    let own = build.job.steps.get(build.step.step).map_or(&[][..], |it| &it.env);
    let hosted = build.job.runner.as_ref().is_some_and(Runner::is_always_hosted);
    let by_variable = chosen(&view.workflow.env) || chosen(&build.job.env) || chosen(own);
    !hosted || build.job.container.is_some() || by_variable || build.job.before(build.step.step).iter().any(may_set_up)
}

/// Actions that leave Docker as it is, and one whose builder is known.
const HARMLESS: &[&str] = &[
    "docker/login-action",
    "docker/metadata-action",
    "docker/setup-buildx-action",
    "docker/setup-qemu-action",
    "docker/build-push-action",
    "docker/bake-action",
];

fn may_set_up(step: &Step) -> bool {
    if let Some(action) = &step.action {
        let name = action.name.to_ascii_lowercase();
        let related = ["docker", "build", "container"].iter().any(|it| name.contains(it));
        return action.is_local() || (related && !HARMLESS.iter().any(|it| action.is(it)));
    }
    // A script of the repository, or a word that has to do with builders.
    const WORDS: &[&str] = &["./", "make", "just ", "task ", ".sh", "buildx", "builder", "containerd", "daemon.json", "systemctl", "docker context"];
    step.run.as_ref().is_some_and(|it| WORDS.iter().any(|word| it.passage.text().contains(word)))
}

fn fix(view: &WorkflowView<'_>, build: &StepView<'_>) -> Option<Fix> {
    let edit = view.insert_step(build, "docker/setup-buildx-action@v4")?;
    let edits = EditSet::new(vec![edit]).ok()?;
    Some(Fix::unproven("Set up Buildx before the build", vec![FileEdits { path: view.path.clone(), edits, create: false }]))
}

#[cfg(test)]
mod tests {
    use super::CACHE_EXPORT_WITHOUT_BUILDX as RULE;
    use crate::rules::testing::{check, check_unsafe_fix, check_without_fix, marked, steps};

    const MESSAGE: &str = "error: Docker's own builder cannot export this cache, and the build fails";
    const BUILD: &str = "- name: Build\n  uses: docker/build-push-action@v7\n  with:\n    cache-to: type=gha,mode=max\n    cache-from: type=gha";

    #[test]
    fn buildx_is_set_up_before_the_build() {
        let text = |step: &str| steps(&format!("- uses: actions/checkout@v6\n{step}# The image.\n{BUILD}"));
        check_unsafe_fix(&RULE, &marked(&text(""), "type=gha,mode=max", MESSAGE), &text("- uses: docker/setup-buildx-action@v4\n"));
    }

    #[test]
    fn any_backend_but_inline_needs_it() {
        for entry in ["type=registry,ref=org/app:cache", "type=local,dest=/tmp/cache", "org/app:cache"] {
            check(&RULE, &marked(&steps(&BUILD.replace("type=gha,mode=max", entry)), entry, MESSAGE));
        }
        for entry in ["type=inline", "${{ inputs.cache }}", "${{ github.event_name == 'push' && 'type=gha' || '' }}", ""] {
            check(&RULE, &steps(&BUILD.replace("type=gha,mode=max", entry)));
        }
    }

    #[test]
    fn a_step_in_one_line_has_no_fix() {
        let text = steps("- {uses: actions/checkout@v6}")
            .replace("    steps:\n      - {uses: actions/checkout@v6}", "    steps: [{uses: docker/build-push-action@v7, with: {cache-to: 'type=gha'}}]");
        check_without_fix(&RULE, &marked(&text, "type=gha", MESSAGE));
    }

    #[test]
    fn a_file_that_pins_its_actions_gets_no_step_that_is_not_pinned() {
        let text = steps(&format!("- uses: actions/checkout@8e8c483db84b4bee98b60c0593521ed34d9990e8 # v6\n{BUILD}"));
        check_without_fix(&RULE, &marked(&text, "type=gha,mode=max", MESSAGE));
    }

    #[test]
    fn the_docker_driver_may_be_asked_for() {
        let text = steps(&format!("- uses: docker/setup-buildx-action@v4\n  with: {{driver: docker}}\n{BUILD}"));
        check(&RULE, &marked(&text, "type=gha,mode=max", MESSAGE));
    }

    #[test]
    fn builders_that_are_set_up_are_silent() {
        for before in [
            "- uses: docker/setup-buildx-action@v4",
            "- uses: docker/setup-docker-action@v5\n  with:\n    daemon-config: '{\"features\": {\"containerd-snapshotter\": true}}'",
            "- uses: docker/setup-docker-action@v5",
            "- uses: ./.github/actions/setup",
            "- uses: some/docker-setup@v1",
            "- run: docker buildx create --use",
            "- run: ./scripts/builder",
            "- run: make builder",
            "- run: |\n    echo '{\"features\": {\"containerd-snapshotter\": true}}' | sudo tee /etc/docker/daemon.json\n    sudo systemctl restart docker",
        ] {
            check(&RULE, &steps(&format!("{before}\n{BUILD}")));
        }
        check(&RULE, &steps(&BUILD.replace("    cache-to", "    builder: mine\n    cache-to")));
    }

    #[test]
    fn other_places_to_run_are_silent() {
        let text = steps(BUILD);
        for (from, to) in [
            ("runs-on: ubuntu-latest", "runs-on: self-hosted"),
            ("runs-on: ubuntu-latest", "runs-on: depot-ubuntu-24.04"),
            ("runs-on: ubuntu-latest", "runs-on: ubuntu-latest\n    container: docker:28"),
            ("on: push", "on: push\nenv: {BUILDX_BUILDER: mine}"),
            (".github/workflows", ".gitea/workflows"),
            ("docker/build-push-action", "depot/build-push-action"),
        ] {
            check(&RULE, &text.replace(from, to));
        }
        // Another repository may call it on a runner of its own.
        let called = text.replace("ubuntu-latest", "${{ inputs.runner }}").replace("on: push", "on: {workflow_call: {inputs: {runner: {type: string}}}}");
        let caller = "#- .github/workflows/main.yml\non: push\njobs:\n  a:\n    uses: ./.github/workflows/ci.yml\n    with: {runner: ubuntu-latest}\n";
        check(&RULE, &format!("{called}{caller}"));
    }

    #[test]
    fn steps_that_have_nothing_to_do_with_builders_do_not_count() {
        let before = "- uses: docker/login-action@v4\n- uses: docker/metadata-action@v6\n- uses: actions/setup-node@v6\n- run: npm ci";
        check(&RULE, &marked(&steps(&format!("{before}\n{BUILD}")), "type=gha,mode=max", MESSAGE));
    }
}
