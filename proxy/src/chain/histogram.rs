//! Times by size in bounded memory: 32 buckets for each power of two, so exact to 3 %.

use std::collections::BTreeMap;

use captures::shape::{bounds, bucket};
use serde::Serialize;

/// Figures of a histogram, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Figures {
    pub(crate) count: u64,
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
    /// Places of buckets that are not empty, each followed by its count; none where only figures were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) buckets: Vec<u64>,
}

/// How much is told of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    Figures,
    /// Its buckets too, so that it can be added to others.
    Buckets,
}

/// Times by bucket; at most about 1,900 buckets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram<B = u64> {
    pub(super) buckets: BTreeMap<u16, B>,
    max: u64,
}

/// What is kept for a bucket.
pub(super) trait Bucket: Default {
    fn count(&self) -> u64;
}

impl Bucket for u64 {
    fn count(&self) -> u64 {
        *self
    }
}

impl Histogram {
    pub(super) fn add(&mut self, us: u64) {
        *self.bucket(us) += 1;
    }
}

impl<B: Bucket> Histogram<B> {
    /// Where a time is counted.
    pub(super) fn bucket(&mut self, us: u64) -> &mut B {
        self.max = self.max.max(us);
        self.buckets.entry(bucket(us)).or_default()
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.values().map(B::count).sum()
    }

    /// The bucket that the value at a quantile lies in; `None`: there are no values.
    pub(super) fn place_at(&self, quantile: f64) -> Option<u16> {
        let wanted = ((self.count() as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        self.buckets.iter().find_map(|(place, bucket)| {
            seen += bucket.count();
            (wanted <= seen).then_some(*place)
        })
    }

    pub(super) fn figures(&self, detail: Detail) -> Figures {
        let at = |quantile| self.place_at(quantile).map_or(0, |place| bounds(place).1.min(self.max));
        let told = self.buckets.iter().filter(|_| detail == Detail::Buckets);
        let buckets = told.flat_map(|(place, bucket)| [u64::from(*place), bucket.count()]).collect();
        Figures { count: self.count(), p50: at(0.5), p90: at(0.9), p99: at(0.99), max: self.max, buckets }
    }

    /// Adds another, bucket by bucket.
    pub(super) fn merge(&mut self, other: &Histogram<B>, mut add: impl FnMut(&mut B, &B)) {
        self.max = self.max.max(other.max);
        for (place, bucket) in &other.buckets {
            add(self.buckets.entry(*place).or_default(), bucket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_no_wider_than_three_hundredths() {
        for us in [0, 1, 63, 64, 65, 100, 1_000, 123_456, 60_000_000, u64::MAX] {
            let (_, upper) = bounds(bucket(us));
            assert!(us <= upper && (upper - us) as f64 <= us as f64 * 0.032, "{us}: {upper}");
        }
        assert!((0..10_000).map(bucket).is_sorted());
    }

    #[test]
    fn figures_are_those_of_the_values() {
        let mut times = Histogram::default();
        assert_eq!(times.figures(Detail::Buckets), Figures::default());
        (0..99).for_each(|_| times.add(10));
        times.add(300_000);
        let figures = times.figures(Detail::Buckets);
        assert_eq!(figures.buckets, [10, 99, bucket(300_000).into(), 1]);
        assert_eq!((figures.count, figures.p50, figures.p99, figures.max), (100, 10, 10, 300_000));
        times.add(300_000);
        assert!((300_000..=300_000).contains(&times.figures(Detail::Figures).p99));
        assert!(times.figures(Detail::Figures).buckets.is_empty());
    }
}
