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
use crate::rule::Rule;

pub use crate::shard::{Hash, Key, Shard};

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
    /// The same for a named part of the rule's path.
    Path(String),
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
            Self::Path(_) => "path",
        }
    }
}

/// Attempts of an operation, from 1, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// First.
    pub from: u32,
    /// Last; `None`: all that follow.
    pub to: Option<u32>,
}

impl Attempts {
    /// Whether an attempt is among them.
    #[must_use]
    pub fn has(self, attempt: u32) -> bool {
        self.from <= attempt && self.to.is_none_or(|to| attempt <= to)
    }
}

/// Every n-th of the exchanges that a rule selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Every {
    /// From 1.
    pub nth: u64,
    /// Counted for each of these.
    pub per: Per,
}

/// A two-state source of bursts (Gilbert 1960, Elliott 1963): each exchange that the rule selected first moves the state, then
/// rolls within it. Outside a burst nothing happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    /// Chance that a burst begins with an exchange.
    pub enter: Rate,
    /// Chance that it ends with one.
    pub leave: Rate,
    /// Share of the exchanges in a burst that are hit.
    pub rate: Rate,
}

/// Whose count or bucket an exchange falls into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Per {
    /// One for everybody.
    All,
    /// One for each session.
    Session,
    /// One for each client address.
    Client,
    /// One for each value of this header (name in lower case).
    Header(String),
    /// One for each value of this cookie.
    Cookie(String),
}

impl Per {
    /// The hash of the key this exchange falls under. Exchanges without the named header or cookie share one.
    #[must_use]
    pub fn key_hash(&self, facts: &Facts<'_>) -> u64 {
        let value = match self {
            Self::All => None,
            Self::Session => Some(facts.session),
            Self::Client => Some(facts.client),
            Self::Header(name) => (facts.header)(name),
            Self::Cookie(name) => cookie(facts, name),
        };
        value.map_or(0, |text| bucket_key(text.as_bytes()))
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

    /// The same rate times a weight of 0.0 to 1.0.
    #[must_use]
    pub fn weighted(self, weight: f64) -> Self {
        if 1.0 <= weight {
            return self;
        }
        let parts = (weight.max(0.0) * (1_u64 << 32) as f64) as u128;
        Self { bound: (self.bound * parts) >> 32 }
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
    /// Draws within an exchange: which byte is corrupted, which segment is lost.
    Shape = 3,
    /// Moves of a burst, and rolls within it.
    Burst = 4,
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
pub(crate) fn selection_roll(seed: u64, rule: &Rule, facts: &Facts<'_>) -> Option<u64> {
    let base = base(seed, &rule.id, Lane::Select);
    Some(match &rule.by {
        By::Request => request(base, facts),
        By::Operation => xxh3_64_with_seed(facts.operation.as_bytes(), base),
        By::Session => xxh3_64_with_seed(facts.session.as_bytes(), base),
        By::Connection => xxh3_64_with_seed(&facts.connection.to_le_bytes(), base),
        By::Header(name) => xxh3_64_with_seed((facts.header)(name)?.as_bytes(), base),
        By::Cookie(name) => xxh3_64_with_seed(cookie(facts, name)?.as_bytes(), base),
        By::Path(name) => xxh3_64_with_seed(rule.on.path_part(name, facts.path)?.as_bytes(), base),
    })
}

/// A roll of another lane; always by request, so that the victims of one session do not all wait equally long.
pub(crate) fn request_roll(seed: u64, rule_id: &str, lane: Lane, facts: &Facts<'_>) -> u64 {
    request(base(seed, rule_id, lane), facts)
}

/// The n-th roll of a rule that does not go by exchange.
pub(crate) fn nth_roll(seed: u64, rule_id: &str, lane: Lane, nth: u64) -> u64 {
    xxh3_64_with_seed(&nth.to_le_bytes(), base(seed, rule_id, lane))
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
