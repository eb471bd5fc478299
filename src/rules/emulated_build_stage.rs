use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::plan::{Plan, has_word};
use crate::dockerfile::{Base, Frontend, Kind, Stage};
use crate::edit::Span;
use crate::shell::Command;
use crate::view::{Caller, DockerfileView};
use std::collections::BTreeSet;

declare_rule! {
    /// A stage whose output fits every platform is built once for each of them, under emulation.
    ///
    /// Without `--platform=$BUILDPLATFORM` a stage runs on the platform that is asked for. Compiled
    /// under emulation, Go without C takes many times as long, and each platform has layers of its
    /// own. The compiler can make programs for other platforms itself; what a bundler or `javac`
    /// makes is the same for all.
    ///
    /// ```dockerfile,bad
    /// #- Dockerfile
    /// FROM golang:1.23 AS build
    /// WORKDIR /src
    /// COPY . .
    /// RUN CGO_ENABLED=0 go build -o /out/app .
    /// FROM alpine:3.20
    /// COPY --from=build /out/app /app
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - uses: docker/setup-qemu-action@v4
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           context: .
    ///           platforms: linux/amd64,linux/arm64
    /// ```
    ///
    /// ```dockerfile,good
    /// #- Dockerfile
    /// FROM --platform=$BUILDPLATFORM golang:1.23 AS build
    /// WORKDIR /src
    /// COPY . .
    /// ARG TARGETOS TARGETARCH
    /// RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -o /out/app .
    /// FROM alpine:3.20
    /// COPY --from=build /out/app /app
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           context: .
    ///           platforms: linux/amd64,linux/arm64
    /// ```
    ///
    /// Reported where a workflow sets emulation up and asks for several platforms in one build, and
    /// only for stages that others copy from: Go with `CGO_ENABLED=0`, and a build of Node of which
    /// a web server is given the files.
    ///
    /// ## Fix safety
    ///
    /// There is no fix: a cross build has to be told what it builds for.
    pub(crate) static EMULATED_BUILD_STAGE = {
        name: "emulated-build-stage",
        level: Level::Info,
        fixes: false,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    if view.dockerfile.frontend == Frontend::Foreign {
        return;
    }
    let Some((caller, platforms)) = view.callers.iter().find_map(|it| Some((it, emulated_platforms(it)?))) else { return };
    for plan in view.plans() {
        let stage = &view.dockerfile.stages[plan.stage];
        let is_chosen = stage.from.flags.iter().any(|it| it.name == "platform");
        if is_chosen || !matches!(stage.base, Base::Image(_)) || !is_copied_from(view, stage) {
            continue;
        }
        let Some(how) = crosses(view, plan) else { continue };
        findings.report(stage.from.span, format!("this stage runs once for each platform, under emulation: on `$BUILDPLATFORM` {how}")).note_in(
            caller.path.clone(),
            platforms,
            "the platforms are asked for here",
        );
    }
}

/// Where a build asks for several platforms that one machine can only emulate.
fn emulated_platforms(caller: &Caller<'_>) -> Option<Span> {
    let (_, job, step) = caller.build.step?;
    let is_emulator = |it: &crate::workflow::Step| it.runs("docker/setup-qemu-action") || it.has_command(&["docker", "run", "--privileged"]);
    if !job.before(step.step).iter().any(is_emulator) {
        return None;
    }
    let known: Option<Vec<String>> = caller.build.build.platforms.iter().map(|it| it.known()).collect();
    let architectures: BTreeSet<String> = known?.iter().filter_map(|it| it.trim().split('/').nth(1).map(str::to_owned)).collect();
    (architectures.len() > 1).then(|| caller.build.build.platforms.first().map(|it| it.span)).flatten()
}

/// Whether all that is taken of a stage are files, and it is not the image itself.
fn is_copied_from(view: &DockerfileView<'_>, stage: &Stage) -> bool {
    let named = |it: &str| view.dockerfile.stage(it).is_some_and(|it| it.index == stage.index);
    let copied = view.dockerfile.instructions().any(|(_, it)| matches!(&it.kind, Kind::Copy(copy) if copy.from.as_deref().is_some_and(named)));
    let built = view.callers.iter().any(|it| matches!(&it.place.target, crate::links::Target::Named(name) if named(name)));
    let is_base = view.dockerfile.stages.iter().any(|it| it.base == Base::Stage(stage.index));
    copied && !built && !is_base && stage.index + 1 < view.dockerfile.stages.len()
}

/// What makes the output of a stage fit other platforms, said of it; `None` if that is not known.
fn crosses(view: &DockerfileView<'_>, plan: &Plan<'_>) -> Option<&'static str> {
    let image = plan.image()?.official()?;
    let commands = || {
        plan.steps.iter().flat_map(|step| match &step.instruction.kind {
            Kind::Run(run) => run.script.commands.iter().map(|it| (step, run, it)).collect::<Vec<_>>(),
            _ => Vec::new(),
        })
    };
    match image {
        "golang" => {
            let mut builds = commands().filter(|(.., it)| it.program() == Some("go") && second(it) == Some("build")).peekable();
            builds.peek()?;
            let without_c = |(step, run, command): (&crate::dockerfile::plan::Step<'_>, &crate::dockerfile::Run, &Command)| {
                let variable = step.state.variables.get("CGO_ENABLED").and_then(|it| it.value.as_deref());
                variable == Some("0") || run.command.text.contains("CGO_ENABLED=0") || command.environment().contains(&("CGO_ENABLED", "0"))
            };
            builds.all(without_c).then_some("it runs once, and `GOARCH=$TARGETARCH` says what for")
        }
        "node" => {
            let builds = commands().any(|(_, run, it)| matches!(it.program(), Some("npm" | "yarn" | "pnpm")) && has_word(&run.command.text, "build"));
            (builds && serves_files(view, plan.stage)).then_some("it runs once for all, since what it makes is the same")
        }
        _ => None,
    }
}

