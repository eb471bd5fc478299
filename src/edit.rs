//! Spans of bytes, and edits that cannot overlap.

use std::fmt;

/// Half-open range of UTF-8 bytes. No other kind of position exists below `server/`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The span from `start` to `end`.
    pub const fn new(start: usize, end: usize) -> Span {
        Span { start, end }
    }

    /// The empty span at `offset`.
    pub const fn at(offset: usize) -> Span {
        Span { start: offset, end: offset }
    }

    /// Length in bytes.
    pub const fn len(self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether no byte lies inside.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether `other` lies wholly inside.
    pub const fn contains(self, other: Span) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether `offset` lies inside or at the end.
    pub const fn touches(self, offset: usize) -> bool {
        self.start <= offset && offset <= self.end
    }

    /// Whether the two share a byte, or one is an empty span inside the other.
    pub const fn meets(self, other: Span) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// The smallest span that holds both.
    pub fn join(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The span moved right by `bytes`.
    pub const fn shift(self, bytes: usize) -> Span {
        Span { start: self.start + bytes, end: self.end + bytes }
    }

    /// The text at this span; empty where the span does not fit the text.
    pub fn of(self, text: &str) -> &str {
        text.get(self.start..self.end).unwrap_or("")
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// Replaces one span of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What is deleted; offsets in the text before any edit of the set.
    pub delete: Span,
    /// What is put in its place.
    pub insert: String,
}

impl Edit {
    /// Puts `text` at `offset`.
    pub fn insert(offset: usize, text: impl Into<String>) -> Edit {
        Edit { delete: Span::at(offset), insert: text.into() }
    }

    /// Deletes `span`.
    pub const fn delete(span: Span) -> Edit {
        Edit { delete: span, insert: String::new() }
    }

    /// Puts `text` in the place of `span`.
    pub fn replace(span: Span, text: impl Into<String>) -> Edit {
        Edit { delete: span, insert: text.into() }
    }
}

/// Two edits of one set want the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap;

/// Edits of one text, sorted and disjoint. Only [`EditSet::new`] makes one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EditSet(Vec<Edit>);

impl EditSet {
    /// Sorts the edits; insertions at one place keep the order they were given in.
    ///
    /// # Errors
    /// [`Overlap`] if two of them want the same bytes.
    pub fn new(mut edits: Vec<Edit>) -> Result<EditSet, Overlap> {
        edits.sort_by_key(|it| it.delete);
        let disjoint = edits.windows(2).all(|it| it[0].delete.end <= it[1].delete.start);
        if disjoint { Ok(EditSet(edits)) } else { Err(Overlap) }
    }

    /// The edits, first to last.
    pub fn iter(&self) -> std::slice::Iter<'_, Edit> {
        self.0.iter()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text after the edits. Edits that do not fit the text are left out.
    pub fn apply(&self, text: &str) -> String {
        let mut res = String::with_capacity(text.len());
        let mut done = 0;
        for edit in &self.0 {
            let Some(kept) = text.get(done..edit.delete.start) else { continue };
            if !text.is_char_boundary(edit.delete.end) {
                continue;
            }
            res.push_str(kept);
            res.push_str(&edit.insert);
            done = edit.delete.end;
        }
        res.push_str(text.get(done..).unwrap_or(""));
        res
    }

    /// Whether an edit of the other set wants bytes that one of this set wants.
    pub fn collides(&self, other: &EditSet) -> bool {
        self.0.iter().any(|a| other.0.iter().any(|b| a.delete.meets(b.delete)))
    }
}

/// The edits, line by line, that make one text of another.
pub fn between(before: &str, after: &str) -> EditSet {
    let diff = similar::TextDiff::from_lines(before, after);
    let (old_at, new_at) = (Offsets::new(diff.iter_old_slices()), Offsets::new(diff.iter_new_slices()));
    let mut edits = Vec::new();
    for op in diff.ops() {
        let (old, new) = (old_at.span(op.old_range()), new_at.span(op.new_range()));
        if op.tag() != similar::DiffTag::Equal {
            edits.push(Edit::replace(old, new.of(after)));
        }
    }
    EditSet::new(edits).unwrap_or_default()
}

/// Byte offsets of lines.
struct Offsets(Vec<usize>);

impl Offsets {
    fn new<'a>(lines: impl Iterator<Item = &'a str>) -> Offsets {
        let mut at = 0;
        let ends = lines.map(|it| {
            at += it.len();
            at
        });
        Offsets(std::iter::once(0).chain(ends).collect())
    }

    fn span(&self, lines: std::ops::Range<usize>) -> Span {
        let at = |index: usize| self.0.get(index).or(self.0.last()).copied().unwrap_or(0);
        Span::new(at(lines.start), at(lines.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn edits_of_a_set_do_not_overlap() {
        let edits = vec![Edit::delete(Span::new(2, 5)), Edit::delete(Span::new(4, 6))];
        assert_eq!(EditSet::new(edits), Err(Overlap));
    }

    #[test]
    fn edits_apply_in_order_of_place() {
        let edits = vec![Edit::replace(Span::new(4, 5), "E"), Edit::insert(0, "<"), Edit::delete(Span::new(1, 3))];
        assert_eq!(EditSet::new(edits).unwrap().apply("abcdef"), "<adEf");
    }

    #[test]
    fn an_edit_beyond_the_text_changes_nothing() {
        assert_eq!(EditSet::new(vec![Edit::delete(Span::new(7, 9))]).unwrap().apply("abc"), "abc");
    }

    proptest! {
        #[test]
        fn line_edits_make_one_text_of_another(before in "[ab\r\né]{0,20}", after in "[ab\r\né]{0,20}") {
            prop_assert_eq!(between(&before, &after).apply(&before), after);
        }
    }
}
