//! Every n-th exchange of a rule, counted for each key.

use std::collections::HashMap;

use crate::limits;
use crate::select::Every;

/// What counting says of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// It is an n-th.
    Hit,
    /// It is not.
    Spared,
    /// There are more keys than counters: spared, and counted.
    Overflow,
}

/// The counters of one rule. At most 65,536 keys; keys beyond that are spared, since a count that began late would be wrong.
#[derive(Debug, Clone, Default)]
pub struct NthCounter {
    by_key: HashMap<u64, u64>,
}

impl NthCounter {
    /// One more exchange of this key ([`crate::select::Per::key_hash`]).
    pub fn count(&mut self, every: &Every, key_hash: u64) -> Counted {
        if limits::BUCKET_KEYS <= self.by_key.len() && !self.by_key.contains_key(&key_hash) {
            return Counted::Overflow;
        }
        let count = self.by_key.entry(key_hash).or_default();
        *count = (*count + 1) % every.nth.max(1);
        if *count == 0 { Counted::Hit } else { Counted::Spared }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::Per;

    #[test]
    fn each_key_has_a_count_of_its_own() {
        let every = Every { nth: 3, per: Per::All };
        let mut counter = NthCounter::default();
        let hits: Vec<_> = (0..7).map(|_| counter.count(&every, 0) == Counted::Hit).collect();
        assert_eq!(hits, [false, false, true, false, false, true, false]);
        assert_eq!(counter.count(&every, 9), Counted::Spared);
        for key in 10..limits::BUCKET_KEYS as u64 + 8 {
            counter.count(&every, key);
        }
        assert_eq!(counter.count(&every, u64::MAX), Counted::Overflow);
        assert_eq!(counter.count(&Every { nth: 1, per: Per::All }, 9), Counted::Hit);
    }
}
