//! From the tree to owned data.

use super::{Entry, Kind, Mapping, Node, Scalar, Sequence, Source, Style, scalar};
use crate::edit::Span;
use crate::text::Language;
use compact_str::CompactString;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};
use tree_sitter::{Node as Tree, Tree as WholeTree, TreeCursor};

/// Collections inside collections, aliases followed. Deeper ones are errors: no workflow comes
/// near, and all that walks a [`Node`] may recurse.
const MAX_DEPTH: usize = 100;

/// What all aliases of a file together may stand for, in bytes, so that nobody who follows them
/// meets a "billion laughs".
const MAX_SHARED: usize = 4 << 20;

/// The sorts of nodes that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Document,
    BlockNode,
    FlowNode,
    Anchor,
    AnchorName,
    Tag,
    Alias,
    AliasName,
    Comment,
    Error,
    BlockMapping,
    FlowMapping,
    BlockMappingPair,
    FlowPair,
    BlockSequence,
    FlowSequence,
    BlockSequenceItem,
    BlockScalar,
    SingleQuoted,
    DoubleQuoted,
    Plain,
    Colon,
    Other,
}

/// What the grammar's numbers for kinds and fields mean: to compare numbers takes a fraction of
/// what comparing names does, and every keystroke reads the whole tree.
struct Grammar {
    sorts: Vec<Sort>,
    key: Option<u16>,
    value: Option<u16>,
}

static GRAMMAR: LazyLock<Grammar> = LazyLock::new(|| {
    let language = Language::Yaml.grammar();
    let sort = |id: usize| u16::try_from(id).ok().and_then(|it| language.node_kind_for_id(it)).map_or(Sort::Other, Sort::of);
    let field = |name: &str| language.field_id_for_name(name).map(Into::into);
    Grammar { sorts: (0..language.node_kind_count()).map(sort).collect(), key: field("key"), value: field("value") }
});

impl Sort {
    fn of(kind: &str) -> Sort {
        match kind {
            "document" => Sort::Document,
            "block_node" => Sort::BlockNode,
            "flow_node" => Sort::FlowNode,
            "anchor" => Sort::Anchor,
            "anchor_name" => Sort::AnchorName,
            "tag" => Sort::Tag,
            "alias" => Sort::Alias,
            "alias_name" => Sort::AliasName,
            "comment" => Sort::Comment,
            "block_mapping" => Sort::BlockMapping,
            "flow_mapping" => Sort::FlowMapping,
            "block_mapping_pair" => Sort::BlockMappingPair,
            "flow_pair" => Sort::FlowPair,
            "block_sequence" => Sort::BlockSequence,
            "flow_sequence" => Sort::FlowSequence,
            "block_sequence_item" => Sort::BlockSequenceItem,
            "block_scalar" => Sort::BlockScalar,
            "single_quote_scalar" => Sort::SingleQuoted,
            "double_quote_scalar" => Sort::DoubleQuoted,
            "plain_scalar" => Sort::Plain,
            ":" => Sort::Colon,
            _ => Sort::Other,
        }
    }
}

fn sort(node: Tree) -> Sort {
    // An error has a number of its own, behind all others.
    GRAMMAR.sorts.get(usize::from(node.kind_id())).copied().unwrap_or(Sort::Error)
}

/// Reads a YAML file from its tree. Places that the tree could not make sense of are left out and
/// listed in [`Source::errors`]; where the parser gave up there is no root at all.
pub fn read(text: &str, tree: &WholeTree) -> Source {
    let mut source = Source::default();
    let marks = survey(text, tree, &mut source);
    let errors = std::mem::take(&mut source.errors);
    let mut reader = Reader { text, cursor: tree.walk(), marks, anchors: HashMap::new(), shared: 0, errors };
    let document = reader.child(tree.root_node(), |it| it == Sort::Document);
    let root = document.and_then(|it| reader.child(it, is_value));
    source.root = root.map(|it| reader.node(it, None, 0).node).into();
    source.errors = reader.errors;
    source
}

