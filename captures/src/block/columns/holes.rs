//! Finds the parts of a value that are better kept apart from its text: numbers, times, identifiers.
//!
//! What is found decides about sizes only. A hole that was overseen stays text; one too many costs a few bytes.

use std::ops::Range;

use super::kinds::Kind;
use crate::redact::is_text_pseudonym;

/// A typed part of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) kind: Kind,
    /// Of numbers and times what they say, in their unit; of the others, later, their own number in the block.
    pub(super) number: u64,
}

/// What short numbers are worth.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Paths, queries, documents: a number is an identifier or a count.
    Document,
    /// Header values: short numbers are versions and weights, which are words like others.
    Header,
}

/// Appends the holes of `text`, in order, without overlap; `start_us` is when its exchange began.
pub(super) fn find(text: &[u8], style: Style, start_us: u64, holes: &mut Vec<Hole>) {
    let most = holes.len() + MAX_HOLES;
    let mut at = 0;
    while at < text.len() && holes.len() < most {
        let start = at;
        let mut classes = 0;
        at += length(&text[at..], &mut classes, |class| class != 0);
        if classes & DIGIT != 0 {
            let run = Run { text, range: start..at, classes, style, start_us };
            at = at.max(run.find(holes));
        }
        // what ends a run begins none
        at += usize::from(at < text.len() && CLASS[text[at] as usize] == 0);
    }
    holes.truncate(most);
}

/// How many bytes at the beginning of `text` are of the classes that `belongs` says; which classes they are.
#[inline]
fn length(text: &[u8], classes: &mut u8, belongs: impl Fn(u8) -> bool) -> usize {
    for (at, byte) in text.iter().enumerate() {
        let class = CLASS[usize::from(*byte)];
        if !belongs(class) {
            return at;
        }
        *classes |= class;
    }
    text.len()
}

/// Letters, digits, `-` and `_` that stand together, some of them digits.
struct Run<'a> {
    text: &'a [u8],
    range: Range<usize>,
    /// The classes of its bytes.
    classes: u8,
    style: Style,
    start_us: u64,
}

impl Run<'_> {
    /// Appends what is found, and returns where that ends: a date goes on behind its run.
    fn find(&self, holes: &mut Vec<Hole>) -> usize {
        let run = &self.text[self.range.clone()];
        if let Some(kind) = whole(run, self.classes) {
            holes.push(hole(self.range.clone(), kind, 0));
            return self.range.end;
        }
        let mut at = self.range.start;
        if self.classes & DASH == 0 {
            let found = self.part(self.range.clone(), self.classes);
            at = found.map_or(self.range.end, |found| found.end as usize);
            holes.extend(found);
            return at;
        }
        while at < self.range.end {
            let start = at;
            let mut classes = 0;
            at += length(&self.text[at..self.range.end], &mut classes, |class| class & DASH == 0);
            if classes & DIGIT != 0
                && let Some(found) = self.part(start..at, classes)
            {
                at = found.end as usize;
                holes.push(found);
            }
            // behind the `-` or `_`, if that is what stands here
            at += usize::from(at < self.range.end);
        }
        at
    }

    /// What letters and digits that stand together are.
    fn part(&self, range: Range<usize>, classes: u8) -> Option<Hole> {
        let part = &self.text[range.clone()];
        let behind = &self.text[range.start..];
        if part.len() == 8
            && let Some(kind) = behind.get(..36).and_then(uuid)
        {
            return Some(hole(range.start..range.start + 36, kind, 0));
        }
        if classes == DIGIT {
            return self.number(range, part, behind);
        }
        if part.len() < SHORTEST_HEX {
            return None;
        }
        let kind = match hex(classes) {
            Some(kind) => kind,
            None if is_random(part) => Kind::Word,
            None => return None,
        };
        Some(hole(range, kind, 0))
    }

    /// What digits that stand together are.
    fn number(&self, range: Range<usize>, part: &[u8], behind: &[u8]) -> Option<Hole> {
        if part.len() == 4
            && let Some((kind, length, us)) = super::dates::date_of(behind)
        {
            let number = us / kind.unit_us().unwrap_or(1);
            return Some(hole(range.start..range.start + length, kind, number));
        }
        let leading_zero = part.len() != 1 && part[0] == b'0';
        if leading_zero || MOST_DIGITS < part.len() {
            return (SHORTEST_HEX <= part.len()).then(|| hole(range, Kind::Hex, 0));
        }
        let number = part.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
        if let Some(kind) = time(part.len(), number, self.start_us) {
            return Some(hole(range, kind, number));
        }
        let stands_alone = part.len() == self.text.len();
        let worth = self.style == Style::Document || SHORTEST_NUMBER <= part.len() || stands_alone;
        worth.then(|| hole(range, Kind::Integer, number))
    }
}

