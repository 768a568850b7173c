//! One entry of an archive.

use serde_json::Value;

use super::super::ImportOptions;
use super::super::time::iso_time;
use super::{messages, parts};
use crate::exchange::{Protocol, Request, Response};
use crate::export::ExactStream;
use crate::notes::Notes;
use crate::{Exchange, SessionId};

/// Why an entry gives no exchange.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is sound, and no request of HTTP.
    Skip(&'static str),
    Damaged(String),
}

/// What an entry says about its connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Connection {
    /// Exported from a capture: the number it had there.
    Exact(Option<u64>),
    /// What the tool calls it.
    Named(Option<String>),
}

/// An entry, read.
pub(super) struct Read {
    pub(super) exchange: Exchange,
    pub(super) connection: Connection,
    /// It brought its own session.
    pub(super) has_session: bool,
    /// It says when it began.
    pub(super) has_time: bool,
}

/// Reads an entry; one that does not say when it began is taken to follow what ended at `after_us`.
pub(super) fn read(entry: &Value, options: &ImportOptions, after_us: u64) -> Result<Read, Unfit> {
    let request =
        entry.get("request").filter(|request| request.is_object()).ok_or_else(|| missing("request"))?;
    let url = text(request, "url").ok_or_else(|| missing("request.url"))?;
    let url = parts::split_url(url).map_err(|why| match why {
        parts::BadUrl::Other => Unfit::Skip("the URL is none of HTTP"),
        parts::BadUrl::Broken => Unfit::Damaged("request.url is no URL".to_owned()),
    })?;
    let method = text(request, "method")
        .filter(|method| !method.is_empty())
        .ok_or_else(|| missing("request.method"))?;
    // what a capture had comes back, whatever it was
    if entry.get("_squall").is_none() && !super::super::is_token(method) {
        return Err(Unfit::Damaged(format!("request.method {method:.40?} is no method")));
    }
    let started = start(entry.get("startedDateTime"))?;
    let start_us = started.unwrap_or(after_us);
    let coarse = if started.is_none() { Notes::COARSE_TIME } else { Notes::NONE };
    let response = entry.get("response").unwrap_or(&Value::Null);
    let mut headers = parts::headers(request.get("headers"));
    parts::add_cookies(&mut headers, request.get("cookies"));
    let name = format!("{} {}", url.authority, text(entry, "connection").unwrap_or_default());
    let mut exchange = Exchange {
        edge: options.edge.clone(),
        start_us,
        protocol: protocol(request, response),
        notes: notes(entry, request, response).with(url.notes).with(coarse),
        request: Request {
            method: method.to_owned(),
            scheme: url.scheme,
            authority: url.authority,
            target: url.target,
            body: parts::request_body(request),
            headers,
        },
        response: answer(response, options),
        ..Exchange::default()
    };
    times(&mut exchange, entry);
    exchange.stream = messages::web_socket(entry, start_us);
    let has_all = exchange.stream.as_ref().is_some_and(|stream| stream.truncated == 0);
    if exchange.notes.contains(Notes::WEBSOCKET) && !has_all {
        exchange.notes.insert(Notes::LOSSY);
    }
    finish_notes(&mut exchange);
    let connection = text(entry, "connection").filter(|name| !matches!(name.trim(), "" | "0")).map(|_| name);
    let (connection, has_session) = match entry.get("_squall") {
        Some(own) => {
            let id = restore(&mut exchange, own, response, options)?;
            (Connection::Exact(id), own.get("session").is_some())
        }
        None => (Connection::Named(connection), false),
    };
    Ok(Read { exchange, connection, has_session, has_time: started.is_some() })
}

fn answer(response: &Value, options: &ImportOptions) -> Option<Response> {
    let status = response.get("status").and_then(parts::number).filter(|n| (1.0..1000.0).contains(n))?;
    let mut headers = parts::headers(response.get("headers"));
    let body = parts::response_body(response, &mut headers, options.response_bodies);
    Some(Response { status: status as u16, headers, body })
}

/// What a capture knows and an archive has no field for; see [`crate::export::har`].
fn restore(
    exchange: &mut Exchange,
    own: &Value,
    response: &Value,
    options: &ImportOptions,
) -> Result<Option<u64>, Unfit> {
    let wrong = || Unfit::Damaged("_squall is not what squall wrote".to_owned());
    let own: crate::export::har::Own = serde_json::from_value(own.clone()).map_err(|_| wrong())?;
    exchange.session = SessionId(u64::from_str_radix(&own.session, 16).map_err(|_| wrong())?);
    exchange.edge = own.edge;
    exchange.start_us = own.start_us;
    exchange.ttfb_us = own.ttfb_us;
    exchange.duration_us = own.duration_us;
    exchange.faults = own.faults;
    exchange.notes = Notes::NONE;
    for name in own.notes {
        exchange.notes.insert(Notes::by_name(&name).ok_or_else(wrong)?);
    }
    if let Some((scheme, authority, target)) = own.url {
        (exchange.request.scheme, exchange.request.authority, exchange.request.target) =
            (scheme, authority, target);
    }
    if let Some(headers) = own.request_headers {
        exchange.request.headers = headers.into_headers().map_err(|_| wrong())?;
    }
    exchange.stream = own.stream.map(ExactStream::restore).transpose().map_err(Unfit::Damaged)?;
    exchange.request.body = own.request_body.restore(&exchange.request.body, true).ok_or_else(wrong)?;
    exchange.response = match own.response {
        None => None,
        Some(own) => {
            let headers = match own.headers {
                Some(headers) => headers.into_headers().map_err(|_| wrong())?,
                None => parts::headers(response.get("headers")),
            };
            let said = parts::content(response);
            let body = own.body.restore(&said, options.response_bodies).ok_or_else(wrong)?;
            Some(Response { status: own.status, headers, body })
        }
    };
    Ok(own.connection)
}

