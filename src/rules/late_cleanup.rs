use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::Kind;
use crate::dockerfile::mounts::is_cache_of;
use crate::dockerfile::plan::{Plan, Step};
use crate::ecosystem::{self, Action, Manager};
use crate::facts;
use crate::view::DockerfileView;

declare_rule! {
    /// Caches of packages are removed in another instruction than the one that installs.
    ///
    /// The files are in the layer of the install already: a later instruction hides them, and the
    /// image stays as large as it was. It is one more step to build as well.
    ///
    /// ```dockerfile,bad
    /// FROM debian:12.9-slim
    /// RUN apt-get update && apt-get install -y git
    /// RUN rm -rf /var/lib/apt/lists/*
    /// ```
    ///
    /// ```dockerfile,fixed
    /// FROM debian:12.9-slim
    /// RUN apt-get update && apt-get install -y git && \
    ///     rm -rf /var/lib/apt/lists/*
    /// ```
    ///
    /// Silent where a command does more than clean up, and where the stage installs nothing that
    /// the cleanup concerns.
    ///
    /// ```dockerfile,good
    /// FROM debian:12.9-slim
    /// RUN rm -rf /var/lib/apt/lists/* && apt-get update && apt-get install -y git
    /// ```
    ///
    /// ## Fix safety
    ///
    /// The cleanup is joined to the install if both are plain lists of commands, and moves above what
    /// stands between them only if that is proven not to mind. The image has the same files.
    pub(crate) static LATE_CLEANUP = {
        name: "late-cleanup",
        level: Level::Info,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    for plan in view.plans() {
        for (index, step) in plan.own() {
            let Kind::Run(run) = &step.instruction.kind else { continue };
            let cleans = !run.reading.steps.is_empty()
                && run.script.opaque.is_none()
                && run.script.commands.len() == run.reading.steps.len()
                && run.reading.steps.iter().all(|it| it.action == Action::Clean);
            if !cleans || !run.mounts.is_empty() {
                continue;
            }
            let Some((earlier, install)) = cleaned_up(plan, index, step) else { continue };
            let message = format!("the image is no smaller by this: what `{}` leaves behind is in a layer above", install.display);
            let finding = findings.report(step.instruction.span, message).note(plan.steps[earlier].instruction.span, "it is in the layer of this instruction");
            drop(match view.prove(plan.stage, |it| it.merge(&view.source, earlier, index)) {
                Ok(proven) => finding.fix(view.reordering("Clean up in the instruction that installs", proven)),
                Err(refusal) => finding.refused(&refusal),
            });
        }
    }
}

/// The last install of the stage that leaves what is cleaned up.
fn cleaned_up<'p>(plan: &'p Plan<'_>, index: usize, cleanup: &Step<'_>) -> Option<(usize, &'p ecosystem::Step)> {
    let own = plan.own().filter(|(at, _)| *at < index).collect::<Vec<_>>();
    own.into_iter().rev().find_map(|(at, step)| {
        let Kind::Run(run) = &step.instruction.kind else { return None };
        let install = step.installs.iter().find(|it| it.installs() && cleanup.installs.iter().any(|cleanup| concerns(cleanup, it.manager)))?;
        // A mount leaves nothing behind, and who cleaned up already has nothing to clean.
        let mounted = run.mounts.iter().any(|it| it.kind() == "cache");
        let clean = step.installs.iter().any(|it| it.action == Action::Clean && concerns(it, install.manager)) || install.no_cache;
        Some((at, install)).filter(|_| !mounted && !clean)
    })
}

/// Whether a cleanup is one of a manager's caches.
fn concerns(cleanup: &ecosystem::Step, manager: Manager) -> bool {
    if cleanup.action != Action::Clean {
        return false;
    }
    match cleanup.manager {
        Manager::Shell => cleanup.paths.iter().any(|it| is_cache_of(manager, it.path.trim_end_matches("/*"))) || removes_all_caches(cleanup, manager),
        other => other == manager,
    }
}

/// `/var/cache/*` has the caches of all managers of systems.
fn removes_all_caches(cleanup: &ecosystem::Step, manager: Manager) -> bool {
    let of_system = matches!(manager, Manager::Apt | Manager::Apk | Manager::Dnf | Manager::Zypper);
    of_system && cleanup.paths.iter().any(|it| matches!(it.path.as_str(), "/var/cache/*" | "/var/cache") || facts::is_below(&it.path, "/var/lib/dnf"))
}

#[cfg(test)]
mod tests {
    use super::LATE_CLEANUP as RULE;
    use crate::rules::testing::{check, check_fix, check_without_fix};

