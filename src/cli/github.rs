//! Annotations of GitHub's workflow runs: one workflow command per line.
//! <https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions>

use super::Error;
use super::report::Report;
use crate::diagnostic::Level;
use std::io::Write;

/// Of annotations GitHub shows a few, which hints would use up.
pub fn print(report: &Report<'_>, hints: bool, output: &mut dyn Write) -> Result<(), Error> {
    for it in report.diagnostics.iter().filter(|it| hints || it.level > Level::Hint) {
        let (start, end) = report.places(&it.at);
        let command = match it.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Info | Level::Hint | Level::Off => "notice",
        };
        let file = property(&report.paths.show(&it.at.path));
        write!(output, "::{command} title=Layerwise ({}),file={file},line={},endLine={}", it.rule, start.line, end.line)?;
        // Columns are taken for granted to be of one line.
        if start.line == end.line {
            write!(output, ",col={},endColumn={}", start.column, end.column)?;
        }
        writeln!(output, "::{}", data(&message(report, it)))?;
    }
    Ok(())
}

fn message(report: &Report<'_>, it: &crate::diagnostic::Diagnostic) -> String {
    let mut text = it.message.clone();
    for note in &it.notes {
        let (place, _) = report.places(&note.at);
        text.push_str(&format!("\n{}:{}: {}", report.paths.show(&note.at.path), place.line, note.message));
    }
    if let Some(fix) = it.fixes.first() {
        text.push_str(&format!("\nhelp: {}", fix.title()));
    }
    text
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
