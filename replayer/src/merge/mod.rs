//! Makes one report of the runs of several shards: `squall merge a.json b.json …`.
//!
//! Counts add up, histograms are added bucket by bucket, and everything that is a judgement (books, rules, thresholds,
//! verdict) is judged anew over the sums. The result is the same in any order, and merged runs can be merged again with
//! the shards that came late; only the medians of the series are weighed means and may differ in their last digit.
//! Peaks add up too: they bound the peak of the whole from above.

mod books;
mod course;
mod edges;
mod figures;
mod lines;
mod series;
mod shards;

use std::collections::{BTreeMap, BTreeSet};

use crate::merge::lines::Lines;
use crate::merge::shards::Shards;
use crate::report::{Generator, PlanPart, Report, Spans, Threshold};
use crate::stop::Cause;
use crate::verdict;

/// A run of one or more shards, as it was read.
#[derive(Debug)]
struct Run {
    /// Name of its file.
    name: String,
    shards: Shards,
    report: Report,
}

/// Merges reports, each with the name of its file.
///
/// # Errors
/// Words for the user: there is none, they are of different plans or versions, a shard comes twice, a histogram cannot
/// be read.
pub fn merge(runs: Vec<(String, Report)>) -> Result<Report, String> {
    let mut all = Vec::with_capacity(runs.len());
    for (name, report) in runs {
        let shards = report.shard.parse().map_err(|err| format!("{name}: {err}"))?;
        all.push(Run { name, shards, report });
    }
    all.sort_by_key(|run| run.shards.first());
    let mut shards = all.first().ok_or("there is no run to merge")?.shards.clone();
    for run in &all[1..] {
        same_plan(&all[0], run)?;
        if let Some(twice) = shards.overlap(&run.shards) {
            let has = |other: &&Run| other.shards.overlap(&twice).is_some();
            let names: Vec<&str> = all.iter().filter(has).map(|run| run.name.as_str()).collect();
            return Err(format!("{}: both are of {}", names[..2].join(" and "), twice.in_words()));
        }
        shards.add(&run.shards);
    }
    let thresholds = demands(&all)?;
    let mut whole = sums(&all, &shards)?;
    whole.thresholds = judged(&thresholds, &whole)?;
    let missed = verdict::missed_targets(&whole.rules);
    let found = verdict::judge(&whole, &missed, cause(&all).as_ref());
    whole.verdict = found.word.to_owned();
    whole.exit_code = found.code;
    whole.reason = found.reason;
    Ok(whole)
}

/// Refuses what are not parts of one run.
fn same_plan(one: &Run, other: &Run) -> Result<(), String> {
    let facts = |run: &Run| {
        let report = &run.report;
        [
            ("written by Squall", report.squall.clone()),
            ("of the plan", report.plan_hash.clone()),
            ("of the seed", report.seed.clone()),
            ("a part of", run.shards.of().to_string()),
        ]
    };
    for ((what, left), (_, right)) in facts(one).into_iter().zip(facts(other)) {
        if left != right {
            let (one, other) = (&one.name, &other.name);
            return Err(format!(
                "{one} is {what} {left} and {other} {what} {right}: they are not parts of one run"
            ));
        }
    }
    Ok(())
}

/// Everything but thresholds and verdict. `all` are in the order of their shards.
fn sums(all: &[Run], shards: &Shards) -> Result<Report, String> {
    let reports: Vec<&Report> = all.iter().map(|run| &run.report).collect();
    let first = reports[0];
    let tags: BTreeSet<&str> = reports.iter().flat_map(|report| report.run.split(',')).collect();
    let latency = figures::latencies(&reports)?;
    let plan = plan(&reports);
    let (series, series_step_us) = series::merged(&reports);
    Ok(Report {
        squall: first.squall.clone(),
        argv: first.argv.clone(),
        started: reports.iter().map(|report| &report.started).min().cloned().unwrap_or_default(),
        elapsed_us: reports.iter().map(|report| report.elapsed_us).max().unwrap_or(0),
        seed: first.seed.clone(),
        run: Vec::from_iter(tags).join(","),
        plan_hash: first.plan_hash.clone(),
        shard: shards.to_string(),
        verdict: String::new(),
        exit_code: 0,
        reason: String::new(),
        sessions: figures::sessions(&reports),
        requests: figures::requests(&reports),
        warmup: figures::warmup(&reports),
        failures: figures::failures(&reports),
        connections: figures::connections(&reports, &latency.wait),
        latency,
        streams: figures::streams(&reports)?,
        shape: first.shape.clone().filter(|_| reports.len() == 1),
        routes: figures::routes(&reports)?,
        cohorts: figures::cohorts(&reports)?,
        links: figures::links(&reports),
        rules: figures::rules(&reports),
        guards: figures::guards(&reports),
        edges: edges::edges(&reports)?,
        series,
        series_step_us,
        heat: course::heat(&reports),
        funnel: course::funnel(&reports),
        faults: course::faults(&reports),
        repeat: None,
        books: books::merged(all, shards, &plan),
        plan,
        thresholds: Vec::new(),
        generator: generator(all, shards),
        analysis: crate::analysis::merge::merged(
            &reports.iter().filter_map(|report| report.analysis.as_ref()).collect::<Vec<_>>(),
        ),
    })
}

