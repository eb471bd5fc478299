//! Which Dockerfile a build description means, and which builds mean a Dockerfile (docs/facts.md F).
//!
//! What cannot be told is unknown, never guessed.

pub mod baked;
pub mod locations;

use crate::build::{Build, Context, Leg, Part, Tool, Value};
use crate::dockerfile::{Dockerfile, Stage};
use crate::facts;
use crate::file::{self, File, Kind, Model};
use crate::workflow::{self, Builder, Given};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where a build finds its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The Dockerfile, by absolute path; `None` where it cannot be told or is not a file here.
    pub dockerfile: Option<String>,
    /// The context.
    pub context: Folder,
    /// The stage that is built: the last one where none is named.
    pub target: Target,
}

/// A context, as far as it can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Folder {
    /// A folder on disk.
    Disk(String),
    /// A folder of the repository, as the builder clones it.
    Git(String),
    /// Something else, or not known.
    Unknown,
}

/// A target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The last stage.
    Last,
    /// The stage of this name.
    Named(String),
    /// An expression decides.
    Unknown,
}

impl Target {
    /// The name of the stage, nothing for the last one; `None` where an expression decides.
    pub fn name(&self) -> Option<Option<&str>> {
        match self {
            Target::Last => Some(None),
            Target::Named(name) => Some(Some(name)),
            Target::Unknown => None,
        }
    }

    /// The stages that are built for it; `None` where an expression decides.
    pub fn stages<'d>(&self, dockerfile: &'d Dockerfile) -> Option<Vec<&'d Stage>> {
        let reachable = dockerfile.reachable(self.name()?);
        Some(reachable.into_iter().filter_map(|it| dockerfile.stages.get(it)).collect())
    }
}

/// A build of a file: its place in the file, and the leg of its job's matrix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The file that describes the build.
    pub path: Arc<str>,
    /// Its number among the file's builds ([`File::builds`]).
    pub build: usize,
    /// The number of the leg, where the job has a matrix whose legs are known.
    pub leg: Option<usize>,
}

/// What files give an action or a workflow, by the path of each.
type Callers = BTreeMap<Arc<str>, Vec<Given>>;

/// All builds of the loaded files, by the Dockerfile that they mean. Kept current file by file, so
/// that an edit costs what the edited file costs.
#[derive(Debug, Clone, Default)]
pub struct Index {
    by_dockerfile: Arc<BTreeMap<String, Vec<Reference>>>,
    /// The builds of workflows, by what a scope of theirs would be named after, in lower case.
    by_name: Arc<BTreeMap<String, Vec<Reference>>>,
    /// The builds of workflows, by the bake and compose files that they name, or take if they are there.
    by_description: Arc<BTreeMap<String, Vec<Reference>>>,
    /// What is given to the actions and the workflows of the repository, by the folder of each action or
    /// the path of each workflow, and the file that calls it.
    by_called: Arc<BTreeMap<String, Callers>>,
    /// The builds whose Dockerfile cannot be told, or not for all values of a variable, by the named contexts that
    /// they give.
    by_context: Arc<BTreeMap<String, Vec<Reference>>>,
    /// Who writes and who reads each cache location.
    pub locations: locations::Locations,
    /// What each file says of others, where it says anything.
    said: Arc<BTreeMap<Arc<str>, Arc<Said>>>,
}

/// What a file says of others. All that the index has of a file, so that what is known of an old file
/// can be taken out again when the file is gone.
#[derive(Debug, PartialEq, Default)]
struct Said {
    dockerfiles: Vec<(String, Reference)>,
    names: Vec<(String, Reference)>,
    descriptions: Vec<(String, Reference)>,
    contexts: Vec<(String, Reference)>,
    calls: BTreeMap<String, Vec<Given>>,
    locations: locations::Said,
}

impl Said {
    fn by(path: &Arc<str>, file: &File) -> Said {
        Said {
            dockerfiles: references(path, file),
            names: names(path, file),
            descriptions: descriptions(path, file),
            contexts: loose_contexts(path, file),
            calls: calls(path, file),
            locations: locations::Said::by(path, file),
        }
    }
}

