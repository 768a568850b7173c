//! Targets that do not behave: a class for each, clear words, and bounded memory and time.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;

use tempfile::TempDir;

use crate::kit::{Replayed, Server, Then, capture};
use crate::support::DEADLINE;

#[test]
fn nobody_listens() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    check("connect", &format!("http://{free}"), &[]);
}

#[test]
fn it_resets_everything() {
    check("reset", &Server::open(|_, _| Then::Reset).url(), &[]);
}

#[test]
fn it_never_answers() {
    let silent = Server::open(|_, stream| {
        let _ = std::io::copy(stream, &mut std::io::sink());
        Then::Close
    });
    check("timeout", &silent.url(), &["--timeout", "200ms"]);
}

#[test]
fn it_answers_garbage() {
    let garbage = Server::open(|_, stream| {
        let _ = stream.write_all(b"\x16\x03\x01 SSH-2.0 is not HTTP\r\n\r\n");
        Then::Close
    });
    check("protocol", &garbage.url(), &[]);
}

#[test]
fn its_header_never_ends() {
    let endless = Server::open(|_, stream| {
        let begun = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        begun.map_or(Then::Close, |()| pour(stream, b"x-more: and more of it\r\n", usize::MAX))
    });
    check("protocol", &endless.url(), &[]);
}

#[test]
fn it_breaks_off() {
    let short = Server::open(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort");
        Then::Close
    });
    check("truncated", &short.url(), &[]);
}

#[test]
fn a_body_of_200_mb_stays_out_of_memory() {
    let large = Server::open(|_, stream| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n");
        let begun = stream.write_all(head.as_bytes());
        begun.map_or(Then::Close, |()| pour(stream, &[b'x'; 64 * 1024], LARGE / (64 * 1024)))
    });
    let (_folder, capture) = recording(1);
    let run = Replayed::of(&capture, &["--target", &large.url()]).expect_passed().expect_answered(1);
    assert!(run.n("/requests/bytes_in") >= LARGE as u64);
    assert!(run.n("/generator/rss_peak") < 100_000_000, "{}", run.json["generator"]);
}

/// All of the requests fail in that class, and none is answered: 99.
#[track_caller]
fn check(class: &str, target: &str, more: &[&str]) {
    let (_folder, capture) = recording(REQUESTS);
    let run = Replayed::of(&capture, &[&["--target", target, "--speed", "max"], more].concat());
    let run = run.expect_code(99).expect_not_off();
    assert_eq!(run.n("/requests/sent"), REQUESTS);
    assert_eq!(run.n(&format!("/requests/failed/{class}")), REQUESTS, "{:#}", run.json["requests"]);
    assert_eq!(run.json["reason"], "nothing was answered");
    assert!(run.finished.out.contains("nothing was answered"), "{}", run.finished.out);
    assert!(run.n("/generator/rss_peak") < 100_000_000, "{}", run.json["generator"]);
}

fn recording(requests: u64) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let steps: Vec<_> = (0..requests).map(|n| (n, n, 1, "GET /", "shop.test")).collect();
    let capture = capture(folder.path(), &steps);
    (folder, capture)
}

/// Writes the same again and again, until the other side has had enough.
fn pour(stream: &mut TcpStream, piece: &[u8], times: usize) -> Then {
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    for _ in 0..times {
        if stream.write_all(piece).is_err() {
            return Then::Close;
        }
    }
    Then::Keep
}

const REQUESTS: u64 = 6;
const LARGE: usize = 3200 * 64 * 1024;
