use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::plan::{Plan, Step};
use crate::dockerfile::{Base, Frontend, Kind, Run};
use crate::ecosystem;
use crate::shell::Command;
use crate::view::DockerfileView;

declare_rule! {
    /// More is copied from another stage than what it was made for.
    ///
    /// What is copied decides the cache key: with the whole folder of the sources, or a home with the
    /// caches of package managers, almost any change in the other stage makes another layer, and a
    /// large one. Name what the stage builds.
    ///
    /// ```dockerfile,bad
    /// FROM golang:1.23 AS build
    /// WORKDIR /src
    /// COPY . .
    /// RUN go build -o app .
    /// FROM debian:12.9-slim
    /// COPY --from=build /src /src
    /// ```
    ///
    /// ```dockerfile,good
    /// FROM golang:1.23 AS build
    /// WORKDIR /src
    /// COPY . .
    /// RUN go build -o app .
    /// FROM debian:12.9-slim
    /// COPY --from=build /src/app /src/app
    /// ```
    ///
    /// Reported are the whole file system of an image, unless it is put into an empty one to flatten
    /// it, whole homes with the caches of package managers, and folders of sources of which a program
    /// was compiled. What an interpreter runs are its sources, which are left alone, and so is a stage
    /// that starts from nothing to collect files.
    ///
    /// ## Fix safety
    ///
    /// There is no fix: what the image needs at run time is not in the file.
    pub(crate) static BROAD_STAGE_COPY = {
        name: "broad-stage-copy",
        level: Level::Info,
        fixes: false,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    if view.dockerfile.frontend == Frontend::Foreign {
        return;
    }
    for plan in view.plans() {
        for (_, step) in plan.own() {
            let Kind::Copy(copy) = &step.instruction.kind else { continue };
            let Some(from) = copy.from.as_deref().and_then(|it| view.dockerfile.stage(it)).filter(|it| it.index < plan.stage) else { continue };
            let Some(origin) = view.plans().find(|it| it.stage == from.index) else { continue };
            // A stage that takes the files of others only to hand them on is named by what it takes.
            let [source] = &copy.sources[..] else { continue };
            if !copy.excludes.is_empty() {
                continue;
            }
            let Some(folder) = origin.steps.first().and_then(|it| it.state.expand(&source.text, view.dockerfile.escape)) else { continue };
            let folder = crate::facts::join("/", &folder);
            let is_flattened = view.dockerfile.stages[plan.stage].base == Base::Scratch;
            // A stage that starts from nothing holds what was put there.
            let holds_more = origin.image().is_some_and(|it| it.arguments.is_empty());
            let what = match folder.as_str() {
                "/" if holds_more && !is_flattened => "the whole file system, with its caches and logs",
                "/root" | "/home" if holds_more && fills_home(origin) => "a whole home, with the caches of its tools",
                _ if compiles(origin, &folder) && !compiles(plan, &folder) => "the sources along with the program",
                _ => continue,
            };
            let message = format!("this takes {what}, so that almost any change in `{}` makes another layer", from.label());
            findings.report(source.span, message);
        }
    }
}

/// Whether a package manager of the stage keeps its cache in a home.
fn fills_home(plan: &Plan<'_>) -> bool {
    let in_home = |it: &ecosystem::Step| ecosystem::ecosystem(it.manager).caches.iter().any(|it| it.folder.starts_with('~'));
    plan.steps.iter().flat_map(|it| it.installs).any(|it| it.installs() && in_home(it))
}

/// Whether the stage copies its sources to the folder and compiles them.
fn compiles(plan: &Plan<'_>, folder: &str) -> bool {
    let is_source = |(index, step): (usize, &Step<'_>)| match &step.instruction.kind {
        Kind::Copy(copy) => {
            copy.whole_context() && plan.destination(index) == Some(folder) && {
                let later = plan.steps.iter().skip(index + 1);
                later.filter_map(run).any(|it| it.script.commands.iter().any(is_compiler))
            }
        }
        _ => false,
    };
    plan.steps.iter().enumerate().any(is_source)
}

fn run<'a>(step: &Step<'a>) -> Option<&'a Run> {
    match &step.instruction.kind {
        Kind::Run(run) => Some(run),
        _ => None,
    }
}

