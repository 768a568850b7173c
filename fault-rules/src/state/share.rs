//! `max_affected`: the share of exchanges that were affected, over the last ten seconds.

use std::time::Duration;

use serde::Serialize;

use crate::select::Rate;

/// Counts exchanges in slots of 100 ms; the window is the current slot and the 99 before it.
#[derive(Debug, Clone)]
pub struct ShareGuard {
    cap: Rate,
    slots: Box<[Slot]>,
    /// Number of the newest slot since the fixed point of `now`.
    newest: u64,
    sum: Slot,
}

/// The share went over the cap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Breach {
    /// Exchanges affected in the window.
    pub affected: u64,
    /// All exchanges in the window.
    pub total: u64,
    /// The cap, as a fraction of 1.
    pub cap: f64,
}

impl ShareGuard {
    /// A guard with this cap, seen nothing yet.
    #[must_use]
    pub fn new(cap: Rate) -> Self {
        Self { cap, slots: vec![Slot::default(); SLOTS].into(), newest: 0, sum: Slot::default() }
    }

    /// Notes one exchange, and says whether the share is now over the cap. Below [`ShareGuard::MIN_SAMPLES`] exchanges in
    /// the window there is no verdict: the first exchange of a run would be 0 % or 100 %.
    pub fn note(&mut self, affected: bool, now: Duration) -> Option<Breach> {
        self.advance(now);
        let place = (self.newest % SLOTS as u64) as usize;
        if let Some(slot) = self.slots.get_mut(place) {
            slot.add(affected);
            self.sum.add(affected);
        }
        self.breach()
    }

    /// Another cap after a reload; what was seen stays.
    pub fn set_cap(&mut self, cap: Rate) {
        self.cap = cap;
    }

    /// Exchanges in the window: affected, all.
    #[must_use]
    pub fn seen(&self) -> (u64, u64) {
        (self.sum.affected, self.sum.total)
    }

    fn breach(&self) -> Option<Breach> {
        let Slot { affected, total } = self.sum;
        let over = Self::MIN_SAMPLES <= total && self.cap.is_exceeded_by(affected, total);
        over.then(|| Breach { affected, total, cap: self.cap.fraction() })
    }

    fn advance(&mut self, now: Duration) {
        let slot = u64::try_from(now.as_millis() / SLOT_MS).unwrap_or(u64::MAX);
        let passed = slot.saturating_sub(self.newest);
        for step in 1..=passed.min(SLOTS as u64) {
            let place = (self.newest.wrapping_add(step) % SLOTS as u64) as usize;
            if let Some(old) = self.slots.get_mut(place) {
                self.sum.subtract(old);
                *old = Slot::default();
            }
        }
        self.newest = self.newest.max(slot);
    }

    /// Exchanges that the window must hold before a share is judged: at 100, a share of one half is known to 10 points.
    pub const MIN_SAMPLES: u64 = 100;
}

#[derive(Debug, Clone, Default)]
struct Slot {
    affected: u64,
    total: u64,
}

impl Slot {
    fn add(&mut self, affected: bool) {
        self.affected += u64::from(affected);
        self.total += 1;
    }

    fn subtract(&mut self, other: &Self) {
        self.affected -= other.affected;
        self.total -= other.total;
    }
}

const SLOT_MS: u128 = 100;
const SLOTS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_breach_needs_samples_and_more_than_the_cap() {
        let mut guard = ShareGuard::new(Rate::of(1, 2));
        for n in 0..99 {
            assert_eq!(guard.note(true, ms(n)), None);
        }
        let breach = guard.note(true, ms(99)).unwrap();
        assert_eq!((breach.affected, breach.total), (100, 100));
        let mut exact = ShareGuard::new(Rate::of(1, 2));
        for n in 0..1_000 {
            assert_eq!(exact.note(n % 2 == 1, ms(n)), None, "half is not more than half");
        }
        assert!(exact.note(true, ms(1_000)).is_some());
        let mut fraction = ShareGuard::new(Rate::of(40, 100));
        for n in 0..100 {
            assert_eq!(fraction.note(n % 5 < 2, ms(n)), None, "40 of 100 are not more than 40 %");
        }
    }

    #[test]
    fn the_window_slides() {
        let mut guard = ShareGuard::new(Rate::of(10, 100));
        for _ in 0..50 {
            guard.note(true, ms(50));
        }
        assert_eq!(guard.seen(), (50, 50));
        guard.note(false, ms(9_999));
        assert_eq!(guard.seen(), (50, 51));
        guard.note(false, ms(10_000));
        assert_eq!(guard.seen(), (0, 2));
        guard.note(false, ms(9_000));
        assert_eq!(guard.seen(), (0, 3), "time that goes back counts as now");
        guard.note(false, Duration::MAX);
        assert_eq!(guard.seen(), (0, 1));
        guard.note(true, Duration::MAX);
        assert_eq!(guard.seen(), (1, 2));
    }

    #[test]
    fn sums_equal_a_plain_count() {
        let mut guard = ShareGuard::new(Rate::ALL);
        let mut log: Vec<(u64, bool)> = Vec::new();
        let mut now = 0;
        for n in 0_u64..5_000 {
            now += (n * 7_919) % 61;
            let affected = n % 3 == 0;
            guard.note(affected, ms(now));
            log.push((now / 100, affected));
            let oldest = (now / 100).saturating_sub(99);
            let inside: Vec<_> = log.iter().filter(|(slot, _)| oldest <= *slot).collect();
            let hit = inside.iter().filter(|(_, affected)| *affected).count();
            assert_eq!(guard.seen(), (hit as u64, inside.len() as u64));
        }
    }
}
