//! How many copies a storm may still send.

/// Keeps upstream attempts per forwarded exchange at or below `max_amplification`, at every moment of the run.
#[derive(Debug, Clone)]
pub struct StormCap {
    /// Copies allowed per thousand forwarded exchanges.
    extra_per_mille: u64,
    forwarded: u64,
    copies: u64,
}

impl StormCap {
    /// A cap on attempts per forwarded exchange, kept to a thousandth; below 1.0 (or not a number) allows no copy.
    #[must_use]
    pub fn new(max_amplification: f64) -> Self {
        // A float out of range saturates, not-a-number becomes 0: both are what is wanted.
        Self {
            extra_per_mille: ((max_amplification - 1.0) * 1_000.0).round() as u64,
            forwarded: 0,
            copies: 0,
        }
    }

    /// An exchange that the rule selected was forwarded.
    pub fn forwarded(&mut self) {
        self.forwarded = self.forwarded.saturating_add(1);
    }

    /// How many of `wanted` copies may be sent now; they count as sent.
    pub fn grant(&mut self, wanted: u32) -> u32 {
        let allowed = u128::from(self.forwarded) * u128::from(self.extra_per_mille) / 1_000;
        let left = allowed.saturating_sub(u128::from(self.copies));
        let granted = u32::try_from(left).unwrap_or(u32::MAX).min(wanted);
        self.copies = self.copies.saturating_add(u64::from(granted));
        granted
    }

    /// Copies granted so far.
    #[must_use]
    pub fn copies(&self) -> u64 {
        self.copies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amplification_never_passes_the_cap() {
        let check = |cap: f64, wanted: u32, expect: &[u32]| {
            let mut storm = StormCap::new(cap);
            for expect in expect {
                storm.forwarded();
                assert_eq!(storm.grant(wanted), *expect, "cap {cap}");
            }
        };
        check(4.0, 3, &[3, 3, 3]);
        check(2.0, 3, &[1, 1, 1]);
        check(1.5, 3, &[0, 1, 0, 1]);
        check(1.0, 3, &[0, 0]);
        check(0.0, 3, &[0]);
        check(f64::NAN, 3, &[0]);
        check(f64::INFINITY, 3, &[3]);
    }

    #[test]
    fn unused_allowance_is_kept() {
        let mut storm = StormCap::new(2.0);
        for _ in 0..5 {
            storm.forwarded();
        }
        assert_eq!(storm.grant(3), 3);
        assert_eq!(storm.grant(3), 2);
        assert_eq!(storm.grant(3), 0);
        assert_eq!(storm.copies(), 5);
    }
}
