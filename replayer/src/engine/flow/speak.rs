//! What a client says on a stream: the recorded messages at their times, and what the protocol wants said.

use bytes::Bytes;
use captures::messages::{MessageKind, StreamKind};

use crate::engine::flow::{ARMED, Flow, LEFT, OPEN, PEER_CLOSED, SAID_ALL, SAID_CLOSE};
use crate::engine::records::{Act, Engine, Speaks};
use crate::h2::Piece;
use crate::identity::{self, Lane};
use crate::limits;
use crate::slab::NONE;
use crate::stream::script::{Line, Script};
use crate::stream::{grpc, ws};

/// Appends the answer to a ping.
pub(super) fn pong(out: &mut Vec<u8>, payload: &[u8], now: u64) {
    ws::push_frame(out, ws::Opcode::Pong, payload, 0, mask(now));
}

/// Appends the answer to a close.
pub(super) fn close(out: &mut Vec<u8>, payload: &[u8], now: u64) {
    out.extend_from_slice(&ws::close_frame(code(payload), mask(now)));
}

fn code(payload: &[u8]) -> u16 {
    payload.first_chunk().map_or(1000, |code| u16::from_be_bytes(*code))
}

/// Masks hide nothing here: they only keep caches on the way from mistaking frames for requests.
fn mask(word: u64) -> [u8; 4] {
    ((word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32).to_le_bytes()
}

impl Engine {
    /// Asks for a WebSocket in the head that was just rendered, where the operation is one.
    pub(crate) fn ask_for_socket(&mut self, op: u32) -> bool {
        let is_socket = self.ops[op].flow != NONE
            && self.step_of(op).script().is_some_and(|script| script.kind() == StreamKind::WebSocket);
        if is_socket {
            let record = &self.ops[op];
            let handshake = handshake(self.job.plan.seed, record.id, record.attempt);
            self.scratch.truncate(self.scratch.len() - LINE_END.len());
            handshake.push(&mut self.scratch);
            self.scratch.extend_from_slice(LINE_END);
        }
        is_socket
    }

    /// Whether what the client says comes after the head of the request.
    pub(crate) fn says_more(&self, op: u32) -> bool {
        self.ops[op].flow != NONE && self.step_of(op).script().is_some_and(Script::is_paced)
    }

    /// Sees to it that the next message goes out at its time.
    pub(crate) fn arm_speech(&mut self, op: u32, now: u64) {
        let Some(flow) = self.flows.get(self.ops[op].flow) else { return };
        if flow.has(ARMED | SAID_ALL) || !self.says_more(op) {
            return;
        }
        let due_ns = self.next_speech(op, flow).max(now);
        self.flow_mut(op).set(ARMED);
        if due_ns == now { self.speak(op, now) } else { self.later(op, due_ns, Act::Message) }
    }

    /// When the client says something next; what is left after its last message is the end of its side.
    fn next_speech(&self, op: u32, flow: &Flow) -> u64 {
        let step = self.step_of(op);
        let Some(script) = step.script() else { return 0 };
        let at_us = match script.line(flow.cursor) {
            Some(line) => line.at_us,
            None if script.ends_late() => step.duration_us(),
            None => 0,
        };
        self.ops[op].intended_ns.saturating_add(self.job.plan.due_ns(at_us))
    }

    /// Says what is due.
    pub(crate) fn speak(&mut self, op: u32, now: u64) {
        let Some(flow) = self.flows.slab.get_mut(self.ops[op].flow) else { return };
        flow.clear(ARMED);
        if flow.has(SAID_ALL | SAID_CLOSE | PEER_CLOSED | LEFT) || self.ops[op].conn == NONE {
            return;
        }
        let is_socket = self.ops[op].stream == 0;
        if is_socket && !flow.has(OPEN) || !is_socket && self.ops[op].sent_ns == 0 {
            return; // it goes on when it is open
        }
        loop {
            let Some(flow) = self.flows.get(self.ops[op].flow) else { return };
            let due_ns = self.next_speech(op, flow);
            let due_ns = if self.cannot_take_more(op) { now + limits::SPEECH_PAUSE_NS } else { due_ns };
            if due_ns > now {
                self.flow_mut(op).set(ARMED);
                return self.later(op, due_ns, Act::Message);
            }
            let goes_on = if is_socket { self.say_on_socket(op, now) } else { self.say_on_stream(op) };
            if !goes_on {
                self.flow_mut(op).set(SAID_ALL);
                return;
            }
        }
    }

    /// Whether the peer has not taken what was said before.
    fn cannot_take_more(&self, op: u32) -> bool {
        let record = &self.ops[op];
        self.conns.get(record.conn).is_some_and(|conn| match &conn.speaks {
            Speaks::Http1(_) => conn.wire.as_ref().is_some_and(crate::engine::wire::Wire::has_rest),
            Speaks::Http2(mux) => mux.is_blocked(record.stream),
        })
    }

    /// Says the next message on a WebSocket. False: there is none.
    fn say_on_socket(&mut self, op: u32, now: u64) -> bool {
        let record = &self.ops[op];
        let (slot, flow) = (record.conn, record.flow);
        let cursor = self.flows.slab[flow].cursor;
        let Engine { flows, job, sessions, scratch, .. } = self;
        let step = job.plan.step(sessions[record.session].program, record.step);
        let Some(line) = step.script().and_then(|script| script.line(cursor)) else { return false };
        let random =
            identity::prf(job.plan.seed, Lane::Socket, [record.id, record.attempt.into(), cursor.into()]);
        scratch.clear();
        push_frame(scratch, &line, random);
        flows.slab[flow].cursor = line.next;
        let is_close = line.kind == MessageKind::Close;
        if is_close {
            flows.slab[flow].set(SAID_CLOSE);
        } else {
            self.tally.streams.messages_out += 1;
        }
        self.write_on(slot);
        if is_close {
            self.later(op, now + limits::CLOSE_WAIT_NS, Act::Close);
        }
        !is_close
    }

    /// Writes the scratch buffer behind whatever is still to be written.
    pub(super) fn write_on(&mut self, slot: u32) {
        self.tally.bytes_out += self.scratch.len() as u64;
        let conn = &mut self.conns[slot];
        let Some(wire) = conn.wire.as_mut() else { return };
        let written = match conn.link {
            None => wire.append(&self.scratch),
            Some(_) => Ok(wire.keep(&self.scratch)),
        };
        self.after_write(slot, written);
    }

    /// Says the next message of a gRPC call, or ends our side of it: then False.
    fn say_on_stream(&mut self, op: u32) -> bool {
        let record = &self.ops[op];
        let (slot, stream, flow) = (record.conn, record.stream, record.flow);
        let cursor = self.flows.slab[flow].cursor;
        let step = self.job.plan.step(self.sessions[record.session].program, record.step);
        let Some(script) = step.script() else { return false };
        let mut piece = Vec::new();
        let mut at = cursor;
        if let Some(line) = script.line(cursor) {
            let start = piece.len();
            grpc::push_message(&mut piece, line.data, line.filler);
            piece[start] = u8::from(line.compressed && line.filler == 0);
            at = line.next;
            self.tally.streams.messages_out += 1;
        }
        let end = script.line(at).is_none() && (at == cursor || !script.ends_late());
        self.flows.slab[flow].cursor = at;
        self.tally.bytes_out += piece.len() as u64;
        self.push_piece(slot, stream, Piece { bytes: Bytes::from(piece), filler: 0, end });
        !end
    }

    pub(super) fn flow_mut(&mut self, op: u32) -> &mut Flow {
        &mut self.flows.slab[self.ops[op].flow]
    }
}

/// The handshake of attempt number `attempt` of an operation.
pub(crate) fn handshake(seed: u64, operation: u64, attempt: u32) -> ws::Handshake {
    let half = |number| identity::prf(seed, Lane::Socket, [operation, attempt.into(), u64::MAX - number]);
    let key = u128::from(half(0)) << 64 | u128::from(half(1));
    ws::handshake_fields(key.to_le_bytes())
}

fn push_frame(out: &mut Vec<u8>, line: &Line<'_>, random: u64) {
    let mask = mask(random);
    let opcode = match line.kind {
        MessageKind::Close => return out.extend_from_slice(&ws::close_frame(code(line.data), mask)),
        MessageKind::Text => ws::Opcode::Text,
        MessageKind::Ping => ws::Opcode::Ping,
        MessageKind::Pong => ws::Opcode::Pong,
        _ => ws::Opcode::Binary,
    };
    ws::push_frame(out, opcode, line.data, line.filler, mask);
}

const LINE_END: &[u8] = b"\r\n";
