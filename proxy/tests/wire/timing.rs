//! Passing through the proxy changes no timing: every piece is with the client before the origin goes on.

use std::io::{Read, Write};

use bytes::Bytes;

use crate::harness::h2::{block_on, piece};
use crate::harness::{Client, Gate, H2Client, Origin, Proxy, Then};

/// An origin that sends header, 5 bytes, 5 bytes, and waits for the gate before each piece but the first.
fn gated(framing: Framing) -> (Origin, std::sync::Arc<Gate>) {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |_, tcp| {
        let [header, first, second, end] = framing.pieces();
        for (at, piece) in [header, first, second].into_iter().enumerate() {
            if at > 0 {
                wait.pass();
            }
            tcp.write_all(piece.as_bytes()).expect("taken");
        }
        tcp.write_all(end.as_bytes()).expect("taken");
        if framing == Framing::Close { Then::Close } else { Then::Keep }
    });
    (origin, gate)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length,
    Chunked,
    Close,
}

const FRAMINGS: [Framing; 3] = [Framing::Length, Framing::Chunked, Framing::Close];

impl Framing {
    fn pieces(self) -> [&'static str; 4] {
        match self {
            Framing::Length => ["HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "aaaaa", "bbbbb", ""],
            Framing::Chunked => [
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                "5\r\naaaaa\r\n",
                "5\r\nbbbbb\r\n",
                "0\r\n\r\n",
            ],
            Framing::Close => ["HTTP/1.1 200 OK\r\n\r\n", "aaaaa", "bbbbb", ""],
        }
    }
}

/// The origin waits for each piece to have been seen: without the proxy's flush this never ends.
fn sees_each_piece<S: Read + Write>(mut client: Client<S>, gate: &Gate, framing: Framing) {
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.head().status, 200, "{framing:?}");
    assert!(client.buffer.is_empty(), "no body before its time");
    for letter in [b'a', b'b'] {
        gate.open();
        let mut letters = 0;
        while letters < 5 {
            let some = client.some();
            letters += some.iter().filter(|byte| **byte == letter).count();
            assert!(letter == b'b' || !some.contains(&b'b'), "in order");
        }
    }
}

#[test]
fn http_1_sees_each_piece_when_it_was_sent() {
    for framing in FRAMINGS {
        let (origin, gate) = gated(framing);
        let proxy = Proxy::before(origin.addr).start();
        sees_each_piece(proxy.client(), &gate, framing);
    }
}

#[test]
fn tls_sees_each_piece_when_it_was_sent() {
    for framing in FRAMINGS {
        let (origin, gate) = gated(framing);
        let proxy = Proxy::before(origin.addr).tls().start();
        let client = proxy.identity.as_ref().expect("TLS").client(proxy.addr);
        sees_each_piece(client, &gate, framing);
    }
}

async fn h2_sees_each_piece(client: &H2Client, gate: &Gate) {
    let (response, _) = client.start(client.request("GET", "/"), true).await;
    let response = response.await.expect("a header");
    let mut body = response.into_body();
    for expect in ["aaaaa", "bbbbb"] {
        gate.open();
        let mut got = Vec::new();
        while got.len() < 5 {
            got.extend_from_slice(&piece(&mut body).await);
        }
        assert_eq!(got, expect.as_bytes());
    }
    assert!(body.data().await.is_none_or(|end| end.is_ok_and(|bytes: Bytes| bytes.is_empty())));
}

#[test]
fn http_2_sees_each_piece_when_it_was_sent() {
    for framing in FRAMINGS {
        let (origin, gate) = gated(framing);
        let clear = Proxy::before(origin.addr).start();
        let tls = Proxy::before(origin.addr).tls().start();
        block_on(async {
            h2_sees_each_piece(&H2Client::connect(clear.addr).await, &gate).await;
            let identity = tls.identity.as_ref().expect("TLS");
            h2_sees_each_piece(&H2Client::connect_tls(tls.addr, identity).await, &gate).await;
        });
    }
}

#[test]
fn server_sent_events_arrive_one_by_one() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |_, tcp| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        tcp.write_all(head.as_bytes()).expect("taken");
        for n in 0..50 {
            wait.pass();
            let event = format!("data: {n:04}\n\n");
            write!(tcp, "{:x}\r\n{event}\r\n", event.len()).expect("taken");
        }
        tcp.write_all(b"0\r\n\r\n").expect("taken");
        Then::Keep
    });
    let proxy = Proxy::before(origin.addr).start();
    let mut client = proxy.client();
    client.send("GET /events HTTP/1.1\r\nHost: t\r\nAccept: text/event-stream\r\n\r\n");
    client.head();
    let mut text = String::new();
    for n in 0..50 {
        gate.open();
        while !text.contains(&format!("data: {n:04}\n\n")) {
            text.push_str(&String::from_utf8_lossy(&client.some()));
        }
        assert!(!text.contains(&format!("data: {:04}", n + 1)));
    }
}

/// Small writes must be of a length that a client cannot mistake for one another.
#[test]
fn a_request_body_is_with_the_origin_before_it_goes_on() {
    let (tell, told) = std::sync::mpsc::channel();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().expect("the proxy connects");
        let mut piece = [0; 1024];
        while let Ok(read) = tcp.read(&mut piece) {
            if read == 0 || tell.send(piece[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    let proxy = Proxy::before(addr).start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n");
    let mut arrived = Vec::new();
    let mut until = |suffix: &[u8]| {
        while !arrived.ends_with(suffix) {
            arrived.extend(told.recv_timeout(crate::harness::PATIENCE).expect("bytes"));
        }
    };
    until(b"\r\n\r\n");
    client.send("aaaaa");
    until(b"aaaaa");
    client.send("bbbbb");
    until(b"bbbbb");
}
