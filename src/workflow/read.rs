//! Scalars of a workflow as passages, and what the names in their expressions stand for.

use super::Variable;
use super::expression::{self, Constant, Expression, Outcome, Place, Scope};
use super::matrix::Matrix;
use crate::edit::Span;
use crate::syntax::Mapped;
use crate::syntax::yaml::{Node, Scalar, Style};
use crate::value::{Part, Passage, Value};
use crate::volatility::{Axis, Variance};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Pieces of the longest value that is told apart by leg; variables that hold each other twice would double in every step.
const MAX_PARTS: usize = 16;

/// What a name stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Its text, where it can be told.
    pub(super) text: Option<String>,
    /// What it varies with.
    pub(super) variance: Variance,
    /// What it is made of, where each leg and each call make one text of that and nothing else has a part in it;
    /// else nothing.
    parts: Vec<Part>,
}

impl Known {
    pub(super) fn varying(variance: Variance) -> Known {
        Known { text: None, variance, parts: Vec::new() }
    }

    pub(super) fn of(value: &Value) -> Known {
        let text = value.known();
        let is_told = text.is_none() && value.parts.len() <= MAX_PARTS && value.parts.iter().all(is_told_by_leg);
        Known { text, variance: value.variance(), parts: if is_told { value.parts.clone() } else { Vec::new() } }
    }

    /// Whether it is one text, always or in each leg.
    pub(super) fn is_told(&self) -> bool {
        self.text.is_some() || !self.parts.is_empty()
    }

    /// What stands for it, which may be taken for what it is, in a place at `span`.
    pub(super) fn pieces(&self, span: Span) -> Vec<Part> {
        let piece = |it: &Part| match it {
            Part::Text(text) => Part::Expression { span, source: String::new(), known: Some(text.to_string()), variance: Variance::constant() },
            Part::Expression { source, known, variance, .. } => {
                Part::Expression { span, source: source.clone(), known: known.clone(), variance: variance.clone() }
            }
        };
        self.parts.iter().map(piece).collect()
    }

    /// Of another job, whose legs are others.
    pub(super) fn of_other_job(self) -> Known {
        Known { parts: Vec::new(), ..self }
    }

    fn outcome(self) -> Outcome {
        self.text.map_or_else(|| Outcome::varying(self.variance), Outcome::text)
    }
}

/// Whether a leg of the matrix, or a call, has one text for it.
fn is_told_by_leg(part: &Part) -> bool {
    match part {
        Part::Text(_) | Part::Expression { known: Some(_), .. } => true,
        Part::Expression { source, .. } if source == "github.workspace" => true,
        // A variable of a script is known nowhere else.
        Part::Expression { source, .. } if source.starts_with('$') => false,
        Part::Expression { variance, .. } => {
            let mut axes = variance.iter().peekable();
            axes.peek().is_some() && axes.all(|it| matches!(it, Axis::Matrix(_) | Axis::Input(_)))
        }
    }
}

/// What names stand for at one place: those of the place itself, and those around it.
#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    outer: Option<&'a Names<'a>>,
    /// By the name as it is written.
    env: BTreeMap<String, Known>,
    /// By `steps.ID.NAME` and `needs.JOB.NAME`, in lower case.
    outputs: BTreeMap<String, Known>,
    /// Keys of the matrix that have one value in all legs.
    matrix: BTreeMap<String, String>,
    /// Inputs that have one value in all calls, in lower case.
    inputs: BTreeMap<String, String>,
    /// The texts that the known calls give other inputs, in lower case.
    given: BTreeMap<String, Vec<String>>,
    /// What lists of bake targets hold, by `needs.JOB.outputs.NAME` and `matrix.KEY`, in lower case.
    listed: BTreeMap<String, Listed>,
}

/// The targets that a step before has listed, for a matrix whose legs build one each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// What it was asked to list, groups not opened; nothing for the default.
    pub(super) targets: Vec<Value>,
    /// The files that it read; nothing for the default ones.
    pub(super) files: Vec<String>,
}

