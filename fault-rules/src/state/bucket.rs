//! Token buckets by key, in whole numbers: no drift, and a Retry-After that is exactly right.
//!
//! A bucket that fills with `tokens` per `period` is kept in units of 1 / `period` (in nanoseconds) of a token, so that every
//! nanosecond adds the whole number `tokens` and a token costs the whole number `period`.

use std::collections::HashMap;
use std::time::Duration;

use crate::limits;

/// How fast a bucket fills and how much it holds. Equal specs are interchangeable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketSpec {
    tokens: u64,
    period_ns: u64,
    burst: u64,
}

impl BucketSpec {
    /// So many tokens per period, at most `burst` saved up. Zeros count as one; more than 1e9 tokens as 1e9 and more than a
    /// day as a day.
    #[must_use]
    pub fn new(tokens: u64, period: Duration, burst: u64) -> Self {
        let period_ns = u64::try_from(period.min(limits::LONGEST).as_nanos()).unwrap_or(u64::MAX);
        Self {
            tokens: tokens.clamp(1, limits::TOKENS),
            period_ns: period_ns.max(1),
            burst: burst.clamp(1, limits::TOKENS),
        }
    }

    /// Tokens that come per [`BucketSpec::period`].
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The time in which [`BucketSpec::tokens`] come.
    #[must_use]
    pub fn period(&self) -> Duration {
        Duration::from_nanos(self.period_ns)
    }

    /// What a full bucket holds.
    #[must_use]
    pub fn burst(&self) -> u64 {
        self.burst
    }

    fn full(self) -> u128 {
        u128::from(self.burst) * u128::from(self.period_ns)
    }

    fn cost(self) -> u128 {
        u128::from(self.period_ns)
    }

    fn gained_in_ns(self, ns: u64) -> u128 {
        u128::from(ns) * u128::from(self.tokens)
    }
}

/// The answer of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// There was a token; it is gone.
    Granted,
    /// None; after this many whole seconds there is one, if nobody else takes it, and not after one second less.
    Denied {
        /// At least 1.
        retry_after_s: u64,
    },
    /// There are more keys than buckets: granted, and counted. A refusal that the key has not earned would be a fault that
    /// no rule asked for.
    Overflow,
}

/// The buckets of all rules of a set. Buckets live on through a reload where id, rate and burst stay the same.
#[derive(Debug, Clone, Default)]
pub struct BucketTable {
    rules: HashMap<String, Buckets>,
}

impl BucketTable {
    /// No rules yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over the rate limits of a new set: `(rule id, spec)` of each. Rules that are gone lose their buckets.
    pub fn adopt<'a>(&mut self, limits: impl IntoIterator<Item = (&'a str, BucketSpec)>) {
        let mut old = std::mem::take(&mut self.rules);
        for (id, spec) in limits {
            let kept = old.remove(id).filter(|buckets| buckets.spec == spec);
            self.rules.insert(id.to_owned(), kept.unwrap_or_else(|| Buckets::new(spec)));
        }
    }

    /// Takes a token for a key of a rule. A rule that was never adopted has no limit.
    pub fn take(&mut self, rule_id: &str, key_hash: u64, now: Duration) -> Take {
        self.rules.get_mut(rule_id).map_or(Take::Granted, |buckets| buckets.take(key_hash, now))
    }

    /// Takes for keys beyond the bound since the rule was adopted, all rules together.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.rules.values().map(|buckets| buckets.overflowed).sum()
    }
}

/// The buckets of one rule, by key. At most 65,536 keys: when there are more, buckets that are full again are dropped
/// (nobody can tell them from new ones), and where none is, new keys pass uncounted as [`Take::Overflow`].
#[derive(Debug, Clone)]
pub struct Buckets {
    spec: BucketSpec,
    by_key: HashMap<u64, Bucket>,
    bound: usize,
    /// No sweep before this time: a table full of busy keys must not be searched on every exchange.
    next_sweep_ns: u64,
    overflowed: u64,
}

impl Buckets {
    /// No keys yet; every key starts with a full bucket.
    #[must_use]
    pub fn new(spec: BucketSpec) -> Self {
        Self { spec, by_key: HashMap::new(), bound: limits::BUCKET_KEYS, next_sweep_ns: 0, overflowed: 0 }
    }

    /// Takes a token for this key.
    pub fn take(&mut self, key_hash: u64, now: Duration) -> Take {
        let now_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        if self.bound <= self.by_key.len() && !self.by_key.contains_key(&key_hash) && !self.make_room(now_ns)
        {
            self.overflowed = self.overflowed.saturating_add(1);
            return Take::Overflow;
        }
        let spec = self.spec;
        let bucket = self.by_key.entry(key_hash).or_insert(Bucket { level: spec.full(), at_ns: now_ns });
        bucket.refill(spec, now_ns);
        bucket.take(spec)
    }

    /// Keys with a bucket now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether no key has a bucket.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Takes that found no bucket and no room.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    fn make_room(&mut self, now_ns: u64) -> bool {
        if now_ns < self.next_sweep_ns {
            return false;
        }
        self.next_sweep_ns = now_ns.saturating_add(SWEEP_NS);
        let spec = self.spec;
        self.by_key.retain(|_, bucket| {
            bucket.refill(spec, now_ns);
            bucket.level < spec.full()
        });
        self.by_key.len() < self.bound
    }
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// In 1 / period_ns of a token.
    level: u128,
    at_ns: u64,
}

impl Bucket {
    fn refill(&mut self, spec: BucketSpec, now_ns: u64) {
        let passed = now_ns.saturating_sub(self.at_ns);
        self.level = self.level.saturating_add(spec.gained_in_ns(passed)).min(spec.full());
        self.at_ns = self.at_ns.max(now_ns);
    }

