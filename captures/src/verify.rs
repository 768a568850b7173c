//! Says exactly what is in a capture: every block is read, checked and decoded, and index and seek table are
//! compared with what the scan found.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde::Serialize;

use crate::Exchange;
use crate::block::sessions_of;
use crate::damage::{Damage, DamageKind};
use crate::error::Error;
use crate::frame::{BlockHeader, Index, SeekEntry, SeekTable, Sessions};
use crate::header::FileHeader;
use crate::reader::{check_block, decode_block};
use crate::scan::{Mode, Piece, Place, Scanner};

/// What a capture holds, and what is wrong with it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verification {
    /// Length of the file.
    pub bytes: u64,
    /// Blocks that are good.
    pub blocks: u64,
    /// Exchanges in them.
    pub exchanges: u64,
    /// Sessions in them.
    pub sessions: u64,
    /// What the recorder let go, by reason.
    pub shed: BTreeMap<String, u64>,
    /// What is damaged, in the order of the file.
    pub damage: Vec<Damage>,
    /// Bytes of an unfinished block at the end.
    pub torn_tail_bytes: u64,
    /// Whether the capture ends as a cleanly closed one does.
    pub closed: bool,
    /// Where index or seek table contradict what the scan found.
    pub contradictions: Vec<String>,
    /// What it says about itself.
    pub header: FileHeader,
}

impl Verification {
    /// Whether it is closed and there is nothing to say against it.
    pub fn is_clean(&self) -> bool {
        self.closed && self.damage.is_empty() && self.contradictions.is_empty()
    }

    /// Blocks lost to damage, as far as the numbering shows.
    pub fn damaged_blocks(&self) -> u64 {
        self.damage
            .iter()
            .filter(|damage| damage.kind != DamageKind::TornTail)
            .map(|damage| damage.blocks)
            .sum()
    }

    /// Exchanges known to be lost to damage, those of an unfinished block included.
    pub fn lost_exchanges(&self) -> u64 {
        self.damage.iter().filter_map(|damage| damage.exchanges).sum()
    }
}

/// Reads a whole capture and checks everything in it; takes the memory of one block and of the session ids.
///
/// # Errors
/// When the file cannot be opened, is no capture, or is of a later version. What is wrong with it is no error.
pub fn verify(path: impl AsRef<Path>) -> Result<Verification, Error> {
    walk(path.as_ref(), check_block)
}

/// The same, and shows each good block to `visit` on the way.
pub(crate) fn verify_with(
    path: impl AsRef<Path>,
    mut visit: impl FnMut(&BlockHeader, Vec<Exchange>),
) -> Result<Verification, Error> {
    walk(path.as_ref(), |place, header, payload| {
        let exchanges = decode_block(place, header, payload)?;
        let sessions = sessions_of(&exchanges);
        visit(header, exchanges);
        Ok(sessions)
    })
}

/// Looks at every frame; `read` returns the sessions of a block, or what is wrong with it.
fn walk(
    path: &Path,
    mut read: impl FnMut(Place, &BlockHeader, &[u8]) -> Result<Vec<(u64, u64, u32)>, Damage>,
) -> Result<Verification, Error> {
    let mut scanner = Scanner::open(path, Mode::Read)?;
    let mut check = Check::default();
    check.found.bytes = scanner.len();
    let mut header = None;
    while let Some(piece) = scanner.next_piece() {
        match piece {
            Piece::Capture { place, header: met } => {
                header = Some(met);
                check.frame(place);
            }
            Piece::Unknown { place } => check.frame(place),
            Piece::Block { place, header, payload } => match read(place, &header, &payload) {
                Ok(sessions) => check.block(place, &header, &sessions),
                Err(damage) => check.damage(damage),
            },
            Piece::Index { place, index } => {
                check.frame(place);
                check.index = Some(index);
            }
            Piece::SeekTable { place, table } => check.table = Some((place, table)),
            Piece::Damage(damage) => check.damage(damage),
        }
    }
    if let Some(index) = &check.index {
        header = header.or(Some(index.header.clone()));
    }
    check.found.header = header.unwrap_or_default();
    Ok(check.finish())
}

#[derive(Default)]
struct Check {
    found: Verification,
    sessions: Sessions,
    ids: HashSet<u64>,
    /// What the seek table must say of each frame that was found, by offset.
    frames: HashMap<u64, SeekEntry>,
    index: Option<Index>,
    table: Option<(Place, SeekTable)>,
}

impl Check {
    fn frame(&mut self, place: Place) {
        self.frames.insert(place.offset, SeekEntry::skippable(place.frame_len as usize));
    }

    fn block(&mut self, place: Place, header: &BlockHeader, sessions: &[(u64, u64, u32)]) {
        self.frame(place);
        let entry = SeekEntry {
            compressed: header.payload_len,
            decompressed: header.raw_len,
            checksum: header.raw_xxh,
        };
        self.frames.insert(place.offset + place.frame_len, entry);
        self.found.blocks += 1;
        self.found.exchanges += u64::from(header.records);
        for (reason, n) in &header.shed {
            let count = self.found.shed.entry(reason.clone()).or_default();
            *count = count.saturating_add(*n);
        }
        for (id, first_us, exchanges) in sessions {
            self.sessions.add(*id, *first_us, (*exchanges).into(), header.seq);
            self.ids.insert(*id);
        }
    }

    fn damage(&mut self, damage: Damage) {
        if damage.kind == DamageKind::TornTail {
            self.found.torn_tail_bytes += damage.bytes;
        }
        self.found.damage.push(damage);
    }

    fn finish(mut self) -> Verification {
        self.found.sessions = self.ids.len() as u64;
        let closes = |(_, table): &(Place, SeekTable)| self.index.is_some() || !table.wants_index();
        self.found.closed = self.table.as_ref().is_some_and(closes);
        let undamaged = self.found.damage.is_empty();
        let mut contradictions = Vec::new();
        if let Some(index) = &self.index {
            let found = (self.found.exchanges, &self.sessions);
            if undamaged && (index.exchanges, &index.sessions) != found {
                contradictions.push(format!(
                    "the session index promises {} exchanges in {} sessions, the blocks hold {} in {}",
                    index.exchanges,
                    index.sessions.len(),
                    self.found.exchanges,
                    self.sessions.len()
                ));
            }
        }
        if let Some((place, table)) = &self.table {
            contradictions.extend(self.against_table(*place, table));
        }
        self.found.contradictions = contradictions;
        self.found
    }

    /// Whether the entries of the table tile the file, and say of each frame what was found.
    fn against_table(&self, place: Place, table: &SeekTable) -> Option<String> {
        let mut offset = 0u64;
        let mut met = 0;
        for (number, entry) in table.entries.iter().enumerate() {
            match self.frames.get(&offset) {
                Some(found) if found == entry => met += 1,
                Some(_) => {
                    return Some(format!(
                        "entry {number} of the seek table, for byte {offset}, differs from what stands there"
                    ));
                }
                None => {}
            }
            offset += u64::from(entry.compressed);
        }
        if offset != place.offset {
            return Some(format!(
                "the seek table covers {offset} bytes, the frames before it take {}",
                place.offset
            ));
        }
        let missing = self.frames.len() - met;
        (missing != 0).then(|| format!("the seek table leaves out {missing} frames that are in the file"))
    }
}
