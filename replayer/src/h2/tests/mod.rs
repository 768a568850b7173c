//! The codec against scripts of frames ([`frames`], [`uploads`]), against any bytes ([`splits`]), and against a
//! server of another make ([`interop`]).

mod frames;
mod interop;
mod limits_of_peers;
mod splits;
mod uploads;

use super::frame::{self, Head};
use super::*;

/// An event whose bytes are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Head(u32, u16, Vec<(String, String)>, bool),
    Interim(u32, u16),
    Data(u32, Vec<u8>, bool),
    Trailers(u32, Vec<(String, String)>),
    Reset(u32, u32, Why),
    GoAway(u32, u32),
    Settled,
}

impl Seen {
    pub(super) fn of(event: &Event<'_>) -> Seen {
        match *event {
            Event::Head { tag, status, fields, end } => Seen::Head(tag, status, texts(fields), end),
            Event::Interim { tag, status } => Seen::Interim(tag, status),
            Event::Data { tag, bytes, end } => Seen::Data(tag, bytes.to_vec(), end),
            Event::Trailers { tag, fields } => Seen::Trailers(tag, texts(fields)),
            Event::Reset { tag, code, why } => Seen::Reset(tag, code, why),
            Event::GoAway { last_stream, code } => Seen::GoAway(last_stream, code),
            Event::Settled => Seen::Settled,
        }
    }
}

fn texts(fields: &Fields) -> Vec<(String, String)> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    fields.iter().map(|(name, value)| (text(name), text(value))).collect()
}

/// A client and what it wrote, without a server.
pub(super) struct Client {
    pub(super) connection: Connection,
    pub(super) out: Vec<u8>,
    pub(super) seen: Vec<Seen>,
}

impl Client {
    /// A client that has read the server's SETTINGS.
    pub(super) fn new(settings: &[(u16, u32)]) -> Client {
        let mut client = Client::fresh();
        let mut bytes = Vec::new();
        frame::settings(&mut bytes, settings);
        frame::settings_ack(&mut bytes);
        client.feed(&bytes).unwrap();
        client.seen.clear();
        client.out.clear();
        client
    }

    pub(super) fn fresh() -> Client {
        let mut out = Vec::new();
        let connection = Connection::new(Config { max_streams: 1000, window: 100_000 }, &mut out);
        Client { connection, out, seen: Vec::new() }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Client { connection, out, seen } = self;
        connection.feed(bytes, out, &mut |event| seen.push(Seen::of(&event)))
    }

    /// Opens a stream with the tag `10 * number of the stream`.
    pub(super) fn open(&mut self, end: bool) -> u32 {
        let id = self.connection.next;
        assert_eq!(
            self.connection.request(&mut self.out, &[0x82, 0x87, 0x84], end, id.wrapping_mul(10)),
            Some(id)
        );
        id
    }

    /// What was seen since the last call.
    pub(super) fn seen(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    /// The frames that were written since the last call.
    pub(super) fn written(&mut self) -> Vec<(Head, Vec<u8>)> {
        let out = std::mem::take(&mut self.out);
        let mut rest = &out[..];
        let mut frames = Vec::new();
        while let Some((head, tail)) = rest.split_first_chunk() {
            let head = Head::read(head);
            let (payload, tail) = tail.split_at(head.length);
            frames.push((head, payload.to_vec()));
            rest = tail;
        }
        assert_eq!(rest, b"");
        frames
    }
}

/// A frame as bytes.
pub(super) fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Head { length: payload.len(), kind, flags, stream }.write(&mut out);
    out.extend_from_slice(payload);
    out
}

/// A complete header block as a frame.
pub(super) fn headers(stream: u32, fields: &[(&str, &str)], end: bool) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        hpack::push(&mut block, name.as_bytes(), value.as_bytes());
    }
    let end = if end { frame::END_STREAM } else { 0 };
    raw(frame::HEADERS, frame::END_HEADERS | end, stream, &block)
}

pub(super) fn ok(stream: u32) -> Vec<u8> {
    headers(stream, &[(":status", "200")], false)
}

pub(super) fn data(stream: u32, bytes: &[u8], end: bool) -> Vec<u8> {
    raw(frame::DATA, u8::from(end), stream, bytes)
}

pub(super) fn window(stream: u32, increment: u32) -> Vec<u8> {
    raw(frame::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}
