use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::caches::CacheMount;
use crate::dockerfile::plan::{Plan, Step};
use crate::dockerfile::{Instruction, Kind, Run};
use crate::ecosystem::{Action, Manager, Role, ecosystem};
use crate::edit::Span;
use crate::effects::Place;
use crate::facts::{self, Entry, is_below, join};
use crate::shell::{Command, Word};
use crate::view::DockerfileView;

declare_rule! {
    /// What a later instruction needs is only in a cache mount, and not in the image.
    ///
    /// A cache mount is there while its command runs and leaves nothing behind. What a build writes
    /// below it is gone for the next instruction and for a `COPY --from`: the build fails, or copies
    /// what an older image had there. Copy the result out of the mount in the command that makes it.
    ///
    /// ```dockerfile,bad
    /// FROM rust:1.83-slim AS build
    /// WORKDIR /app
    /// COPY . .
    /// RUN --mount=type=cache,target=/app/target cargo build --release
    /// FROM debian:12.9-slim
    /// COPY --from=build /app/target/release/app /usr/local/bin/
    /// ```
    ///
    /// ```dockerfile,good
    /// FROM rust:1.83-slim AS build
    /// WORKDIR /app
    /// COPY . .
    /// RUN --mount=type=cache,target=/app/target cargo build --release && cp target/release/app /usr/local/bin/
    /// FROM debian:12.9-slim
    /// COPY --from=build /usr/local/bin/app /usr/local/bin/
    /// ```
    ///
    /// A later command that mounts the same cache again finds it. Silent where another instruction
    /// may write to the place as well.
    ///
    /// `cargo chef cook` with the target folder in a mount is a `warning`, since the build only takes
    /// longer: it compiles dependencies for a layer, and that layer has nothing then. If the build
    /// mounts the folder too it is an `info`, for builders that have the layer and not the mount.
    ///
    /// ## Fix safety
    ///
    /// There is no fix: where the result belongs is not ours to say.
    pub(crate) static OUTPUT_IN_CACHE_MOUNT = {
        name: "output-in-cache-mount",
        level: Level::Error,
        fixes: false,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    for plan in view.plans() {
        for (index, step) in plan.own() {
            let Kind::Run(run) = &step.instruction.kind else { continue };
            for mount in plan.cache_mounts(index, run) {
                let Some(use_) = first_use(view, plan, index, &mount) else {
                    report_cook(view, plan, index, &mount, findings);
                    continue;
                };
                let target = mount.target.as_deref().unwrap_or_default();
                findings
                    .report(mount.flag.span, format!("what this command leaves in `{target}` stays in the cache mount, and does not get into the image"))
                    .note(use_.span, format!("`{}` is not there: copy it out of the mount in the command that makes it", use_.path));
            }
        }
    }
}

/// `cargo chef cook` is there to leave compiled dependencies in a layer. In a cache mount they are in none: a
/// builder that takes the layer from another, or that lost the mount, compiles them again with the project.
fn report_cook(view: &DockerfileView<'_>, plan: &Plan<'_>, index: usize, mount: &CacheMount<'_>, findings: &mut Findings<'_>) {
    let step = &plan.steps[index];
    let cooks = step.installs.iter().any(|it| it.display == "cargo chef cook" && target_folder(step, it).is_some_and(|it| mount.covers(&it)));
    if !cooks {
        return;
    }
    let built = view.plans().find_map(|below| {
        let at = below.steps.iter().position(|it| std::ptr::eq(it.instruction, step.instruction))?;
        below.steps.iter().enumerate().skip(at + 1).find_map(|(at, step)| {
            let Kind::Run(run) = &step.instruction.kind else { return None };
            let build = run.reading.steps.iter().find(|it| it.manager == Manager::Cargo && it.action == Action::Build && it.display.starts_with("cargo "))?;
            let target = target_folder(step, build)?;
            Some((run.command.span(build.span), build.display.clone(), below.cache_mounts(at, run).iter().any(|it| it.covers(&target))))
        })
    });
    let Some((span, command, mounted)) = built else { return };
    let what = "what `cargo chef cook` compiles stays in this cache mount, so that its layer is of no use";
    let note = if mounted {
        format!("on a builder without this cache, `{command}` compiles all dependencies again")
    } else {
        format!("`{command}` compiles all dependencies again")
    };
    findings.report(mount.flag.span, what).level(if mounted { Level::Info } else { Level::Warning }).note(span, note);
}

/// Where Cargo puts what it compiles (<https://doc.rust-lang.org/cargo/reference/config.html#buildtarget-dir>); `None` where that
/// is not known.
fn target_folder(step: &Step<'_>, command: &crate::ecosystem::Step) -> Option<String> {
    let folder = command.folder(step.state.directory.as_deref()?);
    if let Some(path) = command.paths.iter().find(|it| it.role == Role::Output) {
        return (!path.path.contains('$')).then(|| join(&folder, &path.path));
    }
    const NAME: &str = "CARGO_TARGET_DIR";
    let own = command.environment.iter().rev().find(|(name, _)| name == NAME).map(|it| it.1.as_str());
    match (own, step.state.variables.get(NAME)) {
        (Some(path), _) => (!path.contains('$')).then(|| join(&folder, path)),
        (None, Some(variable)) => variable.value.as_deref().map(|it| join(&folder, it)),
        (None, None) => Some(join(&folder, "target")),
    }
}

/// An instruction that looks for a file below a mount of an earlier one.
struct Use {
    span: Span,
    path: String,
}

fn first_use(view: &DockerfileView<'_>, plan: &Plan<'_>, index: usize, mount: &CacheMount<'_>) -> Option<Use> {
    let target = mount.target.as_deref()?;
    let later = plan.steps.iter().enumerate().skip(index + 1).filter(|(_, it)| it.stage == plan.stage);
    let by_step = later.into_iter().find_map(|(at, step)| {
        let found = used_by(view, plan, index, at, step, target)?;
        (!may_be_there(plan, at, &found.path)).then_some(found)
    });
    by_step.or_else(|| {
        let found = copied_from(view, plan, target)?;
        (!may_be_there(plan, plan.steps.len(), &found.path)).then_some(found)
    })
}

fn used_by(view: &DockerfileView<'_>, plan: &Plan<'_>, index: usize, at: usize, step: &Step<'_>, target: &str) -> Option<Use> {
    match &step.instruction.kind {
        Kind::Run(run) => {
            let directory = step.state.directory.as_deref();
            let named = run.script.commands.iter().find_map(|it| read_by(it, directory, target));
            named.map(|(word, path)| Use { span: run.command.span(word), path }).or_else(|| modules_of(plan, index, at, run, target))
        }
        Kind::Config { shell_form: false } if matches!(step.instruction.keyword.as_str(), "CMD" | "ENTRYPOINT") => {
            let program = program_of(&view.source, step.instruction)?;
            let path = if program.contains('/') { join(step.state.directory.as_deref()?, program) } else { return None };
            is_strictly_below(&path, target).then_some(Use { span: step.instruction.span, path })
        }
        _ => None,
    }
}

/// The first string of a JSON form.
fn program_of<'s>(source: &'s str, instruction: &Instruction) -> Option<&'s str> {
    instruction.span.of(source).split('"').nth(1).filter(|it| !it.contains(['$', '\\']))
}

