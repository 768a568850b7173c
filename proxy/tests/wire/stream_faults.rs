//! Each kind of fault on a stream of events, over every protocol, and on a WebSocket: what its client sees.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Instant;

use serde_json::json;

use crate::harness::proxy::ms;
use crate::harness::{Client, End, How, Origin, Proxy, Then};
use crate::shapes::{each_way, rule};
use crate::streams::{CLOSE, SWITCHED, TEXT, UPGRADE, echo, frame, masked, read_frame};

const EVENTS: usize = 20;

fn event(nth: usize) -> String {
    format!("id: {nth:02}\ndata: {nth:02}\n\n")
}

fn all() -> Vec<u8> {
    (0..EVENTS).map(event).collect::<String>().into_bytes()
}

fn events(tcp: &mut TcpStream) -> Then {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = |nth| format!("{:x}\r\n{}\r\n", event(nth).len(), event(nth));
    let pieces = [head.to_owned()].into_iter().chain((0..EVENTS).map(chunk)).chain(["0\r\n\r\n".to_owned()]);
    for piece in pieces {
        if tcp.write_all(piece.as_bytes()).is_err() {
            return Then::Close;
        }
    }
    Then::Keep
}

/// How it ends: as it should; torn, as [`crate::harness::Way::reset`] says; before its time, or on HTTP/2 by its own framing;
/// without an answer and in good order.
#[derive(Debug, Clone, Copy)]
enum Ends {
    Whole,
    Torn,
    Short,
    Closed,
}

