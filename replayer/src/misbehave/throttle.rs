//! The pace of a slow link or a slow reader.

use crate::limits;

/// Bytes at a fixed speed, in pieces of `limits::LINK_QUANTUM`. Time in which nothing moved is not made up for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Throttle {
    bytes_per_s: u64,
    free_ns: u64,
}

impl Throttle {
    /// `bytes_per_s` is above 0.
    pub(crate) fn new(bytes_per_s: u64) -> Throttle {
        Throttle { bytes_per_s: bytes_per_s.max(1), free_ns: 0 }
    }

    /// How many bytes may move now, at least 1.
    ///
    /// # Errors
    /// When none may: the time at which to ask again.
    pub(crate) fn room(&self, now_ns: u64) -> Result<usize, u64> {
        if now_ns < self.free_ns {
            return Err(self.free_ns);
        }
        let bytes = u128::from(self.bytes_per_s) * limits::LINK_QUANTUM.as_nanos() / NANOS;
        Ok(usize::try_from(bytes).unwrap_or(usize::MAX).max(1))
    }

    /// Notes that so many bytes moved: the link is taken for as long as they need.
    pub(crate) fn moved(&mut self, bytes: usize, now_ns: u64) {
        let takes = (bytes as u128 * NANOS).div_ceil(u128::from(self.bytes_per_s));
        let takes = u64::try_from(takes).unwrap_or(u64::MAX);
        self.free_ns = self.free_ns.max(now_ns).saturating_add(takes);
    }
}

const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Nanoseconds until `bytes` have moved, when each wake-up is `late_ns` late.
    fn takes(bytes_per_s: u64, mut bytes: usize, late_ns: u64) -> u64 {
        let (mut throttle, mut now_ns) = (Throttle::new(bytes_per_s), 1000);
        while bytes > 0 {
            match throttle.room(now_ns) {
                Ok(room) => {
                    let moved = room.min(bytes);
                    throttle.moved(moved, now_ns);
                    bytes -= moved;
                }
                Err(free_ns) => now_ns = free_ns + late_ns,
            }
        }
        throttle.free_ns - 1000
    }

    #[test]
    fn bytes_move_at_the_speed_they_should() {
        let check = |bytes_per_s, bytes, expected_ns: u64| {
            let taken = takes(bytes_per_s, bytes, 0);
            assert!(taken.abs_diff(expected_ns) <= expected_ns / 1000, "{bytes_per_s}: {taken}");
            let late = takes(bytes_per_s, bytes, 100_000);
            assert!((taken..=taken + taken / 100).contains(&late), "late wake-ups cost little: {late}");
        };
        check(64_000, 640_000, 10_000_000_000);
        check(4096, 40_960, 10_000_000_000);
        check(1, 3, 3_000_000_000);
        check(10_000_000_000, 1_000_000_000, 100_000_000);
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut throttle = Throttle::new(1000);
        throttle.moved(50, 0);
        assert_eq!(throttle.room(49_999_999), Err(50_000_000));
        assert_eq!(throttle.room(60_000_000_000), Ok(50));
        throttle.moved(50, 60_000_000_000);
        assert_eq!(throttle.room(60_000_000_000), Err(60_050_000_000));
        throttle.moved(usize::MAX, u64::MAX - 1);
        assert_eq!(throttle.room(u64::MAX - 1), Err(u64::MAX));
    }
}