fn is_value(sort: Sort) -> bool {
    matches!(sort, Sort::BlockNode | Sort::FlowNode)
}

/// What one walk over the whole tree finds.
struct Marks {
    /// Anchors that an alias names: only these are kept.
    aliased: HashSet<String>,
}

/// Collects comments, errors and the names of aliases without recursion.
fn survey(text: &str, tree: &WholeTree, source: &mut Source) -> Marks {
    let mut aliased = HashSet::new();
    let mut cursor = tree.walk();
    // Errors inside errors are one error.
    let mut n_open_errors = 0_usize;
    loop {
        let node = cursor.node();
        let span = span(node);
        match sort(node) {
            Sort::Comment => source.comments.push(trim_end(text, span)),
            Sort::AliasName => drop(aliased.insert(span.of(text).to_owned())),
            _ => {}
        }
        if (node.is_error() || node.is_missing()) && n_open_errors == 0 {
            source.errors.push(span);
        }
        if cursor.goto_first_child() {
            n_open_errors += usize::from(node.is_error());
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return Marks { aliased };
            }
            n_open_errors -= usize::from(cursor.node().is_error());
        }
    }
}

/// A node, and what it costs to follow.
struct Read {
    node: Node,
    /// Levels below it, aliases followed.
    height: usize,
    /// Its size in bytes, aliases followed.
    weight: usize,
}

impl Read {
    fn leaf(span: Span, kind: Kind, weight: usize) -> Read {
        Read { node: Node { span, anchor: None, kind }, height: 0, weight: weight + 1 }
    }

    fn null(offset: usize) -> Read {
        Read::leaf(Span::at(offset), Kind::Null, 0)
    }
}

struct Shared {
    node: Arc<Node>,
    height: usize,
    weight: usize,
}

struct Reader<'a> {
    text: &'a str,
    /// For all nodes, because to make one takes longer than to use it.
    cursor: TreeCursor<'a>,
    marks: Marks,
    /// `None` while the node is being read: an alias inside it is a cycle.
    anchors: HashMap<String, Option<Shared>>,
    shared: usize,
    errors: Vec<Span>,
}

