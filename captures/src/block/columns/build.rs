//! Collects exchanges for a block.

use super::ahead;
use super::alike::Apart;
use super::encode::LayOut;
use super::facts::{put_body, put_marks};
use super::holes::{Finder, Hole, Style};
use super::ids::Ids;
use super::interner::Interner;
use super::kinds::Kind;
use super::lasts::Lasts;
use super::layout::Columns;
use super::shapes::Shapes;
use super::streams::{self, StreamBytes};
use super::templates::Templates;
use super::*;
use crate::block::generators::Generators;
use crate::block::{Encoded, cost};
use crate::limits::{MAX_BLOCK_PLAIN, MAX_EXCHANGE, MAX_MIXED};
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
    /// Of each record; sorted when the block is laid out.
    pub(super) places: Vec<Place>,
    pub(super) generators: Option<Generators>,
    /// Those of the block before, for their memory.
    pub(super) columns: Columns,
    /// The same of its bytes.
    pub(super) spare: Vec<u8>,
    /// What was pushed last, by slot.
    recent: Vec<Recent>,
    /// The same of each session.
    lasts: Lasts,
    scratch: Vec<u8>,
    /// For values, and for what is embedded in them.
    finders: [Finder; 2],
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
    /// The value that was taken apart last.
    sample: Option<Sample>,
}

/// A value that was taken apart, to be compared with the next one: its template, its holes, and where its text stands.
#[derive(Clone, Copy)]
struct Sample {
    template: u32,
    holes: (u32, u32),
    text: (u32, u32),
}

/// Where an exchange stands in the block, and what is the first in memory that is its own. By session and start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) session: u64,
    pub(super) start_us: u64,
    pub(super) record: u32,
    pub(super) parts: u32,
    pub(super) values: u32,
    pub(super) holes: u32,
    pub(super) ids: u32,
    pub(super) id_bytes: u32,
    /// And where its last text ends.
    pub(super) texts_end: u32,
}

/// An exchange, but for its parts, its session and its start.
pub(super) struct Record {
    pub(super) connection: Option<u64>,
    pub(super) ttfb_us: Option<u64>,
    pub(super) duration_us: Option<u64>,
    /// Where its parts end.
    pub(super) parts_end: u32,
    pub(super) stream: Option<u32>,
}

impl Builder {
    /// With room for what a block of a megabyte has: a vector that grows is copied each time. What is not used takes no
    /// memory.
    pub(crate) fn with_room() -> Builder {
        Builder {
            texts: Interner::with_room(1 << 15, 3 << 20),
            values: Vec::with_capacity(1 << 15),
            holes: Vec::with_capacity(1 << 16),
            ids: Ids::with_room(1 << 15, 2 << 20),
            parts: Vec::with_capacity(1 << 18),
            records: Vec::with_capacity(1 << 14),
            places: Vec::with_capacity(1 << 14),
            spare: Vec::with_capacity(3 << 19),
            ..Builder::default()
        }
    }

    /// Makes up fresh identifiers where it may.
    pub(crate) fn with_generators(generators: Generators) -> Builder {
        Builder { generators: Some(generators), ..Builder::with_room() }
    }

    /// Adds an exchange.
    ///
    /// # Errors
    /// Its size, when that is above [`MAX_EXCHANGE`]; nothing was added then.
    pub(crate) fn push(&mut self, exchange: &Exchange) -> Result<(), usize> {
        ahead::call_up(exchange);
        let plain = cost::of_exchange(exchange);
        if MAX_EXCHANGE < plain {
            return Err(plain);
        }
        self.plain += plain;
        self.lasts.begin(exchange.session.0);
        self.call_up_lasts();
        let place = self.next_place(exchange);
        self.push_request(exchange);
        if let Some(response) = &exchange.response {
            self.push_scratch(slot::STATUS, |out| put_varint(out, response.status.into()));
            self.push_headers(slot::RESPONSE_FIELDS, &response.headers, exchange.start_us);
            self.push_body(slot::RESPONSE_BODY, &response.body, exchange.start_us);
        }
        let stream = exchange.stream.as_ref().map(|stream| streams::push(self, stream, exchange));
        self.raw += self.parts.len() - place.parts as usize + RECORD_BYTES;
        self.places.push(Place { texts_end: self.texts.byte_len(), ..place });
        self.records.push(Record {
            connection: exchange.connection,
            ttfb_us: exchange.ttfb_us,
            duration_us: exchange.duration_us,
            parts_end: self.parts.len() as u32,
            stream,
        });
        Ok(())
    }

