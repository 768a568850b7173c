//! What a plan will need, printed before the first packet.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::options::Speed;
use crate::plan::{Plan, Program};

/// The plan in figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Sessions, clones included.
    pub sessions: u64,
    /// Sessions in the recording that are replayed.
    pub recorded_sessions: u64,
    /// Requests; 0 where that is open.
    pub requests: u64,
    /// How many requests there will be depends on the answers, or on when somebody stops it.
    pub open_ended: bool,
    /// Times as many sessions as recorded.
    pub amplify: f64,
    /// Times as fast as recorded; 0 means as fast as answers come.
    pub speed: f64,
    /// Microseconds from the first request to the last answer when all goes as recorded; 0 when unpaced.
    pub span_us: u64,
    /// Most requests in one second; 0 when unpaced.
    pub peak_rate: u64,
    /// Most sessions alive at once, from above; 0 when unpaced.
    pub peak_sessions: u64,
    /// Sockets that the recorded connections need at once, from above.
    pub sockets: u64,
    /// Streams of events or messages that are open at once, as far as the recording tells.
    pub streams: u64,
    /// Bytes that plan, sessions and sockets take, roughly.
    pub memory: u64,
    /// Bytes of the plan in a temporary file, where the capture was too large for memory.
    pub mapped: u64,
    /// Recorded requests whose body is not whole and is filled up with spaces.
    pub body_filled: u64,
    /// Recorded requests whose body `--set` leaves alone, as it was not recorded whole and in the clear.
    pub unsubstituted: u64,
    /// Recorded exchanges that are not replayed, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Hash of the whole plan, 16 hex digits.
    pub plan_hash: String,
}

impl Summary {
    /// The figures of `plan`, with at most `connections` sockets in a pool.
    pub(crate) fn new(plan: &Plan, amplify: Option<f64>, connections: usize) -> Summary {
        let paced = match plan.speed {
            Speed::Times(times) => Some(times),
            Speed::Max => None,
        };
        let estimate = plan.population.estimate();
        let (sessions, requests) = (plan.population.sessions(), plan.population.requests());
        let alive = if paced.is_some() { estimate.peak_sessions } else { connections as u64 };
        let rate = estimate.peak_rate.unwrap_or(0);
        let lanes = Lanes::of(plan);
        let streams = if paced.is_some() { (alive as f64 * lanes.streaming).ceil() as u64 } else { 0 };
        let pool = if lanes.has_pool { (connections as u64).min(rate.max(streams).max(1)) } else { 0 };
        let sockets = match paced {
            None => (connections as u64).min(sessions.unwrap_or(u64::MAX)),
            Some(_) => (alive as f64 * lanes.open).ceil() as u64 + pool,
        };
        let footprint = plan.footprint();
        Summary {
            sessions: sessions.unwrap_or(estimate.peak_sessions),
            recorded_sessions: plan.programs().len() as u64,
            requests: requests.unwrap_or(0),
            open_ended: requests.is_none(),
            amplify: amplify
                .unwrap_or_else(|| sessions.unwrap_or(0) as f64 / plan.programs().len().max(1) as f64),
            speed: paced.unwrap_or(0.0),
            span_us: estimate.span_us.unwrap_or(0),
            peak_rate: rate,
            peak_sessions: estimate.peak_sessions,
            sockets,
            streams,
            memory: footprint.memory + alive * SESSION_BYTES + sockets * SOCKET_BYTES,
            mapped: footprint.mapped,
            body_filled: plan.programs().map(filled).sum(),
            unsubstituted: plan.unreadable,
            skipped: plan.skipped.iter().map(|(why, n)| ((*why).to_owned(), *n)).collect(),
            plan_hash: format!("{:016x}", plan.hash),
        }
    }
}

/// How the connections of sessions are used.
struct Lanes {
    /// Connections of its own that a session has open on average while it lives.
    open: f64,
    /// Streams of events or messages that it has open on average.
    streaming: f64,
    /// Some requests use the pool.
    has_pool: bool,
}

impl Lanes {
    fn of(plan: &Plan) -> Lanes {
        let (mut open_us, mut streaming_us, mut alive_us, mut has_pool) = (0.0, 0.0, 0.0, false);
        for program in plan.programs() {
            let mut begun: Vec<(u16, u64)> = Vec::new();
            for step in program.steps() {
                if step.script().is_some() {
                    streaming_us += step.duration_us() as f64;
                }
                let Some(lane) = step.lane() else {
                    has_pool = true;
                    continue;
                };
                if !begun.iter().any(|(known, _)| *known == lane) {
                    begun.push((lane, step.offset_us()));
                }
                let since = begun.iter().find(|(known, _)| *known == lane).map_or(0, |(_, since)| *since);
                if step.is_last_on_lane() {
                    open_us += step.end_us().max(step.offset_us()).saturating_sub(since).max(SHORT_US) as f64;
                }
            }
            alive_us += program.length_us().max(SHORT_US) as f64;
        }
        let share = |us: f64| if alive_us > 0.0 { us / alive_us } else { 0.0 };
        Lanes { open: share(open_us), streaming: share(streaming_us), has_pool }
    }
}

fn filled(program: Program<'_>) -> u64 {
    program.steps().filter(|step| step.filler() > 0).count() as u64
}

/// A session in this process: its record, and its slot in the timer wheel.
const SESSION_BYTES: u64 = 72;
/// One connection in this process: record, task, parser, two wakers (measured 1.1 KB), with room to spare.
const SOCKET_BYTES: u64 = 2048;
/// What a session or a connection lives at least, in microseconds, whatever the recording says.
const SHORT_US: u64 = 1000;
