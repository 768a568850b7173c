//! `squall captures inspect --links`.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use captures::links::{self, Link, LinkSet};

use super::{complain, count, thousands};

/// Says which links a capture has, and which pairs were rejected.
pub(super) fn show(capture: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let (set, damage) = links::mine(&[capture], usize::MAX)?;
    damage.iter().for_each(|damage| complain(format_args!("warning: {damage}")));
    let mut out = std::io::stdout().lock();
    match json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&set)?)?,
        false => write!(out, "{}", in_words(&set))?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn in_words(set: &LinkSet) -> String {
    let mut text =
        format!("{} in {}\n", count(set.links.len() as u64, "link"), count(set.sessions, "session"));
    let mut line = |words: String| {
        let _ = writeln!(text, "{words}");
    };
    if set.left_out != 0 {
        line(format!("{} are left out: there was no room for them", count(set.left_out, "session")));
    }
    if set.whole_answers < set.answers {
        let (whole, all) = (thousands(set.whole_answers), thousands(set.answers));
        line(format!(
            "{whole} of {all} answers can be looked into; of the others only the head can be linked"
        ));
        line(
            "to look into answers up to 1 MB: squall proxy --record CAPTURE --record-bodies response=full"
                .to_owned(),
        );
    }
    if !set.links.is_empty() {
        line(format!("{:>8} {:>8} {:>8} {:>6}  from -> to", "requests", "sessions", "coverage", "score"));
    }
    for link in &set.links {
        line(format!(
            "{:>8} {:>8} {:>7.1}% {:>6.2}  {} -> {}",
            thousands(link.support),
            thousands(link.sessions),
            link.coverage * 100.0,
            link.score,
            link.from,
            link.to,
        ));
        line(format!("{:>35}{}", "", why(link)));
    }
    if !set.rejected.is_empty() {
        line("rejected".to_owned());
    }
    for miss in set.rejected.iter().take(SHOWN) {
        let (matches, sessions) = (thousands(miss.matches), thousands(miss.sessions));
        line(format!("{matches:>8} {sessions:>8} {:>17} {} -> {}", "", miss.from, miss.to));
        line(format!("{:>35}{}", "", miss.why));
    }
    let more = set.rejected.len().saturating_sub(SHOWN);
    if more != 0 {
        line(format!("{:>35}and {more} more; --json has them", ""));
    }
    text
}

fn why(link: &Link) -> String {
    let how = if link.is_cookie() { "; the cookie jar does it" } else { "" };
    format!("{}, such as {}{how}", link.why, link.example)
}

/// Rejected pairs that the text shows.
const SHOWN: usize = 15;
