//! `duplicate`: the upstream gets the request more than once.
//!
//! Client: the answer to the first one, whatever the copies do. Upstream: the same request again, body included, once the
//! first was whole. Bound: those of `copies.rs`; a body beyond `--body-limit` is not kept, so it has no copies. Client leaves
//! first: a request that was not sent to its end has no copies; one that was has all of them.

use fault_rules::Action;
use fault_rules::action::Duplicate;
use fault_rules::decide::Why;
use http::header::UPGRADE;
use tokio::time::Instant;

use super::Next;
use super::copies::{Launch, Launches};
use crate::exchange::{Became, Exchange, Open};
use crate::shared::Shared;

/// Notes that copies will go out.
pub(super) fn plan(exchange: &mut Exchange, part: usize) -> Next {
    if let Some(open) = exchange.get() {
        open.duplicates.push(part);
    }
    Next::Forward
}

/// The copies, the first time that the request is whole and on its way.
pub(crate) fn due(open: &mut Open, shared: &Shared) -> Launches {
    let mut launches = Launches::new();
    if open.duplicates.is_empty() || open.forwarded.is_none() || !open.request_body.is_over() {
        return launches;
    }
    let now = Instant::now();
    for part in std::mem::take(&mut open.duplicates) {
        if open.plan.parts[part].became != Became::Open {
            continue; // a cap was breached meanwhile
        }
        let live = open.live.clone();
        let rule = open.plan.parts[part].rule;
        let Some(Action::Duplicate(duplicate)) = open.plan.parts[part].action(&live) else { continue };
        let upgrades = open.forwarded.as_ref().is_some_and(|request| request.headers.contains_key(UPGRADE));
        let launch = match (upgrades, open.request_body.is_whole()) {
            (true, _) => Err(Why::WrongProtocol),
            (false, false) => Err(Why::BodyNotKept),
            (false, true) => Launch::new(open, rule, moments(*duplicate, now), shared).ok_or(Why::Cap),
        };
        open.plan.parts[part].became = match launch {
            Ok(launch) => {
                launches.push(launch);
                Became::Applied(open.elapsed())
            }
            Err(why) => Became::Suppressed(why),
        };
    }
    launches
}

fn moments(duplicate: Duplicate, now: Instant) -> Vec<Instant> {
    (1..=duplicate.copies).map(|copy| now + duplicate.after * copy).collect()
}
