//! Where the columns of a block stand.
//!
//! First text, then what is regular, then numbers, then what is random: zstd codes each part of a frame by its own
//! statistics.

use std::borrow::Cow;
use std::ops::{Index, IndexMut};

use super::{MAX_FIELD_SLOTS, slot, words};
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

/// The columns of all slots. In a block of few exchanges slots share them: most would be empty, and each takes room in the
/// table of columns.
#[derive(Default)]
pub(super) struct Slots<T> {
    sets: Vec<SlotColumns<T>>,
    shared: bool,
}

impl<T> Slots<T> {
    /// Whether each slot has columns of its own.
    pub(super) fn are_apart(&self) -> bool {
        !self.shared
    }

    fn set_of(&self, slot: usize) -> usize {
        match self.shared {
            true => usize::from(!has_text(slot)),
            false => slot,
        }
    }

    /// Whether the text of a set of columns is written with words.
    fn in_words(&self, set: usize) -> bool {
        in_words(set, self.shared)
    }

    fn texts(&self, words: bool) -> impl Iterator<Item = &T> {
        let sets = self.sets.iter().enumerate().filter(move |(set, _)| self.in_words(*set) == words);
        sets.map(|(_, columns)| &columns.text)
    }
}

impl<T> Index<usize> for Slots<T> {
    type Output = SlotColumns<T>;

    #[inline]
    fn index(&self, slot: usize) -> &SlotColumns<T> {
        &self.sets[self.set_of(slot)]
    }
}

impl<T> IndexMut<usize> for Slots<T> {
    #[inline]
    fn index_mut(&mut self, slot: usize) -> &mut SlotColumns<T> {
        let set = self.set_of(slot);
        &mut self.sets[set]
    }
}

/// Whether the values of a slot are texts of the field: not flags and numbers, and not what users said.
fn has_text(slot: usize) -> bool {
    slot != slot::MARKS && !(slot::REQUEST_FIELDS..=slot::MESSAGE).contains(&slot)
}

fn in_words(set: usize, shared: bool) -> bool {
    if shared { set == SHARED_TEXT } else { has_text(set) }
}

/// The columns that slots with texts share; those of the others are the next.
const SHARED_TEXT: usize = 0;
/// Sets of columns where they are shared.
const SHARED: usize = 2;

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
    pub(super) slots: Slots<Vec<u8>>,
    pub(super) numbers: Numbers<Vec<u8>>,
    pub(super) random: Random,
}

impl Columns {
    /// Empties all columns, and keeps their memory for the next block of so many slots, which share them or not.
    pub(super) fn reset(&mut self, slots: usize, shared: bool) {
        self.slots.shared = shared;
        self.slots.sets.resize_with(if shared { SHARED } else { slots }, SlotColumns::default);
        let of_slots = self.slots.sets.iter_mut().flat_map(SlotColumns::all);
        let random = [&mut self.random.tokens, &mut self.random.binary];
        for column in of_slots.chain(self.numbers.all()).chain(random) {
            match column.capacity() <= MOST_KEPT.max(4 * column.len()) {
                true => column.clear(),
                false => *column = Vec::new(),
            }
        }
    }

