//! The state of all files: a host that changes, and snapshots of it that never do.
//!
//! A file that is open in the editor stands in front of the one on disk, so that unsaved edits count
//! wherever the text is asked for. The two are kept apart: a keystroke copies the list of the open
//! files only, however many files the workspace has.

use crate::facts::{self, Facts, Text, Tree};
use crate::file::{File, Kind};
use crate::links;
use crate::text::Document;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

type Files = Arc<BTreeMap<Arc<str>, Arc<File>>>;

/// One consistent state of all files. Cheap to clone, safe to send, never changes.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    open: Files,
    disk: Files,
    /// What is known of the disk.
    pub facts: Facts,
    /// What builds say of Dockerfiles.
    pub links: Arc<links::Index>,
    roots: Arc<[String]>,
    /// Other paths of files, each with the one that the file is known by.
    links_on_disk: Arc<BTreeMap<String, String>>,
}

impl Snapshot {
    /// The file at `path`, as the editor has it, else as it is on disk; `None` where it was not
    /// loaded.
    pub fn file(&self, path: &str) -> Option<&Arc<File>> {
        self.entry(path).map(|it| it.1)
    }

    /// The path and the file at `path`, as the editor has it, else as it is on disk.
    pub fn entry(&self, path: &str) -> Option<(&Arc<str>, &Arc<File>)> {
        let path = self.real(path);
        self.open.get_key_value(path).or_else(|| self.disk.get_key_value(path))
    }

    /// The path that the file at `path` is known by: another one where that is a symbolic link.
    pub fn real<'p>(&'p self, path: &'p str) -> &'p str {
        self.links_on_disk.get(path).map_or(path, String::as_str)
    }

    /// The other paths of the file that is known by `path`.
    pub fn other_paths<'p>(&'p self, path: &'p str) -> impl Iterator<Item = &'p str> {
        self.links_on_disk.iter().filter(move |(_, it)| *it == path).map(|it| it.0.as_str())
    }

    /// All loaded files, in no particular order.
    pub fn files(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<File>)> {
        self.open.iter().chain(self.disk.iter().filter(|(path, _)| !self.open.contains_key(*path)))
    }

    /// The files that are open in the editor, by path.
    pub fn open(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<File>)> {
        self.open.iter()
    }

    /// The text of a file, unsaved edits included; `None` where it is not known yet.
    pub fn text(&self, path: &str) -> Option<Text> {
        match self.file(path) {
            Some(file) => Some(Text::Known(file.text().clone())),
            None => self.facts.text(path).cloned(),
        }
    }

    /// Folders of repositories and of the workspace, outer ones first.
    pub fn roots(&self) -> &[String] {
        &self.roots
    }

    /// The innermost root that `path` lies in; the folder of a file that lies in none.
    pub fn root<'a>(&'a self, path: &'a str) -> &'a str {
        self.root_of_folder(facts::parent(path))
    }

    /// The innermost root that a folder lies in; the folder itself where it lies in none.
    pub fn root_of_folder<'a>(&'a self, folder: &'a str) -> &'a str {
        self.roots.iter().rev().find(|it| facts::is_below(folder, it)).map_or(folder, String::as_str)
    }

    /// Whether the workflow at `path` is run: services look at the root of a repository only, so
    /// that one below it, of a vendored project for example, never is. An action is run as well where
    /// somebody calls it.
    pub fn runs(&self, path: &str) -> bool {
        if links::is_action(path) && self.links.is_called(facts::parent(path)) {
            return true;
        }
        let base = links::base(path);
        let root = self.root(path);
        base == root || !facts::is_below(base, root)
    }

    /// The same state, where what is asked of the disk and not known is listed apart.
    pub fn apart(&self) -> Snapshot {
        Snapshot { facts: self.facts.apart(), ..self.clone() }
    }
}

