//! What else is to be said about an exchange: a small set of flags.

use std::fmt;

/// A set of flags about one exchange. Flags that this version does not know are kept.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Notes(u32);

impl Notes {
    /// Nothing to note.
    pub const NONE: Notes = Notes(0);
    /// The message had trailers, or other parts, that were not recorded.
    pub const LOSSY: Notes = Notes(1);
    /// The connection left HTTP (101 Switching Protocols, CONNECT).
    pub const UPGRADED: Notes = Notes(1 << 1);
    /// The connection was a WebSocket.
    pub const WEBSOCKET: Notes = Notes(1 << 2);
    /// The recorded request body is shorter than the one sent.
    pub const REQUEST_TRUNCATED: Notes = Notes(1 << 3);
    /// The answer ended before it was complete, or its recorded body is shorter than the one sent.
    pub const RESPONSE_TRUNCATED: Notes = Notes(1 << 4);
    /// The client left before the exchange ended.
    pub const CLIENT_GONE: Notes = Notes(1 << 5);
    /// It was sent by a replay (it bore `squall-op`), not by a user.
    pub const REPLAYED: Notes = Notes(1 << 6);
    /// The upstream could not be reached, or failed before it answered.
    pub const UPSTREAM_FAILED: Notes = Notes(1 << 7);
    /// The answer came from the client's own cache; no server saw the request (HAR).
    pub const FROM_CACHE: Notes = Notes(1 << 8);
    /// The bytes of a body were withheld because redaction could not look into them.
    pub const BODY_WITHHELD: Notes = Notes(1 << 9);
    /// The source gives times to the second only (access logs).
    pub const COARSE_TIME: Notes = Notes(1 << 10);
    /// The proxy made the answer itself.
    pub const PROXY_ANSWER: Notes = Notes(1 << 11);
    /// The answer was a stream of events (SSE, gRPC streaming).
    pub const STREAM: Notes = Notes(1 << 12);

    /// Every flag that has a name, with that name.
    const NAMES: [(Notes, &str); 13] = [
        (Notes::LOSSY, "lossy"),
        (Notes::UPGRADED, "upgraded"),
        (Notes::WEBSOCKET, "websocket"),
        (Notes::REQUEST_TRUNCATED, "request_truncated"),
        (Notes::RESPONSE_TRUNCATED, "response_truncated"),
        (Notes::CLIENT_GONE, "client_gone"),
        (Notes::REPLAYED, "replayed"),
        (Notes::UPSTREAM_FAILED, "upstream_failed"),
        (Notes::FROM_CACHE, "from_cache"),
        (Notes::BODY_WITHHELD, "body_withheld"),
        (Notes::COARSE_TIME, "coarse_time"),
        (Notes::PROXY_ANSWER, "proxy_answer"),
        (Notes::STREAM, "stream"),
    ];

    /// The flags as bits, as the capture file holds them.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set with these bits, known or not.
    pub const fn from_bits(bits: u32) -> Notes {
        Notes(bits)
    }

    /// Whether every flag of `other` is in this set.
    pub const fn contains(self, other: Notes) -> bool {
        self.0 & other.0 == other.0
    }

    /// Adds the flags of `other`.
    pub const fn insert(&mut self, other: Notes) {
        self.0 |= other.0;
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Notes) -> Notes {
        Notes(self.0 | other.0)
    }

    /// Whether no flag is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of the flags in the set; a flag without a name is written `bit_N`.
    pub fn names(self) -> Vec<String> {
        (0..u32::BITS)
            .map(|bit| Notes(1 << bit))
            .filter(|flag| self.contains(*flag))
            .map(|flag| match Notes::NAMES.iter().find(|(known, _)| *known == flag) {
                Some((_, name)) => (*name).to_owned(),
                None => format!("bit_{}", flag.0.trailing_zeros()),
            })
            .collect()
    }

    /// The flag of that name, as [`Notes::names`] writes it.
    pub fn by_name(name: &str) -> Option<Notes> {
        if let Some((flag, _)) = Notes::NAMES.iter().find(|(_, known)| *known == name) {
            return Some(*flag);
        }
        let bit: u32 = name.strip_prefix("bit_")?.parse().ok()?;
        (bit < u32::BITS).then(|| Notes(1 << bit))
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notes({})", self.names().join("|"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_has_a_name_that_leads_back_to_it() {
        for bit in 0..u32::BITS {
            let flag = Notes::from_bits(1 << bit);
            let names = flag.names();
            assert_eq!(names.len(), 1);
            assert_eq!(Notes::by_name(&names[0]), Some(flag));
        }
        assert_eq!(Notes::by_name("bit_32"), None);
        assert_eq!(Notes::by_name("no such flag"), None);
    }
}
