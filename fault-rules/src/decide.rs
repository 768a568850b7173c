//! The decision for one exchange.

use std::time::Duration;

use serde::Serialize;
use smallvec::SmallVec;

use crate::rule::{ActionRef, Rule, RuleSet};
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
    /// Query without the question mark; no rule looks at it yet.
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
    /// Why nothing is to be done although it was selected; set here for [`Why::Window`] only.
    pub suppressed: Option<Why>,
    /// How long to wait before the request goes on; already sampled.
    pub delay: Option<Duration>,
    /// The fault; look it up with [`RuleSet::action`].
    pub action: Option<ActionRef>,
}

/// Why a selected exchange was spared. The names stand in the ledger and in the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Outside the rule's `when`.
    Window,
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
    /// The answer ended before the point of the fault (or has no such point).
    NoSuchPoint,
}

impl Why {
    /// The name in ledger and books.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::EarlierTerminal => "earlier_terminal",
            Self::WithinLimit => "within_limit",
            Self::BucketOverflow => "bucket_overflow",
            Self::Cap => "cap",
            Self::Lifted => "lifted",
            Self::NotArmed => "not_armed",
            Self::ClientGone => "client_gone",
            Self::NotSetOff => "not_set_off",
            Self::Amplification => "amplification",
            Self::NoSuchPoint => "no_such_point",
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
            if !rule.on.matches(facts) {
                return;
            }
            let Some(roll) = select::selection_roll(seed, &rule.id, &rule.by, facts) else { return };
            decision.matched.push(idx as u32);
            if rule.rate.hits(roll) {
                decision.selected.push(rule.selected(idx, seed, facts, run_now));
            }
        });
        decision
    }
}

impl Rule {
    fn selected(&self, idx: usize, seed: u64, facts: &Facts<'_>, run_now: Duration) -> Selected {
        let outcome_idx = self.outcome(|| select::request_roll(seed, &self.id, Lane::Outcome, facts));
        let outcome = outcome_idx.and_then(|idx| self.outcomes.get(idx));
        let delay = self.delay.or_else(|| outcome.and_then(|outcome| outcome.delay));
        let action = outcome_idx
            .filter(|_| outcome.is_some_and(|outcome| outcome.action.is_some()))
            .map(|outcome| ActionRef { rule: idx as u32, outcome: outcome as u32 });
        Selected {
            rule: idx,
            suppressed: (!self.window.is_open(run_now)).then_some(Why::Window),
            delay: delay.map(|delay| delay.sample(select::request_roll(seed, &self.id, Lane::Delay, facts))),
            action,
        }
    }
}
