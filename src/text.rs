//! A document: text and syntax tree, changed together or not at all.

use crate::edit::{Edit, EditSet, Span};
use ropey::Rope;
use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;
use tree_sitter::{InputEdit, Parser, Point, Tree};
use tree_sitter_language::LanguageFn;

unsafe extern "C" {
    fn tree_sitter_dockerfile() -> *const ();
}

/// A language that a tree can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// Dockerfiles; the grammar is ours.
    Dockerfile,
    /// Workflows and compose files; they are read in pieces, so that no document of theirs is edited.
    Yaml,
}

impl Language {
    /// What tree-sitter calls it.
    pub fn grammar(self) -> tree_sitter::Language {
        match self {
            // SAFETY: the generated function returns a pointer to a static language.
            Language::Dockerfile => unsafe { LanguageFn::from_raw(tree_sitter_dockerfile) }.into(),
            Language::Yaml => tree_sitter_yaml::LANGUAGE.into(),
        }
    }

    /// Calls with a parser of the language. Each thread has one, which keeps the memory of its
    /// last parse for the next.
    fn with_parser<R>(self, parse: impl FnOnce(&mut Parser) -> R) -> R {
        thread_local! {
            static PARSERS: [RefCell<Parser>; 2] = [Language::Dockerfile, Language::Yaml].map(|it| RefCell::new(it.parser()));
        }
        PARSERS.with(|it| parse(&mut it[self as usize].borrow_mut()))
    }

    fn parser(self) -> Parser {
        let mut parser = Parser::new();
        // The versions of library and grammars are fixed together; a test parses with each.
        let fits = parser.set_language(&self.grammar());
        debug_assert!(fits.is_ok());
        parser
    }
}

/// Text and its syntax tree. Cloning is cheap: both are shared.
#[derive(Debug, Clone)]
pub struct Document {
    language: Language,
    text: Rope,
    tree: Option<Tree>,
}

impl Document {
    /// Parses `text`.
    pub fn new(language: Language, text: &str) -> Document {
        let text = Rope::from_str(text);
        let tree = parse(language, &text, None);
        Document { language, text, tree }
    }

    /// A text without a tree, for files that are read some other way.
    pub fn plain(text: &str) -> Document {
        Document { language: Language::Yaml, text: Rope::from_str(text), tree: None }
    }

    /// The text, with its index of lines.
    pub fn rope(&self) -> &Rope {
        &self.text
    }

    /// The tree; `None` for a plain text, or if the parser gave up, which it does for no text.
    pub fn tree(&self) -> Option<&Tree> {
        self.tree.as_ref()
    }

    /// The whole text, borrowed where it is in one piece.
    pub fn source(&self) -> Cow<'_, str> {
        Cow::from(&self.text)
    }

    /// The same text without its tree, which takes many times the memory: for a text that nobody
    /// edits.
    pub fn without_tree(self) -> Document {
        Document { tree: None, ..self }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.text.len_bytes()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Changes text and tree: the only place that does either. An edit that does not fit the text
    /// is brought inside it.
    pub fn edit(&mut self, edit: &Edit) {
        self.change(edit);
        self.reparse();
    }

    /// Applies edits one after the other, each made from the text that the one before left; parses
    /// once.
    pub fn edit_each<T>(&mut self, changes: impl IntoIterator<Item = T>, edit: impl Fn(&Rope, T) -> Edit) {
        for change in changes {
            let edit = edit(&self.text, change);
            self.change(&edit);
        }
        self.reparse();
    }

    /// Applies a whole set, back to front, so that earlier offsets stay true; parses once.
    pub fn apply(&mut self, edits: &EditSet) {
        for edit in edits.iter().rev() {
            self.change(edit);
        }
        self.reparse();
    }

    /// The start of the statement of a Dockerfile that holds `offset`.
    pub fn statement(&self, offset: usize) -> usize {
        let offset = offset.min(self.len());
        self.tree().map_or(offset, |it| outermost(it, offset))
    }

    fn reparse(&mut self) {
        if let Some(old) = self.tree.take() {
            self.tree = parse(self.language, &self.text, Some(&old));
        }
    }

    fn change(&mut self, edit: &Edit) {
        let clamp = |offset: usize| self.text.byte_to_char(offset.min(self.text.len_bytes()));
        let (start, end) = (clamp(edit.delete.start), clamp(edit.delete.end));
        let end = end.max(start);
        let span = Span::new(self.text.char_to_byte(start), self.text.char_to_byte(end));
        let old_end_position = point(&self.text, span.end);
        self.text.remove(start..end);
        self.text.insert(start, &edit.insert);
        let new_end = span.start + edit.insert.len();
        if let Some(tree) = &mut self.tree {
            tree.edit(&InputEdit {
                start_byte: span.start,
                old_end_byte: span.end,
                new_end_byte: new_end,
                start_position: point(&self.text, span.start),
                old_end_position,
                new_end_position: point(&self.text, new_end),
            });
        }
    }
}

/// The start of the child of the root that holds `offset`.
fn outermost(tree: &Tree, offset: usize) -> usize {
    let mut cursor = tree.walk();
    let inside = cursor.goto_first_child_for_byte(offset).is_some() && cursor.node().start_byte() <= offset;
    if inside { cursor.node().start_byte() } else { offset }
}

