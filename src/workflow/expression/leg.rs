//! What an expression comes out as in one leg of a matrix, or in one call of an action.

use super::{Constant, Expression, Outcome, Scope, evaluate, parse};
use crate::value::{Leg, Part, Value};
use crate::volatility::{Axis, Variance};
use crate::workflow::InputKind;

impl Value {
    /// The text in one leg of a matrix: `matrix.key` has the leg's value, and an expression that
    /// asks for nothing else comes out as one text
    /// (`${{ matrix.os == 'alpine' && 'alpine/Dockerfile' || 'Dockerfile' }}`).
    pub fn in_leg(&self, leg: &Leg) -> Option<String> {
        self.parts
            .iter()
            .map(|it| match it {
                Part::Text(text) => Some(text.to_string()),
                Part::Expression { known: Some(text), .. } => Some(text.clone()),
                Part::Expression { source, .. } => in_leg(source, leg),
            })
            .collect()
    }
}

/// The text of an expression in a leg; `None` where it depends on anything else.
pub fn in_leg(source: &str, leg: &Leg) -> Option<String> {
    if let Some(value) = source.strip_prefix("matrix.").and_then(|it| leg.get(it)) {
        return Some(value.clone());
    }
    if let Some((value, _)) = source.strip_prefix("inputs.").and_then(|it| input(leg, it)) {
        return Some(value.clone());
    }
    if leg.is_empty() || !(source.contains("matrix.") || source.contains("inputs.")) {
        return None;
    }
    evaluate(&parse(source)?, &InLeg(leg)).known?.text()
}

/// The texts of a list that is written as JSON, in a leg: `fromJSON('["a", "b"]')`, `fromJSON(inputs.labels)`.
/// `None` for anything else, and where it depends on something else.
pub fn list_in_leg(source: &str, leg: &Leg) -> Option<Vec<String>> {
    let Expression::Call(name, arguments) = parse(source)? else { return None };
    let ("fromjson", [json]) = (name.as_str(), arguments.as_slice()) else { return None };
    let text = evaluate(json, &InLeg(leg)).known?.text()?;
    let serde_json::Value::Array(items) = serde_json::from_str(&text).ok()? else { return None };
    items.into_iter().map(|it| if let serde_json::Value::String(text) = it { Some(text) } else { None }).collect()
}

const KINDS: [(InputKind, char); 3] = [(InputKind::Text, '@'), (InputKind::Truth, '?'), (InputKind::Number, '#')];

/// The key that an input has in a leg, which no key of a matrix can be.
pub fn input_key(name: &str, kind: InputKind) -> String {
    let mark = KINDS.iter().find(|it| it.0 == kind).map_or('@', |it| it.1);
    format!("{mark}{name}")
}

/// Whether a key of a leg is that of an input.
pub fn is_input_key(key: &str) -> bool {
    input_of_key(key).is_some()
}

/// The input of a key of a leg; `None` for a key of a matrix.
pub fn input_of_key(key: &str) -> Option<&str> {
    KINDS.iter().find_map(|it| key.strip_prefix(it.1))
}

/// The value of an input in a leg.
fn input<'l>(leg: &'l Leg, name: &str) -> Option<(&'l String, InputKind)> {
    KINDS.iter().find_map(|(kind, _)| Some((leg.get(&input_key(name, *kind))?, *kind)))
}

/// Knows the keys of a leg, and nothing else.
struct InLeg<'a>(&'a Leg);

impl Scope for InLeg<'_> {
    fn matrix(&self, path: &[&str]) -> Outcome {
        let key = path.join(".");
        match self.0.get(&key) {
            Some(text) if !has_lost_its_kind(text) => Outcome::text(text.clone()),
            _ => Outcome::varying(Variance::over(Axis::Matrix(key))),
        }
    }

    fn input(&self, name: &str) -> Outcome {
        match input(self.0, name) {
            // Inputs of actions are texts, whatever they look like.
            Some((text, InputKind::Text)) => Outcome::text(text.clone()),
            Some((text, InputKind::Truth)) => Outcome::known(Constant::Bool(text == "true")),
            Some((text, InputKind::Number)) => Outcome::known(Constant::Number(Constant::Text(text.clone()).number())),
            None => Outcome::varying(Variance::over(Axis::Input(name.to_owned()))),
        }
    }
}

