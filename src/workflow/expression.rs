//! GitHub's expressions: found in a text, parsed, evaluated as far as their value is always the
//! same, and what they vary with.
//!
//! The language is that of GitHub's documentation, "Evaluate expressions in workflows and actions"
//! (content/actions/reference/workflows-and-actions/expressions.md in github/docs), and where it is
//! silent that of the library `@actions/expressions` (0.3, 30,000 generated expressions compared:
//! what is evaluated here has the same value there).

mod contexts;
mod evaluate;
mod leg;
mod parse;

pub use evaluate::evaluate;
pub use leg::{in_leg, input_key, input_of_key, is_input_key, list_in_leg};
pub use parse::parse;

use crate::build::{Part, Value};
use crate::edit::Span;
use crate::syntax::Mapped;
use crate::volatility::{Axis, Variance};
use std::fmt;

/// An expression. Names are in lower case, other than those of environment variables, which are
/// the only ones whose case counts.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// A value that is written down.
    Literal(Constant),
    /// A context: `github`.
    Context(String),
    /// `a.name`, also where it is written `a['name']`.
    Property(Box<Expression>, String),
    /// `a[b]`.
    Index(Box<Expression>, Box<Expression>),
    /// `a.*`: all that is inside.
    Star(Box<Expression>),
    /// `name(a, b)`.
    Call(String, Vec<Expression>),
    /// `!a`.
    Not(Box<Expression>),
    /// `a == b` and the like.
    Compare(Operator, Box<Expression>, Box<Expression>),
    /// `a && b && c`: the first that is false, or the last.
    And(Vec<Expression>),
    /// `a || b || c`: the first that is true, or the last.
    Or(Vec<Expression>),
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Constant {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// Any number.
    Number(f64),
    /// Text.
    Text(String),
}

/// What is known of the value of an expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The value, where it is always the same and can be told.
    pub known: Option<Constant>,
    /// What it varies with. A value that never varies need not be known: a secret.
    pub variance: Variance,
    /// Whether its text may be empty.
    pub may_be_empty: bool,
    /// Whether a condition takes it for true, where that is always the same.
    pub truth: Option<bool>,
}

impl Outcome {
    /// A value that is always the same and known.
    pub fn known(constant: Constant) -> Outcome {
        let may_be_empty = constant.text().is_some_and(|it| it.is_empty());
        let truth = Some(constant.is_true());
        Outcome { known: Some(constant), variance: Variance::constant(), may_be_empty, truth }
    }

    /// A text that is always the same and known.
    pub fn text(text: impl Into<String>) -> Outcome {
        Outcome::known(Constant::Text(text.into()))
    }

    /// A value that is not known, and may be empty.
    pub fn varying(variance: Variance) -> Outcome {
        Outcome { known: None, variance, may_be_empty: true, truth: None }
    }

    /// A text that is not known, but that there is.
    pub fn present(variance: Variance) -> Outcome {
        Outcome { known: None, variance, may_be_empty: false, truth: Some(true) }
    }

    /// Nothing is known.
    pub fn unknown() -> Outcome {
        Outcome::varying(Variance::over(Axis::Unknown))
    }

    /// What is known of a text that may hold expressions itself: the value of an `env` entry.
    pub fn of(value: &Value) -> Outcome {
        if let Some(text) = value.known() {
            return Outcome::text(text);
        }
        let present = value.parts.iter().any(|it| match it {
            Part::Text(text) => !text.is_empty(),
            Part::Expression { known, .. } => known.as_ref().is_some_and(|it| !it.is_empty()),
        });
        if present { Outcome::present(value.variance()) } else { Outcome::varying(value.variance()) }
    }
}

/// What an expression may ask about the workflow it stands in. Each default is what holds where
/// nothing is known of the workflow.
///
/// Names are in lower case, other than those of environment variables.
pub trait Scope {
    /// `env.NAME`. The name as it is written.
    fn env(&self, _name: &str) -> Outcome {
        Outcome::unknown()
    }

    /// `steps.ID.outputs.NAME`
    fn step_output(&self, _step: &str, _output: &str) -> Outcome {
        Outcome::unknown()
    }

    /// `needs.JOB.outputs.NAME`
    fn job_output(&self, _job: &str, _output: &str) -> Outcome {
        Outcome::unknown()
    }

