//! The judge of a guard: is the objective broken, beyond what chance explains?
//!
//! The last `window` is kept in [`SLOTS`] slots, counted apart for the harmed (whom a rule under the guard selects) and the
//! control (the same traffic in the same seconds that it does not); what came before any such rule acted is the baseline.
//! A limit against the control compares those two lots; any other limit looks at all of the traffic.
//!
//! **When it trips.** The judged figure and its base are estimated with bounds at a level `alpha` (see [`crate::stats`]), and the
//! bounds of a difference come from those of its sides (Zou and Donner 2008; for shares Newcombe 1998). It trips where even the
//! more harmless bound is beyond the limit.
//!
//! **Looking again and again** would trip any guard in the end, so `alpha` is spent: of the `1 - confidence` that a guard may
//! err, its k-th window gets the share 6 / (pi k)^2, each look at it a [`SLOTS`]th of that. All shares add up to 1, so
//! a guard trips by chance with a probability of at most `1 - confidence`, however long the run lasts; and it grows slow to
//! believe only with the logarithm of its age.
//!
//! **Exchanges that fall together** (a broken session fails each of its requests) say less than they are. They are counted in
//! clusters by the key that the rule selects by, and where hits vary more from cluster to cluster than they would alone,
//! the sample counts for so many times less.
//!
//! A percentile needs samples beyond it: at the 99th a lot of fewer than about 800 exchanges is not bounded from above, and
//! what is not bounded breaks no limit.

mod lot;
mod pace;
#[cfg(test)]
mod tests;
mod times;

use std::time::Duration;

use crate::guard::{Base, Guard, Limit, Margin, Signal};
use crate::stats::{self, Estimate};
use lot::{CLUSTERS, Kind, Lot, Note};
use pace::Pace;

/// What is kept of the traffic under a guard. Times are counted from any fixed point and never go back.
#[derive(Debug, Clone)]
pub struct GuardState {
    signal: Signal,
    limit: Limit,
    slot: Duration,
    min_samples: u64,
    alpha: f64,
    /// The newest slot is at the place of its number; it is not full.
    slots: Vec<Slot>,
    newest: u64,
    /// Of all slots but the newest.
    sums: Slot,
    before: Lot,
    /// Of the newest slot: ended, and of these hits.
    before_now: (u64, u64),
    before_pace: Pace,
    /// The slot in which a rule first acted.
    acted: Option<u64>,
    judged: u64,
    last: Option<Reading>,
}

#[derive(Debug, Clone)]
struct Slot {
    harmed: Lot,
    control: Lot,
}

/// What one exchange says to a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// Where it belongs.
    pub lot: Side,
    /// Equal for exchanges that fall together; spread evenly, like a hash.
    pub cluster: u64,
    /// How it ended.
    pub ending: Ending,
    /// From its header to the end of its answer, without waits that rules injected; `None` where they cannot be taken off.
    pub time: Option<Duration>,
    /// From 1.
    pub attempt: u32,
}

/// Where an exchange belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// No rule under the guard has acted yet.
    Before,
    /// A rule that acts selects it.
    Harmed,
    /// Rules act, and none selects it.
    Control,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// A whole answer of the origin below 500.
    Good,
    /// 500 or above, or no whole answer, and not by a rule.
    Failed,
    /// A rule ended it: as was asked for.
    ByRule,
    /// The client left.
    ClientGone,
}

/// What a look found. Shares of 1, microseconds, answers a second, attempts for an operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// The signal.
    pub value: f64,
    /// What it is compared with; `None`: a limit of its own.
    pub base: Option<f64>,
    /// Beyond this is too much (of goodput: below it too little).
    pub limit: f64,
    /// Exchanges (operations) that were judged.
    pub samples: u64,
    /// It is beyond the limit, and chance does not explain that.
    pub broken: bool,
}

impl GuardState {
    /// A judge that has seen nothing.
    #[must_use]
    pub fn new(guard: &Guard) -> Self {
        let with_times = matches!(guard.signal, Signal::Latency(_));
        let slot = Slot { harmed: Lot::new(with_times), control: Lot::new(with_times) };
        Self {
            signal: guard.signal,
            limit: guard.limit,
            slot: (guard.window / SLOTS).max(Duration::from_millis(1)),
            min_samples: guard.min_samples.max(1),
            alpha: 1.0 - guard.confidence.clamp(0.5, 0.9999),
            slots: vec![slot.clone(); SLOTS as usize + 1],
            newest: 0,
            sums: slot,
            before: Lot::new(with_times),
            before_now: (0, 0),
            before_pace: Pace::default(),
            acted: None,
            judged: 0,
            last: None,
        }
    }

