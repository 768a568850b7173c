//! Faults on WebSockets: closed with a code at a message's end, shaped in both directions, cut to the byte.

use std::io::{Read, Write};
use std::time::Instant;

use crate::harness::proxy::ms;
use crate::harness::{Client, End, Origin, Proxy, Then, eventually};
use crate::shapes::rule;
use crate::streams::{CLOSE, SWITCHED, TEXT, UPGRADE, echo, frame, masked, read_frame};

fn upgrade<S: Read + Write>(mut client: Client<S>) -> Client<S> {
    client.send(UPGRADE.replace("/socket", "/f/socket"));
    let head = client.head();
    assert_eq!((head.status, head.header("squall-fault")), (101, Some("f")));
    client
}

/// Sends a message and reads its echo.
fn turn<S: Read + Write>(client: &mut Client<S>, text: &str) {
    client.send(masked(TEXT, text.as_bytes()));
    assert_eq!(client.exactly(frame(TEXT, text.as_bytes(), None).len()), frame(TEXT, text.as_bytes(), None));
}

/// In clear text and under TLS.
fn both(origin: &Origin, fault: &str, check: impl Fn(&Proxy, &mut dyn Duplex)) {
    both_since(origin, fault, |proxy, client, _| check(proxy, client));
}

/// The same; `check` also hears when the upgrade was asked for.
fn both_since(origin: &Origin, fault: &str, check: impl Fn(&Proxy, &mut dyn Duplex, Instant)) {
    let clear = Proxy::before(origin.addr).rules(&rule(fault)).start();
    let begun = Instant::now();
    check(&clear, &mut upgrade(clear.client()), begun);
    let tls = Proxy::before(origin.addr).rules(&rule(fault)).tls().start();
    let begun = Instant::now();
    check(&tls, &mut upgrade(tls.identity.as_ref().expect("TLS").client(tls.addr)), begun);
    for proxy in [clear, tls] {
        eventually("the socket is closed", || proxy.status()["in_flight"] == 0);
        proxy.books();
    }
}

/// A client, whatever is under it.
trait Duplex {
    fn turn(&mut self, text: &str);
    fn send(&mut self, bytes: &[u8]);
    fn rest(&mut self) -> (Vec<u8>, End);
}

impl<S: Read + Write> Duplex for Client<S> {
    fn turn(&mut self, text: &str) {
        turn(self, text);
    }

    fn send(&mut self, bytes: &[u8]) {
        // the proxy may have closed its side already
        let _ = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
    }

    fn rest(&mut self) -> (Vec<u8>, End) {
        Client::rest(self)
    }
}

#[test]
fn a_socket_is_closed_with_a_code_and_a_reason_behind_so_many_messages() {
    let origin = Origin::start(|_, tcp| echo(tcp));
    let fault = "websocket_close = { code = 1012, reason = \"restarting\", after_events = 3 }";
    both(&origin, fault, |proxy, client| {
        ["one", "two"].into_iter().for_each(|text| client.turn(text));
        client.send(&masked(TEXT, b"three"));
        client.send(&masked(TEXT, b"four, which nobody answers"));
        let close = frame(0x80 | CLOSE, &[&1012_u16.to_be_bytes(), b"restarting".as_slice()].concat(), None);
        let (bytes, end) = client.rest();
        assert_eq!((bytes, end), ([frame(TEXT, b"three", None), close].concat(), End::Eof));
        client.send(&masked(0x80 | CLOSE, &1012_u16.to_be_bytes()));
        eventually("booked", || proxy.status()["in_flight"] == 0);
        assert_eq!(proxy.books()["edges"][0]["cut"]["f"], 1);
    });
}

#[test]
fn a_socket_is_closed_at_once_or_without_a_word() {
    let origin = Origin::start(|_, tcp| echo(tcp));
    both(&origin, "websocket_close = 1011", |_, client| {
        let (bytes, end) = client.rest();
        assert_eq!((bytes, end), (frame(0x80 | CLOSE, &1011_u16.to_be_bytes(), None), End::Eof));
    });
    both(&origin, "websocket_close = 1006", |_, client| assert_eq!(client.rest(), (Vec::new(), End::Eof)));
}

