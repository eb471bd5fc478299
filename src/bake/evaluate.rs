//! Values of HCL expressions, as far as literals, defaults of variables, keys of a matrix and a few
//! functions give them.

use super::{Locals, label, span_of};
use crate::edit::Span;
use crate::syntax::Mapped;
use crate::value::{Part, Passage};
use crate::volatility::{self, Axis, Variance};
use hcl_edit::expr::{BinaryOperator, Expression, FuncCall, Object, ObjectKey, Traversal, TraversalOperator, UnaryOperator};
use hcl_edit::structure::Body;
use hcl_edit::template::{Element, Template};
use std::cell::Cell;
use std::collections::BTreeMap;

/// Functions in functions, variables in defaults of variables. The parser allows expressions 64
/// deep itself.
const MAX_DEPTH: usize = 128;
/// Steps of evaluation in one file; more are a file that was made to be slow.
const MAX_STEPS: usize = 50_000;
/// Texts that double in each variable do not grow beyond this many bytes.
const MAX_TEXT: usize = 1 << 14;

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Term {
    /// Text, number, truth value, or an expression that is not known.
    Text(Passage),
    List(Vec<Term>),
    Object(Vec<Pair>),
    Null,
    /// One of these: what decides can be set from outside.
    Either(Vec<Term>),
}

/// A pair of an object.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) name: String,
    /// From the key to the end of the value.
    pub(super) span: Span,
    pub(super) value: Term,
}

impl Term {
    /// The one text that it is; one of several that a condition chooses from is an expression.
    pub(super) fn passage(&self) -> Option<Passage> {
        match self {
            Term::Text(passage) => Some(passage.clone()),
            Term::Either(choices) => {
                let choices: Vec<Passage> = choices.iter().map(Term::passage).collect::<Option<_>>()?;
                let span = choices.iter().map(Passage::span).reduce(Span::join)?;
                let mut res = Passage::new(span);
                res.push_expression(unknown(span, "?".into(), Variance::over(Axis::Unknown)), choices);
                Some(res)
            }
            _ => None,
        }
    }

    /// The texts of a list; a text is a list of one, and a list that a condition chooses is one
    /// that is not known.
    pub(super) fn passages(&self) -> Vec<Passage> {
        match self {
            Term::List(items) => items.iter().flat_map(Term::passages).collect(),
            Term::Text(passage) => vec![passage.clone()],
            Term::Either(choices) => vec![self.passage().unwrap_or_else(|| {
                let passages: Vec<Passage> = choices.iter().flat_map(Term::passages).collect();
                let span = passages.iter().map(Passage::span).reduce(Span::join).unwrap_or_default();
                let mut res = Passage::new(span);
                res.push_expression(unknown(span, "?".into(), Variance::over(Axis::Unknown)), Vec::new());
                res
            })],
            Term::Object(_) | Term::Null => Vec::new(),
        }
    }

    /// The text, if it is known.
    pub(super) fn known(&self) -> Option<String> {
        self.passage()?.known().map(str::to_owned)
    }

    /// The texts of a list that are known.
    pub(super) fn known_list(&self) -> Vec<String> {
        self.passages().iter().filter_map(|it| it.known().map(str::to_owned)).collect()
    }

    /// The value of a key of a matrix, in one leg.
    pub(super) fn in_matrix(&self, key: &str) -> Term {
        match self {
            Term::Text(passage) => {
                let part = Part::Expression {
                    span: passage.span(),
                    source: key.to_owned(),
                    known: passage.known().map(str::to_owned),
                    variance: Variance::over(Axis::Matrix(key.to_lowercase())),
                };
                let mut res = Passage::new(passage.span());
                res.push_expression(part, Vec::new());
                Term::Text(res)
            }
            Term::Object(pairs) => {
                let pair = |it: &Pair| Pair { value: it.value.in_matrix(&format!("{key}.{}", it.name)), ..it.clone() };
                Term::Object(pairs.iter().map(pair).collect())
            }
            other => other.clone(),
        }
    }

    /// How many values it is made of.
    fn size(&self) -> usize {
        match self {
            Term::Text(_) | Term::Null => 1,
            Term::List(items) | Term::Either(items) => items.iter().map(Term::size).fold(1, usize::saturating_add),
            Term::Object(pairs) => pairs.iter().map(|it| it.value.size()).fold(1, usize::saturating_add),
        }
    }

