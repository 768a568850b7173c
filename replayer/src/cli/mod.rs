//! The command line of `replay` and `squall replay`, which are the same program.
#![allow(clippy::print_stdout, clippy::print_stderr)] // the one place where this crate speaks to a person

mod args;
mod live;
mod output;
mod show;
mod signals;

use std::process::ExitCode;

pub use args::Args;
use live::Live;
use output::Output;
pub use output::write_page;

use crate::{Error, Options};

/// Exit code for bad usage or configuration.
const USAGE: u8 = 104;

/// Runs a replay as the command line says; the code is that of DESIGN section 5.
pub fn main(args: Args) -> ExitCode {
    let dry_run = args.dry_run;
    let show = Show { quiet: args.quiet, plain: args.plain };
    let (output, count) = (Output::of(&args), args.repeat);
    let outcome = match args.into_options() {
        Ok(options) if dry_run => preview(&options, show),
        Ok(options) => run(&options, count, &output, show),
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

fn run(options: &Options, count: u32, output: &Output, show: Show) -> anyhow::Result<ExitCode> {
    let made = output.make_sure()?;
    let mut live = Live::new(show.quiet, show.plain, options);
    signals::stop_on(&options.stop, live.is_screen())?;
    let mut notes = Vec::new();
    let mut on_run = |run: &crate::Report| notes.extend(output.keep(run));
    let repeated = crate::repeat(options, count, &mut |progress| live.progress(progress), &mut on_run);
    live.end();
    let repeated = repeated.inspect_err(|_| made.remove())?;
    output.write(&repeated)?;
    for note in notes {
        eprintln!("note       {note}");
    }
    if !show.quiet {
        print!("{}{}", repeated.report.text(), output.lines());
    }
    Ok(ExitCode::from(repeated.report.exit_code))
}
