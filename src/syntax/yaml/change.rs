//! Edits of YAML that change one value and leave every other byte as it is.
//!
//! Line endings, indentation, quotes and comments stay. Where that cannot be done exactly there is
//! no edit: in a file with errors, in what is anchored (it may stand elsewhere too), in folded
//! scalars, in scalars and flow collections over several lines.

use super::scalar::{self, Line};
use super::{Entry, Kind, Mapping, Node, Scalar, Source, Style, read};
use crate::edit::{Edit, Span};

/// A value to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum New<'a> {
    /// A text; of several lines, it becomes a literal block scalar where one can hold it.
    Text(&'a str),
    /// Keys and their texts.
    Mapping(&'a [(&'a str, &'a str)]),
    /// A list of texts, on one line.
    List(&'a [&'a str]),
}

/// Adds `key` behind the last entry of a mapping, or gives a value to `key` if it is there without
/// one.
///
/// `None` if the key has a value already.
pub fn insert_entry(text: &str, source: &Source, mapping: &Node, key: &str, value: New) -> Option<Edit> {
    let place = Place::of(source, mapping)?;
    let Kind::Mapping(Mapping { flow, entries }) = &mapping.kind else { return None };
    if let Some(entry) = entries.iter().find(|it| it.key == key) {
        return fill(text, source, mapping, entry, value);
    }
    if *flow || place.flow {
        return insert_in_flow(text, mapping, entries, key, value);
    }
    let column = key_column(text, entries.first()?.key_span.start)?;
    // A block scalar that ends with the file has no final line ending and would get one.
    let after = entries.iter().rev().find(|it| !ends_without_line_ending(text, &it.value))?;
    key_column(text, after.key_span.start)?;
    let at = end_of_line(text, after.span.end)?;
    let lines = Lines { text, at, column };
    lines.insert(&lines.entry(key, value)?)
}

/// Adds lines behind the last line of a literal block scalar; a scalar on one line becomes one of several
/// lines.
pub fn append_lines(text: &str, source: &Source, node: &Node, new: &[&str]) -> Option<Edit> {
    let place = Place::of(source, node)?;
    let Kind::Scalar(scalar) = &node.kind else { return None };
    if new.is_empty() || new.iter().any(|it| scalar::is_blank(it) || !it.chars().all(is_printable)) {
        return None;
    }
    if scalar.style != Style::Literal {
        let key = place.key.filter(|_| !place.flow && is_on_one_line(text, node))?;
        let all = format!("{}\n{}\n", scalar.value.text, new.join("\n"));
        let column = key_column(text, key.start)?;
        let end = end_of_line(text, node.span.end)?;
        let lines = Lines { text, at: end, column };
        let body = lines.literal(&all)?;
        let rest = Span::new(node.span.end, end).of(text);
        let header = body.header;
        return lines.fits(&body.lines).then(|| Edit::replace(Span::new(node.span.start, end), format!("{header}{rest}{}", body.lines)));
    }
    let last = scalar.value.text.trim_end_matches('\n').len().checked_sub(1)?;
    let at = Line::at(text, scalar.value.offset(last))?.end;
    let start = format!("{}{}", line_ending(text, at), " ".repeat(scalar.indent));
    Some(Edit::insert(at, new.iter().map(|it| format!("{start}{it}")).collect::<String>()))
}

/// Puts `new` in the place of `part` of a scalar's decoded text.
pub fn replace_part(text: &str, source: &Source, node: &Node, part: Span, new: &str) -> Option<Edit> {
    let place = Place::of(source, node)?;
    let Kind::Scalar(scalar) = &node.kind else { return None };
    let value = &scalar.value.text;
    let whole = format!("{}{new}{}", value.get(..part.start)?, value.get(part.end..)?);
    value.get(part.start..part.end)?;
    match scalar.style {
        Style::Folded => None,
        Style::Literal => replace_in_literal(text, scalar, part, new),
        _ if !is_on_one_line(text, node) => None,
        Style::Plain if is_plain(&whole, place.flow) => Some(Edit::replace(scalar.value.span(part), new)),
        Style::Single if new.chars().all(is_printable) => Some(Edit::replace(exact(text, node, scalar, part)?, new.replace('\'', "''"))),
        Style::Double => Some(Edit::replace(exact(text, node, scalar, part)?, escaped(new))),
        Style::Plain | Style::Single => Some(Edit::replace(node.span, quoted(&whole))),
    }
}

/// Puts `new` in the place of a scalar on one line, or of a value that is not there.
pub fn replace_text(text: &str, source: &Source, node: &Node, new: &str) -> Option<Edit> {
    match &node.kind {
        Kind::Scalar(scalar) => replace_part(text, source, node, Span::new(0, scalar.value.text.len()), new),
        Kind::Null => {
            let place = Place::of(source, node)?;
            let written = written(new, place.flow);
            if !node.span.is_empty() {
                return Some(Edit::replace(node.span, written));
            }
            let indicator = match place.key {
                Some(key) => Span::new(key.end, node.span.start).of(text).trim_start() == ":",
                None => text.get(..node.span.start)?.ends_with('-'),
            };
            (!place.flow && indicator).then(|| Edit::insert(node.span.start, format!(" {written}")))
        }
        _ => None,
    }
}

