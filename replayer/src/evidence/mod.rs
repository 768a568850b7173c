//! What is kept of single attempts, so that it can be told afterwards why something broke.
//!
//! A thread logs 32 bytes for each attempt of the sessions in its sample. All sessions are in it at first; whenever the
//! log is full, the half of them with the larger hashes leaves, whole sessions at a time. So memory is bounded, every
//! share found in the sample holds for the run, and whether a session is in it depends on nothing but its number. A
//! healthy answer costs one hash and one push.

mod print;

use std::collections::{HashMap, VecDeque};

use crate::evidence::print::Print;
use crate::limits;
use crate::tally::Failure;

/// An attempt that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) program: u32,
    pub(crate) clone: u32,
    pub(crate) step: u32,
    /// When it ended, in milliseconds from the start of the run.
    pub(crate) at_ms: u32,
    /// From sent to its end, in microseconds.
    pub(crate) took_us: u32,
    /// Fingerprint of the body of an answer with an error; 0: none was taken.
    pub(crate) print: u32,
    pub(crate) fate: Fate,
    /// Number of the rules that touched it, one up; 0: none.
    pub(crate) rules: u16,
    /// From 1.
    pub(crate) attempt: u16,
    /// [`WARMS_UP`], [`BY_PROXY`], [`GRPC_FAILED`].
    pub(crate) flags: u8,
}

/// A status, or how an attempt without an answer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fate(u16);

/// The evidence of one thread, or of all.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// Blocks of the log; the first [`Evidence::unthinned`] of them still hold sessions that have left the sample.
    blocks: VecDeque<Vec<Ended>>,
    unthinned: usize,
    len: usize,
    /// Most attempts to keep.
    room: usize,
    /// Sessions with a larger hash are not in the sample.
    threshold: u32,
    /// The lists of rules that touched attempts, as the answers name them.
    rules: Vec<Box<str>>,
    /// Bodies that are being read, by operation.
    prints: HashMap<u32, Print>,
}

impl Fate {
    /// An answer.
    pub(crate) fn status(status: u16) -> Fate {
        Fate(status.min(FAILURES - 1))
    }

    /// No answer.
    pub(crate) fn failed(failure: Failure) -> Fate {
        Fate(FAILURES + failure as u16)
    }

    /// `None`: there was no answer.
    pub(crate) fn as_status(self) -> Option<u16> {
        (self.0 < FAILURES).then_some(self.0)
    }

    /// `None`: there was an answer.
    pub(crate) fn as_failure(self) -> Option<Failure> {
        Failure::ALL.get(usize::from(self.0.checked_sub(FAILURES)?)).copied()
    }
}

impl Evidence {
    /// Room for `room` attempts; 0 keeps nothing.
    pub(crate) fn new(room: usize) -> Evidence {
        Evidence {
            blocks: VecDeque::new(),
            unthinned: 0,
            len: 0,
            room,
            threshold: u32::MAX,
            rules: Vec::new(),
            prints: HashMap::new(),
        }
    }

    /// The share of all sessions that are in the sample.
    pub(crate) fn share(&self) -> f64 {
        (f64::from(self.threshold) + 1.0) / (f64::from(u32::MAX) + 1.0)
    }

    /// Whether a session is in the sample.
    pub(crate) fn has(&self, program: u32, clone: u32) -> bool {
        lot(program, clone) <= self.threshold && self.room > 0
    }

    /// Keeps an attempt of a session that [`Evidence::has`].
    pub(crate) fn note(&mut self, ended: Ended) {
        let begun = self.push(ended);
        if begun && self.room <= self.len {
            self.threshold /= 2;
            self.unthinned = self.blocks.len() - 1;
        }
        if begun {
            self.thin(THINNED_AT_ONCE);
        }
    }

    /// The number of a list of rules, one up.
    pub(crate) fn rules(&mut self, names: &str) -> u16 {
        let known = self.rules.iter().position(|known| **known == *names);
        let place = known.unwrap_or_else(|| {
            let is_full = limits::RULES <= self.rules.len();
            let names = if is_full { "(other)" } else { names };
            let other = self.rules.iter().position(|known| is_full && **known == *names);
            other.unwrap_or_else(|| {
                self.rules.push(names.into());
                self.rules.len() - 1
            })
        });
        place as u16 + 1
    }

