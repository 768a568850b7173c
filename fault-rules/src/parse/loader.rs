//! How a parser gets at the files that a rule file names.

use std::io;

use crate::delay::RouteLatency;

/// Reads what a rule file names: bodies of answers, and captures whose latencies are to come again.
#[derive(Clone, Copy)]
pub struct Loader<'l> {
    /// The bytes of a `body_file`.
    pub file: &'l dyn Fn(&str) -> io::Result<Vec<u8>>,
    /// How long the recorded exchanges of a capture took, by route.
    pub latencies: &'l dyn Fn(&str) -> io::Result<Vec<RouteLatency>>,
}

impl Loader<'static> {
    /// Refuses every name: for rules that may name no file.
    pub const NOTHING: Self = Self {
        file: &|_| Err(io::Error::other("no file is read for a rule of this kind")),
        latencies: &|_| Err(io::Error::other("no capture is read for a rule of this kind")),
    };
}
