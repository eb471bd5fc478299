//! Reading manifests, and gathering what a step needs while doing so.

use super::{FileState, Files, Listing, Needs, Obstacle, Setting, Step, application_root, outside};
use crate::edit::Span;
use crate::effects::Place;
use crate::facts::{is_below, relative};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How many files one step may need; more is not followed.
const MAX_FILES: usize = 2000;

/// Gathers what a step needs.
pub(super) struct Collector<'a> {
    pub step: &'a Step,
    pub setting: &'a Setting,
    pub files: &'a dyn Files,
    /// The folder that the step works in.
    pub folder: &'a str,
    found: BTreeSet<String>,
    trees: BTreeSet<String>,
    absent: BTreeSet<String>,
    reads: Vec<Place>,
    writes: Vec<Place>,
    environment: Vec<String>,
}

impl<'a> Collector<'a> {
    pub fn new(step: &'a Step, setting: &'a Setting, files: &'a dyn Files, folder: &'a str) -> Collector<'a> {
        Collector {
            step,
            setting,
            files,
            folder,
            found: BTreeSet::new(),
            trees: BTreeSet::new(),
            absent: BTreeSet::new(),
            reads: Vec::new(),
            writes: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// What was gathered.
    pub fn finish(self) -> Needs {
        let mut res = Needs {
            files: self.found.into_iter().collect(),
            trees: self.trees.into_iter().collect(),
            absent: self.absent.into_iter().collect(),
            managers: vec![self.step.manager],
            ..Needs::default()
        };
        let reads = res.files.iter().map(|it| Place::File(it.clone())).chain(res.trees.iter().map(Place::tree)).chain(self.reads).collect();
        let rest = Needs { reads, writes: self.writes, environment: self.environment, ..Needs::default() };
        res.merge(rest);
        res
    }

    /// A path for messages: relative to the folder of the step where it lies below it.
    pub fn shown(&self, path: &str) -> String {
        relative(path, self.folder).filter(|it| !it.is_empty()).unwrap_or(path).to_owned()
    }

    pub fn obstacle(&self, reason: impl Into<String>) -> Obstacle {
        Obstacle::in_script(self.step.span, reason)
    }

    /// The text of a file that has to be there.
    pub fn require(&mut self, path: &str) -> Result<Arc<str>, Obstacle> {
        let shown = self.shown(path);
        match self.optional(path)? {
            Some(text) => Ok(text),
            None => Err(self.obstacle(format!("`{shown}` is not in the build context"))),
        }
    }

    /// The text of a file, if it is there.
    pub fn optional(&mut self, path: &str) -> Result<Option<Arc<str>>, Obstacle> {
        match self.files.text(path) {
            FileState::Known(text) => {
                self.add_file(path)?;
                Ok(Some(text))
            }
            FileState::Unreadable => Err(Obstacle::in_file(path, None, format!("`{}` cannot be read", self.shown(path)))),
            FileState::Absent => {
                self.absent.insert(path.to_owned());
                Ok(None)
            }
            FileState::Unknown => Err(self.not_known(path)),
        }
    }

    /// Whether a file is there, whatever is in it.
    pub fn exists(&mut self, path: &str) -> Result<bool, Obstacle> {
        match self.files.text(path) {
            FileState::Known(_) | FileState::Unreadable => {
                self.add_file(path)?;
                Ok(true)
            }
            FileState::Absent => {
                self.absent.insert(path.to_owned());
                Ok(false)
            }
            FileState::Unknown => Err(self.not_known(path)),
        }
    }

    /// Whether there is anything in a folder; if so, all of it is needed.
    pub fn tree(&mut self, path: &str) -> Result<bool, Obstacle> {
        match self.files.list(path) {
            Listing::Known(children) if !children.is_empty() => {
                self.trees.insert(path.to_owned());
                Ok(true)
            }
            Listing::Known(_) | Listing::Absent => {
                self.absent.insert(path.to_owned());
                Ok(false)
            }
            Listing::Unknown => Err(self.not_known(path)),
        }
    }

    fn add_file(&mut self, path: &str) -> Result<(), Obstacle> {
        self.found.insert(path.to_owned());
        if self.found.len() > MAX_FILES { Err(self.obstacle("too many manifests to follow")) } else { Ok(()) }
    }

    fn not_known(&self, path: &str) -> Obstacle {
        Obstacle::in_file(path, None, format!("`{}` is not known", self.shown(path)))
    }

    pub fn reads(&mut self, place: Place) {
        self.reads.push(place);
    }

    pub fn writes(&mut self, place: Place) {
        self.writes.push(place);
    }

    /// Reads and writes whatever lies outside the application: programs, configuration and caches
    /// of the user, installed packages.
    pub fn touches_outside(&mut self) {
        let place = outside(self.folder);
        self.reads.push(place.clone());
        self.writes.push(place);
        // A home inside the project holds caches and configuration of the user.
        if let (Some(Some(home)), Some(root)) = (self.variable("HOME"), application_root(self.folder))
            && is_below(home, root)
        {
            self.reads.push(Place::tree(home));
            self.writes.push(Place::tree(home));
        }
    }

    /// A variable, by name or by `START*`, that may be read.
    pub fn reads_variable(&mut self, name: impl Into<String>) {
        self.environment.push(name.into());
    }

    /// The value of a variable: set for the command, or in scope. `Some(None)` if it is set to
    /// something unknown.
    pub fn variable(&self, name: &str) -> Option<Option<&'a str>> {
        self.written_variable(name).map(|it| it.filter(|it| !it.contains('$')))
    }

