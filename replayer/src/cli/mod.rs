//! The command line of `replay` and `squall replay`, which are the same program.
#![allow(clippy::print_stdout, clippy::print_stderr)] // the one place where this crate speaks to a person

mod args;
mod live;
mod show;
mod signals;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

pub use args::Args;
use live::Live;

use crate::{Error, Options, Report};

/// Exit code for bad usage or configuration.
const USAGE: u8 = 104;

/// Runs a replay as the command line says; the code is that of DESIGN section 5.
pub fn main(args: Args) -> ExitCode {
    let dry_run = args.dry_run;
    let show = Show { quiet: args.quiet, plain: args.plain };
    let json = args.json.clone();
    let outcome = match args.into_options() {
        Ok(options) if dry_run => preview(&options, show),
        Ok(options) => run(&options, json.as_deref(), show),
        Err(words) => Err(Error::Usage(words).into()),
    };
    outcome.unwrap_or_else(|err| {
        eprintln!("replay: {err:#}");
        ExitCode::from(err.downcast_ref::<Error>().map_or(USAGE, Error::exit_code))
    })
}

/// Parses the program's own arguments; bad ones end in words and code 104, `--help` in 0.
///
/// # Errors
/// The exit code to end with, the words being printed already.
pub fn parse() -> Result<Args, ExitCode> {
    <Args as clap::Parser>::try_parse().map_err(|err| usage_exit(&err))
}

/// Prints what clap has to say and returns the code to exit with.
pub fn usage_exit(err: &clap::Error) -> ExitCode {
    // A closed pipe is no reason to change the code.
    let _ = err.print();
    if err.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

#[derive(Clone, Copy, Debug)]
struct Show {
    quiet: bool,
    /// One line a second, never a screen.
    plain: bool,
}

fn preview(options: &Options, show: Show) -> anyhow::Result<ExitCode> {
    let outline = crate::preview(options)?;
    if !show.quiet {
        print!("{}", show::outline(&outline));
    }
    Ok(ExitCode::SUCCESS)
}

fn run(options: &Options, json: Option<&Path>, show: Show) -> anyhow::Result<ExitCode> {
    let made = json.map(make_sure).transpose()?;
    let mut live = Live::new(show.quiet, show.plain, options);
    signals::stop_on(&options.stop, live.is_screen())?;
    let report = crate::replay(options, &mut |progress| live.progress(progress));
    live.end();
    let report = report.inspect_err(|_| {
        if let (Some(path), Some(true)) = (json, made) {
            // Without a run it stays empty; one that cannot be removed is no worse than that.
            let _ = std::fs::remove_file(path);
        }
    })?;
    if let Some(path) = json {
        write_json(path, &report)?;
    }
    if !show.quiet {
        print!("{}", report.text());
        if let Some(path) = json {
            println!("json       {}", path.display());
        }
    }
    Ok(ExitCode::from(report.exit_code))
}

/// That a file can be written is known better now than after an hour of load. Whether it was made for that.
fn make_sure(path: &Path) -> anyhow::Result<bool> {
    let is_new = !path.exists();
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map(|_| is_new).with_context(|| format!("cannot write {}", path.display()))
}

fn write_json(path: &Path, report: &Report) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(report).context("cannot write the report as JSON")?;
    text.push('\n');
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
