//! Copies beside an exchange: duplicates, storms; counted exactly, byte for byte.

use std::collections::HashMap;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::harness::origin::{Request, answer_plainly};
use crate::harness::proxy::ms;
use crate::harness::{Client, Gate, H2Client, Origin, Proxy, Then, eventually, h2, pattern};

const DUPLICATE: &str = "[[rule]]\nid = \"twin\"\non = \"/f/**\"\nduplicate = 2\n";

fn storm(more: &str) -> String {
    format!(
        "[[rule]]\nid = \"storm\"\non = \"/f/**\"\nstorm = {{ when = [\"2xx\"], copies = 3, {more}max_amplification = 4.0 }}\n"
    )
}

/// The body of a request by its number: lengths from nothing to beyond what one read gives.
fn body(n: usize) -> Vec<u8> {
    pattern(if n.is_multiple_of(500) { 100_000 } else { n % 3_000 })
}

/// Over both protocols, so many requests each, every one answered.
fn ask(proxy: &Proxy, requests: usize) {
    let addr = proxy.addr;
    let clients: Vec<_> = (0..4)
        .map(|client| {
            std::thread::spawn(move || {
                let mut connection = Client::connect(addr);
                for n in (client..requests).step_by(4) {
                    let body = body(n);
                    let head = format!(
                        "POST /f/1/{n} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n",
                        body.len()
                    );
                    connection.send([head.as_bytes(), &body].concat());
                    let answer = connection.answer(false);
                    assert_eq!((answer.status, answer.header("squall-fault")), (200, None));
                }
            })
        })
        .collect();
    h2::block_on(async {
        let client = H2Client::connect(addr).await;
        let mut streams = tokio::task::JoinSet::new();
        for n in 0..requests {
            if streams.len() == 32 {
                streams.join_next().await.expect("a stream").expect("answered");
            }
            let client = client.clone();
            streams.spawn(async move {
                let outcome = client.send(client.request("POST", &format!("/f/2/{n}")), body(n)).await;
                assert_eq!((outcome.status, outcome.reset), (200, None));
            });
        }
        streams.join_all().await;
    });
    clients.into_iter().for_each(|client| client.join().expect("a client"));
}

/// Every request came so many times, each time with the same bytes.
fn check_each(seen: Vec<Request>, times: usize, requests: usize) {
    let mut counts = HashMap::<String, usize>::new();
    for request in seen {
        let n: usize = request.target().rsplit('/').next().and_then(|n| n.parse().ok()).expect("a number");
        assert!(request.body == body(n), "{} has the bytes of the first", request.target());
        *counts.entry(request.target().to_owned()).or_default() += 1;
    }
    assert_eq!(counts.len(), requests);
    assert!(counts.values().all(|count| *count == times), "{counts:?}");
}

#[test]
fn duplicates_are_counted_exactly_over_ten_thousand_requests() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).rules(DUPLICATE).start();
    ask(&proxy, 5_000);
    let edge = proxy.books()["edges"][0].clone();
    assert_eq!((&edge["storm_copies"]["twin"], &edge["upstream_attempts"]), (&20_000.into(), &30_000.into()));
    assert_eq!((&edge["delivered"], &edge["ambiguous"]), (&10_000.into(), &0.into()));
    assert_eq!((origin.count(), &proxy.rule_books("twin")["applied"]), (30_000, &10_000.into()));
    check_each(origin.seen(), 3, 10_000);
}

#[test]
fn storms_are_counted_exactly_over_ten_thousand_requests() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).rules(&storm("")).start();
    ask(&proxy, 5_000);
    let edge = proxy.books()["edges"][0].clone();
    assert_eq!(
        (&edge["storm_copies"]["storm"], &edge["upstream_attempts"]),
        (&30_000.into(), &40_000.into())
    );
    assert_eq!((&edge["delivered"], &edge["ambiguous"]), (&10_000.into(), &0.into()));
    assert_eq!(origin.count(), 40_000);
    check_each(origin.seen(), 4, 10_000);
}

