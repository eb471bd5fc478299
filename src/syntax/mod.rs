//! Typed views of the syntax trees: owned data with spans, so that nothing above reaches the parser.

pub mod dockerfile;
pub mod yaml;

use crate::edit::Span;
use compact_str::CompactString;

/// A text that was put together from pieces of a source, and the way back to them.
///
/// A logical line of a Dockerfile (continuations and comments taken out) and a decoded YAML scalar
/// (escapes and folding undone) are read as plain text, and every span of that text can be found
/// again in the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapped {
    /// The text.
    pub text: CompactString,
    /// What the text begins with stands at this span of the source. A piece whose span is as long as its
    /// text is the same bytes; any other is atomic (an escape).
    first: Span,
    /// The other pieces in order: at this offset of the text begins what stands at this span. Apart from
    /// the first, because most texts have one piece, and then need no memory for them.
    more: Vec<(usize, Span)>,
}

impl Mapped {
    /// A text that stands in the source as it is.
    pub fn verbatim(text: &str, start: usize) -> Mapped {
        let mut res = Mapped::with_capacity(text.len());
        res.push(text, Span::new(start, start + text.len()));
        res
    }

    /// Has room for a text of this many bytes.
    pub fn with_capacity(length: usize) -> Mapped {
        Mapped { text: CompactString::with_capacity(length), ..Mapped::default() }
    }

    /// The piece with this number: where it begins in the text, and what it stands for.
    fn piece(&self, index: usize) -> Option<(usize, Span)> {
        match index.checked_sub(1) {
            Some(index) => self.more.get(index).copied(),
            None => (!self.text.is_empty()).then_some((0, self.first)),
        }
    }

    /// The number of the piece that holds the byte at `offset` of the text.
    fn holding(&self, offset: usize) -> usize {
        self.more.partition_point(|(at, _)| *at <= offset)
    }

    /// Where the piece with this number begins in the text, or the text ends.
    fn start_of(&self, index: usize) -> usize {
        self.piece(index).map_or(self.text.len(), |(at, _)| at)
    }

    /// Adds `text`, which stands for `source`.
    pub fn push(&mut self, text: &str, source: Span) {
        if text.is_empty() {
            return;
        }
        let plain = source.len() == text.len();
        let length = self.text.len();
        let (at, last) = self.more.last_mut().map_or((0, &mut self.first), |(at, last)| (*at, last));
        if length == 0 {
            self.first = source;
        } else if plain && last.end == source.start && last.len() == length - at {
            last.end = source.end;
        } else {
            self.more.push((length, source));
        }
        self.text.push_str(text);
    }

    /// The place in the source of the byte at `offset` of the text.
    pub fn offset(&self, offset: usize) -> usize {
        let index = self.holding(offset);
        let Some((at, source)) = self.piece(index) else { return 0 };
        let next = self.start_of(index + 1);
        if source.len() == next - at {
            (source.start + offset - at).min(source.end)
        } else if offset >= next {
            source.end
        } else {
            source.start
        }
    }

    /// The smallest span of the source that holds the bytes `span` of the text.
    pub fn span(&self, span: Span) -> Span {
        if span.is_empty() {
            return Span::at(self.offset(span.start));
        }
        let last = span.end - 1;
        let index = self.holding(last);
        let Some((at, source)) = self.piece(index) else { return Span::default() };
        let next = self.start_of(index + 1);
        let end = if source.len() == next - at { source.start + (span.end - at) } else { source.end };
        Span::new(self.offset(span.start), end)
    }

    /// Whether the bytes `span` of the text stand in the source as they are, in one piece.
    pub fn is_verbatim(&self, span: Span) -> bool {
        let index = self.holding(span.start);
        let Some((at, source)) = self.piece(index) else { return false };
        let next = self.start_of(index + 1);
        source.len() == next - at && span.end <= next
    }

    /// The same text, where its source stands `by` bytes further on.
    pub fn moved(&self, by: usize) -> Mapped {
        let more = self.more.iter().map(|(at, source)| (*at, source.shift(by))).collect();
        // An empty text has no first piece to be moved.
        let first = if self.text.is_empty() { self.first } else { self.first.shift(by) };
        Mapped { text: self.text.clone(), first, more }
    }

    /// A part of the text, with its way back.
    pub fn slice(&self, span: Span) -> Mapped {
        let mut res = Mapped::with_capacity(span.len());
        self.copy_to(&mut res, span);
        res
    }

    /// Adds a part of another text, with its way back.
    pub fn push_part(&mut self, other: &Mapped, span: Span) {
        other.copy_to(self, span);
    }

    /// Adds another text, with its way back.
    pub fn append(&mut self, other: &Mapped) {
        other.copy_to(self, Span::new(0, other.text.len()));
    }

    fn copy_to(&self, target: &mut Mapped, span: Span) {
        for index in self.holding(span.start).. {
            let Some((at, source)) = self.piece(index).filter(|(at, _)| *at < span.end) else { break };
            let next = self.start_of(index + 1);
            let (start, end) = (span.start.max(at), span.end.min(next));
            if start >= end {
                continue;
            }
            let plain = source.len() == next - at;
            let from = if plain { Span::new(source.start + start - at, source.start + end - at) } else { source };
            target.push(Span::new(start, end).of(&self.text), from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_lead_back_across_pieces() {
        let source = "RUN a \\\n  b";
        let mut text = Mapped::default();
        text.push("a ", Span::new(4, 6));
        text.push("  b", Span::new(8, 11));
        assert_eq!(text.text, "a   b");
        assert_eq!(text.span(Span::new(0, 1)).of(source), "a");
        assert_eq!(text.span(Span::new(4, 5)).of(source), "b");
        assert_eq!(text.span(Span::new(0, 5)).of(source), "a \\\n  b");
        assert!(text.is_verbatim(Span::new(0, 2)));
        assert!(!text.is_verbatim(Span::new(0, 3)));
        assert_eq!(text.slice(Span::new(1, 5)).span(Span::new(3, 4)).of(source), "b");
    }

    #[test]
    fn parts_are_joined_where_they_touch() {
        let text = Mapped::verbatim("abcdef", 10);
        let mut joined = Mapped::default();
        joined.push_part(&text, Span::new(0, 2));
        joined.push_part(&text, Span::new(2, 3));
        joined.push_part(&text, Span::new(4, 4));
        joined.push_part(&text, Span::new(5, 6));
        assert_eq!(joined.text, "abcf");
        assert!(joined.is_verbatim(Span::new(0, 3)));
        assert_eq!(joined.span(Span::new(2, 4)), Span::new(12, 16));
    }

    #[test]
    fn a_text_that_is_moved_stands_further_on() {
        assert_eq!(Mapped::verbatim("ab", 1).moved(2), Mapped::verbatim("ab", 3));
        assert_eq!(Mapped::default().moved(2), Mapped::default());
    }

    #[test]
    fn an_escape_is_one_piece() {
        let source = r#""a\tb""#;
        let mut text = Mapped::default();
        text.push("a", Span::new(1, 2));
        text.push("\t", Span::new(2, 4));
        text.push("b", Span::new(4, 5));
        assert_eq!(text.span(Span::new(1, 2)).of(source), r"\t");
        assert_eq!(text.span(Span::new(2, 3)).of(source), "b");
        assert_eq!(text.offset(3), 5);
    }
}
