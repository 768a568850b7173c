//! The dynamic table: fields that the peer may name by number because it sent them before.

use std::collections::VecDeque;

use crate::limits;

/// The fields of one direction of a connection, the newest with number 0. Empty, it holds no memory.
#[derive(Debug)]
pub(super) struct Table {
    /// Names and values of the entries one after the other, the oldest first; before them, what is dropped.
    bytes: Vec<u8>,
    entries: VecDeque<Entry>,
    /// As RFC 7541 counts: 32 bytes an entry and its name and value.
    size: usize,
    maximum: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    name: u32,
    value: u32,
    is_sound: bool,
}

/// A field of the table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    /// Name and value hold only what a field may hold.
    pub(super) is_sound: bool,
}

impl Table {
    pub(super) fn new() -> Table {
        let maximum = limits::H2_TABLE_BYTES;
        Table { bytes: Vec::new(), entries: VecDeque::new(), size: 0, maximum }
    }

    pub(super) fn get(&self, index: usize) -> Option<Known<'_>> {
        let place = self.entries.len().checked_sub(index + 1)?;
        let entry = self.entries[place];
        let (start, name) = (entry.start as usize, entry.name as usize);
        let (name, value) = self.bytes[start..start + name + entry.value as usize].split_at(name);
        Some(Known { name, value, is_sound: entry.is_sound })
    }

    /// Takes in a field (`text` is name and value in one) and drops the oldest ones for it. A field that is larger
    /// than the table empties it, as the standard says.
    pub(super) fn insert(&mut self, text: &[u8], name: usize, is_sound: bool) {
        let size = text.len() + ENTRY_OVERHEAD;
        self.shrink_to(self.maximum.saturating_sub(size));
        if size > self.maximum {
            return;
        }
        if self.bytes.len() + text.len() > 2 * limits::H2_TABLE_BYTES {
            self.compact();
        }
        let value = (text.len() - name) as u32;
        self.entries.push_back(Entry { start: self.bytes.len() as u32, name: name as u32, value, is_sound });
        self.bytes.extend_from_slice(text);
        self.size += size;
    }

    /// The peer's encoder uses at most so many bytes from now on. False: that is more than we allowed.
    pub(super) fn set_maximum(&mut self, maximum: usize) -> bool {
        if maximum > limits::H2_TABLE_BYTES {
            return false;
        }
        self.maximum = maximum;
        self.shrink_to(maximum);
        true
    }

    fn shrink_to(&mut self, size: usize) {
        while self.size > size {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.size -= (oldest.name + oldest.value) as usize + ENTRY_OVERHEAD;
        }
        if self.entries.is_empty() {
            self.bytes.clear();
        }
    }

    /// Moves the entries to the front of the buffer. What is live is at most half of it, so this is rare.
    fn compact(&mut self) {
        let dropped = self.entries.front().map_or(self.bytes.len() as u32, |oldest| oldest.start);
        self.bytes.drain(..dropped as usize);
        for entry in &mut self.entries {
            entry.start -= dropped;
        }
    }
}

const ENTRY_OVERHEAD: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(table: &Table, index: usize, name: &str, value: &str) {
        let is_sound = true;
        let known = Known { name: name.as_bytes(), value: value.as_bytes(), is_sound };
        assert_eq!(table.get(index), Some(known));
    }

    #[test]
    fn the_newest_is_number_zero_and_the_oldest_goes_first() {
        let mut table = Table::new();
        for number in 0..1000 {
            table.insert(format!("name-{number:03}value").as_bytes(), 8, true);
            check(&table, 0, &format!("name-{number:03}"), "value");
        }
        let held = limits::H2_TABLE_BYTES / (8 + 5 + 32);
        check(&table, held - 1, &format!("name-{}", 1000 - held), "value");
        assert_eq!(table.get(held), None);
        assert!(table.bytes.capacity() <= 4 * limits::H2_TABLE_BYTES);
    }

    #[test]
    fn a_field_larger_than_the_table_empties_it() {
        let mut table = Table::new();
        table.insert(b"ab", 1, true);
        table.insert(&[b'x'; 5000], 1, true);
        assert_eq!(table.get(0), None);
        assert_eq!(table.size, 0);
    }

    #[test]
    fn a_smaller_maximum_drops_fields() {
        let mut table = Table::new();
        table.insert(b"ab", 1, true);
        table.insert(b"cd", 1, true);
        assert!(table.set_maximum(40));
        check(&table, 0, "c", "d");
        assert_eq!(table.get(1), None);
        assert!(table.set_maximum(0));
        table.insert(b"ef", 1, true);
        assert_eq!(table.get(0), None);
        assert!(!table.set_maximum(4097));
    }
}
