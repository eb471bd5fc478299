//! The format for people: each finding with its source, in the style of rustc.

use super::report::{Lines, Report};
use super::{Error, color};
use crate::diagnostic::{Diagnostic, Level, Note, Safety};
use crate::edit::Span;
use annotate_snippets::{AnnotationKind, Group, Level as Title, Renderer, Snippet};
use std::io::Write;
use std::sync::Arc;

pub fn print(report: &Report<'_>, hints: bool, colors: bool, output: &mut dyn Write) -> Result<(), Error> {
    let renderer = if colors { Renderer::styled() } else { Renderer::plain() };
    for it in report.diagnostics.iter().filter(|it| hints || it.level > Level::Hint) {
        writeln!(output, "{}\n", renderer.render(&[group(report, it)]))?;
    }
    Ok(())
}

/// One finding. Notes of the same file share its excerpt; those of others have one of their own.
fn group<'a>(report: &'a Report<'a>, it: &'a Diagnostic) -> Group<'a> {
    let (here, elsewhere): (Vec<&Note>, Vec<&Note>) = it.notes.iter().partition(|note| note.at.path == it.at.path);
    let mut group = title(it.level).primary_title(it.message.as_str()).id(it.rule).element(excerpt(report, &it.at.path, Some(it.at.span), &here));
    let mut rest = elsewhere.as_slice();
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|note| note.at.path == first.at.path).count();
        let (notes, others) = rest.split_at(same);
        group = group.element(excerpt(report, &first.at.path, None, notes));
        rest = others;
    }
    for fix in &it.fixes {
        let how = match fix.safety() {
            Safety::Safe => "`--fix`",
            Safety::Unsafe => "`--fix --unsafe-fixes`",
        };
        group = group.element(Title::HELP.message(format!("{} ({how})", fix.title())));
    }
    group
}

fn title(level: Level) -> Title<'static> {
    match level {
        Level::Error => Title::ERROR,
        Level::Warning => Title::WARNING,
        Level::Info => Title::INFO,
        Level::Hint | Level::Off => Title::HELP.with_name("hint"),
    }
}

/// The lines around the marks, which are no longer than a line each.
fn excerpt<'a>(report: &Report<'a>, path: &Arc<str>, primary: Option<Span>, notes: &[&'a Note]) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let lines = report.lines(path);
    let spans = primary.into_iter().chain(notes.iter().map(|it| it.at.span));
    let shown = spans.map(|it| lines.first_line(it)).reduce(Span::join).unwrap_or_default();
    let (whole, first) = lines.around(shown);
    let mark = |span: Span| inside(&lines, span, whole);
    let marks = notes.iter().map(|it| AnnotationKind::Context.span(mark(it.at.span)).label(it.message.as_str()));
    Snippet::source(whole.of(&lines.text).to_owned())
        .line_start(first)
        .path(report.paths.show(path))
        .annotations(primary.map(|it| AnnotationKind::Primary.span(mark(it))))
        .annotations(marks)
}

/// The marked part of a span, relative to the lines that are shown.
fn inside(lines: &Lines, span: Span, whole: Span) -> std::ops::Range<usize> {
    let span = lines.first_line(span);
    let relative = |it: usize| it.clamp(whole.start, whole.end) - whole.start;
    relative(span.start)..relative(span.end)
}

/// The last line: how much was found, and what can be done about it.
/// Hints that were not shown are told of.
pub fn summary(report: &Report<'_>, hints: bool, fixed: usize, colors: bool, output: &mut dyn Write) -> Result<(), Error> {
    if fixed > 0 {
        writeln!(output, "{} applied", count(fixed, "fix", "fixes"))?;
    }
    let files = count(report.files, "file", "files");
    if report.diagnostics.is_empty() {
        return Ok(writeln!(output, "nothing found in {files}")?);
    }
    let of = |level: Level| report.diagnostics.iter().filter(|it| it.level == level).count();
    let part = |level: Level, one: &str, many: &str| {
        let text = count(of(level), one, many);
        if colors { format!("{}{text}\x1b[0m", color(level)) } else { text }
    };
    let parts = [(Level::Error, "error", "errors"), (Level::Warning, "warning", "warnings"), (Level::Info, "info", "infos"), (Level::Hint, "hint", "hints")];
    let parts: Vec<String> = parts.into_iter().filter(|(level, ..)| of(*level) > 0).map(|(level, one, many)| part(level, one, many)).collect();
    let aside = if hints || of(Level::Hint) == 0 { "" } else { "; `--min-level hint` shows the hints" };
    writeln!(output, "{} in {files}{aside}", parts.join(", "))?;
    let counts = |it: &&&Diagnostic| hints || it.level > Level::Hint;
    let has = |safety: Safety| report.diagnostics.iter().filter(counts).filter(|it| it.fixes.iter().any(|it| it.safety() == safety)).count();
    match (has(Safety::Safe), has(Safety::Unsafe)) {
        (0, 0) => Ok(()),
        (0, n) => Ok(writeln!(output, "{n} can be fixed with `--fix --unsafe-fixes`; look at them with `--diff --unsafe-fixes`")?),
        (n, _) => Ok(writeln!(output, "{n} can be fixed safely with `--fix`; look at them with `--diff`")?),
    }
}

fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
