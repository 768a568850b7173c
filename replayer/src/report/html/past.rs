//! The history of a plan as a page: its runs in a row, what each figure was in them, and where one moved.

use serde_json::{Value, json};

use super::{Page, TOOLS, assembled, data};
use crate::figures::FIGURES;
use crate::history::change::LEAST;
use crate::history::course::{Course, Moved};
use crate::history::{KEPT, Record};

/// The page of a course. `plain` is the same in words, for browsers without scripts.
pub fn history(course: &Course, plain: &str) -> String {
    let page = json!({
        "plan": course.plan_hash,
        "shard": course.shard,
        "compared": course.compared,
        "least": LEAST,
        "kept": KEPT,
        "runs": course.runs.iter().map(run).collect::<Vec<_>>(),
        "figures": figures(&course.runs),
        "moved": course.changes.iter().map(moved).collect::<Vec<_>>(),
        "others": course.others.iter().take(OTHERS).collect::<Vec<_>>(),
        "other_plans": course.others.len(),
        "unreadable": course.unreadable,
        "removed": course.removed,
        "newest": course.runs.last().map(plan).unwrap_or_default(),
    });
    let title = format!("{} runs of plan {} – Squall", course.runs.len(), course.plan_hash);
    let page = Page { title: &title, skip: "what moved", plain, data: &page };
    assembled(&page, &[&TOOLS[..], &[include_str!("page/history.js")]].concat())
}

fn run(run: &Record) -> Value {
    json!({
        "run": beginning(&run.run),
        "started": beginning(&run.started),
        "elapsed_us": run.elapsed_us,
        "verdict": beginning(&run.verdict),
        "reason": beginning(&run.reason),
        "finding": run.headline.as_deref().map(beginning),
        "is_whole": run.is_whole(),
    })
}

/// What the runs have in common, more or less.
fn plan(run: &Record) -> Value {
    json!({
        "squall": beginning(&run.squall),
        "capture": beginning(&run.capture),
        "target": beginning(&run.target),
        "seed": beginning(&run.seed),
        "argv": command(run),
    })
}

/// A column for each figure that any run has, in the order of the runs.
fn figures(runs: &[Record]) -> Vec<Value> {
    let known = FIGURES.iter().filter(|figure| runs.iter().any(|run| run.figures.contains_key(figure.name)));
    let column = |figure: &crate::figures::Figure| {
        let values: Vec<Option<&f64>> = runs.iter().map(|run| run.figures.get(figure.name)).collect();
        json!({ "name": figure.name, "unit": figure.unit, "values": values })
    };
    known.map(column).collect()
}

fn moved(moved: &Moved) -> Value {
    let mut all = json!(moved);
    all["words"] = Value::from(moved.in_words());
    all
}

fn command(run: &Record) -> Vec<String> {
    let words: Vec<Value> = run.argv.iter().take(WORDS).map(|word| Value::from(word.as_str())).collect();
    data::masked(&words).iter().map(|word| beginning(word).to_owned()).collect()
}

/// A thousand runs must fit into a page of two megabytes.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT)]
}

const OTHERS: usize = 20;
const WORDS: usize = 256;
const TEXT: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::History;

    /// A thousand runs, as full as a history keeps them.
    fn full(text: &str) -> Course {
        let record = |nth: usize| Record {
            run: format!("{nth:08x}"),
            started: format!("2026-11-27T20:{:02}:{:02}.123456Z", nth / 60 % 60, nth % 60),
            plan_hash: "0123456789abcdef".to_owned(),
            shard: "1/1".to_owned(),
            verdict: "degraded".to_owned(),
            capture: text.repeat(1000 / text.len()),
            target: "http://127.0.0.1:65535".to_owned(),
            reason: text.repeat(1000 / text.len()),
            headline: Some(text.repeat(1000 / text.len())),
            argv: ["replay", "-H", "authorization: Bearer abcdef", text].map(str::to_owned).into(),
            figures: FIGURES
                .iter()
                .map(|figure| (figure.name.to_owned(), 1234.567891 + nth as f64 / 7.0))
                .collect(),
            ..Record::default()
        };
        let history = History { records: (0..20).map(record).collect(), unreadable: 1 };
        let course = history.course("").expect("there are runs");
        Course { runs: (0..KEPT).map(record).collect(), ..course }
    }

    #[test]
    fn a_full_history_fits_and_is_closed_to_its_text() {
        let hostile = "</script><script>alert(1)</script>\u{e4}{{policy}}<!-- \u{2028}";
        let page = history(&full(hostile), hostile);
        assert!(page.len() < 2_000_000, "{} bytes", page.len());
        assert!(!page.contains("<script>alert") && !page.contains("Bearer"), "text became markup");
        let (_, rest) = page.split_once("id=\"data\">").expect("there is data");
        let (data, _) = rest.split_once("</script>").expect("it ends");
        let data: Value = serde_json::from_str(data).expect("it is JSON");
        assert_eq!(data["runs"].as_array().map(Vec::len), Some(KEPT));
        assert_eq!(data["figures"].as_array().map(Vec::len), Some(FIGURES.len()));
        assert_eq!(data["newest"]["argv"][2], "authorization: …");
        assert!(data["moved"][0]["words"].as_str().is_some_and(|words| words.contains("moved at run")));
    }

    #[test]
    fn what_a_run_lacks_is_a_gap() {
        let mut course = full("text");
        course.runs.truncate(3);
        course.runs[1].figures.remove("errors");
        for run in &mut course.runs {
            run.figures.remove("response.mean");
        }
        let columns = figures(&course.runs);
        assert_eq!(columns.len(), FIGURES.len() - 1);
        let errors = columns.iter().find(|column| column["name"] == "errors").expect("two have it");
        assert_eq!((&errors["values"][1], errors["values"][2].is_number()), (&Value::Null, true));
    }
}
