//! The same plan several times, one run after the other: `--repeat N`, which tells a pattern from a fluke.
//!
//! Each run has a tag, books and a judgement of its own. Plan and seed are the same, so chance decides alike in all of
//! them; what the target and the proxy remember of one run, the next one meets.

mod findings;
mod spread;

use crate::Progress;
use crate::error::Error;
use crate::figures;
use crate::limits;
use crate::options::Options;
use crate::report::{Repeat, RepeatRun, Report};
use crate::run::replay;
use crate::verdict;

/// What came of several runs.
#[derive(Clone, Debug)]
pub struct Repeated {
    /// The one that stands for all, with the verdict of the worst and all of them in `repeat`.
    pub report: Report,
    /// Each by itself, in their order; at least one.
    pub runs: Vec<Report>,
}

/// Replays `count` times, at least once and at most [`limits::REPEATS`] times. [`Options::stop`] ends the run that goes
/// on and starts no further one. `on_run` sees each run as it ends.
///
/// # Errors
/// As [`replay`], for the first run. A later one that cannot start ends the series, which is then told of in the notes.
pub fn repeat(
    options: &Options,
    count: u32,
    events: &mut dyn FnMut(Progress),
    on_run: &mut dyn FnMut(&Report),
) -> Result<Repeated, Error> {
    let count = count.clamp(1, limits::REPEATS);
    let mut runs: Vec<Report> = Vec::new();
    let mut ended = None;
    for run in 1..=count {
        if count > 1 {
            events(Progress::Note(format!("run {run} of {count}")));
        }
        // What the first rehearsal has shown, the next would show again.
        let options = Options { rehearsal: options.rehearsal && run == 1, ..options.clone() };
        let mut tell = |progress| match progress {
            Progress::Planned(_) if run > 1 => {} // it is the same plan
            progress => events(progress),
        };
        match replay(&options, &mut tell) {
            Ok(report) => {
                on_run(&report);
                runs.push(report);
            }
            Err(err) if runs.is_empty() => return Err(err),
            Err(err) => {
                ended = Some(format!("run {run} of {count} could not start: {err}"));
                break;
            }
        }
        if run < count && !options.stop.renew() {
            ended = Some(format!("stopped by the user after {run} of {count} runs"));
            break;
        }
    }
    Ok(Repeated { report: together(&runs, count, ended), runs })
}

/// One report for all. `ended` says why there are fewer than `asked`.
fn together(runs: &[Report], asked: u32, ended: Option<String>) -> Report {
    let shown = representative(runs);
    let mut report = runs[shown].clone();
    if asked == 1 {
        return report;
    }
    let was_interrupted = ended.as_ref().is_some_and(|why| why.starts_with("stopped"));
    if was_interrupted && verdict::severity("interrupted") > verdict::severity(&report.verdict) {
        (report.verdict, report.exit_code) = ("interrupted".to_owned(), 105);
        report.reason = ended.clone().unwrap_or_default();
    } else {
        let alike = runs.iter().filter(|run| run.verdict == report.verdict).count();
        let (reason, verdict, of) = (&report.reason, &report.verdict, runs.len());
        report.reason = format!("{reason} (run {} of {of}; {alike} of {of} {verdict})", shown + 1);
    }
    report.generator.notes.extend(ended);
    report.generator.notes.push(STATE.to_owned());
    report.repeat = Some(Repeat {
        asked,
        shown: number(shown),
        runs: (0..).zip(runs).map(|(place, run)| repeat_run(place, run)).collect(),
        spread: spread::of(runs),
        findings: findings::of(runs),
    });
    report
}

/// The run that stands for all: of those with the worst verdict the one whose p99 is nearest to their median.
fn representative(runs: &[Report]) -> usize {
    let worst = runs.iter().map(|run| verdict::severity(&run.verdict)).max().unwrap_or(0);
    let worst: Vec<usize> =
        (0..runs.len()).filter(|at| verdict::severity(&runs[*at].verdict) == worst).collect();
    let p99 = |at: usize| runs[at].latency.response.p99 as f64;
    let mut sorted: Vec<f64> = worst.iter().map(|at| p99(*at)).collect();
    sorted.sort_by(f64::total_cmp);
    let median = figures::median(&sorted);
    let distance = |at: usize| (p99(at) - median).abs();
    worst.into_iter().min_by(|one, two| distance(*one).total_cmp(&distance(*two))).unwrap_or(0)
}

fn repeat_run(place: usize, run: &Report) -> RepeatRun {
    RepeatRun {
        run: number(place),
        tag: run.run.clone(),
        started: run.started.clone(),
        verdict: run.verdict.clone(),
        exit_code: run.exit_code,
        reason: run.reason.clone(),
        figures: figures::of_run(run),
    }
}

/// Of a place from 0.
fn number(place: usize) -> u32 {
    u32::try_from(place + 1).unwrap_or(u32::MAX)
}

const STATE: &str = "the runs followed one another with one plan and seed; what origin and proxy remembered of one, the next one met";

#[cfg(test)]
mod tests;
