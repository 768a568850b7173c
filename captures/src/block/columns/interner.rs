//! Gives each different value of a slot a number, in the order they are first met.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Values of all slots, each with its bytes. One buffer holds them all, so a new value costs no allocation of its own.
#[derive(Default)]
pub(super) struct Interner {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Open addressing with linear probing; 0 is free, else the number plus one, with 32 bits of the hash.
    table: Vec<(u32, u32)>,
    /// How many entries are in the table.
    listed: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    slot: u32,
    start: u32,
    end: u32,
    tag: u32,
    low: u32,
}

impl Interner {
    /// The number of a value, and whether it is new.
    pub(super) fn number(&mut self, slot: usize, value: &[u8]) -> (u32, bool) {
        if self.table.len() <= self.listed * 2 {
            self.grow();
        }
        let hash = xxh3_64_with_seed(value, slot as u64);
        let (tag, low) = ((hash >> 32) as u32, hash as u32);
        let mask = self.table.len() - 1;
        let mut place = low as usize & mask;
        loop {
            let (found, number) = self.table[place];
            if number == 0 {
                break;
            }
            if found == tag && self.is(number - 1, slot, value) {
                return (number - 1, false);
            }
            place = (place + 1) & mask;
        }
        let number = self.append(slot, value, (tag, low));
        self.table[place] = (tag, number + 1);
        self.listed += 1;
        (number, true)
    }

    /// The number of a value that is known to be new, and will not be looked for.
    pub(super) fn add(&mut self, slot: usize, value: &[u8]) -> u32 {
        self.append(slot, value, UNLISTED)
    }

    fn append(&mut self, slot: usize, value: &[u8], (tag, low): (u32, u32)) -> u32 {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(value);
        let end = self.bytes.len() as u32;
        self.entries.push(Entry { slot: slot as u32, start, end, tag, low });
        self.entries.len() as u32 - 1
    }

    /// Whether `number` is that value of that slot.
    pub(super) fn is(&self, number: u32, slot: usize, value: &[u8]) -> bool {
        let entry = &self.entries[number as usize];
        entry.slot == slot as u32 && &self.bytes[entry.start as usize..entry.end as usize] == value
    }

    /// The bytes of a value.
    pub(super) fn get(&self, number: u32) -> &[u8] {
        let entry = &self.entries[number as usize];
        &self.bytes[entry.start as usize..entry.end as usize]
    }

    /// Forgets the values and keeps the memory, unless it is far more than was used.
    pub(super) fn clear(&mut self) {
        if self.bytes.len() * 4 < self.bytes.capacity() {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.entries.clear();
        self.listed = 0;
        self.table.fill((0, 0));
    }

    fn grow(&mut self) {
        let size = (self.table.len() * 2).max(1024);
        let mut table = vec![(0, 0); size];
        for (number, entry) in self.entries.iter().enumerate() {
            if (entry.tag, entry.low) == UNLISTED {
                continue;
            }
            let mut place = entry.low as usize & (size - 1);
            while table[place].1 != 0 {
                place = (place + 1) & (size - 1);
            }
            table[place] = (entry.tag, number as u32 + 1);
        }
        self.table = table;
    }
}

/// In the place of its hash: an entry that is not in the table.
const UNLISTED: (u32, u32) = (0, 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_of_a_slot_share_a_number_also_after_growing() {
        let mut interner = Interner::default();
        for round in 0..2 {
            for n in 0..5000u32 {
                assert_eq!(interner.number(3, format!("value {n}").as_bytes()), (n, round == 0));
            }
        }
        assert_eq!(interner.number(4, b"value 42"), (5000, true), "another slot");
        assert_eq!((interner.add(4, b"value 43"), interner.get(5001)), (5001, &b"value 43"[..]));
        assert_eq!(interner.number(4, b"value 43"), (5002, true), "what was not to be looked for");
        interner.clear();
        assert_eq!(interner.number(0, b""), (0, true));
        assert_eq!(interner.number(3, b"value 42"), (1, true));
    }
}
