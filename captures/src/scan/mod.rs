//! Walks the frames of a capture from front to back, and finds its way again after damage.
//!
//! Every piece that it returns was checked against its own CRC. Where something else stands it looks for the next
//! frame of this capture (by mark, capture id and CRC) and reports what lies between as one [`Damage`].

#[cfg(test)]
mod flips;
mod resync;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::damage::{Damage, DamageKind};
use crate::error::Error;
use crate::frame::{BlockHeader, HEAD_LEN, Head, Index, Kind, SHORTEST, SeekTable};
use crate::header::FileHeader;
use crate::limits;
use crate::wire::Malformed;

/// A part of the file, in the order of the file.
pub(crate) enum Piece {
    Capture {
        place: Place,
        header: FileHeader,
    },
    Block {
        place: Place,
        header: BlockHeader,
        payload: Vec<u8>,
    },
    Index {
        place: Place,
        index: Index,
    },
    SeekTable {
        place: Place,
        table: SeekTable,
    },
    /// A frame of a later version.
    Unknown {
        place: Place,
    },
    Damage(Damage),
}

/// Where a piece lies; of a block, its header frame and its payload together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    /// Of its first frame.
    pub(crate) frame_len: u64,
    pub(crate) len: u64,
}

impl Place {
    pub(crate) fn end(self) -> u64 {
        self.offset + self.len
    }
}

/// Whether to read what the blocks hold, or to go from header to header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Read,
    Hop,
}

pub(crate) struct Scanner {
    file: File,
    path: PathBuf,
    /// Length of the file when it was opened: what is written meanwhile is not looked at.
    len: u64,
    pos: u64,
    mode: Mode,
    capture_id: u32,
    expected_seq: u64,
    /// Damage whose cost becomes clear with the next good block.
    pending: Option<Damage>,
    ready: VecDeque<Piece>,
    /// The piece before was the session index.
    after_index: bool,
    /// Bytes that may still be spent on frames that turn out to be none; bounds what a hostile file costs.
    budget: u64,
}

