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
/// Notes, and reasons for a degraded run, shown in the text report.
pub(crate) const LINES_SHOWN: usize = 20;
/// Reasons that are joined in the one of the verdict.
pub(crate) const REASONS: usize = 5;
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
/// Timers from which on a wheel is worth its 4 MiB; fewer are kept in a heap.
pub(crate) const WHEEL_FROM: usize = 16_384;
/// Longest wait that a backoff may be given.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(3600);
/// Most retries of one operation that a policy may ask for.
pub(crate) const RETRIES: u32 = 1000;
/// Longest Retry-After that is honoured.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// Over how many seconds a retry budget counts.
pub(crate) const RETRY_WINDOW_S: usize = 10;
/// Retries in that window which a budget always allows, or a client with few requests could never retry.
pub(crate) const RETRY_MINIMUM: u64 = 30;
/// Largest run.json that is read back; one of 256 routes and an hour of seconds has about 2 MB.
pub(crate) const RUN_JSON_BYTES: u64 = 256 * 1024 * 1024;
/// Largest histogram of a run.json, unpacked: one of three digits has at most 55,296 counts of up to 9 bytes.
pub(crate) const HISTOGRAM_BYTES: u64 = 512 * 1024;
/// Share of the time of its threads above which a paced run that is late counts as saturated.
pub(crate) const CPU_SHARE: f64 = 0.95;
/// Fewest requests that a guard judges: below it a single failure would be a share.
pub(crate) const GUARD_SAMPLE: u64 = 20;
/// Longest window of a guard, in seconds: each is held in memory with its latencies.
pub(crate) const GUARD_WINDOW_S: u64 = 600;
/// Most shards of a plan whose runs are merged.
pub(crate) const SHARDS: u32 = 1_000_000;
