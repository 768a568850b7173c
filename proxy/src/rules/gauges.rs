//! State that rules share between exchanges: buckets, caps, storms. It outlives a reload, by rule id.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fault_rules::action::Storm;
use fault_rules::state::{Breach, BucketTable, ShareGuard, StormCap, Take};
use fault_rules::{Action, RuleSet};

use crate::sync::lock;

/// The state machines of the rules in force.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    buckets: Mutex<BucketTable>,
    share: Mutex<Option<ShareGuard>>,
    has_share: AtomicBool,
    storms: Mutex<HashMap<String, (f64, StormCap)>>,
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
        lock(&self.storms).retain(|id, _| set.by_id(id).is_some());
        self.max_active.store(set.safety.max_active.unwrap_or(u64::MAX), Ordering::Release);
        let mut share = lock(&self.share);
        match (&mut *share, set.safety.max_affected) {
            (Some(guard), Some(cap)) => guard.set_cap(cap),
            (slot, cap) => *slot = cap.map(ShareGuard::new),
        }
        self.has_share.store(share.is_some(), Ordering::Release);
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
