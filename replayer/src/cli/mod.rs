//! The command line of `replay` and `squall replay`, which are the same program.
#![allow(clippy::print_stdout, clippy::print_stderr)] // the one place where this crate speaks to a person

mod args;
mod show;
mod signals;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

pub use args::Args;

use crate::report::html::{self, Run};
use crate::run::Progress;
use crate::{Error, Options, Report};

/// Exit code for bad usage or configuration.
const USAGE: u8 = 104;

/// Runs a replay as the command line says; the code is that of DESIGN section 5.
pub fn main(args: Args) -> ExitCode {
    let dry_run = args.dry_run;
    let show = Show { quiet: args.quiet, live: std::io::stderr().is_terminal() };
    let files = Files { json: args.json.clone(), page: args.report.clone() };
    let outcome = match args.into_options() {
        Ok(options) if dry_run => preview(&options, show),
        Ok(options) => run(&options, &files, show),
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
    /// The error stream is a terminal: one line that changes.
    live: bool,
}

fn preview(options: &Options, show: Show) -> anyhow::Result<ExitCode> {
    let outline = crate::preview(options)?;
    if !show.quiet {
        print!("{}", show::outline(&outline));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the run is written to.
#[derive(Clone, Debug)]
struct Files {
    json: Option<PathBuf>,
    page: Option<PathBuf>,
}

impl Files {
    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.json.iter().chain(&self.page)
    }

    fn write(&self, report: &Report) -> anyhow::Result<()> {
        if let Some(path) = &self.json {
            write_json(path, report)?;
        }
        if let Some(path) = &self.page {
            write_page(path, report)?;
        }
        Ok(())
    }
}

fn run(options: &Options, files: &Files, show: Show) -> anyhow::Result<ExitCode> {
    let mut made = Vec::new();
    for path in files.all() {
        if make_sure(path)? {
            made.push(path);
        }
    }
    signals::stop_on(&options.stop)?;
    let report = crate::replay(options, &mut |progress| show.progress(&progress)).inspect_err(|_| {
        for path in &made {
            // Without a run it stays empty; one that cannot be removed is no worse than that.
            let _ = std::fs::remove_file(path);
        }
    })?;
    show.end_line();
    files.write(&report)?;
    if !show.quiet {
        print!("{}", report.text());
        if let Some(path) = &files.json {
            println!("json       {}", path.display());
        }
        if let Some(path) = &files.page {
            println!("report     {}", path.display());
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

/// The run as a page in `path`.
///
/// # Errors
/// It cannot be written.
pub fn write_page(path: &Path, report: &Report) -> anyhow::Result<()> {
    let page = Run::of(report).and_then(|run| html::page(vec![run])).map_err(anyhow::Error::msg)?;
    std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))
}

impl Show {
    fn progress(self, progress: &Progress) {
        if self.quiet {
            return;
        }
        match progress {
            Progress::Planned(outline) => print!("{}", show::outline(outline)),
            Progress::Note(note) => eprintln!("note       {note}"),
            Progress::Second { second, sent, planned } => {
                let line = show::second(second, *sent, *planned);
                if self.live {
                    eprint!("\r\x1b[2K{line}");
                } else {
                    eprintln!("{line}");
                }
            }
        }
    }

    fn end_line(self) {
        if self.live && !self.quiet {
            eprint!("\r\x1b[2K");
        }
    }
}
