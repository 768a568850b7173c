//! Texts of a block, written with words that everybody knows: names and values of header fields, pieces of URLs.
//!
//! The words stand in `words.txt`, one a line, `\xNN` for a byte that would not show there. The first 128 of them are
//! the bytes from `0x80` on; the others take two bytes, of which the first is `0x01` to `0x1f`. Bytes from `0x20` to
//! `0x7f` mean themselves; any other that does stands behind a `0x00`.

use std::sync::LazyLock;

use crate::limits::MAX_BLOCK_RAW;
use crate::wire::{Cursor, Malformed};

/// Appends `text` in words.
pub(super) fn put(text: &[u8], out: &mut Vec<u8>) {
    let words = &*WORDS;
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        if let Some(word) = words.longest(rest) {
            match word.checked_sub(ONE_BYTE) {
                None => out.push(0x80 | word as u8),
                Some(word) => out.extend([(word >> 8) as u8 + 1, word as u8]),
            }
            rest = &rest[words.all[word].len()..];
            continue;
        }
        if !is_itself(*byte) {
            out.push(0);
        }
        out.push(*byte);
        rest = behind;
    }
}

/// Reads a text of so many bytes.
///
/// # Errors
/// When it ends before or goes on in the middle of a word, or is longer than a block may be.
pub(super) fn take(cursor: &mut Cursor<'_>, length: usize) -> Result<Vec<u8>, Malformed> {
    if MAX_BLOCK_RAW < length {
        return Err(Malformed("it unfolds beyond the limits"));
    }
    let words = &*WORDS;
    // what is there bounds what is taken at first, whatever the length says
    let mut text = Vec::with_capacity(length.min(cursor.remaining().saturating_mul(2)));
    while text.len() < length {
        let byte = cursor.byte()?;
        match byte {
            0 => text.push(cursor.byte()?),
            byte if is_itself(byte) => text.push(byte),
            byte => {
                let word = match byte & 0x80 {
                    0 => ONE_BYTE + (usize::from(byte) - 1) * 256 + usize::from(cursor.byte()?),
                    _ => usize::from(byte & 0x7f),
                };
                text.extend_from_slice(words.all.get(word).ok_or(Malformed("a word that is not there"))?);
            }
        }
    }
    match text.len() == length {
        true => Ok(text),
        false => Err(Malformed("a text ends within a word")),
    }
}

/// All of them.
pub(in crate::block) fn all() -> &'static [Vec<u8>] {
    &WORDS.all
}

fn is_itself(byte: u8) -> bool {
    (0x20..0x80).contains(&byte)
}

/// The words, and how to find them.
struct Words {
    all: Vec<Vec<u8>>,
    /// Numbers of words, those that begin alike together, longer ones first.
    sorted: Vec<u16>,
    /// By hash of the first bytes, where in `sorted` such words begin; they end where the next ones begin.
    starts: Vec<u16>,
}

impl Words {
    fn new(file: &str) -> Words {
        let all: Vec<Vec<u8>> = file.lines().map(unescape).collect();
        let mut sorted: Vec<u16> = (0..all.len() as u16).collect();
        sorted.sort_by_key(|word| {
            let word = &all[usize::from(*word)];
            (bucket(word), std::cmp::Reverse(word.len()))
        });
        let mut starts = vec![0; BUCKETS + 1];
        for word in &all {
            starts[bucket(word) + 1] += 1;
        }
        for at in 0..BUCKETS {
            starts[at + 1] += starts[at];
        }
        Words { all, sorted, starts }
    }

    /// The longest word that the text begins with.
    fn longest(&self, text: &[u8]) -> Option<usize> {
        if text.len() < SHORTEST {
            return None;
        }
        let bucket = bucket(text);
        let words = &self.sorted[usize::from(self.starts[bucket])..usize::from(self.starts[bucket + 1])];
        words.iter().map(|word| usize::from(*word)).find(|word| text.starts_with(&self.all[*word]))
    }
}

/// Where words that begin like this text are looked for.
fn bucket(text: &[u8]) -> usize {
    let first = u32::from_le_bytes([text[0], text[1], text[2], 0]);
    (first.wrapping_mul(0x9e37_79b1) >> (32 - BUCKETS.ilog2())) as usize
}

fn unescape(line: &str) -> Vec<u8> {
    let mut parts = line.split("\\x");
    let mut word = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        word.push(u8::from_str_radix(digits, 16).expect("two digits follow, as a test holds"));
        word.extend_from_slice(rest.as_bytes());
    }
    word
}

static WORDS: LazyLock<Words> = LazyLock::new(|| Words::new(include_str!("words.txt")));
/// Words of one byte.
const ONE_BYTE: usize = 128;
/// No word is shorter.
const SHORTEST: usize = 3;
const BUCKETS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(text: &[u8]) -> usize {
        let mut coded = Vec::new();
        put(text, &mut coded);
        let mut cursor = Cursor::new(&coded);
        assert_eq!(take(&mut cursor, text.len()).as_deref(), Ok(text));
        assert_eq!(cursor.remaining(), 0);
        for cut in 0..coded.len() {
            assert!(take(&mut Cursor::new(&coded[..cut]), text.len()).is_err(), "cut at {cut}");
        }
        coded.len()
    }

    #[test]
    fn texts_there_and_back() {
        assert_eq!(there_and_back(b""), 0);
        assert!(there_and_back(b"https://www.google-analytics.com") <= 6);
        assert!(there_and_back(b"gzip, deflate, br") <= 2);
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(there_and_back(&all), 256 + 32 + 128);
        for word in &WORDS.all {
            assert!(there_and_back(word) <= 2, "{}", String::from_utf8_lossy(word));
            assert!(
                there_and_back(&word[..word.len() - 1]) <= word.len(),
                "{}",
                String::from_utf8_lossy(word)
            );
        }
    }

    #[test]
    fn texts_that_lie_are_refused() {
        let take = |coded: &[u8], length| take(&mut Cursor::new(coded), length);
        assert!(take(&[0x80], 1).is_err(), "the end of a word is cut off");
        assert!(take(&[0x1f, 0xff], 3).is_err(), "no such word");
        assert!(take(b"abc", usize::MAX).is_err() && take(&[0x80; 9], MAX_BLOCK_RAW).is_err());
    }

    /// What is written today is read with these words for ever: other ones are another encoding.
    #[test]
    fn the_words_stay_as_they_are() {
        assert_eq!(WORDS.all.len(), 3177);
        assert!(WORDS.all.len() <= ONE_BYTE + 31 * 256);
        assert!(WORDS.all.iter().all(|word| SHORTEST <= word.len()));
        assert_eq!(crc32c::crc32c(&WORDS.all.join(&0)), 0xd7ff_3ad7);
    }
}
