//! What keeps a replay from starting or from being judged.

/// Why no replay took place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option, or a pair of them, makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The capture cannot be read or holds nothing to replay.
    #[error("{0}")]
    Capture(String),
    /// The target, the proxy or the counter is not allowed.
    #[error("{0}")]
    Safety(String),
    /// The machine refused something that every run needs (a thread, a timer).
    #[error("cannot start the engine: {0}")]
    System(#[from] std::io::Error),
    /// The temporary files of a large capture cannot be written or read.
    #[error("cannot hold the plan in a temporary file (in $TMPDIR or /tmp): {0}")]
    Disk(std::io::Error),
}

impl Error {
    /// The exit code of a program that ends with this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage(_) | Error::Capture(_) | Error::System(_) | Error::Disk(_) => 104,
            Error::Safety(_) => 112,
        }
    }
}
