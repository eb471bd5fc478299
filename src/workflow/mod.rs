//! The model of a workflow: what runs when, where, after what, and what each step is given.
//!
//! [`lower`] makes it from a [`yaml::Source`] and gives what is understood of any file, half-typed
//! ones included. Everything is owned and carries its span. Values keep their expressions; what an
//! expression varies with is followed through `env`, the matrix, inputs and the outputs of earlier
//! steps as far as those can be followed.

pub mod build;
mod action;
mod builder;
pub mod expression;
mod lower;
pub mod matrix;
mod metadata;
mod read;
pub mod repair;
mod run;
mod scope;
mod script;

pub use action::{Given, MAX_CALLS, calls, calls_of_job, inputs_given, inputs_in_call};
pub use build::{BuildStep, Override, context_named};
pub use builder::Builder;
pub use lower::{lower, lower_action};
pub use matrix::Matrix;
pub use scope::{first_name, is_one_key};

use crate::edit::Span;
use crate::shell::{Command, Redirect, Script};
use crate::syntax::yaml::Style;
use crate::value::{Hole, Leg, Passage, Value};

/// A workflow file.
#[derive(Debug, Clone, Default)]
pub struct Workflow {
    /// The value of `name:`.
    pub name: Option<Value>,
    /// What starts it, in the order of the file.
    pub triggers: Vec<Trigger>,
    /// `env:` of the whole workflow.
    pub env: Vec<Variable>,
    /// `defaults.run` of the whole workflow.
    pub defaults: Defaults,
    /// `permissions:` of the whole workflow.
    pub permissions: Option<Permissions>,
    /// `concurrency:` of the whole workflow.
    pub concurrency: Option<Concurrency>,
    /// `cache-mode:` of the whole workflow.
    pub cache_mode: Option<Value>,
    /// Its jobs, in the order of the file.
    pub jobs: Vec<Job>,
    /// A part of the file could not be read, so that something that seems to be missing may be
    /// there.
    pub broken: bool,
    /// It is a composite action: its one job has its steps, behind one that stands for all that the
    /// job has done which calls it.
    pub is_action: bool,
    /// What names for scopes are chosen by.
    names: scope::Names,
}

/// An event that starts a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// `push`
    Push,
    /// `pull_request`
    PullRequest,
    /// `pull_request_target`
    PullRequestTarget,
    /// `schedule`
    Schedule,
    /// `workflow_dispatch`
    WorkflowDispatch,
    /// `workflow_call`
    WorkflowCall,
    /// `release`
    Release,
    /// `issue_comment`
    IssueComment,
    /// `workflow_run`
    WorkflowRun,
    /// `merge_group`
    MergeGroup,
    /// Any other.
    Other(String),
}

/// One entry of `on:`.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// The name of the event, where it stands.
    pub span: Span,
    /// The event.
    pub event: Event,
    /// `branches:`
    pub branches: Option<Filter>,
    /// `branches-ignore:`
    pub branches_ignore: Option<Filter>,
    /// `tags:`
    pub tags: Option<Filter>,
    /// `tags-ignore:`
    pub tags_ignore: Option<Filter>,
    /// `paths:`
    pub paths: Option<Filter>,
    /// `paths-ignore:`
    pub paths_ignore: Option<Filter>,
    /// `types:`
    pub types: Option<Filter>,
    /// `inputs:` of `workflow_dispatch` and `workflow_call`.
    pub inputs: Vec<DeclaredInput>,
}

/// An input that a workflow says it takes.
#[derive(Debug, Clone)]
pub struct DeclaredInput {
    /// In lower case.
    pub name: String,
    /// What it is where nobody gives it.
    pub default: Option<Value>,
    /// Whoever starts the workflow has to give it.
    pub required: bool,
    /// What kind of value it has in expressions.
    pub kind: InputKind,
}

/// The kind of value that an input has in expressions: `type:` of an input of a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InputKind {
    /// A text, as all inputs of actions are.
    #[default]
    Text,
    /// `boolean`
    Truth,
    /// `number`
    Number,
}

impl Trigger {
    /// Whether only tags start it: a `push` with tags and no branches.
    pub fn is_tags_only(&self) -> bool {
        self.event == Event::Push && self.tags.is_some() && self.branches.is_none() && self.branches_ignore.is_none()
    }

    /// Whether what it starts runs on a tag: one that is pushed, or that of a release.
    pub fn runs_on_tags(&self) -> bool {
        self.is_tags_only() || self.event == Event::Release
    }
}

/// A list of patterns.
#[derive(Debug, Clone)]
pub struct Filter {
    /// The whole list.
    pub span: Span,
    /// Its patterns, as they are written.
    pub patterns: Vec<Value>,
}

/// An entry of `env:`.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub name_span: Span,
    /// Its value.
    pub value: Value,
}

