//! Collects exchanges for a block.

use xxhash_rust::xxh3::xxh3_64;

use super::encode::LayOut;
use super::holes::{Hole, Style};
use super::ids::Ids;
use super::interner::Interner;
use super::kinds::Kind;
use super::layout::Columns;
use super::shapes::Shapes;
use super::streams::{self, StreamBytes};
use super::templates::Templates;
use super::*;
use crate::block::generators::Generators;
use crate::block::{Encoded, cost};
use crate::limits::{MAX_BLOCK_PLAIN, MAX_EXCHANGE};
use crate::wire::{put_bytes, put_varint};
use crate::{Body, Exchange, Headers};

/// A block in the making. Values are looked up and taken apart as they come; the block is laid out at the end, when it
/// is known which sessions it has.
#[derive(Default)]
pub(crate) struct Builder {
    pub(super) texts: Interner,
    /// What is known of each of `texts`.
    pub(super) values: Vec<Value>,
    pub(super) holes: Vec<Hole>,
    pub(super) templates: Templates,
    pub(super) shapes: Shapes,
    pub(super) ids: Ids,
    /// Slot and value of each part of each exchange, in the order of pushing.
    pub(super) parts: Vec<(u32, u32)>,
    pub(super) streams: StreamBytes,
    pub(super) records: Vec<Record>,
    pub(super) generators: Option<Generators>,
    /// Those of the block before, for their memory.
    pub(super) columns: Columns,
    /// What was pushed last, by slot.
    recent: Vec<Recent>,
    scratch: Vec<u8>,
    found: Vec<Hole>,
    /// About what the block takes before compression.
    raw: usize,
    /// What the exchanges take when decoded.
    plain: usize,
}

/// A value of a slot.
#[derive(Clone, Copy, Default)]
pub(super) struct Value {
    /// `None`: it is text as a whole.
    pub(super) template: Option<u32>,
    /// Where its holes begin; how many they are its template says.
    pub(super) holes: u32,
    /// Its number in its slot, once it is written.
    pub(super) number: Option<u32>,
    /// In the slot of targets: its context.
    pub(super) context: u32,
}

/// What was pushed last to a slot.
#[derive(Clone, Copy, Default)]
struct Recent {
    value: Option<u32>,
    /// Where its text stands.
    text: (u32, u32),
    /// How many values in a row were new: behind [`MANY`] of them, new ones are expected.
    all_new: u32,
}

/// An exchange, but for its parts.
pub(super) struct Record {
    pub(super) session: u64,
    pub(super) start_us: u64,
    pub(super) connection: Option<u64>,
    pub(super) ttfb_us: Option<u64>,
    pub(super) duration_us: Option<u64>,
    /// Where its parts end; they begin where those of the one before end.
    pub(super) parts: std::ops::Range<u32>,
    pub(super) stream: Option<u32>,
}

impl Builder {
    /// Makes up fresh identifiers where it may.
    pub(crate) fn with_generators(generators: Generators) -> Builder {
        Builder { generators: Some(generators), ..Builder::default() }
    }

