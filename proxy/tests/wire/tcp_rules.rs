//! Rules on plain-TCP edges: whom they select, when they act, what the books say; on connections that are there already too.

use std::io::{Read, Write};
use std::time::Instant;

use super::tcp_faults::{pair, rule, with};
use crate::harness::client::End;
use crate::harness::proxy::ms;
use crate::harness::tcp::{exactly, passes, rest, vanish};
use crate::harness::{Proxy, Upstream, eventually, pattern};

#[test]
fn a_share_of_connections_is_the_same_in_every_run() {
    let upstream = Upstream::open();
    let victims = |rate: &str| {
        let proxy = with(&upstream, &format!("rate = \"{rate} of connections\"\nreset = \"before headers\""));
        let fates: Vec<bool> = (0..60)
            .map(|_| {
                let mut client = proxy.dial();
                let mut byte = [0];
                client.set_read_timeout(Some(ms(1))).expect("timeout");
                loop {
                    if let Some(mut server) = upstream.try_take() {
                        client.set_read_timeout(Some(crate::harness::PATIENCE)).expect("timeout");
                        passes(&mut server, &mut client, b"y");
                        return false;
                    }
                    // one of the two comes, whichever is first
                    let read = client.read(&mut byte);
                    if read.is_err_and(|error| error.raw_os_error() == Some(libc::ECONNRESET)) {
                        return true;
                    }
                }
            })
            .collect();
        let hit = fates.iter().filter(|hit| **hit).count();
        let rule = proxy.rule("r");
        assert_eq!((&rule["eligible"], &rule["selected"]), (&60.into(), &hit.into()), "{rule}");
        (fates, hit)
    };
    let (forty, hit) = victims("40%");
    assert!((10..40).contains(&hit), "{hit}");
    // two worker threads accept: one client after the other keeps their order
    assert_eq!(victims("40%").0, forty);
    let (twenty, _) = victims("20%");
    assert!(twenty.iter().zip(&forty).all(|(few, more)| *more || !*few), "20 % are among the 40 %");
}

#[test]
fn arming_lifting_and_windows_reach_connections_that_are_there() {
    let upstream = Upstream::open();
    let proxy = with(&upstream, "blackhole = \"forever\"");
    proxy.post("/lift");
    let (mut client, mut server) = pair(&proxy, &upstream);
    passes(&mut client, &mut server, b"lifted");
    proxy.post("/arm");
    client.write_all(b"armed").expect("taken");
    eventually("it is held", || proxy.rows("db")["request"]["held"] == 5);
    proxy.post("/lift/r");
    assert_eq!(exactly(&mut server, 5), b"armed");
    let window = "[[rule]]\nid = \"w\"\non = \"edge db\"\nblackhole = \"forever\"\nwhen = \"200ms..600ms\"\n";
    proxy.reload(window);
    let begun = Instant::now();
    proxy.post("/arm"); // the window counts from here, so no earlier than `begun`
    passes(&mut client, &mut server, b"not open yet");
    eventually("the window opens", || proxy.rule("w")["applied"] == 1);
    client.write_all(b"inside").expect("taken");
    assert_eq!(exactly(&mut server, 6), b"inside");
    assert!(ms(600) <= begun.elapsed(), "the window held it until its end");
}

#[test]
fn peers_that_leave_during_a_delay() {
    let upstream = Upstream::open();
    let proxy = with(&upstream, "delay = \"300ms at response\"");
    let (client, mut server) = pair(&proxy, &upstream);
    server.write_all(&pattern(1_000)).expect("taken");
    eventually("it is under way", || proxy.rows("db")["response"]["held"] == 1_000);
    vanish(client);
    assert_eq!(rest(&mut server), (Vec::new(), End::Reset));
    let (mut client, mut server) = pair(&proxy, &upstream);
    server.write_all(&pattern(1_000)).expect("taken");
    drop(server);
    assert_eq!(rest(&mut client), (pattern(1_000), End::Eof), "its last words still arrive");
    drop(client);
    let (mut client, mut server) = pair(&proxy, &upstream);
    server.write_all(&pattern(1_000)).expect("taken");
    eventually("it is under way", || proxy.rows("db")["response"]["held"] == 1_000);
    vanish(server);
    assert_eq!(rest(&mut client), (pattern(1_000), End::Reset), "and before its reset");
    let rows = proxy.settled("db");
    assert_eq!(
        (&rows["client_gone_after"], &rows["upstream_failed"], &rows["response"]["lost"]),
        (&1.into(), &1.into(), &1_000.into()),
        "{rows:#}"
    );
}

