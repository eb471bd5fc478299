//! The language server.
//!
//! A handler runs where its message is read, up to the first thing that it waits for. So it changes the
//! state before that: changes then happen in the order of their messages. It does no work itself,
//! which would hold up all others; and it asks the client nothing, whose answer could not be read
//! while enough other messages wait.

mod actions;
mod completion;
mod convert;
mod publish;
mod state;
mod transport;

use crate::check::Repairs;
use crate::config;
use crate::diagnostic::Diagnostic;
use crate::file::Kind;
use crate::rules;
use publish::{PATIENCE, Report, matters, publish, read_folders, work};
use serde_json::{Value, json};
use state::{Abilities, Shared, View};
use std::future::Future;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::timeout;
use tower_lsp::jsonrpc::Result;
use tower_lsp::ls_types::*;
use tower_lsp::{LanguageServer, LspService};

/// Serves one client on standard input and output. Says whether it ended as the protocol wants:
/// `shutdown` before `exit`.
///
/// # Errors
/// If the system gives no event loop.
pub fn run() -> io::Result<bool> {
    // One thread turns the loop; work is done on others, which start when there is some.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().max_blocking_threads(publish::THREADS).build()?;
    let clean = runtime.block_on(serve(io::stdin(), standard_output()?));
    // Work may still be under way, which nobody waits for.
    runtime.shutdown_background();
    clean
}

/// Standard output without the library's buffer, which would hand on a message in two parts: up to
/// its last line break, and the rest.
#[cfg(unix)]
fn standard_output() -> io::Result<io::PipeWriter> {
    use std::os::fd::AsFd;
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

#[cfg(not(unix))]
fn standard_output() -> io::Result<io::Stdout> {
    Ok(io::stdout())
}

/// Serves one client until it leaves. Says whether it ended as the protocol wants.
///
/// # Errors
/// If the system gives no thread.
pub async fn serve(input: impl Read + Send + 'static, output: impl Write + Send + 'static) -> io::Result<bool> {
    let (outbox, messages) = transport::output(output)?;
    let mut shared = None;
    let (service, socket) = LspService::new(|client| {
        let it = Arc::new(Shared::new(client));
        shared = Some(it.clone());
        Backend { shared: it }
    });
    let Some(shared) = shared else { return Ok(false) };
    publish(shared.clone(), outbox)?;
    let mut connection = messages.serve(service, socket, input)?;
    connection.served().await;
    shared.end();
    connection.end().await;
    Ok(shared.ending.load(Ordering::Relaxed))
}

struct Backend {
    shared: Arc<Shared>,
}

impl Backend {
    /// Asks the client something, or tells it, without holding up a handler.
    fn aside(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(async move { drop(timeout(PATIENCE, task).await) });
    }

    fn register(&self, abilities: Abilities) {
        let mut registrations = Vec::new();
        let mut register = |method: &str, options: Option<Value>| {
            registrations.push(Registration { id: format!("layerwise/{method}"), method: method.to_owned(), register_options: options });
        };
        if abilities.watches {
            register("workspace/didChangeWatchedFiles", Some(json!({"watchers": [{"globPattern": "**/*"}]})));
        }
        if abilities.tells_settings {
            register("workspace/didChangeConfiguration", Some(json!({"section": "layerwise"})));
        }
        if !registrations.is_empty() {
            let shared = self.shared.clone();
            self.aside(async move { drop(shared.client.register_capability(registrations).await) });
        }
    }

    /// Asks the client for its settings. However late the answer comes, it counts, unless one to a
    /// later question came before it.
    fn pull_settings(&self) {
        let shared = self.shared.clone();
        let question = shared.with(|it| it.ask());
        tokio::spawn(async move {
            let item = ConfigurationItem { scope_uri: None, section: Some("layerwise".to_owned()) };
            let Ok(values) = shared.client.configuration(vec![item]).await else { return };
            if !shared.with(|it| it.is_latest(question)) {
                return;
            }
            if let Some(settings) = values.first().filter(|it| !it.is_null()) {
                let problems = shared.change(|it| it.configure(settings));
                complain(&shared, problems).await;
            } else {
                // There are none, or none any more. What is wrong with those of the first message has been said.
                shared.change(|it| it.configure(&it.initial_settings.clone()));
            }
        });
    }

    fn index(&self, folders: Vec<String>) {
        tokio::spawn(publish::index(self.shared.clone(), folders));
    }

    /// What is found in an open document, on a thread of its own. See [`Shared::examine`].
    async fn examined<R: Send + 'static>(
        &self,
        uri: &Uri,
        repairs: Repairs,
        then: impl FnOnce(&View, Arc<str>, Vec<Diagnostic>) -> R + Send + 'static,
    ) -> Option<R> {
        let path: Arc<str> = convert::path(uri).into();
        if !self.shared.with(|it| it.host.snapshot().file(&path).is_some_and(|it| it.kind.is_checked() && it.version.is_some())) {
            return None;
        }
        let done = work(&self.shared, move |shared| {
            let (view, outcome, folders) = shared.examine(repairs, |_| vec![path.clone()]);
            (then(&view, path, outcome.diagnostics), folders)
        });
        let (res, folders) = done.await?;
        read_folders(&self.shared, folders);
        Some(res)
    }
}

