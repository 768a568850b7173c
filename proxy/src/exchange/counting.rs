//! State that comes after selection: who of those selected is the n-th, who falls into a burst, whose delay comes too late.

use fault_rules::Facts;
use fault_rules::decide::Why;
use fault_rules::delay::At;

use super::{Became, Open, Wish};
use crate::shared::Shared;

impl Open {
    /// Spares what cannot be done, then counts the rest. What waits for a status is counted once that is known.
    pub(super) fn count(&mut self, facts: &Facts<'_>, shared: &Shared) {
        if !self.is_first {
            let of_connect = |wish: Wish| matches!(wish, Wish::Delay(wait) if wait.at == At::Connect);
            self.plan.suppress(Why::NotConnecting, |part| of_connect(part.wish));
        }
        let live = self.live.clone();
        for rule in self.plan.open_rules() {
            let definition = &live.set.rules()[rule];
            if definition.every.is_none() && definition.burst.is_none() {
                continue;
            }
            let key = definition.every.as_ref().map_or(0, |every| every.per.key_hash(facts));
            if definition.on.status().is_some() {
                self.plan.uncounted.push((rule, key));
            } else {
                self.count_rule(rule, key, shared);
            }
        }
    }

    /// The status is known: counts the rules that it was waited for, and that are about it.
    pub(super) fn count_answered(&mut self, shared: &Shared) {
        for (rule, key) in std::mem::take(&mut self.plan.uncounted) {
            if self.plan.parts.iter().any(|part| part.rule == rule && part.became == Became::Open) {
                self.count_rule(rule, key, shared);
            }
        }
    }

    fn count_rule(&mut self, rule: usize, key: u64, shared: &Shared) {
        let definition = &self.live.set.rules()[rule];
        if let Some(why) = shared.rules.gauges.spares(definition, self.live.seed, key) {
            self.plan.suppress(why, |part| part.rule == rule);
        }
    }
}
