//! Gives each different string of a block a number, in the order they are first met.

use xxhash_rust::xxh3::xxh3_64;

/// Strings and their numbers. One buffer holds them all, so a new string costs no allocation of its own.
#[derive(Default)]
pub(super) struct Interner {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Open addressing with linear probing; 0 is free, else the number plus one, with 32 bits of the hash.
    slots: Vec<(u32, u32)>,
}

impl Interner {
    /// The number of `string`, given now if it has none.
    pub(super) fn number(&mut self, string: &[u8]) -> u64 {
        if self.slots.len() <= self.ends.len() * 2 {
            self.grow();
        }
        let hash = xxh3_64(string);
        let tag = (hash >> 32) as u32;
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let (slot_tag, number) = self.slots[slot];
            if number == 0 {
                break;
            }
            if slot_tag == tag && self.get(number as usize - 1) == string {
                return u64::from(number - 1);
            }
            slot = (slot + 1) & mask;
        }
        self.bytes.extend_from_slice(string);
        self.ends.push(self.bytes.len());
        self.slots[slot] = (tag, self.ends.len() as u32);
        self.ends.len() as u64 - 1
    }

    /// Every string, by number.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|number| self.get(number))
    }

    /// All strings, one after the other.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets the strings and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.slots.fill((0, 0));
    }

    fn get(&self, number: usize) -> &[u8] {
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.bytes[start..self.ends[number]]
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(1024);
        let mut slots = vec![(0, 0); size];
        for number in 0..self.ends.len() {
            let hash = xxh3_64(self.get(number));
            let mut slot = hash as usize & (size - 1);
            while slots[slot].1 != 0 {
                slot = (slot + 1) & (size - 1);
            }
            slots[slot] = ((hash >> 32) as u32, number as u32 + 1);
        }
        self.slots = slots;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_share_a_number_also_after_growing() {
        let mut interner = Interner::default();
        for round in 0..2 {
            for n in 0..5000u64 {
                assert_eq!(interner.number(format!("string {n}").as_bytes()), n, "round {round}");
            }
        }
        assert_eq!(interner.iter().len(), 5000);
        assert_eq!(interner.iter().nth(42), Some(&b"string 42"[..]));
        interner.clear();
        assert_eq!(interner.number(b""), 0);
        assert_eq!(interner.number(b"string 42"), 1);
    }
}
