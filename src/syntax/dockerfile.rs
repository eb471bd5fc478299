//! The typed view of a Dockerfile's tree, and of the syntax of arguments.
//!
//! The tree says where instructions, directives, comments and heredocs are. What stands inside an
//! instruction is read from its logical line, so that a continuation in the middle of
//! anything changes nothing but spans. The syntax of arguments is read on demand: image references
//! ([`from_arguments`]), pairs ([`pairs`]), mounts ([`mount_fields`]), paths ([`copy_paths`]), and expansions
//! ([`expansions`], [`expand`]).

mod arguments;
mod expansion;
mod line;

pub use arguments::{
    CopyPaths, CopySource, FromArguments, ImageReference, MountField, Pair, copy_paths, from_arguments, image_reference, mount_fields, pairs, unquoted,
};
pub use expansion::{Expansion, Operator, Quotes, Variable, expand, expansions};

use super::Mapped;
use crate::edit::Span;
use compact_str::CompactString;
use tree_sitter::{Node, Tree};

/// A Dockerfile as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    /// Parser directives at the top, in order.
    pub directives: Vec<Directive>,
    /// The escape character: `\`, or `` ` `` where a directive says so.
    pub escape: char,
    /// Own-line comments outside instructions: from `#` to the end of the line, without its ending.
    pub comments: Vec<Span>,
    /// The instructions, in order.
    pub instructions: Vec<Instruction>,
}

/// `# name=value` at the top of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// From `#` to the end of the line, without its ending.
    pub span: Span,
    /// In lower case: `syntax`, `escape`, `check`.
    pub name: String,
    /// As written, without white space around it; empty while it is being typed.
    pub value: String,
    /// Where the value stands.
    pub value_span: Span,
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// From the keyword to the last byte of the last argument or heredoc, without the line ending.
    pub span: Span,
    /// The whole lines it takes, the last line's ending and all heredocs included.
    pub lines: Span,
    /// The keyword in upper case.
    pub keyword: String,
    /// Where the keyword stands; empty where a file ends before it (a lone continuation).
    pub keyword_span: Span,
    /// `--name=value` before the arguments.
    pub flags: Vec<Flag>,
    /// All after the flags, continuations and the comments inside them taken out, without white
    /// space at either end. For ONBUILD, the whole trigger.
    pub arguments: Mapped,
    /// The strings of the JSON form, where the arguments are one; for HEALTHCHECK, where what
    /// follows the first word is one. Their spans include the quotes.
    pub json: Option<Vec<Word>>,
    /// Bodies of heredocs, in order of their markers. Those of an ONBUILD instruction are here and
    /// in its trigger.
    pub heredocs: Vec<Heredoc>,
    /// What an ONBUILD instruction holds.
    pub trigger: Option<Box<Instruction>>,
}

/// `--name` or `--name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The whole flag.
    pub span: Span,
    /// In lower case, without the dashes.
    pub name: String,
    /// What stands behind `=`, quotes removed as BuildKit does.
    pub value: Option<Mapped>,
}

/// A word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Where it stands.
    pub span: Span,
    /// As written for words (quotes kept); decoded for strings of the JSON form.
    pub text: CompactString,
}

/// The body of a heredoc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// Name behind `<<`, without quotes.
    pub name: CompactString,
    /// `<<-`: leading tabs are taken off.
    pub chomp: bool,
    /// Unquoted marker: variables are expanded.
    pub expand: bool,
    /// The marker, `<<` included.
    pub marker: Span,
    /// The body, without the line that ends it.
    pub body: Span,
    /// Whether the line that ends it is there.
    pub closed: bool,
}

/// Reads the tree of `text`.
///
/// Every text gives a source: what is not understood is left out, and the rest is read. A tree of
/// another text gives nonsense, but no panic.
pub fn read(text: &str, tree: &Tree) -> Source {
    let root = tree.root_node();
    let mut res = Source { escape: '\\', ..Source::default() };
    for node in root.children(&mut root.walk()) {
        match node.kind() {
            "directive" => {
                let directive = directive(text, node);
                if let ("escape", "\\" | "`") = (directive.name.as_str(), directive.value.as_str()) {
                    res.escape = if directive.value == "`" { '`' } else { '\\' };
                }
                res.directives.push(directive);
            }
            "comment" => res.comments.push(span(node)),
            "instruction" => res.instructions.push(instruction(text, node, res.escape)),
            _ => {}
        }
    }
    res
}

impl Instruction {
    /// The words of the arguments, split at white space as BuildKit does for this instruction, quotes kept.
    /// Where it does not split them at all, they are split between quotes too.
    pub fn words(&self, escape: char) -> Vec<Word> {
        match self.keyword.as_str() {
            "ADD" | "COPY" | "EXPOSE" | "FROM" | "VOLUME" => line::plain_words(&self.arguments),
            _ => line::quoted_words(&self.arguments, escape),
        }
    }
}

fn span(node: Node<'_>) -> Span {
    Span::new(node.start_byte(), node.end_byte())
}

/// The place of the line feed that ends the line of `offset`, or the end of the text.
fn line_feed(text: &str, offset: usize) -> usize {
    text.get(offset..).and_then(|it| it.find('\n')).map_or(text.len(), |it| offset + it)
}

