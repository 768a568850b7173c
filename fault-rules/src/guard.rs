//! What must stay true while rules act: an objective judged from the proxy's own traffic.
//!
//! Answers that a rule made itself are asked for and are no harm; what a guard looks at is what follows: the origin's errors,
//! and times without the waits that rules injected.

use std::time::Duration;

use crate::matcher::Matcher;

/// One objective.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    /// Unique.
    pub name: String,
    /// Whose exchanges are judged.
    pub on: Matcher,
    /// What is looked at.
    pub signal: Signal,
    /// How much is too much.
    pub limit: Limit,
    /// Over the last so long; 1 s to 10 min.
    pub window: Duration,
    /// What happens on a trip.
    pub trip: Trip,
    /// Fewer exchanges than this (in each of the compared lots) say nothing; at least 10.
    pub min_samples: u64,
    /// How sure it must be that the limit is passed, 0.5 to 0.9999; 0.95 unless said.
    pub confidence: f64,
}

impl Guard {
    /// The guard in one line, for people.
    #[must_use]
    pub fn explain(&self) -> String {
        crate::explain::guard(self)
    }
}

/// What a guard looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Share of exchanges that the origin failed: 5xx, or no whole answer.
    ErrorRatio,
    /// This percentile (1 to 99) of the time to the end of the answer, without injected waits.
    Latency(u8),
    /// Whole answers below 500 a second; too few is the harm.
    Goodput,
    /// Attempts for each operation.
    AttemptsPerOp,
}

impl Signal {
    /// The word of the rule language.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::ErrorRatio => "error_ratio".to_owned(),
            Self::Latency(percentile) => format!("p{percentile}"),
            Self::Goodput => "goodput".to_owned(),
            Self::AttemptsPerOp => "attempts_per_op".to_owned(),
        }
    }
}

/// How much is too much: so far from what it is compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// What the signal is compared with.
    pub base: Base,
    /// How far from it is still good.
    pub margin: Margin,
}

/// What a signal is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Nothing: the margin is the limit.
    Absolute,
    /// The same traffic before any rule under this guard acted.
    Baseline,
    /// The same traffic in the same seconds that the rule did not select.
    Control,
}

/// How far from its base a signal may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Margin {
    /// Percentage points as a share (0.02 is 2 %); of an error ratio.
    Points(f64),
    /// A share of the base (0.1: a tenth more; of goodput a tenth less).
    Relative(f64),
    /// A time; of a percentile.
    Time(Duration),
    /// The number itself: goodput a second, attempts for an operation.
    Number(f64),
}

/// What happens when a guard trips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trip {
    /// The rules under it are lifted.
    Lift,
    /// The measure of each is halved; at the fourth trip they are lifted.
    StepDown,
    /// Their measure stays where it is: a ramp goes no further.
    Hold,
}

impl Trip {
    /// The word of the rule language.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lift => "lift",
            Self::StepDown => "step_down",
            Self::Hold => "hold",
        }
    }
}
