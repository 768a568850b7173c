//! Writes captures in the formats of other programs.

pub mod gor;
pub mod har;
pub mod mitmproxy;
pub mod ndjson;
pub(crate) mod own;
mod streams;

use std::io;

use serde::{Deserialize, Serialize};

use crate::damage::Damage;
use crate::error::Error;
use crate::import::ByTime;
pub(crate) use streams::ExactStream;

use crate::{Body, Exchange, Headers, Reader};

/// What an export wrote, and what it could not read.
#[derive(Clone, Debug, Default)]
pub struct Exported {
    /// Exchanges written.
    pub exchanges: u64,
    /// Damaged places of the capture.
    pub damage: Vec<Damage>,
}

/// Why an export stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The output does not take any more; a closed pipe is one of these.
    #[error("cannot write the export: {0}")]
    Output(#[from] io::Error),
    /// The capture cannot be read at all.
    #[error(transparent)]
    Capture(#[from] Error),
}

/// Hands each exchange to `put`, within a block by start.
fn each(reader: Reader, mut put: impl FnMut(&Exchange) -> io::Result<()>) -> Result<Exported, ExportError> {
    let mut exported = Exported::default();
    for block in reader.blocks() {
        match block {
            Ok((_, mut exchanges)) => {
                exchanges.sort_by_key(|exchange| exchange.start_us);
                for exchange in &exchanges {
                    put(exchange)?;
                    exported.exchanges += 1;
                }
            }
            Err(damage) => exported.damage.push(damage),
        }
    }
    Ok(exported)
}

/// Hands each exchange to `put`, by start over the whole capture: whoever reads the other format sends in its order, and the
/// blocks of a compacted capture have none.
fn each_by_time(
    reader: Reader,
    mut put: impl FnMut(&Exchange) -> io::Result<()>,
) -> Result<Exported, ExportError> {
    let mut exported = Exported::default();
    let mut order = ByTime::default();
    for block in reader.blocks() {
        match block {
            Ok((_, exchanges)) => exchanges.into_iter().try_for_each(|exchange| order.push(exchange))?,
            Err(damage) => exported.damage.push(damage),
        }
    }
    let mut failed = None;
    let written = order.finish(|exchange| {
        exported.exchanges += 1;
        put(&exchange).map_err(|err| {
            failed = Some(err);
            Error::Invalid("the output takes no more".to_owned())
        })
    });
    match failed {
        Some(err) => Err(err.into()),
        None => written.map(|()| exported).map_err(ExportError::from),
    }
}

/// `2023-03-30T00:00:54.250000Z`
pub(crate) fn rfc3339(us: u64) -> String {
    let timestamp = i64::try_from(us).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    format!("{:.6}", timestamp.unwrap_or(jiff::Timestamp::MAX))
}

/// A header list whose values are not all text: every name and value, the values in base64.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ExactHeaders(Vec<(String, String)>);

impl ExactHeaders {
    pub(crate) fn of(headers: &Headers) -> ExactHeaders {
        ExactHeaders(headers.iter().map(|(name, value)| (name.to_owned(), base64(value))).collect())
    }

    pub(crate) fn into_headers(self) -> Result<Headers, base64::DecodeError> {
        let mut headers = Headers::new();
        for (name, value) in &self.0 {
            headers.push(name, unbase64(value)?);
        }
        Ok(headers)
    }
}

/// A body beside its text.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ExactBody {
    len: u64,
    /// In hexadecimal: JSON numbers are not exact in every reader.
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    recorded: bool,
    /// Where the text beside it does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl ExactBody {
    /// `said` is what the export says beside it.
    pub(crate) fn of(body: &Body, said: Option<&[u8]>) -> ExactBody {
        let data = body.data.as_ref();
        let said = said.unwrap_or_default();
        ExactBody {
            len: body.len,
            hash: body.hash.map(|hash| format!("{hash:016x}")),
            recorded: data.is_some(),
            base64: data.filter(|data| ***data != *said).map(|data| base64(data)),
        }
    }

    /// The body again, from this and what the text said; without its bytes unless they are wanted.
    pub(crate) fn restore(&self, said: &Body, keep: bool) -> Option<Body> {
        let hash = match &self.hash {
            Some(hash) => Some(u64::from_str_radix(hash, 16).ok()?),
            None => None,
        };
        let data = match &self.base64 {
            _ if !self.recorded || !keep => None,
            Some(base64) => Some(unbase64(base64).ok()?.into()),
            None => Some(said.data.clone().unwrap_or_default()),
        };
        Some(Body { len: self.len, hash, data })
    }
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

pub(crate) fn unbase64(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text)
}

/// The body as text, where it is text and there is some.
fn body_text(body: &Body) -> Option<&str> {
    body.data.as_ref().filter(|data| !data.is_empty()).and_then(|data| std::str::from_utf8(data).ok())
}

/// A name that never resolves (RFC 2606).
const UNKNOWN_HOST: &str = "unknown.invalid";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_to_the_microsecond() {
        assert_eq!(rfc3339(1_680_134_454_250_001), "2023-03-30T00:00:54.250001Z");
        assert!(rfc3339(u64::MAX).starts_with("9999-"));
    }
}
