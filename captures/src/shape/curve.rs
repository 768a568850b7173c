//! When things happened: counts over time, in bounded memory.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::limits::MAX_CURVE_BINS;

/// Moments, counted in bins that become wider when there are too many.
#[derive(Clone, Debug, Default)]
pub(crate) struct Curve {
    /// Which of [`WIDTHS`] the bins have.
    rung: usize,
    /// Bins that hold anything, by their number since 1970.
    bins: BTreeMap<u64, u64>,
    count: u64,
    span: Option<(u64, u64)>,
}

/// How many a second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// Over the whole span; 0 where there is no span.
    pub mean_per_s: f64,
    /// In the busiest window.
    pub peak_per_s: f64,
    /// Length of that window in microseconds: one second, or more for captures of days.
    pub peak_window_us: u64,
    /// When it began: microseconds since 1970-01-01 UTC.
    pub peak_at_us: u64,
}

impl Curve {
    pub(crate) fn add(&mut self, at_us: u64) {
        *self.bins.entry(at_us / self.width_us()).or_default() += 1;
        self.count += 1;
        let (first, last) = self.span.unwrap_or((at_us, at_us));
        self.span = Some((first.min(at_us), last.max(at_us)));
        while MAX_CURVE_BINS < self.bins.len() && self.rung + 1 < WIDTHS.len() {
            let wider = WIDTHS[self.rung + 1] / WIDTHS[self.rung];
            for (bin, count) in std::mem::take(&mut self.bins) {
                *self.bins.entry(bin / wider).or_default() += count;
            }
            self.rung += 1;
        }
    }

    /// Width of a bin in microseconds.
    pub(crate) fn width_us(&self) -> u64 {
        WIDTHS[self.rung]
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The first moment and the last.
    pub(crate) fn span(&self) -> Option<(u64, u64)> {
        self.span
    }

    /// Start and count of each bin that holds anything, in order.
    pub(crate) fn bins(&self) -> impl Iterator<Item = (u64, u64)> {
        let width = self.width_us();
        self.bins.iter().map(move |(bin, count)| (bin * width, *count))
    }

    /// `None` where nothing was counted.
    pub(crate) fn rate(&self) -> Option<Rate> {
        let (first, last) = self.span?;
        let window = self.width_us().max(SECOND);
        let mut windows: BTreeMap<u64, u64> = BTreeMap::new();
        for (start, count) in self.bins() {
            *windows.entry(start / window).or_default() += count;
        }
        let (at, peak) = windows.into_iter().max_by_key(|(at, count)| (*count, u64::MAX - at))?;
        let per_second = |count: u64, us: u64| (count as f64 * 1e6 / us as f64 * 1000.0).round() / 1000.0;
        Some(Rate {
            mean_per_s: if first == last { 0.0 } else { per_second(self.count, last - first) },
            peak_per_s: per_second(peak, window),
            peak_window_us: window,
            peak_at_us: at * window,
        })
    }

    /// The index of dispersion: variance of the counts in windows of that length, divided by their mean. 1 is what
    /// independent arrivals at an even rate have (Poisson); more is bursts, less is a beat. `None` where the windows are
    /// narrower than the bins, or fewer than [`FEWEST_WINDOWS`].
    pub(crate) fn dispersion(&self, window_us: u64) -> Option<f64> {
        let bins_each = window_us / self.width_us();
        let (first, last) = (*self.bins.first_key_value()?.0, *self.bins.last_key_value()?.0);
        let windows = (last - first + 1).checked_div(bins_each)?;
        if windows < FEWEST_WINDOWS {
            return None;
        }
        let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
        for (bin, count) in &self.bins {
            *counts.entry((bin - first) / bins_each).or_default() += count;
        }
        // what is behind the last whole window would count as a quiet one
        counts.retain(|window, _| *window < windows);
        let mean = counts.values().sum::<u64>() as f64 / windows as f64;
        let squares: f64 = counts.values().map(|count| (*count as f64 - mean).powi(2)).sum::<f64>()
            + (windows - counts.len() as u64) as f64 * mean * mean;
        Some(squares / (windows - 1) as f64 / mean)
    }

    /// Counts in at most `most` marks of equal, round length over `span`: that length, and the counts.
    pub(crate) fn marks(&self, span: (u64, u64), most: u64) -> (u64, Vec<u64>) {
        let (first, last) = span;
        let fits = |mark: u64| (last - first) / mark < most && self.width_us() <= mark;
        let mark = ROUND.into_iter().find(|mark| fits(*mark)).unwrap_or_else(|| (last - first) / most + 1);
        let mut counts = vec![0; ((last - first) / mark + 1) as usize];
        for (start, count) in self.bins() {
            let place = start.max(first).min(last) - first;
            counts[(place / mark) as usize] += count;
        }
        (mark, counts)
    }
}

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Widths of bins; each divides the next.
const WIDTHS: [u64; 9] = [
    SECOND / 100,
    SECOND / 10,
    SECOND,
    10 * SECOND,
    MINUTE,
    10 * MINUTE,
    HOUR,
    DAY,
    // whatever a capture says of its times, the bins stay few
    1_000_000 * DAY,
];

/// Windows in which dispersion is told; each is a multiple of the bins below it.
pub(crate) const WINDOWS: [u64; 6] = [SECOND / 10, SECOND, 10 * SECOND, MINUTE, 10 * MINUTE, HOUR];

/// Lengths that a person reads easily.
const ROUND: [u64; 26] = [
    SECOND / 100,
    SECOND / 50,
    SECOND / 20,
    SECOND / 10,
    SECOND / 5,
    SECOND / 2,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    7 * DAY,
    30 * DAY,
];

/// A variance of fewer counts says little.
const FEWEST_WINDOWS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(times: impl IntoIterator<Item = u64>) -> Curve {
        let mut curve = Curve::default();
        times.into_iter().for_each(|at| curve.add(at));
        curve
    }

