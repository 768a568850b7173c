//! The tables of the text, and what is said below them.

use std::fmt::{Result, Write};

use crate::books::State;
use crate::limits;
use crate::report::text::{number, time};
use crate::report::{Calls, Latency, LinkUse, Report, edges};

pub(super) fn latency(report: &Report, out: &mut String) -> Result {
    let head = ["", "p50", "p90", "p95", "p99", "p99.9", "max"];
    writeln!(
        out,
        "{:<10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "latency", head[1], head[2], head[3], head[4], head[5], head[6]
    )?;
    let mut row = |name: &str, all: &Latency, what: &str| {
        let [p50, p90, p95, p99, p99_9, max] =
            [all.p50, all.p90, all.p95, all.p99, all.p99_9, all.max].map(time);
        writeln!(out, "{name:<10} {p50:>9} {p90:>9} {p95:>9} {p99:>9} {p99_9:>9} {max:>9}  {what}")
    };
    let (all, streams) = (&report.latency, report.streams.as_ref());
    row("response", &all.response, "due to last byte, nothing omitted")?;
    row("service", &all.service, "sent to last byte")?;
    row("ttfb", &all.ttfb, "sent to first byte")?;
    row("lateness", &all.lateness, "our own: due to sent")?;
    // The rest is said where it is large enough to matter, or asked for.
    if SMALL_US <= all.wait.p99 {
        row("wait", &all.wait, "for a connection")?;
    }
    if SMALL_US <= all.gap_error.p99 {
        row("gap error", &all.gap_error, "between the steps of a session, against the plan")?;
    }
    if report.plan.arrivals == "aligned" && all.start_spread.count > 0 {
        row("starts", &all.start_spread, "of sessions, after the moment they share")?;
    }
    if let Some(streams) = streams {
        row("1st event", &streams.first_event, "sent to first event")?;
        row("event gap", &streams.event_gap, "between two events")?;
    }
    lines(out, "note", &report.generator.notes)?;
    lines(out, "DEGRADED", &report.generator.degraded)?;
    writeln!(out)
}

/// Only where the load is not the capture as it was.
pub(super) fn shape(report: &Report, out: &mut String) -> Result {
    let Some(shape) = &report.shape else { return Ok(()) };
    let (capture, replay) = (&shape.capture, &shape.replay);
    if capture.sessions == replay.sessions && report.plan.arrivals == "recorded" {
        return Ok(());
    }
    let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
    writeln!(
        out,
        "shape      gaps between session starts differ from the capture's by {}, routes by {}, lengths of sessions \
         by {} (0: the same, 1: nothing in common)",
        figure(shape.inter_arrival_distance),
        figure(shape.mix_distance),
        figure(shape.length_distance)
    )?;
    writeln!(
        out,
        "bursts     requests in 10 ms, variance / mean: {} (capture {}), from one to the next {} (capture {}); 1: \
         strangers, more: together",
        figure(replay.dispersion),
        figure(capture.dispersion),
        figure(replay.local_dispersion),
        figure(capture.local_dispersion)
    )?;
    writeln!(out)
}

fn lines(out: &mut String, name: &str, all: &[String]) -> Result {
    for line in all.iter().take(limits::LINES_SHOWN) {
        writeln!(out, "{name:<10} {line}")?;
    }
    match all.len().saturating_sub(limits::LINES_SHOWN) {
        0 => Ok(()),
        hidden => writeln!(out, "{name:<10} {hidden} more are in the JSON"),
    }
}

pub(super) fn routes(report: &Report, out: &mut String) -> Result {
    if report.routes.is_empty() {
        return Ok(());
    }
    let rows = report
        .routes
        .iter()
        .map(|route| (route.requests, route.failed, route.injected, &route.response, route.route.as_str()));
    parts(out, "route", rows)
}

/// Only where there is more than one: all of them together are the run.
pub(super) fn cohorts(report: &Report, out: &mut String) -> Result {
    if report.cohorts.len() < 2 {
        return Ok(());
    }
    let rows = report.cohorts.iter().map(|cohort| {
        (cohort.requests, cohort.failed, cohort.injected, &cohort.response, cohort.cohort.as_str())
    });
    parts(out, "cohort", rows)
}

/// Only where there is one: what the client waited for, edge by edge down the chain.
pub(super) fn chain(report: &Report, out: &mut String) -> Result {
    if report.edges.len() < 2 {
        return Ok(());
    }
    writeln!(out, "{:>11} {:>9} {:>9} {:>9}  chain", "requests", "p50", "p99", "own p99")?;
    let mut row = |count: u64, p50: u64, p99: u64, own: String, name: &str| {
        writeln!(out, "{:>11} {:>9} {:>9} {own:>9}  {name}", number(count), time(p50), time(p99))
    };
    let service = &report.latency.service;
    row(service.count, service.p50, service.p99, "-".to_owned(), "client (sent to last byte)")?;
    for edge in &report.edges {
        let (latency, own) = (&edge.times.latency, edge.times.own.as_ref());
        let call = |calls: &Calls| {
            format!("{:.2} to {} (p99 {})", calls.per_request, calls.edge, time(calls.latency.p99))
        };
        let calls: Vec<String> = edge.times.calls.iter().map(call).collect();
        let calls = if calls.is_empty() { String::new() } else { format!(", calls: {}", calls.join(", ")) };
        let own = own.map_or_else(|| "-".to_owned(), |own| time(own.p99));
        row(latency.count, latency.p50, latency.p99, own, &format!("{}{calls}", edge.name))?;
    }
    if let Some(words) = edges::in_words(&report.edges) {
        writeln!(out, "{words}")?;
    }
    writeln!(out)
}

