//! Makes JSON of what some tools write for JSON, on the way in: drops a byte order mark, replaces bytes that are not
//! UTF-8 and halves of surrogate pairs by U+FFFD, escapes raw control characters and stray backslashes in strings.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

/// A reader that gives clean JSON.
pub(super) struct Clean<R> {
    inner: R,
    meter: Rc<Meter>,
    out: Vec<u8>,
    /// How much of `out` was given.
    given: usize,
    /// Bytes that may belong to an unfinished character.
    partial: Vec<u8>,
    in_string: bool,
    /// An escape whose end is not seen yet, from its backslash on.
    escape: Vec<u8>,
    at_start: bool,
}

/// What was read since the last entry: an entry is held in memory, so no archive may have one without end.
#[derive(Debug, Default)]
pub(super) struct Meter {
    bytes: Cell<u64>,
    /// Values, about: each costs more memory than it has bytes.
    values: Cell<u64>,
}

impl Meter {
    /// An entry was read.
    pub(super) fn reset(&self) {
        self.bytes.set(0);
        self.values.set(0);
    }

    fn check(&self) -> io::Result<()> {
        match MAX_ENTRY < self.bytes.get() || MAX_VALUES < self.values.get() {
            true => Err(io::Error::other("an entry is larger than any exchange may be")),
            false => Ok(()),
        }
    }
}

impl<R: BufRead> Clean<R> {
    pub(super) fn new(inner: R, meter: Rc<Meter>) -> Clean<R> {
        Clean {
            inner,
            meter,
            out: Vec::new(),
            given: 0,
            partial: Vec::new(),
            in_string: false,
            escape: Vec::new(),
            at_start: true,
        }
    }

    /// Cleans what the reader has; `false` at its end.
    fn refill(&mut self) -> io::Result<bool> {
        self.out.clear();
        self.given = 0;
        let chunk = self.inner.fill_buf()?;
        let n = chunk.len();
        self.meter.bytes.set(self.meter.bytes.get() + n as u64);
        self.meter.check()?;
        let mut bytes = std::mem::take(&mut self.partial);
        bytes.extend_from_slice(chunk);
        self.inner.consume(n);
        if self.at_start && 3 <= bytes.len() {
            self.at_start = false;
            if bytes.starts_with(b"\xef\xbb\xbf") {
                bytes.drain(..3);
            }
        }
        self.clean(&bytes, n == 0);
        if n == 0 {
            let rest = std::mem::take(&mut self.escape);
            self.out.extend_from_slice(&rest);
        }
        Ok(n != 0 || !self.out.is_empty())
    }

    fn clean(&mut self, bytes: &[u8], last: bool) {
        let mut rest = bytes;
        loop {
            let err = match std::str::from_utf8(rest) {
                Ok(text) => return self.text(text.as_bytes()),
                Err(err) => err,
            };
            let (good, bad) = rest.split_at(err.valid_up_to());
            self.text(good);
            match err.error_len() {
                None if !last => {
                    self.partial = bad.to_vec();
                    return;
                }
                len => {
                    self.text("\u{fffd}".as_bytes());
                    rest = &bad[len.unwrap_or(bad.len())..];
                }
            }
        }
    }

    fn text(&mut self, text: &[u8]) {
        for byte in text {
            if !self.escape.is_empty() {
                self.in_escape(*byte);
                continue;
            }
            match byte {
                b'"' => {
                    self.in_string = !self.in_string;
                    self.out.push(b'"');
                }
                b'\\' if self.in_string => self.escape.push(b'\\'),
                0..=0x1f if self.in_string => self.out.extend(format!("\\u{byte:04x}").into_bytes()),
                _ => {
                    if !self.in_string && b",[{".contains(byte) {
                        self.meter.values.set(self.meter.values.get() + 1);
                    }
                    self.out.push(*byte);
                }
            }
        }
    }

