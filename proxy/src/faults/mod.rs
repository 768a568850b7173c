//! Carrying out what the rules ask for. One file a fault.
//!
//! Order: all delays first, added up; then the actions in file order, of which the first terminal one that takes
//! effect wins. Every wait ends early when its rule is removed or lifted, when the client leaves, and when the
//! proxy drains.

mod blackhole;
pub(crate) mod copies;
pub(crate) mod delay;
mod drop_response;
pub(crate) mod duplicate;
mod events;
mod goaway;
mod outage;
mod rate_limit;
mod reset;
mod respond;
pub(crate) mod shape;
mod shaping;
pub(crate) mod stale;
pub(crate) mod storm;
pub(crate) mod waiting;
mod websocket_close;

use fault_rules::Action;
use fault_rules::action::Point;
use fault_rules::decide::Why;
use fault_rules::delay::At;
use pingora_error::ErrorType;
use pingora_proxy::Session;
use waiting::Woken;

pub(crate) use shaping::{Cutoff, Move, SharedShaping};

use crate::exchange::{Became, Exchange};

/// What becomes of a request after its faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It goes to the upstream.
    Forward,
    /// A rule has answered it.
    Answered,
    /// A rule has ended it without an answer.
    Dropped,
    /// The client left meanwhile.
    ClientGone,
}

/// Carries out what comes before the upstream.
pub(crate) async fn before_upstream(
    session: &mut Session,
    exchange: &mut Exchange,
) -> pingora_error::Result<Next> {
    for place in [At::Connect, At::Request] {
        if delay::wait(session, exchange, place).await == Woken::ClientGone {
            return Ok(Next::ClientGone);
        }
    }
    let mut from = 0;
    let mut decided = false;
    let shared = exchange.shared.clone();
    loop {
        let Some(open) = exchange.get() else { return Ok(Next::Forward) };
        let Some((part, action)) = open.plan.next_action(from) else { return Ok(Next::Forward) };
        from = part + 1;
        let live = open.live.clone();
        let Some(action) = live.set.action(action) else { continue };
        if !shared.rules.holds(&live.ids[open.plan.parts[part].rule]) {
            // removed or lifted since the decision, during a delay
            open.plan.parts[part].became = Became::Suppressed(Why::Lifted);
            continue;
        }
        if decided && action.is_terminal() {
            open.plan.parts[part].became = Became::Suppressed(Why::EarlierTerminal);
            continue;
        }
        let next = match action {
            Action::Respond(respond) => respond::answer(session, exchange, part, respond).await?,
            Action::RateLimit(limit) => rate_limit::check(session, exchange, part, limit).await?,
            Action::Reset(reset) if reset.at == Point::BeforeHeaders => {
                reset::before_headers(session, exchange, part, *reset)
            }
            Action::Blackhole(hole) => blackhole::hold(session, exchange, part, *hole).await,
            Action::Storm(_) => {
                open.storms.push(part);
                Next::Forward
            }
            Action::Outage(outage) => outage::meet(session, exchange, part, outage).await?,
            Action::Stale(stale) => stale::answer(session, exchange, part, *stale).await?,
            Action::Duplicate(_) => duplicate::plan(exchange, part),
            Action::Reset(_)
            | Action::Truncate(_)
            | Action::Throttle(_)
            | Action::Stall(_)
            | Action::Loss(_)
            | Action::Corrupt(_)
            | Action::DropResponse(_)
            | Action::Goaway(_)
            | Action::WebsocketClose(_) => {
                // whether it takes effect may depend on the status: then it leaves the field to later rules
                decided |= action.is_terminal()
                    && live.set.rules()[open.plan.parts[part].rule].on.status().is_none();
                shape::plan(open, part);
                Next::Forward
            }
        };
        if next != Next::Forward {
            if let Some(open) = exchange.get() {
                open.plan.suppress_open(Why::EarlierTerminal);
            }
            return Ok(next);
        }
    }
}

/// What pingora calls an end that a rule wanted.
pub(crate) const INJECTED: ErrorType = ErrorType::Custom("injected");
