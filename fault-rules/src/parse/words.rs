//! The nearest right word for a wrong one.

/// What to say about a word that is not among the known ones.
pub(crate) fn did_you_mean(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(right) => format!("did you mean `{right}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// What to say about a name that refers to nothing in this file.
pub(crate) fn unknown_reference(kind: &str, name: &str, known: &[&str]) -> (String, Option<String>) {
    let advice = match nearest(name, known) {
        Some(right) => format!("did you mean `{right}`?"),
        None if known.is_empty() => {
            format!("there is no {kind} here; a rule file names one by `[{kind}.{name}]`")
        }
        None => format!("known here: {}", known.join(", ")),
    };
    (format!("no {kind} is called `{name}`"), Some(advice))
}

/// The known word that was probably meant.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    let foreign = FOREIGN.iter().filter(|(theirs, _)| *theirs == word).map(|(_, ours)| *ours);
    for ours in foreign {
        if let Some(found) = known.iter().find(|known| **known == ours) {
            return Some(found);
        }
    }
    if LONGEST_WORD < word.len() {
        return None;
    }
    known
        .iter()
        .map(|known| (distance(word.as_bytes(), known.to_ascii_lowercase().as_bytes()), *known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4 && *distance < known.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Edits that turn one word into the other: insert, delete, replace, or swap two neighbours.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut here = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            let mut least = replaced.min(last[j + 1] + 1).min(here[j] + 1);
            if 0 < i && 0 < j && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            here.push(least);
        }
        before = std::mem::replace(&mut last, here);
    }
    last.last().copied().unwrap_or(0)
}

/// Longer words are no slips of the pen, and the distance costs the product of both lengths.
const LONGEST_WORD: usize = 40;

/// Words of other tools (and of our own readers) for the same thing.
const FOREIGN: &[(&str, &str)] = &[
    ("match", "on"),
    ("path", "on"),
    ("url", "on"),
    ("route", "on"),
    ("name", "id"),
    ("probability", "rate"),
    ("percent", "rate"),
    ("percentage", "rate"),
    ("toxicity", "rate"),
    ("select", "rate"),
    ("window", "when"),
    ("schedule", "when"),
    ("latency", "delay"),
    ("fixed_delay", "delay"),
    ("abort", "respond"),
    ("error", "respond"),
    ("status", "respond"),
    ("response", "respond"),
    ("timeout", "blackhole"),
    ("reset_peer", "reset"),
    ("ratelimit", "rate_limit"),
    ("quota", "rate_limit"),
    ("code", "status"),
    ("stddev", "sd"),
    ("sigma", "sd"),
    ("median", "p50"),
    ("lower", "min"),
    ("upper", "max"),
    ("key", "per"),
    ("by", "per"),
    ("rules", "rule"),
    ("fault", "rule"),
    ("faults", "rule"),
    ("exclude", "protect"),
    ("max_duration", "max_run"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_or_none() {
        let known = ["id", "on", "rate", "delay", "respond", "rate_limit", "status"];
        let check = |word: &str, expect: Option<&str>| assert_eq!(nearest(word, &known), expect, "{word}");
        check("dealy", Some("delay"));
        check("statsu", Some("status"));
        check("Respond", Some("respond"));
        check("rate-limit", Some("rate_limit"));
        check("latency", Some("delay"));
        check("ids", Some("id"));
        check("xyzzy", None);
        check("", None);
        check(&"r".repeat(1_000_000), None);
    }
}
