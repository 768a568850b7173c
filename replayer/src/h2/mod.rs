//! HTTP/2 for clients (RFC 9113) without sockets, tasks or clocks: bytes come in and become events, calls become
//! bytes.
//!
//! ```text
//! request, send, reset --> Connection --> out, what the socket is to send
//!          socket bytes --feed-> ... ---> events, and answers of the protocol into out
//! ```
//!
//! Made for very many streams: an idle one costs about 34 bytes, a request no allocation. The caller encodes header
//! blocks once ([`hpack::push`]) and sends them many times. Whatever a peer sends is bounded, and no bytes of it
//! make this panic: a broken stream is reset, a broken connection is over.
//!
//! Never here: sockets, time limits, what an answer means.

mod answers;
mod block;
mod body;
mod control;
mod feed;
mod flow;
mod frame;
pub(crate) mod hpack;
mod streams;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::limits;
use feed::Stage;
use hpack::{Decoder, Fields};
use streams::{ANSWER_ENDED, REQUEST_ENDED, REQUEST_GIVEN, Stream, Streams};

/// What a connection is set up with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    /// Most streams at once; the peer may allow fewer.
    pub(crate) max_streams: u32,
    /// Bytes of an answer that the peer may send ahead of our reading, on each stream; 1 to 2^31 - 1.
    pub(crate) window: u32,
}

/// Something came for a stream (`tag` is what the caller called it) or for the connection.
///
/// The last event of a stream is one with `end`, [`Event::Trailers`] or [`Event::Reset`]. An answer may be complete
/// before its request is: then the caller goes on with the request or resets the stream, which stays open till then.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// The head of the final answer.
    Head { tag: u32, status: u16, fields: &'a Fields, end: bool },
    /// A head before the final one (1xx).
    Interim { tag: u32, status: u16 },
    /// A piece of the answer's body, as it came.
    Data { tag: u32, bytes: &'a [u8], end: bool },
    /// Fields after the body; the answer is complete.
    Trailers { tag: u32, fields: &'a Fields },
    /// The stream is over without a complete answer. With [`REFUSED_STREAM`] nothing was done for the request, so it
    /// is safe to send it again.
    Reset { tag: u32, code: u32, why: Why },
    /// The peer takes no new streams; those above `last_stream` get a [`Event::Reset`] each, right after this.
    GoAway { last_stream: u32, code: u32 },
    /// SETTINGS came: the peer's limit of streams may have changed.
    Settled,
}

impl Event<'_> {
    /// What the caller called the stream; `None` for what concerns the connection.
    pub(crate) fn tag(&self) -> Option<u32> {
        match *self {
            Event::Head { tag, .. }
            | Event::Interim { tag, .. }
            | Event::Data { tag, .. }
            | Event::Trailers { tag, .. }
            | Event::Reset { tag, .. } => Some(tag),
            Event::GoAway { .. } | Event::Settled => None,
        }
    }
}

/// Who ended a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The peer, on purpose.
    Peer,
    /// We, because its answer breaks the protocol in this way.
    Malformed(&'static str),
}

/// The connection is over: the peer broke the protocol. GOAWAY with this code was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why} (HTTP/2 error {code})")]
pub(crate) struct Error {
    pub(crate) code: u32,
    pub(crate) why: &'static str,
}

/// A piece of a request's body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    /// Spaces after the bytes, which need no memory while they wait.
    pub(crate) filler: u64,
    /// Nothing comes behind it.
    pub(crate) end: bool,
}

/// The client's side of one connection.
#[derive(Debug)]
pub(crate) struct Connection {
    config: Config,
    peer: Peer,
    streams: Streams,
    /// Number of the next stream.
    next: u32,
    /// Bytes that we may send in all.
    send_window: i32,
    /// Bytes of DATA that came and are not given back to the connection's window.
    received: u32,
    /// Bodies that wait for a window or for room, by stream.
    uploads: BTreeMap<u32, VecDeque<Piece>>,
    /// Streams of `uploads` whose own window is open, each once, in the order of their turns.
    line: VecDeque<u32>,
    stage: Stage,
    /// A frame that came in pieces, from its head on.
    partial: Vec<u8>,
    /// A header block that goes on in CONTINUATION frames.
    block: Option<block::Open>,
    decoder: Decoder,
    fields: Fields,
    /// Streams that we reset a short while ago.
    forgiven: VecDeque<u32>,
    /// Streams up to this number are forgiven too.
    forgiven_to: u32,
    idle_frames: u32,
    unread_answers: u32,
    failed: Option<Error>,
}

/// What the peer said about itself.
#[derive(Clone, Copy, Debug)]
struct Peer {
    /// Its SETTINGS came.
    is_known: bool,
    /// It has confirmed ours.
    has_settled: bool,
    max_streams: u32,
    window: u32,
    frame_bytes: usize,
    /// The last stream it will look at, after GOAWAY.
    last_stream: Option<u32>,
}

