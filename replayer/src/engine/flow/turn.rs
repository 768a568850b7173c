//! The turns of a stream's life: it is sent, it opens, it ends, its client leaves, it is opened again.

use captures::messages::StreamKind;

use crate::engine::flow::{
    ARMED, BROKEN, ENDS_BY_CLOCK, Expected, Flow, LEAVES_AT_HEAD, LEFT, OPEN, PEER_CLOSED, SAID_ALL,
    SAID_CLOSE, Scanner, WAS_OPEN,
};
use crate::engine::records::{Act, ConnId, Engine, Phase};
use crate::engine::settle;
use crate::http::AtEnd;
use crate::identity::{self, Lane};
use crate::limits;
use crate::options::Speed;
use crate::plan::Step;
use crate::slab::NONE;
use crate::stream::script::Script;
use crate::tally::Failure;

impl Engine {
    /// An operation is about to be sent: from now on it has a flow, if it was a stream in the recording.
    pub(crate) fn begin_flow(&mut self, op: u32) {
        let Some(script) = self.step_of(op).script() else { return };
        let (is_left, is_socket) = (script.is_left(), script.kind() == StreamKind::WebSocket);
        if self.ops[op].flow != NONE {
            return self.flow_mut(op).begin_again(is_socket);
        }
        self.ops[op].flow = self.flows.slab.insert(Flow::new());
        if is_left {
            self.end_by_clock(op);
        }
    }

    /// Sees to it that we leave when the recorded stream ended.
    fn end_by_clock(&mut self, op: u32) {
        if !self.flow_mut(op).has(ENDS_BY_CLOCK) {
            self.flow_mut(op).set(ENDS_BY_CLOCK);
            self.later(op, self.recorded_end(op), Act::Close);
        }
    }

    /// When the recorded stream ended. At full speed, which knows no times, it may take as long as it did.
    fn recorded_end(&self, op: u32) -> u64 {
        let duration_us = self.step_of(op).duration_us();
        match self.job.speed {
            Speed::Max => self.now().saturating_add(duration_us.saturating_mul(1000)),
            Speed::Times(_) => self.ops[op].intended_ns.saturating_add(self.job.plan.due_ns(duration_us)),
        }
    }

    /// Bytes came on an HTTP/1.1 connection, and the answer goes on. False: the connection is closed.
    pub(crate) fn flow_goes_on(&mut self, id: ConnId, op: u32, now: u64) -> bool {
        let Some(flow) = self.flows.get(self.ops[op].flow) else { return true };
        let (is_broken, is_closed) = (flow.has(BROKEN), flow.has(PEER_CLOSED));
        let is_socket = matches!(flow.scanner, Scanner::WebSocket(_));
        if is_broken {
            self.close(id.slot);
            settle::failed(self, op, Failure::Protocol, now);
            return false;
        }
        if !self.flows.replies.is_empty() {
            self.scratch.clear();
            self.scratch.append(&mut self.flows.replies);
            self.write_on(id.slot);
        }
        if is_closed {
            let is_timely = self.is_timely(op, now);
            self.close(id.slot);
            match is_timely {
                true => settle::answered(self, op, now),
                false => settle::failed(self, op, Failure::Truncated, now),
            }
            return false;
        }
        if is_socket {
            self.arm_speech(op, now);
        }
        self.leave_flows(now);
        self.is_alive(id)
    }

    /// What the end of its connection means for an answer that may be a WebSocket.
    pub(crate) fn flow_at_end(&self, op: u32, at_end: AtEnd, reset: bool) -> (AtEnd, bool) {
        let flow = self.flows.get(self.ops[op].flow);
        let Some(flow) = flow.filter(|flow| matches!(flow.scanner, Scanner::WebSocket(_))) else {
            return (at_end, reset);
        };
        match flow.has(SAID_CLOSE) || !reset && self.is_timely(op, self.now()) {
            true => (AtEnd::Complete, false),
            false => (at_end, reset),
        }
    }

    /// Whether the server may end the stream now: it was the one who did, and all was said on both sides, or nearly
    /// all of the recorded time has passed.
    fn is_timely(&self, op: u32, now: u64) -> bool {
        let (Some(flow), step) = (self.flows.get(self.ops[op].flow), self.step_of(op)) else { return true };
        let Some(script) = step.script() else { return true };
        let lasts_ns = self.job.plan.due_ns(step.duration_us());
        let nearly = self.ops[op].intended_ns.saturating_add(lasts_ns - lasts_ns / 10);
        let has_time_passed = self.fully_paced() && nearly <= now;
        let is_said = script.line(flow.cursor).is_none();
        flow.has(SAID_CLOSE)
            || !script.is_left() && is_said && (has_time_passed || script.answers() <= flow.pulse.count())
    }

    /// Ends the streams whose time has come while bytes were read.
    pub(crate) fn leave_flows(&mut self, now: u64) {
        while let Some((op, serial)) = self.flows.leaving.pop() {
            if self.is_current(op, serial) && self.is_open(op) {
                self.leave(op, now);
            }
        }
    }

    /// Ends a stream as its client: its answer is what came so far.
    pub(crate) fn leave(&mut self, op: u32, now: u64) {
        self.flow_mut(op).set(LEFT);
        self.leave_connection(op);
        settle::answered(self, op, now);
    }

