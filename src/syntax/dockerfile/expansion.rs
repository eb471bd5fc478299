//! Expansions: `$NAME` and `${NAME…}`, as BuildKit's shell lexer reads them
//! (`frontend/dockerfile/shell/lex.go`).

use crate::edit::Span;
use crate::syntax::Mapped;
use regex::Regex;

/// Deeper expansions are not read; BuildKit's own tests nest two.
const MAX_DEPTH: usize = 64;

/// Whether quotes mean something in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quotes {
    /// They do, and are taken away: arguments.
    Removed,
    /// They do not: bodies of heredocs.
    Kept,
}

/// An expansion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expansion {
    /// From `$` to the end of the name or to `}`.
    pub span: Span,
    /// The name of the variable. A special parameter such as `@` is a name too.
    pub name: String,
    /// Where the name stands.
    pub name_span: Span,
    /// What is done with the value; `None` for `$NAME` and `${NAME}`.
    pub operator: Option<Operator>,
    /// What stands behind the operator, as written. For a replacement: the pattern.
    pub word: Option<Span>,
    /// What a replacement puts in.
    pub replacement: Option<Span>,
}

/// What an expansion does with the value of its variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `-` and `:-`: the word if the variable is not set.
    Default {
        /// `:`: an empty value counts as none.
        or_empty: bool,
    },
    /// `+` and `:+`: the word if the variable is set.
    Alternative {
        /// `:`: an empty value counts as none.
        or_empty: bool,
    },
    /// `?` and `:?`: an error if the variable is not set.
    Required {
        /// `:`: an empty value counts as none.
        or_empty: bool,
    },
    /// `#` and `##`: without what the pattern matches at the start.
    TrimStart {
        /// As much as possible.
        longest: bool,
    },
    /// `%` and `%%`: without what the pattern matches at the end.
    TrimEnd {
        /// As much as possible.
        longest: bool,
    },
    /// `/` and `//`: what the pattern matches is replaced.
    Replace {
        /// Everywhere, not only once.
        all: bool,
    },
}

/// What is known of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// Its value.
    Set(String),
    /// It has none, which is certain.
    Unset,
    /// Nothing is known.
    Unknown,
}

/// All expansions of a text, nested ones behind the one they stand in. Half-typed ones are here as
/// far as they go.
pub fn expansions(text: &Mapped, escape: char, quotes: Quotes) -> Vec<Expansion> {
    let mut res = Vec::new();
    if !text.text.contains('$') {
        return res;
    }
    let (pieces, _) = Lexer::read(&text.text, escape, quotes);
    collect(&pieces, text, &mut res);
    res
}

/// The text with all variables replaced by their values, and without quotes and escapes.
///
/// `None` if a value that is needed is not known, or if BuildKit would refuse the text: broken
/// syntax, or an unset variable with `?`.
pub fn expand(text: &str, escape: char, quotes: Quotes, mut lookup: impl FnMut(&str) -> Variable) -> Option<String> {
    if !text.contains(['$', '"', '\'', escape]) {
        return Some(text.to_owned());
    }
    let (pieces, is_whole) = Lexer::read(text, escape, quotes);
    is_whole.then(|| evaluate(&pieces, &mut lookup)).flatten()
}

/// A part of a text.
enum Piece {
    /// Text without quotes and escapes.
    Text(String),
    Variable(Substitution),
}

/// An expansion with its words taken apart.
struct Substitution {
    span: Span,
    name: Span,
    name_text: String,
    operator: Option<Operator>,
    word: Option<(Span, Vec<Piece>)>,
    replacement: Option<(Span, Vec<Piece>)>,
}

fn collect(pieces: &[Piece], text: &Mapped, res: &mut Vec<Expansion>) {
    for piece in pieces {
        let Piece::Variable(it) = piece else { continue };
        let place = |part: &Option<(Span, Vec<Piece>)>| part.as_ref().map(|(span, _)| text.span(*span));
        res.push(Expansion {
            span: text.span(it.span),
            name: it.name_text.clone(),
            name_span: text.span(it.name),
            operator: it.operator,
            word: place(&it.word),
            replacement: place(&it.replacement),
        });
        for (_, nested) in it.word.iter().chain(&it.replacement) {
            collect(nested, text, res);
        }
    }
}

