//! Whether a capture is what the demo says it is: whole, complete, and free of secrets.

use std::fs::File;
use std::path::Path;

use super::Error;
use super::crowd::Takings;
use super::secrets::Secrets;

/// What was found in a sound capture.
#[derive(Debug)]
pub(super) struct Evidence {
    pub(super) exchanges: u64,
    pub(super) sessions: u64,
    pub(super) blocks: u64,
    /// Size of the file, in bytes.
    pub(super) bytes: u64,
    /// How many secrets were looked for.
    pub(super) secrets: usize,
    /// Bytes that they were looked for in: the file, and all that it decompresses to.
    pub(super) searched: u64,
}

/// Verifies the capture of what the crowd did.
///
/// # Errors
/// When anything about it is not as it should be.
pub(super) fn examine(capture: &Path, takings: Takings) -> Result<Evidence, Error> {
    let found = captures::verify::verify(capture)?;
    if !found.is_clean() {
        let words = format!("{:?} {:?}, closed: {}", found.damage, found.contradictions, found.closed);
        return Err(Error::Unsound(words));
    }
    if found.exchanges != takings.requests || !found.shed.is_empty() {
        return Err(Error::Unsound(format!(
            "{} requests were answered, but {} recorded and {:?} let go",
            takings.requests, found.exchanges, found.shed
        )));
    }
    let secrets = Secrets::new(takings.secrets);
    let searched = search(capture, &secrets)?;
    Ok(Evidence {
        exchanges: found.exchanges,
        sessions: found.sessions,
        blocks: found.blocks,
        bytes: found.bytes,
        secrets: secrets.len(),
        searched,
    })
}

fn search(capture: &Path, secrets: &Secrets) -> Result<u64, Error> {
    let failed = |source| Error::File { path: capture.to_owned(), source };
    let raw = secrets.search(File::open(capture).map_err(failed)?).map_err(failed)?;
    let decoded = zstd::Decoder::new(File::open(capture).map_err(failed)?).map_err(failed)?;
    let decoded = secrets.search(decoded).map_err(failed)?;
    let found = raw.found.union(&decoded.found).count();
    if found != 0 {
        return Err(Error::Unsound(format!(
            "{found} of {} secrets of the shoppers are in it",
            secrets.len()
        )));
    }
    Ok(raw.bytes + decoded.bytes)
}