/// Deletes an entry of a mapping, in block style with its lines and the comment on them.
///
/// `None` for the only entry: delete the one that holds the mapping.
pub fn delete_entry(text: &str, source: &Source, mapping: &Node, entry: &Entry) -> Option<Edit> {
    let place = Place::of(source, mapping)?;
    let Kind::Mapping(Mapping { flow, entries }) = &mapping.kind else { return None };
    let index = entries.iter().position(|it| it.key_span == entry.key_span)?;
    let before = index.checked_sub(1).and_then(|it| entries.get(it));
    let after = entries.get(index + 1);
    if (before.is_none() && after.is_none()) || holds_anchor(&entry.value) {
        return None;
    }
    if *flow || place.flow {
        return delete_in_flow(text, mapping, entry, before, after);
    }
    key_column(text, entry.key_span.start)?;
    let end = end_of_line(text, entry.span.end)?;
    let next = Line::at(text, end).map_or(text.len(), |it| it.next);
    let start = line_start(text, entry.key_span.start);
    if !scalar::is_blank(Span::new(start, entry.key_span.start).of(text)) {
        // Behind a dash: the next entry takes the place.
        let after = after?;
        key_column(text, after.key_span.start)?;
        let between = Span::new(next, after.key_span.start).of(text);
        return between.trim().is_empty().then(|| Edit::delete(Span::new(entry.key_span.start, after.key_span.start)));
    }
    let absorbs = before.is_some_and(|it| absorbs(text, tail(&it.value), next));
    (!absorbs).then(|| Edit::delete(Span::new(start, next)))
}

fn delete_in_flow(text: &str, mapping: &Node, entry: &Entry, before: Option<&Entry>, after: Option<&Entry>) -> Option<Edit> {
    // Not behind an anchor or a question mark.
    let begins = |it: &Entry| text.get(..it.span.start).is_some_and(|it| it.trim_end().ends_with(['{', ',']));
    if !is_on_one_line(text, mapping) || !begins(entry) || !after.is_none_or(begins) {
        return None;
    }
    match (before, after) {
        (_, Some(after)) => Some(Edit::delete(Span::new(entry.span.start, after.span.start))),
        (Some(before), None) if before.value.kind != Kind::Null => Some(Edit::delete(Span::new(before.span.end, entry.span.end))),
        _ => None,
    }
}

/// Whether there is an anchor in a value, which aliases elsewhere may need.
fn holds_anchor(node: &Node) -> bool {
    node.anchor.is_some()
        || match &node.kind {
            Kind::Mapping(mapping) => mapping.entries.iter().any(|it| holds_anchor(&it.value)),
            Kind::Sequence(sequence) => sequence.items.iter().any(holds_anchor),
            _ => false,
        }
}

/// What stands around a node.
struct Place {
    /// Inside `[…]` or `{…}`.
    flow: bool,
    /// The key whose value it is.
    key: Option<Span>,
}

impl Place {
    /// `None` if the file has errors, or the node or something around it is anchored.
    fn of(source: &Source, target: &Node) -> Option<Place> {
        if !source.errors.is_empty() {
            return None;
        }
        let mut place = Place { flow: false, key: None };
        let mut node = source.root()?;
        loop {
            if node.anchor.is_some() {
                return None;
            }
            if node.span == target.span && node.kind == target.kind {
                return Some(place);
            }
            let inside = |it: &&Node| it.span.contains(target.span);
            node = match &node.kind {
                Kind::Mapping(mapping) => {
                    place.flow |= mapping.flow;
                    let entry = mapping.entries.iter().find(|it| inside(&&it.value))?;
                    place.key = Some(entry.key_span);
                    &entry.value
                }
                Kind::Sequence(sequence) => {
                    place.flow |= sequence.flow;
                    place.key = None;
                    sequence.items.iter().find(inside)?
                }
                _ => return None,
            };
        }
    }
}

/// Gives a value to a key without one.
fn fill(text: &str, source: &Source, mapping: &Node, entry: &Entry, value: New) -> Option<Edit> {
    if entry.value.kind != Kind::Null {
        return None;
    }
    let multi = match value {
        New::Text(new) if !new.contains('\n') => return replace_text(text, source, &entry.value, new),
        _ => value,
    };
    let place = Place::of(source, &entry.value)?;
    let Kind::Mapping(Mapping { flow: false, .. }) = &mapping.kind else { return None };
    if place.flow || Span::new(entry.key_span.end, entry.value.span.end).of(text).trim_start() != ":" {
        return None;
    }
    let column = key_column(text, entry.key_span.start)?;
    let end = end_of_line(text, entry.span.end)?;
    let lines = Lines { text, at: end, column };
    let body = lines.value(multi)?;
    let rest = Span::new(entry.span.end, end).of(text);
    lines.fits(&body.lines).then(|| match body.header.is_empty() {
        true => Edit::insert(end, body.lines),
        false => Edit::replace(Span::new(entry.span.end, end), format!(" {}{rest}{}", body.header, body.lines)),
    })
}

/// A list on one line.
fn list(items: &[&str]) -> String {
    format!("[{}]", items.iter().map(|it| written(it, true)).collect::<Vec<_>>().join(", "))
}

fn insert_in_flow(text: &str, mapping: &Node, entries: &[Entry], key: &str, value: New) -> Option<Edit> {
    if !is_on_one_line(text, mapping) {
        return None;
    }
    let pair = |key: &str, value: &str| format!("{}: {}", written(key, true), written(value, true));
    let pair = match value {
        New::Text(new) => pair(key, new),
        New::List(items) => format!("{}: {}", written(key, true), list(items)),
        New::Mapping(pairs) => {
            let pairs: Vec<_> = pairs.iter().map(|it| pair(it.0, it.1)).collect();
            format!("{}: {{{}}}", written(key, true), pairs.join(", "))
        }
    };
    match entries.last() {
        // Behind a colon or a bare key a comma would be read as part of it by some.
        Some(last) if last.value.kind == Kind::Null => None,
        Some(last) => Some(Edit::insert(last.span.end, format!(", {pair}"))),
        None => Some(Edit::insert(mapping.span.start + 1, pair)),
    }
}

