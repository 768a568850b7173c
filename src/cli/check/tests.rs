//! Small captures past rules whose hits can be counted by hand.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::path::Path;
use std::time::Duration;

use captures::messages::{Message, MessageKind, Stream, StreamKind};
use captures::reader::Capture;
use captures::{Body, Exchange, Session, SessionId};
use fault_rules::RuleSet;
use fault_rules::report::Diagnostic;

use super::places::Source;
use super::weigh::{Tally, Weighed, weigh};
use super::{explain, findings, table};

/// Ten sessions of twenty exchanges, one a second each.
fn capture() -> Capture {
    let exchange = |session: u64, step: u64| {
        let mut exchange = Exchange {
            session: SessionId(session),
            edge: "shop".to_owned(),
            start_us: 1_000_000_000 + step * 1_000_000 + session,
            ..Exchange::default()
        };
        exchange.request.method = if step == 0 { "POST" } else { "GET" }.to_owned();
        exchange.request.target = if step == 0 { "/api/login" } else { "/api/cart/7?x=1" }.to_owned();
        exchange
    };
    let session =
        |id: u64| Session { id: SessionId(id), exchanges: (0..20).map(|step| exchange(id, step)).collect() };
    Capture { sessions: (1..=10).map(session).collect(), ..Capture::default() }
}

fn weighed(source: &str) -> (RuleSet, Weighed) {
    let set = fault_rules::parse(source, "test.toml", &fault_rules::Loader::NOTHING).unwrap();
    let weighed = weigh(&set, &capture());
    (set, weighed)
}

/// What is told of recorded traffic, each in one line.
fn told(set: &RuleSet, weighed: &Weighed) -> Vec<String> {
    let found = findings::of(set, weighed, &Source { name: "test.toml", text: "" });
    let line =
        |it: &Diagnostic| format!("warning[{}]: {}; {}", it.code, it.message, it.help.as_deref().unwrap());
    found.iter().map(line).collect()
}

#[test]
fn findings_stand_where_the_file_says_it() {
    let source = "[safety]\n  max_affected = \"5%\"\nprotect = [\"/healthz\"]\n[guard.slo]\nsignal = \"p99\"\nlimit = \"control + 5%\"\n\n\
                  [[rule]]\non = \"/api/crat/{id}/**\"\nid = 'typo'\nrespond = 503\n\
                  [[rule]]\nid = \"r\"\nrate = \"50%\"\ndelay = \"1s\"\nguard = \"slo\"\n";
    let (set, found) = weighed(source);
    let found = findings::of(&set, &found, &Source { name: "f.toml", text: source });
    let places: Vec<_> = found.iter().map(|it| (it.code, it.line, it.column, it.end_column)).collect();
    assert_eq!(places, [("W01", 10, 7, 11), ("E19", 4, 8, 11), ("E20", 2, 3, 15)]);
    assert_eq!(
        found[0].to_string(),
        "f.toml:10:7: warning[W01]: `typo` can never fire: no recorded exchange matches it\n   10 | id = 'typo'\n      |       ^^^^\n      = did you mean `/api/cart/{id}`?\n"
    );
}

#[test]
fn each_rule_is_counted_with_its_sessions() {
    let (set, found) = weighed(
        "seed = 7\n[[rule]]\nid = \"login\"\non = \"POST\"\nrespond = 500\n\
         [[rule]]\nid = \"half\"\nrate = \"50% of sessions\"\ndelay = \"1s\"\n\
         [[rule]]\nid = \"never\"\non = \"/nope\"\nrespond = 500\n\
         [[rule]]\nid = \"late\"\non = \"GET\"\nwhen = \"1h..\"\nrespond = 500\n\
         [[rule]]\nid = \"second\"\non = \"POST\"\nrespond = 503\n",
    );
    assert_eq!((found.exchanges, found.sessions, found.span), (200, 10, Duration::from_micros(19_000_009)));
    let [login, half, never, late, second] = found.rules.as_slice() else { panic!("five rules") };
    assert_eq!((login.matched, login.hits, login.sessions.len()), (10, 10, 10));
    assert_eq!(half.hits, 20 * half.sessions.len() as u64);
    assert!((1..10).contains(&half.sessions.len()));
    assert_eq!((never.matched, never.hits), (0, 0));
    assert_eq!((late.selected, late.hits, late.spared["window"]), (190, 0, 190));
    assert_eq!((second.hits, second.spared["earlier_terminal"]), (0, 10));
    let told = told(&set, &found);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].contains("`never`") && told[1].contains("`late`") && told[2].contains("`second`"));
    assert!(table::of(&set, &found, "x.zst").contains("seed 0x7"));
}

