//! A temporary file mapped into memory: what was written reads as bytes, and the kernel may let them go at any time.
//!
//! This module is unsafe because a mapping is only sound while nobody changes or cuts its file. Nobody can: the file
//! never had a name, or lost it before the first byte was written, it is written once and never again after it is
//! mapped, and no other code gets hold of it.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Deref;

use memmap2::Mmap;

/// Bytes of a file without a name, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Mapped {
    map: Mmap,
}

impl Mapped {
    /// Maps a file that [`unnamed_file`] made and that has been written to the end.
    pub(super) fn new(file: &File) -> io::Result<Mapped> {
        // SAFETY: the file has no name and is not written again, see the module
        let map = unsafe { Mmap::map(file)? };
        Ok(Mapped { map })
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

/// A file in `$TMPDIR` (or `/tmp`) that nobody else can open, and that is gone with the process.
pub(crate) fn unnamed_file() -> io::Result<File> {
    tempfile::tempfile()
}
