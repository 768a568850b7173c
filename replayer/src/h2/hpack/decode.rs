//! Reading header blocks.

use super::fields::{self, Fields};
use super::table::Table;
use super::{Garbage, huffman, statics};

/// Reads the header blocks of one connection, in their order: each may change how the next is read.
#[derive(Debug)]
pub(crate) struct Decoder {
    table: Table,
}

impl Decoder {
    pub(crate) fn new() -> Decoder {
        Decoder { table: Table::new() }
    }

    /// Reads a whole block into `fields`, which is emptied before. A block that is too large for `fields` is read to
    /// its end all the same, because the next one may refer to it.
    ///
    /// # Errors
    /// Numbers of unknown fields, integers above 32 bits, cut strings, Huffman codes that do not exist, and table
    /// sizes that are too large or not at the beginning.
    pub(crate) fn decode(&mut self, block: &[u8], fields: &mut Fields) -> Result<(), Garbage> {
        fields.clear();
        let mut rest = block;
        let mut may_resize = true;
        while let Some(first) = rest.first() {
            match first {
                0x80.. => self.indexed(&mut rest, fields)?,
                0x40..0x80 => self.literal(&mut rest, 6, fields)?,
                0x20..0x40 if may_resize => {
                    let maximum = integer(&mut rest, 5)?;
                    if !self.table.set_maximum(maximum) {
                        return Err(Garbage);
                    }
                    continue;
                }
                0x20..0x40 => return Err(Garbage),
                ..0x20 => self.literal(&mut rest, 4, fields)?,
            }
            may_resize = false;
        }
        Ok(())
    }

    fn indexed(&mut self, rest: &mut &[u8], fields: &mut Fields) -> Result<(), Garbage> {
        let index = integer(rest, 7)?;
        if let Some((name, value)) = statics::get(index) {
            fields.push(name, value, true);
            return Ok(());
        }
        let known = self.table.get(index.checked_sub(FIRST_DYNAMIC).ok_or(Garbage)?).ok_or(Garbage)?;
        fields.push(known.name, known.value, known.is_sound);
        Ok(())
    }

    /// A field with its value spelled out; one with six bits of prefix is kept in the table.
    fn literal(&mut self, rest: &mut &[u8], prefix_bits: u32, fields: &mut Fields) -> Result<(), Garbage> {
        let start = fields.text().len();
        let is_name = match integer(rest, prefix_bits)? {
            0 => {
                string(rest, fields.text())?;
                fields::is_name(&fields.text()[start..])
            }
            index => {
                let (name, is_sound) = self.name(index)?;
                fields.text().extend_from_slice(name);
                is_sound
            }
        };
        let name = fields.text().len() - start;
        string(rest, fields.text())?;
        let text = &fields.text()[start..];
        let is_sound = is_name && fields::is_value(&text[name..]);
        if prefix_bits == 6 {
            self.table.insert(text, name, is_sound);
        }
        fields.commit(start, name, is_sound);
        Ok(())
    }

    /// A name by number, and whether it is (or its field was) sound.
    fn name(&self, index: usize) -> Result<(&[u8], bool), Garbage> {
        if let Some((name, _)) = statics::get(index) {
            return Ok((name, true));
        }
        let known = self.table.get(index.checked_sub(FIRST_DYNAMIC).ok_or(Garbage)?);
        known.map(|known| (known.name, known.is_sound)).ok_or(Garbage)
    }
}

/// Takes an integer whose first byte has this many bits for it.
fn integer(rest: &mut &[u8], prefix_bits: u32) -> Result<usize, Garbage> {
    let (first, tail) = rest.split_first().ok_or(Garbage)?;
    *rest = tail;
    let most = (1u32 << prefix_bits) - 1;
    let mut value = u32::from(*first) & most;
    if value < most {
        return Ok(value as usize);
    }
    for shift in [0, 7, 14, 21] {
        let (byte, tail) = rest.split_first().ok_or(Garbage)?;
        *rest = tail;
        value += u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value as usize);
        }
    }
    Err(Garbage) // above 2^28: no block is so long
}

/// Takes a string and appends it to `out`.
fn string(rest: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Garbage> {
    let is_coded = rest.first().ok_or(Garbage)? & 0x80 != 0;
    let length = integer(rest, 7)?;
    let (text, tail) = rest.split_at_checked(length).ok_or(Garbage)?;
    *rest = tail;
    if is_coded {
        return huffman::decode(text, out);
    }
    out.extend_from_slice(text);
    Ok(())
}

const FIRST_DYNAMIC: usize = statics::COUNT + 1;
