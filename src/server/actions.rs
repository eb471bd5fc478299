//! Code actions: fixes, all fixes at once, reorderings, and comments that suppress.

use super::convert::Converter;
use super::state::View;
use crate::check;
use crate::config;
use crate::diagnostic::{Diagnostic, FileEdits, Fix, Level, Safety};
use crate::edit::{self, Edit, EditSet, Span};
use crate::file::{File, Kind};
use crate::snapshot::Host;
use crate::workspace;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tower_lsp::ls_types::{
    CodeAction, CodeActionKind, CodeActionOrCommand, CreateFile, DocumentChangeOperation, DocumentChanges, OneOf, OptionalVersionedTextDocumentIdentifier,
    Range, ResourceOp, TextDocumentEdit, Uri, WorkspaceEdit,
};

/// The kind of the action that applies all safe fixes.
pub const FIX_ALL: CodeActionKind = CodeActionKind::new("source.fixAll.layerwise");

/// What is asked for.
pub struct Request {
    pub path: Arc<str>,
    pub range: Range,
    /// Kinds that the client wants; all if there are none.
    pub only: Option<Vec<CodeActionKind>>,
}

impl Request {
    fn wants(&self, kind: &CodeActionKind) -> bool {
        let within = |wanted: &CodeActionKind| {
            let rest = kind.as_str().strip_prefix(wanted.as_str());
            wanted.as_str().is_empty() || rest.is_some_and(|it| it.is_empty() || it.starts_with('.'))
        };
        self.only.as_ref().is_none_or(|it| it.iter().any(within))
    }
}

/// All actions for a range, the best first.
pub fn actions(view: &View, diagnostics: &[Diagnostic], request: &Request) -> Vec<CodeActionOrCommand> {
    let Some(file) = view.snapshot.file(&request.path) else { return Vec::new() };
    let maker = Maker { view, converter: view.converter() };
    let here = maker.converter.encoding.span(file.document.rope(), request.range);
    let found: Vec<&Diagnostic> = diagnostics.iter().filter(|it| it.at.path == request.path && it.at.span.meets(here)).collect();
    let mut res = Vec::new();
    if request.wants(&CodeActionKind::QUICKFIX) {
        res.extend(found.iter().flat_map(|it| maker.fixes(it)));
    }
    if request.wants(&CodeActionKind::REFACTOR_REWRITE) {
        res.extend(maker.reordering(&request.path, here));
    }
    if request.wants(&FIX_ALL) && diagnostics.iter().any(|it| it.level > Level::Hint && it.fixes.iter().any(|it| it.safety() == Safety::Safe)) {
        res.extend(maker.fix_all(&request.path));
    }
    if request.wants(&CodeActionKind::QUICKFIX) {
        res.extend(maker.suppressions(file, &found));
    }
    res.into_iter().map(CodeActionOrCommand::CodeAction).collect()
}

struct Maker<'a> {
    view: &'a View,
    converter: Converter<'a>,
}

