//! `heartbeat`: the operator's client must renew in time, else the rules are lifted.

use std::time::Duration;

/// A dead man's switch.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    every: Duration,
    last: Duration,
}

impl Heartbeat {
    /// Starts with a beat at `now`; the next must come within `every`.
    #[must_use]
    pub fn new(every: Duration, now: Duration) -> Self {
        Self { every, last: now }
    }

    /// A sign of life; one that comes too late does not undo a lift, that is the caller's to decide.
    pub fn beat(&mut self, now: Duration) {
        self.last = self.last.max(now);
    }

    /// When the next beat is due at the latest.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.last.saturating_add(self.every)
    }

    /// Whether the rules must be lifted.
    #[must_use]
    pub fn is_overdue(&self, now: Duration) -> bool {
        self.deadline() < now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_overdue_only_after_the_time() {
        let s = Duration::from_secs;
        let mut heart = Heartbeat::new(s(20), s(100));
        assert_eq!(heart.deadline(), s(120));
        assert!(!heart.is_overdue(s(120)));
        assert!(heart.is_overdue(s(120) + Duration::from_nanos(1)));
        heart.beat(s(110));
        heart.beat(s(90));
        assert_eq!(heart.deadline(), s(130));
        assert!(!Heartbeat::new(Duration::MAX, s(1)).is_overdue(Duration::MAX));
    }
}
