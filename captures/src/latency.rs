//! How long the exchanges of a capture took, route by route: for delays that are to be like the recorded ones.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::error::Error;
use crate::limits::MAX_COUNTED;
use crate::reader::Reader;
use crate::{Exchange, route};

/// The durations of one route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteLatency {
    /// The method, as sent; empty for the routes beyond [`MAX_COUNTED`], which are one.
    pub method: String,
    /// The path with identifiers as `{id}` ([`route::template`]).
    pub path: String,
    /// Durations in microseconds, exact to 0.4 %, and how many exchanges took so long; rising.
    pub durations: Vec<(u64, u64)>,
}

/// Reads a whole capture; takes the memory of one block and of the different durations of each route. Exchanges that a fault
/// touched and those of unknown duration are left out; of a stream the time to its first byte counts, since its length is
/// what it had to say.
///
/// # Errors
/// When the file cannot be opened, is no capture, or is of a later version. Damaged blocks are passed over.
pub fn latencies(path: impl AsRef<Path>) -> Result<Vec<RouteLatency>, Error> {
    let mut routes: HashMap<(String, String), BTreeMap<u64, u64>> = HashMap::new();
    for exchange in Reader::open(path)?.exchanges().filter_map(Result::ok) {
        let Some(time) = duration(&exchange) else { continue };
        let path = route::template(exchange.request.path()).into_owned();
        let mut key = (exchange.request.method, path);
        if MAX_COUNTED <= routes.len() && !routes.contains_key(&key) {
            key = (String::new(), String::new());
        }
        *routes.entry(key).or_default().entry(rounded(time)).or_default() += 1;
    }
    let mut found: Vec<_> = routes
        .into_iter()
        .map(|((method, path), durations)| RouteLatency {
            method,
            path,
            durations: durations.into_iter().collect(),
        })
        .collect();
    found.sort_by(|a, b| (&a.method, &a.path).cmp(&(&b.method, &b.path)));
    Ok(found)
}

fn duration(exchange: &Exchange) -> Option<u64> {
    if !exchange.faults.is_empty() {
        return None;
    }
    if exchange.stream.is_some() { exchange.ttfb_us } else { exchange.duration_us }
}

/// The middle of its bucket, of 128 for each power of two; small ones are exact.
fn rounded(us: u64) -> u64 {
    let shift = (us | 255).ilog2() - 7;
    ((us >> shift) << shift) + ((1 << shift) >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact_to_a_few_thousandths() {
        for us in [0, 1, 255, 256, 257, 1_000, 123_456, 60_000_000, u64::MAX] {
            assert!(rounded(us).abs_diff(us) as f64 <= us as f64 * 0.004, "{us}: {}", rounded(us));
        }
        assert_eq!(rounded(255), 255);
    }
}
