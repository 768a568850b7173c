//! Reads a block back. Total: any bytes give exchanges or an error, within the bounds of [`crate::limits`].

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::layout::{Cursors, Table};
use super::predict::Predictions;
use super::streams;
use super::values::{Known, Texts};
use super::*;
use crate::block::cost::{Budget, FIELD_OVERHEAD};
use crate::exchange::{Protocol, Request, Response};
use crate::limits::ENCODING_COLUMNS;
use crate::notes::Notes;
use crate::wire::{Cursor, Malformed, unzigzag};
use crate::{Body, Exchange, Headers, SessionId};

/// The exchanges of a block, session by session.
///
/// # Errors
/// When the bytes are not a block of exactly `records` exchanges, or unfold beyond the limits.
pub(in crate::block) fn decode(
    raw: &[u8],
    records: usize,
    encoding: u16,
) -> Result<Vec<Exchange>, Malformed> {
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
        || columns.numbers.sessions.remaining() < n_sessions
    {
        return Err(Malformed("more exchanges or sessions than there can be"));
    }
    let mut decoder = Decoder {
        columns,
        names,
        budget,
        seed,
        session: 0,
        start_us,
        known: std::iter::repeat_with(Known::default).take(slots).collect(),
        texts: Texts::default(),
        predictions: Predictions::new(slots),
        shapes: [Vec::new(), Vec::new()],
        fields: Vec::new(),
        connection: 0,
    };
    let mut exchanges = Vec::with_capacity(records);
    for _ in 0..n_sessions {
        decoder.session(unit_us, records, &mut exchanges)?;
    }
    match exchanges.len() == records && decoder.columns.are_read() {
        true => Ok(exchanges),
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
        names.push((text(cursor.take(length >> 1)?)?, slot));
    }
    Ok(names)
}

/// A block that is being read.
pub(super) struct Decoder<'a> {
    pub(super) columns: Cursors<'a>,
    /// The names of header fields, and the slots of their values.
    names: Vec<(&'a str, usize)>,
    /// What the rest of the block may still unfold to.
    pub(super) budget: Budget,
    pub(super) seed: u64,
    /// The session at hand.
    pub(super) session: u64,
    /// When the exchange at hand began.
    pub(super) start_us: u64,
    pub(super) known: Vec<Known<'a>>,
    pub(super) texts: Texts,
    pub(super) predictions: Predictions,
    /// Of requests and of answers, the lists of header names by the numbers of their values.
    shapes: [Vec<Option<Shape>>; 2],
    /// Slot and value of the header fields at hand.
    fields: Vec<(usize, u32)>,
    connection: u64,
}

/// A list of header names.
#[derive(Default)]
struct Shape {
    names: String,
    ends: Vec<usize>,
    slots: Vec<usize>,
}

