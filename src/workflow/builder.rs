//! Which builder a build step uses, and whether it keeps its layers from one run to the next.

use super::build::BuildStep;
use super::{Job, RunnerKind, Step};
use crate::value::{Part, Value};

/// The builder of a build step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builder {
    /// Docker's own, which can export inline cache only.
    Docker,
    /// Docker's own with the containerd image store, which can export any cache.
    Containerd,
    /// BuildKit in a container, new for every job; the index of the step that makes it.
    Container(usize),
    /// One that keeps its layers, with the reason in words; it needs no cache from elsewhere.
    Persistent(&'static str),
    /// Not known: an action of this repository, a script or a runner that may have set one up.
    Unknown,
}

/// Actions that make a builder that keeps its layers.
const PERSISTENT: &[(&str, &str)] = &[
    ("depot/build-push-action", "Depot keeps the layers"),
    ("depot/bake-action", "Depot keeps the layers"),
    ("useblacksmith/build-push-action", "Blacksmith keeps the layers"),
    ("useblacksmith/bake-action", "Blacksmith keeps the layers"),
    ("useblacksmith/setup-docker-builder", "Blacksmith keeps the layers"),
    ("namespacelabs/nscloud-setup-buildx-action", "Namespace keeps the layers"),
];

fn persistent(step: &Step) -> Option<&'static str> {
    let action = step.action.as_ref()?;
    PERSISTENT.iter().find(|(name, _)| action.is(name)).map(|(_, reason)| *reason)
}

impl Job {
    /// The builder that a build of this job uses.
    pub fn builder(&self, build: &BuildStep) -> Builder {
        let Some(step) = self.steps.get(build.step) else { return Builder::Unknown };
        if let Some(reason) = persistent(step) {
            return Builder::Persistent(reason);
        }
        if build.build.name.starts_with("depot ") {
            return Builder::Persistent("Depot keeps the layers");
        }
        if ["podman", "buildah", "nerdctl"].iter().any(|it| build.build.name.starts_with(it)) {
            return Builder::Unknown;
        }
        match &build.builder {
            Some(name) => self.named_builder(build.step, name),
            None => self.current_builder(build.step),
        }
    }

    /// The one of `builder:`: a step made it, or it is not of this job.
    fn named_builder(&self, step: usize, name: &Value) -> Builder {
        let made = |index: usize, it: &Step| {
            let by_output = match (&it.id, name.parts.as_slice()) {
                (Some(id), [Part::Expression { source, .. }]) => source.eq_ignore_ascii_case(&format!("steps.{id}.outputs.name")),
                _ => false,
            };
            let by_name = name.known().is_some() && it.known("name") == name.known();
            (by_output || by_name).then(|| setup(index, it, self.keeps_state())).flatten()
        };
        self.before(step).iter().enumerate().rev().find_map(|(index, it)| made(index, it)).unwrap_or(Builder::Unknown)
    }

    /// The one that the last step before chose.
    fn current_builder(&self, step: usize) -> Builder {
        let before = self.before(step).iter().enumerate().rev();
        if let Some(found) = before.clone().find_map(|(index, it)| setup(index, it, self.keeps_state())) {
            return found;
        }
        // The script that builds may also make the builder.
        let own = self.steps.get(step).and_then(|it| script_setup(step, it));
        if let Some(found) = own {
            return found;
        }
        let hosted = self.runner.as_ref().is_some_and(|it| it.kind == RunnerKind::Hosted);
        if hosted { Builder::Docker } else { Builder::Unknown }
    }

    fn keeps_state(&self) -> bool {
        self.runner.as_ref().is_none_or(|it| it.kind != RunnerKind::Hosted)
    }
}

