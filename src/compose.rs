//! Compose files: services that are built, as builds.
//!
//! Merge keys, aliases and `extends` inside the file are followed; other files are not, but for those
//! that one call names together ([`Compose::merge`]). `${NAME}` and `${NAME:-default}` are
//! expressions: the environment and `.env` decide. The folder of a build is not known here: it is
//! that of the file.

use crate::build::{Attribute, Attributes, Build, BuildArgument, Context, Draft, Pair, Tool};
use crate::cache::{self, CacheEntry};
use crate::edit::Span;
use crate::syntax::Mapped;
use crate::syntax::yaml::{Entry, Kind, Node, Source};
use crate::value::{Part, Passage, Value};
use crate::volatility::{self, Axis, Variance};
use std::collections::{BTreeMap, BTreeSet};

/// More services than any file has.
const MAX_SERVICES: usize = 1024;
/// Services that extend each other.
const MAX_EXTENDS: usize = 16;
/// More items than any list has; keeps what is extended from growing with each service.
const MAX_ITEMS: usize = 256;

/// A compose file, or several that are read as one.
#[derive(Debug, Clone, Default)]
pub struct Compose {
    /// The services that are built, in order.
    pub services: Vec<Service>,
    /// All services, as they are written.
    raws: Vec<Raw>,
    /// Something is described in other files (`include`).
    open: bool,
}

/// A service that is built.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What it builds.
    pub build: Build,
    /// It is left out unless its profile or its name is asked for.
    profiled: bool,
    /// A part of it is described in another file (`extends` with a `file`).
    open: bool,
}

/// A service as one file, or each of several, writes it.
#[derive(Debug, Clone)]
struct Raw {
    name: String,
    span: Span,
    whole: Span,
    /// The services that it starts before itself.
    needed: Vec<String>,
    profiled: bool,
    open: bool,
    image: Option<Passage>,
    /// Nothing where no file says that it is built.
    section: Option<Section>,
}

/// What `build` says.
#[derive(Debug, Clone, Default)]
struct Section {
    own: Attributes,
    /// What `x-bake` adds, which bake alone reads.
    of_bake: Attributes,
}

impl Compose {
    /// Several files as one call reads them, one after the other: a service that is in two of them
    /// is one, in which the later file wins; lists are added to.
    pub fn merge<'a>(files: impl IntoIterator<Item = &'a Compose>) -> Compose {
        let mut res = Compose::default();
        for file in files {
            for raw in &file.raws {
                if let Some(known) = res.raws.iter_mut().find(|it| it.name == raw.name) {
                    known.add(raw.clone());
                } else if res.raws.len() < MAX_SERVICES {
                    res.raws.push(raw.clone());
                }
            }
            res.open |= file.open;
        }
        res.built()
    }

    /// As compose itself builds it: without `x-bake`, and with the image among the tags (docker/compose,
    /// pkg/compose/build_bake.go).
    pub fn without_bake(mut self) -> Compose {
        for raw in &mut self.raws {
            let Some(section) = &mut raw.section else { continue };
            section.of_bake.clear();
            let image = raw.image.iter().map(|it| ("tags", Attribute::List(vec![it.clone()])));
            add(&mut section.own, image.collect());
        }
        self.built()
    }

    /// With the services that are built.
    fn built(self) -> Compose {
        Compose { services: self.raws.iter().filter_map(Raw::service).collect(), ..self }
    }

    /// The services that are built when somebody asks for `names`, or for all that have no profile;
    /// with those that they start before themselves where `with_needed`. `None` where one of them
    /// is not described here, or not wholly.
    pub fn select(&self, names: &[String], with_needed: bool) -> Option<Vec<&Service>> {
        let described: BTreeMap<&str, &Raw> = self.raws.iter().map(|it| (it.name.as_str(), it)).collect();
        if self.open || names.iter().any(|it| !described.contains_key(it.as_str())) {
            return None;
        }
        let mut wanted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        if names.is_empty() {
            wanted.extend(self.services.iter().filter(|it| !it.profiled).map(|it| it.name.as_str()));
        }
        let mut open: Vec<&str> = wanted.iter().copied().filter(|_| with_needed).collect();
        while let Some(name) = open.pop() {
            let needed = described.get(name).into_iter().flat_map(|it| &it.needed).map(String::as_str);
            open.extend(needed.filter(|it| wanted.insert(it)));
        }
        let res: Vec<&Service> = self.services.iter().filter(|it| wanted.contains(it.name.as_str())).collect();
        (!res.iter().any(|it| it.open)).then_some(res)
    }

    /// The services that are built as bake reads them, whatever their profiles. `None` where there may be
    /// others.
    pub fn drafts(&self) -> Option<Vec<Draft>> {
        (!self.open).then(|| self.raws.iter().filter_map(Raw::draft).collect())
    }
}

