//! The report as a person reads it: the first line says whose failures these were.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::books::State;
use crate::limits;
use crate::report::{Latency, Report};

pub(super) fn render(report: &Report) -> String {
    let mut out = String::with_capacity(4096);
    // Writing to a string cannot fail.
    let _ = sections(report, &mut out);
    out
}

fn sections(report: &Report, out: &mut String) -> std::fmt::Result {
    failures(report, out)?;
    writeln!(out, "verdict: {} (exit code {}): {}", report.verdict, report.exit_code, report.reason)?;
    writeln!(out)?;
    requests(report, out)?;
    latency(report, out)?;
    routes(report, out)?;
    rules(report, out)?;
    thresholds(report, out)?;
    books(report, out)?;
    next(report, out)
}

fn failures(report: &Report, out: &mut String) -> std::fmt::Result {
    let (failures, sent) = (&report.failures, report.requests.sent);
    if failures.total == 0 {
        return writeln!(out, "failures: none in {} requests", number(sent));
    }
    write!(
        out,
        "failures: {} of {} requests ({}): ",
        number(failures.total),
        number(sent),
        share(failures.total, sent)
    )?;
    let part = |count: u64| format!("{} ({})", number(count), share(count, failures.total));
    write!(out, "{} injected, ", part(failures.injected))?;
    write!(out, "{} the origin's own, ", part(failures.origin))?;
    write!(out, "{} the proxy's or the network's, ", part(failures.network))?;
    write!(out, "{} ours", part(failures.generator))?;
    if failures.unknown > 0 {
        write!(out, ", {} not to be told", part(failures.unknown))?;
    }
    writeln!(out)
}

fn requests(report: &Report, out: &mut String) -> std::fmt::Result {
    let requests = &report.requests;
    let seconds = report.elapsed_us as f64 / 1e6;
    let rate = if seconds > 0.0 { requests.sent as f64 / seconds } else { 0.0 };
    writeln!(
        out,
        "requests   {} planned, {} sent in {} ({}/s), {} answered, {} not answered",
        number(requests.planned),
        number(requests.sent),
        time(report.elapsed_us),
        number(rate as u64),
        number(requests.answered),
        number(report.failed()),
    )?;
    list(out, "never sent", &requests.never_sent)?;
    list(out, "status", &requests.status)?;
    list(out, "no answer", &requests.failed)?;
    list(out, "injected", &requests.injected)?;
    if requests.proxy_errors > 0 {
        writeln!(out, "proxy      {} answers made by the proxy itself", number(requests.proxy_errors))?;
    }
    if requests.mismatched > 0 {
        writeln!(
            out,
            "differ     {} answers with another status than recorded",
            number(requests.mismatched)
        )?;
    }
    let sessions = &report.sessions;
    writeln!(
        out,
        "sessions   {} started, {} completed, {} cut short, at most {} at once",
        number(sessions.started),
        number(sessions.completed),
        number(sessions.aborted),
        number(sessions.peak)
    )?;
    let conns = &report.connections;
    writeln!(
        out,
        "sockets    {} opened, at most {} at once, {} requests on a used one; {} waited, p99 {}",
        number(conns.opened),
        number(conns.peak),
        number(conns.reused),
        number(conns.waited),
        time(conns.wait_p99)
    )?;
    writeln!(out, "bytes      {} out, {} in", bytes(requests.bytes_out), bytes(requests.bytes_in))?;
    writeln!(out)
}

fn latency(report: &Report, out: &mut String) -> std::fmt::Result {
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
    let all = &report.latency;
    row("response", &all.response, "due to last byte, nothing omitted")?;
    row("service", &all.service, "sent to last byte")?;
    row("ttfb", &all.ttfb, "sent to first byte")?;
    row("lateness", &all.lateness, "our own: due to sent")?;
    for note in &report.generator.notes {
        writeln!(out, "note       {note}")?;
    }
    for reason in &report.generator.degraded {
        writeln!(out, "DEGRADED   {reason}")?;
    }
    writeln!(out)
}

