//! When the new sessions begin.

use super::random::Random;
use crate::shape::Shape;
use crate::shape::curve::Curve;

/// Moments in rising order, in microseconds since 1970-01-01 UTC.
pub(super) enum Starts {
    /// Listed, of a trace.
    Listed(std::vec::IntoIter<u64>),
    /// Drawn within the bins of a curve, bin by bin.
    Drawn {
        bins: std::vec::IntoIter<(u64, u64)>,
        width_us: u64,
        span: (u64, u64),
        seed: u64,
        ready: Vec<u64>,
    },
}

impl Starts {
    /// Starts of `sessions` that keep the arrival curve of `source`.
    ///
    /// Those of as many sessions as there were lie where those did, to the width of a bin. Of fewer, a random part is
    /// taken. Of more, the further ones are copies, and each copy is moved as a whole by up to a hundredth of the span: so
    /// the curve and the bursts in it are kept, and the bursts do not lie on top of each other.
    pub(super) fn like(source: &Shape, sessions: u64, seed: u64) -> Starts {
        let mut random = Random::of(seed, STARTS);
        let span = source.requests.span().unwrap_or_default();
        let curve = &source.sessions;
        let had = curve.count();
        let length = span.1 - span.0;
        let reach = (length / 50).max(length / had.max(1) * 2);
        let mut starts = Curve::default();
        let mut done = 0;
        while done < sessions && had != 0 {
            let copied = had.min(sessions - done);
            let moved = if had == 1 || done != 0 { random.below(reach + 1) } else { reach / 2 };
            let (mut wanted, mut left) = (copied, had);
            for (start, count) in curve.bins() {
                for _ in 0..count {
                    // each of those left is as likely to be among those still wanted
                    let taken = random.below(left) < wanted;
                    left -= 1;
                    if taken {
                        wanted -= 1;
                        let at = start + random.below(curve.width_us());
                        starts
                            .add(reflected(i128::from(at) + i128::from(moved) - i128::from(reach / 2), span));
                    }
                }
            }
            done += copied;
        }
        let bins: Vec<(u64, u64)> = starts.bins().collect();
        Starts::Drawn { bins: bins.into_iter(), width_us: starts.width_us(), span, seed, ready: Vec::new() }
    }

    /// `sessions` of the arrivals of a trace, evenly taken, laid from `from_us` on and pulled or pushed together to
    /// take `within_us`.
    pub(super) fn of_trace(times: &[u64], sessions: u64, from_us: u64, within_us: Option<u64>) -> Starts {
        let (first, last) = (times.first().copied().unwrap_or(0), times.last().copied().unwrap_or(0));
        let scaled = |at: u64| match within_us {
            Some(within) if first < last => {
                (u128::from(at - first) * u128::from(within) / u128::from(last - first)) as u64
            }
            Some(_) => 0,
            None => at - first,
        };
        let place = |n: u64| (u128::from(n) * times.len() as u128 / u128::from(sessions)) as usize;
        let starts: Vec<u64> =
            (0..sessions).map(|n| from_us.saturating_add(scaled(times[place(n)]))).collect();
        Starts::Listed(starts.into_iter())
    }
}

impl Iterator for Starts {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        match self {
            Starts::Listed(times) => times.next(),
            Starts::Drawn { bins, width_us, span, seed, ready } => {
                if ready.is_empty() {
                    let (start, count) = bins.next()?;
                    let mut random = Random::of(*seed ^ STARTS, start);
                    let drawn = (0..count).map(|_| start.saturating_add(random.below(*width_us)));
                    ready.extend(drawn.map(|at| at.clamp(span.0, span.1)));
                    ready.sort_unstable_by(|a, b| b.cmp(a));
                }
                ready.pop()
            }
        }
    }
}

/// The moment, thrown back where it lies beyond an end of the span.
fn reflected(at: i128, span: (u64, u64)) -> u64 {
    let length = i128::from(span.1 - span.0);
    if length == 0 {
        return span.0;
    }
    let there_and_back = (at - i128::from(span.0)).rem_euclid(2 * length);
    span.0 + there_and_back.min(2 * length - there_and_back) as u64
}

