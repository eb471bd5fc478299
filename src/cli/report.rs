//! What all formats need: paths as the user reaches them, and lines and columns.

use crate::diagnostic::{Diagnostic, FileSpan};
use crate::edit::Span;
use crate::facts::{self, Text};
use crate::snapshot::Snapshot;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// Everything that a format prints.
pub struct Report<'a> {
    /// The checked state.
    pub snapshot: &'a Snapshot,
    /// In order of their shown path, place and rule.
    pub diagnostics: Vec<&'a Diagnostic>,
    /// How many files were checked.
    pub files: usize,
    /// How paths are shown.
    pub paths: &'a Paths,
    texts: RefCell<BTreeMap<Arc<str>, Rc<Lines>>>,
}

/// A place as people count: from one, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

impl<'a> Report<'a> {
    pub fn new(snapshot: &'a Snapshot, diagnostics: &'a [Diagnostic], files: usize, paths: &'a Paths) -> Report<'a> {
        let mut sorted: Vec<(String, &Diagnostic)> = diagnostics.iter().map(|it| (paths.show(&it.at.path), it)).collect();
        sorted.sort_by(|(a_path, a), (b_path, b)| (a_path, a.at.span, a.rule).cmp(&(b_path, b.at.span, b.rule)));
        Report { snapshot, diagnostics: sorted.into_iter().map(|(_, it)| it).collect(), files, paths, texts: RefCell::default() }
    }

    /// The text of a file with its lines; empty where it is not known.
    pub fn lines(&self, path: &Arc<str>) -> Rc<Lines> {
        let make = || {
            let text = match self.snapshot.text(path) {
                Some(Text::Known(text)) => text,
                _ => "".into(),
            };
            Rc::new(Lines::new(text))
        };
        self.texts.borrow_mut().entry(path.clone()).or_insert_with(make).clone()
    }

    /// Where a span begins and ends.
    pub fn places(&self, at: &FileSpan) -> (Place, Place) {
        let lines = self.lines(&at.path);
        (lines.place(at.span.start), lines.place(at.span.end))
    }
}

/// A text and where its lines begin. A line ends at a line feed, a carriage return, or both.
pub struct Lines {
    pub text: Arc<str>,
    starts: Vec<usize>,
}

impl Lines {
    pub fn new(text: Arc<str>) -> Lines {
        let bytes = text.as_bytes();
        let ends = (0..bytes.len()).filter(|it| bytes[*it] == b'\n' || (bytes[*it] == b'\r' && bytes.get(it + 1) != Some(&b'\n')));
        let starts = std::iter::once(0).chain(ends.map(|it| it + 1)).collect();
        Lines { text, starts }
    }

    pub fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|it| *it <= offset).saturating_sub(1);
        let before = Span::new(self.starts[line], offset.min(self.text.len())).of(&self.text);
        Place { line: line + 1, column: before.chars().count() + 1 }
    }

    /// The part of a span that lies on its first line, without white space and a continuation at
    /// the end.
    pub fn first_line(&self, span: Span) -> Span {
        let text = span.of(&self.text);
        let line = text.split(['\n', '\r']).next().unwrap_or("").trim_end();
        let shown = line.strip_suffix(['\\', '`']).map_or(line, str::trim_end);
        Span::new(span.start, span.start + shown.len())
    }

    /// From the beginning of the line of `start` to the end of the line of `end`, and the number of
    /// the first line.
    pub fn around(&self, span: Span) -> (Span, usize) {
        let first = self.place(span.start).line;
        let last = self.place(span.end).line;
        let start = self.starts.get(first - 1).copied().unwrap_or(0);
        let end = self.starts.get(last).copied().unwrap_or(self.text.len());
        (Span::new(start, end), first)
    }
}

/// How the user reaches files from the working directory.
#[derive(Debug, Clone)]
pub struct Paths {
    folder: String,
    /// Folders and files outside the working directory that were named by an absolute path.
    absolute: Vec<String>,
}

impl Paths {
    pub fn new(folder: &str, absolute: Vec<String>) -> Paths {
        Paths { folder: folder.to_owned(), absolute }
    }

    /// Relative to the working directory; absolute where the user said so.
    pub fn show(&self, path: &str) -> String {
        if let Some(below) = facts::relative(path, &self.folder).filter(|it| !it.is_empty()) {
            return below.to_owned();
        }
        if self.absolute.iter().any(|it| facts::is_below(path, it)) {
            return path.to_owned();
        }
        let mut common = self.folder.as_str();
        let mut up = String::new();
        while !facts::is_below(path, common) {
            common = facts::parent(common);
            up.push_str("../");
        }
        up + facts::relative(path, common).unwrap_or(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_as_they_are_reached() {
        let paths = Paths::new("/home/me/repo", vec!["/srv".into()]);
        assert_eq!(paths.show("/home/me/repo/a/Dockerfile"), "a/Dockerfile");
        assert_eq!(paths.show("/home/me/other/Dockerfile"), "../other/Dockerfile");
        assert_eq!(paths.show("/home/me/.dockerignore"), "../.dockerignore");
        assert_eq!(paths.show("/srv/x/Dockerfile"), "/srv/x/Dockerfile");
        assert_eq!(Paths::new("/", vec![]).show("/Dockerfile"), "Dockerfile");
    }

    #[test]
    fn places_count_characters() {
        let lines = Lines::new("é😀x\r\ny\rz".into());
        assert_eq!(lines.place(6), Place { line: 1, column: 3 });
        assert_eq!(lines.place(9), Place { line: 2, column: 1 });
        assert_eq!(lines.place(11), Place { line: 3, column: 1 });
        assert_eq!(lines.place(99), Place { line: 3, column: 2 });
    }

    #[test]
    fn a_long_instruction_is_marked_on_its_first_line() {
        let lines = Lines::new("RUN a \\\n  b\n".into());
        assert_eq!(lines.first_line(Span::new(0, 11)), Span::new(0, 5));
        assert_eq!(lines.around(Span::new(9, 10)), (Span::new(8, 12), 2));
    }
}
