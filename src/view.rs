//! What a rule looks at: one file with all that is known of it and of the files it refers to,
//! taken from one snapshot.

mod bake_legs;
mod baking;
mod caching;
mod called;
mod given;
mod runs;
mod scopes;
mod stages;
mod steps;
mod target_scopes;
mod targets;

pub use bake_legs::LegCollision;
pub use baking::Call;
pub use caching::{Likeness, Use, display};
pub use called::CalledWorkflow;
pub use given::Site;
pub use runs::{Run, Start};
pub use scopes::{Build as ScopeBuild, Scope, Verdict, scopes};
pub use stages::{beside, is_costly};
pub use target_scopes::TargetScope;
pub use targets::{TargetBuild, TargetView, TargetsView, is_fixed, is_fixed_entry};

use crate::build::{Build, Tool};
use crate::config::Config;
use crate::diagnostic::{FileEdits, Fix};
use crate::dockerfile::context::{Context, Ignore, Origin, Passed};
use crate::dockerfile::flags::FlagEdit;
use crate::dockerfile::ignore;
use crate::dockerfile::mounts::MountEdit;
use crate::dockerfile::moves::{Move, Refusal};
use crate::dockerfile::plan::Plan;
use crate::dockerfile::{Base, Dockerfile, Kind, clean_source, is_glob, is_remote};
use crate::ecosystem::{self, Role};
use crate::edit::{EditSet, Span};
use crate::facts::{self, Text};
use crate::file::{File, Model};
use crate::links::{self, Described, Folder, Place, Target};
use crate::snapshot::Snapshot;
use crate::syntax::yaml;
use crate::value::{Leg, Value};
use crate::volatility::{Axis, Variance};
use crate::workflow::{BuildStep, Builder, Job, Trigger, Workflow};
use std::cell::{LazyCell, OnceCell};
use std::sync::Arc;
use targets::Syntax;

/// Longer chains of stages than any real file has are not planned.
const MAX_STEPS: usize = 50_000;
/// A stage with more copies of the whole context is not looked into for what they bring.
const MAX_COPIES: usize = 16;

/// A file as rules see it.
pub enum View<'a> {
    /// A Dockerfile.
    Dockerfile(DockerfileView<'a>),
    /// A workflow.
    Workflow(WorkflowView<'a>),
    /// A bake or compose file.
    Targets(TargetsView<'a>),
}

/// A Dockerfile with its stages, contexts and the builds of it.
pub struct DockerfileView<'a> {
    /// Its absolute path.
    pub path: Arc<str>,
    /// Its text.
    pub source: Arc<str>,
    /// Its model.
    pub dockerfile: &'a Dockerfile,
    /// The builds that mean it, one for each leg that differs.
    pub callers: Vec<Caller<'a>>,
    /// What it is, or may be, built with: the most likely first. Never empty.
    pub contexts: Vec<Arc<Context<'a>>>,
    links: &'a links::Index,
    /// Each stage as the first context builds it; `None` for those that no build reaches.
    plans: Vec<Option<Plan<'a>>>,
}

/// A build of a Dockerfile, and the file that describes it.
#[derive(Clone)]
pub struct Caller<'a> {
    /// The file that describes the build.
    pub path: &'a Arc<str>,
    /// The build.
    pub build: Described<'a>,
    /// Where it finds its files.
    pub place: Place,
}

/// A workflow with its builds.
pub struct WorkflowView<'a> {
    /// Its absolute path.
    pub path: Arc<str>,
    /// Its text.
    pub source: Arc<str>,
    /// Its syntax.
    pub yaml: &'a yaml::Source,
    /// Its model.
    pub workflow: &'a Workflow,
    /// Its builds, in order.
    pub builds: Vec<StepView<'a>>,
    /// All that is known.
    pub snapshot: &'a Snapshot,
    /// See [`WorkflowView::triggers`]; found when first asked for.
    triggers: OnceCell<Vec<(&'a Arc<str>, &'a Trigger)>>,
}

