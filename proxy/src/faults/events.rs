//! Where messages end in a payload towards the client.

use captures::messages::{GrpcScanner, MessageKind, Scanned, SseScanner, StreamKind, WsScanner};

/// Finds the ends of whole messages: server-sent events, WebSocket messages, gRPC messages. Comments, control frames
/// and trailers are none.
pub(crate) enum Events {
    Sse(SseScanner),
    WebSocket(Box<WsScanner>),
    Grpc(GrpcScanner),
}

impl Events {
    pub(crate) fn of(kind: StreamKind) -> Self {
        match kind {
            StreamKind::Sse => Events::Sse(SseScanner::default()),
            StreamKind::WebSocket => Events::WebSocket(Box::new(WsScanner::sizes())),
            StreamKind::Grpc => Events::Grpc(GrpcScanner::default()),
        }
    }

    /// Consumes bytes up to the end of the next message; gives how many those were. `None`: it consumed all, and no
    /// message ended in them.
    pub(crate) fn next_end(&mut self, bytes: &mut &[u8]) -> Option<u64> {
        let all = bytes.len();
        while let Some((byte, rest)) = bytes.split_first() {
            *bytes = rest;
            if !self.ends_with(*byte) {
                continue;
            }
            // the second half of a CR LF belongs to the event that the first has ended
            if let (Events::Sse(scanner), b'\r', Some((b'\n', rest))) = (&mut *self, byte, rest.split_first())
            {
                scanner.feed(b"\n", &mut |_| {});
                *bytes = rest;
            }
            return Some((all - bytes.len()) as u64);
        }
        None
    }

    fn ends_with(&mut self, byte: u8) -> bool {
        let mut ended = false;
        let mut found = |message: Scanned| {
            use MessageKind::{Binary, Event, Framed, Text};
            ended |= matches!(message.kind, Event | Text | Binary | Framed);
        };
        match self {
            Events::Sse(scanner) => scanner.feed(&[byte], &mut found),
            Events::WebSocket(scanner) => scanner.feed(&[byte], &mut found),
            Events::Grpc(scanner) => scanner.feed(&[byte], &mut found),
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: StreamKind, bytes: &[u8], expect: &[u64]) {
        for piece in [1, 2, 3, bytes.len()] {
            let mut events = Events::of(kind);
            let mut ends = Vec::new();
            for (nth, mut some) in bytes.chunks(piece).enumerate() {
                let mut at = (nth * piece) as u64;
                while let Some(end) = events.next_end(&mut some) {
                    at += end;
                    ends.push(at);
                }
            }
            if piece == bytes.len() {
                assert_eq!(ends, expect, "in one piece");
            }
            assert_eq!(ends.len(), expect.len(), "in pieces of {piece}");
        }
    }

    #[test]
    fn whole_messages_are_found_and_nothing_else() {
        check(StreamKind::Sse, b"data: 1\n\n: alive\n\ndata: 2\n\ndata", &[9, 27]);
        check(StreamKind::Sse, b"data: 1\r\n\r\ndata: 2\r\n\r\n", &[11, 22]);
        let text = b"\x81\x01a\x89\x00\x01\x01a\x80\x01b\x88\x02\x03\xe8";
        check(StreamKind::WebSocket, text, &[3, 11]);
        check(StreamKind::Grpc, b"\0\0\0\0\x02ab\0\0\0\0\0", &[7, 12]);
    }
}
