//! Package managers: what their commands are, which files they read, and what they write.
//!
//! [`recognise`] says what one simple command is. [`read`] does so for a whole script, and says which
//! command is the first that it does not know. [`footprint`] says what a step reads and
//! writes, from the manifests themselves: whatever they do not show is an [`Obstacle`], so that an
//! answer can be relied on for moving the step.
//!
//! Facts about a manager are rows of [`table`]; each row names its source.

mod arguments;
mod dotnet;
mod folders;
mod go;
mod jvm;
mod manifest;
mod node;
mod php;
mod plain;
mod python;
pub mod quiet;
mod ruby;
mod rust;
mod system;
mod table;

pub use system::APPLICATION_FOLDERS;
pub use table::{ALL, COMMON_VARIABLES, Cache, Ecosystem, Manager, ecosystem};

use crate::edit::Span;
use crate::effects::Place;
use crate::facts::{is_below, join, parent};
use crate::shell::{Command, Join, Script, Word};
use crate::volatility::Cost;
use arguments::{Given, Means};
use manifest::Collector;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Fetches the index of packages: `apt-get update`.
    UpdateIndex,
    /// Installs packages of the operating system.
    InstallSystem,
    /// Installs what the manifests of a project name.
    InstallDependencies,
    /// Installs what the command line names.
    InstallNamed,
    /// Removes caches.
    Clean,
    /// Builds, tests, runs a script: may read and write anything.
    Build,
    /// Something else that is known, or is not known if [`Step::unknown`] says so.
    Other,
}

/// What a path on a command line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The folder to work in: `-C`, `--prefix`, `--cwd`, `--project`.
    Folder,
    /// A list of packages: `-r`.
    Requirements,
    /// A list of constraints: `-c`.
    Constraints,
    /// A package or project on disk: `.`, `./x.deb`, `-e .`, a project file.
    Local,
    /// Another file that is read: `--config`, `-f`.
    File,
    /// Where packages go: `--target`, a redirection.
    Output,
    /// What is removed.
    Removed,
}

/// A path on a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPath {
    /// Where it stands, in the text of the script.
    pub span: Span,
    /// As it is written, quotes removed.
    pub path: String,
    /// What it is for.
    pub role: Role,
}

/// A command that is known. All spans are of the text of the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The command.
    pub span: Span,
    /// Whose command it is.
    pub manager: Manager,
    /// What it does.
    pub action: Action,
    /// Short text for messages: `npm ci`.
    pub display: String,
    /// What running it again costs.
    pub cost: Cost,
    /// Whether it needs the network.
    pub network: bool,
    /// Whether it is sure never to rewrite a lockfile, as far as the command line shows.
    pub frozen: bool,
    /// Whether it leaves the manager's cache unused: `--no-cache-dir`.
    pub no_cache: bool,
    /// Parts of the command that are not known; it cannot be proven anything about if there are any.
    pub unknown: Vec<(Span, String)>,
    /// Paths on the command line.
    pub paths: Vec<NamedPath>,
    /// Variables that it expands.
    pub variables: Vec<String>,
    /// Variables that are set for it, in front of it or by `export`.
    pub environment: Vec<(String, String)>,
    /// Folders that `cd` went to before it, joined; relative to the working directory unless it
    /// starts with `/`. Empty without `cd`.
    pub directory: String,
    /// Words that are neither flags nor the command's name.
    pub operands: Vec<Word>,
    /// The program, if it is written with a path.
    pub program_path: Option<String>,
    flags: Vec<Given>,
}

impl Step {
    /// Whether it installs anything.
    pub fn installs(&self) -> bool {
        matches!(self.action, Action::InstallSystem | Action::InstallDependencies | Action::InstallNamed)
    }

    fn has(&self, means: Means) -> bool {
        self.flags.iter().any(|it| it.means == means)
    }

    fn values(&self, means: Means) -> impl Iterator<Item = &Word> {
        self.flags.iter().filter(move |it| it.means == means).filter_map(|it| it.value.as_ref())
    }

