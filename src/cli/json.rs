//! The JSON format. Fields are added, never removed.

use super::report::{Place, Report};
use super::{Error, Status};
use crate::diagnostic::{Diagnostic, FileSpan, Fix, Safety};
use crate::rules;
use serde::Serialize;
use std::io::Write;

#[derive(Serialize)]
struct Output<'a> {
    version: &'static str,
    files: usize,
    diagnostics: Vec<Finding<'a>>,
}

#[derive(Serialize)]
struct Finding<'a> {
    rule: &'a str,
    level: &'static str,
    path: String,
    range: Range,
    message: &'a str,
    notes: Vec<Note<'a>>,
    fixes: Vec<Repair<'a>>,
    url: String,
}

#[derive(Serialize)]
struct Note<'a> {
    path: String,
    range: Range,
    message: &'a str,
}

#[derive(Serialize)]
struct Repair<'a> {
    title: &'a str,
    safety: &'static str,
    edits: Vec<Replacement<'a>>,
}

#[derive(Serialize)]
struct Replacement<'a> {
    path: String,
    start: usize,
    end: usize,
    text: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    create: bool,
}

#[derive(Serialize)]
struct Range {
    start: Position,
    end: Position,
}

#[derive(Serialize)]
struct Position {
    line: usize,
    column: usize,
    offset: usize,
}

impl Range {
    fn of(report: &Report<'_>, at: &FileSpan) -> Range {
        let (start, end) = report.places(at);
        let position = |place: Place, offset| Position { line: place.line, column: place.column, offset };
        Range { start: position(start, at.span.start), end: position(end, at.span.end) }
    }
}

pub fn print(report: &Report<'_>, output: &mut dyn Write) -> Result<(), Error> {
    let diagnostics = report.diagnostics.iter().map(|it| finding(report, it)).collect();
    let whole = Output { version: env!("CARGO_PKG_VERSION"), files: report.files, diagnostics };
    write_pretty(&whole, output)
}

/// Writes a value and a line ending.
pub fn write_pretty(value: &impl Serialize, output: &mut dyn Write) -> Result<(), Error> {
    serde_json::to_writer_pretty(&mut *output, value).map_err(std::io::Error::from)?;
    Ok(writeln!(output)?)
}

fn finding<'a>(report: &Report<'_>, it: &'a Diagnostic) -> Finding<'a> {
    let note = |it: &'a crate::diagnostic::Note| Note { path: report.paths.show(&it.at.path), range: Range::of(report, &it.at), message: &it.message };
    Finding {
        rule: it.rule,
        level: it.level.word(),
        path: report.paths.show(&it.at.path),
        range: Range::of(report, &it.at),
        message: &it.message,
        notes: it.notes.iter().map(note).collect(),
        fixes: it.fixes.iter().map(|it| repair(report, it)).collect(),
        url: rules::url(it.rule),
    }
}

fn repair<'a>(report: &Report<'_>, fix: &'a Fix) -> Repair<'a> {
    let edits = fix.files().iter().flat_map(|file| {
        let path = report.paths.show(&file.path);
        file.edits.iter().map(move |it| Replacement { path: path.clone(), start: it.delete.start, end: it.delete.end, text: &it.insert, create: file.create })
    });
    Repair { title: fix.title(), safety: safety(fix), edits: edits.collect() }
}

fn safety(fix: &Fix) -> &'static str {
    match fix.safety() {
        Safety::Safe => "safe",
        Safety::Unsafe => "unsafe",
    }
}

#[derive(Serialize)]
struct RuleLine {
    name: &'static str,
    level: &'static str,
    summary: String,
    fixes: bool,
    url: String,
}

/// Lists all rules.
pub fn rules(output: &mut dyn Write) -> Result<Status, Error> {
    let line = |it: &&rules::Rule| RuleLine {
        name: it.name,
        level: it.level.word(),
        summary: it.summary().split_whitespace().collect::<Vec<_>>().join(" "),
        fixes: it.fixes,
        url: rules::url(it.name),
    };
    write_pretty(&rules::ALL.iter().map(line).collect::<Vec<_>>(), output)?;
    Ok(Status::Clean)
}
