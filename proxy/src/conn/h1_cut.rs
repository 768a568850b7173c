//! Finds the n-th payload byte of an HTTP/1 answer as it is written (RFC 9112 sections 6 and 7).

use super::cut::Cut;

/// Follows one answer and lets through its header and `cut.after` bytes of its body.
///
/// ```text
/// Head --blank line--> Body (length) ----n bytes----> Done
///                 \--> Chunk size -> Chunk data -> ... n bytes --> Done
///                           \--last chunk--> Tail (the answer ended before the asked byte)
/// ```
#[derive(Debug)]
pub(super) struct H1Cut {
    cut: Cut,
    left: u64,
    state: State,
    head: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Plain,
    /// In the size line: the size so far, and whether its digits have ended (extensions follow).
    ChunkSize {
        size: u64,
        digits_over: bool,
    },
    ChunkData(u64),
    /// The CRLF behind a chunk's data: bytes left of it.
    ChunkEnd(u8),
    /// Behind the last chunk: trailers and the end, none of it payload.
    Tail,
    Done,
}

impl H1Cut {
    pub(super) fn new(cut: Cut) -> Self {
        H1Cut { left: cut.after, cut, state: State::Head, head: Vec::new() }
    }

    /// The answer has been let through up to the asked byte: flush, then reset.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    pub(super) fn cut(&self) -> &Cut {
        &self.cut
    }

    /// Appends to `out` what of `bytes` may still go out.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() && self.state != State::Done {
            let used = self.step(rest);
            out.extend_from_slice(&rest[..used]);
            rest = &rest[used..];
        }
    }

    /// Consumes a prefix of `bytes` in the present state; never more than may go out.
    fn step(&mut self, bytes: &[u8]) -> usize {
        match self.state {
            State::Head => self.head(bytes),
            State::Plain => self.payload(bytes, u64::MAX),
            State::ChunkData(size) => self.payload(bytes, size),
            State::ChunkSize { size, digits_over } => {
                self.state = next_of_size_line(bytes[0], size, digits_over);
                1
            }
            State::ChunkEnd(left) => {
                self.state = if left > 1 { State::ChunkEnd(left - 1) } else { CHUNK_START };
                1
            }
            State::Tail => bytes.len(),
            State::Done => 0,
        }
    }

    fn head(&mut self, bytes: &[u8]) -> usize {
        let searched = self.head.len().saturating_sub(3);
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(at) = find_blank_line(&self.head[searched..]).map(|at| at + searched) else {
            return bytes.len();
        };
        self.head.truncate(at);
        self.state = if is_informational(&self.head) {
            State::Head
        } else if self.left == 0 {
            State::Done
        } else if is_chunked(&self.head) {
            CHUNK_START
        } else {
            State::Plain
        };
        self.head.clear();
        at - before
    }

    fn payload(&mut self, bytes: &[u8], in_chunk: u64) -> usize {
        let used = (bytes.len() as u64).min(self.left).min(in_chunk);
        self.left -= used;
        if self.left == 0 {
            self.state = State::Done;
        } else if in_chunk == used {
            self.state = State::ChunkEnd(2);
        } else if in_chunk != u64::MAX {
            self.state = State::ChunkData(in_chunk - used);
        }
        usize::try_from(used).expect("bounded by the slice's own length")
    }
}

const CHUNK_START: State = State::ChunkSize { size: 0, digits_over: false };

fn next_of_size_line(byte: u8, size: u64, digits_over: bool) -> State {
    match (char::from(byte).to_digit(16), byte) {
        (_, b'\n') if size == 0 => State::Tail,
        (_, b'\n') => State::ChunkData(size),
        (Some(digit), _) if !digits_over => {
            State::ChunkSize { size: size.saturating_mul(16).saturating_add(u64::from(digit)), digits_over }
        }
        _ => State::ChunkSize { size, digits_over: true },
    }
}

/// Index just behind the first `\r\n\r\n`.
fn find_blank_line(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn is_informational(head: &[u8]) -> bool {
    // "HTTP/1.1 1xx"; 101 is final, since the bytes behind it belong to the new protocol
    head.get(9) == Some(&b'1') && head.get(9..12) != Some(b"101".as_slice())
}

fn is_chunked(head: &[u8]) -> bool {
    head.split(|byte| *byte == b'\n').any(|line| {
        let line = line.to_ascii_lowercase();
        line.starts_with(b"transfer-encoding:") && line.windows(7).any(|word| word == b"chunked")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(after: u64, answer: &[u8], expect: &[u8], done: bool) {
        for piece in [1, 2, 3, 7, answer.len()] {
            let mut cut = H1Cut::new(Cut::after(after));
            let mut out = Vec::new();
            for bytes in answer.chunks(piece) {
                cut.push(bytes, &mut out);
            }
            assert_eq!(
                String::from_utf8_lossy(&out),
                String::from_utf8_lossy(expect),
                "in pieces of {piece}"
            );
            assert_eq!(cut.is_done(), done, "in pieces of {piece}");
        }
    }

    #[test]
    fn cuts_a_length_delimited_body() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
        let all = [head.as_slice(), b"0123456789"].concat();
        check(0, &all, head, true);
        check(4, &all, &[head.as_slice(), b"0123"].concat(), true);
        check(10, &all, &all, true);
        check(11, &all, &all, false);
    }

    #[test]
    fn counts_payload_not_chunk_framing() {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n";
        let all = [head.as_slice(), b"5;x=1\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n"].concat();
        check(3, &all, &[head.as_slice(), b"5;x=1\r\nhel"].concat(), true);
        check(5, &all, &[head.as_slice(), b"5;x=1\r\nhello"].concat(), true);
        check(6, &all, &[head.as_slice(), b"5;x=1\r\nhello\r\nA\r\n0"].concat(), true);
        check(15, &all, &all[..all.len() - 7], true);
        for just_missed in 16..20 {
            check(just_missed, &all, &all, false);
        }
        check(99, &all, &all, false);
    }

    #[test]
    fn an_informational_answer_is_not_the_answer() {
        let all = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        check(1, all, &all[..all.len() - 1], true);
    }
}
