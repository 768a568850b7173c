//! Finding the way again after damage.

use std::io;
use std::os::unix::fs::FileExt;

use super::{Piece, Place, Scanner};
use crate::damage::{Damage, DamageKind};
use crate::frame::{BlockHeader, FOOTER_MAGIC, HEAD_LEN, SEEK_MAGIC, SKIPPABLE_MAGIC, SeekTable};

impl Scanner {
    /// What stands at `offset` is nothing that can be read: passes over it to the next frame of this capture.
    pub(super) fn lose(&mut self, offset: u64) -> io::Result<()> {
        let next = self.find(offset + 1)?;
        let end = next.unwrap_or(self.len);
        let damage = self.describe(offset, end)?;
        self.ready.extend(self.pending.take().map(Piece::Damage));
        self.pending = Some(damage);
        self.pos = end;
        Ok(())
    }

    /// The same for a block whose header is good: what it cost is known.
    pub(super) fn lose_block(&mut self, place: Place, header: &BlockHeader) -> io::Result<()> {
        // the length is checked, so what follows the block is most likely where it should be
        let whole = place.end() <= self.len;
        let next = match whole && self.stands_at(place.end())? {
            true => Some(place.end()),
            false => self.find(place.offset + place.frame_len)?,
        };
        let (kind, what) = match next.is_none() && !whole {
            true => (DamageKind::TornTail, "is cut short"),
            false => (DamageKind::Block, "does not match its checksum"),
        };
        let end = next.unwrap_or(self.len);
        let damage =
            Damage::new(kind, place.offset, end - place.offset, format!("block {} {what}", header.seq));
        self.settle(Some(header.seq));
        self.expected_seq = self.expected_seq.max(header.seq.saturating_add(1));
        self.ready.push_back(Piece::Damage(Damage {
            blocks: 1,
            exchanges: Some(header.records.into()),
            ..damage
        }));
        self.pos = end;
        Ok(())
    }

    fn describe(&mut self, offset: u64, end: u64) -> io::Result<Damage> {
        let bytes = end - offset;
        let head = self.read(offset, bytes.min(HEAD_LEN as u64) as usize)?;
        let magic = head.first_chunk().map(|magic| u32::from_le_bytes(*magic));
        let last_entry = self.seek_table_at(end)?.and_then(|table| table.entries.last().copied());
        let is_index = head.get(11) == Some(&b'i')
            || head.get(11..14) == Some(b"IDX")
            || last_entry
                .is_some_and(|entry| entry.decompressed == 0 && u64::from(entry.compressed) == bytes);
        let (kind, reason) = match end == self.len {
            _ if offset == 0 => (DamageKind::FileHeader, "what the capture says about itself cannot be read"),
            _ if is_index => (DamageKind::Index, "it is cut short or does not match its checksum"),
            true if magic == Some(SEEK_MAGIC) || self.after_index || self.ends_as_a_seek_table()? => {
                (DamageKind::SeekTable, "it is cut short or its bytes were changed")
            }
            true => (DamageKind::TornTail, "the bytes at the end are no whole block"),
            false => (DamageKind::Block, "no header of a block can be read here"),
        };
        Ok(Damage::new(kind, offset, bytes, reason))
    }

    fn ends_as_a_seek_table(&self) -> io::Result<bool> {
        let footer = self.len.saturating_sub(4);
        Ok(self.read(footer, (self.len - footer) as usize)? == FOOTER_MAGIC.to_le_bytes())
    }

    /// Whether something good begins there, or the file ends.
    fn stands_at(&mut self, offset: u64) -> io::Result<bool> {
        Ok(offset == self.len || self.frame_at(offset)?.is_some() || self.seek_table_at(offset)?.is_some())
    }

    /// The next place, from `from` on, where a frame of this capture or its seek table begins.
    fn find(&mut self, from: u64) -> io::Result<Option<u64>> {
        let mut candidates = Candidates::new(from, self.len);
        while let Some(offset) = candidates.next(self)? {
            if self.frame_at(offset)?.is_some() || self.seek_table_at(offset)?.is_some() {
                return Ok(Some(offset));
            }
        }
        Ok(None)
    }

    /// The first place before `end` where a frame of any capture begins.
    pub(super) fn find_any(&mut self, from: u64, end: u64) -> io::Result<Option<u64>> {
        let mut candidates = Candidates::new(from, end);
        while let Some(offset) = candidates.next(self)? {
            if self.any_frame_at(offset)?.is_some() {
                return Ok(Some(offset));
            }
        }
        Ok(None)
    }

    /// The seek table, if the rest of the file from `offset` is exactly that.
    pub(super) fn seek_table_at(&mut self, offset: u64) -> io::Result<Option<SeekTable>> {
        let rest = self.len.saturating_sub(offset);
        if rest < 17 || u64::from(u32::MAX) < rest {
            return Ok(None);
        }
        let head = self.read(offset, 8)?;
        let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        if head[..4] != SEEK_MAGIC.to_le_bytes() || u64::from(size) + 8 != rest {
            return Ok(None);
        }
        Ok(SeekTable::decode(&self.read(offset, rest as usize)?).ok())
    }
}

/// Places where the magic of a skippable frame stands.
struct Candidates {
    offset: u64,
    end: u64,
    chunk: Vec<u8>,
    chunk_start: u64,
}

impl Candidates {
    fn new(offset: u64, end: u64) -> Candidates {
        Candidates { offset, end, chunk: Vec::new(), chunk_start: offset }
    }

    fn next(&mut self, scanner: &Scanner) -> io::Result<Option<u64>> {
        while self.offset + 4 <= self.end {
            let skip = (self.offset - self.chunk_start) as usize;
            let found = self.chunk.get(skip..).unwrap_or_default().windows(4).position(|bytes| {
                let magic = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                magic == SKIPPABLE_MAGIC || magic == SEEK_MAGIC
            });
            if let Some(index) = found {
                let offset = self.offset + index as u64;
                self.offset = offset + 1;
                return Ok((offset < self.end).then_some(offset));
            }
            // the last three bytes may begin a magic
            self.offset = self.offset.max((self.chunk_start + self.chunk.len() as u64).saturating_sub(3));
            if self.end < self.offset + 4 {
                break;
            }
            self.chunk_start = self.offset;
            self.chunk.resize((scanner.len - self.offset).min(CHUNK) as usize, 0);
            scanner.file.read_exact_at(&mut self.chunk, self.chunk_start)?;
        }
        Ok(None)
    }
}

const CHUNK: u64 = 64 << 10;
