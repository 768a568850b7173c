//! What is measured: latencies, figures of a part of the traffic, and of the streams.

use hdrhistogram::Histogram;

use crate::limits;

/// Figures of one part of the traffic: a route, or a cohort. Without the warm-up.
#[derive(Debug)]
pub(crate) struct RouteTally {
    /// Attempts.
    pub(crate) requests: u64,
    /// Answered 429 or 5xx, or not answered.
    pub(crate) failed: u64,
    pub(crate) injected: u64,
    /// Of answered operations: intended to the last byte of the final attempt.
    pub(crate) response: Histogram<u64>,
}

/// The latencies of answered requests, in microseconds, without the warm-up.
///
/// A stream of events or messages counts as answered with the head of its answer: how long it stays open is no latency.
/// `response` is one value for each operation, whatever the number of its attempts; `service` and `ttfb` are one for
/// each attempt.
#[derive(Debug)]
pub(crate) struct Latencies {
    /// Intended to the last byte of the final attempt.
    pub(crate) response: Histogram<u64>,
    /// Sent to last byte.
    pub(crate) service: Histogram<u64>,
    /// Sent to first byte.
    pub(crate) ttfb: Histogram<u64>,
    /// Intended (or released by its predecessor) to sent, waits that are not ours taken off; of every request sent.
    pub(crate) lateness: Histogram<u64>,
    /// Waits for a connection, opening included; of the requests that waited.
    pub(crate) wait: Histogram<u64>,
    /// How far the gap between two consecutive steps of a session was from the planned one, either way.
    pub(crate) gap_error: Histogram<u64>,
    /// How much later than planned sessions started.
    pub(crate) session_starts: Histogram<u64>,
}

/// Figures of the streams (SSE, WebSocket, gRPC); times in microseconds.
#[derive(Debug)]
pub(crate) struct StreamTally {
    pub(crate) opened: u64,
    /// As in the recording, or by us as planned.
    pub(crate) ended: u64,
    /// Before their time.
    pub(crate) broken: u64,
    pub(crate) messages_in: u64,
    pub(crate) messages_out: u64,
    pub(crate) peak_open: u64,
    pub(crate) reconnects: u64,
    /// Gaps far longer than the recording has them.
    pub(crate) stalls: u64,
    /// Request sent to first event.
    pub(crate) first_event: Histogram<u64>,
    /// Between two events of one stream.
    pub(crate) event_gap: Histogram<u64>,
}

impl Latencies {
    pub(super) fn new() -> Latencies {
        Latencies {
            response: histogram(),
            service: histogram(),
            ttfb: histogram(),
            lateness: histogram(),
            wait: histogram(),
            gap_error: histogram(),
            session_starts: histogram(),
        }
    }

    pub(super) fn merge(&mut self, other: &Latencies) {
        add(&mut self.response, &other.response);
        add(&mut self.service, &other.service);
        add(&mut self.ttfb, &other.ttfb);
        add(&mut self.lateness, &other.lateness);
        add(&mut self.wait, &other.wait);
        add(&mut self.gap_error, &other.gap_error);
        add(&mut self.session_starts, &other.session_starts);
    }
}

impl RouteTally {
    pub(super) fn new() -> RouteTally {
        let response = Histogram::new(3).expect("three digits are within the library's bounds");
        RouteTally { requests: 0, failed: 0, injected: 0, response }
    }

    /// One more attempt without an answer.
    pub(crate) fn fail(&mut self) {
        self.requests += 1;
        self.failed += 1;
    }

    /// One more answer.
    pub(crate) fn answer(&mut self, is_error: bool, injected: bool) {
        self.requests += 1;
        self.failed += u64::from(is_error);
        self.injected += u64::from(injected);
    }

    pub(super) fn merge(&mut self, other: &RouteTally) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.injected += other.injected;
        add(&mut self.response, &other.response);
    }
}

impl StreamTally {
    pub(super) fn new() -> StreamTally {
        StreamTally {
            opened: 0,
            ended: 0,
            broken: 0,
            messages_in: 0,
            messages_out: 0,
            peak_open: 0,
            reconnects: 0,
            stalls: 0,
            first_event: histogram(),
            event_gap: histogram(),
        }
    }

    pub(super) fn merge(&mut self, other: &StreamTally) {
        self.opened += other.opened;
        self.ended += other.ended;
        self.broken += other.broken;
        self.messages_in += other.messages_in;
        self.messages_out += other.messages_out;
        self.peak_open += other.peak_open;
        self.reconnects += other.reconnects;
        self.stalls += other.stalls;
        add(&mut self.first_event, &other.first_event);
        add(&mut self.event_gap, &other.event_gap);
    }
}

/// An empty histogram of microseconds: three digits, up to [`limits::LATENCY_MAX_US`].
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, limits::LATENCY_MAX_US, 3).expect("constant bounds in the library's range")
}

pub(crate) fn add(sum: &mut Histogram<u64>, more: &Histogram<u64>) {
    sum.add(more).expect("equal bounds, or a sum that grows by itself");
}
