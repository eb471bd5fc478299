//! The command line: arguments, commands, exit status.

mod check;
mod explain;
mod github;
mod gitlab;
mod human;
mod json;
mod report;
mod sarif;
mod scopes;

use crate::config;
use crate::diagnostic::Level;
use crate::rules;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::io::{self, Read, Write};

/// What the program tells its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Status {
    /// Nothing at or above the failing level.
    Clean = 0,
    /// Something.
    Findings = 1,
    /// Wrong usage, unreadable input, or an internal fault; a message says which.
    Failure = 2,
}

/// Why a command could not do its work.
#[derive(Debug)]
pub enum Error {
    /// It was called in a wrong way, or its input is none.
    Usage(String),
    /// The output cannot be written.
    Output(io::Error),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Usage(message) => f.write_str(message),
            Error::Output(err) => write!(f, "the output cannot be written: {err}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(err: io::Error) -> Error {
        Error::Output(err)
    }
}

/// Where a command reads and writes.
pub struct Console<'a> {
    /// The working directory: an absolute path inside the program.
    pub folder: String,
    /// Standard input.
    pub input: &'a mut dyn Read,
    /// Standard output.
    pub output: &'a mut dyn Write,
    /// Messages that are not the answer.
    pub messages: &'a mut dyn Write,
    /// Whether the output may have colours.
    pub color: bool,
    /// Whether messages go to a terminal, where progress can be shown.
    pub progress: bool,
}

/// Keeps container builds cached: checks Dockerfiles and workflows for what loses the build cache.
#[derive(Debug, Parser)]
#[command(name = "layerwise", version, arg_required_else_help = true, disable_help_subcommand = true)]
struct Arguments {
    /// The same as the command `server`
    #[arg(long, hide = true)]
    stdio: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the language server on standard input and output
    Server {
        /// Accepted because editors pass it; there is no other way
        #[arg(long)]
        stdio: bool,
        #[arg(long = "clientProcessId", hide = true)]
        client: Option<String>,
    },
    /// Check files and folders
    Check(check::Arguments),
    /// Show the page of a rule, or the list of rules
    Explain {
        /// The rule's name
        rule: Option<String>,
    },
    /// Show every cache location, who writes it and who reads it
    Scopes(scopes::Arguments),
    /// List all rules
    Rules {
        /// How to print them
        #[arg(long, value_enum, default_value_t = ListFormat::Human)]
        format: ListFormat,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    Human,
    Json,
}

/// The definition of the command line, for what is made of it: man pages, completions of shells.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// What to do.
#[derive(Debug)]
pub enum Task {
    /// Run the server.
    Serve,
    /// Nothing more: the command is done.
    Done(Status),
}

/// Runs the command of `arguments`, the program's name first.
///
/// # Errors
/// If the command was called in a wrong way or its output cannot be written.
pub fn run(arguments: impl IntoIterator<Item = OsString>, console: &mut Console<'_>) -> Result<Task, Error> {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(err) => return explain_usage(&err, console),
    };
    let status = match arguments.command {
        Some(Command::Server { .. }) => return Ok(Task::Serve),
        None if arguments.stdio => return Ok(Task::Serve),
        None => return Err(Error::Usage("no command is given; see `layerwise --help`".into())),
        Some(Command::Check(arguments)) => check::run(&arguments, console)?,
        Some(Command::Scopes(arguments)) => scopes::run(&arguments, console)?,
        Some(Command::Explain { rule: None } | Command::Rules { format: ListFormat::Human }) => explain::list(console)?,
        Some(Command::Explain { rule: Some(name) }) => explain::page(&name, console)?,
        Some(Command::Rules { format: ListFormat::Json }) => json::rules(console.output)?,
    };
    console.output.flush()?;
    Ok(Task::Done(status))
}

/// Prints help, version, or what is wrong with the arguments.
fn explain_usage(err: &clap::Error, console: &mut Console<'_>) -> Result<Task, Error> {
    let asked_for = !err.use_stderr();
    let to = if asked_for { &mut *console.output } else { &mut *console.messages };
    write!(to, "{}", err.render())?;
    to.flush()?;
    Ok(Task::Done(if asked_for { Status::Clean } else { Status::Failure }))
}

/// The rule of this name.
fn find_rule(name: &str) -> Result<&'static rules::Rule, Error> {
    let found = rules::ALL.iter().copied().find(|it| it.name == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = rules::ALL.iter().map(|it| it.name).collect();
        Error::Usage(format!("there is no rule `{name}`{}", config::hint(name, &names)))
    })
}

/// How a level is written on a terminal.
fn color(level: Level) -> &'static str {
    match level {
        Level::Error => "\x1b[1;31m",
        Level::Warning => "\x1b[1;33m",
        Level::Info => "\x1b[1;34m",
        Level::Hint | Level::Off => "\x1b[1;36m",
    }
}
