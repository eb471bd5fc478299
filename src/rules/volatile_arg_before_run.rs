use super::frozen_command_output::fetches;
use super::unused_arg::{FetchesAgain, is_to_fetch_again};
use super::{Check, Findings, declare_rule};
use crate::diagnostic::{Fix, Level};
use crate::dockerfile::context::{Origin, Passed};
use crate::dockerfile::key::{ArgumentVolatility, argument_volatility, is_moment_name, is_volatile_name};
use crate::dockerfile::moves::{Move, Refusal};
use crate::dockerfile::plan::{Plan, Step, has_word};
use crate::dockerfile::{Kind, Variable};
use crate::ecosystem::{self, Action};
use crate::edit::Span;
use crate::effects::Place;
use crate::facts;
use crate::file;
use crate::value::Value;
use crate::view::{DockerfileView, View, WorkflowView};
use crate::volatility::{Axis, Cost, Variance, Volatility};
use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::sync::Arc;

declare_rule! {
    /// A build argument that changes on every commit stands above instructions that do not use it.
    ///
    /// A build argument with a value is a part of the environment of every later `RUN`, and so of
    /// its cache key, whether the command reads it or not. A commit hash or a date at the top of a
    /// stage makes all of them run again each time. Declare it directly above its first use.
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
    /// ARG GIT_SHA
    /// WORKDIR /app
    /// COPY package.json package-lock.json ./
    /// RUN npm ci
    /// RUN echo $GIT_SHA > version
    /// ```
    ///
    /// ```dockerfile,fixed
    /// FROM node:22.11-slim
    /// WORKDIR /app
    /// COPY package.json package-lock.json ./
    /// RUN npm ci
    /// ARG GIT_SHA
    /// RUN echo $GIT_SHA > version
    /// ```
    ///
    /// The values that workflows pass decide, where they are known: an argument is volatile if a
    /// workflow passes `${{ github.sha }}`, the date or the number of the run, whatever its name,
    /// and is not if every workflow passes a fixed value. What a reusable workflow or a composite action makes
    /// of an input varies with what its calls in the repository give. Otherwise its name decides. A date above
    /// `curl`, `wget` or `git clone` is left alone: it may be there to load again what has no version.
    ///
    /// ```dockerfile,good
    /// FROM debian:12.9-slim
    /// ARG NODE_VERSION=22.11.0
    /// RUN apt-get update && apt-get install -y curl
    /// RUN curl -fsSLO https://nodejs.org/dist/v$NODE_VERSION/SHASUMS256.txt
    /// ```
    ///
    /// Where a workflow passes the value, it is an information there as well, in one place however many
    /// pass it. It is an information only where no known build finds layers of an earlier one, and where
    /// no known build passes the argument.
    ///
    /// An argument that names a moment and that no instruction names, above a command that fetches, is
    /// there to fetch anew and is left alone; but not above an install that a lockfile pins, which
    /// fetches the same again.
    ///
    /// ## Fix safety
    ///
    /// The argument moves down, with the `ENV` and `LABEL` lines that are made of it, only past
    /// commands that are known not to read it. The history of the image, and so its id, changes
    /// once; its files and configuration stay the same.
    pub(crate) static VOLATILE_ARG_BEFORE_RUN = {
        name: "volatile-arg-before-run",
        level: Level::Warning,
        fixes: true,
        check: Check::Both(check, check_workflow),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    for plan in view.plans() {
        for group in groups(view, plan) {
            let (first, victims) = (&group.members[0], &group.victims);
            let message = format!("every new value of {} runs {} again, which {} not use it", group.names(), victims.commands(plan), victims.do_or_does());
            let mut finding = findings.report(first.variable.span, message).level(group.level);
            for member in &group.members[1..] {
                finding = finding.note(member.variable.span, format!("`{}` is declared here", member.variable.name));
            }
            for passed in group.members.iter().filter_map(|it| it.cause) {
                finding = finding.note_in(
                    passed.path.clone(),
                    passed.span,
                    format!("`{}` is another on {}{}", passed.text, axes(passed), passed.origin.as_ref().map(Origin::as_called).unwrap_or_default()),
                );
                if let Some(origin) = &passed.origin {
                    finding = finding.note_in(origin.path.clone(), origin.span, origin.note());
                }
            }
            finding = finding.note(plan.steps[victims.steps[0]].instruction.span, format!("{} runs again", command(&plan.steps[victims.steps[0]])));
            drop(match fix(view, plan, &group) {
                Ok(fix) => finding.fix(fix),
                Err(refusal) => finding.refused(&refusal),
            });
        }
    }
}

/// Volatile arguments of a stage that make the same commands run again: one cause, told once.
struct Group<'p> {
    /// In order; never empty.
    members: Vec<Member<'p>>,
    victims: Victims,
    level: Level,
}

/// A volatile argument where it is declared.
struct Member<'p> {
    index: usize,
    variable: &'p Variable,
    /// The build that passes what is volatile; `None` where the name says so.
    cause: Option<&'p Passed>,
}

impl Group<'_> {
    /// The names, for a message.
    fn names(&self) -> String {
        let names: Vec<String> = self.members.iter().map(|it| format!("`{}`", it.variable.name)).collect();
        match names.split_last() {
            Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
            _ => names.concat(),
        }
    }
}

