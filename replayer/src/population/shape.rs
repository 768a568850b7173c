//! How close an amplified load comes to its capture: N clones must not be N copies in lockstep, and must not be
//! another traffic either. Every figure is a pure function of bounded data.
//!
//! | figure | formula | same shape |
//! |---|---|---|
//! | inter-arrival distance | Kolmogorov-Smirnov: the largest difference between the two distribution functions of the gaps between session starts, each gap divided by the mean gap of its side | 0 (1x); gaps of many strangers tend to the exponential |
//! | dispersion | variance / mean of the requests in bins of 10 ms | 1: strangers; N times the capture's: lockstep |
//! | local dispersion | `sum of (n[i+1] - n[i])²` / (2 · sum of `n[i]`) over the same bins: bursts without the slow changes | as above |
//! | mix distance | total variation: half the sum of the differences between shares of routes | 0 |
//! | length distance | Kolmogorov-Smirnov distance of steps per session | 0 |

use serde::{Deserialize, Serialize};

use crate::limits;

/// Capture and replay side by side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// Of the recording.
    pub capture: Figures,
    /// Of the replay.
    pub replay: Figures,
    /// Largest difference between the distributions of normalised gaps between session starts, 0 to 1; `None`: one
    /// side has fewer than two starts or all at one moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inter_arrival_distance: Option<f64>,
    /// Share of the requests that would have to go to another route, 0 to 1; `None`: one side has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix_distance: Option<f64>,
    /// Largest difference between the distributions of steps per session, 0 to 1; `None`: one side has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length_distance: Option<f64>,
}

/// One side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Session starts that were looked at: the first ones, at most 65,536, of the same stretch of time on both sides.
    pub sessions: u64,
    /// Mean microseconds between two of them.
    pub mean_gap_us: f64,
    /// Mean requests of a session, as planned when it started.
    pub mean_steps: f64,
    /// Variance / mean of the requests in bins of 10 ms, over the first eleven minutes; `None`: none were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispersion: Option<f64>,
    /// The same from one bin to the next only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_dispersion: Option<f64>,
}

/// What is remembered of one side, or of one thread's part of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// Session starts in microseconds, the earliest ones, and the steps of each.
    starts: Vec<(u64, u32)>,
    /// From here on starts were not remembered.
    until_us: Option<u64>,
    bins: Bins,
    /// Requests by route.
    routes: Vec<u64>,
}

/// Requests in bins of 10 ms, the first eleven minutes of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bins(Vec<u32>);

/// Sums over counts, without the counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    bins: u64,
    sum: u64,
    squares: u128,
}

impl Shape {
    /// Compares two sides.
    pub(crate) fn of(capture: &Sample, replay: &Sample) -> Shape {
        // Only the beginning of a long run is remembered: it is held against the same stretch of the capture.
        let until_us = [capture.until_us, replay.until_us].into_iter().flatten().min();
        let (first, second) = (capture.complete(until_us), replay.complete(until_us));
        let steps = |starts: &[(u64, u32)]| sorted(starts.iter().map(|(_, steps)| f64::from(*steps)));
        Shape {
            capture: capture.figures(&first),
            replay: replay.figures(&second),
            inter_arrival_distance: gaps(&first).zip(gaps(&second)).map(|(a, b)| kolmogorov_smirnov(&a, &b)),
            mix_distance: total_variation(&capture.routes, &replay.routes),
            length_distance: (!first.is_empty() && !second.is_empty())
                .then(|| kolmogorov_smirnov(&steps(&first), &steps(&second))),
        }
    }
}

impl Sample {
    /// A session of so many requests started. Starts of one sample come in order of time.
    pub(crate) fn start(&mut self, at_us: u64, steps: u32) {
        if self.starts.len() < limits::SHAPE_SAMPLE {
            self.starts.push((at_us, steps));
        } else {
            self.until_us = Some(self.until_us.map_or(at_us, |until| until.min(at_us)));
        }
    }

    /// A request was sent to a route.
    pub(crate) fn request(&mut self, at_us: u64, route: u16) {
        self.bins.add(at_us);
        let route = usize::from(route);
        if self.routes.len() <= route {
            self.routes.resize(route + 1, 0);
        }
        self.routes[route] += 1;
    }

    /// What was counted elsewhere: requests in bins, and by route.
    pub(crate) fn set_requests(&mut self, bins: Bins, routes: Vec<u64>) {
        self.bins = bins;
        self.routes = routes;
    }