    #[test]
    fn a_cleanup_moves_above_what_does_not_mind() {
        check_fix(
            &RULE,
            "
FROM debian:12.9
RUN apt-get update && apt-get install -y \\
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: it is in the layer of this instruction
    git
ENV A=1
COPY a /app/a

RUN apt-get clean && rm -rf /var/lib/apt/lists/* /tmp/*
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ info: the image is no smaller by this: what `apt-get install` leaves behind is in a layer above
CMD [\"git\"]
",
            "
FROM debian:12.9
RUN apt-get update && apt-get install -y \\
    git && \\
    apt-get clean && rm -rf /var/lib/apt/lists/* /tmp/*
ENV A=1
COPY a /app/a

CMD [\"git\"]
",
        );
    }

    #[test]
    fn the_cleanup_of_a_language_is_joined_as_well() {
        check_fix(
            &RULE,
            "
FROM node:22
RUN npm install -g serve@14
^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: it is in the layer of this instruction
RUN npm cache clean --force
^^^^^^^^^^^^^^^^^^^^^^^^^^^ info: the image is no smaller by this: what `npm install` leaves behind is in a layer above
",
            "
FROM node:22
RUN npm install -g serve@14 && \\
    npm cache clean --force
",
        );
    }

    #[test]
    fn a_command_between_that_may_read_the_cache_stands_in_the_way() {
        check_without_fix(
            &RULE,
            "
FROM debian:12.9
RUN apt-get update && apt-get install -y git
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: it is in the layer of this instruction
RUN make
    ^^^^ note: no fix: `make` is not known, and may read or write anything
RUN rm -rf /var/lib/apt/lists/*
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ info: the image is no smaller by this: what `apt-get install` leaves behind is in a layer above
",
        );
    }

    #[test]
    fn the_last_install_is_the_one() {
        check_fix(
            &RULE,
            "
FROM debian:12.9
RUN apt-get update && apt-get install -y git
RUN apt-get install -y jq
^^^^^^^^^^^^^^^^^^^^^^^^^ note: it is in the layer of this instruction
RUN rm -rf /var/lib/apt/lists/*
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ info: the image is no smaller by this: what `apt-get install` leaves behind is in a layer above
",
            "
FROM debian:12.9
RUN apt-get update && apt-get install -y git
RUN apt-get install -y jq && \\
    rm -rf /var/lib/apt/lists/*
",
        );
    }

    #[test]
    fn a_comment_or_another_user_stands_in_the_way() {
        check_without_fix(
            &RULE,
            "
FROM debian:12.9
RUN apt-get update && apt-get install -y git
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: it is in the layer of this instruction
# Smaller.
RUN rm -rf /var/lib/apt/lists/*
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ info: the image is no smaller by this: what `apt-get install` leaves behind is in a layer above
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: no fix: a comment stands between the two
",
        );
        check_without_fix(
            &RULE,
            "
FROM node:22
RUN npm install -g serve@14
^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: it is in the layer of this instruction
USER node
^^^^^^^^^ note: no fix: this writes the user, which the later instruction reads
RUN npm cache clean --force
^^^^^^^^^^^^^^^^^^^^^^^^^^^ info: the image is no smaller by this: what `npm install` leaves behind is in a layer above
",
        );
    }

    #[test]
    fn what_is_no_late_cleanup_is_silent() {
        for text in [
            "FROM debian:12.9\nRUN apt-get update && apt-get install -y git && rm -rf /var/lib/apt/lists/*\n",
            "FROM debian:12.9\nRUN apt-get update && apt-get install -y git && rm -rf /var/lib/apt/lists/*\nRUN rm -rf /var/lib/apt/lists/*\n",
            "FROM debian:12.9\nRUN rm -rf /var/lib/apt/lists/*\nRUN apt-get update && apt-get install -y git\n",
            "FROM debian:12.9\nRUN apt-get update && apt-get install -y git\nRUN rm -rf /tmp/*\n",
            "FROM debian:12.9\nRUN apt-get update && apt-get install -y git\nRUN rm -rf /app/x\n",
            "FROM debian:12.9\nRUN apt-get update && apt-get install -y git\nRUN make && rm -rf /var/lib/apt/lists/*\n",
            "FROM debian:12.9\nRUN --mount=type=cache,target=/var/lib/apt,sharing=locked apt-get update && apt-get install -y git\nRUN rm -rf /var/lib/apt/lists/*\n",
            "FROM registry.example.com/base:1\nRUN rm -rf /var/lib/apt/lists/*\n",
            "FROM python:3.13\nRUN pip install --no-cache-dir flask==3.1.0\nRUN rm -rf /root/.cache/pip\n",
            "FROM debian:12.9\nRUN apt-get update && apt-get install -y git\nRUN --mount=type=cache,target=/x rm -rf /var/lib/apt/lists/*\n",
        ] {
            check(&RULE, text);
        }
    }
}
