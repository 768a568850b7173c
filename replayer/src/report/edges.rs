//! How long each edge of the proxy took, and which of them a slow p99 comes from.

use std::collections::BTreeMap;

use captures::shape::{bounds, bucket};
use serde::{Deserialize, Serialize};

use crate::report::text::time;

/// An edge of the proxy in a report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// The edge.
    pub name: String,
    /// Requests of this run that it saw.
    pub seen: u64,
    /// What they took.
    #[serde(flatten)]
    pub times: EdgeTimes,
    /// A slow p99 of the run comes from here; `None`: from elsewhere, or there is none, or that is not clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<Slow>,
}

/// What exchanges of an edge took, and where that went, as the proxy measured it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EdgeTimes {
    /// From the request's header to the end of the exchange, faults included; of a stream, until its answer began.
    pub latency: Times,
    /// From when the request was handed to the upstream to the header of its answer; `None`: an older proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Times>,
    /// `latency` without the time in calls to other edges; `None`: the proxy has one edge only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own: Option<Times>,
    /// Calls that its exchanges caused on other edges.
    pub calls: Vec<Calls>,
    /// The mean exchange of those no slower than the median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typical: Option<Split>,
    /// By route, the slowest first, at most 64.
    pub routes: Vec<EdgeRoute>,
    /// Calls that could belong to several exchanges, and are counted with none.
    pub unjoined: u64,
    /// Exchanges that the proxy had no room to look at.
    pub chain_shed: u64,
}

/// Times of a kind, exact to 3 %.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // names and meanings are those of run.json
pub struct Times {
    pub count: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub max: u64,
    /// Places of buckets ([`captures::shape::bucket`]), each followed by its count; in runs that are parts of one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<u64>,
}

/// Calls to one edge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Calls {
    pub edge: String,
    pub count: u64,
    /// For each exchange that could have caused some.
    pub per_request: f64,
    pub latency: Times,
}

/// A route of an edge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct EdgeRoute {
    pub route: String,
    pub latency: Times,
    pub own: Times,
    /// The mean of its slow exchanges: from the 99th percentile on, ten of them at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<Split>,
}

/// Where the time of the mean exchange goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Split {
    pub count: u64,
    pub took_us: u64,
    pub own_us: u64,
    /// Overlapping calls count in each.
    pub calls: Vec<CallTime>,
}

/// Time in calls to one edge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct CallTime {
    pub edge: String,
    pub us: u64,
}

/// A slow p99, and how much of it an edge explains.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slow {
    /// The slowest route of the first edge.
    pub route: String,
    /// Its p99 there.
    pub p99_us: u64,
    /// By how much its slow exchanges take longer than ordinary ones of that edge.
    pub excess_us: u64,
    /// How much of that is spent here, as a part of 1.
    pub share: f64,
    /// The same as a sentence.
    pub words: String,
}

/// The edges of a run in its report: only parts of a run need what can be added up.
pub(crate) fn told(mut edges: Vec<Edge>, is_part: bool) -> Vec<Edge> {
    if !is_part {
        edges.iter_mut().for_each(|edge| edge.times.forget_buckets());
    }
    edges
}

impl EdgeTimes {
    fn forget_buckets(&mut self) {
        let calls = self.calls.iter_mut().map(|calls| &mut calls.latency);
        let routes = self.routes.iter_mut().flat_map(|route| [&mut route.latency, &mut route.own]);
        let single = std::iter::once(&mut self.latency).chain(&mut self.upstream).chain(&mut self.own);
        single.chain(calls).chain(routes).for_each(|times| times.buckets = Vec::new());
    }
}

impl Times {
    /// The figures of buckets.
    pub(crate) fn new(counts: BTreeMap<u64, u64>, max: u64) -> Times {
        let count: u64 = counts.values().fold(0, |sum, count| sum.saturating_add(*count));
        let at = |quantile: f64| {
            let wanted = ((count as f64 * quantile).ceil() as u64).max(1);
            let mut seen: u64 = 0;
            let place = counts.iter().find_map(|(place, count)| {
                seen = seen.saturating_add(*count);
                (wanted <= seen).then_some(*place as u16)
            });
            place.map_or(0, |place| bounds(place).1.min(max))
        };
        let (p50, p90, p99) = (at(0.5), at(0.9), at(0.99));
        Times { count, p50, p90, p99, max, buckets: counts.into_iter().flat_map(<[u64; 2]>::from).collect() }
    }