    /// Folders of packages or sources that flags name: `--find-links /wheels`, `-e /lib`.
    pub fn sources(&self) -> impl Iterator<Item = &Word> {
        self.values(Means::Source)
    }

    /// Whether it does the same in any working directory.
    pub fn works_anywhere(&self) -> bool {
        let system = matches!(self.manager, Manager::Apt | Manager::Apk | Manager::Dnf | Manager::Zypper | Manager::Shell);
        system && self.directory.is_empty() && self.paths.iter().all(|it| it.path.starts_with('/'))
    }

    /// The folder it works in, as a path of the image.
    pub fn folder(&self, working_directory: &str) -> String {
        let start = join(working_directory, &self.directory);
        self.paths.iter().filter(|it| it.role == Role::Folder).fold(start, |folder, it| join(&folder, &it.path))
    }
}

/// The text of a file of the image, as the copy that is to be crossed brings it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileState {
    /// Its text.
    Known(Arc<str>),
    /// It is there, and its text cannot be had: too large, not UTF-8.
    Unreadable,
    /// The build context brings no such file: it is not there, or ignored.
    Absent,
    /// Not known, or not known yet.
    Unknown,
}

/// What stands in a folder of the image, as the copy that is to be crossed brings it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// Its direct children, ignored ones left out.
    Known(Vec<Child>),
    /// The build context brings no such folder.
    Absent,
    /// Not known, or not known yet.
    Unknown,
}

/// A child of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its name, without a path.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// Access to the files that an instruction copies, by the paths they get in the image.
pub trait Files {
    /// The file at an absolute path of the image.
    fn text(&self, path: &str) -> FileState;
    /// The folder at an absolute path of the image.
    fn list(&self, folder: &str) -> Listing;
}

/// What surrounds a step.
#[derive(Debug, Clone, Default)]
pub struct Setting {
    /// The working directory: an absolute path of the image.
    pub directory: String,
    /// Environment variables and build arguments in scope. A part of a value that is not known stays
    /// as it is written (`/opt/venv/bin:$PATH`); `None` where nothing is known.
    pub environment: BTreeMap<String, Option<String>>,
}

/// What a step needs and does, shown from its command line and the manifests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// Files that must be there first: absolute paths of the image, sorted. Each of them exists in
    /// the build context.
    pub files: Vec<String>,
    /// Folders that must be there first with all that is in them; each exists.
    pub trees: Vec<String>,
    /// Files and folders that would be read and do not exist in the build context.
    pub absent: Vec<String>,
    /// What it reads: the files, the folders, and what lies outside the project.
    pub reads: Vec<Place>,
    /// What it writes. A place inside the project must be ignored or absent in the build context,
    /// or a later copy changes it.
    pub writes: Vec<Place>,
    /// Environment variables that it may read without naming them, besides those of
    /// [`Self::managers`]: a name, or the start of one followed by `*`; only `*` for any name. Case
    /// does not matter.
    pub environment: Vec<String>,
    /// The managers that run: each reads its own variables, and those of every program.
    pub managers: Vec<Manager>,
}

impl Needs {
    /// Adds what another step needs.
    fn merge(&mut self, other: Needs) {
        fn add<T: Ord>(to: &mut Vec<T>, from: Vec<T>) {
            to.extend(from);
            to.sort();
            to.dedup();
        }
        add(&mut self.files, other.files);
        add(&mut self.trees, other.trees);
        add(&mut self.absent, other.absent);
        add(&mut self.reads, other.reads);
        add(&mut self.writes, other.writes);
        add(&mut self.environment, other.environment);
        add(&mut self.managers, other.managers);
    }

    /// Whether it may read a variable that it does not name.
    pub fn reads_variable(&self, name: &str) -> bool {
        let common = if self.managers.is_empty() { &[] } else { table::COMMON_VARIABLES };
        let own = self.managers.iter().flat_map(|it| ecosystem(*it).environment);
        let mut patterns = self.environment.iter().map(String::as_str).chain(common.iter().chain(own).copied());
        patterns.any(|it| names(it, name))
    }
}

