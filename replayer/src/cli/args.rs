//! The flags, as typed, and what they come to.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Parser;
use telemetry::otlp::Collector;

use crate::options::{
    AbortOn, Arrivals, Boost, Cidr, Connections, Http, LatePolicy, LinkChoice, Misbehaviour, Options,
    Pattern, Profile, Reconnect, Retry, Secret, Shard, Source, Speed, Stage, Substitution,
};
use crate::threshold::Threshold;
use crate::{Stop, units};

/// Replays a capture, amplified, and says what broke and whose fault it was.
#[derive(Clone, Debug, Parser)]
#[command(name = "replay", version, after_help = EXAMPLES, next_line_help = false)]
pub struct Args {
    /// Captures, each with an amplification of its own if need be: users.zst@100x jobs.zst@1x
    #[arg(required = true, value_name = "CAPTURE[@N]", value_parser = source)]
    pub captures: Vec<Source>,

    /// URL that replaces scheme, host and port [default: the listener that recorded, if it is loopback]
    #[arg(long, value_name = "URL", help_heading = "Where to")]
    pub target: Option<String>,
    /// Admin URL of the squall proxy in front of the target [default: what the capture names]
    #[arg(long, value_name = "URL", help_heading = "Where to")]
    pub proxy: Option<String>,
    /// The token of that proxy's admin API, in this file; or in SQUALL_ADMIN_TOKEN
    #[arg(long, value_name = "FILE", requires = "proxy", help_heading = "Where to")]
    pub token_file: Option<PathBuf>,
    /// URL of the origin's own count of requests: a number, or JSON with "requests"
    #[arg(long, value_name = "URL", help_heading = "Where to")]
    pub origin_counter: Option<String>,
    /// URL of the origin's metrics in Prometheus' text format: process_resident_memory_bytes tells a leak
    #[arg(long, value_name = "URL", help_heading = "Where to")]
    pub origin_metrics: Option<String>,
    /// A host beyond loopback that may be loaded; needs --max-rate
    #[arg(
        long,
        value_name = "HOST",
        env = "SQUALL_ALLOW_TARGETS",
        value_delimiter = ',',
        help_heading = "Where to"
    )]
    pub allow_target: Vec<String>,
    /// Send the recorded host as the Host header
    #[arg(long, help_heading = "Where to")]
    pub keep_host: bool,
    /// Take any TLS certificate
    #[arg(short = 'k', long, help_heading = "Where to")]
    pub insecure: bool,
    /// Add a header to each request, in place of a recorded one
    #[arg(short = 'H', value_name = "NAME: VALUE", value_parser = header, help_heading = "Where to")]
    pub header: Vec<(String, String)>,

    /// How many sessions for each recorded one: 100x, 2.5x [default: 1x]
    #[arg(long, value_name = "N", value_parser = units::amplify, group = "load", help_heading = "How much")]
    pub amplify: Option<f64>,
    /// Hold this many sessions alive: they enter in their midst over 5 s, and one that ends is replaced
    #[arg(long, value_name = "N", value_parser = units::count, group = "load", help_heading = "How much")]
    pub sessions: Option<usize>,
    /// The amplification that makes this many requests on average: 500/s, 6k/m
    #[arg(long, short = 'r', value_name = "RATE", value_parser = rate, group = "load", help_heading = "How much")]
    pub rate: Option<Rate>,
    /// The amplification as a curve: "ramp:0..100x/2m, hold/10m, spike:300x/30s, step:-50x/1m"
    #[arg(long, value_name = "PROFILE", group = "load", help_heading = "How much")]
    pub profile: Option<Profile>,
    /// Ramp to so many sessions alive in that time, one stage after the other: 30s:1000
    #[arg(long, short = 's', value_name = "TIME:N", group = "load", help_heading = "How much")]
    pub stage: Vec<Stage>,
    /// Multiply the sessions that visit a route: 'GET /search:50x', 'GET /search:50x@2m..3m'
    #[arg(long, value_name = "ROUTE:N", help_heading = "How much")]
    pub boost: Vec<Boost>,
    /// How the starts of sessions follow one another
    #[arg(long, value_name = "HOW", value_enum, default_value = "recorded", help_heading = "How much")]
    pub arrivals: Arrivals,
    /// Begin anew when the recording is over, until --duration or Ctrl-C
    #[arg(long = "loop", help_heading = "How much")]
    pub looped: bool,
    /// Send nothing that is due later than this
    #[arg(long, short = 'd', value_name = "TIME", value_parser = units::some_duration, help_heading = "How much")]
    pub duration: Option<Duration>,
    /// Leave what is due before this out of latencies, routes and thresholds (the books count it)
    #[arg(long, value_name = "TIME", value_parser = units::some_duration, help_heading = "How much")]
    pub warmup: Option<Duration>,
    /// Never send more than this, whatever the plan says: 100/s, 6k/m, max
    #[arg(long, value_name = "RATE", value_parser = rate, help_heading = "How much")]
    pub max_rate: Option<Rate>,
    /// Only this route, session, or clone of one: 'GET /cart/{id}', 'GET /api/*', session:1f, session:1f-7
    #[arg(long, value_name = "WHAT", help_heading = "How much")]
    pub only: Vec<Pattern>,
    /// Neither this route nor this session
    #[arg(long, value_name = "WHAT", help_heading = "How much")]
    pub exclude: Vec<Pattern>,
    /// Only what this edge of the proxy recorded, '*' for all of them [default: the first edge]
    #[arg(long, value_name = "NAME", help_heading = "How much")]
    pub edge: Option<String>,
    /// Decides everything that chance decides
    #[arg(long, value_name = "SEED", default_value = "1", help_heading = "How much")]
    pub seed: String,
    /// Which of how many parts of the plan this process sends: 2/4; join the reports with squall merge
    #[arg(long, value_name = "I/N", default_value = "1/1", help_heading = "How much")]
    pub shard: Shard,

    /// How fast time passes: 1x, 10x, max (a step is due when the one before it is answered)
    #[arg(long, value_name = "X", value_parser = units::speed, help_heading = "When")]
    pub speed: Option<Speed>,
    /// Pick the speed so that the plan fits in this time; never slower than recorded
    #[arg(long, value_name = "TIME", value_parser = units::some_duration, conflicts_with = "speed", help_heading = "When")]
    pub within: Option<Duration>,
    /// Shorten idle time within a session to this
    #[arg(long, value_name = "TIME", value_parser = units::some_duration, help_heading = "When")]
    pub max_gap: Option<Duration>,
    /// What becomes of a step whose predecessor answered late
    #[arg(long, value_name = "POLICY", value_enum, default_value = "catch-up", help_heading = "When")]
    pub late_policy: LatePolicy,
    /// Begin then: 2026-01-31T08:00:00Z, 08:00 (UTC), +30s
    #[arg(long, value_name = "TIME", help_heading = "When")]
    pub start_at: Option<String>,

    /// Identities, a row for each session: CSV with a header line, or JSON Lines
    #[arg(long, value_name = "FILE", help_heading = "Who")]
    pub users: Option<PathBuf>,
    /// Use rows again when there are more sessions than rows
    #[arg(long, requires = "users", help_heading = "Who")]
    pub users_wrap: bool,
    /// Replace a part of requests: 'header:x-user={id}', 'json:user.email={email}', query:, form:. {id} is a
    /// column of --users; {session}, {clone}, {uuid} are always there
    #[arg(long, value_name = "WHERE=TEXT", help_heading = "Who")]
    pub set: Vec<Substitution>,
    /// What goes from answers to later requests, so that each clone sends what the server gave to it: auto (found in the
    /// captures), none, or a file of rules that add links and forbid them
    #[arg(long, value_name = "auto|none|FILE", default_value = "auto", help_heading = "Who")]
    pub links: LinkChoice,
    /// What clients do when a request fails: none, naive:3, backoff:3,100ms..10s, budget:20%,3; these figures are what
    /// the bare names mean
    #[arg(long, value_name = "POLICY", default_value = "none", help_heading = "Who")]
    pub retry: Retry,
    /// Users of a kind, by share: 'slow-link 5% 64KB/s', 'slow-reader 2% 4KB/s', 'double-submit 1%', 'abandon 3%',
    /// 'abandon 3% after 500ms'
    #[arg(long, value_name = "KIND SHARE", help_heading = "Who")]
    pub misbehave: Vec<Misbehaviour>,
    /// What clients do when their WebSocket is dropped: never, immediate, backoff:100ms..10s
    #[arg(long, value_name = "POLICY", default_value = "never", help_heading = "Who")]
    pub reconnect: Reconnect,

    /// How sessions share connections
    #[arg(long, value_name = "HOW", value_enum, default_value = "recorded", help_heading = "How")]
    pub connections: Connections,
    /// Most connections at once
    #[arg(long, short = 'c', value_name = "N", value_parser = units::count, help_heading = "How")]
    pub max_connections: Option<usize>,
    /// Speak HTTP/1.1 [default: what most of the recording was sent with]
    #[arg(long, conflicts_with = "http2", help_heading = "How")]
    pub http1: bool,
    /// Speak HTTP/2: over TLS, or in the clear with prior knowledge
    #[arg(long, help_heading = "How")]
    pub http2: bool,
    /// Most streams on one HTTP/2 connection [default: 100; the peer's own limit holds as well]
    #[arg(long, value_name = "N", value_parser = units::count, help_heading = "How")]
    pub streams: Option<usize>,
    /// Open connections from these addresses in turn: 127.0.1.0/24
    #[arg(long, value_name = "CIDR", help_heading = "How")]
    pub bind: Option<Cidr>,
    /// How long an answer may take
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = units::some_duration, help_heading = "How")]
    pub timeout: Duration,
    /// Engine threads [default: one per core]
    #[arg(long, short = 't', value_name = "N", value_parser = units::count, help_heading = "How")]
    pub threads: Option<usize>,

    /// Skip the ten sessions that are replayed alone before an amplified run
    #[arg(long, help_heading = "How")]
    pub no_rehearsal: bool,

    /// What must hold: response:p(95)<300ms, errors{route=GET /cart}<1%, response:p(99)<baseline+10%
    #[arg(long, value_name = "EXPR", help_heading = "What comes out")]
    pub threshold: Vec<Threshold>,
    /// The run.json that thresholds with `baseline` compare with
    #[arg(long, value_name = "RUN.json", help_heading = "What comes out")]
    pub baseline: Option<PathBuf>,
    /// Stop the run when this holds over the last seconds: 'errors>10% over 10s', '... after 30s'
    #[arg(long, value_name = "EXPR", help_heading = "What comes out")]
    pub abort_on: Vec<AbortOn>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE", help_heading = "What comes out")]
    pub json: Option<PathBuf>,
    /// Write the judgement as JUnit XML, for CI systems
    #[arg(long, value_name = "FILE", help_heading = "What comes out")]
    pub junit: Option<PathBuf>,
    /// Keep a small record of each run in this folder, for squall report --history [default: runs, where that is a folder]
    #[arg(long, value_name = "DIR", help_heading = "What comes out")]
    pub history: Option<PathBuf>,
    /// Run the plan this many times, one after the other, and say how far apart the runs are
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100), help_heading = "What comes out")]
    pub repeat: u32,
    /// Write each failure with what explains it, as JSON Lines
    #[arg(long, value_name = "FILE", help_heading = "What comes out")]
    pub failures: Option<PathBuf>,
    /// Write the report as a page: one file that works offline
    #[arg(long, value_name = "FILE.html", help_heading = "What comes out")]
    pub report: Option<PathBuf>,
    /// Tell the run's metrics at http://ADDR/metrics for Prometheus; a bare port is on loopback, port 0 is a free one
    #[arg(long, value_name = "ADDR", value_parser = units::listen, help_heading = "What comes out")]
    pub metrics: Option<SocketAddr>,
    /// Send the run's metrics and spans there by OTLP over HTTP: http://127.0.0.1:4318; naming a host allows it
    #[arg(long, value_name = "URL", help_heading = "What comes out")]
    pub otlp: Option<Collector>,
    /// The share of operations of which spans are sent, each a trace of its own that its traceparent names [default: 1%]
    #[arg(long, value_name = "PERCENT", default_value = "1%", hide_default_value = true, value_parser = telemetry::otlp::share, requires = "otlp", help_heading = "What comes out")]
    pub otlp_sample: f64,
    /// Print the plan and stop; no packet is sent
    #[arg(long, help_heading = "What comes out")]
    pub dry_run: bool,
    /// One line a second instead of the live screen
    #[arg(long, help_heading = "What comes out")]
    pub plain: bool,
    /// Print nothing but errors
    #[arg(long, short = 'q', help_heading = "What comes out")]
    pub quiet: bool,
}

