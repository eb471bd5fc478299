//! Compose files: services that are built, as builds.
//!
//! Merge keys, aliases and `extends` inside the file are followed; other files are not, but for those
//! that one call names together ([`Compose::merge`]). `${NAME}` and `${NAME:-default}` are
//! expressions: the environment and `.env` decide. The folder of a build is not known here: it is
//! that of the file.

use crate::build::{Build, BuildArgument, Context, Tool};
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

/// A compose file, or several that are read as one.
#[derive(Debug, Clone, Default)]
pub struct Compose {
    /// The services that are built, in order.
    pub services: Vec<Service>,
    /// All services, with those that each starts before itself.
    all: BTreeMap<String, Vec<String>>,
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
    /// The file names a context.
    has_context: bool,
}

impl Compose {
    /// Several files as one call reads them, one after the other: a service that is in two of them
    /// is one, in which the later file wins; lists are added to.
    pub fn merge<'a>(files: impl IntoIterator<Item = &'a Compose>) -> Compose {
        let mut res = Compose::default();
        for file in files {
            for service in &file.services {
                if let Some(known) = res.services.iter_mut().find(|it| it.name == service.name) {
                    known.add(service);
                } else if res.services.len() < MAX_SERVICES {
                    res.services.push(service.clone());
                }
            }
            for (name, needed) in &file.all {
                res.all.entry(name.clone()).or_default().extend(needed.iter().cloned());
            }
            res.open |= file.open;
        }
        res
    }

    /// The services that are built when somebody asks for `names`, or for all that have no profile;
    /// with those that they start before themselves where `with_needed`. `None` where one of them
    /// is not described here, or not wholly.
    pub fn select(&self, names: &[String], with_needed: bool) -> Option<Vec<&Service>> {
        if self.open || names.iter().any(|it| !self.all.contains_key(it)) {
            return None;
        }
        let mut wanted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        if names.is_empty() {
            wanted.extend(self.services.iter().filter(|it| !it.profiled).map(|it| it.name.as_str()));
        }
        let mut open: Vec<&str> = wanted.iter().copied().filter(|_| with_needed).collect();
        while let Some(name) = open.pop() {
            let needed = self.all.get(name).into_iter().flatten().map(String::as_str);
            open.extend(needed.filter(|it| wanted.insert(it)));
        }
        let res: Vec<&Service> = self.services.iter().filter(|it| wanted.contains(it.name.as_str())).collect();
        (!res.iter().any(|it| it.open)).then_some(res)
    }
}

impl Service {
    /// Takes in what a later file says of it.
    fn add(&mut self, later: &Service) {
        let (build, other) = (&mut self.build, later.build.clone());
        if later.has_context {
            build.context = other.context;
        }
        build.dockerfile = other.dockerfile.or(build.dockerfile.take());
        build.inline |= other.inline;
        build.target = other.target.or(build.target.take());
        build.arguments.extend(other.arguments);
        build.platforms.extend(other.platforms);
        build.tags = if other.tags.is_empty() { std::mem::take(&mut build.tags) } else { other.tags };
        build.imports.extend(other.imports);
        build.exports.extend(other.exports);
        build.contexts.retain(|(name, _)| !other.contexts.iter().any(|(it, _)| it == name));
        build.contexts.extend(other.contexts);
        build.no_cache |= other.no_cache;
        self.profiled |= later.profiled;
        self.open |= later.open;
        self.has_context |= later.has_context;
    }
}

/// Reads a compose file.
pub fn lower(source: &Source) -> Compose {
    let Some(root) = &source.root else { return Compose::default() };
    let open = root.get("include").is_some();
    let Some(services) = root.get("services") else { return Compose { open, ..Compose::default() } };
    let entries = || services.entries().iter().filter(|it| it.key != "<<").take(MAX_SERVICES);
    let all = entries().map(|it| (it.key.clone(), needed(&it.value))).collect();
    // A merge key of the services brings some that are not listed.
    let open = open || services.entries().iter().any(|it| it.key == "<<");
    Compose { services: entries().filter_map(|it| service(services, it)).collect(), all, open }
}

/// The services of `depends_on`.
fn needed(service: &Node) -> Vec<String> {
    let Some(node) = service.get("depends_on") else { return Vec::new() };
    match node.entries() {
        [] => node.items().iter().filter_map(|it| Some(it.text()?.to_owned())).collect(),
        pairs => pairs.iter().map(|it| it.key.clone()).collect(),
    }
}

