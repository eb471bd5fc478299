//! Decoding of scalars: escapes and folding undone, with the way back to the file.
//!
//! The rules are those of YAML 1.2.2, chapters 7.3 and 8.1; where libyaml reads something that the
//! specification does not allow, it is followed, because runners and builders read files with it.

use super::{Scalar, Style};
use crate::edit::Span;
use crate::syntax::Mapped;

/// A block scalar.
pub(super) struct Block {
    /// What it is.
    pub scalar: Scalar,
    /// One past its last byte, the last line's ending left out.
    pub end: usize,
}

/// A line of a text: LF, CRLF and a lone CR end one.
#[derive(Clone, Copy)]
pub(super) struct Line {
    /// Its first byte.
    pub start: usize,
    /// One past its last byte, the ending left out.
    pub end: usize,
    /// Where the next one begins.
    pub next: usize,
}

impl Line {
    /// The line that begins at `start`; `None` at the end of the text.
    pub fn at(text: &str, start: usize) -> Option<Line> {
        let rest = text.as_bytes().get(start..).filter(|it| !it.is_empty())?;
        let length = rest.iter().position(|it| matches!(it, b'\n' | b'\r')).unwrap_or(rest.len());
        let ending = match rest.get(length..) {
            Some([b'\r', b'\n', ..]) => 2,
            Some([_, ..]) => 1,
            _ => 0,
        };
        Some(Line { start, end: start + length, next: start + length + ending })
    }

    /// Its text, the ending left out.
    pub fn of(self, text: &str) -> &str {
        Span::new(self.start, self.end).of(text)
    }

    fn ending(self) -> Option<Span> {
        (self.next > self.end).then_some(Span::new(self.end, self.next))
    }
}

/// Number of spaces at the start of `line`; tabs do not count.
pub(super) fn spaces(line: &str) -> usize {
    line.bytes().take_while(|it| *it == b' ').count()
}

/// Whether nothing but spaces and tabs is on `line`.
pub(super) fn is_blank(line: &str) -> bool {
    line.bytes().all(|it| matches!(it, b' ' | b'\t'))
}

/// Whether `line` is `---` or `...`, which end every scalar.
pub(super) fn is_document_marker(line: &str) -> bool {
    let rest = line.strip_prefix("---").or_else(|| line.strip_prefix("..."));
    rest.is_some_and(|it| it.is_empty() || it.starts_with([' ', '\t']))
}

/// A plain scalar at `span`.
pub(super) fn plain(text: &str, span: Span) -> Mapped {
    flow(text, span, Style::Plain)
}

/// A quoted scalar at `span`, quotes included.
pub(super) fn quoted(text: &str, span: Span, style: Style) -> Mapped {
    let end = if span.len() > 1 { span.end - 1 } else { span.end };
    flow(text, Span::new((span.start + 1).min(end), end), style)
}

fn flow(text: &str, span: Span, style: Style) -> Mapped {
    let bytes = text.as_bytes();
    let end = span.end.min(bytes.len());
    let mut res = Mapped::default();
    let mut at = span.start;
    while let Some(byte) = bytes.get(at).filter(|_| at < end) {
        let next = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => white(text, at, end, &mut res),
            b'\'' if style == Style::Single => {
                let next = (at + 2).min(end);
                res.push("'", Span::new(at, next));
                next
            }
            b'\\' if style == Style::Double => escape(text, at, end, &mut res),
            _ => {
                let special = |it: &u8| matches!(it, b' ' | b'\t' | b'\n' | b'\r' | b'\'' | b'\\');
                // The first byte is taken in any case, so that each round makes progress.
                let rest = bytes.get(at + 1..end).unwrap_or_default();
                let next = at + 1 + rest.iter().position(special).unwrap_or(rest.len());
                res.push(Span::new(at, next).of(text), Span::new(at, next));
                next
            }
        };
        at = next;
    }
    res
}

/// White space from `at`: kept inside a line, folded around line endings. Gives its end.
fn white(text: &str, at: usize, end: usize, res: &mut Mapped) -> usize {
    let (next, breaks) = white_end(text, at, end);
    let span = Span::new(at, next);
    match breaks {
        0 => res.push(span.of(text), span),
        1 => res.push(" ", span),
        _ => res.push(&"\n".repeat(breaks - 1), span),
    }
    next
}

fn white_end(text: &str, start: usize, end: usize) -> (usize, usize) {
    let bytes = text.as_bytes();
    let (mut at, mut breaks) = (start, 0);
    while at < end {
        match bytes.get(at) {
            Some(b' ' | b'\t') => {}
            Some(b'\r') if bytes.get(at + 1) == Some(&b'\n') => {}
            Some(b'\n' | b'\r') => breaks += 1,
            _ => break,
        }
        at += 1;
    }
    (at, breaks)
}

