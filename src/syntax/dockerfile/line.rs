//! The logical line of an instruction: joined from the lines it is written on, and split as BuildKit
//! splits it.
//!
//! Everything here follows `frontend/dockerfile/parser` of BuildKit (`parser.go`,
//! `split_command.go`, `line_parsers.go`). White space is what Go's `unicode.IsSpace` says, which is
//! what [`char::is_whitespace`] says, but for the places where BuildKit splits with the pattern
//! `[\t\v\f\r ]+`.

use super::{Flag, Word};
use crate::edit::Span;
use crate::syntax::Mapped;

/// White space at which BuildKit splits a line into keyword and arguments, and arguments that have
/// no quotes.
pub(super) fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

/// Puts the lines of `span` together: continuations are taken out, and so are the comments and blank
/// lines that follow one.
pub(super) fn join(text: &str, span: Span, escape: char) -> Mapped {
    let mut res = Mapped::with_capacity(span.len());
    let mut start = span.start;
    for line in span.of(text).split_inclusive('\n') {
        let content = line.trim_end_matches(['\r', '\n']);
        if start == span.start || !is_skipped(content) {
            let kept = without_continuation(content, escape);
            res.push(kept, Span::new(start, start + kept.len()));
        }
        start += line.len();
    }
    res
}

/// Whether a line after a continuation is a comment or blank.
fn is_skipped(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

/// An escape character is a continuation if only blanks follow, and if none stands before it.
fn without_continuation(line: &str, escape: char) -> &str {
    match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        Some(kept) if !kept.ends_with(escape) => kept,
        _ => line,
    }
}

/// The logical line, taken apart.
pub(super) struct Parts {
    /// Where the keyword stands in the line.
    pub keyword: Span,
    /// The flags, with spans of the source.
    pub flags: Vec<Flag>,
    /// Where the arguments stand in the line, without white space at either end.
    pub arguments: Span,
}

/// Takes a logical line apart.
pub(super) fn split(line: &Mapped, escape: char) -> Parts {
    let text = line.text.as_str();
    let start = text.len() - text.trim_start().len();
    let end = text.trim_end().len().max(start);
    let keyword_end = text[start..end].find(is_blank).map_or(end, |it| start + it);
    let (flags, rest) = flags(line, keyword_end, end, escape);
    Parts { keyword: Span::new(start, keyword_end), flags, arguments: trimmed(text, Span::new(rest, end)) }
}

/// A span without the white space at its ends.
pub(super) fn trimmed(text: &str, span: Span) -> Span {
    let part = span.of(text);
    let start = span.start + part.len() - part.trim_start().len();
    Span::new(start, start + part.trim().len())
}

/// Reads flags from `start` on; gives the place behind them.
///
/// Unlike BuildKit, which looks at single bytes here, this does not take the second byte of a
/// character such as `à` for white space.
fn flags(line: &Mapped, mut start: usize, end: usize, escape: char) -> (Vec<Flag>, usize) {
    let mut flags = Vec::new();
    loop {
        let rest = Span::new(start, end).of(&line.text);
        start += rest.len() - rest.trim_start_matches(is_blank).len();
        if !Span::new(start, end).of(&line.text).starts_with("--") {
            return (flags, start);
        }
        let (word, word_end) = flag_word(line, start, end, escape);
        let span = line.span(Span::new(start, word_end));
        start = word_end;
        if word.text == "--" {
            return (flags, start);
        }
        let name_end = word.text.find('=').unwrap_or(word.text.len());
        flags.push(Flag {
            span,
            name: Span::new(2, name_end).of(&word.text).to_lowercase(),
            value: (name_end < word.text.len()).then(|| word.slice(Span::new(name_end + 1, word.text.len()))),
        });
    }
}

/// One flag without its quotes and escapes, and the place behind it.
fn flag_word(line: &Mapped, start: usize, end: usize, escape: char) -> (Mapped, usize) {
    let mut res = Mapped::default();
    let mut quote = None;
    let mut kept = start;
    let mut chars = Span::new(start, end).of(&line.text).char_indices();
    while let Some((at, c)) = chars.next() {
        let at = start + at;
        if quote.is_none() && is_blank(c) {
            res.push_part(line, Span::new(kept, at));
            return (res, at);
        }
        let is_quote = match quote {
            Some(open) => c == open,
            None => c == '"' || c == '\'',
        };
        if is_quote {
            quote = if quote.is_some() { None } else { Some(c) };
        } else if c == escape {
            // The next character stands for itself, whatever it is.
            chars.next();
        } else {
            continue;
        }
        res.push_part(line, Span::new(kept, at));
        kept = at + c.len_utf8();
    }
    res.push_part(line, Span::new(kept, end));
    (res, end)
}

