//! A link of a given speed: each byte is through once the link has carried it.

use std::time::Duration;

/// A token bucket that starts empty and holds a sixteenth of a second's budget at most.
///
/// Bytes leave in pieces of half of that, so that a wake-up that comes late by less than the other half costs no pace:
/// the next piece is due as if it had been on time.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: u64,
    piece: u64,
    gap: Duration,
    /// Since when the bucket fills; `None` before the first byte.
    since: Option<Duration>,
    /// What rounding `since` to nanoseconds left over, in bytes * 10^9.
    rest: u128,
}

impl Pace {
    pub(super) fn new(bytes_per_second: u64, piece: Option<u64>, gap: Duration) -> Self {
        let bytes_per_second = bytes_per_second.max(1);
        let smooth = (bytes_per_second / PIECES_PER_SECOND).max(1);
        let piece = piece.map_or(smooth, |piece| piece.clamp(1, smooth));
        Self { bytes_per_second, piece, gap, since: None, rest: 0 }
    }

    /// The part of `room` bytes that goes at once.
    pub(super) fn piece(&self, room: u64) -> u64 {
        room.min(self.piece)
    }

    /// Until when a piece of `room` bytes has to wait.
    pub(super) fn hold(&mut self, now: Duration, room: u64) -> Option<Duration> {
        if room == 0 {
            return None;
        }
        // a full bucket does not fill further
        let full = BUCKET.max(self.time_of(1).0);
        let since = self.since.unwrap_or(now).max(now.saturating_sub(full));
        self.since = Some(since);
        let due = since.saturating_add(self.time_of(room).0);
        (now < due).then_some(due)
    }

    pub(super) fn pass(&mut self, bytes: u64) {
        let (time, rest) = self.time_of(bytes);
        self.rest = rest;
        self.since = self.since.map(|since| since.saturating_add(time).saturating_add(self.gap));
    }

    /// How long the link carries so many bytes, with what rounding down left over.
    fn time_of(&self, bytes: u64) -> (Duration, u128) {
        let rate = u128::from(self.bytes_per_second);
        let nanos = u128::from(bytes) * 1_000_000_000 + self.rest;
        (Duration::from_nanos(u64::try_from(nanos / rate).unwrap_or(u64::MAX)), nanos % rate)
    }
}

/// No burst above this much of the budget.
const BUCKET: Duration = Duration::from_micros(62_500);
const PIECES_PER_SECOND: u64 = 32;
