//! Reusable workflows of the repository, as the jobs that call them build.

use super::given::caller;
use super::{StepView, WorkflowView, place};
use crate::facts;
use crate::file::Model;
use crate::links;
use crate::snapshot::Snapshot;
use crate::value::{Leg, Part, Value};
use crate::workflow::{Call, Input, Job, Workflow, expression, inputs_in_call};
use std::collections::BTreeSet;
use std::sync::Arc;

/// More callers of one workflow are not looked at.
const MAX_CALLERS: usize = 20;

/// A workflow of the repository as one job calls it.
pub struct CalledWorkflow<'a> {
    /// It, with the places of its builds in this call alone; no build that this call does not decide.
    pub view: WorkflowView<'a>,
    /// The file whose job calls it.
    pub caller: &'a Arc<str>,
    /// The workflow that calls it.
    pub workflow: &'a Workflow,
    /// The job that calls it.
    pub job: &'a Job,
    /// The call.
    pub call: &'a Call,
}

impl<'a> WorkflowView<'a> {
    /// The workflows of the repository that this one calls, job by job.
    pub fn called(&self) -> Vec<CalledWorkflow<'a>> {
        let Some((path, _)) = self.snapshot.entry(&self.path) else { return Vec::new() };
        self.workflow.jobs.iter().filter_map(|job| called(self.snapshot, path, self.workflow, job)).collect()
    }

    /// This workflow, as those of the repository call it.
    pub fn as_called(&self) -> Vec<CalledWorkflow<'a>> {
        let mut res = Vec::new();
        for (path, caller) in self.snapshot.links.callers(&self.path).take(MAX_CALLERS).filter_map(|it| caller(self.snapshot, it)) {
            let calls = caller.jobs.iter().filter(|it| called_path(path, it).as_deref() == Some(&*self.path));
            res.extend(calls.filter_map(|it| called(self.snapshot, path, caller, it)));
        }
        res
    }
}

fn called_path(path: &str, job: &Job) -> Option<String> {
    let action = job.call.as_ref().map(|it| &it.action).filter(|it| it.is_local())?;
    Some(facts::join(links::base(path), &action.name))
}

/// What a job of `workflow` at `caller` calls.
fn called<'a>(snapshot: &'a Snapshot, caller: &'a Arc<str>, workflow: &'a Workflow, job: &'a Job) -> Option<CalledWorkflow<'a>> {
    let path = called_path(caller, job).filter(|_| !job.never_runs())?;
    let (path, file) = snapshot.entry(&path)?;
    let Model::Workflow(called) = &file.model else { return None };
    if !called.model.is_reusable() {
        return None;
    }
    let inputs = inputs_in_call(&called.model, job);
    let mut view = WorkflowView::new(snapshot, path.clone(), file, &called.syntax, &called.model);
    view.builds.retain_mut(|it| {
        it.places = places(snapshot, it, path, &inputs);
        !it.places.is_empty()
    });
    Some(CalledWorkflow { view, caller, workflow, job, call: job.call.as_ref()? })
}

/// The inputs of a leg.
pub(super) fn inputs_of(leg: Option<&Leg>) -> Leg {
    let inputs = leg.into_iter().flatten().filter(|it| expression::is_input_key(it.0));
    inputs.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Where a build finds its files in the legs that have one of `calls` as inputs.
fn places(snapshot: &Snapshot, build: &StepView<'_>, path: &str, calls: &[Leg]) -> Vec<links::Place> {
    let mut res = Vec::new();
    for (_, leg) in build.described.legs().into_iter().filter(|(_, leg)| calls.contains(&inputs_of(*leg))) {
        let place = place(snapshot, build.build, path, leg);
        if !res.contains(&place) {
            res.push(place);
        }
    }
    res
}

impl<'a> CalledWorkflow<'a> {
    /// The input that the call gives and that a value is made of.
    pub fn given(&self, value: &Value) -> Option<&'a Input> {
        let names: BTreeSet<&str> = value.parts.iter().flat_map(input_names).collect();
        self.call.inputs.iter().rev().find(|it| names.contains(it.name.as_str()))
    }
}

/// The inputs that an expression names, in lower case.
fn input_names(part: &Part) -> impl Iterator<Item = &str> {
    let source = match part {
        Part::Expression { source, known: None, .. } => source.as_str(),
        _ => "",
    };
    let is_name = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_');
    source.split("inputs.").skip(1).map(move |it| it.split(|it| !is_name(it)).next().unwrap_or_default())
}
