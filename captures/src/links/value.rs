//! What a value says about itself: whether two equal ones can be equal by chance.

use crate::redact::is_pseudonym;

/// Whether nobody meets such a value twice by chance: a pseudonym, a UUID, a token. Numbers and words are not.
pub(super) fn is_strong(value: &[u8]) -> bool {
    if is_pseudonym(value) {
        return true;
    }
    let Makeup { digits, upper, lower, spaces } = Makeup::of(value);
    let letters = upper + lower;
    let is_mixed = 10 <= value.len() && 3 <= digits && 2 <= letters;
    let is_number = 16 <= digits && letters == 0;
    let is_cased = 16 <= value.len() && 4 <= upper && 4 <= lower;
    spaces == 0 && (is_mixed || is_number || is_cased)
}

/// Of what a value is made: how many of its bytes are ASCII digits, letters and white space.
pub(super) struct Makeup {
    pub(super) digits: usize,
    pub(super) upper: usize,
    pub(super) lower: usize,
    pub(super) spaces: usize,
}

impl Makeup {
    /// In one pass: four counts of 16 bits lie in one sum.
    pub(super) fn of(value: &[u8]) -> Makeup {
        let mut makeup = Makeup { digits: 0, upper: 0, lower: 0, spaces: 0 };
        for part in value.chunks(usize::from(u16::MAX)) {
            let sum = part.iter().fold(0, |sum, byte| sum + CLASSES[usize::from(*byte)]);
            let count = |class: u32| (sum >> (16 * class) & 0xffff) as usize;
            makeup.digits += count(DIGIT);
            makeup.upper += count(UPPER);
            makeup.lower += count(LOWER);
            makeup.spaces += count(SPACE);
        }
        makeup
    }
}

/// Whether a value can be told from others at all.
pub(super) fn is_worth_a_look(value: &[u8]) -> bool {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let len = value.len();
    (is_number || 3 <= len) && len <= LONGEST && !matches!(value, b"true" | b"false" | b"null")
}

/// So much of a value that a person recognises it and nobody can use it.
pub(super) fn redacted(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    if is_pseudonym(value) {
        return text.chars().take(12).chain(['…']).collect();
    }
    let shown = (text.chars().count() / 3).min(4);
    let start: String = text.chars().take(shown).filter(|c| !c.is_control()).collect();
    format!("{start}… ({} bytes)", value.len())
}

/// Longer ones are documents.
const LONGEST: usize = 8192;

const DIGIT: u32 = 0;
const UPPER: u32 = 1;
const LOWER: u32 = 2;
const SPACE: u32 = 3;
/// What a byte adds to the sum of [`Makeup::of`].
const CLASSES: [u64; 256] = {
    let mut classes = [0; 256];
    let mut at = 0;
    while at < classes.len() {
        let byte = at as u8;
        classes[at] = match byte {
            _ if byte.is_ascii_digit() => 1 << (16 * DIGIT),
            _ if byte.is_ascii_uppercase() => 1 << (16 * UPPER),
            _ if byte.is_ascii_lowercase() => 1 << (16 * LOWER),
            _ if byte.is_ascii_whitespace() => 1 << (16 * SPACE),
            _ => 0,
        };
        at += 1;
    }
    classes
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_strong_and_words_are_not() {
        for value in [
            "550e8400-e29b-41d4-a716-446655440000",
            "9f86d081884c7d659a2f",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
            "AbCdEfGhIjKlMnOpQrSt",
            "W/\"5d8c72a5edda8\"",
            "1234567890123456",
        ] {
            assert!(is_strong(value.as_bytes()), "{value}");
        }
        for value in
            ["", "7", "1001", "1700000000000", "dark", "order-12", "a sentence with 123 words", "en-GB"]
        {
            assert!(!is_strong(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn little_of_a_value_is_shown() {
        assert_eq!(redacted(b"abcdefghijklmnop"), "abcd… (16 bytes)");
        assert_eq!(redacted(b"1001"), "1… (4 bytes)");
        assert_eq!(redacted(b""), "… (0 bytes)");
    }
}
