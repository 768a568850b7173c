//! Streams in flight: an operation whose answer is a stream of messages has a flow beside it, from when it is sent
//! until it ends.
//!
//! ```text
//! Sent --the answer is a stream--> Open --its end, or we leave--> Over --a client that reconnects--> Sent
//!   \--any other answer, or none: an exchange like all others--> Over
//! ```
//!
//! The status of a gRPC call (`grpc-status`) is not judged: no recording has one to compare with.
//!
//! A flow may exist a million times at once, so all that the plan knows stays there (`stream::script`).

mod speak;
mod turn;

use std::fmt;

use captures::messages::{GrpcScanner, MessageKind, Scanned, SseScanner, StreamKind, WsScanner};

use crate::engine::records::{Later, Op, Session};
use crate::slab::{NONE, Slab};
use crate::stream::pulse::Pulse;
use crate::stream::script;
use crate::tally::StreamTally;

pub(crate) use speak::handshake;
pub(crate) use turn::expected;

/// What is known of an operation as a stream.
pub(crate) struct Flow {
    pulse: Pulse,
    scanner: Scanner,
    /// Place in the script of what the client sends next.
    cursor: u32,
    /// Tries in a row to open it again.
    tries: u16,
    flags: u16,
}

/// Finds messages in what comes.
enum Scanner {
    Nothing,
    Events(SseScanner),
    Grpc(GrpcScanner),
    WebSocket(Box<WsScanner>),
}

/// The flows of a thread.
#[derive(Debug)]
pub(crate) struct Flows {
    slab: Slab<Flow>,
    /// How many are open.
    open: u64,
    /// Frames that the peer of a WebSocket is owed for what came last.
    replies: Vec<u8>,
    /// Operations, with their serial numbers, that we end once the bytes at hand are read.
    leaving: Vec<(u32, u32)>,
}

/// What the head of an answer says of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// The type of the answer.
    pub(crate) kind: Option<StreamKind>,
    /// The body is coded, so its messages cannot be told apart.
    pub(crate) is_coded: bool,
    /// It bears the proof that the server speaks WebSocket.
    pub(crate) is_accepted: bool,
}

/// What a flow is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// A longer gap is a stall.
    pub(crate) stall_ns: u64,
    /// We leave after so many messages.
    pub(crate) enough: Option<u32>,
}

impl Flows {
    pub(crate) fn new() -> Flows {
        Flows { slab: Slab::new(), open: 0, replies: Vec::new(), leaving: Vec::new() }
    }

    /// The head of an answer came. True: what follows is for [`Flows::on_bytes`].
    pub(crate) fn on_head(&mut self, op: (u32, &mut Op), seen: Seen, streams: &mut StreamTally) -> bool {
        let (number, record) = op;
        if record.flow == NONE {
            if seen.kind != Some(StreamKind::Sse) {
                return false;
            }
            record.flow = self.slab.insert(Flow::new());
        }
        let flow = &mut self.slab[record.flow];
        flow.scanner = match (record.status, seen.kind) {
            (101, _) if !seen.is_accepted => {
                flow.set(BROKEN);
                return true;
            }
            (101, _) => Scanner::WebSocket(Box::new(WsScanner::keeping(CONTROL_BYTES))),
            (200..=299, Some(_)) if seen.is_coded => Scanner::Nothing,
            (200..=299, Some(StreamKind::Sse)) => Scanner::Events(SseScanner::default()),
            (200..=299, Some(StreamKind::Grpc)) => Scanner::Grpc(GrpcScanner::default()),
            _ => return false,
        };
        flow.set(OPEN | WAS_OPEN);
        flow.tries = 0;
        if flow.has(LEAVES_AT_HEAD) {
            self.leaving.push((number, record.serial));
        }
        streams.opened += 1;
        self.open += 1;
        streams.peak_open = streams.peak_open.max(self.open);
        true
    }

