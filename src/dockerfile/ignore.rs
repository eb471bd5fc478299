//! `.dockerignore`: which files of a context the builder never sees.
//!
//! The rules are those of BuildKit: `ignorefile.ReadAll` reads lines, `patternmatcher` compiles
//! them, and the walk of `fsutil` asks it for every path with the answers for the folders above in
//! hand (<https://github.com/moby/patternmatcher>, <https://github.com/tonistiigi/fsutil>,
//! `filter.go`). They are not those of `.gitignore`: a pattern is anchored at the root, `!` brings
//! back what lies below an excluded folder, and the last pattern that matches decides.

use crate::edit::Span;
use regex::Regex;
use std::fmt;

/// A line longer than this fails the build: the reader's buffer ends there.
const MAX_LINE: usize = 64 * 1024;
/// More patterns than this are not read; it bounds time and memory on hostile input.
const MAX_PATTERNS: usize = 10_000;
/// Bound on the size of one compiled pattern, in bytes.
const MAX_COMPILED: usize = 1 << 20;

/// An ignore file.
#[derive(Debug, Clone, Default)]
pub struct IgnoreFile {
    patterns: Vec<Pattern>,
}

/// One pattern of an ignore file.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// Where it stands, without the white space around it.
    pub span: Span,
    /// As it is compared: cleaned, without `!` and leading `/`.
    pub text: String,
    /// Whether it brings back what earlier patterns exclude.
    pub negated: bool,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    Exact,
    /// `dir/**`: all that starts with this.
    Prefix(String),
    /// `**file`: all that ends with this.
    Suffix(String),
    Regex(Regex),
}

/// A line that makes the builder refuse the whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoreError {
    /// The pattern, without the white space around it.
    pub span: Span,
    /// What is wrong with it: lower case, no full stop.
    pub reason: &'static str,
}

impl fmt::Display for IgnoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

/// How much of what lies below a folder is excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// Every path that there can be.
    All,
    /// No path that there can be.
    None,
    /// It depends on the path.
    Some,
}

/// Reads an ignore file.
///
/// # Errors
///
/// The first line that the builder refuses.
pub fn parse(text: &str) -> Result<IgnoreFile, IgnoreError> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut start = text.len() - body.len();
    let mut patterns = Vec::new();
    for line in body.split_inclusive('\n') {
        if let Some(pattern) = Pattern::read(line, start)? {
            patterns.push(pattern);
        }
        if patterns.len() > MAX_PATTERNS {
            return Err(IgnoreError { span: Span::at(start), reason: "there are too many patterns to follow" });
        }
        start += line.len();
    }
    Ok(IgnoreFile { patterns })
}

impl IgnoreFile {
    /// The patterns, in order.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Whether the builder never sees `path`: a path relative to the root of the context, with `/`.
    /// The root itself is never excluded.
    pub fn excludes(&self, path: &str) -> bool {
        self.decide(path).0
    }

    /// The pattern that decides about `path`; `None` if none matches.
    pub fn decided_by(&self, path: &str) -> Option<&Pattern> {
        self.decide(path).1
    }

    fn decide(&self, path: &str) -> (bool, Option<&Pattern>) {
        let path = clean(path);
        let (excluded, decisive, _) = self.walk(path.trim_start_matches('/'));
        (excluded, decisive)
    }

    /// Walks from the outermost folder down to the path, as the builder does: whether the path is
    /// excluded, which pattern decided it, and which patterns match it or a folder above.
    ///
    /// A pattern that matches a folder matches all below it. A pattern that cannot change the answer
    /// so far is not tried, and what is not tried for a folder is not inherited below it.
    fn walk(&self, path: &str) -> (bool, Option<&Pattern>, Vec<bool>) {
        let mut matched = vec![false; self.patterns.len()];
        let mut answer = (false, None);
        if path != "." && !path.is_empty() {
            let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            for end in ends {
                answer = self.step(&path[..end], &mut matched);
            }
        }
        (answer.0, answer.1, matched)
    }

