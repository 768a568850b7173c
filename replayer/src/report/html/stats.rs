//! Intervals that assume no distribution, of quantiles and of shares, and of their differences.
//!
//! - A quantile lies between two order statistics whose ranks follow from the binomial distribution (David and Nagaraja,
//!   Order Statistics, 2003, section 7.1), read from the histogram.
//! - A share has Wilson's interval (Wilson, J. Am. Stat. Assoc. 22, 1927).
//! - A difference takes the distances to the ends of both intervals, squared and added: Newcombe's method 10 for shares
//!   (Stat. Med. 17, 1998), which holds for other figures, too (Zou and Donner, Stat. Med. 27, 2008).
//! - Where a plan was run several times (`--repeat`), a difference is no surer than the runs are alike: Student's interval of
//!   the spread from run to run, where that is wider.
//! - Requests are not independent: those of one moment share their luck. The design effect (Kish, Survey Sampling, 1965)
//!   says by how much less they are worth, measured between neighbouring steps of the run, so that slow changes and the
//!   edges of fault windows hardly count.

use hdrhistogram::Histogram;

/// A figure and what it may be in truth. `None`: there is no bound, there were too few.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Interval {
    pub(super) value: f64,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
}

/// How sure to be, and how little a request counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Care {
    /// Chance that the interval does not hold, both sides together.
    pub(super) error: f64,
    /// As many requests are worth one that is independent; 1 or more.
    pub(super) design_effect: f64,
}

impl Care {
    fn worth(self, requests: u64) -> f64 {
        requests as f64 / self.design_effect.max(1.0)
    }
}

/// The interval of the quantile `q` in `all`; `None`: nothing was measured.
pub(super) fn quantile(all: &Histogram<u64>, q: f64, care: Care) -> Option<Interval> {
    let worth = care.worth(all.len()) as u64;
    if worth == 0 {
        return None;
    }
    let (low, high) = ranks(worth, q, care.error);
    let scaled = |rank: u64| rank as f64 * all.len() as f64 / worth as f64;
    let value = |rank: f64| at_rank(all, (rank as u64).clamp(1, all.len()));
    Some(Interval {
        value: value((q * all.len() as f64).ceil()) as f64,
        low: Some(if low == 0 { 0.0 } else { all.lowest_equivalent(value(scaled(low).floor())) as f64 }),
        high: (high <= worth)
            .then(|| all.highest_equivalent(value(scaled(high).ceil())).min(all.max()) as f64),
    })
}

/// The interval of `hits` among `all`; `None`: there were none.
pub(super) fn share(hits: u64, all: u64, care: Care) -> Option<Interval> {
    let n = care.worth(all);
    if all == 0 {
        return None;
    }
    let (p, z) = (hits as f64 / all as f64, normal(care.error));
    let square = z * z;
    let middle = (p + square / (2.0 * n)) / (1.0 + square / n);
    let reach = z / (1.0 + square / n) * (p * (1.0 - p) / n + square / (4.0 * n * n)).sqrt();
    Some(Interval {
        value: p,
        low: Some((middle - reach).max(0.0).min(p)),
        high: Some((middle + reach).min(1.0).max(p)),
    })
}

/// The interval of `other` less `base`.
pub(super) fn difference(base: Interval, other: Interval) -> Interval {
    let reach = |one: f64, two: f64| (one * one + two * two).sqrt();
    let value = other.value - base.value;
    let below = other.low.zip(base.high).map(|(low, high)| reach(other.value - low, high - base.value));
    let above = other.high.zip(base.low).map(|(high, low)| reach(high - other.value, base.value - low));
    Interval { value, low: below.map(|below| value - below), high: above.map(|above| value + above) }
}

/// How many requests are worth an independent one, from the hits among all of each step; 1 where that cannot be told.
pub(super) fn design_effect(steps: &[(u64, u64)]) -> f64 {
    let total: u64 = steps.iter().map(|(_, all)| all).sum();
    let hits: u64 = steps.iter().map(|(hits, _)| hits).sum();
    let p = hits as f64 / total.max(1) as f64;
    let pairs = steps.windows(2).filter_map(|pair| match pair {
        [(a, n), (b, m)] if *n > 0 && *m > 0 => Some(((*a as f64, *n as f64), (*b as f64, *m as f64))),
        _ => None,
    });
    let (mut seen, mut due, mut count) = (0.0, 0.0, 0);
    for ((a, n), (b, m)) in pairs {
        seen += (a / n - b / m).powi(2);
        due += p * (1.0 - p) * (1.0 / n + 1.0 / m);
        count += 1;
    }
    if count < PAIRS || due <= 0.0 { 1.0 } else { (seen / due).max(1.0) }
}