    /// Bytes of the answer came; `expected` is asked where they are a stream's.
    pub(crate) fn on_bytes(
        &mut self,
        (number, record): (u32, &Op),
        bytes: &[u8],
        expected: impl FnOnce() -> Expected,
        (now, streams): (u64, &mut StreamTally),
    ) {
        let Flows { slab, replies, leaving, .. } = self;
        let Some(flow) = slab.get_mut(record.flow).filter(|flow| flow.has(OPEN)) else { return };
        let Expected { stall_ns, enough } = expected();
        let Flow { pulse, scanner, flags, .. } = flow;
        let before = pulse.count();
        let mut found = |message: Scanned| match message.kind {
            kind if script::says_something(kind) => {
                streams.messages_in += 1;
                match pulse.on_message(now) {
                    None => streams.first_event.saturating_record(now.saturating_sub(record.sent_ns) / 1000),
                    Some(gap) => {
                        streams.event_gap.saturating_record(gap / 1000);
                        streams.stalls += u64::from(gap > stall_ns);
                    }
                }
            }
            MessageKind::Ping => speak::pong(replies, message.data.as_deref().unwrap_or_default(), now),
            MessageKind::Close => {
                if *flags & (PEER_CLOSED | SAID_CLOSE) == 0 {
                    speak::close(replies, message.data.as_deref().unwrap_or_default(), now);
                }
                *flags |= PEER_CLOSED;
            }
            _ => {}
        };
        let is_broken = scanner.feed(bytes, &mut found);
        let has_enough = enough.is_some_and(|enough| before < enough && enough <= pulse.count());
        *flags |= if is_broken { BROKEN } else { 0 };
        if has_enough {
            leaving.push((number, record.serial));
        }
    }

    /// Forgets a flow whose operation has ended.
    pub(crate) fn remove(&mut self, flow: u32) {
        self.slab.remove(flow);
    }

    fn get(&self, flow: u32) -> Option<&Flow> {
        self.slab.get(flow)
    }
}

impl Scanner {
    /// True: the peer does not speak the protocol. Odd bytes in a sound HTTP body are the client's own business.
    fn feed(&mut self, bytes: &[u8], found: &mut dyn FnMut(Scanned)) -> bool {
        match self {
            Scanner::Nothing => {}
            Scanner::Events(scanner) => scanner.feed(bytes, found),
            Scanner::Grpc(scanner) => scanner.feed(bytes, found),
            Scanner::WebSocket(scanner) => {
                scanner.feed(bytes, found);
                return scanner.is_broken();
            }
        }
        false
    }
}

impl Flow {
    fn new() -> Flow {
        Flow { pulse: Pulse::default(), scanner: Scanner::Nothing, cursor: 0, tries: 0, flags: 0 }
    }

    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    fn set(&mut self, flags: u16) {
        self.flags |= flags;
    }

    fn clear(&mut self, flags: u16) {
        self.flags &= !flags;
    }
}

impl fmt::Debug for Flow {
    /// Without the bytes of a message that has begun.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow")
            .field("pulse", &self.pulse)
            .field("cursor", &self.cursor)
            .field("tries", &self.tries)
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

/// Its answer is coming, and is a stream.
const OPEN: u16 = 1;
/// This attempt was open at some time.
const WAS_OPEN: u16 = 1 << 1;
/// What came is no WebSocket.
const BROKEN: u16 = 1 << 2;
/// The peer's close came.
const PEER_CLOSED: u16 = 1 << 3;
/// We sent a close by ourselves.
const SAID_CLOSE: u16 = 1 << 4;
/// We have ended it, as planned.
const LEFT: u16 = 1 << 5;
/// Its recorded end has passed: we leave as soon as it is open.
const LEAVES_AT_HEAD: u16 = 1 << 6;
/// The next message of the client has its time.
const ARMED: u16 = 1 << 7;
/// The client has said all, and ended its side.
const SAID_ALL: u16 = 1 << 8;
/// It ends when the recorded one did, whoever ended that.
const ENDS_BY_CLOCK: u16 = 1 << 9;
/// Longest payload of a control frame: nothing longer is kept.
const CONTROL_BYTES: usize = 125;

const _: () = assert!(size_of::<Option<Flow>>() <= 48, "a million event streams are open at once");
const _: () = assert!(
    size_of::<Option<Flow>>() + size_of::<Option<Op>>() + size_of::<Option<Session>>() + size_of::<Later>()
        <= 320,
    "with its 38 bytes in the codec, an event stream takes far less than 1 KiB"
);
