//! The session index: where each session lies, written on a clean close.

use std::collections::BTreeMap;

use crate::header::FileHeader;
use crate::limits::{MAX_FILE_HEADER, MAX_INDEX, MAX_INDEXED_SESSIONS};
use crate::wire::{Cursor, Malformed, put_bytes, put_varint};

/// Where the exchanges of a session lie. Blocks are counted from 0 in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionSpan {
    pub(crate) first_us: u64,
    pub(crate) exchanges: u64,
    pub(crate) first_block: u64,
    pub(crate) last_block: u64,
}

/// The sessions met so far, up to [`MAX_INDEXED_SESSIONS`] of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sessions {
    spans: BTreeMap<u64, SessionSpan>,
    /// Exchanges of sessions that found no room.
    beyond: u64,
}

/// What the index frame holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    /// A copy of the file header, should that be damaged.
    pub(crate) header: FileHeader,
    /// The number that the next block would have.
    pub(crate) blocks: u64,
    pub(crate) exchanges: u64,
    pub(crate) sessions: Sessions,
}

impl Sessions {
    /// Adds what a block says about a session.
    pub(crate) fn add(&mut self, id: u64, first_us: u64, exchanges: u64, block: u64) {
        if self.spans.len() == MAX_INDEXED_SESSIONS && !self.spans.contains_key(&id) {
            self.beyond += exchanges;
            return;
        }
        let fresh = SessionSpan { first_us, exchanges: 0, first_block: block, last_block: block };
        let span = self.spans.entry(id).or_insert(fresh);
        span.first_us = span.first_us.min(first_us);
        span.exchanges += exchanges;
        span.last_block = block;
    }

    /// Where a session lies, if it is named.
    pub(crate) fn get(&self, id: u64) -> Option<SessionSpan> {
        self.spans.get(&id).copied()
    }

    /// Whether every session is named.
    pub(crate) fn is_complete(&self) -> bool {
        self.beyond == 0
    }

    /// How many sessions are named.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }
}

impl Index {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, INDEX_VERSION);
        put_bytes(&mut out, &self.header.to_bytes());
        for number in [self.blocks, self.exchanges, self.sessions.beyond, self.sessions.len() as u64] {
            put_varint(&mut out, number);
        }
        let mut last_id = 0;
        for (id, span) in &self.sessions.spans {
            let fields = [
                id - last_id,
                span.first_us,
                span.exchanges,
                span.first_block,
                span.last_block - span.first_block,
            ];
            for number in fields {
                put_varint(&mut out, number);
            }
            last_id = *id;
        }
        out.truncate(MAX_INDEX);
        out
    }

    pub(crate) fn decode(content: &[u8]) -> Result<Index, Malformed> {
        let mut cursor = Cursor::new(content);
        if !(1..=INDEX_VERSION).contains(&cursor.varint()?) {
            return Err(Malformed("the index is of a later version"));
        }
        let header = cursor.bytes()?;
        if MAX_FILE_HEADER < header.len() {
            return Err(Malformed("the copy of the file header is larger than that may be"));
        }
        let header = FileHeader::from_bytes(header)?;
        let mut index =
            Index { header, blocks: cursor.varint()?, exchanges: cursor.varint()?, ..Default::default() };
        index.sessions.beyond = cursor.varint()?;
        let sessions = cursor.count()?;
        if MAX_INDEXED_SESSIONS < sessions {
            return Err(Malformed("the index names more sessions than it may"));
        }
        let mut id = 0u64;
        for _ in 0..sessions {
            id = id.checked_add(cursor.varint()?).ok_or(Malformed("a session id overflows"))?;
            let first_us = cursor.varint()?;
            let exchanges = cursor.varint()?;
            let first_block = cursor.varint()?;
            let last_block =
                first_block.checked_add(cursor.varint()?).ok_or(Malformed("a block overflows"))?;
            index.sessions.spans.insert(id, SessionSpan { first_us, exchanges, first_block, last_block });
        }
        Ok(index)
    }
}

/// Version 1 has the copy of the file header as that version writes it, and is the same but for that.
const INDEX_VERSION: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let mut sessions = Sessions::default();
        for n in 0..100u64 {
            sessions.add(n % 7, 1000 - n, 2, n / 10);
        }
        let index = Index { header: FileHeader::new("test", 5), blocks: 10, exchanges: 200, sessions };
        let content = index.encode();
        assert_eq!(Index::decode(&content), Ok(index));
        for cut in 0..content.len() {
            assert!(Index::decode(&content[..cut]).is_err());
        }
    }

    #[test]
    fn a_full_index_fits_its_frame() {
        let mut sessions = Sessions::default();
        for n in 0..MAX_INDEXED_SESSIONS as u64 + 3 {
            sessions.add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), 1_800_000_000_000_000, 300, n / 9);
        }
        assert_eq!(sessions.len(), MAX_INDEXED_SESSIONS);
        let index = Index { blocks: 1, exchanges: 1, sessions, ..Default::default() };
        assert!(index.encode().len() < MAX_INDEX - 64);
    }
}
