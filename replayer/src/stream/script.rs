//! What a replay has to know of a recorded stream, as bytes of a plan: what the client sent and when, how the stream
//! ended, and how long the server used to be silent.

use captures::Exchange;
use captures::messages::{Message, MessageKind, Stream, StreamKind, is_grpc};
use captures::notes::Notes;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::stream::pulse::stall_after_ns;

/// A recorded stream.
#[derive(Clone, Copy)]
pub(crate) struct Script<'a> {
    head: &'a Head,
    lines: &'a [u8],
}

/// What [`write`] makes of an exchange.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Nothing where it was no stream.
    pub(crate) bytes: Vec<u8>,
    /// The client's messages go out at their own times, so they are no body of the request.
    pub(crate) is_paced: bool,
}

/// Something that the client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// In microseconds after the start of the exchange.
    pub(crate) at_us: u64,
    pub(crate) kind: MessageKind,
    /// The recorded bytes are compressed.
    pub(crate) compressed: bool,
    /// What was recorded of it.
    pub(crate) data: &'a [u8],
    /// How many bytes were not.
    pub(crate) filler: u64,
    /// Where the next line begins.
    pub(crate) next: u32,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Head {
    kind: u8,
    flags: u8,
    unused: U16,
    /// Messages of the server, without what only keeps the stream alive.
    answers: U32,
    /// A gap that is longer is a stall; the greatest number where the recording has no gap to compare with.
    stall_ns: U64,
    /// How long the server had said nothing when the stream ended.
    silence_us: U64,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct LineHead {
    at_us: U64,
    filler: U64,
    data: U32,
    kind: u8,
    compressed: u8,
}

impl<'a> Script<'a> {
    /// The script in `bytes`, as [`write`] made them.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Script<'a>> {
        let (head, lines) = Head::ref_from_prefix(bytes).ok()?;
        Some(Script { head, lines })
    }

    pub(crate) fn kind(self) -> StreamKind {
        KINDS[usize::from(self.head.kind).min(KINDS.len() - 1)]
    }

    /// Whether the client was the one who left, or would have had to: the recording does not show the stream's end.
    pub(crate) fn is_left(self) -> bool {
        self.has(LEFT)
    }

    /// Whether the client's messages go out at their own times.
    pub(crate) fn is_paced(self) -> bool {
        self.has(PACED)
    }

    /// Whether the client ends its side only at the end of the recorded stream, not with its last message.
    pub(crate) fn ends_late(self) -> bool {
        self.has(ENDS_LATE)
    }

    /// Whether the answer is more than the last byte of one message: it counts as answered with its head.
    pub(crate) fn is_long(self) -> bool {
        self.has(LONG)
    }

    /// How many messages the server sent.
    pub(crate) fn answers(self) -> u32 {
        self.head.answers.get()
    }

    /// A longer gap is a stall.
    pub(crate) fn stall_ns(self) -> u64 {
        self.head.stall_ns.get()
    }

    /// A longer silence at the end is a stall: far longer than gaps, and than the recorded silence.
    pub(crate) fn silence_ns(self) -> u64 {
        self.stall_ns().max(self.head.silence_us.get().saturating_mul(2 * 1000))
    }

    /// What the client sends, from the place `at` on: 0, or [`Line::next`]. `None`: nothing more.
    pub(crate) fn line(self, at: u32) -> Option<Line<'a>> {
        let (head, rest) = LineHead::ref_from_prefix(self.lines.get(at as usize..)?).ok()?;
        let data = rest.get(..head.data.get() as usize)?;
        Some(Line {
            at_us: head.at_us.get(),
            kind: MessageKind::from_number(head.kind)?,
            compressed: head.compressed != 0,
            data,
            filler: head.filler.get(),
            next: at + (size_of::<LineHead>() + data.len()) as u32,
        })
    }

    fn has(self, flag: u8) -> bool {
        self.head.flags & flag != 0
    }
}

