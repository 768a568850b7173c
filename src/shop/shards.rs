//! A bounded table split over several locks. When a shard is full its oldest entry makes room.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::identity::Id;
use super::limits;

/// A table of at most `capacity` entries, with the keys spread evenly because ids are.
pub(super) struct Shards<V> {
    shards: Vec<Mutex<Shard<V>>>,
    per_shard: usize,
}

struct Shard<V> {
    entries: HashMap<Id, V>,
    by_age: VecDeque<Id>,
}

impl<V> Shards<V> {
    pub(super) fn new(capacity: usize) -> Shards<V> {
        let empty = || Mutex::new(Shard { entries: HashMap::new(), by_age: VecDeque::new() });
        Shards {
            shards: (0..limits::SHARDS).map(|_| empty()).collect(),
            per_shard: (capacity / limits::SHARDS).max(1),
        }
    }

    /// Puts `value` in, under an id that is new; returns what had to make room for it.
    pub(super) fn insert(&self, id: Id, value: V) -> Option<V> {
        let mut shard = self.lock(id);
        let shard = &mut *shard;
        let oldest = if shard.by_age.len() < self.per_shard { None } else { shard.by_age.pop_front() };
        let evicted = oldest.and_then(|oldest| shard.entries.remove(&oldest));
        shard.by_age.push_back(id);
        shard.entries.insert(id, value);
        evicted
    }

    /// What `work` makes of the entry of `id`, under its lock; `None` when there is no such entry.
    pub(super) fn with<R>(&self, id: Id, work: impl FnOnce(&mut V) -> R) -> Option<R> {
        self.lock(id).entries.get_mut(&id).map(work)
    }

    fn lock(&self, id: Id) -> MutexGuard<'_, Shard<V>> {
        let number = usize::from(id.0.to_be_bytes()[0]) % limits::SHARDS;
        self.shards[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_shard_forgets_its_oldest() {
        let table = Shards::new(2 * limits::SHARDS);
        assert_eq!(table.insert(Id(1), "a"), None);
        assert_eq!(table.insert(Id(2), "b"), None);
        assert_eq!(table.insert(Id(3), "c"), Some("a"));
        assert_eq!(table.with(Id(1), |value| *value), None);
        assert_eq!(table.with(Id(3), |value| *value), Some("c"));
    }
}
