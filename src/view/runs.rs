//! On what a build runs: a branch, a tag, a pull request. What it leaves in the cache of GitHub can
//! be read from some of these only (docs/facts.md D.6).

use super::given::{self, MAX_FOLLOWED, MAX_SITES};
use super::{StepView, Use, WorkflowView};
use crate::snapshot::Snapshot;
use crate::value::Value;
use crate::workflow::{Event, Job, Trigger, Workflow};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Longer chains of calls are not followed back.
const MAX_DEPTH: usize = 4;

/// What a run is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Run {
    /// A branch; the default branch is one of them, as far as is known.
    Branch,
    /// A tag or a release.
    Tag,
    /// A pull request, merged with its base.
    PullRequest,
    /// A group of the merge queue.
    MergeGroup,
    /// The default branch, started by somebody who may not write to it: the cache is read-only.
    Stranger,
    /// Not known: called by another workflow, a condition that is not understood.
    Unknown,
}

impl Run {
    /// The plural for a message.
    pub fn words(self) -> &'static str {
        match self {
            Run::Branch => "branches",
            Run::Tag => "tags",
            Run::PullRequest => "pull requests",
            Run::MergeGroup => "merge groups",
            Run::Stranger => "the default branch, read-only",
            Run::Unknown => "unknown",
        }
    }

    /// Whether nobody but runs of the same ref can read what it writes in the cache of GitHub.
    pub fn is_closed(self) -> bool {
        matches!(self, Run::Tag | Run::PullRequest | Run::MergeGroup)
    }
}

/// What an event can start.
fn of_trigger(trigger: &Trigger) -> Vec<Run> {
    match &trigger.event {
        Event::Push => {
            let branches = trigger.branches.is_some() || trigger.branches_ignore.is_some();
            let tags = trigger.tags.is_some() || trigger.tags_ignore.is_some();
            match (branches, tags) {
                (false, true) => vec![Run::Tag],
                (true, false) => vec![Run::Branch],
                _ => vec![Run::Branch, Run::Tag],
            }
        }
        Event::PullRequest => vec![Run::PullRequest],
        Event::MergeGroup => vec![Run::MergeGroup],
        Event::Release => vec![Run::Tag],
        Event::Schedule | Event::WorkflowDispatch => vec![Run::Branch],
        Event::PullRequestTarget | Event::IssueComment => vec![Run::Stranger],
        Event::Other(name) if name == "repository_dispatch" => vec![Run::Branch],
        // A run that follows another is as trusted as that one was.
        Event::WorkflowRun | Event::WorkflowCall | Event::Other(_) => vec![Run::Unknown],
    }
}

/// What a job of the workflow at `path` runs on, its own conditions (`own`) and those of the jobs it waits for
/// taken into account.
fn of_job(snapshot: &Snapshot, path: &str, workflow: &Workflow, job: &Job, own: &[String]) -> BTreeSet<Run> {
    starts(snapshot, path, workflow, job, own, &mut Following { depth: 0, left: MAX_FOLLOWED }).into_iter().map(|it| it.1).collect()
}

/// How far calls are followed back.
struct Following {
    /// Calls between where it began and here.
    depth: usize,
    /// How many calls may still be looked at: those of those of those are many.
    left: usize,
}

/// The events that start a job, each with what the run is of.
fn starts(snapshot: &Snapshot, path: &str, workflow: &Workflow, job: &Job, own: &[String], following: &mut Following) -> Vec<(Event, Run)> {
    let mut conditions = own.to_vec();
    needed(workflow, job, &mut conditions);
    let mut res = Vec::new();
    for trigger in &workflow.triggers {
        match trigger.event {
            Event::WorkflowCall => res.extend(starts_of_callers(snapshot, path, following)),
            _ => res.extend(of_trigger(trigger).into_iter().map(|run| (trigger.event.clone(), run))),
        }
    }
    for term in conditions.iter().flat_map(|it| terms(it)) {
        match Asked::of(&term) {
            Some(asked) => res.retain(|(event, run)| *run == Run::Unknown || asked.holds(event, *run)),
            None if asks(&term) => res.push((Event::WorkflowCall, Run::Unknown)),
            None => {}
        }
    }
    res
}

