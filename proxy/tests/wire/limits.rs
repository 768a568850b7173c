//! What a client may take of the proxy, and what it gets beyond that.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use crate::harness::h2::{block_on, finish};
use crate::harness::proxy::ms;
use crate::harness::{Client, End, Gate, H2Client, Origin, Proxy, Then, eventually, pattern};

fn met(proxy: &Proxy, bound: &str) -> u64 {
    proxy.status()["limits"]["met"][bound].as_u64().unwrap_or_else(|| panic!("{bound} is a bound"))
}

#[test]
fn connections_beyond_the_cap_wait_for_their_turn() {
    const CAP: usize = 3;
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).with(|config| config.limits.max_connections = Some(CAP)).start();
    let addr = proxy.addr;
    let (tell, answered) = mpsc::channel();
    let gate = Gate::new();
    let clients: Vec<_> = (0..12)
        .map(|_| {
            let (tell, gate) = (tell.clone(), gate.clone());
            std::thread::spawn(move || {
                let mut client = Client::connect(addr);
                assert_eq!(client.ask("GET /bytes/9 HTTP/1.1\r\nHost: t\r\n\r\n").body, pattern(9));
                tell.send(()).expect("the test listens");
                gate.pass(); // holds its connection until the test lets one go
            })
        })
        .collect();
    for turn in 0..clients.len() {
        answered.recv_timeout(crate::harness::PATIENCE).expect("one more is answered");
        let limits = &proxy.status()["limits"];
        assert!(limits["connections"].as_u64().expect("a count") <= CAP as u64, "{limits}");
        if turn + 1 >= CAP {
            assert!(answered.try_recv().is_err(), "a fourth connection was open");
            gate.open();
        }
    }
    (1..CAP).for_each(|_| gate.open());
    clients.into_iter().for_each(|client| client.join().expect("no client fails"));
    assert!(met(&proxy, "connections") > 0);
    assert_eq!(proxy.books()["edges"][0]["delivered"], 12);
}

#[test]
fn a_cap_of_one_serves_every_thread_in_turn() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).with(|config| config.limits.max_connections = Some(1)).start();
    // the kernel spreads them over the listeners of both threads
    for _ in 0..40 {
        assert_eq!(proxy.get("/bytes/5").body, pattern(5));
    }
}

#[test]
fn a_header_that_drips_is_answered_408() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).with(|config| config.limits.header_timeout = ms(150)).start();
    let mut client = proxy.client();
    client.stream.set_read_timeout(Some(ms(5))).expect("a timeout");
    for byte in b"GET / HTTP/1.1\r\nX: ".iter().chain(std::iter::repeat(&b'a')) {
        if client.stream.write_all(&[*byte]).is_err() {
            break;
        }
        let mut seen = [0; 1];
        if client.stream.peek(&mut seen).is_ok() {
            break;
        }
    }
    client.stream.set_read_timeout(Some(crate::harness::PATIENCE)).expect("a timeout");
    let answer = client.answer(false);
    assert_eq!((answer.status, answer.header("squall-error")), (408, Some("header-timeout")));
    assert_eq!(client.rest(), (Vec::new(), End::Eof));

    let mut silent = proxy.client();
    silent.send("GET / HTTP/1.1\r\nHost:");
    assert_eq!(silent.answer(false).status, 408);
    let mut second = proxy.client();
    assert_eq!(second.ask("GET / HTTP/1.1\r\nHost: t\r\n\r\n").status, 200);
    second.send("GET / HT");
    assert_eq!(second.answer(false).status, 408, "the time counts from the first byte of each header");

    eventually("booked", || proxy.books()["edges"][0]["refused"]["header_timeout"] == 3);
    assert_eq!(met(&proxy, "header_timeout"), 3);
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_header_under_tls_has_its_time_too() {
    let origin = Origin::plain();
    let proxy =
        Proxy::before(origin.addr).tls().with(|config| config.limits.header_timeout = ms(100)).start();
    let mut client = proxy.identity.as_ref().expect("TLS").client(proxy.addr);
    client.send("GET / HTTP/1.1\r\nHost: t\r\n");
    assert_eq!(client.answer(false).header("squall-error"), Some("header-timeout"));
}

