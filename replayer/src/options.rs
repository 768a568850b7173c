//! What a replay is asked to do, valid in its parts; `safety` and `plan` judge how the parts go together.

use std::path::PathBuf;
use std::time::Duration;

pub use crate::plan::{Pattern, Substitution};
use crate::stop::Stop;
use crate::threshold::Threshold;

/// Everything that a replay needs to know. [`Options::new`] gives the defaults of the command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// The capture.
    pub capture: PathBuf,
    /// URL that replaces scheme, host and port; `None`: the listener that recorded, if it is loopback.
    pub target: Option<String>,
    /// URL of the proxy's admin listener; `None`: what the capture names, if it answers.
    pub proxy: Option<String>,
    /// How many sessions for each recorded one; above 0.
    pub amplify: f64,
    /// How fast time passes.
    pub speed: Speed,
    /// Picks the speed so that the plan fits in this time; never slower than recorded.
    pub within: Option<Duration>,
    /// How sessions share connections.
    pub connections: Connections,
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
    /// Decides everything that chance decides.
    pub seed: String,
    /// Hosts beyond loopback that may be spoken to.
    pub allow_targets: Vec<String>,
    /// URL of the origin's own count of requests.
    pub origin_counter: Option<String>,
    /// Sends the recorded host as the Host header.
    pub keep_host: bool,
    /// Takes any certificate.
    pub insecure: bool,
    /// Added to each request, in place of recorded fields of that name.
    pub headers: Vec<(String, String)>,
    /// The command line, for the record.
    pub argv: Vec<String>,
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
    /// Each session has its own: one for all its requests over HTTP/2, as many as it needs at once otherwise.
    PerSession,
    /// One pool for all.
    Shared,
}

impl Options {
    /// A replay of `capture` with the defaults: 1x, recorded speed, recorded connections, 30 s patience.
    pub fn new(capture: impl Into<PathBuf>) -> Options {
        Options {
            capture: capture.into(),
            target: None,
            proxy: None,
            amplify: 1.0,
            speed: Speed::Times(1.0),
            within: None,
            connections: Connections::Recorded,
            max_connections: None,
            max_rate: None,
            duration: None,
            timeout: Duration::from_secs(30),
            threads: None,
            thresholds: Vec::new(),
            seed: "1".to_owned(),
            allow_targets: Vec::new(),
            origin_counter: None,
            keep_host: false,
            insecure: false,
            headers: Vec::new(),
            argv: Vec::new(),
            stop: Stop::new(),
        }
    }

    /// The seed as a number: itself when it is one, else a hash of the text.
    pub(crate) fn seed_number(&self) -> u64 {
        self.seed.parse().unwrap_or_else(|_| xxhash_rust::xxh3::xxh3_64(self.seed.as_bytes()))
    }
}
