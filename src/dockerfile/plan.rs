//! A stage as the builder runs it: every instruction with the state it meets, its effects, what it
//! needs from the build context and what it costs.
//!
//! The instructions of the stages that it starts from come first, since they are one chain to the
//! builder's cache.

use super::context::{Context, File};
use super::{Base, Copy, Dockerfile, Frontend, Instruction, Kind, Run, clean_source, is_glob, is_remote};
use crate::ecosystem::quiet;
use crate::ecosystem::{self, Child, FileState, Listing, Obstacle};
use crate::edit::Span;
use crate::effects::{Effects, Place};
use crate::facts::{self, Entry};
use crate::shell::{self, Command, Join};
use crate::syntax::dockerfile::{self as syntax, Quotes, Variable};
use crate::volatility::Cost;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A stage, with the stages it starts from.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The file.
    pub dockerfile: &'a Dockerfile,
    /// What it is built with.
    pub context: Arc<Context<'a>>,
    /// The stage that is planned.
    pub stage: usize,
    /// Its instructions, those of the stages it starts from first.
    pub steps: Vec<Step<'a>>,
    /// What counts as known.
    trust: Trust,
    /// The variables that the chain sets, in order.
    names: Vec<&'a str>,
}

/// What counts as known of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// What is shown: nothing else can carry a proof.
    Shown,
    /// Also what most often holds: a lockfile stays as it is, and what is not in the build context
    /// today will not be there tomorrow. Good for a suggestion.
    Usual,
}

/// An instruction in its place.
#[derive(Debug)]
pub struct Step<'a> {
    /// The stage it is written in.
    pub stage: usize,
    /// The instruction.
    pub instruction: &'a Instruction,
    /// What it meets.
    pub state: State,
    /// What it reads and writes.
    pub effects: Effects,
    /// Why its effects are anything.
    pub obstacle: Option<Obstacle>,
    /// The commands of a RUN that are package managers.
    pub installs: &'a [ecosystem::Step],
    /// Those of [`Self::installs`] that need the sources themselves, by number: where they stand is
    /// no mistake.
    pub with_sources: Vec<usize>,
    /// What it cannot do without and a copy has to bring.
    pub needs: Needs,
    /// What running it again costs.
    pub cost: Cost,
    /// Of a COPY or ADD, what it brings.
    copied: Option<Copied>,
}

/// What a copy brings where. Each command behind it asks, so that it is found once.
#[derive(Debug)]
struct Copied {
    /// An absolute path of the image; `None` where it is not known.
    destination: Option<String>,
    /// Its sources, as [`Plan::sources`] gives them.
    sources: Vec<String>,
    /// The files that a copy of plain files brings, by path of the image, each with its source in
    /// the context; `None` where a source is, or may be, a folder.
    files: Option<Vec<(String, String)>>,
}

impl Step<'_> {
    /// The first command that installs what manifests name, and does not need the sources for it.
    pub fn dependency_install(&self) -> Option<&ecosystem::Step> {
        let by_manifest = |(number, it): &(usize, &ecosystem::Step)| it.action == ecosystem::Action::InstallDependencies && !self.with_sources.contains(number);
        self.installs.iter().enumerate().find(by_manifest).map(|(_, it)| it)
    }

    /// What it is called in a message, in backticks: its costliest known command, or how it begins.
    pub fn display(&self) -> String {
        // The first of those that cost the most.
        let costly = self
            .installs
            .iter()
            .filter(|it| it.action != ecosystem::Action::Clean && it.cost >= Cost::Download)
            .rev()
            .max_by_key(|it| (it.installs(), it.cost));
        if let Some(install) = costly {
            return format!("`{}`", install.display);
        }
        let Kind::Run(run) = &self.instruction.kind else { return format!("`{}`", self.instruction.keyword) };
        format!("`{}`", shell::beginning(&run.command.text, 40))
    }
}

/// What an instruction meets.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Build arguments and environment variables in scope.
    pub variables: Arc<BTreeMap<String, Scoped>>,
    /// The working directory, absolute; `None` where it is not known.
    pub directory: Option<String>,
    /// The user as written; `None` where the base image decides.
    pub user: Option<String>,
    /// Whether shell forms go to another shell than `sh` or `bash`.
    pub foreign_shell: bool,
}

/// A variable in scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scoped {
    /// Its value, where it is known.
    pub value: Option<String>,
    /// As it is written, where there is a value: parts of it may be known.
    pub written: Option<String>,
}

impl State {
    fn set(&mut self, name: &str, scoped: Scoped) {
        Arc::make_mut(&mut self.variables).insert(name.to_owned(), scoped);
    }

    /// `text` with the variables of this state; `None` where one is not known.
    pub fn expand(&self, text: &str, escape: char) -> Option<String> {
        // The base image may set any variable that the file does not.
        let value = |name: &str| self.variables.get(name).and_then(|it| it.value.clone());
        syntax::expand(text, escape, Quotes::Removed, |name| value(name).map_or(Variable::Unknown, Variable::Set))
    }

    /// An absolute path of the image.
    pub fn path(&self, text: &str, escape: char) -> Option<String> {
        let text = self.expand(text, escape)?;
        // A drive letter, or the separator of Windows.
        if text.contains('\\') || text.get(1..2) == Some(":") {
            return None;
        }
        if text.starts_with('/') { Some(facts::join("/", &text)) } else { Some(facts::join(self.directory.as_deref()?, &text)) }
    }

    /// Whether commands run as root, as far as is known.
    pub fn is_root(&self) -> bool {
        matches!(self.user.as_deref(), None | Some("root" | "0" | "root:root" | "0:0"))
    }
}

