//! `.gor`, for GoReplay and whatever else reads its files.
//!
//! The text is always HTTP that any program can read: an answer whose bytes were not recorded says a length of 0, what
//! came by HTTP/2 gets a `Host`. What the text does not say (sessions, connections, lengths and hashes, messages of
//! streams) stands in a fifth word of the line before a request, which GoReplay passes over. To know what that is, each
//! record is read back as the importer will read it: what is exported and imported again is equal.

use std::io::{self, Write};

use super::own::Own;
use super::{ExportError, Exported, base64, each_by_time};
use crate::exchange::{Protocol, Response};
use crate::import::encode_target;
use crate::import::gor::{self, OWN, SEPARATOR, message};
use crate::{Body, Exchange, Headers, Reader};

/// Writes a capture, block by block: each request, and its answer right behind it.
///
/// # Errors
/// When the output fails. Damage in the capture is returned with what was written.
pub fn write(reader: Reader, mut out: impl Write) -> Result<Exported, ExportError> {
    let mut number = 0;
    let exported = each_by_time(reader, |exchange| {
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
    let own = Own::of(exchange, &said).to_json()?;
    writeln!(out, "{meta} {OWN}{}", base64(own.as_bytes()))?;
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
