//! What a replay is asked to do, valid in its parts; `safety` and `plan` judge how the parts go together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use telemetry::otlp::Collector;

pub use crate::bind::Cidr;
pub use crate::guard::AbortOn;
pub use crate::late::LatePolicy;
use crate::limits;
pub use crate::links::Choice as LinkChoice;
pub use crate::misbehave::Misbehaviour;
pub use crate::plan::{Pattern, Substitution};
pub use crate::population::{Arrivals, Boost, Profile, Shard, Stage};
pub use crate::reconnect::Reconnect;
pub use crate::retry::Retry;
use crate::stop::Stop;
use crate::threshold::Threshold;

/// Everything that a replay needs to know. [`Options::new`] gives the defaults of the command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// The captures; at least one. The first names the target where nobody else does.
    pub captures: Vec<Source>,
    /// URL that replaces scheme, host and port; `None`: the listener that recorded, if it is loopback.
    pub target: Option<String>,
    /// URL of the proxy's admin listener; `None`: what the capture names, if it answers.
    pub proxy: Option<String>,
    /// What opens that listener, where it was named here: no other is sent it.
    pub proxy_token: Option<Secret>,
    /// How many sessions for each recorded one, where a capture does not say it by itself; above 0.
    pub amplify: f64,
    /// Holds this many sessions alive instead.
    pub sessions: Option<u64>,
    /// Starts so many sessions that this many requests a second are sent on average, instead.
    pub rate: Option<f64>,
    /// The amplification as a curve over the run, instead.
    pub profile: Option<Profile>,
    /// The number of sessions alive as a curve over the run, instead.
    pub stages: Vec<Stage>,
    /// Begins anew when the recording is over.
    pub looped: bool,
    /// How the starts of sessions follow one another.
    pub arrivals: Arrivals,
    /// Routes whose visitors come more often.
    pub boosts: Vec<Boost>,
    /// Longest idle time within a session.
    pub max_gap: Option<Duration>,
    /// Requests due before this count, but are not measured.
    pub warmup: Option<Duration>,
    /// What becomes of a step whose predecessor answered late.
    pub late_policy: LatePolicy,
    /// Only these routes or sessions.
    pub only: Vec<Pattern>,
    /// None of these.
    pub exclude: Vec<Pattern>,
    /// Only what this edge recorded, `*` for all; `None`: the first edge of each proxy.
    pub edge: Option<String>,
    /// How fast time passes.
    pub speed: Speed,
    /// Picks the speed so that the plan fits in this time; never slower than recorded.
    pub within: Option<Duration>,
    /// How sessions share connections.
    pub connections: Connections,
    /// The version of HTTP.
    pub http: Http,
    /// Most streams on one HTTP/2 connection.
    pub streams: u32,
    /// Addresses to open connections from.
    pub bind: Option<Cidr>,
    /// What a client does when an attempt fails.
    pub retry: Retry,
    /// Users who behave in ways of their own.
    pub misbehaviours: Vec<Misbehaviour>,
    /// What a client does when its WebSocket is dropped.
    pub reconnect: Reconnect,
    /// Identities, a row for each session.
    pub users: Option<PathBuf>,
    /// More sessions than rows: rows are used again.
    pub users_wrap: bool,
    /// What is replaced in requests.
    pub substitutions: Vec<Substitution>,
    /// What goes from answers to later requests of the same clone.
    pub links: LinkChoice,
    /// Replays ten sessions alone before an amplified run.
    pub rehearsal: bool,
    /// Most connections at once, over all threads; `None`: what the plan needs and the system allows.
    pub max_connections: Option<usize>,
    /// Most requests a second, over all threads; `None`: no limit.
    pub max_rate: Option<f64>,
    /// What is not due by then is not sent.
    pub duration: Option<Duration>,
    /// How long an answer may take (on top of what a recorded stream took).
    pub timeout: Duration,
    /// Engine threads; `None`: one per core.
    pub threads: Option<usize>,
    /// What must hold at the end.
    pub thresholds: Vec<Threshold>,
    /// An earlier report that thresholds compare with.
    pub baseline: Option<PathBuf>,
    /// What stops the run.
    pub abort_on: Vec<AbortOn>,
    /// Which part of the plan is ours.
    pub shard: Shard,
    /// When the run begins; `None`: now.
    pub start_at: Option<SystemTime>,
    /// Decides everything that chance decides.
    pub seed: String,
    /// Hosts beyond loopback that may be spoken to.
    pub allow_targets: Vec<String>,
    /// URL of the origin's own count of requests.
    pub origin_counter: Option<String>,
    /// URL of the origin's own metrics, in Prometheus' text format.
    pub origin_metrics: Option<String>,
    /// Where each failure is written with what explains it, as JSON Lines.
    pub failures: Option<PathBuf>,
    /// Sends the recorded host as the Host header.
    pub keep_host: bool,
    /// Takes any certificate.
    pub insecure: bool,
    /// Added to each request, in place of recorded fields of that name.
    pub headers: Vec<(String, String)>,
    /// The command line, for the record.
    pub argv: Vec<String>,
    /// Where the run's metrics can be scraped while it goes on; port 0 is a free one.
    pub metrics: Option<SocketAddr>,
    /// The collector that is sent the run's metrics every five seconds and at its end, and spans.
    pub otlp: Option<Collector>,
    /// The share of operations of which spans are sent there, 0 to 1.
    pub otlp_sample: f64,
    /// Stops the run from outside.
    pub stop: Stop,
}

