//! Makes a damaged or unclosed capture whole again: every good block, renumbered, then index and seek table.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::block::{Builder, Encoded};
use crate::compress::Compressor;
use crate::damage::{Damage, DamageKind};
use crate::error::Error;
use crate::frame::{BlockHeader, Kind, SeekEntry, checksum, seal};
use crate::header::FileHeader;
use crate::layout::Layout;

use crate::reader::decode_block;
use crate::scan::{Mode, Piece, Scanner};
use crate::verify::{Verification, verify};

/// What a repair did.
#[derive(Clone, Debug, Serialize)]
pub struct Repair {
    /// How the capture was found.
    pub before: Verification,
    /// Whether anything was written: a whole capture is left alone when repaired in place.
    pub changed: bool,
    /// The repaired capture.
    pub path: PathBuf,
}

/// Repairs `path`, in place or into `output`, which must not exist.
///
/// In place, a copy is written beside it, synced, and put in its place at the end: a crash leaves the old file or
/// the new one. What was lost is counted in the repaired capture as shed, reason `damaged` (exchanges),
/// `damaged-block` (blocks of unknown content), or `unclosed` (whoever wrote it was cut off). Repairing again changes nothing.
///
/// # Errors
/// When the file is no capture, is being written, holds blocks of a later version, or a disk error is in the way.
pub fn repair(path: impl AsRef<Path>, output: Option<&Path>) -> Result<Repair, Error> {
    let path = path.as_ref();
    let before = verify(path)?;
    let target = output.unwrap_or(path).to_owned();
    if output.is_none() {
        let unreadable = before.damage.iter().find(|damage| damage.kind == DamageKind::Io);
        if let Some(damage) = unreadable {
            return Err(Error::Invalid(format!("{damage}; copy the file to a sound disk first")));
        }
        if before.is_clean() {
            return Ok(Repair { before, changed: false, path: target });
        }
    }
    if output.is_some() && target.exists() {
        return Err(Error::Exists(target));
    }
    let original = OpenOptions::new().read(true).open(path).map_err(Error::io("open", path))?;
    if let Err(fs::TryLockError::WouldBlock) = original.try_lock() {
        return Err(Error::InUse(path.to_owned()));
    }
    let copy = beside(&target);
    let written = write_copy(path, &copy, &before.header);
    let placed = written.and_then(|()| put_in_place(&original, &copy, &target));
    if placed.is_err() {
        // the error at hand matters more than a copy that cannot be removed
        let _ = fs::remove_file(&copy);
    }
    // not left to closing: a child process that is just being started may still hold the file too
    let _ = original.unlock();
    placed.map(|()| Repair { before, changed: true, path: target })
}

fn write_copy(path: &Path, copy: &Path, header: &FileHeader) -> Result<(), Error> {
    let file =
        OpenOptions::new().write(true).create_new(true).open(copy).map_err(Error::io("create", copy))?;
    let mut scanner = Scanner::open(path, Mode::Read)?;
    let mut rewrite = Rewrite {
        out: BufWriter::with_capacity(1 << 20, file),
        copy,
        capture_id: scanner.capture_id(),
        header: header.clone().of_this_version(),
        layout: Layout::default(),
        lost: BTreeMap::new(),
        began: false,
        closed: false,
    };
    while let Some(piece) = scanner.next_piece() {
        match piece {
            Piece::Capture { header, .. } => rewrite.capture(header)?,
            Piece::Block { header, .. } if !crate::block::is_known(header.encoding) => {
                let why = format!(
                    "{} holds blocks of a later version; repair it with a newer squall",
                    path.display()
                );
                return Err(Error::Invalid(why));
            }
            Piece::Block { place, header, payload } => match decode_block(place, &header, &payload) {
                Ok(exchanges) => {
                    for exchange in exchanges {
                        let seq = rewrite.layout.next_seq;
                        rewrite.layout.sessions.add(exchange.session.0, exchange.start_us, 1, seq);
                    }
                    rewrite.block(header, &payload)?;
                }
                Err(damage) => rewrite.lose(&damage),
            },
            Piece::Damage(damage) => rewrite.lose(&damage),
            Piece::Index { .. } | Piece::SeekTable { .. } => rewrite.closed = true,
            Piece::Unknown { .. } => {}
        }
    }
    rewrite.finish()
}