impl<'a> Names<'a> {
    /// The names of a place inside, which sets `env` itself.
    pub(super) fn below<'b>(&'b self, env: &[Variable]) -> Names<'b> {
        let mut res = Names { outer: Some(self), ..Names::default() };
        res.add_env(env);
        res
    }

    pub(super) fn add_env(&mut self, env: &[Variable]) {
        for variable in env {
            self.env.insert(variable.name.clone(), Known::of(&variable.value));
        }
    }

    pub(super) fn add_matrix(&mut self, matrix: Option<&Matrix>) {
        let Some(legs) = matrix.and_then(|it| it.legs.as_ref()) else { return };
        for (key, value) in legs.first().into_iter().flatten() {
            if legs.iter().all(|it| it.get(key) == Some(value)) {
                self.matrix.insert(key.clone(), value.clone());
            }
        }
    }

    pub(super) fn set_input(&mut self, name: &str, value: &str) {
        self.inputs.insert(name.to_owned(), value.to_owned());
    }

    /// Says what all known calls give an input. A list that stands there is then known, entry by entry: as one
    /// value it need not be, since the next call may give something else.
    pub(super) fn set_given(&mut self, name: &str, texts: Vec<String>) {
        self.given.insert(name.to_owned(), texts);
    }

    pub(super) fn set_variable(&mut self, name: &str, known: Known) {
        self.env.insert(name.to_owned(), known);
    }

    pub(super) fn set_step_output(&mut self, step: &str, name: &str, known: Known) {
        self.outputs.insert(format!("steps.{step}.{name}").to_lowercase(), known);
    }

    pub(super) fn set_job_output(&mut self, job: &str, name: &str, known: Known) {
        self.outputs.insert(format!("needs.{job}.{name}").to_lowercase(), known);
    }

    pub(super) fn set_listed(&mut self, name: &str, listed: Listed) {
        self.listed.insert(name.to_lowercase(), listed);
    }

    /// The targets that are listed behind an expression.
    pub(super) fn listed(&self, name: &str) -> Option<Listed> {
        self.find(|it| it.listed.get(name).cloned())
    }

    fn find<T>(&self, get: impl Fn(&Names<'_>) -> Option<T>) -> Option<T> {
        let mut here = Some(self);
        while let Some(names) = here {
            if let Some(found) = get(names) {
                return Some(found);
            }
            here = names.outer;
        }
        None
    }

    /// A variable of the environment, as a script sees it.
    pub(super) fn variable(&self, name: &str) -> Option<Known> {
        self.find(|it| it.env.get(name).cloned())
    }

    /// All variables of the environment that somebody sets; without a value where it is not known.
    pub(super) fn environment(&self) -> BTreeMap<String, Option<String>> {
        let mut res = self.outer.map(Names::environment).unwrap_or_default();
        res.extend(self.env.iter().map(|(name, known)| (name.clone(), known.text.clone())));
        res
    }

    fn output(&self, name: &str) -> Outcome {
        self.find(|it| it.outputs.get(name).cloned()).map_or_else(Outcome::unknown, Known::outcome)
    }

    /// What a variable or an output of a step is made of; see [`Known::pieces`].
    fn pieces(&self, expression: &Expression, span: Span) -> Vec<Part> {
        let Expression::Property(base, name) = expression else { return Vec::new() };
        let known = match &**base {
            Expression::Context(context) if context == "env" => self.variable(name),
            Expression::Property(step, outputs) if outputs == "outputs" => match &**step {
                Expression::Property(steps, step) if matches!(&**steps, Expression::Context(it) if it == "steps") => {
                    self.find(|it| it.outputs.get(&format!("steps.{step}.{name}")).cloned())
                }
                _ => None,
            },
            _ => None,
        };
        known.map(|it| it.pieces(span)).unwrap_or_default()
    }
}

