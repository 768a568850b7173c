//! Runs against the first of them: figure by figure and route by route, with intervals, and what is but noise.

use std::collections::HashMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Run;
use super::stats::{self, Care, Interval};
use crate::report::{Latency, Report, Route};

/// What a run is compared in.
#[derive(Debug, Serialize)]
pub(super) struct Pair {
    /// Place of the other run on the page.
    run: usize,
    /// What speaks against the comparison.
    notes: Vec<String>,
    figures: Vec<Row>,
    routes: Vec<Row>,
}

/// A difference.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(skip_serializing_if = "str::is_empty")]
    route: String,
    figure: &'static str,
    /// us or share.
    unit: &'static str,
    base: f64,
    other: f64,
    difference: f64,
    low: Option<f64>,
    high: Option<f64>,
    judged: Judged,
}

/// What a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Judged {
    /// The interval includes no difference.
    Noise,
    Worse,
    Better,
    Higher,
    Lower,
    /// There were too few for an interval.
    Unknown,
}

/// Whether more of a figure is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum More {
    IsBad,
    IsOnlyMore,
}

/// Each run but the first with the first.
pub(super) fn all(runs: &[Run]) -> Vec<Pair> {
    let [base, others @ ..] = runs else { return Vec::new() };
    if others.is_empty() {
        return Vec::new();
    }
    let base = Side::of(base);
    others.iter().enumerate().map(|(at, other)| pair(at + 1, &base, &Side::of(other))).collect()
}

fn pair(run: usize, base: &Side<'_>, other: &Side<'_>) -> Pair {
    let theirs: HashMap<&str, &Route> =
        other.report.routes.iter().map(|route| (route.route.as_str(), route)).collect();
    let both: Vec<(&Route, &Route)> = base
        .report
        .routes
        .iter()
        .filter_map(|route| Some((route, *theirs.get(route.route.as_str())?)))
        .take(ROUTES)
        .collect();
    // so that all rows of the table hold together (Bonferroni)
    let error = (1.0 - CONFIDENCE) / (both.len() * ROUTE_FIGURES).max(1) as f64;
    Pair {
        run,
        notes: notes(base.report, other.report, both.len()),
        figures: figures(base, other),
        routes: both.iter().flat_map(|(ours, theirs)| route(base, other, (ours, theirs), error)).collect(),
    }
}

/// A run, and how much its requests share their luck.
struct Side<'a> {
    report: &'a Report,
    /// Design effects of being answered faster than these quantiles.
    answers: Vec<(f64, f64)>,
    /// Design effect of failing.
    failing: f64,
    /// What `--repeat` found, by the names that it has for figures.
    spread: HashMap<String, Spread>,
}

/// How far a figure was apart from run to run.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Spread {
    runs: u32,
    median: f64,
    /// Standard deviation by mean.
    cv: f64,
}

/// Answers by step and by latency.
#[derive(Debug, Deserialize)]
struct Heat {
    bounds_us: Vec<u64>,
    counts: Vec<Vec<u64>>,
}

impl Heat {
    fn design_effect(&self, limit_us: u64) -> f64 {
        let buckets = self.bounds_us.partition_point(|bound| *bound < limit_us) + 1;
        let step = |row: &Vec<u64>| (row.iter().take(buckets).sum(), row.iter().sum());
        stats::design_effect(&self.counts.iter().map(step).collect::<Vec<_>>())
    }
}

