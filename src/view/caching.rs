//! What rules about caches ask of builds: who else uses a location, whether two builds build the
//! same, and how an entry is moved to another location.

use super::{StepView, WorkflowView, model};
use crate::build::Build;
use crate::cache::{Backend, CacheEntry};
use crate::dockerfile::{self, Base, Dockerfile};
use crate::edit::Edit;
use crate::facts;
use crate::file::{File, Kind, Model};
use crate::links::locations::{Elsewhere, Location, Side};
use crate::links::{self, Described, Folder, Place, Reference, Target};
use crate::snapshot::Snapshot;
use crate::value::{Leg, Value};
use crate::workflow::repair::{self, CacheEdit};
use crate::workflow::{Action, Builder, Event, Job, first_name, is_one_key};
use std::sync::Arc;

/// Files with more builds have no fix that has to look at all of them for each.
const MAX_BUILDS: usize = 200;

/// No more builds of one name are compared.
const MAX_NAMESAKES: usize = 20;

/// A build in one leg of its job's matrix, in any file.
#[derive(Clone, Copy)]
pub struct Use<'a> {
    /// The file that describes it.
    pub path: &'a Arc<str>,
    /// Its number among the builds of the file.
    pub index: usize,
    /// The build.
    pub described: Described<'a>,
    /// The leg; nothing where there is no matrix, or where its legs are not known.
    pub leg: Option<&'a Leg>,
}

/// Whether two builds build the same, as far as the cache can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// The same Dockerfile, context and target from the same base.
    Same,
    /// Something differs for certain.
    Different,
    /// Something of one of them is not known.
    Unknown,
}

