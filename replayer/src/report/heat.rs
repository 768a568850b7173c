//! Response latency over time as a map of bounded size.
//!
//! Latencies are counted on one grid for all runs, four ranges to the doubling from 32 us to an hour, so that maps of
//! shards add up. What is written is the part of the grid that was used, thinned to at most
//! [`limits::HEAT_BOUNDS`] ranges by joining neighbours, always the same ones.

use crate::limits;
use crate::report::Heat;
use crate::tally::Interval;

/// The map as it grows. A long run halves its resolution in time as often as needed.
#[derive(Debug)]
pub(crate) struct HeatMap {
    rows: Vec<[u64; GRID]>,
    /// How long a row is.
    step_us: u64,
    /// How many ranges of the grid were one in what was added.
    joined: usize,
}

impl HeatMap {
    pub(crate) fn new() -> HeatMap {
        HeatMap { rows: Vec::new(), step_us: SECOND_US, joined: 1 }
    }

    /// Adds the responses of a second.
    pub(crate) fn push(&mut self, interval: &Interval) {
        if interval.response.is_empty() {
            return;
        }
        let row = self.row(interval.second.saturating_mul(SECOND_US));
        for entry in interval.response.iter_recorded() {
            self.rows[row][range_of(entry.value_iterated_to())] += entry.count_at_value();
        }
    }

    /// Adds a map that was written; one that is no map of ours keeps its sums.
    pub(crate) fn add(&mut self, heat: &Heat) {
        let places: Vec<usize> = heat.bounds_us.iter().map(|bound| range_of(*bound)).collect();
        let gap = places.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).filter(|gap| *gap > 0).min();
        self.joined = self.joined.max(gap.unwrap_or(1).next_power_of_two());
        while self.step_us < heat.step_us {
            self.halve();
        }
        for (nth, counts) in (0..).zip(&heat.counts) {
            if counts.iter().all(|count| *count == 0) {
                continue;
            }
            let row = self.row(heat.step_us.saturating_mul(nth));
            for (place, count) in places.iter().zip(counts) {
                self.rows[row][*place] = self.rows[row][*place].saturating_add(*count);
            }
        }
    }

    /// `None`: nothing was answered.
    pub(crate) fn into_heat(self) -> Option<Heat> {
        let used = |place: &usize| self.rows.iter().any(|row| row[*place] > 0);
        let (first, last) = ((0..GRID).find(used)?, (0..GRID).rfind(used)?);
        let mut joined = self.joined;
        // One empty range below the first tells where that begins.
        let spans = |joined: usize| (last / joined + 1) - (first / joined).saturating_sub(1);
        while limits::HEAT_BOUNDS < spans(joined) {
            joined *= 2;
        }
        let groups = (first / joined).saturating_sub(1)..last / joined + 1;
        let counts = |row: &[u64; GRID]| {
            let sum = |group: usize| row[group * joined..((group + 1) * joined).min(GRID)].iter().sum();
            groups.clone().map(sum).collect()
        };
        Some(Heat {
            step_us: self.step_us,
            bounds_us: groups.clone().map(|group| bound((group + 1) * joined - 1)).collect(),
            counts: self.rows.iter().map(counts).collect(),
        })
    }

    /// The row of a time; makes room for it.
    fn row(&mut self, at_us: u64) -> usize {
        while limits::HEAT_STEPS as u64 <= at_us / self.step_us {
            self.halve();
        }
        let row = (at_us / self.step_us) as usize;
        if self.rows.len() <= row {
            self.rows.resize(row + 1, [0; GRID]);
        }
        row
    }

    fn halve(&mut self) {
        self.step_us = self.step_us.saturating_mul(2);
        let joined = self.rows.chunks(2).map(|pair| {
            let mut sum = pair[0];
            for more in &pair[1..] {
                sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            }
            sum
        });
        self.rows = joined.collect();
    }
}

