//! `squall report RUN.json…`: one run as a page, or several side by side.
#![allow(clippy::print_stdout, reason = "a command's output")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use replayer::report::html::{self, Run};

/// Writes the page and says where it is.
///
/// # Errors
/// A file cannot be read or is no run.json; the page cannot be written, or would be written over something else.
pub(super) fn write(paths: &[PathBuf], output: Option<&Path>) -> anyhow::Result<ExitCode> {
    let beside = || paths.first().map(|path| path.with_extension("html")).unwrap_or_default();
    let output = output.map_or_else(beside, Path::to_owned);
    refuse_foreign(&output)?;
    let runs = paths.iter().map(|path| Run::load(path)).collect::<Result<Vec<_>, _>>();
    let page = runs.and_then(html::page).map_err(|words| anyhow!(words))?;
    keep(&output, &page, paths.len())
}

/// Writes a page of so many runs, and says where it is.
///
/// # Errors
/// It cannot be written.
pub(super) fn keep(output: &Path, page: &str, runs: usize) -> anyhow::Result<ExitCode> {
    fs::write(output, page).with_context(|| format!("cannot write {}", output.display()))?;
    let kilobytes = page.len().div_ceil(1000);
    match runs {
        1 => println!("report     {} ({kilobytes} KB)", output.display()),
        runs => println!("report     {} ({kilobytes} KB, {runs} runs)", output.display()),
    }
    Ok(ExitCode::SUCCESS)
}

/// A page may be written anew; anything else is somebody's file.
///
/// # Errors
/// It is there, and is no page.
pub(super) fn refuse_foreign(path: &Path) -> anyhow::Result<()> {
    let is_page = |start: &[u8]| start.is_empty() || start.starts_with(b"<!DOCTYPE html>");
    match fs::read(path) {
        Ok(text) if !is_page(&text) => {
            bail!("{} is there already and is no page: name another file with -o", path.display())
        }
        _ => Ok(()), // what cannot be read is told when it cannot be written
    }
}