impl Decoder<'_> {
    fn session(&mut self, unit_us: u64, most: usize, out: &mut Vec<Exchange>) -> Result<(), Malformed> {
        let sessions = &mut self.columns.numbers.sessions;
        self.session = self.session.wrapping_add(unzigzag(sessions.varint()?));
        let n = sessions.length()?;
        let after = sessions.varint()?;
        // a session starts after the one before, and its exchanges after each other
        let later = |start_us: u64, units: u64| {
            units.checked_mul(unit_us).and_then(|after| start_us.checked_add(after)).ok_or(TOO_LATE)
        };
        let first_us = later(self.start_us, after)?;
        if n == 0 || most - out.len() < n {
            return Err(Malformed("the sessions do not add up to the number of exchanges"));
        }
        self.texts.begin_session();
        self.start_us = first_us;
        let mut context = 0;
        for at in 0..n {
            if at != 0 {
                self.start_us = later(self.start_us, self.columns.numbers.gaps.varint()?)?;
            }
            out.push(self.exchange(&mut context)?);
        }
        self.start_us = first_us;
        Ok(())
    }

    /// Reads an exchange; `context` is that of the one before, and then its own.
    fn exchange(&mut self, context: &mut usize) -> Result<Exchange, Malformed> {
        self.budget.begin_exchange()?;
        let target = self.value(slot::TARGET, *context)?;
        *context = self.context_of(target);
        let context = *context;
        let mut exchange =
            Exchange { session: SessionId(self.session), start_us: self.start_us, ..Exchange::default() };
        let flags = self.marks(context, &mut exchange)?;
        exchange.request = self.request(target, context, &mut exchange.edge)?;
        if flags & marks::RESPONSE != 0 {
            exchange.response = Some(self.response(context)?);
        }
        let numbers = &mut self.columns.numbers;
        if flags & marks::CONNECTION != 0 {
            self.connection = self.connection.wrapping_add(unzigzag(numbers.connections.varint()?));
            exchange.connection = Some(self.connection);
        }
        if flags & marks::TTFB != 0 {
            exchange.ttfb_us = Some(numbers.ttfb.varint()?);
        }
        if flags & marks::DURATION != 0 {
            let more = unzigzag(numbers.durations.varint()?);
            exchange.duration_us = Some(exchange.ttfb_us.unwrap_or(0).wrapping_add(more));
        }
        if flags & marks::STREAM != 0 {
            exchange.stream = Some(streams::take(self, context, &exchange.request.body)?);
        }
        Ok(exchange)
    }

    /// Reads what there is of an exchange: returns the flags, and fills in protocol, notes and faults.
    fn marks(&mut self, context: usize, exchange: &mut Exchange) -> Result<u64, Malformed> {
        let number = self.value(slot::MARKS, context)?;
        let mut cursor = Cursor::new(self.text(slot::MARKS, number));
        let flags = cursor.varint()?;
        exchange.protocol = match flags >> marks::PROTOCOL_SHIFT {
            0 => Protocol::Http10,
            1 => Protocol::Http11,
            2 => Protocol::Http2,
            3 => Protocol::Http3,
            _ => return Err(Malformed("a protocol that is not known")),
        };
        if flags & marks::NOTES != 0 {
            let bits = u32::try_from(cursor.varint()?).map_err(|_| Malformed("the notes are too large"))?;
            exchange.notes = Notes::from_bits(bits);
        }
        let rest = cursor.take(cursor.remaining())?;
        if flags & marks::FAULTS != 0 {
            let rest = rest.to_owned();
            exchange.faults = self.faults(&rest)?;
        } else if !rest.is_empty() {
            return Err(Malformed("the marks of an exchange go on behind their end"));
        }
        Ok(flags)
    }

    fn faults(&mut self, text: &[u8]) -> Result<Vec<String>, Malformed> {
        let mut cursor = Cursor::new(text);
        let n = cursor.count()?;
        self.budget.spend(n.saturating_mul(FIELD_OVERHEAD))?;
        let mut faults = Vec::with_capacity(n);
        for _ in 0..n {
            let fault = cursor.bytes()?;
            self.budget.spend(fault.len())?;
            faults.push(owned(fault)?);
        }
        match cursor.remaining() {
            0 => Ok(faults),
            _ => Err(Malformed("the marks of an exchange go on behind their end")),
        }
    }

    fn request(&mut self, target: u32, context: usize, edge: &mut String) -> Result<Request, Malformed> {
        let number = self.value(slot::ORIGIN, context)?;
        let mut cursor = Cursor::new(self.text(slot::ORIGIN, number));
        *edge = owned(cursor.bytes()?)?;
        let scheme = owned(cursor.bytes()?)?;
        let authority = owned(cursor.take(cursor.remaining())?)?;
        self.budget.spend(edge.len() + scheme.len() + authority.len())?;
        let method = self.value(slot::METHOD, context)?;
        let length = self.text(slot::METHOD, method).len() + self.text(slot::TARGET, target).len();
        self.budget.spend(length)?;
        Ok(Request {
            method: owned(self.text(slot::METHOD, method))?,
            scheme,
            authority,
            target: owned(self.text(slot::TARGET, target))?,
            headers: self.headers(slot::REQUEST_FIELDS, context)?,
            body: self.body(slot::REQUEST_BODY, context)?,
        })
    }

    fn response(&mut self, context: usize) -> Result<Response, Malformed> {
        let number = self.value(slot::STATUS, context)?;
        let status = Cursor::new(self.text(slot::STATUS, number)).varint()?;
        Ok(Response {
            status: u16::try_from(status).map_err(|_| Malformed("a status is too large"))?,
            headers: self.headers(slot::RESPONSE_FIELDS, context)?,
            body: self.body(slot::RESPONSE_BODY, context)?,
        })
    }

    fn headers(&mut self, slot: usize, context: usize) -> Result<Headers, Malformed> {
        let number = self.value(slot, context)? as usize;
        let side = usize::from(slot == slot::RESPONSE_FIELDS);
        let shape = match self.shapes[side].get_mut(number).and_then(Option::take) {
            Some(shape) => shape,
            None => self.shape(slot, number as u32)?,
        };
        self.budget.spend(shape.names.len() + shape.slots.len() * FIELD_OVERHEAD)?;
        self.fields.clear();
        let mut length = 0usize;
        for slot in &shape.slots {
            let value = self.value(*slot, context)?;
            self.fields.push((*slot, value));
            length = length.saturating_add(self.text(*slot, value).len());
        }
        self.budget.spend(length)?;
        let mut values = Vec::with_capacity(length);
        let mut ends = Vec::with_capacity(shape.ends.len());
        for ((slot, value), name_end) in self.fields.iter().zip(&shape.ends) {
            values.extend_from_slice(self.text(*slot, *value));
            ends.push((*name_end, values.len()));
        }
        let headers = Headers::from_parts(shape.names.clone(), values, ends);
        let shapes = &mut self.shapes[side];
        if shapes.len() <= number {
            shapes.resize_with(number + 1, || None);
        }
        shapes[number] = Some(shape);
        Ok(headers)
    }

    /// The list of header names that a value stands for.
    fn shape(&self, slot: usize, number: u32) -> Result<Shape, Malformed> {
        let mut cursor = Cursor::new(self.text(slot, number));
        let mut shape = Shape::default();
        while cursor.remaining() != 0 {
            let name = self.names.get(cursor.length()?);
            let (name, slot) = name.ok_or(Malformed("a header name that is not there"))?;
            // before it is built, not after: a name can be empty, and a list of them long
            let price = shape.names.len() + name.len() + (shape.slots.len() + 1) * FIELD_OVERHEAD;
            if self.budget.left() < price {
                return Err(Malformed("it unfolds beyond the limits"));
            }
            shape.names.push_str(name);
            shape.ends.push(shape.names.len());
            shape.slots.push(*slot);
        }
        Ok(shape)
    }

    fn body(&mut self, slot: usize, context: usize) -> Result<Body, Malformed> {
        let number = self.value(slot, context)?;
        let mut cursor = Cursor::new(self.text(slot, number));
        let flags = cursor.byte()?;
        let whole = flags & body::WHOLE != 0;
        let len = if whole { 0 } else { cursor.varint()? };
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
        let mut body = Body { len, hash, data: None };
        if flags & (body::WHOLE | body::PART) != 0 {
            body.data = Some(self.bytes(slot + 1, context)?);
        }
        let data = body.data.as_deref().unwrap_or_default();
        if whole {
            body.len = data.len() as u64;
        }
        if flags & body::HASH_OF_DATA != 0 {
            body.hash = Some(xxh3_64(data));
        }
        Ok(body)
    }

    /// Reads a value that is kept as bytes.
    pub(super) fn bytes(&mut self, slot: usize, context: usize) -> Result<Bytes, Malformed> {
        let number = self.value(slot, context)?;
        self.budget.spend(self.text(slot, number).len())?;
        Ok(Bytes::copy_from_slice(self.text(slot, number)))
    }
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed("a text is not UTF-8"))
}

fn owned(bytes: &[u8]) -> Result<String, Malformed> {
    text(bytes).map(str::to_owned)
}

const TOO_LATE: Malformed = Malformed("a time overflows");
