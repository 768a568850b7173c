//! Popularity by rank: the law of Zipf, fitted and drawn from.

/// The exponent `s` of the most likely law `1 / rank^s` behind these counts, most frequent first; 0 to [`STEEPEST`].
/// `None` for fewer than two counts.
pub(super) fn exponent(counts: &[u64]) -> Option<f64> {
    if counts.len() < 2 {
        return None;
    }
    let total: f64 = counts.iter().map(|count| *count as f64).sum();
    let logs: Vec<f64> = (1..=counts.len()).map(|rank| (rank as f64).ln()).collect();
    let mean_log = counts.iter().zip(&logs).map(|(count, log)| *count as f64 * log).sum::<f64>() / total;
    // the likelihood is greatest where the law has the mean logarithm of the ranks that the counts have; it falls with s
    let mean_of_law = |s: f64| {
        let weights = logs.iter().map(|log| ((-s * log).exp(), log));
        let (sum, with_logs) = weights
            .fold((0.0, 0.0), |(sum, with_logs), (weight, log)| (sum + weight, with_logs + weight * log));
        with_logs / sum
    };
    let (mut low, mut high) = (0.0, STEEPEST);
    for _ in 0..40 {
        let middle = (low + high) / 2.0;
        match mean_log < mean_of_law(middle) {
            true => low = middle,
            false => high = middle,
        }
    }
    Some((low + high) / 2.0)
}

/// Shares of `ranks` ranks under the law, summed up; the last is about 1.
pub(super) fn summed(ranks: usize, exponent: f64) -> Vec<f64> {
    let weight = |rank: usize| (rank as f64).powf(-exponent);
    let all: f64 = (1..=ranks).map(weight).sum();
    let mut sum = 0.0;
    (1..=ranks)
        .map(|rank| {
            sum += weight(rank) / all;
            sum
        })
        .collect()
}

/// A single value that has nearly everything: steeper laws look the same.
const STEEPEST: f64 = 8.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthesize::random::Random;

    #[test]
    fn a_planted_exponent_is_found() {
        for planted in [0.5, 0.9, 1.2] {
            let law = summed(200, planted);
            let mut random = Random::of(1, planted.to_bits());
            let mut counts = vec![0_u64; 200];
            for _ in 0..50_000 {
                let share = random.unit();
                counts[law.partition_point(|upto| *upto <= share).min(199)] += 1;
            }
            counts.sort_unstable_by(|a, b| b.cmp(a));
            let found = exponent(&counts).unwrap();
            // a standard deviation is 1 / sqrt(50,000 * variance of ln rank), below 0.005; sorting adds about as much
            assert!((found - planted).abs() < 0.03, "{planted}: {found}");
        }
    }

    #[test]
    fn even_counts_and_too_few() {
        assert!(exponent(&[5, 5, 5, 5]).unwrap() < 1e-6);
        assert_eq!((exponent(&[]), exponent(&[7])), (None, None));
        assert!(exponent(&[1_000_000, 1]).unwrap() <= STEEPEST);
    }
}
