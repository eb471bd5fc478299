//! Words of a script with their values, and what a script leaves behind for later steps.
//!
//! Variables are followed through `env:` and through plain assignments earlier in the script;
//! command substitutions are told apart by what they vary with: the date, the commit, a file.

use super::read::{Known, Names};
use super::{Run, Step};
use crate::edit::Span;
use crate::shell::{self, Command, Join, Word};
use crate::value::{Part, Passage};
use crate::volatility::{self, Axis, Variance};
use std::collections::BTreeMap;

/// Substitutions inside substitutions that are followed.
const MAX_NESTING: usize = 4;

/// What the variables of a script stand for, at one command of it.
#[derive(Clone)]
pub(super) struct Variables<'a> {
    names: &'a Names<'a>,
    locals: BTreeMap<String, Known>,
    /// Assignments may be skipped or repeated, so that no value is certain.
    uncertain: bool,
}

impl<'a> Variables<'a> {
    /// At the start of a script.
    pub(super) fn new(names: &'a Names<'a>, run: &Run) -> Variables<'a> {
        Variables { names, locals: BTreeMap::new(), uncertain: run.script.opaque.is_some() }
    }

    /// What a variable stands for.
    fn get(&self, name: &str) -> Known {
        self.locals.get(name).cloned().or_else(|| self.names.variable(name)).unwrap_or_else(|| Known::varying(runner_variable(name)))
    }

    /// The variables of the environment that are set for a command; without a value where it is not
    /// known. What the script sets may not be exported, and counts as not known.
    pub(super) fn environment(&self, passage: &Passage, command: &Command) -> BTreeMap<String, Option<String>> {
        let mut res = self.names.environment();
        res.extend(self.locals.keys().map(|it| (it.clone(), None)));
        res.extend(command.environment().into_iter().map(|(name, _)| (name.to_owned(), None)));
        res.extend(command.assignments.iter().map(|(name, word)| (name.clone(), self.word(passage, word).known().map(str::to_owned))));
        res
    }

    /// Takes in what a command assigns.
    pub(super) fn follow(&mut self, passage: &Passage, command: &Command) {
        let exported = match command.words.split_first() {
            None => Vec::new(),
            Some((first, rest)) if matches!(first.text.as_str(), "export" | "declare" | "local" | "readonly" | "typeset") => {
                rest.iter().filter_map(|it| Some((it.text.split_once('=')?.0.to_owned(), it))).collect()
            }
            // `NAME=value command` sets it for that command alone.
            Some(_) => return,
        };
        let assigned = command.assignments.iter().map(|(name, word)| (name.clone(), self.word(passage, word)));
        let exported = exported.into_iter().filter_map(|(name, word)| Some((name, self.word(passage, word).split_once('=')?.1)));
        let all: Vec<(String, Passage)> = assigned.chain(exported).collect();
        for (name, value) in all {
            let is_certain = !self.uncertain && command.depth == 0 && !matches!(command.joined, Join::And | Join::Or | Join::Pipe);
            let known = Known::of(&value.value());
            let known = if is_certain && known.is_told() {
                known
            } else {
                let before = self.locals.get(&name).map(|it| it.variance.clone()).unwrap_or_default();
                Known::varying(known.variance.join(&before))
            };
            self.locals.insert(name, known);
        }
    }

    /// A word without its quotes, with the variables in it followed. `passage` is the script.
    pub(super) fn word(&self, passage: &Passage, word: &Word) -> Passage {
        let raw = passage.slice(word.span);
        let text = raw.text();
        let mut res = Passage::new(raw.span());
        let mut plain = 0;
        let mut at = 0;
        let mut double = false;
        while let Some(&byte) = text.as_bytes().get(at) {
            let next = text.as_bytes().get(at + 1);
            let (length, expansion) = match byte {
                b'\'' if !double => {
                    let Some(end) = text[at + 1..].find('\'') else { break };
                    res.push(&raw.slice(Span::new(plain, at)));
                    res.push(&raw.slice(Span::new(at + 1, at + 1 + end)));
                    (end + 2, None)
                }
                b'"' => {
                    double = !double;
                    res.push(&raw.slice(Span::new(plain, at)));
                    (1, None)
                }
                b'\\' if next.is_some_and(|it| it.is_ascii() && (!double || b"$`\"\\\n".contains(it))) => {
                    res.push(&raw.slice(Span::new(plain, at)));
                    if next != Some(&b'\n') {
                        res.push(&raw.slice(Span::new(at + 1, at + 2)));
                    }
                    (2, None)
                }
                b'$' | b'`' => match expansion(&text[at..]) {
                    Some(expansion) => (expansion.length, Some(expansion)),
                    None => {
                        at += 1;
                        continue;
                    }
                },
                _ => {
                    at += 1;
                    continue;
                }
            };
            if let Some(expansion) = expansion {
                res.push(&raw.slice(Span::new(plain, at)));
                let span = raw.source(Span::new(at, at + length));
                self.expanded(&expansion, span).into_iter().for_each(|it| res.push_expression(it, Vec::new()));
            }
            at += length;
            plain = at;
        }
        res.push(&raw.slice(Span::new(plain, text.len())));
        res.fitted()
    }

    fn expanded(&self, expansion: &Expansion<'_>, span: Span) -> Vec<Part> {
        let known = match expansion.kind {
            ExpansionKind::Variable(name) => self.get(name),
            ExpansionKind::Altered(name) => Known::varying(self.get(name).variance),
            ExpansionKind::Command(text) => Known::varying(self.command_variance(text, 0)),
        };
        let pieces = known.pieces(span);
        if !pieces.is_empty() {
            return pieces;
        }
        vec![Part::Expression { span, source: expansion.source(), known: known.text, variance: known.variance }]
    }

    /// What the output of commands varies with.
    fn command_variance(&self, text: &str, depth: usize) -> Variance {
        if depth > MAX_NESTING {
            return Variance::over(Axis::Unknown);
        }
        let script = shell::parse(text);
        if script.commands.is_empty() {
            return Variance::over(Axis::Unknown);
        }
        script.commands.iter().fold(Variance::constant(), |res, it| res.join(&self.output_variance(it, depth)))
    }

    fn output_variance(&self, command: &Command, depth: usize) -> Variance {
        let unknown = || Variance::over(Axis::Unknown);
        let Some(invocation) = command.invocation() else { return Variance::constant() };
        let arguments: Vec<&str> = invocation.arguments().iter().map(|it| it.text.as_str()).collect();
        let of_words = || invocation.arguments().iter().fold(Variance::constant(), |res, it| res.join(&self.word_variance(it, depth)));
        let reads_pipe = command.joined == Join::Pipe;
        match invocation.program() {
            Some("date") => Variance::over(date_axis(&arguments)),
            Some("uuidgen" | "mktemp" | "openssl") => Variance::over(Axis::Run),
            Some("git") => git_variance(&arguments),
            Some("echo" | "printf" | "basename" | "dirname") => of_words(),
            Some("true" | ":" | "cd" | "set") => Variance::constant(),
            // Filters: what they put out varies with what comes in.
            Some("cut" | "sed" | "awk" | "tr" | "head" | "tail" | "xargs" | "grep" | "sort" | "uniq" | "jq" | "rev" | "tee" | "cat") if reads_pipe => {
                Variance::constant()
            }
            _ => unknown(),
        }
    }

    fn word_variance(&self, word: &Word, depth: usize) -> Variance {
        let mut res = word.variables.iter().fold(Variance::constant(), |res, it| res.join(&self.get(it).variance));
        if word.computed {
            let mut at = 0;
            while let Some(found) = word.text[at..].find(['$', '`']) {
                at += found;
                match expansion(&word.text[at..]) {
                    Some(Expansion { kind: ExpansionKind::Command(text), length, .. }) => {
                        res = res.join(&self.command_variance(text, depth + 1));
                        at += length;
                    }
                    Some(Expansion { length, .. }) => at += length,
                    None => at += 1,
                }
            }
        }
        res
    }
}

