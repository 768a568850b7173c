//! One lot of exchanges, counted: how many, how many hits, and how they fall together.

use super::times::Times;
use crate::stats;

/// What a guard counts of a lot. Of a share: `total` exchanges, `hits` of them bad (or good). Of attempts: `total` operations,
/// `hits` repeats.
#[derive(Debug, Clone)]
pub(super) struct Lot {
    pub(super) total: u64,
    pub(super) hits: u64,
    clusters: [Cluster; CLUSTERS],
    pub(super) times: Option<Box<Times>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cluster {
    total: u32,
    hits: u32,
}

/// What one exchange adds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Note {
    pub(super) counts: bool,
    pub(super) hit: bool,
    /// Microseconds.
    pub(super) time: Option<u64>,
    pub(super) cluster: usize,
}

/// How often a hit can come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Once for each of the total.
    Share,
    /// Any number of times.
    Count,
}

impl Lot {
    pub(super) fn new(with_times: bool) -> Self {
        let times = with_times.then(|| Box::new(Times::new()));
        Self { total: 0, hits: 0, clusters: [Cluster::default(); CLUSTERS], times }
    }

    pub(super) fn note(&mut self, note: &Note) {
        let Some(cluster) = self.clusters.get_mut(note.cluster) else { return };
        self.total += u64::from(note.counts);
        self.hits += u64::from(note.hit);
        cluster.total = cluster.total.saturating_add(u32::from(note.counts));
        cluster.hits = cluster.hits.saturating_add(u32::from(note.hit));
        if let (Some(times), Some(time)) = (&mut self.times, note.time) {
            times.note(note.cluster, time);
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.total += other.total;
        self.hits += other.hits;
        for (to, from) in self.clusters.iter_mut().zip(&other.clusters) {
            to.total = to.total.saturating_add(from.total);
            to.hits = to.hits.saturating_add(from.hits);
        }
        if let (Some(to), Some(from)) = (&mut self.times, &other.times) {
            to.add(from);
        }
    }

    pub(super) fn subtract(&mut self, other: &Self) {
        self.total = self.total.saturating_sub(other.total);
        self.hits = self.hits.saturating_sub(other.hits);
        for (to, from) in self.clusters.iter_mut().zip(&other.clusters) {
            to.total = to.total.saturating_sub(from.total);
            to.hits = to.hits.saturating_sub(from.hits);
        }
        if let (Some(to), Some(from)) = (&mut self.times, &other.times) {
            to.subtract(from);
        }
    }

    pub(super) fn clear(&mut self) {
        (self.total, self.hits, self.clusters) = (0, 0, [Cluster::default(); CLUSTERS]);
        if let Some(times) = &mut self.times {
            times.clear();
        }
    }

    /// How many times more the hits vary from cluster to cluster than if each exchange came alone; at least 1.
    pub(super) fn dispersion(&self, kind: Kind, alpha: f64) -> f64 {
        let counts = self.clusters.iter().map(|cluster| (f64::from(cluster.total), f64::from(cluster.hits)));
        dispersion(counts, kind, alpha)
    }

    /// The same for times above one.
    pub(super) fn dispersion_above(&self, time: f64, alpha: f64) -> f64 {
        self.times.as_ref().map_or(1.0, |times| dispersion(times.above(time), Kind::Share, alpha))
    }
}

/// Pearson's statistic over its degrees of freedom. What is above 1 is itself an estimate from few numbers, so it counts for
/// more the smaller `alpha` is: by the square of Student's quantile over the normal one.
fn dispersion(counts: impl Iterator<Item = (f64, f64)> + Clone, kind: Kind, alpha: f64) -> f64 {
    let (mut total, mut hits) = (0.0, 0.0);
    counts.clone().for_each(|(n, hit)| (total, hits) = (total + n, hits + hit));
    let rate = hits / total;
    let variance = match kind {
        Kind::Share => rate * (1.0 - rate),
        Kind::Count => rate,
    };
    if !(0.0 < variance && variance.is_finite()) {
        return 1.0;
    }
    let (mut sum, mut clusters) = (0.0, 0.0);
    for (n, hit) in counts.filter(|(n, _)| 0.0 < *n) {
        sum += (hit - n * rate).powi(2) / (n * variance);
        clusters += 1.0;
    }
    inflated(sum, clusters - 1.0, alpha)
}

/// `sum` over its degrees of freedom, at least 1, with what an estimate from so few is to be distrusted by.
pub(super) fn inflated(sum: f64, freedom: f64, alpha: f64) -> f64 {
    if freedom < 1.0 {
        return 1.0;
    }
    let excess = (sum / freedom - 1.0).max(0.0);
    1.0 + excess * (stats::student(alpha, freedom) / stats::z(alpha)).powi(2)
}

/// Exchanges of one key (a session, say) fall into one of so many clusters; 31 degrees of freedom are enough to tell whether
/// they fall together.
pub(super) const CLUSTERS: usize = 32;
