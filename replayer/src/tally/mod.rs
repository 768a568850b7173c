//! What a thread counted and measured, and how the threads' figures become one.

use std::collections::BTreeMap;

use captures::opset::OpSet;

use crate::drift::Answers;
use crate::evidence::Evidence;
use crate::limits;
use crate::population::shape::Sample;

mod funnel;
mod interval;
mod measures;

pub(crate) use funnel::FunnelTally;
pub(crate) use interval::{Interval, Sums};
pub(crate) use measures::{Latencies, RouteTally, StreamTally, histogram};

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
    /// It was later than its successor's time, and `--late-policy skip` drops such requests.
    Skipped,
    /// Its user had left (`--misbehave abandon`).
    Abandoned,
}

/// An attempt without an answer, for the join with the proxy's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unanswered {
    pub(crate) op: u64,
    pub(crate) attempt: u32,
    pub(crate) route: u16,
    pub(crate) failure: Failure,
}

/// Requests of the warm-up: counted in the books, and in no latency, route, cohort or threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Warmup {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    /// Answered 429 or 5xx, or not answered.
    pub(crate) failed: u64,
}

/// Everything that a thread counted.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Requests of the sessions that were started or given up; doubles and retries not among them.
    pub(crate) planned: u64,
    /// Attempts, those of the warm-up and retries included.
    pub(crate) sent: u64,
    /// Attempts beyond the first of their operation that were sent.
    pub(crate) retries: u64,
    /// Those of `retries` that are double submits: nobody waited for the first answer.
    pub(crate) doubles: u64,
    /// Retries that the budget did not allow.
    pub(crate) retries_denied: u64,
    pub(crate) warmup: Warmup,
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
    /// Sessions whose user left on purpose.
    pub(crate) sessions_abandoned: u64,
    pub(crate) sessions_peak: u64,
    pub(crate) conns_opened: u64,
    pub(crate) conns_reused: u64,
    pub(crate) conns_peak: u64,
    /// Connections of thinking sessions that were closed to make room.
    pub(crate) conns_evicted: u64,
    /// Streams of HTTP/2 that were open at once.
    pub(crate) h2_streams_peak: u64,
    /// Connections that the peer ended with GOAWAY.
    pub(crate) goaways: u64,
    /// Streams that the peer refused before it looked at them.
    pub(crate) refused_streams: u64,
    pub(crate) tls_full: u64,
    pub(crate) tls_resumed: u64,
    /// Connections whose peer turned out not to speak HTTP/2.
    pub(crate) no_http2: u64,
    pub(crate) no_ports: u64,
    pub(crate) no_files: u64,
    pub(crate) cookies_refused: u64,
    /// Requests that the cap on the rate held back.
    pub(crate) held_back: u64,
    /// How long the user paused the run, in microseconds.
    pub(crate) paused_us: u64,
    /// Processor time of the engine's threads ([`crate::sys::thread_cpu_time`]), in microseconds.
    pub(crate) cpu_us: u64,
    pub(crate) unanswered: Vec<Unanswered>,
    /// Those that found no room in `unanswered`.
    pub(crate) unanswered_lost: u64,
    pub(crate) latencies: Latencies,
    /// When sessions started, and with how many requests; of a paced run.
    pub(crate) starts: Sample,
    pub(crate) routes: Vec<RouteTally>,
    /// One for each source capture; see [`Tally::with_cohorts`].
    pub(crate) cohorts: Vec<RouteTally>,
    pub(crate) streams: StreamTally,
    pub(crate) funnel: FunnelTally,
    /// By link of the plan; see [`Tally::with_links`].
    pub(crate) links: Vec<LinkTally>,
    pub(crate) ops: Option<OpSet>,
    /// What came back in a rehearsal, in the order in which it came.
    pub(crate) heard: Vec<Heard>,
    /// What is kept of single attempts; see [`Tally::with_evidence`].
    pub(crate) evidence: Evidence,
    /// What is kept to be compared with the recorded answers; see [`Tally::with_answers`].
    pub(crate) answers: Answers,
}

/// How often a link had a value for a request, and how often it had not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkTally {
    pub(crate) used: u64,
    /// The recorded value was sent.
    pub(crate) missed: u64,
}

/// What came back for one step of a rehearsal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) program: u32,
    pub(crate) step: u32,
    pub(crate) status: u16,
    pub(crate) injected: bool,
    /// `None`: it was answered.
    pub(crate) failure: Option<Failure>,
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
    pub(crate) const ALL: [Why; 6] =
        [Why::Duration, Why::Late, Why::Interrupted, Why::Guard, Why::Skipped, Why::Abandoned];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Why::Duration => "duration",
            Why::Late => "late",
            Why::Interrupted => "interrupted",
            Why::Guard => "guard",
            Why::Skipped => "skipped_late",
            Why::Abandoned => "abandoned",
        }
    }
}

