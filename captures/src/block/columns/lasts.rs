//! Which values the sessions of a block had last: a session mostly has them again, though others come between.

use std::collections::HashMap;

/// The last values of the sessions met so far, of the first slots.
#[derive(Default)]
pub(super) struct Lasts {
    /// Where each session's row begins in `values`.
    rows: HashMap<u64, usize>,
    /// One more than a value; 0 for none.
    values: Vec<u32>,
    /// The row of the session at hand.
    row: usize,
}

impl Lasts {
    /// From here on this session.
    pub(super) fn begin(&mut self, session: u64) {
        let end = self.values.len();
        self.row = *self.rows.entry(session).or_insert(end);
        if self.row == end {
            self.values.resize(end + SLOTS, 0);
        }
    }

    /// The value that the session at hand had last.
    pub(super) fn get(&self, slot: usize) -> Option<u32> {
        if SLOTS <= slot {
            return None;
        }
        self.values[self.row + slot].checked_sub(1)
    }

    /// One more than each value that the session at hand had last; 0 for none.
    pub(super) fn all(&self) -> &[u32] {
        &self.values[self.row..self.row + SLOTS]
    }

    pub(super) fn put(&mut self, slot: usize, value: u32) {
        if slot < SLOTS {
            self.values[self.row + slot] = value + 1;
        }
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.values.clear();
    }
}

/// Slots that are looked after: three lines of a processor's cache for each session.
const SLOTS: usize = 48;