impl Scope for Names<'_> {
    fn env(&self, name: &str) -> Outcome {
        self.variable(name).map_or_else(Outcome::unknown, Known::outcome)
    }

    fn step_output(&self, step: &str, output: &str) -> Outcome {
        self.output(&format!("steps.{step}.{output}"))
    }

    fn job_output(&self, job: &str, output: &str) -> Outcome {
        self.output(&format!("needs.{job}.{output}"))
    }

    fn input(&self, name: &str) -> Outcome {
        let known = self.find(|it| it.inputs.get(name).cloned());
        known.map_or_else(|| Outcome::varying(Variance::over(Axis::Input(name.to_owned()))), Outcome::text)
    }

    fn matrix(&self, path: &[&str]) -> Outcome {
        let key = path.join(".");
        match self.find(|it| it.matrix.get(&key).cloned()) {
            Some(text) => Outcome::text(text),
            // The whole key, as legs have it: nested values are axes of their own.
            None => Outcome::varying(Variance::over(Axis::Matrix(key))),
        }
    }
}

/// Reads scalars at one place.
pub(super) struct Reader<'a> {
    names: &'a Names<'a>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(names: &'a Names<'a>) -> Reader<'a> {
        Reader { names }
    }

    /// A scalar, behind aliases; `None` for anything else.
    pub(super) fn passage(&self, node: &Node) -> Option<Passage> {
        node.scalar().map(|it| self.scalar(it, node.span))
    }

    /// A scalar that stands at `span`.
    pub(super) fn scalar(&self, scalar: &Scalar, span: Span) -> Passage {
        let text = &scalar.value;
        let places = expression::find(&text.text);
        let mut res = Passage::new(span);
        if places.is_empty() && scalar.style == Style::Plain {
            match number(&text.text) {
                Cow::Borrowed(_) => res.push_mapped(text),
                Cow::Owned(number) => res.push_text(&number, span),
            }
            return res.fitted();
        }
        let mut start = 0;
        for place in places {
            res.push_mapped(&text.slice(Span::new(start, place.span.start)));
            for (part, choices) in self.expression(text, &place) {
                res.push_expression(part, choices);
            }
            start = place.span.end;
        }
        res.push_mapped(&text.slice(Span::new(start, text.text.len())));
        res.fitted()
    }

    /// What stands for an expression: one piece, other than for what is made of several; with the texts that it can come
    /// out as.
    fn expression(&self, text: &Mapped, place: &Place) -> Vec<(Part, Vec<Passage>)> {
        let span = text.span(place.span);
        let inside = place.inside.of(&text.text);
        let Some(parsed) = expression::parse(inside).filter(|_| place.closed) else {
            let part = Part::Expression { span, source: inside.trim().to_owned(), known: None, variance: Variance::over(Axis::Unknown) };
            return vec![(part, Vec::new())];
        };
        let pieces = self.names.pieces(&parsed, span);
        if !pieces.is_empty() {
            return pieces.into_iter().map(|it| (it, Vec::new())).collect();
        }
        let source = parsed.to_string();
        let parsed = with_labels(parsed);
        let outcome = expression::evaluate(&parsed, self.names);
        let known = outcome.known.and_then(|it| it.text());
        let choices = if known.is_none() { self.choices(text, place, &parsed) } else { Vec::new() };
        vec![(Part::Expression { span, source, known, variance: outcome.variance }, choices)]
    }

    /// The texts that an expression can come out as; none if there may be others.
    fn choices(&self, text: &Mapped, place: &Place, expression: &Expression) -> Vec<Passage> {
        let Some(results) = results(expression, self.names) else { return Vec::new() };
        let inside = place.inside.of(&text.text);
        let passage = |it: &Choice| match it {
            Choice::False => Passage::new(text.span(place.span)),
            Choice::Text(literal) => match only_literal(inside, literal) {
                Some(found) => {
                    let found = found.shift(place.inside.start);
                    Passage::literal(text.slice(found), text.span(found))
                }
                None => {
                    let mut res = Passage::new(text.span(place.span));
                    res.push_text(literal, text.span(place.span));
                    res
                }
            },
            Choice::Format(pieces) => self.formatted(pieces, text.span(place.span)),
        };
        results.iter().map(passage).collect()
    }

    fn formatted(&self, pieces: &[Piece<'_>], span: Span) -> Passage {
        let mut res = Passage::new(span);
        for piece in pieces {
            match piece {
                Piece::Text(text) => res.push_text(text, span),
                Piece::Argument(argument) => {
                    let outcome = expression::evaluate(argument, self.names);
                    let known = outcome.known.and_then(|it| it.text());
                    res.push_expression(Part::Expression { span, source: argument.to_string(), known, variance: outcome.variance }, Vec::new());
                }
            }
        }
        res
    }

    /// A condition, which is an expression with or without delimiters.
    pub(super) fn condition(&self, scalar: &Scalar, span: Span) -> Value {
        let text = &scalar.value.text;
        let outcome = expression::condition(text, self.names);
        let inside = match expression::find(text).as_slice() {
            [] => text.as_str(),
            [place] if place.closed && place.span.of(text).len() == text.trim().len() => place.inside.of(text),
            // A text with expressions in it is always true, whatever was meant.
            _ => return self.scalar(scalar, span).value(),
        };
        let source = expression::parse(inside).map_or_else(|| inside.trim().to_owned(), |it| it.to_string());
        let known = outcome.known.and_then(|it| it.text());
        Value { span, parts: vec![Part::Expression { span, source, known, variance: outcome.variance }] }
    }
}