/// The plan is the same in all; only a run that found its number of requests on its way knows but its own part.
fn plan(reports: &[&Report]) -> PlanPart {
    let most =
        |part: fn(&PlanPart) -> u64| reports.iter().map(|report| part(&report.plan)).max().unwrap_or(0);
    PlanPart {
        sessions: most(|plan| plan.sessions),
        requests: most(|plan| plan.requests),
        span_us: most(|plan| plan.span_us),
        ..reports[0].plan.clone()
    }
}

fn generator(all: &[Run], shards: &Shards) -> Generator {
    let sum = |part: fn(&Generator) -> u64| all.iter().map(|run| part(&run.report.generator)).sum();
    let mut degraded = Lines::of(all, |report| report.generator.degraded.clone());
    let mut notes = Lines::of(all, |report| report.generator.notes.clone());
    degraded.forget(|line| line.starts_with(MISSING));
    let apart = notes.has(APART) || began_apart(all);
    notes.forget(|line| line == PEAKS || line == APART);
    let mut degraded = degraded.into_words(shards);
    let mut notes = notes.into_words(shards);
    if let Some(missing) = shards.missing() {
        degraded.insert(0, format!("{MISSING} {}: these figures are not the whole", missing.in_words()));
    }
    if apart {
        notes.insert(0, APART.to_owned());
    }
    if shards.count() > 1 {
        notes.insert(0, PEAKS.to_owned());
    }
    Generator {
        rss_peak: sum(|generator| generator.rss_peak),
        cpu_us: sum(|generator| generator.cpu_us),
        cpu_share: all.iter().map(|run| run.report.generator.cpu_share).fold(0.0, f64::max),
        cores: sum(|generator| generator.cores),
        late: sum(|generator| generator.late),
        late_us: all.iter().map(|run| run.report.generator.late_us).max().unwrap_or(0),
        drift_us_per_s: worst_drift(all),
        sockets_peak: sum(|generator| generator.sockets_peak),
        threads: sum(|generator| generator.threads),
        held_back: sum(|generator| generator.held_back),
        spans: spans(all),
        degraded,
        notes,
    }
}

/// `None`: no run had a collector.
fn spans(all: &[Run]) -> Option<Spans> {
    let known = all.iter().filter_map(|run| run.report.generator.spans);
    known.reduce(|sum, more| Spans {
        sent: sum.sent + more.sent,
        shed: sum.shed + more.shed,
        lost: sum.lost + more.lost,
    })
}

/// The largest: the whole is no better than its worst generator. `None`: one of them does not know.
fn worst_drift(all: &[Run]) -> Option<f64> {
    let drifts = all.iter().map(|run| run.report.generator.drift_us_per_s).collect::<Option<Vec<f64>>>()?;
    drifts.into_iter().reduce(f64::max)
}

/// Whether the runs were at work at other times: then their series do not belong to the same seconds.
fn began_apart(all: &[Run]) -> bool {
    let began = all.iter().filter_map(|run| run.report.started.parse::<jiff::Timestamp>().ok());
    let (first, last) = (began.clone().min(), began.max());
    first.zip(last).is_some_and(|(first, last)| APART_AFTER < last.duration_since(first))
}

/// The demands of all runs, each with its bound: in their order where all have the same, else sorted.
fn demands(all: &[Run]) -> Result<Vec<Threshold>, String> {
    let exprs = |run: &Run| run.report.thresholds.iter().map(|t| t.expr.clone()).collect::<Vec<_>>();
    let mut known: BTreeMap<&str, (&Run, &Threshold)> = BTreeMap::new();
    for run in all {
        for demand in &run.report.thresholds {
            let (other, before) = *known.entry(&demand.expr).or_insert((run, demand));
            if before.bound != demand.bound {
                return Err(format!(
                    "{} and {} hold `{}` against different baselines",
                    other.name, run.name, demand.expr
                ));
            }
        }
    }
    if all.iter().all(|run| exprs(run) == exprs(&all[0])) {
        return Ok(all[0].report.thresholds.clone());
    }
    Ok(known.into_values().map(|(_, demand)| demand.clone()).collect())
}

fn judged(demands: &[Threshold], whole: &Report) -> Result<Vec<Threshold>, String> {
    let judge = |demand: &Threshold| {
        let threshold: crate::Threshold = demand.expr.parse()?;
        Ok(threshold.judge(whole, demand.bound.or_else(|| threshold.bound(None))))
    };
    demands.iter().map(judge).collect()
}

/// What ended one of the runs before its time.
fn cause(all: &[Run]) -> Option<Cause> {
    let never_sent = |why: &str| all.iter().any(|run| run.report.requests.never_sent.contains_key(why));
    let ended =
        |verdict: &'static str| all.iter().map(|run| &run.report).filter(move |run| run.verdict == verdict);
    if ended("interrupted").next().is_some() || never_sent("interrupted") {
        return Some(Cause::Interrupted);
    }
    let reasons: BTreeSet<&str> = ended("stopped").flat_map(|run| run.reason.split("; ")).collect();
    match (reasons.is_empty(), never_sent("guard")) {
        (true, false) => None,
        (true, true) => Some(Cause::Guard("a guard ended one of the runs".to_owned())),
        (false, _) => Some(Cause::Guard(Vec::from_iter(reasons).join("; "))),
    }
}

/// How the sentence on missing shards begins.
pub(crate) const MISSING: &str = "the results lack";
const APART: &str =
    "the shards did not begin together (--start-at): the series adds up seconds of different times";
const APART_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);
const PEAKS: &str = "peaks are sums over the shards: the peak of the whole was at most that";

#[cfg(test)]
mod tests;