/// The working directory that an official image sets; `None` for images that are not known.
/// Read from the `WORKDIR` lines of docker-library's Dockerfiles; most set none.
pub(super) fn base_directory(image: &super::Image) -> Option<&'static str> {
    Some(match image.official()? {
        "golang" => "/go",
        "php" => "/var/www/html",
        "composer" => "/app",
        "gradle" => "/home/gradle",
        "node" | "python" | "ruby" | "rust" | "debian" | "ubuntu" | "alpine" | "fedora" | "amazonlinux" | "rockylinux" | "almalinux" | "buildpack-deps"
        | "busybox" | "openjdk" | "eclipse-temurin" | "maven" | "amazoncorretto" | "pypy" | "perl" | "elixir" | "erlang" | "haskell" | "swift" | "nginx"
        | "httpd" | "centos" | "archlinux" | "opensuse" | "oraclelinux" => "/",
        _ => return None,
    })
}

impl<'a> Plan<'a> {
    /// Plans a stage.
    pub fn new(dockerfile: &'a Dockerfile, context: Arc<Context<'a>>, stage: usize) -> Plan<'a> {
        Plan::with(dockerfile, context, stage, Trust::Shown)
    }

    /// The same stage, with what most often holds taken for known.
    pub(super) fn usual(&self) -> Plan<'a> {
        Plan::with(self.dockerfile, self.context.clone(), self.stage, Trust::Usual)
    }

    fn with(dockerfile: &'a Dockerfile, context: Arc<Context<'a>>, stage: usize, trust: Trust) -> Plan<'a> {
        let chain = dockerfile.chain(stage);
        let mut steps = Vec::with_capacity(chain.len());
        let mut state = first_state(dockerfile, stage);
        for (stage, instruction) in chain {
            let next = after(dockerfile, &context, &state, instruction);
            steps.push(Step {
                stage,
                instruction,
                state: std::mem::replace(&mut state, next),
                effects: Effects::default(),
                obstacle: None,
                installs: &[],
                with_sources: Vec::new(),
                needs: Needs::default(),
                cost: Cost::Metadata,
                copied: None,
            });
        }
        let names = names(&steps);
        let mut plan = Plan { dockerfile, context, stage, steps, trust, names };
        for index in 0..plan.steps.len() {
            if let Kind::Copy(copy) = &plan.steps[index].instruction.kind {
                plan.steps[index].copied = Some(plan.copied(index, copy));
            }
        }
        // Commands first: what they write decides which holes of a copied folder matter.
        for index in 0..plan.steps.len() {
            if let Kind::Run(run) = &plan.steps[index].instruction.kind {
                plan.run(index, run);
            }
        }
        let outputs = plan.outputs();
        for index in 0..plan.steps.len() {
            if !matches!(plan.steps[index].instruction.kind, Kind::Run(_)) {
                plan.steps[index].effects = plan.effects(index, &outputs);
                plan.steps[index].cost = if matches!(plan.steps[index].instruction.kind, Kind::Copy(_)) { Cost::Copy } else { Cost::Metadata };
            }
        }
        plan
    }

    /// The steps that are written in the planned stage itself.
    pub fn own(&self) -> impl DoubleEndedIterator<Item = (usize, &Step<'a>)> {
        self.steps.iter().enumerate().filter(|(_, it)| it.stage == self.stage)
    }

    /// Places that commands of the chain write.
    fn outputs(&self) -> Vec<String> {
        let writes = self.steps.iter().flat_map(|it| &it.effects.writes);
        let mut res: Vec<String> = writes
            .filter_map(|it| match it {
                Place::Tree { root, .. } if root != "/" => Some(root.clone()),
                Place::File(path) => Some(path.clone()),
                _ => None,
            })
            .collect();
        res.sort();
        res.dedup();
        res
    }

    fn run(&mut self, index: usize, run: &'a Run) {
        let footprint = self.footprint(index, run);
        let quiet = self.reads_of_quiet(index, run);
        let with_sources = if footprint.is_err() { self.with_sources(index, run) } else { Vec::new() };
        let step = &mut self.steps[index];
        step.with_sources = with_sources;
        step.installs = &run.reading.steps;
        step.cost = run.reading.cost;
        // Flags are expanded by the builder.
        let expanded = step.instruction.expansions.iter().map(|it| Place::Env(it.name.clone()));
        match footprint {
            Ok((effects, needs)) => {
                step.effects = effects;
                step.needs = needs;
            }
            Err(obstacle) => {
                // Whatever it does, it sets no variable, folder or user for the instructions below it.
                step.effects = Effects { reads: quiet.unwrap_or_else(|| vec![Place::Anything]), writes: vec![Place::tree("/")] };
                step.obstacle = Some(obstacle);
            }
        }
        step.effects.reads.extend(expanded);
    }

    /// What an instruction other than RUN reads and writes.
    fn effects(&self, index: usize, outputs: &[String]) -> Effects {
        let Step { instruction, state, .. } = &self.steps[index];
        let mut res = Effects::default();
        res.reads.extend(instruction.expansions.iter().map(|it| Place::Env(it.name.clone())));
        match &instruction.kind {
            Kind::Env(variables) | Kind::Arg(variables) => res.writes.extend(variables.iter().map(|it| Place::Env(it.name.clone()))),
            Kind::Workdir(folder) => {
                res.reads.push(Place::User);
                if self.is_relative(state, folder) {
                    res.reads.push(Place::Directory);
                }
                res.writes.push(Place::Directory);
                match state.path(folder, self.dockerfile.escape) {
                    Some(path) if path == "/" || self.makes_the_same_folder(state, &path) => {}
                    Some(path) => res.writes.push(Place::File(path)),
                    None => res.writes.push(Place::tree("/")),
                }
            }
            Kind::User(_) => res.writes.push(Place::User),
            Kind::Shell(_) => res.writes.push(Place::Shell),
            Kind::Label(_) => res.writes.push(Place::Config("labels".into())),
            Kind::Config { shell_form } => {
                res.writes.push(Place::Config(instruction.keyword.to_lowercase()));
                if *shell_form {
                    res.reads.push(Place::Shell);
                }
            }
            Kind::Copy(copy) => self.copy_effects(index, copy, outputs, &mut res),
            Kind::Run(_) | Kind::Onbuild | Kind::Unknown => return Effects::anything(),
        }
        res
    }

    /// Whether a path starts from the working directory, as far as is known.
    fn is_relative(&self, state: &State, path: &str) -> bool {
        state.expand(path, self.dockerfile.escape).is_none_or(|it| !it.starts_with('/')) && !path.starts_with('/')
    }

    /// Whether a copy of the chain makes the folder `path` just as WORKDIR does, so that it does not
    /// matter which comes first: both make it, and those above it, with mode 0755 for root
    /// (docs/facts.md A.3; compared with BuildKit 0.25). With `--chmod` a copy makes folders of that mode.
    fn makes_the_same_folder(&self, state: &State, path: &str) -> bool {
        let root = state.user.as_deref() == Some("root");
        let is_other = |it: &Step<'_>, copy: &Copy| copy.chown.is_some() || copy.link || it.instruction.flags.iter().any(|it| it.name == "chmod");
        let of_root = |index: usize| match &self.steps[index].instruction.kind {
            Kind::Copy(copy) if !is_other(&self.steps[index], copy) => self.destination(index).is_some_and(|it| facts::is_below(it, path)),
            _ => false,
        };
        let others = |it: &Step<'_>| matches!(&it.instruction.kind, Kind::Copy(copy) if is_other(it, copy));
        root && (0..self.steps.len()).any(of_root) && !self.steps.iter().any(others)
    }

    fn copy_effects(&self, index: usize, copy: &Copy, outputs: &[String], res: &mut Effects) {
        let state = &self.steps[index].state;
        if copy.special {
            return *res = Effects::anything();
        }
        if self.is_relative(state, &copy.destination.text) {
            res.reads.push(Place::Directory);
        }
        if copy.chown.as_ref().is_some_and(|it| it.contains(|c: char| !c.is_ascii_digit() && c != ':')) {
            res.reads.extend(["/etc/passwd", "/etc/group"].map(|it| Place::File(it.into())));
        }
        let Some(destination) = self.destination(index) else {
            return res.writes.push(Place::tree("/"));
        };
        if copy.link {
            // A linked copy makes all folders above it anew.
            let mut above = facts::parent(destination);
            while above != "/" {
                res.writes.push(Place::File(above.to_owned()));
                above = facts::parent(above);
            }
        }
        match self.copied_files(index) {
            Some(files) => res.writes.extend(files.iter().map(|(path, _)| Place::File(path.clone()))),
            None => {
                let holes = if copy.from_context() { self.holes(index, destination, outputs) } else { Vec::new() };
                res.writes.push(Place::Tree { root: destination.to_owned(), holes });
            }
        }
    }

    /// The sources of the copy `index` in the context, with variables expanded where they are known;
    /// none of anything else.
    pub fn sources(&self, index: usize) -> &[String] {
        self.steps[index].copied.as_ref().map_or(&[], |it| &it.sources)
    }

    /// Where the copy `index` copies to, as an absolute path of the image; `None` where that is not
    /// known, and of anything else.
    pub fn destination(&self, index: usize) -> Option<&str> {
        self.steps[index].copied.as_ref()?.destination.as_deref()
    }

    /// The files that a copy of plain files brings, each with its source in the context; `None`
    /// where a source is, or may be, a folder.
    fn copied_files(&self, index: usize) -> Option<&[(String, String)]> {
        self.steps[index].copied.as_ref()?.files.as_deref()
    }

    fn copied(&self, index: usize, copy: &Copy) -> Copied {
        let state = &self.steps[index].state;
        let escape = self.dockerfile.escape;
        let destination = state.path(&copy.destination.text, escape);
        let sources: Vec<String> = copy.sources.iter().map(|it| clean_source(&state.expand(&it.text, escape).unwrap_or_else(|| it.text.to_string()))).collect();
        let files = destination.as_deref().and_then(|it| self.files_of(copy, &sources, it));
        Copied { destination, sources, files }
    }

    fn files_of(&self, copy: &Copy, sources: &[String], destination: &str) -> Option<Vec<(String, String)>> {
        if copy.from.is_some() || copy.add || copy.parents || copy.heredoc || !copy.excludes.is_empty() {
            return None;
        }
        let mut files = Vec::new();
        let mut globs = false;
        for source in sources {
            if source.contains('$') {
                return None;
            }
            if is_glob(source) {
                globs = true;
                files.extend(self.glob(source)?);
            } else if self.context.entry(source)? == Some(Entry::File) {
                files.push(source.clone());
            } else {
                return None;
            }
        }
        let folder = copy.destination.text.ends_with('/') || matches!(copy.destination.text.as_str(), "." | "..") || copy.sources.len() > 1;
        if !folder && globs {
            return None;
        }
        if !folder {
            // `COPY f /app`: a file of that name, or a file in the folder of that name.
            let known_folder = self.steps.iter().any(|it| it.state.directory.as_deref() == Some(destination));
            if known_folder || files.first().is_none_or(|it| facts::name(it) != facts::name(destination)) {
                return None;
            }
            return Some(files.into_iter().map(|it| (destination.to_owned(), it)).collect());
        }
        Some(files.into_iter().map(|it| (facts::join(destination, facts::name(&it)), it)).collect())
    }

    /// Files of the context that a pattern without folders in its wildcards selects; `None` if it
    /// selects a folder or cannot be told.
    fn glob(&self, pattern: &str) -> Option<Vec<String>> {
        let (folder, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
        if is_glob(folder) || name.contains('[') {
            return None;
        }
        let mut res = Vec::new();
        for (entry, kind) in self.context.list(folder)? {
            if !matches_wildcard(name, &entry) {
                continue;
            }
            if kind != Entry::File {
                return None;
            }
            res.push(if folder.is_empty() { entry } else { format!("{folder}/{entry}") });
        }
        Some(res)
    }

    /// Places below a copied folder that commands write and that the ignore file keeps out of it.
    fn holes(&self, index: usize, destination: &str, outputs: &[String]) -> Vec<String> {
        let sources = self.sources(index);
        let left_out = |path: &String| {
            let Some(relative) = facts::relative(path, destination).filter(|it| !it.is_empty()) else { return false };
            sources.iter().all(|source| {
                if source.contains('$') || (is_glob(source) && *source != "*") {
                    return false;
                }
                let source = if source == "*" { "" } else { source };
                let inside = if source.is_empty() { relative.to_owned() } else { format!("{source}/{relative}") };
                if self.trust == Trust::Usual && self.context.entry(&inside) == Some(None) {
                    return true;
                }
                // A source that is a file brings nothing but itself.
                self.context.excludes_all(&inside)
                    || (!source.is_empty() && self.context.entry(source) == Some(Some(Entry::File)) && facts::name(source) != relative)
            })
        };
        outputs.iter().filter(|it| left_out(it)).cloned().collect()
    }

    /// The last copy before `before` that brings the file `path` of the image, with the file of the
    /// context that it takes.
    pub fn provider(&self, path: &str, before: usize) -> Option<(usize, String)> {
        (0..before).rev().find_map(|index| self.source_in(index, path).map(|it| (index, it)))
    }

    /// The file of the context that the copy `index` brings to `path`.
    pub fn source_in(&self, index: usize, path: &str) -> Option<String> {
        let step = &self.steps[index];
        let Kind::Copy(copy) = &step.instruction.kind else { return None };
        if copy.from.is_some() || copy.special || copy.parents {
            return None;
        }
        if let Some(files) = self.copied_files(index) {
            return files.iter().find(|(it, _)| it == path).map(|(_, source)| source.clone());
        }
        let relative = facts::relative(path, self.destination(index)?)?;
        self.sources(index).iter().rev().find_map(|source| {
            if source.contains('$') {
                return None;
            }
            let inside = if is_glob(source) {
                // `COPY * .` brings the files at the top; folders lose their own name.
                let (folder, name) = source.rsplit_once('/').unwrap_or(("", source));
                (!is_glob(folder) && !relative.contains('/') && matches_wildcard(name, relative))
                    .then(|| facts::join(&format!("/{folder}"), relative)[1..].to_owned())?
            } else if self.context.entry(source) == Some(Some(Entry::File)) {
                (facts::name(source) == relative || relative.is_empty()).then(|| source.clone())?
            } else {
                facts::join(&format!("/{source}"), relative)[1..].to_owned()
            };
            matches!(self.context.file(&inside), File::Known(_) | File::Present).then_some(inside)
        })
    }

    /// Whether the copy `index` brings nothing but plain files that it names.
    pub fn brings_named_files(&self, index: usize) -> bool {
        matches!(self.steps[index].instruction.kind, Kind::Copy(_))
            && self.sources(index).iter().all(|it| !is_glob(it) && self.context.entry(it) == Some(Some(Entry::File)))
    }

    /// Whether the command `index` runs a tool that the copy `copy` brings: it names a file of it, and
    /// not as what `install` takes its dependencies from. Packages that it installs from the folder are as good as one.
    pub fn uses_tool(&self, copy: usize, index: usize, install: &ecosystem::Step) -> bool {
        let step = &self.steps[index];
        let (Some(destination), Kind::Run(run)) = (self.destination(copy), &step.instruction.kind) else { return false };
        let project = step.state.directory.as_deref().map(|it| install.folder(it));
        if destination == "/" || project.is_none_or(|it| facts::is_below(&it, destination)) {
            return false;
        }
        let is_copy = |it: String| it.trim_end_matches('/') == destination.trim_end_matches('/');
        let mut sources = run.reading.steps.iter().flat_map(ecosystem::Step::sources);
        if sources.any(|it| step.state.path(&it.text, self.dockerfile.escape).is_some_and(is_copy)) {
            return true;
        }
        let text = run.command.text.as_str();
        let for_install = |at: usize| run.reading.steps.iter().flat_map(|it| &it.paths).any(|it| it.span.start <= at && at < it.span.end);
        match self.copied_files(copy) {
            Some(files) => files.iter().any(|(path, _)| paths_named(text, path).any(|(at, rest)| rest.is_empty() && !for_install(at))),
            None => paths_named(text, destination).any(|(at, rest)| rest.len() > 1 && !for_install(at) && !ecosystem::is_manifest(facts::name(rest))),
        }
    }

    /// Whether the project that `install` of the command `index` works on is fetched by the same
    /// command, and not copied from the build context.
    pub fn fetches_project(&self, index: usize, install: &ecosystem::Step) -> bool {
        let step = &self.steps[index];
        let Kind::Run(run) = &step.instruction.kind else { return false };
        if !run.script.commands.iter().take_while(|it| it.span.start < install.span.start).any(Command::fetches) {
            return false;
        }
        let manifests = ecosystem::ecosystem(install.manager).manifests;
        !manifests.is_empty() && install.paths.is_empty() && !self.may_bring_one_of(index, manifests)
    }

    /// Whether `install` stands behind a condition that the default of a build argument does not meet,
    /// `if [ "$ARG" = 1 ]`, at the beginning of the command `index`, and no known build passes the argument.
    pub fn is_off_by_default(&self, index: usize, install: &ecosystem::Step) -> bool {
        let Kind::Run(run) = &self.steps[index].instruction.kind else { return false };
        let text = run.command.text.as_str();
        let Some(condition) = run.script.commands.first() else { return false };
        let [test, left, equals, right, end] = condition.words.as_slice() else { return false };
        if test.text != "[" || end.text != "]" || !matches!(equals.text.as_str(), "=" | "==") || left.computed {
            return false;
        }
        let ([name], Some(wanted)) = (left.variables.as_slice(), right.literal()) else { return false };
        let is_whole = left.text == format!("${name}") || left.text == format!("${{{name}}}");
        let (Some(before), Some(between)) = (text.get(..condition.span.start), text.get(condition.span.end..install.span.start)) else { return false };
        let is_inside = before.trim() == "if" && !["elif", "else", "fi"].iter().any(|it| has_word(between, it));
        if !is_whole || !is_inside || self.context.passes(name) == Some(true) {
            return false;
        }
        let declared = self.steps[..index].iter().rev().find_map(|it| match &it.instruction.kind {
            Kind::Arg(variables) | Kind::Env(variables) => variables.iter().find(|it| it.name == *name).map(|variable| (it, variable)),
            _ => None,
        });
        let Some((step, variable)) = declared.filter(|(it, _)| matches!(it.instruction.kind, Kind::Arg(_))) else { return false };
        let default = self.dockerfile.default_of(variable).unwrap_or_default();
        step.instruction.expansions.is_empty() && default != wanted
    }

    /// Whether a copy before `before` may bring a file with one of these names, to any folder.
    fn may_bring_one_of(&self, before: usize, names: &[&str]) -> bool {
        let copies = self.steps[..before].iter().enumerate().filter_map(|(index, it)| match &it.instruction.kind {
            Kind::Copy(copy) if copy.from_context() => Some(self.sources(index)),
            _ => None,
        });
        let sources: Vec<&String> = copies.flatten().collect();
        let Some(tree) = self.context.tree.as_ref().filter(|it| !it.truncated) else { return true };
        let is_known = |it: &&String| !it.is_empty() && !it.contains('$') && !is_glob(it) && tree.entries.contains_key(*it);
        let is_brought = |path: &str| sources.iter().any(|it| facts::is_below(path, it));
        !sources.iter().all(is_known) || tree.entries.keys().any(|it| names.contains(&facts::name(it)) && is_brought(it))
    }

    /// Whether the copy `index` may bring something to `path` or below it.
    pub fn may_bring(&self, index: usize, path: &str) -> bool {
        self.steps[index].effects.writes.iter().any(|it| it.touches(&Place::File(path.to_owned())))
    }
}

