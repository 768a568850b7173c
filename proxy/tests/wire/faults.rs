//! Faults before and instead of the upstream: delay, respond, rate_limit, blackhole, storm.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use proxy::Config;
use serde_json::Value;

use crate::harness::origin::answer_plainly;
use crate::harness::proxy::ms;
use crate::harness::{Client, End, Gate, H2Client, Origin, Proxy, Then, eventually, h2, pattern};
use crate::recording::exchanges;

fn rule(id: &str, what: &str) -> String {
    format!("[[rule]]\nid = \"{id}\"\non = \"/f/**\"\n{what}\n")
}

/// The only ledger line.
fn line(proxy: &Proxy) -> Value {
    let mut lines = Vec::new();
    eventually("a ledger line", || {
        lines = proxy.ledger();
        !lines.is_empty()
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

fn us(line: &Value) -> Duration {
    Duration::from_micros(line["actual_us"].as_u64().expect("a time"))
}

#[test]
fn a_delay_is_never_early_and_happens_once_on_a_large_body() {
    let origin = Origin::start(|request, tcp| {
        let _ = request;
        for piece in crate::harness::origin::chunked(&pattern(320_000), 4_000).chunks(4_096) {
            tcp.write_all(piece).expect("taken");
        }
        Then::Keep
    });
    let proxy = Proxy::before(origin.addr).rules(&rule("slow", "delay = \"300ms\"")).start();
    let begun = Instant::now();
    let answer = proxy.get("/f/");
    assert!(ms(300) <= begun.elapsed(), "never early");
    assert!(answer.body == pattern(320_000));
    assert_eq!(answer.header("squall-fault"), Some("slow"));
    assert_eq!(answer.header("squall-error"), None, "the answer is the origin's");
    let line = line(&proxy);
    assert_eq!(
        (&line["action"], &line["asked"], &line["applied"]),
        (&"delay".into(), &"300000us".into(), &true.into())
    );
    assert!(ms(300) <= us(&line) && us(&line) < ms(600), "once: {line}");
}

#[test]
fn delays_of_two_rules_add_up() {
    let origin = Origin::plain();
    let rules = rule("a", "delay = \"120ms\"") + &rule("b", "delay = \"80ms\"");
    let proxy = Proxy::before(origin.addr).rules(&rules).start();
    let begun = Instant::now();
    let answer = proxy.get("/f/");
    assert!(ms(200) <= begun.elapsed(), "never early");
    assert_eq!(answer.header("squall-fault"), Some("a, b"));
    let books = proxy.books();
    for at in 0..2 {
        assert_eq!(books["rules"][at]["applied"], 1);
    }
}

#[test]
fn delay_and_respond_is_a_slow_failure() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).rules(&rule("slow", "delay = \"100ms\"\nrespond = 503")).start();
    let begun = Instant::now();
    let answer = proxy.get("/f/");
    assert!(ms(100) <= begun.elapsed());
    assert_eq!((answer.status, answer.header("squall-fault")), (503, Some("slow")));
    assert_eq!(origin.count(), 0);
    let books = proxy.books();
    assert_eq!(books["edges"][0]["short_circuited"]["slow"], 1);
    assert_eq!((&books["rules"][0]["selected"], &books["rules"][0]["applied"]), (&1.into(), &1.into()));
}

#[test]
fn respond_carries_headers_and_body_and_keeps_the_connection() {
    let origin = Origin::plain();
    let respond = "respond = { status = 418, headers = { x-why = \"chaos\", content-type = \"text/plain\" }, body = \"short and stout\" }";
    let rules = rule("teapot", respond) + "[[rule]]\nid = \"none\"\non = \"/none\"\nrespond = 204\n";
    let proxy = Proxy::before(origin.addr).rules(&rules).start();
    let mut client = proxy.client();
    for _ in 0..2 {
        let answer = client.ask("GET /f/ HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!((answer.status, answer.text().as_str()), (418, "short and stout"));
        assert_eq!((answer.header("x-why"), answer.header("squall-fault")), (Some("chaos"), Some("teapot")));
        assert_eq!(answer.header("squall-error"), Some("injected"));
    }
    let head = client.ask("HEAD /f/ HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!((head.status, head.header("content-length")), (418, Some("15")));
    let none = client.ask("GET /none HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!((none.status, none.header("content-length")), (204, None));
    assert_eq!(
        client.ask("GET /bytes/3 HTTP/1.1\r\nHost: t\r\n\r\n").body,
        pattern(3),
        "the connection lives"
    );
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let outcome = client.get("/f/").await;
        assert_eq!((outcome.status, outcome.body.as_slice()), (418, b"short and stout".as_slice()));
        assert_eq!(outcome.headers["squall-fault"], "teapot");
        assert_eq!(client.send(client.request("POST", "/f/"), pattern(500_000)).await.status, 418);
    });
    assert_eq!(origin.count(), 1);
}

#[test]
fn respond_before_the_request_body_was_read_is_readable() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).rules(&rule("no", "respond = 503")).start();
    let body = pattern(2_000_000);
    let mut client = proxy.client();
    client.send(format!("POST /f/ HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(&body);
    let answer = client.answer(false);
    assert_eq!((answer.status, answer.header("connection")), (503, Some("close")));
    for close in ["", "Connection: close\r\n"].repeat(10) {
        let mut client = proxy.client();
        client.send(format!("POST /f/ HTTP/1.1\r\nHost: t\r\n{close}Content-Length: 2000000\r\n\r\n"));
        let mut writer = client.stream.try_clone().expect("a clone");
        let sent = body.clone();
        let writing = std::thread::spawn(move || writer.write_all(&sent).is_ok());
        assert_eq!(client.head().status, 503, "an answer, not a reset");
        assert!(writing.join().expect("the writer ends"), "all of it was taken");
        assert_eq!(client.rest(), (Vec::new(), End::Eof));
    }
}

#[test]
fn a_rate_limit_grants_exactly_its_burst_and_says_when_to_come_back() {
    let origin = Origin::plain();
    let limit = "rate_limit = { per = \"header x-key\", rate = \"1/10m\", burst = 10, body = \"enough\" }";
    let proxy = Proxy::before(origin.addr).rules(&rule("quota", limit)).start();
    let addr = proxy.addr;
    let ask = move |client: usize| -> Vec<(u16, String, u64)> {
        let mut connection = Client::connect(addr);
        let mut got = Vec::new();
        for key in ["red", "blue"] {
            let answer =
                connection.ask(&format!("GET /f/{client} HTTP/1.1\r\nHost: t\r\nX-Key: {key}\r\n\r\n"));
            let retry = answer.header("retry-after").map_or(0, |value| value.parse().expect("seconds"));
            got.push((answer.status, key.to_owned(), retry));
        }
        got
    };
    let clients: Vec<_> = (0..64).map(|n| std::thread::spawn(move || ask(n))).collect();
    let mut granted = BTreeMap::<String, usize>::new();
    for (status, key, retry) in clients.into_iter().flat_map(|client| client.join().expect("a client")) {
        match status {
            200 => *granted.entry(key).or_default() += 1,
            429 => assert!(
                (540..=600).contains(&retry),
                "a token every 600 s, the first drawn just now: {retry}"
            ),
            other => panic!("{other}"),
        }
    }
    assert_eq!(granted, BTreeMap::from([("blue".to_owned(), 10), ("red".to_owned(), 10)]));
    assert_eq!(origin.count(), 20);
    let books = proxy.books();
    assert_eq!(books["edges"][0]["short_circuited"]["quota"], 108);
    assert_eq!(books["rules"][0]["suppressed"]["within_limit"], 20);
}

#[test]
fn a_blackhole_is_silent_then_resets_and_the_upstream_never_knows() {
    let origin = Origin::plain();
    let rules = rule("hole", "blackhole = \"150ms, then reset\"")
        + "[[rule]]\nid = \"shut\"\non = \"/shut\"\nblackhole = \"50ms, then close\"\n";
    let proxy = Proxy::before(origin.addr).rules(&rules).start();
    for request in [
        "GET /f/ HTTP/1.1\r\nHost: t\r\n\r\n",
        "POST /f/ HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let mut client = proxy.client();
        let begun = Instant::now();
        client.send(request);
        assert_eq!(client.rest(), (Vec::new(), End::Reset));
        assert!(ms(150) <= begun.elapsed());
    }
    let mut client = proxy.client();
    client.send("GET /shut HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.rest(), (Vec::new(), End::Eof));
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let outcome = client.get("/f/").await;
        assert_eq!((outcome.status, outcome.reset), (0, Some(::h2::Reason::INTERNAL_ERROR)));
        assert_eq!(client.get("/bytes/9").await.body, pattern(9), "the connection lives");
    });
    let edge = &proxy.books()["edges"][0];
    assert_eq!((&edge["dropped"]["hole"], &edge["dropped"]["shut"]), (&3.into(), &1.into()));
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_client_that_leaves_a_blackhole_frees_it() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).rules(&rule("hole", "blackhole = \"forever\"")).start();
    let mut clients: Vec<_> = (0..8).map(|_| proxy.client()).collect();
    clients.iter_mut().for_each(|client| client.send("GET /f/ HTTP/1.1\r\nHost: t\r\n\r\n"));
    proxy.await_in_flight(8);
    drop(clients);
    assert_eq!(proxy.books()["edges"][0]["dropped"]["hole"], 8);
}

