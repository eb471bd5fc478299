//! Messages between the client and the protocol library.
//!
//! The library's own reader ends with the first message that it cannot read, and the server with
//! it. What stands here reads on: it answers such a message with an error and hands on the others.
//! It also mends URIs of clients that leave characters unencoded which have to be (`[`, a space), and
//! whose documents the library would drop without a word.

use serde::Serialize;
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tower_lsp::jsonrpc::{Id, Request, Response};
use tower_lsp::ls_types::notification::Notification;

/// The longest message that is read, in bytes.
const LONGEST: usize = 64 << 20;

/// How much of a header line is kept.
const LONGEST_LINE: usize = 4096;

/// How many messages wait for the client to read them, or for the library.
const WAITING: usize = 32;

/// How long the client may take to read the last messages.
const FAREWELL: Duration = Duration::from_secs(1);

/// How many bytes lie between us and the library.
const BETWEEN: usize = 64 << 10;

/// Where the client reads.
struct Output {
    client: Mutex<Box<dyn Write + Send>>,
    /// Tells by its end that nobody writes any more.
    _open: oneshot::Sender<()>,
}

impl Output {
    /// Writes a message whole, however many threads have some, and waits for a client that reads slowly.
    fn write(&self, frame: &Frame) -> io::Result<()> {
        // After a panic in the midst of a message nothing could be read any more.
        let mut client = self.client.lock().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        client.write_all(frame.bytes())?;
        client.flush()
    }
}

/// A message with its header, in one piece: parts would be written one by one.
pub struct Frame {
    bytes: Vec<u8>,
    /// Where the header begins, which is written last.
    start: usize,
}

impl Frame {
    /// Longer than any header.
    const HEADER: usize = 48;

    fn of(write: impl FnOnce(&mut Vec<u8>)) -> Frame {
        let mut bytes = vec![b' '; Frame::HEADER];
        write(&mut bytes);
        let header = format!("Content-Length: {}\r\n\r\n", bytes.len() - Frame::HEADER);
        let start = Frame::HEADER - header.len();
        bytes[start..Frame::HEADER].copy_from_slice(header.as_bytes());
        Frame { bytes, start }
    }

    fn around(body: &[u8]) -> Frame {
        Frame::of(|it| it.extend_from_slice(body))
    }

    /// A message that is no answer and wants none.
    pub fn notification<N: Notification>(params: &impl Serialize) -> Frame {
        let message = Message { jsonrpc: "2.0", method: N::METHOD, params };
        // What is written to memory can always be written, and no map of ours has keys that JSON has not.
        Frame::of(|it| drop(serde_json::to_writer(it, &message)))
    }

    /// Header and body.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// Where messages go that the library has no part in.
pub struct Outbox(Arc<Output>);

impl Outbox {
    /// Sends the client something, as soon as it has read what came before. The library's way is
    /// longer: it makes a tree of all values, and writes that. For reports of hundreds of findings,
    /// this costs more than to find them.
    pub fn send(&self, frame: Frame) {
        // A client that is gone needs no report.
        let _ = self.0.write(&frame);
    }
}

#[derive(Serialize)]
struct Message<'a, P> {
    jsonrpc: &'static str,
    method: &'static str,
    params: &'a P,
}

/// What is left of the connection when the library has ended.
pub struct Connection {
    written: oneshot::Receiver<()>,
}

impl Connection {
    /// Waits until what is left is written. A client that is gone, or reads nothing any more, is no
    /// error.
    pub async fn end(self) {
        let _ = timeout(FAREWELL, self.written).await;
    }
}

/// Stands between the client and the library, whose ends are returned: where it reads, and where it
/// writes. The connection ends when the outbox is gone as well.
///
/// The client's ends have a thread each, because there is no other way to wait for standard input.
/// The event loop could lend its own; but then each message takes a dozen turns from thread to thread,
/// which is as much work as to check a small file.
///
/// # Errors
/// If the system gives no thread.
pub fn connect(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
) -> io::Result<(impl AsyncRead + Unpin, impl AsyncWrite + Unpin, Outbox, Connection)> {
    let (library_input, to_library) = tokio::io::simplex(BETWEEN);
    let (from_library, library_output) = tokio::io::simplex(BETWEEN);
    let (messages, waiting) = mpsc::channel::<Vec<u8>>(WAITING);
    let (read, to_hand_on) = mpsc::channel(WAITING);
    let (open, written) = oneshot::channel();
    let output = Arc::new(Output { client: Mutex::new(Box::new(output)), _open: open });
    let outbox = Outbox(output.clone());
    // The reader may wait for ever, and must not keep the writer waiting.
    let errors = messages.downgrade();
    thread::Builder::new().name("reader".to_owned()).spawn(move || sift(input, &read, &errors))?;
    thread::Builder::new().name("writer".to_owned()).spawn(move || {
        // A client that is gone reads nothing.
        let _ = write(waiting, &output);
    })?;
    tokio::spawn(hand_on(to_hand_on, to_library));
    tokio::spawn(collect(from_library, messages));
    Ok((library_input, library_output, outbox, Connection { written }))
}

