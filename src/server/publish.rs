//! The one loop that checks and publishes, so that no report overtakes a newer one. Changes that
//! arrive meanwhile are taken together in the next round.

use super::state::{Shared, View};
use super::transport::Outbox;
use crate::check::{Fault, Repairs};
use crate::facts::Want;
use crate::file::panic_message;
use crate::workspace;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tower_lsp::ls_types::notification::PublishDiagnostics;
use tower_lsp::ls_types::{Diagnostic, MessageType, ProgressToken, Uri};

/// How long a request to the client may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long work goes on unseen.
const UNSEEN: Duration = Duration::from_millis(300);

/// What the client was told of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    uri: Uri,
    /// Version and opening; nothing for a file that is not open.
    version: Option<i32>,
    opened: Option<u64>,
    diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// What there is to say of an open document.
    pub fn of(view: &View, path: &str, diagnostics: Vec<Diagnostic>) -> Option<Report> {
        let opened = view.opened.get(path)?;
        let version = view.snapshot.file(path).and_then(|it| it.version);
        Some(Report { uri: opened.uri.clone(), version, opened: Some(opened.time), diagnostics })
    }

    /// Whether `new` says something else of the same text.
    fn is_outdated(&self, new: &Report) -> bool {
        (self.version, self.opened) == (new.version, new.opened) && self.diagnostics != new.diagnostics
    }
}

type Reports = BTreeMap<Arc<str>, Report>;

/// Checks and publishes whenever something changed, until the server ends. On a thread of its own,
/// which does all between a change and its report: to hand over takes as long as to check a small file.
///
/// # Errors
/// If the system gives no thread.
pub fn publish(shared: Arc<Shared>, outbox: Outbox) -> io::Result<()> {
    let runtime = Handle::current();
    let run = move || {
        let _spawns = runtime.enter();
        let mut published = Reports::new();
        let mut faults = Vec::new();
        while shared.wait() {
            let Some(Round { view, reports, faults: new_faults, folders }) = guarded(&shared, round) else { continue };
            if faults != new_faults {
                new_faults.iter().for_each(|it| log(&shared, format!("{}: {}", it.path, it.message)));
                faults = new_faults;
            }
            if view.client.pulls {
                refresh(&shared, &reports);
            } else {
                send(&outbox, &published, &reports);
            }
            published = reports;
            read_folders(&shared, folders);
        }
    };
    thread::Builder::new().name("publisher".to_owned()).spawn(run).map(drop)
}

/// Does work on a thread of its own. A panic loses the work, not the server.
pub async fn work<R: Send + 'static>(shared: &Arc<Shared>, work: impl FnOnce(&Shared) -> R + Send + 'static) -> Option<R> {
    let shared = shared.clone();
    spawn_blocking(move || guarded(&shared, work)).await.ok().flatten()
}

/// Does work of which a panic is told to the client.
fn guarded<R>(shared: &Arc<Shared>, work: impl FnOnce(&Shared) -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(|| work(shared))).map_err(|panic| log(shared, panic_message(&*panic))).ok()
}

/// Tells the client of a fault.
fn log(shared: &Arc<Shared>, message: String) {
    let shared = shared.clone();
    let message = format!("a fault of layerwise itself; please report it: {message}");
    tokio::spawn(async move { shared.client.log_message(MessageType::ERROR, message).await });
}

/// What one turn of the loop found.
struct Round {
    view: View,
    reports: Reports,
    faults: Vec<Fault>,
    folders: Vec<Want>,
}

/// Checks all open files. A diagnostic is reported for the file that it stands in, open or not.
fn round(shared: &Shared) -> Round {
    let (view, outcome, folders) = shared.examine(Repairs::Late, View::checked);
    let mut reports = Reports::new();
    for path in view.checked() {
        if let Some(report) = Report::of(&view, &path, Vec::new()) {
            reports.insert(path, report);
        }
    }
    let converter = view.converter();
    for it in &outcome.diagnostics {
        if !reports.contains_key(&it.at.path) {
            let Some(uri) = converter.uri(&it.at.path) else { continue };
            reports.insert(it.at.path.clone(), Report { uri, version: None, opened: None, diagnostics: Vec::new() });
        }
        if let Some(report) = reports.get_mut(&it.at.path) {
            report.diagnostics.push(converter.diagnostic(it));
        }
    }
    Round { view, reports, faults: outcome.faults, folders }
}

/// Sends what is not what was sent before, and clears what is reported no more.
fn send(outbox: &Outbox, published: &Reports, reports: &Reports) {
    for (path, old) in published {
        if !reports.contains_key(path) {
            outbox.notify::<PublishDiagnostics>(&Published { uri: &old.uri, diagnostics: &[], version: None });
        }
    }
    for (path, report) in reports {
        if published.get(path) != Some(report) {
            let Report { uri, version, diagnostics, .. } = report;
            outbox.notify::<PublishDiagnostics>(&Published { uri, diagnostics, version: *version });
        }
    }
}