/// When it began; `None` where that is not said, as in archives that were written by hand.
fn start(started: Option<&Value>) -> Result<Option<u64>, Unfit> {
    match started {
        Some(Value::String(text)) => iso_time(text)
            .map(|moment| Some(moment.us))
            .map_err(|_| Unfit::Damaged(format!("startedDateTime {text:.40?} is no time"))),
        // milliseconds since 1970
        Some(Value::Number(ms)) => micros(ms.as_f64())
            .map(Some)
            .ok_or_else(|| Unfit::Damaged("startedDateTime is no time".to_owned())),
        _ => Ok(None),
    }
}

fn times(exchange: &mut Exchange, entry: &Value) {
    let timing =
        |name: &str| entry.get("timings").and_then(|timings| timings.get(name)).and_then(parts::number);
    let known = |name: &str| timing(name).filter(|ms| 0.0 <= *ms);
    let parts = ["blocked", "dns", "connect", "send", "wait", "receive"].map(known);
    let sum = parts.iter().any(Option::is_some).then(|| parts.iter().flatten().sum::<f64>());
    let total = entry.get("time").and_then(parts::number).filter(|ms| 0.0 <= *ms).or(sum);
    exchange.duration_us = micros(total);
    let answered = exchange.response.is_some();
    let before_receive = total.zip(known("receive")).map(|(total, receive)| (total - receive).max(0.0));
    exchange.ttfb_us = micros(before_receive.filter(|_| answered));
}

/// Milliseconds as microseconds; a time beyond thousands of years is none.
fn micros(ms: Option<f64>) -> Option<u64> {
    ms.filter(|ms| (0.0..1e15).contains(ms)).map(|ms| (ms * 1000.0).round() as u64)
}

fn protocol(request: &Value, response: &Value) -> Protocol {
    let named = |part: &Value| text(part, "httpVersion").and_then(|version| version.parse().ok());
    let pseudo = || {
        let headers = request.get("headers").and_then(Value::as_array)?;
        let is_pseudo = |header: &&Value| text(header, "name").is_some_and(|name| name.starts_with(':'));
        headers.iter().find(is_pseudo).map(|_| Protocol::Http2)
    };
    named(request).or_else(|| named(response)).or_else(pseudo).unwrap_or_default()
}

/// What the tools say in fields of their own.
fn notes(entry: &Value, request: &Value, response: &Value) -> Notes {
    let mut notes = Notes::NONE;
    if entry.get("_webSocketMessages").is_some() {
        notes.insert(Notes::WEBSOCKET.with(Notes::UPGRADED));
    }
    let cached = |name: &str| match entry.get(name) {
        Some(Value::String(text)) => {
            !text.is_empty() && (name != "_fetchType" || text.to_ascii_lowercase().contains("cache"))
        }
        Some(Value::Bool(yes)) => *yes,
        _ => false,
    };
    // Firefox: an answer, but no version of HTTP and no times
    let no_times = entry.get("timings").and_then(Value::as_object).is_some_and(serde_json::Map::is_empty);
    let unsent = text(request, "httpVersion") == Some("") && no_times;
    if cached("_fromCache") || cached("_fetchType") || cached("_fromDiskCache") || unsent {
        notes.insert(Notes::FROM_CACHE);
    }
    if text(response, "_error").is_some_and(|error| error.contains("ABORTED")) {
        notes.insert(Notes::CLIENT_GONE);
    }
    notes
}

/// What follows from the exchange itself.
fn finish_notes(exchange: &mut Exchange) {
    let Some(response) = &exchange.response else {
        // nothing came from a cache either
        exchange.notes = Notes::from_bits(exchange.notes.bits() & !Notes::FROM_CACHE.bits());
        return;
    };
    let upgrade = exchange.request.headers.get_str("upgrade").unwrap_or_default();
    if response.status == 101 || exchange.request.method == "CONNECT" {
        exchange.notes.insert(Notes::UPGRADED);
        if upgrade.eq_ignore_ascii_case("websocket") {
            exchange.notes.insert(Notes::WEBSOCKET);
        }
    }
    let kind = response.headers.get_str("content-type").unwrap_or_default();
    if kind.to_ascii_lowercase().starts_with("text/event-stream") {
        exchange.notes.insert(Notes::STREAM);
    }
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn missing(what: &str) -> Unfit {
    Unfit::Damaged(format!("{what} is missing"))
}
