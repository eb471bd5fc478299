//! Edits of cache options, and of nothing else.
//!
//! A wrong cache option costs time, never content, so that an edit of nothing but cache options is
//! safe by construction, and [`CacheEdit`] is the proof: only this module makes one, and only of
//! `cache-from`, `cache-to` and the attributes of their entries. All else of the file stays as it
//! is, to the byte. Where that cannot be done exactly there is no edit: behind anchors and aliases,
//! in folded text, where an expression stands in the place of an entry, and in scripts that are
//! more than plain commands.

use super::Step;
use super::build::BuildStep;
use super::expression;
use crate::build::{Build, Tool};
use crate::cache::{Attribute, Backend, CacheEntry};
use crate::edit::{Edit, EditSet, Span};
use crate::syntax::Mapped;
use crate::syntax::yaml::change::{self, New};
use crate::syntax::yaml::{Kind, Node, Scalar, Source};

/// An edit that changes cache options only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheEdit(EditSet);

impl CacheEdit {
    /// The edits that do it.
    pub fn into_edits(self) -> EditSet {
        self.0
    }

    /// Both edits as one; `None` if they want the same place.
    pub fn and(self, other: CacheEdit) -> Option<CacheEdit> {
        if self.0.collides(&other.0) {
            return None;
        }
        CacheEdit::of(self.0.iter().chain(other.0.iter()).cloned().collect())
    }

    fn of(edits: Vec<Edit>) -> Option<CacheEdit> {
        EditSet::new(edits).ok().map(CacheEdit)
    }
}

/// Where the targets of a call of bake that `pattern` names keep their cache.
#[derive(Debug, Clone, Copy)]
pub struct TargetOptions<'a> {
    /// The name of a target, or `*`.
    pub pattern: &'a str,
    /// The import.
    pub import: &'a str,
    /// The export.
    pub export: &'a str,
}

/// A YAML file that is edited: its text, and what was read from it.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// The text.
    pub text: &'a str,
    /// What was read from it.
    pub source: &'a Source,
}

