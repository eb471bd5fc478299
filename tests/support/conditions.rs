//! What has to hold for any text of a file that rules look at: property tests and fuzz targets
//! demand it of texts that nobody wrote.

use layerwise::check::{self, Fixed, Outcome, Repairs};
use layerwise::config::Configs;
use layerwise::diagnostic::{Diagnostic, FileSpan, Fix, Level, Safety};
use layerwise::edit::Edit;
use layerwise::facts::{self, Entry, Text, Tree, Want};
use layerwise::file::{File, Kind};
use layerwise::rules;
use layerwise::snapshot::{Host, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The folder of every workspace here.
pub const ROOT: &str = "/w";

/// How often answers may lead to new questions.
const ROUNDS: usize = 16;

/// The files of a workspace, by absolute path. The disk is never asked.
pub type Files = BTreeMap<String, String>;

/// The workspaces that the pages of the rules show, all that is marked as an example.
pub fn examples() -> Vec<Files> {
    let mut res = Vec::new();
    for rule in rules::ALL {
        let mut open: Option<Files> = None;
        let mut path = String::new();
        for line in rule.doc.lines().map(|it| it.strip_prefix(' ').unwrap_or(it)) {
            match (&mut open, line.strip_prefix("```"), line.strip_prefix("#- ")) {
                (None, Some(info), _) if info.contains(',') => {
                    open = Some(Files::new());
                    path = format!("{ROOT}/Dockerfile");
                }
                (Some(_), Some(_), _) => res.extend(open.take()),
                (Some(_), None, Some(name)) => path = facts::join(ROOT, name),
                (Some(files), None, None) => {
                    let text = files.entry(path.clone()).or_default();
                    text.push_str(line);
                    text.push('\n');
                }
                _ => {}
            }
        }
    }
    res
}

/// Checks a workspace in which the edits, one after the other, are typed into the file at `path`.
///
/// # Panics
/// If something does not hold: a rule breaks down, an edited tree is not that of a fresh parse, a
/// finding or an edit lies outside its file, a safe fix breaks the syntax, fixes find no end, or
/// fixing again changes something.
pub fn demand(files: &Files, path: &str, edits: &[Edit]) {
    let mut host = Host::default();
    host.set_roots([ROOT.to_owned()]);
    for (path, text) in files {
        host.learn_text(path, Text::Known(text.as_str().into()));
    }
    let text = files.get(path).map_or("", String::as_str);
    host.set(path, File::new(Kind::of(path), text, Some(1)));
    for (version, edit) in (2..).zip(edits) {
        host.edit(path, version, |it| it.edit(edit));
        demand_same_tree(&host, path);
    }
    let paths: Vec<Arc<str>> = files.keys().map(|it| it.as_str().into()).filter(|it: &Arc<str>| Kind::of(it).is_checked()).collect();
    let outcome = settle(&mut host, files, &paths);
    let snapshot = host.snapshot();
    for diagnostic in &outcome.diagnostics {
        demand_inside(&snapshot, diagnostic);
        diagnostic.fixes.iter().for_each(|it| demand_sound(&snapshot, it));
    }
    for allowed in [Safety::Safe, Safety::Unsafe] {
        let mut host = Host::of(&snapshot);
        let mut fix = || -> Fixed { check::fix(&mut host, allowed, Level::Hint, |host| settle(host, files, &paths)) };
        let once = fix();
        let again = fix();
        let left = &again.outcome.diagnostics;
        assert_eq!((again.applied, again.changes), (0, vec![]), "fixing again changes something after {:#?}: {left:#?}", once.changes);
    }
}

/// Checks all files, with what rules ask of the disk answered.
pub fn settle(host: &mut Host, files: &Files, paths: &[Arc<str>]) -> Outcome {
    let configs = Configs::new(check::known_rules());
    for _ in 0..ROUNDS {
        let snapshot = host.snapshot();
        let mut outcome = Outcome::default();
        let mut wanted = BTreeSet::new();
        for path in paths {
            let (found, wants) = check::check(&snapshot, &configs, path, Repairs::Made);
            outcome.add(found);
            wanted.extend(wants);
        }
        assert_eq!(outcome.faults, []);
        if wanted.is_empty() {
            return outcome.sorted();
        }
        for want in wanted {
            match want {
                Want::Text(path) => {
                    let text = files.get(&path).map_or(Text::Missing, |it| Text::Known(it.as_str().into()));
                    host.learn_text(&path, text);
                }
                Want::Tree(folder) => host.learn_tree(&folder, tree(files, &folder)),
            }
        }
    }
    panic!("the rules ask for ever more files");
}

fn tree(files: &Files, folder: &str) -> Tree {
    let mut res = Tree { exists: folder == ROOT, ..Tree::default() };
    for path in files.keys() {
        let Some(relative) = facts::relative(path, folder).filter(|it| !it.is_empty()) else { continue };
        res.exists = true;
        res.entries.insert(relative.to_owned(), Entry::File);
        res.entries.extend(relative.match_indices('/').map(|(at, _)| (relative[..at].to_owned(), Entry::Folder)));
    }
    res
}

fn demand_same_tree(host: &Host, path: &str) {
    let snapshot = host.snapshot();
    let Some(file) = snapshot.file(path) else { return };
    assert_eq!(file.fault, None);
    let fresh = File::new(file.kind, file.text(), file.version);
    let nodes = |it: &File| it.document.tree().map(|it| it.root_node().to_sexp());
    assert_eq!(nodes(file), nodes(&fresh), "incremental and fresh parse differ:\n{:?}", file.text());
    assert_eq!(file.model.yaml(), fresh.model.yaml(), "incremental and fresh parse differ:\n{:?}", file.text());
}

fn demand_inside(snapshot: &Snapshot, diagnostic: &Diagnostic) {
    for at in std::iter::once(&diagnostic.at).chain(diagnostic.notes.iter().map(|it| &it.at)) {
        assert!(fits(snapshot, at), "{}: {:?} is no span of the file", diagnostic.rule, at);
    }
}

fn fits(snapshot: &Snapshot, at: &FileSpan) -> bool {
    match snapshot.text(&at.path) {
        Some(Text::Known(text)) => text.get(at.span.start..at.span.end).is_some(),
        _ => at.span.is_empty(),
    }
}

fn demand_sound(snapshot: &Snapshot, fix: &Fix) {
    for file in fix.files() {
        let before = match snapshot.text(&file.path) {
            Some(Text::Known(text)) => text,
            _ => "".into(),
        };
        let edits: Vec<&Edit> = file.edits.iter().collect();
        assert!(edits.windows(2).all(|it| it[0].delete.end <= it[1].delete.start), "{:?}: edits overlap", fix.title());
        assert!(edits.iter().all(|it| before.get(it.delete.start..it.delete.end).is_some()), "{:?}: an edit outside the text", fix.title());
        let kind = snapshot.file(&file.path).map_or(Kind::of(&file.path), |it| it.kind);
        let broken = |text: &str| File::new(kind, text, Some(1)).is_broken();
        if fix.safety() == Safety::Safe && !broken(&before) {
            let after = file.edits.apply(&before);
            assert!(!broken(&after), "{:?} breaks the syntax:\n{after}", fix.title());
        }
    }
}
