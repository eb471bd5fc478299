//! Between us and the protocol: bytes and positions, paths and URIs, our types and its own.
//!
//! No other file knows what a position is.

use crate::diagnostic::{Diagnostic, FileSpan, Level};
use crate::edit::{Edit, EditSet, Span};
use crate::facts::{self, Text};
use crate::rules;
use crate::snapshot::Snapshot;
use crate::workspace;
use ropey::Rope;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;
use tower_lsp::ls_types::{self as lsp, NumberOrString, Position, PositionEncodingKind, Range, TextEdit, Uri};

/// What a character of a position counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// Bytes.
    Utf8,
    /// Code units of UTF-16: what every client understands.
    #[default]
    Utf16,
    /// Unicode scalar values.
    Utf32,
}

impl Encoding {
    /// The cheapest for us of those that the client offers.
    pub fn choose(offered: Option<&[PositionEncodingKind]>) -> Encoding {
        let offers = |it: &PositionEncodingKind| offered.is_some_and(|all| all.contains(it));
        if offers(&PositionEncodingKind::UTF8) {
            Encoding::Utf8
        } else if offers(&PositionEncodingKind::UTF32) && !offers(&PositionEncodingKind::UTF16) {
            Encoding::Utf32
        } else {
            Encoding::Utf16
        }
    }

    /// What the protocol calls it.
    pub fn kind(self) -> PositionEncodingKind {
        match self {
            Encoding::Utf8 => PositionEncodingKind::UTF8,
            Encoding::Utf16 => PositionEncodingKind::UTF16,
            Encoding::Utf32 => PositionEncodingKind::UTF32,
        }
    }

    fn width(self, letter: char) -> usize {
        match self {
            Encoding::Utf8 => letter.len_utf8(),
            Encoding::Utf16 => letter.len_utf16(),
            Encoding::Utf32 => 1,
        }
    }

    /// How many characters of a position a piece of a line has.
    fn length(self, text: &str) -> usize {
        match self {
            Encoding::Utf8 => text.len(),
            _ if text.is_ascii() => text.len(),
            Encoding::Utf16 => text.encode_utf16().count(),
            Encoding::Utf32 => text.chars().count(),
        }
    }

    /// The byte of a position. One that does not fit the text is brought to the nearest before it
    /// that does.
    pub fn offset(self, text: &Rope, position: Position) -> usize {
        let Ok(line) = usize::try_from(position.line) else { return text.len_bytes() };
        if line >= text.len_lines() {
            return text.len_bytes();
        }
        let start = text.line_to_char(line);
        let mut left = usize::try_from(position.character).unwrap_or(usize::MAX);
        let mut at = text.line_to_byte(line);
        for letter in text.chars_at(start).take(content(text, line)) {
            let width = self.width(letter);
            if width > left {
                break;
            }
            left -= width;
            at += letter.len_utf8();
        }
        at
    }

    /// The span of a range; one with its ends exchanged is taken the right way round.
    pub fn span(self, text: &Rope, range: Range) -> Span {
        let (a, b) = (self.offset(text, range.start), self.offset(text, range.end));
        Span::new(a.min(b), a.max(b))
    }
}

/// A text, and where its lines begin. A rope finds lines as well, but counts half a kilobyte of letters
/// for each question, and a report asks for hundreds of places.
struct Lines {
    text: Arc<str>,
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: Arc<str>) -> Lines {
        let bytes = text.as_bytes();
        let ends = bytes.iter().enumerate().filter(|(at, it)| **it == b'\n' || (**it == b'\r' && bytes.get(at + 1) != Some(&b'\n')));
        let starts = [0].into_iter().chain(ends.map(|(at, _)| at + 1)).collect();
        Lines { text, starts }
    }

    /// The position of a byte. One inside a character is brought to its beginning, one between `\r`
    /// and `\n` before both, one behind the text to its end.
    fn position(&self, encoding: Encoding, offset: usize) -> Position {
        let behind = self.starts.partition_point(|it| *it <= offset.min(self.text.len()));
        let start = self.starts[behind - 1];
        let line = &self.text[start..self.starts.get(behind).copied().unwrap_or(self.text.len())];
        let line = line.strip_suffix('\n').unwrap_or(line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let before = &line[..line.floor_char_boundary(offset - start)];
        let number = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
        Position::new(number(behind - 1), number(encoding.length(before)))
    }

    fn range(&self, encoding: Encoding, span: Span) -> Range {
        Range::new(self.position(encoding, span.start), self.position(encoding, span.end))
    }
}

/// The length of a line in characters, without its ending.
fn content(text: &Rope, line: usize) -> usize {
    let line = text.line(line);
    let mut length = line.len_chars();
    let is = |at: usize, letter: char| at > 0 && line.get_char(at - 1) == Some(letter);
    if is(length, '\n') {
        length -= 1;
    }
    if is(length, '\r') {
        length -= 1;
    }
    length
}

