//! `strategy.matrix`: its legs, as GitHub expands them.

use super::expression::{self, Expression};
use crate::edit::Span;
use crate::syntax::Mapped;
use crate::syntax::yaml::{Entry, Kind, Mapping, Node, Scalar, Sequence, Style};
use crate::value::Leg;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// GitHub runs no more legs of one matrix.
const MAX_LEGS: usize = 256;
/// More values than any real matrix has; keeps aliases of aliases from growing without bound.
const MAX_CELLS: usize = 4096;
/// Deeper values than any real matrix has.
const MAX_DEPTH: usize = 16;

/// A matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// The whole value.
    pub span: Span,
    /// Its keys in order, those that only `include` has last.
    pub keys: Vec<Key>,
    /// Its combinations; `None` where an expression makes them, or where there are more than
    /// GitHub runs.
    pub legs: Option<Vec<Leg>>,
}

/// A key of a matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// In lower case.
    pub name: String,
    /// Where it stands first.
    pub span: Span,
    /// It has no list of its own: only entries of `include` have it.
    pub only_include: bool,
}

impl Matrix {
    /// The different values of a key over all legs, in order; `None` where they are not known. A
    /// leg without the key has the empty text.
    pub fn values(&self, key: &str) -> Option<Vec<&str>> {
        let mut res = Vec::new();
        for leg in self.legs.as_ref()? {
            let value = leg.get(key).map_or("", String::as_str);
            if !res.contains(&value) {
                res.push(value);
            }
        }
        Some(res)
    }

    /// Whether more than one leg is run, as far as is known.
    pub fn is_plural(&self) -> bool {
        self.legs.as_ref().is_none_or(|it| it.len() > 1)
    }
}

/// One combination: `None` is a value that an expression makes.
type Cells = BTreeMap<String, Option<String>>;

/// Reads a scalar of the matrix; `None` where an expression in it is not known.
pub(super) type Read<'a> = &'a dyn Fn(&Scalar) -> Option<String>;

/// The text of an expression; `None` where it is not known.
pub(super) type Evaluate<'a> = &'a dyn Fn(&Expression) -> Option<String>;

/// Lowers `strategy.matrix`.
pub(super) fn lower(node: &Node, read: Read<'_>, evaluate: Evaluate<'_>) -> Matrix {
    let node = &written_out(node, evaluate);
    let keys = keys(node);
    let legs = legs(node, read).filter(|it| it.len() <= MAX_LEGS);
    Matrix { span: node.span, keys, legs }
}

/// The matrix with the JSON that it is made of, or that the values of its keys are, where that is known
/// (`${{ fromJSON('["a", "b"]') }}`, `${{ fromJSON(inputs.apps) }}` in a call). All of it stands where the
/// expression does.
fn written_out<'n>(node: &'n Node, evaluate: Evaluate<'_>) -> Cow<'n, Node> {
    let json = |node: &Node| known_json(node, evaluate);
    if let Some(found) = json(node) {
        return Cow::Owned(found);
    }
    let Kind::Mapping(mapping) = &node.resolved().kind else { return Cow::Borrowed(node) };
    if !mapping.entries.iter().any(|it| json(&it.value).is_some()) {
        return Cow::Borrowed(node);
    }
    let entry = |it: &Entry| Entry { value: json(&it.value).unwrap_or_else(|| it.value.clone()), ..it.clone() };
    let mapping = Mapping { flow: mapping.flow, entries: mapping.entries.iter().map(entry).collect() };
    Cow::Owned(Node { kind: Kind::Mapping(mapping), ..node.clone() })
}

/// What a scalar is that is `fromJSON` of something known and no more.
fn known_json(node: &Node, evaluate: Evaluate<'_>) -> Option<Node> {
    // The parser stops at 128 values inside values.
    let value = serde_json::from_str(&evaluate(&json_of(node)?)?).ok()?;
    matches!(value, Value::Array(_) | Value::Object(_)).then(|| of_json(&value, node.resolved().span))
}

