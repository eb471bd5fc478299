//! The syntax of arguments: image references, pairs, mounts, paths, heredoc markers.

use super::{Flag, Instruction, Word, line};
use crate::edit::Span;
use crate::syntax::Mapped;
use compact_str::CompactString;

/// An image reference: `registry/name:tag@digest`. Expansions are left as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference {
    /// The whole of it.
    pub span: Span,
    /// Registry and name, as written.
    pub name: Word,
    /// What stands behind the last `:`.
    pub tag: Option<Word>,
    /// What stands behind `@`, algorithm included.
    pub digest: Option<Word>,
}

/// The parts of a FROM instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromArguments {
    /// The value of `--platform`.
    pub platform: Option<Mapped>,
    /// The image, or the name of a stage.
    pub image: ImageReference,
    /// The name behind AS, as written.
    pub name: Option<Word>,
}

/// A name and its value in ENV, ARG or LABEL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Name and value.
    pub span: Span,
    /// The name without quotes, where it stands with them.
    pub name: Word,
    /// The value as written: quotes and escapes are kept. `None` for an ARG without one.
    pub value: Option<Mapped>,
    /// The old form `ENV name value`, which takes the rest of the line.
    pub legacy: bool,
}

/// A field of a `--mount`: `name=value`, or a name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountField {
    /// The whole field.
    pub span: Span,
    /// In lower case.
    pub name: String,
    /// What stands behind `=`.
    pub value: Option<Mapped>,
}

/// What COPY and ADD copy, and to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyPaths {
    /// In the order they are written in.
    pub sources: Vec<CopySource>,
    /// The last argument, without quotes and escapes.
    pub destination: Word,
}

/// A source of COPY or ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopySource {
    /// A path, a pattern or a URL, without quotes and escapes.
    Path(Word),
    /// A heredoc: which one of [`Instruction::heredocs`].
    Heredoc(usize),
}

/// Reads an image reference. A `:` or `@` inside an expansion separates nothing.
pub fn image_reference(text: &Mapped) -> Option<ImageReference> {
    let (colon, at) = image_separators(&text.text);
    let end = text.text.len();
    let name_end = colon.or(at).unwrap_or(end);
    if name_end == 0 {
        return None;
    }
    Some(ImageReference {
        span: text.span(Span::new(0, end)),
        name: line::word(text, Span::new(0, name_end)),
        tag: colon.map(|it| line::word(text, Span::new(it + 1, at.unwrap_or(end)))),
        digest: at.map(|it| line::word(text, Span::new(it + 1, end))),
    })
}

/// Where the tag and the digest begin. A `:` before the last `/` is the port of a registry.
fn image_separators(text: &str) -> (Option<usize>, Option<usize>) {
    let mut colon = None;
    let mut depth = 0_usize;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '{' if before == '$' || depth > 0 => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '/' if depth == 0 => colon = None,
            ':' if depth == 0 => colon = Some(at),
            '@' if depth == 0 => return (colon, Some(at)),
            _ => {}
        }
        before = c;
    }
    (colon, None)
}

/// Reads a FROM instruction; `None` where it names no image.
pub fn from_arguments(instruction: &Instruction, escape: char) -> Option<FromArguments> {
    let words = instruction.words(escape);
    let image = Span::new(0, words.first()?.text.len());
    let keyword = words.get(1).filter(|it| it.text.eq_ignore_ascii_case("AS"));
    Some(FromArguments {
        platform: instruction.flags.iter().find(|it| it.name == "platform").and_then(|it| it.value.clone()),
        image: image_reference(&unquoted(&instruction.arguments.slice(image), escape))?,
        name: keyword.and_then(|_| words.get(2)).cloned(),
    })
}

/// Reads the pairs of ENV, ARG and LABEL. A word of ENV or LABEL without `=`, which BuildKit
/// rejects, is left out.
pub fn pairs(instruction: &Instruction, escape: char) -> Vec<Pair> {
    let arguments = &instruction.arguments;
    let spans = line::quoted_spans(&arguments.text, escape);
    let may_lack_value = instruction.keyword == "ARG";
    if !may_lack_value && spans.first().is_some_and(|it| !it.of(&arguments.text).contains('=')) {
        return legacy_pair(arguments).into_iter().collect();
    }
    let pair = |span: Span| {
        let equals = span.of(&arguments.text).find('=').map(|it| span.start + it);
        if equals.is_none() && !may_lack_value {
            return None;
        }
        let name_span = Span::new(span.start, equals.unwrap_or(span.end));
        let name = unquoted(&arguments.slice(name_span), escape).text;
        Some(Pair {
            span: arguments.span(span),
            name: Word { span: arguments.span(name_span), text: name },
            value: equals.map(|it| arguments.slice(Span::new(it + 1, span.end))),
            legacy: false,
        })
    };
    spans.into_iter().filter_map(pair).collect()
}