impl Index {
    /// Takes note that the file at `path` is another one, or gone. Gives the folders of the actions and
    /// the paths of the workflows that it gives something else now.
    pub fn replace(&mut self, path: &str, file: Option<&File>) -> Vec<String> {
        let path: Arc<str> = path.into();
        let old = self.said.get(&path).cloned().unwrap_or_default();
        let new = file.map(|it| Said::by(&path, it)).unwrap_or_default();
        // Most edits leave it as it is.
        if *old == new {
            return Vec::new();
        }
        self.locations.replace(&path, &old.locations, &new.locations);
        exchange(&mut self.by_dockerfile, &old.dockerfiles, &new.dockerfiles);
        exchange(&mut self.by_name, &old.names, &new.names);
        exchange(&mut self.by_description, &old.descriptions, &new.descriptions);
        exchange(&mut self.by_context, &old.contexts, &new.contexts);
        let changed = self.replace_calls(&path, &old.calls, &new.calls);
        let said = Arc::make_mut(&mut self.said);
        match new == Said::default() {
            true => said.remove(&path),
            false => said.insert(path, Arc::new(new)),
        };
        changed
    }

    fn replace_calls(&mut self, path: &Arc<str>, old: &BTreeMap<String, Vec<Given>>, new: &BTreeMap<String, Vec<Given>>) -> Vec<String> {
        if old == new {
            return Vec::new();
        }
        let changed: BTreeSet<String> = old.keys().chain(new.keys()).filter(|it| old.get(*it) != new.get(*it)).cloned().collect();
        let by_called = Arc::make_mut(&mut self.by_called);
        for folder in &changed {
            let callers = by_called.entry(folder.clone()).or_default();
            match new.get(folder) {
                Some(given) => drop(callers.insert(path.clone(), given.clone())),
                None => drop(callers.remove(path)),
            }
            if callers.is_empty() {
                by_called.remove(folder);
            }
        }
        changed.into_iter().collect()
    }

    /// What all calls give the action in a folder or the workflow of a path, each once; nothing where there are so many that they
    /// are not told apart, which is as if nobody were known to call it.
    pub fn given(&self, folder: &str) -> Vec<Given> {
        let mut res: BTreeSet<&Given> = BTreeSet::new();
        for given in self.by_called.get(folder).into_iter().flat_map(BTreeMap::values).flatten() {
            res.insert(given);
            if res.len() > workflow::MAX_CALLS {
                return Vec::new();
            }
        }
        res.into_iter().cloned().collect()
    }

    /// Whether a workflow or an action of the repository calls the action in a folder, or the workflow of
    /// a path.
    pub fn is_called(&self, folder: &str) -> bool {
        self.by_called.contains_key(folder)
    }

    /// The files of the repository that call the action in a folder, or the workflow of a path.
    pub fn callers(&self, folder: &str) -> impl Iterator<Item = &Arc<str>> {
        self.by_called.get(folder).into_iter().flat_map(BTreeMap::keys)
    }

    /// The builds of workflows whose scopes would be named after the same, in order of path and
    /// place.
    pub fn named(&self, name: &str) -> &[Reference] {
        self.by_name.get(&name.to_ascii_lowercase()).map_or(&[], Vec::as_slice)
    }

    /// Whether a build names `path` as its Dockerfile.
    pub fn names(&self, path: &str) -> bool {
        self.by_dockerfile.contains_key(path)
    }

    /// What a file is that has no name of its kind, by what builds name it as.
    pub fn kind(&self, path: &str) -> Kind {
        match Kind::of(path) {
            _ if self.names(path) => Kind::Dockerfile,
            Kind::Other if !self.calls_of(path).is_empty() => {
                if baked::is_compose(path) {
                    Kind::Compose
                } else {
                    Kind::Bake
                }
            }
            kind => kind,
        }
    }

    /// The builds of workflows that may read a bake or compose file, in order of path and place.
    pub fn calls_of(&self, path: &str) -> &[Reference] {
        self.by_description.get(path).map_or(&[], Vec::as_slice)
    }

    /// All calls of bake and compose, each as often as it may read another file.
    pub fn calls(&self) -> impl Iterator<Item = &Reference> {
        self.by_description.values().flatten()
    }

    /// Whether a build whose Dockerfile cannot be told gives a named context of this name: it may be a build of any file.
    pub fn may_be_context(&self, name: &str) -> bool {
        self.by_context.contains_key(name)
    }

    /// The builds of a Dockerfile, in order of path and place.
    pub fn builds_of(&self, path: &str) -> &[Reference] {
        self.by_dockerfile.get(path).map_or(&[], Vec::as_slice)
    }

    /// The Dockerfiles that builds name.
    pub fn dockerfiles(&self) -> Vec<String> {
        self.by_dockerfile.keys().cloned().collect()
    }
}