impl Raw {
    /// Takes in what a later file says of it.
    fn add(&mut self, later: Raw) {
        if self.section.is_none() && later.section.is_some() {
            (self.span, self.whole) = (later.span, later.whole);
        }
        if let Some(section) = later.section {
            self.section.get_or_insert_default().add(section);
        }
        self.image = later.image.or(self.image.take());
        self.needed.extend(later.needed);
        self.profiled |= later.profiled;
        self.open |= later.open;
    }

    fn service(&self) -> Option<Service> {
        let build = build(self, &self.attributes()?);
        Some(Service { name: self.name.clone(), build, profiled: self.profiled, open: self.open })
    }

    /// What it says of its build, with what it says to bake (docker/buildx, `ParseCompose` and `composeExtTarget` in
    /// bake/compose.go): `x-bake` adds to lists, and its named contexts stand back behind those of the service. A `no_cache`
    /// that is false says nothing.
    fn attributes(&self) -> Option<Attributes> {
        let section = self.section.as_ref()?;
        let mut res = section.own.clone();
        res.retain(|name, it| *name != "no-cache" || !matches!(it, Attribute::Text(text) if text.known() == Some("false")));
        let mut of_bake = section.of_bake.clone();
        for (_, value) in of_bake.iter_mut().filter(|(name, _)| **name != "no-cache") {
            if let Attribute::Text(text) = value {
                *value = Attribute::List(words(text));
            }
        }
        if let (Some(Attribute::Pairs(own)), Some(Attribute::Pairs(added))) = (res.get("contexts"), of_bake.get_mut("contexts")) {
            let known: BTreeSet<&str> = own.iter().map(|it| it.name.as_str()).collect();
            added.retain(|it| !known.contains(it.name.as_str()));
        }
        add(&mut res, of_bake);
        if let (Some(image), None) = (&self.image, res.get("tags").filter(|it| !it.is_empty())) {
            res.insert("tags", Attribute::List(vec![image.clone()]));
        }
        res.retain(|name, it| !it.is_empty() || matches!(*name, "tags" | "platforms"));
        res.entry("context").or_insert_with(|| Attribute::Text(literal(".", self.span)));
        Some(res)
    }

    fn draft(&self) -> Option<Draft> {
        let mut attributes = self.attributes()?;
        if let Some(Attribute::Pairs(contexts)) = attributes.get_mut("contexts") {
            contexts.iter_mut().filter_map(|it| it.value.as_mut()).for_each(|it| {
                if let Some(name) = it.known().and_then(|it| it.strip_prefix("service:").or_else(|| it.strip_prefix("target:"))) {
                    *it = literal(&format!("target:{}", target_name(name)), it.span());
                }
            });
        }
        Some(Draft { name: target_name(&self.name), span: self.span, whole: self.whole, attributes, open: self.open })
    }
}

impl Section {
    fn add(&mut self, later: Section) {
        add(&mut self.own, later.own);
        add(&mut self.of_bake, later.of_bake);
    }
}

/// What bake calls a service, whose name may have dots (docker/buildx, `sanitizeTargetName` in bake/bake.go).
pub fn target_name(service: &str) -> String {
    service.replace('.', "_")
}

