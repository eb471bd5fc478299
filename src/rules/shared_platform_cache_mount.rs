use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::caches::CacheMount;
use crate::dockerfile::mounts::{cache_id, is_cache_of};
use crate::dockerfile::plan::Plan;
use crate::dockerfile::{Base, Kind, Run};
use crate::ecosystem::Manager;
use crate::facts;
use crate::view::{Caller, DockerfileView};

declare_rule! {
    /// A cache mount holds files of one architecture, and a build for several platforms shares it.
    ///
    /// The id of a cache mount does not know the platform: all platforms of a build write to the
    /// same folder, at the same time. What a compiler leaves there, or an index with one name for all
    /// architectures, is then overwritten by the others, or used by them.
    ///
    /// ```dockerfile,bad
    /// #- .github/workflows/release.yml
    /// on: push
    /// jobs:
    ///   image:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           context: .
    ///           platforms: linux/amd64,linux/arm64
    ///           cache-from: type=gha
    ///           cache-to: type=gha,mode=max
    /// #- Dockerfile
    /// FROM rust:1.83-slim
    /// WORKDIR /src
    /// ARG TARGETARCH
    /// COPY . .
    /// RUN --mount=type=cache,target=/src/target,sharing=locked cargo build --release && cp target/release/app /usr/local/bin/
    /// ```
    ///
    /// ```dockerfile,fixed
    /// #- Dockerfile
    /// FROM rust:1.83-slim
    /// WORKDIR /src
    /// ARG TARGETARCH
    /// COPY . .
    /// RUN --mount=type=cache,target=/src/target,sharing=locked,id=src-target-$TARGETARCH cargo build --release && cp target/release/app /usr/local/bin/
    /// ```
    ///
    /// Silent unless a build for several platforms is known, for caches that tell architectures
    /// apart (apt, npm, pip, Go), and in stages that run on the platform of the builder.
    ///
    /// ```dockerfile,good
    /// FROM --platform=$BUILDPLATFORM node:22.11-slim
    /// RUN --mount=type=cache,target=/root/.npm npm install -g serve@14
    /// ```
    ///
    /// ## Fix safety
    ///
    /// The id of a cache is no part of the image. The fix is safe where `TARGETARCH` is declared
    /// above and nothing else uses the cache; otherwise it declares it, which commands may read.
    pub(crate) static SHARED_PLATFORM_CACHE_MOUNT = {
        name: "shared-platform-cache-mount",
        level: Level::Info,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    let Some(caller) = view.callers.iter().find(|it| is_multi_platform(it)) else { return };
    for plan in view.plans().filter(|it| !has_own_platform(it)) {
        for (index, step) in plan.own() {
            let Kind::Run(run) = &step.instruction.kind else { continue };
            let mounts = plan.cache_mounts(index, run);
            for mount in mounts.iter().filter(|it| is_shared(it) && is_of_one_architecture(it, run)) {
                let id = cache_id(mount);
                let message = format!("all platforms share the cache `{id}`, which holds files of one architecture");
                let at = caller.build.build.platforms.first().map_or(caller.build.build.span, |it| it.span);
                let finding = findings.report(mount.flag.span, message).note_in(caller.path.clone(), at, "this builds for several platforms");
                drop(match view.prove(plan.stage, |it| it.separate_mount(&view.source, index, mount)) {
                    Ok(proven) => finding.fix(view.mounting("Give each architecture a cache of its own", proven)),
                    Err(refusal) => match plan.suggest_separation(&view.source, index, mount) {
                        Some(edits) => finding.unproven(&refusal).fix(view.suggestion("Give each architecture a cache of its own", edits)),
                        None => finding.refused(&refusal),
                    },
                });
            }
        }
    }
}

fn is_multi_platform(caller: &Caller<'_>) -> bool {
    let platforms = caller.build.build.platforms.iter().filter_map(crate::value::Value::known);
    let mut architectures: Vec<String> = platforms.flat_map(|it| it.split(',').map(|it| it.trim().to_owned()).collect::<Vec<_>>()).collect();
    architectures.sort();
    architectures.dedup();
    architectures.len() > 1
}

/// Whether the stage runs on one platform, whatever it is built for.
fn has_own_platform(plan: &Plan<'_>) -> bool {
    let mut stage = &plan.dockerfile.stages[plan.stage];
    loop {
        if stage.from.flags.iter().any(|it| it.name == "platform" && it.value.as_ref().is_some_and(|it| !it.text.contains("TARGET"))) {
            return true;
        }
        match stage.base {
            // Lowering only refers to earlier stages, so that this ends.
            Base::Stage(base) => stage = &plan.dockerfile.stages[base],
            _ => return false,
        }
    }
}

/// Whether one folder serves all platforms.
fn is_shared(mount: &CacheMount<'_>) -> bool {
    let private = mount.mount.get("sharing") == Some("private");
    let by_variable = mount
        .mount
        .fields
        .iter()
        .filter(|it| matches!(it.name.as_str(), "id" | "target" | "dst" | "destination"))
        .any(|it| it.value.as_ref().is_some_and(|it| it.text.contains('$')));
    !private && !by_variable && mount.target.is_some()
}

/// Whether what is kept there does not tell architectures apart.
fn is_of_one_architecture(mount: &CacheMount<'_>, run: &Run) -> bool {
    let target = mount.target.as_deref().unwrap_or_default();
    let runs = |program: &str| run.script.commands.iter().any(|it| it.program() == Some(program));
    let crosses = run.script.commands.iter().any(|it| it.words.iter().any(|it| it.text.starts_with("--target")));
    is_cache_of(Manager::Apk, target)
        || (facts::name(target) == "target" && runs("cargo") && !crosses)
        || matches!(facts::name(target), "node_modules" | "node-gyp" | ".ccache" | "ccache" | "_build")
}

#[cfg(test)]
mod tests {
    use super::SHARED_PLATFORM_CACHE_MOUNT as RULE;
    use crate::rules::testing::{build_step, check, check_fix, check_unsafe_fix, check_without_fix, marked};

    fn build() -> String {
        marked(
            &build_step("context: .\nplatforms: linux/amd64,linux/arm64\ncache-from: type=gha\ncache-to: type=gha,mode=max"),
            "linux/amd64",
            "note: this builds for several platforms",
        )
    }

    #[test]
    fn an_index_with_one_name_for_all_gets_an_id_for_each() {
        check_fix(
            &RULE,
            &format!(
                "{}#- Dockerfile
FROM alpine:3.20
ARG TARGETARCH
RUN --mount=type=cache,id=apk,target=/var/cache/apk,sharing=locked apk add git && echo $TARGETARCH
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ info: all platforms share the cache `apk`, which holds files of one architecture
",
                build()
            ),
            "#- Dockerfile
FROM alpine:3.20
ARG TARGETARCH
RUN --mount=type=cache,id=apk-$TARGETARCH,target=/var/cache/apk,sharing=locked apk add git && echo $TARGETARCH
",
        );
    }

    #[test]
    fn to_declare_the_architecture_is_a_suggestion() {
        check_unsafe_fix(
            &RULE,
            &format!(
                "{}#- Dockerfile
FROM rust:1.83
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=target cargo build --release && cp target/release/app /
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: no safe fix: `TARGETARCH` is not declared here
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ info: all platforms share the cache `/src/target`, which holds files of one architecture
",
                build()
            ),
            "#- Dockerfile
FROM rust:1.83
WORKDIR /src
COPY . .
ARG TARGETARCH
RUN --mount=type=cache,target=target,id=src-target-$TARGETARCH cargo build --release && cp target/release/app /
",
        );
    }

    #[test]
    fn a_cache_that_others_use_keeps_its_id() {
        check_without_fix(
            &RULE,
            &format!(
                "{}#- Dockerfile
FROM rust:1.83
WORKDIR /src
COPY . .
ARG TARGETARCH
RUN --mount=type=cache,target=/src/target cargo build --release
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: no fix: the cache `/src/target` is used elsewhere as well
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ info: all platforms share the cache `/src/target`, which holds files of one architecture
RUN --mount=type=cache,target=/src/target cp target/release/app /
",
                build()
            ),
        );
    }

    #[test]
    fn caches_that_tell_architectures_apart_are_silent() {
        for (from, run) in [
            ("debian:12.9", "--mount=type=cache,target=/var/lib/apt/lists,sharing=locked apt-get update && apt-get install -y git"),
            ("python:3.13", "--mount=type=cache,target=/root/.cache/pip pip install flask==3.1.0"),
            ("golang:1.23", "--mount=type=cache,target=/root/.cache/go-build go build ./..."),
            ("alpine:3.20", "--mount=type=cache,target=/var/cache/apk,id=apk-$TARGETARCH apk add git"),
            ("alpine:3.20", "--mount=type=cache,target=/var/cache/apk,sharing=private apk add git"),
            ("--platform=$BUILDPLATFORM rust:1.83", "--mount=type=cache,target=/src/target cargo build"),
            ("rust:1.83", "--mount=type=cache,target=/src/target cargo build --target x86_64-unknown-linux-musl"),
            ("openjdk:21", "--mount=type=cache,target=/src/target mvn package"),
        ] {
            check(&RULE, &format!("{}#- Dockerfile\nFROM {from}\nARG TARGETARCH\nRUN {run}\n", build_step("context: .\nplatforms: linux/amd64,linux/arm64")));
        }
    }

    #[test]
    fn a_build_for_one_platform_or_none_that_is_known_is_silent() {
        let dockerfile = "#- Dockerfile\nFROM alpine:3.20\nRUN --mount=type=cache,target=/var/cache/apk apk add git\n";
        for with in ["context: .", "context: .\nplatforms: linux/amd64", "context: .\nplatforms: ${{ matrix.platform }}"] {
            check(&RULE, &format!("{}{dockerfile}", build_step(with)));
        }
        check(&RULE, dockerfile);
    }
}
