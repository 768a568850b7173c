//! The leaves that explain each slot best, and why others do not.
//!
//! For each slot the leaf that explains most of its values is looked at first; of equal ones the cookie that was set
//! under the same name, then the link of a page that was followed, then the one that is named alike, then the nearest. If it is believed, what it explains is taken away, and the search goes on with the rest:
//! a token may come from the login in some sessions and from the refresh in others.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::digest::{Digest, Digests};
use super::matches::{Match, Matches, Occurrences};
use super::{LeafKind, Link, LinkSet, NearMiss, Sink, Slot, Source, Within};
use crate::limits::MAX_NEAR_MISSES;

/// The links of what was taken in.
pub(super) fn links(mut digests: Digests) -> LinkSet {
    let sessions = digests.take_sessions();
    let left_out = digests.left_out();
    let Digests { places, answers, whole_answers, .. } = digests;
    let examples = (places.given, places.sent);
    let (sources, sinks) = (places.sources.into_list(), places.sinks.into_list());
    let matches = Matches::find(&sessions);
    let chooser = Chooser { sessions: &sessions, sources: &sources, sinks: &sinks, examples: &examples };
    let mut set = LinkSet { left_out, answers, whole_answers, ..LinkSet::default() };
    set.sessions = sessions.len() as u64;
    let mut by_sink: BTreeMap<u32, Vec<&Match>> = BTreeMap::new();
    for found in &matches.all {
        by_sink.entry(found.sink).or_default().push(found);
    }
    for (sink, found) in by_sink {
        chooser.choose(sink, found, &matches, &mut set);
    }
    for ((source, sink), typed) in &matches.typed {
        set.rejected.push(chooser.miss(*source, *sink, *typed, TYPED.to_owned()));
    }
    set.links.sort_by(|a, b| (&a.from, &a.to).cmp(&(&b.from, &b.to)));
    let order = |a: &NearMiss, b: &NearMiss| {
        b.matches.cmp(&a.matches).then_with(|| (&a.from, &a.to).cmp(&(&b.from, &b.to)))
    };
    set.rejected.sort_by(order);
    set.rejected.truncate(MAX_NEAR_MISSES);
    set
}

struct Chooser<'a> {
    sessions: &'a [Vec<Digest>],
    sources: &'a [Source],
    sinks: &'a [Sink],
    /// Of values by source, and by sink.
    examples: &'a (Vec<String>, Vec<String>),
}

/// What speaks for a source of one sink.
#[derive(Default)]
struct Evidence {
    met: Occurrences,
    fresh: u64,
    exclusive: u64,
    strong: u64,
    values: HashSet<u64>,
    lags: Vec<u32>,
}

impl Evidence {
    fn share(&self, part: u64) -> f64 {
        part as f64 / self.met.count.max(1) as f64
    }

    fn lag(&self) -> u64 {
        let mut lags = self.lags.clone();
        lags.sort_unstable();
        lags.get(lags.len() / 2).copied().unwrap_or(0).into()
    }

    /// Whether most of its values cannot be equal by chance.
    fn is_strong(&self) -> bool {
        self.met.count < self.strong * 2
    }
}

impl Chooser<'_> {
    fn choose(&self, sink: u32, mut left: Vec<&Match>, matches: &Matches, set: &mut LinkSet) {
        let mut refused: HashSet<u32> = HashSet::new();
        let all = matches.sinks.get(&sink).copied().unwrap_or_default();
        while refused.len() < MAX_TRIES
            && let Some((source, evidence)) = self.best(sink, &left, &refused, matches)
        {
            refused.insert(source);
            let consistency = self.consistency(source, &left);
            match verdict(&evidence, consistency) {
                Ok(why) => {
                    left.retain(|found| !found.sources.iter().any(|(known, _)| *known == source));
                    set.links.push(self.link((source, sink), &evidence, (consistency, why), all));
                }
                Err(why) => set.rejected.push(self.miss(source, sink, evidence.met, why)),
            }
        }
    }

    /// The source that explains most of what is left.
    fn best(
        &self,
        sink: u32,
        left: &[&Match],
        refused: &HashSet<u32>,
        matches: &Matches,
    ) -> Option<(u32, Evidence)> {
        let mut by_source: HashMap<u32, Evidence> = HashMap::new();
        for found in left {
            for (source, lag) in found.sources.iter().filter(|(source, _)| !refused.contains(source)) {
                let evidence = by_source.entry(*source).or_default();
                evidence.met.note(found.session);
                evidence.fresh += u64::from(matches.is_fresh(found, *source));
                evidence.exclusive += u64::from(matches.is_exclusive(found, *source));
                evidence.strong += u64::from(found.value.strong);
                evidence.values.insert(found.value.hash);
                evidence.lags.push(*lag);
            }
        }
        let order = |(source, evidence): &(u32, Evidence)| {
            let (from, to) = (&self.sources[*source as usize], &self.sinks[sink as usize]);
            let alike = affinity(from, to);
            let near = std::cmp::Reverse(evidence.lag());
            (
                evidence.met.count,
                super::is_cookie(from, to),
                likeness(from, to),
                alike,
                near,
                std::cmp::Reverse(from.to_string()),
            )
        };
        by_source.into_iter().max_by_key(order)
    }

    /// How often the nearest earlier answer with the source had the value that was sent.
    fn consistency(&self, source: u32, left: &[&Match]) -> f64 {
        let (mut possible, mut right) = (0_u64, 0_u64);
        let sessions: HashSet<u32> = left.iter().map(|found| found.session).collect();
        let sink = left.first().map_or(0, |found| found.sink);
        for session in sessions {
            // answers that hold it, the latest last
            let mut holders: Vec<&Digest> = Vec::new();
            for digest in &self.sessions[session as usize] {
                let was_there = |holder: &&&Digest| {
                    let mut given = holder.given.iter();
                    given.any(|given| given.place == source && given.at_us <= digest.start_us)
                };
                for sent in digest.sent.iter().filter(|sent| sent.place == sink) {
                    let Some(nearest) = holders.iter().rev().take(AT_ONCE).find(was_there) else { continue };
                    let mut given = nearest.given.iter().filter(|given| given.place == source);
                    possible += 1;
                    right += u64::from(given.any(|given| given.hash == sent.hash));
                }
                if digest.given.iter().any(|given| given.place == source) {
                    holders.push(digest);
                }
            }
        }
        if possible == 0 { 0.0 } else { right as f64 / possible as f64 }
    }

    fn link(
        &self,
        (source, sink): (u32, u32),
        evidence: &Evidence,
        (consistency, why): (f64, String),
        all: Occurrences,
    ) -> Link {
        let support = evidence.met.count;
        let fresh = evidence.share(evidence.fresh);
        let certainty = if evidence.is_strong() { 1.0 } else { 0.8 * consistency };
        let round = |share: f64| (share * 1000.0).round() / 1000.0;
        let enough = evidence.met.sessions as f64 / (evidence.met.sessions as f64 + 0.25);
        Link {
            from: self.sources[source as usize].clone(),
            to: self.sinks[sink as usize].clone(),
            support,
            sessions: evidence.met.sessions,
            coverage: round(support as f64 / all.count.max(1) as f64),
            fresh: round(fresh),
            consistency: round(consistency),
            lag: evidence.lag(),
            score: round(certainty * fresh * enough),
            why,
            example: self.example(source, sink),
        }
    }

    /// The beginning of a value; of an answer that was recorded with prints only the requests show it.
    fn example(&self, source: u32, sink: u32) -> String {
        let (given, sent) = self.examples;
        let given = given.get(source as usize).filter(|example| !example.is_empty());
        given.or(sent.get(sink as usize)).cloned().unwrap_or_default()
    }

    fn miss(&self, source: u32, sink: u32, met: Occurrences, why: String) -> NearMiss {
        NearMiss {
            from: self.sources[source as usize].clone(),
            to: self.sinks[sink as usize].clone(),
            matches: met.count,
            sessions: met.sessions,
            why,
        }
    }
}