impl File<'_> {
    /// Adds an import and an export to a build: lines of `cache-from` and `cache-to` of an action,
    /// flags of a command. Entries that are there stay.
    pub fn add(self, step: &Step, build: &BuildStep, import: Option<&str>, export: Option<&str>) -> Option<CacheEdit> {
        if step.shared || [import, export].iter().flatten().any(|it| !is_record(it)) {
            return None;
        }
        match build.flags_at {
            // Bake and Compose know neither flag.
            Some(_) if matches!(build.build.tool, Tool::Bake | Tool::Compose) => None,
            Some(at) => self.add_flags(at, import, export),
            None if step.action.as_ref().is_some_and(super::Action::is_build) => self.add_inputs(step, import, export),
            None => None,
        }
    }

    /// Gives targets of a call of bake an import and an export each: lines of `set:` of an action, `--set` of a
    /// command. They must have none, as a line takes the place of what the file says
    /// (docker/buildx, `AddOverrides` in bake/bake.go).
    pub fn add_to_targets(self, step: &Step, build: &BuildStep, options: &[TargetOptions<'_>]) -> Option<CacheEdit> {
        let of_target = |it: &TargetOptions<'_>| [format!("{}.cache-from={}", it.pattern, it.import), format!("{}.cache-to={}", it.pattern, it.export)];
        let lines: Vec<String> = options.iter().flat_map(of_target).collect();
        if step.shared || build.build.tool != Tool::Bake || lines.is_empty() || !lines.iter().all(|it| is_record(it)) {
            return None;
        }
        match build.flags_at {
            Some(at) if lines.iter().all(|it| is_shell_word(it)) => self.insert_flags(at, &lines.iter().map(|it| format!(" --set {it}")).collect::<String>()),
            None if step.action.as_ref().is_some_and(super::Action::is_bake) => self.add_overrides(step, &lines),
            _ => None,
        }
    }

    fn add_overrides(self, step: &Step, lines: &[String]) -> Option<CacheEdit> {
        const KEY: &str = "set";
        let node = node_at(self.source.root()?, step.span)?;
        let all: String = lines.iter().map(|it| format!("{it}\n")).collect();
        let Some(with) = node.get("with").filter(|it| it.kind != Kind::Null) else {
            return CacheEdit::of(vec![change::insert_entry(self.text, self.source, node, "with", New::Mapping(&[(KEY, &all)]))?]);
        };
        let known = with.entries().iter().rev().find(|it| it.key == KEY).filter(|it| it.value.kind != Kind::Null);
        let edit = match known {
            Some(entry) => change::append_lines(self.text, self.source, &entry.value, &lines.iter().map(String::as_str).collect::<Vec<_>>()),
            None => change::insert_entry(self.text, self.source, with, KEY, New::Text(&all)),
        };
        CacheEdit::of(vec![edit?])
    }

    fn add_inputs(self, step: &Step, import: Option<&str>, export: Option<&str>) -> Option<CacheEdit> {
        let root = self.source.root()?;
        let node = node_at(root, step.span)?;
        let pairs: Vec<(&str, &str)> = [("cache-from", import), ("cache-to", export)].into_iter().filter_map(|(key, it)| Some((key, it?))).collect();
        let Some(with) = node.get("with").filter(|it| it.kind != Kind::Null) else {
            return CacheEdit::of(vec![change::insert_entry(self.text, self.source, node, "with", New::Mapping(&pairs))?]);
        };
        // Two keys in an empty `{}` would need a comma between them.
        if pairs.len() > 1 && with.entries().is_empty() {
            return None;
        }
        let edit = |(key, line): &(&str, &str)| match with.entries().iter().rev().find(|it| it.key == *key) {
            Some(entry) if entry.value.kind != Kind::Null => change::append_lines(self.text, self.source, &entry.value, &[line]),
            _ => change::insert_entry(self.text, self.source, with, key, New::Text(line)),
        };
        CacheEdit::of(pairs.iter().map(edit).collect::<Option<_>>()?)
    }

    fn add_flags(self, at: usize, import: Option<&str>, export: Option<&str>) -> Option<CacheEdit> {
        if [import, export].iter().flatten().any(|it| !is_shell_word(it)) {
            return None;
        }
        let flag = |name: &str, value: Option<&str>| value.map(|it| format!(" --{name} {it}")).unwrap_or_default();
        self.insert_flags(at, &(flag("cache-from", import) + &flag("cache-to", export)))
    }

    /// Puts flags into a command, each with a space in front of it.
    fn insert_flags(self, at: usize, flags: &str) -> Option<CacheEdit> {
        let (node, _) = self.scalar_at(Span::at(at))?;
        let start = decoded(&node.scalar()?.value, at)?;
        CacheEdit::of(vec![change::replace_part(self.text, self.source, node, Span::at(start), flags)?])
    }

    /// Gives attributes of an entry their values; adds those that are not there. A bare reference
    /// becomes an entry with a type.
    pub fn set_attributes(self, entry: &CacheEntry, pairs: &[(&str, &str)]) -> Option<CacheEdit> {
        let place = self.place(entry)?;
        if !pairs.iter().all(|(_, value)| place.takes(value)) {
            return None;
        }
        if entry.is_bare() {
            let reference = place.reference()?;
            let added: String = pairs.iter().map(|(name, value)| format!(",{name}={value}")).collect();
            return CacheEdit::of(vec![place.replace(entry.span, &format!("type=registry,ref={reference}{added}"))?]);
        }
        let replace = |attribute: &Attribute, value: &str| place.replace(place.value_of(attribute)?, value);
        assign(entry, pairs, replace, |name, value| format!(",{name}={value}"), |added| place.replace(Span::at(entry.span.end), added))
    }

    /// Leaves an entry out of runs of pull requests: it becomes one of the two texts of an
    /// expression, of which the other is empty. `None` where an expression in the entry would have
    /// to stand in another one.
    pub fn keep_from_pull_requests(self, entry: &CacheEntry) -> Option<CacheEdit> {
        let place = self.place(entry)?;
        let text = entry.span.of(self.text);
        if place.is_script || entry.conditional || text.contains(['\'', '"']) || text.contains("${{") {
            return None;
        }
        let record = if entry.is_bare() { format!("type=registry,ref={}", place.reference()?) } else { text.to_owned() };
        CacheEdit::of(vec![place.replace(entry.span, &outside_of_pull_requests(&record))?])
    }

    /// Takes an attribute out of an entry; `None` if it is not there, or is all there is.
    pub fn remove_attribute(self, entry: &CacheEntry, name: &str) -> Option<CacheEdit> {
        let place = self.place(entry)?;
        let attribute = only(entry, name).ok()??;
        let index = entry.attributes.iter().position(|it| it.span == attribute.span)?;
        let before = index.checked_sub(1).and_then(|it| entry.attributes.get(it));
        let span = match (before, entry.attributes.get(index + 1)) {
            (Some(before), _) => Span::new(before.span.end, attribute.span.end),
            (None, Some(after)) => Span::new(attribute.span.start, after.span.start),
            (None, None) => return None,
        };
        CacheEdit::of(vec![place.replace(span, "")?])
    }

    /// The scalar that an entry stands in, if the entry stands there as it is read.
    fn place<'a>(&'a self, entry: &'a CacheEntry) -> Option<Place<'a>> {
        // What is written behind an expression without an end would be a part of it.
        let is_open = entry.span.of(self.text).rsplit_once("${{").is_some_and(|(_, rest)| !rest.contains("}}"));
        if entry.opaque || entry.is_joined() || entry.attributes.is_empty() || entry.backend == Backend::Unknown || is_open {
            return None;
        }
        let (node, is_script) = self.scalar_at(entry.span)?;
        let place = Place { file: *self, node, scalar: node.scalar()?, entry, is_script };
        let as_read = entry.is_bare() || entry.attributes.iter().all(|it| place.value_of(it).is_some());
        (as_read && place.decoded(entry.span).is_some()).then_some(place)
    }

    /// The scalar that holds a span, and whether it is a script.
    fn scalar_at(&self, span: Span) -> Option<(&Node, bool)> {
        let mut node = self.source.root()?;
        let mut is_script = false;
        loop {
            node = match &node.kind {
                Kind::Scalar(_) => return Some((node, is_script)),
                Kind::Mapping(mapping) => {
                    let entry = mapping.entries.iter().find(|it| it.value.span.contains(span))?;
                    is_script = entry.key == "run";
                    &entry.value
                }
                Kind::Sequence(sequence) => sequence.items.iter().find(|it| it.span.contains(span))?,
                Kind::Alias(..) | Kind::Null => return None,
            };
        }
    }
}

