//! SARIF 2.1.0, for code scanning.
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>

use super::Error;
use super::gitlab::fingerprint;
use super::json::write_pretty;
use super::report::{Place, Report};
use crate::config;
use crate::diagnostic::{Diagnostic, FileEdits, FileSpan, Fix, Level};
use crate::edit::Span;
use crate::rules;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;

pub fn print(report: &Report<'_>, output: &mut dyn Write) -> Result<(), Error> {
    let described = describe_rules();
    let index: BTreeMap<&str, usize> = described.iter().enumerate().map(|(index, (name, _))| (*name, index)).collect();
    let results: Vec<Value> = report.diagnostics.iter().map(|it| result(report, it, index.get(it.rule).copied())).collect();
    let whole = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "Layerwise",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": "https://github.com/layerwise/layerwise",
                "rules": described.into_iter().map(|(_, it)| it).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    write_pretty(&whole, output)
}

fn describe_rules() -> Vec<(&'static str, Value)> {
    let describe = |it: &&'static rules::Rule| {
        let summary = it.summary().split_whitespace().collect::<Vec<_>>().join(" ");
        let value = json!({
            "id": it.name,
            "shortDescription": {"text": summary},
            "fullDescription": {"text": summary},
            "help": {"text": it.doc, "markdown": it.doc},
            "helpUri": rules::url(it.name),
            "defaultConfiguration": {"level": level(it.level), "enabled": it.level != Level::Off},
        });
        (it.name, value)
    };
    let configuration = json!({"id": config::RULE, "shortDescription": {"text": "The configuration has an error."}});
    rules::ALL.iter().map(describe).chain([(config::RULE, configuration)]).collect()
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info | Level::Hint => "note",
        Level::Off => "none",
    }
}

fn result(report: &Report<'_>, it: &Diagnostic, index: Option<usize>) -> Value {
    let path = report.paths.show(&it.at.path);
    let mut res = json!({
        "ruleId": it.rule,
        "level": level(it.level),
        "message": {"text": it.message},
        "locations": [location(report, &it.at)],
        "partialFingerprints": {"layerwise/v1": format!("{:016x}", fingerprint(&[it.rule, &path, &it.message]))},
    });
    if let Some(index) = index {
        res["ruleIndex"] = json!(index);
    }
    if !it.notes.is_empty() {
        let related = it.notes.iter().enumerate().map(|(id, note)| {
            let mut location = location(report, &note.at);
            location["id"] = json!(id);
            location["message"] = json!({"text": note.message});
            location
        });
        res["relatedLocations"] = related.collect();
    }
    if !it.fixes.is_empty() {
        res["fixes"] = it.fixes.iter().map(|it| fix(report, it)).collect();
    }
    res
}

fn location(report: &Report<'_>, at: &FileSpan) -> Value {
    json!({"physicalLocation": {"artifactLocation": {"uri": uri(&report.paths.show(&at.path))}, "region": region(report, at)}})
}

fn region(report: &Report<'_>, at: &FileSpan) -> Value {
    let (Place { line: start_line, column: start_column }, Place { line: end_line, column: end_column }) = report.places(at);
    json!({
        "startLine": start_line, "startColumn": start_column, "endLine": end_line, "endColumn": end_column,
        "byteOffset": at.span.start, "byteLength": at.span.len(),
    })
}

fn fix(report: &Report<'_>, fix: &Fix) -> Value {
    let change = |file: &FileEdits| {
        let replacements = file.edits.iter().map(|edit| {
            let region = if file.create { json!({"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1}) } else { deleted(report, file, edit.delete) };
            json!({"deletedRegion": region, "insertedContent": {"text": edit.insert}})
        });
        json!({"artifactLocation": {"uri": uri(&report.paths.show(&file.path))}, "replacements": replacements.collect::<Vec<_>>()})
    };
    json!({"description": {"text": fix.title()}, "artifactChanges": fix.files().iter().map(change).collect::<Vec<_>>()})
}

fn deleted(report: &Report<'_>, file: &FileEdits, span: Span) -> Value {
    region(report, &FileSpan { path: file.path.clone(), span })
}

/// A shown path as a relative or absolute URI.
fn uri(path: &str) -> String {
    let plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'.' | b'_' | b'~' | b'/');
    let encoded: String = path.bytes().map(|it| if plain(it) { char::from(it).to_string() } else { format!("%{it:02X}") }).collect();
    if path.starts_with('/') { format!("file://{encoded}") } else { encoded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_uri() {
        assert_eq!(uri("a b/é"), "a%20b/%C3%A9");
        assert_eq!(uri("/x:y"), "file:///x%3Ay");
    }
}
