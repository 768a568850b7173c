//! Writes a capture again, smaller: sorted by session, in larger blocks, packed harder.
//!
//! The capture is read twice or more: first to see which sessions there are and where they lie, then, as many sessions
//! at a time as fit into memory, to write them one after the other. So each session lies in one block, unless it is
//! larger than a block may be.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::Path;

use serde::Serialize;

use crate::block::{self, Generators};
use crate::damage::Damage;
use crate::error::Error;
use crate::frame::BlockHeader;
use crate::header::{FileHeader, Options};
use crate::limits::MAX_BLOCK_BYTES;
use crate::reader::{Reader, decode_block};
use crate::scan::{Mode, Piece, Place, Scanner};
use crate::seek::block_at;
use crate::writer::{Summary, Writer};
use crate::{Exchange, SessionId};

/// How a capture is compacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactOptions {
    /// zstd level, 1 to 22. From 19 on small blocks are coded by context mixing ([`Options::mix_small`]).
    pub level: i32,
    /// A block closes behind the session with which it holds this many bytes before compression. At most
    /// [`MAX_BLOCK_BYTES`].
    pub block_bytes: usize,
    /// Leaves out identifiers that one session has for itself; whoever reads the capture makes up others of their
    /// kind and length, equal where they were equal.
    pub generators: bool,
    /// What is collected in memory before it is written, in bytes, unless a single session takes more: the less, the
    /// more often parts of the capture are read.
    pub memory_bytes: usize,
}

impl Default for CompactOptions {
    fn default() -> CompactOptions {
        CompactOptions { level: 19, block_bytes: 4 << 20, generators: false, memory_bytes: 512 << 20 }
    }
}

/// What a compaction did.
#[derive(Clone, Debug, Serialize)]
pub struct Compaction {
    /// Length of the file that was read.
    pub bytes_before: u64,
    /// What the new capture holds.
    pub after: Summary,
    /// What could not be read; counted in the new capture as shed, reason `damaged` or `damaged-block`.
    pub damage: Vec<Damage>,
}

/// Compacts `path` into `output`, which must not exist; when that fails there is no output.
///
/// # Errors
/// When `path` cannot be read, is no capture, holds blocks of a later version, or a disk error is in the way.
pub fn compact(
    path: impl AsRef<Path>,
    output: impl AsRef<Path>,
    options: &CompactOptions,
    now_us: u64,
) -> Result<Compaction, Error> {
    let (path, output) = (path.as_ref(), output.as_ref());
    let reader = Reader::open(path)?;
    let header = FileHeader {
        generated_ids: options.generators || reader.header().generated_ids,
        ..reader.header().clone()
    };
    let bytes_before = reader.file_len();
    let survey = Survey::of(path, options.generators.then_some(now_us | 1))?;
    let blocks = Options {
        block_bytes: MAX_BLOCK_BYTES,
        block_age_us: u64::MAX,
        level: options.level,
        mix_small: MIXED_FROM <= options.level,
        ..Options::default()
    };
    let writer = Writer::create(output, header, blocks)?;
    let written = write(path, writer, survey, (options, now_us));
    if written.is_err() {
        // the file is ours and holds nothing of use
        let _ = fs::remove_file(output);
    }
    let (after, damage) = written?;
    Ok(Compaction { bytes_before, after, damage })
}

/// What there is in a capture.
#[derive(Default)]
struct Survey {
    /// Sessions in the order in which they are written, and how much memory each takes.
    sessions: Vec<(SessionId, usize)>,
    blocks: Vec<Found>,
    generators: Option<Generators>,
    shed: BTreeMap<String, u64>,
    damage: Vec<Damage>,
    exchanges: u64,
}

/// A good block, and which sessions it has, by their places among all.
struct Found {
    place: Place,
    header: BlockHeader,
    sessions: Vec<u32>,
}

/// Sessions as they are met: their numbers, and by number id, start and memory.
#[derive(Default)]
struct Met {
    numbers: HashMap<SessionId, u32>,
    sessions: Vec<(SessionId, u64, usize)>,
}

impl Survey {
    /// Reads all of it. With a seed, sees which identifiers can be left out.
    fn of(path: &Path, seed: Option<u64>) -> Result<Survey, Error> {
        let mut survey = Survey::default();
        if let Some(seed) = seed {
            survey.generators = Some(Generators::new(exchanges_of(path)?, seed));
        }
        let mut met = Met::default();
        let mut scanner = Scanner::open(path, Mode::Read)?;
        while let Some(piece) = scanner.next_piece() {
            match piece {
                Piece::Block { header, .. } if !block::is_known(header.encoding) => {
                    return Err(Error::Invalid(format!(
                        "{} holds blocks of a later version; compact it with a newer squall",
                        path.display()
                    )));
                }
                Piece::Block { place, header, payload } => match decode_block(place, &header, &payload) {
                    Ok(exchanges) => survey.block(place, header, &exchanges, &mut met),
                    Err(damage) => survey.lose(damage),
                },
                Piece::Damage(damage) => survey.lose(damage),
                _ => {}
            }
        }
        survey.put_in_order(&met.sessions);
        Ok(survey)
    }

