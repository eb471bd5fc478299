//! Entries of `cache-from` and `cache-to`, and the location that each reads or writes.

use crate::edit::Span;
use crate::value::{Passage, Value};

/// A cache backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Backend {
    /// `type=gha`
    Gha,
    /// `type=registry`, or a bare image reference.
    Registry,
    /// `type=inline`
    Inline,
    /// `type=local`
    Local,
    /// `type=s3`
    S3,
    /// `type=azblob`
    Azblob,
    /// Any other, or one that an expression decides.
    Unknown,
}

/// One entry of `cache-from` or `cache-to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheEntry {
    /// Where it stands: `type=gha,scope=x`.
    pub span: Span,
    /// Its backend.
    pub backend: Backend,
    /// Its attributes, in order: name in lower case, value, and where the pair stands. The last of
    /// a name wins.
    pub attributes: Vec<Attribute>,
    /// An expression stands in the place of the whole entry or of a part that is not a value, so
    /// that it may be anything, or empty.
    pub opaque: bool,
    /// The expression may come out empty, so that there is no entry at all
    /// (`${{ github.event_name != 'pull_request' && 'type=gha,mode=max' || '' }}`).
    pub conditional: bool,
}

/// `name=value` of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// The whole pair.
    pub span: Span,
    /// In lower case.
    pub name: String,
    /// Its value.
    pub value: Value,
}

/// Reads one record of `cache-from` or `cache-to`, as buildx does: `name=value` pairs of CSV, or
/// image references and no pair. One record gives several entries where it lists references, or
/// where an expression chooses between texts.
pub fn parse(record: &Passage) -> Vec<CacheEntry> {
    let Some(hole) = record.only_hole() else { return parse_text(record) };
    let mut res: Vec<CacheEntry> = hole.choices().iter().flat_map(Passage::records).flat_map(|it| parse_text(&it)).collect();
    if res.is_empty() && hole.choices().is_empty() {
        res.push(CacheEntry::opaque(record.span()));
    }
    res.iter_mut().for_each(|it| it.conditional = hole.choices().len() != 1);
    res
}

fn parse_text(record: &Passage) -> Vec<CacheEntry> {
    let Some(fields) = record.fields() else { return vec![CacheEntry::opaque(record.span())] };
    if fields.iter().all(|(_, it)| !it.text().contains('=')) {
        return fields.iter().map(|(span, it)| reference(*span, &it.trim())).filter(|it| !it.span.is_empty()).collect();
    }
    let mut attributes = Vec::new();
    let mut opaque = false;
    for (span, field) in fields {
        match field.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
            Some((name, value)) if !name.is_open() && !name.is_empty() => {
                attributes.push(Attribute { span, name: name.text().to_lowercase(), value: value.value() });
            }
            _ => opaque = true,
        }
    }
    let mut res = CacheEntry::of(record.span(), attributes);
    res.opaque |= opaque;
    vec![res]
}

/// An entry that is an image reference and no more.
fn reference(span: Span, name: &Passage) -> CacheEntry {
    let opaque = name.only_hole().is_some();
    let attributes = vec![Attribute { span, name: "ref".into(), value: name.value() }];
    CacheEntry { span, backend: if opaque { Backend::Unknown } else { Backend::Registry }, attributes, opaque, conditional: opaque }
}

impl Backend {
    /// What `type=` calls it; a question mark where it is not known.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Gha => "gha",
            Backend::Registry => "registry",
            Backend::Inline => "inline",
            Backend::Local => "local",
            Backend::S3 => "s3",
            Backend::Azblob => "azblob",
            Backend::Unknown => "?",
        }
    }

    /// The backend that `type=` names.
    pub fn of(name: &str) -> Backend {
        match name {
            "gha" => Backend::Gha,
            "registry" => Backend::Registry,
            "inline" => Backend::Inline,
            "local" => Backend::Local,
            "s3" => Backend::S3,
            "azblob" => Backend::Azblob,
            _ => Backend::Unknown,
        }
    }
}

impl CacheEntry {
    /// An entry of which nothing is understood.
    pub fn opaque(span: Span) -> CacheEntry {
        CacheEntry { span, backend: Backend::Unknown, attributes: Vec::new(), opaque: true, conditional: false }
    }

