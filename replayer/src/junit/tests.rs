use std::collections::BTreeMap;

use proptest::prelude::*;
use roxmltree::{Document, Node};

use super::*;
use crate::report::{RuleAudit, sample};

/// A run of which something failed in every way.
fn run() -> Report {
    let mut tally = sample::tally();
    sample::answer(&mut tally, 1000, false, 0, 0);
    let mut run = sample::report(&tally, "1/1");
    (run.verdict, run.exit_code, run.reason) = ("fail".to_owned(), 99, "does not hold: a<b".to_owned());
    let threshold = |expr: &str, value, bound, ok| Threshold { expr: expr.to_owned(), value, bound, ok };
    run.thresholds = vec![
        threshold("errors<1%", Some(0.25), Some(0.01), false),
        threshold("response:p(95)<300ms", Some(1500.0), Some(300_000.0), true),
        threshold("first_event:p(99)<2s", None, Some(2e6), false),
    ];
    let rule = |id: &str, units, missed: Option<&str>| Rule {
        id: id.to_owned(),
        eligible: 100,
        selected: 5,
        suppressed: BTreeMap::new(),
        applied: 5,
        asked_rate: 0.05,
        realised_rate: 0.05,
        units,
        audit: RuleAudit { missed: missed.map(str::to_owned), ..RuleAudit::default() },
    };
    run.rules = vec![
        rule("kept", Some(100), None),
        rule("unknown", None, None),
        rule("gone", None, Some("never matched")),
    ];
    run.guards = vec![
        Guard { name: "held".to_owned(), ..Guard::default() },
        Guard { name: "slo".to_owned(), tripped_at_us: Some(1), ..Guard::default() },
    ];
    let off = Row {
        row: "seen = <sent>".to_owned(),
        left: Some(1),
        right: Some(2),
        state: State::Off,
        note: Some("\"why\" & how".to_owned()),
    };
    run.books.rows.truncate(3);
    run.books.rows.push(off);
    run
}

/// Children by name and number, attributes by name: what Ant's schema demands and allows.
fn expect_valid(document: &Document<'_>) {
    let root = document.root_element();
    assert_eq!(root.tag_name().name(), "testsuites");
    expect_attributes(root, &[], &[]);
    for (id, suite) in elements(root).enumerate() {
        assert_eq!((suite.tag_name().name(), suite.attribute("name")), ("testsuite", Some("squall")));
        let wanted =
            ["name", "package", "id", "timestamp", "hostname", "time", "tests", "failures", "errors"];
        expect_attributes(suite, &wanted, &["skipped"]);
        assert_eq!(suite.attribute("id"), Some(id.to_string().as_str()));
        assert_eq!(suite.attribute("timestamp").map(str::len), Some(19));
        let mut names: Vec<&str> = elements(suite).map(|child| child.tag_name().name()).collect();
        assert_eq!(names.iter().filter(|name| **name == "testcase").count(), number(suite, "tests"));
        names.dedup();
        assert_eq!(names, ["properties", "testcase", "system-out", "system-err"]);
        for property in elements(suite).filter(|child| child.has_tag_name("properties")).flat_map(elements) {
            expect_attributes(property, &["name", "value"], &[]);
        }
        for (end, total) in [("failure", "failures"), ("error", "errors"), ("skipped", "skipped")] {
            assert_eq!(
                suite.descendants().filter(|node| node.has_tag_name(end)).count(),
                number(suite, total)
            );
        }
        for case in elements(suite).filter(|child| child.has_tag_name("testcase")) {
            expect_attributes(case, &["name", "classname", "time"], &[]);
            assert!(case.attribute("time").is_some_and(|time| time.parse::<f64>().is_ok()));
            assert!(elements(case).count() <= 1);
            elements(case).for_each(expect_end);
        }
    }
}

fn expect_end(end: Node<'_, '_>) {
    match end.tag_name().name() {
        "failure" | "error" => expect_attributes(end, &["type"], &["message"]),
        "skipped" => expect_attributes(end, &[], &["message"]),
        other => panic!("a testcase holds no {other}"),
    }
}

