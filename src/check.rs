//! One door for the command line and the server: what is found in a file, and what is left after
//! fixes.

use crate::config::{self, Configs};
use crate::diagnostic::{Diagnostic, Fix, Level, Safety};
use crate::dockerfile::{Base, Dockerfile, Stage};
use crate::edit::{Edit, EditSet, Span};
use crate::facts::{self, Entry, Text, Want};
use crate::file::{File, Kind, Model, panic_message};
use crate::rules;
pub use crate::rules::Repairs;
use crate::snapshot::{Host, Snapshot};
use crate::view::View;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// How often fixes are applied and the result is checked again.
const ROUNDS: usize = 10;

/// A rule broke down on a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Absolute path of the file.
    pub path: Arc<str>,
    /// What the panic said.
    pub message: String,
}

/// What is found in some files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// By path, then place, then rule.
    pub diagnostics: Vec<Diagnostic>,
    /// Files whose findings are not complete.
    pub faults: Vec<Fault>,
}

impl Outcome {
    /// Takes in what was found in another file.
    pub fn add(&mut self, found: Result<Vec<Diagnostic>, Fault>) {
        match found {
            Ok(found) => self.diagnostics.extend(found),
            Err(fault) => self.faults.push(fault),
        }
    }

    /// Brings the diagnostics into order, and leaves out what was found twice: also in several files, where the
    /// thing to change is in none of them.
    pub fn sorted(mut self) -> Outcome {
        sort(&mut self.diagnostics);
        join_causes(&mut self.diagnostics);
        self.faults.sort_by(|a, b| a.path.cmp(&b.path));
        self
    }
}

/// By path, then place, then rule; each once.
pub fn sort(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_unstable_by(|a, b| (&a.at, a.rule, &a.message).cmp(&(&b.at, b.rule, &b.message)));
    diagnostics.dedup();
}

/// Of the findings of a rule with the same cause outside their files, the worst stays, and the first of those.
fn join_causes(diagnostics: &mut Vec<Diagnostic>) {
    let mut kept: BTreeMap<(&str, Arc<str>), usize> = BTreeMap::new();
    for (index, it) in diagnostics.iter().enumerate() {
        let Some(path) = &it.elsewhere else { continue };
        let best = kept.entry((it.rule, path.clone())).or_insert(index);
        if diagnostics[*best].level < it.level {
            *best = index;
        }
    }
    let kept: BTreeSet<usize> = kept.into_values().collect();
    let mut index = 0;
    diagnostics.retain(|it| {
        index += 1;
        it.elsewhere.is_none() || kept.contains(&(index - 1))
    });
}

/// The names that configuration and suppressions may use.
pub fn known_rules() -> Vec<&'static str> {
    rules::ALL.iter().map(|it| it.name).collect()
}

/// Checks one file, and lists what it asked of the disk in vain: with the answers, there may be
/// other findings.
///
/// # Errors
/// [`Fault`] if a rule panicked.
pub fn check(snapshot: &Snapshot, configs: &Configs, path: &str, repairs: Repairs) -> (Result<Vec<Diagnostic>, Fault>, Vec<Want>) {
    let snapshot = snapshot.apart();
    if let Some(message) = snapshot.file(path).and_then(|it| it.fault.clone()) {
        return (Err(Fault { path: path.into(), message }), Vec::new());
    }
    // Rules hold nothing that a panic could leave half done: they see a snapshot and return.
    let found = catch_unwind(AssertUnwindSafe(|| diagnose(&snapshot, configs, path, repairs)));
    let found = found.map_err(|it| Fault { path: path.into(), message: panic_message(&*it) });
    (found, snapshot.facts.take_wanted())
}

/// What checking a file is sure to ask of the disk, whatever its rules ask besides.
pub fn ask(snapshot: &Snapshot, configs: &Configs, path: &str) -> Vec<Want> {
    let snapshot = snapshot.apart();
    // The check itself tells of a panic.
    let _ = catch_unwind(AssertUnwindSafe(|| View::ask(&snapshot, path, &configs.of(&snapshot, path))));
    snapshot.facts.take_wanted()
}

