//! Build steps: what a workflow builds, whether an action or a command does it.

use super::read::{Listed, Names};
use super::{Action, Input, Job, Step, run};
use crate::build::{Build, BuildArgument, Context, Tool};
use crate::cache;
use crate::edit::Span;
use crate::value::{Hole, Part, Passage, Value};
use std::collections::BTreeMap;

/// A build of a step.
#[derive(Debug, Clone)]
pub struct BuildStep {
    /// The index of its step in the job.
    pub step: usize,
    /// What is built. For [`Tool::Bake`] and [`Tool::Compose`] only what the step itself says; the
    /// rest is in `files`.
    pub build: Build,
    /// The files that describe the build, for bake and compose; empty where the tool looks for its
    /// default ones.
    pub files: Vec<Value>,
    /// The targets or services that are built; empty for the default ones.
    pub targets: Vec<Value>,
    /// The expression that is the name of one of the targets in each leg of the job, whose matrix a step before has made
    /// of them: a leg builds no other.
    pub each: Option<String>,
    /// `--project-directory` of compose, where the paths of its files start.
    pub project: Option<Value>,
    /// What the environment sets, for bake and compose, whose files have variables; without a value
    /// where it is not known.
    pub environment: BTreeMap<String, Option<String>>,
    /// `set:` of bake.
    pub overrides: Vec<Override>,
    /// The builder that is asked for by name.
    pub builder: Option<Value>,
    /// Whether the image is loaded into Docker: `None` where an expression decides.
    pub load: Option<bool>,
    /// Where flags can be put into the command: behind `docker buildx build`, in the file. `None`
    /// for an action, and where the script is not written as it is run.
    pub flags_at: Option<usize>,
}

/// A line of bake's `set:`, `pattern.key=value`.
#[derive(Debug, Clone)]
pub struct Override {
    /// The whole line.
    pub span: Span,
    /// Which targets: a name, with `*` for any text.
    pub pattern: String,
    /// Which attribute: `cache-to`, `args.NAME`.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// `+=`: it is added to what the target has.
    pub append: bool,
}

impl Override {
    /// Reads a line; `None` where an expression stands in the place of the name.
    pub(super) fn read(line: &Passage) -> Option<(Override, Passage)> {
        let (name, value) = line.split_once('=')?;
        let append = name.text().ends_with('+');
        let (pattern, key) = name.known()?.trim_end_matches('+').split_once('.')?;
        let res = Override { span: line.span(), pattern: pattern.to_owned(), key: key.to_owned(), value: value.value(), append };
        Some((res, value))
    }

    /// The context that its value names.
    pub fn context(&self) -> Context {
        let value = self.value.clone();
        if is_remote(&value.pattern()) { Context::Foreign(value) } else { Context::Folder(value) }
    }

    /// Whether it has a part in what the layers are: names, labels and the place of the result have none.
    pub fn makes_layers(&self) -> bool {
        !matches!(self.key.split('.').next(), Some("tags" | "labels" | "annotations" | "output" | "push" | "load"))
    }

