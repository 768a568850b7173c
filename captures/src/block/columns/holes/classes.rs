//! Which bytes of a text are digits, letters or dashes: found out for 64 of them at a time, and then looked up bit by bit.

use std::ops::Range;

use super::sixteen::Sixteen;

/// Of 64 bytes of a text, which are what: a bit for each, the lowest for the first.
#[derive(Clone, Copy, Default)]
pub(super) struct Classes {
    pub(super) digits: u64,
    pub(super) letters: u64,
    /// Those of the letters that are hexadecimal digits too.
    pub(super) hex: u64,
    pub(super) capitals: u64,
    /// `-` and `_`.
    pub(super) dashes: u64,
}

impl Classes {
    /// Of at most 64 bytes.
    fn of(bytes: &[u8]) -> Classes {
        let mut all = Classes::default();
        let (sixteens, rest) = bytes.as_chunks::<16>();
        for (at, sixteen) in sixteens.iter().enumerate() {
            all.put(at, Sixteen::new(*sixteen));
        }
        if !rest.is_empty() {
            let mut last = [0; 16];
            last[..rest.len()].copy_from_slice(rest);
            all.put(sixteens.len(), Sixteen::new(last));
        }
        all
    }

    fn put(&mut self, at: usize, bytes: Sixteen) {
        let note = |bits: &mut u64, found: u64| *bits |= found << (16 * at);
        note(&mut self.digits, bytes.between(b'0', b'9'));
        note(&mut self.letters, bytes.small().between(b'a', b'z'));
        note(&mut self.hex, bytes.small().between(b'a', b'f'));
        note(&mut self.capitals, bytes.between(b'A', b'Z'));
        note(&mut self.dashes, bytes.between(b'-', b'-') | bytes.between(b'_', b'_'));
    }

    /// Digits, letters and dashes.
    pub(super) fn words(&self) -> u64 {
        self.digits | self.letters | self.dashes
    }

    /// The 64 bytes that begin `n` bytes behind these, of which `next` are the ones behind.
    fn shifted(&self, next: &Classes, n: usize) -> Classes {
        let join = |low: u64, high: u64| if n == 0 { low } else { low >> n | high << (64 - n) };
        Classes {
            digits: join(self.digits, next.digits),
            letters: join(self.letters, next.letters),
            hex: join(self.hex, next.hex),
            capitals: join(self.capitals, next.capitals),
            dashes: join(self.dashes, next.dashes),
        }
    }

    /// Those of the bytes that `mask` names.
    pub(super) fn masked(&self, mask: u64) -> Classes {
        Classes {
            digits: self.digits & mask,
            letters: self.letters & mask,
            hex: self.hex & mask,
            capitals: self.capitals & mask,
            dashes: self.dashes & mask,
        }
    }

    /// Which kinds of bytes there are.
    fn kinds(&self) -> u8 {
        let (small, other) = (self.letters & !self.capitals, self.letters & !self.hex);
        let any = |bits: u64, kind: u8| if bits == 0 { 0 } else { kind };
        any(self.digits, DIGIT)
            | any(small & self.hex, LOWER_HEX)
            | any(small & other, LOWER)
            | any(self.capitals & self.hex, UPPER_HEX)
            | any(self.capitals & other, UPPER)
            | any(self.dashes, DASH)
    }
}

/// The classes of a text, as far as they were asked for: where a long one ends early, the rest costs nothing.
pub(super) struct Map<'a> {
    text: &'a [u8],
    /// Of the first 64 bytes, of the next, …
    known: &'a mut Vec<Classes>,
}

