//! Identifiers of a block in the making: which were met before, and which may be made up by the reader.

use std::collections::HashMap;

use super::interner::Interner;
use super::kinds::Kind;
use super::{id, packed};
use crate::block::generators::Generators;
use crate::wire::{put_varint, zigzag};

/// The identifiers of a block.
#[derive(Default)]
pub(super) struct Ids {
    texts: Interner,
    /// What is known of each of `texts`.
    entries: Vec<Entry>,
    session: Session,
    /// How many have a number in the block.
    of_block: u32,
    /// Identifiers that were made up for the session at hand, also in the block before; and how many there were.
    made_up: HashMap<Vec<u8>, u64>,
    made_up_for: Option<u64>,
}

/// The session at hand.
#[derive(Default)]
struct Session {
    /// Which one it is, counted from 1.
    place: u32,
    /// How many identifiers it has a number for.
    ids: u32,
    /// The number that the next one made up for it has if nothing else is said.
    next: u64,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    /// Its number in the block; none for what is made up.
    of_block: Option<u32>,
    /// The session in which it was met last, and its number there.
    session: u32,
    of_session: u32,
}

impl Ids {
    /// The number of an identifier that stands in a value.
    pub(super) fn number(&mut self, text: &[u8]) -> u32 {
        let (number, new) = self.texts.number(0, text);
        if new {
            self.entries.push(Entry::default());
        }
        number
    }

    /// Whether the reader is to make it up.
    pub(super) fn is_made_up(&self, number: u32, generators: &Generators) -> bool {
        generators.may_make_up(self.texts.get(number))
    }

    /// From here on another session.
    pub(super) fn begin_session(&mut self, session: u64) {
        self.session = Session { place: self.session.place + 1, ..Session::default() };
        if self.made_up_for != Some(session) {
            self.made_up.clear();
            self.made_up_for = Some(session);
        }
    }

    /// Appends to `holes` how to find an identifier again, and to `random` itself if it is new and to be kept.
    pub(super) fn put(
        &mut self,
        (kind, number): (Kind, u32),
        generators: Option<&Generators>,
        holes: &mut Vec<u8>,
        random: &mut packed::Random,
    ) {
        let text = self.texts.get(number);
        let entry = &mut self.entries[number as usize];
        if entry.session == self.session.place {
            return put_varint(holes, id::OF_SESSION + u64::from(entry.of_session));
        }
        if let Some(of_block) = entry.of_block {
            put_varint(holes, id::OF_BLOCK);
            put_varint(holes, of_block.into());
        } else if generators.is_some_and(|generators| generators.may_make_up(text)) {
            let next = self.made_up.len() as u64;
            let made_up = *self.made_up.entry(text.to_owned()).or_insert(next);
            put_varint(holes, id::GENERATED);
            put_varint(holes, zigzag(made_up.wrapping_sub(self.session.next)));
            self.session.next = made_up + 1;
            put_length(kind, text, holes);
        } else {
            put_varint(holes, id::FRESH);
            put_length(kind, text, holes);
            random.put(kind, text);
            entry.of_block = Some(self.of_block);
            self.of_block += 1;
        }
        (entry.session, entry.of_session) = (self.session.place, self.session.ids);
        self.session.ids += 1;
    }

    /// Undoes what a layout has noted.
    pub(super) fn forget_numbers(&mut self) {
        self.entries.fill(Entry::default());
        self.session = Session::default();
        self.of_block = 0;
    }

    /// Forgets the block. What was made up for its last session is kept: that may go on in the next one.
    pub(super) fn clear(&mut self) {
        self.texts.clear();
        self.entries.clear();
        self.session = Session::default();
        self.of_block = 0;
    }
}

fn put_length(kind: Kind, text: &[u8], holes: &mut Vec<u8>) {
    if let Some(length) = packed::length_of(kind, text) {
        put_varint(holes, length as u64);
    }
}
