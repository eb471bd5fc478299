//! What the server knows, and how it learns more.
//!
//! Changes come from handlers, one after the other, and are done before a handler waits for
//! anything. Work is done on views: a view never changes, so nobody waits for the work.

use super::convert::{self, Converter, Encoding};
use super::publish::{Report, THREADS};
use crate::check::{self, Outcome, Repairs};
use crate::config::{Configs, Settings};
use crate::facts::{self, Want};
use crate::snapshot::{Host, Snapshot};
use crate::workspace::{self, Answer, Roots};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;
use tower_lsp::Client;
use tower_lsp::ls_types::{ClientCapabilities, DidChangeTextDocumentParams, ResourceOperationKind, Uri};

/// How often the answers to what rules ask may lead to new questions.
const ROUNDS: usize = 8;

/// How many edits may wait.
const MOST_EDITS: usize = 256;

/// What the client can do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Abilities {
    pub encoding: Encoding,
    /// It asks for diagnostics, so that none are sent unasked, and can be told to ask again: an edit
    /// of one file changes what is found in others, which a client that only asks for the file it
    /// edits would not see.
    pub pulls: bool,
    /// It completes what is typed.
    pub completes: bool,
    /// It shows other places of a diagnostic.
    pub related: bool,
    /// It takes edits for a certain version of a document.
    pub versioned_edits: bool,
    /// It creates files.
    pub creates_files: bool,
    /// It watches files when told to.
    pub watches: bool,
    /// It answers questions about its settings.
    pub has_settings: bool,
    /// It tells when settings change, if asked to.
    pub tells_settings: bool,
    /// It shows that work is going on.
    pub shows_progress: bool,
}

impl Abilities {
    pub fn of(it: &ClientCapabilities) -> Abilities {
        let workspace = it.workspace.clone().unwrap_or_default();
        let document = it.text_document.clone().unwrap_or_default();
        let edit = workspace.workspace_edit.unwrap_or_default();
        let versioned_edits = edit.document_changes == Some(true);
        let refreshes = workspace.diagnostics.is_some_and(|it| it.refresh_support == Some(true));
        Abilities {
            encoding: Encoding::choose(it.general.as_ref().and_then(|it| it.position_encodings.as_deref())),
            pulls: document.diagnostic.is_some() && refreshes,
            completes: document.completion.is_some(),
            related: document.publish_diagnostics.is_some_and(|it| it.related_information == Some(true)),
            versioned_edits,
            creates_files: versioned_edits && edit.resource_operations.is_some_and(|it| it.contains(&ResourceOperationKind::Create)),
            watches: workspace.did_change_watched_files.is_some_and(|it| it.dynamic_registration == Some(true)),
            has_settings: workspace.configuration == Some(true),
            tells_settings: workspace.did_change_configuration.is_some_and(|it| it.dynamic_registration == Some(true)),
            shows_progress: it.window.as_ref().is_some_and(|it| it.work_done_progress == Some(true)),
        }
    }
}

/// A document that is open in the editor.
#[derive(Debug, Clone)]
pub struct Opened {
    /// As the client spells it.
    pub uri: Uri,
    /// Tells one opening of a document from the next.
    pub time: u64,
}

/// The state of the server at one moment.
#[derive(Clone)]
pub struct View {
    pub snapshot: Snapshot,
    pub configs: Arc<Configs>,
    pub opened: Arc<BTreeMap<Arc<str>, Opened>>,
    pub client: Abilities,
    /// How many changes led to it.
    pub changes: u64,
    uris: Arc<BTreeMap<Arc<str>, Uri>>,
}

impl View {
    /// What conversions of this view have to know.
    pub fn converter(&self) -> Converter<'_> {
        Converter::new(&self.snapshot, self.client.encoding, &self.uris, self.client.related)
    }

    /// The open files that rules look at.
    pub fn checked(&self) -> Vec<Arc<str>> {
        self.snapshot.open().filter(|(_, file)| file.kind.is_checked()).map(|(path, _)| path.clone()).collect()
    }
}

