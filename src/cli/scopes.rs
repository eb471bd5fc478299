//! The command `scopes`: every cache location, who writes it and who reads it.

use super::check::Job;
use super::report::{Lines, Paths};
use super::{Console, Error, ListFormat, Status, json};
use crate::links::locations::Location;
use crate::snapshot::Snapshot;
use crate::view::{Run, Scope, ScopeBuild, scopes};
use clap::Args;
use serde::Serialize;
use std::collections::BTreeSet;

#[derive(Debug, Args)]
pub struct Arguments {
    /// A file or folder
    #[arg(default_value = ".", value_name = "PATH")]
    path: String,
    /// How to print them
    #[arg(long, value_enum, default_value_t = ListFormat::Human)]
    format: ListFormat,
}

pub fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<Status, Error> {
    if arguments.path == "-" {
        return Err(Error::Usage("a location is used by several files: give a folder".into()));
    }
    let job = Job::new(std::slice::from_ref(&arguments.path), None, console)?;
    let failed = job.say_errors(console.messages)?;
    let snapshot = job.host.snapshot();
    let found = scopes(&snapshot);
    match arguments.format {
        ListFormat::Human => print(&found, &snapshot, &job.paths, console)?,
        ListFormat::Json => print_json(&found, &snapshot, &job.paths, console)?,
    }
    Ok(if failed { Status::Failure } else { Status::Clean })
}

/// The name of a location: its backend, and a question mark where it is not known.
fn name(location: &Location) -> String {
    match location {
        Location::At(text) => text.clone(),
        Location::Somewhere(backend) => format!("{}:?", backend.name()),
    }
}

fn line(snapshot: &Snapshot, build: &ScopeBuild) -> usize {
    let text = snapshot.file(&build.path).map(|it| it.text().clone()).unwrap_or_default();
    Lines::new(text).place(build.span.start).line
}

fn words(runs: &BTreeSet<Run>) -> Vec<&'static str> {
    runs.iter().map(|it| it.words()).collect()
}

fn print(found: &[Scope], snapshot: &Snapshot, paths: &Paths, console: &mut Console<'_>) -> Result<(), Error> {
    if found.is_empty() {
        writeln!(console.output, "no build uses a cache")?;
    }
    for (index, scope) in found.iter().enumerate() {
        let gap = if index == 0 { "" } else { "\n" };
        writeln!(console.output, "{gap}{}: {}", name(&scope.location), scope.verdict.meaning())?;
        for (side, builds) in [("writes", &scope.writers), ("reads", &scope.readers)] {
            for build in builds {
                writeln!(console.output, "  {side:6} {}:{} {}", paths.show(&build.path), line(snapshot, build), summary(build, paths))?;
            }
        }
    }
    Ok(())
}

/// What a build is, in one line: `build: app/Dockerfile, stage web, linux/amd64, on branches and tags`.
fn summary(build: &ScopeBuild, paths: &Paths) -> String {
    let mut parts: Vec<String> = build.dockerfiles.iter().map(|it| paths.show(it)).collect();
    parts.extend(build.targets.iter().map(|it| format!("stage {it}")));
    parts.extend(build.platforms.iter().cloned());
    if !build.runs.is_empty() {
        parts.push(format!("on {}", words(&build.runs).join(" and ")));
    }
    let label = build.job.as_ref().unwrap_or(&build.name);
    if parts.is_empty() { label.clone() } else { format!("{label}: {}", parts.join(", ")) }
}

#[derive(Serialize)]
struct Output {
    version: &'static str,
    locations: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    location: String,
    verdict: &'static str,
    writers: Vec<User>,
    readers: Vec<User>,
}

#[derive(Serialize)]
struct User {
    path: String,
    line: usize,
    job: Option<String>,
    name: String,
    dockerfiles: Vec<String>,
    contexts: Vec<String>,
    targets: BTreeSet<String>,
    platforms: BTreeSet<String>,
    runs: Vec<&'static str>,
}

/// One object on standard output; fields are added, never removed.
fn print_json(found: &[Scope], snapshot: &Snapshot, paths: &Paths, console: &mut Console<'_>) -> Result<(), Error> {
    let shown = |it: &BTreeSet<String>| {
        // The working directory itself has no name of its own.
        it.iter().map(|it| paths.show(it)).map(|it| if it.is_empty() { ".".to_owned() } else { it }).collect::<Vec<_>>()
    };
    let user = |it: &ScopeBuild| User {
        path: paths.show(&it.path),
        line: line(snapshot, it),
        job: it.job.clone(),
        name: it.name.clone(),
        dockerfiles: shown(&it.dockerfiles),
        contexts: shown(&it.contexts),
        targets: it.targets.clone(),
        platforms: it.platforms.clone(),
        runs: words(&it.runs),
    };
    let entry = |it: &Scope| Entry {
        location: name(&it.location),
        verdict: it.verdict.word(),
        writers: it.writers.iter().map(user).collect(),
        readers: it.readers.iter().map(user).collect(),
    };
    let output = Output { version: env!("CARGO_PKG_VERSION"), locations: found.iter().map(entry).collect() };
    json::write_pretty(&output, console.output)
}
