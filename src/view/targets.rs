//! What rules ask of bake and compose files: the targets that stand in one, as each call of a
//! workflow builds them. What a workflow's own lines say is not the file's, and not looked at here.

use super::baking::{Call, is_same, is_same_text};
use super::caching::{may_use, references};
use super::model;
use super::runs;
use super::stages::last_beside;
use crate::bake::Bake;
use crate::build::Build;
use crate::cache::CacheEntry;
use crate::compose::Compose;
use crate::dockerfile::{Dockerfile, Stage};
use crate::facts;
use crate::file::{File, Model, Yaml};
use crate::links::baked::{self, Baked, Description};
use crate::links::locations::{Location, Side};
use crate::links::{self, Described, Place};
use crate::snapshot::Snapshot;
use crate::value::{Part, Value};
use crate::volatility::Axis;
use crate::workflow::repair::{self, CacheEdit};
use crate::workflow::{BuildStep, Builder, Job, Trigger};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Files that more builds of workflows call are judged by the first of them.
const MAX_CALLS: usize = 50;

/// A bake or compose file with its targets.
pub struct TargetsView<'a> {
    /// Its absolute path.
    pub path: Arc<str>,
    /// Its text.
    pub source: Arc<str>,
    /// Its targets or services, in order.
    pub targets: Vec<TargetView<'a>>,
    /// All that is known.
    pub snapshot: &'a Snapshot,
    /// The calls that build something of it.
    calls: Vec<Call<'a>>,
    pub(super) syntax: Syntax<'a>,
}

/// What the file was read from.
pub(super) enum Syntax<'a> {
    Compose(&'a Yaml<Compose>),
    Bake(&'a Bake),
}

impl<'a> Syntax<'a> {
    /// The targets that are built where nobody says which.
    fn defaults(&self) -> BTreeSet<&'a str> {
        match self {
            Syntax::Compose(compose) => compose.model.select(&[], false).into_iter().flatten().map(|it| it.name.as_str()).collect(),
            Syntax::Bake(bake) => bake.select(&[]).into_iter().map(|it| it.name.as_str()).collect(),
        }
    }

    /// The targets that are there to be inherited from: no group has them.
    fn templates(&self) -> BTreeSet<&'a str> {
        let Syntax::Bake(bake) = self else { return BTreeSet::new() };
        let inherited = bake.targets.iter().flat_map(|it| &it.inherits).map(String::as_str);
        let grouped = |name: &str| bake.groups.iter().any(|it| it.targets.iter().any(|it| it == name));
        inherited.filter(|it| *it != "default" && !grouped(it)).collect()
    }
}

/// A target or service.
pub struct TargetView<'a> {
    /// Its number among the builds of the file.
    pub index: usize,
    /// What the file says of it, with what it inherits.
    pub build: &'a Build,
    /// It is built where nobody says what is to be built.
    pub is_default: bool,
    /// The different ways in which it is built; one where no workflow is known to build it.
    pub builds: Vec<TargetBuild<'a>>,
}

/// A target as one call builds it, or as it stands in the file.
pub struct TargetBuild<'a> {
    /// What is built.
    pub build: Build,
    /// Where it finds its files.
    pub place: Place,
    /// The number of the call; `None` where no workflow is known to build it.
    pub call: Option<usize>,
    /// An expression decides whether the call builds it.
    pub is_open: bool,
    /// The job and the step of the call.
    pub step: Option<(&'a Job, &'a BuildStep)>,
    /// The workflow or the action of the call.
    caller: Option<&'a Arc<str>>,
    /// Another target of the call uses it, whose cache holds what this one's does.
    pub is_part: bool,
    /// Whether the image is pushed: `None` where an expression decides.
    pub push: Option<bool>,
}

/// What is known of the calls of a file.
#[derive(Default)]
struct Calls<'a> {
    /// The targets of each call, the job and the step that it is, and the path of its workflow.
    known: Vec<(Call<'a>, &'a Job, &'a BuildStep, &'a Arc<str>)>,
    /// A call builds with a builder that keeps its layers, which needs none of what is asked for here.
    is_kept: bool,
    /// A call says something of targets that cannot be told.
    is_open: bool,
}

