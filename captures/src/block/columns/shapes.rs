//! Lists of header names: which names stand in what order, and which slots their values go to.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{MAX_FIELD_SLOTS, slot};
use crate::Headers;
use crate::wire::put_varint;

/// The lists of names of a block in the making.
#[derive(Default)]
pub(super) struct Shapes {
    shapes: Vec<Shape>,
    by_hash: HashMap<u64, u32>,
    /// The shape that was met last, of answers and of requests: most often the next one too.
    last: [Option<u32>; 2],
    names: Names,
}

/// A list of names.
pub(super) struct Shape {
    names: String,
    ends: Vec<usize>,
    /// The slot of each field.
    pub(super) slots: Vec<u32>,
    /// As it stands in the block: the numbers of its names.
    pub(super) text: Vec<u8>,
    /// The number of the value that it is in its slot, once it has one.
    pub(super) value: Option<u32>,
}

/// The names of fields. The second field of a name in a list is another entry than the first, and so are fields of
/// requests and of answers: they have nothing in common.
#[derive(Default)]
struct Names {
    numbers: HashMap<(bool, u8, String), u32>,
    /// Name and slot of each entry.
    entries: Vec<(String, u32)>,
    slots: u32,
}

impl Shapes {
    /// The shape of a list.
    pub(super) fn number(&mut self, headers: &Headers, of_request: bool) -> u32 {
        let last = self.last[usize::from(of_request)];
        if let Some(number) = last.filter(|number| self.shapes[*number as usize].is_of(headers)) {
            return number;
        }
        let number = self.look_up(headers, of_request);
        self.last[usize::from(of_request)] = Some(number);
        number
    }

    fn look_up(&mut self, headers: &Headers, of_request: bool) -> u32 {
        let (names, ends) = (headers.names(), headers.name_ends());
        let mut hash = xxh3_64_with_seed(names.as_bytes(), of_request.into());
        for end in ends {
            hash = (hash ^ end as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
        // two lists with one hash take turns with the entry: that costs a second definition, no more
        if let Some(number) = self.by_hash.get(&hash)
            && self.shapes[*number as usize].is_of(headers)
        {
            return *number;
        }
        let shape = self.names.shape(headers, of_request);
        self.shapes.push(shape);
        let number = self.shapes.len() as u32 - 1;
        self.by_hash.insert(hash, number);
        number
    }

    pub(super) fn get(&mut self, number: u32) -> &mut Shape {
        &mut self.shapes[number as usize]
    }

    /// Slots of the block, those that every block has included.
    pub(super) fn slots(&self) -> usize {
        slot::FIXED + self.names.slots as usize
    }

    /// Appends the table of names: how many, and their lengths (and whether each has a slot of its own). Returns their texts.
    pub(super) fn put_names(&self, out: &mut Vec<u8>) -> Vec<u8> {
        put_varint(out, self.names.entries.len() as u64);
        for (name, slot) in &self.names.entries {
            put_varint(out, (name.len() as u64) << 1 | u64::from(*slot == slot::OTHER as u32));
        }
        self.names.entries.iter().flat_map(|(name, _)| name.bytes()).collect()
    }

    pub(super) fn clear(&mut self) {
        *self = Shapes::default();
    }
}

impl Shape {
    fn is_of(&self, headers: &Headers) -> bool {
        self.ends.len() == headers.len()
            && self.names == headers.names()
            && self.ends.iter().copied().eq(headers.name_ends())
    }
}

impl Names {
    fn shape(&mut self, headers: &Headers, of_request: bool) -> Shape {
        let mut shape = Shape {
            names: headers.names().to_owned(),
            ends: headers.name_ends().collect(),
            slots: Vec::with_capacity(headers.len()),
            text: Vec::with_capacity(headers.len()),
            value: None,
        };
        let mut met: HashMap<&str, u8> = HashMap::new();
        for (name, _) in headers.iter() {
            let repeated = met.entry(name).or_default();
            let number = self.number(of_request, *repeated, name);
            *repeated = (*repeated + 1).min(MOST_REPEATED);
            shape.slots.push(self.entries[number as usize].1);
            put_varint(&mut shape.text, number.into());
        }
        shape
    }

    fn number(&mut self, of_request: bool, repeated: u8, name: &str) -> u32 {
        let key = (of_request, repeated, name.to_owned());
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let own = slot::FIXED as u32 + self.slots;
        let slot = if (self.slots as usize) < MAX_FIELD_SLOTS { own } else { slot::OTHER as u32 };
        self.slots += u32::from(slot == own);
        self.entries.push((key.2.clone(), slot));
        let number = self.entries.len() as u32 - 1;
        self.numbers.insert(key, number);
        number
    }
}

/// From this repetition on, the fields of one name share an entry.
const MOST_REPEATED: u8 = 8;