/// The volatile arguments of a stage that make commands run again for nothing.
fn groups<'p>(view: &DockerfileView<'_>, plan: &'p Plan<'_>) -> Vec<Group<'p>> {
    let mut res: Vec<Group<'p>> = Vec::new();
    for (index, step) in plan.own() {
        let Kind::Arg(variables) = &step.instruction.kind else { continue };
        for variable in variables {
            let Some(cause) = volatile_argument(plan, index, variable) else { continue };
            let victims = victims(view, plan, index, &variable.name);
            // A name alone says little once an ENV takes the value: that is the place to report.
            let taken = cause.is_none() && victims.taken_by.is_some();
            if victims.steps.is_empty() || taken {
                continue;
            }
            let level = level(view, &variable.name, cause);
            let member = Member { index, variable, cause };
            let is_same = |it: &&mut Group<'_>| it.victims.steps == victims.steps && it.victims.end == victims.end && it.level == level;
            match res.iter_mut().find(is_same) {
                Some(group) => group.members.push(member),
                None => res.push(Group { members: vec![member], victims, level }),
            }
        }
    }
    res
}

/// How much it matters: a build that finds no layers of earlier ones loses none, and what no known build
/// passes is volatile by its name alone.
fn level(view: &DockerfileView<'_>, name: &str, cause: Option<&Passed>) -> Level {
    let is_passed = || view.callers.iter().any(|it| it.build.build.opaque || it.build.build.arguments.iter().any(|it| it.name == name));
    match cause {
        Some(passed) if !passed.cached => Level::Info,
        None if !view.callers.is_empty() && !is_passed() => Level::Info,
        _ => Level::Warning,
    }
}

/// More Dockerfiles of one step are not looked at.
const MAX_DOCKERFILES: usize = 5;

/// The same finding where the value comes from: once for each cause, at the first place of all workflows
/// that have a share in it. It matters less there, where nothing can be mended.
fn check_workflow(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    let mut reported: Vec<Span> = Vec::new();
    let mut seen = BTreeSet::new();
    let sites = LazyCell::new(|| view.sites());
    for step in &view.builds {
        let is_volatile = |it: &Value| it.variance().is_per_commit() || sites.iter().any(|site| site.origin(it, Variance::is_per_commit).is_some());
        let has_volatile = step.build.arguments.iter().filter_map(|it| it.value.as_ref()).any(is_volatile);
        if !has_volatile || step.build.dry || step.build.no_cache || step.described.starts_empty() {
            continue;
        }
        let paths: BTreeSet<&String> = step.places.iter().filter_map(|it| it.dockerfile.as_ref()).collect();
        for path in paths.into_iter().take(MAX_DOCKERFILES) {
            // All that pass to it are looked at together.
            if view.dockerfile(path).is_none() || !seen.insert(path) {
                continue;
            }
            let Some(View::Dockerfile(dockerfile)) = View::new(view.snapshot, path, findings.config()) else { continue };
            for plan in dockerfile.plans() {
                for group in groups(&dockerfile, plan).iter().filter(|it| it.level == Level::Warning) {
                    report_cause(view, &dockerfile, plan, group, &mut reported, findings);
                }
            }
        }
    }
}

/// Reports a cause in a workflow, if it is the first that has a share in it.
fn report_cause(
    view: &WorkflowView<'_>,
    dockerfile: &DockerfileView<'_>,
    plan: &Plan<'_>,
    group: &Group<'_>,
    reported: &mut Vec<Span>,
    findings: &mut Findings<'_>,
) {
    let passed: Vec<(&Member<'_>, &Passed)> =
        group.members.iter().flat_map(|it| causes(dockerfile, &it.variable.name).map(move |passed| (it, passed))).collect();
    let place = |it: &Passed| (it.path.clone(), it.span);
    let Some((first, at)) = passed.iter().min_by_key(|it| place(it.1)).filter(|it| *it.1.path == *view.path) else { return };
    if reported.contains(&at.span) {
        return;
    }
    reported.push(at.span);
    let victims = &group.victims;
    let file = relative_name(view, &dockerfile.path);
    let name = &first.variable.name;
    let message = format!("every new value of `{name}` runs {} of `{file}` again, which {} not use it", victims.commands(plan), victims.do_or_does());
    let mut finding = findings.report(at.span, message).level(Level::Info);
    finding = finding.note_in(dockerfile.path.clone(), first.variable.span, "the argument is declared here");
    if let Some(origin) = &at.origin {
        finding = finding.note_in(origin.path.clone(), origin.span, origin.note());
    }
    let mut others: Vec<(Arc<str>, Span)> = passed.iter().map(|it| place(it.1)).filter(|it| *it != place(at)).collect();
    others.sort();
    others.dedup();
    for (path, span) in others.into_iter().take(MAX_NOTES) {
        finding = finding.note_in(path, span, "so does this");
    }
    drop(match fix(dockerfile, plan, group) {
        Ok(fix) => finding.fix(fix),
        Err(refusal) => finding.note_in(dockerfile.path.clone(), refusal.span, format!("no fix: {}", refusal.reason)),
    });
}

/// No more notes than somebody reads.
const MAX_NOTES: usize = 5;

/// The places in workflows that pass an argument what is another on every commit, to builds that find
/// layers of earlier ones.
fn causes<'v>(dockerfile: &'v DockerfileView<'_>, name: &str) -> impl Iterator<Item = &'v Passed> + use<'v> {
    let is_cause = |it: &&Passed| it.cached && it.variance.is_per_commit() && matches!(file::Kind::of(&it.path), file::Kind::Workflow | file::Kind::Action);
    dockerfile.context().passed(name).filter(is_cause).collect::<Vec<_>>().into_iter()
}