fn expect_attributes(node: Node<'_, '_>, wanted: &[&str], allowed: &[&str]) {
    for name in wanted {
        assert!(node.attribute(*name).is_some(), "{} has no {name}", node.tag_name().name());
    }
    for attribute in node.attributes() {
        assert!(wanted.contains(&attribute.name()) || allowed.contains(&attribute.name()), "{attribute:?}");
    }
}

fn elements<'a, 'i>(node: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(Node::is_element)
}

fn number(node: Node<'_, '_>, name: &str) -> usize {
    node.attribute(name).and_then(|value| value.parse().ok()).expect("a count")
}

/// How each testcase ended: class, name, and the element that says so.
fn ends(text: &str) -> Vec<(String, String, String)> {
    let document = Document::parse(text).expect("it is XML");
    expect_valid(&document);
    let cases = document.descendants().filter(|node| node.has_tag_name("testcase"));
    let shown = |case: Node<'_, '_>| {
        let end = elements(case).next().map_or("passed", |end| end.tag_name().name()).to_owned();
        let attribute = |name: &str| case.attribute(name).unwrap_or_default().to_owned();
        (attribute("classname"), attribute("name"), end)
    };
    cases.map(shown).collect()
}

#[test]
fn a_testcase_for_each_judgement() {
    let text = junit(&[run()]);
    let ends = ends(&text);
    let shown: Vec<(&str, &str, &str)> =
        ends.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    assert_eq!(
        shown,
        [
            ("squall.verdict", "verdict", "failure"),
            ("squall.thresholds", "errors<1%", "failure"),
            ("squall.thresholds", "response:p(95)<300ms", "passed"),
            ("squall.thresholds", "first_event:p(99)<2s", "failure"),
            ("squall.books", "planned + retries = sent + never sent", "passed"),
            ("squall.books", "sent = answered + failed", "passed"),
            ("squall.books", "sent = seen at the edge + lost before the proxy", "skipped"),
            ("squall.books", "seen = <sent>", "failure"),
            ("squall.rules", "kept", "passed"),
            ("squall.rules", "unknown", "skipped"),
            ("squall.rules", "gone", "failure"),
            ("squall.guards", "held", "passed"),
            ("squall.guards", "slo", "failure"),
        ]
    );
    for words in [
        "errors&lt;1% does not hold: measured 25.000 %, held against 1.000 %",
        "measured nothing, held against 2.00 s",
        "off, 1 against 2: &quot;why&quot; &amp; how",
    ] {
        assert!(text.contains(words), "{words} is missing in\n{text}");
    }
}

#[test]
fn what_proves_nothing_is_an_error_and_each_run_a_suite() {
    let mut invalid = run();
    invalid.verdict = "invalid".to_owned();
    let text = junit(&[run(), invalid]);
    let verdicts: Vec<String> = ends(&text)
        .into_iter()
        .filter(|(class, ..)| class == "squall.verdict")
        .map(|(.., end)| end)
        .collect();
    assert_eq!(verdicts, ["failure", "error"]);
    assert_eq!(Document::parse(&text).map(|all| elements(all.root_element()).count()), Ok(2));
}

proptest! {
    /// Whatever a route, a rule or a reason is called: the document stays one, and the name comes back.
    #[test]
    fn hostile_names_stay_names(name in any::<String>(), reason in any::<String>()) {
        let mut run = run();
        run.rules[0].id = name.clone();
        run.thresholds[0].expr = name.clone();
        run.plan.capture = name.clone();
        run.reason = reason;
        let ends = ends(&junit(&[run]));
        let writable = |c: char| if matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..) { c } else { '\u{fffd}' };
        let expected: String = name.chars().map(writable).collect();
        let named = ends.iter().filter(|(_, found, _)| *found == expected).count();
        prop_assert!(2 <= named, "{expected:?} is not in {ends:?}");
    }
}