/// Answers each message in two fragments with a ping between them.
fn fragments(tcp: &mut std::net::TcpStream) -> Then {
    tcp.write_all(SWITCHED.as_bytes()).expect("taken");
    while let Some((_, payload)) = read_frame(tcp) {
        let pieces = [frame(0x01, &payload, None), frame(0x89, b"", None), frame(0x80, b"!", None)];
        if tcp.write_all(&pieces.concat()).is_err() {
            break;
        }
    }
    Then::Close
}

#[test]
fn a_message_in_fragments_is_one_and_pings_are_none() {
    let origin = Origin::start(|_, tcp| fragments(tcp));
    both(&origin, "websocket_close = \"1011 after 2 events\"", |_, client| {
        client.send(&[masked(TEXT, b"a"), masked(TEXT, b"b"), masked(TEXT, b"c")].concat());
        let answer =
            |text: &[u8]| [frame(0x01, text, None), frame(0x89, b"", None), frame(0x80, b"!", None)].concat();
        let close = frame(0x80 | CLOSE, &1011_u16.to_be_bytes(), None);
        assert_eq!(client.rest(), ([answer(b"a"), answer(b"b"), close].concat(), End::Eof));
    });
}

#[test]
fn a_socket_that_ends_before_is_not_closed_by_us() {
    let origin = Origin::start(|_, tcp| echo(tcp));
    let proxy = Proxy::before(origin.addr).rules(&rule("websocket_close = \"1011 after 5 events\"")).start();
    for by_close in [true, false] {
        let mut client = upgrade(proxy.client());
        turn(&mut client, "one");
        if by_close {
            client.send(masked(0x80 | CLOSE, &1000_u16.to_be_bytes()));
            assert_eq!(client.rest().0, frame(0x80 | CLOSE, &1000_u16.to_be_bytes(), None));
        } else {
            client.vanish();
        }
        eventually("noticed", || proxy.status()["in_flight"] == 0);
    }
    let books = proxy.books();
    assert_eq!(books["rules"][0]["applied"], 0, "{}", books["rules"][0]);
}

#[test]
fn sockets_are_shaped_in_both_directions() {
    let origin = Origin::start(|_, tcp| echo(tcp));
    let text = "x".repeat(20_000);
    for (fault, least) in [
        ("throttle = { response = \"100KB/s\" }", 190),
        ("throttle = { request = \"100KB/s\" }", 190),
        ("stall = \"150ms after 1 events\"", 150),
        ("delay = \"150ms at first_byte\"", 150),
        ("loss = { rate = \"100%\", rto = \"10ms\", max_rto = \"10ms\", segment = \"10000 B\" }", 300),
        (
            "loss = { rate = \"100%\", rto = \"10ms\", max_rto = \"10ms\", segment = \"10000 B\", direction = \"request\" }",
            300,
        ),
    ] {
        // a wait may begin with the answer to the upgrade, which a client may read late
        both_since(&origin, fault, |_, client, begun| {
            client.turn("a");
            client.turn(&text);
            assert!(ms(least) <= begun.elapsed(), "{fault}: {:?}", begun.elapsed());
            client.send(&masked(0x80 | CLOSE, &1000_u16.to_be_bytes()));
            assert_eq!(client.rest().0, frame(0x80 | CLOSE, &1000_u16.to_be_bytes(), None), "{fault}");
        });
    }
}

#[test]
fn sockets_are_cut_to_the_byte() {
    let origin = Origin::start(|_, tcp| echo(tcp));
    let answer = frame(TEXT, b"hello", None);
    for (fault, bytes, end) in [
        ("reset = \"after 5 B\"", 5, End::Reset),
        ("reset = \"after 1 events\"", 7, End::Reset),
        ("truncate = \"5 B\"", 5, End::Eof),
        ("stall = \"20ms after 1 events, then close\"", 7, End::Eof),
        ("reset = \"after 100ms\"", 7, End::Reset),
    ] {
        both(&origin, fault, |_, client| {
            client.send(&masked(TEXT, b"hello"));
            assert_eq!(client.rest(), (answer[..bytes].to_vec(), end), "{fault}");
        });
    }
}

#[test]
fn a_client_that_leaves_a_held_socket_and_an_origin_that_does_are_noticed() {
    for fault in
        ["stall = \"forever after headers\"", "throttle = { response = \"1B/s\", request = \"1B/s\" }"]
    {
        let origin = Origin::start(|_, tcp| {
            tcp.write_all(SWITCHED.as_bytes()).expect("taken");
            tcp.write_all(&frame(TEXT, b"hello", None)).expect("taken");
            read_frame(tcp);
            Then::Close
        });
        let proxy = Proxy::before(origin.addr).rules(&rule(fault)).start();
        let mut client = upgrade(proxy.client());
        client.send(masked(TEXT, b"x"));
        client.vanish();
        eventually("the client's leaving is noticed", || proxy.status()["in_flight"] == 0);
        proxy.books();
    }
}

