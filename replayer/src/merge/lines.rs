//! What runs said about themselves, each sentence once, with the shards that said it.

use std::collections::BTreeMap;

use crate::merge::Run;
use crate::merge::shards::Shards;
use crate::report::Report;

/// Sentences and their speakers.
#[derive(Debug)]
pub(super) struct Lines {
    said: BTreeMap<String, Shards>,
}

impl Lines {
    /// The lines of all runs. A line that names no shard was said by all shards of its file.
    pub(super) fn of(all: &[Run], part: impl Fn(&Report) -> Vec<String>) -> Lines {
        let mut said: BTreeMap<String, Shards> = BTreeMap::new();
        for run in all {
            for line in part(&run.report) {
                let (words, shards) = speakers(&line).unwrap_or((&line, run.shards.clone()));
                said.entry(words.to_owned()).and_modify(|known| known.add(&shards)).or_insert(shards);
            }
        }
        Lines { said }
    }

    pub(super) fn has(&self, words: &str) -> bool {
        self.said.contains_key(words)
    }

    pub(super) fn forget(&mut self, what: impl Fn(&str) -> bool) {
        self.said.retain(|words, _| !what(words));
    }

    /// By the first shard that said it. What all of `whole` said names none.
    pub(super) fn into_words(self, whole: &Shards) -> Vec<String> {
        let mut said: Vec<(String, Shards)> = self.said.into_iter().collect();
        said.sort_by_key(|(_, shards)| shards.first());
        let line = |(words, shards): (String, Shards)| match shards == *whole {
            true => words,
            false => format!("{words} ({})", shards.in_words()),
        };
        said.into_iter().map(line).collect()
    }
}

/// A line that ends with its speakers, taken apart.
fn speakers(line: &str) -> Option<(&str, Shards)> {
    let (words, tail) = line.rsplit_once(" (")?;
    Some((words, Shards::from_words(tail.strip_suffix(')')?)?))
}
