//! Streams are recorded by the proxy, replayed through it, and the books of both sides agree.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use captures::messages::{MessageKind, WsScanner};
use ring::digest;
use tempfile::TempDir;

use crate::kit::{Met, Replayed, Server, Then, text};
use crate::support::{DEADLINE, Proxy};

#[test]
fn event_streams_and_websockets_come_back_as_they_went() {
    let folder = TempDir::new().unwrap();
    let capture = folder.path().join("capture.zst");
    let origin = origin();
    let recorder = Proxy::before(&origin.url(), &["--record", &text(&capture)]);
    listen(recorder.addr(), "/events", 4);
    listen(recorder.addr(), "/endless", 10);
    chat(recorder.addr());
    recorder.settled(3).expect_balanced();
    assert!(recorder.stop().0.success());

    let proxy = Proxy::before::<&str>(&origin.url(), &[]);
    let (target, admin) = (format!("http://{}", proxy.addr()), format!("http://{}", proxy.admin()));
    let to = ["--target", &target, "--proxy", &admin, "--amplify", "20x", "--speed", "1x", "--no-rehearsal"];
    let run = Replayed::of(&capture, &to).expect_passed().expect_answered(60).expect_not_off();
    let streams = ["opened", "ended", "broken", "stalls"].map(|name| run.n(&format!("/streams/{name}")));
    assert_eq!(streams, [60, 60, 0, 0], "{:#}", run.json["streams"]);
    // who left after ten events may hear fewer where all are late, but not none
    assert!(run.n("/streams/messages_in") >= 20 * (4 + 1 + 2), "{:#}", run.json["streams"]);
    assert_eq!(run.n("/streams/messages_out"), 20 * 2);
    assert_eq!((run.n("/requests/status/101"), run.n("/requests/status/200")), (20, 40));
    assert_eq!(run.n("/requests/mismatched"), 0);
    let books = proxy.settled(60);
    books.expect_balanced();
    assert_eq!((books.total("seen"), books.total("forwarded")), (60, 60), "{books}");
}

/// Streams of four events and of as many as somebody reads, and a WebSocket that repeats what it hears.
fn origin() -> Server {
    Server::open(|met, stream| match met.what.as_str() {
        "GET /chat" => repeat(met, stream),
        "GET /events" => events(stream, 4),
        _ => events(stream, usize::MAX),
    })
}

fn events(stream: &mut TcpStream, count: usize) -> Then {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let _ = stream.write_all(head.as_bytes());
    for _ in 0..count {
        if stream.write_all(b"9\r\ndata: x\n\n\r\n").is_err() {
            return Then::Close;
        }
        thread::sleep(Duration::from_millis(40));
    }
    let _ = stream.write_all(b"0\r\n\r\n");
    Then::Keep
}

fn repeat(met: &Met, stream: &mut TcpStream) -> Then {
    let proof = format!("{}258EAFA5-E914-47DA-95CA-C5AB0DC85B11", met.header("sec-websocket-key").unwrap());
    let proof = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, proof.as_bytes());
    let proof = base64::engine::general_purpose::STANDARD.encode(proof);
    let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n";
    let _ = stream.write_all(format!("{head}sec-websocket-accept: {proof}\r\n\r\n").as_bytes());
    let mut closed = false;
    hear(stream, |stream, kind, data| {
        closed = kind == MessageKind::Close;
        let _ = stream.write_all(&[&[0x80 | kind as u8, data.len() as u8], data].concat());
        !closed
    });
    Then::Close
}

/// Reads messages of a WebSocket until nobody wants more, or there are none.
fn hear(stream: &mut TcpStream, mut on: impl FnMut(&mut TcpStream, MessageKind, &[u8]) -> bool) {
    let mut scanner = WsScanner::keeping(125);
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        let mut found = Vec::new();
        scanner.feed(&buffer[..length], &mut |message| found.push(message));
        for message in found {
            if !on(stream, message.kind, message.data.as_deref().unwrap_or_default()) {
                return;
            }
        }
    }
}

/// Listens to that many events, or to the end, and leaves.
#[track_caller]
fn listen(proxy: SocketAddr, path: &str, count: usize) {
    let mut stream = connect(proxy);
    write!(stream, "GET {path} HTTP/1.1\r\nhost: shop.test\r\n\r\n").unwrap();
    let (mut came, mut buffer) = (String::new(), [0; 4096]);
    while came.matches("data: x\n\n").count() < count || count == 4 && !came.ends_with("0\r\n\r\n") {
        let length = stream.read(&mut buffer).unwrap();
        assert_ne!(length, 0, "{path} ended after {came}");
        came.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
}

/// Says two things, hears each back, and says goodbye.
#[track_caller]
fn chat(proxy: SocketAddr) {
    let mut stream = connect(proxy);
    let asked = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n";
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    write!(stream, "GET /chat HTTP/1.1\r\nhost: shop.test\r\n{asked}{key}\r\n").unwrap();
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    let say = |stream: &mut TcpStream, opcode: u8, data: &[u8]| {
        // a mask of zeros changes nothing
        stream.write_all(&[&[0x80 | opcode, 0x80 | data.len() as u8, 0, 0, 0, 0], data].concat()).unwrap();
    };
    say(&mut stream, 1, b"hello");
    let mut heard = 0;
    hear(&mut stream, |stream, kind, _| {
        heard += 1;
        thread::sleep(Duration::from_millis(60));
        match heard {
            1 => say(stream, 2, b"world"),
            2 => say(stream, 8, &1000_u16.to_be_bytes()),
            _ => assert_eq!(kind, MessageKind::Close),
        }
        heard < 3
    });
    assert_eq!(heard, 3);
}

fn connect(proxy: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(proxy).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}
