//! `blackhole`: the request is read and never answered.
//!
//! Client: silence for the rule's time (or until it gives up), then a reset or a close. Upstream: never sees the
//! request. Bound: nothing is kept of what the client sends. Rule removed first: a request without a body goes on
//! to the upstream; of one with a body a part is gone, so it gets a 503 that says it is ours.

use std::sync::Arc;

use fault_rules::action::{Blackhole, End, Respond};
use fault_rules::decide::Why;
use h2::Reason;
use pingora_proxy::Session;
use tokio::time::Instant;

use super::waiting::released;
use super::{Next, reset, respond};
use crate::exchange::{Became, Exchange, Fate};
use crate::timer::sleep_until;

/// Holds the request.
pub(super) async fn hold(
    session: &mut Session,
    exchange: &mut Exchange,
    part: usize,
    hole: Blackhole,
) -> Next {
    let shared = exchange.shared.clone();
    let mut changes = shared.rules.changes();
    let bodyless = session.is_body_empty();
    let begun = Instant::now();
    let Some(rule) = exchange.peek().map(|open| open.plan.parts[part].rule) else { return Next::Forward };
    if let Some(why) = released(&shared, exchange, rule) {
        return release(session, exchange, part, (why, true)).await; // nothing was read yet
    }
    if let Some(open) = exchange.peek() {
        open.tell_root_of(part);
    }
    loop {
        let time = async {
            match hole.hold {
                Some(hold) => sleep_until(begun + hold).await,
                None => std::future::pending().await,
            }
        };
        let done = session.is_body_done();
        tokio::select! {
            biased;
            () = time => break,
            _ = changes.changed() => {
                let Some(why) = released(&shared, exchange, rule) else { continue };
                return release(session, exchange, part, (why, bodyless)).await;
            }
            read = session.downstream_session.read_body_or_idle(done) => {
                if read.is_err() {
                    end(exchange, part, begun);
                    return Next::Dropped;
                }
            }
        }
    }
    end(exchange, part, begun);
    match hole.end {
        End::Reset => reset::tear(session, exchange, Reason::INTERNAL_ERROR.into()),
        End::Close if session.is_http2() => session.downstream_session.shutdown_with_reason(Reason::CANCEL),
        End::Close => {}
    }
    Next::Dropped
}

fn end(exchange: &mut Exchange, part: usize, begun: Instant) {
    if let Some(open) = exchange.get() {
        open.fate = Fate::Dropped(part);
        open.plan.parts[part].became = Became::Applied(begun.elapsed());
    }
}

async fn release(
    session: &mut Session,
    exchange: &mut Exchange,
    part: usize,
    (why, bodyless): (Why, bool),
) -> Next {
    if bodyless {
        if let Some(open) = exchange.get() {
            open.plan.parts[part].became = Became::Suppressed(why);
        }
        return Next::Forward;
    }
    let apology = Respond { status: 503, headers: Vec::new(), body: Arc::from([].as_slice()), grpc: None };
    match respond::answer(session, exchange, part, &apology).await {
        Ok(next) => next,
        Err(_) => Next::Dropped,
    }
}
