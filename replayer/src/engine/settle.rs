//! What became of an attempt: answers are classed here, each attempt ends in exactly one way, and an operation
//! ends with its last attempt.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::cookies::Jar;
use crate::engine::compare::{self, looks_at};
use crate::engine::flow::{self, Seen, handshake};
use crate::engine::records::{Act, ConnId, Engine, Op, Phase, Speaks, Stage};
use crate::engine::taking::note_taken;
use crate::evidence::{self, Fate};
use crate::http::{AtEnd, Part, Progress};
use crate::limits;
use crate::links::carried::Hand;
use crate::plan::Step;
use crate::retry::{Ended, Outcome, Retry};
use crate::slab::NONE;
use crate::stream::script;
use crate::stream::ws::Handshake;
use crate::tally::{self, Failure, Heard, Unanswered};

/// Bytes came on a connection. False: it is closed.
pub(crate) fn bytes_came(engine: &mut Engine, id: ConnId, bytes: &[u8]) -> bool {
    engine.tally.bytes_in += bytes.len() as u64;
    match engine.conns[id.slot].speaks {
        Speaks::Http1(_) => http1_came(engine, id, bytes),
        Speaks::Http2(_) => engine.frames_came(id, bytes),
    }
}

fn http1_came(engine: &mut Engine, id: ConnId, bytes: &[u8]) -> bool {
    let (stage, op) = (engine.conns[id.slot].stage, engine.conns[id.slot].op);
    if stage != Stage::Busy || engine.ops[op].sent_ns == 0 {
        // Nobody asked: a server that says 408 to an idle connection, say.
        connection_over(engine, id, false);
        return false;
    }
    let now = engine.now();
    if engine.ops[op].first_ns == 0 {
        engine.ops[op].first_ns = now;
    }
    match feed(engine, id.slot, op, (bytes, now)) {
        Ok(Progress::More) => engine.flow_goes_on(id, op, now),
        Ok(Progress::Done(used)) => {
            let conn = &mut engine.conns[id.slot];
            conn.used = true;
            let unsent = conn.wire.as_ref().is_some_and(crate::engine::wire::Wire::has_rest);
            let keeps = matches!(&conn.speaks, Speaks::Http1(reader) if reader.keeps_alive());
            let is_last = engine.step_of(op).is_last_on_lane() && engine.conns[id.slot].owner != NONE;
            if keeps && used == bytes.len() && !unsent && !is_last {
                engine.conns[id.slot].op = NONE;
                engine.make_idle(id.slot);
            } else {
                engine.close(id.slot);
            }
            answered(engine, op, now);
            engine.is_alive(id)
        }
        Err(_) => {
            engine.close(id.slot);
            failed(engine, op, Failure::Protocol, now);
            false
        }
    }
}

/// A connection ended, by reset or in good order; what it carried, with it.
pub(crate) fn connection_over(engine: &mut Engine, id: ConnId, reset: bool) {
    let conn = &engine.conns[id.slot];
    let (stage, op) = (conn.stage, conn.op);
    let mut at_end = match (&conn.speaks, stage) {
        (_, Stage::Connecting | Stage::Handshake) => return engine.connect_failed(id, None),
        (Speaks::Http2(_), _) => return engine.streams_over(id, reset),
        (Speaks::Http1(_), Stage::Idle | Stage::Greeting) => return engine.close(id.slot),
        (Speaks::Http1(reader), Stage::Busy) => reader.at_end(),
    };
    let mut reset = reset;
    (at_end, reset) = engine.flow_at_end(op, at_end, reset);
    engine.close(id.slot);
    if engine.ops[op].sent_ns == 0 {
        engine.ops[op].conn = NONE; // it waits for its place in the rate, and will take another connection
        return;
    }
    let now = engine.now();
    match (at_end, reset) {
        (AtEnd::Complete, false) => answered(engine, op, now),
        (AtEnd::Nothing, _) | (_, true) => failed(engine, op, Failure::Reset, now),
        (AtEnd::Cut, false) => failed(engine, op, Failure::Truncated, now),
    }
}

/// The attempt has no answer.
pub(crate) fn failed(engine: &mut Engine, op: u32, failure: Failure, now: u64) {
    engine.flow_over(op, false, now);
    engine.hear(op, Some(failure));
    engine.keep(op, Fate::failed(failure), now);
    engine.trace(op, Fate::failed(failure), now);
    engine.tally.answers.forget(op);
    let session = engine.ops[op].session;
    engine.sessions[session].hurt = true;
    let record = &engine.ops[op];
    let route = engine.step_of(op).route();
    let unanswered = Unanswered { op: record.id, attempt: record.attempt, route, failure };
    let cohort = engine.cohort_of(op);
    let warms_up = engine.is_warming_up(record.intended_ns);
    engine.tally.failed[failure as usize] += 1;
    engine.tally.warmup.failed += u64::from(warms_up);
    engine.interval.failed += 1;
    engine.interval.unanswered += 1;
    engine.interval.unanswered_by[failure as usize] += 1;
    if !warms_up {
        engine.tally.routes[usize::from(route)].fail();
        engine.tally.cohorts[cohort].fail();
    }
    let room = limits::UNANSWERED / engine.job.threads;
    engine.tally.unanswered(unanswered, room);
    if !engine.reconnects(op, now) && !engine.try_again(op, Outcome::Failure(failure), now) {
        engine.step_over(op, false);
        engine.op_ended(op, now);
    }
}

