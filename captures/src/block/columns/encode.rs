//! Lays out a block: walks its exchanges session by session, and writes the columns.

use std::ops::Range;

use super::build::{Builder, Place, Record, Value};
use super::kinds::Kind;
use super::layout::Columns;
use super::predict::Predictions;
use super::run::Run;
use super::templates::Template;
use super::*;
use crate::block::Encoded;
use crate::block::generators::Generators;
use crate::block::mixing;
use crate::limits::{ENCODING_MIXED, ENCODING_WORDS, MAX_BLOCK_RAW, MAX_MIXED};
use crate::wire::{put_varint, zigzag};

/// A block on its way from exchanges to bytes.
pub(super) struct LayOut<'a> {
    of: &'a mut Builder,
    columns: Columns,
    predictions: Predictions,
    counts: Vec<Counts>,
    /// By slot: one more than the value that was written last, as it is numbered among all; 0 for none.
    latest: Vec<u32>,
    /// The last number in each hole of each template, of those that are used.
    numbers: Vec<Option<u64>>,
    /// Contexts that are known: 0 is that of the beginning of a session.
    contexts: u32,
    manner: Manner,
    run: Run,
}

/// How a block is laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// To be compressed by zstd.
    Words,
    /// The same without templates: all values are text.
    Texts,
    /// To be coded by context mixing, which needs no words in common, and tells ends from lengths with less.
    Mixed,
}

/// How many there are in a slot so far.
#[derive(Clone, Copy, Default)]
struct Counts {
    values: u32,
    templates: u32,
}

/// What is the same for all times of a block.
struct Times {
    base_us: u64,
    unit_us: u64,
}

