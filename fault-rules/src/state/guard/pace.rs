//! How many a second: counts of equal slots of time, without the silence before, after and at the ends.

use std::time::Duration;

use super::lot;
use crate::stats::{self, Estimate};

/// Mean and variance of counts by slot (Welford's way). The first and the last slot in which anything ended are left out, since
/// traffic may have begun or ceased within them; so is the silence before and after. Silence between counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    slots: f64,
    mean: f64,
    squares: f64,
    begun: bool,
    /// The newest slot that was not silent, and the silent ones since; in doubt until something follows.
    doubtful: Option<(f64, u32)>,
}

impl Pace {
    /// The next slot: whether anything ended in it, and how many of those count.
    pub(super) fn push(&mut self, silent: bool, hits: u64) {
        if silent {
            if let Some((_, silence)) = &mut self.doubtful {
                *silence += 1;
            }
            return;
        }
        if let Some((hits, silence)) = self.doubtful.take() {
            if self.begun {
                self.count(hits);
            }
            self.begun = true;
            (0..silence).for_each(|_| self.count(0.0));
        }
        self.doubtful = Some((hits as f64, 0));
    }

    fn count(&mut self, hits: f64) {
        self.slots += 1.0;
        let off = hits - self.mean;
        self.mean += off / self.slots;
        self.squares += off * (hits - self.mean);
    }

    /// How many a second; `None` where too few slots say how much it varies.
    pub(super) fn a_second(&self, slot: Duration, alpha: f64) -> Option<Estimate> {
        if self.slots < LEAST_SLOTS {
            return None;
        }
        let dispersion = if 0.0 < self.mean {
            lot::inflated(self.squares / self.mean, self.slots - 1.0, alpha)
        } else {
            1.0
        };
        let bounds = stats::count(self.mean * self.slots / dispersion, alpha);
        let seconds = self.slots * slot.as_secs_f64() / dispersion;
        Some(Estimate {
            value: bounds.value / seconds,
            low: bounds.low / seconds,
            high: bounds.high / seconds,
        })
    }
}

const LEAST_SLOTS: f64 = 4.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(counts: &[u64]) -> Pace {
        let mut pace = Pace::default();
        counts.iter().for_each(|count| pace.push(*count == 0, *count));
        pace
    }

    #[test]
    fn ends_and_silence_beyond_them_do_not_count() {
        let value =
            |counts: &[u64]| pace(counts).a_second(Duration::from_millis(500), 0.01).map(|pace| pace.value);
        assert_eq!(value(&[0, 0, 3, 10, 10, 10, 10, 1, 0, 0, 0]), Some(20.0));
        assert_eq!(value(&[3, 10, 0, 10, 20, 7]), Some(20.0), "silence between counts");
        assert_eq!(value(&[9, 9, 9, 9]), None);
        assert_eq!(value(&[]), None);
    }

    #[test]
    fn uneven_traffic_is_known_less_well() {
        let width = |counts: &[u64]| {
            let pace = pace(counts).a_second(Duration::from_secs(1), 0.01).expect("enough slots");
            pace.high - pace.low
        };
        let (even, uneven) = ([100; 20], [50, 150].repeat(10));
        assert!(width(&even) * 3.0 < width(&uneven));
    }
}