/// Takes out of a map what a file said and puts in what it says now.
fn exchange<'a, K: Ord + Clone + 'a, Keys>(map: &mut Arc<BTreeMap<K, Vec<Reference>>>, old: &'a Keys, new: &'a Keys)
where
    Keys: PartialEq,
    &'a Keys: IntoIterator<Item = &'a (K, Reference)>,
{
    if old == new {
        return;
    }
    let map = Arc::make_mut(map);
    for (key, reference) in old {
        if let Some(known) = map.get_mut(key) {
            if let Ok(at) = known.binary_search(reference) {
                known.remove(at);
            }
            if known.is_empty() {
                map.remove(key);
            }
        }
    }
    for (key, reference) in new {
        let known = map.entry(key.clone()).or_default();
        let at = known.partition_point(|it| it < reference);
        known.insert(at, reference.clone());
    }
}

/// What scopes of a workflow's builds would be named after.
fn names(path: &Arc<str>, file: &File) -> Vec<(String, Reference)> {
    let named = |(build, it): (usize, Described<'_>)| {
        let (workflow, job, step) = it.step?;
        Some((workflow::first_name(workflow, job, step).to_ascii_lowercase(), Reference { path: path.clone(), build, leg: None }))
    };
    file.builds().into_iter().enumerate().filter_map(named).collect()
}

/// The named contexts of a file's builds whose Dockerfile cannot be told, or is another one where the environment sets
/// a variable of bake or compose.
fn loose_contexts(path: &Arc<str>, file: &File) -> Vec<(String, Reference)> {
    let loose = |(build, it): (usize, Described<'_>)| {
        let told = || it.legs().into_iter().all(|(_, leg)| place(it.build, path, leg).dockerfile.is_some());
        let is_told = it.build.contexts.is_empty() || (told() && !(it.step.is_none() && has_variable_place(it.build)));
        let names = if is_told { &[][..] } else { &it.build.contexts };
        names.iter().map(|(name, _)| (name.clone(), Reference { path: path.clone(), build, leg: None })).collect::<Vec<_>>()
    };
    let mut res: Vec<(String, Reference)> = file.builds().into_iter().enumerate().flat_map(loose).collect();
    res.sort();
    res.dedup();
    res
}

/// Whether a variable is a part of where the Dockerfile lies.
fn has_variable_place(build: &Build) -> bool {
    let is_variable = |it: &Value| it.parts.iter().any(|it| matches!(it, Part::Expression { .. }));
    build.dockerfile.iter().chain(build.context.folder()).any(is_variable)
}

/// The bake and compose files that a workflow's builds may read.
fn descriptions(path: &Arc<str>, file: &File) -> Vec<(String, Reference)> {
    let named = |(build, it): (usize, Described<'_>)| {
        let (_, job, step) = it.step?;
        Some(baked::candidates(step, path, job.legs()).into_iter().map(|it| (it, Reference { path: path.clone(), build, leg: None })).collect::<Vec<_>>())
    };
    let mut res: Vec<(String, Reference)> = file.builds().into_iter().enumerate().filter_map(named).flatten().collect();
    res.sort();
    res.dedup();
    res
}

/// What a file gives the actions and the workflows of its repository, by their folders and paths.
fn calls(path: &str, file: &File) -> BTreeMap<String, Vec<Given>> {
    let mut res: BTreeMap<String, Vec<Given>> = BTreeMap::new();
    let Model::Workflow(workflow) = &file.model else { return res };
    for (folder, given) in workflow::calls(&workflow.model) {
        res.entry(facts::join(base(path), &folder)).or_default().push(given);
    }
    res
}

/// The Dockerfiles that a file's builds mean.
fn references(path: &Arc<str>, file: &File) -> Vec<(String, Reference)> {
    let mut res = Vec::new();
    // Its paths start from where bake or compose is run, which for a file of any other name need not be its folder.
    if matches!(file.kind, Kind::Bake | Kind::Compose) && Kind::of(path) != file.kind {
        return res;
    }
    for (index, described) in file.builds().into_iter().enumerate() {
        let legs = described.legs();
        let mut known: Vec<String> = Vec::new();
        for (leg, values) in legs {
            let Some(dockerfile) = place(described.build, path, values).dockerfile else { continue };
            // Legs that build the same file say the same of it.
            if !known.contains(&dockerfile) {
                known.push(dockerfile.clone());
                res.push((dockerfile, Reference { path: path.clone(), build: index, leg }));
            }
        }
    }
    res
}

