//! Peers that leave before their time while a fault is at work on a stream: events over every protocol, WebSockets, gRPC calls.
//! Whoever leaves, the other is told, nothing is left behind, and each exchange has exactly one place in the books.

use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Notify;

use crate::calls::message;
use crate::harness::h2::{block_on, finish};
use crate::harness::proxy::ms;
use crate::harness::{Client, Gate, H2Origin, How, Origin, PATIENCE, Proxy, Then, WAYS, Way, eventually};
use crate::shapes::rule;
use crate::streams::{SWITCHED, TEXT, UPGRADE, frame};

/// Whether a fault holds something back, or ends the answer by itself before its peers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Pass,
    Hold,
    /// The header, too.
    HoldAll,
    Lose,
}

const FAULTS: [(&str, Does); 16] = [
    ("delay = \"1h at response\"", Does::HoldAll),
    ("delay = \"1h at first_byte\"", Does::Hold),
    ("delay = \"at least 20ms\"", Does::HoldAll),
    ("throttle = { response = \"1MB/s\", piece = \"20 B\", gap = \"1h\" }", Does::Hold),
    ("throttle = \"100KB/s\"", Does::Pass),
    ("stall = \"forever after headers\"", Does::Hold),
    ("stall = \"forever after 2 events\"", Does::Hold),
    ("stall = \"1h after 40 B, then reset\"", Does::Hold),
    ("loss = { rate = \"100%\", rto = \"1h\", max_rto = \"1h\" }", Does::Hold),
    ("corrupt = \"zero per 1GB\"", Does::Pass),
    ("truncate = \"5000 B\"", Does::Pass),
    ("reset = \"after 5000 B\"", Does::Pass),
    ("reset = \"after 99 events\"", Does::Pass),
    ("reset = \"after 1h\"", Does::Pass),
    ("goaway = \"graceful\"", Does::Pass),
    ("drop_response = \"reset\"", Does::Lose),
];

/// The beginning of a stream that goes on.
fn beginning(path: &str) -> (&'static str, Vec<u8>) {
    let event = |n: u8| format!("id: {n}\ndata: {}\n\n", "x".repeat(20));
    let events: Vec<String> = (0..5).map(event).collect();
    let chunk = |event: &String| format!("{:x}\r\n{event}\r\n", event.len());
    match path {
        "/f/socket" => {
            (SWITCHED, [b"0", b"1", b"2", b"3", b"4"].map(|text| frame(TEXT, text, None)).concat())
        }
        _ => (
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
            events.iter().map(chunk).collect::<String>().into_bytes(),
        ),
    }
}

/// How many bytes of events a client gets in all.
const EVENTS: usize = 5 * 34;

/// An origin that waits in the midst of its answer: until it is told to die, or until its client is gone, which is counted.
struct Waiting {
    origin: Origin,
    die: Arc<Gate>,
    gone: Arc<AtomicUsize>,
}

fn waiting() -> Waiting {
    let (die, gone) = (Gate::new(), Arc::<AtomicUsize>::default());
    let (dies, counts) = (die.clone(), gone.clone());
    let origin = Origin::start(move |request, tcp| {
        let (head, body) = beginning(request.target());
        tcp.write_all(&[head.as_bytes(), &body].concat()).expect("taken");
        if request.header("x-wait").is_some() {
            hang_up(tcp);
            counts.fetch_add(1, Ordering::SeqCst);
        } else {
            dies.pass();
        }
        Then::Close
    });
    Waiting { origin, die, gone }
}

/// Returns when the peer has left.
fn hang_up(tcp: &mut TcpStream) {
    tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut piece = [0; 4_096];
    loop {
        match tcp.read(&mut piece) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("nobody tells it"),
            Err(_) => return,
        }
    }
}

/// Where the one exchange stands in the books.
#[track_caller]
fn place(books: &Value, about: &str) -> String {
    let edge = &books["edges"][0];
    assert_eq!((&edge["seen"], &edge["aborted"]), (&1.into(), &0.into()), "{about}: {edge}");
    let n = |row: &str| match &edge[row] {
        Value::Object(rules) => rules.values().filter_map(Value::as_u64).sum(),
        count => count.as_u64().unwrap_or(0),
    };
    let rows = ["delivered", "cut", "upstream_failed", "client_gone_after", "client_gone", "dropped"];
    let mut places = rows.into_iter().filter(|row| 0 < n(row));
    let found = places.next().unwrap_or_else(|| panic!("{about}: {edge}"));
    assert_eq!((n(found), places.next()), (1, None), "{about}: {edge}");
    found.to_owned()
}