/// Programs that read all their paths but the last.
const COPYING: &[&str] = &["cp", "mv", "install"];
/// Programs that read all their paths.
const READING: &[&str] = &["cat", "strip", "upx", "objcopy", "sha256sum", "source", "."];

/// The word of a command that names a file below `target` to be read or run.
fn read_by(command: &Command, directory: Option<&str>, target: &str) -> Option<(Span, String)> {
    let program = command.words.first()?;
    let name = facts::name(&program.text);
    let operands: Vec<&Word> = command.words.iter().skip(1).filter(|it| !it.text.starts_with('-')).collect();
    let read: Vec<&Word> = if COPYING.contains(&name) {
        operands[..operands.len().saturating_sub(1)].to_vec()
    } else if READING.contains(&name) {
        operands
    } else if program.text.contains('/') {
        vec![program]
    } else {
        Vec::new()
    };
    read.into_iter().find_map(|word| {
        let text = word.literal()?;
        let path = if text.starts_with('/') { join("/", text) } else { join(directory?, text) };
        is_strictly_below(&path, target).then_some((word.span, path))
    })
}

fn is_strictly_below(path: &str, folder: &str) -> bool {
    path != folder && is_below(path, folder)
}

/// The modules that an install with a mount on their folder leaves nowhere, where a later command
/// of the project needs them.
fn modules_of(plan: &Plan<'_>, index: usize, at: usize, run: &Run, target: &str) -> Option<Use> {
    let step = &plan.steps[index];
    let installs = |it: &crate::ecosystem::Step| {
        let folder = it.folder(step.state.directory.as_deref().unwrap_or("/"));
        it.action == Action::InstallDependencies
            && ecosystem(it.manager).outputs.iter().any(|out| matches!(*out, "node_modules" | ".venv") && join(&folder, out) == target)
    };
    let install = step.installs.iter().find(|it| installs(it))?;
    let needs = |it: &&crate::ecosystem::Step| {
        let folder = it.folder(plan.steps[at].state.directory.as_deref().unwrap_or("/"));
        it.action == Action::Build && ecosystem(it.manager).outputs == ecosystem(install.manager).outputs && facts::parent(target) == folder
    };
    let build = run.reading.steps.iter().find(needs)?;
    Some(Use { span: run.command.span(build.span), path: target.to_owned() })
}

