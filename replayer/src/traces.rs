//! Spans of a share of all operations, for a collector (`--otlp URL`).
//!
//! Who a span is follows from the run, the operation and the attempt: the same is said when a request leaves (its
//! `traceparent`) and when it has ended (the span), and nothing is kept between. An operation is a trace of its own, its
//! attempts begin it; whoever is asked and continues the header is below them. No two runs and no two clones share one.

use std::sync::Arc;

use telemetry::otlp::{Exporter, Span, Value, is_sampled, now_ns};

use crate::evidence::Fate;
use crate::identity::{Lane, prf, push_hex16};
use crate::report::Spans;

/// The spans of a run.
#[derive(Debug)]
pub(crate) struct Traces {
    exporter: Arc<Exporter>,
    seed: u64,
    share: f64,
}

/// Which span of which trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    trace: [u64; 2],
    span: u64,
}

/// What is told of an attempt that has ended. Times on the clock of the run.
#[derive(Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) route: &'a str,
    pub(crate) path: &'a [u8],
    /// Recorded session and clone.
    pub(crate) clone: (u64, u32),
    pub(crate) operation: u64,
    pub(crate) attempt: u32,
    pub(crate) fate: Fate,
    /// Rules that the answer names.
    pub(crate) rules: Option<&'a str>,
    pub(crate) took_ns: u64,
    /// How long ago it ended.
    pub(crate) ago_ns: u64,
}

impl Traces {
    /// For the run with that tag: 8 hex digits.
    pub(crate) fn new(exporter: Arc<Exporter>, run: &str, seed: u64, share: f64) -> Traces {
        let run = u64::from_str_radix(run, 16).unwrap_or(0);
        Traces { exporter, seed: prf(seed, Lane::Trace, [run, 0, 0]), share }
    }

    /// The span of an attempt; `None`: its operation is not sampled.
    pub(crate) fn name(&self, operation: u64, attempt: u32) -> Option<Name> {
        let word = |part: u64| prf(self.seed, Lane::Trace, [operation, part, 1]).max(1);
        let low = word(0);
        let sampled = is_sampled(low.into(), self.share);
        sampled.then(|| Name { trace: [word(1), low], span: word(2 + u64::from(attempt)) })
    }

    /// Sends the span of an attempt; never waits.
    pub(crate) fn send(&self, name: Name, ended: &Ended<'_>) {
        let [high, low] = name.trace.map(u128::from);
        let mut span = Span::first(high << 64 | low, name.span);
        span.end_ns = now_ns().saturating_sub(ended.ago_ns.into());
        span.start_ns = span.end_ns.saturating_sub(ended.took_ns.into());
        ended.route.clone_into(&mut span.name);
        let (session, clone) = ended.clone;
        let path = String::from_utf8_lossy(ended.path).chars().take(MOST_PATH).collect();
        span.attributes = vec![
            ("url.path", Value::Text(path)),
            ("squall.session", Value::Text(format!("{session:x}-{clone}"))),
            ("squall.op", Value::Text(format!("{:016x}", ended.operation))),
            ("squall.attempt", Value::Number(ended.attempt.into())),
        ];
        let method =
            ended.route.split(' ').next().filter(|word| word.bytes().all(|b| b.is_ascii_uppercase()));
        let method = method.map(|method| ("http.request.method", Value::Text(method.to_owned())));
        let status = ended.fate.as_status();
        let status_said = status.map(|status| ("http.response.status_code", Value::Number(status.into())));
        let failure = ended.fate.as_failure();
        let failure = failure.map(|failure| ("error.type", Value::Text(failure.name().to_owned())));
        let rules = ended.rules.map(|rules| {
            let names = rules.split(',').map(|rule| rule.trim().to_owned());
            ("squall.rule", Value::Texts(names.collect()))
        });
        span.attributes.extend([method, status_said, failure, rules].into_iter().flatten());
        span.is_error = status.is_none_or(|status| 400 <= status);
        self.exporter.send(span);
    }
}

impl Name {
    /// Appends the value of a `traceparent`: it is sampled.
    pub(crate) fn push(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"00-");
        self.trace.iter().for_each(|half| push_hex16(out, *half));
        out.push(b'-');
        push_hex16(out, self.span);
        out.extend_from_slice(b"-01");
    }
}

impl Spans {
    pub(crate) fn of(exporter: &Exporter) -> Spans {
        let mut spans = Spans::default();
        for (name, count) in exporter.counts() {
            match name {
                "sent" => spans.sent = count,
                "shed" => spans.shed = count,
                _ => spans.lost += count,
            }
        }
        spans
    }

    /// What the user should know of them.
    pub(crate) fn trouble(&self) -> Option<String> {
        let all = self.sent + self.shed + self.lost;
        let missing = self.shed + self.lost;
        (0 < missing).then(|| {
            format!(
                "{missing} of {all} spans did not come to the collector: {} found no room in the queue",
                self.shed
            )
        })
    }
}

/// A longer path is cut: a span has room for so much.
const MOST_PATH: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn traces(run: &str, share: f64) -> Traces {
        let collector = "http://127.0.0.1:9".parse().expect("a URL");
        let exporter = Exporter::start(collector, "test", 0.0, Vec::new).expect("a thread");
        Traces::new(Arc::new(exporter), run, 7, share)
    }

    fn said(name: Name) -> String {
        let mut out = Vec::new();
        name.push(&mut out);
        String::from_utf8(out).expect("hex is text")
    }

    #[test]
    fn attempts_share_a_trace_and_nobody_else_does() {
        let run = traces("0000000a", 1.0);
        let name =
            |traces: &Traces, op: u64, attempt: u32| said(traces.name(op, attempt).expect("all are sampled"));
        let first = name(&run, 1, 1);
        assert_eq!((first.len(), &first[..3], &first[52..]), (55, "00-", "-01"));
        assert_eq!(first, name(&run, 1, 1), "what is sent is what is told");
        let again = name(&run, 1, 2);
        assert_eq!(first[..35], again[..35]);
        assert_ne!(first[36..52], again[36..52]);
        let others = [name(&run, 2, 1), name(&traces("0000000b", 1.0), 1, 1)];
        assert!(others.iter().all(|other| other[3..35] != first[3..35]), "{first} {others:?}");
        let span = Span::first(u128::from_str_radix(&first[3..35], 16).expect("hex"), 1);
        assert!(span.traceparent().starts_with(&first[..35]), "the header and the span agree on the digits");
    }

    #[test]
    fn a_share_of_operations_is_sampled() {
        let run = traces("0000000a", 0.1);
        let sampled = (0..10_000).filter(|op| run.name(*op, 1).is_some()).count();
        assert!((800..1200).contains(&sampled), "{sampled}: chance would be that far off once in 10^10");
        assert!((0..10_000).all(|op| run.name(op, 1).is_some() == run.name(op, 2).is_some()));
    }

    #[test]
    fn what_did_not_arrive_is_said() {
        assert_eq!(Spans { sent: 3, ..Spans::default() }.trouble(), None);
        let words = Spans { sent: 3, shed: 4, lost: 5 }.trouble().expect("words");
        assert!(words.contains("9 of 12") && words.contains("4 found no room"), "{words}");
    }
}
