//! The only reader and writer of the disk.
//!
//! Inside the program a path is a text: absolute, with `/`, cleaned of `.` and `..`; on Windows with
//! the drive as its first part (`/C:/src`). A path whose first part begins with `:` is no file at
//! all but a buffer of the editor ([`VIRTUAL`]), and nothing is read for it.
//!
//! What is read is bounded in size, count and depth, and lies inside the workspace: a symbolic link
//! that leads out of it is refused.

use crate::check::{self, Outcome, Repairs};
use crate::config::Configs;
use crate::facts::{self, Entry, Text, Tree, Want};
use crate::file::Kind;
use crate::snapshot::{Host, Snapshot};
use ignore::{WalkBuilder, WalkState};
use rayon::prelude::*;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::{error, fmt};

/// How a path begins that is no file.
pub const VIRTUAL: &str = "/:";

/// The largest text that is read, in bytes.
const MOST_BYTES: u64 = 4 << 20;

/// The most entries of a [`Tree`].
const MOST_ENTRIES: usize = 20_000;

/// The most entries that the search for workflows, compose and bake files of a root looks at.
const MOST_SEARCHED: usize = 200_000;

/// How deep a [`Tree`] goes.
const DEEPEST: usize = 32;

/// How often the answers to what rules ask may lead to new questions.
const ROUNDS: usize = 8;

/// Folders that are listed by name only: what tools install and build there is no source of an
/// image, changes all the time, and is by far the most of a workspace.
const UNLISTED: &[&str] = &[
    ".git",
    ".hg",
    ".svn",
    ".jj",
    "node_modules",
    "bower_components",
    "target",
    ".venv",
    "venv",
    "__pycache__",
    ".tox",
    ".nox",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".gradle",
    ".next",
    ".nuxt",
    ".turbo",
    ".terraform",
    ".direnv",
    ".yarn",
    ".pnpm-store",
];

/// Why something could not be read or written.
#[derive(Debug)]
pub struct Error {
    /// The path inside the program, or as the system gave it.
    pub path: String,
    /// What happened.
    pub cause: Cause,
}