/// A text that an expression may come out as.
enum Choice<'a> {
    /// Something that counts as false, such as the empty text.
    False,
    Text(String),
    /// What `format` makes.
    Format(Vec<Piece<'a>>),
}

/// A piece of what `format` makes.
enum Piece<'a> {
    Text(String),
    Argument(&'a Expression),
}

/// All that an expression may come out as: `a && 'x' || 'y'` is one of two, and an input is what the known calls
/// give it. `None` if that is not known.
fn results<'a>(expression: &'a Expression, scope: &Names<'_>) -> Option<Vec<Choice<'a>>> {
    let outcome = expression::evaluate(expression, scope);
    if let Some(text) = outcome.known.as_ref().and_then(Constant::text) {
        return Some(vec![if outcome.truth == Some(false) { Choice::False } else { Choice::Text(text) }]);
    }
    match expression {
        // The first that is true, or the last.
        Expression::Or(operands) => {
            let (last, others) = operands.split_last()?;
            let mut res = Vec::new();
            for operand in others {
                res.extend(results(operand, scope)?.into_iter().filter(|it| !matches!(it, Choice::False)));
            }
            res.extend(results(last, scope)?);
            Some(res)
        }
        // The first that is false, or the last.
        Expression::And(operands) => {
            let (last, conditions) = operands.split_last()?;
            let may_fail = conditions.iter().any(|it| expression::evaluate(it, scope).truth != Some(true));
            let mut res = results(last, scope)?;
            if may_fail {
                res.push(Choice::False);
            }
            Some(res)
        }
        Expression::Call(name, arguments) if name == "case" => {
            let (default, pairs) = arguments.split_last()?;
            let values = pairs.iter().skip(1).step_by(2).chain([default]);
            let all: Option<Vec<Vec<Choice<'_>>>> = values.map(|it| results(it, scope)).collect();
            all.map(|it| it.into_iter().flatten().collect())
        }
        Expression::Property(base, name) if matches!(&**base, Expression::Context(it) if it == "inputs") => {
            let given = scope.find(|it| it.given.get(name).cloned())?;
            Some(given.into_iter().map(|it| if it.is_empty() { Choice::False } else { Choice::Text(it) }).collect())
        }
        Expression::Call(name, arguments) if name == "format" => {
            let (pattern, arguments) = arguments.split_first()?;
            let Expression::Literal(Constant::Text(pattern)) = pattern else { return None };
            Some(vec![Choice::Format(format_pieces(pattern, arguments)?)])
        }
        _ => None,
    }
}

