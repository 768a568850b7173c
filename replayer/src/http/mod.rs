//! Reading HTTP/1 answers without keeping them: heads up to a bound, bodies only counted off.

mod chunked;

use std::mem::MaybeUninit;

use chunked::Chunks;

use crate::limits;

/// Reads one answer after the other from the bytes of a connection.
#[derive(Debug)]
pub(crate) struct Reader {
    state: State,
    /// A head that came in pieces.
    partial: Vec<u8>,
    to_head_request: bool,
    /// The request asks for another protocol.
    may_switch: bool,
    /// The body is wanted.
    hands_on: bool,
    /// Bytes of the body so far, without its framing.
    body_len: u64,
    keep_alive: bool,
}

/// The head of an answer, while its bytes are at hand.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    pub(crate) status: u16,
    pub(crate) headers: &'a [httparse::Header<'a>],
}

/// A part of an answer.
#[derive(Debug)]
pub(crate) enum Part<'a> {
    /// The head of the final answer, or of the one that switches to the protocol that was asked for.
    Head(&'a Head<'a>),
    /// A piece of its body, or what comes in the other protocol.
    Body(&'a [u8]),
}

/// How far the bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All bytes are used and the answer goes on.
    More,
    /// The answer is complete; so many of the bytes belonged to it.
    Done(usize),
}

/// The peer does not speak HTTP/1, or not within our bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Garbage;

/// What the end of the connection means for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtEnd {
    /// The end of the connection is the end of the body.
    Complete,
    /// Not one byte of an answer had come.
    Nothing,
    /// Something was still to come.
    Cut,
}

#[derive(Debug)]
enum State {
    Head,
    Length(u64),
    Chunked(Chunks),
    UntilClose,
    /// Not HTTP any more, until the connection ends.
    Switched,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader {
            state: State::Head,
            partial: Vec::new(),
            to_head_request: false,
            may_switch: false,
            hands_on: false,
            body_len: 0,
            keep_alive: true,
        }
    }
}

impl Reader {
    /// Gets ready for the answer to a new request, which may ask for another protocol.
    pub(crate) fn start(&mut self, to_head_request: bool, may_switch: bool) {
        self.state = State::Head;
        self.partial.clear();
        self.to_head_request = to_head_request;
        self.may_switch = may_switch;
        self.hands_on = false;
        self.body_len = 0;
        self.keep_alive = true;
    }

    /// Bytes of the body so far, without its framing.
    pub(crate) fn body_len(&self) -> u64 {
        self.body_len
    }

    /// Whether another request may follow on the connection after a complete answer.
    pub(crate) fn keeps_alive(&self) -> bool {
        self.keep_alive
    }