#[test]
fn buckets_and_caps_run_along() {
    let (set, found) = weighed(
        "[safety]\nmax_affected = \"40%\"\nprotect = [\"/api/login\"]\n\
         [[rule]]\nid = \"quota\"\nrate_limit = \"1/2s per session\"\n",
    );
    assert_eq!(found.protected, [10]);
    // 19 exchanges a second apart and a token each two seconds: the first, then every other one.
    assert_eq!((found.rules[0].hits, found.rules[0].spared["within_limit"]), (90, 100));
    let (at, breach) = found.breach.unwrap();
    assert!(Duration::from_secs(9) < at && breach.cap < breach.affected as f64 / breach.total as f64);
    assert!(told(&set, &found)[0].starts_with("warning[E20]"));
}

/// One session of GETs of the same page, one a second, as `make` shapes them.
fn pages(n: u64, make: impl Fn(u64, &mut Exchange)) -> Capture {
    let one = |step: u64| {
        let mut exchange = Exchange {
            session: SessionId(1),
            connection: Some(step / 5),
            edge: "shop".to_owned(),
            start_us: 1_000_000_000 + step * 1_000_000,
            ttfb_us: Some(100_000),
            duration_us: Some(300_000),
            response: Some(captures::exchange::Response {
                status: 200,
                headers: [("content-length", "1000")].into_iter().collect(),
                body: Body::digest(1_000, None),
            }),
            ..Exchange::default()
        };
        exchange.request.method = "GET".to_owned();
        exchange.request.target = "/page".to_owned();
        make(step, &mut exchange);
        exchange
    };
    let exchanges = (0..n).map(one).collect();
    Capture { sessions: vec![Session { id: SessionId(1), exchanges }], ..Capture::default() }
}

/// The tally of one rule with these lines, and what is told of it.
fn tally(capture: &Capture, lines: &str) -> (Tally, Vec<String>) {
    let groups = "[group.eu]\nmembers = [\"a:1\"]\n";
    let source = format!("seed = 7\n{groups}[[rule]]\nid = \"r\"\n{lines}\n");
    let set = fault_rules::parse(&source, "t", &fault_rules::Loader::NOTHING)
        .unwrap_or_else(|report| panic!("{report}"));
    let weighed = weigh(&set, capture);
    let told = told(&set, &weighed);
    (weighed.rules[0].clone(), told)
}

/// How many of the pages a rule hits, and why it spares the others.
#[track_caller]
fn hits(capture: &Capture, lines: &str, expect: u64, why: &[(&str, u64)]) {
    let (found, told) = tally(capture, lines);
    assert_eq!(found.hits, expect, "{lines}: {found:?} {told:?}");
    assert_eq!(found.spared.into_iter().collect::<Vec<_>>(), why, "{lines}");
}

