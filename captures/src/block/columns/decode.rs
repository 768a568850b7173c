//! Reads a block back. Total: any bytes give exchanges or an error, within the bounds of [`crate::limits`].
//!
//! An exchange is first read, which checks all of it, and then put together, which takes memory: who only wants to know
//! whether a block is good saves that.

use std::rc::Rc;

use bytes::Bytes;

use super::layout::{Cursors, Table};
use super::parsed::{Marks, Origin, Parsed, Shape};
use super::predict::Predictions;
use super::streams;
use super::values::{Known, Place, Texts};
use super::*;
use crate::block::cost::{Budget, EXCHANGE_OVERHEAD, FIELD_OVERHEAD};
use crate::limits::{ENCODING_COLUMNS, ENCODING_MIXED, MAX_BLOCK_PLAIN};
use crate::messages::Stream;
use crate::wire::{Cursor, Malformed, unzigzag};
use crate::{Body, Exchange};

/// The exchanges of a block, session by session.
///
/// # Errors
/// When the bytes are not a block of exactly `records` exchanges, or unfold beyond the limits.
pub(in crate::block) fn decode(
    raw: &[u8],
    records: usize,
    encoding: u16,
) -> Result<Vec<Exchange>, Malformed> {
    let mut exchanges = Vec::new();
    read((raw, records, encoding), |decoder, parts| {
        if exchanges.is_empty() {
            exchanges.reserve_exact(records);
        }
        exchanges.push(decoder.put_together(parts)?);
        Ok(())
    })?;
    Ok(exchanges)
}

/// Each session of a block: its id, the start of its first exchange, and how many it has. All else is checked as
/// [`decode`] checks it.
///
/// # Errors
/// As [`decode`].
pub(in crate::block) fn check(
    raw: &[u8],
    records: usize,
    encoding: u16,
) -> Result<Vec<(u64, u64, u32)>, Malformed> {
    read((raw, records, encoding), |decoder, parts| decoder.check_texts(&parts))
}

/// Reads all exchanges of a block, and returns its sessions.
fn read(
    (raw, records, encoding): (&[u8], usize, u16),
    mut each: impl FnMut(&Decoder<'_>, Parts) -> Result<(), Malformed>,
) -> Result<Vec<(u64, u64, u32)>, Malformed> {
    let mut cursor = Cursor::new(raw);
    let start_us = cursor.varint()?;
    let unit_us = cursor.varint()?;
    let seed = cursor.varint()?;
    let n_sessions = cursor.length()?;
    let mut budget = Budget::new();
    let lengths = name_lengths(&mut cursor, &mut budget)?;
    let slots = slot::FIXED + lengths.iter().filter(|length| *length & 1 == 0).count();
    let of_names = lengths.iter().fold(0usize, |sum, length| sum.saturating_add(length >> 1));
    let (table, texts, names);
    let mut in_words = Cursor::default();
    if encoding == ENCODING_COLUMNS {
        names = self::names(&lengths, &mut cursor)?;
        table = Table::take_3(&mut cursor, slots)?;
    } else {
        table = Table::take(&mut cursor, slots)?;
        texts = table.texts(of_names, &mut cursor)?;
        in_words = Cursor::new(&texts);
        names = self::names(&lengths, &mut in_words)?;
    }
    let columns = Cursors::find(&table, &mut in_words, &mut cursor)?;
    // each exchange has a code for its target, each session a line of its own
    if columns.slots[slot::TARGET].codes.remaining() < records
        || MAX_BLOCK_PLAIN / EXCHANGE_OVERHEAD < records
        || columns.numbers.sessions.remaining() < n_sessions
    {
        return Err(Malformed("more exchanges or sessions than there can be"));
    }
    // about what a block takes: each text once, each identifier spelled out
    let texts = Texts::with_room(raw.len(), columns.tokens.remaining() + 2 * columns.binary.remaining());
    let mut decoder = Decoder {
        columns,
        names,
        budget,
        seed,
        has_ends: encoding == ENCODING_MIXED,
        session: 0,
        start_us,
        known: std::iter::repeat_with(Known::default).take(slots).collect(),
        texts,
        predictions: Predictions::new(slots),
        marks: Parsed::new(),
        origins: Parsed::new(),
        shapes: [Parsed::new(), Parsed::new()],
        fields: Vec::new(),
        connection: 0,
    };
    let mut sessions = Vec::with_capacity(n_sessions.min(records));
    let mut left = records;
    for _ in 0..n_sessions {
        let (first_us, n) = decoder.session(unit_us, left, &mut each)?;
        sessions.push((decoder.session, first_us, n as u32));
        left -= n;
    }
    match left == 0 && decoder.columns.are_read() {
        true => Ok(sessions),
        false => Err(Malformed("the columns do not end with the last exchange")),
    }
}

/// The lengths of the names of header fields, twice, and one more if the slot of a name is shared.
fn name_lengths(cursor: &mut Cursor<'_>, budget: &mut Budget) -> Result<Vec<usize>, Malformed> {
    let n = cursor.count()?;
    // a block of nothing but names is none that any writer makes
    budget.spend(n.saturating_mul(FIELD_OVERHEAD))?;
    (0..n).map(|_| cursor.length()).collect()
}

/// The names of header fields, and the slots of their values.
fn names<'a>(lengths: &[usize], cursor: &mut Cursor<'a>) -> Result<Vec<(&'a str, usize)>, Malformed> {
    let mut slots = slot::FIXED;
    let mut names = Vec::with_capacity(lengths.len());
    for length in lengths {
        let slot = match length & 1 {
            0 => {
                slots += 1;
                slots - 1
            }
            _ => slot::OTHER,
        };
        names.push((utf8(cursor.take(length >> 1)?)?, slot));
    }
    Ok(names)
}