/// A cap on the rate; `None` is `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(Option<f64>);

impl Args {
    /// The options that the flags come to.
    ///
    /// # Errors
    /// Words for the user.
    pub fn into_options(self) -> Result<Options, String> {
        if self.rate == Some(Rate(None)) {
            return Err("--rate max is --speed max: say that, or a rate as in --rate 500/s".to_owned());
        }
        let start_at =
            self.start_at.as_deref().map(|text| units::start_at(text, SystemTime::now())).transpose()?;
        let http = match (self.http1, self.http2) {
            (true, _) => Http::One,
            (_, true) => Http::Two,
            _ => Http::Recorded,
        };
        let streams =
            self.streams.map_or(crate::limits::STREAMS, |streams| u32::try_from(streams).unwrap_or(u32::MAX));
        Ok(Options {
            captures: self.captures,
            target: self.target,
            proxy_token: proxy_token(self.token_file.as_deref())?,
            proxy: self.proxy,
            amplify: self.amplify.unwrap_or(1.0),
            sessions: self.sessions.map(|sessions| sessions as u64),
            rate: self.rate.and_then(|rate| rate.0),
            profile: self.profile,
            stages: self.stage,
            looped: self.looped,
            arrivals: self.arrivals,
            boosts: self.boost,
            max_gap: self.max_gap,
            warmup: self.warmup,
            late_policy: self.late_policy,
            only: self.only,
            exclude: self.exclude,
            edge: self.edge,
            speed: self.speed.unwrap_or(Speed::Times(1.0)),
            within: self.within,
            connections: self.connections,
            http,
            streams,
            bind: self.bind,
            retry: self.retry,
            misbehaviours: self.misbehave,
            reconnect: self.reconnect,
            users: self.users,
            users_wrap: self.users_wrap,
            substitutions: self.set,
            links: self.links,
            rehearsal: !self.no_rehearsal,
            max_connections: self.max_connections,
            max_rate: self.max_rate.and_then(|rate| rate.0),
            duration: self.duration,
            timeout: self.timeout,
            threads: self.threads,
            thresholds: self.threshold,
            baseline: self.baseline,
            abort_on: self.abort_on,
            shard: self.shard,
            start_at,
            seed: self.seed,
            allow_targets: self.allow_target,
            origin_counter: self.origin_counter,
            origin_metrics: self.origin_metrics,
            failures: self.failures,
            keep_host: self.keep_host,
            insecure: self.insecure,
            headers: self.header,
            argv: std::env::args().collect(),
            metrics: self.metrics,
            otlp: self.otlp,
            otlp_sample: self.otlp_sample,
            stop: Stop::new(),
        })
    }
}

