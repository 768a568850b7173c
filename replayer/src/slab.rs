//! Records in one vector, addressed by number; a freed number is used again.

use std::ops::{Index, IndexMut};

/// No record: the end of a list, an empty slot.
pub(crate) const NONE: u32 = u32::MAX;

/// Records by number.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Slab<T> {
        Slab { entries: Vec::new(), free: Vec::new() }
    }

    /// Room for so many records, taken from the system only as they come.
    pub(crate) fn with_capacity(records: usize) -> Slab<T> {
        let mut entries = Vec::new();
        // Where the estimate asks for more than there is, it grows as it must, and perhaps need not.
        let _ = entries.try_reserve_exact(records);
        Slab { entries, free: Vec::new() }
    }

    /// Keeps `value` and returns its number.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self.entries[number as usize] = Some(value);
            return number;
        }
        self.entries.push(Some(value));
        (self.entries.len() - 1) as u32
    }

    /// Takes a record out; its number is free again.
    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let value = self.entries.get_mut(number as usize)?.take()?;
        self.free.push(number);
        Some(value)
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.entries.get(number as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.entries.get_mut(number as usize)?.as_mut()
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// How many numbers were ever given out.
    pub(crate) fn slots(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Numbers and records.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.entries.iter().enumerate().filter_map(|(number, entry)| Some((number as u32, entry.as_ref()?)))
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        self.entries[number as usize].as_ref().expect("a number that is held names a record")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        self.entries[number as usize].as_mut().expect("a number that is held names a record")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capacity_that_cannot_be_had_is_no_end() {
        let mut slab = Slab::with_capacity(usize::MAX / 2);
        let first = slab.insert([0_u8; 64]);
        assert_eq!((first, slab.len()), (0, 1));
        assert_eq!(slab.remove(first), Some([0; 64]));
    }
}
