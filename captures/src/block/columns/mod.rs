//! Encodings 3 to 5: a block as columns.
//!
//! The exchanges stand session by session. Each part of an exchange (target, method, the value of one header field, …)
//! has a *slot*; a slot lists its values in the order in which they are first met, and says for every exchange which of
//! them it is: mostly "that of the exchange before" or "what follows this target elsewhere", which costs next to
//! nothing. A new value is a template with typed holes (numbers, times, identifiers), so that what is random stands
//! apart from what is not. Identifiers that came up before in the session, in an answer say, are references to it.
//! `FORMAT.md` has all of it in the words of somebody who writes a reader.

mod ahead;
mod alike;
mod assemble;
mod build;
mod dates;
mod decode;
mod embedded;
mod encode;
mod facts;
mod find;
mod generate;
mod holes;
mod ids;
mod interner;
mod kinds;
mod lasts;
mod layout;
mod packed;
mod parsed;
mod predict;
mod run;
mod shapes;
mod streams;
mod templates;
mod values;
pub(super) mod words;

pub(crate) use build::Builder;
pub(super) use decode::{check, decode};
pub(super) use find::{Standing, ids as ids_of};

/// The parts of an exchange that every block has a slot for. Behind them follow those of header fields.
mod slot {
    pub(super) const TARGET: usize = 0;
    /// What there is of an exchange (flags), its protocol, notes and faults.
    pub(super) const MARKS: usize = 1;
    /// Edge, scheme and authority.
    pub(super) const ORIGIN: usize = 2;
    pub(super) const METHOD: usize = 3;
    /// The names of the request's header fields.
    pub(super) const REQUEST_FIELDS: usize = 4;
    /// Length and hash of the request's body.
    pub(super) const REQUEST_BODY: usize = 5;
    // and behind it, in 6, its data
    pub(super) const STATUS: usize = 7;
    pub(super) const RESPONSE_FIELDS: usize = 8;
    pub(super) const RESPONSE_BODY: usize = 9;
    // and behind it, in 10, its data
    /// What a client said in a stream.
    pub(super) const MESSAGE: usize = 11;
    /// Values of header fields that have no slot of their own.
    pub(super) const OTHER: usize = 12;
    /// JSON that stands in base64 inside of another value.
    pub(super) const EMBEDDED: usize = 13;
    /// How many there are.
    pub(super) const FIXED: usize = 14;
}

/// How a value is named.
mod code {
    /// The value that this slot had last.
    pub(super) const AS_BEFORE: u64 = 0;
    /// The value that this slot had last in the same context: with this target, or after it.
    pub(super) const AS_IN_CONTEXT: u64 = 1;
    /// A value not met before: its definition stands next in the columns of the slot.
    pub(super) const NEW: u64 = 2;
    /// From here on: the number of the value in its slot.
    pub(super) const NUMBERED: u64 = 3;
}

/// How a new value is defined.
mod definition {
    /// In encoding 5, where all others are one more: its text, which is no template, up to a newline.
    pub(super) const ENDED: u64 = 0;
    /// The length of its text, which is no template.
    pub(super) const LITERAL: u64 = 0;
    /// A template not met before, then what goes into its holes.
    pub(super) const NEW_TEMPLATE: u64 = 1;
    /// From here on: the number of the template in its slot.
    pub(super) const TEMPLATE: u64 = 2;
}

/// How an identifier in a hole is given.
mod id {
    /// Its bytes stand next in their column.
    pub(super) const FRESH: u64 = 0;
    /// It is made up by the reader.
    pub(super) const GENERATED: u64 = 1;
    /// The number of the identifier in the block.
    pub(super) const OF_BLOCK: u64 = 2;
    /// From here on: its number in this session.
    pub(super) const OF_SESSION: u64 = 3;
}

/// What there is of an exchange.
mod marks {
    pub(super) const RESPONSE: u64 = 1;
    pub(super) const TTFB: u64 = 1 << 1;
    pub(super) const DURATION: u64 = 1 << 2;
    pub(super) const CONNECTION: u64 = 1 << 3;
    pub(super) const FAULTS: u64 = 1 << 4;
    pub(super) const NOTES: u64 = 1 << 5;
    pub(super) const STREAM: u64 = 1 << 6;
    /// The two bits from here are the protocol.
    pub(super) const PROTOCOL_SHIFT: u32 = 7;
}

/// What there is of a body.
mod body {
    /// Its hash follows.
    pub(super) const HASH: u8 = 1;
    /// Its hash is that of its data.
    pub(super) const HASH_OF_DATA: u8 = 1 << 1;
    /// The data are there, and are the whole body.
    pub(super) const WHOLE: u8 = 1 << 2;
    /// The data are there, and the length of the body is another one.
    pub(super) const PART: u8 = 1 << 3;
}

/// The flags of a message of a stream, above its kind.
mod message {
    pub(super) const KIND: u8 = 0x0f;
    pub(super) const FROM_CLIENT: u8 = 1 << 4;
    pub(super) const COMPRESSED: u8 = 1 << 5;
    /// Its bytes are the next value of their slot.
    pub(super) const DATA: u8 = 1 << 6;
    /// Its bytes are in the request body.
    pub(super) const DATA_IN_BODY: u8 = 1 << 7;
}

/// Where texts have ends.
const END: u8 = b'\n';
/// Header fields with a slot of their own; the others share one. Bounds what a hostile block costs.
const MAX_FIELD_SLOTS: usize = 4096;
/// Entries of the table of predictions by context, over all slots.
const MAX_PREDICTIONS: usize = 1 << 22;