/// Ranks of the order statistics between which the quantile lies; 0 and `n + 1` mean beyond the measured.
fn ranks(n: u64, q: f64, error: f64) -> (u64, u64) {
    let (mean, variance) = (n as f64 * q, n as f64 * q * (1.0 - q));
    if NORMAL_FROM <= variance {
        let reach = normal(error) * variance.sqrt();
        return (((mean - reach).floor()).max(0.0) as u64, ((mean + reach).ceil() as u64 + 1).min(n + 1));
    }
    let (first, weights) = binomial(n, q);
    let total: f64 = weights.iter().sum();
    let tail = error / 2.0 * total;
    let mut sum = 0.0;
    let below = weights
        .iter()
        .take_while(|weight| {
            sum += **weight;
            sum <= tail
        })
        .count() as u64;
    sum = 0.0;
    let above = weights
        .iter()
        .rev()
        .take_while(|weight| {
            sum += **weight;
            sum <= tail
        })
        .count() as u64;
    let last = first + weights.len() as u64 - 1;
    // what is left out at both ends is too unlikely to be a tail
    let low = first + below;
    let high = last - above + 1;
    (low.min(n), high.min(n + 1))
}

/// The binomial distribution but for a factor, from the first number of hits that is not all too unlikely.
fn binomial(n: u64, q: f64) -> (u64, Vec<f64>) {
    let mode = (((n + 1) as f64 * q) as u64).min(n);
    let odds = q / (1.0 - q);
    let mut down = Vec::new();
    let (mut k, mut weight) = (mode, 1.0);
    while 0 < k && UNLIKELY < weight {
        weight *= k as f64 / ((n - k + 1) as f64 * odds);
        k -= 1;
        down.push(weight);
    }
    let first = k;
    down.reverse();
    down.push(1.0);
    (k, weight) = (mode, 1.0);
    while k < n && UNLIKELY < weight {
        weight *= (n - k) as f64 / (k + 1) as f64 * odds;
        k += 1;
        down.push(weight);
    }
    (first, down)
}

/// The value of this rank, counted from 1.
fn at_rank(all: &Histogram<u64>, rank: u64) -> u64 {
    let mut seen = 0;
    for bucket in all.iter_recorded() {
        seen += bucket.count_at_value();
        if rank <= seen {
            return all.highest_equivalent(bucket.value_iterated_to()).min(all.max());
        }
    }
    all.max()
}

