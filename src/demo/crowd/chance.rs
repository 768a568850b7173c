//! A small seeded generator: the crowd must be irregular, and the same in every demo.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014): enough for think times, nothing else.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `n`; `n` is small, so the bias is of no account.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        (self.next() % u64::from(n.max(1))) as u32
    }

    /// True once in `n`.
    pub(super) fn once_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// In `[0, 1)`.
    pub(super) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A wait with the mean `mean`, mostly short and sometimes long (exponential, at most four times the mean).
    pub(super) fn wait(&mut self, mean: Duration) -> Duration {
        mean.mul_f64((-(1.0 - self.share()).ln()).min(4.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_irregular_repeatable_and_bounded() {
        let mean = Duration::from_millis(100);
        let waits = |seed| {
            let mut chance = Chance::new(seed);
            (0..1000).map(|_| chance.wait(mean)).collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
        assert!(waits(1).iter().all(|wait| *wait <= 4 * mean));
        let sum: Duration = waits(1).iter().sum();
        assert!((90..110).contains(&(sum / 1000).as_millis()), "{sum:?}");
    }
}
