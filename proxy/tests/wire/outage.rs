//! A group of upstreams is dark, and perhaps another takes over.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::harness::client::Answer;
use crate::harness::proxy::{Plan, ms};
use crate::harness::{Client, End, H2Client, Origin, Proxy, Then, eventually, h2, pattern};

const GET: &str = "GET /f/ HTTP/1.1\r\nHost: t\r\n\r\n";

fn dark(eu: &Origin, what: &str) -> String {
    format!(
        "[group.eu]\nmembers = [\"{}\"]\n[[rule]]\nid = \"dark\"\non = \"/f/** group eu\"\n{what}\n",
        eu.addr
    )
}

fn before(eu: &Origin, what: &str) -> Plan {
    Proxy::before(eu.addr).rules(&dark(eu, what))
}

fn with_us(us: &Origin, rules: &str) -> String {
    format!("[group.us]\nmembers = [\"{}\"]\n{rules}", us.addr)
}

fn is_injected(answer: &Answer) -> bool {
    (answer.header("squall-error"), answer.header("squall-fault")) == (Some("injected"), Some("dark"))
}

#[test]
fn a_group_that_refuses_is_a_bad_gateway_at_once() {
    let (eu, us) = (Origin::named("eu"), Origin::named("us"));
    let proxy = before(&eu, "outage = \"refuse\"").and(us.addr).start();
    let mut client = proxy.client();
    let (mut refused, mut answered) = (0, 0);
    for op in 0..40 {
        let answer = client.ask(&format!("GET /f/ HTTP/1.1\r\nHost: t\r\nSquall-Op: {op:016x}\r\n\r\n"));
        match answer.status {
            502 => refused += usize::from(is_injected(&answer)),
            _ => answered += usize::from(answer.text() == "us"),
        }
    }
    assert!(refused + answered == 40 && 0 < refused && 0 < answered, "{refused} {answered}");
    let proxy = before(&eu, "outage = \"refuse\"").start();
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let outcome = client.send(client.request("POST", "/f/"), pattern(300_000)).await;
        assert_eq!(
            (outcome.status, outcome.headers["squall-error"].as_bytes()),
            (502, b"injected".as_slice())
        );
        assert_eq!(client.get("/g").await.status, 200, "the connection lives");
    });
    assert_eq!((eu.count(), proxy.books()["edges"][0]["short_circuited"]["dark"].clone()), (1, 1.into()));
}

#[test]
fn a_group_that_resets_takes_its_clients_with_it() {
    let eu = Origin::named("eu");
    let proxy = before(&eu, "outage = \"reset\"").start();
    let mut old = proxy.client();
    assert_eq!(old.ask("GET /g HTTP/1.1\r\nHost: t\r\n\r\n").text(), "eu");
    old.send(GET);
    assert_eq!(old.rest(), (Vec::new(), End::Reset), "on a connection that lived before");
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let outcome = client.get("/f/").await;
        assert_eq!((outcome.status, outcome.reset), (0, Some(::h2::Reason::INTERNAL_ERROR)));
        assert_eq!(client.get("/g").await.status, 200, "its neighbours are untouched");
    });
    assert_eq!((eu.count(), proxy.books()["edges"][0]["dropped"]["dark"].clone()), (2, 2.into()));
}

#[test]
fn silence_ends_when_connecting_has_taken_too_long() {
    let eu = Origin::named("eu");
    let proxy = before(&eu, "outage = \"blackhole\"").with(|config| config.connect_timeout = ms(200)).start();
    let begun = Instant::now();
    let answer = proxy.get("/f/");
    assert!(ms(200) <= begun.elapsed() && answer.status == 504 && is_injected(&answer), "{}", answer.head);
    let body = pattern(2_000_000);
    let mut client = proxy.client();
    client.send(format!("POST /f/ HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(&body);
    assert_eq!(client.answer(false).status, 504, "though nobody read its body");
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let begun = Instant::now();
        assert_eq!(client.get("/f/").await.status, 504);
        assert!(ms(200) <= begun.elapsed());
    });
    assert_eq!((eu.count(), proxy.books()["edges"][0]["short_circuited"]["dark"].clone()), (0, 3.into()));
}

