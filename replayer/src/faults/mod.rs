//! What the proxy's rules could do to a run, and when, as seen through its admin interface while the run went on.
//!
//! Once a second the watch hands over what the proxy says of itself; only changes are kept. The clock of the proxy's
//! windows begins anew when a run is announced and when the rules are armed, so each look also says where its zero is.

mod windows;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::admin::Admin;
use crate::admin::types::{RulesInForce, Status};
use crate::limits;

/// Everything seen so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    spells: Vec<Spell>,
    /// Changes that found no room.
    lost: u64,
    /// The last look, whatever it saw.
    last: Option<Instant>,
    /// Looks at which the proxy did not answer.
    missed: u64,
}

/// A time in which nothing changed.
#[derive(Clone, Debug)]
struct Spell {
    /// Before this it was not so, or not known.
    from: Instant,
    /// Since this it is not so; `None`: it still is.
    until: Option<Instant>,
    state: State,
}

/// What the rules were allowed to do.
#[derive(Clone, Debug)]
struct State {
    /// Where the clock of the windows began.
    zero: Instant,
    generation: u64,
    rules: RulesInForce,
    /// Rules that could not act, whatever their windows; `None`: none could.
    lifted: Option<BTreeSet<String>>,
}

impl Seen {
    /// Nobody has looked yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_none() && self.missed == 0
    }

    /// The proxy did not answer.
    pub(crate) fn miss(&mut self) {
        self.missed += 1;
    }

    /// Takes a look at the proxy, whose status came just now.
    pub(crate) fn look(&mut self, admin: &Admin, status: &Status, now: Instant) {
        let known = self
            .spells
            .last()
            .map(|spell| &spell.state)
            .filter(|state| state.generation == status.generation);
        let rules = match known {
            Some(state) => state.rules.clone(),
            None => match admin.json::<RulesInForce>("/rules") {
                Ok(rules) => rules,
                Err(err) => {
                    tracing::debug!(error = err, "the rules in force cannot be read");
                    return self.miss();
                }
            },
        };
        let zero = now.checked_sub(Duration::from_micros(status.run_now_us)).unwrap_or(now);
        let state = State { zero, generation: status.generation, rules, lifted: lifted(status) };
        self.note(state, now);
    }

    fn note(&mut self, state: State, now: Instant) {
        let before = self.last.replace(now).unwrap_or(now);
        if let Some(last) = self.spells.last_mut().filter(|last| last.until.is_none()) {
            if last.state.is_like(&state) {
                return;
            }
            last.until = Some(now);
        }
        match self.spells.len() < limits::FAULT_WINDOWS {
            true => self.spells.push(Spell { from: before, until: None, state }),
            false => self.lost += 1,
        }
    }
}

impl State {
    fn is_like(&self, other: &State) -> bool {
        let apart = self.zero.max(other.zero) - self.zero.min(other.zero);
        (self.generation, &self.lifted) == (other.generation, &other.lifted) && apart < SAME_ZERO
    }
}

/// The rules that cannot act; `None`: none can.
fn lifted(status: &Status) -> Option<BTreeSet<String>> {
    if !status.armed {
        return None;
    }
    let lifted =
        status.rules.list.iter().filter(|rule| matches!(rule.state.as_str(), "lifted" | "not_armed"));
    Some(lifted.map(|rule| rule.id.clone()).collect())
}

/// The zero of a clock is computed from two clocks that are not read at once.
const SAME_ZERO: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
