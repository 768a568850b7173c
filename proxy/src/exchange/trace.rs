//! The span of an exchange. The request goes on unchanged, its `traceparent` too: the span is a child of the caller's, beside
//! what the upstream makes of the same header. Where the trace is to be continued, the header names the span instead: then what
//! the upstream makes of it is a child of ours.

use pingora_http::RequestHeader;
use telemetry::otlp::{Exporter, Parent, Span, Value};

use super::settle::Ending;
use super::{Became, Open};
use crate::shared::Shared;

/// A span that has begun.
pub(super) struct Trace {
    span: Span,
    /// It is sent even if no rule touched the exchange.
    is_sampled: bool,
    method: String,
    path: String,
}

impl Trace {
    pub(super) fn begin(request: &RequestHeader, traces: &Exporter) -> Trace {
        let header = request.headers.get("traceparent").and_then(|value| value.to_str().ok());
        let (span, is_sampled) = traces.begin(header.and_then(Parent::read));
        let path = request.uri.path().chars().take(MOST_PATH).collect();
        Trace { span, is_sampled, method: request.method.as_str().to_owned(), path }
    }

    pub(super) fn end(self, open: &Open, ending: Ending, shared: &Shared) {
        let Some(traces) = shared.traces.get() else { return };
        let (rules, actions) = injected(open, ending);
        if rules.is_empty() && !self.is_sampled {
            return;
        }
        let Trace { mut span, method, path, .. } = self;
        let text = |text: &str| Value::Text(text.to_owned());
        span.start_ns = u128::from(open.started_wall_us) * 1000;
        span.end_ns = span.start_ns + open.elapsed().as_nanos();
        span.name.clone_from(&method);
        let status = open.answer.status();
        span.is_error = status.is_none_or(|status| 500 <= status);
        span.attributes = vec![
            ("http.request.method", Value::Text(method)),
            ("url.path", Value::Text(path)),
            ("network.protocol.version", text(if open.http2 { "2" } else { "1.1" })),
            ("squall.edge", text(&shared.edges[open.edge].name)),
            ("squall.outcome", text(ending.name())),
        ];
        if let Some(status) = status {
            span.attributes.push(("http.response.status_code", Value::Number(status.into())));
        }
        if let Some(identity) = &open.identity {
            span.attributes.push(("squall.session", Value::Text(identity.told_session())));
            span.attributes.push(("squall.op", Value::Text(identity.told_op())));
        }
        if !rules.is_empty() {
            span.attributes.push(("squall.rule", Value::Texts(rules)));
            span.attributes.push(("squall.action", Value::Texts(actions)));
        }
        traces.send(span);
    }
}

impl Open {
    /// What the request is to say of its span in place of what the caller said; `None`: it goes on as it came. Only a span
    /// that will certainly be sent is named, or what the upstream makes of it would be nobody's child.
    pub(crate) fn traceparent(&self, shared: &Shared) -> Option<String> {
        let trace = self.trace.as_ref().filter(|_| shared.config.otlp_continue)?;
        (trace.is_sampled || self.is_touched()).then(|| trace.span.traceparent())
    }
}

/// What rules did to it, each with what it did; also the one that held it until its client left.
fn injected(open: &Open, ending: Ending) -> (Vec<String>, Vec<String>) {
    let applied = open.plan.parts.iter().filter(|part| matches!(part.became, Became::Applied(_)));
    let own = applied.map(|part| (open.live.ids[part.rule].to_string(), part.name(&open.live).to_owned()));
    let collateral = open.ctl.ended_by().filter(|_| ending == Ending::Collateral);
    let is_gone = matches!(ending, Ending::ClientGone | Ending::ClientGoneAfter);
    let held = open.held.filter(|_| is_gone).map(|(part, _)| &open.plan.parts[part]);
    let held = held.map(|part| (open.live.ids[part.rule].to_string(), part.name(&open.live).to_owned()));
    own.chain(held).chain(collateral.map(|ended| (ended.rule.to_string(), ended.action.to_owned()))).unzip()
}

/// A longer path is cut: a span has room for so much.
const MOST_PATH: usize = 512;
