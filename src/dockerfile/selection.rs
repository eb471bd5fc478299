//! What a copy or a bind mount selects from the build context, as a number that is equal wherever
//! BuildKit's checksum is (`cache/contenthash/checksum.go` of moby/buildkit).

use super::ignore::{self, IgnoreFile};
use super::plan::matches_wildcard;
use super::{clean_source, is_glob};
use crate::facts;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A file, folder or link of a build context. Owners and times are not here: the client sends all
/// files as root's, and times are not in the checksum.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Node {
    /// A folder with its mode.
    Folder {
        /// Permission bits.
        mode: u32,
    },
    /// A regular file.
    File {
        /// Permission bits.
        mode: u32,
        /// Its content, or anything else that is equal where the content is.
        content: String,
    },
    /// A symbolic link, which is copied as such below a folder.
    Link {
        /// What it says.
        target: String,
    },
}

/// Stands for the checksum of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checksum {
    /// Equal where a builder finds the same that has never seen the context before.
    pub exact: u64,
    /// The same without the modes of folders: a builder that keeps the context from an earlier
    /// build sets the new mode, but leaves the checksum as it was (`DiskWriter.HandleChange` in
    /// diskwriter.go of tonistiigi/fsutil returns before it tells of the change).
    pub kept: u64,
}

impl Checksum {
    /// Of paths with what is hashed of each.
    fn of<'a>(nodes: impl Iterator<Item = (&'a str, &'a Node)>) -> Checksum {
        let (mut exact, mut kept) = (DefaultHasher::new(), DefaultHasher::new());
        for (path, node) in nodes {
            (path, node).hash(&mut exact);
            let without_mode = if matches!(node, Node::Folder { .. }) { &Node::Folder { mode: 0 } } else { node };
            (path, without_mode).hash(&mut kept);
        }
        Checksum { exact: exact.finish(), kept: kept.finish() }
    }
}

/// All files that the builder can see, by their path relative to the root of the context.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    nodes: BTreeMap<String, Node>,
}

impl Files {
    /// The files of a folder, of which the ignore file leaves some out.
    pub fn new(nodes: BTreeMap<String, Node>, ignore: &IgnoreFile) -> Files {
        let kept: BTreeSet<String> = nodes.keys().filter(|it| !ignore.excludes(it)).cloned().collect();
        // An excluded folder is sent all the same where something in it is not.
        let holds_kept = |folder: &str| kept.range(format!("{folder}/")..).next().is_some_and(|it| facts::is_below(it, folder));
        Files { nodes: nodes.into_iter().filter(|(path, node)| kept.contains(path) || (matches!(node, Node::Folder { .. }) && holds_kept(path))).collect() }
    }

