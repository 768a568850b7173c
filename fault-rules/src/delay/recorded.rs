//! Delays as long as recorded exchanges took, route by route.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Table;
use crate::decide::Facts;
use crate::matcher::{Methods, Template};

/// How long the recorded exchanges of one route took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteLatency {
    /// The method, as sent.
    pub method: String,
    /// Path template: identifiers as `{id}`, everything else as it was sent.
    pub path: String,
    /// Durations with the number of exchanges that took so long, rising.
    pub durations: Vec<(Duration, u64)>,
}

/// How long recorded exchanges took, by route.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The capture, as named in the rule.
    pub capture: String,
    /// Every draw is multiplied by this.
    pub scale: f64,
    routes: Vec<(Methods, Template, Table)>,
    /// Of routes that were not recorded.
    pub(super) all: Table,
}

impl Recorded {
    /// The latencies of a capture; `None` where no duration is known. Routes whose path cannot be written as a template
    /// count only among those of all routes.
    #[must_use]
    pub fn new(capture: &str, scale: f64, routes: &[RouteLatency]) -> Option<Self> {
        let mut all: Vec<_> = routes.iter().flat_map(|route| route.durations.iter().copied()).collect();
        all.sort_by_key(|(time, _)| *time);
        let one = |route: &RouteLatency| {
            let methods = Methods::NONE.with(&route.method)?;
            Some((methods, Template::of_route(&route.path)?, table(&route.durations)?))
        };
        let mut routes: Vec<_> = routes.iter().filter_map(one).collect();
        // The more names a template has, the more it matches: the narrower ones are asked first.
        routes.sort_by_key(|(_, path, _)| path.names().count());
        Some(Self { capture: capture.to_owned(), scale, routes, all: table(&all)? })
    }

    /// Routes that are known by themselves.
    #[must_use]
    pub fn routes(&self) -> usize {
        self.routes.len()
    }

    pub(super) fn table(&self, facts: &Facts<'_>) -> &Table {
        let of_route = |(methods, path, _): &&(Methods, Template, Table)| {
            methods.contains(facts.method) && path.matches(facts.path)
        };
        self.routes.iter().find(of_route).map_or(&self.all, |(_, _, table)| table)
    }
}

/// A hash of all that was recorded: equal captures give equal rules.
pub(crate) fn fingerprint(routes: &[RouteLatency], seed: u64) -> u64 {
    routes.iter().fold(seed, |hash, route| {
        let hash = xxh3_64_with_seed(route.method.as_bytes(), hash);
        let hash = xxh3_64_with_seed(route.path.as_bytes(), hash);
        route.durations.iter().fold(hash, |hash, (time, count)| {
            let hash = xxh3_64_with_seed(&time.as_nanos().to_le_bytes(), hash);
            xxh3_64_with_seed(&count.to_le_bytes(), hash)
        })
    })
}

/// The quantile function of counted durations: the n-th of N stands at (n - 1/2) / N, and between equal ones it is flat.
fn table(durations: &[(Duration, u64)]) -> Option<Table> {
    let total: u64 = durations.iter().map(|(_, count)| count).sum();
    let mut points = Vec::new();
    let mut before = 0_u64;
    for (time, count) in durations.iter().filter(|(_, count)| 0 < *count) {
        let at = |nth: u64| (nth as f64 + 0.5) / total as f64;
        points.push((at(before), *time));
        if 1 < *count {
            points.push((at(before + count - 1), *time));
        }
        before += count;
    }
    Table::new(&points)
}
