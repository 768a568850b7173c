//! Flows for mitmproxy, in version 21 of its format (mitmproxy 11 and later read it).
//!
//! What a flow has no place for stands in its metadata under `squall`. Bodies that were not recorded are missing, as they
//! are where mitmproxy streams them.

use std::io::Write;

use super::own::Own;
use super::{ExportError, Exported, each_by_time};
use crate::exchange::{Protocol, Request};
use crate::import::mitmproxy;
use crate::messages::{Message, MessageKind, Stream, StreamKind};
use crate::{Body, Exchange, Headers, Reader};

/// Writes a capture, block by block.
///
/// # Errors
/// When the output fails. Damage in the capture is returned with what was written.
pub fn write(reader: Reader, mut out: impl Write) -> Result<Exported, ExportError> {
    let mut number = 0;
    let exported = each_by_time(reader, |exchange| {
        number += 1;
        let said = mitmproxy::said(&flow(exchange, number, None));
        let own = Own::of(exchange, &said).to_json()?;
        out.write_all(&flow(exchange, number, Some(&own)))
    })?;
    out.flush()?;
    Ok(exported)
}

/// One flow, with what stands in its metadata.
fn flow(exchange: &Exchange, number: u64, own: Option<&str>) -> Vec<u8> {
    let start = time(exchange.start_us);
    let metadata = own.map(|own| (mitmproxy::OWN, text(own)));
    dict(&[
        ("version", int(VERSION)),
        ("type", text("http")),
        ("id", text(&format!("squall-{:x}-{number}", exchange.session.0))),
        ("error", null()),
        ("client_conn", client(exchange)),
        ("server_conn", server(&exchange.request)),
        ("intercepted", bool(false)),
        ("is_replay", null()),
        ("marked", text("")),
        ("metadata", dict(metadata.as_slice())),
        ("comment", text("")),
        ("timestamp_created", start),
        ("backup", null()),
        ("request", request(exchange)),
        ("response", response(exchange)),
        ("websocket", websocket(exchange)),
    ])
}

fn request(exchange: &Exchange) -> Vec<u8> {
    let request = &exchange.request;
    let (host, port) = host_and_port(request);
    let method = if request.method.is_empty() { "GET" } else { &request.method };
    let scheme = if request.scheme.is_empty() { "http" } else { &request.scheme };
    let authority = if request.headers.contains("host") { "" } else { &request.authority };
    let mut fields = message(exchange.protocol, &request.headers, &request.body);
    fields.extend([
        ("timestamp_start", time(exchange.start_us)),
        ("timestamp_end", time(exchange.start_us)),
        ("host", text(host)),
        ("port", int(port.into())),
        ("method", bytes(method.as_bytes())),
        ("scheme", bytes(scheme.as_bytes())),
        ("authority", bytes(authority.as_bytes())),
        ("path", bytes(request.target.as_bytes())),
    ]);
    dict(&fields)
}

fn response(exchange: &Exchange) -> Vec<u8> {
    let Some(response) = &exchange.response else { return null() };
    let after = |us: Option<u64>| time(exchange.start_us.saturating_add(us.unwrap_or(0)));
    let mut fields = message(exchange.protocol, &response.headers, &response.body);
    fields.extend([
        ("timestamp_start", after(exchange.ttfb_us)),
        ("timestamp_end", after(exchange.duration_us)),
        ("status_code", int(response.status.clamp(100, 999).into())),
        ("reason", bytes(b"")),
    ]);
    dict(&fields)
}

/// What requests and answers have in common.
fn message(protocol: Protocol, headers: &Headers, body: &Body) -> Vec<(&'static str, Vec<u8>)> {
    let version = if protocol == Protocol::Http2 { "HTTP/2.0" } else { protocol.as_str() };
    let fields: Vec<Vec<u8>> =
        headers.iter().map(|(name, value)| list(&[bytes(name.as_bytes()), bytes(value)])).collect();
    let content = match &body.data {
        Some(data) if body.is_whole() => bytes(data),
        None if body.len == 0 => bytes(b""),
        _ => null(),
    };
    vec![
        ("http_version", bytes(version.as_bytes())),
        ("headers", list(&fields)),
        ("content", content),
        ("trailers", null()),
    ]
}