#[test]
fn a_header_that_is_too_large_is_answered_431() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).with(|config| config.limits.max_header = 2000).start();
    let request = |fill: usize| format!("GET / HTTP/1.1\r\nHost: t\r\nX-Fill: {}\r\n\r\n", "a".repeat(fill));
    assert_eq!(proxy.client().ask(&request(1900)).status, 200);
    for fill in [2000, 500_000] {
        let mut client = proxy.client();
        let _ = client.stream.write_all(request(fill).as_bytes()); // it may be refused before its end
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.header("squall-error")), (431, Some("header-size")));
    }
    eventually("booked", || proxy.books()["edges"][0]["refused"]["header_size"] == 2);
    assert_eq!(met(&proxy, "header_size"), 2);
    block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let fill = "a".repeat(3000);
        let (response, _) = client.start(client.request("GET", "/").header("x-fill", fill), true).await;
        let outcome = finish(response).await;
        assert!(outcome.status == 431 || outcome.reset.is_some(), "{outcome:?}");
        assert_eq!(client.get("/").await.status, 200, "its neighbours live");
    });
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_body_that_does_not_come_is_answered_408() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).with(|config| config.limits.body_timeout = ms(100)).start();
    for framing in ["Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        let mut client = proxy.client();
        client.send(format!("POST /echo HTTP/1.1\r\nHost: t\r\n{framing}"));
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.header("squall-error")), (408, Some("body-timeout")));
        assert_eq!(client.rest(), (Vec::new(), End::Eof));
    }
    assert_eq!(proxy.books()["edges"][0]["client_gone_after"], 2);
    assert_eq!(met(&proxy, "body_timeout"), 2);
}

#[test]
fn idle_connections_are_closed() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).with(|config| config.idle_timeout = ms(50)).start();
    let mut mute = proxy.client();
    let mut client = proxy.client();
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: t\r\n\r\n").status, 200);
    for client in [&mut mute, &mut client] {
        assert_eq!(client.rest(), (Vec::new(), End::Eof));
    }
    block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        assert_eq!(client.get("/").await.status, 200);
        assert!(client.closed().await, "with a GOAWAY");
    });
    eventually("all closed", || proxy.status()["limits"]["connections"] == 0);
    assert_eq!(met(&proxy, "idle_timeout"), 3);
}

#[test]
fn an_idle_client_that_keeps_its_half_open_is_not_waited_for() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).with(|config| config.idle_timeout = ms(50)).start();
    let mut client = proxy.client();
    // says hello and never answers the GOAWAY
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    client.rest();
    eventually("given up", || proxy.status()["limits"]["connections"] == 0);
}

#[test]
fn http_2_streams_beyond_the_limit_wait_with_their_client() {
    const MOST: u32 = 2;
    let gate = Gate::new();
    let (busy, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, most, wait) = (busy.clone(), peak.clone(), gate.clone());
    let origin = Origin::start(move |request, tcp| {
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        wait.pass();
        now.fetch_sub(1, Ordering::SeqCst);
        crate::harness::origin::answer_plainly(request, tcp)
    });
    let proxy = Proxy::before(origin.addr).with(|config| config.limits.max_streams = MOST).start();
    block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        gate.open();
        client.settled().await; // the limit is the server's to tell
        let requests: Vec<_> = (0..8)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.get("/").await.status })
            })
            .collect();
        (0..8).for_each(|_| gate.open());
        for request in requests {
            assert_eq!(request.await.expect("no panic"), 200);
        }
    });
    assert!(peak.load(Ordering::SeqCst) <= MOST as usize);
}

#[test]
fn malformed_requests_have_a_budget() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).start();
    let mut client = proxy.client();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for n in 0..100u32 {
        // GET / over http without an authority
        bytes.extend_from_slice(&[0, 0, 3, 1, 5]);
        bytes.extend_from_slice(&(2 * n + 1).to_be_bytes());
        bytes.extend_from_slice(&[0x82, 0x86, 0x84]);
    }
    let _ = client.stream.write_all(&bytes); // it may be closed before its end
    client.rest();
    eventually("closed", || proxy.status()["limits"]["connections"] == 0);
    assert_eq!(proxy.books()["edges"][0]["refused"]["parse"], 32);
    assert_eq!(met(&proxy, "malformed"), 1);
    assert_eq!(origin.count(), 0);
}

#[test]
fn clients_that_do_not_read_keep_new_ones_waiting_before_memory_runs_out() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).with(|config| config.limits.max_buffered = 1_000_000).start();
    let mut deaf: Vec<Client> = Vec::new();
    eventually("the bound is met", || {
        let mut client = proxy.client();
        client.send("GET /bytes/8000000 HTTP/1.1\r\nHost: t\r\n\r\n");
        deaf.push(client);
        met(&proxy, "buffered") > 0
    });
    assert!(proxy.status()["limits"]["buffered"].as_u64() > Some(1_000_000));
    drop(deaf);
    assert_eq!(proxy.get("/bytes/7").body, pattern(7), "once they have left there is room again");
    eventually("nothing is held", || proxy.status()["limits"]["buffered"].as_u64() < Some(100_000));
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).with(|config| config.limits.send_timeout = ms(100)).start();
    let mut client = proxy.client();
    client.send("GET /bytes/8000000 HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("given up", || met(&proxy, "send_timeout") == 1);
    let (start, end) = client.rest();
    assert!(start.len() < 8_000_000 && end == End::Reset, "{} {end:?}", start.len());
    block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        // its window is never given back
        let (response, _) = client.start(client.request("GET", "/bytes/8000000"), true).await;
        let response = response.await.expect("a header");
        eventually("given up", || met(&proxy, "send_timeout") == 2);
        assert_eq!(client.get("/bytes/5").await.body, pattern(5), "its neighbours live");
        drop(response);
    });
    assert_eq!(proxy.books()["edges"][0]["client_gone_after"], 2);
    assert_eq!(proxy.status()["limits"]["connections"].as_u64().map(|open| open <= 1), Some(true));
}

