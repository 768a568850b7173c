//! What the formats of others have no place for: a record says what it can, is read back as an importer will read it, and
//! whatever is missing then is written beside it. So what is exported and imported again is equal.

use std::io;

use serde::{Deserialize, Serialize};

use super::{ExactBody, ExactHeaders, ExactStream};
use crate::exchange::{Request, Response};
use crate::notes::Notes;
use crate::{Body, Exchange, Headers, SessionId};

/// What a capture knows and a format does not say.
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

impl Own {
    /// What `said` does not say of `exchange`, where `said` is what an importer makes of the text alone.
    pub(crate) fn of(exchange: &Exchange, said: &Exchange) -> Own {
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

    /// As it stands in a file.
    pub(crate) fn to_json(&self) -> io::Result<String> {
        serde_json::to_string(self).map_err(io::Error::from)
    }

    /// Reads what [`Own::to_json`] wrote.
    ///
    /// # Errors
    /// In words, when nobody wrote it.
    pub(crate) fn from_json(json: &[u8]) -> Result<Own, String> {
        serde_json::from_slice(json).map_err(|_| WRONG.to_owned())
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

const WRONG: &str = "what squall wrote beside it was changed";
