//! Messages between the client and the handlers, in the place of the protocol library's own transport.
//!
//! That one ends with the first message that it cannot read, and the server with it. What stands here
//! reads on: it answers such a message with an error. It also mends URIs of clients that leave characters
//! unencoded which have to be (`[`, a space), and whose documents the library would drop without a word.
//! And it runs a handler where its message is read, until it waits for something: from the thread that
//! reads to that of an event loop, through pipes and queues, is as much work as to check a small file.

use futures_util::{FutureExt, SinkExt, StreamExt};
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower_lsp::jsonrpc::{Request, Response};
use tower_lsp::ls_types::notification::Notification;
use tower_lsp::{ClientSocket, LanguageServer, LspService};
use tower_service::Service;

/// The longest message that is read, in bytes.
const LONGEST: usize = 64 << 20;

/// How much of a header line is kept.
const LONGEST_LINE: usize = 4096;

/// How many messages wait for the client to read them.
const WAITING: usize = 32;

/// How many requests are under way before no more are read.
const MOST_REQUESTS: u32 = 100;

/// How long the client may take to read the last messages.
const FAREWELL: Duration = Duration::from_secs(1);

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
#[derive(Debug)]
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

    fn message(message: &impl Serialize) -> Frame {
        // What is written to memory can always be written, and no map of ours has keys that JSON has not.
        Frame::of(|it| drop(serde_json::to_writer(it, message)))
    }

    /// A message that is no answer and wants none.
    pub fn notification<N: Notification>(params: &impl Serialize) -> Frame {
        Frame::message(&Notice { jsonrpc: "2.0", method: N::METHOD, params })
    }

    /// The answer to a message that could not be read.
    fn error(id: &Value, code: i32, reason: &str) -> Frame {
        Frame::message(&json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": reason}}))
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
struct Notice<'a, P> {
    jsonrpc: &'static str,
    method: &'static str,
    params: &'a P,
}

/// Makes what the server writes on.
///
/// # Errors
/// If the system gives no thread.
pub fn output(client: impl Write + Send + 'static) -> io::Result<(Outbox, Messages)> {
    let (messages, waiting) = mpsc::channel(WAITING);
    let (open, written) = oneshot::channel();
    let output = Arc::new(Output { client: Mutex::new(Box::new(client)), _open: open });
    let outbox = Outbox(output.clone());
    thread::Builder::new().name("writer".to_owned()).spawn(move || write(waiting, &output))?;
    Ok((outbox, Messages { messages, written }))
}

/// Writes one message after the other; what is there for a client that is gone, nobody reads.
fn write(mut waiting: mpsc::Receiver<Frame>, output: &Output) {
    while let Some(frame) = waiting.blocking_recv() {
        if output.write(&frame).is_err() {
            break;
        }
    }
}

/// Where the library's messages wait for the client, on a thread of their own: a handler must not wait for a
/// client that reads slowly.
pub struct Messages {
    messages: mpsc::Sender<Frame>,
    written: oneshot::Receiver<()>,
}

impl Messages {
    /// Runs the handlers of a service for what the client says.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn serve<S: LanguageServer>(self, service: LspService<S>, socket: ClientSocket, input: impl Read + Send + 'static) -> io::Result<Connection> {
        let Messages { messages, written } = self;
        let (mut questions, answers) = socket.split();
        let to_client = messages.clone();
        let asks = tokio::spawn(async move {
            while let Some(question) = questions.next().await {
                if to_client.send(Frame::message(&question)).await.is_err() {
                    break;
                }
            }
        });
        let (open, read) = oneshot::channel();
        let under_way = Arc::new(Semaphore::new(MOST_REQUESTS as usize));
        let reader = Reader { service, answers, messages, under_way: under_way.clone(), runtime: Handle::current(), _open: open };
        thread::Builder::new().name("reader".to_owned()).spawn(move || reader.read(input))?;
        Ok(Connection { read, under_way, asks, written })
    }
}

/// A connection to a client.
pub struct Connection {
    /// Ends when nothing more is read.
    read: oneshot::Receiver<()>,
    under_way: Arc<Semaphore>,
    asks: JoinHandle<()>,
    written: oneshot::Receiver<()>,
}

impl Connection {
    /// Waits until the client leaves, and all that it asked is answered.
    pub async fn served(&mut self) {
        let _ = (&mut self.read).await;
        let _ = self.under_way.acquire_many(MOST_REQUESTS).await;
    }

    /// Waits until what is left is written: this ends when the outbox is gone as well. A client that is gone, or reads
    /// nothing any more, is no error.
    pub async fn end(self) {
        self.asks.abort();
        let _ = timeout(FAREWELL, self.written).await;
    }
}

/// Reads what the client says, and does it.
struct Reader<S, A> {
    service: LspService<S>,
    /// Takes the client's answers.
    answers: A,
    messages: mpsc::Sender<Frame>,
    under_way: Arc<Semaphore>,
    runtime: Handle,
    /// Tells by its end that nothing more is read.
    _open: oneshot::Sender<()>,
}

