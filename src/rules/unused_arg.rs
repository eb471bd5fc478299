use super::frozen_command_output::fetches;
use super::volatile_arg_before_run::{Victims, command};
use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::key::{ArgumentVolatility, MOMENTS, argument_volatility};
use crate::dockerfile::plan::{Plan, Step, has_word};
use crate::dockerfile::{Base, Kind, Variable};
use crate::ecosystem::{self, COMMON_VARIABLES, quiet};
use crate::effects::Place;
use crate::facts;
use crate::view::DockerfileView;

declare_rule! {
    /// A build argument is declared and never used.
    ///
    /// An argument with a value is a part of the cache key of every later `RUN` of its stage, and of
    /// the stages that start from it, whether they read it or not: a new value runs them all again.
    ///
    /// ```dockerfile,bad
    /// FROM alpine:3.20
    /// ARG FLAVOUR=plain
    /// RUN apk add --no-cache git
    /// ```
    ///
    /// ```dockerfile,fixed
    /// FROM alpine:3.20
    /// RUN apk add --no-cache git
    /// ```
    ///
    /// Programs read variables that nothing names. So a name that a package manager or a compiler
    /// knows is silent, and so is every argument above a command of which it is not known what it
    /// reads, such as a script or a build of the project. An argument that is there to defeat the
    /// cache does what it is meant to.
    ///
    /// ```dockerfile,good
    /// FROM node:22.11-slim
    /// ARG NODE_ENV=production
    /// ARG CACHEBUST=1
    /// WORKDIR /app
    /// COPY package.json package-lock.json ./
    /// RUN npm ci
    /// ```
    ///
    /// ## Fix safety
    ///
    /// The line is taken away if no later command can read the variable. Where a build passes the
    /// argument it moves down instead, below all commands. The history of the image changes; its
    /// files and configuration stay the same.
    pub(crate) static UNUSED_ARG = {
        name: "unused-arg",
        level: Level::Info,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

/// Each argument is looked for in the whole file; no real file has more.
const MAX_ARGUMENTS: usize = 200;

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    let chains: Vec<Chain<'_, '_>> = view.plans().map(|plan| Chain { plan, bare: bare_steps(plan) }).collect();
    let mut looked_at = 0;
    for plan in view.plans() {
        for (index, step) in plan.own() {
            let Kind::Arg(variables) = &step.instruction.kind else { continue };
            for variable in variables {
                looked_at += 1;
                if looked_at > MAX_ARGUMENTS {
                    return;
                }
                let Some((later, victim)) = unused(view, &chains, plan, index, variable) else { continue };
                let message = format!("`{}` is not used, but a new value runs {} again", variable.name, command(&later.steps[victim]));
                let finding =
                    findings.report(variable.span, message).note(later.steps[victim].instruction.span, format!("{} runs again", command(&later.steps[victim])));
                let (title, proven) = if plan.context.passes(&variable.name) == Some(true) {
                    ("Declare it below all commands", view.prove(plan.stage, |it| it.sink(&view.source, index, it.steps.len())))
                } else {
                    ("Take it away", view.prove(plan.stage, |it| it.drop_argument(&view.source, index)))
                };
                // Another stage may run commands below it all the same.
                let elsewhere = later.stage != plan.stage && title.starts_with("Declare");
                drop(match proven {
                    Ok(_) if elsewhere => finding,
                    Ok(proven) => finding.fix(view.reordering(title, proven)),
                    Err(refusal) => finding.refused(&refusal),
                });
            }
        }
    }
}

/// A stage with those it starts from, and how many of its steps find nothing that reads variables.
struct Chain<'v, 'a> {
    plan: &'v Plan<'a>,
    bare: usize,
}

/// The first command that a new value of an unused argument runs again, in this stage or one that
/// starts from it; nothing if the argument is used, or may be.
fn unused<'v, 'a>(view: &DockerfileView<'a>, chains: &[Chain<'v, 'a>], plan: &Plan<'a>, index: usize, variable: &Variable) -> Option<(&'v Plan<'a>, usize)> {
    let name = &variable.name;
    let step = &plan.steps[index];
    let counts = has_free_value(plan, step, variable) && is_own_name(name) && !is_cache_buster(name);
    if !counts || declared_before(plan, index, name) || is_named(view, plan.stage, step, name) || is_to_fetch_again(view, plan, index, name).is_some() {
        return None;
    }
    let volatile = !matches!(argument_volatility(&plan.context, name, plan.dockerfile.default_of(variable).as_deref()), ArgumentVolatility::Quiet);
    // Then it is the other rule's.
    if volatile && !Victims::of(plan, index, name).steps.is_empty() {
        return None;
    }
    let mut first = None;
    let below = chains.iter().filter(|it| it.plan.stage == plan.stage || starts_from(view, it.plan.stage, plan.stage));
    for Chain { plan: later, bare } in below {
        let declared = later.steps.iter().position(|it| it.instruction.span == step.instruction.span)?;
        for (at, run) in later.steps.iter().enumerate().skip(declared + 1).filter(|(_, it)| matches!(it.instruction.kind, Kind::Run(_))) {
            if may_read(later, at, name, *bare) {
                return None;
            }
            if first.is_none() && run.cost >= crate::volatility::Cost::Download {
                first = Some((*later, at));
            }
        }
    }
    first
}

/// Whether a stage starts from another, directly or not.
fn starts_from(view: &DockerfileView<'_>, stage: usize, base: usize) -> bool {
    let mut at = stage;
    // Lowering only refers to earlier stages, so that this ends.
    while let Base::Stage(next) = view.dockerfile.stages[at].base {
        if next == base {
            return true;
        }
        at = next;
    }
    false
}

fn declared_before(plan: &Plan<'_>, index: usize, name: &str) -> bool {
    plan.steps[..index].iter().any(|it| match &it.instruction.kind {
        Kind::Arg(variables) | Kind::Env(variables) => variables.iter().any(|it| it.name == name),
        _ => false,
    })
}

/// Whether another instruction of the stage, or of one that starts from it, names the variable in
/// any way; in its own instruction the variables beside it count.
fn is_named(view: &DockerfileView<'_>, stage: usize, step: &Step<'_>, name: &str) -> bool {
    let stages = view.dockerfile.stages.iter().filter(|it| it.index == stage || starts_from(view, it.index, stage));
    let instructions = stages.flat_map(|it| &it.instructions);
    let elsewhere = instructions.filter(|it| it.span != step.instruction.span).any(|it| has_word(it.lines.of(&view.source), name));
    elsewhere || step.instruction.expansions.iter().any(|it| it.name == name)
}

/// Whether an argument can only be there to do something anew: no instruction names it, and it is
/// called after the cache that it breaks, or after a moment where a command below it fetches. Moved
/// down, it would leave an old file in the image.
pub(super) fn is_to_fetch_again(view: &DockerfileView<'_>, plan: &Plan<'_>, index: usize, name: &str) -> Option<FetchesAgain> {
    let upper = name.to_ascii_uppercase();
    let of_moment = upper.split('_').any(|it| MOMENTS.contains(&it) || matches!(it, "NOW" | "TODAY"));
    let fetches_below = || plan.own().any(|(at, it)| at > index && matches!(&it.instruction.kind, Kind::Run(run) if fetches(run)));
    let res = if upper.contains("BUST") {
        FetchesAgain::Cache
    } else if of_moment && fetches_below() {
        FetchesAgain::Moment
    } else {
        return None;
    };
    (!is_named(view, plan.stage, &plan.steps[index], name)).then_some(res)
}

/// What an argument that is there to do something anew is called after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FetchesAgain {
    /// The cache that it breaks.
    Cache,
    /// A moment.
    Moment,
}