/// Where an entry stands.
struct Place<'a> {
    file: File<'a>,
    node: &'a Node,
    scalar: &'a Scalar,
    entry: &'a CacheEntry,
    is_script: bool,
}

impl Place<'_> {
    /// The span in the scalar's text of a span of the file; `None` where the bytes are not the same.
    fn decoded(&self, span: Span) -> Option<Span> {
        let start = decoded(&self.scalar.value, span.start)?;
        let res = Span::new(start, start + span.len());
        let same = res.of(&self.scalar.value.text) == span.of(self.file.text);
        (same && (span.is_empty() || self.scalar.value.span(res) == span)).then_some(res)
    }

    /// Where the value of an attribute stands, if the pair is written plainly.
    fn value_of(&self, attribute: &Attribute) -> Option<Span> {
        let raw = attribute.span.of(self.file.text);
        let (name, value) = raw.split_once('=')?;
        let is_plain = name.trim().eq_ignore_ascii_case(&attribute.name) && !value.contains('"');
        is_plain.then(|| Span::new(attribute.span.start + name.len() + 1, attribute.span.end))
    }

    /// The bare reference, if it is all of its line.
    fn reference(&self) -> Option<&str> {
        let span = self.decoded(self.entry.span)?;
        let text = &self.scalar.value.text;
        let touches = |it: Option<char>| it.is_some_and(|it| !it.is_whitespace() && it != '=' && it != '"' && it != '\'');
        let before = text.get(..span.start)?.chars().next_back();
        let after = text.get(span.end..)?.chars().next();
        (!touches(before) && !touches(after)).then(|| span.of(text))
    }

    /// Whether a value can be written here.
    fn takes(&self, value: &str) -> bool {
        let by_script = !self.is_script || is_shell_word(value);
        let by_expression = !self.entry.conditional || !(value.contains("${{") || value.contains('\''));
        is_value(value) && by_script && by_expression
    }

    fn replace(&self, span: Span, new: &str) -> Option<Edit> {
        change::replace_part(self.file.text, self.file.source, self.node, self.decoded(span)?, new)
    }
}

/// An attribute stands there more than once.
struct Several;

/// Gives attributes of an entry their values: `replace` changes one that is there, those that `write`
/// makes of the others are added together, by `append`.
fn assign(
    entry: &CacheEntry,
    pairs: &[(&str, &str)],
    replace: impl Fn(&Attribute, &str) -> Option<Edit>,
    write: impl Fn(&str, &str) -> String,
    append: impl FnOnce(&str) -> Option<Edit>,
) -> Option<CacheEdit> {
    let mut edits = Vec::new();
    let mut added = String::new();
    for (name, value) in pairs {
        match only(entry, name).ok()? {
            Some(attribute) => edits.push(replace(attribute, value)?),
            None => added.push_str(&write(name, value)),
        }
    }
    if !added.is_empty() {
        edits.push(append(&added)?);
    }
    CacheEdit::of(edits)
}

fn only<'a>(entry: &'a CacheEntry, name: &str) -> Result<Option<&'a Attribute>, Several> {
    let mut found = entry.attributes.iter().filter(|it| it.name == name);
    let first = found.next();
    if found.next().is_some() { Err(Several) } else { Ok(first) }
}

/// The node at a span.
fn node_at(root: &Node, span: Span) -> Option<&Node> {
    let mut node = root;
    loop {
        if node.span == span && !matches!(node.kind, Kind::Alias(..)) {
            return Some(node);
        }
        node = match &node.kind {
            Kind::Mapping(mapping) => &mapping.entries.iter().find(|it| it.value.span.contains(span))?.value,
            Kind::Sequence(sequence) => sequence.items.iter().find(|it| it.span.contains(span))?,
            _ => return None,
        };
    }
}

/// The offset in a decoded text of an offset of the file.
fn decoded(text: &Mapped, offset: usize) -> Option<usize> {
    let (mut low, mut high) = (0, text.text.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if text.offset(middle) < offset { low = middle + 1 } else { high = middle }
    }
    (text.offset(low) == offset && text.text.is_char_boundary(low)).then_some(low)
}

/// A value of an attribute that needs no quotes.
fn is_value(value: &str) -> bool {
    !value.is_empty() && value.trim() == value && !value.contains([',', '"', '\n', '\r'])
}

/// An entry that is one line.
fn is_record(record: &str) -> bool {
    !record.is_empty() && record.trim() == record && !record.contains(['"', '\n', '\r'])
}