/// The owner of the current state. Not shared; hands out snapshots.
#[derive(Debug, Default)]
pub struct Host {
    current: Snapshot,
    stale: BTreeSet<String>,
    /// How many are reading the disk, and what changed there since the first of them began.
    readers: usize,
    changed: Vec<String>,
}

/// How deep GitHub lets actions call each other.
const MOST_NESTED: usize = 10;

/// The most changes that are told apart while somebody reads.
const MOST_CHANGES: usize = 1000;

impl Host {
    /// A host that starts from a state, to try something out.
    pub fn of(snapshot: &Snapshot) -> Host {
        Host { current: snapshot.apart(), ..Host::default() }
    }

    /// The state as it is now.
    pub fn snapshot(&self) -> Snapshot {
        self.current.clone()
    }

    /// Somebody reads the disk from now on; the mark is for [`Host::end_reading`].
    pub fn begin_reading(&mut self) -> usize {
        self.readers += 1;
        self.changed.len()
    }

    /// The files and folders that changed since `mark`: what was read of them may be out of date.
    pub fn end_reading(&mut self, mark: usize) -> Vec<String> {
        self.readers = self.readers.saturating_sub(1);
        let since = self.changed.get(mark..).unwrap_or_default().to_vec();
        if self.readers == 0 {
            self.changed.clear();
        }
        since
    }

    /// The file is to be read again.
    pub fn set_stale(&mut self, path: &str) {
        self.stale.insert(path.to_owned());
    }

    fn note_change(&mut self, path: &str) {
        match self.changed.len() {
            _ if self.readers == 0 => {}
            // Everything lies below the root.
            MOST_CHANGES.. => self.changed.iter_mut().for_each(|it| *it = "/".to_owned()),
            _ => self.changed.push(path.to_owned()),
        }
    }

    /// Replaces the roots.
    pub fn set_roots(&mut self, roots: impl IntoIterator<Item = String>) {
        let sorted: BTreeSet<String> = roots.into_iter().collect();
        self.current.roots = sorted.into_iter().collect();
    }

    /// Adds a root; `false` if it is one already.
    pub fn add_root(&mut self, root: &str) -> bool {
        let known = self.current.roots.iter().any(|it| it == root);
        if !known {
            self.set_roots(self.current.roots.iter().cloned().chain([root.to_owned()]).collect::<Vec<_>>());
        }
        !known
    }

    /// The file at `path` is the one at `real`, to which a symbolic link leads: one file under two names would be
    /// looked at, and changed, twice. `false` if that is known.
    pub fn set_link(&mut self, path: &str, real: &str) -> bool {
        let is_new = self.current.real(path) != real && self.current.real(real) != path;
        if is_new {
            self.remove(path);
            Arc::make_mut(&mut self.current.links_on_disk).insert(path.to_owned(), real.to_owned());
        }
        is_new
    }

    /// Sets a file. One with a version is the editor's, any other the disk's. Of a file that the editor
    /// has, that on disk is not kept: it would take as much memory again, and nobody asks for it.
    pub fn set(&mut self, path: &str, file: File) {
        let of_editor = file.version.is_some();
        self.replace(path, of_editor, Some(Arc::new(file)));
        if of_editor {
            self.let_go(path);
        }
    }

    /// The editor opens a file; `version` is its count of changes.
    pub fn open(&mut self, path: &str, kind: Kind, text: &str, version: i32) {
        self.let_go(path);
        self.set(path, File::new(kind, text, Some(version)));
    }

    /// Forgets what a file on disk means, before there is a second model of it.
    fn let_go(&mut self, path: &str) {
        if self.current.disk.contains_key(path) {
            Arc::make_mut(&mut self.current.disk).remove(path);
        }
    }

    /// Changes the text of an open file. `false` if it is not open.
    pub fn edit(&mut self, path: &str, version: i32, change: impl FnOnce(&mut Document)) -> bool {
        let Some(mut document) = self.current.open.get(path).map(|it| it.document.clone()) else { return false };
        // Whatever happens here, the file is still what it was.
        change(&mut document);
        let Some(file) = Arc::make_mut(&mut self.current.open).remove(path) else { return false };
        // Two models of a large file are more than all else that a server remembers.
        let file = Arc::unwrap_or_clone(file);
        self.set(path, file.edited(document, version));
        true
    }

