//! `squall demo`: all of it at once, with no set-up.
#![allow(clippy::print_stderr, reason = "a command's words")]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::cli::{INTERRUPTED, stop};
use crate::demo::{self, Interrupt, Options};

/// See all of Squall in under a minute: a sample shop, the proxy recording a crowd of shoppers, and that capture
/// replayed a hundredfold while the rule file is edited. Exits with the replay's code.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// How many sessions for each recorded one [default: 100x; with --capture what fits].
    #[arg(long, value_name = "N", value_parser = replayer::units::amplify)]
    amplify: Option<f64>,
    /// Replay this capture against the shop, at a speed that fits, instead of recording one.
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    /// Write run.json here as well.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the judgement as JUnit XML here.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the report as a page here as well.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Keep capture, rules, ledger and books in this folder, new or empty [default: a temporary one].
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Print nothing but the report.
    #[arg(long)]
    quiet: bool,
}

/// Runs the demo; Ctrl-C ends it early, with a report if the replay had begun.
pub(crate) fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    if cfg!(debug_assertions) && !args.quiet {
        eprintln!(
            "note: this is a debug build, several times slower; see it with cargo run --release -- demo"
        );
    }
    let interrupt = Interrupt::new();
    listen(interrupt.clone()).context("cannot listen for Ctrl-C")?;
    let options = Options {
        amplify: args.amplify,
        capture: args.capture,
        json: args.json,
        junit: args.junit,
        report: args.report,
        keep: args.keep,
        quiet: args.quiet,
        argv: std::env::args().collect(),
    };
    match demo::run(&options, &interrupt) {
        Ok(code) => Ok(ExitCode::from(code)),
        Err(err) => {
            eprintln!("squall demo: {err}");
            Ok(ExitCode::from(err.exit_code()))
        }
    }
}

/// Hears Ctrl-C and SIGTERM on a thread of its own, for as long as the process lives. The third time it ends at once.
fn listen(interrupt: Interrupt) -> std::io::Result<()> {
    stop::on_thread(|mut stop| async move {
        for _ in 0..2 {
            stop.asked().await;
            interrupt.ask();
        }
        stop.asked().await;
        std::process::exit(INTERRUPTED);
    })
}

pub(crate) const EXAMPLES: &str = "Examples:
  squall demo
  squall demo --amplify 20x --keep demo --json run.json
  squall demo --capture day.zst    somebody else's traffic, at a speed that fits";
