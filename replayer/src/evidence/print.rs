//! Fingerprints of error bodies: equal for two answers that say the same about different things.

/// A body that is being read: words are hashed as they come, words with a digit in them count as one and the same (ids,
/// times, numbers), and white space counts for nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Print {
    hash: u64,
    word: u64,
    in_word: bool,
    has_digit: bool,
    seen: u16,
}

impl Default for Print {
    fn default() -> Print {
        Print { hash: START, word: START, in_word: false, has_digit: false, seen: 0 }
    }
}

impl Print {
    /// Takes in the next bytes; only the first [`BYTES`] of a body count.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let room = usize::from(BYTES - self.seen);
        for byte in bytes.iter().take(room).copied() {
            self.seen += 1;
            if byte.is_ascii_alphanumeric() || byte >= 0x80 {
                self.in_word = true;
                self.has_digit |= byte.is_ascii_digit();
                self.word = mix(self.word, u64::from(byte));
            } else {
                self.end_word();
                if !byte.is_ascii_whitespace() {
                    self.hash = mix(self.hash, u64::from(byte));
                }
            }
        }
    }

    /// The fingerprint; never 0.
    pub(super) fn finish(mut self) -> u32 {
        self.end_word();
        ((self.hash >> 32) as u32).max(1)
    }

    fn end_word(&mut self) {
        if self.in_word {
            self.hash = mix(self.hash, if self.has_digit { NUMBER } else { self.word });
        }
        (self.word, self.in_word, self.has_digit) = (START, false, false);
    }
}

fn mix(hash: u64, word: u64) -> u64 {
    let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

const START: u64 = 0xcbf2_9ce4_8422_2325;
const NUMBER: u64 = 0x23;
/// Where an error says what it is; the rest is a stack or a page.
const BYTES: u16 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn print(pieces: &[&str]) -> u32 {
        let mut print = Print::default();
        pieces.iter().for_each(|piece| print.feed(piece.as_bytes()));
        print.finish()
    }

    #[test]
    fn numbers_and_ids_count_for_nothing() {
        let one = print(&[r#"{"error":"no row 17","id":"7c9e6679-7425-40de"}"#]);
        assert_eq!(one, print(&[r#"{"error": "no row 4711", "id": "0c1e0001-7425-a0d1"}"#]));
        assert_ne!(one, print(&[r#"{"error":"no table 17","id":"7c9e6679-7425-40de"}"#]));
    }

    #[test]
    fn pieces_and_the_tail_make_no_difference() {
        let long = "word ".repeat(1000);
        assert_eq!(print(&[&long]), print(&[&long[..301], &long[301..]]));
        assert_eq!(print(&[&long]), print(&[&long, "and another thing"]));
        assert_ne!(print(&[]), 0);
    }
}
