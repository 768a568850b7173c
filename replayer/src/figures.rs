//! The figures by which runs are compared: of several in a row (`--repeat`) and of those in a history.

use std::collections::BTreeMap;

use crate::report::Report;

/// One figure of a run.
#[derive(Debug)]
pub(crate) struct Figure {
    /// As it stands in run.json.
    pub(crate) name: &'static str,
    /// us, bytes, 1/s, or a share of 1.
    pub(crate) unit: &'static str,
    of: fn(&Report) -> Option<f64>,
}

/// All of them, in the order in which people read them.
pub(crate) const FIGURES: [Figure; 13] = [
    figure("requests.rate", "1/s", |run| {
        (run.elapsed_us > 0).then(|| run.requests.sent as f64 * 1e6 / run.elapsed_us as f64)
    }),
    figure("errors", "share", |run| share(run.failures.total, run.requests.sent)),
    figure("failures.injected", "share", |run| share(run.failures.injected, run.requests.sent)),
    figure("failures.origin", "share", |run| share(run.failures.origin, run.requests.sent)),
    figure("response.mean", "us", |run| {
        (run.latency.response.count > 0).then_some(run.latency.response.mean)
    }),
    figure("response.p50", "us", |run| of(&run.latency.response, |all| all.p50)),
    figure("response.p95", "us", |run| of(&run.latency.response, |all| all.p95)),
    figure("response.p99", "us", |run| of(&run.latency.response, |all| all.p99)),
    figure("response.p99_9", "us", |run| of(&run.latency.response, |all| all.p99_9)),
    figure("service.p99", "us", |run| of(&run.latency.service, |all| all.p99)),
    figure("lateness.p99", "us", |run| of(&run.latency.lateness, |all| all.p99)),
    figure("generator.cpu_share", "share", |run| {
        (run.generator.cpu_share > 0.0).then_some(run.generator.cpu_share)
    }),
    figure("generator.rss_peak", "bytes", |run| Some(run.generator.rss_peak as f64)),
];

/// Those that a run has.
pub(crate) fn of_run(run: &Report) -> BTreeMap<String, f64> {
    let known = FIGURES.iter().filter_map(|figure| Some((figure.name.to_owned(), (figure.of)(run)?)));
    known.filter(|(_, value)| value.is_finite()).collect()
}

/// A value of a figure, for people.
pub(crate) fn in_words(unit: &str, value: f64) -> String {
    match unit {
        "us" => crate::report::text::time(value.max(0.0).round() as u64),
        "bytes" => crate::report::text::bytes(value.max(0.0).round() as u64),
        "share" => format!("{:.2} %", value * 100.0),
        _ if value < 100.0 => format!("{value:.1}"),
        _ => crate::report::text::number(value.round() as u64),
    }
}

/// The median of sorted values; of an even number the mean of the two in the middle.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

const fn figure(name: &'static str, unit: &'static str, of: fn(&Report) -> Option<f64>) -> Figure {
    Figure { name, unit, of }
}

fn of(all: &crate::report::Latency, part: fn(&crate::report::Latency) -> u64) -> Option<f64> {
    (all.count > 0).then(|| part(all) as f64)
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