/// What the protocol calls `PublishDiagnosticsParams`, borrowed.
#[derive(Serialize)]
struct Published<'a> {
    uri: &'a Uri,
    diagnostics: &'a [Diagnostic],
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i32>,
}

/// Tells a client that asks by itself to ask again, if there is something else to say of a text that
/// it asked about. Of a text that it has changed since, it asks unbidden.
fn refresh(shared: &Arc<Shared>, reports: &Reports) {
    // Told once; it may not ask for what it does not show.
    let outdated = shared.with(|it| {
        let before = it.told.len();
        it.told.retain(|path, told| !reports.get(path).is_some_and(|new| told.is_outdated(new)));
        it.told.len() < before
    });
    if outdated {
        let shared = shared.clone();
        // Waited for here, an answer that does not come would stop the loop.
        tokio::spawn(async move { timeout(PATIENCE, shared.client.workspace_diagnostic_refresh()).await });
    }
}

/// Remembers what a client is told that asked, of the state that so many changes led to. What has
/// changed since is looked at in a round of its own, if the last one came too early to see that the
/// answer is outdated. Says whether the client was told the same before, and nothing else since.
pub fn tell(shared: &Shared, path: Arc<str>, report: Report, changes: u64) -> bool {
    let (again, changed) = shared.with(|it| {
        let again = it.told.get(&path).is_some_and(|told| told.diagnostics == report.diagnostics);
        it.told.insert(path, report);
        (again, it.changes != changes)
    });
    if changed {
        shared.check_again();
    }
    again
}

/// Lists folders in the background; each once, however often it is asked for meanwhile.
pub fn read_folders(shared: &Arc<Shared>, wants: Vec<Want>) {
    let new: Vec<Want> = shared.with(|it| wants.into_iter().filter(|want| it.reading.insert(want.clone())).collect());
    if new.is_empty() {
        return;
    }
    let shared = shared.clone();
    tokio::spawn(async move {
        let wants = new.clone();
        work(&shared, move |shared| shared.read(&wants)).await;
        shared.change(|it| it.reading.retain(|want| !new.contains(want)));
    });
}

/// Loads what says how images are built from the folders of the workspace.
pub async fn index(shared: Arc<Shared>, folders: Vec<String>) {
    let load = work(&shared, move |shared| {
        for folder in &folders {
            let root = workspace::repository(folder).unwrap_or_else(|| folder.clone());
            shared.with(|it| it.host.add_root(&root));
            let known = shared.view().snapshot;
            let new = workspace::builds(&root).into_iter().filter(|it| known.file(it).is_none());
            shared.read(&new.map(Want::Text).collect::<Vec<_>>());
        }
    });
    let (done, ended) = oneshot::channel::<()>();
    if shared.with(|it| it.client.shows_progress) {
        tokio::spawn(show_progress(shared.clone(), ended));
    }
    load.await;
    drop(done);
    shared.change(|_| ());
}

/// Shows that the workspace is read, once that takes long enough to be noticed.
async fn show_progress(shared: Arc<Shared>, mut ended: oneshot::Receiver<()>) {
    if timeout(UNSEEN, &mut ended).await.is_ok() {
        return;
    }
    let token = ProgressToken::String("layerwise/index".to_owned());
    if let Ok(Ok(())) = timeout(PATIENCE, shared.client.create_work_done_progress(token.clone())).await {
        let progress = shared.client.progress(token, "Layerwise").with_message("reading workflows").begin().await;
        let _ = ended.await;
        progress.finish().await;
    }
}

/// Whether a path is one that rules can ask about.
pub fn matters(path: &str) -> bool {
    !workspace::is_virtual(path) && !workspace::is_unlisted(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    #[test]
    fn what_was_told_is_outdated_when_the_same_text_has_other_findings() {
        let report = |version, opened, messages: &[&str]| Report {
            uri: Uri::from_str("file:///Dockerfile").unwrap(),
            version: Some(version),
            opened: Some(opened),
            diagnostics: messages.iter().map(|it| Diagnostic { message: (*it).to_owned(), ..Diagnostic::default() }).collect(),
        };
        let told = report(3, 1, &["a"]);
        assert!(!told.is_outdated(&report(3, 1, &["a"])));
        assert!(told.is_outdated(&report(3, 1, &[])));
        assert!(told.is_outdated(&report(3, 1, &["a", "b"])));
        // Of another text the client asks by itself, also of one that was opened anew.
        assert!(!told.is_outdated(&report(4, 1, &["b"])));
        assert!(!told.is_outdated(&report(3, 2, &["b"])));
    }
}
