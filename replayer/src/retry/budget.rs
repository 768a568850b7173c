//! How many retries a client allows itself: a share of its requests, so that a failing service meets a bounded extra
//! load and not a multiple.

use crate::limits;

/// Counts requests and retries of the last ten seconds. It is told the time, and never asks for it. Each engine thread
/// has one: the shares add up to the same share, the minimum is allowed to each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Budget {
    slots: [Slot; limits::RETRY_WINDOW_S],
    /// The second up to which the slots are current.
    second: u64,
    denied: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    requests: u32,
    retries: u32,
}

impl Budget {
    /// A budget of nothing but the minimum.
    pub(crate) fn new() -> Budget {
        Budget::default()
    }

    /// A first attempt was sent.
    pub(crate) fn on_request(&mut self, now_ns: u64) {
        let slot = self.slot(now_ns);
        slot.requests = slot.requests.saturating_add(1);
    }

    /// Whether one more retry keeps within `percent` of the requests of the window, or within the minimum; if so, it
    /// is spent.
    pub(super) fn spend(&mut self, percent: u32, now_ns: u64) -> bool {
        self.slot(now_ns);
        let sum = |of: fn(&Slot) -> u32| self.slots.iter().map(|slot| u64::from(of(slot))).sum::<u64>();
        let (requests, retries) = (sum(|slot| slot.requests), sum(|slot| slot.retries));
        if (retries + 1) * 100 > requests * u64::from(percent) && retries >= limits::RETRY_MINIMUM {
            self.denied += 1;
            return false;
        }
        self.slot(now_ns).retries += 1;
        true
    }

    /// Retries that it did not allow so far.
    pub(crate) fn denied(&self) -> u64 {
        self.denied
    }

    /// The slot of this second; those of seconds that have left the window are emptied. Time that runs back counts
    /// as standing still.
    fn slot(&mut self, now_ns: u64) -> &mut Slot {
        let window = limits::RETRY_WINDOW_S as u64;
        let now = (now_ns / 1_000_000_000).max(self.second);
        for second in (self.second + 1..=now).take(limits::RETRY_WINDOW_S) {
            self.slots[(second % window) as usize] = Slot::default();
        }
        self.second = now;
        &mut self.slots[(now % window) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn spent(budget: &mut Budget, percent: u32, now_ns: u64) -> usize {
        (0..10_000).take_while(|_| budget.spend(percent, now_ns)).count()
    }

    #[test]
    fn retries_are_a_share_of_the_requests_of_the_window() {
        let mut budget = Budget::new();
        (0..10_000).for_each(|number| budget.on_request(number * SECOND / 2000));
        assert_eq!(spent(&mut budget, 20, 5 * SECOND), 2000);
        assert_eq!(spent(&mut budget, 20, 9 * SECOND), 0, "the window is ten seconds");
        assert_eq!(spent(&mut budget, 50, 9 * SECOND), 3000);
        (0..1000).for_each(|_| budget.on_request(11 * SECOND));
        // 4,000 requests of the first two seconds have left the window, the 5,000 retries have not.
        assert_eq!(spent(&mut budget, 20, 11 * SECOND), 0);
        assert_eq!(spent(&mut budget, 20, 19 * SECOND), 200);
    }

    #[test]
    fn few_requests_have_the_minimum() {
        let mut budget = Budget::new();
        let minimum = limits::RETRY_MINIMUM as usize;
        assert_eq!(spent(&mut budget, 0, 0), minimum);
        assert_eq!(spent(&mut budget, 0, 9 * SECOND), 0);
        assert_eq!(spent(&mut budget, 0, 10 * SECOND), minimum);
        assert_eq!(spent(&mut budget, 0, u64::MAX), minimum, "a leap over any time");
        assert_eq!(spent(&mut budget, 0, 3), 0, "time does not run back");
    }
}
