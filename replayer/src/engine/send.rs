//! The way of an operation to the socket: a connection, a place in the rate, the bytes.
//!
//! The bytes are written here, synchronously, at the moment of release; connection tasks only read. Nothing in
//! this file ends an operation that has not been written: it goes on, waits, or is given up by `drain`.

use bytes::Bytes;

use crate::engine::pool::Found;
use crate::engine::records::{ConnId, Engine, NOT_SENT, Speaks, Stage};
use crate::engine::wire::Written;
use crate::engine::{connect, settle};
use crate::options::Speed;
use crate::plan::{Composed, Outgoing, Sender};
use crate::slab::NONE;
use crate::tally::Failure;

impl Engine {
    /// Sends an operation that may go now, or lets it wait for a connection.
    pub(crate) fn dispatch(&mut self, op: u32, now: u64) {
        match self.find_connection(op) {
            Found::Open(conn) => self.send(op, conn, now),
            Found::Opening => {}
            Found::Nothing => self.waiting.push_back((op, self.ops[op].serial)),
        }
    }

    /// Gives connections to those who wait, first come first served, as far as there are any.
    pub(crate) fn serve_waiting(&mut self, now: u64) {
        while let Some((op, serial)) = self.waiting.front().copied() {
            if !self.is_current(op, serial) {
                self.waiting.pop_front();
                continue;
            }
            match self.find_connection(op) {
                Found::Nothing => return,
                Found::Opening => {
                    self.waiting.pop_front();
                }
                Found::Open(conn) => {
                    self.waiting.pop_front();
                    self.send(op, conn, now);
                }
            }
        }
    }

    /// Whether `op` is still the operation that it was.
    pub(crate) fn is_current(&self, op: u32, serial: u32) -> bool {
        self.ops.get(op).is_some_and(|record| record.serial == serial)
    }

    /// Sends on a connection as soon as the rate allows it.
    pub(crate) fn send(&mut self, op: u32, slot: u32, now: u64) {
        if let Speaks::Http1(_) = self.conns[slot].speaks {
            self.conns[slot].stage = Stage::Busy;
            self.conns[slot].op = op;
        }
        let record = &mut self.ops[op];
        record.conn = slot;
        let wait = now.saturating_sub(record.waiting_ns);
        record.waited_ns += wait;
        record.conn_wait_ns += wait;
        record.waiting_ns = now;
        if let (Some(gate), false) = (&self.job.gate, record.paid) {
            record.paid = true;
            let place = gate.reserve(now);
            if place > now {
                self.tally.held_back += 1;
                if self.job.http2 {
                    self.ops[op].conn = NONE; // a stream is only taken when it is used
                }
                let serial = self.ops[op].serial;
                self.held.push_back((place, op, serial));
                self.wake_by(place);
                return;
            }
        }
        self.write(op);
    }

    /// Sends the first of those that waited for their place in the rate.
    pub(crate) fn send_held(&mut self, now: u64) {
        let Some((place, op, serial)) = self.held.pop_front() else { return };
        if !self.is_current(op, serial) {
            return;
        }
        let record = &mut self.ops[op];
        record.waited_ns += place.saturating_sub(record.waiting_ns);
        record.waiting_ns = place;
        if record.conn == NONE {
            record.waiting_ns = now.max(place); // how late we come is not a wait for a connection
            self.dispatch(op, now); // the peer closed its connection meanwhile
        } else {
            self.write(op);
        }
    }

    fn write(&mut self, op: u32) {
        self.begin_flow(op);
        self.begin_taking(op);
        match self.conns[self.ops[op].conn].speaks {
            Speaks::Http1(_) => self.write_http1(op),
            Speaks::Http2(_) => self.write_stream(op),
        }
    }

