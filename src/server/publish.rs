//! The one loop that checks and publishes, so that no report overtakes a newer one. Changes that
//! arrive meanwhile are taken together in the next round.

use super::convert::Converter;
use super::state::{Shared, View};
use super::transport::{Frame, Outbox};
use crate::check::{Fault, Repairs};
use crate::diagnostic;
use crate::facts::Want;
use crate::file::panic_message;
use crate::workspace;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
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

/// Threads for work that takes long.
pub const THREADS: usize = 4;

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

/// What there is to say of a file.
struct Found<'a> {
    uri: Uri,
    /// Version and opening; nothing for a file that is not open.
    version: Option<i32>,
    opened: Option<u64>,
    diagnostics: Vec<&'a diagnostic::Diagnostic>,
}

/// What the client was sent of a file: not kept itself, which for a long file would be a good part of all
/// that the server remembers.
struct Sent {
    uri: Uri,
    digest: u64,
}

/// Checks and publishes whenever something changed, until the server ends. On a thread of its own,
/// which does all between a change and its report: to hand over takes as long as to check a small file.
///
/// # Errors
/// If the system gives no thread.
pub fn publish(shared: Arc<Shared>, outbox: Outbox) -> io::Result<()> {
    let runtime = Handle::current();
    let run = move || {
        let _spawns = runtime.enter();
        let mut sent = BTreeMap::new();
        let mut faults = Vec::new();
        while shared.wait() {
            let Some((new_faults, folders)) = guarded(&shared, |it| round(it, &outbox, &mut sent)) else { continue };
            if faults != new_faults {
                new_faults.iter().for_each(|it| log(&shared, format!("{}: {}", it.path, it.message)));
                faults = new_faults;
            }
            read_folders(&shared, folders);
        }
    };
    thread::Builder::new().name("publisher".to_owned()).spawn(run).map(drop)
}

/// One turn of the loop: checks all open files and tells the client. Gives our own faults, and the folders that
/// rules want to know.
fn round(shared: &Arc<Shared>, outbox: &Outbox, sent: &mut BTreeMap<Arc<str>, Sent>) -> (Vec<Fault>, Vec<Want>) {
    let (view, outcome, folders) = shared.examine(Repairs::Late, View::checked);
    let converter = view.converter();
    let found = found(&view, &converter, &outcome.diagnostics);
    if view.client.pulls {
        refresh(shared, &found.iter().map(|(path, it)| (path.clone(), it.report(&converter))).collect());
    } else {
        send(outbox, sent, &found, &converter);
    }
    (outcome.faults, folders)
}

/// Does work on a thread of its own, once there is one: what nobody waits for any more by then is not begun. A panic
/// loses the work, not the server.
pub async fn work<R: Send + 'static>(shared: &Arc<Shared>, work: impl FnOnce(&Shared) -> R + Send + 'static) -> Option<R> {
    let _thread = shared.threads.acquire().await.ok()?;
    let shared = shared.clone();
    spawn_blocking(move || guarded(&shared, |it| work(it))).await.ok().flatten()
}

/// Does work of which a panic is told to the client.
fn guarded<R>(shared: &Arc<Shared>, work: impl FnOnce(&Arc<Shared>) -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(|| work(shared))).map_err(|panic| log(shared, panic_message(&*panic))).ok()
}

/// Tells the client of a fault.
fn log(shared: &Arc<Shared>, message: String) {
    let shared = shared.clone();
    let message = format!("a fault of layerwise itself; please report it: {message}");
    tokio::spawn(async move { shared.client.log_message(MessageType::ERROR, message).await });
}

/// What is found in each file. A diagnostic is reported for the file that it stands in, open or not.
fn found<'a>(view: &View, converter: &Converter<'_>, diagnostics: &'a [diagnostic::Diagnostic]) -> BTreeMap<Arc<str>, Found<'a>> {
    let mut res = BTreeMap::new();
    for path in view.checked() {
        if let Some(Report { uri, version, opened, .. }) = Report::of(view, &path, Vec::new()) {
            res.insert(path, Found { uri, version, opened, diagnostics: Vec::new() });
        }
    }
    for it in diagnostics {
        if !res.contains_key(&it.at.path) {
            let Some(uri) = converter.uri(&it.at.path) else { continue };
            res.insert(it.at.path.clone(), Found { uri, version: None, opened: None, diagnostics: Vec::new() });
        }
        if let Some(found) = res.get_mut(&it.at.path) {
            found.diagnostics.push(it);
        }
    }
    res
}

impl Found<'_> {
    fn report(&self, converter: &Converter<'_>) -> Report {
        let diagnostics = self.diagnostics.iter().map(|it| converter.diagnostic(it)).collect();
        Report { uri: self.uri.clone(), version: self.version, opened: self.opened, diagnostics }
    }
}

/// Sends what is not what was sent before, and clears what is reported no more.
fn send(outbox: &Outbox, sent: &mut BTreeMap<Arc<str>, Sent>, found: &BTreeMap<Arc<str>, Found<'_>>, converter: &Converter<'_>) {
    sent.retain(|path, old| {
        let stays = found.contains_key(path);
        if !stays {
            outbox.send(Frame::notification::<PublishDiagnostics>(&Published { uri: &old.uri, diagnostics: [(); 0], version: None }));
        }
        stays
    });
    for (path, Found { uri, version, opened, diagnostics }) in found {
        let frame = Frame::notification::<PublishDiagnostics>(&Published { uri, diagnostics: Each { converter, diagnostics }, version: *version });
        let mut hasher = DefaultHasher::new();
        (opened, frame.bytes()).hash(&mut hasher);
        let digest = hasher.finish();
        if sent.get(path).is_none_or(|it| it.digest != digest) {
            outbox.send(frame);
            sent.insert(path.clone(), Sent { uri: uri.clone(), digest });
        }
    }
}

/// What the protocol calls `PublishDiagnosticsParams`, borrowed.
#[derive(Serialize)]
struct Published<'a, D> {
    uri: &'a Uri,
    diagnostics: D,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i32>,
}

/// Diagnostics as the protocol has them, each made when it is written.
struct Each<'a> {
    converter: &'a Converter<'a>,
    diagnostics: &'a [&'a diagnostic::Diagnostic],
}

impl Serialize for Each<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.diagnostics.iter().map(|it| self.converter.diagnostic(it)))
    }
}

/// Tells a client that asks by itself to ask again, if there is something else to say of a text that
/// it asked about. Of a text that it has changed since, it asks unbidden.
fn refresh(shared: &Arc<Shared>, reports: &BTreeMap<Arc<str>, Report>) {
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
