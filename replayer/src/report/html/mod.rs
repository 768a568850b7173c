//! Runs as one self-contained page: what run.json holds, drawn; or the history of a plan. Works from disk, asks nothing of
//! any network, and needs no build step: the page, its style and its scripts are files beside this one, put together here.
//!
//! ```text
//! run.json --run--> what the page shows, bounded --+
//!          --compare--> differences, intervals ----+--> JSON in page.html, read by page/*.js
//! history  --course--> runs, figures, changes -----+
//! ```
//!
//! The page is stranger to all text in a run: data stands in a script element of another type with every `<`, `>` and `&`
//! escaped, the scripts set it as text only, and the policy of the page lets nothing run but these very scripts.

mod compare;
mod data;
mod escape;
mod past;
mod stats;

use std::path::Path;

use base64::Engine as _;
use serde_json::{Value, json};

use super::{Report, read};

pub use past::history;

/// A run that a page shows.
#[derive(Clone, Debug)]
pub struct Run {
    /// What the page calls it.
    name: String,
    report: Report,
    /// The same, with the parts that [`Report`] does not know.
    all: Value,
}

impl Run {
    /// The run of a run.json, at most 256 MiB, named after its file.
    ///
    /// # Errors
    /// Words for the user, with the name of the file: it cannot be read, is too large, or is no run.json.
    pub fn load(path: &Path) -> Result<Run, String> {
        let text = read::text(path)?;
        let report = read::report(path, &text)?;
        let all = serde_json::from_slice(&text).map_err(|err| format!("{}: {err}", path.display()))?;
        Ok(Run { name: path.display().to_string(), report, all })
    }

    /// The run of this process.
    ///
    /// # Errors
    /// Words for the user: the report cannot be written as JSON.
    pub fn of(report: &Report) -> Result<Run, String> {
        let all = serde_json::to_value(report).map_err(|err| format!("cannot write the report: {err}"))?;
        Ok(Run { name: "this run".to_owned(), report: report.clone(), all })
    }
}

/// The page of one run, or of up to [`RUNS`], of which the first is the base of the comparison.
///
/// # Errors
/// Words for the user: there are too many, or none.
pub fn page(runs: Vec<Run>) -> Result<String, String> {
    if !(1..=RUNS).contains(&runs.len()) {
        return Err(format!("a report shows 1 to {RUNS} runs, not {}", runs.len()));
    }
    let names = data::names(runs.iter().map(|run| run.name.as_str()));
    let compared = compare::all(&runs);
    let plain: Vec<String> =
        runs.iter().zip(&names).map(|(run, name)| format!("{name}\n\n{}", run.report.text())).collect();
    let title = title(&runs);
    let shown: Vec<Value> = runs
        .into_iter()
        .zip(names)
        .map(|(run, name)| json!({ "name": name, "run": data::shown(run.all) }))
        .collect();
    let page = json!({
        "runs": shown,
        "compare": compared,
        "confidence": compare::CONFIDENCE,
        "method": compare::METHOD,
    });
    Ok(assembled(
        &Page { title: &title, skip: "the verdict", plain: &plain.join("\n\n"), data: &page },
        &[&TOOLS[..], &OF_RUNS].concat(),
    ))
}

/// What a page is made of.
struct Page<'a> {
    title: &'a str,
    /// What its main part begins with.
    skip: &'a str,
    /// The same as text, for browsers without scripts.
    plain: &'a str,
    data: &'a Value,
}

fn assembled(page: &Page<'_>, scripts: &[&str]) -> String {
    let script = format!("\"use strict\";\n(() => {{\n{}}})();\n", scripts.concat());
    escape::filled(
        PAGE,
        &[
            ("policy", &policy(&script)),
            ("title", &escape::text(page.title)),
            ("skip", page.skip),
            ("style", STYLE),
            ("plain", &escape::text(page.plain)),
            ("data", &escape::json(&page.data.to_string())),
            ("script", &script),
        ],
    )
}