/// Whether a text is true as a text and would not be as the truth value or the number that it may
/// have been in the file.
fn has_lost_its_kind(text: &str) -> bool {
    ["true", "false", "null"].iter().any(|it| text.eq_ignore_ascii_case(it)) || Constant::Text(text.to_owned()).number() == 0.0 && !text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::Span;

    fn leg() -> Leg {
        [("os", "alpine"), ("python", "3.12"), ("push", "true"), ("zero", "0"), ("image.name", "app")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    fn found(source: &str) -> Option<String> {
        in_leg(&parse(source).unwrap().to_string(), &leg())
    }

    #[test]
    fn a_key_has_the_value_of_the_leg() {
        let part = Part::Expression { span: Span::default(), source: "matrix.os".into(), known: None, variance: Variance::constant() };
        let value = Value { span: Span::default(), parts: vec![Part::Text("a-".into()), part] };
        assert_eq!(value.in_leg(&leg()).as_deref(), Some("a-alpine"));
        assert_eq!(value.in_leg(&Leg::new()), None);
        assert_eq!(value.known(), None);
        assert_eq!(found("matrix.push").as_deref(), Some("true"));
        assert_eq!(found("matrix['image'].name").as_deref(), Some("app"));
    }

    #[test]
    fn a_condition_on_keys_chooses() {
        for (source, expected) in [
            ("matrix.os == 'alpine' && 'a' || 'b'", "a"),
            ("matrix.os != 'alpine' && 'a' || 'b'", "b"),
            ("contains(fromJSON('[\"cli\"]'), matrix.os) && 'a' || 'b'", "b"),
            ("contains(fromJSON('[\"cli\", \"Alpine\"]'), matrix.os) && 'a' || 'b'", "a"),
            ("contains(fromJSON('[[1], \"alpine\"]'), matrix.os) && 'a' || 'b'", "?"),
            ("contains(fromJSON('{\"alpine\": 1}'), matrix.os) && 'a' || 'b'", "?"),
            ("contains(fromJSON('[\"cli\"]'), matrix.other) && 'a' || 'b'", "?"),
            ("contains(matrix.os, 'pine') && 'a' || 'b'", "a"),
            ("format('{0}-{1}', matrix.os, matrix.python)", "alpine-3.12"),
            ("matrix.python == '3.12' && 'new' || 'old'", "new"),
            ("matrix.os == 'x' && 'a' || matrix.os == 'alpine' && 'b' || 'c'", "b"),
        ] {
            assert_eq!(found(source).as_deref(), Some(expected).filter(|it| *it != "?"), "{source}");
        }
    }

    #[test]
    fn a_list_of_json_is_its_texts() {
        let call: Leg = [(input_key("labels", InputKind::Text), "[\"self-hosted\", \"x\"]".to_owned()), ("os".to_owned(), "[1]".to_owned())].into();
        let found = |source: &str| list_in_leg(&parse(source).unwrap().to_string(), &call).map(|it| it.join(" "));
        assert_eq!(found("fromJSON(inputs.labels)").as_deref(), Some("self-hosted x"));
        assert_eq!(found("fromJSON('[\"a\"]')").as_deref(), Some("a"));
        for source in
            ["fromJSON(inputs.other)", "inputs.labels", "fromJSON(matrix.os)", "fromJSON('\"a\"')", "fromJSON('[')", "toJSON('[]')", "fromJSON(github.ref)"]
        {
            assert_eq!(found(source), None, "{source}");
        }
    }

    #[test]
    fn an_input_has_the_value_of_the_call() {
        let text = |name: &str, value: &str| (input_key(name, InputKind::Text), value.to_owned());
        let call: Leg = [text("os", "alpine"), text("push", "true"), text("quiet", "false")].into();
        let found = |source: &str| in_leg(&parse(source).unwrap().to_string(), &call);
        assert_eq!(found("inputs.quiet && 'a' || 'b'").as_deref(), Some("a"));
        assert_eq!(found("inputs.os").as_deref(), Some("alpine"));
        assert_eq!(found("inputs.push == 'true' && 'a' || 'b'").as_deref(), Some("a"));
        assert_eq!(found("inputs.other || 'x'"), None);
    }

    #[test]
    fn inputs_of_workflows_have_kinds() {
        let call: Leg = [(input_key("push", InputKind::Truth), "false".to_owned()), (input_key("n", InputKind::Number), "0".to_owned())].into();
        let found = |source: &str| in_leg(&parse(source).unwrap().to_string(), &call);
        for source in ["inputs.push && 'a' || 'b'", "inputs.push == true && 'a' || 'b'", "inputs.n && 'a' || 'b'", "inputs.n > 0 && 'a' || 'b'"] {
            assert_eq!(found(source).as_deref(), Some("b"), "{source}");
        }
        assert_eq!(found("inputs.push").as_deref(), Some("false"));
        assert!(is_input_key(&input_key("a", InputKind::Truth)) && !is_input_key("os"));
    }

    #[test]
    fn what_depends_on_more_or_has_lost_its_kind_is_not_known() {
        for source in [
            "matrix.other || 'x'",
            "matrix.image",
            "matrix.push && 'a' || 'b'",
            "matrix.push == 'true' && 'a' || 'b'",
            "matrix.zero && 'a' || 'b'",
            "matrix.os == github.ref && 'a' || 'b'",
            "github.ref == 'x' && matrix.os || 'b'",
            "inputs.os",
        ] {
            assert_eq!(found(source), None, "{source}");
        }
    }
}