/// Where `text` names `path` or something below it, with what follows the path there.
fn paths_named<'t>(text: &'t str, path: &'t str) -> impl Iterator<Item = (usize, &'t str)> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    text.match_indices(path).filter(move |(at, _)| !text[..*at].ends_with(is_part)).filter_map(move |(at, _)| {
        let rest = &text[at + path.len()..];
        let rest = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        (rest.is_empty() || rest.starts_with('/')).then_some((at, rest))
    })
}

/// Whether `name` matches a pattern of `*` and `?` (one part of a path).
pub(super) fn matches_wildcard(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    // Which ends of the pattern are reached; one bit a place keeps it linear in both.
    let mut reached = vec![false; pattern.len() + 1];
    let close = |reached: &mut Vec<bool>| {
        for at in 0..pattern.len() {
            if reached[at] && pattern[at] == '*' {
                reached[at + 1] = true;
            }
        }
    };
    reached[0] = true;
    close(&mut reached);
    for c in name.chars() {
        let mut next = vec![false; pattern.len() + 1];
        for at in 0..pattern.len() {
            if reached[at] {
                match pattern[at] {
                    '*' => next[at] = true,
                    p if p == '?' || p == c => next[at + 1] = true,
                    _ => {}
                }
            }
        }
        close(&mut next);
        reached = next;
    }
    reached[pattern.len()]
}

