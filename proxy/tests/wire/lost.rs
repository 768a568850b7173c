//! Answers that the client never gets although the upstream has given them, and connections that are told to go away.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::harness::h2::block_on;
use crate::harness::proxy::ms;
use crate::harness::ways::{http2, read_http2};
use crate::harness::{
    CLEAR, Client, End, Gate, H2Client, How, Origin, Proxy, Then, Way, eventually, pattern,
};
use crate::shapes::{each_way, origin, rule};

#[test]
fn the_answer_is_lost_and_the_origin_has_committed() {
    let origin = origin();
    let mut asked = 0;
    for (how, end) in [("reset", None), ("close", Some((How::Short, How::Stream(8))))] {
        each_way(&origin, &rule(&format!("drop_response = \"{how}\"")), |way, proxy| {
            let end = end.map_or(way.reset(), |(http1, http2)| if way.is_http2() { http2 } else { http1 });
            for target in ["/f/bytes/100000", "/f/chunked/100000", "/f/status/503", "/f/bytes/0"] {
                let seen = way.get(proxy, target);
                assert_eq!((seen.status, seen.body.len(), seen.end), (0, 0, end), "{way:?} {target}");
            }
            let seen = way.ask(proxy, "POST", "/f/echo", Some(pattern(50_000)));
            assert_eq!((seen.status, seen.end), (0, end), "{way:?}");
            if way.is_http2() {
                let books = proxy.books();
                let edge = &books["edges"][0];
                assert_eq!(
                    (&edge["cut"]["f"], &edge["upstream_attempts"], &edge["ambiguous"]),
                    (&10.into(), &10.into(), &0.into())
                );
                assert_eq!(books["rules"][0]["applied"], 10);
            }
        });
        asked += 20;
        assert_eq!(origin.count(), asked);
    }
    assert!(
        origin.seen().iter().filter(|seen| seen.method() == "POST").all(|seen| seen.body == pattern(50_000))
    );
}

#[test]
fn only_answers_of_the_asked_status_are_lost_and_connections_live_on() {
    let origin = origin();
    let rules = "[[rule]]\nid = \"f\"\non = \"/f/** -> 5xx\"\ndrop_response = \"reset\"\n";
    each_way(&origin, rules, |way, proxy| {
        assert_eq!(way.get(proxy, "/f/bytes/100000").body, pattern(100_000));
        assert_eq!(way.get(proxy, "/f/status/503").end, way.reset());
    });
    let proxy = Proxy::before(origin.addr).rules(rules).start();
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(
            client.ask("GET /f/bytes/10 HTTP/1.1\r\nHost: t\r\n\r\n").body,
            pattern(10),
            "one connection"
        );
    }
    client.send("GET /f/status/503 HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.rest(), (Vec::new(), End::Reset));
}

#[test]
fn another_answer_stands_in_for_the_lost_one() {
    let origin = origin();
    each_way(
        &origin,
        &rule("drop_response = { respond = { status = 503, body = \"lost\" } }"),
        |way, proxy| {
            let seen = way.get(proxy, "/f/bytes/100000");
            assert_eq!(
                (seen.status, seen.body.as_slice(), seen.end),
                (503, b"lost".as_slice(), How::Whole),
                "{way:?}"
            );
            assert_eq!(seen.fault.as_deref(), Some("f"));
            let head = way.ask(proxy, "HEAD", "/f/bytes/0", None);
            assert_eq!(head.status, 503, "{way:?}");
        },
    );
}

#[test]
fn the_client_waits_in_vain() {
    let origin = origin();
    each_way(&origin, &rule("drop_response = \"80ms, then reset\""), |way, proxy| {
        let seen = way.get(proxy, "/f/bytes/1000");
        assert_eq!((seen.status, seen.end), (0, way.reset()));
        assert!(ms(80) <= seen.took);
    });
    // until it leaves, or the rule is removed: what is lost stays lost
    let proxy = Proxy::before(origin.addr).rules(&rule("drop_response = \"blackhole\"")).start();
    let mut leaves = proxy.client();
    leaves.send("GET /f/bytes/1000 HTTP/1.1\r\nHost: t\r\n\r\n");
    proxy.await_in_flight(1);
    eventually("the origin has answered", || origin.count() == 5);
    drop(leaves);
    proxy.await_in_flight(0);
    std::thread::scope(|scope| {
        let asked: Vec<_> = CLEAR
            .map(|way| {
                scope.spawn({
                    let proxy = &proxy;
                    move || way.get(proxy, "/f/bytes/1000")
                })
            })
            .into();
        proxy.await_in_flight(2);
        proxy.reload("");
        asked.into_iter().for_each(|seen| assert_eq!(seen.join().expect("seen").status, 0));
    });
    let edge = &proxy.books()["edges"][0];
    // the one that left may have done so before the answer had come as far as the proxy
    let ended = |row: &serde_json::Value| row.as_u64().unwrap_or(0);
    assert!(2 <= ended(&edge["cut"]["f"]), "{edge}");
    assert_eq!(ended(&edge["cut"]["f"]) + ended(&edge["client_gone_after"]), 3, "{edge}");
}

