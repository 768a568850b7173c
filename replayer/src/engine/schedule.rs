//! What is due: starting sessions, releasing their steps in order, ending them.

use std::cmp::Reverse;

use crate::engine::records::{Engine, Op, Phase, Session};
use crate::identity;
use crate::limits;
use crate::plan::Start;
use crate::slab::NONE;
use crate::tally::Why;

/// What the driver does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// More is due; look at the sockets first.
    Again,
    /// Nothing is due before then.
    At(u64),
    /// The run is over.
    Over,
}

/// What is due first.
enum Due {
    Held,
    Timer,
    Start,
}

impl Engine {
    /// Releases what is due, up to a bound.
    pub(crate) fn tick(&mut self) -> Next {
        let now = self.now();
        if now >= self.next_sweep_ns {
            self.sweep(now);
        }
        for _ in 0..limits::RELEASES_A_TURN {
            self.drop_late_starts();
            if self.is_over() {
                return Next::Over;
            }
            let Some((due_ns, due)) = self.first_due() else { return Next::At(self.next_sweep_ns) };
            let now = self.now();
            if due_ns > now {
                return Next::At(due_ns.min(self.next_sweep_ns));
            }
            match due {
                Due::Held => self.send_held(now),
                Due::Timer => {
                    if let Some(Reverse((_, session))) = self.timers.pop() {
                        self.advance(session, now);
                    }
                }
                Due::Start => self.start_next(now),
            }
            self.serve_waiting(now);
        }
        Next::Again
    }

    fn first_due(&self) -> Option<(u64, Due)> {
        let held = self.held.front().map(|(due, _)| (*due, Due::Held));
        let timer = self.timers.peek().map(|Reverse((due, _))| (*due, Due::Timer));
        let start = self.next_start().filter(|_| self.may_start());
        let start = start.map(|start| (self.job.plan.due_ns(start.at_us), Due::Start));
        [held, timer, start].into_iter().flatten().min_by_key(|(due, _)| *due)
    }

    /// Starts are ordered: when the next is not due within the duration, none is.
    fn drop_late_starts(&mut self) {
        let late = |start: &Start| self.duration_ns <= self.job.plan.due_ns(start.at_us);
        if self.next_start().is_some_and(late) {
            self.drop_starts(Why::Duration);
        }
    }

    /// Paced sessions start when they are due; at full speed one starts when a connection is free for it.
    fn may_start(&self) -> bool {
        self.fully_paced() || self.sessions.len() < self.max_conns
    }

    /// Starts sessions that are waiting for nothing but room; used when room was made.
    pub(crate) fn admit(&mut self, now: u64) {
        if !self.fully_paced()
            && self.phase == Phase::Running
            && self.may_start()
            && self.next_start().is_some()
        {
            self.start_next(now);
        }
    }

    fn start_next(&mut self, now: u64) {
        let Some(&Start { at_us, program, clone }) = self.next_start() else { return };
        let due_ns = if self.fully_paced() { self.job.plan.due_ns(at_us) } else { now };
        self.started += 1;
        let session = self.sessions.insert(Session {
            start_ns: due_ns,
            ready_ns: 0,
            program,
            clone,
            next: 0,
            ops: NONE,
            conns: NONE,
            jar: NONE,
            blocked: false,
            cut: false,
        });
        self.tally.sessions_started += 1;
        self.tally.sessions_peak = self.tally.sessions_peak.max(self.sessions.len() as u64);
        self.advance(session, now);
    }