#[test]
fn thousands_of_small_writes_arrive_in_order_while_rules_toggle() {
    const WRITES: usize = 65_535;
    let origin = Origin::start(|_, tcp| {
        tcp.write_all(SWITCHED.as_bytes()).expect("taken");
        for n in 0..WRITES {
            tcp.write_all(&u16::try_from(n).expect("small").to_be_bytes()).expect("taken");
        }
        let mut all = vec![0; WRITES * 2];
        tcp.read_exact(&mut all).expect("the client's");
        assert!(in_order(&all), "upstream");
        tcp.write_all(b"done").expect("taken");
        Then::Close
    });
    let on = rule(
        "throttle = { response = \"200KB/s\", request = \"200KB/s\" }\n[[rule]]\nid = \"s\"\nstall = \"1h after 3000 B\"\n\
         [[rule]]\nid = \"d\"\ndelay = \"5ms at first_byte\"\n[[rule]]\nid = \"l\"\n\
         loss = { rate = \"10%\", rto = \"1ms\", segment = \"100 B\", direction = \"request\" }",
    );
    let proxy = Proxy::before(origin.addr).rules(&on).start();
    let mut client = proxy.client();
    client.send(UPGRADE.replace("/socket", "/f/socket"));
    assert_eq!(client.head().status, 101);
    let toggling = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        let mut upstream = client.stream.try_clone().expect("a handle");
        scope.spawn(move || {
            for n in 0..WRITES {
                upstream.write_all(&u16::try_from(n).expect("small").to_be_bytes()).expect("taken");
            }
        });
        scope.spawn(|| {
            while toggling.load(std::sync::atomic::Ordering::Relaxed) {
                std::thread::sleep(ms(30));
                proxy.reload("");
                proxy.reload(&on);
            }
        });
        assert!(in_order(&client.exactly(WRITES * 2)), "downstream");
        assert_eq!(client.exactly(4), b"done");
        toggling.store(false, std::sync::atomic::Ordering::Relaxed);
    });
    drop(client);
    proxy.books();
}

fn in_order(bytes: &[u8]) -> bool {
    let numbers = bytes.chunks(2).map(|two| usize::from(u16::from_be_bytes([two[0], two[1]])));
    numbers.eq(0..bytes.len() / 2)
}

#[test]
fn what_a_client_says_passes_while_the_answer_is_held() {
    let heard = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let hearing = heard.clone();
    let origin = Origin::start(move |_, tcp| {
        tcp.write_all(SWITCHED.as_bytes()).expect("taken");
        while let Some((first, payload)) = read_frame(tcp) {
            hearing.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let _ = tcp.write_all(&frame(first, &payload, None));
        }
        Then::Close
    });
    let proxy = Proxy::before(origin.addr).rules(&rule("stall = \"forever after 1 events\"")).start();
    let mut client = upgrade(proxy.client());
    turn(&mut client, "one");
    for n in 1..100 {
        client.send(masked(TEXT, &[b'x'; 100]));
        eventually("the origin hears it", || heard.load(std::sync::atomic::Ordering::SeqCst) == n + 1);
    }
    proxy.reload("");
    assert_eq!(client.exactly(99 * 102), frame(TEXT, &[b'x'; 100], None).repeat(99), "and nothing is lost");
    client.send(masked(0x80 | CLOSE, &1000_u16.to_be_bytes()));
    drop(client);
    proxy.books();
}

#[test]
fn what_is_held_when_the_origin_leaves_goes_out_at_its_pace() {
    let origin = Origin::start(|_, tcp| {
        tcp.write_all(SWITCHED.as_bytes()).expect("taken");
        tcp.write_all(&[b'x'; 40_000]).expect("taken");
        Then::Close
    });
    let fault = "throttle = { response = \"200KB/s\" }";
    both(&origin, fault, |_, client| {
        let begun = std::time::Instant::now();
        assert_eq!(client.rest(), (vec![b'x'; 40_000], End::Eof));
        assert!(ms(130) < begun.elapsed(), "{:?}", begun.elapsed());
    });
}
