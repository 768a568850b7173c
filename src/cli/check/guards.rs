//! Whether guards would have enough to judge by.

use std::collections::VecDeque;
use std::time::Duration;

use fault_rules::guard::Base;
use fault_rules::{Decision, Facts, RuleSet};

/// What one guard saw at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Samples {
    /// Exchanges before any of its rules acted.
    pub(super) before: u64,
    /// Of the window that had most of what is judged: those that its rules selected, and those beside them.
    pub(super) harmed: u64,
    pub(super) control: u64,
    /// Whether any of its rules could have acted at all.
    pub(super) acted: bool,
}

/// A guard while a capture runs through.
#[derive(Debug)]
pub(super) struct Watch {
    guard: usize,
    base: Base,
    span: Duration,
    /// Places of the rules under it.
    rules: Vec<usize>,
    /// What is in the window: when, and whether a rule selected it.
    window: VecDeque<(Duration, bool)>,
    harmed: u64,
    best: Samples,
}

impl Watch {
    /// One for each guard of the set, in its order.
    pub(super) fn all(set: &RuleSet) -> Vec<Self> {
        let under = |place: usize| {
            set.rules()
                .iter()
                .enumerate()
                .filter(move |(_, rule)| rule.guard == Some(place))
                .map(|(rule, _)| rule)
        };
        let one = |(place, guard): (usize, &fault_rules::guard::Guard)| Self {
            guard: place,
            base: guard.limit.base,
            span: guard.window,
            rules: under(place).collect(),
            window: VecDeque::new(),
            harmed: 0,
            best: Samples::default(),
        };
        set.guards.iter().enumerate().map(one).collect()
    }

    /// One more exchange.
    pub(super) fn note(&mut self, set: &RuleSet, decision: &Decision, facts: &Facts<'_>, now: Duration) {
        let acts = self
            .rules
            .iter()
            .any(|place| set.rules().get(*place).is_some_and(|rule| rule.window.is_open(now)));
        self.best.acted |= acts;
        let judged = set.guards.get(self.guard).is_some_and(|guard| guard.on.matches(facts));
        if !judged || decision.protected {
            return;
        }
        if !acts {
            self.best.before += u64::from(!self.best.acted);
            return;
        }
        let harmed =
            decision.selected.iter().any(|it| it.suppressed.is_none() && self.rules.contains(&it.rule));
        self.window.push_back((now, harmed));
        self.harmed += u64::from(harmed);
        while let Some((_, harmed)) =
            self.window.front().filter(|(at, _)| at.saturating_add(self.span) <= now)
        {
            self.harmed -= u64::from(*harmed);
            self.window.pop_front();
        }
        let (harmed, control) = (self.harmed, self.window.len() as u64 - self.harmed);
        if self.judged(self.best.harmed, self.best.control) < self.judged(harmed, control) {
            (self.best.harmed, self.best.control) = (harmed, control);
        }
    }

    pub(super) fn finish(self) -> Samples {
        self.best
    }

    fn judged(&self, harmed: u64, control: u64) -> u64 {
        judged(self.base, harmed, control)
    }
}

/// The number of exchanges that must reach `min_samples`: of two lots the lesser.
pub(super) fn judged(base: Base, harmed: u64, control: u64) -> u64 {
    match base {
        Base::Control => harmed.min(control),
        Base::Absolute | Base::Baseline => harmed + control,
    }
}