/// What a variable that nobody sets here varies with: those that every runner sets.
fn runner_variable(name: &str) -> Variance {
    let axis = match name {
        "RANDOM" | "SRANDOM" | "SECONDS" | "EPOCHSECONDS" | "EPOCHREALTIME" => Axis::Run,
        "HOME" | "PWD" | "USER" => Axis::Workflow,
        _ => volatility::of_runner(name).unwrap_or(Axis::Unknown),
    };
    Variance::over(axis)
}

/// What the output of `date` varies with: the day, where no part of the format is smaller.
fn date_axis(arguments: &[&str]) -> Axis {
    const PADDING: &[char] = &['-', '_', '0', '^', '#'];
    const DAYS: &str = "aAbBCdDeFgGhjmquUVwWxyY";
    let is_day = |field: &str| field.trim_start_matches(PADDING).chars().next().is_none_or(|it| DAYS.contains(it));
    let of_day = |it: &&str| match it.strip_prefix('+') {
        Some(format) => format.split('%').skip(1).all(is_day),
        None => matches!(*it, "-I" | "-Idate" | "--iso-8601" | "--iso-8601=date"),
    };
    if arguments.iter().any(of_day) { Axis::Day } else { Axis::Run }
}

/// What the output of `git` varies with.
fn git_variance(arguments: &[&str]) -> Variance {
    let mut rest = arguments.iter().copied();
    let mut command = rest.next();
    while let Some(flag) = command.filter(|it| it.starts_with('-')) {
        if matches!(flag, "-C" | "-c") {
            rest.next();
        }
        command = rest.next();
    }
    let has = |flag: &str| arguments.contains(&flag);
    let axis = match command {
        Some("rev-parse") if has("--show-toplevel") => Axis::Workflow,
        Some("rev-parse") if has("--abbrev-ref") => Axis::Ref,
        Some("branch" | "symbolic-ref") => Axis::Ref,
        // The nearest tag stays the same over many commits.
        Some("describe") if has("--abbrev=0") => Axis::Ref,
        Some("rev-parse" | "describe" | "log" | "show" | "rev-list" | "show-ref" | "merge-base") => Axis::Commit,
        _ => Axis::Unknown,
    };
    Variance::over(axis)
}

