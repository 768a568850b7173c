//! Timeouts, the end of the duration, and stopping: everything that looks at all operations at once.

use crate::engine::records::{Engine, Phase, Stage};
use crate::engine::settle;
use crate::limits;
use crate::slab::NONE;
use crate::stop::{Cause, Wish};
use crate::tally::{Failure, Why};

impl Engine {
    /// Looks for timeouts and wishes to stop, and tells finished seconds.
    pub(crate) fn sweep(&mut self, now: u64) {
        self.next_sweep_ns = now + limits::SWEEP.as_nanos() as u64;
        while now / SECOND_NS > self.interval.second {
            self.tell_second();
        }
        self.obey(now);
        self.time_out(now);
        self.after_event();
    }

    fn obey(&mut self, now: u64) {
        let timeout = self.job.timeout.as_nanos() as u64;
        match (self.job.stop.wish(), self.phase) {
            (Wish::Run, Phase::Running) => {
                let paced = self.fully_paced();
                let over = self.duration_ns.saturating_add(if paced { timeout } else { 0 });
                if now >= over {
                    self.drain(if paced { Why::Late } else { Why::Duration }, now.saturating_add(timeout));
                }
            }
            (Wish::Drain, Phase::Running) => {
                let patience = self.job.timeout.min(limits::DRAIN).as_nanos() as u64;
                self.drain(self.why_stopped(), now + patience);
            }
            (Wish::Abort, Phase::Running) => self.drain(self.why_stopped(), now),
            (Wish::Abort, Phase::Draining { .. }) => self.phase = Phase::Draining { until_ns: now },
            (Wish::Run | Wish::Drain, Phase::Draining { .. }) => {}
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
        self.timers.clear();
        self.waiting.clear();
        self.held.clear();
        let all: Vec<u32> = self.sessions.iter().map(|(number, _)| number).collect();
        for session in all.iter().copied() {
            self.cut_session(session, why);
        }
        let unsent: Vec<u32> =
            self.ops.iter().filter(|(_, op)| op.sent_ns == 0).map(|(number, _)| number).collect();
        for op in unsent {
            self.give_up(op, why);
        }
        for session in all {
            if self.sessions[session].ops == NONE {
                self.end_session(session);
            }
        }
    }

    /// Drops an operation that was released but not sent.
    fn give_up(&mut self, op: u32, why: Why) {
        let Some(record) = self.ops.remove(op) else { return };
        if record.conn != NONE {
            self.close(record.conn);
        }
        self.unlink_op(record.session, op, record.next);
        self.sessions[record.session].cut = true;
        self.never(why, 1);
    }

    fn abort_all(&mut self, now: u64) {
        let all: Vec<u32> = self.ops.iter().map(|(number, _)| number).collect();
        for op in all {
            self.fail(op, Failure::Aborted, now);
        }
    }

    fn time_out(&mut self, now: u64) {
        let timeout = self.job.timeout.as_nanos() as u64;
        let late: Vec<(u32, Failure)> = self
            .ops
            .iter()
            .filter_map(|(number, op)| {
                if op.sent_ns > 0 {
                    let patience = timeout + self.stream_ns(op.session, op.step, timeout);
                    return (now > op.sent_ns + patience).then_some((number, Failure::Timeout));
                }
                let conn = self.conns.get(op.conn)?;
                let failure = match conn.stage {
                    Stage::Connecting => Failure::Connect,
                    Stage::Handshake => Failure::Tls,
                    Stage::Idle | Stage::Busy => return None,
                };
                (now > op.waiting_ns + timeout).then_some((number, failure))
            })
            .collect();
        for (op, failure) in late {
            self.fail(op, failure, now);
        }
    }

    /// What a recorded answer that outlasts the timeout by itself may take on top of it.
    fn stream_ns(&self, session: u32, step: u32, timeout: u64) -> u64 {
        let program = self.sessions[session].program;
        let recorded = self.job.plan.step(program, step).duration_us() * 1000;
        if recorded < timeout { 0 } else { recorded }
    }

    fn fail(&mut self, op: u32, failure: Failure, now: u64) {
        let Some(record) = self.ops.get(op) else { return };
        let (conn, sent) = (record.conn, record.sent_ns > 0);
        if conn != NONE {
            self.close(conn);
        }
        if !sent {
            self.count_sent(op, now);
        }
        settle::failed(self, op, failure, now);
    }
}

const SECOND_NS: u64 = 1_000_000_000;