#[test]
fn caps_hold_for_connections_too() {
    let upstream = Upstream::open();
    let rules = format!("[safety]\nmax_active = 2\n{}", rule("delay = \"1h at response\""));
    let proxy = Proxy::tcp_before(upstream.addr).rules(&rules).start();
    let mut pairs: Vec<_> = (0..3).map(|_| pair(&proxy, &upstream)).collect();
    eventually("the cap is breached", || proxy.status()["breach"] == true);
    for (client, server) in &mut pairs {
        passes(server, client, b"lifted for all");
    }
}

#[test]
fn a_rule_that_cannot_act_on_the_edge_it_names_is_refused() {
    let upstream = Upstream::open();
    let plan = Proxy::tcp_before(upstream.addr).rules(&rule("respond = 503"));
    let mut config = plan.config.clone();
    let error = proxy::start(config.clone()).err().expect("refused").to_string();
    assert!(
        error.contains("rules.toml:2:1: error[E23]") && error.contains("`respond` is a fault of HTTP"),
        "{error}"
    );
    config.rules = None;
    config.inline_rules = vec![fault_rules::parse_inline("GET edge db delay 1s").expect("a rule")];
    assert!(proxy::start(config).is_err());
    let proxy = with(&upstream, "delay = \"1ms\"");
    proxy.edit(&rule("on_nothing = 1"));
    eventually("the mistake is reported", || proxy.status()["rules"]["refused"] == 1);
    proxy.edit(&rule("respond = 503"));
    eventually("the misfit is reported", || proxy.status()["rules"]["refused"] == 2);
    let error = &proxy.status()["rules"]["error"];
    assert_eq!((&error["code"], &error["line"]), (&"E23".into(), &2.into()), "{error}");
    // without an edge it is about HTTP alone, and never meets a connection
    proxy.reload("[[rule]]\nid = \"http\"\nrespond = 503\n");
    let (mut client, mut server) = pair(&proxy, &upstream);
    passes(&mut client, &mut server, b"untouched");
    assert_eq!(proxy.rule("http")["eligible"], 0);
}

#[test]
fn every_nth_connection_and_what_the_audit_says_of_delays() {
    let upstream = Upstream::open();
    let rules = "[[rule]]\nid = \"third\"\non = \"edge db\"\nevery = \"3rd\"\nreset = \"after 5 B of body\"\n\
                 [[rule]]\nid = \"slow\"\non = \"edge db\"\ndelay = \"5ms at response\"\n";
    let proxy = Proxy::tcp_before(upstream.addr).rules(rules).start();
    let ends: Vec<End> = (0..9)
        .map(|_| {
            let (mut client, mut server) = pair(&proxy, &upstream);
            server.write_all(&pattern(10)).expect("taken");
            drop(server);
            rest(&mut client).1
        })
        .collect();
    let expect = [End::Eof, End::Eof, End::Reset].repeat(3);
    assert_eq!(ends, expect);
    proxy.settled("db");
    let third = proxy.rule("third");
    assert_eq!((&third["selected"], &third["applied"]), (&9.into(), &3.into()), "{third}");
    assert_eq!(third["suppressed"]["not_nth"], 6, "{third}");
    let slow = proxy.rule("slow");
    // where a reset shapes the answer, the wait is not the delay's alone
    assert_eq!(
        (&slow["applied"], &slow["delay"]["count"], &slow["delay"]["early"]),
        (&9.into(), &6.into(), &0.into())
    );
    assert!(slow["missed"].is_null(), "{slow}");
}

#[test]
fn a_rate_that_changes_counts_those_that_are_there_anew() {
    let upstream = Upstream::open();
    let half = "rate = \"50%\"\ndelay = \"1ms at response\"";
    let proxy = with(&upstream, "rate = \"0.0001%\"\ndelay = \"1ms at response\"");
    let pairs: Vec<_> = (0..80).map(|_| pair(&proxy, &upstream)).collect();
    eventually("all are counted", || proxy.rule("r")["eligible"] == 80);
    proxy.reload(&rule(half));
    eventually("all are counted again", || proxy.rule("r")["eligible"] == 160);
    let rule = proxy.rule("r");
    assert!(rule["missed"].is_null(), "asked for a quarter over both, and got it: {rule}");
    drop(pairs);
    proxy.settled("db");
}

