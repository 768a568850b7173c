//! The parts of run.json that tell the course of a run: over its time, and over the steps of its sessions.

use serde::{Deserialize, Serialize};

/// A step of the series. `t_us` is its beginning; all are as wide as `series_step_us` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // names and meanings are those of run.json
pub struct Second {
    pub t_us: u64,
    /// Sessions alive at its end; of several seconds the most.
    pub active: u64,
    /// Requests whose due time was in it, sent or not; retries are not planned.
    #[serde(default)]
    pub planned: u64,
    pub sent: u64,
    pub answered: u64,
    #[serde(default)]
    pub status: Statuses,
    pub failed: u64,
    pub injected: u64,
    /// Of several seconds the mean, weighed by answers.
    pub p50: u64,
    #[serde(default)]
    pub p90: u64,
    /// Of several seconds the worst.
    pub p99: u64,
    #[serde(default)]
    pub lateness_p99: u64,
}

/// Answers by the class of their status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Statuses {
    /// 101: another protocol from here on.
    #[serde(rename = "1xx", skip_serializing_if = "is_none")]
    pub switched: u64,
    /// 2xx.
    #[serde(rename = "2xx")]
    pub ok: u64,
    /// 3xx.
    #[serde(rename = "3xx")]
    pub elsewhere: u64,
    /// 4xx.
    #[serde(rename = "4xx")]
    pub refused: u64,
    /// 5xx.
    #[serde(rename = "5xx")]
    pub broken: u64,
}

/// Response latency over time: how many answered operations fell into each range of latency in each step of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heat {
    /// How long a step is; the first begins with the run.
    pub step_us: u64,
    /// Upper ends of the ranges, log-spaced; the lowest also holds everything below it.
    pub bounds_us: Vec<u64>,
    /// A row for each step, a count for each range.
    pub counts: Vec<Vec<u64>>,
}

/// How far sessions got: one step, by its place in its session. The last that is told apart stands for all further ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunnelStep {
    /// Its place, from 0.
    pub step: u32,
    /// The route that most sessions took.
    pub route: String,
    /// Sessions that sent it.
    pub reached: u64,
    /// Its last attempt was answered, and not by 429 or 5xx.
    pub completed: u64,
    /// Its last attempt was answered 429 or 5xx, or not answered.
    pub failed: u64,
}

/// What the proxy was to do to the run, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Faults {
    /// The rules in force at the end, as the proxy has them, or where there were none then the last before; `None`: not
    /// known, or too long.
    pub rules_file: Option<String>,
    /// When each rule could act, by their start. Of what changed during the run (a reload, a lift) the moment is known
    /// to a second: windows are rather too long than too short.
    pub windows: Vec<FaultWindow>,
    /// Windows that found no room, at least so many.
    #[serde(skip_serializing_if = "is_none")]
    pub windows_lost: u64,
}

/// One time during which a rule could act, on the clock of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct FaultWindow {
    pub rule: String,
    pub from_us: u64,
    /// `None`: to the end of the run.
    pub until_us: Option<u64>,
    /// What the rule does, in words.
    pub what: String,
}

impl Statuses {
    /// Of counts by the hundreds of the status, from 1xx.
    pub(crate) fn of(counts: [u64; 5]) -> Statuses {
        let [switched, ok, elsewhere, refused, broken] = counts;
        Statuses { switched, ok, elsewhere, refused, broken }
    }

    pub(crate) fn add(&mut self, more: Statuses) {
        self.switched += more.switched;
        self.ok += more.ok;
        self.elsewhere += more.elsewhere;
        self.refused += more.refused;
        self.broken += more.broken;
    }

    /// All of them.
    pub fn total(self) -> u64 {
        self.switched + self.ok + self.elsewhere + self.refused + self.broken
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde wants
fn is_none(count: &u64) -> bool {
    *count == 0
}
