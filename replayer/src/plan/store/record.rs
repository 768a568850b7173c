//! The fixed part of a stored step, and of a stored key: little-endian, without padding, at any address.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::identity::{Key, KeyShape};

/// One step. Its variable parts follow one another in the blobs from `blob` on, in the order of their lengths here.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct StepRecord {
    /// Due, in microseconds after the session's start.
    pub(crate) offset_us: U64,
    /// When it counts as ended in the recording: steps that begin then or later wait for it.
    pub(crate) end_us: U64,
    /// What the recorded answer took.
    pub(crate) duration_us: U64,
    /// Hash of method, target and length of body.
    pub(crate) what: U64,
    /// Bytes of the body that were not recorded.
    pub(crate) filler: U64,
    /// Where its variable parts begin.
    pub(crate) blob: U64,
    /// Number of the exchange within the recorded session: skipped ones leave gaps.
    pub(crate) index: U32,
    /// Number of its route's name, before routes are chosen.
    pub(crate) name: U32,
    /// The path within the head.
    pub(crate) path: [U32; 2],
    /// Bytes: head, keys, cookies, pieces, stream, body.
    pub(crate) head: U32,
    pub(crate) keys: U32,
    pub(crate) cookies: U32,
    pub(crate) pieces: U32,
    pub(crate) stream: U32,
    pub(crate) body: U32,
    /// [`NO_LANE`]: any connection of the pool.
    pub(crate) lane: U16,
    /// 0 where no answer was seen.
    pub(crate) status: U16,
    pub(crate) flags: u8,
    /// A [`crate::plan::Kind`].
    pub(crate) kind: u8,
    /// Bytes of what it has to do with links, the last of its parts.
    pub(crate) links: U16,
    /// Bytes of the recorded answer's body; [`NO_LEN`]: not known.
    pub(crate) answer: U32,
    /// Number of the shape of its JSON; 0: not known.
    pub(crate) shape: U16,
}

/// A hole in a head.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct KeyRecord {
    /// Where in the head it goes.
    pub(crate) place: U32,
    hash: U64,
    shape: u8,
    flags: [u8; 2],
}

impl KeyRecord {
    pub(crate) fn new(place: u32, key: &Key) -> KeyRecord {
        let shape = SHAPES.iter().position(|shape| *shape == key.shape).unwrap_or(0) as u8;
        KeyRecord { place: place.into(), hash: key.hash.into(), shape, flags: key.flags }
    }

    pub(crate) fn key(&self) -> Key {
        let shape = SHAPES[usize::from(self.shape).min(SHAPES.len() - 1)];
        Key { hash: self.hash.get(), shape, flags: self.flags }
    }
}

/// In place of a lane: any connection of the pool.
pub(crate) const NO_LANE: u16 = u16::MAX;
/// No later step uses the lane.
pub(crate) const LAST_ON_LANE: u8 = 1;
/// The answer has no body whatever its header says.
pub(crate) const IS_HEAD: u8 = 1 << 1;
/// The head is an HTTP/2 header block.
pub(crate) const HTTP2: u8 = 1 << 2;
/// It may be sent again: its method is idempotent, or it carries an idempotency key.
pub(crate) const REPLAYABLE: u8 = 1 << 3;
/// Its method changes something: an impatient user sends it twice.
pub(crate) const SUBMITS: u8 = 1 << 4;
/// Its head says a `traceparent`.
pub(crate) const TRACED: u8 = 1 << 5;
/// The recorded answer's length is that of a body without a content coding.
pub(crate) const PLAIN: u8 = 1 << 6;
/// In place of the length of an answer.
pub(crate) const NO_LEN: u32 = u32::MAX;

const SHAPES: [KeyShape; 3] = [KeyShape::Hex, KeyShape::Uuid, KeyShape::Trace];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_size_that_is_counted_on() {
        assert_eq!((size_of::<StepRecord>(), align_of::<StepRecord>()), (102, 1));
        assert_eq!(size_of::<KeyRecord>(), 15);
    }

    #[test]
    fn keys_come_back() {
        for shape in SHAPES {
            let key = Key { hash: 7 << 40, shape, flags: *b"01" };
            let record = KeyRecord::new(9, &key);
            assert_eq!((record.place.get(), record.key()), (9, key));
        }
    }
}
