//! What stands before each block.

use std::collections::BTreeMap;

use crate::limits::{MAX_BLOCK_PAYLOAD, MAX_BLOCK_RAW, MAX_SHED_REASON, MAX_SHED_REASONS};
use crate::wire::{Cursor, Malformed};

/// Describes the zstd frame that follows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    /// Version of the encoding inside the block.
    pub(crate) encoding: u16,
    /// Number of the block, from 0, without gaps.
    pub(crate) seq: u64,
    /// Bytes after decompression.
    pub(crate) raw_len: u32,
    /// XXH64 of those, its low 32 bits: what the seek table wants, so that it can be rebuilt.
    pub(crate) raw_xxh: u32,
    /// Bytes of the zstd frame.
    pub(crate) payload_len: u32,
    /// CRC32C of the zstd frame.
    pub(crate) payload_crc: u32,
    /// How many exchanges it holds.
    pub(crate) records: u32,
    /// Wall clock when the block was closed.
    pub(crate) wall_us: u64,
    /// Earliest start in the block.
    pub(crate) first_us: u64,
    /// Latest start in the block.
    pub(crate) last_us: u64,
    /// Smallest session id in the block.
    pub(crate) session_min: u64,
    /// Largest session id in the block.
    pub(crate) session_max: u64,
    /// How many sessions have exchanges in the block.
    pub(crate) sessions: u32,
    /// What was shed since the last block, by reason.
    pub(crate) shed: BTreeMap<String, u64>,
}

impl BlockHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.extend_from_slice(&self.encoding.to_le_bytes());
        out.extend_from_slice(&0u16.to_le_bytes());
        out.extend_from_slice(&self.raw_len.to_le_bytes());
        out.extend_from_slice(&self.seq.to_le_bytes());
        for number in [self.payload_len, self.payload_crc, self.raw_xxh, self.records] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.wall_us, self.first_us, self.last_us, self.session_min, self.session_max] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.sessions.to_le_bytes());
        put_shed(&mut out, &self.shed);
        out
    }

    pub(crate) fn decode(content: &[u8]) -> Result<BlockHeader, Malformed> {
        let mut cursor = Cursor::new(content);
        let encoding = cursor.u16()?;
        let _reserved = cursor.u16()?;
        let raw_len = cursor.u32()?;
        let seq = cursor.u64()?;
        let header = BlockHeader {
            encoding,
            seq,
            raw_len,
            payload_len: cursor.u32()?,
            payload_crc: cursor.u32()?,
            raw_xxh: cursor.u32()?,
            records: cursor.u32()?,
            wall_us: cursor.u64()?,
            first_us: cursor.u64()?,
            last_us: cursor.u64()?,
            session_min: cursor.u64()?,
            session_max: cursor.u64()?,
            sessions: cursor.u32()?,
            shed: take_shed(&mut cursor)?,
        };
        if MAX_BLOCK_RAW < header.raw_len as usize || MAX_BLOCK_PAYLOAD < header.payload_len as usize {
            return Err(Malformed("its block is larger than a block may be"));
        }
        Ok(header)
    }
}

/// At most [`MAX_SHED_REASONS`] pairs of a short text and a count.
fn put_shed(out: &mut Vec<u8>, shed: &BTreeMap<String, u64>) {
    let shed = || shed.iter().take(MAX_SHED_REASONS);
    out.extend_from_slice(&(shed().count() as u16).to_le_bytes());
    for (reason, count) in shed() {
        let reason = &reason.as_bytes()[..reason.len().min(MAX_SHED_REASON)];
        out.push(reason.len() as u8);
        out.extend_from_slice(reason);
        out.extend_from_slice(&count.to_le_bytes());
    }
}

fn take_shed(cursor: &mut Cursor<'_>) -> Result<BTreeMap<String, u64>, Malformed> {
    let mut shed = BTreeMap::new();
    for _ in 0..cursor.u16()? {
        let n = cursor.byte()?.into();
        let reason = String::from_utf8_lossy(cursor.take(n)?).into_owned();
        let count: &mut u64 = shed.entry(reason).or_default();
        *count = count.saturating_add(cursor.u64()?);
    }
    Ok(shed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Kind, seal};
    use crate::limits::MAX_BLOCK_HEADER;

    #[test]
    fn there_and_back_within_its_bound() {
        let shed = (0..MAX_SHED_REASONS).map(|n| (format!("{n:032}"), u64::MAX)).collect();
        let header =
            BlockHeader { encoding: 1, seq: u64::MAX, raw_len: 9, records: 3, shed, ..Default::default() };
        let content = header.encode();
        assert_eq!(BlockHeader::decode(&content), Ok(header));
        assert!(seal(Kind::Block, 0, &content).len() <= MAX_BLOCK_HEADER);
        for cut in 0..content.len() {
            assert!(BlockHeader::decode(&content[..cut]).is_err());
        }
    }

    #[test]
    fn bombs_are_refused() {
        let header = BlockHeader { raw_len: u32::MAX, ..Default::default() };
        assert!(BlockHeader::decode(&header.encode()).is_err());
    }
}
