use super::volatile_arg_before_run::command;
use super::volatile_env_before_run::is_moment_or_commit;
use super::{Check, Findings, declare_rule};
use crate::config::Builder;
use crate::diagnostic::Level;
use crate::dockerfile::key::{ArgumentVolatility, Keys, argument_volatility, is_volatile_name};
use crate::dockerfile::plan::{Plan, Step};
use crate::dockerfile::{Instruction, Kind};
use crate::edit::Span;
use crate::view::DockerfileView;

declare_rule! {
    /// Metadata of the image that changes on every commit stands above commands, for a builder that minds.
    ///
    /// To BuildKit, labels and other configuration of the image are free: they are in no cache key.
    /// The classic builder, buildah and podman make a step of every instruction, and a changed one
    /// runs all later ones again. The rule speaks only where `builder` in `.layerwise.yaml` names one
    /// of those.
    ///
    /// ```dockerfile,bad
    /// #- .layerwise.yaml
    /// builder: buildah
    /// #- Dockerfile
    /// FROM alpine:3.20
    /// ARG VCS_REF
    /// LABEL org.opencontainers.image.revision=$VCS_REF
    /// RUN apk add --no-cache git
    /// ```
    ///
    /// ```dockerfile,fixed
    /// #- Dockerfile
    /// FROM alpine:3.20
    /// ARG VCS_REF
    /// RUN apk add --no-cache git
    /// LABEL org.opencontainers.image.revision=$VCS_REF
    /// ```
    ///
    /// ```dockerfile,good
    /// FROM alpine:3.20
    /// LABEL org.opencontainers.image.created=2026-11-24T10:00:00Z
    /// RUN apk add --no-cache git
    /// ```
    ///
    /// For kaniko, where every build argument is in the first key already, only values that are written
    /// in the file count.
    ///
    /// ## Fix safety
    ///
    /// The instruction moves below the last one that makes a layer, unless one between them sets the
    /// same field. The configuration of the image stays the same.
    pub(crate) static VOLATILE_METADATA_BEFORE_RUN = {
        name: "volatile-metadata-before-run",
        level: Level::Info,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

/// How a builder makes its keys.
fn keys(builder: Builder) -> Keys {
    match builder {
        Builder::Buildkit => Keys::Graph,
        Builder::Classic | Builder::Buildah => Keys::Chain,
        Builder::Kaniko => Keys::Whole,
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    let keys = keys(findings.config().builder());
    if keys == Keys::Graph {
        return;
    }
    for plan in view.plans() {
        let makes_layer = |(_, it): &(usize, &Step<'_>)| matches!(it.instruction.kind, Kind::Run(_) | Kind::Copy(_) | Kind::Workdir(_));
        let Some(last) = plan.own().filter(makes_layer).map(|(index, _)| index).next_back() else { continue };
        for (index, step) in plan.own().filter(|(index, _)| *index < last) {
            let Some(cause) = volatile(view, plan, index, step.instruction, keys) else { continue };
            let Some((victim, later)) = plan.own().find(|(at, it)| *at > index && makes_layer(&(*at, it))) else { continue };
            let message = format!("every new value of this `{}` runs all later instructions again", step.instruction.keyword);
            let mut finding = findings.report(step.instruction.span, message);
            if let Some(cause) = cause {
                finding = finding.note(cause, "the value comes from here");
            }
            let what = if matches!(later.instruction.kind, Kind::Run(_)) { command(later) } else { format!("`{}`", later.instruction.keyword) };
            finding = finding.note(plan.steps[victim].instruction.span, format!("{what} runs again"));
            drop(match view.prove(plan.stage, |it| it.sink(&view.source, index, last + 1)) {
                Ok(proven) => finding.fix(view.reordering("Set it below what makes layers", proven)),
                Err(refusal) => finding.refused(&refusal),
            });
        }
    }
}

/// Whether metadata changes on every commit: with the declaration of the argument that it is made
/// of, or with nothing where it is written as it is.
fn volatile(view: &DockerfileView<'_>, plan: &Plan<'_>, index: usize, instruction: &Instruction, keys: Keys) -> Option<Option<Span>> {
    // The classic builder throws away what commands write to a volume that is declared above them.
    if !matches!(instruction.kind, Kind::Label(_) | Kind::Config { .. }) || instruction.keyword == "VOLUME" {
        return None;
    }
    if keys != Keys::Whole
        && let Some(span) = instruction.expansions.iter().find_map(|it| volatile_argument(plan, index, &it.name))
    {
        return Some(Some(span));
    }
    let Kind::Label(labels) = &instruction.kind else { return None };
    let is_moment = |it: &crate::dockerfile::Variable| {
        let name = it.name.rsplit(['.', '-']).next().unwrap_or("");
        let value = it.value.as_deref().unwrap_or("").trim_matches(['"', '\'']);
        (is_volatile_name(name) || matches!(name, "revision" | "created" | "build-date")) && is_moment_or_commit(value)
    };
    labels.iter().find(|it| is_moment(it) && !it.span.of(&view.source).contains('$')).map(|_| None)
}

/// The declaration of a volatile argument in scope.
fn volatile_argument(plan: &Plan<'_>, index: usize, name: &str) -> Option<Span> {
    plan.steps[..index].iter().rev().find_map(|it| {
        let Kind::Arg(variables) = &it.instruction.kind else { return None };
        let variable = variables.iter().find(|it| it.name == name)?;
        let volatility = argument_volatility(&plan.context, name, plan.dockerfile.default_of(variable).as_deref());
        (!matches!(volatility, ArgumentVolatility::Quiet)).then_some(variable.span)
    })
}

#[cfg(test)]
mod tests {
    use super::VOLATILE_METADATA_BEFORE_RUN as RULE;
    use crate::rules::testing::{check, check_fix, check_without_fix};

    #[test]
    fn a_label_moves_below_the_layers() {
        check_fix(
            &RULE,
            "
#- .layerwise.yaml
builder: classic
#- Dockerfile
FROM alpine:3.20
ARG GIT_SHA
    ^^^^^^^ note: the value comes from here
# Which commit.
LABEL revision=$GIT_SHA
^^^^^^^^^^^^^^^^^^^^^^^ info: every new value of this `LABEL` runs all later instructions again
COPY a /a
^^^^^^^^^ note: `COPY` runs again
RUN make
CMD [\"a\"]
",
            "#- Dockerfile
FROM alpine:3.20
ARG GIT_SHA
COPY a /a
RUN make
# Which commit.
LABEL revision=$GIT_SHA
CMD [\"a\"]
",
        );
    }

    #[test]
    fn a_date_that_somebody_writes_counts_for_kaniko_too() {
        check_fix(
            &RULE,
            "
#- .layerwise.yaml
builder: kaniko
#- Dockerfile
FROM alpine:3.20
ARG GIT_SHA
LABEL revision=$GIT_SHA
LABEL org.opencontainers.image.created=\"2026-11-24T10:00:00Z\"
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ info: every new value of this `LABEL` runs all later instructions again
RUN make
^^^^^^^^ note: `make` runs again
",
            "#- Dockerfile
FROM alpine:3.20
ARG GIT_SHA
LABEL revision=$GIT_SHA
RUN make
LABEL org.opencontainers.image.created=\"2026-11-24T10:00:00Z\"
",
        );
    }

    #[test]
    fn a_port_that_is_made_of_a_commit_is_metadata_as_well() {
        check_without_fix(
            &RULE,
            "
#- .layerwise.yaml
builder: buildah
#- Dockerfile
FROM alpine:3.20
ARG GIT_SHA
    ^^^^^^^ note: the value comes from here
EXPOSE $GIT_SHA
^^^^^^^^^^^^^^^ info: every new value of this `EXPOSE` runs all later instructions again
RUN make
^^^^^^^^ note: `make` runs again
ONBUILD RUN x
^^^^^^^^^^^^^ note: no fix: this writes something that is not understood, which the moved instruction reads
RUN make
",
        );
    }

    #[test]
    fn metadata_that_costs_nothing_is_silent() {
        let of = |builder: &str, text: &str| check(&RULE, &format!("#- .layerwise.yaml\nbuilder: {builder}\n#- Dockerfile\nFROM alpine:3.20\n{text}"));
        of("buildkit", "ARG GIT_SHA\nLABEL revision=$GIT_SHA\nRUN make\n");
        of("classic", "ARG GIT_SHA\nRUN make\nLABEL revision=$GIT_SHA\n");
        of("classic", "ARG GIT_SHA\nVOLUME /v-$GIT_SHA\nRUN make\n");
        of("classic", "LABEL maintainer=me\nRUN make\n");
        of("classic", "ARG VERSION=1.2\nLABEL version=$VERSION\nRUN make\n");
        of("classic", "EXPOSE 80\nCMD [\"a\"]\nRUN make\n");
        of("classic", "ARG GIT_SHA\nENV A=$GIT_SHA\nRUN make\n");
        of("kaniko", "ARG GIT_SHA\nLABEL revision=$GIT_SHA\nRUN make\n");
        check(&RULE, "FROM alpine:3.20\nARG GIT_SHA\nLABEL revision=$GIT_SHA\nRUN make\n");
    }
}