/// What happened to a path.
#[derive(Debug)]
pub enum Cause {
    /// The system said so.
    Io(io::Error),
    /// It is not a file, but a folder or a device.
    NotAFile,
    /// It is larger than 4 MiB.
    TooLarge,
    /// It is not UTF-8: its text or its name.
    NotText,
    /// It leads out of the workspace.
    Outside,
    /// It is not what it was when it was checked.
    Changed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.cause {
            Cause::Io(err) => write!(f, "{path}: {err}"),
            Cause::NotAFile => write!(f, "{path}: not a file"),
            Cause::TooLarge => write!(f, "{path}: larger than 4 MiB"),
            Cause::NotText => write!(f, "{path}: not UTF-8"),
            Cause::Outside => write!(f, "{path}: outside the workspace"),
            Cause::Changed => write!(f, "{path}: changed while it was checked; left as it is"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.cause {
            Cause::Io(err) => Some(err),
            _ => None,
        }
    }
}

fn error(path: &str, cause: Cause) -> Error {
    Error { path: path.to_owned(), cause }
}

/// The system's path.
pub fn to_system(path: &str) -> PathBuf {
    let drive = cfg!(windows) && path.as_bytes().get(2) == Some(&b':');
    PathBuf::from(if drive { &path[1..] } else { path })
}

/// The path inside the program of an absolute path; `None` if its name is not UTF-8.
pub fn from_system(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    if !cfg!(windows) {
        return Some(facts::join("/", text));
    }
    let text = text.strip_prefix(r"\\?\").unwrap_or(text).replace('\\', "/");
    Some(facts::join("/", &text))
}

/// Whether a path stands for a buffer of the editor and not for a file.
pub fn is_virtual(path: &str) -> bool {
    path.starts_with(VIRTUAL)
}

/// Whether `path` lies in a folder that is never listed, so that what happens there does not matter.
pub fn is_unlisted(path: &str) -> bool {
    facts::parent(path).split('/').any(|it| UNLISTED.contains(&it))
}

/// The folder of the repository that `path` lies in: the nearest one at or above it that holds
/// `.git`.
pub fn repository(path: &str) -> Option<String> {
    if is_virtual(path) { None } else { Repositories::default().of(path) }
}

/// Repositories of many folders, each folder looked at once.
#[derive(Debug, Default)]
pub struct Repositories(HashMap<String, Option<String>>);

impl Repositories {
    /// The folder of the repository that `folder` lies in.
    pub fn of(&mut self, folder: &str) -> Option<String> {
        let mut below = Vec::new();
        let mut at = folder;
        let found = loop {
            if let Some(known) = self.0.get(at) {
                break known.clone();
            }
            below.push(at.to_owned());
            if to_system(&facts::join(at, ".git")).symlink_metadata().is_ok() {
                break Some(at.to_owned());
            }
            if at == "/" {
                break None;
            }
            at = facts::parent(at);
        };
        self.0.extend(below.into_iter().map(|it| (it, found.clone())));
        found
    }
}

/// The folders that may be read and written, links in their own paths resolved. Made for one
/// batch of reading: what paths resolve to is remembered.
#[derive(Debug)]
pub struct Roots {
    real: Vec<PathBuf>,
    /// What folders resolve to: most of what is read stands in few of them.
    folders: Mutex<HashMap<String, Option<PathBuf>>>,
}

impl Roots {
    /// Those of the folders that exist.
    pub fn of(folders: &[String]) -> Roots {
        Roots { real: folders.iter().filter_map(|it| to_system(it).canonicalize().ok()).collect(), folders: Mutex::default() }
    }

    /// The resolved path and what stands there, if it lies inside one of the roots.
    fn resolve(&self, path: &str) -> Result<(PathBuf, fs::Metadata), Cause> {
        if is_virtual(path) {
            return Err(Cause::Outside);
        }
        let mut real = match self.folder(facts::parent(path)) {
            Some(folder) => folder.join(facts::name(path)),
            None => to_system(path),
        };
        let mut metadata = real.symlink_metadata().map_err(Cause::Io)?;
        if metadata.is_symlink() {
            real = real.canonicalize().map_err(Cause::Io)?;
            metadata = real.metadata().map_err(Cause::Io)?;
        }
        if self.real.iter().any(|root| real.starts_with(root)) { Ok((real, metadata)) } else { Err(Cause::Outside) }
    }

    fn folder(&self, folder: &str) -> Option<PathBuf> {
        let mut known = self.folders.lock().unwrap_or_else(|it| it.into_inner());
        if let Some(it) = known.get(folder) {
            return it.clone();
        }
        let real = to_system(folder).canonicalize().ok();
        known.insert(folder.to_owned(), real.clone());
        real
    }
}

/// The path of the file that a symbolic link at `path`, or at a folder above it, leads to, if it lies in the folder
/// `root` as well; `None` where `path` is that path.
pub fn behind_link(path: &str, root: &str, roots: &Roots) -> Option<String> {
    let (real, metadata) = roots.resolve(path).ok()?;
    let (real, top) = (from_system(&real)?, from_system(&roots.folder(root)?)?);
    let real = facts::join(root, facts::relative(&real, &top)?);
    (metadata.is_file() && real != path).then_some(real)
}

/// Reads a text.
///
/// # Errors
/// If it is not a text of at most 4 MiB inside one of the roots.
pub fn read(path: &str, roots: &Roots) -> Result<String, Error> {
    read_resolved(path, roots).map_err(|cause| error(path, cause))
}

fn read_resolved(path: &str, roots: &Roots) -> Result<String, Cause> {
    let (real, metadata) = roots.resolve(path)?;
    // Opening a pipe or a device could wait for ever.
    if !metadata.is_file() {
        return Err(Cause::NotAFile);
    }
    if metadata.len() > MOST_BYTES {
        return Err(Cause::TooLarge);
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize + 1);
    let file = fs::File::open(&real).map_err(Cause::Io)?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(Cause::Io)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Cause::TooLarge);
    }
    String::from_utf8(bytes).map_err(|_| Cause::NotText)
}

