//! What edges took in several runs: counts and buckets add up, so percentiles are those of one run; the mean exchanges are
//! weighed. Which edge a slow p99 comes from is judged anew.

use std::collections::{BTreeMap, BTreeSet};

use crate::limits;
use crate::report::edges::find_slow;
use crate::report::{CallTime, Calls, Edge, EdgeRoute, EdgeTimes, Report, Split, Times};

pub(super) fn edges(all: &[&Report]) -> Result<Vec<Edge>, String> {
    let mut edges: Vec<Edge> = Vec::new();
    let names = all.iter().flat_map(|report| report.edges.iter().map(|edge| edge.name.as_str()));
    for name in names {
        if edges.iter().any(|edge| edge.name == name) {
            continue;
        }
        let of_name = all.iter().flat_map(|report| &report.edges).filter(|edge| edge.name == name);
        let parts: Vec<&Edge> = of_name.collect();
        let times: Vec<&EdgeTimes> = parts.iter().map(|edge| &edge.times).collect();
        edges.push(Edge {
            name: name.to_owned(),
            seen: parts.iter().map(|edge| edge.seen).sum(),
            times: whole(&times).map_err(|err| format!("the times of edge {name} cannot be added: {err}"))?,
            slow: None,
        });
    }
    edges.truncate(limits::EDGES_SHOWN);
    find_slow(&mut edges);
    Ok(edges)
}

fn whole(parts: &[&EdgeTimes]) -> Result<EdgeTimes, String> {
    let some = |part: fn(&EdgeTimes) -> Option<&Times>| {
        let known: Vec<&Times> = parts.iter().filter_map(|times| part(times)).collect();
        (!known.is_empty()).then(|| sum(&known)).transpose()
    };
    Ok(EdgeTimes {
        latency: sum(&parts.iter().map(|times| &times.latency).collect::<Vec<_>>())?,
        upstream: some(|times| times.upstream.as_ref())?,
        own: some(|times| times.own.as_ref())?,
        calls: calls(parts)?,
        typical: mean(parts.iter().filter_map(|times| times.typical.as_ref())),
        routes: routes(parts)?,
        unjoined: parts.iter().map(|times| times.unjoined).sum(),
        chain_shed: parts.iter().map(|times| times.chain_shed).sum(),
    })
}

/// Bucket by bucket. Runs that are no parts keep none: then a percentile is at most the largest of theirs.
fn sum(parts: &[&Times]) -> Result<Times, String> {
    let parts: Vec<&Times> = parts.iter().copied().filter(|times| 0 < times.count).collect();
    let max = parts.iter().map(|times| times.max).max().unwrap_or(0);
    if parts.iter().any(|times| times.buckets.is_empty()) {
        let most = |part: fn(&Times) -> u64| parts.iter().map(|times| part(times)).max().unwrap_or(0);
        return Ok(Times {
            count: parts.iter().map(|times| times.count).sum(),
            p50: most(|times| times.p50),
            p90: most(|times| times.p90),
            p99: most(|times| times.p99),
            max,
            buckets: Vec::new(),
        });
    }
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for times in parts {
        for (place, count) in times.pairs()? {
            let sum = counts.entry(place).or_default();
            *sum = sum.saturating_add(count);
        }
    }
    Ok(Times::new(counts, max))
}

fn calls(parts: &[&EdgeTimes]) -> Result<Vec<Calls>, String> {
    // each root is counted with its route
    let roots: u64 = parts.iter().flat_map(|times| &times.routes).map(|route| route.latency.count).sum();
    let mut by_edge: BTreeMap<&str, Vec<&Calls>> = BTreeMap::new();
    for calls in parts.iter().flat_map(|times| &times.calls) {
        by_edge.entry(&calls.edge).or_default().push(calls);
    }
    let whole = |(edge, calls): (&str, Vec<&Calls>)| {
        let count = calls.iter().map(|calls| calls.count).sum();
        Ok(Calls {
            edge: edge.to_owned(),
            count,
            per_request: count as f64 / roots.max(1) as f64,
            latency: sum(&calls.iter().map(|calls| &calls.latency).collect::<Vec<_>>())?,
        })
    };
    by_edge.into_iter().map(whole).collect()
}

