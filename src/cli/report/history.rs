//! `squall report --history`: the runs of a plan, and where a figure moved.
#![allow(clippy::print_stdout, reason = "a command's output")]

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::anyhow;
use replayer::history::change::LEAST;
use replayer::history::course::Course;
use replayer::history::{self, Record};
use replayer::report::html;

use super::pages;

/// Prints the history in a folder, as a table or as JSON.
///
/// # Errors
/// The folder cannot be read, or holds no run of the plan.
pub(super) fn show(folder: &Path, plan: &str, json: bool) -> anyhow::Result<ExitCode> {
    let course = course(folder, plan)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&course)?);
    } else {
        print!("{}", text(&course));
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the history in a folder as a page.
///
/// # Errors
/// The same; or the page cannot be written, or would be written over something else.
pub(super) fn write(folder: &Path, plan: &str, page: &Path) -> anyhow::Result<ExitCode> {
    pages::refuse_foreign(page)?;
    let course = course(folder, plan)?;
    pages::keep(page, &html::history(&course, &text(&course)), course.runs.len())
}

fn course(folder: &Path, plan: &str) -> anyhow::Result<Course> {
    let history = history::load(folder).map_err(|words| anyhow!(words))?;
    history.course(plan).map_err(|words| anyhow!("history {}: {words}", folder.display()))
}

fn text(course: &Course) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ =
        table(course, &mut out).and_then(|()| moves(course, &mut out)).and_then(|()| rest(course, &mut out));
    out
}

fn table(course: &Course, out: &mut String) -> std::fmt::Result {
    let (plan, count) = (&course.plan_hash, course.runs.len());
    let shard = if course.shard == "1/1" { String::new() } else { format!(", shard {}", course.shard) };
    writeln!(out, "plan       {plan}{shard}, {count} runs")?;
    if SHOWN < count {
        writeln!(out, "           the newest {SHOWN} of them (--json has all)")?;
    }
    write!(out, "{:<20} {:<8} {:<11}", "started", "run", "verdict")?;
    for (_, name) in COLUMNS {
        write!(out, " {name:>9}")?;
    }
    writeln!(out)?;
    course.runs[count.saturating_sub(SHOWN)..].iter().try_for_each(|run| row(course, run, out))
}

fn row(course: &Course, run: &Record, out: &mut String) -> std::fmt::Result {
    let second = run.started.get(..SECOND).map_or_else(|| run.started.clone(), |second| format!("{second}Z"));
    write!(out, "{second:<20} {:<8} {:<11}", run.run, run.verdict)?;
    for (figure, _) in COLUMNS {
        write!(out, " {:>9}", course.shown(run, figure))?;
    }
    match &run.headline {
        Some(headline) => writeln!(out, "  {headline}"),
        None => writeln!(out),
    }
}

fn moves(course: &Course, out: &mut String) -> std::fmt::Result {
    writeln!(out)?;
    let sure: Vec<_> = course.changes.iter().filter(|moved| moved.is_sure).collect();
    match (course.compared, sure.is_empty()) {
        (few, _) if few < LEAST => {
            writeln!(out, "moved      not known: {few} runs can be compared, and it takes {LEAST}")
        }
        (count, true) => writeln!(out, "moved      no figure, over the {count} runs that can be compared"),
        _ => sure.iter().try_for_each(|moved| writeln!(out, "moved      {}", moved.in_words())),
    }
}

fn rest(course: &Course, out: &mut String) -> std::fmt::Result {
    for (plan, runs) in course.others.iter().take(OTHERS) {
        writeln!(out, "other      plan {plan}, {runs} runs (--plan {plan})")?;
    }
    if OTHERS < course.others.len() {
        writeln!(out, "other      and {} more plans", course.others.len() - OTHERS)?;
    }
    if course.unreadable > 0 {
        writeln!(out, "note       {} records cannot be read", course.unreadable)?;
    }
    if course.removed > 0 {
        writeln!(
            out,
            "note       {} older runs made room: a history keeps {}",
            course.removed,
            history::KEPT
        )?;
    }
    Ok(())
}

/// Figures that have a column, and its head.
const COLUMNS: [(&str, &str); 6] = [
    ("requests.rate", "req/s"),
    ("errors", "errors"),
    ("response.p50", "p50"),
    ("response.p95", "p95"),
    ("response.p99", "p99"),
    ("lateness.p99", "late p99"),
];
const SHOWN: usize = 30;
const OTHERS: usize = 5;
const SECOND: usize = "2026-01-01T00:00:00".len();