    /// One more exchange has ended.
    pub fn note(&mut self, observed: &Observed, now: Duration) {
        self.advance(now);
        let Some(note) = self.weigh(observed) else { return };
        if observed.lot == Side::Before {
            if self.acted.is_none() {
                self.before.note(&note);
                self.before_now.0 += u64::from(note.counts);
                self.before_now.1 += u64::from(note.hit);
            }
            return;
        }
        self.acted.get_or_insert(self.newest);
        let place = self.place(self.newest);
        if let Some(slot) = self.slots.get_mut(place) {
            let lot = if observed.lot == Side::Harmed { &mut slot.harmed } else { &mut slot.control };
            lot.note(&note);
        }
    }

    /// Looks at the last window, at most once a slot; `None`: too few samples, or no look is due.
    pub fn judge(&mut self, now: Duration) -> Option<Reading> {
        self.advance(now);
        let acted = self.acted.filter(|acted| *acted < self.newest && self.judged < self.newest)?;
        self.judged = self.newest;
        let age = (self.newest - acted) as f64 / f64::from(SLOTS);
        let window = age.floor() + 1.0;
        let alpha = self.alpha * 6.0 / (std::f64::consts::PI * window).powi(2) / f64::from(SLOTS);
        let (judged, samples, base) = self.estimates(alpha)?;
        let reading = self.compare(judged, base, samples);
        self.last = Some(reading);
        Some(reading)
    }

    /// Forgets the window (not the baseline, nor its age): the rules' measure has changed.
    pub fn restart_window(&mut self) {
        self.slots.iter_mut().for_each(Slot::clear);
        self.sums.clear();
    }

    /// What the newest look found.
    #[must_use]
    pub fn last(&self) -> Option<Reading> {
        self.last
    }

    /// What an exchange counts for; `None`: it says nothing.
    fn weigh(&self, observed: &Observed) -> Option<Note> {
        let cluster = (observed.cluster % CLUSTERS as u64) as usize;
        let note = |counts, hit| Note { counts, hit, time: None, cluster };
        match (self.signal, observed.ending) {
            (Signal::ErrorRatio, Ending::Good) => Some(note(true, false)),
            (Signal::ErrorRatio, Ending::Failed) => Some(note(true, true)),
            (Signal::Latency(_), Ending::Good | Ending::Failed) => {
                let time = u64::try_from(observed.time?.as_micros()).unwrap_or(u64::MAX);
                Some(Note { time: Some(time), ..note(true, false) })
            }
            (Signal::ErrorRatio | Signal::Latency(_), Ending::ByRule | Ending::ClientGone) => None,
            (Signal::Goodput, ending) => Some(note(true, matches!(ending, Ending::Good | Ending::ByRule))),
            (Signal::AttemptsPerOp, _) => Some(note(observed.attempt <= 1, 1 < observed.attempt)),
        }
    }

    /// The judged figure with its samples, and what it is compared with; `None` where either lot is too small.
    fn estimates(&self, alpha: f64) -> Option<(Estimate, u64, Option<Estimate>)> {
        let enough = |lot: &Lot| self.min_samples <= lot.total;
        let by_rate = self.signal == Signal::Goodput;
        if self.limit.base == Base::Control {
            let Slot { harmed, control } = &self.sums;
            let both = enough(harmed) && enough(control);
            return both
                .then(|| (self.of_lot(harmed, alpha), harmed.total, Some(self.of_lot(control, alpha))));
        }
        let mut all = self.sums.harmed.clone();
        all.add(&self.sums.control);
        if !enough(&all) {
            return None;
        }
        let judged = if by_rate { self.pace().a_second(self.slot, alpha)? } else { self.of_lot(&all, alpha) };
        let base = match self.limit.base {
            Base::Absolute | Base::Control => None,
            Base::Baseline if !enough(&self.before) => return None,
            Base::Baseline if by_rate => Some(self.before_pace.a_second(self.slot, alpha)?),
            Base::Baseline => Some(self.of_lot(&self.before, alpha)),
        };
        Some((judged, all.total, base))
    }