    /// `matrix.KEY`, or `matrix.KEY.FIELD…` with `path` holding all of it; never empty.
    fn matrix(&self, path: &[&str]) -> Outcome {
        Outcome::varying(Variance::over(path.first().map_or(Axis::Unknown, |it| Axis::Matrix((*it).to_owned()))))
    }

    /// `inputs.NAME`, `github.event.inputs.NAME`
    fn input(&self, name: &str) -> Outcome {
        Outcome::varying(Variance::over(Axis::Input(name.to_owned())))
    }

    /// `github.event_name`
    fn event_name(&self) -> Outcome {
        Outcome::present(Variance::over(Axis::Event))
    }
}

/// The scope of a text whose workflow is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Nowhere;

impl Scope for Nowhere {}

/// Knows the event that has started the run, and nothing else.
struct During<'a>(&'a str);

impl Scope for During<'_> {
    fn event_name(&self) -> Outcome {
        Outcome::text(self.0)
    }
}

/// Whether a condition, with or without its delimiters, is sure to be met in a run that the event of this name starts.
pub fn is_met_during(text: &str, event: &str) -> bool {
    condition(text, &During(event)).truth == Some(true)
}

/// `${{ … }}` in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// All of it, delimiters included.
    pub span: Span,
    /// What is between the delimiters.
    pub inside: Span,
    /// Whether the closing delimiter is there; without it, the rest of the text is inside.
    pub closed: bool,
}

/// The expressions of a text, in order. As GitHub does it: a closing delimiter inside a string
/// (`'}}'`) does not count.
pub fn find(text: &str) -> Vec<Place> {
    let mut res = Vec::new();
    let mut at = 0;
    while let Some(start) = text.get(at..).and_then(|it| it.find("${{")).map(|it| at + it) {
        let inside = start + 3;
        let end = closing(text, inside);
        let inside = Span::new(inside, end.unwrap_or(text.len()));
        at = end.map_or(text.len(), |it| it + 2);
        res.push(Place { span: Span::new(start, at), inside, closed: end.is_some() });
    }
    res
}

/// Where `}}` stands, outside strings.
fn closing(text: &str, from: usize) -> Option<usize> {
    let mut in_string = false;
    let bytes = text.as_bytes().get(from..)?;
    let found = bytes.iter().zip(bytes.iter().skip(1).chain(Some(&0))).position(|(byte, next)| {
        in_string ^= *byte == b'\'';
        !in_string && (*byte, *next) == (b'}', b'}')
    });
    found.map(|it| from + it)
}

/// A decoded scalar or a part of one as a [`Value`] that stands at `span` of its file.
pub fn value(text: &Mapped, span: Span, scope: &impl Scope) -> Value {
    let literal = |span: Span| (!span.is_empty()).then(|| Part::Text(span.of(&text.text).into()));
    let mut parts = Vec::new();
    let mut done = 0;
    for place in find(&text.text) {
        parts.extend(literal(Span::new(done, place.span.start)));
        parts.push(expression_part(text, &place, scope));
        done = place.span.end;
    }
    parts.extend(literal(Span::new(done, text.text.len())));
    Value { span, parts }
}

fn expression_part(text: &Mapped, place: &Place, scope: &impl Scope) -> Part {
    let inside = place.inside.of(&text.text);
    let parsed = parse(inside).filter(|_| place.closed);
    let outcome = parsed.as_ref().map_or_else(Outcome::unknown, |it| evaluate(it, scope));
    Part::Expression {
        span: text.span(place.span),
        source: parsed.map_or_else(|| inside.trim().to_owned(), |it| it.to_string()),
        known: outcome.known.and_then(|it| it.text()),
        variance: outcome.variance,
    }
}

/// Whether a text may come out empty or blank: one that is `${{ a && 'x' || '' }}` may, one with
/// any text beside its expressions may not.
pub fn may_be_empty(text: &str, scope: &impl Scope) -> bool {
    let mut done = 0;
    for place in find(text) {
        let between = Span::new(done, place.span.start).of(text);
        let outcome = parse(place.inside.of(text)).map_or_else(Outcome::unknown, |it| evaluate(&it, scope));
        if !between.trim().is_empty() || !outcome.may_be_empty {
            return false;
        }
        done = place.span.end;
    }
    text.get(done..).is_none_or(|it| it.trim().is_empty())
}