/// `defaults.run`.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    /// `shell:`
    pub shell: Option<Value>,
    /// `working-directory:`
    pub folder: Option<Value>,
}

/// `permissions:`.
#[derive(Debug, Clone)]
pub struct Permissions {
    /// The whole value.
    pub span: Span,
    /// `read-all`, `write-all`; the empty text for a mapping.
    pub all: String,
    /// Scope and access, as written.
    pub scopes: Vec<(String, String)>,
}

/// `concurrency:`.
#[derive(Debug, Clone)]
pub struct Concurrency {
    /// The whole value.
    pub span: Span,
    /// `group:`, or the whole value where it is a text.
    pub group: Option<Value>,
    /// `cancel-in-progress:`
    pub cancel: Option<Value>,
}

/// A job.
#[derive(Debug, Clone)]
pub struct Job {
    /// From its id to its end.
    pub span: Span,
    /// Its id.
    pub id: String,
    /// Where the id stands.
    pub id_span: Span,
    /// `name:`
    pub name: Option<Value>,
    /// Ids of the jobs that it waits for.
    pub needs: Vec<(String, Span)>,
    /// `if:`
    pub condition: Option<Value>,
    /// `runs-on:`
    pub runner: Option<Runner>,
    /// `env:` of the job.
    pub env: Vec<Variable>,
    /// `defaults.run` of the job.
    pub defaults: Defaults,
    /// `permissions:` of the job.
    pub permissions: Option<Permissions>,
    /// `concurrency:` of the job.
    pub concurrency: Option<Concurrency>,
    /// `cache-mode:` of the job.
    pub cache_mode: Option<Value>,
    /// `strategy.matrix`.
    pub matrix: Option<Matrix>,
    /// For a composite action and for a workflow that others of the repository call: the inputs of each
    /// call of it, as [`expression::input_key`] names them, in each leg of the matrix. One of a workflow
    /// that is started in other ways too has no inputs in it.
    pub calls: Vec<Leg>,
    /// The image of `container:`.
    pub container: Option<Value>,
    /// The reusable workflow that it calls, instead of steps.
    pub call: Option<Call>,
    /// `outputs:`, with what the steps make of them.
    pub outputs: Vec<Variable>,
    /// Its steps.
    pub steps: Vec<Step>,
    /// The builds of its steps, in order; several of one step where its script has several.
    pub builds: Vec<BuildStep>,
}

/// Who runs a job.
#[derive(Debug, Clone)]
pub struct Runner {
    /// The whole value.
    pub span: Span,
    /// The labels, as written.
    pub labels: Vec<Value>,
    /// What kind of machine it is, in every leg.
    pub kind: RunnerKind,
    /// That is so because all calls of the workflow in this repository say it; others may say something else.
    pub by_calls: bool,
}

impl Runner {
    /// Whether it is one of GitHub's own, whoever calls the workflow.
    pub fn is_always_hosted(&self) -> bool {
        self.kind == RunnerKind::Hosted && !self.by_calls
    }
}

/// A kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunnerKind {
    /// GitHub's own: new for every job.
    Hosted,
    /// `self-hosted`: may keep what an earlier job left.
    SelfHosted,
    /// A vendor's, by its name.
    Vendor(&'static str),
    /// A label that says nothing, or an expression.
    Unknown,
}

/// A call of a reusable workflow.
#[derive(Debug, Clone)]
pub struct Call {
    /// The value of `uses:`.
    pub action: Action,
    /// `with:`
    pub inputs: Vec<Input>,
}

/// A step.
#[derive(Debug, Clone)]
pub struct Step {
    /// The whole step, without its dash.
    pub span: Span,
    /// `id:`
    pub id: Option<String>,
    /// `name:`
    pub name: Option<Value>,
    /// `if:`
    pub condition: Option<Value>,
    /// `uses:`
    pub action: Option<Action>,
    /// `with:`, behind merge keys and aliases.
    pub inputs: Vec<Input>,
    /// The mapping of `with:`.
    pub inputs_span: Option<Span>,
    /// `run:`
    pub run: Option<Run>,
    /// `env:` of the step.
    pub env: Vec<Variable>,
    /// It is an alias, or has an anchor, a merge key or an alias in it: edits of it would change
    /// other places as well.
    pub shared: bool,
}

/// What `uses:` names.
#[derive(Debug, Clone)]
pub struct Action {
    /// The value of `uses:`, without quotes.
    pub span: Span,
    /// `owner/repository/path`, `./path` or `docker://image`, as written, without the reference.
    pub name: String,
    /// What is behind `@`.
    pub reference: Option<String>,
    /// Where that stands.
    pub reference_span: Span,
    /// The version that a comment behind a commit gives (`@1f2e… # v4.2.0`).
    pub comment: Option<String>,
}