    fn of_lot(&self, lot: &Lot, alpha: f64) -> Estimate {
        let (total, hits) = (lot.total as f64, lot.hits as f64);
        match self.signal {
            Signal::ErrorRatio | Signal::Goodput => {
                let weight = lot.dispersion(Kind::Share, alpha);
                stats::share(hits / weight, total / weight, alpha)
            }
            Signal::AttemptsPerOp => {
                let weight = lot.dispersion(Kind::Count, alpha);
                let repeats = stats::count(hits / weight, alpha);
                let [value, low, high] =
                    [repeats.value, repeats.low, repeats.high].map(|count| 1.0 + count * weight / total);
                Estimate { value, low, high }
            }
            Signal::Latency(percentile) => {
                let share = f64::from(percentile) / 100.0;
                let at =
                    |share: f64| lot.times.as_ref().map_or((0.0, f64::INFINITY), |times| times.at(share));
                let (from, to) = at(share);
                let place = stats::quantile_place(share, total / lot.dispersion_above(to, alpha), alpha);
                let high = if place.high <= 1.0 { at(place.high).1 } else { f64::INFINITY };
                Estimate { value: f64::midpoint(from, to), low: at(place.low).0, high }
            }
        }
    }

    fn compare(&self, judged: Estimate, base: Option<Estimate>, samples: u64) -> Reading {
        let lower_is_worse = self.signal == Signal::Goodput;
        let (factor, offset) = match self.limit.margin {
            // A share of nothing: a rule file that says so is refused.
            Margin::Relative(_) if base.is_none() && lower_is_worse => (1.0, f64::NEG_INFINITY),
            Margin::Relative(_) if base.is_none() => (1.0, f64::INFINITY),
            Margin::Relative(share) if lower_is_worse => (1.0 - share, 0.0),
            Margin::Relative(share) => (1.0 + share, 0.0),
            Margin::Points(margin) | Margin::Number(margin) if lower_is_worse && base.is_some() => {
                (1.0, -margin)
            }
            Margin::Points(margin) | Margin::Number(margin) => (1.0, margin),
            Margin::Time(margin) => (1.0, margin.as_secs_f64() * 1e6),
        };
        let none = Estimate { value: 0.0, low: 0.0, high: 0.0 };
        let other = base.unwrap_or(none);
        let limit = factor * other.value + offset;
        let (gap, doubt) = if lower_is_worse {
            (limit - judged.value, (judged.high - judged.value).hypot(factor * (other.value - other.low)))
        } else {
            (judged.value - limit, (judged.value - judged.low).hypot(factor * (other.high - other.value)))
        };
        // A doubt without end (a percentile that so few samples do not bound) is not less than any gap.
        Reading {
            value: judged.value,
            base: base.map(|base| base.value),
            limit,
            samples,
            broken: doubt < gap,
        }
    }

    /// Goodput by slot over the window.
    fn pace(&self) -> Pace {
        let mut pace = Pace::default();
        let oldest = self.newest.saturating_sub(u64::from(SLOTS));
        for number in oldest..self.newest {
            if let Some(Slot { harmed, control }) = self.slots.get(self.place(number)) {
                pace.push(harmed.total + control.total == 0, harmed.hits + control.hits);
            }
        }
        pace
    }

    fn place(&self, number: u64) -> usize {
        (number % self.slots.len() as u64) as usize
    }

    /// Moves on to the slot of `now`: the oldest drop out of the window.
    fn advance(&mut self, now: Duration) {
        let number = u64::try_from(now.as_nanos() / self.slot.as_nanos().max(1)).unwrap_or(u64::MAX);
        let passed = number.saturating_sub(self.newest);
        for _ in 0..passed.min(self.slots.len() as u64) {
            self.close_slot();
        }
        if self.newest < number {
            // So long a pause that all slots were emptied above, whatever their number.
            self.newest = number;
        }
    }

    fn close_slot(&mut self) {
        let (ended, opened) = (self.place(self.newest), self.place(self.newest.wrapping_add(1)));
        self.newest = self.newest.wrapping_add(1);
        if self.acted.is_none() {
            let (total, hits) = std::mem::take(&mut self.before_now);
            self.before_pace.push(total == 0, hits);
        }
        if let Some(slot) = self.slots.get(ended) {
            self.sums.harmed.add(&slot.harmed);
            self.sums.control.add(&slot.control);
        }
        if let Some(slot) = self.slots.get_mut(opened) {
            self.sums.harmed.subtract(&slot.harmed);
            self.sums.control.subtract(&slot.control);
            slot.clear();
        }
    }
}

impl Slot {
    fn clear(&mut self) {
        self.harmed.clear();
        self.control.clear();
    }
}

/// Slots of a window: a look at each turn sees harm a twentieth of a window after it shows.
const SLOTS: u32 = 20;
