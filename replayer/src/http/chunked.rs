//! Counting off a chunked body, byte ranges at a time.

use crate::http::Garbage;
use crate::limits;

/// Where in a chunked body the reader stands.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    state: State,
    /// Bytes of the present chunk-size line, or of all trailers.
    line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the hex digits of a size; how many there were.
    Size(u64, u8),
    /// After the digits, up to the line feed.
    Extension(u64),
    Data(u64),
    /// The line end after the data of a chunk.
    DataEnd,
    /// In the trailers; whether the present line is empty so far.
    Trailer(bool),
}

impl Default for State {
    fn default() -> State {
        State::Size(0, 0)
    }
}

impl Chunks {
    /// Takes in `bytes`; `on_data` sees those that are no framing. `Some(n)`: the body ended after `n` of them.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        on_data: &mut dyn FnMut(&[u8]),
    ) -> Result<Option<usize>, Garbage> {
        let mut at = 0;
        while at < bytes.len() {
            if let State::Data(left) = self.state {
                let here = (bytes.len() - at).min(usize::try_from(left).unwrap_or(usize::MAX));
                on_data(&bytes[at..at + here]);
                at += here;
                let left = left - here as u64;
                self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                continue;
            }
            let byte = bytes[at];
            at += 1;
            if self.step(byte)? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// One byte outside of data; true at the end of the body.
    fn step(&mut self, byte: u8) -> Result<bool, Garbage> {
        self.line += 1;
        if self.line > limits::CHUNK_LINE_BYTES {
            return Err(Garbage);
        }
        self.state = match (self.state, byte) {
            (State::Size(size, digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if digits >= 15 {
                    return Err(Garbage); // beyond 2^60 it is no body
                }
                State::Size(size << 4 | u64::from(hex(byte)), digits + 1)
            }
            (State::Size(_, 0), _) => return Err(Garbage),
            (State::Size(size, _) | State::Extension(size), b'\n') => self.after_size(size),
            (State::Size(size, _), b'\r' | b';' | b' ' | b'\t') => State::Extension(size),
            (State::Size(..), _) => return Err(Garbage),
            (State::Extension(size), _) => State::Extension(size),
            (State::DataEnd, b'\r') => State::DataEnd,
            (State::DataEnd, b'\n') => {
                self.line = 0;
                State::default()
            }
            (State::DataEnd, _) => return Err(Garbage),
            (State::Trailer(true), b'\n') => return Ok(true),
            (State::Trailer(_), b'\n') => State::Trailer(true),
            (State::Trailer(empty), b'\r') => State::Trailer(empty),
            (State::Trailer(_), _) => State::Trailer(false),
            (State::Data(left), _) => State::Data(left),
        };
        Ok(false)
    }

    fn after_size(&mut self, size: u64) -> State {
        self.line = 0;
        if size == 0 { State::Trailer(true) } else { State::Data(size) }
    }
}

fn hex(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        _ => byte - b'A' + 10,
    }
}