/// A text that a shell takes for one word, as it is.
fn is_shell_word(text: &str) -> bool {
    text.chars().all(|it| it.is_ascii_alphanumeric() || "_./:@=+-,".contains(it))
}

/// Attributes that only exports have.
const OF_EXPORTS: &[&str] = &[
    "mode",
    "ignore-error",
    "compression",
    "compression-level",
    "force-compression",
    "oci-mediatypes",
    "image-manifest",
    "reset",
    "upload_parallelism",
    "touch_refresh",
    "timeout",
];

/// An entry, without quotes, that is there in runs other than those of pull requests.
pub fn outside_of_pull_requests(record: &str) -> String {
    // An expression cannot stand in the text of another.
    let places = expression::find(record);
    let (mut pattern, mut arguments, mut done) = (String::new(), String::new(), 0);
    let escaped = |text: &str| text.replace('{', "{{").replace('}', "}}");
    for (index, place) in places.iter().enumerate() {
        pattern += &format!("{}{{{index}}}", escaped(Span::new(done, place.span.start).of(record)));
        arguments += &format!(", {}", place.inside.of(record).trim());
        done = place.span.end;
    }
    let text = match places.is_empty() {
        true => format!("'{record}'"),
        false => format!("format('{pattern}{}'{arguments})", escaped(Span::new(done, record.len()).of(record))),
    };
    format!("${{{{ github.event_name != 'pull_request' && {text} || '' }}}}")
}

/// The import that reads what an export writes, as text; `None` for `inline`, whose import names
/// the image, and where it is not known.
pub fn matching_import(text: &str, export: &CacheEntry) -> Option<String> {
    let renamed = |name: &str| if export.backend == Backend::Local && name == "dest" { "src".to_owned() } else { name.to_owned() };
    let kept = export.attributes.iter().filter(|it| !OF_EXPORTS.contains(&it.name.as_str()) && it.name != "type");
    written(text, export, kept.map(|it| (renamed(&it.name), it)), &[])
}

/// The export that writes what an import reads, all stages of it, as text; with `is_lenient` one to
/// GitHub's cache without which the build goes on.
pub fn matching_export(text: &str, import: &CacheEntry, is_lenient: bool) -> Option<String> {
    let renamed = |name: &str| if import.backend == Backend::Local && name == "src" { "dest".to_owned() } else { name.to_owned() };
    // A digest is read, never written.
    if import.attribute("digest").is_some() {
        return None;
    }
    let kept = import.attributes.iter().filter(|it| it.name != "type");
    let res = written(text, import, kept.map(|it| (renamed(&it.name), it)), &["mode=max"])?;
    Some(if is_lenient && import.backend == Backend::Gha { res + ",ignore-error=true" } else { res })
}

fn written<'a>(text: &str, entry: &CacheEntry, pairs: impl Iterator<Item = (String, &'a Attribute)>, first: &[&str]) -> Option<String> {
    let kind = match entry.backend {
        Backend::Gha => "gha",
        Backend::Registry => "registry",
        Backend::Local => "local",
        Backend::S3 => "s3",
        Backend::Azblob => "azblob",
        Backend::Inline | Backend::Unknown => return None,
    };
    entry.location().filter(|_| !entry.is_joined())?;
    let mut res = format!("type={kind}");
    for extra in first {
        res = format!("{res},{extra}");
    }
    for (name, attribute) in pairs {
        // An expression is written as it stands there: its normal form need not be one.
        let value = match attribute.value.parts.as_slice() {
            [crate::value::Part::Text(text)] => text.to_string(),
            _ => attribute.value.span.of(text).to_owned(),
        };
        if !is_value(&value) {
            return None;
        }
        res = format!("{res},{name}={value}");
    }
    Some(res)
}

/// Gives attributes of an entry of a bake file in HCL their values; adds those that are not there.
/// The entry is a text in quotes, or an object.
pub fn set_attributes_in_bake(text: &str, entry: &CacheEntry, pairs: &[(&str, &str)]) -> Option<CacheEdit> {
    let plain = |it: &str| is_value(it) && !it.contains(['$', '%', '\\']);
    if entry.opaque || entry.is_bare() || entry.is_joined() || entry.attributes.is_empty() || !pairs.iter().all(|(_, it)| plain(it)) {
        return None;
    }
    let around = |span: Span| Some((text.get(span.start.checked_sub(1)?..span.start)?, text.get(span.end..span.end + 1)?));
    let raw = entry.span.of(text);
    if around(entry.span) == Some(("\"", "\"")) && !raw.contains(['\\', '"', '\n']) {
        set_in_text(text, entry, pairs)
    } else {
        set_in_object(text, entry, pairs)
    }
}

/// An entry of the form `"type=gha,mode=max"`.
fn set_in_text(text: &str, entry: &CacheEntry, pairs: &[(&str, &str)]) -> Option<CacheEdit> {
    let as_read = entry.attributes.iter().all(|it| it.span.of(text).split_once('=').is_some_and(|(key, _)| key.eq_ignore_ascii_case(&it.name)));
    if !as_read {
        return None;
    }
    let replace = |attribute: &Attribute, value: &str| {
        let (key, _) = attribute.span.of(text).split_once('=')?;
        Some(Edit::replace(Span::new(attribute.span.start + key.len() + 1, attribute.span.end), value))
    };
    assign(entry, pairs, replace, |name, value| format!(",{name}={value}"), |added| Some(Edit::insert(entry.span.end, added)))
}