impl LayOut<'_> {
    /// The block of what was pushed; coded by context mixing if it has few enough bytes for that, and may be.
    pub(super) fn of(of: &mut Builder, may_be_mixed: bool) -> Encoded {
        let groups = groups(of);
        let base_us = groups.first().map_or(0, |group| of.places[group.start].start_us);
        let times = Times { base_us, unit_us: unit(&of.places, base_us) };
        let mixed = if may_be_mixed { LayOut::mixed(of, &groups, &times) } else { None };
        let (raw, cuts, encoding) = mixed.unwrap_or_else(|| {
            let (mut raw, mut cuts) = LayOut::raw(of, &groups, &times, Manner::Words);
            if MAX_BLOCK_RAW < raw.len() {
                // many tiny holes can take more than the text that they are cut out of
                of.forget_numbers();
                (raw, cuts) = LayOut::raw(of, &groups, &times, Manner::Texts);
            }
            (raw, cuts, ENCODING_WORDS)
        });
        let session = |group: &Range<usize>| {
            let first = &of.places[group.start];
            (first.session, first.start_us, group.len() as u32)
        };
        Encoded {
            raw,
            cuts,
            records: of.records.len() as u32,
            encoding,
            first_us: base_us,
            last_us: of.places.iter().map(|place| place.start_us).max().unwrap_or(0),
            sessions: groups.iter().map(session).collect(),
        }
    }

    /// The block in encoding 5, unless it is too large or shrinks to too little.
    fn mixed(of: &mut Builder, groups: &[Range<usize>], times: &Times) -> Option<(Vec<u8>, Vec<usize>, u16)> {
        let (raw, _) = LayOut::raw(of, groups, times, Manner::Mixed);
        let coded = if raw.len() <= MAX_MIXED { mixing::code(&raw) } else { None };
        of.spare = raw;
        if coded.is_none() {
            of.forget_numbers();
        }
        Some((coded?, Vec::new(), ENCODING_MIXED))
    }

    fn raw(
        of: &mut Builder,
        groups: &[Range<usize>],
        times: &Times,
        manner: Manner,
    ) -> (Vec<u8>, Vec<usize>) {
        let slots = of.shapes.slots();
        let mut columns = std::mem::take(&mut of.columns);
        columns.reset(slots, of.records.len() < FEW);
        let mut lay_out = LayOut {
            columns,
            predictions: Predictions::new(slots),
            counts: vec![Counts::default(); slots],
            latest: vec![0; slots],
            numbers: Vec::new(),
            contexts: 1,
            manner,
            run: Run::new(slots),
            of,
        };
        lay_out.sessions(groups, times);
        lay_out.run.end(&mut lay_out.columns.slots);
        let LayOut { of, columns, .. } = lay_out;
        let mut raw = std::mem::take(&mut of.spare);
        raw.clear();
        raw.reserve(columns.len() + HEAD_ROOM);
        put_varint(&mut raw, times.base_us);
        put_varint(&mut raw, times.unit_us);
        put_varint(&mut raw, of.generators.as_ref().map_or(0, |generators| generators.seed));
        put_varint(&mut raw, groups.len() as u64);
        let names = of.shapes.put_names(&mut raw);
        let cuts = columns.put(&names, manner != Manner::Mixed, &mut raw);
        of.columns = columns;
        (raw, cuts)
    }

    fn sessions(&mut self, groups: &[Range<usize>], times: &Times) {
        let (records, places) = (std::mem::take(&mut self.of.records), std::mem::take(&mut self.of.places));
        let (mut id, mut start_us, mut connection) = (0, times.base_us, 0);
        let mut coming = groups.iter().flat_map(|group| &places[group.clone()]).skip(AHEAD);
        for group in groups {
            let group = &places[group.clone()];
            let Place { session, start_us: first_us, .. } = group[0];
            self.of.ids.begin_session(session);
            let sessions = &mut self.columns.numbers.sessions;
            put_varint(sessions, zigzag(session.wrapping_sub(id)));
            put_varint(sessions, group.len() as u64);
            put_varint(sessions, (first_us - start_us) / times.unit_us);
            (id, start_us) = (session, first_us);
            let mut last_us = start_us;
            let mut context = 0;
            for (nth, place) in group.iter().enumerate() {
                if let Some(place) = coming.next() {
                    self.call_up(place, &records);
                }
                if nth != 0 {
                    put_varint(&mut self.columns.numbers.gaps, (place.start_us - last_us) / times.unit_us);
                    last_us = place.start_us;
                }
                let record = &records[place.record as usize];
                context = self.parts(place, record, context);
                connection = self.record_numbers(record, connection);
            }
        }
        (self.of.records, self.of.places) = (records, places);
    }

    /// Calls some of what an exchange is made of that will be written soon: it stands far apart in memory, and comes while
    /// others are written.
    fn call_up(&self, place: &Place, records: &[Record]) {
        let Builder { parts, values, holes, texts, ids, .. } = &*self.of;
        ahead::some(records, place.record as usize, 1);
        ahead::some(parts, place.parts as usize, 24);
        ahead::some(values, place.values as usize, 4);
        ahead::some(holes, place.holes as usize, 6);
        ids.call_up(place.ids, place.id_bytes);
        texts.call_up_from((place.values, 1), (place.texts_end.saturating_sub(1), 1));
    }

    /// Writes the parts of an exchange; `before` is the context that the exchange before it left.
    fn parts(&mut self, place: &Place, record: &Record, before: u32) -> u32 {
        let parts = place.parts as usize..record.parts_end as usize;
        let (_, target) = self.of.parts[parts.start];
        self.value(slot::TARGET, target, before, place.start_us);
        let context = self.of.values[target as usize].context;
        let parts = parts.start + 1..parts.end;
        match self.run.differing(&self.of.parts[parts.clone()]) {
            Some(differing) => {
                self.differing_parts(parts.start, differing, (before, context), place.start_us);
            }
            None => self.all_parts(parts, context, place.start_us),
        }
        context
    }

    fn all_parts(&mut self, parts: Range<usize>, context: u32, start_us: u64) {
        if self.columns.slots.are_apart() {
            self.run.begin(&self.of.parts[parts.clone()], &mut self.columns.slots);
        }
        for at in parts {
            let (slot, value) = self.of.parts[at];
            self.value(slot as usize, value, context, start_us);
        }
    }

    /// Writes the parts, of those from `first` on, that differ from those of the exchange before; all are known in its context
    /// from here on.
    fn differing_parts(
        &mut self,
        first: usize,
        mut differing: u64,
        (before, context): (u32, u32),
        start_us: u64,
    ) {
        self.run.next();
        while differing != 0 {
            let at = differing.trailing_zeros() as usize;
            differing &= differing - 1;
            let (slot, value) = self.of.parts[first + at];
            self.run.changes(at, value, &mut self.columns.slots[slot as usize].codes);
            self.value(slot as usize, value, context, start_us);
        }
        if before != context {
            self.predictions.learn_again(context as usize, self.run.slots());
        }
    }

    /// Writes what an exchange has in numbers, and returns its connection, or that of the one before.
    fn record_numbers(&mut self, record: &Record, before: u64) -> u64 {
        let numbers = &mut self.columns.numbers;
        if let Some(connection) = record.connection {
            put_varint(&mut numbers.connections, zigzag(connection.wrapping_sub(before)));
        }
        if let Some(ttfb_us) = record.ttfb_us {
            put_varint(&mut numbers.ttfb, ttfb_us);
        }
        if let Some(duration_us) = record.duration_us {
            let ttfb_us = record.ttfb_us.unwrap_or(0);
            put_varint(&mut numbers.durations, zigzag(duration_us.wrapping_sub(ttfb_us)));
        }
        if let Some(stream) = record.stream {
            self.of.streams.put(stream, numbers);
        }
        record.connection.unwrap_or(before)
    }

    /// Names a value, and defines it if it was not met before.
    fn value(&mut self, slot: usize, value: u32, context: u32, start_us: u64) {
        // nothing else of a value needs to be looked at that stays as it was
        if std::mem::replace(&mut self.latest[slot], value + 1) == value + 1
            && let Some(number) = self.predictions.as_before(slot)
        {
            self.columns.slots[slot].codes.push(code::AS_BEFORE as u8);
            return self.predictions.learn(context as usize, slot, number);
        }
        let known = self.of.values[value as usize].number;
        let code = match known {
            None => code::NEW,
            known if self.predictions.as_before(slot) == known => code::AS_BEFORE,
            known if self.predictions.in_context(context as usize, slot) == known => code::AS_IN_CONTEXT,
            Some(number) => code::NUMBERED + u64::from(number),
        };
        put_varint(&mut self.columns.slots[slot].codes, code);
        let number = known.unwrap_or_else(|| self.define(slot, value, context, start_us));
        self.predictions.learn(context as usize, slot, number);
    }

    fn define(&mut self, slot: usize, value: u32, context: u32, start_us: u64) -> u32 {
        let template = self.worthwhile_template(value);
        let own_context = match template {
            Some(template) => self.template(slot, template),
            None => {
                self.literal(slot, value);
                self.next_context(slot)
            }
        };
        if let Some(template) = template {
            self.fill(slot, (value, template), context, start_us);
        }
        let counts = &mut self.counts[slot];
        let number = counts.values;
        counts.values += 1;
        let value = &mut self.of.values[value as usize];
        value.number = Some(number);
        value.context = own_context;
        number
    }

    fn literal(&mut self, slot: usize, value: u32) {
        let (text, shift) = (self.of.texts.get(value), self.shift());
        let columns = &mut self.columns.slots[slot];
        if self.manner == Manner::Mixed && !text.contains(&END) {
            put_varint(&mut columns.definitions, definition::ENDED);
            columns.text.extend_from_slice(text);
            columns.text.push(END);
            return;
        }
        put_varint(&mut columns.definitions, definition::LITERAL + shift);
        put_varint(&mut columns.definitions, text.len() as u64);
        columns.text.extend_from_slice(text);
    }

    /// What is added to all definitions, so that there is room for one more.
    fn shift(&self) -> u64 {
        u64::from(self.manner == Manner::Mixed)
    }

    /// The template of a value, unless the value is better written as text: nothing else has the template, and
    /// nothing in it is made up.
    fn worthwhile_template(&mut self, value: u32) -> Option<u32> {
        let Value { template, holes: first, .. } = self.of.values[value as usize];
        let template = template.filter(|_| self.manner != Manner::Texts)?;
        let Template { uses, holes, .. } = *self.of.templates.get(template);
        let holes = &self.of.holes[first as usize..][..holes as usize];
        let is_made_up = |generators: &Generators| {
            holes.iter().any(|hole| match hole.kind {
                Kind::Embedded => true,
                kind => kind.is_id() && self.of.ids.is_made_up(hole, generators),
            })
        };
        (1 < uses || self.of.generators.as_ref().is_some_and(is_made_up)).then_some(template)
    }

    /// Names a template, which is defined if it was not met before; returns its context.
    fn template(&mut self, slot: usize, number: u32) -> u32 {
        let shift = self.shift();
        let columns = &mut self.columns.slots[slot];
        if let Some(known) = self.of.templates.get(number).number {
            put_varint(&mut columns.definitions, definition::TEMPLATE + shift + u64::from(known));
            return self.of.templates.get(number).context;
        }
        let (holes, text) = self.of.templates.parts(number);
        put_varint(&mut columns.definitions, definition::NEW_TEMPLATE + shift);
        columns.definitions.extend_from_slice(holes);
        columns.text.extend_from_slice(text);
        let context = self.next_context(slot);
        let template = self.of.templates.get(number);
        template.number = Some(self.counts[slot].templates);
        template.context = context;
        template.numbers = self.numbers.len() as u32;
        self.counts[slot].templates += 1;
        self.numbers.resize(self.numbers.len() + template.holes as usize, None);
        context
    }

    /// Writes what stands in the holes of a value.
    fn fill(&mut self, slot: usize, (value, template): (u32, u32), context: u32, start_us: u64) {
        let Value { holes: first, .. } = self.of.values[value as usize];
        let template = self.of.templates.get(template);
        let (n, numbers) = (template.holes as usize, template.numbers as usize);
        for at in 0..n {
            let hole = self.of.holes[first as usize + at];
            let holes = &mut self.columns.slots[slot].holes;
            if hole.kind == Kind::Embedded {
                self.value(slot::EMBEDDED, hole.number as u32, context, start_us);
            } else if let Some(unit_us) = hole.kind.unit_us() {
                put_varint(holes, zigzag(hole.number.wrapping_sub(start_us / unit_us)));
            } else if hole.kind == Kind::Integer {
                put_varint(holes, integer(hole.number, &mut self.numbers[numbers + at]));
            } else {
                let generators = self.of.generators.as_ref();
                self.of.ids.put(&hole, generators, holes, &mut self.columns.random);
            }
        }
    }

    /// Each target that is no template, and each template of targets, is a context.
    fn next_context(&mut self, slot: usize) -> u32 {
        if slot != slot::TARGET {
            return 0;
        }
        self.contexts += 1;
        self.contexts - 1
    }
}

