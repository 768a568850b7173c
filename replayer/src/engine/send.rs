//! The way of an operation to the socket: a connection, a place in the rate, the bytes.
//!
//! The bytes are written here, synchronously, at the moment of release; connection tasks only read. Nothing in
//! this file ends an operation that has not been written: it goes on, waits, or is given up by `drain`.

use bytes::Bytes;

use crate::engine::records::{Conn, ConnId, Engine, Stage};
use crate::engine::wire::Written;
use crate::engine::{connect, settle};
use crate::http::Reader;
use crate::plan::Sender;
use crate::slab::NONE;
use crate::tally::Failure;

enum Found {
    /// An idle connection.
    Idle(u32),
    /// One is being opened for the operation.
    Opening,
    /// There is no room.
    Nothing,
}

impl Engine {
    /// Sends an operation that may go now, or lets it wait for a connection.
    pub(crate) fn dispatch(&mut self, op: u32, now: u64) {
        match self.find_connection(op) {
            Found::Idle(conn) => self.send(op, conn, now),
            Found::Opening => {}
            Found::Nothing => self.waiting.push_back(op),
        }
    }

    /// Gives connections to those who wait, first come first served, as far as there are any.
    pub(crate) fn serve_waiting(&mut self, now: u64) {
        while let Some(op) = self.waiting.front().copied() {
            match self.find_connection(op) {
                Found::Nothing => return,
                Found::Opening => {
                    self.waiting.pop_front();
                }
                Found::Idle(conn) => {
                    self.waiting.pop_front();
                    self.send(op, conn, now);
                }
            }
        }
    }

    /// Sends on a connection as soon as the rate allows it.
    pub(crate) fn send(&mut self, op: u32, conn: u32, now: u64) {
        let record = &mut self.conns[conn];
        record.stage = Stage::Busy;
        record.op = op;
        let record = &mut self.ops[op];
        record.conn = conn;
        let wait = now.saturating_sub(record.waiting_ns);
        record.waited_ns += wait;
        record.conn_wait_ns += wait;
        record.waiting_ns = now;
        if let (Some(gate), false) = (&self.job.gate, record.paid) {
            record.paid = true;
            let slot = gate.reserve(now);
            if slot > now {
                self.tally.held_back += 1;
                self.held.push_back((slot, op));
                self.wake_by(slot);
                return;
            }
        }
        self.write(op);
    }

    /// Sends the first of those that waited for their place in the rate.
    pub(crate) fn send_held(&mut self, now: u64) {
        let Some((slot, op)) = self.held.pop_front() else { return };
        let record = &mut self.ops[op];
        record.waited_ns += slot.saturating_sub(record.waiting_ns);
        record.waiting_ns = slot;
        if record.conn == NONE {
            self.dispatch(op, now); // the peer closed its connection meanwhile
        } else {
            self.write(op);
        }
    }

    fn write(&mut self, op: u32) {
        let record = &self.ops[op];
        let (slot, session) = (record.conn, &self.sessions[record.session]);
        let step = self.job.plan.step(session.program, record.step);
        let sender = Sender {
            seed: self.job.plan.seed,
            run: &self.job.run,
            session: self.job.plan.program(session.program).session(),
            clone: session.clone,
            operation: record.id,
        };
        self.scratch.clear();
        step.write_head(&mut self.scratch, sender, self.jars.get(session.jar), ATTEMPT);
        let (is_head, filler) = (step.is_head(), step.filler());
        let whole = filler == 0 && step.body().len() <= INLINE_BODY;
        let body = if whole { Bytes::new() } else { Bytes::copy_from_slice(step.body()) };
        if whole {
            self.scratch.extend_from_slice(step.body());
        }
        let bytes = self.scratch.len() as u64 + body.len() as u64 + filler;
        let sent_ns = self.now();
        let conn = &mut self.conns[slot];
        conn.reader.start(is_head);
        let used = conn.used;
        let wire = conn.wire.as_mut().expect("a connection that is idle or connected has a wire");
        match wire.send(&self.scratch, body, filler) {
            Err(_) if used && wire.is_untouched() => {
                // Nothing of it reached the socket: it may go again without being sent twice.
                self.ops[op].conn = NONE;
                self.ops[op].fresh = true;
                self.conns[slot].op = NONE;
                self.close(slot);
                self.dispatch(op, sent_ns);
            }
            written => {
                self.tally.bytes_out += bytes;
                self.tally.conns_reused += u64::from(used);
                self.count_sent(op, sent_ns);
                self.after_write(op, slot, written);
            }
        }
    }

    fn after_write(&mut self, op: u32, slot: u32, written: std::io::Result<Written>) {
        let record = &self.ops[op];
        let late = record.sent_ns.saturating_sub(record.ready_ns).saturating_sub(record.waited_ns);
        self.tally.latencies.lateness.saturating_record(late / 1000);
        if record.conn_wait_ns > 0 {
            self.tally.latencies.wait.saturating_record(record.conn_wait_ns / 1000);
        }
        match written {
            Ok(Written::All) => {}
            Ok(Written::Part) => connect::spawn_flush(self, self.id(slot)),
            // Its reader will see the error, or an answer that came before it: it judges.
            Err(err) => tracing::debug!(error = %err, "write failed"),
        }
    }