fn websocket(exchange: &Exchange) -> Vec<u8> {
    let Some(stream) = exchange.stream.as_ref().filter(|stream| stream.kind == StreamKind::WebSocket) else {
        return null();
    };
    let at = |message: &Message| time(exchange.start_us.saturating_add(message.at_us));
    let messages: Vec<Vec<u8>> = stream
        .messages
        .iter()
        .filter(|message| matches!(message.kind, MessageKind::Text | MessageKind::Binary))
        .map(|message| {
            let data = message.data.as_deref().unwrap_or_default();
            let kind = int(u64::from(message.kind as u8));
            list(&[kind, bool(message.from_client), bytes(data), at(message), bool(false), bool(false)])
        })
        .collect();
    let close = close(stream);
    dict(&[
        ("messages", list(&messages)),
        ("closed_by_client", close.map_or_else(null, |(message, _)| bool(message.from_client))),
        ("close_code", close.map_or_else(null, |(_, code)| int(code.into()))),
        ("close_reason", close.map_or_else(null, |_| text(""))),
        ("timestamp_end", close.map_or_else(null, |(message, _)| at(message))),
    ])
}

/// The closing frame and its code.
fn close(stream: &Stream) -> Option<(&Message, u16)> {
    let message = stream.messages.iter().find(|message| message.kind == MessageKind::Close)?;
    let code = message
        .data
        .as_ref()
        .and_then(|data| data.first_chunk())
        .map_or(NO_CODE, |code| u16::from_be_bytes(*code));
    Some((message, code))
}

fn client(exchange: &Exchange) -> Vec<u8> {
    let id = match exchange.connection {
        Some(connection) => format!("connection-{connection}"),
        None => format!("session-{:x}", exchange.session.0),
    };
    let mut fields = connection(&id, list(&[text("127.0.0.1"), int(0)]), time(exchange.start_us));
    fields.extend([("mitmcert", null()), ("proxy_mode", text("regular"))]);
    dict(&fields)
}

fn server(request: &Request) -> Vec<u8> {
    let (host, port) = host_and_port(request);
    let mut fields = connection("server", null(), null());
    fields.extend([
        ("address", list(&[text(host), int(port.into())])),
        ("timestamp_tcp_setup", null()),
        ("via", null()),
    ]);
    dict(&fields)
}

/// What both connections have in common. Nothing is known about TLS.
fn connection(id: &str, peer: Vec<u8>, start: Vec<u8>) -> Vec<(&'static str, Vec<u8>)> {
    let mut fields = vec![
        ("id", text(id)),
        ("sockname", peer.clone()),
        ("peername", peer),
        ("transport_protocol", text("tcp")),
        ("tls", bool(false)),
        ("timestamp_start", start),
    ];
    let lists = ["certificate_list", "alpn_offers", "cipher_list"].map(|name| (name, list(&[])));
    let unknown = ["error", "alpn", "cipher", "tls_version", "sni", "timestamp_end", "timestamp_tls_setup"];
    fields.extend(lists);
    fields.extend(unknown.map(|name| (name, null())));
    fields
}

fn host_and_port(request: &Request) -> (&str, u16) {
    let port = if request.scheme == "https" { 443 } else { 80 };
    match request.authority.rsplit_once(':') {
        _ if request.authority.is_empty() => (super::UNKNOWN_HOST, port),
        Some((host, own)) if !host.is_empty() => (host, own.parse().unwrap_or(port)),
        _ => (&request.authority, port),
    }
}

/// Seconds since 1970: never 0, which is no time to mitmproxy, and never beyond what Python takes for a date.
fn time(us: u64) -> Vec<u8> {
    typed(b'^', format!("{:?}", us.clamp(1, YEAR_9999_US) as f64 / 1e6).as_bytes())
}

fn typed(kind: u8, data: &[u8]) -> Vec<u8> {
    [data.len().to_string().as_bytes(), b":", data, &[kind]].concat()
}

fn text(text: &str) -> Vec<u8> {
    typed(b';', text.as_bytes())
}

fn bytes(data: &[u8]) -> Vec<u8> {
    typed(b',', data)
}

fn int(n: u64) -> Vec<u8> {
    typed(b'#', n.to_string().as_bytes())
}

fn bool(yes: bool) -> Vec<u8> {
    typed(b'!', if yes { b"true" } else { b"false" })
}

fn null() -> Vec<u8> {
    typed(b'~', b"")
}

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    typed(b']', &items.concat())
}

fn dict(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let inner: Vec<u8> =
        fields.iter().flat_map(|(name, value)| [text(name), value.clone()].concat()).collect();
    typed(b'}', &inner)
}

const VERSION: u64 = 21;
const YEAR_9999_US: u64 = 253_370_764_800_000_000;
/// What a closing frame without a code is called (RFC 6455, section 7.1.5).
const NO_CODE: u16 = 1005;
