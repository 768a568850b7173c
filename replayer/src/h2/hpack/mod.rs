//! HPACK (RFC 7541): the compression of header fields.
//!
//! What we send never uses the dynamic table. Its state belongs to one connection, so a block that refers to it could
//! not be encoded once and sent by every clone over any connection; and nearly all of a replayed request is either
//! the same for all clones (then it is copied, not encoded) or different each time (then indexing gains nothing).
//!
//! What we receive may use a table of 4,096 bytes, the size that holds before any SETTINGS. Servers that use it save
//! us work (a field by number needs no Huffman decoding), a real client would let them, and refusing it would only
//! spare memory that is not held anyway before the first entry.

mod decode;
mod encode;
mod fields;
mod huffman;
mod statics;
mod table;

pub(crate) use decode::Decoder;
pub(crate) use encode::{close_string, push, push_integer, push_name, push_value};
pub(crate) use fields::Fields;

/// A header block that nobody can decode: the connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Garbage;

/// Sent at the very first of all blocks: our encoder uses a dynamic table of no size, whatever the peer offers now or
/// later. Decoders insist on such a note when they lower the size.
pub(crate) const NO_TABLE: u8 = 0x20;

#[cfg(test)]
mod tests;
