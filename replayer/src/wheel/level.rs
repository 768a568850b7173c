//! One ring of slots, each the head of a list that runs through the caller's records, with a bitmap over the slots
//! and a bitmap over the words of that one: the next slot that holds anything is found in a few steps.

use crate::slab::NONE;
use crate::wheel::Links;

/// A ring of `2^n` slots. A slot stands for an absolute unit of time, modulo the size; the caller sees to it that no
/// two units share a slot.
#[derive(Debug)]
pub(super) struct Level {
    /// Valid where the bit of the slot is set. Zeroed pages that nobody touched cost no memory.
    heads: Vec<u32>,
    /// A bit for each slot that holds something.
    slots: Vec<u64>,
    /// A bit for each word of `slots` that is not zero.
    words: Vec<u64>,
}

impl Level {
    /// `size` is a power of two, at least 4,096.
    pub(super) fn new(size: usize) -> Level {
        debug_assert!(size.is_power_of_two() && size >= 64 * 64, "two levels of 64-bit words");
        Level { heads: vec![0; size], slots: vec![0; size / 64], words: vec![0; size / 64 / 64] }
    }

    /// Puts a record in front of the list of `unit`.
    pub(super) fn push(&mut self, unit: u64, id: u32, links: &mut impl Links) {
        let (slot, word, bit) = self.place(unit);
        let head = if self.slots[word] & bit == 0 { NONE } else { self.heads[slot] };
        links.set_next(id, head);
        self.heads[slot] = id;
        self.slots[word] |= bit;
        self.words[word / 64] |= 1 << (word % 64);
    }

    /// The first record of `unit`, which is empty afterwards; `NONE` when it was.
    pub(super) fn take(&mut self, unit: u64) -> u32 {
        let (slot, word, bit) = self.place(unit);
        if self.slots[word] & bit == 0 {
            return NONE;
        }
        self.slots[word] &= !bit;
        if self.slots[word] == 0 {
            self.words[word / 64] &= !(1 << (word % 64));
        }
        self.heads[slot]
    }

    /// The least `due` in `unit`, if it holds anything.
    pub(super) fn least(&self, unit: u64, links: &impl Links) -> Option<u64> {
        let (slot, word, bit) = self.place(unit);
        let mut id = if self.slots[word] & bit == 0 { NONE } else { self.heads[slot] };
        let mut least = None;
        while id != NONE {
            let due = links.due(id);
            least = Some(least.map_or(due, |least: u64| least.min(due)));
            id = links.next(id);
        }
        least
    }

    /// The first unit after `after` that holds something, at most one turn of the ring away.
    pub(super) fn first_after(&self, after: u64) -> Option<u64> {
        let mask = self.heads.len() - 1;
        let start = after.wrapping_add(1) as usize & mask;
        let slot = self.first_from(start).or_else(|| self.first_from(0))?;
        Some(after + 1 + (slot.wrapping_sub(start) & mask) as u64)
    }

    /// Forgets all records.
    pub(super) fn clear(&mut self) {
        self.slots.fill(0);
        self.words.fill(0);
    }

    fn place(&self, unit: u64) -> (usize, usize, u64) {
        let slot = unit as usize & (self.heads.len() - 1);
        (slot, slot / 64, 1 << (slot % 64))
    }

    /// The first slot from `start` to the end of the ring that holds something.
    fn first_from(&self, start: usize) -> Option<usize> {
        let word = start / 64;
        let bits = self.slots[word] & (u64::MAX << (start % 64));
        if bits != 0 {
            return Some(word * 64 + bits.trailing_zeros() as usize);
        }
        let next = word + 1;
        let mut bits = self.words.get(next / 64)? & (u64::MAX << (next % 64));
        let mut group = next / 64;
        while bits == 0 {
            group += 1;
            bits = *self.words.get(group)?;
        }
        let word = group * 64 + bits.trailing_zeros() as usize;
        Some(word * 64 + self.slots[word].trailing_zeros() as usize)
    }
}