    fn step(&self, path: &str, inherited: &mut [bool]) -> (bool, Option<&Pattern>) {
        let mut excluded = false;
        let mut decisive = None;
        for (pattern, matched) in self.patterns.iter().zip(inherited) {
            if !*matched {
                *matched = pattern.negated == excluded && pattern.matches(path);
            }
            if *matched {
                excluded = !pattern.negated;
                decisive = Some(pattern);
            }
        }
        (excluded, decisive)
    }

    /// What is true of all paths below `folder`, whether they exist or not; `.` or nothing is the
    /// root of the context.
    pub fn excludes_tree(&self, folder: &str) -> Ignored {
        let folder = clean(folder);
        let folder = folder.trim_start_matches('/');
        let parts: Vec<&str> = folder.split('/').filter(|it| !it.is_empty() && *it != ".").collect();
        let (excluded, _, matched) = self.walk(folder);
        if self.covers(&parts, excluded, &matched) {
            return Ignored::All;
        }
        let can_exclude = self.patterns.iter().any(|it| !it.negated && it.may_match_below(&parts));
        if excluded || can_exclude { Ignored::Some } else { Ignored::None }
    }

    /// Whether all that can lie below the folder is excluded.
    fn covers(&self, parts: &[&str], excluded: bool, matched: &[bool]) -> bool {
        let brings_back = |(pattern, matched): (&Pattern, &bool)| pattern.negated && (*matched || pattern.may_match_below(parts));
        let patterns = || self.patterns.iter().zip(matched);
        // This one matches every path below, so that nothing in front of it matters.
        let firm = patterns().rposition(|(it, matched)| !it.negated && (*matched || it.matches_each_below(parts)));
        match firm {
            Some(firm) => !patterns().skip(firm + 1).any(brings_back),
            None => (excluded || self.patterns.iter().any(|it| !it.negated && it.matches_children(parts))) && !patterns().any(brings_back),
        }
    }
}

impl Pattern {
    /// Reads a line; `None` if there is no pattern on it.
    fn read(line: &str, start: usize) -> Result<Option<Pattern>, IgnoreError> {
        // A comment is told before white space is taken off.
        if line.starts_with('#') {
            return Ok(None);
        }
        let trimmed = line.trim();
        if trimmed.is_empty() {
            return Ok(None);
        }
        let lead = line.len() - line.trim_start().len();
        let span = Span::new(start + lead, start + lead + trimmed.len());
        let fail = |reason| Err(IgnoreError { span, reason });
        if line.len() >= MAX_LINE {
            return fail("the line is too long");
        }
        // Read once as a line and once as a pattern; both clean the path, and only the second tells
        // what is negated, so that `./!a` is.
        let line_negated = trimmed.starts_with('!');
        let bare = trimmed.strip_prefix('!').unwrap_or(trimmed).trim();
        let mut text = if bare.is_empty() { String::new() } else { clean(bare) };
        if text.len() > 1 && text.starts_with('/') {
            text.remove(0);
        }
        let whole = clean(if line_negated { format!("!{text}") } else { text }.trim());
        let (negated, text) = match whole.strip_prefix('!') {
            Some("") => return fail("`!` alone makes the builder refuse the file"),
            Some(it) => (true, it.to_owned()),
            None => (false, whole),
        };
        check_syntax(&text).map_err(|reason| IgnoreError { span, reason })?;
        let matcher = compile(&text).map_err(|reason| IgnoreError { span, reason })?;
        Ok(Some(Pattern { span, text, negated, matcher }))
    }

    /// Whether it matches just this path, its parents left aside.
    pub fn matches(&self, path: &str) -> bool {
        match &self.matcher {
            Matcher::Exact => self.text == path,
            Matcher::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Matcher::Suffix(suffix) => path.ends_with(suffix.as_str()) || suffix.strip_prefix('/') == Some(path),
            Matcher::Regex(regex) => regex.is_match(path),
        }
    }

