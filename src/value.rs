//! Text that may hold expressions: [`Value`] is what the model keeps of it, [`Passage`] is what it
//! is cut from.
//!
//! A list in a workflow (`cache-from`, `build-args`) is one scalar of YAML in which some stretches
//! are expressions. It is cut into lines, fields and pairs, and every piece must be found again in
//! the file to the byte. A [`Passage`] therefore keeps the text together with the way back, and
//! an expression in it is either the text it is known to have, or a single placeholder that no cut
//! can go through.

use crate::edit::Span;
use crate::syntax::Mapped;
use crate::volatility::{Axis, Variance};
use compact_str::CompactString;
use std::collections::BTreeMap;

/// A text that may hold expressions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Value {
    /// Where it stands in its file.
    pub span: Span,
    /// Its pieces, in order.
    pub parts: Vec<Part>,
}

/// A piece of a [`Value`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Literal text.
    Text(CompactString),
    /// An expression (`${{ … }}`, `${…}` of HCL), with its text in a normal form (white space and
    /// case of names evened out), the value it always has where that is known, and what it varies
    /// with.
    Expression {
        /// Where it stands, delimiters included.
        span: Span,
        /// Normal form of what is between the delimiters.
        source: String,
        /// Its value, where it can be told: an `env` entry, a default that nobody overrides.
        known: Option<String>,
        /// What it varies with.
        variance: Variance,
    },
}

impl Part {
    /// The text, if it is known.
    fn known(&self) -> Option<&str> {
        match self {
            Part::Text(text) => Some(text),
            Part::Expression { known, .. } => known.as_deref(),
        }
    }

    /// The text, or the expression in its normal form, `${{ source }}`.
    fn pattern(&self) -> String {
        match self {
            Part::Expression { source, known: None, .. } => format!("${{{{ {source} }}}}"),
            _ => self.known().unwrap_or_default().to_owned(),
        }
    }
}

/// One combination of a matrix: key in lower case, value. Nested values have keys `key.field`.
pub type Leg = BTreeMap<String, String>;

impl Value {
    /// A value without expressions.
    pub fn literal(text: impl Into<CompactString>, span: Span) -> Value {
        Value { span, parts: vec![Part::Text(text.into())] }
    }

    /// The text, if every expression in it is known.
    pub fn known(&self) -> Option<String> {
        self.parts.iter().map(Part::known).collect()
    }

    /// What the whole varies with.
    pub fn variance(&self) -> Variance {
        self.parts.iter().fold(Variance::constant(), |res, it| match it {
            Part::Expression { known: None, variance, .. } => res.join(variance),
            _ => res,
        })
    }

    /// The text with every unknown expression in its normal form, `${{ source }}`: two values of
    /// one job with the same pattern are the same text. Also what a fix writes.
    pub fn pattern(&self) -> String {
        self.parts.iter().map(Part::pattern).collect()
    }

    /// The text as a person reads it: like [`Value::pattern`], with variables of a script as scripts have
    /// them.
    pub fn shown(&self) -> String {
        let part = |it: &Part| match it {
            Part::Expression { source, known: None, .. } if source.starts_with('$') => source.clone(),
            it => it.pattern(),
        };
        self.parts.iter().map(part).collect()
    }

    /// Whether there is nothing, or only white space, and no expression.
    pub fn is_blank(&self) -> bool {
        self.parts.iter().all(|it| matches!(it, Part::Text(text) if text.trim().is_empty()))
    }
}

/// Stands for an expression whose value is not known. It is no white space, no separator, no quote
/// and no letter; a file that holds the character itself is told apart by its holes.
const PLACEHOLDER: &str = "\u{fffc}";

/// Bytes of the longest value of an expression that is kept.
const MAX_KNOWN: usize = 2048;

/// An expression in a [`Passage`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// Where it stands in the passage's text.
    at: Span,
    /// What it is; always [`Part::Expression`].
    part: Part,
    /// The texts that it can come out as, if those are all (`a && 'x' || 'y'`); else none.
    choices: Vec<Passage>,
}

impl Hole {
    /// The texts that it can come out as, if those are all; else none.
    pub fn choices(&self) -> &[Passage] {
        &self.choices
    }

    /// The expression.
    pub fn part(&self) -> &Part {
        &self.part
    }
}

/// A stretch of text with expressions that can be cut, with the way back to the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Passage {
    span: Span,
    text: Mapped,
    /// In order, not overlapping.
    holes: Vec<Hole>,
    /// A known expression was cut, so that a part of the text stands nowhere in the file.
    cut: bool,
    /// Bytes of all values of expressions that were added.
    n_known: usize,
}