fn service(services: &Node, entry: &Entry) -> Option<Service> {
    let chain = extended(services, &entry.value);
    // What a service says itself counts before what it extends.
    let sections: Vec<&Node> = chain.iter().filter_map(|it| it.get("build")).collect();
    let image = chain.iter().find_map(|it| it.get("image"));
    if sections.is_empty() || sections.iter().all(|it| matches!(it.resolved().kind, Kind::Null)) {
        return None;
    }
    let sections = Sections(sections);
    Some(Service {
        name: entry.key.clone(),
        build: build(entry, &sections, image),
        profiled: chain.first().and_then(|it| it.get("profiles")).is_some_and(|it| !it.items().is_empty()),
        open: chain.last().and_then(|it| it.get("extends")).is_some_and(|it| it.get("file").is_some()),
        has_context: sections.context().is_some(),
    })
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

/// The `build` sections of a service and of those it extends, nearest first.
struct Sections<'a>(Vec<&'a Node>);

impl<'a> Sections<'a> {
    fn get(&self, key: &str) -> Option<&'a Node> {
        self.0.iter().find_map(|it| it.get(key)).filter(|it| !matches!(it.resolved().kind, Kind::Null))
    }

    /// The key of all sections, farthest first, as lists and mappings are merged.
    fn all(&self, key: &str) -> Vec<&'a Node> {
        self.0.iter().rev().filter_map(|it| it.get(key)).collect()
    }

    fn passage(&self, key: &str) -> Option<Passage> {
        self.get(key).and_then(passage).filter(|it| !it.is_empty())
    }

    /// `build: ./folder`, or `context:`.
    fn context(&self) -> Option<Passage> {
        self.0.iter().find_map(|it| if it.text().is_some() { passage(it) } else { it.get("context").and_then(passage) })
    }

    fn list(&self, key: &str) -> Vec<Passage> {
        self.all(key).into_iter().flat_map(items).collect()
    }

    /// A list of which `x-bake` has the last word, for bake reads it there.
    fn overridable(&self, key: &str, bake_key: &str) -> Vec<Passage> {
        let of_bake = self.get("x-bake").and_then(|it| it.get(bake_key)).map(items).unwrap_or_default();
        if of_bake.is_empty() { self.list(key) } else { of_bake }
    }
}

fn build(entry: &Entry, sections: &Sections<'_>, image: Option<&Node>) -> Build {
    let mut tags: Vec<Value> = sections.overridable("tags", "tags").iter().map(Passage::value).collect();
    if tags.is_empty() {
        tags.extend(image.and_then(passage).map(|it| it.value()));
    }
    let context = sections.context().map_or_else(|| Context::Folder(Value::literal(".", entry.key_span)), |it| context(&it));
    let is_on = |key: &str| sections.passage(key).is_some_and(|it| it.known() == Some("true"));
    let bake_no_cache = sections.get("x-bake").and_then(|it| it.get("no-cache")).and_then(Node::text) == Some("true");
    Build {
        span: entry.key_span,
        whole: entry.span,
        tool: Tool::ComposeService,
        name: entry.key.clone(),
        context,
        dockerfile: sections.passage("dockerfile").map(|it| it.value()),
        inline: sections.get("dockerfile_inline").is_some(),
        folder: None,
        target: sections.passage("target").map(|it| it.value()),
        arguments: sections.all("args").into_iter().flat_map(arguments).collect(),
        platforms: sections.overridable("platforms", "platforms").iter().map(Passage::value).collect(),
        tags,
        imports: entries(&sections.overridable("cache_from", "cache-from")),
        exports: entries(&sections.overridable("cache_to", "cache-to")),
        no_cache: is_on("no_cache") || bake_no_cache,
        push: Some(false),
        contexts: sections.all("additional_contexts").into_iter().flat_map(named_contexts).collect(),
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
        items => items.iter().filter_map(passage).collect(),
    }
}

/// `NAME: value` of a mapping, or `NAME=value` of a list.
fn arguments(node: &Node) -> Vec<BuildArgument> {
    let pair = |it: &Entry| BuildArgument { span: it.span, name: it.key.clone(), value: passage(&it.value).map(|it| it.value()) };
    let item = |it: &Node| {
        let passage = passage(it)?;
        let (name, value) = passage.split_once('=').map_or((passage.clone(), None), |(name, value)| (name, Some(value.value())));
        Some(BuildArgument { span: passage.span(), name: name.known()?.to_owned(), value })
    };
    match node.entries() {
        [] => node.items().iter().filter_map(item).collect(),
        pairs => pairs.iter().filter(|it| it.key != "<<").map(pair).collect(),
    }
}

fn named_contexts(node: &Node) -> Vec<(String, Value)> {
    arguments(node).into_iter().filter_map(|it| Some((it.name, it.value?))).collect()
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

    #[test]
    fn what_bake_is_told_wins() {
        let build = one("{cache_to: [type=inline], x-bake: {cache-to: ['type=gha,mode=max'], tags: 'o/app:1', no-cache: true}}");
        assert_eq!(build.exports.iter().map(|it| it.backend).collect::<Vec<_>>(), [Backend::Gha]);
        assert_eq!(build.tags[0].pattern(), "o/app:1");
        assert!(build.no_cache);
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