    /// As [`Self::variable`], with unknown parts as they are written.
    pub fn written_variable(&self, name: &str) -> Option<Option<&'a str>> {
        let own = self.step.environment.iter().rev().find(|(it, _)| it.eq_ignore_ascii_case(name));
        if let Some((_, value)) = own {
            return Some(Some(value.as_str()));
        }
        self.setting.environment.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_deref())
    }

    /// Whether a variable is set to a value that means yes.
    pub fn is_on(&self, name: &str) -> bool {
        self.variable(name).flatten().is_some_and(|it| ["1", "true", "yes", "on"].contains(&it.to_ascii_lowercase().as_str()))
    }

    /// Fails if a variable that starts with one of `prefixes` is set and is not one of `known`:
    /// it may name a file, or change what the command does.
    pub fn check_variables(&self, prefixes: &[&str], known: &[&str]) -> Result<(), Obstacle> {
        let own = self.step.environment.iter().map(|(name, _)| name);
        for name in own.chain(self.setting.environment.keys()) {
            let lower = name.to_ascii_lowercase();
            let ours = prefixes.iter().any(|it| lower.starts_with(&it.to_ascii_lowercase()));
            if ours && !known.iter().any(|it| it.eq_ignore_ascii_case(name)) {
                return Err(self.obstacle(format!("what `{name}` means for `{}` is not known", self.step.display)));
            }
        }
        Ok(())
    }
}

/// Reads JSON.
pub(super) fn json(path: &str, shown: &str, text: &str) -> Result<serde_json::Value, Obstacle> {
    serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|it| {
        let at = offset_of(text, it.line(), it.column());
        Obstacle::in_file(path, Some(Span::at(at)), format!("`{shown}` is not valid JSON"))
    })
}

/// Reads TOML.
pub(super) fn toml(path: &str, shown: &str, text: &str) -> Result<toml::Value, Obstacle> {
    text.parse::<toml::Table>().map(toml::Value::Table).map_err(|it| {
        let at = it.span().map(|it| Span::new(it.start.min(text.len()), it.end.min(text.len())));
        Obstacle::in_file(path, at, format!("`{shown}` is not valid TOML"))
    })
}

/// Reads XML, without anything from outside the text.
pub(super) fn xml<'a>(path: &str, shown: &str, text: &'a str) -> Result<roxmltree::Document<'a>, Obstacle> {
    roxmltree::Document::parse(text).map_err(|_| Obstacle::in_file(path, None, format!("`{shown}` is not valid XML")))
}

fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let mut at = (start + column.saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Where a JSON key stands: the keys of `path` are looked for one behind the other. Good enough to
/// show a place; nothing is decided by it.
pub(super) fn locate(text: &str, path: &[&str]) -> Option<Span> {
    let mut from = 0;
    let mut span = None;
    for key in path {
        let quoted = format!("\"{key}\"");
        let at = from + text.get(from..)?.find(&quoted)?;
        span = Some(Span::new(at, at + quoted.len()));
        from = at + quoted.len();
    }
    span
}

/// Where a text stands, if it does.
pub(super) fn locate_text(text: &str, what: &str) -> Option<Span> {
    text.find(what).map(|at| Span::new(at, at + what.len()))
}

/// Names of variables in `${NAME}` and `$NAME`.
pub(super) fn variables_in(text: &str) -> Vec<String> {
    crate::shell::expansions(text).variables
}
