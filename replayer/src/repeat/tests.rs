use super::*;
use crate::report::{Threshold, sample};

fn run(tag: &str, p99: u64, verdict: &str, exit_code: u8) -> Report {
    let mut tally = sample::tally();
    sample::answer(&mut tally, p99, false, 0, 0);
    let mut run = sample::report(&tally, "1/1");
    run.run = tag.to_owned();
    (run.verdict, run.exit_code, run.reason) = (verdict.to_owned(), exit_code, format!("{verdict} because"));
    run
}

#[test]
fn the_worst_run_is_the_verdict_and_the_middle_one_of_them_is_shown() {
    let mut runs = vec![
        run("a", 100, "pass", 0),
        run("b", 900, "fail", 99),
        run("c", 500, "fail", 99),
        run("d", 400, "fail", 99),
        run("e", 100, "pass", 0),
    ];
    let broken = |ok| Threshold { expr: "errors<1%".to_owned(), value: Some(0.5), bound: Some(0.01), ok };
    for (run, ok) in runs.iter_mut().zip([true, false, false, false, true]) {
        run.thresholds = vec![broken(ok)];
    }
    runs[4].generator.degraded =
        vec!["12 connections failed because no local port was free (see --bind)".to_owned()];
    let report = together(&runs, 5, None);
    assert_eq!((report.run.as_str(), report.verdict.as_str(), report.exit_code), ("c", "fail", 99));
    assert_eq!(report.reason, "fail because (run 3 of 5; 3 of 5 fail)");
    let repeat = report.repeat.clone().expect("there were several");
    assert_eq!((repeat.asked, repeat.shown, repeat.runs.len()), (5, 3, 5));
    let found: Vec<_> = repeat
        .findings
        .iter()
        .map(|found| (found.kind.as_str(), found.what.as_str(), found.runs.as_slice()))
        .collect();
    let expected = [
        ("threshold", "errors<1%", &[2, 3, 4][..]),
        ("generator", "connections failed because no local port was free", &[5]),
    ];
    assert_eq!(found, expected);
    let p99 = repeat.spread.iter().find(|spread| spread.figure == "response.p99").expect("it is there");
    assert_eq!((p99.min, p99.median, p99.max, p99.interval), (100.0, 400.0, 900.0, None));
    let text = report.text();
    for words in [
        "5 of 5 runs; the figures above are of run 3",
        "in 3 of 5 runs (run 2, 3, 4): threshold, errors<1%",
        "needs 6 runs",
    ] {
        assert!(text.contains(words), "{words} is missing in\n{text}");
    }
}

#[test]
fn a_series_that_was_stopped_says_so() {
    let runs = [run("a", 100, "pass", 0), run("b", 200, "fail", 99)];
    let ended = || Some("stopped by the user after 2 of 9 runs".to_owned());
    let report = together(&runs, 9, ended());
    assert_eq!((report.verdict.as_str(), report.exit_code), ("interrupted", 105));
    assert_eq!(report.reason, "stopped by the user after 2 of 9 runs");
    let invalid = [run("a", 100, "invalid", 113)];
    assert_eq!(together(&invalid, 9, ended()).exit_code, 113, "nothing is worse");
    let late = "run 3 of 9 could not start: no proxy".to_owned();
    let report = together(&runs, 9, Some(late.clone()));
    assert_eq!(report.exit_code, 99);
    assert!(report.generator.notes.contains(&late));
}

#[test]
fn one_run_is_what_it_was() {
    let one = run("a", 100, "pass", 0);
    assert_eq!(together(std::slice::from_ref(&one), 1, None), one);
}
