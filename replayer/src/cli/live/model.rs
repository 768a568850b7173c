//! What the screen shows, of bounded size.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::report::Second;
use crate::{Outline, Progress};

/// A run so far.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) capture: String,
    pub(super) target: String,
    /// Sessions of the plan; `None`: so many as time allows.
    pub(super) sessions: Option<u64>,
    /// Requests of the plan; 0: nobody knows.
    pub(super) planned: u64,
    pub(super) sent: u64,
    pub(super) answered: u64,
    pub(super) failed: u64,
    /// How long the run is to take, in microseconds; `None`: as long as it takes.
    pub(super) span_us: Option<u64>,
    pub(super) clock: Clock,
    /// The last seconds, the newest last.
    pub(super) seconds: VecDeque<Second>,
    pub(super) errors: BTreeMap<&'static str, Figure>,
    pub(super) rules: BTreeMap<String, Figure>,
    /// All that the user was told.
    pub(super) notes: VecDeque<String>,
}

/// A count, in all and in the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figure {
    pub(super) total: u64,
    pub(super) now: u64,
}

impl Model {
    pub(super) fn new(outline: &Outline, duration_us: Option<u64>) -> Model {
        let plan = &outline.plan;
        let paced = (plan.speed > 0.0 && plan.span_us > 0).then_some(plan.span_us);
        Model {
            capture: outline.capture.clone(),
            target: outline.target.clone(),
            sessions: (!plan.open_ended).then_some(plan.sessions),
            planned: plan.requests,
            sent: 0,
            answered: 0,
            failed: 0,
            span_us: [paced, duration_us].into_iter().flatten().min(),
            clock: Clock::started(Instant::now()),
            seconds: VecDeque::with_capacity(SECONDS),
            errors: BTreeMap::new(),
            rules: BTreeMap::new(),
            notes: VecDeque::new(),
        }
    }

    pub(super) fn take(&mut self, progress: Progress) {
        match progress {
            Progress::Planned(_) => {}
            Progress::Note(note) => {
                if self.notes.len() == NOTES {
                    self.notes.pop_front();
                }
                self.notes.push_back(note);
            }
            Progress::Second { second, kinds, sent, planned } => {
                if self.seconds.back().is_none_or(|last| second.t_us < last.t_us) {
                    self.seconds.clear(); // another run of `--repeat`
                    let now = Instant::now();
                    self.clock = Clock::started(now.checked_sub(SECOND).unwrap_or(now));
                }
                (self.sent, self.planned) = (sent, planned);
                self.answered += second.answered;
                self.failed += second.failed;
                if self.seconds.len() == SECONDS {
                    self.seconds.pop_front();
                }
                self.seconds.push_back(second);
                count(&mut self.errors, kinds.errors);
                count(&mut self.rules, kinds.injected);
            }
        }
    }

    /// Microseconds until the run is over, as far as one can tell. Stands during a pause: the plan waits.
    pub(super) fn left_us(&self, now: Instant) -> Option<u64> {
        let come = micros(self.clock.come(now));
        match self.span_us {
            Some(span) => Some(span.saturating_sub(come)),
            None if self.planned > 0 && self.sent > 0 => {
                let left = self.planned.saturating_sub(self.sent);
                Some((come as f64 * left as f64 / self.sent as f64) as u64)
            }
            None => None,
        }
    }

    /// The share of the plan that was sent, or of its time that has come; 0 to 1.
    pub(super) fn share(&self, now: Instant) -> f64 {
        let (part, whole) = match (self.planned, self.span_us) {
            (0, Some(span)) => (micros(self.clock.come(now)) as f64, span as f64),
            (planned, _) => (self.sent as f64, planned as f64),
        };
        if whole > 0.0 { (part / whole).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// The time of a run, and how much of it was paused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Instant,
    paused: Duration,
    paused_since: Option<Instant>,
}

impl Clock {
    fn started(began: Instant) -> Clock {
        Clock { began, paused: Duration::ZERO, paused_since: None }
    }

    /// Takes notice of whether the run is paused.
    pub(super) fn heed_pause(&mut self, is_paused: bool, now: Instant) {
        match (is_paused, self.paused_since) {
            (true, None) => self.paused_since = Some(now),
            (false, Some(since)) => {
                self.paused += now.saturating_duration_since(since);
                self.paused_since = None;
            }
            _ => {}
        }
    }

    /// Microseconds since the run began.
    pub(super) fn elapsed_us(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.began))
    }

    /// How far the plan has come in time: the pauses are not in it.
    fn come(&self, now: Instant) -> Duration {
        let current = self.paused_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        now.saturating_duration_since(self.began).saturating_sub(self.paused + current)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Adds what came in the last second; what did not come is 0 in it.
fn count<K: Ord>(figures: &mut BTreeMap<K, Figure>, more: Vec<(K, u64)>) {
    for figure in figures.values_mut() {
        figure.now = 0;
    }
    for (key, now) in more {
        let figure = figures.entry(key).or_default();
        figure.now = now;
        figure.total += now;
    }
}

/// Seconds that are kept for the curves: wider than any terminal.
const SECONDS: usize = 600;
const NOTES: usize = 100;
const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn model(planned: u64, span_us: Option<u64>, began: Instant) -> Model {
        Model {
            capture: String::new(),
            target: String::new(),
            sessions: None,
            planned,
            sent: 0,
            answered: 0,
            failed: 0,
            span_us,
            clock: Clock::started(began),
            seconds: VecDeque::new(),
            errors: BTreeMap::new(),
            rules: BTreeMap::new(),
            notes: VecDeque::new(),
        }
    }

    #[test]
    fn what_is_left_stands_while_the_run_is_paused() {
        let began = Instant::now();
        let at = |seconds| began + seconds * SECOND;
        let mut model = model(0, Some(60_000_000), began);
        assert_eq!(model.left_us(at(10)), Some(50_000_000));
        model.clock.heed_pause(true, at(10));
        model.clock.heed_pause(true, at(15));
        assert_eq!((model.left_us(at(30)), model.share(at(30))), (Some(50_000_000), 1.0 / 6.0));
        model.clock.heed_pause(false, at(30));
        assert_eq!(model.left_us(at(40)), Some(40_000_000));
        model.clock.heed_pause(true, at(40));
        assert_eq!(model.left_us(at(100)), Some(40_000_000), "the second pause is added to the first");
        assert_eq!(model.clock.elapsed_us(at(100)), 100_000_000, "the clock on the wall goes on");
    }

    #[test]
    fn what_is_left_by_the_count_leaves_pauses_out_as_well() {
        let began = Instant::now();
        let at = |seconds| began + seconds * SECOND;
        let mut model = model(100, None, began);
        assert_eq!(model.left_us(at(10)), None, "nothing was sent yet");
        model.sent = 25;
        assert_eq!(model.left_us(at(10)), Some(30_000_000));
        model.clock.heed_pause(true, at(10));
        assert_eq!(model.left_us(at(1000)), Some(30_000_000));
    }
}
