//! What a keystroke costs, part by part and from the message to the report, and what checking a
//! folder costs beside parsing its files.
//!
//! `cargo bench -- keystroke` runs one group. `LAYERWISE_FOLDER` names a folder of real files for the
//! last group.

mod support;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use layerwise::check::{self, Repairs};
use layerwise::config::Configs;
use layerwise::edit::{Edit, Span};
use layerwise::file::{File, Kind, Model, Remains};
use layerwise::server;
use layerwise::snapshot::Host;
use layerwise::text::{Document, Language};
use layerwise::workspace::{self, Roots};
use serde_json::{Value, json};
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use support::{LENGTHS, SORTS, Sort, middle};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::runtime::Runtime;
use tokio_util::io::SyncIoBridge;

fn language(sort: Sort) -> Language {
    match sort {
        Sort::Dockerfile => Language::Dockerfile,
        Sort::Workflow => Language::Yaml,
    }
}

/// Runs one benchmark for each language and length.
fn for_all(c: &mut Criterion, group: &str, mut bench: impl FnMut(&mut criterion::Bencher<'_>, Sort, &str)) {
    let mut group = c.benchmark_group(group);
    for (sort, name) in SORTS {
        for lines in LENGTHS {
            let text = sort.document(lines);
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_function(BenchmarkId::new(name, lines), |it| bench(it, sort, &text));
        }
    }
}

fn parse(c: &mut Criterion) {
    for_all(c, "parse", |it, sort, text| it.iter(|| Document::new(language(sort), black_box(text))));
}

/// Types a letter and takes it back, in turns.
struct Typist {
    at: usize,
    typed: bool,
}

impl Typist {
    fn new(text: &str) -> Typist {
        Typist { at: middle(text), typed: false }
    }

    fn next(&mut self) -> Edit {
        self.typed = !self.typed;
        if self.typed { Edit::insert(self.at, "x") } else { Edit::delete(Span::new(self.at, self.at + 1)) }
    }
}

fn reparse(c: &mut Criterion) {
    for_all(c, "reparse", |it, sort, text| {
        let mut document = Document::new(language(sort), text);
        let mut typist = Typist::new(text);
        it.iter(|| document.edit(&typist.next()));
    });
}

fn lower_and_check(c: &mut Criterion) {
    for_all(c, "lower and check", |it, sort, text| {
        let folder = tempfile::tempdir().expect("a folder");
        let (host, path) = open(folder.path(), sort, text);
        let (snapshot, configs) = (host.snapshot(), Configs::new(check::known_rules()));
        let file = snapshot.file(&path).expect("it is open").clone();
        it.iter(|| {
            black_box(Model::lower(file.kind, file.text(), &file.document, &file.calls, &Remains::Nothing));
            check::check(&snapshot, &configs, &path, Repairs::Late)
        });
    });
}

/// A host that has a document open in a folder, and knows what the rules ask of the disk.
fn open(folder: &Path, sort: Sort, text: &str) -> (Host, Arc<str>) {
    let root = workspace::from_system(folder).expect("a name in UTF-8");
    let path: Arc<str> = format!("{root}/{}", sort.path()).into();
    let mut host = Host::default();
    host.set_roots([root]);
    host.open(&path, Kind::of(&path), text, 1);
    workspace::settle(&mut host, &Configs::new(check::known_rules()), std::slice::from_ref(&path), &|_| {});
    (host, path)
}

/// The message of a keystroke goes in, the report of its version comes out.
fn keystroke(c: &mut Criterion) {
    for_all(c, "keystroke", |it, sort, text| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut editor = Editor::start(folder.path(), sort, text);
        it.iter(|| editor.keystroke());
    });
}

/// The same keystroke in workspaces of different size.
fn workspaces(c: &mut Criterion) {
    let mut group = c.benchmark_group("keystroke in a workspace of workflows");
    for count in [10, 2000] {
        let folder = tempfile::tempdir().expect("a folder");
        let workflows = folder.path().join(".github/workflows");
        fs::create_dir_all(&workflows).expect("a folder");
        for number in 0..count {
            let text = Sort::Workflow.document(100).replace("context: service", &format!("context: part{number}/service"));
            fs::write(workflows.join(format!("w{number}.yml")), text).expect("a file");
        }
        for (sort, name) in SORTS {
            let mut editor = Editor::start(folder.path(), sort, &sort.document(300));
            group.bench_function(BenchmarkId::new(name, count), |it| it.iter(|| editor.keystroke()));
        }
    }
}

/// A client of a server in the same process. It reads no more of a report than its version.
struct Editor {
    runtime: Runtime,
    to_server: DuplexStream,
    from_server: BufReader<DuplexStream>,
    uri: String,
    version: i64,
    line: usize,
    column: usize,
    typed: bool,
}