    /// Whether it is meant for a target; `*` stands for any text.
    pub fn is_for(&self, target: &str) -> bool {
        let mut pieces = self.pattern.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = target.strip_prefix(first) else { return false };
        let Some(last) = pieces.next_back() else { return rest.is_empty() };
        for piece in pieces {
            let Some(at) = rest.find(piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
        rest.ends_with(last)
    }
}

/// Actions with the inputs of `docker/build-push-action`.
const BUILD_ACTIONS: &[&str] = &["docker/build-push-action", "useblacksmith/build-push-action", "depot/build-push-action"];
/// Actions with the inputs of `docker/bake-action`.
const BAKE_ACTIONS: &[&str] = &["docker/bake-action", "useblacksmith/bake-action", "depot/bake-action"];

impl Action {
    /// Whether it builds an image as `docker/build-push-action` does.
    pub fn is_build(&self) -> bool {
        BUILD_ACTIONS.iter().any(|it| self.is(it))
    }

    /// Whether it runs bake as `docker/bake-action` does.
    pub fn is_bake(&self) -> bool {
        BAKE_ACTIONS.iter().any(|it| self.is(it))
    }
}

impl Step {
    /// Whether it only makes the builder that it would build with, as Blacksmith's action can.
    pub fn is_setup_only(&self) -> bool {
        self.action.as_ref().is_some_and(Action::is_build) && is_on(self, "setup-only")
    }
}

impl Build {
    /// Says what the names of job and workflow are where paths and the target are made of them.
    /// In cache options they stay what they are: there it matters that they are names of these.
    pub(super) fn set_names(&mut self, job: &str, workflow: Option<&str>) {
        let context = match &mut self.context {
            Context::Folder(value) | Context::Git(Some(value)) => Some(value),
            Context::Git(None) | Context::Foreign(_) => None,
        };
        let values = context.into_iter().chain(&mut self.dockerfile).chain(&mut self.target);
        for part in values.flat_map(|it| &mut it.parts) {
            let Part::Expression { source, known, .. } = part else { continue };
            match source.as_str() {
                "github.job" | "$GITHUB_JOB" => *known = Some(job.to_owned()),
                "github.workflow" | "$GITHUB_WORKFLOW" => *known = workflow.map(str::to_owned),
                _ => {}
            }
        }
    }
}

/// The builds of a step of `job`.
pub(super) fn of_step(job: &Job, index: usize, names: &Names<'_>) -> Vec<BuildStep> {
    let Some(step) = job.steps.get(index) else { return Vec::new() };
    match &step.action {
        Some(_) if step.is_setup_only() => Vec::new(),
        Some(action) if action.is_build() => vec![build_action(step, action, index, job.before(index))],
        Some(action) if action.is_bake() => {
            let mut res = bake_action(step, action, index, job.before(index));
            let given = std::mem::replace(&mut res.environment, names.below(&step.env).environment());
            res.environment.extend(given);
            vec![res.of_list(names)]
        }
        _ => run::builds(step, index, job.before(index), names).into_iter().map(|it| it.of_list(names)).collect(),
    }
}

/// The targets that an output of a job lists, in JSON: those of Docker's actions for matrices of bake.
pub(super) fn listed(job: &Job, output: &Value) -> Option<Listed> {
    let [Part::Expression { source, .. }] = output.parts.as_slice() else { return None };
    let (id, name) = source.strip_prefix("steps.")?.split_once(".outputs.")?;
    let step = job.steps.iter().find(|it| it.id.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(id)))?;
    let action = step.action.as_ref()?;
    let is_list = match name {
        "targets" => action.is("docker/bake-action/subaction/list-targets"),
        "matrix" => action.is("docker/bake-action/subaction/matrix"),
        _ => false,
    };
    if !is_list {
        return None;
    }
    let list = |name: &str| step.input(name).map(|it| it.list(true)).unwrap_or_default();
    let targets: Vec<Value> = list("target").iter().map(Passage::value).collect();
    let is_default = targets.iter().all(|it| it.known().as_deref() == Some("default"));
    Some(Listed { targets: if is_default { Vec::new() } else { targets }, files: list("files").iter().map(|it| it.value().pattern()).collect() })
}

impl BuildStep {
    /// With all targets of the list that the legs of the matrix are made of, where it builds one of them in each.
    fn of_list(mut self, names: &Names<'_>) -> BuildStep {
        let [target] = self.targets.as_slice() else { return self };
        let [Part::Expression { source, known: None, .. }] = target.parts.as_slice() else { return self };
        let Some(listed) = names.listed(source).filter(|_| self.build.tool == Tool::Bake) else { return self };
        let files: Vec<String> = self.files.iter().map(Value::pattern).filter(|it| !it.contains(".outputs.bake-file")).collect();
        // A list of other files may have other targets in it.
        if listed.files == files || listed.files.is_empty() || files.is_empty() {
            self.each = Some(source.clone());
            self.targets = listed.targets;
        }
        self
    }

