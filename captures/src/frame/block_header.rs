//! What stands before each block.

use std::collections::BTreeMap;

use crate::limits::{MAX_BLOCK_PAYLOAD, MAX_BLOCK_RAW, MAX_SHED_REASON, MAX_SHED_REASONS};
use crate::wire::{Cursor, Malformed, put_bytes, put_varint, unzigzag, zigzag};

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
        let mut out = Vec::with_capacity(64);
        put_varint(&mut out, self.encoding.into());
        put_varint(&mut out, self.seq);
        for number in [self.raw_len, self.payload_len, self.records] {
            put_varint(&mut out, number.into());
        }
        out.extend_from_slice(&self.payload_crc.to_le_bytes());
        out.extend_from_slice(&self.raw_xxh.to_le_bytes());
        for number in [
            self.first_us,
            self.last_us.wrapping_sub(self.first_us),
            zigzag(self.wall_us.wrapping_sub(self.last_us)),
            self.session_min,
            self.session_max.wrapping_sub(self.session_min),
            self.sessions.into(),
        ] {
            put_varint(&mut out, number);
        }
        put_shed(&mut out, &self.shed);
        out
    }

    pub(crate) fn decode(content: &[u8]) -> Result<BlockHeader, Malformed> {
        let mut cursor = Cursor::new(content);
        let mut header = BlockHeader {
            // encodings of tomorrow are refused by their numbers, however large
            encoding: u16::try_from(cursor.varint()?).unwrap_or(u16::MAX),
            seq: cursor.varint()?,
            raw_len: size(&mut cursor)?,
            payload_len: size(&mut cursor)?,
            records: size(&mut cursor)?,
            payload_crc: cursor.u32()?,
            raw_xxh: cursor.u32()?,
            first_us: cursor.varint()?,
            ..BlockHeader::default()
        };
        header.last_us = header.first_us.wrapping_add(cursor.varint()?);
        header.wall_us = header.last_us.wrapping_add(unzigzag(cursor.varint()?));
        header.session_min = cursor.varint()?;
        header.session_max = header.session_min.wrapping_add(cursor.varint()?);
        header.sessions = size(&mut cursor)?;
        header.shed = take_shed(&mut cursor)?;
        header.within_bounds()
    }

    /// As version 1 has it.
    pub(crate) fn decode_long(content: &[u8]) -> Result<BlockHeader, Malformed> {
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
            shed: take_long_shed(&mut cursor)?,
        };
        header.within_bounds()
    }

    fn within_bounds(self) -> Result<BlockHeader, Malformed> {
        match MAX_BLOCK_RAW < self.raw_len as usize || MAX_BLOCK_PAYLOAD < self.payload_len as usize {
            true => Err(Malformed("its block is larger than a block may be")),
            false => Ok(self),
        }
    }
}

fn size(cursor: &mut Cursor<'_>) -> Result<u32, Malformed> {
    u32::try_from(cursor.varint()?).map_err(|_| Malformed("its block is larger than a block may be"))
}

/// At most [`MAX_SHED_REASONS`] pairs of a short text and a count.
fn put_shed(out: &mut Vec<u8>, shed: &BTreeMap<String, u64>) {
    let shed = || shed.iter().take(MAX_SHED_REASONS);
    put_varint(out, shed().count() as u64);
    for (reason, count) in shed() {
        put_bytes(out, &reason.as_bytes()[..reason.len().min(MAX_SHED_REASON)]);
        put_varint(out, *count);
    }
}

fn take_shed(cursor: &mut Cursor<'_>) -> Result<BTreeMap<String, u64>, Malformed> {
    let mut shed = BTreeMap::new();
    for _ in 0..cursor.count()? {
        add(&mut shed, cursor.bytes()?, cursor.varint()?);
    }
    Ok(shed)
}

fn take_long_shed(cursor: &mut Cursor<'_>) -> Result<BTreeMap<String, u64>, Malformed> {
    let mut shed = BTreeMap::new();
    for _ in 0..cursor.u16()? {
        let n = cursor.byte()?.into();
        add(&mut shed, cursor.take(n)?, cursor.u64()?);
    }
    Ok(shed)
}

fn add(shed: &mut BTreeMap<String, u64>, reason: &[u8], n: u64) {
    let count: &mut u64 = shed.entry(String::from_utf8_lossy(reason).into_owned()).or_default();
    *count = count.saturating_add(n);
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
