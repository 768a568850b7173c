//! `stale`: an earlier answer is served again, as a replica that lags behind would.
//!
//! Client: status, headers and body of the newest answer that is old enough, with `age`. Upstream: does not see the request.
//! Bound: 1 MiB a body, 64 MiB in all. Where nothing is old enough the request goes on (`nothing_stale`). Client leaves
//! first: counted as answered, since the rule had decided.
//!
//! Answers are kept of GET and HEAD requests that such a rule is about, by edge, method, authority, target and a keyed hash of
//! what identifies the user (`authorization`, `cookie`) and what the answer may depend on (`accept*`). Whole answers of the
//! origin below 500 are kept; not parts of them (206, 304), no event streams, and none with `set-cookie`, which would hand
//! one client's session to another. `cache-control: no-store` is not heeded: it binds caches, while this plays a lagging
//! replica behind the service, and most APIs say it of every answer. What is kept stays in memory and goes with the rule.

mod store;

use std::time::Instant;

use bytes::BytesMut;
use fault_rules::Action;
use fault_rules::action::Stale;
use fault_rules::decide::Why;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use xxhash_rust::xxh3::Xxh3;

use super::{Next, respond};
use crate::exchange::{Became, Exchange, Open, authority, is_event_stream, is_squall_header};
use crate::shared::Shared;

pub(crate) use store::Store;
use store::Version;

/// An answer on its way to be kept.
pub(crate) struct Keeping {
    status: StatusCode,
    headers: HeaderMap,
    body: BytesMut,
    is_too_large: bool,
}

/// The key that answers to this request are kept under; `None` where no rule asks for them.
pub(crate) fn key(request: &RequestHeader, open: &Open, shared: &Shared) -> Option<u128> {
    let rules = open.live.set.rules();
    let is_stale = |action: &Action| matches!(action, Action::Stale(_));
    let is_about = |rule: &u32| rules[*rule as usize].actions().any(is_stale);
    if !matches!(request.method, Method::GET | Method::HEAD) || !open.plan.matched.iter().any(is_about) {
        return None;
    }
    let mut hasher = Xxh3::with_seed(shared.started_wall_us);
    let mut part = |bytes: &[u8]| {
        hasher.update(&bytes.len().to_le_bytes());
        hasher.update(bytes);
    };
    part(&open.edge.to_le_bytes());
    part(request.method.as_str().as_bytes());
    part(authority(request).as_bytes());
    part(request.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).as_bytes());
    for name in TOLD_APART_BY {
        let values = request.headers.get_all(name);
        part(&values.iter().count().to_le_bytes());
        values.iter().for_each(|value| part(value.as_bytes()));
    }
    Some(hasher.digest128())
}

/// The origin's answer begins: is it one to keep?
pub(crate) fn begin(answer: &ResponseHeader) -> Option<Box<Keeping>> {
    let status = answer.status;
    let is_part = matches!(status, StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED);
    let kind = answer.headers.get(header::CONTENT_TYPE);
    let is_stream = kind.is_some_and(|kind| is_event_stream(kind.as_bytes()));
    if status.as_u16() < 200 || 500 <= status.as_u16() || is_part || is_stream {
        return None;
    }
    if answer.headers.contains_key(header::SET_COOKIE) {
        return None;
    }
    let mut headers = answer.headers.clone();
    ENDS_HERE.iter().for_each(|name| drop(headers.remove(name)));
    let ours: Vec<_> = headers.keys().filter(|name| is_squall_header(name.as_str())).cloned().collect();
    ours.iter().for_each(|name| drop(headers.remove(name)));
    Some(Box::new(Keeping { status, headers, body: BytesMut::new(), is_too_large: false }))
}

impl Keeping {
    /// A piece of its body.
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.is_too_large |= MAX_BODY < self.body.len() + chunk.len();
        if self.is_too_large {
            self.body = BytesMut::new();
        } else {
            self.body.extend_from_slice(chunk);
        }
    }

    /// The answer is whole.
    pub(crate) fn keep(mut self, key: u128, store: &Store) {
        if self.is_too_large {
            return store.count_shed();
        }
        let mut hasher = Xxh3::new();
        hasher.update(&self.status.as_u16().to_le_bytes());
        for (name, value) in self.headers.iter().filter(|(name, _)| **name != header::DATE) {
            hasher.update(name.as_str().as_bytes());
            hasher.update(value.as_bytes());
        }
        hasher.update(&self.body);
        let (print, body) = (hasher.digest(), self.body.split().freeze());
        store.keep(key, Version { status: self.status, headers: self.headers, body, print }, Instant::now());
    }
}

/// Serves the newest answer that is old enough, if there is one.
pub(super) async fn answer(
    session: &mut Session,
    exchange: &mut Exchange,
    part: usize,
    stale: Stale,
) -> Result<Next> {
    let shared = exchange.shared.clone();
    let Some(open) = exchange.get() else { return Ok(Next::Forward) };
    let store = &shared.rules.gauges.stale;
    let found = open.stale_key.and_then(|key| store.find(key, stale.age, Instant::now()));
    let Some((version, age)) = found else {
        open.plan.parts[part].became = Became::Suppressed(Why::NothingStale);
        return Ok(Next::Forward);
    };
    if !open.takes_effect(&shared) {
        return Ok(Next::Forward);
    }
    let mut header = ResponseHeader::build(version.status, Some(version.headers.len() + 4))?;
    for (name, value) in &version.headers {
        header.append_header(name.clone(), value.clone())?;
    }
    if session.req_header().method != Method::HEAD && version.status != StatusCode::NO_CONTENT {
        header.insert_header(header::CONTENT_LENGTH, version.body.len())?;
    }
    header.insert_header(header::AGE, age.as_secs() + age_of(&version.headers))?;
    respond::send(session, exchange, part, (header, version.body.clone())).await
}

/// How old it was when it came.
fn age_of(headers: &HeaderMap) -> u64 {
    headers.get(header::AGE).and_then(|age| age.to_str().ok()?.parse().ok()).unwrap_or(0)
}

const TOLD_APART_BY: [HeaderName; 5] =
    [header::AUTHORIZATION, header::COOKIE, header::ACCEPT, header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE];
/// Headers that are about the way an answer came.
const ENDS_HERE: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
/// Larger bodies are not kept.
const MAX_BODY: usize = 1 << 20;
