//! `drop_response`: the upstream answers, so it has committed; the client never learns of it.
//!
//! Client: its connection ends without an answer, by RST or FIN (RST_STREAM on HTTP/2), at once or after a silence; or
//! it gets another answer. Upstream: sees an exchange like any other, its answer read to the end. Bound: nothing is
//! kept of the answer. Client leaves first: the upstream's answer is read as far as pingora reads it, booked as cut.
//! Upstream dies first, inside its answer: lost all the same. Rule removed first: what is lost stays lost, the end comes
//! at once. Not for upgrades: `wrong_protocol`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fault_rules::action::DropResponse;
use pingora_error::Result;

use super::respond;
use crate::downstream::{Swallow, Then};
use crate::exchange::{ERROR, FAULT, Open};

/// What is to happen once the answer has been read.
pub(super) fn swallow(drop: &DropResponse, open: &Open, rule: Arc<str>) -> Result<Swallow> {
    let then = match drop {
        DropResponse::End(end) => Then::End(Some(Duration::ZERO), *end),
        DropResponse::Blackhole(hold, end) => Then::End(*hold, *end),
        DropResponse::Respond(respond) => {
            let mut header = respond::header(respond, open.http2)?;
            header.insert_header(FAULT, open.fault_header().unwrap_or_default())?;
            header.insert_header(ERROR, "injected")?;
            Then::Answer(Box::new(header), Bytes::copy_from_slice(&respond.body))
        }
    };
    Ok(Swallow { rule, then })
}
