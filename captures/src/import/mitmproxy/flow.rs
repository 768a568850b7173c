//! One flow as an exchange. The names of fields changed from version to version; each is looked up by all it ever had.

use super::tnetstring::Item;
use crate::exchange::{Protocol, Request, Response};
use crate::import::visitors::{forwarded_for, who};
use crate::import::{ImportOptions, encode_target, micros};
use crate::notes::Notes;
use crate::{Body, Exchange, Headers};

/// Why a flow gives no exchange.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is sound, and no request of HTTP.
    Skip(&'static str),
    Damaged(String),
}

/// What a flow holds.
#[derive(Debug, PartialEq)]
pub(super) struct Flow {
    pub(super) exchange: Exchange,
    /// What tells its client from others.
    pub(super) visitor: u128,
    /// The same of its connection.
    pub(super) connection: u128,
}

/// The exchange of a flow of type `http`.
pub(super) fn flow(item: &Item<'_>, options: &ImportOptions) -> Result<Flow, Unfit> {
    let request = item.get("request");
    if request.is_null() {
        return Err(Unfit::Damaged("it has no request".to_owned()));
    }
    // version 0.10 keeps it in the request
    let client = [item, request].map(|part| part.get("client_conn")).into_iter().find(|conn| !conn.is_null());
    let client = client.unwrap_or(&Item::Null);
    let start =
        [request.get("timestamp_start"), item.get("timestamp_created"), client.get("timestamp_start")];
    let start_us = start
        .iter()
        .find_map(|time| time.number().filter(|time| 0.0 < *time).and_then(micros))
        .ok_or_else(|| Unfit::Damaged("it says no time".to_owned()))?;
    let mut exchange = Exchange {
        edge: options.edge.clone(),
        start_us,
        protocol: protocol(request),
        request: asked(request)?,
        ..Exchange::default()
    };
    answered(&mut exchange, item.get("response"), options);
    let failed_us = item.get("error").get("timestamp").number().and_then(micros);
    exchange.duration_us = exchange.duration_us.or(failed_us.map(|us| us.saturating_sub(start_us)));
    exchange.notes.insert(notes(item, &exchange));
    let agent = exchange.request.headers.get("user-agent").unwrap_or_default();
    let address = address(client);
    let visitor = who(&[forwarded_for(&exchange.request.headers).unwrap_or(address.0.as_bytes()), agent]);
    let begun = client.get("timestamp_start").number().unwrap_or_default().to_bits().to_le_bytes();
    let connection = match client.get("id").bytes() {
        Some(id) => who(&[id]),
        None => who(&[&begun, address.0.as_bytes(), &address.1.to_le_bytes()]),
    };
    Ok(Flow { exchange, visitor, connection })
}

fn asked(request: &Item<'_>) -> Result<Request, Unfit> {
    let method = request.get("method").text();
    if method.is_empty() {
        return Err(Unfit::Damaged("its request has no method".to_owned()));
    }
    let headers = headers(request.get("headers"));
    let scheme = request.get("scheme").text().to_ascii_lowercase();
    let authority = match (headers.get("host"), request.get("authority").bytes()) {
        (Some(host), _) => String::from_utf8_lossy(host).trim().to_owned(),
        (None, Some(authority)) if !authority.is_empty() => String::from_utf8_lossy(authority).into_owned(),
        _ => host_and_port(request, &scheme),
    };
    let path = request.get("path").bytes().filter(|path| !path.is_empty());
    let target = match path {
        _ if method == "CONNECT" => authority.clone(),
        Some(path) => encode_target(path),
        None => "/".to_owned(),
    };
    let body = body(request, &headers);
    Ok(Request { method, scheme, authority, target, headers, body })
}

fn answered(exchange: &mut Exchange, response: &Item<'_>, options: &ImportOptions) {
    let Some(status) = response.any(&["status_code", "code"]).number().filter(|n| (1.0..1000.0).contains(n))
    else {
        return;
    };
    let since = |time: &Item<'_>| {
        let us = time.number().filter(|time| 0.0 < *time).and_then(micros)?;
        Some(us.saturating_sub(exchange.start_us))
    };
    exchange.ttfb_us = since(response.get("timestamp_start"));
    exchange.duration_us = since(response.get("timestamp_end"));
    let headers = headers(response.get("headers"));
    let mut body = body(response, &headers);
    if exchange.request.method == "HEAD" || matches!(status as u16, 101 | 204 | 304) {
        body = Body::digest(0, None);
    } else if body.data.is_none() && headers.get_str("content-length") != Some("0") {
        exchange.notes.insert(Notes::RESPONSE_TRUNCATED);
    }
    if !options.response_bodies {
        body.data = None;
    }
    exchange.response = Some(Response { status: status as u16, headers, body });
}

