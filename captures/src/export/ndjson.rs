//! NDJSON: one exchange a line, the same fields on every line, made for jq and DuckDB.
//!
//! Texts that are not UTF-8 stand in the field that ends in `_base64`; a field without a value is `null`.
//! `FORMAT.md` lists the fields. `squall captures import` reads it back.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::{ExactBody, ExactHeaders, ExactStream, ExportError, Exported, body_text, each, rfc3339};
use crate::exchange::{Request, Response};
use crate::notes::Notes;
use crate::{Body, Exchange, Headers, Reader, SessionId};

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    session: String,
    connection: Option<u64>,
    edge: String,
    /// For people; `start_us` is exact and is what counts.
    #[serde(default)]
    time: String,
    start_us: u64,
    protocol: String,
    method: String,
    scheme: String,
    authority: String,
    target: String,
    status: Option<u16>,
    ttfb_us: Option<u64>,
    duration_us: Option<u64>,
    faults: Vec<String>,
    notes: Vec<String>,
    request_headers: Vec<Field>,
    request_headers_base64: Option<ExactHeaders>,
    request_bytes: u64,
    request_body: Option<String>,
    request_body_exact: ExactBody,
    response_headers: Vec<Field>,
    response_headers_base64: Option<ExactHeaders>,
    response_bytes: Option<u64>,
    response_body: Option<String>,
    response_body_exact: Option<ExactBody>,
    #[serde(default)]
    stream: Option<ExactStream>,
}

/// A header field.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Field {
    name: String,
    value: String,
}

/// Writes a capture, block by block.
///
/// # Errors
/// When the output fails. Damage in the capture is returned with what was written.
pub fn write(reader: Reader, mut out: impl Write) -> Result<Exported, ExportError> {
    let exported = each(reader, |exchange| write_line(exchange, &mut out))?;
    out.flush()?;
    Ok(exported)
}

/// Writes one exchange.
///
/// # Errors
/// When the output fails.
pub fn write_line(exchange: &Exchange, mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut out, &Record::of(exchange)).map_err(io::Error::from)?;
    out.write_all(b"\n")
}

impl Record {
    fn of(exchange: &Exchange) -> Record {
        let request = &exchange.request;
        let response = exchange.response.as_ref();
        let (request_headers, request_headers_base64) = fields(&request.headers);
        let (response_headers, response_headers_base64) =
            response.map(|response| fields(&response.headers)).unwrap_or_default();
        let response_text = response.and_then(|response| body_text(&response.body));
        Record {
            session: exchange.session.to_string(),
            connection: exchange.connection,
            edge: exchange.edge.clone(),
            time: rfc3339(exchange.start_us),
            start_us: exchange.start_us,
            protocol: exchange.protocol.to_string(),
            method: request.method.clone(),
            scheme: request.scheme.clone(),
            authority: request.authority.clone(),
            target: request.target.clone(),
            status: response.map(|response| response.status),
            ttfb_us: exchange.ttfb_us,
            duration_us: exchange.duration_us,
            faults: exchange.faults.clone(),
            notes: exchange.notes.names(),
            request_headers,
            request_headers_base64,
            request_bytes: request.body.len,
            request_body: body_text(&request.body).map(str::to_owned),
            request_body_exact: ExactBody::of(&request.body, body_text(&request.body).map(str::as_bytes)),
            response_headers,
            response_headers_base64,
            response_bytes: response.map(|response| response.body.len),
            response_body: response_text.map(str::to_owned),
            response_body_exact: response
                .map(|response| ExactBody::of(&response.body, response_text.map(str::as_bytes))),
            stream: exchange.stream.as_ref().map(ExactStream::of),
        }
    }

    /// The exchange again, without the bytes of the answer unless they are wanted.
    pub(crate) fn into_exchange(self, response_bodies: bool) -> Result<Exchange, String> {
        let mut notes = Notes::NONE;
        for name in &self.notes {
            notes.insert(Notes::by_name(name).ok_or_else(|| format!("there is no note {name:?}"))?);
        }
        let session =
            u64::from_str_radix(&self.session, 16).map_err(|_| "session is no hexadecimal number")?;
        let wrong = || "a body is not what squall wrote".to_owned();
        let response = match (self.status, self.response_body_exact) {
            (Some(status), body) => {
                let said = said(self.response_body);
                let body = match body {
                    Some(exact) => exact.restore(&said, response_bodies).ok_or_else(wrong)?,
                    None => said,
                };
                Some(Response {
                    status,
                    headers: headers(self.response_headers, self.response_headers_base64)?,
                    body,
                })
            }
            (None, _) => None,
        };
        let request = Request {
            method: self.method,
            scheme: self.scheme,
            authority: self.authority,
            target: self.target,
            headers: headers(self.request_headers, self.request_headers_base64)?,
            body: self.request_body_exact.restore(&said(self.request_body), true).ok_or_else(wrong)?,
        };
        Ok(Exchange {
            session: SessionId(session),
            connection: self.connection,
            edge: self.edge,
            start_us: self.start_us,
            protocol: self.protocol.parse().map_err(|err| format!("protocol: {err}"))?,
            request,
            response,
            ttfb_us: self.ttfb_us,
            duration_us: self.duration_us,
            faults: self.faults,
            notes,
            stream: self.stream.map(ExactStream::restore).transpose()?,
        })
    }
}

fn said(text: Option<String>) -> Body {
    text.map(Body::whole).unwrap_or_default()
}

fn fields(headers: &Headers) -> (Vec<Field>, Option<ExactHeaders>) {
    let exact = headers.iter().any(|(_, value)| std::str::from_utf8(value).is_err());
    let fields = headers
        .iter()
        .map(|(name, value)| Field {
            name: name.to_owned(),
            value: String::from_utf8_lossy(value).into_owned(),
        })
        .collect();
    (fields, exact.then(|| ExactHeaders::of(headers)))
}

fn headers(fields: Vec<Field>, exact: Option<ExactHeaders>) -> Result<Headers, String> {
    match exact {
        Some(exact) => exact.into_headers().map_err(|err| format!("a header is not base64: {err}")),
        None => Ok(fields.iter().map(|field| (&field.name, &field.value)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_brings_back_what_was_written() {
        let mut exchange = Exchange {
            start_us: 5,
            ttfb_us: Some(1),
            faults: vec!["slow".to_owned()],
            ..Exchange::default()
        };
        exchange.request.headers = [("a", &b"\xff"[..]), ("B", b"x")].into_iter().collect();
        exchange.request.body = Body::whole(&b"\xfe\xff"[..]);
        exchange.notes = Notes::LOSSY.with(Notes::from_bits(1 << 30));
        let mut answered = exchange.clone();
        answered.request.body = Body { len: 9, hash: None, data: Some("part".into()) };
        answered.response =
            Some(Response { status: 204, headers: Headers::new(), body: Body::whole("text") });
        let mut streamed = answered.clone();
        streamed.stream = Some(super::super::streams::example());
        for exchange in [exchange, answered, streamed] {
            let mut line = Vec::new();
            write_line(&exchange, &mut line).unwrap();
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            let record: Record = serde_json::from_slice(&line).unwrap();
            assert_eq!(record.into_exchange(true).unwrap(), exchange);
        }
    }
}
