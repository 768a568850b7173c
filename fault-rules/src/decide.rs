//! The decision for one exchange.

use std::time::Duration;

use serde::Serialize;
use smallvec::SmallVec;

use crate::action::{Action, Phase};
use crate::delay::Wait;
use crate::rule::{ActionRef, Rule, RuleSet, Scale};
use crate::select::{self, Lane};

/// What is known of an exchange when its request header is there.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Name of the edge it came in by.
    pub edge: &'a str,
    /// Method, as sent.
    pub method: &'a str,
    /// Host and port as the client named them (`:authority` or `host`).
    pub authority: &'a str,
    /// Path without the query, raw as sent.
    pub path: &'a str,
    /// Query without the question mark.
    pub query: &'a str,
    /// First value of a header; asked with names in lower case. Values that are not UTF-8 count as absent.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The operation: `squall-op`, else idempotency key, else traceparent, else a name the caller makes.
    pub operation: &'a str,
    /// From 1.
    pub attempt: u32,
    /// The session without its run tag; see [`crate::select::session_key`].
    pub session: &'a str,
    /// Number of the client's connection.
    pub connection: u64,
    /// Address of the client without port.
    pub client: &'a str,
    /// `host:port` of the upstream that it is meant for; empty where that is not known.
    pub upstream: &'a str,
}

/// What the rules say about one exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// `[safety] protect` keeps all rules away from it; then the lists are empty.
    pub protected: bool,
    /// Places of the rules that match, selected or not, in file order: "eligible" in the books.
    pub matched: SmallVec<[u32; 8]>,
    /// What the rules that selected it ask for, in file order.
    pub selected: SmallVec<[Selected; 4]>,
}

/// One rule that selected an exchange.
///
/// Carry out in order: all delays that are not suppressed add up and come first; then the actions in order, of which
/// the first terminal one that takes effect wins and later terminal ones are suppressed as [`Why::EarlierTerminal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selected {
    /// Place in [`RuleSet::rules`].
    pub rule: usize,
    /// Why nothing is to be done although it was selected; set here for [`Why::Window`] and [`Why::Ramp`] only.
    pub suppressed: Option<Why>,
    /// How long to wait, and where; already drawn.
    pub delay: Option<Wait>,
    /// The fault; look it up with [`RuleSet::action`].
    pub action: Option<ActionRef>,
    /// The roll that selected it: a smaller rate (a guard that steps down) asks `rate.weighted(w).hits(roll)`.
    pub roll: u64,
    /// Seed of all that is drawn within the exchange: which bytes are corrupted, which segments are lost.
    pub key: u64,
}

/// Why a selected exchange was spared. The names stand in the ledger and in the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Outside the rule's `when`.
    Window,
    /// The rule's ramp has not come as far as this exchange.
    Ramp,
    /// A guard made the rule smaller, and this exchange is not among those left.
    SteppedDown,
    /// It was not the n-th.
    NotNth,
    /// It did not fall into a burst, or was spared within one.
    NoBurst,
    /// More keys than counters; the exchange passed.
    CounterOverflow,
    /// A slow connect on a connection that is there already.
    NotConnecting,
    /// The answer came as late as a floor asks by itself.
    LateEnough,
    /// There is no earlier answer that is old enough.
    NothingStale,
    /// The fault does not exist on this protocol.
    WrongProtocol,
    /// An earlier rule already decided how the exchange ends.
    EarlierTerminal,
    /// The token bucket had a token.
    WithinLimit,
    /// More keys than buckets; the exchange passed.
    BucketOverflow,
    /// `max_affected` or `max_active` was reached.
    Cap,
    /// The rules were lifted.
    Lifted,
    /// The proxy is not armed.
    NotArmed,
    /// The client left first.
    ClientGone,
    /// The outcome that sets off the storm did not come.
    NotSetOff,
    /// The storm's `max_amplification` was reached.
    Amplification,
    /// The request's body is larger than the proxy keeps, so there is nothing to copy.
    BodyNotKept,
    /// The answer ended before the point of the fault (or has no such point).
    NoSuchPoint,
    /// So much waits in memory that nothing more was held back for the fault.
    Buffered,
}

