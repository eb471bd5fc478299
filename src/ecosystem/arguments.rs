//! Command lines: flags and words, read by the tables of [`super::table`].

use super::{Action, Manager, NamedPath, Role, Step};
use crate::shell::{Command, Invocation, Redirect, Word};
use crate::volatility::Cost;
use std::collections::HashMap;
use std::sync::LazyLock;

/// What a flag means for what the command reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Means {
    /// Nothing.
    Nothing,
    /// No lifecycle script runs.
    NoScripts,
    /// The lockfile is not rewritten.
    Frozen,
    /// The lockfile is neither checked nor rewritten.
    FrozenUnchecked,
    /// Later commands of the same manager are frozen.
    FreezesLater,
    /// The project itself is not installed.
    NoProject,
    /// No member of the workspace is installed.
    NoWorkspace,
    /// No autoloader is made.
    NoAutoloader,
    /// No plugin runs.
    NoPlugins,
    /// Sources are read for an optimised autoloader.
    Optimise,
    /// Installs outside the project.
    Global,
    /// The manager's cache is not used.
    NoCache,
    /// A setting of the manager's own configuration.
    Setting,
    /// Something that may be a folder of sources or an address.
    Source,
    /// Installs below the project, where the manager chooses.
    Deployment,
    /// A path, with its role.
    Path(Role),
}

/// Flags that mean the same.
pub(super) struct Flags {
    /// Separated by blanks. A name with `=` is one value of a flag.
    names: &'static str,
    /// Whether a value follows, behind `=` or as the next word.
    valued: bool,
    means: Means,
}

pub(super) const fn switch(names: &'static str, means: Means) -> Flags {
    Flags { names, valued: false, means }
}

pub(super) const fn valued(names: &'static str, means: Means) -> Flags {
    Flags { names, valued: true, means }
}

/// Commands of a program that do the same.
pub(super) struct Verb {
    /// Separated by `|`; one of several words is written with blanks.
    names: &'static str,
    action: Action,
    frozen: bool,
    flags: &'static [Flags],
}

pub(super) const fn verb(names: &'static str, action: Action, flags: &'static [Flags]) -> Verb {
    Verb { names, action, frozen: false, flags }
}

/// A command that never rewrites a lockfile.
pub(super) const fn frozen(names: &'static str, action: Action, flags: &'static [Flags]) -> Verb {
    Verb { names, action, frozen: true, flags }
}

/// A program and its command line.
pub(super) struct Tool {
    pub manager: Manager,
    /// Names of the program, separated by blanks.
    pub programs: &'static str,
    pub verbs: &'static [Verb],
    /// Flags of every command.
    pub flags: &'static [Flags],
    /// The command if none is named.
    pub default: Option<&'static str>,
    /// What a command that is not listed does.
    pub otherwise: Action,
}

/// A flag that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    pub means: Means,
    pub value: Option<Word>,
}

/// What a command of a package manager is.
pub(super) fn recognise(command: &Command) -> Option<Step> {
    let invocation = command.invocation()?;
    let (tool, program, words) = find_tool(&invocation)?;
    let line = Line::read(tool, words);
    let verb = line.verb.as_ref();
    let action = if line.is_version { Action::Other } else { verb.map_or(tool.otherwise, |it| it.action) };
    let mut step = Step {
        span: command.span,
        manager: tool.manager,
        action,
        display: display(&program, &line),
        cost: if is_setting(&line) { Cost::Copy } else { cost(tool.manager, action) },
        network: !matches!(action, Action::Clean | Action::Other),
        frozen: verb.is_some_and(|it| it.frozen) || line.given.iter().any(|it| matches!(it.means, Means::Frozen | Means::FrozenUnchecked)),
        no_cache: line.given.iter().any(|it| it.means == Means::NoCache),
        unknown: Vec::new(),
        paths: paths(&line.given),
        variables: command.variables().into_iter().map(str::to_owned).collect(),
        environment: command.environment().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        directory: String::new(),
        operands: line.operands,
        program_path: invocation.words.first()?.literal().filter(|it| it.contains('/')).map(str::to_owned),
        flags: line.given,
    };
    refine(&mut step, verb.is_some_and(|it| it.frozen));
    if verb.is_none() && action != Action::Build && !line.is_version {
        step.unknown.push((invocation.words.first()?.span, step.display.clone()));
    }
    if !invocation.plain {
        step.unknown.push((command.span, command.words.first()?.text.to_string()));
    }
    if !line.is_version {
        step.unknown.extend(line.unknown.into_iter().map(|it| (it.span, it.text.into())));
    }
    take_redirects(&command.redirects, &mut step);
    Some(step)
}

