//! Identifiers of a block in the making: which were met before, and which may be made up by the reader.

use std::collections::HashMap;

use super::holes::Hole;
use super::interner::Interner;
use super::layout::Random;
use super::{ahead, id, packed};
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
    made_up: HashMap<(usize, Vec<u8>), u64>,
    made_up_for: Option<u64>,
    packed: Vec<u8>,
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
    /// With room for so many identifiers, of so many bytes.
    pub(super) fn with_room(ids: usize, bytes: usize) -> Ids {
        Ids { texts: Interner::with_room(ids, bytes), entries: Vec::with_capacity(ids), ..Ids::default() }
    }

    /// The number of the identifier in a hole of `text`, and whether it is new.
    pub(super) fn number(&mut self, hole: &Hole, text: &[u8]) -> (u32, bool) {
        self.packed.clear();
        packed::pack(hole.kind, &text[hole.start as usize..hole.end as usize], &mut self.packed);
        let (number, new) = self.texts.number(family(hole), &self.packed);
        if new {
            self.entries.push(Entry::default());
        }
        (number, new)
    }

    /// Whether the reader is to make it up.
    pub(super) fn is_made_up(&self, hole: &Hole, generators: &Generators) -> bool {
        generators.may_make_up(family(hole), self.texts.get(hole.number as u32))
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
        hole: &Hole,
        generators: Option<&Generators>,
        holes: &mut Vec<u8>,
        random: &mut Random,
    ) {
        let packed = self.texts.get(hole.number as u32);
        let entry = &mut self.entries[hole.number as usize];
        if entry.session == self.session.place {
            return put_varint(holes, id::OF_SESSION + u64::from(entry.of_session));
        }
        if let Some(of_block) = entry.of_block {
            put_varint(holes, id::OF_BLOCK);
            put_varint(holes, of_block.into());
        } else if generators.is_some_and(|generators| generators.may_make_up(family(hole), packed)) {
            let next = self.made_up.len() as u64;
            let made_up = *self.made_up.entry((family(hole), packed.to_owned())).or_insert(next);
            put_varint(holes, id::GENERATED);
            put_varint(holes, zigzag(made_up.wrapping_sub(self.session.next)));
            self.session.next = made_up + 1;
            put_length(hole, holes);
        } else {
            put_varint(holes, id::FRESH);
            put_length(hole, holes);
            let column = if packed::is_binary(hole.kind) { &mut random.binary } else { &mut random.tokens };
            column.extend_from_slice(packed);
            entry.of_block = Some(self.of_block);
            self.of_block += 1;
        }
        (entry.session, entry.of_session) = (self.session.place, self.session.ids);
        self.session.ids += 1;
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of all of them.
    pub(super) fn byte_len(&self) -> u32 {
        self.texts.byte_len()
    }

    /// Calls some identifiers from the one with this number on, whose bytes begin there.
    pub(super) fn call_up(&self, number: u32, bytes: u32) {
        ahead::some(&self.entries, number as usize, IDS_AHEAD);
        self.texts.call_up_from((number, IDS_AHEAD), (bytes, IDS_AHEAD * 16));
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

fn put_length(hole: &Hole, holes: &mut Vec<u8>) {
    if let Some(length) = packed::length_of(hole.kind, (hole.end - hole.start) as usize) {
        put_varint(holes, length as u64);
    }
}

/// How many identifiers of an exchange are called: most have no more.
const IDS_AHEAD: usize = 5;

/// What an identifier has beside its bytes: its kind and the length of its text.
pub(super) fn family(hole: &Hole) -> usize {
    (hole.end - hole.start) as usize * 16 + hole.kind as usize
}