fn replace_in_literal(text: &str, scalar: &Scalar, part: Span, new: &str) -> Option<Edit> {
    let value = &scalar.value.text;
    let old = part.of(value);
    if old.contains('\n') || !new.chars().all(is_printable) || (part.start == value.len() && value.ends_with('\n')) {
        return None;
    }
    let start = value.get(..part.start)?.rfind('\n').map_or(0, |it| it + 1);
    let end = value.get(part.end..)?.find('\n').map_or(value.len(), |it| part.end + it);
    let line = format!("{}{new}{}", value.get(start..part.start)?, value.get(part.end..end)?);
    // A blank line may be chomped or lack indentation; white space in front of the first line is taken for indentation.
    let is_blank = scalar::is_blank(&line) || scalar::is_blank(value.get(start..end)?);
    if is_blank || (line.starts_with([' ', '\t']) && value.get(..start)?.trim().is_empty()) || value.is_empty() || scalar.indent == 0 {
        return None;
    }
    let span = scalar.value.span(part);
    (span.of(text) == old).then(|| Edit::replace(span, new))
}

/// The bytes that stand for `part` of a quoted scalar on one line and for nothing else.
fn exact(text: &str, node: &Node, scalar: &Scalar, part: Span) -> Option<Span> {
    if scalar.value.text.is_empty() {
        return Some(Span::at(node.span.start + 1));
    }
    let span = scalar.value.span(part);
    let decoded = scalar::quoted(text, Span::new(span.start.checked_sub(1)?, span.end + 1), scalar.style);
    (decoded.text == part.of(&scalar.value.text)).then_some(span)
}

/// New lines of a block mapping.
struct Lines<'a> {
    text: &'a str,
    /// The end of the line that they are put behind.
    at: usize,
    /// The column of the mapping.
    column: usize,
}

/// A value in block style.
struct Body {
    /// What follows the colon.
    header: String,
    /// The lines below it, each with the line ending in front of it.
    lines: String,
}

impl Lines<'_> {
    fn start(&self, column: usize) -> String {
        format!("{}{}", line_ending(self.text, self.at), " ".repeat(column))
    }

    fn entry(&self, key: &str, value: New) -> Option<String> {
        let body = self.value(value)?;
        let space = if body.header.is_empty() { "" } else { " " };
        Some(format!("{}{}:{space}{}{}", self.start(self.column), written(key, false), body.header, body.lines))
    }

    fn value(&self, value: New) -> Option<Body> {
        match value {
            New::Mapping([]) => None,
            New::List(items) => Some(Body { header: list(items), lines: String::new() }),
            New::Mapping(pairs) => {
                let below = Lines { column: self.column + 2, ..*self };
                let lines = pairs.iter().map(|(key, value)| below.entry(key, New::Text(value))).collect::<Option<String>>()?;
                Some(Body { header: String::new(), lines })
            }
            New::Text(new) if new.contains('\n') => Some(self.literal(new).unwrap_or_else(|| Body { header: quoted(new), lines: String::new() })),
            New::Text(new) => Some(Body { header: written(new, false), lines: String::new() }),
        }
    }

    /// `new` as a literal block scalar, if one can hold it.
    fn literal(&self, new: &str) -> Option<Body> {
        let body = new.strip_suffix('\n').unwrap_or(new);
        let good = body.lines().all(|it| it.chars().all(is_printable)) && !body.contains('\r');
        if !good || body.is_empty() || body.starts_with([' ', '\t', '\n']) || body.ends_with('\n') {
            return None;
        }
        let blank = body.split('\n').any(|it| !it.is_empty() && scalar::is_blank(it));
        let start = self.start(self.column + 2);
        let empty = line_ending(self.text, self.at);
        let mut lines: String = body.split('\n').map(|it| if it.is_empty() { empty.to_owned() } else { format!("{start}{it}") }).collect();
        let clip = body.len() < new.len();
        if clip && self.at >= self.text.len() {
            lines.push_str(empty);
        }
        (!blank).then(|| Body { header: if clip { "|" } else { "|-" }.to_owned(), lines })
    }

    /// Whether what follows stays what it is: a comment must not become part of a block scalar.
    fn fits(&self, lines: &str) -> bool {
        let next = Line::at(self.text, self.at).map_or(self.text.len(), |it| it.next);
        lines.is_empty() || !next_line(self.text, next).is_some_and(|it| it.trim_start().starts_with('#') && scalar::spaces(it) > self.column)
    }

    fn insert(&self, lines: &str) -> Option<Edit> {
        let multi = lines.trim_start().contains(['\n', '\r']);
        (!multi || self.fits(lines)).then(|| Edit::insert(self.at, lines))
    }
}

/// The deepest last value.
fn tail(node: &Node) -> &Node {
    let last = match &node.kind {
        Kind::Mapping(mapping) if !mapping.flow => mapping.entries.last().map(|it| &it.value),
        Kind::Sequence(sequence) if !sequence.flow => sequence.items.last(),
        _ => None,
    };
    last.map_or(node, tail)
}

fn is_block_scalar(node: &Node) -> Option<&Scalar> {
    match &node.kind {
        Kind::Scalar(scalar) if matches!(scalar.style, Style::Literal | Style::Folded) => Some(scalar),
        _ => None,
    }
}

/// Whether indicators behind `|` or `>` have `which`.
fn has_indicator(text: &str, node: &Node, which: char) -> bool {
    node.span.of(text).chars().skip(1).take_while(|it| matches!(it, '+' | '-' | '1'..='9')).any(|it| it == which)
}

fn ends_without_line_ending(text: &str, node: &Node) -> bool {
    let tail = tail(node);
    is_block_scalar(tail).is_some() && !has_indicator(text, tail, '-') && Line::at(text, tail.span.end).is_none_or(|it| it.next == it.end)
}

