//! Writes a capture. Every closed block reaches the kernel in one write, so a killed process loses the open block only.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::Exchange;
use crate::block::{Builder, Encoded, Generators};
use crate::compress::Compressor;
use crate::error::Error;
use crate::frame::{BlockHeader, Kind, SeekEntry, checksum, seal};
use crate::header::{FileHeader, Options};
use crate::layout::{Found, Layout};
use crate::limits::{MAX_BLOCK_BYTES, MAX_BLOCK_HEADER, MAX_FILE_HEADER, MAX_SHED_REASON, MAX_SHED_REASONS};

/// Writes one capture. Holds no clock: `now_us` (microseconds since 1970-01-01 UTC) comes with each call.
///
/// When a write fails, the block at hand is counted as shed (`io`), the file goes back to its last good block,
/// and the writer stays usable: recording resumes when the disk does.
pub struct Writer {
    file: File,
    path: PathBuf,
    options: Options,
    header: FileHeader,
    capture_id: u32,
    compressor: Compressor,
    builder: Builder,
    layout: Layout,
    /// A header frame of ours that goes out with the next block (after an append).
    prefix: Vec<u8>,
    /// What was written last, for its memory.
    spare: Vec<u8>,
    /// Bytes behind the good data that the next write must remove: an old index, or a torn block.
    stale_tail: bool,
    /// Already closed, and nothing was added since.
    closed: bool,
    /// When the first exchange of the open block was pushed.
    opened_us: Option<u64>,
    shed: BTreeMap<String, u64>,
    shed_total: BTreeMap<String, u64>,
    unsynced: u32,
}

/// What a capture holds when it is closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Length of the file.
    pub bytes: u64,
    /// Blocks in the file.
    pub blocks: u64,
    /// Exchanges in the file.
    pub exchanges: u64,
    /// Sessions in the file; of more than [`crate::limits::MAX_INDEXED_SESSIONS`] only those that the index names.
    pub sessions: u64,
    /// What this writer let go, by reason.
    pub shed: BTreeMap<String, u64>,
}