fn relative_name<'p>(view: &WorkflowView<'_>, path: &'p str) -> &'p str {
    facts::relative(path, crate::links::base(&view.path)).unwrap_or_else(|| facts::name(path))
}

/// Whether an argument is volatile: `Some` with the build that says so, or with nothing where its
/// name does.
fn volatile_argument<'p>(plan: &'p Plan<'_>, index: usize, variable: &Variable) -> Option<Option<&'p Passed>> {
    let name = &variable.name;
    // An argument that a base stage declared already is in the key all the same.
    let inherited = plan.steps[..index].iter().any(|it| matches!(&it.instruction.kind, Kind::Arg(variables) if variables.iter().any(|it| it.name == *name)));
    if inherited {
        return None;
    }
    match argument_volatility(&plan.context, name, plan.dockerfile.default_of(variable).as_deref()) {
        ArgumentVolatility::Quiet => None,
        ArgumentVolatility::Passed(passed) => Some(Some(passed)),
        ArgumentVolatility::Named => Some(None),
    }
}

fn axes(passed: &Passed) -> &'static str {
    match &passed.variance {
        it if it.has(&Axis::Commit) => "every commit",
        it if it.has(&Axis::Run) => "every run",
        _ => "every day",
    }
}

fn fix(view: &DockerfileView<'_>, plan: &Plan<'_>, group: &Group<'_>) -> Result<Fix, Refusal> {
    let mut indices: Vec<usize> = group.members.iter().map(|it| it.index).collect();
    indices.dedup();
    let proven = sink_all_as_far_as_proven(view, plan, &indices, &group.victims)?;
    let title = if indices.len() == 1 { "Declare it below what does not use it" } else { "Declare them below what does not use them" };
    Ok(view.reordering(title, proven))
}

/// Sinks to above the first use, or else past as many of the victims as can be proven.
pub(super) fn sink_as_far_as_proven(view: &DockerfileView<'_>, plan: &Plan<'_>, index: usize, victims: &Victims) -> Result<Move, Refusal> {
    sink_all_as_far_as_proven(view, plan, &[index], victims)
}

/// The same for several instructions, of which the first is the topmost; none is below the first victim.
fn sink_all_as_far_as_proven(view: &DockerfileView<'_>, plan: &Plan<'_>, indices: &[usize], victims: &Victims) -> Result<Move, Refusal> {
    let mut refused = None;
    let first = victims.steps[0];
    let (index, others) = (indices[0], &indices[1..]);
    for below in (first + 1..=victims.end).rev() {
        let after_victim = victims.steps.contains(&(below - 1));
        if below != victims.end && !after_victim {
            continue;
        }
        match view.prove(plan.stage, |it| it.sink_all(&view.source, index, others, below)) {
            Ok(proven) => return Ok(proven),
            Err(refusal) => refused = Some(refusal),
        }
    }
    Err(refused.unwrap_or_else(|| Refusal::at(plan.steps[first].instruction.span, "nothing stands between the two")))
}

/// The commands that an argument makes run again for nothing. One that is there to fetch again does so on
/// purpose, but for installs that a lockfile pins: they fetch what they fetched.
fn victims(view: &DockerfileView<'_>, plan: &Plan<'_>, index: usize, name: &str) -> Victims {
    let victims = Victims::of(plan, index, name);
    match is_to_fetch_again(view, plan, index, name) {
        Some(FetchesAgain::Cache) => Victims { steps: Vec::new(), ..victims },
        Some(FetchesAgain::Moment) => victims.only_pinned(plan, index),
        None => victims,
    }
}

/// The commands that a variable makes run again for nothing.
pub(super) struct Victims {
    /// Their places in the plan.
    pub(super) steps: Vec<usize>,
    /// The first instruction that cannot do without the variable, or the end of the stage's
    /// building instructions.
    pub(super) end: usize,
    /// The first ENV above all victims that takes the value.
    pub(super) taken_by: Option<usize>,
}

