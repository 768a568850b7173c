//! The times of one edge in one scope, and how they are told.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use smallvec::SmallVec;

use super::Loss;
use super::histogram::{Bucket, Detail, Figures, Histogram};
use crate::time::micros;

/// What is measured of one edge.
#[derive(Debug, Default)]
pub(crate) struct EdgeTimes {
    latency: Histogram,
    upstream: Histogram,
    /// Empty in a proxy with one edge.
    own: Histogram,
    /// Roots.
    roots: u64,
    /// By edge.
    calls: BTreeMap<usize, Histogram>,
    routes: BTreeMap<String, RouteTimes>,
    unjoined: u64,
    shed: u64,
}

#[derive(Debug, Default)]
struct RouteTimes {
    own: Histogram,
    parts: Histogram<Parts>,
}

/// Exchanges that took about the same time, and where it went. Microseconds, summed.
#[derive(Debug, Default, Clone)]
struct Parts {
    count: u64,
    took: u64,
    own: u64,
    calls: SmallVec<[(usize, u64); 2]>,
}

/// The times of one edge, as `GET /books` has them. Microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct ChainBooks {
    /// From the request's header to the end of the exchange, faults included; of a stream, until its answer began.
    latency: Figures,
    /// From when the request was handed to the upstream to the header of its answer, without what rules add; of those that
    /// it answered.
    pub(crate) upstream: Figures,
    /// The same as `latency` without the time in calls to other edges; absent with one edge.
    #[serde(skip_serializing_if = "Option::is_none")]
    own: Option<Figures>,
    /// Calls that its exchanges caused on other edges.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    calls: Vec<CallBooks>,
    /// Where the time of ordinary exchanges goes, which took no longer than the median.
    #[serde(skip_serializing_if = "Option::is_none")]
    typical: Option<Means>,
    /// By route, the slowest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<RouteBooks>,
    /// Calls that could belong to several exchanges, and are counted with none.
    #[serde(skip_serializing_if = "is_zero")]
    unjoined: u64,
    /// Exchanges that were not looked at because too many were open.
    #[serde(skip_serializing_if = "is_zero")]
    chain_shed: u64,
}

/// Calls to one edge.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct CallBooks {
    edge: String,
    count: u64,
    per_request: f64,
    latency: Figures,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct RouteBooks {
    route: String,
    latency: Figures,
    own: Figures,
    /// Where the time of its slow exchanges goes: from the 99th percentile on, ten of them at least.
    slow: Option<Means>,
}

/// The mean exchange of some.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Means {
    count: u64,
    took_us: u64,
    own_us: u64,
    /// By edge; overlapping calls count in each.
    calls: Vec<CallMean>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct CallMean {
    edge: String,
    us: u64,
}

impl EdgeTimes {
    /// What the upstream took to answer.
    pub(super) fn upstream(&mut self, took: Duration) {
        self.upstream.add(micros(took));
    }

    /// An exchange of a proxy with one edge.
    pub(super) fn alone(&mut self, took: Duration) {
        self.latency.add(micros(took));
    }

    /// An exchange without calls that we know of.
    pub(super) fn leaf(&mut self, took: Duration) {
        self.latency.add(micros(took));
        self.own.add(micros(took));
    }

    /// One that could not be joined: nobody knows what of it is its own.
    pub(super) fn lost(&mut self, took: Duration, loss: Loss) {
        self.latency.add(micros(took));
        match loss {
            Loss::Unclear => self.unjoined += 1,
            Loss::Shed => self.shed += 1,
        }
    }

    /// A call that an exchange of this edge caused on another.
    pub(super) fn call(&mut self, edge: usize, took: Duration) {
        self.calls.entry(edge).or_default().add(micros(took));
    }

    /// An exchange that may have caused calls: what it took, what of it was its own, what it spent on which edge.
    pub(super) fn root(&mut self, route: &str, took_own: (Duration, Duration), calls: &[(usize, Duration)]) {
        let (took, own) = (micros(took_own.0), micros(took_own.1));
        self.latency.add(took);
        self.own.add(own);
        self.roots += 1;
        let is_known = self.routes.contains_key(route);
        let name = if is_known || self.routes.len() < MAX_ROUTES - 1 { route } else { OTHERS };
        if !self.routes.contains_key(name) {
            self.routes.insert(name.to_owned(), RouteTimes::default());
        }
        if let Some(times) = self.routes.get_mut(name) {
            times.own.add(own);
            let calls = calls.iter().map(|(edge, spent)| (*edge, micros(*spent))).collect();
            times.parts.bucket(took).add(&Parts { count: 1, took, own, calls });
        }
    }

    /// All of it, with the names of the edges.
    pub(crate) fn books(&self, edges: &[String], detail: Detail) -> ChainBooks {
        let name = |edge: usize| edges.get(edge).cloned().unwrap_or_default();
        let call = |(edge, times): (&usize, &Histogram)| CallBooks {
            edge: name(*edge),
            count: times.count(),
            per_request: times.count() as f64 / self.roots.max(1) as f64,
            latency: times.figures(detail),
        };
        let mut all = Histogram::<Parts>::default();
        self.routes.values().for_each(|route| all.merge(&route.parts, Parts::add));
        let median = all.place_at(0.5);
        let mut routes: Vec<_> = self
            .routes
            .iter()
            .map(|(route, times)| {
                let from = times.parts.place_at(slow_from(times.parts.count()));
                RouteBooks {
                    route: route.clone(),
                    latency: times.parts.figures(detail),
                    own: times.own.figures(detail),
                    slow: from.map(|from| means(&times.parts, from..=u16::MAX, &name)),
                }
            })
            .collect();
        routes.sort_by_key(|route| std::cmp::Reverse(route.latency.p99));
        ChainBooks {
            latency: self.latency.figures(detail),
            upstream: self.upstream.figures(detail),
            own: (self.own.count() > 0).then(|| self.own.figures(detail)),
            calls: self.calls.iter().map(call).collect(),
            typical: median.map(|median| means(&all, 0..=median, &name)),
            routes,
            unjoined: self.unjoined,
            chain_shed: self.shed,
        }
    }
}

/// The quantile from which on exchanges count as slow. A single one proves nothing, so there are ten at least.
fn slow_from(count: u64) -> f64 {
    (1.0 - MIN_SLOW / count.max(1) as f64).clamp(0.0, 0.99)
}

/// The mean of the exchanges in some buckets.
fn means(
    all: &Histogram<Parts>,
    places: std::ops::RangeInclusive<u16>,
    name: &impl Fn(usize) -> String,
) -> Means {
    let mut sum = Parts::default();
    all.buckets.range(places).for_each(|(_, parts)| sum.add(parts));
    let mean = |us: u64| us / sum.count.max(1);
    Means {
        count: sum.count,
        took_us: mean(sum.took),
        own_us: mean(sum.own),
        calls: sum.calls.iter().map(|(edge, us)| CallMean { edge: name(*edge), us: mean(*us) }).collect(),
    }
}

impl Parts {
    fn add(&mut self, other: &Parts) {
        self.count += other.count;
        self.took += other.took;
        self.own += other.own;
        for (edge, us) in &other.calls {
            match self.calls.iter_mut().find(|(known, _)| known == edge) {
                Some((_, sum)) => *sum += us,
                None => self.calls.push((*edge, *us)),
            }
        }
    }
}

impl Bucket for Parts {
    fn count(&self) -> u64 {
        self.count
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Routes that are told apart; the rest are one.
const MAX_ROUTES: usize = 64;
const MIN_SLOW: f64 = 10.0;
const OTHERS: &str = "(other)";