/// An entry of `with:`.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its name, in lower case.
    pub name: String,
    /// Where the name stands.
    pub name_span: Span,
    /// From the name to the end of the value.
    pub span: Span,
    /// How the value is written; `None` where there is none, or where it is no scalar.
    pub style: Option<Style>,
    /// The value, to be cut.
    pub passage: Passage,
    /// The value.
    pub value: Value,
}

/// One line of an input, with what cannot be seen in its value.
#[derive(Debug, Clone)]
pub struct Line {
    /// Where it stands, without white space at both ends.
    pub span: Span,
    /// The line.
    pub passage: Passage,
    /// From a `#` that a reader takes for the start of a comment to the end of the line, though it
    /// is a part of the text.
    pub comment: Option<Span>,
}

/// What `run:` says.
#[derive(Debug, Clone)]
pub struct Run {
    /// The script, to be cut; the spans of `script` are of its text.
    pub passage: Passage,
    /// Its commands. Spans are of the text of `passage`; [`Passage::source`] leads to the file.
    pub script: Script,
    /// The shell that runs it, where it is known.
    pub shell: Option<String>,
    /// The folder that it starts in, relative to the workspace; `None` where that is not known.
    pub folder: Option<String>,
}

impl Workflow {
    /// The trigger of an event.
    pub fn trigger(&self, event: &Event) -> Option<&Trigger> {
        self.triggers.iter().find(|it| it.event == *event)
    }

    /// Whether other workflows can call it, those of other repositories among them.
    pub fn is_reusable(&self) -> bool {
        !self.is_action && self.trigger(&Event::WorkflowCall).is_some()
    }

    /// All builds, with the index of the job of each.
    pub fn builds(&self) -> impl Iterator<Item = (usize, &BuildStep)> {
        self.jobs.iter().enumerate().flat_map(|(index, job)| job.builds.iter().map(move |it| (index, it)))
    }

    /// What the cache service allows a job: the job's own `cache-mode` wins.
    pub fn cache_mode<'a>(&'a self, job: &'a Job) -> Option<&'a Value> {
        job.cache_mode.as_ref().or(self.cache_mode.as_ref())
    }
}

/// The events that are told apart, by the name that a workflow and `github.event_name` have.
const EVENTS: &[(&str, Event)] = &[
    ("push", Event::Push),
    ("pull_request", Event::PullRequest),
    ("pull_request_target", Event::PullRequestTarget),
    ("schedule", Event::Schedule),
    ("workflow_dispatch", Event::WorkflowDispatch),
    ("workflow_call", Event::WorkflowCall),
    ("release", Event::Release),
    ("issue_comment", Event::IssueComment),
    ("workflow_run", Event::WorkflowRun),
    ("merge_group", Event::MergeGroup),
];

impl Event {
    /// The event of a name.
    pub fn of(name: &str) -> Event {
        EVENTS.iter().find(|it| it.0 == name).map_or_else(|| Event::Other(name.to_owned()), |it| it.1.clone())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Event::Other(name) => name,
            _ => EVENTS.iter().find(|it| it.1 == *self).map_or("", |it| it.0),
        }
    }
}

impl Action {
    /// Whether it is the action `owner/repository`, or `owner/repository/path`; GitHub does not
    /// mind case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Whether it stands in this repository, so that what it does is not known.
    pub fn is_local(&self) -> bool {
        self.name.starts_with("./") || self.name.starts_with(".\\")
    }

    /// The major version: of the reference, or of the comment behind a commit.
    pub fn major(&self) -> Option<u32> {
        self.version().map(|it| it.0)
    }

    /// Major version, and the minor one where it is given: of the reference, or of the comment
    /// behind a commit. `None` for a branch and for a bare commit.
    pub fn version(&self) -> Option<(u32, Option<u32>)> {
        let reference = self.reference.as_deref()?;
        let text = if is_commit(reference) { self.comment.as_deref()? } else { reference };
        let mut numbers = text.strip_prefix(['v', 'V']).unwrap_or(text).split(['.', '-', '+']);
        let major = numbers.next()?.parse().ok()?;
        Some((major, numbers.next().and_then(|it| it.parse().ok())))
    }

    /// Whether it is pinned to a commit.
    pub fn is_pinned(&self) -> bool {
        self.reference.as_deref().is_some_and(is_commit)
    }
}

fn is_commit(reference: &str) -> bool {
    reference.len() == 40 && reference.bytes().all(|it| it.is_ascii_hexdigit())
}

impl Input {
    /// Its lines that are not blank, each with what looks like a comment on it.
    pub fn lines(&self) -> Vec<Line> {
        self.passage.lines().into_iter().map(Line::new).collect()
    }