/// Whether a pattern, a name or the start of one followed by `*`, names a variable. Case does not
/// matter.
fn names(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start)),
        None => name.eq_ignore_ascii_case(pattern),
    }
}

/// Why nothing can be said of a step. Reads well behind "no fix: ".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// Whether the step needs the sources themselves, and not only manifests: where it stands is
    /// then no mistake.
    pub needs_sources: bool,
    /// The manifest that stands in the way: an absolute path of the image.
    pub file: Option<String>,
    /// Where: in that file, or in the script if there is none.
    pub at: Option<Span>,
    /// What it is: lower case, no full stop.
    pub reason: String,
}

impl Obstacle {
    fn in_script(at: Span, reason: impl Into<String>) -> Obstacle {
        Obstacle { needs_sources: false, file: None, at: Some(at), reason: reason.into() }
    }

    /// The same, for a step that needs the sources themselves.
    fn for_sources(self) -> Obstacle {
        Obstacle { needs_sources: true, ..self }
    }

    fn in_file(file: &str, at: Option<Span>, reason: impl Into<String>) -> Obstacle {
        Obstacle { needs_sources: false, file: Some(file.to_owned()), at, reason: reason.into() }
    }
}

/// Where a file belongs in a list of what is copied before an install: manifests first, then
/// lockfiles, then the rest.
pub fn rank(name: &str) -> u8 {
    if table::ALL.iter().any(|it| it.manifests.contains(&name)) {
        0
    } else if table::ALL.iter().any(|it| it.lockfiles.contains(&name)) {
        1
    } else {
        2
    }
}

/// Whether a file of that name declares the dependencies of a project.
pub fn is_manifest(name: &str) -> bool {
    rank(name) == 0
}

/// Whether a project may have many files like the one of that name, which lead to each other: then it
/// is better to read all of them at once.
pub fn has_kin(name: &str) -> bool {
    is_manifest(name) || dotnet::is_project(name)
}

/// Whether files of these names are alike in that way: members of a workspace have the same name,
/// projects of .NET have one each.
pub fn is_kin(name: &str, other: &str) -> bool {
    name == other || (dotnet::is_project(name) && dotnet::is_project(other))
}

/// The names of files that declare the dependencies of a project.
pub fn manifests() -> impl Iterator<Item = &'static str> {
    table::ALL.iter().flat_map(|it| it.manifests).copied()
}

/// What a simple command is; `None` for one that is not known at all.
pub fn recognise(command: &Command) -> Option<Step> {
    arguments::recognise(command).or_else(|| plain::recognise(command))
}

/// What a script says by itself, wherever it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The commands that are known, in order, each as the ones before it leave the shell.
    pub steps: Vec<Step>,
    /// The first command that is not known or cannot be followed, or the first construct that is
    /// more than a list of commands; then the steps tell a part, and nothing of the shell. The place
    /// is in the text of the script.
    pub obstacle: Option<Obstacle>,
    /// What running it again costs.
    pub cost: Cost,
    /// Whether it is sure to read no variable but those that its words expand and that
    /// [`quiet::reads_variable`] knows.
    pub quiet: bool,
}

/// Reads a script. This is done once, when the file is lowered: each look at the stages of a file
/// asks for it.
pub fn read(script: &Script) -> Reading {
    let known: Vec<Option<Step>> = script.commands.iter().map(recognise).collect();
    let quiet = quiet::reads_known_variables(script, &known);
    let costs_unknown = |(command, step): (&Command, &Option<Step>)| step.is_none() && !is_setting_of_git(command);
    let opaque = script.opaque.is_some() || script.commands.is_empty() || script.commands.iter().zip(&known).any(costs_unknown);
    let known_cost = known.iter().flatten().map(|it| it.cost).max();
    let cost = match known_cost {
        // Programs that are known to be plain neither compile nor, but for some, load anything.
        _ if quiet && opaque => known_cost.unwrap_or(Cost::Copy).max(if script.fetches() { Cost::Download } else { Cost::Copy }),
        cost if !opaque => cost.unwrap_or(Cost::Copy),
        _ => Cost::Compile,
    };
    match follow(script, &known) {
        Ok(steps) => Reading { steps, obstacle: None, cost, quiet },
        Err(obstacle) => Reading { steps: known.into_iter().flatten().collect(), obstacle: Some(obstacle), cost, quiet },
    }
}

