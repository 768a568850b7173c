//! Statistics that the analysis rests on. Pure.
//!
//! - Ratio of risks over strata: Mantel and Haenszel 1959; its variance: Greenland and Robins, Biometrics 41 (1985).
//! - Ratio of two plain risks: Katz, Baptista, Azen and Pike, Biometrics 34 (1978), on the logarithm; from below, where no
//!   control was hit: the score test, Koopman, Biometrics 40 (1984).
//! - Slope: Theil 1950, with the interval of Sen, JASA 63 (1968); its sign is Kendall's test.

use crate::figures;

/// Hits and units of two groups that are alike but for what they were exposed to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Table {
    pub(crate) exposed_hits: u64,
    pub(crate) exposed: u64,
    pub(crate) control_hits: u64,
    pub(crate) control: u64,
}

/// A ratio of two risks, with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) ratio: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// A robust line: its slope a unit of x, with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slope {
    pub(crate) slope: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Kendall's rank correlation, -1 to 1.
    pub(crate) tau: f64,
}

impl Table {
    pub(crate) fn hits(&self) -> u64 {
        self.exposed_hits + self.control_hits
    }

    pub(crate) fn units(&self) -> u64 {
        self.exposed + self.control
    }

    /// Whether both groups are there.
    pub(crate) fn compares(&self) -> bool {
        0 < self.exposed && 0 < self.control
    }

    pub(crate) fn add(&mut self, is_exposed: bool, is_hit: bool) {
        let (units, hits) = match is_exposed {
            true => (&mut self.exposed, &mut self.exposed_hits),
            false => (&mut self.control, &mut self.control_hits),
        };
        *units += 1;
        *hits += u64::from(is_hit);
    }

    pub(crate) fn plus(&self, other: &Table) -> Table {
        Table {
            exposed_hits: self.exposed_hits + other.exposed_hits,
            exposed: self.exposed + other.exposed,
            control_hits: self.control_hits + other.control_hits,
            control: self.control + other.control,
        }
    }

    /// Hits that the exposed would have had by chance.
    pub(crate) fn expected(&self) -> f64 {
        match self.units() {
            0 => 0.0,
            units => self.hits() as f64 * self.exposed as f64 / units as f64,
        }
    }

    /// The variance of that.
    fn variance(&self) -> f64 {
        let (hits, units) = (self.hits() as f64, self.units() as f64);
        let apart = (self.exposed as f64) * (self.control as f64) * hits * (units - hits);
        if units < 2.0 { 0.0 } else { apart / (units * units * (units - 1.0)) }
    }

    pub(crate) fn exposed_risk(&self) -> f64 {
        share(self.exposed_hits, self.exposed)
    }

    pub(crate) fn control_risk(&self) -> f64 {
        share(self.control_hits, self.control)
    }
}

/// How much likelier the exposed are hit, over strata of like units: each exposed unit is compared with the controls of its
/// own stratum alone.
pub(crate) fn pooled_ratio(strata: &[Table]) -> Ratio {
    let telling = strata.iter().filter(|table| table.compares());
    let (mut sum, mut over, mut under, mut spread) = (Table::default(), 0.0, 0.0, 0.0);
    for table in telling {
        sum = sum.plus(table);
        let units = table.units() as f64;
        let (exposed, control) = (table.exposed as f64, table.control as f64);
        over += table.exposed_hits as f64 * control / units;
        under += table.control_hits as f64 * exposed / units;
        let both = table.exposed_hits as f64 * table.control_hits as f64;
        spread += (table.hits() as f64 * exposed * control - both * units) / (units * units);
    }
    if over <= 0.0 || under <= 0.0 {
        return plain_ratio(&sum);
    }
    around(over / under, (spread / (over * under)).max(0.0).sqrt())
}

