//! Bake files: targets with what they inherit, as builds.
//!
//! HCL and JSON are read. What is read of one file is what stands in it; [`Bake::merge`] reads
//! several as one call of bake does. `--set` and the environment can change a target. A variable
//! has its default. What is not
//! understood is an expression that varies with something unknown.
//!
//! The folder of a build is not known here: its context starts from where bake is run, its
//! Dockerfile from the context.

mod evaluate;
mod json;

use crate::build::{self, Build, BuildArgument, Context, Draft, Tool};
use crate::cache::{self, Attribute, CacheEntry};
use crate::edit::Span;
use crate::value::{Part, Passage, Value};
use crate::volatility::{self, Axis, Variance};
use evaluate::{Evaluator, Pair, Term};
use hcl_edit::expr::Expression;
use hcl_edit::structure::{Block, Body};
use std::collections::{BTreeMap, BTreeSet};

/// Larger files are not read: the parser looks for double keys of objects one by one.
const MAX_LENGTH: usize = 1 << 18;
/// More targets than any file has, legs of matrices included.
const MAX_TARGETS: usize = 1024;
/// Targets that inherit from each other, or groups in groups.
const MAX_DEPTH: usize = 16;

/// More imports, arguments or contexts than any target has; keeps what is inherited from growing
/// with each parent.
const MAX_INHERITED: usize = 256;

/// A bake file.
#[derive(Debug, Clone, Default)]
pub struct Bake {
    /// Its variables, in order.
    pub variables: Vec<Variable>,
    /// Its groups, in order.
    pub groups: Vec<Group>,
    /// Its targets, in order; one for each leg of a matrix.
    pub targets: Vec<Target>,
    /// The file could not be read.
    pub broken: bool,
    /// Comments that have a line to themselves, without its ending.
    pub comments: Vec<Span>,
    /// Blocks, attributes and items of lists, each with its place.
    pub nodes: Vec<Span>,
    /// The targets before they have what they inherit.
    raws: Vec<Raw>,
}

/// A variable.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub span: Span,
    /// Its default, where that is a plain value.
    pub default: Option<String>,
}

/// A group of targets.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Names of targets and groups, as far as they are known.
    pub targets: Vec<String>,
    /// There may be others.
    pub opaque: bool,
    /// It is all legs of a target, which take no other group's place.
    of_legs: bool,
}

impl Group {
    /// Puts a group behind others, or in the place of one of its name.
    fn put(self, others: &mut Vec<Group>) {
        match others.iter_mut().find(|it| it.name == self.name) {
            Some(earlier) => *earlier = self,
            None => others.push(self),
        }
    }
}

/// A target.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name, in its leg where it has a matrix.
    pub name: String,
    /// What it builds, with all that it inherits.
    pub build: Build,
    /// The targets that it inherits from, as written.
    pub inherits: Vec<String>,
    /// The targets that it uses as named contexts.
    pub needs: Vec<String>,
    /// Whether its `cache-to` is its own; else it is inherited, or there is none.
    pub own_exports: bool,
    /// The block's matrix has more than one leg.
    pub is_leg: bool,
}

impl Bake {
    /// Several files as bake reads them, one after the other: a target that is in two of them is
    /// one, in which the later file wins, and a group takes the place of one of its name (docs/facts.md
    /// F.3). A variable keeps the default of its own file; that of the last one counts, which `variables` tells.
    pub fn merge<'a>(files: impl IntoIterator<Item = &'a Bake>) -> Bake {
        let mut res = Bake::default();
        let mut legs: Vec<&Group> = Vec::new();
        for file in files {
            let earlier: BTreeMap<String, usize> = res.raws.iter().enumerate().map(|(index, it)| (it.name.clone(), index)).collect();
            for raw in &file.raws {
                if let Some(known) = earlier.get(&raw.name).and_then(|it| res.raws.get_mut(*it)) {
                    known.attributes = merged(&known.attributes, &raw.attributes);
                } else if res.raws.len() < MAX_TARGETS {
                    res.raws.push(raw.clone());
                }
            }
            for group in file.groups.iter().filter(|it| !it.of_legs) {
                group.clone().put(&mut res.groups);
            }
            legs.extend(file.groups.iter().filter(|it| it.of_legs));
            res.variables.extend(file.variables.iter().cloned());
            res.broken |= file.broken;
        }
        res.groups.extend(legs.into_iter().cloned());
        res.inherited()
    }

    /// The services of all compose files of a call, as bake reads them in front of its own files, wherever their names
    /// stand among those: as targets, and the group `default` of all of them (docker/buildx, `ParseFiles` in bake/bake.go,
    /// `ParseCompose` in bake/compose.go).
    pub fn of_services(services: &[Draft]) -> Bake {
        let default = Group { name: "default".into(), targets: services.iter().map(|it| it.name.clone()).collect(), opaque: false, of_legs: false };
        Bake { groups: vec![default], raws: services.iter().map(Raw::of).collect(), ..Bake::default() }.inherited()
    }

    /// With targets that have all that they inherit.
    fn inherited(self) -> Bake {
        let by_name: BTreeMap<String, usize> = self.raws.iter().enumerate().map(|(index, it)| (it.name.clone(), index)).collect();
        let mut inheritance = Inheritance { raws: &self.raws, by_name: &by_name, resolved: BTreeMap::new() };
        let targets = self.raws.iter().enumerate().map(|(index, it)| target(it, &inheritance.attributes(index, 0))).collect();
        Bake { targets, ..self }
    }

    /// The builds of all targets.
    pub fn builds(&self) -> Vec<&Build> {
        self.targets.iter().map(|it| &it.build).collect()
    }

    /// The targets that bake builds when it is asked for `names`: groups are opened, targets that
    /// others use come along, and no name is the group or target `default`.
    pub fn select(&self, names: &[String]) -> Vec<&Target> {
        let mut opened = BTreeMap::new();
        let asked: Vec<&str> = if names.is_empty() { vec!["default"] } else { names.iter().map(String::as_str).collect() };
        let mut wanted: Vec<&str> = asked.into_iter().flat_map(|it| self.members(it, &mut opened, 0)).collect();
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        while let Some(name) = wanted.pop().filter(|_| seen.len() <= MAX_TARGETS) {
            if !seen.insert(name) {
                continue;
            }
            for (index, target) in self.targets.iter().enumerate().filter(|(_, it)| it.name == name) {
                found.insert(index);
                wanted.extend(target.needs.iter().map(String::as_str));
            }
        }
        found.iter().filter_map(|it| self.targets.get(*it)).collect()
    }

    /// The targets of the group `name`; a name that is no group is that of a target. In a group the name of an empty
    /// one, or of one that is being opened, is that of a target too (docker/buildx, `Config.group` in bake/bake.go).
    fn members<'a>(&'a self, name: &'a str, opened: &mut BTreeMap<&'a str, Vec<&'a str>>, depth: usize) -> Vec<&'a str> {
        if let Some(known) = opened.get(name) {
            return known.clone();
        }
        let Some(group) = self.groups.iter().find(|it| it.name == name).filter(|_| depth < MAX_DEPTH) else { return vec![name] };
        opened.insert(name, Vec::new());
        let mut res: Vec<&str> = Vec::new();
        let mut seen = BTreeSet::new();
        for member in &group.targets {
            let inner = self.members(member, opened, depth + 1);
            let targets = if inner.is_empty() { vec![member.as_str()] } else { inner };
            res.extend(targets.into_iter().filter(|it| seen.insert(*it)));
        }
        opened.insert(name, res.clone());
        res
    }
}

