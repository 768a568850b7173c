//! Every bound of this crate, in one place.

use std::time::Duration;

/// Longest rule file read, in bytes: far above any file a person writes, far below what would stall a reload.
pub(crate) const SOURCE_BYTES: usize = 1 << 20;

/// Most rules in one set. Matching is linear; 1,000 rules stay near 10 us a request.
pub(crate) const RULES: usize = 1_000;

/// Most groups, most guards and most hooks in one file, and most members of one group: a rule holds a copy of its group.
pub(crate) const NAMED: usize = 256;

/// Most entries of `protect`: each is asked for every exchange.
pub(crate) const PROTECTED: usize = 1_000;

/// Most branches of `one_of`, statuses of one `on` and outcomes of one storm: each is a search in a row.
pub(crate) const IN_A_ROW: usize = 100;

/// Most findings in one report; the rest is counted, since a wrong file type yields one finding a line.
pub(crate) const FINDINGS: usize = 100;

/// Longest rule id, in characters: ids travel in the `squall-fault` header.
pub(crate) const ID_CHARS: usize = 64;

/// Longest duration a rule may ask for. Longer values are slips of the pen, and it keeps all sums far from overflow.
pub(crate) const LONGEST: Duration = Duration::from_hours(24);

/// Largest body of a made answer, in bytes: it stays in memory for as long as the rule set does.
pub(crate) const BODY_BYTES: usize = 16 << 20;

/// Most copies of one exchange a storm may send.
pub(crate) const STORM_COPIES: i64 = 100;

/// Highest amplification a storm may be capped at.
pub(crate) const STORM_AMPLIFICATION: f64 = 100.0;

/// Highest factor from one wait of a storm's copies to the next.
pub(crate) const BACKOFF_FACTOR: f64 = 10.0;

/// Most steps of a ramp, and most repeats of a window.
pub(crate) const REPEATS: u32 = 1_000_000;

/// Most bytes a second of a throttle: above any network, and far from overflow in nanoseconds.
pub(crate) const BYTES_PER_SECOND: u64 = 1_000_000_000_000;

/// Most copies of one duplicated request.
pub(crate) const DUPLICATE_COPIES: i64 = 100;

/// Longest reason of a WebSocket close, in bytes (RFC 6455 section 5.5).
pub(crate) const CLOSE_REASON_BYTES: usize = 123;

/// Highest weight of one outcome of `one_of`.
pub(crate) const WEIGHT: i64 = 1_000_000;

/// Highest number of tokens in a rate or a burst.
pub(crate) const TOKENS: u64 = 1_000_000_000;

/// Keys that one rate limit keeps buckets for: 65,536 of 48 bytes are about 3 MiB a rule.
pub(crate) const BUCKET_KEYS: usize = 65_536;

/// Longest source line shown in a finding, in characters.
pub(crate) const SHOWN_CHARS: usize = 160;
