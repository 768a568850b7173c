//! Gives each different value of a slot a number, in the order they are first met.

use xxhash_rust::xxh3::xxh3_64;

use super::ahead;

/// Values of all slots, each with its bytes. One buffer holds them all, so a new value costs no allocation of its own.
#[derive(Default)]
pub(super) struct Interner {
    /// The values, each behind its slot.
    bytes: Vec<u8>,
    /// Where each value ends, and the one after it begins.
    ends: Vec<u32>,
    /// Open addressing with linear probing: a byte of the hash of the value in that place; 0 is free. Apart from the
    /// numbers and small, since most values are new and looking here is what takes the time.
    tags: Vec<u8>,
    /// The number of the value in each place that is not free.
    numbers: Vec<u32>,
    /// How many places are not free.
    listed: usize,
}

impl Interner {
    /// With room for so many values, of so many bytes.
    pub(super) fn with_room(values: usize, bytes: usize) -> Interner {
        let places = (2 * values).next_power_of_two();
        Interner {
            bytes: Vec::with_capacity(bytes),
            ends: Vec::with_capacity(values),
            tags: vec![0; places],
            numbers: vec![0; places],
            listed: 0,
        }
    }

    /// The number of a value, and whether it is new.
    pub(super) fn number(&mut self, slot: usize, value: &[u8]) -> (u32, bool) {
        if self.tags.len() <= self.listed * 2 {
            self.grow();
        }
        let hash = hash(slot, value);
        let mask = self.tags.len() - 1;
        let mut place = hash as usize & mask;
        while self.tags[place] != 0 {
            if self.tags[place] == tag(hash) && self.is(self.numbers[place], slot, value) {
                return (self.numbers[place], false);
            }
            place = (place + 1) & mask;
        }
        let number = self.add(slot, value);
        self.tags[place] = tag(hash);
        self.numbers[place] = number;
        self.listed += 1;
        (number, true)
    }

    /// The number of a value that is known to be new, and will not be looked for.
    pub(super) fn add(&mut self, slot: usize, value: &[u8]) -> u32 {
        self.bytes.extend_from_slice(&(slot as u32).to_le_bytes());
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len() as u32);
        self.ends.len() as u32 - 1
    }

    /// Where a value stands, for [`Interner::at`].
    pub(super) fn place(&self, number: u32) -> (u32, u32) {
        let end = self.ends[number as usize];
        (end - self.get(number).len() as u32, end)
    }

    /// The value that stands there.
    pub(super) fn at(&self, (start, end): (u32, u32)) -> &[u8] {
        &self.bytes[start as usize..end as usize]
    }

    /// Where the last value ends.
    pub(super) fn byte_len(&self) -> u32 {
        self.bytes.len() as u32
    }

    /// Calls the last bytes of a value.
    pub(super) fn call_up(&self, number: u32) {
        let end = self.ends.get(number as usize).map_or(0, |end| *end);
        ahead::some(&self.bytes, end.saturating_sub(1) as usize, 1);
    }

    /// Calls `bytes` bytes of values from one place on, and where so many values from one number on end.
    pub(super) fn call_up_from(&self, (number, values): (u32, usize), (place, bytes): (u32, usize)) {
        ahead::some(&self.ends, number as usize, values);
        ahead::some(&self.bytes, place as usize, bytes);
    }

    /// Whether `number` is that value of that slot.
    fn is(&self, number: u32, slot: usize, value: &[u8]) -> bool {
        let found = self.with_slot(number);
        found.len() == SLOT + value.len()
            && found[..SLOT] == (slot as u32).to_le_bytes()
            && &found[SLOT..] == value
    }

    /// The bytes of a value.
    pub(super) fn get(&self, number: u32) -> &[u8] {
        &self.with_slot(number)[SLOT..]
    }

    fn with_slot(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.bytes[start as usize..self.ends[number] as usize]
    }

    /// Forgets the values and keeps the memory, unless it is far more than was used.
    pub(super) fn clear(&mut self) {
        if self.bytes.len() * 4 < self.bytes.capacity() {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.ends.clear();
        self.listed = 0;
        self.tags.fill(0);
    }

    fn grow(&mut self) {
        let size = (self.tags.len() * 2).max(1024);
        let tags = std::mem::replace(&mut self.tags, vec![0; size]);
        let numbers = std::mem::replace(&mut self.numbers, vec![0; size]);
        for (_, number) in tags.into_iter().zip(numbers).filter(|(tag, _)| *tag != 0) {
            let with_slot = self.with_slot(number);
            let (slot, value) = with_slot.split_first_chunk().expect("each value stands behind its slot");
            let hash = hash(u32::from_le_bytes(*slot) as usize, value);
            let mut place = hash as usize & (size - 1);
            while self.tags[place] != 0 {
                place = (place + 1) & (size - 1);
            }
            self.tags[place] = tag(hash);
            self.numbers[place] = number;
        }
    }
}

fn hash(slot: usize, value: &[u8]) -> u64 {
    // a seed would cost a secret of its own for each long value
    xxh3_64(value) ^ (slot as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// What the table has of a hash.
fn tag(hash: u64) -> u8 {
    ((hash >> 57) as u8) | 0x80
}

/// Bytes of a slot's number.
const SLOT: usize = 4;

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
