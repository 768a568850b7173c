//! One changed byte in each stretch of a payload.

use super::draw::{Lane, below, draw};
use crate::action::{Corrupt, CorruptKind};

/// Where bytes change: by stretch and key only, so that pieces do not matter.
#[derive(Debug)]
pub(super) struct Corruptor {
    kind: CorruptKind,
    per: u64,
    length: Option<u64>,
    key: u64,
}

impl Corruptor {
    pub(super) fn new(corrupt: Corrupt, length: Option<u64>, key: u64) -> Self {
        Self { kind: corrupt.kind, per: corrupt.per.max(1), length, key }
    }

    /// Changes those of `bytes` that are due, the first of which is byte `from` of the payload. False: none was.
    pub(super) fn change(&self, from: u64, bytes: &mut [u8]) -> bool {
        let end = from + bytes.len() as u64;
        let mut changed = false;
        let mut stretch = from / self.per;
        while stretch.saturating_mul(self.per) < end {
            let place = self.place(stretch);
            let at = place.checked_sub(from).and_then(|at| usize::try_from(at).ok());
            if let Some(byte) = at.and_then(|at| bytes.get_mut(at)) {
                *byte = self.changed(*byte, stretch);
                changed = true;
            }
            stretch += 1;
        }
        changed
    }

    /// The byte of a stretch that changes. Of the last stretch only the begun part counts, where the length is known.
    fn place(&self, stretch: u64) -> u64 {
        let begin = stretch.saturating_mul(self.per);
        let left = self.length.map_or(self.per, |length| length.saturating_sub(begin));
        begin.saturating_add(below(draw(self.key, Lane::Corrupt, stretch, 0), left.clamp(1, self.per)))
    }

    fn changed(&self, byte: u8, stretch: u64) -> u8 {
        match self.kind {
            CorruptKind::Bitflip => byte ^ (1 << (draw(self.key, Lane::Corrupt, stretch, 1) >> 61)),
            CorruptKind::Zero => u8::from(byte == 0),
        }
    }
}