/// Whether a block scalar would take lines from `next` for its own if they came right behind it.
fn absorbs(text: &str, node: &Node, next: usize) -> bool {
    let Some(scalar) = is_block_scalar(node) else { return false };
    let blank = Line::at(text, next).is_some_and(|it| scalar::is_blank(it.of(text)));
    let indented = next_line(text, next).is_some_and(|it| scalar::spaces(it) >= scalar.indent);
    indented || (blank && has_indicator(text, node, '+'))
}

/// The first line from `start` that is not blank.
fn next_line(text: &str, start: usize) -> Option<&str> {
    let mut at = start;
    while let Some(line) = Line::at(text, at) {
        if !scalar::is_blank(line.of(text)) {
            return Some(line.of(text));
        }
        at = line.next;
    }
    None
}

fn is_on_one_line(text: &str, node: &Node) -> bool {
    !node.span.of(text).contains(['\n', '\r'])
}

fn line_start(text: &str, offset: usize) -> usize {
    text.get(..offset).and_then(|it| it.rfind(['\n', '\r'])).map_or(0, |it| it + 1)
}

/// The column of a key that nothing but spaces and dashes stands in front of.
fn key_column(text: &str, offset: usize) -> Option<usize> {
    let before = Span::new(line_start(text, offset), offset).of(text);
    let before = before.strip_prefix('\u{feff}').unwrap_or(before);
    before.bytes().all(|it| matches!(it, b' ' | b'-')).then_some(before.len())
}

/// The end of the line that `offset` is on, if nothing but a comment is in between.
fn end_of_line(text: &str, offset: usize) -> Option<usize> {
    let rest = text.get(offset..)?;
    let rest = rest.get(..rest.find(['\n', '\r']).unwrap_or(rest.len()))?;
    let trimmed = rest.trim_start_matches([' ', '\t']);
    (trimmed.is_empty() || (trimmed.starts_with('#') && trimmed.len() < rest.len())).then_some(offset + rest.len())
}

/// The ending of the line that `offset` is on, or of one before it.
fn line_ending(text: &str, offset: usize) -> &str {
    let own = Line::at(text, offset).map_or("", |it| Span::new(it.end, it.next).of(text));
    let before = text.get(..offset).unwrap_or("");
    match own {
        "" if before.ends_with("\r\n") => "\r\n",
        "" => match before.rfind(['\n', '\r']) {
            Some(end) if before.get(..end + 1).is_some_and(|it| it.ends_with("\r\n")) => "\r\n",
            Some(end) => before.get(end..end + 1).unwrap_or("\n"),
            None => "\n",
        },
        own => own,
    }
}

/// `new` as a scalar on one line: plain where that is read back as the same text.
fn written(new: &str, flow: bool) -> String {
    if is_plain(new, flow) { new.to_owned() } else { quoted(new) }
}

fn quoted(new: &str) -> String {
    if new.chars().all(is_printable) { format!("'{}'", new.replace('\'', "''")) } else { format!("\"{}\"", escaped(new)) }
}

/// `new` between double quotes.
fn escaped(new: &str) -> String {
    let mut res = String::with_capacity(new.len());
    for it in new.chars() {
        match it {
            '"' | '\\' => res.extend(['\\', it]),
            '\n' => res.push_str("\\n"),
            '\r' => res.push_str("\\r"),
            '\t' => res.push_str("\\t"),
            it if is_printable(it) => res.push(it),
            it if u32::from(it) <= 0xffff => res.push_str(&format!("\\u{:04x}", u32::from(it))),
            it => res.push_str(&format!("\\U{:08x}", u32::from(it))),
        }
    }
    res
}