impl<'a> Reader<'a> {
    fn children(&mut self, node: Tree<'a>) -> Vec<Tree<'a>> {
        node.children(&mut self.cursor).collect()
    }

    /// The first child of a sort.
    fn child(&mut self, node: Tree<'a>, is: impl Fn(Sort) -> bool) -> Option<Tree<'a>> {
        node.children(&mut self.cursor).find(|it| is(sort(*it)))
    }

    /// Reads a `block_node` or `flow_node` inside a collection at column `parent`.
    fn node(&mut self, wrapper: Tree<'a>, parent: Option<usize>, depth: usize) -> Read {
        let mut anchor = None;
        let mut tagged = false;
        let mut content = None;
        let mut properties_end = wrapper.start_byte();
        for child in self.children(wrapper) {
            match sort(child) {
                Sort::Anchor => {
                    anchor = self.child(child, |it| it == Sort::AnchorName).map(|it| span(it).of(self.text).to_owned());
                    properties_end = child.end_byte();
                }
                Sort::Tag => {
                    tagged = true;
                    properties_end = child.end_byte();
                }
                Sort::Comment | Sort::Error => {}
                _ => content = content.or(Some(child)),
            }
        }
        let aliased = anchor.clone().filter(|it| self.marks.aliased.contains(it));
        if let Some(name) = &aliased {
            self.anchors.insert(name.clone(), None);
        }
        let mut res = match content {
            Some(content) if depth < MAX_DEPTH => self.content(content, parent, depth, tagged),
            Some(content) => {
                self.errors.push(span(content));
                Read::null(content.start_byte())
            }
            None => Read::null(properties_end),
        };
        res.node.anchor = anchor;
        if let Some(name) = aliased
            && self.shared + res.weight <= MAX_SHARED
        {
            self.shared += res.weight;
            let shared = Shared { node: Arc::new(res.node.clone()), height: res.height, weight: res.weight };
            self.anchors.insert(name, Some(shared));
        }
        res
    }

    fn content(&mut self, node: Tree<'a>, parent: Option<usize>, depth: usize, tagged: bool) -> Read {
        match sort(node) {
            Sort::BlockMapping | Sort::FlowMapping => self.mapping(node, parent, depth),
            Sort::BlockSequence | Sort::FlowSequence => self.sequence(node, parent, depth),
            Sort::Alias => self.alias(node, depth),
            _ => self.scalar(node, parent, tagged),
        }
    }

    fn mapping(&mut self, node: Tree<'a>, parent: Option<usize>, depth: usize) -> Read {
        let flow = sort(node) == Sort::FlowMapping;
        let column = if flow { parent } else { Some(self.column(node.start_byte())) };
        let mut level = Level::default();
        let mut entries = Vec::new();
        for child in self.children(node) {
            match sort(child) {
                Sort::BlockMappingPair | Sort::FlowPair => entries.push(self.pair(child, column, depth, &mut level)),
                Sort::FlowNode => entries.push(self.lone_key(child, column, depth, &mut level)),
                _ => {}
            }
        }
        entries.shrink_to_fit();
        let whole = collection_span(node, flow, entries.first().map(|it| it.span), entries.last().map(|it| it.span));
        level.read(whole, Kind::Mapping(Mapping { flow, entries }))
    }

    fn pair(&mut self, pair: Tree<'a>, column: Option<usize>, depth: usize, level: &mut Level) -> Entry {
        let colon = self.child(pair, |it| it == Sort::Colon).map_or(pair.end_byte(), |it| it.end_byte());
        let key = GRAMMAR.key.and_then(|it| pair.child_by_field_id(it));
        let value = GRAMMAR.value.and_then(|it| pair.child_by_field_id(it));
        let (key, key_span) = match key {
            Some(key) => self.key(key, column, depth, level),
            None => (CompactString::default(), Span::at(pair.start_byte())),
        };
        let value = match value {
            Some(value) => self.node(value, column, depth + 1),
            None => Read::null(colon.max(key_span.end)),
        };
        let value = level.add(value);
        Entry { span: key_span.join(value.span), key, key_span, value }
    }

    /// `{key}`: a key without a value.
    fn lone_key(&mut self, node: Tree<'a>, column: Option<usize>, depth: usize, level: &mut Level) -> Entry {
        let (key, key_span) = self.key(node, column, depth, level);
        Entry { span: key_span, key, key_span, value: level.add(Read::null(key_span.end)) }
    }

    /// The text of a key; the source of one that is a collection.
    fn key(&mut self, node: Tree<'a>, column: Option<usize>, depth: usize, level: &mut Level) -> (CompactString, Span) {
        let plain = self.child(node, |it| it == Sort::Plain).map(span);
        let key = level.add(self.node(node, column, depth + 1));
        let text = match (plain, key.text()) {
            // `null:` and `~:` are read as they are written.
            (Some(plain), _) => scalar::plain(self.text, plain).text,
            (None, Some(text)) => text.into(),
            (None, None) => key.span.of(self.text).into(),
        };
        (text, key.span)
    }

    fn sequence(&mut self, node: Tree<'a>, parent: Option<usize>, depth: usize) -> Read {
        let flow = sort(node) == Sort::FlowSequence;
        let column = if flow { parent } else { Some(self.column(node.start_byte())) };
        let mut level = Level::default();
        let mut items = Vec::new();
        for child in self.children(node) {
            match sort(child) {
                Sort::BlockSequenceItem => items.push(level.add(self.item(child, column, depth))),
                Sort::FlowNode => items.push(level.add(self.node(child, column, depth + 1))),
                Sort::FlowPair => {
                    let mut inner = Level::default();
                    let entry = self.pair(child, column, depth + 1, &mut inner);
                    let pair = inner.read(entry.span, Kind::Mapping(Mapping { flow: true, entries: vec![entry] }));
                    items.push(level.add(pair));
                }
                _ => {}
            }
        }
        items.shrink_to_fit();
        let first = Some(Span::at(node.start_byte()));
        let whole = collection_span(node, flow, first, items.last().map(|it| it.span));
        level.read(whole, Kind::Sequence(Sequence { flow, items }))
    }

    fn item(&mut self, item: Tree<'a>, column: Option<usize>, depth: usize) -> Read {
        let value = self.child(item, is_value);
        match value {
            Some(value) => self.node(value, column, depth + 1),
            None => Read::null(item.start_byte() + 1),
        }
    }

    fn alias(&mut self, node: Tree<'a>, depth: usize) -> Read {
        let name = self.child(node, |it| it == Sort::AliasName).map_or("", |it| span(it).of(self.text));
        let target = self.anchors.get(name).and_then(Option::as_ref);
        let allowed = target.filter(|it| depth + it.height < MAX_DEPTH && self.shared + it.weight <= MAX_SHARED);
        let (height, weight) = allowed.map_or((0, 0), |it| (it.height + 1, it.weight));
        let node_target = allowed.map(|it| Arc::clone(&it.node));
        self.shared += weight;
        let mut res = Read::leaf(span(node), Kind::Alias(name.to_owned(), node_target), weight);
        res.height = height;
        res
    }

    fn scalar(&self, node: Tree<'a>, parent: Option<usize>, tagged: bool) -> Read {
        let whole = span(node);
        let (style, value) = match sort(node) {
            Sort::BlockScalar => {
                let Some(block) = scalar::block(self.text, whole.start, parent) else { return Read::null(whole.start) };
                let weight = block.scalar.value.text.len();
                return Read::leaf(Span::new(whole.start, block.end), Kind::Scalar(block.scalar), weight);
            }
            Sort::SingleQuoted => (Style::Single, scalar::quoted(self.text, whole, Style::Single)),
            Sort::DoubleQuoted => (Style::Double, scalar::quoted(self.text, whole, Style::Double)),
            _ => (Style::Plain, scalar::plain(self.text, whole)),
        };
        if style == Style::Plain && !tagged && is_null(&value.text) {
            return Read::leaf(whole, Kind::Null, 0);
        }
        let weight = value.text.len();
        Read::leaf(whole, Kind::Scalar(Scalar { style, value, indent: 0 }), weight)
    }

    /// The column of the byte at `offset`, in bytes: in front of a block collection stand spaces
    /// and dashes, and a byte order mark, which takes no column.
    fn column(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or("");
        let start = before.rfind(['\n', '\r']).map_or(0, |it| it + 1);
        let line = before.get(start..).unwrap_or("");
        line.strip_prefix('\u{feff}').unwrap_or(line).len()
    }
}

/// Height and weight of a collection, put together from its children.
#[derive(Default)]
struct Level {
    height: usize,
    weight: usize,
}

impl Level {
    fn add(&mut self, child: Read) -> Node {
        self.height = self.height.max(child.height + 1);
        self.weight += child.weight;
        child.node
    }

    fn read(self, span: Span, kind: Kind) -> Read {
        Read { height: self.height, ..Read::leaf(span, kind, self.weight) }
    }
}

/// Block collections have no end of their own: the tree's includes line endings and comments.
fn collection_span(node: Tree, flow: bool, first: Option<Span>, last: Option<Span>) -> Span {
    match (first, last) {
        (Some(first), Some(last)) if !flow => first.join(last),
        _ => span(node),
    }
}

/// Whether a plain scalar stands for nothing.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "~" | "null" | "Null" | "NULL")
}

fn span(node: Tree) -> Span {
    Span::new(node.start_byte(), node.end_byte())
}

fn trim_end(text: &str, span: Span) -> Span {
    Span::new(span.start, span.start + span.of(text).trim_end_matches(['\r', '\n']).len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Document, Language};
    use proptest::prelude::*;
    use serde_yaml::Value;

    fn source(text: &str) -> Source {
        let document = Document::new(Language::Yaml, text);
        read(text, document.tree().unwrap())
    }

    fn root(text: &str) -> Node {
        source(text).root().cloned().unwrap()
    }

    #[track_caller]
    fn same(node: &Node, value: &Value) {
        match (&node.resolved().kind, value) {
            (_, Value::Tagged(tagged)) => same(node, &tagged.value),
            (Kind::Null, Value::Null) => {}
            (Kind::Scalar(scalar), Value::String(text)) => assert_eq!(&scalar.value.text, text),
            (Kind::Scalar(scalar), Value::Number(_) | Value::Bool(_)) => {
                assert_eq!(&serde_yaml::from_str::<Value>(&scalar.value.text).unwrap(), value);
            }
            (Kind::Sequence(sequence), Value::Sequence(values)) => {
                assert_eq!(sequence.items.len(), values.len());
                sequence.items.iter().zip(values).for_each(|(node, value)| same(node, value));
            }
            (Kind::Mapping(mapping), Value::Mapping(values)) => {
                assert_eq!(mapping.entries.len(), values.len());
                for (entry, (key, value)) in mapping.entries.iter().zip(values) {
                    if let Value::String(key) = key {
                        assert_eq!(&entry.key, key);
                    }
                    same(&entry.value, value);
                }
            }
            (kind, value) => panic!("{kind:?} is not {value:?}"),
        }
    }

    /// Whether serde_yaml and the tree both take it; then the values are the same.
    #[track_caller]
    fn agrees(text: &str) -> bool {
        let source = source(text);
        check_spans(text, &source);
        let Ok(value) = serde_yaml::from_str::<Value>(text) else { return false };
        if !source.errors.is_empty() {
            return false;
        }
        match source.root() {
            Some(root) => same(root, &value),
            None => assert_eq!(value, Value::Null),
        }
        true
    }

    #[track_caller]
    fn check_spans(text: &str, source: &Source) {
        fn walk(text: &str, node: &Node) {
            assert!(text.get(node.span.start..node.span.end).is_some());
            match &node.kind {
                Kind::Mapping(mapping) => mapping.entries.iter().for_each(|it| {
                    assert!(node.span.contains(it.span), "{:?} {:?}", node.span, it.span);
                    assert!(it.span.contains(it.key_span) && it.span.contains(it.value.span));
                    walk(text, &it.value);
                }),
                Kind::Sequence(sequence) => sequence.items.iter().for_each(|it| {
                    assert!(node.span.contains(it.span));
                    walk(text, it);
                }),
                Kind::Scalar(scalar) => check_scalar(text, node.span, &scalar.value),
                Kind::Alias(..) | Kind::Null => {}
            }
        }
        source.root().into_iter().for_each(|it| walk(text, it));
        source.comments.iter().for_each(|it| assert!(it.of(text).starts_with('#')));
    }

    #[track_caller]
    fn check_scalar(text: &str, whole: Span, value: &crate::syntax::Mapped) {
        for (at, found) in value.text.char_indices() {
            let place = value.span(Span::new(at, at + found.len_utf8()));
            // The ending of the last line of a block scalar lies behind it.
            assert!(whole.contains(place) || (found == '\n' && place.start == whole.end), "{place:?} outside {whole:?}");
            if found.is_alphanumeric() && !place.of(text).starts_with('\\') {
                assert_eq!(place.of(text), found.to_string());
            }
        }
    }

    #[test]
    fn every_style_is_decoded_as_serde_yaml_decodes_it() {
        for text in [
            "",
            "# only a comment\n",
            "a",
            "a: b\n",
            "a:\n",
            "a: ~\nb: null\nc: Null\nd: !!str null\n",
            "a: nulls\nb: 'null'\n",
            "\u{feff}a: b\nc: |\n  x\n",
            "a: b c\n  d\n\n  e   \n  f\n",
            "a: 'it''s'\nb: ''\nc: ''''\n",
            "a: 'x  \n   y\n\n\n  z '\n",
            "a: \"\\0\\a\\b\\t\\n\\v\\f\\r\\e\\ \\\"\\/\\\\\\N\\_\\L\\P\\x41\\u00e9\\U0001F600\"\n",
            "a: \"x \\\n   y\\\n\n  z\n  w \"\n",
            "a: \"\\\ttab\"\n",
            "a: |\n  x\n   y\n\n  z\n\n\nb: c\n",
            "a: |-\n  x\n\nb: |+\n  y\n\n\nc: |+\n\nd: |\n\ne: |-\n",
            "a: >\n  x\n  y\n\n  z\n\n\n  w\n   more\n   more\n  less\n\n   more\n\n  less\n",
            "a: >-\n\n  x\n  y\n",
            "a: |2\n   x\n  y\n",
            "a: |1-\n  x\n y\n",
            "a: >+1\n x\n\n\n",
            "a: | # comment\n  # text\n  x\n # comment\n",
            "a: |\n  x",
            "a: >\n  x\n  ",
            "a: |\n  x\n     \n  y\n   \n",
            "a: |\n  \tx\n  y\n",
            "- |\n x\n- - |2\n    x\n   y\n- k: |\n   x\n",
            "a:\n- |\n x\n- b\n",
            "|\n x\n y\n",
            "--- |\n x\n y\n...\n",
            "a: |\n  x\n...\n",
            "a: [b, 'c', \"d\", {e: f}, [g], h i, ]\n",
            "a: {b: c, d, e: , 'f': g, \"h\":i}\n",
            "a: [b: c, d]\n",
            "a: [\n  b,\n  c # comment\n  ]\n",
            "a: {}\nb: []\n",
            "a: &x b\nc: *x\nd: &y\n  e: *x\nf: *y\ng: &z\nh: *z\n",
            "a: &x {b: c}\nd:\n  <<: *x\n  e: f\n",
            "? a\n: b\n? c\n",
            "a: b # comment\nc: d#no comment\ne: 'f' # comment\n",
            "a: http://b.c:80/d\ne: f:g\n",
            "a: !t b\nc: !!str 1\nd: !!map\n  e: f\n",
            "1: a\ntrue: b\n~: c\n",
            "a:\r\n  - b: |\r\n      x\r\n      y\r\n\r\n  - 'c\r\n\r\n    d'\r\n  - e\r\n    f\r\n  - >\r\n    x\r\n    y\r\n",
            "a: b\rc: |\r  d\r  e\r",
            "ä: ö\n'ü': \"ß\"\n",
            "- - a\n  - b\n-   - c\n",
            "-\n  a: b\n-\n- \n",
            "a:\n    b\n    c\nd: e\n",
            "a: b\n  - c\n",
            "a: - b\n",
            "on: push\nenv:\n  X: ${{ github.sha }}\n  Y: a ${{ b }} c\n",
        ] {
            let both = agrees(text);
            let judge = serde_yaml::from_str::<Value>(text).is_ok();
            assert!(both || !judge, "the tree does not take {text:?}");
        }
    }

    #[test]
    fn only_the_first_of_several_documents_is_read() {
        assert_eq!(root("---\na: b\n---\nc: d\n").entries().len(), 1);
        assert_eq!(root("--- # x\na\n...\n---\nb\n").text(), Some("a"));
    }

    #[test]
    fn spans_leave_out_anchors_tags_comments_and_line_endings() {
        let text = "a: &x !t b # c\nd: &y\n  e: |\n    f\n\n\ng: &z\n  - h\n  - # i\nj: 'k'  \n";
        let root = root(text);
        let spans: Vec<_> = root.entries().iter().map(|it| it.value.span.of(text)).collect();
        assert_eq!(spans, ["b", "e: |\n    f", "- h\n  -", "'k'"]);
        assert_eq!(root.span.of(text), text.trim_end());
        assert_eq!(root.get("g").unwrap().items()[1].kind, Kind::Null);
        assert_eq!(root.entry("d").unwrap().span.of(text), "d: &y\n  e: |\n    f");
        assert_eq!(root.entry("a").unwrap().value.anchor.as_deref(), Some("x"));
    }

    #[test]
    fn a_value_that_is_not_there_stands_behind_the_colon() {
        let text = "a:\nb: &x\nc: # d\n";
        let ends: Vec<_> = root(text).entries().iter().map(|it| it.value.span).collect();
        assert_eq!(ends, [Span::at(2), Span::at(8), Span::at(11)]);
    }

    #[test]
    fn blank_lines_that_are_kept_belong_to_the_scalar() {
        let text = "a: |+\n  x\n\n\nb: |\n  y\n\nc: d\n";
        let root = root(text);
        assert_eq!(root.get("a").unwrap().span.of(text), "|+\n  x\n\n");
        assert_eq!(root.get("b").unwrap().span.of(text), "|\n  y");
    }

    #[test]
    fn comments_inside_block_scalars_are_text() {
        let text = "# a\nb: | # c\n  # d\n  e # f\n# g\r\nh: [ # i\n  j ]";
        let comments: Vec<_> = source(text).comments.iter().map(|it| it.of(text)).collect();
        assert_eq!(comments, ["# a", "# c", "# g", "# i"]);
        assert_eq!(root(text).get("b").unwrap().text(), Some("# d\ne # f\n"));
    }

    #[test]
    fn the_last_of_double_keys_counts_and_merge_keys_are_followed() {
        let root = root("x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz:\n  <<: [*x, *y]\n  a: 5\n  a: 6\n");
        let z = root.get("z").unwrap();
        assert_eq!(z.get("a").unwrap().text(), Some("6"));
        assert_eq!(z.get("b").unwrap().text(), Some("2"));
        assert_eq!(z.get("c").unwrap().text(), Some("4"));
        assert!(z.get("d").is_none());
    }

    #[test]
    fn an_alias_needs_an_anchor_before_it() {
        let alias = |text: &str| match &root(text).get("b").unwrap().kind {
            Kind::Alias(name, target) => (name.clone(), target.is_some()),
            kind => panic!("{kind:?}"),
        };
        assert_eq!(alias("a: &x c\nb: *x\n"), ("x".to_owned(), true));
        assert_eq!(alias("a: c\nb: *x\n"), ("x".to_owned(), false));
        assert_eq!(alias("b: *x\na: &x c\n"), ("x".to_owned(), false));
    }

    #[test]
    fn a_cycle_leads_nowhere() {
        let root = root("a: &x\n  b: *x\n  c: &x [*x]\n  d: *x\n");
        let a = root.get("a").unwrap();
        assert!(matches!(a.get("b").unwrap().kind, Kind::Alias(_, None)));
        assert!(matches!(a.get("c").unwrap().items()[0].kind, Kind::Alias(_, None)));
        assert!(matches!(a.get("d").unwrap().kind, Kind::Alias(_, Some(_))));
    }

    fn n_nodes(node: &Node) -> usize {
        let below: usize = match &node.resolved().kind {
            Kind::Mapping(mapping) => mapping.entries.iter().map(|it| n_nodes(&it.value)).sum(),
            Kind::Sequence(sequence) => sequence.items.iter().map(n_nodes).sum(),
            _ => 0,
        };
        below + 1
    }

    #[test]
    fn a_billion_laughs_stay_cheap() {
        let mut text = "a0: &a0 [lol]\n".to_owned();
        for level in 1..60 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            text += &format!("a{level}: &a{level} [{aliases}]\n");
        }
        assert!(n_nodes(&root(&text)) < MAX_SHARED);
    }