impl Editor {
    /// Opens a document, and waits until the server has read what it wants to know of the disk.
    fn start(folder: &Path, sort: Sort, text: &str) -> Editor {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("an event loop");
        let (to_server, input) = tokio::io::duplex(1 << 20);
        let (output, from_server) = tokio::io::duplex(1 << 20);
        let _inside = runtime.enter();
        runtime.spawn(server::serve(SyncIoBridge::new(input), SyncIoBridge::new(output)));
        let before = &text[..middle(text)];
        let line = before.matches('\n').count();
        let column = before.len() - before.rfind('\n').map_or(0, |it| it + 1);
        let root = format!("file://{}", folder.display());
        let uri = format!("{root}/{}", sort.path());
        let mut editor = Editor { runtime, to_server, from_server: BufReader::new(from_server), uri, version: 1, line, column, typed: false };
        let initialize = json!({"capabilities": {}, "workspaceFolders": [{"uri": root, "name": "bench"}]});
        editor.send(&json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": initialize}));
        editor.wait(br#""id":1"#);
        editor.notify("initialized", json!({}));
        let document = json!({"uri": editor.uri, "languageId": "dockerfile", "version": 1, "text": text});
        editor.notify("textDocument/didOpen", json!({"textDocument": document}));
        editor.settle();
        editor
    }

    fn send(&mut self, message: &Value) {
        let body = message.to_string();
        let message = format!("Content-Length: {}\r\n\r\n{body}", body.len());
        self.runtime.block_on(self.to_server.write_all(message.as_bytes())).expect("the server reads");
    }

    fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// Reads until a message has `part`.
    fn wait(&mut self, part: &[u8]) {
        while !self.runtime.block_on(receive(&mut self.from_server)).windows(part.len()).any(|it| it == part) {}
    }

    /// Reads until the server is silent.
    fn settle(&mut self) {
        let silence = Duration::from_millis(700);
        let Editor { runtime, from_server, .. } = self;
        runtime.block_on(async { while tokio::time::timeout(silence, receive(from_server)).await.is_ok() {} });
    }

    fn keystroke(&mut self) {
        self.typed = !self.typed;
        self.version += 1;
        let start = json!({"line": self.line, "character": self.column});
        let (end, text) = if self.typed { (start.clone(), "x") } else { (json!({"line": self.line, "character": self.column + 1}), "") };
        let document = json!({"uri": self.uri, "version": self.version});
        let change = json!({"range": {"start": start, "end": end}, "text": text});
        self.notify("textDocument/didChange", json!({"textDocument": document, "contentChanges": [change]}));
        self.wait(format!("\"version\":{}", self.version).as_bytes());
    }
}

async fn receive(from_server: &mut BufReader<DuplexStream>) -> Vec<u8> {
    let mut header = String::new();
    from_server.read_line(&mut header).await.expect("the server writes");
    let length = header.trim().strip_prefix("Content-Length: ").and_then(|it| it.parse().ok()).expect("a length");
    let mut line = String::new();
    from_server.read_line(&mut line).await.expect("the end of the header");
    let mut body = vec![0; length];
    from_server.read_exact(&mut body).await.expect("a body");
    body
}

/// What `check` does with a folder, beside parsing its files alone.
fn folder(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let root = match std::env::var_os("LAYERWISE_FOLDER") {
        Some(it) => fs::canonicalize(it).expect("LAYERWISE_FOLDER is there"),
        None => {
            write_services(folder.path());
            folder.path().to_owned()
        }
    };
    let root = workspace::from_system(&root).expect("a name in UTF-8");
    let roots = [root];
    let readable = Roots::of(&roots);
    let mut group = c.benchmark_group("folder");
    group.sample_size(10);
    let read = |path: &String| (Kind::of(path), workspace::read(path, &readable).unwrap_or_default());
    let texts: Vec<_> = workspace::walk(&roots[0]).files.iter().map(read).collect();
    group.throughput(Throughput::Elements(texts.len() as u64));
    group.bench_function("parse", |it| {
        it.iter(|| {
            for (kind, text) in &texts {
                let language = if *kind == Kind::Dockerfile { Language::Dockerfile } else { Language::Yaml };
                black_box(Document::new(language, text));
            }
        });
    });
    group.bench_function("check", |it| {
        it.iter(|| {
            let files = workspace::walk(&roots[0]).files;
            let mut host = Host::default();
            host.set_roots(roots.clone());
            for path in &files {
                let text = workspace::read(path, &readable).unwrap_or_default();
                host.set(path, File::new(Kind::of(path), &text, None));
            }
            let paths: Vec<Arc<str>> = files.into_iter().map(Arc::from).collect();
            workspace::settle(&mut host, &Configs::new(check::known_rules()), &paths, &|_| {})
        });
    });
}

/// A hundred services, each with a Dockerfile and the workflow that builds it.
fn write_services(folder: &Path) {
    let workflows = folder.join(".github/workflows");
    fs::create_dir_all(&workflows).expect("a folder");
    for number in 0..100 {
        let service = folder.join(format!("service{number}"));
        fs::create_dir_all(&service).expect("a folder");
        fs::write(service.join("Dockerfile"), Sort::Dockerfile.document(60)).expect("a file");
        let text = Sort::Workflow.document(100).replace("context: service", &format!("context: service{number}/"));
        fs::write(workflows.join(format!("w{number}.yml")), text).expect("a file");
    }
}

fn config() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20)
}

criterion_group! {
    name = benches;
    config = config();
    targets = parse, reparse, lower_and_check, keystroke, workspaces, folder
}
criterion_main!(benches);
