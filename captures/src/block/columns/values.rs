//! The values of a block that is read: told by their numbers, defined where they are met first.

use super::decode::Decoder;
use super::generate::Words;
use super::kinds::Kind;
use super::*;
use crate::limits::MAX_BLOCK_PLAIN;
use crate::wire::{Malformed, unzigzag};

/// The values and templates of a slot, as far as they were met.
#[derive(Default)]
pub(super) struct Known<'a> {
    values: Vec<Value>,
    templates: Vec<Template<'a>>,
}

/// A value: where its text stands, and, of a target, its context.
#[derive(Clone, Copy)]
struct Value {
    place: Place,
    context: u32,
}

/// Where the text of a value stands among all.
#[derive(Clone, Copy)]
pub(super) struct Place {
    start: u32,
    end: u32,
}

impl Place {
    pub(super) fn len(self) -> usize {
        (self.end - self.start) as usize
    }
}

#[derive(Clone, Copy)]
struct Template<'a> {
    /// Where its holes begin among all, and how many they are.
    first: usize,
    holes: usize,
    text: &'a [u8],
    context: u32,
}

/// A hole of a template.
#[derive(Clone, Copy)]
struct Hole {
    /// The number that it had last.
    number: u64,
    /// How much text stands between it and the one before.
    before: u32,
    kind: Kind,
}

/// What the values of a block are made of.
#[derive(Default)]
pub(super) struct Texts {
    values: Vec<u8>,
    /// The holes of all templates.
    holes: Vec<Hole>,
    /// How many contexts there are beside that of the beginning of a session, which is 0.
    contexts: u32,
    ids: Vec<u8>,
    /// Where each identifier of the block, and of the session, stands in `ids`.
    of_block: Vec<(u32, u32)>,
    of_session: Vec<(u32, u32)>,
    /// The number in the session of the next identifier to be made up, if nothing else is said.
    next: u64,
    scratch: Vec<u8>,
}

impl Texts {
    /// With room for texts of so many bytes, and identifiers of so many.
    pub(super) fn with_room(texts: usize, ids: usize) -> Texts {
        Texts { values: Vec::with_capacity(texts), ids: Vec::with_capacity(ids), ..Texts::default() }
    }

    pub(super) fn begin_session(&mut self) {
        self.of_session.clear();
        self.next = 0;
    }

    /// The text that stands there.
    pub(super) fn at(&self, place: Place) -> &[u8] {
        &self.values[place.start as usize..place.end as usize]
    }

    fn next_context(&mut self, slot: usize) -> u32 {
        if slot != slot::TARGET {
            return 0;
        }
        self.contexts += 1;
        self.contexts
    }
}

impl<'a> Decoder<'a> {
    /// Reads which value the slot has now, and returns its number.
    pub(super) fn value(&mut self, slot: usize, context: usize) -> Result<u32, Malformed> {
        let number = match self.columns.slots[slot].codes.varint()? {
            code::AS_BEFORE => {
                self.predictions.as_before(slot).ok_or(Malformed("a value as before, where none was"))?
            }
            code::AS_IN_CONTEXT => {
                let known = self.predictions.in_context(context, slot);
                known.ok_or(Malformed("a value as in its context, where none was"))?
            }
            code::NEW => self.define(slot, context)?,
            number => {
                let number = number - code::NUMBERED;
                if self.known[slot].values.len() as u64 <= number {
                    return Err(Malformed("a value that is not there"));
                }
                number as u32
            }
        };
        self.predictions.learn(context, slot, number);
        Ok(number)
    }

    /// Where the text of a value stands.
    pub(super) fn place(&self, slot: usize, number: u32) -> Place {
        self.known[slot].values[number as usize].place
    }

    /// The text of a value.
    pub(super) fn text(&self, slot: usize, number: u32) -> &[u8] {
        self.texts.at(self.place(slot, number))
    }

    /// The context that a target makes.
    pub(super) fn context_of(&self, target: u32) -> usize {
        self.known[slot::TARGET].values[target as usize].context as usize
    }

    /// Reads the definition of a new value, and returns its number.
    fn define(&mut self, slot: usize, context: usize) -> Result<u32, Malformed> {
        let columns = &mut self.columns.slots[slot];
        let mut how = columns.definitions.varint()?;
        if self.has_ends {
            if how == definition::ENDED {
                let text = columns.text.take_until(END)?;
                return self.add(slot, text, None);
            }
            how -= 1;
        }
        let (text, context) = match how {
            definition::LITERAL => {
                let length = columns.definitions.length()?;
                let text = columns.text.take(length)?;
                return self.add(slot, text, None);
            }
            definition::NEW_TEMPLATE => {
                let template = self.new_template(slot)?;
                self.known[slot].templates.push(template);
                (self.fill(slot, template, context)?, template.context)
            }
            number => {
                let number = usize::try_from(number - definition::TEMPLATE).unwrap_or(usize::MAX);
                let template = self.known[slot].templates.get(number);
                let template = *template.ok_or(Malformed("a template that is not there"))?;
                (self.fill(slot, template, context)?, template.context)
            }
        };
        let added = self.add(slot, &text, Some(context));
        self.texts.scratch = text;
        added
    }

