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
#[must_use]
pub fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    let bare = word.replace('_', "");
    let foreign = FOREIGN.iter().filter(|(theirs, _)| *theirs == bare).flat_map(|(_, ours)| *ours);
    for ours in foreign {
        if let Some(found) = known.iter().find(|known| *known == ours) {
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

/// Words of other tools (Envoy, Istio, Toxiproxy, Chaos Mesh, WireMock, netem) and of our own readers for the same things:
/// in lower case without underscores, with ours in the order of preference.
const FOREIGN: &[(&str, &[&str])] = &[
    ("match", &["on"]),
    ("path", &["on"]),
    ("url", &["on"]),
    ("route", &["on"]),
    ("scope", &["on"]),
    ("headers", &["header", "on"]),
    ("upstream", &["group", "on"]),
    ("upstreamcluster", &["group", "on"]),
    ("cluster", &["group"]),
    ("region", &["group"]),
    ("destination", &["host", "on"]),
    ("name", &["id"]),
    ("probability", &["rate"]),
    ("percent", &["rate"]),
    ("percentage", &["rate"]),
    ("toxicity", &["rate"]),
    ("select", &["rate"]),
    ("ratio", &["rate"]),
    ("window", &["when"]),
    ("schedule", &["when"]),
    ("duration", &["when", "value", "timeout"]),
    ("begin", &["from", "start"]),
    ("until", &["to"]),
    ("rampup", &["ramp"]),
    ("repeat", &["every"]),
    ("count", &["times", "copies"]),
    ("nth", &["every"]),
    ("failfirst", &["attempts"]),
    ("failrequestcount", &["attempts"]),
    ("attempt", &["attempts"]),
    ("latency", &["delay"]),
    ("fixeddelay", &["delay"]),
    ("exponentialdelay", &["delay"]),
    ("wait", &["delay"]),
    ("jitter", &["sd"]),
    ("stddev", &["sd"]),
    ("sigma", &["sd"]),
    ("median", &["p50"]),
    ("lower", &["min"]),
    ("upper", &["max"]),
    ("distribution", &["dist"]),
    ("abort", &["respond"]),
    ("error", &["respond"]),
    ("httpstatus", &["status", "respond"]),
    ("status", &["respond"]),
    ("response", &["respond"]),
    ("grpcstatus", &["grpc_status"]),
    ("code", &["status"]),
    ("timeout", &["blackhole"]),
    ("drop", &["drop_response", "loss"]),
    ("resetpeer", &["reset"]),
    ("rststream", &["reset"]),
    ("connectionreset", &["reset"]),
    ("limitdata", &["truncate"]),
    ("cut", &["truncate"]),
    ("bandwidth", &["throttle"]),
    ("responseratelimit", &["throttle"]),
    ("slicer", &["throttle"]),
    ("drip", &["throttle"]),
    ("chunkeddribbledelay", &["throttle"]),
    ("averagesize", &["piece"]),
    ("slowclose", &["delay"]),
    ("packetloss", &["loss"]),
    ("corruption", &["corrupt"]),
    ("malformed", &["corrupt"]),
    ("mirror", &["duplicate"]),
    ("retrystorm", &["storm"]),
    ("down", &["outage"]),
    ("partition", &["outage"]),
    ("replicationlag", &["stale"]),
    ("wsclose", &["websocket_close"]),
    ("ratelimit", &["rate_limit"]),
    ("quota", &["rate_limit"]),
    ("maxactivefaults", &["max_active"]),
    ("key", &["per"]),
    ("by", &["per"]),
    ("modulo", &["of"]),
    ("shards", &["of", "shard"]),
    ("index", &["is"]),
    ("stream", &["direction"]),
    ("rules", &["rule"]),
    ("fault", &["rule"]),
    ("faults", &["rule"]),
    ("groups", &["group"]),
    ("guards", &["guard"]),
    ("hooks", &["hook"]),
    ("slo", &["guard"]),
    ("metric", &["signal"]),
    ("threshold", &["limit"]),
    ("compare", &["limit"]),
    ("ontrip", &["trip"]),
    ("action", &["trip"]),
    ("command", &["start"]),
    ("stop", &["end"]),
    ("undo", &["end"]),
    ("exclude", &["protect"]),
    ("maxduration", &["max_run"]),
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
        check("fixedDelay", Some("delay"));
        check("http_status", Some("status"));
        check("toxicity", Some("rate"));
        check("ids", Some("id"));
        check("xyzzy", None);
        check("", None);
        check(&"r".repeat(1_000_000), None);
    }
}