/// The state at the first instruction of the chain of `stage`.
fn first_state(dockerfile: &Dockerfile, stage: usize) -> State {
    let mut index = stage;
    while let Base::Stage(base) = dockerfile.stages[index].base {
        index = base;
    }
    let (directory, user) = match &dockerfile.stages[index].base {
        // Those official images run as root.
        Base::Image(image) => (base_directory(image).map(str::to_owned), base_directory(image).map(|_| "root".to_owned())),
        Base::Scratch | Base::Stage(_) => (Some("/".to_owned()), Some("root".to_owned())),
    };
    // A foreign front end, or Windows, may mean anything by a shell form.
    let foreign_shell = dockerfile.frontend == Frontend::Foreign || dockerfile.escape == '`';
    State { directory, user, foreign_shell, ..State::default() }
}

/// The state behind an instruction.
fn after(dockerfile: &Dockerfile, context: &Context<'_>, state: &State, instruction: &Instruction) -> State {
    let mut res = state.clone();
    let escape = dockerfile.escape;
    match &instruction.kind {
        Kind::Env(variables) => {
            for variable in variables {
                // All values of one ENV are expanded with the state before it.
                let value = state.expand(variable.value.as_deref().unwrap_or(""), escape);
                res.set(&variable.name, Scoped { value, written: variable.value.clone() });
            }
        }
        Kind::Arg(variables) => {
            for variable in variables {
                let value = match (&variable.value, context.passes(&variable.name)) {
                    (Some(default), Some(false)) => res.expand(default, escape),
                    (None, Some(false)) => match dockerfile.global(&variable.name) {
                        Variable::Set(value) => Some(value),
                        Variable::Unset | Variable::Unknown => None,
                    },
                    // What is passed, or may be, is not known.
                    _ => None,
                };
                // A value replaces even that of an environment variable, as BuildKit's `dispatchArg` has
                // it; without one the variable stays.
                let is_unset = value.is_none() && variable.value.is_none() && context.passes(&variable.name) == Some(false);
                if !is_unset || !res.variables.contains_key(&variable.name) {
                    res.set(&variable.name, Scoped { value, written: None });
                }
            }
        }
        Kind::Workdir(folder) => res.directory = state.path(folder, escape),
        Kind::User(user) => res.user = Some(state.expand(user, escape).unwrap_or_else(|| user.clone())),
        Kind::Shell(words) => {
            res.foreign_shell = !words.first().is_some_and(|it| matches!(facts::name(it), "sh" | "bash" | "ash" | "dash"));
        }
        _ => {}
    }
    res
}

