//! Stub.
use super::{ImportOptions, Numbering, Sink, Tally};
use crate::error::Error;
use std::io::BufRead;
pub(super) fn is_pcap(_: &[u8]) -> bool {
    false
}
/// Stub.
pub fn read(_: impl BufRead, _: &ImportOptions, _: &mut Numbering, _: Sink<'_>) -> Result<Tally, Error> {
    Ok(Tally::default())
}