/// How fast time passes in a replay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// This many times as fast as recorded.
    Times(f64),
    /// A step is due when the one before it is answered, a session when a connection is free.
    Max,
}

/// How sessions share connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Connections {
    /// As in the recording; a pool where the capture does not know.
    Recorded,
    /// One for each session.
    PerSession,
    /// One pool for all.
    Shared,
}

/// A capture of a replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Where it lies.
    pub path: PathBuf,
    /// Its own amplification.
    pub amplify: Option<f64>,
}

/// The version of HTTP that is spoken to the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Http {
    /// What most requests of the recording were sent with.
    #[default]
    Recorded,
    /// HTTP/1.1.
    One,
    /// HTTP/2: over TLS by ALPN, in the clear with prior knowledge.
    Two,
}

impl Source {
    /// Name of its cohort: the file's name without its ending.
    pub fn name(&self) -> String {
        let stem = self.path.file_stem().unwrap_or(self.path.as_os_str());
        stem.to_string_lossy().into_owned()
    }
}

/// A word that no log and no report may hold.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret as it was typed or read from a file; white space around it does not count.
    ///
    /// # Errors
    /// It is empty, or not of visible ASCII characters.
    pub fn new(text: &str) -> Result<Secret, String> {
        let text = text.trim();
        let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_word
            .then(|| Secret(text.to_owned()))
            .ok_or_else(|| "a token is one word of visible ASCII characters".to_owned())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Options {
    /// A replay of `capture` with the defaults: 1x, recorded speed, recorded connections, 30 s patience.
    pub fn new(capture: impl Into<PathBuf>) -> Options {
        Options {
            captures: vec![Source { path: capture.into(), amplify: None }],
            target: None,
            proxy: None,
            proxy_token: None,
            amplify: 1.0,
            sessions: None,
            rate: None,
            profile: None,
            stages: Vec::new(),
            looped: false,
            arrivals: Arrivals::Recorded,
            boosts: Vec::new(),
            max_gap: None,
            warmup: None,
            late_policy: LatePolicy::CatchUp,
            only: Vec::new(),
            exclude: Vec::new(),
            edge: None,
            speed: Speed::Times(1.0),
            within: None,
            connections: Connections::Recorded,
            http: Http::Recorded,
            streams: limits::STREAMS,
            bind: None,
            retry: Retry::None,
            misbehaviours: Vec::new(),
            reconnect: Reconnect::default(),
            users: None,
            users_wrap: false,
            substitutions: Vec::new(),
            links: LinkChoice::Auto,
            rehearsal: true,
            max_connections: None,
            max_rate: None,
            duration: None,
            timeout: Duration::from_secs(30),
            threads: None,
            thresholds: Vec::new(),
            baseline: None,
            abort_on: Vec::new(),
            shard: Shard::WHOLE,
            start_at: None,
            seed: "1".to_owned(),
            allow_targets: Vec::new(),
            origin_counter: None,
            origin_metrics: None,
            failures: None,
            keep_host: false,
            insecure: false,
            headers: Vec::new(),
            argv: Vec::new(),
            metrics: None,
            otlp: None,
            otlp_sample: 0.01,
            stop: Stop::new(),
        }
    }

    /// The captures, for people.
    pub(crate) fn capture_names(&self) -> String {
        let names: Vec<String> =
            self.captures.iter().map(|source| source.path.display().to_string()).collect();
        names.join(", ")
    }

    /// The seed as a number: itself when it is one, else a hash of the text.
    pub(crate) fn seed_number(&self) -> u64 {
        self.seed.parse().unwrap_or_else(|_| xxhash_rust::xxh3::xxh3_64(self.seed.as_bytes()))
    }
}
