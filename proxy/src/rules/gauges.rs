//! State that rules share between exchanges: buckets, counts, bursts, caps, storms, earlier answers. It outlives a reload, by rule id.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fault_rules::action::Storm;
use fault_rules::decide::Why;
use fault_rules::select::{Burst, Every};
use fault_rules::state::{Breach, BucketTable, BurstState, Counted, NthCounter, ShareGuard, StormCap, Take};
use fault_rules::{Action, Rule, RuleSet};

use crate::faults::stale::Store;
use crate::sync::lock;

/// The state machines of the rules in force.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    buckets: Mutex<BucketTable>,
    share: Mutex<Option<ShareGuard>>,
    has_share: AtomicBool,
    /// Each beside the definition that it belongs to: a rule that counts otherwise counts anew.
    counts: Mutex<HashMap<String, (Every, NthCounter)>>,
    bursts: Mutex<HashMap<String, (Burst, BurstState)>>,
    storms: Mutex<HashMap<String, (f64, StormCap)>>,
    pub(crate) stale: Store,
    max_active: AtomicU64,
    active: AtomicU64,
    panics: AtomicU64,
}

impl Gauges {
    /// Follows a new set: what is the same keeps its state.
    pub(super) fn adopt(&self, set: &RuleSet) {
        let limits = set.rules().iter().flat_map(|rule| {
            rule.actions().filter_map(|action| match action {
                Action::RateLimit(limit) => Some((rule.id.as_str(), limit.bucket)),
                _ => None,
            })
        });
        lock(&self.buckets).adopt(limits);
        let ages = set.rules().iter().flat_map(Rule::actions).filter_map(|action| match action {
            Action::Stale(stale) => Some(stale.age),
            _ => None,
        });
        self.stale.adopt(ages.max());
        let rule = |id: &str| set.by_id(id).map(|(_, rule)| rule);
        lock(&self.counts)
            .retain(|id, (every, _)| rule(id).is_some_and(|rule| rule.every.as_ref() == Some(every)));
        lock(&self.bursts)
            .retain(|id, (burst, _)| rule(id).is_some_and(|rule| rule.burst.as_ref() == Some(burst)));
        lock(&self.storms).retain(|id, _| set.by_id(id).is_some());
        self.max_active.store(set.safety.max_active.unwrap_or(u64::MAX), Ordering::Release);
        let mut share = lock(&self.share);
        match (&mut *share, set.safety.max_affected) {
            (Some(guard), Some(cap)) => guard.set_cap(cap),
            (slot, cap) => *slot = cap.map(ShareGuard::new),
        }
        self.has_share.store(share.is_some(), Ordering::Release);
    }

    /// One more exchange that a rule selected, of this key: why `every` or `burst` spare it, if they do.
    pub(crate) fn spares(&self, rule: &Rule, seed: u64, key_hash: u64) -> Option<Why> {
        if let Some(every) = &rule.every {
            match state_of(&mut lock(&self.counts), &rule.id, every).count(every, key_hash) {
                Counted::Hit => {}
                Counted::Spared => return Some(Why::NotNth),
                Counted::Overflow => return Some(Why::CounterOverflow),
            }
        }
        let burst = rule.burst.as_ref()?;
        let hits = state_of(&mut lock(&self.bursts), &rule.id, burst).hits(seed, &rule.id, burst);
        (!hits).then_some(Why::NoBurst)
    }

    /// Draws a token.
    pub(crate) fn take(&self, rule: &str, key_hash: u64, now: Duration) -> Take {
        lock(&self.buckets).take(rule, key_hash, now)
    }

    /// How many copies a storm may send now.
    pub(crate) fn storm_copies(&self, rule: &str, storm: &Storm, set_off: bool) -> u32 {
        let mut storms = lock(&self.storms);
        let cap = storm.max_amplification;
        let entry = storms.entry(rule.to_owned()).or_insert_with(|| (cap, StormCap::new(cap)));
        if entry.0.total_cmp(&cap).is_ne() {
            *entry = (cap, StormCap::new(cap));
        }
        entry.1.forwarded();
        if set_off { entry.1.grant(storm.copies) } else { 0 }
    }

    /// Notes whether an exchange was affected; tells of a breached share.
    pub(crate) fn note(&self, affected: bool, now: Duration) -> Option<Breach> {
        if !self.has_share.load(Ordering::Acquire) {
            return None;
        }
        lock(&self.share).as_mut().and_then(|guard| guard.note(affected, now))
    }

    /// One more exchange under a fault; false: that is one too many.
    pub(crate) fn enter(&self) -> bool {
        let max = self.max_active.load(Ordering::Acquire);
        self.active.fetch_add(1, Ordering::AcqRel) < max
    }

    pub(crate) fn leave(&self) {
        self.active.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn active(&self) -> u64 {
        self.active.load(Ordering::Acquire)
    }

    pub(crate) fn count_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}

/// The state of a rule under this definition, begun anew where it had another.
fn state_of<'a, D: Clone + PartialEq, S: Default>(
    states: &'a mut HashMap<String, (D, S)>,
    id: &str,
    definition: &D,
) -> &'a mut S {
    if states.get(id).is_none_or(|(known, _)| known != definition) {
        states.insert(id.to_owned(), (definition.clone(), S::default()));
    }
    let (_, state) = states.get_mut(id).expect("it is there, or was put there just now");
    state
}