/// What changes.
#[derive(Default)]
pub struct State {
    pub host: Host,
    /// What was typed since somebody looked: however much it is, the text is read once.
    edits: Vec<DidChangeTextDocumentParams>,
    pub client: Abilities,
    /// The folders of the workspace.
    pub folders: Vec<String>,
    configs: Arc<Configs>,
    opened: Arc<BTreeMap<Arc<str>, Opened>>,
    uris: Arc<BTreeMap<Arc<str>, Uri>>,
    openings: u64,
    /// Folders of open files whose repository is known.
    located: BTreeSet<String>,
    /// The settings that came with the first message: those of clients that have no others.
    pub initial_settings: Value,
    /// What is wrong with the settings that came with the first message.
    pub problems: Vec<String>,
    /// How many times the client was asked for its settings, and the last of them that it answered.
    asked: u64,
    answered: u64,
    /// What is being read in the background.
    pub reading: BTreeSet<Want>,
    /// What a client that asks was last told of open documents.
    pub told: BTreeMap<Arc<str>, Report>,
    /// How often something changed.
    pub changes: u64,
    /// Whether there is something to check.
    unchecked: bool,
    /// Whether the client is gone.
    ended: bool,
}

impl State {
    pub fn new() -> State {
        State { configs: Arc::new(Configs::new(check::known_rules())), ..State::default() }
    }

    pub fn open(&mut self, path: &str, uri: Uri) {
        self.openings += 1;
        let path: Arc<str> = path.into();
        Arc::make_mut(&mut self.uris).insert(path.clone(), uri.clone());
        Arc::make_mut(&mut self.opened).insert(path, Opened { uri, time: self.openings });
    }

    pub fn close(&mut self, path: &str) {
        Arc::make_mut(&mut self.uris).remove(path);
        Arc::make_mut(&mut self.opened).remove(path);
        self.told.remove(path);
    }

    /// Takes settings of the editor. Says what is wrong with them.
    pub fn configure(&mut self, settings: &Value) -> Vec<String> {
        let known = check::known_rules();
        // Clients send the section, or all that it lies in.
        let (editor, problems) = Settings::read(settings.get("layerwise").unwrap_or(settings), &known);
        let mut configs = Configs::new(known);
        configs.editor = editor;
        self.configs = Arc::new(configs);
        problems.iter().map(ToString::to_string).collect()
    }

    /// Numbers a question for settings.
    pub fn ask(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    /// Notes the answer to a question for settings. Says whether none to a later one came before it.
    pub fn is_latest(&mut self, question: u64) -> bool {
        let latest = question > self.answered;
        self.answered = self.answered.max(question);
        latest
    }

    /// Sets the folders of the workspace. What lay in those that are gone is forgotten.
    pub fn set_folders(&mut self, folders: Vec<String>) {
        let gone: Vec<String> = self.folders.iter().filter(|it| !folders.contains(it)).cloned().collect();
        gone.iter().for_each(|it| self.host.drop_below(it));
        self.folders = folders;
        self.located.clear();
        self.host.set_roots(self.folders.iter().cloned());
    }

    /// Makes the edits that wait.
    fn settle(&mut self) {
        let encoding = self.client.encoding;
        let edits = std::mem::take(&mut self.edits);
        for edits in edits.chunk_by(|it, next| it.text_document.uri == next.text_document.uri) {
            let Some(last) = edits.last() else { continue };
            let path = convert::path(&last.text_document.uri);
            let changes = edits.iter().flat_map(|it| &it.content_changes);
            // Versions are the client's to count: whatever it says is what it will say of its edits.
            self.host.edit(&path, last.text_document.version, |document| {
                document.edit_each(changes, |text, change| convert::edit(encoding, text, change));
            });
        }
    }

    fn view(&self) -> View {
        View {
            snapshot: self.host.snapshot(),
            configs: self.configs.clone(),
            opened: self.opened.clone(),
            client: self.client,
            changes: self.changes,
            uris: self.uris.clone(),
        }
    }
}

/// What handlers and background work share.
pub struct Shared {
    pub client: Client,
    state: Mutex<State>,
    /// Wakes whoever publishes.
    wake: Condvar,
    /// Threads that have nothing to do.
    pub threads: Semaphore,
    /// Whether the client asked for the end.
    pub ending: AtomicBool,
}

impl Shared {
    pub fn new(client: Client) -> Shared {
        Shared { client, state: Mutex::new(State::new()), wake: Condvar::new(), threads: Semaphore::new(THREADS), ending: AtomicBool::new(false) }
    }

    /// The state with all edits made.
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock_unsettled();
        state.settle();
        state
    }