/// The body, or what is known of one that mitmproxy streamed, and so did not keep.
fn body(message: &Item<'_>, headers: &Headers) -> Body {
    match message.any(&["content", "body"]).bytes() {
        Some(content) => Body::whole(content.to_vec()),
        None => {
            let declared = headers.get_str("content-length").and_then(|len| len.trim().parse().ok());
            Body::digest(declared.unwrap_or(0), None)
        }
    }
}

/// Whether a request without content had some.
fn is_cut(request: &Request) -> bool {
    let len = request.headers.get_str("content-length");
    let may_have = !matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "DELETE" | "CONNECT");
    let promised = request.headers.contains("transfer-encoding") || len.is_some();
    request.body.data.is_none() && len != Some("0") && (may_have || promised)
}

fn notes(item: &Item<'_>, exchange: &Exchange) -> Notes {
    let mut notes = Notes::NONE;
    let (request, response) = (item.get("request"), item.get("response"));
    if is_cut(&exchange.request) {
        notes.insert(Notes::REQUEST_TRUNCATED);
    }
    if !request.get("trailers").is_null() || !response.get("trailers").is_null() {
        notes.insert(Notes::LOSSY);
    }
    // who replayed is said by the flow, and was once said by its halves
    let replayed = item.get("is_replay").bytes();
    if replayed == Some(b"request") || request.get("is_replay").is_true() {
        notes.insert(Notes::REPLAYED);
    }
    if replayed == Some(b"response") || response.get("is_replay").is_true() {
        notes.insert(Notes::PROXY_ANSWER);
    }
    let error = item.get("error").get("msg").text().to_ascii_lowercase();
    match () {
        () if error.is_empty() => {}
        () if error.contains("client") => notes.insert(Notes::CLIENT_GONE),
        () if exchange.response.is_some() => notes.insert(Notes::RESPONSE_TRUNCATED),
        // the person at mitmproxy did it
        () if error.contains("killed") => notes.insert(Notes::PROXY_ANSWER),
        () => notes.insert(Notes::UPSTREAM_FAILED),
    }
    notes.with(crate::import::stream_notes(exchange))
}

/// A list of pairs. Names and values are bytes, in a few versions texts.
fn headers(list: &Item<'_>) -> Headers {
    let mut headers = Headers::new();
    for field in list.list() {
        let [name, value, ..] = field.list() else { continue };
        let name = name.text();
        // pseudo-fields of HTTP/2 are no headers
        if !name.is_empty() && !name.starts_with(':') {
            headers.push(&name, value.bytes().unwrap_or_default());
        }
    }
    headers
}

/// Version 13 and before: a list of two numbers.
fn protocol(request: &Item<'_>) -> Protocol {
    let old: Vec<String> = request
        .get("httpversion")
        .list()
        .iter()
        .filter_map(Item::number)
        .map(|number| format!("{number:.0}"))
        .collect();
    let named = request.get("http_version").text();
    let named = if old.is_empty() { named } else { old.join(".") };
    named.parse().unwrap_or_default()
}

fn host_and_port(request: &Item<'_>, scheme: &str) -> String {
    let host = request.get("host").text();
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    match (scheme, request.get("port").number()) {
        ("http", Some(80.0)) | ("https", Some(443.0)) | (_, None) => host,
        (_, Some(port)) => format!("{host}:{port:.0}"),
    }
}

/// Address and port of the client. Before version 2 they stand in a dictionary of their own.
fn address(client: &Item<'_>) -> (String, u16) {
    let address = client.any(&["peername", "address"]);
    let pair = match address {
        Item::Dict(_) => address.get("address"),
        pair => pair,
    };
    match pair.list() {
        [host, port, ..] => (host.text(), port.number().unwrap_or_default() as u16),
        _ => (String::new(), 0),
    }
}