/// A build of a workflow with its places: one for each leg, or one where there is no matrix.
pub struct StepView<'a> {
    /// Its number among the builds of the file.
    pub index: usize,
    /// The build as the index of all builds knows it.
    pub described: Described<'a>,
    /// The job.
    pub job: &'a Job,
    /// The build as a step.
    pub step: &'a BuildStep,
    /// The build.
    pub build: &'a Build,
    /// The builder that it uses.
    pub builder: Builder,
    /// Where it finds its files in each leg, without repetition.
    pub places: Vec<Place>,
}

impl<'a> View<'a> {
    /// The view of a loaded file; `None` for files that no rule looks at.
    pub fn new(snapshot: &'a Snapshot, path: &str, config: &Config) -> Option<View<'a>> {
        let file = snapshot.file(path)?;
        let path: Arc<str> = path.into();
        match &file.model {
            Model::Dockerfile(dockerfile) => Some(View::Dockerfile(DockerfileView::new(snapshot, path, file, dockerfile, config))),
            Model::Workflow(workflow) => Some(View::Workflow(WorkflowView::new(snapshot, path, file, &workflow.syntax, &workflow.model))),
            Model::Compose(compose) => Some(View::Targets(TargetsView::new(snapshot, path, file, Syntax::Compose(compose)))),
            Model::Bake(bake) => Some(View::Targets(TargetsView::new(snapshot, path, file, Syntax::Bake(bake)))),
            Model::Other => None,
        }
    }

    /// Asks the disk for what the view of a file is made of, without making it.
    pub fn ask(snapshot: &Snapshot, path: &str, config: &Config) {
        let Some(file) = snapshot.file(path) else { return };
        match &file.model {
            Model::Dockerfile(dockerfile) => drop(contexts(snapshot, path, dockerfile, &callers(snapshot, path), config)),
            Model::Workflow(_) => {
                let builds = file.builds();
                let places = builds.iter().flat_map(|it| it.legs().into_iter().map(|(_, leg)| links::place(it.build, path, leg)));
                let named =
                    builds.iter().filter_map(|it| it.step).filter(|it| !it.2.files.is_empty()).flat_map(|it| links::baked::candidates(it.2, path, it.1.legs()));
                let files = places.filter_map(|it| it.dockerfile).flat_map(|it| in_lower_case(&it).into_iter().chain([it]));
                for file in files.chain(named).filter(|it| snapshot.file(it).is_none()) {
                    snapshot.facts.text(&file);
                }
            }
            Model::Compose(_) | Model::Bake(_) => {
                for file in file.builds().iter().filter_map(|it| links::place(it.build, path, None).dockerfile).filter(|it| snapshot.file(it).is_none()) {
                    snapshot.facts.text(&file);
                }
            }
            Model::Other => {}
        }
    }

    /// The file's path.
    pub fn path(&self) -> &Arc<str> {
        match self {
            View::Dockerfile(view) => &view.path,
            View::Workflow(view) => &view.path,
            View::Targets(view) => &view.path,
        }
    }

    /// The file's text.
    pub fn source(&self) -> &str {
        match self {
            View::Dockerfile(view) => &view.source,
            View::Workflow(view) => &view.source,
            View::Targets(view) => &view.source,
        }
    }

    /// The file's comments.
    pub fn comments(&self) -> &[Span] {
        match self {
            View::Dockerfile(view) => &view.dockerfile.comments,
            View::Workflow(view) => &view.yaml.comments,
            View::Targets(view) => match view.syntax {
                Syntax::Compose(compose) => &compose.syntax.comments,
                Syntax::Bake(bake) => &bake.comments,
            },
        }
    }

    /// What a comment that ends at `offset` stands directly above: the next instruction, or the
    /// next node of YAML with all below it. Only comment lines may come between.
    pub fn covered(&self, offset: usize) -> Option<Span> {
        match self {
            View::Dockerfile(view) => {
                let froms = view.dockerfile.stages.iter().map(|it| &it.from);
                let all = view.dockerfile.globals.iter().chain(froms).chain(view.dockerfile.instructions().map(|(_, it)| it));
                all.filter(|it| it.owned.start <= offset && offset <= it.span.start).map(|it| it.span).min()
            }
            View::Workflow(view) => below_comment(&view.source, view.yaml, offset),
            View::Targets(view) => match view.syntax {
                Syntax::Compose(compose) => below_comment(&view.source, &compose.syntax, offset),
                Syntax::Bake(bake) => {
                    let below = bake.nodes.iter().copied().filter(|it| it.start >= offset);
                    // Of those that begin at one place the outermost.
                    directly_below(&view.source, offset, below.min_by_key(|it| (it.start, usize::MAX - it.end))?)
                }
            },
        }
    }
}

/// The node of YAML that a comment that ends at `offset` stands directly above.
fn below_comment(source: &str, yaml: &yaml::Source, offset: usize) -> Option<Span> {
    directly_below(source, offset, yaml.root().and_then(|it| first_below(it, offset))?)
}

/// `node`, if only lines of comments come between it and `offset`.
fn directly_below(source: &str, offset: usize, node: Span) -> Option<Span> {
    let between = source.get(offset..node.start)?;
    let (_, between) = between.split_once('\n')?;
    let (comments, last) = between.rsplit_once('\n').unwrap_or(("", between));
    let all_comments = comments.is_empty() || comments.lines().all(|it| it.trim_start().starts_with('#'));
    (all_comments && last.trim_matches([' ', '-', '\t']).is_empty()).then_some(node)
}

/// The model of a Dockerfile; `None` where it is not known (yet), or is none.
fn model<'a>(snapshot: &'a Snapshot, path: &str) -> Option<&'a Dockerfile> {
    if let Some(file) = snapshot.file(path) {
        return match &file.model {
            Model::Dockerfile(dockerfile) => Some(dockerfile),
            _ => None,
        };
    }
    // Asking makes it wanted; the next snapshot has it as a file.
    snapshot.facts.text(path);
    None
}

