//! Events in a `text/event-stream` (WHATWG HTML, section 9.2): blocks of lines, each ended by a blank line.

use super::{MessageKind, Scanned};

/// Finds where events end. Lines end with LF, CR LF or CR, and an event is found with the first byte of the blank line
/// behind it: there is no waiting for an LF that may never come.
#[derive(Clone, Debug, Default)]
pub struct SseScanner {
    /// Bytes of the block so far, line ends included.
    len: u64,
    line: Line,
    /// The block has a line that is no comment.
    is_event: bool,
    /// The byte before was a CR: an LF belongs to it.
    after_cr: bool,
    /// Bytes of a byte order mark still to be passed over; only at the very start of the stream.
    mark: Mark,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Empty,
    Begun,
}

/// The byte order mark that a stream may begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mark {
    #[default]
    Possible,
    Seen(u8),
    Over,
}

impl SseScanner {
    /// Takes the next bytes of the stream and names each event that ends in them, in order.
    pub fn feed(&mut self, bytes: &[u8], found: &mut dyn FnMut(Scanned)) {
        let mut rest = bytes;
        while let Some((byte, behind)) = rest.split_first() {
            rest = behind;
            if !self.passes_mark(*byte) {
                self.step(*byte, found);
            }
            if self.line == Line::Begun {
                // nothing happens before the line ends
                let len = rest.iter().take_while(|byte| !matches!(**byte, b'\n' | b'\r')).count();
                self.len += len as u64;
                rest = &rest[len..];
            }
        }
    }

    /// Bytes of an event that has begun and not ended; a browser throws it away when the stream ends.
    pub fn unfinished(&self) -> u64 {
        self.len
    }

    fn step(&mut self, byte: u8, found: &mut dyn FnMut(Scanned)) {
        if std::mem::take(&mut self.after_cr) && byte == b'\n' {
            // of a blank line nothing is counted
            self.len += u64::from(self.len != 0);
            return;
        }
        if byte == b'\n' || byte == b'\r' {
            self.after_cr = byte == b'\r';
            return self.line_end(found);
        }
        if self.line == Line::Empty {
            self.line = Line::Begun;
            self.is_event |= byte != b':';
        }
        self.len += 1;
    }

    fn line_end(&mut self, found: &mut dyn FnMut(Scanned)) {
        if std::mem::take(&mut self.line) == Line::Begun {
            self.len += 1;
            return;
        }
        let len = std::mem::take(&mut self.len);
        let kind = if std::mem::take(&mut self.is_event) { MessageKind::Event } else { MessageKind::Comment };
        if len != 0 {
            found(Scanned { kind, compressed: false, len, data: None });
        }
    }

    fn passes_mark(&mut self, byte: u8) -> bool {
        let seen = match self.mark {
            Mark::Over => return false,
            Mark::Possible => 0,
            Mark::Seen(n) => n,
        };
        if BYTE_ORDER_MARK[usize::from(seen)] != byte {
            // what looked like one was the beginning of a line, which no field starts with: an event all the same
            if seen != 0 {
                (self.len, self.line, self.is_event) = (seen.into(), Line::Begun, true);
            }
            self.mark = Mark::Over;
            return false;
        }
        self.mark =
            if usize::from(seen) + 1 == BYTE_ORDER_MARK.len() { Mark::Over } else { Mark::Seen(seen + 1) };
        true
    }
}

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

const _: () = assert!(size_of::<SseScanner>() <= 16, "a million open streams hold one each");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(bytes: &[u8], piece: usize) -> (Vec<(MessageKind, u64)>, u64) {
        let mut scanner = SseScanner::default();
        let mut found = Vec::new();
        for bytes in bytes.chunks(piece.max(1)) {
            scanner.feed(bytes, &mut |event| found.push((event.kind, event.len)));
        }
        (found, scanner.unfinished())
    }

    #[track_caller]
    fn check(stream: &str, expect: &[(MessageKind, u64)], unfinished: u64) {
        for piece in 1..=stream.len().max(1) {
            let found = scan(stream.as_bytes(), piece);
            assert_eq!(found, (expect.to_vec(), unfinished), "{stream:?} in pieces of {piece}");
        }
    }

    #[test]
    fn events_end_with_a_blank_line() {
        use MessageKind::{Comment, Event};
        check("", &[], 0);
        check("data: 1\n\n", &[(Event, 8)], 0);
        check("id: 1\ndata: a\n\ndata: b\n\n", &[(Event, 14), (Event, 8)], 0);
        check(": alive\n\n", &[(Comment, 8)], 0);
        check(": alive\n: still\n\n", &[(Comment, 16)], 0);
        check(": note\ndata: 1\n\n", &[(Event, 15)], 0);
        check("retry: 10\n\n", &[(Event, 10)], 0);
        check("data: 1\n", &[], 8);
        check("data: 1", &[], 7);
        check("\n\n\n", &[], 0);
        check("\n\ndata\n\n\n\n", &[(Event, 5)], 0);
    }

    #[test]
    fn lines_end_in_three_ways() {
        use MessageKind::Event;
        check("data: 1\r\n\r\ndata: 2\r\n\r\n", &[(Event, 9), (Event, 9)], 0);
        check("data: 1\r\rdata: 2\r\r", &[(Event, 8), (Event, 8)], 0);
        check("data: 1\r\n\ndata: 2\n\r\n", &[(Event, 9), (Event, 8)], 0);
        check("\r\n\r\ndata: 1\r\n\r\n", &[(Event, 9)], 0);
    }

    #[test]
    fn a_byte_order_mark_is_not_of_the_first_event() {
        use MessageKind::{Comment, Event};
        check("\u{feff}data: 1\n\n", &[(Event, 8)], 0);
        check("\u{feff}: c\n\n", &[(Comment, 4)], 0);
        check("\u{fefe}\n\n", &[(Event, 4)], 0);
        check("data: 1\n\n\u{feff}:\n\n", &[(Event, 8), (Event, 5)], 0);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(bytes in "[:ad\r\n\u{feff}]{0,60}", piece in 1usize..20) {
            prop_assert_eq!(scan(bytes.as_bytes(), piece), scan(bytes.as_bytes(), usize::MAX));
        }

        #[test]
        fn no_bytes_make_it_panic_or_count_more_than_there_are(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let (found, unfinished) = scan(&bytes, 7);
            let counted = found.iter().map(|(_, len)| len).sum::<u64>() + unfinished;
            prop_assert!(counted <= bytes.len() as u64);
        }
    }
}
