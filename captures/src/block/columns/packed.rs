//! Identifiers without what their kind says already: hexadecimal digits as half bytes, no dashes, no check digits.

use std::io::Write;

use super::holes::{HIGH, between};
use super::kinds::Kind;
use crate::wire::{Cursor, Malformed};

/// Appends an identifier of this kind without what its kind says.
pub(super) fn pack(kind: Kind, text: &[u8], out: &mut Vec<u8>) {
    match kind {
        Kind::Hex | Kind::HexUpper => pack_digits(text, out),
        Kind::Uuid | Kind::UuidUpper => pack_digits(&without_dashes(text), out),
        Kind::Pseudonym => pack_digits(&text[PREFIX.len()..text.len() - CHECK], out),
        _ => out.extend_from_slice(text),
    }
}

/// Whether a text of the length that others of this kind have is one too, told by its characters alone; no text is of a
/// kind that takes more than that to tell.
pub(super) fn fits(kind: Kind, text: &[u8]) -> bool {
    match kind {
        Kind::Hex => are_digits(text, b'a'),
        Kind::HexUpper => are_digits(text, b'A'),
        Kind::Uuid => is_uuid(text, b'a'),
        Kind::UuidUpper => is_uuid(text, b'A'),
        _ => false,
    }
}

fn is_uuid(text: &[u8], letters: u8) -> bool {
    DASHES.iter().all(|at| text[*at] == b'-') && are_digits(&without_dashes(text), letters)
}

/// Whether all are hexadecimal digits, of which those above nine begin with `letters`.
fn are_digits(text: &[u8], letters: u8) -> bool {
    let (eights, rest) = text.as_chunks::<8>();
    let mut last = [b'0'; 8];
    last[..rest.len()].copy_from_slice(rest);
    let digits = |eight: &[u8; 8]| {
        let bytes = u64::from_le_bytes(*eight);
        between(bytes, b'0', b'9') | between(bytes, letters, letters + 5)
    };
    eights.iter().fold(digits(&last), |all, eight| all & digits(eight)) == HIGH
}

/// The digits of a UUID.
fn without_dashes(text: &[u8]) -> [u8; 32] {
    let mut digits = [0; 32];
    for (group, at) in GROUPS {
        digits[at..][..group.len()].copy_from_slice(&text[group]);
    }
    digits
}

/// Whether it is digits, packed, and not text.
pub(super) fn is_binary(kind: Kind) -> bool {
    !matches!(kind, Kind::Word | Kind::Token)
}

fn pack_digits(digits: &[u8], out: &mut Vec<u8>) {
    let (eights, rest) = digits.as_chunks::<8>();
    for eight in eights {
        out.extend_from_slice(&pack_eight(u64::from_le_bytes(*eight)).to_le_bytes());
    }
    let (pairs, odd) = rest.as_chunks::<2>();
    out.extend(pairs.iter().map(|[high, low]| half(*high) << 4 | half(*low)));
    out.extend(odd.first().map(|digit| half(*digit) << 4));
}

/// Eight digits at once, the first one in the lowest byte.
fn pack_eight(digits: u64) -> u32 {
    let halves = (digits & 0x0f0f_0f0f_0f0f_0f0f) + 9 * (digits >> 6 & 0x0101_0101_0101_0101);
    let bytes = (halves << 4 | halves >> 8) & 0x00ff_00ff_00ff_00ff;
    let pairs = (bytes | bytes >> 8) & 0x0000_ffff_0000_ffff;
    (pairs | pairs >> 16) as u32
}

/// How many digits or characters an identifier is said to have whose text has this length; `None` for those that all
/// have the same.
pub(super) fn length_of(kind: Kind, text_length: usize) -> Option<usize> {
    match kind {
        Kind::Uuid | Kind::UuidUpper => None,
        Kind::Pseudonym => Some(text_length - PREFIX.len() - CHECK),
        _ => Some(text_length),
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
    let letters = if matches!(kind, Kind::HexUpper | Kind::UuidUpper) { b'A' } else { b'a' };
    let put = |bytes: &[u8], out: &mut Vec<u8>| {
        let (fours, rest) = bytes.as_chunks::<4>();
        for four in fours {
            out.extend_from_slice(&spell_four(u32::from_le_bytes(*four), letters).to_le_bytes());
        }
        for byte in rest {
            out.extend_from_slice(&spell_four((*byte).into(), letters).to_le_bytes()[..2]);
        }
    };
    match kind {
        Kind::Uuid | Kind::UuidUpper => {
            let mut digits = [0; 32];
            let (fours, _) = packed.as_chunks::<4>();
            for (four, eight) in fours.iter().zip(digits.as_chunks_mut::<8>().0) {
                *eight = spell_four(u32::from_le_bytes(*four), letters).to_le_bytes();
            }
            let mut text = [b'-'; 36];
            for (group, at) in GROUPS {
                text[group.clone()].copy_from_slice(&digits[at..][..group.len()]);
            }
            out.extend_from_slice(&text);
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

/// The eight digits of four bytes at once, the first one in the lowest byte; those above nine begin with `letters`.
fn spell_four(bytes: u32, letters: u8) -> u64 {
    let pairs = (u64::from(bytes) | u64::from(bytes) << 16) & 0x0000_ffff_0000_ffff;
    let apart = (pairs | pairs << 8) & 0x00ff_00ff_00ff_00ff;
    let halves = (apart >> 4 | apart << 8) & 0x0f0f_0f0f_0f0f_0f0f;
    let above_nine = (halves + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    halves + 0x3030_3030_3030_3030 + above_nine * u64::from(letters - b'0' - 10)
}

/// What a hexadecimal digit is worth.
fn half(digit: u8) -> u8 {
    (digit & 15) + 9 * (digit >> 6)
}

/// Where the groups of a UUID stand in its text, and among its digits.
const GROUPS: [(std::ops::Range<usize>, usize); 5] =
    [(0..8, 0), (9..13, 8), (14..18, 12), (19..23, 16), (24..36, 20)];
const DASHES: [usize; 4] = [8, 13, 18, 23];
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
            let mut bytes = Vec::new();
            pack(kind, text.as_bytes(), &mut bytes);
            assert_eq!(is_binary(kind), bytes.len() == packed, "{text}");
            let length = length_of(kind, text.len()).unwrap_or(0);
            assert_eq!(text_length(kind, length), text.len());
            let (mut tokens, mut binary) = (Cursor::new(&bytes), Cursor::new(&bytes));
            let mut out = Vec::new();
            take(kind, length, &mut tokens, &mut binary, &mut out).unwrap();
            assert_eq!(std::str::from_utf8(&out), Ok(text));
            assert!(take(kind, length.max(1), &mut tokens, &mut binary, &mut out).is_err());
        }
    }
}
