//! Equal values: which earlier answers of the session held what a request carries.

use std::collections::{HashMap, HashSet};

use super::digest::{Digest, Value};

/// A value that a request carries and that an answer gave.
pub(super) struct Match {
    pub(super) session: u32,
    pub(super) sink: u32,
    pub(super) value: Value,
    /// Sources of earlier answers with this value, each with its distance in requests; the nearest of each.
    pub(super) sources: Vec<(u32, u32)>,
}

/// All matches, and what is needed to judge them.
#[derive(Default)]
pub(super) struct Matches {
    pub(super) all: Vec<Match>,
    /// By sink: values, and sessions with one.
    pub(super) sinks: HashMap<u32, Occurrences>,
    /// Pairs of source and sink whose values the client had sent first: requests, and sessions.
    pub(super) typed: HashMap<(u32, u32), Occurrences>,
    /// Who was given a value, by the keys of [`Match::key`].
    owners: HashMap<u64, Owner>,
}

/// How often something was met, and in how many sessions.
#[derive(Clone, Copy, Default)]
pub(super) struct Occurrences {
    pub(super) count: u64,
    pub(super) sessions: u64,
    last: u32,
}

/// The answers of a session that hold a value.
struct Given {
    first_us: u64,
    /// By exchange.
    all: Vec<(usize, Value)>,
}

/// The session that was given a value first.
struct Owner {
    at_us: u64,
    session: u32,
    /// Others were given it as well.
    shared: bool,
}

impl Occurrences {
    pub(super) fn note(&mut self, session: u32) {
        self.count += 1;
        if self.sessions == 0 || self.last != session {
            self.sessions += 1;
        }
        self.last = session;
    }
}

impl Matches {
    pub(super) fn find(sessions: &[Vec<Digest>]) -> Matches {
        let mut matches = Matches::default();
        for (number, session) in sessions.iter().enumerate() {
            matches.in_session(number as u32, session);
        }
        let wanted = matches.all.iter().flat_map(|found| {
            let keys = found.sources.iter().map(|(source, _)| key(found.value, *source));
            keys.collect::<Vec<_>>()
        });
        let wanted: HashSet<u64> = wanted.collect();
        for (number, session) in sessions.iter().enumerate() {
            for value in session.iter().flat_map(|digest| &digest.given) {
                let key = key(*value, value.place);
                if wanted.contains(&key) {
                    matches.own(key, value.at_us, number as u32);
                }
            }
        }
        matches
    }

    fn own(&mut self, key: u64, at_us: u64, session: u32) {
        let owner = self.owners.entry(key).or_insert(Owner { at_us, session, shared: false });
        owner.shared |= owner.session != session;
        if at_us < owner.at_us {
            (owner.at_us, owner.session) = (at_us, session);
        }
    }

    /// Whether nobody else had been given the value before.
    pub(super) fn is_fresh(&self, found: &Match, source: u32) -> bool {
        self.owners.get(&key(found.value, source)).is_some_and(|owner| owner.session == found.session)
    }

    /// Whether nobody else was ever given the value.
    pub(super) fn is_exclusive(&self, found: &Match, source: u32) -> bool {
        self.owners.get(&key(found.value, source)).is_some_and(|owner| !owner.shared)
    }

    fn in_session(&mut self, number: u32, session: &[Digest]) {
        let mut first_sent: HashMap<u64, u64> = HashMap::new();
        let mut given: HashMap<u64, Given> = HashMap::new();
        for (place, digest) in session.iter().enumerate() {
            for value in &digest.sent {
                first_sent.entry(value.hash).or_insert(digest.start_us);
            }
            for value in &digest.given {
                let known =
                    given.entry(value.hash).or_insert_with(|| Given { first_us: u64::MAX, all: Vec::new() });
                known.first_us = known.first_us.min(value.at_us);
                known.all.push((place, *value));
            }
        }
        for (place, digest) in session.iter().enumerate() {
            for value in &digest.sent {
                self.sinks.entry(value.place).or_default().note(number);
                let Some(known) = given.get(&value.hash) else { continue };
                let earlier = known.all.partition_point(|(at, _)| *at < place);
                let is_echo = |at: usize| session[at].sent.iter().any(|sent| sent.hash == value.hash);
                let mut sources: Vec<(u32, u32)> = Vec::new();
                for (at, found) in known.all[..earlier].iter().rev().take(MAX_ANSWERS) {
                    let is_earlier = found.at_us <= digest.start_us && !is_echo(*at);
                    let is_new = !sources.iter().any(|(known, _)| *known == found.place);
                    if is_earlier && is_new && sources.len() < MAX_SOURCES {
                        sources.push((found.place, (place - at) as u32));
                    }
                }
                if sources.is_empty() {
                    continue;
                }
                if first_sent.get(&value.hash).is_some_and(|sent_us| *sent_us < known.first_us) {
                    self.typed.entry((sources[0].0, value.place)).or_default().note(number);
                    continue;
                }
                self.all.push(Match { session: number, sink: value.place, value: *value, sources });
            }
        }
    }
}

/// What a value is known by: a strong one by itself, a weak one only where it stands.
fn key(value: Value, source: u32) -> u64 {
    match value.strong {
        true => value.hash,
        false => value.hash ^ (u64::from(source) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
    }
}

/// Sources that are looked at for one value: a short number stands everywhere.
const MAX_SOURCES: usize = 16;
/// Earlier answers that are looked at for one value, the nearest first.
const MAX_ANSWERS: usize = 256;