    /// Appends the table of lengths, the texts (first `names`; in words if they may be), and the other columns; returns
    /// where their content changes its nature.
    pub(super) fn put(&self, names: &[u8], words: bool, out: &mut Vec<u8>) -> Vec<usize> {
        let of_slots =
            |column: fn(&SlotColumns<Vec<u8>>) -> &Vec<u8>| self.slots.sets.iter().map(column).collect();
        let regular: Vec<&Vec<u8>> =
            [of_slots(|slot| &slot.codes), of_slots(|slot| &slot.definitions)].concat();
        let parts: [Vec<&Vec<u8>>; 6] = [
            regular,
            of_slots(|slot| &slot.holes),
            self.numbers.in_order().to_vec(),
            self.slots.texts(false).collect(),
            vec![&self.random.tokens],
            vec![&self.random.binary],
        ];
        let texts: Vec<&Vec<u8>> = self.slots.texts(true).collect();
        let flags = out.len();
        self.put_table(texts.iter().chain(parts.iter().flatten()).map(|column| column.len()), out);
        let texts: Vec<&[u8]> = std::iter::once(names).chain(texts.into_iter().map(Vec::as_slice)).collect();
        let texts = texts.concat();
        let mut cuts = vec![out.len()];
        if words {
            words::put(&texts, out);
        }
        if !words || texts.len() < out.len() - cuts[0] {
            // bytes that are no text take more room as such
            out.truncate(cuts[0]);
            out.extend_from_slice(&texts);
            out[flags] |= table::PLAIN;
        }
        for part in parts {
            cuts.push(out.len());
            part.into_iter().for_each(|column| out.extend_from_slice(column));
        }
        cuts
    }

    /// Appends whether columns are shared, which of them are empty, and the lengths of the others.
    fn put_table(&self, lengths: impl Iterator<Item = usize>, out: &mut Vec<u8>) {
        out.push(if self.slots.shared { table::SHARED } else { 0 });
        let lengths: Vec<usize> = lengths.collect();
        let there =
            |eight: &[usize]| eight.iter().rev().fold(0, |bits, length| bits << 1 | u8::from(*length != 0));
        out.extend(lengths.chunks(8).map(there));
        lengths.iter().filter(|length| **length != 0).for_each(|length| put_varint(out, *length as u64));
    }

    /// Bytes of all columns together.
    pub(super) fn len(&self) -> usize {
        let of_slot = |slot: &SlotColumns<Vec<u8>>| {
            slot.codes.len() + slot.definitions.len() + slot.holes.len() + slot.text.len()
        };
        let numbers = self.numbers.in_order().into_iter().map(Vec::len).sum::<usize>();
        self.slots.sets.iter().map(of_slot).sum::<usize>()
            + numbers
            + self.random.tokens.len()
            + self.random.binary.len()
    }
}

/// What a column keeps of its memory from block to block, in bytes, unless it needed a quarter of what it has.
const MOST_KEPT: usize = 1 << 20;

/// The flags of a table.
mod table {
    pub(super) const SHARED: u8 = 1;
    /// The texts in front are not in words.
    pub(super) const PLAIN: u8 = 2;
}

/// The lengths of all columns, in the order in which they stand.
pub(super) struct Table {
    /// How many sets of columns slots have, and whether they share them.
    sets: usize,
    shared: bool,
    /// Of these sets, how many stand in front with their texts; none in encoding 3, where each text stands among the others.
    in_words: usize,
    /// Whether those are plain all the same.
    is_plain: bool,
    lengths: Vec<usize>,
}

impl Table {
    /// Reads the table of a block of so many slots.
    pub(super) fn take(cursor: &mut Cursor<'_>, slots: usize) -> Result<Table, Malformed> {
        let flags = cursor.byte()?;
        if flags & !(table::SHARED | table::PLAIN) != 0 {
            return Err(Malformed("a table of columns of an unknown kind"));
        }
        let shared = flags & table::SHARED != 0;
        let sets = if shared { SHARED } else { slots };
        let in_words = (0..sets).filter(|set| in_words(*set, shared)).count();
        if slot::FIXED + MAX_FIELD_SLOTS < slots {
            return Err(CUT_SHORT);
        }
        let there = cursor.take((4 * sets + 11).div_ceil(8))?;
        let length = |at: usize| match there[at / 8] >> (at % 8) & 1 {
            0 => Ok(0),
            _ => cursor.length(),
        };
        let lengths = (0..4 * sets + 11).map(length).collect::<Result<Vec<usize>, _>>()?;
        Ok(Table { sets, shared, in_words, is_plain: flags & table::PLAIN != 0, lengths })
    }