/// The token of a file, else of the environment.
fn proxy_token(file: Option<&Path>) -> Result<Option<Secret>, String> {
    let (text, place) = match (file, std::env::var(TOKEN_VARIABLE)) {
        (Some(path), _) => {
            let place = path.display().to_string();
            (std::fs::read_to_string(path).map_err(|err| format!("--token-file {place}: {err}"))?, place)
        }
        (None, Ok(text)) => (text, TOKEN_VARIABLE.to_owned()),
        (None, Err(_)) => return Ok(None),
    };
    Secret::new(&text).map(Some).map_err(|why| format!("{place}: {why}"))
}

const TOKEN_VARIABLE: &str = "SQUALL_ADMIN_TOKEN";

/// `users.zst@100x`: a path, and after its last @ an amplification.
fn source(text: &str) -> Result<Source, String> {
    if text.is_empty() {
        return Err("a capture has a name".to_owned());
    }
    if let Some((path, amplify)) = text.rsplit_once('@')
        && amplify.ends_with(['x', 'X'])
        && amplify.starts_with(|c: char| c.is_ascii_digit() || c == '.')
    {
        return Ok(Source { path: path.into(), amplify: Some(units::amplify(amplify)?) });
    }
    Ok(Source { path: text.into(), amplify: None })
}