    /// Adds an exchange.
    ///
    /// # Errors
    /// Its size, when that is above [`MAX_EXCHANGE`]; nothing was added then.
    pub(crate) fn push(&mut self, exchange: &Exchange) -> Result<(), usize> {
        let plain = cost::of_exchange(exchange);
        if MAX_EXCHANGE < plain {
            return Err(plain);
        }
        self.plain += plain;
        let first = self.parts.len() as u32;
        self.push_request(exchange);
        if let Some(response) = &exchange.response {
            self.push_scratch(slot::STATUS, |out| put_varint(out, response.status.into()));
            self.push_headers(slot::RESPONSE_FIELDS, &response.headers, exchange.start_us);
            self.push_body(slot::RESPONSE_BODY, &response.body, exchange.start_us);
        }
        let stream = exchange.stream.as_ref().map(|stream| streams::push(self, stream, exchange));
        self.records.push(Record {
            session: exchange.session.0,
            start_us: exchange.start_us,
            connection: exchange.connection,
            ttfb_us: exchange.ttfb_us,
            duration_us: exchange.duration_us,
            parts: first..self.parts.len() as u32,
            stream,
        });
        self.raw += self.parts.len() - first as usize + RECORD_BYTES;
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many exchanges were pushed.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it is time to close: `block_bytes` before compression, or near what a decoder accepts.
    pub(crate) fn is_full(&self, block_bytes: usize) -> bool {
        block_bytes <= self.raw + self.streams.len() || MAX_BLOCK_PLAIN - MAX_EXCHANGE <= self.plain
    }

    /// Lays the block out, and starts an empty one.
    pub(crate) fn finish(&mut self) -> Encoded {
        let encoded = LayOut::of(self);
        self.texts.clear();
        self.values.clear();
        self.holes.clear();
        self.templates.clear();
        self.shapes.clear();
        self.ids.clear();
        self.parts.clear();
        self.streams.clear();
        self.records.clear();
        self.recent.clear();
        self.raw = 0;
        self.plain = 0;
        encoded
    }

    /// Undoes what a layout has noted.
    pub(super) fn forget_numbers(&mut self) {
        self.values.iter_mut().for_each(|value| value.number = None);
        self.templates.forget_numbers();
        self.ids.forget_numbers();
    }

    fn push_request(&mut self, exchange: &Exchange) {
        let request = &exchange.request;
        let start_us = exchange.start_us;
        self.push_value(slot::TARGET, request.target.as_bytes(), Some(Style::Document), start_us);
        self.push_scratch(slot::MARKS, |out| put_marks(exchange, out));
        self.push_scratch(slot::ORIGIN, |out| {
            put_bytes(out, exchange.edge.as_bytes());
            put_bytes(out, request.scheme.as_bytes());
            out.extend_from_slice(request.authority.as_bytes());
        });
        self.push_value(slot::METHOD, request.method.as_bytes(), None, start_us);
        self.push_headers(slot::REQUEST_FIELDS, &request.headers, start_us);
        self.push_body(slot::REQUEST_BODY, &request.body, start_us);
    }

    fn push_headers(&mut self, slot: usize, headers: &Headers, start_us: u64) {
        let number = self.shapes.number(headers, slot == slot::REQUEST_FIELDS);
        let shape = self.shapes.get(number);
        let value = match shape.value {
            Some(value) => value,
            None => {
                let (text, first) = (shape.text.clone(), self.parts.len());
                self.push_value(slot, &text, None, start_us);
                let (_, value) = self.parts[first];
                self.parts.truncate(first);
                self.shapes.get(number).value = Some(value);
                value
            }
        };
        self.parts.push((slot as u32, value));
        for (at, (_, value)) in headers.iter().enumerate() {
            let slot = self.shapes.get(number).slots[at] as usize;
            self.push_value(slot, value, Some(Style::Header), start_us);
        }
    }

    /// A body stands in two slots, one behind the other: what there is of it, and its data.
    fn push_body(&mut self, slot: usize, body: &Body, start_us: u64) {
        self.push_scratch(slot, |out| put_body(body, out));
        if let Some(data) = &body.data {
            self.push_value(slot + 1, data, Some(Style::Document), start_us);
        }
    }

    fn push_scratch(&mut self, slot: usize, put: impl FnOnce(&mut Vec<u8>)) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        put(&mut scratch);
        self.push_value(slot, &scratch, None, 0);
        self.scratch = scratch;
    }

    /// A part of the exchange at hand. Without a style its value is never taken apart.
    pub(super) fn push_value(&mut self, slot: usize, value: &[u8], style: Option<Style>, start_us: u64) {
        if self.recent.len() <= slot {
            self.recent.resize(slot + 1, Recent::default());
        }
        let recent = self.recent[slot];
        let number = match recent.value {
            Some(value_before) if self.texts.at(recent.text) == value => value_before,
            _ => {
                let number = self.value(slot, value, style, start_us);
                let recent = &mut self.recent[slot];
                (recent.value, recent.text) = (Some(number), self.texts.place(number));
                number
            }
        };
        self.parts.push((slot as u32, number));
    }

    /// The number of a value, which is taken apart if it is new.
    fn value(&mut self, slot: usize, text: &[u8], style: Option<Style>, start_us: u64) -> u32 {
        let style = style.filter(|_| text.len() <= LONGEST_TEMPLATE);
        let all_new = self.recent.get(slot).map_or(0, |recent| recent.all_new);
        if MANY <= all_new
            && let Some(style) = style
        {
            let found = self.holes_of(slot, text, style, start_us);
            if found.1 {
                let number = self.texts.add(slot, text);
                self.values.push(Value::default());
                self.define(slot, text, number, found.0);
                return number;
            }
            self.found = found.0;
        }
        let (number, new) = self.texts.number(slot, text);
        if slot < self.recent.len() {
            self.recent[slot].all_new = if new { all_new.saturating_add(1) } else { 0 };
        }
        if new {
            self.values.push(Value::default());
            let found = match style {
                Some(style) => self.holes_of(slot, text, style, start_us).0,
                None => Vec::new(),
            };
            self.define(slot, text, number, found);
        }
        number
    }

