//! Joins requests with their answers. Records lie in the order in which messages ended, ids come back, and many files
//! have no answers at all, so a bounded number of each waits for the other.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::message::Asked;

/// A request that may still be answered.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) asked: Asked,
    pub(super) id: Vec<u8>,
    pub(super) at_us: u64,
    /// What Squall wrote beside it.
    pub(super) own: Option<Vec<u8>>,
    /// Where it stands, for messages.
    pub(super) place: String,
}

/// An answer whose request did not come yet, as it stands in the file: its request decides how it is read.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) bytes: Vec<u8>,
    pub(super) at_us: u64,
    pub(super) took_us: Option<u64>,
}

/// Values by age and by id, bounded in number and bytes.
#[derive(Debug)]
pub(super) struct Pending<T> {
    by_age: BTreeMap<u64, (Vec<u8>, T, usize)>,
    by_id: HashMap<Vec<u8>, VecDeque<u64>>,
    next: u64,
    bytes: usize,
}

impl<T> Default for Pending<T> {
    fn default() -> Pending<T> {
        Pending { by_age: BTreeMap::new(), by_id: HashMap::new(), next: 0, bytes: 0 }
    }
}

impl<T> Pending<T> {
    /// Adds a value that takes about `bytes`.
    pub(super) fn push(&mut self, id: &[u8], value: T, bytes: usize) {
        let bytes = bytes + OVERHEAD;
        self.by_age.insert(self.next, (id.to_vec(), value, bytes));
        self.by_id.entry(id.to_vec()).or_default().push_back(self.next);
        self.next += 1;
        self.bytes += bytes;
    }

    /// Takes the oldest with that id.
    pub(super) fn take(&mut self, id: &[u8]) -> Option<T> {
        let age = *self.by_id.get(id)?.front()?;
        self.remove(age)
    }

    /// Takes the oldest of all if there are too many.
    pub(super) fn overflow(&mut self) -> Option<T> {
        let is_full = MAX_BYTES < self.bytes || MAX_HELD < self.by_age.len();
        if is_full { self.pop() } else { None }
    }

    /// Takes the oldest.
    pub(super) fn pop(&mut self) -> Option<T> {
        let age = *self.by_age.first_key_value()?.0;
        self.remove(age)
    }

    fn remove(&mut self, age: u64) -> Option<T> {
        let (id, value, bytes) = self.by_age.remove(&age)?;
        self.bytes -= bytes;
        if let Some(ages) = self.by_id.get_mut(&id) {
            // the oldest of all is the oldest of its id
            ages.pop_front();
            if ages.is_empty() {
                self.by_id.remove(&id);
            }
        }
        Some(value)
    }
}

/// More than are open at one time.
const MAX_HELD: usize = 50_000;
const MAX_BYTES: usize = 128 << 20;
const OVERHEAD: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_an_id_comes_first_and_no_more_are_held_than_fit() {
        let mut pending = Pending::default();
        for (id, value) in [("a", 1), ("b", 2), ("a", 3)] {
            pending.push(id.as_bytes(), value, 10);
        }
        assert_eq!((pending.take(b"a"), pending.take(b"a"), pending.take(b"a")), (Some(1), Some(3), None));
        assert_eq!((pending.overflow(), pending.pop(), pending.pop()), (None, Some(2), None));
        assert_eq!((pending.bytes, pending.by_id.len()), (0, 0));
        pending.push(b"large", 4, MAX_BYTES);
        assert_eq!(pending.overflow(), Some(4));
        (0..=MAX_HELD as u32).for_each(|n| pending.push(&n.to_le_bytes(), n, 0));
        assert_eq!((pending.overflow(), pending.overflow()), (Some(0), None));
    }
}
