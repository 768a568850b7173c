//! The whole syntax: what each form of each key becomes.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::time::Duration;

use fault_rules::delay::RouteLatency;
use fault_rules::{Loader, Rule, RuleSet, parse, parse_inline};

fn read(source: &str) -> RuleSet {
    let file = |_: &str| Ok(b"{}".to_vec());
    let latencies = |_: &str| {
        let path = "/api/cart/{id}".to_owned();
        Ok(vec![RouteLatency {
            method: "GET".to_owned(),
            path,
            durations: vec![(Duration::from_millis(20), 5)],
        }])
    };
    parse(source, "f.toml", &Loader { file: &file, latencies: &latencies })
        .unwrap_or_else(|report| panic!("{report}"))
}

const GROUPS: &str =
    "[group.eu]\nmembers = [\"127.0.0.1:9101\"]\n[group.us]\nmembers = [\"127.0.0.1:9201\"]\n";

fn rule(lines: &str) -> Rule {
    read(&format!("{GROUPS}[[rule]]\nid = \"a\"\n{lines}\n")).rules()[0].clone()
}

#[test]
fn faults_of_the_command_line_take_what_looks_like_another() {
    let check = |text: &str, action: &str| {
        let rule = parse_inline(text).unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(rule.actions().map(fault_rules::Action::asked).collect::<Vec<_>>(), [action], "{text}");
        rule
    };
    let five = check("/a -> 2xx truncate 60% 5%", "after 60% of body");
    assert_eq!((five.rate.fraction(), five.on.status().map(|it| it.has(204))), (0.05, Some(true)));
    check("/a truncate 60%", "after 60% of body");
    check("/a loss 2%", "2% of segments");
    check("/a stall 8s after 50%", "8000000us after 50% of body");
    let first = check("/a outage reset 3% attempts 1..2", "reset");
    assert_eq!(first.attempts, Some(fault_rules::select::Attempts { from: 1, to: Some(2) }));
    check("/a drop_response 30s, then reset", "after the upstream's answer");
    let _ = rule("respond = 503");
}
