//! Whether the target was asked for more than it takes: then what is due piles up, and answers get slower and slower as if
//! something leaked.

use crate::report::Second;
use crate::report::text::number;

/// A target that answers as fast as ever, while more and more waits for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Backlog {
    /// Requests a second in the second half of the time in which something was due.
    pub(crate) due: u64,
    pub(crate) answered: u64,
    /// Requests that were due and not answered when the last was.
    pub(crate) waiting: u64,
}

/// Looks at the course of a run, whose steps are `step_us` long.
pub(crate) fn find(course: &[Second], step_us: u64) -> Option<Backlog> {
    let last = course.iter().rposition(|second| second.planned > 0)?;
    let (course, half) = (&course[..=last], last.div_ceil(2));
    if last < STEPS {
        return None;
    }
    let due = |part: &[Second]| part.iter().map(|second| second.planned).sum::<u64>();
    let done = |part: &[Second]| part.iter().map(over).sum::<u64>();
    let waiting = |until: usize| due(&course[..until]).saturating_sub(done(&course[..until]));
    let (late, third) = (&course[half..], course.len() / 3);
    let (before, after) = (done(&course[third..2 * third]), done(&course[2 * third..3 * third]));
    let all = waiting(course.len());
    // one that answers less and less has something wrong with it, whatever else is
    let is_steady = 17 * before <= 20 * after;
    let piles_up = all.max(FEWEST) == all && due(course) <= 20 * all && 2 * waiting(half) <= all + all / 2;
    let rate = |count: u64| (count as f64 * 1e6 / (late.len() as u64 * step_us).max(1) as f64).round() as u64;
    let is_over = 11 * done(late) <= 10 * due(late);
    let found = Backlog { due: rate(due(late)), answered: rate(done(late)), waiting: all };
    (is_steady && piles_up && is_over).then_some(found)
}

/// What nobody waits for any more; rather too much than too little, as a 429 is both answered and failed.
fn over(second: &Second) -> u64 {
    second.answered + second.failed.saturating_sub(second.status.broken)
}

impl Backlog {
    /// What it comes to, in words.
    pub(crate) fn in_words(&self) -> String {
        format!(
            "in the second half {} requests a second were due and {} were answered, no fewer than before; when the last was \
             due, {} waited for an answer",
            number(self.due),
            number(self.answered),
            number(self.waiting)
        )
    }
}

/// Steps of a course below which it tells nothing.
const STEPS: usize = 6;
/// Requests that have to wait at the end.
const FEWEST: u64 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn course(seconds: u64, planned: impl Fn(u64) -> u64, answered: impl Fn(u64) -> u64) -> Vec<Second> {
        let second = |at| Second { planned: planned(at), answered: answered(at), ..Second::default() };
        (0..seconds).map(second).collect()
    }

    #[test]
    fn more_than_it_takes_is_told_from_what_takes_longer() {
        let found = find(&course(20, |at| 30 * at, |at| (30 * at).min(250)), 1_000_000).expect("it piles up");
        assert_eq!((found.answered, found.due), (250, 435));
        assert!(found.in_words().contains("435 requests a second were due and 250"), "{}", found.in_words());
        let constant =
            find(&course(20, |_| 300, |_| 250), 1_000_000).expect("it piles up from the beginning");
        assert_eq!(constant.waiting, 1000);
        // all are answered; a few wait for a rule; fewer and fewer are answered; too short
        assert_eq!(find(&course(20, |_| 300, |_| 300), 1_000_000), None);
        assert_eq!(find(&course(20, |_| 300, |at| if at < 2 { 200 } else { 300 }), 1_000_000), None);
        assert_eq!(find(&course(20, |_| 300, |at| 300 - 10 * at), 1_000_000), None);
        assert_eq!(find(&course(5, |_| 300, |_| 100), 1_000_000), None);
        assert_eq!(find(&[], 1), None);
    }
}
