//! `squall captures verify` and `repair`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use captures::canary::{self, Canaries, Leaks};
use captures::repair;
use captures::verify::{self, Verification};

use super::{count, thousands};

/// Which capture to check.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// The capture.
    capture: PathBuf,
    /// Look for the secrets in this file, one a line, in everything that the capture says, with percent-encoding, escapes, references,
    /// base64 and compression undone too; exit 1 where one is found.
    #[arg(long, value_name = "FILE")]
    canary: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// Which capture to repair, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct RepairArgs {
    /// The capture. Repaired in place, unless an output is named; a crash leaves the old file or the new one.
    capture: PathBuf,
    /// Write the repaired capture here and leave the first one alone; an existing file is refused.
    #[arg(short, long, value_name = "CAPTURE")]
    pub(super) output: Option<PathBuf>,
}

/// Checks all of a capture; exit 1 if anything is to be said against it.
pub(super) fn verify(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let (found, leaks) = match &args.canary {
        Some(path) => {
            let (found, leaks) = canary::verify(&args.capture, &Canaries::read(path)?)?;
            (found, Some(leaks))
        }
        None => (verify::verify(&args.capture)?, None),
    };
    let mut out = std::io::stdout().lock();
    match args.json {
        true => {
            let mut json = serde_json::to_value(&found)?;
            if let Some(leaks) = &leaks {
                json["leaks"] = serde_json::to_value(leaks)?;
            }
            writeln!(out, "{json:#}")?;
        }
        false => {
            write!(out, "{}", in_words(&found))?;
            match found.is_clean() {
                true => writeln!(out, "whole")?,
                false => writeln!(out, "next: squall captures repair {}", args.capture.display())?,
            }
            write!(out, "{}", leaks.as_ref().map(leaks_in_words).unwrap_or_default())?;
        }
    }
    out.flush()?;
    let is_good = found.is_clean() && leaks.is_none_or(|leaks| leaks.count == 0);
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
}

fn leaks_in_words(leaks: &Leaks) -> String {
    let mut text = String::new();
    for leak in &leaks.named {
        text.push_str(&format!("{leak}\n"));
    }
    let more = leaks.count - leaks.named.len() as u64;
    if more != 0 {
        text.push_str(&format!("and {} more\n", thousands(more)));
    }
    if leaks.unreadable_bodies != 0 {
        let bodies = leaks.unreadable_bodies;
        text.push_str(&format!(
            "not looked into: packed bodies that cannot be unpacked: {}\n",
            thousands(bodies)
        ));
    }
    if leaks.count == 0 {
        text.push_str("none of the secrets was found\n");
    }
    text
}

/// Repairs, and says what was lost.
pub(super) fn repair(args: &RepairArgs) -> anyhow::Result<ExitCode> {
    let done = repair::repair(&args.capture, args.output.as_deref())?;
    let mut out = std::io::stdout().lock();
    write!(out, "{}", in_words(&done.before))?;
    let path = done.path.display();
    match done.changed {
        true => writeln!(out, "repaired: {path} holds {}", count(done.before.exchanges, "exchange"))?,
        false => writeln!(out, "whole already: {path} was left as it is")?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn in_words(found: &Verification) -> String {
    let mut text = format!(
        "{} in {}, {}, {} bytes\n",
        count(found.exchanges, "exchange"),
        count(found.sessions, "session"),
        count(found.blocks, "block"),
        thousands(found.bytes),
    );
    for (reason, n) in &found.shed {
        text.push_str(&format!("shed, {reason}: {}\n", thousands(*n)));
    }
    for damage in &found.damage {
        text.push_str(&format!("{damage}\n"));
    }
    for contradiction in &found.contradictions {
        text.push_str(&format!("{contradiction}\n"));
    }
    if !found.closed {
        text.push_str("not closed: no index and seek table at the end (still being written, or cut off)\n");
    }
    text
}

/// Something is to be said against the capture.
pub(super) const VERIFY_EXAMPLES: &str = "Examples:
  squall captures verify capture.zst || squall captures repair capture.zst
  squall captures verify capture.zst --canary secrets.txt
Exit code 0: whole; 1: there are findings; 104: it cannot be read.";

pub(super) const REPAIR_EXAMPLES: &str = "Examples:
  squall captures repair capture.zst                    closes it; good blocks are left as they are
  squall captures repair capture.zst -o repaired.zst    leaves the damaged one alone";

const FINDINGS: u8 = 1;