    /// Places and counts. Fails unless they are what was counted.
    pub(crate) fn pairs(&self) -> Result<impl Iterator<Item = (u64, u64)>, &'static str> {
        let (pairs, rest) = self.buckets.as_chunks::<2>();
        let last = u64::from(bucket(u64::MAX));
        let sum = pairs
            .iter()
            .try_fold(0_u64, |sum, [place, count]| sum.checked_add(*count).filter(|_| *place <= last));
        match (sum == Some(self.count), rest) {
            (true, []) => Ok(pairs.iter().map(|[place, count]| (*place, *count))),
            _ => Err("its buckets are not those of its count"),
        }
    }
}

/// Marks the edge that the slow p99 of the first edge comes from, if that is clear: more than half of what the slowest
/// route takes beyond an ordinary exchange is spent there, and no other edge is nearly as slow by itself. Where the whole
/// machine is busy all edges are slow, and none is the cause.
pub(crate) fn find_slow(edges: &mut [Edge]) {
    let Some((at, slow)) = slow(edges) else { return };
    edges[at].slow = Some(slow);
}

/// The edges of a run in words: which one a slow p99 comes from.
pub(crate) fn in_words(edges: &[Edge]) -> Option<&str> {
    edges.iter().find_map(|edge| edge.slow.as_ref()).map(|slow| slow.words.as_str())
}

fn slow(edges: &[Edge]) -> Option<(usize, Slow)> {
    let front = edges.first().filter(|_| 1 < edges.len())?;
    let typical = front.times.typical.as_ref()?;
    let routes = front.times.routes.iter().filter(|route| MIN_COUNT <= route.latency.count);
    let route = routes.max_by_key(|route| route.latency.p99)?;
    let slow = route.slow.as_ref()?;
    let excess = slow.took_us.saturating_sub(typical.took_us);
    if excess < SLOW_US || excess < typical.took_us || is_blurred(edges) {
        return None;
    }
    let in_calls = |split: &Split, edge: &str| {
        split.calls.iter().find(|call| call.edge == edge).map_or(0, |call| call.us)
    };
    let beyond = |edge: &Edge| match edge.name == front.name {
        true => slow.own_us.saturating_sub(typical.own_us),
        false => in_calls(slow, &edge.name).saturating_sub(in_calls(typical, &edge.name)),
    };
    let (at, beyond) = edges.iter().map(beyond).enumerate().max_by_key(|(_, beyond)| *beyond)?;
    let share = (beyond as f64 / excess as f64).min(1.0);
    let held = held(&edges[at], beyond);
    let whose = match (at, &held) {
        (0, None) => format!("in {} itself: in the service behind it, not in its calls", front.name),
        (0, Some(_)) => format!("in {} itself, not in its calls", front.name),
        _ => format!("in its calls to {}", edges[at].name),
    };
    let words = format!(
        "the slow p99 comes from {}: {} takes {} at p99, an ordinary request {}; {:.0} % of the difference is spent {whose}{}",
        edges[at].name,
        route.route,
        time(route.latency.p99),
        time(typical.took_us),
        share * 100.0,
        held.unwrap_or_default(),
    );
    let (route, p99_us) = (route.route.clone(), route.latency.p99);
    let is_clear = CLEAR < share && stands_out(edges, at);
    is_clear.then_some((at, Slow { route, p99_us, excess_us: excess, share, words }))
}

/// In words, that the service behind an edge cannot have taken most of that time; `None`: it can, or that is not known.
fn held(edge: &Edge, beyond_us: u64) -> Option<String> {
    let most = edge.times.upstream.as_ref().filter(|times| 0 < times.count)?.max;
    let words = format!(
        ". The service behind {} never took longer than {} to begin an answer: the rest went to rules, or to long bodies",
        edge.name,
        time(most)
    );
    (2 * most <= beyond_us).then_some(words)
}

/// Its own p99 is far beyond that of every other edge.
fn stands_out(edges: &[Edge], at: usize) -> bool {
    let own = |edge: &Edge| edge.times.own.as_ref().map_or(0, |own| own.p99);
    let mut others = edges.iter().enumerate().filter(|(place, _)| *place != at);
    others.all(|(_, other)| STANDS_OUT * own(other) <= own(&edges[at]))
}

/// Too much of what was called cannot be told whose it was.
fn is_blurred(edges: &[Edge]) -> bool {
    let joined: u64 = edges[0].times.calls.iter().map(|calls| calls.count).sum();
    let lost: u64 = edges.iter().map(|edge| edge.times.unjoined + edge.times.chain_shed).sum();
    joined < lost * BLURRED
}