/// A build with the job it is a step of.
#[derive(Debug, Clone, Copy)]
pub struct Described<'a> {
    /// The build.
    pub build: &'a Build,
    /// The workflow, its job, and the step of the build; nothing for bake and compose files.
    pub step: Option<(&'a crate::workflow::Workflow, &'a crate::workflow::Job, &'a crate::workflow::BuildStep)>,
}

impl<'a> Described<'a> {
    /// The legs in which it runs, with their numbers: one without values where there is no matrix,
    /// or where its legs are not known. For a build of an action: its calls.
    pub fn legs(&self) -> Vec<(Option<usize>, Option<&'a Leg>)> {
        match self.step.map_or(&[][..], |(_, job, _)| job.legs()) {
            [] => vec![(None, None)],
            legs => legs.iter().enumerate().map(|(index, it)| (Some(index), Some(it))).collect(),
        }
    }
}

impl Described<'_> {
    /// Whether it never finds a layer of an earlier build: its builder is thrown away with the job, and it
    /// has no cache from elsewhere.
    pub fn starts_empty(&self) -> bool {
        let Some((_, job, step)) = self.step else { return false };
        let is_hosted = job.runner.as_ref().is_some_and(|it| it.kind == workflow::RunnerKind::Hosted);
        let is_thrown_away = match job.builder(step) {
            Builder::Container(_) => self.build.tool != Tool::Command || is_hosted,
            Builder::Docker | Builder::Containerd => is_hosted,
            Builder::Persistent(_) | Builder::Unknown => false,
        };
        let has_inline = self.build.arguments.iter().any(|it| it.name == locations::INLINE);
        is_thrown_away && self.build.imports.is_empty() && self.build.exports.is_empty() && !self.build.opaque && !has_inline && !keeps_folder(job, step)
    }
}

/// Whether a step before the build may bring layers of an earlier run: the folder of Docker or of a
/// builder in the cache, an image that is pulled or loaded.
fn keeps_folder(job: &workflow::Job, step: &workflow::BuildStep) -> bool {
    let own = job.steps.get(step.step);
    let loads = |it: &workflow::Step| [&["docker", "pull"][..], &["docker", "load"], &["docker", "image"]].iter().any(|words| it.has_command(words));
    let caches = |it: &workflow::Step| it.is_folder_cache() || it.action.as_ref().is_some_and(|it| it.name.contains("cache"));
    job.before(step.step).iter().chain(own).any(|it| loads(it) || caches(it))
}

impl File {
    /// The builds that it describes, in order.
    pub fn builds(&self) -> Vec<Described<'_>> {
        match &self.model {
            Model::Workflow(workflow) => workflow
                .model
                .jobs
                .iter()
                .flat_map(|job| job.builds.iter().map(move |it| (job, it)))
                .map(|(job, it)| Described { build: &it.build, step: Some((&workflow.model, job, it)) })
                .collect(),
            Model::Compose(compose) => compose.model.services.iter().map(|it| Described { build: &it.build, step: None }).collect(),
            Model::Bake(bake) => bake.builds().into_iter().map(|build| Described { build, step: None }).collect(),
            Model::Dockerfile(_) | Model::Other => Vec::new(),
        }
    }
}

/// The folder that the paths of a description start from: the root of the repository for a
/// workflow and for an action beside it, the file's own folder for anything else.
pub fn base(path: &str) -> &str {
    if is_action(path) {
        return beside_workflows(path).unwrap_or(facts::parent(path));
    }
    let folder = facts::parent(path);
    let owner = facts::parent(folder);
    if facts::name(folder) == "workflows" && facts::name(owner).starts_with('.') { facts::parent(owner) } else { folder }
}

/// Whether a path is that of an action. Each build asks, and so most paths are told by their names.
pub fn is_action(path: &str) -> bool {
    facts::name(path).get(..7).is_some_and(|it| it.eq_ignore_ascii_case("action.")) && Kind::of(path) == Kind::Action
}

/// The root of the repository, for a file in the folder in which a service looks for workflows.
fn beside_workflows(path: &str) -> Option<&str> {
    let mut folder = facts::parent(path);
    while folder != "/" {
        if file::is_service_folder(facts::name(folder)) {
            return Some(facts::parent(folder));
        }
        folder = facts::parent(folder);
    }
    None
}

