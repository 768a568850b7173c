//! The cap on the rate, the last thing before the socket: one place a request on a line of evenly spaced ones.

use std::sync::atomic::{AtomicU64, Ordering};

/// Hands out times to send at, evenly spaced over all threads. Time that nobody used does not pile up into a burst.
#[derive(Debug)]
pub(crate) struct RateGate {
    gap_ns: u64,
    next_ns: AtomicU64,
}

impl RateGate {
    /// At most `per_second` requests a second; above 0.
    pub(crate) fn new(per_second: f64) -> RateGate {
        RateGate { gap_ns: (1e9 / per_second).ceil().max(1.0) as u64, next_ns: AtomicU64::new(0) }
    }

    /// The time at which the caller may send, not before `now_ns`; it is the caller's alone.
    pub(crate) fn reserve(&self, now_ns: u64) -> u64 {
        let mut next = self.next_ns.load(Ordering::Relaxed);
        loop {
            let slot = next.max(now_ns);
            let after = slot.saturating_add(self.gap_ns);
            match self.next_ns.compare_exchange_weak(next, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return slot,
                Err(seen) => next = seen,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_evenly_spaced_and_idle_time_is_lost() {
        let gate = RateGate::new(1000.0);
        let ms = 1_000_000;
        let slots: Vec<u64> = [0, 0, 0, 10 * ms, 10 * ms].map(|now| gate.reserve(now)).into();
        assert_eq!(slots, [0, ms, 2 * ms, 10 * ms, 11 * ms]);
    }
}