/// An entry of the form `{ type = "gha", mode = "max" }`.
fn set_in_object(text: &str, entry: &CacheEntry, pairs: &[(&str, &str)]) -> Option<CacheEdit> {
    let separator = |it: &Attribute| ["=", ":"].into_iter().find(|by| it.span.of(text).split_once(by).is_some_and(|(key, _)| key.trim() == it.name));
    let is_plain = |it: &Attribute| separator(it).is_some() && it.span.of(text).ends_with('"') && !it.span.of(text).contains(['\\', '$', '\n']);
    let last = entry.attributes.last()?;
    // Behind the last pair there may be a comma, or a comment.
    let is_closed = text.get(entry.span.end..)?.trim_start().starts_with('}');
    if last.span.end != entry.span.end || !is_closed || !entry.attributes.iter().all(is_plain) {
        return None;
    }
    let by = separator(last)?;
    let replace = |attribute: &Attribute, value: &str| {
        let (key, old) = attribute.span.of(text).split_once(separator(attribute)?)?;
        let space = old.len() - old.trim_start().len();
        Some(Edit::replace(Span::new(attribute.span.start + key.len() + 1 + space, attribute.span.end), format!("\"{value}\"")))
    };
    assign(entry, pairs, replace, |name, value| format!(", {name} {by} \"{value}\""), |added| Some(Edit::insert(entry.span.end, added)))
}

/// Gives a target of a bake file in HCL entries of its own, `key` being `cache-from` or `cache-to`.
///
/// `None` for a target that has some, for one with a matrix, whose legs share the text, and for a block
/// on one line.
pub fn add_entries_in_bake(text: &str, target: &Build, key: &str, records: &[&str]) -> Option<CacheEdit> {
    let block = target.whole.of(text);
    let plain = records.iter().all(|it| is_record(it) && !it.contains(['$', '%', '\\']));
    let head = block.split_inclusive('\n').next()?;
    if !plain || records.is_empty() || block.contains(key) || block.contains("matrix") || !head.ends_with('\n') || !head.trim_end().ends_with('{') {
        return None;
    }
    let body = block.get(head.len()..)?;
    let (indent, rest) = body.split_at(body.len() - body.trim_start_matches([' ', '\t']).len());
    let indent = if rest.starts_with('}') { "  " } else { indent };
    let list: Vec<String> = records.iter().map(|it| format!("\"{it}\"")).collect();
    let ending = if head.ends_with("\r\n") { "\r\n" } else { "\n" };
    let line = format!("{indent}{key} = [{}]{ending}", list.join(", "));
    CacheEdit::of(vec![Edit::insert(target.whole.start + head.len(), line)])
}

