//! How many different sessions there were of late, in a few kilobytes: a HyperLogLog for each minute.
//!
//! Noting a session is one hash, and in the steady state reads alone. A minute whose place was taken is emptied by whoever
//! comes first; who notes a session at that moment may lose it, which is within the error.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use captures::SessionId;
use xxhash_rust::xxh3::xxh3_64;

/// The sessions of the minute that runs and of those before it, [`MINUTES`] in all.
#[derive(Debug)]
pub(crate) struct Recent {
    minutes: [Minute; MINUTES],
}

#[derive(Debug)]
struct Minute {
    /// Which one since the start, from 1; 0: none yet.
    number: AtomicU64,
    /// The longest run of leading zeros, by the first bits of the hash.
    longest: Box<[AtomicU8]>,
}

impl Default for Recent {
    fn default() -> Recent {
        let longest = || (0..REGISTERS).map(|_| AtomicU8::new(0)).collect();
        Recent { minutes: std::array::from_fn(|_| Minute { number: AtomicU64::new(0), longest: longest() }) }
    }
}

impl Recent {
    /// A session made a request, so long after the start.
    pub(crate) fn note(&self, session: SessionId, now: Duration) {
        let minute = self.minute(number(now));
        let hash = xxh3_64(&session.0.to_le_bytes());
        let register = &minute.longest[(hash >> (64 - BITS)) as usize];
        let zeros = ((hash << BITS) | GUARD).leading_zeros() as u8 + 1; // at most 64 - BITS + 1
        if register.load(Ordering::Relaxed) < zeros {
            register.fetch_max(zeros, Ordering::Relaxed);
        }
    }

    fn minute(&self, number: u64) -> &Minute {
        let minute = &self.minutes[(number % MINUTES as u64) as usize];
        let known = minute.number.load(Ordering::Acquire);
        let turns = known < number
            && minute.number.compare_exchange(known, number, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if turns {
            minute.longest.iter().for_each(|register| register.store(0, Ordering::Relaxed));
        }
        minute
    }

    /// About how many different sessions there were (1.6 % is the standard error), and in how long a time.
    pub(crate) fn count(&self, now: Duration) -> (u64, Duration) {
        let newest = number(now);
        let oldest = newest.saturating_sub(MINUTES as u64 - 1).max(1);
        let is_recent = |minute: &&Minute| (oldest..=newest).contains(&minute.number.load(Ordering::Acquire));
        let recent: Vec<&Minute> = self.minutes.iter().filter(is_recent).collect();
        let longest = (0..REGISTERS).map(|at| {
            recent.iter().map(|minute| minute.longest[at].load(Ordering::Relaxed)).max().unwrap_or(0)
        });
        let span = now.saturating_sub(Duration::from_secs((oldest - 1) * 60));
        (estimate(longest), span)
    }
}

/// The estimate of Flajolet and others, and below its range that by empty registers.
fn estimate(longest: impl Iterator<Item = u8>) -> u64 {
    let (mut sum, mut empty) = (0.0, 0.0_f64);
    for zeros in longest {
        sum += (-f64::from(zeros)).exp2();
        empty += f64::from(u8::from(zeros == 0));
    }
    let n = REGISTERS as f64;
    let raw = 0.7213 / (1.0 + 1.079 / n) * n * n / sum;
    let count = if raw <= 2.5 * n && 0.0 < empty { n * (n / empty).ln() } else { raw };
    count.round() as u64
}

fn number(now: Duration) -> u64 {
    now.as_secs() / 60 + 1
}

const MINUTES: usize = 5;
/// Of the hash, for the register: 4096 of them, a byte each.
const BITS: u32 = 12;
const REGISTERS: usize = 1 << BITS;
/// Ends the run of zeros where the hash does.
const GUARD: u64 = 1 << (BITS - 1);

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(recent: &Recent, sessions: std::ops::Range<u64>, second: u64) {
        sessions.for_each(|session| recent.note(SessionId(session), Duration::from_secs(second)));
    }

    #[test]
    fn sessions_count_once_within_the_error() {
        for n in [0, 1, 2, 50, 1000, 20_000, 300_000] {
            let recent = Recent::default();
            noted(&recent, 0..n, 10);
            noted(&recent, 0..n, 70);
            let (count, span) = recent.count(Duration::from_secs(80));
            let off = count.abs_diff(n) as f64;
            assert!(off <= n as f64 * 0.05, "{count} for {n}");
            assert_eq!(span, Duration::from_secs(80));
        }
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let recent = Recent::default();
        noted(&recent, 0..100, 59);
        noted(&recent, 100..110, 290);
        let count = |second| recent.count(Duration::from_secs(second));
        assert!((108..=112).contains(&count(299).0));
        assert_eq!(count(330), (10, Duration::from_secs(270)));
        noted(&recent, 0..3, 301); // the place of the first minute
        assert_eq!(count(330).0, 13);
        assert_eq!(count(9000), (0, Duration::from_secs(240)));
    }
}
