//! What mining keeps of each exchange: hashes of values with the numbers of their places.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use xxhash_rust::xxh3::xxh3_64;

use super::prints::{self, Print};
use super::{Endpoint, Sink, Source, answer, request, value};
use crate::Exchange;
use crate::limits::{MAX_LINK_HELD, MAX_LINK_PLACES};

/// Sessions as far as mining looks at them.
#[derive(Default)]
pub(super) struct Digests {
    sessions: HashMap<(usize, u64), Vec<Digest>>,
    pub(super) places: Places,
    /// Values held.
    held: usize,
    /// Sessions whose hash, shifted right by this, is not 0 are left out.
    shift: u32,
    left_out: HashSet<u64>,
    pub(super) answers: u64,
    pub(super) whole_answers: u64,
}

/// The places that were met.
#[derive(Default)]
pub(super) struct Places {
    pub(super) sources: Interner<Source>,
    pub(super) sinks: Interner<Sink>,
    /// By source, and by sink: the beginning of its first value.
    pub(super) given: Vec<String>,
    pub(super) sent: Vec<String>,
}

/// An exchange.
pub(super) struct Digest {
    pub(super) start_us: u64,
    pub(super) sent: Vec<Value>,
    pub(super) given: Vec<Value>,
}

/// A value with its place.
#[derive(Clone, Copy)]
pub(super) struct Value {
    pub(super) hash: u64,
    /// When it was there.
    pub(super) at_us: u64,
    /// The number of its source or sink.
    pub(super) place: u32,
    /// It is not equal to another one by chance.
    pub(super) strong: bool,
}

/// Numbers for things, of a bounded number of them.
pub(super) struct Interner<T> {
    numbers: HashMap<T, u32>,
}

impl<T> Default for Interner<T> {
    fn default() -> Interner<T> {
        Interner { numbers: HashMap::new() }
    }
}

impl<T: Hash + Eq> Interner<T> {
    /// `None`: there are too many.
    fn number(&mut self, thing: T) -> Option<u32> {
        let next = self.numbers.len();
        if MAX_LINK_PLACES <= next {
            return self.numbers.get(&thing).copied();
        }
        Some(*self.numbers.entry(thing).or_insert(next as u32))
    }

    /// All things, by number.
    pub(super) fn into_list(self) -> Vec<T> {
        let mut list: Vec<(T, u32)> = self.numbers.into_iter().collect();
        list.sort_unstable_by_key(|(_, number)| *number);
        list.into_iter().map(|(thing, _)| thing).collect()
    }
}

impl Digests {
    /// Takes in an exchange of the capture `source`. What faults touched, and what was replayed, says nothing.
    pub(super) fn add(&mut self, source: usize, exchange: &Exchange) {
        let session = (source, exchange.session.0);
        if self.is_left_out(session) {
            self.leave_out(session);
            return;
        }
        if !exchange.faults.is_empty() || exchange.notes.contains(crate::notes::Notes::REPLAYED) {
            return;
        }
        if let Some(response) = exchange.response.as_ref().filter(|response| response.body.len != 0) {
            self.answers += 1;
            self.whole_answers += u64::from(response.body.is_whole() || prints::covers_body(response));
        }
        let digest = self.places.digest(exchange);
        self.held += digest.sent.len() + digest.given.len();
        self.sessions.entry(session).or_default().push(digest);
        while MAX_LINK_HELD < self.held && self.shift < 63 {
            self.shift += 1;
            self.make_room();
        }
    }

    /// Lets go the sessions that are no longer in the share.
    fn make_room(&mut self) {
        let all = std::mem::take(&mut self.sessions);
        self.held = 0;
        for (session, digests) in all {
            if self.is_left_out(session) {
                self.leave_out(session);
                continue;
            }
            self.held += digests.iter().map(|digest| digest.sent.len() + digest.given.len()).sum::<usize>();
            self.sessions.insert(session, digests);
        }
    }

    fn is_left_out(&self, session: (usize, u64)) -> bool {
        hash_of(session).unbounded_shl(64 - self.shift) != 0
    }

    fn leave_out(&mut self, session: (usize, u64)) {
        if self.left_out.len() < MAX_COUNTED {
            self.left_out.insert(hash_of(session));
        }
    }

    /// How many sessions were left out; beyond a bound they are not told apart.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out.len() as u64
    }

    /// Each session's exchanges by start, sessions by id.
    pub(super) fn take_sessions(&mut self) -> Vec<Vec<Digest>> {
        let mut all: Vec<_> = std::mem::take(&mut self.sessions).into_iter().collect();
        all.sort_unstable_by_key(|(session, _)| *session);
        let sorted = all.into_iter().map(|(_, mut digests)| {
            digests.sort_by_key(|digest| digest.start_us);
            digests
        });
        sorted.collect()
    }
}

impl Places {
    fn digest(&mut self, exchange: &Exchange) -> Digest {
        let at = Endpoint::of(&exchange.request);
        let mut sent = Vec::new();
        for carried in request::sent(exchange) {
            let sink = Sink { at: at.clone(), slot: carried.slot.general() };
            let Some(place) = self.sinks.number(sink) else { continue };
            note_example(&mut self.sent, place, &carried.value);
            let strong = Print::is_strong(carried.print, &carried.value);
            sent.push(Value { hash: carried.id(), at_us: exchange.start_us, place, strong });
        }
        let mut given = Vec::new();
        for leaf in answer::given(exchange) {
            let source = Source { at: at.clone(), leaf: leaf.leaf.general() };
            let Some(place) = self.sources.number(source) else { continue };
            note_example(&mut self.given, place, &leaf.value);
            let strong = Print::is_strong(leaf.print, &leaf.value);
            given.push(Value { hash: leaf.id(), at_us: leaf.at_us, place, strong });
        }
        Digest { start_us: exchange.start_us, sent, given }
    }
}

/// The beginning of the first value at a place, unless that is known already; empty where only its print is there.
fn note_example(examples: &mut Vec<String>, place: u32, value: &[u8]) {
    if examples.len() <= place as usize {
        examples.push(if value.is_empty() { String::new() } else { value::redacted(value) });
    }
}

fn hash_of((source, session): (usize, u64)) -> u64 {
    let bytes = [(source as u64).to_le_bytes(), session.to_le_bytes()].concat();
    xxh3_64(&bytes)
}

/// Sessions that were left out and are told apart.
const MAX_COUNTED: usize = 1 << 20;