impl Maker<'_> {
    fn fixes(&self, diagnostic: &Diagnostic) -> Vec<CodeAction> {
        let best = diagnostic.fixes.iter().position(|it| it.safety() == Safety::Safe);
        let action = |(index, fix): (usize, &Fix)| {
            let mut action = self.action(fix, CodeActionKind::QUICKFIX, Some(diagnostic))?;
            action.is_preferred = (best == Some(index)).then_some(true);
            Some(action)
        };
        diagnostic.fixes.iter().enumerate().filter_map(action).collect()
    }

    fn action(&self, fix: &Fix, kind: CodeActionKind, diagnostic: Option<&Diagnostic>) -> Option<CodeAction> {
        Some(CodeAction {
            title: fix.title().to_owned(),
            kind: Some(kind),
            diagnostics: diagnostic.map(|it| vec![self.converter.diagnostic(it)]),
            edit: Some(self.edit(fix.files())?),
            ..CodeAction::default()
        })
    }

    /// All safe reorderings of the stage at `span`.
    fn reordering(&self, path: &Arc<str>, span: Span) -> Option<CodeAction> {
        let mut host = Host::of(&self.view.snapshot);
        let paths = [path.clone()];
        let fix = check::reorder_stage(&mut host, &self.view.configs, path, span, |host| workspace::settle(host, &self.view.configs, &paths, &|_| {}))?;
        self.action(&fix, CodeActionKind::REFACTOR_REWRITE, None)
    }

    /// All safe fixes of a file, and those that they make possible.
    fn fix_all(&self, path: &Arc<str>) -> Option<CodeAction> {
        let mut host = Host::of(&self.view.snapshot);
        let paths = [path.clone()];
        let fixed = check::fix(&mut host, Safety::Safe, Level::Info, |host| workspace::settle(host, &self.view.configs, &paths, &|_| {}));
        let edits = |it: &check::Change| FileEdits {
            path: it.path.clone(),
            edits: edit::between(it.before.as_deref().unwrap_or(""), &it.after),
            create: it.before.is_none(),
        };
        let files: Vec<FileEdits> = fixed.changes.iter().map(edits).collect();
        let edit = if files.is_empty() { None } else { self.edit(&files) };
        edit.map(|edit| CodeAction { title: "Apply all safe fixes of Layerwise".to_owned(), kind: Some(FIX_ALL), edit: Some(edit), ..CodeAction::default() })
    }

    fn suppressions(&self, file: &File, found: &[&Diagnostic]) -> Vec<CodeAction> {
        let mut seen = BTreeSet::new();
        let action = |it: &&Diagnostic| {
            let edit = suppression(file, it).filter(|edit| seen.insert((it.rule, edit.delete)))?;
            let edits = FileEdits { path: it.at.path.clone(), edits: EditSet::new(vec![edit]).ok()?, create: false };
            Some(CodeAction {
                title: format!("Ignore `{}` here", it.rule),
                kind: Some(CodeActionKind::QUICKFIX),
                diagnostics: Some(vec![self.converter.diagnostic(it)]),
                edit: Some(self.edit(&[edits])?),
                ..CodeAction::default()
            })
        };
        found.iter().filter_map(action).collect()
    }

    /// The edit of the protocol; `None` if the client cannot do it.
    fn edit(&self, files: &[FileEdits]) -> Option<WorkspaceEdit> {
        if !self.view.client.versioned_edits {
            let edits = files.iter().map(|it| (!it.create).then(|| Some((self.converter.uri(&it.path)?, self.converter.edits(&it.path, &it.edits)))).flatten());
            let changes: Option<HashMap<Uri, _>> = edits.collect();
            return Some(WorkspaceEdit { changes: Some(changes?), ..WorkspaceEdit::default() });
        }
        let mut operations = Vec::new();
        for file in files {
            let uri = self.converter.uri(&file.path)?;
            if file.create {
                if !self.view.client.creates_files {
                    return None;
                }
                let create = CreateFile { uri: uri.clone(), options: None, annotation_id: None };
                operations.push(DocumentChangeOperation::Op(ResourceOp::Create(create)));
            }
            let version = self.view.snapshot.file(&file.path).and_then(|it| it.version);
            let edits = self.converter.edits(&file.path, &file.edits).into_iter().map(OneOf::Left).collect();
            let text_document = OptionalVersionedTextDocumentIdentifier { uri, version };
            operations.push(DocumentChangeOperation::Edit(TextDocumentEdit { text_document, edits }));
        }
        Some(WorkspaceEdit { document_changes: Some(DocumentChanges::Operations(operations)), ..WorkspaceEdit::default() })
    }
}

