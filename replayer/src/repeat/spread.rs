//! How far apart runs are.

use crate::figures::{self, FIGURES, Figure};
use crate::report::{Interval, Report, Spread};

/// By figure; those that no run has are left out.
pub(super) fn of(runs: &[Report]) -> Vec<Spread> {
    let all: Vec<_> = runs.iter().map(figures::of_run).collect();
    let spread = |figure: &Figure| {
        let values: Vec<f64> = all.iter().filter_map(|figures| figures.get(figure.name).copied()).collect();
        (!values.is_empty()).then(|| spread(figure.name, figure.unit, values))
    };
    FIGURES.iter().filter_map(spread).collect()
}

/// Of at least one value.
fn spread(figure: &str, unit: &str, mut values: Vec<f64>) -> Spread {
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Spread {
        figure: figure.to_owned(),
        unit: unit.to_owned(),
        runs: u32::try_from(values.len()).unwrap_or(u32::MAX),
        min: values[0],
        median: figures::median(&values),
        max: values[values.len() - 1],
        cv: (values.len() > 1 && mean != 0.0).then(|| variance.sqrt() / mean.abs()),
        interval: interval(&values),
    }
}

/// The narrowest interval between the k-th smallest and the k-th largest of sorted values that holds the median of what
/// they come from with [`CONFIDENCE`]. Each value lies below that median with a chance of one half, so how many do is
/// binomial, whatever the distribution (David and Nagaraja, Order Statistics, 7.1). Below six values there is none.
fn interval(sorted: &[f64]) -> Option<Interval> {
    let n = sorted.len();
    let mut found = None;
    let mut below = 0.0; // the chance that fewer than k of the values lie below the median
    let mut term = 0.5_f64.powi(i32::try_from(n).ok()?);
    for k in 1..=n / 2 {
        below += term;
        term *= (n - k + 1) as f64 / k as f64;
        let confidence = 1.0 - 2.0 * below;
        if confidence < CONFIDENCE {
            break;
        }
        found = Some(Interval { low: sorted[k - 1], high: sorted[n - k], confidence });
    }
    found
}

const CONFIDENCE: f64 = 0.95;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_tables() {
        // n, k and the confidence, as tables of the sign test have them.
        for (n, k, confidence) in [
            (6, 1, 0.9688),
            (8, 1, 0.9922),
            (9, 2, 0.9609),
            (10, 2, 0.9785),
            (20, 6, 0.9586),
            (100, 40, 0.9648),
        ] {
            let values: Vec<f64> = (1..=n).map(f64::from).collect();
            let found = interval(&values).expect("enough values");
            assert_eq!((found.low, found.high), (f64::from(k), f64::from(n - k + 1)), "{n}");
            assert!((found.confidence - confidence).abs() < 1e-3, "{n}: {found:?}");
        }
        assert_eq!(interval(&[1.0, 2.0, 3.0, 4.0, 5.0]), None);
        assert_eq!(interval(&[]), None);
    }

    #[test]
    fn a_spread_has_its_middle_and_its_variation() {
        let one = spread("errors", "share", vec![0.5]);
        assert_eq!((one.min, one.median, one.max, one.cv, one.interval), (0.5, 0.5, 0.5, None, None));
        let some = spread("response.p99", "us", vec![30.0, 10.0, 20.0, 40.0]);
        assert_eq!((some.runs, some.min, some.median, some.max), (4, 10.0, 25.0, 40.0));
        assert!(some.cv.is_some_and(|cv| (cv - 0.5164).abs() < 1e-3), "{some:?}");
        assert_eq!(spread("errors", "share", vec![0.0, 0.0]).cv, None);
    }
}