fn routes(report: &Report, out: &mut String) -> std::fmt::Result {
    if report.routes.is_empty() {
        return Ok(());
    }
    writeln!(out, "{:>11} {:>9} {:>9} {:>9} {:>9}  route", "requests", "failed", "injected", "p50", "p99")?;
    for route in report.routes.iter().take(limits::ROUTES_SHOWN) {
        writeln!(
            out,
            "{:>11} {:>9} {:>9} {:>9} {:>9}  {}",
            number(route.requests),
            number(route.failed),
            number(route.injected),
            time(route.response.p50),
            time(route.response.p99),
            route.route
        )?;
    }
    let hidden = report.routes.len().saturating_sub(limits::ROUTES_SHOWN);
    if hidden > 0 {
        writeln!(out, "{hidden:>11} more routes are in the JSON")?;
    }
    writeln!(out)
}

fn rules(report: &Report, out: &mut String) -> std::fmt::Result {
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
        writeln!(out, "{}", if rule.eligible == 0 { " (never matched)" } else { "" })?;
    }
    writeln!(out)
}

fn thresholds(report: &Report, out: &mut String) -> std::fmt::Result {
    for threshold in &report.thresholds {
        let word = if threshold.ok { "holds" } else { "BROKEN" };
        let value = match threshold.value {
            None => "nothing was measured".to_owned(),
            Some(value) if is_share(&threshold.expr) => format!("{:.3} %", value * 100.0),
            Some(value) => time(value as u64),
        };
        writeln!(out, "threshold  {}: {word} ({value})", threshold.expr)?;
    }
    if report.thresholds.is_empty() { Ok(()) } else { writeln!(out) }
}

fn books(report: &Report, out: &mut String) -> std::fmt::Result {
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

fn next(report: &Report, out: &mut String) -> std::fmt::Result {
    let unknown = report.books.rows.iter().any(|row| row.state == State::Unknown);
    let words = match report.exit_code {
        113 => {
            "the figures above cannot be trusted until the rows marked OFF, or the rule that missed, are explained"
        }
        105 | 108 => "the run is not complete: run it again to its end before drawing conclusions",
        111 => "the generator did not keep the plan: fewer sessions, a slower --speed, or more cores",
        99 if report.requests.answered == 0 => "see that the target is up: curl -v the URL above",
        99 => "start with the route that has the worst p99, and with the rules that were applied to it",
        _ if unknown => {
            "for all rows of the books, replay through squall proxy (--proxy URL) and count the origin (--origin-counter URL)"
        }
        _ => "raise --amplify, or add a rule, and see what breaks first",
    };
    writeln!(out, "next       {words}")
}

fn list(out: &mut String, name: &str, counts: &BTreeMap<String, u64>) -> std::fmt::Result {
    let shown: Vec<String> = counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(what, count)| format!("{what}: {}", number(*count)))
        .collect();
    if shown.is_empty() { Ok(()) } else { writeln!(out, "{name:<10} {}", shown.join(", ")) }
}

fn is_share(expr: &str) -> bool {
    ["errors", "answered", "failed"].iter().any(|name| expr.trim_start().starts_with(name))
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.1} %", part as f64 * 100.0 / whole as f64) }
}

/// `1,234,567`.
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Microseconds in the unit that shows three digits or so.
pub(crate) fn time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..100_000 => format!("{:.2} ms", us as f64 / 1e3),
        100_000..1_000_000 => format!("{:.0} ms", us as f64 / 1e3),
        1_000_000..120_000_000 => format!("{:.2} s", us as f64 / 1e6),
        120_000_000..7_200_000_000 => format!("{:.1} min", us as f64 / 6e7),
        _ => format!("{:.1} h", us as f64 / 3.6e9),
    }
}

/// Bytes in the unit that fits.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} B"),
        10_000..10_000_000 => format!("{:.1} KB", count as f64 / 1e3),
        10_000_000..10_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1500, 250_000, 1_500_000].map(time), ["0 us", "1.50 ms", "250 ms", "1.50 s"]);
        assert_eq!(bytes(123_456), "123.5 KB");
    }
}
