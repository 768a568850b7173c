//! Identifiers that a reader makes up: any value of their kind will do, as long as equal ones stay equal.

use super::kinds::Kind;
use super::packed;
use crate::splitmix::{GOLDEN, finalise};

/// Appends the text of the identifier with this number in its session, of so many digits or characters.
pub(super) fn put(kind: Kind, length: usize, mut words: Words, out: &mut Vec<u8>) {
    let alphabet: &[u8] = match kind {
        Kind::Word => &ALPHABET[..62],
        Kind::Token => ALPHABET,
        _ => {
            let digits = if matches!(kind, Kind::Uuid | Kind::UuidUpper) { 32 } else { length };
            let mut bytes = words.bytes(digits.div_ceil(2));
            if matches!(kind, Kind::Uuid | Kind::UuidUpper) {
                // a random one, as its version and variant say
                bytes[6] = bytes[6] & 0x0f | 0x40;
                bytes[8] = bytes[8] & 0x3f | 0x80;
            }
            return packed::spell(kind, &bytes, digits, out);
        }
    };
    let letters = words.bytes(length);
    out.extend(letters.iter().map(|byte| alphabet[usize::from(*byte) % alphabet.len()]));
}

/// Random words that follow from seed, session and number: the outputs of SplitMix64.
#[derive(Clone, Copy)]
pub(super) struct Words(u64);

impl Words {
    pub(super) fn new(seed: u64, session: u64, number: u64) -> Words {
        Words(finalise(finalise(finalise(seed) ^ session) ^ number))
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(n + 8);
        while bytes.len() < n {
            self.0 = self.0.wrapping_add(GOLDEN);
            bytes.extend_from_slice(&finalise(self.0).to_le_bytes());
        }
        bytes.truncate(n);
        bytes
    }
}

const ALPHABET: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_identifiers_have_their_kind_and_length() {
        let check = |kind: Kind, length: usize, expect: usize| {
            let mut text = Vec::new();
            put(kind, length, Words::new(1, 2, 3), &mut text);
            assert_eq!(text.len(), expect, "{kind:?}");
            let mut again = Vec::new();
            put(kind, length, Words::new(1, 2, 3), &mut again);
            assert_eq!(text, again);
            let mut other = Vec::new();
            put(kind, length, Words::new(1, 2, 4), &mut other);
            assert_ne!(text, other);
            String::from_utf8(text).unwrap()
        };
        let hex = check(Kind::Hex, 33, 33);
        assert!(hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{hex}");
        let uuid = check(Kind::Uuid, 0, 36);
        assert_eq!((&uuid[14..15], uuid.as_bytes()[8]), ("4", b'-'), "{uuid}");
        assert!(check(Kind::Word, 43, 43).bytes().all(|byte| byte.is_ascii_alphanumeric()));
        check(Kind::Token, 43, 43);
        let pseudonym = check(Kind::Pseudonym, 29, 40);
        assert!(crate::redact::is_text_pseudonym(pseudonym.as_bytes()), "{pseudonym}");
    }

    /// What a reader in another language must compute too.
    #[test]
    fn the_words_are_fixed() {
        let mut text = Vec::new();
        put(Kind::Hex, 32, Words::new(1, 2, 3), &mut text);
        assert_eq!(String::from_utf8(text).unwrap(), "e8ad1f3bbb5d4eae9c8a8642075ad585");
    }
}