#[test]
fn an_answer_that_its_upstream_does_not_finish_is_lost_all_the_same() {
    let origin = Origin::start(|request, tcp| {
        if request.target() == "/f/half" {
            tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").expect("taken");
        }
        Then::Close
    });
    let proxy = Proxy::before(origin.addr).rules(&rule("drop_response = \"reset\"")).start();
    for way in CLEAR {
        assert_eq!(way.get(&proxy, "/f/half").end, way.reset());
        let none = way.get(&proxy, "/f/none");
        assert_eq!((none.status, none.fault), (502, None), "there was nothing to lose");
    }
    let books = proxy.books();
    assert_eq!(
        (&books["edges"][0]["cut"]["f"], &books["edges"][0]["upstream_failed"]),
        (&2.into(), &2.into())
    );
    assert_eq!(books["rules"][0]["suppressed"]["no_such_point"], 2);
}

#[test]
fn upgrades_are_not_lost() {
    let origin = Origin::start(|_, tcp| {
        tcp.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello",
        )
        .expect("taken");
        Then::Close
    });
    let proxy = Proxy::before(origin.addr).rules(&rule("drop_response = \"reset\"")).start();
    let mut client = proxy.client();
    client.send("GET /f/x HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!((client.head().status, client.exactly(5)), (101, b"hello".to_vec()));
    drop(client);
    proxy.books();
    assert_eq!(proxy.rule_books("f")["suppressed"]["wrong_protocol"], 1);
}

/// The origin holds every answer behind `/held` back, inside its body.
fn held_origin(gate: &std::sync::Arc<Gate>) -> Origin {
    let wait = gate.clone();
    Origin::start(move |request, tcp| {
        if request.target() == "/held" {
            tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc").expect("taken");
            wait.pass();
            return tcp.write_all(b"def").map_or(Then::Close, |()| Then::Keep);
        }
        tcp.write_all(&crate::harness::origin::sized(&pattern(9_000))).map_or(Then::Close, |()| Then::Keep)
    })
}

async fn in_flight(proxy: &Proxy, n: i64) {
    while proxy.status()["in_flight"] != n {
        tokio::time::sleep(ms(2)).await;
    }
}

#[test]
fn a_graceful_goaway_lets_what_is_under_way_finish() {
    for tls in [false, true] {
        let gate = Gate::new();
        let origin = held_origin(&gate);
        let plan = Proxy::before(origin.addr).rules(&rule("goaway = \"graceful\"").replace("/f/**", "/f"));
        let (proxy, way) = if tls { (plan.tls().start(), Way::Http2Tls) } else { (plan.start(), Way::Http2) };
        block_on(async {
            let client = way.h2(&proxy).await;
            let (held, _) = client.start(client.request("GET", "/held"), true).await;
            let held = tokio::spawn(read_http2(held, Instant::now()));
            in_flight(&proxy, 1).await;
            let seen = http2(&client, "GET", "/f", None).await;
            assert_eq!((seen.body.len(), seen.end), (9_000, How::Whole));
            refused(&client).await;
            gate.open();
            let held = held.await.expect("seen");
            assert_eq!((held.body.as_slice(), held.end), (b"abcdef".as_slice(), How::Whole));
        });
        let books = proxy.books();
        assert_eq!((&books["edges"][0]["delivered"], &books["rules"][0]["applied"]), (&2.into(), &1.into()));
    }
}

/// New streams are not taken any more, once the client has read the GOAWAY.
async fn refused(client: &H2Client) {
    while client.is_open().await {
        tokio::time::sleep(ms(2)).await;
    }
}

#[test]
fn an_abrupt_goaway_ends_the_connection_and_the_books_say_by_whom() {
    for tls in [false, true] {
        let gate = Gate::new();
        let origin = held_origin(&gate);
        let rules = rule("goaway = \"ENHANCE_YOUR_CALM\"").replace("/f/**", "/f")
            + "[[rule]]\nid = \"slow\"\non = \"/slow\"\ndelay = \"1h\"\n";
        let plan = Proxy::before(origin.addr).rules(&rules).recorded();
        let (mut proxy, way) =
            if tls { (plan.tls().start(), Way::Http2Tls) } else { (plan.start(), Way::Http2) };
        block_on(async {
            let client = way.h2(&proxy).await;
            let start = async |target| client.start(client.request("GET", target), true).await.0;
            let held = tokio::spawn(read_http2(start("/held").await, Instant::now()));
            let slow = tokio::spawn(read_http2(start("/slow").await, Instant::now()));
            in_flight(&proxy, 2).await;
            let response = start("/f").await;
            let error = response.await.expect_err("its header is not sent");
            // Of a stream that the GOAWAY says was taken the crate tells only that the connection broke; the code is the
            // connection's.
            assert!(error.is_io(), "{error:?}");
            let error = client.why_closed().await;
            assert_eq!((error.is_go_away(), error.reason()), (true, Some(h2::Reason::ENHANCE_YOUR_CALM)));
            for neighbour in [held, slow] {
                assert_ne!(neighbour.await.expect("seen").end, How::Whole);
            }
        });
        gate.open();
        let edge = proxy.books()["edges"][0].clone();
        assert_eq!(
            (&edge["cut"]["f"], &edge["dropped"]["f"], &edge["client_gone"]),
            (&2.into(), &1.into(), &0.into()),
            "{edge}"
        );
        proxy.stop();
        let recorded: Vec<_> =
            captures::Reader::open(proxy.capture()).expect("a capture").exchanges().collect();
        let faults = recorded.iter().map(|exchange| exchange.as_ref().expect("whole").faults.join(","));
        assert!(faults.into_iter().all(|faults| faults.contains('f')), "what a fault touched says so");
    }
}