    /// The same of encoding 3.
    pub(super) fn take_3(cursor: &mut Cursor<'_>, slots: usize) -> Result<Table, Malformed> {
        if slot::FIXED + MAX_FIELD_SLOTS < slots || cursor.remaining() < 4 * slots + 11 {
            return Err(CUT_SHORT);
        }
        let lengths = (0..4 * slots + 11).map(|_| cursor.length()).collect::<Result<Vec<usize>, _>>()?;
        Ok(Table { sets: slots, shared: false, in_words: 0, is_plain: true, lengths })
    }

    /// Reads the texts in front, behind so many bytes of other texts.
    pub(super) fn texts<'a>(
        &self,
        before: usize,
        cursor: &mut Cursor<'a>,
    ) -> Result<Cow<'a, [u8]>, Malformed> {
        let length =
            self.lengths[..self.in_words].iter().fold(before, |sum, length| sum.saturating_add(*length));
        match self.is_plain {
            true => cursor.take(length).map(Cow::Borrowed),
            false => words::take(cursor, length).map(Cow::Owned),
        }
    }
}

const CUT_SHORT: Malformed = Malformed("the table of columns is cut short");

/// All columns, to be read.
pub(super) struct Cursors<'a> {
    pub(super) slots: Slots<Cursor<'a>>,
    pub(super) numbers: Numbers<Cursor<'a>>,
    pub(super) tokens: Cursor<'a>,
    pub(super) binary: Cursor<'a>,
}

impl<'a> Cursors<'a> {
    /// Finds the columns of a table: first those in `texts`, then the others.
    pub(super) fn find(
        table: &Table,
        texts: &mut Cursor<'a>,
        cursor: &mut Cursor<'a>,
    ) -> Result<Cursors<'a>, Malformed> {
        let mut columns = Vec::with_capacity(table.lengths.len());
        for (at, length) in table.lengths.iter().enumerate() {
            let from = if at < table.in_words { &mut *texts } else { &mut *cursor };
            columns.push(Cursor::new(from.take(*length)?));
        }
        if cursor.remaining() != 0 {
            return Err(Malformed("bytes are left over after the last column"));
        }
        let mut columns = columns.into_iter();
        let mut next = || columns.next().unwrap_or(Cursor::new(&[]));
        let mut slots = Slots { sets: Vec::new(), shared: table.shared };
        slots.sets.resize_with(table.sets, SlotColumns::default);
        let texts_first = 0 < table.in_words;
        let has_words = |set: usize| texts_first && in_words(set, table.shared);
        let sets = 0..table.sets;
        sets.clone().filter(|set| has_words(*set)).for_each(|set| slots.sets[set].text = next());
        slots.sets.iter_mut().for_each(|set| set.codes = next());
        slots.sets.iter_mut().for_each(|set| set.definitions = next());
        slots.sets.iter_mut().for_each(|set| set.holes = next());
        let numbers = Numbers {
            sessions: next(),
            gaps: next(),
            connections: next(),
            ttfb: next(),
            durations: next(),
            streams: next(),
            message_flags: next(),
            message_times: next(),
            message_lengths: next(),
        };
        sets.filter(|set| !has_words(*set)).for_each(|set| slots.sets[set].text = next());
        Ok(Cursors { slots, numbers, tokens: next(), binary: next() })
    }

    /// Whether all columns were read to their ends.
    pub(super) fn are_read(&self) -> bool {
        let of_slot = |slot: &SlotColumns<Cursor<'_>>| {
            [slot.codes, slot.definitions, slot.holes, slot.text].iter().all(|column| column.remaining() == 0)
        };
        self.slots.sets.iter().all(of_slot)
            && self.numbers.in_order().iter().all(|column| column.remaining() == 0)
            && self.tokens.remaining() == 0
            && self.binary.remaining() == 0
    }
}
