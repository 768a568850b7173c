//! The runs of one plan, as a person reads them: first what they found, then how far apart they are.

use std::fmt::{Result, Write};

use crate::figures::in_words;
use crate::report::{Report, Spread};

pub(super) fn repeat(report: &Report, out: &mut String) -> Result {
    let Some(repeat) = &report.repeat else { return Ok(()) };
    let done = repeat.runs.len();
    writeln!(
        out,
        "repeat     {done} of {} runs; the figures above are of run {}",
        repeat.asked, repeat.shown
    )?;
    for run in &repeat.runs {
        writeln!(
            out,
            "run {:>4}   {} ({}), {}: {}",
            run.run, run.verdict, run.exit_code, run.tag, run.reason
        )?;
    }
    for finding in &repeat.findings {
        let (found, what) = (finding.runs.len(), &finding.what);
        let runs: Vec<String> = finding.runs.iter().map(ToString::to_string).collect();
        let which = if found == done { String::new() } else { format!(" (run {})", runs.join(", ")) };
        writeln!(out, "found      in {found} of {done} runs{which}: {}, {what}", finding.kind)?;
    }
    writeln!(out)?;
    writeln!(
        out,
        "{:<22} {:>10} {:>10} {:>10} {:>8}  median is within",
        "spread", "min", "median", "max", "cv"
    )?;
    repeat.spread.iter().try_for_each(|spread| row(spread, out))?;
    writeln!(out)
}

fn row(spread: &Spread, out: &mut String) -> Result {
    let words = |value: f64| in_words(&spread.unit, value);
    let cv = spread.cv.map_or_else(|| "-".to_owned(), |cv| format!("{:.1} %", cv * 100.0));
    let interval = match spread.interval {
        Some(at) => format!("{} to {} ({:.1} % sure)", words(at.low), words(at.high), at.confidence * 100.0),
        None => "- (needs 6 runs)".to_owned(),
    };
    let [min, median, max] = [spread.min, spread.median, spread.max].map(words);
    writeln!(out, "{:<22} {min:>10} {median:>10} {max:>10} {cv:>8}  {interval}", spread.figure)
}