    /// An entry of these attributes; opaque where its type is an expression.
    pub fn of(span: Span, attributes: Vec<Attribute>) -> CacheEntry {
        let mut res = CacheEntry { attributes, opaque: false, ..CacheEntry::opaque(span) };
        match res.attribute("type").map(Value::known) {
            Some(Some(name)) => res.backend = Backend::of(&name),
            Some(None) => res.opaque = true,
            None => {}
        }
        res
    }

    /// Whether it is several entries that were meant to be on lines of their own
    /// (`type=gha,type=registry,ref=x`): the builder reads one entry, of the last type.
    pub fn is_joined(&self) -> bool {
        self.attributes.iter().filter(|it| it.name == "type").nth(1).is_some()
    }

    /// Whether it is an image reference and no more, so that nothing can be added behind a comma.
    pub fn is_bare(&self) -> bool {
        matches!(self.attributes.as_slice(), [it] if it.name == "ref" && it.span == self.span)
    }

    /// The mode of an export, `min` where none is given; `None` where an expression decides.
    pub fn mode(&self) -> Option<String> {
        self.attribute("mode").map_or_else(|| Some("min".to_owned()), Value::known)
    }

    /// Whether it is of GitHub's cache, and takes the token for it from its surroundings.
    pub fn needs_token(&self) -> bool {
        self.backend == Backend::Gha && !self.opaque && self.attribute("token").is_none()
    }

    /// The attribute `name`; the last one of several, as BuildKit takes it.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().rev().find(|it| it.name == name).map(|it| &it.value)
    }

    /// The attribute that tells the locations of one backend apart; `None` where there are several.
    pub fn key_name(&self) -> Option<&'static str> {
        match self.backend {
            Backend::Gha => Some("scope"),
            Backend::Registry => Some("ref"),
            Backend::S3 | Backend::Azblob => Some("name"),
            Backend::Local | Backend::Inline | Backend::Unknown => None,
        }
    }

    /// That attribute, where the entry has it.
    pub fn key(&self) -> Option<&Attribute> {
        let name = self.key_name()?;
        self.attributes.iter().rev().find(|it| it.name == name)
    }

    /// The entry as it would be if it led to another place: with another value for its key.
    pub fn with_key(&self, value: &Value) -> CacheEntry {
        let mut res = self.clone();
        let keys = res.attributes.iter_mut().filter(|it| Some(it.name.as_str()) == self.key_name());
        keys.for_each(|it| it.value = value.clone());
        res
    }

    /// The folder of a `local` entry, as it is written.
    pub fn folder(&self) -> Option<String> {
        self.attribute("dest").or_else(|| self.attribute("src")).map(Value::pattern)
    }

    /// What to call the location in a sentence: ``the scope `app` ``, ``the reference `o/app:cache` ``.
    pub fn describe(&self) -> String {
        let value = |name: &str, default: &str| self.attribute(name).map_or_else(|| default.to_owned(), Value::shown);
        match self.backend {
            Backend::Gha => format!("the scope `{}`", value("scope", "buildkit")),
            Backend::Registry => format!("the reference `{}`", value("ref", "")),
            Backend::Local => format!("the folder `{}`", self.attribute("dest").or_else(|| self.attribute("src")).map(Value::shown).unwrap_or_default()),
            Backend::S3 | Backend::Azblob => format!("the name `{}`", value("name", "buildkit")),
            Backend::Inline => "the image itself".to_owned(),
            Backend::Unknown => "the cache".to_owned(),
        }
    }

    /// Whether two entries can lead to one location: false only where no value of their expressions
    /// makes them equal. What is exported inline is found under any reference.
    pub fn may_meet(&self, other: &CacheEntry) -> bool {
        if self.opaque || other.opaque {
            return true;
        }
        match (self.backend, other.backend) {
            (Backend::Unknown, _) | (_, Backend::Unknown) => true,
            (Backend::Inline, Backend::Registry) | (Backend::Registry, Backend::Inline) => true,
            (a, b) if a != b => false,
            _ => match (self.location(), other.location()) {
                (Some(a), Some(b)) => may_equal(&a, &b),
                _ => true,
            },
        }
    }

    /// What the backend finds its index by: the scope, the reference, the folder, the name; with
    /// the default where none is given, and `None` where an expression or a missing attribute
    /// leaves it unknown. Import and export of one build meet if their locations are equal.
    /// References are without `docker.io`, `library` and `latest`, folders without `./`.
    /// The values' patterns are used: equal within one job only where expressions are.
    pub fn location(&self) -> Option<String> {
        if self.opaque {
            return None;
        }
        let pattern = |name: &str| self.attribute(name).map(Value::pattern);
        let or = |name: &str, default: &str| pattern(name).unwrap_or_else(|| default.to_owned());
        match self.backend {
            Backend::Gha => Some(format!("gha:{}", or("scope", "buildkit"))),
            Backend::Registry => Some(format!("registry:{}", normal_reference(&pattern("ref")?))),
            Backend::Local => Some(format!("local:{}", normal_folder(&pattern("dest").or_else(|| pattern("src"))?))),
            Backend::S3 => Some(format!("s3:{}/{}{}", pattern("bucket")?, or("prefix", ""), or("name", "buildkit"))),
            Backend::Azblob => {
                Some(format!("azblob:{}/{}/{}{}", pattern("account_url")?, or("container", "buildkit-cache"), or("prefix", ""), or("name", "buildkit")))
            }
            Backend::Inline | Backend::Unknown => None,
        }
    }
}