impl Connection {
    /// Begins a connection: the first bytes go into `out`. Requests may follow before the peer says anything.
    pub(crate) fn new(config: Config, out: &mut Vec<u8>) -> Connection {
        let config = Config { window: config.window.clamp(1, frame::WINDOW_MAX), ..config };
        out.extend_from_slice(frame::PREFACE);
        frame::settings(
            out,
            &[
                (frame::ENABLE_PUSH, 0),
                (frame::INITIAL_WINDOW_SIZE, config.window),
                (frame::MAX_HEADER_LIST_SIZE, limits::HEAD_BYTES as u32),
            ],
        );
        frame::window_update(out, 0, limits::H2_CONNECTION_WINDOW - frame::WINDOW_AT_FIRST);
        Connection {
            config,
            peer: Peer::default(),
            streams: Streams::default(),
            next: 1,
            send_window: frame::WINDOW_AT_FIRST as i32,
            received: 0,
            uploads: BTreeMap::new(),
            line: VecDeque::new(),
            stage: Stage::Frame,
            partial: Vec::new(),
            block: None,
            decoder: Decoder::new(),
            fields: Fields::default(),
            forgiven: VecDeque::new(),
            forgiven_to: 0,
            idle_frames: 0,
            unread_answers: 0,
            failed: None,
        }
    }

    /// Whether a request may be sent now.
    pub(crate) fn can_open(&self) -> bool {
        self.open_streams() < self.config.max_streams.min(self.peer.max_streams) && !self.is_going_away()
    }

    /// Whether the peer has told its limits.
    pub(crate) fn is_greeted(&self) -> bool {
        self.peer.is_known
    }

    /// Streams that are open, those included whose answer is complete but whose request is not.
    pub(crate) fn open_streams(&self) -> u32 {
        self.streams.len() as u32
    }

    /// Whether this connection will never take another request: GOAWAY came, an error, or the numbers are used up.
    pub(crate) fn is_going_away(&self) -> bool {
        self.peer.last_stream.is_some() || self.failed.is_some() || self.next > frame::STREAM_MAX
    }

    /// Sends the head of a request, whose `block` is complete and made with [`hpack`]. `end`: there is no body.
    /// Returns the number of the stream; none where [`Connection::can_open`] says no.
    pub(crate) fn request(&mut self, out: &mut Vec<u8>, block: &[u8], end: bool, tag: u32) -> Option<u32> {
        if !self.can_open() {
            return None;
        }
        let id = self.next;
        self.next += 2;
        let note: &[u8] = if id == 1 { &[hpack::NO_TABLE] } else { &[] };
        frame::headers(out, id, [note, block], end, self.peer.frame_bytes);
        let flags = if end { REQUEST_GIVEN | REQUEST_ENDED } else { 0 };
        let send_window = self.peer.window as i32;
        self.streams.insert(Stream { id, tag, send_window, body_left: streams::UNKNOWN, flags, received: 0 });
        Some(id)
    }

    /// Ends a stream at once and forgets it; there are no more events for it. Nothing happens where it is over.
    pub(crate) fn reset(&mut self, out: &mut Vec<u8>, stream: u32, code: u32) {
        if self.forget(stream).is_some() {
            frame::rst_stream(out, stream, code);
            self.forgive(stream);
        }
    }

    /// Streams without a complete answer, as `(stream, tag)`: what is lost when the connection dies.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (u32, u32)> {
        self.streams.iter().filter(|stream| !stream.has(ANSWER_ENDED)).map(|stream| (stream.id, stream.tag))
    }

    /// Drops all that is known of a stream.
    fn forget(&mut self, stream: u32) -> Option<Stream> {
        let removed = self.streams.remove(stream)?;
        if !self.uploads.is_empty() {
            self.uploads.remove(&stream);
        }
        if removed.has(streams::IN_LINE) {
            self.line.retain(|waiting| *waiting != stream);
        }
        Some(removed)
    }

    /// Remembers that late frames of this stream are no offence.
    fn forgive(&mut self, stream: u32) {
        if self.forgiven.len() == limits::H2_FORGIVEN {
            let oldest = self.forgiven.pop_front().unwrap_or(0);
            self.forgiven_to = self.forgiven_to.max(oldest);
        }
        self.forgiven.push_back(stream);
    }

    fn is_forgiven(&self, stream: u32) -> bool {
        stream <= self.forgiven_to || self.forgiven.contains(&stream)
    }

    /// Whether a stream was never opened, by either side.
    fn is_idle(&self, stream: u32) -> bool {
        stream.is_multiple_of(2) || stream >= self.next
    }
}

impl Default for Peer {
    fn default() -> Peer {
        Peer {
            is_known: false,
            has_settled: false,
            max_streams: limits::H2_STREAMS_AT_FIRST,
            window: frame::WINDOW_AT_FIRST,
            frame_bytes: frame::FRAME_BYTES,
            last_stream: None,
        }
    }
}

pub(crate) const NO_ERROR: u32 = 0x0;
pub(crate) const PROTOCOL_ERROR: u32 = 0x1;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 0x3;
pub(crate) const STREAM_CLOSED: u32 = 0x5;
pub(crate) const FRAME_SIZE_ERROR: u32 = 0x6;
pub(crate) const REFUSED_STREAM: u32 = 0x7;
pub(crate) const CANCEL: u32 = 0x8;
pub(crate) const COMPRESSION_ERROR: u32 = 0x9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 0xb;

#[cfg(test)]
mod tests;