/// A COPY or a mount from the stage that takes a file below `target`.
fn copied_from(view: &DockerfileView<'_>, plan: &Plan<'_>, target: &str) -> Option<Use> {
    let of_stage = |name: &str| view.dockerfile.stage(name).is_some_and(|it| it.index == plan.stage);
    let fixed = |source: &str| {
        let path = join("/", source.split(['*', '?', '[']).next().unwrap_or(""));
        (!source.contains('$') && is_below(&path, target)).then_some(path)
    };
    let later = view.dockerfile.instructions().filter(|(stage, _)| *stage > plan.stage);
    later.into_iter().find_map(|(_, instruction)| match &instruction.kind {
        Kind::Copy(copy) if copy.from.as_deref().is_some_and(of_stage) => {
            copy.sources.iter().find_map(|it| Some(Use { span: it.span, path: fixed(&it.text)? }))
        }
        Kind::Run(run) => run.mounts.iter().filter(|it| it.get("from").is_some_and(of_stage)).find_map(|it| {
            let path = fixed(it.source()?)?;
            Some(Use { span: instruction.span, path })
        }),
        _ => None,
    })
}

/// Whether something else may have brought `path` into the image before the step `end`, or a mount
/// is there again.
fn may_be_there(plan: &Plan<'_>, end: usize, path: &str) -> bool {
    let covers = |index: usize, run: &Run| {
        let state = &plan.steps[index].state;
        run.mounts.iter().filter_map(|it| it.target()).any(|it| state.path(it, plan.dockerfile.escape).is_none_or(|it| is_below(path, &it)))
    };
    if let Some(Step { instruction: Instruction { kind: Kind::Run(run), .. }, .. }) = plan.steps.get(end)
        && covers(end, run)
    {
        return true;
    }
    plan.steps[..end].iter().enumerate().any(|(index, step)| match &step.instruction.kind {
        Kind::Run(run) if covers(index, run) => false,
        Kind::Run(_) => step.effects.writes.iter().any(|it| it.touches(&Place::File(path.to_owned()))),
        Kind::Copy(copy) => {
            let Some(relative) = plan.destination(index).map(|it| facts::relative(path, it)) else { return true };
            let Some(relative) = relative else { return false };
            // Results of a build are seldom a part of the context.
            let in_context = |source: &String| {
                let inside = join(&format!("/{source}"), relative)[1..].to_owned();
                plan.context.excludes(&inside) != Some(true) && matches!(plan.context.entry(&inside), Some(Some(Entry::File | Entry::Folder | Entry::Link)))
            };
            copy.from.is_some() || copy.heredoc || copy.add || plan.sources(index).iter().any(in_context)
        }
        Kind::Onbuild | Kind::Unknown => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::OUTPUT_IN_CACHE_MOUNT as RULE;
    use crate::rules::testing::{check, check_without_fix};

    #[test]
    fn dependencies_that_are_cooked_into_a_mount_are_in_no_layer() {
        check_without_fix(
            &RULE,
            "
FROM rust:1.83 AS build
WORKDIR /app
COPY recipe.json .
RUN --mount=type=cache,target=/app/target cargo chef cook --release
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: what `cargo chef cook` compiles stays in this cache mount, so that its layer is of no use
COPY . .
RUN cargo build --release
    ^^^^^^^^^^^^^^^^^^^^^ note: `cargo build` compiles all dependencies again
",
        );
    }

    #[test]
    fn dependencies_in_a_mount_that_the_build_has_too_are_an_information() {
        check_without_fix(
            &RULE,
            "
FROM rust:1.83 AS cook
WORKDIR /app
COPY recipe.json .
RUN --mount=type=cache,target=target,sharing=locked cargo chef cook --release
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ info: what `cargo chef cook` compiles stays in this cache mount, so that its layer is of no use
FROM cook AS build
COPY . .
RUN --mount=type=cache,target=target,sharing=locked cargo build --release && cp target/release/app /app.bin
                                                    ^^^^^^^^^^^^^^^^^^^^^ note: on a builder without this cache, `cargo build` compiles all dependencies again
",
        );
    }

    #[test]
    fn dependencies_that_are_cooked_into_the_layer_are_silent() {
        let stage =
            |mount: &str, cook: &str| format!("FROM rust:1.83\nWORKDIR /app\nCOPY recipe.json .\nRUN {mount}{cook}\nCOPY . .\nRUN cargo build --release\n");
        let target = "--mount=type=cache,target=/app/target ";
        check(&RULE, &stage("", "cargo chef cook --release"));
        check(&RULE, &stage("--mount=type=cache,target=/usr/local/cargo/registry ", "cargo chef cook --release"));
        check(&RULE, &stage(target, "cargo chef cook --release --target-dir /tmp/out"));
        check(&RULE, &stage(target, "CARGO_TARGET_DIR=/out cargo chef cook"));
        check(&RULE, &stage(target, "cargo fetch"));
        check(&RULE, &format!("FROM rust:1.83\nWORKDIR /app\nRUN {target}cargo chef cook\n"));
    }

    #[test]
    fn a_binary_that_another_stage_copies() {
        check_without_fix(
            &RULE,
            "
FROM rust:1.83 AS build
WORKDIR /app
COPY . .
RUN --mount=type=cache,target=target \\
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ error: what this command leaves in `/app/target` stays in the cache mount, and does not get into the image
    cargo build --release
FROM debian:12.9
COPY --from=build /app/target/release/app /usr/local/bin/
                  ^^^^^^^^^^^^^^^^^^^^^^^ note: `/app/target/release/app` is not there: copy it out of the mount in the command that makes it
",
        );
    }

    #[test]
    fn a_binary_that_a_later_command_moves_or_the_image_runs() {
        check(
            &RULE,
            "
FROM rust:1.83
WORKDIR /app
COPY . .
RUN --mount=type=cache,target=/app/target cargo build --release
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ error: what this command leaves in `/app/target` stays in the cache mount, and does not get into the image
RUN mv target/release/app /usr/local/bin/app
       ^^^^^^^^^^^^^^^^^^ note: `/app/target/release/app` is not there: copy it out of the mount in the command that makes it
",
        );
        check(
            &RULE,
            "
FROM rust:1.83
WORKDIR /app
COPY . .
RUN --mount=type=cache,target=/app/target cargo build --release
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ error: what this command leaves in `/app/target` stays in the cache mount, and does not get into the image
CMD [\"./target/release/app\"]
^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `/app/target/release/app` is not there: copy it out of the mount in the command that makes it
",
        );
    }

    #[test]
    fn modules_that_the_build_needs() {
        check(
            &RULE,
            "
FROM node:22
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/app/node_modules npm ci
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ error: what this command leaves in `/app/node_modules` stays in the cache mount, and does not get into the image
COPY . .
RUN npm run build
    ^^^^^^^^^^^^^ note: `/app/node_modules` is not there: copy it out of the mount in the command that makes it
#- package.json
{}
#- package-lock.json
{}
",
        );
    }

    #[test]
    fn what_is_copied_out_or_mounted_again_is_silent() {
        for text in [
            "RUN --mount=type=cache,target=/app/target cargo build && cp target/release/app /app/app\nFROM debian:12.9\nCOPY --from=build /app/app /\n",
            "RUN --mount=type=cache,target=/app/target cargo build\nRUN --mount=type=cache,target=/app/target cp target/release/app /app/app\nFROM debian:12.9\nCOPY --from=build /app/app /\n",
            "RUN --mount=type=cache,target=/app/target cargo build\nRUN --mount=type=cache,target=/app/target cargo test\n",
            "RUN --mount=type=cache,target=/app/target cargo build\nRUN cargo build --release\nFROM debian:12.9\nCOPY --from=build /app/target/release/app /\n",
            "RUN --mount=type=cache,target=/app/target cargo build\nRUN ./package.sh\nFROM debian:12.9\nCOPY --from=build /app/target/release/app /\n",
            "RUN --mount=type=cache,target=/app/target cargo build\nCOPY --from=other /t /app/target/release\nFROM debian:12.9\nCOPY --from=build /app/target/release/app /\n",
            "RUN --mount=type=cache,target=/app/target cargo install --root /out --path .\nFROM debian:12.9\nCOPY --from=build /out/bin/app /\n",
            "RUN --mount=type=cache,target=/app/target cargo build\nRUN rm -rf target/debug\nRUN mkdir -p target/x\n",
            "RUN --mount=type=cache,target=/app/target cargo build\nFROM debian:12.9\nCOPY --from=other /app/target/x /\n",
            "RUN --mount=type=bind,target=/app/target cargo build\nFROM debian:12.9\nCOPY --from=build /app/target/x /\n",
            "RUN --mount=type=cache,target=/root/.npm npm ci\nRUN npm run build\n",
            "RUN --mount=type=cache,target=/app/target cargo build\nCMD [\"app\"]\n",
        ] {
            check(&RULE, &format!("FROM debian:12.9 AS other\nFROM rust:1.83 AS build\nWORKDIR /app\nCOPY . .\n{text}"));
        }
    }

    #[test]
    fn what_the_context_brings_is_there() {
        check(
            &RULE,
            "FROM rust:1.83 AS build\nWORKDIR /app\nCOPY . .\nRUN --mount=type=cache,target=/app/web cargo build\nFROM debian:12.9\nCOPY --from=build /app/web/index.html /\n#- web/index.html\nx\n",
        );
    }
}