/// What starts the jobs and the steps of the repository that call the workflow or the action at `path`. What
/// another repository calls runs there, and has the caches of that one.
fn starts_of_callers(snapshot: &Snapshot, path: &str, following: &mut Following) -> Vec<(Event, Run)> {
    let unknown = || vec![(Event::WorkflowCall, Run::Unknown)];
    let sites = given::sites(snapshot, path);
    let left = following.left.checked_sub(sites.len());
    let Some(left) = left.filter(|_| !sites.is_empty() && sites.len() < MAX_SITES && following.depth < MAX_DEPTH) else { return unknown() };
    following.left = left;
    following.depth += 1;
    let mut res: Vec<(Event, Run)> = Vec::new();
    for site in &sites {
        for start in starts(snapshot, site.path, site.workflow, site.job, &site.conditions(), following) {
            if !res.contains(&start) {
                res.push(start);
            }
        }
    }
    following.depth -= 1;
    res
}

/// What starts the workflow at `path`, with the file that says so: in the place of a call, what starts those of the
/// repository that call it, as far as they are known and `counts`.
pub(super) fn triggers<'a>(
    snapshot: &'a Snapshot,
    path: &'a Arc<str>,
    workflow: &'a Workflow,
    counts: fn(&[String]) -> bool,
) -> Vec<(&'a Arc<str>, &'a Trigger)> {
    let mut res: Vec<(&Arc<str>, &Trigger)> = Vec::new();
    let mut open = VecDeque::from([(path, workflow)]);
    let mut seen: BTreeSet<&Arc<str>> = BTreeSet::new();
    while let Some((path, workflow)) = open.pop_front() {
        if !seen.insert(path) || seen.len() > MAX_SITES {
            continue;
        }
        for trigger in &workflow.triggers {
            let sites = if trigger.event == Event::WorkflowCall { given::sites(snapshot, path) } else { Vec::new() };
            if sites.is_empty() {
                res.push((path, trigger));
            }
            open.extend(sites.into_iter().filter(|it| counts(&it.conditions())).map(|it| (it.path, it.workflow)));
        }
    }
    res
}

/// A workflow that something other than a call starts, and that runs a build, itself or through calls.
pub struct Start<'a> {
    /// Its file.
    pub path: &'a Arc<str>,
    /// The workflow.
    pub workflow: &'a Workflow,
    /// The conditions of the calls on the way to the build.
    pub conditions: Vec<String>,
}

/// The workflows that run what the workflow at `path` does; `None` where not all of them are known.
fn starts_of<'a>(snapshot: &'a Snapshot, path: &'a Arc<str>, workflow: &'a Workflow) -> Option<Vec<Start<'a>>> {
    let mut res = Vec::new();
    let mut open = vec![(Start { path, workflow, conditions: Vec::new() }, 0)];
    while let Some((start, depth)) = open.pop() {
        let (calls, others): (Vec<_>, Vec<_>) = start.workflow.triggers.iter().partition(|it| it.event == Event::WorkflowCall);
        if !calls.is_empty() {
            let sites = given::sites(snapshot, start.path);
            if sites.is_empty() || sites.len() >= MAX_SITES || depth == MAX_DEPTH || res.len() + open.len() > MAX_FOLLOWED {
                return None;
            }
            let caller = |it: given::Site<'a>| {
                let conditions = start.conditions.iter().cloned().chain(it.conditions()).collect();
                (Start { path: it.path, workflow: it.workflow, conditions }, depth + 1)
            };
            open.extend(sites.into_iter().map(caller));
        }
        if !others.is_empty() {
            res.push(start);
        }
    }
    Some(res)
}

/// Adds the conditions of the jobs without which a job does not run.
fn needed(workflow: &Workflow, job: &Job, conditions: &mut Vec<String>) {
    let mut seen: Vec<&str> = vec![&job.id];
    let mut open: Vec<&Job> = vec![job];
    while let Some(next) = open.pop() {
        // `always()` and its like run without them.
        if next.condition.as_ref().is_some_and(|it| ["always(", "failure(", "cancelled("].iter().any(|word| it.pattern().contains(word))) {
            continue;
        }
        for (id, _) in &next.needs {
            let Some(found) = workflow.jobs.iter().find(|it| it.id == *id).filter(|it| !seen.contains(&it.id.as_str())) else { continue };
            seen.push(&found.id);
            conditions.extend(found.condition.as_ref().map(Value::pattern));
            open.push(found);
        }
    }
}

/// The parts of a condition that must all hold; the whole where there is an alternative.
fn terms(condition: &str) -> Vec<String> {
    let text = condition.trim();
    let text = text.strip_prefix("${{").and_then(|it| it.strip_suffix("}}")).unwrap_or(text);
    let even: String = text.chars().filter(|it| !it.is_whitespace()).flat_map(char::to_lowercase).collect();
    if even.contains("||") { vec![even] } else { even.split("&&").map(str::to_owned).collect() }
}

