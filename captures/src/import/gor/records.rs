//! The records of a file: a line that describes each, the message, a line of three monkeys.

use std::io::{self, BufRead, Read};

/// What stands between records; the line feed before it belongs to it, too.
pub(crate) const SEPARATOR: &str = "\n🐵🙈🙉\n";

/// Reads a file record by record. Holds one of them, at most [`MAX_RECORD`] bytes.
pub(super) struct Records<R> {
    input: R,
    pub(super) bytes: Vec<u8>,
    /// Where the record at hand begins: its number from 1, its line from 1, its offset.
    pub(super) number: u64,
    pub(super) line: u64,
    pub(super) offset: u64,
    next_line: u64,
    next_offset: u64,
}

/// What [`Records::next`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A record with its separator behind it.
    Record,
    /// The last one, without.
    Last,
    /// One that is larger than any exchange may be; its end was found.
    TooLong,
    End,
}

impl<R: BufRead> Records<R> {
    pub(super) fn new(input: R) -> Records<R> {
        Records { input, bytes: Vec::new(), number: 0, line: 1, offset: 0, next_line: 1, next_offset: 0 }
    }

    /// Reads the next record into `bytes`, without its separator. After an error `bytes` holds what there is of it.
    pub(super) fn next(&mut self) -> io::Result<Found> {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        (self.line, self.offset) = (self.next_line, self.next_offset);
        self.number += 1;
        let mut found = Found::Record;
        loop {
            let before = self.bytes.len();
            let read = self.input.by_ref().take(STEP).read_until(b'\n', &mut self.bytes);
            let n = self.bytes.len() - before;
            self.next_offset += n as u64;
            self.next_line += u64::from(self.bytes.ends_with(b"\n") && n != 0);
            read?;
            if let Some(len) = without_separator(&self.bytes, n == 0) {
                self.bytes.truncate(len);
                return Ok(found);
            }
            match (n, found) {
                (0, Found::Record) if self.bytes.is_empty() => return Ok(Found::End),
                (0, Found::Record) => return Ok(Found::Last),
                (0, _) => return Ok(found),
                _ => {}
            }
            if MAX_RECORD < self.bytes.len() {
                found = Found::TooLong;
                // its end may be a part of the separator
                self.bytes.drain(..self.bytes.len() - SEPARATOR.len() - 1);
            }
        }
    }
}

/// Length of a record whose separator was read; at the end of the file it may lack its line feed.
fn without_separator(bytes: &[u8], at_end: bool) -> Option<usize> {
    let monkeys = SEPARATOR.trim_ascii().as_bytes();
    let line = match bytes.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None if at_end => bytes,
        None => return None,
    };
    match line.strip_suffix(monkeys)? {
        [] => Some(0),
        [record @ .., b'\n'] => Some(record.len()),
        _ => None,
    }
}

/// Room for an exchange of the largest size.
const MAX_RECORD: usize = 64 << 20;
const STEP: u64 = 1 << 20;
const KEPT: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<(Found, String, u64, u64)> {
        let mut records = Records::new(bytes);
        let mut all = Vec::new();
        loop {
            match records.next().unwrap() {
                Found::End => return all,
                found => {
                    let text = String::from_utf8_lossy(&records.bytes).into_owned();
                    all.push((found, text, records.line, records.offset));
                }
            }
        }
    }

    #[test]
    fn records_and_a_last_one_without_separator() {
        use Found::{Last, Record};
        let s = |text: &str| text.to_owned();
        let file = "1 a 2\nGET\n\n\n🐵🙈🙉\n2 a 3\nOK\n🐵🙈🙉\n\n🐵🙈🙉\nlast\n";
        let (second, third) = (24, 24 + 21);
        let expect = [
            (Record, s("1 a 2\nGET\n\n"), 1, 0),
            (Record, s("2 a 3\nOK"), 6, second),
            (Record, s(""), 9, third),
            (Last, s("last\n"), 11, third + 14),
        ];
        let found = read(file.as_bytes());
        assert_eq!(
            found.iter().map(|record| record.0).collect::<Vec<_>>(),
            expect.iter().map(|record| record.0).collect::<Vec<_>>()
        );
        for (found, expect) in found.iter().zip(&expect) {
            assert_eq!((&found.1, found.2), (&expect.1, expect.2));
            assert!(file.as_bytes()[found.3 as usize..].starts_with(found.1.as_bytes()));
        }
        assert_eq!(read("a\r\n🐵🙈🙉\r\nb\n🐵🙈🙉".as_bytes()).len(), 2);
        assert_eq!(read("no 🐵🙈🙉\nb".as_bytes()).len(), 1);
        assert_eq!(read(b"").len(), 0);
    }

    #[test]
    fn a_record_without_end_costs_no_memory_and_the_next_is_found() {
        let mut file = vec![b'x'; MAX_RECORD + 3 * STEP as usize];
        file.extend_from_slice("\n🐵🙈🙉\nnext\n🐵🙈🙉\n".as_bytes());
        let mut records = Records::new(&file[..]);
        assert_eq!(records.next().unwrap(), Found::TooLong);
        assert_eq!(records.next().unwrap(), Found::Record);
        assert_eq!((records.bytes.as_slice(), records.number), (&b"next"[..], 2));
    }
}
