//! Clusters: attempts on one route that ended alike, and the units among which each is looked for.

use std::collections::HashMap;

use crate::analysis::field::{Attempt, Field, Wrong};
use crate::analysis::stats::{median_of, quantile_of};
use crate::evidence::Fate;

/// What the attempts of a cluster have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum What {
    /// They ended so; a fingerprint of 0 stands for all bodies that are not told apart.
    Ended { fate: Fate, print: u32, by_proxy: bool },
    /// They took longer than so many microseconds.
    Slow { over_us: u32 },
}

/// A cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Cluster {
    pub(crate) route: u16,
    pub(crate) wrong: Wrong,
    pub(crate) what: What,
}

/// An attempt that could have been in a cluster: no rule touched it, and its session was not in the cluster before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit {
    /// Place in the field.
    pub(crate) at: u32,
    pub(crate) hit: bool,
}

/// The clusters of a field, largest first.
pub(crate) fn find(field: &Field) -> Vec<Cluster> {
    let mut prints: HashMap<Cluster, u64> = HashMap::new();
    let organic = || field.attempts.iter().filter(|attempt| attempt.by == 0);
    for attempt in organic().filter(|attempt| attempt.wrong != Wrong::Nothing) {
        *prints.entry(of(attempt, attempt.print)).or_default() += 1;
    }
    // bodies that hardly ever come, on whatever route, are told apart by nothing but chance
    let mut often: HashMap<What, u64> = HashMap::new();
    prints.iter().for_each(|(cluster, count)| *often.entry(cluster.what).or_default() += count);
    let mut counts: HashMap<Cluster, u64> = HashMap::new();
    for (cluster, count) in prints {
        let cluster = if often[&cluster.what] < PRINT_HITS { cluster.without_print() } else { cluster };
        *counts.entry(cluster).or_default() += count;
    }
    for cluster in slow(field) {
        let hits = organic().filter(|attempt| cluster.has(attempt)).count() as u64;
        counts.insert(cluster, hits);
    }
    let mut all: Vec<(Cluster, u64)> = counts.into_iter().filter(|(_, hits)| *hits > 0).collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(CLUSTERS);
    let mut clusters: Vec<Cluster> = all.into_iter().map(|(cluster, _)| cluster).collect();
    // the largest first, but whoever is told by its body before the rest that is not
    clusters.sort_by_key(Cluster::is_rest);
    clusters
}

fn of(attempt: &Attempt, print: u32) -> Cluster {
    let what = What::Ended { fate: attempt.fate, print, by_proxy: attempt.by_proxy };
    Cluster { route: attempt.route, wrong: attempt.wrong, what }
}

/// Slow answers of each route, against what no rule touched.
fn slow(field: &Field) -> Vec<Cluster> {
    usual(field)
        .into_iter()
        .map(|(route, usual)| {
            let over_us = too_long(usual) as u32;
            Cluster { route, wrong: Wrong::Nothing, what: What::Slow { over_us } }
        })
        .collect()
}

fn too_long(usual: f64) -> f64 {
    (usual * 3.0).max(usual + SLOW_FLOOR_US)
}

/// The usual time of untouched answers by route, in microseconds; of routes with enough of them. That is the median; where
/// even half of them are slow beside the fastest quarter, it is that of the quarter.
fn usual(field: &Field) -> Vec<(u16, f64)> {
    let mut times: HashMap<u16, Vec<f64>> = HashMap::new();
    for attempt in field.attempts.iter().filter(|attempt| is_timed(attempt)) {
        times.entry(attempt.route).or_default().push(f64::from(attempt.took_us));
    }
    let mut usual: Vec<(u16, f64)> = Vec::with_capacity(times.len());
    for (route, mut times) in times {
        if SLOW_SAMPLE <= times.len() {
            times.sort_by(f64::total_cmp);
            let (median, quarter) = (median_of(&times), quantile_of(&times, 0.25));
            usual.push((route, if too_long(quarter) < median { quarter } else { median }));
        }
    }
    usual.sort_by_key(|(route, _)| *route);
    usual
}

/// Whether an attempt's time is the origin's own.
pub(crate) fn is_timed(attempt: &Attempt) -> bool {
    attempt.by == 0 && !attempt.warms_up && attempt.wrong == Wrong::Nothing
}

impl Cluster {
    /// Whether an attempt of the cluster's route is in it.
    pub(crate) fn has(&self, attempt: &Attempt) -> bool {
        attempt.route == self.route
            && match self.what {
                What::Slow { over_us } => is_timed(attempt) && over_us < attempt.took_us,
                What::Ended { fate, print, by_proxy } => {
                    attempt.wrong != Wrong::Nothing
                        && attempt.fate == fate
                        && attempt.by_proxy == by_proxy
                        && (print == 0 || attempt.print == print)
                }
            }
    }

    pub(crate) fn is_slow(&self) -> bool {
        matches!(self.what, What::Slow { .. })
    }

    /// It takes what is left of a fate once the bodies that can be told apart are gone.
    fn is_rest(&self) -> bool {
        matches!(self.what, What::Ended { print: 0, .. })
    }

    fn without_print(self) -> Cluster {
        match self.what {
            What::Ended { fate, by_proxy, .. } => {
                Cluster { what: What::Ended { fate, print: 0, by_proxy }, ..self }
            }
            What::Slow { .. } => self,
        }
    }

    /// Attempts on all routes that have this end, hits or not: one cause may show on many of them. `None`: slow answers
    /// are told apart by route alone.
    pub(crate) fn family(&self, field: &Field, clusters: &[Cluster]) -> Option<Vec<Unit>> {
        let routes: Vec<u16> =
            clusters.iter().filter(|other| other.what == self.what).map(|other| other.route).collect();
        if self.is_slow() || routes.len() < 2 {
            return None;
        }
        let on_routes = field.attempts.iter().enumerate();
        let on_routes = on_routes.filter(|(_, attempt)| attempt.by == 0 && routes.contains(&attempt.route));
        let hit = |attempt: &Attempt| Cluster { route: attempt.route, ..*self }.has(attempt);
        Some(on_routes.map(|(at, attempt)| Unit { at: at as u32, hit: hit(attempt) }).collect())
    }

    /// The units of the cluster; `taken` are hits of clusters before it.
    pub(crate) fn units(&self, field: &Field, taken: &[bool]) -> Vec<Unit> {
        let mut units = Vec::new();
        let mut hit_session = None;
        for (at, attempt) in field.attempts.iter().enumerate() {
            let is_candidate = attempt.route == self.route
                && attempt.by == 0
                && Some(attempt.session) != hit_session
                && !taken[at]
                && (!self.is_slow() || is_timed(attempt));
            if is_candidate {
                let hit = self.has(attempt);
                if hit {
                    hit_session = Some(attempt.session);
                }
                units.push(Unit { at: at as u32, hit });
            }
        }
        units
    }
}

/// Clusters that are looked at.
const CLUSTERS: usize = 64;
/// Hits from which on a body makes a cluster of its own.
const PRINT_HITS: u64 = 10;
/// Answers below which a route has no usual time to speak of.
const SLOW_SAMPLE: usize = 50;
/// Nothing is slow that takes less than this on top of the median, in microseconds: the noise of a busy machine.
const SLOW_FLOOR_US: f64 = 20_000.0;
