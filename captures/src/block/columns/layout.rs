//! Where the columns of a block stand.
//!
//! First what is regular, then numbers, then text, then what is random: zstd codes each part of a frame by its own
//! statistics.

use super::MAX_FIELD_SLOTS;
use super::slot;
use crate::wire::{Cursor, Malformed, put_varint};

/// The columns of a slot.
#[derive(Default)]
pub(super) struct SlotColumns<T> {
    /// Which value each exchange has.
    pub(super) codes: T,
    /// How new values are made up.
    pub(super) definitions: T,
    /// What goes into the holes of new values.
    pub(super) holes: T,
    /// The text of new values.
    pub(super) text: T,
}

impl<T> SlotColumns<T> {
    fn all(&mut self) -> [&mut T; 4] {
        [&mut self.codes, &mut self.definitions, &mut self.holes, &mut self.text]
    }
}

/// The columns of what has no slot.
#[derive(Default)]
pub(super) struct Numbers<T> {
    /// Per session: id, exchanges, start.
    pub(super) sessions: T,
    /// Per further exchange of a session: the time since the one before.
    pub(super) gaps: T,
    pub(super) connections: T,
    pub(super) ttfb: T,
    pub(super) durations: T,
    /// Per stream: kind, messages not kept, messages.
    pub(super) streams: T,
    pub(super) message_flags: T,
    pub(super) message_times: T,
    pub(super) message_lengths: T,
}

impl<T> Numbers<T> {
    fn all(&mut self) -> [&mut T; 9] {
        [
            &mut self.sessions,
            &mut self.gaps,
            &mut self.connections,
            &mut self.ttfb,
            &mut self.durations,
            &mut self.streams,
            &mut self.message_flags,
            &mut self.message_times,
            &mut self.message_lengths,
        ]
    }

    fn in_order(&self) -> [&T; 9] {
        [
            &self.sessions,
            &self.gaps,
            &self.connections,
            &self.ttfb,
            &self.durations,
            &self.streams,
            &self.message_flags,
            &self.message_times,
            &self.message_lengths,
        ]
    }
}

/// The columns of what is random.
#[derive(Default)]
pub(super) struct Random {
    /// Letters and digits of tokens.
    pub(super) tokens: Vec<u8>,
    /// Hexadecimal digits, two a byte.
    pub(super) binary: Vec<u8>,
}

/// All columns, in the making.
#[derive(Default)]
pub(super) struct Columns {
    pub(super) slots: Vec<SlotColumns<Vec<u8>>>,
    pub(super) numbers: Numbers<Vec<u8>>,
    pub(super) random: Random,
}

impl Columns {
    /// Empties all columns, and keeps their memory for the next block of so many slots.
    pub(super) fn reset(&mut self, slots: usize) {
        self.slots.resize_with(slots, SlotColumns::default);
        let of_slots = self.slots.iter_mut().flat_map(SlotColumns::all);
        let random = [&mut self.random.tokens, &mut self.random.binary];
        for column in of_slots.chain(self.numbers.all()).chain(random) {
            match column.capacity() <= MOST_KEPT.max(4 * column.len()) {
                true => column.clear(),
                false => *column = Vec::new(),
            }
        }
    }

    /// Appends the table of lengths, and the columns; returns where their content changes its nature.
    pub(super) fn put(&self, out: &mut Vec<u8>) -> Vec<usize> {
        let of_slots =
            |column: fn(&SlotColumns<Vec<u8>>) -> &Vec<u8>| self.slots.iter().map(column).collect();
        let parts: [Vec<&Vec<u8>>; 7] = [
            of_slots(|slot| &slot.codes),
            of_slots(|slot| &slot.definitions),
            of_slots(|slot| &slot.holes),
            self.numbers.in_order().to_vec(),
            of_slots(|slot| &slot.text),
            vec![&self.random.tokens],
            vec![&self.random.binary],
        ];
        parts.iter().flatten().for_each(|column| put_varint(out, column.len() as u64));
        let mut cuts = Vec::with_capacity(parts.len());
        for part in parts {
            cuts.push(out.len());
            part.into_iter().for_each(|column| out.extend_from_slice(column));
        }
        cuts
    }

    /// Bytes of all columns together.
    pub(super) fn len(&self) -> usize {
        let of_slot = |slot: &SlotColumns<Vec<u8>>| {
            slot.codes.len() + slot.definitions.len() + slot.holes.len() + slot.text.len()
        };
        let numbers = self.numbers.in_order().into_iter().map(Vec::len).sum::<usize>();
        self.slots.iter().map(of_slot).sum::<usize>()
            + numbers
            + self.random.tokens.len()
            + self.random.binary.len()
    }
}

/// What a column keeps of its memory from block to block, in bytes, unless it needed a quarter of what it has.
const MOST_KEPT: usize = 1 << 20;

/// All columns, to be read.
pub(super) struct Cursors<'a> {
    pub(super) slots: Vec<SlotColumns<Cursor<'a>>>,
    pub(super) numbers: Numbers<Cursor<'a>>,
    pub(super) tokens: Cursor<'a>,
    pub(super) binary: Cursor<'a>,
}

impl<'a> Cursors<'a> {
    /// Reads the table of lengths for so many slots, and finds the columns.
    pub(super) fn take(cursor: &mut Cursor<'a>, slots: usize) -> Result<Cursors<'a>, Malformed> {
        if slot::FIXED + MAX_FIELD_SLOTS < slots || cursor.remaining() < 4 * slots + 11 {
            return Err(Malformed("the table of columns is cut short"));
        }
        let lengths = (0..4 * slots + 11).map(|_| cursor.length()).collect::<Result<Vec<usize>, _>>()?;
        let mut columns = Vec::with_capacity(lengths.len());
        for length in lengths {
            columns.push(Cursor::new(cursor.take(length)?));
        }
        if cursor.remaining() != 0 {
            return Err(Malformed("bytes are left over after the last column"));
        }
        let at = |place: usize| columns[place];
        let text = 3 * slots + 9;
        let of_slot = |slot: usize| SlotColumns {
            codes: at(slot),
            definitions: at(slots + slot),
            holes: at(2 * slots + slot),
            text: at(text + slot),
        };
        let number = |place: usize| at(3 * slots + place);
        Ok(Cursors {
            slots: (0..slots).map(of_slot).collect(),
            numbers: Numbers {
                sessions: number(0),
                gaps: number(1),
                connections: number(2),
                ttfb: number(3),
                durations: number(4),
                streams: number(5),
                message_flags: number(6),
                message_times: number(7),
                message_lengths: number(8),
            },
            tokens: at(text + slots),
            binary: at(text + slots + 1),
        })
    }

    /// Whether all columns were read to their ends.
    pub(super) fn are_read(&self) -> bool {
        let of_slot = |slot: &SlotColumns<Cursor<'_>>| {
            [slot.codes, slot.definitions, slot.holes, slot.text].iter().all(|column| column.remaining() == 0)
        };
        self.slots.iter().all(of_slot)
            && self.numbers.in_order().iter().all(|column| column.remaining() == 0)
            && self.tokens.remaining() == 0
            && self.binary.remaining() == 0
    }
}
