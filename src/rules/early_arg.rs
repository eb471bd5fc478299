use super::unused_arg::{bare_steps, is_cache_buster, is_of_platform, is_own_name, may_read, runs_on_the_builder};
use super::volatile_arg_before_run::{Victims, sink_as_far_as_proven, uses};
use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::key::{ArgumentVolatility, argument_volatility};
use crate::dockerfile::plan::{Plan, has_word};
use crate::dockerfile::{Kind, Variable};
use crate::view::DockerfileView;
use crate::volatility::{Cost, Volatility};

declare_rule! {
    /// A build argument is declared long before its first use.
    ///
    /// From its declaration on, an argument is a part of the cache key of every `RUN`, whether it is
    /// read or not. Declared directly above what uses it, a new value leaves the commands above alone.
    ///
    /// ```dockerfile,bad
    /// FROM alpine:3.20
    /// ARG APP_PORT=80
    /// RUN apk add --no-cache git
    /// RUN apk add --no-cache curl
    /// ENV PORT=$APP_PORT
    /// ```
    ///
    /// ```dockerfile,fixed
    /// FROM alpine:3.20
    /// RUN apk add --no-cache git
    /// RUN apk add --no-cache curl
    /// ARG APP_PORT=80
    /// ENV PORT=$APP_PORT
    /// ```
    ///
    /// In a stage that runs on the platform of the builder, `TARGETARCH` and its like split what
    /// could be done once for all platforms: there, one command is enough for a finding.
    ///
    /// ```dockerfile,bad
    /// FROM --platform=$BUILDPLATFORM golang:1.23-alpine
    /// ARG TARGETARCH
    /// RUN apk add --no-cache git
    /// RUN GOARCH=$TARGETARCH go build -o /app
    /// ```
    ///
    /// Arguments whose value changes on every commit are `volatile-arg-before-run`, those that
    /// nothing uses `unused-arg`. Silent above commands that may read the variable without naming it,
    /// and below sources that change more often than any argument.
    ///
    /// ```dockerfile,good
    /// FROM alpine:3.20
    /// ARG ALPINE_MIRROR=dl-cdn.alpinelinux.org
    /// RUN sed -i "s/dl-cdn.alpinelinux.org/$ALPINE_MIRROR/" /etc/apk/repositories
    /// RUN apk add --no-cache git
    /// RUN apk add --no-cache curl
    /// ```
    ///
    /// ## Fix safety
    ///
    /// The argument moves down, with what is made of it, only past commands that are known not to
    /// read it. The history of the image changes; its files and configuration stay the same.
    pub(crate) static EARLY_ARG = {
        name: "early-arg",
        level: Level::Info,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    for plan in view.plans() {
        let stable = Stable::of(plan);
        for (index, step) in plan.own() {
            let Kind::Arg(variables) = &step.instruction.kind else { continue };
            for variable in variables {
                let Some((victims, user)) = early(view, plan, &stable, index, variable) else { continue };
                let message = if is_of_platform(&variable.name) {
                    format!("`{}` makes {} run once for each platform, and nothing above the next use needs it", variable.name, victims.commands(plan))
                } else {
                    format!("a new value of `{}` runs {} again, which {} not use it", variable.name, victims.commands(plan), victims.do_or_does())
                };
                let finding = findings.report(variable.span, message).note(plan.steps[user].instruction.span, "this is where it is used first");
                drop(match sink_as_far_as_proven(view, plan, index, &victims) {
                    Ok(proven) => finding.fix(view.reordering("Declare it above its first use", proven)),
                    Err(refusal) => finding.refused(&refusal),
                });
            }
        }
    }
}

/// The part of a stage in which a command may lose by an argument.
struct Stable {
    /// How many steps stand above the sources, which change more often than any argument.
    above_sources: usize,
    /// As [`bare_steps`] has it.
    bare: usize,
}

impl Stable {
    fn of(plan: &Plan<'_>) -> Stable {
        let sources = plan.steps.iter().position(|it| plan.own_volatility(it) >= Volatility::Often);
        Stable { above_sources: sources.map_or(plan.steps.len(), |it| it + 1), bare: bare_steps(plan) }
    }
}

/// The commands between an argument and its first use that do not use it, and that use; nothing if
/// the argument may stay.
fn early(view: &DockerfileView<'_>, plan: &Plan<'_>, stable: &Stable, index: usize, variable: &Variable) -> Option<(Victims, usize)> {
    let name = &variable.name;
    let step = &plan.steps[index];
    let of_platform = is_of_platform(name) && runs_on_the_builder(plan);
    let inherited = plan.steps[..index].iter().any(|it| match &it.instruction.kind {
        Kind::Arg(variables) | Kind::Env(variables) => variables.iter().any(|it| it.name == *name),
        _ => false,
    });
    let quiet = matches!(argument_volatility(&plan.context, name, plan.dockerfile.default_of(variable).as_deref()), ArgumentVolatility::Quiet);
    let is_told = quiet && is_own_name(name) && !name.starts_with("BUILD") && !is_cache_buster(name);
    let counts = if is_of_platform(name) { of_platform } else { plan.has_value(step, variable) && is_told };
    if inherited || !counts {
        return None;
    }
    let names = [name.clone()];
    let uses_it = |(_, it): &(usize, &crate::dockerfile::plan::Step<'_>)| has_word(it.instruction.lines.of(&view.source), name) || uses(it, &names);
    let (user, _) = plan.own().filter(|(at, _)| *at > index).find(uses_it)?;
    let victims = (index + 1..user).filter(|at| {
        let step = &plan.steps[*at];
        matches!(step.instruction.kind, Kind::Run(_)) && step.cost >= Cost::Download && *at < stable.above_sources && !may_read(plan, *at, name, stable.bare)
    });
    let steps: Vec<usize> = victims.collect();
    let enough = if of_platform { 1 } else { 2 };
    (steps.len() >= enough).then_some((Victims { steps, end: user, taken_by: None }, user))
}

#[cfg(test)]
mod tests {
    use super::EARLY_ARG as RULE;
    use crate::rules::testing::{check, check_fix, check_without_fix};

    #[test]
    fn an_argument_moves_to_its_first_use() {
        check_fix(
            &RULE,
            "
FROM alpine:3.20
# Where to listen.
ARG APP_PORT=80
    ^^^^^^^^^^^ info: a new value of `APP_PORT` runs `apk add` and 1 more again, which do not use it
WORKDIR /app
RUN apk add --no-cache git
RUN apk add --no-cache curl
COPY run.sh ./
RUN ./run.sh $APP_PORT
^^^^^^^^^^^^^^^^^^^^^^ note: this is where it is used first
",
            "
FROM alpine:3.20
WORKDIR /app
RUN apk add --no-cache git
RUN apk add --no-cache curl
COPY run.sh ./
# Where to listen.
ARG APP_PORT=80
RUN ./run.sh $APP_PORT
",
        );
    }

    #[test]
    fn what_is_there_to_run_commands_again_stays_above_them() {
        let text = |name: &str| format!("FROM alpine:3.20\nARG {name}=\nRUN apk add --no-cache git\nRUN apk add --no-cache curl\nRUN echo \"${name}\"\n");
        for name in ["CACHE_BUST", "FORCE_REBUILD"] {
            check(&RULE, &text(name));
        }
    }

    #[test]
    fn what_could_be_done_once_for_all_platforms() {
        check_fix(
            &RULE,
            "
FROM --platform=$BUILDPLATFORM golang:1.23
ARG TARGETOS
    ^^^^^^^^ info: `TARGETOS` makes `go mod download` run once for each platform, and nothing above the next use needs it
ARG TARGETARCH
    ^^^^^^^^^^ info: `TARGETARCH` makes `go mod download` run once for each platform, and nothing above the next use needs it
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH go build -o /app
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: this is where it is used first
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: this is where it is used first
#- go.mod
module a
#- go.sum
",
            "
FROM --platform=$BUILDPLATFORM golang:1.23
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH go build -o /app
",
        );
    }

    #[test]
    fn programs_that_are_not_known_are_no_proof() {
        check_without_fix(
            &RULE,
            "
FROM debian:12.9
ARG APP_COLOUR=red
    ^^^^^^^^^^^^^^ info: a new value of `APP_COLOUR` runs `make deps` and 1 more again, which do not use it
RUN make deps
    ^^^^^^^^^ note: no fix: `make` is not known, and may read or write anything
RUN make docs
ENV COLOUR=$APP_COLOUR
^^^^^^^^^^^^^^^^^^^^^^ note: this is where it is used first
",
        );
    }

    #[test]
    fn an_argument_that_stands_right_is_silent() {
        for text in [
            "FROM alpine:3.20\nARG A_B=1\nRUN apk add git\nRUN echo $A_B\n",
            "FROM alpine:3.20\nARG A_B=1\nRUN echo $A_B\nRUN apk add git\nRUN apk add curl\n",
            "FROM alpine:3.20\nARG A_B\nRUN apk add git\nRUN apk add curl\nRUN echo $A_B\n",
            "FROM alpine:3.20\nARG A_B=1\nRUN mkdir /a\nRUN mkdir /b\nRUN echo $A_B\n",
            "FROM alpine:3.20\nARG A_B=1\nRUN apk add git\nRUN apk add curl\n",
            "FROM alpine:3.20\nARG GIT_SHA=unknown\nRUN apk add git\nRUN apk add curl\nRUN echo $GIT_SHA\n",
            "FROM alpine:3.20\nARG A_B=1\nCOPY . /src\nRUN apk add git\nRUN apk add curl\nRUN echo $A_B\n",
            "FROM alpine:3.20\nARG A_B=1\nCOPY x.sh /\nRUN /x.sh\nRUN /x.sh 2\nRUN echo $A_B\n",
            "FROM alpine:3.20\nARG PIP_INDEX_URL=x\nRUN apk add git\nRUN apk add curl\nRUN echo $PIP_INDEX_URL\n",
            "FROM alpine:3.20\nARG TARGETARCH\nRUN apk add git\nRUN apk add curl\nRUN echo $TARGETARCH\n",
            "FROM --platform=$BUILDPLATFORM alpine:3.20\nARG TARGETARCH\nRUN --mount=type=cache,id=a-$TARGETARCH,target=/var/cache/apk apk add git\nRUN echo $TARGETARCH\n",
            "FROM --platform=$BUILDPLATFORM alpine:3.20\nARG BUILDPLATFORM\nRUN apk add git\nRUN apk add curl\nRUN echo $BUILDPLATFORM\n",
            "FROM alpine:3.20 AS a\nARG A_B=1\nRUN echo $A_B\nFROM a\nARG A_B\nRUN apk add git\nRUN apk add curl\nRUN echo $A_B\n",
            "ARG A_B=1\nFROM alpine:$A_B\nRUN apk add git\nRUN apk add curl\n",
        ] {
            check(&RULE, text);
        }
    }
}