/// The builder that a step leaves in use; `None` where it has nothing to do with builders.
fn setup(index: usize, step: &Step, keeps_state: bool) -> Option<Builder> {
    if let Some(reason) = persistent(step) {
        // The two that build do so with a builder of their own.
        return (step.is_builder_setup() || step.is_setup_only() || step.runs("useblacksmith/setup-docker-builder")).then_some(Builder::Persistent(reason));
    }
    let Some(action) = &step.action else { return script_setup(index, step) };
    let name = action.name.to_ascii_lowercase();
    if action.is("docker/setup-buildx-action") {
        return Some(buildx(index, step, keeps_state));
    }
    if action.is("docker/setup-docker-action") || action.is("crazy-max/ghaction-setup-docker") {
        let store = step.known("daemon-config").is_some_and(|it| it.contains("containerd-snapshotter") && it.contains("true"));
        return Some(if store { Builder::Containerd } else { Builder::Unknown });
    }
    (action.is_local() || name.contains("buildx") || name.contains("depot/setup") || name.contains("buildkit")).then_some(Builder::Unknown)
}

fn buildx(index: usize, step: &Step, keeps_state: bool) -> Builder {
    if step.known("use").as_deref() == Some("false") || step.input("append").is_some_and(|it| !it.value.is_blank()) {
        return Builder::Unknown;
    }
    let keep = step.input("keep-state").is_some_and(|it| it.truth() != Some(false));
    match step.input("driver").map(|it| it.value.known()) {
        Some(None) => Builder::Unknown,
        None => container(index, step, keep && keeps_state),
        Some(Some(driver)) => match driver.trim() {
            "docker" => Builder::Docker,
            "remote" => Builder::Persistent("a remote builder keeps its layers"),
            "kubernetes" => Builder::Persistent("a builder in Kubernetes keeps its layers"),
            "cloud" => Builder::Persistent("Docker Build Cloud keeps the layers"),
            "docker-container" | "" => container(index, step, keep && keeps_state),
            _ => Builder::Unknown,
        },
    }
}

fn container(index: usize, step: &Step, keeps: bool) -> Builder {
    let elsewhere = step.input("endpoint").is_some_and(|it| it.value.known().is_none_or(|it| !it.trim().is_empty() && it.trim() != "builders"));
    match (keeps, elsewhere) {
        (true, _) => Builder::Persistent("`keep-state` keeps the layers on the runner"),
        (false, true) => Builder::Unknown,
        (false, false) => Builder::Container(index),
    }
}

