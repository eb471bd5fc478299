//! GitLab's code quality report.
//! <https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format>

use super::Error;
use super::json::write_pretty;
use super::report::Report;
use crate::diagnostic::Level;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write;

pub fn print(report: &Report<'_>, output: &mut dyn Write) -> Result<(), Error> {
    let mut seen: HashMap<u64, u32> = HashMap::new();
    let issues = report.diagnostics.iter().map(|it| {
        let path = report.paths.show(&it.at.path);
        let (start, end) = report.places(&it.at);
        // Not made from the line, so that an issue stays the same one when lines above it change.
        let hash = fingerprint(&[it.rule, &path, &it.message]);
        let count = seen.entry(hash).and_modify(|it| *it += 1).or_insert(0);
        json!({
            "description": it.message,
            "check_name": it.rule,
            "fingerprint": format!("{hash:016x}{count:08x}"),
            "severity": severity(it.level),
            "location": {"path": path, "lines": {"begin": start.line, "end": end.line}},
        })
    });
    let issues: Vec<Value> = issues.collect();
    write_pretty(&issues, output)
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::Error => "critical",
        Level::Warning => "major",
        Level::Info => "minor",
        Level::Hint | Level::Off => "info",
    }
}

/// A number that is the same for the same parts on every machine and in every version (FNV-1a).
pub fn fingerprint(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|it| it.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, it| (hash ^ u64::from(it)).wrapping_mul(0x0100_0000_01b3))
}
