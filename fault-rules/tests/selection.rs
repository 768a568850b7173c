//! Who is selected: exact shares, equal victims, nested cohorts, keys, windows, outcomes.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::collections::BTreeSet;
use std::time::Duration;

use fault_rules::decide::Why;
use fault_rules::matcher::Matcher;
use fault_rules::{Action, Decision, Facts, Loader, RuleSet, parse, parse_inline};

const SEED: u64 = 0x5eed_2026;

fn rules(source: &str) -> RuleSet {
    parse(source, "test.toml", &Loader::NOTHING).unwrap_or_else(|report| panic!("{report}"))
}

fn rule(lines: &str) -> RuleSet {
    rules(&format!("[[rule]]\nid = \"r\"\n{lines}\n"))
}

struct Ask<'a> {
    method: &'a str,
    authority: &'a str,
    path: &'a str,
    edge: &'a str,
    headers: &'a [(&'a str, &'a str)],
    operation: &'a str,
    attempt: u32,
    session: &'a str,
    connection: u64,
}

const ASK: Ask<'static> = Ask {
    method: "GET",
    authority: "shop.local:8080",
    path: "/api/cart/7",
    edge: "shop",
    headers: &[],
    operation: "op",
    attempt: 1,
    session: "s",
    connection: 1,
};

impl Ask<'_> {
    fn of(&self, set: &RuleSet) -> Decision {
        self.at(set, Duration::ZERO)
    }

    fn at(&self, set: &RuleSet, run_now: Duration) -> Decision {
        self.with_facts(|facts| set.decide(SEED, facts, run_now))
    }

    fn matches(&self, matcher: &Matcher) -> bool {
        self.with_facts(|facts| matcher.matches(facts))
    }

    fn with_facts<T>(&self, then: impl FnOnce(&Facts<'_>) -> T) -> T {
        let header = |name: &str| self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let facts = Facts {
            edge: self.edge,
            method: self.method,
            authority: self.authority,
            path: self.path,
            query: "",
            header: &header,
            operation: self.operation,
            attempt: self.attempt,
            session: self.session,
            connection: self.connection,
            client: "127.0.0.1",
            upstream: "",
        };
        then(&facts)
    }
}

/// Of operations 0..n, those that the rule with this id selects.
fn victims(set: &RuleSet, id: &str, n: u64) -> BTreeSet<u64> {
    let place = set.by_id(id).unwrap().0;
    let hit = |op: &u64| {
        let operation = format!("{op:016x}");
        let decision = Ask { operation: &operation, ..ASK }.of(set);
        assert!(decision.matched.contains(&(place as u32)));
        decision.selected.iter().any(|selected| selected.rule == place)
    };
    (0..n).filter(hit).collect()
}

#[test]
fn shares_are_within_the_exact_binomial_bounds() {
    // 99.9 % central interval of Binomial(100,000, p), by the exact distribution.
    for (rate, low, high) in
        [("0.1%", 69, 134), ("1%", 898, 1_105), ("10%", 9_689, 10_313), ("50%", 49_480, 50_520)]
    {
        let count = victims(&rule(&format!("respond = 500\nrate = \"{rate}\"")), "r", 100_000).len();
        assert!((low..=high).contains(&count), "{rate}: {count}");
    }
}

#[test]
fn all_is_all_and_none_is_none() {
    assert_eq!(victims(&rule("respond = 500"), "r", 10_000).len(), 10_000);
    assert_eq!(victims(&rule("respond = 500\nrate = \"100%\""), "r", 10_000).len(), 10_000);
    assert_eq!(victims(&rule("respond = 500\nrate = \"0%\""), "r", 10_000).len(), 0);
}

#[test]
fn cohorts_are_nested_and_no_rule_moves_another_ones_victims() {
    let at = |rate: &str| victims(&rule(&format!("respond = 500\nrate = \"{rate}\"")), "r", 20_000);
    let (five, ten) = (at("5%"), at("10%"));
    assert!(five.is_subset(&ten) && five.len() < ten.len());
    let beside = rules(
        "[[rule]]\nid = \"other\"\nrespond = 500\nrate = \"50%\"\n[[rule]]\nid = \"r\"\ndelay = \"1s\"\nrate = \"5%\"\n",
    );
    assert_eq!(victims(&beside, "r", 20_000), five);
    let both = victims(&beside, "other", 20_000).intersection(&five).count();
    let expect = five.len() / 2;
    assert!(expect * 8 / 10 < both && both < expect * 12 / 10, "{both} of {} are in both", five.len());
}

