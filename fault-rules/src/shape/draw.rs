//! Numbers that depend on a part's key and a place in its stream, and on nothing else.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What the number is for: draws of one purpose say nothing about those of another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lane {
    /// Which segments are lost.
    Loss,
    /// Which bytes change, and which bit of them.
    Corrupt,
}

/// The `nth` number of a purpose, all 64 bits equally likely; `again` tells repeats at the same place apart.
pub(super) fn draw(key: u64, lane: Lane, nth: u64, again: u32) -> u64 {
    let mut bytes = [0; 13];
    bytes[..8].copy_from_slice(&nth.to_le_bytes());
    bytes[8..12].copy_from_slice(&again.to_le_bytes());
    bytes[12] = match lane {
        Lane::Loss => 1,
        Lane::Corrupt => 2,
    };
    xxh3_64_with_seed(&bytes, key)
}

/// A 64-bit number as a place below `bound`, all equally likely.
pub(super) fn below(roll: u64, bound: u64) -> u64 {
    u64::try_from((u128::from(roll) * u128::from(bound)) >> 64).expect("less than the bound")
}