/// The variables that the steps set, each once.
fn names<'a>(steps: &[Step<'a>]) -> Vec<&'a str> {
    let set = steps.iter().flat_map(|it| match &it.instruction.kind {
        Kind::Env(variables) | Kind::Arg(variables) => variables.as_slice(),
        _ => &[],
    });
    let mut res: Vec<&str> = set.map(|it| it.name.as_str()).collect();
    res.sort_unstable();
    res.dedup();
    res
}

/// Whether `text` has `word` as a word of its own.
pub fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part))
}

fn setting(state: &State, directory: &str) -> ecosystem::Setting {
    let environment = state.variables.iter().map(|(name, it)| (name.clone(), it.value.clone().or_else(|| it.written.clone()))).collect();
    ecosystem::Setting { directory: directory.to_owned(), environment }
}

/// Whether a command removes packages, or installs some that are to be removed together.
fn takes_packages_away(command: &Command) -> bool {
    const VERBS: &[&str] = &["del", "purge", "remove", "autoremove", "erase", "--virtual", "-t", "--purge", "--auto-remove"];
    let of_system = command.program().is_some_and(|it| matches!(it, "apk" | "apt" | "apt-get" | "aptitude" | "dpkg" | "dnf" | "microdnf" | "yum" | "zypper"));
    of_system && command.words.iter().any(|it| VERBS.contains(&it.text.split('=').next().unwrap_or("")))
}

