//! HTTP/1 on a connection: requests one after the other or piled up, and their answers in the same order.
//!
//! ```text
//! each side: Head --blank line--> Body --its end--> Head
//!              \                    \--bytes missing, their number known--> Body
//!               \--bytes missing, or no HTTP--> Lost --a segment that begins like a message--> Head
//! both:      an answer that switches protocols --> Tunnel
//! ```
//!
//! An answer belongs to the oldest request that is not answered. Where bytes are missing, what a segment acknowledges
//! tells more: an answer that was sent before the server had any of a request is not the answer to it, and if requests
//! are not piled up, it is the answer to the last request that the server had. Where that is not known, it is counted
//! and belongs to none.

mod answers;
mod pending;
mod requests;

use std::collections::VecDeque;

use super::context::{Context, Ending, Out};
use super::direction::Event;
use super::http2::Http2;
use crate::import::http1::head::{MAX_HEAD, blank_lines, end_from};
use pending::{Pending, Reading};

/// The state of a connection.
pub(super) struct Http1 {
    context: Context,
    client: Side,
    server: Side,
    /// Oldest first. Those whose answer is complete wait for older ones.
    pending: VecDeque<Pending>,
    /// The one whose answer is at hand; `None` for an answer whose request was not captured.
    answered: Option<usize>,
    /// A request came before the one before it was answered.
    is_pipelined: bool,
    /// What waits until the other side has said what it means.
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// How far in what the client sent everything is known, or known to be missing.
    client_place: u64,
    /// What the connection became.
    tunnel: Option<Tunnel>,
    is_over: bool,
    out: Out,
}

/// What one side sends.
struct Side {
    state: State,
    head: Vec<u8>,
    /// When and where the head at hand began, and what it acknowledged.
    began: (u64, u64, u64),
    /// It was lost before: messages may be missing.
    was_lost: bool,
}

enum State {
    Head,
    Body(Reading),
    Lost,
}

/// Bytes that wait.
struct Waiting {
    from_client: bool,
    place: u64,
    bytes: Vec<u8>,
    at_us: u64,
    acked: u64,
}

enum Tunnel {
    WebSocket,
    Http2(Box<Http2>),
    /// Nobody looks into it.
    Closed,
}

/// A part of what one side sent, in order.
#[derive(Clone, Copy)]
struct Part<'a> {
    place: u64,
    bytes: &'a [u8],
    at_us: u64,
    acked: u64,
}

/// What became of bytes at the head of a message.
enum Head {
    /// The blank line is still to come.
    More,
    /// It is complete; so many bytes belonged to it.
    Whole(Vec<u8>, usize),
    TooLong,
}

impl Http1 {
    pub(super) fn new(context: Context) -> Http1 {
        Http1 {
            context,
            client: Side::new(),
            server: Side::new(),
            pending: VecDeque::new(),
            answered: None,
            is_pipelined: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            client_place: 0,
            tunnel: None,
            is_over: false,
            out: Out::default(),
        }
    }

    /// Takes what stands next in what a side sent.
    pub(super) fn event(&mut self, from_client: bool, place: u64, event: Event<'_>) {
        let len = match event {
            Event::Data { bytes, .. } => bytes.len() as u64,
            Event::Gap { len, .. } => len,
        };
        if from_client {
            self.client_place = place + len;
        }
        match event {
            Event::Data { bytes, at_us, acked } => {
                self.parts(from_client, Part { place, bytes, at_us, acked });
            }
            Event::Gap { len, in_packet } => self.gap(from_client, len, in_packet),
        }
        if !self.waiting.is_empty() {
            self.release();
        }
        self.hand_on();
    }

    /// What came of it since the last call.
    pub(super) fn take(&mut self) -> Out {
        std::mem::take(&mut self.out)
    }

    /// The connection ended.
    pub(super) fn finish(&mut self, ending: Ending) -> Out {
        // what waits for the other side waits in vain
        self.is_over = true;
        self.release();
        if let Some(Tunnel::Http2(http2)) = &mut self.tunnel {
            let inner = http2.finish(ending);
            self.out.append(inner);
        }
        if self.tunnel.is_none() {
            self.end_of_request(None);
            self.end_of_answer(ending.is_whole);
        }
        for mut pending in self.pending.drain(..) {
            pending.left(ending);
            self.out.exchanges.push(pending.finish());
        }
        self.take()
    }

    fn parts(&mut self, from_client: bool, mut part: Part<'_>) {
        while !part.bytes.is_empty() && self.tunnel.is_none() {
            if self.waits(from_client, &part) {
                return self.wait(from_client, part);
            }
            let used = match from_client {
                true => self.request_bytes(part),
                false => self.answer_bytes(part),
            };
            part.bytes = &part.bytes[used..];
            part.place += used as u64;
        }
        self.tunneled(from_client, part);
    }