/// What a whole run is, `-` and `_` included.
fn whole(run: &[u8], classes: u8) -> Option<Kind> {
    if run.len() < SHORTEST_TOKEN {
        return None;
    }
    if run.starts_with(b"squall_") && is_text_pseudonym(run) {
        return Some(Kind::Pseudonym);
    }
    if run.starts_with(b"eyJ") && super::embedded::decode(run).is_some() {
        return Some(Kind::Embedded);
    }
    if classes & DASH == 0 {
        // digits alone are a number or a time
        let is_word = classes != DIGIT && hex(classes).is_none() && is_random(run);
        return is_word.then_some(Kind::Word);
    }
    // identifiers that stand between dashes have one case
    let is_mixed = classes & (UPPER | UPPER_HEX) != 0 && classes & (LOWER | LOWER_HEX) != 0;
    (is_mixed && is_random(run)).then_some(Kind::Token)
}

/// Whether digits, capitals and small letters change too often for words.
fn is_random(part: &[u8]) -> bool {
    if part.len() < SHORTEST_TOKEN {
        return false;
    }
    let group = |byte: u8| match CLASS[byte as usize] {
        DIGIT => 1,
        LOWER | LOWER_HEX => 2,
        UPPER | UPPER_HEX => 3,
        _ => 0,
    };
    // dates and names with dashes change at every dash: those do not count
    let mut changes = 0;
    let mut before = 0;
    for byte in part {
        let now = group(*byte);
        changes += usize::from(now != before && now != 0 && before != 0);
        before = now;
    }
    part.len() <= changes * 4
}

/// Hexadecimal digits of one case, of which some are letters and some are not.
fn hex(classes: u8) -> Option<Kind> {
    match classes {
        LOWER_HEX_DIGITS => Some(Kind::Hex),
        UPPER_HEX_DIGITS => Some(Kind::HexUpper),
        _ => None,
    }
}

fn uuid(text: &[u8]) -> Option<Kind> {
    if [8, 13, 18, 23].iter().any(|at| text[*at] != b'-') {
        return None;
    }
    let mut classes = 0;
    for group in [0..8, 9..13, 14..18, 19..23, 24..36] {
        if length(&text[group.clone()], &mut classes, |class| class != 0) != group.len() {
            return None;
        }
    }
    match classes {
        DIGIT | LOWER_HEX | LOWER_HEX_DIGITS => Some(Kind::Uuid),
        UPPER_HEX | UPPER_HEX_DIGITS => Some(Kind::UuidUpper),
        _ => None,
    }
}

/// Whether a number of so many digits is a time of the exchange's own year.
fn time(digits: usize, number: u64, start_us: u64) -> Option<Kind> {
    let kind = match digits {
        10 => Kind::Seconds,
        13 => Kind::Millis,
        16 => Kind::Micros,
        _ => return None,
    };
    let unit_us = kind.unit_us()?;
    (number.abs_diff(start_us / unit_us) <= YEAR_US / unit_us).then_some(kind)
}

fn hole(range: Range<usize>, kind: Kind, number: u64) -> Hole {
    Hole { start: range.start as u32, end: range.end as u32, kind, number }
}