/// The outermost pair or item that begins first at or behind `offset`.
fn first_below(node: &yaml::Node, offset: usize) -> Option<Span> {
    let mut best: Option<Span> = None;
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        let parts: Vec<(Span, &yaml::Node)> = match &node.kind {
            yaml::Kind::Mapping(mapping) => mapping.entries.iter().map(|it| (it.span, &it.value)).collect(),
            yaml::Kind::Sequence(sequence) => sequence.items.iter().map(|it| (it.span, it)).collect(),
            _ => continue,
        };
        for (span, value) in parts {
            if span.start >= offset {
                // Of parts that begin at one place the outermost is seen first.
                if best.is_none_or(|it| span.start < it.start || (span.start == it.start && span.end > it.end)) {
                    best = Some(span);
                }
            } else if span.end >= offset {
                open.push(value);
            }
        }
    }
    best
}

impl<'a> DockerfileView<'a> {
    fn new(snapshot: &'a Snapshot, path: Arc<str>, file: &'a File, dockerfile: &'a Dockerfile, config: &Config) -> DockerfileView<'a> {
        let callers = callers(snapshot, &path);
        let contexts: Vec<Arc<Context<'a>>> = contexts(snapshot, &path, dockerfile, &callers, config).into_iter().map(Arc::new).collect();
        let mut view = DockerfileView { path, source: file.text().clone(), dockerfile, callers, contexts, links: &snapshot.links, plans: Vec::new() };
        let reachable = view.reachable();
        let mut steps = 0;
        view.plans = (0..dockerfile.stages.len())
            .map(|stage| {
                steps += dockerfile.chain(stage).len();
                (reachable.contains(&stage) && steps <= MAX_STEPS).then(|| Plan::new(dockerfile, view.contexts[0].clone(), stage))
            })
            .collect();
        view
    }

    /// Whether a named context stands for an image of this name, or may.
    pub fn may_be_context(&self, name: &str) -> bool {
        // What a bake target computes (`contexts = merge(…)`) may have any name in it.
        let is_computed = |it: &Build| it.tool == Tool::BakeTarget && it.opaque;
        let is_given = |it: &Caller<'_>| is_computed(it.build.build) || it.build.build.contexts.iter().any(|(it, _)| it == name);
        self.callers.iter().any(is_given) || self.links.may_be_context(name)
    }

    /// The stages that a build reaches: from the targets of the known builds and the last stage.
    /// A file whose builds are not known is also built by naming a stage, so that each stage that
    /// nobody starts from counts.
    fn reachable(&self) -> Vec<usize> {
        let mut targets: Vec<Option<&str>> = vec![None];
        let mut all = self.callers.is_empty();
        for caller in &self.callers {
            match &caller.place.target {
                Target::Last => {}
                Target::Named(name) => targets.push(Some(name)),
                Target::Unknown => all = true,
            }
        }
        if all {
            return (0..self.dockerfile.stages.len()).collect();
        }
        let mut res: Vec<usize> = targets.into_iter().flat_map(|it| self.dockerfile.reachable(it)).collect();
        res.sort_unstable();
        res.dedup();
        res
    }

    /// The stages that are built, each with the stages it starts from.
    pub fn plans(&self) -> impl Iterator<Item = &Plan<'a>> {
        self.plans.iter().flatten()
    }

