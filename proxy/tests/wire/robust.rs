//! No bytes of a client may harm the proxy: it neither panics, nor spins, nor forgets a request.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::{Client, Dice, Origin, Proxy, eventually, pattern};

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts panics of the proxy's own threads, where tokio would swallow them.
fn count_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name().is_some_and(|name| name.starts_with("squall-")) {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            before(panic);
        }));
    });
}

const SEEDS: [&str; 8] = [
    "GET /bytes/10 HTTP/1.1\r\nHost: t\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello",
    "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "GET /ws HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\r\nxx",
    "GET http://other/bytes/3?a#b HTTP/1.0\r\nSquall-Op: zzzzzzzzzzzzzzzz\r\nSquall-Attempt: -1\r\nSquall-Session: -\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: [::1]:99999\r\nCookie: ;;=;a\r\nTraceparent: \u{e9}\r\n\r\n",
    "HEAD /chunked/100 HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    "PUT /f/x%zz HTTP/1.1\r\nHost: t\r\nSquall-Op: +fffffffffffffff\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
];

/// Bytes flipped, cut out, doubled.
fn mutate(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..dice.below(4) {
        let at = dice.below(bytes.len() as u64) as usize;
        match dice.below(4) {
            0 => bytes[at] = dice.next() as u8,
            1 => bytes.truncate(at.max(1)),
            2 => bytes.insert(at, dice.next() as u8),
            _ => {
                let piece = bytes[at..(at + 9).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

/// Sends, in pieces, and reads whatever comes; leaves politely or not.
fn throw(addr: std::net::SocketAddr, bytes: &[u8], dice: &mut Dice) {
    let mut tcp = TcpStream::connect(addr).expect("the proxy listens");
    tcp.set_read_timeout(Some(Duration::from_millis(5))).expect("a timeout");
    let piece = 1 + dice.below(bytes.len() as u64 + 20) as usize;
    for piece in bytes.chunks(piece) {
        if tcp.write_all(piece).is_err() {
            return;
        }
    }
    if dice.below(2) == 0 {
        let _ = tcp.shutdown(Shutdown::Write);
    }
    let _ = tcp.read(&mut [0; 4096]);
}

const RULES: &str = "[[rule]]\nid = \"slow\"\non = \"/**\"\nrate = \"20%\"\ndelay = \"1ms\"\n\
                     [[rule]]\nid = \"odd\"\non = \"/**\"\nrate = \"50%\"\n\
                     one_of = [{ reset = \"after 3 B of body\" }, { respond = 500 }, { blackhole = \"2ms\" }, { reset = \"after 50% of body\" }]\n";

#[test]
fn no_bytes_of_a_client_do_harm() {
    count_panics();
    let origin = Origin::plain();
    let clear = Proxy::before(origin.addr).rules(RULES).recorded().start();
    let tls = Proxy::before(origin.addr).rules(RULES).tls().start();
    let mut dice = Dice(11);
    for n in 0..600 {
        let seed = SEEDS[n % SEEDS.len()].as_bytes();
        let bytes = mutate(seed, &mut dice);
        throw(clear.addr, &bytes, &mut dice);
        if n % 6 == 0 {
            throw(tls.addr, &bytes, &mut dice);
        }
    }
    for _ in 0..300 {
        throw(clear.addr, &http2(&mut dice), &mut dice);
    }
    for proxy in [&clear, &tls] {
        eventually("all connections end", || proxy.status()["edges"][0]["connections"] == 0);
        proxy.books();
        assert_eq!(proxy.status()["fault_panics"], 0);
    }
    clear.post("/lift");
    assert_eq!(Client::get(clear.addr, "/bytes/7").body, pattern(7), "it still serves");
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
}

/// The preface, and frames of any kind for any stream, some with a request's header.
fn http2(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    // GET / to authority t, in static indexes and a literal
    let get = [0x82, 0x86, 0x84, 0x41, 0x01, b't'];
    for n in 0..dice.below(6) {
        let stream = if dice.below(4) == 0 { dice.below(9) as u32 } else { 2 * n as u32 + 1 };
        let payload = if dice.below(2) == 0 { get.to_vec() } else { pattern(dice.below(40) as usize) };
        let kind = if payload == get { 1 } else { dice.below(11) as u8 };
        let flags = if kind == 1 { 4 + dice.below(2) as u8 } else { dice.next() as u8 };
        bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
        bytes.extend_from_slice(&[kind, flags]);
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(&payload);
    }
    bytes
}
