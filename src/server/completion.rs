//! Completion: the names of rules in comments that suppress them. There is none anywhere else, so
//! that nothing stands beside what other servers complete.

use super::convert::Encoding;
use super::state::View;
use crate::diagnostic::{Diagnostic, FileSpan};
use crate::file::File;
use crate::rules::{self, Rule};
use crate::view;
use std::sync::Arc;
use tower_lsp::ls_types::{CompletionItem, CompletionItemKind, CompletionTextEdit, Documentation, Position, TextEdit};

/// What is typed before a name.
pub const TRIGGERS: [&str; 2] = ["[", ","];

/// Whether a position may be in such a comment. Editors ask at almost every key; this says no at
/// once where nothing has to be computed.
pub fn may_complete(file: &File, encoding: Encoding, position: Position) -> bool {
    let end = encoding.offset(file.document.rope(), position);
    let before = &file.text()[..end];
    before.rsplit('\n').next().is_some_and(|it| it.contains("layerwise:"))
}

/// The rules that can be named at a position, first those that find something in what the comment
/// covers.
pub fn completion(view: &View, path: &Arc<str>, found: &[Diagnostic], position: Position) -> Option<Vec<CompletionItem>> {
    let file = view.snapshot.file(path)?;
    let offset = view.client.encoding.offset(file.document.rope(), position);
    let model = view::View::new(&view.snapshot, path, &view.configs.of(&view.snapshot, path))?;
    let naming = rules::naming(&model, offset)?;
    let range = view.converter().range(&FileSpan { path: path.clone(), span: naming.name });
    // A space is typed after a comma only by some.
    let space = if model.source()[..naming.name.start].ends_with(',') { " " } else { "" };
    let finds = |rule: &Rule| found.iter().any(|it| it.at.path == *path && it.rule == rule.name && naming.covers.is_some_and(|all| all.contains(it.at.span)));
    let item = |(index, rule): (usize, &&'static Rule)| CompletionItem {
        label: rule.name.to_owned(),
        kind: Some(CompletionItemKind::VALUE),
        documentation: Some(Documentation::String(rule.summary().to_owned())),
        sort_text: Some(format!("{}{index:04}", u8::from(!finds(rule)))),
        text_edit: Some(CompletionTextEdit::Edit(TextEdit::new(range, format!("{space}{}", rule.name)))),
        ..CompletionItem::default()
    };
    Some(naming.rules.iter().enumerate().map(item).collect())
}
