//! HAR 1.2, for browsers and every tool that reads archives.
//!
//! An archive has no field for much of what a capture knows: sessions, edges, exact times, lengths and hashes of
//! bodies that were not recorded. That stands in a field `_squall` of each entry (custom fields begin with an
//! underscore), and the importer reads it back: what is exported and imported again is equal.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    ExactBody, ExactHeaders, ExactStream, ExportError, Exported, UNKNOWN_HOST, body_text, each_by_time,
    rfc3339,
};
use crate::exchange::{Request, Response};
use crate::import::har::split_url;
use crate::messages::{Message, MessageKind, Stream, StreamKind};
use crate::{Exchange, Headers, Reader};

/// What a capture knows and an archive has no field for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Own {
    /// In hexadecimal, as `squall-session` carries it.
    pub(crate) session: String,
    pub(crate) connection: Option<u64>,
    pub(crate) edge: String,
    pub(crate) start_us: u64,
    pub(crate) ttfb_us: Option<u64>,
    pub(crate) duration_us: Option<u64>,
    pub(crate) faults: Vec<String>,
    pub(crate) notes: Vec<String>,
    /// Scheme, authority and target, where the URL does not say them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<(String, String, String)>,
    /// Where the list beside it does not say them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_headers: Option<ExactHeaders>,
    pub(crate) request_body: ExactBody,
    /// `null`: no answer was seen.
    pub(crate) response: Option<OwnResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream: Option<ExactStream>,
}

/// The same of a response.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OwnResponse {
    pub(crate) status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) headers: Option<ExactHeaders>,
    pub(crate) body: ExactBody,
}

/// Writes a capture as one archive, block by block.
///
/// # Errors
/// When the output fails. Damage in the capture is returned with what was written.
pub fn write(reader: Reader, mut out: impl Write) -> Result<Exported, ExportError> {
    let head = json!({ "name": "squall", "version": env!("CARGO_PKG_VERSION") });
    let own = serde_json::to_value(reader.header()).unwrap_or_default();
    write!(
        out,
        "{{\"log\":{{\"version\":\"1.2\",\"creator\":{head},\"_squall\":{own},\"pages\":[],\"entries\":["
    )?;
    let mut first = true;
    let exported = each_by_time(reader, |exchange| {
        out.write_all(if first { b"\n" } else { b",\n" })?;
        first = false;
        serde_json::to_writer(&mut out, &entry(exchange)).map_err(io::Error::from)
    })?;
    out.write_all(b"\n]}}\n")?;
    out.flush()?;
    Ok(exported)
}

/// One entry.
fn entry(exchange: &Exchange) -> Value {
    let ms = |us: u64| us as f64 / 1000.0;
    let total = exchange.duration_us.or(exchange.ttfb_us).unwrap_or(0);
    let wait = exchange.ttfb_us.unwrap_or(total).min(total);
    let mut entry = json!({
        "startedDateTime": rfc3339(exchange.start_us),
        "time": ms(total),
        "request": request(exchange),
        "response": response(exchange),
        "cache": {},
        "timings": {
            "blocked": -1, "dns": -1, "connect": -1, "ssl": -1,
            "send": 0, "wait": ms(wait), "receive": ms(total - wait),
        },
        "_squall": own(exchange),
    });
    if let Some(connection) = exchange.connection {
        entry["connection"] = connection.to_string().into();
    }
    if let Some(stream) = exchange.stream.as_ref().filter(|stream| stream.kind == StreamKind::WebSocket) {
        entry["_resourceType"] = "websocket".into();
        entry["_webSocketMessages"] = web_socket_messages(exchange.start_us, stream);
    }
    entry
}

/// The messages as Chrome writes them. Control frames are none of them; the bytes of what the server sent are unknown.
fn web_socket_messages(start_us: u64, stream: &Stream) -> Value {
    let message = |message: &Message| {
        let data = message.data.as_deref().unwrap_or_default();
        let (opcode, data) = match (message.kind, std::str::from_utf8(data)) {
            (MessageKind::Text, Ok(text)) => (1, text.to_owned()),
            (MessageKind::Text, Err(_)) => (1, String::from_utf8_lossy(data).into_owned()),
            (MessageKind::Binary, _) => (2, super::base64(data)),
            _ => return None,
        };
        Some(json!({
            "type": if message.from_client { "send" } else { "receive" },
            "time": start_us.saturating_add(message.at_us) as f64 / 1e6,
            "opcode": opcode,
            "data": data,
        }))
    };
    stream.messages.iter().filter_map(message).collect()
}