fn proxies(url: &str, fault: &str, tls: bool) -> Proxy {
    let plan = Proxy::before_url(url).rules(&rule(fault));
    if tls { plan.tls().start() } else { plan.start() }
}

#[test]
fn clients_leave_event_streams_on_every_protocol() {
    for (fault, does) in FAULTS {
        for way in WAYS {
            let about = format!("{fault} {way:?}");
            let waiting = waiting();
            let proxy = proxies(&format!("http://{}", waiting.origin.addr), fault, way.is_tls());
            match way {
                Way::Http1 => leave(proxy.client(), &proxy, does),
                Way::Http1Tls => {
                    leave(proxy.identity.as_ref().expect("TLS").client(proxy.addr), &proxy, does);
                }
                Way::Http2 | Way::Http2Tls => block_on(async {
                    let client = way.h2(&proxy).await;
                    let request = client.request("GET", "/f/events").header("x-wait", "1");
                    let (response, stream) = client.start(request, true).await;
                    if matches!(does, Does::HoldAll | Does::Lose) {
                        in_flight(&proxy, 1).await;
                        drop((response, stream));
                    } else {
                        drop((response.await.expect("a header"), stream));
                    }
                    in_flight(&proxy, 0).await; // the connection stays
                    assert!(fault.starts_with("goaway") || client.is_open().await, "{about}");
                }),
            }
            let at = place(&proxy.books(), &about);
            assert!(matches!(at.as_str(), "client_gone_after" | "client_gone" | "cut"), "{about}: {at}");
            let asked = waiting.origin.count();
            eventually("the origin is told", || waiting.gone.load(Ordering::SeqCst) == asked);
        }
    }
}

async fn in_flight(proxy: &Proxy, n: i64) {
    while proxy.status()["in_flight"] != n {
        tokio::time::sleep(ms(2)).await;
    }
}

/// Asks, reads what comes at once, and leaves.
fn leave<S: Read + Write>(mut client: Client<S>, proxy: &Proxy, does: Does) {
    client.send("GET /f/events HTTP/1.1\r\nHost: t\r\nX-Wait: 1\r\n\r\n");
    if matches!(does, Does::HoldAll | Does::Lose) {
        proxy.await_in_flight(1);
    } else {
        assert_eq!(client.head().status, 200);
    }
}

#[test]
fn origins_of_event_streams_die_on_every_protocol() {
    for (fault, does) in FAULTS {
        for way in WAYS {
            let about = format!("{fault} {way:?}");
            let waiting = waiting();
            let proxy = proxies(&format!("http://{}", waiting.origin.addr), fault, way.is_tls());
            let seen = std::thread::scope(|scope| {
                scope.spawn(|| die(&waiting, &proxy, does));
                way.get(&proxy, "/f/events")
            });
            assert_ne!(seen.end, How::Whole, "{about}");
            let lost = does == Does::Lose;
            // the origin dies as soon as it has written: on HTTP/2 the news of it drops what is still queued
            let may_lack = way.is_http2();
            let len = if may_lack { seen.body.len().min(EVENTS) } else { EVENTS };
            assert_eq!((seen.status, seen.body.len()), if lost { (0, 0) } else { (200, len) }, "{about}");
            let at = place(&proxy.books(), &about);
            assert_eq!(at, if lost { "cut" } else { "upstream_failed" }, "{about}");
        }
    }
}

/// Once it is asked, the origin dies.
fn die(waiting: &Waiting, proxy: &Proxy, does: Does) {
    eventually("the origin is asked", || waiting.origin.count() == 1);
    waiting.die.open();
    if matches!(does, Does::Hold | Does::HoldAll) {
        proxy.reload(""); // what a rule still holds of it passes, once there is none
    }
}

#[test]
fn either_side_leaves_a_socket_in_clear_and_under_tls() {
    for (fault, does) in
        FAULTS.into_iter().chain([("websocket_close = \"1011 after 99 events\"", Does::Pass)])
    {
        for tls in [false, true] {
            for client_leaves in [false, true] {
                let about = format!("{fault}, TLS {tls}, the client leaves {client_leaves}");
                let waiting = waiting();
                let proxy = proxies(&format!("http://{}", waiting.origin.addr), fault, tls);
                let meets = (&waiting, &proxy, does);
                match &proxy.identity {
                    Some(identity) => meet(identity.client(proxy.addr), meets, client_leaves),
                    None => meet(proxy.client(), meets, client_leaves),
                }
                place(&proxy.books(), &about);
                let told = || waiting.gone.load(Ordering::SeqCst) == waiting.origin.count();
                eventually("the origin is told", || !client_leaves || told());
            }
        }
    }
}