/// What a RUN cannot do without, as paths of the image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Files: manifests first, then lockfiles, then the rest.
    pub files: Vec<String>,
    /// Folders with all that is in them.
    pub trees: Vec<String>,
}

impl Plan<'_> {
    /// Which known commands of a RUN need the sources, each looked at by itself: what stands beside
    /// them, or the state of the shell, may not be known.
    fn with_sources(&self, index: usize, run: &Run) -> Vec<usize> {
        let installs = |it: &ecosystem::Step| it.action == ecosystem::Action::InstallDependencies;
        if !run.reading.steps.iter().any(installs) {
            return Vec::new();
        }
        let state = &self.steps[index].state;
        let mut setting = setting(state, state.directory.as_deref().unwrap_or("/"));
        // Where packages go has nothing to do with it.
        for name in ["PATH", "PYTHONPATH", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"] {
            setting.environment.remove(name);
        }
        let brought = Brought { plan: self, before: index, run };
        let needs_sources = |step: &ecosystem::Step| {
            let mut step = step.clone();
            step.unknown.clear();
            let asked = |step: &ecosystem::Step| ecosystem::footprint(step, &setting, &brought).is_err_and(|it| it.needs_sources);
            asked(&step) || {
                // Nor has what becomes of the lockfile, which may be asked about first.
                step.frozen = true;
                asked(&step)
            }
        };
        run.reading.steps.iter().enumerate().filter(|(_, it)| installs(it) && needs_sources(it)).map(|(number, _)| number).collect()
    }

    fn footprint(&self, index: usize, run: &Run) -> Result<(Effects, Needs), Obstacle> {
        let state = &self.steps[index].state;
        let whole = Span::new(0, run.command.text.len());
        let obstacle = |reason: &str| Obstacle { file: None, at: Some(whole), reason: reason.to_owned(), needs_sources: false };
        if run.special || run.heredoc {
            return Err(obstacle("this uses a flag or a heredoc that is not followed"));
        }
        if state.foreign_shell && run.shell_form {
            return Err(obstacle("this goes to a shell that is not known"));
        }
        if run.mounts.iter().any(|it| it.has("rw") || it.has("readwrite") || (it.kind() == "bind" && !it.binds_context())) {
            return Err(obstacle("this mounts another stage, or writes to a mount"));
        }
        if let Some(obstacle) = &run.reading.obstacle {
            return Err(obstacle.clone());
        }
        let mut steps = Cow::from(&run.reading.steps);
        if self.trust == Trust::Usual {
            steps.to_mut().iter_mut().for_each(|it| it.frozen = true);
        }
        let anywhere = steps.iter().all(ecosystem::Step::works_anywhere);
        let Some(directory) = state.directory.clone().or_else(|| anywhere.then(|| "/".to_owned())) else {
            return Err(obstacle("the working directory is not known: the base image, or a build argument, decides"));
        };
        let setting = setting(state, &directory);
        let brought = Brought { plan: self, before: index, run };
        let needs = ecosystem::footprints(&steps, &setting, &brought)?;
        let mut effects = Effects { reads: needs.reads.clone(), writes: needs.writes.clone() };
        if !steps.iter().any(|it| it.action == ecosystem::Action::InstallSystem) {
            self.spare_applications(&mut effects);
        }
        // What a mount brings does not come from a copy.
        let mounted = |path: &str| brought.mounts().any(|(target, _)| facts::is_below(path, &target));
        effects.reads.retain(|it| !matches!(it, Place::File(path) if mounted(path)));
        effects.reads.extend([Place::Directory, Place::User]);
        if run.shell_form {
            effects.reads.push(Place::Shell);
        }
        let named = |name: &str| steps.iter().any(|it| it.variables.iter().any(|it| it == name));
        effects.reads.extend(self.names.iter().filter(|it| needs.reads_variable(it) || named(it)).map(|it| Place::Env((*it).to_owned())));
        let mut files: Vec<String> = needs.files.into_iter().filter(|it| !mounted(it)).collect();
        files.sort_by_key(|it| ecosystem::rank(facts::name(it)));
        Ok((effects, Needs { files, trees: needs.trees }))
    }

    /// What a RUN that is not known as a whole reads and writes up to the first command that is not, if it installs
    /// packages of the operating system there: an instruction of its own could do that. `None` where packages are
    /// taken away again in the end, which has to be done in one layer.
    pub fn effects_of_leading_install(&self, index: usize) -> Option<Effects> {
        let step = &self.steps[index];
        let Kind::Run(run) = &step.instruction.kind else { return None };
        let start = run.reading.obstacle.as_ref()?.at?.start;
        let is_odd = run.special || run.heredoc || !run.shell_form || step.state.foreign_shell || run.script.opaque.is_some();
        if is_odd || run.mounts.iter().any(|it| it.kind() != "cache") || run.script.commands.iter().any(takes_packages_away) {
            return None;
        }
        let leading: Vec<ecosystem::Step> = run.reading.steps.iter().filter(|it| it.span.end <= start).cloned().collect();
        let is_known = |it: &&Command| leading.iter().any(|step| step.span == it.span) || it.is_inert();
        let before = run.script.commands.iter().take_while(|it| it.span.end <= start);
        if !before.clone().all(|it| is_known(&it)) || before.clone().any(|it| matches!(it.joined, Join::Or | Join::Pipe)) {
            return None;
        }
        let installs = leading.iter().any(|it| it.action == ecosystem::Action::InstallSystem);
        if !installs || !leading.iter().all(ecosystem::Step::works_anywhere) {
            return None;
        }
        let brought = Brought { plan: self, before: index, run };
        let needs = ecosystem::footprints(&leading, &setting(&step.state, "/"), &brought).ok()?;
        Some(Effects { reads: needs.reads, writes: needs.writes })
    }

    /// The files of the context that the bind mounts of a RUN bring and its commands read, in order;
    /// `None` where that is not known, or where a folder is read.
    pub fn mounted_files(&self, index: usize) -> Option<Vec<String>> {
        let step = &self.steps[index];
        let Kind::Run(run) = &step.instruction.kind else { return None };
        let directory = step.state.directory.clone().unwrap_or_else(|| "/".to_owned());
        let brought = Brought { plan: self, before: index, run };
        let needs = ecosystem::footprints(&run.reading.steps, &setting(&step.state, &directory), &brought).ok()?;
        let source = |path: &String| {
            brought.mounts().find_map(|(target, source)| Some(facts::join(&format!("/{source}"), facts::relative(path, &target)?)[1..].to_owned()))
        };
        if needs.trees.iter().any(|it| source(it).is_some()) {
            return None;
        }
        let mut files = needs.files;
        files.sort_by_key(|it| ecosystem::rank(facts::name(it)));
        Some(files.iter().filter_map(source).collect())
    }

    /// A package manager of a language leaves the folders of other applications alone: those that
    /// copies go to are holes in the rest of the image that it may touch.
    fn spare_applications(&self, effects: &mut Effects) {
        let copies = (0..self.steps.len()).filter_map(|it| self.destination(it));
        let roots: Vec<String> = copies.filter_map(|it| ecosystem::application_root(it).map(str::to_owned)).collect();
        for place in effects.reads.iter_mut().chain(&mut effects.writes) {
            if let Place::Tree { root, holes } = place
                && root == "/"
            {
                holes.extend(roots.iter().cloned());
            }
        }
        // Nor does it make users.
        for place in &mut effects.writes {
            if let Place::Tree { root, holes } = place
                && root == "/"
            {
                holes.extend(["/etc/passwd", "/etc/group"].map(str::to_owned));
            }
        }
    }

    /// What a RUN reads of which the files are not known, but that it reads no variable which it
    /// does not name.
    fn reads_of_quiet(&self, index: usize, run: &Run) -> Option<Vec<Place>> {
        if run.special || self.steps[index].state.foreign_shell || !run.reading.quiet {
            return None;
        }
        let mut res = vec![Place::tree("/"), Place::Directory, Place::User, Place::Shell];
        let read = self.names.iter().filter(|it| quiet::reads_variable(it) || has_word(&run.command.text, it));
        res.extend(read.map(|it| Place::Env((*it).to_owned())));
        Some(res)
    }

    /// What the copy `index` brings to `path` of the image; `None` if it surely brings nothing there.
    fn brought_by(&self, index: usize, path: &str) -> Option<FileState> {
        let step = &self.steps[index];
        let Kind::Copy(copy) = &step.instruction.kind else { return None };
        let Some(destination) = self.destination(index) else { return Some(FileState::Unknown) };
        if let Some(files) = self.copied_files(index) {
            let (_, source) = files.iter().find(|(it, _)| it == path)?;
            return Some(self.file_state(source));
        }
        if !facts::is_below(path, destination) {
            return None;
        }
        if copy.from.is_some()
            || copy.special
            || copy.parents
            || copy.heredoc
            || !copy.excludes.is_empty()
            || self.sources(index).iter().any(|it| it.contains('$'))
        {
            return Some(FileState::Unknown);
        }
        if let Some(source) = self.source_in(index, path) {
            return Some(self.file_state(&source));
        }
        // It brings no such file, unless what the folder holds is not known.
        let unknown = self.sources_of(index, destination, path).iter().any(|it| self.context.file(it) == File::Unknown);
        unknown.then_some(FileState::Unknown)
    }

    /// The paths of the context that would land on `path`.
    fn sources_of(&self, index: usize, destination: &str, path: &str) -> Vec<String> {
        let relative = facts::relative(path, destination).unwrap_or("");
        let sources = self.sources(index).iter().filter(|it| !is_glob(it) || *it == "*");
        sources.map(|it| facts::join(&format!("/{}", it.trim_end_matches('*')), relative)[1..].to_owned()).collect()
    }

    fn file_state(&self, source: &str) -> FileState {
        match self.context.file(source) {
            File::Known(text) => FileState::Known(text),
            File::Present => FileState::Unreadable,
            File::Absent => FileState::Absent,
            File::Unknown => FileState::Unknown,
        }
    }

    /// What the copy `index` brings into `folder` of the image.
    fn listed_by(&self, index: usize, folder: &str) -> Listing {
        let step = &self.steps[index];
        let Kind::Copy(copy) = &step.instruction.kind else { return Listing::Absent };
        let Some(destination) = self.destination(index) else { return Listing::Unknown };
        if let Some(files) = self.copied_files(index) {
            let names = files.iter().filter(|(it, _)| facts::parent(it) == folder).map(|(it, _)| Child { name: facts::name(it).to_owned(), is_folder: false });
            let children: Vec<Child> = names.collect();
            return if children.is_empty() { Listing::Absent } else { Listing::Known(children) };
        }
        let Some(relative) = facts::relative(folder, destination) else {
            // A folder above the destination has it as a child.
            return match facts::relative(destination, folder).and_then(|it| it.split('/').next()) {
                Some(name) if !name.is_empty() => Listing::Known(vec![Child { name: name.to_owned(), is_folder: true }]),
                _ => Listing::Absent,
            };
        };
        let plain = copy.from.is_none() && !copy.special && !copy.parents && !copy.heredoc && copy.excludes.is_empty();
        let sources = self.sources(index);
        if !plain || sources.iter().any(|it| it.contains('$') || is_glob(it)) {
            return Listing::Unknown;
        }
        let mut children: Vec<Child> = Vec::new();
        for source in sources {
            match self.context.entry(source) {
                Some(Some(Entry::Folder)) => {}
                Some(Some(Entry::File)) | Some(None) => continue,
                _ => return Listing::Unknown,
            }
            let inside = facts::join(&format!("/{source}"), relative)[1..].to_owned();
            let Some(entries) = self.context.list(&inside) else { return Listing::Unknown };
            for (name, entry) in entries {
                match entry {
                    Entry::Link => return Listing::Unknown,
                    _ if children.iter().any(|it| it.name == name) => {}
                    entry => children.push(Child { name, is_folder: entry != Entry::File }),
                }
            }
        }
        if children.is_empty() { Listing::Absent } else { Listing::Known(children) }
    }
}