    /// The nodes below a folder, the folder left out, each with its path relative to it.
    fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a str, &'a Node)> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let start = prefix.len();
        self.nodes.range(prefix.clone()..).take_while(move |(it, _)| it.starts_with(&prefix)).map(move |(path, node)| (&path[start..], node))
    }

    /// What the source of a copy selects, without what `excludes` (the values of `--exclude`) leaves
    /// out; `None` where that is not known: links on the way, patterns that are not followed, and
    /// paths that are not there.
    pub fn copied(&self, source: &str, excludes: &[String]) -> Option<Checksum> {
        let source = clean_source(source);
        if !is_glob(&source) && excludes.is_empty() {
            return self.whole(&source);
        }
        let excluded = ignore::parse(&excludes.join("\n")).ok()?;
        let roots = if is_glob(&source) { self.matching(&source)? } else { vec![source.clone()] };
        let fixed = fixed_part(&source);
        let mut found: Vec<(&str, &Node)> = Vec::new();
        for root in &roots {
            found.extend(self.listed(root, &excluded)?);
        }
        // One file of the name that was asked for counts as that file.
        if let [(path, node)] = found[..]
            && facts::name(path) == facts::name(&source)
        {
            return Some(Checksum::of([("", node)].into_iter()));
        }
        Some(Checksum::of(found.iter().map(|(path, node)| (path.strip_prefix(fixed).unwrap_or(path), *node))))
    }

    /// What a bind mount shows; `source` as for [`Self::copied`], without wildcards.
    pub fn mounted(&self, source: &str) -> Option<Checksum> {
        self.whole(&clean_source(source))
    }

    /// A file, or a folder with all that is below it. The mode of the context's own folder is never sent.
    fn whole(&self, path: &str) -> Option<Checksum> {
        if self.is_behind_link(path) {
            return None;
        }
        let own = match self.nodes.get(path) {
            None if path.is_empty() => None,
            None | Some(Node::Link { .. }) => return None,
            Some(node) => Some(("", node)),
        };
        Some(Checksum::of(own.into_iter().chain(self.below(path))))
    }

    fn is_behind_link(&self, path: &str) -> bool {
        path.match_indices('/').any(|(at, _)| matches!(self.nodes.get(&path[..at]), Some(Node::Link { .. })))
    }

    /// The outermost paths that a pattern selects; `None` where it has more than `*` and `?`.
    fn matching(&self, pattern: &str) -> Option<Vec<String>> {
        if pattern.contains(['[', '\\']) {
            return None;
        }
        let parts: Vec<&str> = pattern.split('/').collect();
        let fits = |path: &&String| {
            let names: Vec<&str> = path.split('/').collect();
            names.len() == parts.len() && parts.iter().zip(&names).all(|(part, name)| matches_wildcard(part, name))
        };
        let found: Vec<String> = self.nodes.keys().filter(fits).cloned().collect();
        let has_link = found.iter().any(|it| self.is_behind_link(it) || matches!(self.nodes.get(it), Some(Node::Link { .. })));
        (!has_link).then_some(found)
    }

    /// The path `root` and what is below it, as far as it is not excluded: files with all that is
    /// hashed of them, and folders that are not excluded or hold something that is not.
    fn listed<'a>(&'a self, root: &str, excluded: &IgnoreFile) -> Option<Vec<(&'a str, &'a Node)>> {
        let below: Vec<(&str, &Node)> = self.below(root).collect();
        let mut kept: BTreeSet<&str> = below.iter().map(|(path, _)| *path).filter(|it| !excluded.excludes(it)).collect();
        for (path, _) in &below {
            if kept.contains(path) {
                kept.extend(path.match_indices('/').map(|(at, _)| &path[..at]));
            }
        }
        let own = self.nodes.get_key_value(root).map(|(path, node)| (path.as_str(), node));
        if own.is_none() && !root.is_empty() {
            return None;
        }
        let start = if root.is_empty() { 0 } else { root.len() + 1 };
        let rest = self.nodes.iter().filter(|(path, _)| path.len() > start && facts::is_below(path, if root.is_empty() { "/" } else { root }));
        let rest = rest.filter(|(path, _)| kept.contains(&path[start..])).map(|(path, node)| (path.as_str(), node));
        Some(own.into_iter().chain(rest).collect())
    }
}

