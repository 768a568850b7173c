//! One HTTP/1 answer under its shapes, on its way into the write buffer.

use std::time::Instant;

use bytes::{Buf, BytesMut};

use super::pause::Pause;
use super::payload::{Next, Payload};
use crate::faults::{Cutoff, Move, SharedShaping};
use crate::sync::lock;

/// Lets through an answer's header and framing, and of its payload what may go.
pub(super) struct Outbound {
    payload: Payload,
    shaping: SharedShaping,
    pub(super) pause: Pause,
    /// What was taken from the writer and may not go yet.
    held: BytesMut,
}

/// Why no more goes now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Flow {
    /// All that was offered has gone.
    More,
    /// Not before then; see [`Move::Wait`].
    Wait(Option<Instant>),
    /// Nothing more of this answer goes, ever.
    End(Cutoff),
}

impl Outbound {
    pub(super) fn new(shaping: SharedShaping) -> Self {
        let pause = Pause::new(lock(&shaping).changes());
        Outbound { payload: Payload::answer(), shaping, pause, held: BytesMut::new() }
    }

    /// Appends to `out` what of `bytes` may go now; gives how many of them those were.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> (usize, Flow) {
        let mut shaping = lock(&self.shaping);
        let mut used = 0;
        while used < bytes.len() {
            let rest = &bytes[used..];
            let next = self.payload.next();
            let offered = match next {
                Next::Head | Next::Frame => &[],
                Next::Payload(most) => &rest[..rest.len().min(usize::try_from(most).unwrap_or(usize::MAX))],
            };
            // what stands around the payload waits with what lies behind it
            let may = if next == Next::Head { Move::Pass(0) } else { shaping.step(offered) };
            let taken = match (may, next) {
                (Move::Wait(until), _) => return (used, Flow::Wait(until)),
                (Move::End(how), _) => return (used, Flow::End(how)),
                (Move::Pass(n), Next::Payload(_)) => {
                    out.extend_from_slice(&rest[..n]);
                    let from = out.len() - n;
                    shaping.pass(&mut out[from..]);
                    self.payload.payload(n);
                    n
                }
                (Move::Pass(_), Next::Head | Next::Frame) => {
                    let n = self.payload.frame(rest);
                    out.extend_from_slice(&rest[..n]);
                    n
                }
            };
            used += taken;
            if next == Next::Head && self.payload.next() != Next::Head {
                shaping.begin();
            }
        }
        drop(shaping);
        (used, self.behind())
    }

    /// Takes bytes that may not go yet, so that whoever writes goes on to read: behind an upgrade the two directions have
    /// nothing to do with each other. 0: they stay with the writer.
    pub(super) fn hold(&mut self, bytes: &[u8]) -> usize {
        let room = if self.payload.is_switched() { MAX_HELD.saturating_sub(self.held.len()) } else { 0 };
        let taken = room.min(bytes.len());
        self.held.extend_from_slice(&bytes[..taken]);
        taken
    }

    pub(super) fn holds(&self) -> usize {
        self.held.len()
    }

    /// Appends to `out` what is held and may go now.
    pub(super) fn let_go(&mut self, out: &mut Vec<u8>) -> Flow {
        if self.held.is_empty() {
            return Flow::More;
        }
        let held = std::mem::take(&mut self.held);
        let (used, flow) = self.push(&held, out);
        self.held = held;
        self.held.advance(used);
        match flow {
            Flow::Wait(_) if self.held.is_empty() => Flow::More,
            flow => flow,
        }
    }

    /// Is what comes next no payload, though it might look like one?
    pub(super) fn is_between(&self) -> bool {
        self.payload.next() == Next::Frame
    }

    /// What may happen although no byte is there. [`Flow::Wait`] only where that is an end by time.
    pub(super) fn behind(&self) -> Flow {
        if self.payload.next() == Next::Head {
            return Flow::More;
        }
        let mut shaping = lock(&self.shaping);
        match shaping.step(&[]) {
            Move::End(how) => Flow::End(how),
            Move::Pass(_) | Move::Wait(_) => {
                shaping.deadline().map_or(Flow::More, |deadline| Flow::Wait(Some(deadline)))
            }
        }
    }

    /// The rules have changed, or the time has come.
    pub(super) fn look_again(&self) {
        lock(&self.shaping).release();
    }
}

/// As much as pingora writes at once.
const MAX_HELD: usize = 64 * 1024;