impl Victims {
    /// The commands below `index` that do not use `name`, nor a variable that is made of it, up to
    /// the first instruction that does.
    pub(super) fn of(plan: &Plan<'_>, index: usize, name: &str) -> Victims {
        // What an ENV takes is known to be a commit or a moment by what it is made of.
        let of_commit = is_volatile_name(name) || matches!(plan.steps[index].instruction.kind, Kind::Env(_));
        let mut names = vec![name.to_owned()];
        let mut res = Victims { steps: Vec::new(), end: index + 1, taken_by: None };
        let above = plan.volatilities_above();
        let mut used_above = false;
        for (later, step) in plan.steps.iter().enumerate().skip(index + 1).filter(|(_, it)| it.stage == plan.steps[index].stage) {
            let expands = step.instruction.expansions.iter().any(|it| names.contains(&it.name));
            match &step.instruction.kind {
                Kind::Env(variables) | Kind::Arg(variables) if expands => {
                    names.extend(variables.iter().map(|it| it.name.clone()));
                    let is_env = matches!(step.instruction.kind, Kind::Env(_));
                    if is_env && res.steps.is_empty() && res.taken_by.is_none() {
                        res.taken_by = Some(later);
                    }
                    continue;
                }
                Kind::Env(_) | Kind::Arg(_) | Kind::Label(_) | Kind::Config { .. } => continue,
                _ if expands => {
                    res.end = later;
                    return res;
                }
                Kind::Run(run) => {
                    // A new moment may be there to load again what has no version.
                    if uses(step, &names) || (is_moment_name(name) && run.script.fetches()) {
                        res.end = later;
                        return res;
                    }
                    // What runs again on every change of the sources loses nothing more.
                    if above[later] < Volatility::Often {
                        let cannot = cannot_use(plan, later, of_commit);
                        if step.cost >= Cost::Download && cannot && !(used_above && is_unknown(step)) {
                            res.steps.push(later);
                        }
                        used_above |= !cannot;
                    }
                }
                _ => {}
            }
            res.end = later + 1;
        }
        res
    }

    /// Those of them that take what a lockfile pins, up to the first command that may fetch anything else.
    fn only_pinned(mut self, plan: &Plan<'_>, index: usize) -> Victims {
        let fetches = |step: &Step<'_>| matches!(&step.instruction.kind, Kind::Run(run) if step.cost >= Cost::Download || fetches(run)) && !is_pinned(step);
        let stop = plan.steps.iter().enumerate().skip(index + 1).find(|(_, it)| fetches(it)).map_or(plan.steps.len(), |it| it.0);
        self.end = self.end.min(stop);
        self.steps.retain(|it| *it < stop);
        self
    }

    /// The first command and how many more, for a message.
    pub(super) fn commands(&self, plan: &Plan<'_>) -> String {
        let first = command(&plan.steps[self.steps[0]]);
        match self.steps.len() {
            1 => first,
            n => format!("{first} and {} more", n - 1),
        }
    }

    /// The verb that goes with [`Victims::commands`].
    pub(super) fn do_or_does(&self) -> &'static str {
        if self.steps.len() == 1 { "does" } else { "do" }
    }
}

/// Whether a RUN installs what a lockfile says, and does nothing else that is not known.
fn is_pinned(step: &Step<'_>) -> bool {
    let is_locked = |it: &ecosystem::Step| {
        let lockfiles = ecosystem::ecosystem(it.manager).lockfiles;
        it.action == Action::InstallDependencies && it.frozen && step.needs.files.iter().any(|it| lockfiles.contains(&facts::name(it)))
    };
    step.obstacle.is_none() && step.installs.iter().any(is_locked) && step.installs.iter().filter(|it| it.installs()).all(is_locked)
}

/// What a RUN is called in a message.
pub(super) fn command(step: &Step<'_>) -> String {
    step.display()
}

/// Whether a RUN uses one of the variables, as far as can be seen: known commands by what they
/// read, others by their text.
pub(super) fn uses(step: &Step<'_>, names: &[String]) -> bool {
    let Kind::Run(run) = &step.instruction.kind else { return false };
    let reads = step.effects.reads.iter().any(|it| matches!(it, Place::Env(name) if names.contains(name)));
    let in_mounts =
        run.mounts.iter().any(|mount| mount.fields.iter().filter_map(|it| it.value.as_ref()).any(|value| names.iter().any(|it| has_word(&value.text, it))));
    reads || in_mounts || names.iter().any(|it| has_word(&run.command.text, it))
}

/// Whether a RUN that does not name a variable can be told not to use it: all its commands are
/// known, or it names a commit or a moment and there is nothing of the project in the image yet that
/// could read it. Tools do read tokens and settings that nothing names.
fn cannot_use(plan: &Plan<'_>, index: usize, of_commit: bool) -> bool {
    let step = &plan.steps[index];
    let files_before = plan.steps[..index].iter().any(|it| matches!(&it.instruction.kind, Kind::Copy(copy) if copy.from_context()));
    let Kind::Run(run) = &step.instruction.kind else { return false };
    let bound = run.mounts.iter().any(|it| it.kind() == "bind");
    !is_unknown(step) || (!files_before && !bound && of_commit)
}

/// Whether a command may read anything: also what a command above made of the variable, as a linter does
/// that looks at the result of the script before it.
fn is_unknown(step: &Step<'_>) -> bool {
    step.effects.reads.contains(&Place::Anything)
}

#[cfg(test)]
mod tests {
    use super::VOLATILE_ARG_BEFORE_RUN as RULE;
    use crate::rules::testing::{check, check_fix, marked};