/// Puts a comment above the statement, or one more rule into the comment that is there.
fn suppression(file: &File, diagnostic: &Diagnostic) -> Option<Edit> {
    let text = file.text();
    // JSON has no comments.
    let is_json = diagnostic.at.path.ends_with(".json");
    if matches!(file.kind, Kind::Configuration | Kind::Other) || is_json || diagnostic.rule == config::RULE {
        return None;
    }
    let mut line = file.statement_line(diagnostic.at.span.start);
    if line == 0 && text.starts_with('\u{feff}') {
        line = '\u{feff}'.len_utf8();
    }
    let rest = text.get(line..)?;
    let indent = &rest[..rest.len() - rest.trim_start_matches([' ', '\t']).len()];
    // A comment above a parser directive would make a comment of it.
    if file.kind == Kind::Dockerfile && rest[indent.len()..].starts_with('#') {
        return None;
    }
    let above = text[..line].trim_end_matches(['\n', '\r']);
    let start = above.rfind(['\n', '\r']).map_or(0, |it| it + 1);
    let comment = &above[start..];
    if comment.trim_start().starts_with("# layerwise: ignore[")
        && let Some(end) = comment.find(']')
    {
        return Some(Edit::insert(start + end, format!(", {}", diagnostic.rule)));
    }
    let ending = if rest.split('\n').next().is_some_and(|it| it.ends_with('\r')) { "\r\n" } else { "\n" };
    Some(Edit { delete: Span::at(line), insert: format!("{indent}# layerwise: ignore[{}]{ending}", diagnostic.rule) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{FileSpan, Level};

    fn ignored(kind: Kind, text: &str, place: &str) -> Option<String> {
        let file = File::new(kind, text, Some(1));
        let start = text.rfind(place).unwrap();
        let at = FileSpan { path: "/f".into(), span: Span::new(start, start + place.len()) };
        let diagnostic = Diagnostic { rule: "r", level: Level::Warning, at, message: String::new(), notes: vec![], fixes: vec![], elsewhere: None };
        suppression(&file, &diagnostic).map(|it| EditSet::new(vec![it]).unwrap().apply(text))
    }

    #[test]
    fn the_comment_stands_above_the_whole_instruction() {
        let cases = [
            ("FROM a\nRUN b \\\n  && c\n", "c", "FROM a\n# layerwise: ignore[r]\nRUN b \\\n  && c\n"),
            ("FROM a\r\nRUN c\r\n", "c", "FROM a\r\n# layerwise: ignore[r]\r\nRUN c\r\n"),
            ("FROM a\n# why\n  RUN c\n", "c", "FROM a\n# why\n  # layerwise: ignore[r]\n  RUN c\n"),
            ("FROM a\n# layerwise: ignore[x] because\nRUN c\n", "c", "FROM a\n# layerwise: ignore[x, r] because\nRUN c\n"),
            ("\u{feff}FROM c\n", "c", "\u{feff}# layerwise: ignore[r]\nFROM c\n"),
            ("# syntax=x\nFROM c", "c", "# syntax=x\n# layerwise: ignore[r]\nFROM c"),
        ];
        for (text, place, expected) in cases {
            assert_eq!(ignored(Kind::Dockerfile, text, place).as_deref(), Some(expected), "{text:?}");
        }
        assert_eq!(ignored(Kind::Dockerfile, "# syntax=x\nFROM c", "syntax"), None);
    }

    #[test]
    fn in_yaml_it_stands_above_the_line_of_the_node() {
        let cases = [
            ("a:\n  - run: |\n      x\n      docker build .\n", "docker", "a:\n  # layerwise: ignore[r]\n  - run: |\n      x\n      docker build .\n"),
            ("a:\n  - uses: docker\n", "docker", "a:\n  # layerwise: ignore[r]\n  - uses: docker\n"),
            ("a: {b: 1,\n  c: docker}\n", "docker", "# layerwise: ignore[r]\na: {b: 1,\n  c: docker}\n"),
        ];
        for (text, place, expected) in cases {
            assert_eq!(ignored(Kind::Workflow, text, place).as_deref(), Some(expected), "{text:?}");
        }
        assert_eq!(ignored(Kind::Configuration, "rules: x\n", "rules"), None);
    }

    #[test]
    fn kinds_are_wanted_with_all_below_them() {
        let request = |only: Option<Vec<CodeActionKind>>| Request { path: "/".into(), range: Range::default(), only };
        assert!(request(None).wants(&FIX_ALL));
        assert!(request(Some(vec![CodeActionKind::SOURCE])).wants(&FIX_ALL));
        assert!(request(Some(vec![CodeActionKind::SOURCE_FIX_ALL])).wants(&FIX_ALL));
        assert!(request(Some(vec![CodeActionKind::EMPTY])).wants(&FIX_ALL));
        assert!(!request(Some(vec![CodeActionKind::QUICKFIX])).wants(&FIX_ALL));
        assert!(!request(Some(vec!["source.fixAll.lay".into()])).wants(&FIX_ALL));
    }
}
