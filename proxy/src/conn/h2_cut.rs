//! Cuts single streams of an HTTP/2 connection on the wire (RFC 9113 sections 4.1, 6.1, 6.2, 6.4, 6.10).
//!
//! The h2 crate drops what is queued when a stream is reset, so a reset "after n bytes" asked of it arrives
//! early or not at all under load. Here the frames pass in the order they reach the wire: the frame that
//! holds the n-th byte is shortened, RST_STREAM follows it, and later frames of that stream are swallowed.
//! Neighbours on the connection are untouched.
//!
//! What is swallowed must be nothing that the rest of the connection depends on: whoever writes the stream sees to it
//! that no byte beyond the n-th is written (it would be lost to the connection's window), and no trailer (it would be
//! lost to its header table). An empty frame behind the n-th byte makes a cut that was decided after it.

use std::collections::{HashMap, VecDeque};

use super::ctl::ConnCtl;
use super::cut::Cut;

/// The frame layer of one connection's write side.
#[derive(Debug, Default)]
pub(super) struct H2Cut {
    state: State,
    block: Option<Block>,
    cuts: HashMap<u32, Armed>,
    /// Streams that were reset here, the newest last; of older ones nothing can follow.
    dead: VecDeque<u32>,
    /// A cut that takes the connection with it has been made.
    fatal: bool,
}

/// A cut whose stream has begun.
#[derive(Debug)]
struct Armed {
    cut: Cut,
    /// Bytes of its DATA frames so far.
    passed: u64,
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
    /// In an answer's header that is held back: bytes of this frame that are still to come.
    Held(usize),
}

/// An answer's header, held back until it is whole, since it may bear a tag.
#[derive(Debug, Default)]
struct Block {
    stream: u32,
    flags: u8,
    bytes: Vec<u8>,
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
        while !rest.is_empty() && !self.fatal {
            let used = self.step(rest, ctl, out);
            rest = &rest[used..];
        }
    }

    /// Nothing goes out any more: the connection is to be reset.
    pub(super) fn is_fatal(&self) -> bool {
        self.fatal
    }

    /// Consumes a prefix of `bytes`.
    fn step(&mut self, bytes: &[u8], ctl: &ConnCtl, out: &mut Vec<u8>) -> usize {
        match &mut self.state {
            State::Header if bytes.len() >= FRAME_HEADER => {
                self.begin(&Frame::parse(&bytes[..FRAME_HEADER]), ctl, out);
                FRAME_HEADER
            }
            State::Header => {
                self.state = State::HeaderPart(bytes.to_vec());
                bytes.len()
            }
            State::HeaderPart(part) => {
                let taken = (FRAME_HEADER - part.len()).min(bytes.len());
                part.extend_from_slice(&bytes[..taken]);
                if part.len() == FRAME_HEADER {
                    let frame = Frame::parse(part);
                    self.begin(&frame, ctl, out);
                }
                taken
            }
            State::Payload { pass, skip, .. } => {
                let passed = (*pass).min(bytes.len());
                out.extend_from_slice(&bytes[..passed]);
                *pass -= passed;
                let skipped = (*skip).min(bytes.len() - passed);
                *skip -= skipped;
                self.end_if_over(out);
                passed + skipped
            }
            State::Held(left) => {
                let taken = (*left).min(bytes.len());
                *left -= taken;
                if let Some(block) = &mut self.block {
                    block.bytes.extend_from_slice(&bytes[..taken]);
                }
                self.end_if_held(ctl, out);
                taken
            }
        }
    }

    fn begin(&mut self, frame: &Frame, ctl: &ConnCtl, out: &mut Vec<u8>) {
        if self.dead.contains(&frame.stream) {
            self.state = State::Payload { pass: 0, skip: frame.len, reset: None };
            return self.end_if_over(out);
        }
        match (frame.kind, &mut self.block) {
            (HEADERS, None) if ctl.is_armed() => {
                self.block = Some(Block { stream: frame.stream, flags: frame.flags, bytes: Vec::new() });
            }
            (CONTINUATION, Some(block)) => block.flags |= frame.flags & END_HEADERS,
            _ => return self.pass(frame, out),
        }
        self.state = State::Held(frame.len);
        self.end_if_held(ctl, out);
    }

    /// A frame of the held header is over; the last one lets it go, without its tag.
    fn end_if_held(&mut self, ctl: &ConnCtl, out: &mut Vec<u8>) {
        let State::Held(0) = self.state else { return };
        self.state = State::Header;
        let Some(mut block) = self.block.take_if(|block| block.flags & END_HEADERS != 0) else { return };
        match ctl.take_tagged(&mut block.bytes) {
            Some(cut) if cut.left(0) == 0 => {
                block.flags &= !END_STREAM;
                block.write(out);
                self.reset(block.stream, &cut, out);
            }
            cut => {
                block.write(out);
                if let Some(cut) = cut.filter(|_| block.flags & END_STREAM == 0) {
                    self.cuts.insert(block.stream, Armed { cut, passed: 0 });
                }
            }
        }
    }

    fn pass(&mut self, frame: &Frame, out: &mut Vec<u8>) {
        let cut = self.cuts.get_mut(&frame.stream);
        let (pass, reset) = match (frame.kind, cut) {
            (DATA, Some(Armed { cut, passed })) => {
                let pass = usize::try_from(cut.left(*passed)).unwrap_or(frame.len).min(frame.len);
                *passed += pass as u64;
                (pass, cut.left(*passed) == 0)
            }
            _ => (frame.len, false),
        };
        let ends =
            frame.kind == RST_STREAM || matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0;
        if ends && !reset {
            self.cuts.remove(&frame.stream); // the body ended before the asked byte
        }
        // a stream that is about to be reset must not look complete
        let flags = if reset { frame.flags & !END_STREAM } else { frame.flags };
        Frame { len: pass, flags, ..*frame }.write(out);
        self.state = State::Payload { pass, skip: frame.len - pass, reset: reset.then_some(frame.stream) };
        self.end_if_over(out);
    }

    fn end_if_over(&mut self, out: &mut Vec<u8>) {
        let State::Payload { pass: 0, skip: 0, reset } = self.state else { return };
        if let Some((stream, cut)) = reset.and_then(|stream| Some((stream, self.cuts.remove(&stream)?.cut))) {
            self.reset(stream, &cut, out);
        }
        self.state = State::Header;
    }

    fn reset(&mut self, stream: u32, cut: &Cut, out: &mut Vec<u8>) {
        cut.mark_made();
        if cut.takes_connection() {
            self.fatal = true;
            return;
        }
        Frame { len: 4, kind: RST_STREAM, flags: 0, stream }.write(out);
        out.extend_from_slice(&cut.code().to_be_bytes());
        if self.dead.len() == MAX_DEAD {
            self.dead.pop_front();
        }
        self.dead.push_back(stream);
    }
}

