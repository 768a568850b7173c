//! The files of a recording: which one is written now, when the next begins, which old ones go.
//!
//! ```text
//! capture.zst -> capture-0001.zst -> capture-0002.zst ...     each closed before the next begins
//! ```
//!
//! A file that was there is continued or left alone, never overwritten. A ring removes its own oldest files, and nothing else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use captures::error::Error;
use captures::header::{FileHeader, Options};
use captures::writer::Summary;
use captures::{Writer, reader};

use crate::time::micros;

/// When a file ends and the next begins, and how much is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotation {
    /// A file ends when it is this large, in bytes.
    pub size: Option<u64>,
    /// A file ends this long after it began.
    pub age: Option<Duration>,
    /// The files of the recording may take this much together, in bytes; the oldest go first. Never the one that is written.
    pub ring: Option<u64>,
}

impl Rotation {
    /// Whether a recording has more than one file.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.size.is_some() || self.age.is_some() || self.ring.is_some()
    }

    /// A ring without a size of its own has eight files.
    fn size_limit(&self) -> Option<u64> {
        self.size.or(self.ring.map(|ring| (ring / 8).max(1)))
    }
}

/// The files of one recording.
pub(super) struct Files {
    first: PathBuf,
    header: FileHeader,
    options: Options,
    rotation: Rotation,
    number: u32,
    began_us: u64,
}

/// A file that is over.
pub(super) struct Closed {
    pub(super) path: PathBuf,
    pub(super) outcome: Result<Summary, Error>,
    /// Old files that made room.
    pub(super) removed: Vec<PathBuf>,
}

impl Files {
    /// Opens the newest file of the recording, or the first. Where a recording has many files, one that nobody can go on in
    /// (a power cut leaves empty ones) stays as it is, and the next begins.
    ///
    /// # Errors
    /// The file that was named is something else, or cannot be written.
    pub(super) fn open(
        first: PathBuf,
        header: FileHeader,
        (options, rotation): (Options, Rotation),
        now_us: u64,
    ) -> Result<(Files, Writer), Error> {
        let number = if rotation.is_on() { newest(&first) } else { 0 };
        let mut files = Files { first, header, options, rotation, number, began_us: now_us };
        let writer = match files.writer(now_us) {
            Err(error @ (Error::NotACapture { .. } | Error::NeedsRepair { .. })) if number != 0 => {
                tracing::warn!(%error, "the newest file of the recording is left alone: the next one begins");
                files.number += 1;
                files.writer(now_us)?
            }
            opened => opened?,
        };
        Ok((files, writer))
    }

    /// The file that is written now.
    pub(super) fn path(&self) -> PathBuf {
        numbered(&self.first, self.number)
    }

    /// Whether the file has come to its end.
    pub(super) fn is_due(&self, writer: &Writer, now_us: u64) -> bool {
        let written = 0 < writer.exchanges() + writer.open_exchanges();
        let too_large = self.rotation.size_limit().is_some_and(|size| size <= writer.bytes());
        let too_old =
            self.rotation.age.is_some_and(|age| micros(age) <= now_us.saturating_sub(self.began_us));
        written && (too_large || too_old)
    }

    /// Begins the next file and closes the one before. Where the next cannot be begun the old one goes on.
    ///
    /// # Errors
    /// What kept the next file from being made.
    pub(super) fn rotate(&mut self, writer: &mut Writer, now_us: u64) -> Result<Closed, Error> {
        let number = newest(&self.first).max(self.number) + 1;
        let path = numbered(&self.first, number);
        let mut next = Writer::create(path, self.fresh_header(now_us), self.options.clone())?;
        // there is something left to say where the old file could not take it
        next.take_shed(writer);
        (self.number, self.began_us) = (number, now_us);
        let old = std::mem::replace(writer, next);
        let path = old.path().to_owned();
        let outcome = old.finish(now_us);
        // the next may become as large, its last block and what follows it included
        let like_this = path.metadata().map_or(0, |file| file.len());
        let removed = self.make_room(like_this.max(self.rotation.size_limit().unwrap_or_default()));
        Ok(Closed { path, outcome, removed })
    }

    /// The file was removed or replaced under its name: begins another under the next free name, in the same place.
    ///
    /// # Errors
    /// What kept it from being made: the folder is gone, mostly.
    pub(super) fn begin_anew(&mut self, now_us: u64) -> Result<Writer, Error> {
        if self.path().exists() {
            self.number = newest(&self.first).max(self.number) + 1;
        }
        self.began_us = now_us;
        Writer::create(self.path(), self.fresh_header(now_us), self.options.clone())
    }

