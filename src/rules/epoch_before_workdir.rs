use super::volatile_arg_before_run::command;
use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::plan::Plan;
use crate::dockerfile::{Frontend, Kind};
use crate::edit::Span;
use crate::value::Value;
use crate::view::{DockerfileView, StepView, View, WorkflowView, display};
use crate::volatility::{Cost, Volatility};
use crate::workflow::{Event, Step, Variable};

declare_rule! {
    /// A time that changes on every commit makes another layer of every WORKDIR.
    ///
    /// The builder gives the folder that `WORKDIR` makes the time of `SOURCE_DATE_EPOCH`, since version
    /// 1.16 of Docker's front end. Another value makes another layer, and everything below it runs
    /// again. Set it where a release is built and nowhere else, or put `WORKDIR` below what costs.
    ///
    /// ```yaml,bad
    /// #- Dockerfile
    /// FROM node:22.11-slim
    /// WORKDIR /app
    /// COPY package.json package-lock.json ./
    /// RUN npm ci
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - id: commit
    ///         run: echo "time=$(git log -1 --pretty=%ct)" >> "$GITHUB_OUTPUT"
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           context: .
    ///         env:
    ///           SOURCE_DATE_EPOCH: ${{ steps.commit.outputs.time }}
    /// ```
    ///
    /// ```yaml,good
    /// #- Dockerfile
    /// FROM node:22.11-slim
    /// WORKDIR /app
    /// COPY package.json package-lock.json ./
    /// RUN npm ci
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           context: .
    ///         env:
    ///           SOURCE_DATE_EPOCH: 0
    /// ```
    ///
    /// A fixed time is harmless, and so is `WORKDIR /`, which makes no folder. Workflows that only
    /// releases start, and steps that only run for them, are left alone.
    ///
    /// ## Fix safety
    ///
    /// There is no fix: where `WORKDIR` stands decides on relative paths and on owners.
    pub(crate) static EPOCH_BEFORE_WORKDIR = {
        name: "epoch-before-workdir",
        level: Level::Warning,
        fixes: false,
        check: Check::Workflow(check),
    }
}

const NAME: &str = "SOURCE_DATE_EPOCH";

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    if view.runs_on_tags_only() || view.triggers().iter().all(|it| matches!(it.1.event, Event::Release | Event::Schedule)) {
        return;
    }
    let mut reported: Vec<Span> = Vec::new();
    for step in view.builds.iter().filter(|it| !it.build.dry) {
        let Some(epoch) = epoch(view, step).filter(|it| !reported.contains(it)) else { continue };
        let Some(path) = step.dockerfile() else { continue };
        if view.dockerfile(path).is_none() || is_for_releases(step) {
            continue;
        }
        let Some(View::Dockerfile(dockerfile)) = View::new(view.snapshot, path, findings.config()) else { continue };
        let Some((plan, workdir, victim)) = victim(&dockerfile) else { continue };
        reported.push(epoch);
        let name = display(view.snapshot, path);
        let message = format!("every new `{NAME}` makes another layer of `WORKDIR` in `{name}`, and runs {} again", command(&plan.steps[victim]));
        findings.report(epoch, message).note_in(dockerfile.path.clone(), plan.steps[workdir].instruction.span, "the folder that is made here gets this time");
    }
}

/// Where the time of a build is set, if it is another one on every commit or run: as an argument, in
/// the environment, or by a script for the steps that follow.
fn epoch(view: &WorkflowView<'_>, step: &StepView<'_>) -> Option<Span> {
    if let Some(argument) = step.build.arguments.iter().rev().find(|it| it.name == NAME) {
        return argument.value.as_ref().filter(|it| changes(it)).map(|_| argument.span);
    }
    let own: &[Variable] = step.job.steps.get(step.step.step).map_or(&[], |it| &it.env);
    let set = |it: &[Variable]| it.iter().find(|it| it.name == NAME).map(|it| (it.value.clone(), it.value.span));
    if let Some((value, span)) = set(own) {
        return changes(&value).then_some(span);
    }
    let exported = step.job.before(step.step.step).iter().rev().find_map(exports);
    if exported.is_some() {
        return exported;
    }
    let (value, span) = set(&step.job.env).or_else(|| set(&view.workflow.env))?;
    changes(&value).then_some(span)
}

/// A value that an expression gives: the time of a commit or a run has no other use.
fn changes(value: &Value) -> bool {
    let variance = value.variance();
    variance.is_per_commit() || variance.is_unknown()
}

/// The command of a script that sets the time of the last commit for the steps that follow.
fn exports(step: &Step) -> Option<Span> {
    let run = step.run.as_ref()?;
    let sets = |it: &&crate::shell::Command| {
        let to_environment = it.redirects.iter().any(|it| it.target.variables.iter().any(|it| it == "GITHUB_ENV"));
        to_environment && it.words.iter().any(|it| it.text.starts_with("SOURCE_DATE_EPOCH=") && (it.computed || !it.variables.is_empty()))
    };
    run.script.commands.iter().find(sets).map(|it| run.passage.source(it.span))
}

/// Whether the job or the step only runs for releases, as far as its condition shows.
fn is_for_releases(step: &StepView<'_>) -> bool {
    let own = step.job.steps.get(step.step.step).and_then(|it| it.condition.as_ref());
    let conditions = step.job.condition.iter().chain(own);
    conditions.map(Value::pattern).any(|it| it.contains("refs/tags") || it.contains("release") || it.contains("ref_type"))
}