impl Block {
    /// As frames of the size that every peer takes.
    fn write(&self, out: &mut Vec<u8>) {
        let mut pieces = self.bytes.chunks(FRAME_SIZE).peekable();
        let mut kind = HEADERS;
        let mut flags = self.flags & !END_HEADERS;
        loop {
            let piece = pieces.next().unwrap_or_default();
            let last = pieces.peek().is_none();
            let end = if last { END_HEADERS } else { 0 };
            Frame { len: piece.len(), kind, flags: flags | end, stream: self.stream }.write(out);
            out.extend_from_slice(piece);
            if last {
                return;
            }
            (kind, flags) = (CONTINUATION, 0);
        }
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
/// RFC 9113 section 4.2: larger frames need the peer's leave.
const FRAME_SIZE: usize = 16_384;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const CONTINUATION: u8 = 0x9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// Streams remembered as reset: twice as many as a client may have open.
const MAX_DEAD: usize = 512;

#[cfg(test)]
mod tests {
    use super::super::h2_tag::Tag;
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Frame { len: payload.len(), kind, flags, stream }.write(&mut out);
        out.extend_from_slice(payload);
        out
    }

    fn reset(stream: u32) -> Vec<u8> {
        frame(RST_STREAM, 0, stream, &CODE.to_be_bytes())
    }

    const CODE: u32 = 0xb;

    fn cut_after(bytes: u64) -> Cut {
        let cut = Cut::default();
        cut.cut_after(bytes, CODE, false);
        cut
    }

    const TAG: u32 = 7;

    /// An answer's header with the tag of the cut, as the h2 crate would write it, in frames of that size.
    fn tagged(flags: u8, size: usize) -> Vec<u8> {
        let mut block = b"hpack".to_vec();
        block.extend(Tag::new(TAG).encoded());
        block.extend(b"more");
        let pieces: Vec<_> = block.chunks(size).collect();
        let mut frames = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            let end = if at + 1 == pieces.len() { END_HEADERS } else { 0 };
            let (kind, flags) = if at == 0 { (HEADERS, flags) } else { (CONTINUATION, 0) };
            frames.extend(frame(kind, flags | end, 3, piece));
        }
        frames
    }

