//! Brings logs and archives of other programs into captures.
//!
//! Every importer reads a stream and hands each [`Exchange`] to a sink as soon as it can. What cannot be read is
//! counted in a [`Tally`] and named by its place; it never stops the rest.

pub mod access_log;
mod by_time;
mod detect;
pub mod gor;
pub mod har;
mod http1;
pub mod mitmproxy;
pub mod ndjson;
pub mod pcap;
mod sort;
mod source;
mod time;
mod visitors;
mod window;

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use crate::error::Error;
use crate::limits::MAX_NAMED_DAMAGE;
use crate::notes::Notes;
use crate::{Exchange, SessionId};

use detect::Peeked;

pub use by_time::ByTime;
pub use source::open;
pub(crate) use time::log_time;

/// Whether a text can be the name of a method.
fn is_token(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Where an importer puts exchanges. An error stops the import.
pub type Sink<'a> = &'a mut dyn FnMut(Exchange) -> Result<(), Error>;

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Exchanges handed on.
    pub imported: u64,
    /// Sessions they form.
    pub sessions: u64,
    /// Records that could not be read.
    pub damaged: u64,
    /// The first [`MAX_NAMED_DAMAGE`] of them by place.
    pub named: Vec<Damaged>,
    /// Records that are sound and stand for no HTTP request, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Exchanges that began before one that came ahead of them. Where the format knows no order, they were put in order;
    /// elsewhere [`ByTime`] does it.
    pub out_of_order: u64,
    /// What else was met, by name: segments sent again, bytes that the capture of packets missed.
    pub noted: BTreeMap<String, u64>,
}

/// A record that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damaged {
    /// Where: `line 17`, `entry 3`.
    pub place: String,
    /// What is wrong with it.
    pub why: String,
}

/// The next free numbers of a capture, over all files that go into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbering {
    /// The next session.
    pub session: u64,
    /// The next connection.
    pub connection: u64,
}

/// What to make of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportOptions {
    /// The edge that the exchanges are said to come from.
    pub edge: String,
    /// Keep the bodies of answers (HAR, NDJSON); otherwise only length and hash.
    pub response_bodies: bool,
}

/// The formats that can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Access log of Apache, nginx and their kin: common, combined, or JSON lines.
    AccessLog,
    /// HTTP archive, 1.1 or 1.2.
    Har,
    /// What `squall captures export --format ndjson` writes.
    Ndjson,
    /// Flows that mitmproxy saved, of any of its versions.
    Mitmproxy,
    /// What GoReplay records: requests, and answers where they were recorded.
    Gor,
    /// Packets, as tcpdump and Wireshark save them: pcap and pcapng.
    Pcap,
}

impl Tally {
    pub(crate) fn damage(&mut self, place: impl fmt::Display, why: impl fmt::Display) {
        self.damaged += 1;
        if self.named.len() < MAX_NAMED_DAMAGE {
            self.named.push(Damaged { place: place.to_string(), why: why.to_string() });
        }
    }

    pub(crate) fn skip(&mut self, why: &str) {
        *self.skipped.entry(why.to_owned()).or_default() += 1;
    }

    /// Counts what else was met.
    pub(crate) fn note(&mut self, what: &str, n: u64) {
        if n != 0 {
            *self.noted.entry(what.to_owned()).or_default() += n;
        }
    }
}

impl Numbering {
    pub(crate) fn next_session(&mut self) -> SessionId {
        self.session += 1;
        SessionId(self.session - 1)
    }

    pub(crate) fn next_connection(&mut self) -> u64 {
        self.connection += 1;
        self.connection - 1
    }

    /// A session that brought its own number: later ones come after it.
    pub(crate) fn saw_session(&mut self, id: SessionId) {
        self.session = self.session.max(id.0.saturating_add(1));
    }

    pub(crate) fn saw_connection(&mut self, id: u64) {
        self.connection = self.connection.max(id.saturating_add(1));
    }
}

impl Default for Numbering {
    fn default() -> Numbering {
        Numbering { session: 1, connection: 1 }
    }
}

impl Default for ImportOptions {
    fn default() -> ImportOptions {
        ImportOptions { edge: "default".to_owned(), response_bodies: false }
    }
}

