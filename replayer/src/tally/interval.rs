//! A second of a run, as one thread or all of them counted it.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use telemetry::Buckets;

use crate::limits;
use crate::tally::measures::{add, histogram};
use crate::tally::{Failure, Tally};

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
    /// Sent to last byte, of every attempt outside the warm-up; `None`: nobody asks for it.
    pub(crate) service: Option<Box<Buckets>>,
    /// Connections at the end of the second, those being opened included.
    pub(crate) connections: u64,
    /// What else was added to the tally in it.
    pub(crate) sums: Sums,
}

/// Parts of a tally that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) retries: u64,
    pub(crate) sessions_started: u64,
    pub(crate) sessions_completed: u64,
    pub(crate) sessions_aborted: u64,
    pub(crate) sessions_abandoned: u64,
    pub(crate) connections: u64,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
}

impl Sums {
    pub(crate) fn of(tally: &Tally) -> Sums {
        Sums {
            retries: tally.retries,
            sessions_started: tally.sessions_started,
            sessions_completed: tally.sessions_completed,
            sessions_aborted: tally.sessions_aborted,
            sessions_abandoned: tally.sessions_abandoned,
            connections: tally.conns_opened,
            bytes_out: tally.bytes_out,
            bytes_in: tally.bytes_in,
        }
    }

    pub(crate) fn add(&mut self, more: &Sums) {
        *self = self.with(more, |sum, more| sum + more);
    }

    /// What was added since `before`.
    pub(crate) fn since(&self, before: &Sums) -> Sums {
        self.with(before, u64::saturating_sub)
    }

    fn with(&self, other: &Sums, each: impl Fn(u64, u64) -> u64) -> Sums {
        Sums {
            retries: each(self.retries, other.retries),
            sessions_started: each(self.sessions_started, other.sessions_started),
            sessions_completed: each(self.sessions_completed, other.sessions_completed),
            sessions_aborted: each(self.sessions_aborted, other.sessions_aborted),
            sessions_abandoned: each(self.sessions_abandoned, other.sessions_abandoned),
            connections: each(self.connections, other.connections),
            bytes_out: each(self.bytes_out, other.bytes_out),
            bytes_in: each(self.bytes_in, other.bytes_in),
        }
    }
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
            service: None,
            connections: 0,
            sums: Sums::default(),
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
        if let Some(service) = &other.service {
            self.service.get_or_insert_default().merge(service);
        }
        self.connections += other.connections;
        self.sums.add(&other.sums);
    }
}

fn add_each(sums: &mut [u32], more: &[u32]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}
