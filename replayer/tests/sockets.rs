//! WebSockets against a server that echoes, pings, closes and drops.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::Bytes;
use captures::Exchange;
use captures::messages::{Message, MessageKind, Scanned, Stream, StreamKind, WsScanner};
use captures::notes::Notes;
use replayer::Report;
use replayer::options::Speed;
use replayer::report::StreamsPart;
use ring::digest;
use support::{Met, Server, Then, answer, replay_on, step, with_header};

/// What the server heard, on which connection, and when.
type Heard = Arc<Mutex<Vec<(usize, MessageKind, Vec<u8>, Instant)>>>;

/// What the server does with a message.
enum Do {
    Nothing,
    /// Frames of a server: opcode and payload.
    Say(Vec<(u8, Vec<u8>)>),
    /// Ends the connection without a word.
    Drop,
}

/// A server that answers each message as it is told; the handler sees the number of the connection.
fn server(react: impl Fn(usize, &Scanned) -> Do + Send + Sync + 'static) -> (Server, Heard) {
    let heard = Heard::default();
    let (notes, count) = (Arc::clone(&heard), AtomicUsize::new(0));
    let server = Server::start(move |met, stream| {
        accept(met, stream);
        let number = count.fetch_add(1, Ordering::Relaxed);
        let mut scanner = WsScanner::keeping(1 << 20);
        let mut buffer = [0; 4096];
        loop {
            let Ok(length @ 1..) = stream.read(&mut buffer) else { return Then::Close };
            let mut found = Vec::new();
            scanner.feed(&buffer[..length], &mut |message| found.push(message));
            assert!(!scanner.is_broken());
            for message in found {
                let data = message.data.clone().unwrap().to_vec();
                notes.lock().unwrap().push((number, message.kind, data, Instant::now()));
                match react(number, &message) {
                    Do::Nothing => {}
                    Do::Say(frames) => frames.iter().for_each(|(opcode, data)| say(stream, *opcode, data)),
                    Do::Drop => return Then::Close,
                }
            }
        }
    });
    (server, heard)
}

fn accept(met: &Met, stream: &mut TcpStream) {
    assert_eq!((met.header("upgrade"), met.header("connection")), (Some("websocket"), Some("Upgrade")));
    assert_eq!(met.header("sec-websocket-version"), Some("13"));
    let key = met.header("sec-websocket-key").unwrap();
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let sum = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    let accept = base64::engine::general_purpose::STANDARD.encode(sum);
    let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    let _ = stream.write_all(format!("{head}Sec-WebSocket-Accept: {accept}\r\n\r\n").as_bytes());
}

fn say(stream: &mut TcpStream, opcode: u8, data: &[u8]) {
    let mut frame = vec![0x80 | opcode, 126];
    frame.extend_from_slice(&(data.len() as u16).to_be_bytes());
    if data.len() < 126 {
        frame = vec![0x80 | opcode, data.len() as u8];
    }
    frame.extend_from_slice(data);
    let _ = stream.write_all(&frame);
}

/// Repeats what is said, and answers a close.
fn echo(_: usize, message: &Scanned) -> Do {
    let data = message.data.as_deref().unwrap_or_default().to_vec();
    match message.kind {
        MessageKind::Text => Do::Say(vec![(1, data)]),
        MessageKind::Binary => Do::Say(vec![(2, data)]),
        MessageKind::Ping => Do::Say(vec![(10, data)]),
        MessageKind::Close => Do::Say(vec![(8, data)]),
        _ => Do::Nothing,
    }
}

/// A recorded WebSocket of that many milliseconds, with these messages.
fn socket(duration_ms: u64, messages: &[(u64, bool, MessageKind, &[u8])]) -> Exchange {
    let mut exchange = step(1, 0, duration_ms, "GET /chat");
    for (name, value) in [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", "c3RhbGUgc3RhbGUgc3RhbA=="),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
    ] {
        exchange = with_header(exchange, name, value);
    }
    exchange.response.as_mut().unwrap().status = 101;
    exchange.notes = Notes::UPGRADED;
    exchange.notes.insert(Notes::WEBSOCKET);
    let message = |(at_ms, from_client, kind, data): &(u64, bool, MessageKind, &[u8])| {
        let data = from_client.then(|| Bytes::copy_from_slice(data));
        let len = data.as_ref().map_or(4, Bytes::len) as u64;
        Message::new(Scanned { kind: *kind, compressed: false, len, data }, at_ms * 1000, *from_client)
    };
    let messages = messages.iter().map(message).collect();
    exchange.stream = Some(Stream { messages, ..Stream::new(StreamKind::WebSocket) });
    exchange
}

