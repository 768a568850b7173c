//! The messages of a stream: server-sent events, WebSocket messages, gRPC messages.
//!
//! What a stream held is kept as a list of [`Message`]s: direction, kind, size and time of each; of what the client
//! sent the bytes too, since a replay has to send them again. The scanners find the messages in bytes that pass, in
//! pieces of any size; they hold no clock and do no I/O, so whoever feeds them says when a message was seen.

mod collector;
mod grpc;
mod sse;
mod websocket;

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::Body;

pub use grpc::GrpcScanner;
pub(crate) use grpc::next_in_body;
pub use sse::SseScanner;
pub use websocket::WsScanner;

/// Whether the type is that of a gRPC body whose messages can be told apart: `application/grpc-web-text` is base64.
pub fn is_grpc(content_type: &str) -> bool {
    let kind = content_type.trim_start().as_bytes();
    let is = |name: &[u8]| kind.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    is(b"application/grpc") && !is(b"application/grpc-web-text")
}

/// What kind of stream an exchange was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// Server-sent events: `text/event-stream`.
    Sse,
    /// A WebSocket, behind 101 Switching Protocols.
    WebSocket,
    /// gRPC, unary calls included: `application/grpc`.
    Grpc,
}

/// What a message is, in the terms of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageKind {
    /// WebSocket: text.
    Text = 1,
    /// WebSocket: binary data.
    Binary = 2,
    /// SSE: an event, or a field of the stream (`retry`) that stands alone.
    Event = 3,
    /// SSE: nothing but comments, as servers send to keep a connection alive.
    Comment = 4,
    /// gRPC: a message.
    Framed = 5,
    /// gRPC-Web: the trailers, which it sends as a frame of the body.
    Trailers = 6,
    /// WebSocket: the closing frame.
    Close = 8,
    /// WebSocket: a ping.
    Ping = 9,
    /// WebSocket: a pong.
    Pong = 10,
}

/// One message of a stream.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// When its last byte passed, in microseconds after the start of the exchange.
    pub at_us: u64,
    /// Who sent it: the client, or the server.
    pub from_client: bool,
    /// What it is.
    pub kind: MessageKind,
    /// Whether its bytes are compressed (WebSocket: permessage-deflate; gRPC: the flag of the message).
    pub compressed: bool,
    /// Length in bytes without framing, as transferred. SSE: of the event's lines, without the blank line behind them.
    pub len: u64,
    /// Its bytes, unmasked, all `len` of them; only of what the client sent, and where they were recorded.
    pub data: Option<Bytes>,
}

/// The messages of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// What kind of stream it was.
    pub kind: StreamKind,
    /// Its messages, in the order in which they passed.
    pub messages: Vec<Message>,
    /// How many more there were that did not fit.
    pub truncated: u64,
}

/// A message that a scanner found; when it was found, its caller knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// What it is.
    pub kind: MessageKind,
    /// Whether its bytes are compressed.
    pub compressed: bool,
    /// Length as in [`Message::len`].
    pub len: u64,
    /// The bytes, where the scanner was asked to keep them and they were within its limit.
    pub data: Option<Bytes>,
}

impl Message {
    /// What was found, `at_us` microseconds after the start of the exchange.
    pub fn new(scanned: Scanned, at_us: u64, from_client: bool) -> Message {
        let Scanned { kind, compressed, len, data } = scanned;
        Message { at_us, from_client, kind, compressed, len, data }
    }
}

impl Stream {
    /// A stream without messages.
    pub fn new(kind: StreamKind) -> Stream {
        Stream { kind, messages: Vec::new(), truncated: 0 }
    }

    /// Gives the client's gRPC messages their bytes, which stand in the request body as far as that was recorded.
    /// They share its memory.
    pub fn fill_from_body(&mut self, body: &Body) {
        let (StreamKind::Grpc, Some(recorded)) = (self.kind, &body.data) else { return };
        let mut at = 0usize;
        for message in self.messages.iter_mut().filter(|message| message.from_client) {
            let Some(range) = next_in_body(&mut at, message.len) else { return };
            if recorded.len() < range.end {
                return;
            }
            message.data = Some(recorded.slice(range));
        }
    }

