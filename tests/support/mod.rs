//! What the end-to-end tests share: folders of files, and a client that talks to a server in the
//! same process.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fs;
use std::future::Future;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::task::JoinHandle;
use tokio_util::io::SyncIoBridge;

/// A Dockerfile that copies everything before it installs dependencies, and what it needs for a safe
/// fix of that.
pub const APP: &[(&str, &str)] = &[
    (".git/HEAD", "ref: refs/heads/main\n"),
    (".dockerignore", ".git\nnode_modules\n"),
    ("Dockerfile", DOCKERFILE),
    ("package.json", "{\"name\": \"app\", \"version\": \"1.0.0\"}\n"),
    (
        "package-lock.json",
        "{\"name\": \"app\", \"version\": \"1.0.0\", \"lockfileVersion\": 3, \"requires\": true, \"packages\": {\"\": {\"name\": \"app\", \"version\": \"1.0.0\"}}}\n",
    ),
    ("index.js", "\n"),
];

/// See [`APP`].
pub const DOCKERFILE: &str = "FROM node:22.11.0\nWORKDIR /app\nCOPY . .\nRUN npm ci\nCMD [\"node\", \".\"]\n";

/// The rule that finds something in [`DOCKERFILE`].
pub const RULE: &str = "copy-before-install";

/// A folder that goes away with the test.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new(files: &[(&str, &str)]) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        files.iter().for_each(|(path, text)| folder.write(path, text));
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.path().join(path)).unwrap()
    }

    pub fn uri(&self, path: &str) -> String {
        format!("file://{}", self.0.path().join(path).display())
    }
}

/// Runs a test on an event loop of its own.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let res = runtime.block_on(test);
    runtime.shutdown_background();
    res
}

/// Runs a test while the server gets no thread for its work, until what the test is given is dropped.
pub fn run_without_threads<T, F: Future<Output = T>>(test: impl FnOnce(Sender<()>) -> F) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().max_blocking_threads(1).build().unwrap();
    let (release, held) = channel();
    runtime.spawn_blocking(move || held.recv());
    let res = runtime.block_on(test(release));
    runtime.shutdown_background();
    res
}

/// What most clients can do; tests take things away or add them.
pub fn capabilities() -> Value {
    json!({
        "general": {"positionEncodings": ["utf-16"]},
        "textDocument": {"publishDiagnostics": {"relatedInformation": true, "versionSupport": true}},
        "workspace": {"workspaceEdit": {"documentChanges": true, "resourceOperations": ["create"]}},
    })
}

/// A client of a server in the same process.
pub struct Client {
    to_server: DuplexStream,
    from_server: BufReader<DuplexStream>,
    server: JoinHandle<std::io::Result<bool>>,
    next: i64,
    inbox: VecDeque<Value>,
    /// Requests of the server, in order.
    pub asked: Vec<Value>,
    /// What the client says when asked for its settings.
    pub settings: Value,
    /// Whether requests are answered at all.
    pub answers: bool,
    pub initialized: Value,
}

impl Client {
    /// A client that has said nothing yet.
    pub fn silent() -> Client {
        let (to_server, input) = tokio::io::duplex(1 << 20);
        let (output, from_server) = tokio::io::duplex(1 << 20);
        let server = tokio::spawn(layerwise::server::serve(SyncIoBridge::new(input), SyncIoBridge::new(output)));
        Client {
            to_server,
            from_server: BufReader::new(from_server),
            server,
            next: 0,
            inbox: VecDeque::new(),
            asked: Vec::new(),
            settings: Value::Null,
            answers: true,
            initialized: Value::Null,
        }
    }

    /// A client that has a folder open.
    pub async fn start(folder: &Folder, capabilities: Value) -> Client {
        Client::start_with(json!({"capabilities": capabilities, "workspaceFolders": [{"uri": folder.uri(""), "name": "test"}]})).await
    }

    pub async fn start_with(params: Value) -> Client {
        let mut client = Client::silent();
        client.initialized = client.request("initialize", params).await["result"].clone();
        client.notify("initialized", json!({})).await;
        client
    }