    /// The lists of rules, by number.
    pub(crate) fn rule_lists(&self) -> &[Box<str>] {
        &self.rules
    }

    /// The head of an answer came. True: its body is for [`Evidence::body`].
    pub(crate) fn begin_body(&mut self, op: u32, status: u16, (program, clone): (u32, u32)) -> bool {
        let wanted = 400 <= status && self.has(program, clone) && self.prints.len() < limits::EVIDENCE_BODIES;
        if wanted {
            self.prints.insert(op, Print::default());
        }
        wanted
    }

    /// A piece of a body came.
    pub(crate) fn body(&mut self, op: u32, bytes: &[u8]) {
        if self.prints.is_empty() {
            return;
        }
        if let Some(print) = self.prints.get_mut(&op) {
            print.feed(bytes);
        }
    }

    /// The fingerprint of the body of an operation whose attempt ends; 0: none was taken.
    pub(crate) fn end_body(&mut self, op: u32) -> u32 {
        if self.prints.is_empty() {
            return 0;
        }
        self.prints.remove(&op).map_or(0, Print::finish)
    }

    /// Adds what another thread kept.
    pub(crate) fn merge(&mut self, other: Evidence) {
        self.threshold = self.threshold.min(other.threshold);
        let numbers: Vec<u16> = other.rules.iter().map(|names| self.rules(names)).collect();
        for mut block in other.blocks {
            for ended in block.iter_mut().filter(|ended| ended.rules > 0) {
                ended.rules = numbers[usize::from(ended.rules) - 1];
            }
            self.len += block.len();
            self.blocks.push_back(block);
        }
        self.room += other.room;
    }

    /// All attempts of the sessions in the sample, by session and time.
    pub(crate) fn take(&mut self) -> Vec<Ended> {
        let threshold = self.threshold;
        let mut all = Vec::with_capacity(self.len);
        for block in std::mem::take(&mut self.blocks) {
            all.extend(block.into_iter().filter(|ended| lot(ended.program, ended.clone) <= threshold));
        }
        (self.len, self.unthinned) = (0, 0);
        all.sort_unstable_by_key(|ended| {
            (ended.program, ended.clone, ended.at_ms, ended.step, ended.attempt)
        });
        all
    }

    /// True: a block was begun.
    fn push(&mut self, ended: Ended) -> bool {
        self.len += 1;
        if let Some(block) = self.blocks.back_mut().filter(|block| block.len() < BLOCK) {
            block.push(ended);
            return false;
        }
        let mut block = Vec::with_capacity(BLOCK);
        block.push(ended);
        self.blocks.push_back(block);
        true
    }

    /// Goes through some of the blocks that hold what has left the sample: all at once would hold up the thread.
    fn thin(&mut self, blocks: usize) {
        for _ in 0..blocks.min(self.unthinned) {
            self.unthinned -= 1;
            let Some(block) = self.blocks.pop_front() else { return };
            self.len -= block.len();
            for ended in block {
                if lot(ended.program, ended.clone) <= self.threshold {
                    self.push(ended);
                }
            }
        }
    }
}

/// The place of a session in the order in which they leave the sample.
pub(crate) fn lot(program: u32, clone: u32) -> u32 {
    let mut word = (u64::from(program) << 32 | u64::from(clone)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (word >> 32) as u32
}

/// Stands in a list of rules before those that touched calls of an attempt, and not the attempt.
pub(crate) const BELOW: char = ';';
/// It counts as warm-up.
pub(crate) const WARMS_UP: u8 = 1;
/// The proxy made the answer itself.
pub(crate) const BY_PROXY: u8 = 1 << 1;
/// The answer says that a gRPC call failed.
pub(crate) const GRPC_FAILED: u8 = 1 << 2;

/// Fates from here on are failures.
const FAILURES: u16 = 1000;
/// Attempts in a block.
const BLOCK: usize = 4096;
/// Old blocks that are gone through when a new one is begun: more than one, or they would never be done with.
const THINNED_AT_ONCE: usize = 4;

const _: () = assert!(size_of::<Ended>() == 32, "half a million of them take 16 MiB");

#[cfg(test)]
mod tests;