fn title(runs: &[Run]) -> String {
    let verdicts: Vec<&str> = runs.iter().map(|run| run.report.verdict.as_str()).collect();
    let capture = runs[0].report.plan.capture.rsplit('/').next().unwrap_or_default();
    format!("{}: {capture} – Squall", verdicts.join(", "))
}

/// Nothing is fetched, and nothing runs but the style and the script of the page itself.
fn policy(script: &str) -> String {
    let hash = |text: &str| {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        base64::engine::general_purpose::STANDARD.encode(digest)
    };
    format!(
        "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'",
        hash(STYLE),
        hash(script)
    )
}

/// Most runs on one page.
pub const RUNS: usize = 8;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
/// What all pages are drawn with, in the order in which they build on one another.
const TOOLS: [&str; 4] = [
    include_str!("page/base.js"),
    include_str!("page/table.js"),
    include_str!("page/axes.js"),
    include_str!("page/frame.js"),
];
const OF_RUNS: [&str; 9] = [
    include_str!("page/course.js"),
    include_str!("page/curve.js"),
    include_str!("page/heat.js"),
    include_str!("page/verdict.js"),
    include_str!("page/why.js"),
    include_str!("page/sections.js"),
    include_str!("page/chain.js"),
    include_str!("page/compare.js"),
    include_str!("page/main.js"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn run(name: &str, reason: &str) -> Run {
        let mut tally = sample::tally();
        sample::answer(&mut tally, 1500, true, 0, 0);
        let mut report = sample::report(&tally, "1/1");
        report.reason = reason.to_owned();
        report.routes[0].route = reason.to_owned();
        report.argv = ["replay", "-H", "authorization: Bearer abcdef", "a.zst"].map(str::to_owned).into();
        Run { name: name.to_owned(), ..Run::of(&report).expect("it is JSON") }
    }

    /// The data in a page.
    fn data(page: &str) -> Value {
        let (_, rest) = page.split_once("id=\"data\">").expect("there is data");
        let (data, _) = rest.split_once("</script>").expect("it ends");
        serde_json::from_str(data).expect("it is JSON")
    }

    #[test]
    fn a_page_holds_the_run_and_is_closed_to_its_text() {
        let hostile = "</script><script>alert(1)</script>{{policy}}<!-- \u{2028}";
        let page = page(vec![run("a/run.json", hostile)]).expect("a page");
        let data = data(&page);
        assert_eq!(data["runs"][0]["name"], "run.json");
        assert_eq!(data["runs"][0]["run"]["routes"][0]["route"], hostile);
        assert_eq!(data["runs"][0]["run"]["latency"]["response"]["curve"], json!([1500]));
        assert!(!page.contains("<script>alert") && !page.contains("abcdef") && !page.contains("\"hdr\""));
        assert_eq!(page.matches("</script>").count(), 2);
        assert_eq!(page.matches("{{").count(), page.matches("{{policy}}").count(), "a place was not filled");
    }

    #[test]
    fn the_policy_lets_these_scripts_run_and_no_others() {
        let page = page(vec![run("run.json", "")]).expect("a page");
        let script = page.rsplit_once("<script>").and_then(|(_, rest)| rest.split_once("</script>"));
        let (script, _) = script.expect("there is a script");
        assert!(page.contains(&policy(script)), "the hash is of another script");
        assert!(
            !page.contains("http-equiv=\"refresh\"") && !STYLE.contains("url(") && !STYLE.contains("@import")
        );
    }

    #[test]
    fn so_many_runs_and_no_more() {
        let some = |count: usize| page((0..count).map(|n| run(&format!("{n}.json"), "")).collect());
        assert_eq!(data(&some(RUNS).expect("a page"))["compare"].as_array().map(Vec::len), Some(RUNS - 1));
        assert!(some(RUNS + 1).is_err_and(|words| words.contains("1 to 8 runs, not 9")));
        assert!(some(0).is_err());
    }
}