struct Expansion<'a> {
    kind: ExpansionKind<'a>,
    /// In bytes, from the `$` or the back quote on.
    length: usize,
}

enum ExpansionKind<'a> {
    Variable(&'a str),
    /// More than the variable: `${NAME:-x}`.
    Altered(&'a str),
    Command(&'a str),
}

impl Expansion<'_> {
    /// A normal form: as an expression could not be written, so that it equals none.
    fn source(&self) -> String {
        match self.kind {
            ExpansionKind::Variable(name) => format!("${name}"),
            ExpansionKind::Altered(name) => format!("${{{name}…}}"),
            ExpansionKind::Command(text) => format!("$({text})"),
        }
    }
}

/// The expansion that a text begins with.
fn expansion(text: &str) -> Option<Expansion<'_>> {
    let between = |open: usize, close: usize| text.get(open..close).unwrap_or_default();
    if let Some(rest) = text.strip_prefix('`') {
        let end = rest.find('`').map_or(text.len(), |it| it + 1);
        return Some(Expansion { kind: ExpansionKind::Command(between(1, end)), length: text.len().min(end + 1) });
    }
    match text.as_bytes().get(1)? {
        b'(' => {
            let end = closing(text, 1, b'(', b')');
            Some(Expansion { kind: ExpansionKind::Command(between(2, end)), length: text.len().min(end + 1) })
        }
        b'{' => {
            let end = closing(text, 1, b'{', b'}');
            let inside = between(2, end);
            let name = &inside[..name_length(inside)];
            let kind = if name.len() == inside.len() { ExpansionKind::Variable(name) } else { ExpansionKind::Altered(name) };
            Some(Expansion { kind, length: text.len().min(end + 1) })
        }
        _ => {
            let length = name_length(&text[1..]);
            (length > 0).then(|| Expansion { kind: ExpansionKind::Variable(between(1, 1 + length)), length: length + 1 })
        }
    }
}

fn name_length(text: &str) -> usize {
    text.bytes().take_while(|it| it.is_ascii_alphanumeric() || *it == b'_').count()
}

/// The place of the bracket that closes the one at `start`; the end of the text where none does.
fn closing(text: &str, start: usize, open: u8, close: u8) -> usize {
    let mut depth = 0usize;
    for (at, byte) in text.bytes().enumerate().skip(start) {
        if byte == open {
            depth += 1;
        } else if byte == close {
            depth -= 1;
            if depth == 0 {
                return at;
            }
        }
    }
    text.len()
}

