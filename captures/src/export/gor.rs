//! `.gor`, for GoReplay and whatever else reads its files.
//!
//! The text is always HTTP that any program can read: an answer whose bytes were not recorded says a length of 0, what
//! came by HTTP/2 gets a `Host`. What the text does not say (sessions, connections, lengths and hashes, messages of
//! streams) stands in a fifth word of the line before a request, which GoReplay passes over. To know what that is, each
//! record is read back as the importer will read it: what is exported and imported again is equal.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::{ExactBody, ExactHeaders, ExactStream, ExportError, Exported, base64, each, unbase64};
use crate::exchange::{Protocol, Request, Response};
use crate::import::encode_target;
use crate::import::gor::{self, OWN, SEPARATOR, message};
use crate::notes::Notes;
use crate::{Body, Exchange, Headers, Reader, SessionId};

/// What a capture knows and the text of a record does not say.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Own {
    /// In hexadecimal, as `squall-session` carries it.
    session: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<u64>,
    edge: String,
    /// Start, time to the first byte of the answer, and duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    times_us: Option<(u64, Option<u64>, Option<u64>)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<String>,
    /// Method, scheme, authority and target.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<(String, String, String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_headers: Option<ExactHeaders>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_body: Option<ExactBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_headers: Option<ExactHeaders>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_body: Option<ExactBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<ExactStream>,
}

/// Writes a capture, block by block: each request, and its answer right behind it.
///
/// # Errors
/// When the output fails. Damage in the capture is returned with what was written.
pub fn write(reader: Reader, mut out: impl Write) -> Result<Exported, ExportError> {
    let mut number = 0;
    let exported = each(reader, |exchange| {
        number += 1;
        write_exchange(exchange, number, &mut out)
    })?;
    out.flush()?;
    Ok(exported)
}

fn write_exchange(exchange: &Exchange, number: u32, out: &mut impl Write) -> io::Result<()> {
    // as long as those of GoReplay, and unique
    let id = format!("{:016x}{number:08x}", exchange.session.0);
    let request = request_text(exchange);
    let response = exchange.response.as_ref().map(|response| response_text(exchange, response));
    let meta = format!("1 {id} {} 0", nanos(exchange.start_us));
    let answer_us = exchange.start_us.saturating_add(exchange.ttfb_us.unwrap_or(0));
    let took_us = exchange.duration_us.map(|us| us.saturating_sub(exchange.ttfb_us.unwrap_or(0)));
    let took = took_us.map_or("-1".to_owned(), |us| us.saturating_mul(1000).to_string());
    let answer_meta = format!("2 {id} {} {took}", nanos(answer_us));
    let answer = response.as_ref().map(|text| (answer_meta.as_bytes(), text.as_slice()));
    let said = gor::said((meta.as_bytes(), &request), answer);
    let own = serde_json::to_vec(&Own::of(exchange, &said)).map_err(io::Error::from)?;
    writeln!(out, "{meta} {OWN}{}", base64(&own))?;
    out.write_all(&request)?;
    out.write_all(SEPARATOR.as_bytes())?;
    if let Some(response) = response {
        writeln!(out, "{answer_meta}")?;
        out.write_all(&response)?;
        out.write_all(SEPARATOR.as_bytes())?;
    }
    Ok(())
}

/// 0 is no time to GoReplay.
fn nanos(us: u64) -> i64 {
    i64::try_from(us.saturating_mul(1000)).unwrap_or(i64::MAX).max(1)
}

impl Own {
    /// What `said` does not say of `exchange`.
    fn of(exchange: &Exchange, said: &Exchange) -> Own {
        let times = |exchange: &Exchange| (exchange.start_us, exchange.ttfb_us, exchange.duration_us);
        let asked = |exchange: &Exchange| {
            let Request { method, scheme, authority, target, .. } = exchange.request.clone();
            (method, scheme, authority, target)
        };
        let (request, text) = (&exchange.request, &said.request);
        let none = Response::default();
        let answer = exchange.response.as_ref().zip(Some(said.response.as_ref().unwrap_or(&none)));
        Own {
            session: exchange.session.to_string(),
            connection: exchange.connection,
            edge: exchange.edge.clone(),
            times_us: (times(exchange) != times(said)).then(|| times(exchange)),
            faults: exchange.faults.clone(),
            notes: exchange.notes.names(),
            protocol: (exchange.protocol != said.protocol).then(|| exchange.protocol.to_string()),
            asked: (asked(exchange) != asked(said)).then(|| asked(exchange)),
            request_headers: headers(&request.headers, &text.headers),
            request_body: body(&request.body, &text.body),
            status: answer.filter(|(own, text)| own.status != text.status).map(|(own, _)| own.status),
            response_headers: answer.and_then(|(own, text)| headers(&own.headers, &text.headers)),
            response_body: answer.and_then(|(own, text)| body(&own.body, &text.body)),
            stream: exchange.stream.as_ref().map(ExactStream::of),
        }
    }

    /// Reads the word that [`write`] wrote.
    pub(crate) fn parse(word: &[u8]) -> Result<Own, String> {
        let word = std::str::from_utf8(word).map_err(|_| WRONG)?;
        serde_json::from_slice(&unbase64(word).map_err(|_| WRONG)?).map_err(|_| WRONG.to_owned())
    }

