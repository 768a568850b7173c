//! Corrects what a mixer says by what came of it before, in some context.

use super::odds::{LARGEST, Odds, squashed};

/// A curve for each context, from what was said to what came of it.
#[derive(Clone)]
pub(super) struct Refinement {
    curves: Vec<[Odds; KNOTS]>,
    /// The curve and the knot that were nearest.
    nearest: (usize, usize),
}

impl Refinement {
    pub(super) fn new(contexts: usize) -> Refinement {
        let as_said = |knot: usize| Odds((squashed((knot as i32 - 16) * 128) * 16) as u16);
        Refinement { curves: vec![std::array::from_fn(as_said); contexts], nearest: (0, 0) }
    }

    /// The probability, in 65,536ths, after a mixer said `said`.
    pub(super) fn of(&mut self, said: i32, context: usize) -> u32 {
        let at = (said + LARGEST + 1) as usize;
        let (knot, part) = (at >> 7, at as u32 & 127);
        self.nearest = (context, knot + usize::from(64 <= part));
        let [below, above] = [knot, knot + 1].map(|knot| u32::from(self.curves[context][knot].0));
        (below * (128 - part) + above * part) >> 7
    }

    pub(super) fn learn(&mut self, bit: u8) {
        let (context, knot) = self.nearest;
        self.curves[context][knot].learn(bit, 6);
    }
}

const KNOTS: usize = 33;
