//! Windows of flow control, in both directions.

use super::answers::Offence;
use super::control::WRONG_LENGTH;
use super::feed::{Turn, protocol};
use super::frame::{self, Head};
use super::{Connection, Error, FLOW_CONTROL_ERROR, PROTOCOL_ERROR};
use crate::limits;

impl Connection {
    pub(super) fn window_update(
        &mut self,
        head: Head,
        payload: &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<(), Error> {
        let increment = frame::number(payload).filter(|_| head.length == 4).ok_or(WRONG_LENGTH)?;
        let increment = increment & frame::WINDOW_MAX;
        if head.stream != 0 {
            self.must_be_opened(head.stream)?;
            self.widen_stream(head.stream, increment, turn);
        } else {
            if increment == 0 {
                return Err(protocol("WINDOW_UPDATE by nothing"));
            }
            self.send_window = widened(self.send_window, increment)
                .ok_or(Error { code: FLOW_CONTROL_ERROR, why: "a window above 2^31 - 1" })?;
        }
        self.resume(turn.out);
        Ok(())
    }

    /// The peer changed the window that streams begin with, which changes the open ones as well.
    pub(super) fn change_windows(&mut self, window: u32) -> Result<(), Error> {
        let change = i64::from(window) - i64::from(self.peer.window);
        if change == 0 {
            return Ok(());
        }
        self.peer.window = window;
        for stream in self.streams.iter_mut() {
            stream.send_window = i32::try_from(i64::from(stream.send_window) + change)
                .map_err(|_| Error { code: FLOW_CONTROL_ERROR, why: "a window above 2^31 - 1" })?;
        }
        let waiting: Vec<u32> = self.uploads.keys().copied().collect();
        for stream in waiting {
            self.line_up(stream);
        }
        Ok(())
    }

    /// Counts DATA for the connection's window and gives it back once half of it is used.
    pub(super) fn count_on_connection(&mut self, length: u32, out: &mut Vec<u8>) -> Result<(), Error> {
        self.received += length;
        if self.received > limits::H2_CONNECTION_WINDOW {
            return Err(Error {
                code: FLOW_CONTROL_ERROR,
                why: "more DATA than the connection's window allows",
            });
        }
        if self.received >= limits::H2_CONNECTION_WINDOW / 2 {
            frame::window_update(out, 0, self.received);
            self.received = 0;
        }
        Ok(())
    }

    /// What the peer may have sent ahead on one stream. Until it confirms our SETTINGS, the default holds as well.
    pub(super) fn allowed_window(&self) -> u32 {
        if self.peer.has_settled {
            self.config.window
        } else {
            self.config.window.max(frame::WINDOW_AT_FIRST)
        }
    }

    /// Gives a stream's window back once half of it is used.
    pub(super) fn give_back(&mut self, stream: u32, out: &mut Vec<u8>) {
        let half = self.config.window.div_ceil(2);
        let Some(record) = self.streams.get_mut(stream) else { return };
        if record.received >= half {
            frame::window_update(out, stream, record.received);
            record.received = 0;
        }
    }

    fn widen_stream(&mut self, stream: u32, increment: u32, turn: &mut Turn<'_>) {
        let Some(record) = self.streams.get_mut(stream) else { return }; // it is over: late, but no offence
        if increment == 0 {
            self.offend(stream, Offence { code: PROTOCOL_ERROR, why: "WINDOW_UPDATE by nothing" }, turn);
            return;
        }
        match widened(record.send_window, increment) {
            Some(window) => {
                record.send_window = window;
                self.line_up(stream);
            }
            None => {
                self.offend(
                    stream,
                    Offence { code: FLOW_CONTROL_ERROR, why: "a window above 2^31 - 1" },
                    turn,
                );
            }
        }
    }
}

fn widened(window: i32, increment: u32) -> Option<i32> {
    i32::try_from(i64::from(window) + i64::from(increment)).ok()
}
