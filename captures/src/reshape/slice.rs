//! A part of a capture.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::error::Error;
use crate::{Exchange, Reader, SessionId, route};

/// Which exchanges of a capture: all that is said must hold; what is `None` says nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slice {
    /// Not before this: microseconds since the first exchange of the capture.
    pub from_us: Option<u64>,
    /// Before this: microseconds since the first exchange of the capture.
    pub to_us: Option<u64>,
    /// Only these sessions.
    pub sessions: Option<BTreeSet<SessionId>>,
    /// Only the sessions that began first, so many.
    pub first_sessions: Option<usize>,
    /// Only a share of the sessions, 0.0 to 1.0, by a hash of their number: a larger share holds those of a smaller one.
    pub share: Option<f64>,
    /// Only this edge.
    pub edge: Option<String>,
    /// Only requests whose method and path (or its template) begin with this: `GET /api`, `/api/cart/{id}`.
    pub route: Option<String>,
    /// No exchange that a fault touched.
    pub organic: bool,
}

impl Slice {
    /// The same with times counted from 1970 and the first sessions by number; reads the capture once where that needs it.
    pub(super) fn counted_from(&self, input: &Path) -> Result<Slice, Error> {
        let mut slice = self.clone();
        if self.from_us.is_none() && self.to_us.is_none() && self.first_sessions.is_none() {
            return Ok(slice);
        }
        let mut began: BTreeMap<SessionId, u64> = BTreeMap::new();
        for exchange in Reader::open(input)?.exchanges().flatten() {
            let at = began.entry(exchange.session).or_insert(u64::MAX);
            *at = (*at).min(exchange.start_us);
        }
        let start = began.values().min().copied().unwrap_or_default();
        let shifted = |time: Option<u64>| time.map(|time| start.saturating_add(time));
        (slice.from_us, slice.to_us) = (shifted(self.from_us), shifted(self.to_us));
        if let Some(n) = self.first_sessions {
            let mut order: Vec<_> = began.into_iter().map(|(session, at)| (at, session)).collect();
            order.sort_unstable();
            let first: BTreeSet<_> = order.into_iter().take(n).map(|(_, session)| session).collect();
            slice.sessions = Some(match &self.sessions {
                Some(named) => first.intersection(named).copied().collect(),
                None => first,
            });
        }
        Ok(slice)
    }

    /// Whether an exchange is meant; times count from 1970 here.
    pub(super) fn means(&self, exchange: &Exchange) -> bool {
        let in_time = self.from_us.is_none_or(|from| from <= exchange.start_us)
            && self.to_us.is_none_or(|to| exchange.start_us < to);
        in_time
            && self.sessions.as_ref().is_none_or(|sessions| sessions.contains(&exchange.session))
            && self.share.is_none_or(|share| unit(exchange.session) < share)
            && self.edge.as_ref().is_none_or(|edge| *edge == exchange.edge)
            && (!self.organic || exchange.faults.is_empty())
            && self.route.as_ref().is_none_or(|route| is_on(route, exchange))
    }
}

/// A number from 0 to 1 that belongs to a session.
fn unit(session: SessionId) -> f64 {
    (xxh3_64(&session.0.to_le_bytes()) >> 11) as f64 / (1_u64 << 53) as f64
}

fn is_on(route: &str, exchange: &Exchange) -> bool {
    let (method, path) = match route.split_once(' ') {
        Some((method, path)) => (Some(method), path),
        None if route.starts_with('/') => (None, route),
        None => (Some(route), ""),
    };
    method.is_none_or(|method| method == exchange.request.method)
        && (exchange.request.path().starts_with(path)
            || route::template(exchange.request.path()).starts_with(path))
}