/// What a replay has to know of `exchange` as a stream; `http2` says how it is sent.
pub(crate) fn write(exchange: &Exchange, http2: bool) -> Written {
    let Some(kind) = kind(exchange) else { return Written::default() };
    let empty = Stream::new(kind);
    let stream = exchange.stream.as_ref().unwrap_or(&empty);
    let heard: Vec<u64> =
        stream.messages.iter().filter(|message| is_answer(message)).map(|message| message.at_us).collect();
    let is_paced = kind == StreamKind::WebSocket || kind == StreamKind::Grpc && http2 && is_spread(stream);
    let left = [Notes::CLIENT_GONE, Notes::RESPONSE_TRUNCATED, Notes::UPSTREAM_FAILED];
    let is_left = stream.truncated > 0 || left.iter().any(|note| exchange.notes.contains(*note));
    let is_long = kind != StreamKind::Grpc || is_paced || heard.len() > 1;
    let flags =
        [(is_left, LEFT), (is_paced, PACED), (is_long, LONG), (is_paced && is_talk(stream), ENDS_LATE)];
    let duration_us = exchange.duration_us.unwrap_or(0);
    let head = Head {
        kind: KINDS.iter().position(|known| *known == kind).unwrap_or(0) as u8,
        flags: flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum(),
        unused: 0.into(),
        answers: (heard.len() as u32).into(),
        stall_ns: stall_ns(&heard).into(),
        silence_us: duration_us.saturating_sub(heard.last().copied().unwrap_or(0)).into(),
    };
    let mut bytes = head.as_bytes().to_vec();
    if is_paced {
        said(stream).for_each(|message| push_line(&mut bytes, message));
    }
    Written { bytes, is_paced }
}

fn push_line(out: &mut Vec<u8>, message: &Message) {
    let data = message.data.as_deref().unwrap_or_default();
    let head = LineHead {
        at_us: message.at_us.into(),
        filler: message.len.saturating_sub(data.len() as u64).into(),
        data: (data.len() as u32).into(),
        kind: message.kind as u8,
        compressed: u8::from(message.compressed && message.data.is_some()),
    };
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(data);
}

/// What kind of stream it was, by its messages or else by the type of the answer.
fn kind(exchange: &Exchange) -> Option<StreamKind> {
    if let Some(stream) = &exchange.stream {
        return Some(stream.kind);
    }
    kind_of_type(exchange.response.as_ref()?.headers.get("content-type")?)
}

/// What kind of stream an answer of that type is. Asked of every answer, so others are told apart quickly.
pub(crate) fn kind_of_type(content_type: &[u8]) -> Option<StreamKind> {
    let begins = |known: &[u8]| {
        let start = content_type.trim_ascii_start().get(..known.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(known))
    };
    if begins(b"text/event-stream") {
        return Some(StreamKind::Sse);
    }
    let is_grpc = begins(b"application/grpc") && std::str::from_utf8(content_type).is_ok_and(is_grpc);
    is_grpc.then_some(StreamKind::Grpc)
}

/// What the client sends by itself. It answers pings and a close without being told, and says nothing after either.
fn said(stream: &Stream) -> impl Iterator<Item = &Message> {
    let ended = |message: &&Message| message.from_client || message.kind != MessageKind::Close;
    let client = stream.messages.iter().take_while(ended).filter(|message| message.from_client);
    client.filter(|message| message.kind != MessageKind::Pong)
}

/// Whether a message says something, and not only that the server is there.
fn is_answer(message: &Message) -> bool {
    !message.from_client && says_something(message.kind)
}

/// Whether a message of that kind says something, and not only that its sender is there.
pub(crate) fn says_something(kind: MessageKind) -> bool {
    matches!(kind, MessageKind::Text | MessageKind::Binary | MessageKind::Event | MessageKind::Framed)
}

/// Whether the client did not say all at once.
fn is_spread(stream: &Stream) -> bool {
    let times = || said(stream).map(|message| message.at_us);
    times().max().unwrap_or(0) - times().min().unwrap_or(0) > AT_ONCE_US
}

/// Whether the server spoke before the client had said all.
fn is_talk(stream: &Stream) -> bool {
    let last = said(stream).map(|message| message.at_us).max().unwrap_or(0);
    stream.messages.iter().any(|message| is_answer(message) && message.at_us < last)
}

fn stall_ns(heard: &[u64]) -> u64 {
    let mut gaps: Vec<u64> = heard.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    gaps.sort_unstable();
    gaps.get(gaps.len() / 2).map_or(u64::MAX, |median| stall_after_ns(median.saturating_mul(1000)))
}

