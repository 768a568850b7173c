//! `squall report`: runs that are over.

mod history;

use std::path::PathBuf;
use std::process::ExitCode;

/// Show runs that are over: the history of a plan, and where a figure moved.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// The runs that `replay --history DIR` kept [default: runs].
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = replayer::history::FOLDER, required = true)]
    history: PathBuf,
    /// The plan to look at, or how its hash begins [default: that of the newest run].
    #[arg(long, value_name = "HASH", default_value = "", hide_default_value = true)]
    plan: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the history.
///
/// # Errors
/// It cannot be read, or holds no such plan.
pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    history::show(&args.history, &args.plan, args.json)
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  squall report --history                    the runs of the newest plan in ./runs
  squall report --history DIR --plan 3f2a --json";