    fn variance(&self) -> Variance {
        let all: Vec<Variance> = match self {
            Term::Text(passage) => return passage.value().variance(),
            Term::List(items) | Term::Either(items) => items.iter().map(Term::variance).collect(),
            Term::Object(pairs) => pairs.iter().map(|it| it.value.variance()).collect(),
            Term::Null => Vec::new(),
        };
        all.iter().fold(Variance::constant(), |res, it| res.join(it))
    }

    /// Whether nothing outside the file can change it: no variable is in it.
    fn is_fixed(&self) -> bool {
        let of_matrix = |it: &Part| matches!(it, Part::Expression { variance, known: Some(_), .. } if variance.iter().all(|it| matches!(it, Axis::Matrix(_))) && !variance.is_constant());
        match self {
            Term::Text(passage) => passage.holes().iter().all(|it| of_matrix(it.part())),
            Term::List(items) => items.iter().all(Term::is_fixed),
            Term::Object(pairs) => pairs.iter().all(|it| it.value.is_fixed()),
            Term::Null => true,
            Term::Either(_) => false,
        }
    }
}

fn unknown(span: Span, source: String, variance: Variance) -> Part {
    Part::Expression { span, source, known: None, variance }
}

fn hole(part: Part, span: Span) -> Term {
    let mut res = Passage::new(span);
    res.push_expression(part, Vec::new());
    Term::Text(res)
}

/// A function of the file.
struct Function<'a> {
    parameters: Vec<String>,
    result: &'a Expression,
}