/// The slowest first; those with the fewest requests share a place where there are too many.
fn routes(parts: &[&EdgeTimes]) -> Result<Vec<EdgeRoute>, String> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for route in parts.iter().flat_map(|times| &times.routes).filter(|route| route.route != OTHERS) {
        *counts.entry(&route.route).or_default() += route.latency.count;
    }
    let mut names: Vec<(&str, u64)> = counts.into_iter().collect();
    names.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    let kept: BTreeSet<&str> = names.into_iter().take(ROUTES - 1).map(|(name, _)| name).collect();
    let mut by_name: BTreeMap<&str, Vec<&EdgeRoute>> = BTreeMap::new();
    for route in parts.iter().flat_map(|times| &times.routes) {
        let name = kept.get(route.route.as_str()).copied().unwrap_or(OTHERS);
        by_name.entry(name).or_default().push(route);
    }
    let whole = |(name, routes): (&str, Vec<&EdgeRoute>)| {
        Ok::<_, String>(EdgeRoute {
            route: name.to_owned(),
            latency: sum(&routes.iter().map(|route| &route.latency).collect::<Vec<_>>())?,
            own: sum(&routes.iter().map(|route| &route.own).collect::<Vec<_>>())?,
            slow: mean(routes.iter().filter_map(|route| route.slow.as_ref())),
        })
    };
    let mut routes: Vec<EdgeRoute> = by_name.into_iter().map(whole).collect::<Result<_, _>>()?;
    routes.sort_by_key(|route| std::cmp::Reverse(route.latency.p99));
    Ok(routes)
}

/// The mean of means, each weighed by how many exchanges it is of.
fn mean<'r>(all: impl Iterator<Item = &'r Split>) -> Option<Split> {
    let all: Vec<&Split> = all.collect();
    let count: u64 = all.iter().map(|split| split.count).sum();
    let weighed = |us: &dyn Fn(&Split) -> u64| {
        let sum: u128 = all.iter().map(|split| u128::from(us(split)) * u128::from(split.count)).sum();
        u64::try_from(sum / u128::from(count.max(1))).unwrap_or(u64::MAX)
    };
    let called: BTreeSet<&str> =
        all.iter().flat_map(|split| split.calls.iter().map(|call| call.edge.as_str())).collect();
    let in_calls = |split: &Split, edge: &str| {
        split.calls.iter().find(|call| call.edge == edge).map_or(0, |call| call.us)
    };
    let call =
        |edge: &&str| CallTime { edge: (*edge).to_owned(), us: weighed(&|split| in_calls(split, edge)) };
    (!all.is_empty()).then(|| Split {
        count,
        took_us: weighed(&|split| split.took_us),
        own_us: weighed(&|split| split.own_us),
        calls: called.iter().map(call).collect(),
    })
}

