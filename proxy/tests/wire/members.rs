//! An edge with several upstreams.

use std::collections::BTreeMap;

use crate::harness::origin::nobody;
use crate::harness::{Client, H2Client, Origin, Proxy, Then, eventually, h2};

/// So that operations are named: a rule that is about nothing that is asked here.
const NAMES: &str = "[[rule]]\nid = \"idle\"\non = \"/idle\"\nrespond = 500\n";

fn request(op: u64, attempt: u32) -> String {
    format!(
        "GET /x HTTP/1.1\r\nHost: t\r\nSquall-Session: 0000beef-1-0\r\nSquall-Op: {op:016x}\r\nSquall-Attempt: {attempt}\r\n\r\n"
    )
}

#[test]
fn the_member_goes_by_operation_and_attempt() {
    let (one, two, three) = (Origin::named("one"), Origin::named("two"), Origin::named("three"));
    let run = |threads: usize| {
        let proxy = Proxy::before(one.addr).and(two.addr).and(three.addr).rules(NAMES);
        let proxy = proxy.with(|config| config.threads = threads).start();
        let mut client = proxy.client();
        let mut met = BTreeMap::new();
        for op in 0..60 {
            for attempt in 1..=3 {
                met.insert((op, attempt), client.ask(&request(op, attempt)).text());
            }
        }
        assert_eq!(proxy.books()["edges"][0]["delivered"], 180);
        met
    };
    let met = run(1);
    assert_eq!(met, run(2), "in every run, at any number of threads");
    for op in 0..60 {
        let attempts: std::collections::BTreeSet<_> = (1..=3).map(|attempt| &met[&(op, attempt)]).collect();
        assert_eq!(attempts.len(), 3, "three attempts meet three members");
    }
    for origin in [&one, &two, &three] {
        assert_eq!(origin.count(), 120);
    }
}

#[test]
fn without_names_members_take_turns() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let proxy = Proxy::before(one.addr).and(two.addr).start();
    let mut client = proxy.client();
    (0..10).for_each(|_| assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: t\r\n\r\n").status, 200));
    assert_eq!((one.count(), two.count()), (5, 5));
    let upstreams = proxy.status()["edges"][0]["upstreams"].clone();
    assert_eq!(
        upstreams,
        serde_json::json!([format!("http://{}", one.addr), format!("http://{}", two.addr)])
    );
}

#[test]
fn a_rule_for_a_group_is_about_requests_for_its_members() {
    let (eu, us) = (Origin::named("eu"), Origin::named("us"));
    let rules = format!(
        "[group.eu]\nmembers = [\"{}\"]\n[[rule]]\nid = \"dark\"\non = \"/** group eu\"\nrespond = 503\n",
        eu.addr
    );
    let proxy = Proxy::before(eu.addr).and(us.addr).rules(&rules).start();
    let mut client = proxy.client();
    let statuses: Vec<u16> = (0..50).map(|op| client.ask(&request(op, 1)).status).collect();
    let harmed = statuses.iter().filter(|status| **status == 503).count();
    assert!(5 < harmed && harmed < 45, "{harmed}");
    assert_eq!((eu.count(), us.count()), (0, 50 - harmed));
    assert_eq!(proxy.rule_books("dark")["eligible"], harmed);
}

#[test]
fn a_member_that_refuses_is_passed_over_where_nothing_was_touched() {
    let (dead, alive) = (nobody(), Origin::plain());
    let rules = format!("{NAMES}[[rule]]\nid = \"slow\"\non = \"/slow\"\ndelay = \"1ms\"\n");
    let proxy = Proxy::before(dead).and(alive.addr).rules(&rules).start();
    let mut client = proxy.client();
    for op in 0..20 {
        assert_eq!(client.ask(&request(op, 1)).status, 200);
    }
    let post = "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello";
    (0..10).for_each(|_| assert_eq!(client.ask(post).text(), "hello"));
    h2::block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        for _ in 0..10 {
            let outcome = client.send(client.request("POST", "/echo"), "hello").await;
            assert_eq!((outcome.status, outcome.body.as_slice()), (200, b"hello".as_slice()));
        }
    });
    let edge = proxy.books()["edges"][0].clone();
    assert_eq!((&edge["delivered"], &edge["upstream_attempts"]), (&40.into(), &40.into()), "{edge}");
    assert_eq!((alive.count(), &edge["proxy_repeats"]), (40, &0.into()));
    let mut unreachable = 0;
    for op in 0..20 {
        let answer = Client::once(proxy.addr, &request(op, 1).replace("/x", "/slow"));
        unreachable += usize::from(answer.status == 502);
        assert_eq!(answer.header("squall-fault"), Some("slow"));
    }
    assert!(0 < unreachable && unreachable < 20, "a fault is not to be hidden: {unreachable}");
    assert_eq!(proxy.books()["edges"][0]["upstream_unreachable"], unreachable);
}

#[test]
fn nobody_is_passed_over_for_a_member_of_other_groups() {
    let (dead, alive) = (nobody(), Origin::plain());
    let rules = format!(
        "[group.eu]\nmembers = [\"{}\"]\n[[rule]]\nid = \"eu\"\non = \"/idle group eu\"\nrespond = 500\n",
        alive.addr
    );
    let proxy = Proxy::before(dead).and(alive.addr).rules(&rules).start();
    let unreachable = (0..20).filter(|op| Client::once(proxy.addr, &request(*op, 1)).status == 502).count();
    assert_eq!(proxy.books()["edges"][0]["upstream_unreachable"], unreachable);
    assert_eq!((alive.count(), unreachable > 0), (20 - unreachable, true));
}

#[test]
fn all_of_them_refusing_is_one_failure() {
    let proxy = Proxy::before(nobody()).and(nobody()).and(nobody()).start();
    let answer = proxy.get("/");
    assert_eq!((answer.status, answer.header("squall-error")), (502, Some("upstream-unreachable")));
    let edge = proxy.books()["edges"][0].clone();
    assert_eq!((&edge["upstream_unreachable"], &edge["upstream_attempts"]), (&1.into(), &0.into()));
}

#[test]
fn what_was_sent_is_not_sent_to_another_member() {
    let dying = Origin::start(|_, _| Then::Close);
    let alive = Origin::plain();
    let proxy = Proxy::before(dying.addr).and(alive.addr).rules(NAMES).start();
    let mut failed = 0;
    for op in 0..20 {
        let answer = Client::once(proxy.addr, &request(op, 1));
        assert!(answer.status == 200 || answer.header("squall-error") == Some("upstream-failed"));
        failed += usize::from(answer.status == 502);
    }
    let mut gone = proxy.client();
    gone.send("POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhal");
    drop(gone);
    let edge = proxy.books()["edges"][0].clone();
    assert_eq!(edge["upstream_failed"], failed);
    let n = |row: &str| edge[row].as_u64().expect("a count") as usize;
    let attempts = n("upstream_attempts");
    // of a request whose client left in the midst a member may have read nothing
    eventually("the members have read what was handed over", || {
        (attempts - n("ambiguous")..=attempts).contains(&(dying.count() + alive.count()))
    });
}
