//! Bytes that are written once, from front to end, and then only read: in memory, or in a mapped file.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use crate::plan::store::mapped::{Mapped, unnamed_file};

/// What was written, for reading.
#[derive(Debug)]
pub(crate) enum Area {
    Memory(Vec<u8>),
    Mapped(Mapped),
}

/// What is being written.
#[derive(Debug)]
pub(crate) enum AreaWriter {
    Memory(Vec<u8>),
    File { file: BufWriter<File>, len: u64 },
}

impl Area {
    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Area::Memory(bytes) => bytes,
            Area::Mapped(mapped) => mapped,
        }
    }

    /// Bytes of memory, and bytes of a mapped file.
    pub(crate) fn footprint(&self) -> (u64, u64) {
        match self {
            Area::Memory(bytes) => (bytes.capacity() as u64, 0),
            Area::Mapped(mapped) => (0, mapped.len() as u64),
        }
    }
}

impl Default for AreaWriter {
    /// In memory.
    fn default() -> AreaWriter {
        AreaWriter::Memory(Vec::new())
    }
}

impl AreaWriter {
    /// Bytes written so far.
    pub(crate) fn len(&self) -> u64 {
        match self {
            AreaWriter::Memory(bytes) => bytes.len() as u64,
            AreaWriter::File { len, .. } => *len,
        }
    }

    /// Appends; fails only where the file does, such as on a full disk.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            AreaWriter::Memory(all) => all.extend_from_slice(bytes),
            AreaWriter::File { file, len } => {
                file.write_all(bytes)?;
                *len += bytes.len() as u64;
            }
        }
        Ok(())
    }

    /// Goes on in a file, what was written so far with it.
    pub(crate) fn move_to_file(&mut self) -> io::Result<()> {
        if let AreaWriter::Memory(bytes) = self {
            let len = bytes.len() as u64;
            let mut file = BufWriter::with_capacity(FILE_BUFFER, unnamed_file()?);
            file.write_all(bytes)?;
            *self = AreaWriter::File { file, len };
        }
        Ok(())
    }

    /// Ends the writing. An empty file cannot be mapped, so nothing at all is nothing in memory.
    pub(crate) fn finish(self) -> io::Result<Area> {
        match self {
            AreaWriter::Memory(mut bytes) => {
                bytes.shrink_to_fit();
                Ok(Area::Memory(bytes))
            }
            AreaWriter::File { len: 0, .. } => Ok(Area::Memory(Vec::new())),
            AreaWriter::File { file, .. } => {
                let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                Ok(Area::Mapped(Mapped::new(&file)?))
            }
        }
    }
}

const FILE_BUFFER: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reads_as_memory_does() {
        let write = |to_file: &[usize]| {
            let mut writer = AreaWriter::default();
            for piece in 0..4_usize {
                if to_file.contains(&piece) {
                    writer.move_to_file().unwrap();
                }
                writer.write(&[piece as u8; 3]).unwrap();
            }
            assert_eq!(writer.len(), 12);
            writer.finish().unwrap()
        };
        let plain = write(&[]);
        assert_eq!(plain.footprint(), (12, 0));
        for to_file in [&[0][..], &[2], &[0, 3]] {
            let mapped = write(to_file);
            assert_eq!((mapped.bytes(), mapped.footprint()), (plain.bytes(), (0, 12)));
        }
    }

    #[test]
    fn nothing_in_a_file_is_nothing() {
        let mut writer = AreaWriter::default();
        writer.move_to_file().unwrap();
        assert!(writer.finish().unwrap().bytes().is_empty());
    }
}