/// `ENV name value`: the value is the rest of the line.
fn legacy_pair(arguments: &Mapped) -> Option<Pair> {
    let text = &arguments.text;
    let end = text.find(line::is_blank)?;
    let value_start = text.len() - text.get(end..)?.trim_start_matches(line::is_blank).len();
    Some(Pair {
        span: arguments.span(Span::new(0, text.len())),
        name: line::word(arguments, Span::new(0, end)),
        value: Some(arguments.slice(Span::new(value_start, text.len()))),
        legacy: true,
    })
}

/// Reads the fields of a `--mount`, or of any other flag that is a line of comma-separated values.
pub fn mount_fields(flag: &Flag) -> Vec<MountField> {
    let Some(value) = &flag.value else { return Vec::new() };
    let fields = comma_separated(value);
    fields.iter().filter(|it| !it.text.is_empty()).map(mount_field).collect()
}

fn mount_field(field: &Mapped) -> MountField {
    let end = field.text.len();
    let equals = field.text.find('=');
    MountField {
        span: field.span(Span::new(0, end)),
        name: Span::new(0, equals.unwrap_or(end)).of(&field.text).to_lowercase(),
        value: equals.map(|it| field.slice(Span::new(it + 1, end))),
    }
}

/// Splits a line of comma-separated values. A field in double quotes may contain commas, and doubled
/// quotes.
fn comma_separated(value: &Mapped) -> Vec<Mapped> {
    let mut res = Vec::new();
    let mut field = Mapped::default();
    let mut is_quoted = false;
    let mut kept = 0;
    let mut chars = value.text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let is_opening = c == '"' && !is_quoted && at == kept && field.text.is_empty();
        let is_doubled = c == '"' && is_quoted && chars.next_if(|(_, it)| *it == '"').is_some();
        if is_doubled {
            field.push_part(value, Span::new(kept, at + 1));
            kept = at + 2;
        } else if is_opening || (c == '"' && is_quoted) {
            field.push_part(value, Span::new(kept, at));
            kept = at + 1;
            is_quoted = is_opening;
        } else if c == ',' && !is_quoted {
            field.push_part(value, Span::new(kept, at));
            kept = at + 1;
            res.push(std::mem::take(&mut field));
        }
    }
    field.push_part(value, Span::new(kept, value.text.len()));
    res.push(field);
    res
}

/// Reads what COPY and ADD copy; `None` where there is no destination.
pub fn copy_paths(instruction: &Instruction, escape: char) -> Option<CopyPaths> {
    let words = instruction.json.clone().unwrap_or_else(|| instruction.words(escape));
    let (destination, sources) = words.split_last()?;
    if sources.is_empty() {
        return None;
    }
    let path = |word: &Word| Word { span: word.span, text: unquoted(&Mapped::verbatim(&word.text, 0), escape).text };
    let source = |word: &Word| match instruction.heredocs.iter().position(|it| it.marker == word.span) {
        Some(index) => CopySource::Heredoc(index),
        None => CopySource::Path(path(word)),
    };
    Some(CopyPaths { sources: sources.iter().map(source).collect(), destination: path(destination) })
}

/// A text without its quotes and escapes, as BuildKit reads a word. Expansions stay as they are.
pub fn unquoted(text: &Mapped, escape: char) -> Mapped {
    unquote(text, escape).0
}

/// Takes quotes and escapes away, and tells whether there were quotes.
fn unquote(text: &Mapped, escape: char) -> (Mapped, bool) {
    let mut res = Mapped::default();
    let mut quote = None;
    let mut was_quoted = false;
    let mut kept = 0;
    let mut chars = text.text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                was_quoted = true;
            }
            Some(open) if c == open => quote = None,
            Some('\'') => continue,
            None if c == escape => drop(chars.next()),
            // Between double quotes only these can be escaped.
            Some(_) if c == escape && chars.next_if(|(_, it)| matches!(it, '"' | '$') || *it == escape).is_some() => {}
            _ => continue,
        }
        res.push_part(text, Span::new(kept, at));
        kept = at + c.len_utf8();
    }
    res.push_part(text, Span::new(kept, text.text.len()));
    (res, was_quoted)
}

/// What a heredoc marker says.
pub(super) struct Marker {
    pub name: CompactString,
    pub chomp: bool,
    pub expand: bool,
}

