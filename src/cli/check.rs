//! The command `check`.

use super::report::{Paths, Report};
use super::{Console, Error, Status, find_rule, github, gitlab, human, json, sarif};
use crate::check::{self, Change, Fixed, Outcome};
use crate::config::{Choice, Configs, Settings};
use crate::diagnostic::{Level, Safety};
use crate::facts::{self, Text};
use crate::file::{File, Kind};
use crate::snapshot::Host;
use crate::workspace::{self, Repositories, Roots};
use clap::{Args, ValueEnum};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::Arc;

/// How many files are so many that progress is shown.
const MANY: usize = 500;

/// The largest text that is read from standard input, in bytes.
const MOST_BYTES: u64 = 4 << 20;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Files and folders; `-` is standard input
    #[arg(default_value = ".", value_name = "PATH")]
    paths: Vec<String>,
    /// How to print what is found
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Only these rules
    #[arg(long, value_delimiter = ',', value_name = "RULE")]
    select: Vec<String>,
    /// Not these rules
    #[arg(long, value_delimiter = ',', value_name = "RULE")]
    ignore: Vec<String>,
    /// This configuration file, and no other
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// The least level that fails
    #[arg(long, value_enum, default_value_t = FailingLevel::Warning, value_name = "LEVEL")]
    min_level: FailingLevel,
    /// Apply fixes that leave the image as it is
    #[arg(long)]
    fix: bool,
    /// Apply all other fixes too
    #[arg(long)]
    unsafe_fixes: bool,
    /// Print what fixes change, and change nothing
    #[arg(long)]
    diff: bool,
    /// The path that standard input stands for
    #[arg(long, value_name = "PATH")]
    stdin_path: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
    Sarif,
    Github,
    Gitlab,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailingLevel {
    Error,
    Warning,
    Info,
    Hint,
}

impl FailingLevel {
    fn level(self) -> Level {
        match self {
            FailingLevel::Error => Level::Error,
            FailingLevel::Warning => Level::Warning,
            FailingLevel::Info => Level::Info,
            FailingLevel::Hint => Level::Hint,
        }
    }
}

pub fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<Status, Error> {
    if arguments.unsafe_fixes && !arguments.fix && !arguments.diff {
        return Err(Error::Usage("`--unsafe-fixes` says what `--fix` or `--diff` may do; give one of them too".into()));
    }
    let configs = configs(arguments, console)?;
    // The program ends with the command: to free thousands of files one by one would be for nothing.
    let mut job = ManuallyDrop::new(Job::new(&arguments.paths, arguments.stdin_path.as_deref(), console)?);
    let (outcome, fixed) = job.check(arguments, &configs, console.progress);
    let mut failed = job.say_errors(console.messages)?;
    for fault in &outcome.faults {
        failed = true;
        let path = job.paths.show(&fault.path);
        writeln!(console.messages, "layerwise: {path}: a fault of layerwise itself; please report it: {}", fault.message)?;
    }
    if let Some(fixed) = &fixed {
        failed |= !deliver(arguments, fixed, &job, console)?;
    }
    report(arguments, &job, &outcome, fixed.as_ref(), console)?;
    let found = outcome.diagnostics.iter().any(|it| it.level >= arguments.min_level.level());
    Ok(match (failed, found) {
        (true, _) => Status::Failure,
        (false, true) => Status::Findings,
        (false, false) => Status::Clean,
    })
}

impl Arguments {
    /// Whether hints are shown and fixed, which are many: if they fail the check, or their rule is
    /// named.
    fn hints(&self) -> bool {
        self.min_level.level() == Level::Hint || !self.select.is_empty()
    }
}

fn configs(arguments: &Arguments, console: &mut Console<'_>) -> Result<Configs, Error> {
    let mut configs = Configs::new(check::known_rules());
    for name in arguments.select.iter().chain(&arguments.ignore) {
        find_rule(name)?;
    }
    let select = (!arguments.select.is_empty()).then(|| arguments.select.iter().cloned().collect());
    configs.choice = Choice { select, ignore: arguments.ignore.iter().cloned().collect() };
    if let Some(file) = &arguments.config {
        let path = absolute(&console.folder, file)?;
        let folder = facts::parent(&path).to_owned();
        let text = workspace::read(&path, &Roots::of(std::slice::from_ref(&folder))).map_err(|err| Error::Usage(err.to_string()))?;
        let (settings, problems) = Settings::parse(&text, &configs.known_rules);
        if let Some(problem) = problems.first() {
            return Err(Error::Usage(format!("{file}: {problem}")));
        }
        configs.fixed = Some((folder, settings));
    }
    Ok(configs)
}

