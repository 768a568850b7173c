//! Where a body ends (RFC 9112, section 6), and its bytes without the chunks around them.

use crate::Headers;

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::import) enum Framing {
    Length(u64),
    Chunked,
    /// An answer that ends with its connection.
    UntilClose,
}

/// Reads one body.
///
/// ```text
/// Length, UntilClose: Data (bytes left) ----------------------------> Done
/// Chunked: Size --line--> Data (bytes left) --all--> End --line--> Size
///               \--line that says 0--> Trailers --empty line--> Done
///               \--no number--> Broken
/// ```
#[derive(Debug)]
pub(in crate::import) struct BodyReader {
    state: State,
    is_chunked: bool,
    /// The line at hand: a size, or how long a trailer is.
    line: Vec<u8>,
    /// Fields came behind the last chunk.
    has_trailers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Data(u64),
    End,
    Trailers,
    Done,
    Broken,
}

/// How the body of a request ends.
pub(in crate::import) fn of_request(headers: &Headers) -> Framing {
    match (is_chunked(headers), content_length(headers)) {
        (true, _) => Framing::Chunked,
        (false, len) => Framing::Length(len.unwrap_or(0)),
    }
}

/// How the body of an answer ends, which depends on what was asked.
pub(in crate::import) fn of_response(method: &str, status: u16, headers: &Headers) -> Framing {
    let has_none = method == "HEAD"
        || matches!(status, 100..200 | 204 | 304)
        || method == "CONNECT" && (200..300).contains(&status);
    match (is_chunked(headers), content_length(headers)) {
        _ if has_none => Framing::Length(0),
        (true, _) => Framing::Chunked,
        (false, Some(len)) => Framing::Length(len),
        (false, None) => Framing::UntilClose,
    }
}

fn is_chunked(headers: &Headers) -> bool {
    headers.get_all("transfer-encoding").any(|value| {
        let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
        last.trim_ascii().eq_ignore_ascii_case(b"chunked")
    })
}

/// The length, also where it is said twice; `None` where it is none.
fn content_length(headers: &Headers) -> Option<u64> {
    let value = headers.get_str("content-length")?;
    value.split(',').next()?.trim().parse().ok()
}

impl BodyReader {
    pub(in crate::import) fn new(framing: Framing) -> BodyReader {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(len) => State::Data(len),
            Framing::Chunked => State::Size,
            Framing::UntilClose => State::Data(u64::MAX),
        };
        BodyReader { state, is_chunked: framing == Framing::Chunked, line: Vec::new(), has_trailers: false }
    }

    /// Takes what is of this body, hands its bytes to `data`, and says how much that was.
    pub(in crate::import) fn feed(&mut self, bytes: &[u8], data: &mut dyn FnMut(&[u8])) -> usize {
        let mut at = 0;
        while at < bytes.len() && !self.is_over() {
            at += match self.state {
                State::Data(left) => {
                    let n = usize::try_from(left).map_or(bytes.len() - at, |left| left.min(bytes.len() - at));
                    data(&bytes[at..at + n]);
                    self.pass(n as u64);
                    n
                }
                _ => self.line(&bytes[at..]),
            };
        }
        at
    }

    /// Passes over bytes that were not seen; `false` when nobody can say where the body goes on behind them.
    pub(in crate::import) fn skip(&mut self, n: u64) -> bool {
        let State::Data(left) = self.state else { return n == 0 };
        if n <= left {
            self.pass(n);
        }
        n <= left
    }

    /// Nothing more belongs to it, or nobody can say what does.
    pub(in crate::import) fn is_over(&self) -> bool {
        matches!(self.state, State::Done | State::Broken)
    }

    /// It ended as it should.
    pub(in crate::import) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// It ends when its connection does.
    pub(in crate::import) fn is_until_close(&self) -> bool {
        matches!(self.state, State::Data(left) if UNTIL_CLOSE < left)
    }

    pub(in crate::import) fn has_trailers(&self) -> bool {
        self.has_trailers
    }

    fn pass(&mut self, n: u64) {
        if let State::Data(left) = self.state {
            self.state = match left - n {
                0 if self.is_chunked => State::End,
                0 => State::Done,
                left => State::Data(left),
            };
        }
    }

    /// Takes bytes of a line between chunks, up to its end.
    fn line(&mut self, bytes: &[u8]) -> usize {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let n = end.map_or(bytes.len(), |end| end + 1);
        self.line.extend_from_slice(&bytes[..n.min(MAX_LINE + 1 - self.line.len())]);
        if MAX_LINE < self.line.len() {
            self.state = State::Broken;
        } else if end.is_some() {
            let line = std::mem::take(&mut self.line);
            self.state = self.after_line(line.trim_ascii());
        }
        n
    }

    fn after_line(&mut self, line: &[u8]) -> State {
        match (self.state, line) {
            (State::End, []) => State::Size,
            (State::Trailers, []) => State::Done,
            (State::Trailers, _) => {
                self.has_trailers = true;
                State::Trailers
            }
            (State::Size, line) => match chunk_size(line) {
                Some(0) => State::Trailers,
                Some(size) => State::Data(size),
                None => State::Broken,
            },
            _ => State::Broken,
        }
    }
}

