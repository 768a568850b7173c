//! Counts of things, of a bounded number of different things.

use std::collections::HashMap;
use std::hash::Hash;

/// Counts by key. When there are too many keys the rare ones are let go and their counts go to the others: so the
/// frequent are found wherever in a capture they begin, and the sum is always that of all.
#[derive(Clone, Debug)]
pub(crate) struct Counted<K> {
    by_key: HashMap<K, u64>,
    others: u64,
    most: usize,
}

impl<K: Hash + Eq + Ord + Clone> Counted<K> {
    /// Tells at least the `most` most frequent keys apart.
    pub(crate) fn new(most: usize) -> Counted<K> {
        Counted { by_key: HashMap::new(), others: 0, most }
    }

    pub(crate) fn add(&mut self, key: K) {
        *self.by_key.entry(key).or_default() += 1;
        if self.most.saturating_mul(2) < self.by_key.len() {
            self.let_go();
        }
    }

    /// What was let go.
    pub(crate) fn others(&self) -> u64 {
        self.others
    }

    /// The most frequent first, those of equal count by key.
    pub(crate) fn sorted(&self) -> Vec<(K, u64)> {
        let mut counts: Vec<(K, u64)> =
            self.by_key.iter().map(|(key, count)| (key.clone(), *count)).collect();
        counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts
    }

    fn let_go(&mut self) {
        let kept = self.sorted().into_iter().take(self.most);
        let before: u64 = self.by_key.values().sum();
        self.by_key = kept.collect();
        self.others += before - self.by_key.values().sum::<u64>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frequent_are_found_wherever_they_begin() {
        let mut counts = Counted::new(10);
        (0..1000).for_each(|n| counts.add(n));
        for n in 5000..5005 {
            (0..100).for_each(|_| counts.add(n));
        }
        (2000..2100).for_each(|n| counts.add(n));
        let sorted = counts.sorted();
        assert_eq!(sorted[..5], [(5000, 100), (5001, 100), (5002, 100), (5003, 100), (5004, 100)]);
        assert!(sorted.len() <= 20);
        assert_eq!(sorted.iter().map(|(_, n)| n).sum::<u64>() + counts.others(), 1600);
    }
}
