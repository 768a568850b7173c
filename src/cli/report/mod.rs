//! `squall report`: runs that are over.

mod pages;

use std::path::PathBuf;
use std::process::ExitCode;

/// Show a run as a page: one file that works offline. Several runs are compared with the first.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// What `replay --json FILE`, `squall demo --json FILE` or `squall merge --json FILE` wrote; at most 8.
    #[arg(value_name = "RUN.json", required = true)]
    runs: Vec<PathBuf>,
    /// Write the page here [default: beside the first run, ending in .html].
    #[arg(short, long, value_name = "FILE.html")]
    output: Option<PathBuf>,
}

/// # Errors
/// A file cannot be read or is no run.json; the page cannot be written.
pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    pages::write(&args.runs, args.output.as_deref())
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  squall report run.json                     run.html
  squall report before.json after.json -o change.html

A page holds its data, style and scripts: it opens from disk, in any browser, without a network.
Differences between runs come with 99 % intervals; one whose interval includes none is called noise.";