#[test]
fn selectors_and_states_run_along() {
    let plain = pages(20, |_, _| {});
    hits(&plain, "respond = 500\nevery = \"4th\"", 5, &[("not_nth", 15)]);
    hits(&plain, "respond = 500\nburst = { enter = \"100%\", leave = \"0%\" }", 20, &[]);
    hits(&plain, "respond = 500\nwhen = \"5s..10s, every 10s\"", 10, &[("window", 10)]);
    hits(&plain, "respond = 500\nwhen = \"0s..20s, ramp 20s, steps 2\"\nrate = \"0%\"", 0, &[]);
    hits(&plain, "delay = \"1s at connect\"", 4, &[("not_connecting", 16)]);
    hits(&plain, "delay = \"at least 50ms\"", 0, &[("late_enough", 20)]);
    hits(&plain, "delay = \"at least 1s\"", 20, &[]);
    hits(&plain, "stale = \"5s\"", 14, &[("nothing_stale", 6)]);
    hits(&plain, "on = \"group eu\"\noutage = \"refuse\"", 20, &[]);
    hits(&plain, "respond = 500\nshard = \"number(query user) % 2 in [1]\"", 0, &[]);
    let sharded = pages(20, |n, exchange| exchange.request.target = format!("/page?user={n}"));
    hits(&sharded, "respond = 500\nshard = \"number(query user) % 4 in [1, 2]\"", 10, &[]);
    let tried = pages(20, |n, exchange| {
        exchange.request.headers = [("idempotency-key", format!("k{}", n / 4))].into_iter().collect();
    });
    hits(&tried, "respond = 500\nattempts = \"1..2\"", 10, &[]);
    hits(&tried, "respond = 500\nrate = \"100% of operations\"\nattempts = \"4..\"", 5, &[]);
}

#[test]
fn the_answer_decides_what_it_can() {
    let mixed = pages(20, |n, exchange| {
        let response = exchange.response.as_mut().unwrap();
        response.status = if n % 4 == 0 { 503 } else { 200 };
        response.headers = match n % 2 {
            0 => [("content-length", "1000")].into_iter().collect(),
            _ => [("transfer-encoding", "chunked")].into_iter().collect(),
        };
    });
    let (found, _) = tally(&mixed, "on = \"-> 5xx\"\ndrop_response = \"reset\"");
    assert_eq!((found.selected, found.other_status, found.hits), (20, 15, 5));
    hits(&mixed, "truncate = \"60%\"", 10, &[("no_such_point", 10)]);
    hits(&mixed, "truncate = \"5000 B\"", 0, &[("no_such_point", 20)]);
    hits(&mixed, "reset = \"after 1000 B of body\"", 20, &[]);
    hits(&mixed, "stall = \"8s after 20 events\"", 0, &[("no_such_point", 20)]);
    hits(&mixed, "stall = \"8s after 1s\"", 0, &[("no_such_point", 20)]);
    hits(&mixed, "stall = \"8s after 100ms\"", 20, &[]);
    hits(&mixed, "websocket_close = 1011", 0, &[("wrong_protocol", 20)]);
    let (_, told) = tally(&mixed, "truncate = \"60%\"");
    assert!(
        told[0].starts_with("warning[E17]: `r` asks for a share, and 10 of 20 answers promise no"),
        "{told:?}"
    );
    let sockets = pages(20, |n, exchange| {
        let message = Message {
            at_us: 1,
            from_client: false,
            kind: MessageKind::Text,
            compressed: false,
            len: 1,
            data: None,
        };
        let messages = vec![message; n as usize];
        exchange.stream = Some(Stream { kind: StreamKind::WebSocket, messages, truncated: 0 });
        exchange.response.as_mut().unwrap().status = 101;
    });
    hits(&sockets, "websocket_close = \"1011 after 15 events\"", 5, &[("no_such_point", 15)]);
    hits(&sockets, "stall = \"8s after 10 events\"", 10, &[("no_such_point", 10)]);
}