/// Reads what the client says: keeps what the library can read, answers what it cannot.
fn sift(input: impl Read, read: &mpsc::Sender<Vec<u8>>, errors: &mpsc::WeakSender<Vec<u8>>) {
    let mut frames = Frames { input: BufReader::new(input) };
    while let Ok(Some(frame)) = frames.next() {
        let sent = match frame.map_err(|reason| error(&Value::Null, PARSE_ERROR, reason)).and_then(examine) {
            Ok(body) => read.blocking_send(body).is_ok(),
            Err(answer) => errors.upgrade().is_some_and(|it| it.blocking_send(answer).is_ok()),
        };
        if !sent {
            break;
        }
    }
}

async fn hand_on(mut read: mpsc::Receiver<Vec<u8>>, mut to_library: impl AsyncWrite + Unpin) {
    while let Some(body) = read.recv().await {
        if to_library.write_all(Frame::around(&body).bytes()).await.is_err() {
            break;
        }
    }
    // The end of the input is the end of the library's.
    let _ = to_library.shutdown().await;
}

/// Takes the library's output apart into messages, so that no answer of ours lands inside one.
async fn collect(from_library: impl AsyncRead + Unpin, messages: mpsc::Sender<Vec<u8>>) {
    let mut from_library = tokio::io::BufReader::new(from_library);
    let mut length = None;
    let mut line = Vec::new();
    while matches!(from_library.read_until(b'\n', &mut line).await, Ok(1..)) {
        if let Some(named) = content_length(&line) {
            length = Some(named);
        } else if let Some(length) = length.take_if(|_| line.trim_ascii().is_empty()) {
            let mut body = vec![0; length];
            if from_library.read_exact(&mut body).await.is_err() || messages.send(body).await.is_err() {
                break;
            }
        }
        line.clear();
    }
}

fn write(mut waiting: mpsc::Receiver<Vec<u8>>, output: &Output) -> io::Result<()> {
    while let Some(body) = waiting.blocking_recv() {
        output.write(&Frame::around(&body))?;
    }
    Ok(())
}

/// The messages of a stream.
struct Frames<R> {
    input: BufReader<R>,
}

impl<R: Read> Frames<R> {
    /// The body of the next message, or why it has none; `None` at the end.
    fn next(&mut self) -> io::Result<Option<Result<Vec<u8>, &'static str>>> {
        let mut length = None;
        let mut lines = 0;
        loop {
            let Some(line) = self.line()? else { return Ok(None) };
            if !line.is_empty() {
                length = content_length(&line).or(length);
                lines += 1;
                continue;
            }
            match length {
                Some(length) if length <= LONGEST => return self.body(length).map(|it| it.map(Ok)),
                Some(length) => {
                    let mut rest = (&mut self.input).take(length as u64);
                    io::copy(&mut rest, &mut io::sink())?;
                    return Ok(Some(Err("the message is too long")));
                }
                None if lines > 0 => return Ok(Some(Err("the message has no Content-Length"))),
                None => {}
            }
        }
    }

    /// The next line without its ending; the middle of a long one is left out.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        loop {
            let buffer = match self.input.fill_buf() {
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if buffer.is_empty() {
                return Ok(None);
            }
            let end = buffer.iter().position(|it| *it == b'\n');
            let taken = end.map_or(buffer.len(), |it| it + 1);
            line.extend_from_slice(&buffer[..end.unwrap_or(taken)]);
            self.input.consume(taken);
            if line.len() > LONGEST_LINE {
                line.drain(..line.len() - LONGEST_LINE / 2);
            }
            if end.is_some() {
                while line.last().is_some_and(u8::is_ascii_whitespace) {
                    line.pop();
                }
                return Ok(Some(line));
            }
        }
    }

    fn body(&mut self, length: usize) -> io::Result<Option<Vec<u8>>> {
        let mut body = Vec::new();
        (&mut self.input).take(length as u64).read_to_end(&mut body)?;
        Ok((body.len() == length).then_some(body))
    }
}

/// The number of a `Content-Length` header. It may stand behind what is left of a broken message.
fn content_length(line: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let at = line.windows(NAME.len()).rposition(|it| it.eq_ignore_ascii_case(NAME))?;
    std::str::from_utf8(&line[at + NAME.len()..]).ok()?.trim().parse().ok()
}

const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;

/// The message as the library can read it, or the answer to one that it cannot.
fn examine(body: Vec<u8>) -> Result<Vec<u8>, Vec<u8>> {
    let text = std::str::from_utf8(&body).map_err(|_| error(&Value::Null, PARSE_ERROR, "the message is not UTF-8"))?;
    if let Ok(request) = serde_json::from_str::<Request>(text) {
        let is_message = !request.method().is_empty() || serde_json::from_str::<Response>(text).is_ok();
        if is_message {
            return Ok(mend(request).unwrap_or(body));
        }
    }
    let value: Value = serde_json::from_str(text).map_err(|_| error(&Value::Null, PARSE_ERROR, "the message is not JSON"))?;
    let id = value.get("id").filter(|it| it.is_string() || it.is_i64()).unwrap_or(&Value::Null);
    Err(error(id, INVALID_REQUEST, "the message is neither a request nor an answer"))
}

