//! What stands in place of a secret: recognisable, keyed, of a similar length, equal for equal secrets.

use std::fmt::Write;
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::{cards, emails, jwt};

/// The key, and what is derived from it.
pub(super) struct Key {
    key: [u8; 32],
    seed: u64,
}

impl Key {
    pub(super) fn new(key: [u8; 32]) -> Key {
        let seed = key.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte));
        Key { key, seed }
    }

    /// Sixteen hex digits that identify the key and do not give it away.
    pub(super) fn id(&self) -> String {
        let id = blake3::derive_key("squall captures 2026 redaction key id", &self.key);
        id[..8].iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// What stands in place of a secret, of its type: a token for a token, an address for an address, a card number for a
    /// card number, else text. `None` where there is nothing to hide.
    pub(super) fn value(&self, secret: &[u8]) -> Option<String> {
        if secret.is_empty() || is_pseudonym(secret) {
            return None;
        }
        let is_card = || cards::at(secret, 0).is_some_and(|range| range.len() == secret.len());
        Some(match () {
            () if secret.starts_with(b"eyJ") => {
                jwt::pseudonym(secret, self).unwrap_or_else(|| self.text(secret))
            }
            () if emails::is_address(secret) => emails::pseudonym(secret, self),
            () if is_card() => cards::pseudonym(secret, self.draw(&digits_of(secret))),
            () => self.text(secret),
        })
    }

    /// A pseudonym for text.
    pub(super) fn text(&self, secret: &[u8]) -> String {
        self.of_length(secret, secret.len())
    }

    /// The shortest pseudonym for text.
    pub(super) fn short(&self, secret: &[u8]) -> String {
        self.of_length(secret, 0)
    }

    /// A pseudonym for text, of the length class of `len`.
    pub(super) fn of_length(&self, secret: &[u8], len: usize) -> String {
        let len = LENGTHS.into_iter().find(|class| len <= *class).unwrap_or(LONGEST);
        let mut digits = vec![0; (len - PREFIX.len() - CHECK).div_ceil(2)];
        self.hash(secret).fill(&mut digits);
        let mut pseudonym = String::from(PREFIX);
        for byte in digits {
            let _ = write!(pseudonym, "{byte:02x}");
        }
        pseudonym.truncate(len - CHECK);
        let check = check_digits(pseudonym.as_bytes());
        pseudonym.push_str(&check);
        pseudonym
    }

    /// A pseudonym for a number: fifteen digits, so that it is exact in every JSON reader.
    pub(super) fn number(&self, secret: &[u8]) -> String {
        let number = format!("{NUMBER_PREFIX}{:08}", self.draw(secret) % 100_000_000);
        format!("{number}{:03}", crc32c::crc32c(number.as_bytes()) % 1000)
    }

    /// 64 bits that only who has the key can tell from the secret.
    pub(super) fn draw(&self, secret: &[u8]) -> u64 {
        let mut hash = [0; 8];
        self.hash(secret).fill(&mut hash);
        u64::from_le_bytes(hash)
    }

    /// A hash of a secret for tables in memory, which it never leaves: fast rather than one-way.
    pub(super) fn fingerprint(&self, secret: &[u8]) -> u128 {
        match secret.contains(&b'%') {
            true => xxh3_128_with_seed(&super::forms::percent_decode(secret), self.seed),
            false => xxh3_128_with_seed(secret, self.seed),
        }
    }

    /// Percent-encoding is undone first: a secret is the same in a cookie, a form and a document.
    fn hash(&self, secret: &[u8]) -> blake3::OutputReader {
        blake3::Hasher::new_keyed(&self.key).update(&super::forms::percent_decode(secret)).finalize_xof()
    }
}

/// Whether the whole value is a pseudonym of any type, under any key.
pub(super) fn is_pseudonym(value: &[u8]) -> bool {
    is_text_pseudonym(value)
        || is_number_pseudonym(value)
        || emails::is_pseudonym(value)
        || cards::is_pseudonym(value)
        || value.starts_with(b"eyJ") && jwt::is_pseudonym(value)
}