/// The place behind the line feed that ends the line of `offset`, or the end of the text.
fn next_line(text: &str, offset: usize) -> usize {
    (line_feed(text, offset) + 1).min(text.len())
}

fn directive(text: &str, node: Node<'_>) -> Directive {
    let start = node.start_byte();
    let line = Span::new(start, line_feed(text, node.end_byte())).of(text);
    let field = |name| node.child_by_field_name(name).map(span);
    let value_span = field("value").unwrap_or(Span::at(node.end_byte()));
    Directive {
        span: Span::new(start, start + line.trim_end_matches('\r').len()),
        name: field("name").map(|it| it.of(text).to_ascii_lowercase()).unwrap_or_default(),
        value: value_span.of(text).to_string(),
        value_span,
    }
}

/// What the tree says about an instruction.
#[derive(Debug, Default, PartialEq)]
struct Outline {
    /// Where the keyword begins.
    keyword: Option<usize>,
    /// The end of the last token before the heredocs.
    end: usize,
    /// Whether the file ends after a continuation.
    is_dangling: bool,
    markers: Vec<Span>,
    heredocs: Vec<HeredocOutline>,
}

#[derive(Debug, PartialEq)]
struct HeredocOutline {
    body: Span,
    end: Option<Span>,
}

impl Outline {
    fn of(text: &str, node: Node<'_>, escape: char) -> Outline {
        Outline::plain(text, node, escape).unwrap_or_else(|| Outline::read(node))
    }

    fn read(node: Node<'_>) -> Outline {
        let mut res = Outline::default();
        res.add_children(node);
        res
    }

    /// The outline of an instruction without heredocs, which is most of them, without a look at its tokens:
    /// to walk a tree takes longer than to read what was found. It begins with its keyword, and its last
    /// token is not a continuation or a comment.
    fn plain(text: &str, node: Node<'_>, escape: char) -> Option<Outline> {
        let whole = span(node);
        // The token of a continuation takes the end of its line.
        let written = whole.of(text).trim_end();
        let last_line = written[written.rfind('\n').map_or(0, |it| it + 1)..].trim_start();
        // A continuation may cut the marker of a heredoc.
        let may_mark = |it: &[u8]| it[0] == b'<' && (it[1] == b'<' || char::from(it[1]) == escape);
        let has_marker = written.as_bytes().windows(2).any(may_mark);
        let is_plain = written.starts_with(|it: char| it.is_ascii_alphabetic()) && !has_marker && !last_line.starts_with('#') && !last_line.ends_with(escape);
        is_plain.then(|| Outline { keyword: Some(whole.start), end: whole.end, ..Outline::default() })
    }

    /// An ONBUILD holds an instruction, and each holds arguments: that is as deep as it goes.
    fn add_children(&mut self, node: Node<'_>) {
        for child in node.children(&mut node.walk()) {
            match child.kind() {
                "heredoc" => self.heredocs.push(HeredocOutline::of(child)),
                "arguments" | "instruction" => self.add_children(child),
                kind => {
                    self.is_dangling = matches!(kind, "line_continuation" | "comment");
                    self.end = child.end_byte();
                    if kind == "keyword" {
                        self.keyword.get_or_insert(child.start_byte());
                    }
                    if kind == "heredoc_marker" {
                        self.markers.push(span(child));
                    }
                }
            }
        }
    }
}

impl HeredocOutline {
    fn of(node: Node<'_>) -> HeredocOutline {
        let mut body = Span::at(node.start_byte());
        let mut end = None;
        for child in node.children(&mut node.walk()) {
            match child.kind() {
                "heredoc_body" => body = span(child),
                "heredoc_end" => end = Some(span(child)),
                _ => {}
            }
        }
        HeredocOutline { body, end }
    }
}

fn instruction(text: &str, node: Node<'_>, escape: char) -> Instruction {
    let outline = Outline::of(text, node, escape);
    let start = outline.keyword.unwrap_or(outline.end);
    let line = line::join(text, Span::new(start, line_feed(text, outline.end)), escape);
    let heredocs = heredocs(text, &outline, escape);

    let mut res = from_line(&line, escape);
    res.lines = lines(text, node, &outline);
    // White space behind an escape belongs to a marker, which is not trimmed as the line is.
    let markers_end = heredocs.iter().map(|it| it.marker.end).max();
    res.span.end = heredocs_end(text, &outline, &heredocs).unwrap_or(res.span.end).max(markers_end.unwrap_or_default());
    res.heredocs = heredocs;
    if outline.keyword.is_none() {
        res.span = Span::at(start);
        res.keyword_span = res.span;
    }
    if res.keyword == "ONBUILD" && !res.arguments.text.is_empty() {
        let trigger = from_line(&res.arguments, escape);
        let span = Span::new(trigger.span.start, res.span.end);
        res.trigger = Some(Box::new(Instruction { span, lines: res.lines, heredocs: res.heredocs.clone(), ..trigger }));
    }
    res
}

