use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::Kind;
use crate::ecosystem::{Action, Manager, Step};
use crate::view::DockerfileView;

declare_rule! {
    /// The package index is updated in another instruction than the one that installs.
    ///
    /// The text of the update never changes, so that its layer is reused for ever. When the list
    /// of packages changes, the install runs with the index of long ago: it fetches versions that
    /// are no longer there and fails, or installs old ones.
    ///
    /// ```dockerfile,bad
    /// FROM debian:12.9-slim
    /// RUN apt-get update
    /// RUN apt-get install -y git
    /// ```
    ///
    /// ```dockerfile,fixed
    /// FROM debian:12.9-slim
    /// RUN apt-get update && \
    ///     apt-get install -y git
    /// ```
    ///
    /// ## Fix safety
    ///
    /// The two instructions are joined if both are plain lists of commands. The image stays
    /// the same, in one layer less. The install moves above what stands between them only if that is
    /// proven not to mind.
    pub(crate) static SPLIT_INDEX_UPDATE = {
        name: "split-index-update",
        level: Level::Warning,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    for plan in view.plans() {
        for (index, step) in plan.own() {
            let Some(update) = step.installs.iter().find(|it| it.action == Action::UpdateIndex) else { continue };
            let Kind::Run(run) = &step.instruction.kind else { continue };
            // With a mount the index is shared on purpose.
            let installs_too = step.installs.iter().any(|it| it.action == Action::InstallSystem);
            // In a script that is not followed, an install may be hidden: `xargs apt-get install`.
            let may_install = run.script.opaque.is_some() || run.command.text.contains("install") || run.command.text.contains(" add ");
            if installs_too || may_install || run.mounts.iter().any(|it| it.kind() == "cache") {
                continue;
            }
            // `apk add --no-cache` fetches an index of its own.
            let relies = |it: &Step| it.manager == update.manager && it.action == Action::InstallSystem && !(it.manager == Manager::Apk && it.no_cache);
            let user = plan.own().find(|(later, it)| {
                *later > index
                    && it.installs.iter().any(relies)
                    && !it.installs.iter().any(|it| it.manager == update.manager && it.action == Action::UpdateIndex)
            });
            let Some((later, user)) = user else { continue };
            let Some(install) = user.installs.iter().find(|it| relies(it)) else { continue };
            let message = format!("`{}` is cached apart from the `{}` that relies on it, and gets old", update.display, install.display);
            let finding = findings
                .report(step.instruction.span, message)
                .note(user.instruction.span, format!("`{}` uses the index of an earlier build", install.display));
            match view.prove(plan.stage, |it| it.merge(&view.source, index, later)) {
                Ok(proven) => drop(finding.fix(view.reordering("Update and install in one instruction", proven))),
                Err(refusal) => drop(finding.refused(&refusal)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SPLIT_INDEX_UPDATE as RULE;
    use crate::rules::testing::{check, check_fix};

    #[test]
    fn adjacent_instructions_are_joined() {
        check_fix(
            &RULE,
            "
FROM debian:12.9
RUN apt-get update
^^^^^^^^^^^^^^^^^^ warning: `apt-get update` is cached apart from the `apt-get install` that relies on it, and gets old
RUN apt-get install -y \\
^^^^^^^^^^^^^^^^^^^^^^^^ note: `apt-get install` uses the index of an earlier build
    git
",
            "
FROM debian:12.9
RUN apt-get update && \\
    apt-get install -y \\
    git
",
        );
    }

    #[test]
    fn what_does_not_mind_is_crossed() {
        check_fix(
            &RULE,
            "
FROM debian:12.9
RUN apt-get update
^^^^^^^^^^^^^^^^^^ warning: `apt-get update` is cached apart from the `apt-get install` that relies on it, and gets old
ENV A=1
COPY a /app/a
RUN apt-get install -y git
^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apt-get install` uses the index of an earlier build
",
            "
FROM debian:12.9
RUN apt-get update && \\
    apt-get install -y git
ENV A=1
COPY a /app/a
",
        );
    }

    #[test]
    fn what_the_install_may_read_stands_in_the_way() {
        check(
            &RULE,
            "
FROM debian:12.9
RUN apt-get update
^^^^^^^^^^^^^^^^^^ warning: `apt-get update` is cached apart from the `apt-get install` that relies on it, and gets old
COPY sources.list /etc/apt/
^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: no fix: this writes files below `/etc/apt`, which the later instruction reads
RUN apt-get install -y git
^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apt-get install` uses the index of an earlier build
",
        );
    }

    #[test]
    fn a_later_command_would_hide_that_the_update_fails() {
        check(
            &RULE,
            "
FROM debian:12.9
RUN apt-get update
^^^^^^^^^^^^^^^^^^ warning: `apt-get update` is cached apart from the `apt-get install` that relies on it, and gets old
RUN apt-get install -y git; rm -rf /tmp/a
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apt-get install` uses the index of an earlier build
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: no fix: this is not a plain list of commands
",
        );
    }

    #[test]
    fn an_install_with_its_own_update_is_silent() {
        check(&RULE, "FROM debian:12.9\nRUN apt-get update\nRUN apt-get update && apt-get install -y git\n");
        check(&RULE, "FROM debian:12.9\nRUN apt-get update && apt-get install -y git\nRUN apt-get install -y curl\n");
        check(&RULE, "FROM debian:12.9\nRUN apt-get update\n");
        check(&RULE, "FROM debian:12.9\nRUN --mount=type=cache,target=/var/lib/apt apt-get update\nRUN apt-get install -y git\n");
    }

    #[test]
    fn an_install_that_fetches_an_index_of_its_own_is_silent() {
        check(&RULE, "FROM alpine:3.20\nRUN apk update\nRUN apk add --no-cache git\n");
        check(
            &RULE,
            "
FROM alpine:3.20
RUN apk update
^^^^^^^^^^^^^^ warning: `apk update` is cached apart from the `apk add` that relies on it, and gets old
RUN apk add git
^^^^^^^^^^^^^^^ note: `apk add` uses the index of an earlier build
",
        );
    }
}