/// The attempt has its answer.
pub(crate) fn answered(engine: &mut Engine, op: u32, now: u64) {
    engine.flow_over(op, true, now);
    engine.hear(op, None);
    engine.keep(op, Fate::status(engine.ops[op].status), now);
    engine.trace(op, Fate::status(engine.ops[op].status), now);
    count_answer(engine, op, now);
    let record = &engine.ops[op];
    let retry_after = (record.retry_after_s > 0).then(|| Duration::from_secs(record.retry_after_s.into()));
    let outcome = Outcome::Status { status: record.status, retry_after };
    if engine.try_again(op, outcome, now) {
        return;
    }
    engine.compare(op, now);
    engine.finish_taking(op);
    measure(engine, op, now);
    let record = &engine.ops[op];
    let well = !record.grpc_failed && !tally::is_error(record.status);
    engine.step_over(op, well);
    engine.op_ended(op, now);
}

/// Counts an answer by its status and by whose it is.
fn count_answer(engine: &mut Engine, op: u32, now: u64) {
    let record = &engine.ops[op];
    let (status, by_proxy, touched) = (record.status, record.by_proxy, record.fault.is_some());
    let follows = record.below.is_some();
    let (grpc_failed, session) = (record.grpc_failed, record.session);
    let warms_up = engine.is_warming_up(record.intended_ns);
    let step = engine.step_of(op);
    let (route, expected) = (usize::from(step.route()), step.status());
    let cohort = engine.cohort_of(op);
    let service = engine.answered_at(op, now).saturating_sub(record.sent_ns) / 1000;
    let ttfb = record.first_ns.saturating_sub(record.sent_ns) / 1000;
    let tally = &mut engine.tally;
    tally.answered += 1;
    tally.status[usize::from(status).min(999)] += 1;
    let interval = &mut engine.interval;
    interval.answered += 1;
    interval.note_status(status);
    let is_error = tally::is_error(status) || grpc_failed;
    engine.sessions[session].hurt |= is_error || touched || follows || by_proxy;
    if warms_up {
        tally.warmup.answered += 1;
    } else {
        tally.latencies.service.saturating_record(service);
        if let Some(buckets) = &mut interval.service {
            buckets.add(service, 1);
        }
        tally.latencies.ttfb.saturating_record(ttfb);
        tally.routes[route].answer(is_error, touched);
        tally.cohorts[cohort].answer(is_error, touched);
    }
    if is_error {
        interval.failed += 1;
        interval.too_many += u64::from(status == 429);
        match (touched, by_proxy) {
            (true, _) => tally.injected_errors += 1,
            (false, true) => tally.proxy_failures += 1,
            (false, false) => tally.origin_errors += 1,
        }
    }
    if touched {
        interval.injected += 1;
        if let Some(rules) = &engine.ops[op].fault {
            tally.inject(rules);
            tally::inject(&mut interval.rules, rules);
        }
    } else if by_proxy {
        tally.proxy_errors += 1;
    } else if expected != 0 && expected != status {
        tally.mismatched += 1;
    }
}

/// Measures an operation that ends with an answer: from when it was due to the last byte of the last attempt.
fn measure(engine: &mut Engine, op: u32, now: u64) {
    let record = &engine.ops[op];
    if engine.is_warming_up(record.intended_ns) {
        return;
    }
    let response = engine.answered_at(op, now).saturating_sub(record.intended_ns) / 1000;
    let route = usize::from(engine.step_of(op).route());
    let cohort = engine.cohort_of(op);
    let tally = &mut engine.tally;
    tally.latencies.response.saturating_record(response);
    // These grow by themselves; refusing a value above their bound is all they could do.
    let _ = tally.routes[route].response.record(response);
    let _ = tally.cohorts[cohort].response.record(response);
    engine.interval.response.saturating_record(response);
}