/// What a scalar takes its JSON from that is `fromJSON` of it and no more.
fn json_of(node: &Node) -> Option<Expression> {
    let text = node.text()?.trim();
    let [place] = expression::find(text)[..] else { return None };
    if !place.closed || place.span.len() != text.len() {
        return None;
    }
    let Expression::Call(name, mut arguments) = expression::parse(place.inside.of(text))? else { return None };
    arguments.pop().filter(|_| name == "fromjson" && arguments.is_empty())
}

/// The keys of a matrix whose values an expression makes, with that expression: `fromJSON(…)` of it. Of a list of
/// legs (`include`) the key is the one in which the actions of bake put the target.
pub(super) fn keys_made(matrix: &Node) -> Vec<(String, Expression)> {
    let key = |it: &Entry| if it.key == "include" { "target".to_owned() } else { it.key.as_str().to_lowercase() };
    matrix.entries().iter().filter_map(|it| Some((key(it), json_of(&it.value)?))).collect()
}

fn of_json(value: &Value, span: Span) -> Node {
    let scalar = |text: String| {
        let mut mapped = Mapped::default();
        mapped.push(&text, span);
        Kind::Scalar(Scalar { style: Style::Double, value: mapped, indent: 0 })
    };
    let entry = |(key, value): (&String, &Value)| Entry { span, key: key.into(), key_span: span, value: of_json(value, span) };
    let kind = match value {
        Value::Null => Kind::Null,
        Value::Bool(truth) => scalar(truth.to_string()),
        Value::Number(number) => scalar(number.as_f64().map_or_else(|| number.to_string(), |it| it.to_string())),
        Value::String(text) => scalar(text.clone()),
        Value::Array(items) => Kind::Sequence(Sequence { flow: true, items: items.iter().map(|it| of_json(it, span)).collect() }),
        Value::Object(pairs) => Kind::Mapping(Mapping { flow: true, entries: pairs.iter().map(entry).collect() }),
    };
    Node { span, anchor: None, kind }
}

fn keys(node: &Node) -> Vec<Key> {
    let mut res: Vec<Key> = Vec::new();
    let mut add = |entry: &crate::syntax::yaml::Entry, only_include: bool| {
        let name = entry.key.as_str().to_lowercase();
        if res.len() < MAX_LEGS && !res.iter().any(|it| it.name == name) {
            res.push(Key { name, span: entry.key_span, only_include });
        }
    };
    node.entries().iter().filter(|it| !is_list_of_legs(&it.key)).for_each(|it| add(it, false));
    let included = node.get("include").map(Node::items).unwrap_or_default();
    included.iter().take(MAX_LEGS).flat_map(Node::entries).for_each(|it| add(it, true));
    res
}

fn is_list_of_legs(key: &str) -> bool {
    key == "include" || key == "exclude"
}

fn legs(node: &Node, read: Read<'_>) -> Option<Vec<Leg>> {
    let mut budget = MAX_CELLS;
    let Kind::Mapping(mapping) = &node.resolved().kind else { return None };
    let mut legs = Vec::new();
    let mut own = Vec::new();
    for entry in mapping.entries.iter().filter(|it| !is_list_of_legs(&it.key)) {
        let Kind::Sequence(sequence) = &entry.value.resolved().kind else { return None };
        let key = entry.key.as_str().to_lowercase();
        let values: Vec<Cells> = sequence.items.iter().map(|it| cells(&key, it, read, &mut budget)).collect::<Option<_>>()?;
        if own.is_empty() {
            legs.push(Cells::new());
        }
        if legs.len().checked_mul(values.len())? > MAX_LEGS {
            return None;
        }
        legs = legs.iter().flat_map(|leg| values.iter().map(|it| leg.iter().chain(it).map(|(key, value)| (key.clone(), value.clone())).collect())).collect();
        own.push(key);
    }
    for excluded in leg_list(node, "exclude", read, &mut budget)? {
        let matches: Vec<bool> = legs.iter().map(|it| covers(it, &excluded)).collect::<Option<_>>()?;
        let mut matches = matches.into_iter();
        legs.retain(|_| !matches.next().unwrap_or(false));
    }
    let included = leg_list(node, "include", read, &mut budget)?;
    include(&mut legs, included, &own)?;
    legs.into_iter().map(|it| Some(it.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())).collect()
}