/// Whether a command makes a program that does not need its sources.
fn is_compiler(command: &Command) -> bool {
    let Some(invocation) = command.invocation() else { return false };
    let has = |words: &[&str]| invocation.arguments().iter().any(|it| words.contains(&it.text.as_str()));
    match invocation.program() {
        Some("go") => has(&["build"]),
        Some("cargo") => has(&["build"]),
        Some("mvn" | "mvnw") => has(&["package", "install", "verify"]),
        Some("gradle" | "gradlew") => has(&["build", "assemble", "bootJar", "shadowJar", "installDist"]),
        Some("dotnet") => has(&["publish"]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::BROAD_STAGE_COPY as RULE;
    use crate::rules::testing::check;

    #[test]
    fn sources_come_along_with_the_program() {
        check(
            &RULE,
            "
FROM rust:1.83 AS build
COPY . /app
RUN cd /app && cargo build --release
FROM debian:12.9-slim
COPY --from=build /app/ /app
                  ^^^^^ info: this takes the sources along with the program, so that almost any change in `build` makes another layer
",
        );
    }

    #[test]
    fn a_whole_file_system_or_home_has_caches() {
        check(
            &RULE,
            "
FROM alpine:3.20 AS build
RUN make
FROM alpine:3.20
COPY --from=build / /
                  ^ info: this takes the whole file system, with its caches and logs, so that almost any change in `build` makes another layer
",
        );
        check(
            &RULE,
            "
FROM node:22.11
RUN npm install -g http-server
FROM alpine:3.20
COPY --from=0 /root /root
              ^^^^^ info: this takes a whole home, with the caches of its tools, so that almost any change in `0` makes another layer
",
        );
    }

    #[test]
    fn a_stage_that_collects_files_holds_nothing_else() {
        check(&RULE, "FROM scratch AS files\nCOPY a /\nFROM alpine:3.20\nCOPY --from=files / /usr/bin/\n");
        check(&RULE, "FROM scratch AS files-linux\nCOPY a /\nFROM files-$TARGETOS AS files\nFROM alpine:3.20\nCOPY --from=files / /usr/bin/\n");
        check(&RULE, "FROM alpine:3.20 AS build\nRUN make DESTDIR=/root\nFROM alpine:3.20\nCOPY --from=build /root /\n");
    }

    #[test]
    fn an_empty_image_is_flattened_on_purpose() {
        check(&RULE, "FROM alpine:3.20 AS build\nRUN make\nFROM scratch\nCOPY --from=build / /\n");
    }

    #[test]
    fn what_an_interpreter_runs_are_its_sources() {
        check(&RULE, "FROM node:22.11 AS build\nWORKDIR /app\nCOPY . .\nRUN npm run build\nFROM node:22.11-slim\nCOPY --from=build /app /app\n");
        check(&RULE, "FROM python:3.13 AS build\nCOPY . /app\nRUN pip install --target /app/lib flask\nFROM python:3.13\nCOPY --from=build /app /app\n");
    }

    #[test]
    fn a_folder_of_what_was_built_is_silent() {
        check(
            &RULE,
            "FROM golang:1.23 AS build\nWORKDIR /src\nCOPY . .\nRUN go build -o /out/app\nFROM alpine:3.20\nCOPY --from=build /out /app\nCOPY --from=build /src/web /web\n",
        );
        check(&RULE, "FROM golang:1.23 AS build\nWORKDIR /src\nCOPY go.mod .\nRUN go build -o /src/app\nFROM alpine:3.20\nCOPY --from=build /src /app\n");
        check(&RULE, "FROM alpine:3.20 AS build\nRUN make\nFROM alpine:3.20\nCOPY --from=build /root/.local /root/.local\nCOPY --from=busybox:1.37 / /\n");
    }

    #[test]
    fn a_stage_that_goes_on_with_the_sources_needs_them() {
        check(
            &RULE,
            "FROM golang:1.23 AS code\nCOPY . /src\nRUN cd /src && go build\nFROM golang:1.23\nCOPY . /src\nRUN go build ./src\nCOPY --from=code /src /src\n",
        );
    }

    #[test]
    fn what_is_left_out_is_no_longer_broad() {
        check(&RULE, "FROM golang:1.23 AS build\nCOPY . /src\nRUN go build -C /src\nFROM alpine:3.20\nCOPY --exclude=*.go --from=build /src /src\n");
    }
}