/// `git config` takes no time, though nothing else is known of it.
fn is_setting_of_git(command: &Command) -> bool {
    command.invocation().is_some_and(|it| it.program() == Some("git") && it.arguments().first().is_some_and(|it| it.text == "config"))
}

/// The steps of a script, if every command of it is known.
fn follow(script: &Script, known: &[Option<Step>]) -> Result<Vec<Step>, Obstacle> {
    if let Some((span, what)) = script.opaque {
        return Err(Obstacle::in_script(span, format!("the command has {what}, which is not followed")));
    }
    let mut state = ShellState::default();
    let mut steps = Vec::new();
    for (command, step) in script.commands.iter().zip(known) {
        if state.take(command)? {
            continue;
        }
        let mut step = understood(command, step.as_ref())?.clone();
        state.apply(&mut step);
        steps.push(step);
    }
    Ok(steps)
}

fn understood<'a>(command: &Command, step: Option<&'a Step>) -> Result<&'a Step, Obstacle> {
    let name = || command.words.first().map_or("a redirection", |it| it.text.as_str());
    let Some(step) = step else {
        return Err(Obstacle::in_script(command.span, format!("`{}` is not known, and may read or write anything", name())));
    };
    if step.action == Action::Build {
        return Err(Obstacle::in_script(command.span, format!("`{}` may read or write anything", step.display)));
    }
    match step.unknown.first() {
        Some((span, what)) => Err(Obstacle::in_script(*span, format!("`{what}` of `{}` is not known", step.display))),
        None => Ok(step),
    }
}

/// What earlier commands of a script change for later ones.
#[derive(Default)]
struct ShellState {
    directory: String,
    environment: Vec<(String, String)>,
    frozen: Vec<Manager>,
}