/// The path inside the program of a document. One that is no file gets a path that nothing is read
/// for ([`workspace::VIRTUAL`]).
pub fn path(uri: &Uri) -> String {
    let decoded = uri.path().decode().to_string_lossy().into_owned();
    let scheme = uri.scheme().as_str();
    if !scheme.eq_ignore_ascii_case("file") {
        let host = uri.authority().map_or(String::new(), |it| it.as_str().to_owned());
        let below = format!("{host}/{}", decoded.trim_start_matches('/'));
        return facts::join(&format!("{}{scheme}", workspace::VIRTUAL), below.trim_start_matches('/'));
    }
    let path = facts::join("/", &decoded);
    // One drive has two spellings, `c:` and `C:`.
    match path.as_bytes() {
        [b'/', drive, b':', ..] if drive.is_ascii_lowercase() => format!("/{}{}", drive.to_ascii_uppercase() as char, &path[2..]),
        _ => path,
    }
}

/// The URI of a file that the client has not named itself.
pub fn uri(path: &str) -> Option<Uri> {
    let plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'.' | b'_' | b'~' | b'/');
    let encoded: String = path.bytes().map(|it| if plain(it) { char::from(it).to_string() } else { format!("%{it:02X}") }).collect();
    Uri::from_str(&format!("file://{encoded}")).ok()
}

/// What a conversion has to know: the texts, how the client counts, and how it spells its URIs.
pub struct Converter<'a> {
    pub snapshot: &'a Snapshot,
    pub encoding: Encoding,
    pub uris: &'a BTreeMap<Arc<str>, Uri>,
    /// Whether the client shows other places of a diagnostic.
    pub related: bool,
    lines: RefCell<BTreeMap<Arc<str>, Rc<Lines>>>,
}

impl<'a> Converter<'a> {
    pub fn new(snapshot: &'a Snapshot, encoding: Encoding, uris: &'a BTreeMap<Arc<str>, Uri>, related: bool) -> Converter<'a> {
        Converter { snapshot, encoding, uris, related, lines: RefCell::default() }
    }

    /// The URI of a path, as the client spells it.
    pub fn uri(&self, path: &str) -> Option<Uri> {
        self.uris.get(path).cloned().or_else(|| uri(path))
    }

    /// The lines of a file, none where its text is not known.
    fn lines(&self, path: &Arc<str>) -> Rc<Lines> {
        let make = || match self.snapshot.text(path) {
            Some(Text::Known(text)) => Rc::new(Lines::new(text)),
            _ => Rc::new(Lines::new("".into())),
        };
        self.lines.borrow_mut().entry(path.clone()).or_insert_with(make).clone()
    }

    /// The range of a span of a file.
    pub fn range(&self, at: &FileSpan) -> Range {
        self.lines(&at.path).range(self.encoding, at.span)
    }

    /// Edits of the text of a file.
    pub fn edits(&self, path: &Arc<str>, edits: &EditSet) -> Vec<TextEdit> {
        let lines = self.lines(path);
        edits.iter().map(|it| TextEdit::new(lines.range(self.encoding, it.delete), it.insert.clone())).collect()
    }

    /// A diagnostic of the protocol. Where the client does not show other places, the message names
    /// them.
    pub fn diagnostic(&self, it: &Diagnostic) -> lsp::Diagnostic {
        let mut message = it.message.clone();
        let mut related = Vec::new();
        for note in &it.notes {
            let range = self.range(&note.at);
            match self.uri(&note.at.path) {
                Some(uri) if self.related => {
                    related.push(lsp::DiagnosticRelatedInformation { location: lsp::Location { uri, range }, message: note.message.clone() });
                }
                _ => message.push_str(&format!("\nline {}: {}", range.start.line + 1, note.message)),
            }
        }
        lsp::Diagnostic {
            range: self.range(&it.at),
            severity: Some(severity(it.level)),
            code: Some(NumberOrString::String(it.rule.to_owned())),
            code_description: Uri::from_str(&rules::url(it.rule)).ok().map(|href| lsp::CodeDescription { href }),
            source: Some("layerwise".to_owned()),
            message,
            related_information: (!related.is_empty()).then_some(related),
            ..lsp::Diagnostic::default()
        }
    }
}

fn severity(level: Level) -> lsp::DiagnosticSeverity {
    match level {
        Level::Error => lsp::DiagnosticSeverity::ERROR,
        Level::Warning => lsp::DiagnosticSeverity::WARNING,
        Level::Info => lsp::DiagnosticSeverity::INFORMATION,
        Level::Hint | Level::Off => lsp::DiagnosticSeverity::HINT,
    }
}