/// Where the build of the file at `path` finds its files, in one leg of its job's matrix.
pub fn place(build: &Build, path: &str, leg: Option<&Leg>) -> Place {
    let none = Leg::new();
    let known = |value: &Value| value.in_leg(leg.unwrap_or(&none));
    // An action runs where those that call it do, and one that does not stand beside the workflows may
    // be called from anywhere.
    let is_elsewhere = is_action(path) && beside_workflows(path).is_none();
    let target = match &build.target {
        None => Target::Last,
        Some(value) if value.is_blank() => Target::Last,
        Some(value) => known(value).map_or(Target::Unknown, |it| if it.trim().is_empty() { Target::Last } else { Target::Named(it) }),
    };
    // Bake targets and compose services start from their own file.
    let own_file = matches!(build.tool, Tool::BakeTarget | Tool::ComposeService);
    if is_elsewhere {
        return Place { dockerfile: None, context: Folder::Unknown, target };
    }
    // An absolute path of a runner is not one of this disk.
    let is_here = |it: &str| own_file || !it.starts_with('/');
    let folder = build.folder.as_ref().filter(|it| is_here(it)).map(|it| facts::join(base(path), it)).or_else(|| own_file.then(|| base(path).to_owned()));
    // What an expression makes may be more than a folder.
    let made = match &build.context {
        Context::Folder(value) if !own_file && value.parts.iter().any(|it| matches!(it, Part::Expression { .. })) => {
            known(value).map(|it| made_context(build, &it))
        }
        _ => None,
    };
    let named = made.as_ref().unwrap_or(&build.context);
    let context = match (named, &folder) {
        (Context::Folder(value), Some(folder)) => known(value).filter(|it| is_here(it)).map_or(Folder::Unknown, |it| Folder::Disk(facts::join(folder, &it))),
        (Context::Git(None), _) => Folder::Git(base(path).to_owned()),
        (Context::Git(Some(value)), _) => known(value).map_or(Folder::Unknown, |it| Folder::Git(facts::join(base(path), &it))),
        (Context::Folder(_), None) | (Context::Foreign(_), _) => Folder::Unknown,
    };
    // What bake and compose build is described in their own files; what the builder fetches has the Dockerfile in it.
    let is_fetched = matches!(named, Context::Foreign(it) if matches!(workflow::context_named(&it.pattern()), Context::Foreign(_)));
    let elsewhere = build.inline || is_fetched || matches!(build.tool, Tool::Bake | Tool::Compose);
    let dockerfile = if elsewhere { None } else { dockerfile(build, &context, folder.as_deref(), &known) };
    Place { dockerfile, context, target }
}

/// The context of a text that an expression makes. An action that is given nothing clones the repository.
fn made_context(build: &Build, text: &str) -> Context {
    if build.tool == Tool::BuildPushAction && text.trim().is_empty() { Context::Git(None) } else { workflow::context_named(text) }
}

