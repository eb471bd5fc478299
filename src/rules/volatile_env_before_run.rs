use super::volatile_arg_before_run::{Victims, command, sink_as_far_as_proven};
use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::key::{ArgumentVolatility, argument_volatility, is_volatile_name};
use crate::dockerfile::plan::{Plan, has_word};
use crate::dockerfile::{Kind, Variable};
use crate::edit::Span;
use crate::syntax::Mapped;
use crate::syntax::dockerfile::{Quotes, expansions};
use crate::view::DockerfileView;

declare_rule! {
    /// An environment variable that changes on every commit stands above instructions that do not use it.
    ///
    /// The environment is a part of the cache key of every later `RUN`. What a container sees at
    /// run time does not depend on where in the stage the `ENV` stands: set it last.
    ///
    /// ```dockerfile,bad
    /// FROM alpine:3.20
    /// ARG COMMIT_SHA
    /// ENV APP_COMMIT=$COMMIT_SHA
    /// RUN apk add --no-cache git
    /// ```
    ///
    /// ```dockerfile,fixed
    /// FROM alpine:3.20
    /// RUN apk add --no-cache git
    /// ARG COMMIT_SHA
    /// ENV APP_COMMIT=$COMMIT_SHA
    /// ```
    ///
    /// A variable that the commands below it read stays where it is.
    ///
    /// ```dockerfile,good
    /// FROM alpine:3.20
    /// ENV PIP_NO_CACHE_DIR=1
    /// RUN apk add --no-cache py3-pip
    /// ```
    ///
    /// ## Fix safety
    ///
    /// The variable moves down, with the `ARG` that it is made of, only past commands that are
    /// known not to read it.
    pub(crate) static VOLATILE_ENV_BEFORE_RUN = {
        name: "volatile-env-before-run",
        level: Level::Warning,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    for plan in view.plans() {
        for (index, step) in plan.own() {
            let Kind::Env(variables) = &step.instruction.kind else { continue };
            for variable in variables {
                let Some(cause) = volatile(plan, index, variable) else { continue };
                let victims = Victims::of(plan, index, &variable.name);
                let Some(first) = victims.steps.first() else { continue };
                let message =
                    format!("every new value of `{}` runs {} again, which {} not use it", variable.name, victims.commands(plan), victims.do_or_does());
                let mut finding = findings.report(variable.span, message);
                if let Some((span, name)) = &cause.argument {
                    finding = finding.note(*span, format!("the value comes from `{name}`"));
                }
                finding = finding.note(plan.steps[*first].instruction.span, format!("{} runs again", command(&plan.steps[*first])));
                // What the variable is made of stays in the key unless it moves too.
                let moved = cause.argument_step.unwrap_or(index);
                drop(match sink_as_far_as_proven(view, plan, moved, &victims) {
                    Ok(proven) => finding.fix(view.reordering("Set it below what does not use it", proven)),
                    Err(refusal) => finding.refused(&refusal),
                });
            }
        }
    }
}

/// Why a variable is volatile.
struct Cause {
    /// The argument that it is made of, with its place.
    argument: Option<(Span, String)>,
    /// The step that declares it, in the same stage.
    argument_step: Option<usize>,
}

fn volatile(plan: &Plan<'_>, index: usize, variable: &Variable) -> Option<Cause> {
    let value = variable.value.as_deref()?;
    let expanded = expansions(&Mapped::verbatim(value, 0), plan.dockerfile.escape, Quotes::Removed);
    for expansion in &expanded {
        let declared = plan.steps[..index].iter().enumerate().rev().find_map(|(at, it)| match &it.instruction.kind {
            Kind::Arg(variables) => variables.iter().find(|it| it.name == expansion.name).map(|found| (at, found)),
            _ => None,
        });
        let Some((at, argument)) = declared else { continue };
        match argument_volatility(&plan.context, &expansion.name, plan.dockerfile.default_of(argument).as_deref()) {
            // The rule for arguments reports those that a build is known to pass.
            ArgumentVolatility::Named => {
                let own = plan.steps[at].stage == plan.stage;
                return Some(Cause { argument: Some((argument.span, argument.name.clone())), argument_step: own.then_some(at) });
            }
            ArgumentVolatility::Passed(_) | ArgumentVolatility::Quiet => {}
        }
    }
    // A literal that a command uses pins what it fetches.
    let used = plan.steps.iter().any(|it| matches!(&it.instruction.kind, Kind::Run(run) if has_word(&run.command.text, &variable.name)));
    (expanded.is_empty() && !used && is_volatile_name(&variable.name) && is_moment_or_commit(value)).then_some(Cause { argument: None, argument_step: None })
}

/// Whether a literal is a date or a commit hash: somebody, or a script, writes a new one each time.
pub(super) fn is_moment_or_commit(value: &str) -> bool {
    let value = value.trim_matches(['"', '\'']);
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let hash = (7..=40).contains(&value.len()) && value.bytes().all(|it| it.is_ascii_hexdigit()) && digits > 0;
    let date = value.len() >= 8 && digits >= 8 && value.bytes().all(|it| it.is_ascii_digit() || b"-:.TZ+/ ".contains(&it));
    hash || date
}

#[cfg(test)]
mod tests {
    use super::VOLATILE_ENV_BEFORE_RUN as RULE;
    use super::is_moment_or_commit;
    use crate::rules::testing::{check, check_fix};

    #[test]
    fn dates_and_hashes_are_told_from_versions() {
        for value in ["2024-05-01", "2024-05-01T10:00:00Z", "1714550400", "abc1234", "da39a3ee5e6b4b0d3255bfef95601890afd80709"] {
            assert!(is_moment_or_commit(value), "{value}");
        }
        for value in ["1.2.3", "latest", "unknown", "", "v1", "22.11.0", "deadbee"] {
            assert!(!is_moment_or_commit(value), "{value}");
        }
    }

    #[test]
    fn a_literal_commit_moves_below_the_install() {
        check_fix(
            &RULE,
            "
FROM alpine:3.20
ENV GIT_COMMIT=0a1b2c3d
    ^^^^^^^^^^^^^^^^^^^ warning: every new value of `GIT_COMMIT` runs `apk add` again, which does not use it
RUN apk add --no-cache git
^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apk add` runs again
",
            "
FROM alpine:3.20
RUN apk add --no-cache git
ENV GIT_COMMIT=0a1b2c3d
",
        );
    }

    #[test]
    fn a_variable_that_is_read_stays() {
        check(&RULE, "FROM alpine:3.20\nARG COMMIT_SHA\nENV A=$COMMIT_SHA\nRUN echo $A\nRUN apk add --no-cache git\n");
    }

    #[test]
    fn a_version_is_not_volatile() {
        check(&RULE, "FROM alpine:3.20\nENV NODE_VERSION=22.11.0\nRUN apk add --no-cache git\n");
        check(&RULE, "FROM alpine:3.20\nENV REFRESHED_AT=2016-05-12\nRUN apk add --no-cache git\n");
    }
}