impl<'a> WorkflowView<'a> {
    /// The builds whose cache options can be judged: they build, with a builder that forgets its
    /// layers.
    pub fn judged(&self) -> impl Iterator<Item = &StepView<'a>> {
        self.builds.iter().filter(|it| !it.build.dry && !matches!(it.builder, Builder::Persistent(_)))
    }

    /// The builds of the repository that use a location, in order of path and place.
    pub fn users(&self, side: Side, location: &Location) -> impl Iterator<Item = Use<'a>> {
        self.references(side, location).filter_map(|it| of_reference(self.snapshot, it))
    }

    /// Whether a build of the repository uses a location, other than one of `own` of this file.
    pub fn is_used(&self, side: Side, location: &Location, own: &[&StepView<'_>]) -> bool {
        self.references(side, location).any(|it| !self.is_own(it, own))
    }

    fn references(&self, side: Side, location: &Location) -> impl Iterator<Item = &'a Reference> {
        references(self.snapshot, &self.path, side, location)
    }

    fn is_own(&self, reference: &Reference, own: &[&StepView<'_>]) -> bool {
        *reference.path == *self.path && own.iter().any(|it| it.index == reference.build)
    }

    /// Whether something in the repository may use a location of this backend that cannot be told:
    /// an expression decides, or it is described in an action or in another repository.
    pub fn may_use(&self, side: Side, backend: Backend) -> bool {
        may_use(self.snapshot, &self.path, side, backend)
    }

    /// Whether a build other than `own` reads one of the locations and would have nothing to read
    /// without them. One that writes there as well goes on with its own.
    pub fn is_read_elsewhere(&self, locations: &[Location], own: &[&StepView<'_>]) -> bool {
        locations.iter().any(|location| {
            let writers = self.snapshot.links.locations.users(Side::Export, location);
            self.references(Side::Import, location).any(|it| !self.is_own(it, own) && writers.binary_search(it).is_err())
        })
    }

    /// The file, to be edited.
    pub fn edits(&self) -> repair::File<'_> {
        repair::File { text: &self.source, source: self.yaml }
    }

    /// Moves all entries of a build that lead to one location to another: its key attribute gets
    /// another value. `None` where one of them cannot be edited.
    pub fn move_cache(&self, build: &StepView<'_>, from: &str, to: &str) -> Option<CacheEdit> {
        let entries = build.build.exports.iter().chain(&build.build.imports).filter(|it| it.location().as_deref() == Some(from));
        let to = self.as_written(build.job, to);
        let mut res: Option<CacheEdit> = None;
        for entry in entries {
            let edit = self.edits().set_attributes(entry, &[(entry.key_name()?, &to)])?;
            res = Some(match res {
                Some(known) => known.and(edit)?,
                None => edit,
            });
        }
        res
    }

    /// A text with the keys of the job's matrix as the file spells them: the model has their names in
    /// lower case, which means the same and reads worse.
    pub fn as_written(&self, job: &Job, text: &str) -> String {
        const KEY: &str = "matrix.";
        let matrix = job.matrix.as_ref().map_or("", |it| it.span.of(&self.source));
        let lower = matrix.to_ascii_lowercase();
        let mut pieces = text.split(KEY);
        let mut res = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let length = piece.bytes().take_while(|it| it.is_ascii_alphanumeric() || b"-_.".contains(it)).count();
            let (path, rest) = piece.split_at(length);
            let segments: Vec<&str> = path.split('.').map(|it| spelling(matrix, &lower, it)).collect();
            res += &format!("{KEY}{}{rest}", segments.join("."));
        }
        res
    }

    /// A step in front of that of a build, for `uses`, above the comments of the build's step.
    /// `None` where the steps are not written one below the other, and in a file that names actions by
    /// their commits: which one would be right only the network knows.
    pub fn insert_step(&self, build: &StepView<'_>, uses: &str) -> Option<Edit> {
        let mut actions = self.workflow.jobs.iter().flat_map(|it| &it.steps).filter_map(|it| it.action.as_ref());
        if actions.any(Action::is_pinned) {
            return None;
        }
        let step = build.job.steps.get(build.step.step).filter(|it| !it.shared)?;
        if !self.yaml.errors.is_empty() {
            return None;
        }
        let line = |at: usize| self.source[..at].rfind('\n').map_or(0, |it| it + 1);
        let mut at = line(step.span.start);
        let head = self.source.get(at..step.span.start)?;
        let indent = head.trim_end().strip_suffix('-').filter(|it| it.bytes().all(|it| it == b' '))?;
        // A comment at the dash's column belongs to the step below it.
        while let Some(end) = at.checked_sub(1).filter(|it| *it > 0) {
            let above = line(end);
            let is_comment = self.source.get(above..end).and_then(|it| it.strip_prefix(indent)).is_some_and(|it| it.starts_with('#'));
            if !is_comment {
                break;
            }
            at = above;
        }
        let ending = if self.source[..at].ends_with("\r\n") { "\r\n" } else { "\n" };
        Some(Edit::insert(at, format!("{indent}- uses: {uses}{ending}")))
    }

    /// Whether GitHub runs it; other services that read the same files have caches of their own.
    pub fn is_on_github(&self) -> bool {
        !["/.gitea/", "/.forgejo/"].iter().any(|it| self.path.contains(it))
    }

    /// Whether somebody who may not write to the repository can start it on the main branch. There
    /// GitHub refuses to write the cache for them or, where `cache-mode` allows it, gives what they
    /// have built to everybody (docs/facts.md D.6).
    pub fn may_be_started_by_strangers(&self) -> bool {
        let strangers = [Event::PullRequestTarget, Event::IssueComment, Event::WorkflowRun];
        self.triggers().iter().any(|it| strangers.contains(&it.1.event))
    }

    /// Whether it runs on tags only, each of which has a cache of its own at GitHub that no other
    /// run reads (docs/facts.md D.6).
    pub fn runs_on_tags_only(&self) -> bool {
        let triggers = self.triggers();
        !triggers.is_empty() && triggers.iter().all(|it| it.1.runs_on_tags())
    }

    /// A scope for a build, named after its image, and after the file where another workflow
    /// builds something else of that name. `None` for a file with more builds than one can find
    /// names for.
    pub fn scope_name(&self, build: &StepView<'_>) -> Option<String> {
        if self.builds.len() > MAX_BUILDS {
            return None;
        }
        let name = self.workflow.scope_name(build.job, build.step);
        let file = facts::name(&self.path).split('.').next().unwrap_or_default();
        Some(if self.has_namesake(build, &name) { format!("{name}-{file}") } else { name })
    }

    /// Whether another workflow builds something else that would be given the same name.
    fn has_namesake(&self, build: &StepView<'_>, name: &str) -> bool {
        let own = Use { path: &self.path, index: build.index, described: build.described, leg: None };
        let product = self.product(&own);
        // What is not of the matrix, such as `github.workflow`, may be something else there.
        let is_told = product.matches("${{").count() == product.matches("${{ matrix.").count();
        let is_other = |it: &Use<'_>| !(is_told && self.product(it) == product) && self.likeness(&own, it) != Likeness::Same;
        let is_named = |it: &Use<'_>| it.described.step.is_some_and(|(workflow, job, step)| is_one_key(&workflow.scope_name(job, step), name));
        let references = in_repository(self.snapshot, &self.path, self.snapshot.links.named(&first_name(self.workflow, build.job, build.step)))
            .filter(|it| it.path != self.path);
        let named: Vec<Use<'_>> = references.take(MAX_NAMESAKES + 1).filter_map(|it| of_reference(self.snapshot, it)).collect();
        // Of very many one is bound to be something else.
        named.len() > MAX_NAMESAKES || named.iter().any(|it| is_other(it) && is_named(it))
    }

    /// The text of a value as the file has it.
    pub fn written(&self, value: &Value) -> &str {
        value.span.of(&self.source)
    }

    /// What a build builds in its leg, as a text: equal for legs that build the same. What is not
    /// known stands there as it is written.
    pub fn product(&self, build: &Use<'_>) -> String {
        product_of(self.snapshot, build.described.build, &build.place(), build.leg, platforms(build))
    }

    /// Whether both build the same, as far as the cache can tell.
    pub fn likeness(&self, a: &Use<'_>, b: &Use<'_>) -> Likeness {
        likeness(self.snapshot, a, b)
    }
}