impl<'a> Side<'a> {
    fn of(run: &'a Run) -> Side<'a> {
        let heat = run.all.get("heat").and_then(|heat| Heat::deserialize(heat).ok());
        let response = &run.report.latency.response;
        let known = [(0.5, response.p50), (0.9, response.p90), (0.95, response.p95), (0.99, response.p99)];
        let effect = |limit_us| heat.as_ref().map_or(1.0, |heat| heat.design_effect(limit_us));
        let steps: Vec<(u64, u64)> =
            run.report.series.iter().map(|step| (step.failed.min(step.sent), step.sent)).collect();
        let spread = run.all.pointer("/repeat/spread").and_then(Value::as_array);
        let named = |row: &Value| {
            let known = Spread::deserialize(row).ok().filter(|spread| RUNS <= spread.runs)?;
            Some((row.get("figure")?.as_str()?.to_owned(), known))
        };
        Side {
            report: &run.report,
            spread: spread.map(|rows| rows.iter().filter_map(named).collect()).unwrap_or_default(),
            answers: known.map(|(q, limit_us)| (q, effect(limit_us))).into(),
            failing: stats::design_effect(&steps),
        }
    }

    /// That of the nearest lower quantile: further out there is too little to measure it.
    fn design_effect(&self, q: f64) -> f64 {
        let known = self.answers.iter().rev().find(|(known, _)| *known <= q);
        known.map_or(1.0, |(_, effect)| *effect)
    }

    fn quantile(&self, all: &Histogram<u64>, q: f64, error: f64) -> Option<Interval> {
        stats::quantile(all, q, Care { error, design_effect: self.design_effect(q) })
    }

    fn share(&self, hits: u64, all: u64, error: f64) -> Option<Interval> {
        stats::share(hits, all, Care { error, design_effect: self.failing })
    }
}

fn figures(base: &Side<'_>, other: &Side<'_>) -> Vec<Row> {
    let error = 1.0 - CONFIDENCE;
    let latencies = LATENCIES.iter().flat_map(|(of, more, quantiles)| {
        let [ours, theirs] =
            [base, other].map(|side| of(side.report).histogram().unwrap_or_else(|_| empty()));
        quantiles.iter().filter_map(move |(figure, q)| {
            let sides = (base.quantile(&ours, *q, error)?, other.quantile(&theirs, *q, error)?);
            let name = figure.replacen(' ', ".", 1).replace("99.9", "99_9"); // as --repeat has it
            Some(row((*figure, "us"), sides, *more).widened((base, other), &name, *more))
        })
    });
    let shares = SHARES.iter().filter_map(|(figure, name, of, more)| {
        let [ours, theirs] = [base, other].map(|side| {
            let report = side.report;
            side.share(of(report).min(report.requests.sent), report.requests.sent, error)
        });
        Some(row((*figure, "share"), (ours?, theirs?), *more).widened((base, other), name, *more))
    });
    latencies.chain(shares).collect()
}

fn route(base: &Side<'_>, other: &Side<'_>, (ours, theirs): (&Route, &Route), error: f64) -> Vec<Row> {
    let failed =
        |side: &Side<'_>, route: &Route| side.share(route.failed.min(route.requests), route.requests, error);
    let mut rows = Vec::with_capacity(ROUTE_FIGURES);
    if let Some(sides) = failed(base, ours).zip(failed(other, theirs)) {
        rows.push(row(("failed", "share"), sides, More::IsBad));
    }
    if let (Ok(one), Ok(two)) = (ours.response.histogram(), theirs.response.histogram()) {
        rows.extend([("p50", 0.5), ("p95", 0.95), ("p99", 0.99)].into_iter().filter_map(|(figure, q)| {
            let sides = (base.quantile(&one, q, error)?, other.quantile(&two, q, error)?);
            Some(row((figure, "us"), sides, More::IsBad))
        }));
    }
    rows.iter_mut().for_each(|row| row.route.clone_from(&ours.route));
    rows
}

fn row((figure, unit): (&'static str, &'static str), (base, other): (Interval, Interval), more: More) -> Row {
    let difference = stats::difference(base, other);
    Row {
        route: String::new(),
        figure,
        unit,
        base: base.value,
        other: other.value,
        difference: difference.value,
        low: difference.low,
        high: difference.high,
        judged: judge(difference, more),
    }
}

impl Row {
    /// With an interval that allows for the spread of `name` from run to run.
    fn widened(self, sides: (&Side<'_>, &Side<'_>), name: &str, more: More) -> Row {
        let Row { difference: value, low, high, .. } = self;
        let wide = widened(Interval { value, low, high }, sides, name);
        Row { low: wide.low, high: wide.high, judged: judge(wide, more), ..self }
    }
}

/// What the spread from run to run leaves of a difference: the wider of both intervals at each end. The spread of one
/// side stands for both where the other's is not known.
fn widened(difference: Interval, (base, other): (&Side<'_>, &Side<'_>), name: &str) -> Interval {
    let known = [base, other].map(|side| side.spread.get(name));
    let [Some(one), Some(two)] = [known[0].or(known[1]), known[1].or(known[0])] else { return difference };
    let deviation = (one.cv * one.median).hypot(two.cv * two.median);
    let degrees = one.runs.min(two.runs) - 1;
    let reach = stats::student(1.0 - CONFIDENCE, degrees) * deviation;
    let Interval { value, low, high } = difference;
    Interval {
        value,
        low: low.map(|low| low.min(value - reach)),
        high: high.map(|high| high.max(value + reach)),
    }
}

fn judge(difference: Interval, more: More) -> Judged {
    let is_more = difference.low.is_some_and(|low| 0.0 < low);
    let is_less = difference.high.is_some_and(|high| high < 0.0);
    match (is_more, is_less, more) {
        (true, _, More::IsBad) => Judged::Worse,
        (_, true, More::IsBad) => Judged::Better,
        (true, _, More::IsOnlyMore) => Judged::Higher,
        (_, true, More::IsOnlyMore) => Judged::Lower,
        _ if difference.low.is_none() || difference.high.is_none() => Judged::Unknown,
        _ => Judged::Noise,
    }
}

/// What a reader must know before the figures.
fn notes(base: &Report, other: &Report, both: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if base.plan_hash != other.plan_hash {
        notes.push(
            "The plans differ: other requests, or at other times. A difference may come from that."
                .to_owned(),
        );
    }
    if base.squall != other.squall {
        notes.push(format!("Made by different versions of Squall, {} and {}.", base.squall, other.squall));
    }
    for (which, report) in [("base", base), ("other run", other)] {
        match report.verdict.as_str() {
            "degraded" => notes.push(format!(
                "The generator of the {which} was degraded: its figures are not only the server's."
            )),
            "invalid" => notes.push(format!("The {which} is invalid: its books or its faults are off.")),
            "stopped" | "interrupted" => {
                notes.push(format!("The {which} was {} before its end.", report.verdict));
            }
            _ => {}
        }
    }
    let lone = base.routes.len().max(other.routes.len()).saturating_sub(both);
    if lone > 0 {
        notes.push(format!(
            "{lone} routes are in one of the two only, or beyond the first {ROUTES}, and are not compared."
        ));
    }
    notes
}

fn empty() -> Histogram<u64> {
    crate::tally::histogram()
}

type Of = fn(&Report) -> &Latency;
type Count = fn(&Report) -> u64;
/// Names of figures, and which quantile each is.
type Quantiles = &'static [(&'static str, f64)];