/// Adds each entry of `include` to every leg whose own values it does not change, or as a leg of
/// its own where there is none.
fn include(legs: &mut Vec<Cells>, included: Vec<Cells>, own: &[String]) -> Option<()> {
    let n_own_legs = legs.len();
    for entry in included {
        let fixed: Cells =
            entry.iter().filter(|(key, _)| own.contains(&first_segment(key).to_owned())).map(|(key, value)| (key.clone(), value.clone())).collect();
        let mut added = false;
        for leg in legs.iter_mut().take(n_own_legs) {
            if covers(leg, &fixed)? {
                leg.extend(entry.iter().map(|(key, value)| (key.clone(), value.clone())));
                added = true;
            }
        }
        if !added {
            legs.push(entry);
        }
        if legs.len() > MAX_LEGS {
            return None;
        }
    }
    Some(())
}

fn first_segment(key: &str) -> &str {
    key.split('.').next().unwrap_or(key)
}

/// Whether the leg has all these values; `None` where that depends on an expression.
fn covers(leg: &Cells, wanted: &Cells) -> Option<bool> {
    for (key, value) in wanted {
        match (leg.get(key), value) {
            (Some(Some(a)), Some(b)) if a == b => {}
            (Some(None), _) | (Some(_), None) => return None,
            _ => return Some(false),
        }
    }
    Some(true)
}

/// The entries of `include` or `exclude`; `None` where an expression makes them.
fn leg_list(node: &Node, key: &str, read: Read<'_>, budget: &mut usize) -> Option<Vec<Cells>> {
    let Some(list) = node.get(key) else { return Some(Vec::new()) };
    match &list.resolved().kind {
        Kind::Null => Some(Vec::new()),
        Kind::Sequence(sequence) => {
            sequence.items.iter().map(|it| matches!(it.resolved().kind, Kind::Mapping(_)).then(|| cells("", it, read, budget))?).collect()
        }
        _ => None,
    }
}

fn cells(key: &str, node: &Node, read: Read<'_>, budget: &mut usize) -> Option<Cells> {
    let mut res = Cells::new();
    flatten(key, node, read, budget, 0, &mut res)?;
    Some(res)
}

