//! `outage`: the upstream's group is dark, and perhaps another takes over.
//!
//! Client: 502 at once (`refuse`), a reset (`reset`), or silence and then 504 after the time that a gateway takes to connect
//! (`blackhole`), each with `squall-error: injected`; once another group has taken over, its answer, later by the added delay.
//! Upstream: the dark group sees nothing. Bound: the connect timeout. Client leaves first: the silence has its exchange, as a
//! blackhole has. Rule removed or lifted, or its window over: what waits in silence goes on to the upstream, since nothing
//! of it was read yet. Judged when the exchange comes here, after its delays, not when the rules were asked.

use std::sync::Arc;
use std::time::Duration;

use fault_rules::Rule;
use fault_rules::action::{Failover, Outage, OutageMode, Phase, Point, Reset, Respond};
use fault_rules::decide::Why;
use pingora_error::Result;
use pingora_proxy::Session;
use tokio::time::Instant;

use super::waiting::{ClientWatch, Woken, released};
use super::{Next, reset, respond};
use crate::exchange::{Became, Exchange, Fate, Open};
use crate::upstream::Standin;

/// Meets the outage, whatever it is at this moment.
pub(super) async fn meet(
    session: &mut Session,
    exchange: &mut Exchange,
    part: usize,
    outage: &Outage,
) -> Result<Next> {
    let shared = exchange.shared.clone();
    let Some(open) = exchange.get() else { return Ok(Next::Forward) };
    let live = open.live.clone();
    let rule = &live.set.rules()[open.plan.parts[part].rule];
    let now = shared.rules.run_now();
    let (phase, standin) = phase(outage, rule, open, now);
    let spared = match phase {
        Phase::Up => Some(Why::Window),
        Phase::Dark => rule.ramps_past(open.plan.parts[part].roll, now).then_some(Why::Ramp),
        Phase::FailedOver => None,
    };
    if let Some(why) = spared {
        open.plan.parts[part].became = Became::Suppressed(why);
        return Ok(Next::Forward);
    }
    if !open.takes_effect(&shared) {
        return Ok(Next::Forward);
    }
    if let (Some(standin), Some(failover)) = (standin, &outage.failover) {
        return Ok(fail_over(session, exchange, part, (failover, standin)).await);
    }
    match outage.mode {
        OutageMode::Refuse => respond::answer(session, exchange, part, &gateway(502)).await,
        OutageMode::Reset => {
            Ok(reset::before_headers(session, exchange, part, Reset::at(Point::BeforeHeaders)))
        }
        OutageMode::Blackhole => silence(session, exchange, part, rule).await,
    }
}

/// What a gateway says in the name of an upstream that it does not reach.
fn gateway(status: u16) -> Respond {
    Respond { status, headers: Vec::new(), body: Arc::from([].as_slice()), grpc: None }
}

/// What the outage means for an exchange now, and who has taken over. Where nobody can, it stays dark.
fn phase(outage: &Outage, rule: &Rule, open: &Open, now: Duration) -> (Phase, Option<Arc<Standin>>) {
    let phase = outage.phase(&rule.window, now);
    let (Phase::FailedOver, Some(failover), Some(identity)) = (phase, &outage.failover, &open.identity)
    else {
        return (phase, None);
    };
    let standin = open.live.standins.choose(&failover.to, &identity.op, identity.attempt).cloned();
    match standin {
        Some(standin) => (phase, Some(standin)),
        None if rule.window.is_open(now) => (Phase::Dark, None),
        None => (Phase::Up, None),
    }
}

/// Sends the exchange to a member of the other group, later by the added delay.
async fn fail_over(
    session: &mut Session,
    exchange: &mut Exchange,
    part: usize,
    (failover, to): (&Failover, Arc<Standin>),
) -> Next {
    let Some(key) = exchange.peek().map(|open| open.plan.parts[part].key) else { return Next::Forward };
    let added = failover.added_delay.as_ref().map_or(Duration::ZERO, |delay| delay.sample(key));
    let begun = Instant::now();
    let waited = pause(session, exchange, part, begun + added, None).await;
    let Some(open) = exchange.get() else { return Next::Forward };
    if waited == Pause::ClientGone {
        open.held = Some((part, begun.into_std()));
        return Next::ClientGone;
    }
    open.plan.parts[part].became = Became::Applied(begun.elapsed());
    if waited == Pause::Over {
        open.fail_over(to, added);
    }
    Next::Forward
}

/// Says nothing for as long as connecting may take, then that it took too long.
async fn silence(session: &mut Session, exchange: &mut Exchange, part: usize, rule: &Rule) -> Result<Next> {
    let begun = Instant::now();
    let until = begun + exchange.shared.config.connect_timeout;
    let waited = pause(session, exchange, part, until, Some(rule)).await;
    let Some(open) = exchange.get() else { return Ok(Next::Forward) };
    match waited {
        Pause::Over => return respond::answer(session, exchange, part, &gateway(504)).await,
        Pause::ClientGone => open.fate = Fate::Dropped(part),
        Pause::Released => {}
    }
    open.plan.parts[part].became = Became::Applied(begun.elapsed());
    Ok(if waited == Pause::ClientGone { Next::Dropped } else { Next::Forward })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    /// It took its time.
    Over,
    /// The rule is gone, or its window over.
    Released,
    ClientGone,
}

/// Waits until a time, or until the rule lets go: it is removed or lifted, or, where `within` is given, its window closes.
async fn pause(
    session: &mut Session,
    exchange: &Exchange,
    part: usize,
    until: Instant,
    within: Option<&Rule>,
) -> Pause {
    let Some(open) = exchange.peek() else { return Pause::Released };
    let rule = open.plan.parts[part].rule;
    open.tell_root_of(part);
    let rules = exchange.shared.rules.clone();
    let mut changes = rules.changes();
    let watch = ClientWatch::of(session);
    loop {
        let now = rules.run_now();
        let closed = within.is_some_and(|rule| !rule.window.is_open(now));
        if closed || released(&exchange.shared, exchange, rule).is_some() {
            return Pause::Released;
        }
        let turn =
            within.and_then(|rule| rule.window.next_turn(now)).map(|turn| Instant::now() + (turn - now));
        let next = turn.map_or(until, |turn| turn.min(until));
        match watch.wait(session, Some(next), &mut changes).await {
            Woken::ClientGone => return Pause::ClientGone,
            Woken::Time | Woken::Changed if until <= Instant::now() => return Pause::Over,
            Woken::Time | Woken::Changed => {}
        }
    }
}
