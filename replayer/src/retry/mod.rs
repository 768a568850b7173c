//! What a client does when a request failed: the policies of `--retry`.

mod budget;
mod parse;

use std::time::Duration;

pub(crate) use budget::Budget;

use crate::backoff::Backoff;
use crate::limits;
use crate::tally::Failure;

/// When an operation is tried again. `none | naive[:N] | backoff[:N[,BASE..CAP]] | budget[:PERCENT[,N]]`, where N is
/// the most attempts beyond the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Retry {
    /// One attempt.
    #[default]
    None,
    /// At once, whatever failed and whatever the method: the careless client that makes retry storms.
    Naive {
        /// Most attempts beyond the first.
        retries: u32,
    },
    /// After a wait, and only what may be repeated.
    Backoff {
        /// Most attempts beyond the first.
        retries: u32,
        /// The waits.
        waits: Backoff,
    },
    /// As `Backoff`, while retries are at most a share of the requests of the last ten seconds.
    Budget {
        /// That share, in percent.
        percent: u32,
        /// Most attempts beyond the first.
        retries: u32,
    },
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered with that status.
    Status {
        status: u16,
        /// What the field Retry-After asked for.
        retry_after: Option<Duration>,
    },
    /// It was not answered.
    Failure(Failure),
}

/// An attempt that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// Its number; the first is 1.
    pub(crate) attempt: u32,
    pub(crate) outcome: Outcome,
    /// The method is idempotent, or the request carries an idempotency key.
    pub(crate) replayable: bool,
    /// When it ended, in nanoseconds of the run.
    pub(crate) now_ns: u64,
}

impl Retry {
    /// How long to wait before the next attempt; `None`: there is none. `random` decides the jitter.
    pub(crate) fn decide(&self, ended: &Ended, random: u64, budget: &mut Budget) -> Option<Duration> {
        let (retries, waits) = match *self {
            Retry::None => return None,
            Retry::Naive { retries } => {
                return (ended.attempt <= retries && ended.outcome.is_error()).then_some(Duration::ZERO);
            }
            Retry::Backoff { retries, waits } => (retries, waits),
            Retry::Budget { retries, .. } => (retries, Backoff::DEFAULT),
        };
        let may = ended.replayable || ended.outcome.never_arrived();
        if ended.attempt > retries || !may || !ended.outcome.may_pass() {
            return None;
        }
        if let Retry::Budget { percent, .. } = *self
            && !budget.spend(percent, ended.now_ns)
        {
            return None;
        }
        let wait = waits.wait(ended.attempt.saturating_sub(1), random);
        // On top of what the server asked for, or all clients would come back at the same moment.
        Some(wait + ended.outcome.retry_after().min(limits::RETRY_AFTER_MAX))
    }

    /// Whether the policy counts requests, and so wants [`Budget::on_request`] for each first attempt.
    pub(crate) fn has_budget(&self) -> bool {
        matches!(self, Retry::Budget { .. })
    }
}

impl Outcome {
    /// What the thresholds call an error: 429, 5xx, or no answer. What we gave up ourselves is not tried again.
    fn is_error(self) -> bool {
        match self {
            Outcome::Status { status, .. } => status == 429 || (500..600).contains(&status),
            Outcome::Failure(failure) => failure != Failure::Aborted,
        }
    }

    /// Whether the same request may fare better later.
    fn may_pass(self) -> bool {
        match self {
            Outcome::Status { status, .. } => matches!(status, 429 | 500 | 502 | 503 | 504),
            Outcome::Failure(failure) => !matches!(failure, Failure::Aborted | Failure::Protocol),
        }
    }

    /// Whether the server cannot have acted on it.
    fn never_arrived(self) -> bool {
        matches!(self, Outcome::Failure(Failure::Connect | Failure::Tls))
    }

    fn retry_after(self) -> Duration {
        match self {
            Outcome::Status { retry_after, .. } => retry_after.unwrap_or_default(),
            Outcome::Failure(_) => Duration::ZERO,
        }
    }
}

/// The wait that a Retry-After field asks for: seconds as digits. A date is not understood, since it would need the
/// server's clock; it counts as no wish.
pub(crate) fn retry_after(value: &[u8]) -> Option<Duration> {
    let digits = std::str::from_utf8(value).ok()?.trim();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().map_or(limits::RETRY_AFTER_MAX, Duration::from_secs))
}

