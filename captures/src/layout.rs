//! What a writer knows of the file it writes: enough to close it with an index and a seek table.

use std::path::Path;

use crate::damage::{Damage, DamageKind};
use crate::error::Error;
use crate::frame::{Index, Kind, SeekEntry, SeekTable, Sessions, seal};
use crate::header::FileHeader;
use crate::reader::decode_block;
use crate::scan::{Mode, Piece, Place, Scanner};

/// The frames of the file so far, and the sessions in them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    pub(crate) seek: SeekTable,
    pub(crate) sessions: Sessions,
    pub(crate) exchanges: u64,
    /// Blocks in the file.
    pub(crate) blocks: u64,
    /// The number of the next block.
    pub(crate) next_seq: u64,
    /// Where the good data end.
    pub(crate) end: u64,
}

/// An existing capture, as found before adding to it.
pub(crate) struct Found {
    pub(crate) layout: Layout,
    pub(crate) capture_id: u32,
    /// The last header in the file; `None` when the head itself is damaged.
    pub(crate) header: Option<FileHeader>,
    /// Whether index and seek table stand behind the data.
    pub(crate) closed: bool,
    /// An unfinished block at the end.
    pub(crate) torn: Option<Damage>,
}

impl Layout {
    /// Notes a frame of ours without content.
    pub(crate) fn add_frame(&mut self, len: usize) {
        self.seek.entries.push(SeekEntry::skippable(len));
        self.end += len as u64;
    }

    /// Notes a block: its header frame and its zstd frame.
    pub(crate) fn add_block(&mut self, header_len: usize, entry: SeekEntry, seq: u64, exchanges: u64) {
        self.add_frame(header_len);
        self.seek.entries.push(entry);
        self.end += u64::from(entry.compressed);
        self.blocks += 1;
        self.exchanges += exchanges;
        self.next_seq = seq + 1;
    }

    /// What closes the file: the index, where there is anything to look up in one, and the seek table.
    pub(crate) fn tail(&self, capture_id: u32, header: &FileHeader) -> Vec<u8> {
        if !self.seek.wants_index() {
            return self.seek.encode();
        }
        let index = Index {
            header: header.clone(),
            blocks: self.next_seq,
            exchanges: self.exchanges,
            sessions: self.sessions.clone(),
        };
        let mut tail = seal(Kind::Index, capture_id, &index.encode());
        let mut table = self.seek.clone();
        table.entries.push(SeekEntry::skippable(tail.len()));
        tail.extend_from_slice(&table.encode());
        tail
    }
}

impl Found {
    /// Reads the layout of an existing capture up to its last good block.
    pub(crate) fn read(path: &Path) -> Result<Found, Error> {
        let mut scanner = Scanner::open(path, Mode::Hop)?;
        let mut found = Found {
            layout: Layout::default(),
            capture_id: scanner.capture_id(),
            header: None,
            closed: false,
            torn: None,
        };
        let mut index = None;
        let mut damaged = false;
        while let Some(piece) = scanner.next_piece() {
            found.closed = match &piece {
                Piece::SeekTable { table, .. } => index.is_some() || !table.wants_index(),
                _ => false,
            };
            match piece {
                Piece::Capture { place, header } => {
                    found.header = Some(header);
                    found.reach(place);
                }
                Piece::Unknown { place } => found.reach(place),
                Piece::Block { place, header, .. } => {
                    found.cover_gap(place.offset);
                    let entry = SeekEntry {
                        compressed: header.payload_len,
                        decompressed: header.raw_len,
                        checksum: header.raw_xxh,
                    };
                    let records = header.records.into();
                    found.layout.add_block(place.frame_len as usize, entry, header.seq, records);
                    index = None;
                }
                Piece::Index { index: met, .. } => {
                    damaged |= found.layout.next_seq != met.blocks;
                    found.layout.next_seq = found.layout.next_seq.max(met.blocks);
                    index = Some(met);
                }
                Piece::Damage(damage) => {
                    damaged = true;
                    match damage.kind {
                        DamageKind::Block | DamageKind::Foreign => {
                            found.cover_gap(damage.offset + damage.bytes);
                        }
                        DamageKind::TornTail => found.torn = Some(damage),
                        _ => {}
                    }
                }
                Piece::SeekTable { .. } => {}
            }
        }
        found.layout.sessions = match index {
            Some(index) if !damaged => index.sessions,
            _ => count_sessions(path)?,
        };
        Ok(found)
    }

    fn reach(&mut self, place: Place) {
        self.cover_gap(place.offset);
        self.layout.add_frame(place.len as usize);
    }

    /// Damaged bytes before `offset` stay in the file, so the table must count them.
    fn cover_gap(&mut self, offset: u64) {
        while self.layout.end < offset {
            let len = (offset - self.layout.end).min(u32::MAX.into());
            self.layout.add_frame(len as usize);
        }
    }
}

/// The sessions of a capture without an index: every block is read.
fn count_sessions(path: &Path) -> Result<Sessions, Error> {
    let mut scanner = Scanner::open(path, Mode::Read)?;
    let mut sessions = Sessions::default();
    while let Some(piece) = scanner.next_piece() {
        let Piece::Block { place, header, payload } = piece else { continue };
        let Ok(exchanges) = decode_block(place, &header, &payload) else { continue };
        for exchange in exchanges {
            sessions.add(exchange.session.0, exchange.start_us, 1, header.seq);
        }
    }
    Ok(sessions)
}