    /// Adds what another thread saw at the same time.
    pub(crate) fn merge(&mut self, other: &Sample) {
        self.starts.extend_from_slice(&other.starts);
        self.starts.sort_unstable();
        self.until_us = [self.until_us, other.until_us].into_iter().flatten().min();
        if limits::SHAPE_SAMPLE < self.starts.len() {
            let first_lost = self.starts[limits::SHAPE_SAMPLE].0;
            self.until_us = Some(self.until_us.map_or(first_lost, |until| until.min(first_lost)));
            self.starts.truncate(limits::SHAPE_SAMPLE);
        }
        self.bins.merge(&other.bins);
        if self.routes.len() < other.routes.len() {
            self.routes.resize(other.routes.len(), 0);
        }
        self.routes.iter_mut().zip(&other.routes).for_each(|(own, other)| *own += other);
    }

    /// The starts up to where any thread forgot one: gaps among all of them are real.
    fn complete(&self, until_us: Option<u64>) -> Vec<(u64, u32)> {
        let known = |start: &&(u64, u32)| until_us.is_none_or(|until| start.0 < until);
        let some: Vec<_> = self.starts.iter().filter(known).copied().collect();
        if some.is_empty() { self.starts.clone() } else { some }
    }

    fn figures(&self, starts: &[(u64, u32)]) -> Figures {
        let count = starts.len() as f64;
        let span = starts.last().map_or(0, |last| last.0 - starts[0].0) as f64;
        let steps: f64 = starts.iter().map(|(_, steps)| f64::from(*steps)).sum();
        Figures {
            sessions: starts.len() as u64,
            mean_gap_us: if 1.0 < count { span / (count - 1.0) } else { 0.0 },
            mean_steps: steps / count.max(1.0),
            dispersion: self.bins.counts().dispersion(),
            local_dispersion: self.bins.local_dispersion(),
        }
    }
}

impl Bins {
    /// A request, in microseconds from the start of its side; later ones than fit are left out.
    pub(crate) fn add(&mut self, at_us: u64) {
        self.count(at_us / BIN_US, 1);
    }

    /// The requests of a whole second of all threads, by bin.
    pub(crate) fn add_second(&mut self, second: u64, counts: &[u32]) {
        let first = second.saturating_mul(counts.len() as u64);
        for (bin, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            self.count(first.saturating_add(bin as u64), *count);
        }
    }

    fn count(&mut self, bin: u64, count: u32) {
        if limits::SHAPE_BINS as u64 <= bin {
            return;
        }
        let bin = bin as usize;
        if self.0.len() <= bin {
            self.0.resize(bin + 1, 0);
        }
        self.0[bin] = self.0[bin].saturating_add(count);
    }

    /// Adds the same bins of another thread.
    pub(crate) fn merge(&mut self, other: &Bins) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own = own.saturating_add(*other));
    }

    /// Their sums.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.0.iter().for_each(|count| counts.add(u64::from(*count)));
        counts
    }

    fn local_dispersion(&self) -> Option<f64> {
        let pairs = self.0.windows(2);
        let changes: f64 = pairs.clone().map(|pair| (f64::from(pair[1]) - f64::from(pair[0])).powi(2)).sum();
        let sum: f64 = pairs.map(|pair| f64::from(pair[0])).sum();
        (0.0 < sum).then(|| changes / (2.0 * sum))
    }
}

impl Counts {
    /// One more bin with that many in it.
    pub(crate) fn add(&mut self, count: u64) {
        self.bins += 1;
        self.sum += count;
        self.squares += u128::from(count) * u128::from(count);
    }

    /// Sum / bins.
    pub(crate) fn mean(&self) -> f64 {
        self.sum as f64 / self.bins.max(1) as f64
    }

    /// Mean square minus squared mean.
    pub(crate) fn variance(&self) -> f64 {
        let mean = self.mean();
        (self.squares as f64 / self.bins.max(1) as f64 - mean * mean).max(0.0)
    }

    /// Variance / mean; `None`: nothing was counted.
    pub(crate) fn dispersion(&self) -> Option<f64> {
        (0 < self.sum).then(|| self.variance() / self.mean())
    }
}