/// The path inside the program of an argument.
fn absolute(folder: &str, argument: &str) -> Result<String, Error> {
    let path = workspace::to_system(folder).join(argument);
    workspace::from_system(&path).ok_or_else(|| Error::Usage(format!("{argument}: not UTF-8")))
}

/// What is checked.
pub(super) struct Job {
    pub(super) host: Host,
    /// The files that are reported on, in order.
    files: Vec<Arc<str>>,
    folders: Vec<String>,
    pub(super) paths: Paths,
    errors: Vec<String>,
    stdin: Option<Arc<str>>,
}

impl Job {
    /// Loads files and folders, and what may say how they are built. `stdin_path` is what standard
    /// input (`-`) stands for.
    pub(super) fn new(arguments: &[String], stdin_path: Option<&str>, console: &mut Console<'_>) -> Result<Job, Error> {
        let named_absolute = arguments.iter().filter(|it| Path::new(it).is_absolute());
        let paths = Paths::new(&console.folder, named_absolute.filter_map(|it| absolute("/", it).ok()).collect());
        let mut job = Job { host: Host::default(), files: Vec::new(), folders: Vec::new(), paths, errors: Vec::new(), stdin: None };
        let mut files = BTreeSet::new();
        for argument in arguments {
            if argument == "-" {
                job.read_input(stdin_path, console)?;
            } else {
                job.find(argument, &console.folder, &mut files)?;
            }
        }
        let near = job.find_roots(&files);
        job.load(&files.iter().map(|it| (it.clone(), Kind::named(it))).collect::<Vec<_>>(), true);
        let near: Vec<_> = near.into_iter().filter(|it| !files.contains(it)).map(|it| (it.clone(), Kind::of(&it))).collect();
        job.load(&near, false);
        Ok(job)
    }