/// The copy in the making.
struct Rewrite<'a> {
    out: BufWriter<File>,
    copy: &'a Path,
    capture_id: u32,
    /// The last header, which goes into the index, and to the head if the head is lost.
    header: FileHeader,
    layout: Layout,
    /// What was lost since the last block written.
    lost: BTreeMap<String, u64>,
    began: bool,
    /// Whoever wrote the last block closed the capture, even if what says so is damaged in part.
    closed: bool,
}

impl Rewrite<'_> {
    fn capture(&mut self, header: FileHeader) -> Result<(), Error> {
        self.began = true;
        let frame = seal(Kind::Capture, self.capture_id, &header.of_this_version().to_bytes());
        self.layout.add_frame(frame.len());
        self.put(&frame)
    }

    fn block(&mut self, header: BlockHeader, payload: &[u8]) -> Result<(), Error> {
        if !self.began {
            self.capture(self.header.clone())?;
        }
        let mut header = BlockHeader { seq: self.layout.next_seq, ..header };
        for (reason, n) in std::mem::take(&mut self.lost) {
            *header.shed.entry(reason).or_default() += n;
        }
        let frame = seal(Kind::Block, self.capture_id, &header.encode());
        let entry = SeekEntry {
            compressed: header.payload_len,
            decompressed: header.raw_len,
            checksum: header.raw_xxh,
        };
        self.layout.add_block(frame.len(), entry, header.seq, header.records.into());
        self.closed = false;
        self.put(&frame)?;
        self.put(payload)
    }

    fn lose(&mut self, damage: &Damage) {
        if !damage.costs_exchanges() {
            return;
        }
        let (reason, n) = match damage.exchanges {
            Some(exchanges) => ("damaged", exchanges),
            None => ("damaged-block", damage.blocks),
        };
        if n != 0 {
            *self.lost.entry(reason.to_owned()).or_default() += n;
        }
    }

    fn finish(mut self) -> Result<(), Error> {
        if !self.began {
            self.capture(self.header.clone())?;
        }
        if !self.closed {
            // what was not written yet is missing, and nobody knows how much that was
            *self.lost.entry("unclosed".to_owned()).or_default() += 1;
        }
        if !self.lost.is_empty() {
            let (header, payload) = empty_block().map_err(Error::io("compress a block for", self.copy))?;
            self.block(header, &payload)?;
        }
        let tail = self.layout.tail(self.capture_id, &self.header);
        self.put(&tail)?;
        let file = self.out.into_inner().map_err(|err| Error::io("write to", self.copy)(err.into_error()))?;
        file.sync_all().map_err(Error::io("sync", self.copy))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out.write_all(bytes).map_err(Error::io("write to", self.copy))
    }
}

/// A block without exchanges, for what its header says.
fn empty_block() -> std::io::Result<(BlockHeader, Vec<u8>)> {
    let Encoded { raw, encoding, .. } = Builder::default().finish(false);
    let mut payload = Vec::new();
    Compressor::new(3)?.frame(&raw, &[], &mut payload)?;
    let header = BlockHeader {
        encoding,
        raw_len: raw.len() as u32,
        raw_xxh: checksum(&raw),
        payload_len: payload.len() as u32,
        payload_crc: crc32c::crc32c(&payload),
        ..BlockHeader::default()
    };
    Ok((header, payload))
}

/// A name in the same directory, so that it can be renamed into place.
fn beside(target: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(format!(".repair-{}", std::process::id()));
    target.with_file_name(name)
}

fn put_in_place(original: &File, copy: &Path, target: &Path) -> Result<(), Error> {
    let meta = original.metadata().map_err(Error::io("read", target))?;
    fs::set_permissions(copy, meta.permissions()).map_err(Error::io("set the permissions of", copy))?;
    fs::rename(copy, target).map_err(Error::io("put the repaired copy in place of", target))?;
    let dir = match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", dir))
}
