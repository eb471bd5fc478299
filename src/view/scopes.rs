//! All cache locations of a state in one table: who writes each, who reads it, and whether that goes
//! well.

use super::baking::Call;
use super::caching::{likeness, of_reference, platforms};
use super::{Likeness, Run, Use};
use crate::build::Tool;
use crate::cache::Backend;
use crate::edit::Span;
use crate::links::locations::{Location, Side};
use crate::links::{Folder, Place, Target};
use crate::snapshot::Snapshot;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// No more writers of one location are compared, each with each.
const MAX_COMPARED: usize = 50;

/// A cache location with the builds that use it.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The root of the repository whose builds these are.
    pub root: String,
    /// Where it is.
    pub location: Location,
    /// Builds that export to it.
    pub writers: Vec<Build>,
    /// Builds that import from it.
    pub readers: Vec<Build>,
    /// How that goes.
    pub verdict: Verdict,
}

/// A build that uses a location, in all legs in which it does.
#[derive(Debug, Clone)]
pub struct Build {
    /// The file that describes it.
    pub path: Arc<str>,
    /// Where it stands there.
    pub span: Span,
    /// What to call it.
    pub name: String,
    /// The job; `None` for bake and compose files.
    pub job: Option<String>,
    /// The Dockerfiles that it builds, by absolute path.
    pub dockerfiles: BTreeSet<String>,
    /// Folders that are its contexts, by absolute path.
    pub contexts: BTreeSet<String>,
    /// The stages that it builds, where they are named.
    pub targets: BTreeSet<String>,
    /// The platforms that it builds for, where they are told.
    pub platforms: BTreeSet<String>,
    /// What it runs on; nothing for bake and compose files.
    pub runs: BTreeSet<Run>,
}

/// What becomes of a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is written and read.
    Used,
    /// Builds of different images write it, and each replaces the cache of the other.
    Contested,
    /// Only tags, pull requests or merge groups write it, which no other run can read.
    Closed,
    /// Nobody reads it.
    Unread,
    /// Nobody writes it.
    Unwritten,
    /// Which location it is cannot be told.
    Unknown,
}

impl Verdict {
    /// The word for it in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Used => "used",
            Verdict::Contested => "contested",
            Verdict::Closed => "closed",
            Verdict::Unread => "unread",
            Verdict::Unwritten => "unwritten",
            Verdict::Unknown => "unknown",
        }
    }

    /// What it means, in a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Verdict::Used => "written and read",
            Verdict::Contested => "builds of different images replace each other's cache",
            Verdict::Closed => "only runs that nobody else can read from write it",
            Verdict::Unread => "written, and never read by a build of this repository",
            Verdict::Unwritten => "read, and never written by a build of this repository",
            Verdict::Unknown => "an expression decides which one it is",
        }
    }
}

/// All locations, repository by repository.
pub fn scopes(snapshot: &Snapshot) -> Vec<Scope> {
    let mut res = Vec::new();
    for location in snapshot.links.locations.all() {
        let mut roots: BTreeMap<&str, (Vec<Use<'_>>, Vec<Use<'_>>)> = BTreeMap::new();
        for side in [Side::Export, Side::Import] {
            let used = snapshot.links.locations.users(side, location).iter().filter_map(|it| of_reference(snapshot, it));
            for it in used.filter(|it| !it.described.build.dry && (it.described.step.is_none() || snapshot.runs(it.path))) {
                let (writers, readers) = roots.entry(snapshot.root(it.path)).or_default();
                if side == Side::Export { writers } else { readers }.push(it);
            }
        }
        res.extend(roots.into_iter().map(|(root, (writers, readers))| Scope {
            root: root.to_owned(),
            location: location.clone(),
            verdict: verdict(snapshot, location, &writers, &readers),
            writers: builds(snapshot, &writers),
            readers: builds(snapshot, &readers),
        }));
    }
    res.sort_by(|a, b| (&a.root, &a.location).cmp(&(&b.root, &b.location)));
    res
}

fn verdict(snapshot: &Snapshot, location: &Location, writers: &[Use<'_>], readers: &[Use<'_>]) -> Verdict {
    let Location::At(text) = location else { return Verdict::Unknown };
    let compared = &writers[..writers.len().min(MAX_COMPARED)];
    let differs = |(index, a): (usize, &Use<'_>)| compared[index + 1..].iter().any(|b| likeness(snapshot, a, b) == Likeness::Different);
    let is_closed = |it: &Use<'_>| {
        let runs = it.runs(snapshot);
        !runs.is_empty() && runs.iter().all(|it| it.is_closed())
    };
    let is_gha = text.starts_with(&format!("{}:", Backend::Gha.name()));
    if writers.is_empty() {
        Verdict::Unwritten
    } else if compared.iter().enumerate().any(differs) {
        Verdict::Contested
    } else if is_gha && writers.iter().all(is_closed) {
        Verdict::Closed
    } else if readers.is_empty() {
        Verdict::Unread
    } else {
        Verdict::Used
    }
}

/// The builds of uses, with what each is in all its legs.
fn builds(snapshot: &Snapshot, uses: &[Use<'_>]) -> Vec<Build> {
    let mut res: BTreeMap<(Arc<str>, usize), Build> = BTreeMap::new();
    for it in uses {
        let described = it.described;
        let known = res.entry((it.path.clone(), it.index)).or_insert_with(|| Build {
            path: it.path.clone(),
            span: described.build.span,
            name: described.build.name.clone(),
            job: described.step.map(|(_, job, _)| job.id.clone()),
            dockerfiles: BTreeSet::new(),
            contexts: BTreeSet::new(),
            targets: BTreeSet::new(),
            platforms: BTreeSet::new(),
            runs: it.runs(snapshot),
        });
        for place in places(snapshot, it) {
            known.dockerfiles.extend(place.dockerfile);
            match place.context {
                Folder::Disk(folder) | Folder::Git(folder) => drop(known.contexts.insert(folder)),
                Folder::Unknown => {}
            }
            if let Target::Named(name) = place.target {
                known.targets.insert(name);
            }
        }
        known.platforms.extend(platforms(it).unwrap_or_default());
    }
    res.into_values().collect()
}

/// Where a build finds its files: one of bake or compose where its targets do.
fn places(snapshot: &Snapshot, it: &Use<'_>) -> Vec<Place> {
    let is_call = matches!(it.described.build.tool, Tool::Bake | Tool::Compose);
    let calls = it.described.step.filter(|_| is_call).map(|(_, job, step)| Call::each(snapshot, it.path, job, step));
    let calls: Vec<Call<'_>> = calls.into_iter().flatten().flatten().collect();
    if calls.is_empty() {
        return vec![it.place()];
    }
    calls.iter().flat_map(|call| call.targets.iter().map(|target| call.place(target, it.path))).collect()
}
