//! No bytes make the parsers panic, and what they accept can be decided with and explained.

#![allow(clippy::unwrap_used)] // helpers of tests

use fault_rules::{Facts, Loader, RuleSet, parse, parse_inline};
use proptest::prelude::*;

fn read(source: &str) -> Option<RuleSet> {
    match parse(source, "f", &Loader { file: &|_| Ok(b"body".to_vec()), ..Loader::NOTHING }) {
        Ok(set) => Some(set),
        Err(report) => {
            assert!(!report.findings().is_empty());
            for finding in report.findings() {
                assert!(1 <= finding.line && 1 <= finding.column && finding.column < finding.end_column);
            }
            assert!(!report.to_string().is_empty());
            None
        }
    }
}

/// Everything that may be done with an accepted set.
fn exercise(set: &RuleSet, path: &str, value: &str) {
    let header = |_: &str| Some("a=1; b=2");
    let facts = Facts {
        edge: value,
        method: "GET",
        authority: value,
        path,
        query: "",
        header: &header,
        operation: value,
        attempt: 1,
        session: value,
        connection: 1,
        client: value,
        upstream: "",
    };
    for second in [0, 60, 86_400] {
        let decision = set.decide(7, &facts, std::time::Duration::from_secs(second));
        for selected in &decision.selected {
            let _ = selected.action.and_then(|at| set.action(at)).map(fault_rules::Action::name);
        }
    }
    assert!(set.rules().iter().all(|rule| !rule.explain().is_empty()));
}

fn examples() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let rules: Vec<_> = files.filter(|path| path.extension().is_some_and(|it| it == "toml")).collect();
    rules.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

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
    fn any_text_is_read_or_refused(text in any::<String>(), path in "/[a-z/%]{0,20}") {
        if let Some(set) = read(&text) {
            exercise(&set, &path, &text);
        }
        let _ = parse_inline(&text).map_err(|report| report.to_string());
    }

    #[test]
    fn any_scraps_are_read_or_refused(text in scraps(), path in "/[a-z/%]{0,20}") {
        if let Some(set) = read(&text) {
            exercise(&set, &path, "s");
        }
        let _ = parse_inline(&text).map_err(|report| report.to_string());
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
        if let Some(set) = read(&damaged) {
            exercise(&set, "/api/cart/7", "s");
        }
    }
}

#[test]
fn deep_nesting_is_refused_in_time() {
    for open in ["[", "{a=", "[{a="] {
        let text = format!("x = {}", open.repeat(200_000));
        assert!(read(&text).is_none());
    }
    let many = "[[rule]]\nid = \"a\"\nrespond = 503\n".repeat(1_001);
    assert!(read(&many).is_none());
}