#[test]
fn two_threads_find_the_same_victims_as_one() {
    let set = rule("respond = 500\nrate = \"3%\"");
    let alone = victims(&set, "r", 10_000);
    let both = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..2).map(|_| scope.spawn(|| victims(&set, "r", 10_000))).collect();
        tasks.into_iter().map(|task| task.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(both.iter().all(|found| *found == alone));
}

/// Frozen: a change here changes the victims of every recorded run.
#[test]
fn the_hash_is_the_published_one() {
    let set = rule("respond = 500\nrate = \"5%\"");
    let found: Vec<_> = victims(&set, "r", 400).into_iter().collect();
    let by_hand = |op: &u64| {
        use xxhash_rust::xxh3::xxh3_64_with_seed as xxh3;
        let base = xxh3(&[0], xxh3(b"r", SEED));
        let roll = xxh3(&1_u32.to_le_bytes(), xxh3(format!("{op:016x}").as_bytes(), base));
        u128::from(roll) * 100 < (5_u128 << 64)
    };
    assert_eq!(found, (0..400).filter(by_hand).collect::<Vec<_>>());
    assert_eq!(found, FROZEN);
}

#[test]
fn each_kind_of_share_goes_by_its_own_key() {
    let check = |of: &str, differs: &dyn Fn(Ask<'static>, &'static str) -> Ask<'static>, sticky: bool| {
        let set = rule(&format!("respond = 500\nrate = \"50% of {of}\""));
        let base = Ask { headers: &[("x-api-key", "k"), ("cookie", "a=1; sid=q; b=2")], ..ASK };
        let first = differs(base, "0").of(&set).selected.len();
        let rest = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"];
        let same = rest.iter().all(|n| {
            let base = Ask { headers: &[("x-api-key", "k"), ("cookie", "a=1; sid=q; b=2")], ..ASK };
            differs(base, n).of(&set).selected.len() == first
        });
        assert_eq!(same, sticky, "{of}");
    };
    let number = |text: &str| text.parse::<u32>().unwrap();
    check("requests", &|ask, n| Ask { attempt: number(n), ..ask }, false);
    check("requests", &|ask, n| Ask { operation: n, ..ask }, false);
    check("requests", &|ask, n| Ask { session: n, connection: u64::from(number(n)), ..ask }, true);
    check("operations", &|ask, n| Ask { attempt: number(n), session: n, ..ask }, true);
    check("operations", &|ask, n| Ask { operation: n, ..ask }, false);
    check("sessions", &|ask, n| Ask { operation: n, attempt: number(n), ..ask }, true);
    check("sessions", &|ask, n| Ask { session: n, ..ask }, false);
    check("connections", &|ask, n| Ask { connection: u64::from(number(n)), ..ask }, false);
    check("connections", &|ask, n| Ask { operation: n, session: n, ..ask }, true);
    check("header X-Api-Key", &|ask, n| Ask { operation: n, session: n, ..ask }, true);
    check("cookie sid", &|ask, n| Ask { operation: n, session: n, ..ask }, true);
}

#[test]
fn without_the_key_a_request_is_not_eligible() {
    let set = rule("respond = 500\nrate = \"100% of header x-api-key\"");
    assert!(ASK.of(&set).matched.is_empty());
    let named = Ask { headers: &[("x-api-key", "k")], ..ASK }.of(&set);
    assert_eq!((named.matched.len(), named.selected.len()), (1, 1));
}

#[test]
fn matching_goes_by_all_that_is_said() {
    let check = |on: &str, expect: bool| {
        let ask = Ask { headers: &[("x-tenant", "acme inc"), ("x-debug", "")], ..ASK };
        let found = !ask.of(&rule(&format!("respond = 500\non = {on}"))).selected.is_empty();
        assert_eq!(found, expect, "{on}");
    };
    check("''", true);
    check("'GET'", true);
    check("'POST|PUT'", false);
    check("'GET|PUT /api/cart/{id}'", true);
    check("'/api/**'", true);
    check("'/api/orders/**'", false);
    check("'host shop.local'", true);
    check("'host *.local'", true);
    check("'host pay.local'", false);
    check("'edge shop'", true);
    check("'edge payments'", false);
    check("'header x-debug'", true);
    check("'header X-Debug=*'", true);
    check("'header x-none'", false);
    check("'header x-tenant=\"acme inc\"'", true);
    check("'header x-tenant=acme'", false);
    check("'POST host shop.local'", false);
    check("'GET /api/** host shop.local header x-debug edge shop'", true);
    check(
        "{ method = [\"GET\"], path = \"/api/**\", host = \"shop.local\", header = { x-debug = \"*\" }, edge = \"shop\" }",
        true,
    );
    check("{ method = \"GET|PUT\", header = { x-tenant = \"other\" } }", false);
    check("{}", true);
}

