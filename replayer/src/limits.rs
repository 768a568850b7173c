//! Every bound of this crate, in one place.

use std::time::Duration;

/// Largest head of an answer that is read; servers allow 8 to 64 KB for requests.
pub(crate) const HEAD_BYTES: usize = 64 * 1024;
/// Most header fields in one answer.
pub(crate) const HEAD_FIELDS: usize = 128;
/// Longest chunk-size line and longest trailer section.
pub(crate) const CHUNK_LINE_BYTES: usize = 16 * 1024;
/// One read from a socket, and the block in which bodies are drained.
pub(crate) const READ_BYTES: usize = 64 * 1024;
/// Cookies that one clone keeps (browsers keep about 180 a site).
pub(crate) const JAR_COOKIES: usize = 64;
/// Longest name plus value of a cookie (browsers refuse more than 4,096).
pub(crate) const COOKIE_BYTES: usize = 4096;
/// Routes that get figures of their own; further ones are summed as `(other)`.
pub(crate) const ROUTES: usize = 256;
/// Routes shown in the text report.
pub(crate) const ROUTES_SHOWN: usize = 20;
/// Rule ids that get a count of their own; further ones are summed as `(other)`.
pub(crate) const RULES: usize = 1000;
/// Attempts that ended without an answer and are remembered for the join with the proxy's ledger.
pub(crate) const UNANSWERED: usize = 1_000_000;
/// Entries of `series`; a longer run halves its resolution.
pub(crate) const SERIES: usize = 3600;
/// How often a thread looks at timeouts and at the wish to stop: half of what a stop may take at most.
pub(crate) const SWEEP: Duration = Duration::from_millis(50);
/// How long requests in flight may still take after Ctrl-C.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);
/// How long the proxy is given to end what is in flight before its books are read.
pub(crate) const BOOKS_WAIT: Duration = Duration::from_secs(5);
/// Patience with one exchange on the admin interface.
pub(crate) const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest JSON that is read from the admin interface.
pub(crate) const ADMIN_JSON_BYTES: usize = 16 * 1024 * 1024;
/// Largest set of seen operations that is read from the admin interface.
pub(crate) const ADMIN_SET_BYTES: usize = 64 * 1024 * 1024;
/// Longest latency that a histogram tells apart: an hour, in microseconds.
pub(crate) const LATENCY_MAX_US: u64 = 3_600_000_000;
/// Largest amplification.
pub(crate) const AMPLIFY_MAX: f64 = 10_000_000.0;
/// Most sessions in one plan: their start times are held in memory, 16 bytes each.
pub(crate) const SESSIONS: u64 = 500_000_000;
/// Decoded bytes of a capture that are held while it is compiled; more goes through temporary files.
pub(crate) const PLAN_MEMORY_BYTES: usize = 256 * 1024 * 1024;
/// Parts that a large capture is divided into by session; each is held whole, so this times the above is compiled
/// in constant memory.
pub(crate) const PLAN_PARTITIONS: usize = 256;
/// What is collected of a part before it is written.
pub(crate) const PLAN_SPILL_BYTES: usize = 64 * 1024;
/// Route names that are counted to find the most frequent; later ones count as `(other)`.
pub(crate) const ROUTE_NAMES: usize = 1_000_000;
/// Events that one turn of a thread's driver releases before it looks at its sockets again.
pub(crate) const RELEASES_A_TURN: usize = 64;
/// Descriptors that are left to the rest of the process.
pub(crate) const SPARE_DESCRIPTORS: usize = 64;
/// Connections by default where the plan does not say how many (pool; full speed).
pub(crate) const POOL_CONNECTIONS: usize = 1000;
/// Connections by default at full speed, where every connection is busy all the time.
pub(crate) const FULL_SPEED_CONNECTIONS: usize = 256;
/// Lateness below this at the 99th percentile never degrades a run.
pub(crate) const LATENESS_FLOOR: Duration = Duration::from_millis(20);
