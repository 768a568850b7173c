//! No bytes make the parsers panic, and what they accept can be decided with and explained.

#![allow(clippy::unwrap_used)] // helpers of tests

mod kit;

use proptest::prelude::*;

use kit::{examples, survive};

/// Pieces of the language, in any order.
fn scraps() -> impl Strategy<Value = String> {
    let words = [
        "[[rule]]\n",
        "id = \"a\"\n",
        "on = \"GET /a/** host x\"\n",
        "rate = \"5% of header x\"\n",
        "delay = ",
        "\"200ms\"",
        "\"p50 1ms, p99 2ms\"",
        "respond = 503\n",
        "one_of = [",
        "{ reset = \"after 5 B of body\" }",
        "]",
        "{",
        "}",
        "\n",
        "\"",
        "'",
        ",",
        "=",
        " ",
        "%",
        "..",
        "+-",
        "storm = { when = [\"5xx\"], copies = 3, max_amplification = 4 }\n",
        "\u{e9}",
        "\u{1f4a5}",
        "999999999999999999999",
        "-1",
        "0.5",
        "when = \"1m..2m\"\n",
        "[safety]\n",
        "max_affected = \"50%\"\n",
        "rate_limit",
        "blackhole",
        "/x",
        "GET",
        "#",
        "\\",
        "\r\n",
        "\t",
        "\u{0}",
        "header",
        "of",
    ];
    proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..40)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        survive(&text);
    }

    #[test]
    fn any_scraps_are_read_or_refused(text in scraps()) {
        survive(&text);
    }

    #[test]
    fn damaged_examples_are_read_or_refused(
        pick: prop::sample::Index, at: prop::sample::Index, len in 0_usize..30, patch in scraps(),
    ) {
        let all = examples();
        let text = pick.get(&all);
        let from = text.floor_char_boundary(at.index(text.len()));
        let to = text.floor_char_boundary((from + len).min(text.len()));
        let damaged = format!("{}{patch}{}", &text[..from], &text[to..]);
        survive(&damaged);
    }
}

/// One of these.
fn one(list: &[&'static str]) -> impl Strategy<Value = &'static str> + use<> {
    proptest::sample::select(list.to_vec())
}

/// A line of a rule, or none.
fn maybe(list: &[&'static str]) -> impl Strategy<Value = &'static str> + use<> {
    prop_oneof![2 => Just(""), 1 => one(list)]
}

/// A rule of good lines that need not go together.
fn any_rule() -> impl Strategy<Value = String> {
    let whom = (
        one(&[
            "",
            "on = \"GET /a/{b}\"",
            "on = \"HEAD /a/{b}\"",
            "on = \"/a/{b}/** -> 2xx|404\"",
            "on = \"-> 204\"",
        ]),
        maybe(&[
            "rate = \"5% of path b\"",
            "rate = \"0.1% of sessions\"",
            "rate = \"50%\"",
            "rate = \"1% of header x\"",
        ]),
        maybe(&["attempts = \"1..2\"", "attempts = \"3..\""]),
        maybe(&["shard = \"crc32(path b) % 16 in [3]\"", "shard = \"java(session) % 2 in [0]\""]),
        maybe(&["every = \"3rd per session\"", "every = \"1st\""]),
        maybe(&["burst = { enter = \"5%\", leave = \"10%\", rate = \"90%\" }"]),
    );
    let when = maybe(&[
        "when = \"1m..9m, ramp 2m, ramp down 1m, steps 3\"",
        "when = { to = \"9m\", ramp = \"1m\", scale = \"delay\" }",
        "when = \"..30s, every 1m 4 times\"",
    ]);
    let guard = maybe(&["guard = \"control\"", "guard = \"fixed\""]);
    let delay = maybe(&[
        "delay = \"200ms\"",
        "delay = \"p50 80ms, p99 900ms at response\"",
        "delay = \"at least 1s at first_byte\"",
        "delay = \"like capture.zst x2\"",
        "delay = { dist = \"pareto\", scale = \"5ms\", shape = 2 }",
    ]);
    let fault = maybe(&[
        "respond = 503",
        "reset = \"before headers\"",
        "reset = \"after 50% of body\"",
        "truncate = \"60%\"",
        "throttle = { request = \"1KB/s\" }",
        "stall = \"8s after 3 events\"",
        "loss = \"2%\"",
        "corrupt = \"zero per 1KB\"",
        "drop_response = \"30s, then reset\"",
        "duplicate = 2",
        "stale = \"30s\"",
        "goaway = 11",
        "websocket_close = 1006",
        "outage = \"refuse\"\nfailover = { to = \"us\" }",
        "blackhole = \"forever\"",
        "rate_limit = \"5/s per session\"",
        "storm = { when = [\"5xx\"], copies = 2, max_amplification = 2 }",
        "one_of = [{ respond = 500 }, { delay = \"1s\", weight = 0 }, { truncate = \"headers\" }]",
    ]);
    (whom, when, guard, delay, fault).prop_map(|(whom, when, guard, delay, fault)| {
        let (on, rate, attempts, shard, every, burst) = whom;
        [on, rate, attempts, shard, every, burst, when, guard, delay, fault].join("\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Good lines are refused only where they contradict each other, and what is accepted holds.
    #[test]
    fn rules_of_good_lines_are_read_or_contradict(rules in proptest::collection::vec(any_rule(), 1..6)) {
        let head = "[group.us]\nmembers = [\"a:1\"]\n[guard.control]\nsignal = \"p99\"\nlimit = \"control + 1s\"\n\
                    [guard.fixed]\nsignal = \"error_ratio\"\nlimit = \"1%\"\n";
        let tables = rules.iter().enumerate().map(|(n, lines)| format!("[[rule]]\nid = \"r{n}\"\n{lines}\n"));
        let source = head.to_owned() + &tables.collect::<String>();
        match kit::read(&source) {
            Ok(set) => {
                prop_assert_eq!(set.rules().len(), rules.len());
                kit::holds(&set);
                kit::exercise(&set);
            }
            Err(report) => {
                kit::refused(&report);
                for finding in report.findings() {
                    let contradicts = ["E03", "E04", "E10", "E12", "E13", "E16", "E17", "E18", "E19", "W02", "W03", "W05"];
                    prop_assert!(contradicts.contains(&finding.code), "{}\nin\n{}", finding, source);
                }
            }
        }
    }
}

#[test]
fn deep_nesting_is_refused_in_time() {
    for open in ["[", "{a=", "[{a="] {
        let text = format!("x = {}", open.repeat(200_000));
        assert!(kit::read(&text).is_err());
    }
    let many = "[[rule]]\nid = \"a\"\nrespond = 503\n".repeat(1_001);
    assert!(kit::read(&many).is_err());
}
