//! Opens an input, compressed or not.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use crate::error::Error;

/// Opens a file for import; gzip (also of several members), zlib and zstd are recognised by their first bytes.
///
/// # Errors
/// When it cannot be opened, or is a directory.
pub fn open(path: &Path) -> Result<Box<dyn BufRead>, Error> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let meta = file.metadata().map_err(Error::io("read", path))?;
    if meta.is_dir() {
        let why = format!("{} is a directory; name the files in it: {}/*", path.display(), path.display());
        return Err(Error::Invalid(why));
    }
    let mut input = BufReader::with_capacity(BUFFER, file);
    let head: [u8; 4] = match input.fill_buf().map_err(Error::io("read", path))?.first_chunk() {
        Some(head) => *head,
        None => return Ok(Box::new(input)),
    };
    let packed = Rc::new(Cell::new(0));
    let input = BufReader::with_capacity(BUFFER, Counted { inner: input, read: Rc::clone(&packed) });
    Ok(match head {
        [0x1f, 0x8b, _, _] => unpacked(flate2::bufread::MultiGzDecoder::new(input), packed),
        [0x28, 0xb5, 0x2f, 0xfd] => unpacked(
            zstd::stream::read::Decoder::with_buffer(input).map_err(Error::io("decompress", path))?,
            packed,
        ),
        // mitmproxy's .zhar
        [0x78, flags, _, _] if (0x7800 | u16::from(flags)).is_multiple_of(31) => {
            unpacked(flate2::bufread::ZlibDecoder::new(input), packed)
        }
        _ => Box::new(input),
    })
}

fn unpacked(reader: impl Read + 'static, packed: Rc<Cell<u64>>) -> Box<dyn BufRead> {
    Box::new(BufReader::with_capacity(BUFFER, Unpacked { inner: reader, packed, given: 0 }))
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    read: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        self.read.set(self.read.get() + n as u64);
        Ok(n)
    }
}

/// Ends a stream that unfolds beyond what traffic does: a few kilobytes made to keep an import busy for a day.
struct Unpacked<R> {
    inner: R,
    packed: Rc<Cell<u64>>,
    given: u64,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        self.given += n as u64;
        if FREE < self.given && self.packed.get().saturating_mul(RATIO) < self.given {
            return Err(io::Error::other(format!(
                "a decompression bomb: {} bytes unfold to {} and more; unpack the file yourself if you trust it",
                self.packed.get(),
                self.given
            )));
        }
        Ok(n)
    }
}

const BUFFER: usize = 256 << 10;
/// So much may unfold from anything.
const FREE: u64 = 1 << 30;
/// Logs compress 10 to 50 times; gzip can do no more than 1,032 times.
const RATIO: u64 = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_ended_and_a_large_input_is_not() {
        let read = |packed: u64, given: u64| {
            let inner = io::repeat(b'x').take(10);
            let mut reader = Unpacked { inner, packed: Rc::new(Cell::new(packed)), given };
            reader.read(&mut [0; 10]).map_err(|err| err.to_string())
        };
        assert_eq!(read(1000, FREE - 10), Ok(10));
        assert!(read(1000, FREE).unwrap_err().contains("decompression bomb"));
        assert_eq!(read(FREE / 50, FREE), Ok(10));
    }
}
