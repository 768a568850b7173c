//! Weighs what is foretold: on the logistic scale, by weights that are learnt.

use super::odds::{LARGEST, squashed};

/// What goes into the mixer for each bit.
pub(super) const INPUTS: usize = 32;

/// Weights in sets, of which some condition of the moment selects one.
#[derive(Clone)]
pub(super) struct Mixer {
    /// In 65,536ths.
    sets: Vec<[i32; INPUTS]>,
    selected: usize,
    /// What it said, on the logistic scale.
    pub(super) said: i32,
}

impl Mixer {
    pub(super) fn new(sets: usize) -> Mixer {
        Mixer { sets: vec![[FIRST_WEIGHT; INPUTS]; sets], selected: 0, said: 0 }
    }

    /// Weighs with set `set`.
    pub(super) fn mix(&mut self, inputs: &[i32; INPUTS], set: usize) -> i32 {
        self.selected = set;
        let weights = &self.sets[set];
        let sum: i64 =
            inputs.iter().zip(weights).map(|(input, weight)| i64::from(*input) * i64::from(*weight)).sum();
        self.said = (sum >> 16).clamp(-i64::from(LARGEST), LARGEST.into()) as i32;
        self.said
    }

    /// Moves the weights towards those that would have foretold `bit`.
    pub(super) fn learn(&mut self, inputs: &[i32; INPUTS], bit: u8) {
        let missed = (i32::from(bit) * 4096 - squashed(self.said)) * RATE;
        for (weight, input) in self.sets[self.selected].iter_mut().zip(inputs) {
            *weight += (missed * input + 0x8000) >> 16;
        }
    }
}

const FIRST_WEIGHT: i32 = 9830;
const RATE: i32 = 41;