/// Takes in what a script writes to `$GITHUB_OUTPUT` and `$GITHUB_ENV`.
pub(super) fn learn(step: &Step, names: &mut Names<'_>) {
    let Some(run) = &step.run else { return };
    let has_outputs = run.passage.text().contains("GITHUB_OUTPUT");
    if !has_outputs && !["GITHUB_ENV", "::set-output "].iter().any(|it| run.passage.text().contains(it)) {
        return;
    }
    let mut found = Vec::new();
    let inner = names.below(&step.env);
    let mut variables = Variables::new(&inner, run);
    for (index, command) in run.script.commands.iter().enumerate() {
        let next = run.script.commands.get(index + 1).filter(|it| it.joined == Join::Pipe);
        if let Some(file) = written_file(command).or_else(|| next.and_then(piped_file)).or_else(|| grouped_file(command).filter(|_| has_outputs)) {
            let certain = step.condition.is_none() && run.script.opaque.is_none() && command.depth == 0;
            found.extend(
                pairs(&variables, run, command).into_iter().map(|(name, known)| (file, name, if certain { known } else { Known::varying(known.variance) })),
            );
        }
        variables.follow(&run.passage, command);
    }
    for (file, name, known) in found {
        match (file, &step.id) {
            (File::Env, _) => names.set_variable(&name, known),
            (File::Output, Some(id)) => names.set_step_output(id, &name, known),
            (File::Output, None) => {}
        }
    }
}

/// A file that GitHub reads after a step.
#[derive(Clone, Copy)]
enum File {
    Output,
    Env,
}

fn file_of(word: &Word) -> Option<File> {
    let has = |name: &str| word.variables.iter().any(|it| it == name);
    if has("GITHUB_OUTPUT") {
        Some(File::Output)
    } else if has("GITHUB_ENV") {
        Some(File::Env)
    } else {
        None
    }
}

fn written_file(command: &Command) -> Option<File> {
    let redirected = command.redirects.iter().filter(|it| it.operator.starts_with('>')).find_map(|it| file_of(&it.target));
    let old_command = || command.words.iter().any(|it| it.text.starts_with("::set-output ")).then_some(File::Output);
    redirected.or_else(old_command)
}

/// `… | tee -a "$GITHUB_OUTPUT"`
fn piped_file(command: &Command) -> Option<File> {
    (command.program() == Some("tee")).then(|| command.words.iter().find_map(file_of))?
}

/// `{ echo …; } >> "$GITHUB_OUTPUT"`: the redirection is not the command's own.
fn grouped_file(command: &Command) -> Option<File> {
    (command.depth > 0 && command.redirects.is_empty()).then_some(File::Output)
}

/// `name=value` of an `echo` or a `printf`.
fn pairs(variables: &Variables<'_>, run: &Run, command: &Command) -> Vec<(String, Known)> {
    let Some(invocation) = command.invocation() else { return Vec::new() };
    let words = invocation.arguments().iter().skip_while(|it| it.text.starts_with('-'));
    let words: Vec<Passage> = words.map(|it| variables.word(&run.passage, it)).collect();
    let Some((first, rest)) = words.split_first() else { return Vec::new() };
    let first = match first.text().strip_prefix("::set-output name=").map(|it| first.text().len() - it.len()) {
        Some(at) => first.slice(Span::new(at, first.text().len())),
        None => first.clone(),
    };
    let old = first.text().split_once("::").filter(|(name, _)| !name.contains('='));
    let split = match old {
        Some((name, _)) => Some((first.slice(Span::new(0, name.len())), first.slice(Span::new(name.len() + 2, first.text().len())))),
        None => first.split_once('='),
    };
    let Some((name, value)) = split.filter(|(name, _)| !name.is_open() && !name.is_empty()) else { return Vec::new() };
    let is_format = invocation.program() == Some("printf");
    match invocation.program() {
        Some("echo" | "printf") => {}
        _ => return Vec::new(),
    }
    let variance = rest.iter().fold(value.value().variance(), |res, it| res.join(&it.value().variance()));
    let is_whole = rest.is_empty() && !is_format && !value.text().contains("<<");
    let known = if is_whole { Known::of(&value.value()) } else { Known::varying(variance) };
    vec![(name.text().to_owned(), known)]
}

#[cfg(test)]
mod tests {
    use crate::value::Value;
    use crate::volatility::Axis;
    use crate::workflow::{lowered, with_steps};

    /// The value of an expression in a step behind one that runs `script`.
    fn behind(script: &str, expression: &str) -> Value {
        let lines: String = script.lines().map(|it| format!("\n    {it}")).collect();
        let text = with_steps(&format!("- id: a\n  run: |{lines}\n- uses: x/y@v1\n  with: {{v: '${{{{ {expression} }}}}'}}"));
        lowered(&text).jobs[0].steps[1].inputs[0].value.clone()
    }