impl Passage {
    /// An empty passage that stands at `span`.
    pub fn new(span: Span) -> Passage {
        Passage { span, ..Passage::default() }
    }

    /// A passage without expressions.
    pub fn literal(text: Mapped, span: Span) -> Passage {
        Passage { span, text, ..Passage::default() }
    }

    /// Adds literal text that stands at `source`.
    pub fn push_text(&mut self, text: &str, source: Span) {
        self.text.push(text, source);
    }

    /// Adds literal text with its own way back.
    pub fn push_mapped(&mut self, text: &Mapped) {
        self.text.append(text);
    }

    /// Adds an expression; `choices` are the texts it can come out as, if those are all.
    ///
    /// A value that is longer than any in real files is taken for unknown, or variables that hold
    /// each other twice would double in every step.
    pub fn push_expression(&mut self, mut part: Part, choices: Vec<Passage>) {
        let Part::Expression { span, known, variance, .. } = &mut part else { return };
        self.n_known += known.as_ref().map_or(0, String::len);
        if known.as_ref().is_some_and(|it| it.len() > MAX_KNOWN || self.n_known > 4 * MAX_KNOWN) {
            *known = None;
            variance.add(Axis::Unknown);
        }
        let start = self.text.text.len();
        self.text.push(known.as_deref().unwrap_or(PLACEHOLDER), *span);
        self.holes.push(Hole { at: Span::new(start, self.text.text.len()), part, choices });
    }

    /// Adds all of another passage.
    pub fn push(&mut self, other: &Passage) {
        let start = self.text.text.len();
        self.cut |= other.cut;
        self.n_known += other.n_known;
        self.text.append(&other.text);
        self.holes.extend(other.holes.iter().map(|it| Hole { at: it.at.shift(start), ..it.clone() }));
    }

    /// With the span of its text alone, quotes around it left out.
    pub fn fitted(mut self) -> Passage {
        if !self.text.text.is_empty() {
            self.span = self.text.span(Span::new(0, self.text.text.len()));
        }
        self
    }

    /// Where it stands in the file.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Its text: known expressions have their value, unknown ones are one character that is no
    /// separator.
    pub fn text(&self) -> &str {
        &self.text.text
    }

    /// The place in the file of a span of its text.
    pub fn source(&self, span: Span) -> Span {
        self.text.span(span)
    }

    /// Whether there is no text and no expression.
    pub fn is_empty(&self) -> bool {
        self.text.text.is_empty() && self.holes.is_empty()
    }

    /// Whether an expression whose value is not known stands in it.
    pub fn is_open(&self) -> bool {
        self.holes.iter().any(|it| it.part.known().is_none())
    }

    /// Its expressions.
    pub fn holes(&self) -> &[Hole] {
        &self.holes
    }

    /// The unknown expression that is all there is, if it is.
    pub fn only_hole(&self) -> Option<&Hole> {
        match self.holes.as_slice() {
            [hole] if hole.part.known().is_none() && hole.at == Span::new(0, self.text.text.len()) => Some(hole),
            _ => None,
        }
    }

    /// Whether all of it stands in the file as it is: no expression, no escape, no folding.
    pub fn is_verbatim(&self) -> bool {
        let all = Span::new(0, self.text.text.len());
        self.holes.is_empty() && !self.cut && self.text.is_verbatim(all)
    }

    /// A part of it. An unknown expression that the span cuts is left out; a known one is then text.
    pub fn slice(&self, span: Span) -> Passage {
        let text = self.text.slice(span);
        let first = self.holes.partition_point(|it| it.at.end <= span.start && !it.at.is_empty() || it.at.end < span.start);
        let met = || self.holes.iter().skip(first).take_while(|it| it.at.start <= span.end);
        let cut = self.cut || met().any(|it| !span.contains(it.at) && it.at.start < span.end && it.at.end > span.start);
        let holes = met().filter(|it| span.contains(it.at));
        let holes = holes.map(|it| Hole { at: Span::new(it.at.start - span.start, it.at.end - span.start), ..it.clone() }).collect();
        let place = match text.text.is_empty() {
            true if self.text.text.is_empty() => self.span,
            true => Span::at(self.text.offset(span.start)),
            false => text.span(Span::new(0, text.text.len())),
        };
        Passage { span: place, text, holes, cut, n_known: 0 }
    }

    /// Without white space at both ends.
    pub fn trim(&self) -> Passage {
        let text = self.text();
        let start = text.len() - text.trim_start().len();
        let end = text.trim_end().len().max(start);
        if (start, end) == (0, text.len()) { self.clone() } else { self.slice(Span::new(start, end)) }
    }