/// Whether it is believed, and why or why not.
fn verdict(evidence: &Evidence, consistency: f64) -> Result<String, String> {
    let percent = |share: f64| (share * 100.0).round() as u64;
    let sessions = evidence.met.sessions;
    let fresh = evidence.share(evidence.fresh);
    let exclusive = evidence.share(evidence.exclusive);
    let others = || {
        let seen = percent(1.0 - if sessions < FEW { exclusive } else { fresh });
        Err(format!("constant: {seen} % of these values were given to other sessions as well"))
    };
    if evidence.is_strong() {
        if fresh <= 0.5 || sessions < FEW && exclusive <= 0.5 {
            return others();
        }
        return Ok(format!("long values, {} % of them given to nobody before", percent(fresh)));
    }
    if sessions < WEAK_SESSIONS {
        let words = "short values, which may be equal by chance";
        return Err(format!("{words} (sessions: {sessions}, it takes {WEAK_SESSIONS})"));
    }
    if fresh < WEAK_SHARE {
        return others();
    }
    if (evidence.values.len() as u64) < WEAK_SESSIONS.max(sessions / 2) {
        let count = evidence.values.len();
        return Err(format!("constant: {count} different values in {sessions} sessions"));
    }
    if consistency < WEAK_SHARE {
        let share = percent(consistency);
        return Err(format!("by chance: only {share} % of the requests that could send the value did"));
    }
    Ok(format!("short values, each new, in {} % of the requests that could", percent(consistency)))
}

/// How a place in an answer goes with one in a request, whatever they are named: what stands in an address goes to an
/// address, and best to the one that it is.
fn likeness(from: &Source, to: &Sink) -> u8 {
    let is_address = matches!(to.slot, Slot::Path(_) | Slot::Query(_));
    match &from.leaf.kind {
        LeafKind::AddressPath(_, Within::Page(route)) | LeafKind::AddressQuery(_, Within::Page(route))
            if is_address && *route == to.at.route =>
        {
            2
        }
        kind => u8::from(is_address || !kind.is_in_address()),
    }
}

/// Words that both sides use: `/orders/{id}` takes what `POST /orders` gives rather than another number.
fn affinity(from: &Source, to: &Sink) -> usize {
    let words = |text: String| -> HashSet<String> {
        let parts = text.split(|c: char| !c.is_ascii_alphanumeric()).map(|word| {
            let word = word.to_ascii_lowercase();
            word.strip_suffix('s').map(str::to_owned).unwrap_or(word)
        });
        parts.filter(|word| 2 < word.len() && !KIND_WORDS.contains(&word.as_str())).collect()
    };
    words(from.to_string()).intersection(&words(to.to_string())).count()
}

const TYPED: &str = "the client had sent the value before any answer held it";
/// Fewer sessions than this, and a value must be theirs alone.
const FEW: u64 = 3;
/// Sessions that it takes to believe in short values.
const WEAK_SESSIONS: u64 = 5;
/// Share of them that must be new, and that must be sent where they could be.
const WEAK_SHARE: f64 = 0.9;
/// Sources that are looked at for one sink: a short number stands everywhere.
const MAX_TRIES: usize = 24;
/// Answers of one session that are under way at the same time.
const AT_ONCE: usize = 16;
/// Words of the notation.
const KIND_WORDS: [&str; 12] = [
    "json", "path", "header", "form", "query", "cookie", "html", "field", "event", "redirect", "get", "post",
];
