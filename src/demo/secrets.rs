//! Looks for secrets in a capture, in every byte that anybody could get out of it: the file as it lies there, and
//! all that it decompresses to. Deliberately not by way of our own reader, which might not show everything.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read};

/// Strings to look for; those shorter than 8 bytes would be found by chance and are left out.
pub(super) struct Secrets {
    by_ending: HashMap<u64, Vec<usize>>,
    all: Vec<String>,
    longest: usize,
}

/// What a search found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Search {
    /// Bytes looked at.
    pub(super) bytes: u64,
    /// Which of the secrets were there, by number.
    pub(super) found: BTreeSet<usize>,
}

impl Secrets {
    pub(super) fn new(secrets: Vec<String>) -> Secrets {
        let all: Vec<String> = secrets.into_iter().filter(|secret| WINDOW <= secret.len()).collect();
        let mut by_ending: HashMap<u64, Vec<usize>> = HashMap::new();
        for (number, secret) in all.iter().enumerate() {
            let ending = secret.bytes().fold(0, roll);
            by_ending.entry(ending).or_default().push(number);
        }
        let longest = all.iter().map(String::len).max().unwrap_or(0);
        Secrets { by_ending, all, longest }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Reads `source` to its end; memory is one piece of it.
    pub(super) fn search(&self, mut source: impl Read) -> io::Result<Search> {
        let mut search = Search::default();
        let mut window = 0;
        let mut kept = Vec::with_capacity(PIECE + self.longest);
        loop {
            let behind = kept.len();
            let n = source.by_ref().take(PIECE as u64).read_to_end(&mut kept)?;
            if n == 0 {
                return Ok(search);
            }
            search.bytes += n as u64;
            for end in behind..kept.len() {
                window = roll(window, kept[end]);
                let Some(candidates) = self.by_ending.get(&window) else { continue };
                let upto = &kept[..=end];
                search.found.extend(candidates.iter().filter(|n| upto.ends_with(self.all[**n].as_bytes())));
            }
            kept.drain(..kept.len().saturating_sub(self.longest));
        }
    }
}

/// The last 8 bytes as a number.
fn roll(window: u64, byte: u8) -> u64 {
    (window << 8) | u64::from(byte)
}

const WINDOW: usize = 8;
const PIECE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &[u8], expected: &[usize]) {
        let secrets = Secrets::new(vec!["correct horse".into(), "battery staple".into(), "short".into()]);
        let search = secrets.search(text).unwrap();
        assert_eq!(search.bytes, text.len() as u64);
        assert_eq!(search.found.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn secrets_are_found_wherever_they_lie() {
        check(b"", &[]);
        check(b"correct horse", &[0]);
        check(b"incorrect horses; battery staples", &[0, 1]);
        check(b"correct  horse, short, battery_staple, ct horse", &[]);
        for before in [PIECE - 20, PIECE - 13, PIECE - 8, PIECE - 1, PIECE, 3 * PIECE - 5] {
            let mut text = vec![b'.'; before];
            text.extend_from_slice(b"battery staple and more");
            check(&text, &[1]);
        }
    }
}
