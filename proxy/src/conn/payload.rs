//! Tells payload from framing in the bytes of an HTTP/1 message (RFC 9112 sections 6 and 7).

/// Follows one message as its bytes go by, in pieces of any size.
///
/// ```text
/// Head --blank line--> Plain (up to the end of the message, or of the connection)
///                 \--> Size line -> Data -> End of data -> Size line -> ... -> last chunk -> Tail
/// ```
#[derive(Debug)]
pub(super) struct Payload {
    state: State,
    head: Vec<u8>,
    switched: bool,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Bytes of the header.
    Head,
    /// Bytes around the payload: chunk sizes, what ends chunks and body.
    Frame,
    /// At most so many bytes of payload.
    Payload(u64),
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
}

impl Payload {
    /// An answer, from its header on.
    pub(super) fn answer() -> Self {
        Payload { state: State::Head, head: Vec::new(), switched: false }
    }

    /// A body whose header has gone by.
    pub(super) fn body(chunked: bool) -> Self {
        Payload { state: if chunked { CHUNK_START } else { State::Plain }, head: Vec::new(), switched: false }
    }

    /// Is it another protocol that follows?
    pub(super) fn is_switched(&self) -> bool {
        self.switched
    }

    pub(super) fn next(&self) -> Next {
        match self.state {
            State::Head => Next::Head,
            State::Plain => Next::Payload(u64::MAX),
            State::ChunkData(left) => Next::Payload(left),
            State::ChunkSize { .. } | State::ChunkEnd(_) | State::Tail => Next::Frame,
        }
    }

    /// Takes bytes of the header or of the framing off the front of `bytes`, at least one; gives how many.
    pub(super) fn frame(&mut self, bytes: &[u8]) -> usize {
        match self.state {
            State::Head => self.head(bytes),
            State::ChunkSize { size, digits_over } => {
                self.state = next_of_size_line(bytes[0], size, digits_over);
                1
            }
            State::ChunkEnd(left) => {
                self.state = if left > 1 { State::ChunkEnd(left - 1) } else { CHUNK_START };
                1
            }
            State::Tail | State::Plain | State::ChunkData(_) => bytes.len(),
        }
    }

    /// So many bytes of payload have gone by, at most as many as [`Next::Payload`] said.
    pub(super) fn payload(&mut self, bytes: usize) {
        if let State::ChunkData(left) = self.state {
            let left = left.saturating_sub(bytes as u64);
            self.state = if left == 0 { State::ChunkEnd(2) } else { State::ChunkData(left) };
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
        self.switched = status(&self.head) == Some(b"101");
        self.state = if is_informational(&self.head) {
            State::Head
        } else if is_chunked(&self.head) {
            CHUNK_START
        } else {
            State::Plain
        };
        self.head = Vec::new();
        at - before
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
    // 101 is final, since the bytes behind it belong to the new protocol
    status(head).is_some_and(|status| status.starts_with(b"1") && status != b"101")
}

/// Of "HTTP/1.1 200 ...".
fn status(head: &[u8]) -> Option<&[u8]> {
    head.get(9..12)
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

    /// Header, framing and payload of a message that arrives in pieces.
    fn check(message: &[u8], head: &[u8], payload: &[u8]) {
        for piece in [1, 2, 3, 7, message.len()] {
            let mut framing = Payload::answer();
            let (mut heads, mut frames, mut payloads) = (Vec::new(), Vec::new(), Vec::new());
            for mut bytes in message.chunks(piece) {
                while !bytes.is_empty() {
                    let next = framing.next();
                    let used = match next {
                        Next::Payload(most) => {
                            let used = bytes.len().min(usize::try_from(most).unwrap_or(usize::MAX));
                            framing.payload(used);
                            used
                        }
                        Next::Head | Next::Frame => framing.frame(bytes),
                    };
                    let to = match next {
                        Next::Head => &mut heads,
                        Next::Frame => &mut frames,
                        Next::Payload(_) => &mut payloads,
                    };
                    to.extend_from_slice(&bytes[..used]);
                    bytes = &bytes[used..];
                }
            }
            assert_eq!(
                String::from_utf8_lossy(&heads),
                String::from_utf8_lossy(head),
                "in pieces of {piece}"
            );
            assert_eq!(
                String::from_utf8_lossy(&payloads),
                String::from_utf8_lossy(payload),
                "in pieces of {piece}"
            );
            assert_eq!(heads.len() + frames.len() + payloads.len(), message.len());
        }
    }

    #[test]
    fn a_plain_body_is_all_payload() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
        check(&[head.as_slice(), b"0123456789"].concat(), head, b"0123456789");
    }

    #[test]
    fn chunk_framing_is_none() {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n";
        let body = b"5;x=1\r\nhello\r\nA\r\n0123456789\r\n0\r\nx-trailer: 1\r\n\r\n";
        check(&[head.as_slice(), body].concat(), head, b"hello0123456789");
    }

    #[test]
    fn an_informational_answer_is_not_the_answer() {
        let head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        check(&[head.as_slice(), b"ok"].concat(), head, b"ok");
        let head = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
        check(&[head.as_slice(), b"HTTP/1.1 no more"].concat(), head, b"HTTP/1.1 no more");
    }
}