    #[test]
    fn the_name_of_a_moment_may_be_one_word() {
        check_fix(
            &RULE,
            "
FROM debian:12.9
ARG BUILD_DATETIME
    ^^^^^^^^^^^^^^ warning: every new value of `BUILD_DATETIME` runs `apt-get install` again, which does not use it
LABEL org.opencontainers.image.created=$BUILD_DATETIME
RUN apt-get update && apt-get install -y jq
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apt-get install` runs again
",
            "
FROM debian:12.9
RUN apt-get update && apt-get install -y jq
ARG BUILD_DATETIME
LABEL org.opencontainers.image.created=$BUILD_DATETIME
",
        );
        // It may be there to fetch anew.
        check(&RULE, "FROM debian:12.9\nARG BUILD_DATETIME\nRUN wget -q https://example.org/nightly.tar -O - | tar -x\n");
    }

    #[test]
    fn labels_go_along() {
        check_fix(
            &RULE,
            r#"
FROM alpine:3.20
# The commit.
ARG VCS_REF=unknown
    ^^^^^^^^^^^^^^^ warning: every new value of `VCS_REF` runs `apk add` again, which does not use it
LABEL org.opencontainers.image.revision=$VCS_REF
RUN apk add --no-cache git
^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apk add` runs again
CMD ["git"]
"#,
            r#"
FROM alpine:3.20
RUN apk add --no-cache git
# The commit.
ARG VCS_REF=unknown
LABEL org.opencontainers.image.revision=$VCS_REF
CMD ["git"]
"#,
        );
    }

    #[test]
    fn a_moment_above_a_fetch_goes_below_what_a_lockfile_pins() {
        check_fix(
            &RULE,
            r#"
#- package.json
{"name": "app"}
#- package-lock.json
{"lockfileVersion": 3}
#- Dockerfile
FROM node:22.11
ARG BUILD_DATE
    ^^^^^^^^^^ warning: every new value of `BUILD_DATE` runs `npm ci` again, which does not use it
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
^^^^^^^^^^ note: `npm ci` runs again
RUN git clone https://example.org/data.git /data
"#,
            r#"
FROM node:22.11
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
ARG BUILD_DATE
RUN git clone https://example.org/data.git /data
"#,
        );
    }

    #[test]
    fn a_moment_that_nobody_names_stays_above_what_is_not_pinned() {
        let files = "#- package.json\n{}\n#- package-lock.json\n{}\n#- requirements.txt\na\n#- Dockerfile\nFROM node:22.11\nARG BUILD_DATE\nWORKDIR /app\n";
        let fetch = "RUN git clone https://example.org/data.git /data\n";
        check(&RULE, &format!("{files}RUN apt-get update && apt-get install -y git\n{fetch}"));
        check(&RULE, &format!("{files}COPY requirements.txt ./\nRUN pip install -r requirements.txt\n{fetch}"));
        check(&RULE, &format!("{files}COPY package.json ./\nRUN npm install\n{fetch}"));
        check(&RULE, &format!("{files}{fetch}COPY package*.json ./\nRUN npm ci\n"));
        check(&RULE, &format!("{files}RUN npm install -g typescript\nCOPY package*.json ./\nRUN npm ci\n{fetch}"));
        let buster = files.replace("BUILD_DATE", "CACHE_BUST_TIME");
        check(&RULE, &format!("{buster}COPY package*.json ./\nRUN npm ci\n{fetch}"));
    }

    #[test]
    fn an_argument_that_is_used_at_once_is_silent() {
        check(&RULE, "FROM alpine:3.20\nARG GIT_SHA\nRUN echo $GIT_SHA > /v\nRUN apk add --no-cache git\n");
    }

    #[test]
    fn what_follows_the_sources_runs_again_anyway() {
        check(&RULE, "FROM alpine:3.20\nARG GIT_SHA\nCOPY . /src\nRUN apk add --no-cache git\nRUN echo $GIT_SHA\n");
    }

    #[test]
    fn a_script_of_the_project_may_read_it() {
        check(&RULE, "FROM alpine:3.20\nARG GIT_SHA\nCOPY build.sh /\nRUN /build.sh\n");
    }

    #[test]
    fn a_build_without_cache_loses_nothing() {
        let workflow = "#- .github/workflows/ci.yml\non: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n      - uses: docker/build-push-action@v6\n        with:\n          context: .\n          no-cache: true\n          build-args: REF=${{ github.sha }}\n";
        check(&RULE, &format!("{workflow}#- Dockerfile\nFROM alpine:3.20\nARG REF\nRUN apk add --no-cache git\nRUN echo $REF\n"));
    }

    /// A workflow that passes the commit as `REF`, and has more inputs.
    fn passing(name: &str, with: &str) -> String {
        format!(
            "#- .github/workflows/{name}.yml\non: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: docker/setup-buildx-action@v4\n      - uses: docker/build-push-action@v7\n        with:\n          context: .\n          build-args: REF=${{{{ github.sha }}}}\n{with}"
        )
    }

    const CACHE: &str = "          cache-from: type=gha\n";
    const PASSED: &str = "#- Dockerfile\nFROM alpine:3.20\nARG REF\nRUN apk add --no-cache git\nRUN echo $REF\n";
    const IN_WORKFLOW: &str = "info: every new value of `REF` runs `apk add` of `Dockerfile` again, which does not use it";
    const ARGUMENT: &str = "REF=${{ github.sha }}";