#[test]
fn what_a_client_sends_ahead_waits_with_the_client() {
    let (origin, gate) = gated();
    let proxy = Proxy::before(origin.addr).start();
    let mut client = proxy.client();
    client.stream.set_write_timeout(Some(ms(300))).expect("a timeout");
    let request = b"GET /bytes/1 HTTP/1.1\r\nHost: t\r\n\r\n".repeat(1000);
    // until neither kernel takes any more: the first request is not answered yet
    while client.stream.write_all(&request).is_ok() {}
    let buffered = proxy.status()["limits"]["buffered"].as_u64().expect("bytes");
    assert!(buffered <= 200_000, "{buffered}");
    gate.open();
    assert_eq!(client.answer(false).body, pattern(1));
}

#[test]
fn an_upload_that_stalls_on_http_2_ends_with_the_upstreams_time() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).with(|config| config.upstream_timeout = ms(100)).start();
    block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let request = client.request("POST", "/echo").header("content-length", "10");
        let (response, mut body) = client.start(request, false).await;
        body.send_data(bytes::Bytes::from_static(b"hello"), false).expect("taken");
        let outcome = finish(response).await;
        assert_eq!(
            (outcome.status, outcome.headers["squall-error"].as_bytes()),
            (504, b"upstream-failed".as_slice())
        );
    });
    assert_eq!(proxy.books()["edges"][0]["upstream_failed"], 1);
}

#[test]
fn bounds_are_in_the_metrics() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).with(|config| config.limits.max_connections = Some(7)).start();
    let text = proxy.ask_admin("GET", "/metrics", "").text();
    for line in [
        "squall_proxy_max_connections 7",
        "squall_proxy_max_buffered_bytes 256000000",
        "squall_proxy_bounds_met_total{bound=\"header_timeout\"} 0",
        "squall_proxy_bounds_met_total{bound=\"lost_trailers\"} 0",
    ] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
}

/// An origin that answers once the test opens the gate.
fn gated() -> (Origin, Arc<Gate>) {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |request, tcp| {
        wait.pass();
        crate::harness::origin::answer_plainly(request, tcp);
        Then::Keep
    });
    (origin, gate)
}

#[test]
fn a_client_that_stops_sending_is_taken_to_have_left() {
    let (origin, gate) = gated();
    let proxy = Proxy::before(origin.addr).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("forwarded", || origin.count() == 1);
    client.close_write();
    let (rest, _) = client.rest();
    assert!(rest.is_empty());
    gate.open();
    assert_eq!(proxy.books()["edges"][0]["client_gone_after"], 1);
}

const LATE: &str = "[[rule]]\nid = \"late\"\non = \"/late\"\ndelay = \"100ms\"\n";

#[test]
fn a_client_that_stops_sending_is_answered_where_that_is_asked_for() {
    let (origin, gate) = gated();
    let deliver = |config: &mut proxy::Config| config.limits.half_close = proxy::HalfClose::Deliver;
    let proxy = Proxy::before(origin.addr).rules(LATE).with(deliver).start();
    for (n, target) in ["/bytes/100000", "/late"].iter().enumerate() {
        let mut client = proxy.client();
        client.send(format!("POST {target} HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc"));
        client.close_write();
        eventually("forwarded", || origin.count() == n + 1);
        gate.open();
        assert_eq!(client.answer(false).status, 200, "{target}");
        assert_eq!(client.rest(), (Vec::new(), End::Eof), "{target}");
    }
    let mut client = proxy.client();
    client.send("GET /late HTTP/1.1\r\nHost: t\r\n\r\n");
    proxy.await_in_flight(1);
    client.vanish();
    gate.open(); // whether its reset is noticed in time or not
    let books = proxy.books();
    let edge = &books["edges"][0];
    assert_eq!(edge["delivered"], 2);
    assert_eq!(edge["seen"], 3);
}

#[test]
fn a_client_that_says_goodbye_under_tls_is_answered_where_that_is_asked_for() {
    let (origin, gate) = gated();
    let deliver = |config: &mut proxy::Config| config.limits.half_close = proxy::HalfClose::Deliver;
    let proxy = Proxy::before(origin.addr).tls().with(deliver).start();
    let mut client = proxy.identity.as_ref().expect("TLS").client(proxy.addr);
    client.send("GET /bytes/100000 HTTP/1.1\r\nHost: t\r\n\r\n");
    client.stream.conn.send_close_notify();
    client.stream.flush().expect("taken");
    eventually("forwarded", || origin.count() == 1);
    gate.open();
    assert!(client.answer(false).body == pattern(100_000));
    assert_eq!(proxy.books()["edges"][0]["delivered"], 1);
}
