//! Several requests sent ahead on an HTTP/1 connection: each is answered, in order.

use std::io::Write;

use crate::harness::origin::sized;
use crate::harness::{Client, End, Origin, Proxy, Then, eventually, pattern};

/// Requests of every framing, and how many bytes each is answered with.
fn requests() -> Vec<(Vec<u8>, Vec<u8>)> {
    let body = pattern(3000);
    let mut long = b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3000\r\n\r\n".to_vec();
    long.extend_from_slice(&body);
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        (text("GET /bytes/3 HTTP/1.1\r\nHost: t\r\n\r\n"), pattern(3)),
        (long, body),
        (text("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n"), Vec::new()),
        (
            text(
                "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3;a=b\r\nabc\r\nA\r\n0\r\n\r\nGET /\r\n0\r\nX-Trailer: y\r\n\r\n",
            ),
            text("abc0\r\n\r\nGET /"),
        ),
        (text("\r\nGET /chunked/20000 HTTP/1.1\r\nHost: t\r\n\r\n"), pattern(20_000)),
        (text("POST /echo HTTP/1.1\nHost: t\nContent-Length: 2\n\nhi"), text("hi")),
        (text("GET /bytes/100000 HTTP/1.1\r\nHost: t\r\n\r\n"), pattern(100_000)),
    ]
}

fn all_are_answered<S: std::io::Read + Write>(mut client: Client<S>, piece: usize) {
    let requests = requests();
    let bytes: Vec<u8> = requests.iter().flat_map(|(request, _)| request.clone()).collect();
    for piece in bytes.chunks(piece) {
        client.send(piece);
    }
    for (request, expect) in &requests {
        let answer = client.answer(false);
        let request = String::from_utf8_lossy(&request[..20]);
        assert_eq!(answer.status, 200, "{request} in pieces of {piece}");
        assert!(answer.body == *expect, "{request} in pieces of {piece}");
    }
}

#[test]
fn requests_sent_ahead_are_answered_in_order() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    let pieces = [1_000_000, 4096, 100, 7, 1];
    for piece in pieces {
        all_are_answered(proxy.client(), piece);
    }
    let edge = &proxy.books()["edges"][0];
    let expect = (pieces.len() * requests().len()) as u64;
    assert_eq!((&edge["seen"], &edge["delivered"]), (&expect.into(), &expect.into()));
}

#[test]
fn requests_sent_ahead_under_tls() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).tls().start();
    for piece in [1_000_000, 1000, 13] {
        all_are_answered(proxy.identity.as_ref().expect("TLS").client(proxy.addr), piece);
    }
}

#[test]
fn many_sent_ahead_use_one_connection_and_no_memory() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    let mut client = proxy.client();
    let mut writer = client.stream.try_clone().expect("a clone");
    let sending = std::thread::spawn(move || {
        for _ in 0..2000 {
            writer.write_all(b"GET /bytes/10 HTTP/1.1\r\nHost: t\r\n\r\n").expect("taken");
        }
    });
    for _ in 0..2000 {
        assert_eq!(client.answer(false).body, pattern(10));
    }
    sending.join().expect("sent");
    assert_eq!(origin.connections(), 1);
    let buffered = proxy.status()["limits"]["buffered"].as_u64().expect("bytes");
    assert!(buffered <= 100_000, "{buffered}");
}

const RULES: &str = "[[rule]]\nid = \"no\"\non = \"/no\"\nrespond = 503\n\
                     [[rule]]\nid = \"cut\"\non = \"/bytes/900\"\nreset = \"after 100 B of body\"\n";

