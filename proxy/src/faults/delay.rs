//! `delay`: the exchange waits before the upstream is asked.
//!
//! Client: its answer comes later by the sum of all delays, never earlier. Upstream: sees the request later.
//! Bound: the rule's own maximum. Client leaves first: not forwarded. Rule removed first: goes on at once.

use fault_rules::delay::At;
use pingora_proxy::Session;
use tokio::time::Instant;

use super::waiting::{ClientWatch, Woken, released};
use crate::exchange::{Became, Exchange};

/// Waits out the delays of all rules together.
pub(super) async fn wait(session: &mut Session, exchange: &mut Exchange) -> Woken {
    let has_delay = |exchange: &Exchange| {
        exchange.peek().is_some_and(|open| open.plan.delays(At::Request).next().is_some())
    };
    if !has_delay(exchange) {
        return Woken::Time;
    }
    let shared = exchange.shared.clone();
    let mut changes = shared.rules.changes();
    let watch = ClientWatch::of(session);
    let begun = Instant::now();
    loop {
        let until = begun + settle(exchange, &shared, begun);
        if !has_delay(exchange) {
            return Woken::Time;
        }
        match watch.wait(session, Some(until), &mut changes).await {
            Woken::Time => {
                finish(exchange, begun);
                return Woken::Time;
            }
            Woken::Changed => {}
            Woken::ClientGone => return Woken::ClientGone,
        }
    }
}

/// Lets go of delays whose rule is gone (they count as applied, for the time they took); gives the sum that
/// remains, counted from the beginning.
fn settle(exchange: &mut Exchange, shared: &crate::shared::Shared, begun: Instant) -> std::time::Duration {
    let mut sum = std::time::Duration::ZERO;
    let waits: smallvec::SmallVec<[_; 2]> =
        exchange.peek().map(|open| open.plan.delays(At::Request).collect()).unwrap_or_default();
    for (at, wait) in waits {
        let Some(rule) = exchange.peek().map(|open| open.plan.parts[at].rule) else { break };
        let gone = released(shared, exchange, rule);
        let Some(open) = exchange.get() else { break };
        match gone {
            Some(why) if begun.elapsed().is_zero() => open.plan.parts[at].became = Became::Suppressed(why),
            Some(_) => open.plan.parts[at].became = Became::Applied(begun.elapsed().min(wait.time)),
            None => sum += wait.time,
        }
    }
    sum
}

fn finish(exchange: &mut Exchange, begun: Instant) {
    let Some(open) = exchange.get() else { return };
    let took = begun.elapsed();
    let waits: smallvec::SmallVec<[_; 2]> = open.plan.delays(At::Request).collect();
    for (at, _) in waits {
        open.plan.parts[at].became = Became::Applied(took);
    }
}
