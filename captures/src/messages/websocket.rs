//! Messages in one direction of a WebSocket (RFC 6455, section 5), behind the handshake.

use super::collector::Collector;
use super::{MessageKind, Scanned};

/// Finds where messages end; unmasks and keeps their bytes when asked to. A message in fragments is one message, and
/// control frames may stand between its fragments.
///
/// ```text
/// Header --complete--> Payload (length) --last byte--> Header
///      \--what RFC 6455 forbids--> Broken (nothing is found any more)
/// ```
pub struct WsScanner {
    /// Bytes kept of a message; `None`: none at all.
    limit: Option<usize>,
    header: [u8; MAX_HEADER],
    header_len: usize,
    frame: Option<Frame>,
    /// The message whose fragments arrive.
    open: Option<Collector>,
    /// The control frame at hand.
    control: Option<Collector>,
    broken: bool,
}

/// A frame whose header is complete.
#[derive(Clone, Copy)]
struct Frame {
    fin: bool,
    control: bool,
    mask: [u8; 4],
    /// Bytes of payload so far, and all in all.
    seen: u64,
    len: u64,
}

impl WsScanner {
    /// A scanner that finds kinds and sizes.
    pub fn sizes() -> WsScanner {
        WsScanner::with_limit(None)
    }

    /// A scanner that keeps the bytes of each message of at most `limit` bytes too. Of compressed messages none are
    /// kept: what was sent before decides what they mean.
    pub fn keeping(limit: usize) -> WsScanner {
        WsScanner::with_limit(Some(limit))
    }

    fn with_limit(limit: Option<usize>) -> WsScanner {
        WsScanner {
            limit,
            header: [0; MAX_HEADER],
            header_len: 0,
            frame: None,
            open: None,
            control: None,
            broken: false,
        }
    }

    /// Takes the next bytes of this direction and names each message that ends in them, in order.
    pub fn feed(&mut self, bytes: &[u8], found: &mut dyn FnMut(Scanned)) {
        let mut rest = bytes;
        while !rest.is_empty() && !self.broken {
            let used = match &mut self.frame {
                Some(_) => self.payload(rest),
                None => self.header_byte(rest[0]),
            };
            rest = &rest[used..];
            if let Some(frame) = self.frame.filter(|frame| frame.seen == frame.len) {
                self.frame = None;
                let ended = match (frame.control, frame.fin) {
                    (true, _) => self.control.take(),
                    (false, true) => self.open.take(),
                    (false, false) => None,
                };
                ended.into_iter().for_each(|message| found(message.finish()));
            }
        }
    }

    /// Whether the bytes turned out to be no WebSocket; nothing more is found then.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    fn payload(&mut self, bytes: &[u8]) -> usize {
        let Some(frame) = &mut self.frame else { return 0 };
        let used = usize::try_from(frame.len - frame.seen).map_or(bytes.len(), |left| left.min(bytes.len()));
        let message = if frame.control { &mut self.control } else { &mut self.open };
        if let Some(message) = message {
            let (mask, first) = (frame.mask, (frame.seen & 3) as usize);
            let unmasked = bytes[..used].iter().enumerate().map(|(at, byte)| byte ^ mask[(first + at) & 3]);
            message.push(unmasked);
        }
        frame.seen += used as u64;
        used
    }

    fn header_byte(&mut self, byte: u8) -> usize {
        self.header[self.header_len] = byte;
        self.header_len += 1;
        if 2 <= self.header_len && self.header_len == header_size(self.header[1]) {
            self.header_len = 0;
            self.frame = self.begin();
            self.broken = self.frame.is_none();
        }
        1
    }

    /// The frame that the header announces; `None` when RFC 6455 forbids it here.
    fn begin(&mut self) -> Option<Frame> {
        let [first, second, ..] = self.header;
        let (fin, compressed, opcode) = (first & 0x80 != 0, first & 0x40 != 0, first & 0x0f);
        let extended: &[u8] = match second & 0x7f {
            126 => &self.header[2..4],
            127 => &self.header[2..10],
            _ => &[],
        };
        let len = match extended {
            [] => u64::from(second & 0x7f),
            bytes => bytes.iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
        };
        let masked = second & 0x80 != 0;
        let mask_at = 2 + extended.len();
        let mut mask = [0; 4];
        if masked {
            mask.copy_from_slice(&self.header[mask_at..mask_at + 4]);
        }
        let control = opcode & 8 != 0;
        if first & 0x30 != 0 || len >> 63 != 0 || control && (!fin || 125 < len || compressed) {
            return None;
        }
        let limit = self.limit.filter(|_| !compressed);
        match (opcode, &self.open) {
            (0, Some(_)) if !compressed => {}
            (1, None) => self.open = Some(Collector::new(MessageKind::Text, compressed, limit)),
            (2, None) => self.open = Some(Collector::new(MessageKind::Binary, compressed, limit)),
            (8..=10, _) => {
                let kind = MessageKind::from_number(opcode)?;
                self.control = Some(Collector::new(kind, false, limit));
            }
            _ => return None,
        }
        Some(Frame { fin, control, mask, seen: 0, len })
    }
}

/// Bytes of a header whose second byte this is.
fn header_size(second: u8) -> usize {
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + extended + if second & 0x80 == 0 { 0 } else { 4 }
}