    #[test]
    fn chains_of_aliases_are_bounded_in_depth() {
        let mut text = "a0: &a0 [x]\n".to_owned();
        for level in 1..20_000 {
            text += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
        }
        assert!(n_nodes(&root(&text)) > 20_000);
    }

    #[test]
    fn deep_nesting_ends_in_an_error() {
        for text in ["[".repeat(50_000) + &"]".repeat(50_000), "- ".repeat(3_000), "{a: ".repeat(20_000), "? ".repeat(5_000)] {
            let source = source(&text);
            assert!(!source.errors.is_empty(), "{}", &text[..10]);
        }
    }

    #[test]
    fn a_nul_is_not_the_end_of_the_file() {
        use crate::syntax::yaml;
        let found = |text: &str| yaml::parse(text, &yaml::Pieces::default()).root().and_then(|it| it.get("b").map(|it| it.span.of(text).to_owned()));
        for text in ["a: |\n  \0\nb: 1\n", "a: |\n  x\0\n  y\nb: 1\n", "a: \0\nb: 1\n", "# \0\nb: 1\n", "a: 'x\0'\nb: 1\n"] {
            assert_eq!(found(text).as_deref(), Some("1"), "{text:?}");
        }
    }

    /// A scalar in any style, right or wrong: the judge takes what it takes.
    fn scalar_text(indent: usize) -> impl Strategy<Value = String> {
        let pad = " ".repeat(indent);
        let line = (0..4_usize, prop::sample::select(vec!["a", "b c", "# d", "- e", "f: g", "", "", "\t", "'", "h\\", "ä"]));
        let lines = prop::collection::vec(line, 0..6);
        let inside = pad.clone();
        let block = ("[|>]", "[+-]?", prop::bool::ANY, lines, prop::bool::ANY).prop_map(move |(style, chomp, digit, lines, comment)| {
            let digit = if digit { indent.clamp(1, 9).to_string() } else { String::new() };
            let comment = if comment { " # comment" } else { "" };
            let body: String = lines.iter().map(|(extra, text)| format!("\n{inside}{}{text}", " ".repeat(*extra))).collect();
            format!("{style}{digit}{chomp}{comment}{body}")
        });
        let word = prop::sample::select(vec!["a", "b", "''", "\\x41", "\\n", "#", ":", "ö", "\\\"", "null", "1", "true"]);
        let gap = prop::sample::select(vec![" ", "  ", "\n", " \n", "\n\n", "\\\n", "\t", ""]);
        let words = prop::collection::vec((word, gap), 0..6);
        let flow = (0..3_usize, words).prop_map(move |(style, words)| {
            let body: String = words.iter().map(|(word, gap)| format!("{word}{}", gap.replace('\n', &format!("\n{pad}")))).collect();
            match style {
                0 => body,
                1 => format!("'{body}'"),
                _ => format!("\"{body}\""),
            }
        });
        prop_oneof![block, flow]
    }

