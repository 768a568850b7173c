//! Bodies of requests: what fits the windows is written at once, the rest waits and takes turns.

use std::collections::VecDeque;

use super::frame::{self, HEAD_BYTES, Head};
use super::streams::{ANSWER_ENDED, IN_LINE, REQUEST_ENDED, REQUEST_GIVEN};
use super::{Connection, Piece};
use crate::limits;

impl Connection {
    /// Sends a piece of a request's body. What does not fit the peer's windows, or finds too much in `out`, waits
    /// here and goes on when the peer allows it ([`Connection::feed`]) or there is room ([`Connection::resume`]).
    ///
    /// A stream that is over (the peer may have reset it) or whose request was ended takes nothing more.
    pub(crate) fn send(&mut self, out: &mut Vec<u8>, stream: u32, mut piece: Piece) {
        let Some(record) = self.streams.get_mut(stream).filter(|record| !record.has(REQUEST_GIVEN)) else {
            return;
        };
        if piece.end {
            record.flags |= REQUEST_GIVEN;
        }
        if let Some(waiting) = self.uploads.get_mut(&stream) {
            match waiting.back_mut().filter(|_| piece.is_empty()) {
                Some(last) => last.end |= piece.end,
                None => waiting.push_back(piece),
            }
            return;
        }
        if piece.is_empty() {
            if piece.end {
                Head { length: 0, kind: frame::DATA, flags: frame::END_STREAM, stream }.write(out);
                self.end_request(stream);
            }
            return;
        }
        while self.write(out, stream, &mut piece) {}
        if piece.is_empty() {
            if piece.end {
                self.end_request(stream);
            }
            return;
        }
        self.uploads.insert(stream, VecDeque::from([piece]));
        self.line_up(stream);
    }

    /// Bytes of a request that wait. 0: it is written as far as it was given.
    #[cfg(test)]
    pub(crate) fn pending(&self, stream: u32) -> u64 {
        self.uploads.get(&stream).map_or(0, |pieces| pieces.iter().map(Piece::len).sum())
    }

    /// Whether some of a request waits.
    pub(crate) fn is_blocked(&self, stream: u32) -> bool {
        self.uploads.contains_key(&stream)
    }

    /// Whether [`Connection::resume`] would write something, given room in `out`.
    pub(crate) fn wants_room(&self) -> bool {
        self.send_window > 0 && !self.line.is_empty()
    }

    /// Goes on with bodies that wait, a frame each in turn, as long as there is room in `out`.
    pub(crate) fn resume(&mut self, out: &mut Vec<u8>) {
        while self.wants_room() && out.len() < limits::H2_OUT_BYTES {
            let Some(stream) = self.line.pop_front() else { return };
            if let Some(record) = self.streams.get_mut(stream) {
                record.flags &= !IN_LINE;
            }
            self.write_next(out, stream);
            self.line_up(stream);
        }
    }

    /// Puts a stream in line if some of its body waits and its window is open.
    pub(super) fn line_up(&mut self, stream: u32) {
        if self.uploads.is_empty() || !self.uploads.contains_key(&stream) {
            return;
        }
        let Some(record) = self.streams.get_mut(stream) else { return };
        if record.send_window > 0 && !record.has(IN_LINE) {
            record.flags |= IN_LINE;
            self.line.push_back(stream);
        }
    }

    fn write_next(&mut self, out: &mut Vec<u8>, stream: u32) {
        let Some(mut pieces) = self.uploads.remove(&stream) else { return };
        let Some(piece) = pieces.front_mut() else { return };
        self.write(out, stream, piece);
        let (is_written, ends) = (piece.is_empty(), piece.end);
        if is_written {
            pieces.pop_front();
        }
        if !pieces.is_empty() {
            self.uploads.insert(stream, pieces);
        } else if is_written && ends {
            self.end_request(stream);
        }
    }

    /// Writes one frame, as large as windows and room allow. False: nothing could be written, or all is.
    fn write(&mut self, out: &mut Vec<u8>, stream: u32, piece: &mut Piece) -> bool {
        let Some(record) = self.streams.get_mut(stream) else { return false };
        let window = record.send_window.min(self.send_window).max(0) as usize;
        let room = limits::H2_OUT_BYTES.saturating_sub(out.len());
        let most = window.min(self.peer.frame_bytes).min(room);
        let length = most.min(usize::try_from(piece.len()).unwrap_or(usize::MAX));
        if length == 0 {
            return false;
        }
        record.send_window -= length as i32;
        self.send_window -= length as i32;
        let is_last = piece.end && length as u64 == piece.len();
        let flags = if is_last { frame::END_STREAM } else { 0 };
        out.reserve(HEAD_BYTES + length);
        Head { length, kind: frame::DATA, flags, stream }.write(out);
        piece.take(length, out);
        true
    }

    fn end_request(&mut self, stream: u32) {
        let Some(record) = self.streams.get_mut(stream) else { return };
        record.flags |= REQUEST_ENDED;
        if record.has(ANSWER_ENDED) {
            self.forget(stream);
        }
    }
}

impl Piece {
    fn len(&self) -> u64 {
        (self.bytes.len() as u64).saturating_add(self.filler)
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Moves the next bytes to `out`; `length` is at most [`Piece::len`].
    fn take(&mut self, length: usize, out: &mut Vec<u8>) {
        let here = length.min(self.bytes.len());
        out.extend_from_slice(&self.bytes[..here]);
        bytes::Buf::advance(&mut self.bytes, here);
        let spaces = length - here;
        out.resize(out.len() + spaces, b' ');
        self.filler -= spaces as u64;
    }
}