/// An install of a project that names packages instead installs those; a setting of Bundler may
/// freeze later installs. `clean` says that the command itself leaves no choice, as `npm ci` does, which takes no
/// names of packages.
fn refine(step: &mut Step, clean: bool) {
    if step.manager == Manager::Bundler && step.action == Action::Other && step.operands.windows(2).any(|it| freezes(&it[0].text, &it[1].text)) {
        step.flags.push(Given { means: Means::FreezesLater, value: None });
    }
    if step.action != Action::InstallDependencies {
        return;
    }
    let is_global = step.has(Means::Global);
    let names_nothing = step.operands.is_empty();
    let named = match step.manager {
        Manager::Npm | Manager::Yarn | Manager::Pnpm | Manager::Bun => is_global || !names_nothing && !clean && !step.display.ends_with("focus"),
        Manager::Pip | Manager::Uv if step.display.ends_with("install") => {
            let takes_files =
                step.has(Means::Path(Role::Requirements)) || step.has(Means::Source) || step.operands.iter().any(|it| super::python::is_local(&it.text));
            !names_nothing && !takes_files
        }
        Manager::Pipenv => !names_nothing,
        _ => false,
    };
    if named {
        step.action = Action::InstallNamed;
    }
}

fn freezes(setting: &str, value: &str) -> bool {
    matches!(setting, "frozen" | "deployment") && matches!(value, "true" | "1")
}

/// The tool, its name for messages, and the words behind it.
fn find_tool<'a>(invocation: &Invocation<'a>) -> Option<(&'static Tool, String, &'a [Word])> {
    let program = invocation.program()?;
    let written = invocation.words.first()?.literal()?;
    if let Some(module) = python_module(program, invocation.arguments()) {
        let tool = tool_of(module)?;
        return Some((tool, format!("{program} -m {module}"), invocation.arguments().get(2..)?));
    }
    let tool = tool_of(program).or_else(|| tool_of(unversioned(program)))?;
    let name = if written.starts_with("./") { written } else { program };
    Some((tool, name.to_owned(), invocation.arguments()))
}

fn tool_of(program: &str) -> Option<&'static Tool> {
    static TOOLS: LazyLock<HashMap<&str, &Tool>> = LazyLock::new(|| {
        let all = super::table::TOOLS.iter().flat_map(|it| it.iter());
        let named = all.flat_map(|tool| tool.programs.split(' ').map(move |name| (name, tool)));
        // The first row of a name counts.
        named.rev().collect()
    });
    TOOLS.get(program).copied()
}

/// `pip` of `pip3.12`.
fn unversioned(program: &str) -> &str {
    let bare = program.trim_end_matches(|it: char| it.is_ascii_digit() || it == '.');
    if bare == "pip" { bare } else { program }
}

/// `pip` of `python3 -m pip`.
fn python_module<'a>(program: &str, arguments: &'a [Word]) -> Option<&'a str> {
    let bare = program.trim_end_matches(|it: char| it.is_ascii_digit() || it == '.');
    match arguments {
        [flag, module, ..] if bare == "python" && flag.text == "-m" => module.literal(),
        _ => None,
    }
}

/// `npm config set`, `npm --version`: what takes no time.
fn is_setting(line: &Line) -> bool {
    let of_settings = |it: &str| it.split(' ').next() == Some("config") || it == "set";
    line.is_version || line.verb.as_ref().is_some_and(|it| it.action == Action::Other && of_settings(&it.name))
}

fn cost(manager: Manager, action: Action) -> Cost {
    match action {
        Action::Clean => Cost::Copy,
        Action::Other if manager == Manager::Shell => Cost::Copy,
        Action::UpdateIndex | Action::InstallSystem | Action::InstallDependencies | Action::InstallNamed => Cost::Download,
        Action::Build | Action::Other => Cost::Compile,
    }
}

fn display(program: &str, line: &Line) -> String {
    let mut res = program.to_owned();
    match &line.verb {
        Some(verb) => {
            if !verb.name.is_empty() {
                res = format!("{res} {}", verb.name);
            }
        }
        None => {
            if let Some(word) = line.operands.first() {
                res = format!("{res} {}", word.text);
            }
        }
    }
    match line.given.iter().find(|it| it.means == Means::Path(Role::Requirements)) {
        Some(Given { value: Some(value), .. }) => format!("{res} -r {}", value.text),
        _ => res,
    }
}

fn paths(given: &[Given]) -> Vec<NamedPath> {
    given
        .iter()
        .filter_map(|it| match (it.means, &it.value) {
            (Means::Path(role), Some(value)) => Some(NamedPath { span: value.span, path: value.text.to_string(), role }),
            _ => None,
        })
        .collect()
}

/// Output that is thrown away is nothing; all other redirections are paths.
fn take_redirects(redirects: &[Redirect], step: &mut Step) {
    for redirect in redirects {
        if discards(redirect) {
            continue;
        }
        let is_output = redirect.operator.contains('>');
        match redirect.target.literal() {
            Some(path) if is_output => step.paths.push(NamedPath { span: redirect.target.span, path: path.to_owned(), role: Role::Output }),
            _ => step.unknown.push((redirect.span, format!("{}{}", redirect.operator, redirect.target.text))),
        }
    }
}

/// Whether a redirection goes nowhere or to another descriptor.
pub(super) fn discards(redirect: &Redirect) -> bool {
    let target = redirect.target.text.as_str();
    matches!(target, "/dev/null" | "/dev/stdout" | "/dev/stderr")
        || redirect.operator.ends_with(">&") && target.bytes().all(|it| it.is_ascii_digit() || it == b'-')
}

