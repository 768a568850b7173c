//! Frames about streams and the connection as such: RST_STREAM, SETTINGS, PING, GOAWAY, PRIORITY.

use super::feed::{Turn, protocol};
use super::frame::{self, Head};
use super::streams::ANSWER_ENDED;
use super::{Connection, ENHANCE_YOUR_CALM, Error, Event, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR};
use super::{REFUSED_STREAM, Why};
use crate::limits;

impl Connection {
    pub(super) fn priority(&mut self, head: Head) -> Result<(), Error> {
        if head.stream == 0 {
            return Err(protocol("PRIORITY for no stream"));
        }
        if head.length != 5 {
            return Err(WRONG_LENGTH);
        }
        self.idle_frame()
    }

    pub(super) fn peer_reset(
        &mut self,
        head: Head,
        payload: &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<(), Error> {
        self.must_be_opened(head.stream)?;
        let code = frame::number(payload).filter(|_| head.length == 4).ok_or(WRONG_LENGTH)?;
        match self.forget(head.stream) {
            // An answer that was complete stays so: the peer only wants no more of the request.
            Some(gone) if gone.has(ANSWER_ENDED) => Ok(()),
            Some(gone) => {
                (turn.on)(Event::Reset { tag: gone.tag, code, why: Why::Peer });
                Ok(())
            }
            None => Ok(()), // late, but no offence
        }
    }

    pub(super) fn settings(&mut self, head: Head, payload: &[u8], turn: &mut Turn<'_>) -> Result<(), Error> {
        if head.stream != 0 {
            return Err(protocol("SETTINGS for a stream"));
        }
        if head.has(frame::ACK) {
            self.peer.has_settled = true;
            return if payload.is_empty() { self.idle_frame() } else { Err(WRONG_LENGTH) };
        }
        if !payload.len().is_multiple_of(frame::SETTING_BYTES) {
            return Err(WRONG_LENGTH);
        }
        if !self.peer.is_known {
            self.peer.is_known = true;
            self.peer.max_streams = u32::MAX; // what holds unless the peer says otherwise
        }
        let mut window = self.peer.window;
        for setting in payload.as_chunks::<{ frame::SETTING_BYTES }>().0 {
            let [a, b, value @ ..] = *setting;
            match (u16::from_be_bytes([a, b]), u32::from_be_bytes(value)) {
                (frame::INITIAL_WINDOW_SIZE, value) if value <= frame::WINDOW_MAX => window = value,
                (id, value) => self.setting(id, value)?,
            }
        }
        self.change_windows(window)?; // once, however often it is in there
        self.count_answer()?;
        frame::settings_ack(turn.out);
        (turn.on)(Event::Settled);
        self.resume(turn.out);
        Ok(())
    }

    pub(super) fn ping(&mut self, head: Head, payload: &[u8], turn: &mut Turn<'_>) -> Result<(), Error> {
        if head.stream != 0 {
            return Err(protocol("PING for a stream"));
        }
        if head.length != 8 {
            return Err(WRONG_LENGTH);
        }
        if head.has(frame::ACK) {
            return self.idle_frame();
        }
        self.count_answer()?;
        frame::ping_ack(turn.out, payload);
        Ok(())
    }

    pub(super) fn go_away(&mut self, head: Head, payload: &[u8], turn: &mut Turn<'_>) -> Result<(), Error> {
        if head.stream != 0 {
            return Err(protocol("GOAWAY for a stream"));
        }
        let (Some(last), Some(code)) = (frame::number(payload), payload.get(4..).and_then(frame::number))
        else {
            return Err(WRONG_LENGTH);
        };
        self.idle_frame()?;
        let told = last & frame::STREAM_MAX;
        let last_stream = self.peer.last_stream.map_or(told, |before| before.min(told));
        self.peer.last_stream = Some(last_stream);
        (turn.on)(Event::GoAway { last_stream, code });
        let mut refused: Vec<u32> =
            self.streams.iter().map(|stream| stream.id).filter(|id| *id > last_stream).collect();
        refused.sort_unstable();
        for id in &refused {
            let Some(gone) = self.forget(*id) else { continue };
            if !gone.has(ANSWER_ENDED) {
                (turn.on)(Event::Reset { tag: gone.tag, code: REFUSED_STREAM, why: Why::Peer });
            }
        }
        if let Some(highest) = refused.last() {
            self.forgiven_to = self.forgiven_to.max(*highest); // the peer may have begun with some of them
        }
        Ok(())
    }

    fn setting(&mut self, id: u16, value: u32) -> Result<(), Error> {
        match id {
            frame::ENABLE_PUSH if value != 0 => Err(protocol("a server cannot switch push on")),
            frame::MAX_CONCURRENT_STREAMS => {
                self.peer.max_streams = value;
                Ok(())
            }
            frame::INITIAL_WINDOW_SIZE => {
                Err(Error { code: FLOW_CONTROL_ERROR, why: "SETTINGS with a window above 2^31 - 1" })
            }
            frame::MAX_FRAME_SIZE => {
                if !(frame::FRAME_BYTES..1 << 24).contains(&(value as usize)) {
                    return Err(protocol("SETTINGS with an impossible size of frames"));
                }
                self.peer.frame_bytes = (value as usize).min(limits::H2_FRAME_BYTES);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Counts an answer that we owe; a peer that asks without reading would make them pile up.
    fn count_answer(&mut self) -> Result<(), Error> {
        self.unread_answers += 1;
        if self.unread_answers > limits::H2_UNREAD_ANSWERS {
            return Err(Error { code: ENHANCE_YOUR_CALM, why: "a flood of PING or SETTINGS" });
        }
        Ok(())
    }
}

pub(super) const WRONG_LENGTH: Error =
    Error { code: FRAME_SIZE_ERROR, why: "a frame whose length cannot be right" };