    /// The editor gives a file back. What the disk has is to be read again; until then what the editor had
    /// stands for it, lest what refers to it finds nothing for a moment.
    pub fn close(&mut self, path: &str) {
        let last = self.current.open.get(path).filter(|it| it.kind.is_checked()).cloned();
        self.replace(path, true, None);
        if let Some(last) = last {
            self.replace(path, false, Some(Arc::new(last.closed())));
        }
        self.disk_changed(path);
    }

    /// A file is gone from the disk.
    pub fn remove(&mut self, path: &str) {
        self.replace(path, false, None);
    }

    fn replace(&mut self, path: &str, of_editor: bool, file: Option<Arc<File>>) {
        if of_editor {
            // What means nothing by itself, such as a manifest, is read by its text alone.
            let text = file.as_ref().filter(|it| it.kind == Kind::Other).map(|it| it.text().clone());
            self.current.facts.set_open(path, text);
        }
        let files = Arc::make_mut(if of_editor { &mut self.current.open } else { &mut self.current.disk });
        match file {
            Some(file) => drop(files.insert(path.into(), file)),
            None => drop(files.remove(path)),
        }
        let new = self.current.file(path).cloned();
        let mut called = Arc::make_mut(&mut self.current.links).replace(path, new.as_deref());
        match new.map(|it| it.kind) {
            Some(Kind::Action) => called.push(facts::parent(path).to_owned()),
            Some(Kind::Workflow) => called.push(path.to_owned()),
            _ => {}
        }
        self.give(called);
    }

    /// Gives the actions in some folders, and the workflows of some paths, what their calls say now, and so
    /// those that they call themselves. One that is in a circle with itself is given only so much.
    fn give(&mut self, mut folders: Vec<String>) {
        let mut given: BTreeMap<String, usize> = BTreeMap::new();
        while let Some(folder) = folders.pop() {
            let times = given.entry(folder.clone()).or_default();
            *times += 1;
            if *times > MOST_NESTED || given.len() > MOST_CHANGES {
                continue;
            }
            let actions = ["action.yml", "action.yaml"].map(|it| (Kind::Action, facts::join(&folder, it)));
            for (kind, path) in [(Kind::Workflow, folder.clone())].into_iter().chain(actions) {
                let Some(old) = self.current.file(&path).filter(|it| it.kind == kind).cloned() else { continue };
                let calls = self.current.links.given(&folder);
                if old.calls == calls {
                    continue;
                }
                let new = Arc::new(old.with_calls(calls));
                let files = Arc::make_mut(if old.version.is_some() { &mut self.current.open } else { &mut self.current.disk });
                files.insert(path.as_str().into(), new.clone());
                folders.extend(Arc::make_mut(&mut self.current.links).replace(&path, Some(&new)));
            }
        }
    }

    /// Learns the text of a file on disk. A file of ours is made of it too. Says whether one was
    /// made or went away, so that files that were checked before may have other findings.
    pub fn learn_text(&mut self, path: &str, text: Text) -> bool {
        let kind = self.current.links.kind(path);
        let loaded = self.current.disk.contains_key(path);
        let changed = match &text {
            Text::Known(_) if self.current.open.contains_key(path) => false,
            // What the editor has given back is most often what it has saved.
            Text::Known(it) if self.current.disk.get(path).is_some_and(|known| known.kind == kind && **known.text() == **it) => false,
            Text::Known(it) if kind.is_checked() || loaded => {
                self.let_go(path);
                self.set(path, File::new(kind, it, None));
                true
            }
            Text::Missing | Text::Unreadable if loaded => {
                self.remove(path);
                true
            }
            _ => false,
        };
        self.current.facts.set_text(path, text);
        changed
    }

