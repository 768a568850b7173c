//! What the rules ask for an exchange, and what became of each wish.

use std::sync::Arc;
use std::time::Duration;

use fault_rules::Action;
use fault_rules::action::Kind;
use fault_rules::decide::{Decision, Why};
use fault_rules::delay::{At, Mode, Wait};
use fault_rules::rule::ActionRef;
use smallvec::SmallVec;

use crate::rules::Live;

/// The wishes of all rules that selected an exchange, in file order: one entry a part (a delay, a fault).
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Rules that match, selected or not.
    pub(crate) matched: SmallVec<[u32; 8]>,
    pub(crate) parts: SmallVec<[Part; 2]>,
    /// Rules that count (`every`, `burst`) and wait for a status, each with the hash of the key it counts under.
    pub(crate) uncounted: SmallVec<[(usize, u64); 1]>,
}

/// One wish.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) rule: usize,
    /// The roll that selected the exchange.
    pub(crate) roll: u64,
    /// Seed of what is drawn within the exchange.
    pub(crate) key: u64,
    pub(crate) wish: Wish,
    pub(crate) became: Became,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Wish {
    Delay(Wait),
    Action(ActionRef),
}

/// What became of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Became {
    /// Not reached yet; at the end of the exchange: never reached.
    Open,
    /// Done, and how long it took.
    Applied(Duration),
    Suppressed(Why),
    /// The rule waited for another status: nothing of it is in the books.
    NotMeant,
}

/// A delay that an exchange has waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WaitedOut {
    pub(crate) rule: usize,
    pub(crate) asked: Duration,
    pub(crate) took: Duration,
}

impl Plan {
    pub(crate) fn new(decision: Decision, live: &Live) -> Self {
        let mut parts = SmallVec::<[Part; 2]>::new();
        for selected in &decision.selected {
            let became = selected.suppressed.map_or(Became::Open, Became::Suppressed);
            let wishes = [selected.delay.map(Wish::Delay), selected.action.map(Wish::Action)];
            parts.extend(wishes.into_iter().flatten().map(|wish| Part {
                rule: selected.rule,
                roll: selected.roll,
                key: selected.key,
                wish,
                became,
            }));
        }
        // an outage is judged when the exchange meets it: until then its window may have opened
        let is_outage = |part: &&mut Part| matches!(part.action(live), Some(Action::Outage(_)));
        for outage in parts.iter_mut().filter(is_outage) {
            if matches!(outage.became, Became::Suppressed(Why::Window | Why::Ramp)) {
                outage.became = Became::Open;
            }
        }
        Plan { matched: decision.matched, parts, uncounted: SmallVec::new() }
    }

    /// Is there anything left to do?
    pub(crate) fn is_open(&self) -> bool {
        self.parts.iter().any(|part| part.became == Became::Open)
    }

    /// Is there anything left to do that depends on nothing else? A rate limit may grant, a storm needs an outcome, an outage
    /// may be over, a rule may wait for the answer's status.
    pub(crate) fn is_open_for_certain(&self, live: &Live) -> bool {
        let certain = |part: &Part| {
            let depends = matches!(
                part.action(live),
                Some(Action::RateLimit(_) | Action::Storm(_) | Action::Stale(_) | Action::Outage(_))
            );
            !depends && live.set.rules()[part.rule].on.status().is_none()
        };
        self.parts.iter().any(|part| part.became == Became::Open && certain(part))
    }

    /// The answer has a status, or will never have one: rules that wait for another are not about this exchange.
    pub(crate) fn answered(&mut self, status: Option<u16>, live: &Live) {
        let rules = live.set.rules();
        let is_about = |rule: usize| {
            let waits_for = rules[rule].on.status();
            waits_for.is_none_or(|statuses| status.is_some_and(|status| statuses.has(status)))
        };
        if self.matched.iter().all(|rule| is_about(*rule as usize)) {
            return;
        }
        self.matched.retain(|rule| is_about(*rule as usize));
        for part in self.parts.iter_mut().filter(|part| !is_about(part.rule)) {
            part.became = Became::NotMeant;
        }
    }

