//! The timing of one open stream. It exists a million times, so it holds two numbers.

use crate::limits;

/// When messages came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pulse {
    last_ns: u64,
    count: u32,
}

impl Pulse {
    /// Notes a message, after 0, and returns the gap since the one before it; the first has none.
    pub(crate) fn on_message(&mut self, now_ns: u64) -> Option<u64> {
        let gap = (self.last_ns > 0).then(|| now_ns.saturating_sub(self.last_ns));
        self.last_ns = now_ns.max(self.last_ns);
        self.count = self.count.saturating_add(1);
        gap
    }

    /// How many came; it stops at `u32::MAX`.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// How long nothing has come: since the last message, or since the stream was opened.
    pub(crate) fn silence_ns(&self, opened_ns: u64, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.last_ns.max(opened_ns))
    }

    /// The stream is opened again: the next message has no gap before it.
    pub(crate) fn interrupt(&mut self) {
        self.last_ns = 0;
    }
}

/// A longer gap than this is a stall, where the median gap of the recorded stream was `median_gap_ns`.
pub(crate) fn stall_after_ns(median_gap_ns: u64) -> u64 {
    let floor = limits::STALL_FLOOR.as_nanos() as u64;
    median_gap_ns.saturating_mul(limits::STALL_GAPS).max(floor)
}

const _: () = assert!(size_of::<Pulse>() <= 16, "a million open streams hold one each");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_lie_between_messages() {
        let mut pulse = Pulse::default();
        assert_eq!((pulse.count(), pulse.silence_ns(5, 30)), (0, 25));
        let gaps = [1, 11, 11, 41, 36, 42].map(|now| pulse.on_message(now));
        assert_eq!(gaps, [None, Some(10), Some(0), Some(30), Some(0), Some(1)], "a clock never runs back");
        assert_eq!((pulse.count(), pulse.silence_ns(5, 51)), (6, 9));
        pulse.interrupt();
        assert_eq!((pulse.on_message(42), pulse.silence_ns(45, 50)), (None, 5));
        pulse.count = u32::MAX;
        assert_eq!((pulse.on_message(61), pulse.count()), (Some(19), u32::MAX));
    }

    #[test]
    fn a_stall_is_long_for_that_stream_and_long_for_a_person() {
        let check = |median_ms: u64, stall_ms: u64| {
            assert_eq!(stall_after_ns(median_ms * 1_000_000), stall_ms * 1_000_000, "{median_ms}");
        };
        check(0, 1000);
        check(20, 1000);
        check(100, 1000);
        check(500, 5000);
        assert_eq!(stall_after_ns(u64::MAX), u64::MAX);
    }
}
