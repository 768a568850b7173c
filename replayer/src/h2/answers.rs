//! DATA: the bodies of answers.

use super::feed::{Stage, Turn, protocol};
use super::frame::{self, Head};
use super::streams::{ANSWER_ENDED, ANSWERED, HAS_BODY, REQUEST_ENDED, UNKNOWN};
use super::{Connection, Error, Event, FLOW_CONTROL_ERROR, PROTOCOL_ERROR, STREAM_CLOSED, Why};

/// What is left of a DATA frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payload {
    stream: u32,
    /// Bytes of the body, or all that is left as long as the length of the padding is not known.
    left: u32,
    padding: u8,
    /// The frame ends the answer.
    end: bool,
}

/// An answer that breaks the protocol, by which only its stream is lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offence {
    pub(super) code: u32,
    pub(super) why: &'static str,
}

impl Connection {
    /// The head of a DATA frame. The whole frame counts for the windows at once.
    pub(super) fn data(&mut self, head: Head, turn: &mut Turn<'_>) -> Result<(), Error> {
        self.must_be_opened(head.stream)?;
        let length = head.length as u32;
        if head.has(frame::PADDED) && length == 0 {
            return Err(Error {
                code: super::FRAME_SIZE_ERROR,
                why: "padded DATA without the length of the padding",
            });
        }
        self.count_on_connection(length, turn.out)?;
        let end = head.has(frame::END_STREAM);
        if length == 0 && !end {
            self.idle_frame()?;
        }
        self.stage = if length == 0 { Stage::Frame } else { Stage::Skip(head.length) };
        if self.is_stray(head.stream)? {
            return Ok(());
        }
        if let Err(offence) = self.admit(head.stream, length, end, turn.out) {
            self.offend(head.stream, offence, turn);
            return Ok(());
        }
        let payload = Payload { stream: head.stream, left: length, padding: 0, end };
        if head.has(frame::PADDED) {
            self.stage = Stage::PadLength(payload);
        } else {
            self.begin_payload(payload, turn);
        }
        Ok(())
    }

    /// The first byte of a padded DATA frame.
    pub(super) fn pad_length(
        &mut self,
        payload: Payload,
        padding: u8,
        turn: &mut Turn<'_>,
    ) -> Result<usize, Error> {
        let Some(left) = (payload.left - 1).checked_sub(u32::from(padding)) else {
            return Err(protocol("more padding than frame"));
        };
        self.begin_payload(Payload { left, padding, ..payload }, turn);
        Ok(1)
    }

    /// A piece of the body. Returns how many of the bytes belong to it.
    pub(super) fn payload(&mut self, payload: Payload, rest: &[u8], turn: &mut Turn<'_>) -> usize {
        let bytes = &rest[..rest.len().min(payload.left as usize)];
        let left = payload.left - bytes.len() as u32;
        let after =
            if payload.padding == 0 { Stage::Frame } else { Stage::Skip(usize::from(payload.padding)) };
        self.stage = if left == 0 { after } else { Stage::Payload(Payload { left, ..payload }) };
        self.deliver(payload.stream, bytes, payload.end && left == 0, turn);
        bytes.len()
    }

    /// Whether frames for a stream are dropped because it is over. It must be for a reason of ours: a peer that ended
    /// it may not go on with it.
    pub(super) fn is_stray(&self, stream: u32) -> Result<bool, Error> {
        if self.streams.get(stream).is_some() {
            return Ok(false);
        }
        if !self.is_forgiven(stream) {
            return Err(Error {
                code: STREAM_CLOSED,
                why: "the peer goes on with a stream that it had ended",
            });
        }
        Ok(true)
    }

    /// Resets a stream whose answer breaks the protocol, and says so unless the answer was complete.
    pub(super) fn offend(&mut self, stream: u32, offence: Offence, turn: &mut Turn<'_>) {
        let Some(gone) = self.forget(stream) else { return };
        frame::rst_stream(turn.out, stream, offence.code);
        self.forgive(stream);
        if !gone.has(ANSWER_ENDED) {
            let why = Why::Malformed(offence.why);
            (turn.on)(Event::Reset { tag: gone.tag, code: offence.code, why });
        }
    }

    /// The peer has ended its side of a stream.
    pub(super) fn end_answer(&mut self, stream: u32) {
        let Some(record) = self.streams.get_mut(stream) else { return };
        record.flags |= ANSWER_ENDED;
        if record.has(REQUEST_ENDED) {
            self.forget(stream);
        }
    }

    fn admit(&mut self, stream: u32, length: u32, end: bool, out: &mut Vec<u8>) -> Result<(), Offence> {
        let allowed = self.allowed_window();
        let Some(record) = self.streams.get_mut(stream) else { return Ok(()) };
        if record.has(ANSWER_ENDED) {
            return Err(Offence { code: STREAM_CLOSED, why: "DATA after the end of the answer" });
        }
        if !record.has(ANSWERED) {
            return Err(Offence { code: PROTOCOL_ERROR, why: "DATA before the head of the answer" });
        }
        record.received = record.received.saturating_add(length);
        if record.received > allowed {
            return Err(Offence { code: FLOW_CONTROL_ERROR, why: "more DATA than the window allows" });
        }
        if length != 0 {
            self.idle_frames = 0;
        }
        if !end {
            self.give_back(stream, out);
        }
        Ok(())
    }

    /// The body's part of a DATA frame is known.
    fn begin_payload(&mut self, payload: Payload, turn: &mut Turn<'_>) {
        let declared = self.streams.get(payload.stream).map_or(UNKNOWN, |record| record.body_left);
        if declared != UNKNOWN && payload.left > declared {
            self.stage = match payload.left as usize + usize::from(payload.padding) {
                0 => Stage::Frame,
                left => Stage::Skip(left),
            };
            self.offend(payload.stream, TOO_LONG, turn);
            return;
        }
        if payload.left != 0 {
            self.stage = Stage::Payload(payload);
            return;
        }
        self.payload(payload, &[], turn);
    }

    fn deliver(&mut self, stream: u32, bytes: &[u8], end: bool, turn: &mut Turn<'_>) {
        let Some(record) = self.streams.get_mut(stream) else { return }; // the caller has reset it meanwhile
        let tag = record.tag;
        if !bytes.is_empty() {
            record.flags |= HAS_BODY;
        }
        if record.body_left != UNKNOWN {
            record.body_left -= bytes.len() as u32;
        }
        let is_cut = end && record.is_cut();
        let end = end && !is_cut;
        if end || !bytes.is_empty() {
            (turn.on)(Event::Data { tag, bytes, end });
        }
        if is_cut {
            self.offend(stream, TOO_SHORT, turn);
        } else if end {
            self.end_answer(stream);
        }
    }
}

pub(super) const TOO_SHORT: Offence =
    Offence { code: PROTOCOL_ERROR, why: "the body is shorter than its Content-Length" };
const TOO_LONG: Offence = Offence { code: PROTOCOL_ERROR, why: "the body is longer than its Content-Length" };
