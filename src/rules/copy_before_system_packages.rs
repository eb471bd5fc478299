use super::copy_before_install::{first_volatile_copy, list, what_is_copied};
use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::Kind;
use crate::dockerfile::plan::{Plan, Step};
use crate::ecosystem::Action;
use crate::effects::{Effects, Place};
use crate::facts;
use crate::view::DockerfileView;
use std::borrow::Cow;
use std::cell::LazyCell;
use std::collections::BTreeMap;

declare_rule! {
    /// System packages are installed after the sources are copied.
    ///
    /// The list of packages has nothing to do with the sources, and yet any change to a copied
    /// file downloads and unpacks all of them again: the copy stands above the install in the
    /// chain of cache keys.
    ///
    /// ```dockerfile,bad
    /// FROM debian:12.9-slim
    /// COPY src /app
    /// RUN apt-get update && apt-get install -y curl
    /// ```
    ///
    /// ```dockerfile,fixed
    /// FROM debian:12.9-slim
    /// RUN apt-get update && apt-get install -y curl
    /// COPY src /app
    /// ```
    ///
    /// The same holds for what another stage builds of the sources: `COPY --from=build /src/app /app/`.
    ///
    /// In a stage that starts from the one with the copy, as stages for development do, it is an
    /// information only; and so it is where other commands in the same instruction may need the sources, so that
    /// it would have to be divided. One that removes its packages in the end is left alone.
    ///
    /// A copy that may bring package sources, keys or configuration is left where it is.
    ///
    /// ```dockerfile,good
    /// FROM debian:12.9-slim
    /// COPY rootfs /
    /// RUN apt-get update && apt-get install -y curl
    /// ```
    ///
    /// ## Fix safety
    ///
    /// The install is moved only if every command of it is known, it names no file that the copy
    /// brings, and the copy goes to a folder where packages put nothing, such as `/app` or
    /// `/usr/src/app`.
    pub(crate) static COPY_BEFORE_SYSTEM_PACKAGES = {
        name: "copy-before-system-packages",
        level: Level::Warning,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    let mut causes: BTreeMap<usize, Vec<(usize, usize, usize)>> = BTreeMap::new();
    for plan in view.plans() {
        let built = LazyCell::new(|| Built::of(plan));
        for (index, step) in plan.own() {
            if !step.installs.iter().any(|it| it.action == Action::InstallSystem) {
                continue;
            }
            let Some(copy) = first_volatile_copy(plan, index).or_else(|| built.above(index)) else { continue };
            // With any other command in it, the RUN may well need the sources; what it begins with need not.
            let own = match &step.obstacle {
                Some(_) => plan.effects_of_leading_install(index).map(Cow::Owned),
                None => Some(Cow::Borrowed(&step.effects)),
            };
            let Some(own) = own else { continue };
            let brings = plan.steps[..index].iter().enumerate().skip(copy).any(|(at, it)| {
                let matters = it.effects.writes.iter().filter(|it| may_matter(it)).cloned().collect();
                let effects = Effects { reads: it.effects.reads.clone(), writes: matters };
                it.instruction.keyword != "RUN"
                    && !(knows_no_destination(&it.effects.writes) && (step.obstacle.is_none() || plan.destination(at).is_none()))
                    && effects.conflicts(&own).iter().any(|it| matches!(it.place(), Place::File(_) | Place::Tree { .. }))
            });
            if !brings {
                causes.entry(plan.steps[copy].instruction.span.start).or_default().push((plan.stage, index, copy));
            }
        }
    }
    for victims in causes.into_values() {
        report(view, &victims, findings);
    }
}

/// What brings the output of another stage into a stage, and what may bring the same.
struct Built {
    /// The first copy of what another stage builds of the sources.
    copy: Option<usize>,
    /// The first command with files in a mount: what is below it may run again on the same changes anyway.
    mount: Option<usize>,
}

impl Built {
    fn of(plan: &Plan<'_>) -> Built {
        let is_built = |it: &Step<'_>| matches!(&it.instruction.kind, Kind::Copy(copy) if plan.brings_built(copy));
        let binds = |it: &Step<'_>| matches!(&it.instruction.kind, Kind::Run(run) if run.mounts.iter().any(|it| it.kind() == "bind"));
        Built { copy: plan.steps.iter().position(is_built), mount: plan.steps.iter().position(binds) }
    }

    /// The copy, if it is what runs the step `index` again.
    fn above(&self, index: usize) -> Option<usize> {
        self.copy.filter(|it| *it < index && self.mount.is_none_or(|it| it > index))
    }
}

/// What runs packages again, for a message.
fn cause(kind: &Kind) -> String {
    match kind {
        Kind::Copy(copy) if copy.from.is_some() => format!("any new output of `{}`", copy.from.as_deref().unwrap_or_default()),
        _ => format!("any change to {}", what_is_copied(kind)),
    }
}

/// Whether what a copy brings to `place` may be package sources, keys or configuration. In the
/// folders of applications there are none, even where a package may put files there too.
fn may_matter(place: &Place) -> bool {
    const OF_APPLICATIONS: &[&str] = &["/home", "/opt", "/srv", "/usr/src", "/var/www"];
    match place {
        Place::File(path) | Place::Tree { root: path, .. } => !OF_APPLICATIONS.iter().any(|it| path != it && facts::is_below(path, it)),
        _ => true,
    }
}

/// Whether a copy goes somewhere that is not known, which is then most often a folder of its own.
fn knows_no_destination(writes: &[Place]) -> bool {
    matches!(writes, [Place::Tree { root, holes }] if root == "/" && holes.is_empty())
}

fn report(view: &DockerfileView<'_>, victims: &[(usize, usize, usize)], findings: &mut Findings<'_>) {
    let plan_of = |stage: usize| view.plans().find(move |it| it.stage == stage);
    let Some(plan) = victims.first().and_then(|it| plan_of(it.0)) else { return };
    let copy = plan.steps[victims[0].2].instruction;
    let commands: Vec<String> = victims
        .iter()
        .filter_map(|(stage, index, _)| {
            plan_of(*stage)?.steps[*index].installs.iter().find(|it| it.action == Action::InstallSystem).map(|it| it.display.clone())
        })
        .collect();
    let mut names: Vec<&str> = commands.iter().map(String::as_str).collect();
    names.dedup();
    let mut finding = findings.report(copy.span, format!("{} runs {} again, which needs none of it", cause(&copy.kind), list(&names)));
    // A stage for development may well start from the one that ships; and to divide an instruction is a matter of
    // taste as well.
    let is_small =
        |(stage, index, copy): &(usize, usize, usize)| plan_of(*stage).is_some_and(|it| it.steps[*copy].stage != *stage || it.steps[*index].obstacle.is_some());
    if victims.iter().all(is_small) {
        finding = finding.level(Level::Info);
    }
    let mut fix = None;
    let mut refused = None;
    for ((stage, index, copy), command) in victims.iter().zip(&commands) {
        if let Some(plan) = plan_of(*stage) {
            finding = finding.note(plan.steps[*index].instruction.span, format!("`{command}` runs again"));
        }
        match view.prove(*stage, |it| it.hoist(&view.source, *index, *copy)) {
            Ok(proven) => fix = fix.or(Some(proven)),
            Err(refusal) => refused = refused.or(Some(refusal)),
        }
    }
    match (fix, refused) {
        (Some(proven), _) => drop(finding.fix(view.reordering("Install the system packages first", proven))),
        (None, Some(refusal)) => drop(finding.refused(&refusal)),
        (None, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::COPY_BEFORE_SYSTEM_PACKAGES as RULE;
    use crate::rules::testing::{check, check_fix};

    #[test]
    fn a_copy_to_the_root_may_bring_package_sources() {
        check(&RULE, "FROM debian:12.9\nCOPY rootfs/ /\nRUN apt-get update && apt-get install -y curl\n");
        check(&RULE, "FROM debian:12.9\nCOPY etc/ /etc/\nRUN apt-get update && apt-get install -y curl\n");
    }

    #[test]
    fn a_script_is_no_source() {
        check(&RULE, "FROM debian:12.9\nCOPY entrypoint.sh /\nRUN apt-get update && apt-get install -y curl\n");
    }

    #[test]
    fn where_other_commands_may_need_the_sources_it_is_an_information() {
        check(
            &RULE,
            "
FROM debian:12.9
COPY . /app
^^^^^^^^^^^ info: any change to the build context runs `apt-get install` again, which needs none of it
RUN apt-get update && apt-get install -y gcc && make -C /app
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apt-get install` runs again
                                                ^^^^^^^^^^^^ note: no fix: `make` is not known, and may read or write anything
",
        );
    }

    #[test]
    fn packages_that_are_removed_or_named_by_the_sources_are_silent() {
        for command in [
            "make -C /app && apt-get update && apt-get install -y gcc",
            "apk add --no-cache --virtual .build gcc && make -C /app && apk del .build",
            "apt-get update && apt-get install -y gcc && make -C /app && apt-get purge -y gcc",
            "apt-get update && apt-get install -y $(cat /app/packages) && make -C /app",
            "apt-get update && apt-get install -y /app/x.deb && make -C /app",
            "cd /app && apt-get update && apt-get install -y ./x.deb && make",
            "if [ -f /app/a ]; then apt-get update && apt-get install -y gcc; fi && make -C /app",
        ] {
            check(&RULE, &format!("FROM debian:12.9\nCOPY . /app\nRUN {command}\n"));
        }
        check(&RULE, "FROM debian:12.9\nCOPY . /\nRUN apt-get update && apt-get install -y gcc && make\n");
    }

    #[test]
    fn a_stage_that_starts_from_the_one_with_the_sources_is_an_information() {
        check(
            &RULE,
            "
FROM alpine:3.20 AS app
COPY src /app
^^^^^^^^^^^^^ info: any change to `src` runs `apk add` again, which needs none of it
FROM app
^^^^^^^^ note: no fix: the stage it starts from may be built by itself
RUN apk add git
^^^^^^^^^^^^^^^ note: `apk add` runs again
",
        );
    }

    #[test]
    fn packages_move_above_the_sources() {
        check_fix(
            &RULE,
            "
FROM alpine:3.20
WORKDIR /app
COPY . .
^^^^^^^^ warning: any change to the build context runs `apk add` again, which needs none of it

# Tools.
RUN apk add --no-cache git
^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apk add` runs again
RUN make
",
            "
FROM alpine:3.20
WORKDIR /app
# Tools.
RUN apk add --no-cache git
COPY . .

RUN make
",
        );
    }

    #[test]
    fn packages_move_above_what_is_built_outside() {
        check_fix(
            &RULE,
            "
FROM eclipse-temurin:21.0.5_11-jre
WORKDIR /app
COPY target/*.jar app.jar
^^^^^^^^^^^^^^^^^^^^^^^^^ warning: any change to `target/*.jar` runs `apt-get install` again, which needs none of it
RUN apt-get update && apt-get install -y curl
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apt-get install` runs again
",
            "
FROM eclipse-temurin:21.0.5_11-jre
WORKDIR /app
RUN apt-get update && apt-get install -y curl
COPY target/*.jar app.jar
",
        );
        check(&RULE, "FROM debian:12.9\nCOPY agent.jar /app/\nRUN apt-get update && apt-get install -y curl\n");
    }

    #[test]
    fn packages_move_above_what_another_stage_builds() {
        check_fix(
            &RULE,
            "
FROM golang:1.25.0 AS builder
WORKDIR /src
COPY . .
RUN go build -o app ./cmd
FROM debian:12.9
COPY --from=builder /src/app /app/app
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: any new output of `builder` runs `apt-get install` again, which needs none of it
RUN apt-get update && apt-get install -y ca-certificates
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apt-get install` runs again
CMD [\"/app/app\"]
",
            "
FROM golang:1.25.0 AS builder
WORKDIR /src
COPY . .
RUN go build -o app ./cmd
FROM debian:12.9
RUN apt-get update && apt-get install -y ca-certificates
COPY --from=builder /src/app /app/app
CMD [\"/app/app\"]
",
        );
    }

    #[test]
    fn a_compiler_is_told_where_to_build() {
        for (command, output) in [
            ("go build -o /out/server ./cmd", "/out/server"),
            ("dotnet publish App.csproj -c Release -o /app/publish /p:UseAppHost=false", "/app/publish"),
            ("make install DESTDIR=/out", "/out"),
            ("DESTDIR=/out/ ninja install", "/out"),
            ("dotnet publish --output=/app/out/", "/app/out"),
        ] {
            let copy = format!("COPY --from=build {output} /app/");
            check(
                &RULE,
                &format!(
                    "FROM debian:12.9 AS build\nWORKDIR /src\nCOPY . .\nRUN mkdir -p {output} && {command}\nFROM debian:12.9\n{copy}\n{} warning: any new output of `build` runs `apt-get install` again, which needs none of it\nRUN apt-get update && apt-get install -y git\n{} note: `apt-get install` runs again\n",
                    "^".repeat(copy.len()),
                    "^".repeat(44)
                ),
            );
        }
    }

    #[test]
    fn what_another_stage_has_and_does_not_build_is_silent() {
        // Nothing here builds, and other rules would have fixes for it.
        const INSTALL: &str = "# layerwise: ignore[missing-cache-mount]\nRUN apt-get update && apt-get install -y git\n";
        for copy in [
            "COPY --from=builder /src/node_modules /app/node_modules",
            "COPY --from=builder /src/package.json /app/",
            "COPY --from=builder /src/config /app/config",
            "COPY --from=builder /src/docker/entrypoint.sh /app/",
            "COPY --from=builder /etc/ssl/certs /app/certs",
            "COPY --from=builder /out/app /app/app",
            "COPY --from=builder /out/tool /app/tool",
            "COPY --from=builder /out/venv /app/venv",
            "COPY --from=builder /src/rootfs /",
            "COPY --from=busybox:1.37.0 /src/app /app/app",
            "COPY --from=tools /src/app /app/app",
            "COPY --from=plain /src/app /app/app",
        ] {
            check(
                &RULE,
                &format!(
                    "FROM debian:12.9 AS tools\nWORKDIR /src\nCOPY Makefile .\nRUN make\nFROM scratch AS plain\nCOPY . /src\nFROM debian:12.9 AS builder\nWORKDIR /src\nCOPY . .\nRUN make && curl -o /out/tool https://example.org/tool && x -o /out/venv\nFROM debian:12.9\n{copy}\n{INSTALL}"
                ),
            );
        }
        // It runs again anyway.
        let build = "FROM debian:12.9 AS builder\nWORKDIR /src\nCOPY . .\nRUN make\nFROM debian:12.9\n";
        check(&RULE, &format!("{build}RUN --mount=type=bind,target=/src make -C /src\nCOPY --from=builder /src/app /app/app\n{INSTALL}"));
    }

    #[test]
    fn an_application_beside_the_system_brings_no_package_sources() {
        check(
            &RULE,
            "
FROM debian:12.9
COPY . /opt/app
^^^^^^^^^^^^^^^ warning: any change to the build context runs `apt-get install` again, which needs none of it
^^^^^^^^^^^^^^^ note: no fix: this writes files below `/opt/app`, which the later instruction reads
WORKDIR /opt/app
RUN apt-get update && apt-get install -y chromium
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apt-get install` runs again
",
        );
        check(&RULE, "FROM debian:12.9\nCOPY . /opt\nRUN apt-get update && apt-get install -y chromium\n");
        check(&RULE, "FROM debian:12.9\nCOPY packages /opt/packages\nRUN apt-get update && apt-get install -y /opt/packages/a.deb\n");
    }
}
