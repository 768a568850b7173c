//! Series of several runs, added up step by step.

use std::collections::BTreeMap;

use crate::limits;
use crate::report::{Report, Second};

/// Counts add up; the median is weighed by answers, the 99th percentile is the worst. Runs whose steps differ in width
/// are brought to the widest, and a sum that is too long to wider ones.
pub(super) fn merged(reports: &[&Report]) -> Vec<Second> {
    let mut width = reports.iter().map(|report| width(&report.series)).max().unwrap_or(1);
    loop {
        let mut sums: BTreeMap<u64, Sum> = BTreeMap::new();
        for report in reports {
            for (slot, second) in widened(&report.series, width) {
                sums.entry(slot).or_default().add(&second);
            }
        }
        if sums.len() <= limits::SERIES {
            return sums.into_iter().map(|(slot, sum)| sum.into_second(slot * width * SECOND_US)).collect();
        }
        width *= 2;
    }
}

/// Seconds that one entry covers.
fn width(series: &[Second]) -> u64 {
    let gaps = series.windows(2).map(|pair| pair[1].t_us.saturating_sub(pair[0].t_us) / SECOND_US);
    gaps.filter(|gap| *gap > 0).min().unwrap_or(1)
}

/// One run in wider steps: within a run the sessions of a step are the most at once, not a sum.
fn widened(series: &[Second], width: u64) -> BTreeMap<u64, Second> {
    let mut slots: BTreeMap<u64, Sum> = BTreeMap::new();
    let mut active: BTreeMap<u64, u64> = BTreeMap::new();
    for second in series {
        let slot = second.t_us / SECOND_US / width;
        slots.entry(slot).or_default().add(second);
        let most = active.entry(slot).or_default();
        *most = second.active.max(*most);
    }
    let wide = |(slot, sum): (u64, Sum)| (slot, Second { active: active[&slot], ..sum.into_second(0) });
    slots.into_iter().map(wide).collect()
}

#[derive(Debug, Default)]
struct Sum {
    second: Second,
    /// Medians times answers; wide enough for any number of shards.
    weighed: u128,
}

impl Sum {
    fn add(&mut self, more: &Second) {
        let sum = &mut self.second;
        sum.active += more.active;
        sum.sent += more.sent;
        sum.answered += more.answered;
        sum.failed += more.failed;
        sum.injected += more.injected;
        sum.p99 = sum.p99.max(more.p99);
        self.weighed += u128::from(more.p50) * u128::from(more.answered);
    }

    fn into_second(self, t_us: u64) -> Second {
        let answered = u128::from(self.second.answered.max(1));
        Second { t_us, p50: u64::try_from(self.weighed / answered).unwrap_or(u64::MAX), ..self.second }
    }
}

const SECOND_US: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn run(width: u64, entries: u64) -> Report {
        let mut report = sample::report(&sample::tally(), "1/1");
        let entry = |i| Second {
            t_us: i * width * SECOND_US,
            active: 5,
            sent: width,
            answered: width,
            p50: 100,
            p99: 200 + i,
            ..Second::default()
        };
        report.series = (0..entries).map(entry).collect();
        report
    }

    #[test]
    fn steps_of_one_time_add_up() {
        let (one, other) = (run(1, 3), run(1, 2));
        let series = merged(&[&one, &other]);
        assert_eq!(series.len(), 3);
        assert_eq!((series[0].sent, series[0].active, series[0].p50, series[1].p99), (2, 10, 100, 201));
        assert_eq!((series[2].t_us, series[2].sent, series[2].active), (2 * SECOND_US, 1, 5));
        assert!(merged(&[&run(1, 0)]).is_empty());
    }

    #[test]
    fn the_widest_step_holds() {
        let (fine, coarse) = (run(1, 8), run(4, 2));
        let series = merged(&[&fine, &coarse]);
        let shown: Vec<_> = series.iter().map(|s| (s.t_us / SECOND_US, s.sent, s.active, s.p50)).collect();
        assert_eq!(shown, [(0, 8, 10, 100), (4, 8, 10, 100)]);
    }

    #[test]
    fn the_sum_is_bounded() {
        let mut late = run(1, limits::SERIES as u64);
        late.series.iter_mut().for_each(|second| second.t_us += 3600 * SECOND_US);
        let series = merged(&[&run(1, limits::SERIES as u64), &late]);
        assert!(series.len() <= limits::SERIES);
        assert_eq!(series.iter().map(|second| second.sent).sum::<u64>(), 2 * limits::SERIES as u64);
    }
}