/// The number before any extension.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    let is_number = !digits.is_empty() && digits.len() <= 12 && digits.iter().all(u8::is_ascii_hexdigit);
    is_number.then(|| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()).flatten()
}

const MAX_LINE: usize = 16 << 10;
/// No length that a header says comes near.
const UNTIL_CLOSE: u64 = u64::MAX / 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(framing: Framing, bytes: &[u8], piece: usize) -> (String, usize, BodyReader) {
        let mut reader = BodyReader::new(framing);
        let (mut body, mut used) = (Vec::new(), 0);
        for piece in bytes.chunks(piece) {
            let n = reader.feed(piece, &mut |data| body.extend_from_slice(data));
            used += n;
            if n < piece.len() {
                break;
            }
        }
        (String::from_utf8_lossy(&body).into_owned(), used, reader)
    }

    #[test]
    fn bodies_end_where_they_should() {
        let check = |framing, text: &str, body: &str, used, done| {
            for piece in 1..=text.len().max(1) {
                let (found, n, reader) = read(framing, text.as_bytes(), piece);
                assert_eq!((found.as_str(), n, reader.is_done()), (body, used, done), "{text:?} by {piece}");
            }
        };
        check(Framing::Length(0), "next", "", 0, true);
        check(Framing::Length(5), "hello next", "hello", 5, true);
        check(Framing::Length(9), "hello", "hello", 5, false);
        check(Framing::UntilClose, "hello", "hello", 5, false);
        check(Framing::Chunked, "5\r\nhello\r\n0\r\n\r\nnext", "hello", 15, true);
        check(Framing::Chunked, "2;x=y\nhe\nA\n0123456789\n0\nT: 1\n\n!", "he0123456789", 30, true);
        check(Framing::Chunked, "5\r\nhel", "hel", 6, false);
        check(Framing::Chunked, "five\r\nhello", "", 6, false);
        check(Framing::Chunked, "2\r\nhello\r\n", "he", 10, false);
    }

    #[test]
    fn gaps_inside_data_are_passed_and_others_are_not() {
        let mut reader = BodyReader::new(Framing::Length(10));
        reader.feed(b"abc", &mut |_| {});
        assert!(reader.skip(7) && reader.is_done() && !reader.skip(1));
        let mut reader = BodyReader::new(Framing::Chunked);
        reader.feed(b"a\r\nabc", &mut |_| {});
        assert!(reader.skip(7) && !reader.is_over() && !reader.skip(1));
        reader.feed(b"\r\n0\r\nX: y\r\n\r\n", &mut |_| {});
        assert!(reader.is_done() && reader.has_trailers());
        assert!(!BodyReader::new(Framing::Length(3)).skip(4));
        let mut endless = BodyReader::new(Framing::UntilClose);
        assert!(endless.skip(1 << 40) && endless.is_until_close());
        assert!(!BodyReader::new(Framing::Length(1 << 60)).is_until_close());
    }

    #[test]
    fn framings_by_header() {
        let headers = |name: &str, value: &str| -> Headers { [(name, value)].into_iter().collect() };
        assert_eq!(of_request(&headers("Content-Length", " 7 ")), Framing::Length(7));
        assert_eq!(of_request(&headers("content-length", "7, 7")), Framing::Length(7));
        assert_eq!(of_request(&headers("content-length", "-7")), Framing::Length(0));
        assert_eq!(of_request(&headers("transfer-encoding", "gzip, Chunked")), Framing::Chunked);
        assert_eq!(of_response("HEAD", 200, &headers("content-length", "7")), Framing::Length(0));
        assert_eq!(of_response("GET", 304, &headers("content-length", "7")), Framing::Length(0));
        assert_eq!(of_response("CONNECT", 200, &Headers::new()), Framing::Length(0));
        assert_eq!(of_response("CONNECT", 502, &Headers::new()), Framing::UntilClose);
        assert_eq!(of_response("GET", 200, &Headers::new()), Framing::UntilClose);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[0-3a\r\n; ]{0,60}", piece in 1usize..20) {
            let (body, used, reader) = read(Framing::Chunked, text.as_bytes(), piece);
            let (whole, all, other) = read(Framing::Chunked, text.as_bytes(), usize::MAX);
            prop_assert_eq!((body, used, reader.state), (whole, all, other.state));
        }
    }
}