/// Whether a term has to do with what the run is of.
fn asks(term: &str) -> bool {
    ["github.event", "github.ref", "github.head_ref", "github.base_ref", "inputs."].iter().any(|it| term.contains(it))
}

/// What a term of a condition asks for.
enum Asked {
    Event(Event, bool),
    Tag(bool),
    Branch,
}

impl Asked {
    fn of(term: &str) -> Option<Asked> {
        let event = |it: &str| Some(Event::of(it.strip_prefix('\'')?.strip_suffix('\'')?));
        if let Some(name) = term.strip_prefix("github.event_name==") {
            return Some(Asked::Event(event(name)?, true));
        }
        if let Some(name) = term.strip_prefix("github.event_name!=") {
            return Some(Asked::Event(event(name)?, false));
        }
        match term {
            "startswith(github.ref,'refs/tags/')" | "startswith(github.ref,'refs/tags')" | "github.ref_type=='tag'" => Some(Asked::Tag(true)),
            "!startswith(github.ref,'refs/tags/')" | "!startswith(github.ref,'refs/tags')" | "github.ref_type!='tag'" => Some(Asked::Tag(false)),
            "startswith(github.ref,'refs/heads/')" | "github.ref_type=='branch'" => Some(Asked::Branch),
            _ if term.starts_with("startswith(github.ref,'refs/tags/") => Some(Asked::Tag(true)),
            _ if term.starts_with("github.ref=='refs/heads/") => Some(Asked::Branch),
            _ => None,
        }
    }

    fn holds(&self, event: &Event, run: Run) -> bool {
        match self {
            Asked::Event(asked, expected) => (event == asked) == *expected,
            Asked::Tag(expected) => (run == Run::Tag) == *expected,
            // A run of `pull_request_target` and its like is of the default branch.
            Asked::Branch => matches!(run, Run::Branch | Run::Stranger),
        }
    }
}

impl Use<'_> {
    /// What it runs on; nothing for bake and compose files.
    pub fn runs(&self, snapshot: &Snapshot) -> BTreeSet<Run> {
        self.described.step.map(|(workflow, job, _)| of_job(snapshot, self.path, workflow, job, &self.conditions())).unwrap_or_default()
    }
}

impl StepView<'_> {
    /// What it runs on.
    pub fn runs(&self, view: &WorkflowView<'_>) -> BTreeSet<Run> {
        of_job(view.snapshot, &view.path, view.workflow, self.job, &self.conditions())
    }
}

impl<'a> WorkflowView<'a> {
    /// What starts it, with the file that says so: of what others of the repository call, what starts those.
    pub fn triggers(&self) -> &[(&'a Arc<str>, &'a Trigger)] {
        let found = || self.snapshot.entry(&self.path).map(|(path, _)| triggers(self.snapshot, path, self.workflow, |_| true));
        self.triggers.get_or_init(|| found().unwrap_or_default())
    }

