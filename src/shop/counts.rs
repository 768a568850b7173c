//! What the shop counts, exactly.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::routes::Route;
use super::store::Totals;

/// What the shop has counted since it opened; the body of `GET /_shop/count`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Requests whose head was parsed, whatever became of them; the paths under `/_shop/` are not counted.
    pub(crate) requests: u64,
    /// The same, by route; the sum is `requests`.
    pub(crate) by_route: BTreeMap<&'static str, u64>,
    /// What came of them.
    #[serde(flatten)]
    pub(crate) totals: Totals,
}

impl Counts {
    /// Adds up what the workers counted. Each number only grows; the sum always fits its parts.
    pub(super) fn sum(tallies: &[Tally], totals: Totals) -> Counts {
        let of = |route: Route| tallies.iter().map(|tally| tally.get(route)).sum::<u64>();
        let by_route: BTreeMap<_, _> =
            Route::ALL.into_iter().map(|route| (route.label(), of(route))).filter(|(_, n)| *n != 0).collect();
        Counts { requests: by_route.values().sum(), by_route, totals }
    }
}

/// The counters of one worker, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Tally([AtomicU64; Route::ALL.len()]);

impl Tally {
    pub(super) fn count(&self, route: Route) {
        self.0[route as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self, route: Route) -> u64 {
        self.0[route as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_fits_its_parts() {
        let tallies = [Tally::default(), Tally::default()];
        tallies[0].count(Route::Home);
        tallies[1].count(Route::Home);
        tallies[1].count(Route::NotFound);
        let counts = Counts::sum(&tallies, Totals::default());
        assert_eq!(counts.requests, 3);
        assert_eq!(counts.by_route, BTreeMap::from([("GET /", 2), ("(not found)", 1)]));
    }
}
