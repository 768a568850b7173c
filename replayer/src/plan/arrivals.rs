//! When clones start. Clone 0 is the recording; clone j starts at a seeded uniform place between its session's
//! start and the next session's, so the curve of arrivals keeps its shape.

use crate::identity::{Lane, prf, unit};
use crate::plan::store::Row;

/// One session of the run: 16 bytes until it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Start {
    /// Microseconds of recorded time from the start of the recording.
    pub(crate) at_us: u64,
    /// Index of its program.
    pub(crate) program: u32,
    /// Number of the clone.
    pub(crate) clone: u32,
}

/// Gives each program (ordered by start) its number of clones and the window they start in.
pub(crate) fn assign(programs: &mut [Row], amplify: f64, seed: u64) {
    let count = programs.len();
    let last_start = programs.last().map_or(0, |program| program.start_us);
    for index in 0..count {
        let window = match programs.get(index + 1) {
            Some(next) => next.start_us - programs[index].start_us,
            None if count == 1 => programs[index].length_us(),
            None => last_start / (count as u64 - 1), // the mean gap stands in for the next session
        };
        let program = &mut programs[index];
        program.window_us = window;
        let extra = unit(prf(seed, Lane::Fraction, [program.session, 0, 0])) < amplify.fract();
        program.clones = (amplify.trunc() as u32).saturating_add(u32::from(extra));
    }
}

/// When a clone starts, in microseconds of recorded time.
pub(crate) fn start_us(program: &Row, clone: u32, seed: u64) -> u64 {
    if clone == 0 {
        return program.start_us;
    }
    let place = unit(prf(seed, Lane::Start, [program.session, u64::from(clone), 0]));
    program.start_us + (program.window_us as f64 * place) as u64
}
