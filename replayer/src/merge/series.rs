//! Series of several runs, added up step by step.

use std::collections::BTreeMap;

use crate::limits;
use crate::report::{Report, Second};

/// Counts add up; median and 90th percentile are weighed by answers, the 99th is the worst. Runs whose steps differ in
/// width are brought to the widest, and a sum that is too long to wider ones. The steps, and how wide they are in
/// microseconds.
pub(super) fn merged(reports: &[&Report]) -> (Vec<Second>, u64) {
    let mut width = reports.iter().map(|report| width(report)).max().unwrap_or(1);
    loop {
        let mut sums: BTreeMap<u64, Sum> = BTreeMap::new();
        for report in reports {
            for (slot, second) in widened(&report.series, width) {
                sums.entry(slot).or_default().add(&second);
            }
        }
        let length = sums.last_key_value().map_or(0, |(slot, _)| slot + 1);
        if length <= limits::SERIES as u64 {
            let entry = |slot| sums.remove(&slot).unwrap_or_default().into_second(slot * width * SECOND_US);
            return ((0..length).map(entry).collect(), width * SECOND_US);
        }
        width *= 2;
    }
}

/// Seconds that one entry covers.
fn width(report: &Report) -> u64 {
    if report.series_step_us > 0 {
        return report.series_step_us.div_ceil(SECOND_US);
    }
    let gaps = report.series.windows(2).map(|pair| pair[1].t_us.saturating_sub(pair[0].t_us) / SECOND_US);
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
    /// Medians and 90th percentiles times answers; wide enough for any number of shards.
    weighed: [u128; 2],
}

impl Sum {
    fn add(&mut self, more: &Second) {
        let sum = &mut self.second;
        sum.active += more.active;
        sum.planned += more.planned;
        sum.sent += more.sent;
        sum.answered += more.answered;
        sum.status.add(more.status);
        sum.failed += more.failed;
        sum.injected += more.injected;
        sum.p99 = sum.p99.max(more.p99);
        sum.lateness_p99 = sum.lateness_p99.max(more.lateness_p99);
        for (weighed, percentile) in self.weighed.iter_mut().zip([more.p50, more.p90]) {
            *weighed += u128::from(percentile) * u128::from(more.answered);
        }
    }

    fn into_second(self, t_us: u64) -> Second {
        let answered = u128::from(self.second.answered.max(1));
        let [p50, p90] = self.weighed.map(|weighed| u64::try_from(weighed / answered).unwrap_or(u64::MAX));
        Second { t_us, p50, p90, ..self.second }
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
        report.series_step_us = 0; // as older files have it
        report
    }

    #[test]
    fn steps_of_one_time_add_up() {
        let (one, other) = (run(1, 3), run(1, 2));
        let (series, step_us) = merged(&[&one, &other]);
        assert_eq!((series.len(), step_us), (3, SECOND_US));
        assert_eq!((series[0].sent, series[0].active, series[0].p50, series[1].p99), (2, 10, 100, 201));
        assert_eq!((series[2].t_us, series[2].sent, series[2].active), (2 * SECOND_US, 1, 5));
        assert!(merged(&[&run(1, 0)]).0.is_empty());
    }

    #[test]
    fn the_widest_step_holds() {
        let (fine, coarse) = (run(1, 8), run(4, 2));
        let (series, step_us) = merged(&[&fine, &coarse]);
        assert_eq!(step_us, 4 * SECOND_US);
        let shown: Vec<_> = series.iter().map(|s| (s.t_us / SECOND_US, s.sent, s.active, s.p50)).collect();
        assert_eq!(shown, [(0, 8, 10, 100), (4, 8, 10, 100)]);
    }

    #[test]
    fn the_sum_is_bounded() {
        let mut late = run(1, limits::SERIES as u64);
        late.series.iter_mut().for_each(|second| second.t_us += 3600 * SECOND_US);
        let (series, step_us) = merged(&[&run(1, limits::SERIES as u64), &late]);
        assert!(series.len() <= limits::SERIES);
        assert!((0..).zip(&series).all(|(place, entry)| entry.t_us == place * step_us));
        assert_eq!(series.iter().map(|second| second.sent).sum::<u64>(), 2 * limits::SERIES as u64);
    }
}
