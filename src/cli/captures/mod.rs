//! `squall captures …`: make, read, check and mend captures.

mod compact;
mod import;
mod inspect;
mod links;
mod mend;
mod reshape;
mod show;
mod synthesize;
mod unfinished;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(crate) use compact::CompactArgs;
pub(crate) use import::ImportArgs;
pub(crate) use inspect::InspectArgs;
pub(crate) use mend::{RepairArgs, VerifyArgs};
pub(crate) use reshape::{MergeArgs, RekeyArgs, SliceArgs};
pub(crate) use show::{CatArgs, ExportArgs};
pub(crate) use synthesize::SynthesizeArgs;
use unfinished::Unfinished;

/// Import, inspect, check, repair, reshape, synthesize and export captures.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum CapturesCommand {
    /// Make a capture from access logs, HAR, mitmproxy flows, GoReplay files or packets.
    #[command(after_help = import::EXAMPLES)]
    Import(ImportArgs),
    /// Say what a capture holds: sessions, think times, arrivals, routes and which follows which, errors, sizes.
    #[command(after_help = inspect::EXAMPLES)]
    Inspect(InspectArgs),
    /// Print one line of JSON for each exchange.
    #[command(after_help = show::CAT_EXAMPLES)]
    Cat(CatArgs),
    /// Check every block, the index and the seek table; exit 1 if anything is wrong.
    #[command(after_help = mend::VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Make a damaged or unclosed capture whole again.
    #[command(after_help = mend::REPAIR_EXAMPLES)]
    Repair(RepairArgs),
    /// Write a capture again, smaller, sorted by session.
    #[command(after_help = compact::EXAMPLES)]
    Compact(CompactArgs),
    /// Write a capture as HAR, .gor, mitmproxy flows or NDJSON.
    #[command(after_help = show::EXPORT_EXAMPLES)]
    Export(ExportArgs),
    /// Write a part of a capture: a time, sessions, a share of them, a route.
    #[command(after_help = reshape::SLICE_EXAMPLES)]
    Slice(SliceArgs),
    /// Write several captures as one.
    #[command(after_help = reshape::MERGE_EXAMPLES)]
    Merge(MergeArgs),
    /// Write a capture whose sessions go by another key.
    #[command(after_help = reshape::REKEY_EXAMPLES)]
    Rekey(RekeyArgs),
    /// Write new sessions of the shape of recorded ones, as many as wanted.
    #[command(after_help = synthesize::EXAMPLES)]
    Synthesize(SynthesizeArgs),
}

impl CapturesCommand {
    /// The file that it makes.
    fn output(&self) -> Option<&Path> {
        match self {
            CapturesCommand::Import(args) => Some(&args.output),
            CapturesCommand::Compact(args) => Some(&args.output),
            CapturesCommand::Slice(args) => Some(&args.output),
            CapturesCommand::Merge(args) => Some(&args.output),
            CapturesCommand::Rekey(args) => Some(&args.output),
            CapturesCommand::Synthesize(args) => Some(&args.output),
            CapturesCommand::Export(args) => args.file(),
            CapturesCommand::Repair(args) => args.output.as_deref(),
            CapturesCommand::Inspect(_) | CapturesCommand::Cat(_) | CapturesCommand::Verify(_) => None,
        }
    }
}

/// Runs the command. An error is for the caller to print, with exit code 104.
pub(crate) fn run(command: CapturesCommand) -> anyhow::Result<ExitCode> {
    let _unfinished = command.output().map(Unfinished::at).transpose()?;
    let result = match command {
        CapturesCommand::Import(args) => import::run(&args),
        CapturesCommand::Inspect(args) => inspect::run(&args),
        CapturesCommand::Cat(args) => show::cat(&args),
        CapturesCommand::Verify(args) => mend::verify(&args),
        CapturesCommand::Repair(args) => mend::repair(&args),
        CapturesCommand::Compact(args) => compact::run(&args),
        CapturesCommand::Export(args) => show::export(&args),
        CapturesCommand::Slice(args) => reshape::slice(&args),
        CapturesCommand::Merge(args) => reshape::merge(&args),
        CapturesCommand::Rekey(args) => reshape::rekey(&args),
        CapturesCommand::Synthesize(args) => synthesize::run(&args),
    };
    match result {
        Err(err) if is_closed_pipe(&err) => Ok(ExitCode::SUCCESS),
        other => other,
    }
}

/// Whoever read our output has seen enough (`… | head`): no error of ours.
fn is_closed_pipe(err: &anyhow::Error) -> bool {
    err.chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}

/// A line on stderr; if nobody listens there either, there is nobody to tell.
fn complain(line: impl Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Where a capture is to be made: what makes it goes back in it when it closes it.
fn new_capture(path: &str) -> Result<PathBuf, String> {
    match path {
        "-" => Err("a capture is a file, not a stream: name one".to_owned()),
        path => Ok(PathBuf::from(path)),
    }
}

/// `1234567` as `1,234,567`.
fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index != 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count and its noun: `1 session`, `2 sessions`.
fn count(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        let check = |n: u64, expect: &str| assert_eq!(thousands(n), expect);
        check(0, "0");
        check(999, "999");
        check(1000, "1,000");
        check(1_234_567, "1,234,567");
        assert_eq!(
            (count(1, "session"), count(2000, "block")),
            ("1 session".to_owned(), "2,000 blocks".to_owned())
        );
    }
}