/// Reads a bake file, HCL or JSON.
pub fn lower(text: &str) -> Bake {
    let broken = Bake { broken: true, ..Bake::default() };
    if text.len() > MAX_LENGTH {
        return broken;
    }
    if text.trim_start().starts_with('{') {
        return json::lower(text).unwrap_or(broken);
    }
    let Ok(body) = hcl_edit::parser::parse_body(text) else { return broken };
    let evaluator = Evaluator::new(text, &body);
    let file = File { evaluator: &evaluator, definitions: definitions(&body) };
    Bake { variables: variables(&body, &evaluator), comments: comments(text), nodes: nodes(&body), ..file.lower() }
}

/// Comments on lines of their own that begin with `#`, outside of heredocs.
fn comments(text: &str) -> Vec<Span> {
    let mut res = Vec::new();
    let mut heredoc: Option<&str> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim();
        match heredoc {
            Some(end) if content == end => heredoc = None,
            Some(_) => {}
            None if content.starts_with('#') => {
                let start = at + line.len() - line.trim_start().len();
                res.push(Span::new(start, start + content.len()));
            }
            None => heredoc = line.split_once("<<").map(|(_, it)| it.trim_start_matches('-').trim()).filter(|it| is_word(it)),
        }
        at += line.len();
    }
    res
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_')
}

/// What a comment can stand above.
fn nodes(body: &Body) -> Vec<Span> {
    let mut res = Vec::new();
    for block in body.blocks() {
        res.push(span_of(block));
        for attribute in block.body.attributes() {
            res.push(span_of(attribute));
            res.extend(attribute.value.as_array().into_iter().flat_map(|it| it.iter()).map(span_of));
        }
    }
    res
}

fn span_of(node: &impl hcl_edit::Span) -> Span {
    node.span().map_or(Span::default(), |it| Span::new(it.start, it.end))
}

fn label(block: &Block) -> Option<(String, Span)> {
    let label = block.labels.first()?;
    let span = span_of(label);
    // A label in quotes has them in its span.
    let quoted = span.len() == label.as_str().len() + 2;
    Some((label.as_str().to_owned(), if quoted { Span::new(span.start + 1, span.end - 1) } else { span }))
}

fn variables(body: &Body, evaluator: &Evaluator<'_>) -> Vec<Variable> {
    let variable = |it: &Block| {
        let (name, span) = label(it)?;
        let default = it.body.get_attribute("default").and_then(|it| evaluator.evaluate(&it.value, &BTreeMap::new()).known());
        Some(Variable { name, span, default })
    };
    body.blocks().filter(|it| it.has_ident("variable")).filter_map(variable).collect()
}

/// A target or a group as it is written.
struct Definition<'a> {
    name: String,
    span: Span,
    whole: Span,
    is_group: bool,
    attributes: Vec<(String, Attributed<'a>)>,
}

/// The value of an attribute, before it is evaluated.
enum Attributed<'a> {
    Hcl(&'a Expression),
    Json(Term),
}

fn definitions(body: &Body) -> Vec<Definition<'_>> {
    let definition = |it| {
        let block: &Block = it;
        let (name, span) = label(block)?;
        let attributes = block.body.attributes().map(|it| (it.key.as_str().to_owned(), Attributed::Hcl(&it.value))).collect();
        Some(Definition { name, span, whole: span_of(block), is_group: block.has_ident("group"), attributes })
    };
    body.blocks().filter(|it| it.has_ident("target") || it.has_ident("group")).take(MAX_TARGETS).filter_map(definition).collect()
}

/// Names that stand for something inside one definition: keys of its matrix.
type Locals = BTreeMap<String, Term>;

