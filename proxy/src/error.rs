//! What keeps a proxy from starting, or from stopping cleanly.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// An error of the proxy as a whole; what befalls a single exchange is an outcome, not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration contradicts itself or names what is not there. Says what to type instead.
    #[error("{0}")]
    Config(String),
    /// The rule file has mistakes, or cannot be read.
    #[error("{0}")]
    Rules(String),
    /// A listener could not be opened.
    #[error("cannot listen on {addr}: {source}{}", next(source))]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The capture could not be opened.
    #[error("cannot record: {0}")]
    Capture(#[from] captures::error::Error),
    /// A file that the proxy writes could not be opened.
    #[error("cannot write {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A thread or a runtime could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// What to do about a listener that cannot be had.
fn next(why: &io::Error) -> &'static str {
    match why.kind() {
        io::ErrorKind::AddrInUse => "; stop who listens there, or take another port (0 picks a free one)",
        io::ErrorKind::PermissionDenied => "; take a port from 1024 on",
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
        _ => "",
    }
}