/// A block that is being read.
pub(super) struct Decoder<'a> {
    pub(super) columns: Cursors<'a>,
    /// The names of header fields, and the slots of their values.
    pub(super) names: Vec<(&'a str, usize)>,
    /// What the rest of the block may still unfold to.
    pub(super) budget: Budget,
    pub(super) seed: u64,
    /// Whether texts end with newlines where they can.
    pub(super) has_ends: bool,
    /// The session at hand.
    pub(super) session: u64,
    /// When the exchange at hand began.
    pub(super) start_us: u64,
    pub(super) known: Vec<Known<'a>>,
    pub(super) texts: Texts,
    pub(super) predictions: Predictions,
    marks: Parsed<Marks>,
    origins: Parsed<Origin>,
    /// Of requests and of answers.
    shapes: [Parsed<Shape>; 2],
    /// The values of the header fields at hand.
    pub(super) fields: Vec<Place>,
    connection: u64,
}

/// An exchange that was read but not put together: where its texts stand, and what is not text.
pub(super) struct Parts {
    pub(super) marks: Rc<Marks>,
    pub(super) origin: Rc<Origin>,
    pub(super) method: Place,
    pub(super) target: Place,
    pub(super) request: Message,
    pub(super) response: Option<(u16, Message)>,
    pub(super) connection: Option<u64>,
    pub(super) ttfb_us: Option<u64>,
    pub(super) duration_us: Option<u64>,
    /// With the body of its request, which its messages may be parts of.
    pub(super) stream: Option<(Stream, Body)>,
}

/// Header fields and body.
pub(super) struct Message {
    pub(super) shape: Rc<Shape>,
    /// Where the values begin among [`Decoder::fields`], and how many bytes they have.
    pub(super) first: usize,
    pub(super) bytes: usize,
    pub(super) body: BodyPart,
}

/// What there is of a body.
#[derive(Clone, Copy)]
pub(super) struct BodyPart {
    pub(super) len: u64,
    pub(super) hash: Option<u64>,
    pub(super) is_hash_of_data: bool,
    pub(super) data: Option<Place>,
}