/// The first WORKDIR that makes a folder above a command that costs, with that command.
fn victim<'v, 'a>(dockerfile: &'v DockerfileView<'a>) -> Option<(&'v Plan<'a>, usize, usize)> {
    if !sets_times(&dockerfile.dockerfile.frontend) {
        return None;
    }
    dockerfile.plans().find_map(|plan| {
        let makes = |path: &str| path.trim_matches(['"', '\'']) != "/";
        let workdir = plan.steps.iter().position(|it| matches!(&it.instruction.kind, Kind::Workdir(path) if makes(path)))?;
        let above = plan.volatilities_above();
        let costs = |index: &usize| {
            let step = &plan.steps[*index];
            // What the sources run again anyway loses nothing more.
            matches!(step.instruction.kind, Kind::Run(_)) && step.cost >= Cost::Download && above[*index] < Volatility::Often
        };
        let victim = (workdir + 1..plan.steps.len()).find(costs)?;
        Some((plan, workdir, victim))
    })
}

/// Whether the front end gives folders that time.
fn sets_times(frontend: &Frontend) -> bool {
    match frontend {
        Frontend::Builtin => true,
        Frontend::Foreign => false,
        Frontend::Docker(tag) => {
            let mut numbers = tag.split(['.', '-']).map(|it| it.parse::<u32>().ok());
            match (numbers.next().flatten(), numbers.next().flatten()) {
                (Some(1), Some(minor)) => minor >= 16,
                (Some(_), _) => true,
                (None, _) => tag == "latest" || tag == "labs",
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::EPOCH_BEFORE_WORKDIR as RULE;
    use crate::rules::testing::check;

    const DOCKERFILE: &str = "FROM alpine:3.20\nWORKDIR /app\nRUN apk add git\n";

    fn workflow(on: &str, rest: &str) -> String {
        format!("#- .github/workflows/ci.yml\non: {on}\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n{rest}")
    }

    #[test]
    fn the_time_of_a_run_is_passed() {
        check(
            &RULE,
            "
#- Dockerfile
FROM alpine:3.20
WORKDIR /app
^^^^^^^^^^^^ note: the folder that is made here gets this time
RUN apk add git
#- .github/workflows/ci.yml
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: docker/build-push-action@v7
        with:
          context: .
          build-args: SOURCE_DATE_EPOCH=${{ github.event.head_commit.timestamp }}
                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: every new `SOURCE_DATE_EPOCH` makes another layer of `WORKDIR` in `Dockerfile`, and runs `apk add` again
",
        );
    }

    #[test]
    fn a_script_sets_it_for_later_steps() {
        check(
            &RULE,
            "
#- Dockerfile
FROM alpine:3.20
WORKDIR /app
^^^^^^^^^^^^ note: the folder that is made here gets this time
RUN apk add git
#- .github/workflows/ci.yml
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: echo SOURCE_DATE_EPOCH=$(git log -1 --pretty=%ct) >> $GITHUB_ENV
             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: every new `SOURCE_DATE_EPOCH` makes another layer of `WORKDIR` in `Dockerfile`, and runs `apk add` again
      - uses: docker/build-push-action@v7
        with:
          context: .
",
        );
    }

    fn with_env(value: &str) -> String {
        workflow(
            "push",
            &format!("      - uses: docker/build-push-action@v7\n        env: {{SOURCE_DATE_EPOCH: {value}}}\n        with:\n          context: .\n"),
        )
    }

    #[test]
    fn a_fixed_time_is_harmless() {
        for value in ["0", "1700000000"] {
            check(&RULE, &format!("#- Dockerfile\n{DOCKERFILE}{}", with_env(value)));
        }
    }

    #[test]
    fn what_makes_no_folder_or_costs_nothing_is_silent() {
        for dockerfile in [
            "FROM alpine:3.20\nWORKDIR /\nRUN apk add git\n",
            "FROM alpine:3.20\nRUN apk add git\nWORKDIR /app\n",
            "FROM alpine:3.20\nWORKDIR /app\nCOPY . .\nRUN make\n",
            "# syntax=docker/dockerfile:1.15\nFROM alpine:3.20\nWORKDIR /app\nRUN apk add git\n",
        ] {
            check(&RULE, &format!("#- Dockerfile\n{dockerfile}{}", with_env("${{ github.run_id }}")));
        }
    }

    #[test]
    fn releases_are_built_with_their_time() {
        let step = "      - uses: docker/build-push-action@v7\n        env: {SOURCE_DATE_EPOCH: '${{ github.run_id }}'}\n        with:\n          context: .\n";
        check(&RULE, &format!("#- Dockerfile\n{DOCKERFILE}{}", workflow("{push: {tags: ['v*']}}", step)));
        check(&RULE, &format!("#- Dockerfile\n{DOCKERFILE}{}", workflow("release", step)));
        let conditional = step.replace("        env:", "        if: startsWith(github.ref, 'refs/tags/')\n        env:");
        check(&RULE, &format!("#- Dockerfile\n{DOCKERFILE}{}", workflow("push", &conditional)));
    }

    #[test]
    fn a_build_without_it_is_silent() {
        check(
            &RULE,
            &format!(
                "#- Dockerfile\n{DOCKERFILE}{}",
                workflow(
                    "push",
                    "      - run: echo A=$(date) >> $GITHUB_ENV\n      - uses: docker/build-push-action@v7\n        with:\n          context: .\n"
                )
            ),
        );
    }
}
