//! Shards of the application's own: its key, its hash, its number of shards.

use crate::decide::Facts;
use crate::matcher::Matcher;
use crate::select;

/// Exchanges whose key falls on one of these shards. Without a key an exchange does not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// What the application shards by.
    pub key: Key,
    /// Its hash.
    pub hash: Hash,
    /// Number of shards, at least 1.
    pub of: u64,
    /// Those that are meant, each below `of`.
    pub is: Vec<u64>,
}

/// What the application shards by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A named part of the rule's path.
    Path(String),
    /// A header (name in lower case).
    Header(String),
    /// A cookie.
    Cookie(String),
    /// A parameter of the query, as it stands there (not decoded).
    Query(String),
    /// The session.
    Session,
}

/// How the application hashes its key; over the bytes of the text unless said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// CRC-32 of IEEE 802.3 (zlib, PostgreSQL's and PHP's `crc32`).
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-16/XMODEM: Redis Cluster with 16384 slots.
    Crc16,
    /// FNV-1a, 32 bits.
    Fnv1a32,
    /// FNV-1a, 64 bits.
    Fnv1a64,
    /// MurmurHash3 x86 32 bits, seed 0.
    Murmur3,
    /// XXH64, seed 0.
    Xxh64,
    /// XXH3-64.
    Xxh3,
    /// `String.hashCode` of Java, made non-negative by its lowest 31 bits.
    Java,
    /// The key is a whole number and is its own hash.
    Number,
}

impl Shard {
    /// Whether the exchange's key falls on one of the shards.
    #[must_use]
    pub fn has(&self, on: &Matcher, facts: &Facts<'_>) -> bool {
        let key = match &self.key {
            Key::Path(name) => on.path_part(name, facts.path),
            Key::Header(name) => (facts.header)(name),
            Key::Cookie(name) => select::cookie(facts, name),
            Key::Query(name) => query(facts.query, name),
            Key::Session => Some(facts.session),
        };
        let hash = key.and_then(|key| self.hash.of(key));
        hash.is_some_and(|hash| self.is.contains(&(hash % self.of.max(1))))
    }
}

impl Hash {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc16,
        Self::Fnv1a32,
        Self::Fnv1a64,
        Self::Murmur3,
        Self::Xxh64,
        Self::Xxh3,
        Self::Java,
        Self::Number,
    ];

    /// The word of the rule language.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "crc32",
            Self::Crc32c => "crc32c",
            Self::Crc16 => "crc16",
            Self::Fnv1a32 => "fnv1a32",
            Self::Fnv1a64 => "fnv1a64",
            Self::Murmur3 => "murmur3",
            Self::Xxh64 => "xxh64",
            Self::Xxh3 => "xxh3",
            Self::Java => "java",
            Self::Number => "number",
        }
    }

    /// The hash of a key; `None` where [`Hash::Number`] meets no number.
    #[must_use]
    pub fn of(self, key: &str) -> Option<u64> {
        let bytes = key.as_bytes();
        Some(match self {
            Self::Crc32 => u64::from(crc(bytes, 0xedb8_8320)),
            Self::Crc32c => u64::from(crc(bytes, 0x82f6_3b78)),
            Self::Crc16 => u64::from(crc16(bytes)),
            Self::Fnv1a32 => u64::from(
                bytes
                    .iter()
                    .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)),
            ),
            Self::Fnv1a64 => bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
            }),
            Self::Murmur3 => u64::from(murmur3(bytes)),
            Self::Xxh64 => xxhash_rust::xxh64::xxh64(bytes, 0),
            Self::Xxh3 => xxhash_rust::xxh3::xxh3_64(bytes),
            Self::Java => u64::from(java(key) & 0x7fff_ffff),
            Self::Number => key.parse().ok()?,
        })
    }
}

/// The first value of a parameter.
fn query<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// A reflected CRC of 32 bits, bit by bit: keys are short, and rules with shards few.
fn crc(bytes: &[u8], polynomial: u32) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (polynomial & 0_u32.wrapping_sub(crc & 1)))
    })
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| {
            (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 }
        })
    })
}

fn java(key: &str) -> u32 {
    key.encode_utf16().fold(0, |hash: u32, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

/// MurmurHash3_x86_32 with seed 0 (Appleby; public domain).
fn murmur3(bytes: &[u8]) -> u32 {
    let scramble = |word: u32| word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let mut hash = 0_u32;
    let words = bytes.chunks_exact(4);
    let tail = words.remainder().iter().rev().fold(0, |word, byte| (word << 8) | u32::from(*byte));
    for word in words {
        let word = word.iter().rev().fold(0, |word, byte| (word << 8) | u32::from(*byte));
        hash = (hash ^ scramble(word)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    hash ^= scramble(tail);
    hash ^= bytes.len() as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check values from the catalogues of the algorithms, over "123456789" unless said.
    #[test]
    fn hashes_are_those_that_applications_use() {
        let check =
            |hash: Hash, key: &str, expect: u64| assert_eq!(hash.of(key), Some(expect), "{hash:?} {key}");
        check(Hash::Crc32, "123456789", 0xcbf4_3926);
        check(Hash::Crc32c, "123456789", 0xe306_9283);
        check(Hash::Crc16, "123456789", 0x31c3);
        check(Hash::Fnv1a32, "a", 0xe40c_292c);
        check(Hash::Fnv1a64, "a", 0xaf63_dc4c_8601_ec8c);
        check(Hash::Murmur3, "", 0);
        check(Hash::Murmur3, "hello", 0x248b_fa47);
        check(Hash::Java, "hello", 99_162_322);
        check(Hash::Number, "42", 42);
        assert_eq!(Hash::Number.of("x"), None);
    }
}
