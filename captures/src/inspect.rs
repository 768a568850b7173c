//! What a capture is made of, in figures.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Serialize;

use crate::damage::Damage;
use crate::error::Error;
use crate::export::rfc3339;
use crate::header::FileHeader;
use crate::limits::MAX_COUNTED;
use crate::verify::verify_with;
use crate::{Exchange, route};

/// The figures of a capture. The names are stable.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Inspection {
    /// Sessions.
    pub sessions: u64,
    /// Requests.
    pub requests: u64,
    /// From the first start to the last.
    pub span_us: u64,
    /// When the first request began, RFC 3339; empty for an empty capture.
    pub first: String,
    /// When the last request began.
    pub last: String,
    /// Good blocks.
    pub blocks: u64,
    /// Blocks lost to damage.
    pub damaged_blocks: u64,
    /// What the recorder let go, by reason.
    pub shed: BTreeMap<String, u64>,
    /// Length of the file.
    pub bytes: u64,
    /// Bytes of the file for each request.
    pub bytes_per_request: f64,
    /// Requests touched by fault rules.
    pub faulted: u64,
    /// Requests without an answer.
    pub unanswered: u64,
    /// Requests by route, the most frequent first; at most [`MAX_COUNTED`], the rest as `other`.
    pub routes: Vec<Count>,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests by host, the most frequent first; bounded as the routes are. Empty: not known.
    pub hosts: Vec<Count>,
    /// Requests by version of HTTP.
    pub protocols: BTreeMap<&'static str, u64>,
    /// Streams by kind: `sse`, `websocket`, `grpc`.
    pub streams: BTreeMap<&'static str, Streams>,
    /// Durations in microseconds, of requests whose duration is known.
    pub duration_us: Option<Durations>,
    /// Whether the capture was closed cleanly.
    pub closed: bool,
    /// What is damaged.
    pub damage: Vec<Damage>,
    /// What it says about itself.
    pub header: FileHeader,
}

/// How often something was met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// What.
    pub name: String,
    /// How often.
    pub requests: u64,
}

/// Streams of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Streams {
    /// Requests that were such a stream.
    pub requests: u64,
    /// Messages that clients sent.
    pub from_clients: u64,
    /// Messages that servers sent.
    pub from_servers: u64,
    /// Messages that were not kept.
    pub truncated: u64,
}

/// Percentiles, exact to 3 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Durations {
    /// How many durations are known.
    pub count: u64,
    /// Half took no longer.
    pub p50: u64,
    /// 99 of 100 took no longer.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

/// Reads a whole capture and counts.
///
/// # Errors
/// As [`crate::verify::verify`].
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection, Error> {
    let mut figures = Inspection::default();
    let mut routes = Counts::default();
    let mut hosts = Counts::default();
    let mut durations = Histogram::default();
    let mut span = (u64::MAX, 0);
    let verification = verify_with(path, |header, exchanges| {
        if !exchanges.is_empty() {
            span = (span.0.min(header.first_us), span.1.max(header.last_us));
        }
        for exchange in &exchanges {
            figures.count(exchange);
            routes.add(format!("{} {}", exchange.request.method, route::template(exchange.request.path())));
            hosts.add(exchange.request.authority.clone());
            exchange.duration_us.into_iter().for_each(|us| durations.add(us));
        }
    })?;
    figures.sessions = verification.sessions;
    figures.requests = verification.exchanges;
    if span.0 <= span.1 {
        figures.span_us = span.1 - span.0;
        (figures.first, figures.last) = (rfc3339(span.0), rfc3339(span.1));
    }
    figures.blocks = verification.blocks;
    figures.damaged_blocks = verification.damaged_blocks();
    figures.bytes = verification.bytes;
    if figures.requests != 0 {
        figures.bytes_per_request = (figures.bytes as f64 / figures.requests as f64 * 100.0).round() / 100.0;
    }
    figures.routes = routes.into_sorted();
    figures.hosts = hosts.into_sorted();
    figures.duration_us = durations.percentiles();
    figures.closed = verification.closed;
    figures.shed = verification.shed;
    figures.damage = verification.damage;
    figures.header = verification.header;
    Ok(figures)
}

