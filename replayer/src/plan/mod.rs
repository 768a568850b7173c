//! What will be sent, and when: a pure function of (capture, profile, amplification, seed).
//!
//! A recorded session becomes one [`Program`], shared by all its clones; a clone is a start time and a number. The
//! plan knows nothing of threads, sockets or clocks, so any worker can compute its share of it.

mod arrivals;
mod estimate;
mod program;
mod routes;
mod template;

use std::collections::BTreeMap;

use captures::Session;
use xxhash_rust::xxh3::Xxh3;

pub(crate) use arrivals::Start;
pub use estimate::Summary;
pub(crate) use program::{Program, Step};
pub(crate) use template::{Rewrite, Sender};

use crate::options::{Connections, Speed};

/// What is asked of a plan, apart from the capture.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) amplify: f64,
    pub(crate) speed: Speed,
    /// Fit into this many microseconds, never slower than recorded.
    pub(crate) within_us: Option<u64>,
    pub(crate) connections: Connections,
    pub(crate) seed: u64,
    /// How requests are written for the target.
    pub(crate) rewrite: Rewrite,
}

/// The whole plan.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) programs: Vec<Program>,
    pub(crate) seed: u64,
    pub(crate) amplify: f64,
    pub(crate) speed: Speed,
    /// Names of the routes that steps refer to.
    pub(crate) routes: Vec<String>,
    /// Recorded exchanges that are not replayed, by reason.
    pub(crate) skipped: BTreeMap<&'static str, u64>,
    /// The same for the same capture, amplification, speed, connections and seed, whatever the thread count.
    pub(crate) hash: u64,
}

impl Plan {
    /// Plans the replay of `sessions`. Sessions without a step to replay vanish.
    pub(crate) fn build(sessions: &[Session], wanted: &Wanted) -> Plan {
        let mut skipped = BTreeMap::new();
        let mut programs: Vec<Program> = sessions
            .iter()
            .filter_map(|session| Program::from_session(session, wanted, &mut skipped))
            .collect();
        programs.sort_by_key(|program| (program.start_us, program.session));
        let begin = programs.first().map_or(0, |program| program.start_us);
        for program in &mut programs {
            program.start_us -= begin;
        }
        arrivals::assign(&mut programs, wanted.amplify, wanted.seed);
        programs.retain(|program| program.clones > 0);
        let routes = routes::assign(&mut programs);
        let mut plan = Plan {
            programs,
            seed: wanted.seed,
            amplify: wanted.amplify,
            speed: wanted.speed,
            routes,
            skipped,
            hash: 0,
        };
        if let Some(within_us) = wanted.within_us {
            let span = plan.recorded_span_us();
            plan.speed = Speed::Times((span as f64 / within_us.max(1) as f64).max(1.0));
        }
        plan.hash = plan.digest();
        plan
    }

    /// The program `index`.
    pub(crate) fn program(&self, index: u32) -> &Program {
        &self.programs[index as usize]
    }

    /// One step of a program.
    pub(crate) fn step(&self, program: u32, step: u32) -> &Step {
        self.program(program).step(step)
    }

    /// Sessions of the plan, clones included.
    pub(crate) fn sessions(&self) -> u64 {
        self.programs.iter().map(|program| u64::from(program.clones)).sum()
    }

    /// Requests of the plan.
    pub(crate) fn requests(&self) -> u64 {
        self.programs.iter().map(|program| u64::from(program.clones) * program.steps.len() as u64).sum()
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
        let end = |program: &Program| {
            let window = if program.clones > 1 { program.window_us } else { 0 };
            program.start_us + window + program.length_us()
        };
        self.programs.iter().map(end).max().unwrap_or(0)
    }

    /// The share of worker `index` of `workers`, by start time. The shares of all workers are the whole.
    pub(crate) fn share(&self, index: usize, workers: usize) -> Vec<Start> {
        let mut starts = Vec::with_capacity(self.sessions() as usize / workers.max(1) + 16);
        for (number, program) in self.programs.iter().enumerate() {
            for clone in 0..program.clones {
                if (number + clone as usize) % workers == index {
                    starts.push(Start {
                        at_us: arrivals::start_us(program, clone, self.seed),
                        program: number as u32,
                        clone,
                    });
                }
            }
        }
        starts.sort_unstable();
        starts
    }

    fn digest(&self) -> u64 {
        let mut hash = Xxh3::with_seed(self.seed);
        let speed = match self.speed {
            Speed::Times(times) => times.to_bits(),
            Speed::Max => 0,
        };
        let mut word = |value: u64| hash.update(&value.to_le_bytes());
        word(1); // version of this digest
        word(self.amplify.to_bits());
        word(speed);
        for program in &self.programs {
            for value in [program.session, program.start_us, program.window_us, u64::from(program.clones)] {
                word(value);
            }
            for step in &program.steps {
                let lane = step.lane.map_or(u64::MAX, u64::from);
                for value in [step.offset_us, step.end_us, u64::from(step.index), lane, step.what] {
                    word(value);
                }
            }
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