    /// Learns the files below a folder.
    pub fn learn_tree(&mut self, folder: &str, tree: Tree) {
        self.current.facts.set_tree(folder, tree);
    }

    /// Something happened to `path`, a file or a folder, on disk. Says whether it can matter.
    pub fn disk_changed(&mut self, path: &str) -> bool {
        self.note_change(path);
        let known = self.current.facts.forget(path);
        let below = self.current.disk.range::<str, _>((Bound::Included(path), Bound::Unbounded)).map(|(it, _)| &**it).take_while(|it| it.starts_with(path));
        let mut ours: Vec<String> = below.filter(|it| facts::is_below(it, path)).map(str::to_owned).collect();
        if ours.is_empty() && self.current.links.kind(path).is_checked() {
            ours.push(path.to_owned());
        }
        let matters = known || !ours.is_empty();
        self.stale.extend(ours);
        matters
    }

    /// The folder is no part of the workspace any more.
    pub fn drop_below(&mut self, folder: &str) {
        let gone: Vec<Arc<str>> = self.current.disk.keys().filter(|it| facts::is_below(it, folder)).cloned().collect();
        gone.iter().for_each(|it| self.remove(it));
        self.current.facts.forget(folder);
    }

    /// Nothing that is known of the disk can be relied on.
    pub fn disk_unknown(&mut self) {
        self.note_change("/");
        self.current.facts.clear();
        self.stale.extend(self.current.disk.keys().map(|it| it.to_string()));
    }