    fn axes(script: &str) -> Vec<Axis> {
        behind(script, "steps.a.outputs.x").variance().iter().cloned().collect()
    }

    #[test]
    fn outputs_vary_with_what_is_written_to_them() {
        let cases: &[(&str, &[Axis])] = &[
            ("echo \"x=$(date +%s)\" >> $GITHUB_OUTPUT", &[Axis::Run]),
            ("echo \"x=$(date -u +'%Y-%m-%d')\" >> $GITHUB_OUTPUT", &[Axis::Day]),
            ("echo \"x=$(date +%-V)\" >> $GITHUB_OUTPUT", &[Axis::Day]),
            ("echo \"x=$(date -I)\" >> $GITHUB_OUTPUT", &[Axis::Day]),
            ("echo \"x=$(date -u -d yesterday +%Y%m%dT000000Z)\" >> $GITHUB_OUTPUT", &[Axis::Day]),
            ("echo \"x=$(date +%Y%m%d-%H%M)\" >> $GITHUB_OUTPUT", &[Axis::Run]),
            ("echo \"x=$(date -Iseconds)\" >> $GITHUB_OUTPUT", &[Axis::Run]),
            ("echo \"x=$(date +)\" >> $GITHUB_OUTPUT", &[Axis::Day]),
            ("echo \"x=$(git rev-parse --short HEAD)\" >> \"$GITHUB_OUTPUT\"", &[Axis::Commit]),
            ("echo \"x=`git describe --tags`\" >>$GITHUB_OUTPUT", &[Axis::Commit]),
            ("echo \"x=$(git rev-parse --abbrev-ref HEAD | tr / -)\" >> $GITHUB_OUTPUT", &[Axis::Ref]),
            ("echo \"x=${GITHUB_SHA::7}\" >> $GITHUB_OUTPUT", &[Axis::Commit]),
            ("echo \"x=${GITHUB_REF#refs/tags/}\" >> $GITHUB_OUTPUT", &[Axis::Ref]),
            ("echo x=$(echo $GITHUB_SHA | cut -c1-7) >> $GITHUB_OUTPUT", &[Axis::Commit]),
            ("T=$(date)\necho \"x=$T\" >> $GITHUB_OUTPUT", &[Axis::Run]),
            ("echo \"x=$(cat VERSION)\" >> $GITHUB_OUTPUT", &[Axis::Unknown]),
            ("printf 'x=%s\\n' \"$GITHUB_RUN_ID\" >> $GITHUB_OUTPUT", &[Axis::Run]),
            ("echo \"x=$GITHUB_RUN_NUMBER\" | tee -a $GITHUB_OUTPUT", &[Axis::Run]),
            ("{\n  echo \"x=$GITHUB_SHA\"\n} >> $GITHUB_OUTPUT", &[Axis::Commit]),
            ("echo \"::set-output name=x::$(date)\"", &[Axis::Run]),
            ("if true; then echo x=1 >> $GITHUB_OUTPUT; fi", &[]),
            ("echo x=${{ github.sha }} >> $GITHUB_OUTPUT", &[Axis::Commit]),
        ];
        for (script, expected) in cases {
            assert_eq!(axes(script), *expected, "{script}");
        }
    }

    #[test]
    fn a_plain_output_is_known() {
        assert_eq!(behind("echo 'x=app' >> $GITHUB_OUTPUT", "steps.a.outputs.x").known().as_deref(), Some("app"));
        assert_eq!(behind("if true; then echo x=1 >> $GITHUB_OUTPUT; fi", "steps.a.outputs.x").known(), None);
        assert_eq!(behind("echo x=1 >> other", "steps.a.outputs.x").known(), None);
        assert!(behind("echo x=1 >> other", "steps.a.outputs.x").variance().is_unknown());
    }

    #[test]
    fn later_steps_see_exported_variables() {
        assert_eq!(behind("echo IMAGE=app >> $GITHUB_ENV", "env.IMAGE").known().as_deref(), Some("app"));
        assert!(behind("echo \"T=$(date)\" >> $GITHUB_ENV", "env.T").variance().has(&Axis::Run));
    }

    #[test]
    fn brackets_that_never_close_are_read_once() {
        let deep = format!("echo x={} >> $GITHUB_OUTPUT", "$(".repeat(20_000));
        behind(&deep, "steps.a.outputs.x");
        behind(&format!("docker build {}", "${a".repeat(20_000)), "env.a");
    }
}
