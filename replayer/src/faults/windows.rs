//! From what was seen to the windows of a report.

use std::time::{Duration, Instant};

use super::{Seen, Spell};
use crate::admin::types::{RuleInForce, WindowInForce};
use crate::limits;
use crate::report::{FaultWindow, Faults};

impl Seen {
    /// The rules and their windows on the clock of a run that began at `origin` and took `elapsed`. `None`: the proxy
    /// told nothing of its rules.
    pub(crate) fn faults(&self, origin: Instant, elapsed: Duration) -> Option<Faults> {
        let last = self.spells.last()?;
        // A file that was emptied before the end tells nobody what made the run what it was.
        let acting =
            self.spells.iter().rev().find(|spell| !spell.state.rules.rules.is_empty()).unwrap_or(last);
        let clock = Clock { origin, elapsed };
        let mut windows: Vec<FaultWindow> = Vec::new();
        let mut lost = self.lost;
        for spell in &self.spells {
            let rules = spell.state.rules.rules.iter();
            for rule in rules.filter(|rule| spell.may_act(rule)) {
                for window in clock.windows(spell, rule) {
                    add(&mut windows, window, &mut lost);
                }
            }
        }
        windows.sort_by(|one, two| (one.from_us, &one.rule).cmp(&(two.from_us, &two.rule)));
        let text = &acting.state.rules.source;
        let fits = !text.is_empty() && text.len() <= limits::RULES_TEXT_BYTES;
        Some(Faults { rules_file: fits.then(|| text.clone()), windows, windows_lost: lost })
    }
}

/// Adds a window; one that only goes on where the last of its rule stopped is the same.
fn add(windows: &mut Vec<FaultWindow>, window: FaultWindow, lost: &mut u64) {
    let touches = |known: &&mut FaultWindow| {
        let same = (&known.rule, &known.what) == (&window.rule, &window.what);
        same && known.until_us.is_none_or(|until| window.from_us <= until) && known.from_us <= window.from_us
    };
    if let Some(known) = windows.iter_mut().rev().find(touches) {
        known.until_us = known.until_us.zip(window.until_us).map(|(one, two)| one.max(two));
    } else if windows.len() < limits::FAULT_WINDOWS {
        windows.push(window);
    } else {
        *lost += 1;
    }
}

impl Spell {
    fn may_act(&self, rule: &RuleInForce) -> bool {
        self.state.lifted.as_ref().is_some_and(|lifted| !lifted.contains(&rule.id))
    }
}

struct Clock {
    origin: Instant,
    elapsed: Duration,
}

impl Clock {
    /// The openings of a rule within a spell and within the run.
    fn windows(&self, spell: &Spell, rule: &RuleInForce) -> Vec<FaultWindow> {
        let end = self.origin + self.elapsed;
        let [first, last] = [spell.from.max(self.origin), spell.until.unwrap_or(end).min(end)];
        let mut found = Vec::new();
        let mut from = Some(first);
        while let Some((opens, closes)) = from.and_then(|from| opening(&rule.window, spell.state.zero, from))
        {
            if last <= opens || limits::FAULT_WINDOWS < found.len() {
                break;
            }
            let until = closes.filter(|closes| *closes < end).or(spell.until.filter(|until| *until < end));
            found.push(FaultWindow {
                rule: rule.id.clone(),
                from_us: self.at(opens.max(first)),
                until_us: until.map(|until| self.at(until.min(last))),
                what: rule.words.clone(),
            });
            from = closes;
        }
        found
    }

    fn at(&self, moment: Instant) -> u64 {
        micros(moment.saturating_duration_since(self.origin))
    }
}

/// The first opening of a window that has not closed by `from`, and when it closes. `None`: there is no further one.
fn opening(window: &WindowInForce, zero: Instant, from: Instant) -> Option<(Instant, Option<Instant>)> {
    let at = |us: u64| zero.checked_add(Duration::from_micros(us));
    let since_us = micros(from.saturating_duration_since(zero));
    let nth_from = |nth: u64| {
        Some((window.shifted(window.from_us, nth)?, window.to_us.map(|to| window.shifted(to, nth))))
    };
    // The one before the newest may still be open where windows overlap their repeats.
    let newest = window
        .every_us
        .filter(|every| *every > 0)
        .map_or(0, |every| since_us.saturating_sub(window.from_us) / every);
    for nth in newest..=newest.saturating_add(1) {
        if window.times.is_some_and(|times| times <= nth)
            || (nth > 0 && window.every_us.is_none_or(|every| every == 0))
        {
            return None;
        }
        let (opens, closes) = nth_from(nth)?;
        match closes {
            None => return Some((at(opens)?, None)),
            Some(Some(closes)) if closes <= since_us => {}
            Some(closes) => return Some((at(opens)?, closes.and_then(at))),
        }
    }
    None
}

impl WindowInForce {
    /// A moment of its first opening, moved to a later one.
    fn shifted(&self, us: u64, nth: u64) -> Option<u64> {
        us.checked_add(self.every_us.unwrap_or(0).checked_mul(nth)?)
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
