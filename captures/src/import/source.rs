//! Opens an input, compressed or not.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::error::Error;

/// Opens a file for import; gzip (also of several members) and zstd are recognised by their first bytes.
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
    Ok(match head {
        [0x1f, 0x8b, _, _] => buffered(flate2::bufread::MultiGzDecoder::new(input)),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            buffered(zstd::stream::read::Decoder::with_buffer(input).map_err(Error::io("decompress", path))?)
        }
        _ => Box::new(input),
    })
}

fn buffered(reader: impl Read + 'static) -> Box<dyn BufRead> {
    Box::new(BufReader::with_capacity(BUFFER, reader))
}

const BUFFER: usize = 256 << 10;
