//! The messages of a stream, noted while their bytes pass: which way, how large, when.
//!
//! Only exchanges that are recorded have such a log. It looks at bytes that are on their way already, and never holds
//! one back. What it may keep is bounded for each exchange and for all of them together; what does not fit is counted.

use std::sync::Arc;
use std::time::Duration;

use captures::limits::MAX_MESSAGES;
use captures::messages::{GrpcScanner, Message, Scanned, SseScanner, Stream, StreamKind, WsScanner, is_grpc};
use http::{HeaderMap, StatusCode, header};

use super::budget::{Budget, Held};
use super::text;
use crate::time::micros;

/// What has been noted of one stream.
pub(crate) struct StreamLog {
    request: Scanner,
    answer: Scanner,
    noted: Noted,
}

/// What is kept, and what it holds of the budget.
struct Noted {
    stream: Stream,
    /// Bytes of messages that may still be kept.
    data_left: usize,
    held: Held,
}

/// Finds messages in one direction.
enum Scanner {
    Nothing,
    Sse(SseScanner),
    WebSocket(Box<WsScanner>),
    Grpc(GrpcScanner),
}

impl StreamLog {
    /// The log of a request that is gRPC; of others only the answer says that they are a stream.
    pub(crate) fn of_request(request: &HeaderMap, budget: &Arc<Budget>) -> Option<Box<StreamLog>> {
        let is_grpc = text(request, header::CONTENT_TYPE).is_some_and(is_grpc);
        is_grpc.then(|| {
            // the bytes of its messages are those of the request body
            Box::new(StreamLog {
                request: Scanner::Grpc(GrpcScanner::default()),
                answer: Scanner::Nothing,
                noted: Noted::new(StreamKind::Grpc, 0, budget),
            })
        })
    }

    /// The log of an answer that is a stream; `limit` bytes are kept of a message that the client sends.
    pub(crate) fn of_answer(
        status: StatusCode,
        answer: &HeaderMap,
        limit: usize,
        budget: &Arc<Budget>,
    ) -> Option<Box<StreamLog>> {
        let kind = kind(status, answer)?;
        let (request, scanner) = match kind {
            StreamKind::Sse => (Scanner::Nothing, Scanner::Sse(SseScanner::default())),
            StreamKind::Grpc => (Scanner::Nothing, Scanner::Grpc(GrpcScanner::default())),
            StreamKind::WebSocket => {
                let client = if limit == 0 { WsScanner::sizes() } else { WsScanner::keeping(limit) };
                (Scanner::WebSocket(Box::new(client)), Scanner::WebSocket(Box::new(WsScanner::sizes())))
            }
        };
        let data_left = limit.saturating_mul(BODIES).min(MAX_DATA);
        Some(Box::new(StreamLog { request, answer: scanner, noted: Noted::new(kind, data_left, budget) }))
    }

    /// The answer to a request whose messages are noted already.
    pub(crate) fn answered(&mut self, status: StatusCode, answer: &HeaderMap) {
        if kind(status, answer) == Some(StreamKind::Grpc) {
            self.answer = Scanner::Grpc(GrpcScanner::default());
        }
    }

    /// Bytes from the client, `at` after the exchange began.
    pub(crate) fn request(&mut self, bytes: &[u8], at: Duration) {
        let noted = &mut self.noted;
        self.request.feed(bytes, &mut |found| noted.push(found, at, true));
    }

    /// Bytes from the upstream.
    pub(crate) fn answer(&mut self, bytes: &[u8], at: Duration) {
        let noted = &mut self.noted;
        self.answer.feed(bytes, &mut |found| noted.push(found, at, false));
    }

    /// The request is sent again from its start.
    pub(crate) fn restart(&mut self) {
        self.noted.stream.messages.clear();
        self.noted.stream.truncated = 0;
        if let Scanner::Grpc(scanner) = &mut self.request {
            *scanner = GrpcScanner::default();
        }
    }

    /// What was noted so far.
    pub(crate) fn stream(&self) -> &Stream {
        &self.noted.stream
    }

    /// Bytes it holds.
    pub(crate) fn held(&self) -> usize {
        self.noted.held.bytes()
    }
}

impl Scanner {
    fn feed(&mut self, bytes: &[u8], found: &mut dyn FnMut(Scanned)) {
        match self {
            Scanner::Nothing => {}
            Scanner::Sse(scanner) => scanner.feed(bytes, found),
            Scanner::WebSocket(scanner) => scanner.feed(bytes, found),
            Scanner::Grpc(scanner) => scanner.feed(bytes, found),
        }
    }
}

impl Noted {
    fn new(kind: StreamKind, data_left: usize, budget: &Arc<Budget>) -> Noted {
        Noted { stream: Stream::new(kind), data_left, held: Held::of(budget) }
    }

    /// Keeps a message, or counts it. Once one was only counted all later ones are: what is kept has no holes.
    fn push(&mut self, mut found: Scanned, at: Duration, from_client: bool) {
        if self.stream.truncated != 0 || !self.has_room() {
            self.stream.truncated += 1;
            return;
        }
        let size = found.data.as_ref().map_or(0, bytes::Bytes::len);
        if self.data_left < size || !self.held.take(size) {
            found.data = None;
        } else {
            self.data_left -= size;
        }
        self.stream.messages.push(Message::new(found, micros(at), from_client));
    }

