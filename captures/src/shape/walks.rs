//! The sessions of a capture as they go on: each exchange is a step from the one before it.

use std::collections::HashMap;

use super::routes::START;
use crate::Exchange;
use crate::limits::MAX_OPEN_SESSIONS;

/// Sessions that may go on.
#[derive(Clone, Debug)]
pub(crate) struct Walks {
    open: HashMap<u64, Walk>,
    most: usize,
}

/// One session, as far as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    /// When it began.
    pub(crate) first_us: u64,
    /// When its last request began.
    pub(crate) last_us: u64,
    /// When the last of its answers ended so far.
    pub(crate) end_us: u64,
    /// Its requests.
    pub(crate) requests: u64,
    /// The route of its last request, and of the one before that.
    pub(crate) route: u32,
    pub(crate) before: u32,
}

/// One exchange as a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Requests of the session before this one.
    pub(crate) position: u64,
    /// The two routes before, [`START`] where there were none.
    pub(crate) before: u32,
    pub(crate) from: u32,
    /// Its own route.
    pub(crate) to: u32,
    pub(crate) gap: Gap,
}

/// What lies between a request and the one before it in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// It is the first.
    First,
    /// Microseconds from the end of every earlier answer (the start of the request, where no end is known) to its start.
    Think(u64),
    /// It began while an earlier one was under way: microseconds from the start of the one before.
    Overlap(u64),
}

impl Default for Walks {
    fn default() -> Walks {
        Walks { open: HashMap::new(), most: MAX_OPEN_SESSIONS }
    }
}

impl Walks {
    /// The next exchange of a session. Exchanges come in the order of the capture: those of a session by their starts,
    /// but for what was still under way when a block was closed.
    pub(crate) fn step(&mut self, exchange: &Exchange, route: u32) -> Step {
        let start = exchange.start_us;
        let end = start.saturating_add(exchange.duration_us.unwrap_or(0));
        let fresh =
            Walk { first_us: start, last_us: start, end_us: 0, requests: 0, route: START, before: START };
        let walk = self.open.entry(exchange.session.0).or_insert(fresh);
        let gap = match walk.requests {
            0 => Gap::First,
            _ if walk.end_us <= start => Gap::Think(start - walk.end_us),
            _ => Gap::Overlap(start.saturating_sub(walk.last_us)),
        };
        let step = Step { position: walk.requests, before: walk.before, from: walk.route, to: route, gap };
        walk.first_us = walk.first_us.min(start);
        walk.last_us = walk.last_us.max(start);
        walk.end_us = walk.end_us.max(end);
        walk.requests += 1;
        (walk.before, walk.route) = (walk.route, route);
        step
    }

    /// Where too many are open: takes out those that were idle longest, half of all. One that goes on after all is then
    /// a session of its own.
    pub(crate) fn overdue(&mut self) -> Vec<Walk> {
        if self.open.len() <= self.most {
            return Vec::new();
        }
        let mut last: Vec<u64> = self.open.values().map(|walk| walk.last_us).collect();
        let middle = last.len() / 2;
        let limit = *last.select_nth_unstable(middle).1;
        let old: Vec<u64> =
            self.open.iter().filter(|(_, walk)| walk.last_us <= limit).map(|(session, _)| *session).collect();
        old.into_iter().filter_map(|session| self.open.remove(&session)).collect()
    }

    /// Every session that is still open.
    pub(crate) fn finish(&mut self) -> impl Iterator<Item = Walk> {
        std::mem::take(&mut self.open).into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionId;

    fn exchange(session: u64, start_us: u64, duration_us: Option<u64>) -> Exchange {
        Exchange { session: SessionId(session), start_us, duration_us, ..Exchange::default() }
    }

    #[test]
    fn thinking_begins_when_every_answer_is_there() {
        let mut walks = Walks::default();
        let mut gap = |start, duration| walks.step(&exchange(1, start, duration), 7).gap;
        assert_eq!(gap(100, Some(50)), Gap::First);
        assert_eq!(gap(120, Some(5)), Gap::Overlap(20));
        assert_eq!(gap(130, Some(1)), Gap::Overlap(10));
        assert_eq!(gap(170, None), Gap::Think(20));
        assert_eq!(gap(175, Some(0)), Gap::Think(5));
        assert_eq!(gap(90, Some(0)), Gap::Overlap(0), "of an earlier block, and late");
        let walk = walks.finish().next().unwrap();
        assert_eq!((walk.first_us, walk.last_us, walk.requests), (90, 175, 6));
    }

    #[test]
    fn too_many_sessions_lose_the_idle_half() {
        let mut walks = Walks { most: 10, ..Walks::default() };
        for session in 0..11 {
            assert!(walks.overdue().is_empty());
            walks.step(&exchange(session, session, None), 1);
        }
        let old = walks.overdue();
        assert!(old.len() == 6 && old.iter().all(|walk| walk.first_us <= 5));
        assert_eq!(walks.finish().count(), 5);
    }
}
