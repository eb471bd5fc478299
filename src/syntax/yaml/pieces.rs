//! Reading a file piece by piece, so that a keystroke costs what the piece around it costs.
//!
//! The scanner of tree-sitter-yaml 0.7.2 keeps the row and column of its last token in its state, and
//! tree-sitter uses no node of an old tree in front of which that state is another one: behind a
//! typed letter next to nothing is used again. A workflow, though, is a list of entries that say
//! nothing of each other: the keys in the first column, those one level below such as the jobs, and the
//! items below a key `steps`. Each is parsed by itself, and is read again only if its own text changed.
//!
//! What a file means does not depend on how it came about: pieces are cut by the text alone, and are
//! used again only for the same text. Files that cannot be cut are read as a whole.

use super::scalar::{is_document_marker, spaces};
use super::{Entry, Kind, Mapping, Node, Scalar, Sequence, Source, read_recovering, recovery};
use crate::edit::Span;
use crate::text::{Document, Language};
use std::sync::Arc;

/// The pieces that a file was read in, and where each begins; none for a file that was read as a whole.
#[derive(Debug, Clone, Default)]
pub struct Pieces(Vec<(Cut, Arc<Piece>)>);

/// What is read by itself, with the lines up to the next piece. Offsets count from its beginning.
#[derive(Debug)]
struct Piece {
    text: Box<str>,
    /// The mapping or the sequence that a part of the file is; `None` where nothing of it could be read.
    part: Option<Node>,
    comments: Vec<Span>,
    errors: Vec<Span>,
}

/// Where a piece begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    start: usize,
    /// In how many values it stands: it belongs to the last value of the last value, so often.
    depth: usize,
}

/// Reads a YAML file; of a broken one, as much as can be read. `before` are pieces of an earlier
/// text of the same file.
pub fn parse(text: &str, before: &Pieces) -> Source {
    in_pieces(text, before).unwrap_or_else(|| whole(text))
}

fn whole(text: &str) -> Source {
    let document = Document::new(Language::Yaml, text);
    document.tree().map(|it| read_recovering(text, it)).unwrap_or_default()
}

fn in_pieces(text: &str, before: &Pieces) -> Option<Source> {
    let cuts = cut(text).filter(|_| !may_have_aliases(text))?;
    let header = cuts.first().map_or(text.len(), |it| it.start);
    let mut comments = comment_lines(&text[..header]);
    let mut errors = Vec::new();
    let pieces = read_pieces(text, &cuts, before)?;
    for (cut, piece) in &pieces.0 {
        comments.extend(piece.comments.iter().map(|it| moved(*it, cut.start)));
        errors.extend(piece.errors.iter().map(|it| moved(*it, cut.start)));
    }
    let root = pieces.root()?;
    Some(Source { pieces, root: Some(root).into(), comments, errors })
}

/// Reads the pieces that are not what they were: an edit leaves those before and behind it alone.
fn read_pieces(text: &str, cuts: &[Cut], before: &Pieces) -> Option<Pieces> {
    let before = &before.0;
    let ends = cuts.iter().skip(1).map(|it| it.start).chain([text.len()]);
    let texts: Vec<&str> = cuts.iter().zip(ends).map(|(it, end)| &text[it.start..end]).collect();
    let is_same = |(text, (_, piece)): &(&&str, &(Cut, Arc<Piece>))| **text == &*piece.text;
    let front = texts.iter().zip(before).take_while(is_same).count();
    let most = texts.len().min(before.len()) - front;
    let back = texts.iter().rev().zip(before.iter().rev()).take(most).take_while(is_same).count();
    let known = |(_, piece): &(Cut, Arc<Piece>)| piece.clone();
    let mut pieces: Vec<Arc<Piece>> = before[..front].iter().map(known).collect();
    for text in &texts[front..texts.len() - back] {
        pieces.push(Arc::new(Piece::read(text)?));
    }
    pieces.extend(before[before.len() - back..].iter().map(known));
    Some(Pieces(cuts.iter().copied().zip(pieces).collect()))
}

