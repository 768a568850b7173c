//! `drop_response`: not carried out yet.

use fault_rules::action::DropResponse;
use fault_rules::decide::Why;

use super::Next;
use crate::exchange::{Became, Exchange};

pub(super) fn plan(exchange: &mut Exchange, part: usize, _drop: &DropResponse) -> Next {
    if let Some(open) = exchange.get() {
        open.plan.parts[part].became = Became::Suppressed(Why::WrongProtocol);
    }
    Next::Forward
}