/// The files that a RUN meets: what its mounts and the copies before it bring.
struct Brought<'p, 'a> {
    plan: &'p Plan<'a>,
    before: usize,
    run: &'p Run,
}

impl Brought<'_, '_> {
    /// Bind mounts from the build context: target in the image, source in the context.
    fn mounts(&self) -> impl Iterator<Item = (String, String)> {
        let state = &self.plan.steps[self.before].state;
        self.run
            .mounts
            .iter()
            .filter(|it| it.binds_context())
            .filter_map(|it| Some((state.path(it.target()?, self.plan.dockerfile.escape)?, clean_source(it.source().unwrap_or("")))))
    }
}

impl ecosystem::Files for Brought<'_, '_> {
    fn text(&self, path: &str) -> FileState {
        let mounted = self.mounts().find_map(|(target, source)| {
            let relative = facts::relative(path, &target)?;
            Some(facts::join(&format!("/{source}"), relative)[1..].to_owned())
        });
        if let Some(source) = mounted {
            return self.plan.file_state(&source);
        }
        let copies = (0..self.before).rev().find_map(|index| self.plan.brought_by(index, path));
        copies.unwrap_or(FileState::Absent)
    }

    fn list(&self, folder: &str) -> Listing {
        let mut children: Vec<Child> = Vec::new();
        for index in 0..self.before {
            match self.plan.listed_by(index, folder) {
                Listing::Unknown => return Listing::Unknown,
                Listing::Absent => {}
                Listing::Known(found) => children.extend(found.into_iter().filter(|it| !children.contains(it)).collect::<Vec<_>>()),
            }
        }
        for (target, source) in self.mounts() {
            let Some(relative) = facts::relative(folder, &target) else { continue };
            let inside = facts::join(&format!("/{source}"), relative)[1..].to_owned();
            match (self.plan.context.entry(&inside), self.plan.context.list(&inside)) {
                (Some(Some(Entry::Folder)), Some(entries)) => {
                    children.extend(entries.into_iter().map(|(name, it)| Child { name, is_folder: it != Entry::File }))
                }
                (Some(Some(Entry::File) | None), _) => {}
                _ => return Listing::Unknown,
            }
        }
        if children.is_empty() { Listing::Absent } else { Listing::Known(children) }
    }
}