struct File<'a> {
    evaluator: &'a Evaluator<'a>,
    definitions: Vec<Definition<'a>>,
}

/// The attributes of a target, evaluated, by name.
type Attributes = BTreeMap<String, Term>;

/// A target before it has what it inherits.
#[derive(Debug, Clone)]
struct Raw {
    name: String,
    span: Span,
    whole: Span,
    attributes: Attributes,
    is_leg: bool,
}

impl Raw {
    fn of(draft: &Draft) -> Raw {
        let mut attributes: Attributes = draft.attributes.iter().map(|(name, it)| ((*name).to_owned(), term(it))).collect();
        // What it has from a file that is not read may be anything, as what is inherited from an unknown target.
        if draft.open {
            attributes.insert("inherits".into(), Term::List(vec![Term::Text(environment("?", draft.span))]));
        }
        Raw { name: draft.name.clone(), span: draft.span, whole: draft.whole, attributes, is_leg: false }
    }
}

fn term(attribute: &build::Attribute) -> Term {
    let value = |it: &build::Pair| Term::Text(it.value.clone().unwrap_or_else(|| environment(&it.name, it.span)));
    let pair = |it: &build::Pair| Pair { name: it.name.clone(), span: it.span, value: value(it) };
    match attribute {
        build::Attribute::Text(passage) => Term::Text(passage.clone()),
        build::Attribute::List(items) => Term::List(items.iter().cloned().map(Term::Text).collect()),
        build::Attribute::Pairs(pairs) => Term::Object(pairs.iter().map(pair).collect()),
    }
}

/// The variable `name` of the environment.
fn environment(name: &str, span: Span) -> Passage {
    let variance = volatility::of_runner(name).map_or_else(|| Variance::over(Axis::Unknown), Variance::over);
    let mut res = Passage::new(span);
    res.push_expression(Part::Expression { span, source: format!("${{{name}}}"), known: None, variance }, Vec::new());
    res
}

impl File<'_> {
    fn lower(&self) -> Bake {
        let mut raws: Vec<Raw> = Vec::new();
        let mut by_name: BTreeMap<String, usize> = BTreeMap::new();
        for definition in self.definitions.iter().filter(|it| !it.is_group) {
            for raw in self.legs(definition) {
                let index = by_name.get(&raw.name).copied();
                // Legs whose names are not known are not one target for that.
                if let Some(earlier) = index.and_then(|it| raws.get_mut(it)).filter(|it| it.whole != raw.whole || it.whole.is_empty()) {
                    // A target that is written twice is one; what comes later wins.
                    earlier.attributes = merged(&earlier.attributes, &raw.attributes);
                } else if raws.len() < MAX_TARGETS {
                    by_name.insert(raw.name.clone(), raws.len());
                    raws.push(raw);
                }
            }
        }
        let mut groups = Vec::new();
        for definition in self.definitions.iter().filter(|it| it.is_group) {
            self.group(definition).put(&mut groups);
        }
        // A target with a matrix is also the group of its legs.
        for definition in self.definitions.iter().filter(|it| !it.is_group && it.attributes.iter().any(|(key, _)| key == "matrix")) {
            let legs = raws.iter().filter(|it| it.span == definition.span && it.is_leg && it.name != definition.name);
            let targets: Vec<String> = legs.map(|it| it.name.clone()).collect();
            // Legs whose names are not known have that of the whole.
            if !targets.is_empty() {
                groups.push(Group { name: definition.name.clone(), targets, opaque: false, of_legs: true });
            }
        }
        Bake { groups, raws, ..Bake::default() }.inherited()
    }

    fn attribute(&self, definition: &Definition<'_>, name: &str, locals: &Locals) -> Option<Term> {
        let (_, value) = definition.attributes.iter().rev().find(|(key, _)| key == name)?;
        Some(self.term(value, locals))
    }

    fn term(&self, value: &Attributed<'_>, locals: &Locals) -> Term {
        match value {
            Attributed::Hcl(expression) => self.evaluator.evaluate(expression, locals),
            Attributed::Json(term) => self.evaluator.expanded(term, locals),
        }
    }

    fn group(&self, definition: &Definition<'_>) -> Group {
        let targets = self.attribute(definition, "targets", &Locals::new()).unwrap_or(Term::Null);
        let opaque = targets.passages().iter().any(Passage::is_open);
        Group { name: definition.name.clone(), targets: targets.known_list(), opaque, of_legs: false }
    }

    /// One raw target for each leg of its matrix.
    fn legs(&self, definition: &Definition<'_>) -> Vec<Raw> {
        let matrix = match self.attribute(definition, "matrix", &Locals::new()) {
            Some(Term::Object(pairs)) => pairs,
            _ => Vec::new(),
        };
        let mut legs = vec![Locals::new()];
        for pair in &matrix {
            let Term::List(values) = &pair.value else { continue };
            if legs.len().saturating_mul(values.len()) > MAX_TARGETS {
                legs.clear();
                break;
            }
            let with = |leg: &Locals, value: &Term| {
                let mut leg = leg.clone();
                leg.insert(pair.name.clone(), value.in_matrix(&pair.name));
                leg
            };
            legs = legs.iter().flat_map(|leg| values.iter().map(move |value| with(leg, value))).collect();
        }
        let is_leg = legs.len() > 1 || matrix.iter().any(|it| !matches!(it.value, Term::List(_)));
        legs.iter().map(|locals| self.raw(definition, locals, is_leg)).collect()
    }

    fn raw(&self, definition: &Definition<'_>, locals: &Locals, is_leg: bool) -> Raw {
        let named = self.attribute(definition, "name", locals).and_then(|it| it.known());
        let attributes = definition.attributes.iter().filter(|(key, _)| !matches!(key.as_str(), "matrix" | "name"));
        let attributes = attributes.map(|(key, value)| (key.clone(), self.term(value, locals))).collect();
        Raw { name: named.unwrap_or_else(|| definition.name.clone()), span: definition.span, whole: definition.whole, attributes, is_leg }
    }
}