fn evaluate(pieces: &[Piece], lookup: &mut dyn FnMut(&str) -> Variable) -> Option<String> {
    let mut res = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => res.push_str(text),
            Piece::Variable(it) => res.push_str(&it.evaluate(lookup)?),
        }
    }
    Some(res)
}

impl Substitution {
    fn evaluate(&self, lookup: &mut dyn FnMut(&str) -> Variable) -> Option<String> {
        let value = match lookup(&self.name_text) {
            Variable::Unknown => return None,
            Variable::Set(value) => Some(value),
            Variable::Unset => None,
        };
        let Some(operator) = self.operator else { return Some(value.unwrap_or_default()) };
        // A word is looked at only where it is needed, so that less has to be known.
        let mut word = || self.word.as_ref().map_or(Some(String::new()), |(_, it)| evaluate(it, lookup));
        let present = |value: &Option<String>, or_empty: bool| value.as_ref().is_some_and(|it| !or_empty || !it.is_empty());
        match operator {
            Operator::Default { or_empty } if present(&value, or_empty) => value,
            Operator::Default { .. } => word(),
            Operator::Alternative { or_empty } if present(&value, or_empty) => word(),
            Operator::Alternative { .. } => Some(String::new()),
            Operator::Required { or_empty } => value.filter(|it| !or_empty || !it.is_empty()),
            Operator::TrimStart { longest } => trim_start(&value.unwrap_or_default(), &word()?, longest),
            Operator::TrimEnd { longest } => trim_end(&value.unwrap_or_default(), &word()?, longest),
            Operator::Replace { all } => {
                let pattern = Regex::new(&pattern(&word()?, true)?).ok()?;
                let replacement = self.replacement.as_ref().map_or(Some(String::new()), |(_, it)| evaluate(it, lookup))?;
                let limit = if all { 0 } else { 1 };
                Some(pattern.replacen(&value.unwrap_or_default(), limit, regex::NoExpand(&replacement)).into_owned())
            }
        }
    }
}

fn trim_start(value: &str, word: &str, longest: bool) -> Option<String> {
    let pattern = Regex::new(&format!("^{}", pattern(word, longest)?)).ok()?;
    let start = pattern.find(value).map_or(0, |it| it.end());
    value.get(start..).map(str::to_string)
}

fn trim_end(value: &str, word: &str, longest: bool) -> Option<String> {
    // What stands before the match takes as much as possible, or as little.
    let before = if longest { "(?s:.*?)" } else { "(?s:.*)" };
    let pattern = Regex::new(&format!("^({before}){}$", pattern(word, longest)?)).ok()?;
    let end = pattern.captures(value).and_then(|it| it.get(1)).map_or(value.len(), |it| it.end());
    value.get(..end).map(str::to_string)
}

/// A shell pattern as a regular expression: `*` and `?`, no brackets. `None` for an escape that
/// BuildKit refuses.
fn pattern(word: &str, longest: bool) -> Option<String> {
    let mut res = String::new();
    let mut chars = word.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => res.push_str(if longest { ".*" } else { ".*?" }),
            '?' => res.push('.'),
            // These are escaped for the sake of the braces around them.
            '\\' if chars.peek().is_some_and(|it| matches!(it, '}' | '/')) => {}
            '\\' => match chars.next()? {
                it @ ('*' | '?' | '\\') => res.push_str(&regex::escape(&it.to_string())),
                _ => return None,
            },
            _ => res.push_str(&regex::escape(&c.to_string())),
        }
    }
    Some(res)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    escape: char,
    quotes: Quotes,
    depth: usize,
    /// Whether nothing is wrong so far.
    is_whole: bool,
}

