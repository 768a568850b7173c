//! `squall check RULES [--against CAPTURE]`: what is wrong with a rule file, what it means, what it would have hit.

mod answer;
mod explain;
mod findings;
mod guards;
mod places;
mod states;
mod table;
#[cfg(test)]
mod tests;
mod weigh;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Read a rule file, tell every mistake with its place and the right word, and explain each rule.
///
/// Exit code 0: no findings; 1: findings, or rules that can never act on the capture; 104: a file cannot be read.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The rule file.
    #[arg(value_name = "RULES")]
    rules: PathBuf,
    /// Also count what each rule would have hit in this recorded traffic.
    #[arg(long, value_name = "CAPTURE")]
    against: Option<PathBuf>,
}

/// Prints findings or explanations.
///
/// # Errors
/// Never by itself; what goes wrong is printed and becomes the exit code.
#[allow(clippy::print_stderr, reason = "a command's output")]
pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let name = args.rules.display().to_string();
    let bytes = match proxy::read_at_most(&args.rules, fault_rules::MOST_FILE_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("squall check: cannot read {name}: {error}");
            return Ok(ExitCode::from(BAD_USAGE));
        }
    };
    let loader = fault_rules::Loader {
        file: &|body| proxy::read_at_most(&beside(&args.rules, body), fault_rules::MOST_BODY_BYTES),
        latencies: &|capture| proxy::latencies(&beside(&args.rules, capture)),
    };
    let read = fault_rules::decode(bytes, &name);
    let read = read.and_then(|text| Ok((fault_rules::parse(&text, &name, &loader)?, text)));
    let (set, text) = match read {
        Ok(read) => read,
        Err(report) => {
            say(&format!("{report}\n{name}: {}\n", plural(report.findings().len(), "finding")));
            return Ok(ExitCode::FAILURE);
        }
    };
    say(&explain::of(&name, &set));
    let mut clean = set.warnings.is_empty();
    if let Some(path) = &args.against {
        let capture = match captures::reader::load(path) {
            Ok(capture) => capture,
            Err(error) => {
                eprintln!("squall check: cannot read {}: {error}", path.display());
                return Ok(ExitCode::from(BAD_USAGE));
            }
        };
        if capture.sessions.is_empty() {
            eprintln!("squall check: {} holds no exchange; squall captures verify says why", path.display());
            return Ok(ExitCode::from(BAD_USAGE));
        }
        let weighed = weigh::weigh(&set, &capture);
        let found = findings::of(&set, &weighed, &places::Source { name: &name, text: &text });
        say(&format!("\n{}", table::of(&set, &weighed, &path.display().to_string())));
        found.iter().for_each(|finding| say(&format!("\n{finding}")));
        clean &= found.is_empty();
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// To standard output; a reader that went away (`| head`) is no reason to fail.
fn say(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// A name in a rule file is relative to that file.
fn beside(rules: &Path, name: &str) -> PathBuf {
    rules.parent().unwrap_or(Path::new("")).join(name)
}

fn plural(n: impl TryInto<u64>, what: &str) -> String {
    let n = n.try_into().unwrap_or(u64::MAX);
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// Exit code for bad usage or configuration.
const BAD_USAGE: u8 = 104;

pub(crate) const EXAMPLES: &str = "Examples:
  squall check faults.toml
  squall check faults.toml --against capture.zst
Exit code 0: no findings; 1: findings, or rules that can never act on the capture; 104: a file cannot be read.";