/// One rule beside a hundred others is found exactly when it is found alone: the gates change nothing.
#[test]
fn many_rules_match_as_each_alone() {
    let ons = [
        "/",
        "/**",
        "/api/**",
        "/api/cart/{id}",
        "/api/*/7",
        "/api/cart/7/**",
        "/{a}/{b}/{c}",
        "/api/c*",
        "GET /api/cart/7",
        "host shop.local",
        "host SHOP.local:8080",
        "host *.local",
        "host other.local /api/**",
        "edge shop",
        "edge pay",
        "header x-a",
        "header x-a=1",
        "header x-a=2",
        "header x-b header x-a=1",
        "/a//b",
        "/api/",
        "/*/*",
        "POST|PUT",
    ];
    let alone: Vec<_> = ons.iter().map(|on| rule(&format!("respond = 500\non = '{on}'"))).collect();
    let listed = |(n, on): (usize, &&str)| format!("[[rule]]\nid = \"r{n}\"\nrespond = 500\non = '{on}'\n");
    let all = rules(&ons.iter().enumerate().map(listed).collect::<String>());
    let long = "/x".repeat(100);
    for path in [
        "/",
        "",
        "*",
        "/api",
        "/api/",
        "/api/cart",
        "/api/cart/7",
        "/api/cart/7/x",
        "/a//b",
        "/api/cart/",
        &long,
    ] {
        for authority in ["shop.local", "Shop.Local:8080", "eu.shop.local", "", "[::1]:1"] {
            for headers in [&[][..], &[("x-a", "1")], &[("x-a", "2"), ("x-b", "")]] {
                let ask = Ask { path, authority, headers, ..ASK };
                let each = alone.iter().enumerate().filter(|(_, set)| !ask.of(set).matched.is_empty());
                let each: Vec<_> = each.map(|(n, _)| n as u32).collect();
                assert_eq!(ask.of(&all).matched.as_slice(), each, "{path} {authority} {headers:?}");
                let plain = alone.iter().enumerate().filter(|(_, set)| ask.matches(&set.rules()[0].on));
                assert_eq!(
                    each,
                    plain.map(|(n, _)| n as u32).collect::<Vec<_>>(),
                    "{path} {authority} {headers:?}"
                );
            }
        }
    }
}

#[test]
fn unknown_methods_match_only_rules_for_all() {
    let odd = Ask { method: "BREW", ..ASK };
    assert_eq!(odd.of(&rule("respond = 500")).selected.len(), 1);
    assert!(odd.of(&rule("respond = 500\non = \"GET\"")).matched.is_empty());
}

#[test]
fn protected_exchanges_are_out_of_reach() {
    let set = rules(
        "[safety]\nprotect = [\"/healthz\", \"header x-no-chaos\"]\n[[rule]]\nid = \"r\"\nrespond = 500\n",
    );
    let safe = Ask { path: "/healthz", ..ASK }.of(&set);
    assert!(safe.protected && safe.matched.is_empty() && safe.selected.is_empty());
    assert!(Ask { headers: &[("x-no-chaos", "1")], ..ASK }.of(&set).protected);
    assert!(!ASK.of(&set).protected);
}

#[test]
fn a_window_suppresses_and_never_selects() {
    let check = |when: &str, at: u64, open: bool| {
        let set = rule(&format!("respond = 500\nwhen = \"{when}\""));
        let decision = ASK.at(&set, Duration::from_secs(at));
        let expect = if open { None } else { Some(Why::Window) };
        assert_eq!(decision.selected[0].suppressed, expect, "{when} at {at}");
    };
    check("2m..3m30s", 119, false);
    check("2m..3m30s", 120, true);
    check("2m..3m30s", 209, true);
    check("2m..3m30s", 210, false);
    check("..30s", 0, true);
    check("..30s", 30, false);
    check("1m..", 59, false);
    check("1m..", 86_400, true);
}