impl Scanner {
    /// Opens a capture, however damaged, as long as something of it can be found near its head.
    pub(crate) fn open(path: &Path, mode: Mode) -> Result<Scanner, Error> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        Scanner::over(file, path, mode)
    }

    pub(crate) fn over(file: File, path: &Path, mode: Mode) -> Result<Scanner, Error> {
        let meta = file.metadata().map_err(Error::io("read", path))?;
        if !meta.is_file() {
            return Err(Error::NotACapture { path: path.to_owned(), found: "not a regular file".to_owned() });
        }
        let len = meta.len();
        let mut scanner = Scanner {
            file,
            path: path.to_owned(),
            len,
            pos: 0,
            mode,
            capture_id: 0,
            expected_seq: 0,
            pending: None,
            ready: VecDeque::new(),
            after_index: false,
            budget: len.saturating_mul(BUDGET_FACTOR),
        };
        scanner.identify()?;
        Ok(scanner)
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn capture_id(&self) -> u32 {
        self.capture_id
    }

    /// The next piece; `None` at the end of the file.
    pub(crate) fn next_piece(&mut self) -> Option<Piece> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Some(piece);
            }
            if self.len <= self.pos {
                return self.pending.take().map(Piece::Damage);
            }
            if let Err(source) = self.step() {
                let rest = self.len - self.pos;
                let damage = Damage::new(DamageKind::Io, self.pos, rest, source.to_string());
                self.pos = self.len;
                self.ready.extend(self.pending.take().map(Piece::Damage));
                self.ready.push_back(Piece::Damage(damage));
            }
        }
    }

    /// Finds out which capture this is, from its head or, should that be damaged, from what follows it.
    fn identify(&mut self) -> Result<(), Error> {
        let path = self.path.clone();
        let io = |source| Error::io("read", &path)(source);
        let first = self.any_frame_at(0).map_err(io)?;
        let (head, content) = match first {
            Some(found) => found,
            None => match self.find_any(0, self.len.min(limits::DETECT)).map_err(io)? {
                Some(offset) => self.any_frame_at(offset).map_err(io)?.ok_or_else(|| self.not_a_capture())?,
                None => return Err(self.not_a_capture()),
            },
        };
        self.capture_id = head.capture_id;
        if head.kind == Kind::Capture
            && let Ok(header) = FileHeader::from_bytes(&content)
            && limits::FORMAT_VERSION < header.version
        {
            return Err(Error::Version { path: self.path.clone(), version: header.version });
        }
        Ok(())
    }

    fn not_a_capture(&self) -> Error {
        let mut head = [0; 16];
        let n = self.len.min(16) as usize;
        let found = match self.file.read_exact_at(&mut head[..n], 0) {
            Ok(()) => looks_like(&head[..n]),
            Err(_) => "it cannot be read",
        };
        Error::NotACapture { path: self.path.clone(), found: found.to_owned() }
    }

    /// Reads what stands at the position and moves behind it.
    fn step(&mut self) -> io::Result<()> {
        let offset = self.pos;
        let Some((head, content)) = self.frame_at(offset)? else {
            return match self.seek_table_at(offset)? {
                Some(table) => {
                    self.settle(table.blocks());
                    let place = Place { offset, frame_len: self.len - offset, len: self.len - offset };
                    self.emit(place, Piece::SeekTable { place, table });
                    Ok(())
                }
                None => self.lose(offset),
            };
        };
        let place = Place { offset, frame_len: head.len as u64, len: head.len as u64 };
        let damaged = |kind, reason: &dyn std::fmt::Display| {
            Piece::Damage(Damage::new(kind, offset, place.len, reason.to_string()))
        };
        match head.kind {
            Kind::Block => return self.block(place, head.block_header(&content)),
            Kind::Unknown => self.emit(place, Piece::Unknown { place }),
            Kind::Capture => match FileHeader::from_bytes(&content) {
                Ok(header) => self.emit(place, Piece::Capture { place, header }),
                Err(err) => self.emit(place, damaged(DamageKind::FileHeader, &err)),
            },
            Kind::Index => match Index::decode(&content) {
                Ok(index) => {
                    self.settle(Some(index.blocks));
                    self.emit(place, Piece::Index { place, index });
                }
                Err(err) => self.emit(place, damaged(DamageKind::Index, &err)),
            },
        }
        Ok(())
    }

    fn emit(&mut self, place: Place, piece: Piece) {
        self.after_index = matches!(piece, Piece::Index { .. });
        self.pos = place.end();
        self.ready.push_back(piece);
    }

    /// A block whose header frame is good.
    fn block(&mut self, mut place: Place, header: Result<BlockHeader, Malformed>) -> io::Result<()> {
        let header = match header {
            Ok(header) => header,
            Err(err) => {
                let damage = Damage::new(DamageKind::Block, place.offset, place.len, err.to_string());
                self.settle(None);
                self.emit(place, Piece::Damage(Damage { blocks: 1, ..damage }));
                return Ok(());
            }
        };
        place.len += u64::from(header.payload_len);
        if self.len < place.end() {
            return self.lose_block(place, &header);
        }
        let payload = match self.mode {
            Mode::Hop => Vec::new(),
            Mode::Read => self.read(place.offset + place.frame_len, header.payload_len as usize)?,
        };
        if self.mode == Mode::Read && crc32c::crc32c(&payload) != header.payload_crc {
            return self.lose_block(place, &header);
        }
        if header.seq < self.expected_seq {
            let reason = format!("block {} stands here a second time, or out of order", header.seq);
            self.settle(None);
            self.emit(
                place,
                Piece::Damage(Damage::new(DamageKind::Foreign, place.offset, place.len, reason)),
            );
            return Ok(());
        }
        self.settle(Some(header.seq));
        self.expected_seq = header.seq.saturating_add(1);
        self.emit(place, Piece::Block { place, header, payload });
        Ok(())
    }

    /// Releases pending damage, whose cost in blocks is now known: `next_seq` is the number met.
    fn settle(&mut self, next_seq: Option<u64>) {
        let expected = self.expected_seq;
        let lost = next_seq.map_or(0, |seq| seq.saturating_sub(expected));
        let damage = match self.pending.take() {
            Some(damage) if damage.kind == DamageKind::Block && next_seq.is_some() && lost == 0 => Damage {
                kind: DamageKind::Foreign,
                reason: "these bytes are nothing of this capture".to_owned(),
                ..damage
            },
            Some(damage) => Damage { blocks: lost, ..damage },
            None if lost == 0 => return,
            None => {
                let reason = format!("blocks {expected} to {} are not in the file", expected + lost - 1);
                Damage { blocks: lost, ..Damage::new(DamageKind::Missing, self.pos, 0, reason) }
            }
        };
        self.ready.push_back(Piece::Damage(damage));
    }

    /// A whole, checked frame of this capture at `offset`, if one stands there.
    fn frame_at(&mut self, offset: u64) -> io::Result<Option<(Head, Vec<u8>)>> {
        let id = self.capture_id;
        Ok(self.any_frame_at(offset)?.filter(|(head, _)| head.capture_id == id))
    }

    /// A whole, checked frame of any capture.
    fn any_frame_at(&mut self, offset: u64) -> io::Result<Option<(Head, Vec<u8>)>> {
        let rest = self.len - offset;
        if rest < SHORTEST as u64 {
            return Ok(None);
        }
        let head = self.read(offset, rest.min(HEAD_LEN as u64) as usize)?;
        let Some(head) = Head::parse(&head) else { return Ok(None) };
        if self.len - offset < head.len as u64 || self.budget < head.len as u64 {
            return Ok(None);
        }
        let mut frame = self.read(offset, head.len)?;
        match head.open(&frame).map(<[u8]>::len) {
            Ok(content) => {
                frame.truncate(head.len - 4);
                frame.drain(..head.len - 4 - content);
                Ok(Some((head, frame)))
            }
            Err(_) => {
                self.budget -= head.len as u64;
                Ok(None)
            }
        }
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

/// A guess, for a message only.
fn looks_like(head: &[u8]) -> &'static str {
    let trimmed = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    match head {
        [] => "it is empty",
        [0x57, 0x2a, 0x4d, 0x18, ..] => {
            "it begins like one, but its head is damaged or cut and nothing follows"
        }
        [0x1f, 0x8b, ..] => "it looks like gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "it is a zstd file of another kind",
        _ if trimmed.starts_with(b"{") => "it looks like JSON, perhaps a HAR",
        _ if head.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => {
            "it looks like text"
        }
        _ => "unknown bytes",
    }
}

/// How often the whole file may be read again for frames that turn out to be none: every honest file needs less.
const BUDGET_FACTOR: u64 = 64;
