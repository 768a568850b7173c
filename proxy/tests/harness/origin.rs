//! An HTTP/1 origin on plain sockets: the test's handler writes the answer byte by byte, whenever it likes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};

use super::{PATIENCE, pattern};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The header, to its blank line, byte for byte.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Which connection brought it, from 0.
    pub(crate) connection: usize,
}

/// What the origin does with the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Keep,
    Close,
    Reset,
}

pub(crate) struct Origin {
    pub(crate) addr: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    heads: AtomicUsize,
    connections: AtomicUsize,
    whole: Mutex<Vec<Request>>,
}

/// Lets an origin wait for the test, and the test for the origin.
pub(crate) struct Gate {
    open: Sender<()>,
    opened: Mutex<Receiver<()>>,
}

impl Gate {
    pub(crate) fn new() -> Arc<Gate> {
        let (open, opened) = mpsc::channel();
        Arc::new(Gate { open, opened: Mutex::new(opened) })
    }

    /// Lets one waiter pass, now or later.
    pub(crate) fn open(&self) {
        self.open.send(()).expect("the receiver lives in the same gate");
    }

    pub(crate) fn pass(&self) {
        self.opened.lock().expect("gate").recv_timeout(PATIENCE).expect("the test opens the gate");
    }
}

impl Request {
    pub(crate) fn line(&self) -> &str {
        self.head.split("\r\n").next().unwrap_or_default()
    }

    pub(crate) fn method(&self) -> &str {
        self.line().split(' ').next().unwrap_or_default()
    }

    pub(crate) fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

/// The value of a header field in a header block.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .find_map(|(field, value)| field.eq_ignore_ascii_case(name).then(|| value.trim()))
}

impl Origin {
    /// Serves every connection on a thread of its own.
    pub(crate) fn start(
        handler: impl Fn(&Request, &mut TcpStream) -> Then + Send + Sync + 'static,
    ) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let state = Arc::<State>::default();
        let serving = state.clone();
        let handler = Arc::new(handler);
        std::thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                let (state, handler) = (serving.clone(), handler.clone());
                let connection = state.connections.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || serve(tcp, connection, &state, &*handler));
            }
        });
        Origin { addr, state }
    }

    /// Answers at once: see [`answer_plainly`].
    pub(crate) fn plain() -> Origin {
        Origin::start(answer_plainly)
    }

    /// Answers 200 and its name.
    pub(crate) fn named(name: &'static str) -> Origin {
        Origin::start(move |_, tcp| match tcp.write_all(&sized(name.as_bytes())) {
            Ok(()) => Then::Keep,
            Err(_) => Then::Close,
        })
    }

    /// Requests whose header arrived.
    pub(crate) fn count(&self) -> usize {
        self.state.heads.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Requests that arrived whole.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.state.whole.lock().expect("seen").clone()
    }
}

/// `/bytes/N` and `/chunked/N`: N bytes of [`pattern`]; `/echo`: the body; `/status/N`; else `ok`.
pub(crate) fn answer_plainly(request: &Request, tcp: &mut TcpStream) -> Then {
    let target = request.target().split('?').next().unwrap_or_default().to_owned();
    let (kind, rest) = target.trim_start_matches('/').split_once('/').unwrap_or((&target, ""));
    let n: usize = rest.parse().unwrap_or(0);
    let answer = match kind {
        "bytes" => sized(&pattern(n)),
        "chunked" => chunked(&pattern(n), 7_001),
        "status" => {
            let length = if matches!(n, 204 | 304) { "" } else { "Content-Length: 0\r\n" };
            format!("HTTP/1.1 {n} Whatever\r\n{length}\r\n").into_bytes()
        }
        "/echo" => sized(&request.body),
        _ => sized(b"ok"),
    };
    let bodyless = request.method() == "HEAD";
    let end = if bodyless { head_len(&answer) } else { answer.len() };
    if tcp.write_all(&answer[..end]).is_err() {
        return Then::Close;
    }
    Then::Keep
}

/// An address that refuses connections.
pub(crate) fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound")
}

pub(crate) fn sized(body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

pub(crate) fn chunked(body: &[u8], piece: usize) -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(piece) {
        answer.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        answer.extend_from_slice(chunk);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"0\r\n\r\n");
    answer
}

fn head_len(bytes: &[u8]) -> usize {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4)
}

fn serve(
    mut tcp: TcpStream,
    connection: usize,
    state: &State,
    handler: &(dyn Fn(&Request, &mut TcpStream) -> Then + Send + Sync),
) {
    tcp.set_nodelay(true).expect("nodelay");
    let mut buffer = Vec::new();
    while let Some(head) = read_head(&mut tcp, &mut buffer) {
        state.heads.fetch_add(1, Ordering::SeqCst);
        let expects = header(&head, "expect").is_some_and(|value| value == "100-continue");
        if expects && tcp.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_err() {
            return;
        }
        let Some(body) = read_body(&mut tcp, &mut buffer, &head) else { return };
        let request = Request { head, body, connection };
        state.whole.lock().expect("seen").push(request.clone());
        match handler(&request, &mut tcp) {
            Then::Keep => {}
            Then::Close => return,
            Then::Reset => {
                let socket = socket2::SockRef::from(&tcp);
                socket.set_linger(Some(std::time::Duration::ZERO)).expect("linger");
                return;
            }
        }
    }
}

pub(crate) fn read_head(from: &mut impl Read, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = buffer.split_off(at + 4);
            let head = std::mem::replace(buffer, rest);
            return Some(String::from_utf8_lossy(&head).into_owned());
        }
        fill(from, buffer)?;
    }
}

/// `None`: the peer left in the middle.
pub(crate) fn read_body(from: &mut impl Read, buffer: &mut Vec<u8>, head: &str) -> Option<Vec<u8>> {
    if header(head, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return read_chunks(from, buffer);
    }
    let length: usize = header(head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    while buffer.len() < length {
        fill(from, buffer)?;
    }
    let rest = buffer.split_off(length);
    Some(std::mem::replace(buffer, rest))
}

fn read_chunks(from: &mut impl Read, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = loop {
            match buffer.windows(2).position(|two| two == b"\r\n") {
                Some(at) => break at,
                None => fill(from, buffer)?,
            }
        };
        let line = String::from_utf8_lossy(&buffer[..line_end]).into_owned();
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16).ok()?;
        while buffer.len() < line_end + 2 + size + 2 {
            fill(from, buffer)?;
        }
        body.extend_from_slice(&buffer[line_end + 2..line_end + 2 + size]);
        buffer.drain(..line_end + 2 + size + 2);
        if size == 0 {
            return Some(body);
        }
    }
}

fn fill(from: &mut impl Read, buffer: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 64 * 1024];
    match from.read(&mut piece) {
        Ok(read) if read > 0 => {
            buffer.extend_from_slice(&piece[..read]);
            Some(())
        }
        _ => None,
    }
}