#[test]
fn one_of_is_a_single_roll_by_weight() {
    let set = rule(
        "one_of = [{ respond = 500 }, { respond = 503, weight = 2 }, { delay = \"1s\", weight = 1 }, { respond = 400, weight = 0 }]",
    );
    let mut counts = [0_u32; 4];
    for op in 0..40_000_u64 {
        let operation = format!("{op:016x}");
        let decision = Ask { operation: &operation, ..ASK }.of(&set);
        let selected = decision.selected[0];
        let status = selected.action.and_then(|at| set.action(at)).map(|action| match action {
            Action::Respond(respond) => respond.status,
            other => panic!("{other:?}"),
        });
        assert_eq!(selected.delay.is_some(), status.is_none());
        counts[match status {
            Some(500) => 0,
            Some(503) => 1,
            None => 2,
            other => panic!("{other:?}"),
        }] += 1;
    }
    let near = |count: u32, expect: u32| count.abs_diff(expect) < expect / 20;
    assert!(near(counts[0], 10_000) && near(counts[1], 20_000) && near(counts[2], 10_000), "{counts:?}");
}

#[test]
fn delay_and_fault_compose_and_the_sample_is_stable() {
    let set = rule("respond = 500\ndelay = \"50ms..200ms\"\nrate = \"10%\"");
    let mut delays = BTreeSet::new();
    for op in 0..10_000_u64 {
        let operation = format!("{op:016x}");
        let ask = Ask { operation: &operation, ..ASK };
        for selected in ask.of(&set).selected {
            assert_eq!(ask.at(&set, Duration::from_secs(9)).selected[0], selected);
            delays.insert(selected.delay.unwrap().time);
            assert!(selected.action.is_some());
        }
    }
    // Of another lane than selection: the victims of 10 % still spread over all delays.
    assert!(900 < delays.len());
    let ms = Duration::from_millis;
    assert!(delays.iter().all(|delay| (ms(50)..=ms(200)).contains(delay)));
    assert!(*delays.first().unwrap() < ms(53) && ms(197) < *delays.last().unwrap());
}

#[test]
fn rules_of_the_command_line_join_behind() {
    let inline = |text: &str| parse_inline(text).unwrap_or_else(|report| panic!("{report}"));
    let set = rule("respond = 500").with_rules(vec![inline("GET /api/** delay 200ms 20%")]).unwrap();
    assert_eq!(set.rules().len(), 2);
    let five = inline("GET /api/** delay 200ms 5% of sessions when 1m..2m");
    assert_eq!(set.rules()[1].id, five.id, "how many and when are no part of the id");
    assert_ne!(five.id, inline("POST /api/** delay 200ms 5%").id);
    assert!(five.id.starts_with("fault-get-api-delay-200ms-"), "{}", five.id);
    let clash = set.clone().with_rules(vec![five]).unwrap_err();
    assert_eq!(clash.findings()[0].code, "E02");
    let before = rule("respond = 500").fingerprint();
    assert_ne!(before, set.fingerprint());
    assert_eq!(before, rule("respond = 500").fingerprint());
}

#[test]
fn a_set_shares_between_threads_and_knows_foreign_references() {
    fn sends<T: Send + Sync + 'static>(_: &T) {}
    let set = rule("respond = 500");
    sends(&set);
    let at = ASK.of(&set).selected[0].action.unwrap();
    assert!(set.action(at).is_some());
    assert!(rule("delay = \"1s\"").action(at).is_none());
    assert!(RuleSet::default().action(at).is_none());
    assert_eq!(ASK.of(&RuleSet::default()), Decision::default());
}

#[test]
fn the_run_tag_is_no_part_of_a_session() {
    let check = |value: &str, expect: &str| assert_eq!(fault_rules::select::session_key(value), expect);
    check("0123abcd-ff-3", "ff-3");
    check("0123ABCD-ff-3", "0123ABCD-ff-3");
    check("sid-1-2", "sid-1-2");
    check("", "");
}

const FROZEN: &[u64] = &[6, 126, 180, 184, 192, 197, 223, 275, 312, 354, 393, 398];
