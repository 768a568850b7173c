//! Where in an exchange a delay falls: with the first one of a connection, before the answer's header; add or floor.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::proxy::ms;
use crate::harness::{Client, End, Gate, H2Client, Origin, Proxy, Then, eventually, h2, pattern};

fn rule(id: &str, what: &str) -> String {
    format!("[[rule]]\nid = \"{id}\"\non = \"/f/**\"\n{what}\n")
}

const GET: &str = "GET /f/ HTTP/1.1\r\nHost: t\r\n\r\n";

/// The lines of the ledger, once there are so many.
fn lines(proxy: &Proxy, n: usize) -> Vec<Value> {
    let mut lines = Vec::new();
    eventually("ledger lines", || {
        lines = proxy.ledger();
        n <= lines.len()
    });
    assert_eq!(lines.len(), n, "{lines:?}");
    lines
}

fn took(line: &Value) -> Duration {
    Duration::from_micros(line["actual_us"].as_u64().expect("a time"))
}

#[test]
fn a_slow_connect_is_that_of_the_first_exchange_only() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).rules(&rule("c", "delay = \"150ms at connect\"")).start();
    let mut client = proxy.client();
    let begun = Instant::now();
    let first = client.ask(GET);
    assert!(ms(150) <= begun.elapsed(), "never early");
    assert_eq!(first.header("squall-fault"), Some("c"));
    assert_eq!(client.ask(GET).header("squall-fault"), None);
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let begun = Instant::now();
        assert_eq!(client.get("/f/").await.headers["squall-fault"], "c");
        assert!(ms(150) <= begun.elapsed());
        assert!(!client.get("/f/").await.headers.contains_key("squall-fault"));
    });
    let rule = proxy.rule_books("c");
    assert_eq!((&rule["selected"], &rule["applied"]), (&4.into(), &2.into()));
    assert_eq!(rule["suppressed"]["not_connecting"], 2);
    let mut gone = proxy.client();
    proxy.reload(&rule_of_an_hour("connect"));
    gone.send(GET);
    proxy.await_in_flight(1);
    drop(gone);
    assert_eq!(proxy.books()["edges"][0]["client_gone"], 1, "not forwarded");
    assert_eq!(origin.count(), 4);
}

fn rule_of_an_hour(place: &str) -> String {
    rule("c", &format!("delay = \"1h at {place}\""))
}

#[test]
fn the_answers_header_is_held_back_while_the_upstream_has_done_its_work() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).rules(&rule_of_an_hour("response")).start();
    let mut client = proxy.client();
    client.send("POST /f/ HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello");
    eventually("the upstream has answered", || origin.seen().len() == 1);
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let waiting = tokio::spawn(async move { client.get("/f/").await });
        while origin.seen().len() < 2 {
            tokio::time::sleep(ms(2)).await;
        }
        assert!(!waiting.is_finished(), "it waits");
        proxy.post("/lift/c");
        let outcome = waiting.await.expect("answered");
        assert_eq!((outcome.status, outcome.body.as_slice()), (200, b"ok".as_slice()));
        assert_eq!(outcome.headers["squall-fault"], "c");
    });
    let answer = client.answer(false);
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert_eq!(answer.header("squall-fault"), Some("c"), "it did wait");
    assert_eq!(proxy.books()["edges"][0]["delivered"], 2);
}

#[test]
fn delays_of_a_place_add_up_once_and_each_says_what_it_took() {
    let origin = Origin::plain();
    let rules = rule("a", "delay = \"120ms at response\"")
        + &rule("b", "delay = \"80ms at response\"")
        + &rule("d", "delay = \"60ms\"");
    let proxy = Proxy::before(origin.addr).rules(&rules).start();
    let begun = Instant::now();
    let answer = proxy.get("/f/");
    let elapsed = begun.elapsed();
    assert!(ms(260) <= elapsed, "never early");
    assert_eq!(answer.header("squall-fault"), Some("a, b, d"));
    let lines = lines(&proxy, 3);
    let sum: Duration = lines.iter().map(took).sum();
    assert!(sum <= elapsed, "each its own time, not that of the others: {lines:?}");
    for line in lines {
        let asked = line["asked"].as_str().and_then(|asked| asked.strip_suffix("us")).expect("a time");
        let asked = Duration::from_micros(asked.parse().expect("a number"));
        assert!(asked <= took(&line), "{line}");
    }
}

