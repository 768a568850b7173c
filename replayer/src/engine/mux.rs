//! HTTP/2 connections: operations as streams, what comes back for each, and what becomes of them when the
//! connection ends. The frames themselves are `h2`'s business.

use bytes::Bytes;

use crate::cookies::Jar;
use crate::engine::Job;
use crate::engine::compare::looks_at;
use crate::engine::flow::{self, Flows, Seen, handshake};
use crate::engine::records::{ConnId, Engine, Op, Session, Speaks, Stage};
use crate::engine::settle::{self, Own, note_field, note_stream};
use crate::engine::taking::{Taker, note_taken};
use crate::engine::wire::Written;
use crate::h2::hpack::Fields;
use crate::h2::{self, Config, Connection, Event, Piece, Why};
use crate::limits;
use crate::links::carried::{Carried, Hand};
use crate::slab::{NONE, Slab};
use crate::tally::{Failure, StreamTally};

/// An HTTP/2 connection.
#[derive(Debug)]
pub(crate) struct Mux {
    /// `None` until it is open, and while its bytes are read.
    codec: Option<Connection>,
    /// Bytes to write at the end of the turn.
    out: Vec<u8>,
    /// Operations that wait for it to open.
    pub(crate) queue: Vec<u32>,
    /// It is among those with bytes to write.
    dirty: bool,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Answered,
    Failed(Failure),
}

impl Mux {
    /// One that is being opened for `op`.
    pub(crate) fn waiting(op: u32) -> Mux {
        Mux { codec: None, out: Vec::new(), queue: vec![op], dirty: false }
    }

    /// Goes on with bodies that wait for room. False: there is nothing to write.
    fn resume(&mut self) -> bool {
        let Mux { codec: Some(codec), out, .. } = self else { return false };
        codec.resume(out);
        !out.is_empty()
    }

    /// Whether some of the request of a stream waits to be written.
    pub(crate) fn is_blocked(&self, stream: u32) -> bool {
        self.codec.as_ref().is_some_and(|codec| codec.is_blocked(stream))
    }

    /// Open streams.
    pub(crate) fn streams(&self) -> usize {
        self.codec.as_ref().map_or(0, |codec| codec.open_streams() as usize) + self.queue.len()
    }
}

impl Engine {
    /// The connection is open: greets the peer and sends the first of what waited for it.
    pub(crate) fn start_streams(&mut self, id: ConnId, now: u64) {
        let config = Config { max_streams: self.job.streams, window: limits::H2_STREAM_WINDOW };
        let conn = &mut self.conns[id.slot];
        let Speaks::Http2(mux) = &mut conn.speaks else { return };
        mux.codec = Some(Connection::new(config, &mut mux.out));
        conn.stage = Stage::Greeting;
        let first = (!mux.queue.is_empty()).then(|| mux.queue.remove(0));
        self.soil(id.slot);
        if let Some(op) = first {
            self.send(op, id.slot, now);
        }
    }

    /// Once the peer has told its limit, sends what waited for that.
    fn greeted(&mut self, id: ConnId, now: u64) {
        let conn = &mut self.conns[id.slot];
        let Speaks::Http2(mux) = &mut conn.speaks else { return };
        if conn.stage != Stage::Greeting || !mux.codec.as_ref().is_some_and(Connection::is_greeted) {
            return;
        }
        let queue = std::mem::take(&mut mux.queue);
        conn.stage = Stage::Busy;
        self.opening.retain(|slot| *slot != id.slot);
        self.mind_room(id.slot);
        for op in queue {
            if self.conns.get(id.slot).is_some_and(|conn| conn.stage == Stage::Idle) {
                self.send(op, id.slot, now);
            } else {
                self.ops[op].conn = NONE;
                self.dispatch(op, now);
            }
        }
    }

    /// Sends an operation as a new stream.
    pub(crate) fn write_stream(&mut self, op: u32) {
        let slot = self.ops[op].conn;
        let now = self.now();
        let has_room = matches!(&self.conns[slot].speaks,
            Speaks::Http2(mux) if mux.codec.as_ref().is_some_and(Connection::can_open));
        if !has_room {
            self.leave_idle(slot);
            self.ops[op].conn = NONE;
            self.dispatch(op, now);
            return;
        }
        let (body, filler) = self.render(op);
        let goes_on = self.says_more(op);
        self.tally.bytes_out += self.scratch.len() as u64 + body.len() as u64 + filler;
        self.tally.conns_reused += u64::from(self.conns[slot].used);
        let Speaks::Http2(mux) = &mut self.conns[slot].speaks else { return };
        let Some(codec) = &mut mux.codec else { return };
        let ends = body.is_empty() && filler == 0 && !goes_on;
        let Some(stream) = codec.request(&mut mux.out, &self.scratch, ends, op) else { return };
        if !ends && !goes_on {
            codec.send(&mut mux.out, stream, Piece { bytes: body, filler, end: true });
        }
        let is_full = !codec.can_open();
        self.ops[op].stream = stream;
        self.open_streams += 1;
        self.tally.h2_streams_peak = self.tally.h2_streams_peak.max(self.open_streams);
        if is_full {
            self.leave_idle(slot);
        }
        self.soil(slot);
        self.count_sent(op, now);
        self.arm_speech(op, now);
    }