impl Piece {
    /// `None` for what is no part by itself, or goes on behind its end.
    fn read(text: &str) -> Option<Piece> {
        let document = Document::new(Language::Yaml, text);
        let tree = document.tree()?;
        if tree.root_node().has_error() && recovery::is_open(text) {
            return None;
        }
        let Source { root, comments, errors, .. } = read_recovering(text, tree);
        let root = root.into_inner().flatten();
        let is_part =
            |it: &Node| it.anchor.is_none() && matches!(&it.kind, Kind::Mapping(Mapping { flow: false, .. }) | Kind::Sequence(Sequence { flow: false, .. }));
        if root.as_ref().is_some_and(|it| !is_part(it)) {
            return None;
        }
        Some(Piece { text: text.into(), part: root, comments, errors })
    }
}

impl Pieces {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts the pieces together. `None` where there are none, or something hangs below an entry that could not be read.
    pub(super) fn root(&self) -> Option<Node> {
        let mut res: Option<Node> = None;
        // How deep what follows may stand, which below one that could not be read would be taken for a part of another.
        let mut deepest = usize::MAX;
        for (cut, piece) in &self.0 {
            if cut.depth > deepest {
                return None;
            }
            let Some(part) = &piece.part else {
                deepest = cut.depth;
                continue;
            };
            deepest = usize::MAX;
            let part = moved_node(part, cut.start);
            match &mut res {
                Some(root) => hang(root, cut.depth, part)?,
                none => *none = Some(part),
            }
        }
        res.filter(|_| deepest > 0)
    }
}

/// Adds a part to the value that lies so deep: each time the last of a mapping. `None` where there is no such.
fn hang(value: &mut Node, depth: usize, part: Node) -> Option<()> {
    let span = part.span;
    match (&mut value.kind, part.kind) {
        (Kind::Mapping(mapping), kind) if depth > 0 => {
            let owner = mapping.entries.last_mut()?;
            hang(&mut owner.value, depth - 1, Node { kind, ..part })?;
            owner.span = owner.key_span.join(owner.value.span);
        }
        (Kind::Mapping(mapping), Kind::Mapping(more)) => mapping.entries.extend(more.entries),
        (Kind::Sequence(sequence), Kind::Sequence(more)) if depth == 0 => sequence.items.extend(more.items),
        (Kind::Null, kind) if depth == 0 => {
            *value = Node { kind, ..part };
            return Some(());
        }
        _ => return None,
    }
    value.span = value.span.join(span);
    Some(())
}

/// The lines at which pieces begin: the entries in the first column, those in the column of the first entry
/// below a key of these without a value, the items below a key `steps`, and the entry behind such items.
/// `None` for a text that is not made of such entries.
fn cut(text: &str) -> Option<Vec<Cut>> {
    let mut cuts: Vec<Cut> = Vec::new();
    let mut open = Open::default();
    let mut is_begun = false;
    let mut next = 0;
    for line in text.split_inclusive('\n') {
        let start = next;
        next += line.len();
        let content = line.trim_end_matches('\n');
        let content = content.strip_suffix('\r').unwrap_or(content);
        let indent = spaces(content);
        let rest = content[indent..].trim_end_matches([' ', '\t']);
        if content.contains('\r') {
            return None;
        }
        if rest.is_empty() || rest.starts_with('#') {
            continue;
        }
        if is_document_marker(content) {
            let begins = rest == "---" && cuts.is_empty() && !std::mem::replace(&mut is_begun, true);
            if begins { continue } else { return None }
        }
        match open.line(indent, rest) {
            Some(depth) => cuts.push(Cut { start, depth }),
            None if cuts.is_empty() => return None,
            None => {}
        }
    }
    (!cuts.is_empty()).then_some(cuts)
}

/// The deepest mapping whose entries are told apart.
const MAX_MAPPINGS: usize = 3;

