//! SIGTERM during traffic loses nothing; the second one waits for nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use serde_json::Value;
use tempfile::TempDir;

use crate::kit::{Server, Then, answer, eventually, expect_whole, inspect, text};
use crate::support::{DEADLINE, Proxy};

#[test]
fn sleepers_half_read_requests_and_streams_come_to_their_end() {
    let folder = TempDir::new().unwrap();
    let (server, finish_stream) = streaming_server();
    let [capture, json] = ["capture.zst", "books.json"].map(|name| folder.path().join(name));
    let sleepy = ["--fault", "GET /sleep delay 1h", "--grace", "1h"];
    let files = ["--record", &text(&capture), "--json", &text(&json)];
    let mut proxy = Proxy::before(&server.url(), &[sleepy, files].concat());
    let door = proxy.addr();

    let mut sleeper = begin(door, "GET /sleep HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let mut half =
        begin(door, "POST /half HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 10\r\n\r\n12345");
    let mut stream = begin(door, "GET /stream HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let mut told = read_until(&mut stream, "first");
    eventually("all three are in flight", || (proxy.ask("/status")["in_flight"] == 3).then_some(()));
    let mut idle = TcpStream::connect(door).unwrap();

    proxy.process().signal("TERM");
    idle.set_read_timeout(Some(DEADLINE)).unwrap();
    assert!(matches!(idle.read(&mut [0; 1]), Ok(0) | Err(_)), "an idle connection closes at once");
    eventually("it is stopping", || (proxy.ask("/status")["draining"] == true).then_some(()));
    let slept = read_until(&mut sleeper, "ok");
    half.write_all(b"67890").unwrap();
    let halved = read_until(&mut half, "ok");
    finish_stream.send(()).unwrap();
    told += &read_until(&mut stream, "0\r\n\r\n");

    for said in [&slept, &halved, &told] {
        assert!(said.starts_with("HTTP/1.1 200 OK"), "{said}");
    }
    assert!(told.contains("first") && told.contains("last"), "{told}");
    let status = proxy.process().wait();
    assert_eq!(status.code(), Some(0), "{}", proxy.process().log());
    let books: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let edge = &books["edges"][0];
    for row in ["seen", "forwarded", "delivered", "upstream_attempts", "recorded"] {
        assert_eq!(edge[row], 3, "{row} in {books:#}");
    }
    assert_eq!((&books["recorded"], &books["unfinished"]), (&3.into(), &0.into()));
    expect_whole(&capture);
    assert_eq!(inspect(&capture)["requests"], 3);
}

#[test]
fn the_second_sigterm_ends_at_once() {
    let folder = TempDir::new().unwrap();
    let server = Server::open(|_, stream| {
        // waits until the proxy is gone
        let _ = stream.read(&mut [0; 1]);
        Then::Close
    });
    let [capture, json] = ["capture.zst", "books.json"].map(|name| folder.path().join(name));
    let files = ["--record", &text(&capture), "--json", &text(&json), "--grace", "1h"];
    let mut proxy = Proxy::before(&server.url(), &files);
    let _client = begin(proxy.addr(), "GET /never HTTP/1.1\r\nhost: a\r\n\r\n");
    eventually("it is with the origin", || (server.met().len() == 1).then_some(()));
    proxy.process().signal("TERM");
    eventually("it is stopping", || (proxy.ask("/status")["draining"] == true).then_some(()));
    proxy.process().signal("TERM");
    let status = proxy.process().wait();
    assert_eq!(status.code(), Some(0), "{}", proxy.process().log());
    let books: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let edge = &books["edges"][0];
    assert_eq!(
        (&edge["seen"], &edge["forwarded"], &edge["upstream_failed"]),
        (&1.into(), &1.into(), &1.into())
    );
    expect_whole(&capture);
}

/// Answers `ok`, but `/stream` in two chunks, the last of them when it is told to.
fn streaming_server() -> (Server, Sender<()>) {
    let (finish, finished) = channel();
    let finished = Mutex::new(finished);
    let server = Server::open(move |met, stream| {
        if met.what != "GET /stream" {
            return answer(stream, b"ok");
        }
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
        let begun = stream.write_all(head.as_bytes());
        let told = finished.lock().unwrap().recv_timeout(DEADLINE);
        match (begun, told) {
            (Ok(()), Ok(())) => {
                stream.write_all(b"4\r\nlast\r\n0\r\n\r\n").map_or(Then::Close, |()| Then::Keep)
            }
            _ => Then::Close,
        }
    });
    (server, finish)
}

fn begin(addr: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

#[track_caller]
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut said = String::new();
    let mut piece = [0; 1024];
    while !said.ends_with(end) && !said.contains(&format!("{end}\r\n")) {
        let n = stream.read(&mut piece).unwrap();
        assert!(n != 0, "it ended before `{end}`: {said}");
        said += std::str::from_utf8(&piece[..n]).unwrap();
    }
    said
}