    /// The most likely context.
    pub fn context(&self) -> &Context<'a> {
        &self.contexts[0]
    }

    /// The name that the file has in messages: its path from the root of the repository.
    pub fn name(&self) -> &str {
        facts::name(&self.path)
    }

    /// A proof that holds in every context that the file is, or may be, built with.
    ///
    /// # Errors
    /// What stands in the way in one of them.
    pub fn prove<T: PartialEq>(&self, stage: usize, make: impl Fn(&Plan<'a>) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let Some(plan) = self.plans.get(stage).and_then(Option::as_ref) else {
            return Err(Refusal::at(self.dockerfile.stages[stage].from.span, "no build reaches this stage"));
        };
        let first = make(plan)?;
        for context in &self.contexts[1..] {
            let other = make(&Plan::new(self.dockerfile, context.clone(), stage)).map_err(|refusal| self.of_other_context(context, refusal))?;
            if other != first {
                return Err(Refusal::at(self.dockerfile.stages[stage].from.span, "the builds of this file use different contexts"));
            }
        }
        Ok(first)
    }

    /// What stands in the way in a context that is only guessed does not read right without it.
    fn of_other_context(&self, context: &Context<'_>, refusal: Refusal) -> Refusal {
        match context.folder.as_deref().filter(|_| self.callers.is_empty()) {
            Some(folder) => {
                let which = if folder == facts::parent(&self.path) { "folder of this file" } else { "root of the repository" };
                Refusal { reason: format!("{}, if the context is the {which}", refusal.reason), ..refusal }
            }
            None => refusal,
        }
    }

    /// A fix of this file that is not proven.
    pub fn suggestion(&self, title: impl Into<String>, edits: EditSet) -> Fix {
        Fix::unproven(title, vec![FileEdits { path: self.path.clone(), edits, create: false }])
    }

    /// A fix that changes flags, by proof.
    pub fn reflagging(&self, title: impl Into<String>, proven: FlagEdit) -> Fix {
        Fix::flags(title, self.path.clone(), proven)
    }

    /// A fix that does a proven move.
    pub fn reordering(&self, title: impl Into<String>, proven: Move) -> Fix {
        Fix::reordering(title, self.path.clone(), proven)
    }

    /// A fix that does a proven edit of cache mounts; the title says what is another in the image then.
    pub fn mounting(&self, title: &str, proven: MountEdit) -> Fix {
        let differs: Vec<String> = proven.differs().iter().map(|it| format!("`{it}`")).collect();
        let title = match differs.as_slice() {
            [] => title.to_owned(),
            [folder] => format!("{title}; in the image only {folder} differs"),
            folders => format!("{title}; in the image only {} differ", folders.join(" and ")),
        };
        Fix::mounting(title, self.path.clone(), proven)
    }
}

