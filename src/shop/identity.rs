//! Account numbers, session ids and password hashes: a keyed function of a seed, so that runs can be repeated while
//! no client can guess another's id.

use std::sync::atomic::{AtomicU64, Ordering};

/// A 128-bit number that only its owner knows; 32 lower-case hex digits in a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id(pub(super) u128);

impl Id {
    /// Reads what [`Id`]'s `Display` wrote; anything else belongs to nobody.
    pub(super) fn parse(text: &str) -> Option<Id> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() != 32 || !digits {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(Id)
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A password, salted with its account and hashed; all that is kept of it. A fast hash, fit for a demo and for
/// measuring, not for real passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PasswordHash(blake3::Hash); // its comparison takes the same time whatever differs

/// Makes ids and hashes out of one seed.
#[derive(Debug)]
pub(super) struct Mint {
    ids: [u8; 32],
    passwords: [u8; 32],
    keys: [u8; 32],
    minted: AtomicU64,
}

impl Mint {
    pub(super) fn new(seed: u64) -> Mint {
        let key = |use_: &str| blake3::derive_key(use_, &seed.to_le_bytes());
        Mint {
            ids: key("squall shop 2026: account numbers and session ids"),
            passwords: key("squall shop 2026: password hashes"),
            keys: key("squall shop 2026: idempotency keys"),
            minted: AtomicU64::new(0),
        }
    }

    /// An id that was not given out before.
    pub(super) fn id(&self) -> Id {
        let number = self.minted.fetch_add(1, Ordering::Relaxed);
        Id(first_128(&blake3::keyed_hash(&self.ids, &number.to_le_bytes())))
    }

    pub(super) fn password(&self, account: Id, password: &str) -> PasswordHash {
        let mut hasher = blake3::Hasher::new_keyed(&self.passwords);
        hasher.update(&account.0.to_le_bytes()).update(password.as_bytes());
        PasswordHash(hasher.finalize())
    }

    /// An idempotency key of any length as a number.
    pub(super) fn key(&self, key: &[u8]) -> u128 {
        first_128(&blake3::keyed_hash(&self.keys, key))
    }
}

fn first_128(hash: &blake3::Hash) -> u128 {
    let bytes = hash.as_bytes();
    bytes.iter().take(16).fold(0, |number, byte| (number << 8) | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_ids_again_and_each_once() {
        let ids = |seed| {
            let mint = Mint::new(seed);
            (0..100).map(|_| mint.id()).collect::<Vec<_>>()
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
        assert_eq!(ids(1).into_iter().collect::<std::collections::HashSet<_>>().len(), 100);
    }

    #[test]
    fn ids_survive_a_cookie() {
        let id = Mint::new(7).id();
        assert_eq!(Id::parse(&id.to_string()), Some(id));
        for bad in ["", "7", "+0000000000000000000000000000001", &"F".repeat(32), &"0".repeat(33), "é"] {
            assert_eq!(Id::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn one_password_hashes_differently_for_two_accounts() {
        let mint = Mint::new(7);
        let (a, b) = (mint.id(), mint.id());
        assert_eq!(mint.password(a, "secret"), mint.password(a, "secret"));
        assert_ne!(mint.password(a, "secret"), mint.password(b, "secret"));
        assert_ne!(mint.password(a, "secret"), mint.password(a, "Secret"));
    }
}