struct Inheritance<'a> {
    raws: &'a [Raw],
    by_name: &'a BTreeMap<String, usize>,
    /// By index; empty while a target is being resolved, so that a circle ends.
    resolved: BTreeMap<usize, Attributes>,
}

impl Inheritance<'_> {
    /// The attributes of a target with those of its parents; of several parents the later wins.
    fn attributes(&mut self, index: usize, depth: usize) -> Attributes {
        if let Some(resolved) = self.resolved.get(&index) {
            return resolved.clone();
        }
        let Some(raw) = self.raws.get(index).filter(|_| depth < MAX_DEPTH) else { return Attributes::new() };
        self.resolved.insert(index, Attributes::new());
        let mut res = Attributes::new();
        for parent in raw.attributes.get("inherits").map(Term::known_list).unwrap_or_default() {
            if let Some(parent) = self.by_name.get(&parent) {
                res = merged(&res, &self.attributes(*parent, depth + 1));
            }
        }
        let res = merged(&res, &raw.attributes);
        self.resolved.insert(index, res.clone());
        res
    }
}

/// What `later` makes of `earlier`: maps are merged key by key, `cache-from` and `inherits` are added to,
/// all else is replaced (docker/buildx, `Target.Merge` in bake/bake.go).
fn merged(earlier: &Attributes, later: &Attributes) -> Attributes {
    let mut res = earlier.clone();
    for (key, value) in later {
        let value = match (key.as_str(), res.get(key), value) {
            (_, Some(earlier), Term::Null) => earlier.clone(),
            ("args" | "contexts" | "labels", Some(Term::Object(earlier)), Term::Object(later)) => Term::Object(merged_pairs(earlier, later)),
            ("cache-from" | "inherits", Some(Term::List(earlier)), Term::List(later)) => {
                Term::List(earlier.iter().chain(later).take(MAX_INHERITED).cloned().collect())
            }
            _ => value.clone(),
        };
        res.insert(key.clone(), value);
    }
    res
}

/// The pairs of both, where a name is in both the later one. A null takes nothing away.
fn merged_pairs(earlier: &[Pair], later: &[Pair]) -> Vec<Pair> {
    let set = || later.iter().filter(|it| !matches!(it.value, Term::Null));
    let replaced: BTreeSet<&str> = set().map(|it| it.name.as_str()).collect();
    let kept = earlier.iter().filter(|it| !replaced.contains(it.name.as_str()));
    kept.chain(set()).take(MAX_INHERITED).cloned().collect()
}

fn target(raw: &Raw, attributes: &Attributes) -> Target {
    let contexts = attributes.get("contexts").map(pairs).unwrap_or_default();
    let place = |it: &Pair| Some((it.name.clone(), it.value.passage()?.value()));
    let contexts: Vec<(String, Value)> = contexts.iter().filter_map(place).collect();
    let needs = contexts.iter().filter_map(|(_, it)| Some(it.known()?.strip_prefix("target:")?.to_owned())).collect();
    let inherits = raw.attributes.get("inherits").map(Term::known_list).unwrap_or_default();
    let build = Build { contexts, ..build(raw, attributes) };
    let own_exports = raw.attributes.get("cache-to").is_some_and(|it| !matches!(it, Term::Null));
    Target { name: raw.name.clone(), build, inherits, needs, own_exports, is_leg: raw.is_leg }
}

fn pairs(term: &Term) -> Vec<Pair> {
    match term {
        Term::Object(pairs) => pairs.clone(),
        _ => Vec::new(),
    }
}

fn build(raw: &Raw, attributes: &Attributes) -> Build {
    let passage = |name: &str| attributes.get(name).and_then(Term::passage).filter(|it| !it.is_empty());
    let values = |name: &str| attributes.get(name).map(Term::passages).unwrap_or_default().iter().map(Passage::value).collect();
    let is_on = |name: &str| passage(name).is_some_and(|it| it.known() == Some("true"));
    let arguments = attributes.get("args").map(pairs).unwrap_or_default();
    let outputs = attributes.get("output").map(Term::passages).unwrap_or_default();
    let inherits_unknown = attributes.get("inherits").is_some_and(|it| it.passages().iter().any(Passage::is_open));
    let opaque = inherits_unknown || ["args", "contexts"].iter().any(|it| matches!(attributes.get(*it), Some(Term::Text(_) | Term::Either(_))));
    Build {
        span: raw.span,
        whole: raw.whole,
        tool: Tool::BakeTarget,
        name: raw.name.clone(),
        context: passage("context").map_or_else(|| Context::Folder(Value::literal(".", raw.span)), |it| context(&it)),
        dockerfile: passage("dockerfile").map(|it| it.value()),
        inline: passage("dockerfile-inline").is_some(),
        folder: None,
        target: passage("target").map(|it| it.value()),
        arguments: arguments.iter().filter_map(argument).collect(),
        platforms: values("platforms"),
        tags: values("tags"),
        imports: attributes.get("cache-from").map(distinct_entries).unwrap_or_default(),
        exports: attributes.get("cache-to").map(distinct_entries).unwrap_or_default(),
        no_cache: is_on("no-cache") || attributes.get("no-cache-filter").is_some_and(|it| !it.passages().is_empty()),
        push: if outputs.iter().any(|it| it.text().contains("type=registry") || it.text().contains("push=true")) { Some(true) } else { Some(false) },
        contexts: Vec::new(),
        dry: passage("call").is_some_and(|it| it.known().is_some_and(|it| it != "build")),
        opaque,
    }
}