/// How sure the intervals are.
pub(super) const CONFIDENCE: f64 = 0.99;

/// How they are made, for the reader of the page.
pub(super) const METHOD: &str = "Quantiles: order statistics of the whole histogram, no distribution assumed. Shares: Wilson. \
Differences: Newcombe's method 10. Requests of one moment share their luck, so they count for less, as measured between \
neighbouring steps of each run (design effect). Where a run was made with --repeat, the figures above are no surer than its runs \
were alike; without it, the intervals know only these very runs. “Noise” says that the interval of the difference includes none at all.";

/// Most routes that are compared.
const ROUTES: usize = 256;
/// Runs of `--repeat` from which on their spread says something.
const RUNS: u32 = 3;
/// Rows of a route.
const ROUTE_FIGURES: usize = 4;

const LATENCIES: [(Of, More, Quantiles); 4] = [
    (
        |report| &report.latency.response,
        More::IsBad,
        &[
            ("response p50", 0.5),
            ("response p90", 0.9),
            ("response p95", 0.95),
            ("response p99", 0.99),
            ("response p99.9", 0.999),
        ],
    ),
    (|report| &report.latency.service, More::IsBad, &[("service p50", 0.5), ("service p99", 0.99)]),
    (|report| &report.latency.ttfb, More::IsBad, &[("first byte p50", 0.5), ("first byte p99", 0.99)]),
    (|report| &report.latency.lateness, More::IsOnlyMore, &[("lateness p99", 0.99)]),
];