    fn take(&mut self, spec: BucketSpec) -> Take {
        match self.level.checked_sub(spec.cost()) {
            Some(left) => {
                self.level = left;
                Take::Granted
            }
            None => {
                let missing = spec.cost() - self.level;
                let seconds = missing.div_ceil(spec.gained_in_ns(NS_PER_S));
                Take::Denied { retry_after_s: u64::try_from(seconds).unwrap_or(u64::MAX) }
            }
        }
    }
}

const NS_PER_S: u64 = 1_000_000_000;

/// A sweep looks at every bucket, about 0.5 ms for a full table; once a second that is nothing.
const SWEEP_NS: u64 = NS_PER_S;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut buckets = Buckets::new(BucketSpec::new(2, s(1), 3));
        for _ in 0..3 {
            assert_eq!(buckets.take(1, s(0)), Take::Granted);
        }
        assert_eq!(buckets.take(1, s(0)), Take::Denied { retry_after_s: 1 });
        assert_eq!(buckets.take(2, s(0)), Take::Granted, "keys do not share");
        assert_eq!(buckets.take(1, Duration::from_millis(500)), Take::Granted);
        assert_eq!(buckets.take(1, Duration::from_millis(999)), Take::Denied { retry_after_s: 1 });
    }

    #[test]
    fn thirds_do_not_drift() {
        let mut buckets = Buckets::new(BucketSpec::new(3, s(1), 1));
        let granted = (0..3_000_000_u64)
            .filter(|ms| buckets.take(1, Duration::from_millis(*ms)) == Take::Granted)
            .count();
        // Every take costs up to 1 ms of rounding to the grid: a token each 334 ms.
        assert_eq!(granted, 3_000_000_usize.div_ceil(334));
        let mut exact = Buckets::new(BucketSpec::new(3, s(1), 3));
        let granted = (0..1_000).map(|sec| (0..4).filter(|_| exact.take(1, s(sec)) == Take::Granted).count());
        assert_eq!(granted.sum::<usize>(), 3_000);
    }

    #[test]
    fn a_full_table_drops_full_buckets_then_lets_pass() {
        let mut buckets = Buckets::new(BucketSpec::new(1, s(10), 1));
        buckets.bound = 2;
        assert_eq!(buckets.take(1, s(0)), Take::Granted);
        assert_eq!(buckets.take(2, s(5)), Take::Granted);
        assert_eq!(buckets.take(3, s(6)), Take::Overflow);
        assert_eq!(buckets.take(1, s(6)), Take::Denied { retry_after_s: 4 });
        assert_eq!(buckets.overflowed(), 1);
        assert_eq!(buckets.take(3, s(10)), Take::Granted, "key 1 is full again");
        assert_eq!(buckets.len(), 2);
        assert_eq!(buckets.take(2, s(10)), Take::Denied { retry_after_s: 5 });
    }

    #[test]
    fn a_reload_keeps_buckets_of_equal_rules() {
        let spec = BucketSpec::new(1, s(60), 1);
        let mut table = BucketTable::new();
        table.adopt([("a", spec), ("b", spec)]);
        assert_eq!(table.take("a", 7, s(0)), Take::Granted);
        assert_eq!(table.take("b", 7, s(0)), Take::Granted);
        table.adopt([("a", spec), ("b", BucketSpec::new(1, s(60), 2))]);
        assert_eq!(table.take("a", 7, s(0)), Take::Denied { retry_after_s: 60 });
        assert_eq!(table.take("b", 7, s(0)), Take::Granted);
        table.adopt([("b", spec)]);
        assert_eq!(table.take("a", 7, s(0)), Take::Granted, "no rule, no limit");
        assert_eq!(table.overflowed(), 0);
    }

    proptest! {
        #[test]
        fn retry_after_is_the_least_that_is_enough(
            tokens in 1..2_000_u64, period in 1..100_000_000_000_u64, burst in 1..5_u64,
            gaps in proptest::collection::vec(0..3_000_000_000_u64, 1..40),
        ) {
            let mut buckets = Buckets::new(BucketSpec::new(tokens, Duration::from_nanos(period), burst));
            let mut now = Duration::ZERO;
            for gap in gaps {
                now += Duration::from_nanos(gap);
                if let Take::Denied { retry_after_s } = buckets.take(9, now) {
                    prop_assert!(1 <= retry_after_s);
                    let early = buckets.clone().take(9, now + s(retry_after_s - 1));
                    prop_assert!(early != Take::Granted);
                    let in_time = buckets.clone().take(9, now + s(retry_after_s));
                    prop_assert_eq!(in_time, Take::Granted);
                }
            }
        }

        #[test]
        fn never_more_than_burst_and_rate_allow(
            tokens in 1..50_u64, period_ms in 1..5_000_u64, burst in 1..20_u64,
            gaps in proptest::collection::vec(0..500_u64, 1..200),
        ) {
            let mut buckets = Buckets::new(BucketSpec::new(tokens, Duration::from_millis(period_ms), burst));
            let (mut now_ms, mut granted) = (0_u64, 0_u64);
            for gap in gaps {
                now_ms += gap;
                granted += u64::from(buckets.take(1, Duration::from_millis(now_ms)) == Take::Granted);
                prop_assert!(granted <= burst + now_ms * tokens / period_ms);
            }
        }

        #[test]
        fn nothing_panics(
            tokens: u64, period: u64, burst: u64, times in proptest::collection::vec(any::<(u64, u32)>(), 1..20),
        ) {
            let mut buckets = Buckets::new(BucketSpec::new(tokens, Duration::from_nanos(period), burst));
            for (seconds, ns) in times {
                buckets.take(seconds % 3, Duration::new(seconds, ns % 1_000_000_000));
            }
        }
    }
}