    /// The pieces between separators; as many as separators, and one more.
    pub fn split(&self, separator: char) -> Vec<Passage> {
        let mut start = 0;
        let mut res = Vec::new();
        for (end, found) in self.text().match_indices(separator) {
            res.push(self.slice(Span::new(start, end)));
            start = end + found.len();
        }
        res.push(self.slice(Span::new(start, self.text().len())));
        res
    }

    /// What is in front of the first separator, and what is behind it.
    pub fn split_once(&self, separator: char) -> Option<(Passage, Passage)> {
        let at = self.text().find(separator)?;
        let behind = Span::new(at + separator.len_utf8(), self.text().len());
        Some((self.slice(Span::new(0, at)), self.slice(behind)))
    }

    /// The lines that are not blank, without white space at both ends.
    pub fn lines(&self) -> Vec<Passage> {
        self.split('\n').iter().map(Passage::trim).filter(|it| !it.is_empty()).collect()
    }

    /// The records of a list as Docker's actions read one: a line each, but a line that begins with
    /// a double quote goes on to the line that closes it, and loses the quotes.
    pub fn records(&self) -> Vec<Passage> {
        let text = self.text();
        // Where the last record that can close its quote at the end of a line must begin before.
        let last_close = text.rfind("\"\n").unwrap_or(0);
        let mut res = Vec::new();
        let mut start = 0;
        while let Some(rest) = text.get(start..).filter(|it| !it.is_empty()) {
            let body = start + rest.len() - rest.trim_start().len();
            let rest = &text[body..];
            let closing = rest.strip_prefix('"').and_then(|it| match body < last_close {
                true => it.find("\"\n"),
                false => it.trim_end().strip_suffix('"').map(str::len),
            });
            let (span, end) = match closing {
                Some(length) => (Span::new(body + 1, body + 1 + length), body + 2 + length),
                None => {
                    let end = body + rest.find('\n').unwrap_or(rest.len());
                    (Span::new(body, end), end)
                }
            };
            res.push(self.slice(span).trim());
            start = end + 1;
        }
        res.retain(|it| !it.is_empty());
        res
    }

    /// The fields of a line of CSV, each with the span in the file that it takes, quotes included;
    /// `None` where a quote is not closed or something follows it.
    pub fn fields(&self) -> Option<Vec<(Span, Passage)>> {
        let text = self.text();
        let mut res = Vec::new();
        let mut start = 0;
        loop {
            let (inside, end) = field(text, start)?;
            let raw = self.slice(Span::new(start, end));
            res.push((raw.span, self.unquoted(inside)));
            if end >= text.len() {
                return Some(res);
            }
            start = end + 1;
        }
    }

    /// The text of a field; a doubled quote inside a quoted one is one quote.
    fn unquoted(&self, span: Span) -> Passage {
        let piece = self.slice(span);
        if span.start == 0 || self.text().as_bytes().get(span.start - 1) != Some(&b'"') || !piece.text().contains("\"\"") {
            return piece;
        }
        let mut res = Passage::new(piece.span);
        let mut start = 0;
        for (at, _) in piece.text().match_indices("\"\"") {
            res.push(&piece.slice(Span::new(start, at + 1)));
            start = at + 2;
        }
        res.push(&piece.slice(Span::new(start, piece.text().len())));
        res
    }

    /// What the model keeps.
    pub fn value(&self) -> Value {
        // Mostly there is one part, for which a list that grows by itself would take the room of four.
        let mut parts = Vec::with_capacity(2 * self.holes.len() + usize::from(self.holes.last().is_none_or(|it| it.at.end < self.text().len())));
        let mut start = 0;
        for hole in &self.holes {
            let text = Span::new(start, hole.at.start).of(self.text());
            if !text.is_empty() {
                parts.push(Part::Text(text.into()));
            }
            parts.push(hole.part.clone());
            start = hole.at.end;
        }
        let rest = Span::new(start, self.text().len()).of(self.text());
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Value { span: self.span, parts }
    }

    /// The text, if every expression in it is known.
    pub fn known(&self) -> Option<&str> {
        (!self.is_open()).then(|| self.text())
    }
}