impl ShellState {
    /// Takes a command that only changes the shell; whether it was one.
    fn take(&mut self, command: &Command) -> Result<bool, Obstacle> {
        let literal: Option<Vec<&str>> = command.words.iter().map(Word::literal).collect();
        match literal.as_deref() {
            Some([]) if command.redirects.is_empty() => self.assign(command)?,
            Some(["cd" | "pushd", folder]) if command.redirects.is_empty() => self.go(command, folder)?,
            _ if command.words.first().is_some_and(|it| it.text == "export") => self.export(command)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn go(&mut self, command: &Command, folder: &str) -> Result<(), Obstacle> {
        // In a group the change may end with it, and behind `||` it may not happen.
        if command.depth > 0 || matches!(command.joined, Join::Or | Join::Pipe) || folder == "-" {
            return Err(Obstacle::in_script(command.span, "where `cd` goes is not followed here"));
        }
        self.directory = if folder.starts_with('/') || self.directory.is_empty() { folder.to_owned() } else { format!("{}/{folder}", self.directory) };
        Ok(())
    }

    fn assign(&mut self, command: &Command) -> Result<(), Obstacle> {
        if let Some((name, value)) = command.assignments.iter().find(|(_, value)| value.computed) {
            return Err(Obstacle::in_script(value.span, format!("the value of `{name}` is computed")));
        }
        self.environment.extend(command.assignments.iter().map(|(name, value)| (name.clone(), value.text.to_string())));
        Ok(())
    }

    fn export(&mut self, command: &Command) -> Result<(), Obstacle> {
        for word in command.words.iter().skip(1) {
            let Some((name, value)) = word.text.split_once('=') else { continue };
            if word.computed {
                return Err(Obstacle::in_script(word.span, format!("the value of `{name}` is computed")));
            }
            self.environment.push((name.to_owned(), value.to_owned()));
        }
        Ok(())
    }

    fn apply(&mut self, step: &mut Step) {
        step.directory.clone_from(&self.directory);
        let own = std::mem::take(&mut step.environment);
        step.environment.clone_from(&self.environment);
        step.environment.extend(own);
        if step.has(Means::FreezesLater) {
            self.frozen.push(step.manager);
        }
        step.frozen |= self.frozen.contains(&step.manager);
    }
}

/// What a step reads and writes.
///
/// # Errors
///
/// What keeps it from being told, or from being moved at all: a flag that is not known, a
/// lifecycle script, a local dependency, a lockfile that may be rewritten, a file that is not there.
pub fn footprint(step: &Step, setting: &Setting, files: &dyn Files) -> Result<Needs, Obstacle> {
    if let Some((span, what)) = step.unknown.first() {
        return Err(Obstacle::in_script(*span, format!("`{what}` of `{}` is not known", step.display)));
    }
    if step.action == Action::Build {
        return Err(Obstacle::in_script(step.span, format!("`{}` may read or write anything", step.display)));
    }
    let folder = step.folder(&setting.directory);
    let mut collector = Collector::new(step, setting, files, &folder);
    match step.manager {
        Manager::Apt | Manager::Apk | Manager::Dnf | Manager::Zypper => system::footprint(&mut collector)?,
        Manager::Npm | Manager::Yarn | Manager::Pnpm | Manager::Bun | Manager::Corepack => node::footprint(&mut collector)?,
        Manager::Pip | Manager::Uv | Manager::Poetry | Manager::Pipenv => python::footprint(&mut collector)?,
        Manager::Bundler => ruby::footprint(&mut collector)?,
        Manager::Composer => php::footprint(&mut collector)?,
        Manager::Go => go::footprint(&mut collector)?,
        Manager::Cargo => rust::footprint(&mut collector)?,
        Manager::Maven | Manager::Gradle => jvm::footprint(&mut collector)?,
        Manager::Dotnet => dotnet::footprint(&mut collector)?,
        Manager::Shell => plain::footprint(&mut collector)?,
    }
    Ok(collector.finish())
}

/// What a list of steps reads and writes, one after the other.
///
/// # Errors
///
/// As [`footprint`], for the first step that has one.
pub fn footprints(steps: &[Step], setting: &Setting, files: &dyn Files) -> Result<Needs, Obstacle> {
    let mut res = Needs::default();
    for step in steps {
        res.merge(footprint(step, setting, files)?);
    }
    Ok(res)
}

/// Folders that belong to the system or to several applications: an application lies below one of
/// them.
const SHARED_FOLDERS: &[&str] = &[
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib32",
    "/lib64",
    "/media",
    "/mnt",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/usr/bin",
    "/usr/include",
    "/usr/lib",
    "/usr/libexec",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/etc",
    "/usr/local/lib",
    "/usr/local/share",
    "/usr/sbin",
    "/usr/share",
    "/usr/src",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/opt",
    "/var/run",
    "/var/tmp",
    "/var/www",
];

/// The outermost folder above `path`, or `path` itself, that belongs to one application; `None`
/// for a folder of the system.
pub fn application_root(path: &str) -> Option<&str> {
    let mut root = None;
    let mut at = path;
    while !is_shared(at) {
        root = Some(at);
        at = parent(at);
    }
    root
}

fn is_shared(folder: &str) -> bool {
    // The home of a user holds configuration beside applications.
    SHARED_FOLDERS.contains(&folder) || parent(folder) == "/home"
}

/// All of the image but for the application that `folder` belongs to.
fn outside(folder: &str) -> Place {
    let holes = application_root(folder).map(str::to_owned).into_iter().collect();
    Place::Tree { root: "/".to_owned(), holes }
}

/// Folders from `folder` up to the root of its application, the innermost first.
fn up_to_root(folder: &str) -> Vec<String> {
    let Some(root) = application_root(folder) else { return vec![folder.to_owned()] };
    let mut res = Vec::new();
    let mut at = folder;
    while is_below(at, root) {
        res.push(at.to_owned());
        at = parent(at);
        if at == "/" {
            break;
        }
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::relative;
    use crate::shell;

    pub(super) fn understand(script: &str) -> Result<Vec<Step>, Obstacle> {
        let Reading { steps, obstacle, .. } = read(&shell::parse(script));
        obstacle.map_or(Ok(steps), Err)
    }

    /// Files below `/app`.
    pub(super) struct Fake<'a>(pub &'a [(&'a str, &'a str)]);

    impl Files for Fake<'_> {
        fn text(&self, path: &str) -> FileState {
            let found = relative(path, "/app").and_then(|path| self.0.iter().find(|(it, _)| *it == path));
            found.map_or(FileState::Absent, |(_, text)| FileState::Known((*text).into()))
        }

        fn list(&self, folder: &str) -> Listing {
            let mut children: Vec<Child> = Vec::new();
            for (path, _) in self.0 {
                let path = format!("/app/{path}");
                let Some(rest) = relative(&path, folder).filter(|it| !it.is_empty()) else { continue };
                let name = rest.split('/').next().unwrap_or_default().to_owned();
                if !children.iter().any(|it| it.name == name) {
                    children.push(Child { name, is_folder: rest.contains('/') });
                }
            }
            if children.is_empty() { Listing::Absent } else { Listing::Known(children) }
        }
    }

    pub(super) fn attempt(script: &str, files: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<Needs, Obstacle> {
        let setting = Setting {
            directory: "/app".to_owned(),
            environment: environment.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect(),
        };
        footprints(&understand(script)?, &setting, &Fake(files))
    }

    fn shown(path: &str) -> String {
        relative(path, "/app").unwrap_or(path).to_owned()
    }

    /// What a script in `/app` needs and writes there, in words; or why it is refused.
    pub(super) fn footprint_of(script: &str, files: &[(&str, &str)]) -> String {
        footprint_in(script, files, &[])
    }

    pub(super) fn footprint_in(script: &str, files: &[(&str, &str)], environment: &[(&str, &str)]) -> String {
        let needs = match attempt(script, files, environment) {
            Ok(needs) => needs,
            Err(obstacle) => return format!("refused: {}", obstacle.reason),
        };
        let trees = needs.trees.iter().map(|it| format!("{}/", shown(it)));
        let needed: Vec<String> = needs.files.iter().map(|it| shown(it)).chain(trees).collect();
        let mut written: Vec<String> = needs
            .writes
            .iter()
            .filter_map(|it| match it {
                Place::File(path) => Some(shown(path)),
                Place::Tree { root, .. } if root != "/" => Some(format!("{}/", shown(root))),
                _ => None,
            })
            .collect();
        written.sort();
        let list = |it: &[String]| if it.is_empty() { "nothing".to_owned() } else { it.join(" ") };
        format!("needs {}; writes {}", list(&needed), list(&written))
    }

    /// Why a script is refused, behind the place in a file if there is one.
    pub(super) fn refusal(script: &str, files: &[(&str, &str)]) -> String {
        refusal_in(script, files, &[])
    }

    pub(super) fn refusal_in(script: &str, files: &[(&str, &str)], environment: &[(&str, &str)]) -> String {
        match attempt(script, files, environment) {
            Ok(needs) => format!("not refused: {needs:?}"),
            Err(Obstacle { file: Some(file), at, reason, .. }) => {
                let file = shown(&file);
                let text = files.iter().find(|(it, _)| *it == file).map_or("", |(_, text)| text);
                match at {
                    Some(span) => format!("{file}:{}: {reason}", &text[span.start..span.end]),
                    None => format!("{file}: {reason}"),
                }
            }
            Err(obstacle) => obstacle.reason,
        }
    }

    pub(super) fn step(script: &str) -> Option<Step> {
        recognise(&shell::parse(script).commands[0])
    }

    #[test]
    fn commands_are_told_by_what_they_do() {
        use Action::*;
        let cases = [
            ("apt-get update", Manager::Apt, UpdateIndex, "apt-get update"),
            ("apt-get -qq -y install --no-install-recommends curl", Manager::Apt, InstallSystem, "apt-get install"),
            ("sudo apt install -y curl", Manager::Apt, InstallSystem, "apt install"),
            ("apt-get clean", Manager::Apt, Clean, "apt-get clean"),
            ("apk add --no-cache git", Manager::Apk, InstallSystem, "apk add"),
            ("dnf -y install git", Manager::Dnf, InstallSystem, "dnf install"),
            ("microdnf clean all", Manager::Dnf, Clean, "microdnf clean all"),
            ("zypper -n in git", Manager::Zypper, InstallSystem, "zypper in"),
            ("npm ci", Manager::Npm, InstallDependencies, "npm ci"),
            ("npm run build", Manager::Npm, Build, "npm run"),
            ("yarn", Manager::Yarn, InstallDependencies, "yarn install"),
            ("corepack pnpm i --frozen-lockfile", Manager::Pnpm, InstallDependencies, "pnpm i"),
            ("rm -rf /var/lib/apt/lists/*", Manager::Shell, Clean, "rm"),
            ("rm -rf /app/x", Manager::Shell, Other, "rm"),
            ("mkdir -p /x", Manager::Shell, Other, "mkdir"),
            ("yarn --version", Manager::Yarn, Other, "yarn"),
            ("npm -v", Manager::Npm, Other, "npm"),
            ("go version", Manager::Go, Other, "go version"),
            ("pip install --upgrade pip", Manager::Pip, InstallNamed, "pip install"),
            ("pip install -r a.txt", Manager::Pip, InstallDependencies, "pip install -r a.txt"),
            ("pip install .", Manager::Pip, InstallDependencies, "pip install"),
            ("npm install -g x", Manager::Npm, InstallNamed, "npm install"),
            ("yarn build", Manager::Yarn, Build, "yarn build"),
            ("uv sync --locked", Manager::Uv, InstallDependencies, "uv sync"),
            ("poetry install --no-root", Manager::Poetry, InstallDependencies, "poetry install"),
            ("bundle", Manager::Bundler, InstallDependencies, "bundle install"),
            ("composer install", Manager::Composer, InstallDependencies, "composer install"),
            ("go mod download", Manager::Go, InstallDependencies, "go mod download"),
            ("go build ./...", Manager::Go, Build, "go build"),
            ("cargo chef cook --release", Manager::Cargo, InstallDependencies, "cargo chef cook"),
            ("./mvnw -B package", Manager::Maven, Build, "./mvnw package"),
            ("mvn -B dependency:go-offline", Manager::Maven, InstallDependencies, "mvn dependency:go-offline"),
            ("./gradlew dependencies", Manager::Gradle, InstallDependencies, "./gradlew dependencies"),
            ("dotnet restore A.csproj", Manager::Dotnet, InstallDependencies, "dotnet restore"),
        ];
        for (script, manager, action, display) in cases {
            let step = step(script).unwrap();
            assert_eq!((step.manager, step.action, step.display.as_str()), (manager, action, display), "{script}");
        }
        for script in ["make", "./install.sh", "$NPM ci", "curl x", "A=b", "node index.js", "bash -c 'npm ci'"] {
            assert_eq!(step(script), None, "{script}");
        }
    }

    #[test]
    fn a_script_is_understood_as_a_whole_or_not_at_all() {
        let fails = |script: &str| understand(script).unwrap_err().reason;
        assert_eq!(fails("npm ci && make"), "`make` is not known, and may read or write anything");
        assert_eq!(fails("for i in a; do npm ci; done"), "the command has a loop, which is not followed");
        assert_eq!(fails("npm ci 'x"), "the command has an unclosed quote, which is not followed");
        assert_eq!(fails("(cd x && npm ci)"), "where `cd` goes is not followed here");
        assert_eq!(fails("cd x || cd y"), "where `cd` goes is not followed here");
        assert_eq!(fails("A=$(b) && npm ci"), "the value of `A` is computed");
        assert_eq!(fails("npm ci < x"), "`<x` of `npm ci` is not known");
        let steps = understand("set -eux; cd a && cd b && npm ci > /dev/null 2>&1; export X=y; echo done").unwrap();
        assert_eq!(steps.iter().map(|it| it.display.as_str()).collect::<Vec<_>>(), ["set", "npm ci", "echo"]);
        assert_eq!(steps[1].folder("/app"), "/app/a/b");
        assert_eq!(steps[2].environment, [("X".to_owned(), "y".to_owned())]);
    }

    #[test]
    fn the_root_of_an_application_is_below_the_folders_of_the_system() {
        for (path, expected) in [
            ("/app/web/x", Some("/app")),
            ("/app", Some("/app")),
            ("/usr/src/app/x", Some("/usr/src/app")),
            ("/home/node/app/x", Some("/home/node/app")),
            ("/home/node", None),
            ("/root", None),
            ("/", None),
            ("/var/www/html", Some("/var/www/html")),
            ("/opt/x", Some("/opt/x")),
        ] {
            assert_eq!(application_root(path), expected, "{path}");
        }
    }

    #[test]
    fn variables_are_told_by_name_or_start() {
        let needs = attempt("npm ci", &[("package.json", "{}"), ("package-lock.json", "{}"), (".npmrc", "x=${MY_TOKEN}")], &[]).unwrap();
        for (name, expected) in
            [("NPM_CONFIG_X", true), ("NODE_ENV", true), ("PATH", true), ("MY_TOKEN", true), ("GIT_DIR", true), ("VERSION", false), ("PIP_X", false)]
        {
            assert_eq!(needs.reads_variable(name), expected, "{name}");
        }
    }

    #[test]
    fn what_is_outside_the_project_is_read_and_written() {
        let needs = attempt("npm ci", &[("package.json", "{}"), ("package-lock.json", "{}")], &[]).unwrap();
        let outside = Place::Tree { root: "/".into(), holes: vec!["/app".into()] };
        assert!(needs.reads.contains(&outside) && needs.writes.contains(&outside));
        assert!(needs.absent.contains(&"/app/.npmrc".to_owned()));
    }

    proptest::proptest! {
        #[test]
        fn no_manifest_and_no_command_makes_it_panic(
            script in "(npm ci|yarn|pnpm fetch|bun ci|pip install -r f|uv sync --frozen|poetry install|pipenv sync|bundle|composer i|go mod download|mvn dependency:resolve|gradle dependencies|dotnet restore|cargo chef cook|apt-get install x|rm -rf a) ?(-[a-zA-Z]{1,2}|--[a-z]{1,5}=?|[a-z*$./~]{0,4}| ){0,4}",
            text in "([{}\\[\\]\":,=<>/!$()\\\\'. -]|\n|[a-z]{1,3}|include|replace => \\.|use \\(|gem |path|module|project|workspaces|é){0,30}",
        ) {
            let names = [
                "package.json", "package-lock.json", "yarn.lock", ".yarnrc.yml", ".npmrc", "pnpm-lock.yaml", "pnpm-workspace.yaml", "bun.lock", "f", "pyproject.toml", "uv.lock", "poetry.lock",
                "Pipfile", "Pipfile.lock", "Gemfile", "Gemfile.lock", ".bundle/config", "composer.json", "composer.lock", "go.mod", "go.sum", "go.work", "pom.xml", "build.gradle", "settings.gradle",
                "a.csproj", "a.sln", "NuGet.config",
            ];
            let files: Vec<(&str, &str)> = names.iter().map(|it| (*it, text.as_str())).collect();
            if let Err(Obstacle { file: Some(_), at: Some(span), .. }) = attempt(&script, &files, &[]) {
                proptest::prop_assert!(text.get(span.start..span.end).is_some());
            }
            let valid: Vec<(&str, &str)> = names.iter().map(|it| (*it, if it.ends_with("json") { "{}" } else { text.as_str() })).collect();
            drop(attempt(&script, &valid, &[]));
        }
    }

    #[test]
    fn every_row_names_its_source() {
        for row in table::ALL {
            assert!(!row.source.is_empty() && !row.name.is_empty(), "{:?}", row.manager);
            assert_eq!(ecosystem(row.manager).name, row.name);
        }
    }
}