const CLOSE: &[u8] = &1000_u16.to_be_bytes();

/// Three texts, 100 ms apart, each repeated by the server, and the client's close at 300 ms.
fn chat() -> Exchange {
    use MessageKind::{Close, Text};
    socket(
        310,
        &[
            (20, true, Text, b"one"),
            (21, false, Text, b""),
            (120, true, Text, b"two"),
            (121, false, Text, b""),
            (220, true, Text, b"three"),
            (221, false, Text, b""),
            (300, true, Close, CLOSE),
            (301, false, Close, b""),
        ],
    )
}

fn streams(report: &Report) -> &StreamsPart {
    report.streams.as_ref().expect("a stream was opened")
}

/// Opened, ended, broken, messages of the server, of the client.
fn counts(report: &Report) -> (u64, u64, u64, u64, u64) {
    let streams = streams(report);
    (streams.opened, streams.ended, streams.broken, streams.messages_in, streams.messages_out)
}

fn paced(options: &mut replayer::Options) {
    options.speed = Speed::Times(1.0);
}

fn texts(heard: &Heard) -> Vec<String> {
    let heard = heard.lock().unwrap();
    let texts = heard.iter().filter(|(_, kind, ..)| *kind == MessageKind::Text);
    texts.map(|(number, _, data, _)| format!("{number}:{}", String::from_utf8_lossy(data))).collect()
}

#[test]
fn a_chat_is_held_at_its_times() {
    let (server, heard) = server(echo);
    let report = replay_on(&server, &[chat(), step(1, 400, 1, "GET /none")][..1], paced);
    assert_eq!(counts(&report), (1, 1, 0, 3, 3), "{report:#?}");
    assert_eq!((report.requests.status["101"], report.requests.mismatched, report.exit_code), (1, 0, 0));
    assert_eq!(texts(&heard), ["0:one", "0:two", "0:three"]);
    let heard = heard.lock().unwrap();
    let (_, kind, data, closed) = heard.last().unwrap();
    assert_eq!((*kind, data.as_slice()), (MessageKind::Close, CLOSE));
    assert!(closed.duration_since(heard[0].3) >= Duration::from_millis(270));
    let met = &server.met()[0];
    assert_ne!(met.header("sec-websocket-key"), Some("c3RhbGUgc3RhbGUgc3RhbA=="));
    assert_eq!(met.header("sec-websocket-extensions"), None);
}

#[test]
fn at_full_speed_all_is_said_at_once() {
    let (server, _) = server(echo);
    let report = replay_on(&server, &[chat()], |options| options.amplify = 20.0);
    assert_eq!(counts(&report), (20, 20, 0, 60, 60));
    assert!(report.elapsed_us < 3_000_000);
    let keys: std::collections::HashSet<_> =
        server.met().iter().map(|met| met.header("sec-websocket-key").unwrap().to_owned()).collect();
    assert_eq!(keys.len(), 20, "each has a key of its own");
}

#[test]
fn pings_and_closes_are_answered() {
    let (server, heard) = server(|_, message| match message.kind {
        MessageKind::Text => Do::Say(vec![(9, b"beat".to_vec()), (1, b"yes".to_vec())]),
        MessageKind::Pong => Do::Say(vec![(8, 4000_u16.to_be_bytes().to_vec())]),
        MessageKind::Close => Do::Drop,
        _ => Do::Nothing,
    });
    use MessageKind::{Close, Ping, Pong, Text};
    let recorded = socket(
        200,
        &[
            (10, true, Text, b"hello"),
            (11, false, Ping, b""),
            (12, false, Text, b""),
            (13, true, Pong, b"stale"),
            (190, false, Close, b""),
            (191, true, Close, CLOSE),
        ],
    );
    let report = replay_on(&server, &[recorded], paced);
    assert_eq!(counts(&report), (1, 1, 0, 1, 1), "{report:#?}");
    let heard = heard.lock().unwrap();
    let heard: Vec<_> = heard.iter().map(|(_, kind, data, _)| (*kind, data.as_slice())).collect();
    let close = 4000_u16.to_be_bytes();
    assert_eq!(heard, [(Text, &b"hello"[..]), (Pong, b"beat"), (Close, &close)]);
}

