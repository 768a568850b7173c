//! `2/4`: the second of four processes that share one plan.

use std::fmt;
use std::str::FromStr;

use crate::limits;

/// One part of a plan. The parts of all shards are the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 0, below `count`.
    pub index: u32,
    /// At least 1.
    pub count: u32,
}

impl Shard {
    /// The plan in one piece.
    pub const WHOLE: Shard = Shard { index: 0, count: 1 };

    /// The share of thread `worker` of `workers` of this shard.
    pub(crate) fn share(self, worker: usize, workers: usize) -> Share {
        let count = u64::from(self.count.max(1));
        Share { rest: u64::from(self.index) + count * worker as u64, of: count * workers.max(1) as u64 }
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let wrong = |why: &str| Err(format!("`{text}` is not a shard: {why}; write 1/4, 2/4, 3/4 and 4/4"));
        let Some((index, count)) = text.trim().split_once('/') else {
            return wrong("it does not say of how many");
        };
        let (Ok(index), Ok(count)) = (index.trim().parse::<u32>(), count.trim().parse::<u32>()) else {
            return wrong("those are no whole numbers");
        };
        if index == 0 {
            return wrong("the first is 1");
        }
        if count < index {
            return wrong("there are not that many");
        }
        if limits::SHARDS < count {
            return wrong(&format!("at most {} shards", limits::SHARDS));
        }
        Ok(Shard { index: index - 1, count })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.index + 1, self.count)
    }
}

/// The ordinals that leave the same rest: those of one thread of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    rest: u64,
    of: u64,
}

impl Share {
    /// The first ordinal of this share that is not below `from`.
    pub(crate) fn first(self, from: u64) -> u64 {
        from + (self.rest + self.of - from % self.of) % self.of
    }

    /// Its ordinals in `from..to`.
    pub(crate) fn among(self, from: u64, to: u64) -> impl Iterator<Item = u64> {
        (self.first(from)..to).step_by(usize::try_from(self.of).unwrap_or(usize::MAX))
    }

    /// How many of its ordinals are in `from..to`.
    pub(crate) fn count(self, from: u64, to: u64) -> u64 {
        to.saturating_sub(self.first(from)).div_ceil(self.of)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shards_are_typed_from_one() {
        assert_eq!("2/4".parse(), Ok(Shard { index: 1, count: 4 }));
        assert_eq!(Shard { index: 1, count: 4 }.to_string(), "2/4");
        for bad in ["", "2", "0/4", "5/4", "a/4", "1/0", "-1/4", "1/99999999"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_ordinal_has_one_owner(
            from in 0_u64..1000, length in 0_u64..500, count in 1_u32..9, workers in 1_usize..9,
        ) {
            let mut owned = Vec::new();
            for index in 0..count {
                for worker in 0..workers {
                    let share = Shard { index, count }.share(worker, workers);
                    let own: Vec<u64> = share.among(from, from + length).collect();
                    prop_assert_eq!(own.len() as u64, share.count(from, from + length));
                    for ordinal in &own {
                        prop_assert_eq!(ordinal % u64::from(count), u64::from(index));
                        prop_assert_eq!(ordinal / u64::from(count) % workers as u64, worker as u64);
                    }
                    owned.extend(own);
                }
            }
            owned.sort_unstable();
            prop_assert_eq!(owned, (from..from + length).collect::<Vec<_>>());
        }
    }
}