fn error(id: &Value, code: i32, reason: &str) -> Vec<u8> {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": reason}}).to_string().into_bytes()
}

/// A message with its URIs encoded, where one of them was not.
fn mend(request: Request) -> Option<Vec<u8>> {
    let (method, id, params) = request.into_parts();
    let mut params = params?;
    if !mend_uris(&mut params) {
        return None;
    }
    let mut mended = Request::build(method).params(params);
    if let Some(id) = id {
        mended = mended.id::<Id>(id);
    }
    serde_json::to_vec(&mended.finish()).ok()
}

/// Values nest no deeper than the JSON reader lets them, 128 levels.
fn mend_uris(value: &mut Value) -> bool {
    match value {
        Value::Array(items) => items.iter_mut().fold(false, |mended, it| mend_uris(it) | mended),
        Value::Object(map) => map.iter_mut().fold(false, |mended, (key, it)| match it {
            Value::String(uri) if matches!(key.as_str(), "uri" | "rootUri" | "scopeUri") => mend_uri(uri) | mended,
            it => mend_uris(it) | mended,
        }),
        _ => false,
    }
}

fn mend_uri(uri: &mut String) -> bool {
    let allowed = |it: u8| it.is_ascii_alphanumeric() || b"-._~:/?#@!$&'()*+,;=%".contains(&it);
    if uri.bytes().all(allowed) {
        return false;
    }
    *uri = uri.bytes().map(|it| if allowed(it) { char::from(it).to_string() } else { format!("%{it:02X}") }).collect();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(input: &[u8]) -> Vec<Result<String, &'static str>> {
        let mut frames = Frames { input: BufReader::new(input) };
        let mut res = Vec::new();
        while let Some(frame) = frames.next().unwrap() {
            res.push(frame.map(|it| String::from_utf8_lossy(&it).into_owned()));
        }
        res
    }

    #[test]
    fn messages_are_found_between_what_is_none() {
        let cases: &[(&str, &[Result<&str, &str>])] = &[
            ("Content-Length: 2\r\n\r\n{}", &[Ok("{}")]),
            ("content-length:2\nContent-Type: x\nX: y\n\n{}", &[Ok("{}")]),
            ("Content-Type: x\r\n\r\nContent-Length: 2\r\n\r\n{}", &[Err("the message has no Content-Length"), Ok("{}")]),
            ("{\"a\":1}Content-Length: 2\r\n\r\n{}", &[Ok("{}")]),
            ("Content-Length: x\r\n\r\nContent-Length: 2\r\n\r\n{}", &[Err("the message has no Content-Length"), Ok("{}")]),
            ("Content-Length: 9\r\n\r\n{}", &[]),
            ("\r\n\r\nContent-Length: 0\r\n\r\n", &[Ok("")]),
        ];
        for (input, expected) in cases {
            let expected: Vec<_> = expected.iter().map(|it| it.map(str::to_owned)).collect();
            assert_eq!(frames(input.as_bytes()), expected, "{input:?}");
        }
        let long = format!("{}\r\nContent-Length: 2\r\n\r\n{{}}", "x".repeat(3 * LONGEST_LINE));
        assert_eq!(frames(long.as_bytes()), [Ok("{}".to_owned())]);
    }

    #[test]
    fn what_is_no_message_is_answered() {
        let code = |body: &str| {
            let answer = examine(body.as_bytes().to_vec()).unwrap_err();
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            (answer["id"].clone(), answer["error"]["code"].as_i64().unwrap())
        };
        assert_eq!(code("{"), (Value::Null, -32700));
        assert_eq!(code(""), (Value::Null, -32700));
        assert_eq!(code("[]"), (Value::Null, -32600));
        assert_eq!(code(r#"{"jsonrpc":"2.0","id":3}"#), (json!(3), -32600));
        assert_eq!(code(r#"{"jsonrpc":"1.0","id":"x","method":"shutdown"}"#), (json!("x"), -32600));
        assert_eq!(code(r#"{"jsonrpc":"2.0","id":1.5,"method":"shutdown"}"#), (Value::Null, -32600));
        assert!(examine(b"\xff".to_vec()).is_err());
    }

    #[test]
    fn messages_pass_as_they_are() {
        for body in [
            r#"{"jsonrpc":"2.0","id":1,"method":"shutdown"}"#,
            r#"{"jsonrpc":"2.0","method":"exit","params":null}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":null}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}"#,
            r#"{"jsonrpc":"2.0","method":"x","params":{"uri":"file:///a%20b"}}"#,
        ] {
            assert_eq!(examine(body.as_bytes().to_vec()), Ok(body.as_bytes().to_vec()));
        }
    }

    #[test]
    fn a_uri_that_is_not_encoded_is_mended() {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"textDocument":{"uri":"file:///a/[é b]"}}}"#;
        let mended: Value = serde_json::from_slice(&examine(body.as_bytes().to_vec()).unwrap()).unwrap();
        assert_eq!(mended["params"]["textDocument"]["uri"], "file:///a/%5B%C3%A9%20b%5D");
        assert_eq!(mended["id"], 1);
    }
}