    fn gap(&mut self, from_client: bool, len: u64, in_packet: bool) {
        match &mut self.tunnel {
            Some(Tunnel::Http2(http2)) => return http2.event(from_client, Event::Gap { len, in_packet }),
            Some(_) => {
                if let Some(pending) = self.pending.front_mut() {
                    pending.log.miss(from_client);
                }
                return;
            }
            None => {}
        }
        if self.waiting.iter().any(|waiting| waiting.from_client == from_client) {
            // what waits comes before the gap
            self.is_over = true;
            self.release();
            self.is_over = false;
        }
        match from_client {
            true => self.request_gap(len, in_packet),
            false => self.answer_gap(len),
        }
    }

    /// Whether bytes of a side cannot be understood before the other one says more.
    fn waits(&self, from_client: bool, part: &Part<'_>) -> bool {
        let side = if from_client { &self.client } else { &self.server };
        if self.is_over || !matches!(side.state, State::Head) || !side.head.is_empty() {
            return false;
        }
        match from_client {
            true => self.pending.back().is_some_and(|last| last.may_switch() && !last.is_answered),
            // the server knew more than we do yet (the end of the stream counts as a byte)
            false if part.acked != u64::MAX && self.client_place + 1 < part.acked => true,
            false => !self.server.was_lost && self.unanswered().is_none(),
        }
    }

    fn wait(&mut self, from_client: bool, part: Part<'_>) {
        let Part { place, bytes, at_us, acked } = part;
        if MAX_WAITING < self.waiting_bytes + bytes.len() {
            self.out.note("bytes given up that nothing explained", bytes.len() as u64);
            let side = if from_client { &mut self.client } else { &mut self.server };
            return side.lose();
        }
        self.waiting_bytes += bytes.len();
        self.waiting.push_back(Waiting { from_client, place, bytes: bytes.to_vec(), at_us, acked });
    }

    /// Goes on with what waited, as far as it can.
    fn release(&mut self) {
        loop {
            let before = std::mem::take(&mut self.waiting_bytes);
            for waiting in std::mem::take(&mut self.waiting) {
                let Waiting { from_client, place, bytes, at_us, acked } = waiting;
                self.parts(from_client, Part { place, bytes: &bytes, at_us, acked });
            }
            if self.waiting_bytes == 0 || self.waiting_bytes == before {
                return;
            }
        }
    }

    fn tunneled(&mut self, from_client: bool, part: Part<'_>) {
        if part.bytes.is_empty() {
            return;
        }
        match &mut self.tunnel {
            Some(Tunnel::WebSocket) => {
                let Some(pending) = self.pending.front_mut() else { return };
                let at_us = pending.since(part.at_us);
                pending.log.feed(from_client, part.bytes, at_us);
                pending.exchange.duration_us = pending.exchange.duration_us.max(Some(at_us));
            }
            Some(Tunnel::Http2(http2)) => {
                let Part { bytes, at_us, acked, .. } = part;
                http2.event(from_client, Event::Data { bytes, at_us, acked });
                let inner = http2.take();
                self.out.append(inner);
            }
            Some(Tunnel::Closed) | None => {}
        }
    }

    /// Hands on the oldest exchanges that are complete.
    fn hand_on(&mut self) {
        while self.pending.front().is_some_and(|first| first.is_asked && first.is_answered) {
            self.out.exchanges.extend(self.pending.pop_front().map(Pending::finish));
            self.answered = self.answered.map(|at| at.saturating_sub(1));
        }
    }

    /// The oldest request that is not answered.
    fn unanswered(&self) -> Option<usize> {
        self.pending.iter().position(|pending| !pending.is_answered)
    }
}

impl Side {
    fn new() -> Side {
        Side { state: State::Head, head: Vec::new(), began: (0, 0, 0), was_lost: false }
    }

    /// Takes bytes of a head, which blank lines may come before.
    fn head(&mut self, part: Part<'_>) -> Head {
        let before = self.head.len();
        let mut blank = 0;
        if before == 0 {
            blank = blank_lines(part.bytes);
            self.began = (part.at_us, part.place + blank as u64, part.acked);
        }
        let room = MAX_HEAD - before;
        let bytes = &part.bytes[blank..];
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        match end_from(&self.head, before.saturating_sub(3)) {
            Some(end) => {
                let mut head = std::mem::take(&mut self.head);
                head.truncate(end);
                Head::Whole(head, blank + end - before)
            }
            None if bytes.len() < room => Head::More,
            None => Head::TooLong,
        }
    }

    /// The first line of the head at hand, or as much of it as tells a method.
    fn first_line(&self) -> &[u8] {
        match self.head.iter().position(|byte| *byte == b'\n') {
            Some(end) => &self.head[..=end],
            None => &self.head[..self.head.len().min(64)],
        }
    }

    fn lose(&mut self) {
        self.head.clear();
        self.state = State::Lost;
        self.was_lost = true;
    }
}

/// Bytes of a connection that wait for the other side.
const MAX_WAITING: usize = 1 << 20;
