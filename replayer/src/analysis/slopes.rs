//! What grew over the run: answers, errors, the origin's memory; as robust lines.
//!
//! Each answer counts by its ratio to what its route usually takes, so that sessions which get to slower routes later make
//! no slope; and what happened while a rule was at work that is not always so is left out. A load that grows explains more than time does: what goes with the load is not called a drift.

use std::collections::{BTreeSet, HashMap};

use crate::analysis::backlog::{self, Backlog};
use crate::analysis::cluster::is_timed;
use crate::analysis::field::{Attempt, Field};
use crate::analysis::lift::Moments;
use crate::analysis::stats::{self, kendall, median_of, quantile_of};
use crate::analysis::{Explanation, Finding, Known, Place, Slope};
use crate::report::text::{bytes, time};

/// What the slopes come to.
#[derive(Debug, Default)]
pub(crate) struct Slopes {
    pub(crate) slopes: Vec<Slope>,
    /// The finding, where something drifts that matters.
    pub(crate) finding: Option<Finding>,
    /// It is about errors alone.
    pub(crate) is_of_errors: bool,
}

/// A figure over the run.
struct Figure {
    name: &'static str,
    unit: &'static str,
    /// Minutes and values.
    points: Vec<(f64, f64)>,
    /// Requests at the same times; empty where they do not matter.
    load: Vec<f64>,
    /// Smallest growth over the run that matters.
    floor: f64,
}

/// Looks at the field, and at the memory and the course that are known.
pub(crate) fn of(field: &Field, moments: &Moments, known: &Known<'_>) -> Slopes {
    let run = f64::from(field.end_ms()) / 60_000.0;
    let mut figures = of_answers(field, moments, run);
    figures.push(Figure {
        name: "origin_memory",
        unit: "bytes",
        points: known.memory.iter().map(|(at, bytes)| (*at as f64 / MINUTE_US, *bytes as f64)).collect(),
        load: Vec::new(),
        floor: MEMORY_FLOOR,
    });
    let mut slopes = Vec::new();
    let mut grown = Vec::new();
    for figure in figures.iter().filter(|figure| figure.covers(run)) {
        let Some(line) = stats::slope(&figure.points) else { continue };
        let significant = figure.matters(&line);
        slopes.push(Slope {
            figure: figure.name.to_owned(),
            per_minute: line.slope,
            low: line.low,
            high: line.high,
            unit: figure.unit.to_owned(),
            significant,
        });
        if significant {
            grown.push((figure, line));
        }
    }
    let (course, step_us) = known.course;
    let finding = finding(field, &grown, backlog::find(course, step_us));
    let is_of_errors = grown.iter().all(|(figure, _)| figure.name == "errors");
    Slopes { is_of_errors, slopes, finding }
}

/// Latencies and errors, from the time in which no rule was at work that is not always so. Where that is not most of the run
/// all of it counts, if the figure grows within that time and within the rest: what a rule does comes and goes with it.
fn of_answers(field: &Field, moments: &Moments, run: f64) -> Vec<Figure> {
    let of = |is_of: &dyn Fn(&Attempt) -> bool| {
        latencies(field, is_of).into_iter().chain([errors(field, is_of)]).collect::<Vec<Figure>>()
    };
    let calm = of(&|attempt| !moments.is_disturbed(attempt.at_ms));
    if calm.iter().all(|figure| figure.covers(run)) {
        return calm;
    }
    let (disturbed, whole) = (of(&|attempt| moments.is_disturbed(attempt.at_ms)), of(&|_| true));
    let parts = calm.into_iter().zip(disturbed).zip(whole);
    let chosen = parts.map(|((calm, disturbed), whole)| {
        let grows = calm.grows() && disturbed.grows();
        if grows && !calm.covers(run) { whole } else { calm }
    });
    chosen.collect()
}

impl Figure {
    /// Whether it goes up, as far as it tells.
    fn grows(&self) -> bool {
        FEWEST_OF_PART <= self.points.len() && TAU / 2.0 < kendall(&self.points)
    }

    /// Whether it tells of most of a run of so many minutes: a queue that a burst leaves behind is no drift.
    fn covers(&self, run: f64) -> bool {
        let ends = self.points.first().zip(self.points.last());
        ends.is_some_and(|(first, last)| COVERED * run <= last.0 - first.0)
    }

    /// Whether it grows, by more than is worth a word, and not just with the load.
    fn matters(&self, line: &stats::Slope) -> bool {
        let (first, last) = self.ends();
        let growth = last - first;
        let minutes = self.points.last().map_or(0.0, |last| last.0 - self.points[0].0);
        SHORTEST <= minutes
            && self.floor / 2.0 <= line.low * minutes
            && TAU <= line.tau
            && self.floor <= growth
            && GROWTH * first.max(f64::MIN_POSITIVE) <= growth
            && !self.goes_with_load(line.tau)
    }