    /// What is found in the Dockerfile, the note at the workflow left out.
    fn in_dockerfile(level: &str, note: &str) -> String {
        let text =
            PASSED.replace("ARG REF\n", &format!("ARG REF\n    ^^^ {level}: every new value of `REF` runs `apk add` again, which does not use it\n{note}"));
        text.replace("git\n", "git\n^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apk add` runs again\n")
    }

    #[test]
    fn what_several_workflows_pass_is_one_cause() {
        let declared = "    ^^^ note: the argument is declared here\n";
        let first = marked(&passing("a", CACHE), ARGUMENT, IN_WORKFLOW);
        let first = first.replace(
            &format!("{IN_WORKFLOW}\n"),
            &format!("{IN_WORKFLOW}\n                      ^^^^^^^^^^^^^^^^^^^^^ note: `${{{{ github.sha }}}}` is another on every commit\n"),
        );
        let second = marked(&passing("b", CACHE), ARGUMENT, "note: so does this");
        check(&RULE, &format!("{first}{second}{}{}", passing("c", ""), in_dockerfile("warning", declared)));
    }

    #[test]
    fn where_nothing_is_cached_little_is_lost() {
        let passing = marked(&passing("a", ""), ARGUMENT, "note: `${{ github.sha }}` is another on every commit");
        check(&RULE, &format!("{passing}{}", in_dockerfile("info", "")));
    }

    #[test]
    fn what_the_known_builds_do_not_pass_is_an_information() {
        let text = in_dockerfile("info", "").replace("REF", "GIT_SHA").replace("    ^^^ ", "    ^^^^^^^ ");
        check(&RULE, &format!("#- compose.yaml\nservices:\n  a:\n    build: .\n{text}"));
        let text = text.replace("info", "warning");
        check(&RULE, &text);
        check(&RULE, &format!("#- compose.yaml\nservices:\n  a:\n    build:\n      context: .\n      args: {{GIT_SHA: '${{GIT_SHA}}'}}\n{text}"));
    }

    #[test]
    fn arguments_that_cost_the_same_are_told_together() {
        check_fix(
            &RULE,
            "
FROM alpine:3.20
ARG REVISION
    ^^^^^^^^ warning: every new value of `REVISION` or `BUILD_NUMBER` runs `apk add` again, which does not use it
ENV A=b
ARG BUILD_NUMBER
    ^^^^^^^^^^^^ note: `BUILD_NUMBER` is declared here
RUN apk add --no-cache git
^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apk add` runs again
RUN make $REVISION $BUILD_NUMBER
",
            "
FROM alpine:3.20
ENV A=b
RUN apk add --no-cache git
ARG REVISION
ARG BUILD_NUMBER
RUN make $REVISION $BUILD_NUMBER
",
        );
    }

    #[test]
    fn an_argument_that_only_breaks_the_cache_is_left_alone() {
        let workflow = "#- .github/workflows/ci.yml\non: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n      - uses: docker/build-push-action@v6\n        with:\n          context: .\n          build-args: CACHE_BUSTER=${{ github.run_id }}\n";
        check(&RULE, &format!("{workflow}#- Dockerfile\nFROM debian:12.9\nARG CACHE_BUSTER\nRUN apt-get update && apt-get upgrade -y\n"));
    }

    #[test]
    fn a_tool_may_read_a_token_that_nothing_names() {
        let workflow = "#- .github/workflows/ci.yml\non: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n      - uses: docker/build-push-action@v6\n        with:\n          context: .\n          build-args: TOKEN=${{ github.run_id }}\n";
        check(&RULE, &format!("{workflow}#- Dockerfile\nFROM alpine:3.20\nARG TOKEN\nRUN fetch-packages a b c\n"));
    }

    #[test]
    fn the_install_is_what_is_named() {
        check(
            &RULE,
            "
FROM debian:12.9
ARG COMMIT
    ^^^^^^ warning: every new value of `COMMIT` runs `apt-get install` again, which does not use it
RUN apt-get update && apt-get install -y git && apt-get autoremove -y
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apt-get install` runs again
",
        );
    }

    #[test]
    fn a_deliberate_cache_buster_is_silent() {
        check(&RULE, "FROM alpine:3.20\nARG CACHEBUST=1\nRUN apk add --no-cache git\n");
    }

    #[test]
    fn a_moment_that_nothing_names_is_there_to_fetch_anew() {
        let workflow = "#- .github/workflows/ci.yml\non: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n      - uses: docker/build-push-action@v6\n        with:\n          context: .\n          build-args: TIMESTAMP=${{ github.run_id }}\n";
        check(
            &RULE,
            &format!(
                "{workflow}#- Dockerfile\nFROM alpine:3.20\nARG TIMESTAMP\nRUN wget -q https://example.org/nightly.tgz -O - | tar -xz -C /opt\nRUN mkdir /a\n"
            ),
        );
    }

    #[test]
    fn a_global_argument_that_no_stage_declares_is_silent() {
        check(&RULE, "ARG GIT_SHA\nFROM alpine:3.20\nRUN apk add --no-cache git\n");
    }