/// How many standard deviations leave out `error` at both sides together (Abramowitz and Stegun, 26.2.23; within 0.0005).
fn normal(error: f64) -> f64 {
    let t = (-2.0 * (error / 2.0).ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    t - above / below
}

/// The same for a standard deviation that was itself measured, of one value more than `degrees` (Abramowitz and Stegun,
/// 26.7.5; from three values on within a tenth).
pub(super) fn student(error: f64, degrees: u32) -> f64 {
    let (z, v) = (normal(error), f64::from(degrees.max(1)));
    let first = (z.powi(3) + z) / 4.0;
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
    z + first / v + second / v.powi(2) + third / v.powi(3)
}

/// From this variance on the binomial distribution is taken as normal.
const NORMAL_FROM: f64 = 1000.0;
/// Less than this part of the likeliest is nothing.
const UNLIKELY: f64 = 1e-15;
/// Pairs of steps from which a design effect can be told.
const PAIRS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const CARE: Care = Care { error: 0.01, design_effect: 1.0 };

    fn histogram(values: impl Iterator<Item = u64>) -> Histogram<u64> {
        let mut all = Histogram::new(3).expect("three digits");
        values.for_each(|value| all.record(value).expect("it grows"));
        all
    }

    /// Numbers below 2^32 that look like chance and are the same in every run.
    fn chance(seed: u64) -> impl Iterator<Item = u64> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        std::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> 32
        })
    }

    #[test]
    fn the_normal_quantile_is_the_known_one() {
        for (error, z) in [(0.05, 1.96), (0.01, 2.5758), (0.001, 3.2905), (1e-6, 4.8916)] {
            assert!((normal(error) - z).abs() < 5e-4, "{error}: {}", normal(error));
        }
    }

    #[test]
    fn the_student_quantile_is_nearly_the_known_one() {
        for (error, degrees, t) in [(0.05, 4, 2.776), (0.05, 30, 2.042), (0.01, 4, 4.604), (0.01, 9, 3.250)] {
            assert!(
                (student(error, degrees) / t - 1.0).abs() < 0.03,
                "{degrees}: {}",
                student(error, degrees)
            );
        }
        assert!((0.85..1.0).contains(&(student(0.01, 2) / 9.925)));
    }

    #[test]
    fn ranks_are_those_of_the_tables() {
        // n = 10, median: P(B < 1) = P(B > 9) = 0.00098, P(B < 2) = 0.0107: 95 % is X(2) to X(9), 99 % is X(1) to X(10)
        assert_eq!(ranks(10, 0.5, 0.05), (2, 9));
        assert_eq!(ranks(10, 0.5, 0.01), (1, 10));
        // five values say nothing at 99 %: 2 (1/2)^5 = 6 %
        assert_eq!(ranks(5, 0.5, 0.01), (0, 6));
        // the 99.9th percentile of 1,000: 0.999^1000 = 37 % is above none of them
        assert_eq!(ranks(1000, 0.999, 0.01).1, 1001);
    }

    #[test]
    fn exact_and_normal_ranks_agree() {
        let (n, q) = (4500, 0.5); // variance 1,125
        let (low, high) = ranks(n, q, 0.01);
        let (first, weights) = binomial(n, q);
        let total: f64 = weights.iter().sum();
        let below: f64 = weights[..(low - first) as usize].iter().sum();
        let above: f64 = weights[(high - first) as usize..].iter().sum();
        for tail in [below / total, above / total] {
            assert!((0.0045..=0.0055).contains(&tail), "{tail}");
        }
    }

    #[test]
    fn a_share_has_wilsons_interval() {
        // Newcombe 1998, table I: 81 of 263 at 95 %: 0.2553 to 0.3662; 0 of 20: 0 to 0.1611
        let care = Care { error: 0.05, ..CARE };
        let close = |hits, all, low: f64, high: f64| {
            let found = share(hits, all, care).expect("some");
            assert!((found.low.expect("a bound") - low).abs() < 2e-4, "{found:?}");
            assert!((found.high.expect("a bound") - high).abs() < 2e-4, "{found:?}");
        };
        close(81, 263, 0.2553, 0.3662);
        close(0, 20, 0.0, 0.1611);
        assert_eq!(share(0, 0, care), None);
        // method 10 of the same author, second paper: 56/70 - 48/80 is 0.0524 to 0.3339
        let found = difference(share(48, 80, care).expect("some"), share(56, 70, care).expect("some"));
        assert!((found.low.expect("a bound") - 0.0524).abs() < 2e-4, "{found:?}");
        assert!((found.high.expect("a bound") - 0.3339).abs() < 2e-4, "{found:?}");
    }

    #[test]
    fn intervals_hold_as_often_as_they_say() {
        let care = Care { error: 0.05, ..CARE };
        let mut missed = [0, 0];
        for seed in 0..400 {
            let mut values = chance(seed).map(|value| value % 100_000);
            let one = histogram(values.by_ref().take(500));
            let two = histogram(values.take(300));
            let holds = |interval: Interval, truth: f64| {
                interval.low.is_none_or(|low| low <= truth) && interval.high.is_none_or(|high| truth <= high)
            };
            let [one, two] = [one, two].map(|all| quantile(&all, 0.9, care).expect("some"));
            missed[0] += u32::from(!holds(one, 90_000.0));
            missed[1] += u32::from(!holds(difference(one, two), 0.0));
        }
        // 5 % of 400 are 20, and three standard deviations 13
        assert!(missed.iter().all(|missed| *missed <= 33), "{missed:?}");
        assert!(5 <= missed[1], "so wide an interval says nothing: {missed:?}");
    }

    #[test]
    fn requests_that_share_their_luck_count_less() {
        let alone: Vec<(u64, u64)> = (0..400)
            .map(|step| (chance(step).take(50).filter(|value| value % 4 == 0).count() as u64, 50))
            .collect();
        assert!((1.0..1.3).contains(&design_effect(&alone)), "{}", design_effect(&alone));
        let together: Vec<(u64, u64)> =
            (0..400).map(|step| (chance(step).nth(3).map_or(0, |value| value % 4 / 3 * 50), 50)).collect();
        assert!((35.0..65.0).contains(&design_effect(&together)), "{}", design_effect(&together));
        // a slow change is no bad luck
        let slow: Vec<(u64, u64)> = (0..400).map(|step| (step / 8, 50)).collect();
        assert_eq!(design_effect(&slow), 1.0);
        assert_eq!(design_effect(&[(1, 2)]), 1.0);
        let wide = quantile(&histogram(chance(1).take(5000)), 0.5, Care { design_effect: 25.0, ..CARE });
        let tight = quantile(&histogram(chance(1).take(5000)), 0.5, CARE);
        let width = |found: Option<Interval>| {
            let found = found.expect("some");
            found.high.expect("a bound") - found.low.expect("a bound")
        };
        assert!((3.0..8.0).contains(&(width(wide) / width(tight))));
    }

    #[test]
    fn few_values_have_no_upper_bound() {
        let found = quantile(&histogram(0..100), 0.99, CARE).expect("some");
        assert_eq!((found.value, found.high), (98.0, None));
        assert_eq!(quantile(&histogram(0..0), 0.5, CARE), None);
    }
}
