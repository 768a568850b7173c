//! Brings logs and archives of other programs into captures.
//!
//! Every importer reads a stream and hands each [`Exchange`] to a sink as soon as it can. What cannot be read is
//! counted in a [`Tally`] and named by its place; it never stops the rest.

pub mod access_log;
pub mod har;
pub mod ndjson;
mod source;
mod time;

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use crate::error::Error;
use crate::limits::MAX_NAMED_DAMAGE;
use crate::{Exchange, SessionId};

pub use source::open;

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
    /// Common or combined access log of Apache, nginx and their kin.
    AccessLog,
    /// HTTP archive, 1.1 or 1.2.
    Har,
    /// What `squall captures export --format ndjson` writes.
    Ndjson,
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
    /// As it is typed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Format::AccessLog => "access-log",
            Format::Har => "har",
            Format::Ndjson => "ndjson",
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        [Format::AccessLog, Format::Har, Format::Ndjson]
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| format!("unknown format {text:?}; known are: auto, access-log, har, ndjson"))
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
    let mut input = open(path)?;
    let format = match format {
        Some(format) => format,
        None => detect(path, &mut input)?,
    };
    let tally = match format {
        Format::AccessLog => access_log::read(input, options, numbering, sink),
        Format::Har => har::read(input, options, numbering, sink),
        Format::Ndjson => ndjson::read(input, options, numbering, sink),
    };
    match tally {
        Ok(tally) => Ok((format, tally)),
        Err(Error::Invalid(why)) => Err(Error::Invalid(format!("{}: {why}", path.display()))),
        Err(err) => Err(err),
    }
}

/// What a file looks like from its first bytes.
fn detect(path: &Path, input: &mut Box<dyn BufRead>) -> Result<Format, Error> {
    let head = input.fill_buf().map_err(Error::io("read", path))?;
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let contains =
        |needle: &[u8]| head[..head.len().min(4096)].windows(needle.len()).any(|part| part == needle);
    let why = match head {
        [] => "it is empty",
        [b'{', ..] if contains(b"\"start_us\"") && contains(b"\"session\"") && !contains(b"\"log\"") => {
            return Ok(Format::Ndjson);
        }
        [b'{' | b'[', ..] => return Ok(Format::Har),
        [0x57, 0x2a, 0x4d, 0x18, ..] => "it is a capture already",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "it is UTF-16; convert it first: iconv -f utf-16 -t utf-8",
        _ if head.contains(&0) => "it is neither a log nor a HAR, but binary",
        _ => return Ok(Format::AccessLog),
    };
    Err(Error::Invalid(format!(
        "{} cannot be imported: {why}; give an access log, a HAR or NDJSON, or say --format",
        path.display()
    )))
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