    fn plain(flags: u8) -> Vec<u8> {
        frame(HEADERS, flags | END_HEADERS, 3, b"hpackmore")
    }

    fn check(after: u64, wire: &[Vec<u8>], expect: &[Vec<u8>], made: bool) {
        let wire = wire.concat();
        for piece in [1, 2, 5, 9, 10, wire.len()] {
            let ctl = ConnCtl::new(1, 0, ([127, 0, 0, 1], 1).into());
            let cut = cut_after(after);
            ctl.arm(Tag::new(1), cut_after(0)); // of an answer that never comes
            ctl.arm(Tag::new(TAG), cut.clone());
            let mut tap = H2Cut::default();
            let mut out = Vec::new();
            for bytes in wire.chunks(piece) {
                tap.push(bytes, &ctl, &mut out);
            }
            assert_eq!(out, expect.concat(), "in pieces of {piece}");
            assert_eq!(cut.was_made(), made);
        }
    }

    #[test]
    fn shortens_the_frame_and_resets_only_that_stream() {
        let neighbour =
            [frame(HEADERS, END_HEADERS, 5, b"near"), frame(DATA, END_STREAM, 5, b"neighbour")].concat();
        let late = frame(RST_STREAM, 0, 3, &8u32.to_be_bytes());
        for size in [1, 5, 9, 1000] {
            check(
                7,
                &[
                    neighbour.clone(),
                    tagged(0, size),
                    frame(DATA, 0, 3, b"12345"),
                    frame(DATA, END_STREAM, 3, b"67890"),
                    neighbour.clone(),
                    late.clone(),
                ],
                &[
                    neighbour.clone(),
                    plain(0),
                    frame(DATA, 0, 3, b"12345"),
                    frame(DATA, 0, 3, b"67"),
                    reset(3),
                    neighbour.clone(),
                ],
                true,
            );
        }
    }

    #[test]
    fn after_headers_means_no_data_and_no_end_of_stream() {
        check(0, &[tagged(END_STREAM, 1000), frame(DATA, END_STREAM, 3, b"x")], &[plain(0), reset(3)], true);
        check(0, &[tagged(0, 4), frame(DATA, END_STREAM, 3, b"")], &[plain(0), reset(3)], true);
    }

    #[test]
    fn a_body_that_ends_before_is_left_alone() {
        let data = frame(DATA, END_STREAM, 3, b"1234");
        check(5, &[tagged(0, 1000), data.clone()], &[plain(0), data], false);
        check(5, &[tagged(END_STREAM, 1000)], &[plain(END_STREAM)], false);
    }

    #[test]
    fn a_cut_that_is_decided_late_is_made_by_the_next_frame() {
        let ctl = ConnCtl::new(1, 0, ([127, 0, 0, 1], 1).into());
        for connection in [false, true] {
            let cut = Cut::default();
            ctl.arm(Tag::new(TAG), cut.clone());
            let (mut tap, mut out) = (H2Cut::default(), Vec::new());
            tap.push(&[tagged(0, 1000), frame(DATA, 0, 3, b"12345")].concat(), &ctl, &mut out);
            cut.cut_after(5, CODE, connection);
            tap.push(&[frame(DATA, 0, 3, b""), frame(DATA, 0, 5, b"neighbour")].concat(), &ctl, &mut out);
            let before = [plain(0), frame(DATA, 0, 3, b"12345"), frame(DATA, 0, 3, b"")].concat();
            let behind = [reset(3), frame(DATA, 0, 5, b"neighbour")].concat();
            assert_eq!(out, [before, if connection { Vec::new() } else { behind }].concat());
            assert_eq!((tap.is_fatal(), cut.was_made()), (connection, true));
        }
    }
}
