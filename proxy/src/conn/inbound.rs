//! One HTTP/1 request body (or what a client sends behind an upgrade) under its shapes, on its way to whoever reads.

use std::time::Instant;

use tokio::io::ReadBuf;

use super::pause::Pause;
use super::payload::{Next, Payload};
use crate::faults::{Move, SharedShaping};
use crate::sync::lock;

/// Hands over what was read, when it may go.
pub(super) struct Inbound {
    payload: Payload,
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
        Inbound { payload: Payload::body(chunked), shaping, pause: Pause::new(changes) }
    }

    /// Copies into `buf` what of `bytes` may go now, and says how many those were. Where that is none: until when
    /// they wait.
    pub(super) fn hand_over(
        &mut self,
        bytes: &[u8],
        buf: &mut ReadBuf<'_>,
    ) -> Result<usize, Option<Instant>> {
        let mut shaping = lock(&self.shaping);
        let mut used = 0;
        while used < bytes.len() {
            let rest = &bytes[used..];
            let taken = match self.payload.next() {
                Next::Payload(most) => {
                    let offered = rest.len().min(usize::try_from(most).unwrap_or(usize::MAX));
                    match shaping.step(&rest[..offered]) {
                        Move::Pass(n) => {
                            let before = buf.filled().len();
                            buf.put_slice(&rest[..n]);
                            shaping.pass(&mut buf.filled_mut()[before..]);
                            self.payload.payload(n);
                            n
                        }
                        Move::Wait(until) if used == 0 => return Err(until),
                        Move::Wait(_) | Move::End(_) => break, // a request's body does not end early
                    }
                }
                Next::Head | Next::Frame => {
                    let n = self.payload.frame(rest);
                    buf.put_slice(&rest[..n]);
                    n
                }
            };
            used += taken;
        }
        Ok(used)
    }

    /// The rules have changed, or the time has come.
    pub(super) fn look_again(&self) {
        lock(&self.shaping).release();
    }
}