/// Whether a request of this method may be sent twice without harm.
pub(crate) fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: u64 = 1 << 63;

    fn policy(text: &str) -> Retry {
        text.parse().expect(text)
    }

    fn status(status: u16) -> Outcome {
        Outcome::Status { status, retry_after: None }
    }

    /// Milliseconds before the next attempt, jitter in the middle.
    fn wait_ms(text: &str, attempt: u32, outcome: Outcome, replayable: bool) -> Option<u64> {
        let ended = Ended { attempt, outcome, replayable, now_ns: 0 };
        let wait = policy(text).decide(&ended, HALF, &mut Budget::new());
        wait.map(|wait| wait.as_millis() as u64)
    }

    #[test]
    fn each_policy_tries_again_what_it_should() {
        let check = |text, outcome, once: Option<u64>, twice: Option<u64>| {
            assert_eq!(wait_ms(text, 1, outcome, true), once, "{text} {outcome:?}, replayable");
            assert_eq!(wait_ms(text, 1, outcome, false), twice, "{text} {outcome:?}, not replayable");
        };
        let failed = Outcome::Failure;
        check("none", status(503), None, None);
        check("naive", status(503), Some(0), Some(0));
        check("naive", status(501), Some(0), Some(0));
        check("naive", status(404), None, None);
        check("naive", failed(Failure::Timeout), Some(0), Some(0));
        check("naive", failed(Failure::Aborted), None, None);
        check("backoff", status(200), None, None);
        check("backoff", status(429), Some(50), None);
        check("backoff", status(500), Some(50), None);
        check("backoff", status(501), None, None);
        check("backoff", failed(Failure::Reset), Some(50), None);
        check("backoff", failed(Failure::Connect), Some(50), Some(50));
        check("backoff", failed(Failure::Protocol), None, None);
        check("backoff", failed(Failure::Aborted), None, None);
        check("budget", status(503), Some(50), None);
    }

    #[test]
    fn attempts_are_bounded_and_waits_grow() {
        let waits = |text| (1..6).map_while(|n| wait_ms(text, n, status(503), true)).collect::<Vec<_>>();
        assert_eq!(waits("naive:2"), [0, 0]);
        assert_eq!(waits("backoff"), [50, 100, 200]);
        assert_eq!(waits("backoff:5,10ms..30ms"), [5, 10, 15, 15, 15]);
        assert_eq!(waits("budget:20%,1"), [50]);
    }

    #[test]
    fn the_server_may_ask_for_patience() {
        let check = |value: &str, wait| {
            let outcome = Outcome::Status { status: 503, retry_after: retry_after(value.as_bytes()) };
            assert_eq!(wait_ms("backoff", 1, outcome, true), Some(wait), "{value}");
            assert_eq!(wait_ms("naive", 1, outcome, true), Some(0), "{value}");
        };
        check("2", 2_050);
        check(" 0 ", 50);
        check("86400", limits::RETRY_AFTER_MAX.as_millis() as u64 + 50);
        check("99999999999999999999999", limits::RETRY_AFTER_MAX.as_millis() as u64 + 50);
        check("Wed, 21 Oct 2026 07:28:00 GMT", 50);
        check("-1", 50);
        check("", 50);
    }

    #[test]
    fn a_budget_ends_a_storm() {
        let retries = |text: &str| {
            let (policy, mut budget) = (policy(text), Budget::new());
            let mut retries = 0;
            for now_ns in (0..10_000).map(|number| number * 500_000) {
                budget.on_request(now_ns);
                let mut ended = Ended { attempt: 1, outcome: status(503), replayable: true, now_ns };
                while policy.decide(&ended, HALF, &mut budget).is_some() {
                    retries += 1;
                    ended.attempt += 1;
                }
            }
            retries
        };
        assert_eq!(retries("naive"), 30_000);
        assert_eq!(retries("budget"), 2000);
        assert_eq!(retries("budget:0"), limits::RETRY_MINIMUM);
        assert!(policy("budget").has_budget() && !policy("naive").has_budget());
    }

    #[test]
    fn methods_that_may_be_repeated() {
        assert!(["GET", "HEAD", "PUT", "DELETE", "OPTIONS"].into_iter().all(is_idempotent));
        assert!(!["POST", "PATCH", "CONNECT", "get", ""].into_iter().any(is_idempotent));
    }
}
