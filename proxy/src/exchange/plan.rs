//! What the rules ask for an exchange, and what became of each wish.

use std::time::Duration;

use fault_rules::Action;
use fault_rules::action::ResetAt;
use fault_rules::decide::{Decision, Why};
use fault_rules::rule::ActionRef;
use smallvec::SmallVec;

use crate::conn::Cut;
use crate::rules::Live;

/// The wishes of all rules that selected an exchange, in file order: one entry a part (a delay, a fault).
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Rules that match, selected or not.
    pub(crate) matched: SmallVec<[u32; 8]>,
    pub(crate) parts: SmallVec<[Part; 2]>,
}

/// One wish.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) rule: usize,
    pub(crate) wish: Wish,
    pub(crate) became: Became,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Wish {
    Delay(Duration),
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
}

/// An answer to be torn off, decided before the upstream is asked.
#[derive(Debug)]
pub(crate) struct PlannedCut {
    pub(crate) part: usize,
    pub(crate) at: ResetAt,
    /// Once the answer's header is known.
    pub(crate) armed: Option<Cut>,
}

impl Plan {
    pub(crate) fn new(decision: Decision) -> Self {
        let mut parts = SmallVec::new();
        for selected in &decision.selected {
            let became = selected.suppressed.map_or(Became::Open, Became::Suppressed);
            let wishes = [selected.delay.map(Wish::Delay), selected.action.map(Wish::Action)];
            parts.extend(wishes.into_iter().flatten().map(|wish| Part { rule: selected.rule, wish, became }));
        }
        Plan { matched: decision.matched, parts }
    }

    /// Is there anything left to do?
    pub(crate) fn is_open(&self) -> bool {
        self.parts.iter().any(|part| part.became == Became::Open)
    }

    /// Is there anything left to do that depends on nothing else? A rate limit may grant, a storm needs an outcome.
    pub(crate) fn is_open_for_certain(&self, live: &Live) -> bool {
        let certain =
            |part: &Part| !matches!(part.action(live), Some(Action::RateLimit(_) | Action::Storm(_)));
        self.parts.iter().any(|part| part.became == Became::Open && certain(part))
    }

    /// Nothing of what is still open will be done.
    pub(crate) fn suppress_open(&mut self, why: Why) {
        for part in self.parts.iter_mut().filter(|part| part.became == Became::Open) {
            part.became = Became::Suppressed(why);
        }
    }

    /// The next action that is still open, from a place on.
    pub(crate) fn next_action(&self, from: usize) -> Option<(usize, ActionRef)> {
        self.parts.iter().enumerate().skip(from).find_map(|(at, part)| match (part.wish, part.became) {
            (Wish::Action(action), Became::Open) => Some((at, action)),
            _ => None,
        })
    }

    /// Places of rules that touched the exchange so far, each once; storms do not touch the answer.
    pub(crate) fn touched(&self, live: &Live) -> SmallVec<[usize; 2]> {
        let mut rules = SmallVec::<[usize; 2]>::new();
        for part in self.parts.iter().filter(|part| part.touches(live)) {
            if !rules.contains(&part.rule) {
                rules.push(part.rule);
            }
        }
        rules
    }
}

impl Part {
    fn touches(&self, live: &Live) -> bool {
        matches!(self.became, Became::Applied(_)) && !matches!(self.action(live), Some(Action::Storm(_)))
    }

    pub(crate) fn action<'a>(&self, live: &'a Live) -> Option<&'a Action> {
        match self.wish {
            Wish::Action(action) => live.set.action(action),
            Wish::Delay(_) => None,
        }
    }

    /// The word of the rule language.
    pub(crate) fn name(&self, live: &Live) -> &'static str {
        self.action(live).map_or("delay", Action::name)
    }

    /// What was asked, in the rule's own words.
    pub(crate) fn asked(&self, live: &Live) -> String {
        match (self.wish, self.action(live)) {
            (Wish::Delay(delay), _) => format!("{}us", delay.as_micros()),
            (_, Some(Action::Respond(respond))) => respond.status.to_string(),
            (_, Some(Action::RateLimit(limit))) => format!(
                "{} per {:?}, burst {}",
                limit.bucket.tokens(),
                limit.bucket.period(),
                limit.bucket.burst()
            ),
            (_, Some(Action::Reset(at))) => match at {
                ResetAt::BeforeHeaders => "before headers".to_owned(),
                ResetAt::AfterHeaders => "after headers".to_owned(),
                ResetAt::AfterBytes(bytes) => format!("after {bytes} B of body"),
                ResetAt::AfterFraction(part) => format!("after {}% of body", part * 100.0),
            },
            (_, Some(Action::Blackhole(hole))) => match hole.hold {
                Some(hold) => format!("{}us", hold.as_micros()),
                None => "until the client leaves".to_owned(),
            },
            (_, Some(Action::Storm(storm))) => format!("{} copies", storm.copies),
            (Wish::Action(_), None) => String::new(),
        }
    }
}