    /// The workflows that run it: those that call it, and itself where something else starts it too. `None` where not
    /// all of them are known, as of one that only other repositories call.
    pub fn starts(&self) -> Option<Vec<Start<'a>>> {
        self.snapshot.entry(&self.path).and_then(|(path, _)| starts_of(self.snapshot, path, self.workflow))
    }

    /// What starts the workflow of a build, calls under conditions on what the run is of left out.
    pub fn sure_triggers<'u>(&self, build: &Use<'u>) -> Vec<&'u Trigger>
    where
        'a: 'u,
    {
        let Some((workflow, ..)) = build.described.step else { return Vec::new() };
        let is_sure = |conditions: &[String]| !conditions.iter().flat_map(|it| terms(it)).any(|it| asks(&it));
        triggers(self.snapshot, build.path, workflow, is_sure).into_iter().map(|it| it.1).collect()
    }

    /// The trigger by which strangers start a build on the default branch, where GitHub gives them
    /// a cache that they can only read; `None` where there is none, where a `cache-mode` says what
    /// holds, or where the build's conditions leave it out.
    pub fn read_only_trigger(&self, build: &StepView<'_>) -> Option<(&'a Arc<str>, &'a Trigger)> {
        let is_meant = |it: &(&Arc<str>, &Trigger)| matches!(it.1.event, Event::PullRequestTarget | Event::IssueComment);
        let trigger = self.triggers().iter().copied().find(is_meant)?;
        let runs = build.runs(self);
        let sites = self.sites();
        let has_mode = self.workflow.cache_mode(build.job).is_some() || sites.iter().any(|it| it.workflow.cache_mode(it.job).is_some());
        (!has_mode && runs.contains(&Run::Stranger) && !runs.contains(&Run::Unknown)).then_some(trigger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{File, Kind};
    use crate::snapshot::Host;

    fn runs(on: &str, condition: &str) -> Vec<Run> {
        let path: Arc<str> = "/r/.github/workflows/ci.yml".into();
        let text = format!(
            "on: {on}\njobs:\n  check:\n    if: {condition}\n    steps: []\n  a:\n    needs: check\n    steps:\n      - uses: docker/build-push-action@v7\n        if: success()\n"
        );
        let file = File::new(Kind::Workflow, &text, None);
        let described = file.builds()[0];
        Use { path: &path, index: 0, described, leg: None }.runs(&Snapshot::default()).into_iter().collect()
    }

    #[test]
    fn events_say_what_a_run_is_of() {
        for (on, expected) in [
            ("push", &[Run::Branch, Run::Tag][..]),
            ("{push: {branches: [main]}}", &[Run::Branch]),
            ("{push: {tags: ['v*']}}", &[Run::Tag]),
            ("{push: {tags: ['v*'], branches: [main]}}", &[Run::Branch, Run::Tag]),
            ("[pull_request, merge_group]", &[Run::PullRequest, Run::MergeGroup]),
            ("{release: {types: [published]}}", &[Run::Tag]),
            ("[schedule, workflow_dispatch, repository_dispatch]", &[Run::Branch]),
            ("[pull_request_target, issue_comment]", &[Run::Stranger]),
            ("[workflow_call, workflow_run, page_build]", &[Run::Unknown]),
        ] {
            assert_eq!(runs(on, "true"), expected, "{on}");
        }
    }

    #[test]
    fn calls_of_calls_are_followed_so_far_only() {
        let runs = |width: usize| {
            let mut host = Host::default();
            for level in 0..4 {
                for number in 0..width {
                    let calls = (0..width).map(|it| format!("  j{it}:\n    uses: ./.github/workflows/l{}-{it}.yml\n", level + 1)).collect::<String>();
                    let on = if level == 0 { "release" } else { "workflow_call" };
                    let path = format!("/r/.github/workflows/l{level}-{number}.yml");
                    host.set(&path, File::new(Kind::Workflow, &format!("on: {on}\njobs:\n{calls}"), None));
                }
            }
            let path: Arc<str> = "/r/.github/workflows/l4-0.yml".into();
            let text = "on: workflow_call\njobs:\n  a:\n    steps:\n      - uses: docker/build-push-action@v7\n";
            host.set(&path, File::new(Kind::Workflow, text, None));
            let snapshot = host.snapshot();
            let described = snapshot.file(&path).unwrap().builds()[0];
            Use { path: &path, index: 0, described, leg: None }.runs(&snapshot).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(runs(2), [Run::Tag]);
        assert_eq!(runs(9), [Run::Tag, Run::Unknown]);
    }

    #[test]
    fn conditions_of_the_job_and_of_those_before_it_count() {
        let on = "{push: {branches: [main], tags: ['v*']}, pull_request: }";
        for (condition, expected) in [
            ("github.event_name == 'push'", &[Run::Branch, Run::Tag][..]),
            ("${{ github.event_name != 'pull_request' && success() }}", &[Run::Branch, Run::Tag]),
            ("startsWith(github.ref, 'refs/tags/v')", &[Run::Tag]),
            ("\"!startsWith(github.ref, 'refs/tags/')\"", &[Run::Branch, Run::PullRequest]),
            ("github.ref == 'refs/heads/main'", &[Run::Branch]),
            ("github.ref_type == 'tag'", &[Run::Tag]),
            ("github.event_name == 'push' && github.ref_type == 'branch'", &[Run::Branch]),
            ("needs.x.outputs.changed == 'true'", &[Run::Branch, Run::Tag, Run::PullRequest]),
        ] {
            assert_eq!(runs(on, condition), expected, "{condition}");
        }
        for condition in ["github.event_name == 'push' || inputs.all", "contains(github.ref, 'x')", "github.event.pull_request.draft == false"] {
            assert!(runs(on, condition).contains(&Run::Unknown), "{condition}");
        }
    }
}
