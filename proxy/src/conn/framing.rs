//! Where one HTTP/1 request ends in what its client sends (RFC 9112 sections 2.2, 6 and 7.1).
//!
//! Pingora reads whatever is there, and closes a connection on which it has read into the next request. So a read is
//! cut where a request ends, and what lies behind waits for its turn. Pingora stays the only judge of what a request
//! says: here only blank lines and chunk sizes are looked for, and how a body is framed is told by the hooks once
//! pingora has read the header. Where the two should disagree, pingora gets all bytes and decides.

use memchr::memchr;

/// How a body ends, as its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    /// After so many bytes.
    Length(u64),
    Chunked,
    /// With the connection: what follows is another protocol.
    Endless,
}

/// Follows one request.
///
/// ```text
/// Head --blank line, pingora reads it--> Length | Chunked | Endless
///                                             \--> Over
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Head {
        line: Line,
        /// A line that is not blank was seen: blank ones before it do not count.
        begun: bool,
    },
    Length(u64),
    Chunked(Chunk),
    /// There is no end, or none that is known of.
    Endless,
    Over,
}

/// What of a line has been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Start,
    /// A carriage return, and nothing before it.
    Return,
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the digits of a size.
    Size {
        size: u64,
        digits: bool,
    },
    /// Behind them, up to the end of the line.
    Extension(u64),
    /// In the data, or the line end behind it: bytes left of both.
    Data(u64),
    Trailer(Line),
}

impl Framing {
    pub(super) fn head() -> Framing {
        Framing::Head { line: Line::Start, begun: false }
    }

    pub(super) fn of(body: BodyFraming) -> Framing {
        match body {
            BodyFraming::Length(0) => Framing::Over,
            BodyFraming::Length(length) => Framing::Length(length),
            BodyFraming::Chunked => Framing::Chunked(Chunk::START),
            BodyFraming::Endless => Framing::Endless,
        }
    }

    /// How many of the next bytes belong to the request. All of them, where pingora asks for more than was expected.
    pub(super) fn admit(&mut self, bytes: &[u8]) -> usize {
        match self {
            Framing::Head { line, begun } => blank_line(bytes, line, begun).unwrap_or(bytes.len()),
            Framing::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                if *left == 0 {
                    *self = Framing::Over;
                }
                taken
            }
            Framing::Chunked(_) => self.admit_chunks(bytes),
            Framing::Endless | Framing::Over => bytes.len(),
        }
    }

    fn admit_chunks(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while let Framing::Chunked(chunk) = self
            && taken < bytes.len()
        {
            let rest = &bytes[taken..];
            match chunk.step(rest) {
                Step::Go(used, next) => {
                    *chunk = next;
                    taken += used;
                }
                Step::End(used) => {
                    *self = Framing::Over;
                    return taken + used;
                }
                Step::Nonsense => *self = Framing::Endless, // pingora will refuse it
            }
        }
        if *self == Framing::Endless { bytes.len() } else { taken }
    }
}

enum Step {
    /// So many bytes are used up, and this comes next.
    Go(usize, Chunk),
    /// The body ends behind so many bytes.
    End(usize),
    Nonsense,
}

impl Chunk {
    const START: Chunk = Chunk::Size { size: 0, digits: false };

    fn step(self, bytes: &[u8]) -> Step {
        match self {
            Chunk::Size { size, digits } => match (char::from(bytes[0]).to_digit(16), bytes[0]) {
                (Some(digit), _) => match size.checked_mul(16) {
                    Some(size) => Step::Go(1, Chunk::Size { size: size | u64::from(digit), digits: true }),
                    None => Step::Nonsense,
                },
                (None, b'\n') if digits => Step::Go(1, Chunk::behind_size(size)),
                (None, b'\r' | b';' | b' ' | b'\t') if digits => Step::Go(1, Chunk::Extension(size)),
                _ => Step::Nonsense,
            },
            Chunk::Extension(size) => match memchr(b'\n', bytes) {
                Some(at) => Step::Go(at + 1, Chunk::behind_size(size)),
                None => Step::Go(bytes.len(), self),
            },
            Chunk::Data(left) => {
                let used = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                match left - used as u64 {
                    0 => Step::Go(used, Chunk::START),
                    left => Step::Go(used, Chunk::Data(left)),
                }
            }
            Chunk::Trailer(mut line) => match blank_line(bytes, &mut line, &mut true) {
                Some(used) => Step::End(used),
                None => Step::Go(bytes.len(), Chunk::Trailer(line)),
            },
        }
    }

    fn behind_size(size: u64) -> Chunk {
        if size == 0 { Chunk::Trailer(Line::Start) } else { Chunk::Data(size.saturating_add(2)) }
    }
}

