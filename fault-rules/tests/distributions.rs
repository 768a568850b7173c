//! Delays come out as asked: percentiles, Kolmogorov-Smirnov, bounds, and no panic whatever the parameters.

use std::time::Duration;

use fault_rules::delay::{Delay, Dist};
use proptest::prelude::*;

const DRAWS: u64 = 100_000;

/// Rolls as independent as selection makes them.
fn rolls() -> impl Iterator<Item = u64> {
    (0..DRAWS).map(|n| xxhash_rust::xxh3::xxh3_64_with_seed(&n.to_le_bytes(), 0x5eed_2026))
}

fn sorted(delay: Delay) -> Vec<f64> {
    let mut draws: Vec<_> = rolls().map(|roll| delay.sample(roll).as_secs_f64()).collect();
    draws.sort_by(f64::total_cmp);
    draws
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The distribution function of the standard normal, by the series of its integral and, far out, a continued fraction.
fn phi(x: f64) -> f64 {
    if x.abs() < 5.0 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= x * x / f64::from(2 * n + 1);
            sum += term;
        }
        return 0.5 + sum * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    }
    if x < 0.0 { 0.0 } else { 1.0 }
}

/// The asymptotic p value of the Kolmogorov-Smirnov distance.
fn ks_p(draws: &[f64], cdf: impl Fn(f64) -> f64) -> f64 {
    let n = draws.len() as f64;
    let distance = draws.iter().enumerate().fold(0.0_f64, |worst, (i, x)| {
        let here = cdf(*x);
        worst.max((here - i as f64 / n).abs()).max((here - (i + 1) as f64 / n).abs())
    });
    let t = distance * n.sqrt();
    2.0 * (1..100)
        .map(f64::from)
        .map(|k| (-1.0_f64).powf(k - 1.0) * (-2.0 * k * k * t * t).exp())
        .sum::<f64>()
}

#[track_caller]
fn check(dist: Dist, p50: f64, p99: f64, cdf: impl Fn(f64) -> f64) {
    let draws = sorted(Delay::new(dist.clone()));
    let at = |p: f64| draws[(p * DRAWS as f64) as usize];
    assert!((at(0.5) / p50 - 1.0).abs() < 0.02, "{dist:?}: p50 {}", at(0.5));
    assert!((at(0.99) / p99 - 1.0).abs() < 0.05, "{dist:?}: p99 {}", at(0.99));
    let p = ks_p(&draws, cdf);
    assert!(0.001 < p, "{dist:?}: KS p {p}");
}

#[test]
fn uniform_is_uniform() {
    check(Dist::Uniform { low: ms(50), high: ms(200) }, 0.125, 0.1985, |x| {
        ((x - 0.05) / 0.15).clamp(0.0, 1.0)
    });
}

#[test]
fn normal_is_normal() {
    let z99 = 2.326_347_874_040_841;
    check(Dist::Normal { mean: ms(200), sd: ms(50) }, 0.2, 0.2 + 0.05 * z99, |x| phi((x - 0.2) / 0.05));
}

#[test]
fn lognormal_meets_its_percentiles() {
    let check = |p50: u64, p99: u64| {
        let (median, tail) = (p50 as f64 / 1e3, p99 as f64 / 1e3);
        let sigma = (tail / median).ln() / 2.326_347_874_040_841;
        check(Dist::LogNormal { p50: ms(p50), p99: ms(p99) }, median, tail, |x| {
            phi((x / median).ln() / sigma)
        });
    };
    check(80, 900);
    check(200, 2_000);
    check(100, 110);
}

#[test]
fn a_wrong_distribution_fails_the_test_itself() {
    let draws = sorted(Delay::new(Dist::Normal { mean: ms(200), sd: ms(50) }));
    assert!(ks_p(&draws, |x| phi((x - 0.201) / 0.05)) < 0.001);
}

#[test]
fn fixed_is_fixed_and_bounds_hold() {
    assert!(rolls().all(|roll| Delay::new(Dist::Fixed(ms(200))).sample(roll) == ms(200)));
    let cut = Delay::new(Dist::Normal { mean: ms(10), sd: ms(50) }).within(ms(5), ms(20));
    assert!(rolls().all(|roll| (ms(5)..=ms(20)).contains(&cut.sample(roll))));
    let wide = Delay::new(Dist::Normal { mean: ms(10), sd: ms(50) });
    let zeros = rolls().filter(|roll| wide.sample(*roll).is_zero()).count() as f64 / DRAWS as f64;
    assert!((zeros - phi(-0.2)).abs() < 0.01, "what would be negative is zero: {zeros}");
}

fn any_duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::MAX),
        (0..100_000_000_000_u64).prop_map(Duration::from_nanos),
        any::<u64>().prop_map(Duration::from_secs),
    ]
}

fn any_dist() -> impl Strategy<Value = Dist> {
    (any_duration(), any_duration(), 0..4).prop_map(|(a, b, kind)| match kind {
        0 => Dist::Fixed(a),
        1 => Dist::Uniform { low: a, high: b },
        2 => Dist::Normal { mean: a, sd: b },
        _ => Dist::LogNormal { p50: a, p99: b },
    })
}

proptest! {
    #[test]
    fn any_parameters_give_a_delay_within_bounds(
        dist in any_dist(), min in any_duration(), max in any_duration(), roll: u64, p: f64,
    ) {
        let day = Duration::from_hours(24);
        prop_assert!(Delay::new(dist.clone()).sample(roll) <= day);
        prop_assert!(Delay::new(dist.clone()).quantile(p) <= day);
        let bounded = Delay::new(dist.clone()).within(min, max).sample(roll);
        prop_assert!(bounded <= day);
        prop_assert!(min.min(max).min(day) <= bounded && bounded <= max);
    }

    #[test]
    fn a_higher_roll_is_never_a_shorter_delay(dist in any_dist(), a: u64, b: u64) {
        let sane = match dist {
            Dist::Uniform { low, high } => low <= high,
            Dist::LogNormal { p50, p99 } => p50 <= p99 && !p50.is_zero(),
            _ => true,
        };
        let delay = Delay::new(dist.clone());
        prop_assert!(!sane || delay.sample(a.min(b)) <= delay.sample(a.max(b)));
    }
}