/// The ratio of two risks; half a hit is added to both groups where one of them has none.
pub(crate) fn plain_ratio(table: &Table) -> Ratio {
    let half = if table.exposed_hits == 0 || table.control_hits == 0 { 0.5 } else { 0.0 };
    let (a, n) = (table.exposed_hits as f64 + half, table.exposed as f64 + 2.0 * half);
    let (c, m) = (table.control_hits as f64 + half, table.control as f64 + 2.0 * half);
    if n <= 0.0 || m <= 0.0 {
        return Ratio { ratio: 1.0, low: 0.0, high: f64::MAX };
    }
    let variance = (1.0 / a - 1.0 / n + 1.0 / c - 1.0 / m).max(0.0);
    let mut ratio = around(a / n / (c / m), variance.sqrt());
    if table.control_hits == 0 && 0 < table.exposed_hits {
        // half a hit is worth little on the logarithm: 23 of 23 against 0 of 17 would be no difference
        ratio.low = ratio.low.max(score_low(table, ratio.ratio));
    }
    ratio
}

/// The least ratio of risks, at most `high`, that the score test does not refuse.
fn score_low(table: &Table, high: f64) -> f64 {
    let (mut refused, mut kept) = (high * 1e-6, high);
    for _ in 0..60 {
        let middle = (refused * kept).sqrt();
        match Z99 * Z99 < score(table, middle) {
            true => refused = middle,
            false => kept = middle,
        }
    }
    kept
}

/// Pearson's chi-square of both groups against the likeliest risks of which one is `ratio` times the other.
fn score(table: &Table, ratio: f64) -> f64 {
    let (x, m) = (table.exposed_hits as f64, table.exposed as f64);
    let (y, n) = (table.control_hits as f64, table.control as f64);
    let linear = ratio * (m + y) + x + n;
    let root = (linear * linear - 4.0 * ratio * (m + n) * (x + y)).max(0.0).sqrt();
    let exposed = (linear - root) / (2.0 * (m + n));
    let part = |hits: f64, units: f64, risk: f64| {
        let variance = units * risk * (1.0 - risk);
        if variance <= 1e-12 { 0.0 } else { (hits - units * risk).powi(2) / variance }
    };
    part(x, m, exposed) + part(y, n, exposed / ratio)
}

/// The ratio of risks of two groups of moments, whose hits come in clusters: what counts is how the risk differs from
/// moment to moment. Each is (hits, units).
pub(crate) fn clustered_ratio(exposed: &[(u64, u64)], control: &[(u64, u64)]) -> Ratio {
    let side = |moments: &[(u64, u64)]| {
        let (hits, units) = moments.iter().fold((0, 0), |(hits, units), (x, n)| (hits + *x, units + *n));
        let risk = if hits == 0 { 0.5 / (units as f64 + 1.0) } else { hits as f64 / units.max(1) as f64 };
        let count = moments.len() as f64;
        let squares: f64 = moments.iter().map(|(x, n)| (*x as f64 - risk * *n as f64).powi(2)).sum();
        let variance = match hits {
            0 => 2.0,
            _ => squares * count / (count - 1.0).max(1.0) / (hits as f64).powi(2),
        };
        (risk, variance.max(1.0 / (hits as f64).max(0.5)))
    };
    let ((exposed_risk, one), (control_risk, other)) = (side(exposed), side(control));
    around(exposed_risk / control_risk, (one + other).sqrt())
}

fn around(ratio: f64, error: f64) -> Ratio {
    let width = (Z99 * error).exp();
    Ratio { ratio, low: ratio / width, high: ratio * width }
}

/// The chance that the exposed have as many hits as they have, or more, if within each stratum the hits fell on whomever:
/// exactly, where there are few enough hits, else by the normal distribution (from above).
pub(crate) fn chance_of(strata: &[Table]) -> f64 {
    let telling = || strata.iter().filter(|table| table.compares() && 0 < table.hits());
    let found: u64 = telling().map(|table| table.exposed_hits).sum();
    let all: u64 = telling().map(Table::hits).sum();
    if all <= EXACT_HITS {
        let counts = telling().fold(vec![1.0], |counts, table| convolved(&counts, &draws(table)));
        return counts.iter().skip(found as usize).sum::<f64>().min(1.0);
    }
    let expected: f64 = telling().map(Table::expected).sum();
    let variance: f64 = telling().map(Table::variance).sum();
    let z = (found as f64 - expected - 0.5) / variance.sqrt().max(1e-9);
    normal_tail(z)
}