/// A number, or how much more it is than the one before in the same place, whichever is small.
fn integer(number: u64, last: &mut Option<u64>) -> u64 {
    let before = last.replace(number);
    let step = before.map_or(u64::MAX, |before| zigzag(number.wrapping_sub(before)));
    match number < MOST_SMALL || MOST_SMALL < step {
        true => number << 1,
        false => step << 1 | 1,
    }
}

/// Sorts exchanges by session and start, sessions by start and id; returns where each session stands in this order.
fn groups(of: &mut Builder) -> Vec<Range<usize>> {
    of.places.sort_unstable();
    let mut start = 0;
    let mut groups: Vec<Range<usize>> = Vec::new();
    for session in of.places.chunk_by(|a, b| a.session == b.session) {
        groups.push(start..start + session.len());
        start += session.len();
    }
    groups.sort_unstable_by_key(|group| {
        let first = &of.places[group.start];
        (first.start_us, first.session)
    });
    groups
}

/// The largest of these units that all times are whole numbers of.
fn unit(places: &[Place], base_us: u64) -> u64 {
    let divides = |unit: &u64| places.iter().all(|place| (place.start_us - base_us).is_multiple_of(*unit));
    [1_000_000, 1_000].into_iter().find(divides).unwrap_or(1)
}

/// How many exchanges ahead memory is called.
const AHEAD: usize = 4;
/// Of fewer exchanges slots share their columns.
const FEW: usize = 48;
/// Below, a number takes one byte itself.
const MOST_SMALL: u64 = 64;
/// About what stands before the columns.
const HEAD_ROOM: usize = 4096;