fn meet<S: Read + Write>(
    mut client: Client<S>,
    (waiting, proxy, does): (&Waiting, &Proxy, Does),
    client_leaves: bool,
) {
    let wait = if client_leaves { "X-Wait: 1\r\n\r\n" } else { "\r\n" };
    client.send([UPGRADE.replace("/socket", "/f/socket").trim_end(), "\r\n", wait].concat());
    if client_leaves {
        if does == Does::HoldAll {
            proxy.await_in_flight(1);
        } else {
            assert_eq!(client.head().status, 101);
        }
        return;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| die(waiting, proxy, does));
        assert_eq!(client.head().status, 101);
        assert_eq!(client.rest().0, beginning("/f/socket").1, "all that the origin sent, and nothing else");
    });
}

/// A server of calls that waits in their midst, until it is told to die or the call is given up.
fn calls(die: &Arc<Notify>, gone: &Arc<AtomicUsize>) -> H2Origin {
    let (die, gone) = (die.clone(), gone.clone());
    H2Origin::start(move |_, mut respond| {
        let (die, gone) = (die.clone(), gone.clone());
        async move {
            let header = http::Response::builder().header("content-type", "application/grpc").body(());
            let Ok(mut stream) = respond.send_response(header.expect("a header"), false) else { return };
            if stream.send_data(Bytes::from(message(b"hello").repeat(5)), false).is_err() {
                return;
            }
            tokio::select! {
                () = die.notified() => stream.send_reset(h2::Reason::INTERNAL_ERROR),
                _ = poll_fn(|cx| stream.poll_reset(cx)) => {
                    gone.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    })
}

#[test]
fn either_side_leaves_a_call_in_clear_and_under_tls() {
    for (fault, does) in FAULTS {
        for way in [Way::Http2, Way::Http2Tls] {
            for client_leaves in [false, true] {
                let about = format!("{fault} {way:?}, the client leaves {client_leaves}");
                let (dies, gone) = (Arc::default(), Arc::<AtomicUsize>::default());
                let server = calls(&dies, &gone);
                let proxy = proxies(&format!("h2c://{}", server.addr), fault, way.is_tls());
                block_on(async {
                    let client = way.h2(&proxy).await;
                    let request =
                        client.request("POST", "/f/call").header("content-type", "application/grpc");
                    let (response, mut stream) = client.start(request.header("te", "trailers"), false).await;
                    stream.send_data(message(b"hello").into(), false).expect("taken");
                    while server.count() == 0 {
                        tokio::time::sleep(ms(2)).await;
                    }
                    if client_leaves {
                        drop((response, stream));
                        return in_flight(&proxy, 0).await;
                    }
                    // a header that is here left the server together with what is behind it
                    if matches!(does, Does::HoldAll | Does::Lose) {
                        dies.notify_one();
                        if does == Does::HoldAll {
                            proxy.reload("");
                        }
                        return assert!(finish(response).await.reset.is_some(), "{about}");
                    }
                    let mut body = response.await.expect("a header").into_body();
                    dies.notify_one();
                    if does == Does::Hold {
                        proxy.reload("");
                    }
                    let mut seen = Vec::new();
                    let error = loop {
                        match body.data().await {
                            Some(Ok(bytes)) => seen.extend_from_slice(&bytes),
                            Some(Err(error)) => break error,
                            None => panic!("{about}: it looks whole"),
                        }
                    };
                    assert!(error.is_reset() && error.is_remote(), "{about}: {error}");
                    assert_eq!(seen, message(b"hello").repeat(5), "{about}");
                });
                let at = place(&proxy.books(), &about);
                match (client_leaves, does) {
                    (true, _) => {
                        assert!(matches!(at.as_str(), "client_gone_after" | "cut"), "{about}: {at}");
                        eventually("the server is told", || gone.load(Ordering::SeqCst) == 1);
                    }
                    (false, Does::Lose) => {
                        // the end of a call drops what is queued of it, its header too: then nothing is there to be lost
                        let is_lost = proxy.books()["rules"][0]["applied"] == 1;
                        assert_eq!(at, if is_lost { "cut" } else { "upstream_failed" }, "{about}");
                    }
                    (false, _) => assert_eq!(at, "upstream_failed", "{about}"),
                }
            }
        }
    }
}
