//! The seek table of the published zstd seekable format, so that any reader of that format can jump.
//!
//! ```text
//! u32 0x184D2A5E, u32 size, per frame: u32 compressed size, u32 decompressed size, u32 checksum,
//! u32 number of frames, u8 descriptor (bit 7: checksums), u32 0x8F92EAB1
//! ```

use xxhash_rust::xxh64::xxh64;

use crate::wire::{Cursor, Malformed};

/// One frame of the file; our own skippable frames are entries of decompressed size 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeekEntry {
    pub(crate) compressed: u32,
    pub(crate) decompressed: u32,
    /// The low 32 bits of the XXH64 of the decompressed bytes.
    pub(crate) checksum: u32,
}

/// The table at the end of a closed capture. Its entries tile the file up to the table itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SeekTable {
    pub(crate) entries: Vec<SeekEntry>,
}

impl SeekEntry {
    /// An entry for a skippable frame of `len` bytes.
    pub(crate) fn skippable(len: usize) -> SeekEntry {
        SeekEntry { compressed: len as u32, decompressed: 0, checksum: checksum(&[]) }
    }
}

impl SeekTable {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let size = self.entries.len() * ENTRY_LEN + FOOTER_LEN;
        let mut out = Vec::with_capacity(8 + size);
        out.extend_from_slice(&SEEK_MAGIC.to_le_bytes());
        out.extend_from_slice(&(size as u32).to_le_bytes());
        for entry in &self.entries {
            out.extend_from_slice(&entry.compressed.to_le_bytes());
            out.extend_from_slice(&entry.decompressed.to_le_bytes());
            out.extend_from_slice(&entry.checksum.to_le_bytes());
        }
        out.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        out.push(CHECKSUM_FLAG);
        out.extend_from_slice(&FOOTER_MAGIC.to_le_bytes());
        out
    }

    /// Whether a session index stands before it: a file of a head and one block has none, there is nothing to look up.
    pub(crate) fn wants_index(&self) -> bool {
        ENTRIES_OF_ONE_BLOCK < self.entries.len()
    }

    /// How many blocks there are, if only the table says so: where there is no index.
    pub(crate) fn blocks(&self) -> Option<u64> {
        let block = self.entries.get(ENTRIES_OF_ONE_BLOCK - 1);
        (!self.wants_index()).then(|| u64::from(block.is_some_and(|entry| entry.decompressed != 0)))
    }

    /// Reads a whole table frame.
    pub(crate) fn decode(frame: &[u8]) -> Result<SeekTable, Malformed> {
        let mut cursor = Cursor::new(frame);
        if cursor.u32()? != SEEK_MAGIC || cursor.u32()? as usize != cursor.remaining() {
            return Err(Malformed("no seek table, or not all of it"));
        }
        let n = (cursor.remaining().checked_sub(FOOTER_LEN).ok_or(Malformed("cut short"))?) / ENTRY_LEN;
        let mut entries = Vec::with_capacity(n);
        for _ in 0..n {
            entries.push(SeekEntry {
                compressed: cursor.u32()?,
                decompressed: cursor.u32()?,
                checksum: cursor.u32()?,
            });
        }
        let footer = (cursor.u32()?, cursor.byte()?, cursor.u32()?, cursor.remaining());
        match footer == (n as u32, CHECKSUM_FLAG, FOOTER_MAGIC, 0) {
            true => Ok(SeekTable { entries }),
            false => Err(Malformed("the footer of the seek table is damaged")),
        }
    }
}

/// What the seekable format wants of a frame's content.
pub(crate) fn checksum(raw: &[u8]) -> u32 {
    xxh64(raw, 0) as u32
}

/// The skippable frame that the seekable format took for itself.
pub(crate) const SEEK_MAGIC: u32 = 0x184D_2A5E;
/// The last four bytes of the file.
pub(crate) const FOOTER_MAGIC: u32 = 0x8F92_EAB1;
const ENTRY_LEN: usize = 12;
const FOOTER_LEN: usize = 9;
const CHECKSUM_FLAG: u8 = 0x80;
/// The head of the file, the header of its block, the block.
const ENTRIES_OF_ONE_BLOCK: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_and_no_flip_of_its_frame_passes() {
        let table = SeekTable { entries: vec![SeekEntry::skippable(60), SeekEntry::skippable(70)] };
        let frame = table.encode();
        assert_eq!(SeekTable::decode(&frame), Ok(table.clone()));
        for index in 0..frame.len() {
            let mut damaged = frame.clone();
            damaged[index] ^= 1;
            assert_ne!(SeekTable::decode(&damaged), Ok(table.clone()), "flip at {index}");
        }
    }

    #[test]
    fn the_checksum_of_nothing_is_the_published_one() {
        assert_eq!(checksum(&[]), 0x51D8_E999);
    }
}
