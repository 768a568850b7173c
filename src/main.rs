//! The front door: one program, one subcommand for each thing Squall does.
//!
//! Exit codes are documented in the README: 0 passed, 1 findings, 104 bad usage or configuration, and those of a
//! replay (99, 105, 108, 111, 112, 113).
#![allow(clippy::print_stderr)]

mod cli;
mod demo;
mod shop;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Record real HTTP traffic, replay it amplified, inject faults inline, and get books that balance.
#[derive(Debug, Parser)]
#[command(name = "squall", version, max_term_width = 110)]
struct Squall {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Record traffic inline and inject faults into it.
    Proxy(Box<proxy::cli::ProxyArgs>),
    /// Send a capture back, amplified, and say what broke. The same as the program `replay`.
    Replay(Box<replayer::cli::Args>),
    /// Capture files: import, look into, check, repair, export.
    #[command(subcommand)]
    Captures(cli::captures::CapturesCommand),
    /// Name every mistake in a rule file, and what its rules would have hit.
    #[command(after_help = cli::check::EXAMPLES)]
    Check(cli::check::CheckArgs),
    /// Rule files: import them from other tools.
    #[command(subcommand)]
    Rules(cli::rules::RulesCommand),
    /// Let the faults of a running proxy fire.
    #[command(after_help = cli::admin::ARM_EXAMPLES)]
    Arm(cli::admin::AdminArgs),
    /// Stop the faults of a running proxy.
    #[command(after_help = cli::admin::LIFT_EXAMPLES)]
    Lift(cli::admin::LiftArgs),
    /// Tell what a running proxy is doing.
    #[command(after_help = cli::admin::STATUS_EXAMPLES)]
    Status(cli::admin::AdminArgs),
    /// Merge the runs of shards into one report, and judge the whole.
    #[command(after_help = cli::merge::EXAMPLES)]
    Merge(cli::merge::MergeArgs),
    /// Show a run as a page that works offline, or several compared; or the history of a plan, and where a figure moved.
    #[command(after_help = cli::report::EXAMPLES, override_usage = cli::report::USAGE)]
    Report(cli::report::ReportArgs),
    /// All of it on an embedded shop: record, replay a hundredfold, inject, judge.
    #[command(after_help = cli::demo::EXAMPLES)]
    Demo(cli::demo::DemoArgs),
    /// Run the sample shop: something to try the rest on.
    #[command(after_help = cli::shop::EXAMPLES)]
    Shop(cli::shop::ShopArgs),
}

fn main() -> ExitCode {
    let squall = match Squall::try_parse() {
        Ok(squall) => squall,
        Err(error) => return replayer::cli::usage_exit(&error),
    };
    // the demo narrates what the log would say
    let quiet = matches!(squall.command, Command::Demo(_));
    log_to_stderr(if quiet { "off" } else { "info,pingora_core=off,pingora_proxy=off" });
    let outcome = match squall.command {
        Command::Proxy(args) => proxy::cli::run(*args),
        Command::Replay(args) => Ok(replayer::cli::main(*args)),
        Command::Captures(command) => cli::captures::run(command),
        Command::Check(args) => cli::check::run(&args),
        Command::Rules(command) => cli::rules::run(&command),
        Command::Arm(args) => cli::admin::arm(&args),
        Command::Lift(args) => cli::admin::lift(&args),
        Command::Status(args) => cli::admin::status(&args),
        Command::Merge(args) => cli::merge::run(&args),
        Command::Report(args) => cli::report::run(&args),
        Command::Demo(args) => cli::demo::run(args),
        Command::Shop(args) => cli::shop::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("squall: {}", words(&error));
        ExitCode::from(BAD_USAGE)
    })
}

/// The error and its causes, each said once.
fn words(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// `SQUALL_LOG` takes the filters of tracing; pingora's own lines about single requests stay out of it.
fn log_to_stderr(default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("SQUALL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let format = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // only a second call could fail
    let _ = format.try_init();
}

const BAD_USAGE: u8 = 104;