    /// Its list as Docker's actions read one: a record each; where `commas` divide as well, those.
    pub fn list(&self, commas: bool) -> Vec<Passage> {
        // A list that stands there as one expression is that of the only text that it can be.
        let given = |it: &Passage| match it.only_hole().map(Hole::choices) {
            Some([text]) => text.records(),
            _ => vec![it.clone()],
        };
        let records: Vec<Passage> = self.passage.records().iter().flat_map(given).collect();
        if !commas {
            return records;
        }
        let fields = records.iter().flat_map(|it| it.split(','));
        fields.map(|it| it.trim()).filter(|it| !it.is_empty()).collect()
    }

    /// Whether it is a block scalar, in which nothing is a comment.
    pub fn is_block(&self) -> bool {
        matches!(self.style, Some(Style::Literal | Style::Folded))
    }

    /// Its truth value, as Docker's actions and GitHub's toolkit read one.
    pub fn truth(&self) -> Option<bool> {
        match self.value.known()?.trim() {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" | "" => Some(false),
            _ => None,
        }
    }
}

impl Line {
    fn new(passage: Passage) -> Line {
        let text = passage.text();
        let comment = text.char_indices().find(|(at, it)| *it == '#' && text[..*at].chars().next_back().is_none_or(char::is_whitespace));
        let comment = comment.map(|(at, _)| passage.source(Span::new(at, text.len())));
        Line { span: passage.span(), comment, passage }
    }
}

impl Step {
    /// The input `name`; the last one of double keys.
    pub fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.iter().rev().find(|it| it.name == name)
    }

    /// Whether its condition is never met: `if: false`.
    pub fn never_runs(&self) -> bool {
        is_never_met(self.condition.as_ref())
    }

    /// The value of the input `name`, if it is known.
    pub fn known(&self, name: &str) -> Option<String> {
        self.input(name).and_then(|it| it.value.known())
    }

    /// The lines of an input that are not blank; none where it is not given.
    pub fn lines(&self, name: &str) -> Vec<Line> {
        self.input(name).map(Input::lines).unwrap_or_default()
    }

    /// Whether it runs the action `name`.
    pub fn runs(&self, name: &str) -> bool {
        self.action.as_ref().is_some_and(|it| it.is(name))
    }

    /// The commands of its script whose words, behind `sudo` and the like, begin with `words`.
    pub fn commands<'a>(&'a self, words: &'a [&'a str]) -> impl Iterator<Item = &'a Command> {
        let begins = move |it: &&Command| {
            let found = it.invocation().map_or(&[][..], |it| it.words);
            found.len() >= words.len() && found.iter().zip(words).all(|(word, expected)| word.text == *expected)
        };
        self.run.iter().flat_map(|it| &it.script.commands).filter(begins)
    }

    /// Whether its script has a command that begins with `words`.
    pub fn has_command(&self, words: &[&str]) -> bool {
        self.run.iter().flat_map(|it| &it.script.commands).any(|it| {
            let found = it.invocation().map_or(&[][..], |it| it.words);
            found.len() >= words.len() && found.iter().zip(words).all(|(word, expected)| word.text == *expected)
        })
    }

    /// Whether it fetches a repository: `actions/checkout` and its like, `git clone`.
    pub fn is_checkout(&self) -> bool {
        let action = |it: &Action| it.name.rsplit('/').next().is_some_and(|it| it.to_ascii_lowercase().contains("checkout"));
        self.action.as_ref().is_some_and(action) || ["clone", "fetch", "pull"].iter().any(|it| self.commands(&["git", it]).next().is_some())
    }

    /// Whether it makes a builder with the `docker-container` driver or another that is no plain
    /// Docker.
    pub fn is_builder_setup(&self) -> bool {
        let action = |it: &Action| it.name.to_ascii_lowercase().contains("buildx") && !it.name.to_ascii_lowercase().contains("imagetools");
        self.action.as_ref().is_some_and(action) || self.commands(&["docker", "buildx", "create"]).next().is_some()
    }

    /// Whether it exposes the runner's token to scripts, without which `type=gha` does nothing in
    /// `run:`.
    pub fn exposes_runtime(&self) -> bool {
        let by_script = || self.runs("actions/github-script") && self.known("script").is_none_or(|it| it.contains("ACTIONS_"));
        self.runs("crazy-max/ghaction-github-runtime") || by_script() || self.env.iter().any(|it| it.name == "ACTIONS_RUNTIME_TOKEN")
    }

    /// Whether it saves or restores a folder in the cache service.
    pub fn is_folder_cache(&self) -> bool {
        let names = ["actions/cache", "actions/cache/restore", "actions/cache/save"];
        names.iter().any(|it| self.runs(it))
    }

    /// Whether it may make files in the workspace: a script, a download, an action that is not
    /// known to leave the workspace alone.
    pub fn may_make_files(&self) -> bool {
        const QUIET: &[&str] = &[
            "docker/login-action",
            "docker/metadata-action",
            "docker/setup-buildx-action",
            "docker/setup-qemu-action",
            "docker/setup-docker-action",
            "docker/build-push-action",
            "docker/bake-action",
            "crazy-max/ghaction-github-runtime",
            "aws-actions/amazon-ecr-login",
            "aws-actions/configure-aws-credentials",
            "azure/docker-login",
            "azure/login",
            "google-github-actions/auth",
            "sigstore/cosign-installer",
        ];
        match &self.action {
            Some(action) => !QUIET.iter().any(|it| action.is(it)) && !self.is_checkout(),
            None => self.run.as_ref().is_some_and(Run::may_make_files),
        }
    }
}

