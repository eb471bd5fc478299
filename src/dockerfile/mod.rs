//! The model of a Dockerfile: stages, instructions and what they mean.
//!
//! Lowering gives what it can: an instruction that is not understood is [`Kind::Unknown`], whose
//! effects are anything, so that nothing is ever moved across it.

pub mod caches;
pub mod context;
pub mod flags;
pub mod ignore;
pub mod key;
pub mod mounts;
pub mod moves;
pub mod plan;
pub mod rebuild;
pub mod selection;

use crate::ecosystem::Reading;
use crate::edit::Span;
use crate::shell::Script;
use crate::syntax::Mapped;
use crate::syntax::dockerfile::{self as syntax, CopySource, Expansion, Heredoc, MountField, Quotes, Source};
use compact_str::CompactString;
use std::collections::HashMap;
use std::sync::Arc;

/// A Dockerfile.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dockerfile {
    /// The escape character.
    pub escape: char,
    /// Who reads the file.
    pub frontend: Frontend,
    /// Build arguments before the first `FROM`, with the whole instruction.
    pub globals: Vec<Instruction>,
    /// The stages, in order.
    pub stages: Vec<Stage>,
    /// The numbers of the stages by name; a later stage of the same name hides an earlier one.
    names: HashMap<String, usize>,
    /// Own-line comments, for suppressions.
    pub comments: Vec<Span>,
    /// Where an instruction may be put at the earliest: behind byte order mark and directives.
    pub top: usize,
}

/// What a `# syntax=` line asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Frontend {
    /// None: the builder's own.
    #[default]
    Builtin,
    /// Docker's, with the tag that is asked for.
    Docker(String),
    /// Another one, of which nothing is known.
    Foreign,
}

/// One `FROM` and what follows.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Its number, from 0.
    pub index: usize,
    /// `AS name`, in lower case.
    pub name: Option<String>,
    /// The `FROM` instruction.
    pub from: Instruction,
    /// What it starts from.
    pub base: Base,
    /// The instructions after `FROM`.
    pub instructions: Vec<Instruction>,
}

/// What a stage starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// An earlier stage of this file.
    Stage(usize),
    /// An image.
    Image(Image),
}

/// A base image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Where the reference stands.
    pub span: Span,
    /// As written.
    pub text: String,
    /// With global arguments expanded; `None` where one has no default.
    pub expanded: Option<String>,
    /// Global arguments in it.
    pub arguments: Vec<String>,
}

impl Image {
    /// Name, tag and digest of the expanded reference.
    pub fn parts(&self) -> Option<(&str, Option<&str>, Option<&str>)> {
        self.expanded.as_deref().map(split_reference)
    }

    /// The name without registry and `library/`, for official images: `node`, `python`.
    pub fn official(&self) -> Option<&str> {
        let (name, ..) = self.parts()?;
        // Mirrors of Docker Hub keep its names.
        let mirrored = ["docker.io/library/", "index.docker.io/library/", "public.ecr.aws/docker/library/", "mirror.gcr.io/library/"];
        let name = mirrored.iter().find_map(|it| name.strip_prefix(it)).unwrap_or(name);
        let name = name.strip_prefix("docker.io/").unwrap_or(name);
        let name = name.strip_prefix("library/").unwrap_or(name);
        (!name.contains('/')).then_some(name)
    }
}

/// Splits `name[:tag][@digest]`.
pub fn split_reference(reference: &str) -> (&str, Option<&str>, Option<&str>) {
    let (rest, digest) = match reference.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (reference, None),
    };
    match rest.rfind(':') {
        // A colon before a slash belongs to the port of a registry.
        Some(at) if !rest[at..].contains('/') => (&rest[..at], Some(&rest[at + 1..]), digest),
        _ => (rest, None, digest),
    }
}

