//! Faults that change the pace or the bytes of what passes. Of several rules all apply.

use std::time::Duration;

use super::{End, Point};
use crate::select::Rate;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the upstream.
    Request,
    /// From the upstream to the client.
    Response,
}

/// A bounded pace, per exchange (on a TCP edge: per connection). No burst above a sixteenth of a second's budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttle {
    /// Bytes a second towards the client, 1 to 10^12.
    pub response: Option<u64>,
    /// Bytes a second towards the upstream, 1 to 10^12.
    pub request: Option<u64>,
    /// Bytes leave in pieces of at most this size (slow drip); `None`: a sixteenth of a second's budget, at least 1.
    pub piece: Option<u64>,
    /// Pause between two pieces beside what the pace asks for (Toxiproxy's slicer); zero unless said.
    pub gap: Duration,
}

/// The answer stops once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stall {
    /// Where; never [`Point::BeforeHeaders`].
    pub at: Point,
    /// How long; `None`: until the client leaves (or the rules are lifted).
    pub hold: Option<Duration>,
    /// What comes then; `None`: the answer goes on.
    pub end: Option<End>,
}

/// Packet loss as the receiver of a TCP stream sees it: for each lost segment everything stops for a retransmission
/// timeout, which doubles while the repeat is lost too (RFC 6298).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// Share of segments that are lost.
    pub rate: Rate,
    /// First retransmission timeout; 200 ms unless said, the least of Linux.
    pub rto: Duration,
    /// Longest timeout; 60 s unless said.
    pub max_rto: Duration,
    /// Payload bytes of a segment; 1460 unless said.
    pub segment: u64,
    /// Which way.
    pub direction: Direction,
}

/// Body bytes change; headers (a checksum, a length) stay as the origin sent them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt {
    /// What happens to a byte.
    pub kind: CorruptKind,
    /// One byte in each full or begun stretch of this many, at a place drawn by hash.
    pub per: u64,
    /// Which way.
    pub direction: Direction,
}

/// What happens to a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorruptKind {
    /// One bit of it is flipped.
    Bitflip,
    /// It becomes zero (and 1 where it was zero).
    Zero,
}