    /// Takes in `bytes`. `on` sees the head of the final answer once (not of 1xx), and says whether it wants the body.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        on: &mut dyn FnMut(Part<'_>) -> bool,
    ) -> Result<Progress, Garbage> {
        let mut used = 0;
        while matches!(self.state, State::Head) {
            let Some(head_bytes) = self.head(&bytes[used..], on)? else { return Ok(Progress::More) };
            used += head_bytes;
            if matches!(self.state, State::Length(0)) {
                return Ok(Progress::Done(used));
            }
        }
        let rest = &bytes[used..];
        let Reader { state, hands_on, body_len, .. } = self;
        let mut body = |bytes: &[u8]| {
            *body_len += bytes.len() as u64;
            if *hands_on && !bytes.is_empty() {
                on(Part::Body(bytes));
            }
        };
        match state {
            State::Head => Ok(Progress::More),
            State::UntilClose | State::Switched => {
                body(rest);
                Ok(Progress::More)
            }
            State::Length(left) => {
                let here = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= here as u64;
                let is_done = *left == 0;
                body(&rest[..here]);
                Ok(if is_done { Progress::Done(used + here) } else { Progress::More })
            }
            State::Chunked(chunks) => match chunks.feed(rest, &mut body)? {
                Some(here) => Ok(Progress::Done(used + here)),
                None => Ok(Progress::More),
            },
        }
    }

    /// What it means that the connection ended here.
    pub(crate) fn at_end(&self) -> AtEnd {
        match self.state {
            State::UntilClose => AtEnd::Complete,
            State::Head if self.partial.is_empty() => AtEnd::Nothing,
            _ => AtEnd::Cut,
        }
    }

    /// Reads one head. `None`: it goes on. Else how many of `bytes` it took; after 1xx the state is still `Head`.
    fn head(&mut self, bytes: &[u8], on: &mut dyn FnMut(Part<'_>) -> bool) -> Result<Option<usize>, Garbage> {
        if self.partial.is_empty() {
            return match self.parse(bytes, on)? {
                Some(len) => Ok(Some(len)),
                None => {
                    self.keep_partial(bytes)?;
                    Ok(None)
                }
            };
        }
        let before = self.partial.len();
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(&bytes[..bytes.len().min(limits::HEAD_BYTES)]);
        let parsed = self.parse(&whole, on);
        whole.truncate(if matches!(parsed, Ok(Some(_))) { 0 } else { whole.len() });
        self.partial = whole;
        match parsed? {
            Some(len) => Ok(Some(len - before)), // the head ended in the new bytes, or it had ended before
            None if self.partial.len() >= limits::HEAD_BYTES => Err(Garbage),
            None => Ok(None),
        }
    }

    fn keep_partial(&mut self, bytes: &[u8]) -> Result<(), Garbage> {
        if bytes.len() >= limits::HEAD_BYTES {
            return Err(Garbage);
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    fn parse(
        &mut self,
        bytes: &[u8],
        on: &mut dyn FnMut(Part<'_>) -> bool,
    ) -> Result<Option<usize>, Garbage> {
        let mut fields = [const { MaybeUninit::uninit() }; FEW_FIELDS];
        let mut response = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        match config.parse_response_with_uninit_headers(&mut response, bytes, &mut fields) {
            Ok(httparse::Status::Complete(len)) => self.accept(&response, on).map(|()| Some(len)),
            Ok(httparse::Status::Partial) => Ok(None),
            Err(httparse::Error::TooManyHeaders) => self.parse_many(bytes, on),
            Err(_) => Err(Garbage),
        }
    }

    fn parse_many(
        &mut self,
        bytes: &[u8],
        on: &mut dyn FnMut(Part<'_>) -> bool,
    ) -> Result<Option<usize>, Garbage> {
        let mut fields = vec![httparse::EMPTY_HEADER; limits::HEAD_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        match response.parse(bytes) {
            Ok(httparse::Status::Complete(len)) => self.accept(&response, on).map(|()| Some(len)),
            Ok(httparse::Status::Partial) => Ok(None),
            Err(_) => Err(Garbage),
        }
    }

    fn accept(
        &mut self,
        response: &httparse::Response<'_, '_>,
        on: &mut dyn FnMut(Part<'_>) -> bool,
    ) -> Result<(), Garbage> {
        let status = response.code.ok_or(Garbage)?;
        let switches = status == 101;
        if switches && !self.may_switch || !(100..=999).contains(&status) {
            return Err(Garbage); // nobody asked to switch protocols
        }
        if status < 200 && !switches {
            return Ok(());
        }
        let framing = Framing::read(response.headers)?;
        self.keep_alive = if response.version == Some(0) { framing.keep_alive } else { !framing.close };
        let no_body = self.to_head_request || status == 204 || status == 304;
        self.state = match (no_body, framing.coded, framing.chunked, framing.length) {
            _ if switches => State::Switched,
            (true, ..) => State::Length(0),
            (_, true, true, _) => State::Chunked(Chunks::default()),
            (_, true, false, _) | (_, false, _, None) => State::UntilClose,
            (_, false, _, Some(length)) => State::Length(length),
        };
        self.keep_alive &= !matches!(self.state, State::UntilClose | State::Switched);
        self.hands_on = on(Part::Head(&Head { status, headers: response.headers }));
        Ok(())
    }
}

/// What the header says about where the body ends and what becomes of the connection.
#[derive(Debug, Default)]
struct Framing {
    length: Option<u64>,
    /// There is a Transfer-Encoding.
    coded: bool,
    /// Its last coding is chunked.
    chunked: bool,
    close: bool,
    keep_alive: bool,
}

impl Framing {
    fn read(headers: &[httparse::Header<'_>]) -> Result<Framing, Garbage> {
        let mut framing = Framing::default();
        for header in headers {
            match header.name.len() {
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    let length = number(header.value)?;
                    if framing.length.is_some_and(|before| before != length) {
                        return Err(Garbage);
                    }
                    framing.length = Some(length);
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                    framing.coded = true;
                    let last = header.value.rsplit(|b| *b == b',').next().unwrap_or(b"");
                    framing.chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
                }
                10 if header.name.eq_ignore_ascii_case("connection") => {
                    for option in header.value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                        framing.close |= option.eq_ignore_ascii_case(b"close");
                        framing.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                _ => {}
            }
        }
        Ok(framing)
    }
}

fn number(value: &[u8]) -> Result<u64, Garbage> {
    let digits = value.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Garbage);
    }
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or(Garbage)
}

/// Slots for header fields on the stack; more take a second look.
const FEW_FIELDS: usize = 32;

#[cfg(test)]
mod tests;