    /// Reads standard input as the file it stands for.
    fn read_input(&mut self, stdin_path: Option<&str>, console: &mut Console<'_>) -> Result<(), Error> {
        let name = stdin_path.unwrap_or("Dockerfile");
        let path = absolute(&console.folder, name)?;
        let kind = Kind::named(&path);
        if !kind.is_checked() {
            return Err(Error::Usage(format!("{name}: neither a Dockerfile nor a workflow, compose or bake file")));
        }
        let mut bytes = Vec::new();
        let read = console.input.take(MOST_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|err| Error::Usage(format!("standard input cannot be read: {err}")))?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(Error::Usage("standard input is larger than 4 MiB".into()));
        }
        let text = String::from_utf8(bytes).map_err(|_| Error::Usage("standard input is not UTF-8".into()))?;
        self.host.set(&path, File::new(kind, &text, Some(0)));
        let path: Arc<str> = path.into();
        self.files.push(path.clone());
        self.stdin = Some(path);
        Ok(())
    }

    /// Finds the files of an argument.
    fn find(&mut self, argument: &str, folder: &str, files: &mut BTreeSet<String>) -> Result<(), Error> {
        let path = absolute(folder, argument)?;
        match workspace::to_system(&path).metadata() {
            Ok(metadata) if metadata.is_dir() => {
                let found = workspace::walk(&path);
                files.extend(found.files);
                self.errors.extend(found.errors.iter().map(ToString::to_string));
                self.folders.push(path);
            }
            Ok(_) if Kind::named(&path).is_checked() => drop(files.insert(path)),
            Ok(_) => self.errors.push(format!("{argument}: neither a Dockerfile nor a workflow, compose or bake file")),
            Err(err) => self.errors.push(format!("{argument}: {err}")),
        }
        Ok(())
    }

    /// Sets the roots of all files; finds what may say how they are built.
    fn find_roots(&mut self, files: &BTreeSet<String>) -> Vec<String> {
        let mut repositories = Repositories::default();
        let mut roots: BTreeSet<String> = self.folders.iter().cloned().collect();
        let folders: BTreeSet<&str> = files.iter().map(String::as_str).chain(self.stdin.as_deref()).map(facts::parent).collect();
        let mut near = BTreeSet::new();
        for folder in folders {
            let named = self.folders.iter().filter(|it| facts::is_below(folder, it)).min();
            let root = repositories.of(folder).or(named.cloned()).unwrap_or_else(|| folder.to_owned());
            near.extend(workspace::build_folders(folder, &root));
            roots.insert(root);
        }
        self.host.set_roots(roots);
        workspace::builds_in(&near)
    }

    /// Reads and parses files on all cores.
    fn load(&mut self, files: &[(String, Kind)], reported: bool) {
        let roots = Roots::of(self.host.snapshot().roots());
        let read = |(path, kind): &(String, Kind)| workspace::read(path, &roots).map(|text| (path.clone(), File::new(*kind, &text, None)));
        let loaded: Vec<_> = files.par_iter().map(read).collect();
        for it in loaded {
            match it {
                Ok((path, file)) => {
                    self.host.set(&path, file);
                    if reported && self.stdin.as_deref() != Some(&path) {
                        self.files.push(path.into());
                    }
                }
                Err(mut err) if reported => {
                    err.path = self.paths.show(&err.path);
                    self.errors.push(err.to_string());
                }
                Err(_) => {}
            }
        }
    }

    /// Checks the files and those that their builds name; fixes them if asked to.
    fn check(&mut self, arguments: &Arguments, configs: &Configs, progress: bool) -> (Outcome, Option<Fixed>) {
        let total = self.files.len();
        let show = |done: usize| {
            if progress && total >= MANY && (done.is_multiple_of(50) || done == total) {
                eprint!("\r\x1b[K{}", if done == total { String::new() } else { format!("checking {done} of {total} files") });
            }
        };
        let mut outcome = workspace::settle(&mut self.host, configs, &self.files, &show);
        while self.add_named(configs) {
            outcome = workspace::settle(&mut self.host, configs, &self.files, &|_| {});
        }
        if !arguments.fix && !arguments.diff {
            return (outcome, None);
        }
        let allowed = if arguments.unsafe_fixes { Safety::Unsafe } else { Safety::Safe };
        let least = if arguments.hints() { Level::Hint } else { Level::Info };
        let files = &self.files;
        let mut first = arguments.diff.then_some(outcome.clone());
        let mut start = Some(outcome);
        let fixed = check::fix(&mut self.host, allowed, least, |host| start.take().unwrap_or_else(|| workspace::settle(host, configs, files, &|_| {})));
        // A diff changes nothing, so that what was found still is there.
        (first.take().unwrap_or_else(|| fixed.outcome.clone()), Some(fixed))
    }

    /// Adds Dockerfiles below the given folders that builds name, and the configuration files that
    /// were used. Says whether there were any.
    fn add_named(&mut self, configs: &Configs) -> bool {
        let snapshot = self.host.snapshot();
        let named = snapshot.links.dockerfiles().into_iter().map(|it| snapshot.real(&it).to_owned());
        let named = named.filter(|it| self.is_below_folders(it));
        let known: BTreeSet<&str> = self.files.iter().map(|it| &**it).collect();
        let new: BTreeSet<String> = named.chain(configs.files()).filter(|it| !known.contains(it.as_str())).collect();
        let roots = Roots::of(snapshot.roots());
        let mut added = false;
        for path in new {
            if let Some(real) = self.file_behind(&path, snapshot.root(&path), &roots) {
                added |= self.host.set_link(&path, &real);
            } else if snapshot.file(&path).is_some() {
                self.files.push(path.into());
                added = true;
            } else if let Some(Text::Known(text)) = snapshot.text(&path) {
                self.host.set(&path, File::new(Kind::Dockerfile, &text, None));
                self.files.push(path.into());
                added = true;
            }
        }
        self.files.sort();
        added
    }

    fn is_below_folders(&self, path: &str) -> bool {
        self.folders.iter().any(|folder| facts::is_below(path, folder))
    }

    /// The Dockerfile that a link leads to. One that has an ignore file of its own name, under one of its names, is
    /// another one by each.
    fn file_behind(&self, path: &str, root: &str, roots: &Roots) -> Option<String> {
        let real = workspace::behind_link(path, root, roots).filter(|it| self.is_below_folders(it) && Kind::of(it) == Kind::Dockerfile)?;
        let has_none = |it: &str| workspace::text(&format!("{it}.dockerignore"), roots) == Text::Missing;
        (has_none(path) && has_none(&real)).then_some(real)
    }

    pub(super) fn say_errors(&self, messages: &mut dyn Write) -> Result<bool, Error> {
        for error in &self.errors {
            writeln!(messages, "layerwise: {error}")?;
        }
        Ok(!self.errors.is_empty())
    }

    /// How many files were looked at, our own configuration left out.
    fn count(&self) -> usize {
        self.files.iter().filter(|it| Kind::of(it) != Kind::Configuration).count()
    }
}

