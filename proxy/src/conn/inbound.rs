//! One HTTP/1 request body (or what a client sends behind an upgrade) under its shapes, on its way to whoever reads.

use std::time::Instant;

use bytes::{Buf, BytesMut};
use tokio::io::ReadBuf;

use super::framing::{Framing, Next};
use super::pause::Pause;
use crate::faults::{Move, SharedShaping};
use crate::sync::lock;

/// Hands over what is read ahead, when it may go.
pub(super) struct Inbound {
    framing: Framing,
    shaping: SharedShaping,
    pub(super) pause: Pause,
}

/// What a request's body is shaped by, and whether it comes in chunks.
#[derive(Debug)]
pub(crate) struct InboundOrder {
    pub(crate) shaping: SharedShaping,
    pub(crate) chunked: bool,
}

impl Inbound {
    pub(super) fn new(order: InboundOrder) -> Self {
        let InboundOrder { shaping, chunked } = order;
        let changes = {
            let mut shaping = lock(&shaping);
            shaping.begin();
            shaping.changes()
        };
        Inbound { framing: Framing::body(chunked), shaping, pause: Pause::new(changes) }
    }

    /// Moves from `ahead` to `buf` what may go now. Where that is nothing: until when it waits.
    pub(super) fn hand_over(
        &mut self,
        ahead: &mut BytesMut,
        buf: &mut ReadBuf<'_>,
    ) -> Result<(), Option<Instant>> {
        let mut shaping = lock(&self.shaping);
        let before = buf.filled().len();
        while !ahead.is_empty() && buf.remaining() > 0 {
            let room = ahead.len().min(buf.remaining());
            let taken = match self.framing.next() {
                Next::Payload(most) => {
                    let offered = room.min(usize::try_from(most).unwrap_or(usize::MAX));
                    match shaping.step(&ahead[..offered]) {
                        Move::Pass(n) => {
                            shaping.pass(&mut ahead[..n]);
                            self.framing.payload(n);
                            n
                        }
                        Move::Wait(until) if buf.filled().len() == before => return Err(until),
                        Move::Wait(_) | Move::End(_) => return Ok(()), // a request's body does not end early
                    }
                }
                Next::Head | Next::Frame => self.framing.frame(&ahead[..room]),
            };
            buf.put_slice(&ahead[..taken]);
            ahead.advance(taken);
        }
        Ok(())
    }

    /// The rules have changed, or the time has come.
    pub(super) fn look_again(&self) {
        lock(&self.shaping).release();
    }
}