/// Whether the argument has a value that may change. The platform splits nothing in a stage that runs
/// on it anyway.
fn has_free_value(plan: &Plan<'_>, step: &Step<'_>, variable: &Variable) -> bool {
    if is_of_platform(&variable.name) { runs_on_the_builder(plan) } else { plan.has_value(step, variable) }
}

/// Whether the stage runs on the platform of the builder, whatever it is built for.
pub(super) fn runs_on_the_builder(plan: &Plan<'_>) -> bool {
    let mut stage = &plan.dockerfile.stages[plan.stage];
    // Lowering only refers to earlier stages, so that this ends.
    while let Base::Stage(base) = stage.base {
        stage = &plan.dockerfile.stages[base];
    }
    stage.from.flags.iter().any(|it| it.name == "platform" && it.value.as_ref().is_some_and(|it| it.text.contains("BUILDPLATFORM")))
}

/// Arguments that the front end gives a value without being told (docs/facts.md A.3, ARG).
pub(super) fn is_of_platform(name: &str) -> bool {
    matches!(name, "TARGETPLATFORM" | "TARGETOS" | "TARGETARCH" | "TARGETVARIANT")
}

/// Whether a name is none that a tool reads by itself (docs/facts.md B.10).
pub(super) fn is_own_name(name: &str) -> bool {
    /// Variables that make, compilers and the front end know.
    const TOOLS: &[&str] = &[
        "AR",
        "ARCH",
        "AS",
        "CC",
        "CFLAGS",
        "CI",
        "CMAKE_*",
        "CPPFLAGS",
        "CXX",
        "CXXFLAGS",
        "DEBUG",
        "DESTDIR",
        "JOBS",
        "LD",
        "LDFLAGS",
        "MAKEFLAGS",
        "PREFIX",
        "VERBOSE",
        "BUILDKIT_*",
        "DOCKER_*",
        "TERM",
    ];
    let managers = ecosystem::ALL.iter().flat_map(|it| it.environment).filter(|it| **it != "*");
    !COMMON_VARIABLES.iter().chain(TOOLS).chain(managers).any(|it| match it.strip_suffix('*') {
        Some(start) => name.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start)),
        None => name.eq_ignore_ascii_case(it),
    })
}