    #[test]
    fn plain_programs_read_no_commit() {
        check_fix(
            &RULE,
            "
FROM debian:12.9
ARG GIT_SHA
    ^^^^^^^ warning: every new value of `GIT_SHA` runs `wget -O- https://example.org/key | gpg -…` and 1 more again, which do not use it
RUN wget -O- https://example.org/key | gpg --dearmor > /usr/share/keyrings/a.gpg
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `wget -O- https://example.org/key | gpg -…` runs again
RUN apt-get update && apt-get install -y git
RUN make VERSION=$GIT_SHA
",
            "
FROM debian:12.9
RUN wget -O- https://example.org/key | gpg --dearmor > /usr/share/keyrings/a.gpg
RUN apt-get update && apt-get install -y git
ARG GIT_SHA
RUN make VERSION=$GIT_SHA
",
        );
    }

    #[test]
    fn a_moment_above_what_is_loaded_by_an_address_is_there_on_purpose() {
        check(&RULE, "FROM debian:12.9\nARG TIMESTAMP\nRUN wget -q https://example.org/nightly.tar -O - | tar -x\n");
        check(&RULE, "FROM debian:12.9\nARG BUILD_DATE\nRUN git clone https://example.org/a /a\nRUN make -C /a\n");
    }

    #[test]
    fn what_costs_nothing_is_no_loss() {
        check(&RULE, "FROM debian:12.9\nARG COMMIT_SHA\nRUN mkdir -p /a && useradd b && chown b /a\nRUN if [ -d /x ]; then sed -i s/a/b/ /x/y; fi\n");
    }

    #[test]
    fn what_is_built_of_the_sources_changes_as_they_do() {
        let build = "FROM node:22.11 AS build\nWORKDIR /app\nCOPY . .\nRUN npm run build\nFROM node:22.11\n";
        check(&RULE, &format!("{build}COPY --from=build /app/dist /app/dist\nARG GIT_SHA\nRUN corepack enable\n"));
        check(
            &RULE,
            &format!(
                "{build}{}",
                "COPY --from=build /app/node_modules /app/node_modules
ARG GIT_SHA
    ^^^^^^^ warning: every new value of `GIT_SHA` runs `corepack enable` again, which does not use it
RUN corepack enable
^^^^^^^^^^^^^^^^^^^ note: `corepack enable` runs again
"
            ),
        );
    }

    #[test]
    fn what_a_command_above_may_have_made_of_the_argument_is_silent() {
        let stage = "FROM scratch AS ctx\nCOPY build_files /build_files\nFROM quay.io/fedora/fedora-bootc:42\nARG GIT_SHA\n";
        let mounted = "RUN --mount=type=bind,from=ctx,source=/,target=/ctx /ctx/build_files/build.sh\n";
        check(&RULE, &format!("{stage}{mounted}RUN bootc container lint\n"));
        // What is known does not look at it.
        let found = "    ^^^^^^^ warning: every new value of `GIT_SHA` runs `dnf install` again, which does not use it\n";
        let crossed = format!("{}^^^^^^^^^^^^^^^^^^^^^^^^^ note: no fix: this mounts another stage, or writes to a mount\n", " ".repeat(52));
        let install = "RUN dnf install -y git\n^^^^^^^^^^^^^^^^^^^^^^ note: `dnf install` runs again\n";
        check(&RULE, &format!("{stage}{found}{mounted}{crossed}{install}"));
        check(
            &RULE,
            "
FROM quay.io/fedora/fedora-bootc:42
ARG GIT_SHA
    ^^^^^^^ warning: every new value of `GIT_SHA` runs `bootc container lint` again, which does not use it
RUN bootc container lint
^^^^^^^^^^^^^^^^^^^^^^^^ note: `bootc container lint` runs again
    ^^^^^^^^^^^^^^^^^^^^ note: no fix: `bootc` is not known, and may read or write anything
",
        );
    }

    #[test]
    fn settings_and_versions_take_no_time() {
        for command in [
            "npm config set cache /data/.npm --global",
            "yarn config set enableTelemetry false",
            "pnpm config set store-dir /pnpm",
            "pip config set global.index-url https://example.org/simple",
            "poetry config virtualenvs.create false",
            "git config --global --add safe.directory /app",
            "git config --system core.longpaths true && npm config set fund false",
            "npm --version",
        ] {
            check(&RULE, &format!("FROM node:22.11\nARG BUILD_DATE\nLABEL created=$BUILD_DATE\nRUN {command}\n"));
        }
        check_fix(
            &RULE,
            "
FROM node:22.11
ARG BUILD_DATE
    ^^^^^^^^^^ warning: every new value of `BUILD_DATE` runs `npm install` again, which does not use it
LABEL created=$BUILD_DATE
RUN npm config set fund false && npm install -g typescript@5.4.2
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `npm install` runs again
",
            "
FROM node:22.11
RUN npm config set fund false && npm install -g typescript@5.4.2
ARG BUILD_DATE
LABEL created=$BUILD_DATE
",
        );
    }