/// An escape of a double-quoted scalar. Gives its end. What is no escape stays as it is written.
fn escape(text: &str, at: usize, end: usize, res: &mut Mapped) -> usize {
    let Some(name) = text.get(at + 1..end).and_then(|it| it.chars().next()) else {
        res.push("\\", Span::new(at, at + 1));
        return at + 1;
    };
    let after = at + 1 + name.len_utf8();
    if matches!(name, '\n' | '\r') {
        let (next, breaks) = white_end(text, at + 1, end);
        res.push(&"\n".repeat(breaks.saturating_sub(1)), Span::new(at, next));
        return next;
    }
    let digits = match name {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => 0,
    };
    if digits > 0 {
        let next = after + digits;
        let code = text.get(after..next.min(end)).filter(|it| it.len() == digits && it.bytes().all(|it| it.is_ascii_hexdigit()));
        let Some(code) = code.and_then(|it| u32::from_str_radix(it, 16).ok()) else {
            res.push(Span::new(at, after).of(text), Span::new(at, after));
            return after;
        };
        let code = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        res.push(code.encode_utf8(&mut [0; 4]), Span::new(at, next));
        return next;
    }
    let value = match name {
        '0' => "\0",
        'a' => "\u{7}",
        'b' => "\u{8}",
        't' | '\t' => "\t",
        'n' => "\n",
        'v' => "\u{b}",
        'f' => "\u{c}",
        'r' => "\r",
        'e' => "\u{1b}",
        ' ' => " ",
        '"' => "\"",
        '/' => "/",
        '\\' => "\\",
        'N' => "\u{85}",
        '_' => "\u{a0}",
        'L' => "\u{2028}",
        'P' => "\u{2029}",
        _ => Span::new(at, after).of(text),
    };
    res.push(value, Span::new(at, after));
    after
}

/// How a block scalar ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chomp {
    Strip,
    Clip,
    Keep,
}

struct Header {
    style: Style,
    chomp: Chomp,
    /// The indentation indicator.
    indent: Option<usize>,
    /// One past the last indicator.
    end: usize,
}

fn header(text: &str, start: usize) -> Option<Header> {
    let style = match text.as_bytes().get(start)? {
        b'|' => Style::Literal,
        b'>' => Style::Folded,
        _ => return None,
    };
    let mut res = Header { style, chomp: Chomp::Clip, indent: None, end: start + 1 };
    while let Some(byte) = text.as_bytes().get(res.end) {
        match byte {
            b'-' => res.chomp = Chomp::Strip,
            b'+' => res.chomp = Chomp::Keep,
            b'1'..=b'9' => res.indent = Some(usize::from(byte - b'0')),
            _ => break,
        }
        res.end += 1;
    }
    Some(res)
}

/// The block scalar that begins at `start`, inside a collection at column `parent` (`None` where
/// it is the whole document).
pub(super) fn block(text: &str, start: usize, parent: Option<usize>) -> Option<Block> {
    let header = header(text, start)?;
    let folded = header.style == Style::Folded;
    let least = parent.map_or(0, |it| it + 1);
    let first = Line::at(text, header.end).map_or(text.len(), |it| it.next);
    let indent = match header.indent {
        Some(indent) => parent.unwrap_or(0) + indent,
        None => detect_indent(text, first, least),
    };

    let mut value = Mapped::default();
    let mut end = header.end;
    // The ending of the last line with text, and the endings of blank lines behind it: what
    // becomes of them is known only when the next line with text is, or none follows.
    let mut pending: Option<Span> = None;
    let mut blanks: Vec<Span> = Vec::new();
    let mut indented = false;
    let mut at = first;
    while let Some(line) = Line::at(text, at) {
        let content = line.of(text);
        let own = spaces(content);
        at = line.next;
        if is_blank(content) && (content.len() <= indent || own < indent) {
            blanks.extend(line.ending());
            continue;
        }
        if own < indent || (indent == 0 && is_document_marker(content)) {
            break;
        }
        let body = Span::new(line.start + indent, line.end);
        let starts_white = body.of(text).starts_with([' ', '\t']);
        if let Some(ending) = pending.take() {
            if !folded || indented || starts_white {
                value.push("\n", ending);
            } else if blanks.is_empty() {
                value.push(" ", Span::new(ending.start, body.start));
            }
        }
        blanks.drain(..).for_each(|it| value.push("\n", it));
        value.push(body.of(text), body);
        (pending, indented, end) = (line.ending(), starts_white, line.end);
    }

    if header.chomp != Chomp::Strip
        && let Some(ending) = pending
    {
        value.push("\n", ending);
    }
    if header.chomp == Chomp::Keep {
        end = blanks.last().map_or(end, |it| it.start);
        blanks.into_iter().for_each(|it| value.push("\n", it));
    }
    Some(Block { scalar: Scalar { style: header.style, value, indent }, end })
}

/// The most spaces in front of the first line that has anything else or of a blank line before it.
fn detect_indent(text: &str, first: usize, least: usize) -> usize {
    let mut res = least;
    let mut at = first;
    while let Some(line) = Line::at(text, at) {
        let content = line.of(text);
        res = res.max(spaces(content));
        if !is_blank(content) {
            break;
        }
        at = line.next;
    }
    res
}