    /// Calls the values that the session had last, with which those of the exchange will be compared.
    fn call_up_lasts(&self) {
        self.lasts.all().iter().filter(|value| **value != 0).for_each(|value| self.texts.call_up(value - 1));
    }

    /// Where the exchange will stand that is pushed next.
    fn next_place(&self, exchange: &Exchange) -> Place {
        Place {
            session: exchange.session.0,
            start_us: exchange.start_us,
            record: self.records.len() as u32,
            parts: self.parts.len() as u32,
            values: self.values.len() as u32,
            holes: self.holes.len() as u32,
            ids: self.ids.len() as u32,
            id_bytes: self.ids.byte_len(),
            texts_end: 0,
        }
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

    /// Lays the block out, and starts an empty one. A small block is coded by context mixing if it may be.
    pub(crate) fn finish(&mut self, may_be_mixed: bool) -> Encoded {
        let encoded = LayOut::of(self, may_be_mixed && self.raw <= MAX_MIXED);
        self.texts.clear();
        self.values.clear();
        self.holes.clear();
        self.templates.clear();
        self.shapes.clear();
        self.ids.clear();
        self.parts.clear();
        self.streams.clear();
        self.records.clear();
        self.places.clear();
        self.recent.clear();
        self.lasts.clear();
        self.raw = 0;
        self.plain = 0;
        encoded
    }

    /// Takes the memory of a block that is written for the next one.
    pub(crate) fn reuse(&mut self, raw: Vec<u8>) {
        self.spare = raw;
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
        self.make_room(slot);
        let recent = self.recent[slot];
        let number = match recent.value {
            Some(value_before) if self.texts.at(recent.text) == value => value_before,
            _ => {
                let known = self.made_alike(slot, value).or_else(|| self.last(slot, value));
                let number = known.unwrap_or_else(|| self.value(slot, value, style, start_us));
                let recent = &mut self.recent[slot];
                (recent.value, recent.text) = (Some(number), self.texts.place(number));
                self.lasts.put(slot, number);
                number
            }
        };
        self.parts.push((slot as u32, number));
    }

    /// The value that the session had last in a slot, if it has it again.
    fn last(&mut self, slot: usize, value: &[u8]) -> Option<u32> {
        let number = self.lasts.get(slot).filter(|number| self.texts.get(*number) == value)?;
        self.recent[slot].all_new = 0;
        Some(number)
    }

    /// The number of a value, which is taken apart if it is new.
    fn value(&mut self, slot: usize, text: &[u8], style: Option<Style>, start_us: u64) -> u32 {
        let style = style.filter(|_| text.len() <= LONGEST_TEMPLATE);
        self.make_room(slot);
        let all_new = self.recent[slot].all_new;
        if MANY <= all_new
            && let Some(style) = style
        {
            let (finder, any_new) = self.holes_of(slot, text, style, start_us);
            if any_new {
                let number = self.texts.add(slot, text);
                self.values.push(Value::default());
                self.define(slot, text, number, &finder.holes);
                self.keep(slot, finder);
                return number;
            }
            self.keep(slot, finder);
        }
        let (number, new) = self.texts.number(slot, text);
        self.recent[slot].all_new = if new { all_new.saturating_add(1) } else { 0 };
        if new {
            self.values.push(Value::default());
            match style {
                Some(style) => {
                    let (finder, _) = self.holes_of(slot, text, style, start_us);
                    self.define(slot, text, number, &finder.holes);
                    self.keep(slot, finder);
                }
                None => self.raw += text.len() + LITERAL_BYTES,
            }
        }
        number
    }

    fn make_room(&mut self, slot: usize) {
        if self.recent.len() <= slot {
            self.recent.resize(slot + 1, Recent::default());
        }
    }

    /// What stands in a value, and whether an identifier is among that which was not met before: then the value was
    /// not met either. Give the finder back with [`Builder::keep`].
    fn holes_of(&mut self, slot: usize, text: &[u8], style: Style, start_us: u64) -> (Finder, bool) {
        let mut finder = std::mem::take(&mut self.finders[usize::from(slot == slot::EMBEDDED)]);
        finder.find(text, style, start_us);
        if slot == slot::EMBEDDED {
            // JSON inside of a value becomes a value of its own; but not inside of such JSON again
            finder.holes.retain(|hole| hole.kind != Kind::Embedded);
        }
        let mut any_new = false;
        for at in 0..finder.holes.len() {
            let hole = finder.holes[at];
            if hole.kind == Kind::Embedded {
                let number = self.value(slot::EMBEDDED, finder.json(&hole), Some(Style::Document), start_us);
                finder.holes[at].number = number.into();
            } else if hole.kind.is_id() {
                let (number, new) = self.ids.number(&hole, text);
                finder.holes[at].number = number.into();
                any_new |= new;
            }
        }
        (finder, any_new)
    }

    fn keep(&mut self, slot: usize, finder: Finder) {
        self.finders[usize::from(slot == slot::EMBEDDED)] = finder;
    }

    /// The number of a value that is made like the one before it in its slot, with an identifier that was not met before:
    /// then the value was not met either.
    fn made_alike(&mut self, slot: usize, text: &[u8]) -> Option<u32> {
        let recent = &self.recent[slot];
        let sample = recent.sample.filter(|_| MANY <= recent.all_new)?;
        if !self.apart(&sample).fits(text) {
            return None;
        }
        let first = self.holes.len();
        let mut any_new = false;
        for at in sample.holes.0..sample.holes.1 {
            let mut hole = self.holes[at as usize];
            let (number, new) = self.ids.number(&hole, text);
            hole.number = number.into();
            self.holes.push(hole);
            any_new |= new;
        }
        if !any_new {
            self.holes.truncate(first);
            return None;
        }
        let number = self.texts.add(slot, text);
        self.values.push(Value::default());
        self.templates.again(sample.template);
        self.note(slot, number, sample.template, first);
        Some(number)
    }

    /// Notes what a new value is made of.
    fn define(&mut self, slot: usize, text: &[u8], number: u32, found: &[Hole]) {
        if found.is_empty() {
            self.raw += text.len() + LITERAL_BYTES;
            return;
        }
        let value = Apart { text, holes: found };
        let sample = self.recent[slot].sample.filter(|sample| value.is_like(self.apart(sample)));
        let (template, bytes) = match sample {
            Some(sample) => (self.templates.again(sample.template), 0),
            None => self.templates.number(slot, text, found),
        };
        let first = self.holes.len();
        self.holes.extend_from_slice(found);
        self.raw += bytes;
        self.note(slot, number, template, first);
    }

    /// Notes the template of a value, whose holes are the last ones, from `first` on.
    fn note(&mut self, slot: usize, number: u32, template: u32, first: usize) {
        let holes = (first as u32, self.holes.len() as u32);
        self.values[number as usize] = Value { template: Some(template), holes: holes.0, ..Value::default() };
        self.recent[slot].sample = Some(Sample { template, holes, text: self.texts.place(number) });
        self.raw += self.holes[first..].iter().map(raw_len).sum::<usize>();
    }

    fn apart(&self, sample: &Sample) -> Apart<'_> {
        let (first, end) = sample.holes;
        Apart { text: self.texts.at(sample.text), holes: &self.holes[first as usize..end as usize] }
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

/// What a value takes that is text as a whole, beside its text.
const LITERAL_BYTES: usize = 2;
/// After so many new values in a row a slot is taken for one of identifiers, which need not be looked up.
const MANY: u32 = 64;
/// Longer values are text as a whole.
pub(super) const LONGEST_TEMPLATE: usize = 64 << 10;
/// About what an exchange takes beside its parts: times, connection.
const RECORD_BYTES: usize = 8;
