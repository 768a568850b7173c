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
/// Edges of the proxy in run.json.
pub(crate) const EDGES_SHOWN: usize = 64;
/// Notes, and reasons for a degraded run, shown in the text report.
pub(crate) const LINES_SHOWN: usize = 20;
/// Findings shown in the text report.
pub(crate) const FINDINGS_SHOWN: usize = 5;
/// Reasons that are joined in the one of the verdict.
pub(crate) const REASONS: usize = 5;
/// Rule ids that get a count of their own; further ones are summed as `(other)`.
pub(crate) const RULES: usize = 1000;
/// Attempts that ended without an answer and are remembered for the join with the proxy's ledger.
pub(crate) const UNANSWERED: usize = 1_000_000;
/// Attempts that are kept one by one to tell why something broke, over all threads: 32 bytes each. Of a larger run a
/// sample of whole sessions.
pub(crate) const EVIDENCE: usize = 1 << 19;
/// Bodies of errors that a thread reads at once for their fingerprints.
pub(crate) const EVIDENCE_BODIES: usize = 1024;
/// How often the origin's metrics are asked for, at first.
pub(crate) const ORIGIN_METRICS_EVERY: Duration = Duration::from_millis(500);
/// Values of its memory that are kept.
pub(crate) const ORIGIN_METRICS: usize = 512;
/// Entries of `series`; a longer run halves its resolution.
pub(crate) const SERIES: usize = 1800;
/// Seconds for which a request that was due then may still be counted as due; older ones count with the last.
pub(crate) const DUE_AGES: usize = 64;
/// Steps of the heat map, and its rows of latency.
pub(crate) const HEAT_STEPS: usize = 240;
pub(crate) const HEAT_BOUNDS: usize = 48;
/// Steps of a session that the funnel tells apart; the last stands for all further ones.
pub(crate) const FUNNEL_STEPS: usize = 64;
/// Most runs of one plan (`--repeat`): the reports of all are held.
pub(crate) const REPEATS: u32 = 100;
/// Runs that a history keeps; the oldest makes room.
pub(crate) const HISTORY: usize = 1000;
/// Largest entry of a history that is read.
pub(crate) const HISTORY_BYTES: u64 = 256 * 1024;
/// Windows of the proxy's rules in a report, and changes of its rules that are remembered on the way there.
pub(crate) const FAULT_WINDOWS: usize = 1000;
/// Largest rule file that goes into a report.
pub(crate) const RULES_TEXT_BYTES: usize = 256 * 1024;
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
pub(crate) const PLAN_MEMORY_BYTES: usize = 64 * 1024 * 1024;
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
/// Streams on one HTTP/2 connection by default: what most servers allow, and what h2load users type.
pub(crate) const STREAMS: u32 = 100;
/// Tries in a row to open a dropped WebSocket again.
pub(crate) const RECONNECTS: u32 = 1000;
/// Fastest link that `--misbehave` calls slow.
pub(crate) const LINK_BYTES_PER_S: u64 = 10_000_000_000;
/// Longest message that a client sends on a stream; recorded sizes beyond that are cut (servers accept 4 to 16 MiB).
pub(crate) const MESSAGE_BYTES: usize = 16 * 1024 * 1024;
/// How long the peer of a WebSocket may take to answer our close, in nanoseconds: 5 s.
pub(crate) const CLOSE_WAIT_NS: u64 = 5_000_000_000;
/// How long a client waits with its next message when the server has not taken the last one, in nanoseconds: 5 ms.
pub(crate) const SPEECH_PAUSE_NS: u64 = 5_000_000;
/// A gap between messages longer than so many median gaps of the recording is a stall...
pub(crate) const STALL_GAPS: u64 = 10;
/// ...unless it is shorter than this.
pub(crate) const STALL_FLOOR: Duration = Duration::from_secs(1);
/// Largest row of a users file, a JSON object or a CSV row with its line breaks.
pub(crate) const USERS_ROW_BYTES: usize = 1024 * 1024;
/// Largest cell of a users file: no server takes a longer header field.
pub(crate) const USERS_CELL_BYTES: usize = 64 * 1024;
/// Most columns of a users file.
pub(crate) const USERS_COLUMNS: usize = 1024;
/// Largest sum of all cells of a users file: they are held in memory.
pub(crate) const USERS_BYTES: u64 = 8 * 1024 * 1024 * 1024;
/// How much of a users file is looked at to tell its kind and its delimiter.
pub(crate) const USERS_HEAD_BYTES: usize = 64 * 1024;
/// Most source addresses to connect from (`--bind`): a /16 of IPv4.
pub(crate) const SOURCES: u128 = 65_536;
/// How long Linux keeps a port after a connection that we closed (TCP_TIMEWAIT_LEN).
pub(crate) const TIME_WAIT: Duration = Duration::from_secs(60);
/// Memory that the plan may take of what is available before it is called tight, in percent.
pub(crate) const MEMORY_TIGHT_PERCENT: u64 = 80;
/// How far ahead `--start-at` may be: more is a mistyped date.
pub(crate) const START_AT_AHEAD: Duration = Duration::from_secs(24 * 3600);
/// A time of day that passed less than this ago was meant for today, not for tomorrow.
pub(crate) const START_AT_MISSED: Duration = Duration::from_secs(3600);
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
pub(crate) const SHARDS: u32 = 65_536;
/// How long a thread at full speed waits before it looks for answers, where it has many requests in flight.
pub(crate) const NAP: Duration = Duration::from_micros(50);
/// The same over HTTP/2, whose answers come in one stream of bytes and are read by the dozen.
pub(crate) const NAP_HTTP2: Duration = Duration::from_micros(200);
/// From this many requests in flight on one thread a nap costs nobody anything.
pub(crate) const CROWD: usize = 32;
/// The stretch of time for which a slow link takes bytes at once.
pub(crate) const LINK_QUANTUM: Duration = Duration::from_millis(50);
/// Sessions that are replayed alone before an amplified run.
pub(crate) const REHEARSAL_SESSIONS: u32 = 10;
/// How long that may take.
pub(crate) const REHEARSAL: Duration = Duration::from_secs(10);
/// Connections that it uses at most.
pub(crate) const REHEARSAL_CONNECTIONS: usize = 16;
/// Parts of one profile, and stages of one run: far more than anybody types.
pub(crate) const PROFILE_PARTS: usize = 1000;
/// Boosts of one run: each may split the curve of the load in two.
pub(crate) const BOOSTS: usize = 16;
/// Clones of one window that are placed in memory at once; a larger window is halved first.
pub(crate) const LEAF_CLONES: u32 = 4096;
/// Slots of time in an estimate of a plan: a day in seconds, a longer span has wider ones.
pub(crate) const ESTIMATE_SLOTS: usize = 100_000;
/// Windows of a plan that an estimate looks at one by one (about a tenth of a second); beyond, it adds up passes.
pub(crate) const ESTIMATE_WINDOWS: u64 = 1_000_000;
/// Arrivals and lengths of sessions that the comparison of shapes looks at.
pub(crate) const SHAPE_SAMPLE: usize = 65_536;
/// Bins of 10 ms in which requests are counted for the comparison of shapes: the first eleven minutes.
pub(crate) const SHAPE_BINS: usize = 65_536;
/// Bytes of an answer that a server may send ahead on one stream: a page without a pause, not a download.
pub(crate) const H2_STREAM_WINDOW: u32 = 256 * 1024;
/// What a peer may index of the header fields it sends on one HTTP/2 connection: the standard's default.
pub(crate) const H2_TABLE_BYTES: usize = 4096;
/// Answers that one HTTP/2 connection may send ahead in all; as good as no limit, since bodies are only counted.
pub(crate) const H2_CONNECTION_WINDOW: u32 = 1 << 30;
/// DATA is written while less than this waits for the socket.
pub(crate) const H2_OUT_BYTES: usize = 256 * 1024;
/// Largest DATA frame that we send, however large the peer allows: other streams take turns.
pub(crate) const H2_FRAME_BYTES: usize = 64 * 1024;
/// CONTINUATION frames of one header block; 16 KiB each would be 4 for the largest block.
pub(crate) const H2_CONTINUATIONS: u32 = 64;
/// Frames in a row that bring nothing (empty DATA, interim answers, unknown types), before it is a flood.
pub(crate) const H2_IDLE_FRAMES: u32 = 10_000;
/// Answers to PING and SETTINGS that wait for a peer which does not read them.
pub(crate) const H2_UNREAD_ANSWERS: u32 = 10_000;
/// Streams that we reset and whose late frames are not held against the peer.
pub(crate) const H2_FORGIVEN: usize = 256;
/// Streams that are opened before the peer has told its limit: the least that the standard recommends.
pub(crate) const H2_STREAMS_AT_FIRST: u32 = 100;
/// Requests of a capture that are looked at to see what was spoken.
pub(crate) const PROTOCOL_SAMPLE: usize = 1000;
/// Different requests that are remembered while a capture is compiled, so that equal ones are held once.
pub(crate) const SHARED_STEPS: usize = 200_000;
/// Windows of one finite plan, which are counted before it starts: some seconds.
pub(crate) const WINDOWS: f64 = 1e9;
/// How often a request is sent again because its stream was refused: servers end connections that way in good order.
pub(crate) const REFUSED_AGAIN: u32 = 8;
/// Exchanges of each capture that are looked at for links from answers to later requests: about a second's work.
pub(crate) const LINK_EXCHANGES: usize = 200_000;
/// Links of one plan.
pub(crate) const LINKS: usize = 4096;
/// Values of answers that one session carries to later requests.
pub(crate) const LINK_VALUES: usize = 4096;
/// Longest value that a clone carries from an answer to a request: servers take 8 KiB of a header field.
pub(crate) const CARRIED_VALUE: usize = 8 * 1024;
/// What one clone carries at once.
pub(crate) const CARRIED_BYTES: usize = 64 * 1024;
/// Largest answer that values are taken from; of others only the head. Held while the request is in flight, and only
/// where a link wants it.
pub(crate) const LINK_BODY_BYTES: usize = 1024 * 1024;
/// Recorded exchanges whose answers are compared with the recorded ones, over all routes and of one.
pub(crate) const COMPARED: usize = 8192;
pub(crate) const COMPARED_OF_ROUTE: usize = 32;
/// Answers that are kept of all these, 16 bytes each, over all threads.
pub(crate) const COMPARED_ANSWERS: usize = 1 << 19;
/// Bodies of answers whose shape a thread looks at in a second, of each route; and at first, so that a short run has some.
pub(crate) const SHAPES_A_SECOND: u64 = 20;
pub(crate) const SHAPES_AT_FIRST: u64 = 400;
/// Bytes of them in a second, of all routes, and at first: some milliseconds' work.
pub(crate) const SHAPE_BYTES_A_SECOND: u64 = 512 * 1024;
pub(crate) const SHAPE_BYTES_AT_FIRST: u64 = 2 * 1024 * 1024;
/// Bodies that a thread holds for that at once.
pub(crate) const SHAPES_AT_ONCE: usize = 64;
/// Largest body that is looked at, as it comes, and with its coding undone.
pub(crate) const SHAPE_BODY_BYTES: usize = 64 * 1024;
pub(crate) const SHAPE_PLAIN_BYTES: usize = 256 * 1024;
/// Paths in one shape.
pub(crate) const SHAPE_PATHS: usize = 512;
/// Different shapes that are told apart, and what their texts take.
pub(crate) const SHAPES: usize = 4096;
pub(crate) const SHAPES_BYTES: usize = 4 * 1024 * 1024;
/// Recorded answers whose shape is looked at while a capture is compiled: about a second's work.
pub(crate) const SHAPED_ANSWERS: u64 = 200_000;