fn diagnose(snapshot: &Snapshot, configs: &Configs, path: &str, repairs: Repairs) -> Vec<Diagnostic> {
    let Some(file) = snapshot.file(path) else { return Vec::new() };
    let config = configs.of(snapshot, path);
    if config.is_excluded(path) {
        return Vec::new();
    }
    let mut found = match file.kind {
        Kind::Other => Vec::new(),
        Kind::Configuration => config::check(path, file.text(), &configs.known_rules),
        _ => rules::run(snapshot, path, &config, repairs),
    };
    sort(&mut found);
    found
}

/// A file that fixes changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Absolute path.
    pub path: Arc<str>,
    /// The text before; `None` for a new file.
    pub before: Option<Arc<str>>,
    /// The text after.
    pub after: Arc<str>,
}

/// What is left after fixes.
#[derive(Debug, Clone, Default)]
pub struct Fixed {
    /// The files that changed, by path.
    pub changes: Vec<Change>,
    /// How many fixes were applied.
    pub applied: usize,
    /// What is found in the fixed texts.
    pub outcome: Outcome,
}

/// Applies fixes that are at least as safe as `allowed`, in memory: the first by place, leaving out
/// those that want what another one of the round changes, and again until none applies. Findings
/// below the level `least` are left as they are: a hint is something to think about, and old
/// builders for example know no cache mounts.
///
/// `check` gives the findings of the host's state, what rules ask of the disk answered.
pub fn fix(host: &mut Host, allowed: Safety, least: Level, mut check: impl FnMut(&mut Host) -> Outcome) -> Fixed {
    let mut changes: BTreeMap<Arc<str>, Change> = BTreeMap::new();
    let mut seen: Vec<Vec<Change>> = vec![Vec::new()];
    let mut applied = 0;
    let mut outcome = check(host);
    for _ in 0..ROUNDS {
        let mut plan = Plan::default();
        for diagnostic in outcome.diagnostics.iter().filter(|it| it.level >= least) {
            if let Some(fix) = diagnostic.fixes.iter().find(|it| it.safety() >= allowed) {
                plan.add(&host.snapshot(), fix);
            }
        }
        if plan.fixes == 0 {
            break;
        }
        applied += plan.fixes;
        plan.apply(host, &mut changes);
        let state: Vec<Change> = changes.values().cloned().collect();
        outcome = check(host);
        // Two rules that undo each other's work would go on for ever.
        if seen.contains(&state) {
            break;
        }
        seen.push(state);
    }
    let changes = changes.into_values().filter(|it| it.before.as_ref() != Some(&it.after)).collect();
    Fixed { changes, applied, outcome }
}

/// The fixes of one round.
#[derive(Default)]
struct Plan {
    fixes: usize,
    files: BTreeMap<Arc<str>, Planned>,
}

#[derive(Default)]
struct Planned {
    edits: Vec<Edit>,
    /// Start and end of what edits of earlier fixes take.
    taken: BTreeMap<usize, usize>,
    create: bool,
}

impl Planned {
    /// Whether a fix already takes something of `span`, or stands right beside it.
    fn takes(&self, span: Span) -> bool {
        self.taken.range(..=span.end).next_back().is_some_and(|(_, end)| *end >= span.start)
    }
}

impl Plan {
    /// Adds a fix as a whole, unless a part of it is in the way of what is planned.
    fn add(&mut self, snapshot: &Snapshot, fix: &Fix) {
        let fits = fix.files().iter().all(|file| {
            let free = |it: &Edit| !self.files.get(&file.path).is_some_and(|planned| planned.takes(it.delete));
            let exists = matches!(snapshot.text(&file.path), Some(Text::Known(_)));
            exists != file.create && file.edits.iter().all(free)
        });
        if !fits || fix.files().iter().all(|it| it.edits.is_empty()) {
            return;
        }
        self.fixes += 1;
        for file in fix.files() {
            let planned = self.files.entry(file.path.clone()).or_default();
            planned.create |= file.create;
            for edit in file.edits.iter() {
                let end = planned.taken.entry(edit.delete.start).or_default();
                *end = edit.delete.end.max(*end);
                planned.edits.push(edit.clone());
            }
        }
    }