/// The folders of a pattern in front of the first one with a wildcard; all of a path without one.
fn fixed_part(pattern: &str) -> &str {
    match pattern.find(['*', '?', '[']) {
        None => pattern,
        Some(at) => &pattern[..pattern[..at].rfind('/').unwrap_or(0)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(ignored: &str) -> Files {
        let mut nodes = BTreeMap::new();
        for folder in ["src", "src/deep", "empty"] {
            nodes.insert(folder.to_owned(), Node::Folder { mode: 0o755 });
        }
        for (path, content) in [("a.txt", "1"), ("b.txt", "1"), ("src/c.rs", "2"), ("src/deep/d.md", "3")] {
            nodes.insert(path.to_owned(), Node::File { mode: 0o644, content: content.to_owned() });
        }
        Files::new(nodes, &ignore::parse(ignored).unwrap())
    }

    /// What is selected after a change of one node; `None` as node deletes it.
    fn changed(path: &str, node: Option<Node>) -> Files {
        let mut res = files("");
        match node {
            Some(node) => res.nodes.insert(path.to_owned(), node),
            None => res.nodes.remove(path),
        };
        res
    }

    fn file(mode: u32, content: &str) -> Option<Node> {
        Some(Node::File { mode, content: content.to_owned() })
    }

    #[test]
    fn only_what_is_selected_counts() {
        let other = changed("a.txt", file(0o644, "other"));
        for (source, same) in [("a.txt", false), ("b.txt", true), ("src", true), ("src/*", true), ("*.txt", false), (".", false), ("*", false), ("*.md", true)]
        {
            assert_eq!(files("").copied(source, &[]) == other.copied(source, &[]), same, "{source}");
        }
    }

    #[test]
    fn the_mode_counts_but_that_of_a_folder_only_where_the_context_is_new() {
        for (path, node, kept) in
            [("src/c.rs", file(0o755, "2"), false), ("src", Some(Node::Folder { mode: 0o700 }), true), ("src/deep", Some(Node::Folder { mode: 0o700 }), true)]
        {
            let other = changed(path, node);
            for source in ["src", "./src/", ".", "s*"] {
                let (before, after) = (files("").copied(source, &[]).unwrap(), other.copied(source, &[]).unwrap());
                assert_ne!(before.exact, after.exact, "{path} {source}");
                assert_eq!(before.kept == after.kept, kept, "{path} {source}");
            }
        }
    }

    #[test]
    fn a_file_counts_by_its_content_but_a_name_in_a_folder_or_a_pattern_does() {
        assert_eq!(files("").copied("a.txt", &[]), files("").copied("b.txt", &[]));
        let mut renamed = changed("a.txt", None);
        renamed.nodes.remove("b.txt");
        let mut other = renamed.clone();
        renamed.nodes.insert("c.txt".into(), file(0o644, "1").unwrap());
        other.nodes.insert("d.txt".into(), file(0o644, "1").unwrap());
        assert_ne!(renamed.copied("*.txt", &[]), other.copied("*.txt", &[]));
        assert_ne!(renamed.copied(".", &[]), other.copied(".", &[]));
    }

    #[test]
    fn what_is_excluded_does_not_count_unless_it_holds_something_that_is_not() {
        let other = changed("src/deep/d.md", file(0o644, "other"));
        for (excludes, same) in [(&["*.md"][..], false), (&["**/*.md"], true), (&["deep"], true), (&["deep", "!deep/d.md"], false)] {
            let excludes: Vec<String> = excludes.iter().map(|it| (*it).to_owned()).collect();
            assert_eq!(files("").copied("src", &excludes) == other.copied("src", &excludes), same, "{excludes:?}");
        }
    }

    #[test]
    fn the_ignore_file_leaves_files_out_and_keeps_folders_of_what_it_brings_back() {
        let paths = |ignored: &str| files(ignored).nodes.into_keys().collect::<Vec<_>>().join(" ");
        assert_eq!(paths("src"), "a.txt b.txt empty");
        assert_eq!(paths("src\n!src/deep/d.md"), "a.txt b.txt empty src src/deep src/deep/d.md");
        assert_eq!(paths("*\n!*.txt"), "a.txt b.txt");
        assert_eq!(paths("src/*"), "a.txt b.txt empty src");
    }

    #[test]
    fn what_is_not_followed_is_not_known() {
        let link = changed("src", Some(Node::Link { target: "empty".into() }));
        for (files, source) in [(files(""), "none"), (files(""), "[ab].txt"), (link.clone(), "src"), (link, "src/c.rs")] {
            assert_eq!(files.copied(source, &[]), None, "{source}");
        }
    }
}
