//! Guards at work: whose exchanges they look at, what a trip does, and how far it went.
//!
//! Exchanges tell a guard two things: where they belong when they begin ([`Sentinel::mark`]), how they ended when they are
//! settled ([`Sentinel::note`]). It is judged off the data path, a few times a second.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fault_rules::decide::{Selected, Why};
use fault_rules::guard::{Guard, Signal, Trip};
use fault_rules::hook::Hook;
use fault_rules::rule::{Scale, Window};
use fault_rules::state::GuardState;
use fault_rules::state::guard::{Ending, Observed, Reading, Side};
use fault_rules::{Decision, Facts, Rule, RuleSet};
use serde::Serialize;

use super::Standing;
use crate::sync::lock;
use crate::time::micros;

/// One guard, and the rules and hooks under it.
#[derive(Debug)]
pub(crate) struct Sentinel {
    spec: Guard,
    rules: Vec<Rule>,
    hooks: Vec<Hook>,
    state: Mutex<GuardState>,
    measure: Mutex<Measure>,
    /// Its trips have made rules smaller.
    is_reduced: AtomicBool,
    /// A rule under it has acted.
    acted: AtomicBool,
    /// A trip has done all that it can do.
    is_spent: AtomicBool,
    /// Exchanges that began under another measure say nothing of the present one.
    epoch: AtomicU32,
}

/// How far the rules under a guard were made smaller.
#[derive(Debug, Default)]
struct Measure {
    /// Halvings.
    steps: u32,
    /// How far each rule's ramp had come, where it goes no further.
    held: Vec<f64>,
}

/// Where an exchange belongs in the eyes of one guard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    /// Place in `Live::guards`.
    pub(crate) guard: usize,
    pub(crate) side: Side,
    pub(crate) cluster: u64,
    epoch: u32,
}

/// What a connection of a TCP edge tells guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// The upstream answered after so long: it was connected to (or was not), or gave bytes after it was given some.
    Answered(Duration),
    /// How it ended.
    Ended(Ending),
    /// It goes on, and the upstream has answered between these ages of it.
    Lives { from: Duration, to: Duration },
    /// It waits for an answer, for so long, and for `from` when that was told before.
    Waits { from: Duration, to: Duration },
}

/// A guard in books and status. Shares of 1, microseconds, answers a second, attempts for an operation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GuardBooks {
    /// The guard.
    pub name: String,
    /// Rules and hooks under it.
    pub rules: Vec<String>,
    /// Those of them that are hooks.
    pub hooks: Vec<String>,
    /// What it looks at: `error_ratio`, `p95`, `goodput`, `attempts_per_op`.
    pub signal: String,
    /// What a trip does: `lift`, `step_down`, `hold`.
    pub action: &'static str,
    /// The signal at the trip, else at the last look; `None`: too few samples for a look.
    pub value: Option<f64>,
    /// Beyond this is too much.
    pub limit: Option<f64>,
    /// What it was compared with.
    pub base: Option<f64>,
    /// Exchanges that were judged.
    pub samples: u64,
    /// How many it wants within its window before it judges.
    pub min_samples: u64,
    /// Its window.
    pub window_us: u64,
    /// When it tripped, from the start of the run (or from arming); `None`: it held.
    pub tripped_at_us: Option<u64>,
    /// What is left of its rules' measure, 1.0 to 0.0.
    pub left: f64,
}

/// A guard has tripped.
#[derive(Debug, Clone)]
pub(crate) struct Tripped {
    pub(crate) books: GuardBooks,
    /// Since the start of the proxy.
    pub(crate) at: Duration,
}

/// What a trip asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Consequence {
    pub(crate) reading: Reading,
    /// Rules and hooks to be lifted.
    pub(crate) lift: Vec<String>,
    /// What is left of the measure of the others.
    pub(crate) left: f64,
}