    fn block(&mut self, place: Place, header: BlockHeader, exchanges: &[Exchange], met: &mut Met) {
        for (reason, n) in &header.shed {
            self.count(reason, *n);
        }
        let mut sessions = Vec::new();
        for exchange in exchanges {
            let number = *met.numbers.entry(exchange.session).or_insert_with(|| {
                met.sessions.push((exchange.session, u64::MAX, 0));
                met.sessions.len() as u32 - 1
            });
            let session = &mut met.sessions[number as usize];
            session.1 = session.1.min(exchange.start_us);
            session.2 += block::size_of(exchange);
            if sessions.last() != Some(&number) {
                sessions.push(number);
            }
            if let Some(generators) = &mut self.generators {
                generators.note(exchange);
            }
        }
        self.exchanges += exchanges.len() as u64;
        self.blocks.push(Found { place, header, sessions });
    }

    /// Sessions by their first start, then by id: a capture that is read from front to back stays one of rising times.
    fn put_in_order(&mut self, met: &[(SessionId, u64, usize)]) {
        let mut order: Vec<u32> = (0..met.len() as u32).collect();
        order.sort_unstable_by_key(|number| {
            let (id, start_us, _) = met[*number as usize];
            (start_us, id)
        });
        let mut places = vec![0; met.len()];
        for (place, number) in (0..).zip(&order) {
            places[*number as usize] = place;
        }
        for block in &mut self.blocks {
            block.sessions.iter_mut().for_each(|session| *session = places[*session as usize]);
            block.sessions.sort_unstable();
        }
        self.sessions =
            order.iter().map(|number| met[*number as usize]).map(|(id, _, size)| (id, size)).collect();
    }

    fn lose(&mut self, damage: Damage) {
        if damage.costs_exchanges() {
            match damage.exchanges {
                Some(exchanges) => self.count("damaged", exchanges),
                None => self.count("damaged-block", damage.blocks),
            }
        }
        self.damage.push(damage);
    }

    fn count(&mut self, reason: &str, n: u64) {
        let count = self.shed.entry(reason.to_owned()).or_default();
        *count = count.saturating_add(n);
    }

    /// Ranges of sessions that fit into memory together, or are one that does not.
    fn groups(&self, memory_bytes: usize) -> Vec<std::ops::Range<u32>> {
        let mut groups = Vec::new();
        let (mut start, mut size) = (0, 0);
        for (place, (_, of_session)) in (0..).zip(&self.sessions) {
            if start != place && memory_bytes < size + of_session {
                groups.push(start..place);
                (start, size) = (place, 0);
            }
            size += of_session;
        }
        if start != self.sessions.len() as u32 {
            groups.push(start..self.sessions.len() as u32);
        }
        groups
    }
}

fn write(
    path: &Path,
    mut writer: Writer,
    mut survey: Survey,
    (options, now_us): (&CompactOptions, u64),
) -> Result<(Summary, Vec<Damage>), Error> {
    if let Some(generators) = survey.generators.take() {
        writer = writer.with_generators(generators);
    }
    for (reason, n) in &survey.shed {
        writer.shed(reason, *n);
    }
    let mut out =
        Out { writer, block_bytes: options.block_bytes.min(MAX_BLOCK_BYTES), session: None, now_us };
    let file = File::open(path).map_err(Error::io("open", path))?;
    for group in survey.groups(options.memory_bytes) {
        let sessions: HashMap<SessionId, u32> =
            group.clone().map(|place| (survey.sessions[place as usize].0, place)).collect();
        let size: usize =
            survey.sessions[group.start as usize..group.end as usize].iter().map(|(_, size)| size).sum();
        let mut ready = Vec::new();
        for block in &survey.blocks {
            let from = block.sessions.partition_point(|place| *place < group.start);
            if block.sessions.get(from).is_none_or(|place| group.end <= *place) {
                continue;
            }
            let exchanges = block_at(&file, block.place, &block.header).map_err(|damage| {
                Error::Invalid(format!("{} changed while it was read: {damage}", path.display()))
            })?;
            ready.extend(exchanges.into_iter().filter(|exchange| sessions.contains_key(&exchange.session)));
            if options.memory_bytes < size {
                // one session that does not fit: it goes out as it comes in, which is by blocks in the order of time
                out.put(&mut ready)?;
            }
        }
        ready.sort_by_key(|exchange| (sessions[&exchange.session], exchange.start_us));
        out.put(&mut ready)?;
    }
    let summary = out.writer.finish(now_us)?;
    match summary.exchanges == survey.exchanges {
        true => Ok((summary, survey.damage)),
        false => Err(Error::Invalid(format!("{} changed while it was read", path.display()))),
    }
}

/// The new capture.
struct Out {
    writer: Writer,
    block_bytes: usize,
    session: Option<SessionId>,
    now_us: u64,
}

impl Out {
    /// Writes exchanges that are sorted by session; a block closes between two sessions.
    fn put(&mut self, exchanges: &mut Vec<Exchange>) -> Result<(), Error> {
        for exchange in exchanges.drain(..) {
            if self.session != Some(exchange.session) && self.writer.holds(self.block_bytes) {
                self.writer.flush(self.now_us)?;
            }
            self.session = Some(exchange.session);
            self.writer.push(&exchange, self.now_us)?;
        }
        Ok(())
    }
}

/// How many exchanges the headers of the blocks promise.
fn exchanges_of(path: &Path) -> Result<u64, Error> {
    let mut scanner = Scanner::open(path, Mode::Hop)?;
    let mut exchanges = 0;
    while let Some(piece) = scanner.next_piece() {
        if let Piece::Block { header, .. } = piece {
            exchanges += u64::from(header.records);
        }
    }
    Ok(exchanges)
}

/// From this level on small blocks are coded by context mixing.
const MIXED_FROM: i32 = 19;