impl<'a> TargetsView<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, path: Arc<str>, file: &'a File, syntax: Syntax<'a>) -> TargetsView<'a> {
        let calls = calls(snapshot, &path);
        let (defaults, templates) = (syntax.defaults(), syntax.templates());
        let together = baked::read_by_default(&path, &|it| Description::of(snapshot.file(it)?));
        let target = |(index, it): (usize, Described<'a>)| TargetView {
            index,
            build: it.build,
            is_default: defaults.contains(it.build.name.as_str()),
            builds: builds(whole(it.build, together.as_ref()), &path, &calls, templates.contains(it.build.name.as_str())),
        };
        let targets = file.builds().into_iter().enumerate().map(target).collect();
        let calls = calls.known.into_iter().map(|it| it.0).collect();
        TargetsView { path, source: file.text().clone(), targets, snapshot, calls, syntax }
    }

    /// Whether a part of the file could not be read, so that something that seems to be missing may
    /// be there.
    pub fn is_broken(&self) -> bool {
        match self.syntax {
            Syntax::Compose(compose) => !compose.syntax.errors.is_empty(),
            Syntax::Bake(bake) => bake.broken,
        }
    }

    /// The builds that do build something of which all is known, with their targets.
    pub fn judged(&self) -> impl Iterator<Item = (&TargetView<'a>, &TargetBuild<'a>)> {
        self.targets.iter().flat_map(|target| target.builds.iter().map(move |it| (target, it))).filter(|(_, it)| !it.build.dry && !it.build.opaque)
    }

    /// All targets that a call builds, those of its other files too; nothing where an expression decides.
    pub fn targets_of(&self, call: usize) -> &[Baked] {
        self.calls.get(call).filter(|it| !it.is_open).map_or(&[], |it| &it.targets)
    }

    /// Whether an import or export stands in this file: calls and other files may add some.
    pub fn has(&self, entry: &CacheEntry) -> bool {
        self.targets.iter().any(|it| it.build.imports.iter().chain(&it.build.exports).any(|it| is_same(it, entry)))
    }

    /// The file in which an import or export of a target stands; `None` for one of the call itself.
    pub fn file_of(&self, build: &TargetBuild<'_>, entry: &CacheEntry) -> Option<Arc<str>> {
        if self.has(entry) {
            return Some(self.path.clone());
        }
        self.calls.get(build.call?)?.file_with(entry).map(Arc::from)
    }

    /// Whether a value stands in this file and not in one that adds to it: `of` gives those of a target.
    pub fn stands_here(&self, value: &Value, of: impl Fn(&Build) -> Vec<&Value>) -> bool {
        let is_it = |it: &&Value| it.span == value.span && is_same_text(it, value);
        !value.span.is_empty() && self.targets.iter().any(|it| of(it.build).iter().any(is_it))
    }

    /// The model of a Dockerfile; `None` where it is not known (yet), or is none.
    pub fn dockerfile(&self, path: &str) -> Option<&'a Dockerfile> {
        model(self.snapshot, path)
    }

    /// The last stage that a build runs, that downloads or compiles something and that no layer of
    /// the image comes from, with the path of its Dockerfile.
    pub fn stage_beside_image(&self, build: &TargetBuild<'_>) -> Option<(String, &'a Stage)> {
        last_beside(self.snapshot, &build.place)
    }

    /// Gives attributes of an entry their values; adds those that are not there. `None` where that
    /// cannot be done exactly.
    pub fn set_attributes(&self, entry: &CacheEntry, pairs: &[(&str, &str)]) -> Option<CacheEdit> {
        match self.syntax {
            Syntax::Compose(compose) => repair::File { text: &self.source, source: &compose.syntax }.set_attributes(entry, pairs),
            Syntax::Bake(_) => repair::set_attributes_in_bake(&self.source, entry, pairs),
        }
    }

    /// Gives a target an import; it must have none, and `export` must stand in its own block. `None` where
    /// that cannot be done exactly.
    pub fn add_import(&self, target: &TargetView<'_>, export: &CacheEntry, record: &str) -> Option<CacheEdit> {
        if !target.build.whole.contains(export.span) {
            return None;
        }
        match self.syntax {
            Syntax::Compose(compose) => {
                let file = repair::File { text: &self.source, source: &compose.syntax };
                file.add_entries_in_compose(target.build, "cache_from", &[record])
            }
            Syntax::Bake(_) if self.path.ends_with(".json") => None,
            Syntax::Bake(_) => repair::add_entries_in_bake(&self.source, target.build, "cache-from", &[record]),
        }
    }

    /// Where an entry leads, comparable with the entries of other builds.
    pub fn location(&self, build: &TargetBuild<'_>, entry: &CacheEntry) -> Location {
        Described { build: &build.build, step: None }.location(entry, &self.path, None)
    }

    /// Whether a build of the repository other than `own` uses the location of an entry, or may.
    pub fn may_be_used(&self, side: Side, own: Option<&TargetView<'_>>, build: &TargetBuild<'_>, entry: &CacheEntry) -> bool {
        let is_own = |it: &links::Reference| *it.path == *self.path && own.is_some_and(|own| own.index == it.build);
        let location = self.location(build, entry);
        references(self.snapshot, &self.path, side, &location).any(|it| !is_own(it)) || may_use(self.snapshot, &self.path, side, entry.backend)
    }

    /// What starts the workflow that a build is made in, or its callers; nothing where none is known to make it.
    pub fn triggers(&self, build: &TargetBuild<'a>) -> Vec<&'a Trigger> {
        let workflow = build.caller.and_then(|path| Some((path, self.snapshot.file(path)?)));
        let Some((path, Model::Workflow(workflow))) = workflow.map(|(path, file)| (path, &file.model)) else { return Vec::new() };
        runs::triggers(self.snapshot, path, &workflow.model, |_| true).into_iter().map(|it| it.1).collect()
    }

    /// Whether the paths of a build start where the file says: a workflow builds it, or it has a name
    /// that is looked for in its own folder.
    pub fn is_placed(&self, build: &TargetBuild<'_>) -> bool {
        let name = facts::name(&self.path);
        let is_override = name.contains("override");
        let stem = name.split('.').next().unwrap_or_default();
        let is_default = name.matches('.').count() == 1 && matches!(stem, "compose" | "docker-compose" | "docker-bake");
        build.call.is_some() || (is_default && !is_override)
    }
}

