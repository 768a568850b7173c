//! An invertible sketch of a set of (operation, attempt): two sides build theirs independently, and the
//! difference of the two peels to its exact members.
//!
//! It is an invertible Bloom lookup table of fixed size. Each member lies in one cell of each of three
//! partitions; a cell holds the count, the xor of the members and the xor of their check hashes. Sketches
//! subtract cell by cell, what both sides hold vanishes, and a cell that is left with one member gives it
//! away, which frees further cells. Up to about 150,000 differing members come apart; beyond that
//! [`Undecodable`] says so. A wrong member would need two 64-bit coincidences.

use xxhash_rust::xxh3::xxh3_64;

use crate::splitmix::{GOLDEN, mix};

/// The sketch: 3 × 65,536 cells of 24 bytes, 4.5 MiB, whatever it holds.
#[derive(Clone, PartialEq, Eq)]
pub struct OpSet {
    cells: Vec<Cell>,
}

/// What one side has and the other has not; each list ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// In the sketch that was subtracted from.
    pub only_left: Vec<(u64, u32)>,
    /// In the sketch that was subtracted.
    pub only_right: Vec<(u64, u32)>,
}

/// The sketches differ in too many members, or a member was inserted more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the two sets differ by too much to be told apart exactly (about {at_least} members or more)")]
pub struct Undecodable {
    /// A lower bound on how many members differ.
    pub at_least: u64,
}

/// The bytes are no sketch of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no set of operations: {0}")]
pub struct BadBytes(&'static str);

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Cell {
    count: i32,
    attempt: u32,
    op: u64,
    check: u64,
}

impl Default for OpSet {
    fn default() -> OpSet {
        OpSet::new()
    }
}

impl OpSet {
    /// An empty set.
    pub fn new() -> OpSet {
        OpSet { cells: vec![Cell::default(); PARTITIONS * CELLS] }
    }

    /// Adds a member. A set: the same member must not be added twice, or the difference does not peel.
    pub fn insert(&mut self, op: u64, attempt: u32) {
        self.apply(op, attempt, 1);
    }

    /// Adds what the other holds; the two must have no member in common.
    pub fn merge(&mut self, other: &OpSet) {
        for (mine, theirs) in self.cells.iter_mut().zip(&other.cells) {
            mine.add(theirs, theirs.count);
        }
    }

    /// This set less the other one.
    #[must_use]
    pub fn subtract(&self, other: &OpSet) -> OpSet {
        let mut difference = self.clone();
        for (mine, theirs) in difference.cells.iter_mut().zip(&other.cells) {
            mine.add(theirs, theirs.count.wrapping_neg());
        }
        difference
    }

    /// How many members were inserted. Of a difference: left less right, and 0 where that is negative.
    pub fn count(&self) -> u64 {
        let sum: i64 = self.cells[..CELLS].iter().map(|cell| i64::from(cell.count)).sum();
        u64::try_from(sum).unwrap_or(0)
    }

    /// The exact members of a difference.
    ///
    /// # Errors
    /// [`Undecodable`] when some members cannot be told apart.
    pub fn decode(mut self) -> Result<Difference, Undecodable> {
        let mut difference = Difference::default();
        let mut pending: Vec<usize> = (0..self.cells.len()).collect();
        while let Some(index) = pending.pop() {
            let cell = self.cells[index];
            let Some(slots) = cell.only_member(index) else { continue };
            match cell.count {
                1 => difference.only_left.push((cell.op, cell.attempt)),
                _ => difference.only_right.push((cell.op, cell.attempt)),
            }
            self.apply(cell.op, cell.attempt, cell.count.wrapping_neg());
            pending.extend(slots);
        }
        if self.cells.iter().any(|cell| *cell != Cell::default()) {
            let stuck =
                self.cells[..CELLS].iter().map(|cell| u64::from(cell.count.unsigned_abs())).sum::<u64>();
            let found = difference.only_left.len() + difference.only_right.len();
            return Err(Undecodable { at_least: stuck.max(1) + found as u64 });
        }
        difference.only_left.sort_unstable();
        difference.only_right.sort_unstable();
        Ok(difference)
    }

    /// The sketch for the wire; empty cells cost little, so a small set is small.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.cells.len());
        out.extend_from_slice(MAGIC);
        let mut index = 0;
        while index < self.cells.len() {
            let empty = self.cells[index..].iter().take_while(|cell| **cell == Cell::default()).count();
            index += empty;
            let filled = self.cells[index..].iter().take_while(|cell| **cell != Cell::default()).count();
            out.extend_from_slice(&(empty as u32).to_le_bytes());
            out.extend_from_slice(&(filled as u32).to_le_bytes());
            for cell in &self.cells[index..index + filled] {
                cell.put(&mut out);
            }
            index += filled;
        }
        out.extend_from_slice(&xxh3_64(&out).to_le_bytes());
        out
    }

    /// Reads what [`OpSet::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`BadBytes`] for anything else; never panics, never takes more memory than one sketch.
    pub fn from_bytes(bytes: &[u8]) -> Result<OpSet, BadBytes> {
        let (content, sum) = bytes.split_last_chunk::<8>().ok_or(BadBytes("too short"))?;
        if xxh3_64(content).to_le_bytes() != *sum {
            return Err(BadBytes("the checksum does not match"));
        }
        let mut rest = content.strip_prefix(MAGIC).ok_or(BadBytes("another format or version"))?;
        let mut set = OpSet::new();
        let mut index = 0usize;
        while !rest.is_empty() {
            let empty = take_u32(&mut rest)? as usize;
            let filled = take_u32(&mut rest)? as usize;
            let start = index.saturating_add(empty);
            index = start.saturating_add(filled);
            let cells = set.cells.get_mut(start..index).ok_or(BadBytes("too many cells"))?;
            for cell in cells {
                *cell = Cell::take(&mut rest)?;
            }
        }
        match index == set.cells.len() {
            true => Ok(set),
            false => Err(BadBytes("too few cells")),
        }
    }

    fn apply(&mut self, op: u64, attempt: u32, count: i32) {
        let hash = Hash::of(op, attempt);
        let member = Cell { count, attempt, op, check: hash.check };
        for index in hash.slots {
            self.cells[index].add(&member, count);
        }
    }
}

