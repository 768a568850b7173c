//! A second of a run, as one thread or all of them counted it.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::limits;
use crate::tally::Failure;
use crate::tally::measures::{add, histogram};

/// One second of one thread, or of all.
#[derive(Clone, Debug)]
pub(crate) struct Interval {
    pub(crate) second: u64,
    pub(crate) active: u64,
    /// Requests whose due time came, by how many seconds before this one that was: of a step that waits for its
    /// predecessor it is only known afterwards. The last place holds everything older.
    pub(crate) due: [u32; limits::DUE_AGES],
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    /// Answers by the hundreds of their status: 1xx to 5xx, and what is above that with the 5xx.
    pub(crate) status: [u64; 5],
    /// Answered 429 or 5xx, or not answered.
    pub(crate) failed: u64,
    /// Those of `failed` that were not answered.
    pub(crate) unanswered: u64,
    pub(crate) injected: u64,
    /// How often each rule touched an answer; bounded as in [`super::inject`].
    pub(crate) rules: BTreeMap<String, u64>,
    /// Attempts without an answer, by [`Failure`].
    pub(crate) unanswered_by: [u64; Failure::ALL.len()],
    /// Answers of 429.
    pub(crate) too_many: u64,
    /// Requests sent in each 10 ms of the second.
    pub(crate) bins: [u32; 100],
    pub(crate) response: Histogram<u64>,
    /// In microseconds, with two digits: a second needs no more.
    pub(crate) lateness: Histogram<u64>,
}

impl Interval {
    pub(crate) fn new(second: u64) -> Interval {
        Interval {
            second,
            active: 0,
            due: [0; limits::DUE_AGES],
            sent: 0,
            answered: 0,
            status: [0; 5],
            failed: 0,
            unanswered: 0,
            injected: 0,
            rules: BTreeMap::new(),
            unanswered_by: [0; Failure::ALL.len()],
            too_many: 0,
            bins: [0; 100],
            response: histogram(),
            lateness: Histogram::new_with_bounds(1, limits::LATENCY_MAX_US, 2)
                .expect("constant bounds in the library's range"),
        }
    }

    /// Counts a request whose due time was in `second`, which has begun.
    pub(crate) fn note_due(&mut self, second: u64) {
        let age = self.second.saturating_sub(second).min(limits::DUE_AGES as u64 - 1);
        self.due[age as usize] += 1;
    }

    /// Counts an answer by its status.
    pub(crate) fn note_status(&mut self, status: u16) {
        let class = usize::from(status / 100).clamp(1, self.status.len()) - 1;
        self.status[class] += 1;
    }

    pub(crate) fn merge(&mut self, other: &Interval) {
        self.active += other.active;
        self.sent += other.sent;
        self.answered += other.answered;
        self.failed += other.failed;
        self.unanswered += other.unanswered;
        self.injected += other.injected;
        for (rule, count) in &other.rules {
            *self.rules.entry(rule.clone()).or_default() += count;
        }
        for (sum, more) in self.unanswered_by.iter_mut().zip(&other.unanswered_by) {
            *sum += more;
        }
        self.too_many += other.too_many;
        add_each(&mut self.due, &other.due);
        add_each(&mut self.bins, &other.bins);
        for (sum, more) in self.status.iter_mut().zip(&other.status) {
            *sum += more;
        }
        add(&mut self.response, &other.response);
        add(&mut self.lateness, &other.lateness);
    }
}

fn add_each(sums: &mut [u32], more: &[u32]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}