#[test]
fn a_panic_in_the_fault_path_lets_the_bytes_pass_and_is_counted() {
    let upstream = Upstream::echo();
    let faults = [
        (proxy::Stumble::Planning, "reset = \"before headers\""),
        (proxy::Stumble::Shaping, "delay = \"1h\""),
        (proxy::Stumble::Shaping, "delay = \"1h at response\""),
        (proxy::Stumble::Shaping, "delay = \"1h at close\""),
        (proxy::Stumble::Shaping, "throttle = \"1B/s\""),
        (proxy::Stumble::Shaping, "stall = \"forever after 10 B\""),
        (proxy::Stumble::Shaping, "reset = \"after 5000 B\""),
    ];
    for (stumble, fault) in faults {
        let plan = Proxy::tcp_before(upstream.addr).rules("").with(|config| config.stumble = Some(stumble));
        let proxy = plan.start();
        let mut there = proxy.dial();
        there.write_all(b"no rules yet").expect("taken");
        assert_eq!(exactly(&mut there, 12), b"no rules yet");
        proxy.reload(&rule(fault));
        for mut client in [there, proxy.dial()] {
            let mut writer = client.try_clone().expect("a handle");
            let sent = std::thread::spawn(move || {
                writer.write_all(&pattern(500_000)).expect("taken");
                writer.shutdown(std::net::Shutdown::Write).expect("half closed");
            });
            assert!(rest(&mut client) == (pattern(500_000), End::Eof), "{fault}");
            sent.join().expect("sent");
        }
        let rows = proxy.settled("db");
        assert_eq!(rows["finished"], 2, "{fault}: {rows:#}");
        let panics = proxy.status()["fault_panics"].as_u64().expect("a count");
        assert!((2..=4).contains(&panics), "{fault}: once a connection, or once a direction: {panics}");
        if stumble == proxy::Stumble::Shaping {
            assert_eq!(proxy.rule("r")["suppressed"]["lifted"], 2, "{fault}");
        }
    }
}

#[test]
fn guards_look_at_connections_of_the_edge_that_they_name() {
    let upstream = Upstream::open();
    let guard = |name: &str, on: &str, signal: &str, limit: &str| {
        format!(
            "[guard.{name}]\n{on}signal = \"{signal}\"\nlimit = \"{limit}\"\nwindow = \"60s\"\nmin_samples = 10\n\
             [[rule]]\nid = \"under-{name}\"\non = \"edge db\"\ndelay = \"1ms\"\nguard = \"{name}\"\n"
        )
    };
    let named = "on = \"edge db\"\n";
    let rules = [
        guard("breaks", named, "error_ratio", "20%"),
        guard("slow", named, "p50", "30s"),
        guard("web", "", "error_ratio", "1%"),
    ];
    let proxy = Proxy::tcp_before(upstream.addr).rules(&rules.concat()).start();
    let guards = || proxy.status()["guards"].clone();
    let of = |name: &str| {
        let guards = guards();
        let guards = guards.as_array().expect("guards");
        guards.iter().find(|guard| guard["name"] == name).expect("the guard").clone()
    };
    for _ in 0..30 {
        let (client, server) = pair(&proxy, &upstream);
        drop((client, server));
    }
    proxy.settled("db");
    eventually("they have looked", || [of("breaks"), of("slow")].iter().all(|guard| guard["samples"] == 30));
    assert_eq!(of("breaks")["value"], 0.0);
    assert_eq!(of("breaks")["tripped_at_us"], serde_json::Value::Null);
    for _ in 0..60 {
        let (mut client, server) = pair(&proxy, &upstream);
        vanish(server);
        assert_eq!(rest(&mut client).1, End::Reset);
    }
    eventually("it has tripped", || {
        proxy.books()["guards"]
            .as_array()
            .expect("guards")
            .iter()
            .any(|guard| guard["name"] == "breaks" && !guard["tripped_at_us"].is_null())
    });
    let state = |id: &str| {
        let status = proxy.status();
        let rules = status["rules"]["list"].as_array().expect("rules").clone();
        rules.into_iter().find(|rule| rule["id"] == id).expect("the rule")["state"].clone()
    };
    eventually("its rule is lifted", || state("under-breaks") == "lifted");
    assert_eq!((state("under-slow"), state("under-web")), ("acting".into(), "acting".into()));
    assert_eq!(of("web")["samples"], 0, "a guard that names no edge is about requests");
}