impl Inspection {
    fn count(&mut self, exchange: &Exchange) {
        self.faulted += u64::from(!exchange.faults.is_empty());
        *self.protocols.entry(exchange.protocol.as_str()).or_default() += 1;
        match &exchange.response {
            Some(response) => *self.statuses.entry(response.status).or_default() += 1,
            None => self.unanswered += 1,
        }
        if let Some(stream) = &exchange.stream {
            let streams = self.streams.entry(stream.kind.as_str()).or_default();
            streams.requests += 1;
            streams.from_clients += stream.count(true);
            streams.from_servers += stream.count(false);
            streams.truncated = streams.truncated.saturating_add(stream.truncated);
        }
    }
}

/// Counts by name, of a bounded number of names.
#[derive(Default)]
struct Counts {
    by_name: HashMap<String, u64>,
    other: u64,
}

impl Counts {
    fn add(&mut self, name: String) {
        if self.by_name.len() < MAX_COUNTED || self.by_name.contains_key(&name) {
            *self.by_name.entry(name).or_default() += 1;
        } else {
            self.other += 1;
        }
    }

    fn into_sorted(self) -> Vec<Count> {
        let mut counts: Vec<Count> =
            self.by_name.into_iter().map(|(name, requests)| Count { name, requests }).collect();
        counts.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.name.cmp(&b.name)));
        if self.other != 0 {
            counts.push(Count { name: "other".to_owned(), requests: self.other });
        }
        counts
    }
}

/// 32 buckets for each power of two: how far a value is shifted, and what is left of it.
#[derive(Default)]
struct Histogram {
    buckets: BTreeMap<(u32, u64), u64>,
    count: u64,
    max: u64,
}

impl Histogram {
    fn add(&mut self, value: u64) {
        let shift = (value | 63).ilog2() - 5;
        *self.buckets.entry((shift, value >> shift)).or_default() += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    /// The largest value of the bucket in which that share of all values is reached.
    fn at(&self, share: f64) -> u64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for ((shift, top), count) in &self.buckets {
            seen += count;
            if wanted <= seen {
                return ((top << shift) + ((1 << shift) - 1)).min(self.max);
            }
        }
        self.max
    }

    fn percentiles(&self) -> Option<Durations> {
        (self.count != 0).then(|| Durations {
            count: self.count,
            p50: self.at(0.5),
            p99: self.at(0.99),
            max: self.max,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact_to_a_few_percent() {
        for scale in [1u64, 7, 1000, 1_000_003] {
            let mut histogram = Histogram::default();
            (1..=1000u64).for_each(|n| histogram.add(n * scale));
            let found = histogram.percentiles().unwrap();
            for (value, expected) in [(found.p50, 500 * scale), (found.p99, 990 * scale)] {
                let error = value.abs_diff(expected) as f64 / expected as f64;
                assert!(error < 0.035, "{value} for {expected}");
            }
            assert_eq!(found.max, 1000 * scale);
        }
        let mut histogram = Histogram::default();
        [0, u64::MAX].into_iter().for_each(|value| histogram.add(value));
        assert_eq!(histogram.percentiles().unwrap().max, u64::MAX);
    }

    #[test]
    fn names_are_bounded() {
        let mut counts = Counts::default();
        (0..MAX_COUNTED + 5).for_each(|n| counts.add(n.to_string()));
        counts.add("0".to_owned());
        let sorted = counts.into_sorted();
        assert_eq!(sorted.first(), Some(&Count { name: "0".to_owned(), requests: 2 }));
        assert_eq!(sorted.last(), Some(&Count { name: "other".to_owned(), requests: 5 }));
    }
}