const SHARES: [(&str, &str, Count, More); 4] = [
    ("failed", "errors", |report| report.failures.total, More::IsBad),
    ("failed, injected", "failures.injected", |report| report.failures.injected, More::IsOnlyMore),
    ("failed, the origin's own", "failures.origin", |report| report.failures.origin, More::IsBad),
    ("not answered", "failed", |report| report.failed(), More::IsBad),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    /// A run of 3,000 answers that take 1 to 4 ms, `times` as long, and of which one in `every` failed.
    fn run(times: u64, every: u64) -> Run {
        let mut tally = sample::tally();
        for n in 0..3000 {
            let us = (1000 + n * 7919 % 3000) * times / 100;
            sample::answer(&mut tally, us, every > 0 && n % every == 0, (n % 3) as usize, 0);
        }
        Run::of(&sample::report(&tally, "1/1")).expect("it is JSON")
    }

    fn judged(rows: &[Row], figure: &str) -> Judged {
        rows.iter().find(|row| row.figure == figure).map_or(Judged::Unknown, |row| row.judged)
    }

    #[test]
    fn the_same_twice_is_noise() {
        let pairs = all(&[run(100, 20), run(100, 20), run(100, 19)]);
        assert_eq!(pairs.iter().map(|pair| pair.run).collect::<Vec<_>>(), [1, 2]);
        for row in pairs.iter().flat_map(|pair| pair.figures.iter().chain(&pair.routes)) {
            assert!(matches!(row.judged, Judged::Noise | Judged::Unknown), "{row:?}");
        }
        let unknown: Vec<&str> = pairs[0]
            .figures
            .iter()
            .filter(|row| row.judged == Judged::Unknown)
            .map(|row| row.figure)
            .collect();
        assert_eq!(unknown, ["response p99.9"], "3,000 answers say little of the slowest three");
    }

    #[test]
    fn what_changed_is_found_and_nothing_else() {
        let pairs = all(&[run(100, 20), run(110, 10)]);
        let pair = &pairs[0];
        for figure in [
            "response p50",
            "response p90",
            "response p99",
            "service p50",
            "failed",
            "failed, the origin's own",
        ] {
            assert_eq!(judged(&pair.figures, figure), Judged::Worse, "{figure}: {:#?}", pair.figures);
        }
        for figure in ["lateness p99", "failed, injected", "not answered"] {
            assert_eq!(judged(&pair.figures, figure), Judged::Noise, "{figure}");
        }
        let rows: Vec<&Row> = pair.routes.iter().filter(|row| row.route == sample::ROUTES[1]).collect();
        assert_eq!(rows.len(), ROUTE_FIGURES);
        assert!(rows.iter().any(|row| row.figure == "p95" && row.judged == Judged::Worse), "{rows:#?}");
        let back = all(&[run(110, 10), run(100, 20)]);
        assert_eq!(judged(&back[0].figures, "response p50"), Judged::Better);
    }

    #[test]
    fn a_heat_map_that_flickers_widens_the_intervals() {
        let with_heat = |mut run: Run, together: bool| {
            let row = |at: u64| match (together, at % 2) {
                (false, _) => [50, 50],
                (true, 0) => [100, 0],
                (true, _) => [0, 100],
            };
            let counts: Vec<[u64; 2]> = (0..30).map(row).collect();
            run.all["heat"] =
                serde_json::json!({ "step_us": 1, "bounds_us": [2500, 5000], "counts": counts });
            run
        };
        let p50 = |together| {
            let pairs = all(&[with_heat(run(100, 0), together), with_heat(run(110, 0), together)]);
            judged(&pairs[0].figures, "response p50")
        };
        assert_eq!((p50(false), p50(true)), (Judged::Worse, Judged::Noise));
    }

    #[test]
    fn what_differs_from_run_to_run_anyway_is_noise() {
        let repeated = |runs: u32, cv: f64| {
            let mut run = run(100, 0);
            let row = |figure, median| serde_json::json!({ "figure": figure, "runs": runs, "median": median, "cv": cv });
            run.all["repeat"] = serde_json::json!({ "spread": [row("response.p50", 2500.0), row("errors", 0.0), { "figure": 1 }] });
            run
        };
        let p50 = |base: Run| judged(&all(&[base, run(110, 0)])[0].figures, "response p50");
        assert_eq!(p50(repeated(10, 0.1)), Judged::Noise);
        assert_eq!(p50(repeated(10, 0.001)), Judged::Worse);
        assert_eq!(p50(repeated(2, 0.1)), Judged::Worse, "two runs say nothing of a spread");
    }

    #[test]
    fn one_run_is_compared_with_nothing() {
        assert!(all(&[run(100, 0)]).is_empty());
        let empty = Run::of(&sample::report(&sample::tally(), "1/1")).expect("it is JSON");
        let pairs = all(&[empty.clone(), empty]);
        assert!(pairs[0].figures.is_empty() && pairs[0].routes.is_empty(), "{pairs:#?}");
    }

    #[test]
    fn a_difference_is_judged_by_its_interval() {
        let interval = |low, high| Interval { value: 1.0, low, high };
        for (low, high, more, judged) in [
            (Some(-1.0), Some(2.0), More::IsBad, Judged::Noise),
            (Some(0.0), Some(0.0), More::IsBad, Judged::Noise),
            (Some(0.5), None, More::IsBad, Judged::Worse),
            (Some(0.5), Some(2.0), More::IsOnlyMore, Judged::Higher),
            (Some(-2.0), Some(-0.5), More::IsBad, Judged::Better),
            (None, Some(-0.5), More::IsOnlyMore, Judged::Lower),
            (Some(-1.0), None, More::IsBad, Judged::Unknown),
        ] {
            assert_eq!(judge(interval(low, high), more), judged, "{low:?} {high:?}");
        }
    }
}
