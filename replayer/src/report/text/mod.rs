//! The report as a person reads it: the first line says whose failures these were.

mod repeat;
mod tables;
mod why;

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::books::State;
use crate::report::Report;

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
    why::why(report, out)?;
    requests(report, out)?;
    tables::latency(report, out)?;
    tables::shape(report, out)?;
    tables::routes(report, out)?;
    tables::chain(report, out)?;
    tables::cohorts(report, out)?;
    tables::links(report, out)?;
    tables::rules(report, out)?;
    tables::guards(report, out)?;
    tables::thresholds(report, out)?;
    tables::books(report, out)?;
    repeat::repeat(report, out)?;
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
    if report.shard != "1/1" {
        writeln!(out, "shard      {}", report.shard)?;
    }
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
    retries(report, out)?;
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
    write!(
        out,
        "sessions   {} started, {} completed, {} cut short",
        number(sessions.started),
        number(sessions.completed),
        number(sessions.aborted),
    )?;
    if sessions.abandoned > 0 {
        write!(out, ", {} left on purpose", number(sessions.abandoned))?;
    }
    writeln!(out, ", at most {} at once", number(sessions.peak))?;
    streams(report, out)?;
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

/// Only where there is something to say: retries, and the warm-up.
fn retries(report: &Report, out: &mut String) -> std::fmt::Result {
    let requests = &report.requests;
    if requests.retries > 0 || requests.retries_denied > 0 {
        write!(out, "retries    {} sent", number(requests.retries))?;
        if requests.doubles > 0 {
            write!(out, ", {} of them double submits", number(requests.doubles))?;
        }
        if requests.retries_denied > 0 {
            write!(out, ", {} more denied by the budget", number(requests.retries_denied))?;
        }
        writeln!(out)?;
    }
    if let Some(warmup) = &report.warmup {
        writeln!(
            out,
            "warm-up    {} of the requests, {} of them failed: in the books, not in latencies and thresholds",
            number(warmup.sent),
            number(warmup.failed)
        )?;
    }
    Ok(())
}

fn streams(report: &Report, out: &mut String) -> std::fmt::Result {
    let Some(streams) = &report.streams else { return Ok(()) };
    write!(
        out,
        "streams    {} opened, {} ended, {} broken, at most {} at once; {} messages in, {} out",
        number(streams.opened),
        number(streams.ended),
        number(streams.broken),
        number(streams.peak_open),
        number(streams.messages_in),
        number(streams.messages_out)
    )?;
    if streams.reconnects > 0 {
        write!(out, ", {} reconnects", number(streams.reconnects))?;
    }
    if streams.stalls > 0 {
        write!(out, ", {} stalls", number(streams.stalls))?;
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
        111 if report.generator.degraded.iter().any(|why| why.starts_with(crate::merge::MISSING)) => {
            "merge again once the missing shards have written their run.json"
        }
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
    use crate::report::sample;

    #[test]
    fn figures_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1500, 250_000, 1_500_000].map(time), ["0 us", "1.50 ms", "250 ms", "1.50 s"]);
        assert_eq!(bytes(123_456), "123.5 KB");
    }

    #[test]
    fn a_plain_run_has_no_line_too_many() {
        let mut tally = sample::tally();
        sample::answer(&mut tally, 1000, false, 0, 0);
        let text = sample::report(&tally, "1/1").text();
        for word in ["retries", "warm-up", "streams", "shard", "wait", "gap error", "starts"] {
            assert!(text.lines().all(|line| !line.starts_with(word)), "{word} is in\n{text}");
        }
    }

    #[test]
    fn what_happened_is_said() {
        let mut tally = sample::tally();
        sample::answer(&mut tally, 1000, false, 0, 0);
        sample::answer(&mut tally, 2000, true, 1, 1);
        (tally.retries, tally.doubles, tally.retries_denied) = (1, 1, 3);
        (tally.warmup.sent, tally.warmup.answered, tally.sessions_abandoned) = (1, 1, 4);
        (tally.streams.opened, tally.streams.reconnects, tally.streams.stalls) = (1200, 5, 6);
        tally.streams.first_event.saturating_record(1500);
        tally.latencies.wait.saturating_record(5000);
        tally.latencies.gap_error.saturating_record(2000);
        let mut report = sample::report(&tally, "2/4");
        report.plan.arrivals = "aligned".to_owned();
        report.latency.start_spread = report.latency.wait.clone();
        report.generator.degraded = (0..100).map(|number| format!("reason {number}")).collect();
        let demand: crate::Threshold = "response:max<baseline+10%".parse().expect("it parses");
        report.thresholds = vec![demand.judge(&report, demand.bound(Some(&report)))];
        let text = report.text();
        for words in [
            "shard      2/4\n",
            "retries    1 sent, 1 of them double submits, 3 more denied by the budget\n",
            "warm-up    1 of the requests",
            "4 left on purpose",
            "streams    1,200 opened",
            "5 reconnects, 6 stalls\n",
            "1st event    1.50 ms",
            "wait ",
            "gap error ",
            "starts ",
            "  users\n",
            "  jobs\n",
            "DEGRADED   reason 0\n",
            "80 more are in the JSON",
            "holds (2.00 ms, below 2.20 ms)",
        ] {
            assert!(text.contains(words), "{words} is not in\n{text}");
        }
    }
}
