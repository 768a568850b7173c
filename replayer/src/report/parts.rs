//! The parts of run.json. Fields that older files lack have a default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The plan in a report: the whole of it, whatever the shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // names and meanings are those of run.json
pub struct PlanPart {
    /// The first capture.
    pub capture: String,
    pub target: String,
    pub sessions: u64,
    pub requests: u64,
    pub amplify: f64,
    /// 0: as fast as answers come.
    pub speed: f64,
    pub span_us: u64,
    pub skipped: BTreeMap<String, u64>,
    pub body_filled: u64,
    /// The number of requests was known before the run: they are as many however long the run takes.
    #[serde(default)]
    pub exact: bool,
    /// All captures.
    #[serde(default)]
    pub captures: Vec<Source>,
    /// recorded, poisson or aligned.
    #[serde(default)]
    pub arrivals: String,
    /// The profile as it was typed; empty: none.
    #[serde(default)]
    pub profile: String,
}

/// A capture of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Source {
    pub capture: String,
    pub amplify: f64,
}

/// Sessions in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Sessions {
    pub started: u64,
    pub completed: u64,
    pub aborted: u64,
    /// Left on purpose (`--misbehave abandon`).
    #[serde(default)]
    pub abandoned: u64,
    pub peak: u64,
}

/// Requests in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Requests {
    /// Of this shard.
    pub planned: u64,
    /// Attempts beyond the first of their operation that were sent.
    pub retries: u64,
    /// Those of them that are double submits.
    #[serde(default)]
    pub doubles: u64,
    /// Retries that the budget did not allow.
    #[serde(default)]
    pub retries_denied: u64,
    pub sent: u64,
    pub never_sent: BTreeMap<String, u64>,
    pub answered: u64,
    pub failed: BTreeMap<String, u64>,
    pub status: BTreeMap<String, u64>,
    pub injected: BTreeMap<String, u64>,
    pub proxy_errors: u64,
    pub mismatched: u64,
    pub bytes_out: u64,
    pub bytes_in: u64,
}

/// Requests of the warm-up in a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct WarmupPart {
    pub sent: u64,
    pub answered: u64,
    /// Answered 429 or 5xx, or not answered.
    pub failed: u64,
}

/// Failures are answers of 429 and 5xx, and attempts without an answer. The parts add up to the total.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// All.
    pub total: u64,
    /// Made by a rule.
    pub injected: u64,
    /// Answers of the origin itself.
    pub origin: u64,
    /// The proxy's own errors, and connections that failed without a rule.
    pub network: u64,
    /// Ours: aborted by us, or the generator ran out of ports or files.
    pub generator: u64,
    /// Not to be told, because a list was full.
    pub unknown: u64,
}

/// The latencies of a report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct LatencyPart {
    /// One for each operation; the others are one for each attempt.
    pub response: Latency,
    pub service: Latency,
    pub ttfb: Latency,
    pub lateness: Latency,
    /// Waits for a connection, of the requests that waited.
    #[serde(default)]
    pub wait: Latency,
    /// Actual against planned gap between the steps of a session, either way.
    #[serde(default)]
    pub gap_error: Latency,
    /// Planned to actual start of a session.
    #[serde(default)]
    pub start_spread: Latency,
}

/// One latency: figures, and the whole histogram as base64 of HDR V2 (compressed). Empty: nothing was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Latency {
    pub count: u64,
    pub mean: f64,
    pub p50: u64,
    pub p90: u64,
    pub p95: u64,
    pub p99: u64,
    pub p99_9: u64,
    pub max: u64,
    pub hdr: String,
}

/// Connections in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ConnectionsPart {
    pub opened: u64,
    /// Requests sent on a connection that had carried an answer.
    pub reused: u64,
    pub peak: u64,
    pub tls_full: u64,
    pub tls_resumed: u64,
    /// Idle connections of sessions that were closed to make room.
    pub evicted: u64,
    /// Streams of HTTP/2 that were open at once.
    #[serde(default)]
    pub h2_streams_peak: u64,
    /// Connections that the peer ended with GOAWAY.
    #[serde(default)]
    pub goaways: u64,
    /// Streams that the peer refused before it looked at them.
    #[serde(default)]
    pub refused_streams: u64,
    /// Requests that waited for a connection (opening one included), and how long at the 99th percentile.
    pub waited: u64,
    pub wait_p99: u64,
}

/// Streams in a report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct StreamsPart {
    pub opened: u64,
    pub ended: u64,
    pub broken: u64,
    pub messages_in: u64,
    pub messages_out: u64,
    pub peak_open: u64,
    pub reconnects: u64,
    pub stalls: u64,
    /// Request sent to first event.
    pub first_event: Latency,
    /// Between two events of one stream.
    pub event_gap: Latency,
}

/// A route in a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Route {
    pub route: String,
    pub requests: u64,
    pub failed: u64,
    pub injected: u64,
    pub response: Latency,
}

/// A cohort in a report: the sessions of one capture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Cohort {
    pub cohort: String,
    pub requests: u64,
    pub failed: u64,
    pub injected: u64,
    pub response: Latency,
}

/// A rule in a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Rule {
    pub id: String,
    pub eligible: u64,
    pub selected: u64,
    pub suppressed: BTreeMap<String, u64>,
    pub applied: u64,
    pub asked_rate: f64,
    pub realised_rate: f64,
    /// Among how many different keys it selected; `None`: not known.
    #[serde(default)]
    pub units: Option<u64>,
}

/// A step of the series. `t_us` is its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Second {
    pub t_us: u64,
    pub active: u64,
    pub sent: u64,
    pub answered: u64,
    pub failed: u64,
    pub injected: u64,
    pub p50: u64,
    pub p99: u64,
}

/// A threshold in a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// As it was typed.
    pub expr: String,
    /// Microseconds, or a share of 1; `None`: nothing was measured.
    pub value: Option<f64>,
    /// What it was held against, in the same unit; `None`: there was no baseline.
    #[serde(default)]
    pub bound: Option<f64>,
    /// Whether it holds.
    pub ok: bool,
}

/// The generator about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Generator {
    pub rss_peak: u64,
    /// Processor time of the whole process.
    pub cpu_us: u64,
    /// How busy the engine's threads were, as a part of 1; of merged runs the busiest. 0: not measured.
    #[serde(default)]
    pub cpu_share: f64,
    pub sockets_peak: u64,
    pub threads: u64,
    /// Requests that `--max-rate` held back.
    pub held_back: u64,
    pub degraded: Vec<String>,
    /// What else the user should know.
    pub notes: Vec<String>,
}
