//! How far two shapes lie apart.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Shape;
use super::curve::WINDOWS;

/// Distances between a capture and one made after it. 0 is equal; 1 is nothing in common, but for the dispersion.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Distances {
    /// Of the session lengths, after Kolmogorov and Smirnov.
    pub session_requests: f64,
    /// Of the think times, likewise.
    pub think: f64,
    /// Of the shares of the routes: half the sum of their differences (total variation).
    pub routes: f64,
    /// Of the shares of the transitions, likewise.
    pub transitions: f64,
    /// Dispersion of the starts of sessions at each window length in microseconds: of the one, and of the other.
    pub dispersion: Vec<(u64, f64, f64)>,
}

impl Shape {
    /// How far `other` is from this one.
    pub(crate) fn distances(&self, other: &Shape) -> Distances {
        let both =
            |window| Some((window, self.sessions.dispersion(window)?, other.sessions.dispersion(window)?));
        Distances {
            session_requests: self.lengths.distance(&other.lengths),
            think: self.think.distance(&other.think),
            routes: total_variation(&self.shares_of_routes(), &other.shares_of_routes()),
            transitions: total_variation(&self.shares_of_transitions(), &other.shares_of_transitions()),
            dispersion: WINDOWS.into_iter().filter_map(both).collect(),
        }
    }

    /// How large distances between two samples of these sizes are by chance alone, were they of one shape; without
    /// dispersion.
    pub(crate) fn noise(&self, other: &Shape) -> Distances {
        let apart = |one: u64, other: u64| (1.0 / one.max(1) as f64 + 1.0 / other.max(1) as f64).sqrt();
        // of independent samples 1 in 20 is farther; what sessions are like is counted by sessions
        let sessions = apart(self.lengths.count(), other.lengths.count());
        let requests = apart(self.requests.count(), other.requests.count());
        let spread = |shares: Vec<f64>| shares.iter().map(|part| (part * (1.0 - part)).sqrt()).sum::<f64>();
        let variation = |shares, samples| spread(shares) * samples / (2.0 * std::f64::consts::PI).sqrt();
        Distances {
            session_requests: KS_95 * sessions,
            think: if self.think.count() == 0 { 0.0 } else { KS_95 * sessions },
            routes: variation(self.shares_of_routes().into_values().collect(), requests).min(1.0),
            transitions: variation(self.shares_of_transitions().into_values().collect(), requests).min(1.0),
            dispersion: Vec::new(),
        }
    }

    fn shares_of_routes(&self) -> BTreeMap<String, f64> {
        let all = self.requests.count() as f64;
        let share = |(route, requests)| (self.routes.name(route).to_owned(), requests as f64 / all);
        self.frequent().into_iter().map(|(route, requests): (u32, u64)| share((route, requests))).collect()
    }

    fn shares_of_transitions(&self) -> BTreeMap<(String, String), f64> {
        let sorted = self.transitions.sorted();
        let all = (sorted.iter().map(|(_, count)| count).sum::<u64>() + self.transitions.others()) as f64;
        let name = |route: u32| self.routes.name(route).to_owned();
        sorted.into_iter().map(|((from, to), n)| ((name(from), name(to)), n as f64 / all)).collect()
    }
}

fn total_variation<K: Ord>(one: &BTreeMap<K, f64>, other: &BTreeMap<K, f64>) -> f64 {
    let share = |of: &BTreeMap<K, f64>, key: &K| of.get(key).copied().unwrap_or_default();
    let shared: f64 = one.iter().map(|(key, part)| (part - share(other, key)).abs()).sum();
    let only_other: f64 = other.iter().filter(|(key, _)| !one.contains_key(key)).map(|(_, part)| part).sum();
    (shared + only_other) / 2.0
}

/// The factor of the test of Kolmogorov and Smirnov at 95 %.
const KS_95: f64 = 1.36;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_nothing_in_common_is_one_apart() {
        let of = |parts: &[(&'static str, f64)]| parts.iter().copied().collect::<BTreeMap<_, _>>();
        let check = |one: &[_], other: &[_], apart: f64| {
            assert!((total_variation(&of(one), &of(other)) - apart).abs() < 1e-12);
        };
        check(&[("a", 1.0)], &[("a", 1.0)], 0.0);
        check(&[("a", 1.0)], &[("b", 1.0)], 1.0);
        check(&[("a", 0.5), ("b", 0.5)], &[("a", 0.75), ("c", 0.25)], 0.5);
    }
}