/// Row and column in bytes, with rows as tree-sitter counts them: only `\n` ends one.
///
/// Lines of the rope also end at a lone `\r`, so its index cannot be used. Counting bytes of whole
/// chunks takes microseconds for the largest of our files, far less than the parse that follows.
fn point(text: &Rope, offset: usize) -> Point {
    let mut res = Point { row: 0, column: offset };
    let mut chunk_start = 0;
    for chunk in text.chunks() {
        let bytes = chunk.as_bytes();
        let bytes = bytes.get(..offset - chunk_start).unwrap_or(bytes);
        if let Some(last) = bytes.iter().rposition(|it| *it == b'\n') {
            res.row += bytes.iter().filter(|it| **it == b'\n').count();
            res.column = offset - (chunk_start + last + 1);
        }
        chunk_start += chunk.len();
        if chunk_start >= offset {
            break;
        }
    }
    res
}

fn parse(language: Language, text: &Rope, old: Option<&Tree>) -> Option<Tree> {
    let hidden = match language {
        Language::Yaml => unreadable(text),
        Language::Dockerfile => Vec::new(),
    };
    let mut read = |offset: usize, _: Point| {
        if offset >= text.len_bytes() {
            return "";
        }
        let next = hidden.partition_point(|it| it.end <= offset);
        let visible_end = match hidden.get(next) {
            Some(line) if line.start <= offset => return &FILLING[..FILLING.len().min(line.end - offset)],
            Some(line) => line.start,
            None => text.len_bytes(),
        };
        let (chunk, start, ..) = text.chunk_at_byte(offset);
        &chunk[offset - start..chunk.len().min(visible_end - start)]
    };
    // What is hidden may change with lines far from an edit, which an old tree knows nothing of.
    language.with_parser(|it| it.parse_with_options(&mut read, old.filter(|_| hidden.is_empty()), None))
}

/// Text inside a scalar; an error anywhere else, so that nobody takes the rest for the whole.
const FILLING: &str = "}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}";

/// Collections inside collections that the grammar of YAML can hold: its scanner saves two numbers
/// of two bytes for each in a buffer of 1024 bytes and writes behind the end when there are more
/// (tree-sitter-yaml 0.7.2, `serialize` in `src/scanner.c`). Half of what fits, because a mapping
/// and a sequence may begin in one column.
const MAX_DEPTH: usize = 120;

/// The lines, without indentation and ending, at which the collections that may be open are more
/// than [`MAX_DEPTH`], and every NUL, which is the end of the file to the scanner. The parser gets
/// [`FILLING`] in their place. Too many collections are counted rather than too few: each line that is
/// indented further than the one before it, and each `-`, `?` and `:` that white space follows, may
/// begin one.
fn unreadable(text: &Rope) -> Vec<Range<usize>> {
    let mut res = Vec::new();
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut n_open = 0;
    let (mut offset, mut start) = (0, 0);
    let mut column = None;
    let mut n_begun = 0;
    let mut nuls = Vec::new();
    let mut last = b'\n';
    // The ending that the last line may lack.
    for byte in text.bytes().chain(std::iter::once(b'\n')) {
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            n_begun += usize::from(matches!(last, b'-' | b'?' | b':'));
        } else if column.is_none() {
            column = Some(offset - start);
        }
        if byte == 0 {
            nuls.push(offset..offset + 1);
        }
        if matches!(byte, b'\n' | b'\r') {
            if let Some(column) = column.take() {
                while let Some((_, weight)) = open.pop_if(|it| it.0 >= column) {
                    n_open -= weight;
                }
                let weight = 1 + n_begun;
                if n_open + weight > MAX_DEPTH {
                    res.push(start + column..offset);
                } else {
                    res.append(&mut nuls);
                    open.push((column, weight));
                    n_open += weight;
                }
            }
            (start, n_begun) = (offset + 1, 0);
            nuls.clear();
        }
        last = byte;
        offset += 1;
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_grammars_fit_the_library() {
        for language in [Language::Dockerfile, Language::Yaml] {
            assert!(Parser::new().set_language(&language.grammar()).is_ok());
            assert!(Document::new(language, "").tree().is_some());
        }
    }

    #[test]
    fn an_edit_changes_text_and_tree() {
        let mut document = Document::new(Language::Dockerfile, "FROM a\nRUN b\n");
        document.edit(&Edit::replace(Span::new(5, 6), "alpine"));
        assert_eq!(document.source(), "FROM alpine\nRUN b\n");
        let fresh = Document::new(Language::Dockerfile, &document.source());
        assert_eq!(document.tree().unwrap().root_node().to_sexp(), fresh.tree().unwrap().root_node().to_sexp());
    }

    #[test]
    fn only_line_feeds_end_rows() {
        let text = "a\r\nä\rb\u{2028}c\n\n".repeat(500);
        let rope = Rope::from_str(&text);
        for offset in (0..=text.len()).filter(|it| text.is_char_boundary(*it)) {
            let before = &text[..offset];
            let column = before.len() - before.rfind('\n').map_or(0, |it| it + 1);
            assert_eq!(point(&rope, offset), Point { row: before.matches('\n').count(), column });
        }
    }

    #[test]
    fn an_edit_that_does_not_fit_is_brought_inside() {
        let mut document = Document::new(Language::Dockerfile, "FROM ä");
        document.edit(&Edit::replace(Span::new(6, 99), "x"));
        assert_eq!(document.source(), "FROM x");
    }
}