    pub async fn send(&mut self, body: &str) {
        self.send_raw(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
    }

    pub async fn send_raw(&mut self, bytes: &[u8]) {
        self.to_server.write_all(bytes).await.unwrap();
    }

    pub async fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()).await;
    }

    /// Asks the server, and does not wait for its answer. The number of the request.
    pub async fn ask(&mut self, method: &str, params: Value) -> i64 {
        self.next += 1;
        let id = self.next;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()).await;
        id
    }

    /// The answer to a request.
    pub async fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params).await;
        self.wait(|it| it["id"] == id && it.get("method").is_none()).await
    }

    /// The next message that fits, among those that came and those that come.
    pub async fn wait(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.inbox.iter().position(&fits) {
            return self.inbox.remove(at).unwrap();
        }
        loop {
            let message = tokio::time::timeout(Duration::from_secs(20), self.receive()).await.expect("nothing came").expect("the server left");
            if fits(&message) {
                return message;
            }
            self.inbox.push_back(message);
        }
    }

    async fn receive(&mut self) -> Option<Value> {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.from_server.read_line(&mut line).await.unwrap() == 0 {
                return None;
            }
            match line.trim().strip_prefix("Content-Length: ") {
                Some(number) => length = number.parse().unwrap(),
                None if line.trim().is_empty() => break,
                None => panic!("not a header: {line:?}"),
            }
        }
        let mut body = vec![0; length];
        self.from_server.read_exact(&mut body).await.unwrap();
        let message: Value = serde_json::from_slice(&body).unwrap();
        if message.get("method").is_some() && message.get("id").is_some() {
            self.asked.push(message.clone());
            if self.answers {
                self.answer(&message).await;
            }
        }
        Some(message)
    }

    /// Answers a request of the server.
    pub async fn answer(&mut self, request: &Value) {
        let result = match request["method"].as_str() {
            Some("workspace/configuration") => json!([self.settings]),
            _ => Value::Null,
        };
        self.send(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result}).to_string()).await;
    }

    pub async fn open(&mut self, uri: &str, language: &str, text: &str) {
        let document = json!({"uri": uri, "languageId": language, "version": 1, "text": text});
        self.notify("textDocument/didOpen", json!({"textDocument": document})).await;
    }

    pub async fn change(&mut self, uri: &str, version: i32, changes: Value) {
        self.notify("textDocument/didChange", json!({"textDocument": {"uri": uri, "version": version}, "contentChanges": changes})).await;
    }

    /// The methods of the messages that nobody has waited for.
    pub fn inbox_methods(&self) -> Vec<String> {
        self.inbox.iter().filter_map(|it| it["method"].as_str().map(str::to_owned)).collect()
    }

    /// The next report for a document.
    pub async fn report(&mut self, uri: &str) -> Value {
        self.wait(|it| it["method"] == "textDocument/publishDiagnostics" && it["params"]["uri"] == uri).await["params"].clone()
    }

    /// Reports for a document until one fits.
    pub async fn report_where(&mut self, uri: &str, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let report = self.report(uri).await;
            if fits(&report) {
                return report;
            }
        }
    }

    /// The actions for a range, of the given kinds.
    pub async fn actions(&mut self, uri: &str, range: Value, only: Value) -> Vec<Value> {
        let mut context = json!({"diagnostics": []});
        if !only.is_null() {
            context["only"] = only;
        }
        let answer = self.request("textDocument/codeAction", json!({"textDocument": {"uri": uri}, "range": range, "context": context})).await;
        answer["result"].as_array().unwrap_or_else(|| panic!("{answer}")).clone()
    }

    /// Says goodbye, and whether the server took it as one.
    pub async fn stop(mut self) -> bool {
        self.request("shutdown", Value::Null).await;
        self.notify("exit", Value::Null).await;
        self.server.await.unwrap().unwrap()
    }

    /// Leaves without a word.
    pub async fn vanish(self) -> bool {
        drop(self.to_server);
        drop(self.from_server);
        tokio::time::timeout(Duration::from_secs(20), self.server).await.expect("the server stays").unwrap().unwrap()
    }
}

/// The diagnostics of one rule in a report.
pub fn of_rule<'a>(report: &'a Value, rule: &str) -> Vec<&'a Value> {
    report["diagnostics"].as_array().unwrap().iter().filter(|it| it["code"] == rule).collect()
}

pub fn has(report: &Value, rule: &str) -> bool {
    !of_rule(report, rule).is_empty()
}

pub fn range(start: (u32, u32), end: (u32, u32)) -> Value {
    json!({"start": {"line": start.0, "character": start.1}, "end": {"line": end.0, "character": end.1}})
}

/// The text after edits of the protocol, whose positions count in UTF-16.
pub fn apply(text: &str, edits: &Value) -> String {
    let offset = |position: &Value| {
        let line_start = text.split_inclusive('\n').take(position["line"].as_u64().unwrap() as usize).map(str::len).sum::<usize>();
        let mut left = position["character"].as_u64().unwrap() as usize;
        let rest = text[line_start..].char_indices();
        let mut at = line_start;
        for (index, letter) in rest {
            at = line_start + index;
            if left == 0 {
                break;
            }
            left -= letter.len_utf16();
            at += letter.len_utf8();
        }
        at
    };
    let mut edits: Vec<_> =
        edits.as_array().unwrap().iter().map(|it| (offset(&it["range"]["start"]), offset(&it["range"]["end"]), it["newText"].as_str().unwrap())).collect();
    edits.sort_by_key(|it| (it.0, it.1));
    let mut res = text.to_owned();
    for (start, end, insert) in edits.into_iter().rev() {
        res.replace_range(start..end, insert);
    }
    res
}
