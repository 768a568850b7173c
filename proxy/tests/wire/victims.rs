//! Rules choose the same live visitors in every run, though the numbers that are written of them differ.

use std::collections::BTreeSet;

use captures::Reader;

use crate::harness::{Client, Origin, Proxy};

const RULES: &str = "[[rule]]\nid = \"cohort\"\non = \"/cohort\"\nrate = \"40% of sessions\"\nrespond = 503\n\
                     [[rule]]\nid = \"some\"\non = \"/some\"\nrate = \"40%\"\nrespond = 503\n";

/// What became of the visits of one run, and the sessions that ledger and capture name.
struct Run {
    fates: Vec<bool>,
    told: BTreeSet<String>,
    recorded: BTreeSet<String>,
}

/// Visitors who come one after the other: with a cookie of an earlier day, or with nothing.
fn run(keys: &[&str]) -> Run {
    let origin = Origin::plain();
    let keys = keys.iter().map(|key| key.parse().expect("a key")).collect();
    let mut proxy = Proxy::before(origin.addr)
        .rules(RULES)
        .recorded()
        .with(|config| config.session_keys = keys) // and a random key of its own for what it writes
        .start();
    let mut fates = Vec::new();
    for visitor in 0..60 {
        let mut client = Client::connect(proxy.addr);
        let cookie =
            if visitor % 3 == 0 { String::new() } else { format!("Cookie: PHPSESSID=visitor-{visitor}\r\n") };
        let mut is_hit =
            |path| client.ask(&format!("GET {path} HTTP/1.1\r\nHost: t\r\n{cookie}\r\n")).status == 503;
        let cohort = is_hit("/cohort");
        assert_eq!(is_hit("/cohort"), cohort, "a session suffers from start to finish");
        fates.extend([cohort, is_hit("/some")]);
    }
    proxy.books();
    let told = proxy.ledger().into_iter().map(|line| {
        let op = line["op"].as_str().expect("an operation");
        let session = line["session"].as_str().expect("a session");
        assert!(op.starts_with(&format!("{session} GET /")), "{line}");
        session.to_owned()
    });
    let told = told.collect();
    proxy.stop();
    let exchanges = Reader::open(proxy.capture()).expect("a capture").exchanges();
    let recorded = exchanges.map(|exchange| exchange.expect("whole").session.0.to_string()).collect();
    Run { fates, told, recorded }
}

#[test]
fn live_visitors_share_their_fate_with_themselves_in_another_run() {
    for keys in [&[][..], &["cookie:PHPSESSID", "connection"]] {
        let (first, second) = (run(keys), run(keys));
        assert_eq!(first.fates, second.fates, "{keys:?}");
        let hits = first.fates.iter().filter(|hit| **hit).count();
        assert!((20..80).contains(&hits), "{hits} of 120");
        for run in [&first, &second] {
            assert!(
                !run.told.is_empty() && run.told.is_subset(&run.recorded),
                "the ledger names whom the capture does"
            );
        }
        assert!(first.recorded.is_disjoint(&second.recorded), "what is written is under a key of the run");
    }
}
