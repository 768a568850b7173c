//! Prometheus metrics, built from the books whenever somebody asks. Names and units by its conventions.

use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::books::{Counts, EdgeBooks};
use crate::shared::Shared;

/// Durations that must be counted as they happen; everything else is in the books.
#[derive(Debug)]
pub(crate) struct Timings {
    edges: Vec<Histogram>,
}

impl Timings {
    pub(crate) fn new(edges: usize) -> Self {
        let options = HistogramOpts::new(
            "squall_proxy_request_duration_seconds",
            "From the request's header to the end of the exchange, faults included.",
        )
        .buckets(BUCKETS.to_vec());
        let edges = (0..edges).filter_map(|_| Histogram::with_opts(options.clone()).ok()).collect();
        Timings { edges }
    }

    pub(crate) fn observe(&self, edge: usize, took: std::time::Duration) {
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
    let registry = Registry::new();
    let exchanges = counter(
        &registry,
        "squall_proxy_exchanges_total",
        "Exchanges by how they ended.",
        &["edge", "outcome"],
    )?;
    let seen = counter(&registry, "squall_proxy_seen_total", "Requests seen.", &["edge"])?;
    let attempts = counter(
        &registry,
        "squall_proxy_upstream_attempts_total",
        "Requests handed to the upstream.",
        &["edge", "kind"],
    )?;
    let recording = counter(
        &registry,
        "squall_proxy_recording_total",
        "Exchanges by what the recording made of them.",
        &["edge", "result"],
    )?;
    let connections = gauges(&registry, "squall_proxy_connections", "Open client connections.", &["edge"])?;
    for (edge, books) in shared.edges.iter().zip(shared.totals.edge_books()) {
        let name = &*edge.name;
        seen.with_label_values(&[name]).inc_by(books.seen);
        for (outcome, count) in outcomes(&books) {
            exchanges.with_label_values(&[name, outcome]).inc_by(count);
        }
        for (kind, count) in [
            ("first", books.forwarded),
            ("repeat", books.proxy_repeats),
            ("storm", total(&books.storm_copies)),
        ] {
            attempts.with_label_values(&[name, kind]).inc_by(count);
        }
        for (result, count) in [
            ("recorded", books.recorded),
            ("shed", total(&books.shed)),
            ("not_recorded", total(&books.not_recorded)),
        ] {
            recording.with_label_values(&[name, result]).inc_by(count);
        }
        let open = edge.connections.load(std::sync::atomic::Ordering::Acquire);
        connections.with_label_values(&[name]).set(i64::try_from(open).unwrap_or(i64::MAX));
    }
    bodies(&registry, shared)?;
    tcp(&registry, shared)?;
    rules(&registry, shared)?;
    limits(&registry, shared)?;
    guards(&registry, shared)?;
    state(&registry, shared)?;
    let mut text = Vec::new();
    let encoder = TextEncoder::new();
    encoder.encode(&registry.gather(), &mut text)?;
    for (edge, histogram) in shared.edges.iter().zip(&shared.timings.edges) {
        let labelled = Registry::new_custom(None, Some([("edge".to_owned(), edge.name.to_string())].into()))?;
        labelled.register(Box::new(histogram.clone()))?;
        encoder.encode(&labelled.gather(), &mut text)?;
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Bodies that the recording has not in full.
fn bodies(registry: &Registry, shared: &Shared) -> prometheus::Result<()> {
    let Some(bodies) = shared.recorder.as_ref().map(|recorder| recorder.status().bodies) else {
        return Ok(());
    };
    let lacking = counter(
        registry,
        "squall_proxy_recording_bodies_total",
        "Bodies that are not in the capture in full, by reason.",
        &["reason"],
    )?;
    for (reason, count) in [
        ("request_over_limit", bodies.request_over_limit),
        ("response_over_limit", bodies.response_over_limit),
        ("no_memory", bodies.no_memory),
        ("withheld", bodies.withheld),
    ] {
        lacking.with_label_values(&[reason]).inc_by(count);
    }
    Ok(())
}

/// Plain-TCP edges: connections by what became of them, bytes by way.
fn tcp(registry: &Registry, shared: &Shared) -> prometheus::Result<()> {
    let ended = counter(
        registry,
        "squall_proxy_tcp_connections_total",
        "TCP connections by how they ended.",
        &["edge", "outcome"],
    )?;
    let open = gauges(registry, "squall_proxy_tcp_connections", "Open TCP connections.", &["edge"])?;
    let bytes = counter(
        registry,
        "squall_proxy_tcp_bytes_total",
        "Bytes of TCP connections by what became of them.",
        &["edge", "way", "fate"],
    )?;
    for books in shared.tcp.rows() {
        let name = books.name.as_str();
        for (outcome, count) in [
            ("finished", books.finished),
            ("refused", total(&books.refused)),
            ("dropped", total(&books.dropped)),
            ("cut", total(&books.cut)),
            ("client_gone", books.client_gone),
            ("client_gone_after", books.client_gone_after),
            ("upstream_unreachable", books.upstream_unreachable),
            ("upstream_failed", books.upstream_failed),
            ("aborted", books.aborted),
            ("stopped", books.stopped),
        ] {
            ended.with_label_values(&[name, outcome]).inc_by(count);
        }
        let count = i64::try_from(books.connecting + books.open).unwrap_or(i64::MAX);
        open.with_label_values(&[name]).set(count);
        for (way, row) in [("request", &books.request), ("response", &books.response)] {
            for (fate, count) in [("out", row.went), ("withheld", total(&row.withheld)), ("lost", row.lost)] {
                bytes.with_label_values(&[name, way, fate]).inc_by(count);
            }
        }
    }
    Ok(())
}

fn outcomes(books: &EdgeBooks) -> [(&'static str, u64); 10] {
    [
        ("delivered", books.delivered),
        ("short_circuited", total(&books.short_circuited)),
        ("dropped", total(&books.dropped)),
        ("cut", total(&books.cut)),
        ("refused", total(&books.refused)),
        ("client_gone", books.client_gone),
        ("client_gone_after", books.client_gone_after),
        ("upstream_unreachable", books.upstream_unreachable),
        ("upstream_failed", books.upstream_failed),
        ("aborted", books.aborted),
    ]
}

fn rules(registry: &Registry, shared: &Shared) -> prometheus::Result<()> {
    let faults = counter(
        registry,
        "squall_proxy_rule_exchanges_total",
        "Exchanges by rule: eligible, selected, suppressed, applied.",
        &["rule", "stage"],
    )?;
    for books in shared.totals.rule_books(&shared.rules, &shared.totals) {
        let stages = [
            ("eligible", books.eligible),
            ("selected", books.selected),
            ("suppressed", total(&books.suppressed)),
            ("applied", books.applied),
        ];
        for (stage, count) in stages {
            faults.with_label_values(&[books.id.as_str(), stage]).inc_by(count);
        }
    }
    Ok(())
}

fn limits(registry: &Registry, shared: &Shared) -> prometheus::Result<()> {
    let met = counter(
        registry,
        "squall_proxy_bounds_met_total",
        "How often a client met a bound, or something was lost that its protocol cannot carry.",
        &["bound"],
    )?;
    for (bound, count) in shared.meets.counts() {
        met.with_label_values(&[bound]).inc_by(count);
    }
    let ([_, most], [buffered, max_buffered]) = (shared.gate.connections(), shared.gate.memory());
    for (name, help, value) in [
        ("squall_proxy_max_connections", "How many client connections may be open.", most),
        ("squall_proxy_buffered_bytes", "Bytes that wait to be read or written.", buffered),
        ("squall_proxy_max_buffered_bytes", "Above this new connections wait.", max_buffered),
    ] {
        let gauge = IntGauge::with_opts(Opts::new(name, help))?;
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(Box::new(gauge))?;
    }
    Ok(())
}

fn guards(registry: &Registry, shared: &Shared) -> prometheus::Result<()> {
    let trips =
        counter(registry, "squall_proxy_guard_trips_total", "Trips of guards.", &["guard", "action"])?;
    for books in shared.rules.guard_books(std::time::Duration::ZERO) {
        let trip = trips.with_label_values(&[books.name.as_str(), books.action]);
        trip.inc_by(u64::from(books.tripped_at_us.is_some()));
    }
    Ok(())
}

fn state(registry: &Registry, shared: &Shared) -> prometheus::Result<()> {
    let reload = shared.rules.reload_state();
    let as_i64 = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let gauges = [
        ("squall_proxy_rules_armed", "Whether faults may fire.", i64::from(shared.rules.standing.is_armed())),
        (
            "squall_proxy_rules_generation",
            "Number of the rule set in force.",
            as_i64(shared.rules.live().generation),
        ),
        ("squall_proxy_faults_active", "Exchanges under a fault now.", as_i64(shared.rules.gauges.active())),
        ("squall_proxy_in_flight", "Exchanges under way.", shared.totals.in_flight()),
    ];
    for (name, help, value) in gauges {
        let gauge = IntGauge::with_opts(Opts::new(name, help))?;
        gauge.set(value);
        registry.register(Box::new(gauge))?;
    }
    let counters = [
        ("squall_proxy_rules_refused_total", "Versions of the rule file that were refused.", reload.refused),
        ("squall_proxy_ledger_lines_total", "Lines of the ledger.", shared.ledger.lines()),
        ("squall_proxy_ledger_lost_total", "Lines that did not reach the ledger.", shared.ledger.lost()),
        (
            "squall_proxy_stale_shed_total",
            "Earlier answers dropped for lack of room, or too large to keep.",
            shared.rules.gauges.stale.shed(),
        ),
        (
            "squall_proxy_fault_panics_total",
            "Bugs in the fault path; the exchange passed.",
            shared.rules.gauges.panics(),
        ),
    ];
    for (name, help, value) in counters {
        let counter = prometheus::IntCounter::with_opts(Opts::new(name, help))?;
        counter.inc_by(value);
        registry.register(Box::new(counter))?;
    }
    Ok(())
}

fn counter(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(gauges.clone()))?;
    Ok(gauges)
}

fn total(counts: &Counts) -> u64 {
    counts.values().sum()
}

/// 1 ms to 30 s: a proxied loopback answer at one end, an injected outage at the other.
const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