    fn write_http1(&mut self, op: u32) {
        let slot = self.ops[op].conn;
        let (mut body, filler) = self.render(op);
        let is_socket = self.ask_for_socket(op);
        if filler == 0 && body.len() <= INLINE_BODY {
            self.scratch.extend_from_slice(&body);
            body.clear();
        }
        let bytes = self.scratch.len() as u64 + body.len() as u64 + filler;
        let is_head = self.step_of(op).is_head();
        let sent_ns = self.now();
        let conn = &mut self.conns[slot];
        if let Speaks::Http1(reader) = &mut conn.speaks {
            reader.start(is_head, is_socket);
        }
        let (used, link) = (conn.used, conn.link);
        let wire = conn.wire.as_mut().expect("a connection that is idle or connected has a wire");
        let written = match link {
            None => wire.send(&self.scratch, body, filler),
            Some(_) => Ok(wire.queue(&self.scratch, body, filler)),
        };
        match written {
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
                self.after_write(slot, written);
            }
        }
    }

    /// Writes the head of the request of `op` into the scratch buffer; its body comes back, and how many bytes of it
    /// were not recorded.
    pub(crate) fn render(&mut self, op: u32) -> (Bytes, u64) {
        let Engine { ops, sessions, jars, carried, job, scratch, body, .. } = self;
        let record = &ops[op];
        let session = &sessions[record.session];
        let program = job.plan.program(session.program);
        let step = program.step(record.step);
        let sender = Sender {
            seed: job.plan.seed,
            run: &job.run,
            session: program.session(),
            clone: session.clone,
            operation: record.id,
            trace: job.traces.as_ref().and_then(|traces| traces.name(record.id, record.attempt)),
        };
        let (jar, carried) = (jars.get(session.jar), carried.get(session.carried));
        scratch.clear();
        body.clear();
        let composed = match (step.is_substituted(), job.http2) {
            (true, _) => {
                let users = job.users.as_deref().map(|users| (users, users.row_of(session.user.into())));
                let cell = |column: usize| users.map_or(&[][..], |(users, row)| users.cell(row, column));
                let outgoing = Outgoing { sender, jar, carried, attempt: record.attempt, user: Some(&cell) };
                step.compose(scratch, body, &outgoing)
            }
            (false, true) => {
                step.write_head_h2(scratch, sender, jar, record.attempt);
                Composed::Recorded
            }
            (false, false) => {
                step.write_head(scratch, sender, jar, record.attempt);
                Composed::Recorded
            }
        };
        match composed {
            Composed::Written => (Bytes::copy_from_slice(body), 0),
            Composed::Recorded => (Bytes::copy_from_slice(step.body()), step.filler()),
        }
    }

    pub(crate) fn after_write(&mut self, slot: u32, written: std::io::Result<Written>) {
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
        let bin = sent_ns / BIN_NS;
        self.begin_second(bin / BINS);
        let record = &self.ops[op];
        self.tally.sent += 1;
        self.interval.sent += 1;
        if record.attempt > 1 {
            self.tally.retries += 1;
            self.tally.doubles += u64::from(record.is_double);
        }
        self.interval.bins[(bin % BINS) as usize] += 1;
        if let Some(ops) = &mut self.tally.ops {
            ops.insert(record.id, record.attempt);
        }
        if record.attempt == 1 && !self.tally.links.is_empty() {
            self.count_carried(op);
        }
        self.note_lateness(op);
    }

    /// How late it left by our own fault, and how far that is from how late the one before it left.
    fn note_lateness(&mut self, op: u32) {
        let record = &self.ops[op];
        let late = record.sent_ns.saturating_sub(record.ready_ns).saturating_sub(record.waited_ns);
        let late_us = u32::try_from(late / 1000).unwrap_or(NOT_SENT - 1);
        let warms_up = self.is_warming_up(record.intended_ns);
        self.tally.warmup.sent += u64::from(warms_up);
        if record.attempt > 1 {
            return;
        }
        let route = self.step_of(op).route();
        let record = &self.ops[op];
        self.tally.funnel.reach(record.step, route);
        let session = &mut self.sessions[record.session];
        let before = std::mem::replace(&mut session.late_us, late_us);
        if before == NOT_SENT && matches!(self.job.speed, Speed::Times(_)) {
            let steps = self.job.plan.program(session.program).len() - record.step;
            self.tally.starts.start(record.sent_ns / 1000, steps);
        }
        if warms_up {
            return;
        }
        self.tally.latencies.lateness.saturating_record(u64::from(late_us));
        self.interval.lateness.saturating_record(u64::from(late_us));
        if record.conn_wait_ns > 0 {
            self.tally.latencies.wait.saturating_record(record.conn_wait_ns / 1000);
        }
        if before == NOT_SENT {
            self.tally.latencies.session_starts.saturating_record(u64::from(late_us));
        } else if !record.was_blocked {
            self.tally.latencies.gap_error.saturating_record(u64::from(before.abs_diff(late_us)));
        }
    }

    /// The connection for its operations could not be opened: those attempts have failed.
    pub(crate) fn connect_failed(&mut self, id: ConnId, err: Option<&std::io::Error>) {
        if !self.is_alive(id) {
            return;
        }
        match err.and_then(std::io::Error::raw_os_error) {
            Some(libc::EADDRNOTAVAIL) => self.tally.no_ports += 1,
            Some(libc::EMFILE | libc::ENFILE) => self.tally.no_files += 1,
            _ => {}
        }
        let stage = self.conns[id.slot].stage;
        let failure = if stage == Stage::Handshake { Failure::Tls } else { Failure::Connect };
        let ops = match &mut self.conns[id.slot].speaks {
            Speaks::Http1(_) => vec![self.conns[id.slot].op],
            Speaks::Http2(mux) => std::mem::take(&mut mux.queue),
        };
        let now = self.now();
        self.close(id.slot);
        for op in ops.iter().copied() {
            self.ops[op].conn = NONE;
        }
        for op in ops {
            let record = &mut self.ops[op];
            record.waited_ns += now.saturating_sub(record.waiting_ns);
            record.waiting_ns = now;
            self.count_sent(op, now);
            settle::failed(self, op, failure, now);
        }
    }
}

/// Bodies up to this size go out in one write with their head.
const INLINE_BODY: usize = 16 * 1024;
/// The bins in which requests are counted to see how evenly they leave: 10 ms.
const BIN_NS: u64 = 10_000_000;
/// Bins of a second.
const BINS: u64 = 100;