/// The largest difference between the distribution functions of two sorted samples, neither of them empty.
pub(crate) fn kolmogorov_smirnov(a: &[f64], b: &[f64]) -> f64 {
    let (mut i, mut j, mut most) = (0, 0, 0.0_f64);
    while i < a.len() && j < b.len() {
        let here = a[i].min(b[j]);
        while a.get(i).is_some_and(|value| *value <= here) {
            i += 1;
        }
        while b.get(j).is_some_and(|value| *value <= here) {
            j += 1;
        }
        most = most.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    most
}

/// Half the sum of the differences between two sides' shares; `None`: one side has nothing.
pub(crate) fn total_variation(a: &[u64], b: &[u64]) -> Option<f64> {
    let sum = |side: &[u64]| Some(side.iter().sum::<u64>() as f64).filter(|sum| 0.0 < *sum);
    let (first, second) = (sum(a)?, sum(b)?);
    let share = |side: &[u64], sum: f64, route: usize| side.get(route).map_or(0.0, |n| *n as f64 / sum);
    let routes = 0..a.len().max(b.len());
    Some(routes.map(|route| (share(a, first, route) - share(b, second, route)).abs()).sum::<f64>() / 2.0)
}

/// Gaps between neighbouring starts over their mean, sorted.
fn gaps(starts: &[(u64, u32)]) -> Option<Vec<f64>> {
    let span = starts.last()?.0 - starts.first()?.0;
    let mean = span as f64 / (starts.len() - 1) as f64;
    (1 < starts.len() && 0 < span)
        .then(|| sorted(starts.windows(2).map(|pair| (pair[1].0 - pair[0].0) as f64 / mean)))
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Width of a bin.
const BIN_US: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Sessions of one request every 20 ms, `clones` of each: spread by a golden-ratio sequence, or in lockstep.
    fn sample(clones: u64, lockstep: bool) -> Sample {
        let place =
            |number: u64| (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64 / (1_u64 << 53) as f64;
        let mut starts: Vec<u64> = (0..2000 * clones)
            .map(|n| n / clones * 20_000 + if lockstep { 0 } else { (place(n * n) * 20_000.0) as u64 })
            .collect();
        starts.sort_unstable();
        let mut sample = Sample::default();
        for (index, at_us) in starts.into_iter().enumerate() {
            sample.start(at_us, 1 + (index % 3) as u32);
            sample.request(at_us, (index % 4) as u16);
        }
        sample
    }

    #[test]
    fn a_load_is_its_own_shape() {
        let shape = Shape::of(&sample(1, true), &sample(1, true));
        assert_eq!(shape.inter_arrival_distance, Some(0.0));
        assert_eq!((shape.mix_distance, shape.length_distance), (Some(0.0), Some(0.0)));
        assert_eq!(shape.capture, shape.replay);
        let text = serde_json::to_string(&shape).expect("it is plain data");
        assert_eq!(serde_json::from_str::<Shape>(&text).ok(), Some(shape));
    }

    #[test]
    fn lockstep_shows() {
        let capture = sample(1, true);
        let step = Shape::of(&capture, &sample(40, true));
        let spread = Shape::of(&capture, &sample(40, false));
        assert!(step.replay.dispersion.is_some_and(|d| 19.0 < d), "{step:?}");
        assert!(spread.replay.dispersion.is_some_and(|d| (0.2..1.2).contains(&d)), "{spread:?}");
        assert!(step.replay.local_dispersion > spread.replay.local_dispersion);
    }

    #[test]
    fn threads_are_merged_and_only_whole_time_is_compared() {
        let (mut first, mut second) = (Sample::default(), Sample::default());
        for n in 0..limits::SHAPE_SAMPLE as u64 + 50 {
            first.start(n * 10, 1);
            second.start(n * 30 + 5, 1);
        }
        first.merge(&second);
        assert!(first.starts.len() <= limits::SHAPE_SAMPLE);
        let complete = first.complete(first.until_us);
        assert!(complete.last().is_some_and(|last| last.0 < limits::SHAPE_SAMPLE as u64 * 10));
        assert!((first.figures(&complete).mean_gap_us - 7.5).abs() < 0.01);
    }

    #[test]
    fn distances_are_what_their_formulas_say() {
        let ks =
            |a: &[f64], b: &[f64], expect: f64| assert_eq!(kolmogorov_smirnov(a, b), expect, "{a:?} {b:?}");
        ks(&[1.0, 2.0], &[1.0, 2.0], 0.0);
        ks(&[1.0, 2.0], &[3.0, 4.0], 1.0);
        ks(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 9.0], 0.25);
        ks(&[1.0, 1.0, 1.0, 2.0], &[1.0, 2.0], 0.25);
        assert_eq!(total_variation(&[1, 1], &[3, 1]), Some(0.25));
        assert_eq!(total_variation(&[5], &[0, 5]), Some(1.0));
        assert_eq!(total_variation(&[], &[1]), None);
        let mut all = Counts::default();
        [1, 2, 3, 4, 10].into_iter().for_each(|count| all.add(count));
        assert_eq!((all.mean(), all.variance(), all.dispersion()), (4.0, 10.0, Some(2.5)));
        assert_eq!(Counts::default().dispersion(), None);
        assert_eq!(Shape::of(&Sample::default(), &Sample::default()), Shape::default());
    }
}
