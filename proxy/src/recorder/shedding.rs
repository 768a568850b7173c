//! Which sessions are let go when the writer cannot keep up: whole ones, so that none in the capture has holes.
//!
//! Under pressure (the queue more than half full) a growing share of the sessions is shed, those of the lowest hashes
//! first, so that what remains is an even sample. A session that lost one exchange loses all that follow.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use captures::SessionId;
use xxhash_rust::xxh3::xxh3_64;

use crate::sync::lock;

/// What is let go.
#[derive(Debug, Default)]
pub(super) struct Shedding {
    /// Sessions whose hash is below are shed while the pressure lasts.
    level: AtomicU64,
    offers: AtomicUsize,
    sessions: Mutex<HashSet<u64>>,
    any: AtomicUsize,
}

impl Shedding {
    /// Is this session to be let go? `fill` is how full the queue is, in 1/256.
    pub(super) fn sheds(&self, session: SessionId, fill: usize) -> bool {
        self.follow(fill);
        if self.any.load(Ordering::Acquire) > 0 && lock(&self.sessions).contains(&session.0) {
            return true;
        }
        let level = self.level.load(Ordering::Acquire);
        if level == 0 || level <= xxh3_64(&session.0.to_le_bytes()) {
            return false;
        }
        self.lose(session);
        true
    }

    /// An exchange of this session was lost: so are all that follow.
    pub(super) fn lose(&self, session: SessionId) {
        let mut sessions = lock(&self.sessions);
        if sessions.len() < MAX_SESSIONS {
            sessions.insert(session.0);
        }
        self.any.store(sessions.len(), Ordering::Release);
    }

    /// Sessions that were let go, as far as they are remembered.
    pub(super) fn lost(&self) -> usize {
        self.any.load(Ordering::Acquire)
    }

    /// Moves the share a step with every few offers, by how full the queue is.
    fn follow(&self, fill: usize) {
        let level = self.level.load(Ordering::Acquire);
        if fill <= HALF && level == 0 || !self.offers.fetch_add(1, Ordering::Relaxed).is_multiple_of(EACH) {
            return;
        }
        let moved = match fill {
            ..QUARTER => level.saturating_sub(STEP),
            QUARTER..=HALF => level,
            _ => level.saturating_add(STEP).min(MOST),
        };
        self.level.store(moved, Ordering::Release);
    }
}

const HALF: usize = 128;
const QUARTER: usize = 64;
/// A step of the share: one percent.
const STEP: u64 = u64::MAX / 100;
/// Never all of them: what remains is a sample of the traffic, and shows that it is one.
const MOST: u64 = u64::MAX / 100 * 95;
/// Offers between two steps.
const EACH: usize = 64;
/// Sessions remembered as shed: 16 bytes each.
const MAX_SESSIONS: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_sheds_a_growing_share_of_whole_sessions_and_calm_ends_it() {
        let shedding = Shedding::default();
        let lost = |fill: usize, from: u64| {
            (from..from + 10_000).filter(|n| shedding.sheds(SessionId(*n), fill)).count()
        };
        assert_eq!(lost(100, 0), 0);
        let under_pressure = lost(200, 0);
        assert!((3_000..9_600).contains(&under_pressure), "{under_pressure}");
        let gone: Vec<_> = (0..10_000).filter(|n| lock(&shedding.sessions).contains(n)).collect();
        (0..20_000).for_each(|n| _ = shedding.sheds(SessionId(n + 50_000), 0));
        assert_eq!(lost(0, 1_000_000), 0, "calm again");
        assert!(gone.iter().all(|n| shedding.sheds(SessionId(*n), 0)), "a session that was shed stays shed");
    }
}
