//! Very many connections at once: none is lost, and all can be used.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use tempfile::TempDir;

use crate::kit::{Replayed, capture};

/// An origin that answers nobody until `count` connections are open, each with a request on it, and then all of them;
/// so it does with the second request as well. Says how many requests it met.
fn crowded(count: usize) -> (SocketAddr, thread::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // The queue of std holds 128; connections beyond would have to knock again a second later.
    socket2::SockRef::from(&listener).listen(65_535).unwrap();
    let address = listener.local_addr().unwrap();
    let origin = thread::spawn(move || {
        let mut all: Vec<TcpStream> = (0..count).map(|_| listener.accept().unwrap().0).collect();
        let mut met = 0;
        for _ in 0..2 {
            for stream in &mut all {
                met += usize::from(read_request(stream));
            }
            for stream in &mut all {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
            }
        }
        met
    });
    (address, origin)
}

/// Reads one request without a body.
fn read_request(stream: &mut TcpStream) -> bool {
    let (mut bytes, mut filled) = ([0; 4096], 0);
    while !bytes[..filled].ends_with(b"\r\n\r\n") {
        match stream.read(&mut bytes[filled..]) {
            Ok(more @ 1..) => filled += more,
            Ok(_) | Err(_) => return false,
        }
    }
    true
}

fn hold(count: usize) {
    let folder = TempDir::new().unwrap();
    let path = capture(folder.path(), &[(1, 0, 10, "GET /a", "a"), (1, 3000, 10, "GET /b", "a")]);
    let (address, origin) = crowded(count);
    let (target, amplify) = (format!("http://{address}"), format!("{count}x"));
    let how = ["--target", &target, "--amplify", &amplify, "--arrivals", "aligned", "--no-rehearsal"];
    let run = Replayed::of(&path, &[&how[..], &["--connections", "per-session", "--timeout", "2m"]].concat());
    let run = run.expect_not_off();
    let all = count as u64;
    assert_eq!(
        (run.n("/requests/sent"), run.n("/requests/answered")),
        (2 * all, 2 * all),
        "{}",
        run.finished.out
    );
    assert_eq!((run.n("/connections/opened"), run.n("/connections/reused")), (all, all));
    assert_eq!((run.n("/connections/peak"), run.n("/connections/evicted")), (all, 0));
    assert_eq!((run.n("/sessions/peak"), run.n("/sessions/completed")), (all, all));
    assert_eq!(origin.join().unwrap(), 2 * count);
}

#[test]
fn two_thousand_connections_are_held_and_used_again() {
    hold(2000);
}

#[test]
#[ignore = "stress: needs 20,000 open files in each of two processes"]
fn nineteen_thousand_connections_are_held_and_used_again() {
    hold(19_000);
}
