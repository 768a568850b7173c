//! What a replay found: the same facts as run.json and as text.

pub(crate) mod build;
mod course;
pub(crate) mod edges;
pub(crate) mod headline;
pub(crate) mod heat;
pub mod html;
mod parts;
mod read;
mod repeat;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod series;
pub(crate) mod text;

use serde::{Deserialize, Serialize};

use crate::analysis::Analysis;
use crate::books::Books;
use crate::population::shape::Shape;

pub use course::{FaultWindow, Faults, FunnelStep, Heat, Second, Statuses};
pub use edges::{CallTime, Calls, Edge, EdgeRoute, EdgeTimes, Slow, Split, Times};
pub use parts::{
    Cohort, ConnectionsPart, Failures, Generator, Guard, Latency, LatencyPart, LinkUse, PlanPart, Requests,
    Route, Rule, RuleAudit, RuleDelay, Sessions, Source, Spans, StreamsPart, Threshold, WarmupPart,
};
pub use repeat::{Interval, Repeat, RepeatFinding, RepeatRun, Spread};

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
    /// Which part of the plan this is: `2/4`; of merged runs `1-3/4`.
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
    /// Requests of the warm-up, which are in the books and in no other figure; `None`: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup: Option<WarmupPart>,
    /// Where failures came from.
    pub failures: Failures,
    /// The latencies, of answered requests (lateness: of all that were sent).
    pub latency: LatencyPart,
    /// What became of the connections.
    pub connections: ConnectionsPart,
    /// What became of the streams; `None`: none was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<StreamsPart>,
    /// How close the load came to the shape of the capture; `None`: at full speed, where time has no shape, or runs
    /// were merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// By route, most requests first.
    pub routes: Vec<Route>,
    /// By source capture, most requests first.
    #[serde(default)]
    pub cohorts: Vec<Cohort>,
    /// By link from answers to later requests, most used first; empty: there was none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkUse>,
    /// By rule, as the proxy counted.
    pub rules: Vec<Rule>,
    /// The proxy's guards: each trip, and each guard that held.
    #[serde(default)]
    pub guards: Vec<Guard>,
    /// By edge of the proxy, the one in front first; empty: there was no proxy, or runs were merged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<Edge>,
    /// By second, or by wider steps in a long run.
    pub series: Vec<Second>,
    /// How wide each step of the series is; 0: an older file, where it follows from the steps.
    #[serde(default)]
    pub series_step_us: u64,
    /// Response latency over time; `None`: nothing was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heat: Option<Heat>,
    /// How far sessions got, by step; the warm-up is in it.
    #[serde(default)]
    pub funnel: Vec<FunnelStep>,
    /// What the proxy's rules could do, and when; `None`: there was no proxy, or it did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<Faults>,
    /// The runs of one plan, one after the other; `None`: there was but one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    /// The rows that must hold.
    pub books: Books,
    /// What was demanded.
    pub thresholds: Vec<Threshold>,
    /// What the generator says about itself.
    pub generator: Generator,
    /// Why it broke; `None`: an older version wrote this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
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
