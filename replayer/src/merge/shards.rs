//! Which parts of a plan a report is of: `2/4`, `1-3/4`, `1,3/4`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::limits;

/// Parts of a plan, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shards {
    of: u32,
    parts: BTreeSet<u32>,
}

impl FromStr for Shards {
    type Err = String;

    fn from_str(text: &str) -> Result<Shards, String> {
        let wrong = || format!("`{text}` is not a shard: write 2/4");
        let (parts, of) = text.split_once('/').ok_or_else(wrong)?;
        let of: u32 = of.parse().map_err(|_| wrong())?;
        if !(1..=limits::SHARDS).contains(&of) {
            return Err(wrong());
        }
        let mut set = BTreeSet::new();
        for range in parts.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u32, u32) =
                (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
            if first < 1 || last < first || of < last {
                return Err(wrong());
            }
            set.extend(first..=last);
        }
        Ok(Shards { of, parts: set })
    }
}

impl fmt::Display for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ranges(), self.of)
    }
}

impl Shards {
    /// How many parts the plan has.
    pub(super) fn of(&self) -> u32 {
        self.of
    }

    pub(super) fn first(&self) -> u32 {
        self.parts.first().copied().unwrap_or(0)
    }

    pub(super) fn count(&self) -> usize {
        self.parts.len()
    }

    pub(super) fn add(&mut self, other: &Shards) {
        self.parts.extend(&other.parts);
    }

    /// The parts that are in both.
    pub(super) fn overlap(&self, other: &Shards) -> Option<Shards> {
        self.with(self.parts.intersection(&other.parts).copied().collect())
    }

    /// The parts of the plan that are not here.
    pub(super) fn missing(&self) -> Option<Shards> {
        self.with((1..=self.of).filter(|part| !self.parts.contains(part)).collect())
    }

    /// `shard 2 of 4`, `shards 1-3 of 4`.
    pub(super) fn in_words(&self) -> String {
        let plural = if self.parts.len() == 1 { "" } else { "s" };
        format!("shard{plural} {} of {}", self.ranges(), self.of)
    }

    /// What [`Shards::in_words`] wrote.
    pub(super) fn from_words(text: &str) -> Option<Shards> {
        let (parts, of) = text.strip_prefix("shard")?.split_once(" of ")?;
        let parts = parts.strip_prefix('s').unwrap_or(parts).strip_prefix(' ')?;
        format!("{parts}/{of}").parse().ok()
    }

    fn with(&self, parts: BTreeSet<u32>) -> Option<Shards> {
        (!parts.is_empty()).then_some(Shards { of: self.of, parts })
    }

    fn ranges(&self) -> String {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for part in &self.parts {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == *part => *last = *part,
                _ => ranges.push((*part, *part)),
            }
        }
        let words = ranges.iter().map(|(first, last)| match last - first {
            0 => first.to_string(),
            _ => format!("{first}-{last}"),
        });
        words.collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_written_as_ranges() {
        let check = |text: &str, again: &str, missing: &str| {
            let shards: Shards = text.parse().expect(text);
            assert_eq!(shards.to_string(), again);
            assert_eq!(shards.missing().map(|missing| missing.to_string()).unwrap_or_default(), missing);
            assert_eq!(Shards::from_words(&shards.in_words()), Some(shards));
        };
        check("1/1", "1/1", "");
        check("2/4", "2/4", "1,3-4/4");
        check("3,1,2/4", "1-3/4", "4/4");
        check("1,3-4/4", "1,3-4/4", "2/4");
        check("1-4/4", "1-4/4", "");
        assert_eq!(Shards::from_words("shards 1-2 of 3").map(|shards| shards.count()), Some(2));
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        for text in
            ["", "1", "/4", "0/4", "5/4", "1/0", "3-2/4", "1-/4", "1/x", "1/4000000000", "a/b", "1,/2"]
        {
            assert!(text.parse::<Shards>().is_err(), "{text}");
        }
    }
}