/// Whether a value is what the file says, whoever builds it: no variable is in it.
pub fn is_fixed(value: &Value) -> bool {
    value.parts.iter().all(|it| match it {
        Part::Text(_) => true,
        Part::Expression { known: Some(_), variance, .. } => variance.iter().any(|it| matches!(it, Axis::Matrix(_))),
        Part::Expression { .. } => false,
    })
}

/// Whether an entry is what the file says, whoever builds it.
pub fn is_fixed_entry(entry: &CacheEntry) -> bool {
    !entry.opaque && !entry.conditional && entry.attributes.iter().all(|it| is_fixed(&it.value))
}

fn calls<'a>(snapshot: &'a Snapshot, path: &str) -> Calls<'a> {
    let root = snapshot.root(path);
    let mut res = Calls::default();
    let references = snapshot.links.calls_of(path).iter().filter(|it| snapshot.root(&it.path) == root && snapshot.runs(&it.path));
    for reference in references.take(MAX_CALLS) {
        let Some((workflow, file)) = snapshot.entry(&reference.path) else { continue };
        let Some((_, job, step)) = file.builds().get(reference.build).and_then(|it| it.step) else { continue };
        if step.build.dry {
            continue;
        }
        let calls = Call::each(snapshot, workflow, job, step);
        let by_leg = calls.len() > 1;
        for call in calls {
            match call {
                // It reads other files.
                Some(call) if !call.reads(path) => {}
                Some(_) if matches!(job.builder(step), Builder::Persistent(_)) => res.is_kept = true,
                Some(call) if !step.build.opaque => res.known.push((call, job, step, workflow)),
                // A leg of which the files are not known reads others, as far as is known.
                None if by_leg && !step.build.opaque => {}
                _ => res.is_open |= !step.overrides.is_empty() || step.build.opaque,
            }
        }
    }
    res
}

/// A target with what the files beside it say of it. Legs whose names are not known stay as they are.
fn whole<'a>(own: &'a Build, together: Option<&'a Bake>) -> &'a Build {
    let mut named = together.into_iter().flat_map(|it| &it.targets).filter(|it| it.name == own.name);
    match (named.next(), named.next()) {
        (Some(found), None) => &found.build,
        _ => own,
    }
}

/// The ways in which a target of the file at `path` is built.
fn builds<'a>(own: &Build, path: &str, calls: &Calls<'a>, is_template: bool) -> Vec<TargetBuild<'a>> {
    let mut res = Vec::new();
    for (index, (call, job, step, workflow)) in calls.known.iter().enumerate() {
        let Some(baked) = call.targets.iter().find(|it| it.is(&own.name) && !(is_template && call.is_open)) else { continue };
        let push = match (baked.build.push, step.build.push) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (None, _) | (_, None) => None,
            _ => Some(false),
        };
        let place = links::place(&baked.build, workflow, None);
        res.push(TargetBuild {
            build: baked.build.clone(),
            place,
            call: Some(index),
            is_open: call.is_open,
            step: Some((*job, *step)),
            caller: Some(*workflow),
            is_part: baked.is_part,
            push,
        });
    }
    if res.is_empty() && !is_template && !calls.is_kept && !calls.is_open {
        res.push(TargetBuild {
            build: own.clone(),
            place: links::place(own, path, None),
            call: None,
            is_open: false,
            step: None,
            caller: None,
            is_part: false,
            push: own.push,
        });
    }
    res
}