impl std::fmt::Debug for OpSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpSet({} members)", self.count())
    }
}

impl Cell {
    fn add(&mut self, other: &Cell, count: i32) {
        self.count = self.count.wrapping_add(count);
        self.attempt ^= other.attempt;
        self.op ^= other.op;
        self.check ^= other.check;
    }

    /// The slots of the only member of this cell, if it has just one and lies where that member belongs.
    fn only_member(&self, index: usize) -> Option<[usize; PARTITIONS]> {
        if self.count != 1 && self.count != -1 {
            return None;
        }
        let hash = Hash::of(self.op, self.attempt);
        (hash.check == self.check && hash.slots.contains(&index)).then_some(hash.slots)
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.attempt.to_le_bytes());
        out.extend_from_slice(&self.op.to_le_bytes());
        out.extend_from_slice(&self.check.to_le_bytes());
    }

    fn take(rest: &mut &[u8]) -> Result<Cell, BadBytes> {
        let count = take_u32(rest)?.cast_signed();
        let attempt = take_u32(rest)?;
        Ok(Cell { count, attempt, op: take_u64(rest)?, check: take_u64(rest)? })
    }
}

struct Hash {
    slots: [usize; PARTITIONS],
    check: u64,
}

impl Hash {
    fn of(op: u64, attempt: u32) -> Hash {
        let place = mix(op ^ u64::from(attempt).wrapping_mul(GOLDEN));
        let check = mix(place ^ op.rotate_left(32) ^ u64::from(attempt));
        let slot = |partition: usize| partition * CELLS + (place >> (16 * partition)) as usize % CELLS;
        Hash { slots: [slot(0), slot(1), slot(2)], check }
    }
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, BadBytes> {
    let (head, tail) = rest.split_first_chunk().ok_or(BadBytes("cut short"))?;
    *rest = tail;
    Ok(u32::from_le_bytes(*head))
}

fn take_u64(rest: &mut &[u8]) -> Result<u64, BadBytes> {
    let (head, tail) = rest.split_first_chunk().ok_or(BadBytes("cut short"))?;
    *rest = tail;
    Ok(u64::from_le_bytes(*head))
}

const PARTITIONS: usize = 3;
const CELLS: usize = 65_536;
const MAGIC: &[u8] = b"squall-opset-1\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn set(members: impl IntoIterator<Item = (u64, u32)>) -> OpSet {
        let mut set = OpSet::new();
        for (op, attempt) in members {
            set.insert(op, attempt);
        }
        set
    }

    /// Operations as the replayer makes them: spread over 64 bits.
    fn ops(range: std::ops::Range<u64>) -> impl Iterator<Item = (u64, u32)> {
        range.map(|n| (mix(n), (n % 3) as u32 + 1))
    }

    #[test]
    fn equal_sets_differ_in_nothing() {
        let left = set(ops(0..300_000));
        assert_eq!(left.count(), 300_000);
        assert_eq!(left.subtract(&left.clone()).decode(), Ok(Difference::default()));
    }

    #[test]
    fn a_large_difference_peels_exactly() {
        let left = set(ops(0..200_000));
        let right = set(ops(60_000..240_000));
        let difference = left.subtract(&right).decode().unwrap();
        let sorted = |range| {
            let mut members: Vec<_> = ops(range).collect();
            members.sort_unstable();
            members
        };
        assert_eq!(difference.only_left, sorted(0..60_000));
        assert_eq!(difference.only_right, sorted(200_000..240_000));
    }

    #[test]
    fn attempts_of_one_operation_and_small_numbers_are_told_apart() {
        let left = set((0..1000).map(|n| (n, 1)).chain([(7, 2), (7, 3)]));
        let right = set((0..1000).map(|n| (n, 1)).chain([(0, 0)]));
        let difference = left.subtract(&right).decode().unwrap();
        assert_eq!(difference.only_left, [(7, 2), (7, 3)]);
        assert_eq!(difference.only_right, [(0, 0)]);
    }

    #[test]
    fn too_much_is_said_not_guessed() {
        let difference = set(ops(0..250_000)).subtract(&OpSet::new());
        assert!(difference.decode().is_err());
        assert!(set([(5, 1), (5, 1)]).decode().is_err());
    }

    #[test]
    fn merging_parts_gives_the_whole() {
        let mut merged = set(ops(0..10));
        merged.merge(&set(ops(10..25)));
        assert_eq!(merged, set(ops(0..25)));
    }

    #[test]
    fn bytes_there_and_back() {
        for members in [0, 1, 1000, 100_000] {
            let set = set(ops(0..members));
            let bytes = set.to_bytes();
            assert_eq!(OpSet::from_bytes(&bytes), Ok(set));
        }
        assert!(OpSet::new().to_bytes().len() < 100);
    }

    #[test]
    fn other_bytes_are_refused() {
        let mut bytes = set(ops(0..20)).to_bytes();
        for index in 0..bytes.len() {
            bytes[index] ^= 0x10;
            assert!(OpSet::from_bytes(&bytes).is_err(), "flipped byte {index}");
            bytes[index] ^= 0x10;
            assert!(OpSet::from_bytes(&bytes[..index]).is_err(), "cut at {index}");
        }
    }
}