    /// Kendall's partial correlation with time, the load held still.
    fn goes_with_load(&self, with_time: f64) -> bool {
        if self.load.is_empty() {
            return false;
        }
        let of = |pick: fn(&(f64, f64)) -> f64| -> Vec<(f64, f64)> {
            self.points.iter().zip(&self.load).map(|(point, load)| (pick(point), *load)).collect()
        };
        let (time_load, value_load) = (kendall(&of(|point| point.0)), kendall(&of(|point| point.1)));
        let scale = ((1.0 - time_load.powi(2)) * (1.0 - value_load.powi(2))).sqrt();
        let partial = if scale > 1e-6 { (with_time - time_load * value_load) / scale } else { 0.0 };
        partial < TAU / 2.0
    }

    /// The medians of the first and the last fifth.
    fn ends(&self) -> (f64, f64) {
        let part = (self.points.len() / 5).max(1);
        let median = |points: &[(f64, f64)]| stats::median(points.iter().map(|point| point.1));
        (median(&self.points[..part]), median(&self.points[self.points.len() - part..]))
    }
}

/// p50 and p99 of the answers that no rule touched, in a part of the run.
fn latencies(field: &Field, is_of: &dyn Fn(&Attempt) -> bool) -> Vec<Figure> {
    let timed: Vec<&Attempt> =
        field.attempts.iter().filter(|attempt| is_timed(attempt) && is_of(attempt)).collect();
    let of_route = polished(field, &timed);
    let mut all: Vec<f64> = timed.iter().map(|attempt| f64::from(attempt.took_us)).collect();
    all.sort_by(f64::total_cmp);
    let typical = median_of(&all);
    let ratios: Vec<(u32, f64)> = timed
        .iter()
        .filter_map(|attempt| {
            let usual = of_route.get(&attempt.route)?;
            Some((attempt.at_ms, f64::from(attempt.took_us.max(1)) / usual.exp()))
        })
        .collect();
    let steps = steps(field.end_ms(), &ratios);
    let figure = |name, q: f64, fewest, floor| {
        let filled = || steps.iter().filter(move |(_, values)| fewest <= values.len());
        Figure {
            name,
            unit: "us",
            points: filled().map(|(at, values)| (*at, quantile_of(values, q) * typical)).collect(),
            load: filled().map(|(_, values)| values.len() as f64).collect(),
            floor,
        }
    };
    vec![
        figure("latency_p50", 0.5, FEWEST, LATENCY_FLOOR_US),
        figure("latency_p99", 0.99, 10 * FEWEST, 5.0 * LATENCY_FLOOR_US),
    ]
}

/// What each route usually takes, as a logarithm, apart from what the time of the run does to all of them: Tukey's
/// median polish over routes and steps of the run. Plain medians would hide a growth where some routes are only visited
/// late.
fn polished(field: &Field, timed: &[&Attempt]) -> HashMap<u16, f64> {
    let width = field.end_ms().max(1) / STEPS as u32 + 1;
    let mut cells: HashMap<(u16, u32), Vec<f64>> = HashMap::new();
    for attempt in timed {
        let cell = cells.entry((attempt.route, attempt.at_ms / width)).or_default();
        cell.push(f64::from(attempt.took_us.max(1)).ln());
    }
    let median = |values: Vec<f64>| stats::median(values.into_iter());
    let mut cells: Vec<((u16, u32), f64)> = cells
        .into_iter()
        .filter(|(_, values)| CELL <= values.len())
        .map(|(cell, values)| (cell, median(values)))
        .collect();
    cells.sort_by_key(|(cell, _)| *cell);
    let (mut of_route, mut of_step): (HashMap<u16, f64>, HashMap<u32, f64>) = Default::default();
    for _ in 0..POLISHES {
        let mut by_route: HashMap<u16, Vec<f64>> = HashMap::new();
        for ((route, step), value) in &cells {
            by_route.entry(*route).or_default().push(value - of_step.get(step).unwrap_or(&0.0));
        }
        of_route = by_route.into_iter().map(|(route, values)| (route, median(values))).collect();
        let mut by_step: HashMap<u32, Vec<f64>> = HashMap::new();
        for ((route, step), value) in &cells {
            by_step.entry(*step).or_default().push(value - of_route.get(route).unwrap_or(&0.0));
        }
        of_step = by_step.into_iter().map(|(step, values)| (step, median(values))).collect();
    }
    of_route
}