/// The upper end of a range of the grid.
fn bound(place: usize) -> u64 {
    (LOWEST_US * (place as f64 / PER_DOUBLING).exp2()).round() as u64
}

/// The range of the grid that a latency falls into: the first whose upper end it does not exceed.
fn range_of(us: u64) -> usize {
    let guess =
        ((us.max(1) as f64 / LOWEST_US).log2() * PER_DOUBLING).ceil().clamp(0.0, (GRID - 1) as f64) as usize;
    let below = (guess.saturating_sub(1)..guess).find(|place| us <= bound(*place));
    below.unwrap_or(if us <= bound(guess) { guess } else { (guess + 1).min(GRID - 1) })
}

const SECOND_US: u64 = 1_000_000;
const LOWEST_US: f64 = 32.0;
const PER_DOUBLING: f64 = 4.0;
/// Ranges: up to 3,800 s, beyond the longest latency that is told apart.
const GRID: usize = 108;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heat(values: &[(u64, u64)]) -> Option<Heat> {
        let mut map = HeatMap::new();
        for (second, us) in values {
            let mut interval = Interval::new(*second);
            interval.response.saturating_record(*us);
            map.push(&interval);
        }
        map.into_heat()
    }

    fn total(heat: &Heat) -> u64 {
        heat.counts.iter().flatten().sum()
    }

    #[test]
    fn the_grid_holds_every_latency() {
        assert!(limits::LATENCY_MAX_US < bound(GRID - 1));
        for place in 0..GRID {
            assert_eq!(
                (range_of(bound(place)), range_of(bound(place) + 1)),
                (place, (place + 1).min(GRID - 1))
            );
        }
        assert_eq!((range_of(0), range_of(u64::MAX)), (0, GRID - 1));
    }

    #[test]
    fn a_latency_stands_under_its_bound() {
        let heat = heat(&[(0, 1000), (2, 1000), (2, 4000)]).expect("three answers");
        assert_eq!((heat.step_us, heat.counts.len(), heat.bounds_us.len()), (SECOND_US, 3, 10));
        let at = |us: u64| heat.bounds_us.iter().position(|bound| us <= *bound).expect("it is in range");
        assert_eq!((heat.counts[0][at(1000)], heat.counts[2][at(1000)], heat.counts[2][at(4000)]), (1, 1, 1));
        assert_eq!(heat.counts[1].iter().sum::<u64>(), 0);
        assert_eq!(super::tests::heat(&[]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Of any run, and of any shards of it: bounded, no count lost, and the whole is the sum of its parts.
        #[test]
        fn maps_are_bounded_and_add_up(
            values in proptest::collection::vec((0..40_000_u64, 0..36_u32, 0..1000_u64, any::<bool>()), 1..400),
            short in any::<bool>(),
        ) {
            let of = |second: u64| if short { second % 50 } else { second };
            let values: Vec<(u64, u64, bool)> =
                values.iter().map(|(second, power, more, left)| (of(*second), (1 << power) + more, *left)).collect();
            let part = |wanted: Option<bool>| {
                let of_part = values.iter().filter(|(_, _, left)| wanted.is_none_or(|wanted| *left == wanted));
                heat(&of_part.map(|(second, us, _)| (*second, *us)).collect::<Vec<_>>())
            };
            let whole = part(None).expect("there is a value");
            prop_assert!(whole.counts.len() <= limits::HEAT_STEPS && whole.bounds_us.len() <= limits::HEAT_BOUNDS);
            prop_assert!(whole.bounds_us.is_sorted_by(|one, two| one < two));
            prop_assert_eq!(total(&whole), values.len() as u64);
            let mut sum = HeatMap::new();
            [part(Some(true)), part(Some(false))].iter().flatten().for_each(|part| sum.add(part));
            let merged = sum.into_heat().expect("there is a value");
            prop_assert_eq!(merged, whole);
        }
    }
}