/// Takes in what stands behind it: lists are added to, pairs of the same name and all else replaced
/// (compose-spec/compose-go, override/merge.go and override/uncity.go).
fn add(attributes: &mut Attributes, later: Attributes) {
    for (name, value) in later {
        match (attributes.get_mut(name), value) {
            (Some(Attribute::List(known)), Attribute::List(added)) => {
                known.extend(added);
                known.truncate(MAX_ITEMS);
            }
            (Some(Attribute::Pairs(known)), Attribute::Pairs(added)) => {
                let replaced: BTreeSet<&str> = added.iter().map(|it| it.name.as_str()).collect();
                known.retain(|it| !replaced.contains(it.name.as_str()));
                known.extend(added);
                known.truncate(MAX_ITEMS);
            }
            (_, value) => drop(attributes.insert(name, value)),
        }
    }
}

/// Reads a compose file.
pub fn lower(source: &Source) -> Compose {
    let Some(root) = source.root() else { return Compose::default() };
    let open = root.get("include").is_some();
    let Some(services) = root.get("services") else { return Compose { open, ..Compose::default() } };
    let entries = services.entries().iter().filter(|it| it.key != "<<").take(MAX_SERVICES);
    // A merge key of the services brings some that are not listed.
    let open = open || services.entries().iter().any(|it| it.key == "<<");
    Compose { raws: entries.map(|it| raw(services, it)).collect(), open, ..Compose::default() }.built()
}

/// The services of `depends_on`.
fn needed(service: &Node) -> Vec<String> {
    let Some(node) = service.get("depends_on") else { return Vec::new() };
    match node.entries() {
        [] => node.items().iter().filter_map(|it| Some(it.text()?.to_owned())).collect(),
        pairs => pairs.iter().map(|it| it.key.to_string()).collect(),
    }
}

fn raw(services: &Node, entry: &Entry) -> Raw {
    let chain = extended(services, &entry.value);
    let mut section: Option<Section> = None;
    // What a service says itself counts before what it extends.
    for later in chain.iter().rev().filter_map(|it| it.get("build")).filter_map(self::section) {
        section.get_or_insert_default().add(later);
    }
    Raw {
        name: entry.key.to_string(),
        span: entry.key_span,
        whole: entry.span,
        needed: needed(&entry.value),
        profiled: chain.first().and_then(|it| it.get("profiles")).is_some_and(|it| !it.items().is_empty()),
        open: chain.last().and_then(|it| it.get("extends")).is_some_and(|it| it.get("file").is_some()),
        image: chain.iter().find_map(|it| it.get("image")).and_then(passage).filter(|it| !it.is_empty()),
        section,
    }
}

/// The service and those it extends, nearest first.
fn extended<'a>(services: &'a Node, service: &'a Node) -> Vec<&'a Node> {
    let mut res = vec![service];
    let mut here = service;
    while res.len() < MAX_EXTENDS {
        let Some(extends) = here.get("extends") else { break };
        // Another file may say anything; what this one says stands.
        if extends.get("file").is_some() {
            break;
        }
        let name = extends.text().or_else(|| extends.get("service").and_then(Node::text));
        let Some(next) = name.and_then(|it| services.get(it)) else { break };
        if res.iter().any(|it| std::ptr::eq(*it, next)) {
            break;
        }
        res.push(next);
        here = next;
    }
    res
}

/// How an attribute is written.
#[derive(Clone, Copy)]
enum Form {
    Text,
    /// A list of texts, or one text.
    List,
    /// A list of texts, or texts in one with white space between them, which takes the place of an earlier one.
    Words,
    Pairs,
}

/// The keys of `build`, with bake's names of them.
const KEYS: &[(&str, &str, Form)] = &[
    ("context", "context", Form::Text),
    ("dockerfile", "dockerfile", Form::Text),
    ("dockerfile_inline", "dockerfile-inline", Form::Text),
    ("target", "target", Form::Text),
    ("no_cache", "no-cache", Form::Text),
    ("platforms", "platforms", Form::List),
    ("tags", "tags", Form::List),
    ("cache_from", "cache-from", Form::List),
    ("cache_to", "cache-to", Form::List),
    ("args", "args", Form::Pairs),
    ("additional_contexts", "contexts", Form::Pairs),
];