    /// One more byte of an escape: `\n`, `\u0041`, or the two halves of `\ud83d\ude00`.
    fn in_escape(&mut self, byte: u8) {
        self.escape.push(byte);
        match self.escape.as_slice() {
            [_, b'u'] | [_, b'u', _, _, _, _, b'\\'] => {}
            [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't'] => self.flush_escape(),
            [_, _] => {
                // no escape of JSON: the backslash was meant
                self.escape.clear();
                self.out.extend_from_slice(b"\\\\");
                self.text(&[byte]);
            }
            [_, _, first @ ..] if first.len() < 5 && first.iter().all(u8::is_ascii_hexdigit) => {
                if first.len() == 4 {
                    match surrogate(first) {
                        Surrogate::None => self.flush_escape(),
                        Surrogate::High => {}
                        Surrogate::Low => self.replace_escape(&[]),
                    }
                }
            }
            [_, b'u', first @ ..] if first.len() <= 4 => {
                // `\u` without four digits
                self.out.extend_from_slice(b"\\\\");
                let rest = self.escape.split_off(1);
                self.escape.clear();
                self.text(&rest);
            }
            [_, _, _, _, _, _, second @ ..] => match second {
                [b'\\', b'u', low @ ..] if low.len() < 4 && low.iter().all(u8::is_ascii_hexdigit) => {}
                [b'\\', b'u', low @ ..] if low.len() == 4 && matches!(surrogate(low), Surrogate::Low) => {
                    self.flush_escape();
                }
                _ => {
                    let rest = second.to_vec();
                    self.replace_escape(&rest);
                }
            },
            _ => self.flush_escape(),
        }
    }

    fn flush_escape(&mut self) {
        self.out.append(&mut self.escape);
    }

    /// Half a pair stands alone; what came after it is read anew.
    fn replace_escape(&mut self, rest: &[u8]) {
        self.escape.clear();
        self.out.extend_from_slice(b"\\ufffd");
        self.text(rest);
    }
}

impl<R: BufRead> Read for Clean<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.out.len() {
            if !self.refill()? {
                return Ok(0);
            }
        }
        let n = buffer.len().min(self.out.len() - self.given);
        buffer[..n].copy_from_slice(&self.out[self.given..self.given + n]);
        self.given += n;
        Ok(n)
    }
}

enum Surrogate {
    None,
    High,
    Low,
}

fn surrogate(digits: &[u8]) -> Surrogate {
    let value = std::str::from_utf8(digits).ok().and_then(|digits| u16::from_str_radix(digits, 16).ok());
    match value {
        Some(0xd800..=0xdbff) => Surrogate::High,
        Some(0xdc00..=0xdfff) => Surrogate::Low,
        _ => Surrogate::None,
    }
}

/// An exchange of the largest size, its bodies in base64, and what tools write beside.
const MAX_ENTRY: u64 = 80 << 20;
/// Room for 100,000 messages of a WebSocket.
const MAX_VALUES: u64 = 2_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dirty: &[u8], expect: &str) {
        for size in [1, 2, 3, 7, 4096] {
            let mut clean = Vec::new();
            Clean::new(io::BufReader::with_capacity(size, dirty), Rc::default())
                .read_to_end(&mut clean)
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&clean), expect, "in pieces of {size}");
        }
    }

    #[test]
    fn clean_json_passes_unchanged() {
        let json = "{\"a\": \"x\\n\\\"\\\\ \\u0041 \\ud83d\\ude00 \u{1f600}\", \"b\":\n[1]}";
        check(json.as_bytes(), json);
    }

    #[test]
    fn what_is_no_json_becomes_json() {
        check(b"\xef\xbb\xbf{}", "{}");
        check(b"[\"a\xff\xe9b\"]", "[\"a\u{fffd}\u{fffd}b\"]");
        check(b"[\"a\tb\nc\x00\"]", "[\"a\\u0009b\\u000ac\\u0000\"]");
        check(br#"["\x41 \' \u12 z"]"#, r#"["\\x41 \\' \\u12 z"]"#);
        check(
            br#"["\ud83d", "\ude00", "\ud83dx", "\ud83d\n", "\ud83d\ud83d\ude00"]"#,
            r#"["\ufffd", "\ufffd", "\ufffdx", "\ufffd\n", "\ufffd\ud83d\ude00"]"#,
        );
    }

    #[test]
    fn any_bytes_are_read() {
        use proptest::prelude::*;
        let bytes = proptest::collection::vec(
            prop_oneof![
                any::<u8>(),
                Just(b'"'),
                Just(b'\\'),
                Just(b'u'),
                Just(b'd'),
                Just(b'8'),
                Just(b'c'),
                Just(b'0')
            ],
            0..60,
        );
        proptest!(|(bytes in bytes)| {
            let mut clean = Vec::new();
            Clean::new(&bytes[..], Rc::default()).read_to_end(&mut clean).unwrap();
            prop_assert!(std::str::from_utf8(&clean).is_ok());
            let string = [b"\"", &bytes[..], b"\""].concat();
            if !bytes.contains(&b'"') && bytes.last() != Some(&b'\\') {
                let mut clean = Vec::new();
                Clean::new(&string[..], Rc::default()).read_to_end(&mut clean).unwrap();
                prop_assert!(serde_json::from_slice::<String>(&clean).is_ok(), "{:?}", String::from_utf8_lossy(&clean));
            }
        });
    }
}
