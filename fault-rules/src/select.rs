//! Selection: who is a victim, as a pure function of seed, rule and key.
//!
//! ```text
//! base  = xxh3(rule id, seed)
//! roll  = xxh3(key, xxh3([lane], base))          64 bits
//! hit   = roll < rate * 2^64
//! ```
//!
//! `xxh3(bytes, s)` is XXH3-64 of the bytes under seed `s`. A key of two parts (operation and attempt) is hashed part
//! by part, each under the hash of the one before. Every purpose has a lane of its own, so that the delay of a victim
//! says nothing about why it was chosen. A greater rate only moves the bound: the victims of 5 % are among those of 10 %.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::decide::Facts;

/// What a rate is a share of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// Every attempt rolls anew: key is operation and attempt.
    Request,
    /// All attempts of an operation share their fate.
    Operation,
    /// A session suffers from start to finish.
    Session,
    /// A connection suffers as long as it lives. Outside the guarantee of equal victims: it depends on pooling.
    Connection,
    /// All exchanges with the same value of this header (lower case). Without it an exchange does not match.
    Header(String),
    /// The same for a cookie.
    Cookie(String),
}

impl By {
    /// The word of the rule language, in the singular, as it stands in the books.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Operation => "operation",
            Self::Session => "session",
            Self::Connection => "connection",
            Self::Header(_) => "header",
            Self::Cookie(_) => "cookie",
        }
    }
}

/// A share from nothing to everything, held exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    /// Of 2^64; so 100 % is above every 64-bit roll and 0 % above none.
    bound: u128,
}

impl Rate {
    /// Everything.
    pub const ALL: Self = Self { bound: 1 << 64 };

    /// `parts` of `whole`; more than the whole counts as all of it, a whole of 0 as nothing.
    #[must_use]
    pub fn of(parts: u64, whole: u64) -> Self {
        if whole == 0 {
            return Self { bound: 0 };
        }
        // Rounded up: `roll < bound` then says exactly `roll * whole < parts * 2^64`, and an equal share exceeds nothing.
        let bound = (u128::from(parts) << 64).div_ceil(u128::from(whole));
        Self { bound: bound.min(Self::ALL.bound) }
    }

    /// Whether a roll of 64 bits falls below the rate.
    #[must_use]
    pub fn hits(self, roll: u64) -> bool {
        u128::from(roll) < self.bound
    }

    /// As a fraction of 1, rounded to the nearest float.
    #[must_use]
    pub fn fraction(self) -> f64 {
        self.bound as f64 / Self::ALL.bound as f64
    }

    /// Whether `part` of `total` is more than this rate.
    #[must_use]
    pub fn is_exceeded_by(self, part: u64, total: u64) -> bool {
        // Both sides below 2^128: part < 2^64 shifted by at most 64, bound <= 2^64 times total < 2^64.
        self.bound.saturating_mul(u128::from(total)) < u128::from(part) << 64
    }
}

/// The purposes a roll serves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lane {
    Select = 0,
    Delay = 1,
    Outcome = 2,
}

/// The session key inside a `squall-session` value: without its run tag (8 lower-case hex digits and a dash), so that a
/// new run of the same replay has the same victims. Any other text is its own key.
#[must_use]
pub fn session_key(value: &str) -> &str {
    match value.split_once('-') {
        Some((run, rest)) if run.len() == 8 && run.bytes().all(is_lower_hex) => rest,
        _ => value,
    }
}

/// The roll that decides selection; `None` when the exchange lacks the header or cookie the rate goes by.
pub(crate) fn selection_roll(seed: u64, rule_id: &str, by: &By, facts: &Facts<'_>) -> Option<u64> {
    let base = base(seed, rule_id, Lane::Select);
    Some(match by {
        By::Request => request(base, facts),
        By::Operation => xxh3_64_with_seed(facts.operation.as_bytes(), base),
        By::Session => xxh3_64_with_seed(facts.session.as_bytes(), base),
        By::Connection => xxh3_64_with_seed(&facts.connection.to_le_bytes(), base),
        By::Header(name) => xxh3_64_with_seed((facts.header)(name)?.as_bytes(), base),
        By::Cookie(name) => xxh3_64_with_seed(cookie(facts, name)?.as_bytes(), base),
    })
}

/// A roll of another lane; always by request, so that the victims of one session do not all wait equally long.
pub(crate) fn request_roll(seed: u64, rule_id: &str, lane: Lane, facts: &Facts<'_>) -> u64 {
    request(base(seed, rule_id, lane), facts)
}

/// The value of a cookie of the request.
pub(crate) fn cookie<'a>(facts: &Facts<'a>, name: &str) -> Option<&'a str> {
    (facts.header)("cookie")?
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// The hash under which a key draws from a bucket; 0 is kept for "no key".
pub(crate) fn bucket_key(text: &[u8]) -> u64 {
    xxh3_64(text).max(1)
}

fn base(seed: u64, rule_id: &str, lane: Lane) -> u64 {
    xxh3_64_with_seed(&[lane as u8], xxh3_64_with_seed(rule_id.as_bytes(), seed))
}

fn request(base: u64, facts: &Facts<'_>) -> u64 {
    xxh3_64_with_seed(&facts.attempt.to_le_bytes(), xxh3_64_with_seed(facts.operation.as_bytes(), base))
}

fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}