/// The pieces of a pattern of `format`. Patterns with braces of their own are left alone.
fn format_pieces<'a>(pattern: &str, arguments: &'a [Expression]) -> Option<Vec<Piece<'a>>> {
    let mut res = Vec::new();
    let mut rest = pattern;
    while let Some((before, behind)) = rest.split_once('{') {
        let (index, after) = behind.split_once('}')?;
        res.push(Piece::Text(before.to_owned()));
        res.push(Piece::Argument(arguments.get(index.parse::<usize>().ok()?)?));
        rest = after;
    }
    if res.iter().any(|it| matches!(it, Piece::Text(text) if text.contains('}'))) || rest.contains('}') {
        return None;
    }
    res.push(Piece::Text(rest.to_owned()));
    Some(res)
}

/// Where a string stands in an expression, if it stands there once and needs no escape.
fn only_literal(inside: &str, text: &str) -> Option<Span> {
    if text.contains('\'') {
        return None;
    }
    let quoted = format!("'{text}'");
    let mut found = inside.match_indices(&quoted);
    let (at, _) = found.next()?;
    found.next().is_none().then(|| Span::new(at + 1, at + 1 + text.len()))
}

/// `fromJSON(steps.ID.outputs.json).labels['org.opencontainers.image.NAME']` as the output that
/// [`super::metadata`] gives that label: the labels together vary with all that any of them does.
fn with_labels(expression: Expression) -> Expression {
    let boxed = |it: Box<Expression>| Box::new(with_labels(*it));
    let all = |it: Vec<Expression>| it.into_iter().map(with_labels).collect();
    match expression {
        Expression::Property(base, name) => match (metadata_outputs(&base), name.strip_prefix("org.opencontainers.image.")) {
            (Some(outputs), Some(label)) => Expression::Property(Box::new(outputs.clone()), format!("label.{label}")),
            _ => Expression::Property(boxed(base), name),
        },
        Expression::Index(base, index) => Expression::Index(boxed(base), boxed(index)),
        Expression::Star(base) => Expression::Star(boxed(base)),
        Expression::Call(name, arguments) => Expression::Call(name, all(arguments)),
        Expression::Not(operand) => Expression::Not(boxed(operand)),
        Expression::Compare(operator, left, right) => Expression::Compare(operator, boxed(left), boxed(right)),
        Expression::And(operands) => Expression::And(all(operands)),
        Expression::Or(operands) => Expression::Or(all(operands)),
        other => other,
    }
}

/// `steps.ID.outputs` of `fromJSON(steps.ID.outputs.json).labels`.
fn metadata_outputs(labels: &Expression) -> Option<&Expression> {
    let Expression::Property(call, labels) = labels else { return None };
    let Expression::Call(function, arguments) = &**call else { return None };
    let [Expression::Property(outputs, json)] = arguments.as_slice() else { return None };
    (labels == "labels" && function == "fromjson" && json == "json").then_some(&**outputs)
}

