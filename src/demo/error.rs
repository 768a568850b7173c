//! What keeps a demo from reaching its end.

use std::path::PathBuf;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The shop did not open.
    #[error("the shop does not open: {0}")]
    Shop(#[from] crate::shop::Error),
    /// The proxy did not start.
    #[error("the proxy does not start: {0}")]
    Proxy(#[from] proxy::Error),
    /// The capture cannot be read.
    #[error("the capture cannot be read: {0}")]
    Capture(#[from] captures::error::Error),
    /// The replay did not take place.
    #[error("the replay did not start: {0}")]
    Replay(#[from] replayer::Error),
    /// A file or folder of the demo cannot be written or read.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The folder to keep the files in is not empty.
    #[error("{0} is not empty; name a folder that is new, so that nothing is overwritten")]
    NotEmpty(PathBuf),
    /// A runtime or a thread cannot be had.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
    /// The file given is no capture.
    #[error(
        "{0} is no capture; make one of a log or a HAR file with `squall captures import {0} -o capture.zst`"
    )]
    NoCapture(PathBuf),
    /// The capture has nothing in it.
    #[error("{0} holds no request that could be replayed")]
    EmptyCapture(PathBuf),
    /// The shoppers were not served as they should have been.
    #[error("the crowd was not served: {0}")]
    Crowd(String),
    /// The capture is not what it must be.
    #[error("the capture is not sound: {0}")]
    Unsound(String),
    /// Ctrl-C before the replay.
    #[error("interrupted before the replay; nothing was judged")]
    Interrupted,
}

impl Error {
    /// What the program exits with (DESIGN.md, section 5).
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Error::Replay(error) => error.exit_code(),
            Error::Interrupted => 105,
            Error::Crowd(_) | Error::Unsound(_) => 113,
            _ => 104,
        }
    }
}
