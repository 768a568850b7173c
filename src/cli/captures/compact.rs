//! `squall captures compact`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use captures::compact::{self, CompactOptions};

use super::{complain, count, thousands};

/// What to compact, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct CompactArgs {
    /// The capture.
    capture: PathBuf,
    /// The capture to make; an existing file is refused.
    #[arg(short, long, value_name = "CAPTURE", value_parser = super::new_capture)]
    pub(super) output: PathBuf,
    /// Level of zstd: 3 is fast, 19 small; from 19 on blocks of at most 128 KiB are coded by context mixing, which is
    /// smaller still.
    #[arg(long, value_name = "N", default_value_t = CompactOptions::default().level,
        value_parser = clap::value_parser!(i32).range(1..=22))]
    level: i32,
    /// Leave out the random identifiers that a single session has for itself (trace and request ids, session tokens);
    /// whoever reads the capture makes up others of their kind, equal where they were equal.
    #[arg(long)]
    generators: bool,
}

pub(super) const EXAMPLES: &str = "Examples:
  squall captures compact capture.zst -o small.zst
  squall captures compact capture.zst -o smallest.zst --generators    random ids become other ones
The exchanges stay what they are, without --generators to the last byte. Sessions are put
together: one is read from one block of the file, or two.";

/// Compacts, and says what came of it.
pub(super) fn run(args: &CompactArgs) -> anyhow::Result<ExitCode> {
    let options =
        CompactOptions { level: args.level, generators: args.generators, ..CompactOptions::default() };
    let now_us = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
    let done = compact::compact(&args.capture, &args.output, &options, now_us)?;
    for damage in &done.damage {
        complain(format_args!("warning: {damage}"));
    }
    let after = &done.after;
    let (bytes, before) = (after.bytes as f64, done.bytes_before.max(1) as f64);
    complain(format_args!(
        "{}: {} in {}, {} bytes ({:.1} a request), before {} ({:.0} % {})",
        args.output.display(),
        count(after.exchanges, "request"),
        count(after.sessions, "session"),
        thousands(after.bytes),
        bytes / after.exchanges.max(1) as f64,
        thousands(done.bytes_before),
        (100.0 - 100.0 * bytes / before).abs(),
        if before < bytes { "more" } else { "less" },
    ));
    Ok(ExitCode::SUCCESS)
}
