//! Cuts single streams of an HTTP/2 connection on the wire (RFC 9113 sections 4.1, 6.1, 6.4).
//!
//! The h2 crate drops what is queued when a stream is reset, so a reset "after n bytes" asked of it arrives
//! early or not at all under load. Here the frames pass in the order they reach the wire: the frame that
//! holds the n-th byte is shortened, RST_STREAM follows it, and later frames of that stream are swallowed.
//! Neighbours on the connection are untouched.

use std::collections::{HashMap, HashSet};

use super::ctl::{ConnCtl, StreamKey};
use super::cut::Cut;

/// The frame layer of one connection's write side.
#[derive(Debug, Default)]
pub(super) struct H2Cut {
    state: State,
    cuts: HashMap<u32, Cut>,
    dead: HashSet<u32>,
}

#[derive(Debug, Default)]
enum State {
    /// Collecting the nine bytes of a frame header.
    #[default]
    Header,
    HeaderPart(Vec<u8>),
    /// In a frame's payload: bytes to let through, bytes to swallow behind them, and whom to reset at its end.
    Payload {
        pass: usize,
        skip: usize,
        reset: Option<u32>,
    },
}

struct Frame {
    len: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl H2Cut {
    /// Appends to `out` what of `bytes` may go out, with the asked cuts made.
    pub(super) fn push(&mut self, bytes: &[u8], ctl: &ConnCtl, out: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            match &mut self.state {
                State::Header if rest.len() >= FRAME_HEADER => {
                    let (header, tail) = rest.split_at(FRAME_HEADER);
                    rest = tail;
                    self.begin(header, ctl, out);
                }
                State::Header => self.state = State::HeaderPart(Vec::with_capacity(FRAME_HEADER)),
                State::HeaderPart(part) => {
                    let take = (FRAME_HEADER - part.len()).min(rest.len());
                    part.extend_from_slice(&rest[..take]);
                    rest = &rest[take..];
                    if part.len() == FRAME_HEADER {
                        let header = std::mem::take(part);
                        self.begin(&header, ctl, out);
                    }
                }
                State::Payload { pass, skip, .. } => {
                    let taken = (*pass).min(rest.len());
                    out.extend_from_slice(&rest[..taken]);
                    *pass -= taken;
                    rest = &rest[taken..];
                    let skipped = (*skip).min(rest.len());
                    *skip -= skipped;
                    rest = &rest[skipped..];
                    self.end_if_over(out);
                }
            }
        }
    }

    fn begin(&mut self, header: &[u8], ctl: &ConnCtl, out: &mut Vec<u8>) {
        let frame = Frame::parse(header);
        if self.dead.contains(&frame.stream) {
            self.state = State::Payload { pass: 0, skip: frame.len, reset: None };
        } else {
            self.pass(&frame, ctl, out);
        }
        self.end_if_over(out);
    }

    fn pass(&mut self, frame: &Frame, ctl: &ConnCtl, out: &mut Vec<u8>) {
        if frame.kind == HEADERS
            && ctl.is_armed()
            && let Some(cut) = ctl.take_cut(StreamKey::Http2(frame.stream))
        {
            self.cuts.entry(frame.stream).or_insert(cut);
        }
        let left = self.cuts.get(&frame.stream).map(|cut| cut.after);
        let (pass, reset) = match (frame.kind, left) {
            (DATA, Some(left)) if frame.len as u64 >= left => {
                (usize::try_from(left).unwrap_or(frame.len).min(frame.len), true)
            }
            (HEADERS | CONTINUATION, Some(0)) => (frame.len, frame.flags & END_HEADERS != 0),
            _ => (frame.len, false),
        };
        if let (DATA, Some(cut)) = (frame.kind, self.cuts.get_mut(&frame.stream)) {
            cut.after = cut.after.saturating_sub(pass as u64);
        }
        if frame.kind == DATA && !reset && frame.flags & END_STREAM != 0 {
            self.cuts.remove(&frame.stream); // the body ended before the asked byte
        }
        // a stream that is about to be reset must not look complete; neither may one cut in its header
        let flags = if reset || left == Some(0) { frame.flags & !END_STREAM } else { frame.flags };
        Frame { len: pass, flags, ..*frame }.write(out);
        self.state = State::Payload { pass, skip: frame.len - pass, reset: reset.then_some(frame.stream) };
    }

