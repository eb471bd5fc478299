use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::Kind;
use crate::dockerfile::key::copy_volatility;
use crate::dockerfile::plan::Plan;
use crate::ecosystem::Action;
use crate::view::DockerfileView;
use crate::volatility::Volatility;
use std::collections::BTreeMap;

declare_rule! {
    /// Dependencies are installed after the sources are copied.
    ///
    /// Any change to any copied file gives the copy a new cache key, and every later
    /// instruction runs again. Manifests and lockfiles change far less often than
    /// source code: copy them first, install, then copy the rest.
    ///
    /// ```dockerfile,bad
    /// #- .dockerignore
    /// node_modules
    /// #- package.json
    /// {"name": "app"}
    /// #- package-lock.json
    /// {"lockfileVersion": 3}
    /// #- Dockerfile
    /// FROM node:22.11-slim
    /// WORKDIR /app
    /// COPY . .
    /// RUN npm ci
    /// ```
    ///
    /// ```dockerfile,fixed
    /// FROM node:22.11-slim
    /// WORKDIR /app
    /// COPY package.json package-lock.json ./
    /// RUN npm ci
    /// COPY . .
    /// ```
    ///
    /// An install that needs the sources is left alone: `pip install .`, a `package.json` with
    /// scripts that npm runs, a second install of the project itself behind one of its dependencies.
    ///
    /// ```dockerfile,good
    /// #- pyproject.toml
    /// [project]
    /// name = "app"
    /// version = "1"
    /// #- Dockerfile
    /// FROM python:3.13-slim
    /// WORKDIR /app
    /// COPY . .
    /// RUN pip install .
    /// ```
    ///
    /// ## Fix safety
    ///
    /// The fix is offered only if it is proven that the image stays the same: every file that
    /// the install reads is known and copied before it, the ignore file keeps what the install
    /// writes out of the context, and nothing between the two instructions conflicts with the
    /// install. Otherwise a note says what stands in the way.
    pub(crate) static COPY_BEFORE_INSTALL = {
        name: "copy-before-install",
        level: Level::Warning,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    // One finding for each copy, however many stages and installs it stands before.
    let mut causes: BTreeMap<usize, Cause> = BTreeMap::new();
    for plan in view.plans() {
        for (index, step) in plan.own() {
            let Some(install) = step.installs.iter().find(|it| it.action == Action::InstallDependencies) else { continue };
            if step.obstacle.as_ref().is_some_and(|it| it.needs_sources) {
                continue;
            }
            let Some(copy) = first_volatile_copy(plan, index) else { continue };
            let installed_before =
                plan.steps[..copy].iter().any(|it| it.installs.iter().any(|it| it.manager == install.manager && it.action == Action::InstallDependencies));
            if installed_before {
                continue;
            }
            let cause = causes.entry(plan.steps[copy].instruction.span.start).or_default();
            cause.victims.push(Victim { stage: plan.stage, index, copy, command: install.display.clone() });
        }
    }
    for cause in causes.into_values() {
        report(view, &cause, findings);
    }
}

/// What a copy makes run again.
#[derive(Default)]
struct Cause {
    victims: Vec<Victim>,
}

/// An install that runs again.
struct Victim {
    stage: usize,
    index: usize,
    copy: usize,
    command: String,
}

/// The first copy of the chain before `index` that brings sources from the build context.
pub(super) fn first_volatile_copy(plan: &Plan<'_>, index: usize) -> Option<usize> {
    plan.steps[..index].iter().position(|it| match &it.instruction.kind {
        Kind::Copy(copy) => copy.from_context() && copy_volatility(&plan.context, copy) >= Volatility::Often,
        _ => false,
    })
}

fn report(view: &DockerfileView<'_>, cause: &Cause, findings: &mut Findings<'_>) {
    let Some(first) = cause.victims.first() else { return };
    let Some(plan) = view.plans().find(|it| it.stage == first.stage) else { return };
    let copy = plan.steps[first.copy].instruction;
    let mut commands: Vec<&str> = cause.victims.iter().map(|it| it.command.as_str()).collect();
    commands.dedup();
    let mut finding = findings.report(copy.span, format!("any change to {} runs {} again", what_is_copied(&copy.kind), list(&commands)));
    let mut refusals = Vec::new();
    let mut suggestion = None;
    let mut fix = None;
    for victim in &cause.victims {
        let Some(plan) = view.plans().find(|it| it.stage == victim.stage) else { continue };
        finding = finding.note(plan.steps[victim.index].instruction.span, format!("`{}` runs again", victim.command));
        match view.prove(victim.stage, |it| it.hoist(&view.source, victim.index, victim.copy)) {
            Ok(proven) => fix = fix.or(Some(proven)),
            Err(refusal) => {
                suggestion = suggestion.or_else(|| plan.suggest_hoist(&view.source, victim.index, victim.copy));
                refusals.push(refusal);
            }
        }
    }
    match (fix, refusals.first(), suggestion) {
        (Some(proven), ..) => drop(finding.fix(view.reordering("Install from the manifests first", proven))),
        (None, Some(refusal), Some(edits)) => {
            drop(finding.unproven(refusal).fix(view.suggestion("Install from the manifests first, which is not proven", edits)))
        }
        (None, Some(refusal), None) => drop(finding.refused(refusal)),
        (None, None, _) => {}
    }
}

/// What a copy brings, for a message.
pub(super) fn what_is_copied(kind: &Kind) -> String {
    let Kind::Copy(copy) = kind else { return "the copied files".to_owned() };
    match &copy.sources[..] {
        _ if copy.whole_context() => "the build context".to_owned(),
        [source] => format!("`{}`", source.text),
        sources => list(&sources.iter().map(|it| it.text.as_str()).collect::<Vec<_>>()),
    }
}

/// `a`, `b` and `c`, each quoted; more than three are counted.
pub(super) fn list(items: &[&str]) -> String {
    let quoted: Vec<String> = items.iter().map(|it| format!("`{it}`")).collect();
    match &quoted[..] {
        [] => String::new(),
        [one] => one.clone(),
        [a, b] => format!("{a} and {b}"),
        [a, b, c] => format!("{a}, {b} and {c}"),
        [a, b, rest @ ..] => format!("{a}, {b} and {} more", rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::COPY_BEFORE_INSTALL as RULE;
    use crate::rules::testing::{check, check_fix};

    #[test]
    fn whole_context_before_install() {
        check_fix(
            &RULE,
            r#"
#- .dockerignore
node_modules
#- package.json
{"name": "app"}
#- package-lock.json
{"lockfileVersion": 3}
#- Dockerfile
FROM node:22.11
WORKDIR /app
# Sources.
COPY . .
^^^^^^^^ warning: any change to the build context runs `npm ci` again
# Dependencies.
RUN npm ci
^^^^^^^^^^ note: `npm ci` runs again
CMD ["node", "."]
"#,
            r#"
FROM node:22.11
WORKDIR /app
COPY package.json package-lock.json ./
# Dependencies.
RUN npm ci
# Sources.
COPY . .
CMD ["node", "."]
"#,
        );
    }

    #[test]
    fn an_opaque_command_in_between_blocks_the_fix() {
        check(
            &RULE,
            r#"
#- .dockerignore
node_modules
#- package.json
{"name": "app"}
#- package-lock.json
{"lockfileVersion": 3}
#- Dockerfile
FROM node:22.11
WORKDIR /app
COPY . .
^^^^^^^^ warning: any change to the build context runs `npm ci` again
RUN ./generate-manifest.sh
    ^^^^^^^^^^^^^^^^^^^^^^ note: no fix: `./generate-manifest.sh` is not known, and may read or write anything
RUN npm ci
^^^^^^^^^^ note: `npm ci` runs again
"#,
        );
    }
}
