//! Clients that give up: the proxy tells a replay which of its attempts it had held up then, and by which rule.

use std::time::Instant;

use serde_json::Value;

use crate::harness::h2::block_on;
use crate::harness::proxy::ms;
use crate::harness::{CLEAR, Client, Gate, Origin, Proxy, Then, Way, eventually};
use crate::shapes::{origin, rule};

const RUN: &str = "0000beef";
const OP: &str = "00000000000000aa";

/// Sends a request of the run and leaves: once its answer's header is there, or once `ready` says so.
fn give_up(way: Way, proxy: &Proxy, target: &str, ready: Option<&dyn Fn()>) {
    if way.is_http2() {
        return block_on(async {
            let client = way.h2(proxy).await;
            let request = client.request("GET", target);
            let request = request.header("squall-session", format!("{RUN}-1-0")).header("squall-op", OP);
            let (response, stream) = client.start(request, true).await;
            match ready {
                Some(ready) => {
                    // the connection is driven by this thread
                    tokio::time::sleep(ms(2)).await;
                    ready();
                    drop((response, stream));
                }
                None => drop((response.await.expect("a header"), stream)),
            }
            while proxy.status()["in_flight"] != 0 {
                tokio::time::sleep(ms(2)).await;
            }
        });
    }
    let mut client = Client::connect(proxy.addr);
    client.send(format!(
        "GET {target} HTTP/1.1\r\nHost: t\r\nSquall-Session: {RUN}-1-0\r\nSquall-Op: {OP}\r\n\r\n"
    ));
    match ready {
        Some(ready) => ready(),
        None => drop(client.head()),
    }
    drop(client);
    proxy.books();
}

/// What the proxy says of the attempts that rules ended, or held until their client left.
fn told(proxy: &Proxy) -> Vec<Value> {
    let lines = proxy.ask_admin("GET", &format!("/runs/{RUN}/ended"), "").text();
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON Lines")).collect()
}

#[test]
fn a_rule_that_held_an_attempt_until_its_client_left_is_named() {
    let origin = origin();
    for (fault, action, sees_a_header) in [
        ("delay = \"1h\"", "delay", false),
        ("delay = \"1h at first_byte\"", "delay", true),
        ("throttle = \"1KB/s\"", "throttle", true),
        ("stall = \"1h after 1000 B\"", "stall", true),
    ] {
        for way in CLEAR {
            let proxy = Proxy::before(origin.addr).rules(&rule(fault)).start();
            proxy.announce(RUN);
            let held = || proxy.await_in_flight(1);
            give_up(way, &proxy, "/f/bytes/100000", (!sees_a_header).then_some(&held));
            let left =
                serde_json::json!({ "op": OP, "attempt": 1, "rule": "f", "action": action, "left": true });
            assert_eq!(told(&proxy), [left], "{way:?} {fault}");
        }
    }
}

#[test]
fn a_wait_that_the_client_did_not_sit_out_is_in_the_ledger_with_its_length() {
    let origin = Origin::plain();
    let rules = "[[rule]]\nid = \"first\"\ndelay = \"1ms\"\n[[rule]]\nid = \"second\"\ndelay = \"1h\"\n";
    let proxy = Proxy::before(origin.addr).rules(rules).start();
    proxy.announce(RUN);
    let begun = Instant::now();
    let held = || {
        proxy.await_in_flight(1);
        std::thread::sleep(ms(5));
    };
    give_up(Way::Http1, &proxy, "/", Some(&held));
    let longest = begun.elapsed().as_micros() as u64;
    assert_eq!(told(&proxy)[0]["rule"], "second", "that of the two that was under way");
    let ledger = proxy.ledger();
    let held: Vec<u64> = ledger.iter().map(|line| line["actual_us"].as_u64().expect("a time")).collect();
    assert!(held[0] == 0 && (1..=longest).contains(&held[1]), "{ledger:#?}");
    assert_eq!(ledger[1]["suppressed"], "client_gone");
}

#[test]
fn time_that_the_origin_took_is_no_rules() {
    for (delay, most_is_the_rules) in [("1ms", false), ("3s", true)] {
        let gate = Gate::new();
        let wait = gate.clone();
        let origin = Origin::start(move |_, _| {
            wait.pass();
            Then::Close
        });
        let proxy = Proxy::before(origin.addr).rules(&rule(&format!("delay = \"{delay}\""))).start();
        proxy.announce(RUN);
        let begun = Instant::now();
        let asked = || {
            eventually("the origin is asked", || origin.count() == 1);
            if !most_is_the_rules {
                // so that at least two thirds of the time are the origin's, however late the request came there
                std::thread::sleep(2 * begun.elapsed());
            }
        };
        give_up(Way::Http1, &proxy, "/f/", Some(&asked));
        assert_eq!(proxy.books()["edges"][0]["client_gone_after"], 1);
        assert_eq!(told(&proxy).len(), usize::from(most_is_the_rules), "{delay}");
        gate.open();
    }
}

#[test]
fn an_attempt_that_waits_for_another_group_is_held_too() {
    let (eu, us) = (Origin::named("eu"), Origin::named("us"));
    let rules = format!(
        "[group.us]\nmembers = [\"{}\"]\n[group.eu]\nmembers = [\"{}\"]\n[[rule]]\nid = \"dark\"\non = \"group eu\"\n\
         outage = \"refuse\"\nfailover = {{ to = \"us\", after = \"0s\", added_delay = \"1h\" }}\n",
        us.addr, eu.addr
    );
    let proxy = Proxy::before(eu.addr).rules(&rules).start();
    proxy.announce(RUN);
    give_up(Way::Http1, &proxy, "/f/", Some(&|| proxy.await_in_flight(1)));
    let told = told(&proxy);
    assert_eq!((told.len(), &told[0]["rule"], &told[0]["left"]), (1, &"dark".into(), &true.into()));
}
