//! The build context of a Dockerfile, as far as the disk and the builds that use it tell.

use super::ignore::{IgnoreFile, Ignored};
use crate::ecosystem::{self, is_kin};
use crate::edit::Span;
use crate::facts::{self, Entry, Facts, Text, Tree};
use crate::volatility::Variance;
use std::sync::Arc;

/// More members than a workspace that can be followed has.
const MAX_KIN: usize = 500;

/// What a Dockerfile is built with.
#[derive(Debug, Clone, Default)]
pub struct Context<'a> {
    /// What is known of the disk; nothing where there is none.
    pub facts: Option<&'a Facts>,
    /// The folder that is sent as the context, or that the builder clones.
    pub folder: Option<String>,
    /// Whether the builder clones the repository itself, so that no ignore file is applied and
    /// only tracked files are there.
    pub git: bool,
    /// The ignore file in effect.
    pub ignore: Ignore,
    /// The files of the folder.
    pub tree: Option<Arc<Tree>>,
    /// What the known builds pass; `None` where no build of this Dockerfile is known.
    pub passed: Option<Vec<Passed>>,
    /// Further names of build arguments that change on every commit, from the configuration.
    pub volatile_names: Vec<String>,
    /// Targets of the known builds: `None` in it is the last stage.
    pub targets: Vec<Option<String>>,
}

/// The ignore file of a context.
#[derive(Debug, Clone, Default)]
pub enum Ignore {
    /// It is not known whether there is one.
    #[default]
    Unknown,
    /// There is none, or the builder applies none.
    None,
    /// Its path and rules.
    File(String, Arc<IgnoreFile>),
}

/// A build argument that a known build passes.
#[derive(Debug, Clone)]
pub struct Passed {
    /// Its name.
    pub name: String,
    /// What its value varies with.
    pub variance: Variance,
    /// The file of the build.
    pub path: Arc<str>,
    /// Where the argument stands there.
    pub span: Span,
    /// How the value is written.
    pub text: String,
    /// The build finds layers of earlier ones, as far as is known, so that a new value costs something.
    pub cached: bool,
    /// Where that comes from what the value varies with, if it is made of an input.
    pub origin: Option<Origin>,
}

/// What a call of an action or a workflow gives an input, or the default of one.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The file that it stands in.
    pub path: Arc<str>,
    /// Where it stands there.
    pub span: Span,
    /// How it is written.
    pub text: String,
    /// What it varies with.
    pub variance: Variance,
    /// The file that calls, or that calls what calls.
    pub caller: Arc<str>,
}

impl Origin {
    /// By whose call a value is what it is, to follow what is said of it.
    pub fn as_called(&self) -> String {
        format!(" as `{}` calls it", facts::name(&self.caller))
    }

    /// What is said at its place.
    pub fn note(&self) -> String {
        format!("`{}` is given here", self.text)
    }
}

/// What is known of one file of the context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum File {
    /// It is not in the context.
    Absent,
    /// It may be there.
    Unknown,
    /// It is there, with this text.
    Known(Arc<str>),
    /// It is there, but its text cannot be had.
    Present,
}