    fn fresh_header(&self, now_us: u64) -> FileHeader {
        FileHeader { created_us: now_us, ..self.header.clone() }
    }

    fn writer(&self, now_us: u64) -> Result<Writer, Error> {
        let path = self.path();
        match path.exists() {
            true => Writer::append(&path, self.header.clone(), self.options.clone()),
            false => Writer::create(&path, self.fresh_header(now_us), self.options.clone()),
        }
    }

    /// Removes the oldest closed files of a ring while all of them, and `reserve` bytes, are too large together.
    pub(super) fn make_room(&self, reserve: u64) -> Vec<PathBuf> {
        let Some(ring) = self.rotation.ring else { return Vec::new() };
        let mut files: Vec<(u32, u64)> = numbers(&self.first)
            .into_iter()
            .filter_map(|number| Some((number, numbered(&self.first, number).metadata().ok()?.len())))
            .collect();
        files.sort_unstable();
        let mut sum: u64 = files.iter().map(|(_, len)| len).sum();
        let budget = ring.saturating_sub(reserve);
        let mut removed = Vec::new();
        for (number, len) in files.into_iter().filter(|(number, _)| *number != self.number) {
            let path = numbered(&self.first, number);
            if sum <= budget || !reader::is_capture(&path) {
                continue;
            }
            if std::fs::remove_file(&path).is_ok() {
                sum -= len;
                removed.push(path);
            }
        }
        removed
    }
}

/// `capture.zst`, `capture-0001.zst`, …
fn numbered(first: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return first.to_owned();
    }
    let stem = first.file_stem().unwrap_or_default().to_string_lossy();
    let end = first.extension().map(|end| format!(".{}", end.to_string_lossy())).unwrap_or_default();
    first.with_file_name(format!("{stem}-{number:04}{end}"))
}

/// The numbers of the files that are there.
fn numbers(first: &Path) -> Vec<u32> {
    let folder = first.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let stem = format!("{}-", first.file_stem().unwrap_or_default().to_string_lossy());
    let number_of = |name: &str| -> Option<u32> {
        let rest = name.strip_prefix(&stem)?;
        let number = rest.split('.').next()?.parse().ok()?;
        (numbered(first, number).file_name()?.to_string_lossy() == name).then_some(number)
    };
    let named = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<u32> =
        named.filter_map(|entry| number_of(&entry.file_name().to_string_lossy())).collect();
    if first.exists() {
        found.push(0);
    }
    found
}

fn newest(first: &Path) -> u32 {
    numbers(first).into_iter().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newest_file_that_a_power_cut_left_empty_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = folder.path().join("cap.zst");
        let open = |rotation| {
            let header = FileHeader::new("test", 1);
            Files::open(first.clone(), header, (Options::default(), rotation), 1)
                .map(|(files, _)| files.path())
        };
        let many = Rotation { size: Some(1_000), ..Rotation::default() };
        assert_eq!(open(many).expect("the first"), first);
        for empty in ["cap-0001.zst", "cap-0003.zst"] {
            std::fs::write(folder.path().join(empty), "").expect("written");
        }
        assert_eq!(open(many).expect("the next"), folder.path().join("cap-0004.zst"));
        assert_eq!(std::fs::read(folder.path().join("cap-0003.zst")).expect("there"), b"");
        std::fs::write(&first, "").expect("written");
        assert!(
            matches!(open(Rotation::default()), Err(Error::NotACapture { .. })),
            "what was named is refused"
        );
    }

    #[test]
    fn files_are_numbered_behind_their_stem() {
        let check = |number: u32, expect: &str| {
            assert_eq!(numbered(Path::new("d/cap.zst"), number), Path::new(expect));
        };
        check(0, "d/cap.zst");
        check(1, "d/cap-0001.zst");
        check(12_345, "d/cap-12345.zst");
        let folder = tempfile::tempdir().expect("a folder");
        let first = folder.path().join("cap.zst");
        for name in ["cap.zst", "cap-0002.zst", "cap-x.zst", "cap-3.zst", "other-0009.zst", "cap-0007.txt"] {
            std::fs::write(folder.path().join(name), "").expect("written");
        }
        let mut found = numbers(&first);
        found.sort_unstable();
        assert_eq!((found, newest(&first)), (vec![0, 2], 2));
    }
}
