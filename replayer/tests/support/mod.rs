//! A server that notes what it is sent, and captures to send it.
#![allow(dead_code)] // each test file uses its part

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use captures::exchange::{Request, Response};
use captures::header::{self, EdgeInfo, FileHeader};
use captures::{Body, Exchange, SessionId, Writer};
use replayer::options::Speed;
use replayer::{Options, Progress, Report};

/// A request as the server met it.
#[derive(Clone, Debug)]
pub(crate) struct Met {
    pub(crate) at: Instant,
    /// When its answer was about to be written.
    pub(crate) answered_at: Option<Instant>,
    pub(crate) connection: usize,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Met {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Keep,
    Close,
    /// Close with RST.
    Reset,
}

/// A server on a free loopback port.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    met: Arc<Mutex<Vec<Met>>>,
}

type Handler = dyn Fn(&Met, &mut TcpStream) -> Then + Send + Sync;

impl Server {
    pub(crate) fn start(handler: impl Fn(&Met, &mut TcpStream) -> Then + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let met = Arc::new(Mutex::new(Vec::new()));
        let (notes, handler): (_, Arc<Handler>) = (Arc::clone(&met), Arc::new(handler));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().flatten().enumerate() {
                let (notes, handler) = (Arc::clone(&notes), Arc::clone(&handler));
                std::thread::spawn(move || serve(connection, stream, &notes, &*handler));
            }
        });
        Server { address, met }
    }

    /// Answers everything with 200 and two bytes.
    pub(crate) fn plain() -> Server {
        Server::start(|_, stream| {
            answer(stream, "200 OK", "", b"ok");
            Then::Keep
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn met(&self) -> Vec<Met> {
        self.met.lock().unwrap().clone()
    }
}

pub(crate) fn answer(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let mut text =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len()).into_bytes();
    text.extend_from_slice(body);
    let _ = stream.write_all(&text);
}

fn serve(connection: usize, stream: TcpStream, notes: &Mutex<Vec<Met>>, handler: &Handler) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(met) = read_request(&mut reader, connection) {
        let slot = {
            let mut notes = notes.lock().unwrap();
            notes.push(met.clone());
            notes.len() - 1
        };
        let then = handler(&met, &mut stream);
        notes.lock().unwrap()[slot].answered_at = Some(Instant::now());
        match then {
            Then::Keep => {}
            Then::Close => return,
            Then::Reset => {
                let socket = socket2::SockRef::from(&stream);
                socket.set_linger(Some(Duration::ZERO)).unwrap();
                return;
            }
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>, connection: usize) -> Option<Met> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let at = Instant::now();
    let mut parts = line.split_whitespace();
    let (method, target) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some(Met { at, answered_at: None, connection, method, target, headers, body })
}

/// One exchange of a test capture: start and duration in milliseconds.
pub(crate) fn step(session: u64, start_ms: u64, duration_ms: u64, request: &str) -> Exchange {
    let (method, target) = request.split_once(' ').unwrap();
    Exchange {
        session: SessionId(session),
        connection: Some(session),
        edge: "default".to_owned(),
        start_us: START_US + start_ms * 1000,
        ttfb_us: Some(duration_ms * 1000),
        duration_us: Some(duration_ms * 1000),
        request: Request {
            method: method.to_owned(),
            scheme: "http".to_owned(),
            authority: "foreign.example.test".to_owned(),
            target: target.to_owned(),
            ..Request::default()
        },
        response: Some(Response { status: 200, ..Response::default() }),
        ..Exchange::default()
    }
}

pub(crate) fn with_header(mut exchange: Exchange, name: &str, value: &str) -> Exchange {
    exchange.request.headers.push(name, value);
    exchange
}

pub(crate) fn with_body(mut exchange: Exchange, body: &[u8]) -> Exchange {
    exchange.request.body = Body::whole(Bytes::copy_from_slice(body));
    exchange
}

pub(crate) fn setting(mut exchange: Exchange, cookie: &str) -> Exchange {
    exchange.response.as_mut().unwrap().headers.push("Set-Cookie", cookie);
    exchange
}

/// A capture file of these exchanges, named by a listener that does not exist.
pub(crate) fn capture(dir: &Path, exchanges: &[Exchange]) -> PathBuf {
    let path = dir.join("capture.zst");
    let mut header = FileHeader::new("test", START_US);
    header.edges = vec![EdgeInfo { name: "default".to_owned(), ..EdgeInfo::default() }];
    let mut writer = Writer::create(&path, header, header::Options::default()).unwrap();
    for exchange in exchanges {
        writer.push(exchange, START_US).unwrap();
    }
    writer.finish(START_US).unwrap();
    path
}

/// Options for a replay against `server`, as fast as answers come.
pub(crate) fn options(path: &Path, server: &Server) -> Options {
    Options {
        target: Some(server.url()),
        threads: Some(2),
        timeout: Duration::from_secs(10),
        speed: Speed::Max,
        rehearsal: false, // most tests count what the server met
        ..Options::new(path)
    }
}

pub(crate) fn replay(options: &Options) -> Report {
    let report = replayer::replay(options, &mut |_: Progress| {}).expect("the replay starts");
    let requests = &report.requests;
    let never: u64 = requests.never_sent.values().sum();
    assert_eq!(requests.planned + requests.retries, requests.sent + never, "{report:#?}");
    assert_eq!(requests.sent, requests.answered + report.failed(), "{report:#?}");
    report
}

/// Replays `exchanges` against a new server.
pub(crate) fn replay_on(
    server: &Server,
    exchanges: &[Exchange],
    change: impl FnOnce(&mut Options),
) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let path = capture(dir.path(), exchanges);
    let mut options = options(&path, server);
    change(&mut options);
    replay(&options)
}

pub(crate) const START_US: u64 = 1_700_000_000_123_456;
