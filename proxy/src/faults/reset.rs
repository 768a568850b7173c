//! `reset = "before headers"`: the request is read and its connection reset.
//!
//! Client: TCP RST on HTTP/1 (also on a connection that lived before), RST_STREAM with the rule's code on HTTP/2,
//! neighbours untouched; or, where the rule says so, RST of the whole HTTP/2 connection, and what else was under way on
//! it is booked as dropped or cut by this rule. Upstream: never sees the request. Client leaves first: nothing to reset.
//! Resets inside the answer: `shape.rs`.

use fault_rules::action::Reset;
use h2::Reason;
use pingora_proxy::Session;

use super::Next;
use crate::conn::{Ended, Farewell};
use crate::exchange::{Became, Exchange, Fate};

/// Arms the reset; it happens when the stream is dropped.
pub(super) fn before_headers(
    session: &mut Session,
    exchange: &mut Exchange,
    part: usize,
    reset: Reset,
) -> Next {
    if let Some(open) = exchange.get() {
        open.fate = Fate::Dropped(part);
        open.plan.parts[part].became = Became::Applied(open.elapsed());
        open.tell_root();
        if open.http2 && reset.connection {
            let (rule, _) = open.plan.parts[part].source(&open.live);
            open.ctl.end_by(Ended { rule, action: "reset" });
            open.ctl.say_farewell(Farewell::Reset);
            return Next::Dropped;
        }
    }
    tear(session, exchange, reset.code);
    Next::Dropped
}

/// Makes the coming end of this exchange a reset; the code is for HTTP/2.
pub(super) fn tear(session: &mut Session, exchange: &Exchange, code: u32) {
    if session.is_http2() {
        session.downstream_session.shutdown_with_reason(Reason::from(code));
    } else if let Some(open) = exchange.peek() {
        open.ctl.reset_on_close();
    }
}