/// What is known of a condition (`if:`), which needs no delimiters.
///
/// Text beside the delimiters makes the whole a text that is never empty, so that it is always
/// true, whatever was meant: `${{ a }} && b`.
pub fn condition(text: &str, scope: &impl Scope) -> Outcome {
    let text = text.trim();
    let inside = match find(text).as_slice() {
        [] => text,
        [place] if place.closed && place.span == Span::new(0, text.len()) => place.inside.of(text),
        _ => return Outcome::known(Constant::Bool(true)),
    };
    parse(inside).map_or_else(Outcome::unknown, |it| evaluate(&it, scope))
}

impl Constant {
    /// As text, as in a format string; `None` for numbers that few print alike (`1E+20`).
    pub fn text(&self) -> Option<String> {
        match self {
            Constant::Null => Some(String::new()),
            Constant::Bool(it) => Some(it.to_string()),
            Constant::Text(it) => Some(it.clone()),
            Constant::Number(it) if it.is_nan() => Some("NaN".to_owned()),
            Constant::Number(it) if it.is_infinite() => Some(if *it > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()),
            Constant::Number(it) if *it == 0.0 => Some("0".to_owned()),
            Constant::Number(it) if (1e-4..1e15).contains(&it.abs()) => {
                let text = it.to_string();
                let digits = text.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit);
                // GitHub rounds to fifteen digits.
                (digits.count() <= 15).then_some(text)
            }
            Constant::Number(_) => None,
        }
    }

    /// Whether a condition takes it for true.
    pub fn is_true(&self) -> bool {
        match self {
            Constant::Null => false,
            Constant::Bool(it) => *it,
            Constant::Number(it) => *it != 0.0 && !it.is_nan(),
            Constant::Text(it) => !it.is_empty(),
        }
    }

    /// As a number, as in a comparison with one.
    pub fn number(&self) -> f64 {
        match self {
            Constant::Null => 0.0,
            Constant::Bool(it) => f64::from(u8::from(*it)),
            Constant::Number(it) => *it,
            Constant::Text(it) if it.trim().is_empty() => 0.0,
            Constant::Text(it) => parse::number(it.trim()).unwrap_or(f64::NAN),
        }
    }
}

impl Operator {
    fn symbol(self) -> &'static str {
        match self {
            Operator::Equal => "==",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
        }
    }
}

impl Expression {
    /// How tightly its operator binds; 5 for what has none.
    fn precedence(&self) -> u8 {
        match self {
            Expression::Or(_) => 0,
            Expression::And(_) => 1,
            Expression::Compare(Operator::Equal | Operator::NotEqual, ..) => 2,
            Expression::Compare(..) => 3,
            Expression::Not(_) => 4,
            _ => 5,
        }
    }

    /// Writes it where only what binds as tightly as `least` needs no parentheses.
    fn write(&self, f: &mut fmt::Formatter<'_>, least: u8) -> fmt::Result {
        if self.precedence() < least { write!(f, "({self})") } else { write!(f, "{self}") }
    }

    /// Writes it in front of `.name`: literals need parentheses there too.
    fn write_base(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expression::Literal(_) => write!(f, "({self})"),
            _ => self.write(f, 5),
        }
    }
}

/// The normal form: one space around operators, no parentheses without need, names in lower case.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expression::Literal(it) => write!(f, "{it}"),
            Expression::Context(name) => f.write_str(name),
            Expression::Property(base, name) => {
                base.write_base(f)?;
                if parse::is_name(name) { write!(f, ".{name}") } else { write!(f, "[{}]", Constant::Text(name.clone())) }
            }
            Expression::Index(base, index) => {
                base.write_base(f)?;
                write!(f, "[{index}]")
            }
            Expression::Star(base) => {
                base.write_base(f)?;
                f.write_str(".*")
            }
            Expression::Call(name, arguments) => {
                write!(f, "{name}(")?;
                for (index, argument) in arguments.iter().enumerate() {
                    write!(f, "{}{argument}", if index > 0 { ", " } else { "" })?;
                }
                f.write_str(")")
            }
            Expression::Not(operand) => {
                f.write_str("!")?;
                operand.write(f, 4)
            }
            Expression::Compare(operator, left, right) => {
                left.write(f, self.precedence())?;
                write!(f, " {} ", operator.symbol())?;
                right.write(f, self.precedence() + 1)
            }
            Expression::And(operands) | Expression::Or(operands) => {
                for (index, operand) in operands.iter().enumerate() {
                    if index > 0 {
                        f.write_str(if matches!(self, Expression::And(_)) { " && " } else { " || " })?;
                    }
                    operand.write(f, self.precedence() + 1)?;
                }
                Ok(())
            }
        }
    }
}