impl Format {
    const ALL: [Format; 6] =
        [Format::AccessLog, Format::Har, Format::Ndjson, Format::Mitmproxy, Format::Gor, Format::Pcap];

    /// As it is typed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Format::AccessLog => "access-log",
            Format::Har => "har",
            Format::Ndjson => "ndjson",
            Format::Mitmproxy => "mitmproxy",
            Format::Gor => "gor",
            Format::Pcap => "pcap",
        }
    }

    /// All of them, for messages.
    fn list() -> String {
        Format::ALL.map(Format::as_str).join(", ")
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        match text {
            "pcapng" => Ok(Format::Pcap),
            "goreplay" => Ok(Format::Gor),
            _ => Format::ALL
                .into_iter()
                .find(|format| format.as_str() == text)
                .ok_or_else(|| format!("unknown format {text:?}; known are: auto, {}", Format::list())),
        }
    }
}

/// Imports what is of a given format.
///
/// # Errors
/// When it cannot be read, is nothing of that format, or the sink fails.
pub fn read(
    format: Format,
    input: impl BufRead,
    options: &ImportOptions,
    numbering: &mut Numbering,
    sink: Sink<'_>,
) -> Result<Tally, Error> {
    match format {
        Format::AccessLog => access_log::read(input, options, numbering, sink),
        Format::Har => har::read(input, options, numbering, sink),
        Format::Ndjson => ndjson::read(input, options, numbering, sink),
        Format::Mitmproxy => mitmproxy::read(input, options, numbering, sink),
        Format::Gor => gor::read(input, options, numbering, sink),
        Format::Pcap => pcap::read(input, options, numbering, sink),
    }
}

/// Imports a file of a given format, or of the one that it looks like.
///
/// # Errors
/// When the file cannot be read, is nothing that can be imported, or the sink fails.
pub fn file(
    path: &Path,
    format: Option<Format>,
    options: &ImportOptions,
    numbering: &mut Numbering,
    sink: Sink<'_>,
) -> Result<(Format, Tally), Error> {
    let input = Peeked::new(open(path)?);
    let format = match format {
        Some(format) => format,
        None => detect::detect(path, input.head())?,
    };
    let (mut latest_us, mut out_of_order) = (0, 0);
    let mut sink = |exchange: Exchange| {
        out_of_order += u64::from(exchange.start_us < latest_us);
        latest_us = latest_us.max(exchange.start_us);
        sink(exchange)
    };
    match read(format, input, options, numbering, &mut sink) {
        Ok(mut tally) => {
            tally.out_of_order += out_of_order;
            Ok((format, tally))
        }
        Err(Error::Invalid(why)) => Err(Error::Invalid(format!("{}: {why}", path.display()))),
        Err(err) => Err(err),
    }
}

/// Seconds since 1970 as microseconds; a time beyond thousands of years is none. Doubles are exact to a microsecond
/// until 2255.
pub(crate) fn micros(seconds: f64) -> Option<u64> {
    (0.0..1e12).contains(&seconds).then(|| (seconds * 1e6).round() as u64)
}

/// What an answer says about what its connection became.
pub(crate) fn stream_notes(exchange: &Exchange) -> Notes {
    let mut notes = Notes::NONE;
    let Some(response) = &exchange.response else { return notes };
    let connect = exchange.request.method == "CONNECT" && (200..300).contains(&response.status);
    if response.status == 101 || connect {
        notes.insert(Notes::UPGRADED);
        let upgrade = exchange.request.headers.get_str("upgrade").unwrap_or_default();
        if upgrade.eq_ignore_ascii_case("websocket") {
            notes.insert(Notes::WEBSOCKET);
        }
    }
    let kind = response.headers.get_str("content-type").unwrap_or_default();
    if kind.to_ascii_lowercase().starts_with("text/event-stream") {
        notes.insert(Notes::STREAM);
    }
    notes
}

/// A target that can be sent: what may not stand in one is percent-encoded, all else stays as it is.
pub(crate) fn encode_target(target: &[u8]) -> String {
    use fmt::Write;
    let mut out = String::with_capacity(target.len());
    for byte in target {
        match byte {
            b'!' | b'$'..=b';' | b'=' | b'?'..=b'[' | b']'..=b'_' | b'a'..=b'{' | b'|' | b'}' | b'~' => {
                out.push(char::from(*byte));
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}