/// Whether a name says that the argument is there to run commands again.
pub(super) fn is_cache_buster(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["CACHE", "BUST", "REBUILD", "INVALIDATE", "FORCE", "NONCE", "REFRESH"].iter().any(|it| name.contains(it))
}

/// Whether a RUN that does not name a variable may read it all the same; `bare` as [`bare_steps`] has
/// it.
pub(super) fn may_read(plan: &Plan<'_>, index: usize, name: &str, bare: usize) -> bool {
    plan.steps[index].effects.reads.iter().any(|it| match it {
        Place::Anything => index >= bare,
        Place::Env(read) => read == name,
        _ => false,
    })
}

/// How many steps of a chain find nothing in the image that somebody wrote: no file was copied or
/// fetched, and no script runs. There, even a program that is not known has no reason to read a
/// variable that none of the tools knows.
pub(super) fn bare_steps(plan: &Plan<'_>) -> usize {
    const FETCHES: &[&str] = &["curl", "wget", "git", "tar", "unzip", "python", "python3", "node", "perl", "ruby", "php", "sh", "bash", "ash", "dash", "eval"];
    let is_plain = |word: &crate::shell::Word| word.literal().is_some_and(|it| !it.contains('/') && !FETCHES.contains(&it)) || quiet_path(&word.text);
    let only_tools = |it: &Step<'_>| match &it.instruction.kind {
        Kind::Run(run) => {
            run.shell_form
                && run.script.opaque.is_none()
                && run.mounts.iter().all(|it| it.kind() != "bind")
                && run.script.commands.iter().all(|it| it.words.first().is_none_or(&is_plain))
        }
        Kind::Copy(_) | Kind::Onbuild | Kind::Unknown => false,
        _ => true,
    };
    if plan.is_plain_image() { plan.steps.iter().take_while(|it| only_tools(it)).count() } else { 0 }
}

fn quiet_path(text: &str) -> bool {
    text.starts_with("/bin/") && quiet::is_program(facts::name(text))
}

#[cfg(test)]
mod tests {
    use super::UNUSED_ARG as RULE;
    use crate::rules::testing::{check, check_fix, check_without_fix};

