//! Rules and sets of rules, valid by construction.

use crate::action::Action;
use crate::delay::Delay;
use crate::group::Group;
use crate::guard::Guard;
use crate::hook::Hook;
use crate::matcher::{Gates, Matcher};
use crate::report::{Diagnostic, Report};
use crate::safety::Safety;
use crate::select::{Attempts, Burst, By, Every, Rate, Shard};

pub use crate::window::{Opening, Scale, Window};

/// All that one rule file (and the `--fault` rules beside it) says. Immutable: share it in an `Arc`, swap it whole.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    /// The file's seed; `None`: the caller draws one and says so.
    pub seed: Option<u64>,
    /// What holds before any rule.
    pub safety: Safety,
    /// Named groups of upstreams.
    pub groups: Vec<Group>,
    /// What must stay true while rules act; [`Rule::guard`] counts in this list.
    pub guards: Vec<Guard>,
    /// Commands that are run at the ends of windows.
    pub hooks: Vec<Hook>,
    /// What is allowed and probably not meant; shown by `squall check`.
    pub warnings: Vec<Diagnostic>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) gates: Gates,
    pub(crate) fingerprint: u64,
}

impl RuleSet {
    /// The rules in file order; [`crate::decide::Selected::rule`] counts in this list.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule of this id and its place in [`RuleSet::rules`].
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<(usize, &Rule)> {
        self.rules.iter().enumerate().find(|(_, rule)| rule.id == id)
    }

    /// The fault behind a reference that [`RuleSet::decide`] of this very set gave; `None` for a foreign reference.
    #[must_use]
    pub fn action(&self, at: ActionRef) -> Option<&Action> {
        self.rules.get(at.rule as usize)?.outcomes.get(at.outcome as usize)?.action.as_ref()
    }

    /// Equal for equal source, body files and `--fault` rules: tells a reload that changes nothing.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The set with more rules (those of `--fault`) behind its own.
    ///
    /// # Errors
    /// E02 for each id that is there already, E04 when there would be too many rules.
    pub fn with_rules(self, more: Vec<Rule>) -> Result<Self, Report> {
        crate::parse::add_rules(self, more)
    }

    /// The set as it is for traffic whose upstreams are not known: every exchange counts as meant for every group, and none
    /// is protected for its own.
    #[must_use]
    pub fn without_groups(&self) -> Self {
        let mut set = self.clone();
        set.rules.iter_mut().for_each(|rule| rule.on = rule.on.without_group());
        set.guards.iter_mut().for_each(|guard| guard.on = guard.on.without_group());
        set.gated()
    }

    /// The set with gates for the rules that it has.
    pub(crate) fn gated(mut self) -> Self {
        self.gates = Gates::new(self.rules.iter().map(|rule| &rule.on));
        self
    }

    /// The group of this name.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }
}

/// One rule: whom it is about, how many of them, when, and what happens to them.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Unique in its set; letters, digits, `.`, `_` and `-`; part of the selection hash.
    pub id: String,
    /// Which exchanges.
    pub on: Matcher,
    /// Which share of them.
    pub rate: Rate,
    /// A share of what.
    pub by: By,
    /// Only these attempts of an operation.
    pub attempts: Option<Attempts>,
    /// Only keys of these shards of the application.
    pub shard: Option<Shard>,
    /// Of those selected every n-th only; state, after selection.
    pub every: Option<Every>,
    /// Of those selected only such that fall into a burst; state, after selection.
    pub burst: Option<Burst>,
    /// When, counted from the start of the run.
    pub window: Window,
    /// The delay of every selected exchange, whatever else happens to it.
    pub delay: Option<Delay>,
    /// What happens: none (a delay only), one, or several of which a roll picks one by weight.
    pub outcomes: Vec<Outcome>,
    /// What must stay true while the rule acts: place in [`RuleSet::guards`].
    pub guard: Option<usize>,
    /// Line of the rule in its file, from 1; 0 for a rule of the command line.
    pub line: u32,
}

impl Rule {
    /// The rule in one sentence, for people.
    #[must_use]
    pub fn explain(&self) -> String {
        crate::explain::rule(self)
    }

    /// All faults that this rule may pick from.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.outcomes.iter().filter_map(|outcome| outcome.action.as_ref())
    }

    /// The outcome at this roll, by weight.
    pub(crate) fn outcome(&self, roll: impl FnOnce() -> u64) -> Option<usize> {
        if self.outcomes.len() < 2 {
            return (!self.outcomes.is_empty()).then_some(0);
        }
        let total: u64 = self.outcomes.iter().map(|outcome| u64::from(outcome.weight)).sum();
        // The high half of roll * total is uniform over 0..total, without a division.
        let mut place = ((u128::from(roll()) * u128::from(total)) >> 64) as u64;
        self.outcomes.iter().position(|outcome| {
            let hit = place < u64::from(outcome.weight);
            place = place.saturating_sub(u64::from(outcome.weight));
            hit
        })
    }
}

/// One branch of `one_of`, or the only thing a rule does.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Share of the selected exchanges, relative to the other outcomes.
    pub weight: u32,
    /// A delay of this branch.
    pub delay: Option<Delay>,
    /// The fault; `None`: the delay is all.
    pub action: Option<Action>,
}

/// Names one fault of a set; small enough to keep per exchange. Valid for the set that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionRef {
    pub(crate) rule: u32,
    pub(crate) outcome: u32,
}
