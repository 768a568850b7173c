//! Templates of a block in the making: the text of values without what stands in their holes.

use super::holes::Hole;
use super::interner::Interner;
use crate::wire::put_varint;

/// The templates of all slots.
#[derive(Default)]
pub(super) struct Templates {
    /// By what defines them: the places and kinds of their holes, then their text.
    keys: Interner,
    all: Vec<Template>,
    scratch: Vec<u8>,
}

/// A template, as it was met so far.
pub(super) struct Template {
    /// How many values it has.
    pub(super) uses: u32,
    /// How many holes.
    pub(super) holes: u32,
    /// Where its text begins in its key.
    text: u32,
    /// Its number in its slot, once it is written.
    pub(super) number: Option<u32>,
    /// In the slot of targets: its context.
    pub(super) context: u32,
    /// Where the last numbers of its holes stand.
    pub(super) numbers: u32,
}

impl Templates {
    /// The template of a value with these holes (at least one); says too how many bytes it would take if it were new.
    pub(super) fn number(&mut self, slot: usize, value: &[u8], holes: &[Hole]) -> (u32, usize) {
        self.scratch.clear();
        put_varint(&mut self.scratch, holes.len() as u64);
        let mut at = 0;
        for hole in holes {
            put_varint(&mut self.scratch, u64::from(hole.start - at));
            self.scratch.push(hole.kind as u8);
            at = hole.end;
        }
        put_varint(&mut self.scratch, u64::from(value.len() as u32 - at));
        let text = self.scratch.len() as u32;
        let mut at = 0;
        for hole in holes {
            self.scratch.extend_from_slice(&value[at..hole.start as usize]);
            at = hole.end as usize;
        }
        self.scratch.extend_from_slice(&value[at..]);
        let (number, new) = self.keys.number(slot, &self.scratch);
        if new {
            self.all.push(Template {
                uses: 0,
                holes: holes.len() as u32,
                text,
                number: None,
                context: 0,
                numbers: 0,
            });
        }
        self.all[number as usize].uses += 1;
        (number, if new { self.scratch.len() } else { 0 })
    }

    /// One more value has a template that is known.
    pub(super) fn again(&mut self, number: u32) -> u32 {
        self.all[number as usize].uses += 1;
        number
    }

    pub(super) fn get(&mut self, number: u32) -> &mut Template {
        &mut self.all[number as usize]
    }

    /// What defines it: the places and kinds of its holes; its text.
    pub(super) fn parts(&self, number: u32) -> (&[u8], &[u8]) {
        self.keys.get(number).split_at(self.all[number as usize].text as usize)
    }

    /// Undoes what a layout has noted.
    pub(super) fn forget_numbers(&mut self) {
        self.all.iter_mut().for_each(|template| template.number = None);
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.all.clear();
    }
}
