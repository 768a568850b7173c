//! `squall report RUN.json…`: one run as a page, or several side by side.
#![allow(clippy::print_stdout, reason = "a command's output")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use replayer::report::html::{self, Run};

/// Show a run as a page: one file that works offline. Several runs are compared with the first.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// What `replay --json FILE`, `squall demo --json FILE` or `squall merge --json FILE` wrote; at most 8.
    #[arg(value_name = "RUN.json", required = true, num_args = 1..)]
    runs: Vec<PathBuf>,
    /// Write the page here [default: beside the first run, ending in .html].
    #[arg(short, long, value_name = "FILE.html")]
    output: Option<PathBuf>,
}

/// Writes the page and says where it is.
///
/// # Errors
/// A file cannot be read or is no run.json; the page cannot be written, or would be written over something else.
pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let output = match &args.output {
        Some(path) => path.clone(),
        None => args.runs[0].with_extension("html"),
    };
    refuse_foreign(&output)?;
    let runs = args.runs.iter().map(|path| Run::load(path)).collect::<Result<Vec<_>, _>>();
    let page = runs.and_then(html::page).map_err(|words| anyhow!(words))?;
    fs::write(&output, &page).with_context(|| format!("cannot write {}", output.display()))?;
    let kilobytes = page.len().div_ceil(1000);
    match args.runs.len() {
        1 => println!("report     {} ({kilobytes} KB)", output.display()),
        runs => println!("report     {} ({kilobytes} KB, {runs} runs)", output.display()),
    }
    Ok(ExitCode::SUCCESS)
}

/// A page may be written anew; anything else is somebody's file.
fn refuse_foreign(path: &Path) -> anyhow::Result<()> {
    let is_page = |start: &[u8]| start.is_empty() || start.starts_with(b"<!DOCTYPE html>");
    match fs::read(path) {
        Ok(text) if !is_page(&text) => {
            bail!("{} is there already and is no page: name another file with -o", path.display())
        }
        _ => Ok(()), // what cannot be read is told when it cannot be written
    }
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  squall report run.json                     run.html
  squall report before.json after.json -o change.html

A page holds its data, style and scripts: it opens from disk, in any browser, without a network.
Differences between runs come with 99 % intervals; one whose interval includes none is called noise.";