    fn add(&mut self, slot: usize, text: &[u8], context: Option<u32>) -> Result<u32, Malformed> {
        let texts = &mut self.texts;
        let start = texts.values.len();
        if MAX_BLOCK_PLAIN < start + text.len() {
            return Err(TOO_MUCH);
        }
        texts.values.extend_from_slice(text);
        let context = context.unwrap_or_else(|| texts.next_context(slot));
        let place = Place { start: start as u32, end: texts.values.len() as u32 };
        let values = &mut self.known[slot].values;
        values.push(Value { place, context });
        Ok(values.len() as u32 - 1)
    }

    fn new_template(&mut self, slot: usize) -> Result<Template<'a>, Malformed> {
        let columns = &mut self.columns.slots[slot];
        let (first, holes) = (self.texts.holes.len(), columns.definitions.count()?);
        let mut length = 0usize;
        for _ in 0..holes {
            let before = columns.definitions.length()?;
            let kind = Kind::from_number(columns.definitions.byte()?);
            let kind = kind.ok_or(Malformed("a hole of an unknown kind"))?;
            length = length.saturating_add(before);
            let before = u32::try_from(before).map_err(|_| Malformed("a template is cut short"))?;
            self.texts.holes.push(Hole { number: 0, before, kind });
        }
        let text = columns.text.take(length.saturating_add(columns.definitions.length()?))?;
        Ok(Template { first, holes, text, context: self.texts.next_context(slot) })
    }

    /// Reads what stands in the holes of a template; returns the text of the value.
    fn fill(&mut self, slot: usize, template: Template<'a>, context: usize) -> Result<Vec<u8>, Malformed> {
        let mut out = std::mem::take(&mut self.texts.scratch);
        out.clear();
        let mut rest = template.text;
        for at in template.first..template.first + template.holes {
            let Hole { before, kind, .. } = self.texts.holes[at];
            let (text, behind) = rest.split_at(before as usize);
            out.extend_from_slice(text);
            rest = behind;
            match kind {
                Kind::Integer => {
                    let number = self.columns.slots[slot].holes.varint()?;
                    put_decimal(self.integer(number, at), &mut out);
                }
                Kind::Embedded if slot == slot::EMBEDDED => {
                    return Err(Malformed("something embedded in what is embedded"));
                }
                Kind::Embedded => {
                    let number = self.value(slot::EMBEDDED, context)?;
                    embedded::put(self.text(slot::EMBEDDED, number), &mut out);
                }
                kind if kind.is_id() => self.id(slot, kind, &mut out)?,
                kind => self.time(slot, kind, &mut out)?,
            }
            if self.budget.left() < out.len() {
                return Err(TOO_MUCH);
            }
        }
        out.extend_from_slice(rest);
        Ok(out)
    }

    /// A number, or a step from the one before in the same hole.
    fn integer(&mut self, coded: u64, hole: usize) -> u64 {
        let last = &mut self.texts.holes[hole].number;
        *last = match coded & 1 {
            0 => coded >> 1,
            _ => last.wrapping_add(unzigzag(coded >> 1)),
        };
        *last
    }

    fn time(&mut self, slot: usize, kind: Kind, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let unit_us = kind.unit_us().unwrap_or(1);
        let coded = unzigzag(self.columns.slots[slot].holes.varint()?);
        let number = (self.start_us / unit_us).wrapping_add(coded);
        if !kind.is_date() {
            put_decimal(number, out);
            return Ok(());
        }
        let us = number.checked_mul(unit_us).filter(|us| dates::put(kind, *us, out));
        us.map(|_| ()).ok_or(Malformed("a date beyond the calendar"))
    }

    /// Reads an identifier and appends its text.
    fn id(&mut self, slot: usize, kind: Kind, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let holes = &mut self.columns.slots[slot].holes;
        let start = self.texts.ids.len();
        let place = match holes.varint()? {
            how @ (id::FRESH | id::GENERATED) => {
                let number = match how {
                    id::GENERATED => Some(self.texts.next.wrapping_add(unzigzag(holes.varint()?))),
                    _ => None,
                };
                let length = match kind {
                    Kind::Uuid | Kind::UuidUpper => 0,
                    _ => holes.length()?,
                };
                if self.budget.left().min(MAX_BLOCK_PLAIN - start) < packed::text_length(kind, length) {
                    return Err(TOO_MUCH);
                }
                let ids = &mut self.texts.ids;
                match number {
                    Some(number) => {
                        let words = Words::new(self.seed, self.session, number);
                        generate::put(kind, length, words, ids);
                        self.texts.next = number.wrapping_add(1);
                    }
                    None => {
                        packed::take(kind, length, &mut self.columns.tokens, &mut self.columns.binary, ids)?;
                    }
                }
                let place = (start as u32, self.texts.ids.len() as u32);
                if number.is_none() {
                    self.texts.of_block.push(place);
                }
                self.texts.of_session.push(place);
                place
            }
            id::OF_BLOCK => {
                let number = holes.length()?;
                let place = *self.texts.of_block.get(number).ok_or(NO_ID)?;
                self.texts.of_session.push(place);
                place
            }
            number => {
                let number = usize::try_from(number - id::OF_SESSION).unwrap_or(usize::MAX);
                *self.texts.of_session.get(number).ok_or(NO_ID)?
            }
        };
        out.extend_from_slice(&self.texts.ids[place.0 as usize..place.1 as usize]);
        Ok(())
    }
}

fn put_decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

const TOO_MUCH: Malformed = Malformed("it unfolds beyond the limits");
const NO_ID: Malformed = Malformed("an identifier that is not there");
