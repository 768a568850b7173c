//! How moments and spans are written down: whole microseconds.

use std::time::{Duration, SystemTime};

/// A span in microseconds; one too long to be written is the longest that can be.
pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// A moment in microseconds since 1970-01-01 UTC; 0 before that.
pub(crate) fn since_epoch(moment: SystemTime) -> u64 {
    micros(moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// Now, by the wall clock.
pub(crate) fn wall_us() -> u64 {
    since_epoch(SystemTime::now())
}