impl<'a> Map<'a> {
    /// Of `text`; `memory` is that of the one before.
    pub(super) fn new(text: &'a [u8], memory: &'a mut Vec<Classes>) -> Map<'a> {
        memory.clear();
        Map { text, known: memory }
    }

    fn at(&mut self, block: usize) -> Classes {
        while self.known.len() <= block {
            let start = (self.known.len() * 64).min(self.text.len());
            let end = (start + 64).min(self.text.len());
            self.known.push(Classes::of(&self.text[start..end]));
        }
        self.known[block]
    }

    /// The first place in `range` of a byte that is one of `which`, or the end of it.
    pub(super) fn next(&mut self, range: Range<usize>, which: impl Fn(Classes) -> u64) -> usize {
        let mut at = range.start;
        while at < range.end {
            let bits = which(self.at(at / 64)) >> (at % 64);
            if bits != 0 {
                return range.end.min(at + bits.trailing_zeros() as usize);
            }
            at = (at / 64 + 1) * 64;
        }
        range.end
    }

    /// Behind the last byte in `range` that is one of `which`, or the start of it.
    pub(super) fn behind_last(&mut self, range: Range<usize>, which: impl Fn(Classes) -> u64) -> usize {
        let mut end = range.end;
        while range.start < end {
            let block = (end - 1) / 64;
            let bits = which(self.at(block)) << (63 - (end - 1) % 64);
            if bits != 0 {
                return range.start.max(end - bits.leading_zeros() as usize);
            }
            end = block * 64;
        }
        range.start
    }

    /// The 64 bytes from there on.
    pub(super) fn from(&mut self, at: usize) -> Classes {
        self.at(at / 64).shifted(&self.at(at / 64 + 1), at % 64)
    }

    /// Which kinds of bytes there are in a range.
    pub(super) fn kinds(&mut self, range: Range<usize>) -> u8 {
        let blocks = range.start / 64..range.end.div_ceil(64);
        blocks.fold(0, |kinds, block| kinds | self.at(block).masked(mask(&range, block)).kinds())
    }

    /// How often digits, capitals and small letters follow each other in a range, dashes apart.
    pub(super) fn changes(&mut self, range: Range<usize>) -> usize {
        let mut changes = 0;
        // of the byte before, as the highest bits
        let mut last = Classes::default();
        for block in range.start / 64..range.end.div_ceil(64) {
            let now = self.at(block).masked(mask(&range, block));
            let before = |bits: u64, last: u64| bits << 1 | last >> 63;
            let differ = |bits: u64, last: u64| bits ^ before(bits, last);
            let both =
                (now.digits | now.letters) & before(now.digits | now.letters, last.digits | last.letters);
            let other = differ(now.digits, last.digits) | differ(now.capitals, last.capitals);
            changes += (both & other).count_ones() as usize;
            last = now;
        }
        changes
    }
}

/// The bytes of a block of 64 that are in `range`.
fn mask(range: &Range<usize>, block: usize) -> u64 {
    let (start, end) = (range.start.max(block * 64), range.end.min(block * 64 + 64));
    u64::MAX << (start % 64) & u64::MAX >> (block * 64 + 64 - end)
}

/// Kinds of bytes.
pub(super) const DIGIT: u8 = 1;
pub(super) const LOWER_HEX: u8 = 1 << 1;
pub(super) const LOWER: u8 = 1 << 2;
pub(super) const UPPER_HEX: u8 = 1 << 3;
pub(super) const UPPER: u8 = 1 << 4;
pub(super) const DASH: u8 = 1 << 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place() {
        for byte in 0..=u8::MAX {
            for at in [0, 1, 7, 8, 62, 63] {
                let mut text = [b' '; 64];
                text[at] = byte;
                let classes = Classes::of(&text);
                let check = |bits: u64, expect: bool, what: &str| {
                    assert_eq!(bits, u64::from(expect) << at, "{what} of {byte:#x} at {at}");
                };
                check(classes.digits, byte.is_ascii_digit(), "digit");
                check(classes.letters, byte.is_ascii_alphabetic(), "letter");
                check(classes.hex, byte.is_ascii_hexdigit() && byte.is_ascii_alphabetic(), "hex");
                check(classes.capitals, byte.is_ascii_uppercase(), "capital");
                check(classes.dashes, matches!(byte, b'-' | b'_'), "dash");
                let kind = match byte {
                    b'0'..=b'9' => DIGIT,
                    b'a'..=b'f' => LOWER_HEX,
                    b'g'..=b'z' => LOWER,
                    b'A'..=b'F' => UPPER_HEX,
                    b'G'..=b'Z' => UPPER,
                    b'-' | b'_' => DASH,
                    _ => 0,
                };
                assert_eq!(classes.kinds(), kind, "{byte:#x}");
            }
        }
    }

    #[test]
    fn places_and_ranges_across_blocks() {
        let text: Vec<u8> = (0..300).map(|n: usize| if n.is_multiple_of(67) { b'7' } else { b'x' }).collect();
        let mut memory = Vec::new();
        let mut map = Map::new(&text, &mut memory);
        for start in 0..300 {
            for end in start..=300 {
                let digits = (start..end).filter(|at| at % 67 == 0);
                let next = map.next(start..end, |classes| classes.digits);
                assert_eq!(next, digits.clone().next().unwrap_or(end), "{start}..{end}");
                let last = map.behind_last(start..end, |classes| classes.digits);
                assert_eq!(last, digits.clone().next_back().map_or(start, |at| at + 1), "{start}..{end}");
                let expect = match (digits.count(), end - start) {
                    (_, 0) => 0,
                    (0, _) => LOWER,
                    (n, all) if n == all => DIGIT,
                    _ => DIGIT | LOWER,
                };
                assert_eq!(map.kinds(start..end), expect, "{start}..{end}");
                let differ = (start + 1..end).filter(|at| (text[*at] == b'7') != (text[at - 1] == b'7'));
                assert_eq!(map.changes(start..end), differ.count(), "{start}..{end}");
            }
        }
        let window = map.from(66);
        assert_eq!((window.digits, window.letters), (2, !2));
        assert_eq!(map.from(299).words(), 1, "nothing behind the end");
    }
}
