//! Exchanges that have their parts in the same slots as the one before them: mostly the parts are the same too, and
//! nothing needs to be done for these but to count.

use super::code;
use super::layout::Slots;

/// The exchanges with the same slots that were laid out last. Codes of parts that stay as they were are owed until another
/// one comes.
#[derive(Default)]
pub(super) struct Run {
    /// Slot and value of each part of the last exchange, but for its target.
    parts: Vec<(u32, u32)>,
    /// Whether no slot stands there twice.
    is_distinct: bool,
    /// How many exchanges they are.
    exchanges: u32,
    /// By slot: for how many of them its codes are written.
    coded: Vec<u32>,
    /// By slot: the list of slots that had it last, to see whether one stands twice.
    seen: Vec<u32>,
    lists: u32,
}

impl Run {
    pub(super) fn new(slots: usize) -> Run {
        Run { coded: vec![0; slots], seen: vec![0; slots], ..Run::default() }
    }

    /// Which of these parts differ from those of the run, one bit for each; `None` where they have other slots.
    pub(super) fn differing(&self, parts: &[(u32, u32)]) -> Option<u64> {
        if !self.is_distinct || parts.len() != self.parts.len() {
            return None;
        }
        let (mut other_slots, mut differing) = (0, 0);
        for (at, (part, before)) in parts.iter().zip(&self.parts).enumerate() {
            other_slots |= part.0 ^ before.0;
            differing |= u64::from(part.1 != before.1) << at;
        }
        (other_slots == 0).then_some(differing)
    }

    /// Ends the run, and begins another one with an exchange of these parts, all codes of which will be written at once.
    pub(super) fn begin(&mut self, parts: &[(u32, u32)], slots: &mut Slots<Vec<u8>>) {
        self.end(slots);
        self.lists += 1;
        self.is_distinct = parts.len() <= MOST;
        for (slot, _) in parts {
            let seen = std::mem::replace(&mut self.seen[*slot as usize], self.lists);
            self.is_distinct &= seen != self.lists;
            self.coded[*slot as usize] = 1;
        }
        if self.is_distinct {
            self.parts.extend_from_slice(parts);
        }
        self.exchanges = 1;
    }

    /// One more exchange.
    pub(super) fn next(&mut self) {
        self.exchanges += 1;
    }

    /// Part `at` of it is another one; its code is going to be written behind those that are owed.
    pub(super) fn changes(&mut self, at: usize, value: u32, codes: &mut Vec<u8>) {
        let (slot, before) = &mut self.parts[at];
        *before = value;
        let coded = &mut self.coded[*slot as usize];
        pay(self.exchanges - 1 - *coded, codes);
        *coded = self.exchanges;
    }

    /// The slots of all parts.
    pub(super) fn slots(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().map(|(slot, _)| *slot as usize)
    }

    /// Writes all codes that are owed.
    pub(super) fn end(&mut self, slots: &mut Slots<Vec<u8>>) {
        for (slot, _) in &self.parts {
            let slot = *slot as usize;
            pay(self.exchanges - self.coded[slot], &mut slots[slot].codes);
        }
        self.parts.clear();
    }
}

/// Writes so many codes of parts that stay as they were.
fn pay(n: u32, codes: &mut Vec<u8>) {
    codes.resize(codes.len() + n as usize, code::AS_BEFORE as u8);
}

/// Parts that are compared at once; exchanges with more are not compared.
const MOST: usize = 64;