#[test]
fn a_dropped_socket_is_opened_again_and_goes_on() {
    let drops = |number, message: &Scanned| match (number, message.data.as_deref()) {
        (0, Some(b"two")) => Do::Drop,
        _ => echo(number, message),
    };
    let (never, heard) = server(drops);
    let report = replay_on(&never, &[chat()], paced);
    assert_eq!((counts(&report), report.requests.retries), ((1, 0, 1, 1, 2), 0));
    assert_eq!((report.failed(), texts(&heard).len()), (1, 2));
    let (again, heard) = server(drops);
    let report = replay_on(&again, &[chat()], |options| {
        paced(options);
        options.reconnect = "immediate".parse().unwrap();
    });
    assert_eq!(counts(&report), (2, 1, 1, 2, 3), "{report:#?}");
    assert_eq!((report.requests.retries, streams(&report).reconnects), (1, 1));
    assert_eq!((report.requests.answered, report.failed()), (1, 1));
    assert_eq!(texts(&heard), ["0:one", "0:two", "1:three"]);
    let attempts: Vec<_> =
        again.met().iter().map(|met| met.header("squall-attempt").unwrap().to_owned()).collect();
    assert_eq!(attempts, ["1", "2"]);
}

#[test]
fn a_server_that_always_drops_ends_with_the_recording() {
    let (server, _) = server(|_, _| Do::Drop);
    let report = replay_on(&server, &[chat()], |options| {
        paced(options);
        options.reconnect = "backoff:20ms..40ms".parse().unwrap();
    });
    let streams = streams(&report);
    assert!(streams.reconnects >= 2 && report.elapsed_us < 2_000_000, "{report:#?}");
    assert_eq!(streams.opened, streams.ended + streams.broken);
}

#[test]
fn who_left_without_a_word_does_so_again() {
    let (server, _) = server(echo);
    let mut recorded =
        socket(150, &[(10, true, MessageKind::Text, b"hello"), (11, false, MessageKind::Text, b"")]);
    recorded.notes.insert(Notes::CLIENT_GONE);
    let report = replay_on(&server, &[recorded], paced);
    assert_eq!((counts(&report), report.failed()), ((1, 1, 0, 1, 1), 0));
}

#[test]
fn what_is_no_websocket_is_told() {
    let check = |head: &'static str, class: &str| {
        let server = Server::start(move |_, stream| {
            let _ = stream.write_all(head.as_bytes());
            std::thread::sleep(Duration::from_millis(50));
            Then::Close
        });
        let report = replay_on(&server, &[chat()], paced);
        assert_eq!(report.requests.failed[class], 1, "{head}: {report:#?}");
        assert!(report.streams.is_none());
    };
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    check(switch, "protocol");
    check("HTTP/1.1 1", "truncated");
    let refusing = Server::start(|_, stream| {
        answer(stream, "403 Forbidden", "", b"no");
        Then::Keep
    });
    let report = replay_on(&refusing, &[chat()], |options| options.reconnect = "immediate".parse().unwrap());
    assert_eq!((report.requests.status["403"], report.requests.mismatched, report.requests.sent), (1, 1, 1));
    let (mad, _) = server(|_, _| Do::Say(vec![(3, b"reserved".to_vec())]));
    let report = replay_on(&mad, &[chat()], paced);
    assert_eq!((report.requests.failed["protocol"], streams(&report).broken), (1, 1));
}

#[test]
fn http2_has_no_upgrades() {
    let dir = tempfile::tempdir().unwrap();
    let path = support::capture(dir.path(), &[chat(), step(2, 0, 1, "GET /")]);
    let options = replayer::Options {
        target: Some("http://127.0.0.1:1".to_owned()),
        http: replayer::options::Http::Two,
        ..replayer::Options::new(&path)
    };
    let outline = replayer::preview(&options).unwrap();
    assert!(format!("{outline:?}").contains("websocket_over_http2"), "{outline:?}");
}