impl Lexer<'_> {
    fn read(text: &str, escape: char, quotes: Quotes) -> (Vec<Piece>, bool) {
        let mut lexer = Lexer { text, at: 0, escape, quotes, depth: 0, is_whole: true };
        let pieces = lexer.sequence(None, false);
        (pieces, lexer.is_whole)
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let res = self.peek()?;
        self.at += res.len_utf8();
        Some(res)
    }

    fn next_if(&mut self, c: char) -> bool {
        let res = self.peek() == Some(c);
        if res {
            self.next();
        }
        res
    }

    /// Reads up to `stop`, which is taken too, or to the end.
    fn sequence(&mut self, stop: Option<char>, keeps_escapes: bool) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while let Some(c) = self.peek() {
            if Some(c) == stop {
                self.next();
                return pieces;
            }
            if c == '$' {
                self.dollar(&mut pieces);
                continue;
            }
            self.next();
            match c {
                '\'' if self.quotes == Quotes::Removed => self.single_quotes(&mut pieces),
                '"' if self.quotes == Quotes::Removed => self.double_quotes(&mut pieces, keeps_escapes),
                c if c == self.escape => {
                    if keeps_escapes {
                        push(&mut pieces, c);
                    }
                    if let Some(escaped) = self.next() {
                        push(&mut pieces, escaped);
                    }
                }
                c => push(&mut pieces, c),
            }
        }
        self.is_whole &= stop.is_none();
        pieces
    }

    fn single_quotes(&mut self, pieces: &mut Vec<Piece>) {
        while let Some(c) = self.next() {
            if c == '\'' {
                return;
            }
            push(pieces, c);
        }
        self.is_whole = false;
    }

    fn double_quotes(&mut self, pieces: &mut Vec<Piece>, keeps_escapes: bool) {
        while let Some(c) = self.peek() {
            if c == '$' {
                self.dollar(pieces);
                continue;
            }
            self.next();
            if c == '"' {
                return;
            }
            if c != self.escape {
                push(pieces, c);
                continue;
            }
            // Only these can be escaped here.
            let escaped = self.peek().filter(|it| matches!(it, '"' | '$') || *it == self.escape);
            if keeps_escapes || escaped.is_none() {
                push(pieces, c);
            }
            if let Some(escaped) = escaped {
                self.next();
                push(pieces, escaped);
            }
        }
        self.is_whole = false;
    }

    /// Reads what begins with `$`.
    fn dollar(&mut self, pieces: &mut Vec<Piece>) {
        let start = self.at;
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                push(pieces, '$');
                return;
            }
            pieces.push(self.substitution(start, name));
            return;
        }
        self.next();
        let name = self.name();
        let mut res = self.substitution(start, name);
        if let Piece::Variable(it) = &mut res {
            self.braces(it);
            it.span.end = self.at;
        }
        pieces.push(res);
    }

    fn substitution(&self, start: usize, name: Span) -> Piece {
        Piece::Variable(Substitution {
            span: Span::new(start, self.at),
            name,
            name_text: name.of(self.text).to_string(),
            operator: None,
            word: None,
            replacement: None,
        })
    }

    /// Reads a name: letters, digits and `_`; or digits alone; or one special character.
    fn name(&mut self) -> Span {
        let start = self.at;
        match self.peek() {
            Some(c) if c.is_numeric() => self.take_while(char::is_numeric),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => drop(self.next()),
            _ => self.take_while(|it| it.is_alphanumeric() || it == '_'),
        }
        Span::new(start, self.at)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&wanted) {
            self.next();
        }
    }

    /// Reads what follows the name in braces, and the closing brace.
    fn braces(&mut self, it: &mut Substitution) {
        let or_empty = self.peek() == Some(':') && !it.name.is_empty();
        if or_empty {
            self.next();
        }
        let operator = match self.peek() {
            Some('}') if !or_empty && !it.name.is_empty() => {
                self.next();
                return;
            }
            Some('-') => Operator::Default { or_empty },
            Some('+') => Operator::Alternative { or_empty },
            Some('?') => Operator::Required { or_empty },
            Some('#') if !or_empty => Operator::TrimStart { longest: false },
            Some('%') if !or_empty => Operator::TrimEnd { longest: false },
            Some('/') if !or_empty => Operator::Replace { all: false },
            // Refused by BuildKit; the text goes on behind it.
            _ => {
                self.is_whole = false;
                return;
            }
        };
        self.next();
        self.operand(it, operator);
    }

    fn operand(&mut self, it: &mut Substitution, operator: Operator) {
        let operator = match operator {
            Operator::TrimStart { .. } => Operator::TrimStart { longest: self.next_if('#') },
            Operator::TrimEnd { .. } => Operator::TrimEnd { longest: self.next_if('%') },
            Operator::Replace { .. } => Operator::Replace { all: self.next_if('/') },
            other => other,
        };
        it.operator = Some(operator);
        let is_pattern = !matches!(operator, Operator::Default { .. } | Operator::Alternative { .. } | Operator::Required { .. });
        if self.depth == MAX_DEPTH {
            self.is_whole = false;
            return;
        }
        self.depth += 1;
        if let Operator::Replace { .. } = operator {
            it.word = Some(self.word('/', true));
            it.replacement = Some(self.word('}', true));
        } else {
            it.word = Some(self.word('}', is_pattern));
        }
        self.depth -= 1;
    }

    /// Reads a word of an expansion; its span leaves `stop` out.
    fn word(&mut self, stop: char, keeps_escapes: bool) -> (Span, Vec<Piece>) {
        let start = self.at;
        let was_whole = std::mem::replace(&mut self.is_whole, true);
        let pieces = self.sequence(Some(stop), keeps_escapes);
        let is_closed = self.text.get(start..self.at).is_some_and(|it| it.ends_with(stop)) && self.is_whole;
        self.is_whole &= was_whole;
        let end = if is_closed { self.at - stop.len_utf8() } else { self.at };
        (Span::new(start, end), pieces)
    }
}