#[test]
fn a_duplicate_goes_out_when_the_request_is_whole_and_not_when_it_is_answered() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |request, tcp| {
        wait.pass();
        answer_plainly(request, tcp)
    });
    let proxy = Proxy::before(origin.addr).rules(DUPLICATE).start();
    let mut client = proxy.client();
    client.send("POST /f/ HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhel");
    eventually("its header is there", || origin.count() == 1);
    assert_eq!(proxy.status()["in_flight"], 1, "half a request has no copies");
    client.send("lo");
    eventually("all three are there", || origin.seen().len() == 3);
    (0..3).for_each(|_| gate.open());
    assert_eq!(client.answer(false).status, 200);
    client.send("GET /f/ HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("one without a body too", || origin.seen().len() == 6);
    (0..3).for_each(|_| gate.open());
    assert_eq!(client.answer(false).status, 200);
    assert!(origin.seen()[..3].iter().all(|request| request.body == b"hello"));
    assert_eq!(proxy.books()["edges"][0]["storm_copies"]["twin"], 4);
}

#[test]
fn copies_wait_their_time_and_are_called_off_with_their_rule() {
    let origin = Origin::plain();
    let rules = |copies: &str| format!("[[rule]]\nid = \"c\"\non = \"/f/**\"\n{copies}\n");
    let duplicate = |after: &str| rules(&format!("duplicate = {{ copies = 3, after = \"{after}\" }}"));
    let backoff = |first: &str| {
        rules(&format!(
            "storm = {{ when = [\"2xx\"], copies = 3, backoff = \"{first} x2\", max_amplification = 9.0 }}"
        ))
    };
    for (copies, least) in [(duplicate("40ms"), ms(120)), (backoff("30ms"), ms(210))] {
        let proxy = Proxy::before(origin.addr).rules(&copies).start();
        let (before, begun) = (origin.count(), Instant::now());
        assert_eq!(proxy.get("/f/").status, 200);
        eventually("the last copy", || origin.count() == before + 4);
        assert!(least <= begun.elapsed(), "never early");
        assert_eq!(proxy.books()["edges"][0]["storm_copies"]["c"], 3);
    }
    for copies in [duplicate("1h"), backoff("1h")] {
        let mut proxy = Proxy::before(origin.addr).rules(&copies).start();
        let before = origin.count();
        assert_eq!(proxy.get("/f/").status, 200);
        eventually("its copies wait", || proxy.status()["in_flight"] == 3);
        proxy.reload("[[rule]]\nid = \"other\"\non = \"/other\"\nrespond = 500\n");
        assert_eq!(proxy.books()["edges"][0]["storm_copies"], serde_json::json!({}));
        proxy.reload(&copies);
        assert_eq!(proxy.get("/f/").status, 200);
        let books = proxy.stop();
        assert_eq!((books.unfinished, origin.count() - before), (0, 2), "a stop does not wait for them");
    }
}

#[test]
fn clients_that_leave_and_bodies_too_large_have_the_copies_that_they_can_have() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).rules(DUPLICATE).with(|config| config.body_limit = 1000).start();
    let mut client = proxy.client();
    client.send("POST /f/ HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhello");
    eventually("forwarded", || origin.count() == 1);
    drop(client);
    assert_eq!(proxy.books()["edges"][0]["storm_copies"], serde_json::json!({}), "it was never whole");
    let mut client = proxy.client();
    client.send(format!("POST /f/ HTTP/1.1\r\nHost: t\r\nContent-Length: 1001\r\n\r\n{}", "x".repeat(1001)));
    assert_eq!(client.answer(false).status, 200);
    let rule = proxy.rule_books("twin");
    assert_eq!(
        (&rule["suppressed"]["client_gone"], &rule["suppressed"]["body_not_kept"]),
        (&1.into(), &1.into())
    );
    assert_eq!(origin.count(), 2);
}

