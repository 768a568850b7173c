//! The inside of a block: how exchanges become bytes, and bytes exchanges again.
//!
//! What is written today is encoding 4, in [`columns`], and of small blocks encoding 5, which is the same in another
//! code, in [`mixing`]. Encoding 3, there too, and encodings 1 and 2, in [`rows`], are what earlier versions wrote; they are
//! read as before. Nothing inside a block refers to anything outside of it.

mod columns;
mod cost;
mod generators;
mod in_body;
mod mixing;
mod rows;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

pub(crate) use columns::Builder;
pub(crate) use cost::of_exchange as size_of;
pub(crate) use generators::Generators;

use crate::Exchange;
use crate::limits::{ENCODING_COLUMNS, ENCODING_MIXED, ENCODING_STREAMS, ENCODING_VERSION, ENCODING_WORDS};
use crate::wire::Malformed;

/// A finished block before compression, and what its header says about it.
pub(crate) struct Encoded {
    pub(crate) raw: Vec<u8>,
    /// Where in it the content changes its nature, ascending.
    pub(crate) cuts: Vec<usize>,
    pub(crate) records: u32,
    /// Version of the encoding.
    pub(crate) encoding: u16,
    pub(crate) first_us: u64,
    pub(crate) last_us: u64,
    /// Each session of the block: id, start of its first exchange, number of exchanges.
    pub(crate) sessions: Vec<(u64, u64, u32)>,
}

/// Whether this version can read blocks of that encoding.
pub(crate) fn is_known(encoding: u16) -> bool {
    matches!(
        encoding,
        ENCODING_VERSION | ENCODING_STREAMS | ENCODING_COLUMNS | ENCODING_WORDS | ENCODING_MIXED
    )
}

/// The exchanges of a block of that encoding, session by session.
///
/// # Errors
/// When the bytes are not a block of exactly `records` exchanges, or unfold beyond the limits.
pub(crate) fn decode(raw: &[u8], records: usize, encoding: u16) -> Result<Vec<Exchange>, Malformed> {
    match encoding {
        ENCODING_COLUMNS | ENCODING_WORDS => columns::decode(raw, records, encoding),
        ENCODING_MIXED => columns::decode(&mixing::decode(raw)?, records, encoding),
        _ => rows::decode(raw, records, encoding),
    }
}

/// The sessions of a block of that encoding: id, start of the first exchange, number of exchanges. Checks all that
/// [`decode`] checks, in less time.
///
/// # Errors
/// As [`decode`].
pub(crate) fn check(raw: &[u8], records: usize, encoding: u16) -> Result<Vec<(u64, u64, u32)>, Malformed> {
    match encoding {
        ENCODING_COLUMNS | ENCODING_WORDS => columns::check(raw, records, encoding),
        ENCODING_MIXED => columns::check(&mixing::decode(raw)?, records, encoding),
        _ => rows::decode(raw, records, encoding).map(|exchanges| sessions_of(&exchanges)),
    }
}

/// The same of exchanges that stand session by session.
pub(crate) fn sessions_of(exchanges: &[Exchange]) -> Vec<(u64, u64, u32)> {
    let sessions = exchanges.chunk_by(|a, b| a.session == b.session);
    let first_us = |session: &[Exchange]| session.iter().map(|exchange| exchange.start_us).min().unwrap_or(0);
    sessions.map(|session| (session[0].session.0, first_us(session), session.len() as u32)).collect()
}
