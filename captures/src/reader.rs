//! Reads a capture, also one that is still being written or was damaged.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::block;
use crate::damage::{Damage, DamageKind};
use crate::error::Error;
use crate::frame::{BlockHeader, checksum};
use crate::header::FileHeader;
use crate::scan::{Mode, Piece, Place, Scanner};
use crate::wire::Malformed;
use crate::{Exchange, Session, SessionId};

/// A capture opened for reading. Reads what was in the file when it was opened; takes the memory of one block.
pub struct Reader {
    scanner: Scanner,
    header: FileHeader,
}

/// The exchanges of a capture: block by block, within a block session by session.
pub struct Exchanges {
    blocks: Blocks,
    ready: std::vec::IntoIter<Exchange>,
}

/// The blocks of a capture, decoded.
pub(crate) struct Blocks {
    scanner: Scanner,
    shed: BTreeMap<String, u64>,
}

/// A whole capture in memory.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// What it says about itself; after an append, what the last recording said.
    pub header: FileHeader,
    /// Its sessions by first start, then by id.
    pub sessions: Vec<Session>,
    /// What could not be read.
    pub damage: Vec<Damage>,
    /// What the recorder let go, by reason.
    pub shed: BTreeMap<String, u64>,
}

impl Reader {
    /// Opens a capture.
    ///
    /// # Errors
    /// When the file cannot be read, is no capture, or is of a later version. Damage is no error here.
    pub fn open(path: impl AsRef<Path>) -> Result<Reader, Error> {
        let path = path.as_ref();
        let header = last_header(path)?;
        Ok(Reader { scanner: Scanner::open(path, Mode::Read)?, header })
    }

    /// What the capture says about itself; after an append, what the last recording said.
    pub fn header(&self) -> &FileHeader {
        &self.header
    }

    /// Length of the file in bytes when it was opened.
    pub fn file_len(&self) -> u64 {
        self.scanner.len()
    }

    /// Every exchange, and every damaged place where it was met.
    pub fn exchanges(self) -> Exchanges {
        Exchanges { blocks: self.blocks(), ready: Vec::new().into_iter() }
    }

    pub(crate) fn blocks(self) -> Blocks {
        Blocks { scanner: self.scanner, shed: BTreeMap::new() }
    }
}

impl Exchanges {
    /// What the recorder let go, by reason, in the blocks read so far.
    pub fn shed(&self) -> &BTreeMap<String, u64> {
        &self.blocks.shed
    }
}

impl Iterator for Exchanges {
    type Item = Result<Exchange, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(exchange) = self.ready.next() {
                return Some(Ok(exchange));
            }
            match self.blocks.next()? {
                Ok((_, exchanges)) => self.ready = exchanges.into_iter(),
                Err(damage) => return Some(Err(damage)),
            }
        }
    }
}

impl Iterator for Blocks {
    type Item = Result<(BlockHeader, Vec<Exchange>), Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.scanner.next_piece()? {
                Piece::Damage(damage) => return Some(Err(damage)),
                Piece::Block { place, header, payload } => {
                    for (reason, n) in &header.shed {
                        let count = self.shed.entry(reason.clone()).or_default();
                        *count = count.saturating_add(*n);
                    }
                    let decoded = decode_block(place, &header, &payload);
                    return Some(decoded.map(|exchanges| (header, exchanges)));
                }
                _ => {}
            }
        }
    }
}

/// Reads a whole capture into memory, damage and all.
///
/// # Errors
/// As [`Reader::open`].
pub fn load(path: impl AsRef<Path>) -> Result<Capture, Error> {
    let reader = Reader::open(path)?;
    let mut capture = Capture { header: reader.header().clone(), ..Capture::default() };
    let mut by_id: HashMap<SessionId, Vec<Exchange>> = HashMap::new();
    let mut exchanges = reader.exchanges();
    for exchange in exchanges.by_ref() {
        match exchange {
            Ok(exchange) => by_id.entry(exchange.session).or_default().push(exchange),
            Err(damage) => capture.damage.push(damage),
        }
    }
    capture.shed.clone_from(exchanges.shed());
    capture.sessions = by_id.into_iter().map(|(id, exchanges)| Session { id, exchanges }).collect();
    for session in &mut capture.sessions {
        session.exchanges.sort_by_key(|exchange| exchange.start_us);
    }
    capture.sessions.sort_by_key(|session| (session.start_us(), session.id));
    Ok(capture)
}

