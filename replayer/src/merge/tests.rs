use proptest::prelude::*;

use super::*;
use crate::books::{Row, State};
use crate::limits;
use crate::report::{Guard, Rule, RuleAudit, RuleDelay, sample};
use crate::tally::Tally;

#[derive(Clone, Copy, Debug)]
struct Answer {
    shard: usize,
    us: u64,
    failed: bool,
    route: usize,
    cohort: usize,
}

fn tally(answers: &[Answer], of: impl Fn(usize) -> bool) -> Tally {
    let mut tally = sample::tally();
    for answer in answers.iter().filter(|answer| of(answer.shard)) {
        sample::answer(&mut tally, answer.us, answer.failed, answer.route, answer.cohort);
    }
    tally
}

/// One report for each of `count` shards.
fn shards(answers: &[Answer], count: usize) -> Vec<(String, Report)> {
    let run = |shard: usize| {
        let mut report = sample::report(&tally(answers, |of| of == shard), &format!("{}/{count}", shard + 1));
        report.plan.requests = answers.len() as u64;
        report.run = format!("{shard:08x}");
        report.generator.notes = vec!["all say this".to_owned(), format!("only {shard} says this")];
        let demands = ["response:p(99)<1s", "errors{cohort=users}<=50%"];
        report.thresholds = demands.map(|expr| demand(expr, &report)).into();
        (format!("{shard}.json"), report)
    };
    (0..count).map(run).collect()
}

fn demand(expr: &str, report: &Report) -> Threshold {
    let threshold: crate::Threshold = expr.parse().expect(expr);
    threshold.judge(report, threshold.bound(None))
}

/// Four shards of one answer each.
fn four() -> Vec<(String, Report)> {
    let answers: Vec<Answer> =
        (0..4).map(|shard| Answer { shard, us: 1000, failed: false, route: 0, cohort: 0 }).collect();
    shards(&answers, 4)
}

