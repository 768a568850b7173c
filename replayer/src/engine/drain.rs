//! Timeouts, the end of the duration, and stopping: everything that looks at all operations at once.

use crate::engine::records::{Act, Engine, Op, Phase, Speaks, Stage};
use crate::engine::settle;
use crate::limits;
use crate::slab::NONE;
use crate::stop::{Cause, Wish};
use crate::tally::{Failure, Why};

impl Engine {
    /// Looks for timeouts and wishes to stop, and tells finished seconds.
    pub(crate) fn sweep(&mut self, now: u64) {
        self.next_sweep_ns = now + limits::SWEEP.as_nanos() as u64;
        self.begin_second(now / SECOND_NS);
        self.obey(now);
        self.time_out(now);
        self.after_event();
    }

    /// The duration is over: those who think have nothing more to do.
    fn expire(&mut self, now: u64) {
        self.is_expired = true;
        let mut thinking = Vec::with_capacity(self.wheel.len());
        self.wheel.drain(&mut self.sessions, |_, session| thinking.push(session));
        for session in thinking {
            self.sessions[session].thinks = false;
            self.cut_session(session, Why::Duration);
            if self.sessions[session].ops == NONE {
                self.end_session(session, now);
            }
        }
    }

    fn obey(&mut self, now: u64) {
        self.heed_pause(now);
        let plan_now = self.plan_time(now);
        if plan_now >= self.duration_ns && !self.is_expired {
            self.expire(now);
        }
        let timeout = self.job.timeout.as_nanos() as u64;
        match (self.job.stop.wish(), self.phase) {
            (Wish::Run, Phase::Running) => {
                let paced = self.fully_paced();
                let over = self.duration_ns.saturating_add(if paced { timeout } else { 0 });
                if plan_now >= over {
                    self.drain(if paced { Why::Late } else { Why::Duration }, now.saturating_add(timeout));
                }
            }
            (Wish::Drain, Phase::Running) => {
                let patience = self.job.timeout.min(limits::DRAIN).as_nanos() as u64;
                self.drain(self.why_stopped(), now + patience);
            }
            (Wish::Abort, Phase::Running) => self.drain(self.why_stopped(), now),
            (Wish::Abort, Phase::Draining { .. }) => self.phase = Phase::Draining { until_ns: now },
            (Wish::Drain, Phase::Draining { until_ns }) => {
                let patience = self.job.timeout.min(limits::DRAIN).as_nanos() as u64;
                self.phase = Phase::Draining { until_ns: until_ns.min(now + patience) };
            }
            (Wish::Run, Phase::Draining { .. }) => {}
        }
        if let Phase::Draining { until_ns } = self.phase
            && now >= until_ns
        {
            self.abort_all(now);
        }
    }

    fn why_stopped(&self) -> Why {
        match self.job.stop.cause() {
            Some(Cause::Guard(_)) => Why::Guard,
            Some(Cause::Interrupted) | None => Why::Interrupted,
        }
    }

    /// Sends nothing new from now on. What was not sent is counted; what is in flight may end by `until_ns`.
    fn drain(&mut self, why: Why, until_ns: u64) {
        self.phase = Phase::Draining { until_ns };
        self.drop_starts(why);
        self.wheel.clear();
        self.later.retain(|later| matches!(later.0.what, Act::Message | Act::Close));
        self.waiting.clear();
        self.held.clear();
        self.replacements.clear();
        let all: Vec<u32> = self.sessions.iter().map(|(number, _)| number).collect();
        for session in all.iter().copied() {
            self.sessions[session].thinks = false;
            self.cut_session(session, why);
        }
        let unsent: Vec<u32> =
            self.ops.iter().filter(|(_, op)| op.sent_ns == 0).map(|(number, _)| number).collect();
        for op in unsent {
            self.give_up(op, why);
        }
        let now = self.now();
        for session in all {
            if self.sessions[session].ops == NONE {
                self.end_session(session, now);
            }
        }
        self.leave_long_flows(until_ns, now);
    }

    /// Drops an operation that was released but not sent.
    pub(crate) fn give_up(&mut self, op: u32, why: Why) {
        self.leave_connection(op);
        let Some(record) = self.ops.remove(op) else { return };
        self.flows.remove(record.flow);
        self.unlink_op(record.session, op, record.next);
        self.sessions[record.session].cut = true;
        // Further attempts are nobody's plan: one that is not sent is not missing.
        self.never(why, u64::from(record.attempt == 1));
    }

    /// Takes an operation off its connection, which ends with it where it carries nothing else.
    pub(crate) fn leave_connection(&mut self, op: u32) {
        let slot = self.ops[op].conn;
        if self.conns.get(slot).is_some_and(|conn| matches!(conn.speaks, Speaks::Http2(_))) {
            self.cancel_stream(op);
        } else if slot != NONE {
            self.close(slot);
            self.ops[op].conn = NONE;
        }
    }

