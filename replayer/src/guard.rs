//! Ends a run early: `--abort-on 'errors>10% over 10s'`.
//!
//! Once a second the demand is judged over the last seconds. A breach needs a whole window, [`limits::GUARD_SAMPLE`]
//! requests in it, and something measured: a guard never fires on silence.

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::limits;
use crate::report::Report;
use crate::report::text::{number, time};
use crate::tally::{Interval, histogram};
use crate::threshold::{Latency, Measured, Metric, Scope, Share, Threshold};
use crate::units;

/// When to end a run: a demand that must not come true over a window.
#[derive(Clone, Debug, PartialEq)]
pub struct AbortOn {
    /// What ends the run when it holds.
    when: Threshold,
    over_s: u64,
    after_s: u64,
}

/// One [`AbortOn`] while a run goes on.
#[derive(Debug)]
pub(crate) struct Guard {
    abort_on: AbortOn,
    /// `None`: it never fires.
    bound: Option<f64>,
    /// The first second that counted.
    first: Option<u64>,
    window: VecDeque<Kept>,
}

/// What is kept of a second.
#[derive(Debug)]
struct Kept {
    second: u64,
    answered: u64,
    /// Answered or given up.
    ended: u64,
    failed: u64,
    /// Latencies and how often each; empty where the demand is on a share.
    responses: Vec<(u64, u64)>,
}

impl FromStr for AbortOn {
    type Err = String;

    /// A threshold, then ` over 10s` (the default) and ` after 30s` (default: at once) in any order.
    fn from_str(text: &str) -> Result<AbortOn, String> {
        let (mut rest, mut over, mut after) = (text.trim(), None, None);
        while let Some((before, word, value)) = last_two_words(rest) {
            let slot = match word {
                "over" => &mut over,
                "after" => &mut after,
                _ => break,
            };
            if slot.replace(whole_seconds(value)?).is_some() {
                return Err(format!("`{text}` says `{word}` twice"));
            }
            rest = before;
        }
        let when: Threshold = rest.parse()?;
        let judged_by_second =
            matches!(when.metric(), Metric::Share(_) | Metric::Latency(Latency::Response, _));
        if !judged_by_second || *when.scope() != Scope::Run {
            return Err(format!(
                "`{rest}` is not known while the run goes on; a guard watches response, errors, answered or failed of \
                 the whole run"
            ));
        }
        let over_s = over.unwrap_or(OVER_S);
        if over_s == 0 || limits::GUARD_WINDOW_S < over_s {
            return Err(format!("`{text}`: the window is 1s to {}s", limits::GUARD_WINDOW_S));
        }
        Ok(AbortOn { when, over_s, after_s: after.unwrap_or(0) })
    }
}

impl AbortOn {
    /// Whether the baseline has what it is held against.
    ///
    /// # Errors
    /// Words for the user.
    pub(crate) fn check(&self, baseline: Option<&Report>) -> Result<(), String> {
        self.when.check(&[], &[], baseline)
    }
}

impl Guard {
    pub(crate) fn new(abort_on: AbortOn, baseline: Option<&Report>) -> Guard {
        let bound = abort_on.when.bound(baseline);
        Guard { abort_on, bound, first: None, window: VecDeque::new() }
    }

    /// Takes a second that is over. `Some`: the run must end, and why.
    pub(crate) fn push(&mut self, interval: &Interval) -> Option<String> {
        if interval.second < self.abort_on.after_s {
            return None;
        }
        let first = *self.first.get_or_insert(interval.second);
        let over_s = self.abort_on.over_s;
        self.window.retain(|kept| interval.second < kept.second + over_s);
        self.window.push_back(self.kept(interval));
        if interval.second + 1 < first + over_s {
            return None; // the window is not full
        }
        let (value, bound) = (self.value(self.abort_on.when.metric(), &Scope::Run)?, self.bound?);
        let breached = self.abort_on.when.holds(value, bound);
        breached.then(|| self.words(value))
    }

    fn kept(&self, interval: &Interval) -> Kept {
        let responses = match self.abort_on.when.metric() {
            Metric::Share(_) => Vec::new(),
            Metric::Latency(..) => {
                let recorded = interval.response.iter_recorded();
                recorded.map(|entry| (entry.value_iterated_to(), entry.count_at_value())).collect()
            }
        };
        Kept {
            second: interval.second,
            answered: interval.answered,
            ended: (interval.answered + interval.unanswered).max(interval.failed),
            failed: interval.failed,
            responses,
        }
    }

    fn sum(&self, part: impl Fn(&Kept) -> u64) -> u64 {
        self.window.iter().map(part).sum()
    }

    fn responses(&self) -> Histogram<u64> {
        let mut all = histogram();
        for (value, count) in self.window.iter().flat_map(|kept| &kept.responses) {
            all.saturating_record_n(*value, *count);
        }
        all
    }

    fn words(&self, value: f64) -> String {
        let (what, count) = match self.abort_on.when.metric() {
            Metric::Share(_) => (format!("{:.1} %", value * 100.0), self.sum(|kept| kept.ended)),
            Metric::Latency(..) => (time(value as u64), self.sum(|kept| kept.answered)),
        };
        let (expr, over_s) = (self.abort_on.when.expr(), self.abort_on.over_s);
        format!("the guard {expr} over {over_s}s was breached: {what} of {} requests", number(count))
    }
}