/// The fault, the status (0: no header), how many bytes, how it ends, how long it takes at least, and how many requests the
/// origin gets.
type Expected = (&'static str, u16, usize, Ends, u64, usize);

const LEN: usize = EVENTS * 17;

const ON_EVENTS: [Expected; 29] = [
    ("delay = \"40ms\"", 200, LEN, Ends::Whole, 40, 1),
    ("delay = \"40ms at connect\"", 200, LEN, Ends::Whole, 40, 1),
    ("delay = \"40ms at response\"", 200, LEN, Ends::Whole, 40, 1),
    ("delay = \"40ms at first_byte\"", 200, LEN, Ends::Whole, 40, 1),
    ("delay = \"at least 40ms\"", 200, LEN, Ends::Whole, 40, 1),
    ("respond = 503", 503, 0, Ends::Whole, 0, 0),
    ("reset = \"before headers\"", 0, 0, Ends::Torn, 0, 0),
    ("reset = \"after headers\"", 200, 0, Ends::Torn, 0, 1),
    ("reset = \"after 40 B\"", 200, 40, Ends::Torn, 0, 1),
    ("reset = \"after 3 events\"", 200, 51, Ends::Torn, 0, 1),
    ("reset = \"after 50%\"", 200, LEN, Ends::Whole, 0, 1),
    ("blackhole = \"40ms, then reset\"", 0, 0, Ends::Torn, 40, 0),
    ("blackhole = \"40ms, then close\"", 0, 0, Ends::Closed, 40, 0),
    ("truncate = \"headers\"", 200, 0, Ends::Short, 0, 1),
    ("truncate = \"40 B\"", 200, 40, Ends::Short, 0, 1),
    ("throttle = { response = \"5KB/s\", piece = \"7 B\" }", 200, LEN, Ends::Whole, 60, 1),
    ("stall = \"40ms after headers\"", 200, LEN, Ends::Whole, 40, 1),
    ("stall = \"40ms after 3 events\"", 200, LEN, Ends::Whole, 40, 1),
    ("stall = \"40ms after 3 events, then close\"", 200, 51, Ends::Short, 40, 1),
    ("loss = { rate = \"100%\", rto = \"20ms\", max_rto = \"20ms\" }", 200, LEN, Ends::Whole, 40, 1),
    ("drop_response = \"reset\"", 0, 0, Ends::Torn, 0, 1),
    ("drop_response = \"close\"", 0, 0, Ends::Closed, 0, 1),
    ("drop_response = { respond = 503 }", 503, 0, Ends::Whole, 0, 1),
    ("duplicate = 2", 200, LEN, Ends::Whole, 0, 3),
    (
        "storm = { when = [\"slower than 1us\"], copies = 2, max_amplification = 3.0 }",
        200,
        LEN,
        Ends::Whole,
        0,
        3,
    ),
    ("outage = \"refuse\"", 502, 0, Ends::Whole, 0, 0),
    ("outage = \"reset\"", 0, 0, Ends::Torn, 0, 0),
    ("stale = \"0s\"", 200, LEN, Ends::Whole, 0, 1),
    ("goaway = \"graceful\"", 200, LEN, Ends::Whole, 0, 1),
];

#[test]
fn each_fault_of_a_stream_of_events_over_each_protocol() {
    for (fault, status, len, ends, least, asked) in ON_EVENTS {
        let origin = Origin::start(|_, tcp| events(tcp));
        each_way(&origin, &rule(fault), |way, proxy| {
            let before = origin.count();
            let seen = way.get(proxy, "/f/events");
            let end = match ends {
                Ends::Whole => How::Whole,
                Ends::Torn => way.reset(),
                Ends::Short if way.is_http2() => How::Whole,
                Ends::Closed if way.is_http2() => How::Stream(h2::Reason::CANCEL.into()),
                Ends::Short | Ends::Closed => How::Short,
            };
            assert_eq!((seen.status, seen.end), (status, end), "{way:?} {fault}");
            assert_eq!(seen.body, all()[..len], "{way:?} {fault}");
            assert!(ms(least) <= seen.took, "{way:?} {fault}: {:?}", seen.took);
            proxy.books(); // its copies have been sent
            assert_eq!(origin.count() - before, asked, "{way:?} {fault}");
        });
    }
}

#[test]
fn events_are_corrupted_refused_by_quota_and_never_closed_as_sockets() {
    let origin = Origin::start(|_, tcp| events(tcp));
    each_way(&origin, &rule("corrupt = \"bitflip per 34 B\""), |way, proxy| {
        let seen = way.get(proxy, "/f/events");
        let changed = seen.body.iter().zip(all()).filter(|(is, was)| **is != *was).count();
        assert_eq!((seen.body.len(), changed, seen.end), (LEN, LEN / 34, How::Whole), "{way:?}");
    });
    for way in crate::harness::CLEAR {
        let proxy =
            Proxy::before(origin.addr).rules(&rule("rate_limit = { rate = \"1/1h\", burst = 1 }")).start();
        let statuses = [1, 2].map(|_| way.get(&proxy, "/f/events").status);
        assert_eq!(statuses, [200, 429], "{way:?}");
    }
    each_way(&origin, &rule("websocket_close = 1011"), |way, proxy| {
        assert_eq!(way.get(proxy, "/f/events").body, all(), "{way:?}");
        proxy.books();
        assert!(0 < proxy.rule_books("f")["suppressed"]["wrong_protocol"].as_u64().unwrap_or(0));
    });
}

/// What is heard of the echo behind a handshake that gets this status (0: none), and how the connection ends.
fn meet<S: Read + Write>(mut client: Client<S>, status: u16) -> (Vec<u8>, End) {
    client.send(UPGRADE.replace("/socket", "/f/socket"));
    if status == 0 {
        return client.rest();
    }
    if status != 101 {
        assert_eq!(client.answer(false).status, status);
        return (Vec::new(), End::Eof); // the connection goes on
    }
    assert_eq!(client.head().status, status);
    let talk = [masked(TEXT, b"hello"), masked(TEXT, b"again"), masked(0x80 | CLOSE, b"\x03\xe8")].concat();
    // the connection may have ended already; a reset is told once, to whoever asks first
    let sent = client.stream.write_all(&talk).and_then(|()| client.stream.flush());
    let (rest, end) = client.rest();
    match sent {
        Err(err) if err.kind() == ErrorKind::ConnectionReset => (rest, End::Reset),
        _ => (rest, end),
    }
}

fn echoed() -> Vec<u8> {
    let close = frame(0x80 | CLOSE, b"\x03\xe8", None);
    [frame(TEXT, b"hello", None), frame(TEXT, b"again", None), close].concat()
}

/// The fault, the status, how much of the echo (`None`: all), the end, how long at least, and what the books say.
type Socket = (&'static str, u16, Option<usize>, End, u64, &'static str);

const ON_SOCKETS: [Socket; 23] = [
    ("delay = \"40ms\"", 101, None, End::Eof, 40, "applied"),
    ("delay = \"40ms at connect\"", 101, None, End::Eof, 40, "applied"),
    ("delay = \"40ms at response\"", 101, None, End::Eof, 40, "applied"),
    ("delay = \"40ms at first_byte\"", 101, None, End::Eof, 40, "applied"),
    ("delay = \"at least 40ms\"", 101, None, End::Eof, 40, "applied"),
    ("respond = 503", 503, Some(0), End::Eof, 0, "applied"),
    ("reset = \"before headers\"", 0, Some(0), End::Reset, 0, "applied"),
    ("reset = \"after headers\"", 101, Some(0), End::Reset, 0, "applied"),
    ("reset = \"after 5 B\"", 101, Some(5), End::Reset, 0, "applied"),
    ("blackhole = \"40ms, then reset\"", 0, Some(0), End::Reset, 40, "applied"),
    ("blackhole = \"40ms, then close\"", 0, Some(0), End::Eof, 40, "applied"),
    ("truncate = \"headers\"", 101, Some(0), End::Eof, 0, "applied"),
    ("truncate = \"7 B\"", 101, Some(7), End::Eof, 0, "applied"),
    (
        "throttle = { response = \"1KB/s\", piece = \"3 B\", gap = \"5ms\" }",
        101,
        None,
        End::Eof,
        30,
        "applied",
    ),
    ("stall = \"40ms after 1 events, then reset\"", 101, Some(7), End::Reset, 40, "applied"),
    ("loss = { rate = \"100%\", rto = \"20ms\", max_rto = \"20ms\" }", 101, None, End::Eof, 40, "applied"),
    ("outage = \"refuse\"", 502, Some(0), End::Eof, 0, "applied"),
    ("outage = \"reset\"", 0, Some(0), End::Reset, 0, "applied"),
    ("websocket_close = 1006", 101, Some(0), End::Eof, 0, "applied"),
    ("drop_response = \"reset\"", 101, None, End::Eof, 0, "wrong_protocol"),
    ("duplicate = 2", 101, None, End::Eof, 0, "wrong_protocol"),
    (
        "storm = { when = [\"slower than 1us\", \"failure\"], copies = 2, max_amplification = 9.0 }",
        101,
        None,
        End::Eof,
        0,
        "wrong_protocol",
    ),
    ("stale = \"0s\"", 101, None, End::Eof, 0, "nothing_stale"),
];

#[test]
fn each_fault_of_a_socket_in_clear_and_under_tls() {
    for (fault, status, len, end, least, why) in ON_SOCKETS {
        let origin = Origin::start(|_, tcp| echo(tcp));
        let before = |tls| {
            let plan = Proxy::before(origin.addr).rules(&rule(fault));
            if tls { plan.tls().start() } else { plan.start() }
        };
        for tls in [false, true] {
            let proxy = before(tls);
            let begun = Instant::now();
            let seen = match &proxy.identity {
                Some(identity) => meet(identity.client(proxy.addr), status),
                None => meet(proxy.client(), status),
            };
            let expected = echoed()[..len.unwrap_or(echoed().len())].to_vec();
            assert_eq!(seen, (expected, end), "{fault}, TLS {tls}");
            assert!(ms(least) <= begun.elapsed(), "{fault}, TLS {tls}");
            let edge = proxy.books()["edges"][0].clone();
            assert_eq!(
                (&edge["seen"], &edge["aborted"], &edge["storm_copies"]),
                (&1.into(), &0.into(), &json!({}))
            );
            let rule = proxy.rule_books("f");
            let n = if why == "applied" { &rule["applied"] } else { &rule["suppressed"][why] };
            assert_eq!(n, 1, "{fault}, TLS {tls}: {rule}");
        }
    }
}

#[test]
fn messages_of_a_socket_are_corrupted_in_either_direction() {
    let sent = |byte: u8| [byte; 1_200];
    let (tell, told) = mpsc::channel();
    let origin = Origin::start(move |_, tcp| {
        tcp.write_all(SWITCHED.as_bytes()).expect("taken");
        let heard = read_frame(tcp).expect("a message").1;
        tell.send(heard).expect("told");
        tcp.write_all(&frame(TEXT, &sent(b'y'), None)).map_or(Then::Close, |()| Then::Close)
    });
    for direction in ["request", "response"] {
        let fault = format!("corrupt = {{ kind = \"bitflip\", per = \"1KB\", direction = \"{direction}\" }}");
        let proxy = Proxy::before(origin.addr).rules(&rule(&fault)).start();
        let mut client = proxy.client();
        // the same in every run, so that the byte that is hit is none of the frame's header
        let named = "Squall-Op: 00000000000000aa\r\nSquall-Session: s\r\n\r\n";
        let upgrade = UPGRADE.replace("/socket", "/f/socket");
        client.send([upgrade.trim_end(), "\r\n", named].concat());
        assert_eq!(client.head().status, 101);
        client.send(masked(TEXT, &sent(b'x')));
        let heard = told.recv_timeout(crate::harness::PATIENCE).expect("heard");
        let (answer, _) = client.rest();
        let changed = |is: &[u8], was: &[u8]| {
            assert_eq!(is.len(), was.len(), "{direction}");
            is.iter().zip(was).filter(|(is, was)| is != was).count()
        };
        let changed = [changed(&heard, &sent(b'x')), changed(&answer, &frame(TEXT, &sent(b'y'), None))];
        // one byte of the first thousand, and perhaps one of the second
        assert!(
            if direction == "request" {
                matches!(changed, [1..=2, 0])
            } else {
                matches!(changed, [0, 1..=2])
            },
            "{direction}: {changed:?}"
        );
        proxy.books();
    }
}