#[test]
fn rules_that_can_never_fire_are_told_why() {
    let plain = pages(20, |_, _| {});
    let never = |lines: &str, why: &str| {
        let (_, told) = tally(&plain, lines);
        let (messages, helps): (Vec<_>, Vec<_>) =
            told.iter().filter_map(|line| line.split_once("; ")).unzip();
        assert_eq!(messages, [format!("warning[W01]: `r` can never fire: {why}")], "{lines}");
        assert!(!helps[0].is_empty());
    };
    never("on = \"/nope\"\nrespond = 500", "no recorded exchange matches it");
    never("respond = 500\nattempts = \"2..\"", "nothing recorded was tried again");
    never(
        "on = \"/{page}\"\nrespond = 500\nshard = \"number(path page) % 2 in [1]\"",
        "none of 20 exchanges falls on its shards",
    );
    never(
        "respond = 500\nrate = \"5% of header x-api-key\"",
        "none of 20 exchanges has what its rate goes by",
    );
    never(
        "on = \"-> 5xx\"\ntruncate = \"headers\"",
        "none of 20 exchanges was answered with a status that it waits for",
    );
    never("stall = \"8s after 20 events\"", "each of 20 selected exchanges was spared (no_such_point)");
    never("respond = 500\nwhen = \"1m..\"", "its window begins at 60s, the recording ends at 19.0s");
    let (_, told) = tally(&plain, "respond = 500\nevery = \"21st\"");
    assert_eq!(told, Vec::<String>::new(), "a count may be reached another time");
}

#[test]
fn guards_that_get_too_few_samples_are_told() {
    let busy = pages(400, |n, exchange| exchange.start_us = 1_000_000_000 + n * 100_000);
    let told = |guard: &str, rule: &str| {
        let source = format!(
            "seed = 7\n[guard.g]\nsignal = \"error_ratio\"\n{guard}\n[[rule]]\nid = \"r\"\nguard = \"g\"\ndelay = \"1s\"\n{rule}\n"
        );
        let set = fault_rules::parse(&source, "t", &fault_rules::Loader::NOTHING)
            .unwrap_or_else(|report| panic!("{report}"));
        self::told(&set, &weigh(&set, &busy))
    };
    let none: [String; 0] = [];
    assert_eq!(told("limit = \"1%\"", ""), none, "100 exchanges in 10 s");
    let few = told("limit = \"1%\"\nmin_samples = 101", "rate = \"50%\"");
    assert!(few[0].starts_with("warning[E19]: guard `g` can never judge: at most "), "{few:?}");
    assert!(few[0].ends_with(
        "other exchanges in 10s, and it wants 101; lower min_samples, widen its window, or amplify"
    ));
    let lesser = told("limit = \"control + 1%\"\nmin_samples = 40", "rate = \"10%\"");
    assert!(lesser[0].contains("[E19]"), "the selected are too few: {lesser:?}");
    assert_eq!(told("limit = \"control + 1%\"\nmin_samples = 30", "rate = \"50%\""), none);
    let early = told("limit = \"baseline + 1%\"", "");
    assert_eq!(
        early,
        [
            "warning[E19]: guard `g` can never judge: 0 exchanges before its rules act, and its baseline wants 100; begin later"
        ]
    );
    assert_eq!(told("limit = \"baseline + 1%\"", "when = \"15s..\""), none);
}

#[test]
fn the_cap_on_exchanges_at_once_and_needless_protections_are_told() {
    let (set, found) = weighed(
        "[safety]\nmax_active = 15\nprotect = [\"/nope\", \"/api/login\"]\n[[rule]]\nid = \"r\"\ndelay = \"1500ms\"\n",
    );
    let told = told(&set, &found);
    assert_eq!(
        told,
        [
            "warning[E20]: max_active would be reached 2.0s into the run: up to 20 exchanges under a fault at once, the cap is 15; shorten the waits, lower the rates, or raise max_active",
        ]
    );
    assert!(
        table::of(&set, &found, "x").contains("protected: 10 exchanges (none by entry 1 of `protect`)\n")
    );
}

#[test]
fn words_for_each_rule() {
    let (set, _) =
        weighed("[[rule]]\nid = \"a\"\non = \"/a\"\nrate = \"3% of connections\"\ndelay = \"1s\"\n");
    let text = explain::of("faults.toml", &set);
    assert!(
        text.starts_with(
            "faults.toml: 1 rule, no findings\n  a  3% of connections on any method /a: wait 1s\n"
        )
    );
    assert!(text.contains("depends on timing"));
    assert_eq!(super::beside(Path::new("dir/faults.toml"), "b.json"), Path::new("dir/b.json"));
}