/// Evaluates the expressions of one file.
pub(super) struct Evaluator<'a> {
    /// The file; empty for JSON, whose texts are parsed one by one.
    text: &'a str,
    /// Where the text of JSON stands that is parsed: all of what it is made of stands there.
    place: Cell<Span>,
    /// Defaults of variables, and attributes of the file.
    globals: BTreeMap<String, Option<&'a Expression>>,
    functions: BTreeMap<String, Function<'a>>,
    steps: Cell<usize>,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(text: &'a str, body: &'a Body) -> Evaluator<'a> {
        let mut globals: BTreeMap<String, Option<&Expression>> = body.attributes().map(|it| (it.key.as_str().to_owned(), Some(&it.value))).collect();
        let mut functions = BTreeMap::new();
        for block in body.blocks() {
            let Some((name, _)) = label(block) else { continue };
            if block.has_ident("variable") {
                globals.insert(name, block.body.get_attribute("default").map(|it| &it.value));
            } else if block.has_ident("function") {
                let literal = |it: &Expression| it.as_str().map(str::to_owned);
                let parameters = block.body.get_attribute("params").and_then(|it| it.value.as_array()).map(|it| it.iter().filter_map(literal).collect());
                if let Some(result) = block.body.get_attribute("result") {
                    functions.insert(name, Function { parameters: parameters.unwrap_or_default(), result: &result.value });
                }
            }
        }
        Evaluator { text, place: Cell::default(), globals, functions, steps: Cell::new(0) }
    }

    /// Where a node stands.
    fn span(&self, node: &impl hcl_edit::Span) -> Span {
        if self.text.is_empty() { self.place.get() } else { span_of(node) }
    }

    pub(super) fn evaluate(&self, expression: &Expression, locals: &Locals) -> Term {
        self.term(expression, locals, 0)
    }

    /// A term of JSON, whose texts may be templates.
    pub(super) fn expanded(&self, term: &Term, locals: &Locals) -> Term {
        match term {
            Term::Text(passage) if passage.text().contains("${") => {
                let span = passage.span();
                self.place.set(span);
                match hcl_edit::parser::parse_template(passage.text()) {
                    Ok(template) => self.template(&template, span, locals, 0),
                    Err(_) => hole(unknown(span, passage.text().to_owned(), Variance::over(Axis::Unknown)), span),
                }
            }
            Term::List(items) => Term::List(items.iter().map(|it| self.expanded(it, locals)).collect()),
            Term::Object(pairs) => Term::Object(pairs.iter().map(|it| Pair { value: self.expanded(&it.value, locals), ..it.clone() }).collect()),
            other => other.clone(),
        }
    }

    fn source(&self, expression: &Expression) -> String {
        self.span(expression).of(self.text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn unknown(&self, expression: &Expression, variance: Variance) -> Term {
        let span = self.span(expression);
        hole(unknown(span, self.source(expression), variance), span)
    }

    fn term(&self, expression: &Expression, locals: &Locals, depth: usize) -> Term {
        self.steps.set(self.steps.get() + 1);
        if depth > MAX_DEPTH || self.steps.get() > MAX_STEPS {
            return self.unknown(expression, Variance::over(Axis::Unknown));
        }
        let span = self.span(expression);
        match expression {
            Expression::Null(_) => Term::Null,
            Expression::Bool(value) => literal(if *value.value() { "true" } else { "false" }, span, self.text),
            Expression::Number(value) => literal(&value.value().to_string(), span, self.text),
            Expression::String(value) => literal(value.value(), span, self.text),
            Expression::Array(items) => Term::List(items.iter().map(|it| self.term(it, locals, depth + 1)).collect()),
            Expression::Object(object) => self.object(object, locals, depth),
            Expression::StringTemplate(template) => self.elements(template.iter(), span, locals, depth),
            Expression::HeredocTemplate(heredoc) => self.template(&heredoc.template, span, locals, depth),
            Expression::Parenthesis(inner) => self.term(inner.inner(), locals, depth + 1),
            Expression::Variable(name) => self.variable(name.as_str(), expression, locals, depth),
            Expression::Traversal(traversal) => self.traversal(traversal, expression, locals, depth),
            Expression::Conditional(it) => match self.truth(&it.cond_expr, locals, depth + 1) {
                Some(true) => self.term(&it.true_expr, locals, depth + 1),
                Some(false) => self.term(&it.false_expr, locals, depth + 1),
                None => Term::Either(vec![self.term(&it.true_expr, locals, depth + 1), self.term(&it.false_expr, locals, depth + 1)]),
            },
            Expression::FuncCall(call) => self.call(call, expression, locals, depth),
            Expression::UnaryOp(_) | Expression::BinaryOp(_) => match self.truth(expression, locals, depth) {
                Some(value) => literal(if value { "true" } else { "false" }, span, self.text),
                None => self.unknown(expression, Variance::over(Axis::Unknown)),
            },
            Expression::ForExpr(_) => self.unknown(expression, Variance::over(Axis::Unknown)),
        }
    }

    fn object(&self, object: &Object, locals: &Locals, depth: usize) -> Term {
        let pair = |(key, value): (&ObjectKey, &hcl_edit::expr::ObjectValue)| {
            let (name, key_span) = match key {
                ObjectKey::Ident(name) => (name.as_str().to_owned(), self.span(name)),
                ObjectKey::Expression(it) => (self.term(it, locals, depth + 1).known()?, self.span(it)),
            };
            let span = key_span.join(self.span(value.expr()));
            Some(Pair { name, span, value: self.term(value.expr(), locals, depth + 1) })
        };
        Term::Object(object.iter().filter_map(pair).collect())
    }

    fn template(&self, template: &Template, span: Span, locals: &Locals, depth: usize) -> Term {
        self.elements(template.iter(), span, locals, depth)
    }

    /// A text made of pieces.
    fn elements<'t>(&self, elements: impl Iterator<Item = &'t Element>, span: Span, locals: &Locals, depth: usize) -> Term {
        let mut res = Passage::new(span);
        for element in elements {
            let place = self.span(element);
            match element {
                Element::Literal(text) => res.push_text(text.value(), place),
                Element::Interpolation(it) => self.interpolate(&mut res, &it.expr, place, locals, depth),
                Element::Directive(_) => res.push_expression(unknown(place, "%".into(), Variance::over(Axis::Unknown)), Vec::new()),
            }
            if res.text().len() > MAX_TEXT {
                return hole(unknown(span, "…".into(), Variance::over(Axis::Unknown)), span);
            }
        }
        Term::Text(res.fitted())
    }

    fn interpolate(&self, res: &mut Passage, expression: &Expression, place: Span, locals: &Locals, depth: usize) {
        let term = self.term(expression, locals, depth + 1);
        let source = self.source(expression);
        let part = match term.passage() {
            Some(passage) => {
                // An expression that is a name and no more keeps what it is.
                if let [only] = passage.holes()
                    && let Part::Expression { source, known, variance, .. } = only.part()
                    && passage.known().is_none_or(|it| known.as_deref() == Some(it))
                {
                    let part = Part::Expression { span: place, source: source.clone(), known: known.clone(), variance: variance.clone() };
                    return res.push_expression(part, only.choices().to_vec());
                }
                Part::Expression { span: place, source, known: passage.known().map(str::to_owned), variance: passage.value().variance() }
            }
            None => unknown(place, source, term.variance().join(&Variance::over(Axis::Unknown))),
        };
        res.push_expression(part, Vec::new());
    }

    fn variable(&self, name: &str, expression: &Expression, locals: &Locals, depth: usize) -> Term {
        if let Some(term) = locals.get(name) {
            // Each use is a copy, and a function may use its argument twice.
            self.steps.set(self.steps.get().saturating_add(term.size()));
            return if self.steps.get() > MAX_STEPS { self.unknown(expression, Variance::over(Axis::Unknown)) } else { term.clone() };
        }
        if let Some(axis) = volatility::of_runner(name) {
            return self.unknown(expression, Variance::over(axis));
        }
        let Some(Some(default)) = self.globals.get(name) else { return self.unknown(expression, Variance::over(Axis::Unknown)) };
        match self.term(default, &Locals::new(), depth + 1) {
            // A default may be replaced from outside; the passage shows that it is one.
            Term::Text(passage) => {
                let span = self.span(expression);
                let known = passage.known().map(str::to_owned);
                let variance = if known.is_some() { Variance::constant() } else { passage.value().variance() };
                hole(Part::Expression { span, source: name.to_owned(), known, variance }, span)
            }
            Term::Null => self.unknown(expression, Variance::over(Axis::Unknown)),
            other => other,
        }
    }

    fn traversal(&self, traversal: &Traversal, expression: &Expression, locals: &Locals, depth: usize) -> Term {
        let mut term = self.term(&traversal.expr, locals, depth + 1);
        for operator in &traversal.operators {
            let key = match operator.value() {
                TraversalOperator::GetAttr(name) => Some(name.as_str().to_owned()),
                TraversalOperator::Index(index) => self.term(index, locals, depth + 1).known(),
                TraversalOperator::LegacyIndex(index) => Some(index.value().to_string()),
                TraversalOperator::AttrSplat(_) | TraversalOperator::FullSplat(_) => None,
            };
            let found = match (&term, key) {
                (Term::Object(pairs), Some(key)) => pairs.iter().rev().find(|it| it.name == key).map(|it| it.value.clone()),
                (Term::List(items), Some(key)) => key.parse::<usize>().ok().and_then(|it| items.get(it).cloned()),
                _ => None,
            };
            match found {
                Some(found) => term = found,
                None => return self.unknown(expression, Variance::over(Axis::Unknown)),
            }
        }
        term
    }

    /// A condition that nothing outside the file can change.
    fn truth(&self, expression: &Expression, locals: &Locals, depth: usize) -> Option<bool> {
        if depth > MAX_DEPTH {
            return None;
        }
        match expression {
            Expression::Parenthesis(inner) => self.truth(inner.inner(), locals, depth + 1),
            Expression::UnaryOp(it) if *it.operator.value() == UnaryOperator::Not => Some(!self.truth(&it.expr, locals, depth + 1)?),
            Expression::BinaryOp(it) => {
                let truth = |side| self.truth(side, locals, depth + 1);
                let equal = || {
                    let (a, b) = (self.term(&it.lhs_expr, locals, depth + 1), self.term(&it.rhs_expr, locals, depth + 1));
                    (a.is_fixed() && b.is_fixed()).then(|| Some(a.known()? == b.known()?))?
                };
                match it.operator.value() {
                    BinaryOperator::Eq => equal(),
                    BinaryOperator::NotEq => equal().map(|it| !it),
                    BinaryOperator::And => Some(truth(&it.lhs_expr)? && truth(&it.rhs_expr)?),
                    BinaryOperator::Or => Some(truth(&it.lhs_expr)? || truth(&it.rhs_expr)?),
                    _ => None,
                }
            }
            Expression::UnaryOp(_) => None,
            other => {
                let term = self.term(other, locals, depth + 1);
                match term.is_fixed().then(|| term.known())??.as_str() {
                    "true" => Some(true),
                    "false" | "" => Some(false),
                    _ => None,
                }
            }
        }
    }

    fn call(&self, call: &FuncCall, expression: &Expression, locals: &Locals, depth: usize) -> Term {
        let name = call.name.name.as_str();
        let arguments: Vec<Term> = call.args.iter().map(|it| self.term(it, locals, depth + 1)).collect();
        if let Some(function) = self.functions.get(name) {
            let inner = function.parameters.iter().cloned().zip(arguments).collect();
            return self.term(function.result, &inner, depth + 1);
        }
        let variance = arguments.iter().fold(Variance::constant(), |res, it| res.join(&it.variance()));
        let known: Option<Vec<String>> = arguments.iter().map(Term::known).collect();
        let fixed = arguments.iter().all(Term::is_fixed);
        let res = match name {
            "timestamp" | "uuidv4" => return self.unknown(expression, Variance::over(Axis::Run)),
            "formatdate" | "timeadd" => return self.unknown(expression, variance),
            "concat" => return concatenated(arguments).unwrap_or_else(|| self.unknown(expression, Variance::over(Axis::Unknown))),
            "join" => joined(&arguments),
            _ => known.as_deref().and_then(|it| applied(name, it)),
        };
        match res.filter(|it| it.len() <= MAX_TEXT) {
            Some(text) if fixed && variance.is_constant() => self.made(&text, expression, Variance::constant()),
            Some(text) => self.made(&text, expression, variance),
            None if variance.is_constant() => self.unknown(expression, Variance::over(Axis::Unknown)),
            // A function of what is known to vary varies with it, and with nothing else.
            None => self.unknown(expression, variance),
        }
    }

    /// A text that stands nowhere in the file.
    fn made(&self, text: &str, expression: &Expression, variance: Variance) -> Term {
        let span = self.span(expression);
        hole(Part::Expression { span, source: self.source(expression), known: Some(text.to_owned()), variance }, span)
    }
}

