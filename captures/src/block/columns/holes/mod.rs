//! Finds the parts of a value that are better kept apart from its text: numbers, times, identifiers.
//!
//! What is found decides about sizes only. A hole that was overseen stays text; one too many costs a few bytes.

#[cfg(test)]
mod bytewise;
mod classes;
mod sixteen;
#[cfg(test)]
mod tests;

use std::ops::Range;

use self::classes::*;
pub(super) use self::sixteen::{HIGH, between};
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

/// Finds holes, and keeps its memory from text to text.
#[derive(Default)]
pub(super) struct Finder {
    /// What was found last, in order, without overlap.
    pub(super) holes: Vec<Hole>,
    /// The JSON of all holes with such, one behind the other.
    json: Vec<u8>,
    classes: Vec<Classes>,
}

impl Finder {
    /// Finds the holes of `text`; `start_us` is when its exchange began.
    pub(super) fn find(&mut self, text: &[u8], style: Style, start_us: u64) {
        self.holes.clear();
        self.json.clear();
        let mut search = Search {
            text,
            map: Map::new(text, &mut self.classes),
            style,
            start_us,
            holes: &mut self.holes,
            json: &mut self.json,
        };
        let mut at = 0;
        while search.holes.len() < MAX_HOLES {
            // nothing without a digit is one
            let digit = search.map.next(at..text.len(), |classes| classes.digits);
            if digit == text.len() {
                break;
            }
            let start = search.map.behind_last(at..digit, |classes| !classes.words());
            let end = search.map.next(digit..text.len(), |classes| !classes.words());
            at = search.run(start..end).max(end);
        }
        self.holes.truncate(MAX_HOLES);
    }

    /// The JSON that a hole with such has embedded, before it has a number.
    pub(super) fn json(&self, hole: &Hole) -> &[u8] {
        &self.json[(hole.number >> 32) as usize..hole.number as u32 as usize]
    }
}

/// A text that is searched.
struct Search<'a> {
    text: &'a [u8],
    map: Map<'a>,
    style: Style,
    start_us: u64,
    holes: &'a mut Vec<Hole>,
    json: &'a mut Vec<u8>,
}

impl Search<'_> {
    /// Looks at letters, digits, `-` and `_` that stand together, some of them digits. Returns where that ends which was
    /// found: a date goes on behind its run.
    fn run(&mut self, range: Range<usize>) -> usize {
        let kinds = self.map.kinds(range.clone());
        if let Some(hole) = self.whole(range.clone(), kinds) {
            self.holes.push(hole);
            return range.end;
        }
        if kinds & DASH == 0 {
            let found = self.part(range.clone(), kinds);
            self.holes.extend(found);
            return found.map_or(range.end, |found| found.end as usize);
        }
        let mut at = range.start;
        while at < range.end {
            let start = at;
            at = self.map.next(at..range.end, |classes| classes.dashes);
            let kinds = self.map.kinds(start..at);
            if kinds & DIGIT != 0
                && let Some(found) = self.part(start..at, kinds)
            {
                at = found.end as usize;
                self.holes.push(found);
            }
            // behind the `-` or `_`, if that is what stands here
            at += usize::from(at < range.end);
        }
        at
    }

    /// What a whole run is, `-` and `_` included.
    fn whole(&mut self, range: Range<usize>, kinds: u8) -> Option<Hole> {
        let run = &self.text[range.clone()];
        if run.len() < SHORTEST_TOKEN {
            return None;
        }
        if run.starts_with(b"squall_") && is_text_pseudonym(run) {
            return Some(hole(range, Kind::Pseudonym, 0));
        }
        let start = self.json.len();
        if run.starts_with(b"eyJ") && super::embedded::decode(run, self.json) {
            let place = (start as u64) << 32 | self.json.len() as u64;
            return Some(hole(range, Kind::Embedded, place));
        }
        if kinds & DASH == 0 {
            // digits alone are a number or a time
            let is_word = kinds != DIGIT && hex(kinds).is_none() && self.is_random(range.clone());
            return is_word.then(|| hole(range, Kind::Word, 0));
        }
        // identifiers that stand between dashes have one case
        let is_mixed = kinds & (UPPER | UPPER_HEX) != 0 && kinds & (LOWER | LOWER_HEX) != 0;
        (is_mixed && self.is_random(range.clone())).then(|| hole(range, Kind::Token, 0))
    }

    /// What letters and digits that stand together are.
    fn part(&mut self, range: Range<usize>, kinds: u8) -> Option<Hole> {
        if range.len() == 8
            && let Some(kind) = self.uuid(range.start)
        {
            return Some(hole(range.start..range.start + UUID, kind, 0));
        }
        if kinds == DIGIT {
            return number(self.text, range, self.style, self.start_us);
        }
        if range.len() < SHORTEST_HEX {
            return None;
        }
        let kind = match hex(kinds) {
            Some(kind) => kind,
            None if self.is_random(range.clone()) => Kind::Word,
            None => return None,
        };
        Some(hole(range, kind, 0))
    }

    /// Whether digits, capitals and small letters change too often for words. Dates and names with dashes change at every
    /// dash: those do not count.
    fn is_random(&mut self, range: Range<usize>) -> bool {
        SHORTEST_TOKEN <= range.len() && range.len() <= self.map.changes(range) * 4
    }

    /// The kind of a UUID that stands there.
    fn uuid(&mut self, at: usize) -> Option<Kind> {
        let text = self.text.get(at..at + UUID)?;
        let dashes = [8, 13, 18, 23];
        if dashes.iter().any(|at| text[*at] != b'-') {
            return None;
        }
        let found = self.map.from(at).masked((1 << UUID) - 1);
        let at_dashes = dashes.iter().fold(0, |bits, at| bits | 1 << at);
        if found.dashes != at_dashes || (found.digits | found.hex | at_dashes).count_ones() as usize != UUID {
            return None;
        }
        match found.capitals {
            0 => Some(Kind::Uuid),
            capitals if capitals == found.letters => Some(Kind::UuidUpper),
            _ => None,
        }
    }
}

/// What digits that stand together are.
fn number(text: &[u8], range: Range<usize>, style: Style, start_us: u64) -> Option<Hole> {
    let part = &text[range.clone()];
    if part.len() == 4
        && let Some((kind, length, us)) = super::dates::date_of(&text[range.start..])
    {
        let number = us / kind.unit_us().unwrap_or(1);
        return Some(hole(range.start..range.start + length, kind, number));
    }
    let leading_zero = part.len() != 1 && part[0] == b'0';
    if leading_zero || MOST_DIGITS < part.len() {
        return (SHORTEST_HEX <= part.len()).then(|| hole(range, Kind::Hex, 0));
    }
    let number = part.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    if let Some(kind) = time(part.len(), number, start_us) {
        return Some(hole(range, kind, number));
    }
    let stands_alone = part.len() == text.len();
    let worth = style == Style::Document || SHORTEST_NUMBER <= part.len() || stands_alone;
    worth.then(|| hole(range, Kind::Integer, number))
}

/// Hexadecimal digits of one case, of which some are letters and some are not.
fn hex(kinds: u8) -> Option<Kind> {
    const LOWER_HEX_DIGITS: u8 = DIGIT | LOWER_HEX;
    const UPPER_HEX_DIGITS: u8 = DIGIT | UPPER_HEX;
    match kinds {
        LOWER_HEX_DIGITS => Some(Kind::Hex),
        UPPER_HEX_DIGITS => Some(Kind::HexUpper),
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

/// The length of a UUID.
const UUID: usize = 36;
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