impl Tally {
    pub(crate) fn new(routes: usize, count_ops: bool) -> Tally {
        Tally {
            planned: 0,
            sent: 0,
            retries: 0,
            doubles: 0,
            retries_denied: 0,
            warmup: Warmup::default(),
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
            sessions_abandoned: 0,
            sessions_peak: 0,
            conns_opened: 0,
            conns_reused: 0,
            conns_peak: 0,
            conns_evicted: 0,
            h2_streams_peak: 0,
            goaways: 0,
            refused_streams: 0,
            tls_full: 0,
            tls_resumed: 0,
            no_http2: 0,
            no_ports: 0,
            no_files: 0,
            cookies_refused: 0,
            held_back: 0,
            paused_us: 0,
            cpu_us: 0,
            unanswered: Vec::new(),
            unanswered_lost: 0,
            latencies: Latencies::new(),
            starts: Sample::default(),
            routes: (0..routes).map(|_| RouteTally::new()).collect(),
            cohorts: Vec::new(),
            streams: StreamTally::new(),
            funnel: FunnelTally::new(routes),
            links: Vec::new(),
            ops: count_ops.then(OpSet::new),
            heard: Vec::new(),
            evidence: Evidence::new(0),
            answers: Answers::default(),
        }
    }

    /// The same with room for so many attempts.
    pub(crate) fn with_evidence(mut self, room: usize) -> Tally {
        self.evidence = Evidence::new(room);
        self
    }

    /// The same with room for answers.
    pub(crate) fn with_answers(mut self, answers: Answers) -> Tally {
        self.answers = answers;
        self
    }

    /// The same with figures for each of `count` cohorts.
    pub(crate) fn with_cohorts(mut self, count: usize) -> Tally {
        self.cohorts = (0..count).map(|_| RouteTally::new()).collect();
        self
    }

    /// The same with figures for each of `count` links.
    pub(crate) fn with_links(mut self, count: usize) -> Tally {
        self.links = vec![LinkTally::default(); count];
        self
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failed.iter().sum()
    }

    /// Counts the rules named by a `squall-fault` value.
    pub(crate) fn inject(&mut self, rules: &str) {
        inject(&mut self.injected, rules);
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
        for (sum, more) in self.sums_with(&other) {
            *sum += more;
        }
        self.paused_us = self.paused_us.max(other.paused_us);
        add_all(&mut self.failed, &other.failed);
        add_all(&mut self.never_sent, &other.never_sent);
        add_all(&mut self.status, &other.status);
        for (rule, count) in other.injected {
            *self.injected.entry(rule).or_default() += count;
        }
        self.unanswered.extend(other.unanswered);
        self.heard.extend(other.heard);
        self.evidence.merge(other.evidence);
        self.answers.merge(other.answers);
        self.latencies.merge(&other.latencies);
        self.starts.merge(&other.starts);
        for (route, more) in self.routes.iter_mut().zip(&other.routes) {
            route.merge(more);
        }
        for (cohort, more) in self.cohorts.iter_mut().zip(&other.cohorts) {
            cohort.merge(more);
        }
        self.streams.merge(&other.streams);
        self.funnel.merge(&other.funnel);
        for (link, more) in self.links.iter_mut().zip(&other.links) {
            link.used += more.used;
            link.missed += more.missed;
        }
        if let (Some(ops), Some(more)) = (&mut self.ops, &other.ops) {
            ops.merge(more);
        }
    }

    fn sums_with(&mut self, other: &Tally) -> [(&mut u64, u64); 37] {
        [
            (&mut self.planned, other.planned),
            (&mut self.sent, other.sent),
            (&mut self.retries, other.retries),
            (&mut self.doubles, other.doubles),
            (&mut self.retries_denied, other.retries_denied),
            (&mut self.warmup.sent, other.warmup.sent),
            (&mut self.warmup.answered, other.warmup.answered),
            (&mut self.warmup.failed, other.warmup.failed),
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
            (&mut self.sessions_abandoned, other.sessions_abandoned),
            (&mut self.sessions_peak, other.sessions_peak),
            (&mut self.conns_opened, other.conns_opened),
            (&mut self.conns_reused, other.conns_reused),
            (&mut self.conns_peak, other.conns_peak),
            (&mut self.conns_evicted, other.conns_evicted),
            (&mut self.h2_streams_peak, other.h2_streams_peak),
            (&mut self.goaways, other.goaways),
            (&mut self.refused_streams, other.refused_streams),
            (&mut self.tls_full, other.tls_full),
            (&mut self.tls_resumed, other.tls_resumed),
            (&mut self.no_http2, other.no_http2),
            (&mut self.no_ports, other.no_ports),
            (&mut self.no_files, other.no_files),
            (&mut self.cookies_refused, other.cookies_refused),
            (&mut self.held_back, other.held_back),
            (&mut self.cpu_us, other.cpu_us),
            (&mut self.unanswered_lost, other.unanswered_lost),
        ]
    }
}

/// Counts the rules named by a `squall-fault` value, of a bounded number of rules.
pub(crate) fn inject(counts: &mut BTreeMap<String, u64>, rules: &str) {
    for rule in rules.split(',').map(str::trim).filter(|rule| !rule.is_empty()) {
        if let Some(count) = counts.get_mut(rule) {
            *count += 1;
        } else {
            let known = counts.len() < limits::RULES;
            *counts.entry(if known { rule } else { "(other)" }.to_owned()).or_default() += 1;
        }
    }
}

/// Whether an answer of this status counts as an error: 429 and 5xx.
pub(crate) fn is_error(status: u16) -> bool {
    status == 429 || status >= 500
}

fn add_all(sums: &mut [u64], more: &[u64]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}
