//! The messages of an exchange, found in what passes: events, gRPC messages, and those of a WebSocket.

use crate::Exchange;
use crate::exchange::Request;
use crate::limits::MAX_MESSAGES;
use crate::messages::{GrpcScanner, Message, Scanned, SseScanner, Stream, StreamKind, WsScanner, is_grpc};
use crate::notes::Notes;

/// What is found so far.
#[derive(Default)]
pub(super) struct Log {
    stream: Option<Stream>,
    request: Scanner,
    answer: Scanner,
    /// Bytes of messages that are kept.
    kept: usize,
}

#[derive(Default)]
enum Scanner {
    #[default]
    Nothing,
    Sse(SseScanner),
    Grpc(GrpcScanner),
    WebSocket(Box<WsScanner>),
}

impl Log {
    /// A request began, which may be a gRPC call.
    pub(super) fn of_request(request: &Request) -> Log {
        let kind = request.headers.get_str("content-type").unwrap_or_default();
        match is_grpc(kind) {
            true => Log {
                stream: Some(Stream::new(StreamKind::Grpc)),
                request: Scanner::Grpc(GrpcScanner::default()),
                ..Log::default()
            },
            false => Log::default(),
        }
    }

    /// Its answer begins.
    pub(super) fn answered(&mut self, headers: &crate::Headers) {
        let kind = headers.get_str("content-type").unwrap_or_default();
        let coding = headers.get_str("content-encoding").unwrap_or_default().trim();
        let is_plain = coding.is_empty() || coding.eq_ignore_ascii_case("identity");
        if is_grpc(kind) && self.stream.is_some() {
            self.answer = Scanner::Grpc(GrpcScanner::default());
        } else if is_events(kind) && is_plain {
            self.stream = Some(Stream::new(StreamKind::Sse));
            self.answer = Scanner::Sse(SseScanner::default());
        }
    }

    /// The connection became a WebSocket.
    pub(super) fn upgraded(&mut self) {
        self.stream = Some(Stream::new(StreamKind::WebSocket));
        self.request = Scanner::WebSocket(Box::new(WsScanner::keeping(MAX_KEPT_MESSAGE)));
        self.answer = Scanner::WebSocket(Box::new(WsScanner::sizes()));
    }

    /// Bytes of a body or of a WebSocket pass, `at_us` after the start of the exchange.
    pub(super) fn feed(&mut self, from_client: bool, bytes: &[u8], at_us: u64) {
        let Some(stream) = &mut self.stream else { return };
        let kept = &mut self.kept;
        let mut found = |mut scanned: Scanned| {
            if MAX_MESSAGES <= stream.messages.len() {
                stream.truncated += 1;
                return;
            }
            *kept += scanned.data.as_ref().map_or(0, bytes::Bytes::len);
            if MAX_KEPT < *kept {
                scanned.data = None;
            }
            stream.messages.push(Message::new(scanned, at_us, from_client));
        };
        match if from_client { &mut self.request } else { &mut self.answer } {
            Scanner::Nothing => {}
            Scanner::Sse(scanner) => scanner.feed(bytes, &mut found),
            Scanner::Grpc(scanner) => scanner.feed(bytes, &mut found),
            Scanner::WebSocket(scanner) => scanner.feed(bytes, &mut found),
        }
    }

    /// Bytes of that direction were not captured: where the next message begins, nobody knows.
    pub(super) fn miss(&mut self, from_client: bool) {
        let scanner = if from_client { &mut self.request } else { &mut self.answer };
        let lost = std::mem::take(scanner);
        if let (Some(stream), false) = (&mut self.stream, matches!(lost, Scanner::Nothing)) {
            stream.truncated += 1;
        }
    }

    /// Gives an exchange its messages and says what they mean for it.
    pub(super) fn attach(self, exchange: &mut Exchange) {
        exchange.notes.insert(crate::import::stream_notes(exchange));
        let Some(mut stream) = self.stream else { return };
        let is_call = stream.count(true) <= 1 && stream.count(false) <= 1;
        match stream.kind {
            StreamKind::Grpc if !is_call => exchange.notes.insert(Notes::STREAM),
            StreamKind::WebSocket => exchange.notes.insert(Notes::WEBSOCKET.with(Notes::UPGRADED)),
            _ => {}
        }
        if stream.truncated != 0 {
            exchange.notes.insert(Notes::LOSSY);
        }
        stream.fill_from_body(&exchange.request.body);
        exchange.stream = Some(stream);
    }
}

fn is_events(content_type: &str) -> bool {
    content_type.trim_start().to_ascii_lowercase().starts_with("text/event-stream")
}

const MAX_KEPT_MESSAGE: usize = 1 << 20;
/// What an exchange can hold, its other parts aside.
const MAX_KEPT: usize = 24 << 20;
