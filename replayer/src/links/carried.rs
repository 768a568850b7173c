//! The values that the server gave one clone, as far as it still needs them.

use crate::limits;
use crate::slab::{NONE, Slab};

/// One clone's values, packed: one allocation of exactly their size, as a million clones may hold a token each.
///
/// Each value is its number (16 bits), its length (16 bits), both little-endian, and its bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Carried {
    bytes: Box<[u8]>,
}

/// Where the values of a clone go: the number of its record, [`NONE`] until there is a value.
pub(crate) struct Hand<'a> {
    pub(crate) number: &'a mut u32,
    pub(crate) all: &'a mut Slab<Carried>,
}

impl Carried {
    /// The value of that number.
    pub(crate) fn get(&self, number: u16) -> Option<&[u8]> {
        self.entries().find(|(known, _)| *known == number).map(|(_, value)| value)
    }

    /// Replaces what the number stands for. What is too large, or finds no room, is not kept.
    fn set(&mut self, number: u16, value: &[u8]) {
        self.remove(number);
        let room = limits::CARRIED_BYTES.saturating_sub(self.bytes.len());
        if limits::CARRIED_VALUE < value.len() || room < HEAD + value.len() {
            return;
        }
        let mut bytes = Vec::with_capacity(self.bytes.len() + HEAD + value.len());
        bytes.extend_from_slice(&self.bytes);
        push(&mut bytes, number, value);
        self.bytes = bytes.into_boxed_slice();
    }

    fn remove(&mut self, number: u16) {
        if self.get(number).is_none() {
            return;
        }
        let mut bytes = Vec::with_capacity(self.bytes.len());
        for (known, value) in self.entries().filter(|(known, _)| *known != number) {
            push(&mut bytes, known, value);
        }
        self.bytes = bytes.into_boxed_slice();
    }

    fn entries(&self) -> impl Iterator<Item = (u16, &[u8])> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let (head, after) = rest.split_first_chunk::<HEAD>()?;
            let number = u16::from_le_bytes([head[0], head[1]]);
            let (value, after) = after.split_at_checked(u16::from_le_bytes([head[2], head[3]]).into())?;
            rest = after;
            Some((number, value))
        })
    }
}

impl Hand<'_> {
    /// Keeps a value.
    pub(crate) fn set(&mut self, number: u16, value: &[u8]) {
        if *self.number == NONE {
            *self.number = self.all.insert(Carried::default());
        }
        self.all[*self.number].set(number, value);
    }

    /// Forgets a value; with the last one the record goes.
    pub(crate) fn free(&mut self, number: u16) {
        let Some(carried) = self.all.get_mut(*self.number) else { return };
        carried.remove(number);
        if carried.bytes.is_empty() {
            self.all.remove(*self.number);
            *self.number = NONE;
        }
    }
}

fn push(bytes: &mut Vec<u8>, number: u16, value: &[u8]) {
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
    bytes.extend_from_slice(value);
}

/// Number and length.
const HEAD: usize = 4;

const _: () = assert!(limits::CARRIED_VALUE <= u16::MAX as usize, "a length fits in its field");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_replaced_and_freed() {
        let (mut all, mut number) = (Slab::new(), NONE);
        let mut hand = Hand { number: &mut number, all: &mut all };
        hand.free(3);
        hand.set(3, b"token");
        hand.set(7, b"");
        hand.set(3, b"another");
        hand.set(9, &vec![b'x'; limits::CARRIED_VALUE + 1]);
        let carried = &hand.all[*hand.number];
        assert_eq!(
            (carried.get(3), carried.get(7), carried.get(9)),
            (Some(&b"another"[..]), Some(&b""[..]), None)
        );
        assert_eq!(carried.bytes.len(), 2 * HEAD + "another".len());
        hand.free(3);
        hand.free(7);
        assert_eq!((number, all.len()), (NONE, 0));
    }

    #[test]
    fn a_clone_holds_a_bounded_number_of_bytes() {
        let (mut all, mut number) = (Slab::new(), NONE);
        let mut hand = Hand { number: &mut number, all: &mut all };
        for value in 0..1000 {
            hand.set(value, &vec![b'x'; 1000]);
        }
        assert!(all[number].bytes.len() <= limits::CARRIED_BYTES);
        assert!(all[number].get(0).is_some() && all[number].get(999).is_none());
    }
}