/// Reads an answer on; what its head says is noted in the operation and in the clone's jar, what a stream says in its
/// flow.
fn feed(
    engine: &mut Engine,
    slot: u32,
    op: u32,
    (bytes, now): (&[u8], u64),
) -> Result<Progress, crate::http::Garbage> {
    let Engine { conns, ops, sessions, jars, carried, takers, job, flows, tally, .. } = engine;
    let Speaks::Http1(reader) = &mut conns[slot].speaks else { return Err(crate::http::Garbage) };
    let record = &mut ops[op];
    let session = &mut sessions[record.session];
    let step = job.plan.step(session.program, record.step);
    let has_links = step.has_links();
    let fed = reader.feed(bytes, &mut |part| match part {
        Part::Head(head) => {
            record.status = head.status;
            let mut seen = Seen::default();
            for field in head.headers {
                let name = field.name.as_bytes();
                note_field(
                    record,
                    &mut Own { jar: &mut session.jar, jars, path: step.path() },
                    name,
                    field.value,
                );
                note_stream(&mut seen, name, field.value, || {
                    handshake(job.plan.seed, record.id, record.attempt)
                });
                if has_links {
                    let hand = &mut Hand { number: &mut session.carried, all: &mut *carried };
                    note_taken((&mut *takers, record), step, hand, (name, field.value));
                }
            }
            let clone = (session.program, session.clone);
            let is_error = tally.evidence.begin_body(op, record.status, clone);
            let is_compared = looks_at(job, &mut tally.answers, (op, record), session, now);
            let is_stream = flows.on_head((op, record), seen, &mut tally.streams);
            is_stream | is_error | is_compared | (record.taker != NONE)
        }
        Part::Body(bytes) => {
            tally.evidence.body(op, bytes);
            tally.answers.body(op, bytes);
            let expected = || flow::expected(step, job.speed);
            flows.on_bytes((op, record), bytes, expected, (now, &mut tally.streams));
            if let Some(taker) = takers.get_mut(record.taker) {
                taker.collect(bytes, step, &mut Hand { number: &mut session.carried, all: &mut *carried });
            }
            true
        }
    });
    record.body_len = reader.body_len();
    fed
}

/// Notes what one field says of a stream.
pub(crate) fn note_stream(seen: &mut Seen, name: &[u8], value: &[u8], handshake: impl FnOnce() -> Handshake) {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    match name.len() {
        12 if is("content-type") => seen.kind = script::kind_of_type(value),
        16 if is("content-encoding") => seen.is_coded = !value.trim_ascii().eq_ignore_ascii_case(b"identity"),
        20 if is("sec-websocket-accept") => seen.is_accepted = handshake().is_accepted(value),
        _ => {}
    }
}

/// Where the cookies of a clone go.
pub(crate) struct Own<'a> {
    pub(crate) jar: &'a mut u32,
    pub(crate) jars: &'a mut crate::slab::Slab<Jar>,
    /// Path of the request, without its query.
    pub(crate) path: &'a [u8],
}

/// Notes what one field of an answer's head means to us.
pub(crate) fn note_field(record: &mut Op, own: &mut Own<'_>, name: &[u8], value: &[u8]) {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    match name.len() {
        10 if is("set-cookie") => {
            if *own.jar == NONE {
                *own.jar = own.jars.insert(Jar::default());
            }
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let now_s = now.map_or(0, |now| now.as_secs().cast_signed());
            own.jars[*own.jar].set(value, own.path, now_s);
        }
        11 if is("grpc-status") => record.grpc_failed = value.trim_ascii() != b"0",
        11 if is("retry-after") => {
            let wait = crate::retry::retry_after(value).unwrap_or_default();
            record.retry_after_s = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
        }
        12 if is("squall-fault") => note_rules(&mut record.fault, value),
        18 if is("squall-fault-below") => note_rules(&mut record.below, value),
        12 if is("squall-error") => record.by_proxy = true,
        16 if is("content-encoding") => record.coding = compare::coding(value),
        _ => {}
    }
}

fn note_rules(known: &mut Option<Box<str>>, value: &[u8]) {
    let rules = String::from_utf8_lossy(value);
    let rules = &rules[..rules.floor_char_boundary(FAULT_BYTES)];
    *known = Some(match known.take() {
        Some(known) => format!("{known}, {rules}").into(),
        None => rules.into(),
    });
}

