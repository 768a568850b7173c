//! The flags, as typed, and what they come to.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::options::{Connections, Options, Speed};
use crate::threshold::Threshold;
use crate::{Stop, units};

/// Replays a capture, amplified, and says what broke and whose fault it was.
#[derive(Clone, Debug, Parser)]
#[command(name = "replay", version, after_help = EXAMPLES, next_line_help = false)]
pub struct Args {
    /// The capture: from `squall proxy --record`, or `squall captures import`
    pub capture: PathBuf,

    /// URL that replaces scheme, host and port [default: the listener that recorded, if it is loopback]
    #[arg(long, value_name = "URL", help_heading = "Where to")]
    pub target: Option<String>,
    /// Admin URL of the squall proxy in front of the target [default: what the capture names]
    #[arg(long, value_name = "URL", help_heading = "Where to")]
    pub proxy: Option<String>,
    /// URL of the origin's own count of requests: a number, or JSON with "requests"
    #[arg(long, value_name = "URL", help_heading = "Where to")]
    pub origin_counter: Option<String>,
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

    /// How many sessions for each recorded one: 100x, 2.5x
    #[arg(long, value_name = "N", default_value = "1x", value_parser = units::amplify, help_heading = "How much")]
    pub amplify: f64,
    /// How fast time passes: 1x, 10x, max (a step is due when the one before it is answered)
    #[arg(long, value_name = "X", value_parser = units::speed, help_heading = "How much")]
    pub speed: Option<Speed>,
    /// Pick the speed so that the plan fits in this time; never slower than recorded
    #[arg(long, value_name = "TIME", value_parser = units::some_duration, conflicts_with = "speed", help_heading = "How much")]
    pub within: Option<Duration>,
    /// Send nothing that is due later than this
    #[arg(long, short = 'd', value_name = "TIME", value_parser = units::some_duration, help_heading = "How much")]
    pub duration: Option<Duration>,
    /// Never send more than this: 100/s, 6k/m, max
    #[arg(long, value_name = "RATE", value_parser = rate, help_heading = "How much")]
    pub max_rate: Option<Rate>,
    /// Decides everything that chance decides
    #[arg(long, value_name = "SEED", default_value = "1", help_heading = "How much")]
    pub seed: String,

    /// How sessions share connections
    #[arg(long, value_name = "HOW", value_enum, default_value = "recorded", help_heading = "How")]
    pub connections: Connections,
    /// Most connections at once
    #[arg(long, short = 'c', value_name = "N", value_parser = units::count, help_heading = "How")]
    pub max_connections: Option<usize>,
    /// How long an answer may take
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = units::some_duration, help_heading = "How")]
    pub timeout: Duration,
    /// Engine threads [default: one per core]
    #[arg(long, short = 't', value_name = "N", value_parser = units::count, help_heading = "How")]
    pub threads: Option<usize>,

    /// What must hold: response:p(95)<300ms (also service, ttfb, lateness), errors<1%, answered>99%
    #[arg(long, value_name = "EXPR", help_heading = "What comes out")]
    pub threshold: Vec<Threshold>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE", help_heading = "What comes out")]
    pub json: Option<PathBuf>,
    /// Print the plan and stop; no packet is sent
    #[arg(long, help_heading = "What comes out")]
    pub dry_run: bool,
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
        Ok(Options {
            target: self.target,
            proxy: self.proxy,
            amplify: self.amplify,
            speed: self.speed.unwrap_or(Speed::Times(1.0)),
            within: self.within,
            connections: self.connections,
            max_connections: self.max_connections,
            max_rate: self.max_rate.and_then(|rate| rate.0),
            duration: self.duration,
            timeout: self.timeout,
            threads: self.threads,
            thresholds: self.threshold,
            seed: self.seed,
            allow_targets: self.allow_target,
            origin_counter: self.origin_counter,
            keep_host: self.keep_host,
            insecure: self.insecure,
            headers: self.header,
            argv: std::env::args().collect(),
            stop: Stop::new(),
            ..Options::new(self.capture)
        })
    }
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
  replay --within 10m day.zst --threshold 'response:p(95)<300ms' --threshold 'errors<1%'
  replay --target https://staging.example --allow-target staging.example --max-rate 500/s capture.zst
  replay --dry-run --amplify 1kx capture.zst           what would it take?

Exit codes: 0 passed, 99 a threshold failed or nothing was answered, 104 bad usage, 105 interrupted,
108 stopped by a guard, 111 generator degraded, 112 refused for safety, 113 invalid (the books are off).
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
        refused("replay", "<CAPTURE>");
        refused("replay --amplify 0 x", "would replay nothing");
        refused("replay --duration 30 x", "no unit");
        refused("replay --speed 2x --within 10m x", "cannot be used with");
        refused("replay --threshold respons:p(95)<1s x", "known are response");
        refused("replay --connections many x", "recorded, shared");
        refused("replay --max-rate 5/w x", "6k/m");
        refused("replay --amplfy 5 x", "--amplify");
    }

    #[test]
    fn the_definition_is_sound() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }
}