impl Measured for Guard {
    /// Over the window; `None` below the smallest sample.
    fn value(&self, metric: Metric, _: &Scope) -> Option<f64> {
        let ended = self.sum(|kept| kept.ended);
        let part = match metric {
            Metric::Latency(_, figure) => {
                let enough = limits::GUARD_SAMPLE <= self.sum(|kept| kept.answered);
                return enough.then(|| self.responses()).and_then(|all| figure.of(&all));
            }
            Metric::Share(Share::Errors) => self.sum(|kept| kept.failed),
            Metric::Share(Share::Answered) => self.sum(|kept| kept.answered),
            Metric::Share(Share::Failed) => ended - self.sum(|kept| kept.answered),
        };
        (limits::GUARD_SAMPLE <= ended).then(|| part as f64 / ended as f64)
    }
}

/// What stands before them, and the two.
fn last_two_words(text: &str) -> Option<(&str, &str, &str)> {
    let (before, last) = text.trim_end().rsplit_once(char::is_whitespace)?;
    let (before, word) = before.trim_end().rsplit_once(char::is_whitespace)?;
    Some((before, word, last))
}

fn whole_seconds(text: &str) -> Result<u64, String> {
    let value: Duration = units::duration(text)?;
    let whole = value.subsec_nanos() == 0;
    whole.then_some(value.as_secs()).ok_or_else(|| format!("`{text}`: a guard counts in whole seconds"))
}

/// The window where none is given, in seconds.
const OVER_S: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(text: &str) -> Guard {
        Guard::new(text.parse().expect(text), None)
    }

    fn second(second: u64, good: u64, errors: u64, unanswered: u64, response_us: u64) -> Interval {
        let mut interval = Interval::new(second);
        interval.sent = good + errors + unanswered;
        interval.answered = good + errors;
        interval.failed = errors + unanswered;
        interval.unanswered = unanswered;
        interval.response.saturating_record_n(response_us, good + errors);
        interval
    }

    /// The second in which it fires.
    fn fires(text: &str, of: impl Fn(u64) -> Interval) -> Option<u64> {
        let mut guard = guard(text);
        (0..100).find(|now| guard.push(&of(*now)).is_some())
    }

    #[test]
    fn a_breach_needs_its_whole_window() {
        let bad = |now| second(now, 10, 10, 0, 1000);
        assert_eq!(fires("errors>10% over 1s", bad), Some(0));
        assert_eq!(fires("errors>10% over 5s", bad), Some(4));
        assert_eq!(fires("errors>10%", bad), Some(9));
        assert_eq!(fires("errors>10% over 5s after 20s", bad), Some(24));
        assert_eq!(fires("errors>10% after 20s over 5s", bad), Some(24));
        assert_eq!(fires("errors>60% over 5s", bad), None);
    }

    #[test]
    fn it_slides() {
        let later = |now| if now < 50 { second(now, 100, 0, 0, 1000) } else { second(now, 50, 0, 50, 1000) };
        assert_eq!(fires("errors>9% over 10s", later), Some(51));
        assert_eq!(fires("failed>=25% over 10s", later), Some(54));
        assert_eq!(fires("answered<60% over 10s", later), Some(58));
        let blip = |now| second(now, 100, if now == 50 { 100 } else { 0 }, 0, 1000);
        assert_eq!(fires("errors>10% over 10s", blip), None);
        assert_eq!(fires("errors>10% over 1s", blip), Some(50));
    }

    #[test]
    fn latencies_are_those_of_the_window() {
        let slow = |now| second(now, 100, 0, 0, if now < 30 { 1000 } else { 3_000_000 });
        assert_eq!(fires("response:p(99)>2s over 5s", slow), Some(30));
        assert_eq!(fires("response:p(50)>2s over 5s", slow), Some(32));
        assert_eq!(fires("response:min>2s over 5s", slow), Some(34));
    }

    #[test]
    fn silence_and_small_samples_breach_nothing() {
        assert_eq!(fires("errors>10% over 1s", Interval::new), None);
        assert_eq!(fires("response:p(99)>1us over 1s", Interval::new), None);
        assert_eq!(fires("answered<99% over 1s", |now| second(now, 0, 19, 0, 1)), None);
        assert_eq!(fires("errors>10% over 1s", |now| second(now, 0, 0, 19, 1)), None);
        assert_eq!(fires("errors>10% over 2s", |now| second(now, 0, 0, 10, 1)), Some(1));
        let mut without_baseline = guard("response:p(50)>baseline+10% over 1s");
        assert_eq!(without_baseline.push(&second(0, 100, 0, 0, 1000)), None);
        assert!(without_baseline.abort_on.check(None).is_err_and(|err| err.contains("--baseline")));
    }

    #[test]
    fn the_words_have_the_figures() {
        let words = guard("errors>10% over 1s").push(&second(0, 15, 5, 0, 1)).expect("a breach");
        assert_eq!(words, "the guard errors>10% over 1s was breached: 25.0 % of 20 requests");
        let words = guard("response:max>1s over 1s").push(&second(0, 20, 0, 0, 2_000_000)).expect("a breach");
        assert!(words.ends_with("breached: 2.00 s of 20 requests"), "{words}");
    }

    #[test]
    fn typos_are_told() {
        let refused = |text: &str, words: &str| {
            let err = text.parse::<AbortOn>().expect_err(text);
            assert!(err.contains(words), "{text}: {err}");
        };
        refused("errors>10% over 10", "unit");
        refused("errors>10% over 1500ms", "whole seconds");
        refused("errors>10% over 0s", "1s to 600s");
        refused("errors>10% over 1h", "1s to 600s");
        refused("errors>10% over 1s over 2s", "twice");
        refused("errors>10% during 1s", "share");
        refused("error>10% over 1s", "did you mean `errors`");
        refused("lateness:p(99)>1s", "while the run goes on");
        refused("errors{cohort=users}>1%", "while the run goes on");
        refused("", "compares nothing");
    }
}