fn rate(text: &str) -> Result<Rate, String> {
    units::rate(text).map(Rate)
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once(':').ok_or_else(|| format!("`{text}` has no colon: write 'NAME: VALUE'"))?;
    let (name, value) = (name.trim(), value.trim());
    if crate::plan::is_field(name, value) {
        Ok((name.to_owned(), value.to_owned()))
    } else {
        Err(format!("`{text}` is not a header field: write 'NAME: VALUE'"))
    }
}

const EXAMPLES: &str = "\
Examples:
  replay capture.zst                                   the recording, as it was, where it was recorded
  replay --amplify 100x capture.zst                    a hundred times as many users, same curve
  replay --amplify 100x --speed max capture.zst        as fast as answers come
  replay --profile 'ramp:0..100x/2m, hold/10m, spike:300x/30s' capture.zst
  replay --sessions 1M --duration 3m --connections shared capture.zst
  replay users.zst@100x jobs.zst@1x                    users beside background jobs
  replay --http2 --retry backoff --misbehave 'abandon 3%' --amplify 10x capture.zst
  replay --within 10m day.zst --threshold 'response:p(95)<300ms' --threshold 'errors<1%'
  replay --target https://staging.example --allow-target staging.example --max-rate 500/s capture.zst
  replay --repeat 10 --history runs --junit junit.xml --amplify 5x capture.zst
  replay --dry-run --amplify 1kx capture.zst           what would it take?