#[test]
fn a_floor_adds_what_is_missing_and_nothing_else() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |request, tcp| {
        if request.target().ends_with("slow") {
            wait.pass();
        }
        tcp.write_all(&crate::harness::origin::sized(b"ok")).map_or(Then::Close, |()| Then::Keep)
    });
    let proxy = Proxy::before(origin.addr).rules(&rule("floor", "delay = \"at least 200ms\"")).start();
    let begun = Instant::now();
    assert_eq!(proxy.get("/f/").header("squall-fault"), Some("floor"));
    let elapsed = begun.elapsed();
    assert!(ms(200) <= elapsed, "never early");
    let line = lines(&proxy, 1).remove(0);
    assert!(took(&line) <= elapsed);
    assert_eq!(line["asked"], "at least 200000us", "which its own part need not be");
    let mut client = proxy.client();
    client.send("GET /f/slow HTTP/1.1\r\nHost: t\r\n\r\n");
    proxy.await_in_flight(1);
    std::thread::sleep(ms(250));
    gate.open();
    assert_eq!(client.answer(false).header("squall-fault"), None, "late enough by itself");
    let rule = proxy.rule_books("floor");
    assert_eq!((&rule["applied"], &rule["suppressed"]["late_enough"]), (&1.into(), &1.into()));
}

#[test]
fn a_floor_counts_what_other_rules_add() {
    let origin = Origin::plain();
    let rules = rule("floor", "delay = \"at least 50ms\"") + &rule("add", "delay = \"100ms at response\"");
    let proxy = Proxy::before(origin.addr).rules(&rules).start();
    assert_eq!(proxy.get("/f/").header("squall-fault"), Some("add"));
    assert_eq!(proxy.rule_books("floor")["suppressed"]["late_enough"], 1);
}

#[test]
fn an_injected_answer_is_held_back_too() {
    let origin = Origin::plain();
    let proxy =
        Proxy::before(origin.addr).rules(&rule("r", "delay = \"100ms at response\"\nrespond = 503")).start();
    let begun = Instant::now();
    assert_eq!(proxy.get("/f/").status, 503);
    assert!(ms(100) <= begun.elapsed());
    assert_eq!(proxy.rule_books("r")["applied"], 1);
    proxy.reload(&rule("r", "delay = \"1h at response\"\nrespond = 503"));
    let mut client = proxy.client();
    client.send(GET);
    proxy.await_in_flight(1);
    drop(client);
    assert_eq!(proxy.books()["edges"][0]["client_gone"], 1);
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_client_that_leaves_while_its_answer_is_held_back_ends_it() {
    let origin = Origin::start(|_, tcp| {
        let written = tcp.write_all(&crate::harness::origin::sized(&pattern(500_000)));
        written.map_or(Then::Close, |()| Then::Keep)
    });
    let proxy = Proxy::before(origin.addr).rules(&rule_of_an_hour("response")).start();
    for vanish in [false, true] {
        let mut client = proxy.client();
        client.send(GET);
        eventually("held back", || origin.seen().len() == 1 + usize::from(vanish));
        if vanish {
            client.vanish();
        } else {
            drop(client);
        }
        eventually("it lets go", || proxy.status()["in_flight"] == 0);
    }
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let (response, stream) = client.start(client.request("GET", "/f/"), true).await;
        while origin.seen().len() < 3 {
            tokio::time::sleep(ms(2)).await;
        }
        drop((response, stream));
        while proxy.status()["in_flight"] != 0 {
            tokio::time::sleep(ms(2)).await;
        }
        proxy.reload(&rule("other", "delay = \"1ms at response\""));
        assert_eq!(client.get("/f/").await.body, pattern(500_000), "the connection lives");
    });
    let edge = &proxy.books()["edges"][0];
    assert_eq!((&edge["client_gone_after"], &edge["delivered"]), (&3.into(), &1.into()));
    assert_eq!(proxy.rule_books("c")["suppressed"]["client_gone"], 3);
}