/// Whether every style can hold it on one line as it is.
fn is_printable(it: char) -> bool {
    !it.is_control() && !matches!(it, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Whether `text` without quotes is read back as this text, and as text, or as a number or truth
/// value that is written in the one way that all take it for.
fn is_plain(text: &str, flow: bool) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let second = text.chars().nth(1);
    let begins = match first {
        '-' | '?' | ':' => second.is_some_and(|it| it.is_alphanumeric()),
        _ => !"#,[]{}&*!|>'\"%@`".contains(first),
    };
    let ends = text.trim() == text && !text.ends_with(':');
    let inside = text.chars().all(is_printable) && !text.contains(": ") && !text.contains(" #");
    let in_flow = |it: char| it.is_alphanumeric() || " _./=@+-".contains(it);
    begins && ends && inside && (!flow || text.chars().all(in_flow)) && is_read_as_text(text)
}

/// Whether no YAML, 1.1 or 1.2, takes the plain `text` for anything else than text that prints in
/// another way.
fn is_read_as_text(text: &str) -> bool {
    const WORDS: &[&str] = &["yes", "no", "on", "off", "true", "false", "null", "~", "=", "<<", "---", "..."];
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = digits == "0" || (!digits.starts_with('0') && !digits.is_empty() && digits.len() < 16 && digits.bytes().all(|it| it.is_ascii_digit()));
    if matches!(text, "true" | "false") || canonical {
        return true;
    }
    let number = digits.trim_start_matches(['+', '.']);
    let numeric = |it: u8| it.is_ascii_hexdigit() || b"xXoO_.:+-TtZz ".contains(&it);
    let is_version = text.matches('.').count() > 1 && text.bytes().all(|it| it.is_ascii_digit() || it == b'.');
    let is_number = number.starts_with(|it: char| it.is_ascii_digit()) && text.bytes().all(numeric) && !is_version;
    let is_word = WORDS.iter().any(|it| it.eq_ignore_ascii_case(text)) || read::is_null(text);
    let is_special = number.len() < text.len() && ["inf", "nan"].iter().any(|it| it.eq_ignore_ascii_case(number));
    !is_number && !is_word && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::EditSet;
    use crate::text::{Document, Language};
    use proptest::prelude::*;
    use serde_yaml::Value;

    fn source(text: &str) -> Source {
        super::super::read(text, Document::new(Language::Yaml, text).tree().unwrap())
    }

    fn applied(text: &str, edit: Edit) -> String {
        EditSet::new(vec![edit]).unwrap().apply(text)
    }

    /// Follows keys and indices: `jobs.build.steps.0`.
    fn find<'a>(source: &'a Source, path: &str) -> &'a Node {
        let root = source.root().unwrap();
        path.split('.').filter(|it| !it.is_empty()).fold(root, |node, it| match it.parse::<usize>() {
            Ok(index) => &node.items()[index],
            Err(_) => node.get(it).unwrap(),
        })
    }

    #[track_caller]
    fn check(text: &str, path: &str, change: impl Fn(&str, &Source, &Node) -> Option<Edit>, expected: &str) {
        // A text without line endings says nothing of the ending of new lines.
        for eol in ["\n", "\r\n"].into_iter().take(if text.contains('\n') { 2 } else { 1 }) {
            let (text, expected) = (text.replace('\n', eol), expected.replace('\n', eol));
            let source = source(&text);
            assert_eq!(source.errors, []);
            let edit = change(&text, &source, find(&source, path)).unwrap();
            assert_eq!(applied(&text, edit), expected);
        }
    }

    #[track_caller]
    fn refuses(text: &str, path: &str, change: impl Fn(&str, &Source, &Node) -> Option<Edit>) {
        let source = source(text);
        assert_eq!(change(text, &source, find(&source, path)), None);
    }

    fn insert(key: &str, value: &str) -> impl Fn(&str, &Source, &Node) -> Option<Edit> {
        move |text, source, node| insert_entry(text, source, node, key, New::Text(value))
    }

    fn with(text: &str, source: &Source, node: &Node) -> Option<Edit> {
        insert_entry(text, source, node, "with", New::Mapping(&[("scope", "app"), ("tags", "a\nb\n")]))
    }

    fn append(line: &str) -> impl Fn(&str, &Source, &Node) -> Option<Edit> {
        move |text, source, node| append_lines(text, source, node, &[line])
    }

    fn replace(old: &str, new: &str) -> impl Fn(&str, &Source, &Node) -> Option<Edit> {
        move |text, source, node| {
            let start = node.text().unwrap_or_default().find(old)?;
            replace_part(text, source, node, Span::new(start, start + old.len()), new)
        }
    }

    fn set(new: &str) -> impl Fn(&str, &Source, &Node) -> Option<Edit> {
        move |text, source, node| replace_text(text, source, node, new)
    }

    fn delete(key: &str) -> impl Fn(&str, &Source, &Node) -> Option<Edit> {
        move |text, source, node| delete_entry(text, source, node, node.entry(key)?)
    }

    #[test]
    fn an_entry_goes_behind_the_last_one() {
        check("a:\n  b: c # d\n\n# e\nf: g\n", "a", insert("x", "y"), "a:\n  b: c # d\n  x: y\n\n# e\nf: g\n");
        check("- b: c\n  d:\n    - e\n- f: g\n", "0", insert("x", "y"), "- b: c\n  d:\n    - e\n  x: y\n- f: g\n");
        check("- - a: b", "0.0", insert("x", "y"), "- - a: b\n    x: y");
        check("a:\n  b: |\n    c\n\n\nd: e\n", "a", insert("x", "y"), "a:\n  b: |\n    c\n  x: y\n\n\nd: e\n");
        check("a:\n  b: |+\n    c\n\n\nd: e\n", "a", insert("x", "y"), "a:\n  b: |+\n    c\n\n\n  x: y\nd: e\n");
        check("a: b\nc: d e\n  f\n", "", insert("x", "y"), "a: b\nc: d e\n  f\nx: y\n");
        check("a: b\nc: [d,\n  e] # f\n", "", insert("x", "y"), "a: b\nc: [d,\n  e] # f\nx: y\n");
        check("\u{feff}a: b\n", "", insert("x", "y"), "\u{feff}a: b\nx: y\n");
    }

    #[test]
    fn an_entry_does_not_give_a_scalar_the_line_ending_it_lacks() {
        check("a: b\nc: |\n  d", "", insert("x", "y"), "a: b\nx: y\nc: |\n  d");
        check("a: b\nc: |-\n  d", "", insert("x", "y"), "a: b\nc: |-\n  d\nx: y");
        refuses("c: |\n  d", "", insert("x", "y"));
    }

    #[test]
    fn an_entry_goes_into_a_flow_mapping_on_one_line() {
        check("a: {b: c} # d\n", "a", insert("x", "y"), "a: {b: c, x: y} # d\n");
        check("a: { b: c }", "a", insert("x", "${{ y }}"), "a: { b: c, x: '${{ y }}' }");
        check("a: {}\n", "a", insert("x", "y"), "a: {x: y}\n");
        check("a: [{b: c, }]\n", "a.0", insert("x", "y"), "a: [{b: c, x: y, }]\n");
        refuses("a: {b: c,\n  d: e}\n", "a", insert("x", "y"));
        refuses("a: {b: c, d}\n", "a", insert("x", "y"));
    }

    #[test]
    fn a_key_without_a_value_gets_one() {
        check("a:\n  x: # b\n  c: d\n", "a", insert("x", "y"), "a:\n  x: y # b\n  c: d\n");
        check("a: b\nwith:\n", "", with, "a: b\nwith:\n  scope: app\n  tags: |\n    a\n    b\n");
        check("x: # b\n", "", insert("x", "a\nb\n"), "x: | # b\n  a\n  b\n");
        refuses("x: y\n", "", insert("x", "z"));
        refuses("a:\n  x: &b\n", "a", insert("x", "z"));
    }

    #[test]
    fn a_step_gets_inputs() {
        let expected = "- uses: a\n  with:\n    scope: app\n    tags: |\n      a\n      b\n- uses: b\n";
        check("- uses: a\n- uses: b\n", "0", with, expected);
        check("- {uses: a}\n", "0", with, "- {uses: a, with: {scope: app, tags: \"a\\nb\\n\"}}\n");
    }

    #[test]
    fn a_text_of_several_lines_becomes_a_literal_block() {
        check("a: b\n", "", insert("x", "y\n  z\n\nw"), "a: b\nx: |-\n  y\n    z\n\n  w\n");
        check("a: b", "", insert("x", "y\nz\n"), "a: b\nx: |\n  y\n  z\n");
        check("a: b\n", "", insert("x", " y\nz"), "a: b\nx: \" y\\nz\"\n");
        refuses("a:\n  b: c\n    # d\n", "a", insert("x", "y\nz\n"));
    }

    #[test]
    fn a_line_goes_behind_the_last_one() {
        check("a: |\n  b\n\n\nc: d\n", "a", append("x # y"), "a: |\n  b\n  x # y\n\n\nc: d\n");
        check("a: |-\n    b", "a", append("x"), "a: |-\n    b\n    x");
        check("a:\n  - b: |2\n       c\n      d\n", "a.0.b", append("x"), "a:\n  - b: |2\n       c\n      d\n      x\n");
        let both = |text: &str, source: &Source, node: &Node| append_lines(text, source, node, &["x", "y"]);
        check("a: |\n  b\nc: d\n", "a", both, "a: |\n  b\n  x\n  y\nc: d\n");
        check("a: b\n", "a", both, "a: |\n  b\n  x\n  y\n");
        refuses("a: |\n  b\n", "a", |text, source, node| append_lines(text, source, node, &[]));
        refuses("a: |\n  b\n", "a", |text, source, node| append_lines(text, source, node, &["x", ""]));
        refuses("a: |\n", "a", append("x"));
        refuses("a: >\n  b\n", "a", append("x"));
        refuses("a: |\n  b\n", "a", append(" "));
    }

    #[test]
    fn a_line_is_added_to_a_scalar_on_one_line() {
        check("a:\n  b: c # d\n", "a.b", append("x"), "a:\n  b: | # d\n    c\n    x\n");
        check("- b: 'it''s'", "0.b", append("x"), "- b: |\n    it's\n    x\n");
        refuses("a: {b: c}\n", "a.b", append("x"));
        refuses("a: b\n  # c\n", "a", append("x"));
        refuses("- a\n", "0", append("x"));
    }

    #[test]
    fn a_part_of_a_scalar_is_replaced_in_its_style() {
        check("a: type=gha # b\n", "a", replace("gha", "local"), "a: type=local # b\n");
        check("a: 'it''s b'\n", "a", replace("s b", "s 'c'"), "a: 'it''s ''c'''\n");
        check("a: \"\\x41b\\tc\"\n", "a", replace("b\t", "\"\\"), "a: \"\\x41\\\"\\\\c\"\n");
        check("a: |\n  b c\n  d e\n", "a", replace("d", "# f"), "a: |\n  b c\n  # f e\n");
        check("a: |\n  b\n  c\n", "a", replace("", "x"), "a: |\n  xb\n  c\n");
        check("a: ''\n", "a", replace("", "x"), "a: 'x'\n");
        refuses("a: >\n  b\n", "a", replace("b", "c"));
        refuses("a: |\n  b\n  c\n", "a", replace("b\nc", "d"));
        refuses("a: |\n  b\n  c\n", "a", replace("b", ""));
        refuses("a: |\n  b\n", "a", replace("b", " b"));
        refuses("a: 'b\n  c'\n", "a", replace("c", "d"));
        refuses("a: b\n  c\n", "a", replace("c", "d"));
    }

    #[test]
    fn quotes_come_where_they_are_needed() {
        for (new, expected) in [
            ("", "''"),
            ("c: d", "'c: d'"),
            ("#c", "'#c'"),
            ("c #d", "'c #d'"),
            ("c#d", "c#d"),
            ("null", "'null'"),
            ("1.10", "'1.10'"),
            ("1.10.2", "1.10.2"),
            ("12", "12"),
            ("012", "'012'"),
            ("0x1f", "'0x1f'"),
            ("yes", "'yes'"),
            ("true", "true"),
            ("True", "'True'"),
            ("2024-01-01", "'2024-01-01'"),
            ("${{ c }}", "${{ c }}"),
            ("${{ c == 'd' && 'e' }}", "${{ c == 'd' && 'e' }}"),
            ("*.c", "'*.c'"),
            ("c\\d", "c\\d"),
            ("c\td", "\"c\\td\""),
            ("- c", "'- c'"),
            ("-c", "-c"),
            ("c:", "'c:'"),
            ("https://c/d?e", "https://c/d?e"),
            ("it's", "it's"),
            ("'c'", "'''c'''"),
            ("...", "'...'"),
        ] {
            check("a: b # e\n", "a", replace("b", new), &format!("a: {expected} # e\n"));
        }
        check("a: b\n", "a", replace("b", "\u{7}"), "a: \"\\u0007\"\n");
        check("a: [b, c]\n", "a.0", replace("b", "d, e"), "a: ['d, e', c]\n");
        check("a: {b: c}\n", "a.b", replace("c", "d:e"), "a: {b: 'd:e'}\n");
    }

    #[test]
    fn a_text_is_set_where_there_is_none() {
        check("a:\n", "a", set("b"), "a: b\n");
        check("a: # c", "a", set("b"), "a: b # c");
        check("a:\n  -\n  - c\n", "a.0", set("b"), "a:\n  - b\n  - c\n");
        check("a: ~\n", "a", set("b"), "a: b\n");
        check("a: 'c'\n", "a", set("b"), "a: 'b'\n");
        refuses("? a-\n", "a-", set("b"));
        refuses("a: {b: }\n", "a.b", set("c"));
        refuses("a: &c\n", "a", set("b"));
        refuses("a: !!str\n", "a", set("b"));
        refuses("a: [b]\n", "a", set("b"));
    }

    #[test]
    fn an_entry_is_deleted_with_its_lines() {
        check("a: b\nc: d # e\nf: g\n", "", delete("c"), "a: b\nf: g\n");
        check("a: b\n# h\nc:\n  d: |\n    e\n\nf: g\n", "", delete("c"), "a: b\n# h\n\nf: g\n");
        check("a: b\nc: d", "", delete("c"), "a: b\n");
        check("a: |\n  b\nc: d", "", delete("c"), "a: |\n  b\n");
        check("- a: b # x\n  c: d\n", "0", delete("a"), "- c: d\n");
        check("- a: b\n  c: d\n", "0", delete("c"), "- a: b\n");
        check("a: {b: c, d: e, f: g}\n", "a", delete("b"), "a: {d: e, f: g}\n");
        check("a: { b: c, d: e, f: g }\n", "a", delete("f"), "a: { b: c, d: e }\n");
        check("a: b\nc: |+\n  d\n\ne: f\n", "", delete("c"), "a: b\ne: f\n");
        refuses("a: b\n", "", delete("a"));
        refuses("- a: b\n  # x\n  c: d\n", "0", delete("a"));
        refuses("a: {b: c,\n d: e}\n", "a", delete("b"));
        refuses("a: &x b\nc: *x\n", "", delete("a"));
        refuses("a: {&x b: c, d: e}\n", "a", delete("b"));
    }

    #[test]
    fn what_is_deleted_does_not_open_a_scalar_to_what_follows() {
        refuses("a: |+\n  b\nc: d\n\n\ne: f\n", "", delete("c"));
        refuses("a: |\n  b\nc: d\n   # e\n", "", delete("c"));
        refuses("a:\n  - |\n    b\nc: d\n    # e\nf: g\n", "", delete("c"));
        check("a: |\n   b\nc: d\n  # e\n", "", delete("c"), "a: |\n   b\n  # e\n");
    }

    #[test]
    fn what_is_anchored_is_left_alone() {
        let text = "a: &x {b: c}\nd: &y\n  e:\n    f: g\nh: *y\n";
        refuses(text, "a", insert("x", "y"));
        refuses(text, "d.e", insert("x", "y"));
        refuses(text, "h.e", insert("x", "y"));
        refuses(text, "h", insert("x", "y"));
        refuses(text, "d.e.f", replace("g", "x"));
    }

    #[test]
    fn a_file_with_errors_is_left_alone() {
        let text = "a: b\nc: [\nd: e\n";
        let source = super::super::read_recovering(text, Document::new(Language::Yaml, text).tree().unwrap());
        let root = source.root().unwrap();
        assert_eq!(insert_entry(text, &source, root, "x", New::Text("y")), None);
        assert_eq!(replace_text(text, &source, root.get("a").unwrap(), "y"), None);
    }

    /// A value with all scalars as text, as a workflow's runner takes them.
    fn texts(value: &Value) -> Value {
        match value {
            Value::Sequence(items) => Value::Sequence(items.iter().map(texts).collect()),
            Value::Mapping(pairs) => Value::Mapping(pairs.iter().map(|(key, value)| (texts(key), texts(value))).collect()),
            Value::Tagged(tagged) => texts(&tagged.value),
            Value::Number(number) => Value::String(number.to_string()),
            Value::Bool(it) => Value::String(it.to_string()),
            Value::String(_) | Value::Null => value.clone(),
        }
    }

    /// All nodes that no alias leads to, with their paths.
    fn nodes<'a>(node: &'a Node, path: Vec<usize>, res: &mut Vec<(Vec<usize>, &'a Node)>) {
        res.push((path.clone(), node));
        let below: Vec<&Node> = match &node.kind {
            Kind::Mapping(mapping) => mapping.entries.iter().map(|it| &it.value).collect(),
            Kind::Sequence(sequence) => sequence.items.iter().collect(),
            _ => return,
        };
        for (index, child) in below.into_iter().enumerate() {
            nodes(child, [path.clone(), vec![index]].concat(), res);
        }
    }

    fn at<'a>(value: &'a mut Value, path: &[usize]) -> &'a mut Value {
        path.iter().fold(value, |value, index| match value {
            Value::Mapping(pairs) => pairs.values_mut().nth(*index).unwrap(),
            Value::Sequence(items) => &mut items[*index],
            _ => panic!(),
        })
    }

    #[derive(Debug, Clone)]
    enum Change {
        Insert(&'static str),
        With,
        Append(&'static str),
        Replace(f64, f64, &'static str),
        Set(&'static str),
        Delete(usize),
    }

    /// The edit, and the value that it should lead to.
    fn changed(text: &str, source: &Source, before: &Value, path: &[usize], node: &Node, change: &Change) -> Option<(Edit, Value)> {
        let mut expected = before.clone();
        let target = at(&mut expected, path);
        let edit = match change {
            Change::Insert(new) => {
                let edit = insert_entry(text, source, node, "key", New::Text(new))?;
                target.as_mapping_mut().unwrap().insert("key".into(), (*new).into());
                edit
            }
            Change::With => {
                let edit = with(text, source, node)?;
                target.as_mapping_mut().unwrap().insert("with".into(), serde_yaml::from_str("{scope: app, tags: \"a\\nb\\n\"}").unwrap());
                edit
            }
            Change::Append(line) => {
                let edit = append_lines(text, source, node, &[line])?;
                let old = target.as_str().unwrap();
                let literal = node.scalar()?.style == Style::Literal;
                let (kept, rest) = if literal { old.split_at(old.trim_end_matches('\n').len()) } else { (old, "\n") };
                *target = format!("{kept}\n{line}{rest}").into();
                edit
            }
            Change::Replace(from, to, new) => {
                let old = node.text()?;
                let boundary = |share: f64| (0..=old.len()).rev().find(|it| *it as f64 <= share * old.len() as f64 && old.is_char_boundary(*it)).unwrap();
                let (start, end) = (boundary(from.min(*to)), boundary(from.max(*to)));
                let edit = replace_part(text, source, node, Span::new(start, end), new)?;
                *target = format!("{}{new}{}", &old[..start], &old[end..]).into();
                edit
            }
            Change::Set(new) => {
                let edit = replace_text(text, source, node, new)?;
                *target = (*new).into();
                edit
            }
            Change::Delete(which) => {
                let entries = node.entries();
                let entry = entries.get(which % entries.len().max(1))?;
                let edit = delete_entry(text, source, node, entry)?;
                target.as_mapping_mut().unwrap().remove(entry.key.as_str()).unwrap();
                edit
            }
        };
        Some((edit, expected))
    }

    fn change() -> impl Strategy<Value = Change> {
        let text = || {
            prop::sample::select(vec![
                "", "x", "a: b", "a #b", "# a", "- a", "1", "1.0", "null", "it's", "\"q\"", "a, b", "{a}", " a ", "a\n", "a\nb", "a\n\nb\n", "\n", "ä\t",
                "${{ a }}", "*a", "a\\", "true", "~",
            ])
        };
        let line = prop::sample::select(vec!["x", "# x", "a: b", "  x", "\"", "- x"]);
        prop_oneof![
            text().prop_map(Change::Insert),
            Just(Change::With),
            line.prop_map(Change::Append),
            (0.0..1.0_f64, 0.0..1.2_f64, text()).prop_map(|(from, to, new)| Change::Replace(from, to, new)),
            text().prop_map(Change::Set),
            (0..5_usize).prop_map(Change::Delete),
        ]
    }

    fn block(indent: usize, depth: usize) -> BoxedStrategy<String> {
        let pad = " ".repeat(indent);
        let leaf = prop::sample::select(vec![
            " a",
            " a b",
            " 'a''b'",
            " \"a\\tb\"",
            " ~",
            "",
            " {b: c, d: 'e'}",
            " {}",
            " [a, {b: c}, 'd']",
            " 1",
            " |\nPx\nP  y\nPz",
            " |-\nPx\nPy",
            " |+\nPx\n",
            " |+\nPx",
            " >\nPx\nPy",
            " a\nPb",
            " 'a\nPb'",
            " {a: b,\nPc: d}",
            " &anchor a",
            " *anchor",
            " !t a",
            " |\nPx\n\n",
            " |\nP# x",
            " |2\nP x\nPy",
        ]);
        let leaf = leaf.prop_map(move |it| it.replace('P', &" ".repeat(indent + 2)));
        if depth == 0 {
            return leaf.boxed();
        }
        let comment = prop::sample::select(vec!["", "", "", " # c"]);
        let between = prop::sample::select(vec!["", "", "", "\n", "\n# c", "\n    # deep", "\n\n"]);
        let value = prop_oneof![2 => leaf, 1 => block(indent + 2, depth - 1)].boxed();
        let list_pad = pad.clone();
        let mapping = prop::collection::vec((value.clone(), comment, between), 1..4).prop_map(move |entries| {
            entries.iter().enumerate().fold(String::new(), |res, (index, (value, comment, between))| {
                let comment = if value.contains('\n') { "" } else { comment };
                format!("{res}\n{pad}k{index}:{value}{comment}{between}")
            })
        });
        let sequence = prop::collection::vec(value, 1..4).prop_map(move |items| {
            items.iter().fold(String::new(), |res, item| {
                let trimmed = item.trim_start();
                let item = if trimmed.starts_with('k') { format!(" {trimmed}") } else { item.clone() };
                format!("{res}\n{list_pad}-{item}")
            })
        });
        prop_oneof![3 => mapping, 1 => sequence].boxed()
    }

    fn n_cases() -> u32 {
        std::env::var("LAYERWISE_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(300)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(n_cases()))]

        #[test]
        fn an_edit_changes_what_it_should_and_nothing_else(
            body in block(0, 3),
            end in "\n?",
            eol in prop::sample::select(vec!["\n", "\r\n"]),
            changes in prop::collection::vec((change(), any::<prop::sample::Index>()), 12),
        ) {
            let text = format!("{}{end}", body.trim_start()).replace('\n', eol);
            let Ok(before) = serde_yaml::from_str::<Value>(&text) else { return Ok(()) };
            let before = texts(&before);
            let source = source(&text);
            let mut all = Vec::new();
            source.root().into_iter().for_each(|it| nodes(it, Vec::new(), &mut all));
            for (change, index) in changes {
                let (path, node) = index.get(&all);
                let Some((edit, expected)) = changed(&text, &source, &before, path, node, &change) else { continue };
                let after = applied(&text, edit);
                let found = serde_yaml::from_str::<Value>(&after).ok().map(|it| texts(&it));
                prop_assert_eq!(found, Some(expected), "{:?}: {:?} became {:?}", change, &text, &after);
                prop_assert_eq!(super::tests::source(&after).errors, vec![], "{:?}", &after);
                prop_assert!(eol == "\n" || !text.contains('\n') || !after.replace("\r\n", "").contains('\n'), "{:?}", &after);
            }
        }
    }
}
