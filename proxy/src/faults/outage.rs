//! `outage`: not carried out yet.

use fault_rules::action::Outage;
use fault_rules::decide::Why;
use pingora_error::Result;
use pingora_proxy::Session;

use super::Next;
use crate::exchange::{Became, Exchange};

pub(super) async fn meet(
    _session: &mut Session,
    exchange: &mut Exchange,
    part: usize,
    _outage: &Outage,
) -> Result<Next> {
    if let Some(open) = exchange.get() {
        open.plan.parts[part].became = Became::Suppressed(Why::WrongProtocol);
    }
    Ok(Next::Forward)
}