fn errors(field: &Field, is_of: &dyn Fn(&Attempt) -> bool) -> Figure {
    let is_organic = |attempt: &&Attempt| attempt.by == 0 && is_of(attempt);
    let organic = field.attempts.iter().filter(is_organic);
    let wrong: Vec<(u32, f64)> =
        organic.map(|attempt| (attempt.at_ms, f64::from(u8::from(attempt.wrong.is_failure())))).collect();
    let steps = steps(field.end_ms(), &wrong);
    let filled = || steps.iter().filter(|(_, values)| FEWEST <= values.len());
    let mean = |values: &Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    Figure {
        name: "errors",
        unit: "share",
        points: filled().map(|(at, values)| (*at, mean(values))).collect(),
        load: filled().map(|(_, values)| values.len() as f64).collect(),
        floor: ERRORS_FLOOR,
    }
}

/// Values by step of the run, sorted; each with its middle, in minutes.
fn steps(end_ms: u32, values: &[(u32, f64)]) -> Vec<(f64, Vec<f64>)> {
    let width = f64::from(end_ms.max(1)) / STEPS as f64;
    let mut steps: Vec<(f64, Vec<f64>)> =
        (0..STEPS).map(|step| ((step as f64 + 0.5) * width / 60_000.0, Vec::new())).collect();
    for (at, value) in values {
        steps[((f64::from(*at) / width) as usize).min(STEPS - 1)].1.push(*value);
    }
    for (_, values) in &mut steps {
        values.sort_by(f64::total_cmp);
    }
    steps
}

/// One finding for all that grows: it has one cause more often than not.
fn finding(field: &Field, grown: &[(&Figure, stats::Slope)], backlog: Option<Backlog>) -> Option<Finding> {
    let (first, _) = grown.first()?;
    let backlog = backlog.filter(|_| first.unit == "us");
    let amount = |figure: &Figure, value: f64| match figure.unit {
        "us" => time(value.max(0.0) as u64),
        "bytes" => bytes(value.max(0.0) as u64),
        _ => format!("{:.1} %", value * 100.0),
    };
    let what = |figure: &Figure| match figure.name {
        "latency_p50" => "the median of the answers",
        "latency_p99" => "the 99th percentile of the answers",
        "errors" => "the share of errors",
        _ => "the origin's resident memory",
    };
    let evidence = grown.iter().map(|(figure, line)| {
        let ((from, to), sign) = (figure.ends(), if line.slope < 0.0 { "-" } else { "" });
        format!(
            "{} went from {} to {}: {sign}{} a minute (99 % interval {} to {}, Theil and Sen)",
            what(figure),
            amount(figure, from),
            amount(figure, to),
            amount(figure, line.slope.abs()),
            amount(figure, line.low),
            amount(figure, line.high)
        )
    });
    let (from, to) = first.ends();
    let why = match &backlog {
        Some(_) => "as more is due than the target takes",
        None => "and not with the load",
    };
    let title = format!(
        "{} grows while the run goes on, from {} to {}, {why}",
        what(first),
        amount(first, from),
        amount(first, to)
    );
    let late = late_sessions(field);
    Some(Finding {
        rank: 0,
        title,
        explanation: if backlog.is_some() { Explanation::Overload } else { Explanation::SlowDrift },
        rule: None,
        place: Place {
            class: "slow".to_owned(),
            until_us: u64::from(field.end_ms()) * 1000,
            ..Place::default()
        },
        sessions: field.scaled(late.len() as u64),
        failures: 0,
        share: 0.0,
        lift: None,
        evidence: backlog.iter().map(Backlog::in_words).chain(evidence).collect(),
        examples: Vec::new(),
    })
}

/// Sessions with an answer in the second half of the run: whoever is there then bears what has grown.
fn late_sessions(field: &Field) -> BTreeSet<u32> {
    let half = field.end_ms() / 2;
    field.attempts.iter().filter(|attempt| half < attempt.at_ms).map(|attempt| attempt.session).collect()
}

const MINUTE_US: f64 = 6e7;
const STEPS: usize = 40;
/// Answers in a cell of the median polish, and its rounds.
const CELL: usize = 3;
const POLISHES: usize = 5;
/// The part of a run that a figure must tell of.
const COVERED: f64 = 2.0 / 3.0;
/// Values of a part of the run without which it does not tell.
const FEWEST_OF_PART: usize = 6;
/// Values in a step without which it says nothing.
const FEWEST: usize = 10;
/// Minutes, a second: in less the start of the run, and the queue of it, are all there is to see.
const SHORTEST: f64 = 1.0 / 60.0;
/// Rank correlation with time that a drift has.
const TAU: f64 = 0.5;
/// Growth over the run, as a part of what there was at first.
const GROWTH: f64 = 0.5;
const LATENCY_FLOOR_US: f64 = 2_000.0;
const ERRORS_FLOOR: f64 = 0.01;
const MEMORY_FLOOR: f64 = 8e6;