    /// Sends a piece of a request's body.
    pub(crate) fn push_piece(&mut self, slot: u32, stream: u32, piece: Piece) {
        let Speaks::Http2(mux) = &mut self.conns[slot].speaks else { return };
        let Some(codec) = &mut mux.codec else { return };
        codec.send(&mut mux.out, stream, piece);
        self.soil(slot);
    }

    /// Lets go of a stream whose answer is complete, but not what the client wanted to say.
    fn cut_short(&mut self, op: u32) {
        if !self.says_more(op) {
            return;
        }
        let (slot, stream) = (self.ops[op].conn, self.ops[op].stream);
        let Some(Speaks::Http2(mux)) = self.conns.get_mut(slot).map(|conn| &mut conn.speaks) else { return };
        if let Some(codec) = &mut mux.codec {
            codec.reset(&mut mux.out, stream, h2::NO_ERROR);
            self.mind_room(slot);
            self.soil(slot);
        }
    }

    /// Bytes came on an HTTP/2 connection. False: it is closed.
    pub(crate) fn frames_came(&mut self, id: ConnId, bytes: &[u8]) -> bool {
        let now = self.now();
        let mut ended = std::mem::take(&mut self.ended);
        let healthy = self.read_frames(id, bytes, now, &mut ended);
        self.soil(id.slot);
        self.open_streams = self.open_streams.saturating_sub(ended.len() as u64);
        if healthy {
            self.greeted(id, now);
            self.mind_room(id.slot);
        } else {
            self.tally.no_http2 += u64::from(bytes.starts_with(b"HTTP/1."));
        }
        // What ends here may lead to a connection in this one's place: nobody may take that for this one.
        for (op, serial, _) in ended.iter().copied() {
            if self.is_current(op, serial) {
                self.cut_short(op);
                self.ops[op].conn = NONE;
                self.ops[op].stream = 0;
            }
        }
        for (op, serial, end) in ended.drain(..) {
            match end {
                _ if !self.is_current(op, serial) => {}
                End::Answered => settle::answered(self, op, now),
                End::Failed(failure) => settle::failed(self, op, failure, now),
            }
        }
        self.ended = ended;
        self.leave_flows(now);
        if !self.is_alive(id) {
            return false;
        }
        if !healthy {
            self.flush_now(id.slot); // the GOAWAY that says why
            self.lose_streams(id, Failure::Protocol);
            return false;
        }
        let conn = &self.conns[id.slot];
        let is_over = matches!(&conn.speaks, Speaks::Http2(mux)
            if mux.codec.as_ref().is_some_and(Connection::is_going_away) && mux.streams() == 0);
        if is_over {
            self.close(id.slot);
        }
        !is_over
    }

