//! `reset = "before headers"`: the request is read and its connection reset.
//!
//! Client: TCP RST on HTTP/1 (also on a connection that lived before), RST_STREAM on HTTP/2, neighbours untouched.
//! Upstream: never sees the request. Client leaves first: nothing to reset. Resets inside the answer: `cut.rs`.

use h2::Reason;
use pingora_proxy::Session;

use super::Next;
use crate::conn::H2_RESET_CODE;
use crate::exchange::{Became, Exchange, Fate};

/// Arms the reset; it happens when the stream is dropped.
pub(super) fn before_headers(session: &mut Session, exchange: &mut Exchange, part: usize) -> Next {
    if let Some(open) = exchange.get() {
        open.fate = Fate::Dropped(part);
        open.plan.parts[part].became = Became::Applied(open.elapsed());
    }
    tear(session, exchange);
    Next::Dropped
}

/// Makes the coming end of this exchange a reset.
pub(super) fn tear(session: &mut Session, exchange: &Exchange) {
    if session.is_http2() {
        session.downstream_session.shutdown_with_reason(Reason::from(H2_RESET_CODE));
    } else if let Some(open) = exchange.peek() {
        open.ctl.reset_on_close();
    }
}
