//! Captures made of captures: a part of one, several as one, one with other sessions.
//!
//! All of them stream: memory is that of one block and of the index, however long the captures are. The output is a new
//! file, never one that is there; damage in an input is passed over and counted.

mod rekey;
mod slice;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::damage::Damage;
use crate::error::Error;
use crate::header::{FileHeader, Options};
use crate::writer::Summary;
use crate::{Exchange, Reader, SessionId, Writer};

pub use crate::session_key::{Key, UnknownKey};
pub use rekey::Rekeying;
pub use slice::Slice;

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reshaped {
    /// What the new capture holds.
    pub written: Summary,
    /// Exchanges read.
    pub read: u64,
    /// Exchanges that the new capture is not to hold.
    pub left_out: u64,
    /// What could not be read, and in which file.
    pub damage: Vec<(PathBuf, Damage)>,
}

/// Writes the exchanges of `input` that `slice` means to the new file `output`.
///
/// # Errors
/// The input is no capture, the output exists or cannot be written.
pub fn slice(input: &Path, output: &Path, slice: &Slice, now_us: u64) -> Result<Reshaped, Error> {
    let slice = slice.counted_from(input)?;
    one(input, output, now_us, |exchange| slice.means(&exchange).then_some(exchange))
}

/// Writes `input` to the new file `output` with sessions by other keys. The second figure tells by which key, in the order of
/// `keys`, how many exchanges were named; the last entry those by none.
///
/// # Errors
/// As [`slice()`].
pub fn rekey(input: &Path, output: &Path, keys: &[Key], now_us: u64) -> Result<(Reshaped, Vec<u64>), Error> {
    let mut rekeying = Rekeying::new(keys);
    let done = one(input, output, now_us, |mut exchange| {
        exchange.session = rekeying.session(&exchange);
        Some(exchange)
    })?;
    Ok((done, rekeying.named().to_vec()))
}

/// Writes several captures as one. Sessions and connections of different inputs stay apart, unless `same_sessions` says that
/// equal numbers are the same users (proxies of one service that share a redaction key).
///
/// # Errors
/// No input; an input is no capture; the output exists or cannot be written.
pub fn merge(inputs: &[PathBuf], output: &Path, same_sessions: bool, now_us: u64) -> Result<Reshaped, Error> {
    let mut header = FileHeader::new("merge", now_us);
    let mut keys = BTreeMap::new();
    for input in inputs {
        let of = Reader::open(input)?.header().clone();
        for edge in of.edges {
            if !header.edges.contains(&edge) {
                header.edges.push(edge);
            }
        }
        keys.insert(of.key_id, of.redaction);
    }
    // one key, one policy: then the capture is as if recorded under it; else it is under several
    if let Some((key_id, redaction)) = keys.first_key_value() {
        header.redaction.clone_from(redaction);
        header.key_id = key_id.clone().filter(|_| keys.len() == 1);
    }
    let mut writer = Writer::create(output, header, Options::for_import())?;
    let mut done = Reshaped::default();
    let mut read = || {
        for (source, input) in inputs.iter().enumerate() {
            let apart = |number: u64| match source {
                0 => number,
                _ if same_sessions => number,
                _ => xxh3_64_with_seed(&number.to_le_bytes(), source as u64),
            };
            copy(input, &mut writer, &mut done, now_us, |mut exchange| {
                exchange.session = SessionId(apart(exchange.session.0));
                exchange.connection = exchange.connection.map(apart);
                Some(exchange)
            })?;
        }
        Ok(())
    };
    let result = read();
    finish(result, writer, done, (output, now_us))
}

/// One input, one output.
fn one(
    input: &Path,
    output: &Path,
    now_us: u64,
    keep: impl FnMut(Exchange) -> Option<Exchange>,
) -> Result<Reshaped, Error> {
    let header = Reader::open(input)?.header().clone();
    let mut writer = Writer::create(output, header, Options::for_import())?;
    let mut done = Reshaped::default();
    let result = copy(input, &mut writer, &mut done, now_us, keep);
    finish(result, writer, done, (output, now_us))
}

fn copy(
    input: &Path,
    writer: &mut Writer,
    done: &mut Reshaped,
    now_us: u64,
    mut keep: impl FnMut(Exchange) -> Option<Exchange>,
) -> Result<(), Error> {
    let mut exchanges = Reader::open(input)?.exchanges();
    for exchange in exchanges.by_ref() {
        let exchange = match exchange {
            Ok(exchange) => exchange,
            Err(damage) => {
                done.damage.push((input.to_owned(), damage));
                continue;
            }
        };
        done.read += 1;
        let Some(exchange) = keep(exchange) else {
            done.left_out += 1;
            continue;
        };
        match writer.push(&exchange, now_us) {
            Err(Error::TooLarge { .. }) => {} // counted as shed, and said in the summary
            other => other?,
        }
    }
    // what the recorder let go is missing here too
    exchanges.shed().iter().for_each(|(reason, n)| writer.shed(reason, *n));
    Ok(())
}

/// Closes the output, or takes it away where something went wrong: it is ours, and of no use.
fn finish(
    result: Result<(), Error>,
    writer: Writer,
    done: Reshaped,
    (output, now_us): (&Path, u64),
) -> Result<Reshaped, Error> {
    match result.and_then(|()| writer.finish(now_us)) {
        Ok(written) => Ok(Reshaped { written, ..done }),
        Err(error) => {
            let _ = std::fs::remove_file(output);
            Err(error)
        }
    }
}