    /// Puts into an exchange what its text did not say; the bytes of the answer only if they are wanted.
    pub(crate) fn restore(self, exchange: &mut Exchange, keep: bool) -> Result<(), String> {
        exchange.session = SessionId(u64::from_str_radix(&self.session, 16).map_err(|_| WRONG)?);
        exchange.connection = self.connection;
        exchange.edge = self.edge;
        if let Some(times) = self.times_us {
            (exchange.start_us, exchange.ttfb_us, exchange.duration_us) = times;
        }
        exchange.faults = self.faults;
        exchange.notes = Notes::NONE;
        for name in &self.notes {
            exchange.notes.insert(Notes::by_name(name).ok_or(WRONG)?);
        }
        if let Some(protocol) = self.protocol {
            exchange.protocol = protocol.parse().map_err(|_| WRONG)?;
        }
        let request = &mut exchange.request;
        if let Some(asked) = self.asked {
            (request.method, request.scheme, request.authority, request.target) = asked;
        }
        restore(&mut request.headers, &mut request.body, (self.request_headers, self.request_body), true)?;
        if let Some(response) = &mut exchange.response {
            response.status = self.status.unwrap_or(response.status);
            let exact = (self.response_headers, self.response_body);
            restore(&mut response.headers, &mut response.body, exact, keep)?;
        }
        exchange.stream = self.stream.map(ExactStream::restore).transpose()?;
        Ok(())
    }
}

fn headers(own: &Headers, text: &Headers) -> Option<ExactHeaders> {
    (own != text).then(|| ExactHeaders::of(own))
}

fn body(own: &Body, text: &Body) -> Option<ExactBody> {
    (own != text).then(|| ExactBody::of(own, text.data.as_deref()))
}

fn restore(
    headers: &mut Headers,
    body: &mut Body,
    exact: (Option<ExactHeaders>, Option<ExactBody>),
    keep: bool,
) -> Result<(), String> {
    if let Some(exact) = exact.0 {
        *headers = exact.into_headers().map_err(|_| WRONG)?;
    }
    if let Some(exact) = exact.1 {
        *body = exact.restore(body, keep).ok_or(WRONG)?;
    }
    Ok(())
}

fn request_text(exchange: &Exchange) -> Vec<u8> {
    let request = &exchange.request;
    let method: String = request.method.chars().filter(|c| is_token(*c)).collect();
    let method = if method.is_empty() { "GET" } else { &method };
    let target = match encode_target(request.target.as_bytes()) {
        empty if empty.is_empty() => "/".to_owned(),
        target => target,
    };
    let version = if exchange.protocol == Protocol::Http10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut text = format!("{method} {target} {version}\r\n").into_bytes();
    if !request.headers.contains("host") {
        field(&mut text, "Host", request.authority.as_bytes());
    }
    message_text(text, &request.headers, &request.body, true)
}

fn response_text(exchange: &Exchange, response: &Response) -> Vec<u8> {
    let version = if exchange.protocol == Protocol::Http10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let status = response.status.clamp(100, 999);
    let text = format!("{version} {status} \r\n").into_bytes();
    let is_tunnel = exchange.request.method == "CONNECT" && status < 300;
    let has_body = exchange.request.method != "HEAD" && !matches!(status, 100..200 | 204 | 304) && !is_tunnel;
    message_text(text, &response.headers, &response.body, has_body)
}

/// Start line, fields and body; the fields that say where the body ends say it of what stands there.
fn message_text(mut text: Vec<u8>, headers: &Headers, body: &Body, has_body: bool) -> Vec<u8> {
    let data = match &body.data {
        Some(data) if has_body && body.is_whole() && !holds_separator(data) => &data[..],
        _ => &[],
    };
    let is_chunked = has_body && message::is_chunked(headers) && !data.is_empty();
    let mut says_length = false;
    for (name, value) in headers.iter() {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match () {
            () if is("transfer-encoding") && !is_chunked => {}
            () if is("content-length") && is_chunked => {}
            () if is("content-length") && has_body => {
                if !std::mem::replace(&mut says_length, true) {
                    field(&mut text, name, data.len().to_string().as_bytes());
                }
            }
            () => field(&mut text, name, value),
        }
    }
    if !is_chunked && !says_length && !data.is_empty() {
        field(&mut text, "Content-Length", data.len().to_string().as_bytes());
    }
    text.extend_from_slice(b"\r\n");
    if is_chunked {
        text.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
        text.extend_from_slice(data);
        text.extend_from_slice(b"\r\n0\r\n\r\n");
    } else {
        text.extend_from_slice(data);
    }
    text
}

/// A field, unless it would be something else in a text.
fn field(text: &mut Vec<u8>, name: &str, value: &[u8]) {
    let is_line =
        !name.is_empty() && name.chars().all(is_token) && !value.iter().any(|byte| b"\r\n\0".contains(byte));
    if is_line && !holds_separator(value) {
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value);
        text.extend_from_slice(b"\r\n");
    }
}

fn holds_separator(bytes: &[u8]) -> bool {
    let monkeys = SEPARATOR.trim_ascii().as_bytes();
    bytes.windows(monkeys.len()).any(|part| part == monkeys)
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

const WRONG: &str = "the fifth word is not what squall wrote";