    #[test]
    fn what_a_build_puts_elsewhere_changes_with_the_sources() {
        let stage = |build: &str, from: &str| format!("FROM debian:12.9 AS build\nWORKDIR /src\n{build}FROM debian:12.9\nCOPY --from=build {from} /\n");
        let last = "ARG GIT_SHA\nRUN app --self-test\n";
        check(&RULE, &format!("{}{last}", stage("COPY . .\nRUN make install DESTDIR=/out\n", "/out")));
        check(&RULE, &format!("{}{last}", stage("COPY . .\nRUN make && cp app /out/bin/app\n", "/out/bin/app")));
        let fires = "ARG GIT_SHA\n    ^^^^^^^ warning: every new value of `GIT_SHA` runs `app --self-test` again, which does not use it\nRUN app --self-test\n^^^^^^^^^^^^^^^^^^^ note: `app --self-test` runs again\n    ^^^^^^^^^^^^^^^ note: no fix: `app` is not known, and may read or write anything\n";
        for (build, from) in [
            ("RUN make install DESTDIR=/out\nCOPY . .\n", "/out"),
            ("COPY . .\nRUN make\n", "/etc/ssl/certs"),
            ("COPY Makefile .\nRUN make install DESTDIR=/out\n", "/out"),
            ("COPY . .\nRUN make NODE=/out/node_modules\n", "/out/node_modules"),
        ] {
            check(&RULE, &format!("{}{fires}", stage(build, from)));
        }
    }

    /// A reusable workflow that passes its input `version`, with its callers: the file and what it gives.
    fn with_callers(callers: &[(&str, &str)]) -> String {
        let callee = "#- .github/workflows/build.yml\non:\n  workflow_call:\n    inputs:\n      version: {type: string, default: dev}\n      file: {type: string, default: Dockerfile}\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: docker/setup-buildx-action@v4\n      - uses: docker/build-push-action@v7\n        with:\n          context: .\n          file: ${{ inputs.file }}\n          cache-from: type=gha\n          build-args: VERSION=${{ inputs.version }}\n";
        let caller = |(name, with): &(&str, &str)| {
            format!("#- .github/workflows/{name}\non: push\njobs:\n  a:\n    uses: ./.github/workflows/build.yml\n    with: {{{with}}}\n")
        };
        format!("{callee}{}", callers.iter().map(caller).collect::<String>())
    }

    const VERSIONED: &str = "FROM alpine:3.20\nARG VERSION\nRUN apk add --no-cache git\nRUN echo $VERSION > version\n";
    const SHA: &str = "version: '${{ github.sha }}'";

    /// With what is found in the Dockerfile and in the called workflow, where `ci.yml` gives the commit.
    fn found_as_called(text: &str) -> String {
        let argument = "VERSION=${{ inputs.version }}";
        let text = marked(text, argument, "note: `${{ inputs.version }}` is another on every commit as `ci.yml` calls it");
        let text = marked(&text, argument, "info: every new value of `VERSION` runs `apk add` of `Dockerfile` again, which does not use it");
        let text = marked(&text, "${{ github.sha }}", "note: `${{ github.sha }}` is given here");
        let text = marked(&text, "${{ github.sha }}", "note: `${{ github.sha }}` is given here");
        let declared = VERSIONED
            .replace("VERSION\n", "VERSION\n    ^^^^^^^ warning: every new value of `VERSION` runs `apk add` again, which does not use it\n    ^^^^^^^ note: the argument is declared here\n")
            .replace("git\n", "git\n^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apk add` runs again\n");
        format!("{text}#- Dockerfile\n{declared}")
    }

    #[test]
    fn what_a_caller_gives_is_what_is_passed() {
        check(&RULE, &found_as_called(&with_callers(&[("ci.yml", SHA)])));
        check(&RULE, &found_as_called(&with_callers(&[("ci.yml", SHA), ("release.yml", "version: '1.0'")])));
        let silent = |callers: &[(&str, &str)]| check(&RULE, &format!("{}#- Dockerfile\n{VERSIONED}", with_callers(callers)));
        silent(&[]);
        silent(&[("ci.yml", "version: '1.0'")]);
        silent(&[("ci.yml", "version: '${{ github.ref_name }}'")]);
        silent(&[("ci.yml", "tag: '${{ github.sha }}'")]);
    }

    #[test]
    fn a_call_counts_for_the_dockerfile_that_it_builds() {
        let callers = [("ci.yml", "version: '${{ github.sha }}', file: other.Dockerfile"), ("release.yml", "version: '1.0'")];
        check(&RULE, &format!("{}#- Dockerfile\n{VERSIONED}#- other.Dockerfile\nFROM alpine:3.20\nARG VERSION\n", with_callers(&callers)));
    }

    #[test]
    fn what_a_step_gives_an_action_is_what_is_passed() {
        let action = "#- .github/actions/build/action.yml\ninputs:\n  version: {required: true}\nruns:\n  using: composite\n  steps:\n    - uses: docker/setup-buildx-action@v4\n    - uses: docker/build-push-action@v7\n      with:\n        context: .\n        cache-from: type=gha\n        build-args: VERSION=${{ inputs.version }}\n#- .github/workflows/ci.yml\non: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: ./.github/actions/build\n        with:\n          version: 1-${{ github.sha }}\n";
        let text = found_as_called(action).replace("note: `${{ github.sha }}`", "note: `1-${{ github.sha }}`");
        let text = text.replace("  ^^^^^^^^^^^^^^^^^ note: `1-", "^^^^^^^^^^^^^^^^^^^ note: `1-");
        check(&RULE, &text);
        check(&RULE, &format!("{}#- Dockerfile\n{VERSIONED}", action.replace("github.sha", "github.job")));
    }
}
