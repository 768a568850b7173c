//! `goaway`: the connection is told to go away, when the answer's header is there.
//!
//! Client on HTTP/2: GOAWAY. With `NO_ERROR` what is under way finishes, this answer too, and new streams are refused;
//! with any other code the connection ends at once with every stream on it, and each of those exchanges is booked as
//! cut (or dropped) by this rule. Client on HTTP/1: `connection: close` on this answer. Upstream: has the request.
//! Bound: none needed. Client leaves first: there is nobody to tell.

use fault_rules::action::Goaway;
use pingora_proxy::Session;

use crate::conn::{Ended, Farewell};
use crate::exchange::Open;

pub(super) fn say(session: &mut Session, open: &mut Open, part: usize, goaway: Goaway) {
    if !open.http2 {
        session.set_keepalive(None);
        return;
    }
    if !goaway.is_graceful() {
        open.shapes.cut_by = Some(part);
        let (rule, _) = open.plan.parts[part].source(&open.live);
        open.ctl.end_by(Ended { rule, action: "goaway" });
    }
    open.ctl.say_farewell(Farewell::Goaway(goaway.code));
}
