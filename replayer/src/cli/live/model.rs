//! What the screen shows, of bounded size.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

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
    pub(super) began: Instant,
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
            began: Instant::now(),
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
                    self.began = Instant::now().checked_sub(SECOND).unwrap_or_else(Instant::now);
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

    /// Microseconds until the run is over, as far as one can tell.
    pub(super) fn left_us(&self) -> Option<u64> {
        let elapsed = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        match self.span_us {
            Some(span) => Some(span.saturating_sub(elapsed)),
            None if self.planned > 0 && self.sent > 0 => {
                let left = self.planned.saturating_sub(self.sent);
                Some((elapsed as f64 * left as f64 / self.sent as f64) as u64)
            }
            None => None,
        }
    }

    /// The share of the plan that was sent, or of the time that has passed; 0 to 1.
    pub(super) fn share(&self) -> f64 {
        let (part, whole) = match (self.planned, self.span_us) {
            (0, Some(span)) => (self.began.elapsed().as_micros() as f64, span as f64),
            (planned, _) => (self.sent as f64, planned as f64),
        };
        if whole > 0.0 { (part / whole).clamp(0.0, 1.0) } else { 0.0 }
    }
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
const SECOND: std::time::Duration = std::time::Duration::from_secs(1);
