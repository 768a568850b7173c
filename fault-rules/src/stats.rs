//! Bounds for what was counted: how large or small the true share, rate or percentile may be.
//!
//! All bounds are one-sided: the truth lies beyond one with a probability of at most `alpha`. Shares and percentiles are exact
//! (binomial: Clopper and Pearson 1934; order statistics), since the approximations fail just where a guard lives: at a handful
//! of errors and a small `alpha` Wilson's lower bound is passed by chance tens of times more often than it says. With a
//! thousand hits and a thousand misses both agree, and the faster is taken. Counts in time are Poisson, by Wilson and
//! Hilferty's cube root, which errs on the careful side. Counts may be fractions: of samples that count for less than one.

use crate::normal;

/// A figure and its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// What was measured.
    pub value: f64,
    /// The truth may be as small as this.
    pub low: f64,
    /// Or as large as this.
    pub high: f64,
}

/// The share behind `hits` of `total`.
#[must_use]
pub fn share(hits: f64, total: f64, alpha: f64) -> Estimate {
    if total <= 0.0 {
        return Estimate { value: 0.0, low: 0.0, high: 1.0 };
    }
    let hits = hits.clamp(0.0, total);
    let misses = total - hits;
    let (low, high) = if MANY < hits.min(misses) {
        wilson(hits, total, alpha)
    } else {
        (share_above(hits, misses, alpha), 1.0 - share_above(misses, hits, alpha))
    };
    Estimate { value: hits / total, low, high }
}

/// The mean behind a Poisson count.
#[must_use]
pub fn count(hits: f64, alpha: f64) -> Estimate {
    let third = z(alpha) / 3.0;
    let cube = |n: f64, sign: f64| {
        let root = 1.0 - 1.0 / (9.0 * n) + sign * third / n.sqrt();
        n * root.max(0.0).powi(3)
    };
    let low = if hits <= 0.0 { 0.0 } else { cube(hits, -1.0) };
    Estimate { value: hits, low, high: cube(hits.max(0.0) + 1.0, 1.0) }
}

/// The shares of an ordered sample of `total` between which the quantile `q` lies: how much of the sample may lie below it.
/// `high` beyond 1 says that so few samples bound it from above by nothing.
#[must_use]
pub fn quantile_place(q: f64, total: f64, alpha: f64) -> Estimate {
    // P(at most k of n lie below the quantile) = 1 - I_q(k + 1, n - k), as a function of k that never falls.
    let at_most = |k: f64| if k < 0.0 { 0.0 } else { beta(1.0 - q, total - k, k + 1.0) };
    let low = bisect(-1.0, total, |k| at_most(k) <= alpha).0.max(0.0);
    let high = bisect(-1.0, total, |k| at_most(k) < 1.0 - alpha).1 + 1.0;
    let is_bounded = q.powf(total) <= alpha;
    Estimate { value: q, low: low / total, high: if is_bounded { high / total } else { f64::INFINITY } }
}

/// Both bounds of a share at once, so that the truth lies between them with probability `confidence`.
#[must_use]
pub fn interval(hits: u64, total: u64, confidence: f64) -> (f64, f64) {
    let bounds = share(hits as f64, total as f64, (1.0 - confidence) / 2.0);
    (bounds.low, bounds.high)
}

/// How many standard deviations leave `alpha` beyond them, on one side.
#[must_use]
pub fn z(alpha: f64) -> f64 {
    -normal::quantile(alpha)
}

/// The same where the deviation itself was estimated from `freedom` + 1 numbers (Student's quantile, by the first terms of
/// Cornish and Fisher's series).
#[must_use]
pub(crate) fn student(alpha: f64, freedom: f64) -> f64 {
    let z = z(alpha);
    let (cube, fifth) = (z.powi(3), z.powi(5));
    z + (cube + z) / (4.0 * freedom) + (5.0 * fifth + 16.0 * cube + 3.0 * z) / (96.0 * freedom * freedom)
}

fn wilson(hits: f64, total: f64, alpha: f64) -> (f64, f64) {
    let (share, z) = (hits / total, z(alpha));
    let squared = z * z / total;
    let centre = share + squared / 2.0;
    let half = z * (share * (1.0 - share) / total + squared / (4.0 * total)).sqrt();
    ((centre - half) / (1.0 + squared), (centre + half) / (1.0 + squared))
}

/// The least share at which `hits` or more are no less likely than `alpha`.
fn share_above(hits: f64, misses: f64, alpha: f64) -> f64 {
    if hits <= 0.0 {
        return 0.0;
    }
    bisect(0.0, 1.0, |p| beta(p, hits, misses + 1.0) <= alpha).0
}

/// Where a condition that holds from `low` on ceases to hold, between the two: the last place found where it did, the first where
/// it did not.
fn bisect(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> (f64, f64) {
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        if holds(middle) { low = middle } else { high = middle }
    }
    (low, high)
}