/// Tells the draws of starts from those of sessions.
const STARTS: u64 = 0x5354_4152_5453;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Exchange, SessionId};

    fn by_second(starts: Starts) -> BTreeMap<u64, u64> {
        let mut counts = BTreeMap::new();
        starts.for_each(|at| *counts.entry(at / 1_000_000).or_default() += 1);
        counts
    }

    fn source(starts: impl IntoIterator<Item = u64>) -> Shape {
        let mut shape = Shape::default();
        for (session, start_us) in (0..).zip(starts) {
            shape.observe(&Exchange { session: SessionId(session), start_us, ..Exchange::default() });
        }
        shape.finish();
        shape
    }

    #[test]
    fn as_many_sessions_begin_where_they_did() {
        let shape = source((0..500).map(|n| n * n * 1000));
        let starts: Vec<u64> = Starts::like(&shape, 500, 1).collect();
        assert!(starts.is_sorted() && starts.len() == 500);
        for (n, at) in (0..500_u64).zip(starts) {
            assert!(at.abs_diff(n * n * 1000) <= 20_000, "{n}: {at}");
        }
    }

    #[test]
    fn more_and_fewer_keep_the_curve() {
        // a quiet half and a busy one
        let times = (0..100).map(|n| n * 1_000_000).chain((0..900).map(|n| 100_000_000 + n * 111_111));
        let shape = source(times);
        for sessions in [50, 999, 1001, 10_000] {
            let counts = by_second(Starts::like(&shape, sessions, 7));
            assert_eq!(counts.values().sum::<u64>(), sessions);
            let busy: u64 = counts.range(100..).map(|(_, n)| n).sum();
            let share = busy as f64 / sessions as f64;
            // 0.9 within four standard deviations of a draw, and what is moved across the middle, a hundredth of the span
            assert!(
                (share - 0.9).abs() < 0.02 + 4.0 * (0.09 / sessions as f64).sqrt(),
                "{sessions}: {share}"
            );
        }
    }

    #[test]
    fn copies_do_not_stack_bursts() {
        // 1,000 independent arrivals, one a second
        let mut random = Random::of(3, 3);
        let mut times: Vec<u64> = (0..1000).map(|_| random.below(1_000_000_000)).collect();
        times.sort_unstable();
        let mut curve = Curve::default();
        Starts::like(&source(times), 10_000, 5).for_each(|at| curve.add(at));
        let found = curve.dispersion(1_000_000).unwrap();
        // ten copies on top of each other would give 10, ten that have nothing to do with each other 1; moved within 20 s
        // some of them come close
        assert!((0.8..4.0).contains(&found), "{found}");
    }

    #[test]
    fn bursts_stay_bursts() {
        // 500 independent bursts of 20 within a second
        let mut random = Random::of(4, 4);
        let mut burst = |_| std::iter::repeat_n(random.below(1_000_000_000), 20);
        let times: Vec<u64> =
            (0..500).flat_map(&mut burst).zip(0..).map(|(at, n)| at + n % 20 * 50_000).collect();
        let shape = source(times);
        let recorded = shape.sessions.dispersion(10_000_000).unwrap();
        for sessions in [10_000, 25_000, 100_000] {
            let mut curve = Curve::default();
            Starts::like(&shape, sessions, 5).for_each(|at| curve.add(at));
            let found = curve.dispersion(10_000_000).unwrap();
            let more = sessions as f64 / 10_000.0;
            assert!(
                recorded * 0.5 < found && found < recorded * more * 1.1,
                "{sessions}: {found} for {recorded}"
            );
        }
    }

    #[test]
    fn one_session_and_no_span() {
        let one = Starts::like(&source([5_000_000]), 10, 1);
        assert_eq!(one.collect::<Vec<_>>(), [5_000_000; 10]);
        assert_eq!(Starts::like(&source([]), 10, 1).count(), 0);
    }

    #[test]
    fn a_trace_is_laid_and_scaled() {
        let laid = |sessions, within| {
            Starts::of_trace(&[100, 200, 400, 500], sessions, 1000, within).collect::<Vec<_>>()
        };
        assert_eq!(laid(4, None), [1000, 1100, 1300, 1400]);
        assert_eq!(laid(2, None), [1000, 1300]);
        assert_eq!(laid(4, Some(4000)), [1000, 2000, 4000, 5000]);
        assert_eq!(Starts::of_trace(&[7, 7], 2, 1, Some(100)).collect::<Vec<_>>(), [1, 1]);
    }
}