/// How likely it is that 0, 1, 2 … of a stratum's hits fall on the exposed.
fn draws(table: &Table) -> Vec<f64> {
    let (part, hits, units) = (table.exposed, table.hits(), table.units());
    let ln_choose = |n: u64, k: u64| ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    let all = ln_choose(units, hits);
    let least = (part + hits).saturating_sub(units);
    let chance = |inside: u64| match inside < least {
        true => 0.0,
        false => (ln_choose(part, inside) + ln_choose(units - part, hits - inside) - all).exp(),
    };
    (0..=part.min(hits)).map(chance).collect()
}

fn convolved(one: &[f64], other: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; one.len() + other.len() - 1];
    for (i, a) in one.iter().enumerate() {
        for (j, b) in other.iter().enumerate() {
            sum[i + j] += a * b;
        }
    }
    sum
}

/// An upper bound of the chance to be `z` standard deviations above the mean (Mills' ratio).
pub(crate) fn normal_tail(z: f64) -> f64 {
    if z <= 1.0 { 1.0 } else { (-z * z / 2.0).exp() / (z * std::f64::consts::TAU.sqrt()) }
}

/// The chance that `count` or more of `hits` fall on `part`, if all of the `units` are as likely to be hit.
pub(crate) fn hypergeometric_tail(count: u64, (part, hits, units): (u64, u64, u64)) -> f64 {
    let others = units.saturating_sub(part);
    let table = Table { exposed_hits: hits, exposed: part, control_hits: 0, control: others };
    draws(&table).iter().skip(count as usize).sum::<f64>().min(1.0)
}

fn ln_factorial(n: u64) -> f64 {
    if n < 32 {
        return (2..=n).map(|k| (k as f64).ln()).sum();
    }
    let n = n as f64;
    // Stirling's series; its next term is below 1e-10 here
    n * n.ln() - n + 0.5 * (std::f64::consts::TAU * n).ln() + 1.0 / (12.0 * n) - 1.0 / (360.0 * n.powi(3))
}

/// The slopes between any two points of which one is later than the other.
pub(crate) fn slopes(points: &[(f64, f64)]) -> Vec<f64> {
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (place, (x, y)) in points.iter().enumerate() {
        let later = points[place + 1..].iter().filter(|(later_x, _)| later_x > x);
        slopes.extend(later.map(|(later_x, later_y)| (later_y - y) / (later_x - x)));
    }
    slopes
}

/// The slope of y over x; `None`: fewer than eight points.
pub(crate) fn slope(points: &[(f64, f64)]) -> Option<Slope> {
    if points.len() < 8 {
        return None;
    }
    let mut slopes = slopes(points);
    let concordance: i64 = slopes.iter().map(|slope| i64::from(*slope > 0.0) - i64::from(*slope < 0.0)).sum();
    slopes.sort_by(f64::total_cmp);
    let (n, pairs) = (points.len() as f64, slopes.len());
    let reach = Z99 * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    let at = |rank: f64| slopes[(rank.max(0.0) as usize).min(pairs - 1)];
    let low = at((pairs as f64 - reach) / 2.0);
    let high = at((pairs as f64 + reach) / 2.0);
    Some(Slope { slope: median_of(&slopes), low, high, tau: concordance as f64 / pairs as f64 })
}

/// Kendall's rank correlation, -1 to 1.
pub(crate) fn kendall(pairs: &[(f64, f64)]) -> f64 {
    let mut balance = 0.0;
    let mut count = 0.0;
    for (place, (x, y)) in pairs.iter().enumerate() {
        for (other_x, other_y) in &pairs[place + 1..] {
            let (dx, dy) = (other_x - x, other_y - y);
            balance += if dx * dy > 0.0 {
                1.0
            } else if dx * dy < 0.0 {
                -1.0
            } else {
                0.0
            };
            count += 1.0;
        }
    }
    if count > 0.0 { balance / count } else { 0.0 }
}

