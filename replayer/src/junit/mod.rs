//! Runs as JUnit XML, the report that CI systems read: `--junit FILE`.
//!
//! A run is a testsuite `squall`; its testcases are the verdict, each threshold, each row of the books, each rule of
//! the proxy with what it makes of itself, and each guard. What was not observed is skipped, never passed. The form is
//! what both the schema of Ant's task (the strictest in use) and that of Jenkins take.

mod xml;

use crate::books::{Row, State};
use crate::report::text::time;
use crate::report::{Guard, Report, Rule, Threshold};
use crate::verdict;
use xml::Xml;

/// All runs as one document, which ends with a line break.
pub fn junit(runs: &[Report]) -> String {
    let suites: Vec<Vec<Case>> = runs.iter().map(cases).collect();
    let mut xml = Xml::new();
    xml.open("testsuites", &[], &[]);
    for (id, (run, cases)) in runs.iter().zip(&suites).enumerate() {
        suite(&mut xml, id, run, cases);
    }
    xml.close("testsuites");
    xml.into_text()
}

fn suite(xml: &mut Xml, id: usize, run: &Report, cases: &[Case]) {
    let facts = [
        ("name", "squall".to_owned()),
        ("package", "squall".to_owned()),
        ("id", id.to_string()),
        ("timestamp", run.started.chars().take(SECONDS).collect()),
        ("hostname", "localhost".to_owned()),
        ("time", format!("{:.3}", seconds(run))),
    ];
    let facts: Vec<(&str, &str)> = facts.iter().map(|(name, value)| (*name, value.as_str())).collect();
    xml.open("testsuite", &facts, &Totals::of(cases.iter()).attributes());
    xml.open("properties", &[], &[]);
    let properties = [
        ("squall", &run.squall),
        ("run", &run.run),
        ("plan_hash", &run.plan_hash),
        ("seed", &run.seed),
        ("shard", &run.shard),
        ("capture", &run.plan.capture),
        ("target", &run.plan.target),
    ];
    for (name, value) in properties {
        xml.empty("property", &[("name", name), ("value", value)]);
    }
    xml.close("properties");
    cases.iter().for_each(|case| case.write(xml));
    xml.text("system-out", &[], &run.text());
    xml.text("system-err", &[], "");
    xml.close("testsuite");
}

/// One testcase.
struct Case {
    class: &'static str,
    name: String,
    seconds: f64,
    end: End,
}

/// How it ended; the words say why.
enum End {
    Passed,
    Failed(String),
    /// Not a finding about the target: the run itself proves nothing.
    Error(String),
    Skipped(String),
}

impl Case {
    fn new(class: &'static str, name: &str, end: End) -> Case {
        Case { class, name: name.to_owned(), seconds: 0.0, end }
    }

    fn write(&self, xml: &mut Xml) {
        let took = format!("{:.3}", self.seconds);
        let facts = [("name", self.name.as_str()), ("classname", self.class), ("time", &took)];
        if matches!(self.end, End::Passed) {
            return xml.empty("testcase", &facts);
        }
        xml.open("testcase", &facts, &[]);
        match &self.end {
            End::Passed => {}
            End::Failed(why) => xml.text("failure", &[("message", why), ("type", self.class)], why),
            End::Error(why) => xml.text("error", &[("message", why), ("type", self.class)], why),
            End::Skipped(why) => xml.empty("skipped", &[("message", why)]),
        }
        xml.close("testcase");
    }
}

fn cases(run: &Report) -> Vec<Case> {
    let mut cases = vec![Case { seconds: seconds(run), ..verdict_case(run) }];
    cases.extend(run.thresholds.iter().map(threshold));
    cases.extend(run.books.rows.iter().map(row));
    cases.extend(run.rules.iter().map(rule));
    cases.extend(run.guards.iter().map(guard));
    cases
}

fn verdict_case(run: &Report) -> Case {
    let words = format!("{} (exit code {}): {}", run.verdict, run.exit_code, run.reason);
    let end = match run.verdict.as_str() {
        "pass" => End::Passed,
        "fail" | "stopped" => End::Failed(words),
        _ => End::Error(words),
    };
    Case::new("squall.verdict", "verdict", end)
}

fn threshold(threshold: &Threshold) -> Case {
    let value = threshold.value.map_or_else(|| "nothing".to_owned(), |value| figure(&threshold.expr, value));
    let bound = threshold.bound.map(|bound| format!(", held against {}", figure(&threshold.expr, bound)));
    let words = format!("{} does not hold: measured {value}{}", threshold.expr, bound.unwrap_or_default());
    Case::new(
        "squall.thresholds",
        &threshold.expr,
        if threshold.ok { End::Passed } else { End::Failed(words) },
    )
}

/// A share of 1, or microseconds.
fn figure(expr: &str, value: f64) -> String {
    let is_share = ["errors", "answered", "failed"].iter().any(|share| expr.trim_start().starts_with(share));
    if is_share { format!("{:.3} %", value * 100.0) } else { time(value as u64) }
}

fn row(row: &Row) -> Case {
    let side = |side: Option<u64>| side.map_or_else(|| "not observed".to_owned(), |side| side.to_string());
    let note = row.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
    let sides = format!("{} against {}{note}", side(row.left), side(row.right));
    let end = match row.state {
        State::Balanced => End::Passed,
        State::Off => End::Failed(format!("off, {sides}")),
        State::Unknown => End::Skipped(format!("unknown, {sides}")),
    };
    Case::new("squall.books", &row.row, end)
}

fn rule(rule: &Rule) -> Case {
    let missed = verdict::missed_targets(std::slice::from_ref(rule));
    let is_judged = rule.audit.rate_low.is_some() || rule.units.is_some_and(|units| units >= verdict::UNITS);
    let end = match (missed.into_iter().next(), is_judged) {
        (Some(why), _) => End::Failed(why),
        (None, true) => End::Passed,
        (None, false) => End::Skipped("too little is known of it to judge its rate".to_owned()),
    };
    Case::new("squall.rules", &rule.id, end)
}

fn guard(guard: &Guard) -> Case {
    let end = match guard.tripped_at_us {
        None => End::Passed,
        Some(_) => End::Failed(guard.in_words()),
    };
    Case::new("squall.guards", &guard.name, end)
}

struct Totals([(&'static str, usize); 4]);

impl Totals {
    fn of<'c>(cases: impl Iterator<Item = &'c Case> + Clone) -> Totals {
        let count = |of: fn(&End) -> bool| cases.clone().filter(|case| of(&case.end)).count();
        Totals([
            ("tests", count(|_| true)),
            ("failures", count(|end| matches!(end, End::Failed(_)))),
            ("errors", count(|end| matches!(end, End::Error(_)))),
            ("skipped", count(|end| matches!(end, End::Skipped(_)))),
        ])
    }

    fn attributes(&self) -> [(&'static str, usize); 4] {
        self.0
    }
}

fn seconds(run: &Report) -> f64 {
    run.elapsed_us as f64 / 1e6
}

/// Characters of a moment to its seconds, without a zone: all that the schema takes.
const SECONDS: usize = "2026-01-01T00:00:00".len();

#[cfg(test)]
mod tests;
