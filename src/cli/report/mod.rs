//! `squall report`: runs that are over.

mod history;
mod pages;

use std::path::PathBuf;
use std::process::ExitCode;

/// Show a run as a page that works offline, or several compared with the first; or the history of a plan.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// What `replay --json FILE`, `squall demo --json FILE` or `squall merge --json FILE` wrote; at most 8.
    #[arg(value_name = "RUN.json", required_unless_present = "history", conflicts_with = "history")]
    runs: Vec<PathBuf>,
    /// Write the page here [default: beside the first run, ending in .html; a history is printed without it].
    #[arg(short, long, value_name = "FILE.html")]
    output: Option<PathBuf>,
    /// Show the runs that `replay --history DIR` kept, and where a figure moved [default: runs].
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = replayer::history::FOLDER)]
    history: Option<PathBuf>,
    /// The plan to look at, or how its hash begins [default: that of the newest run].
    #[arg(long, value_name = "HASH", default_value = "", hide_default_value = true, requires = "history")]
    plan: String,
    /// Print the history as JSON.
    #[arg(long, requires = "history", conflicts_with = "output")]
    json: bool,
}

/// Writes the page, or shows the history.
///
/// # Errors
/// A file cannot be read or is no run.json; the page cannot be written; there is no such plan.
pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    match &args.history {
        Some(folder) => match &args.output {
            Some(page) => history::write(folder, &args.plan, page),
            None => history::show(folder, &args.plan, args.json),
        },
        None => pages::write(&args.runs, args.output.as_deref()),
    }
}

pub(crate) const USAGE: &str = "squall report <RUN.json>... [-o <FILE.html>]
       squall report --history [<DIR>] [--plan <HASH>] [--json | -o <FILE.html>]";

pub(crate) const EXAMPLES: &str = "\
Examples:
  squall report run.json                     run.html
  squall report before.json after.json -o change.html
  squall report --history                    the runs of the newest plan in ./runs
  squall report --history DIR --plan 3f2a --json
  squall report --history -o runs.html       the same runs as a page

A page holds its data, style and scripts: it opens from disk, in any browser, without a network.
Differences between runs come with 99 % intervals; one whose interval includes none is called noise.";
