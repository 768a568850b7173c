//! The frames between the blocks: skippable frames of zstd that carry our own mark and a CRC32C.
//!
//! ```text
//!  0  u32  0x184D2A57, a skippable frame of zstd
//!  4  u32  size of what follows
//!  8  [8]  own mark: 0x89 "Sq" + three letters of kind + 0x0A 0x1A
//! 16  u64  capture id: frames of another capture, met inside a recorded body, are not taken for ours
//! 24  …    content
//! -4  u32  CRC32C of everything before it
//! ```

mod block_header;
mod index;
mod seek_table;

pub(crate) use block_header::BlockHeader;
pub(crate) use index::{Index, SessionSpan, Sessions};
pub(crate) use seek_table::{SEEK_MAGIC, SeekEntry, SeekTable, checksum};

use crate::limits;
use crate::wire::{Cursor, Malformed};

/// What a frame of ours holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The head of the file; again after each append.
    Capture,
    /// Describes the zstd frame that follows it.
    Block,
    /// The session index.
    Index,
    /// Something of a later version, to be passed over.
    Unknown,
}

/// The first 24 bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) capture_id: u64,
    /// Of the whole frame.
    pub(crate) len: usize,
}

impl Kind {
    const fn letters(self) -> &'static [u8; 3] {
        match self {
            Kind::Capture => b"CAP",
            Kind::Block => b"BLK",
            Kind::Index | Kind::Unknown => b"IDX",
        }
    }

    const fn max_len(self) -> usize {
        match self {
            Kind::Capture => limits::MAX_FILE_HEADER,
            Kind::Block => limits::MAX_BLOCK_HEADER,
            Kind::Index => limits::MAX_INDEX,
            Kind::Unknown => limits::MAX_FILE_HEADER,
        }
    }
}

impl Head {
    /// Reads the head of a frame of ours; `None` when it is something else or its length cannot be.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Head> {
        let mut cursor = Cursor::new(bytes);
        if cursor.u32().ok()? != SKIPPABLE_MAGIC {
            return None;
        }
        let len = cursor.u32().ok()? as usize + 8;
        let [m0, m1, m2, k0, k1, k2, m6, m7] = cursor.array::<8>().ok()?;
        if [m0, m1, m2, m6, m7] != MARK {
            return None;
        }
        let kind = match &[k0, k1, k2] {
            b"CAP" => Kind::Capture,
            b"BLK" => Kind::Block,
            b"IDX" => Kind::Index,
            _ => Kind::Unknown,
        };
        let capture_id = cursor.u64().ok()?;
        (HEAD_LEN + 4 <= len && len <= kind.max_len()).then_some(Head { kind, capture_id, len })
    }
}

/// Puts content into a frame.
pub(crate) fn seal(kind: Kind, capture_id: u64, content: &[u8]) -> Vec<u8> {
    let size = (HEAD_LEN - 8) + content.len() + 4;
    let mut out = Vec::with_capacity(8 + size);
    out.extend_from_slice(&SKIPPABLE_MAGIC.to_le_bytes());
    out.extend_from_slice(&(size as u32).to_le_bytes());
    out.extend_from_slice(&MARK[..3]);
    out.extend_from_slice(kind.letters());
    out.extend_from_slice(&MARK[3..]);
    out.extend_from_slice(&capture_id.to_le_bytes());
    out.extend_from_slice(content);
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// The content of a whole frame whose head was parsed.
pub(crate) fn unseal(frame: &[u8]) -> Result<&[u8], Malformed> {
    let (content, crc) = frame.split_last_chunk::<4>().ok_or(Malformed("cut short"))?;
    if crc32c::crc32c(content).to_le_bytes() != *crc {
        return Err(Malformed("its checksum does not match"));
    }
    content.get(HEAD_LEN..).ok_or(Malformed("cut short"))
}

/// Bytes before the content.
pub(crate) const HEAD_LEN: usize = 24;
/// One of the sixteen skippable frames of zstd, and not the one of the seek table (`0x184D2A5E`).
pub(crate) const SKIPPABLE_MAGIC: u32 = 0x184D_2A57;
/// Not text, with a line feed and an end of file, so that a transfer as text shows.
const MARK: [u8; 5] = [0x89, b'S', b'q', 0x0a, 0x1a];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_frames_open_and_no_flip_passes() {
        let frame = seal(Kind::Block, 7, b"content");
        let head = Head::parse(&frame).unwrap();
        assert_eq!(head, Head { kind: Kind::Block, capture_id: 7, len: frame.len() });
        assert_eq!(unseal(&frame), Ok(&b"content"[..]));
        for index in 0..frame.len() {
            let mut damaged = frame.clone();
            damaged[index] ^= 4;
            assert!(unseal(&damaged).is_err(), "flip at {index}");
        }
    }

    #[test]
    fn hostile_lengths_are_refused() {
        let mut frame = seal(Kind::Block, 7, b"content");
        for size in [0u32, 19, 1 << 20, u32::MAX] {
            frame[4..8].copy_from_slice(&size.to_le_bytes());
            assert_eq!(Head::parse(&frame), None, "size {size}");
        }
    }
}