/// The builder that a script makes or chooses.
fn script_setup(index: usize, step: &Step) -> Option<Builder> {
    if step.commands(&["docker", "buildx", "use"]).next().is_some() || step.commands(&["docker", "context", "use"]).next().is_some() {
        let creates = step.commands(&["docker", "buildx", "create"]).next().is_some();
        return Some(if creates { Builder::Container(index) } else { Builder::Unknown });
    }
    if step.commands(&["depot", "configure-docker"]).next().is_some() {
        return Some(Builder::Persistent("Depot keeps the layers"));
    }
    let create = step.commands(&["docker", "buildx", "create"]).next()?;
    let words: Vec<&str> = create.words.iter().map(|it| it.text.as_str()).collect();
    let driver =
        words.iter().enumerate().find_map(|(at, it)| it.strip_prefix("--driver=").or_else(|| (*it == "--driver").then(|| words.get(at + 1).copied())?));
    match driver {
        None | Some("docker-container") => words.contains(&"--use").then_some(Builder::Container(index)),
        Some("remote") => Some(Builder::Persistent("a remote builder keeps its layers")),
        Some("kubernetes") => Some(Builder::Persistent("a builder in Kubernetes keeps its layers")),
        Some("cloud") => Some(Builder::Persistent("Docker Build Cloud keeps the layers")),
        Some(_) => Some(Builder::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::{lowered, with_steps};

    fn builder_on(runner: &str, steps: &str) -> Builder {
        let workflow = lowered(&with_steps(steps).replace("ubuntu-latest", runner));
        let job = &workflow.jobs[0];
        job.builder(job.builds.last().unwrap())
    }

    fn builder(steps: &str) -> Builder {
        builder_on("ubuntu-latest", steps)
    }

    const BUILD: &str = "- uses: docker/build-push-action@v6";

    #[test]
    fn without_a_setup_it_is_docker_on_a_hosted_runner() {
        assert_eq!(builder(BUILD), Builder::Docker);
        assert_eq!(builder("- run: docker build ."), Builder::Docker);
        assert_eq!(builder(&format!("- uses: actions/checkout@v4\n- uses: docker/login-action@v3\n{BUILD}")), Builder::Docker);
        for runner in ["self-hosted", "our-machine", "depot-ubuntu-24.04"] {
            assert_eq!(builder_on(runner, BUILD), Builder::Unknown, "{runner}");
        }
    }

    #[test]
    fn setups_are_told_apart_by_their_driver() {
        let cases = [
            ("- uses: docker/setup-buildx-action@v3", Builder::Container(0)),
            ("- uses: docker/setup-buildx-action@v3\n  with: {driver: docker}", Builder::Docker),
            ("- uses: docker/setup-buildx-action@v3\n  with: {driver: '${{ inputs.driver }}'}", Builder::Unknown),
            ("- uses: docker/setup-buildx-action@v3\n  with: {endpoint: 'tcp://builder:1234'}", Builder::Unknown),
            ("- uses: docker/setup-buildx-action@v3\n  with: {endpoint: builders}", Builder::Container(0)),
            ("- uses: docker/setup-buildx-action@v3\n  with: {keep-state: true}", Builder::Container(0)),
            ("- uses: docker/setup-docker-action@v4\n  with:\n    daemon-config: '{\"features\": {\"containerd-snapshotter\": true}}'", Builder::Containerd),
            ("- uses: docker/setup-docker-action@v4", Builder::Unknown),
            ("- uses: ./.github/actions/setup", Builder::Unknown),
            ("- run: docker buildx create --use", Builder::Container(0)),
            ("- run: docker buildx create --name x && docker buildx use x", Builder::Container(0)),
            ("- run: docker buildx use x", Builder::Unknown),
            ("- run: docker buildx create --name x", Builder::Docker),
        ];
        for (setup, expected) in cases {
            assert_eq!(builder(&format!("{setup}\n{BUILD}")), expected, "{setup}");
        }
    }

    #[test]
    fn some_builders_keep_their_layers() {
        let cases = [
            "- uses: docker/setup-buildx-action@v3\n  with: {driver: remote, endpoint: 'tcp://x:1'}\n- uses: docker/build-push-action@v6",
            "- uses: docker/setup-buildx-action@v3\n  with: {driver: kubernetes}\n- uses: docker/build-push-action@v6",
            "- uses: docker/setup-buildx-action@v3\n  with: {driver: cloud, endpoint: org/x}\n- uses: docker/build-push-action@v6",
            "- uses: depot/build-push-action@v1",
            "- uses: useblacksmith/build-push-action@v2",
            "- uses: useblacksmith/setup-docker-builder@v1\n- uses: docker/build-push-action@v6",
            "- uses: namespacelabs/nscloud-setup-buildx-action@v0\n- run: docker build .",
            "- run: depot build .",
        ];
        for steps in cases {
            assert!(matches!(builder(steps), Builder::Persistent(_)), "{steps}");
        }
        let keep = "- uses: docker/setup-buildx-action@v3\n  with: {keep-state: true}\n- uses: docker/build-push-action@v6";
        assert!(matches!(builder_on("self-hosted", keep), Builder::Persistent(_)));
    }

    #[test]
    fn a_builder_asked_for_by_name_is_the_one_that_a_step_made() {
        let setup = "- uses: docker/setup-buildx-action@v3\n  id: Buildx\n  with: {driver: remote}\n- uses: docker/setup-buildx-action@v3\n";
        let named = |name: &str| builder(&format!("{setup}{BUILD}\n  with: {{builder: '{name}'}}"));
        assert!(matches!(named("${{ steps.buildx.outputs.name }}"), Builder::Persistent(_)));
        assert_eq!(named("other"), Builder::Unknown);
        assert_eq!(builder(&format!("{setup}{BUILD}")), Builder::Container(1));
    }
}