    /// A build of which nothing is said.
    pub(super) fn empty(step: &Step, index: usize, tool: Tool, span: Span, name: String) -> BuildStep {
        let build = Build {
            span,
            whole: step.span,
            tool,
            name,
            context: Context::Git(None),
            dockerfile: None,
            inline: false,
            folder: Some(String::new()),
            target: None,
            arguments: Vec::new(),
            platforms: Vec::new(),
            tags: Vec::new(),
            imports: Vec::new(),
            exports: Vec::new(),
            no_cache: false,
            push: Some(false),
            contexts: Vec::new(),
            dry: false,
            opaque: false,
        };
        BuildStep {
            step: index,
            build,
            files: Vec::new(),
            targets: Vec::new(),
            each: None,
            project: None,
            environment: BTreeMap::new(),
            overrides: Vec::new(),
            builder: None,
            load: Some(false),
            flags_at: None,
        }
    }
}

fn named(step: &Step, action: &Action) -> String {
    step.name.as_ref().filter(|it| !it.is_blank()).map_or_else(|| action.name.clone(), Value::pattern)
}

fn build_action(step: &Step, action: &Action, index: usize, before: &[Step]) -> BuildStep {
    let mut res = BuildStep::empty(step, index, Tool::BuildPushAction, action.span, named(step, action));
    let list = |name: &str, commas: bool| step.input(name).map(|it| it.list(commas)).unwrap_or_default();
    let values = |name: &str, commas: bool| list(name, commas).iter().map(Passage::value).collect();
    let text = |name: &str| step.input(name).map(|it| it.passage.trim()).filter(|it| !it.is_empty());
    let build = &mut res.build;
    build.context = text("context").map_or(Context::Git(None), |it| context(&it));
    build.dockerfile = text("file").map(|it| workspace_relative(&it).value());
    build.target = text("target").map(|it| it.value());
    for record in list("build-args", false) {
        build.opaque |= !push_argument(&mut build.arguments, &record);
    }
    build.platforms = values("platforms", true);
    build.tags = values("tags", true);
    build.imports = list("cache-from", false).iter().flat_map(cache::parse).collect();
    build.exports = list("cache-to", false).iter().flat_map(cache::parse).collect();
    build.no_cache = is_on(step, "no-cache") || !list("no-cache-filters", true).is_empty();
    build.push = pushes(step.input("push"), &list("outputs", false));
    build.contexts = named_contexts(&list("build-contexts", false));
    build.dry = text("call").and_then(|it| it.known().map(str::to_owned)).is_some_and(|it| it != "build");
    // The first version had other names for all of this; the forks began later.
    build.opaque |= action.is("docker/build-push-action") && action.major() == Some(1);
    res.builder = text("builder").map(|it| it.value());
    res.load = step.input("load").map_or(Some(false), Input::truth);
    relocate(&mut res.build, before);
    res
}

fn bake_action(step: &Step, action: &Action, index: usize, before: &[Step]) -> BuildStep {
    let mut res = BuildStep::empty(step, index, Tool::Bake, action.span, named(step, action));
    let list = |name: &str, commas: bool| step.input(name).map(|it| it.list(commas)).unwrap_or_default();
    let text = |name: &str| step.input(name).map(|it| it.passage.trim()).filter(|it| !it.is_empty());
    let known = |name: &str| text(name).and_then(|it| it.known().map(str::to_owned));
    let workdir = text("workdir").map(|it| it.value());
    let here = || Context::Folder(workdir.clone().unwrap_or_else(|| Value::literal(".", action.span)));
    let source = text("source").map(|it| (it.text() == ".", context(&it)));
    // Git since the sixth version; `workdir` is gone since the seventh.
    let context = match (source, action.major()) {
        (Some((true, _)), Some(..=6)) => here(),
        (Some((_, source)), _) => source,
        (None, Some(6..)) if action.is("docker/bake-action") => Context::Git(None),
        (None, Some(_)) => here(),
        (None, None) => {
            res.build.opaque = true;
            Context::Git(None)
        }
    };
    res.build.context = context;
    res.files = list("files", true).iter().map(|it| it.value()).collect();
    res.targets = list("targets", true).iter().map(|it| it.value()).collect();
    for line in list("set", false) {
        add_override(&mut res, &line);
    }
    for line in list("vars", false) {
        add_variable(&mut res, &line);
    }
    res.build.no_cache |= is_on(step, "no-cache");
    res.build.push = step.input("push").map_or(Some(false), Input::truth);
    res.build.dry = known("call").is_some_and(|it| it != "build");
    res.builder = text("builder").map(|it| it.value());
    res.load = step.input("load").map_or(Some(false), Input::truth);
    relocate(&mut res.build, before);
    if let Context::Folder(folder) = &res.build.context {
        res.build.folder = res.build.folder.take().and_then(|it| workspace_folder(folder).map(|folder| join(&it, &folder)));
    }
    res
}

/// Takes in a line of `set:`. Cache options are also the build's own, so that rules see them.
pub(super) fn add_override(res: &mut BuildStep, line: &Passage) {
    let Some((found, value)) = Override::read(line) else {
        res.build.opaque |= !is_of_image_only(line);
        return;
    };
    match found.key.as_str() {
        "cache-from" => res.build.imports.extend(cache::parse(&value)),
        "cache-to" => res.build.exports.extend(cache::parse(&value)),
        "no-cache" => res.build.no_cache |= value.known() == Some("true"),
        _ => {}
    }
    res.overrides.push(found);
}

/// Takes in `NAME=value`, which a variable of the files then is, whatever the environment says.
pub(super) fn add_variable(res: &mut BuildStep, line: &Passage) {
    let pair = line.split_once('=').and_then(|(name, value)| Some((name.known()?.trim().to_owned(), value.known().map(str::to_owned))));
    match pair {
        Some((name, value)) => drop(res.environment.insert(name, value)),
        None => res.build.opaque = true,
    }
}

/// Whether an expression comes out as nothing, or as a line about names and labels of the image, which make
/// no layers (`${{ env.TAG && format('*.tags={0}', env.TAG) || '' }}`).
fn is_of_image_only(line: &Passage) -> bool {
    let choices = line.only_hole().map(|it| it.choices()).unwrap_or_default();
    let is_harmless = |it: &Passage| it.trim().is_empty() || Override::read(it).is_some_and(|(it, _)| !it.makes_layers());
    !choices.is_empty() && choices.iter().all(is_harmless)
}

fn is_on(step: &Step, name: &str) -> bool {
    step.input(name).and_then(Input::truth) == Some(true)
}

/// Whether the image is pushed: by `push`, or by an output that says so.
pub(super) fn pushes(push: Option<&Input>, outputs: &[Passage]) -> Option<bool> {
    match push.map_or(Some(false), Input::truth) {
        Some(false) => output_pushes(outputs),
        other => other,
    }
}

/// Whether an output pushes: `type=registry`, `type=image,push=true`.
pub(super) fn output_pushes(outputs: &[Passage]) -> Option<bool> {
    let pushing = |it: &Passage| it.text().contains("type=registry") || it.text().contains("push=true") || it.text().contains("push-by-digest=true");
    if outputs.iter().any(pushing) {
        return Some(true);
    }
    if outputs.iter().any(Passage::is_open) { None } else { Some(false) }
}

/// Adds `NAME=value` or `NAME`, or the list of them that calls give; false where an expression stands in the
/// place of a name.
pub(super) fn push_argument(arguments: &mut Vec<BuildArgument>, record: &Passage) -> bool {
    let found = match record.only_hole() {
        Some(hole) => given_arguments(record, hole),
        None => argument(record).map(|it| vec![it]),
    };
    found.map(|it| arguments.extend(it)).is_some()
}

fn argument(record: &Passage) -> Option<BuildArgument> {
    let (name, value) = record.split_once('=').map_or((record.clone(), None), |(name, value)| (name, Some(value.value())));
    let name = name.known().map(str::trim).filter(|it| !it.is_empty())?.to_owned();
    Some(BuildArgument { span: record.span(), name, value })
}

/// The arguments of a list of which it is known what it may be. Where it is one of several they have to have the
/// same names; a value is then what the list says that is given.
fn given_arguments(record: &Passage, hole: &Hole) -> Option<Vec<BuildArgument>> {
    let of_text = |text: &Passage| text.records().iter().map(argument).collect::<Option<Vec<_>>>();
    let lists = hole.choices().iter().map(of_text).collect::<Option<Vec<_>>>()?;
    let (first, others) = lists.split_first()?;
    let Part::Expression { span, source, variance, .. } = hole.part() else { return None };
    let of_name = |list: &[BuildArgument], name: &str| list.iter().rev().find(|it| it.name == name).map(|it| it.value.as_ref().and_then(Value::known));
    let is_alike = |list: &Vec<BuildArgument>| list.len() == first.len() && list.iter().all(|it| of_name(first, &it.name).is_some());
    // Only an input of which the text is known in each call can be asked for.
    if !others.iter().all(is_alike) || !source.starts_with("inputs.") || source.contains([' ', '(']) {
        return None;
    }
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let value = |name: &str| {
        let values = lists.iter().map(|it| of_name(it, name).flatten()).collect::<Option<Vec<String>>>()?;
        if values.windows(2).all(|it| it[0] == it[1]) {
            return values.into_iter().next().map(|it| Value::literal(it, *span));
        }
        let cases: String =
            hole.choices().iter().zip(&values).map(|(list, value)| format!("{source} == {}, {}, ", quoted(list.text()), quoted(value))).collect();
        let part = Part::Expression { span: *span, source: format!("case({cases}'')"), known: None, variance: variance.clone() };
        Some(Value { span: *span, parts: vec![part] })
    };
    first.iter().map(|it| Some(BuildArgument { span: record.span(), name: it.name.clone(), value: Some(value(&it.name)?) })).collect()
}

/// Named contexts of `name=place` records.
pub(super) fn named_contexts(records: &[Passage]) -> Vec<(String, Value)> {
    let pair = |it: &Passage| {
        let (name, place) = it.split_once('=')?;
        Some((name.known()?.trim().to_owned(), place.trim().value()))
    };
    records.iter().filter_map(pair).collect()
}

/// What a context names.
pub(super) fn context(place: &Passage) -> Context {
    let text = place.text();
    if let Some(rest) = behind_default_context(text) {
        let folder = rest.strip_prefix(':').map(|it| place.slice(Span::new(text.len() - it.len(), text.len())));
        return Context::Git(folder.filter(|it| !it.is_empty()).map(|it| it.value()));
    }
    let value = place.value();
    if is_own_repository(&value) {
        let folder = text.rfind('#').and_then(|at| text[at..].find(':').map(|it| at + it + 1));
        return Context::Git(folder.map(|it| place.slice(Span::new(it, text.len())).value()));
    }
    if is_remote(text) { Context::Foreign(value) } else { Context::Folder(workspace_relative(place).value()) }
}

/// What a context names that is known as a text only.
pub fn context_named(text: &str) -> Context {
    context(&Passage::literal(crate::syntax::Mapped::verbatim(text, 0), Span::default()))
}

/// What follows the action's template for this repository, in which spaces do not matter.
fn behind_default_context(text: &str) -> Option<&str> {
    let (name, rest) = text.strip_prefix("{{")?.split_once("}}")?;
    (name.trim() == "defaultContext").then_some(rest)
}

/// Whether it is this repository's own address, at the commit that is built.
fn is_own_repository(value: &Value) -> bool {
    let pattern = value.pattern();
    let here = ["${{ github.server_url }}/${{ github.repository }}", "https://github.com/${{ github.repository }}"];
    let rest = here.iter().find_map(|it| pattern.strip_prefix(it));
    rest.is_some_and(|it| ["#${{ github.sha }}", "#${{ github.ref }}"].iter().any(|at| it.strip_prefix(".git").unwrap_or(it).starts_with(at)))
}

/// Whether a context is fetched by the builder.
pub(super) fn is_remote(text: &str) -> bool {
    let schemes = ["http://", "https://", "git://", "ssh://", "git@", "github.com/", "docker-image://", "oci-layout://"];
    text == "-" || schemes.iter().any(|it| text.starts_with(it)) || text.contains(".git#") || text.ends_with(".git")
}

/// A place without the address of the workspace in front of it: relative places start there anyway.
pub(super) fn workspace_relative(place: &Passage) -> Passage {
    let value = place.value();
    let Some(Part::Expression { source, .. }) = value.parts.first() else { return place.clone() };
    if source != "github.workspace" && source != "$GITHUB_WORKSPACE" {
        return place.clone();
    }
    let at = place.text().find('/').map_or(place.text().len(), |it| it + 1);
    let rest = place.slice(Span::new(at, place.text().len()));
    if rest.is_empty() { Passage::literal(crate::syntax::Mapped::verbatim(".", place.span().start), place.span()) } else { rest }
}

/// The folder that a value names, relative to the workspace; `None` where it is not known or
/// outside.
pub(super) fn workspace_folder(value: &Value) -> Option<String> {
    let workspace = |it: &Part| matches!(it, Part::Expression { source, .. } if source == "github.workspace" || source == "$GITHUB_WORKSPACE");
    let text = match value.parts.split_first() {
        Some((first, rest)) if workspace(first) => Value { span: value.span, parts: rest.to_vec() }.known()?.trim_start_matches('/').to_owned(),
        _ => value.known()?,
    };
    if text.starts_with('/') || text.starts_with('~') { None } else { clean(&text) }
}

/// A relative path without `.` and `..`; `None` where it leads out.
pub(super) fn clean(path: &str) -> Option<String> {
    let mut res: Vec<&str> = Vec::new();
    for segment in path.trim().split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(res.pop()?),
            _ => res.push(segment),
        }
    }
    Some(res.join("/"))
}

