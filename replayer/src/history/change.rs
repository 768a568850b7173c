//! Where a figure moved: one change point in a row of values, whatever their distribution.
//!
//! Whether there is one is asked of ranks, so that a single wild run moves nothing: the split of the row whose Wilcoxon
//! statistic is largest (Pettitt, "A non-parametric approach to the change-point problem", Applied Statistics 28(2), 1979;
//! standardised by the length of the sides as by Lausen and Schumacher, "Maximally selected rank statistics", Biometrics
//! 48(1), 1992, so that a change near an end is found as well as one in the middle). Its chance value comes from
//! permutations of the row, not from an approximation for long rows without ties. Ranks do not know how far a value is
//! from the next, so where the change is, the values say: the split with the least absolute deviation from the medians of
//! its sides. Where several figures are looked at, their chance values are corrected together by Holm's method
//! (Scandinavian Journal of Statistics 6, 1979).

use captures::splitmix::{GOLDEN, finalise};

use crate::figures::median;

/// A place where a row may have changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// The first value after it, from 0.
    pub at: usize,
    /// How often a row in random order has as strong a change or a stronger one, 0 to 1.
    pub p: f64,
}

/// The strongest change in a row. `None`: fewer than [`LEAST`] values, or all are the same.
pub fn strongest(values: &[f64]) -> Option<Change> {
    if values.len() < LEAST || values.iter().all(|value| *value == values[0]) {
        return None;
    }
    let mut ranks = doubled_ranks(values);
    let strength = strength_of(&ranks);
    let mut random = Random(SEED);
    let as_strong = (0..PERMUTATIONS).filter(|_| {
        random.shuffle(&mut ranks);
        strength <= strength_of(&ranks)
    });
    let p = (1 + as_strong.count()) as f64 / f64::from(1 + PERMUTATIONS);
    Some(Change { at: place_of(values), p })
}

/// Chance values of several looks at once, in their order: each as Holm corrects it.
pub fn corrected(chances: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..chances.len()).collect();
    order.sort_by(|one, two| chances[*one].total_cmp(&chances[*two]));
    let mut corrected = vec![0.0; chances.len()];
    let mut least = 0.0_f64;
    for (place, index) in order.into_iter().enumerate() {
        least = least.max((chances[index] * (chances.len() - place) as f64).min(1.0));
        corrected[index] = least;
    }
    corrected
}

/// Twice the rank of each value, so that the mean rank of equal ones is whole.
fn doubled_ranks(values: &[f64]) -> Vec<i64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count() as i64;
        let equal = values.iter().filter(|other| *other == value).count() as i64;
        2 * below + equal + 1
    };
    values.iter().map(rank).collect()
}

/// How far the ranks before and after a split differ at most: the square of the standardised Wilcoxon statistic, but for a
/// factor that all orders of a row share.
fn strength_of(doubled_ranks: &[i64]) -> f64 {
    let n = doubled_ranks.len();
    let (mut sum, mut most) = (0, 0.0_f64);
    for (place, rank) in doubled_ranks.iter().enumerate().take(n - 1) {
        sum += rank - (n as i64 + 1);
        let sides = (place + 1) * (n - place - 1);
        most = most.max((sum * sum) as f64 / sides as f64);
    }
    most
}

/// The first value after the split that leaves the values nearest to the medians of their sides.
fn place_of(values: &[f64]) -> usize {
    let deviation = |part: &[f64]| -> f64 {
        let mut sorted = part.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = median(&sorted);
        sorted.iter().map(|value| (value - median).abs()).sum()
    };
    let cost = |at: &usize| deviation(&values[..*at]) + deviation(&values[*at..]);
    // A side of one value would fit itself.
    let splits = SIDE..=values.len() - SIDE;
    splits.min_by(|one, two| cost(one).total_cmp(&cost(two))).unwrap_or(SIDE)
}

/// SplitMix64: the same history has the same chance value every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        finalise(self.0)
    }

    fn shuffle(&mut self, all: &mut [i64]) {
        for place in (1..all.len()).rev() {
            let other = (u128::from(self.next()) * (place as u128 + 1)) >> 64;
            all.swap(place, other as usize);
        }
    }
}

/// Of fewer values even the clearest change could be chance.
pub const LEAST: usize = 8;
/// Fewest values on a side of a change.
const SIDE: usize = 2;
const PERMUTATIONS: u32 = 9_999;
const SEED: u64 = 0x5eed;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_found_where_it_is() {
        for (before, after) in [(10, 10), (5, 15), (16, 4), (6, 6)] {
            let row: Vec<f64> = (0..before + after)
                .map(|i| f64::from(i * 7 % 5) + if i < before { 0.0 } else { 20.0 })
                .collect();
            let change = strongest(&row).expect("enough values");
            assert_eq!(change.at, before as usize);
            assert!(change.p < 0.01, "{before}, {after}: {change:?}");
        }
    }

    #[test]
    fn one_wild_run_and_noise_move_nothing() {
        let noise = |i: i64| (i * 7_919 % 101) as f64;
        let mut row: Vec<f64> = (0..30).map(noise).collect();
        assert!(strongest(&row).is_some_and(|change| change.p > 0.05));
        row[15] = 1e9;
        assert!(strongest(&row).is_some_and(|change| change.p > 0.05));
        assert_eq!(strongest(&row[..LEAST - 1]), None);
        assert_eq!(strongest(&[3.0; 20]), None);
    }

    /// Of rows without a change about one in twenty has a chance value below 0.05, no more.
    #[test]
    fn false_alarms_are_as_rare_as_they_say() {
        let mut random = Random(42);
        let alarms = (0..100).filter(|_| {
            let row: Vec<f64> = (0..12).map(|_| (random.next() >> 40) as f64).collect();
            strongest(&row).is_some_and(|change| change.p <= 0.05)
        });
        assert!(alarms.count() <= 12, "with a chance of 5 % more than 12 of 100 come once in 700 times");
    }

    #[test]
    fn holm_corrects_as_in_his_paper() {
        let close =
            |one: &[f64], two: &[f64]| one.iter().zip(two).all(|(one, two)| (one - two).abs() < 1e-12);
        assert!(close(&corrected(&[0.01, 0.04, 0.03, 0.005]), &[0.03, 0.06, 0.06, 0.02]));
        assert!(close(&corrected(&[0.9, 0.5]), &[1.0, 1.0]));
        assert!(corrected(&[]).is_empty());
    }

    #[test]
    fn equal_values_share_their_rank() {
        assert_eq!(doubled_ranks(&[3.0, 1.0, 3.0, 2.0]), [7, 2, 7, 4]);
    }
}