    /// Whether the answer of an operation is coming, and is a stream.
    pub(crate) fn is_open(&self, op: u32) -> bool {
        let flow = self.ops.get(op).and_then(|record| self.flows.get(record.flow));
        flow.is_some_and(|flow| flow.has(OPEN))
    }

    /// The recorded stream ended now, or the peer has had its time to answer our close.
    pub(crate) fn close_flow(&mut self, op: u32, now: u64) {
        let record = &self.ops[op];
        let Some(flow) = self.flows.get(record.flow) else { return };
        if flow.has(OPEN) {
            let polite = matches!(flow.scanner, Scanner::WebSocket(_)) && !flow.has(SAID_CLOSE);
            match polite && !self.step_of(op).script().is_some_and(Script::is_left) {
                true => self.say_goodbye(op, now),
                false => self.leave(op, now),
            }
        } else if record.attempt > 1 && record.sent_ns == 0 {
            self.leave_connection(op); // its client would open it again, but what for
            self.op_ended(op, now);
        } else if record.status == 0 {
            self.flow_mut(op).set(LEAVES_AT_HEAD);
        }
    }

    /// An attempt ends: what becomes of its stream.
    pub(crate) fn flow_over(&mut self, op: u32, answered: bool, now: u64) {
        let Some(flow) = self.flows.get(self.ops[op].flow) else { return };
        if !flow.has(OPEN) {
            return;
        }
        let script = self.step_of(op).script();
        let ends_well = answered && (flow.has(LEFT | SAID_CLOSE) || !script.is_some_and(Script::is_left));
        let silence = flow.pulse.silence_ns(self.ops[op].sent_ns, now);
        let stalled = script.is_some_and(|script| script.silence_ns() < silence);
        let streams = &mut self.tally.streams;
        streams.ended += u64::from(ends_well);
        streams.broken += u64::from(!ends_well);
        streams.stalls += u64::from(stalled);
        self.flows.open -= 1;
        self.flow_mut(op).clear(OPEN);
    }

    /// When an answer counts as there: with its last byte, or with its head where it is a long stream, whose length is
    /// no latency.
    pub(crate) fn answered_at(&self, op: u32, now: u64) -> u64 {
        let record = &self.ops[op];
        match self.flows.get(record.flow) {
            Some(flow) if flow.has(WAS_OPEN) && self.step_of(op).script().is_none_or(Script::is_long) => {
                record.first_ns
            }
            _ => now,
        }
    }

    /// Opens a dropped WebSocket once more, now or later, if its client would. False: it would not.
    pub(crate) fn reconnects(&mut self, op: u32, now: u64) -> bool {
        let record = &self.ops[op];
        let Some(flow) = self.flows.get(record.flow) else { return false };
        let is_socket =
            self.step_of(op).script().is_some_and(|script| script.kind() == StreamKind::WebSocket);
        let is_over = self.fully_paced() && self.recorded_end(op) <= now;
        if !is_socket || is_over || self.phase != Phase::Running || self.sessions[record.session].gone {
            return false;
        }
        let tries = u32::from(flow.tries) + 1;
        let random = identity::prf(self.job.plan.seed, Lane::Retry, [record.id, record.attempt.into(), 0]);
        let Some(wait) = self.job.reconnect.wait(tries, random) else { return false };
        let flow = self.flow_mut(op);
        flow.tries = flow.tries.saturating_add(1);
        self.end_by_clock(op);
        self.tally.streams.reconnects += 1;
        let record = &mut self.ops[op];
        record.attempt += 1;
        record.start_attempt(now.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX / 2)));
        self.later(op, self.ops[op].ready_ns, Act::Retry);
        true
    }

    /// Ends the streams that would outlast the run.
    pub(crate) fn leave_long_flows(&mut self, until_ns: u64, now: u64) {
        let long = |op: u32| self.is_open(op) && until_ns < self.recorded_end(op);
        let long: Vec<u32> = self.ops.iter().map(|(op, _)| op).filter(|op| long(*op)).collect();
        for op in long {
            if self.ops.get(op).is_some() {
                self.leave(op, now);
            }
        }
    }

    fn say_goodbye(&mut self, op: u32, now: u64) {
        let slot = self.ops[op].conn;
        self.flow_mut(op).set(SAID_CLOSE);
        self.scratch.clear();
        super::speak::close(&mut self.scratch, &[], now);
        self.write_on(slot);
        self.later(op, now + limits::CLOSE_WAIT_NS, Act::Close);
    }
}

impl Flow {
    /// Another attempt: a WebSocket goes on with what is still to be said, a call begins anew.
    fn begin_again(&mut self, is_socket: bool) {
        self.scanner = Scanner::Nothing;
        self.pulse.interrupt();
        self.clear(WAS_OPEN | BROKEN | PEER_CLOSED | SAID_ALL);
        if !is_socket {
            self.cursor = 0;
            self.clear(ARMED);
        }
    }
}

/// What the flow of a step is compared with.
pub(crate) fn expected(step: Step<'_>, speed: Speed) -> Expected {
    let Some(script) = step.script() else { return Expected { stall_ns: u64::MAX, enough: None } };
    let enough = (speed == Speed::Max && script.is_left()).then(|| script.answers());
    Expected { stall_ns: script.stall_ns(), enough }
}