/// Reads the logical line of an instruction; whole lines, heredocs and triggers are for the caller.
fn from_line(line: &Mapped, escape: char) -> Instruction {
    let parts = line::split(line, escape);
    let arguments = line.slice(parts.arguments);
    let keyword = parts.keyword.of(&line.text).to_uppercase();
    let keyword_span = line.span(parts.keyword);
    let last = [parts.flags.last().map(|it| it.span.end), Some(line.span(parts.arguments).end).filter(|_| !arguments.text.is_empty())];
    let end = last.into_iter().flatten().fold(keyword_span.end, usize::max);
    Instruction {
        span: Span::new(keyword_span.start, end),
        lines: Span::default(),
        json: json(&keyword, &arguments),
        keyword,
        keyword_span,
        flags: parts.flags,
        arguments,
        heredocs: Vec::new(),
        trigger: None,
    }
}

fn json(keyword: &str, arguments: &Mapped) -> Option<Vec<Word>> {
    let all = Span::new(0, arguments.text.len());
    match keyword {
        "ADD" | "CMD" | "COPY" | "ENTRYPOINT" | "RUN" | "SHELL" | "VOLUME" => line::json_strings(arguments, all),
        "HEALTHCHECK" => {
            let command = arguments.text.find(char::is_whitespace)?;
            line::json_strings(arguments, line::trimmed(&arguments.text, Span::new(command, all.end)))
        }
        _ => None,
    }
}

fn lines(text: &str, node: Node<'_>, outline: &Outline) -> Span {
    let before = text.get(..node.start_byte()).unwrap_or("");
    // A byte-order mark belongs to the file, not to the first line.
    let start = before.rfind('\n').map_or(if before.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 }, |it| it + 1);
    let is_open = outline.heredocs.len() < outline.markers.len() || outline.heredocs.last().is_some_and(|it| it.end.is_none());
    // What follows a continuation belongs to the instruction, even if nothing but comments does.
    let end = if outline.is_dangling || is_open { text.len() } else { next_line(text, node.end_byte()) };
    Span::new(start, end)
}

/// Where the last heredoc ends, without the ending of its last line.
fn heredocs_end(text: &str, outline: &Outline, heredocs: &[Heredoc]) -> Option<usize> {
    let body = heredocs.iter().rfind(|it| !it.body.is_empty() || it.closed)?.body;
    let closed = outline.heredocs.iter().filter_map(|it| it.end).next_back();
    let open = body.start + body.of(text).trim_end_matches(['\r', '\n']).len();
    Some(closed.map_or(open, |it| it.end.max(open)))
}

