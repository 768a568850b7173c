//! What was found in how many of the runs.

use crate::report::{RepeatFinding, Report, headline};
use crate::verdict;

/// Most common first; in the order in which they came where that is the same.
pub(super) fn of(runs: &[Report]) -> Vec<RepeatFinding> {
    let mut found: Vec<RepeatFinding> = Vec::new();
    for (number, run) in (1..).zip(runs) {
        for (kind, what) in in_run(run) {
            match found.iter_mut().find(|known| (known.kind.as_str(), &known.what) == (kind, &what)) {
                Some(known) if known.runs.last() == Some(&number) => {}
                Some(known) => known.runs.push(number),
                None => found.push(RepeatFinding { kind: kind.to_owned(), what, runs: vec![number] }),
            }
        }
    }
    found.sort_by_key(|finding| std::cmp::Reverse(finding.runs.len()));
    found.truncate(MOST);
    found
}

/// What one run found, in words that are the same in the next run that finds it.
fn in_run(run: &Report) -> Vec<(&'static str, String)> {
    let thresholds =
        run.thresholds.iter().filter(|threshold| !threshold.ok).map(|threshold| threshold.expr.clone());
    let rows = run.books.off().map(|row| row.row.clone());
    let missed =
        |rule: &&crate::report::Rule| !verdict::missed_targets(std::slice::from_ref(*rule)).is_empty();
    let rules = run.rules.iter().filter(missed).map(|rule| rule.id.clone());
    let guards =
        run.guards.iter().filter(|guard| guard.tripped_at_us.is_some()).map(|guard| guard.name.clone());
    let degraded = run.generator.degraded.iter().map(|line| without_figures(line));
    let kinds: [(&'static str, Vec<String>); 6] = [
        ("threshold", thresholds.collect()),
        ("books", rows.collect()),
        ("rule", rules.collect()),
        ("guard", guards.collect()),
        ("generator", degraded.collect()),
        ("analysis", headline::findings(run).into_iter().map(|finding| finding.key).collect()),
    ];
    kinds.into_iter().flat_map(|(kind, all)| all.into_iter().map(move |what| (kind, what))).collect()
}

/// A sentence up to its first colon or figure: what differs from run to run stands behind it.
fn without_figures(line: &str) -> String {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
    let end = rest.find(|c: char| c == ':' || c == '(' || c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].trim_end().trim_end_matches(',').to_owned()
}

/// More are not told apart.
const MOST: usize = 100;
