//! Bake files in JSON. Texts may be templates, as in HCL; there are no spans.

use super::evaluate::{Evaluator, Pair, Term};
use super::{Attributed, Bake, Definition, File, MAX_TARGETS, Variable};
use crate::edit::Span;
use hcl_edit::expr::Expression;
use hcl_edit::structure::{Attribute, Block, Body};
use hcl_edit::{Decorated, Ident};
use serde_json::{Map, Value};

/// Reads a file; `None` where it is no JSON.
pub(super) fn lower(text: &str) -> Option<Bake> {
    let file: Map<String, Value> = serde_json::from_str(text).ok()?;
    let variables = variables(&file);
    let body = body(&variables);
    let evaluator = Evaluator::new("", &body);
    let mut definitions = blocks(&file, "target", false);
    definitions.extend(blocks(&file, "group", true));
    Some(Bake { variables, ..File { evaluator: &evaluator, definitions }.lower() })
}

fn variables(file: &Map<String, Value>) -> Vec<Variable> {
    let named = file.get("variable").and_then(Value::as_object).into_iter().flatten();
    let default = |it: &Value| scalar(it.get("default")?);
    named.map(|(name, it)| Variable { name: name.clone(), span: Span::default(), default: default(it) }).collect()
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

fn blocks<'a>(file: &Map<String, Value>, kind: &str, is_group: bool) -> Vec<Definition<'a>> {
    let named = file.get(kind).and_then(Value::as_object).into_iter().flatten();
    let definition = |(name, value): (&String, &Value)| {
        let attributes = value.as_object().into_iter().flatten().map(|(key, it)| (key.clone(), Attributed::Json(term(it)))).collect();
        Definition { name: name.clone(), span: Span::default(), whole: Span::default(), is_group, attributes }
    };
    named.take(MAX_TARGETS).map(definition).collect()
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// The parser stops at 128 values inside values.
fn term(value: &Value) -> Term {
    match value {
        Value::Null => Term::Null,
        Value::Array(items) => Term::List(items.iter().map(term).collect()),
        Value::Object(pairs) => Term::Object(pairs.iter().map(|(name, it)| Pair { name: name.clone(), span: Span::default(), value: term(it) }).collect()),
        other => Term::text(&scalar(other).unwrap_or_default()),
    }
}