/// See [`WorkflowView::product`].
pub(super) fn product_of(snapshot: &Snapshot, options: &Build, place: &Place, leg: Option<&Leg>, platforms: Option<Vec<String>>) -> String {
    let dockerfile = place.dockerfile.as_deref().and_then(|it| model(snapshot, it));
    let declared = |name: &str| dockerfile.is_none_or(|it| it.declared().any(|it| it == name));
    let text = |value: &Value| in_leg(value, leg).unwrap_or_else(|| value.pattern());
    let arguments: Vec<String> =
        options.arguments.iter().filter(|it| declared(&it.name)).map(|it| format!("{}={}", it.name, it.value.as_ref().map(text).unwrap_or_default())).collect();
    let contexts: Vec<String> = options.contexts.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
    let file = options.dockerfile.as_ref().map(text);
    let folder = options.context.value().map(text).unwrap_or_default();
    let target = options.target.as_ref().map(text);
    format!("{file:?} {folder:?} {target:?} {platforms:?} {arguments:?} {contexts:?}")
}

impl<'a> StepView<'a> {
    /// The build in each leg.
    pub fn uses<'b>(&'b self, path: &'b Arc<str>) -> Vec<Use<'b>> {
        self.described.legs().into_iter().map(|(_, leg)| Use { path, index: self.index, described: self.described, leg }).collect()
    }

    /// The locations of an entry over all legs, without repetition.
    pub fn locations(&self, entry: &CacheEntry, path: &str) -> Vec<Location> {
        let mut res = Vec::new();
        for (_, leg) in self.described.legs() {
            let location = self.described.location(entry, path, leg);
            if !res.contains(&location) {
                res.push(location);
            }
        }
        res
    }

    /// Whether the cache service lets it do what its options say: no `cache-mode` restricts it.
    pub fn may_write_cache(&self) -> bool {
        let mode = self.described.step.and_then(|(workflow, job, _)| workflow.cache_mode(job));
        mode.is_none_or(|it| it.known().as_deref() == Some("write"))
    }

    /// The conditions that it runs under, its own and that of its job.
    pub fn conditions(&self) -> Vec<String> {
        conditions(&self.described)
    }

    /// Whether its conditions may keep it from running in some legs of the job, or where a file is not
    /// there.
    pub fn may_skip_legs(&self) -> bool {
        const WORDS: &[&str] = &["matrix.", "strategy.", "runner.", "hashfiles", "exist", "dockerfile"];
        self.conditions().iter().map(|it| it.to_ascii_lowercase()).any(|it| WORDS.iter().any(|word| it.contains(word)))
    }
}

impl Use<'_> {
    /// Where it finds its files.
    pub fn place(&self) -> Place {
        links::place(self.described.build, self.path, self.leg)
    }

    /// The conditions that it runs under.
    pub fn conditions(&self) -> Vec<String> {
        conditions(&self.described)
    }
}

fn conditions(described: &Described<'_>) -> Vec<String> {
    let Some((_, job, step)) = described.step else { return Vec::new() };
    let own = job.steps.get(step.step).and_then(|it| it.condition.as_ref());
    job.condition.iter().chain(own).map(Value::pattern).collect()
}