/// An instruction, with what it means.
#[derive(Debug, Clone, PartialEq)]
pub struct Instruction {
    /// Keyword to last byte.
    pub span: Span,
    /// Whole lines, heredocs included.
    pub lines: Span,
    /// Whole lines with the comment lines directly above, which move with it.
    pub owned: Span,
    /// Keyword in upper case.
    pub keyword: String,
    /// Whether the file writes it in lower case, so that a fix does too.
    pub keyword_is_lower: bool,
    /// What it does.
    pub kind: Kind,
    /// Variables that BuildKit expands in it (not those that a shell expands).
    pub expansions: Vec<Expansion>,
    /// Flags, as written.
    pub flags: Vec<syntax::Flag>,
}

/// What an instruction does.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `RUN`
    Run(Run),
    /// `COPY` and `ADD`
    Copy(Copy),
    /// `WORKDIR`, with the folder as written
    Workdir(String),
    /// `ENV`
    Env(Vec<Variable>),
    /// `ARG`
    Arg(Vec<Variable>),
    /// `USER`, as written
    User(String),
    /// `SHELL`
    Shell(Vec<String>),
    /// `LABEL`
    Label(Vec<Variable>),
    /// `CMD`, `ENTRYPOINT`, `HEALTHCHECK`, `EXPOSE`, `STOPSIGNAL`, `VOLUME`, `MAINTAINER`: only the
    /// image's configuration; whether the shell form is used, which records the shell
    Config {
        /// Shell form of CMD, ENTRYPOINT, HEALTHCHECK.
        shell_form: bool,
    },
    /// `ONBUILD`
    Onbuild,
    /// Anything else.
    Unknown,
}

/// `NAME=value` of ENV, ARG or LABEL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The pair.
    pub span: Span,
    /// Name.
    pub name: String,
    /// Value as written.
    pub value: Option<String>,
}

/// A `RUN` instruction.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// What is given to the shell, and the way back to the file. For a heredoc, its body.
    pub command: Mapped,
    /// Whether it goes through the shell (shell form, heredoc without `#!`).
    pub shell_form: bool,
    /// The simple commands of the shell form; of the exec form, its one command.
    pub script: Arc<Script>,
    /// What these commands are.
    pub reading: Arc<Reading>,
    /// `--mount` flags.
    pub mounts: Vec<Mount>,
    /// A flag that changes what the command can do (`--security`, `--device`, an unknown one), so
    /// that the effects are anything.
    pub special: bool,
    /// Heredocs that are not the command itself.
    pub heredoc: bool,
}

/// A `--mount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its fields, as written.
    pub fields: Vec<MountField>,
}

impl Mount {
    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().rev().find(|it| it.name == name)?.value.as_ref().map(|it| it.text.as_str())
    }

    /// Whether a switch is there and not turned off.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().rev().find(|it| it.name == name).is_some_and(|it| it.value.as_ref().is_none_or(|it| it.text != "false"))
    }

    /// Its kind: `bind` where none is given.
    pub fn kind(&self) -> &str {
        self.get("type").unwrap_or("bind")
    }

    /// Where it is mounted.
    pub fn target(&self) -> Option<&str> {
        self.target_value().map(|it| it.text.as_str())
    }

    /// The value that says where it is mounted: that of the last field, however each is spelt.
    pub fn target_value(&self) -> Option<&Mapped> {
        self.last(&["target", "dst", "destination"])
    }

    /// What is mounted.
    pub fn source(&self) -> Option<&str> {
        self.last(&["source", "src"]).map(|it| it.text.as_str())
    }

    fn last(&self, names: &[&str]) -> Option<&Mapped> {
        self.fields.iter().rev().find(|it| names.contains(&it.name.as_str()))?.value.as_ref()
    }

    /// Whether it mounts files of the build context.
    pub fn binds_context(&self) -> bool {
        self.kind() == "bind" && self.get("from").is_none()
    }
}