/// The field of CSV that begins at `start`: the span of its text, and where it ends.
fn field(text: &str, start: usize) -> Option<(Span, usize)> {
    let rest = text.get(start..)?;
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find(',').map_or(text.len(), |it| start + it);
        return Some((Span::new(start, end), end));
    };
    let mut from = 0;
    loop {
        let at = from + quoted.get(from..)?.find('"')?;
        match quoted.as_bytes().get(at + 1) {
            Some(b'"') => from = at + 2,
            None | Some(b',') => return Some((Span::new(start + 1, start + 1 + at), start + at + 2)),
            Some(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(name: &str, span: Span) -> Part {
        Part::Expression { span, source: name.into(), known: None, variance: Variance::over(Axis::Commit) }
    }

    fn known(name: &str, text: &str, span: Span) -> Part {
        Part::Expression { span, source: name.into(), known: Some(text.into()), variance: Variance::constant() }
    }

    /// `{name}` is an unknown expression, `<text>` a known one.
    fn passage(source: &str) -> Passage {
        let mut res = Passage::new(Span::new(0, source.len()));
        let mut start = 0;
        while let Some(at) = source[start..].find(['{', '<']).map(|it| start + it) {
            res.push_text(&source[start..at], Span::new(start, at));
            let end = at + source[at..].find(['}', '>']).unwrap() + 1;
            let name = &source[at + 1..end - 1];
            let span = Span::new(at, end);
            let part = if source[at..].starts_with('{') { unknown(name, span) } else { known("env.x", name, span) };
            res.push_expression(part, Vec::new());
            start = end;
        }
        res.push_text(&source[start..], Span::new(start, source.len()));
        res
    }

    fn texts(passages: &[Passage]) -> Vec<&str> {
        passages.iter().map(Passage::text).collect()
    }

    #[test]
    fn variables_of_a_script_are_shown_as_it_has_them() {
        let part = |source: &str| Part::Expression { span: Span::default(), source: source.to_owned(), known: None, variance: Variance::constant() };
        let value = Value { span: Span::default(), parts: vec![Part::Text("a-".into()), part("$GITHUB_SHA"), part("github.ref")] };
        assert_eq!(value.shown(), "a-$GITHUB_SHA${{ github.ref }}");
    }

    #[test]
    fn lines_are_found_again_in_the_file() {
        let source = "  a=1  \n\n b={x}y\n";
        let passage = passage(source);
        let lines = passage.lines();
        let spans: Vec<_> = lines.iter().map(|it| it.span().of(source)).collect();
        assert_eq!(spans, ["a=1", "b={x}y"]);
        assert_eq!(lines[1].value().pattern(), "b=${{ x }}y");
        assert!(lines[0].is_verbatim());
        assert!(!lines[1].is_verbatim());
    }

    #[test]
    fn a_known_expression_is_cut_as_its_text() {
        let passage = passage("<a,b>,c");
        let pieces = passage.split(',');
        assert_eq!(texts(&pieces), ["a", "b", "c"]);
        assert!(!pieces[0].is_verbatim());
        assert!(pieces[2].is_verbatim());
    }

    #[test]
    fn a_known_expression_of_the_length_of_its_text_is_not_verbatim() {
        let passage = passage("<ab>x");
        assert!(!passage.is_verbatim());
        assert!(!passage.slice(Span::new(0, 1)).is_verbatim());
    }

    #[test]
    fn an_unknown_expression_is_never_cut() {
        let passage = passage("{a,b},c");
        assert_eq!(passage.split(',').len(), 2);
        assert!(passage.split(',')[0].only_hole().is_some());
        assert!(passage.only_hole().is_none());
    }

    #[test]
    fn fields_of_csv_lose_their_quotes() {
        let source = r#"type=local,"src=a,b","q""q","#;
        let passage = passage(source);
        let fields = passage.fields().unwrap();
        let found: Vec<_> = fields.iter().map(|(span, it)| (span.of(source), it.text())).collect();
        assert_eq!(found, [("type=local", "type=local"), (r#""src=a,b""#, "src=a,b"), (r#""q""q""#, "q\"q"), ("", "")]);
        assert_eq!(passage.slice(Span::new(0, 13)).fields(), None);
    }

    #[test]
    fn a_quoted_record_goes_over_lines() {
        assert_eq!(texts(&passage("a\n\"b=1\n2\"\nc").records()), ["a", "b=1\n2", "c"]);
        assert_eq!(texts(&passage("a\n\"b\nc").records()), ["a", "\"b", "c"]);
        assert_eq!(texts(&passage("\n\n").records()), Vec::<&str>::new());
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_cut(text in "[a\",=\n \u{fffc}é]{0,40}") {
            let passage = Passage::literal(Mapped::verbatim(&text, 3), Span::new(3, 3 + text.len()));
            let file = format!("123{text}");
            for line in passage.lines().iter().chain(&passage.records()) {
                proptest::prop_assert_eq!(line.span().of(&file), line.text());
                for (span, _) in line.fields().unwrap_or_default() {
                    proptest::prop_assert!(line.span().contains(span));
                }
            }
        }
    }
}
