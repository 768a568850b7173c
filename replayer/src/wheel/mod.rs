//! Who is due next, for up to ten million sessions on a thread.
//!
//! ```text
//!            up to `current`      the next 68.7 s          up to 73 minutes       later
//! insert -> near (heap, exact) | fine (65.5 us a slot) | coarse (67 ms a slot) | far (heap, exact)
//!                 ^---------------------'   ^-------------------'
//! ```
//!
//! The slots are heads of lists that run through the caller's records, so that an entry costs 4 bytes there and none
//! here. A slot is sorted, by way of the `near` heap, only when its time has come; a coarse slot is spread over fine
//! ones when nothing is due before it. Spreading is done 67 ms at a time, and so never stalls a thread.
//!
//! Invariant: `near` holds what is due in the slot `current` or before, `fine` what is due in the 1,024 coarse
//! slots from the one of `current` on, `coarse` what lies within 65,535 coarse slots after it, `far` anything. A run
//! with few sessions never builds the slots: everything is in `near`.

mod level;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::limits;
use crate::slab::NONE;
use level::Level;

/// The caller's records: when each is due, and the link that the wheel keeps in it while it is inserted.
pub(crate) trait Links {
    /// When the record is due, in nanoseconds; it must not change while the record is in the wheel.
    fn due(&self, id: u32) -> u64;
    /// What was last set, for a record that is in the wheel.
    fn next(&self, id: u32) -> u32;
    /// Keeps a link; `NONE` ends a list.
    fn set_next(&mut self, id: u32, next: u32);
}

/// A timer wheel over the records of a slab. Nothing is ever cancelled: what is in comes out once.
#[derive(Debug)]
pub(crate) struct Wheel {
    near: Heap,
    far: Heap,
    levels: Option<Levels>,
    len: usize,
}

/// Entries by due time, the earliest first.
type Heap = BinaryHeap<Reverse<(u64, u32)>>;

#[derive(Debug)]
struct Levels {
    fine: Level,
    coarse: Level,
    /// The fine slot up to which everything is in `near`.
    current: u64,
    /// The earliest due time in both levels, when it is known.
    earliest: Option<u64>,
    /// How many entries both levels hold.
    len: usize,
}

impl Wheel {
    /// An empty wheel; it holds no memory yet.
    pub(crate) fn new() -> Wheel {
        Wheel { near: Heap::new(), far: Heap::new(), levels: None, len: 0 }
    }

    /// How many records are in.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Takes a record in, which must not be in already. It may be due in the past.
    pub(crate) fn insert(&mut self, id: u32, links: &mut impl Links) {
        self.len += 1;
        let due = links.due(id);
        if self.levels.is_none() && self.len > limits::WHEEL_FROM {
            self.build(links);
        }
        self.put(due, id, links);
    }

    /// When the earliest record is due.
    pub(crate) fn peek(&mut self, links: &mut impl Links) -> Option<u64> {
        let first = match self.near.peek() {
            Some(Reverse((due, _))) => Some(*due),
            None => self.levels.as_mut().and_then(|levels| levels.earliest(links)),
        };
        let far = self.far.peek().map(|Reverse((due, _))| *due);
        first.into_iter().chain(far).min()
    }

    /// Takes the earliest record out: when it is due, and its number. Of equal ones, any.
    pub(crate) fn pop(&mut self, links: &mut impl Links) -> Option<(u64, u32)> {
        if self.near.is_empty() {
            let due = self.peek(links)?;
            self.advance(due, links);
        }
        let from_far = match (self.near.peek(), self.far.peek()) {
            (Some(Reverse(near)), Some(Reverse(far))) => far < near,
            (near, _) => near.is_none(),
        };
        let Reverse(first) = if from_far { self.far.pop()? } else { self.near.pop()? };
        self.len -= 1;
        Some(first)
    }

    /// Takes all records out, in no order, and hands each to `each`, which may free it.
    pub(crate) fn drain<L: Links>(&mut self, links: &mut L, mut each: impl FnMut(&mut L, u32)) {
        for Reverse((_, id)) in self.near.drain().chain(self.far.drain()) {
            each(links, id);
        }
        if let Some(levels) = &mut self.levels {
            let Levels { fine, coarse, current, .. } = levels;
            for (level, at) in [(fine, *current), (coarse, *current >> COARSE_BITS)] {
                while let Some(unit) = level.first_after(at) {
                    for_each(level.take(unit), links, &mut each);
                }
            }
        }
        self.clear();
    }

    /// Forgets all records.
    pub(crate) fn clear(&mut self) {
        self.near.clear();
        self.far.clear();
        if let Some(levels) = &mut self.levels {
            levels.clear();
        }
        self.len = 0;
    }