    fn yaml_text() -> impl Strategy<Value = String> {
        let entry = (0..4_usize, scalar_text(3), scalar_text(5), "( # x)?");
        let eol = prop::sample::select(vec!["\n", "\r\n"]);
        (prop::collection::vec(entry, 1..5), eol, prop::bool::ANY).prop_map(|(entries, eol, last)| {
            let text: String = entries
                .iter()
                .enumerate()
                .map(|(index, (shape, outer, inner, comment))| match shape {
                    0 => format!("k{index}: {outer}{comment}\n"),
                    1 => format!("k{index}:\n  - {outer}\n  - i: {inner}\n    j: x{comment}\n"),
                    2 => format!("k{index}: [{outer}, {inner}]{comment}\n"),
                    _ => format!("k{index}: &a{index} {outer}\nl{index}: *a{index}\n"),
                })
                .collect();
            let text = if last { text } else { text.trim_end_matches('\n').to_owned() };
            text.replace('\n', eol)
        })
    }

    proptest! {
        #[test]
        fn generated_files_are_read_as_serde_yaml_reads_them(text in yaml_text()) {
            agrees(&text);
        }

        #[test]
        fn one_generated_scalar_is_read_as_serde_yaml_reads_it(text in scalar_text(2)) {
            agrees(&format!("a: {text}\n"));
            agrees(&format!("- {text}"));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-a:#\\[\\]{}'\"|>&*!?,% \n\r\t\\\\xä0]{0,60}") {
            check_spans(&text, &source(&text));
        }
    }
}