    /// Takes the paths of the files that have to be read again.
    pub fn take_stale(&mut self) -> Vec<String> {
        std::mem::take(&mut self.stale).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::Edit;
    use crate::file::Model;

    #[test]
    fn a_manifest_in_the_editor_stands_in_front_of_the_disk() {
        let mut host = Host::default();
        let text = |host: &Host| host.snapshot().facts.text("/w/package.json").cloned();
        host.learn_text("/w/package.json", Text::Known("{}".into()));
        host.open("/w/package.json", Kind::Other, "{1}", 1);
        host.learn_text("/w/package.json", Text::Known("{2}".into()));
        assert_eq!(text(&host), Some(Text::Known("{1}".into())));
        host.close("/w/package.json");
        assert_eq!(text(&host), None);
    }

    #[test]
    fn a_file_behind_a_link_is_one() {
        let mut host = Host::default();
        for path in ["/w/Dockerfile", "/w/docker/Dockerfile"] {
            host.set(path, File::new(Kind::Dockerfile, "FROM a\n", None));
        }
        assert!(host.set_link("/w/Dockerfile", "/w/docker/Dockerfile"));
        assert!(!host.set_link("/w/Dockerfile", "/w/docker/Dockerfile"));
        assert!(!host.set_link("/w/docker/Dockerfile", "/w/Dockerfile"));
        let snapshot = host.snapshot();
        assert_eq!(snapshot.entry("/w/Dockerfile").map(|it| &**it.0), Some("/w/docker/Dockerfile"));
        assert_eq!(snapshot.files().count(), 1);
        assert_eq!(snapshot.other_paths("/w/docker/Dockerfile").collect::<Vec<_>>(), ["/w/Dockerfile"]);
        assert_eq!(snapshot.other_paths("/w/Dockerfile").count(), 0);
    }

    #[test]
    fn the_editor_stands_in_front_of_the_disk() {
        let mut host = Host::default();
        host.learn_text("/Dockerfile", Text::Known("FROM a\n".into()));
        host.open("/Dockerfile", Kind::Dockerfile, "FROM b\n", 1);
        host.learn_text("/Dockerfile", Text::Known("FROM c\n".into()));
        assert_eq!(host.snapshot().text("/Dockerfile"), Some(Text::Known("FROM b\n".into())));
        assert_eq!(host.snapshot().files().count(), 1);
        host.close("/Dockerfile");
        assert_eq!(host.snapshot().text("/Dockerfile"), Some(Text::Known("FROM b\n".into())), "until the disk is read");
        assert_eq!(host.take_stale(), ["/Dockerfile"]);
        host.learn_text("/Dockerfile", Text::Known("FROM c\n".into()));
        assert_eq!(host.snapshot().text("/Dockerfile"), Some(Text::Known("FROM c\n".into())));
        host.learn_text("/Dockerfile", Text::Missing);
        assert_eq!(host.snapshot().text("/Dockerfile"), Some(Text::Missing));
    }

    #[test]
    fn what_the_disk_has_already_given_is_no_change() {
        let mut host = Host::default();
        assert!(host.learn_text("/Dockerfile", Text::Known("FROM a\n".into())));
        assert!(!host.learn_text("/Dockerfile", Text::Known("FROM a\n".into())));
        assert!(host.learn_text("/Dockerfile", Text::Known("FROM b\n".into())));
        host.open("/Dockerfile", Kind::Dockerfile, "FROM c\n", 1);
        host.close("/Dockerfile");
        assert!(!host.learn_text("/Dockerfile", Text::Known("FROM c\n".into())), "it was saved");
        host.open("/Dockerfile", Kind::Other, "FROM c\n", 1);
        host.close("/Dockerfile");
        assert!(host.learn_text("/Dockerfile", Text::Known("FROM c\n".into())), "the editor took it for something else");
        assert!(matches!(host.snapshot().file("/Dockerfile").unwrap().model, Model::Dockerfile(_)));
    }

    #[test]
    fn a_snapshot_does_not_change() {
        let mut host = Host::default();
        host.open("/Dockerfile", Kind::Dockerfile, "FROM a\n", 1);
        let before = host.snapshot();
        assert!(host.edit("/Dockerfile", 2, |it| it.edit(&Edit::insert(6, "b"))));
        assert!(!host.edit("/other", 2, |_| {}));
        assert_eq!(before.text("/Dockerfile"), Some(Text::Known("FROM a\n".into())));
        assert_eq!(host.snapshot().text("/Dockerfile"), Some(Text::Known("FROM ab\n".into())));
    }

    #[test]
    fn a_change_on_disk_matters_only_where_it_was_asked_about() {
        let mut host = Host::default();
        assert!(!host.disk_changed("/src/main.c"));
        host.learn_tree("/src", Tree::default());
        assert!(host.disk_changed("/src/main.c"));
        assert!(host.disk_changed("/x/.github/workflows/new.yml"));
        assert_eq!(host.take_stale(), ["/x/.github/workflows/new.yml"]);
    }

    #[test]
    fn whoever_reads_is_told_what_changed_meanwhile() {
        let mut host = Host::default();
        host.disk_changed("/before");
        let first = host.begin_reading();
        host.disk_changed("/a");
        let second = host.begin_reading();
        host.disk_unknown();
        assert_eq!(host.end_reading(first), ["/a", "/"]);
        assert_eq!(host.end_reading(second), ["/"]);
        assert_eq!(host.begin_reading(), 0);
        for number in 0..2 * MOST_CHANGES {
            host.disk_changed(&format!("/{number}"));
        }
        assert!(host.end_reading(0).contains(&"/".to_owned()));
    }

    #[test]
    fn actions_are_given_what_their_calls_say_now() {
        let mut host = Host::default();
        let action = |inner: &str| {
            format!(
                "inputs: {{app: {{}}}}\nruns:\n  using: composite\n  steps:\n    - {inner}\n      with: {{app: '${{{{ inputs.app }}}}', target: '${{{{ inputs.app }}}}'}}\n"
            )
        };
        let workflow = |app: &str| format!("on: push\njobs:\n  a:\n    steps:\n      - uses: ./.github/actions/outer\n        with: {{app: {app}}}\n");
        let set = |host: &mut Host, path: &str, text: &str| host.learn_text(path, Text::Known(text.into()));
        let (outer, inner, ci) = ("/r/.github/actions/outer/action.yml", "/r/.github/actions/inner/action.yaml", "/r/.github/workflows/ci.yml");
        set(&mut host, inner, &action("uses: docker/build-push-action@v7"));
        set(&mut host, ci, &workflow("x"));
        set(&mut host, outer, &action("uses: ./.github/actions/inner"));
        let target = |host: &Host| host.snapshot().file(inner).unwrap().builds()[0].build.target.as_ref().unwrap().known();
        assert_eq!(target(&host).as_deref(), Some("x"));
        set(&mut host, ci, &workflow("y"));
        assert_eq!(target(&host).as_deref(), Some("y"));
        host.open(ci, Kind::Workflow, &workflow("z"), 1);
        assert_eq!(target(&host).as_deref(), Some("z"));
        host.close(ci);
        set(&mut host, ci, &workflow("y"));
        assert_eq!(target(&host).as_deref(), Some("y"));
        host.remove(ci);
        assert_eq!(target(&host), None);
    }

    #[test]
    fn workflows_are_given_what_their_calls_say_now() {
        let mut host = Host::default();
        let called = "on: {workflow_call: {inputs: {app: {type: string}}}}\njobs:\n  a:\n    steps:\n      - uses: docker/build-push-action@v7\n        with: {context: '${{ inputs.app }}'}\n";
        let caller = |app: &str| format!("on: push\njobs:\n  a:\n    uses: ./.github/workflows/build.yml\n    with: {{app: {app}}}\n");
        let (build, ci) = ("/r/.github/workflows/build.yml", "/r/.github/workflows/ci.yml");
        host.learn_text(ci, Text::Known(caller("x").into()));
        host.learn_text(build, Text::Known(called.into()));
        let builds = |host: &Host, app: &str| host.snapshot().links.builds_of(&format!("/r/{app}/Dockerfile")).len();
        assert_eq!(builds(&host, "x"), 1);
        host.open(ci, Kind::Workflow, &caller("y"), 1);
        assert_eq!((builds(&host, "x"), builds(&host, "y")), (0, 1));
        let before = host.snapshot().file(build).cloned().unwrap();
        assert!(host.edit(ci, 2, |it| it.edit(&Edit::insert(0, "# A comment.\n"))));
        assert!(Arc::ptr_eq(&before, host.snapshot().file(build).unwrap()));
        host.close(ci);
        host.remove(ci);
        assert_eq!(builds(&host, "y"), 0);
    }

    #[test]
    fn actions_in_a_circle_end() {
        let mut host = Host::default();
        let action = "inputs: {app: {}}\nruns:\n  using: composite\n  steps:\n    - uses: ./.github/actions/a\n      with: {app: '${{ inputs.app }}-x'}\n    - uses: ./.github/actions/b\n      with: {app: '${{ inputs.app }}-y'}\n";
        for path in ["/r/.github/actions/a/action.yml", "/r/.github/actions/b/action.yml"] {
            host.learn_text(path, Text::Known(action.into()));
        }
        host.learn_text(
            "/r/.github/workflows/ci.yml",
            Text::Known("on: push\njobs:\n  a:\n    steps:\n      - uses: ./.github/actions/a\n        with: {app: x}\n".into()),
        );
        assert!(host.snapshot().file("/r/.github/actions/b/action.yml").unwrap().calls.len() > 1);
    }

    #[test]
    fn the_innermost_root_holds_a_file() {
        let mut host = Host::default();
        host.set_roots(["/w".into(), "/w/sub".into()]);
        assert!(!host.add_root("/w"));
        let snapshot = host.snapshot();
        assert_eq!(snapshot.root("/w/sub/x/Dockerfile"), "/w/sub");
        assert_eq!(snapshot.root("/w/submarine"), "/w");
        assert_eq!(snapshot.root("/else/Dockerfile"), "/else");
    }
}