/// Index behind the first blank line that counts. Lines end with a line feed, with or without a carriage return.
fn blank_line(bytes: &[u8], line: &mut Line, begun: &mut bool) -> Option<usize> {
    let mut from = 0;
    while let Some(length) = memchr(b'\n', &bytes[from..]) {
        let blank = match (*line, &bytes[from..from + length]) {
            (Line::Start, [] | [b'\r']) | (Line::Return, []) => true,
            (Line::Start | Line::Return | Line::Text, _) => false,
        };
        *line = Line::Start;
        from += length + 1;
        if blank && *begun {
            *begun = false;
            return Some(from);
        }
        *begun |= !blank;
    }
    match (*line, &bytes[from..]) {
        (_, []) => {}
        (Line::Start, [b'\r']) => *line = Line::Return,
        _ => *line = Line::Text,
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` in pieces of every size and checks where the request ends.
    fn check(framing: Framing, bytes: &[u8], ends: Option<usize>) {
        for piece in 1..=bytes.len() {
            let mut framing = framing;
            let mut end = None;
            let mut taken = 0;
            for bytes in bytes.chunks(piece) {
                let used = framing.admit(bytes);
                taken += used;
                let head_over = matches!(framing, Framing::Head { begun: false, line: Line::Start });
                if used < bytes.len() || framing == Framing::Over || head_over && taken > 2 {
                    end = Some(taken);
                    break;
                }
            }
            assert_eq!(end, ends, "{:?} in pieces of {piece}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_header_ends_with_its_blank_line() {
        let check = |text: &str, ends: Option<usize>| check(Framing::head(), text.as_bytes(), ends);
        check("GET / HTTP/1.1\r\nHost: t\r\n\r\nGET /next", Some(27));
        check("GET / HTTP/1.1\r\nHost: t\r\n\r\n", Some(27));
        check("GET / HTTP/1.1\nHost: t\n\nrest", Some(24));
        check("GET / HTTP/1.1\nHost: t\n\r\nrest", Some(25));
        check("GET / HTTP/1.1\r\nHost: t\r\n\nrest", Some(26));
        check("GET / HTTP/1.1\r\nA: \r\rb\r\n\r\nrest", Some(26));
        check("\r\nGET / HTTP/1.1\r\n\r\nrest", Some(20));
        check("GET / HTTP/1.1\r\nHost: t\r\n", None);
        check("GET / HTTP/1.1\r\nHost: t\r\n\r", None);
    }

    #[test]
    fn a_body_of_known_length_ends_with_it() {
        check(Framing::of(BodyFraming::Length(5)), b"helloGET /", Some(5));
        check(Framing::of(BodyFraming::Length(10)), b"helloGET /", Some(10));
        check(Framing::of(BodyFraming::Length(11)), b"helloGET /", None);
        check(Framing::of(BodyFraming::Length(u64::MAX)), b"hello", None);
    }

    #[test]
    fn a_chunked_body_ends_behind_its_trailers() {
        let check = |text: &str, ends: Option<usize>| {
            check(Framing::of(BodyFraming::Chunked), text.as_bytes(), ends);
        };
        check("5\r\nhello\r\n0\r\n\r\nGET /", Some(15));
        check("5;a=\"0\r\n\r\nhello\r\n0\r\n\r\nGET /", None); // its data begins at the first line end
        check("A;x=y\r\n0\r\n\r\nabcde\r\n00\r\nX: y\r\nZ: 1\r\n\r\nGET /", Some(37));
        check("0\r\n\r\n", Some(5));
        check("5 \r\nhello\r\n0\n\nGET /", Some(14));
        check("5\r\nhello\r\n0\r\n", None);
        check("ffffffffffffffff\r\nhello", None);
    }

    #[test]
    fn what_is_no_chunk_is_pingoras_to_refuse() {
        for nonsense in ["x\r\nhello", "\r\n5\r\nhello", "5x\r\nhello", "10000000000000000\r\nx"] {
            let mut framing = Framing::of(BodyFraming::Chunked);
            assert_eq!(framing.admit(nonsense.as_bytes()), nonsense.len(), "{nonsense}");
            assert_eq!(framing, Framing::Endless, "{nonsense}");
        }
    }

    #[test]
    fn a_header_that_pingora_does_not_take_for_whole_goes_on() {
        let mut framing = Framing::head();
        assert_eq!(framing.admit(b"a\n\nb: c\r\n\r\nd"), 3);
        assert_eq!(framing.admit(b"b: c\r\n\r\nd"), 8);
    }
}