    /// Messages of one direction.
    pub fn count(&self, from_client: bool) -> u64 {
        self.messages.iter().filter(|message| message.from_client == from_client).count() as u64
    }
}

impl fmt::Debug for Message {
    /// Sizes only: a message in a log line is a leak.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("at_us", &self.at_us)
            .field("from_client", &self.from_client)
            .field("kind", &self.kind)
            .field("compressed", &self.compressed)
            .field("len", &self.len)
            .field("recorded", &self.data.is_some())
            .finish()
    }
}

impl MessageKind {
    const NAMES: [(MessageKind, &str); 9] = [
        (MessageKind::Text, "text"),
        (MessageKind::Binary, "binary"),
        (MessageKind::Event, "event"),
        (MessageKind::Comment, "comment"),
        (MessageKind::Framed, "message"),
        (MessageKind::Trailers, "trailers"),
        (MessageKind::Close, "close"),
        (MessageKind::Ping, "ping"),
        (MessageKind::Pong, "pong"),
    ];

    /// The kind of that number, as the capture file holds it.
    pub fn from_number(number: u8) -> Option<MessageKind> {
        MessageKind::NAMES.iter().map(|(kind, _)| *kind).find(|kind| *kind as u8 == number)
    }

    /// Its name in exports.
    pub fn as_str(self) -> &'static str {
        MessageKind::NAMES.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

impl StreamKind {
    const NAMES: [(StreamKind, &str); 3] =
        [(StreamKind::Sse, "sse"), (StreamKind::WebSocket, "websocket"), (StreamKind::Grpc, "grpc")];

    /// Its name in exports.
    pub fn as_str(self) -> &'static str {
        StreamKind::NAMES.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

/// The text names no kind of stream or of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no known kind of stream or message")]
pub struct UnknownKind;

impl FromStr for MessageKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<MessageKind, UnknownKind> {
        let named = MessageKind::NAMES.iter().find(|(_, name)| *name == text);
        named.map(|(kind, _)| *kind).ok_or(UnknownKind)
    }
}

impl FromStr for StreamKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<StreamKind, UnknownKind> {
        let named = StreamKind::NAMES.iter().find(|(_, name)| *name == text);
        named.map(|(kind, _)| *kind).ok_or(UnknownKind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for (kind, name) in MessageKind::NAMES {
            assert_eq!((name.parse(), MessageKind::from_number(kind as u8)), (Ok(kind), Some(kind)));
            assert_eq!(kind.as_str(), name);
        }
        for (kind, name) in StreamKind::NAMES {
            assert_eq!((name.parse(), kind.as_str()), (Ok(kind), name));
        }
        assert_eq!((MessageKind::from_number(0), MessageKind::from_number(7)), (None, None));
        assert!(is_grpc("application/grpc") && is_grpc("Application/gRPC-Web+proto"));
        assert!(!is_grpc("application/grpc-web-text") && !is_grpc("text/plain"));
        assert!("".parse::<StreamKind>().is_err() && "".parse::<MessageKind>().is_err());
    }

    #[test]
    fn grpc_messages_stand_in_the_body_as_far_as_it_goes() {
        let framed = |len: u64, from_client: bool| {
            let scanned = Scanned { kind: MessageKind::Framed, compressed: false, len, data: None };
            Message::new(scanned, 0, from_client)
        };
        let mut stream = Stream::new(StreamKind::Grpc);
        stream.messages = vec![framed(2, true), framed(9, false), framed(0, true), framed(4, true)];
        let body = Body::whole(&b"\0\0\0\0\x02ab\0\0\0\0\0\0\0\0\0\x04cd"[..]);
        stream.fill_from_body(&body);
        let data: Vec<_> = stream.messages.iter().map(|message| message.data.as_deref()).collect();
        assert_eq!(data, [Some(&b"ab"[..]), None, Some(b""), None]);
        stream.messages[0].len = u64::MAX;
        stream.fill_from_body(&body);
    }
}