    /// Whether it matches every path below the folder by itself.
    fn matches_each_below(&self, parts: &[&str]) -> bool {
        match &self.matcher {
            Matcher::Suffix(suffix) => suffix.is_empty(),
            Matcher::Prefix(prefix) => format!("{}/", parts.join("/")).starts_with(prefix.as_str()),
            _ => false,
        }
    }

    /// Whether it matches every child of the folder: `dir/*`.
    fn matches_children(&self, parts: &[&str]) -> bool {
        match (self.text.strip_suffix('*'), parts) {
            (Some(""), []) => true,
            (Some(folder), [_, ..]) => folder.strip_suffix('/') == Some(parts.join("/").as_str()) && !has_wildcard(folder),
            _ => false,
        }
    }

    /// Whether it can match some path below the folder.
    fn may_match_below(&self, parts: &[&str]) -> bool {
        // A `/` in a class or behind `\` is no end of a part, and `^` may anchor: not looked into.
        if self.text.contains(['[', '\\', '^']) {
            return true;
        }
        let mut pattern = self.text.split('/');
        for part in parts {
            match pattern.next() {
                None => return false,
                Some(it) if it.contains("**") => return true,
                Some(it) if !part_matches(it, part) => return false,
                Some(_) => {}
            }
        }
        pattern.next().is_some()
    }
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\', '^'])
}

/// Whether a name matches a part of a pattern with `*` and `?` only.
fn part_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Ends of the name that the pattern read so far can reach.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for it in pattern {
        if it == '*' {
            let first = reached.iter().position(|it| *it).unwrap_or(reached.len());
            reached[first..].fill(true);
            continue;
        }
        for end in (0..name.len()).rev() {
            reached[end + 1] = reached[end] && (it == '?' || it == name[end]);
        }
        reached[0] = false;
    }
    reached[name.len()]
}

/// Takes out `.`, `..` and doubled `/`, as `filepath.Clean` does: an empty path is `.`, a relative
/// one may start with `..`, and nothing lies above the root.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|it| *it != "..") => drop(parts.pop()),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

const BAD_CLASS: &str = "a `[` without a class behind it makes the builder refuse the file";
const BAD_ESCAPE: &str = "a `\\` with nothing behind it makes the builder refuse the file";

/// What `filepath.Match` demands of a pattern: closed classes that are not empty, with `-` only
/// between two characters, and something behind every `\`.
fn check_syntax(pattern: &str) -> Result<(), &'static str> {
    let mut rest = pattern.chars();
    while let Some(it) = rest.next() {
        match it {
            '\\' => drop(rest.next().ok_or(BAD_ESCAPE)?),
            '[' => check_class(&mut rest)?,
            _ => {}
        }
    }
    Ok(())
}

