//! Finds one session without reading the rest of a capture.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::damage::{Damage, DamageKind};
use crate::error::Error;
use crate::frame::{BlockHeader, Head, Index, Kind, SEEK_MAGIC, SHORTEST, SeekTable, SessionSpan};
use crate::limits::{MAX_BLOCK_HEADER, MAX_INDEX};
use crate::reader::decode_block;
use crate::scan::{Mode, Piece, Place, Scanner};
use crate::{Exchange, SessionId};

/// A session that was looked for.
#[derive(Clone, Debug, Default)]
pub struct Sought {
    /// Its exchanges by start, as far as they can be read.
    pub exchanges: Vec<Exchange>,
    /// How many blocks were decoded to find them.
    pub blocks_decoded: u64,
    /// What could not be read on the way.
    pub damage: Vec<Damage>,
}

/// The exchanges of one session. By the index and the seek table of a closed capture only the blocks between its first
/// and its last are looked at; without them the header of every block. A block is decoded only if its header allows
/// for the session, so in a compacted capture one block is, or two.
///
/// # Errors
/// When the file cannot be read, is no capture, or is of a later version.
pub fn session(path: impl AsRef<Path>, id: SessionId) -> Result<Sought, Error> {
    let path = path.as_ref();
    // also says whether it is a capture at all
    let scanner = Scanner::open(path, Mode::Hop)?;
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut sought = Sought::default();
    match Tail::read(&file, scanner.len(), scanner.capture_id()) {
        Some(tail) => {
            // beyond the sessions that the index names only the blocks themselves know
            if let Some(span) = tail.index.sessions.get(id.0) {
                for place in tail.places(span) {
                    sought.look_into(&file, place, id);
                }
                sought.sort();
                return Ok(sought);
            }
            if tail.index.sessions.is_complete() {
                return Ok(sought);
            }
            sought.scan(scanner, &file, id);
        }
        None => sought.scan(scanner, &file, id),
    }
    sought.sort();
    Ok(sought)
}

impl Sought {
    /// Goes from header to header.
    fn scan(&mut self, mut scanner: Scanner, file: &File, id: SessionId) {
        while let Some(piece) = scanner.next_piece() {
            match piece {
                Piece::Block { place, header, .. } => self.take(file, place, &header, id),
                Piece::Damage(damage) => self.damage.push(damage),
                _ => {}
            }
        }
    }

    /// Reads the block at a place where the seek table says that one is.
    fn look_into(&mut self, file: &File, place: Place, id: SessionId) {
        match header_at(file, place) {
            Ok(header) => self.take(file, place, &header, id),
            Err(err) => self.damage.push(Damage {
                blocks: 1,
                ..Damage::new(DamageKind::Block, place.offset, place.len, err.to_string())
            }),
        }
    }

    fn take(&mut self, file: &File, place: Place, header: &BlockHeader, id: SessionId) {
        if !(header.session_min..=header.session_max).contains(&id.0) {
            return;
        }
        self.blocks_decoded += 1;
        match block_at(file, place, header) {
            Ok(exchanges) => {
                self.exchanges.extend(exchanges.into_iter().filter(|exchange| exchange.session == id));
            }
            Err(damage) => self.damage.push(damage),
        }
    }

    fn sort(&mut self) {
        self.exchanges.sort_by_key(|exchange| exchange.start_us);
    }
}

/// The exchanges of a block whose header was read.
pub(crate) fn block_at(file: &File, place: Place, header: &BlockHeader) -> Result<Vec<Exchange>, Damage> {
    let damaged = |reason: String| Damage {
        blocks: 1,
        exchanges: Some(header.records.into()),
        ..Damage::new(DamageKind::Block, place.offset, place.len, format!("block {}: {reason}", header.seq))
    };
    let mut payload = vec![0; header.payload_len as usize];
    file.read_exact_at(&mut payload, place.offset + place.frame_len)
        .map_err(|err| damaged(format!("it cannot be read: {err}")))?;
    match crc32c::crc32c(&payload) == header.payload_crc {
        true => decode_block(place, header, &payload),
        false => Err(damaged("it does not match its checksum".to_owned())),
    }
}

fn header_at(file: &File, place: Place) -> io::Result<BlockHeader> {
    let damaged = || io::Error::other("no header of a block can be read here");
    if (MAX_BLOCK_HEADER as u64) < place.frame_len {
        return Err(damaged());
    }
    let mut frame = vec![0; place.frame_len as usize];
    file.read_exact_at(&mut frame, place.offset)?;
    let head = Head::parse(&frame).filter(|head| head.kind == Kind::Block && head.len == frame.len());
    let head = head.ok_or_else(damaged)?;
    let header = head.open(&frame).and_then(|content| head.block_header(content)).map_err(|_| damaged())?;
    match place.frame_len + u64::from(header.payload_len) == place.len {
        true => Ok(header),
        false => Err(damaged()),
    }
}

/// What closes a capture.
struct Tail {
    index: Index,
    table: SeekTable,
}

impl Tail {
    /// Reads index and seek table from the end of the file; `None` where they are not whole, or the capture has a
    /// history of damage that they do not tell in full.
    fn read(file: &File, len: u64, capture_id: u32) -> Option<Tail> {
        let mut footer = [0; 9];
        file.read_exact_at(&mut footer, len.checked_sub(9)?).ok()?;
        let frames = u64::from(u32::from_le_bytes([footer[0], footer[1], footer[2], footer[3]]));
        let start = len.checked_sub(8 + frames * 12 + 9)?;
        let table = read(file, start, len - start)?;
        if table[..4] != SEEK_MAGIC.to_le_bytes() {
            return None;
        }
        let table = SeekTable::decode(&table).ok()?;
        let length = u64::from(table.entries.last()?.compressed);
        if MAX_INDEX as u64 <= length {
            return None;
        }
        let frame = read(file, start.checked_sub(length)?, length)?;
        let head = Head::parse(&frame)?;
        if head.kind != Kind::Index || head.capture_id != capture_id || head.len != frame.len() {
            return None;
        }
        let index = Index::decode(head.open(&frame).ok()?).ok()?;
        let blocks = table.entries.iter().filter(|entry| entry.decompressed != 0).count() as u64;
        (blocks == index.blocks).then_some(Tail { index, table })
    }

    /// Where the blocks of a session lie.
    fn places(&self, span: SessionSpan) -> Vec<Place> {
        let mut places = Vec::new();
        let (mut offset, mut number) = (0, 0);
        for pair in self.table.entries.windows(2) {
            let (frame, payload) = (u64::from(pair[0].compressed), u64::from(pair[1].compressed));
            if pair[1].decompressed != 0 {
                if (span.first_block..=span.last_block).contains(&number) {
                    places.push(Place { offset, frame_len: frame, len: frame + payload });
                }
                number += 1;
            }
            offset += frame;
        }
        places
    }
}

fn read(file: &File, offset: u64, len: u64) -> Option<Vec<u8>> {
    // both ends lie in the file, so its length bounds what this takes
    let mut bytes = vec![0; usize::try_from(len).ok()?];
    file.read_exact_at(&mut bytes, offset).ok()?;
    (SHORTEST <= bytes.len()).then_some(bytes)
}