/// Whether the file is a capture, however damaged; `false` also when it cannot be read.
pub fn is_capture(path: impl AsRef<Path>) -> bool {
    Scanner::open(path.as_ref(), Mode::Hop).is_ok()
}

/// The header of the last recording in the file; from the index where the head is damaged.
fn last_header(path: &Path) -> Result<FileHeader, Error> {
    let mut scanner = Scanner::open(path, Mode::Hop)?;
    let mut last = None;
    while let Some(piece) = scanner.next_piece() {
        match piece {
            Piece::Capture { header, .. } => last = Some(header),
            Piece::Index { index, .. } => last = last.or(Some(index.header)),
            _ => {}
        }
    }
    Ok(last.unwrap_or_default())
}

/// The exchanges of a block whose payload matched its CRC.
pub(crate) fn decode_block(
    place: Place,
    header: &BlockHeader,
    payload: &[u8],
) -> Result<Vec<Exchange>, Damage> {
    read_block(place, header, payload, block::decode)
}

/// The sessions of such a block, which is checked as if it were decoded: ids, first starts, numbers of exchanges.
pub(crate) fn check_block(
    place: Place,
    header: &BlockHeader,
    payload: &[u8],
) -> Result<Vec<(u64, u64, u32)>, Damage> {
    read_block(place, header, payload, block::check)
}

fn read_block<T>(
    place: Place,
    header: &BlockHeader,
    payload: &[u8],
    read: fn(&[u8], usize, u16) -> Result<T, Malformed>,
) -> Result<T, Damage> {
    let damaged = |reason: String| Damage {
        blocks: 1,
        exchanges: Some(header.records.into()),
        ..Damage::new(DamageKind::Block, place.offset, place.len, format!("block {}: {reason}", header.seq))
    };
    if !block::is_known(header.encoding) {
        return Err(damaged(format!(
            "its encoding {} is of a later version; use a newer squall",
            header.encoding
        )));
    }
    let raw = decompress(header, payload).map_err(damaged)?;
    read(&raw, header.records as usize, header.encoding).map_err(|err| damaged(err.to_string()))
}

/// What a block holds before decompression, checked against its header.
pub(crate) fn decompress(header: &BlockHeader, payload: &[u8]) -> Result<Vec<u8>, String> {
    // the header bounds the size, and zstd stops there
    let raw = zstd::bulk::decompress(payload, header.raw_len as usize)
        .map_err(|err| format!("it does not decompress: {err}"))?;
    match raw.len() == header.raw_len as usize && checksum(&raw) == header.raw_xxh {
        true => Ok(raw),
        false => Err("it decompresses to something else than its header says".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decompression_stops_where_the_header_says() {
        let raw = vec![0; 8 << 20];
        let payload = zstd::bulk::compress(&raw, 3).unwrap();
        let header = |raw_len: usize| BlockHeader {
            raw_len: raw_len as u32,
            raw_xxh: checksum(&raw),
            ..BlockHeader::default()
        };
        assert_eq!(decompress(&header(raw.len()), &payload).map(|raw| raw.len()), Ok(raw.len()));
        for lie in [0, 1000, raw.len() - 1, raw.len() + 1] {
            assert!(decompress(&header(lie), &payload).is_err(), "{lie} bytes");
        }
        assert!(decompress(&header(raw.len()), &payload[..payload.len() / 2]).is_err());
        assert!(decompress(&header(5), b"no zstd at all").is_err());
    }
}