/// What clones carried from answers to later requests; which links lacked values.
pub(super) fn links(report: &Report, out: &mut String) -> Result {
    if report.links.is_empty() {
        return Ok(());
    }
    let sum = |part: fn(&LinkUse) -> u64| report.links.iter().map(part).sum::<u64>();
    writeln!(
        out,
        "links      {} in use: {} values of the clones' own were sent, {} times the recorded one",
        number(report.links.len() as u64),
        number(sum(|link| link.used)),
        number(sum(|link| link.missed)),
    )?;
    let mut missed: Vec<&LinkUse> = report.links.iter().filter(|link| link.missed > 0).collect();
    missed.sort_by_key(|link| std::cmp::Reverse(link.missed));
    for link in missed.iter().take(limits::LINES_SHOWN) {
        writeln!(out, "           {} missed: {} -> {}", number(link.missed), link.from, link.to)?;
    }
    writeln!(out)
}

/// The parts of a run: requests, failed and injected ones, response, name.
fn parts<'a>(
    out: &mut String,
    what: &str,
    rows: impl ExactSizeIterator<Item = (u64, u64, u64, &'a Latency, &'a str)>,
) -> Result {
    let hidden = rows.len().saturating_sub(limits::ROUTES_SHOWN);
    writeln!(out, "{:>11} {:>9} {:>9} {:>9} {:>9}  {what}", "requests", "failed", "injected", "p50", "p99")?;
    for (requests, failed, injected, response, name) in rows.take(limits::ROUTES_SHOWN) {
        writeln!(
            out,
            "{:>11} {:>9} {:>9} {:>9} {:>9}  {name}",
            number(requests),
            number(failed),
            number(injected),
            time(response.p50),
            time(response.p99),
        )?;
    }
    if hidden > 0 {
        writeln!(out, "{hidden:>11} more {what}s are in the JSON")?;
    }
    writeln!(out)
}

pub(super) fn rules(report: &Report, out: &mut String) -> Result {
    if report.rules.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "{:>11} {:>10} {:>10} {:>9} {:>9}  rule",
        "selected", "suppressed", "applied", "asked", "got"
    )?;
    for rule in &report.rules {
        let suppressed: u64 = rule.suppressed.values().sum();
        let percent = |rate: f64| format!("{:.2} %", rate * 100.0);
        write!(
            out,
            "{:>11} {:>10} {:>10} {:>9} {:>9}  {}",
            number(rule.selected),
            number(suppressed),
            number(rule.applied),
            percent(rule.asked_rate),
            percent(rule.realised_rate),
            rule.id
        )?;
        match &rule.audit.missed {
            Some(missed) => writeln!(out, " (MISSED: {missed})")?,
            None if rule.eligible == 0 => writeln!(out, " (never matched)")?,
            None => writeln!(out)?,
        }
        if let Some(delay) = &rule.audit.delay {
            let [median, p99] = [delay.error_p50_us, delay.error_p99_us].map(time);
            let [asked, took] = [delay.asked_mean_us, delay.actual_mean_us].map(|us| time(us as u64));
            let count = number(delay.count);
            writeln!(
                out,
                "{:>33} {count} delays: {asked} asked, {took} taken on average; off by {median} at the median, {p99} at p99",
                ""
            )?;
        }
    }
    writeln!(out)
}

/// Guards of the proxy: those that held, too.
pub(super) fn guards(report: &Report, out: &mut String) -> Result {
    for guard in &report.guards {
        writeln!(out, "guard      {}", guard.in_words())?;
    }
    if report.guards.is_empty() { Ok(()) } else { writeln!(out) }
}

pub(super) fn thresholds(report: &Report, out: &mut String) -> Result {
    for threshold in &report.thresholds {
        let word = if threshold.ok { "holds" } else { "BROKEN" };
        let figure = |value: f64| match is_share(&threshold.expr) {
            true => format!("{:.3} %", value * 100.0),
            false => time(value as u64),
        };
        let mut value = threshold.value.map_or_else(|| "nothing was measured".to_owned(), figure);
        if let (Some(bound), true) = (threshold.bound, threshold.expr.contains("baseline")) {
            let side = if threshold.expr.contains('<') { "below" } else { "above" };
            value = format!("{value}, {side} {}", figure(bound));
        }
        writeln!(out, "threshold  {}: {word} ({value})", threshold.expr)?;
    }
    if report.thresholds.is_empty() { Ok(()) } else { writeln!(out) }
}

pub(super) fn books(report: &Report, out: &mut String) -> Result {
    writeln!(out, "books      {}", report.books.in_words())?;
    let mut said = None;
    for row in &report.books.rows {
        let side = |value: Option<u64>| value.map_or("?".to_owned(), number);
        let (mark, sign) = match row.state {
            State::Balanced => ("ok", "="),
            State::Off => ("OFF", "/="),
            State::Unknown => ("?", "~"),
        };
        let sides = format!("{} {sign} {}", side(row.left), side(row.right));
        write!(out, "{mark:>4} {sides:>27}  {}", row.row)?;
        match &row.note {
            Some(note) if said != Some(note) => writeln!(out, " ({note})")?,
            _ => writeln!(out)?,
        }
        said = row.note.as_ref();
    }
    writeln!(out)
}

fn is_share(expr: &str) -> bool {
    ["errors", "answered", "failed"].iter().any(|name| expr.trim_start().starts_with(name))
}

/// A wait or an error of less is no news, in microseconds.
const SMALL_US: u64 = 1000;