    /// Releases the steps of a session that are due and wait for nobody; ends it after its last.
    pub(crate) fn advance(&mut self, session: u32, now: u64) {
        let job = std::rc::Rc::clone(&self.job);
        loop {
            let record = &mut self.sessions[session];
            let program = job.plan.program(record.program);
            if record.next >= program.len() {
                if record.ops == NONE {
                    self.end_session(session);
                }
                return;
            }
            let step = program.step(record.next);
            let due_ns = match self.job.plan.speed {
                crate::options::Speed::Times(_) => record.start_ns + job.plan.due_ns(step.offset_us()),
                crate::options::Speed::Max => now,
            };
            if due_ns >= self.duration_ns {
                self.cut_session(session, Why::Duration);
                continue;
            }
            if self.is_blocked(session) {
                self.sessions[session].blocked = true;
                return;
            }
            let record = &mut self.sessions[session];
            if due_ns > now {
                self.timers.push(Reverse((due_ns, session)));
                self.wake_by(due_ns);
                return;
            }
            let step_number = record.next;
            record.next += 1;
            let ready_ns = std::mem::take(&mut record.ready_ns).max(due_ns);
            let id = identity::operation(job.plan.seed, program.session(), record.clone, step.index());
            let mut op = Op::new(session, step_number, id);
            op.intended_ns = due_ns;
            op.ready_ns = ready_ns;
            op.waiting_ns = now;
            op.next = record.ops;
            let op = self.ops.insert(op);
            self.sessions[session].ops = op;
            self.dispatch(op, now);
            if self.sessions.get(session).is_none() {
                return;
            }
        }
    }

    /// Whether the next step waits for one that is in flight.
    fn is_blocked(&self, session: u32) -> bool {
        let record = &self.sessions[session];
        let program = self.job.plan.program(record.program);
        let mut op = record.ops;
        while op != NONE {
            let flying = &self.ops[op];
            if program.waits_for(record.next, flying.step) {
                return true;
            }
            op = flying.next;
        }
        false
    }

    /// Takes an ended operation out of its session and lets the session go on.
    pub(crate) fn op_ended(&mut self, op: u32, now: u64) {
        let Some(ended) = self.ops.remove(op) else { return };
        let session = ended.session;
        self.unlink_op(session, op, ended.next);
        let record = &mut self.sessions[session];
        let waited = std::mem::take(&mut record.blocked);
        if waited {
            record.ready_ns = now;
        }
        if waited || record.ops == NONE && self.is_last(session) {
            self.advance(session, now);
        }
        if self.is_over() {
            self.wake_by(now);
        }
    }

    /// Ends a session: its connections are closed, what the server set for it is forgotten.
    pub(crate) fn end_session(&mut self, session: u32) {
        while let Some(conn) = Some(self.sessions[session].conns).filter(|conn| *conn != NONE) {
            self.close(conn);
        }
        let Some(record) = self.sessions.remove(session) else { return };
        if let Some(jar) = self.jars.remove(record.jar) {
            self.tally.cookies_refused += jar.refused;
        }
        if record.cut {
            self.tally.sessions_aborted += 1;
        } else {
            self.tally.sessions_completed += 1;
        }
    }

    /// Gives up the steps of a session that were not released.
    pub(crate) fn cut_session(&mut self, session: u32, why: Why) {
        let record = &mut self.sessions[session];
        let steps = self.job.plan.program(record.program).len();
        let left = steps - record.next;
        record.next = steps;
        record.cut |= left > 0;
        self.never(why, u64::from(left));
    }

    /// Gives up all sessions that have not started.
    pub(crate) fn drop_starts(&mut self, why: Why) {
        let left = self.starts[self.started..].iter();
        let steps: u64 = left.map(|start| u64::from(self.job.plan.program(start.program).len())).sum();
        self.started = self.starts.len();
        self.never(why, steps);
    }

    pub(crate) fn unlink_op(&mut self, session: u32, op: u32, after: u32) {
        if self.sessions[session].ops == op {
            self.sessions[session].ops = after;
            return;
        }
        let mut at = self.sessions[session].ops;
        while at != NONE {
            let next = self.ops[at].next;
            if next == op {
                self.ops[at].next = after;
                return;
            }
            at = next;
        }
    }

    fn is_last(&self, session: u32) -> bool {
        let record = &self.sessions[session];
        record.next >= self.job.plan.program(record.program).len()
    }
}