/// The keys of `x-bake`.
const BAKE_KEYS: &[(&str, &str, Form)] = &[
    ("no-cache", "no-cache", Form::Text),
    ("no-cache-filter", "no-cache-filter", Form::Words),
    ("platforms", "platforms", Form::Words),
    ("tags", "tags", Form::Words),
    ("cache-from", "cache-from", Form::Words),
    ("cache-to", "cache-to", Form::Words),
    ("output", "output", Form::Words),
    ("contexts", "contexts", Form::Pairs),
];

fn section(node: &Node) -> Option<Section> {
    if is_null(node) {
        return None;
    }
    // `build: ./folder`
    if node.text().is_some() {
        let context = passage(node).map(|it| ("context", Attribute::Text(it)));
        return Some(Section { own: context.into_iter().collect(), ..Section::default() });
    }
    let of_bake = node.get("x-bake").map(|it| attributes(it, BAKE_KEYS)).unwrap_or_default();
    Some(Section { own: attributes(node, KEYS), of_bake })
}

fn is_null(node: &Node) -> bool {
    matches!(node.resolved().kind, Kind::Null)
}

fn attributes(node: &Node, keys: &[(&str, &'static str, Form)]) -> Attributes {
    let attribute = |(key, name, form): &(&str, &'static str, Form)| {
        let value = node.get(key).filter(|it| !is_null(it))?;
        let value = match form {
            Form::Text => Attribute::Text(passage(value)?),
            Form::List => Attribute::List(items(value)),
            Form::Words if value.scalar().is_some() => Attribute::Text(passage(value)?),
            Form::Words => Attribute::List(items(value)),
            Form::Pairs => Attribute::Pairs(pairs(value)),
        };
        Some((*name, value))
    };
    keys.iter().filter_map(attribute).collect()
}

fn build(raw: &Raw, attributes: &Attributes) -> Build {
    let text = |name: &str| match attributes.get(name) {
        Some(Attribute::Text(passage)) => Some(passage),
        _ => None,
    };
    let list = |name: &str| match attributes.get(name) {
        Some(Attribute::List(items)) => items.as_slice(),
        _ => &[],
    };
    let pairs = |name: &str| match attributes.get(name) {
        Some(Attribute::Pairs(pairs)) => pairs.as_slice(),
        _ => &[],
    };
    let values = |name: &str| list(name).iter().map(Passage::value).collect();
    let argument = |it: &Pair| BuildArgument { span: it.span, name: it.name.clone(), value: it.value.as_ref().map(Passage::value) };
    let named_context = |it: &Pair| Some((it.name.clone(), it.value.as_ref()?.value()));
    Build {
        span: raw.span,
        whole: raw.whole,
        tool: Tool::ComposeService,
        name: raw.name.clone(),
        context: text("context").map_or_else(|| Context::Folder(Value::literal(".", raw.span)), context),
        dockerfile: text("dockerfile").map(Passage::value),
        inline: text("dockerfile-inline").is_some(),
        folder: None,
        target: text("target").map(Passage::value),
        arguments: pairs("args").iter().map(argument).collect(),
        platforms: values("platforms"),
        tags: values("tags"),
        imports: entries(list("cache-from")),
        exports: entries(list("cache-to")),
        no_cache: text("no-cache").is_some_and(|it| it.known() == Some("true")) || !list("no-cache-filter").is_empty(),
        push: Some(false),
        contexts: pairs("contexts").iter().filter_map(named_context).collect(),
        dry: false,
        opaque: false,
    }
}

fn context(place: &Passage) -> Context {
    let text = place.text();
    let remote = ["http://", "https://", "git://", "ssh://", "git@", "github.com/"];
    let is_remote = remote.iter().any(|it| text.starts_with(it)) || text.contains(".git#") || text.ends_with(".git");
    if is_remote { Context::Foreign(place.value()) } else { Context::Folder(place.value()) }
}

fn entries(records: &[Passage]) -> Vec<CacheEntry> {
    records.iter().flat_map(cache::parse).collect()
}

/// The texts of a list; a text is a list of one.
fn items(node: &Node) -> Vec<Passage> {
    match node.items() {
        [] => passage(node).into_iter().filter(|it| !it.is_empty()).collect(),
        items => items.iter().filter_map(passage).take(MAX_ITEMS).collect(),
    }
}

/// The words of a text.
fn words(text: &Passage) -> Vec<Passage> {
    text.lines().iter().flat_map(|it| it.split(' ')).map(|it| it.trim()).filter(|it| !it.is_empty()).collect()
}

/// `NAME: value` of a mapping, or `NAME=value` of a list.
fn pairs(node: &Node) -> Vec<Pair> {
    let pair = |it: &Entry| Pair { span: it.span, name: it.key.to_string(), value: passage(&it.value) };
    let item = |it: &Node| {
        let passage = passage(it)?;
        let (name, value) = passage.split_once('=').map_or((passage.clone(), None), |(name, value)| (name, Some(value)));
        Some(Pair { span: passage.span(), name: name.known()?.to_owned(), value })
    };
    match node.entries() {
        [] => node.items().iter().filter_map(item).take(MAX_ITEMS).collect(),
        pairs => pairs.iter().filter(|it| it.key != "<<").map(pair).take(MAX_ITEMS).collect(),
    }
}

/// A text that stands nowhere, in the place of what `span` leaves out.
fn literal(text: &str, span: Span) -> Passage {
    let mut res = Passage::new(span);
    res.push_text(text, span);
    res
}

/// A scalar with its `${NAME}`.
fn passage(node: &Node) -> Option<Passage> {
    let scalar = &node.scalar()?.value;
    Some(interpolated(scalar, node.span))
}

/// Finds `$NAME`, `${NAME}` and `${NAME:-default}`; `$$` is a dollar sign.
fn interpolated(text: &Mapped, span: Span) -> Passage {
    let mut res = Passage::new(span);
    let mut start = 0;
    let mut at = 0;
    while let Some(found) = text.text.get(at..).and_then(|it| it.find('$')) {
        at += found;
        let rest = &text.text[at + 1..];
        let name_length = |it: &str| it.bytes().take_while(|it| it.is_ascii_alphanumeric() || *it == b'_').count();
        let (length, source) = match rest.as_bytes().first() {
            Some(b'$') => {
                res.push_mapped(&text.slice(Span::new(start, at + 1)));
                at += 2;
                start = at;
                continue;
            }
            Some(b'{') => match rest.find('}') {
                Some(end) => (end + 2, &rest[1..end]),
                None => break,
            },
            _ => (name_length(rest) + 1, &rest[..name_length(rest)]),
        };
        if source.is_empty() {
            at += 1;
            continue;
        }
        res.push_mapped(&text.slice(Span::new(start, at)));
        let part = Part::Expression {
            span: text.span(Span::new(at, at + length)),
            source: format!("${{{source}}}"),
            known: default(source).map(str::to_owned),
            variance: variance(source),
        };
        res.push_expression(part, Vec::new());
        at += length;
        start = at;
    }
    res.push_mapped(&text.slice(Span::new(start, text.text.len())));
    res.fitted()
}

/// What a variable varies with: those that every runner sets, with what they do.
fn variance(source: &str) -> Variance {
    let name = source.bytes().take_while(|it| it.is_ascii_alphanumeric() || *it == b'_').count();
    source.get(..name).and_then(volatility::of_runner).map_or_else(|| Variance::over(Axis::Unknown), Variance::over)
}

/// What a variable stands for where nobody sets it: `${NAME:-default}`, `${NAME-default}`.
fn default(source: &str) -> Option<&str> {
    let name = source.bytes().take_while(|it| it.is_ascii_alphanumeric() || *it == b'_').count();
    let rest = source.get(name..).filter(|_| volatility::of_runner(&source[..name]).is_none())?;
    rest.strip_prefix(":-").or_else(|| rest.strip_prefix('-')).filter(|it| !it.contains('$'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Backend;
    use crate::syntax::yaml;
    use crate::text::{Document, Language};

    fn file(text: &str) -> Compose {
        let document = Document::new(Language::Yaml, text);
        lower(&yaml::read(text, document.tree().unwrap()))
    }

    fn services(text: &str) -> Vec<Service> {
        file(text).services
    }

    fn one(build: &str) -> Build {
        services(&format!("services:\n  app:\n    build: {build}\n")).remove(0).build
    }

    fn folder(build: &Build) -> String {
        match &build.context {
            Context::Folder(value) => value.pattern(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_service_is_built_if_it_says_so() {
        let text = "services:\n  db: {image: postgres}\n  app: {build: ./app}\n  web:\n    image: o/web\n    build:\n      context: web\n      dockerfile: Dockerfile.prod\n      target: prod\n      args: {A: 1, B: }\n      platforms: [linux/amd64]\n      cache_from: [type=gha]\n      cache_to: ['type=gha,mode=max']\n      no_cache: true\n  none: {build: }\n";
        let services = services(text);
        assert_eq!(services.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["app", "web"]);
        assert_eq!(folder(&services[0].build), "./app");
        let build = &services[1].build;
        assert_eq!(build.span.of(text), "web");
        assert!(build.whole.of(text).starts_with("web:\n"));
        assert_eq!(folder(build), "web");
        assert_eq!(build.dockerfile.as_ref().unwrap().span.of(text), "Dockerfile.prod");
        assert_eq!(build.target.as_ref().unwrap().pattern(), "prod");
        assert_eq!(build.arguments.iter().map(|it| (it.name.as_str(), it.value.is_some())).collect::<Vec<_>>(), [("A", true), ("B", false)]);
        assert_eq!(build.tags[0].pattern(), "o/web");
        assert_eq!(build.imports[0].backend, Backend::Gha);
        assert_eq!(build.exports[0].attributes[1].span.of(text), "mode=max");
        assert!(build.no_cache);
    }

    #[test]
    fn arguments_may_be_a_list() {
        let build = one("{args: [A=1, B, 'C=${X}']}");
        assert_eq!(
            build.arguments.iter().map(|it| (it.name.as_str(), it.value.as_ref().and_then(Value::known))).collect::<Vec<_>>(),
            [("A", Some("1".to_owned())), ("B", None), ("C", None)]
        );
        assert_eq!(folder(&build), ".");
    }

    #[test]
    fn variables_have_their_defaults() {
        let cases = [
            ("${D:-app}", Some("app")),
            ("${D-app}/x", Some("app/x")),
            ("$D", None),
            ("${D}", None),
            ("a$$b", Some("a$b")),
            ("${D:?x}", None),
            ("a$", Some("a$")),
            ("${D", Some("${D")),
        ];
        for (text, expected) in cases {
            let build = one(&format!("{{context: '{text}'}}"));
            let Context::Folder(value) = build.context else { panic!("{text}") };
            assert_eq!(value.known().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn merge_keys_and_extended_services_are_followed() {
        let text = "x-build: &b\n  context: shared\n  cache_from: [type=gha]\nservices:\n  a:\n    build:\n      <<: *b\n      target: a\n  base:\n    image: o/base\n    build: {context: base, args: {A: 1}, cache_from: [x]}\n  c:\n    extends: {service: base}\n    build: {target: c, args: {B: 2}}\n  d: {extends: c}\n  e: {extends: {file: other.yaml, service: e}}\n  f: {extends: f, build: .}\n";
        let services = services(text);
        let named = |name: &str| &services.iter().find(|it| it.name == name).unwrap().build;
        assert_eq!((folder(named("a")), named("a").imports.len()), ("shared".into(), 1));
        assert_eq!((folder(named("c")), named("c").target.as_ref().unwrap().pattern()), ("base".into(), "c".into()));
        assert_eq!(named("c").arguments.len(), 2);
        assert_eq!(named("d").target.as_ref().unwrap().pattern(), "c");
        assert_eq!(named("d").imports.len(), 1);
        assert!(services.iter().all(|it| it.name != "e"));
        assert_eq!(folder(named("f")), ".");
    }

    fn patterns(values: &[Value]) -> Vec<String> {
        values.iter().map(Value::pattern).collect()
    }

    #[test]
    fn what_bake_is_told_is_added() {
        let text = "services:\n  app:\n    image: o/app\n    build: {cache_to: [type=inline], additional_contexts: {a: b}, x-bake: {cache-to: ['type=gha,mode=max'], tags: 'o/app:1 o/b', no-cache: true, contexts: {a: c, d: e}}}\n";
        let both = file(text);
        let build = &both.services[0].build;
        assert_eq!(build.exports.iter().map(|it| it.backend).collect::<Vec<_>>(), [Backend::Inline, Backend::Gha]);
        assert_eq!(patterns(&build.tags), ["o/app:1", "o/b"]);
        assert_eq!(build.contexts.iter().map(|(name, it)| format!("{name}={}", it.pattern())).collect::<Vec<_>>(), ["a=b", "d=e"]);
        assert!(build.no_cache);
        let without = both.without_bake();
        let build = &without.services[0].build;
        assert_eq!((build.exports.len(), patterns(&build.tags), build.no_cache), (1, vec!["o/app".to_owned()], false));
        let tagged = file("services:\n  app: {image: o/app, build: {tags: [o/b]}}\n");
        assert_eq!((patterns(&tagged.services[0].build.tags).len(), patterns(&tagged.without_bake().services[0].build.tags).len()), (1, 2));
        assert!(!one("{no_cache: true, x-bake: {no-cache: false}}").no_cache);
    }

    #[test]
    fn a_draft_says_what_is_written() {
        let text = "services:\n  my.app:\n    profiles: [x]\n    build: {tags: [], platforms: [], cache_to: [], target: '', no_cache: false, args: [A], additional_contexts: {a: 'service:b.c', d: ../d}}\n  db: {image: x}\n";
        let drafts = file(text).drafts().unwrap();
        assert_eq!(drafts.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["my_app"]);
        assert_eq!(drafts[0].attributes.keys().copied().collect::<Vec<_>>(), ["args", "context", "contexts", "platforms", "tags"]);
        let Attribute::Pairs(contexts) = &drafts[0].attributes["contexts"] else { panic!() };
        assert_eq!(contexts.iter().map(|it| it.value.as_ref().unwrap().text()).collect::<Vec<_>>(), ["target:b_c", "../d"]);
        assert!(file("include: [x.yaml]\nservices: {a: {build: .}}\n").drafts().is_none());
        assert!(file("services: {a: {build: ., extends: {file: x.yaml, service: y}}}\n").drafts().unwrap()[0].open);
    }

    #[test]
    fn contexts_and_inline_dockerfiles_are_told_apart() {
        assert!(matches!(one("https://github.com/o/r.git").context, Context::Foreign(_)));
        assert!(one("{dockerfile_inline: 'FROM x'}").inline);
        assert_eq!(one("{additional_contexts: {base: ../base}}").contexts[0].0, "base");
        assert_eq!(one("{additional_contexts: [base=../base]}").contexts[0].1.pattern(), "../base");
    }

    fn selected(compose: &Compose, names: &[&str], with_needed: bool) -> Option<Vec<String>> {
        let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
        Some(compose.select(&names, with_needed)?.iter().map(|it| it.name.clone()).collect())
    }

    #[test]
    fn all_services_are_built_but_those_with_a_profile() {
        let compose = file(
            "services:\n  db: {image: x, depends_on: [tool]}\n  app: {build: ., depends_on: {db: {condition: service_started}}}\n  tool: {build: tool, profiles: [debug]}\n",
        );
        assert_eq!(selected(&compose, &[], false).unwrap(), ["app"]);
        assert_eq!(selected(&compose, &["app", "tool"], false).unwrap(), ["app", "tool"]);
        assert_eq!(selected(&compose, &["app"], true).unwrap(), ["app", "tool"]);
        assert_eq!(selected(&compose, &["db"], false).unwrap(), Vec::<String>::new());
        assert_eq!(selected(&compose, &["other"], false), None);
    }

    #[test]
    fn what_is_described_elsewhere_is_not_known() {
        for text in ["include: [x.yaml]\nservices:\n  app: {build: .}\n", "services:\n  app:\n    build: .\n    extends: {file: x.yaml, service: y}\n"] {
            assert_eq!(selected(&file(text), &["app"], false), None, "{text}");
        }
    }

    #[test]
    fn a_later_file_adds_to_services() {
        let first = file("services:\n  app:\n    image: o/app\n    build: {context: app, target: dev, args: {A: 1}, cache_from: [x]}\n");
        let second = file("services:\n  app:\n    build: {dockerfile: Prod, target: prod, args: {A: 2}, cache_from: [type=gha]}\n  web: {build: web}\n");
        let both = Compose::merge([&first, &second]);
        assert_eq!(selected(&both, &[], false).unwrap(), ["app", "web"]);
        let build = &both.services[0].build;
        assert_eq!((folder(build), build.target.as_ref().unwrap().pattern(), build.imports.len()), ("app".into(), "prod".into(), 2));
        assert_eq!(build.arguments.last().unwrap().value.as_ref().unwrap().pattern(), "2");
        assert_eq!((build.tags.len(), build.dockerfile.as_ref().unwrap().pattern()), (1, "Prod".into()));
    }

    #[test]
    fn a_later_file_says_more_of_a_service_than_its_build() {
        let first = "services:\n  app: {build: ., profiles: [debug]}\n  web: {build: {context: web, tags: [o/a]}}\n  db: {image: o/db}\n";
        let second = "services:\n  app: {image: o/app}\n  web: {profiles: [x], build: {tags: [o/b]}, depends_on: [db]}\n  db: {build: db}\n";
        let both = Compose::merge([&file(first), &file(second)]);
        assert_eq!(selected(&both, &[], false).unwrap(), ["db"]);
        assert_eq!(selected(&both, &["web"], true).unwrap(), ["web", "db"]);
        let tags = |name: &str| patterns(&both.services.iter().find(|it| it.name == name).unwrap().build.tags);
        assert_eq!((tags("app"), tags("web"), tags("db")), (vec!["o/app".to_owned()], vec!["o/a".to_owned(), "o/b".to_owned()], vec!["o/db".to_owned()]));
        assert_eq!(both.services[2].build.span, file(second).services.last().unwrap().build.span);
        let other = Compose::merge([&file(second), &file(first)]);
        assert_eq!(other.services[0].build.tags.len(), 1);
        let replaced = "services:\n  app: {image: o/b}\n";
        let named = Compose::merge([&file("services:\n  app: {image: o/a, build: .}\n"), &file(replaced)]);
        assert_eq!(patterns(&named.services[0].build.tags), ["o/b"]);
    }

    #[test]
    fn a_later_argument_takes_the_place_of_one_of_its_name() {
        let both = Compose::merge([&file("services: {a: {build: {args: {A: 1, B: 1}}}}\n"), &file("services: {a: {build: {args: [A, C=2]}}}\n")]);
        let arguments: Vec<_> = both.services[0].build.arguments.iter().map(|it| (it.name.as_str(), it.value.is_some())).collect();
        assert_eq!(arguments, [("B", true), ("A", false), ("C", true)]);
    }

    #[test]
    fn variables_of_the_runner_vary_with_what_it_sets() {
        let build = one("{args: {A: '${GITHUB_SHA}', B: '${GITHUB_RUN_ID:-1}', C: $OTHER}}");
        let variances: Vec<Variance> = build.arguments.iter().map(|it| it.value.as_ref().unwrap().variance()).collect();
        assert!(variances[0].has(&Axis::Commit) && variances[1].has(&Axis::Run) && variances[2].is_unknown());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(pieces in proptest::collection::vec(proptest::sample::select(vec![
            "services:\n", "  a:\n", "    build: .\n", "    build:\n", "      args:\n", "        - A=${B\n", "      cache_from: [", "]\n", "&x ", "*x", "<<: ", "${", "$", "}", "é", "    extends: a\n", "\n",
        ]), 0..20)) {
            services(&pieces.concat());
        }
    }
}
