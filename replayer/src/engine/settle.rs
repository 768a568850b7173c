//! What became of an attempt: answers are read and classed here, each attempt ends in exactly one way.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::cookies::Jar;
use crate::engine::records::{ConnId, Engine, Op, Stage};
use crate::engine::send::ATTEMPT;
use crate::http::{AtEnd, Head, Progress};
use crate::limits;
use crate::slab::NONE;
use crate::tally::{self, Failure, Unanswered};

/// Bytes came on a connection. False: it is closed.
pub(crate) fn bytes_came(engine: &mut Engine, id: ConnId, bytes: &[u8]) -> bool {
    engine.tally.bytes_in += bytes.len() as u64;
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
    match feed(engine, id.slot, op, bytes) {
        Ok(Progress::More) => true,
        Ok(Progress::Done(used)) => {
            let conn = &mut engine.conns[id.slot];
            conn.used = true;
            let unsent = conn.wire.as_ref().is_some_and(crate::engine::wire::Wire::has_rest);
            let keep = conn.reader.keeps_alive() && used == bytes.len() && !unsent;
            if keep {
                engine.make_idle(id.slot, op);
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

/// A connection ended, by reset or in good order; its operation, if it has one, with it.
pub(crate) fn connection_over(engine: &mut Engine, id: ConnId, reset: bool) {
    let conn = &engine.conns[id.slot];
    let (stage, op, at_end) = (conn.stage, conn.op, conn.reader.at_end());
    match stage {
        Stage::Connecting | Stage::Handshake => return engine.connect_failed(id, None),
        Stage::Idle => return engine.close(id.slot),
        Stage::Busy => {}
    }
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
    let record = &engine.ops[op];
    let route = engine.route_of(record);
    let unanswered = Unanswered { op: record.id, attempt: ATTEMPT, route, failure };
    engine.tally.failed[failure as usize] += 1;
    engine.interval.failed += 1;
    let room = limits::UNANSWERED / engine.job.threads;
    let figures = &mut engine.tally.routes[usize::from(route)];
    figures.requests += 1;
    figures.failed += 1;
    engine.tally.unanswered(unanswered, room);
    engine.op_ended(op, now);
}

fn answered(engine: &mut Engine, op: u32, now: u64) {
    let record = &engine.ops[op];
    let micros = |from: u64| now.saturating_sub(from) / 1000;
    let (response, service) = (micros(record.intended_ns), micros(record.sent_ns));
    let ttfb = record.first_ns.saturating_sub(record.sent_ns) / 1000;
    let status = record.status;
    let route = usize::from(engine.route_of(record));
    let expected = engine.expected_status(record);
    let touched = record.fault.is_some();
    let by_proxy = record.by_proxy;
    let tally = &mut engine.tally;
    tally.answered += 1;
    tally.status[usize::from(status).min(999)] += 1;
    tally.latencies.response.saturating_record(response);
    tally.latencies.service.saturating_record(service);
    tally.latencies.ttfb.saturating_record(ttfb);
    let figures = &mut tally.routes[route];
    figures.requests += 1;
    // It grows by itself; refusing a value above its bound is all it could do.
    let _ = figures.response.record(response);
    let interval = &mut engine.interval;
    interval.answered += 1;
    interval.response.saturating_record(response);
    if tally::is_error(status) {
        figures.failed += 1;
        interval.failed += 1;
        match (touched, by_proxy) {
            (true, _) => tally.injected_errors += 1,
            (false, true) => tally.proxy_failures += 1,
            (false, false) => tally.origin_errors += 1,
        }
    }
    if touched {
        figures.injected += 1;
        interval.injected += 1;
        if let Some(rules) = &engine.ops[op].fault {
            tally.inject(rules);
        }
    } else if by_proxy {
        tally.proxy_errors += 1;
    } else if expected != 0 && expected != status {
        tally.mismatched += 1;
    }
    engine.op_ended(op, now);
}

/// Reads an answer on; what its head says is noted in the operation and in the clone's jar.
fn feed(engine: &mut Engine, slot: u32, op: u32, bytes: &[u8]) -> Result<Progress, crate::http::Garbage> {
    let Engine { conns, ops, sessions, jars, job, .. } = engine;
    let record = &mut ops[op];
    conns[slot].reader.feed(bytes, &mut |head| {
        note_head(record, head);
        let mut cookies =
            head.headers.iter().filter(|h| h.name.eq_ignore_ascii_case("set-cookie")).peekable();
        if cookies.peek().is_none() {
            return;
        }
        let session = &mut sessions[record.session];
        if session.jar == NONE {
            session.jar = jars.insert(Jar::default());
        }
        let step = job.plan.step(session.program, record.step);
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs().cast_signed());
        for cookie in cookies {
            jars[session.jar].set(cookie.value, step.path(), now_s);
        }
    })
}

fn note_head(record: &mut Op, head: &Head<'_>) {
    record.status = head.status;
    for header in head.headers.iter().filter(|header| header.name.len() == 12) {
        if header.name.eq_ignore_ascii_case("squall-fault") {
            let rules = String::from_utf8_lossy(header.value);
            let end = rules.floor_char_boundary(FAULT_BYTES);
            match &mut record.fault {
                Some(known) => *known = format!("{known}, {}", &rules[..end]).into(),
                None => record.fault = Some(rules[..end].into()),
            }
        } else if header.name.eq_ignore_ascii_case("squall-error") {
            record.by_proxy = true;
        }
    }
}

impl Engine {
    /// Puts a connection back for the next request, or closes it when its session has no more use for it.
    fn make_idle(&mut self, slot: u32, op: u32) {
        let record = &self.ops[op];
        let is_last = self.step_of(record).is_last_on_lane();
        let conn = &mut self.conns[slot];
        if conn.owner != NONE && is_last {
            self.close(slot);
            return;
        }
        conn.stage = Stage::Idle;
        conn.op = NONE;
        if conn.owner == NONE {
            self.idle.push(slot);
        } else {
            self.idle_owned += 1;
        }
    }

    fn route_of(&self, record: &Op) -> u16 {
        self.step_of(record).route()
    }

    fn expected_status(&self, record: &Op) -> u16 {
        self.step_of(record).status()
    }

    fn step_of(&self, record: &Op) -> crate::plan::Step<'_> {
        self.job.plan.step(self.sessions[record.session].program, record.step)
    }
}

/// Longest list of rule ids that is kept of an answer.
const FAULT_BYTES: usize = 512;