/// The regularised incomplete beta function, by its continued fraction (Lentz's way, as modified by Thompson and Barnett).
fn beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || b.is_infinite() {
        return 0.0;
    }
    if 1.0 <= x || b <= 0.0 {
        return 1.0;
    }
    // On the other side of the mean the fraction would converge slowly.
    if (a + 1.0) / (a + b + 2.0) < x {
        return 1.0 - beta(1.0 - x, b, a);
    }
    let front = a * x.ln() + b * (1.0 - x).ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) - a.ln();
    let nonzero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut above, mut below) = (1.0, 1.0 / nonzero(1.0 - (a + b) * x / (a + 1.0)));
    let mut product = below;
    for n in 1..TERMS {
        let m = f64::from(n);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut step = 1.0;
        for term in [even, odd] {
            below = 1.0 / nonzero(1.0 + term * below);
            above = nonzero(1.0 + term / above);
            step = below * above;
            product *= step;
        }
        if (step - 1.0).abs() < PRECISION {
            break;
        }
    }
    (front.exp() * product).clamp(0.0, 1.0)
}

/// The logarithm of the gamma function of a number above 0: Stirling's series from 10 on, the recurrence below.
fn ln_gamma(x: f64) -> f64 {
    if x < 10.0 {
        return ln_gamma(x + 1.0) - x.ln();
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0)));
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series
}

/// Hits and misses from which on an approximation is as good as the exact bound.
const MANY: f64 = 1_000.0;
/// Halvings: to 2^-40 of the range, a trillionth.
const STEPS: u32 = 40;
const TERMS: u32 = 10_000;
const PRECISION: f64 = 1e-12;
const TINY: f64 = 1e-300;

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64, within: f64) {
        assert!((left - right).abs() <= within * right.abs().max(1e-12), "{left} is not {right}");
    }

    #[test]
    fn shares_are_those_of_the_tables() {
        // Two-sided 95 %: 1 of 10 and 8 of 100, as in any table of Clopper and Pearson.
        let (low, high) = interval(1, 10, 0.95);
        close(low, 0.002_528_6, 1e-4);
        close(high, 0.445_016, 1e-4);
        let (low, high) = interval(8, 100, 0.95);
        close(low, 0.035_170, 1e-3);
        close(high, 0.151_558, 1e-3);
        // None of n: 1 - alpha^(1/n).
        close(share(0.0, 50.0, 0.05).high, 1.0 - 0.05_f64.powf(0.02), 1e-9);
        assert_eq!(share(0.0, 50.0, 0.05).low, 0.0);
        close(share(50.0, 50.0, 0.05).low, 0.05_f64.powf(0.02), 1e-9);
        assert_eq!(share(0.0, 0.0, 0.05), Estimate { value: 0.0, low: 0.0, high: 1.0 });
    }

    #[test]
    fn the_tails_are_as_thin_as_asked() {
        // Exact by the binomial sum: P(X >= 5) of 200 at the lower bound is alpha.
        let low = share(5.0, 200.0, 1e-7).low;
        let mut term = (1.0 - low).powi(200);
        let mut below = 0.0;
        for k in 0..5 {
            below += term;
            term *= f64::from(200 - k) / f64::from(k + 1) * low / (1.0 - low);
        }
        let mut beyond = 0.0;
        for k in 5..60 {
            beyond += term;
            term *= f64::from(200 - k) / f64::from(k + 1) * low / (1.0 - low);
        }
        close(beyond, 1e-7, 1e-6);
        close(below + beyond, 1.0, 1e-12);
    }

    #[test]
    fn exact_and_approximate_bounds_meet() {
        let exact = (share_above(1_000.0, 99_000.0, 1e-4), 1.0 - share_above(99_000.0, 1_000.0, 1e-4));
        let quick = wilson(1_000.0, 100_000.0, 1e-4);
        close(exact.0, quick.0, 5e-3);
        close(exact.1, quick.1, 5e-3);
    }

    #[test]
    fn counts_are_careful() {
        // Exact: P(X >= k | low) = alpha, summed.
        for (hits, alpha) in [(1, 1e-3), (3, 1e-4), (20, 1e-5), (400, 1e-3)] {
            let bounds = count(f64::from(hits), alpha);
            let tail = |mean: f64, from: i32, to: i32| -> f64 {
                (from..to)
                    .map(|k| (f64::from(k) * mean.ln() - mean - ln_gamma(f64::from(k) + 1.0)).exp())
                    .sum()
            };
            assert!(bounds.low == 0.0 || tail(bounds.low, hits, hits + 500) <= alpha * 1.1, "{hits}");
            assert!(tail(bounds.high, 0, hits + 1) <= alpha * 1.1, "{hits}");
        }
        assert_eq!(count(0.0, 0.05).low, 0.0);
        close(count(0.0, 0.05).high, 3.0, 0.05);
    }

    #[test]
    fn places_of_a_quantile() {
        // Of 100 samples the median lies between the 40th and the 61st with 95 % (two-sided): both in every table.
        let place = quantile_place(0.5, 100.0, 0.025);
        assert!((0.385..=0.405).contains(&place.low), "{place:?}");
        assert!((0.595..=0.615).contains(&place.high), "{place:?}");
        assert_eq!(quantile_place(0.99, 100.0, 0.05).high, f64::INFINITY, "0.99^100 is 0.37");
        assert!(quantile_place(0.99, 1_000.0, 0.001).high <= 1.0);
        assert!(quantile_place(0.99, 1_000.0, 0.001).low < 0.985);
    }

    #[test]
    fn a_deviation_that_was_estimated_asks_for_more() {
        close(student(0.025, 30.0), 2.042, 1e-3);
        close(student(0.001, 15.0), 3.733, 1e-2);
        close(z(0.025), 1.959_964, 1e-5);
    }
}