    fn apply(self, host: &mut Host, changes: &mut BTreeMap<Arc<str>, Change>) {
        for (path, planned) in self.files {
            // Fixes of one round were added only where they do not meet.
            let edits = EditSet::new(planned.edits).unwrap_or_default();
            let snapshot = host.snapshot();
            let before = match snapshot.text(&path) {
                Some(Text::Known(text)) => Some(text),
                _ => None,
            };
            let after: Arc<str> = edits.apply(before.as_deref().unwrap_or("")).into();
            let (kind, version) = snapshot.file(&path).map_or((Kind::of(&path), None), |it| (it.kind, it.version));
            drop(snapshot);
            host.set(&path, File::new(kind, &after, version.or(Some(0))));
            if planned.create {
                add_to_trees(host, &path);
            }
            changes.entry(path.clone()).or_insert_with(|| Change { path, before, after: after.clone() }).after = after.clone();
        }
    }
}

/// Lists a new file in the folders above it, as far as they are known.
fn add_to_trees(host: &mut Host, path: &str) {
    let known = host.snapshot().facts.apart();
    let mut folder = path;
    while folder != "/" {
        folder = facts::parent(folder);
        if let (Some(tree), Some(name)) = (known.tree(folder), facts::relative(path, folder)) {
            let mut tree = (**tree).clone();
            tree.entries.insert(name.to_owned(), Entry::File);
            host.learn_tree(folder, tree);
        }
    }
}

/// All safe moves of the stage at `span`, one after the other until none is left, as one fix. Its title
/// says which commands every change of the sources runs again before, and not after. `None` where
/// there are no moves, or where `span` is in no stage.
pub fn reorder_stage(host: &mut Host, configs: &Configs, path: &Arc<str>, span: Span, mut check: impl FnMut(&mut Host) -> Outcome) -> Option<Fix> {
    let file = host.snapshot().file(path)?.clone();
    let stage = stage_at(&file, span.start)?;
    let Model::Dockerfile(dockerfile) = &file.model else { return None };
    let title = format!("Reorder stage `{}` for caching", headline(dockerfile, dockerfile.stages.get(stage)?));
    // Of the text as it is, and of what the last move leaves.
    let mut rerun: Vec<Vec<Rerun>> = Vec::new();
    let fix = Fix::sequence(title.clone(), path.clone(), file.text(), |text| {
        host.set(path, File::new(file.kind, text, Some(file.version.unwrap_or(0))));
        let found = check(host).diagnostics;
        let now = host.snapshot().file(path)?.clone();
        rerun.truncate(1);
        rerun.push(rerun_by_source_changes(&host.snapshot(), configs, path, stage));
        let here = found.into_iter().filter(|it| it.at.path == *path && stage_at(&now, it.at.span.start) == Some(stage));
        here.flat_map(|it| it.fixes).find(|it| it.reorders() && it.safety() == Safety::Safe && it.files().iter().all(|it| it.path == *path))
    })?;
    let [before, after] = rerun.as_slice() else { return Some(fix) };
    let spared: Vec<String> = before.iter().filter(|it| !after.iter().any(|later| later.text == it.text)).map(|it| short(&it.display)).collect();
    Some(match spared.as_slice() {
        [] => fix,
        [one] => fix.titled(format!("{title}: {one} stops running on every source change")),
        [one, other] => fix.titled(format!("{title}: {one} and {other} stop running on every source change")),
        [one, other, rest @ ..] => fix.titled(format!("{title}: {one}, {other} and {} more stop running on every source change", rest.len())),
    })
}

/// What a reader knows a stage by: its name, or what it starts from; never its number.
fn headline(dockerfile: &Dockerfile, stage: &Stage) -> String {
    if let Some(name) = &stage.name {
        return name.clone();
    }
    match &stage.base {
        Base::Scratch => "FROM scratch".to_owned(),
        Base::Stage(index) => format!("FROM {}", dockerfile.stages.get(*index).map(Stage::label).unwrap_or_default()),
        // A digest says nothing to a reader.
        Base::Image(image) => format!("FROM {}", image.text.split('@').next().unwrap_or_default()),
    }
}