/// A p99 of fewer requests is a single one.
const MIN_COUNT: u64 = 10;
/// Less than this beyond an ordinary request is what a busy machine does, in microseconds.
const SLOW_US: u64 = 100_000;
/// More than this part of the excess is a clear cause.
const CLEAR: f64 = 0.5;
/// How much slower the cause is than any other edge.
const STANDS_OUT: u64 = 2;
/// One lost call in so many is too much.
const BLURRED: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn split(own_us: u64, payments: u64, search: u64) -> Split {
        let call = |edge: &str, us: u64| CallTime { edge: edge.to_owned(), us };
        let calls = vec![call("payments", payments), call("search", search)];
        Split { count: 10, took_us: own_us + payments + search, own_us, calls }
    }

    fn edges(slow: Split, count: u64) -> Vec<Edge> {
        let of = slow.clone();
        let latency = Times { count, p99: slow.took_us, ..Times::default() };
        let route = EdgeRoute {
            route: "POST /checkout".to_owned(),
            latency,
            slow: Some(slow),
            ..EdgeRoute::default()
        };
        let quick = Times { count: 100, p99: 2_000, ..Times::default() };
        let fast = EdgeRoute {
            route: "GET /".to_owned(),
            latency: quick,
            slow: Some(split(2_000, 0, 0)),
            ..EdgeRoute::default()
        };
        let times = EdgeTimes {
            typical: Some(split(1_000, 0, 0)),
            routes: vec![route, fast],
            calls: vec![Calls { edge: "payments".to_owned(), count, ..Calls::default() }],
            ..EdgeTimes::default()
        };
        let own = |p99: u64| Some(Times { p99, ..Times::default() });
        let edge = |name: &str, p99: u64| Edge {
            name: name.to_owned(),
            times: EdgeTimes { own: own(p99), ..EdgeTimes::default() },
            ..Edge::default()
        };
        let front = Edge { times: EdgeTimes { own: own(of.own_us), ..times }, ..edge("front", 0) };
        vec![front, edge("payments", of.calls[0].us), edge("search", of.calls[1].us)]
    }

    #[track_caller]
    fn check(mut edges: Vec<Edge>, expected: Option<&str>) {
        find_slow(&mut edges);
        let found = edges.iter().find(|edge| edge.slow.is_some()).map(|edge| edge.name.as_str());
        assert_eq!(found, expected);
    }

    #[test]
    fn the_edge_with_most_of_the_excess_is_named() {
        check(edges(split(2_000, 300_000, 3_000), 20), Some("payments"));
        check(edges(split(2_000, 3_000, 300_000), 20), Some("search"));
        check(edges(split(300_000, 3_000, 3_000), 20), Some("front"));
    }

    #[test]
    fn nothing_is_said_where_it_is_not_clear() {
        check(edges(split(2_000, 20_000, 0), 20), None); // not slow
        check(edges(split(150_000, 150_000, 150_000), 20), None); // three causes
        check(edges(split(2_000, 300_000, 0), 9), None); // too few
        check(edges(split(2_000, 300_000, 0), 20)[..1].to_vec(), None); // one edge has no chain
        check(Vec::new(), None);
        let mut busy = edges(split(2_000, 300_000, 0), 20);
        busy[0].times.own = Some(Times { p99: 200_000, ..Times::default() }); // other routes are as slow without any call
        check(busy, None);
        let mut blurred = edges(split(2_000, 300_000, 0), 20);
        blurred[1].times.unjoined = 10;
        check(blurred, None);
    }

    /// A rule that holds exchanges is no slowness of the service behind them.
    #[test]
    fn what_the_service_did_not_take_is_not_said_to_be_its_own() {
        for (slow, at) in [(split(300_000, 3_000, 3_000), 0), (split(3_000, 300_000, 3_000), 1)] {
            let mut edges = edges(slow, 20);
            edges[at].times.upstream = Some(Times { count: 20, max: 12_000, ..Times::default() });
            find_slow(&mut edges);
            let words = in_words(&edges).unwrap();
            assert!(words.contains("never took longer than 12.00 ms") && words.contains("rules"), "{words}");
            assert!(!words.contains("in the service behind it"), "{words}");
            edges[at].times.upstream = Some(Times { count: 20, max: 290_000, ..Times::default() });
            find_slow(&mut edges);
            assert!(!in_words(&edges).unwrap().contains("rules"));
        }
    }

    #[test]
    fn the_sentence_says_what_and_how_much() {
        let mut edges = edges(split(2_000, 300_000, 0), 20);
        find_slow(&mut edges);
        let words = in_words(&edges).unwrap();
        for part in
            ["comes from payments", "POST /checkout takes 302 ms", "1.00 ms", "100 %", "calls to payments"]
        {
            assert!(words.contains(part), "{part} is not in: {words}");
        }
    }
}