/// A cleaned path below a cleaned folder.
pub(super) fn join(folder: &str, path: &str) -> String {
    match (folder, path) {
        ("", path) => path.to_owned(),
        (folder, "") => folder.to_owned(),
        _ => format!("{folder}/{path}"),
    }
}

/// Where a checkout puts a repository.
struct Checkout {
    /// Relative to the workspace; `None` where an expression decides.
    path: Option<String>,
    /// It is another repository than the workflow's.
    foreign: bool,
}

fn checkouts(before: &[Step]) -> Vec<Checkout> {
    let checkout = |it: &Step| Checkout {
        path: it.input("path").map_or(Some(String::new()), |it| workspace_folder(&it.value)),
        foreign: it.input("repository").is_some_and(|it| !it.value.is_blank() && it.value.pattern() != "${{ github.repository }}"),
    };
    before.iter().filter(|it| it.runs("actions/checkout")).map(checkout).collect()
}

/// Turns a folder of the workspace into one of the repository: they differ where the checkout has
/// a `path`. `None` where the folder is not of this repository, or where that is not known.
pub(super) fn in_repository(before: &[Step], folder: &str) -> Option<String> {
    let below = |path: &str| match folder.strip_prefix(path) {
        Some(rest) if path.is_empty() || rest.is_empty() || rest.starts_with('/') => Some(rest.trim_start_matches('/').to_owned()),
        _ => None,
    };
    let checkouts = checkouts(before);
    if checkouts.is_empty() {
        return Some(folder.to_owned());
    }
    // The deepest checkout that holds the folder has it.
    let holding = checkouts.iter().filter_map(|it| Some((it, it.path.as_deref()?))).filter(|(_, path)| below(path).is_some());
    let (holder, path) = holding.max_by_key(|(_, path)| path.len())?;
    if holder.foreign || checkouts.iter().any(|it| it.path.is_none()) { None } else { below(path) }
}

