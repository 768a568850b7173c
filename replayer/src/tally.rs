//! What a thread counted and measured, and how the threads' figures become one.

use std::collections::BTreeMap;

use captures::opset::OpSet;
use hdrhistogram::Histogram;

use crate::limits;

/// Why an attempt got no complete answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection.
    Connect,
    /// No TLS.
    Tls,
    /// The connection was reset, or closed before the first byte of an answer.
    Reset,
    /// It was closed in the middle of an answer.
    Truncated,
    /// The answer took too long.
    Timeout,
    /// What came is no HTTP/1, or beyond our bounds.
    Protocol,
    /// We gave it up: the run was stopped.
    Aborted,
}

/// Why a planned request was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It was not due before the duration was over.
    Duration,
    /// It was due, but still waiting for its predecessor or a connection one timeout after the duration.
    Late,
    /// Ctrl-C.
    Interrupted,
    /// A guard or a cap stopped the run.
    Guard,
}

/// An attempt without an answer, for the join with the proxy's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unanswered {
    pub(crate) op: u64,
    pub(crate) attempt: u32,
    pub(crate) route: u16,
    pub(crate) failure: Failure,
}

/// Figures of one route.
#[derive(Debug)]
pub(crate) struct RouteTally {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) injected: u64,
    pub(crate) response: Histogram<u64>,
}

/// The latencies of answered requests, in microseconds.
#[derive(Debug)]
pub(crate) struct Latencies {
    /// Intended to last byte.
    pub(crate) response: Histogram<u64>,
    /// Sent to last byte.
    pub(crate) service: Histogram<u64>,
    /// Sent to first byte.
    pub(crate) ttfb: Histogram<u64>,
    /// Intended (or released by its predecessor) to sent, waits that are not ours taken off; of every request sent.
    pub(crate) lateness: Histogram<u64>,
    /// Waits for a connection, opening included; of the requests that waited.
    pub(crate) wait: Histogram<u64>,
}

/// Everything that a thread counted.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    /// By [`Failure`].
    pub(crate) failed: [u64; Failure::ALL.len()],
    /// By [`Why`].
    pub(crate) never_sent: [u64; Why::ALL.len()],
    /// By status code.
    pub(crate) status: Vec<u64>,
    pub(crate) injected: BTreeMap<String, u64>,
    /// Answers of 429 or 5xx that bear a rule's mark.
    pub(crate) injected_errors: u64,
    /// Answers of 429 or 5xx that the proxy made itself.
    pub(crate) proxy_failures: u64,
    /// Answers of 429 or 5xx that came from the origin.
    pub(crate) origin_errors: u64,
    pub(crate) proxy_errors: u64,
    pub(crate) mismatched: u64,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) sessions_started: u64,
    pub(crate) sessions_completed: u64,
    pub(crate) sessions_aborted: u64,
    pub(crate) sessions_peak: u64,
    pub(crate) conns_opened: u64,
    pub(crate) conns_reused: u64,
    pub(crate) conns_peak: u64,
    /// Connections of thinking sessions that were closed to make room.
    pub(crate) conns_evicted: u64,
    pub(crate) tls_full: u64,
    pub(crate) tls_resumed: u64,
    pub(crate) no_ports: u64,
    pub(crate) no_files: u64,
    pub(crate) cookies_refused: u64,
    /// Requests that the cap on the rate held back.
    pub(crate) held_back: u64,
    pub(crate) unanswered: Vec<Unanswered>,
    /// Those that found no room in `unanswered`.
    pub(crate) unanswered_lost: u64,
    pub(crate) latencies: Latencies,
    pub(crate) routes: Vec<RouteTally>,
    pub(crate) ops: Option<OpSet>,
}

/// One second of one thread, or of all.
#[derive(Clone, Debug)]
pub(crate) struct Interval {
    pub(crate) second: u64,
    pub(crate) active: u64,
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) injected: u64,
    pub(crate) response: Histogram<u64>,
}

impl Failure {
    pub(crate) const ALL: [Failure; 7] = [
        Failure::Connect,
        Failure::Tls,
        Failure::Reset,
        Failure::Truncated,
        Failure::Timeout,
        Failure::Protocol,
        Failure::Aborted,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Failure::Connect => "connect",
            Failure::Tls => "tls",
            Failure::Reset => "reset",
            Failure::Truncated => "truncated",
            Failure::Timeout => "timeout",
            Failure::Protocol => "protocol",
            Failure::Aborted => "aborted",
        }
    }
}

impl Why {
    pub(crate) const ALL: [Why; 4] = [Why::Duration, Why::Late, Why::Interrupted, Why::Guard];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Why::Duration => "duration",
            Why::Late => "late",
            Why::Interrupted => "interrupted",
            Why::Guard => "guard",
        }
    }
}

impl Tally {
    pub(crate) fn new(routes: usize, count_ops: bool) -> Tally {
        Tally {
            sent: 0,
            answered: 0,
            failed: [0; Failure::ALL.len()],
            never_sent: [0; Why::ALL.len()],
            status: vec![0; 1000],
            injected: BTreeMap::new(),
            injected_errors: 0,
            proxy_failures: 0,
            origin_errors: 0,
            proxy_errors: 0,
            mismatched: 0,
            bytes_out: 0,
            bytes_in: 0,
            sessions_started: 0,
            sessions_completed: 0,
            sessions_aborted: 0,
            sessions_peak: 0,
            conns_opened: 0,
            conns_reused: 0,
            conns_peak: 0,
            conns_evicted: 0,
            tls_full: 0,
            tls_resumed: 0,
            no_ports: 0,
            no_files: 0,
            cookies_refused: 0,
            held_back: 0,
            unanswered: Vec::new(),
            unanswered_lost: 0,
            latencies: Latencies::new(),
            routes: (0..routes).map(|_| RouteTally::new()).collect(),
            ops: count_ops.then(OpSet::new),
        }
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failed.iter().sum()
    }