    #[test]
    fn a_beat_has_no_dispersion_and_a_burst_has_much() {
        let beat = curve((0..1000).map(|n| n * SECOND / 10));
        assert_eq!(beat.dispersion(SECOND), Some(0.0));
        assert_eq!(beat.dispersion(MINUTE), None, "too few windows to say");
        // 18 whole windows of 10 s, 100 in each of 9 and none in 9: mean 50, variance 50^2 * 18 / 17
        let bursts = (0..10).flat_map(|n| (0..100).map(move |k| n * 20 * SECOND + k * SECOND / 10));
        let found = curve(bursts).dispersion(10 * SECOND).unwrap();
        assert!((found - 50.0 * 18.0 / 17.0).abs() < 1e-9, "{found}");
    }

    #[test]
    fn bins_become_wider_and_keep_the_counts() {
        let wide = curve((0..200_000).map(|n| n * 30_000));
        assert_eq!((wide.count(), wide.bins().map(|(_, n)| n).sum::<u64>()), (200_000, 200_000));
        assert!(wide.bins.len() <= MAX_CURVE_BINS && wide.width_us() == SECOND / 10);
        let rate = wide.rate().unwrap();
        assert!((rate.mean_per_s - 33.333).abs() < 0.01 && (33.0..=35.0).contains(&rate.peak_per_s));
        let mad = curve((0..200_000).map(|n| n * (u64::MAX / 200_000)));
        assert!(mad.bins.len() <= MAX_CURVE_BINS);
        assert_eq!(mad.marks(mad.span().unwrap(), 60).1.iter().sum::<u64>(), 200_000);
    }

    #[test]
    fn marks_have_round_lengths() {
        let hour = curve((0..3600).map(|n| n * SECOND));
        let (mark, counts) = hour.marks(hour.span().unwrap(), 60);
        assert_eq!((mark, counts.len(), counts[0]), (MINUTE, 60, 60));
        let one = curve([5]);
        assert_eq!(one.marks((5, 5), 60), (SECOND / 100, vec![1]));
        assert_eq!((one.rate().unwrap().mean_per_s, one.rate().unwrap().peak_per_s), (0.0, 1.0));
        assert!(Curve::default().rate().is_none() && Curve::default().dispersion(SECOND).is_none());
    }
}
