//! The course of a run, one entry a second, of bounded length.

use crate::analysis::stats;
use crate::limits;
use crate::report::{Second, Statuses};
use crate::tally::Interval;

/// Seconds so far. A long run halves its resolution as often as needed.
#[derive(Debug)]
pub(crate) struct Series {
    /// From the beginning of the run, without a gap.
    entries: Vec<Second>,
    /// Median lateness of each, in microseconds; `None`: nothing was sent.
    lateness: Vec<Option<f64>>,
    /// Seconds that one entry covers.
    width: u64,
}

impl Series {
    pub(crate) fn new() -> Series {
        Series { entries: Vec::new(), lateness: Vec::new(), width: 1 }
    }

    /// Adds a second. One that comes late finds its place.
    pub(crate) fn push(&mut self, interval: &Interval) -> Second {
        let second = second(interval);
        let lateness = &interval.lateness;
        let median = (!lateness.is_empty()).then(|| lateness.value_at_quantile(0.5) as f64);
        let slot = self.slot(interval.second);
        let parts = [self.lateness[slot], median].into_iter().flatten();
        self.lateness[slot] = parts.reduce(f64::max);
        join(&mut self.entries[slot], &second);
        for (age, due) in (0..).zip(interval.due).filter(|(_, due)| *due > 0) {
            let slot = self.slot(interval.second.saturating_sub(age));
            self.entries[slot].planned += u64::from(due);
        }
        second
    }

    /// Its entries so far, and how long each is in microseconds.
    pub(crate) fn entries(&self) -> (&[Second], u64) {
        (&self.entries, self.width * SECOND_US)
    }

    /// The same at the end, without what is empty behind the last.
    pub(crate) fn into_entries(mut self) -> (Vec<Second>, u64) {
        let is_empty = |entry: &Second| *entry == Second { t_us: entry.t_us, ..Second::default() };
        while self.entries.last().is_some_and(is_empty) {
            self.entries.pop(); // the rest of the last second, when nothing happened in it
        }
        (self.entries, self.width * SECOND_US)
    }

    /// Growth of the lateness in microseconds a second: the median of the slopes between any two entries (Theil 1950,
    /// Sen 1968), which a few bad seconds do not move. `None`: less than [`DRIFT_ENTRIES`] of them.
    pub(crate) fn drift(&self) -> Option<f64> {
        let known =
            (0_u32..).zip(&self.lateness).filter_map(|(at, lateness)| Some((f64::from(at), (*lateness)?)));
        let known: Vec<(f64, f64)> = known.collect();
        if known.len() < DRIFT_ENTRIES {
            return None;
        }
        let mut slopes = stats::slopes(&known);
        let middle = slopes.len() / 2;
        let (_, median, _) = slopes.select_nth_unstable_by(middle, f64::total_cmp);
        Some(*median / self.width as f64)
    }

    /// Where a second belongs; makes room for it.
    fn slot(&mut self, second: u64) -> usize {
        while limits::SERIES as u64 <= second / self.width {
            self.halve();
        }
        let slot = (second / self.width) as usize;
        while self.entries.len() <= slot {
            let t_us = self.entries.len() as u64 * self.width * SECOND_US;
            self.entries.push(Second { t_us, ..Second::default() });
            self.lateness.push(None);
        }
        slot
    }

    fn halve(&mut self) {
        self.width *= 2;
        let joined = self.entries.chunks(2).map(|pair| {
            let mut sum = pair[0].clone();
            pair[1..].iter().for_each(|more| join(&mut sum, more));
            sum
        });
        self.entries = joined.collect();
        let worse = self.lateness.chunks(2).map(|pair| pair.iter().flatten().copied().reduce(f64::max));
        self.lateness = worse.collect();
    }
}

/// A second as it goes into the series; what was due in it is not known before the rest has come.
fn second(interval: &Interval) -> Second {
    let quantile = |q| if interval.response.is_empty() { 0 } else { interval.response.value_at_quantile(q) };
    let lateness = &interval.lateness;
    Second {
        t_us: interval.second * SECOND_US,
        active: interval.active,
        planned: 0,
        sent: interval.sent,
        answered: interval.answered,
        status: Statuses::of(interval.status),
        failed: interval.failed,
        injected: interval.injected,
        p50: quantile(0.5),
        p90: quantile(0.9),
        p99: quantile(0.99),
        lateness_p99: if lateness.is_empty() { 0 } else { lateness.value_at_quantile(0.99) },
    }
}