fn argument(pair: &Pair) -> Option<BuildArgument> {
    // `null` takes back what is inherited.
    let value = pair.value.passage()?.value();
    Some(BuildArgument { span: pair.span, name: pair.name.clone(), value: Some(value) })
}

fn context(place: &Passage) -> Context {
    let text = place.text();
    let value = place.value();
    if let Some(rest) = text.strip_prefix("cwd://") {
        return Context::Folder(place.slice(Span::new(text.len() - rest.len(), text.len())).value());
    }
    let remote = ["http://", "https://", "git://", "ssh://", "git@", "github.com/", "docker-image://", "oci-layout://", "target:"];
    let is_remote = remote.iter().any(|it| text.starts_with(it)) || text.contains(".git#") || text.ends_with(".git");
    if is_remote { Context::Foreign(value) } else { Context::Folder(value) }
}

/// The entries, each once: two parents may have inherited the same one.
fn distinct_entries(term: &Term) -> Vec<CacheEntry> {
    let mut res: Vec<CacheEntry> = Vec::new();
    for entry in entries(term) {
        if !res.contains(&entry) {
            res.push(entry);
        }
    }
    res
}

/// Cache entries: texts as on the command line, or objects.
fn entries(term: &Term) -> Vec<CacheEntry> {
    match term {
        Term::Null => Vec::new(),
        Term::Text(passage) => cache::parse(passage),
        Term::List(items) => items.iter().flat_map(entries).collect(),
        Term::Object(pairs) => vec![entry(pairs)],
        Term::Either(choices) => {
            let mut res: Vec<CacheEntry> = choices.iter().flat_map(entries).collect();
            res.iter_mut().for_each(|it| it.conditional = true);
            res
        }
    }
}

