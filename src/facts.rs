//! What is known of the disk. Rules ask here and never wait: what is not known yet is remembered as
//! wanted, and the next snapshot has it.
//!
//! Paths are absolute, with `/`, and cleaned of `.` and `..` ([`join`], [`parent`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// Something that a rule asked of the disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Want {
    /// The text of a file.
    Text(String),
    /// The files below a folder.
    Tree(String),
}

/// The text of a file, as far as it can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// There is no such file.
    Missing,
    /// There is one, but it is too large, not UTF-8, not a file, or outside the workspace.
    Unreadable,
    /// Its text.
    Known(Arc<str>),
}

/// What stands at a path of a [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A folder whose content was not listed: `.git`, an installed dependency folder, too deep.
    Unlisted,
    /// A symbolic link; never followed.
    Link,
}

/// All that is below a folder, by its path relative to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// Relative paths, with `/`.
    pub entries: BTreeMap<String, Entry>,
    /// Whether the walk stopped at its bound, so that an absent path may exist all the same.
    pub truncated: bool,
    /// Whether the folder itself exists.
    pub exists: bool,
}

impl Tree {
    /// Whether it shows that nothing stands at `path`: the folder that would hold it is listed
    /// without it.
    pub fn lacks(&self, path: &str) -> bool {
        let is_listed = |it: &str| it == "/" || self.entries.get(&it[1..]) == Some(&Entry::Folder);
        self.exists && !self.truncated && !self.entries.contains_key(path) && is_listed(parent(&join("/", path)))
    }

    /// What is below one of its folders; `None` where that is not sure to be all.
    pub fn below(&self, folder: &str) -> Option<Tree> {
        if self.truncated || self.entries.get(folder) != Some(&Entry::Folder) {
            return None;
        }
        let prefix = format!("{folder}/");
        let inside = self.entries.range(prefix.clone()..).take_while(|(it, _)| it.starts_with(&prefix));
        Some(Tree { entries: inside.map(|(it, entry)| (it[prefix.len()..].to_owned(), *entry)).collect(), truncated: false, exists: true })
    }
}

/// Facts from disk, as a snapshot holds them.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Texts that the editor has: they stand in front of the disk.
    open: Arc<BTreeMap<String, Text>>,
    texts: Arc<BTreeMap<String, Text>>,
    trees: Arc<BTreeMap<String, Arc<Tree>>>,
    wanted: Arc<Mutex<BTreeSet<Want>>>,
}

impl Facts {
    /// The text of `path`; `None` where it is not known yet.
    pub fn text(&self, path: &str) -> Option<&Text> {
        let res = self.peek(path).or_else(|| self.is_absent(path).then_some(&Text::Missing));
        if res.is_none() {
            self.want(Want::Text(path.to_owned()));
        }
        res
    }

    /// The text of `path`, if it is known; asking this way makes nothing wanted.
    pub fn peek(&self, path: &str) -> Option<&Text> {
        self.open.get(path).or_else(|| self.texts.get(path))
    }

    /// The files below `folder`; `None` where they are not known yet.
    pub fn tree(&self, folder: &str) -> Option<&Arc<Tree>> {
        let res = self.trees.get(folder);
        if res.is_none() {
            self.want(Want::Tree(folder.to_owned()));
        }
        res
    }

    /// Whether a listing of a folder above `path` shows that nothing stands there.
    fn is_absent(&self, path: &str) -> bool {
        let mut folder = path;
        while folder != "/" {
            folder = parent(folder);
            if let (Some(tree), Some(inside)) = (self.trees.get(folder), relative(path, folder)) {
                return tree.lacks(inside);
            }
        }
        false
    }

    /// The files below `folder`, if they are known; asking this way makes nothing wanted.
    pub fn peek_tree(&self, folder: &str) -> Option<&Arc<Tree>> {
        self.trees.get(folder)
    }

    /// The same facts with a list of wants of its own, so that one can tell who asked.
    pub fn apart(&self) -> Facts {
        Facts { open: self.open.clone(), texts: self.texts.clone(), trees: self.trees.clone(), wanted: Arc::default() }
    }