impl File<'_> {
    /// Gives a service of a compose file entries of its own, `key` being `cache_from` or `cache_to`. `None`
    /// where it has some, or where what it builds is not written in its own mapping.
    pub fn add_entries_in_compose(self, service: &Build, key: &str, records: &[&str]) -> Option<CacheEdit> {
        let services = self.source.root()?.get("services")?;
        let own = services.entries().iter().find(|it| it.span == service.whole)?;
        let build = own.value.get("build")?;
        if !records.iter().all(|it| is_record(it) && !it.contains('$')) || build.get("<<").is_some() {
            return None;
        }
        CacheEdit::of(vec![change::insert_entry(self.text, self.source, build, key, New::List(records))?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::yaml;
    use crate::text::{Document, Language};
    use crate::workflow::{Workflow, lower, with_steps};
    use serde_yaml::Value;

    fn fixed(text: &str, edit: impl Fn(File<'_>, &Workflow) -> Option<CacheEdit>) -> Option<String> {
        let document = Document::new(Language::Yaml, text);
        let source = yaml::read(text, document.tree()?);
        let workflow = lower(text, &source, &[]);
        Some(edit(File { text, source: &source }, &workflow)?.into_edits().apply(text))
    }

    /// The inputs of the last step, as another parser reads them.
    fn inputs(text: &str) -> Value {
        let file: Value = serde_yaml::from_str(text).unwrap();
        file["jobs"]["build"]["steps"].as_sequence().unwrap().last().unwrap()["with"].clone()
    }

    fn action(with: &str) -> String {
        let lines: String = with.lines().map(|it| format!("\n    {it}")).collect();
        with_steps(&format!("- uses: docker/build-push-action@v6\n  with:{lines}"))
    }

    fn add(text: &str, import: Option<&str>, export: Option<&str>) -> Option<String> {
        fixed(text, |file, workflow| {
            let build = workflow.jobs.first()?.builds.first()?;
            file.add(&workflow.jobs[0].steps[build.step], build, import, export)
        })
    }

    fn set(text: &str, pairs: &[(&str, &str)]) -> Option<String> {
        fixed(text, |file, workflow| file.set_attributes(&workflow.jobs[0].builds[0].build.exports[0], pairs))
    }

    const GHA: (Option<&str>, Option<&str>) = (Some("type=gha,scope=a"), Some("type=gha,mode=max,scope=a"));

    #[test]
    fn options_are_added_in_every_style() {
        let cases = [
            action("context: . # here\npush: true"),
            action("tags: |\n  a\n  b\n"),
            action("tags: |+\n  a\n\n"),
            with_steps("- uses: docker/build-push-action@v6\n  with: {context: .}"),
            with_steps("- uses: docker/build-push-action@v6"),
            with_steps("- uses: docker/build-push-action@v6 # v6\n  if: always()\n- run: 'true'").replace("      - run: 'true'\n", ""),
            with_steps("- uses: docker/build-push-action@v6\n  with:"),
            action("cache-from:\npush: true"),
            action("context: .").replace('\n', "\r\n"),
        ];
        for text in cases {
            let Some(after) = add(&text, GHA.0, GHA.1) else { panic!("no edit of\n{text}") };
            let with = inputs(&after);
            assert_eq!((with["cache-from"].as_str(), with["cache-to"].as_str()), GHA, "{after}");
            let mut rest = with.as_mapping().unwrap().clone();
            rest.remove("cache-from");
            rest.remove("cache-to");
            let mut before = inputs(&text).as_mapping().cloned().unwrap_or_default();
            before.remove("cache-from");
            assert_eq!(rest, before, "{after}");
            let kept: usize = similar::TextDiff::from_lines(&text, &after).iter_all_changes().filter(|it| it.tag() == similar::ChangeTag::Delete).count();
            assert!(kept <= 1, "{after}");
        }
    }

    #[test]
    fn an_entry_is_added_to_those_that_are_there() {
        for text in [action("cache-from: type=gha"), action("cache-from: |\n  type=gha\npush: true"), action("cache-from: 'type=gha' # why")] {
            let after = add(&text, Some("o/app:cache"), None).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(inputs(&after)["cache-from"].as_str().unwrap().trim(), "type=gha\no/app:cache", "{after}");
        }
    }

    #[test]
    fn nothing_is_added_where_it_would_change_another_place() {
        let cases = [
            action("<<: *x").replace("on: push", "x: &x {a: b}\non: push"),
            with_steps("- &a\n  uses: docker/build-push-action@v6"),
            with_steps("- uses: docker/build-push-action@v6\n  with: {}"),
            with_steps("- uses: docker/build-push-action@v6\n  with: &w\n    context: ."),
            with_steps("- uses: docker/bake-action@v6"),
            action("context: .\ntags: \"x"),
        ];
        for text in cases {
            assert_eq!(add(&text, GHA.0, GHA.1), None, "{text}");
        }
        assert_eq!(add(&action("context: ."), Some("a\nb"), None), None);
    }

    #[test]
    fn attributes_are_added_and_changed_in_every_style() {
        let cases = [
            ("cache-to: type=gha", "type=gha,mode=max,scope=b"),
            ("cache-to: type=gha,mode=min,scope=a # why", "type=gha,mode=max,scope=b"),
            ("cache-to: 'type=gha,mode=min'", "type=gha,mode=max,scope=b"),
            ("cache-to: \"type=gha,scope=a\"", "type=gha,scope=b,mode=max"),
            ("cache-to: |\n  type=gha,scope=a\n  type=inline\n", "type=gha,scope=b,mode=max\ntype=inline"),
            ("cache-to: type=gha,scope=${{ github.sha }},mode=max", "type=gha,scope=b,mode=max"),
            (
                "cache-to: ${{ github.event_name != 'pull_request' && 'type=gha' || '' }}",
                "${{ github.event_name != 'pull_request' && 'type=gha,mode=max,scope=b' || '' }}",
            ),
            ("cache-to: type=gha,Scope=a", "type=gha,Scope=b,mode=max"),
        ];
        for (with, expected) in cases {
            let after = set(&action(with), &[("mode", "max"), ("scope", "b")]).unwrap_or_else(|| panic!("{with}"));
            assert_eq!(inputs(&after)["cache-to"].as_str().unwrap().trim(), expected, "{after}");
        }
        let flow = with_steps("- uses: docker/build-push-action@v6\n  with: {cache-to: 'type=gha', push: true}");
        assert_eq!(inputs(&set(&flow, &[("mode", "max")]).unwrap())["cache-to"], "type=gha,mode=max");
        let bare = set(&action("cache-to: o/app:cache"), &[("mode", "max")]).unwrap();
        assert_eq!(inputs(&bare)["cache-to"], "type=registry,ref=o/app:cache,mode=max");
    }

    #[test]
    fn an_entry_that_is_not_written_as_it_is_read_stays() {
        let cases = [
            "cache-to: ${{ inputs.cache }}",
            "cache-to: type=gha,${{ inputs.more }}",
            "cache-to: type=gha,type=inline",
            "cache-to: type=local,\"dest=a\"",
            "cache-to: >\n  type=gha\n",
            "cache-to: type=gha,mode=min,mode=min",
            "cache-to: a,b",
            "cache-to: type=unknown",
            "cache-to: &a type=gha",
        ];
        for with in cases {
            assert_eq!(set(&action(with), &[("mode", "max"), ("dest", "x")]), None, "{with}");
        }
        let env = action("cache-to: ${{ env.C }}").replace("on: push", "env: {C: type=gha}");
        assert_eq!(set(&env, &[("mode", "max")]), None);
        for value in ["a,b", "", " a", "a\nb", "\"a"] {
            assert_eq!(set(&action("cache-to: type=gha"), &[("scope", value)]), None, "{value}");
        }
    }

    #[test]
    fn an_attribute_is_taken_out_with_its_comma() {
        let remove = |with: &str, name: &str| {
            let after = fixed(&action(with), |file, workflow| file.remove_attribute(&workflow.jobs[0].builds[0].build.exports[0], name))?;
            Some(inputs(&after)["cache-to"].as_str().unwrap().to_owned())
        };
        assert_eq!(remove("cache-to: type=gha,mode=max,scope=a", "mode").as_deref(), Some("type=gha,scope=a"));
        assert_eq!(remove("cache-to: type=gha,mode=max", "mode").as_deref(), Some("type=gha"));
        assert_eq!(remove("cache-to: mode=max,type=gha", "mode").as_deref(), Some("type=gha"));
        assert_eq!(remove("cache-to: type=gha", "mode"), None);
        assert_eq!(remove("cache-to: type=gha", "type"), None);
    }

    #[test]
    fn two_edits_of_one_step_are_one() {
        let text = action("cache-from: type=gha\ncache-to: type=gha,mode=max");
        let after = fixed(&text, |file, workflow| {
            let build = &workflow.jobs[0].builds[0].build;
            file.set_attributes(&build.imports[0], &[("scope", "a")])?.and(file.set_attributes(&build.exports[0], &[("scope", "a")])?)
        });
        let with = inputs(&after.unwrap());
        assert_eq!((with["cache-from"].as_str(), with["cache-to"].as_str()), (Some("type=gha,scope=a"), Some("type=gha,mode=max,scope=a")));
    }

    fn script(run: &str) -> String {
        with_steps(&format!("- run: |\n    {}", run.replace('\n', "\n    ")))
    }

    fn run_of(text: &str) -> String {
        let file: Value = serde_yaml::from_str(text).unwrap();
        file["jobs"]["build"]["steps"][0]["run"].as_str().unwrap().trim().to_owned()
    }

    #[test]
    fn flags_are_added_to_plain_commands() {
        let export = Some("type=registry,ref=o/app:cache,mode=max");
        let after = add(&script("set -e\ndocker buildx build \\\n  -t x ."), Some("o/app:cache"), export).unwrap();
        assert_eq!(run_of(&after), "set -e\ndocker buildx build --cache-from o/app:cache --cache-to type=registry,ref=o/app:cache,mode=max \\\n  -t x .");
        let plain = add(&with_steps("- run: docker build ."), Some("o/app:cache"), None).unwrap();
        assert_eq!(run_of(&plain), "docker build --cache-from o/app:cache .");
        assert_eq!(add(&script("if true; then docker build .; fi"), Some("a"), None), None);
        assert_eq!(add(&script("docker build ."), Some("a;b"), None), None);
        assert_eq!(add(&with_steps("- run: >\n    docker\n    build\n    ."), Some("a"), None), None);
    }

    const TARGETS: &[TargetOptions<'_>] = &[
        TargetOptions { pattern: "a", import: "type=gha,scope=a", export: "type=gha,scope=a,mode=max" },
        TargetOptions { pattern: "b", import: "o/b", export: "o/b" },
    ];
    const LINES: &str = "a.cache-from=type=gha,scope=a\na.cache-to=type=gha,scope=a,mode=max\nb.cache-from=o/b\nb.cache-to=o/b";

    fn add_to(text: &str, options: &[TargetOptions<'_>]) -> Option<String> {
        fixed(text, |file, workflow| {
            let build = workflow.jobs.first()?.builds.first()?;
            file.add_to_targets(&workflow.jobs[0].steps[build.step], build, options)
        })
    }

    #[test]
    fn targets_of_bake_get_lines_in_every_style() {
        let step = |with: &str| with_steps(&format!("- uses: docker/bake-action@v7{with}"));
        for (text, before) in [
            (step(""), ""),
            (step("\n  with:"), ""),
            (step("\n  with: {push: true}"), ""),
            (step("\n  with:\n    push: true # why"), ""),
            (step("\n  with:\n    set:\n    push: true"), ""),
            (step("\n  with:\n    set: '*.args.A=1' # why\n    push: true"), "*.args.A=1\n"),
            (step("\n  with:\n    set: |\n      *.args.A=1\n      x.tags=o/x\n    push: true"), "*.args.A=1\nx.tags=o/x\n"),
            (step("\n  with:\n    set: |-\n      *.args.A=1").replace('\n', "\r\n"), "*.args.A=1\n"),
        ] {
            let after = add_to(&text, TARGETS).unwrap_or_else(|| panic!("no edit of\n{text}"));
            assert_eq!(inputs(&after)["set"].as_str().unwrap().trim_end(), format!("{before}{LINES}"), "{after}");
        }
    }

    #[test]
    fn targets_of_bake_get_flags_in_plain_commands() {
        let after = add_to(&script("docker buildx bake -f x.hcl a b"), TARGETS).unwrap();
        assert_eq!(run_of(&after), format!("docker buildx bake {} -f x.hcl a b", LINES.lines().map(|it| format!("--set {it}")).collect::<Vec<_>>().join(" ")));
        assert_eq!(add_to(&script("if true; then docker buildx bake a; fi"), TARGETS), None);
        // A star is one of the shell's.
        assert_eq!(add_to(&script("docker buildx bake a"), &[TargetOptions { pattern: "*", ..TARGETS[0] }]), None);
    }

    #[test]
    fn only_bake_has_lines_for_targets() {
        let bake = with_steps("- uses: docker/bake-action@v7");
        for text in [
            with_steps("- uses: docker/build-push-action@v7"),
            script("docker compose build a"),
            script("docker buildx build ."),
            with_steps("- uses: docker/bake-action@v7\n  with:\n    set: >\n      a.args.A=1"),
            with_steps("- &a\n  uses: docker/bake-action@v7"),
        ] {
            assert_eq!(add_to(&text, TARGETS), None, "{text}");
        }
        assert_eq!(add_to(&bake, &[]), None);
        assert_eq!(add_to(&bake, &[TargetOptions { export: "a\nb", ..TARGETS[0] }]), None);
    }

    #[test]
    fn attributes_of_flags_are_changed_where_they_stand() {
        let after = set(&script("docker buildx build --cache-to \"type=gha,scope=a\" --cache-to=type=inline ."), &[("mode", "max"), ("scope", "b")]).unwrap();
        assert_eq!(run_of(&after), "docker buildx build --cache-to \"type=gha,scope=b,mode=max\" --cache-to=type=inline .");
        assert_eq!(set(&script("docker buildx build --cache-to type=gha ."), &[("scope", "$(x)")]), None);
        assert_eq!(set(&script("C=type=gha\ndocker buildx build --cache-to $C ."), &[("mode", "max")]), None);
    }

    #[test]
    fn an_entry_is_kept_from_pull_requests_with_its_expressions() {
        let kept = |it: &str| outside_of_pull_requests(it).replace("github.event_name != 'pull_request'", "_");
        assert_eq!(kept("type=gha"), "${{ _ && 'type=gha' || '' }}");
        assert_eq!(kept("type=gha,scope=a-${{ matrix.b }}-${{ c['d'] }}"), "${{ _ && format('type=gha,scope=a-{0}-{1}', matrix.b, c['d']) || '' }}");
        assert_eq!(kept("scope={a}${{ b }}"), "${{ _ && format('scope={{a}}{0}', b) || '' }}");
    }

    #[test]
    fn imports_and_exports_are_made_of_each_other() {
        let matching = |with: &str, export: bool| {
            let text = action(with);
            let document = Document::new(Language::Yaml, &text);
            let build = lower(&text, &yaml::read(&text, document.tree().unwrap()), &[]).jobs[0].builds[0].build.clone();
            if export { matching_export(&text, &build.imports[0], false) } else { matching_import(&text, &build.exports[0]) }
        };
        let imports = [
            ("type=gha,mode=max,scope=a,ignore-error=true", Some("type=gha,scope=a")),
            ("type=registry,ref=o/a:${{ github.REF_NAME }},mode=max,image-manifest=true", Some("type=registry,ref=o/a:${{ github.REF_NAME }}")),
            ("type=local,dest=/tmp/c,mode=max", Some("type=local,src=/tmp/c")),
            ("type=s3,bucket=b,region=r,mode=max", Some("type=s3,bucket=b,region=r")),
            ("type=inline", None),
            ("type=registry", None),
            ("${{ x }}", None),
        ];
        for (with, expected) in imports {
            assert_eq!(matching(&format!("cache-to: {with}"), false).as_deref(), expected, "{with}");
        }
        let exports = [
            ("type=gha,scope=a", Some("type=gha,mode=max,scope=a")),
            ("o/a:cache", Some("type=registry,mode=max,ref=o/a:cache")),
            ("type=local,src=/tmp/c", Some("type=local,mode=max,dest=/tmp/c")),
            ("type=local,src=/tmp/c,digest=sha256:0", None),
        ];
        for (with, expected) in exports {
            assert_eq!(matching(&format!("cache-from: {with}"), true).as_deref(), expected, "{with}");
        }
        let lenient = |with: &str| {
            let text = action(with);
            let document = Document::new(Language::Yaml, &text);
            matching_export(&text, &lower(&text, &yaml::read(&text, document.tree().unwrap()), &[]).jobs[0].builds[0].build.imports[0], true).unwrap()
        };
        assert_eq!(lenient("cache-from: type=gha"), "type=gha,mode=max,ignore-error=true");
        assert_eq!(lenient("cache-from: o/a:cache"), "type=registry,mode=max,ref=o/a:cache");
    }
}