impl Writer {
    /// Begins a capture in a new file; there is none where its head cannot be written.
    ///
    /// # Errors
    /// [`Error::Exists`] when there is such a file: nothing is ever overwritten.
    pub fn create(path: impl AsRef<Path>, header: FileHeader, options: Options) -> Result<Writer, Error> {
        let (path, header) = (path.as_ref(), header.of_this_version());
        let compressor = compressor(&options)?;
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).open(path).map_err(|err| match err
                .kind()
            {
                io::ErrorKind::AlreadyExists => Error::Exists(path.to_owned()),
                _ => Error::io("create", path)(err),
            })?;
        Writer::begin((file, path), header, options, compressor).inspect_err(|_| {
            // it is ours and empty, and nobody could go on in it
            let _ = std::fs::remove_file(path);
        })
    }

    fn begin(
        (file, path): (File, &Path),
        header: FileHeader,
        options: Options,
        compressor: Compressor,
    ) -> Result<Writer, Error> {
        lock(&file, path)?;
        let content = header.to_bytes();
        let mut writer = Writer::over((file, path), header, options, compressor, xxh3_64(&content) as u32);
        let frame = seal(Kind::Capture, writer.capture_id, &content);
        if MAX_FILE_HEADER < frame.len() {
            return Err(Error::Invalid(format!(
                "the file header of {} bytes is too large; name fewer edges",
                frame.len()
            )));
        }
        writer.write(&frame)?;
        writer.layout.add_frame(frame.len());
        Ok(writer)
    }

    /// Goes on after the last good block of an existing capture. Index and seek table, or a torn block, at the
    /// end make room for new blocks when the first of them is written; good blocks are never touched. That the capture
    /// had not been closed is counted as shed, reason `unclosed`, and a torn block as `damaged` or `damaged-block`.
    ///
    /// # Errors
    /// For any file that is not a capture, whose head is damaged, or that another process is writing.
    pub fn append(path: impl AsRef<Path>, header: FileHeader, options: Options) -> Result<Writer, Error> {
        let (path, header) = (path.as_ref(), header.of_this_version());
        let compressor = compressor(&options)?;
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(Error::io("open", path))?;
        lock(&file, path)?;
        let found = Found::read(path)?;
        let Some(before) = &found.header else {
            return Err(Error::NeedsRepair { path: path.to_owned(), why: "its head is damaged".to_owned() });
        };
        // a header that says nothing new is not repeated
        let same = FileHeader { created_us: 0, monotonic_us: 0, ..before.clone() }
            == FileHeader { created_us: 0, monotonic_us: 0, ..header.clone() };
        let mut writer = Writer::over((file, path), header, options, compressor, found.capture_id);
        if !same {
            writer.prefix = seal(Kind::Capture, found.capture_id, &writer.header.to_bytes());
        }
        writer.stale_tail = true;
        writer.closed = found.closed;
        writer.layout = found.layout;
        if !found.closed {
            // whoever wrote it was killed: what it had not written yet is missing, and nobody knows how much that was
            writer.shed("unclosed", 1);
        }
        if let Some(torn) = found.torn {
            match torn.exchanges {
                Some(exchanges) => writer.shed("damaged", exchanges),
                None => writer.shed("damaged-block", 1),
            }
        }
        Ok(writer)
    }

    fn over(
        (file, path): (File, &Path),
        header: FileHeader,
        mut options: Options,
        compressor: Compressor,
        capture_id: u32,
    ) -> Writer {
        options.block_bytes = options.block_bytes.clamp(1, MAX_BLOCK_BYTES);
        Writer {
            file,
            path: path.to_owned(),
            options,
            header,
            capture_id,
            compressor,
            builder: Builder::with_room(),
            layout: Layout::default(),
            prefix: Vec::new(),
            spare: Vec::new(),
            stale_tail: false,
            closed: false,
            opened_us: None,
            shed: BTreeMap::new(),
            shed_total: BTreeMap::new(),
            unsynced: 0,
        }
    }

    /// Leaves it to the reader to make up identifiers, where `generators` say so.
    pub(crate) fn with_generators(mut self, generators: Generators) -> Writer {
        self.builder = Builder::with_generators(generators);
        self
    }

    /// Adds an exchange; closes the block when it is full or old enough.
    ///
    /// # Errors
    /// [`Error::TooLarge`], when the exchange alone is shed, or what the disk said, when the whole block is.
    pub fn push(&mut self, exchange: &Exchange, now_us: u64) -> Result<(), Error> {
        if let Err(bytes) = self.builder.push(exchange) {
            self.shed("too-large", 1);
            return Err(Error::TooLarge { bytes });
        }
        self.opened_us.get_or_insert(now_us);
        match self.builder.is_full(self.options.block_bytes) {
            true => self.close_block(now_us),
            false => self.tick(now_us),
        }
    }

    /// Closes the open block if it is old enough.
    ///
    /// # Errors
    /// As [`Writer::flush`].
    pub fn tick(&mut self, now_us: u64) -> Result<(), Error> {
        let Some(opened_us) = self.opened_us else { return Ok(()) };
        if now_us < opened_us {
            // the wall clock was set back: the age starts anew
            self.opened_us = Some(now_us);
            return Ok(());
        }
        match self.options.block_age_us <= now_us - opened_us {
            true => self.close_block(now_us),
            false => Ok(()),
        }
    }

    /// Counts what was let go before it came here; the next block's header says so.
    pub fn shed(&mut self, reason: &str, n: u64) {
        if n == 0 {
            return;
        }
        let mut end = reason.len().min(MAX_SHED_REASON);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        for counts in [&mut self.shed, &mut self.shed_total] {
            let fits = counts.contains_key(&reason[..end]) || counts.len() + 3 < MAX_SHED_REASONS;
            let reason = if fits { &reason[..end] } else { "other" };
            let count = counts.entry(reason.to_owned()).or_default();
            *count = count.saturating_add(n);
        }
    }

    /// Counts here what another writer still had to say, which then says it no more: its file is gone, or takes nothing.
    pub fn take_shed(&mut self, other: &mut Writer) {
        for (reason, n) in std::mem::take(&mut other.shed) {
            self.shed(&reason, n);
        }
    }

    /// Closes the open block now, if there is anything to say.
    ///
    /// # Errors
    /// What the disk said. The exchanges of the block are then counted as shed, reason `io`.
    pub fn flush(&mut self, now_us: u64) -> Result<(), Error> {
        match self.builder.is_empty() && self.shed.is_empty() {
            true => Ok(()),
            false => self.close_block(now_us),
        }
    }

    /// Closes the capture: the open block, the session index, the seek table; then waits for the disk.
    ///
    /// # Errors
    /// What the disk said; the blocks written so far are readable all the same.
    pub fn finish(mut self, now_us: u64) -> Result<Summary, Error> {
        self.flush(now_us)?;
        if !self.closed {
            let tail = self.layout.tail(self.capture_id, &self.header);
            self.write(&tail)?;
            self.file.sync_all().map_err(Error::io("sync", &self.path))?;
        }
        let bytes = self.file.metadata().map_err(Error::io("read", &self.path))?.len();
        Ok(Summary {
            bytes,
            blocks: self.layout.blocks,
            exchanges: self.layout.exchanges,
            sessions: self.layout.sessions.len() as u64,
            shed: std::mem::take(&mut self.shed_total),
        })
    }

    /// Exchanges in closed blocks, those before an append included.
    pub fn exchanges(&self) -> u64 {
        self.layout.exchanges
    }

    /// Exchanges in the open block.
    pub fn open_exchanges(&self) -> u64 {
        self.builder.len() as u64
    }

    /// Whether the open block holds so many bytes before compression.
    pub(crate) fn holds(&self, bytes: usize) -> bool {
        self.builder.is_full(bytes)
    }

    /// Where the good data end: the length of the file but for what closes it.
    pub fn bytes(&self) -> u64 {
        self.layout.end
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file still stands under its name: one that was removed or replaced takes all that is written, and nobody
    /// will find it.
    pub fn is_in_place(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let named = std::fs::metadata(&self.path).map(|meta| (meta.dev(), meta.ino()));
        let open = self.file.metadata().map(|meta| (meta.dev(), meta.ino()));
        matches!((named, open), (Ok(named), Ok(open)) if named == open)
    }

    fn close_block(&mut self, now_us: u64) -> Result<(), Error> {
        self.opened_us = None;
        let block = self.builder.finish(self.options.mix_small);
        let records = block.records;
        if let Err(err) = self.write_block(&block, now_us) {
            self.shed("io", records.into());
            return Err(err);
        }
        self.builder.reuse(block.raw);
        self.sync_now_and_then()
    }

    fn write_block(&mut self, block: &Encoded, now_us: u64) -> Result<(), Error> {
        let mut out = std::mem::take(&mut self.spare);
        let room = self.prefix.len() + MAX_BLOCK_HEADER;
        out.resize(room, 0);
        self.compressor
            .frame(&block.raw, &block.cuts, &mut out)
            .map_err(Error::io("compress a block for", &self.path))?;
        let payload = &out[room..];
        let header = BlockHeader {
            encoding: block.encoding,
            seq: self.layout.next_seq,
            raw_len: block.raw.len() as u32,
            raw_xxh: checksum(&block.raw),
            payload_len: payload.len() as u32,
            payload_crc: crc32c::crc32c(payload),
            records: block.records,
            wall_us: now_us,
            first_us: block.first_us,
            last_us: block.last_us,
            session_min: block.sessions.iter().map(|session| session.0).min().unwrap_or(0),
            session_max: block.sessions.iter().map(|session| session.0).max().unwrap_or(0),
            sessions: block.sessions.len() as u32,
            shed: self.shed.clone(),
        };
        let frame = seal(Kind::Block, self.capture_id, &header.encode());
        let head = [&self.prefix[..], &frame].concat();
        let start = room - head.len();
        out[start..room].copy_from_slice(&head);
        self.write(&out[start..])?;
        self.spare = out;
        self.note_block(block, &header, frame.len());
        Ok(())
    }

    /// The block is in the file: it enters the books.
    fn note_block(&mut self, block: &Encoded, header: &BlockHeader, frame_len: usize) {
        if !self.prefix.is_empty() {
            self.layout.add_frame(self.prefix.len());
            self.prefix.clear();
        }
        for (id, first_us, exchanges) in &block.sessions {
            self.layout.sessions.add(*id, *first_us, (*exchanges).into(), header.seq);
        }
        let entry = SeekEntry {
            compressed: header.payload_len,
            decompressed: header.raw_len,
            checksum: header.raw_xxh,
        };
        self.layout.add_block(frame_len, entry, header.seq, block.records.into());
        self.shed.clear();
    }

    fn sync_now_and_then(&mut self) -> Result<(), Error> {
        self.unsynced += 1;
        if self.options.sync_blocks == 0 || self.unsynced < self.options.sync_blocks {
            return Ok(());
        }
        self.unsynced = 0;
        // the block stays counted as recorded: it is in the file, only the disk has not said so
        self.file.sync_data().map_err(Error::io("sync", &self.path))
    }

    /// Writes at the end of the good data, or leaves the file as it was.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.stale_tail {
            self.file.set_len(self.layout.end).map_err(Error::io("make room in", &self.path))?;
            self.stale_tail = false;
        }
        self.closed = false;
        self.file.write_all_at(bytes, self.layout.end).map_err(|err| {
            // if this fails too, the next write does it
            self.stale_tail = self.file.set_len(self.layout.end).is_err();
            Error::io("write to", &self.path)(err)
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // closing would do, but for a child process that is just being started and still holds the file too
        let _ = self.file.unlock();
    }
}

fn compressor(options: &Options) -> Result<Compressor, Error> {
    Compressor::new(options.level)
        .map_err(|err| Error::Invalid(format!("zstd level {} cannot be used: {err}", options.level)))
}

/// One writer at a time. File systems without locks are taken as they are.
fn lock(file: &File, path: &Path) -> Result<(), Error> {
    match file.try_lock() {
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Error::InUse(path.to_owned())),
    }
}
