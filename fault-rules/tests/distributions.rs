//! Delays come out as asked: percentiles, Kolmogorov-Smirnov, bounds, and no panic whatever the parameters.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::sync::Arc;
use std::time::Duration;

use fault_rules::delay::{Delay, Dist, Recorded, RouteLatency, Table};
use fault_rules::{Facts, Loader, parse};
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
fn pareto_is_pareto() {
    let check = |scale: u64, shape: f64| {
        let least = scale as f64 / 1e3;
        let at = |p: f64| least * (1.0 - p).powf(-1.0 / shape);
        check(Dist::Pareto { scale: ms(scale), shape }, at(0.5), at(0.99), |x| {
            if x < least { 0.0 } else { 1.0 - (least / x).powf(shape) }
        });
    };
    check(50, 1.5);
    check(10, 3.0);
    let bounded = Delay::new(Dist::Pareto { scale: ms(50), shape: 0.5 }).within(ms(60), ms(5_000));
    let draws = rolls().map(|roll| bounded.sample(roll)).collect::<Vec<_>>();
    assert!(draws.iter().all(|draw| (ms(60)..=ms(5_000)).contains(draw)));
    // A tenth of a Pareto of shape 1/2 is beyond a hundred times its scale.
    let at_the_end = draws.iter().filter(|draw| **draw == ms(5_000)).count() as f64 / DRAWS as f64;
    assert!((at_the_end - 0.1).abs() < 0.005, "{at_the_end}");
}

/// The distribution function of points joined by straight lines, flat before the first and behind the last.
fn piecewise(points: &[(f64, f64)]) -> impl Fn(f64) -> f64 {
    move |x| {
        let above = points.partition_point(|(_, at)| *at <= x);
        match (above.checked_sub(1).map(|below| points[below]), points.get(above)) {
            (Some((low_p, low)), Some((high_p, high))) => low_p + (high_p - low_p) * (x - low) / (high - low),
            (Some(_), None) => 1.0,
            (None, _) => 0.0,
        }
    }
}

#[test]
fn a_table_meets_its_points() {
    let points = [(0.0, 0.005), (0.5, 0.08), (0.9, 0.2), (0.99, 0.9), (1.0, 2.0)];
    let table =
        Table::new(&points.map(|(share, seconds)| (share, Duration::from_secs_f64(seconds)))).unwrap();
    check(Dist::Table(Arc::new(table)), 0.08, 0.9, piecewise(&points));
}

#[test]
fn recorded_latencies_come_again_by_route_and_times_a_factor() {
    // A long tail, as a service has it: 5,000 exchanges whose ln is normal, by their exact quantiles.
    let shape = Delay::new(Dist::LogNormal { p50: ms(40), p99: ms(600) });
    let n = 5_000;
    let times: Vec<_> = (0..n).map(|at| shape.quantile((f64::from(at) + 0.5) / f64::from(n))).collect();
    let route = |path: &str, times: &[Duration]| RouteLatency {
        method: "GET".to_owned(),
        path: path.to_owned(),
        durations: times.iter().map(|time| (*time, 1)).collect(),
    };
    let routes = [route("/api/cart/{id}", &times), route("/api/{id}/{id}", &[ms(7)])];
    let cart = Recorded::new("capture.zst", 1.0, &routes[..1]).unwrap();
    let sigma = (600.0_f64 / 40.0).ln() / 2.326_347_874_040_841;
    check(Dist::Recorded(Arc::new(cart)), 0.04, 0.6, |x| phi((x / 0.04).ln() / sigma));
    let doubled = Recorded::new("capture.zst", 2.0, &routes[..1]).unwrap();
    check(Dist::Recorded(Arc::new(doubled)), 0.08, 1.2, |x| phi((x / 0.08).ln() / sigma));
    let all = Recorded::new("capture.zst", 1.0, &routes).unwrap();
    assert_eq!(all.routes(), 2);
    assert!(Recorded::new("capture.zst", 1.0, &[]).is_none());
    assert!(Recorded::new("capture.zst", 1.0, &[route("/a", &[])]).is_none());
}

/// The delay of a rule is drawn from the route that the exchange is of, else from all together.
#[test]
fn each_route_has_latencies_of_its_own() {
    let route = |method: &str, path: &str, time: u64| RouteLatency {
        method: method.to_owned(),
        path: path.to_owned(),
        durations: vec![(ms(time), 9)],
    };
    let routes = || {
        vec![
            route("GET", "/api/{id}/{id}", 30),
            route("GET", "/api/cart/{id}", 10),
            route("POST", "/api/cart/{id}", 20),
            route("", "", 1_000),
        ]
    };
    let loader = Loader { latencies: &|_| Ok(routes()), ..Loader::NOTHING };
    let set = parse("[[rule]]\nid = \"r\"\ndelay = \"like c.zst\"\n", "f", &loader).unwrap();
    let time = |method: &str, path: &str, operation: &str| {
        let facts = Facts {
            edge: "",
            method,
            authority: "",
            path,
            query: "",
            header: &|_| None,
            operation,
            attempt: 1,
            session: "",
            connection: 1,
            client: "",
            upstream: "",
        };
        set.decide(7, &facts, Duration::ZERO).selected[0].delay.unwrap().time
    };
    assert_eq!(time("GET", "/api/cart/7", "o"), ms(10));
    assert_eq!(time("POST", "/api/cart/7", "o"), ms(20));
    assert_eq!(time("GET", "/api/5/7", "o"), ms(30), "the template with fewer names is asked first");
    let others: std::collections::BTreeSet<_> =
        (0..1_000).map(|n| time("GET", "/other", &n.to_string()).as_millis()).collect();
    assert!(others.contains(&10) && others.contains(&1_000), "of all routes: {others:?}");
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
    (any_duration(), any_duration(), 0..5).prop_map(|(a, b, kind)| match kind {
        0 => Dist::Fixed(a),
        1 => Dist::Uniform { low: a, high: b },
        2 => Dist::Normal { mean: a, sd: b },
        3 => Dist::Pareto { scale: a, shape: b.as_secs_f64() },
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