    fn lock_unsettled(&self) -> MutexGuard<'_, State> {
        // Every change leaves whole files behind; after a panic in one, the others still hold.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes edits of a document, to be made when somebody looks, and has the result checked and published.
    pub fn edit(&self, edits: DidChangeTextDocumentParams) {
        {
            let mut state = self.lock_unsettled();
            state.changes += 1;
            state.unchecked = true;
            state.edits.push(edits);
            if state.edits.len() > MOST_EDITS {
                state.settle();
            }
        }
        self.wake.notify_one();
    }

    /// Changes the state, and has the result checked and published.
    pub fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let res = {
            let mut state = self.lock();
            state.changes += 1;
            state.unchecked = true;
            change(&mut state)
        };
        self.wake.notify_one();
        res
    }

    /// Has all checked and published once more.
    pub fn check_again(&self) {
        self.lock().unchecked = true;
        self.wake.notify_one();
    }

    /// Ends the wait for changes.
    pub fn end(&self) {
        self.lock().ended = true;
        self.wake.notify_one();
    }

    /// Waits until something changed; several changes are one. Says whether the server goes on.
    pub fn wait(&self) -> bool {
        let waited = self.wake.wait_while(self.lock_unsettled(), |it| !it.unchecked && !it.ended);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.unchecked = false;
        !state.ended
    }

    /// Looks at the state, or changes it in a way that no diagnostic depends on.
    pub fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.lock())
    }

    /// The state as it is now.
    pub fn view(&self) -> View {
        self.lock().view()
    }

    /// Checks files, and reads at once the texts that rules ask for. Folders take longer: unless
    /// repairs are made, which have to know all, they are returned, and what is found may change when
    /// they are known.
    pub fn examine(&self, repairs: Repairs, paths: impl Fn(&View) -> Vec<Arc<str>>) -> (View, Outcome, Vec<Want>) {
        self.reread();
        self.locate();
        let mut round = 0;
        loop {
            let view = self.view();
            let mut outcome = Outcome::default();
            let mut wanted = BTreeSet::new();
            for path in paths(&view) {
                let (found, wants) = check::check(&view.snapshot, &view.configs, &path, repairs);
                outcome.add(found);
                wanted.extend(wants);
            }
            let (now, later): (Vec<Want>, Vec<Want>) = wanted.into_iter().partition(|it| repairs == Repairs::Made || matches!(it, Want::Text(_)));
            round += 1;
            if now.is_empty() || round == ROUNDS {
                return (view, outcome.sorted(), later);
            }
            self.read(&now);
        }
    }

    /// Reads what changed on disk.
    fn reread(&self) {
        let stale = self.with(|it| it.host.take_stale());
        self.read(&stale.into_iter().map(Want::Text).collect::<Vec<_>>());
    }

    /// Finds the repositories of open files, and what may say how they are built.
    fn locate(&self) {
        let view = self.view();
        let folders: BTreeSet<&str> = view.opened.keys().map(|it| facts::parent(it)).filter(|it| !workspace::is_virtual(it)).collect();
        for folder in folders {
            if !self.with(|it| it.located.insert(folder.to_owned())) {
                continue;
            }
            if let Some(root) = workspace::repository(folder) {
                self.with(|it| it.host.add_root(&root));
            } else if !view.snapshot.roots().iter().any(|it| facts::is_below(folder, it)) {
                self.with(|it| it.host.add_root(folder));
            }
            let known = self.view();
            let near = workspace::build_folders(folder, known.snapshot.root_of_folder(folder));
            let new = workspace::builds_in(&near.into_iter().collect()).into_iter().filter(|it| known.snapshot.file(it).is_none());
            self.read(&new.map(Want::Text).collect::<Vec<_>>());
        }
    }

    /// Reads from the disk, and remembers what did not change meanwhile.
    pub fn read(&self, wants: &[Want]) {
        for part in wants.chunks(64) {
            let (roots, mark) = self.with(|it| (it.host.snapshot().roots().to_vec(), it.host.begin_reading()));
            let roots = Roots::of(&roots);
            let answers: Vec<Answer> = part.iter().map(|it| workspace::answer(it, &roots)).collect();
            self.with(|it| {
                let changed = it.host.end_reading(mark);
                for answer in answers {
                    if !changed.iter().any(|path| answer.depends_on(path)) {
                        workspace::learn(&mut it.host, answer);
                    } else if let Answer::Text(path, _) = answer {
                        // The change has already woken the loop, which reads it again.
                        it.host.set_stale(&path);
                    }
                }
            });
        }
    }
}