fn heredocs(text: &str, outline: &Outline, escape: char) -> Vec<Heredoc> {
    let read = |(index, marker): (usize, &Span)| {
        let written = line::join(text, *marker, escape);
        let parsed = arguments::heredoc_marker(&written.text)?;
        let outline = outline.heredocs.get(index);
        Some(Heredoc {
            name: parsed.name,
            chomp: parsed.chomp,
            expand: parsed.expand,
            marker: *marker,
            body: outline.map_or(Span::at(text.len()), |it| it.body),
            closed: outline.is_some_and(|it| it.end.is_some()),
        })
    };
    outline.markers.iter().enumerate().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::Edit;
    use crate::text::{Document, Language};
    use proptest::prelude::*;

    fn source(text: &str) -> Source {
        let document = Document::new(Language::Dockerfile, text);
        let tree = document.tree().unwrap();
        assert!(!tree.root_node().has_error(), "{text:?}");
        read(text, tree)
    }

    /// The only instruction of a text.
    fn one(text: &str) -> Instruction {
        let mut instructions = source(text).instructions;
        assert_eq!(instructions.len(), 1, "{text:?}");
        instructions.remove(0)
    }

    fn keywords(text: &str) -> Vec<String> {
        source(text).instructions.into_iter().map(|it| it.keyword).collect()
    }

    fn texts(words: &[Word]) -> Vec<&str> {
        words.iter().map(|it| it.text.as_str()).collect()
    }

    #[test]
    fn an_empty_file_has_nothing() {
        for text in ["", "\n", " \t\r\n\n", "\u{feff}", "\u{feff}\n\u{a0}", "\u{2028}"] {
            assert_eq!(source(text), Source { escape: '\\', ..Source::default() }, "{text:?}");
        }
    }

    #[test]
    fn spans_of_an_instruction() {
        let text = "FROM a\n\n  run  x \\\n  y  \nCMD z";
        let source = source(text);
        let run = &source.instructions[1];
        assert_eq!(run.keyword, "RUN");
        assert_eq!(run.keyword_span.of(text), "run");
        assert_eq!(run.span.of(text), "run  x \\\n  y");
        assert_eq!(run.lines.of(text), "  run  x \\\n  y  \n");
        assert_eq!(run.arguments.text, "x   y");
        assert_eq!(source.instructions[2].lines.of(text), "CMD z");
    }

    #[test]
    fn comments_are_those_between_instructions() {
        let text = "# a\r\nFROM a\n  # b \nRUN x \\\n# inside\n  y # not one\n#c";
        let source = source(text);
        assert_eq!(source.comments.iter().map(|it| it.of(text)).collect::<Vec<_>>(), ["# a", "# b ", "#c"]);
        assert_eq!(source.instructions[1].arguments.text, "x   y # not one");
    }

    #[test]
    fn a_trailing_hash_is_no_comment() {
        assert_eq!(texts(&one("COPY . . # note\n").words('\\')), [".", ".", "#", "note"]);
        assert_eq!(keywords("RUN echo \"x\" # ok\nCOPY . .\n"), ["RUN", "COPY"]);
    }

    #[test]
    fn directives_are_read_at_the_top_only() {
        let text = "# syntax=docker/dockerfile:1\r\n#escape = `\n # Check=skip=all; error=true \nFROM a\n# escape=\\\n";
        let source = source(text);
        let directives: Vec<_> = source.directives.iter().map(|it| (it.name.as_str(), it.value.as_str(), it.span.of(text))).collect();
        assert_eq!(
            directives,
            [
                ("syntax", "docker/dockerfile:1", "# syntax=docker/dockerfile:1"),
                ("escape", "`", "#escape = `"),
                ("check", "skip=all; error=true", "# Check=skip=all; error=true "),
            ]
        );
        assert_eq!(source.directives[1].value_span.of(text), "`");
        assert_eq!(source.escape, '`');
        assert_eq!(source.comments.len(), 1);
    }

    #[test]
    fn what_ends_directives() {
        for before in ["\n", "# c\n", "# unknown=x\n", "FROM a\n", "#!/x\n", " \n", "# syntax=\n", "# syntax\n"] {
            assert_eq!(source(&format!("{before}# escape=`\n")).escape, '\\', "{before:?}");
        }
        for before in ["\u{feff}", "# syntax=a\n", " # check=a\r\n", "# syntax= \n"] {
            assert_eq!(source(&format!("{before}# escape=`\n")).escape, '`', "{before:?}");
        }
    }

    #[test]
    fn a_directive_that_is_being_typed_has_no_value() {
        for text in ["# syntax=", "# syntax=\n", "# syntax=  \r\nFROM a"] {
            let source = source(text);
            assert_eq!((source.directives[0].name.as_str(), source.directives[0].value.as_str()), ("syntax", ""), "{text:?}");
        }
        assert!(source("# syntax\nFROM a\n").directives.is_empty());
    }

    #[test]
    fn the_escape_directive_changes_continuations() {
        let text = "# escape=`\nRUN dir C:\\\nCOPY a `\n b\n";
        let source = source(text);
        assert_eq!(source.instructions[0].arguments.text, "dir C:\\");
        assert_eq!(texts(&source.instructions[1].words('`')), ["a", "b"]);
    }

    #[test]
    fn what_is_a_continuation() {
        for (text, arguments) in [
            ("RUN a\\\nb", "ab"),
            ("RUN a \\ \t\r\nb", "a b"),
            ("RUN a \\\n\n \n# c\n  # d\nb", "a b"),
            ("RUN 'a \\\n# c\n b'", "'a  b'"),
            ("RUN \\\n\\\n  \\\na", "a"),
            ("RUN a \\", "a"),
            ("RUN a \\\n\n# c\n", "a"),
            ("RUN a\\\r\r\nb", "ab"),
        ] {
            let instruction = one(text);
            assert_eq!(instruction.arguments.text, arguments, "{text:?}");
            assert_eq!(instruction.lines, Span::new(0, text.len()), "{text:?}");
        }
        for text in ["RUN a\\\\\nCMD", "RUN a\\\\\\\nCMD", "RUN a\\ b\nCMD", "RUN a\\\r \nCMD", "RUN a \\ \u{a0}\nCMD", "RUN # \\\\\nCMD"] {
            assert_eq!(keywords(text), ["RUN", "CMD"], "{text:?}");
        }
    }

    #[test]
    fn a_keyword_may_be_split() {
        for text in ["RU\\\nN a\n", "R\\\n# c\n\nU\\ \nN a\n", "\\\nRUN a\n", "\\\n\n# c\n  \\\n RUN a", "RUN\\\n a"] {
            let run = one(text);
            assert_eq!((run.keyword.as_str(), run.arguments.text.as_str()), ("RUN", "a"), "{text:?}");
            assert_eq!(run.lines, Span::new(0, text.len()), "{text:?}");
        }
        assert_eq!(keywords("RUN\\\nx a"), ["RUNX"]);
        assert_eq!(keywords("\\\n"), [""]);
    }

    #[test]
    fn a_broken_line_leaves_the_others_alone() {
        for broken in [
            "RUN",
            "COPY",
            "COPY --from",
            "ENV a",
            "LABEL k",
            "RUN \"a",
            "RUN 'a",
            "FROM",
            "garbage <<EOF {",
            "CMD [\"a\"",
            "]",
            "ONBUILD",
            "--x",
            "RUN <<",
            "RUN ${",
        ] {
            let text = format!("FROM a\n{broken}\nWORKDIR /b\nRUN c\n");
            let keywords = keywords(&text);
            assert_eq!(keywords.len(), 4, "{broken:?}");
            assert_eq!(keywords[2..], ["WORKDIR", "RUN"], "{broken:?}");
        }
    }

    #[test]
    fn flags_lose_their_quotes_and_keep_their_spans() {
        let text = "RUN --mount=type=cache,\\\ntarget=/x --Network=\"a b\"\\ c --x -- --y z\n";
        let run = one(text);
        let flags: Vec<_> = run.flags.iter().map(|it| (it.name.as_str(), it.value.as_ref().map(|it| it.text.as_str()))).collect();
        assert_eq!(flags, [("mount", Some("type=cache,target=/x")), ("network", Some("a b c")), ("x", None)]);
        assert_eq!(run.flags[0].span.of(text), "--mount=type=cache,\\\ntarget=/x");
        let value = run.flags[0].value.as_ref().unwrap();
        assert_eq!(value.span(Span::new(11, 20)).of(text), "target=/x");
        assert_eq!(run.arguments.text, "--y z");
        assert!(one("RUN a --x=y\n").flags.is_empty());
        assert!(one("RUN -x --y\n").flags.is_empty());
        assert_eq!(one("RUN --x").span, Span::new(0, 7));
    }

    #[test]
    fn words_are_split_as_the_instruction_wants() {
        assert_eq!(texts(&one("COPY \"a b\" c\n").words('\\')), ["\"a", "b\"", "c"]);
        assert_eq!(texts(&one("ENV a=\"b c\" d='e f' g=h\\ i\n").words('\\')), ["a=\"b c\"", "d='e f'", "g=h\\ i"]);
        assert_eq!(texts(&one("RUN echo \"a b\"\t\u{b}c\n").words('\\')), ["echo", "\"a b\"", "c"]);
        assert_eq!(texts(&one("EXPOSE 80 82/$p\r\n").words('\\')), ["80", "82/$p"]);
    }

    #[test]
    fn the_json_form_is_an_array_of_strings() {
        let text = "CMD [ \"a\" ,\\\n \"b\\u0063\\n\\\"\"]\n";
        let json = one(text).json.unwrap();
        assert_eq!(texts(&json), ["a", "bc\n\""]);
        assert_eq!(json[1].span.of(text), "\"b\\u0063\\n\\\"\"");
        assert_eq!(one("HEALTHCHECK --interval=5s CMD [\"a\"]").json.map(|it| it.len()), Some(1));
        assert_eq!(one("RUN []").json, Some(Vec::new()));
        assert_eq!(one(r#"RUN ["\ud83d\ude00\ud800x"]"#).json.unwrap()[0].text, "😀\u{fffd}x");
        for text in ["CMD ['a']", "CMD [\"a\"", "CMD [\"a\",]", "CMD [\"a\"] b", "CMD [1]", "CMD [\"\\x\"]", "CMD \"a\"", "CMD", "CMD [\"a\u{1}\"]"] {
            assert_eq!(one(text).json, None, "{text:?}");
        }
        for text in ["ENV [\"a\"]", "FROM [\"a\"]", "USER [\"a\"]", "HEALTHCHECK [\"a\"]"] {
            assert_eq!(one(text).json, None, "{text:?}");
        }
    }

    /// Name, body and whether it is closed, of each heredoc.
    fn heredocs(text: &str) -> Vec<(String, String, bool)> {
        let of = |it: Heredoc| (it.name.into(), it.body.of(text).to_string(), it.closed);
        source(text).instructions.into_iter().flat_map(|it| it.heredocs).map(of).collect()
    }

    fn closed(name: &str, body: &str) -> (String, String, bool) {
        (name.to_string(), body.to_string(), true)
    }

    #[test]
    fn a_marker_with_an_escaped_form_feed_is_a_part_of_its_instruction() {
        for text in ["COPY <<'EOF'\\\u{c}", "ONBUILD RUN <<EOF\\\u{c}\nx\n"] {
            check_source(text, &source(text));
        }
    }

    #[test]
    fn heredocs_follow_their_markers() {
        let text = "COPY <<EOF 3<<-\"B C\" /x\nhello\n\nEOF\n\tx\n\t\tB C\nRUN y\n";
        assert_eq!(heredocs(text), [closed("EOF", "hello\n\n"), closed("B C", "\tx\n")]);
        let source = source(text);
        let [first, second] = source.instructions[0].heredocs.as_slice() else { panic!() };
        assert_eq!((first.marker.of(text), first.expand, first.chomp), ("<<EOF", true, false));
        assert_eq!((second.marker.of(text), second.expand, second.chomp), ("3<<-\"B C\"", false, true));
        assert_eq!(source.instructions[0].span.of(text), "COPY <<EOF 3<<-\"B C\" /x\nhello\n\nEOF\n\tx\n\t\tB C");
        assert_eq!(source.instructions[0].lines.end, text.find("RUN").unwrap());
        assert_eq!(source.instructions[0].arguments.text, "<<EOF 3<<-\"B C\" /x");
        assert_eq!(source.instructions[1].keyword, "RUN");
    }

    #[test]
    fn names_of_heredocs() {
        for (marker, name) in [
            ("<<EOF", "EOF"),
            ("<< EOF", "EOF"),
            ("<< -EOF", "-EOF"),
            ("<<'E F'", "E F"),
            ("<<E\"O\"'F'", "EOF"),
            ("<<E\\ F", "E F"),
            ("<<\\EOF", "EOF"),
            ("<<$A", "$A"),
            ("<<${A}", "${A}"),
            ("<<\"a\\b\\\"c\"", "a\\b\"c"),
            ("0<<é", "é"),
            ("<<E\\\nOF", "EOF"),
            ("<<\\\n# c\n EOF", "EOF"),
            ("<<a;", "a;"),
        ] {
            let text = format!("RUN {marker} cat\nx\n{name}\nCMD\n");
            assert_eq!(heredocs(&text), [closed(name, "x\n")], "{marker:?}");
            assert_eq!(keywords(&text), ["RUN", "CMD"], "{marker:?}");
        }
    }

    #[test]
    fn what_is_no_heredoc() {
        for line in [
            "RUN a<<EOF",
            "RUN <<<EOF",
            "RUN <<- EOF",
            "RUN <<E<F",
            "RUN <<",
            "RUN <<\"\"",
            "RUN \"<<EOF\"",
            "RUN '<<EOF'",
            "RUN \\<<EOF",
            "RUN $((1<<2))",
            "RUN echo don't <<EOF",
            "RUN <<EOF && echo \"x",
            "RUN echo ${#a} <<EOF",
            "RUN ${a <<EOF",
            "RUN ${} <<EOF",
            "RUN <<${a:-EOF}",
            "CMD <<EOF",
            "ENV a=<<EOF",
            "ONBUILD CMD <<EOF",
            "ONBUILD ONBUILD RUN <<EOF",
            "RUNX <<EOF",
            "RUN [\"a\", \"<<EOF\"]",
            "RUN a<< <<EOF",
        ] {
            let text = format!("{line}\nWORKDIR /\n");
            assert_eq!(heredocs(&text), [], "{line:?}");
            assert_eq!(source(&text).instructions.len(), 2, "{line:?}");
        }
    }

    #[test]
    fn heredocs_end_where_their_name_stands_alone() {
        assert_eq!(heredocs("RUN <<EOF\n EOF\nEOF \nEOFX\n\tEOF\nEOF\n"), [closed("EOF", " EOF\nEOF \nEOFX\n\tEOF\n")]);
        assert_eq!(heredocs("RUN <<EOF\r\nx\r\nEOF\r\n"), [closed("EOF", "x\r\n")]);
        assert_eq!(heredocs("RUN <<EOF\nEOF"), [closed("EOF", "")]);
        assert_eq!(heredocs("RUN <<EOF\r\nEOF\r\r\nCMD\n"), [closed("EOF", "")]);
        assert_eq!(heredocs("RUN <<A <<A\n1\nA\n2\nA\n"), [closed("A", "1\n"), closed("A", "2\n")]);
    }

    #[test]
    fn a_heredoc_that_nothing_ends_takes_the_rest() {
        let text = "RUN <<A <<B\nx\nA\ny\nCMD z\n";
        assert_eq!(heredocs(text), [closed("A", "x\n"), ("B".to_string(), "y\nCMD z\n".to_string(), false)]);
        assert_eq!(one(text).lines, Span::new(0, text.len()));
        assert_eq!(one(text).span, Span::new(0, text.len() - 1));
        for text in ["RUN <<A", "RUN <<A\n", "RUN <<A <<B\nA", "RUN <<A <<B\nA\r\n"] {
            let run = one(text);
            assert_eq!(run.lines, Span::new(0, text.len()), "{text:?}");
            assert!(run.heredocs.last().is_some_and(|it| !it.closed && it.body == Span::at(text.len())), "{text:?}");
        }
    }

    #[test]
    fn onbuild_holds_an_instruction() {
        let text = "ONBUILD COPY --from=a <<EOF /x\ny\nEOF\n";
        let onbuild = one(text);
        let trigger = onbuild.trigger.unwrap();
        assert_eq!((trigger.keyword.as_str(), trigger.flags.len(), trigger.heredocs.len()), ("COPY", 1, 1));
        assert_eq!(trigger.span.of(text), "COPY --from=a <<EOF /x\ny\nEOF");
        assert_eq!(trigger.lines, onbuild.lines);
        assert_eq!(trigger.keyword_span.of(text), "COPY");
        assert_eq!(onbuild.arguments.text, "COPY --from=a <<EOF /x");
        assert_eq!(onbuild.heredocs, trigger.heredocs);
        assert_eq!(one("ONBUILD\n").trigger, None);
        assert_eq!(one("ONBUILD ONBUILD RUN a").trigger.unwrap().trigger, None);
    }

    #[test]
    fn a_byte_order_mark_belongs_to_no_line() {
        let text = "\u{feff}FROM a\n";
        let from = one(text);
        assert_eq!((from.keyword.as_str(), from.lines.of(text)), ("FROM", "FROM a\n"));
    }

    #[test]
    fn odd_characters_are_characters() {
        assert_eq!(one("RUN a\0b\n").arguments.text, "a\0b");
        assert_eq!(one("RUN\u{c}a\u{b}b").arguments.text, "a\u{b}b");
        assert_eq!(one("\u{a0}RUN a\u{a0}\n").arguments.text, "a");
        assert_eq!(one("RUN a\rb\n").arguments.text, "a\rb");
        assert_eq!(keywords("\0\nRUN a"), ["\0", "RUN"]);
        assert_eq!(keywords("RUN\u{a0}a\nRUN\u{a0}"), ["RUN\u{a0}A", "RUN"]);
    }

    #[test]
    fn what_is_long_is_read_all_the_same() {
        let long = "x".repeat(100_000);
        assert_eq!(heredocs(&format!("RUN <<{long}\na\nx\n{long}\nCMD\n")), [closed(&long, "a\nx\n")]);
        assert_eq!(one(&format!("{long} {long}\n")).keyword.len(), long.len());
        assert_eq!(one(&format!("RUN --{long}={long} {long}\n")).flags[0].name, long);
        assert_eq!(one(&format!("RUN {}\n", "a\\\n".repeat(20_000))).arguments.text.len(), 20_000);
    }

    #[test]
    fn beyond_the_bounds_less_is_understood() {
        let deep = format!("RUN {}<<EOF\nCMD\n", "${a:-".repeat(1000));
        assert_eq!(keywords(&deep), ["RUN", "CMD"]);
        let closed = format!("RUN {}{} <<EOF\nx\nEOF\n", "${a:-".repeat(50), "}".repeat(50));
        assert_eq!(heredocs(&closed).len(), 1);
        let many = format!("RUN {}\n{}CMD\n", "<<A ".repeat(100), "A\n".repeat(64));
        assert_eq!(one(&many[..many.len() - 4]).heredocs.len(), 64);
        assert_eq!(keywords(&many), ["RUN", "CMD"]);
    }

    #[test]
    fn queries_fit_the_grammar() {
        let grammar = Language::Dockerfile.grammar();
        for query in [include_str!("../../queries/dockerfile/highlights.scm"), include_str!("../../queries/dockerfile/injections.scm")] {
            assert_eq!(tree_sitter::Query::new(&grammar, query).err(), None);
        }
    }

    /// What makes Dockerfiles hard to read; texts are put together from these.
    const FRAGMENTS: &[&str] = &[
        "FROM ",
        "RUN ",
        "COPY ",
        "ADD ",
        "ENV ",
        "ARG ",
        "ONBUILD ",
        "CMD ",
        "HEALTHCHECK ",
        "run ",
        "a",
        "b=c",
        "\"",
        "'",
        "\\",
        "`",
        "$",
        "${",
        "}",
        "${a:-",
        "${a#",
        "${a/",
        "/",
        "<",
        "<<",
        "<<-",
        "<<EOF",
        "<<'EOF'",
        "1<<\"E F\"",
        "EOF\n",
        "\nEOF\n",
        "\tEOF\n",
        "E F\n",
        "\n",
        "\n",
        "\n",
        "\r\n",
        "\r",
        "\\\n",
        "\\\n",
        "\\ \r\n",
        "`\n",
        "# c\n",
        "#",
        "# syntax=a\n",
        "# escape=`\n",
        "# escape=\\\n",
        "#check=",
        " ",
        " ",
        " ",
        "\t",
        "\u{c}",
        "\u{a0}",
        "\u{feff}",
        "\0",
        "é",
        "😀",
        "--",
        "--x=y ",
        "--mount=\"a b\" ",
        "[\"a\", \"b\"]",
        "[",
        "]",
        ",",
        "-",
        "RUN <<EOF\nx\nEOF\n",
        "\nRUN a \\\n  b\n",
    ];

    fn any_text() -> impl Strategy<Value = String> {
        proptest::collection::vec(proptest::sample::select(FRAGMENTS), 0..40).prop_map(|it| it.concat())
    }

    /// An edit as shares of the text's length, so that it fits any text.
    fn any_edit() -> impl Strategy<Value = (usize, usize, String)> {
        let insert = proptest::collection::vec(proptest::sample::select(FRAGMENTS), 0..3).prop_map(|it| it.concat());
        (0..10_000_usize, prop_oneof![Just(0_usize), 0..4_usize, 0..60_usize], insert)
    }

    /// More with `LAYERWISE_CASES`.
    fn config() -> ProptestConfig {
        let cases = std::env::var("LAYERWISE_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(500);
        ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
    }

    /// Every node with its place.
    fn nodes(tree: &Tree) -> Vec<(u16, Option<u16>, Span)> {
        let mut res = Vec::new();
        let mut cursor = tree.walk();
        loop {
            res.push((cursor.node().kind_id(), cursor.field_id().map(u16::from), span(cursor.node())));
            if cursor.goto_first_child() || cursor.goto_next_sibling() {
                continue;
            }
            loop {
                if !cursor.goto_parent() {
                    return res;
                }
                if cursor.goto_next_sibling() {
                    break;
                }
            }
        }
    }

    fn boundary(text: &str, offset: usize) -> usize {
        (0..=offset.min(text.len())).rev().find(|it| text.is_char_boundary(*it)).unwrap_or(0)
    }

    fn check_span(text: &str, span: Span) {
        assert!(span.start <= span.end && text.get(span.start..span.end).is_some(), "{span:?} in {text:?}");
    }

    fn check_mapped(text: &str, mapped: &Mapped) {
        for (at, c) in mapped.text.char_indices() {
            let place = Span::new(at, at + c.len_utf8());
            assert_eq!(mapped.span(place).of(text), place.of(&mapped.text), "{at} of {mapped:?} in {text:?}");
        }
    }

    fn check_instruction(text: &str, it: &Instruction, escape: char) {
        for span in [it.span, it.lines, it.keyword_span] {
            check_span(text, span);
        }
        assert!(it.lines.contains(it.span) && it.span.contains(it.keyword_span), "{it:?} in {text:?}");
        check_mapped(text, &it.arguments);
        let mut end = it.keyword_span.end;
        let parts = it.flags.iter().map(|it| it.span).chain(it.words(escape).into_iter().map(|it| it.span));
        for span in parts {
            check_span(text, span);
            assert!(end <= span.start && it.span.contains(span), "{span:?} of {it:?} in {text:?}");
            end = span.end;
        }
        for word in it.json.iter().flatten() {
            check_span(text, word.span);
        }
        for heredoc in &it.heredocs {
            check_span(text, heredoc.marker);
            check_span(text, heredoc.body);
            assert!(it.lines.contains(heredoc.body) && it.span.contains(heredoc.marker), "{it:?} in {text:?}");
        }
        for flag in &it.flags {
            flag.value.iter().for_each(|it| check_mapped(text, it));
        }
        it.trigger.iter().for_each(|it| check_instruction(text, it, escape));
    }

    /// What is left of a text without all that was read is white space.
    fn check_source(text: &str, source: &Source) {
        let mut spans: Vec<Span> = source.directives.iter().map(|it| it.span).chain(source.comments.iter().copied()).collect();
        assert!(spans.is_sorted());
        assert!(source.instructions.is_sorted_by_key(|it| it.lines));
        spans.extend(source.instructions.iter().map(|it| it.lines));
        spans.sort();
        let mut end = 0;
        for span in spans {
            check_span(text, span);
            assert!(end <= span.start, "{span:?} overlaps in {text:?}");
            let between = Span::new(end, span.start).of(text);
            assert!(between.trim_start_matches('\u{feff}').trim().is_empty(), "{between:?} was not read in {text:?}");
            end = span.end;
        }
        assert!(Span::new(end, text.len()).of(text).trim_start_matches('\u{feff}').trim().is_empty(), "the end was not read in {text:?}");
        source.instructions.iter().for_each(|it| check_instruction(text, it, source.escape));
    }

    fn check_outlines(text: &str) {
        let document = Document::new(Language::Dockerfile, text);
        let root = document.tree().unwrap().root_node();
        let escape = read(text, document.tree().unwrap()).escape;
        for node in root.children(&mut root.walk()).filter(|it| it.kind() == "instruction") {
            let plain = Outline::plain(text, node, escape);
            assert!(plain.as_ref().is_none_or(|it| *it == Outline::read(node)), "{plain:?} of {:?} in {text:?}", span(node).of(text));
        }
    }

    #[test]
    fn outlines_without_a_look_at_the_tokens_are_the_same() {
        for text in [
            "RUN <\\\n<D\ne\nD\n",
            "RUN <<\\\nD\ne\nD\n",
            "# escape=`\nRUN <`\n# c\n<D\ne\nD\n",
            "RUN a < b \\\n  && c <d\n",
            "RUN a \\\n# b\n",
            "RUN a \\\n\n",
            "RUN a \\ \n  b\n",
            "RU\\\nN a\n",
            "\\\nRUN a\n",
            "ONBUILD RUN a <\\\n<D\nb\nD\n",
        ] {
            check_outlines(text);
        }
    }

    fn check_arguments(source: &Source) {
        for it in &source.instructions {
            let _ = (from_arguments(it, source.escape), pairs(it, source.escape), copy_paths(it, source.escape));
            let _ = expansions(&it.arguments, source.escape, Quotes::Removed);
            let _ = expand(&it.arguments.text, source.escape, Quotes::Removed, |_| Variable::Set("a*".to_string()));
            let _ = it.flags.iter().map(mount_fields).count();
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn trees_after_edits_equal_fresh_ones(text in any_text(), edits in proptest::collection::vec(any_edit(), 1..8)) {
            let mut document = Document::new(Language::Dockerfile, &text);
            for (at, length, insert) in edits {
                let text = document.source().into_owned();
                let start = boundary(&text, at % (text.len() + 1));
                let end = boundary(&text, start + length).max(start);
                document.edit(&Edit::replace(Span::new(start, end), insert));
                let text = document.source().into_owned();
                let fresh = Document::new(Language::Dockerfile, &text);
                prop_assert_eq!(nodes(document.tree().unwrap()), nodes(fresh.tree().unwrap()), "{:?}", text);
                prop_assert_eq!(read(&text, document.tree().unwrap()), read(&text, fresh.tree().unwrap()));
            }
        }

        #[test]
        fn all_of_a_text_is_read(text in any_text()) {
            let source = source(&text);
            check_source(&text, &source);
            check_arguments(&source);
            check_outlines(&text);
        }

        #[test]
        fn any_string_is_read(text in any::<String>(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for text in [text, String::from_utf8_lossy(&bytes).into_owned()] {
                let source = source(&text);
                check_source(&text, &source);
                check_arguments(&source);
                check_outlines(&text);
            }
        }

        #[test]
        fn a_tree_of_another_text_is_no_danger(text in any_text(), other in any_text()) {
            let document = Document::new(Language::Dockerfile, &other);
            check_arguments(&read(&text, document.tree().unwrap()));
        }
    }
}
