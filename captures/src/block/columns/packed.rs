//! Identifiers without what their kind says already: hexadecimal digits as half bytes, no dashes, no check digits.

use std::io::Write;

use super::kinds::Kind;
use crate::wire::{Cursor, Malformed};

/// The columns that hold what is random.
#[derive(Default)]
pub(super) struct Random {
    /// Letters and digits of tokens.
    pub(super) tokens: Vec<u8>,
    /// Hexadecimal digits, two a byte.
    pub(super) binary: Vec<u8>,
}

impl Random {
    /// Appends an identifier that has this kind.
    pub(super) fn put(&mut self, kind: Kind, text: &[u8]) {
        match kind {
            Kind::Hex | Kind::HexUpper => self.put_digits(text.iter()),
            Kind::Uuid | Kind::UuidUpper => self.put_digits(text.iter().filter(|byte| **byte != b'-')),
            Kind::Pseudonym => self.put_digits(text[PREFIX.len()..text.len() - CHECK].iter()),
            _ => self.tokens.extend_from_slice(text),
        }
    }

    fn put_digits<'a>(&mut self, mut digits: impl Iterator<Item = &'a u8>) {
        while let Some(high) = digits.next() {
            let low = digits.next().map_or(0, |digit| half(*digit));
            self.binary.push(half(*high) << 4 | low);
        }
    }
}

/// How many digits or characters an identifier is said to have; `None` for those that all have the same.
pub(super) fn length_of(kind: Kind, text: &[u8]) -> Option<usize> {
    match kind {
        Kind::Uuid | Kind::UuidUpper => None,
        Kind::Pseudonym => Some(text.len() - PREFIX.len() - CHECK),
        _ => Some(text.len()),
    }
}

/// The length of the text of an identifier of so many digits or characters.
pub(super) fn text_length(kind: Kind, length: usize) -> usize {
    match kind {
        Kind::Uuid | Kind::UuidUpper => 36,
        Kind::Pseudonym => PREFIX.len().saturating_add(length).saturating_add(CHECK),
        _ => length,
    }
}

/// Reads an identifier of `length` digits or characters from the column of its kind, and appends its text.
pub(super) fn take(
    kind: Kind,
    length: usize,
    tokens: &mut Cursor<'_>,
    binary: &mut Cursor<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    match kind {
        Kind::Word | Kind::Token => out.extend_from_slice(tokens.take(length)?),
        Kind::Uuid | Kind::UuidUpper => spell(kind, binary.take(16)?, 32, out),
        _ => spell(kind, binary.take(length.div_ceil(2))?, length, out),
    }
    Ok(())
}

/// Appends the text of an identifier whose digits are these half bytes.
pub(super) fn spell(kind: Kind, packed: &[u8], digits: usize, out: &mut Vec<u8>) {
    let alphabet = if matches!(kind, Kind::HexUpper | Kind::UuidUpper) { UPPER } else { LOWER };
    let put = |bytes: &[u8], out: &mut Vec<u8>| {
        for byte in bytes {
            out.extend_from_slice(&[alphabet[usize::from(byte >> 4)], alphabet[usize::from(byte & 15)]]);
        }
    };
    match kind {
        Kind::Uuid | Kind::UuidUpper => {
            for (at, group) in [0..4, 4..6, 6..8, 8..10, 10..16].into_iter().enumerate() {
                if at != 0 {
                    out.push(b'-');
                }
                put(&packed[group], out);
            }
        }
        Kind::Pseudonym => {
            let start = out.len();
            out.extend_from_slice(PREFIX);
            put(packed, out);
            out.truncate(start + PREFIX.len() + digits);
            let check = crc32c::crc32c(&out[start..]) & 0xffff;
            write!(out, "{check:04x}").expect("memory takes what is written");
        }
        _ => {
            let start = out.len();
            put(packed, out);
            out.truncate(start + digits);
        }
    }
}

/// What a hexadecimal digit is worth.
fn half(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit & 7) + 9,
    }
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";
/// What every pseudonym begins with, and the digits that check it.
const PREFIX: &[u8] = b"squall_";
const CHECK: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_there_and_back() {
        let pseudonym = {
            let body = "squall_0123456789abc";
            format!("{body}{:04x}", crc32c::crc32c(body.as_bytes()) & 0xffff)
        };
        for (kind, text, packed) in [
            (Kind::Hex, "0123456789abcdef", 8),
            (Kind::Hex, "0123456789abcde", 8),
            (Kind::HexUpper, "0F8FAD5BD9", 5),
            (Kind::Uuid, "0f8fad5b-d9cb-469f-a165-70867728950e", 16),
            (Kind::UuidUpper, "0F8FAD5B-D9CB-469F-A165-70867728950E", 16),
            (Kind::Token, "aB3dE5gH7-jK9mN1pQ_3sT5uV7x", 0),
            (Kind::Pseudonym, &pseudonym, 7),
        ] {
            let mut random = Random::default();
            random.put(kind, text.as_bytes());
            assert_eq!(random.binary.len(), packed, "{text}");
            let length = length_of(kind, text.as_bytes()).unwrap_or(0);
            assert_eq!(text_length(kind, length), text.len());
            let (mut tokens, mut binary) = (Cursor::new(&random.tokens), Cursor::new(&random.binary));
            let mut out = Vec::new();
            take(kind, length, &mut tokens, &mut binary, &mut out).unwrap();
            assert_eq!(std::str::from_utf8(&out), Ok(text));
            assert!(take(kind, length.max(1), &mut tokens, &mut binary, &mut out).is_err());
        }
    }
}