    /// Begins to use slots, from the earliest entry on.
    fn build(&mut self, links: &mut impl Links) {
        let entries = std::mem::take(&mut self.near).into_vec();
        let current = entries.iter().map(|Reverse((due, _))| slot(*due)).min().unwrap_or(0);
        self.levels = Some(Levels::new(current));
        for Reverse((due, id)) in entries {
            self.put(due, id, links);
        }
    }

    fn put(&mut self, due: u64, id: u32, links: &mut impl Links) {
        match &mut self.levels {
            Some(levels) if levels.current < slot(due) => {
                if !levels.put(due, id, links) {
                    self.far.push(Reverse((due, id)));
                }
            }
            _ => self.near.push(Reverse((due, id))),
        }
    }

    /// Goes on to the slot of `due`, the earliest there is, while `near` is empty.
    fn advance(&mut self, due: u64, links: &mut impl Links) {
        let Some(levels) = &mut self.levels else { return };
        if self.near.capacity() > limits::WHEEL_FROM {
            self.near.shrink_to(limits::WHEEL_FROM); // after a slot in which very many were due
        }
        if slot(due) <= levels.current {
            return;
        }
        levels.current = slot(due);
        levels.spread(slot(due) >> COARSE_BITS, &mut self.near, links);
        let near = &mut self.near;
        let count = &mut levels.len;
        for_each(levels.fine.take(slot(due)), links, |links, id| {
            *count -= 1;
            near.push(Reverse((links.due(id), id)));
        });
        levels.earliest = None;
    }
}

impl Levels {
    fn new(current: u64) -> Levels {
        Levels {
            fine: Level::new(1 << (COARSE_BITS + FINE_TURN_BITS)),
            coarse: Level::new(1 << COARSE_TURN_BITS),
            current,
            earliest: None,
            len: 0,
        }
    }

    fn clear(&mut self) {
        self.fine.clear();
        self.coarse.clear();
        self.earliest = None;
        self.len = 0;
    }

    /// Puts an entry due after `current` into its slot, unless it lies beyond both levels.
    fn put(&mut self, due: u64, id: u32, links: &mut impl Links) -> bool {
        let coarse = slot(due) >> COARSE_BITS;
        let ahead = coarse - (self.current >> COARSE_BITS);
        if ahead < 1 << FINE_TURN_BITS {
            self.fine.push(slot(due), id, links);
        } else if ahead < 1 << COARSE_TURN_BITS {
            self.coarse.push(coarse, id, links);
        } else {
            return false;
        }
        if self.len == 0 {
            self.earliest = Some(due);
        } else if let Some(earliest) = &mut self.earliest {
            *earliest = due.min(*earliest);
        }
        self.len += 1;
        true
    }

    /// The earliest due time in both levels.
    fn earliest(&mut self, links: &mut impl Links) -> Option<u64> {
        if self.len == 0 || self.earliest.is_some() {
            return self.earliest.filter(|_| self.len > 0);
        }
        let here = self.current >> COARSE_BITS;
        self.earliest = loop {
            let fine = self.fine.first_after(self.current);
            match self.coarse.first_after(here) {
                Some(coarse) if fine.is_none_or(|fine| coarse << COARSE_BITS <= fine) => {
                    if coarse - here >= 1 << FINE_TURN_BITS {
                        break self.coarse.least(coarse, links);
                    }
                    self.spread(coarse, &mut Heap::new(), links);
                }
                _ => break fine.and_then(|fine| self.fine.least(fine, links)),
            }
        };
        self.earliest
    }

    /// Moves the entries of a coarse slot to fine ones, and into `near` what is due by `current`.
    fn spread(&mut self, coarse: u64, near: &mut Heap, links: &mut impl Links) {
        let mut id = self.coarse.take(coarse);
        while id != NONE {
            let (due, next) = (links.due(id), links.next(id));
            if slot(due) <= self.current {
                self.len -= 1;
                near.push(Reverse((due, id)));
            } else {
                self.fine.push(slot(due), id, links);
            }
            id = next;
        }
    }
}

/// Walks a list; the link is read before the record is handed over.
fn for_each<L: Links>(first: u32, links: &mut L, mut each: impl FnMut(&mut L, u32)) {
    let mut id = first;
    while id != NONE {
        let next = links.next(id);
        each(links, id);
        id = next;
    }
}

/// The fine slot of a time.
fn slot(due: u64) -> u64 {
    due >> SLOT_BITS
}

/// A fine slot is 2^16 ns, 65.536 us: shorter than a wake-up is late, and at a million sessions that think for a
/// minute it holds one or two.
const SLOT_BITS: u32 = 16;
/// A coarse slot is 1,024 fine ones, 67 ms.
const COARSE_BITS: u32 = 10;
/// The fine ring is 1,024 coarse slots long: 2^20 heads, 4 MiB.
const FINE_TURN_BITS: u32 = 10;
/// The coarse ring has 65,536 slots, 256 KiB.
const COARSE_TURN_BITS: u32 = 16;
