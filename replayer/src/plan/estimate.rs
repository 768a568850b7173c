//! What a plan will need, printed before the first packet.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::options::Speed;
use crate::plan::{Plan, Program, arrivals};

/// The plan in figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Sessions, clones included.
    pub sessions: u64,
    /// Sessions in the recording that are replayed.
    pub recorded_sessions: u64,
    /// Requests.
    pub requests: u64,
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
    /// Bytes that plan, sessions and sockets take, roughly.
    pub memory: u64,
    /// Bytes of the plan in a temporary file, where the capture was too large for memory.
    pub mapped: u64,
    /// Requests whose body was not recorded whole and is filled up with spaces.
    pub body_filled: u64,
    /// Recorded exchanges that are not replayed, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Hash of the whole plan, 16 hex digits.
    pub plan_hash: String,
}

impl Summary {
    /// The figures of `plan`, with at most `connections` sockets in a pool.
    pub(crate) fn new(plan: &Plan, connections: usize) -> Summary {
        let paced = match plan.speed {
            Speed::Times(times) => Some(times),
            Speed::Max => None,
        };
        let span_us = paced.map_or(0, |times| (plan.recorded_span_us() as f64 / times) as u64);
        let peaks = if paced.is_some() { Peaks::of(plan, span_us) } else { Peaks::default() };
        let pooled = plan.programs().flat_map(Program::steps).any(|step| step.lane().is_none());
        let sockets = match (paced, pooled) {
            (None, _) => (connections as u64).min(plan.sessions()),
            (_, true) => peaks.sockets.saturating_add(peaks.rate.min(connections as u64)),
            (_, false) => peaks.sockets,
        };
        let footprint = plan.footprint();
        Summary {
            sessions: plan.sessions(),
            recorded_sessions: plan.programs().len() as u64,
            requests: plan.requests(),
            amplify: plan.amplify,
            speed: paced.unwrap_or(0.0),
            span_us,
            peak_rate: peaks.rate,
            peak_sessions: peaks.sessions,
            sockets,
            memory: footprint.memory + plan.sessions() * 16 + peaks.sessions * 64 + sockets * SOCKET_BYTES,
            mapped: footprint.mapped,
            body_filled: plan.programs().map(filled).sum(),
            skipped: plan.skipped.iter().map(|(why, n)| ((*why).to_owned(), *n)).collect(),
            plan_hash: format!("{:016x}", plan.hash),
        }
    }
}

/// Upper bounds over time, counted in slots.
#[derive(Debug, Default)]
struct Peaks {
    rate: u64,
    sessions: u64,
    sockets: u64,
}

/// One counter a slot of time: requests begun, and changes of what is open.
struct Slots {
    width_us: u64,
    requests: Vec<u64>,
    sessions: Vec<i64>,
    lanes: Vec<i64>,
}

impl Peaks {
    fn of(plan: &Plan, span_us: u64) -> Peaks {
        let width_us = (span_us / SLOTS + 1).max(SECOND_US);
        let count = (span_us / width_us + 2) as usize;
        let mut slots = Slots {
            width_us,
            requests: vec![0; count],
            sessions: vec![0; count + 1],
            lanes: vec![0; count + 1],
        };
        // Beyond this many requests clone 0 stands for all its clones: their windows cover one another.
        let every = plan.requests() <= COUNTED_REQUESTS;
        for (program, row) in plan.programs().zip(&plan.store.rows) {
            let (clones, weight) = if every { (row.clones, 1) } else { (1, i64::from(row.clones)) };
            for clone in 0..clones {
                slots.add(plan, program, arrivals::start_us(row, clone, plan.seed), weight);
            }
        }
        Peaks {
            rate: slots.requests.iter().max().map_or(0, |most| (most * SECOND_US).div_ceil(width_us)),
            sessions: highest(&slots.sessions),
            sockets: highest(&slots.lanes),
        }
    }
}

impl Slots {
    fn add(&mut self, plan: &Plan, program: Program<'_>, start_us: u64, weight: i64) {
        let slot = |width_us: u64, us: u64| (plan.due_ns(start_us + us) / 1000 / width_us) as usize;
        let last = self.requests.len() - 1;
        let at = |us: u64| slot(self.width_us, us).min(last);
        let mut open: Vec<u16> = Vec::new();
        for step in program.steps() {
            self.requests[at(step.offset_us())] += weight as u64;
            let Some(lane) = step.lane() else { continue };
            if !open.contains(&lane) {
                open.push(lane);
                self.lanes[at(step.offset_us())] += weight;
            }
            if step.is_last_on_lane() {
                self.lanes[at(step.end_us().max(step.offset_us())) + 1] -= weight;
            }
        }
        self.sessions[at(0)] += weight;
        self.sessions[at(program.length_us()) + 1] -= weight;
    }
}

fn highest(changes: &[i64]) -> u64 {
    let mut now = 0;
    changes
        .iter()
        .map(|change| {
            now += change;
            now
        })
        .max()
        .map_or(0, |most| most.max(0) as u64)
}

fn filled(program: Program<'_>) -> u64 {
    let steps = program.steps().filter(|step| step.filler() > 0).count() as u64;
    steps * u64::from(program.clones())
}

const SECOND_US: u64 = 1_000_000;
/// Enough slots for a day in seconds; a longer span has wider ones.
const SLOTS: u64 = 100_000;
/// Counting this many takes about a second.
const COUNTED_REQUESTS: u64 = 50_000_000;
/// One connection in this process: record, task, parser, two wakers (measured 1.1 KB), with room to spare.
const SOCKET_BYTES: u64 = 2048;