#[test]
fn an_upstream_that_dies_has_copies_all_the_same_and_the_books_say_what_is_unknown() {
    let origin = Origin::start(|_, _| Then::Reset);
    let proxy = Proxy::before(origin.addr).rules(DUPLICATE).start();
    let answer = proxy.get("/f/");
    assert_eq!((answer.status, answer.header("squall-error")), (502, Some("upstream-failed")));
    let edge = proxy.books()["edges"][0].clone();
    let attempts = edge["upstream_attempts"].as_u64().expect("n") as usize;
    assert!((1..=3).contains(&attempts), "{edge}");
    assert!(origin.count() <= attempts && edge["ambiguous"] == attempts, "{edge}");
    let nobody = Proxy::before(crate::harness::origin::nobody()).rules(DUPLICATE).start();
    assert_eq!(nobody.get("/f/").status, 502);
    assert_eq!(nobody.rule_books("twin")["suppressed"]["not_set_off"], 1);
    assert_eq!(nobody.books()["edges"][0]["upstream_attempts"], 0);
}

#[test]
fn the_client_gets_the_answer_to_its_own_request() {
    let origin = Origin::start(|request, tcp| {
        // copies come on connections of their own, and are told something else
        let answer = if request.connection == 0 { "own" } else { "copy" };
        let written = write!(tcp, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
        written.map_or(Then::Close, |()| Then::Keep)
    });
    let proxy = Proxy::before(origin.addr).with(|config| config.threads = 1).rules(DUPLICATE).start();
    let mut client = proxy.client();
    assert_eq!(client.ask("GET /warm HTTP/1.1\r\nHost: t\r\n\r\n").text(), "own");
    assert_eq!(client.ask("GET /f/ HTTP/1.1\r\nHost: t\r\n\r\n").text(), "own");
    assert_eq!(proxy.books()["edges"][0]["storm_copies"]["twin"], 2);
    assert_eq!(origin.count(), 4);
}

#[test]
fn a_websocket_handshake_has_no_copies() {
    let origin = Origin::start(|_, tcp| {
        let _ = tcp.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        );
        Then::Close
    });
    let proxy = Proxy::before(origin.addr).rules(DUPLICATE).start();
    let mut client = proxy.client();
    client.send("GET /f/ HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    assert_eq!(client.head().status, 101);
    drop(client);
    assert_eq!(proxy.rule_books("twin")["suppressed"]["wrong_protocol"], 1);
    assert_eq!(origin.count(), 1);
}

#[test]
fn the_time_between_copies_counts_from_the_whole_request() {
    let origin = Origin::plain();
    let rules = "[[rule]]\nid = \"c\"\non = \"/f/**\"\nduplicate = { copies = 1, after = \"100ms\" }\n";
    let proxy = Proxy::before(origin.addr).rules(rules).start();
    let mut client = proxy.client();
    client.send("POST /f/ HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhel");
    eventually("its header is there", || origin.count() == 1);
    std::thread::sleep(Duration::from_millis(150));
    let begun = Instant::now();
    client.send("lo");
    assert_eq!(client.answer(false).status, 200);
    eventually("the copy", || origin.count() == 2);
    assert!(ms(100) <= begun.elapsed());
    proxy.books();
}

#[test]
fn a_copy_over_http_2_ends_where_its_request_did() {
    let ends = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = ends.clone();
    let origin = crate::harness::H2Origin::start(move |request, respond| {
        let seen = seen.clone();
        async move {
            let with_its_header = request.body().is_end_stream();
            let body = crate::harness::h2::whole(request.into_body()).await;
            seen.lock().expect("seen").push((with_its_header, body.len()));
            crate::harness::h2::answer(respond, Vec::new(), None);
        }
    });
    let proxy = Proxy::before_url(&format!("h2c://{}", origin.addr)).rules(DUPLICATE).start();
    let mut client = proxy.client();
    for (body, expected) in [("", (true, 0)), ("hello", (false, 5))] {
        client.send(format!("POST /f/ HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        assert_eq!(client.answer(false).status, 200);
        proxy.books();
        assert_eq!(std::mem::take(&mut *ends.lock().expect("seen")), vec![expected; 3], "{body}");
    }
}