async fn complain(shared: &Shared, problems: Vec<String>) {
    for problem in problems {
        shared.client.show_message(MessageType::WARNING, format!("Layerwise settings: {problem}")).await;
    }
}

fn capabilities(abilities: Abilities) -> ServerCapabilities {
    let pull = DiagnosticOptions { identifier: Some("layerwise".to_owned()), inter_file_dependencies: true, ..DiagnosticOptions::default() };
    ServerCapabilities {
        position_encoding: Some(abilities.encoding.kind()),
        text_document_sync: Some(TextDocumentSyncCapability::Options(TextDocumentSyncOptions {
            open_close: Some(true),
            change: Some(TextDocumentSyncKind::INCREMENTAL),
            save: Some(TextDocumentSyncSaveOptions::SaveOptions(SaveOptions { include_text: Some(false) })),
            ..TextDocumentSyncOptions::default()
        })),
        code_action_provider: Some(CodeActionProviderCapability::Options(CodeActionOptions {
            code_action_kinds: Some(vec![CodeActionKind::QUICKFIX, CodeActionKind::REFACTOR_REWRITE, actions::FIX_ALL]),
            ..CodeActionOptions::default()
        })),
        completion_provider: abilities
            .completes
            .then(|| CompletionOptions { trigger_characters: Some(completion::TRIGGERS.map(str::to_owned).to_vec()), ..CompletionOptions::default() }),
        hover_provider: Some(HoverProviderCapability::Simple(true)),
        diagnostic_provider: abilities.pulls.then_some(DiagnosticServerCapabilities::Options(pull)),
        workspace: Some(WorkspaceServerCapabilities {
            workspace_folders: Some(WorkspaceFoldersServerCapabilities { supported: Some(true), change_notifications: Some(OneOf::Left(true)) }),
            file_operations: None,
        }),
        ..ServerCapabilities::default()
    }
}

/// The folders that a client opens, however it says so.
fn folders(params: &InitializeParams) -> Vec<String> {
    #[allow(deprecated)]
    let root = params.root_uri.as_ref();
    match &params.workspace_folders {
        Some(folders) if !folders.is_empty() => folders.iter().map(|it| convert::path(&it.uri)).collect(),
        _ => root.map(convert::path).into_iter().collect(),
    }
}