#[test]
fn what_waits_in_silence_goes_on_when_the_outage_is_lifted_removed_or_over() {
    let eu = Origin::plain();
    for end in ["lift", "remove", "window"] {
        let window = if end == "window" { "when = \"..1500ms\"\n" } else { "" };
        let proxy = before(&eu, &format!("{window}outage = \"blackhole\""));
        let proxy = proxy.with(|config| config.connect_timeout = Duration::from_secs(3600)).start();
        let before = eu.count();
        let mut get = proxy.client();
        get.send(GET);
        let mut post = proxy.client();
        post.send("POST /f/ HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello");
        h2::block_on(async {
            let client = H2Client::connect(proxy.addr).await;
            let stream = tokio::spawn(async move { client.get("/f/").await });
            while end != "window" && proxy.status()["in_flight"] != 3 {
                tokio::time::sleep(ms(2)).await;
            }
            match end {
                "lift" => proxy.post("/lift/dark"),
                "remove" => proxy.reload("[[rule]]\nid = \"other\"\non = \"/other\"\nrespond = 500\n"),
                _ => {}
            }
            assert_eq!(stream.await.expect("it goes on").status, 200, "{end}");
        });
        assert_eq!((get.answer(false).status, post.answer(false).status), (200, 200), "{end}");
        assert_eq!(eu.count() - before, 3);
        assert_eq!(proxy.books()["edges"][0]["delivered"], 3);
    }
}

#[test]
fn a_client_that_leaves_the_silence_frees_it() {
    let eu = Origin::plain();
    let proxy = before(&eu, "outage = \"blackhole\"");
    let proxy = proxy.with(|config| config.connect_timeout = Duration::from_secs(3600)).start();
    let mut clients: Vec<_> = (0..8).map(|_| proxy.client()).collect();
    clients.iter_mut().for_each(|client| client.send(GET));
    proxy.await_in_flight(8);
    clients.into_iter().enumerate().for_each(|(at, client)| {
        if at % 2 == 0 {
            client.vanish();
        }
    });
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let (response, stream) = client.start(client.request("GET", "/f/"), true).await;
        while proxy.status()["in_flight"] != 1 {
            tokio::time::sleep(ms(2)).await;
        }
        drop((response, stream));
        while proxy.status()["in_flight"] != 0 {
            tokio::time::sleep(ms(2)).await;
        }
    });
    assert_eq!(proxy.books()["edges"][0]["dropped"]["dark"], 9);
    assert_eq!(eu.count(), 0);
}

#[test]
fn an_outage_is_judged_when_the_exchange_is_carried_out() {
    let eu = Origin::plain();
    let slow = "[[rule]]\nid = \"slow\"\non = \"/f/**\"\ndelay = \"1s\"\n";
    let later = before(&eu, &format!("when = \"700ms..\"\noutage = \"refuse\"\n{slow}")).start();
    let answer = later.get("/f/");
    assert_eq!((answer.status, answer.header("squall-fault")), (502, Some("dark, slow")));
    let over = before(&eu, &format!("when = \"..700ms\"\noutage = \"refuse\"\n{slow}")).start();
    let answer = over.get("/f/");
    assert_eq!((answer.status, answer.header("squall-fault")), (200, Some("slow")));
    assert_eq!(over.rule_books("dark")["suppressed"]["window"], 1);
}