impl Context<'_> {
    /// Whether the ignore file leaves `path` out; `None` where that is not known.
    pub fn excludes(&self, path: &str) -> Option<bool> {
        match &self.ignore {
            Ignore::Unknown => None,
            Ignore::None => Some(false),
            Ignore::File(_, ignore) => Some(ignore.excludes(path)),
        }
    }

    /// Whether nothing at or below `path` can be in the context: all of it is ignored.
    pub fn excludes_all(&self, path: &str) -> bool {
        match &self.ignore {
            Ignore::File(_, ignore) => ignore.excludes(path) && ignore.excludes_tree(path) == Ignored::All,
            Ignore::Unknown | Ignore::None => false,
        }
    }

    /// What stands at `path` of the context on disk, ignored or not; `None` where that is not known.
    pub fn entry(&self, path: &str) -> Option<Option<Entry>> {
        let tree = self.tree.as_ref()?;
        if path.is_empty() {
            return Some(tree.exists.then_some(Entry::Folder));
        }
        match tree.entries.get(path) {
            Some(entry) => Some(Some(*entry)),
            None if tree.truncated || self.is_unlisted(path) => None,
            None => Some(None),
        }
    }

    /// Whether a folder above `path` was not listed.
    fn is_unlisted(&self, path: &str) -> bool {
        let Some(tree) = &self.tree else { return true };
        path.match_indices('/').any(|(at, _)| matches!(tree.entries.get(&path[..at]), Some(Entry::Unlisted | Entry::Link)))
    }

    /// The file `path` of the context, ignore file applied.
    pub fn file(&self, path: &str) -> File {
        match self.excludes(path) {
            Some(true) => return File::Absent,
            None => return File::Unknown,
            Some(false) => {}
        }
        match self.entry(path) {
            Some(None) => return File::Absent,
            Some(Some(Entry::File)) => {}
            Some(Some(_)) | None => return File::Unknown,
        }
        let (Some(facts), Some(folder)) = (self.facts, &self.folder) else { return File::Unknown };
        self.want_kin(facts, folder, path);
        match facts.text(&facts::join(folder, path)) {
            Some(Text::Known(text)) => File::Known(text.clone()),
            Some(Text::Missing) => File::Absent,
            Some(Text::Unreadable) => File::Present,
            None => File::Unknown,
        }
    }

    /// Asks for all manifests of one kind at once: the members of a workspace are read one by one,
    /// and would otherwise cost a round of reading each, of which there are only a few.
    fn want_kin(&self, facts: &Facts, folder: &str, path: &str) {
        let name = facts::name(path);
        let Some(tree) = self.tree.as_ref().filter(|_| ecosystem::has_kin(name) && facts.peek(&facts::join(folder, path)).is_none()) else { return };
        let kin = tree.entries.keys().filter(|it| is_kin(name, facts::name(it)) && self.excludes(it) == Some(false));
        for it in kin.take(MAX_KIN) {
            facts.text(&facts::join(folder, it));
        }
    }

    /// The names of what is in the folder `path` of the context, ignore file applied; `None` where
    /// that is not known.
    pub fn list(&self, path: &str) -> Option<Vec<(String, Entry)>> {
        let tree = self.tree.as_ref()?;
        if tree.truncated || matches!(self.ignore, Ignore::Unknown) {
            return None;
        }
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let inside = tree.entries.range(prefix.clone()..).take_while(|(it, _)| it.starts_with(&prefix));
        let direct = inside.filter(|(it, _)| it.len() > prefix.len() && !it[prefix.len()..].contains('/'));
        Some(direct.filter(|(it, _)| self.excludes(it) == Some(false)).map(|(it, entry)| (it[prefix.len()..].to_owned(), *entry)).collect())
    }

    /// Whether the known builds pass `name`; `None` where no build is known.
    pub fn passes(&self, name: &str) -> Option<bool> {
        self.passed.as_ref().map(|it| it.iter().any(|it| it.name == name))
    }

    /// What the known builds pass as `name`.
    pub fn passed(&self, name: &str) -> impl Iterator<Item = &Passed> {
        self.passed.iter().flatten().filter(move |it| it.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Want;

    /// What is asked of the disk when a file of a folder with these files is read.
    fn wanted(files: &[&str], read: &str) -> Vec<String> {
        let facts = Facts::default();
        let entries = files.iter().map(|it| ((*it).to_owned(), Entry::File)).collect();
        let tree = Some(Arc::new(Tree { entries, truncated: false, exists: true }));
        let context = Context { facts: Some(&facts), folder: Some("/w".to_owned()), ignore: Ignore::None, tree, ..Context::default() };
        assert_eq!(context.file(read), File::Unknown);
        let name = |it: Want| match it {
            Want::Text(path) => path.trim_start_matches("/w/").to_owned(),
            Want::Tree(path) => format!("{path}/"),
        };
        facts.take_wanted().into_iter().map(name).collect()
    }

    /// A solution of more projects than there are rounds of reading was never known as a whole.
    #[test]
    fn projects_that_refer_to_each_other_are_asked_for_at_once() {
        assert_eq!(wanted(&["A/A.csproj", "B/B.csproj", "c/c.fsproj", "x.cs"], "A/A.csproj"), ["A/A.csproj", "B/B.csproj", "c/c.fsproj"]);
    }

    #[test]
    fn members_of_a_workspace_are_asked_for_at_once() {
        assert_eq!(wanted(&["a/package.json", "b/package.json", "b/Cargo.toml"], "a/package.json"), ["a/package.json", "b/package.json"]);
    }

    #[test]
    fn other_files_are_asked_for_alone() {
        assert_eq!(wanted(&["a/x.txt", "b/x.txt"], "a/x.txt"), ["a/x.txt"]);
    }
}
