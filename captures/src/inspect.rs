//! What a capture is made of, in figures.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::Exchange;
use crate::damage::Damage;
use crate::error::Error;
use crate::export::rfc3339;
use crate::header::FileHeader;
use crate::limits::MAX_COUNTED;
use crate::shape::counted::Counted;
use crate::shape::histogram::Histogram;
use crate::shape::{Figures, Percentiles, Shape};
use crate::verify::verify_with;

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
    /// Routes, sessions, think times, arrivals, transitions.
    #[serde(flatten)]
    pub shape: Figures,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests by host, the most frequent first; bounded as the routes are. Empty: not known.
    pub hosts: Vec<Count>,
    /// Requests by the edge that saw them, the most frequent first; bounded likewise.
    pub edges: Vec<Count>,
    /// Requests by version of HTTP.
    pub protocols: BTreeMap<&'static str, u64>,
    /// Streams by kind: `sse`, `websocket`, `grpc`.
    pub streams: BTreeMap<&'static str, Streams>,
    /// Durations in microseconds, of requests whose duration is known.
    pub duration_us: Option<Percentiles>,
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

/// Reads a whole capture and counts.
///
/// # Errors
/// As [`crate::verify::verify`].
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection, Error> {
    let mut figures = Inspection::default();
    let mut shape = Shape::default();
    let (mut hosts, mut edges) = (Counted::new(MAX_COUNTED), Counted::new(MAX_COUNTED));
    let mut durations = Histogram::default();
    let mut span = (u64::MAX, 0);
    let verification = verify_with(path, |header, exchanges| {
        if !exchanges.is_empty() {
            span = (span.0.min(header.first_us), span.1.max(header.last_us));
        }
        for exchange in &exchanges {
            figures.count(exchange);
            shape.observe(exchange);
            hosts.add(exchange.request.authority.clone());
            edges.add(exchange.edge.clone());
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
    shape.finish();
    figures.shape = shape.figures();
    (figures.hosts, figures.edges) = (counts(&hosts), counts(&edges));
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

/// The most frequent names, and the others together.
fn counts(counted: &Counted<String>) -> Vec<Count> {
    let sorted = counted.sorted();
    let others = counted.others() + sorted.iter().skip(MAX_COUNTED).map(|(_, n)| n).sum::<u64>();
    let mut counts: Vec<Count> =
        sorted.into_iter().take(MAX_COUNTED).map(|(name, requests)| Count { name, requests }).collect();
    if others != 0 {
        counts.push(Count { name: "other".to_owned(), requests: others });
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        let mut counted = Counted::new(MAX_COUNTED);
        (0..MAX_COUNTED + 5).for_each(|n| counted.add(n.to_string()));
        counted.add("0".to_owned());
        let sorted = counts(&counted);
        assert_eq!(sorted.first(), Some(&Count { name: "0".to_owned(), requests: 2 }));
        assert_eq!(sorted.last(), Some(&Count { name: "other".to_owned(), requests: 5 }));
    }
}
