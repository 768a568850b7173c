//! Foretells the next bit.

use super::contexts::{CONTEXTS, Contexts, ORDERS, mix};
use super::mixer::{INPUTS, Mixer};
use super::odds::{Odds, squashed, sure_at_most};
use super::refine::Refinement;

/// What was learnt of all bits so far.
#[derive(Clone)]
pub(super) struct Model {
    contexts: Contexts,
    hashes: [u32; CONTEXTS],
    /// The bits of the byte at hand, behind a 1.
    bits: u32,
    /// How many they are.
    n_bits: u32,
    slots: Vec<Slot>,
    /// Where the slot of each context is for the bit at hand.
    slots_at: [usize; CONTEXTS],
    /// What came of each history.
    histories: [[Odds; HISTORIES]; CONTEXTS],
    runs: Vec<Run>,
    runs_at: [usize; CONTEXTS],
    /// What came of runs, by their lengths and whether they held for a bit of the byte already.
    of_runs: [[Odds; RUNS]; CONTEXTS],
    /// What came of the byte that was likely, by how many are equal before it.
    of_equal: [Odds; EQUAL],
    /// Which bit each run, and the likely byte, have next, and what that was worth until now.
    likely: [Option<(u8, usize)>; CONTEXTS + 1],
    inputs: [i32; INPUTS],
    mixers: [Mixer; 3],
    refinements: [Refinement; 2],
}

/// What is known of a bit in a context.
#[derive(Clone, Copy, Default)]
struct Slot {
    check: u16,
    odds: u16,
    /// How often it came; 0 for a free slot.
    n: u8,
    /// How often it was 0 and 1 of late, three bits each, and the last one.
    history: u8,
}

/// The byte that followed a context, and how often it did without another between.
#[derive(Clone, Copy, Default)]
struct Run {
    check: u16,
    byte: u8,
    n: u8,
}

impl Model {
    pub(super) fn new() -> Model {
        let contexts = Contexts::new();
        let hashes = contexts.hashes();
        let mut model = Model {
            contexts,
            hashes,
            bits: 1,
            n_bits: 0,
            slots: vec![Slot::default(); SLOTS],
            slots_at: [0; CONTEXTS],
            histories: [std::array::from_fn(|history| of_history(history as u8)); CONTEXTS],
            runs: vec![Run::default(); RUN_SLOTS],
            runs_at: [0; CONTEXTS],
            of_runs: [std::array::from_fn(|run| Odds(39_000 + 700 * run as u16)); CONTEXTS],
            of_equal: [Odds(49_152); EQUAL],
            likely: [None; CONTEXTS + 1],
            inputs: [0; INPUTS],
            mixers: [256, 256, 256].map(Mixer::new),
            refinements: [256, 4096].map(Refinement::new),
        };
        model.find_runs();
        model
    }

    /// The probability that the next bit is 1, in 65,536ths.
    pub(super) fn foretell(&mut self) -> u32 {
        let known = self.look_up();
        self.look_at_runs();
        self.inputs[INPUTS - 1] = ALWAYS;
        let bits = self.bits as usize;
        let likely = match self.likely[CONTEXTS] {
            None => 0,
            Some((_, equal)) => 1 + usize::from(16 <= equal),
        };
        let longest = known * 32 + usize::from(self.slots[self.slots_at[known]].n.min(7)) * 4 + likely;
        let last = self.contexts.last_two();
        let sets = [bits, longest, (last & 0xff) as usize];
        let mut said = 0;
        for (mixer, set) in self.mixers.iter_mut().zip(sets) {
            said += mixer.mix(&self.inputs, set);
        }
        let said = said.div_euclid(3);
        let hash = mix(mix(1, last), self.bits) >> 20;
        let [one, other] = &mut self.refinements;
        let refined = one.of(said, bits) + other.of(said, hash as usize);
        sure_at_most(((squashed(said) as u32 * 32 + refined) >> 2) as i32).into()
    }

    /// The bit that came. Each time behind [`Model::foretell`].
    pub(super) fn learn(&mut self, bit: u8) {
        self.mixers.iter_mut().for_each(|mixer| mixer.learn(&self.inputs, bit));
        self.refinements.iter_mut().for_each(|refinement| refinement.learn(bit));
        for number in 0..CONTEXTS {
            let slot = &mut self.slots[self.slots_at[number]];
            if slot.n != 0 {
                self.histories[number][usize::from(slot.history)].learn(bit, 6);
            }
            slot.learn(bit);
            if let Some((expected, worth)) = self.likely[number] {
                self.of_runs[number][worth].learn(u8::from(expected == bit), 6);
            }
        }
        if let Some((expected, worth)) = self.likely[CONTEXTS] {
            self.of_equal[worth].learn(u8::from(expected == bit), 6);
            if expected != bit {
                self.contexts.stray();
            }
        }
        self.bits = self.bits << 1 | u32::from(bit);
        self.n_bits += 1;
        if self.n_bits == 8 {
            self.end_byte(self.bits as u8);
        }
    }