/// Of an edge, as the proxy has them.
const ROUTES: usize = 64;
/// All others, in the proxy's words.
const OTHERS: &str = "(other)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::tally::Tally;
    use captures::shape::bucket;

    fn times(of: &[u64]) -> Times {
        let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
        of.iter().for_each(|us| *counts.entry(bucket(*us).into()).or_default() += 1);
        Times::new(counts, of.iter().copied().max().unwrap_or(0))
    }

    /// Roots of `front` that took so long, every second with a call to `payments` of half of that.
    fn report(roots: &[u64], shard: &str) -> Report {
        let called: Vec<u64> = roots.iter().step_by(2).map(|us| us / 2).collect();
        let split = |us: u64| {
            let calls = vec![CallTime { edge: "payments".to_owned(), us: us / 2 }];
            Split { count: roots.len() as u64, took_us: us, own_us: us - us / 2, calls }
        };
        let front = EdgeTimes {
            latency: times(roots),
            upstream: Some(times(roots)),
            own: Some(times(roots)),
            calls: vec![Calls {
                edge: "payments".to_owned(),
                count: called.len() as u64,
                per_request: called.len() as f64 / roots.len() as f64,
                latency: times(&called),
            }],
            typical: Some(split(1000)),
            routes: vec![EdgeRoute {
                route: "GET /".to_owned(),
                latency: times(roots),
                own: times(roots),
                slow: Some(split(9000)),
            }],
            unjoined: 1,
            chain_shed: 0,
        };
        let payments =
            EdgeTimes { latency: times(&called), own: Some(times(&called)), ..EdgeTimes::default() };
        let edge = |name: &str, seen: usize, times| Edge {
            name: name.to_owned(),
            seen: seen as u64,
            times,
            slow: None,
        };
        let mut report = sample::report(&Tally::new(0, false), shard);
        report.edges = vec![edge("front", roots.len(), front), edge("payments", called.len(), payments)];
        report
    }

    fn parts() -> (Vec<u64>, [Report; 2]) {
        let all: Vec<u64> = (0..400_u64).map(|n| 500 + n * n % 90_001).collect();
        let (one, two) = all.split_at(100);
        let reports = [report(one, "1/2"), report(two, "2/2")];
        (all, reports)
    }

    #[test]
    fn the_parts_are_the_whole() {
        let (all, [one, two]) = parts();
        let whole = report(&all, "1/1");
        let merged = edges(&[&one, &two]).unwrap();
        assert_eq!(edges(&[&whole]).unwrap(), whole.edges, "one alone stays as it is");
        for (merged, whole) in merged.iter().zip(&whole.edges) {
            assert_eq!((&merged.name, merged.seen), (&whole.name, whole.seen));
            let (merged, whole) = (&merged.times, &whole.times);
            assert_eq!(
                (&merged.latency, &merged.upstream, &merged.own),
                (&whole.latency, &whole.upstream, &whole.own)
            );
            assert_eq!((&merged.calls, &merged.typical), (&whole.calls, &whole.typical));
            assert_eq!(merged.routes, whole.routes);
        }
        assert_eq!(merged[0].times.unjoined, 2);
        let again = edges(&[&Report { edges: merged.clone(), ..one }]).unwrap();
        assert_eq!(again, merged, "what is merged can be merged");
    }

    #[test]
    fn an_edge_of_one_run_only_and_figures_without_buckets() {
        let (_, [mut one, mut two]) = parts();
        two.edges[1].name = "search".to_owned();
        one.edges[0].times.latency.buckets.clear();
        let merged = edges(&[&one, &two]).unwrap();
        let names: Vec<&str> = merged.iter().map(|edge| edge.name.as_str()).collect();
        assert_eq!(names, ["front", "payments", "search"]);
        let (latency, parts) =
            (&merged[0].times.latency, [&one, &two].map(|run| &run.edges[0].times.latency));
        assert_eq!((latency.count, latency.p99), (400, parts[0].p99.max(parts[1].p99)));
        assert!(latency.buckets.is_empty(), "what is not known is not made up");
    }

    #[test]
    fn more_routes_than_there_are_places_share_one() {
        let (_, [mut one, two]) = parts();
        let route = |n: u64| EdgeRoute {
            route: format!("GET /{n}"),
            latency: times(&vec![5; n as usize]),
            ..EdgeRoute::default()
        };
        one.edges[0].times.routes = (1..=70).map(route).collect();
        let merged = &edges(&[&one, &two]).unwrap()[0].times.routes;
        let others = merged.iter().find(|route| route.route == OTHERS).unwrap();
        assert_eq!((merged.len(), others.latency.count), (64, (1..=8).sum::<u64>()));
    }

    #[test]
    fn buckets_that_are_none_are_refused() {
        for wrong in [vec![1, 2, 3], vec![70_000, 400], vec![1, 1]] {
            let (_, [mut one, two]) = parts();
            one.edges[0].times.latency.buckets = wrong;
            let err = edges(&[&one, &two]).unwrap_err();
            assert!(err.contains("edge front"), "{err}");
        }
    }
}