/// The builds of the repository of `path` that use a location.
pub(super) fn references<'a>(snapshot: &'a Snapshot, path: &str, side: Side, location: &Location) -> impl Iterator<Item = &'a Reference> {
    in_repository(snapshot, path, snapshot.links.locations.users(side, location))
}

/// The builds of the repository of `path` that somebody runs.
fn in_repository<'a>(snapshot: &'a Snapshot, path: &str, references: &'a [Reference]) -> impl Iterator<Item = &'a Reference> {
    let root = snapshot.root(path).to_owned();
    let counts = move |path: &str| snapshot.root(path) == root && (Kind::of(path) != Kind::Workflow || snapshot.runs(path));
    // References of one file stand together.
    let mut last: Option<(&Arc<str>, bool)> = None;
    references.iter().filter(move |it| {
        let known = last.filter(|(path, _)| **path == it.path);
        let (_, res) = *last.insert(known.unwrap_or_else(|| (&it.path, counts(&it.path))));
        res
    })
}

/// Whether something in the repository of `path` may use a location of a backend that cannot be
/// told.
pub(super) fn may_use(snapshot: &Snapshot, path: &str, side: Side, backend: Backend) -> bool {
    let root = snapshot.root(path);
    let unknown = [backend, Backend::Unknown].iter().any(|it| references(snapshot, path, side, &Location::Somewhere(*it)).next().is_some());
    // What an action of the repository does is known where it is a composite one.
    let is_read = |folder: &String| ["action.yml", "action.yaml"].iter().any(|it| snapshot.file(&facts::join(folder, it)).is_some_and(is_composite));
    let is_open = |it: &Elsewhere| match it {
        Elsewhere::Unknown => true,
        Elsewhere::Actions(folders) => !folders.iter().all(is_read),
    };
    unknown || snapshot.links.locations.open().any(|(path, it)| snapshot.root(path) == root && snapshot.runs(path) && is_open(it))
}

fn is_composite(file: &Arc<File>) -> bool {
    matches!(&file.model, Model::Workflow(it) if it.model.is_action)
}

pub(super) fn of_reference<'a>(snapshot: &'a Snapshot, reference: &Reference) -> Option<Use<'a>> {
    let (path, file) = snapshot.entry(&reference.path)?;
    let described = file.builds().get(reference.build).copied()?;
    let leg = described.legs().into_iter().find(|(leg, _)| *leg == reference.leg).and_then(|it| it.1);
    Some(Use { path, index: reference.build, described, leg })
}

pub(super) fn likeness(snapshot: &Snapshot, a: &Use<'_>, b: &Use<'_>) -> Likeness {
    let (place, other) = (a.place(), b.place());
    let dockerfile = place.dockerfile.as_deref().filter(|it| other.dockerfile.as_deref() == Some(it)).and_then(|it| model(snapshot, it));
    let parts = [
        of_options(place.dockerfile.as_ref(), other.dockerfile.as_ref()),
        of_options(folder(&place.context), folder(&other.context)),
        of_targets(dockerfile, &place.target, &other.target),
        of_platforms(a, b),
        dockerfile.map_or(Likeness::Unknown, |it| of_arguments(it, a, b)),
    ];
    if parts.contains(&Likeness::Different) {
        Likeness::Different
    } else if parts.contains(&Likeness::Unknown) {
        Likeness::Unknown
    } else {
        Likeness::Same
    }
}

fn of_options<T: PartialEq>(a: Option<T>, b: Option<T>) -> Likeness {
    match (a, b) {
        (Some(a), Some(b)) if a == b => Likeness::Same,
        (Some(_), Some(_)) => Likeness::Different,
        _ => Likeness::Unknown,
    }
}

fn folder(context: &Folder) -> Option<&str> {
    match context {
        Folder::Disk(folder) | Folder::Git(folder) => Some(folder),
        Folder::Unknown => None,
    }
}

fn of_targets(dockerfile: Option<&Dockerfile>, a: &Target, b: &Target) -> Likeness {
    let stage = |target: &Target| match (target, dockerfile) {
        (Target::Last, Some(dockerfile)) => dockerfile.stages.last().map(|it| it.index),
        (Target::Named(name), Some(dockerfile)) => dockerfile.stage(name).map(|it| it.index),
        _ => None,
    };
    match (a, b) {
        (Target::Last, Target::Last) => Likeness::Same,
        (Target::Named(a), Target::Named(b)) if a.eq_ignore_ascii_case(b) => Likeness::Same,
        // A number and a name may mean one stage, but two names do not.
        (Target::Named(_), Target::Named(_)) if dockerfile.is_none() => Likeness::Different,
        (Target::Unknown, _) | (_, Target::Unknown) => Likeness::Unknown,
        _ => of_options(stage(a), stage(b)),
    }
}