fn flatten(key: &str, node: &Node, read: Read<'_>, budget: &mut usize, depth: usize, res: &mut Cells) -> Option<()> {
    *budget = budget.checked_sub(1)?;
    if depth > MAX_DEPTH {
        return None;
    }
    let below = |name: &str| if key.is_empty() { name.to_lowercase() } else { format!("{key}.{}", name.to_lowercase()) };
    match &node.resolved().kind {
        Kind::Scalar(scalar) => drop(res.insert(key.to_owned(), read(scalar))),
        Kind::Null => drop(res.insert(key.to_owned(), Some(String::new()))),
        Kind::Mapping(mapping) => {
            for entry in &mapping.entries {
                flatten(&below(&entry.key), &entry.value, read, budget, depth + 1, res)?;
            }
        }
        Kind::Sequence(sequence) => {
            for (index, item) in sequence.items.iter().enumerate() {
                flatten(&below(&index.to_string()), item, read, budget, depth + 1, res)?;
            }
        }
        Kind::Alias(..) => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use crate::value::Leg;
    use crate::workflow::lowered;

    fn legs(matrix: &str) -> Option<Vec<Leg>> {
        let indented: String = matrix.lines().map(|it| format!("        {it}\n")).collect();
        let workflow = lowered(&format!("jobs:\n  a:\n    strategy:\n      matrix:\n{indented}"));
        workflow.jobs[0].matrix.as_ref().unwrap().legs.clone()
    }

    /// Legs as `key=value key=value`.
    fn written(matrix: &str) -> Vec<String> {
        let leg = |it: &Leg| it.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ");
        legs(matrix).unwrap().iter().map(leg).collect()
    }

    #[test]
    fn lists_are_multiplied_in_order() {
        assert_eq!(written("os: [a, b]\nArch: [x, y]"), ["arch=x os=a", "arch=y os=a", "arch=x os=b", "arch=y os=b"]);
        assert_eq!(written("os: [a]"), ["os=a"]);
    }

    #[test]
    fn excluded_legs_need_only_match_in_part() {
        assert_eq!(written("os: [a, b]\narch: [x, y]\nexclude:\n  - os: a\n  - {os: b, arch: y}"), ["arch=x os=b"]);
        assert_eq!(written("os: [a]\nexclude: [{os: a, arch: x}]"), ["os=a"]);
    }

    #[test]
    fn included_entries_add_to_legs_or_are_legs() {
        let matrix = "fruit: [apple, pear]\nanimal: [cat, dog]\ninclude:\n  - color: green\n  - {color: pink, animal: cat}\n  - {fruit: apple, shape: circle}\n  - fruit: banana\n  - {fruit: banana, animal: cat}";
        let expected = [
            "animal=cat color=pink fruit=apple shape=circle",
            "animal=dog color=green fruit=apple shape=circle",
            "animal=cat color=pink fruit=pear",
            "animal=dog color=green fruit=pear",
            "fruit=banana",
            "animal=cat fruit=banana",
        ];
        assert_eq!(written(matrix), expected);
    }

    #[test]
    fn a_matrix_may_be_of_included_legs_alone() {
        assert_eq!(
            written("include:\n  - {platform: linux/amd64, runner: ubuntu-latest}\n  - {platform: linux/arm64}"),
            ["platform=linux/amd64 runner=ubuntu-latest", "platform=linux/arm64"]
        );
    }

    #[test]
    fn nested_values_have_keys_with_dots() {
        assert_eq!(written("image: [{name: a, tags: [x, y]}]"), ["image.name=a image.tags.0=x image.tags.1=y"]);
    }

    #[test]
    fn numbers_lose_their_spelling() {
        assert_eq!(written("v: [3.10, '3.10']"), ["v=3.1", "v=3.10"]);
    }

    #[test]
    fn what_an_expression_makes_is_not_known() {
        for matrix in ["a: ${{ fromJSON(x) }}", "a: [1]\ninclude: ${{ fromJSON(x) }}", "a: x", "a: [1]\nexclude: [{a: '${{ github.ref }}'}]"] {
            assert_eq!(legs(matrix), None, "{matrix}");
        }
        assert_eq!(written("a: ['${{ github.sha }}', b]"), ["", "a=b"]);
    }

    #[test]
    fn literal_json_is_written_out() {
        assert_eq!(written("os: ${{ fromJSON('[\"a\", \"b\"]') }}\nv: [1]"), ["os=a v=1", "os=b v=1"]);
        assert_eq!(written("include: \"${{ fromJSON('[{\\\"os\\\": \\\"it''s\\\", \\\"n\\\": 1.0}]') }}\""), ["n=1 os=it's"]);
        let whole = |value: &str| {
            let workflow = lowered(&format!("jobs:\n  a:\n    strategy:\n      matrix: >-\n        {value}\n"));
            let matrix = workflow.jobs[0].matrix.clone().unwrap();
            (matrix.keys.iter().map(|it| it.name.clone()).collect::<Vec<_>>(), matrix.legs.map(|it| it.len()))
        };
        assert_eq!(whole("${{ fromJSON('{\"Arch\": [\"x\", \"y\"], \"include\": [{\"z\": true}]}') }}"), (vec!["arch".into(), "z".into()], Some(2)));
        assert_eq!(whole("${{\n        fromJSON('{\"a\": [1, 2, 3]}')\n        }}"), (vec!["a".into()], Some(3)));
        for value in [
            "${{ fromJSON(needs.x.outputs.y) }}",
            "${{ fromJSON('{\"a\": ') }}",
            "${{ fromJSON('1') }}",
            "${{ github.ref == 'x' && fromJSON('{\"a\": [1]}') || fromJSON('{\"a\": [2]}') }}",
            "${{ toJSON('{}') }}",
            "x-${{ fromJSON('{\"a\": [1]}') }}",
        ] {
            assert_eq!(whole(value).1, None, "{value}");
        }
    }

    #[test]
    fn a_matrix_with_too_many_legs_is_not_expanded() {
        let list = (0..17).map(|it| it.to_string()).collect::<Vec<_>>().join(", ");
        assert_eq!(legs(&format!("a: [{list}]\nb: [{list}]")), None);
        let deep = "[".repeat(40) + &"]".repeat(40);
        assert_eq!(legs(&format!("a: [{deep}]")), None);
    }
}