/// Whether a copy brings remote or archived files, of which nothing is known.
pub fn is_remote_copy(copy: &Copy) -> bool {
    copy.sources.iter().any(|it| is_remote(&it.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of `V` at the end of a stage, where no build passes anything.
    fn value_of_v(text: &str) -> Option<String> {
        let document = crate::text::Document::new(crate::text::Language::Dockerfile, text);
        let dockerfile = crate::dockerfile::lower(text, &syntax::read(text, document.tree().unwrap()));
        let context = Context { passed: Some(Vec::new()), ..Context::default() };
        let plan = Plan::new(&dockerfile, Arc::new(context), 0);
        plan.steps.last().and_then(|it| it.state.variables.get("V")?.value.clone())
    }

    #[test]
    fn of_an_argument_and_a_variable_the_later_one_with_a_value_holds() {
        for (lines, value) in
            [("ENV V=1\nARG V=2", "2"), ("ARG V=2\nENV V=1", "1"), ("ENV V=1\nARG V", "1"), ("ENV V=1\nARG V=$V-2", "1-2"), ("ARG V=2\nENV V=${V}-1", "2-1")]
        {
            assert_eq!(value_of_v(&format!("FROM a\n{lines}\nRUN x\n")).as_deref(), Some(value), "{lines}");
        }
    }
}