/// Spearman's rank correlation with the lower end of its interval, which takes neighbours in time to be half alike.
pub(crate) fn spearman(pairs: &[(f64, f64)]) -> (f64, f64) {
    let x = ranks(pairs.iter().map(|pair| pair.0));
    let y = ranks(pairs.iter().map(|pair| pair.1));
    let n = pairs.len() as f64;
    let mean = (n - 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let scale = (product(&x, &x) * product(&y, &y)).sqrt();
    if scale <= 0.0 || n < 8.0 {
        return (0.0, -1.0);
    }
    let rho = (product(&x, &y) / scale).clamp(-0.999_999, 0.999_999);
    (rho, (rho.atanh() - Z99 / (n / 2.0 - 1.06).max(1.0).sqrt()).tanh())
}

fn ranks(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let values: Vec<f64> = values.collect();
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    for tied in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let first = order.iter().position(|place| *place == tied[0]).unwrap_or(0) as f64;
        tied.iter().for_each(|place| ranks[*place] = first + (tied.len() as f64 - 1.0) / 2.0);
    }
    ranks
}

/// The median of sorted values; 0 of none.
pub(crate) fn median_of(sorted: &[f64]) -> f64 {
    if sorted.is_empty() { 0.0 } else { figures::median(sorted) }
}

/// The median of values in any order; 0 of none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    median_of(&values)
}

/// A quantile of sorted values; 0 of none.
pub(crate) fn quantile_of(sorted: &[f64], q: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get(((last as f64) * q).round() as usize).copied().unwrap_or(0.0)
}

