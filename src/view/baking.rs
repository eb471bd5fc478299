//! What rules ask of calls of bake and compose: the targets that are built, and where an option of
//! theirs stands.

use super::{StepView, WorkflowView};
use crate::build::Tool;
use crate::cache::{Attribute, CacheEntry};
use crate::edit::Span;
use crate::facts::{self, Text};
use crate::file::Model;
use crate::links;
use crate::links::Place;
use crate::links::baked::{self, Baked, Description};
use crate::snapshot::Snapshot;
use crate::value::{Leg, Part, Value};
use crate::workflow::{BuildStep, Job};

/// No more legs of one job are looked at one by one.
const MAX_LEGS: usize = 20;

/// A call of bake or compose whose files are known.
pub struct Call<'a> {
    /// The files that it reads, in order, by absolute path.
    pub(super) files: Vec<(String, Description<'a>)>,
    /// The targets that it builds.
    pub targets: Vec<Baked>,
    /// They are all that it may build: an expression decides which of them it does.
    pub is_open: bool,
}

impl<'a> WorkflowView<'a> {
    /// The call of bake or compose that a build is; `None` where what it builds cannot be told, or is
    /// not known yet.
    pub fn call(&self, build: &StepView<'_>) -> Option<Call<'a>> {
        Call::of(self.snapshot, &self.path, build.job, build.step).filter(|it| !it.is_open)
    }

    /// The calls that a build is: several where the files that it reads are others in some legs of its job.
    /// `None` where it cannot be told what one of them builds.
    pub fn calls(&self, build: &StepView<'_>) -> Option<Vec<Call<'a>>> {
        Call::each(self.snapshot, &self.path, build.job, build.step).into_iter().map(|it| it.filter(|it| !it.is_open)).collect()
    }
}

impl<'a> WorkflowView<'a> {
    /// The same in each leg of the job apart: a leg may build other targets than the next one. Of very many
    /// legs not all are told.
    pub fn calls_in_legs(&self, build: &StepView<'_>) -> Vec<Call<'a>> {
        let legs = build.job.legs().chunks(1).take(MAX_LEGS);
        legs.filter_map(|leg| Call::in_legs(self.snapshot, &self.path, leg, build.step)).filter(|it| !it.is_open).collect()
    }
}

impl<'a> Call<'a> {
    /// The call that a step of the workflow at `path` is, in all legs of its job.
    pub(super) fn of(snapshot: &'a Snapshot, path: &str, job: &Job, step: &BuildStep) -> Option<Call<'a>> {
        Call::in_legs(snapshot, path, job.legs(), step)
    }

    /// Whether a step may build a target of one of some names, as far as can be told without its files put together.
    pub(super) fn may_build(snapshot: &Snapshot, path: &str, job: &Job, step: &BuildStep, is_meant: &dyn Fn(&str) -> bool) -> bool {
        let asked: Option<Vec<String>> = step.targets.iter().map(Value::known).collect();
        let Some(asked) = asked.filter(|it| !it.is_empty()) else { return true };
        let files = baked::files(step, path, job.legs(), &|it| snapshot.file(it).is_some());
        files.is_none_or(|files| {
            files.iter().any(|it| match snapshot.file(it).map(|it| &it.model) {
                Some(Model::Bake(bake)) => {
                    let is_group = |name: &String| bake.groups.iter().any(|it| it.name == *name) || name.contains(['*', '?', '[']);
                    asked.iter().any(|it| is_meant(it) || is_group(it)) || bake.targets.iter().flat_map(|it| &it.needs).any(|it| is_meant(it))
                }
                _ => true,
            })
        })
    }

    /// The calls that a step is: one for each set of files that it names in the legs of its job. Nothing in the place
    /// of one that cannot be told.
    pub(super) fn each(snapshot: &'a Snapshot, path: &str, job: &Job, step: &BuildStep) -> Vec<Option<Call<'a>>> {
        match baked::legs_by_files(step, job.legs()) {
            Some(groups) if groups.len() > MAX_LEGS => vec![None],
            Some(groups) => groups.iter().map(|it| Call::in_legs(snapshot, path, it, step)).collect(),
            None => vec![Call::of(snapshot, path, job, step)],
        }
    }

    /// The same in some of the legs.
    pub(super) fn in_legs(snapshot: &'a Snapshot, path: &str, legs: &[Leg], step: &BuildStep) -> Option<Call<'a>> {
        let names = baked::files(step, path, legs, &|it| snapshot.file(it).is_some())?;
        let mut files = Vec::new();
        for name in names {
            let Some(file) = snapshot.file(&name) else {
                // Asking makes it wanted; the next snapshot has it as a file.
                snapshot.facts.text(&name);
                return None;
            };
            files.push((name, Description::of(file)?));
        }
        if step.build.tool == Tool::Compose && step.files.is_empty() && may_name_files(snapshot, &files)? {
            return None;
        }
        match baked::targets(&files, step, path, legs) {
            Some(targets) => Some(Call { files, targets, is_open: false }),
            None => Some(Call { targets: baked::all_targets(&files, step, path)?, files, is_open: true }),
        }
    }

    /// Whether it reads the file at `path`.
    pub(super) fn reads(&self, path: &str) -> bool {
        self.files.iter().any(|(it, _)| it == path)
    }

    /// The file of the call that an import or export of a target stands in; `None` for one of the
    /// call itself.
    pub fn file_of(&self, build: &StepView<'_>, entry: &CacheEntry) -> Option<(&str, Span)> {
        let own = &build.build;
        let is_own = own.exports.contains(entry) || own.imports.contains(entry);
        self.file_with(entry).filter(|_| !is_own).map(|it| (it, entry.span))
    }

    /// The file that an import or export stands in.
    pub(super) fn file_with(&self, entry: &CacheEntry) -> Option<&str> {
        self.files.iter().find(|it| has(&it.1, entry)).map(|it| it.0.as_str())
    }

    /// Where a target finds its files, for a call in the workflow at `path`.
    pub fn place(&self, target: &Baked, path: &str) -> Place {
        links::place(&target.build, path, None)
    }
}

/// Whether the variables of the project may name other files (`COMPOSE_FILE` in `.env`); `None`
/// where that is not known yet.
fn may_name_files(snapshot: &Snapshot, files: &[(String, Description<'_>)]) -> Option<bool> {
    let folder = facts::parent(&files.first()?.0);
    Some(match snapshot.text(&facts::join(folder, ".env"))? {
        Text::Known(text) => text.contains("COMPOSE_FILE"),
        Text::Missing => false,
        Text::Unreadable => true,
    })
}

/// Whether an entry stands in a file.
fn has(file: &Description<'_>, entry: &CacheEntry) -> bool {
    let stands = |it: &&crate::build::Build| it.imports.iter().chain(&it.exports).any(|it| is_same(it, entry));
    match file {
        Description::Bake(bake) => bake.targets.iter().map(|it| &it.build).any(|it| stands(&it)),
        Description::Compose(compose) => compose.services.iter().map(|it| &it.build).any(|it| stands(&it)),
    }
}

/// Whether two entries are one of a file, which a call may give other values.
pub(super) fn is_same(a: &CacheEntry, b: &CacheEntry) -> bool {
    let is_same_pair = |(a, b): (&Attribute, &Attribute)| a.span == b.span && a.name == b.name && is_same_text(&a.value, &b.value);
    a.span == b.span && a.backend == b.backend && a.attributes.len() == b.attributes.len() && a.attributes.iter().zip(&b.attributes).all(is_same_pair)
}

/// Whether two values are one of a file, in which a call may have set variables.
pub(super) fn is_same_text(a: &Value, b: &Value) -> bool {
    let is_same_part = |(a, b): (&Part, &Part)| match (a, b) {
        (Part::Expression { span, source, .. }, Part::Expression { span: other, source: written, .. }) => span == other && source == written,
        _ => a == b,
    };
    a.parts.len() == b.parts.len() && a.parts.iter().zip(&b.parts).all(is_same_part)
}