    /// Counts an attempt as sent: bytes were handed to a socket, or the connection for it failed.
    pub(crate) fn count_sent(&mut self, op: u32, sent_ns: u64) {
        let record = &mut self.ops[op];
        record.sent_ns = sent_ns.max(1);
        self.tally.sent += 1;
        self.interval.sent += 1;
        if let Some(ops) = &mut self.tally.ops {
            ops.insert(record.id, ATTEMPT);
        }
    }

    fn find_connection(&mut self, op: u32) -> Found {
        let (session, fresh) = (self.ops[op].session, self.ops[op].fresh);
        let lane = self.lane_of(op);
        if !fresh {
            let idle = match lane {
                Some(lane) => self.owned(session, lane).inspect(|_| self.idle_owned -= 1),
                None => self.idle.pop(),
            };
            if let Some(conn) = idle {
                return Found::Idle(conn);
            }
        }
        if self.conns.len() >= self.max_conns && !self.evict() {
            return Found::Nothing;
        }
        self.open(op, session, lane);
        Found::Opening
    }

    fn lane_of(&self, op: u32) -> Option<u16> {
        let record = &self.ops[op];
        let program = self.sessions[record.session].program;
        self.job.plan.step(program, record.step).lane()
    }

    fn open(&mut self, op: u32, session: u32, lane: Option<u16>) {
        self.generation = self.generation.wrapping_add(1);
        let (owner, next) = match lane {
            Some(_) => (session, self.sessions[session].conns),
            None => (NONE, NONE),
        };
        let slot = self.conns.insert(Conn {
            generation: self.generation,
            stage: Stage::Connecting,
            op,
            owner,
            lane: lane.unwrap_or(0),
            next,
            used: false,
            wire: None,
            reader: Reader::default(),
            task: None,
        });
        if lane.is_some() {
            self.sessions[session].conns = slot;
        }
        self.ops[op].conn = slot;
        self.tally.conns_peak = self.tally.conns_peak.max(self.conns.len() as u64);
        connect::spawn_open(self, self.id(slot));
    }

    /// Closes a connection that nobody uses at the moment, to make room. False: all are in use.
    fn evict(&mut self) -> bool {
        if self.idle_owned == 0 {
            let Some(conn) = self.idle.first().copied() else { return false };
            self.close(conn);
            return true;
        }
        for _ in 0..=self.conns.slots() {
            self.hand = (self.hand + 1) % self.conns.slots().max(1);
            let idle =
                self.conns.get(self.hand).is_some_and(|conn| conn.stage == Stage::Idle && conn.owner != NONE);
            if idle {
                self.tally.conns_evicted += 1;
                self.close(self.hand);
                return true;
            }
        }
        false
    }

    /// Closes a connection and forgets it. An operation on it is not touched.
    pub(crate) fn close(&mut self, slot: u32) {
        let Some(conn) = self.conns.remove(slot) else { return };
        if conn.stage == Stage::Idle {
            if conn.owner == NONE {
                self.idle.retain(|other| *other != slot);
            } else {
                self.idle_owned -= 1;
            }
        }
        if conn.owner != NONE {
            self.disown(conn.owner, slot, conn.next);
        }
        if let Some(task) = conn.task {
            task.abort();
        }
    }

    pub(crate) fn id(&self, slot: u32) -> ConnId {
        ConnId { slot, generation: self.conns[slot].generation }
    }

    /// Whether `id` still names the connection that it was made for.
    pub(crate) fn is_alive(&self, id: ConnId) -> bool {
        self.conns.get(id.slot).is_some_and(|conn| conn.generation == id.generation)
    }

    /// The connection for an operation could not be opened: that attempt has failed.
    pub(crate) fn connect_failed(&mut self, id: ConnId, err: Option<&std::io::Error>) {
        if !self.is_alive(id) {
            return;
        }
        let (op, stage) = (self.conns[id.slot].op, self.conns[id.slot].stage);
        let now = self.now();
        match err.and_then(std::io::Error::raw_os_error) {
            Some(libc::EADDRNOTAVAIL) => self.tally.no_ports += 1,
            Some(libc::EMFILE | libc::ENFILE) => self.tally.no_files += 1,
            _ => {}
        }
        self.close(id.slot);
        self.ops[op].conn = NONE;
        self.count_sent(op, now);
        let failure = if stage == Stage::Handshake { Failure::Tls } else { Failure::Connect };
        settle::failed(self, op, failure, now);
    }

    fn disown(&mut self, session: u32, slot: u32, after: u32) {
        let Some(record) = self.sessions.get_mut(session) else { return };
        if record.conns == slot {
            record.conns = after;
            return;
        }
        let mut at = record.conns;
        while at != NONE {
            let next = self.conns[at].next;
            if next == slot {
                self.conns[at].next = after;
                return;
            }
            at = next;
        }
    }
}

/// There are no retries yet: every attempt is the first.
pub(crate) const ATTEMPT: u32 = 1;
/// Bodies up to this size go out in one write with their head.
const INLINE_BODY: usize = 16 * 1024;
