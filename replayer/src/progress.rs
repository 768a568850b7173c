//! What a replay tells while it goes on.

use crate::plan::Summary;
use crate::report::Second;
use crate::tally::{Failure, Interval};

/// What a replay tells while it goes on.
#[derive(Clone, Debug)]
pub enum Progress {
    /// The plan stands and nothing has been sent.
    Planned(Box<Outline>),
    /// A second is over.
    Second {
        /// What happened in it.
        second: Second,
        /// Its errors and faults by kind.
        kinds: Kinds,
        /// Requests sent so far.
        sent: u64,
        /// Requests planned.
        planned: u64,
    },
    /// Something the user should know.
    Note(String),
}

/// Errors and faults of one second, by kind; no entry is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// Answers of 429 and 5xx, and attempts without an answer by class.
    pub errors: Vec<(&'static str, u64)>,
    /// Answers that a rule touched, by its id.
    pub injected: Vec<(String, u64)>,
}

impl Kinds {
    pub(crate) fn of(interval: &Interval) -> Kinds {
        let answers = interval.failed - interval.unanswered - interval.too_many;
        let by_class =
            Failure::ALL.iter().map(|class| (class.name(), interval.unanswered_by[*class as usize]));
        let errors = [("5xx", answers), ("429", interval.too_many)].into_iter().chain(by_class);
        let injected = interval.rules.iter().map(|(rule, count)| (rule.clone(), *count));
        Kinds { errors: errors.filter(|(_, count)| *count > 0).collect(), injected: injected.collect() }
    }
}

/// A plan, as it is shown before the first packet.
#[derive(Clone, Debug)]
pub struct Outline {
    /// The first capture.
    pub capture: String,
    /// Its figures.
    pub plan: Summary,
    /// URL of the target.
    pub target: String,
    /// Engine threads.
    pub threads: usize,
    /// Most connections at once.
    pub connections: usize,
    /// Requests go over HTTP/2.
    pub http2: bool,
    /// Links from answers to later requests.
    pub links: usize,
    /// What the plan needs and what this machine has, a line each.
    pub preflight: String,
    /// What the user should know.
    pub warnings: Vec<String>,
}