/// A `COPY` or `ADD` instruction.
#[derive(Debug, Clone, PartialEq)]
pub struct Copy {
    /// `ADD`.
    pub add: bool,
    /// `--from=`, as written.
    pub from: Option<String>,
    /// Sources as written, quotes removed.
    pub sources: Vec<syntax::Word>,
    /// Destination as written, quotes removed.
    pub destination: syntax::Word,
    /// `--link`.
    pub link: bool,
    /// `--chown=`, as written.
    pub chown: Option<String>,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude=` patterns.
    pub excludes: Vec<String>,
    /// It has a heredoc.
    pub heredoc: bool,
    /// A flag that is not known.
    pub special: bool,
}

impl Copy {
    /// Whether it copies from the build context.
    pub fn from_context(&self) -> bool {
        self.from.is_none() && self.sources.iter().any(|it| !is_remote(&it.text))
    }

    /// Whether a source is the whole build context.
    pub fn whole_context(&self) -> bool {
        self.from.is_none() && !self.parents && self.sources.iter().any(|it| matches!(clean_source(&it.text).as_str(), "" | "*" | "**"))
    }
}

/// Whether a source of ADD is fetched over the network.
pub fn is_remote(source: &str) -> bool {
    ["http://", "https://", "git://", "ssh://", "git@"].iter().any(|it| source.starts_with(it))
}

/// A source relative to the context, without `./`, leading and trailing `/`; empty for the context itself.
pub fn clean_source(source: &str) -> String {
    crate::facts::join("/", source)[1..].to_owned()
}

/// Whether a source has a wildcard.
pub fn is_glob(source: &str) -> bool {
    source.contains(['*', '?', '['])
}

impl Stage {
    /// What to call it in a sentence: its name, or its number.
    pub fn label(&self) -> String {
        self.name.as_ref().map_or_else(|| format!("{}", self.index), Clone::clone)
    }
}

impl Dockerfile {
    /// The stage of that name or number; names in any case.
    pub fn stage(&self, name: &str) -> Option<&Stage> {
        self.stage_named(name).or_else(|| self.stages.get(name.parse::<usize>().ok()?))
    }

    fn stage_named(&self, name: &str) -> Option<&Stage> {
        let index = match name.bytes().any(|it| it.is_ascii_uppercase()) {
            true => self.names.get(&name.to_ascii_lowercase()),
            false => self.names.get(name),
        };
        self.stages.get(*index?)
    }

    /// The stages that are built for `target` (the last one where none is named): the target, what
    /// it starts from, what it copies or mounts from.
    pub fn reachable(&self, target: Option<&str>) -> Vec<usize> {
        let Some(first) = target.map_or_else(|| self.stages.last(), |it| self.stage(it)) else { return Vec::new() };
        let mut found = vec![false; self.stages.len()];
        let mut open = vec![first.index];
        while let Some(index) = open.pop() {
            if std::mem::replace(&mut found[index], true) {
                continue;
            }
            open.extend(self.sources_of(&self.stages[index]));
        }
        (0..found.len()).filter(|it| found[*it]).collect()
    }

    /// Earlier stages that `stage` starts from, copies from or mounts from.
    pub fn sources_of(&self, stage: &Stage) -> Vec<usize> {
        let mut res = Vec::new();
        if let Base::Stage(base) = stage.base {
            res.push(base);
        }
        for instruction in &stage.instructions {
            let names: Vec<&str> = match &instruction.kind {
                Kind::Copy(copy) => copy.from.as_deref().into_iter().collect(),
                Kind::Run(run) => run.mounts.iter().filter_map(|it| it.get("from")).collect(),
                _ => continue,
            };
            res.extend(names.iter().filter_map(|it| self.stage(it)).map(|it| it.index).filter(|it| *it < stage.index));
        }
        res
    }

    /// The stage's own instructions behind those of the stages it starts from: `(stage, instruction)`.
    pub fn chain(&self, stage: usize) -> Vec<(usize, &Instruction)> {
        let mut stages = vec![stage];
        while let Some(Base::Stage(base)) = self.stages.get(stages[stages.len() - 1]).map(|it| &it.base) {
            // Lowering only refers to earlier stages, so that this ends.
            stages.push(*base);
        }
        stages.iter().rev().flat_map(|&index| self.stages[index].instructions.iter().map(move |it| (index, it))).collect()
    }

    /// The build arguments that are declared, for `FROM` and in all stages.
    pub fn declared(&self) -> impl Iterator<Item = &str> {
        let all = self.globals.iter().chain(self.instructions().map(|(_, it)| it));
        let variables = all.flat_map(|it| match &it.kind {
            Kind::Arg(variables) => variables.as_slice(),
            _ => &[],
        });
        variables.map(|it| it.name.as_str())
    }

    /// Whether its image has instructions for those that start from it.
    pub fn has_triggers(&self) -> bool {
        self.instructions().any(|(_, it)| matches!(it.kind, Kind::Onbuild))
    }

    /// All instructions of the file with the number of their stage.
    pub fn instructions(&self) -> impl Iterator<Item = (usize, &Instruction)> {
        self.stages.iter().flat_map(|stage| stage.instructions.iter().map(move |it| (stage.index, it)))
    }

    /// The scripts of its commands.
    pub fn scripts(&self) -> Scripts {
        let script = |(_, it): (usize, &Instruction)| match &it.kind {
            Kind::Run(run) if run.shell_form => Some((run.command.text.clone(), (run.script.clone(), run.reading.clone()))),
            _ => None,
        };
        self.instructions().filter_map(script).collect()
    }
}

/// Scripts that were read before, by their text.
pub type Scripts = HashMap<CompactString, (Arc<Script>, Arc<Reading>)>;

/// Makes the model of a Dockerfile.
pub fn lower(text: &str, source: &Source) -> Dockerfile {
    lower_after(text, source.clone(), &Scripts::default())
}

/// Makes the model of a Dockerfile. The scripts of an earlier text of it are not read again: they know
/// nothing of what is around them.
pub fn lower_after(text: &str, mut source: Source, scripts: &Scripts) -> Dockerfile {
    let mut res = Dockerfile { escape: source.escape, frontend: frontend(&source), ..Dockerfile::default() };
    // One without a value is a comment to BuildKit.
    let effective = source.directives.iter().take_while(|it| !it.value.is_empty());
    res.top = effective.map(|it| line_end(text, it.span.end)).last().unwrap_or_else(|| text.len() - text.trim_start_matches('\u{feff}').len());
    let instructions = std::mem::take(&mut source.instructions);
    let owners = Owners::new(text, &source);
    for instruction in instructions {
        let owned = owners.owned(&instruction);
        let from = (instruction.keyword == "FROM").then(|| lower_from(&res, &instruction, source.escape));
        let lowered = lower_instruction(text, instruction, source.escape, owned, scripts);
        if let Some((name, base)) = from {
            shrink(&mut res);
            res.names.extend(name.clone().map(|it| (it, res.stages.len())));
            res.stages.push(Stage { index: res.stages.len(), name, from: lowered, base, instructions: Vec::new() });
        } else if let Some(stage) = res.stages.last_mut() {
            stage.instructions.push(lowered);
        } else {
            res.globals.push(lowered);
        }
    }
    shrink(&mut res);
    res.comments = source.comments;
    res
}

/// A list that grew by itself has room for many more: of all stages together a good part of what the model takes.
fn shrink(dockerfile: &mut Dockerfile) {
    if let Some(complete) = dockerfile.stages.last_mut() {
        complete.instructions.shrink_to_fit();
    }
}

fn frontend(source: &Source) -> Frontend {
    match source.directives.iter().find(|it| it.name == "syntax") {
        None => Frontend::Builtin,
        Some(directive) => {
            let value = directive.value.strip_prefix("docker.io/").unwrap_or(&directive.value);
            let (name, tag, _) = split_reference(value);
            match name {
                "docker/dockerfile" | "docker/dockerfile-upstream" => Frontend::Docker(tag.unwrap_or("latest").to_owned()),
                _ => Frontend::Foreign,
            }
        }
    }
}

fn lower_from(file: &Dockerfile, instruction: &syntax::Instruction, escape: char) -> (Option<String>, Base) {
    let Some(from) = syntax::from_arguments(instruction, escape) else {
        return (None, Base::Image(Image { span: instruction.span, text: String::new(), expanded: None, arguments: Vec::new() }));
    };
    let name = from.name.map(|it| it.text.to_ascii_lowercase().into());
    let image = from.image;
    let text = instruction.words(escape).first().map_or_else(CompactString::default, |it| syntax::unquoted(&Mapped::verbatim(&it.text, 0), escape).text);
    if let Some(stage) = file.stage_named(&text) {
        return (name, Base::Stage(stage.index));
    }
    let expanded = syntax::expand(&text, escape, Quotes::Removed, |it| file.global(it));
    let arguments = syntax::expansions(&Mapped::verbatim(&text, 0), escape, Quotes::Removed).into_iter().map(|it| it.name).collect();
    let base = match expanded.as_deref() {
        Some("scratch") => Base::Scratch,
        Some(other) => match file.stage_named(other) {
            Some(stage) => Base::Stage(stage.index),
            None => Base::Image(Image { span: image.span, text: text.into(), expanded, arguments }),
        },
        None => Base::Image(Image { span: image.span, text: text.into(), expanded, arguments }),
    };
    (name, base)
}

impl Dockerfile {
    /// The default of a build argument: its own, or that of the global one of its name.
    pub fn default_of(&self, variable: &Variable) -> Option<String> {
        match (&variable.value, self.global(&variable.name)) {
            (Some(value), _) => Some(value.clone()),
            (None, syntax::Variable::Set(value)) => Some(value),
            (None, _) => None,
        }
    }

    /// The default of a global build argument, with those above it expanded.
    pub fn global(&self, name: &str) -> syntax::Variable {
        self.global_before(name, self.globals.len())
    }

    fn global_before(&self, name: &str, end: usize) -> syntax::Variable {
        let declared = self.globals[..end].iter().enumerate().rev().find_map(|(index, it)| match &it.kind {
            Kind::Arg(variables) => variables.iter().rev().find(|it| it.name == name).map(|it| (index, it.value.clone())),
            _ => None,
        });
        // An argument without a default, and one that the front end defines, may have any value.
        let Some((index, Some(value))) = declared else { return syntax::Variable::Unknown };
        // Only arguments of earlier instructions are looked at, so that this ends.
        let value = syntax::expand(&value, self.escape, Quotes::Removed, |it| self.global_before(it, index));
        value.map_or(syntax::Variable::Unknown, syntax::Variable::Set)
    }
}

/// Which comment lines belong to which instruction.
struct Owners<'a> {
    text: &'a str,
    comments: &'a [Span],
    directives_end: usize,
}

impl<'a> Owners<'a> {
    fn new(text: &'a str, source: &'a Source) -> Owners<'a> {
        let directives_end = source.directives.iter().map(|it| line_end(text, it.span.end)).max().unwrap_or(0);
        Owners { text, comments: &source.comments, directives_end }
    }

    /// The instruction's lines with the comment lines directly above it, up to a blank line.
    fn owned(&self, instruction: &syntax::Instruction) -> Span {
        let mut start = instruction.lines.start;
        let mut index = self.comments.partition_point(|it| it.end <= start);
        while let Some(comment) = index.checked_sub(1).and_then(|it| self.comments.get(it)) {
            let line = line_start(self.text, comment.start);
            if line_end(self.text, comment.end) != start || line < self.directives_end {
                break;
            }
            start = line;
            index -= 1;
        }
        Span::new(start, instruction.lines.end)
    }
}

/// The offset behind the line ending of the line that holds `offset`.
pub(crate) fn line_end(text: &str, offset: usize) -> usize {
    text.get(offset..).and_then(|it| it.find('\n')).map_or(text.len(), |it| offset + it + 1)
}

/// The first offset of the line that holds `offset`.
pub(crate) fn line_start(text: &str, offset: usize) -> usize {
    text.get(..offset).and_then(|it| it.rfind('\n')).map_or(0, |it| it + 1)
}

fn lower_instruction(text: &str, mut instruction: syntax::Instruction, escape: char, owned: Span, scripts: &Scripts) -> Instruction {
    let kind = lower_kind(text, &mut instruction, escape, scripts);
    let expanding = match &kind {
        // The shell expands these, not BuildKit; a heredoc of COPY is expanded if its marker is bare.
        Kind::Run(_) | Kind::Shell(_) | Kind::Onbuild | Kind::Unknown | Kind::Config { shell_form: true } => false,
        _ => !matches!(instruction.keyword.as_str(), "CMD" | "ENTRYPOINT" | "HEALTHCHECK" | "MAINTAINER"),
    };
    let mut expansions = if expanding { syntax::expansions(&instruction.arguments, escape, Quotes::Removed) } else { Vec::new() };
    for value in instruction.flags.iter().filter_map(|it| it.value.as_ref()) {
        expansions.extend(syntax::expansions(value, escape, Quotes::Removed));
    }
    if matches!(kind, Kind::Copy(_)) {
        expansions.extend(instruction.heredocs.iter().filter(|it| it.expand).flat_map(|it| heredoc_expansions(text, it, escape)));
    }
    Instruction {
        span: instruction.span,
        lines: instruction.lines,
        owned,
        keyword: instruction.keyword,
        keyword_is_lower: instruction.keyword_span.of(text).starts_with(char::is_lowercase),
        kind,
        expansions,
        flags: instruction.flags,
    }
}

fn heredoc_expansions(text: &str, heredoc: &Heredoc, escape: char) -> Vec<Expansion> {
    syntax::expansions(&Mapped::verbatim(heredoc.body.of(text), heredoc.body.start), escape, Quotes::Kept)
}

/// What the instruction does. That of RUN takes its arguments.
fn lower_kind(text: &str, instruction: &mut syntax::Instruction, escape: char, scripts: &Scripts) -> Kind {
    let variables = |instruction: &syntax::Instruction| -> Vec<Variable> {
        syntax::pairs(instruction, escape)
            .into_iter()
            .map(|it| Variable { span: it.span, name: it.name.text.into(), value: it.value.map(|it| it.text.into()) })
            .collect()
    };
    match instruction.keyword.as_str() {
        "RUN" => Kind::Run(lower_run(text, instruction, scripts)),
        "COPY" | "ADD" => lower_copy(instruction, escape).map_or(Kind::Unknown, Kind::Copy),
        "WORKDIR" => Kind::Workdir(instruction.arguments.text.to_string()),
        "ENV" => Kind::Env(variables(instruction)),
        "ARG" => Kind::Arg(variables(instruction)),
        "LABEL" => Kind::Label(variables(instruction)),
        "USER" => Kind::User(instruction.arguments.text.to_string()),
        "SHELL" => instruction.json.as_ref().map_or(Kind::Unknown, |it| Kind::Shell(it.iter().map(|it| it.text.to_string()).collect())),
        "CMD" | "ENTRYPOINT" | "HEALTHCHECK" => Kind::Config { shell_form: instruction.json.is_none() },
        "EXPOSE" | "STOPSIGNAL" | "VOLUME" | "MAINTAINER" => Kind::Config { shell_form: false },
        "ONBUILD" => Kind::Onbuild,
        _ => Kind::Unknown,
    }
}

fn lower_run(text: &str, instruction: &mut syntax::Instruction, scripts: &Scripts) -> Run {
    let mounts: Vec<Mount> = instruction.flags.iter().filter(|it| it.name == "mount").map(|it| Mount { fields: syntax::mount_fields(it) }).collect();
    let special = instruction.flags.iter().any(|it| !matches!(it.name.as_str(), "mount" | "network"));
    // `RUN <<EOF` and no more: the body is the script.
    let whole_heredoc = match &instruction.heredocs[..] {
        [heredoc] if instruction.arguments.span(Span::new(0, instruction.arguments.text.len())) == heredoc.marker => Some(heredoc),
        _ => None,
    };
    let (command, shell_form) = match (whole_heredoc, &instruction.json) {
        (Some(heredoc), _) => {
            let body = heredoc.body.of(text);
            (Mapped::verbatim(body, heredoc.body.start), !body.starts_with("#!"))
        }
        (None, json) => (std::mem::take(&mut instruction.arguments), json.is_none()),
    };
    let known = scripts.get(command.text.as_str()).filter(|_| shell_form);
    let (script, reading) = match (known, &instruction.json, whole_heredoc) {
        (Some((script, reading)), ..) => (Arc::clone(script), Arc::clone(reading)),
        (None, Some(words), None) => read_script(exec_script(words, &command)),
        _ if shell_form => read_script(crate::shell::parse(&command.text)),
        _ => read_script(Script { commands: Vec::new(), opaque: Some((Span::new(0, command.text.len()), "a script of its own")) }),
    };
    Run { command, shell_form, script, reading, mounts, special, heredoc: whole_heredoc.is_none() && !instruction.heredocs.is_empty() }
}

fn read_script(script: Script) -> (Arc<Script>, Arc<Reading>) {
    let reading = crate::ecosystem::read(&script);
    (Arc::new(script), Arc::new(reading))
}

/// The one command of an exec form; no shell reads it, so that every word is literal.
fn exec_script(words: &[syntax::Word], arguments: &Mapped) -> Script {
    let whole = Span::new(0, arguments.text.len());
    let words: Vec<crate::shell::Word> =
        words.iter().map(|it| crate::shell::Word { span: whole, text: it.text.clone(), variables: Vec::new(), computed: false, glob: false }).collect();
    // `["sh", "-c", "…"]` is a shell again.
    if let [shell, flag, script, ..] = &words[..]
        && flag.text.starts_with('-')
        && flag.text.ends_with('c')
        && matches!(crate::facts::name(&shell.text), "sh" | "bash" | "ash" | "dash")
    {
        let mut inner = crate::shell::parse(&script.text);
        // Its spans are of the decoded string; the whole form stands in their place.
        inner.commands.iter_mut().for_each(|it| it.span = whole);
        inner.opaque = inner.opaque.map(|(_, what)| (whole, what));
        return inner;
    }
    let command = crate::shell::Command { span: whole, joined: crate::shell::Join::First, assignments: Vec::new(), words, redirects: Vec::new(), depth: 0 };
    Script { commands: vec![command], opaque: None }
}

fn lower_copy(instruction: &syntax::Instruction, escape: char) -> Option<Copy> {
    let paths = syntax::copy_paths(instruction, escape)?;
    let flag = |name: &str| instruction.flags.iter().rev().find(|it| it.name == name);
    let text = |name: &str| flag(name).and_then(|it| it.value.as_ref()).map(|it| it.text.to_string());
    let known = ["from", "chown", "chmod", "link", "parents", "exclude", "checksum", "keep-git-dir", "unpack"];
    let is_set = |name: &str| flag(name).is_some_and(|it| it.value.as_ref().is_none_or(|it| it.text != "false"));
    Some(Copy {
        add: instruction.keyword == "ADD",
        from: text("from"),
        sources: paths
            .sources
            .into_iter()
            .filter_map(|it| match it {
                CopySource::Path(word) => Some(word),
                CopySource::Heredoc(_) => None,
            })
            .collect(),
        destination: paths.destination,
        link: is_set("link"),
        chown: text("chown"),
        parents: is_set("parents"),
        excludes: instruction.flags.iter().filter(|it| it.name == "exclude").filter_map(|it| it.value.as_ref()).map(|it| it.text.to_string()).collect(),
        heredoc: !instruction.heredocs.is_empty(),
        special: instruction.flags.iter().any(|it| !known.contains(&it.name.as_str())),
    })
}