impl<S: LanguageServer, A: SinkExt<Response> + Unpin> Reader<S, A> {
    fn read(mut self, input: impl Read) {
        let runtime = self.runtime.clone();
        let _spawns = runtime.enter();
        let mut frames = Frames { input: BufReader::new(input) };
        while let Ok(Some(frame)) = frames.next() {
            let message = frame.map_err(|reason| Frame::error(&Value::Null, PARSE_ERROR, reason)).and_then(|it| message(&it));
            let goes_on = match message {
                Ok(Message::Request(request)) => self.call(request),
                Ok(Message::Response(response)) => matches!(self.answers.send(response).now_or_never(), Some(Ok(()))),
                Err(answer) => self.messages.blocking_send(answer).is_ok(),
            };
            if !goes_on {
                break;
            }
        }
    }

    /// Does what the client wants; what has to wait for something goes on elsewhere. Says whether the client has more to say.
    fn call(&mut self, request: Request) -> bool {
        let is_last = request.method() == "exit";
        if !matches!(self.service.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(()))) {
            return false;
        }
        let mut response = self.service.call(request);
        match (&mut response).now_or_never() {
            Some(Ok(Some(response))) => !is_last && self.messages.blocking_send(Frame::message(&response)).is_ok(),
            Some(_) => !is_last,
            None => {
                let Ok(permit) = self.runtime.block_on(self.under_way.clone().acquire_owned()) else { return false };
                let messages = self.messages.clone();
                self.runtime.spawn(async move {
                    if let Ok(Some(response)) = response.await {
                        // A client that is gone needs no answer.
                        let _ = messages.send(Frame::message(&response)).await;
                    }
                    drop(permit);
                });
                true
            }
        }
    }
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

/// What a client says.
#[derive(Debug)]
enum Message {
    /// A request, or a notification.
    Request(Request),
    Response(Response),
}

/// A message, or the answer to what is none.
fn message(body: &[u8]) -> Result<Message, Frame> {
    let text = std::str::from_utf8(body).map_err(|_| Frame::error(&Value::Null, PARSE_ERROR, "the message is not UTF-8"))?;
    if let Ok(request) = serde_json::from_str::<Request>(text) {
        if !request.method().is_empty() {
            return Ok(Message::Request(mended(request)));
        }
        if let Ok(response) = serde_json::from_str(text) {
            return Ok(Message::Response(response));
        }
    }
    let value: Value = serde_json::from_str(text).map_err(|_| Frame::error(&Value::Null, PARSE_ERROR, "the message is not JSON"))?;
    let id = value.get("id").filter(|it| it.is_string() || it.is_i64()).unwrap_or(&Value::Null);
    Err(Frame::error(id, INVALID_REQUEST, "the message is neither a request nor an answer"))
}

/// A message with its URIs encoded, where one of them was not.
fn mended(request: Request) -> Request {
    let (method, id, params) = request.into_parts();
    let mut mended = Request::build(method);
    if let Some(mut params) = params {
        mend_uris(&mut params);
        mended = mended.params(params);
    }
    if let Some(id) = id {
        mended = mended.id(id);
    }
    mended.finish()
}

/// Values nest no deeper than the JSON reader lets them, 128 levels.
fn mend_uris(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(mend_uris),
        Value::Object(map) => map.iter_mut().for_each(|(key, it)| match it {
            Value::String(uri) if matches!(key.as_str(), "uri" | "rootUri" | "scopeUri") => mend_uri(uri),
            it => mend_uris(it),
        }),
        _ => {}
    }
}

fn mend_uri(uri: &mut String) {
    let allowed = |it: u8| it.is_ascii_alphanumeric() || b"-._~:/?#@!$&'()*+,;=%".contains(&it);
    if !uri.bytes().all(allowed) {
        *uri = uri.bytes().map(|it| if allowed(it) { char::from(it).to_string() } else { format!("%{it:02X}") }).collect();
    }
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
            let answer = message(body.as_bytes()).unwrap_err();
            let answer: Value = serde_json::from_slice(&answer.bytes[Frame::HEADER..]).unwrap();
            (answer["id"].clone(), answer["error"]["code"].as_i64().unwrap())
        };
        assert_eq!(code("{"), (Value::Null, -32700));
        assert_eq!(code(""), (Value::Null, -32700));
        assert_eq!(code("[]"), (Value::Null, -32600));
        assert_eq!(code(r#"{"jsonrpc":"2.0","id":3}"#), (json!(3), -32600));
        assert_eq!(code(r#"{"jsonrpc":"1.0","id":"x","method":"shutdown"}"#), (json!("x"), -32600));
        assert_eq!(code(r#"{"jsonrpc":"2.0","id":1.5,"method":"shutdown"}"#), (Value::Null, -32600));
        assert!(message(b"\xff").is_err());
    }

    /// A message as it is understood, written again.
    fn read(body: &str) -> Value {
        match message(body.as_bytes()).unwrap() {
            Message::Request(it) => json!(it),
            Message::Response(it) => json!(it),
        }
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
            assert_eq!(read(body), serde_json::from_str::<Value>(body).unwrap());
        }
    }

    #[test]
    fn a_uri_that_is_not_encoded_is_mended() {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"textDocument":{"uri":"file:///a/[é b]"}}}"#;
        let mended = read(body);
        assert_eq!(mended["params"]["textDocument"]["uri"], "file:///a/%5B%C3%A9%20b%5D");
        assert_eq!(mended["id"], 1);
    }
}