/// A literal at `span`, quotes included; found again byte by byte where it is written plainly.
fn literal(text: &str, span: Span, file: &str) -> Term {
    let raw = span.of(file);
    let quotes = if raw.len() == text.len() + 2 && raw.starts_with('"') { 1 } else { 0 };
    let inner = Span::new(span.start + quotes, span.end.saturating_sub(quotes).max(span.start + quotes));
    if inner.of(file) == text {
        return Term::Text(Passage::literal(Mapped::verbatim(text, inner.start), inner));
    }
    let mut res = Passage::new(span);
    res.push_text(text, span);
    Term::Text(res)
}

fn concatenated(lists: Vec<Term>) -> Option<Term> {
    let mut res = Vec::new();
    for list in lists {
        match list {
            Term::List(items) => res.extend(items),
            // A list that may be another one: its items may be there.
            Term::Either(_) => res.push(list),
            _ => return None,
        }
    }
    Some(Term::List(res))
}

fn joined(arguments: &[Term]) -> Option<String> {
    let (separator, lists) = arguments.split_first()?;
    let separator = separator.known()?;
    let items: Vec<Passage> = lists.iter().flat_map(Term::passages).collect();
    Some(items.iter().map(Passage::known).collect::<Option<Vec<_>>>()?.join(&separator))
}