/// Where a build finds its files, with the Dockerfile that is there: what looks for a `Dockerfile` takes a `dockerfile`
/// as well (docs/facts.md F.1).
fn place(snapshot: &Snapshot, build: &Build, path: &str, leg: Option<&Leg>) -> Place {
    let mut res = links::place(build, path, leg);
    if let Some(named) = &res.dockerfile
        && let Some(lower) = in_lower_case(named)
        && snapshot.file(named).is_none()
        && snapshot.file(&lower).is_some()
    {
        res.dockerfile = Some(lower);
    }
    res.dockerfile = res.dockerfile.map(|it| snapshot.real(&it).to_owned());
    res
}

/// The file that stands in for a `Dockerfile`, named or not.
pub(crate) fn in_lower_case(path: &str) -> Option<String> {
    (facts::name(path) == "Dockerfile").then(|| facts::join(facts::parent(path), "dockerfile"))
}

/// The builds that mean the Dockerfile at `path`.
fn references_to<'a>(snapshot: &'a Snapshot, path: &'a str) -> impl Iterator<Item = &'a links::Reference> {
    let upper = (facts::name(path) == "dockerfile").then(|| facts::join(facts::parent(path), "Dockerfile"));
    let stood_in_for = upper.filter(|it| snapshot.file(it).is_none()).map_or(&[][..], |it| snapshot.links.builds_of(&it));
    let by_link = snapshot.other_paths(path).flat_map(|it| snapshot.links.builds_of(it));
    snapshot.links.builds_of(path).iter().chain(stood_in_for).chain(by_link)
}

/// The builds of the Dockerfile at `path`.
fn callers<'a>(snapshot: &'a Snapshot, path: &str) -> Vec<Caller<'a>> {
    let mut res: Vec<Caller<'a>> = Vec::new();
    for reference in references_to(snapshot, path) {
        let Some((path, file)) = snapshot.entry(&reference.path) else { continue };
        let Some(build) = file.builds().get(reference.build).copied() else { continue };
        if build.build.dry {
            continue;
        }
        let leg = build.legs().into_iter().find(|(leg, _)| *leg == reference.leg).and_then(|it| it.1);
        res.push(Caller { path, build, place: place(snapshot, build.build, path, leg) });
    }
    res
}