/// Words between white space; quotes mean nothing.
pub(super) fn plain_words(line: &Mapped) -> Vec<Word> {
    let mut res = Vec::new();
    let mut start = 0;
    for part in line.text.split(is_blank) {
        if !part.is_empty() {
            res.push(word(line, Span::new(start, start + part.len())));
        }
        start += part.len() + 1;
    }
    res
}

/// Words between white space that is neither quoted nor escaped.
pub(super) fn quoted_words(line: &Mapped, escape: char) -> Vec<Word> {
    quoted_spans(&line.text, escape).into_iter().map(|it| word(line, it)).collect()
}

/// Where [`quoted_words`] stand in the line.
pub(super) fn quoted_spans(text: &str, escape: char) -> Vec<Span> {
    let mut res = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if start.is_none() {
            if c.is_whitespace() {
                continue;
            }
            start = Some(at);
        }
        if c == escape && quote != Some('\'') {
            if chars.next().is_none() {
                // An escape at the end escapes nothing, and is dropped.
                res.extend(start.filter(|it| *it < at).map(|it| Span::new(it, at)));
                return res;
            }
            continue;
        }
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_whitespace() => res.extend(start.take().map(|it| Span::new(it, at))),
            None => {}
        }
    }
    res.extend(start.map(|it| Span::new(it, text.len())));
    res
}

/// A part of the line as a word.
pub(super) fn word(line: &Mapped, span: Span) -> Word {
    Word { span: line.span(span), text: span.of(&line.text).into() }
}

/// The strings of a JSON array of nothing but strings, as Go's `encoding/json` reads one; `None` for
/// anything else. Each span includes the quotes.
pub(super) fn json_strings(line: &Mapped, span: Span) -> Option<Vec<Word>> {
    let text = span.of(&line.text);
    let mut rest = json_blanks(text.strip_prefix('[')?);
    let mut res = Vec::new();
    if let Some(end) = rest.strip_prefix(']') {
        return json_blanks(end).is_empty().then_some(res);
    }
    loop {
        let (string, behind) = json_string(rest)?;
        let start = span.end - rest.len();
        res.push(Word { span: line.span(Span::new(start, span.end - behind.len())), text: string.into() });
        rest = json_blanks(behind);
        rest = match rest.strip_prefix(',') {
            Some(next) => json_blanks(next),
            None => return json_blanks(rest.strip_prefix(']')?).is_empty().then_some(res),
        };
    }
}

fn json_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\r', '\n'])
}

/// Decodes the string at the start of `text`; gives what stands behind it.
fn json_string(text: &str) -> Option<(String, &str)> {
    let mut res = String::new();
    let mut chars = text.strip_prefix('"')?.chars();
    loop {
        match chars.next()? {
            '"' => return Some((res, chars.as_str())),
            '\\' => res.push(json_escape(&mut chars)?),
            c if c < ' ' => return None,
            c => res.push(c),
        }
    }
}

/// Reads an escape behind its backslash. Half of a surrogate pair stands for the replacement
/// character, as in Go.
fn json_escape(chars: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match chars.next()? {
        c @ ('"' | '\\' | '/') => c,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let high = json_unit(chars)?;
            let mut ahead = chars.clone();
            let low = match (ahead.next(), ahead.next()) {
                (Some('\\'), Some('u')) => json_unit(&mut ahead).filter(|it| (0xDC00..0xE000).contains(it)),
                _ => None,
            };
            match low {
                Some(low) if (0xD800..0xDC00).contains(&high) => {
                    *chars = ahead;
                    char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))?
                }
                _ => char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER),
            }
        }
        _ => return None,
    })
}

fn json_unit(chars: &mut std::str::Chars<'_>) -> Option<u32> {
    let mut res = 0;
    for _ in 0..4 {
        res = res * 16 + chars.next()?.to_digit(16)?;
    }
    Some(res)
}
