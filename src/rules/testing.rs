//! The harness of the rules' tests: a workspace in one text, with the expected findings as marks.
//!
//! `#- path` begins a file; a text without it is `Dockerfile`. A line of `^` marks what is reported
//! on the line above it: `^^^^ warning: message`, notes as `^^^^ note: message`. Marks are taken out
//! before anything is parsed, so that they cannot change what is analysed. A finding over several
//! lines is marked on its first.

use super::{ALL, Repairs, Rule, run};
use crate::config::{Config, Configs, Settings};
use crate::diagnostic::{Diagnostic, Fix, Level, Safety};
use crate::dockerfile::plan::Step;
use crate::edit::Span;
use crate::effects::{Conflict, Place};
use crate::facts::{self, Entry, Text, Tree, Want};
use crate::file::File;
use crate::snapshot::{Host, Snapshot};
use crate::view::View;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::{env, fs};

const ROOT: &str = "/w";

type Files = BTreeMap<String, String>;

/// What a mark says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    path: String,
    line: usize,
    start: usize,
    end: usize,
    text: String,
}

/// Files and marks of a fixture.
fn parse(fixture: &str) -> (Files, Vec<Mark>) {
    let fixture = fixture.strip_prefix('\n').unwrap_or(fixture);
    let mut files = Files::new();
    let mut marks = Vec::new();
    let mut path = format!("{ROOT}/Dockerfile");
    for line in fixture.split_inclusive('\n') {
        if let Some(name) = line.strip_prefix("#- ") {
            path = facts::join(ROOT, name.trim());
            files.insert(path.clone(), String::new());
            continue;
        }
        let text = files.entry(path.clone()).or_default();
        let trimmed = line.trim_start_matches([' ', '\t']);
        let carets = trimmed.len() - trimmed.trim_start_matches('^').len();
        let message = trimmed[carets..].trim();
        if carets > 0 && ["warning: ", "error: ", "info: ", "hint: ", "note: "].iter().any(|it| message.starts_with(it)) {
            let start = line.len() - trimmed.len();
            marks.push(Mark { path: path.clone(), line: text.matches('\n').count(), start, end: start + carets, text: message.to_owned() });
        } else {
            text.push_str(line);
        }
    }
    (files, marks)
}

/// Hands the workspace of a fixture over to `tests/builder/fixes`, which looks for safe fixes in it and builds before and
/// after, if the environment names a folder for it. The fixtures stand in tests of this crate, where no other program
/// sees them; and only what a test has put together is what it really checks, marks taken out and parts filled in.
fn hand_over(files: &Files) {
    let Ok(folder) = env::var("LAYERWISE_FIXTURES") else { return };
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    let text = serde_json::to_string(files).expect("text");
    fs::write(format!("{folder}/{:016x}.json", hasher.finish()), text).expect("a folder that can be written");
}

fn snapshot(files: &Files) -> Snapshot {
    let mut host = Host::default();
    host.set_roots([ROOT.to_owned()]);
    for (path, text) in files {
        host.learn_text(path, Text::Known(text.as_str().into()));
    }
    settle(&mut host, files);
    host.snapshot()
}

