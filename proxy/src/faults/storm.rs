//! `storm`: the proxy plays a client that repeats what ended badly.
//!
//! Client: sees the outcome of its own request, nothing of the copies. Upstream: the same request again, `copies` times, at
//! once or with the rule's backoff. Bound: the rule's `max_amplification`, and those of `copies.rs`. Client leaves first: the
//! storm depends on the outcome, not on the client; but a request whose body was not sent to its end, or not kept whole,
//! has no copies.

use fault_rules::Action;
use fault_rules::decide::Why;
use tokio::time::Instant;

use super::copies::{Launch, Launches};
use crate::exchange::{Became, Ending, Open};
use crate::shared::Shared;

/// Decides the storms of an exchange by its outcome.
pub(crate) fn set_off(open: &mut Open, ending: Ending, shared: &Shared) -> Launches {
    let mut launches = Launches::new();
    let now = Instant::now();
    for part in std::mem::take(&mut open.storms) {
        if open.plan.parts[part].became != Became::Open {
            continue; // it waited for another status, or a cap was breached meanwhile
        }
        let live = open.live.clone();
        let rule = open.plan.parts[part].rule;
        let Some(Action::Storm(storm)) = open.plan.parts[part].action(&live) else { continue };
        let whole = matches!(ending, Ending::Delivered).then(|| open.answer.origin_status()).flatten();
        let set_off = storm.is_set_off_by(whole, open.elapsed()) && !shared.is_draining();
        let is_copied = open.forwarded.is_some() && !open.answer.is_upgraded();
        let copies = if is_copied && open.request_body.is_whole() {
            shared.rules.gauges.storm_copies(&live.ids[rule], storm, set_off)
        } else {
            0
        };
        open.plan.parts[part].became = match (set_off, copies) {
            _ if open.answer.is_upgraded() => Became::Suppressed(Why::WrongProtocol),
            (false, _) => Became::Suppressed(Why::NotSetOff),
            (true, 0) if is_copied && !open.request_body.is_whole() => Became::Suppressed(Why::BodyNotKept),
            (true, 0) => Became::Suppressed(Why::Amplification),
            (true, copies) => {
                let due = (0..copies).map(|copy| now + storm.backoff.due(copy)).collect();
                match Launch::new(open, rule, due, shared) {
                    Some(launch) => {
                        launches.push(launch);
                        Became::Applied(open.elapsed())
                    }
                    None => Became::Suppressed(Why::Cap),
                }
            }
        };
    }
    launches
}