const MAX_HEADER: usize = 14;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(bytes: &[u8], piece: usize, limit: usize) -> (Vec<Scanned>, bool) {
        let mut scanner = WsScanner::keeping(limit);
        let mut found = Vec::new();
        for bytes in bytes.chunks(piece.max(1)) {
            scanner.feed(bytes, &mut |message| found.push(message));
        }
        (found, scanner.is_broken())
    }

    fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
        let bit = if mask.is_some() { 0x80 } else { 0 };
        let mut out = vec![first];
        match payload.len() {
            len @ 0..=125 => out.push(bit | len as u8),
            len @ 126..=0xffff => {
                out.push(bit | 126);
                out.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                out.push(bit | 127);
                out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        out.extend(mask.iter().flatten());
        let mask = mask.unwrap_or_default();
        out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at & 3]));
        out
    }

    #[track_caller]
    fn check(frames: &[Vec<u8>], limit: usize, expect: &[(MessageKind, u64, Option<&[u8]>)], broken: bool) {
        let bytes = frames.concat();
        let pieces = (1..=bytes.len().min(400)).chain([usize::MAX]);
        for piece in pieces {
            let (found, is_broken) = scan(&bytes, piece, limit);
            let found: Vec<_> =
                found.iter().map(|message| (message.kind, message.len, message.data.as_deref())).collect();
            assert_eq!((found.as_slice(), is_broken), (expect, broken), "in pieces of {piece}");
        }
    }

    const MASK: Option<[u8; 4]> = Some([0xa1, 0x02, 0xff, 0x7e]);

    #[test]
    fn messages_of_either_direction() {
        use MessageKind::{Binary, Close, Ping, Pong, Text};
        for mask in [None, MASK] {
            let large = vec![5; 70_000];
            let frames = [
                frame(0x81, b"hello", mask),
                frame(0x82, &[7; 300], mask),
                frame(0x89, b"", mask),
                frame(0x8a, b"pong", mask),
            ];
            let expect = [
                (Text, 5, Some(&b"hello"[..])),
                (Binary, 300, Some(&[7; 300][..])),
                (Ping, 0, Some(b"")),
                (Pong, 4, Some(b"pong")),
            ];
            check(&frames, 1_000, &expect, false);
            check(&[frame(0x82, &large, mask)], 100_000, &[(Binary, 70_000, Some(&large))], false);
            check(&[frame(0x88, b"\x03\xe8bye", mask)], 10, &[(Close, 5, Some(b"\x03\xe8bye"))], false);
        }
    }

    #[test]
    fn fragments_are_one_message_with_control_frames_between() {
        use MessageKind::{Ping, Text};
        let frames = [
            frame(0x01, b"abc", MASK),
            frame(0x89, b"p", MASK),
            frame(0x00, b"", None),
            frame(0x80, b"defg", Some([9; 4])),
            frame(0x81, b"x", MASK),
        ];
        let expect = [(Ping, 1, Some(&b"p"[..])), (Text, 7, Some(b"abcdefg")), (Text, 1, Some(b"x"))];
        check(&frames, 7, &expect, false);
    }

    #[test]
    fn what_is_too_large_or_compressed_is_counted_only() {
        use MessageKind::Text;
        check(
            &[frame(0x81, b"hello!", MASK), frame(0x81, b"hello", MASK)],
            5,
            &[(Text, 6, None), (Text, 5, Some(b"hello"))],
            false,
        );
        check(&[frame(0x01, b"abc", MASK), frame(0x80, b"def", MASK)], 5, &[(Text, 6, None)], false);
        check(&[frame(0xc1, b"abc", MASK)], 5, &[(Text, 3, None)], false);
        assert!(scan(&frame(0xc1, b"abc", MASK), 9, 5).0[0].compressed);
        let mut sizes = WsScanner::sizes();
        sizes.feed(&frame(0x81, b"", None), &mut |message| assert_eq!(message.data, None));
    }

    #[test]
    fn what_the_standard_forbids_ends_the_search() {
        let fine = frame(0x81, b"x", MASK);
        let expect = [(MessageKind::Text, 1, Some(&b"x"[..]))];
        let forbidden = [
            frame(0x80, b"a continuation of nothing", MASK),
            frame(0x83, b"a reserved opcode", MASK),
            frame(0x8b, b"a reserved control opcode", MASK),
            frame(0xa1, b"a reserved bit", MASK),
            frame(0x09, b"a ping in fragments", MASK),
            frame(0x89, &[b'l'; 126], MASK),
            [frame(0x01, b"one", MASK), frame(0x81, b"another", MASK)].concat(),
            vec![0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0],
        ];
        for frames in forbidden {
            check(&[fine.clone(), frames, fine.clone()], 5, &expect, true);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_pieces_do_not_matter(bytes in proptest::collection::vec(any::<u8>(), 0..400), piece in 1usize..20) {
            prop_assert_eq!(scan(&bytes, piece, 50), scan(&bytes, usize::MAX, 50));
        }

        #[test]
        fn frames_of_any_shape_come_apart_alike(shapes in proptest::collection::vec((0usize..8, 0usize..200, any::<Option<[u8; 4]>>()), 0..12),
            piece in 1usize..40) {
            let first = [0x81, 0x82, 0x01, 0x00, 0x80, 0x88, 0x89, 0xc1];
            let bytes: Vec<u8> = shapes.iter().flat_map(|(at, len, mask)| frame(first[*at], &vec![3; *len], *mask)).collect();
            prop_assert_eq!(scan(&bytes, piece, 100), scan(&bytes, usize::MAX, 100));
        }
    }
}