/// The functions on texts that are worth knowing.
fn applied(name: &str, arguments: &[String]) -> Option<String> {
    let truth = |it: bool| it.to_string();
    match (name, arguments) {
        ("lower", [text]) => Some(text.to_lowercase()),
        ("upper", [text]) => Some(text.to_uppercase()),
        ("trim" | "trimspace", [text]) => Some(text.trim().to_owned()),
        ("trimprefix", [text, prefix]) => Some(text.strip_prefix(prefix.as_str()).unwrap_or(text).to_owned()),
        ("trimsuffix", [text, suffix]) => Some(text.strip_suffix(suffix.as_str()).unwrap_or(text).to_owned()),
        ("replace", [text, from, to]) if !from.is_empty() && to.len() < 256 => Some(text.replace(from.as_str(), to)),
        ("sanitize", [text]) => Some(text.chars().map(|it| if it.is_ascii_alphanumeric() || it == '-' { it } else { '_' }).collect()),
        ("coalesce", texts) => texts.iter().find(|it| !it.is_empty()).cloned(),
        ("equal", [a, b]) => Some(truth(a == b)),
        ("notequal", [a, b]) => Some(truth(a != b)),
        ("format", [format, texts @ ..]) => formatted(format, texts),
        _ => None,
    }
}

/// `format` with `%s`, `%v` and `%d` alone.
fn formatted(format: &str, texts: &[String]) -> Option<String> {
    let mut texts = texts.iter();
    let mut pieces = format.split('%');
    let mut res = pieces.next()?.to_owned();
    while let Some(piece) = pieces.next() {
        match piece.chars().next() {
            Some('s' | 'v' | 'd') => {
                res.push_str(texts.next()?);
                res.push_str(&piece[1..]);
            }
            // `%%`
            None => {
                res.push('%');
                res.push_str(pieces.next()?);
            }
            Some(_) => return None,
        }
    }
    Some(res)
}