/// The digits of a card number, whose spaces and dashes do not matter.
fn digits_of(card: &[u8]) -> Vec<u8> {
    card.iter().filter(|byte| byte.is_ascii_digit()).copied().collect()
}

/// Whether the whole value is a pseudonym for text, under any key.
pub(crate) fn is_text_pseudonym(value: &[u8]) -> bool {
    if !value.starts_with(PREFIX.as_bytes()) || !LENGTHS.contains(&value.len()) {
        return false;
    }
    let (body, check) = value.split_at(value.len() - CHECK);
    check_digits(body).as_bytes() == check
}

/// Where the pseudonym ends that has a part in `range` of a text: one for text, or for an address.
pub(super) fn end_over(text: &[u8], range: &Range<usize>) -> Option<usize> {
    let first = range.start.saturating_sub(LONGEST + emails::DOMAIN_LEN);
    let begins = (first..range.end).filter(|at| text[*at..].starts_with(PREFIX.as_bytes()));
    let ends = begins.filter_map(|at| {
        let is_one = |len: &usize| text.get(at..at + len).is_some_and(is_text_pseudonym);
        let end = at + LENGTHS.into_iter().rfind(is_one)?;
        Some(end + emails::domain_len(&text[end..]))
    });
    ends.filter(|end| range.start < *end).max()
}

/// Text of the form of a pseudonym, made one by the check at its end.
pub(crate) fn resealed(text: &str) -> String {
    let body = text.get(..text.len().saturating_sub(CHECK)).unwrap_or_default();
    format!("{body}{}", check_digits(body.as_bytes()))
}

/// Whether the whole value is a pseudonym for a number, under any key.
pub(super) fn is_number_pseudonym(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    text.len() == 15
        && text.starts_with(NUMBER_PREFIX)
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && format!("{:03}", crc32c::crc32c(&value[..12]) % 1000) == text[12..]
}

/// Tells a pseudonym from a value that happens to begin like one.
fn check_digits(body: &[u8]) -> String {
    format!("{:04x}", crc32c::crc32c(body) & 0xffff)
}

/// What every pseudonym for text begins with: fit for headers, cookies, URLs, JSON, forms.
const PREFIX: &str = "squall_";
const NUMBER_PREFIX: &str = "7707";
const CHECK: usize = 4;
/// Lengths of pseudonyms: the shortest that holds the secret's own length.
const LENGTHS: [usize; 4] = [24, 40, 64, LONGEST];
const LONGEST: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_secrets_equal_pseudonyms_under_one_key_only() {
        let (one, two) = (Key::new([1; 32]), Key::new([2; 32]));
        for secret in [&b"a"[..], b"hunter2", &[b'x'; 30], &[b'y'; 60], &[b'z'; 4000]] {
            let pseudonym = one.text(secret);
            assert_eq!(pseudonym, one.text(secret));
            assert_ne!(pseudonym, two.text(secret));
            assert!(is_text_pseudonym(pseudonym.as_bytes()), "{pseudonym}");
            assert!(LENGTHS.contains(&pseudonym.len()));
            let number = one.number(secret);
            assert!(is_number_pseudonym(number.as_bytes()) && number.len() == 15, "{number}");
        }
        assert_ne!(one.id(), two.id());
        assert_eq!(one.text(b"a%20b"), one.text(b"a b"));
    }

    #[test]
    fn what_only_begins_like_one_is_none() {
        for value in [
            "squall_",
            "squall_0123456789abcdef0",
            "squall_0123456789abcdü€",
            "squall_is_my_password_123",
            "770700000000000",
        ] {
            assert!(
                !is_text_pseudonym(value.as_bytes()) && !is_number_pseudonym(value.as_bytes()),
                "{value}"
            );
        }
    }
}
