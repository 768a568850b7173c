//! From bytes to frames. DATA is handed on in the pieces in which it comes; other frames are read where they lie,
//! and kept only when they come in pieces.

use super::answers::Payload;
use super::frame::{self, HEAD_BYTES, Head};
use super::{Connection, ENHANCE_YOUR_CALM, Error, Event, FRAME_SIZE_ERROR, PROTOCOL_ERROR};
use crate::limits;

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// The head of a frame, or what is missing of the one in `partial`.
    Frame,
    /// The byte that says how much of a DATA frame is padding; so much of the frame is left with it.
    PadLength(Payload),
    Payload(Payload),
    /// So many bytes of no interest.
    Skip(usize),
}

/// Where the results of one call go.
pub(super) struct Turn<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) on: &'a mut dyn FnMut(Event<'_>),
}

impl Connection {
    /// Takes in what the peer sent, however it is cut. Events go to `on`; answers of the protocol (SETTINGS, PING,
    /// windows) and bodies that may go on are appended to `out`.
    ///
    /// # Errors
    /// The peer broke the protocol: the connection is over, and GOAWAY is in `out`. Every later call says the same.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        on: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if out.is_empty() {
            self.unread_answers = 0; // all that was written before has gone
        }
        let taken = self.take(bytes, &mut Turn { out, on });
        if let Err(error) = taken {
            self.failed = Some(error);
            frame::go_away(out, error.code);
        }
        taken
    }

    fn take(&mut self, mut rest: &[u8], turn: &mut Turn<'_>) -> Result<(), Error> {
        while !rest.is_empty() {
            let used = match self.stage {
                Stage::Frame => self.frame(rest, turn)?,
                Stage::PadLength(payload) => self.pad_length(payload, rest[0], turn)?,
                Stage::Payload(payload) => self.payload(payload, rest, turn),
                Stage::Skip(left) => self.skip(left, rest.len()),
            };
            rest = &rest[used..];
        }
        Ok(())
    }

    fn skip(&mut self, left: usize, available: usize) -> usize {
        let used = left.min(available);
        self.stage = if used == left { Stage::Frame } else { Stage::Skip(left - used) };
        used
    }

    /// Takes a frame, or as much of it as there is. Returns how many bytes it took.
    fn frame(&mut self, rest: &[u8], turn: &mut Turn<'_>) -> Result<usize, Error> {
        let Some(head) = rest.first_chunk().filter(|_| self.partial.is_empty()) else {
            return self.gather(rest, turn);
        };
        let head = Head::read(head);
        if self.begin(head, turn)? {
            return Ok(HEAD_BYTES);
        }
        let whole = HEAD_BYTES + head.length;
        match rest.get(HEAD_BYTES..whole) {
            Some(payload) => self.dispatch(head, payload, turn)?,
            None => self.partial.extend_from_slice(rest),
        }
        Ok(whole.min(rest.len()))
    }

    /// Goes on with a frame that comes in pieces.
    fn gather(&mut self, rest: &[u8], turn: &mut Turn<'_>) -> Result<usize, Error> {
        let mut used = 0;
        if self.partial.len() < HEAD_BYTES {
            used = rest.len().min(HEAD_BYTES - self.partial.len());
            self.partial.extend_from_slice(&rest[..used]);
        }
        let Some(head) = self.partial.first_chunk().map(Head::read) else { return Ok(used) };
        if used != 0 && self.begin(head, turn)? {
            self.partial.clear();
            return Ok(used);
        }
        let missing = HEAD_BYTES + head.length - self.partial.len();
        let here = missing.min(rest.len() - used);
        self.partial.extend_from_slice(&rest[used..used + here]);
        if here == missing {
            let mut whole = std::mem::take(&mut self.partial);
            self.dispatch(head, &whole[HEAD_BYTES..], turn)?;
            if whole.capacity() <= KEPT_BYTES {
                whole.clear();
                self.partial = whole;
            }
        }
        Ok(used + here)
    }

    /// Looks at the head of a frame. True: the payload is not read as a whole, and the stage says how.
    fn begin(&mut self, head: Head, turn: &mut Turn<'_>) -> Result<bool, Error> {
        if head.length > frame::FRAME_BYTES {
            return Err(Error { code: FRAME_SIZE_ERROR, why: "a frame is longer than we allow" });
        }
        if !self.peer.is_known && (head.kind != frame::SETTINGS || head.has(frame::ACK)) {
            return Err(protocol("the first frame is not SETTINGS"));
        }
        let goes_on = self.block.as_ref().map(|block| block.stream);
        if (head.kind == frame::CONTINUATION || goes_on.is_some())
            && (head.kind != frame::CONTINUATION || goes_on != Some(head.stream))
        {
            return Err(protocol("CONTINUATION and other frames are mixed up"));
        }
        match head.kind {
            frame::DATA => self.data(head, turn)?,
            frame::CONTINUATION.. if head.kind != frame::CONTINUATION => {
                self.idle_frame()?;
                self.stage = if head.length == 0 { Stage::Frame } else { Stage::Skip(head.length) };
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn dispatch(&mut self, head: Head, payload: &[u8], turn: &mut Turn<'_>) -> Result<(), Error> {
        match head.kind {
            frame::HEADERS => self.headers(head, payload, turn),
            frame::CONTINUATION => self.continuation(head, payload, turn),
            frame::PRIORITY => self.priority(head),
            frame::RST_STREAM => self.peer_reset(head, payload, turn),
            frame::SETTINGS => self.settings(head, payload, turn),
            frame::PUSH_PROMISE => Err(protocol("PUSH_PROMISE, though push is off")),
            frame::PING => self.ping(head, payload, turn),
            frame::GO_AWAY => self.go_away(head, payload, turn),
            _ => self.window_update(head, payload, turn),
        }
    }

    /// Counts a frame that brings nothing, of which there may not be many in a row.
    pub(super) fn idle_frame(&mut self) -> Result<(), Error> {
        self.idle_frames += 1;
        if self.idle_frames > limits::H2_IDLE_FRAMES {
            return Err(Error { code: ENHANCE_YOUR_CALM, why: "a flood of frames that bring nothing" });
        }
        Ok(())
    }

    /// A stream that frames of a kind may not be about: none, or one that was never opened.
    pub(super) fn must_be_opened(&self, stream: u32) -> Result<(), Error> {
        if self.is_idle(stream) {
            return Err(protocol("a frame for a stream that was never opened"));
        }
        Ok(())
    }
}

pub(super) fn protocol(why: &'static str) -> Error {
    Error { code: PROTOCOL_ERROR, why }
}

/// A larger buffer is given back once its frame is read: most connections hold none.
const KEPT_BYTES: usize = 4096;