/// Makes the paths of a build relative to the repository. Where that cannot be done its folder is
/// not known.
fn relocate(build: &mut Build, before: &[Step]) {
    if checkouts(before).iter().all(|it| !it.foreign && it.path.as_deref() == Some("")) {
        return;
    }
    let Context::Folder(folder) = &mut build.context else { return };
    let found = relocated(folder, before);
    let file = build.dockerfile.as_ref().map(|it| relocated(it, before));
    match (found, file) {
        (Some(found), None) => *folder = found,
        (Some(found), Some(Some(file))) => {
            *folder = found;
            build.dockerfile = Some(file);
        }
        // The folder that the repository is checked out in, beside others.
        (None, Some(Some(file))) => {
            build.context = Context::Foreign(folder.clone());
            build.dockerfile = Some(file);
        }
        _ => build.folder = None,
    }
}

fn relocated(value: &Value, before: &[Step]) -> Option<Value> {
    let text = in_repository(before, &workspace_folder(value)?)?;
    Some(Value::literal(if text.is_empty() { ".".to_owned() } else { text }, value.span))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Backend;
    use crate::workflow::{lowered, with_steps};

    fn action_build(uses: &str, with: &str) -> BuildStep {
        let lines: String = with.lines().map(|it| format!("\n    {it}")).collect();
        let with = if with.is_empty() { String::new() } else { format!("\n  with:{lines}") };
        lowered(&with_steps(&format!("- uses: {uses}{with}"))).jobs[0].builds[0].clone()
    }

    fn push(with: &str) -> BuildStep {
        action_build("docker/build-push-action@v6", with)
    }

    fn written(context: &Context) -> String {
        match context {
            Context::Folder(value) => format!("folder {}", value.pattern()),
            Context::Git(folder) => format!("git {}", folder.as_ref().map(Value::pattern).unwrap_or_default()),
            Context::Foreign(value) => format!("foreign {}", value.pattern()),
        }
    }

    #[test]
    fn contexts_are_told_apart() {
        let cases = [
            ("", "git "),
            ("context:", "git "),
            ("context: ''", "git "),
            ("context: .", "folder ."),
            ("context: ./api", "folder ./api"),
            ("context: ${{ github.workspace }}", "folder ."),
            ("context: ${{ github.workspace }}/api", "folder api"),
            ("context: ${{ inputs.dir }}", "folder ${{ inputs.dir }}"),
            ("context: '{{defaultContext}}'", "git "),
            ("context: '{{defaultContext}}:api'", "git api"),
            ("context: '{{ defaultContext }}:api'", "git api"),
            ("context: https://github.com/o/r.git#main", "foreign https://github.com/o/r.git#main"),
            ("context: git@github.com:o/r.git", "foreign git@github.com:o/r.git"),
            ("context: https://github.com/${{ github.repository }}.git#${{ github.sha }}:api", "git api"),
        ];
        for (with, expected) in cases {
            assert_eq!(written(&push(with).build.context), expected, "{with}");
        }
    }

    #[test]
    fn lists_are_divided_as_the_action_does() {
        let build =
            push("platforms: linux/amd64, linux/arm64\ntags: |\n  a:1\n  b:1,c:1\nbuild-args: |\n  A=1,2\n\n  B=x\n  \"C=one\n  two\"\nno-cache-filters: a")
                .build;
        assert_eq!(build.platforms.iter().map(Value::pattern).collect::<Vec<_>>(), ["linux/amd64", "linux/arm64"]);
        assert_eq!(build.tags.len(), 3);
        let arguments: Vec<_> = build.arguments.iter().map(|it| (it.name.as_str(), it.value.as_ref().unwrap().pattern())).collect();
        assert_eq!(arguments, [("A", "1,2".to_owned()), ("B", "x".to_owned()), ("C", "one\ntwo".to_owned())]);
        assert!(build.no_cache);
    }

    #[test]
    fn cache_entries_are_a_line_each() {
        let build = push("cache-from: |\n  type=gha,scope=a\n  type=registry,ref=o/app:cache\ncache-to: type=gha,type=registry,ref=x").build;
        assert_eq!(build.imports.iter().map(|it| it.backend).collect::<Vec<_>>(), [Backend::Gha, Backend::Registry]);
        assert!(build.exports[0].is_joined());
    }

    #[test]
    fn whether_the_image_is_pushed_may_be_unknown() {
        let cases = [
            ("", Some(false)),
            ("push: true", Some(true)),
            ("push: ${{ github.event_name != 'pull_request' }}", None),
            ("outputs: type=image,name=x,push-by-digest=true,push=true", Some(true)),
            ("outputs: ${{ inputs.out }}", None),
            ("load: true", Some(false)),
        ];
        for (with, expected) in cases {
            assert_eq!(push(with).build.push, expected, "{with}");
        }
    }

    #[test]
    fn an_expression_in_the_place_of_arguments_is_opaque() {
        assert!(push("build-args: ${{ inputs.args }}").build.opaque);
        assert!(push("build-args: |\n  A=1\n  ${{ inputs.args }}").build.opaque);
        assert!(!push("build-args: A=${{ inputs.args }}\ntags: ${{ inputs.tags }}").build.opaque);
        assert!(action_build("docker/build-push-action@v1", "path: x").build.opaque);
    }

    #[test]
    fn a_check_builds_nothing() {
        assert!(push("call: check").build.dry);
        assert!(!push("call: build").build.dry);
        assert!(action_build("docker/bake-action@v6", "call: check").build.dry);
    }

    #[test]
    fn forks_have_the_same_inputs() {
        for uses in ["useblacksmith/build-push-action@v2", "depot/build-push-action@v1", "Docker/Build-Push-Action@v6"] {
            let build = action_build(uses, "target: x").build;
            assert_eq!((build.target.unwrap().pattern().as_str(), build.opaque), ("x", false), "{uses}");
        }
        let none = lowered(&with_steps("- uses: docker/login-action@v3\n- uses: docker/build-push\n- uses: x/docker/build-push-action@v1"));
        assert!(none.jobs[0].builds.is_empty());
    }

    #[test]
    fn bake_runs_on_git_since_its_sixth_version() {
        let context = |uses: &str, with: &str| {
            let build = action_build(uses, with).build;
            (written(&build.context), build.opaque, build.folder.clone())
        };
        let root = Some(String::new());
        assert_eq!(context("docker/bake-action@v6", ""), ("git ".into(), false, root.clone()));
        assert_eq!(context("docker/bake-action@v5", ""), ("folder .".into(), false, root.clone()));
        assert_eq!(context("docker/bake-action@v5", "workdir: app"), ("folder app".into(), false, Some("app".into())));
        assert_eq!(context("docker/bake-action@v7", "source: ./app"), ("folder ./app".into(), false, Some("app".into())));
        assert_eq!(context("docker/bake-action@v6", "source: .\nworkdir: app"), ("folder app".into(), false, Some("app".into())));
        assert_eq!(context("docker/bake-action@v6", "workdir: app"), ("git ".into(), false, root.clone()));
        assert_eq!(context("docker/bake-action@v7", "source: '{{defaultContext}}:app'"), ("git app".into(), false, root.clone()));
        assert_eq!(context("docker/bake-action@master", ""), ("git ".into(), true, root.clone()));
        assert_eq!(context("docker/bake-action@0000000000000000000000000000000000000000 # v6.1.0", ""), ("git ".into(), false, root));
    }

    #[test]
    fn bake_has_files_targets_and_overrides() {
        let step = action_build(
            "docker/bake-action@v6",
            "files: |\n  a.hcl\n  ${{ steps.meta.outputs.bake-file }}\ntargets: app,web\nset: |\n  *.cache-to=type=gha,mode=max\n  app.cache-from+=type=gha\npush: true",
        );
        assert_eq!(step.files.len(), 2);
        assert_eq!(step.targets.len(), 2);
        assert_eq!((step.build.imports.len(), step.build.exports.len()), (1, 1));
        assert!(step.overrides[0].is_for("app") && !step.overrides[1].is_for("web"));
        assert!(step.overrides[1].append && step.overrides[1].is_for("app"));
    }

    #[test]
    fn variables_of_a_call_are_what_it_says() {
        let step = action_build("docker/bake-action@v7", "vars: |\n  A=1\n  B=${{ github.sha }}\n  C=");
        let given = |it: &str| step.environment.get(it).cloned();
        assert_eq!([given("A"), given("B"), given("C"), given("D")], [Some(Some("1".into())), Some(None), Some(Some(String::new())), None]);
        assert!(!step.build.opaque && action_build("docker/bake-action@v7", "vars: ${{ inputs.vars }}").build.opaque);
        let command = lowered(&with_steps("- env: {A: x, B: y}\n  run: docker buildx bake --var A=1 app")).jobs[0].builds[0].clone();
        assert_eq!((command.environment.get("A"), command.environment.get("B")), (Some(&Some("1".to_owned())), Some(&Some("y".to_owned()))));
        assert_eq!(command.targets.len(), 1);
    }

    #[test]
    fn an_expression_may_be_a_line_about_the_image() {
        let opaque = |line: &str| action_build("docker/bake-action@v7", &format!("set: |\n  {line}")).build.opaque;
        assert!(!opaque("${{ env.TAG && format('*.tags={0}', env.TAG) || '' }}"));
        assert!(!opaque("${{ github.ref == 'a' && '*.output=type=registry' || '*.tags=o/a' }}"));
        for line in ["${{ inputs.set }}", "${{ github.ref == 'a' && '*.context=b' || '' }}", "${{ inputs.set || '*.tags=a' }}"] {
            assert!(opaque(line), "{line}");
        }
    }

    #[test]
    fn patterns_of_overrides_have_stars() {
        let is_for = |pattern: &str, target: &str| {
            let line = Passage::literal(crate::syntax::Mapped::verbatim(&format!("{pattern}.a=1"), 0), Span::default());
            Override::read(&line).unwrap().0.is_for(target)
        };
        for (pattern, target) in [("*", "x"), ("a*", "ab"), ("*b", "ab"), ("a*c*e", "abcde"), ("a", "a"), ("a*", "a")] {
            assert!(is_for(pattern, target), "{pattern} {target}");
        }
        for (pattern, target) in [("a", "b"), ("a*", "ba"), ("*b", "ba"), ("a*a", "a"), ("a*b*c", "acb")] {
            assert!(!is_for(pattern, target), "{pattern} {target}");
        }
    }

    #[test]
    fn a_checkout_with_a_path_moves_the_workspace_away() {
        let build = |steps: &str| lowered(&with_steps(steps)).jobs[0].builds[0].build.clone();
        let own = "- uses: actions/checkout@v4\n  with: {path: src}\n";
        let found = build(&format!("{own}- uses: docker/build-push-action@v6\n  with: {{context: src/app, file: ./src/Dockerfile}}"));
        assert_eq!(
            (written(&found.context), found.dockerfile.unwrap().pattern(), found.folder.as_deref()),
            ("folder app".into(), "Dockerfile".into(), Some(""))
        );
        let found = build(&format!("{own}- uses: docker/build-push-action@v6\n  with: {{context: src}}"));
        assert_eq!(written(&found.context), "folder .");
        assert_eq!(build(&format!("{own}- uses: docker/build-push-action@v6\n  with: {{context: .}}")).folder, None);
        assert_eq!(build(&format!("{own}- run: docker build .")).folder, None);
        assert_eq!(build(&format!("{own}- run: cd src && docker build .")).folder.as_deref(), Some(""));
        assert_eq!(build(&format!("{own}- run: docker build .\n  working-directory: src/app")).folder.as_deref(), Some("app"));
        let both = "- uses: actions/checkout@v4\n- uses: actions/checkout@v4\n  with: {repository: o/r, path: other}\n";
        assert_eq!(build(&format!("{both}- uses: docker/build-push-action@v6\n  with: {{context: other}}")).folder, None);
        assert_eq!(build(&format!("{both}- uses: docker/build-push-action@v6\n  with: {{context: app}}")).folder.as_deref(), Some(""));
        let same = "- uses: actions/checkout@v4\n  with: {repository: '${{ github.repository }}'}\n";
        assert_eq!(build(&format!("{same}- uses: docker/build-push-action@v6\n  with: {{context: app}}")).folder.as_deref(), Some(""));
    }
}