    /// What stands in a value, and whether an identifier is among that which was not met before: then the value was
    /// not met either.
    fn holes_of(&mut self, slot: usize, text: &[u8], style: Style, start_us: u64) -> (Vec<Hole>, bool) {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        holes::find(text, style, start_us, &mut found);
        self.take_out_embedded(slot, text, start_us, &mut found);
        let mut any_new = false;
        for hole in found.iter_mut().filter(|hole| hole.kind.is_id()) {
            let (number, new) = self.ids.number(hole, text);
            hole.number = number.into();
            any_new |= new;
        }
        (found, any_new)
    }

    /// Notes what a new value is made of.
    fn define(&mut self, slot: usize, text: &[u8], number: u32, found: Vec<Hole>) {
        let first = self.holes.len() as u32;
        self.raw += match found.is_empty() {
            true => text.len() + 2,
            false => {
                let (template, bytes) = self.templates.number(slot, text, &found);
                let value = &mut self.values[number as usize];
                (value.template, value.holes) = (Some(template), first);
                self.holes.extend_from_slice(&found);
                bytes + found.iter().map(raw_len).sum::<usize>()
            }
        };
        self.found = found;
    }

    /// JSON inside of a value becomes a value of its own; but not inside of such JSON again.
    fn take_out_embedded(&mut self, slot: usize, text: &[u8], start_us: u64, found: &mut Vec<Hole>) {
        if slot == slot::EMBEDDED {
            return found.retain(|hole| hole.kind != Kind::Embedded);
        }
        for hole in found.iter_mut().filter(|hole| hole.kind == Kind::Embedded) {
            let json = embedded::decode(&text[hole.start as usize..hole.end as usize])
                .expect("only what decodes is such a hole");
            hole.number = self.value(slot::EMBEDDED, &json, Some(Style::Document), start_us).into();
        }
    }
}

fn put_marks(exchange: &Exchange, out: &mut Vec<u8>) {
    let has = |present: bool, flag: u64| if present { flag } else { 0 };
    let flags = has(exchange.response.is_some(), marks::RESPONSE)
        | has(exchange.ttfb_us.is_some(), marks::TTFB)
        | has(exchange.duration_us.is_some(), marks::DURATION)
        | has(exchange.connection.is_some(), marks::CONNECTION)
        | has(!exchange.faults.is_empty(), marks::FAULTS)
        | has(!exchange.notes.is_empty(), marks::NOTES)
        | has(exchange.stream.is_some(), marks::STREAM)
        | (exchange.protocol as u64) << marks::PROTOCOL_SHIFT;
    put_varint(out, flags);
    if !exchange.notes.is_empty() {
        put_varint(out, exchange.notes.bits().into());
    }
    if !exchange.faults.is_empty() {
        put_varint(out, exchange.faults.len() as u64);
        exchange.faults.iter().for_each(|fault| put_bytes(out, fault.as_bytes()));
    }
}

fn put_body(body: &Body, out: &mut Vec<u8>) {
    let data = body.data.as_deref();
    let is_whole = data.is_some_and(|data| data.len() as u64 == body.len);
    let is_of_data = body.hash.is_some() && body.hash == data.map(xxh3_64);
    let flag = |on: bool, flag: u8| if on { flag } else { 0 };
    out.push(
        flag(body.hash.is_some() && !is_of_data, body::HASH)
            | flag(is_of_data, body::HASH_OF_DATA)
            | flag(is_whole, body::WHOLE)
            | flag(data.is_some() && !is_whole, body::PART),
    );
    if !is_whole {
        put_varint(out, body.len);
    }
    if let Some(hash) = body.hash.filter(|_| !is_of_data) {
        out.extend_from_slice(&hash.to_le_bytes());
    }
}

/// About what a hole takes in the block.
fn raw_len(hole: &Hole) -> usize {
    match hole.kind {
        Kind::Hex | Kind::HexUpper | Kind::Pseudonym => 2 + (hole.end - hole.start) as usize / 2,
        Kind::Uuid | Kind::UuidUpper => 17,
        Kind::Word | Kind::Token => 2 + (hole.end - hole.start) as usize,
        _ => 3,
    }
}

/// After so many new values in a row a slot is taken for one of identifiers, which need not be looked up.
const MANY: u32 = 64;
/// Longer values are text as a whole.
pub(super) const LONGEST_TEMPLATE: usize = 64 << 10;
/// About what an exchange takes beside its parts: times, connection.
const RECORD_BYTES: usize = 8;
