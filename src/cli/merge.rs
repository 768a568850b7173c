//! `squall merge RUN.json…`: one report of the runs of several shards.
#![allow(clippy::print_stdout, reason = "a command's output")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use replayer::Report;

/// Merge the runs of shards into one report and judge the whole: books, thresholds, exit code.
#[derive(Debug, clap::Args)]
pub(crate) struct MergeArgs {
    /// What `replay --shard I/N --json FILE` wrote, or an earlier merge; in any order.
    #[arg(value_name = "RUN.json", required = true)]
    runs: Vec<PathBuf>,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Prints the report of the whole; the exit code is that of a replay.
///
/// # Errors
/// A file cannot be read or is no run.json; the runs are not parts of one run.
pub(crate) fn run(args: &MergeArgs) -> anyhow::Result<ExitCode> {
    if let Some(path) = args.json.as_deref().filter(|path| args.runs.iter().any(|run| same(run, path))) {
        bail!("--json {} would write over one of the runs", path.display());
    }
    let read = |path: &PathBuf| {
        Ok((path.display().to_string(), Report::load(path).map_err(|words| anyhow!(words))?))
    };
    let runs = args.runs.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let report = replayer::merge::merge(runs).map_err(|words| anyhow!(words))?;
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    print!("{}", report.text());
    if let Some(path) = &args.json {
        println!("json       {}", path.display());
    }
    Ok(ExitCode::from(report.exit_code))
}

fn same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  squall merge shard-*.json                  the report of all shards
  squall merge a.json b.json --json whole.json

Counts add up, histograms are added bucket by bucket, and thresholds are judged over the whole.
Exit codes are those of a replay; a missing shard is 111, runs that are no parts of one run are 104.";
