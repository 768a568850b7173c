//! Prometheus metrics, built from the books whenever somebody asks; only durations are counted as they happen. Names and
//! units by its conventions; a label holds an edge, a rule or a guard (bounded, see [`Names`]) or a word of ours.

mod edges;
mod process;
mod recording;
mod rules;

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, HistogramVec};
use telemetry::{Families, Names};

use crate::books::Counts;
use crate::shared::Shared;

/// Durations that must be counted as they happen, and the names that have series; everything else is in the books.
#[derive(Debug)]
pub(crate) struct Timings {
    durations: Option<HistogramVec>,
    /// By edge; looking one up by its name would take a lock.
    edges: Vec<Histogram>,
    rules: Names,
    tcp_edges: Names,
    guards: Names,
}

impl Timings {
    pub(crate) fn new(edges: &[String]) -> Self {
        let options = HistogramOpts::new(
            "squall_proxy_request_duration_seconds",
            "From the request's header to the end of the exchange, faults included.",
        )
        .buckets(BUCKETS.to_vec());
        let durations = HistogramVec::new(options, &["edge"]).ok();
        let of_edge = |name: &String| durations.as_ref().map(|all| all.with_label_values(&[name]));
        let edges = edges.iter().filter_map(of_edge).collect();
        let names = Names::default;
        Timings { edges, durations, rules: names(), tcp_edges: names(), guards: names() }
    }

    pub(crate) fn observe(&self, edge: usize, took: Duration) {
        if let Some(histogram) = self.edges.get(edge) {
            histogram.observe(took.as_secs_f64());
        }
    }
}

/// The text a scrape gets.
///
/// # Errors
/// Those of the encoder; a label set that contradicts itself would be a bug.
pub(crate) fn scrape(shared: &Shared) -> prometheus::Result<String> {
    telemetry::text(&gather(shared)?.gather())
}

/// All families as they stand.
///
/// # Errors
/// As [`scrape`].
pub(crate) fn gather(shared: &Shared) -> prometheus::Result<Families> {
    let families = Families::new();
    edges::http(&families, shared)?;
    edges::tcp(&families, shared)?;
    recording::add(&families, shared)?;
    rules::add(&families, shared)?;
    rules::guards(&families, shared)?;
    rules::standing(&families, shared)?;
    process::limits(&families, shared)?;
    process::add(&families, shared)?;
    if let Some(durations) = &shared.timings.durations {
        families.add(durations)?;
    }
    if let Some(traces) = shared.traces.get() {
        let spans = families.counter(
            "squall_proxy_otlp_spans_total",
            "Spans by what became of them.",
            &["result"],
        )?;
        for (result, count) in traces.counts() {
            spans.with_label_values(&[result]).inc_by(count);
        }
    }
    Ok(families)
}

fn total(counts: &Counts) -> u64 {
    counts.values().sum()
}

/// 1 ms to 30 s: a proxied loopback answer at one end, an injected outage at the other.
const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