/// The contexts that a Dockerfile is, or may be, built with.
fn contexts<'a>(snapshot: &'a Snapshot, path: &str, dockerfile: &Dockerfile, callers: &[Caller<'_>], config: &Config) -> Vec<Context<'a>> {
    let mut folders: Vec<(String, bool)> = Vec::new();
    let mut unknown = false;
    for caller in callers {
        let (folder, git) = match &caller.place.context {
            Folder::Disk(folder) => (folder.clone(), false),
            Folder::Git(folder) => (folder.clone(), true),
            Folder::Unknown => {
                unknown = true;
                continue;
            }
        };
        if !folders.contains(&(folder.clone(), git)) {
            folders.push((folder, git));
        }
    }
    let passed = passed(snapshot, path, callers);
    let targets: Vec<Option<String>> = callers
        .iter()
        .map(|it| match &it.place.target {
            Target::Named(name) => Some(name.clone()),
            Target::Last | Target::Unknown => None,
        })
        .collect();
    let base = Context { facts: Some(&snapshot.facts), passed, volatile_names: config.volatile_arguments().to_vec(), targets, ..Context::default() };
    if callers.is_empty() {
        folders = guess(snapshot, path, dockerfile);
        unknown = folders.is_empty();
    }
    let mut res: Vec<Context<'a>> = folders.into_iter().map(|(folder, git)| with_folder(snapshot, base.clone(), path, folder, git)).collect();
    if unknown {
        res.push(base);
    }
    res
}

/// The folders that a Dockerfile of which no build is known may be built with: its own, and the
/// root of the repository; those that lack a file which it names are out (docs/facts.md F.5).
fn guess(snapshot: &Snapshot, path: &str, dockerfile: &Dockerfile) -> Vec<(String, bool)> {
    let own = facts::parent(path);
    let root = snapshot.root(path);
    let mut named: Vec<String> = Vec::new();
    for (_, instruction) in dockerfile.instructions() {
        if let Kind::Copy(copy) = &instruction.kind
            && copy.from.is_none()
        {
            let sources = copy.sources.iter().map(|it| it.text.as_str()).filter(|it| !is_remote(it) && !it.contains('$') && !it.starts_with("<<"));
            named.extend(sources.map(clean_source).filter(|it| !it.is_empty() && !is_glob(it)));
        }
    }
    let has_all = |folder: &str| match snapshot.facts.tree(folder) {
        None => false,
        Some(tree) => named.iter().all(|it| tree.truncated || tree.entries.contains_key(it)),
    };
    let mut res = Vec::new();
    for folder in [own, root] {
        if has_all(folder) && !res.iter().any(|(it, _)| it == folder) {
            res.push((folder.to_owned(), false));
        }
    }
    // What an install below a copy of the whole context is told to read has to be there too.
    if res.len() == 2 {
        let lists = listed_files(dockerfile);
        let has_lists = |folder: &str| snapshot.facts.tree(folder).is_some_and(|tree| lists.iter().all(|it| tree.entries.contains_key(it)));
        let fit: Vec<(String, bool)> = res.iter().filter(|(it, _)| has_lists(it)).cloned().collect();
        if !fit.is_empty() {
            res = fit;
        }
    }
    // `docker/Dockerfile` that copies `.` means the root far more often than the folder that holds
    // nothing but Dockerfiles; both have to prove a move, so that the order only says which is shown.
    if res.len() == 2 && !has_manifest(snapshot, own) && has_manifest(snapshot, root) {
        res.swap(0, 1);
    }
    res
}

/// The lists of packages that installs read from a copy of the whole context above them, by their paths in it, as far
/// as both are written plainly.
fn listed_files(dockerfile: &Dockerfile) -> Vec<String> {
    let mut res = Vec::new();
    for stage in &dockerfile.stages {
        // A base image may set one.
        let mut directory = None;
        let mut copied: Vec<String> = Vec::new();
        for instruction in &stage.instructions {
            match &instruction.kind {
                Kind::Workdir(folder) => directory = absolute(directory.as_deref(), folder),
                Kind::Copy(copy) if copy.whole_context() && copied.len() < MAX_COPIES => copied.extend(absolute(directory.as_deref(), &copy.destination.text)),
                Kind::Run(run) => {
                    let paths = run.reading.steps.iter().flat_map(|step| step.paths.iter().map(move |it| (step, it)));
                    let lists = paths.filter(|(_, it)| it.role == Role::Requirements);
                    let paths = lists.filter_map(|(step, it)| absolute(absolute(directory.as_deref(), &step.directory).as_deref(), &it.path));
                    res.extend(paths.filter_map(|path| Some(facts::relative(&path, copied.iter().find(|it| facts::is_below(&path, it))?)?.to_owned())));
                }
                _ => {}
            }
        }
    }
    res
}

/// A path of the image; `None` where a variable is a part of it, or it starts from a folder that is not known.
fn absolute(directory: Option<&str>, path: &str) -> Option<String> {
    if path.contains('$') {
        return None;
    }
    if path.starts_with('/') { Some(facts::join("/", path)) } else { Some(facts::join(directory?, path)) }
}

fn has_manifest(snapshot: &Snapshot, folder: &str) -> bool {
    snapshot.facts.tree(folder).is_some_and(|tree| ecosystem::manifests().any(|it| tree.entries.contains_key(it)))
}

fn with_folder<'a>(snapshot: &'a Snapshot, base: Context<'a>, path: &str, folder: String, git: bool) -> Context<'a> {
    let tree = snapshot.facts.tree(&folder).cloned();
    let ignore = if git { Ignore::None } else { ignore_file(snapshot, path, &folder) };
    Context { folder: Some(folder), git, ignore, tree, ..base }
}

/// The ignore file in effect: `<Dockerfile>.dockerignore` beside the Dockerfile, else
/// `.dockerignore` in the context.
fn ignore_file(snapshot: &Snapshot, path: &str, folder: &str) -> Ignore {
    for candidate in [format!("{path}.dockerignore"), facts::join(folder, ".dockerignore")] {
        match snapshot.text(&candidate) {
            Some(Text::Known(text)) => return ignore::parse(&text).map_or(Ignore::Unknown, |it| Ignore::File(candidate, Arc::new(it))),
            Some(Text::Missing) => {}
            Some(Text::Unreadable) | None => return Ignore::Unknown,
        }
    }
    Ignore::None
}

/// What the builds pass; `None` where no workflow's build is known, or where one is that passes
/// what cannot be told. Bake and compose files are used by hand as well, with other arguments.
fn passed(snapshot: &Snapshot, dockerfile: &str, callers: &[Caller<'_>]) -> Option<Vec<Passed>> {
    if !callers.iter().any(|it| it.build.step.is_some()) || callers.iter().any(|it| it.build.build.opaque) {
        return None;
    }
    let mut res = Vec::new();
    for caller in callers {
        let cached = !caller.build.starts_empty();
        let sites = LazyCell::new(|| given::sites(snapshot, caller.path));
        for argument in &caller.build.build.arguments {
            let mut origin = None;
            let (variance, text) = match &argument.value {
                // A build that uses no cache loses nothing by what it passes.
                Some(value) if caller.build.build.no_cache => (Variance::default(), value.shown()),
                Some(value) => {
                    let mut variance = value.variance();
                    // What it is by itself comes first.
                    if variance.has_inputs() && !variance.is_per_commit() {
                        origin = origin_of(&sites, &caller.build, value, dockerfile);
                    }
                    if let Some(origin) = &origin {
                        variance = variance.join(&origin.variance);
                    }
                    (variance, value.shown())
                }
                None => (Variance::over(Axis::Unknown), String::new()),
            };
            res.push(Passed { name: argument.name.clone(), variance, path: caller.path.clone(), span: argument.span, text, cached, origin });
        }
    }
    Some(res)
}

/// What one of the calls at `sites` gives an input that the value of an argument is made of, if that is another
/// on every commit for a build of `dockerfile`; else if it is not known.
fn origin_of(sites: &[Site<'_>], build: &Described<'_>, value: &Value, dockerfile: &str) -> Option<Origin> {
    let origin = |wanted: fn(&Variance) -> bool| {
        let mut found = sites.iter().filter_map(|it| it.origin(value, wanted).map(|origin| (it, origin)));
        found.find(|(it, _)| it.builds(build, dockerfile)).map(|it| it.1)
    };
    origin(Variance::is_per_commit).or_else(|| origin(Variance::is_unknown))
}

impl<'a> WorkflowView<'a> {
    fn new(snapshot: &'a Snapshot, path: Arc<str>, file: &'a File, yaml: &'a yaml::Source, workflow: &'a Workflow) -> WorkflowView<'a> {
        let mut builds = Vec::new();
        for (index, described) in file.builds().into_iter().enumerate() {
            let Some((_, job, step)) = described.step else { continue };
            let mut places: Vec<Place> = Vec::new();
            for (_, leg) in described.legs() {
                let place = place(snapshot, described.build, &path, leg);
                if !places.contains(&place) {
                    places.push(place);
                }
            }
            let builder = job.builder(step);
            builds.push(StepView { index, described, job, step, build: described.build, builder, places });
        }
        WorkflowView { path, source: file.text().clone(), yaml, workflow, builds, snapshot, triggers: OnceCell::new() }
    }

    /// The model of a Dockerfile; `None` where it is not known (yet), or is none.
    pub fn dockerfile(&self, path: &str) -> Option<&'a Dockerfile> {
        model(self.snapshot, path)
    }
}

impl StepView<'_> {
    /// The only Dockerfile that it means; `None` where that is unknown or differs by leg.
    pub fn dockerfile(&self) -> Option<&str> {
        match &self.places[..] {
            [place, rest @ ..] if rest.iter().all(|it| it.dockerfile == place.dockerfile) => place.dockerfile.as_deref(),
            _ => None,
        }
    }
}

/// Whether a stage starts from another one of the file.
pub fn starts_from_stage(base: &Base) -> bool {
    matches!(base, Base::Stage(_))
}