    fn want(&self, want: Want) {
        // A poisoned lock only means that another thread panicked between two inserts.
        self.wanted.lock().unwrap_or_else(|it| it.into_inner()).insert(want);
    }

    /// Takes what was asked for and not known, in order.
    pub fn take_wanted(&self) -> Vec<Want> {
        let mut wanted = self.wanted.lock().unwrap_or_else(|it| it.into_inner());
        std::mem::take(&mut *wanted).into_iter().collect()
    }

    /// The editor has this text of a file, saved or not; `None` gives the file back to the disk.
    pub fn set_open(&mut self, path: &str, text: Option<Arc<str>>) {
        match text {
            Some(text) => drop(Arc::make_mut(&mut self.open).insert(path.to_owned(), Text::Known(text))),
            None if self.open.contains_key(path) => drop(Arc::make_mut(&mut self.open).remove(path)),
            None => {}
        }
    }

    /// Learns the text of a file, in the place of what was known.
    pub fn set_text(&mut self, path: impl Into<String>, text: Text) {
        Arc::make_mut(&mut self.texts).insert(path.into(), text);
    }

    /// Learns the files below a folder, in the place of what was known.
    pub fn set_tree(&mut self, folder: impl Into<String>, tree: Tree) {
        Arc::make_mut(&mut self.trees).insert(folder.into(), Arc::new(tree));
    }

    /// Forgets everything that the disk said.
    pub fn clear(&mut self) {
        self.texts = Arc::default();
        self.trees = Arc::default();
    }

    /// Forgets all that depends on `path`: its text and what is below it, and the trees of the
    /// folders above it. What is asked again is read again. Says whether anything was known.
    pub fn forget(&mut self, path: &str) -> bool {
        let texts: Vec<String> = below(&self.texts, path).cloned().collect();
        let trees: Vec<String> = self.trees.keys().filter(|it| is_below(path, it)).chain(below(&self.trees, path)).cloned().collect();
        // Only what was known is worth a copy of the map that a snapshot shares.
        if !texts.is_empty() {
            let known = Arc::make_mut(&mut self.texts);
            texts.iter().for_each(|it| drop(known.remove(it)));
        }
        if !trees.is_empty() {
            let known = Arc::make_mut(&mut self.trees);
            trees.iter().for_each(|it| drop(known.remove(it)));
        }
        !texts.is_empty() || !trees.is_empty()
    }
}

/// The keys that are `path` or lie below it.
fn below<'a, T>(map: &'a BTreeMap<String, T>, path: &'a str) -> impl Iterator<Item = &'a String> {
    // What is below sorts behind the path itself, with others between: `a`, `a-b`, `a/b`.
    map.range(path.to_owned()..).map(|(it, _)| it).take_while(move |it| it.starts_with(path)).filter(move |it| is_below(it, path))
}

/// Joins a path to a folder and takes out `.`, `..` and doubled `/`. An absolute `path` stands for
/// itself. `..` above the root stays at the root.
pub fn join(folder: &str, path: &str) -> String {
    let mut res = String::with_capacity(folder.len() + path.len() + 1);
    let folder = if path.starts_with('/') { "" } else { folder };
    add_parts(&mut res, folder);
    add_parts(&mut res, path);
    if res.is_empty() {
        res.push('/');
    }
    res
}

fn add_parts(res: &mut String, path: &str) {
    let mut rest = path;
    while !rest.is_empty() {
        // Parts are so short that a look at each byte takes less than a search.
        let end = rest.bytes().position(|it| it == b'/').unwrap_or(rest.len());
        match &rest[..end] {
            "" | "." => {}
            ".." => res.truncate(res.rfind('/').unwrap_or(0)),
            part => {
                res.push('/');
                res.push_str(part);
            }
        }
        rest = rest.get(end + 1..).unwrap_or("");
    }
}

/// The folder that holds `path`; the root holds itself.
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(at) => &path[..at],
    }
}

/// The last part of `path`.
pub fn name(path: &str) -> &str {
    path.rfind('/').map_or(path, |it| &path[it + 1..])
}

