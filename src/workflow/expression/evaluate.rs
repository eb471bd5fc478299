//! The value of an expression as far as it is always the same, and what it varies with.

use super::{Constant, Expression, Operator, Outcome, Scope, contexts};
use crate::volatility::{Axis, Variance};
use std::cmp::Ordering;

/// What is known of the value of `expression` in `scope`.
///
/// A choice varies with what decides it and with what it chooses from: `a && 'x' || 'y'` varies
/// with `a`.
pub fn evaluate(expression: &Expression, scope: &impl Scope) -> Outcome {
    match expression {
        Expression::Literal(constant) => Outcome::known(constant.clone()),
        Expression::Context(_) | Expression::Property(..) | Expression::Index(..) | Expression::Star(_) => access(expression, scope),
        Expression::Call(name, arguments) => {
            let outcomes: Vec<_> = arguments.iter().map(|it| evaluate(it, scope)).collect();
            match is_listed(name, arguments, &outcomes) {
                Some(found) => Outcome::known(Constant::Bool(found)),
                None => call(name, &outcomes),
            }
        }
        Expression::Not(operand) => {
            let operand = evaluate(operand, scope);
            match operand.truth {
                Some(truth) => Outcome::known(Constant::Bool(!truth)),
                None => boolean(operand.variance),
            }
        }
        Expression::Compare(operator, left, right) => {
            let (left, right) = (evaluate(left, scope), evaluate(right, scope));
            match (&left.known, &right.known) {
                (Some(left), Some(right)) => Outcome::known(Constant::Bool(compare(*operator, left, right))),
                _ => boolean(left.variance.join(&right.variance)),
            }
        }
        Expression::And(operands) => choice(operands, false, scope),
        Expression::Or(operands) => choice(operands, true, scope),
    }
}

/// A truth value that is not known.
fn boolean(variance: Variance) -> Outcome {
    Outcome { known: None, variance, may_be_empty: false, truth: None }
}

/// `&&` and `||`: the first operand that is `stop`, or the last.
fn choice(operands: &[Expression], stop: bool, scope: &impl Scope) -> Outcome {
    let mut decided = Variance::constant();
    let mut may_be_empty = false;
    let mut truths = Vec::new();
    let last = operands.len().saturating_sub(1);
    for (index, operand) in operands.iter().enumerate() {
        let operand = evaluate(operand, scope);
        let passes = operand.truth.is_some_and(|it| it != stop);
        if passes && index < last {
            // Never the result; and nothing is decided by what it varies with.
            continue;
        }
        let ends = index == last || operand.truth == Some(stop);
        if ends && truths.is_empty() {
            return operand;
        }
        decided = decided.join(&operand.variance);
        // Where `||` stops at an operand, it is true, and so not empty.
        may_be_empty |= operand.may_be_empty && (ends || !stop);
        truths.push(if ends { operand.truth } else { Some(stop) });
        if ends {
            break;
        }
    }
    let truth = truths.first().copied().flatten().filter(|first| truths.iter().all(|it| *it == Some(*first)));
    Outcome { known: None, variance: decided, may_be_empty, truth }
}

/// A context or what is inside it.
fn access(expression: &Expression, scope: &impl Scope) -> Outcome {
    let mut path = Vec::new();
    match context_path(expression, &mut path) {
        true => contexts::lookup(&path, scope),
        false => Outcome::varying(computed(expression, scope)),
    }
}

/// The names from a context down; `false` if the base is none or a name is computed.
fn context_path<'a>(expression: &'a Expression, path: &mut Vec<&'a str>) -> bool {
    let (base, name) = match expression {
        Expression::Context(name) => {
            path.push(name);
            return true;
        }
        Expression::Property(base, name) => (base, name.as_str()),
        Expression::Star(base) => (base, "*"),
        Expression::Index(base, index) if matches!(**index, Expression::Literal(Constant::Number(_))) => (base, "*"),
        _ => return false,
    };
    let found = context_path(base, path);
    path.push(name);
    found
}

