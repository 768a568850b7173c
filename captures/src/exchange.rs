//! One request and what came back, and the sessions they form.

use std::fmt;
use std::str::FromStr;

use crate::messages::Stream;
use crate::notes::Notes;
use crate::{Body, Headers};

/// The number of a session, unique within a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    /// Lower-case hexadecimal, as `squall-session` carries it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// The version of HTTP that the client spoke.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1, also where the source does not say.
    #[default]
    Http11,
    /// HTTP/2
    Http2,
    /// HTTP/3
    Http3,
}

impl Protocol {
    /// As it stands in a request line: `HTTP/1.1`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Protocol::Http10 => "HTTP/1.0",
            Protocol::Http11 => "HTTP/1.1",
            Protocol::Http2 => "HTTP/2",
            Protocol::Http3 => "HTTP/3",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    /// Reads the spellings that logs and tools use: `HTTP/2.0`, `h2`, `http/2`, `h3`, `HTTP/1.1`, …
    fn from_str(text: &str) -> Result<Protocol, UnknownProtocol> {
        let text = text.trim().to_ascii_lowercase();
        let version = text.strip_prefix("http/").unwrap_or(&text);
        match version {
            "1.0" | "1" | "0.9" => Ok(Protocol::Http10),
            "1.1" => Ok(Protocol::Http11),
            "2" | "2.0" | "h2" | "h2c" => Ok(Protocol::Http2),
            "3" | "3.0" | "h3" | "http3" => Ok(Protocol::Http3),
            _ if version.starts_with("h3-") || version.starts_with("quic") => Ok(Protocol::Http3),
            _ => Err(UnknownProtocol),
        }
    }
}

/// The text names no version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no known version of HTTP")]
pub struct UnknownProtocol;

/// A request and its answer, as recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The session it belongs to.
    pub session: SessionId,
    /// Number of the client's connection, unique within the capture; `None` where the source does not know.
    pub connection: Option<u64>,
    /// Name of the edge that saw it; `default` for imports.
    pub edge: String,
    /// When the request began: microseconds since 1970-01-01 UTC.
    pub start_us: u64,
    /// The version of HTTP that the client spoke.
    pub protocol: Protocol,
    /// What was asked.
    pub request: Request,
    /// What was answered; `None` when no answer was seen.
    pub response: Option<Response>,
    /// Microseconds from `start_us` to the first byte of the answer; `None` where unknown.
    pub ttfb_us: Option<u64>,
    /// Microseconds from `start_us` to the last byte of the answer; `None` where unknown.
    pub duration_us: Option<u64>,
    /// Ids of the fault rules that touched it: such an exchange is not organic traffic.
    pub faults: Vec<String>,
    /// What else is to be said.
    pub notes: Notes,
    /// The messages of a stream; `None` where it was none, or its messages were not seen.
    pub stream: Option<Stream>,
}

/// The request of an [`Exchange`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The method, as sent.
    pub method: String,
    /// `http`, `https`, or empty where unknown.
    pub scheme: String,
    /// Host and, where given, port; empty where unknown (access logs).
    pub authority: String,
    /// Origin form: path and query. `*` and CONNECT's authority form are kept as they were.
    pub target: String,
    /// Header fields as sent, without HTTP/2 pseudo-fields and without Squall's own.
    pub headers: Headers,
    /// The body.
    pub body: Body,
}

impl Request {
    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }
}

/// The answer of an [`Exchange`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header fields as received.
    pub headers: Headers,
    /// The body, by default only its digest.
    pub body: Body,
}

/// The exchanges of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Its number.
    pub id: SessionId,
    /// Its exchanges, by `start_us`; those of the same microsecond in the order they were recorded.
    pub exchanges: Vec<Exchange>,
}

impl Session {
    /// When its first exchange began, in microseconds since 1970-01-01 UTC; 0 for an empty session.
    pub fn start_us(&self) -> u64 {
        self.exchanges.first().map_or(0, |exchange| exchange.start_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_in_all_their_spellings() {
        let check = |text: &str, expect: Option<Protocol>| assert_eq!(text.parse().ok(), expect, "{text:?}");
        check("HTTP/1.0", Some(Protocol::Http10));
        check("HTTP/1.1", Some(Protocol::Http11));
        check("http/2.0", Some(Protocol::Http2));
        check("HTTP/2", Some(Protocol::Http2));
        check("h2", Some(Protocol::Http2));
        check("h3-29", Some(Protocol::Http3));
        check("unknown", None);
        check("", None);
        for protocol in [Protocol::Http10, Protocol::Http11, Protocol::Http2, Protocol::Http3] {
            check(protocol.as_str(), Some(protocol));
        }
    }
}
