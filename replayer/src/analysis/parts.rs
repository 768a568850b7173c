//! `analysis` of run.json. Times in microseconds from the start of the run, shares as parts of 1.

use serde::{Deserialize, Serialize};

/// Why it broke.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Analysis {
    /// All failures of the run: the parts of `attribution` add up to it.
    pub failures: u64,
    /// Sessions with a failure, whoever's it was.
    pub sessions_hurt: u64,
    /// The share of all sessions that were looked at one by one; below 1 in very large runs, whose counts of sessions are
    /// then estimates.
    pub sample: f64,
    /// What explains the failures.
    pub attribution: Attribution,
    /// What was found, the most sessions first; at most ten.
    pub findings: Vec<Finding>,
    /// Answers unlike the recorded ones, the most sessions first; at most twenty.
    pub drift: Vec<Drift>,
    /// What was compared to find them.
    pub compared: Comparison,
    /// How figures moved over the run.
    pub slopes: Vec<Slope>,
    /// What happened when.
    pub order: Vec<Event>,
}

/// Failures by what explains them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // names and meanings are those of run.json
pub struct Attribution {
    pub injected: u64,
    pub downstream: u64,
    pub overload: u64,
    pub generator: u64,
    pub origin: u64,
    pub unexplained: u64,
}

/// What explains a failure, a slow answer, a different answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Explanation {
    /// A rule made it.
    Injected,
    /// It follows from what a rule did: to the same session, or at the same time.
    Downstream,
    /// It grows with the load.
    Overload,
    /// Our own doing.
    Generator,
    /// The origin's own, whatever the rules did.
    Origin,
    /// It grew over the run.
    SlowDrift,
    /// The target answers otherwise than it did in the recording.
    ResponseDrift,
    /// Nothing that is known explains it.
    Unexplained,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Finding {
    /// From 1.
    pub rank: u64,
    /// One sentence.
    pub title: String,
    pub explanation: Explanation,
    /// The rule it follows from.
    pub rule: Option<String>,
    #[serde(rename = "where")]
    pub place: Place,
    /// Sessions that it cost.
    pub sessions: u64,
    /// Attempts.
    pub failures: u64,
    /// Those of them that count as failures, as a share of all failures.
    pub share: f64,
    pub lift: Option<Lift>,
    /// Sentences.
    pub evidence: Vec<String>,
    pub examples: Vec<Example>,
}

/// Where something happened. Routes: the one with the most sessions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    /// Method and path; `None`: all.
    pub route: Option<String>,
    /// `error`, `slow`, `status`, `length`, `shape`, or how attempts failed: `timeout`, `reset` …
    pub class: String,
    /// The answered status; `None`: none, or any.
    pub status: Option<u16>,
    /// Step of the session, from 0; `None`: not always the same.
    pub step: Option<u32>,
    /// The ids it concentrates on: `id % 4 = 3`, `id = 17`; or the visits it takes: `more than 3 visits of POST /cart`.
    pub key: Option<String>,
    /// Of the answer's body, 8 hex digits: equal where bodies say the same but for numbers.
    pub fingerprint: Option<String>,
    /// First.
    pub from_us: u64,
    /// Last.
    pub until_us: u64,
}

/// The risk of the exposed against that of the control group.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Lift {
    pub exposed: f64,
    pub control: f64,
    pub ratio: f64,
    pub low: f64,
    pub high: f64,
    pub confidence: f64,
}

/// A session that shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Example {
    /// As `squall-session` and `--only` have it, in hex.
    pub session: String,
    pub clone: u32,
    /// As `squall-op` has it.
    pub op: String,
    pub step: u32,
    pub t_us: u64,
    /// What to type to send that session alone.
    pub replay: String,
}

/// What was held against the recorded answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Comparison {
    /// Recorded exchanges with enough clones for lengths and shapes to be compared.
    pub exchanges: u64,
    /// Answers to these clones.
    pub answers: u64,
    /// Of the exchanges, those of whose recorded answer no JSON is at hand.
    pub without_shape: u64,
    /// Bodies that were looked into.
    pub bodies: Looked,
    /// What `drift` has no room for.
    pub more: More,
}

/// Bodies of answers by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Looked {
    /// Their shape was compared.
    pub looked_at: u64,
    /// There had been enough of their route, or in all, in that second.
    pub busy: u64,
    /// Too large, or too many paths.
    pub large: u64,
    /// Their content coding could not be undone.
    pub unread: u64,
}

/// Drifts by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct More {
    pub status: u64,
    pub length: u64,
    pub shape: u64,
}

/// How often a route answered otherwise than it was recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Drift {
    pub route: String,
    /// `status`, `length` or `shape`.
    pub what: String,
    pub recorded: String,
    pub replayed: String,
    /// Of the untouched answers of that route with that recorded value.
    pub share: f64,
    /// The share that clones of one and the same step disagree about.
    pub noise: f64,
    pub sessions: u64,
    /// Answers that differ, of those that were looked at.
    #[serde(default)]
    pub differing: u64,
    #[serde(default)]
    pub answers: u64,
    /// That chance alone would do as much, all comparisons counted (Benjamini and Hochberg); `None`: not judged.
    #[serde(default)]
    pub chance: Option<f64>,
}

/// How a figure moved, as a robust line over the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Slope {
    /// `latency_p50`, `latency_p99`, `errors` or `origin_memory`.
    pub figure: String,
    pub per_minute: f64,
    pub low: f64,
    pub high: f64,
    /// `us`, `share` or `bytes`.
    pub unit: String,
    pub significant: bool,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Event {
    pub t_us: u64,
    pub event: String,
}

impl More {
    /// Counts one.
    pub(crate) fn add(&mut self, what: &str) {
        *match what {
            "length" => &mut self.length,
            "shape" => &mut self.shape,
            _ => &mut self.status,
        } += 1;
    }
}

impl Attribution {
    /// The parts, with their names.
    pub fn parts(&self) -> [(&'static str, u64); 6] {
        [
            ("injected", self.injected),
            ("downstream", self.downstream),
            ("overload", self.overload),
            ("generator", self.generator),
            ("origin", self.origin),
            ("unexplained", self.unexplained),
        ]
    }

    /// The count of an explanation; of those that are no reason for a failure, what nothing explains.
    pub(crate) fn of(&mut self, explanation: Explanation) -> &mut u64 {
        match explanation {
            Explanation::Injected => &mut self.injected,
            Explanation::Downstream => &mut self.downstream,
            Explanation::Overload => &mut self.overload,
            Explanation::Generator => &mut self.generator,
            Explanation::Origin | Explanation::SlowDrift | Explanation::ResponseDrift => &mut self.origin,
            Explanation::Unexplained => &mut self.unexplained,
        }
    }
}
