//! What is due: starting sessions, releasing their steps in order, ending them.

use std::cmp::Reverse;

use crate::engine::records::{Act, Engine, Later, NOT_SENT, Op, Phase, Session};
use crate::identity;
use crate::late::Held;
use crate::limits;
use crate::options::Speed;
use crate::population::Start;
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
    Replacement,
    Held,
    Later,
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
        let next = self.release();
        self.flush_dirty();
        next
    }

    fn release(&mut self) -> Next {
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
                Due::Replacement => {
                    if let Some(next) = self.replacements.pop() {
                        self.start_session(&next.0, next.0.at_ns.min(now), now);
                    }
                }
                Due::Held => self.send_held(now),
                Due::Later => self.act(now),
                Due::Timer => {
                    if let Some((_, session)) = self.wheel.pop(&mut self.sessions) {
                        self.sessions[session].thinks = false;
                        self.advance(session, now);
                    }
                }
                Due::Start => self.start_next(now),
            }
            self.serve_waiting(now);
        }
        Next::Again
    }

    fn first_due(&mut self) -> Option<(u64, Due)> {
        if self.paused_since.is_some() {
            return self.later.peek().map(|Reverse(later)| (later.due_ns, Due::Later));
        }
        let replacement = self.replacements.peek().map(|next| (next.0.at_ns, Due::Replacement));
        let held = self.held.front().map(|(due, ..)| (*due, Due::Held));
        let later = self.later.peek().map(|Reverse(later)| (later.due_ns, Due::Later));
        let timer = self.wheel.peek(&mut self.sessions).map(|due| (due, Due::Timer));
        let start = if self.may_start() { self.next_start() } else { None };
        let start = start.map(|at_ns| (at_ns, Due::Start));
        [replacement, held, later, timer, start].into_iter().flatten().min_by_key(|(due, _)| *due)
    }

    /// Starts are ordered: when the next is not due within the duration, none is.
    fn drop_late_starts(&mut self) {
        if self.next_start().is_some_and(|at_ns| self.duration_ns <= at_ns) {
            self.drop_starts(Why::Duration);
        }
    }

    /// Paced sessions start when they are due; at full speed one starts when a connection is free for it.
    fn may_start(&self) -> bool {
        let runs = self.phase == Phase::Running && self.paused_since.is_none();
        runs && (self.fully_paced() || self.sessions.len() < self.max_active)
    }

    /// Starts sessions that are waiting for nothing but room; used when room was made.
    pub(crate) fn admit(&mut self, now: u64) {
        for _ in 0..limits::RELEASES_A_TURN {
            if self.fully_paced() || !self.may_start() || self.starts.peek().is_none() {
                return;
            }
            self.start_next(now);
        }
        self.wake_by(now); // one read may have made room for very many
    }

    fn start_next(&mut self, now: u64) {
        let Some(start) = self.starts.take() else { return };
        let due_ns = if self.fully_paced() { start.at_ns.saturating_add(self.shift_ns) } else { now };
        self.start_session(&start, due_ns, now);
    }

    fn start_session(&mut self, start: &Start, due_ns: u64, now: u64) {
        let skipped_ns = self.job.plan.due_ns(start.skip_us);
        let mut next = 0;
        let program = self.job.plan.program(start.program);
        while start.skip_us > 0 && next < program.len() && program.step(next).offset_us() < start.skip_us {
            next += 1;
        }
        let session = self.sessions.insert(Session {
            // A session that enters in its middle began before the run: its times are kept in whole nanoseconds from
            // then on, which may lie before zero.
            start_ns: due_ns.wrapping_sub(skipped_ns),
            due_ns: 0,
            program: start.program,
            clone: self.job.plan.clone_of(start.program, start.clone),
            user: start.user,
            next,
            ops: NONE,
            conns: NONE,
            jar: NONE,
            carried: NONE,
            timer: NONE,
            late_us: NOT_SENT,
            blocked: false,
            cut: false,
            gone: false,
            hurt: false,
            thinks: false,
        });
        self.tally.sessions_started += 1;
        self.tally.planned += u64::from(program.len() - next);
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
                if record.ops == NONE && !record.thinks {
                    self.end_session(session, now);
                }
                return;
            }
            let step = program.step(record.next);
            let mut due_ns = match job.speed {
                Speed::Times(_) => record.start_ns.wrapping_add(job.plan.due_ns(step.offset_us())),
                Speed::Max => now,
            };
            // Until the end it lives on, thinking of a step that will not come.
            if due_ns >= self.duration_ns && self.plan_time(now) >= self.duration_ns {
                self.cut_session(session, Why::Duration);
                continue;
            }
            if self.is_blocked(session) {
                self.sessions[session].blocked = true;
                return;
            }
            let record = &mut self.sessions[session];
            let paused_since = self.paused_since.unwrap_or(0);
            if due_ns > now || self.paused_since.is_some() {
                record.due_ns = due_ns.max(paused_since);
                record.thinks = true;
                self.wheel.insert(session, &mut self.sessions);
                self.wake_by(due_ns);
                return;
            }
            self.note_due(due_ns);
            let record = &self.sessions[session];
            // What held it up may hold up the steps after it as well: that is nobody's lateness but the server's.
            let ready_ns = record.due_ns.max(due_ns);
            if ready_ns > due_ns {
                match self.held_up(session, due_ns, now) {
                    Held::Send => {}
                    Held::SendAndShift(by_ns) => {
                        due_ns += by_ns;
                        let start_ns = &mut self.sessions[session].start_ns;
                        *start_ns = start_ns.wrapping_add(by_ns);
                    }
                    Held::LeaveOut => {
                        self.sessions[session].next += 1;
                        self.sessions[session].cut = true;
                        self.never(Why::Skipped, 1);
                        continue;
                    }
                }
            }
            self.release_step(session, due_ns, ready_ns.max(due_ns), now);
            if self.sessions.get(session).is_none() {
                return;
            }
        }
    }

    /// What becomes of a step whose predecessor answered after the step was due.
    fn held_up(&self, session: u32, due_ns: u64, now: u64) -> Held {
        let record = &self.sessions[session];
        let program = self.job.plan.program(record.program);
        let after = record.next + 1;
        let due_of = |step: u32| self.job.plan.due_ns(program.step(step).offset_us());
        let successor = (after < program.len()).then(|| record.start_ns.wrapping_add(due_of(after)));
        self.job.late_policy.decide(due_ns, successor, now)
    }

    /// Sends the next step of a session, or lets it wait for a connection.
    fn release_step(&mut self, session: u32, due_ns: u64, ready_ns: u64, now: u64) {
        let record = &mut self.sessions[session];
        let step_number = record.next;
        record.next += 1;
        let (program, clone) = (self.job.plan.program(record.program), record.clone);
        let step = program.step(step_number);
        let id = identity::operation(self.job.plan.seed, program.session(), clone, step.index());
        let doubles = step.submits() && self.behaviour(&self.sessions[session]).doubles;
        let mut op = Op::new(session, step_number, id);
        op.intended_ns = due_ns;
        op.ready_ns = ready_ns;
        op.waiting_ns = now;
        op.was_blocked = ready_ns > due_ns;
        let first = self.add_op(op);
        if self.job.retry.has_budget() {
            self.budget.on_request(now);
        }
        self.watch_patience(first, now);
        if doubles {
            let mut second = Op::new(session, step_number, id);
            (second.intended_ns, second.ready_ns, second.waiting_ns) = (due_ns, ready_ns, now);
            second.attempt = 2;
            second.is_double = true;
            let second = self.add_op(second);
            self.dispatch(first, now);
            if self.ops.get(second).is_some() {
                self.dispatch(second, now);
            }
            return;
        }
        self.dispatch(first, now);
    }

    /// Lets the user of an operation leave when it takes too long for them.
    fn watch_patience(&mut self, op: u32, now: u64) {
        if self.job.misbehaviours.is_empty() {
            return;
        }
        let behaviour = self.behaviour(&self.sessions[self.ops[op].session]);
        let Some(patience) = behaviour.patience else { return };
        let recorded = std::time::Duration::from_micros(self.step_of(op).duration_us());
        let wait = u64::try_from(patience.lasts(recorded).as_nanos()).unwrap_or(u64::MAX / 2);
        self.later(op, now.saturating_add(wait), Act::Abandon);
    }

    fn add_op(&mut self, mut op: Op) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        op.serial = self.serial;
        let session = op.session;
        op.next = self.sessions[session].ops;
        let number = self.ops.insert(op);
        self.sessions[session].ops = number;
        number
    }

    /// Sees to it that `op` does something at `due_ns`.
    pub(crate) fn later(&mut self, op: u32, due_ns: u64, what: Act) {
        let serial = self.ops[op].serial;
        self.later.push(Reverse(Later { due_ns, op, serial, what }));
        self.wake_by(due_ns);
    }

    /// Does the first of what is due later.
    fn act(&mut self, now: u64) {
        let Some(Reverse(Later { op, serial, what, due_ns })) = self.later.pop() else { return };
        if !self.is_current(op, serial) {
            return;
        }
        match what {
            Act::Retry if self.paused_since.is_some() => {
                self.later(op, now + limits::SWEEP.as_nanos() as u64, what);
            }
            Act::Retry => {
                self.ops[op].waiting_ns = due_ns;
                self.dispatch(op, now);
            }
            Act::Abandon => self.abandon(op, now),
            Act::Message => self.speak(op, now),
            Act::Close => self.close_flow(op, now),
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
        self.flows.remove(ended.flow);
        self.takers.remove(ended.taker);
        let session = ended.session;
        self.unlink_op(session, op, ended.next);
        self.free_carried(session, ended.step);
        let record = &mut self.sessions[session];
        let waited = std::mem::take(&mut record.blocked);
        if waited {
            record.due_ns = now;
        }
        if waited || record.ops == NONE && self.is_last(session) {
            self.advance(session, now);
        }
        if self.is_over() {
            self.wake_by(now);
        }
    }

    /// Ends a session: its connections are closed, what the server set for it is forgotten. Where a number of
    /// sessions is held alive, another takes its place.
    pub(crate) fn end_session(&mut self, session: u32, now: u64) {
        self.close_all_of(session);
        let Some(record) = self.sessions.remove(session) else { return };
        self.carried.remove(record.carried);
        if let Some(jar) = self.jars.remove(record.jar) {
            self.tally.cookies_refused += jar.refused;
        }
        if record.cut {
            self.tally.sessions_aborted += 1;
        } else {
            self.tally.sessions_completed += 1;
        }
        if self.phase == Phase::Running
            && self.plan_time(now) < self.duration_ns
            && let Some(mut next) = self.starts.successor(record.user, record.clone, now - self.shift_ns)
        {
            next.at_ns = next.at_ns.saturating_add(self.shift_ns);
            let due_ns = next.at_ns;
            self.replacements.push(Reverse(next));
            self.wake_by(due_ns);
        }
    }

    /// Closes the connections of a session.
    pub(crate) fn close_all_of(&mut self, session: u32) {
        while let Some(conn) = Some(self.sessions[session].conns).filter(|conn| *conn != NONE) {
            self.close(conn);
        }
    }

    /// Gives up the steps of a session that were not released.
    pub(crate) fn cut_session(&mut self, session: u32, why: Why) {
        self.note_overdue(session);
        let record = &mut self.sessions[session];
        let steps = self.job.plan.program(record.program).len();
        let left = steps - record.next;
        record.next = steps;
        record.cut |= left > 0;
        self.never(why, u64::from(left));
    }

    /// Counts a request whose time has come.
    fn note_due(&mut self, due_ns: u64) {
        self.begin_second(due_ns / SECOND_NS);
        self.interval.note_due(due_ns / SECOND_NS);
    }

    /// Counts the steps of a session whose time came while they waited for one before them.
    fn note_overdue(&mut self, session: u32) {
        let (record, now) = (&self.sessions[session], self.now());
        let (program, start_ns) = (self.job.plan.program(record.program), record.start_ns);
        if !self.fully_paced() {
            return;
        }
        let end_ns = self.duration_ns.min(now);
        for step in record.next..program.len() {
            let due_ns = start_ns.wrapping_add(self.job.plan.due_ns(program.step(step).offset_us()));
            if end_ns <= due_ns {
                return;
            }
            self.interval.note_due(due_ns / SECOND_NS);
        }
    }

    /// Gives up all sessions that have not started.
    pub(crate) fn drop_starts(&mut self, why: Why) {
        let steps = self.starts.drop_rest();
        self.tally.planned += steps;
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

const SECOND_NS: u64 = 1_000_000_000;
