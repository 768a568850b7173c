//! What will be sent, and when: a pure function of (capture, profile, amplification, seed).
//!
//! A recorded session becomes one [`Program`], shared by all its clones; a clone is a start time and a number. The
//! plan knows nothing of threads, sockets or clocks, so any worker can compute its share of it.

mod arrivals;
mod compile;
mod estimate;
mod program;
mod routes;
mod store;
mod substitute;
mod template;

use std::collections::BTreeMap;

use captures::Session;
use xxhash_rust::xxh3::Xxh3;

pub(crate) use arrivals::Start;
pub use compile::select::Pattern;
pub(crate) use compile::{Compiled, compile};
pub use estimate::Summary;
pub(crate) use program::{Kind, Program, Step};
pub(crate) use store::Footprint;
pub use substitute::Substitution;
pub(crate) use substitute::{Composed, Outgoing};
pub(crate) use template::{Rewrite, Sender};

use crate::options::{Connections, Speed};
use crate::plan::compile::{Programs, Skipped};
use crate::plan::store::{Row, Store};

/// What is asked of a plan, apart from the capture.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) amplify: f64,
    pub(crate) speed: Speed,
    /// Fit into this many microseconds, never slower than recorded.
    pub(crate) within_us: Option<u64>,
    pub(crate) connections: Connections,
    /// Heads are HTTP/2 header blocks, and requests share the connections of their session.
    pub(crate) http2: bool,
    /// Idle time within a session is shortened to this many microseconds.
    pub(crate) max_gap_us: Option<u64>,
    /// Only exchanges that one of these names; all when there is none.
    pub(crate) only: Vec<Pattern>,
    /// No exchange that one of these names.
    pub(crate) exclude: Vec<Pattern>,
    pub(crate) substitutions: Vec<Substitution>,
    /// Columns of the users file, by number.
    pub(crate) columns: Vec<String>,
    pub(crate) seed: u64,
    /// How requests are written for the target.
    pub(crate) rewrite: Rewrite,
}

/// The whole plan.
#[derive(Debug)]
pub(crate) struct Plan {
    store: Store,
    pub(crate) seed: u64,
    pub(crate) amplify: f64,
    pub(crate) speed: Speed,
    /// Names of the routes that steps refer to.
    pub(crate) routes: Vec<String>,
    /// Recorded exchanges that are not replayed, by reason.
    pub(crate) skipped: BTreeMap<&'static str, u64>,
    /// Requests whose body substitutions leave alone, as it was not recorded whole and in the clear.
    pub(crate) unreadable: u64,
    /// The same for the same capture, amplification, speed, connections and seed, whatever the thread count.
    pub(crate) hash: u64,
}

impl Plan {
    /// Plans the replay of `sessions`, which are in memory. Sessions without a step to replay vanish.
    pub(crate) fn build(sessions: &[Session], wanted: &Wanted) -> Plan {
        Plan::new(compile::programs(sessions, wanted), wanted)
    }

    /// Says who starts when.
    fn new(programs: Programs, wanted: &Wanted) -> Plan {
        let Programs { mut store, names, skipped: Skipped { reasons, unreadable } } = programs;
        arrivals::assign(&mut store.rows, wanted.amplify, wanted.seed);
        store.rows.retain(|row| row.clones > 0);
        let routes = routes::assign(&mut store, &names);
        let mut plan = Plan {
            store,
            seed: wanted.seed,
            amplify: wanted.amplify,
            speed: wanted.speed,
            routes,
            skipped: reasons,
            unreadable,
            hash: 0,
        };
        if let Some(within_us) = wanted.within_us {
            let span = plan.recorded_span_us();
            plan.speed = Speed::Times((span as f64 / within_us.max(1) as f64).max(1.0));
        }
        plan.hash = plan.digest(wanted);
        plan
    }

    /// The program `index`.
    pub(crate) fn program(&self, index: u32) -> Program<'_> {
        Program::new(&self.store, &self.store.rows[index as usize])
    }

    /// One step of a program.
    pub(crate) fn step(&self, program: u32, step: u32) -> Step<'_> {
        self.program(program).step(step)
    }

    /// All programs, by start.
    pub(crate) fn programs(&self) -> impl ExactSizeIterator<Item = Program<'_>> {
        self.store.rows.iter().map(|row| Program::new(&self.store, row))
    }

    /// What the programs take.
    pub(crate) fn footprint(&self) -> Footprint {
        self.store.footprint()
    }

    /// Sessions of the plan, clones included.
    pub(crate) fn sessions(&self) -> u64 {
        self.store.rows.iter().map(|row| u64::from(row.clones)).sum()
    }

    /// Requests of the plan.
    pub(crate) fn requests(&self) -> u64 {
        self.store.rows.iter().map(|row| u64::from(row.clones) * u64::from(row.len())).sum()
    }

    /// When a moment `us` microseconds into the recording is due, in nanoseconds from the start of the run.
    pub(crate) fn due_ns(&self, us: u64) -> u64 {
        match self.speed {
            Speed::Times(times) => (us as f64 * 1000.0 / times) as u64,
            Speed::Max => 0,
        }
    }

    /// From the first start to the last end at recorded speed, in microseconds.
    pub(crate) fn recorded_span_us(&self) -> u64 {
        let end = |row: &Row| {
            let window = if row.clones > 1 { row.window_us } else { 0 };
            row.start_us + window + row.length_us()
        };
        self.store.rows.iter().map(end).max().unwrap_or(0)
    }

    /// The share of worker `index` of `workers`, by start time. The shares of all workers are the whole.
    pub(crate) fn share(&self, index: usize, workers: usize) -> Vec<Start> {
        let mut starts = Vec::with_capacity(self.sessions() as usize / workers.max(1) + 16);
        for (number, row) in self.store.rows.iter().enumerate() {
            for clone in 0..row.clones {
                if (number + clone as usize) % workers == index {
                    starts.push(Start {
                        at_us: arrivals::start_us(row, clone, self.seed),
                        program: number as u32,
                        clone,
                    });
                }
            }
        }
        starts.sort_unstable();
        starts
    }

    fn digest(&self, wanted: &Wanted) -> u64 {
        let mut hash = Xxh3::with_seed(self.seed);
        let speed = match self.speed {
            Speed::Times(times) => times.to_bits(),
            Speed::Max => 0,
        };
        let mut word = |value: u64| hash.update(&value.to_le_bytes());
        word(2); // version of this digest
        word(self.amplify.to_bits());
        word(speed);
        word(u64::from(wanted.http2));
        for row in &self.store.rows {
            for value in [row.session, row.start_us, row.window_us, u64::from(row.clones)] {
                word(value);
            }
            for step in Program::new(&self.store, row).steps() {
                let lane = step.lane().map_or(u64::MAX, u64::from);
                for value in [step.offset_us(), step.end_us(), u64::from(step.index()), lane, step.what()] {
                    word(value);
                }
            }
        }
        for substitution in &wanted.substitutions {
            hash.update(format!("{substitution:?}").as_bytes());
        }
        hash.digest()
    }
}

/// Whether `name: value` can stand in a request.
pub(crate) fn is_field(name: &str, value: &str) -> bool {
    template::is_token(name.as_bytes()) && template::is_clean(value.as_bytes())
}

#[cfg(test)]
mod tests;