/// What there is to know of the text at `path`.
pub fn text(path: &str, roots: &Roots) -> Text {
    match read_resolved(path, roots) {
        Ok(text) => Text::Known(text.into()),
        // Only what nothing stands at is missing: behind a link to nowhere there is something.
        Err(Cause::Io(err)) if is_absence(&err) && to_system(path).symlink_metadata().is_err() => Text::Missing,
        Err(_) => Text::Unreadable,
    }
}

fn is_absence(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Lists what is below `folder`, breadth first, so that it is the deepest that is left out where
/// there is too much.
pub fn tree(folder: &str, roots: &Roots) -> Tree {
    let real = match roots.resolve(folder) {
        Ok((real, metadata)) if metadata.is_dir() => real,
        Err(Cause::Io(err)) if is_absence(&err) => return Tree::default(),
        // There is something that may not be looked at.
        _ => return Tree { truncated: true, exists: true, ..Tree::default() },
    };
    let mut res = Tree { exists: true, ..Tree::default() };
    let mut todo = VecDeque::from([(String::new(), 0)]);
    while let Some((below, depth)) = todo.pop_front() {
        list(&real, &below, depth, &mut res, &mut todo);
    }
    res
}

fn list(root: &Path, below: &str, depth: usize, tree: &mut Tree, todo: &mut VecDeque<(String, usize)>) {
    let Ok(entries) = fs::read_dir(root.join(below)) else {
        tree.truncated = true;
        return;
    };
    for entry in entries {
        let Ok(entry) = entry else {
            tree.truncated = true;
            continue;
        };
        let name = entry.file_name();
        let (Some(name), Ok(kind), true) = (name.to_str(), entry.file_type(), tree.entries.len() < MOST_ENTRIES) else {
            tree.truncated = true;
            continue;
        };
        let path = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        let what = if kind.is_symlink() {
            Entry::Link
        } else if !kind.is_dir() {
            Entry::File
        } else if depth >= DEEPEST || UNLISTED.contains(&name) {
            Entry::Unlisted
        } else {
            todo.push_back((path.clone(), depth + 1));
            Entry::Folder
        };
        tree.entries.insert(path, what);
    }
}

/// The answer to something that a rule asked.
#[derive(Debug)]
pub enum Answer {
    /// The text of a file.
    Text(String, Text),
    /// The files below a folder.
    Tree(String, Tree),
}

impl Answer {
    /// Whether it may be another one since something happened to `changed`, a file or a folder.
    pub fn depends_on(&self, changed: &str) -> bool {
        match self {
            Answer::Text(path, _) => facts::is_below(path, changed),
            Answer::Tree(folder, _) => facts::is_below(changed, folder) || facts::is_below(folder, changed),
        }
    }
}

/// Finds the answer to something that a rule asked.
pub fn answer(want: &Want, roots: &Roots) -> Answer {
    match want {
        Want::Text(path) => Answer::Text(path.clone(), text(path, roots)),
        Want::Tree(folder) => Answer::Tree(folder.clone(), tree(folder, roots)),
    }
}

/// Tells the host. Says whether a file of ours was made of it or went away.
pub fn learn(host: &mut Host, answer: Answer) -> bool {
    match answer {
        Answer::Text(path, text) => host.learn_text(&path, text),
        Answer::Tree(folder, tree) => {
            host.learn_tree(&folder, tree);
            false
        }
    }
}

/// What a walk found.
#[derive(Debug, Default)]
pub struct Found {
    /// Files of ours, in order.
    pub files: Vec<String>,
    /// What could not be looked at.
    pub errors: Vec<Error>,
}

/// All files of ours below a folder, but for those that git ignores; its workflows all the same.
pub fn walk(folder: &str) -> Found {
    search(folder, usize::MAX, |_| true)
}

/// The workflows, actions, compose and bake files of a root: what may say how a Dockerfile is built.
pub fn builds(root: &str) -> Vec<String> {
    search(root, MOST_SEARCHED, |it| matches!(it, Kind::Workflow | Kind::Action | Kind::Compose | Kind::Bake)).files
}

fn search(folder: &str, most: usize, wanted: impl Fn(Kind) -> bool + Sync) -> Found {
    let found = Mutex::new(Found::default());
    let seen = AtomicUsize::new(0);
    // A thread that panicked while it held the lock has pushed whole values only.
    let push = |change: &dyn Fn(&mut Found)| change(&mut found.lock().unwrap_or_else(|it| it.into_inner()));
    let mut walk = WalkBuilder::new(to_system(folder));
    walk.hidden(false).ignore(false).require_git(false).filter_entry(|it| {
        let folder = it.file_type().is_some_and(|it| it.is_dir());
        !(folder && matches!(it.file_name().to_str(), Some(".git" | ".hg" | ".svn" | ".jj" | "node_modules")) && it.depth() > 0)
    });
    walk.build_parallel().run(|| {
        Box::new(|entry| {
            if seen.fetch_add(1, Ordering::Relaxed) >= most {
                return WalkState::Quit;
            }
            match entry.as_ref().map(|it| (it, from_system(it.path()))) {
                Ok((entry, Some(path))) => {
                    let kind = Kind::of(&path);
                    if entry.file_type().is_some_and(|it| it.is_file()) && kind.is_checked() && wanted(kind) {
                        push(&|it| it.files.push(path.clone()));
                    }
                }
                Ok((entry, None)) => push(&|it| it.errors.push(error(&entry.path().to_string_lossy(), Cause::NotText))),
                Err(err) => push(&|it| it.errors.push(error(folder, Cause::Io(io::Error::other(err.to_string()))))),
            }
            WalkState::Continue
        })
    });
    let mut found = found.into_inner().unwrap_or_else(|it| it.into_inner());
    // The forge runs what is committed, whatever git ignores.
    let is_file = |path: &str| to_system(path).symlink_metadata().is_ok_and(|it| it.is_file());
    let committed = builds_in(&workflow_folders(folder).collect()).into_iter();
    found.files.extend(committed.filter(|it| wanted(Kind::of(it)) && is_file(it)));
    found.files.sort();
    found.files.dedup();
    found.errors.sort_by_key(ToString::to_string);
    found
}

/// Where forges look for the workflows of the repository at `root`.
fn workflow_folders(root: &str) -> impl Iterator<Item = String> {
    [".github", ".gitea", ".forgejo"].iter().map(move |it| facts::join(root, &format!("{it}/workflows")))
}

/// The folders that most likely say how the images of a folder are built: those of the workflows of
/// its repository, and all from the folder up to the root.
pub fn build_folders(folder: &str, root: &str) -> Vec<String> {
    let mut res: Vec<String> = workflow_folders(root).collect();
    let mut at = folder;
    while facts::is_below(at, root) {
        res.push(at.to_owned());
        if at == root || at == "/" {
            break;
        }
        at = facts::parent(at);
    }
    res
}

/// The workflows, compose and bake files right inside folders.
pub fn builds_in(folders: &BTreeSet<String>) -> Vec<String> {
    let names = folders.iter().flat_map(|folder| {
        let entries = fs::read_dir(to_system(folder)).into_iter().flatten().flatten();
        entries.filter_map(move |it| Some(facts::join(folder, it.file_name().to_str()?)))
    });
    let mut found: Vec<String> = names.filter(|it| matches!(Kind::of(it), Kind::Workflow | Kind::Compose | Kind::Bake)).collect();
    found.sort();
    found
}

/// Checks files on all cores, and reads what rules ask for until they ask for nothing new. `done` is
/// called with the number of files that were checked for the first time.
pub fn settle(host: &mut Host, configs: &Configs, paths: &[Arc<str>], done: &(dyn Fn(usize) + Sync)) -> Outcome {
    prepare(host, configs, paths);
    let mut found: Vec<_> = paths.iter().map(|_| Ok(Vec::new())).collect();
    let mut todo: Vec<usize> = (0..paths.len()).collect();
    let checked = AtomicUsize::new(0);
    for round in 0..ROUNDS {
        let snapshot = host.snapshot();
        let check = |index: usize| {
            let (found, wanted) = check::check(&snapshot, configs, &paths[index], Repairs::Made);
            if round == 0 {
                done(checked.fetch_add(1, Ordering::Relaxed) + 1);
            }
            (index, found, wanted)
        };
        let results: Vec<_> = on_all_cores(&todo, |it| check(*it));
        // What is learned is written into the facts in place, if nobody else holds them.
        drop(snapshot);
        let mut wanted = BTreeSet::new();
        todo.clear();
        for (index, result, wants) in results {
            found[index] = result;
            if !wants.is_empty() {
                todo.push(index);
                wanted.extend(wants);
            }
        }
        if wanted.is_empty() {
            break;
        }
        if find_answers(host, wanted) {
            todo = (0..paths.len()).collect();
        }
    }
    let mut outcome = Outcome::default();
    found.into_iter().for_each(|it| outcome.add(it));
    outcome.sorted()
}

/// Reads what all rules need, before they look in vain: the configuration, the contexts, the
/// Dockerfiles of builds.
fn prepare(host: &mut Host, configs: &Configs, paths: &[Arc<str>]) {
    for _ in 0..ROUNDS {
        let snapshot = host.snapshot();
        let wanted: BTreeSet<Want> = on_all_cores(paths, |it| check::ask(&snapshot, configs, it)).into_iter().flatten().collect();
        drop(snapshot);
        if wanted.is_empty() {
            break;
        }
        find_answers(host, wanted);
    }
}

/// Reads what is wanted, on all cores. Says whether a file of ours was made of it or went away.
fn find_answers(host: &mut Host, wanted: BTreeSet<Want>) -> bool {
    let roots = Roots::of(host.snapshot().roots());
    let (inner, outer): (Vec<Want>, Vec<Want>) = wanted.iter().cloned().partition(|it| matches!(it, Want::Tree(folder) if is_below_another(folder, &wanted)));
    let mut new_files = false;
    for answer in on_all_cores(&outer, |it| answer(it, &roots)) {
        new_files |= learn(host, answer);
    }
    // The tree of a folder is a part of the tree of the folder above it.
    let snapshot = host.snapshot();
    let answers = on_all_cores(&inner, |it| match it {
        Want::Tree(folder) => part_of_tree(&snapshot, folder).map_or_else(|| answer(it, &roots), |tree| Answer::Tree(folder.clone(), tree)),
        Want::Text(_) => answer(it, &roots),
    });
    drop(snapshot);
    for answer in answers {
        new_files |= learn(host, answer);
    }
    new_files
}

/// Whether the tree of a folder above `folder` is wanted too.
fn is_below_another(folder: &str, wanted: &BTreeSet<Want>) -> bool {
    let mut above = folder;
    while above != "/" {
        above = facts::parent(above);
        if wanted.contains(&Want::Tree(above.to_owned())) {
            return true;
        }
    }
    false
}

/// The tree of a folder, from the innermost known tree above it.
fn part_of_tree(snapshot: &Snapshot, folder: &str) -> Option<Tree> {
    let mut above = folder;
    while above != "/" {
        above = facts::parent(above);
        if let Some(tree) = snapshot.facts.peek_tree(above) {
            return tree.below(facts::relative(folder, above)?);
        }
    }
    None
}

/// Maps on all cores where there is work for them: a pool of threads costs more than a few files.
fn on_all_cores<T: Sync, R: Send>(items: &[T], map: impl Fn(&T) -> R + Sync + Send) -> Vec<R> {
    if items.len() < 32 { items.iter().map(map).collect() } else { items.par_iter().map(map).collect() }
}

/// Replaces the text of a file, or makes a new one where `before` is `None`: at once or not at all,
/// and only if it still is what it was. A link stays one: what it leads to is written.
///
/// # Errors
/// If the file changed meanwhile, lies outside the roots, or cannot be written.
pub fn write(path: &str, before: Option<&str>, after: &str, roots: &Roots) -> Result<(), Error> {
    let res = match before {
        Some(before) => replace(path, before, after, roots),
        None => create(path, after, roots),
    };
    res.map_err(|cause| error(path, cause))
}

fn replace(path: &str, before: &str, after: &str, roots: &Roots) -> Result<(), Cause> {
    let (real, metadata) = roots.resolve(path)?;
    if read_resolved(path, roots)? != before {
        return Err(Cause::Changed);
    }
    let file = temporary(&real, after)?;
    fs::set_permissions(file.path(), metadata.permissions()).map_err(Cause::Io)?;
    file.persist(&real).map_err(|it| Cause::Io(it.error))?;
    Ok(())
}

fn create(path: &str, text: &str, roots: &Roots) -> Result<(), Cause> {
    let (folder, _) = roots.resolve(facts::parent(path))?;
    let real = folder.join(facts::name(path));
    let file = temporary(&real, text)?;
    shared_with_the_group(file.path()).map_err(Cause::Io)?;
    file.persist_noclobber(&real).map_err(|it| Cause::Io(it.error))?;
    Ok(())
}

/// A file beside `target`, on the same disk, so that it can take its place in one step.
fn temporary(target: &Path, text: &str) -> Result<tempfile::NamedTempFile, Cause> {
    let folder = target.parent().ok_or(Cause::NotAFile)?;
    let mut file = tempfile::Builder::new().prefix(".layerwise-").tempfile_in(folder).map_err(Cause::Io)?;
    file.write_all(text.as_bytes()).map_err(Cause::Io)?;
    file.as_file().sync_all().map_err(Cause::Io)?;
    Ok(file)
}

/// A temporary file can be read by its owner only; a new source file is not that secret.
#[cfg(unix)]
fn shared_with_the_group(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn shared_with_the_group(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new(files: &[(&str, &str)]) -> Folder {
            let folder = Folder(tempfile::tempdir().unwrap());
            for (path, text) in files {
                let path = folder.0.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            folder
        }

        fn path(&self, below: &str) -> String {
            facts::join(&from_system(self.0.path()).unwrap(), below)
        }

        fn roots(&self) -> Roots {
            Roots::of(&[self.path("")])
        }
    }

    #[test]
    fn texts_are_known_missing_or_unreadable() {
        let folder = Folder::new(&[("a", "x"), ("d/b", ""), ("latin", "")]);
        fs::write(folder.0.path().join("latin"), b"\xe9").unwrap();
        fs::write(folder.0.path().join("large"), vec![b'x'; MOST_BYTES as usize + 1]).unwrap();
        let roots = folder.roots();
        assert_eq!(text(&folder.path("a"), &roots), Text::Known("x".into()));
        assert_eq!(text(&folder.path("no"), &roots), Text::Missing);
        assert_eq!(text(&folder.path("a/b"), &roots), Text::Missing);
        for name in ["d", "latin", "large"] {
            assert_eq!(text(&folder.path(name), &roots), Text::Unreadable, "{name}");
        }
        assert_eq!(text("/etc/hostname", &roots), Text::Unreadable);
        assert_eq!(text("/:untitled/Dockerfile", &roots), Text::Unreadable);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_inside_the_workspace_only() {
        use std::os::unix::fs::symlink;
        let outside = Folder::new(&[("secret", "s")]);
        let folder = Folder::new(&[("a", "x")]);
        symlink(outside.0.path().join("secret"), folder.0.path().join("out")).unwrap();
        symlink(outside.0.path(), folder.0.path().join("dir")).unwrap();
        symlink("a", folder.0.path().join("in")).unwrap();
        symlink("nowhere", folder.0.path().join("broken")).unwrap();
        symlink(".", folder.0.path().join("loop")).unwrap();
        let roots = folder.roots();
        assert_eq!(text(&folder.path("in"), &roots), Text::Known("x".into()));
        for name in ["out", "dir/secret", "broken"] {
            assert_eq!(text(&folder.path(name), &roots), Text::Unreadable, "{name}");
        }
        assert!(write(&folder.path("out"), Some("s"), "t", &roots).is_err());
        assert!(write(&folder.path("dir/new"), None, "t", &roots).is_err());
        let listed = tree(&folder.path(""), &roots);
        assert!(listed.entries.iter().all(|(path, it)| path == "a" || *it == Entry::Link));
        assert_eq!((listed.entries.len(), listed.truncated), (6, false));
        assert!(tree(&folder.path("dir"), &roots).truncated);
    }

    #[test]
    fn a_tree_lists_files_and_names_what_it_leaves_out() {
        let folder = Folder::new(&[("a/b/c", ""), (".git/HEAD", ""), ("x/node_modules/y/z", "")]);
        let tree = tree(&folder.path(""), &folder.roots());
        let listed: Vec<_> = tree.entries.iter().map(|(path, it)| (path.as_str(), *it)).collect();
        let expected = [
            (".git", Entry::Unlisted),
            ("a", Entry::Folder),
            ("a/b", Entry::Folder),
            ("a/b/c", Entry::File),
            ("x", Entry::Folder),
            ("x/node_modules", Entry::Unlisted),
        ];
        assert_eq!(listed, expected);
        assert!(tree.exists && !tree.truncated);
        assert!(!super::tree(&folder.path("no"), &folder.roots()).exists);
    }

    #[test]
    fn a_walk_finds_what_is_ours_and_not_ignored() {
        let folder = Folder::new(&[
            ("Dockerfile", ""),
            (".github/workflows/ci.yml", ""),
            ("b/api.Dockerfile", ""),
            ("out/Dockerfile", ""),
            ("node_modules/x/Dockerfile", ""),
            (".gitignore", "/out\n"),
            ("main.c", ""),
        ]);
        let found = walk(&folder.path(""));
        let names: Vec<_> = found.files.iter().map(|it| facts::relative(it, &folder.path("")).unwrap()).collect();
        assert_eq!(names, [".github/workflows/ci.yml", "Dockerfile", "b/api.Dockerfile"]);
        assert_eq!(builds(&folder.path("")), [folder.path(".github/workflows/ci.yml")]);
        let near = build_folders(&folder.path("b"), &folder.path(""));
        assert_eq!(near.len(), 5);
        assert_eq!(builds_in(&near.into_iter().collect()), [folder.path(".github/workflows/ci.yml")]);
    }

    #[test]
    fn workflows_run_whatever_git_ignores() {
        let folder = Folder::new(&[(".github/workflows/ci.yml", ""), (".github/workflows/x.txt", ""), (".gitignore", "*\n!.github/\n"), ("Dockerfile", "")]);
        assert_eq!(walk(&folder.path("")).files, [folder.path(".github/workflows/ci.yml")]);
    }

    #[test]
    fn the_repository_is_the_nearest() {
        let folder = Folder::new(&[(".git/HEAD", ""), ("sub/.git", ""), ("sub/a/b", "")]);
        assert_eq!(repository(&folder.path("sub/a/b")), Some(folder.path("sub")));
        assert_eq!(repository(&folder.path("x")), Some(folder.path("")));
        assert_eq!(repository("/:untitled/x"), None);
    }

    #[test]
    fn a_write_replaces_only_what_was_checked() {
        let folder = Folder::new(&[("a", "old")]);
        let roots = folder.roots();
        write(&folder.path("a"), Some("old"), "new", &roots).unwrap();
        assert_eq!(read(&folder.path("a"), &roots).unwrap(), "new");
        assert!(matches!(write(&folder.path("a"), Some("old"), "x", &roots).unwrap_err().cause, Cause::Changed));
        write(&folder.path("b"), None, "made", &roots).unwrap();
        assert!(write(&folder.path("b"), None, "again", &roots).is_err());
        assert_eq!(read(&folder.path("b"), &roots).unwrap(), "made");
        assert_eq!(fs::read_dir(folder.0.path()).unwrap().count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn a_write_keeps_permissions_and_links() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = Folder::new(&[("a", "old")]);
        fs::set_permissions(folder.0.path().join("a"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("a", folder.0.path().join("link")).unwrap();
        write(&folder.path("link"), Some("old"), "new", &folder.roots()).unwrap();
        assert!(folder.0.path().join("link").is_symlink());
        let metadata = folder.0.path().join("a").metadata().unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_to_string(folder.0.path().join("a")).unwrap(), "new");
    }
}