fn check_class(rest: &mut std::str::Chars<'_>) -> Result<(), &'static str> {
    if rest.as_str().starts_with('^') {
        rest.next();
    }
    let mut ranges = 0;
    loop {
        if ranges > 0 && rest.as_str().starts_with(']') {
            rest.next();
            return Ok(());
        }
        class_character(rest)?;
        if rest.as_str().starts_with('-') {
            rest.next();
            class_character(rest)?;
        }
        ranges += 1;
    }
}

fn class_character(rest: &mut std::str::Chars<'_>) -> Result<(), &'static str> {
    match rest.next() {
        None | Some('-' | ']') => Err(BAD_CLASS),
        Some('\\') => rest.next().map(drop).ok_or(BAD_CLASS),
        Some(_) => Ok(()),
    }
}

/// The builder's own translation, which goes by characters and does not know classes: `*` in a
/// class ends it. The regular expression differs only where the two dialects do.
fn compile(pattern: &str) -> Result<Matcher, &'static str> {
    let mut translation = Translation { regex: "^".to_owned(), kind: Kind::Exact, class: None };
    let mut rest = pattern.chars();
    let mut is_first = true;
    while let Some(it) = rest.next() {
        match it {
            '*' if rest.as_str().starts_with('*') => translation.double_star(&mut rest, is_first),
            '*' => translation.wildcard("*"),
            '?' => translation.wildcard(""),
            '\\' => translation.escape(rest.next())?,
            '[' | ']' => translation.bracket(it, rest.as_str())?,
            it => translation.literal(it),
        }
        is_first = false;
    }
    match translation.kind {
        Kind::Exact => Ok(Matcher::Exact),
        Kind::Prefix => Ok(Matcher::Prefix(pattern.strip_suffix("**").unwrap_or(pattern).to_owned())),
        Kind::Suffix => Ok(Matcher::Suffix(pattern.strip_prefix("**").unwrap_or(pattern).to_owned())),
        Kind::Regex => {
            let regex = regex::RegexBuilder::new(&format!("{}$", translation.regex)).size_limit(MAX_COMPILED).build();
            regex.map(Matcher::Regex).map_err(|_| "the builder cannot compile the pattern")
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exact,
    Prefix,
    Suffix,
    Regex,
}

struct Translation {
    regex: String,
    kind: Kind,
    /// How many characters the open class has.
    class: Option<usize>,
}

impl Translation {
    fn double_star(&mut self, rest: &mut std::str::Chars<'_>, is_first: bool) {
        rest.next();
        if rest.as_str().starts_with('/') {
            rest.next();
        }
        if !rest.as_str().is_empty() {
            self.raw("(.*/)?");
            self.kind = Kind::Regex;
        } else if self.kind == Kind::Exact {
            self.kind = Kind::Prefix;
        } else {
            self.raw(".*");
            self.kind = Kind::Regex;
        }
        if is_first {
            self.kind = Kind::Suffix;
        }
    }

    /// What the builder writes as it is. In a class, its characters are members, and so is a `]`
    /// only if it is the first.
    fn raw(&mut self, text: &str) {
        if self.class.is_none() {
            self.regex.push_str(text);
        } else {
            text.chars().for_each(|it| self.member(it));
        }
    }

    fn member(&mut self, it: char) {
        if it == '-' {
            self.regex.push(it)
        } else {
            self.quote(it)
        }
        self.class = self.class.map(|count| count + 1);
    }

    /// A character that stands for itself, in a class and outside.
    fn quote(&mut self, it: char) {
        // `\<` and `\>` are operators here, and literals for the builder.
        if it.is_ascii_punctuation() && !matches!(it, '<' | '>') {
            self.regex.push('\\');
        }
        self.regex.push(it);
    }

    /// `[^/]` and what repeats it. In a class, the `]` of it ends that class.
    fn wildcard(&mut self, repeat: &str) {
        if self.class.take().is_some() {
            self.regex.push_str("\\[\\^/]");
        } else {
            self.regex.push_str("[^/]");
        }
        self.regex.push_str(repeat);
        self.kind = Kind::Regex;
    }

    fn escape(&mut self, next: Option<char>) -> Result<(), &'static str> {
        let it = next.ok_or(BAD_ESCAPE)?;
        // Behind `\`, a letter or digit is an operator of the builder's regular expressions.
        if !it.is_ascii_punctuation() {
            return Err("a `\\` in front of a letter has another meaning for the builder");
        }
        self.quote(it);
        self.class = self.class.map(|count| count + 1);
        self.kind = Kind::Regex;
        Ok(())
    }

    fn bracket(&mut self, it: char, rest: &str) -> Result<(), &'static str> {
        self.kind = Kind::Regex;
        match (it, self.class) {
            ('[', None) => {
                self.regex.push('[');
                self.class = Some(0);
            }
            (']', Some(1..)) => {
                self.regex.push(']');
                self.class = None;
            }
            ('[', Some(_)) if rest.starts_with(':') => return Err("a class with a name has another meaning for the builder"),
            (_, Some(_)) => self.member(it),
            (_, None) => self.regex.push_str("\\]"),
        }
        Ok(())
    }

    fn literal(&mut self, it: char) {
        match self.class {
            // Only the first `^` negates, and it is no member.
            Some(0) if it == '^' && self.regex.ends_with('[') => self.regex.push('^'),
            Some(_) => self.member(it),
            // The builder leaves `^` alone, so that it anchors.
            None if it == '^' => self.regex.push(it),
            None => self.quote(it),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(patterns: &str) -> IgnoreFile {
        parse(patterns).unwrap_or_else(|it| panic!("{patterns:?}: {it}"))
    }

    /// Each case: patterns, excluded paths, paths that stay.
    fn check(cases: &[(&str, &str, &str)]) {
        for (patterns, excluded, kept) in cases {
            let file = file(patterns);
            for path in excluded.split_whitespace() {
                assert!(file.excludes(path), "{patterns:?} keeps {path}");
            }
            for path in kept.split_whitespace() {
                assert!(!file.excludes(path), "{patterns:?} excludes {path}");
            }
        }
    }

    #[test]
    fn a_pattern_is_anchored_at_the_root() {
        check(&[
            ("foo", "foo foo/bar foo/bar/baz", "a/foo foobar barfoo fo"),
            ("/foo", "foo foo/bar", "a/foo"),
            ("./foo", "foo", "a/foo"),
            ("foo/", "foo foo/bar", "a/foo"),
            ("foo//bar", "foo/bar", "foo"),
            ("foo/./bar", "foo/bar", "foo/baz"),
            ("a/../foo", "foo", "a a/foo"),
            ("../foo", "", "foo"),
            ("/../foo", "foo", ""),
            ("foo/..", "", "foo a"),
            (".", "", "foo ."),
            ("/", "", "foo"),
            ("*.md", "README.md", "docs/README.md README.mdx"),
            ("*/*.md", "docs/README.md", "README.md a/b/c.md"),
        ]);
    }

    #[test]
    fn stars_and_question_marks_stay_in_a_part() {
        check(&[
            ("*", "a a/b .git", ""),
            ("a*", "a ab a/b abc/d", "ba"),
            ("a*c", "ac abc abbc", "abcd a/c"),
            ("a?c", "abc a\u{e9}c a\u{1f600}c", "ac abbc a/c"),
            ("?", "a \u{e9}", "ab"),
            (".*", ".git .env .git/config", "a a/.git"),
            ("a/*/c", "a/b/c a/x/c/d", "a/c a/b/d a/b/x/c"),
            ("*.py?", "a.pyc a.pyo", "a.py"),
        ]);
    }

    #[test]
    fn double_stars_cross_folders() {
        check(&[
            ("**", "a a/b a/b/c", ""),
            ("**/", "a a/b", ""),
            ("**/foo", "foo a/foo a/b/foo a/foo/b", "afoo a/bfoo foox"),
            ("**/*.log", "a.log b/a.log b/c/a.log", "a.txt a.logs"),
            ("foo/**", "foo/a foo/a/b", "foo a/foo/b"),
            ("foo/**/bar", "foo/bar foo/a/bar foo/a/b/bar", "foo foobar foo/abar"),
            ("a**/*.txt", "a/f.txt a/b/f.txt a/b/c/f.txt", "b/f.txt"),
            ("**foo", "foo a/foo afoo a/bfoo", "foox"),
            ("**foo*", "foo foo1 a/foo1", "afoo1"),
            ("**/foo/**", "a/foo/b foo/b", "foo a/foo"),
            ("**/**", "a a/b", ""),
            ("**/foo*bar", "foobar a/fooxbar", "a/foox/bar"),
            ("a/**b", "a/b a/x/b", "a/xb"),
        ]);
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        check(&[
            ("*\n!foo", "bar", "foo foo/bar"),
            ("*\n!foo/bar", "bar foo foo/baz", "foo/bar foo/bar/x"),
            ("foo\n!foo/bar", "foo foo/x", "foo/bar"),
            ("!foo\nfoo", "foo foo/bar", ""),
            ("**\n!**/package.json", "a a/b package.jsonx", "package.json a/package.json"),
            ("docs\n!docs/*.md\ndocs/x.md", "docs/a.txt docs/x.md", "docs/README.md"),
            ("*.md\n!README*.md\nREADME-secret.md", "a.md README-secret.md", "README.md README-x.md"),
            ("*.md\nREADME-secret.md\n!README*.md", "a.md", "README.md README-secret.md"),
            ("node_modules\n!node_modules/a", "node_modules node_modules/b node_modules/b/c", "node_modules/a node_modules/a/b"),
            ("*\n!src\nsrc/gen", "x src/gen src/gen/a", "src src/a"),
        ]);
    }

    #[test]
    fn what_is_not_tried_for_a_folder_is_not_inherited() {
        // `d*` is not tried for `d`, which is excluded already; below, it does not match.
        check(&[("*\n!*/keep\nd*", "d d/x", "d/keep"), ("*\n!*/keep\n**/d", "d", "d/keep")]);
    }

    #[test]
    fn classes_follow_the_builder() {
        check(&[
            ("[ab]c", "ac bc", "cc abc"),
            ("[a-c]x", "ax bx cx", "dx -x"),
            ("[^a-c]x", "dx", "ax bx"),
            ("[!a]x", "!x ax", "bx"),
            ("[\\]a]", "] a", "b"),
            ("[\\-x]", "- x", "a"),
            ("[x\\-]", "- x", "z"),
            ("[a-\u{3b6}]", "\u{3b1} b", "A"),
            ("[^a]", "b \u{e9}", "a"),
            ("[.]x", ".x", "ax"),
            ("[a&&b]x", "ax &x bx", "cx"),
            ("[<>]x", "<x >x", "ax"),
        ]);
    }

    #[test]
    fn other_characters_stand_for_themselves() {
        check(&[
            ("a.b*", "a.b a.bc", "axb"),
            ("a+b*", "a+b", "aab"),
            ("{a,b}*", "{a,b}", "a b"),
            ("(a|b)*", "(a|b)", "a b"),
            ("$a*", "$a", "a"),
            ("a<b>*", "a<b>", "ab"),
            ("a\\*b", "a*b", "axb"),
            ("a\\\\b*", "a\\b", "ab"),
            ("a]b*", "a]b", "ab"),
            ("a.|)$(}+{bc", "a.|)$(}+{bc", "abc"),
            ("a^b", "a^b", "ab"),
            ("^a*", "a ab", "^a ba"),
            ("dist/*+g08-py3.whl", "dist/x+g08-py3.whl", "dist/xg08-py3.whl"),
        ]);
    }

    #[test]
    fn lines_are_read_as_the_builder_reads_them() {
        check(&[
            ("\u{feff}foo", "foo", ""),
            ("# foo\nbar", "bar", "foo"),
            (" # foo", "", "foo #"),
            ("#foo\n\n  \n\tbar\t\r\n", "bar", "foo"),
            ("  foo  ", "foo", ""),
            ("foo # bar", "", "foo bar"),
            ("foo\r\nbar\r\n", "foo bar", ""),
            ("*\n! foo ", "x", "foo"),
            ("*\n!/foo", "x", "foo"),
            ("*\n!./foo/", "x", "foo foo/x"),
            ("*\n./!foo", "x", "foo"),
            ("*\n!!foo", "foo", "!foo"),
            ("foo bar", "", "foo bar"),
            ("", "", "foo"),
        ]);
    }

    #[test]
    fn what_the_builder_refuses_is_an_error_at_its_place() {
        for (text, at) in [
            ("!", "!"),
            ("a\n!\n", "!"),
            ("! ", "!"),
            ("!/", "!/"),
            ("a\n [ \n", "["),
            ("[^", "[^"),
            ("[]a]", "[]a]"),
            ("[-]", "[-]"),
            ("[x-]", "[x-]"),
            ("[-x]", "[-x]"),
            ("[a-b-c]", "[a-b-c]"),
            ("a[", "a["),
            ("[^bc", "[^bc"),
            ("\\", "\\"),
            ("a/[b", "a/[b"),
            ("[z-a]*", "[z-a]*"),
            ("\\d", "\\d"),
        ] {
            let error = parse(text).map(|it| it.patterns.len()).unwrap_err();
            assert_eq!(&text[error.span.start..error.span.end], at, "{text:?}");
            assert!(!error.reason.is_empty());
        }
    }

    #[test]
    fn every_pattern_has_its_place() {
        let text = "# a\n  foo/ \r\n\n!bar\n";
        let found: Vec<(&str, &str, bool)> = file(text)
            .patterns()
            .iter()
            .map(|it| (&text[it.span.start..it.span.end], it.text.clone(), it.negated))
            .map(|(a, b, c)| (a, if b == "foo" { "foo" } else { "bar" }, c))
            .collect();
        assert_eq!(found, [("foo/", "foo", false), ("!bar", "bar", true)]);
        assert_eq!(file("*\n!a").decided_by("a").map(|it| it.text.clone()), Some("a".to_owned()));
        assert!(file("x").decided_by("a").is_none());
    }

    #[test]
    fn a_whole_folder_is_judged_without_its_files() {
        use Ignored::*;
        for (patterns, folder, expected) in [
            ("node_modules", "node_modules", All),
            ("node_modules", "node_modules/a", All),
            ("node_modules", "packages/a/node_modules", None),
            ("**/node_modules", "packages/a/node_modules", All),
            ("**/node_modules", "packages", Some),
            ("node_modules\n!node_modules/keep", "node_modules", Some),
            ("node_modules\n!node_modules/keep", "node_modules/other", All),
            ("node_modules\n!node_modules/keep", "node_modules/keep", None),
            ("!node_modules/keep\nnode_modules", "node_modules", All),
            ("node_modules\n!src", "node_modules", All),
            ("node_modules\n!**/*.md", "node_modules", Some),
            ("node_modules/**", "node_modules", All),
            ("node_modules/*", "node_modules", All),
            ("node_modules/*\n!node_modules/.keep", "node_modules", Some),
            ("*", ".", All),
            ("**", "", All),
            ("*\n!a", ".", Some),
            ("*\n!a/b\n**", ".", All),
            ("*\n!a/b\n**", "a", All),
            ("", ".", None),
            ("a", ".", Some),
            ("*.log", "src", None),
            ("**/*.log", "src", Some),
            ("src/*.log", "src", Some),
            ("src/*.log", "srcs", None),
            ("s*/gen", "src", Some),
            ("s?c/gen", "sxx", None),
            ("*\n!src", "src", None),
            ("*\n!src\nsrc/gen", "src", Some),
            ("*\n!src\nsrc/gen", "src/gen", All),
            ("*\n!*/keep\nd*", "d", Some),
            ("target/", "target", All),
            ("[t]arget", "other", Some),
        ] {
            assert_eq!(file(patterns).excludes_tree(folder), expected, "{patterns:?} {folder}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "([a-c*?!/.#\\[\\]^\\\\ -]|\\*\\*|\n|\u{feff}|é){0,24}", path in "[a-c]{1,2}(/[a-c]{1,2}){0,3}") {
            match parse(&text) {
                Ok(file) => {
                    file.excludes(&path);
                }
                Err(error) => prop_assert!(text.get(error.span.start..error.span.end).is_some()),
            }
        }

        #[test]
        fn the_judgement_of_a_folder_holds_for_what_is_in_it(text in "(!?([ab*?]|\\*\\*){1,2}(/([ab*]|\\*\\*)){0,2}\n){0,5}", folder in "[ab](/[ab]){0,1}", below in "[ab](/[ab]){0,1}") {
            let Ok(file) = parse(&text) else { return Ok(()) };
            let excluded = file.excludes(&format!("{folder}/{below}"));
            match file.excludes_tree(&folder) {
                Ignored::All => prop_assert!(excluded),
                Ignored::None => prop_assert!(!excluded),
                Ignored::Some => {}
            }
        }
    }
}