#[test]
fn a_client_that_leaves_during_a_delay_is_not_forwarded() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).rules(&rule("slow", "delay = \"1h\"")).start();
    let requests = [
        "GET /f/ HTTP/1.1\r\nHost: t\r\n\r\n",
        "POST /f/ HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello",
        "POST /f/ HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ];
    for (at, request) in requests.into_iter().enumerate() {
        for vanish in [false, true] {
            let mut client = proxy.client();
            client.send(request);
            proxy.await_in_flight(1);
            if vanish {
                client.vanish();
            } else {
                drop(client);
            }
            eventually(&format!("request {at} lets go, vanish {vanish}"), || {
                proxy.status()["in_flight"] == 0
            });
        }
    }
    h2::block_on(async {
        for with_body in [false, true] {
            let client = H2Client::connect(proxy.addr).await;
            let (response, mut stream) = client.start(client.request("POST", "/f/"), !with_body).await;
            if with_body {
                stream.send_data(bytes::Bytes::from_static(b"hello"), true).expect("sent");
            }
            while proxy.status()["in_flight"] != 1 {
                tokio::time::sleep(ms(2)).await;
            }
            drop((response, stream));
            while proxy.status()["in_flight"] != 0 {
                tokio::time::sleep(ms(2)).await;
            }
        }
    });
    let edge = &proxy.books()["edges"][0];
    assert_eq!((&edge["client_gone"], &edge["upstream_attempts"]), (&8.into(), &0.into()));
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_request_pipelined_behind_a_sleeper_disturbs_nothing() {
    let origin = Origin::plain();
    let proxy = Proxy::before(origin.addr).rules(&rule("slow", "delay = \"150ms\"")).start();
    let mut client = proxy.client();
    client.send("GET /f/ HTTP/1.1\r\nHost: t\r\n\r\n");
    proxy.await_in_flight(1);
    client.send("GET /bytes/4 HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.answer(false).text(), "ok", "the sleeper is answered");
    assert_eq!(client.answer(false).body, pattern(4), "then the one behind it");
    assert_eq!(proxy.books()["edges"][0]["delivered"], 2);
}

#[test]
fn a_storm_sends_exactly_its_copies_with_their_bodies() {
    let origin = Origin::start(|request, tcp| {
        let status = if request.target().starts_with("/f/bad") { 503 } else { 200 };
        write!(tcp, "HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok").map_or(Then::Close, |()| Then::Keep)
    });
    let storm = "storm = { when = [\"5xx\"], copies = 3, max_amplification = 4.0 }";
    let proxy = Proxy::before(origin.addr).rules(&rule("storm", storm)).start();
    let mut client = proxy.client();
    for n in 0..50 {
        let body = pattern(n * 700);
        let (path, framed) = (if n % 2 == 0 { "/f/bad" } else { "/f/good" }, n % 4 < 2);
        if framed {
            client.send(format!("POST {path}/{n} HTTP/1.1\r\nHost: t\r\nSquall-Op: 00000000000000{n:02x}\r\nContent-Length: {}\r\n\r\n", body.len()));
            client.send(&body);
        } else {
            client.send(format!("POST {path}/{n} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"));
            let chunk = format!("{:x}\r\n", body.len().max(1));
            let data = if body.is_empty() { vec![b'x'] } else { body };
            client.send([chunk.as_bytes(), &data, b"\r\n0\r\n\r\n"].concat());
        }
        let answer = client.answer(false);
        assert_eq!(answer.header("squall-fault"), None, "a storm does not touch the answer");
    }
    let edge = proxy.books()["edges"][0].clone();
    assert_eq!((&edge["storm_copies"]["storm"], &edge["upstream_attempts"]), (&75.into(), &125.into()));
    let seen = origin.seen();
    assert_eq!((seen.len(), origin.count()), (125, 125));
    let mut copies = BTreeMap::<String, Vec<Vec<u8>>>::new();
    for request in seen {
        assert_eq!(request.header("squall-op"), None);
        copies.entry(request.target().to_owned()).or_default().push(request.body);
    }
    for (target, bodies) in copies {
        assert_eq!(bodies.len(), if target.contains("bad") { 4 } else { 1 }, "{target}");
        assert!(bodies.windows(2).all(|two| two[0] == two[1]), "{target}: bodies are byte-equal");
    }
}

#[test]
fn a_storm_stays_below_its_amplification() {
    let origin = Origin::start(|request, tcp| {
        let _ = request;
        tcp.write_all(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n").map_or(Then::Close, |()| Then::Keep)
    });
    let storm = "storm = { when = [\"5xx\"], copies = 10, max_amplification = 2.0 }";
    let proxy = Proxy::before(origin.addr).rules(&rule("storm", storm)).start();
    let mut client = proxy.client();
    (0..40).for_each(|_| drop(client.ask("GET /f/ HTTP/1.1\r\nHost: t\r\n\r\n")));
    proxy.books();
    assert!((41..=80).contains(&origin.count()), "{} requests of 40", origin.count());
}

#[test]
fn a_storm_never_copies_half_a_body() {
    let origin = Origin::start(answer_plainly);
    let storm = "storm = { when = [\"failure\"], copies = 2, max_amplification = 9.0 }";
    let proxy = Proxy::before(origin.addr).rules(&rule("storm", storm)).start();
    let mut client = proxy.client();
    client.send("POST /f/ HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhello");
    eventually("forwarded", || origin.count() == 1);
    drop(client);
    let edge = proxy.books()["edges"][0].clone();
    assert_eq!(edge["client_gone_after"], 1);
    assert_eq!(
        edge["storm_copies"],
        serde_json::json!({}),
        "the whole request is not known, so it has no copy"
    );
    assert_eq!(origin.count(), 1);
}

#[test]
fn squall_headers_stay_between_us_and_the_client() {
    let origin = Origin::start(|_, tcp| {
        let ours = "Squall-Fault: fake\r\nSquall-Fault-Below: fake\r\nSquall-Error: fake\r\nSquall-Op: 1\r\n\
                    Squall-Session: 2\r\nSquall-Attempt: 3";
        write!(tcp, "HTTP/1.1 200 OK\r\n{ours}\r\nContent-Length: 0\r\n\r\n").expect("taken");
        Then::Keep
    });
    let request = "GET / HTTP/1.1\r\nHost: t\r\nSquall-Op: 00000000000000aa\r\nSquall-Session: aaaaaaaa-1-0\r\n\
                   Squall-Attempt: 1\r\nSquall-Fault: x\r\nSquall-Fault-Below: z\r\nSquall-Error: y\r\n\r\n";
    let names = [
        "squall-op",
        "squall-session",
        "squall-attempt",
        "squall-fault",
        "squall-fault-below",
        "squall-error",
    ];
    let all_kept = |config: &mut Config| {
        config.record_replays = true;
        config.record_bodies = "response=full:1KB".parse().expect("a policy");
    };
    let mut strict = Proxy::before(origin.addr).recorded().with(all_kept).start();
    let answer = Client::once(strict.addr, request);
    let open = Proxy::before(origin.addr).recorded().with(all_kept).with(|config| {
        config.pass_squall_headers = true;
        config.trust_upstream_squall = true;
    });
    let mut open = open.start();
    let trusted = Client::once(open.addr, request);
    let seen = origin.seen();
    for name in names {
        assert_eq!(answer.header(name), None, "{name} from the upstream");
        assert_eq!(seen[0].header(name), None, "{name} to the upstream");
        assert!(trusted.header(name).is_some(), "{name} from the upstream, trusted");
        assert!(seen[1].header(name).is_some(), "{name} to the upstream, passed");
    }
    for proxy in [&mut strict, &mut open] {
        proxy.stop();
        let recorded = &exchanges(&proxy.capture())[0];
        let answer = recorded.response.as_ref().expect("an answer");
        let names = recorded.request.headers.iter().chain(answer.headers.iter()).map(|(name, _)| name);
        let names: Vec<_> = names.map(str::to_lowercase).collect();
        assert!(names.contains(&"content-length".to_owned()), "{names:?}");
        assert!(!names.iter().any(|name| name.starts_with("squall-")), "{names:?}");
    }
}

#[test]
fn a_fault_is_named_on_our_own_errors_too() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let proxy = Proxy::before(free).rules(&rule("slow", "delay = \"1ms\"")).start();
    let answer = proxy.get("/f/");
    assert_eq!((answer.status, answer.header("squall-fault")), (502, Some("slow")));
    assert_eq!(answer.header("squall-error"), Some("upstream-unreachable"));
}

#[test]
fn a_touched_exchange_is_never_repeated() {
    // the first answer keeps its connection, which dies under the second request
    let (tell, told) = mpsc::channel();
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |request, tcp| {
        tell.send(request.target().to_owned()).expect("told");
        if request.target().ends_with("die") && request.connection == 0 {
            wait.pass();
            return Then::Close;
        }
        answer_plainly(request, tcp)
    });
    for (path, repeats) in [("/f/die", 0), ("/die", 1)] {
        let proxy = Proxy::before(origin.addr).with(|config| config.threads = 1);
        let proxy = proxy.rules(&rule("slow", "delay = \"1ms\"")).start();
        let mut client = proxy.client();
        drop(client.ask("GET /warm HTTP/1.1\r\nHost: t\r\n\r\n"));
        gate.open();
        let answer = client.ask(&format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let edge = proxy.books()["edges"][0].clone();
        if path == "/f/die" {
            assert_eq!((answer.status, edge["proxy_repeats"].as_u64()), (502, Some(repeats)));
        }
        while told.try_recv().is_ok() {}
    }
}
