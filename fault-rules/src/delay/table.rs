//! Distributions as they were measured: a quantile function by points.

use std::time::Duration;

/// An empirical distribution: points of its quantile function, at least one, both columns never falling.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// (share of draws that are not longer, seconds).
    points: Vec<(f64, f64)>,
}

impl Table {
    /// A table of points (share 0 to 1, delay); `None` unless there is one and both columns never fall.
    #[must_use]
    pub fn new(points: &[(f64, Duration)]) -> Option<Self> {
        let in_order = points.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1);
        let shares = points.iter().all(|(share, _)| (0.0..=1.0).contains(share));
        let points = points.iter().map(|(share, delay)| (*share, delay.as_secs_f64())).collect::<Vec<_>>();
        (in_order && shares && !points.is_empty()).then_some(Self { points })
    }

    /// The points, in seconds.
    #[must_use]
    pub fn points(&self) -> &[(f64, f64)] {
        &self.points
    }

    pub(super) fn quantile(&self, p: f64) -> f64 {
        let above = self.points.partition_point(|(share, _)| *share < p);
        match (above.checked_sub(1).and_then(|at| self.points.get(at)), self.points.get(above)) {
            (Some((low_p, low)), Some((high_p, high))) => {
                let width = high_p - low_p;
                if width <= 0.0 { *high } else { low + (high - low) * (p - low_p) / width }
            }
            (Some((_, only)), None) | (None, Some((_, only))) => *only,
            (None, None) => 0.0,
        }
    }
}