/// The beginning of a command that is quoted in backticks, down to its first flag: titles stand in menus.
fn short(display: &str) -> String {
    let command = display.trim_matches('`');
    format!("`{}`", command.find(" -").map_or(command, |end| &command[..end]))
}

/// A command that runs again on every change of the sources.
struct Rerun {
    /// The whole instruction, as written.
    text: String,
    /// What it is called.
    display: String,
}

fn rerun_by_source_changes(snapshot: &Snapshot, configs: &Configs, path: &str, stage: usize) -> Vec<Rerun> {
    let Some(View::Dockerfile(view)) = View::new(snapshot, path, &configs.of(snapshot, path)) else { return Vec::new() };
    let Some(plan) = view.plans().find(|it| it.stage == stage) else { return Vec::new() };
    let steps = plan.rerun_by_source_changes().into_iter().map(|it| &plan.steps[it]);
    steps.map(|it| Rerun { text: it.instruction.span.of(&view.source).to_owned(), display: it.display() }).collect()
}

/// The number of the stage that `offset` is in.
fn stage_at(file: &File, offset: usize) -> Option<usize> {
    let Model::Dockerfile(dockerfile) = &file.model else { return None };
    dockerfile.stages.iter().rev().find(|it| it.from.owned.start <= offset).map(|it| it.index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{FileEdits, FileSpan, Level};

    fn host(files: &[(&str, &str)]) -> Host {
        let mut host = Host::default();
        host.set_roots(["/".into()]);
        for (path, text) in files {
            host.learn_text(path, Text::Known((*text).into()));
        }
        host
    }

    fn finding(at: usize, edits: Vec<FileEdits>) -> Diagnostic {
        let at = FileSpan { path: "/Dockerfile".into(), span: Span::at(at) };
        Diagnostic { rule: "test", level: Level::Warning, at, message: "m".into(), notes: vec![], fixes: vec![Fix::unproven("t", edits)], elsewhere: None }
    }

    fn edits(path: &str, edits: Vec<Edit>, create: bool) -> FileEdits {
        FileEdits { path: path.into(), edits: EditSet::new(edits).unwrap(), create }
    }

    fn text(host: &Host) -> String {
        host.snapshot().file("/Dockerfile").unwrap().text().to_string()
    }

    #[test]
    fn a_cause_outside_the_files_is_told_of_once() {
        let of = |path: &str, rule: &'static str, level: Level, elsewhere: Option<&str>| {
            let at = FileSpan { path: path.into(), span: Span::at(0) };
            Diagnostic { rule, at, level, elsewhere: elsewhere.map(Into::into), ..finding(0, vec![]) }
        };
        let diagnostics = vec![
            of("/a", "r", Level::Info, Some("/.dockerignore")),
            of("/b", "r", Level::Warning, Some("/.dockerignore")),
            of("/c", "r", Level::Warning, Some("/.dockerignore")),
            of("/c", "r", Level::Info, Some("/c/.dockerignore")),
            of("/c", "s", Level::Info, Some("/.dockerignore")),
            of("/a", "r", Level::Warning, None),
            of("/b", "r", Level::Warning, None),
        ];
        let sorted = Outcome { diagnostics, faults: vec![] }.sorted();
        let left: Vec<String> = sorted.diagnostics.iter().map(|it| format!("{} {} {}", it.at.path, it.rule, it.elsewhere.is_some())).collect();
        assert_eq!(left, ["/a r false", "/b r true", "/b r false", "/c r true", "/c s true"]);
    }

    #[test]
    fn fixes_are_applied_until_none_is_left() {
        let mut host = host(&[("/Dockerfile", "aaa")]);
        let fixed = fix(&mut host, Safety::Unsafe, Level::Hint, |host| {
            let found = text(host).find('a').map(|at| finding(at, vec![edits("/Dockerfile", vec![Edit::replace(Span::new(at, at + 1), "b")], false)]));
            Outcome { diagnostics: found.into_iter().collect(), faults: vec![] }
        });
        assert_eq!((text(&host).as_str(), fixed.applied), ("bbb", 3));
        assert_eq!(fixed.outcome.diagnostics, []);
        assert_eq!(fixed.changes, [Change { path: "/Dockerfile".into(), before: Some("aaa".into()), after: "bbb".into() }]);
    }

    #[test]
    fn fixes_that_undo_each_other_come_to_an_end() {
        let mut host = host(&[("/Dockerfile", "a")]);
        let fixed = fix(&mut host, Safety::Unsafe, Level::Hint, |host| {
            let other = if text(host) == "a" { "b" } else { "a" };
            let found = finding(0, vec![edits("/Dockerfile", vec![Edit::replace(Span::new(0, 1), other)], false)]);
            Outcome { diagnostics: vec![found], faults: vec![] }
        });
        assert!(fixed.applied < ROUNDS, "{}", fixed.applied);
    }

    #[test]
    fn a_fix_that_another_one_stands_in_the_way_of_waits_for_the_next_round() {
        let mut host = host(&[("/Dockerfile", "ab")]);
        let mut rounds = 0;
        let fixed = fix(&mut host, Safety::Unsafe, Level::Hint, |host| {
            rounds += 1;
            let source = text(host);
            let replace = |from: char, to: &str| {
                let at = source.find(from)?;
                Some(finding(at, vec![edits("/Dockerfile", vec![Edit::replace(Span::new(at, at + 1), to)], false)]))
            };
            Outcome { diagnostics: [replace('a', "x"), replace('b', "y")].into_iter().flatten().collect(), faults: vec![] }
        });
        assert_eq!((text(&host).as_str(), fixed.applied, rounds), ("xy", 2, 3));
    }

    /// Checks the Dockerfile, with nothing beside it on the disk.
    fn checked(host: &mut Host, configs: &Configs) -> Outcome {
        loop {
            let (found, wanted) = check(&host.snapshot(), configs, "/Dockerfile", Repairs::Made);
            if wanted.is_empty() {
                let mut outcome = Outcome::default();
                outcome.add(found);
                return outcome;
            }
            for want in wanted {
                match want {
                    Want::Text(path) => drop(host.learn_text(&path, Text::Missing)),
                    Want::Tree(path) => host.learn_tree(&path, facts::Tree { exists: true, ..Default::default() }),
                }
            }
        }
    }

    fn reordered(source: &str, place: &str) -> Option<(String, String)> {
        let mut host = host(&[("/Dockerfile", source)]);
        let configs = Configs::new(known_rules());
        let span = Span::at(source.find(place)?);
        let fix = reorder_stage(&mut host, &configs, &"/Dockerfile".into(), span, |host| checked(host, &configs))?;
        Some((fix.title().to_owned(), fix.files()[0].edits.apply(source)))
    }

    #[test]
    fn a_reordering_moves_instructions_and_says_what_it_spares() {
        let source = "FROM python:3.13 AS web\nARG GIT_SHA\nCOPY . /app\nRUN apt-get update && apt-get install -y git\nRUN make\nRUN echo $GIT_SHA > /v\nFROM alpine:3.20\nCOPY . /app\nRUN apk add git\n";
        let (title, text) = reordered(source, "RUN make").unwrap();
        assert_eq!(title, "Reorder stage `web` for caching: `apt-get install` stops running on every source change");
        // The other stage stays as it is, and no mount is added.
        assert_eq!(
            text,
            "FROM python:3.13 AS web\nRUN apt-get update && apt-get install -y git\nARG GIT_SHA\nCOPY . /app\nRUN make\nRUN echo $GIT_SHA > /v\nFROM alpine:3.20\nCOPY . /app\nRUN apk add git\n"
        );
    }

    #[test]
    fn commands_in_a_title_end_at_their_first_flag() {
        assert_eq!(short("`pip3 install -r /app/requirements.txt`"), "`pip3 install`");
        assert_eq!(short("`npm ci`"), "`npm ci`");
        assert_eq!(short("`-x`"), "`-x`");
    }

    #[test]
    fn a_reordering_that_spares_no_command_has_a_plain_title() {
        let (title, text) = reordered("FROM debian:12.9\nRUN apt-get update\nRUN apt-get install -y git\n", "RUN").unwrap();
        assert_eq!(title, "Reorder stage `FROM debian:12.9` for caching");
        assert_eq!(text, "FROM debian:12.9\nRUN apt-get update && \\\n    apt-get install -y git\n");
    }

    #[test]
    fn a_stage_without_a_name_is_called_by_what_it_starts_from() {
        let body = "RUN apt-get update\nRUN apt-get install -y git\n";
        let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        for (from, title) in [
            (format!("FROM debian:12.9@{digest}\n"), "Reorder stage `FROM debian:12.9` for caching"),
            ("FROM --platform=$BUILDPLATFORM debian:12.9\n".to_owned(), "Reorder stage `FROM debian:12.9` for caching"),
            ("ARG VERSION=12.9\nFROM debian:$VERSION\n".to_owned(), "Reorder stage `FROM debian:$VERSION` for caching"),
            ("FROM debian:12.9 AS base\nFROM base\n".to_owned(), "Reorder stage `FROM base` for caching"),
            ("FROM debian:12.9 AS Build\n".to_owned(), "Reorder stage `build` for caching"),
        ] {
            assert_eq!(reordered(&format!("{from}{body}"), "RUN").unwrap().0, title);
        }
    }

    #[test]
    fn where_nothing_moves_there_is_no_reordering() {
        assert_eq!(reordered("FROM python:3.13\nRUN pip install flask==3.1.0\nCOPY . /app\n", "RUN"), None);
        assert_eq!(reordered("ARG A=1\nFROM debian:12.9\n", "ARG"), None);
    }

    #[test]
    fn a_created_file_is_seen_in_the_next_round() {
        let mut host = host(&[("/Dockerfile", "")]);
        host.learn_text("/.dockerignore", Text::Missing);
        host.learn_tree("/", facts::Tree { exists: true, ..Default::default() });
        let fixed = fix(&mut host, Safety::Unsafe, Level::Hint, |host| {
            let missing = host.snapshot().text("/.dockerignore") == Some(Text::Missing);
            let found = missing.then(|| finding(0, vec![edits("/.dockerignore", vec![Edit::insert(0, ".git\n")], true)]));
            Outcome { diagnostics: found.into_iter().collect(), faults: vec![] }
        });
        assert_eq!(fixed.changes, [Change { path: "/.dockerignore".into(), before: None, after: ".git\n".into() }]);
        assert!(host.snapshot().facts.tree("/").unwrap().entries.contains_key(".dockerignore"));
    }

    #[test]
    fn an_unsafe_fix_is_not_applied_unasked() {
        let mut host = host(&[("/Dockerfile", "a")]);
        let fixed = fix(&mut host, Safety::Safe, Level::Hint, |_| Outcome {
            diagnostics: vec![finding(0, vec![edits("/Dockerfile", vec![Edit::insert(0, "b")], false)])],
            faults: vec![],
        });
        assert_eq!((fixed.applied, fixed.outcome.diagnostics.len()), (0, 1));
    }

    #[test]
    fn nothing_is_found_in_a_file_that_is_excluded() {
        let mut host = host(&[("/.layerwise.yaml", "exclude: [Dockerfile]\nbuilder: x\n"), ("/Dockerfile", "FROM a\nCOPY . .\nRUN npm ci\n")]);
        let configs = Configs::new(known_rules());
        assert_eq!(check(&host.snapshot(), &configs, "/Dockerfile", Repairs::Made).0, Ok(vec![]));
        assert_eq!(check(&host.snapshot(), &configs, "/.layerwise.yaml", Repairs::Made).0.unwrap()[0].rule, "configuration");
        host.learn_text("/.layerwise.yaml", Text::Missing);
        assert_ne!(check(&host.snapshot(), &configs, "/Dockerfile", Repairs::Made).0, Ok(vec![]));
    }
}