    /// The places of delays that are still open and fall there.
    pub(crate) fn delays(&self, at: At) -> impl Iterator<Item = (usize, Wait)> {
        self.parts.iter().enumerate().filter_map(move |(place, part)| match (part.wish, part.became) {
            (Wish::Delay(wait), Became::Open) if wait.at == at => Some((place, wait)),
            _ => None,
        })
    }

    /// How long rules have made the exchange wait; `None` where they changed its pace, so that this cannot be told.
    pub(crate) fn waited(&self, live: &Live) -> Option<Duration> {
        let mut sum = Duration::ZERO;
        for part in &self.parts {
            let Became::Applied(took) = part.became else { continue };
            match part.action(live) {
                None | Some(Action::Outage(_)) => sum += took,
                Some(action) if action.kind() == Kind::Shaping => return None,
                Some(_) => {}
            }
        }
        Some(sum)
    }

    /// Delays that were waited for. A floor has no length that was asked for.
    pub(crate) fn waited_out(&self) -> SmallVec<[WaitedOut; 2]> {
        let out = self.parts.iter().filter_map(|part| match (part.wish, part.became) {
            (Wish::Delay(Wait { time: asked, mode: Mode::Add, .. }), Became::Applied(took)) => {
                Some(WaitedOut { rule: part.rule, asked, took })
            }
            _ => None,
        });
        out.collect()
    }

    /// Nothing of what is still open will be done.
    pub(crate) fn suppress_open(&mut self, why: Why) {
        self.suppress(why, |_| true);
    }

    /// Nothing of what is still open, and chosen, will be done.
    pub(crate) fn suppress(&mut self, why: Why, chosen: impl Fn(&Part) -> bool) {
        let is_meant = |part: &&mut Part| part.became == Became::Open && chosen(part);
        for part in self.parts.iter_mut().filter(is_meant) {
            part.became = Became::Suppressed(why);
        }
    }

    /// Rules of which something is still to be done, each once.
    pub(crate) fn open_rules(&self) -> SmallVec<[usize; 2]> {
        distinct(self.parts.iter().filter(|part| part.became == Became::Open))
    }

    /// The next action that is still open, from a place on.
    pub(crate) fn next_action(&self, from: usize) -> Option<(usize, ActionRef)> {
        self.parts.iter().enumerate().skip(from).find_map(|(at, part)| match (part.wish, part.became) {
            (Wish::Action(action), Became::Open) => Some((at, action)),
            _ => None,
        })
    }

    /// Places of rules that touched the exchange so far, each once; what happens beside the exchange does not touch it.
    pub(crate) fn touched(&self, live: &Live) -> SmallVec<[usize; 2]> {
        distinct(self.parts.iter().filter(|part| part.touches(live)))
    }
}

/// The rules of these parts, each once.
fn distinct<'a>(parts: impl Iterator<Item = &'a Part>) -> SmallVec<[usize; 2]> {
    let mut rules = SmallVec::new();
    for part in parts {
        if !rules.contains(&part.rule) {
            rules.push(part.rule);
        }
    }
    rules
}

impl Part {
    fn touches(&self, live: &Live) -> bool {
        matches!(self.became, Became::Applied(_))
            && self.action(live).is_none_or(|action| action.kind() != Kind::Side)
    }

    pub(crate) fn action<'a>(&self, live: &'a Live) -> Option<&'a Action> {
        match self.wish {
            Wish::Action(action) => live.set.action(action),
            Wish::Delay(_) => None,
        }
    }

    /// The rule's id, and the seed of what is drawn for this part.
    pub(crate) fn source(&self, live: &Live) -> (Arc<str>, u64) {
        (live.ids[self.rule].clone(), self.key)
    }

    /// The word of the rule language.
    pub(crate) fn name(&self, live: &Live) -> &'static str {
        self.action(live).map_or("delay", Action::name)
    }

    /// What was asked, in the rule's own words.
    pub(crate) fn asked(&self, live: &Live) -> String {
        match (self.wish, self.action(live)) {
            // its own part of that may be shorter
            (Wish::Delay(wait), _) if wait.mode == Mode::Floor => {
                format!("at least {}us", wait.time.as_micros())
            }
            (Wish::Delay(wait), _) => format!("{}us", wait.time.as_micros()),
            (_, Some(action)) => action.asked(),
            (Wish::Action(_), None) => String::new(),
        }
    }
}