impl Decoder<'_> {
    /// Reads a session of at most so many exchanges: the start of the first, and how many they are.
    fn session(
        &mut self,
        unit_us: u64,
        most: usize,
        each: &mut impl FnMut(&Decoder<'_>, Parts) -> Result<(), Malformed>,
    ) -> Result<(u64, usize), Malformed> {
        let sessions = &mut self.columns.numbers.sessions;
        self.session = self.session.wrapping_add(unzigzag(sessions.varint()?));
        let n = sessions.length()?;
        let after = sessions.varint()?;
        // a session starts after the one before, and its exchanges after each other
        let later = |start_us: u64, units: u64| {
            units.checked_mul(unit_us).and_then(|after| start_us.checked_add(after)).ok_or(TOO_LATE)
        };
        let first_us = later(self.start_us, after)?;
        if n == 0 || most < n {
            return Err(Malformed("the sessions do not add up to the number of exchanges"));
        }
        self.texts.begin_session();
        self.start_us = first_us;
        let mut context = 0;
        for at in 0..n {
            if at != 0 {
                self.start_us = later(self.start_us, self.columns.numbers.gaps.varint()?)?;
            }
            let parts = self.exchange(&mut context)?;
            each(self, parts)?;
        }
        self.start_us = first_us;
        Ok((first_us, n))
    }

    /// Reads an exchange; `context` is that of the one before, and then its own.
    fn exchange(&mut self, context: &mut usize) -> Result<Parts, Malformed> {
        self.budget.begin_exchange()?;
        self.fields.clear();
        let number = self.value(slot::TARGET, *context)?;
        let target = self.place(slot::TARGET, number);
        *context = self.context_of(number);
        let context = *context;
        let marks = self.marks(context)?;
        let origin = self.origin(context)?;
        let number = self.value(slot::METHOD, context)?;
        let method = self.place(slot::METHOD, number);
        self.budget.spend(method.len() + target.len())?;
        let request = self.message(slot::REQUEST_FIELDS, slot::REQUEST_BODY, context)?;
        let response = match marks.flags & marks::RESPONSE {
            0 => None,
            _ => Some(self.response(context)?),
        };
        let flags = marks.flags;
        let numbers = &mut self.columns.numbers;
        let number = |flag: u64, column: &mut Cursor<'_>| match flags & flag {
            0 => Ok(None),
            _ => column.varint().map(Some),
        };
        let connection = number(marks::CONNECTION, &mut numbers.connections)?.map(|more| {
            self.connection = self.connection.wrapping_add(unzigzag(more));
            self.connection
        });
        let ttfb_us = number(marks::TTFB, &mut numbers.ttfb)?;
        let more = number(marks::DURATION, &mut numbers.durations)?;
        let duration_us = more.map(|more| ttfb_us.unwrap_or(0).wrapping_add(unzigzag(more)));
        let stream = match flags & marks::STREAM {
            0 => None,
            _ => {
                let body = self.body(request.body);
                Some((streams::take(self, context, &body)?, body))
            }
        };
        Ok(Parts {
            marks,
            origin,
            method,
            target,
            request,
            response,
            connection,
            ttfb_us,
            duration_us,
            stream,
        })
    }

    fn marks(&mut self, context: usize) -> Result<Rc<Marks>, Malformed> {
        let number = self.value(slot::MARKS, context)?;
        let marks = match self.marks.get(number) {
            Some(marks) => marks,
            None => {
                let marks = Marks::parse(self.text(slot::MARKS, number), self.budget.left())?;
                self.marks.put(number, marks)
            }
        };
        self.budget.spend(marks.price)?;
        Ok(marks)
    }

    fn origin(&mut self, context: usize) -> Result<Rc<Origin>, Malformed> {
        let number = self.value(slot::ORIGIN, context)?;
        let origin = match self.origins.get(number) {
            Some(origin) => origin,
            None => {
                let origin = Origin::parse(self.text(slot::ORIGIN, number))?;
                self.origins.put(number, origin)
            }
        };
        self.budget.spend(origin.edge.len() + origin.scheme.len() + origin.authority.len())?;
        Ok(origin)
    }

    fn response(&mut self, context: usize) -> Result<(u16, Message), Malformed> {
        let number = self.value(slot::STATUS, context)?;
        let status = Cursor::new(self.text(slot::STATUS, number)).varint()?;
        let status = u16::try_from(status).map_err(|_| Malformed("a status is too large"))?;
        Ok((status, self.message(slot::RESPONSE_FIELDS, slot::RESPONSE_BODY, context)?))
    }

    /// Reads header fields and body, whose slots these are.
    fn message(&mut self, fields: usize, body: usize, context: usize) -> Result<Message, Malformed> {
        let number = self.value(fields, context)?;
        let side = usize::from(fields == slot::RESPONSE_FIELDS);
        let shape = match self.shapes[side].get(number) {
            Some(shape) => shape,
            None => {
                let shape = Shape::parse(self.text(fields, number), &self.names, self.budget.left())?;
                self.shapes[side].put(number, shape)
            }
        };
        self.budget.spend(shape.names.len() + shape.slots.len() * FIELD_OVERHEAD)?;
        let first = self.fields.len();
        let mut bytes = 0usize;
        for slot in &shape.slots {
            let value = self.value(*slot, context)?;
            let place = self.place(*slot, value);
            bytes = bytes.saturating_add(place.len());
            self.fields.push(place);
        }
        self.budget.spend(bytes)?;
        let body = self.body_part(body, context)?;
        Ok(Message { shape, first, bytes, body })
    }

    fn body_part(&mut self, slot: usize, context: usize) -> Result<BodyPart, Malformed> {
        let number = self.value(slot, context)?;
        let mut cursor = Cursor::new(self.text(slot, number));
        let flags = cursor.byte()?;
        let whole = flags & body::WHOLE != 0;
        let mut len = if whole { 0 } else { cursor.varint()? };
        let hash = match flags & body::HASH {
            0 => None,
            _ => Some(cursor.u64()?),
        };
        let unknown = flags & !(body::HASH | body::HASH_OF_DATA | body::WHOLE | body::PART);
        let both = |one: u8, other: u8| flags & (one | other) == one | other;
        if unknown != 0
            || both(body::WHOLE, body::PART)
            || both(body::HASH, body::HASH_OF_DATA)
            || cursor.remaining() != 0
        {
            return Err(Malformed("a body whose marks contradict each other"));
        }
        let mut data = None;
        if flags & (body::WHOLE | body::PART) != 0 {
            let place = self.data(slot + 1, context)?;
            data = Some(place);
            len = if whole { place.len() as u64 } else { len };
        }
        Ok(BodyPart { len, hash, is_hash_of_data: flags & body::HASH_OF_DATA != 0, data })
    }

    /// Reads a value that is kept as bytes.
    fn data(&mut self, slot: usize, context: usize) -> Result<Place, Malformed> {
        let number = self.value(slot, context)?;
        let place = self.place(slot, number);
        self.budget.spend(place.len())?;
        Ok(place)
    }

    /// Reads the bytes of a message of a stream.
    pub(super) fn bytes(&mut self, slot: usize, context: usize) -> Result<Bytes, Malformed> {
        let place = self.data(slot, context)?;
        Ok(Bytes::copy_from_slice(self.texts.at(place)))
    }
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed("a text is not UTF-8"))
}

const TOO_LATE: Malformed = Malformed("a time overflows");