/// Reads a heredoc marker: `<<name`, perhaps with a file descriptor in front. Its escape character
/// is a backslash in every file.
pub(super) fn heredoc_marker(text: &str) -> Option<Marker> {
    let rest = text.trim_start_matches(|it: char| it.is_ascii_digit()).strip_prefix("<<")?;
    let chomp = rest.starts_with('-');
    let written = rest.strip_prefix('-').unwrap_or(rest).trim_start_matches([' ', '\t', '\r', '\u{c}']);
    let (name, was_quoted) = unquote(&Mapped::verbatim(written, 0), '\\');
    (!name.text.is_empty()).then_some(Marker { name: name.text, chomp, expand: !was_quoted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::dockerfile::{Source, read};
    use crate::text::{Document, Language};

    fn source(text: &str) -> Source {
        let document = Document::new(Language::Dockerfile, text);
        read(text, document.tree().unwrap())
    }

    fn one(text: &str) -> Instruction {
        source(text).instructions.remove(0)
    }

    fn parts(text: &str) -> (String, Option<String>, Option<String>) {
        let image = image_reference(&Mapped::verbatim(text, 0)).unwrap();
        (image.name.text.into(), image.tag.map(|it| it.text.into()), image.digest.map(|it| it.text.into()))
    }

    fn owned(name: &str, tag: Option<&str>, digest: Option<&str>) -> (String, Option<String>, Option<String>) {
        (name.to_string(), tag.map(str::to_string), digest.map(str::to_string))
    }

    #[test]
    fn image_references() {
        assert_eq!(parts("alpine"), owned("alpine", None, None));
        assert_eq!(parts("node:22-slim"), owned("node", Some("22-slim"), None));
        assert_eq!(parts("host:5000/a/b"), owned("host:5000/a/b", None, None));
        assert_eq!(parts("host:5000/a:1@sha256:0f"), owned("host:5000/a", Some("1"), Some("sha256:0f")));
        assert_eq!(parts("a@sha256:0f"), owned("a", None, Some("sha256:0f")));
        assert_eq!(parts("a:"), owned("a", Some(""), None));
        assert_eq!(parts("${R:-docker.io/x}/node:${V:-1@2}-slim"), owned("${R:-docker.io/x}/node", Some("${V:-1@2}-slim"), None));
        assert_eq!(parts("${A:-${B:-c:d}}"), owned("${A:-${B:-c:d}}", None, None));
        for text in ["", ":a", "@a"] {
            assert_eq!(image_reference(&Mapped::verbatim(text, 0)), None, "{text:?}");
        }
    }

    #[test]
    fn from_has_a_platform_an_image_and_a_name() {
        let text = "FROM --platform=$BUILDPLATFORM host/\\\n  # c\nnode:22 as base\n";
        let from = from_arguments(&one(text), '\\').unwrap();
        assert_eq!(from.platform.unwrap().text, "$BUILDPLATFORM");
        assert_eq!(from.image.name.text, "host/node");
        assert_eq!(from.image.tag.unwrap().span.of(text), "22");
        assert_eq!(from.name.unwrap().span.of(text), "base");
    }

    #[test]
    fn from_without_a_name_or_an_image() {
        assert_eq!(from_arguments(&one("FROM a"), '\\').unwrap().name, None);
        assert_eq!(from_arguments(&one("FROM a AS"), '\\').unwrap().name, None);
        assert_eq!(from_arguments(&one("FROM a b c"), '\\').unwrap().name, None);
        assert_eq!(from_arguments(&one("FROM"), '\\'), None);
        assert_eq!(from_arguments(&one("FROM \"a\""), '\\').unwrap().image.name.text, "a");
    }

    fn named(text: &str) -> Vec<(String, Option<String>)> {
        let source = source(text);
        pairs(&source.instructions[0], source.escape).into_iter().map(|it| (it.name.text.into(), it.value.map(|it| it.text.into()))).collect()
    }

    fn pair(name: &str, value: &str) -> (String, Option<String>) {
        (name.to_string(), Some(value.to_string()))
    }

    #[test]
    fn pairs_keep_the_quotes_of_values() {
        assert_eq!(
            named("ENV a=b c=\"d e\" f='g h' i=j\\ k l=\n"),
            [pair("a", "b"), pair("c", "\"d e\""), pair("f", "'g h'"), pair("i", "j\\ k"), pair("l", "")]
        );
        assert_eq!(named("LABEL \"a b\"=c d.e=f=g"), [pair("a b", "c"), pair("d.e", "f=g")]);
        assert_eq!(named("ENV a=b \\\n# c\n  d=e\\\nf"), [pair("a", "b"), pair("d", "ef")]);
        assert_eq!(named("# escape=`\nENV a=C:\\x b=`\n c"), [pair("a", "C:\\x"), pair("b", "")]);
    }

    #[test]
    fn the_old_form_takes_the_rest_of_the_line() {
        assert_eq!(named("ENV a  b c=d \"e\" "), [pair("a", "b c=d \"e\"")]);
        assert!(pairs(&one("ENV a b"), '\\')[0].legacy);
        assert!(!pairs(&one("ENV a=b"), '\\')[0].legacy);
        for text in ["ENV a", "ENV", "LABEL"] {
            assert_eq!(named(text), [], "{text:?}");
        }
        assert_eq!(named("ENV a=b c"), [pair("a", "b")]);
    }

    #[test]
    fn arguments_may_lack_a_value() {
        let text = "ARG A B=c\\\nd C=\n";
        assert_eq!(named(text), [("A".to_string(), None), pair("B", "cd"), pair("C", "")]);
        let pairs = pairs(&one(text), '\\');
        assert_eq!(pairs[1].span.of(text), "B=c\\\nd");
        assert_eq!(pairs[1].name.span.of(text), "B");
        assert_eq!(pairs[1].value.as_ref().unwrap().span(Span::new(1, 2)).of(text), "d");
    }

    #[test]
    fn mounts_are_fields() {
        let text = "RUN --mount=type=cache,Target=/a\\\n,ro,,id=x=y,\"source=b,c\",\"d=\"\"e\" f\n";
        let fields = mount_fields(&one(text).flags[0]);
        // Quotes are taken away with those of the flag, before commas are looked at.
        let texts: Vec<_> = fields.iter().map(|it| (it.name.as_str(), it.value.as_ref().map(|it| it.text.as_str()))).collect();
        assert_eq!(
            texts,
            [("type", Some("cache")), ("target", Some("/a")), ("ro", None), ("id", Some("x=y")), ("source", Some("b")), ("c", None), ("d", Some("e"))]
        );
        assert_eq!(fields[1].span.of(text), "Target=/a");
        assert_eq!(mount_fields(&one("RUN --mount a").flags[0]), []);
        assert_eq!(mount_fields(&one("RUN --mount= a").flags[0]), []);
    }

    #[test]
    fn quoted_fields_hold_commas() {
        let text = "RUN --mount=\\\"a=b,c\\\",\\\"d=\\\"\\\"e\\\",f a\n";
        let fields = mount_fields(&one(text).flags[0]);
        let texts: Vec<_> = fields.iter().map(|it| (it.name.as_str(), it.value.as_ref().map(|it| it.text.as_str()))).collect();
        assert_eq!(texts, [("a", Some("b,c")), ("d", Some("\"e")), ("f", None)]);
    }

    fn copied(text: &str) -> (Vec<CopySource>, String) {
        let source = source(text);
        let paths = copy_paths(&source.instructions[0], source.escape).unwrap();
        (paths.sources, paths.destination.text.into())
    }

    #[test]
    fn copies_have_sources_and_a_destination() {
        let text = "COPY --from=x 'a' b\\*  $C \"/d/\"\n";
        let paths = copy_paths(&one(text), '\\').unwrap();
        let sources: Vec<_> = paths.sources.iter().map(|it| if let CopySource::Path(it) = it { it.text.as_str() } else { "" }).collect();
        assert_eq!(sources, ["a", "b*", "$C"]);
        assert_eq!((paths.destination.text.as_str(), paths.destination.span.of(text)), ("/d/", "\"/d/\""));
        assert_eq!(copied("ADD [\"a b\", \"c\"]").1, "c");
        assert_eq!(copied("# escape=`\nCOPY C:\\x C:\\y").1, "C:\\y");
        for text in ["COPY", "COPY a", "COPY []", "COPY [\"a\"]", "COPY --from=a b"] {
            assert_eq!(copy_paths(&one(text), '\\'), None, "{text:?}");
        }
    }

    #[test]
    fn copies_may_be_of_heredocs() {
        let text = "COPY a <<EOF <<\"B\" /x\n1\nEOF\n2\nB\n";
        let (sources, destination) = copied(text);
        assert_eq!(sources[1..], [CopySource::Heredoc(0), CopySource::Heredoc(1)]);
        assert_eq!(destination, "/x");
    }

    #[test]
    fn quotes_and_escapes_are_taken_away() {
        let text = |it: &str, escape| unquoted(&Mapped::verbatim(it, 0), escape).text;
        assert_eq!(text(r#"a"b c"'d"e'\f"#, '\\'), "ab cd\"ef");
        assert_eq!(text(r#""a\"b\$c\\d\e""#, '\\'), r#"a"b$c\d\e"#);
        assert_eq!(text(r"'a\b'", '\\'), r"a\b");
        assert_eq!(text("C:\\a`b", '`'), "C:\\ab");
        assert_eq!(text(r"a\", '\\'), "a");
        assert_eq!(text("\"a", '\\'), "a");
        assert_eq!(text("", '\\'), "");
    }
}