const KINDS: [StreamKind; 3] = [StreamKind::Sse, StreamKind::WebSocket, StreamKind::Grpc];
/// The client left, or the end is not known.
const LEFT: u8 = 1;
const PACED: u8 = 1 << 1;
const ENDS_LATE: u8 = 1 << 2;
const LONG: u8 = 1 << 3;
/// Messages within this time went out together.
const AT_ONCE_US: u64 = 5_000;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use captures::exchange::Response;
    use captures::messages::Scanned;

    use super::*;

    fn message(at_ms: u64, from_client: bool, kind: MessageKind) -> Message {
        let data = from_client.then(|| Bytes::from_static(b"abc"));
        Message::new(Scanned { kind, compressed: false, len: 5, data }, at_ms * 1000, from_client)
    }

    fn exchange(kind: StreamKind, messages: Vec<Message>) -> Exchange {
        let stream = Some(Stream { messages, ..Stream::new(kind) });
        Exchange { stream, duration_us: Some(2_000_000), ..Exchange::default() }
    }

    fn lines(script: Script<'_>) -> Vec<(u64, MessageKind)> {
        let lines = std::iter::successors(script.line(0), |line| script.line(line.next));
        lines.map(|line| (line.at_us / 1000, line.kind)).collect()
    }

    #[test]
    fn exchanges_have_no_script() {
        let mut plain = Exchange::default();
        assert_eq!(write(&plain, false), Written::default());
        plain.response = Some(Response { status: 200, ..Response::default() });
        assert_eq!(write(&plain, true), Written::default());
        for (kind, expect) in [
            ("text/html", None),
            ("text/event-stream;charset=utf-8", Some(StreamKind::Sse)),
            ("Text/Event-Stream", Some(StreamKind::Sse)),
            ("application/grpc+proto", Some(StreamKind::Grpc)),
        ] {
            plain.response = Some(Response {
                status: 200,
                headers: [("content-type", kind.as_bytes())].into_iter().collect(),
                ..Response::default()
            });
            let written = write(&plain, true);
            assert_eq!(Script::read(&written.bytes).map(Script::kind), expect, "{kind}");
            assert!(!written.is_paced);
        }
    }

    #[test]
    fn the_client_says_what_is_its_own_to_say() {
        use MessageKind::{Close, Ping, Pong, Text};
        let said = vec![
            message(1, true, Text),
            message(2, false, Ping),
            message(3, true, Pong),
            message(4, true, Ping),
            message(5, false, Close),
            message(6, true, Close),
        ];
        let mut socket = exchange(StreamKind::WebSocket, said);
        let written = write(&socket, false);
        let script = Script::read(&written.bytes).expect("it was a stream");
        assert_eq!(lines(script), [(1, Text), (4, Ping)]);
        let line = script.line(0).expect("a line");
        assert_eq!((line.data, line.filler, line.compressed), (&b"abc"[..], 2, false));
        assert!(written.is_paced && script.is_long() && !script.is_left());
        socket.notes.insert(Notes::CLIENT_GONE);
        assert!(Script::read(&write(&socket, false).bytes).is_some_and(Script::is_left));
    }

    #[test]
    fn calls_are_paced_where_their_client_was() {
        use MessageKind::Framed;
        let check = |messages: &[(u64, bool)], http2, expect: (bool, bool, bool, usize)| {
            let messages = messages.iter().map(|(at, client)| message(*at, *client, Framed)).collect();
            let written = write(&exchange(StreamKind::Grpc, messages), http2);
            let script = Script::read(&written.bytes).expect("it was a stream");
            assert_eq!(written.is_paced, script.is_paced());
            assert_eq!(
                (script.is_paced(), script.ends_late(), script.is_long(), lines(script).len()),
                expect
            );
        };
        check(&[(0, true), (9, false)], true, (false, false, false, 0));
        check(&[(0, true), (2, true), (9, false)], true, (false, false, false, 0));
        check(&[(0, true), (9, false), (20, false)], true, (false, false, true, 0));
        check(&[(0, true), (90, true), (99, false)], true, (true, false, true, 2));
        check(&[(0, true), (9, false), (90, true)], true, (true, true, true, 2));
        check(&[(0, true), (90, true), (99, false)], false, (false, false, false, 0));
    }

    #[test]
    fn silence_is_compared_with_the_recorded() {
        let check = |heard_ms: &[u64], stall_ms: u64, silence_ms: u64| {
            let heard = heard_ms.iter().map(|at| message(*at, false, MessageKind::Event)).collect();
            let written = write(&exchange(StreamKind::Sse, heard), false);
            let script = Script::read(&written.bytes).expect("it was a stream");
            assert_eq!(
                (script.stall_ns(), script.silence_ns()),
                (stall_ms * 1_000_000, silence_ms * 1_000_000)
            );
            assert_eq!(script.answers() as usize, heard_ms.len());
        };
        check(&[0, 200, 400, 1900], 2000, 2000);
        check(&[0, 10, 20], 1000, 3960);
        let none = write(&exchange(StreamKind::Sse, vec![message(1, false, MessageKind::Event)]), false);
        assert_eq!(Script::read(&none.bytes).map(Script::stall_ns), Some(u64::MAX));
    }

    #[test]
    fn torn_bytes_end_a_script() {
        let written =
            write(&exchange(StreamKind::WebSocket, vec![message(1, true, MessageKind::Text)]), false);
        for length in 0..written.bytes.len() {
            let script = Script::read(&written.bytes[..length]);
            assert!(script.is_none_or(|script| script.line(0).is_none()), "{length}");
        }
        assert!(Script::read(&written.bytes).is_some_and(|script| script.line(u32::MAX).is_none()));
    }
}