/// As it is written in an expression.
impl fmt::Display for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Constant::Null => f.write_str("null"),
            Constant::Text(it) => write!(f, "'{}'", it.replace('\'', "''")),
            Constant::Number(it) => match self.text() {
                Some(text) => f.write_str(&text),
                None => write!(f, "{it:e}"),
            },
            Constant::Bool(it) => write!(f, "{it}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Knows one value of each kind.
    struct Known;

    impl Scope for Known {
        fn env(&self, name: &str) -> Outcome {
            match name {
                "IMAGE" => Outcome::text("app"),
                "SHA" => Outcome::present(Variance::over(Axis::Commit)),
                _ => Outcome::unknown(),
            }
        }

        fn step_output(&self, step: &str, output: &str) -> Outcome {
            match (step, output) {
                ("meta", "tags") => Outcome::present(Variance::over(Axis::Ref)),
                _ => Outcome::unknown(),
            }
        }

        fn input(&self, name: &str) -> Outcome {
            match name {
                "yes" => Outcome::known(Constant::Bool(true)),
                "no" => Outcome::known(Constant::Bool(false)),
                "empty" => Outcome::text(""),
                "one" => Outcome::known(Constant::Number(1.0)),
                "word" => Outcome::text("Word"),
                _ => Nowhere.input(name),
            }
        }
    }

    fn outcome(text: &str) -> Outcome {
        parse(text).map_or_else(Outcome::unknown, |it| evaluate(&it, &Known))
    }

    #[track_caller]
    fn is(text: &str, expected: &str) {
        assert_eq!(outcome(text).known.and_then(|it| it.text()).as_deref(), Some(expected), "{text}");
    }

    #[track_caller]
    fn varies(text: &str, expected: &[Axis]) {
        let outcome = outcome(text);
        assert_eq!(outcome.variance.iter().cloned().collect::<Vec<_>>(), expected, "{text}");
        assert!(expected.is_empty() || outcome.known.is_none(), "{text}");
    }

    #[track_caller]
    fn prints(text: &str, expected: &str) {
        let printed = parse(text).unwrap().to_string();
        assert_eq!(printed, expected);
        assert_eq!(parse(&printed), parse(text), "{text}");
    }

    #[test]
    fn the_normal_form_evens_out_spaces_case_and_parentheses() {
        prints("  GitHub.SHA ", "github.sha");
        prints("matrix['Arch']", "matrix.arch");
        prints("github.event.inputs['a b']", "github.event.inputs['a b']");
        prints("env.Name", "env.Name");
        prints("Format( '{0}-{1}',a.b ,'it''s')", "format('{0}-{1}', a.b, 'it''s')");
        prints("(((a.b)))&&c.d||!(e.f)", "a.b && c.d || !e.f");
        prints("a.b&&(c.d||e.f)", "a.b && (c.d || e.f)");
        prints("(a.b == c.d) == e.f", "a.b == c.d == e.f");
        prints("a.b == (c.d == e.f)", "a.b == (c.d == e.f)");
        prints("!(a.b < 1)", "!(a.b < 1)");
        prints("(a.b || c).d", "(a.b || c).d");
        prints("a[0].*[*]['b-c']", "a[0].*.*.b-c");
        prints("0x1F == +1.50 && true != a.NULL", "31 == 1.5 && true != a.null");
        prints("a.true.null", "a.true.null");
    }

    #[test]
    fn what_github_refuses_is_refused() {
        for text in [
            "", " ", "a b", "a.", ".a", "a..b", "'a", "\"a\"", "a &b", "a & b", "a = b", "(a", "a)", "f(a", "f(a b)", "a[", "a[]", "a[b", "'a'.b", "1.a",
            "a &&", "|| a", "!", "a$", "-", "1x", "a.1", "f(,)", "ä", "NULL",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        for (open, close) in [("(", ")"), ("!", ""), ("f(", ")"), ("a[", "]")] {
            assert!(parse(&format!("{}a{}", open.repeat(20), close.repeat(20))).is_some());
            assert_eq!(parse(&format!("{}a{}", open.repeat(5_000), close.repeat(5_000))), None);
        }
        assert_eq!(parse(&format!("a{}", ".a".repeat(9_000))), None);
        assert_eq!(parse(&format!("a{}", " == a".repeat(4_000))), None);
        assert!(parse(&format!("a{}", " && a".repeat(4_000))).is_some());
        assert_eq!(parse(&"a".repeat(30_000)), None);
    }

    #[test]
    fn expressions_are_found_in_a_text() {
        let found = |text: &str| find(text).iter().map(|it| (it.inside.of(text).to_owned(), it.closed)).collect::<Vec<_>>();
        assert_eq!(found("a ${{ b }}${{c}} }} d"), [(" b ".to_owned(), true), ("c".to_owned(), true)]);
        assert_eq!(found("${{ '}}' }}"), [(" '}}' ".to_owned(), true)]);
        assert_eq!(found("${{ 'it''s }}' }} x"), [(" 'it''s }}' ".to_owned(), true)]);
        assert_eq!(found("a ${{ b"), [(" b".to_owned(), false)]);
        assert_eq!(found("$ {{ a }} ${ b }"), []);
    }

    #[test]
    fn a_value_has_the_spans_of_the_file() {
        let source = r#""x\t${{ github.Sha }}-y""#;
        let mut text = Mapped::default();
        text.push("x", Span::new(1, 2));
        text.push("\t", Span::new(2, 4));
        text.push("${{ github.Sha }}-y", Span::new(4, 23));
        let value = value(&text, Span::new(0, 24), &Nowhere);
        let [Part::Text(before), Part::Expression { span, source: normal, known, variance }, Part::Text(after)] = value.parts.as_slice() else {
            panic!("{value:?}")
        };
        assert_eq!((before.as_str(), after.as_str(), normal.as_str(), known), ("x\t", "-y", "github.sha", &None));
        assert_eq!(span.of(source), "${{ github.Sha }}");
        assert!(variance.is_per_commit());
        assert_eq!(value.pattern(), "x\t${{ github.sha }}-y");
    }

    #[test]
    fn what_is_known_becomes_text() {
        let known = |text: &str| value(&Mapped::verbatim(text, 0), Span::default(), &Known).known();
        assert_eq!(known("${{ env.IMAGE }}:${{ inputs.one }}").as_deref(), Some("app:1"));
        assert_eq!(known("").as_deref(), Some(""));
        assert_eq!(known("${{ env.OTHER }}"), None);
        assert_eq!(known("${{ broken"), None);
        assert_eq!(known("${{ a b }}"), None);
    }

    #[test]
    fn a_broken_expression_varies_with_something_unknown() {
        for text in ["${{ github.sha", "${{ github. }}", "${{ }}", "${{ || }}"] {
            assert!(value(&Mapped::verbatim(text, 0), Span::default(), &Known).variance().is_unknown());
        }
    }

    #[test]
    fn contexts_vary() {
        use Axis::{Commit, Event, Input, Matrix, Ref, Run, Unknown, Workflow};
        varies("github.sha", &[Commit]);
        varies("github.event.head_commit.id", &[Commit]);
        varies("github.event.head_commit.timestamp", &[Commit]);
        varies("github.event.after", &[Commit]);
        varies("github.event.commits[0].id", &[Commit]);
        varies("github.event.pull_request.head.sha", &[Commit]);
        varies("github.event.pull_request.head.ref", &[Ref]);
        varies("github.event.pull_request.number", &[Ref]);
        varies("github.event.pull_request.base.ref", &[Ref]);
        varies("github.event.workflow_run.head_sha", &[Commit]);
        varies("github.event.workflow_run.head_branch", &[Ref]);
        varies("github.event.release.tag_name", &[Ref]);
        varies("github.run_id", &[Run]);
        varies("GITHUB.Run_Number", &[Run]);
        varies("github['run_attempt']", &[Run]);
        varies("github.ref", &[Ref]);
        varies("github.ref_name", &[Ref]);
        varies("github.head_ref", &[Ref]);
        varies("github.base_ref", &[Ref]);
        varies("github.event_name", &[Event]);
        varies("github.event.action", &[Event]);
        varies("github.workflow", &[Workflow]);
        varies("github.job", &[Workflow]);
        varies("github.actor", &[Workflow]);
        varies("github.workflow_ref", &[Ref, Workflow]);
        varies("runner.os", &[Workflow]);
        varies("runner.name", &[Run]);
        varies("github.repository", &[]);
        varies("github.repository_owner", &[]);
        varies("github.server_url", &[]);
        varies("github.event.repository.name", &[]);
        varies("github.event.repository.pushed_at", &[Run]);
        varies("matrix.Arch", &[Matrix("arch".to_owned())]);
        varies("matrix.platform.os", &[Matrix("platform".to_owned())]);
        varies("inputs.Name", &[Input("name".to_owned())]);
        varies("github.event.inputs.Name", &[Input("name".to_owned())]);
        varies("secrets.PASSWORD", &[]);
        varies("secrets.GITHUB_TOKEN", &[Run]);
        varies("github.token", &[Run]);
        varies("vars.NAME", &[]);
        varies("needs.a.outputs.b", &[Unknown]);
        varies("steps.a.outputs.b", &[Unknown]);
        varies("steps.meta.outputs.tags", &[Ref]);
        varies("env.SHA", &[Commit]);
        varies("env.sha", &[Unknown]);
        varies("nothing.known", &[Unknown]);
        varies("github.event.client_payload.ref", &[Unknown]);
        varies("toJSON(github)", &[Commit, Run, Ref, Event, Workflow]);
        varies("matrix[inputs.other]", &[Input("other".to_owned()), Unknown]);
    }

    #[test]
    fn a_hash_of_files_is_no_value_of_each_run() {
        let hash = outcome("hashFiles('**/package-lock.json')");
        assert!(hash.variance.is_unknown() && !hash.variance.is_per_commit());
    }

    #[test]
    fn functions_and_operators_vary_with_what_they_use() {
        use Axis::{Commit, Event, Ref};
        varies("format('{0}-{1}', github.ref_name, github.sha)", &[Commit, Ref]);
        varies("fromJSON(steps.meta.outputs.tags).tags[0]", &[Ref]);
        varies("github.ref == 'refs/heads/main'", &[Ref]);
        varies("!github.head_ref", &[Ref]);
        varies("contains(github.ref, 'x')", &[Ref]);
        varies("github.event_name == 'push' && 'a' || 'b'", &[Event]);
        varies("github.head_ref || github.sha", &[Commit, Ref]);
        varies("github.event_name == 'push' && github.sha || 'b'", &[Commit, Event]);
        varies("fromJSON('[1]')", &[]);
        varies("format('{0', 'a')", &[Axis::Unknown]);
        varies("format('{1}', 'a')", &[Axis::Unknown]);
        varies("case(github.ref == 'a', 'b', 'c')", &[Ref]);
    }

    #[test]
    fn what_is_never_chosen_does_not_count() {
        varies("github.sha && github.ref", &[Axis::Ref]);
        varies("github.ref || github.sha", &[Axis::Ref]);
        varies("inputs.yes && github.ref || github.sha", &[Axis::Ref]);
        varies("inputs.no && github.ref || github.sha", &[Axis::Commit]);
        is("inputs.no && github.sha", "false");
        is("inputs.word || github.sha", "Word");
        is("github.ref && '' || 'x'", "x");
        is("github.head_ref && '' || 'x'", "x");
    }

    #[test]
    fn constants_are_evaluated() {
        is("'it''s'", "it's");
        is("null", "");
        is("true && 'a' || 'b'", "a");
        is("1 == 1.0", "true");
        is("'A' == 'a'", "true");
        is("'1' == 1", "true");
        is("'' == 0", "true");
        is("'x' == 0", "false");
        is("NaN == NaN", "false");
        is("null == ''", "true");
        is("null == null", "true");
        is("'b' > 'A'", "true");
        is("2 >= 10", "false");
        is("true > false", "true");
        is("!''", "true");
        is("!'x'", "false");
        is("'0' && 'yes'", "yes");
        is("0 && 'yes'", "0");
        is("1 == 1 == true", "true");
        is("1 < 2 == true", "true");
        is("format('{0}/{1}{{}}', env.IMAGE, 1.5)", "app/1.5{}");
        is("format('{0}', inputs.yes)", "true");
        is("contains('Hello', 'LL')", "true");
        is("startsWith('refs/tags/v1', 'refs/tags/')", "true");
        is("endsWith('a', '')", "true");
        is("join('a', ',')", "a");
        is("toJSON('a\"b')", "\"a\\\"b\"");
        is("fromJSON('true') && 'x'", "x");
        is("case(inputs.no, 'a', inputs.yes, 'b', 'c')", "b");
        is("always()", "true");
        is("0xff", "255");
        is("-1.5e1", "-15");
        is("inputs.one == 1 && env.IMAGE", "app");
    }

    #[test]
    fn whether_a_text_may_be_empty_is_told() {
        let empty = |text: &str| may_be_empty(text, &Known);
        assert!(empty("${{ github.event_name != 'pull_request' && 'type=gha' || '' }}"));
        assert!(empty("${{ github.head_ref }}"));
        assert!(empty("${{ matrix.cache }}"));
        assert!(empty(" ${{ inputs.empty }} ${{ inputs.other }}\n"));
        assert!(empty(""));
        assert!(empty("${{ broken"));
        assert!(!empty("${{ github.event_name != 'pull_request' && 'a' || 'b' }}"));
        // A condition that is false is the text `false`.
        assert!(!empty("${{ github.event_name != 'pull_request' && 'type=gha' }}"));
        assert!(!empty("x${{ inputs.other }}"));
        assert!(!empty("${{ github.sha }}"));
        assert!(!empty("${{ format('a{0}', inputs.other) }}"));
        assert!(empty("${{ format('{0}', inputs.other) }}"));
        assert!(!empty("${{ github.head_ref || github.ref }}"));
    }

    #[test]
    fn a_condition_needs_no_delimiters() {
        let truth = |text: &str| condition(text, &Known).truth;
        assert_eq!(truth("inputs.yes"), Some(true));
        assert_eq!(truth(" ${{ inputs.no }} "), Some(false));
        assert_eq!(truth("${{ inputs.no }} && inputs.no"), Some(true));
        assert_eq!(truth("github.event_name == 'push'"), None);
        assert_eq!(condition("github.event_name == 'push'", &Known).variance, Variance::over(Axis::Event));
        assert!(condition("a b", &Known).variance.is_unknown());
    }

    fn expression() -> impl Strategy<Value = Expression> {
        let name = || prop::sample::select(vec!["a", "sha", "b-c", "true", "x y", "", "it's"]);
        let constant = prop_oneof![
            Just(Constant::Null),
            any::<bool>().prop_map(Constant::Bool),
            prop::sample::select(vec![0.0, 1.0, -2.5, 31.0, f64::INFINITY]).prop_map(Constant::Number),
            name().prop_map(|it| Constant::Text(it.to_owned())),
        ];
        let leaf = prop_oneof![
            constant.prop_map(Expression::Literal),
            prop::sample::select(vec!["github", "matrix"]).prop_map(|it| Expression::Context(it.to_owned()))
        ];
        leaf.prop_recursive(5, 40, 4, move |inner| {
            let boxed = || inner.clone().prop_map(Box::new);
            let operator = prop::sample::select(vec![Operator::Equal, Operator::NotEqual, Operator::Less, Operator::GreaterOrEqual]);
            // A list in a list of its kind would be printed in parentheses, a text as an index as a property.
            let operands = || prop::collection::vec(inner.clone(), 2..4);
            prop_oneof![
                (boxed(), name()).prop_map(|(base, name)| Expression::Property(base, name.to_owned())),
                boxed().prop_map(Expression::Star),
                prop::collection::vec(inner.clone(), 0..3).prop_map(|it| Expression::Call("format".to_owned(), it)),
                boxed().prop_map(Expression::Not),
                (operator, boxed(), boxed()).prop_map(|(operator, left, right)| Expression::Compare(operator, left, right)),
                operands().prop_map(Expression::And),
                operands().prop_map(Expression::Or),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_is_parsed_as_the_same(expression in expression()) {
            prop_assert_eq!(parse(&expression.to_string()), Some(expression));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-a.*()\\[\\]'!=<>&|,01 x${}ä]{0,60}") {
            let value = value(&Mapped::verbatim(&text, 0), Span::default(), &Known);
            may_be_empty(&text, &Known);
            condition(&text, &Known);
            prop_assert!(value.parts.len() <= text.len());
            if let Some(expression) = parse(&text) {
                prop_assert_eq!(parse(&expression.to_string()), Some(expression));
            }
        }
    }
}