/// A whole request: GET and the scheme from HPACK's static table, then literals for path and authority.
fn request(stream: u8, path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).expect("short")];
    block.extend_from_slice(path.as_bytes());
    block.extend_from_slice(&[0x01, 1, b't']);
    frame(1, 0x5, stream, &block)
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// The last frame of those.
fn last_frame(mut bytes: &[u8]) -> &[u8] {
    loop {
        let len = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize + 9;
        if bytes.len() <= len {
            return bytes;
        }
        bytes = &bytes[len..];
    }
}

#[test]
fn an_abrupt_goaway_is_the_last_that_a_client_reads_which_still_sends() {
    let origin = origin();
    let rules = rule("goaway = \"ENHANCE_YOUR_CALM\"");
    let hello = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[]),
        request(1, "/bytes/10"),
        request(3, "/f/bytes/10"),
    ]
    .concat();
    // the stream that was taken last, and ENHANCE_YOUR_CALM
    let goaway = frame(7, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0xb]);
    let pings = frame(6, 0, 0, b"are you?").repeat(100);
    let clear = Proxy::before(origin.addr).rules(&rules).start();
    let mut client = clear.client();
    client.send(&hello);
    let mut writer = client.stream.try_clone().expect("a handle");
    let over = AtomicBool::new(false);
    let (bytes, end) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                if writer.write_all(&pings).is_err() {
                    return;
                }
            }
        });
        let rest = client.rest();
        over.store(true, Ordering::SeqCst);
        rest
    });
    assert_eq!((last_frame(&bytes), end), (goaway.as_slice(), End::Eof));
    let tls = Proxy::before(origin.addr).rules(&rules).tls().start();
    let mut client = tls.identity.as_ref().expect("TLS").client_of(tls.addr, b"h2");
    client.send([hello, pings.repeat(20)].concat());
    let (bytes, end) = client.rest();
    assert_eq!((last_frame(&bytes), end), (goaway.as_slice(), End::Eof));
    for proxy in [clear, tls] {
        let edge = &proxy.books()["edges"][0];
        assert!(1 <= edge["cut"]["f"].as_u64().unwrap_or(0), "{edge}");
        assert_eq!(edge["client_gone"], 0, "{edge}");
    }
}

#[test]
fn on_http_1_the_connection_closes_after_the_answer() {
    let gate = Gate::new();
    let origin = held_origin(&gate);
    for code in ["graceful", "INTERNAL_ERROR"] {
        let proxy = Proxy::before(origin.addr)
            .rules(&rule(&format!("goaway = \"{code}\"")).replace("/f/**", "/f"))
            .start();
        let mut client = proxy.client();
        assert_eq!(client.ask("GET /x HTTP/1.1\r\nHost: t\r\n\r\n").body, pattern(9_000));
        let answer = client.ask("GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(
            (answer.body.len(), answer.header("connection")),
            (9_000, Some("close")),
            "{}",
            answer.head
        );
        assert_eq!(client.rest(), (Vec::new(), End::Eof));
        let books = proxy.books();
        assert_eq!((&books["edges"][0]["delivered"], &books["rules"][0]["applied"]), (&2.into(), &1.into()));
    }
}

#[test]
fn nobody_is_told_to_go_away_who_left_before() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |_, _| {
        wait.pass();
        Then::Close
    });
    for fault in ["goaway = \"graceful\"", "goaway = 11", "drop_response = \"reset\""] {
        let proxy = Proxy::before(origin.addr).rules(&rule(fault)).start();
        let mut client = Client::connect(proxy.addr);
        client.send("GET /f/x HTTP/1.1\r\nHost: t\r\n\r\n");
        proxy.await_in_flight(1);
        drop(client);
        proxy.await_in_flight(0);
        block_on(async {
            let client = Way::Http2.h2(&proxy).await;
            let (response, _) = client.start(client.request("GET", "/f/x"), true).await;
            in_flight(&proxy, 1).await;
            drop(response);
            in_flight(&proxy, 0).await;
        });
        let books = proxy.books();
        assert_eq!(books["edges"][0]["client_gone_after"], 2, "{fault}");
        assert_eq!(books["rules"][0]["suppressed"]["client_gone"], 2, "{fault}");
        (0..2).for_each(|_| gate.open());
    }
}