fn request(exchange: &Exchange) -> Value {
    let request = &exchange.request;
    let query = request.target.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let mut value = json!({
        "method": request.method,
        "url": url(request),
        "httpVersion": exchange.protocol.as_str(),
        "cookies": cookies(&request.headers, "cookie"),
        "headers": list(&request.headers),
        "queryString": pairs(query.split('&').filter(|pair| !pair.is_empty())),
        "headersSize": -1,
        "bodySize": request.body.len,
    });
    if let Some(text) = body_text(&request.body) {
        let mime = request.headers.get("content-type").map(String::from_utf8_lossy).unwrap_or_default();
        value["postData"] = json!({ "mimeType": mime, "params": [], "text": text });
    }
    value
}

fn response(exchange: &Exchange) -> Value {
    let none = Response::default();
    let response = exchange.response.as_ref().unwrap_or(&none);
    let mime =
        response.headers.get("content-type").map(String::from_utf8_lossy).unwrap_or("x-unknown".into());
    let location = response.headers.get("location").map(String::from_utf8_lossy).unwrap_or_default();
    let version = exchange.response.as_ref().map_or("", |_| exchange.protocol.as_str());
    let mut content = json!({ "size": response.body.len, "mimeType": mime });
    if let Some(text) = body_text(&response.body) {
        content["text"] = text.into();
    } else if let Some(data) = response.body.data.as_ref().filter(|data| !data.is_empty()) {
        content["text"] = super::base64(data).into();
        content["encoding"] = "base64".into();
    }
    json!({
        "status": response.status,
        "statusText": "",
        "httpVersion": version,
        "cookies": cookies(&response.headers, "set-cookie"),
        "headers": list(&response.headers),
        "content": content,
        "redirectURL": location,
        "headersSize": -1,
        "bodySize": if exchange.response.is_some() { json!(response.body.len) } else { json!(-1) },
    })
}

fn own(exchange: &Exchange) -> Own {
    let request = &exchange.request;
    let parts = (request.scheme.clone(), request.authority.clone(), request.target.clone());
    let said = split_url(&url(request)).ok().map(|url| (url.scheme, url.authority, url.target));
    Own {
        session: exchange.session.to_string(),
        connection: exchange.connection,
        edge: exchange.edge.clone(),
        start_us: exchange.start_us,
        ttfb_us: exchange.ttfb_us,
        duration_us: exchange.duration_us,
        faults: exchange.faults.clone(),
        notes: exchange.notes.names(),
        url: (said.as_ref() != Some(&parts)).then_some(parts),
        request_headers: exact(&request.headers),
        request_body: ExactBody::of(&request.body, body_text(&request.body).map(str::as_bytes)),
        response: exchange.response.as_ref().map(|response| OwnResponse {
            status: response.status,
            headers: exact(&response.headers),
            // the content field says text and bytes alike
            body: ExactBody::of(&response.body, response.body.data.as_deref()),
        }),
        stream: exchange.stream.as_ref().map(ExactStream::of),
    }
}

/// An archive needs an absolute URL, also where the capture knows no host, or one that no URL can have.
fn url(request: &Request) -> String {
    let scheme = if request.scheme.is_empty() { "http" } else { &request.scheme };
    let slash = if request.target.starts_with('/') { "" } else { "/" };
    let at = |authority: &str| format!("{scheme}://{authority}{slash}{}", request.target);
    let url = at(&request.authority);
    if split_url(&url).is_ok() { url } else { at(UNKNOWN_HOST) }
}

/// The list exactly, if the archive's own does not bring it back.
fn exact(headers: &Headers) -> Option<ExactHeaders> {
    let survives = headers.iter().all(|(name, value)| {
        let text = std::str::from_utf8(value);
        !name.is_empty()
            && !name.starts_with(':')
            && text.is_ok_and(|text| !text.contains('\n') && text.trim_matches(['\r', ' ', '\t']) == text)
    });
    (!survives).then(|| ExactHeaders::of(headers))
}

fn list(headers: &Headers) -> Vec<Value> {
    headers
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": String::from_utf8_lossy(value) }))
        .collect()
}

fn cookies(headers: &Headers, name: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for value in headers.get_all(name) {
        let value = String::from_utf8_lossy(value);
        let take = if name == "set-cookie" { 1 } else { usize::MAX };
        all.extend(pairs(value.split(';').map(str::trim).filter(|pair| !pair.is_empty()).take(take)));
    }
    all
}

fn pairs<'a>(pairs: impl Iterator<Item = &'a str>) -> Vec<Value> {
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            json!({ "name": name, "value": value })
        })
        .collect()
}