impl LanguageServer for Backend {
    async fn initialize(&self, params: InitializeParams) -> Result<InitializeResult> {
        let abilities = Abilities::of(&params.capabilities);
        self.shared.with(|it| {
            it.client = abilities;
            it.set_folders(folders(&params));
            if let Some(settings) = params.initialization_options.filter(|it| !it.is_null()) {
                it.problems = it.configure(&settings);
                it.initial_settings = settings;
            }
        });
        let server_info = ServerInfo { name: "layerwise".to_owned(), version: Some(env!("CARGO_PKG_VERSION").to_owned()) };
        Ok(InitializeResult { capabilities: capabilities(abilities), server_info: Some(server_info), ..InitializeResult::default() })
    }

    async fn initialized(&self, _: InitializedParams) {
        let (abilities, folders, problems) = self.shared.with(|it| (it.client, it.folders.clone(), std::mem::take(&mut it.problems)));
        let shared = self.shared.clone();
        self.aside(async move { complain(&shared, problems).await });
        self.register(abilities);
        if abilities.has_settings {
            self.pull_settings();
        }
        if !folders.is_empty() {
            self.index(folders);
        }
    }

    async fn shutdown(&self) -> Result<()> {
        self.shared.ending.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn did_open(&self, params: DidOpenTextDocumentParams) {
        let document = params.text_document;
        let path = convert::path(&document.uri);
        let kind = Kind::in_editor(&path, &document.language_id);
        self.shared.change(|it| {
            it.open(&path, document.uri);
            it.host.open(&path, kind, &document.text, document.version);
        });
    }

    async fn did_change(&self, params: DidChangeTextDocumentParams) {
        self.shared.edit(params);
    }

    async fn did_save(&self, params: DidSaveTextDocumentParams) {
        let path = convert::path(&params.text_document.uri);
        self.shared.change(|it| {
            if it.client.watches {
                it.host.disk_changed(&path);
            } else {
                // Nobody tells what else happened since.
                it.host.disk_unknown();
            }
        });
    }

    async fn did_close(&self, params: DidCloseTextDocumentParams) {
        let path = convert::path(&params.text_document.uri);
        self.shared.change(|it| {
            it.close(&path);
            it.host.close(&path);
        });
    }

    async fn did_change_watched_files(&self, params: DidChangeWatchedFilesParams) {
        let paths: Vec<String> = params.changes.iter().map(|it| convert::path(&it.uri)).filter(|it| matters(it)).collect();
        let any = self.shared.with(|it| paths.iter().fold(false, |any, path| it.host.disk_changed(path) | any));
        if any {
            self.shared.change(|_| ());
        }
    }

    async fn did_change_workspace_folders(&self, params: DidChangeWorkspaceFoldersParams) {
        let removed: Vec<String> = params.event.removed.iter().map(|it| convert::path(&it.uri)).collect();
        let added: Vec<String> = params.event.added.iter().map(|it| convert::path(&it.uri)).collect();
        let folders = self.shared.change(|it| {
            let kept = it.folders.iter().filter(|it| !removed.contains(it) && !added.contains(it)).cloned();
            let folders: Vec<String> = kept.chain(added.iter().cloned()).collect();
            it.set_folders(folders.clone());
            folders
        });
        self.index(folders);
    }

    async fn did_change_configuration(&self, params: DidChangeConfigurationParams) {
        // Clients that can be asked send nothing of use here.
        if self.shared.with(|it| it.client.has_settings) {
            self.pull_settings();
        } else if !params.settings.is_null() {
            let problems = self.shared.change(|it| it.configure(&params.settings));
            let shared = self.shared.clone();
            self.aside(async move { complain(&shared, problems).await });
        }
    }

    async fn diagnostic(&self, params: DocumentDiagnosticParams) -> Result<DocumentDiagnosticReportResult> {
        let convert = move |view: &View, path: Arc<str>, found: Vec<Diagnostic>| {
            let converter = view.converter();
            let items: Vec<_> = found.iter().filter(|it| it.at.path == path).map(|it| converter.diagnostic(it)).collect();
            let report = Report::of(view, &path, items.clone());
            (items, report.map(|it| (path, it, view.changes)))
        };
        let (items, told) = self.examined(&params.text_document.uri, Repairs::Late, convert).await.unwrap_or_default();
        // Here and not where the work is done: what is noted last has to be what is sent last, and a
        // client that took its question back is told nothing.
        let again = told.is_some_and(|(path, report, changes)| publish::tell(&self.shared, path, report, changes));
        let result_id = result_id(&items);
        // Of several questions that are under way, the client names what it had before all of them; by
        // the time that the last is answered it has what was said to the others.
        let report = if again && params.previous_result_id.as_ref() == Some(&result_id) {
            let unchanged_document_diagnostic_report = UnchangedDocumentDiagnosticReport { result_id };
            DocumentDiagnosticReport::Unchanged(RelatedUnchangedDocumentDiagnosticReport { related_documents: None, unchanged_document_diagnostic_report })
        } else {
            let full_document_diagnostic_report = FullDocumentDiagnosticReport { result_id: Some(result_id), items };
            DocumentDiagnosticReport::Full(RelatedFullDocumentDiagnosticReport { related_documents: None, full_document_diagnostic_report })
        };
        Ok(DocumentDiagnosticReportResult::Report(report))
    }

    async fn code_action(&self, params: CodeActionParams) -> Result<Option<CodeActionResponse>> {
        let (range, only) = (params.range, params.context.only);
        let make = move |view: &View, path: Arc<str>, found: Vec<Diagnostic>| actions::actions(view, &found, &actions::Request { path, range, only });
        Ok(self.examined(&params.text_document.uri, Repairs::Made, make).await)
    }

    async fn completion(&self, params: CompletionParams) -> Result<Option<CompletionResponse>> {
        let place = params.text_document_position;
        let path = convert::path(&place.text_document.uri);
        let (snapshot, encoding) = self.shared.with(|it| (it.host.snapshot(), it.client.encoding));
        if !snapshot.file(&path).is_some_and(|it| completion::may_complete(it, encoding, place.position)) {
            return Ok(None);
        }
        let make = move |view: &View, path: Arc<str>, found: Vec<Diagnostic>| completion::completion(view, &path, &found, place.position);
        let items = self.examined(&place.text_document.uri, Repairs::Late, make).await.flatten();
        Ok(items.map(CompletionResponse::Array))
    }

    async fn hover(&self, params: HoverParams) -> Result<Option<Hover>> {
        let place = params.text_document_position_params;
        let make = move |view: &View, path: Arc<str>, found: Vec<Diagnostic>| hover(view, &path, &found, place.position);
        Ok(self.examined(&place.text_document.uri, Repairs::Late, make).await.flatten())
    }
}

/// The same for the same diagnostics.
fn result_id(items: &[tower_lsp::ls_types::Diagnostic]) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    json!(items).to_string().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// What the rules say whose findings are at a position.
fn hover(view: &View, path: &str, found: &[Diagnostic], position: Position) -> Option<Hover> {
    let file = view.snapshot.file(path)?;
    let converter = view.converter();
    let offset = converter.encoding.offset(file.document.rope(), position);
    let here: Vec<&Diagnostic> = found.iter().filter(|it| *it.at.path == *path && it.at.span.touches(offset)).collect();
    let page = |it: &&Diagnostic| {
        let rule = rules::ALL.iter().find(|rule| rule.name == it.rule)?;
        Some(format!("**{}** — {}\n\n[{}]({})", rule.name, rule.summary(), "More about this rule", rules::url(rule.name)))
    };
    let mut pages: Vec<String> = here.iter().filter_map(page).collect();
    pages.dedup();
    let range = converter.range(&here.first().filter(|it| it.rule != config::RULE)?.at);
    let contents = HoverContents::Markup(MarkupContent { kind: MarkupKind::Markdown, value: pages.join("\n\n---\n\n") });
    Some(Hover { contents, range: Some(range) })
}