    #[test]
    fn the_line_goes() {
        check_fix(
            &RULE,
            "
ARG FLAVOUR=plain
FROM alpine:3.20

ARG FLAVOUR
    ^^^^^^^ info: `FLAVOUR` is not used, but a new value runs `apk add` again

RUN apk add --no-cache git
^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apk add` runs again
CMD [\"git\"]
",
            "
ARG FLAVOUR=plain
FROM alpine:3.20

RUN apk add --no-cache git
CMD [\"git\"]
",
        );
    }

    #[test]
    fn an_argument_that_is_passed_moves_below_all_commands() {
        let workflow = crate::rules::testing::build_step("context: .\nbuild-args: FLAVOUR=plain");
        check_fix(
            &RULE,
            &format!(
                "{workflow}#- Dockerfile
FROM alpine:3.20
ARG FLAVOUR
    ^^^^^^^ info: `FLAVOUR` is not used, but a new value runs `apk add` again
RUN apk add --no-cache git
^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apk add` runs again
"
            ),
            "#- Dockerfile
FROM alpine:3.20
RUN apk add --no-cache git
ARG FLAVOUR
",
        );
    }

    #[test]
    fn the_architecture_has_a_value_by_itself() {
        check_fix(
            &RULE,
            "
FROM --platform=$BUILDPLATFORM alpine:3.20
ARG TARGETARCH
    ^^^^^^^^^^ info: `TARGETARCH` is not used, but a new value runs `apk add` again
RUN apk add --no-cache git
^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apk add` runs again
",
            "
FROM --platform=$BUILDPLATFORM alpine:3.20
RUN apk add --no-cache git
",
        );
    }

    #[test]
    fn a_stage_below_runs_again_as_well() {
        check_fix(
            &RULE,
            "
FROM alpine:3.20 AS base
ARG FLAVOUR=plain
    ^^^^^^^^^^^^^ info: `FLAVOUR` is not used, but a new value runs `apk add` again
FROM base
RUN apk add --no-cache git
^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apk add` runs again
",
            "
FROM alpine:3.20 AS base
FROM base
RUN apk add --no-cache git
",
        );
    }

    #[test]
    fn a_comment_or_another_argument_is_not_lost() {
        check_without_fix(
            &RULE,
            "
FROM alpine:3.20
# How it tastes.
ARG FLAVOUR=plain
^^^^^^^^^^^^^^^^^ note: no fix: a comment belongs to this
    ^^^^^^^^^^^^^ info: `FLAVOUR` is not used, but a new value runs `apk add` again
RUN apk add --no-cache git
^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apk add` runs again
",
        );
    }

    #[test]
    fn a_program_without_files_reads_nothing_but_is_no_proof() {
        check_without_fix(
            &RULE,
            "
FROM debian:12.9
ARG UNUSED=1
    ^^^^^^^^ info: `UNUSED` is not used, but a new value runs `make` again
RUN make
^^^^^^^^ note: `make` runs again
    ^^^^ note: no fix: `make` is not known, and may read or write anything
",
        );
    }

    #[test]
    fn an_argument_that_is_or_may_be_used_is_silent() {
        for text in [
            "ARG A=1\nRUN echo $A && apk add git\n",
            "ARG A=1\nENV B=$A\nRUN apk add git\n",
            "ARG A=1\nRUN apk add git\nLABEL a=$A\n",
            "ARG A=1\nRUN apk add git\nCOPY x-$A /\n",
            "ARG A=1\nARG B=$A\nRUN apk add $B\n",
            "ARG A=1\nRUN --mount=type=cache,id=x-$A,target=/x apk add git\n",
            "ARG A=1\nRUN apk add git\nONBUILD RUN echo $A\n",
            "ARG A=1\nRUN apk add git\nCOPY <<EOF /x\n$A\nEOF\n",
            "ARG A=1\nCOPY build.sh /\nRUN /build.sh\n",
            "ARG A=1\nRUN curl -fsSL https://example.com/x | sh\n",
            "ARG A=1\nRUN git clone https://example.com/x && make -C x\n",
            "ARG POETRY_VERSION=1.8\nRUN apk add git\n",
            "ARG DEBIAN_FRONTEND=noninteractive\nRUN apk add git\n",
            "ARG CFLAGS=-O2\nRUN make\n",
            "ARG http_proxy=x\nRUN apk add git\n",
            "ARG BUILDKIT_SBOM_SCAN_STAGE=true\nRUN apk add git\n",
            "ARG CACHEBUST=1\nRUN apk add git\n",
            "ARG A\nRUN apk add git\n",
            "ARG A=1\nCOPY x /\n",
            "ARG A=1\nRUN mkdir /x\n",
            "RUN apk add git\nARG A=1\n",
            "ARG TARGETPLATFORM\nRUN apk add git\n",
            "ARG GIT_SHA\nRUN apk add git\n",
        ] {
            check(&RULE, &format!("FROM alpine:3.20\n{text}"));
        }
        check(&RULE, "ARG A=1\nFROM alpine:$A\nRUN apk add git\n");
        check(&RULE, "FROM alpine:3.20 AS a\nARG A=1\nRUN apk add git\nFROM a\nRUN echo $A\n");
        check(&RULE, "FROM registry.example.com/builder:1\nARG A=1\nRUN make\n");
        check(&RULE, "FROM mcr.microsoft.com/dotnet/sdk:9.0\nARG A=1\nCOPY a.csproj .\nRUN dotnet restore\n");
    }
}
