//! Messages in a gRPC body, either direction: a flag, a length of four bytes (big-endian), the message.

use std::ops::Range;

use super::{MessageKind, Scanned};

/// Finds where messages end.
///
/// ```text
/// Prefix --5th byte--> Message (length) --last byte--> Prefix
///      \--a flag that no version of gRPC knows--> Broken (nothing is found any more)
/// ```
#[derive(Clone, Debug, Default)]
pub struct GrpcScanner {
    prefix: [u8; PREFIX],
    prefix_len: u8,
    /// Bytes of the message still to come, once its prefix is complete.
    left: u32,
    broken: bool,
}

impl GrpcScanner {
    /// Takes the next bytes of the body and names each message that ends in them, in order.
    pub fn feed(&mut self, bytes: &[u8], found: &mut dyn FnMut(Scanned)) {
        let mut rest = bytes;
        while !rest.is_empty() && !self.broken {
            rest = &rest[self.step(rest)..];
            if self.has_prefix() && self.left == 0 && !self.broken {
                found(self.message());
                self.prefix_len = 0;
            }
        }
    }

    /// Whether the bytes turned out to be no gRPC; nothing more is found then.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Consumes some of `bytes`, at least one.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.has_prefix() {
            let used = bytes.len().min(self.left as usize);
            self.left -= used as u32;
            return used;
        }
        let known = usize::from(self.prefix_len);
        let used = bytes.len().min(PREFIX - known);
        self.prefix[known..][..used].copy_from_slice(&bytes[..used]);
        self.prefix_len += used as u8;
        self.broken = self.prefix[0] & !(COMPRESSED | TRAILERS) != 0;
        if self.has_prefix() {
            self.left = self.len();
        }
        used
    }

    fn has_prefix(&self) -> bool {
        usize::from(self.prefix_len) == PREFIX
    }

    fn message(&self) -> Scanned {
        let kind = if self.prefix[0] & TRAILERS == 0 { MessageKind::Framed } else { MessageKind::Trailers };
        let compressed = self.prefix[0] & COMPRESSED != 0;
        Scanned { kind, compressed, len: self.len().into(), data: None }
    }

    fn len(&self) -> u32 {
        let [_, len @ ..] = self.prefix;
        u32::from_be_bytes(len)
    }
}

/// Where the next message of `len` bytes stands in a body, `at` being where its prefix begins; `at` moves behind it.
pub(crate) fn next_in_body(at: &mut usize, len: u64) -> Option<Range<usize>> {
    let start = at.checked_add(PREFIX)?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    *at = end;
    Some(start..end)
}

const PREFIX: usize = 5;
const COMPRESSED: u8 = 1;
/// Of gRPC-Web.
const TRAILERS: u8 = 0x80;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(bytes: &[u8], piece: usize) -> (Vec<Scanned>, bool) {
        let mut scanner = GrpcScanner::default();
        let mut found = Vec::new();
        for bytes in bytes.chunks(piece.max(1)) {
            scanner.feed(bytes, &mut |message| found.push(message));
        }
        (found, scanner.is_broken())
    }

    fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
        [&[flag], &(message.len() as u32).to_be_bytes()[..], message].concat()
    }

    #[test]
    fn messages_end_with_their_last_byte() {
        let framed = |len, compressed| Scanned { kind: MessageKind::Framed, compressed, len, data: None };
        let trailers = Scanned { kind: MessageKind::Trailers, compressed: false, len: 15, data: None };
        let body = [
            frame(0, b"hello"),
            frame(0, b""),
            frame(1, &[7; 300]),
            frame(0x80, b"grpc-status: 0\n"),
            frame(0, b"cut off")[..9].to_vec(),
        ]
        .concat();
        let expect = vec![framed(5, false), framed(0, false), framed(300, true), trailers];
        for piece in 1..=body.len() {
            assert_eq!(scan(&body, piece), (expect.clone(), false), "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_grpc_ends_the_search() {
        let body = [frame(0, b"hello"), b"HTTP/1.1 ".to_vec(), frame(0, b"hello")].concat();
        for piece in 1..=body.len() {
            let (found, broken) = scan(&body, piece);
            assert_eq!((found.len(), broken), (1, true), "in pieces of {piece}");
        }
    }

    #[test]
    fn the_largest_message_is_only_counted() {
        let mut scanner = GrpcScanner::default();
        let mut found = Vec::new();
        scanner.feed(&[0, 0xff, 0xff, 0xff, 0xff], &mut |message| found.push(message.len));
        let chunk = vec![0; 1 << 20];
        for _ in 0..(1 << 12) - 1 {
            scanner.feed(&chunk, &mut |message| found.push(message.len));
        }
        assert!(found.is_empty());
        scanner.feed(&chunk[1..], &mut |message| found.push(message.len));
        assert_eq!(found, [u64::from(u32::MAX)]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_pieces_do_not_matter(bytes in proptest::collection::vec(0u8..3, 0..300), piece in 1usize..20) {
            prop_assert_eq!(scan(&bytes, piece), scan(&bytes, usize::MAX));
        }
    }
}