/// Counts add up; median and 90th percentile are weighed by answers, the 99th is the worse of the two.
fn join(sum: &mut Second, more: &Second) {
    let answered = (sum.answered + more.answered).max(1);
    let weighed = |sum_p: u64, more_p: u64| (sum_p * sum.answered + more_p * more.answered) / answered;
    (sum.p50, sum.p90) = (weighed(sum.p50, more.p50), weighed(sum.p90, more.p90));
    sum.p99 = sum.p99.max(more.p99);
    sum.lateness_p99 = sum.lateness_p99.max(more.lateness_p99);
    sum.active = sum.active.max(more.active);
    sum.planned += more.planned;
    sum.sent += more.sent;
    sum.answered += more.answered;
    sum.status.add(more.status);
    sum.failed += more.failed;
    sum.injected += more.injected;
}

const SECOND_US: u64 = 1_000_000;
/// Fewer say nothing of a drift.
const DRIFT_ENTRIES: usize = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn late(second: u64, us: u64) -> Interval {
        let mut interval = Interval::new(second);
        interval.lateness.saturating_record_n(us, 10);
        interval
    }

    #[test]
    fn what_was_due_earlier_is_counted_there() {
        let mut series = Series::new();
        for second in 0..5 {
            let mut interval = Interval::new(second);
            interval.note_due(second);
            interval.note_due(second);
            interval.note_due(1);
            series.push(&interval);
        }
        let (entries, step_us) = series.into_entries();
        assert_eq!(step_us, SECOND_US);
        // The first second knew of nothing later; a due time ahead of its second counts in it.
        assert_eq!(entries.iter().map(|entry| entry.planned).collect::<Vec<_>>(), [3, 6, 2, 2, 2]);
    }

    #[test]
    fn a_drift_is_the_growth_of_lateness_whatever_a_few_seconds_do() {
        let drift = |of: &dyn Fn(u64) -> u64, seconds: u64| {
            let mut series = Series::new();
            for second in 0..seconds {
                series.push(&late(second, of(second)));
            }
            series.drift()
        };
        assert_eq!(drift(&|_| 100, 4), None);
        assert_eq!(drift(&|_| 100, 60), Some(0.0));
        assert_eq!(drift(&|second| if second == 30 { 5_000_000 } else { 100 }, 60), Some(0.0));
        let grows = drift(&|second| 1000 + 100 * second, 60).expect("long enough");
        assert!((grows - 100.0).abs() < 5.0, "{grows}");
        let long = drift(&|second| 1000 + 100 * second, 4000).expect("long enough");
        assert!((long - 100.0).abs() < 5.0, "{long}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]

        /// Any number of seconds in any order: the length is bounded, the steps are even, and no count is lost.
        #[test]
        fn a_long_run_keeps_its_sums_in_bounded_space(
            seconds in proptest::collection::vec((0..20_000_u64, 0..1000_u64, 0..70_u64), 1..3000),
        ) {
            let mut series = Series::new();
            let mut planned = 0;
            for (second, sent, age) in &seconds {
                let mut interval = Interval { sent: *sent, answered: sent / 2, ..Interval::new(*second) };
                for nth in 0..sent / 2 {
                    interval.note_status(100 + (nth % 7 * 100) as u16);
                }
                interval.note_due(second.saturating_sub(*age));
                planned += 1;
                series.push(&interval);
            }
            let (entries, step_us) = series.into_entries();
            prop_assert!(entries.len() <= limits::SERIES);
            prop_assert!((0..).zip(&entries).all(|(place, entry)| entry.t_us == place * step_us));
            let sum = |part: fn(&Second) -> u64| entries.iter().map(part).sum::<u64>();
            prop_assert_eq!(sum(|entry| entry.sent), seconds.iter().map(|(_, sent, _)| sent).sum::<u64>());
            prop_assert_eq!(sum(|entry| entry.planned), planned);
            prop_assert!(entries.iter().all(|entry| entry.status.total() == entry.answered));
        }
    }
}
