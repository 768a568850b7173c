//! What a replay found: the same facts as run.json and as text.

pub(crate) mod build;
pub(crate) mod series;
pub(crate) mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::books::Books;

/// A whole run. Serialises as `run.json`; times in microseconds, sizes in bytes. See `run.schema.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of Squall.
    pub squall: String,
    /// The command line.
    pub argv: Vec<String>,
    /// When it started, RFC 3339.
    pub started: String,
    /// Wall time from the first due time to the last event.
    pub elapsed_us: u64,
    /// As it was given.
    pub seed: String,
    /// Tag of the run, 8 hex digits, the first part of each `squall-session`.
    pub run: String,
    /// Hash of the plan, 16 hex digits.
    pub plan_hash: String,
    /// Which part of the plan this is.
    pub shard: String,
    /// pass, fail, degraded, invalid, stopped or interrupted.
    pub verdict: String,
    /// What the program exits with.
    pub exit_code: u8,
    /// Why, in words.
    pub reason: String,
    /// What was planned.
    pub plan: PlanPart,
    /// What became of the sessions.
    pub sessions: Sessions,
    /// What became of the requests.
    pub requests: Requests,
    /// Where failures came from.
    pub failures: Failures,
    /// The four latencies, of answered requests (lateness: of all that were sent).
    pub latency: LatencyPart,
    /// What became of the connections.
    pub connections: ConnectionsPart,
    /// By route, most requests first.
    pub routes: Vec<Route>,
    /// By rule, as the proxy counted.
    pub rules: Vec<Rule>,
    /// By second, or by wider steps in a long run.
    pub series: Vec<Second>,
    /// The rows that must hold.
    pub books: Books,
    /// What was demanded.
    pub thresholds: Vec<Threshold>,
    /// What the generator says about itself.
    pub generator: Generator,
}

/// The plan in a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // names and meanings are those of run.json
pub struct PlanPart {
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
}

/// Sessions in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Sessions {
    pub started: u64,
    pub completed: u64,
    pub aborted: u64,
    pub peak: u64,
}

/// Requests in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Requests {
    pub planned: u64,
    pub retries: u64,
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct LatencyPart {
    pub response: Latency,
    pub service: Latency,
    pub ttfb: Latency,
    pub lateness: Latency,
}

/// One latency: figures, and the whole histogram as base64 of HDR V2 (compressed).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Requests that waited for a connection (opening one included), and how long at the 99th percentile.
    pub waited: u64,
    pub wait_p99: u64,
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
    /// Whether it holds.
    pub ok: bool,
}

/// The generator about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Generator {
    pub rss_peak: u64,
    pub cpu_us: u64,
    pub sockets_peak: u64,
    pub threads: u64,
    /// Requests that `--max-rate` held back.
    pub held_back: u64,
    pub degraded: Vec<String>,
    /// What else the user should know.
    pub notes: Vec<String>,
}

impl Report {
    /// What a person reads. Ends with a line break.
    pub fn text(&self) -> String {
        text::render(self)
    }

    /// Attempts without an answer.
    pub fn failed(&self) -> u64 {
        self.requests.failed.values().sum()
    }
}
