//! The frames between the blocks: skippable frames of zstd that carry our own mark and a CRC32C.
//!
//! ```text
//!  0  u32  0x184D2A57, a skippable frame of zstd
//!  4  u32  size of what follows
//!  8  [4]  own mark: 0x89 "Sq" + a small letter of kind
//! 12  u32  capture id: frames of another capture, met inside a recorded body, are not taken for ours
//! 16  …    content
//! -4  u32  CRC32C of everything before it
//! ```
//!
//! Files of version 1 have long frames, which are read as before: a mark of eight bytes, `0x89 "Sq"`, three capital
//! letters, `0x0A 0x1A`; then the id in eight bytes.

mod block_header;
mod index;
mod seek_table;

pub(crate) use block_header::BlockHeader;
pub(crate) use index::{Index, SessionSpan, Sessions};
pub(crate) use seek_table::{FOOTER_MAGIC, SEEK_MAGIC, SeekEntry, SeekTable, checksum};

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

/// What stands before the content of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    /// Of an id of eight bytes the lower four.
    pub(crate) capture_id: u32,
    /// Of the whole frame.
    pub(crate) len: usize,
    /// Whether the frame is one of version 1.
    pub(crate) is_long: bool,
}

impl Kind {
    const fn letter(self) -> u8 {
        match self {
            Kind::Capture => b'c',
            Kind::Block => b'b',
            Kind::Index | Kind::Unknown => b'i',
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
        let [m0, m1, m2, letter] = cursor.array::<4>().ok()?;
        if [m0, m1, m2] != MARK {
            return None;
        }
        let is_long = letter.is_ascii_uppercase();
        let kind = match letter {
            b'c' => Kind::Capture,
            b'b' => Kind::Block,
            b'i' => Kind::Index,
            b'a'..=b'z' => Kind::Unknown,
            _ => long_kind(letter, cursor.array().ok()?)?,
        };
        let capture_id = cursor.u32().ok()?;
        let head = Head { kind, capture_id, len, is_long };
        (head.content_start() + 4 <= len && len <= kind.max_len()).then_some(head)
    }

    /// Where the content begins in the frame.
    const fn content_start(self) -> usize {
        if self.is_long { LONG_HEAD_LEN } else { SHORT_HEAD_LEN }
    }

    /// What the content of a frame before a block says.
    pub(crate) fn block_header(self, content: &[u8]) -> Result<BlockHeader, Malformed> {
        match self.is_long {
            true => BlockHeader::decode_long(content),
            false => BlockHeader::decode(content),
        }
    }

    /// The content of the whole frame.
    pub(crate) fn open(self, frame: &[u8]) -> Result<&[u8], Malformed> {
        let (content, crc) = frame.split_last_chunk::<4>().ok_or(Malformed("cut short"))?;
        if crc32c::crc32c(content).to_le_bytes() != *crc {
            return Err(Malformed("its checksum does not match"));
        }
        content.get(self.content_start()..).ok_or(Malformed("cut short"))
    }
}

/// The kind that the rest of a mark of version 1 says.
fn long_kind(first: u8, rest: [u8; 4]) -> Option<Kind> {
    match (first, rest) {
        (b'C', [b'A', b'P', b'\n', 0x1a]) => Some(Kind::Capture),
        (b'B', [b'L', b'K', b'\n', 0x1a]) => Some(Kind::Block),
        (b'I', [b'D', b'X', b'\n', 0x1a]) => Some(Kind::Index),
        (b'A'..=b'Z', [_, _, b'\n', 0x1a]) => Some(Kind::Unknown),
        _ => None,
    }
}

/// Puts content into a frame.
pub(crate) fn seal(kind: Kind, capture_id: u32, content: &[u8]) -> Vec<u8> {
    let size = (SHORT_HEAD_LEN - 8) + content.len() + 4;
    let mut out = Vec::with_capacity(8 + size);
    out.extend_from_slice(&SKIPPABLE_MAGIC.to_le_bytes());
    out.extend_from_slice(&(size as u32).to_le_bytes());
    out.extend_from_slice(&MARK);
    out.push(kind.letter());
    out.extend_from_slice(&capture_id.to_le_bytes());
    out.extend_from_slice(content);
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// The most bytes before the content, and what is read to tell a frame from something else.
pub(crate) const HEAD_LEN: usize = LONG_HEAD_LEN;
/// No frame is shorter.
pub(crate) const SHORTEST: usize = SHORT_HEAD_LEN + 4;
const SHORT_HEAD_LEN: usize = 16;
const LONG_HEAD_LEN: usize = 24;
/// One of the sixteen skippable frames of zstd, and not the one of the seek table (`0x184D2A5E`).
pub(crate) const SKIPPABLE_MAGIC: u32 = 0x184D_2A57;
/// Not text.
const MARK: [u8; 3] = [0x89, b'S', b'q'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_frames_open_and_no_flip_passes() {
        let frame = seal(Kind::Block, 7, b"content");
        let head = Head::parse(&frame).unwrap();
        assert_eq!(head, Head { kind: Kind::Block, capture_id: 7, len: frame.len(), is_long: false });
        assert_eq!(head.open(&frame), Ok(&b"content"[..]));
        for index in 0..frame.len() {
            let mut damaged = frame.clone();
            damaged[index] ^= 4;
            assert!(head.open(&damaged).is_err(), "flip at {index}");
        }
    }

    #[test]
    fn frames_of_version_1_open() {
        let mut frame = vec![0x57, 0x2a, 0x4d, 0x18, 27, 0, 0, 0];
        frame.extend(b"\x89SqIDX\n\x1a\x07\0\0\0\x01\0\0\0content");
        frame.extend(crc32c::crc32c(&frame).to_le_bytes());
        let head = Head::parse(&frame).unwrap();
        assert_eq!(head, Head { kind: Kind::Index, capture_id: 7, len: frame.len(), is_long: true });
        assert_eq!(head.open(&frame), Ok(&b"content"[..]));
        frame[15] = 0;
        assert_eq!(Head::parse(&frame), None);
    }

    #[test]
    fn hostile_lengths_are_refused() {
        let mut frame = seal(Kind::Block, 7, b"content");
        for size in [0u32, 11, 1 << 20, u32::MAX] {
            frame[4..8].copy_from_slice(&size.to_le_bytes());
            assert_eq!(Head::parse(&frame), None, "size {size}");
        }
    }
}