/// The command that was found.
struct FoundVerb {
    name: String,
    action: Action,
    frozen: bool,
}

/// A command line, taken apart.
struct Line {
    verb: Option<FoundVerb>,
    given: Vec<Given>,
    operands: Vec<Word>,
    unknown: Vec<Word>,
    is_version: bool,
}

impl Line {
    fn read(tool: &'static Tool, words: &[Word]) -> Line {
        // The command decides which flags there are, and flags that take values decide which word
        // is the command: flags of all commands are tried first, then those of the one found.
        let first = Line::split(words, &[tool.flags]);
        let found = find_verb(tool, &first.operands).filter(|(length, _)| *length > 0 || !is_version(words));
        let (skipped, verb) = match found {
            Some((skipped, verb)) => (skipped, Some(verb)),
            None => (0, None),
        };
        let mut res = Line::split(words, &[verb.map_or(&[][..], |it| it.flags), tool.flags]);
        let texts: Vec<&str> = res.operands.iter().take(skipped).map(|it| it.text.as_str()).collect();
        let name = if texts.is_empty() { tool.default.unwrap_or_default().to_owned() } else { texts.join(" ") };
        res.is_version = is_version(words);
        res.operands.drain(..skipped.min(res.operands.len()));
        res.verb = verb.map(|it| FoundVerb { name, action: it.action, frozen: it.frozen });
        res
    }

    fn split(words: &[Word], tables: &[&'static [Flags]]) -> Line {
        let mut res = Line { verb: None, given: Vec::new(), operands: Vec::new(), unknown: Vec::new(), is_version: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if !word.text.starts_with('-') || word.text == "-" {
                res.operands.push(word.clone());
            } else if word.text == "--" {
                res.operands.extend(words.by_ref().cloned());
            } else {
                res.flag(word, tables, &mut words);
            }
        }
        res
    }

    fn flag(&mut self, word: &Word, tables: &[&'static [Flags]], rest: &mut std::slice::Iter<'_, Word>) {
        let text = word.text.as_str();
        let flags = || tables.iter().flat_map(|it| it.iter());
        let find = |name: &str| flags().find(|it| it.names.split(' ').any(|it| it == name));
        if let Some(flag) = find(text) {
            let value = flag.valued.then(|| rest.next().cloned()).flatten();
            self.give(flag, value, word);
        } else if let Some((flag, at)) = text.find('=').and_then(|at| Some((find(&text[..at])?, at + 1))) {
            self.give(flag, Some(behind(word, at)), word);
        } else if !text.starts_with("--") && text.len() > 2 {
            self.cluster(word, find);
        } else {
            self.unknown.push(word.clone());
        }
    }

    /// `-yq` as `-y -q`, `-rfile` as `-r file`.
    fn cluster(&mut self, word: &Word, find: impl Fn(&str) -> Option<&'static Flags>) {
        let mut found = Vec::new();
        for (at, letter) in word.text.char_indices().skip(1) {
            let Some(flag) = find(&format!("-{letter}")) else { return self.unknown.push(word.clone()) };
            let end = at + letter.len_utf8();
            if flag.valued {
                let value = behind(word, end);
                found.push((flag, Some(value)));
                break;
            }
            found.push((flag, None));
        }
        for (flag, value) in found {
            self.give(flag, value, word);
        }
    }

    fn give(&mut self, flag: &Flags, value: Option<Word>, word: &Word) {
        let is_path = matches!(flag.means, Means::Path(_));
        // A path that is not literal may be any path.
        if is_path && value.as_ref().is_none_or(|it| it.literal().is_none()) {
            return self.unknown.push(value.unwrap_or_else(|| word.clone()));
        }
        self.given.push(Given { means: flag.means, value });
    }
}

/// The part of a word from byte `at` of its text on. The span is the word's: quotes may stand
/// anywhere.
fn behind(word: &Word, at: usize) -> Word {
    Word { text: word.text.get(at..).unwrap_or_default().into(), ..word.clone() }
}

fn is_version(words: &[Word]) -> bool {
    matches!(words, [it] if ["--version", "-V", "-v", "version", "--help", "-h"].contains(&it.text.as_str()))
}

/// The command that the words start with, and how many of them it takes.
fn find_verb(tool: &'static Tool, operands: &[Word]) -> Option<(usize, &'static Verb)> {
    let named = |length: usize| {
        let words: Option<Vec<&str>> = operands.get(..length)?.iter().map(Word::literal).collect();
        let name = words?.join(" ");
        let verb = tool.verbs.iter().find(|it| it.names.split('|').any(|it| it == name))?;
        Some((length, verb))
    };
    let default = || {
        let name = tool.default.filter(|_| operands.is_empty())?;
        Some((0, tool.verbs.iter().find(|it| it.names.split('|').any(|it| it == name))?))
    };
    named(3).or_else(|| named(2)).or_else(|| named(1)).or_else(default)
}