    fn end_byte(&mut self, byte: u8) {
        for at in self.runs_at {
            let run = &mut self.runs[at];
            match run.n != 0 && run.byte == byte {
                true => run.n = run.n.saturating_add(1),
                false => (run.byte, run.n) = (byte, 1),
            }
        }
        (self.bits, self.n_bits) = (1, 0);
        self.hashes = self.contexts.push(byte);
        self.find_runs();
    }

    /// Finds the run of each context.
    fn find_runs(&mut self) {
        for (number, hash) in self.hashes.into_iter().enumerate() {
            let hash = mix(hash, 0);
            let at = number << RUN_BITS | (hash >> (32 - RUN_BITS)) as usize;
            let run = &mut self.runs[at];
            if run.check != hash as u16 {
                *run = Run { check: hash as u16, ..Run::default() };
            }
            self.runs_at[number] = at;
        }
    }

    /// What each context knows of the bit; returns the longest order that knows anything.
    fn look_up(&mut self) -> usize {
        let mut longest = 0;
        for number in 0..CONTEXTS {
            let hash = mix(self.hashes[number], self.bits);
            let at = (hash >> (32 - SLOT_BITS)) as usize;
            let slot = &mut self.slots[at];
            if slot.n == 0 || slot.check != hash as u16 {
                *slot = Slot { check: hash as u16, odds: 1 << 15, n: 0, history: 0 };
            }
            self.slots_at[number] = at;
            let known = slot.n != 0;
            if known && number < ORDERS {
                longest = number;
            }
            let odds = [Odds(slot.odds), self.histories[number][usize::from(slot.history)]];
            let stretched = odds.map(|odds| if known { odds.stretched() } else { 0 });
            self.inputs[2 * number..][..2].copy_from_slice(&stretched);
        }
        longest
    }

    /// What the runs say, and the byte that is likely.
    fn look_at_runs(&mut self) {
        for number in 0..CONTEXTS {
            let run = self.runs[self.runs_at[number]];
            let worth = usize::from(run.n.min(15)) * 2 + usize::from(self.n_bits != 0);
            let likely = (run.n != 0).then_some(run.byte).and_then(|byte| self.next_bit_of(byte));
            self.likely[number] = likely.map(|bit| (bit, worth));
            self.inputs[2 * CONTEXTS + number] = weigh(likely, self.of_runs[number][worth]);
        }
        let likely = self.contexts.likely().and_then(|(byte, equal)| Some((self.next_bit_of(byte)?, equal)));
        self.likely[CONTEXTS] = likely.map(|(bit, equal)| (bit, worth_of(equal)));
        let odds = self.likely[CONTEXTS].map_or(Odds(0), |(_, worth)| self.of_equal[worth]);
        self.inputs[3 * CONTEXTS] = weigh(likely.map(|(bit, _)| bit), odds);
    }

    /// The next bit of a byte, if those so far are its own.
    fn next_bit_of(&self, byte: u8) -> Option<u8> {
        let byte = u32::from(byte) | 0x100;
        (byte >> (8 - self.n_bits) == self.bits).then(|| (byte >> (7 - self.n_bits) & 1) as u8)
    }
}

impl Slot {
    fn learn(&mut self, bit: u8) {
        let mut odds = Odds(self.odds);
        odds.learn_by(bit, SHARES[usize::from(self.n)]);
        self.odds = odds.0;
        self.n = (self.n + 1).min(MOST_COUNTED);
        let counts = [self.history >> 5, self.history >> 2 & 7];
        let again = (counts[usize::from(bit)] + 1).min(7);
        let other = counts[usize::from(1 - bit)];
        let other = if 2 < other { other.div_ceil(2) } else { other };
        let [zeros, ones] = if bit == 1 { [other, again] } else { [again, other] };
        self.history = zeros << 5 | ones << 2 | bit;
    }
}

/// What a history is worth at first.
fn of_history(history: u8) -> Odds {
    let (zeros, ones) = (u32::from(history >> 5), u32::from(history >> 2 & 7));
    Odds(((10 * ones + 4) * 65_536 / (10 * (zeros + ones) + 8)) as u16)
}

/// What is expected, on the logistic scale, if it comes with these odds.
fn weigh(expected: Option<u8>, odds: Odds) -> i32 {
    match expected {
        None => 0,
        Some(0) => -odds.stretched(),
        Some(_) => odds.stretched(),
    }
}

/// Long matches count together.
fn worth_of(equal: usize) -> usize {
    if equal < 16 { equal } else { (16 + (equal - 16) / 8).min(EQUAL - 1) }
}

/// How far a slot that has met `n` bits moves to the next one, in 16,384ths: by 1 / (n + 1.5).
static SHARES: [i32; MOST_COUNTED as usize + 1] = {
    let mut shares = [0; MOST_COUNTED as usize + 1];
    let mut n = 0;
    while n < shares.len() {
        shares[n] = 32_768 / (2 * n as i32 + 3);
        n += 1;
    }
    shares
};

const SLOT_BITS: u32 = 21;
const SLOTS: usize = 1 << SLOT_BITS;
const RUN_BITS: u32 = 16;
const RUN_SLOTS: usize = CONTEXTS << RUN_BITS;
const HISTORIES: usize = 256;
const RUNS: usize = 32;
const EQUAL: usize = 24;
const MOST_COUNTED: u8 = 126;
/// An input that is always there.
const ALWAYS: i32 = 77;
