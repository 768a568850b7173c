//! What each rule would have hit, as a table.

use std::fmt::Write as _;

use fault_rules::RuleSet;

use super::plural;
use super::weigh::{Tally, Weighed};

pub(super) fn of(set: &RuleSet, weighed: &Weighed, capture: &str) -> String {
    let mut text = head(set, weighed, capture);
    let width = set.rules().iter().map(|rule| rule.id.len()).max().unwrap_or(0).max(4);
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "  {:width$} {:>10} {:>10} {:>10} {:>10}  spared",
        "rule", "matches", "selects", "hits", "sessions"
    );
    for (rule, tally) in set.rules().iter().zip(&weighed.rules) {
        let row = format!(
            "  {:width$} {:>10} {:>10} {:>10} {:>10}  {}",
            rule.id,
            tally.matched,
            tally.selected,
            tally.hits,
            tally.sessions.len(),
            spared(tally)
        );
        text += row.trim_end();
        text.push('\n');
    }
    let _ = writeln!(text, "\n  affected: {} of {}", weighed.affected, plural(weighed.exchanges, "exchange"));
    if !set.safety.protect.is_empty() {
        let protected = weighed.protected.iter().sum::<u64>();
        let _ = writeln!(text, "  protected: {}{}", plural(protected, "exchange"), needless(set, weighed));
    }
    if set.safety.max_affected.is_some() && weighed.breach.is_none() {
        text += "  max_affected: never breached\n";
    }
    if set.safety.max_active.is_some() && weighed.crowd.is_none() {
        let _ = writeln!(text, "  max_active: at most {} at once", weighed.most_active);
    }
    text
}

fn head(set: &RuleSet, weighed: &Weighed, capture: &str) -> String {
    let mut text = format!(
        "against {capture}: {} in {} over {:.1?}, at recorded speed\n",
        plural(weighed.exchanges, "exchange"),
        plural(weighed.sessions, "session"),
        weighed.span
    );
    if 0 < weighed.damaged {
        let places = plural(weighed.damaged, "damaged place");
        text += &format!("  {places} in the capture could not be read: see squall captures verify\n");
    }
    text += &set.seed.map_or(
        "  no seed in the file: counted with seed 0, a run draws another and hits about as many".to_owned(),
        |seed| format!("  seed {seed:#x}"),
    );
    text += "; an operation is its idempotency key, else its traceparent,\n  \
             else session, method, path and the how-manieth such; sessions are those of a replay's first clones\n";
    let of_groups: Vec<_> = set
        .rules()
        .iter()
        .filter(|rule| rule.on.group().is_some())
        .map(|rule| format!("`{}`", rule.id))
        .collect();
    if !of_groups.is_empty() {
        let ids = of_groups.join(", ");
        let _ = writeln!(
            text,
            "  a capture does not know upstreams: counted as if all went to the group of {ids}"
        );
    }
    if set.rules().iter().any(|rule| rule.guard.is_some()) {
        text += "  guards are taken to stay quiet\n";
    }
    text.push('\n');
    text
}

/// Entries of `protect` that no exchange needed: an opt-out header, or a slip of the pen.
fn needless(set: &RuleSet, weighed: &Weighed) -> String {
    let entries = set.safety.protect.iter().zip(&weighed.protected).enumerate();
    let needless = entries.filter(|(_, (on, count))| **count == 0 && on.group().is_none());
    let places: Vec<_> = needless.map(|(place, _)| (place + 1).to_string()).collect();
    match places.as_slice() {
        [] => String::new(),
        places => format!(" (none by entry {} of `protect`)", places.join(", ")),
    }
}

fn spared(tally: &Tally) -> String {
    let status = (0 < tally.other_status).then(|| format!("other status {}", tally.other_status));
    let spared = tally.spared.iter().map(|(why, n)| format!("{why} {n}"));
    status.into_iter().chain(spared).collect::<Vec<_>>().join(", ")
}