impl Why {
    /// The name in ledger and books.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Ramp => "ramp",
            Self::SteppedDown => "stepped_down",
            Self::NotNth => "not_nth",
            Self::NoBurst => "no_burst",
            Self::CounterOverflow => "counter_overflow",
            Self::NotConnecting => "not_connecting",
            Self::LateEnough => "late_enough",
            Self::NothingStale => "nothing_stale",
            Self::WrongProtocol => "wrong_protocol",
            Self::EarlierTerminal => "earlier_terminal",
            Self::WithinLimit => "within_limit",
            Self::BucketOverflow => "bucket_overflow",
            Self::Cap => "cap",
            Self::Lifted => "lifted",
            Self::NotArmed => "not_armed",
            Self::ClientGone => "client_gone",
            Self::NotSetOff => "not_set_off",
            Self::Amplification => "amplification",
            Self::BodyNotKept => "body_not_kept",
            Self::NoSuchPoint => "no_such_point",
            Self::Buffered => "buffered",
        }
    }
}

impl RuleSet {
    /// What the rules say about this exchange, `run_now` after the start of the run. Pure: equal arguments, equal answer.
    #[must_use]
    pub fn decide(&self, seed: u64, facts: &Facts<'_>, run_now: Duration) -> Decision {
        let mut decision = Decision::default();
        if self.rules.is_empty() {
            return decision;
        }
        if self.safety.protects(facts) {
            decision.protected = true;
            return decision;
        }
        self.gates.survivors(facts, |idx| {
            let Some(rule) = self.rules.get(idx) else { return };
            if !rule.matches(facts) {
                return;
            }
            let Some(roll) = select::selection_roll(seed, rule, facts) else { return };
            decision.matched.push(idx as u32);
            if rule.rate.hits(roll) {
                decision.selected.push(rule.selected((idx, roll), seed, facts, run_now));
            }
        });
        decision
    }
}

impl Rule {
    /// Whether the rule is about this exchange, its answer's status aside.
    #[must_use]
    pub fn matches(&self, facts: &Facts<'_>) -> bool {
        self.on.matches(facts)
            && self.attempts.is_none_or(|attempts| attempts.has(facts.attempt))
            && self.shard.as_ref().is_none_or(|shard| shard.has(&self.on, facts))
    }

    /// Whether the rule's rate selects this exchange, matched or not: what tells the harmed from the control group.
    #[must_use]
    pub fn would_select(&self, seed: u64, facts: &Facts<'_>) -> bool {
        select::selection_roll(seed, self, facts).is_some_and(|roll| self.rate.hits(roll))
    }

    /// The roll that its rate is held against for this exchange, matched or not; `None`: it lacks the key.
    #[must_use]
    pub fn roll(&self, seed: u64, facts: &Facts<'_>) -> Option<u64> {
        select::selection_roll(seed, self, facts)
    }

    fn selected(
        &self,
        (idx, roll): (usize, u64),
        seed: u64,
        facts: &Facts<'_>,
        run_now: Duration,
    ) -> Selected {
        let outcome_idx = self.outcome(|| select::request_roll(seed, &self.id, Lane::Outcome, facts));
        let outcome = outcome_idx.and_then(|idx| self.outcomes.get(idx));
        let delay = self.delay.as_ref().or_else(|| outcome.and_then(|outcome| outcome.delay.as_ref()));
        let fault = outcome.and_then(|outcome| outcome.action.as_ref());
        let action = outcome_idx
            .filter(|_| fault.is_some())
            .map(|outcome| ActionRef { rule: idx as u32, outcome: outcome as u32 });
        let delay = delay.map(|delay| {
            let wait = delay.draw(facts, select::request_roll(seed, &self.id, Lane::Delay, facts));
            self.grown(wait, run_now)
        });
        Selected {
            rule: idx,
            suppressed: self.spared(fault, roll, run_now),
            delay,
            action,
            roll,
            key: select::request_roll(seed, &self.id, Lane::Shape, facts),
        }
    }

    /// Why the time is not right.
    fn spared(&self, fault: Option<&Action>, roll: u64, run_now: Duration) -> Option<Why> {
        if let Some(Action::Outage(outage)) = fault
            && outage.phase(&self.window, run_now) == Phase::FailedOver
        {
            return None; // on after the window, until failback
        }
        if !self.window.is_open(run_now) {
            return Some(Why::Window);
        }
        self.ramps_past(roll, run_now).then_some(Why::Ramp)
    }

    /// Whether the rule's ramp has not come as far as this roll of [`Selected::roll`].
    #[must_use]
    pub fn ramps_past(&self, roll: u64, run_now: Duration) -> bool {
        self.window.scale == Scale::Rate && !self.rate.weighted(self.window.weight(run_now)).hits(roll)
    }

    fn grown(&self, wait: Wait, run_now: Duration) -> Wait {
        match self.window.scale {
            Scale::Rate => wait,
            Scale::Delay => Wait { time: wait.time.mul_f64(self.window.weight(run_now)), ..wait },
        }
    }
}