impl Engine {
    /// Sends the operation once more, now or later, if its client would. False: that was its last attempt.
    fn try_again(&mut self, op: u32, outcome: Outcome, now: u64) -> bool {
        let refused = std::mem::take(&mut self.ops[op].was_refused);
        let record = &self.ops[op];
        if self.phase != Phase::Running || record.is_double || self.sessions[record.session].gone {
            return false;
        }
        // The number after the first belongs to the second of a double submit.
        let doubled = self.step_of(op).submits() && self.behaviour(&self.sessions[record.session]).doubles;
        if refused && record.attempt <= limits::REFUSED_AGAIN {
            // The server has not looked at it: every client sends it again, whatever its policy.
            self.again(op, doubled, now, now);
            return true;
        }
        if self.job.retry == Retry::None {
            return false;
        }
        let random = crate::identity::prf(
            self.job.plan.seed,
            crate::identity::Lane::Retry,
            [record.id, u64::from(record.attempt), 0],
        );
        let replayable = self.step_of(op).is_replayable();
        let attempt = record.attempt - u32::from(doubled && record.attempt > 1);
        let ended = Ended { attempt, outcome, replayable, now_ns: now };
        let decided = self.job.retry.decide(&ended, random, &mut self.budget);
        self.tally.retries_denied = self.budget.denied();
        let Some(wait) = decided else { return false };
        self.again(op, doubled, now + u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX / 2), now);
        true
    }

    /// Sends the operation once more at `ready_ns`.
    fn again(&mut self, op: u32, doubled: bool, ready_ns: u64, now: u64) {
        let record = &mut self.ops[op];
        record.attempt += 1 + u32::from(doubled && record.attempt == 1);
        record.start_attempt(ready_ns);
        if ready_ns <= now {
            self.dispatch(op, now);
        } else {
            self.later(op, ready_ns, Act::Retry);
        }
    }

    /// The last attempt of a step has ended. The second of a double submit is nobody's step.
    fn step_over(&mut self, op: u32, well: bool) {
        let record = &self.ops[op];
        if !record.is_double {
            self.tally.funnel.end(record.step, well);
        }
    }

    /// Notes what came back, where somebody wants to know.
    fn hear(&mut self, op: u32, failure: Option<Failure>) {
        if self.job.rehearsal.is_none() {
            return;
        }
        let record = &self.ops[op];
        let program = self.sessions[record.session].program;
        let injected = record.fault.is_some() || record.below.is_some();
        let (step, status) = (record.step, record.status);
        self.tally.heard.push(Heard { program, step, status, injected, failure });
    }

    /// Keeps what is asked for when somebody wants to know why something broke.
    fn keep(&mut self, op: u32, fate: Fate, now: u64) {
        let took_ns = self.answered_at(op, now).saturating_sub(self.ops[op].sent_ns);
        let record = &self.ops[op];
        let session = &self.sessions[record.session];
        let evidence = &mut self.tally.evidence;
        let print = evidence.end_body(op);
        if !evidence.has(session.program, session.clone) {
            return;
        }
        let rules = match (&record.fault, &record.below) {
            (Some(rules), None) => evidence.rules(rules),
            (rules, Some(below)) => {
                evidence.rules(&format!("{}{}{below}", rules.as_deref().unwrap_or_default(), evidence::BELOW))
            }
            (None, None) => 0,
        };
        let flags = [
            (record.intended_ns < self.warmup_ns, evidence::WARMS_UP),
            (record.by_proxy, evidence::BY_PROXY),
            (record.grpc_failed, evidence::GRPC_FAILED),
        ];
        evidence.note(evidence::Ended {
            program: session.program,
            clone: session.clone,
            step: record.step,
            at_ms: u32::try_from(now / 1_000_000).unwrap_or(u32::MAX),
            took_us: u32::try_from(took_ns / 1000).unwrap_or(u32::MAX),
            print,
            fate,
            rules,
            attempt: u16::try_from(record.attempt).unwrap_or(u16::MAX),
            flags: flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum(),
        });
    }

    pub(crate) fn step_of(&self, op: u32) -> Step<'_> {
        let record = &self.ops[op];
        self.job.plan.step(self.sessions[record.session].program, record.step)
    }

    /// Which of the captures an operation comes from.
    pub(crate) fn cohort_of(&self, op: u32) -> usize {
        self.job.plan.cohort(self.sessions[self.ops[op].session].program)
    }

    /// Whether what was due then is left out of the figures.
    pub(crate) fn is_warming_up(&self, intended_ns: u64) -> bool {
        intended_ns < self.warmup_ns
    }
}

impl Op {
    /// Gets ready for its next attempt, which may go at `ready_ns`.
    pub(crate) fn start_attempt(&mut self, ready_ns: u64) {
        self.conn = NONE;
        self.stream = 0;
        self.ready_ns = ready_ns;
        self.waiting_ns = ready_ns;
        self.waited_ns = 0;
        self.conn_wait_ns = 0;
        self.sent_ns = 0;
        self.first_ns = 0;
        self.status = 0;
        self.coding = 0;
        self.body_len = 0;
        self.retry_after_s = 0;
        self.paid = false;
        self.fresh = false;
        self.by_proxy = false;
        self.grpc_failed = false;
        self.fault = None;
        self.below = None;
    }
}

/// Longest list of rule ids that is kept of an answer.
const FAULT_BYTES: usize = 512;