/// Whether `path` is `folder` or lies below it.
pub fn is_below(path: &str, folder: &str) -> bool {
    folder == "/" || path.strip_prefix(folder).is_some_and(|it| it.is_empty() || it.starts_with('/'))
}

/// The path of `path` relative to `folder`, which it lies below; empty for the folder itself.
pub fn relative<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    if folder == "/" {
        return path.strip_prefix('/');
    }
    let rest = path.strip_prefix(folder)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        assert_eq!(join("/a/b", "../c/./d"), "/a/c/d");
        assert_eq!(join("/a", "/x//y/"), "/x/y");
        assert_eq!(join("/a", "../../.."), "/");
        assert_eq!(join("/a", ""), "/a");
    }

    #[test]
    fn below_goes_by_whole_parts() {
        assert!(is_below("/a/b", "/a"));
        assert!(!is_below("/ab", "/a"));
        assert_eq!(relative("/a/b/c", "/a"), Some("b/c"));
        assert_eq!(relative("/a", "/"), Some("a"));
    }

    #[test]
    fn what_is_not_known_is_wanted_once() {
        let facts = Facts::default();
        assert_eq!(facts.text("/a"), None);
        assert_eq!(facts.text("/a"), None);
        assert_eq!(facts.take_wanted(), [Want::Text("/a".into())]);
        assert_eq!(facts.take_wanted(), []);
    }

    #[test]
    fn a_change_forgets_the_trees_above_it() {
        let mut facts = Facts::default();
        facts.set_tree("/a", Tree::default());
        facts.set_tree("/b", Tree::default());
        facts.forget("/a/x/y");
        assert!(facts.tree("/a").is_none());
        assert!(facts.tree("/b").is_some());
    }

    #[test]
    fn what_a_listing_lacks_is_not_asked_for() {
        let mut facts = Facts::default();
        let entries = [("a", Entry::Folder), ("a/x", Entry::File), ("b", Entry::Unlisted), ("l", Entry::Link), ("f", Entry::File)];
        let entries = entries.map(|(path, entry)| (path.to_owned(), entry)).into();
        facts.set_tree("/r", Tree { entries, truncated: false, exists: true });
        for path in ["/r/y", "/r/a/y"] {
            assert_eq!(facts.text(path), Some(&Text::Missing), "{path}");
        }
        for path in ["/r/a/x", "/r/b/y", "/r/l/y", "/r/f/y", "/r/c/y", "/r", "/s"] {
            assert_eq!(facts.text(path), None, "{path}");
        }
        facts.set_tree("/r", Tree { truncated: true, exists: true, ..Tree::default() });
        assert_eq!(facts.text("/r/y"), None);
    }

    #[test]
    fn a_tree_has_the_trees_of_its_folders() {
        let entries =
            [("a", Entry::Folder), ("a-b", Entry::File), ("a/x", Entry::File), ("a/y", Entry::Folder), ("a/y/z", Entry::Link), ("b", Entry::Unlisted)];
        let tree = Tree { entries: entries.map(|(path, entry)| (path.to_owned(), entry)).into(), truncated: false, exists: true };
        let below = tree.below("a").unwrap();
        assert_eq!(below.entries.keys().collect::<Vec<_>>(), ["x", "y", "y/z"]);
        assert_eq!((tree.below("b"), tree.below("c"), tree.below("a-b")), (None, None, None));
        assert_eq!(Tree { truncated: true, ..tree }.below("a"), None);
    }

    #[test]
    fn a_folder_that_goes_takes_all_below_it() {
        let mut facts = Facts::default();
        for path in ["/a", "/a-b", "/a/b", "/ab"] {
            facts.set_text(path, Text::Missing);
        }
        facts.set_tree("/a/b", Tree::default());
        assert!(facts.forget("/a"));
        assert!(!facts.forget("/a"));
        let known: Vec<_> = ["/a", "/a-b", "/a/b", "/ab"].into_iter().filter(|it| facts.text(it).is_some()).collect();
        assert_eq!(known, ["/a-b", "/ab"]);
        assert!(facts.tree("/a/b").is_none());
    }
}