fn entry(pairs: &[Pair]) -> CacheEntry {
    let attribute = |it: &Pair| Some(Attribute { span: it.span, name: it.name.to_lowercase(), value: it.value.passage()?.value() });
    let attributes = pairs.iter().filter_map(attribute).collect();
    let span = pairs.iter().map(|it| it.span).reduce(Span::join).unwrap_or_default();
    CacheEntry::of(span, attributes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Backend;
    use crate::volatility::Axis;

    fn target(text: &str, name: &str) -> Target {
        let bake = lower(text);
        assert!(!bake.broken, "{text}");
        bake.targets.into_iter().find(|it| it.name == name).unwrap()
    }

    fn build(text: &str) -> Build {
        target(text, "a").build
    }

    fn folder(context: &Context) -> String {
        match context {
            Context::Folder(value) => value.pattern(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_target_is_a_build() {
        let text = r#"
target "a" {
  context = "./app"
  dockerfile = "Dockerfile.prod"
  target = "prod"
  args = { VERSION = "1", SHA = null }
  platforms = ["linux/amd64", "linux/arm64"]
  tags = ["o/app:latest"]
  cache-from = ["type=gha,scope=a"]
  cache-to = ["type=gha,mode=max,scope=a"]
  contexts = { base = "target:b", src = "../src" }
  output = ["type=registry"]
}
target "b" {}
"#;
        let target = target(text, "a");
        assert_eq!(target.needs, ["b"]);
        assert!(target.own_exports);
        let build = target.build;
        assert_eq!(build.span.of(text), "a");
        assert!(build.whole.of(text).starts_with("target \"a\" {"));
        assert_eq!(folder(&build.context), "./app");
        assert_eq!(build.dockerfile.unwrap().span.of(text), "Dockerfile.prod");
        assert_eq!(build.target.unwrap().span.of(text), "prod");
        assert_eq!(build.arguments.len(), 1);
        assert_eq!(build.arguments[0].span.of(text), "VERSION = \"1\"");
        assert_eq!(build.platforms.len(), 2);
        assert_eq!(build.tags[0].span.of(text), "o/app:latest");
        assert_eq!(build.exports[0].span.of(text), "type=gha,mode=max,scope=a");
        assert_eq!(build.exports[0].attributes[1].span.of(text), "mode=max");
        assert_eq!(build.push, Some(true));
        assert_eq!(folder(&lower(text).targets[1].build.context), ".");
    }

    #[test]
    fn imports_are_inherited_and_added_to_exports_are_replaced() {
        let text = r#"
target "_common" {
  args = { A = "1", B = "1" }
  cache-from = ["type=gha"]
  cache-to = ["type=gha,mode=max"]
}
target "a" {
  inherits = ["_common"]
  args = { B = "2" }
  cache-from = ["type=registry,ref=x"]
}
target "own" {
  inherits = ["_common"]
  cache-to = ["type=inline"]
}
"#;
        let inherited = target(text, "a");
        assert_eq!(inherited.inherits, ["_common"]);
        assert!(!inherited.own_exports);
        assert_eq!(inherited.build.imports.iter().map(|it| it.backend).collect::<Vec<_>>(), [Backend::Gha, Backend::Registry]);
        assert_eq!(inherited.build.exports[0].location().as_deref(), Some("gha:buildkit"));
        let last: Vec<_> = inherited.build.arguments.iter().map(|it| (it.name.as_str(), it.value.as_ref().unwrap().pattern())).collect();
        assert_eq!(last, [("A", "1".to_owned()), ("B", "2".to_owned())]);
        let own = target(text, "own");
        assert_eq!(own.build.exports.len(), 1);
        assert_eq!(own.build.exports[0].backend, Backend::Inline);
        assert!(own.own_exports);
    }

    #[test]
    fn the_later_of_two_parents_wins_with_all_that_it_inherits() {
        let text = "target \"d\" { target = \"d\" }\ntarget \"b\" {\n inherits = [\"d\"]\n target = \"b\"\n}\ntarget \"c\" { inherits = [\"d\"] }\ntarget \"a\" { inherits = [\"b\", \"c\"] }";
        assert_eq!(build(text).target.unwrap().pattern(), "d");
        let shared = text.replace("target = \"d\"", "cache-from = [\"type=gha\"]");
        assert_eq!(build(&shared).imports.len(), 1);
        let circle = "target \"a\" {\n inherits = [\"b\"]\n target = \"x\"\n}\ntarget \"b\" { inherits = [\"a\"] }";
        assert_eq!(build(circle).target.unwrap().pattern(), "x");
    }

    #[test]
    fn variables_have_their_defaults() {
        let text = r#"
variable "TAG" { default = "latest" }
variable "REPO" { default = "o/${NAME}" }
variable "NAME" { default = "app" }
variable "UNSET" {}
target "a" {
  tags = ["${REPO}:${TAG}", UNSET, "${UNSET}:x", lower("ABC"), "a-${timestamp()}"]
}
"#;
        let tags = build(text).tags;
        let known: Vec<_> = tags.iter().map(Value::known).collect();
        assert_eq!(known, [Some("o/app:latest".into()), None, None, Some("abc".into()), None]);
        assert!(tags[1].variance().is_unknown());
        assert!(tags[4].variance().is_per_commit());
        assert_eq!(lower(text).variables[0].default.as_deref(), Some("latest"));
        assert_eq!(lower(text).variables[0].span.of(text), "TAG");
    }

    #[test]
    fn functions_of_the_file_and_of_bake_are_followed() {
        let text = r#"
function "tag" {
  params = [name]
  result = "o/${name}:1"
}
function "tagged" {
  params = ["x"]
  result = ["o/${x}:1", join("-", ["a", x])]
}
target "a" {
  tags = concat(tagged("x"), [format("%s-%d", "a", 1), replace("a/b", "/", "-")])
}
"#;
        assert_eq!(build(text).tags.iter().filter_map(Value::known).collect::<Vec<_>>(), ["o/x:1", "a-x", "a-1", "a-b"]);
    }

    #[test]
    fn a_condition_on_a_variable_leaves_both_ways_open() {
        let text = r#"
variable "CI" { default = "" }
target "a" {
  cache-to = CI != "" ? ["type=gha,mode=max"] : []
  cache-from = [CI == "" ? "type=local,src=x" : "type=gha"]
  platforms = CI == "" ? ["linux/amd64"] : []
  target = true ? "yes" : "no"
}
"#;
        let build = build(text);
        assert_eq!(build.exports.len(), 1);
        assert!(build.exports[0].conditional && !build.exports[0].opaque);
        assert_eq!(build.imports.len(), 2);
        assert_eq!(build.platforms.iter().map(Value::known).collect::<Vec<_>>(), [None]);
        assert_eq!(build.target.unwrap().known().as_deref(), Some("yes"));
    }

    #[test]
    fn a_matrix_makes_a_target_of_each_leg() {
        let text = r#"
target "app" {
  name = "app-${replace(v, ".", "-")}-${item.os}"
  matrix = {
    v = ["1.0", "2.0"]
    item = [{ os = "linux" }]
  }
  args = { V = v }
  cache-to = ["type=gha,scope=app-${v}"]
  context = item.os == "linux" ? "l" : "w"
}
group "default" { targets = ["app"] }
"#;
        let bake = lower(text);
        assert_eq!(bake.targets.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["app-1-0-linux", "app-2-0-linux"]);
        assert!(bake.targets[0].is_leg);
        assert_eq!(bake.targets[0].build.exports[0].location().as_deref(), Some("gha:app-1.0"));
        assert_eq!(bake.targets[1].build.arguments[0].value.as_ref().unwrap().known().as_deref(), Some("2.0"));
        assert_eq!(folder(&bake.targets[0].build.context), "l");
        assert_eq!(bake.select(&[]).len(), 2);
        assert_eq!(bake.select(&["app-1-0-linux".into()]).len(), 1);
    }

    #[test]
    fn legs_without_a_known_name_are_targets_each() {
        let text = "target \"a\" {\n  name = \"a-${md5(v)}\"\n  matrix = { v = [\"x\", \"y\"] }\n  dockerfile = v\n}";
        let bake = lower(text);
        assert_eq!(bake.select(&["a".into()]).iter().map(|it| it.build.dockerfile.as_ref().unwrap().pattern()).collect::<Vec<_>>(), ["x", "y"]);
        assert!(lower("group \"g\" { targets = f(1) }").groups[0].opaque);
        assert!(lower("target \"a\" { inherits = f(1) }").targets[0].build.opaque);
    }

    #[test]
    fn groups_are_opened_and_used_targets_come_along() {
        let text = "group \"default\" { targets = [\"all\"] }\ngroup \"all\" { targets = [\"a\", \"default\"] }\ntarget \"a\" { contexts = { base = \"target:base\" } }\ntarget \"base\" {}\ntarget \"other\" {}";
        let bake = lower(text);
        let names =
            |names: &[&str]| bake.select(&names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()).iter().map(|it| it.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&[]), ["a", "base"]);
        assert_eq!(names(&["other"]), ["other"]);
        assert_eq!(names(&["missing"]), Vec::<String>::new());
    }

    #[test]
    fn a_later_group_takes_the_place_of_one_of_its_name() {
        let selected = |bake: &Bake| bake.select(&[]).iter().map(|it| it.name.clone()).collect::<Vec<_>>().concat();
        let targets = "target \"a\" {}\ntarget \"b\" {}\n";
        let group = |name: &str| format!("group \"default\" {{ targets = [\"{name}\"] }}\n");
        assert_eq!(selected(&lower(&(group("a") + &group("b") + targets))), "b");
        assert_eq!(selected(&Bake::merge([&lower(&(group("a") + targets)), &lower(&group("b"))])), "b");
    }

    #[test]
    fn a_group_hides_a_target_of_its_name() {
        let selected = |text: &str| lower(text).select(&[]).iter().map(|it| it.name.clone()).collect::<Vec<_>>().concat();
        assert_eq!(selected("group \"default\" { targets = [] }\ntarget \"default\" {}"), "");
        assert_eq!(selected("group \"default\" { targets = [\"a\"] }\ntarget \"default\" {}\ntarget \"a\" {}"), "a");
        assert_eq!(selected("group \"default\" { targets = [\"default\"] }\ntarget \"default\" {}"), "default");
    }

    #[test]
    fn blocks_of_one_target_inherit_what_each_names() {
        let bake = lower(
            "target \"a\" { inherits = [\"b\"] }\ntarget \"a\" {\n  inherits = [\"c\"]\n  args = { X = null }\n}\ntarget \"b\" { args = { X = \"1\" } }\ntarget \"c\" { target = \"t\" }",
        );
        let build = &bake.targets[0].build;
        assert_eq!(build.target.as_ref().unwrap().pattern(), "t");
        assert_eq!(build.arguments.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["X"]);
    }

    #[test]
    fn a_later_file_adds_to_targets() {
        let first = lower(
            "group \"default\" { targets = [\"a\"] }\ntarget \"base\" { cache-to = [\"type=gha\"] }\ntarget \"a\" {\n  inherits = [\"base\"]\n  args = { X = \"1\", Y = \"1\" }\n  tags = [\"o/a:1\"]\n}",
        );
        let second = lower(
            "group \"default\" { targets = [\"b\", \"a\"] }\ntarget \"base\" { cache-to = [\"type=inline\"] }\ntarget \"a\" { args = { Y = \"2\" } }\ntarget \"b\" {}",
        );
        let both = Bake::merge([&first, &second]);
        assert_eq!(both.select(&[]).iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        let build = &both.targets.iter().find(|it| it.name == "a").unwrap().build;
        assert_eq!(build.exports[0].backend, Backend::Inline);
        let arguments: Vec<_> = build.arguments.iter().map(|it| (it.name.as_str(), it.value.as_ref().unwrap().pattern())).collect();
        assert_eq!(arguments, [("X", "1".to_owned()), ("Y", "2".to_owned())]);
        assert_eq!(build.tags.len(), 1);
        let other = Bake::merge([&second, &first]);
        assert_eq!(other.targets.iter().find(|it| it.name == "a").unwrap().build.exports[0].backend, Backend::Gha);
        assert!(Bake::merge([&lower("{"), &first]).broken);
    }

    #[test]
    fn files_of_equal_length_are_not_taken_for_legs() {
        let (first, second) = (lower("target \"a\" { context = \"x\" }"), lower("target \"a\" { context = \"y\" }"));
        let both = Bake::merge([&first, &second]);
        assert_eq!(both.targets.iter().map(|it| folder(&it.build.context)).collect::<Vec<_>>(), ["y"]);
        let legs = lower("target \"a\" {\n  name = \"a-${md5(v)}\"\n  matrix = { v = [\"x\", \"y\"] }\n}");
        assert_eq!(Bake::merge([&legs]).targets.len(), 2);
    }

    #[test]
    fn entries_may_be_objects() {
        let text = "target \"a\" {\n  cache-to = [{ type = \"gha\", mode = \"max\" }]\n}";
        let entry = &build(text).exports[0];
        assert_eq!(entry.backend, Backend::Gha);
        assert_eq!(entry.attributes[1].span.of(text), "mode = \"max\"");
        assert_eq!(entry.span.of(text), "type = \"gha\", mode = \"max\"");
    }

    #[test]
    fn contexts_and_inline_dockerfiles_are_told_apart() {
        assert_eq!(folder(&build("target \"a\" { context = \"cwd://x\" }").context), "x");
        assert!(matches!(build("target \"a\" { context = \"https://x/y.git\" }").context, Context::Foreign(_)));
        assert!(build("target \"a\" {\n  dockerfile-inline = <<EOT\nFROM x\nEOT\n}").inline);
        assert!(build("target \"a\" { no-cache = true }").no_cache);
        assert!(build("target \"a\" { call = \"check\" }").dry);
    }

    #[test]
    fn json_is_read_with_its_places() {
        let text = r#"{"variable": {"TAG": {"default": "1"}}, "group": {"default": {"targets": ["a"]}},
            "target": {"a": {"context": "app", "tags": ["o/a:${TAG}"], "cache-to": ["type=gha,scope=${UNSET}", "type=gha,mode=max"], "args": {"X": "1", "Y": null}, "no-cache": true}}}"#;
        let build = build(text);
        assert_eq!(folder(&build.context), "app");
        assert_eq!(build.tags[0].known().as_deref(), Some("o/a:1"));
        assert_eq!(build.exports[0].backend, Backend::Gha);
        assert!(build.exports[0].attributes[1].value.known().is_none());
        assert_eq!(build.arguments.len(), 1);
        assert!(build.no_cache);
        assert_eq!(build.span.of(text), "a");
        assert_eq!(build.arguments[0].span.of(text), "\"X\": \"1\"");
        assert_eq!(build.exports[0].span.of(text), "type=gha,scope=${UNSET}");
        assert_eq!(build.exports[1].attributes[1].span.of(text), "mode=max");
        assert_eq!(lower(text).select(&[]).len(), 1);
        assert_eq!(lower(text).variables[0].span.of(text), "TAG");
    }

    #[test]
    fn a_matrix_of_json_has_its_own_legs() {
        let text = r#"{"target": {"a": {"name": "a-${v}", "matrix": {"v": ["x", "y"]}, "context": "${v}"}, "b": {"name": "b-${v}", "matrix": {"v": ["x"]}}}}"#;
        let bake = lower(text);
        assert_eq!(bake.select(&["a".into()]).iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["a-x", "a-y"]);
        assert_eq!(folder(&bake.targets[1].build.context), "y");
    }

    #[test]
    fn variables_that_the_runner_sets_vary() {
        let text = "variable \"GITHUB_SHA\" { default = \"dev\" }\nvariable \"GITHUB_REF_NAME\" {}\ntarget \"a\" { tags = [\"x:${GITHUB_SHA}\", \"x:${GITHUB_REF_NAME}\"] }";
        let tags = build(text).tags;
        assert!(tags[0].variance().has(&Axis::Commit) && tags[1].variance().has(&Axis::Ref));
    }

    #[test]
    fn comments_and_what_they_stand_above_are_found() {
        let text = "# top\ntarget \"a\" {\n  dockerfile-inline = <<-EOT\n  # not one\n  EOT\n  # one\n  cache-to = [\n    # two\n    \"type=gha\",\n  ] # no line of its own\n}\n";
        let bake = lower(text);
        assert_eq!(bake.comments.iter().map(|it| it.of(text)).collect::<Vec<_>>(), ["# top", "# one", "# two"]);
        assert!(bake.nodes.iter().any(|it| it.of(text) == "\"type=gha\""));
        assert!(bake.nodes.iter().any(|it| it.of(text).starts_with("target \"a\" {")));
    }

    #[test]
    fn a_target_that_is_written_twice_is_one() {
        let text = "target \"a\" {\n  target = \"x\"\n  cache-from = [\"a\"]\n}\ntarget \"a\" {\n  target = \"y\"\n  cache-from = [\"b\"]\n}";
        let bake = lower(text);
        assert_eq!(bake.targets.len(), 1);
        assert_eq!(bake.targets[0].build.target.as_ref().unwrap().pattern(), "y");
        assert_eq!(bake.targets[0].build.imports.len(), 2);
    }

    #[test]
    fn what_cannot_be_read_is_broken_and_nothing_more() {
        for text in ["target \"a\" {", "{\"target\": ", "target \"a\" { context = }", "[]"] {
            assert!(lower(text).broken, "{text}");
        }
        for text in ["", "{}", "# x", "target {}", "x = 1"] {
            assert!(!lower(text).broken, "{text}");
            assert!(lower(text).targets.is_empty(), "{text}");
        }
    }

    #[test]
    fn hostile_files_end_soon() {
        let deep = format!("target \"a\" {{ context = {}\"x\"{} }}", "(".repeat(10_000), ")".repeat(10_000));
        assert!(lower(&deep).broken);
        lower(&format!("target \"a\" {{ context = {}\"x\"{} }}", "(".repeat(60), ")".repeat(60)));
        lower(&format!("target \"a\" {{ context = \"{}x{}\" }}", "${\"".repeat(60), "\"}".repeat(60)));
        let doubling: String = (0..64).map(|it| format!("v{} = \"${{v{it}}}${{v{it}}}\"\n", it + 1)).collect();
        lower(&format!("v0 = \"x\"\n{doubling}target \"a\" {{ context = v64 }}"));
        lower("v = v\nw = x\nx = w\ntarget \"a\" {\n  context = v\n  target = x\n}");
        lower("function \"f\" {\n params = [x]\n result = \"${f(x)}${f(x)}\"\n}\ntarget \"a\" { context = f(1) }");
        let nested =
            format!("function \"f\" {{\n params = [\"x\"]\n result = concat(x, x)\n}}\ntarget \"a\" {{ tags = {}[\"x\"]{} }}", "f(".repeat(50), ")".repeat(50));
        assert!(!lower(&nested).broken);
        let chain: String = (2..300)
            .map(|it| format!("target \"t{it}\" {{\n inherits = [\"t{}\", \"t{}\"]\n args = {{ a{it} = 1 }}\n cache-from = [\"x\"]\n}}\n", it - 1, it - 2))
            .collect();
        assert_eq!(lower(&chain).targets.len(), 298);
        let list = (0..40).map(|it| format!("\"{it}\"")).collect::<Vec<_>>().join(",");
        lower(&format!("target \"a\" {{\n name = \"a${{x}}\"\n matrix = {{ x = [{list}], y = [{list}], z = [{list}] }}\n}}"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(pieces in proptest::collection::vec(proptest::sample::select(vec![
            "target \"a\" {\n", "}\n", "context = ", "\"x\"", "\"${", "}\"", "[", "]", "x", " ? ", " : ", "cache-to = ", "matrix = { v = [1] }\n", "\n", "inherits = [\"a\"]\n", "(", ")", "é", "<<EOT\n", "EOT\n",
        ]), 0..20)) {
            lower(&pieces.concat());
        }
    }
}