impl Run {
    /// Whether it may make files other than those that GitHub reads after the step.
    fn may_make_files(&self) -> bool {
        const QUIET: &[&str] =
            &["echo", "printf", "date", "export", "set", "test", "[", "true", "false", ":", "docker", "cd", "exit", "cut", "tr", "grep", "head", "tail"];
        let read_by_github =
            |it: &Redirect| it.target.variables.iter().any(|it| it.starts_with("GITHUB_")) || it.target.text == "/dev/null" || !it.operator.contains('>');
        let quiet = |it: &Command| it.words.is_empty() || it.program().is_some_and(|it| QUIET.contains(&it));
        let harmless =
            |it: &Command| quiet(it) && it.redirects.iter().all(|it| read_by_github(it) || it.operator.contains('&') || it.target.text.parse::<u8>().is_ok());
        self.script.commands.is_empty() || !self.script.commands.iter().all(harmless)
    }
}

/// Whether a condition is false whatever happens.
fn is_never_met(condition: Option<&Value>) -> bool {
    condition.and_then(Value::known).as_deref() == Some("false")
}

impl Job {
    /// Whether its condition is never met: `if: false`.
    pub fn never_runs(&self) -> bool {
        is_never_met(self.condition.as_ref())
    }

    /// The legs in which it runs: those of its matrix, of what is called for each call; none where there
    /// are none, or where they are not known.
    pub fn legs(&self) -> &[Leg] {
        match self.calls.as_slice() {
            [] => self.matrix.as_ref().and_then(|it| it.legs.as_deref()).unwrap_or_default(),
            calls => calls,
        }
    }

    /// The steps before `step`.
    pub fn before(&self, step: usize) -> &[Step] {
        self.steps.get(..step).unwrap_or_default()
    }

    /// The step with an id.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find(|it| it.id.as_deref() == Some(id))
    }

    /// Whether the files that a build needs may be there at `step`: a step before checks them out,
    /// or may make, restore or download them.
    pub fn has_sources(&self, step: usize) -> bool {
        const SETUPS: &str = "setup-";
        let brings = |it: &Step| match &it.action {
            Some(action) => it.may_make_files() && !action.name.rsplit('/').next().is_some_and(|it| it.starts_with(SETUPS)),
            None => it.may_make_files(),
        };
        self.before(step).iter().any(|it| it.is_checkout() || brings(it))
    }
}

/// Lowers a text, for the tests of this folder.
#[cfg(test)]
fn lowered(text: &str) -> Workflow {
    use crate::syntax::yaml;
    use crate::text::{Document, Language};
    let document = Document::new(Language::Yaml, text);
    let source = document.tree().map(|it| yaml::read(text, it)).unwrap_or_default();
    lower(text, &source, &[])
}

