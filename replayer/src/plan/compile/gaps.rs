//! `--max-gap`: long pauses within a session are shortened, and all that follows moves with them.

/// Where pauses were cut: from a moment on, how much earlier everything is.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    cuts: Vec<(u64, u64)>,
}

impl Cuts {
    /// Cuts the pauses longer than `most` between intervals (start, known end), which are in order of their starts.
    pub(super) fn new(intervals: impl Iterator<Item = (u64, u64)>, most: u64) -> Cuts {
        let (mut cuts, mut total, mut busy_until) = (Vec::new(), 0, None);
        for (start, end) in intervals {
            let idle = start.saturating_sub(busy_until.unwrap_or(start));
            if most < idle {
                total += idle - most;
                cuts.push((start, total));
            }
            busy_until = busy_until.max(Some(end.max(start)));
        }
        Cuts { cuts }
    }

    /// The moment `at`, which lies in no pause, once they are cut.
    pub(super) fn moved(&self, at: u64) -> u64 {
        let before = self.cuts.partition_point(|(from, _)| *from <= at);
        at - before.checked_sub(1).map_or(0, |last| self.cuts[last].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_pauses_are_cut() {
        let check = |intervals: &[(u64, u64)], most, expect: &[u64]| {
            let cuts = Cuts::new(intervals.iter().copied(), most);
            let starts: Vec<u64> = intervals.iter().map(|(start, _)| cuts.moved(*start)).collect();
            assert_eq!(starts, expect, "{intervals:?}");
        };
        check(&[], 5, &[]);
        check(&[(100, 110), (200, 210), (212, 220)], 10, &[100, 120, 132]);
        check(&[(0, 100), (10, 20), (105, 106), (200, 201)], 5, &[0, 10, 105, 111]);
        check(&[(0, 0), (50, 50)], 0, &[0, 0]);
        check(&[(0, 10), (20, 30)], 10, &[0, 20]);
    }
}