    fn has_room(&mut self) -> bool {
        let (len, capacity) = (self.stream.messages.len(), self.stream.messages.capacity());
        if len < capacity {
            return len < MAX_MESSAGES;
        }
        let more = capacity.clamp(FIRST_MESSAGES, MAX_MESSAGES);
        let fits = len < MAX_MESSAGES && self.held.take(more * size_of::<Message>());
        if fits {
            self.stream.messages.reserve_exact(more);
        }
        fits
    }
}

/// What kind of stream an answer begins, if one whose messages can be told apart.
pub(crate) fn kind(status: StatusCode, answer: &HeaderMap) -> Option<StreamKind> {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        let protocol = text(answer, header::UPGRADE)?;
        return protocol.eq_ignore_ascii_case("websocket").then_some(StreamKind::WebSocket);
    }
    let coding = text(answer, header::CONTENT_ENCODING).unwrap_or("identity");
    let kind = text(answer, header::CONTENT_TYPE)?;
    match kind {
        _ if !coding.eq_ignore_ascii_case("identity") => None,
        _ if is_event_stream(kind.as_bytes()) => Some(StreamKind::Sse),
        _ => is_grpc(kind).then_some(StreamKind::Grpc),
    }
}

/// Whether the type is that of server-sent events.
pub(crate) fn is_event_stream(content_type: &[u8]) -> bool {
    let name = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    name.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// A stream may keep as many bytes of messages as this many request bodies, and never more than [`MAX_DATA`].
const BODIES: usize = 8;
const MAX_DATA: usize = 16 << 20;
/// Messages that the first allocation of a log has room for.
const FIRST_MESSAGES: usize = 8;

#[cfg(test)]
mod tests {
    use captures::messages::MessageKind;

    use super::super::budget::MAX_HELD;
    use super::*;

    fn found(len: usize) -> Scanned {
        let data = Some(bytes::Bytes::from(vec![0; len]));
        Scanned { kind: MessageKind::Text, compressed: false, len: len as u64, data }
    }

    fn noted(data_left: usize) -> (Noted, Arc<Budget>) {
        let budget = Budget::new(MAX_HELD);
        (Noted::new(StreamKind::WebSocket, data_left, &budget), budget)
    }

    #[test]
    fn messages_beyond_the_limit_are_counted() {
        let (mut noted, budget) = noted(0);
        for _ in 0..MAX_MESSAGES + 5 {
            noted.push(found(0), Duration::ZERO, true);
        }
        assert_eq!((noted.stream.messages.len(), noted.stream.truncated), (MAX_MESSAGES, 5));
        assert!(noted.held.bytes() <= 2 * MAX_MESSAGES * size_of::<Message>());
        drop(noted);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn bytes_beyond_the_limit_are_let_go_and_the_message_stays() {
        let (mut noted, _) = noted(10);
        [6, 6, 4].into_iter().for_each(|len| noted.push(found(len), Duration::from_micros(7), true));
        let kept: Vec<_> = noted.stream.messages.iter().map(|message| message.data.is_some()).collect();
        assert_eq!((kept, noted.stream.messages[1].len), (vec![true, false, true], 6));
        assert_eq!(noted.stream.messages[2].at_us, 7);
    }

    #[test]
    fn what_is_kept_has_no_holes() {
        let (mut noted, budget) = noted(0);
        (0..FIRST_MESSAGES).for_each(|_| noted.push(found(0), Duration::ZERO, false));
        let mut others = Held::of(&budget);
        assert!(others.take(MAX_HELD - budget.held()));
        noted.push(found(0), Duration::ZERO, false);
        drop(others);
        noted.push(found(0), Duration::ZERO, false);
        assert_eq!((noted.stream.messages.len(), noted.stream.truncated), (FIRST_MESSAGES, 2));
    }

    #[test]
    fn kinds_of_streams() {
        let check = |status: u16, fields: &[(&'static str, &str)], expect: Option<StreamKind>| {
            let headers = fields.iter().map(|(name, value)| {
                (header::HeaderName::from_static(name), value.parse().expect("a value"))
            });
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(kind(status, &headers.collect()), expect, "{fields:?}");
        };
        check(101, &[("upgrade", "WebSocket")], Some(StreamKind::WebSocket));
        check(101, &[("upgrade", "h2c")], None);
        check(200, &[("upgrade", "websocket")], None);
        check(200, &[("content-type", "text/event-stream; charset=utf-8")], Some(StreamKind::Sse));
        check(200, &[("content-type", "text/event-stream"), ("content-encoding", "gzip")], None);
        check(200, &[("content-type", "application/grpc+proto")], Some(StreamKind::Grpc));
        check(200, &[("content-type", "application/grpc-web-text")], None);
        check(200, &[("content-type", "text/html")], None);
        check(204, &[], None);
    }
}
