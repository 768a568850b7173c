//! The inside of a block, encodings 1 and 2: exchanges in session-major order, strings interned.
//!
//! Three sections: the strings that the block uses, each once; a directory of sessions with the times of
//! their exchanges; the records, which name strings by their number. Nothing refers outside the block.
//! Encoding 2, written only where an exchange was a stream, has the messages behind each record.
//! The layout is written out in `FORMAT.md`. No longer written: the encoder is here for the tests of the decoder.

mod decode;
#[cfg(test)]
mod encode;
#[cfg(test)]
mod interner;
mod streams;

pub(super) use decode::decode;
#[cfg(test)]
pub(super) use encode::Builder;

const HAS_RESPONSE: u8 = 1;
const HAS_TTFB: u8 = 1 << 1;
const HAS_DURATION: u8 = 1 << 2;
const HAS_CONNECTION: u8 = 1 << 3;
const HAS_FAULTS: u8 = 1 << 4;
const HAS_NOTES: u8 = 1 << 5;
/// The two highest bits are the protocol.
const PROTOCOL_SHIFT: u8 = 6;

const BODY_HASH: u8 = 1;
/// The data are there, all `len` bytes of them.
const BODY_WHOLE: u8 = 1 << 1;
/// The data are there with a length of their own.
const BODY_PART: u8 = 1 << 2;
