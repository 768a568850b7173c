//! The share of one worker, one start after the other.

use std::sync::Arc;

use crate::population::closed::Closed;
use crate::population::flow::Flow;
use crate::population::shard::Share;
use crate::population::{Model, Population, Start};

/// The starts of one worker in order of time. Each is computed when it is asked for.
#[derive(Debug)]
pub(crate) struct Starts {
    population: Arc<Population>,
    way: Way,
    ahead: Option<Start>,
}

/// What a worker has not started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Remaining {
    pub(crate) sessions: u64,
    pub(crate) requests: u64,
}

#[derive(Debug)]
enum Way {
    Open(Flow),
    /// The first slot that may be next.
    Closed {
        share: Share,
        slot: u64,
    },
}

impl Starts {
    pub(crate) fn new(population: Arc<Population>, share: Share) -> Starts {
        let way = match &population.model {
            Model::Open(open) => Way::Open(Flow::new(open, share)),
            Model::Closed(_) => Way::Closed { share, slot: 0 },
        };
        let mut starts = Starts { population, way, ahead: None };
        starts.ahead = starts.way.next(&starts.population.model);
        starts
    }

    /// The next start, without taking it.
    pub(crate) fn peek(&self) -> Option<&Start> {
        self.ahead.as_ref()
    }

    /// What has not been taken, exactly; `None` where the plan has no end or the answers decide. It takes as long as
    /// walking over the windows that are left, not over their clones.
    pub(crate) fn remaining(&self) -> Option<Remaining> {
        let (Model::Open(open), Way::Open(flow)) = (&self.population.model, &self.way) else { return None };
        open.totals?;
        let mut rest = flow.rest(open);
        if let Some(start) = &self.ahead {
            rest.sessions += 1;
            rest.requests += open.steps_of(start.program);
        }
        Some(Remaining { sessions: rest.sessions, requests: rest.requests })
    }
}

impl Iterator for Starts {
    type Item = Start;

    fn next(&mut self) -> Option<Start> {
        let start = self.ahead.take()?;
        self.ahead = self.way.next(&self.population.model);
        Some(start)
    }
}

impl Way {
    fn next(&mut self, model: &Model) -> Option<Start> {
        match (self, model) {
            (Way::Open(flow), Model::Open(open)) => {
                let start = flow.next(open)?;
                Some(if open.at_once { Start { at_ns: 0, ..start } } else { start })
            }
            (Way::Closed { share, slot }, Model::Closed(closed)) => {
                let own = share.first(*slot);
                *slot = own + 1;
                u32::try_from(own).ok().and_then(|own| Closed::entry(closed, own))
            }
            _ => None,
        }
    }
}