/// A guard over the edge, and a rule under it that takes the blame.
fn guarded(signal: &str, limit: &str) -> String {
    format!(
        "[guard.slo]\non = \"edge db\"\nsignal = \"{signal}\"\nlimit = \"{limit}\"\nwindow = \"1s\"\nmin_samples = 10\n\
         {}guard = \"slo\"\n",
        rule("delay = \"1ms\"")
    )
}

fn slo(proxy: &Proxy) -> serde_json::Value {
    proxy.json("/books")["guards"][0].clone()
}

#[test]
fn a_guard_judges_the_answers_of_a_connection_that_never_ends() {
    let upstream = Upstream::open();
    let proxy = Proxy::tcp_before(upstream.addr).rules(&guarded("p50", "20ms")).start();
    let (mut client, mut server) = pair(&proxy, &upstream);
    // rules that delay both ways are no fault of the upstream's
    let prompt = |client: &mut std::net::TcpStream, server: &mut std::net::TcpStream| {
        passes(client, server, b"ask");
        passes(server, client, b"answer");
    };
    (0..15).for_each(|_| prompt(&mut client, &mut server));
    eventually("it has looked", || slo(&proxy)["samples"].as_u64() >= Some(10));
    let mut slow = || {
        passes(&mut client, &mut server, b"ask");
        std::thread::sleep(ms(30));
        passes(&mut server, &mut client, b"answer");
    };
    eventually("it has tripped", || {
        slow();
        !slo(&proxy)["tripped_at_us"].is_null()
    });
    let books = slo(&proxy);
    assert!(books["value"].as_f64() >= Some(20_000.0), "microseconds: {books}");
    eventually("its rule is lifted", || proxy.status()["rules"]["list"][0]["state"] == "lifted");
    prompt(&mut client, &mut server);
    assert_eq!(proxy.rows("db")["open"], 1, "it goes on");
}

#[test]
fn a_guard_sees_an_upstream_that_never_answers() {
    let upstream = Upstream::open();
    let proxy = Proxy::tcp_before(upstream.addr).rules(&guarded("p95", "100ms")).start();
    let mut pairs: Vec<_> = (0..40).map(|_| pair(&proxy, &upstream)).collect();
    for (client, server) in &mut pairs {
        passes(client, server, b"hello");
        passes(server, client, b"welcome");
    }
    // these take what they are given, and were never known to answer
    let mut one_way: Vec<_> = (0..3).map(|_| pair(&proxy, &upstream)).collect();
    for (client, server) in one_way.iter_mut().chain(&mut pairs) {
        passes(client, server, b"and now?");
    }
    eventually("it has tripped", || !slo(&proxy)["tripped_at_us"].is_null());
    let books = slo(&proxy);
    assert!(books["value"].as_f64() >= Some(1_000_000.0), "they wait for as long as the window: {books}");
    assert_eq!(proxy.rows("db")["open"], 43);
}

#[test]
fn connections_that_go_on_are_good_ones() {
    let upstream = Upstream::open();
    let proxy = Proxy::tcp_before(upstream.addr).rules(&guarded("error_ratio", "30%")).start();
    let mut pairs: Vec<_> = (0..60).map(|_| pair(&proxy, &upstream)).collect();
    let mut talk = || {
        for (client, server) in &mut pairs {
            passes(client, server, b"ask");
            passes(server, client, b"answer");
        }
    };
    eventually("those that live are counted", || {
        talk();
        let books = slo(&proxy);
        books["samples"].as_u64() >= Some(30) && books["value"] == 0.0
    });
    assert!(slo(&proxy)["tripped_at_us"].is_null());
    assert_eq!(proxy.rows("db")["open"], 60);
}