fn answers(count: usize) -> impl Strategy<Value = Vec<Answer>> {
    let micros = prop_oneof![0..2000_u64, 0..limits::LATENCY_MAX_US, Just(3 * limits::LATENCY_MAX_US)];
    let parts = (0..count, micros, any::<bool>(), 0..3_usize, 0..2_usize);
    let answer =
        parts.prop_map(|(shard, us, failed, route, cohort)| Answer { shard, us, failed, route, cohort });
    proptest::collection::vec(answer, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn the_shards_are_the_whole(
        (count, answers) in (1..6_usize).prop_flat_map(|count| (Just(count), answers(count))),
    ) {
        let merged = merge(shards(&answers, count)).expect("they belong together");
        let whole = sample::report(&tally(&answers, |_| true), "1/1");
        let same = |a: &crate::report::Latency, b: &crate::report::Latency| {
            let figures = (a.p50, a.p99_9, a.max, a.count) == (b.p50, b.p99_9, b.max, b.count);
            figures && a.histogram() == b.histogram()
        };
        prop_assert!(same(&merged.latency.response, &whole.latency.response));
        prop_assert!(same(&merged.latency.service, &whole.latency.service));
        prop_assert_eq!((merged.routes.len(), merged.cohorts.len()), (whole.routes.len(), whole.cohorts.len()));
        for (route, other) in merged.routes.iter().zip(&whole.routes) {
            prop_assert_eq!((&route.route, route.requests, route.failed), (&other.route, other.requests, other.failed));
            prop_assert!(same(&route.response, &other.response));
        }
        for (cohort, other) in merged.cohorts.iter().zip(&whole.cohorts) {
            prop_assert_eq!((&cohort.cohort, cohort.failed), (&other.cohort, other.failed));
            prop_assert!(same(&cohort.response, &other.response));
        }
        prop_assert_eq!((&merged.requests, &merged.failures), (&whole.requests, &whole.failures));
        let judged = ["response:p(99)<1s", "errors{cohort=users}<=50%"].map(|expr| demand(expr, &whole));
        prop_assert_eq!(&merged.thresholds, &Vec::from(judged));
        prop_assert!(merged.books.balanced);
    }

    #[test]
    fn order_and_grouping_do_not_matter(
        (answers, order, cut) in (answers(4), Just(vec![0, 1, 2, 3]).prop_shuffle(), 1..4_usize),
    ) {
        let runs = shards(&answers, 4);
        let of = |indices: &[usize]| indices.iter().map(|index| runs[*index].clone()).collect::<Vec<_>>();
        let at_once = merge(runs.clone()).expect("they belong together");
        prop_assert_eq!(&merge(of(&order)).expect("any order"), &at_once);
        let (some, rest) = order.split_at(cut);
        let halves = [some, rest].map(|part| merge(of(part)).expect("a part of them"));
        let grouped = merge(halves.into_iter().map(|half| ("part.json".to_owned(), half)).collect());
        prop_assert_eq!(&grouped.expect("parts belong together"), &at_once);
    }
}

#[test]
fn what_does_not_belong_together_is_refused() {
    fn refused(change: impl FnOnce(&mut Vec<(String, Report)>), words: &str) {
        let mut runs = four();
        change(&mut runs);
        let err = merge(runs).expect_err(words);
        assert!(err.contains(words), "{err}");
    }
    refused(Vec::clear, "no run");
    refused(|runs| runs[1].1.plan_hash = "bb".to_owned(), "1.json of the plan bb");
    refused(|runs| runs[2].1.seed = "2".to_owned(), "of the seed 1 and 2.json of the seed 2");
    refused(|runs| runs[3].1.squall = "9.9".to_owned(), "written by Squall 9.9");
    refused(|runs| runs[3].1.shard = "5/5".to_owned(), "a part of 4 and 3.json a part of 5");
    refused(|runs| runs[3].1.shard = "2/4".to_owned(), "1.json and 3.json: both are of shard 2 of 4");
    refused(|runs| runs[3].1.shard = "much".to_owned(), "3.json: `much` is not a shard");
    refused(|runs| runs[0].1.latency.wait.hdr = "junk".to_owned(), "histogram");
    refused(|runs| runs[0].1.thresholds[0].bound = Some(5.0), "different baselines");
    refused(
        |runs| runs.iter_mut().for_each(|(_, run)| run.thresholds[0].expr = "respons<1".to_owned()),
        "did you mean",
    );
}

#[test]
fn missing_shards_degrade_until_they_come() {
    let mut runs = four();
    let late = runs.split_off(2);
    let some = merge(runs).expect("they belong together");
    assert_eq!((some.shard.as_str(), some.exit_code), ("1-2/4", 111));
    assert!(some.reason.contains("lack shards 3-4 of 4"), "{}", some.reason);
    let mut all = vec![("some.json".to_owned(), some)];
    all.extend(late);
    let whole = merge(all).expect("they belong together");
    assert_eq!((whole.shard.as_str(), whole.exit_code, whole.verdict.as_str()), ("1-4/4", 0, "pass"));
    assert!(whole.reason.contains("2 thresholds hold"), "{}", whole.reason);
    assert_eq!(whole.generator.degraded, Vec::<String>::new());
    let notes = ["all say this", "only 0 says this (shard 1 of 4)"];
    assert_eq!(whole.generator.notes[1..3], notes.map(str::to_owned));
    assert_eq!(whole.run, "00000000,00000001,00000002,00000003");
}

#[test]
fn a_row_that_is_off_in_one_shard_stays_off() {
    let mut runs = four();
    let off = |left, right| Row {
        row: "seen".to_owned(),
        left: Some(left),
        right: Some(right),
        state: if left == right { State::Balanced } else { State::Off },
        note: None,
    };
    for ((_, run), (left, right)) in runs.iter_mut().zip([(5, 6), (6, 5), (7, 7), (7, 7)]) {
        run.books.rows.push(off(left, right));
    }
    let whole = merge(runs).expect("they belong together");
    let row = whole.books.rows.iter().find(|row| row.row == "seen").expect("it is there");
    assert_eq!((row.left, row.right, row.state), (Some(25), Some(25), State::Off));
    assert_eq!(row.note.as_deref(), Some("off (shards 1-2 of 4)"));
    assert_eq!((whole.exit_code, whole.books.balanced), (113, false));
}

#[test]
fn a_row_that_one_shard_does_not_know_is_unknown() {
    let mut runs = four();
    for (_, run) in &mut runs[1..] {
        let row = &mut run.books.rows[2];
        (row.right, row.state, row.note) = (row.left, State::Balanced, None);
    }
    let row = merge(runs).expect("they belong together").books.rows[2].clone();
    assert_eq!((row.left, row.right, row.state), (Some(4), None, State::Unknown));
    assert_eq!(row.note.as_deref(), Some("no proxy was named (--proxy URL) (shard 1 of 4)"));
}

#[test]
fn shards_that_planned_something_else_are_told() {
    let mut runs = four();
    runs.iter_mut().for_each(|(_, run)| run.plan.requests = 5);
    let whole = merge(runs.clone()).expect("they belong together");
    assert_eq!(whole.exit_code, 113);
    assert!(whole.reason.contains("requests of the plan = planned by its shards"), "{}", whole.reason);
    runs.iter_mut().for_each(|(_, run)| run.plan.exact = false);
    assert_eq!(merge(runs).expect("they belong together").exit_code, 0);
}

#[test]
fn rules_and_thresholds_are_judged_over_the_whole() {
    let mut runs = four();
    for (index, (_, run)) in runs.iter_mut().enumerate() {
        let lucky = index % 2 == 0;
        run.rules = vec![Rule {
            id: "r".to_owned(),
            eligible: 1000,
            selected: if lucky { 90 } else { 10 },
            suppressed: BTreeMap::new(),
            applied: 1,
            asked_rate: 0.05,
            realised_rate: if lucky { 0.09 } else { 0.01 },
            units: Some(1000),
            audit: crate::report::RuleAudit::default(),
        }];
        (run.verdict, run.exit_code) = ("invalid".to_owned(), 113);
    }
    let whole = merge(runs.clone()).expect("they belong together");
    assert_eq!((whole.rules[0].realised_rate, whole.rules[0].units, whole.exit_code), (0.05, Some(4000), 0));
    runs[0].1.rules[0].selected = 1000;
    assert_eq!(merge(runs).expect("they belong together").exit_code, 113);
    let mut runs = four();
    let more = ["errors<0.1", "answered<0.1"].map(|expr| demand(expr, &runs[1].1));
    runs[1].1.thresholds.extend(more);
    let whole = merge(runs).expect("they belong together");
    let exprs: Vec<&str> = whole.thresholds.iter().map(|threshold| threshold.expr.as_str()).collect();
    assert_eq!(exprs, ["answered<0.1", "errors<0.1", "errors{cohort=users}<=50%", "response:p(99)<1s"]);
    assert_eq!((whole.exit_code, whole.reason.as_str()), (99, "does not hold: answered<0.1"));
}

#[test]
fn what_the_proxies_say_of_rules_and_guards_is_joined() {
    let delay = |count, asked_mean_us, error_p99_us| RuleDelay {
        count,
        asked_mean_us,
        error_p99_us,
        ..RuleDelay::default()
    };
    let rule = |eligible: u64, missed: Option<&str>, delay: RuleDelay| Rule {
        id: "r".to_owned(),
        eligible,
        selected: eligible / 2,
        suppressed: BTreeMap::new(),
        applied: 0,
        asked_rate: 0.5,
        realised_rate: 0.5,
        units: Some(eligible),
        audit: RuleAudit {
            rate_low: Some(0.4),
            rate_high: Some(0.6),
            delay: Some(delay),
            missed: missed.map(str::to_owned),
        },
    };
    let merged = |first: Rule, second: Rule, guards: [Vec<Guard>; 2]| {
        let mut runs = four();
        runs.truncate(2);
        for ((_, run), (rule, guards)) in runs.iter_mut().zip([first, second].into_iter().zip(guards)) {
            (run.rules, run.guards) = (vec![rule], guards);
        }
        merge(runs).expect("they belong together")
    };
    let nothing = || [Vec::new(), Vec::new()];
    let unmatched = rule(0, Some("never matched: ..."), delay(300, 30.0, 5));
    let whole = merged(rule(100, None, delay(100, 10.0, 7)), unmatched, nothing());
    let audit = &whole.rules[0].audit;
    assert_eq!((&audit.missed, audit.rate_low), (&None, None), "another shard's traffic matched it");
    assert_eq!(audit.delay, Some(delay(400, 25.0, 7)));
    let missed = |first: &str, eligible| {
        let rule = |missed| rule(eligible, missed, RuleDelay::default());
        merged(rule(Some(first)), rule(None), nothing()).rules[0].audit.missed.clone()
    };
    assert_eq!(missed("asks for 50 % and got 9 % of 100 requests", 100), None, "judged over the whole");
    assert!(missed("asks for delays of 1 ms and half ...", 100).is_some());
    assert!(missed("never matched: ...", 0).is_some());

    let guard = |tripped_at_us| Guard { name: "slo".to_owned(), tripped_at_us, ..Guard::default() };
    let plain = || rule(100, None, RuleDelay::default());
    // shards that ran into one proxy are told of the same trips
    let (seven, nine) = (guard(Some(7)), guard(Some(9)));
    let told = [vec![seven.clone(), guard(None)], vec![seven.clone(), nine.clone()]];
    assert_eq!(merged(plain(), plain(), told).guards, [seven, nine]);
    let whole = merged(plain(), plain(), [vec![guard(None)], vec![guard(None)]]);
    assert_eq!((whole.guards.len(), whole.guards[0].tripped_at_us), (1, None));
}

#[test]
fn what_ended_one_shard_ended_the_whole() {
    let check = |verdict: &str, reason: &str, code: u8, words: &str| {
        let mut runs = four();
        (runs[2].1.verdict, runs[2].1.reason) = (verdict.to_owned(), reason.to_owned());
        let whole = merge(runs).expect("they belong together");
        assert_eq!((whole.exit_code, whole.reason.contains(words)), (code, true), "{}", whole.reason);
    };
    check("interrupted", "", 105, "by the user");
    check("stopped", "the guard errors>1% was breached", 108, "errors>1%");
    check("degraded", "late", 0, "balanced"); // its words are in the generator's part, which is empty here
    let mut runs = four();
    runs[1].1.generator.degraded.push("5 connections failed".to_owned());
    let whole = merge(runs).expect("they belong together");
    assert_eq!((whole.exit_code, whole.reason.as_str()), (111, "5 connections failed (shard 2 of 4)"));
}

#[test]
fn shards_that_did_not_begin_together_are_told() {
    let noted = |second: &str| {
        let mut runs = four();
        runs[3].1.started = format!("2026-01-01T00:00:{second}Z");
        let some = merge(runs.split_off(2)).expect("they belong together");
        runs.push(("some.json".to_owned(), some));
        merge(runs).expect("they belong together").generator.notes.contains(&APART.to_owned())
    };
    assert!(!noted("00.9"));
    assert!(noted("02.5"));
}