#[test]
fn a_rule_meets_the_request_that_it_is_about() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).rules(RULES).start();
    let mut client = proxy.client();
    client.send(
        "GET /bytes/1 HTTP/1.1\r\nHost: t\r\n\r\nGET /no HTTP/1.1\r\nHost: t\r\n\r\n\
         GET /bytes/2 HTTP/1.1\r\nHost: t\r\n\r\nGET /bytes/900 HTTP/1.1\r\nHost: t\r\n\r\n\
         GET /bytes/3 HTTP/1.1\r\nHost: t\r\n\r\n",
    );
    assert_eq!(client.answer(false).body, pattern(1));
    assert_eq!(client.answer(false).status, 503);
    assert_eq!(client.answer(false).body, pattern(2));
    assert_eq!(client.head().status, 200);
    let (rest, end) = client.rest();
    assert_eq!((rest, end), (pattern(100), End::Reset));
    let edge = &proxy.books()["edges"][0];
    assert_eq!((&edge["seen"], &edge["delivered"], &edge["cut"]["cut"]), (&4.into(), &2.into(), &1.into()));
}

#[test]
fn what_follows_a_request_that_closes_is_not_served() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    let mut client = proxy.client();
    client.send(
        "GET /bytes/1 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\nGET /bytes/2 HTTP/1.1\r\nHost: t\r\n\r\n",
    );
    assert_eq!(client.answer(false).body, pattern(1));
    assert!(client.rest().0.is_empty());
    assert_eq!(proxy.books()["edges"][0]["seen"], 1);
}

#[test]
fn a_request_that_cannot_be_read_ends_those_behind_it() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    let mut client = proxy.client();
    client.send(
        "GET /bytes/1 HTTP/1.1\r\nHost: t\r\n\r\n\u{1} /\r\n\r\nGET /bytes/2 HTTP/1.1\r\nHost: t\r\n\r\n",
    );
    assert_eq!(client.answer(false).body, pattern(1));
    assert_eq!(client.answer(false).status, 400);
    assert!(client.rest().0.is_empty());
    // it was never in flight, and is booked behind the close that its client has seen
    eventually("what was refused is booked", || proxy.books()["edges"][0]["refused"]["parse"] == 1);
    assert_eq!(proxy.books()["edges"][0]["seen"], 2);
}

#[test]
fn a_client_that_speaks_before_its_upgrade_is_answered_loses_nothing() {
    let origin = Origin::start(|_, tcp| {
        use std::io::Read;
        tcp.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        )
        .expect("taken");
        let mut piece = [0; 4096];
        while let Ok(read) = tcp.read(&mut piece) {
            if read == 0 || tcp.write_all(&piece[..read]).is_err() {
                break;
            }
        }
        Then::Close
    });
    let proxy = Proxy::before(origin.addr).start();
    let upgrade = "GET /ws HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nhello, ";
    for _ in 0..50 {
        let mut client = proxy.client();
        client.send(upgrade);
        assert_eq!(client.head().status, 101);
        client.send("world");
        assert_eq!(client.exactly(12), b"hello, world");
    }
}

#[test]
fn sixty_five_thousand_small_writes_arrive_in_order() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    let body: Vec<u8> = (0..65_535u16).flat_map(u16::to_be_bytes).collect();
    let mut client = proxy.client();
    client.send(format!("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len()));
    for two in body.chunks(2) {
        client.send(two);
    }
    assert!(client.answer(false).body == body);
    assert_eq!(client.ask("GET /bytes/3 HTTP/1.1\r\nHost: t\r\n\r\n").body, pattern(3));
}

#[test]
fn sixty_five_thousand_small_pieces_of_an_answer_arrive_in_order() {
    let body: Vec<u8> = (0..65_535u16).flat_map(u16::to_be_bytes).collect();
    let expect = body.clone();
    let origin = Origin::start(move |_, tcp| {
        let whole = sized(&body);
        let (head, body) = whole.split_at(whole.len() - body.len());
        tcp.write_all(head).expect("taken");
        for two in body.chunks(2) {
            tcp.write_all(two).expect("taken");
        }
        Then::Keep
    });
    let proxy = Proxy::before(origin.addr).start();
    assert!(proxy.get("/").body == expect);
}