    /// Feeds the codec; notes what heads say and which streams ended. False: the peer breaks the protocol.
    fn read_frames(&mut self, id: ConnId, bytes: &[u8], now: u64, ended: &mut Vec<(u32, u32, End)>) -> bool {
        let Engine { conns, ops, sessions, jars, carried, takers, job, tally, flows, .. } = self;
        let conn = &mut conns[id.slot];
        let Speaks::Http2(mux) = &mut conn.speaks else { return false };
        let Mux { codec: Some(codec), out, .. } = &mut **mux else { return false };
        conn.used = true;
        let is_ours = |ops: &Slab<Op>, tag: u32| {
            ops.get(tag).is_some_and(|record| record.conn == id.slot && record.stream != 0)
        };
        let mut hearer = Hearer { sessions, jars, carried, takers, flows, job };
        let fed = codec.feed(bytes, out, &mut |event| match event {
            // Nothing is heard of a stream that we let go; should it be, it is nobody's.
            event if event.tag().is_some_and(|tag| !is_ours(ops, tag)) => {}
            Event::Head { tag, status, fields, end } => {
                hearer.on_head((tag, &mut ops[tag]), (status, fields), now, &mut tally.streams);
                tally.evidence.begin_body(tag, status, hearer.clone_of(&ops[tag]));
                let session = &hearer.sessions[ops[tag].session];
                looks_at(job, &mut tally.answers, (tag, &ops[tag]), session, now);
                if end {
                    ended.push((tag, ops[tag].serial, End::Answered));
                }
            }
            Event::Data { tag, end, bytes } => {
                tally.evidence.body(tag, bytes);
                tally.answers.body(tag, bytes);
                ops[tag].body_len += bytes.len() as u64;
                hearer.on_data((tag, &ops[tag]), bytes, now, &mut tally.streams);
                if end {
                    ended.push((tag, ops[tag].serial, End::Answered));
                }
            }
            Event::Trailers { tag, fields } => {
                for (_, value) in fields.iter().filter(|(name, _)| *name == b"grpc-status") {
                    ops[tag].grpc_failed = value != b"0";
                }
                ended.push((tag, ops[tag].serial, End::Answered));
            }
            Event::Reset { tag, code, why } => {
                let failure = failure_of(why, ops[tag].status != 0);
                ops[tag].was_refused = code == h2::REFUSED_STREAM;
                tally.refused_streams += u64::from(ops[tag].was_refused);
                ended.push((tag, ops[tag].serial, End::Failed(failure)));
            }
            Event::Interim { tag, .. } if ops[tag].first_ns == 0 => ops[tag].first_ns = now,
            Event::Interim { status, .. } => tracing::trace!(status, "one more head before the final one"),
            Event::GoAway { last_stream, code } => {
                tracing::debug!(last_stream, code, "the peer takes no more streams");
                tally.goaways += 1;
            }
            Event::Settled => {}
        });
        for (op, ..) in ended.iter() {
            // An answer that came before the whole request: nobody reads the rest of it.
            let stream = ops[*op].stream;
            if codec.is_blocked(stream) {
                codec.reset(out, stream, h2::CANCEL);
            }
        }
        if let Err(err) = &fed {
            tracing::debug!(error = %err, "HTTP/2 connection broken");
        }
        fed.is_ok()
    }

    /// Keeps the list of connections with room true after frames came.
    fn mind_room(&mut self, slot: u32) {
        let conn = &self.conns[slot];
        let Speaks::Http2(mux) = &conn.speaks else { return };
        if conn.stage == Stage::Greeting {
            return;
        }
        if mux.codec.as_ref().is_some_and(Connection::can_open) {
            self.make_idle(slot);
        } else {
            self.leave_idle(slot);
        }
    }

    /// The connection ended; so does everything on it.
    pub(crate) fn streams_over(&mut self, id: ConnId, reset: bool) {
        self.lose_streams(id, if reset { Failure::Reset } else { Failure::Truncated });
    }

    /// The peer took the connection and did not say what it allows: all that went on it and all that waits has failed.
    pub(crate) fn never_greeted(&mut self, id: ConnId, now: u64) {
        let Speaks::Http2(mux) = &mut self.conns[id.slot].speaks else { return };
        let queue = std::mem::take(&mut mux.queue);
        self.lose_streams(id, Failure::Timeout);
        for op in queue {
            self.ops[op].conn = NONE;
            self.fail(op, Failure::Timeout, now);
        }
    }

    /// Closes the connection; its streams fail. One whose answer had not begun was reset, whatever the connection's
    /// end looked like.
    fn lose_streams(&mut self, id: ConnId, failure: Failure) {
        let now = self.now();
        let Speaks::Http2(mux) = &mut self.conns[id.slot].speaks else { return };
        let lost: Vec<u32> =
            mux.codec.as_ref().map(|codec| codec.streams().map(|(_, op)| op).collect()).unwrap_or_default();
        let queue = std::mem::take(&mut mux.queue);
        self.open_streams -= lost.len() as u64;
        self.close(id.slot);
        for op in lost.iter().chain(&queue).copied() {
            self.ops[op].conn = NONE;
            self.ops[op].stream = 0;
        }
        for op in lost {
            let begun = self.ops[op].status != 0;
            let is_ours = matches!(failure, Failure::Protocol | Failure::Timeout);
            let failure = if begun || is_ours { failure } else { Failure::Reset };
            settle::failed(self, op, failure, now);
        }
        for op in queue {
            self.dispatch(op, now);
        }
    }

    /// Takes the stream of an operation off its connection: we have lost interest in it.
    pub(crate) fn cancel_stream(&mut self, op: u32) {
        let record = &mut self.ops[op];
        let (slot, stream) = (record.conn, std::mem::take(&mut record.stream));
        record.conn = NONE;
        let Some(conn) = self.conns.get_mut(slot) else { return };
        let Speaks::Http2(mux) = &mut conn.speaks else { return };
        mux.queue.retain(|other| *other != op);
        if let (Some(codec), true) = (&mut mux.codec, stream != 0) {
            codec.reset(&mut mux.out, stream, h2::CANCEL);
            self.open_streams -= 1;
            self.mind_room(slot);
            self.soil(slot);
        }
    }

