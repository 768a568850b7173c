//! Which identifiers need not be kept: those that one session has for itself.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What was found out about the identifiers of a whole capture, before it is written again without them.
#[derive(Default)]
pub(crate) struct Generators {
    /// What the values made up depend on, besides session and number.
    pub(crate) seed: u64,
    /// By hash of an identifier: the hash of the only session that has it, or [`KEPT`].
    sessions: HashMap<u64, u64>,
}

impl Generators {
    /// Whether the reader may make up an identifier of this family: it is random enough, and no other session has it.
    pub(crate) fn may_make_up(&self, family: usize, packed: &[u8]) -> bool {
        let session = self.sessions.get(&xxh3_64_with_seed(packed, family as u64));
        SHORTEST <= packed.len() && session.is_some_and(|session| *session != KEPT)
    }
}

/// More than one session has it, or it stands where it must stay.
const KEPT: u64 = 0;
/// In packed bytes: shorter identifiers may be equal by chance.
const SHORTEST: usize = 7;
