//! Safety's caps: how many exchanges may be under a fault at once, and what share of all.

use std::sync::Arc;

use fault_rules::decide::Why;

use super::Open;
use crate::shared::Shared;

/// A place among the exchanges under a fault.
pub(super) struct ActiveGuard(Arc<Shared>);

impl Open {
    /// Safety comes before every rule: a breached cap lifts them all, this exchange included.
    pub(super) fn respect_caps(&mut self, shared: &Arc<Shared>) {
        let affected = self.plan.is_open_for_certain(&self.live);
        if !affected && self.plan.is_open() {
            self.share_open = true; // a rate limit may grant, a storm may not be set off
            return;
        }
        if !self.note_share(affected, shared) && affected {
            self.take_place(shared);
        }
    }

    /// A rule whose effect depended on something now takes effect. False: that is one too many, and nothing happens.
    pub(crate) fn takes_effect(&mut self, shared: &Arc<Shared>) -> bool {
        if self.share_open && self.note_share(true, shared) {
            return false;
        }
        self.active.is_some() || self.take_place(shared)
    }

    /// Takes a place among the exchanges under a fault. False: that is one too many.
    fn take_place(&mut self, shared: &Arc<Shared>) -> bool {
        let fits = shared.rules.gauges.enter();
        self.active = Some(ActiveGuard(shared.clone()));
        if !fits {
            shared.rules.lift("max_active: too many exchanges under a fault at once", true);
            self.plan.suppress_open(Why::Cap);
        }
        fits
    }

    /// Counts the exchange, once, in the share of those affected. True: the share is too large, so the rules are
    /// lifted and nothing more happens to this exchange.
    pub(crate) fn note_share(&mut self, affected: bool, shared: &Shared) -> bool {
        self.share_open = false;
        let Some(breach) = shared.rules.gauges.note(affected, shared.rules.now()) else { return false };
        let reason = format!(
            "max_affected: {} of {} exchanges in 10 s, the cap is {}%",
            breach.affected,
            breach.total,
            breach.cap * 100.0
        );
        shared.rules.lift(&reason, true);
        self.plan.suppress_open(Why::Cap);
        true
    }
}

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        self.0.rules.gauges.leave();
    }
}