/// Whether two patterns can come out as one text: they do not differ in front of their first
/// expressions, nor behind their last ones.
fn may_equal(a: &str, b: &str) -> bool {
    let ends = |it: &str| Some((it[..it.find("${{")?].to_owned(), it[it.rfind("}}")? + 2..].to_owned()));
    match (ends(a), ends(b)) {
        (None, None) => a == b,
        (Some((start, end)), None) => b.starts_with(&start) && b.ends_with(&end) && b.len() >= start.len() + end.len(),
        (None, Some(_)) => may_equal(b, a),
        (Some((start, end)), Some((other_start, other_end))) => {
            (start.starts_with(&other_start) || other_start.starts_with(&start)) && (end.ends_with(&other_end) || other_end.ends_with(&end))
        }
    }
}

/// A reference without the parts that every client adds: `docker.io/library/a:latest` is `a`.
fn normal_reference(reference: &str) -> &str {
    let short = reference.strip_prefix("index.docker.io/").or_else(|| reference.strip_prefix("docker.io/")).unwrap_or(reference);
    let short = short.strip_prefix("library/").unwrap_or(short);
    short.strip_suffix(":latest").unwrap_or(short)
}

fn normal_folder(folder: &str) -> &str {
    let short = folder.strip_prefix("./").unwrap_or(folder).trim_end_matches('/');
    if short.is_empty() { folder } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::Mapped;
    use crate::value::Part;
    use crate::volatility::Variance;

    fn literal(text: &str, start: usize) -> Passage {
        Passage::literal(Mapped::verbatim(text, start), Span::new(start, start + text.len()))
    }

    fn entries(text: &str) -> Vec<CacheEntry> {
        parse(&literal(text, 0))
    }

    fn expression(source: &str, span: Span) -> Part {
        Part::Expression { span, source: source.into(), known: None, variance: Variance::constant() }
    }

    #[test]
    fn attributes_stand_where_they_are_written() {
        let text = r#"type=local, Dest = /tmp/a ,"src=a,b",mode=max"#;
        let entry = &entries(text)[0];
        let found: Vec<_> = entry.attributes.iter().map(|it| (it.span.of(text), it.name.as_str(), it.value.pattern())).collect();
        let pairs = [("type=local", "type", "local"), (" Dest = /tmp/a ", "dest", "/tmp/a"), ("\"src=a,b\"", "src", "a,b"), ("mode=max", "mode", "max")];
        assert_eq!(found, pairs.map(|(span, name, value)| (span, name, value.to_owned())));
        assert_eq!(entry.backend, Backend::Local);
        assert!(!entry.opaque && !entry.conditional && !entry.is_bare());
        assert_eq!(entry.mode().as_deref(), Some("max"));
    }

    #[test]
    fn references_are_registry_entries_each() {
        let text = "a/b:cache,ghcr.io/c/d";
        let entries = entries(text);
        let spans: Vec<_> = entries.iter().map(|it| (it.span.of(text), it.backend, it.is_bare())).collect();
        assert_eq!(spans, [("a/b:cache", Backend::Registry, true), ("ghcr.io/c/d", Backend::Registry, true)]);
    }

    #[test]
    fn entries_joined_by_a_comma_are_one_broken_entry() {
        assert!(entries("type=gha,type=registry,ref=x")[0].is_joined());
        assert!(!entries("type=gha,scope=type=x")[0].is_joined());
        assert!(!entries("a,b")[0].is_joined());
    }

    #[test]
    fn what_is_half_typed_is_opaque() {
        for text in ["type=gha,", "type=gha,mo", "type=gha,\"mode", "=,"] {
            assert!(entries(text)[0].opaque, "{text}");
        }
        assert!(entries("").is_empty());
    }

    #[test]
    fn locations_meet_where_the_builder_says_so() {
        let same = [
            ("type=gha", "type=gha,scope=buildkit,mode=max"),
            ("type=registry,ref=docker.io/library/a", "a:latest"),
            ("type=local,src=./tmp/", "type=local,dest=tmp"),
            ("type=s3,bucket=b,region=r", "type=s3,bucket=b,region=r,name=buildkit"),
        ];
        for (a, b) in same {
            assert_eq!(entries(a)[0].location(), entries(b)[0].location(), "{a}");
            assert!(entries(a)[0].location().is_some(), "{a}");
        }
        let other = [("type=gha", "type=gha,scope=a"), ("type=registry,ref=a", "type=registry,ref=a:cache"), ("type=local,src=/a", "type=local,src=/b")];
        for (a, b) in other {
            assert_ne!(entries(a)[0].location(), entries(b)[0].location(), "{a}");
        }
        for nowhere in ["type=registry", "type=inline", "type=x", "ref=a"] {
            assert_eq!(entries(nowhere)[0].location(), None, "{nowhere}");
        }
    }

    #[test]
    fn patterns_can_be_equal_unless_their_ends_differ() {
        for (a, b, expected) in [
            ("a", "a", true),
            ("a", "b", false),
            ("app-${{ x }}", "app-amd64", true),
            ("app-${{ x }}", "app", false),
            ("app-${{ x }}", "web-amd64", false),
            ("${{ x }}", "anything", true),
            ("a-${{ x }}", "a-b-${{ y }}", true),
            ("a-${{ x }}", "b-${{ y }}", false),
            ("${{ x }}-a", "${{ y }}-b", false),
        ] {
            assert_eq!(may_equal(a, b), expected, "{a} {b}");
            assert_eq!(may_equal(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn entries_of_different_backends_do_not_meet() {
        let meet = |a: &str, b: &str| entries(a)[0].may_meet(&entries(b)[0]);
        assert!(!meet("type=gha", "type=registry,ref=a"));
        assert!(!meet("type=gha", "type=gha,scope=a"));
        assert!(!meet("type=gha", "type=inline"));
        assert!(meet("type=inline", "a:latest"));
        assert!(meet("type=gha", "type=other"));
        assert!(meet("type=gha,scope=buildkit", "type=gha"));
    }

    #[test]
    fn an_expression_in_a_value_keeps_the_rest_known() {
        let mut record = literal("type=gha,scope=app-", 0);
        record.push_expression(expression("matrix.arch", Span::new(19, 37)), Vec::new());
        let entry = &parse(&record)[0];
        assert_eq!(entry.location().as_deref(), Some("gha:app-${{ matrix.arch }}"));
        assert!(!entry.opaque);
    }

    #[test]
    fn an_expression_in_the_place_of_a_pair_or_a_type_is_opaque() {
        for prefix in ["type=gha,", "type="] {
            let mut record = literal(prefix, 0);
            record.push_expression(expression("x", Span::new(9, 20)), Vec::new());
            assert!(parse(&record)[0].opaque, "{prefix}");
        }
    }

    #[test]
    fn an_expression_that_chooses_gives_what_it_can_come_out_as() {
        let whole = |choices: Vec<Passage>| {
            let mut record = Passage::new(Span::new(0, 60));
            record.push_expression(expression("a && 'b' || ''", Span::new(0, 60)), choices);
            parse(&record)
        };
        let gated = whole(vec![literal("type=gha,mode=max", 20), literal("", 45)]);
        assert_eq!(gated.len(), 1);
        assert!(gated[0].conditional && !gated[0].opaque);
        assert_eq!(gated[0].attributes[1].span, Span::new(29, 37));
        assert_eq!(whole(vec![literal("type=gha", 20), literal("type=inline", 45)]).len(), 2);
        let unknown = whole(Vec::new());
        assert!(unknown[0].opaque && unknown[0].conditional);
        assert!(whole(vec![literal("", 5)]).is_empty());
    }
}