pub(crate) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Hits up to which chances are exact; their sum takes the square of it.
const EXACT_HITS: u64 = 500;
/// Confidence of every interval.
pub(crate) const CONFIDENCE: f64 = 0.99;
/// Its quantile of the normal distribution.
const Z99: f64 = 2.575_829_3;

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-3 * b.abs().max(1e-9), "{a} is not {b}");
    }

    #[test]
    fn where_no_control_was_hit_the_score_test_says_how_small_a_ratio_may_be() {
        let low = |exposed_hits, exposed, control| {
            plain_ratio(&Table { exposed_hits, exposed, control_hits: 0, control }).low
        };
        // all were hit: by hand, control / (ratio - 1) is the chi-square of the controls, 6.635 its bound
        close(low(23, 23, 17), 1.0 + 17.0 / (Z99 * Z99));
        assert!(low(3, 23, 17) < 1.0, "three more may be chance");
        assert!(low(12, 23, 17) > 1.0 && low(12, 23, 17) < low(23, 23, 17));
        for (hits, units, others) in [(5, 90, 80), (9, 90, 80), (12, 23, 17)] {
            let table = Table { exposed_hits: hits, exposed: units, control_hits: 0, control: others };
            close(score(&table, plain_ratio(&table).low.max(1e-6)), Z99 * Z99);
        }
    }

    #[test]
    fn a_ratio_has_its_interval() {
        let table = Table { exposed_hits: 119, exposed: 11_037, control_hits: 98, control: 11_034 };
        let ratio = plain_ratio(&table);
        close(ratio.ratio, 1.213_97);
        close(ratio.low, 0.855_758);
        close(ratio.high, 1.722_084);
        // one stratum is the plain ratio; two equal ones have the same ratio, and know more
        let [one, two] = [pooled_ratio(&[table]), pooled_ratio(&[table, table])];
        close(one.ratio, ratio.ratio);
        close(one.low, ratio.low);
        close(two.ratio, ratio.ratio);
        assert!(ratio.low < two.low && two.high < ratio.high);
    }

    #[test]
    fn strata_undo_what_is_mixed_up() {
        // step one fails at 1 % and is rarely exposed, step two at 50 % and often: the exposure does nothing
        let strata = [
            Table { exposed_hits: 1, exposed: 100, control_hits: 99, control: 9900 },
            Table { exposed_hits: 4950, exposed: 9900, control_hits: 50, control: 100 },
        ];
        let plain = plain_ratio(&strata[0].plus(&strata[1]));
        assert!(plain.low > 10.0, "{plain:?}");
        let pooled = pooled_ratio(&strata);
        assert!(pooled.low < 1.0 && 1.0 < pooled.high, "{pooled:?}");
    }

    #[test]
    fn nobody_hit_among_the_controls_is_no_infinity() {
        let ratio = pooled_ratio(&[Table { exposed_hits: 20, exposed: 40, control_hits: 0, control: 400 }]);
        assert!(ratio.low > 10.0 && ratio.high.is_finite(), "{ratio:?}");
        let nothing = pooled_ratio(&[]);
        assert!(nothing.low < 1.0);
    }

    #[test]
    fn the_chance_over_strata_is_exact() {
        let table = |a, n, c, m| Table { exposed_hits: a, exposed: n, control_hits: c, control: m };
        // one stratum: the tea of Fisher's lady; two: the sum of two such cups
        close(chance_of(&[table(4, 4, 0, 4)]), 1.0 / 70.0);
        close(chance_of(&[table(4, 4, 0, 4), table(4, 4, 0, 4)]), 1.0 / 4900.0);
        close(chance_of(&[table(3, 4, 1, 4), table(4, 4, 0, 4)]), (1.0 + 16.0 + 16.0) / 4900.0);
        close(chance_of(&[]), 1.0);
        assert_eq!(chance_of(&[table(2, 2, 0, 0)]), 1.0, "nobody to compare with");
        // many hits: the normal distribution agrees with what is exact for few
        let many: Vec<Table> = (0..300).map(|_| table(9, 10, 0, 10)).collect();
        assert!(chance_of(&many) < 1e-100);
        let even: Vec<Table> = (0..300).map(|_| table(5, 10, 5, 10)).collect();
        assert_eq!(chance_of(&even), 1.0);
    }

    #[test]
    fn tails_of_draws_without_return() {
        close(hypergeometric_tail(4, (5, 4, 10)), 5.0 / 210.0);
        close(hypergeometric_tail(0, (5, 4, 10)), 1.0);
        close(hypergeometric_tail(3, (5, 4, 10)), (5.0 + 10.0 * 5.0) / 210.0);
        assert!(hypergeometric_tail(44, (44, 44, 74)) < 1e-19);
        close(hypergeometric_tail(4, (8, 6, 10)), 1.0); // there is no room outside for more than two
    }

    #[test]
    fn bursts_widen_the_interval() {
        let even: Vec<(u64, u64)> = vec![(10, 100); 10];
        let bursts: Vec<(u64, u64)> = (0..10).map(|n| if n == 0 { (100, 100) } else { (0, 100) }).collect();
        let control = vec![(2, 100); 10];
        let (even, bursts) = (clustered_ratio(&even, &control), clustered_ratio(&bursts, &control));
        close(even.ratio, bursts.ratio);
        assert!(even.low > 1.5 && bursts.low < 1.0, "{even:?} {bursts:?}");
    }

    #[test]
    fn a_slope_bears_outliers_and_tells_noise() {
        let line: Vec<_> =
            (0..40).map(|n| (f64::from(n), if n % 10 == 3 { 1e6 } else { 2.0 * f64::from(n) })).collect();
        let found = slope(&line).expect("enough points");
        assert!(found.low <= 2.0 && 2.0 <= found.high && found.low > 1.0, "{found:?}");
        let noise: Vec<_> = (0..40).map(|n| (f64::from(n), f64::from(n * 7919 % 41))).collect();
        let found = slope(&noise).expect("enough points");
        assert!(found.low < 0.0 && 0.0 < found.high, "{found:?}");
        assert_eq!(slope(&line[..7]), None);
    }

    #[test]
    fn ranks_correlate() {
        let up: Vec<_> = (0..30).map(|n| (f64::from(n), f64::from(n * n))).collect();
        assert!(spearman(&up).1 > 0.9 && (kendall(&up) - 1.0).abs() < 1e-9);
        let flat: Vec<_> = (0..30).map(|n| (f64::from(n), 1.0)).collect();
        assert_eq!(spearman(&flat), (0.0, -1.0));
    }
}
