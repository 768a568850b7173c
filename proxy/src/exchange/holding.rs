//! Whom it is due to that a client left: the rule that held its exchange up, or whatever else it waited for.
//!
//! A client that leaves gives no reason, but the exchange knows what it stood still for. A replay asks for it, since it
//! could not tell a timeout that a rule made from one of the origin's.

use std::time::Duration;

use fault_rules::Action;
use fault_rules::action::Kind;

use super::{Became, Open, Part};

impl Open {
    /// The part that the client's patience went to: the one that holds the exchange up now, else the one that has taken
    /// most of the time until now. `None`: most of it went to others than the rules.
    pub(super) fn held_by(&self) -> Option<usize> {
        if let Some((part, _)) = self.held.or_else(|| self.shapes.held()) {
            return Some(part);
        }
        let waits = self.plan.parts.iter().enumerate().map(|(place, part)| (place, self.took(part)));
        let waits: Vec<(usize, Duration)> = waits.filter(|(_, took)| !took.is_zero()).collect();
        let sum: Duration = waits.iter().map(|(_, took)| *took).sum();
        let longest = waits.into_iter().max_by_key(|(_, took)| *took);
        longest.filter(|_| self.elapsed() <= 2 * sum).map(|(place, _)| place)
    }

    /// How long a part has held the exchange up that it did not let go of: of what was not done, all that the client felt.
    pub(super) fn held_for(&self, place: usize) -> Duration {
        let held = self.held.filter(|(part, _)| *part == place);
        held.map_or(Duration::ZERO, |(_, since)| since.elapsed())
    }

    /// How long a part has kept the exchange waiting, if waiting is what it does.
    fn took(&self, part: &Part) -> Duration {
        match (part.became, part.action(&self.live)) {
            (Became::Applied(took), None | Some(Action::Outage(_))) => took,
            (Became::Applied(took), Some(action)) if action.kind() == Kind::Shaping => took,
            _ => Duration::ZERO,
        }
    }
}
