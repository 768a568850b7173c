//! `websocket_close`: not carried out yet.

use fault_rules::action::WebsocketClose;
use fault_rules::decide::Why;

use super::Next;
use crate::exchange::{Became, Exchange};

pub(super) fn plan(exchange: &mut Exchange, part: usize, _close: &WebsocketClose) -> Next {
    if let Some(open) = exchange.get() {
        open.plan.parts[part].became = Became::Suppressed(Why::WrongProtocol);
    }
    Next::Forward
}
