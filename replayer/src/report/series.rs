//! The course of a run, one entry a second, of bounded length.

use crate::limits;
use crate::report::Second;
use crate::tally::Interval;

/// Seconds so far. A long run halves its resolution as often as needed.
#[derive(Debug)]
pub(crate) struct Series {
    seconds: Vec<Second>,
    /// Seconds that one entry covers.
    width: u64,
}

impl Series {
    pub(crate) fn new() -> Series {
        Series { seconds: Vec::new(), width: 1 }
    }

    /// Adds a second.
    pub(crate) fn push(&mut self, interval: &Interval) -> Second {
        let quantile =
            |q| if interval.response.is_empty() { 0 } else { interval.response.value_at_quantile(q) };
        let second = Second {
            t_us: interval.second * SECOND_US,
            active: interval.active,
            sent: interval.sent,
            answered: interval.answered,
            failed: interval.failed,
            injected: interval.injected,
            p50: quantile(0.5),
            p99: quantile(0.99),
            ..Second::default()
        };
        let slot = second.t_us / SECOND_US / self.width * self.width * SECOND_US;
        match self.seconds.last_mut() {
            Some(last) if last.t_us == slot => join(last, &second),
            _ => self.seconds.push(Second { t_us: slot, ..second.clone() }),
        }
        if limits::SERIES < self.seconds.len() {
            self.halve();
        }
        second
    }

    pub(crate) fn into_entries(mut self) -> Vec<Second> {
        while self.seconds.last().is_some_and(|last| *last == Second { t_us: last.t_us, ..Second::default() })
        {
            self.seconds.pop(); // the rest of the last second, when nothing happened in it
        }
        self.seconds
    }

    fn halve(&mut self) {
        self.width *= 2;
        let mut joined: Vec<Second> = Vec::with_capacity(limits::SERIES);
        for second in self.seconds.drain(..) {
            let slot = second.t_us / SECOND_US / self.width * self.width * SECOND_US;
            match joined.last_mut() {
                Some(last) if last.t_us == slot => join(last, &second),
                _ => joined.push(Second { t_us: slot, ..second }),
            }
        }
        self.seconds = joined;
    }
}

/// Counts add up; the median is weighed by answers, the 99th percentile is the worse of the two.
fn join(sum: &mut Second, more: &Second) {
    let answered = (sum.answered + more.answered).max(1);
    sum.p50 = (sum.p50 * sum.answered + more.p50 * more.answered) / answered;
    sum.p99 = sum.p99.max(more.p99);
    sum.active = sum.active.max(more.active);
    sum.sent += more.sent;
    sum.answered += more.answered;
    sum.failed += more.failed;
    sum.injected += more.injected;
}

const SECOND_US: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_keeps_its_sums_in_bounded_space() {
        let mut series = Series::new();
        for second in 0..20_000 {
            series.push(&Interval { sent: 2, answered: 1, ..Interval::new(second) });
        }
        let entries = series.into_entries();
        assert!(entries.len() <= limits::SERIES);
        assert_eq!(entries.iter().map(|entry| entry.sent).sum::<u64>(), 40_000);
        assert!(entries.is_sorted_by_key(|entry| entry.t_us));
    }
}
