//! Classic histograms of times that are filled in bulk.

use prometheus::proto::{Bucket, Histogram, Metric, MetricFamily, MetricType};

/// Times by bucket, in microseconds, and their sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    /// Up to each bound, the bound included; behind them what is above all.
    counts: [u64; BOUNDS_US.len() + 1],
    sum_us: u64,
}

impl Buckets {
    /// `count` more times of `us` microseconds each.
    pub fn add(&mut self, us: u64, count: u64) {
        self.counts[BOUNDS_US.partition_point(|bound| *bound < us)] += count;
        self.sum_us = self.sum_us.saturating_add(us.saturating_mul(count));
    }

    /// All that another has.
    pub fn merge(&mut self, other: &Buckets) {
        for (sum, more) in self.counts.iter_mut().zip(other.counts) {
            *sum += more;
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The same as a family, whose name ends in `_seconds`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "seconds of a run, to the microsecond")]
    pub fn family(&self, name: &str, help: &str) -> MetricFamily {
        let mut below = 0;
        let bounds = BOUNDS_US.iter().zip(self.counts).map(|(bound_us, count)| {
            below += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound_us as f64 / 1e6);
            bucket.set_cumulative_count(below);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(bounds.collect());
        histogram.set_sample_count(self.count());
        histogram.set_sample_sum(self.sum_us as f64 / 1e6);
        let mut metric = Metric::default();
        metric.set_histogram(histogram);
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(vec![metric]);
        family
    }
}

/// 100 us, what a request may leave late without anybody's notice, to 30 s, the patience of a replay.
const BOUNDS_US: [u64; 17] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text;

    #[test]
    fn a_time_counts_in_every_bucket_that_holds_it() {
        let (mut buckets, mut more) = (Buckets::default(), Buckets::default());
        buckets.add(100, 2);
        more.add(101, 1);
        more.add(31_000_000, 1);
        buckets.merge(&more);
        assert_eq!(buckets.count(), 4);
        let text = text(&[buckets.family("a_seconds", "As.")]).expect("text");
        for line in [
            "# TYPE a_seconds histogram",
            "a_seconds_bucket{le=\"0.0001\"} 2",
            "a_seconds_bucket{le=\"0.00025\"} 3",
            "a_seconds_bucket{le=\"30\"} 3",
            "a_seconds_bucket{le=\"+Inf\"} 4",
            "a_seconds_sum 31.000301",
            "a_seconds_count 4",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} in {text}");
        }
    }
}