/// Platforms are alike if one build has all of the other's: its index then serves both.
fn of_platforms(a: &Use<'_>, b: &Use<'_>) -> Likeness {
    let (Some(a), Some(b)) = (platforms(a), platforms(b)) else { return Likeness::Unknown };
    let within = |a: &[String], b: &[String]| a.iter().all(|it| b.contains(it));
    if a.is_empty() || b.is_empty() || within(&a, &b) || within(&b, &a) { Likeness::Same } else { Likeness::Different }
}

/// The platforms of a build in its leg: those asked for, else the runner's; none where the runner
/// does not tell.
pub(super) fn platforms(it: &Use<'_>) -> Option<Vec<String>> {
    platforms_on(it.described.build, it.described.step.map(|(_, job, _)| job), it.leg)
}

/// The same of a build that a job makes.
pub(super) fn platforms_on(build: &Build, job: Option<&Job>, leg: Option<&Leg>) -> Option<Vec<String>> {
    let values = build.platforms.iter().map(|value| in_leg(value, leg)).collect::<Option<Vec<String>>>()?;
    let listed: Vec<String> = values.iter().flat_map(|it| it.split([',', '\n'])).map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect();
    if !listed.is_empty() {
        return Some(listed);
    }
    let labels = job.and_then(|it| it.runner.as_ref()).map(|it| it.labels.as_slice()).unwrap_or_default();
    let [label] = labels else { return Some(Vec::new()) };
    let label = in_leg(label, leg).unwrap_or_default();
    Some(match label.strip_prefix("ubuntu-") {
        Some(rest) if rest.contains("arm") => vec!["linux/arm64".to_owned()],
        Some(_) => vec!["linux/amd64".to_owned()],
        None => Vec::new(),
    })
}

pub(super) fn in_leg(value: &Value, leg: Option<&Leg>) -> Option<String> {
    leg.map_or_else(|| value.known(), |it| value.in_leg(it))
}

/// Build arguments that choose a base image.
fn of_arguments(dockerfile: &Dockerfile, a: &Use<'_>, b: &Use<'_>) -> Likeness {
    let names = dockerfile.stages.iter().filter_map(|it| match &it.base {
        Base::Image(image) => Some(&image.arguments),
        _ => None,
    });
    let mut res = Likeness::Same;
    for name in names.flatten() {
        match of_options(argument(dockerfile, name, a), argument(dockerfile, name, b)) {
            Likeness::Different => return Likeness::Different,
            Likeness::Unknown => res = Likeness::Unknown,
            Likeness::Same => {}
        }
    }
    res
}

/// The value of a global argument in a build.
fn argument(dockerfile: &Dockerfile, name: &str, build: &Use<'_>) -> Option<String> {
    if let Some(passed) = build.described.build.arguments.iter().rev().find(|it| it.name == name) {
        return passed.value.as_ref().and_then(|it| in_leg(it, build.leg));
    }
    let declared = dockerfile.globals.iter().rev().find_map(|it| match &it.kind {
        dockerfile::Kind::Arg(variables) => variables.iter().find(|it| it.name == name),
        _ => None,
    });
    declared?.value.clone()
}

/// A key as a text has it, whose form in lower case is `lower`.
fn spelling<'t>(text: &'t str, lower: &str, key: &'t str) -> &'t str {
    let is_name = |it: Option<&u8>| it.is_some_and(|it| it.is_ascii_alphanumeric() || b"-_".contains(it));
    let is_key = |at: &usize| {
        let behind = lower.get(at + key.len()..).unwrap_or_default().trim_start_matches(['"', '\'', ' ']);
        behind.starts_with(':') && !is_name(at.checked_sub(1).and_then(|it| lower.as_bytes().get(it)))
    };
    let found = lower.match_indices(key).map(|(at, _)| at).find(is_key).filter(|_| !key.is_empty());
    found.and_then(|at| text.get(at..at + key.len())).unwrap_or(key)
}

/// The name of a file as a person reads it: from the root of the repository.
pub fn display<'a>(snapshot: &Snapshot, path: &'a str) -> &'a str {
    facts::relative(path, snapshot.root(path)).unwrap_or(path)
}