/// The edit that a change of a document is.
pub fn edit(encoding: Encoding, text: &Rope, change: &lsp::TextDocumentContentChangeEvent) -> Edit {
    let span = change.range.map_or(Span::new(0, text.len_bytes()), |it| encoding.span(text, it));
    Edit::replace(span, change.text.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Encoding; 3] = [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32];

    /// Every kind of line ending, letters of one to four bytes, and line breaks of Unicode that are
    /// none to the protocol.
    const TEXT: &str = "a\u{feff}é\r\n€😀x\r\r\n\n\u{2028}\u{85}y\u{b}z";

    fn rope(text: &str) -> Rope {
        Rope::from_str(text)
    }

    fn position(encoding: Encoding, text: &str, offset: usize) -> Position {
        Lines::new(text.into()).position(encoding, offset)
    }

    #[test]
    fn every_character_is_found_again() {
        let text = rope(TEXT);
        for encoding in ALL {
            for (offset, letter) in TEXT.char_indices().chain([(TEXT.len(), ' ')]) {
                let inside_ending = letter == '\n' && TEXT[..offset].ends_with('\r');
                if !inside_ending {
                    assert_eq!(encoding.offset(&text, position(encoding, TEXT, offset)), offset, "{encoding:?} {offset}");
                }
            }
        }
    }

    #[test]
    fn encodings_count_in_their_own_way() {
        let text = rope("é😀x");
        assert_eq!(ALL.map(|it| position(it, "é😀x", 6).character), [6, 3, 2]);
        assert_eq!(ALL.map(|it| it.offset(&text, Position::new(0, 2))), [2, 2, 6]);
    }

    #[test]
    fn the_middle_of_a_character_is_its_beginning() {
        let text = rope("é😀x");
        assert_eq!(Encoding::Utf8.offset(&text, Position::new(0, 4)), 2);
        assert_eq!(Encoding::Utf16.offset(&text, Position::new(0, 2)), 2);
        assert_eq!(position(Encoding::Utf16, "é😀x", 4), Position::new(0, 1));
    }

    #[test]
    fn lines_end_as_the_protocol_says() {
        assert_eq!(position(Encoding::Utf32, TEXT, TEXT.len()), Position::new(4, 5));
        assert_eq!(position(Encoding::Utf16, "a\r\nb", 2), Position::new(0, 1));
        assert_eq!(Encoding::Utf16.offset(&rope("a\r\nb"), Position::new(0, 9)), 1);
    }

    #[test]
    fn what_does_not_fit_is_brought_inside() {
        for encoding in ALL {
            let text = rope("ab\nc");
            assert_eq!(encoding.offset(&text, Position::new(0, u32::MAX)), 2);
            assert_eq!(encoding.offset(&text, Position::new(u32::MAX, 0)), 4);
            assert_eq!(position(encoding, "ab\nc", 99), Position::new(1, 1));
            assert_eq!(encoding.span(&text, Range::new(Position::new(1, 1), Position::new(0, 1))), Span::new(1, 4));
            assert_eq!(encoding.offset(&rope(""), Position::new(3, 3)), 0);
        }
    }

    #[test]
    fn the_encoding_is_one_that_the_client_offers() {
        let kinds = |all: &[&'static str]| all.iter().map(|it| PositionEncodingKind::from(*it)).collect::<Vec<_>>();
        assert_eq!(Encoding::choose(None), Encoding::Utf16);
        assert_eq!(Encoding::choose(Some(&kinds(&["utf-16", "utf-8"]))), Encoding::Utf8);
        assert_eq!(Encoding::choose(Some(&kinds(&["utf-32"]))), Encoding::Utf32);
        assert_eq!(Encoding::choose(Some(&kinds(&["utf-32", "utf-16"]))), Encoding::Utf16);
        assert_eq!(Encoding::choose(Some(&[])), Encoding::Utf16);
    }

    #[test]
    fn paths_of_uris() {
        let cases = [
            ("file:///a/b%20c/Dockerfile", "/a/b c/Dockerfile"),
            ("file:///a/../b/./Dockerfile", "/b/Dockerfile"),
            ("file:///c%3A/x", "/C:/x"),
            ("file:///C:/x", "/C:/x"),
            ("file://localhost/x", "/x"),
            ("file:///%E6%96%87%F0%9F%98%80", "/文😀"),
            ("untitled:Untitled-1", "/:untitled/Untitled-1"),
            ("untitled:/x/Dockerfile", "/:untitled/x/Dockerfile"),
            ("vscode-vfs://github/o/r/Dockerfile", "/:vscode-vfs/github/o/r/Dockerfile"),
        ];
        for (uri, expected) in cases {
            assert_eq!(path(&Uri::from_str(uri).unwrap()), expected, "{uri}");
        }
    }

    #[test]
    fn a_path_makes_a_uri_that_leads_back() {
        for it in ["/a b/[x]/Dockerfile", "/C:/é", "/100%/#?"] {
            assert_eq!(path(&uri(it).unwrap()), it);
        }
    }

    proptest! {
        #[test]
        fn any_position_has_a_place_in_the_text(text in "[aé€😀\r\n\u{2028}]{0,12}", line in 0u32..6, character in 0u32..12) {
            let rope = rope(&text);
            for encoding in ALL {
                let offset = encoding.offset(&rope, Position::new(line, character));
                prop_assert!(text.is_char_boundary(offset));
                prop_assert_eq!(encoding.offset(&rope, position(encoding, &text, offset)), offset);
            }
        }
    }
}
