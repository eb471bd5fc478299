use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::{Frontend, Kind};
use crate::view::DockerfileView;

declare_rule! {
    /// A copy at the end of a stage depends on the layers below it without need.
    ///
    /// With `--link` the copied files are a layer of their own, which is reused when the base image
    /// or a layer below it changes, and need not be sent to the registry again. Off by default: it
    /// takes a builder that can lay layers over each other, and wins nothing for commands that follow.
    ///
    /// ```dockerfile,bad
    /// FROM golang:1.23 AS build
    /// RUN make
    /// FROM alpine:3.20
    /// RUN apk add --no-cache tzdata
    /// COPY --from=build /out/server /app/server
    /// ```
    ///
    /// ```dockerfile,fixed
    /// FROM golang:1.23 AS build
    /// RUN make
    /// FROM alpine:3.20
    /// RUN apk add --no-cache tzdata
    /// COPY --link --from=build /out/server /app/server
    /// ```
    ///
    /// Reported only where the fix is safe, and where something stands below the copy that changes.
    ///
    /// ## Fix safety
    ///
    /// A linked copy makes the folders above its destination anew, as folders of root that everybody
    /// may read. The fix is offered where it is shown that they are just that, or are not there:
    /// below folders of applications, in images that are known, with nothing before that changes
    /// them. With `--chmod`, and with the name of a user, there is none.
    pub(crate) static COPY_WITHOUT_LINK = {
        name: "copy-without-link",
        level: Level::Off,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    if !can_link(&view.dockerfile.frontend) {
        return;
    }
    for plan in view.plans() {
        // Only what is not built upon ends with its copies.
        let is_base = view.dockerfile.stages.iter().any(|it| it.base == crate::dockerfile::Base::Stage(plan.stage));
        let last_run = plan.own().filter(|(_, it)| matches!(it.instruction.kind, Kind::Run(_))).map(|(index, _)| index).next_back();
        let first_layer = plan.own().find(|(_, it)| matches!(it.instruction.kind, Kind::Run(_) | Kind::Copy(_))).map(|it| it.0);
        for (index, step) in plan.own() {
            let Kind::Copy(copy) = &step.instruction.kind else { continue };
            if copy.link || is_base || first_layer == Some(index) || last_run.is_some_and(|it| it > index) {
                continue;
            }
            if let Ok(proven) = view.prove(plan.stage, |it| it.link_copy(index)) {
                let finding = findings.report(step.instruction.span, "this layer is made again whenever one below it changes, which `--link` avoids");
                finding.fix(view.reflagging("Copy with `--link`", proven));
            }
        }
    }
}

/// Whether the front end knows `--link`, which came with version 1.4
/// (<https://docs.docker.com/reference/dockerfile/#copy---link>).
fn can_link(frontend: &Frontend) -> bool {
    match frontend {
        Frontend::Builtin => true,
        Frontend::Foreign => false,
        Frontend::Docker(tag) => {
            let mut numbers = tag.split(['.', '-']).map(|it| it.parse::<u32>().ok());
            match (numbers.next().flatten(), numbers.next().flatten()) {
                (Some(1), Some(minor)) => minor >= 4,
                (Some(major), _) => major >= 1,
                (None, _) => tag == "latest" || tag == "labs",
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::COPY_WITHOUT_LINK as RULE;
    use crate::rules::testing::{check, check_fix};

    #[test]
    fn files_of_a_stage_stand_apart() {
        check_fix(
            &RULE,
            "
# syntax=docker/dockerfile:1.7
FROM alpine:3.20
WORKDIR /app
RUN apk add --no-cache git
COPY --chown=1000:1000 a b ./
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ hint: this layer is made again whenever one below it changes, which `--link` avoids
USER 1000
",
            "
# syntax=docker/dockerfile:1.7
FROM alpine:3.20
WORKDIR /app
RUN apk add --no-cache git
COPY --link --chown=1000:1000 a b ./
USER 1000
",
        );
    }

    #[test]
    fn what_cannot_be_shown_is_silent() {
        for text in [
            // The owner of the folder may be another one.
            "FROM alpine:3.20\nRUN apk add git\nUSER app\nWORKDIR /app\nCOPY a ./\n",
            "FROM alpine:3.20\nRUN make\nCOPY a /app/a\n",
            "FROM example.org/base:1.2\nRUN apk add git\nCOPY a /app/a\n",
            // A file would take the place of the folder.
            "FROM alpine:3.20\nWORKDIR /app\nRUN apk add git\nCOPY a /app\n",
            "FROM alpine:3.20\nWORKDIR /app/x\nWORKDIR /\nRUN apk add git\nCOPY a /app\n",
            "FROM alpine:3.20\nRUN apk add git\nCOPY a /usr/bin/a\n",
            "FROM alpine:3.20\nRUN apk add git\nCOPY a /opt/a/a\n",
            "FROM alpine:3.20\nRUN apk add git\nCOPY --chmod=755 a /app/a\n",
            "FROM alpine:3.20\nRUN apk add git\nCOPY --chown=app a /app/a\n",
            "FROM alpine:3.20\nCOPY --chown=1:1 b /app/\nCOPY a /app/a\n",
        ] {
            check(&RULE, text);
        }
    }

    #[test]
    fn what_wins_nothing_is_silent() {
        check(&RULE, "FROM alpine:3.20\nCOPY a /app/a\n");
        check(&RULE, "FROM alpine:3.20\nRUN apk add git\nCOPY a /app/a\nRUN make\n");
        check(&RULE, "FROM alpine:3.20 AS base\nRUN apk add git\nCOPY a /app/a\nFROM base\nRUN make\n");
        check(&RULE, "FROM alpine:3.20\nRUN apk add git\nCOPY --link a /app/a\n");
    }

    #[test]
    fn an_old_or_another_front_end_does_not_know_it() {
        for syntax in ["docker/dockerfile:1.3", "docker/dockerfile:experimental", "example.org/front-end"] {
            check(&RULE, &format!("# syntax={syntax}\nFROM alpine:3.20\nRUN apk add git\nCOPY a /app/a\n"));
        }
    }
}
