//! Numbers of payment cards: found by issuer, length and check digit, and replaced by numbers that are as valid.

use std::ops::Range;

/// Where the card number that begins at `start` ends, if one does: 13 to 19 digits, alone or in groups of four and more with
/// single spaces or dashes between them.
pub(super) fn at(text: &[u8], start: usize) -> Option<Range<usize>> {
    let before = |back: usize| start.checked_sub(back).and_then(|at| text.get(at));
    let is_fraction = before(1) == Some(&b'.') && before(2).is_some_and(u8::is_ascii_digit);
    if is_fraction || before(1).is_some_and(|byte| is_word(*byte)) {
        return None;
    }
    let (mut digits, mut n) = ([0; LONGEST], 0);
    let mut at = start;
    loop {
        let group = at;
        while let Some(digit) = text.get(at).filter(|byte| byte.is_ascii_digit()) {
            *digits.get_mut(n)? = digit - b'0';
            (n, at) = (n + 1, at + 1);
        }
        let ends = |byte: Option<&u8>| byte.is_none_or(|byte| !is_word(*byte));
        let is_number_with_more =
            text.get(at) == Some(&b'.') && text.get(at + 1).is_some_and(u8::is_ascii_digit);
        if ends(text.get(at)) && !is_number_with_more && is_card(&digits[..n]) {
            return Some(start..at);
        }
        let goes_on = GROUP <= at - group
            && matches!(text.get(at), Some(b' ' | b'-'))
            && text.get(at + 1).is_some_and(u8::is_ascii_digit);
        if !goes_on {
            return None;
        }
        at += 1;
    }
}

/// A number of the same length and first digit that passes the same test, drawn from `hash`; spaces and dashes stay.
pub(super) fn pseudonym(card: &[u8], hash: u64) -> String {
    let n = card.iter().filter(|byte| byte.is_ascii_digit()).count();
    let first = card.iter().find(|byte| byte.is_ascii_digit()).map_or(b'4', |digit| *digit);
    let keyed = n.saturating_sub(1 + MARK.len() + CHECK + 1);
    let drawn = format!("{hash:020}");
    let mut digits = format!("{}{MARK}{}", char::from(first), &drawn[drawn.len() - keyed..]);
    digits.push_str(&check(digits.as_bytes()));
    let odd = luhn(&[digits.as_bytes(), b"0"].concat());
    digits.push(char::from(b'0' + (10 - odd) % 10));
    let mut digits = digits.bytes();
    let mut next = |byte: &u8| if byte.is_ascii_digit() { digits.next().unwrap_or(*byte) } else { *byte };
    card.iter().map(|byte| char::from(next(byte))).collect()
}

/// Whether it is such a number, under any key. No issuer has the range in which they lie.
pub(super) fn is_pseudonym(card: &[u8]) -> bool {
    let digits: Vec<u8> = card.iter().filter(|byte| byte.is_ascii_digit()).copied().collect();
    if digits.len() < SHORTEST || !digits[1..].starts_with(MARK.as_bytes()) {
        return false;
    }
    let body = digits.len() - 1 - CHECK;
    check(&digits[..body]).as_bytes() == &digits[body..body + CHECK] && luhn(&digits) == 0
}

fn is_card(digits: &[u8]) -> bool {
    let number = |n: usize| digits.iter().take(n).fold(0, |sum, digit| sum * 10 + u32::from(*digit));
    let n = digits.len();
    if n < SHORTEST {
        return false;
    }
    let is_issued = match number(4) {
        4000..=4999 => matches!(n, 13 | 16 | 19),
        2221..=2720 | 5100..=5599 | 2200..=2204 => n == 16,
        3400..=3499 | 3700..=3799 => n == 15,
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => 14 <= n,
        3528..=3589 | 6011 | 6440..=6599 | 6200..=6299 | 8100..=8171 => 16 <= n,
        5000..=5099 | 5600..=5899 | 6300..=6399 | 6700..=6799 => 13 <= n,
        _ => false,
    };
    is_issued && luhn(&digits.iter().map(|digit| digit + b'0').collect::<Vec<_>>()) == 0
}

/// The sum of Luhn's test, modulo 10: 0 where the number passes.
fn luhn(digits: &[u8]) -> u8 {
    let doubled = |digit: u8| if digit < 5 { digit * 2 } else { digit * 2 - 9 };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| (at, digit - b'0'))
        .map(|(at, digit)| u32::from(if at % 2 == 1 { doubled(digit) } else { digit }))
        .sum();
    (sum % 10) as u8
}

fn check(digits: &[u8]) -> String {
    format!("{:02}", crc32c::crc32c(digits) % 100)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

const SHORTEST: usize = 13;
const LONGEST: usize = 19;
/// Digits of a group that more follow.
const GROUP: usize = 4;
/// Behind the first digit: a range that no issuer has.
const MARK: &str = "0000";
/// Digits that tell a pseudonym from a number of that range.
const CHECK: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_found(text: &str, expect: Option<&str>) {
        let start = text.find(|c: char| c.is_ascii_digit()).expect("a digit");
        let found = at(text.as_bytes(), start).map(|range| &text[range]);
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn cards_are_found_by_issuer_length_and_check_digit() {
        for card in [
            "4111111111111111",
            "4222222222222",
            "5555 5555 5555 4444",
            "3782-822463-10005",
            "6011000990139424",
            "30569309025904",
            "2223003122003222",
        ] {
            check_found(card, Some(card));
            check_found(&format!("card: {card}, thanks"), Some(card));
        }
        for other in [
            "4111111111111112",
            "1764272696123456",
            "0.4111111111111111",
            "4111111111111111.5",
            "x4111111111111111",
            "4111111111111111f",
            "41111111111111111111",
            "2024-01-01 12:00:00",
            "9111111111111111",
        ] {
            check_found(other, None);
        }
    }

    #[test]
    fn pseudonyms_are_as_valid_and_recognised() {
        for card in [
            "4111111111111111",
            "4222222222222",
            "5555 5555 5555 4444",
            "3782-822463-10005",
            "6799990100000000019",
        ] {
            for hash in [0, 1, 12_345_678_901, u64::MAX] {
                let pseudonym = pseudonym(card.as_bytes(), hash);
                assert!(is_pseudonym(pseudonym.as_bytes()), "{pseudonym}");
                assert_eq!((pseudonym.len(), &pseudonym[..1]), (card.len(), &card[..1]));
                let shape = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "9");
                assert_eq!(shape(&pseudonym), shape(card));
            }
            assert!(!is_pseudonym(card.as_bytes()));
        }
    }
}
