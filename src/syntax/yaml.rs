//! The typed view of a YAML tree.
//!
//! [`parse`] reads a file, and after an edit only the part of it that changed. [`read`] takes what a
//! tree has; [`read_recovering`] also what is good in a broken file.
//! Values are text, as a workflow's runner takes them: no tag is followed, no number is parsed.

pub mod change;
mod pieces;
mod read;
mod recovery;
mod scalar;

pub use pieces::{Pieces, parse};
pub use read::read;
pub use recovery::read_recovering;

use super::Mapped;
use crate::edit::Span;
use compact_str::CompactString;
use std::sync::OnceLock;

/// A YAML file as it is written.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// What it was read in, if it was read in pieces.
    pieces: Pieces,
    /// What [`Source::root`] gives, if somebody has asked.
    root: OnceLock<Option<Node>>,
    /// All comments: from `#` to the end of the line, without its ending.
    pub comments: Vec<Span>,
    /// Places that could not be read. The rest of the file is in the root all the same; no edit is
    /// made of a file that has any.
    pub errors: Vec<Span>,
}

impl Source {
    /// The first document; `None` where there is none that can be read. It is put together of the pieces
    /// when it is first asked for.
    pub fn root(&self) -> Option<&Node> {
        self.root.get_or_init(|| self.pieces.root()).as_ref()
    }

    /// Forgets what can be made again: while a file is edited its pieces are kept, which are as large.
    pub fn slim(&mut self) {
        if !self.pieces.is_empty() {
            self.root.take();
        }
    }

    /// Forgets what only the next edit needs.
    pub fn settle(&mut self) {
        self.root();
        self.pieces = Pieces::default();
    }

    /// What the next text can be read with.
    pub fn pieces(&self) -> &Pieces {
        &self.pieces
    }
}

impl PartialEq for Source {
    /// What a file means does not depend on how it came about.
    fn eq(&self, other: &Source) -> bool {
        (self.root(), &self.comments, &self.errors) == (other.root(), &other.comments, &other.errors)
    }
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// From its first to its last byte, without anchor, tag, comments and trailing white space.
    /// For a block scalar: header and body, the last line's ending left out.
    pub span: Span,
    /// `&name` in front of it.
    pub anchor: Option<String>,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `key: value` pairs.
    Mapping(Mapping),
    /// `- item` list.
    Sequence(Sequence),
    /// Text, number, truth value.
    Scalar(Scalar),
    /// `*name`, with what it stands for where the anchor is known (not for a cycle).
    Alias(String, Option<std::sync::Arc<Node>>),
    /// Nothing: `key:` and no more, or a plain `~` or `null`.
    Null,
}

/// A mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    /// `{…}`.
    pub flow: bool,
    /// In the order of the file; double keys are all here.
    pub entries: Vec<Entry>,
}

/// One pair of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// From the key to the end of the value.
    pub span: Span,
    /// The key, decoded.
    pub key: CompactString,
    /// Where the key stands, quotes included.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

/// A sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    /// `[…]`.
    pub flow: bool,
    /// The items. In block style each node's span begins behind the dash.
    pub items: Vec<Node>,
}

/// A scalar.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// How it is written.
    pub style: Style,
    /// Its text, decoded, with the way back to the file.
    pub value: Mapped,
    /// For block scalars: the column of the text, in spaces.
    pub indent: usize,
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// `'…'`.
    Single,
    /// `"…"`.
    Double,
    /// `|`.
    Literal,
    /// `>`.
    Folded,
}

impl Node {
    /// What an alias stands for; any other node stands for itself.
    pub fn resolved(&self) -> &Node {
        match &self.kind {
            Kind::Alias(_, Some(target)) => target.resolved(),
            _ => self,
        }
    }

    /// The value of a key; the last one of double keys. Merge keys (`<<`) are followed.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|it| &it.value)
    }

    /// The pair of a key; the last one of double keys. Merge keys (`<<`) are followed.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        let Kind::Mapping(mapping) = &self.resolved().kind else { return None };
        if let Some(entry) = mapping.entries.iter().rev().find(|it| it.key == key) {
            return Some(entry);
        }
        mapping.entries.iter().filter(|it| it.key == "<<").find_map(|it| match &it.value.resolved().kind {
            Kind::Sequence(sequence) => sequence.items.iter().find_map(|it| it.entry(key)),
            _ => it.value.entry(key),
        })
    }

    /// The pairs of a mapping, merge keys not followed; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.resolved().kind {
            Kind::Mapping(mapping) => &mapping.entries,
            _ => &[],
        }
    }

    /// The start of the outermost scalar, alias or flow collection that holds `offset`; `offset` itself
    /// where there is none.
    pub fn outermost_leaf(&self, offset: usize) -> usize {
        let holds = |it: Span| it.start <= offset && offset < it.end;
        let inside = match &self.kind {
            Kind::Mapping(mapping) if !mapping.flow => match mapping.entries.iter().find(|it| holds(it.span)) {
                Some(entry) if holds(entry.key_span) => return entry.key_span.start,
                entry => entry.map(|it| &it.value),
            },
            Kind::Sequence(sequence) if !sequence.flow => sequence.items.iter().find(|it| holds(it.span)),
            _ => return if holds(self.span) { self.span.start } else { offset },
        };
        inside.map_or(offset, |it| it.outermost_leaf(offset))
    }

    /// The items of a sequence; none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.resolved().kind {
            Kind::Sequence(sequence) => &sequence.items,
            _ => &[],
        }
    }

    /// The scalar, behind aliases.
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.resolved().kind {
            Kind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The text of a scalar, behind aliases.
    pub fn text(&self) -> Option<&str> {
        self.scalar().map(|it| it.value.text.as_str())
    }
}