#[test]
fn an_upstream_that_dies_before_or_behind_its_header() {
    let origin = Origin::start(|request, tcp| {
        if request.target().ends_with("half") {
            tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").expect("taken");
        }
        Then::Close
    });
    let proxy = Proxy::before(origin.addr).rules(&rule("c", "delay = \"60ms at response\"")).start();
    let answer = proxy.get("/f/none");
    assert_eq!((answer.status, answer.header("squall-error")), (502, Some("upstream-failed")));
    assert_eq!(answer.header("squall-fault"), None, "there was no answer to hold back");
    let begun = Instant::now();
    let mut client = Client::connect(proxy.addr);
    client.send("GET /f/half HTTP/1.1\r\nHost: t\r\n\r\n");
    let head = client.head();
    assert!(ms(60) <= begun.elapsed());
    assert_eq!((head.status, head.header("squall-fault")), (200, Some("c")));
    assert_eq!(client.rest(), (b"half".to_vec(), End::Eof));
    let rule = proxy.rule_books("c");
    assert_eq!((&rule["applied"], &rule["suppressed"]["no_such_point"]), (&1.into(), &1.into()));
    assert_eq!(proxy.books()["edges"][0]["upstream_failed"], 2);
}

#[test]
fn handshakes_and_streams_are_held_back_once_and_flow_then() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |request, tcp| {
        if request.target().ends_with("socket") {
            let hello = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x02hi";
            tcp.write_all(hello).expect("taken");
            return Then::Close;
        }
        tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
            .expect("taken");
        wait.pass();
        tcp.write_all(b"data: 2\n\n").expect("taken");
        Then::Close
    });
    let proxy = Proxy::before(origin.addr).rules(&rule("slow", "delay = \"80ms at response\"")).start();
    let mut client = proxy.client();
    let begun = Instant::now();
    client.send("GET /f/socket HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    let head = client.head();
    assert!(ms(80) <= begun.elapsed());
    assert_eq!((head.status, head.header("squall-fault")), (101, Some("slow")));
    assert_eq!(client.exactly(4), b"\x81\x02hi");
    drop(client);
    let mut client = proxy.client();
    let begun = Instant::now();
    client.send("GET /f/events HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.head().header("squall-fault"), Some("slow"));
    assert!(ms(80) <= begun.elapsed());
    let mut events = Vec::new();
    let mut read_to = |event: &str| {
        while !String::from_utf8_lossy(&events).contains(event) {
            events.extend(client.some());
        }
    };
    read_to("data: 1");
    gate.open(); // the second comes only after the first was here
    read_to("data: 2");
    let rule = proxy.rule_books("slow");
    assert_eq!((&rule["selected"], &rule["applied"]), (&2.into(), &2.into()));
}

#[test]
fn a_grpc_call_is_held_back_and_sent_twice_with_its_trailers_whole() {
    let origin = crate::harness::H2Origin::start(|request, respond| async move {
        let body = h2::whole(request.into_body()).await;
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().expect("a value"));
        h2::answer(respond, body, Some(trailers));
    });
    let rules = rule("slow", "delay = \"60ms at response\"") + &rule("twin", "duplicate = 1");
    let proxy = Proxy::before_url(&format!("h2c://{}", origin.addr)).rules(&rules).start();
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let begun = Instant::now();
        let request = client.request("POST", "/f/Say").header("content-type", "application/grpc");
        let outcome = client.send(request.header("te", "trailers"), pattern(70_000)).await;
        assert!(ms(60) <= begun.elapsed());
        assert_eq!((outcome.status, outcome.body == pattern(70_000)), (200, true));
        assert_eq!(outcome.trailers.expect("trailers")["grpc-status"], "0");
        assert_eq!(outcome.headers["squall-fault"], "slow");
    });
    let edge = proxy.books()["edges"][0].clone();
    assert_eq!((&edge["upstream_attempts"], &edge["storm_copies"]["twin"]), (&2.into(), &1.into()));
    assert_eq!(origin.count(), 2);
}
