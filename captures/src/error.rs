//! What can go wrong, said so that a person knows what to do next.

use std::io;
use std::path::{Path, PathBuf};

/// Why a capture could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb: `open`, `write to`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A capture is never overwritten.
    #[error("{} exists already; name another file, or remove it first", .0.display())]
    Exists(PathBuf),
    /// The file is something else.
    #[error(
        "{} is not a Squall capture ({found}); to make one from a log or a HAR, type: squall captures import {} -o CAPTURE",
        path.display(), path.display()
    )]
    NotACapture {
        /// The file.
        path: PathBuf,
        /// What it looks like.
        found: String,
    },
    /// Written by a later version.
    #[error("{} has format version {version}, this build reads {}; use a newer squall", path.display(), crate::limits::FORMAT_VERSION)]
    Version {
        /// The file.
        path: PathBuf,
        /// The version it says.
        version: u16,
    },
    /// The head of the capture is damaged, so nothing can safely be added to it.
    #[error("{} cannot be appended to: {why}; type: squall captures repair {}", path.display(), path.display())]
    NeedsRepair {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Another process is writing it.
    #[error("{} is being written by another process; stop that recording first, or record to another file", .0.display())]
    InUse(PathBuf),
    /// An exchange too large to be stored; it was counted as shed.
    #[error(
        "an exchange of {bytes} bytes is above the limit of {} and was shed",
        crate::limits::MAX_EXCHANGE
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A value that cannot be.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// Wraps what the system said with what was being done to which file.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
        let path = path.to_owned();
        move |source| Error::Io { doing, path, source }
    }
}