    fn abort_all(&mut self, now: u64) {
        let all: Vec<u32> = self.ops.iter().map(|(number, _)| number).collect();
        for op in all {
            if self.ops.get(op).is_some() {
                self.hang_up(op, now);
            }
        }
    }

    /// Ends what has taken too long. Of very many operations each sweep looks at a part.
    fn time_out(&mut self, now: u64) {
        let slots = self.ops.slots();
        let part = slots.div_ceil(SWEEPS).max(OPS_A_SWEEP).min(slots);
        let late: Vec<u32> = (0..part)
            .map(|step| (self.swept + step) % slots)
            .filter(|number| self.overdue(*number, now).is_some())
            .collect();
        self.swept = if slots == 0 { 0 } else { (self.swept + part) % slots };
        for op in late {
            // One that failed may have taken others with it, which have gone on since.
            if let Some(failure) = self.overdue(op, now) {
                self.fail_late(op, failure, now);
            }
        }
    }

    /// How an operation has failed that has taken too long.
    fn overdue(&self, number: u32, now: u64) -> Option<Failure> {
        let timeout = self.job.timeout.as_nanos() as u64;
        let op = self.ops.get(number)?;
        if op.sent_ns > 0 {
            let took = now.saturating_sub(op.sent_ns);
            // The plan is only asked about the few that are late: this looks at very many operations.
            let is_late = took > timeout && took > timeout.saturating_add(self.stream_ns(op, timeout));
            return is_late.then_some(Failure::Timeout);
        }
        let failure = match self.conns.get(op.conn)?.stage {
            Stage::Connecting => Failure::Connect,
            Stage::Handshake => Failure::Tls,
            Stage::Greeting => Failure::Timeout,
            Stage::Idle | Stage::Busy => return None,
        };
        (now > op.waiting_ns.saturating_add(timeout)).then_some(failure)
    }

    /// What an answer may take on top of the timeout: as long as the recorded one where that was a stream, or
    /// outlasts the timeout by itself.
    fn stream_ns(&self, op: &Op, timeout: u64) -> u64 {
        let recorded_us = self.job.plan.step(self.sessions[op.session].program, op.step).duration_us();
        let recorded = recorded_us.saturating_mul(1000).max(self.job.plan.due_ns(recorded_us));
        if recorded < timeout && op.flow == NONE { 0 } else { recorded }
    }

    /// Ends an operation because nobody waits for it any longer; a stream that is open has been answered.
    fn hang_up(&mut self, op: u32, now: u64) {
        if self.is_open(op) {
            self.leave(op, now);
        } else {
            self.fail(op, Failure::Aborted, now);
        }
    }

    /// Ends an operation that took too long. A connection that did not open in that time will not: everything that
    /// waits for it has failed, and the next one tries anew.
    fn fail_late(&mut self, op: u32, failure: Failure, now: u64) {
        let record = &self.ops[op];
        let slot = record.conn;
        let waits = record.sent_ns == 0 && self.conns.get(slot).is_some();
        if !waits || matches!(self.conns[slot].speaks, Speaks::Http1(_)) {
            self.fail(op, failure, now);
        } else if self.conns[slot].stage == Stage::Greeting {
            self.never_greeted(self.id(slot), now);
        } else {
            self.connect_failed(self.id(slot), None);
        }
    }

    pub(crate) fn fail(&mut self, op: u32, failure: Failure, now: u64) {
        let Some(record) = self.ops.get(op) else { return };
        let is_sent = record.sent_ns > 0;
        self.leave_connection(op);
        if !is_sent {
            let record = &mut self.ops[op];
            record.waited_ns += now.saturating_sub(record.waiting_ns);
            record.waiting_ns = now;
            self.count_sent(op, now);
        }
        settle::failed(self, op, failure, now);
    }

    /// Its user does not wait any longer: closes the page, and is gone.
    pub(crate) fn abandon(&mut self, op: u32, now: u64) {
        let session = self.ops[op].session;
        self.sessions[session].gone = true;
        self.sessions[session].cut = true; // also where it was the last step
        self.tally.sessions_abandoned += 1;
        self.cut_session(session, Why::Abandoned);
        let mut unsent = Vec::new();
        let mut sent = Vec::new();
        let mut at = self.sessions[session].ops;
        while at != NONE {
            let record = &self.ops[at];
            if record.sent_ns > 0 {
                sent.push(at);
            } else {
                unsent.push(at);
            }
            at = record.next;
        }
        for op in unsent {
            self.give_up(op, Why::Abandoned);
        }
        for op in sent {
            self.hang_up(op, now);
        }
        if self.sessions.get(session).is_some_and(|record| record.ops == NONE) {
            self.close_all_of(session);
            self.advance(session, now); // ends it, unless its timer still has to
        }
    }
}

/// Sweeps until every operation was looked at, where there are very many: a second.
const SWEEPS: u32 = 20;
/// Operations that each sweep looks at in any case.
const OPS_A_SWEEP: u32 = 16 * 1024;

const SECOND_NS: u64 = 1_000_000_000;