fn second(command: &Command) -> Option<&str> {
    command.invocation()?.arguments().first()?.literal()
}

/// Whether all stages that copy from this one are web servers, to which files are files.
fn serves_files(view: &DockerfileView<'_>, stage: usize) -> bool {
    let takers = view.dockerfile.stages.iter().filter(|it| view.dockerfile.sources_of(it).contains(&stage));
    let mut takers = takers.peekable();
    let is_server = |it: &Stage| match &it.base {
        Base::Image(image) => {
            let name = image.parts().map_or("", |it| it.0);
            ["nginx", "caddy", "httpd", "nginx-unprivileged"].contains(&crate::facts::name(name))
        }
        Base::Scratch | Base::Stage(_) => false,
    };
    takers.peek().is_some() && takers.all(is_server)
}

#[cfg(test)]
mod tests {
    use super::EMULATED_BUILD_STAGE as RULE;
    use crate::rules::testing::{check, steps};

    fn workflow(platforms: &str) -> String {
        steps(&format!(
            "- uses: docker/setup-qemu-action@v4\n- uses: docker/setup-buildx-action@v4\n- uses: docker/build-push-action@v7\n  with:\n    context: .\n    platforms: {platforms}"
        ))
    }

    const BOTH: &str = "linux/amd64,linux/arm64";
    const GO: &str = "FROM golang:1.23 AS build\nENV CGO_ENABLED=0\nRUN go build -o /app\nFROM alpine:3.20\nCOPY --from=build /app /app\n";

    fn noted(platforms: &str) -> String {
        crate::rules::testing::marked(&workflow(platforms), "linux/amd64", "note: the platforms are asked for here")
    }

    #[test]
    fn go_without_c_builds_for_others() {
        let marked = GO.replacen(
            "ENV",
            "^^^^^^^^^^^^^^^^^^^^^^^^^ info: this stage runs once for each platform, under emulation: on `$BUILDPLATFORM` it runs once, and `GOARCH=$TARGETARCH` says what for\nENV",
            1,
        );
        check(&RULE, &format!("#- Dockerfile\n{marked}{}", noted(BOTH)));
    }

    #[test]
    fn files_for_a_web_server_are_the_same() {
        let dockerfile = "FROM node:22.11 AS web\n^^^^^^^^^^^^^^^^^^^^^^ info: this stage runs once for each platform, under emulation: on `$BUILDPLATFORM` it runs once for all, since what it makes is the same\nRUN npm ci && npm run build\nFROM nginx:1.27\nCOPY --from=web /dist /usr/share/nginx/html\n";
        check(&RULE, &format!("#- Dockerfile\n{dockerfile}{}", noted(BOTH)));
    }

    #[test]
    fn one_platform_is_not_emulated() {
        check(&RULE, &format!("#- Dockerfile\n{GO}{}", workflow("linux/amd64")));
        check(&RULE, &format!("#- Dockerfile\n{GO}{}", workflow("${{ matrix.platform }}")));
        check(&RULE, &format!("#- Dockerfile\n{GO}"));
    }

    #[test]
    fn without_an_emulator_there_are_builders_of_each_platform() {
        let workflow = workflow(BOTH).replace("docker/setup-qemu-action@v4", "actions/checkout@v6");
        check(&RULE, &format!("#- Dockerfile\n{GO}{workflow}"));
    }

    #[test]
    fn what_may_depend_on_the_platform_is_silent() {
        for dockerfile in [
            GO.replace("golang", "--platform=$BUILDPLATFORM golang"),
            GO.replace("ENV CGO_ENABLED=0\n", ""),
            GO.replace("COPY --from=build /app /app\n", ""),
            "FROM golang:1.23\nENV CGO_ENABLED=0\nRUN go build -o /app\n".to_owned(),
            "FROM node:22.11 AS web\nRUN npm ci && npm run build\nFROM node:22.11\nCOPY --from=web /app /app\n".to_owned(),
            "FROM rust:1.83 AS build\nRUN cargo build\nFROM alpine:3.20\nCOPY --from=build /app /app\n".to_owned(),
        ] {
            check(&RULE, &format!("#- Dockerfile\n{dockerfile}{}", workflow(BOTH)));
        }
    }
}