fn push(pieces: &mut Vec<Piece>, c: char) {
    if let Some(Piece::Text(text)) = pieces.last_mut() {
        text.push(c);
    } else {
        pieces.push(Piece::Text(c.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn variable(name: &str) -> Variable {
        match name {
            "A" => Variable::Set("foo.tar.gz".to_string()),
            "E" => Variable::Set(String::new()),
            "U" => Variable::Unset,
            _ => Variable::Unknown,
        }
    }

    fn expanded(text: &str) -> Option<String> {
        expand(text, '\\', Quotes::Removed, variable)
    }

    /// Name, operator and words of each.
    fn found(text: &str) -> Vec<(&str, Option<Operator>, &str, &str)> {
        let of = |it: &Expansion| {
            let part = |it: Option<Span>| it.map_or("", |it| it.of(text));
            (it.name_span.of(text), it.operator, part(it.word), part(it.replacement))
        };
        expansions(&Mapped::verbatim(text, 0), '\\', Quotes::Removed).iter().map(of).collect()
    }

    #[test]
    fn names_and_operators() {
        assert_eq!(found("a$A/${B}c"), [("A", None, "", ""), ("B", None, "", "")]);
        assert_eq!(found("${A:-b c}"), [("A", Some(Operator::Default { or_empty: true }), "b c", "")]);
        assert_eq!(found("${A+b}"), [("A", Some(Operator::Alternative { or_empty: false }), "b", "")]);
        assert_eq!(found("${A?b}"), [("A", Some(Operator::Required { or_empty: false }), "b", "")]);
        assert_eq!(found("${A##*/}"), [("A", Some(Operator::TrimStart { longest: true }), "*/", "")]);
        assert_eq!(found("${A%b}"), [("A", Some(Operator::TrimEnd { longest: false }), "b", "")]);
        assert_eq!(found("${A//b/c}"), [("A", Some(Operator::Replace { all: true }), "b", "c")]);
        assert_eq!(found("$1$A_b2-$@"), [("1", None, "", ""), ("A_b2", None, "", ""), ("@", None, "", "")]);
    }

    #[test]
    fn nested_expansions_follow_the_outer_one() {
        let default = Some(Operator::Default { or_empty: true });
        assert_eq!(found("${A:-${B:-$C}}$D"), [("A", default, "${B:-$C}", ""), ("B", default, "$C", ""), ("C", None, "", ""), ("D", None, "", "")]);
        assert_eq!(found("\"${A:-'$B'\"$C\"}\""), [("A", default, "'$B'\"$C\"", ""), ("C", None, "", "")]);
    }

    #[test]
    fn what_is_quoted_is_no_expansion() {
        assert_eq!(found(r#"'$A' \$A "\$A" $ "$" $/"#), []);
        assert_eq!(found(r#""$A" "'$B'""#), [("A", None, "", ""), ("B", None, "", "")]);
        let kept = expansions(&Mapped::verbatim("'$A' \\$B", 0), '\\', Quotes::Kept);
        assert_eq!(kept.len(), 1);
        assert_eq!(expansions(&Mapped::verbatim("\\$A `$B", 0), '`', Quotes::Removed).len(), 1);
    }

    #[test]
    fn half_typed_expansions_are_found() {
        assert_eq!(found("${A"), [("A", None, "", "")]);
        assert_eq!(found("${A:-b"), [("A", Some(Operator::Default { or_empty: true }), "b", "")]);
        assert_eq!(found("\"${A"), [("A", None, "", "")]);
        assert_eq!(found("${"), [("", None, "", "")]);
    }

    #[test]
    fn spans_lead_to_the_source() {
        let source = "a ${FO\\\nO:-b}";
        let mut text = Mapped::default();
        text.push("a ${FO", Span::new(0, 6));
        text.push("O:-b}", Span::new(8, 13));
        let expansion = &expansions(&text, '\\', Quotes::Removed)[0];
        assert_eq!(expansion.span.of(source), "${FO\\\nO:-b}");
        assert_eq!(expansion.name, "FOO");
        assert_eq!(expansion.name_span.of(source), "FO\\\nO");
        assert_eq!(expansion.word.unwrap().of(source), "b");
    }

    #[test]
    fn expanding() {
        for (text, value) in [
            ("x$A", "xfoo.tar.gz"),
            ("${A}", "foo.tar.gz"),
            ("'$A'\"$A\"\\$A", "$Afoo.tar.gz$A"),
            ("[$E$U]", "[]"),
            ("${E-a}${U-b}${E:-c}${U:-d}", "bcd"),
            ("${E+a}${U+b}${E:+c}${U:+d}${A:+e}", "ae"),
            ("${A?x}${E?x}", "foo.tar.gz"),
            ("${A#*.}", "tar.gz"),
            ("${A##*.}", "gz"),
            ("${A%.*}", "foo.tar"),
            ("${A%%.*}", "foo"),
            ("${A#x}${A%x}", "foo.tar.gzfoo.tar.gz"),
            ("${A#f??}", ".tar.gz"),
            ("${A/o/0}", "f0o.tar.gz"),
            ("${A//o/0}", "f00.tar.gz"),
            ("${A//./\\/}", "foo\\/tar\\/gz"),
            ("${A/\\//x}", "foo.tar.gz"),
            ("${A/.*/}", "foo"),
            ("${U:-'a b'\"c\"}", "a bc"),
            ("${U:-${U:-$A}}", "foo.tar.gz"),
            ("$", "$"),
            ("$/", "$/"),
            ("a\\", "a"),
            ("${A:-$Z}", "foo.tar.gz"),
            ("${U:+$Z}", ""),
        ] {
            assert_eq!(expanded(text).as_deref(), Some(value), "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_expanded() {
        for text in [
            "$Z", "${Z:-a}", "${U:-$Z}", "${U?x}", "${E:?x}", "${A", "${A:-b", "${}", "${:-a}", "${A^b}", "${A:b}", "${A:#b}", "${A/b}", "'a", "\"a",
            "${A#\\x}",
        ] {
            assert_eq!(expanded(text), None, "{text:?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |n: usize| format!("{}a{}", "${U:-".repeat(n), "}".repeat(n));
        assert_eq!(expanded(&deep(60)).as_deref(), Some("a"));
        assert_eq!(expanded(&deep(100_000)), None);
    }

    proptest! {
        #[test]
        fn any_text_is_looked_through(text in "[$\\\\{}:#%/'\"a-c+?é -]{0,40}") {
            for expansion in expansions(&Mapped::verbatim(&text, 0), '\\', Quotes::Removed) {
                prop_assert!(text.get(expansion.span.start..expansion.span.end).is_some());
                prop_assert!(expansion.span.contains(expansion.name_span));
                prop_assert!(expansion.word.is_none_or(|it| expansion.span.contains(it)));
            }
            let _ = expanded(&text);
        }
    }
}
