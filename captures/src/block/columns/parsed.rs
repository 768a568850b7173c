//! Values that stand for more than text, parsed once for all exchanges that have them.

use std::rc::Rc;

use super::decode::utf8;
use super::marks;
use crate::block::cost::FIELD_OVERHEAD;
use crate::exchange::Protocol;
use crate::notes::Notes;
use crate::wire::{Cursor, Malformed};

/// What the values of a slot stand for, by their numbers.
pub(super) struct Parsed<T>(Vec<Option<Rc<T>>>);

impl<T> Parsed<T> {
    pub(super) fn new() -> Parsed<T> {
        Parsed(Vec::new())
    }

    pub(super) fn get(&self, number: u32) -> Option<Rc<T>> {
        self.0.get(number as usize).cloned().flatten()
    }

    pub(super) fn put(&mut self, number: u32, value: T) -> Rc<T> {
        let number = number as usize;
        if self.0.len() <= number {
            self.0.resize(number + 1, None);
        }
        let value = Rc::new(value);
        self.0[number] = Some(Rc::clone(&value));
        value
    }
}

/// What there is of an exchange, and what is to be said about it.
pub(super) struct Marks {
    pub(super) flags: u64,
    pub(super) protocol: Protocol,
    pub(super) notes: Notes,
    pub(super) faults: Vec<String>,
    /// What the faults take in memory.
    pub(super) price: usize,
}

impl Marks {
    /// `most` is what they may take in memory.
    pub(super) fn parse(text: &[u8], most: usize) -> Result<Marks, Malformed> {
        let mut cursor = Cursor::new(text);
        let flags = cursor.varint()?;
        let protocol = match flags >> marks::PROTOCOL_SHIFT {
            0 => Protocol::Http10,
            1 => Protocol::Http11,
            2 => Protocol::Http2,
            3 => Protocol::Http3,
            _ => return Err(Malformed("a protocol that is not known")),
        };
        let mut marks = Marks { flags, protocol, notes: Notes::NONE, faults: Vec::new(), price: 0 };
        if flags & marks::NOTES != 0 {
            let bits = u32::try_from(cursor.varint()?).map_err(|_| Malformed("the notes are too large"))?;
            marks.notes = Notes::from_bits(bits);
        }
        if flags & marks::FAULTS != 0 {
            let n = cursor.count()?;
            marks.price = n.saturating_mul(FIELD_OVERHEAD).saturating_add(cursor.remaining());
            if most < marks.price {
                return Err(TOO_MUCH);
            }
            marks.faults = (0..n).map(|_| owned(cursor.bytes()?)).collect::<Result<_, _>>()?;
            marks.price = marks.faults.iter().map(|fault| fault.len() + FIELD_OVERHEAD).sum();
        }
        match cursor.remaining() {
            0 => Ok(marks),
            _ => Err(Malformed("the marks of an exchange go on behind their end")),
        }
    }
}

/// Where a request came from, and went to.
pub(super) struct Origin {
    pub(super) edge: String,
    pub(super) scheme: String,
    pub(super) authority: String,
}

impl Origin {
    pub(super) fn parse(text: &[u8]) -> Result<Origin, Malformed> {
        let mut cursor = Cursor::new(text);
        Ok(Origin {
            edge: owned(cursor.bytes()?)?,
            scheme: owned(cursor.bytes()?)?,
            authority: owned(cursor.take(cursor.remaining())?)?,
        })
    }
}

/// A list of header names.
pub(super) struct Shape {
    pub(super) names: String,
    pub(super) ends: Vec<usize>,
    /// Where the values of the fields stand.
    pub(super) slots: Vec<usize>,
}

impl Shape {
    /// The list that `text` names by numbers of `names`; `most` is what it may take in memory.
    pub(super) fn parse(text: &[u8], names: &[(&str, usize)], most: usize) -> Result<Shape, Malformed> {
        let mut cursor = Cursor::new(text);
        let mut shape = Shape { names: String::new(), ends: Vec::new(), slots: Vec::new() };
        while cursor.remaining() != 0 {
            let name = names.get(cursor.length()?);
            let (name, slot) = name.ok_or(Malformed("a header name that is not there"))?;
            // before it is built, not after: a name can be empty, and a list of them long
            let price = shape.names.len() + name.len() + (shape.slots.len() + 1) * FIELD_OVERHEAD;
            if most < price {
                return Err(TOO_MUCH);
            }
            shape.names.push_str(name);
            shape.ends.push(shape.names.len());
            shape.slots.push(*slot);
        }
        Ok(shape)
    }
}

fn owned(bytes: &[u8]) -> Result<String, Malformed> {
    utf8(bytes).map(str::to_owned)
}

const TOO_MUCH: Malformed = Malformed("it unfolds beyond the limits");
