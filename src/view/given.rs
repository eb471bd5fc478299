//! What the calls of a composite action or of a reusable workflow give it, and where that comes from.

use super::called::inputs_of;
use super::{StepView, Use, WorkflowView, place};
use crate::cache::CacheEntry;
use crate::dockerfile::context::Origin;
use crate::facts;
use crate::file::Model;
use crate::links::{self, Described};
use crate::snapshot::Snapshot;
use crate::value::{Leg, Value};
use crate::volatility::{Axis, Variance};
use crate::workflow::{self, Action, Event, Input, Job, Step, Workflow};
use std::sync::Arc;

/// Longer chains of calls are not followed back.
const MAX_DEPTH: usize = 4;
/// More calls of one file are not looked at.
pub(super) const MAX_SITES: usize = 20;
/// More calls, and calls of what calls, are not followed back for one answer.
pub(super) const MAX_FOLLOWED: usize = 200;

/// A job or a step of the repository that calls a workflow or an action.
pub struct Site<'a> {
    snapshot: &'a Snapshot,
    /// The file that calls.
    pub path: &'a Arc<str>,
    /// Its workflow, or the action that it is.
    pub workflow: &'a Workflow,
    /// The job that calls, or a step of which does.
    pub job: &'a Job,
    /// What is called, as it stands there.
    pub action: &'a Action,
    /// The step, of a call of an action.
    step: Option<&'a Step>,
    inputs: &'a [Input],
    called_path: &'a Arc<str>,
    called: &'a Workflow,
}

impl<'a> WorkflowView<'a> {
    /// Whether an entry leads to another place for every commit or in every run, by itself or as a call of the
    /// repository has it: what goes there is found by nothing that comes later.
    pub fn changes_per_run(&self, entry: &CacheEntry) -> bool {
        let Some(key) = entry.key() else { return false };
        let variance = key.value.variance();
        let changes: fn(&Variance) -> bool = |it| it.has(&Axis::Commit) || it.has(&Axis::Run);
        changes(&variance) || (variance.has_inputs() && self.sites().iter().any(|it| it.origin(&key.value, changes).is_some()))
    }

    /// The calls of this workflow or action in its repository, in order of path and place.
    pub fn sites(&self) -> Vec<Site<'a>> {
        sites(self.snapshot, &self.path)
    }
}

/// The calls of the workflow or the action at `path`.
pub(super) fn sites<'a>(snapshot: &'a Snapshot, path: &str) -> Vec<Site<'a>> {
    let mut res = Vec::new();
    let Some((called_path, file)) = snapshot.entry(path) else { return res };
    let Model::Workflow(called) = &file.model else { return res };
    let name = if links::is_action(path) { facts::parent(path) } else { path };
    for (path, caller) in snapshot.links.callers(name).filter_map(|it| caller(snapshot, it)) {
        let of_job = |job: &'a Job| workflow::calls_of_job(caller, job).map(move |(action, inputs, step)| (job, action, inputs, step));
        let all = caller.jobs.iter().flat_map(of_job).filter(|(_, action, ..)| facts::join(links::base(path), &action.name) == name);
        let site = |(job, action, inputs, step)| Site { snapshot, path, workflow: caller, job, action, step, inputs, called_path, called: &called.model };
        res.extend(all.map(site));
        if res.len() >= MAX_SITES {
            break;
        }
    }
    res.truncate(MAX_SITES);
    res
}

/// The workflow or the action at `path`, which calls others, if it is ever run.
pub(super) fn caller<'a>(snapshot: &'a Snapshot, path: &str) -> Option<(&'a Arc<str>, &'a Workflow)> {
    let (path, file) = snapshot.entry(path).filter(|(path, _)| snapshot.runs(path))?;
    let Model::Workflow(workflow) = &file.model else { return None };
    Some((path, &workflow.model))
}

impl Site<'_> {
    /// Where an input that `value` is made of comes from, if that is `wanted`: what this call gives it, its
    /// default where the call gives nothing, or what calls of the caller give that in turn.
    pub fn origin(&self, value: &Value, wanted: fn(&Variance) -> bool) -> Option<Origin> {
        let mut left = MAX_FOLLOWED;
        self.followed(value, wanted, 0, &mut left)
    }

    fn followed(&self, value: &Value, wanted: fn(&Variance) -> bool, depth: usize, left: &mut usize) -> Option<Origin> {
        *left = left.checked_sub(1)?;
        let variance = value.variance();
        let names = variance.iter().filter_map(|it| match it {
            Axis::Input(name) => Some(name),
            _ => None,
        });
        names.into_iter().find_map(|name| match self.inputs.iter().rev().find(|it| it.name == *name) {
            Some(input) => self.source(self.path, &input.value, wanted, depth, left),
            None => {
                let declared = &self.called.trigger(&Event::WorkflowCall)?.inputs;
                self.source(self.called_path, declared.iter().find(|it| it.name == *name)?.default.as_ref()?, wanted, depth, left)
            }
        })
    }

    /// The origin that a value of the file at `path` is or has.
    fn source(&self, path: &Arc<str>, value: &Value, wanted: fn(&Variance) -> bool, depth: usize, left: &mut usize) -> Option<Origin> {
        let variance = value.variance();
        if wanted(&variance) {
            return Some(Origin { path: path.clone(), span: value.span, text: value.shown(), variance, caller: self.path.clone() });
        }
        if depth == MAX_DEPTH || !variance.has_inputs() {
            return None;
        }
        sites(self.snapshot, path).iter().find_map(|it| it.followed(value, wanted, depth + 1, left))
    }

    /// The conditions that the call is under, the step's and its job's.
    pub fn conditions(&self) -> Vec<String> {
        let own = self.step.and_then(|it| it.condition.as_ref());
        self.job.condition.iter().chain(own).map(Value::pattern).collect()
    }

    /// The build of what is called in each leg of this call, with the inputs of the leg. `build` is of the view of what is
    /// called, at `path`.
    pub fn uses<'b>(&self, build: &'b StepView<'_>, path: &'b Arc<str>) -> Vec<(Leg, Use<'b>)> {
        let given = workflow::inputs_given(self.called, self.job, self.inputs);
        build.uses(path).into_iter().map(|it| (inputs_of(it.leg), it)).filter(|(inputs, _)| given.contains(inputs)).collect()
    }

    /// Whether another build of the file that calls imports what one run writes for itself.
    pub fn imports_per_run(&self) -> bool {
        let imports = self.workflow.builds().flat_map(|(_, it)| &it.build.imports);
        imports.into_iter().any(|it| it.opaque || it.key().is_some_and(|it| it.value.variance().is_per_commit()))
    }

    /// Whether this call has a build of what it calls made of a Dockerfile.
    pub(super) fn builds(&self, build: &Described<'_>, dockerfile: &str) -> bool {
        let inputs = workflow::inputs_given(self.called, self.job, self.inputs);
        let legs = build.legs().into_iter().filter(|(_, leg)| leg.is_none_or(|it| inputs.contains(&inputs_of(Some(it)))));
        legs.into_iter().any(|(_, leg)| place(self.snapshot, build.build, self.called_path, leg).dockerfile.as_deref() == Some(dockerfile))
    }
}