/// A workflow with one job that has these steps, for the tests of this folder.
#[cfg(test)]
fn with_steps(steps: &str) -> String {
    let indented: String = steps.lines().map(|it| format!("      {it}\n")).collect();
    format!("on: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n{indented}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{Context, Tool};
    use crate::cache::Backend;
    use crate::volatility::Axis;

    /// The first workflow of a common kind of article: Git checkout, local context, gha cache whose
    /// scope is the workflow.
    const PLAIN: &str = r"
name: Image

on:
  push:
    branches:
      - main

jobs:
  image:
    runs-on: ubuntu-latest
    steps:
      - name: Sources
        uses: actions/checkout@v4
      - name: Builder
        uses: docker/setup-buildx-action@v3
      - name: Log in
        uses: docker/login-action@v2
        with:
          username: ${{secrets.USER}}
          password: ${{secrets.PASSWORD}}
      - name: Build
        uses: docker/build-push-action@v4
        with:
          context: .
          push: true
          tags: somebody/app:${{ github.sha }}
          cache-from: type=gha,scope=${{ github.workflow }}
          cache-to: type=gha,scope=${{ github.workflow }}
";

    /// The second one: options with a comment in a block scalar, a compose file as a Dockerfile.
    const ADVANCED: &str = r"
on:
  push:
    branches: [main]
jobs:
  image:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: docker/setup-buildx-action@v3
        with:
          driver-opts: |
              image=moby/buildkit:master
              network=host #only if needed
      - name: Build
        uses: docker/build-push-action@v4
        with:
          push: true
          file: docker-compose.yml
          load: false
          build-args: |
            APP_VERSION=${{ github.sha }}
          tags: somebody/app:${{ github.sha }}
          cache-from: type=gha,scope=${{ github.workflow }}
          cache-to: type=gha,scope=${{ github.workflow }}
";

    #[test]
    fn a_plain_build_step_is_read_whole() {
        let workflow = lowered(PLAIN);
        assert_eq!(workflow.name.as_ref().unwrap().known().as_deref(), Some("Image"));
        assert_eq!(workflow.trigger(&Event::Push).unwrap().branches.as_ref().unwrap().patterns[0].known().as_deref(), Some("main"));
        let job = &workflow.jobs[0];
        assert_eq!(job.id_span.of(PLAIN), "image");
        assert_eq!(job.runner.as_ref().unwrap().kind, RunnerKind::Hosted);
        let step = &job.builds[0];
        assert_eq!(step.step, 3);
        let build = &step.build;
        assert_eq!(build.tool, Tool::BuildPushAction);
        assert_eq!(build.span.of(PLAIN), "docker/build-push-action@v4");
        assert!(build.whole.of(PLAIN).starts_with("name: Build"));
        assert!(matches!(&build.context, Context::Folder(it) if it.known().as_deref() == Some(".")));
        assert_eq!(build.push, Some(true));
        assert!(build.tags[0].variance().is_per_commit());
        let export = &build.exports[0];
        assert_eq!(export.span.of(PLAIN), "type=gha,scope=${{ github.workflow }}");
        assert_eq!(export.backend, Backend::Gha);
        assert_eq!(export.attributes[1].span.of(PLAIN), "scope=${{ github.workflow }}");
        assert!(export.attribute("scope").unwrap().variance().has(&Axis::Workflow));
        assert_eq!(export.location(), build.imports[0].location());
        assert_eq!(export.mode().as_deref(), Some("min"));
        assert_eq!(job.builder(step), Builder::Container(1));
        assert!(job.has_sources(step.step));
        assert_eq!(workflow.scope_name(job, step), "app");
    }

    #[test]
    fn a_block_scalar_keeps_what_looks_like_a_comment() {
        let workflow = lowered(ADVANCED);
        let job = &workflow.jobs[0];
        let lines = job.steps[1].lines("driver-opts");
        assert_eq!(lines[0].span.of(ADVANCED), "image=moby/buildkit:master");
        assert_eq!(lines[0].comment, None);
        assert_eq!(lines[1].span.of(ADVANCED), "network=host #only if needed");
        assert_eq!(lines[1].comment.unwrap().of(ADVANCED), "#only if needed");
        assert!(job.steps[1].input("driver-opts").unwrap().is_block());
        let build = &job.builds[0].build;
        assert_eq!(build.context, Context::Git(None));
        assert_eq!(build.dockerfile.as_ref().unwrap().span.of(ADVANCED), "docker-compose.yml");
        assert_eq!(build.arguments[0].name, "APP_VERSION");
        assert_eq!(build.arguments[0].span.of(ADVANCED), "APP_VERSION=${{ github.sha }}");
        assert!(build.arguments[0].value.as_ref().unwrap().variance().is_per_commit());
        assert_eq!(job.builds[0].load, Some(false));
    }

    #[test]
    fn triggers_come_in_three_forms() {
        for text in ["on: push", "on: [push]", "on:\n  push:\n", "on:\n  - push\n", "'on': {push: }"] {
            assert_eq!(lowered(text).triggers[0].event, Event::Push, "{text}");
        }
        let workflow = lowered("on:\n  push: {tags: ['v*']}\n  workflow_call:\n    inputs:\n      Cache: {default: gha}\n");
        assert!(workflow.triggers[0].is_tags_only());
        let input = &workflow.triggers[1].inputs[0];
        assert_eq!((input.name.as_str(), input.default.as_ref().unwrap().known().as_deref(), input.required), ("cache", Some("gha"), false));
        assert!(lowered("jobs: {}").triggers.is_empty());
    }

    #[test]
    fn runners_are_told_apart_by_their_labels() {
        let cases = [
            ("ubuntu-24.04", RunnerKind::Hosted),
            ("[self-hosted, linux]", RunnerKind::SelfHosted),
            ("depot-ubuntu-24.04-4", RunnerKind::Vendor("Depot")),
            ("blacksmith-4vcpu-ubuntu-2204", RunnerKind::Vendor("Blacksmith")),
            ("namespace-profile-default", RunnerKind::Vendor("Namespace")),
            ("buildjet-4vcpu-ubuntu-2204", RunnerKind::Vendor("BuildJet")),
            ("warp-ubuntu-latest-x64-4x", RunnerKind::Vendor("WarpBuild")),
            ("{group: big, labels: ubuntu-latest}", RunnerKind::Hosted),
            ("{group: big}", RunnerKind::Unknown),
            ("our-machine", RunnerKind::Unknown),
            ("${{ inputs.runner }}", RunnerKind::Unknown),
        ];
        for (labels, kind) in cases {
            let workflow = lowered(&format!("jobs:\n  a:\n    runs-on: {labels}\n"));
            assert_eq!(workflow.jobs[0].runner.as_ref().unwrap().kind, kind, "{labels}");
        }
        let matrix = |values: &str| lowered(&format!("jobs:\n  a:\n    strategy: {{matrix: {{os: {values}}}}}\n    runs-on: ${{{{ matrix.os }}}}\n"));
        assert_eq!(matrix("[ubuntu-latest, macos-14]").jobs[0].runner.as_ref().unwrap().kind, RunnerKind::Hosted);
        assert_eq!(matrix("[ubuntu-latest, self-hosted]").jobs[0].runner.as_ref().unwrap().kind, RunnerKind::Unknown);
    }

    #[test]
    fn sources_may_come_from_more_than_a_checkout() {
        let has = |step: &str| {
            let workflow = lowered(&with_steps(&format!("{step}\n- uses: docker/build-push-action@v6\n  with: {{context: .}}")));
            workflow.jobs[0].has_sources(workflow.jobs[0].builds[0].step)
        };
        let bringing = [
            "- uses: actions/checkout@v4",
            "- uses: x/checkout-it@v1",
            "- uses: ./x",
            "- uses: actions/download-artifact@v4",
            "- run: git clone x",
            "- run: echo FROM x > Dockerfile",
            "- run: make",
            "- run: echo a\n  shell: pwsh",
        ];
        for step in bringing {
            assert!(has(step), "{step}");
        }
        let quiet = [
            "- uses: docker/login-action@v3",
            "- uses: actions/setup-node@v4",
            "- run: echo \"a=$(date)\" >> $GITHUB_OUTPUT",
            "- run: docker pull x >/dev/null 2>&1",
            "- run: A=b",
        ];
        for step in quiet {
            assert!(!has(step), "{step}");
        }
    }

    #[test]
    fn versions_of_actions_are_read_from_the_reference_or_the_comment() {
        let pin = "11bd71901bbe5b1630ceea73d27597364c9af683";
        let action = |uses: &str| lowered(&with_steps(&format!("- uses: {uses}\n- run: echo # v9"))).jobs[0].steps[0].action.clone().unwrap();
        let cases = [
            ("actions/cache@v4", Some((4, None))),
            ("actions/cache@v3.3.1", Some((3, Some(3)))),
            ("actions/cache@main", None),
            (&format!("actions/cache@{pin}"), None),
            (&format!("actions/cache@{pin} # v4.2.0"), Some((4, Some(2)))),
            (&format!("actions/cache@{pin} # tag=v4.1"), Some((4, Some(1)))),
            (&format!("'actions/cache@{pin}' # ratchet:actions/cache@v4"), Some((4, None))),
            ("./.github/actions/build", None),
            ("docker://alpine:3.8", None),
        ];
        for (uses, version) in cases {
            assert_eq!(action(uses).version(), version, "{uses}");
        }
        assert!(action("./x").is_local());
        assert!(action("Actions/Cache@v4").is("actions/cache"));
        assert_eq!(action("docker://alpine:3.8").name, "docker://alpine:3.8");
    }

    #[test]
    fn values_are_followed_through_env() {
        let text = with_steps("- uses: docker/build-push-action@v6\n  env: {C: c}\n  with:\n    tags: ${{ env.A }}/${{ env.B }}:${{ env.C }}");
        let text = text.replace("on: push", "on: push\nenv: {A: a}").replace("    steps:", "    env:\n      B: ${{ env.A }}-${{ github.sha }}\n    steps:");
        let build = &lowered(&text).jobs[0].builds[0].build;
        assert_eq!(build.tags[0].pattern(), "a/${{ env.B }}:c");
        assert!(build.tags[0].variance().is_per_commit());
    }

    #[test]
    fn a_whole_cache_option_may_stand_in_env() {
        let text =
            with_steps("- uses: docker/build-push-action@v6\n  with:\n    cache-to: ${{ env.CACHE }}").replace("on: push", "env: {CACHE: 'type=gha,mode=max'}");
        let build = &lowered(&text).jobs[0].builds[0].build;
        assert_eq!(build.exports[0].mode().as_deref(), Some("max"));
        assert!(!build.exports[0].opaque);
    }

    #[test]
    fn numbers_are_written_as_github_writes_them() {
        let text = with_steps("- uses: a/b@v1\n  with: {a: 3.10, b: '3.10', c: 1_0, d: 0x10, e: 1.2.3, f: -1.50, g: 1e3, h: v1}");
        let workflow = lowered(&text);
        let values: Vec<String> = workflow.jobs[0].steps[0].inputs.iter().map(|it| it.value.known().unwrap()).collect();
        assert_eq!(values, ["3.1", "3.10", "1_0", "16", "1.2.3", "-1.5", "1000", "v1"]);
    }

    #[test]
    fn aliases_and_merge_keys_are_followed() {
        let text = "jobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: docker/build-push-action@v6\n        with: &shared\n          context: .\n          cache-from: type=gha\n      - uses: docker/build-push-action@v6\n        with:\n          <<: *shared\n          cache-from: type=inline\n";
        let job = &lowered(text).jobs[0];
        assert!(matches!(job.builds[1].build.context, Context::Folder(_)));
        assert_eq!(job.builds[1].build.imports[0].backend, Backend::Inline);
        assert!(job.steps.iter().all(|it| it.shared));
    }

    #[test]
    fn what_is_half_typed_gives_what_is_there() {
        for cut in 0..PLAIN.len() {
            if PLAIN.is_char_boundary(cut) {
                lowered(&PLAIN[..cut]);
            }
        }
        let text = with_steps("- uses: docker/build-push-action@v6\n  with:\n    cache-from:\n    cache-to: ");
        let build = &lowered(&text).jobs[0].builds[0].build;
        assert!(build.imports.is_empty() && build.exports.is_empty());
        for text in
            ["", "jobs:", "jobs: []", "jobs:\n  a:", "jobs:\n  a: x", "jobs:\n  a:\n    steps: x", "jobs:\n  a:\n    steps:\n      -\n      - uses:\n", "- a"]
        {
            lowered(text);
        }
    }

    #[test]
    fn other_parts_of_a_workflow_are_read() {
        let text = "cache-mode: read\npermissions: read-all\nconcurrency: {group: 'x-${{ github.ref }}', cancel-in-progress: true}\njobs:\n  a:\n    cache-mode: write\n    permissions: {packages: write}\n    concurrency: one\n    needs: b\n    if: github.event_name == 'push'\n    container: {image: alpine}\n    uses: docker/github-builder/.github/workflows/build.yml@v1\n    with: {cache: true}\n  b: {needs: [a, c]}\n";
        let workflow = lowered(text);
        let job = &workflow.jobs[0];
        assert_eq!(workflow.cache_mode(job).unwrap().known().as_deref(), Some("write"));
        assert_eq!(workflow.cache_mode(&workflow.jobs[1]).unwrap().known().as_deref(), Some("read"));
        assert_eq!(workflow.permissions.as_ref().unwrap().all, "read-all");
        assert_eq!(job.permissions.as_ref().unwrap().scopes, [("packages".to_owned(), "write".to_owned())]);
        assert_eq!(job.concurrency.as_ref().unwrap().group.as_ref().unwrap().known().as_deref(), Some("one"));
        assert!(workflow.concurrency.as_ref().unwrap().group.as_ref().unwrap().known().is_none());
        assert_eq!(job.needs[0].0, "b");
        assert_eq!(workflow.jobs[1].needs.len(), 2);
        assert!(job.condition.as_ref().unwrap().known().is_none());
        assert_eq!(job.container.as_ref().unwrap().known().as_deref(), Some("alpine"));
        assert!(job.call.as_ref().unwrap().action.name.starts_with("docker/github-builder"));
        assert_eq!(job.call.as_ref().unwrap().inputs[0].truth(), Some(true));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn no_text_makes_it_panic(pieces in proptest::collection::vec(proptest::sample::select(vec![
            "jobs:\n", "  a:\n", "    steps:\n", "      - uses: docker/build-push-action@v6\n", "        with:\n", "          cache-to: |\n",
            "            type=gha,\n", "\"", "${{ ", " }}", "'", "&a ", "*a", "<<: ", "      - run: docker build", " -t \"$X\" .", " && cd x/../..", "\n", "{", "[", "é",
            "    strategy: {matrix: {a: [1, 2], include: [{b: 1}]}}\n", "$(", "`", " >> $GITHUB_OUTPUT", "echo a=", "<<EOF\n", "`", "${x:-",
        ]), 0..24)) {
            let text: String = pieces.concat();
            let workflow = lowered(&text);
            for (index, build) in workflow.builds() {
                workflow.scope_name(&workflow.jobs[index], build);
                proptest::prop_assert!(build.build.span.end <= text.len());
            }
        }
    }
}
