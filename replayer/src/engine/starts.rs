//! The sessions of one thread that are still to start.

use std::collections::VecDeque;

use crate::population::{self, Population, Start};
use std::sync::Arc;

/// Sessions to start, by time.
#[derive(Debug)]
pub(crate) enum Starts {
    /// Those of the plan.
    Planned { population: Arc<Population>, next: population::Starts },
    /// Those of a rehearsal.
    Listed(VecDeque<Start>),
}

impl Starts {
    /// The share of thread `worker` of `workers` in `population`.
    pub(crate) fn planned(population: &Arc<Population>, worker: usize, workers: usize) -> Starts {
        Starts::Planned { population: Arc::clone(population), next: population.starts(worker, workers) }
    }

    /// The next one, without taking it.
    pub(crate) fn peek(&self) -> Option<&Start> {
        match self {
            Starts::Planned { next, .. } => next.peek(),
            Starts::Listed(list) => list.front(),
        }
    }

    /// Takes the next one.
    pub(crate) fn take(&mut self) -> Option<Start> {
        match self {
            Starts::Planned { next, .. } => next.next(),
            Starts::Listed(list) => list.pop_front(),
        }
    }

    /// Who follows the session that ended as `clone` in the place `user`, where a number of sessions is held alive.
    pub(crate) fn successor(&self, user: u32, clone: u32, now_ns: u64) -> Option<Start> {
        match self {
            Starts::Planned { population, .. } => population.replacement(user, clone, now_ns),
            Starts::Listed(_) => None,
        }
    }

    /// Gives up those that are left; how many requests they had, as far as that was planned.
    pub(crate) fn drop_rest(&mut self) -> u64 {
        let left = match self {
            Starts::Planned { next, .. } => next.remaining().map_or(0, |left| left.requests),
            Starts::Listed(_) => 0,
        };
        *self = Starts::Listed(VecDeque::new());
        left
    }
}
