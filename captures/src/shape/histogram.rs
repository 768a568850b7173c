//! Counts of values by size, in bounded memory: 32 buckets for each power of two, so exact to 3 %.

use std::collections::BTreeMap;

use serde::Serialize;

/// What the values of a kind are like; percentiles are exact to 3 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many values there are.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Half are no larger.
    pub p50: u64,
    /// 90 of 100 are no larger.
    pub p90: u64,
    /// 99 of 100 are no larger.
    pub p99: u64,
    /// The largest.
    pub max: u64,
}

/// Values by bucket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    buckets: BTreeMap<u16, u64>,
    count: u64,
    sum: u128,
    max: u64,
}

/// A histogram to draw from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quantiles {
    /// Values up to and in each bucket.
    upto: Vec<(u64, u16)>,
    max: u64,
}

impl Histogram {
    pub(crate) fn add(&mut self, value: u64) {
        *self.buckets.entry(bucket(value)).or_default() += 1;
        self.count += 1;
        self.sum += u128::from(value);
        self.max = self.max.max(value);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// `None` where nothing was counted.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        (self.count != 0).then(|| Percentiles {
            count: self.count,
            mean: (self.sum as f64 / self.count as f64 * 100.0).round() / 100.0,
            p50: self.at(0.5),
            p90: self.at(0.9),
            p99: self.at(0.99),
            max: self.max,
        })
    }

    pub(crate) fn quantiles(&self) -> Quantiles {
        let mut seen = 0;
        let upto = self.buckets.iter().map(|(bucket, count)| {
            seen += count;
            (seen, *bucket)
        });
        Quantiles { upto: upto.collect(), max: self.max }
    }

    /// The distance of Kolmogorov and Smirnov: how far the shares of values up to any size lie apart at most; 0 to 1.
    pub(crate) fn distance(&self, other: &Histogram) -> f64 {
        if self.count == 0 || other.count == 0 {
            return if self.count == other.count { 0.0 } else { 1.0 };
        }
        let (mut mine, mut theirs, mut widest) = (0, 0, 0.0_f64);
        let mut buckets: Vec<u16> = self.buckets.keys().chain(other.buckets.keys()).copied().collect();
        buckets.sort_unstable();
        buckets.dedup();
        for bucket in buckets {
            mine += self.buckets.get(&bucket).copied().unwrap_or_default();
            theirs += other.buckets.get(&bucket).copied().unwrap_or_default();
            let apart = mine as f64 / self.count as f64 - theirs as f64 / other.count as f64;
            widest = widest.max(apart.abs());
        }
        widest
    }

    /// The largest value of the bucket in which that share of all values is reached.
    fn at(&self, share: f64) -> u64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in &self.buckets {
            seen += count;
            if wanted <= seen {
                return bounds(*bucket).1.min(self.max);
            }
        }
        self.max
    }
}

impl Quantiles {
    /// The value of which that share of all values is smaller, `share` from 0 to 1; 0 where there are none.
    pub(crate) fn at(&self, share: f64) -> u64 {
        let Some((total, _)) = self.upto.last() else { return 0 };
        let wanted = share.clamp(0.0, 1.0) * *total as f64;
        let place = self.upto.partition_point(|(upto, _)| (*upto as f64) <= wanted).min(self.upto.len() - 1);
        let below = if place == 0 { 0 } else { self.upto[place - 1].0 };
        let (upto, bucket) = self.upto[place];
        let (low, high) = bounds(bucket);
        let within = (wanted - below as f64) / (upto - below) as f64;
        low.saturating_add((within.clamp(0.0, 1.0) * (high - low) as f64).round() as u64).min(self.max)
    }
}

/// The bucket of a value, 32 for each power of two: how far the value is shifted, and what is left of it, as one number that
/// rises with the value.
pub fn bucket(value: u64) -> u16 {
    let shift = (value | 63).ilog2() - 5;
    (u64::from(shift * 32) + (value >> shift)) as u16
}

/// The smallest and the largest value of a [`bucket`].
pub fn bounds(bucket: u16) -> (u64, u64) {
    let shift = if bucket < 64 { 0 } else { u32::from(bucket) / 32 - 1 };
    let low = u64::from(bucket - shift as u16 * 32) << shift;
    (low, low + ((1 << shift) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact_to_a_few_percent() {
        for scale in [1u64, 7, 1000, 1_000_003] {
            let mut histogram = Histogram::default();
            (1..=1000u64).for_each(|n| histogram.add(n * scale));
            let found = histogram.percentiles().unwrap();
            let expected = [(found.p50, 500), (found.p90, 900), (found.p99, 990)];
            for (value, expected) in expected.map(|(value, n)| (value, n * scale)) {
                let error = value.abs_diff(expected) as f64 / expected as f64;
                assert!(error < 0.035, "{value} for {expected}");
            }
            assert_eq!((found.max, found.mean), (1000 * scale, 500.5 * scale as f64));
        }
        let mut histogram = Histogram::default();
        [0, u64::MAX].into_iter().for_each(|value| histogram.add(value));
        assert_eq!(histogram.percentiles().unwrap().max, u64::MAX);
        assert_eq!(histogram.quantiles().at(1.0), u64::MAX);
    }

    #[test]
    fn buckets_tile_the_numbers() {
        for value in (0..5000).chain([1 << 20, (1 << 20) - 1, u64::MAX / 3, u64::MAX]) {
            let (low, high) = bounds(bucket(value));
            assert!(low <= value && value <= high, "{value} in {low}..={high}");
        }
    }

    #[test]
    fn distances_and_draws() {
        let of = |values: std::ops::Range<u64>| {
            let mut histogram = Histogram::default();
            values.for_each(|value| histogram.add(value));
            histogram
        };
        assert_eq!(of(0..60).distance(&of(0..60)), 0.0);
        assert_eq!(of(0..30).distance(&of(30..60)), 1.0);
        assert_eq!(of(0..40).distance(&of(0..20)), 0.5);
        assert_eq!((of(0..0).distance(&of(0..0)), of(0..0).distance(&of(0..1))), (0.0, 1.0));
        let mut drawn = Histogram::default();
        let quantiles = of(0..10_000).quantiles();
        (0..1000).for_each(|n| drawn.add(quantiles.at(f64::from(n) / 1000.0)));
        assert!(drawn.distance(&of(0..10_000)) < 0.01);
        assert_eq!(Quantiles::default().at(0.5), 0);
    }
}
