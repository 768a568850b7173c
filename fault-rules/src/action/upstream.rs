//! Faults between the proxy and the upstream.

use std::time::Duration;

use super::{End, Respond};
use crate::delay::Delay;
use crate::rule::Window;

/// The answer is lost after the upstream has committed.
#[derive(Debug, Clone, PartialEq)]
pub enum DropResponse {
    /// The client sees its connection (stream) end without an answer.
    End(End),
    /// The client gets this answer instead.
    Respond(Respond),
    /// The client gets nothing for so long (`None`: until it leaves), then an end.
    Blackhole(Option<Duration>, End),
}

/// The same request to the upstream again; the client gets the first one's answer, whatever the copies do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicate {
    /// Copies beside the request itself, 1 to 100.
    pub copies: u32,
    /// How long after the request was whole the first copy goes out, and each next after the one before.
    pub after: Duration,
}

/// How long a storm waits before each copy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// Before the first copy; zero: all at once.
    pub first: Duration,
    /// Each wait is this many times the one before, 1.0 to 10.0.
    pub factor: f64,
}

impl Backoff {
    /// All copies at once.
    pub const NONE: Self = Self { first: Duration::ZERO, factor: 1.0 };

    /// When the copy of this place (from 0) goes out, counted from the outcome; at most 24 h.
    #[must_use]
    pub fn due(&self, copy: u32) -> Duration {
        let mut sum = 0.0;
        let mut wait = self.first.as_secs_f64();
        for _ in 0..=copy {
            sum += wait;
            wait *= self.factor;
        }
        crate::delay::from_seconds(sum)
    }
}

/// A group of upstreams is dark while the rule's window is open.
#[derive(Debug, Clone, PartialEq)]
pub struct Outage {
    /// What a request for it meets.
    pub mode: OutageMode,
    /// Who takes over, and when.
    pub failover: Option<Failover>,
}

/// What a request for a dark group meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutageMode {
    /// Connections are refused: a gateway answers 502 at once. On a TCP edge the client is reset when it connects.
    Refuse,
    /// Connections are reset, the client's too.
    Reset,
    /// Silence: a gateway answers 504 when its time to connect is over. On a TCP edge nothing is answered.
    Blackhole,
}

/// Another group takes over.
#[derive(Debug, Clone, PartialEq)]
pub struct Failover {
    /// The group; one of [`crate::RuleSet::groups`].
    pub to: String,
    /// How long the outage lasts before it is noticed.
    pub after: Duration,
    /// How much longer requests take there.
    pub added_delay: Option<Delay>,
    /// How long after the outage requests still go there.
    pub failback: Duration,
}

/// What an outage means at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing.
    Up,
    /// Requests meet the outage.
    Dark,
    /// Requests go to the other group.
    FailedOver,
}

impl Outage {
    /// What it means this long after the start of the run, for a rule of this window.
    #[must_use]
    pub fn phase(&self, window: &Window, run_now: Duration) -> Phase {
        let Some(opening) = window.opening(run_now) else { return Phase::Up };
        let since = run_now.saturating_sub(opening.from);
        let after = self.failover.as_ref().map(|failover| failover.after);
        if opening.to.is_none_or(|to| run_now < to) {
            return match after {
                Some(after) if after <= since => Phase::FailedOver,
                _ => Phase::Dark,
            };
        }
        let (Some(to), Some(failover)) = (opening.to, &self.failover) else { return Phase::Up };
        let had_failed_over = failover.after <= to.saturating_sub(opening.from);
        let comes_back = to.saturating_add(failover.failback);
        if had_failed_over && run_now < comes_back { Phase::FailedOver } else { Phase::Up }
    }
}

/// An earlier answer to the same request (method, host, target, and what identifies the user) is served again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale {
    /// The newest answer that is at least this old.
    pub age: Duration,
}

/// Copies of a request, the way a badly written client repeats.
#[derive(Debug, Clone, PartialEq)]
pub struct Storm {
    /// Outcomes that set it off; any of them.
    pub when: Vec<StormWhen>,
    /// Copies for each exchange, 1 to 100.
    pub copies: u32,
    /// How long before each copy; none: all at once.
    pub backoff: Backoff,
    /// Upstream attempts per forwarded exchange that this rule may reach, over the run; at least 1.0.
    pub max_amplification: f64,
}

impl Storm {
    /// Whether this outcome sets the storm off. `status` is `None` when no complete answer came.
    #[must_use]
    pub fn is_set_off_by(&self, status: Option<u16>, took: Duration) -> bool {
        self.when.iter().any(|when| match when {
            StormWhen::Class(class) => status.is_some_and(|status| status / 100 == u16::from(*class)),
            StormWhen::Status(asked) => status == Some(*asked),
            StormWhen::SlowerThan(limit) => *limit < took,
            StormWhen::Failure => status.is_none(),
        })
    }
}

/// One outcome that sets off a storm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StormWhen {
    /// Statuses of this hundred: 5 is `5xx`.
    Class(u8),
    /// Exactly this status.
    Status(u16),
    /// The answer took longer than this, start to last byte.
    SlowerThan(Duration),
    /// No complete answer came.
    Failure,
}