    /// There may be bytes to write: they go out together at the end of the turn.
    pub(crate) fn soil(&mut self, slot: u32) {
        let Speaks::Http2(mux) = &mut self.conns[slot].speaks else { return };
        if !mux.dirty && !mux.out.is_empty() {
            mux.dirty = true;
            let id = self.id(slot);
            self.dirty.push(id);
        }
    }

    /// Writes what the turn left to be written.
    pub(crate) fn flush_dirty(&mut self) {
        while let Some(id) = self.dirty.pop() {
            if self.is_alive(id) {
                self.flush_now(id.slot);
            }
        }
    }

    /// Writes what the socket takes. What it does not take stops the codec from writing more: so a peer that does not
    /// read cannot make us hold more than a bound.
    fn flush_now(&mut self, slot: u32) {
        let conn = &mut self.conns[slot];
        let Speaks::Http2(mux) = &mut conn.speaks else { return };
        mux.dirty = false;
        // What the socket has not taken goes first; what is to follow waits where its size is watched.
        let Some(wire) = conn.wire.as_mut().filter(|wire| !wire.has_rest()) else { return };
        let written = loop {
            let written = match conn.link {
                None => wire.send(&mux.out, Bytes::new(), 0),
                Some(_) => Ok(wire.queue(&mux.out, Bytes::new(), 0)),
            };
            mux.out.clear();
            let went_on = matches!(written, Ok(Written::All)) && mux.resume();
            if !went_on {
                break written;
            }
        };
        if mux.out.capacity() > OUT_KEPT {
            mux.out.shrink_to(OUT_KEPT);
        }
        self.after_write(slot, written);
    }

    /// The socket took all that was written: bodies for which there was no room go on.
    pub(crate) fn flushed(&mut self, id: ConnId) {
        if !self.is_alive(id) {
            return;
        }
        if let Speaks::Http2(mux) = &mut self.conns[id.slot].speaks {
            mux.resume();
            self.soil(id.slot);
            self.flush_dirty();
        }
    }
}

/// What answers are noted in.
struct Hearer<'e> {
    sessions: &'e mut Slab<Session>,
    jars: &'e mut Slab<Jar>,
    carried: &'e mut Slab<Carried>,
    takers: &'e mut Slab<Taker>,
    flows: &'e mut Flows,
    job: &'e Job,
}

impl Hearer<'_> {
    /// Whose operation it is: program and clone.
    fn clone_of(&self, record: &Op) -> (u32, u32) {
        let session = &self.sessions[record.session];
        (session.program, session.clone)
    }

    fn on_head(
        &mut self,
        (tag, record): (u32, &mut Op),
        (status, fields): (u16, &Fields),
        now: u64,
        streams: &mut StreamTally,
    ) {
        if record.first_ns == 0 {
            record.first_ns = now;
        }
        record.status = status;
        let session = &mut self.sessions[record.session];
        let step = self.job.plan.step(session.program, record.step);
        let mut seen = Seen::default();
        for (name, value) in fields.iter() {
            let mut own = Own { jar: &mut session.jar, jars: self.jars, path: step.path() };
            note_field(record, &mut own, name, value);
            note_stream(&mut seen, name, value, || handshake(0, 0, 0)); // none is asked for here
            if step.has_links() {
                let mut hand = Hand { number: &mut session.carried, all: self.carried };
                note_taken((self.takers, record), step, &mut hand, (name, value));
            }
        }
        self.flows.on_head((tag, record), seen, streams);
    }

    fn on_data(&mut self, (tag, record): (u32, &Op), bytes: &[u8], now: u64, streams: &mut StreamTally) {
        if record.flow == NONE && record.taker == NONE {
            return;
        }
        let session = &mut self.sessions[record.session];
        let step = self.job.plan.step(session.program, record.step);
        let expected = || flow::expected(step, self.job.speed);
        self.flows.on_bytes((tag, record), bytes, expected, (now, streams));
        if let Some(taker) = self.takers.get_mut(record.taker) {
            taker.collect(bytes, step, &mut Hand { number: &mut session.carried, all: self.carried });
        }
    }
}

/// What it means that a stream was reset, whose answer had `begun` or not.
fn failure_of(why: Why, begun: bool) -> Failure {
    match why {
        Why::Peer if begun => Failure::Truncated,
        Why::Peer => Failure::Reset,
        Why::Malformed(_) => Failure::Protocol,
    }
}

/// What a connection keeps of its buffer between two turns.
const OUT_KEPT: usize = 4096;