/// A plain scalar as GitHub writes it out again: a number loses its spelling (`3.10` is `3.1`).
fn number(text: &str) -> Cow<'_, str> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|it: char| it.is_ascii_digit() || it == '.') || digits.len() > 32 {
        return Cow::Borrowed(text);
    }
    let radix = |prefix: &str, radix: u32| text.strip_prefix(prefix).and_then(|it| u64::from_str_radix(it, radix).ok()).map(|it| it.to_string());
    let decimal = || text.bytes().all(|it| it.is_ascii_digit() || b".eE+-".contains(&it)).then(|| text.parse::<f64>().ok()).flatten();
    let written = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| decimal().filter(|it| it.abs() < 1e15).map(|it| it.to_string()));
    match written {
        Some(written) if written != text => Cow::Owned(written),
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::CacheEntry;
    use crate::value::Value;
    use crate::volatility::Axis;
    use crate::workflow::{lowered, with_steps};

    fn exports(cache_to: &str) -> Vec<CacheEntry> {
        let text = with_steps(&format!("- uses: docker/build-push-action@v6\n  with:\n    cache-to: {cache_to}"));
        lowered(&text).jobs[0].builds[0].build.exports.clone()
    }

    #[test]
    fn an_expression_that_chooses_gives_conditional_entries() {
        let cases = [
            ("${{ github.event_name != 'pull_request' && 'type=gha,mode=max' || '' }}", vec!["gha:buildkit"]),
            ("${{ github.ref == 'a' && 'type=gha' }}", vec!["gha:buildkit"]),
            ("${{ github.ref == 'a' && 'type=gha,scope=a' || 'type=gha,scope=b' }}", vec!["gha:a", "gha:b"]),
            ("${{ case(github.ref == 'a', 'type=gha,scope=a', '') }}", vec!["gha:a"]),
            ("${{ github.ref == 'a' && format('type=gha,scope={0}-x', matrix.os) || '' }}", vec!["gha:${{ matrix.os }}-x"]),
        ];
        for (cache_to, expected) in cases {
            let entries = exports(cache_to);
            assert_eq!(entries.iter().filter_map(CacheEntry::location).collect::<Vec<_>>(), expected, "{cache_to}");
            assert!(entries.iter().all(|it| it.conditional && !it.opaque), "{cache_to}");
        }
        for cache_to in ["${{ inputs.cache }}", "${{ inputs.cache || 'type=gha' }}", "${{ github.ref == 'a' && inputs.cache || '' }}", "${{ ", "${{ ) }}"] {
            assert!(exports(cache_to).iter().all(|it| it.opaque), "{cache_to}");
        }
        assert!(!exports("${{ true && 'type=gha' || '' }}")[0].conditional);
        assert!(exports("${{ false && 'type=gha' || '' }}").is_empty());
    }

    #[test]
    fn a_chosen_text_is_found_in_the_file() {
        let text = with_steps("- uses: docker/build-push-action@v6\n  with:\n    cache-to: ${{ github.ref == 'a' && 'type=gha,mode=max' || '' }}");
        let entry = &lowered(&text).jobs[0].builds[0].build.exports[0];
        assert_eq!(entry.span.of(&text), "type=gha,mode=max");
        assert_eq!(entry.attributes[1].span.of(&text), "mode=max");
    }

    fn value(steps: &str, job: &str, expression: &str) -> Value {
        let text = with_steps(&format!("{steps}- uses: x/y@v1\n  with: {{v: \"${{{{ {expression} }}}}\"}}"));
        let text = text.replace("    steps:", &format!("{job}    steps:"));
        lowered(&text).jobs[0].steps.last().unwrap().inputs[0].value.clone()
    }

    #[test]
    fn labels_of_the_metadata_step_vary_each_with_its_own() {
        let steps = "- id: meta\n  uses: docker/metadata-action@v5\n";
        let axes = |label: &str| {
            let value = value(steps, "", &format!("fromJSON(steps.meta.outputs.json).labels['org.opencontainers.image.{label}'] || 'dev'"));
            value.variance().iter().cloned().collect::<Vec<_>>()
        };
        assert!(!axes("version").contains(&Axis::Commit));
        assert!(axes("version").contains(&Axis::Ref));
        assert_eq!(axes("revision"), [Axis::Commit]);
        assert_eq!(axes("created"), [Axis::Run]);
    }

    #[test]
    fn keys_of_the_matrix_are_axes_as_a_whole() {
        let matrix = "    strategy: {matrix: {image: [{name: a, os: x}, {name: b, os: x}]}}\n";
        assert!(value("", matrix, "matrix.image.name").variance().has(&Axis::Matrix("image.name".into())));
        assert_eq!(value("", matrix, "matrix.image.os").known().as_deref(), Some("x"));
        assert!(value("", "    strategy: {matrix: '${{ fromJSON(x) }}'}\n", "matrix.v").variance().has(&Axis::Matrix("v".into())));
    }

    #[test]
    fn outputs_of_earlier_jobs_are_followed() {
        let text = "jobs:\n  a:\n    outputs: {tag: '${{ steps.t.outputs.v }}', name: app}\n    steps:\n      - id: t\n        run: echo \"v=$(date)\" >> $GITHUB_OUTPUT\n  b:\n    needs: a\n    steps:\n      - uses: docker/build-push-action@v6\n        with: {tags: '${{ needs.a.outputs.name }}:${{ needs.a.outputs.tag }}'}\n";
        let tag = &lowered(text).jobs[1].builds[0].build.tags[0];
        assert!(tag.variance().has(&Axis::Run));
        assert_eq!(tag.pattern(), "app:${{ needs.a.outputs.tag }}");
    }

    #[test]
    fn what_is_made_of_keys_of_the_matrix_is_read_as_if_it_stood_there() {
        let matrix = "    strategy: {matrix: {v: ['1', '2']}}\n";
        let env = "    env: {FILE: 'php/${{ matrix.v }}/Dockerfile'}\n";
        let of_output = |script: &str| value(&format!("- id: d\n  run: {script}\n"), matrix, "steps.d.outputs.path").pattern();
        assert_eq!(value("", &format!("{matrix}{env}"), "env.FILE").pattern(), "php/${{ matrix.v }}/Dockerfile");
        assert_eq!(of_output("echo \"path=./php/${{ matrix.v }}/Dockerfile\" >> $GITHUB_OUTPUT"), "./php/${{ matrix.v }}/Dockerfile");
        assert_eq!(of_output("V=${{ matrix.v }}; echo \"path=php-$V\" >> $GITHUB_OUTPUT"), "php-${{ matrix.v }}");
        assert_eq!(of_output("echo \"path=${{ github.workspace }}/${{ matrix.v }}\" >> $GITHUB_OUTPUT"), "${{ github.workspace }}/${{ matrix.v }}");
        let as_it_is = "${{ steps.d.outputs.path }}";
        for script in [
            "echo \"path=php/${{ matrix.v }}/${{ github.sha }}\" >> $GITHUB_OUTPUT",
            "echo \"path=${{ secrets.FOLDER }}/${{ matrix.v }}\" >> $GITHUB_OUTPUT",
            "echo path=a ${{ matrix.v }} >> $GITHUB_OUTPUT",
            "if true; then echo path=${{ matrix.v }} >> $GITHUB_OUTPUT; fi",
            "printf 'path=${{ matrix.v }}\\n' >> $GITHUB_OUTPUT",
        ] {
            assert_eq!(of_output(script), as_it_is, "{script}");
        }
        let doubled: String = (0..40).map(|_| "V=\"$V$V\"; ").collect();
        assert_eq!(of_output(&format!("V=${{{{ matrix.v }}}}; {doubled}echo \"path=$V\" >> $GITHUB_OUTPUT")), as_it_is);
    }

    #[test]
    fn keys_of_the_matrix_of_another_job_are_others() {
        let text = "jobs:\n  a:\n    strategy: {matrix: {v: [1, 2]}}\n    outputs: {tag: 'v${{ matrix.v }}'}\n    steps: [{run: x}]\n  b:\n    needs: a\n    strategy: {matrix: {v: [3, 4]}}\n    steps:\n      - uses: docker/build-push-action@v6\n        with: {tags: 'app:${{ needs.a.outputs.tag }}'}\n";
        assert_eq!(lowered(text).jobs[1].builds[0].build.tags[0].pattern(), "app:${{ needs.a.outputs.tag }}");
    }

    #[test]
    fn conditions_need_no_delimiters() {
        let condition = |text: &str| lowered(&with_steps(&format!("- run: x\n  if: {text}"))).jobs[0].steps[0].condition.clone().unwrap();
        assert_eq!(condition("github.ref=='a'").pattern(), "${{ github.ref == 'a' }}");
        assert_eq!(condition("${{ github.ref == 'a' }}").pattern(), "${{ github.ref == 'a' }}");
        assert!(condition("github.event_name == 'push'").variance().has(&Axis::Event));
        assert_eq!(condition("always()").known().as_deref(), Some("true"));
        assert_eq!(condition("false").known().as_deref(), Some("false"));
    }
}