/// Writes the fixed files, or prints the difference. Says whether that worked for all of them.
fn deliver(arguments: &Arguments, fixed: &Fixed, job: &Job, console: &mut Console<'_>) -> Result<bool, Error> {
    if arguments.diff {
        for change in &fixed.changes {
            print_diff(change, &job.paths, console)?;
        }
        return Ok(true);
    }
    let roots = Roots::of(job.host.snapshot().roots());
    let mut worked = true;
    for change in &fixed.changes {
        if job.stdin.as_ref() == Some(&change.path) {
            continue;
        }
        if let Err(mut err) = workspace::write(&change.path, change.before.as_deref(), &change.after, &roots) {
            err.path = job.paths.show(&err.path);
            writeln!(console.messages, "layerwise: {err}")?;
            worked = false;
        }
    }
    if let Some(path) = &job.stdin
        && let Some(file) = job.host.snapshot().file(path)
    {
        console.output.write_all(file.text().as_bytes())?;
    }
    Ok(worked)
}

fn print_diff(change: &Change, paths: &Paths, console: &mut Console<'_>) -> Result<(), Error> {
    let path = paths.show(&change.path);
    let before = change.before.as_deref().unwrap_or("");
    let old = if change.before.is_some() { format!("a/{path}") } else { "/dev/null".into() };
    let diff = similar::TextDiff::from_lines(before, &*change.after);
    let text = diff.unified_diff().header(&old, &format!("b/{path}")).to_string();
    for line in text.split_inclusive('\n') {
        let style = match line.as_bytes().first() {
            Some(b'+') => "\x1b[32m",
            Some(b'-') => "\x1b[31m",
            Some(b'@') => "\x1b[36m",
            _ => "",
        };
        if console.color && !style.is_empty() {
            let content = line.trim_end_matches(['\r', '\n']);
            write!(console.output, "{style}{content}\x1b[0m{}", &line[content.len()..])?;
        } else {
            write!(console.output, "{line}")?;
        }
    }
    Ok(())
}

/// Prints what was found. Standard output has the fixed text or the difference if one was asked for;
/// only the count is then told, beside it.
fn report(arguments: &Arguments, job: &Job, outcome: &Outcome, fixed: Option<&Fixed>, console: &mut Console<'_>) -> Result<(), Error> {
    let snapshot = job.host.snapshot();
    let report = Report::new(&snapshot, &outcome.diagnostics, job.count(), &job.paths);
    let applied = fixed.filter(|_| !arguments.diff).map_or(0, |it| it.applied);
    if arguments.diff {
        return human::summary(&report, arguments.hints(), 0, false, console.messages);
    }
    let to_messages = fixed.is_some() && job.stdin.is_some();
    let output = if to_messages { &mut *console.messages } else { &mut *console.output };
    let color = console.color && !to_messages;
    match arguments.format {
        Format::Human => {
            human::print(&report, arguments.hints(), color, output)?;
            human::summary(&report, arguments.hints(), applied, color, output)
        }
        Format::Json => json::print(&report, output),
        Format::Sarif => sarif::print(&report, output),
        Format::Github => github::print(&report, arguments.hints(), output),
        Format::Gitlab => gitlab::print(&report, output),
    }
}
