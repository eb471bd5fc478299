//! Bake files in JSON. Texts may be templates, as in HCL. Every JSON file is YAML too, which is how
//! its values are found in the text.

use super::evaluate::{Evaluator, Pair, Term};
use super::{Attributed, Bake, Definition, File, MAX_TARGETS, Variable};
use crate::edit::Span;
use crate::syntax::yaml::{self, Entry, Kind, Node};
use crate::text::{Document, Language};
use crate::value::Passage;
use hcl_edit::expr::Expression;
use hcl_edit::structure::{Attribute, Block, Body};
use hcl_edit::{Decorated, Ident};
use serde::de::IgnoredAny;

/// Reads a file; `None` where it is no JSON. The parser stops at 128 values inside values.
pub(super) fn lower(text: &str) -> Option<Bake> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let document = Document::new(Language::Yaml, text);
    let source = yaml::read(text, document.tree()?);
    let root = source.root()?;
    let variables = variables(root);
    let body = body(&variables);
    let evaluator = Evaluator::new("", &body);
    let mut definitions = blocks(root, "target", false);
    definitions.extend(blocks(root, "group", true));
    Some(Bake { variables, ..File { evaluator: &evaluator, definitions }.lower() })
}

fn named<'a>(root: &'a Node, kind: &str) -> &'a [Entry] {
    root.get(kind).map(Node::entries).unwrap_or_default()
}

fn variables(root: &Node) -> Vec<Variable> {
    let default = |it: &Entry| it.value.get("default").and_then(Node::text).map(str::to_owned);
    named(root, "variable").iter().map(|it| Variable { name: it.key.to_string(), span: inside(it.key_span), default: default(it) }).collect()
}

/// A key without its quotes.
fn inside(key: Span) -> Span {
    if key.len() < 2 { key } else { Span::new(key.start + 1, key.end - 1) }
}

/// The variables as blocks, which is what the evaluator reads.
fn body(variables: &[Variable]) -> Body {
    let block = |it: &Variable| {
        let default = it.default.as_ref().map(|it| Attribute::new(Ident::new_sanitized("default"), Expression::String(Decorated::new(it.clone()))));
        let block = Block::builder(Ident::new_sanitized("variable")).label(it.name.as_str());
        default.into_iter().fold(block, |res, it| res.attribute(it)).build()
    };
    variables.iter().map(block).collect()
}

fn blocks<'a>(root: &Node, kind: &str, is_group: bool) -> Vec<Definition<'a>> {
    let definition = |it: &Entry| {
        let attributes = it.value.entries().iter().map(|it| (it.key.to_string(), Attributed::Json(term(&it.value)))).collect();
        Definition { name: it.key.to_string(), span: inside(it.key_span), whole: it.span, is_group, attributes }
    };
    named(root, kind).iter().take(MAX_TARGETS).map(definition).collect()
}

fn term(node: &Node) -> Term {
    match &node.kind {
        Kind::Scalar(scalar) => Term::Text(Passage::literal(scalar.value.clone(), node.span).fitted()),
        Kind::Sequence(sequence) => Term::List(sequence.items.iter().map(term).collect()),
        Kind::Mapping(mapping) => {
            Term::Object(mapping.entries.iter().map(|it| Pair { name: it.key.to_string(), span: it.span, value: term(&it.value) }).collect())
        }
        Kind::Alias(..) | Kind::Null => Term::Null,
    }
}
