//! Numbers that look random and follow from a seed.

pub(super) use crate::splitmix::mix;

use crate::splitmix::GOLDEN;

/// SplitMix64: small, fast, and every seed is as good as another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// A source of its own for each part of what a seed decides.
    pub(super) fn of(seed: u64, part: u64) -> Random {
        Random(mix(seed ^ mix(part)))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// From 0 up to, not including, 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 up to, not including, `end`; 0 where that is 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }
}
