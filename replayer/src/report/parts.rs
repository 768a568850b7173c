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

/// A link of the plan in a report: how often it had a value for a request, and how often the recorded one was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct LinkUse {
    pub from: String,
    pub to: String,
    pub used: u64,
    pub missed: u64,
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
    /// What the proxy makes of it.
    #[serde(flatten)]
    pub audit: RuleAudit,
}

/// A proxy's own judgement of one of its rules.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleAudit {
    /// The 99.9 % interval of the realised rate, over the units; `None`: too little is known of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_low: Option<f64>,
    /// Its upper end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_high: Option<f64>,
    /// Its delays; `None`: there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<RuleDelay>,
    /// Why it did not do what it asked for; `None`: it did, or that cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed: Option<String>,
}

/// The delays of a rule: what was asked, what it took, and how much longer that was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct RuleDelay {
    pub count: u64,
    pub asked_mean_us: f64,
    pub actual_mean_us: f64,
    pub error_p50_us: u64,
    pub error_p99_us: u64,
    pub error_max_us: u64,
    /// Delays that were too short.
    pub early: u64,
}

/// A guard of the proxy in a report. Shares of 1, microseconds, answers a second, attempts for an operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Guard {
    /// The guard.
    pub name: String,
    /// Rules and hooks under it.
    pub rules: Vec<String>,
    /// What it looked at: `error_ratio`, `p95`, `goodput`, `attempts_per_op`.
    pub signal: String,
    /// What a trip does: `lift`, `step_down`, `hold`.
    pub action: String,
    /// The signal at the trip, else at the last look; `None`: too few samples.
    pub value: Option<f64>,
    /// Beyond this is too much.
    pub limit: Option<f64>,
    /// What it was compared with.
    pub base: Option<f64>,
    /// Exchanges that were judged.
    pub samples: u64,
    /// When it tripped, from the start of the run; `None`: it held.
    pub tripped_at_us: Option<u64>,
    /// What was left of its rules' measure.
    pub left: f64,
}

impl Guard {
    /// A figure in the unit of the signal.
    fn figure(&self, value: f64) -> String {
        match self.signal.as_str() {
            "error_ratio" => format!("{:.2} %", value * 100.0),
            "goodput" if 1.0 < value => format!("{value:.1}/s"),
            "goodput" | "attempts_per_op" => format!("{value:.3}"),
            _ => format!("{:.1} ms", value / 1e3),
        }
    }

    /// What it found, in words.
    pub fn in_words(&self) -> String {
        let (Some(value), Some(limit)) = (self.value, self.limit) else {
            return format!("{} had too few samples of {}", self.name, self.signal);
        };
        let base = self.base.map(|base| format!(", compared with {}", self.figure(base))).unwrap_or_default();
        let figures = format!(
            "{} was {}, the limit {}{base} ({} samples)",
            self.signal,
            self.figure(value),
            self.figure(limit),
            self.samples
        );
        match self.tripped_at_us {
            None => format!("{} held, {figures}", self.name),
            Some(at) => {
                let (seconds, rules) = (at as f64 / 1e6, self.rules.join(", "));
                format!("{} tripped at {seconds:.1} s, {figures}: {} {rules}", self.name, self.action)
            }
        }
    }
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

/// Spans by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spans {
    /// A collector took them.
    pub sent: u64,
    /// They found no room in the queue.
    pub shed: u64,
    /// No collector took them.
    pub lost: u64,
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
    /// Processors that this process may use; of merged runs the sum.
    #[serde(default)]
    pub cores: u64,
    /// Requests that left more than [`late_us`](Generator::late_us) later than they could have.
    #[serde(default)]
    pub late: u64,
    /// What counts as late.
    #[serde(default)]
    pub late_us: u64,
    /// By how much the median lateness grew from one second to the next, as the median slope over the run: 0 where the
    /// generator kept up; of merged runs the largest. `None`: at full speed, where nothing is due, or in too short a run.
    #[serde(default)]
    pub drift_us_per_s: Option<f64>,
    pub sockets_peak: u64,
    pub threads: u64,
    /// Requests that `--max-rate` held back.
    pub held_back: u64,
    /// What became of the spans of its attempts; `None`: there was no collector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spans: Option<Spans>,
    pub degraded: Vec<String>,
    /// What else the user should know.
    pub notes: Vec<String>,
}