/// What something varies with whose place is computed.
fn computed(expression: &Expression, scope: &impl Scope) -> Variance {
    match expression {
        Expression::Property(base, _) | Expression::Star(base) => computed(base, scope),
        Expression::Index(base, index) => computed(base, scope).join(&evaluate(index, scope).variance),
        _ => evaluate(expression, scope).variance,
    }
}

fn call(name: &str, arguments: &[Outcome]) -> Outcome {
    let variance = arguments.iter().fold(Variance::constant(), |res, it| res.join(&it.variance));
    let known: Option<Vec<Constant>> = arguments.iter().map(|it| it.known.clone()).collect();
    if let Some(res) = known.as_ref().and_then(|it| apply(name, it)) {
        return Outcome::known(res);
    }
    match name {
        // A pattern that is wrong: the run fails.
        "format" if known.is_some() => Outcome::unknown(),
        "always" => Outcome::known(Constant::Bool(true)),
        "contains" | "startswith" | "endswith" => boolean(variance),
        "tojson" => Outcome::present(variance),
        "format" => match arguments.first().and_then(|it| it.known.as_ref()) {
            Some(Constant::Text(pattern)) if has_literal(pattern) => Outcome::present(variance),
            _ => Outcome::varying(variance),
        },
        "join" => match arguments.first() {
            Some(first) => Outcome { known: None, truth: None, variance, may_be_empty: first.may_be_empty },
            None => Outcome::unknown(),
        },
        "fromjson" | "case" => Outcome::varying(variance),
        // A hash of files changes with some commits, like the files, and not with others. There
        // is no axis for that: it is neither constant nor another on every commit, so all that
        // is said is that it is not known. Empty where no file fits.
        "hashfiles" => Outcome::unknown(),
        // `success()` and its like depend on the steps before; any other name is not known.
        _ => Outcome::unknown(),
    }
}

/// Whether a list that is written down as JSON has a value: `contains(fromJSON('["a", "b"]'), 'a')`. `None` where that is not
/// known, or the call is another one.
fn is_listed(name: &str, arguments: &[Expression], outcomes: &[Outcome]) -> Option<bool> {
    let ("contains", [Expression::Call(reader, list), _], [_, value]) = (name, arguments, outcomes) else { return None };
    let [Expression::Literal(Constant::Text(list))] = list.as_slice() else { return None };
    let value = value.known.as_ref().filter(|_| reader == "fromjson")?;
    let items: Vec<serde_json::Value> = serde_json::from_str(list).ok()?;
    let items: Option<Vec<Constant>> = items.into_iter().map(single).collect();
    Some(items?.iter().any(|it| compare(Operator::Equal, it, value)))
}

/// Whether a pattern has text beside its placeholders.
fn has_literal(pattern: &str) -> bool {
    let mut depth = 0_usize;
    pattern.chars().any(|it| match it {
        '{' => {
            depth += 1;
            depth > 1
        }
        '}' => {
            depth = depth.saturating_sub(1);
            false
        }
        _ => depth == 0,
    })
}

/// The value of a function that depends on nothing but its arguments; `None` for wrong arguments
/// and for all other functions.
fn apply(name: &str, arguments: &[Constant]) -> Option<Constant> {
    let text = |index: usize| arguments.get(index).and_then(Constant::text);
    let both = |test: fn(&str, &str) -> bool| match arguments {
        [_, _] => Some(Constant::Bool(test(&upper(&text(0)?), &upper(&text(1)?)))),
        _ => None,
    };
    match name {
        "contains" => both(|a, b| a.contains(b)),
        "startswith" => both(|a, b| a.starts_with(b)),
        "endswith" => both(|a, b| a.ends_with(b)),
        "format" => format(&text(0)?, arguments.get(1..)?).map(Constant::Text),
        "join" => match arguments {
            [_] | [_, _] => text(0).map(Constant::Text),
            _ => None,
        },
        "tojson" => match arguments {
            [it] => to_json(it),
            _ => None,
        },
        "fromjson" => match arguments {
            [_] => from_json(&text(0)?),
            _ => None,
        },
        "case" => case(arguments),
        _ => None,
    }
}

