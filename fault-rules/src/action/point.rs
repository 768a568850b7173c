//! Places in an answer, and the faults that end it there.

use std::time::Duration;

/// A place in an exchange, counted along the answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Point {
    /// Before anything is answered; the upstream is not asked.
    BeforeHeaders,
    /// After the answer's header, before its body.
    AfterHeaders,
    /// After exactly this many bytes of the answer's body. A shorter body has no such point
    /// ([`crate::decide::Why::NoSuchPoint`]).
    AfterBytes(u64),
    /// After this part of the promised body, 0.0 to 1.0. Without a promised length there is no such point.
    AfterFraction(f64),
    /// After so many whole messages of a stream towards the client: server-sent events, WebSocket messages, gRPC
    /// messages. Answers that are no such stream have no such point.
    AfterEvents(u64),
    /// This long after the answer's header (on a TCP edge: after the connection was accepted).
    AfterTime(Duration),
}

/// What a length is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Body bytes.
    Bytes,
    /// Messages.
    Events,
}

/// A reset: TCP RST, or RST_STREAM on HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reset {
    /// Where.
    pub at: Point,
    /// Error code of RST_STREAM (RFC 9113 section 7); `INTERNAL_ERROR` (2) unless said. Nothing on HTTP/1.
    pub code: u32,
    /// On HTTP/2 the whole TCP connection is reset, with all of its streams.
    pub connection: bool,
}

impl Reset {
    /// A reset at this place with the usual code, of the stream only.
    #[must_use]
    pub fn at(at: Point) -> Self {
        Self { at, code: INTERNAL_ERROR, connection: false }
    }
}

/// A GOAWAY frame (RFC 9113 section 6.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goaway {
    /// Error code. `NO_ERROR` (0) is graceful: streams under way finish, new ones are refused. Any other code ends the
    /// connection at once, with all of its streams.
    pub code: u32,
}

impl Goaway {
    /// Whether what is under way may finish.
    #[must_use]
    pub fn is_graceful(self) -> bool {
        self.code == 0
    }
}

/// A WebSocket close (RFC 6455 section 7.4), said by the proxy in the server's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebsocketClose {
    /// 1000 to 4999; 1006 is no code but an end without a close frame.
    pub code: u16,
    /// At most 123 bytes.
    pub reason: String,
    /// After so many messages towards the client; 0: at once after the handshake.
    pub after_events: u64,
}

/// INTERNAL_ERROR (RFC 9113 section 7): what a server says whose handler died, the nearest to a TCP reset.
const INTERNAL_ERROR: u32 = 0x2;
