//! When a rule acts: a window of the run, with ramps, steps and repeats.

use std::time::Duration;

use serde::Serialize;

/// When a rule acts, counted from the start of the run: from inclusive, to exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Window {
    /// Start.
    pub from: Duration,
    /// End; `None`: until the end.
    pub to: Option<Duration>,
    /// From its start the rule grows from nothing to its full measure over this time.
    pub ramp: Duration,
    /// It shrinks to nothing over this time before its end.
    pub ramp_down: Duration,
    /// The ramps go up and down in so many equal steps; 0: smoothly.
    pub steps: u32,
    /// It opens again each time this much has passed since `from`; `None`: once.
    pub every: Option<Duration>,
    /// How often it opens in all; `None`: for ever.
    pub times: Option<u32>,
    /// What grows and shrinks.
    pub scale: Scale,
}

/// What a ramp scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// The rate; the victims of a smaller measure are among those of a larger.
    #[default]
    Rate,
    /// The delay.
    Delay,
}

/// One opening of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Start, counted from the start of the run.
    pub from: Duration,
    /// End; `None`: it stays open.
    pub to: Option<Duration>,
}

impl Window {
    /// Open from a time on, up to another.
    #[must_use]
    pub fn between(from: Duration, to: Option<Duration>) -> Self {
        Self { from, to, ..Self::default() }
    }

    /// Whether the rule acts at this time of the run.
    #[must_use]
    pub fn is_open(&self, run_now: Duration) -> bool {
        self.opening(run_now).is_some_and(|opening| opening.to.is_none_or(|to| run_now < to))
    }

    /// The newest opening that has begun by this time; it may be over.
    #[must_use]
    pub fn opening(&self, run_now: Duration) -> Option<Opening> {
        let since = run_now.checked_sub(self.from)?;
        let nth = match self.every {
            Some(every) if !every.is_zero() => {
                let nth = since.as_nanos() / every.as_nanos();
                nth.min(u128::from(self.times.unwrap_or(u32::MAX).saturating_sub(1)))
            }
            _ => 0,
        };
        let shift = self.every.unwrap_or_default().saturating_mul(u32::try_from(nth).unwrap_or(u32::MAX));
        let shifted = |time: Duration| time.saturating_add(shift);
        Some(Opening { from: shifted(self.from), to: self.to.map(shifted) })
    }

    /// When the window next opens or closes after this time; `None`: never again.
    #[must_use]
    pub fn next_turn(&self, run_now: Duration) -> Option<Duration> {
        let Some(opening) = self.opening(run_now) else { return Some(self.from) };
        if let Some(to) = opening.to.filter(|to| run_now < *to) {
            return Some(to);
        }
        opening.to?;
        let next = opening.from.saturating_add(self.every?);
        self.opening(next).filter(|found| found.from == next).map(|found| found.from)
    }

    /// How much of its measure the rule has at this time, 0.0 (closed) to 1.0.
    #[must_use]
    pub fn weight(&self, run_now: Duration) -> f64 {
        let Some(opening) = self.opening(run_now) else { return 0.0 };
        if opening.to.is_some_and(|to| to <= run_now) {
            return 0.0;
        }
        let up = self.stepped(share(run_now.saturating_sub(opening.from), self.ramp));
        let down = opening.to.map_or(1.0, |to| self.stepped(share(to - run_now, self.ramp_down)));
        up.min(down)
    }

    /// The step that a share of a ramp lies on: of four steps the first is a quarter, from the start on.
    fn stepped(&self, share: f64) -> f64 {
        if self.steps == 0 || 1.0 <= share {
            return share;
        }
        let steps = f64::from(self.steps);
        ((share * steps).floor() + 1.0).min(steps) / steps
    }
}

fn share(part: Duration, whole: Duration) -> f64 {
    if whole <= part { 1.0 } else { part.as_secs_f64() / whole.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn ramps_go_up_and_down() {
        let window = Window { ramp: s(20), ramp_down: s(10), ..Window::between(s(60), Some(s(100))) };
        for (at, expect) in
            [(59, 0.0), (60, 0.0), (70, 0.5), (80, 1.0), (89, 1.0), (95, 0.5), (99, 0.1), (100, 0.0)]
        {
            assert!((window.weight(s(at)) - expect).abs() < 1e-9, "{at}");
        }
        let stepped = Window { steps: 4, ..window };
        for (at, expect) in [(60, 0.25), (64, 0.25), (65, 0.5), (75, 1.0), (99, 0.25)] {
            assert!((stepped.weight(s(at)) - expect).abs() < 1e-9, "{at}");
        }
    }

    #[test]
    fn repeats_open_again_and_end() {
        let window = Window { every: Some(s(60)), times: Some(3), ..Window::between(s(10), Some(s(20))) };
        for (at, open) in
            [(9, false), (10, true), (20, false), (75, true), (135, true), (145, false), (195, false)]
        {
            assert_eq!(window.is_open(s(at)), open, "{at}");
        }
        let turns: Vec<_> = std::iter::successors(Some(s(0)), |at| window.next_turn(*at)).skip(1).collect();
        assert_eq!(turns, [10, 20, 70, 80, 130, 140].map(s));
        assert_eq!(Window::default().next_turn(s(5)), None);
    }
}