fn to_json(value: &Constant) -> Option<Constant> {
    let text = match value {
        Constant::Text(text) => serde_json::to_string(text).ok()?,
        Constant::Null => "null".to_owned(),
        Constant::Number(it) if !it.is_finite() => return None,
        Constant::Bool(_) | Constant::Number(_) => value.text()?,
    };
    Some(Constant::Text(text))
}

/// Of single values only.
fn from_json(text: &str) -> Option<Constant> {
    single(serde_json::from_str(text).ok()?)
}

/// The value, if it is no list and no mapping.
fn single(value: serde_json::Value) -> Option<Constant> {
    match value {
        serde_json::Value::Null => Some(Constant::Null),
        serde_json::Value::Bool(it) => Some(Constant::Bool(it)),
        serde_json::Value::Number(it) => it.as_f64().map(Constant::Number),
        serde_json::Value::String(it) => Some(Constant::Text(it)),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
    }
}

fn case(arguments: &[Constant]) -> Option<Constant> {
    let (default, pairs) = arguments.split_last()?;
    if pairs.is_empty() || pairs.len() % 2 == 1 {
        return None;
    }
    for pair in pairs.chunks_exact(2) {
        match pair {
            [Constant::Bool(true), value] => return Some(value.clone()),
            [Constant::Bool(false), _] => {}
            _ => return None,
        }
    }
    Some(default.clone())
}

/// `{0}` is the first argument; `{{` and `}}` are braces. `None` for a pattern that is wrong.
fn format(pattern: &str, arguments: &[Constant]) -> Option<String> {
    let mut res = String::new();
    let mut rest = pattern;
    while let Some(brace) = rest.find(['{', '}']) {
        let (before, after) = rest.split_at(brace);
        res.push_str(before);
        if let Some(after) = after.strip_prefix("{{") {
            res.push('{');
            rest = after;
        } else if let Some(after) = after.strip_prefix("}}") {
            res.push('}');
            rest = after;
        } else {
            let (index, after) = after.strip_prefix('{')?.split_once('}')?;
            if !index.bytes().all(|it| it.is_ascii_digit()) {
                return None;
            }
            res.push_str(&arguments.get(index.parse::<usize>().ok()?)?.text()?);
            rest = after;
        }
    }
    res.push_str(rest);
    Some(res)
}

/// Text is compared without regard to case.
fn upper(text: &str) -> String {
    // The dotless i stays what it is, as in .NET's ordinal comparison.
    text.chars().fold(String::with_capacity(text.len()), |mut res, it| {
        if it == 'ı' {
            res.push(it)
        } else {
            res.extend(it.to_uppercase())
        }
        res
    })
}

fn compare(operator: Operator, left: &Constant, right: &Constant) -> bool {
    let order = match (left, right) {
        (Constant::Text(left), Constant::Text(right)) => Some(upper(left).cmp(&upper(right))),
        (Constant::Null, Constant::Null) => Some(Ordering::Equal),
        (Constant::Bool(left), Constant::Bool(right)) => Some(left.cmp(right)),
        _ => left.number().partial_cmp(&right.number()),
    };
    // Nulls are equal, but neither is less or more than the other: so is every pair of equals.
    match operator {
        Operator::Equal => order == Some(Ordering::Equal),
        Operator::NotEqual => order != Some(Ordering::Equal),
        Operator::Less => order == Some(Ordering::Less),
        Operator::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Operator::Greater => order == Some(Ordering::Greater),
        Operator::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}

/// Varies over each of `axes`.
pub(super) fn over(axes: &[Axis]) -> Variance {
    axes.iter().cloned().fold(Variance::constant(), |mut res, it| {
        res.add(it);
        res
    })
}