fn dockerfile(build: &Build, context: &Folder, folder: Option<&str>, known: &dyn Fn(&Value) -> Option<String>) -> Option<String> {
    let in_context = |name: &str| match context {
        Folder::Disk(folder) | Folder::Git(folder) => Some(facts::join(folder, name)),
        Folder::Unknown => None,
    };
    let Some(value) = build.dockerfile.as_ref().filter(|it| !it.is_blank()) else { return in_context("Dockerfile") };
    let name = known(value)?;
    if name.trim().is_empty() {
        return in_context("Dockerfile");
    }
    // Bake and compose look in the context; buildx looks in the folder it runs in, and in a cloned
    // repository inside the context (docs/facts.md F.1, F.3).
    let relative_to_context = matches!(build.tool, Tool::BakeTarget | Tool::ComposeService) || matches!(context, Folder::Git(_));
    if name.contains("://") || name == "-" {
        None
    } else if name.starts_with('/') {
        // An absolute path of the runner is not one of this disk.
        None
    } else if relative_to_context {
        in_context(&name)
    } else {
        folder.map(|it| facts::join(it, &name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place_of(with: &str) -> Place {
        let path = "/r/.github/workflows/ci.yml";
        let text = format!("on: push\njobs:\n  a:\n    steps:\n      - uses: docker/build-push-action@v7\n        with: {{{with}}}\n");
        let file = File::new(Kind::Workflow, &text, None);
        place(file.builds()[0].build, path, None)
    }

    #[test]
    fn an_absolute_path_of_a_runner_is_not_one_of_this_disk() {
        let found = place_of("context: /tmp/app, file: ci.Dockerfile");
        assert_eq!((found.context, found.dockerfile.as_deref()), (Folder::Unknown, Some("/r/ci.Dockerfile")));
        assert_eq!(place_of("context: app, file: /tmp/Dockerfile").dockerfile, None);
        assert_eq!(place_of("context: 'https://github.com/o/r.git#main', file: ci.Dockerfile").dockerfile, None);
        assert_eq!(place_of("context: app").context, Folder::Disk("/r/app".into()));
    }

    #[test]
    fn the_repository_may_be_one_of_several_in_the_context() {
        let text = "on: push\njobs:\n  a:\n    steps:\n      - uses: actions/checkout@v6\n        with: {path: app}\n      - uses: actions/checkout@v6\n        with: {repository: o/lib, path: lib}\n      - uses: docker/build-push-action@v7\n        with: {context: ., file: FILE}\n";
        let place = |file: &str| {
            let file = File::new(Kind::Workflow, &text.replace("FILE", file), None);
            let found = super::place(file.builds()[0].build, "/r/.github/workflows/ci.yml", None);
            assert_eq!(found.context, Folder::Unknown);
            found.dockerfile
        };
        assert_eq!(place("./app/docker/Dockerfile").as_deref(), Some("/r/docker/Dockerfile"));
        assert_eq!(place("./lib/Dockerfile"), None);
        assert_eq!(place("./Dockerfile"), None);
        assert_eq!(place("''"), None);
    }

    #[test]
    fn what_an_expression_makes_is_read_as_if_it_stood_there() {
        let place = |context: &str, file: &str| {
            let text = "on: {workflow_call: {inputs: {context: {type: string}, file: {type: string}}}}\njobs:\n  a:\n    steps:\n      - uses: docker/build-push-action@v7\n        with: {context: '${{ inputs.context }}', file: '${{ inputs.file }}'}\n";
            let call = [("context", context), ("file", file)].map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
            let file = File::new(Kind::Workflow, text, None).with_calls(vec![Given::from(call)]);
            let Model::Workflow(workflow) = &file.model else { panic!() };
            let job = &workflow.model.jobs[0];
            let found = super::place(&job.builds[0].build, "/r/.github/workflows/ci.yml", job.legs().first());
            (found.context, found.dockerfile)
        };
        let in_clone = |folder: &str, file: &str| (Folder::Git(folder.into()), Some(file.to_owned()));
        // The defaults of an action stand in the place of nothing.
        assert_eq!(place("", ""), in_clone("/r", "/r/Dockerfile"));
        assert_eq!(place("{{defaultContext}}:app", ""), in_clone("/r/app", "/r/app/Dockerfile"));
        assert_eq!(place("app", ""), (Folder::Disk("/r/app".into()), Some("/r/app/Dockerfile".into())));
        assert_eq!(place("app", "x/Dockerfile"), (Folder::Disk("/r/app".into()), Some("/r/x/Dockerfile".into())));
        assert_eq!(place("https://github.com/o/r.git", "").0, Folder::Unknown);
        assert_eq!(place("/tmp/app", "").0, Folder::Unknown);
    }

    #[test]
    fn a_script_of_an_action_builds_what_its_variables_are_made_of() {
        let text = "inputs: {folder: {required: true}}\nruns:\n  using: composite\n  steps:\n    - run: docker build \"$FOLDER\" --file \"$FOLDER\"Dockerfile\n      shell: bash\n      env: {FOLDER: '${{ inputs.folder }}'}\n";
        let calls = ["api/", "web/"].map(|it| Given::from([("folder".to_owned(), Some(it.to_owned()))]));
        let file = File::new(Kind::Action, text, None).with_calls(calls.to_vec());
        let path = "/r/.github/actions/build/action.yml";
        let described = file.builds()[0];
        let files: Vec<_> = described.legs().into_iter().map(|(_, leg)| place(described.build, path, leg).dockerfile).collect();
        assert_eq!(files, [Some("/r/api/Dockerfile".to_owned()), Some("/r/web/Dockerfile".to_owned())]);
    }

    #[test]
    fn builds_of_one_name_are_found_until_their_file_changes() {
        let path = "/r/.github/workflows/ci.yml";
        let workflow = |tag: &str| {
            File::new(Kind::Workflow, &format!("jobs:\n  a:\n    steps:\n      - uses: docker/build-push-action@v7\n        with: {{tags: o/{tag}}}\n"), None)
        };
        let (old, new) = (workflow("app"), workflow("web"));
        let mut index = Index::default();
        index.replace(path, Some(&old));
        assert_eq!(index.named("app").len(), 1);
        index.replace(path, Some(&new));
        assert_eq!((index.named("app").len(), index.named("web").len()), (0, 1));
        index.replace(path, None);
        assert!(index.named("web").is_empty());
    }
}
