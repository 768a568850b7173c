//! `delay`: the exchange waits, at a place of its own: with the first exchange of a connection, before the upstream is
//! asked, before the answer's header goes out. (`first_byte` is the pump's.)
//!
//! Client: its answer comes later by the sum of all delays of a place, never earlier; a floor adds only what is missing.
//! Upstream: sees the request later, or a reader that pauses. Bound: the rule's own maximum. Client leaves first: not
//! forwarded, or given up. Rule removed first: goes on at once.

use std::time::Duration;

use fault_rules::decide::Why;
use fault_rules::delay::{At, Mode};
use pingora_proxy::Session;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::waiting::{ClientWatch, Woken, released};
use crate::exchange::{Became, Exchange};

/// Waits out the delays of all rules at one place, together. Never gives [`Woken::Changed`].
pub(crate) async fn wait(session: &mut Session, exchange: &mut Exchange, at: At) -> Woken {
    let has_delay = exchange.peek().is_some_and(|open| open.plan.delays(at).next().is_some());
    if !has_delay {
        return Woken::Time;
    }
    let mut changes = exchange.shared.rules.changes();
    let watch = ClientWatch::of(session);
    let begun = Instant::now();
    let mut queue = Queue::default();
    loop {
        queue.line_up(exchange, at, begun);
        if let Some(open) = exchange.peek() {
            queue.waits.iter().for_each(|(part, _)| open.tell_root_of(*part));
        }
        let Some(until) = queue.end() else {
            // thousands may wake at once: each is to be awake before the first goes on
            tokio::task::yield_now().await;
            return Woken::Time;
        };
        match watch.wait(session, Some(begun + until), &mut changes).await {
            Woken::Time => {
                queue.finish(exchange, begun.elapsed());
                return Woken::Time;
            }
            Woken::Changed => {}
            Woken::ClientGone => {
                queue.note_held(exchange, begun);
                return Woken::ClientGone;
            }
        }
    }
}

/// The delays of a place end to end: the place of each in the plan, and when it ends, counted from the beginning.
#[derive(Default)]
struct Queue {
    waits: SmallVec<[(usize, Duration); 2]>,
    /// It was lined up before.
    under_way: bool,
}

impl Queue {
    /// Lets go of delays whose rule is gone (they count as applied, for the time they took), and puts the others end to
    /// end: those that add first, then each floor that is not reached by then.
    fn line_up(&mut self, exchange: &mut Exchange, at: At, begun: Instant) {
        self.waits.clear();
        let shared = exchange.shared.clone();
        let mut delays: SmallVec<[_; 2]> =
            exchange.peek().map(|open| open.plan.delays(at).collect()).unwrap_or_default();
        delays.sort_by_key(|(_, wait)| wait.mode == Mode::Floor);
        let mut passed = Duration::ZERO;
        for (part, wait) in delays {
            let Some(rule) = exchange.peek().map(|open| open.plan.parts[part].rule) else { return };
            let gone = released(&shared, exchange, rule);
            let Some(open) = exchange.get() else { return };
            let before = self.end().unwrap_or_default();
            let end = match wait.mode {
                Mode::Add => before + wait.time,
                Mode::Floor => wait.time.saturating_sub(begun.into_std() - open.started),
            };
            let became = &mut open.plan.parts[part].became;
            match gone {
                Some(_) if self.under_way => {
                    let took = wait.time.min(begun.elapsed().saturating_sub(passed));
                    passed += took;
                    *became = Became::Applied(took);
                }
                Some(why) => *became = Became::Suppressed(why),
                None if wait.mode == Mode::Floor && end <= before && !self.under_way => {
                    *became = Became::Suppressed(Why::LateEnough);
                }
                None => self.waits.push((part, end.max(before))),
            }
        }
        self.under_way = true;
    }

    fn end(&self) -> Option<Duration> {
        self.waits.last().map(|(_, end)| *end)
    }

    /// The client did not wait for the end of the one that is under way.
    fn note_held(&self, exchange: &mut Exchange, begun: Instant) {
        let passed = begun.elapsed();
        let before = |at: usize| at.checked_sub(1).map_or(Duration::ZERO, |at| self.waits[at].1);
        let under_way =
            self.waits.iter().enumerate().find(|(at, (_, end))| passed < *end || at + 1 == self.waits.len());
        if let (Some((at, (part, _))), Some(open)) = (under_way, exchange.get()) {
            open.held = Some((*part, (begun + before(at)).into_std()));
        }
    }

    /// Each took its own time, the last one also what the wake-up was late by.
    fn finish(&self, exchange: &mut Exchange, took: Duration) {
        let Some(open) = exchange.get() else { return };
        let mut before = Duration::ZERO;
        for (at, (part, end)) in self.waits.iter().enumerate() {
            let end = if at + 1 == self.waits.len() { took } else { *end };
            open.plan.parts[*part].became = Became::Applied(end.saturating_sub(before));
            before = end;
        }
    }
}