#[test]
fn another_group_takes_over_and_gives_back() {
    let (eu, us) = (Origin::named("eu"), Origin::named("us"));
    let outage = "when = \"..600ms\"\noutage = \"refuse\"\n\
                  failover = { to = \"us\", after = \"300ms\", added_delay = \"50ms\", failback = \"400ms\" }";
    let proxy = Proxy::before(eu.addr).rules(&with_us(&us, &dark(&eu, outage))).start();
    let mut client = proxy.client();
    let mut met = Vec::new();
    eventually("the whole course of an outage", || {
        let begun = Instant::now();
        let answer = client.ask(GET);
        let who = if answer.status == 502 { "nobody".to_owned() } else { answer.text() };
        if who == "us" {
            assert!(ms(50) <= begun.elapsed(), "the added delay");
            assert_eq!((answer.header("squall-fault"), answer.header("squall-error")), (Some("dark"), None));
        }
        if met.last() != Some(&who) {
            met.push(who);
        }
        met.last().is_some_and(|who| who == "eu")
    });
    // a machine that stands still may miss a phase, but never sees them in another order
    let order = ["nobody", "us", "eu"];
    let places: Vec<_> = met.iter().map(|who| order.iter().position(|known| known == who)).collect();
    assert!(places.is_sorted(), "{met:?}");
    let rule = proxy.rule_books("dark");
    let edge = proxy.books()["edges"][0].clone();
    let n = |count: &serde_json::Value| count.as_u64().unwrap_or(0) as usize;
    assert_eq!(n(&rule["applied"]), us.count() + n(&edge["short_circuited"]["dark"]));
    assert_eq!(n(&edge["delivered"]), us.count() + eu.count());
}

#[test]
fn what_has_failed_over_goes_to_the_other_group_on_both_protocols() {
    let (eu, us) = (Origin::named("eu"), Origin::plain());
    let outage = "outage = \"blackhole\"\nfailover = { to = \"us\", after = \"0s\", added_delay = \"7ms\" }";
    let proxy = Proxy::before(eu.addr).rules(&with_us(&us, &dark(&eu, outage))).start();
    let post = "POST /f/ HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(proxy.client().ask(post).header("squall-fault"), Some("dark"));
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        assert_eq!(client.send(client.request("POST", "/f/"), pattern(200_000)).await.status, 200);
    });
    assert_eq!((eu.count(), us.count()), (0, 2));
    assert_eq!(us.seen()[1].body, pattern(200_000));
    assert_eq!(proxy.rule_books("dark")["applied"], 2);
    eventually("the ledger says where they went", || {
        let lines = proxy.ledger();
        lines.len() == 2 && lines.iter().all(|line| line["asked"] == "failover to us, 7000us later")
    });
    proxy.reload("[[rule]]\nid = \"other\"\non = \"/other\"\nrespond = 500\n");
    assert_eq!(proxy.get("/f/").text(), "eu");
}

#[test]
fn a_group_that_takes_over_may_fail_too() {
    let eu = Origin::named("eu");
    let us = Origin::start(|_, tcp| {
        tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").expect("taken");
        Then::Reset
    });
    let outage = "outage = \"refuse\"\nfailover = { to = \"us\", after = \"0s\", added_delay = \"1h\" }";
    let rules = with_us(&us, &dark(&eu, outage));
    let proxy = Proxy::before(eu.addr).rules(&rules).start();
    let mut gone = proxy.client();
    gone.send(GET);
    proxy.await_in_flight(1);
    drop(gone);
    assert_eq!(proxy.books()["edges"][0]["client_gone"], 1, "it did not wait");
    proxy.reload(&rules.replace("1h", "1ms"));
    let mut client = Client::connect(proxy.addr);
    client.send(GET);
    assert_eq!(client.head().header("squall-fault"), Some("dark"));
    drop(client);
    let dead = rules.replace(&us.addr.to_string(), &crate::harness::origin::nobody().to_string());
    proxy.reload(&dead.replace("1h", "2ms"));
    let answer = proxy.get("/f/");
    assert_eq!((answer.status, answer.header("squall-error")), (502, Some("upstream-unreachable")));
    let edge = proxy.books()["edges"][0].clone();
    assert_eq!((&edge["upstream_unreachable"], eu.count()), (&1.into(), 0));
    let unknown = rules.replace(&us.addr.to_string(), "nobody.invalid:80");
    proxy.reload(&unknown.replace("1h", "3ms"));
    assert!(is_injected(&proxy.get("/f/")), "nobody takes over, so it stays dark");
}