    /// Counts the rules named by a `squall-fault` value.
    pub(crate) fn inject(&mut self, rules: &str) {
        for rule in rules.split(',').map(str::trim).filter(|rule| !rule.is_empty()) {
            if let Some(count) = self.injected.get_mut(rule) {
                *count += 1;
            } else {
                let known = self.injected.len() < limits::RULES;
                *self.injected.entry(if known { rule } else { "(other)" }.to_owned()).or_default() += 1;
            }
        }
    }

    /// Remembers an attempt without an answer, up to `room` of them.
    pub(crate) fn unanswered(&mut self, attempt: Unanswered, room: usize) {
        if self.unanswered.len() < room {
            self.unanswered.push(attempt);
        } else {
            self.unanswered_lost += 1;
        }
    }

    /// Adds what another thread counted. Peaks add up: they bound the peak of the whole from above.
    pub(crate) fn merge(&mut self, other: Tally) {
        let pairs = [
            (&mut self.sent, other.sent),
            (&mut self.answered, other.answered),
            (&mut self.injected_errors, other.injected_errors),
            (&mut self.proxy_failures, other.proxy_failures),
            (&mut self.origin_errors, other.origin_errors),
            (&mut self.proxy_errors, other.proxy_errors),
            (&mut self.mismatched, other.mismatched),
            (&mut self.bytes_out, other.bytes_out),
            (&mut self.bytes_in, other.bytes_in),
            (&mut self.sessions_started, other.sessions_started),
            (&mut self.sessions_completed, other.sessions_completed),
            (&mut self.sessions_aborted, other.sessions_aborted),
            (&mut self.sessions_peak, other.sessions_peak),
            (&mut self.conns_opened, other.conns_opened),
            (&mut self.conns_reused, other.conns_reused),
            (&mut self.conns_peak, other.conns_peak),
            (&mut self.conns_evicted, other.conns_evicted),
            (&mut self.tls_full, other.tls_full),
            (&mut self.tls_resumed, other.tls_resumed),
            (&mut self.no_ports, other.no_ports),
            (&mut self.no_files, other.no_files),
            (&mut self.cookies_refused, other.cookies_refused),
            (&mut self.held_back, other.held_back),
            (&mut self.unanswered_lost, other.unanswered_lost),
        ];
        for (sum, more) in pairs {
            *sum += more;
        }
        add_all(&mut self.failed, &other.failed);
        add_all(&mut self.never_sent, &other.never_sent);
        add_all(&mut self.status, &other.status);
        for (rule, count) in other.injected {
            *self.injected.entry(rule).or_default() += count;
        }
        self.unanswered.extend(other.unanswered);
        self.latencies.merge(&other.latencies);
        for (route, more) in self.routes.iter_mut().zip(&other.routes) {
            route.merge(more);
        }
        if let (Some(ops), Some(more)) = (&mut self.ops, &other.ops) {
            ops.merge(more);
        }
    }
}

impl Latencies {
    fn new() -> Latencies {
        Latencies {
            response: histogram(),
            service: histogram(),
            ttfb: histogram(),
            lateness: histogram(),
            wait: histogram(),
        }
    }

    fn merge(&mut self, other: &Latencies) {
        add(&mut self.response, &other.response);
        add(&mut self.service, &other.service);
        add(&mut self.ttfb, &other.ttfb);
        add(&mut self.lateness, &other.lateness);
        add(&mut self.wait, &other.wait);
    }
}

impl RouteTally {
    fn new() -> RouteTally {
        let response = Histogram::new(3).expect("three digits are within the library's bounds");
        RouteTally { requests: 0, failed: 0, injected: 0, response }
    }

    fn merge(&mut self, other: &RouteTally) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.injected += other.injected;
        add(&mut self.response, &other.response);
    }
}

impl Interval {
    pub(crate) fn new(second: u64) -> Interval {
        Interval { second, active: 0, sent: 0, answered: 0, failed: 0, injected: 0, response: histogram() }
    }

    pub(crate) fn merge(&mut self, other: &Interval) {
        self.active += other.active;
        self.sent += other.sent;
        self.answered += other.answered;
        self.failed += other.failed;
        self.injected += other.injected;
        add(&mut self.response, &other.response);
    }
}

/// An empty histogram of microseconds: three digits, up to [`limits::LATENCY_MAX_US`].
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, limits::LATENCY_MAX_US, 3).expect("constant bounds in the library's range")
}

/// Whether an answer of this status counts as an error: 429 and 5xx.
pub(crate) fn is_error(status: u16) -> bool {
    status == 429 || status >= 500
}

fn add(sum: &mut Histogram<u64>, more: &Histogram<u64>) {
    sum.add(more).expect("equal bounds, or a sum that grows by itself");
}

fn add_all(sums: &mut [u64], more: &[u64]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}
