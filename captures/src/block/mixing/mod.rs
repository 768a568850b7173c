//! Codes a small block by context mixing: each bit is foretold by what followed in the contexts it stands in, and costs
//! the less the surer that was.
//!
//! zstd needs some ten thousand bytes before its statistics are worth what they cost, and a capture of a few requests has no
//! more than that. This takes a fifth less, but two microseconds for each byte, in either direction, and 16 MB while it lasts: it
//! is for what is written once and read now and then, not for recordings. All arithmetic is on integers: what one machine writes every other
//! one reads. The scheme is that of PAQ: M. Mahoney, *Adaptive Weighing of Context Models for Lossless Data Compression*
//! (2005), with counters, histories of bits, runs, matches, a mixer of three sets of weights, and two refinements behind
//! it. `FORMAT.md` has all of it in the words of somebody who writes a reader.

mod coder;
mod contexts;
mod mixer;
mod model;
mod odds;
mod refine;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use self::coder::{Decoder, Encoder};
use self::model::Model;
use super::columns::words;
use crate::limits::MAX_MIXED;
use crate::wire::{Cursor, Malformed, put_varint};

/// `raw`, of at most [`MAX_MIXED`] bytes, coded behind its length; `None` where it shrinks to so little that a reader
/// would refuse it: zstd does well with that too.
pub(super) fn code(raw: &[u8]) -> Option<Vec<u8>> {
    let mut coded = Vec::new();
    put_varint(&mut coded, raw.len() as u64);
    let before = coded.len();
    let mut encoder = Encoder::new(&mut coded);
    let mut model = PRIMED.clone();
    for bit in bits(raw) {
        encoder.put(bit, model.foretell());
        model.learn(bit);
    }
    encoder.finish();
    (raw.len() <= most_from(coded.len() - before)).then_some(coded)
}

/// What was coded.
///
/// # Errors
/// When it is longer than [`MAX_MIXED`], or than so few bytes can stand for.
pub(super) fn decode(coded: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut cursor = Cursor::new(coded);
    let length = cursor.length()?;
    let coded = cursor.take(cursor.remaining())?;
    if MAX_MIXED < length || most_from(coded.len()) < length {
        return Err(Malformed("it unfolds beyond the limits"));
    }
    let mut decoder = Decoder::new(coded);
    let mut model = PRIMED.clone();
    let mut raw = Vec::with_capacity(length);
    for _ in 0..length {
        let byte = (0..8).fold(0, |byte, _| {
            let bit = decoder.take(model.foretell());
            model.learn(bit);
            byte << 1 | bit
        });
        raw.push(byte);
    }
    match decoder.is_at_end() {
        true => Ok(raw),
        false => Err(Malformed("bytes are left over behind the last one that is coded")),
    }
}

/// The bits of each byte, the highest first.
fn bits(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.iter().flat_map(|byte| (0..8).rev().map(move |shift| byte >> shift & 1))
}

/// How many bytes so many coded ones may stand for: decoding takes time for each byte that comes out.
fn most_from(coded: usize) -> usize {
    64 * coded + 1024
}

/// The model that has seen the words that all blocks know, the rarest first.
static PRIMED: LazyLock<Model> = LazyLock::new(|| {
    let mut model = Model::new();
    for word in words::all().iter().rev() {
        for bit in bits(word).chain(bits(b"\n")) {
            model.foretell();
            model.learn(bit);
        }
    }
    model
});
