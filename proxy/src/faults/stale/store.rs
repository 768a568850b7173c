//! Earlier answers, kept in memory: the newest last for each request, the oldest of all shed first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::sync::lock;

/// An earlier answer.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) status: StatusCode,
    /// End-to-end headers.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Equal for equal answers, dates aside.
    pub(crate) print: u64,
}

impl Version {
    fn size(&self) -> usize {
        let field =
            |(name, value): (&http::HeaderName, &http::HeaderValue)| name.as_str().len() + value.len() + 64;
        self.body.len() + self.headers.iter().map(field).sum::<usize>() + 256
    }
}

/// All that is kept.
#[derive(Debug, Default)]
pub(crate) struct Store(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_key: HashMap<u128, VecDeque<Slot>>,
    /// The key of each slot by its number, so in the order they came.
    order: BTreeMap<u64, u128>,
    next_number: u64,
    bytes: usize,
    shed: u64,
    /// The oldest answer that a rule may ask for; `None`: there is no such rule, and nothing is kept.
    longest: Option<Duration>,
}

/// The same answer, given once or several times in a row.
#[derive(Debug)]
struct Slot {
    number: u64,
    version: Arc<Version>,
    first: Instant,
    last: Instant,
}

impl Store {
    /// Follows a new set of rules, whose greatest age this is.
    pub(crate) fn adopt(&self, longest: Option<Duration>) {
        let mut inner = lock(&self.0);
        if longest.is_none() {
            *inner = Inner { shed: inner.shed, ..Inner::default() };
        }
        inner.longest = longest;
    }

    /// Keeps one more answer to a request, given just now.
    pub(crate) fn keep(&self, key: u128, version: Version, now: Instant) {
        lock(&self.0).keep(key, version, now);
    }

    /// The newest answer that is at least this old, and how old it is.
    pub(crate) fn find(&self, key: u128, age: Duration, now: Instant) -> Option<(Arc<Version>, Duration)> {
        let latest = now.checked_sub(age)?;
        let inner = lock(&self.0);
        let slot = inner.by_key.get(&key)?.iter().rev().find(|slot| slot.first <= latest)?;
        Some((slot.version.clone(), now - slot.last.min(latest)))
    }

    /// Counts an answer that was too large to be kept.
    pub(crate) fn count_shed(&self) {
        lock(&self.0).shed += 1;
    }

    /// Answers that were dropped for lack of room, or not kept for their size.
    pub(crate) fn shed(&self) -> u64 {
        lock(&self.0).shed
    }
}

impl Inner {
    fn keep(&mut self, key: u128, version: Version, now: Instant) {
        let Some(longest) = self.longest else { return };
        let slots = self.by_key.entry(key).or_default();
        if let Some(same) = slots.back_mut().filter(|newest| newest.version.print == version.print) {
            same.last = now;
            return;
        }
        self.bytes += version.size();
        let number = self.next_number;
        self.next_number += 1;
        slots.push_back(Slot { number, version: Arc::new(version), first: now, last: now });
        self.order.insert(number, key);
        // what is older than another one that is old enough for every rule is of no more use
        while self.second_of(key).is_some_and(|second| longest <= now - second.first) {
            self.drop_first(key);
        }
        while MAX_BYTES < self.bytes
            && let Some((_, oldest)) = self.order.first_key_value()
        {
            self.drop_first(*oldest);
            self.shed += 1;
        }
    }

    fn second_of(&self, key: u128) -> Option<&Slot> {
        self.by_key.get(&key)?.get(1)
    }

    fn drop_first(&mut self, key: u128) {
        let Some(slots) = self.by_key.get_mut(&key) else { return };
        if let Some(slot) = slots.pop_front() {
            self.bytes -= slot.version.size();
            self.order.remove(&slot.number);
        }
        if slots.is_empty() {
            self.by_key.remove(&key);
        }
    }
}

/// What all answers together may take, about.
const MAX_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str, len: usize) -> Version {
        let mut body = text.as_bytes().to_vec();
        body.resize(len.max(text.len()), b'.');
        let print = xxhash_rust::xxh3::xxh3_64(&body);
        Version { status: StatusCode::OK, headers: HeaderMap::new(), body: body.into(), print }
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn store(longest: u64) -> (Store, Instant) {
        let store = Store::default();
        store.adopt(Some(s(longest)));
        (store, Instant::now() + s(1000))
    }

    #[test]
    fn the_newest_that_is_old_enough_is_found() {
        let (store, t) = store(10);
        for (at, text) in [(0, "a"), (2, "b"), (4, "b"), (6, "c")] {
            store.keep(1, version(text, 0), t + s(at));
        }
        let check = |at: u64, age: u64, expect: Option<(&str, u64)>| {
            let found = store.find(1, s(age), t + s(at));
            let found =
                found.map(|(version, age)| (String::from_utf8_lossy(&version.body).into_owned(), age));
            assert_eq!(found, expect.map(|(text, age)| (text.to_owned(), s(age))), "at {at}, {age} old");
        };
        check(6, 0, Some(("c", 0)));
        check(6, 1, Some(("b", 2)));
        check(6, 3, Some(("b", 3)));
        check(6, 5, Some(("a", 6)));
        check(6, 7, None);
        check(20, 10, Some(("c", 14)));
        assert!(store.find(2, s(1), t + s(20)).is_none());
    }

    #[test]
    fn nothing_is_kept_without_a_rule_and_all_goes_with_it() {
        let (store, t) = store(10);
        store.keep(1, version("a", 0), t);
        store.adopt(None);
        assert!(store.find(1, s(0), t).is_none());
        store.keep(1, version("a", 0), t);
        assert!(store.find(1, s(0), t).is_none());
    }

    #[test]
    fn what_was_replaced_long_ago_is_forgotten_and_the_oldest_is_shed() {
        let (store, t) = store(10);
        for at in 0..1000 {
            store.keep(1, version(&at.to_string(), 0), t + s(at));
        }
        assert!(lock(&store.0).order.len() <= 12 && store.shed() == 0);
        assert!(store.find(1, s(10), t + s(1000)).is_some());
        for key in 2..102 {
            store.keep(key, version("x", 1 << 20), t + s(1000));
        }
        let inner = lock(&store.0);
        assert!(inner.bytes <= MAX_BYTES && inner.by_key.len() == 63 && inner.order.len() == 63);
        assert_eq!(
            inner.bytes,
            inner.by_key.values().flatten().map(|slot| slot.version.size()).sum::<usize>()
        );
        assert!(37 < inner.shed && inner.by_key.contains_key(&101));
    }
}