    fn end_if_over(&mut self, out: &mut Vec<u8>) {
        let State::Payload { pass: 0, skip: 0, reset } = self.state else { return };
        if let Some(stream) = reset {
            Frame { len: 4, kind: RST_STREAM, flags: 0, stream }.write(out);
            out.extend_from_slice(&RESET_CODE.to_be_bytes());
            self.dead.insert(stream);
            if let Some(cut) = self.cuts.remove(&stream) {
                cut.mark_hit();
            }
        }
        self.state = State::Header;
    }
}

impl Frame {
    fn parse(header: &[u8]) -> Frame {
        let word = |at: usize| u32::from(header[at]);
        Frame {
            len: (word(0) << 16 | word(1) << 8 | word(2)) as usize,
            kind: header[3],
            flags: header[4],
            stream: (word(5) << 24 | word(6) << 16 | word(7) << 8 | word(8)) & 0x7fff_ffff,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let len = u32::try_from(self.len).expect("a frame's length has 24 bits").to_be_bytes();
        out.extend_from_slice(&len[1..]);
        out.extend_from_slice(&[self.kind, self.flags]);
        out.extend_from_slice(&self.stream.to_be_bytes());
    }
}

const FRAME_HEADER: usize = 9;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const CONTINUATION: u8 = 0x9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// INTERNAL_ERROR (RFC 9113 section 7): what a server says whose handler died, the nearest to a TCP reset.
pub(crate) const RESET_CODE: u32 = 0x2;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Frame { len: payload.len(), kind, flags, stream }.write(&mut out);
        out.extend_from_slice(payload);
        out
    }

    fn reset(stream: u32) -> Vec<u8> {
        frame(RST_STREAM, 0, stream, &RESET_CODE.to_be_bytes())
    }

    fn check(after: u64, wire: &[Vec<u8>], expect: &[Vec<u8>], hit: bool) {
        let wire = wire.concat();
        for piece in [1, 2, 5, 9, 10, wire.len()] {
            let ctl = ConnCtl::new(1, 0, ([127, 0, 0, 1], 1).into());
            let cut = Cut::after(after);
            ctl.arm(StreamKey::Http2(3), cut.clone());
            let mut tap = H2Cut::default();
            let mut out = Vec::new();
            for bytes in wire.chunks(piece) {
                tap.push(bytes, &ctl, &mut out);
            }
            assert_eq!(out, expect.concat(), "in pieces of {piece}");
            assert_eq!(cut.was_hit(), hit);
            assert!(!ctl.is_armed(), "the cut is taken up with the stream's header");
        }
    }

    #[test]
    fn shortens_the_frame_and_resets_only_that_stream() {
        let head = frame(HEADERS, END_HEADERS, 3, b"hpack");
        let neighbour = frame(DATA, END_STREAM, 5, b"neighbour");
        let late = frame(RST_STREAM, 0, 3, &8u32.to_be_bytes());
        check(
            7,
            &[
                head.clone(),
                frame(DATA, 0, 3, b"12345"),
                frame(DATA, END_STREAM, 3, b"67890"),
                neighbour.clone(),
                late,
            ],
            &[head, frame(DATA, 0, 3, b"12345"), frame(DATA, 0, 3, b"67"), reset(3), neighbour],
            true,
        );
    }

    #[test]
    fn after_headers_means_no_data_and_no_end_of_stream() {
        check(
            0,
            &[frame(HEADERS, END_HEADERS | END_STREAM, 3, b"hpack"), frame(DATA, END_STREAM, 3, b"x")],
            &[frame(HEADERS, END_HEADERS, 3, b"hpack"), reset(3)],
            true,
        );
        check(
            0,
            &[frame(HEADERS, 0, 3, b"hp"), frame(CONTINUATION, END_HEADERS, 3, b"ack")],
            &[frame(HEADERS, 0, 3, b"hp"), frame(CONTINUATION, END_HEADERS, 3, b"ack"), reset(3)],
            true,
        );
    }

    #[test]
    fn a_body_that_ends_before_is_left_alone() {
        let wire = [frame(HEADERS, END_HEADERS, 3, b"hpack"), frame(DATA, END_STREAM, 3, b"1234")];
        check(5, &wire, &wire, false);
    }
}
