//! Identifiers that were not there before, of the kind of those that were.

use super::random::Random;
use crate::redact::{is_text_pseudonym, resealed};

/// Another identifier of the kind of `like`: letters for letters, digits for digits, as long as it.
pub(super) fn another(like: &str, random: &mut Random) -> String {
    if let Some((name, host)) = like.split_once('@') {
        return format!("{}@{host}", another(name, random));
    }
    let bytes = like.as_bytes();
    let is_hex = HEX <= bytes.len() && bytes.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    let is_upper = bytes.iter().any(u8::is_ascii_uppercase);
    let is_uuid = is_hex && bytes.len() == 36 && [8, 13, 18, 23].iter().all(|place| bytes[*place] == b'-');
    let is_pseudonym = is_text_pseudonym(bytes);
    let mut text = String::with_capacity(like.len());
    let words = words(like);
    for (place, character) in like.chars().enumerate() {
        let kept = is_uuid && (place == 14 || place == 19)
            || is_pseudonym && place < PREFIX
            || !is_hex && words[place];
        text.push(match character {
            _ if kept => character,
            '0'..='9' | 'a'..='f' | 'A'..='F' if is_hex => hex(is_upper, random),
            // a leading zero stays one, and a number gets none
            '0' if place == 0 => '0',
            '1'..='9' if place == 0 => char::from(b'1' + random.below(9) as u8),
            '0'..='9' => char::from(b'0' + random.below(10) as u8),
            'a'..='f' if is_pseudonym => hex(false, random),
            'a'..='z' => char::from(b'a' + random.below(26) as u8),
            'A'..='Z' => char::from(b'A' + random.below(26) as u8),
            other => other,
        });
    }
    if is_hex && !is_uuid && bytes.iter().any(u8::is_ascii_digit) && !text.bytes().any(|b| b.is_ascii_digit())
    {
        // without a digit it would look like a word, and its path like another route
        text.replace_range(0..1, "7");
    }
    match is_pseudonym {
        true => resealed(&text),
        // words alone: a number tells them apart
        false if text == like => format!("{like}{:06}", random.below(1_000_000)),
        false => text,
    }
}

/// By character: whether it is of a word, letters alone between marks, as `sku` in `sku-0042`.
fn words(text: &str) -> Vec<bool> {
    let mut words = Vec::with_capacity(text.len());
    for part in text.split_inclusive(['-', '_', '.', '~', '=', '/']) {
        let letters = part.trim_end_matches(['-', '_', '.', '~', '=', '/']);
        let is_word = letters.chars().all(char::is_alphabetic) && letters.len() < HEX;
        words.extend(part.chars().map(|_| is_word));
    }
    words
}

fn hex(is_upper: bool, random: &mut Random) -> char {
    let digit = char::from_digit(random.below(16) as u32, 16).unwrap_or('0');
    if is_upper { digit.to_ascii_uppercase() } else { digit }
}

/// `squall_`
const PREFIX: usize = 7;
/// Shorter ones may be words.
const HEX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route;

    #[test]
    fn another_is_of_the_same_kind() {
        let mut random = Random::of(1, 1);
        for like in [
            "550e8400-e29b-41d4-a716-446655440000",
            "deadbeef01",
            "DEADBEEF01",
            "AbCdEfGh12345678xyz",
            "1234567890123456",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "squall_0123456789abcdef0",
        ] {
            let path = |value: &str| route::template(&format!("/x/{value}")).into_owned();
            for _ in 0..200 {
                let other = another(like, &mut random);
                assert_eq!(other.len(), like.len());
                assert_eq!(path(&other), path(like), "{other} for {like}");
                assert_ne!(other, like);
            }
        }
        let sku = another("sku-0042", &mut random);
        assert!(sku.starts_with("sku-") && sku != "sku-0042", "{sku}");
        let mail = another("ada@example.test", &mut random);
        assert!(mail.starts_with("ada") && mail.ends_with("@example.test") && mail.len() == 22, "{mail}");
        let uuid = another("550e8400-e29b-41d4-a716-446655440000", &mut random);
        assert!(uuid.as_bytes()[14] == b'4' && uuid.as_bytes()[19] == b'a', "{uuid}");
    }
}