/// Gives the rules what they ask of the disk, until they ask for nothing more.
fn settle(host: &mut Host, files: &Files) {
    for _ in 0..16 {
        let snapshot = host.snapshot();
        for path in files.keys() {
            run(&snapshot, path, &config(&snapshot, path), Repairs::Made);
        }
        let wanted = snapshot.facts.take_wanted();
        if wanted.is_empty() {
            return;
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

/// What the fixture's `.layerwise.yaml` says, if it has one. Rules that are off unless one asks for
/// them are hints here, so that they can be tested.
fn config(snapshot: &Snapshot, path: &str) -> Arc<Config> {
    let known: Vec<&str> = ALL.iter().map(|it| it.name).collect();
    let asked: serde_json::Map<_, _> = ALL.iter().filter(|it| it.level == Level::Off).map(|it| (it.name.to_owned(), "hint".into())).collect();
    let (editor, _) = Settings::read(&serde_json::json!({ "rules": asked }), &known);
    let mut configs = Configs::new(known);
    configs.editor = editor;
    configs.of(snapshot, path)
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

fn all(files: &Files) -> Vec<Diagnostic> {
    let snapshot = snapshot(files);
    files.keys().flat_map(|path| run(&snapshot, path, &config(&snapshot, path), Repairs::Made)).collect()
}

fn of<'d>(found: &'d [Diagnostic], rule: &Rule) -> Vec<&'d Diagnostic> {
    found.iter().filter(|it| it.rule == rule.name).collect()
}

fn mark(files: &Files, path: &str, span: Span, text: String) -> Mark {
    let source = files.get(path).map_or("", String::as_str);
    let line_start = source[..span.start].rfind('\n').map_or(0, |it| it + 1);
    let line_end = source[span.start..].find('\n').map_or(source.len(), |it| span.start + it);
    Mark {
        path: path.to_owned(),
        line: source[..span.start].matches('\n').count() + 1,
        start: span.start - line_start,
        end: span.end.min(line_end) - line_start,
        text,
    }
}

/// Demands exactly the marked findings of `rule`. Findings of other rules are not looked at.
#[track_caller]
pub(crate) fn check(rule: &Rule, fixture: &str) {
    let (files, mut expected) = parse(fixture);
    hand_over(&files);
    let found = all(&files);
    let mut actual = Vec::new();
    for it in of(&found, rule) {
        actual.push(mark(&files, &it.at.path, it.at.span, format!("{}: {}", it.level.word(), it.message)));
        actual.extend(it.notes.iter().map(|it| mark(&files, &it.at.path, it.at.span, format!("note: {}", it.message))));
    }
    expected.sort();
    actual.sort();
    assert_eq!(show(&expected), show(&actual), "\n(left: marked, right: found)\n{fixture}");
    for diagnostic in of(&found, rule) {
        for fix in &diagnostic.fixes {
            check_one_fix(&files, &found, diagnostic, fix);
        }
    }
}

fn show(marks: &[Mark]) -> Vec<String> {
    marks.iter().map(|it| format!("{}:{}:{}-{} {}", it.path, it.line, it.start + 1, it.end + 1, it.text)).collect()
}

/// [`check`], and demands that the safe fixes of `rule`, applied until none is left, make `after`
/// of the first file that they change.
#[track_caller]
pub(crate) fn check_fix(rule: &Rule, before: &str, after: &str) {
    check(rule, before);
    let (files, _) = parse(before);
    let mut fixed = files.clone();
    for _ in 0..10 {
        let found = all(&fixed);
        let next = of(&found, rule).into_iter().flat_map(|it| &it.fixes).find(|it| it.safety() == Safety::Safe).cloned();
        let Some(fix) = next else { break };
        fixed = apply(&fixed, &fix);
    }
    compare(&files, &fixed, after);
}

/// [`check`], and demands that the first fix of the first finding of `rule` is unsafe and makes `after`.
#[track_caller]
pub(crate) fn check_unsafe_fix(rule: &Rule, before: &str, after: &str) {
    check(rule, before);
    let (files, _) = parse(before);
    let found = all(&files);
    let fix = of(&found, rule).first().and_then(|it| it.fixes.first()).expect("a fix").clone();
    assert_eq!(fix.safety(), Safety::Unsafe);
    compare(&files, &apply(&files, &fix), after);
}

/// Runs all rules, and applies every fix to see that its edits fit.
#[track_caller]
pub(crate) fn check_no_panic(fixture: &str) {
    let (files, _) = parse(fixture);
    for fix in all(&files).iter().flat_map(|it| &it.fixes) {
        apply(&files, fix);
    }
}

/// [`check`], and demands that no finding of `rule` has a fix.
#[track_caller]
pub(crate) fn check_without_fix(rule: &Rule, fixture: &str) {
    check(rule, fixture);
    let (files, _) = parse(fixture);
    assert!(of(&all(&files), rule).iter().all(|it| it.fixes.is_empty()), "a fix that was not expected");
}

/// The titles of the fixes of `rule`.
pub(crate) fn titles(rule: &Rule, fixture: &str) -> Vec<String> {
    let (files, _) = parse(fixture);
    of(&all(&files), rule).into_iter().flat_map(|it| &it.fixes).map(|it| it.title().to_owned()).collect()
}

/// A workflow file `ci.yml` whose one job has these steps.
pub(crate) fn steps(steps: &str) -> String {
    let indented: String = steps.lines().map(|it| format!("      {it}\n")).collect();
    format!("#- .github/workflows/ci.yml\non: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n{indented}")
}

/// A workflow file `ci.yml` that builds with these inputs, in BuildKit's own container.
pub(crate) fn build_step(with: &str) -> String {
    let indented: String = with.lines().map(|it| format!("    {it}\n")).collect();
    steps(&format!("- uses: docker/setup-buildx-action@v4\n- uses: docker/build-push-action@v7\n  with:\n{indented}"))
}

/// A composite action `build` that takes a `target`, and builds with these inputs; with a workflow that
/// calls it once for each of `targets`.
pub(crate) fn build_action(with: &str, targets: &[&str]) -> String {
    let indented: String = with.lines().map(|it| format!("        {it}\n")).collect();
    let calls: String = targets.iter().map(|it| format!("\n- uses: ./.github/actions/build\n  with: {{target: {it}}}")).collect();
    let head = "name: Build\ninputs:\n  target: {default: ''}\nruns:\n  using: composite\n  steps:\n    - uses: docker/setup-buildx-action@v4\n    - uses: docker/build-push-action@v7\n      with:\n";
    format!("#- .github/actions/build/action.yml\n{head}{indented}{}", steps(&format!("- uses: actions/checkout@v6{calls}")))
}

/// The fixture with a mark below the first line that has `part`.
pub(crate) fn marked(fixture: &str, part: &str, text: &str) -> String {
    let at = fixture.find(part).unwrap_or_else(|| panic!("{part:?} is not in the fixture"));
    let line_start = fixture[..at].rfind('\n').map_or(0, |it| it + 1);
    let line_end = fixture[at..].find('\n').map_or(fixture.len(), |it| at + it + 1);
    let (before, after) = fixture.split_at(line_end);
    format!("{before}{}{} {text}\n{after}", " ".repeat(at - line_start), "^".repeat(part.len()))
}

#[track_caller]
fn compare(files: &Files, fixed: &Files, after: &str) {
    let after = after.strip_prefix('\n').unwrap_or(after);
    let (expected, _) = parse(after);
    let changed: Files = fixed.iter().filter(|(path, text)| files.get(*path) != Some(*text)).map(|(path, text)| (path.clone(), text.clone())).collect();
    if after.starts_with("#- ") {
        assert_eq!(expected, changed, "\n(left: expected, right: fixed)");
    } else {
        let (_, text) = changed.iter().next().expect("a changed file");
        assert_eq!(after, text, "\n(left: expected, right: fixed)");
        assert_eq!(changed.len(), 1);
    }
}

fn apply(files: &Files, fix: &Fix) -> Files {
    let mut res = files.clone();
    for edits in fix.files() {
        let path = edits.path.to_string();
        assert_eq!(edits.create, !files.contains_key(&path), "a file is created if it is not there");
        let text = edits.edits.apply(files.get(&path).map_or("", String::as_str));
        res.insert(path, text);
    }
    res
}

/// What holds for every fix in the repository (design.md B.8).
#[track_caller]
fn check_one_fix(files: &Files, found: &[Diagnostic], diagnostic: &Diagnostic, fix: &Fix) {
    let fixed = apply(files, fix);
    assert!(fix.title().starts_with(char::is_uppercase) && !fix.title().ends_with('.'), "{:?} is no title", fix.title());
    for edits in fix.files() {
        let snapshot = snapshot(files);
        let Some(file) = snapshot.file(&edits.path) else { continue };
        let before = File::new(file.kind, file.text(), Some(1));
        let is_broken = before.is_broken();
        let mut document = before.document.clone();
        document.apply(&edits.edits);
        let edited = before.edited(document, 2);
        let fresh = File::new(file.kind, &fixed[&*edits.path], Some(2));
        let sexp = |it: &File| it.document.tree().map(|it| it.root_node().to_sexp());
        assert_eq!(sexp(&edited), sexp(&fresh), "incremental and fresh parse differ after {:?}", fix.title());
        assert_eq!(edited.model.yaml(), fresh.model.yaml(), "incremental and fresh parse differ after {:?}", fix.title());
        assert!(!fresh.is_broken() || is_broken, "{:?} breaks the syntax:\n{}", fix.title(), fixed[&*edits.path]);
    }
    if fix.safety() == Safety::Safe {
        check_order(files, &fixed, fix);
    }
    let after = all(&fixed);
    let still = of(&after, rule_of(diagnostic)).iter().filter(|it| it.message == diagnostic.message && it.at.path == diagnostic.at.path).count();
    let before = of(found, rule_of(diagnostic)).iter().filter(|it| it.message == diagnostic.message && it.at.path == diagnostic.at.path).count();
    assert!(still < before, "{:?} leaves the finding {:?}:\n{}", fix.title(), diagnostic.message, fixed.values().cloned().collect::<String>());
    for it in &after {
        // An opportunity may arise where a command becomes whole.
        let known = it.level <= Level::Hint || found.iter().any(|old| old.rule == it.rule && old.at.path == it.at.path);
        assert!(known, "{:?} brings a new finding: {} {:?}", fix.title(), it.rule, it.message);
    }
}

/// Of any two instructions that conflict, the one that came first still does, unless all it did for
/// the other was to bring a file that something else brings now.
#[track_caller]
fn check_order(files: &Files, fixed: &Files, fix: &Fix) {
    let (before, after) = (snapshot(files), snapshot(fixed));
    for path in fix.files().iter().map(|it| &it.path) {
        let (Some(View::Dockerfile(old)), Some(View::Dockerfile(new))) =
            (View::new(&before, path, &config(&before, path)), View::new(&after, path, &config(&after, path)))
        else {
            continue;
        };
        for (old, new) in old.plans().zip(new.plans()) {
            let text = |snapshot: &Snapshot, step: &Step<'_>| snapshot.file(path).map_or_else(String::new, |it| step.instruction.span.of(it.text()).to_owned());
            let place = |step: &Step<'_>| new.steps.iter().position(|it| text(&after, it) == text(&before, step));
            for (first, earlier) in old.steps.iter().enumerate() {
                for later in &old.steps[first + 1..] {
                    let (Some(a), Some(b)) = (place(earlier), place(later)) else { continue };
                    let brought = |it: &Conflict| matches!(it, Conflict::Needs(Place::File(file)) if new.provider(file, b).is_some());
                    let kept = a < b || earlier.effects.conflicts(&later.effects).iter().all(brought);
                    assert!(kept, "{:?} changes the order of {:?} and {:?}", fix.title(), text(&before, earlier), text(&before, later));
                }
            }
        }
    }
}

fn rule_of(diagnostic: &Diagnostic) -> &'static Rule {
    ALL.iter().find(|it| it.name == diagnostic.rule).expect("a rule of the table")
}

/// The examples of a page: `bad` has a finding of the rule, `good` has none, and the safe fix of
/// the last `bad` makes `fixed`.
pub(crate) fn check_page(rule: &Rule) {
    let mut last: Option<Files> = None;
    for (kind, text) in examples(rule.doc) {
        let (files, _) = parse(&text);
        hand_over(&files);
        let found = all(&files);
        let count = of(&found, rule).len();
        match kind.as_str() {
            "bad" => {
                assert!(count > 0, "{}: an example that is bad has no finding:\n{text}", rule.name);
                last = Some(files);
            }
            "good" => assert_eq!(count, 0, "{}: an example that is good has a finding:\n{text}", rule.name),
            "fixed" => {
                let before = last.take().expect("a bad example before the fixed one");
                let mut fixed = before.clone();
                for _ in 0..10 {
                    let found = all(&fixed);
                    let Some(fix) = of(&found, rule).into_iter().flat_map(|it| &it.fixes).find(|it| it.safety() == Safety::Safe).cloned() else { break };
                    fixed = apply(&fixed, &fix);
                }
                compare(&before, &fixed, &text);
                assert_eq!(of(&all(&fixed), rule).len(), 0, "{}: the fixed example has a finding", rule.name);
            }
            other => panic!("{}: {other:?} is no kind of example", rule.name),
        }
    }
}

/// The code blocks of a page whose language ends in `,bad`, `,good` or `,fixed`.
fn examples(doc: &str) -> Vec<(String, String)> {
    let mut res = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in doc.lines() {
        let line = line.strip_prefix(' ').unwrap_or(line);
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => res.extend(open.take().filter(|(kind, _)| !kind.is_empty())),
            (None, Some(info)) => open = Some((info.split_once(',').map_or("", |it| it.1).to_owned(), String::new())),
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    res
}