/// The collections in block style that a line may go on with.
#[derive(Debug, Default)]
struct Open {
    /// The columns of mappings, each the value of the last entry of the one before.
    mappings: Vec<usize>,
    /// The column of the items that are the value of the last entry.
    items: Option<usize>,
    /// The last line is a key without a value, and which.
    bare: Option<Bare>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bare {
    Steps,
    Other,
}

impl Open {
    /// Takes the next line with `rest` behind its indentation. How deep the piece is that begins there, if one does.
    fn line(&mut self, indent: usize, rest: &str) -> Option<usize> {
        let bare = self.bare.take();
        let deepest = self.mappings.last().copied();
        let key = key(rest);
        if rest == "-" || rest.starts_with("- ") {
            if bare == Some(Bare::Steps) && deepest.is_some_and(|it| it <= indent) {
                self.items = Some(indent);
            }
            return (self.items == Some(indent)).then_some(self.mappings.len());
        }
        let Some((name, value)) = key else {
            // Whatever it is, what follows in the first column may be more of it.
            self.mappings.truncate(if indent == 0 { 1 } else { MAX_MAPPINGS });
            return None;
        };
        if self.items.is_some_and(|it| it < indent) {
            return None;
        }
        let is_first = self.mappings.is_empty() && indent == 0 || bare.is_some() && deepest.is_some_and(|it| it < indent) && self.mappings.len() < MAX_MAPPINGS;
        if is_first {
            self.mappings.push(indent);
        }
        let depth = self.mappings.iter().position(|it| *it == indent)?;
        self.mappings.truncate(depth + 1);
        self.bare = (value.is_empty() || value.starts_with('#')).then_some(if name == "steps" { Bare::Steps } else { Bare::Other });
        // A job's own entries are a part of it, but for those behind its steps.
        let is_piece = depth < 2 || self.items.is_some();
        self.items = None;
        is_piece.then_some(depth)
    }
}

/// A simple key, in quotes or without, and what follows its colon.
fn key(line: &str) -> Option<(&str, &str)> {
    let quote = line.chars().next().filter(|it| matches!(it, '"' | '\''));
    let name = quote.map_or(line, |_| &line[1..]);
    let end = name.find(|it: char| !(it.is_ascii_alphanumeric() || matches!(it, '_' | '-')))?;
    let rest = &name[end..];
    let rest = quote.map_or(Some(rest), |it| rest.strip_prefix(it))?.strip_prefix(':')?;
    let is_key = end > 0 && !name.starts_with('-') && (rest.is_empty() || rest.starts_with([' ', '\t']));
    is_key.then(|| (&name[..end], rest.trim_start_matches([' ', '\t'])))
}

/// Whether there may be an alias and the anchor that it names, in different pieces.
fn may_have_aliases(text: &str) -> bool {
    let bytes = text.as_bytes();
    let names = |sign: u8| {
        let begins = |at: &usize| {
            let after = bytes.get(at + 1).is_some_and(|it| it.is_ascii_alphanumeric() || *it >= 0x80 || matches!(it, b'_' | b'-'));
            after && at.checked_sub(1).and_then(|it| bytes.get(it)).is_none_or(|it| matches!(it, b' ' | b'\t' | b'\n' | b'[' | b'{' | b','))
        };
        bytes.iter().enumerate().filter(|(_, it)| **it == sign).any(|(at, _)| begins(&at))
    };
    names(b'&') && names(b'*')
}

/// The comments of lines that hold nothing else.
fn comment_lines(text: &str) -> Vec<Span> {
    let mut res = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\n', '\r']);
        if let Some(at) = content.find('#') {
            res.push(Span::new(start + at, start + content.len()));
        }
        start += line.len();
    }
    res
}

fn moved(span: Span, by: usize) -> Span {
    Span::new(span.start + by, span.end + by)
}

fn moved_entry(entry: &Entry, by: usize) -> Entry {
    Entry { span: moved(entry.span, by), key: entry.key.clone(), key_span: moved(entry.key_span, by), value: moved_node(&entry.value, by) }
}