impl Sentinel {
    pub(super) fn new(set: &RuleSet, place: usize, spec: &Guard) -> Self {
        // Without their places in the file, which say nothing about them.
        let rules = set.rules().iter().filter(|rule| rule.guard == Some(place)).cloned();
        let rules = rules.map(|rule| Rule { guard: None, line: 0, ..rule });
        let hooks = set.hooks.iter().filter(|hook| hook.guard == Some(place)).cloned();
        let hooks = hooks.map(|hook| Hook { guard: None, line: 0, ..hook });
        Sentinel {
            spec: spec.clone(),
            rules: rules.collect(),
            hooks: hooks.collect(),
            state: Mutex::new(GuardState::new(spec)),
            measure: Mutex::default(),
            is_reduced: AtomicBool::new(false),
            acted: AtomicBool::new(false),
            is_spent: AtomicBool::new(false),
            epoch: AtomicU32::new(0),
        }
    }

    /// The same guard over the same rules: what it saw and did stays through a reload.
    pub(super) fn is_like(&self, other: &Sentinel) -> bool {
        self.spec == other.spec && self.rules == other.rules && self.hooks == other.hooks
    }

    /// A new run: nothing was seen, nothing has tripped.
    pub(super) fn reset(&self) {
        *lock(&self.state) = GuardState::new(&self.spec);
        *lock(&self.measure) = Measure::default();
        self.is_reduced.store(false, Ordering::Release);
        self.acted.store(false, Ordering::Release);
        self.is_spent.store(false, Ordering::Release);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Where an exchange belongs; `None`: it is none of this guard's.
    pub(crate) fn mark(
        &self,
        (guard, seed): (usize, u64),
        facts: &Facts<'_>,
        (standing, run_now): (&Standing, Duration),
    ) -> Option<Mark> {
        if !self.spec.on.matches(facts) {
            return None;
        }
        // Attempts are counted for each operation: it belongs where its first attempt did.
        let first = Facts { attempt: 1, ..*facts };
        let facts = if self.spec.signal == Signal::AttemptsPerOp { &first } else { facts };
        let is_open = |id: &str, window: &Window| window.is_open(run_now) && !standing.is_rule_lifted(id);
        let mut acting = self.hooks.iter().any(|hook| is_open(&hook.id, &hook.window));
        let mut harmed = acting;
        let mut cluster = None;
        for (place, rule) in self.rules.iter().enumerate() {
            let roll = rule.roll(seed, facts);
            cluster = cluster.or(roll);
            if is_open(&rule.id, &rule.window) {
                acting = true;
                harmed |= roll.is_some_and(|roll| self.selects(place, rule, (roll, run_now)));
            }
        }
        let acted = if acting {
            self.acted.store(true, Ordering::Release);
            true
        } else {
            self.acted.load(Ordering::Acquire)
        };
        let side = match (acting, acted, harmed) {
            (true, _, true) => Side::Harmed,
            (true, _, false) => Side::Control,
            (false, false, _) => Side::Before,
            (false, true, _) => return None,
        };
        let epoch = self.epoch.load(Ordering::Acquire);
        Some(Mark { guard, side, cluster: cluster.unwrap_or(facts.connection), epoch })
    }

    /// Whether it looks at connections of a TCP edge: only where it names the edge, since those say other things than
    /// requests.
    pub(super) fn names(&self, edge: &str) -> bool {
        self.spec.on.edge() == Some(edge)
    }

    /// Whether it looks at this of a connection of a TCP edge. What lasts counts once a window.
    pub(super) fn is_about(&self, edge: &str, told: Told) -> bool {
        let is_latency = matches!(self.spec.signal, Signal::Latency(_));
        let windows = |time: Duration| time.as_nanos() / self.spec.window.as_nanos().max(1);
        let is_due = match told {
            Told::Answered(_) => is_latency,
            Told::Ended(_) => !is_latency,
            Told::Lives { from, to } => !is_latency && windows(from) < windows(to),
            Told::Waits { from, to } => is_latency && windows(from) < windows(to),
        };
        is_due && self.names(edge)
    }

    /// How an exchange ended.
    pub(crate) fn note(&self, mark: &Mark, observed: &Observed, now: Duration) {
        if mark.epoch == self.epoch.load(Ordering::Acquire) {
            lock(&self.state).note(observed, now);
        }
    }

    /// Makes smaller what a trip made smaller.
    fn measure(&self, rule: &Rule, selected: &mut Selected, run_now: Duration) {
        let Some(place) = self.rules.iter().position(|mine| mine.id == rule.id) else { return };
        if !rule.window.is_open(run_now) {
            return; // a failover goes on after the window
        }
        if !self.selects(place, rule, (selected.roll, run_now)) {
            selected.suppressed = Some(Why::SteppedDown);
        } else if let (Scale::Delay, Some(wait)) = (rule.window.scale, &mut selected.delay) {
            let weight = rule.window.weight(run_now);
            let held = lock(&self.measure).held.get(place).copied().unwrap_or(1.0);
            if held < weight {
                wait.time = wait.time.mul_f64(held / weight);
            }
        }
    }

    /// Whether a rule selects at this roll, as far as its ramp has come and as much as its guard has left of it.
    fn selects(&self, place: usize, rule: &Rule, (roll, run_now): (u64, Duration)) -> bool {
        let mut weight = match rule.window.scale {
            Scale::Rate => rule.window.weight(run_now),
            Scale::Delay => 1.0,
        };
        if self.is_reduced.load(Ordering::Acquire) {
            let measure = lock(&self.measure);
            if let (Some(held), Scale::Rate) = (measure.held.get(place), rule.window.scale) {
                weight = weight.min(*held);
            }
            weight *= measure.left();
        }
        rule.rate.weighted(weight).hits(roll)
    }

    /// Looks, if a look is due; a trip takes effect on the measure here, lifting is left to the caller.
    pub(super) fn judge(&self, now: Duration, run_now: Duration) -> Option<Consequence> {
        let mut state = lock(&self.state);
        let reading = state.judge(now).filter(|reading| reading.broken)?;
        if self.is_spent.load(Ordering::Acquire) {
            return None;
        }
        state.restart_window();
        self.epoch.fetch_add(1, Ordering::AcqRel);
        let mut measure = lock(&self.measure);
        let mut lift: Vec<String> = Vec::new();
        match self.spec.trip {
            Trip::Lift => lift = self.ids(),
            Trip::Hold => {
                measure.held = self.rules.iter().map(|rule| rule.window.weight(run_now)).collect();
            }
            Trip::StepDown => {
                measure.steps += 1;
                // there is no half of a command
                lift = self.hooks.iter().map(|hook| hook.id.clone()).collect();
                if MOST_STEPS < measure.steps {
                    lift = self.ids();
                }
            }
        }
        self.is_reduced.store(true, Ordering::Release);
        let goes_on = self.spec.trip == Trip::StepDown && measure.steps <= MOST_STEPS;
        self.is_spent.store(!goes_on, Ordering::Release);
        let left = if lift.len() == self.rules.len() + self.hooks.len() { 0.0 } else { measure.left() };
        Some(Consequence { reading, lift, left })
    }

    /// Ids of the rules and hooks under it.
    pub(super) fn ids(&self) -> Vec<String> {
        let rules = self.rules.iter().map(|rule| rule.id.clone());
        rules.chain(self.hooks.iter().map(|hook| hook.id.clone())).collect()
    }

    /// As it stands.
    pub(super) fn books(&self) -> GuardBooks {
        let reading = lock(&self.state).last();
        let left = lock(&self.measure).left();
        self.books_with(reading, left, None)
    }

    pub(super) fn books_with(
        &self,
        reading: Option<Reading>,
        left: f64,
        tripped_at: Option<Duration>,
    ) -> GuardBooks {
        GuardBooks {
            name: self.spec.name.clone(),
            rules: self.ids(),
            hooks: self.hooks.iter().map(|hook| hook.id.clone()).collect(),
            signal: self.spec.signal.name(),
            action: self.spec.trip.name(),
            value: reading.map(|reading| reading.value),
            limit: reading.map(|reading| reading.limit).filter(|limit| limit.is_finite()),
            base: reading.and_then(|reading| reading.base),
            samples: reading.map_or(0, |reading| reading.samples),
            min_samples: self.spec.min_samples,
            window_us: micros(self.spec.window),
            tripped_at_us: tripped_at.map(micros),
            left,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.spec.name
    }
}

impl Told {
    pub(super) fn observed(self, mark: &Mark) -> Observed {
        let (ending, time) = match self {
            Told::Answered(time) | Told::Waits { to: time, .. } => (Ending::Good, Some(time)),
            Told::Ended(ending) => (ending, None),
            Told::Lives { .. } => (Ending::Good, None),
        };
        Observed { lot: mark.side, cluster: mark.cluster, ending, time, attempt: 1 }
    }
}

impl Measure {
    fn left(&self) -> f64 {
        0.5_f64.powi(i32::try_from(self.steps).unwrap_or(i32::MAX))
    }
}

impl GuardBooks {
    /// A figure of it in the unit of its signal.
    #[must_use]
    pub fn figure(&self, value: f64) -> String {
        match self.signal.as_str() {
            "error_ratio" => format!("{:.2} %", value * 100.0),
            "goodput" if 1.0 < value => format!("{value:.1}/s"),
            "goodput" | "attempts_per_op" => format!("{value:.3}"),
            _ => format!("{:.1} ms", value / 1_000.0),
        }
    }

    /// What it found, in words.
    #[must_use]
    pub fn in_words(&self) -> String {
        let (Some(value), Some(limit)) = (self.value, self.limit) else {
            let (least, window) = (self.min_samples, Duration::from_micros(self.window_us));
            return format!(
                "guard {}: too few samples of {} to say anything; it wants {least} in {window:?}",
                self.name, self.signal
            );
        };
        let base = self.base.map(|base| format!(", compared with {}", self.figure(base))).unwrap_or_default();
        let figures = format!(
            "{} was {}, the limit {}{base} ({} samples)",
            self.signal,
            self.figure(value),
            self.figure(limit),
            self.samples
        );
        let Some(at) = self.tripped_at_us else { return format!("guard {} held: {figures}", self.name) };
        let seconds = Duration::from_micros(at).as_secs_f64();
        format!("guard {} tripped at {seconds:.1} s: {figures}; {}", self.name, self.did())
    }

    /// What a trip did.
    fn did(&self) -> String {
        let all = self.rules.join(", ");
        match self.action {
            "hold" => format!("holds {all}"),
            "step_down" if 0.0 < self.left => {
                let halved = self.rules.iter().filter(|id| !self.hooks.contains(id)).cloned();
                let halved = halved.collect::<Vec<_>>().join(", ");
                // there is no half of a command: the first step has ended it
                match self.hooks.join(", ") {
                    hooks if self.left == 0.5 && !hooks.is_empty() => {
                        format!("halves {halved}, ends {hooks}")
                    }
                    _ => format!("halves {halved}"),
                }
            }
            _ => format!("lifts {all}"),
        }
    }
}

/// The guards of a new set: those of the old one go on where nothing about them changed.
pub(super) fn adopt(set: &RuleSet, old: &[Arc<Sentinel>]) -> Vec<Arc<Sentinel>> {
    let sentinels = set.guards.iter().enumerate().map(|(place, spec)| Sentinel::new(set, place, spec));
    sentinels
        .map(|new| match old.iter().find(|old| old.is_like(&new)) {
            Some(old) => old.clone(),
            None => Arc::new(new),
        })
        .collect()
}

/// Takes away what guards have taken from the rules that selected an exchange.
pub(super) fn measure(set: &RuleSet, guards: &[Arc<Sentinel>], decision: &mut Decision, run_now: Duration) {
    for selected in decision.selected.iter_mut().filter(|selected| selected.suppressed.is_none()) {
        let Some(rule) = set.rules().get(selected.rule) else { continue };
        let Some(guard) = rule.guard.and_then(|guard| guards.get(guard)) else { continue };
        if guard.is_reduced.load(Ordering::Acquire) {
            guard.measure(rule, selected, run_now);
        }
    }
}

/// Halvings before the rules are lifted: to an eighth.
const MOST_STEPS: u32 = 3;

#[cfg(test)]
mod tests;