/// What a byte can be part of; nothing, if it ends a run.
const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' => LOWER_HEX,
            b'g'..=b'z' => LOWER,
            b'A'..=b'F' => UPPER_HEX,
            b'G'..=b'Z' => UPPER,
            b'-' | b'_' => DASH,
            _ => 0,
        };
        byte += 1;
    }
    table
};
const DIGIT: u8 = 1;
const LOWER_HEX: u8 = 1 << 1;
const LOWER: u8 = 1 << 2;
const UPPER_HEX: u8 = 1 << 3;
const UPPER: u8 = 1 << 4;
const DASH: u8 = 1 << 5;
const LOWER_HEX_DIGITS: u8 = DIGIT | LOWER_HEX;
const UPPER_HEX_DIGITS: u8 = DIGIT | UPPER_HEX;

/// Holes of one value; what comes after stays text.
pub(super) const MAX_HOLES: usize = 64;
/// Below, a reference to a hexadecimal identifier would save nothing.
const SHORTEST_HEX: usize = 8;
/// Below, chance and words look alike.
const SHORTEST_TOKEN: usize = 16;
/// In a header value; shorter ones are parts of versions.
const SHORTEST_NUMBER: usize = 5;
/// The largest numbers of so many digits fit twice into 64 bits.
const MOST_DIGITS: usize = 18;
const YEAR_US: u64 = 366 * 86_400 * 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, style: Style) -> String {
        let mut holes = Vec::new();
        find(text.as_bytes(), style, 1_700_000_000_000_000, &mut holes);
        let words =
            |hole: &Hole| format!("{:?} {}", hole.kind, &text[hole.start as usize..hole.end as usize]);
        holes.iter().map(words).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn identifiers_numbers_and_times() {
        let check = |text: &str, expect: &str| assert_eq!(found(text, Style::Document), expect, "{text}");
        check("/products/4711/reviews?page=2", "Integer 4711, Integer 2");
        check("/v1/users/007", "");
        check(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "Hex 4bf92f3577b34da6a3ce929d0e0e4736, Hex 00f067aa0ba902b7",
        );
        check("id=0f8fad5b-d9cb-469f-a165-70867728950e;", "Uuid 0f8fad5b-d9cb-469f-a165-70867728950e");
        check("0f8fad5b-d9cb-469f-a165-70867728950`", "Hex 0f8fad5b, Integer 70867728950");
        check("order-0F8FAD5B-D9CB-469F-A165-70867728950E", "UuidUpper 0F8FAD5B-D9CB-469F-A165-70867728950E");
        check("_=1700000012345&t=1699999999", "Millis 1700000012345, Seconds 1699999999");
        check("n=1600000012345", "Integer 1600000012345");
        check("at 2023-11-14T22:13:20.123Z", "DateMillis 2023-11-14T22:13:20.123");
        check("2023-11-14T22:13:20+01:00", "DateSeconds 2023-11-14T22:13:20");
        check("Bearer aB3dE5gH7jK9mN1pQ3sT5", "Word aB3dE5gH7jK9mN1pQ3sT5");
        check("t=aB3dE5gH7-jK9mN1pQ_3sT5uV7x", "Token aB3dE5gH7-jK9mN1pQ_3sT5uV7x");
        check("/assets/jquery-ui-1-main-bundle-production.js", "Integer 1");
        check("00000000000000000001", "Hex 00000000000000000001");
        check("eyJzdWIiOiJ1c2VyIDEyMyJ9.x", "Embedded eyJzdWIiOiJ1c2VyIDEyMyJ9");
    }

    #[test]
    fn short_numbers_of_headers_are_words() {
        let check = |text: &str, expect: &str| assert_eq!(found(text, Style::Header), expect, "{text}");
        check("Mozilla/5.0 (X11; Linux x86_64) Chrome/124.0.0.0 Safari/537.36", "");
        check("148", "Integer 148");
        check("GA1.2.1234567.89", "Integer 1234567");
    }

    #[test]
    fn a_value_has_so_many_holes_and_no_more() {
        assert_eq!(found(&"1,".repeat(1000), Style::Document).matches("Integer").count(), MAX_HOLES);
    }
}