The reference of all this is replayer/GUIDE.md.

Exit codes: 0 passed, 99 a threshold failed or nothing was answered, 104 bad usage, 105 interrupted,
108 stopped by a guard or the rehearsal, 111 generator degraded, 112 refused for safety, 113 invalid (the books are off).
Environment: SQUALL_ALLOW_TARGETS, hosts separated by commas.";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split(' '))
    }

    #[test]
    fn flags_come_to_options() {
        let args =
            parse("replay --amplify 100x --speed max --max-rate 6k/m -c 1k --timeout 5s -H a:b capture.zst");
        let options = args.map(Args::into_options).expect("it parses").expect("it is valid");
        assert_eq!((options.amplify, options.speed), (100.0, Speed::Max));
        assert_eq!((options.max_rate, options.max_connections), (Some(100.0), Some(1000)));
        assert_eq!(options.headers, [("a".to_owned(), "b".to_owned())]);
    }

    #[test]
    fn mistakes_are_refused_in_words() {
        let refused = |line: &str, words: &str| {
            let err = parse(line).expect_err(line).to_string();
            assert!(err.contains(words), "{line}: {err}");
        };
        refused("replay", "<CAPTURE[@N]>");
        refused("replay --amplify 0 x", "would replay nothing");
        refused("replay --duration 30 x", "no unit");
        refused("replay --speed 2x --within 10m x", "cannot be used with");
        refused("replay --threshold respons:p(95)<1s x", "known are response");
        refused("replay --connections many x", "per-session, shared");
        refused("replay --max-rate 5/w x", "6k/m");
        refused("replay --amplfy 5 x", "--amplify");
    }

    #[test]
    fn the_definition_is_sound() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }
}