/// The depth of nodes is bounded where they are read.
fn moved_node(node: &Node, by: usize) -> Node {
    let kind = match &node.kind {
        Kind::Mapping(it) => Kind::Mapping(Mapping { flow: it.flow, entries: it.entries.iter().map(|it| moved_entry(it, by)).collect() }),
        Kind::Sequence(it) => Kind::Sequence(Sequence { flow: it.flow, items: it.items.iter().map(|it| moved_node(it, by)).collect() }),
        Kind::Scalar(it) => Kind::Scalar(Scalar { style: it.style, value: it.value.moved(by), indent: it.indent }),
        // What it stands for would be in the same piece, and such pieces are not made.
        Kind::Alias(name, target) => Kind::Alias(name.clone(), target.clone()),
        Kind::Null => Kind::Null,
    };
    Node { span: moved(node.span, by), anchor: node.anchor.clone(), kind }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WORKFLOW: &str = "# About\n---\nname: CI # x\n\"on\":\n  push:\n    branches: [main]\n  # and\n  pull_request:\nenv: {A: b}\njobs:\n\n  # first\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: |\n          key: x\n\n        # no comment\n      - uses: a/b@v1 # c\n        with: &w {x: \"y\\\n          z\"}\n  b: {needs: a}\n# last\n";

    fn parsed(text: &str) -> Source {
        parse(text, &Pieces::default())
    }

    fn n_pieces(text: &str) -> usize {
        parsed(text).pieces.0.len()
    }

    #[test]
    fn a_workflow_is_read_in_pieces_as_it_is_read_as_a_whole() {
        assert_eq!(n_pieces(WORKFLOW), 10);
        assert_eq!(parsed(WORKFLOW), whole(WORKFLOW));
        let windows = WORKFLOW.replace('\n', "\r\n");
        assert_eq!(n_pieces(&windows), 10);
        assert_eq!(parsed(&windows), whole(&windows));
        let cut_short = WORKFLOW.trim_end_matches("\n# last\n");
        assert_eq!(parsed(cut_short), whole(cut_short));
    }

    #[test]
    fn what_is_not_made_of_entries_is_read_as_a_whole() {
        for text in [
            "- a\n- b\n",
            "{a: b}\n",
            "a: b\n---\nc: d\n",
            "a: &x b\nc: *x\n",
            "\u{feff}a: b\n",
            "a: b\rc: d\n",
            "? a\n: b\n",
            "%YAML 1.2\n---\na: b\n",
            "",
            "# a\n",
            "a: [\nb: c\n]\n",
        ] {
            assert_eq!(n_pieces(text), 0, "{text:?}");
            assert_eq!(parsed(text), whole(text), "{text:?}");
        }
    }

    #[test]
    fn a_sequence_in_the_column_of_its_key_belongs_to_it() {
        let text = "on:\n- push\n- pull_request\njobs:\n  a:\n  - x: y\n  b: c\n";
        assert_eq!(n_pieces(text), 4);
        assert_eq!(parsed(text), whole(text));
    }

    #[test]
    fn steps_are_pieces_of_their_own() {
        let text = "jobs:\n  a:\n    runs-on: x\n    steps:\n      - run: |\n          - y\n      # c\n      - uses: z\n        with:\n          steps:\n            - p\n    env:\n      b: c\n    timeout: 3\n  d:\n    steps:\n    - e\n    - f\n    needs: a\n";
        assert_eq!(n_pieces(text), 9);
        assert_eq!(parsed(text), whole(text));
        let action = "runs:\n  using: composite\n  steps:\n    - run: a\n    -\n      run: b\nname: c\n";
        assert_eq!(n_pieces(action), 6);
        assert_eq!(parsed(action), whole(action));
    }

    #[test]
    fn a_star_or_an_ampersand_makes_no_alias() {
        for text in ["a: x && y *z\n", "a: 'x & y'\nb: '*'\n", "a: 2>&1 ls *x\n"] {
            assert!(!may_have_aliases(text), "{text}");
        }
        assert!(may_have_aliases("a: &b\nc: [*b]\n"));
    }

    #[test]
    fn a_broken_line_spoils_its_own_entry_only() {
        let text = "on: push\njobs:\n  a:\n    x: y\n    half\n  b:\n    z: [1, 2]\n";
        let source = parsed(text);
        assert_eq!(n_pieces(text), 4);
        assert_eq!(source.errors.iter().map(|it| it.of(text)).collect::<Vec<_>>(), ["half"]);
        let jobs = source.root().and_then(|it| it.get("jobs")).unwrap();
        assert_eq!(jobs.entries().iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(jobs.get("a").and_then(|it| it.get("x")).and_then(Node::text), Some("y"));
    }

    #[test]
    fn only_the_piece_of_an_edit_is_read_again() {
        let before = parsed(WORKFLOW).pieces().clone();
        let after = parse(&WORKFLOW.replace("branches: [main]", "branches: [main, next]"), &before).pieces().clone();
        let kept = before.0.iter().zip(&after.0).filter(|(a, b)| Arc::ptr_eq(&a.1, &b.1)).count();
        assert_eq!((kept, after.0.len()), (9, 10));
    }

    fn n_cases() -> u32 {
        std::env::var("LAYERWISE_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(300)
    }

    /// Lines of workflows where they belong, and others anywhere.
    fn line() -> impl Strategy<Value = String> {
        let workflow = prop::sample::select(vec![
            "jobs:\n",
            "  a:\n",
            "  b: # x\n",
            "    runs-on: c\n",
            "    steps:\n",
            "    steps:\n      - run: |\n",
            "    steps:\n    - uses: d\n",
            "      - run: e\n",
            "    - run: f\n",
            "      -\n",
            "        with:\n",
            "        steps:\n",
            "          g: h\n",
            "          - i\n",
            "          # j\n",
            "    env: {k: l}\n",
            "\n",
            "runs:\n  steps:\n",
        ]);
        prop_oneof![2 => workflow.prop_map(str::to_owned), 1 => any_line()]
    }

    fn any_line() -> impl Strategy<Value = String> {
        let content = prop::sample::select(vec![
            "a: b",
            "on:",
            "\"on\":",
            "jobs: # x",
            "c: |",
            "c: >-",
            "- d",
            "- e: f",
            "g: [h,",
            "i]",
            "\"j: k",
            "l\"",
            "# m",
            "",
            "n",
            "o: 'p'",
            "---",
            "{q: r}",
            "s: 't",
            "u: &v w",
            "x: *v",
            "\ty",
            "z: {",
            "}",
            "run: |-",
            "steps:",
            "steps: # c",
            "- run: |",
            "-",
            "- - y",
        ]);
        (0..6_usize, content, prop::sample::select(vec!["\n", "\r\n"])).prop_map(|(level, content, ending)| format!("{}{content}{ending}", "  ".repeat(level)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(n_cases()))]

        #[test]
        fn good_files_mean_the_same_in_pieces(lines in prop::collection::vec(line(), 0..12)) {
            let text = lines.concat();
            let whole = whole(&text);
            if whole.errors.is_empty() {
                prop_assert_eq!(parsed(&text), whole, "{}", text);
            }
        }

        #[test]
        fn what_was_read_before_does_not_matter(lines in prop::collection::vec(line(), 0..12), changes in prop::collection::vec((0..12_usize, line()), 1..4)) {
            let mut lines = lines;
            let mut before = parsed(&lines.concat()).pieces().clone();
            for (at, line) in changes {
                match lines.get_mut(at) {
                    Some(known) => *known = line,
                    None => lines.push(line),
                }
                let text = lines.concat();
                let mut source = parse(&text, &before);
                prop_assert_eq!(&source, &parsed(&text), "{}", text);
                source.slim();
                prop_assert_eq!(&source, &parsed(&text), "{}", text);
                let spans = source.comments.iter().chain(&source.errors);
                prop_assert!(spans.into_iter().all(|it| text.get(it.start..it.end).is_some()));
                before = source.pieces().clone();
            }
        }
    }
}
