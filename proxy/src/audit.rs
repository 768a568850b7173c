//! Did each rule do what it asked for? Its rate and its delays as they were, against what was asked, with intervals.
//!
//! A rate is judged over different units (requests, operations, sessions), since the exchanges of one unit share their fate; by
//! connection, header, cookie or path part it is told and not judged. A rule has missed its target where chance would explain
//! the difference less than once in a million runs: the interval that is shown (99.9 %) would by itself fail one sound rule
//! in a thousand. A rule has never matched where it was armed with its window open and no exchange was about it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fault_rules::{Rule, stats};
use serde::Serialize;

use crate::books::{Counts, RuleBooks};

/// What is counted of a rule, besides its books.
#[derive(Debug, Default)]
pub(crate) struct RuleScope {
    pub(crate) books: RuleBooks,
    /// When it last met an exchange.
    pub(crate) met_at: Option<Instant>,
    /// Exchanges that it touched, by action: one that was touched in two ways is there twice.
    pub(crate) injected: BTreeMap<&'static str, u64>,
    asked: Asked,
    units: Units,
    delay: DelayScope,
}

/// The rate that was asked for: the rule may be edited meanwhile.
#[derive(Debug, Default)]
struct Asked {
    first: Option<f64>,
    is_edited: bool,
    sum: f64,
    count: f64,
}

/// A sample of the units a rule met: those with the smallest hashes, so that each unit is as likely as any other to be in it.
#[derive(Debug, Default)]
struct Units {
    /// By hash.
    sample: Vec<Unit>,
    /// A unit came more than once.
    has_repeats: bool,
}

#[derive(Debug, Clone, Copy)]
struct Unit {
    hash: u64,
    asked: f64,
    selected: bool,
}

/// Delays of a rule: what was asked, what it took.
#[derive(Debug, Default)]
struct DelayScope {
    count: u64,
    early: u64,
    asked_us: u64,
    actual_us: u64,
    max_us: u64,
    errors: Vec<u32>,
}

/// A rule's delays. Times in microseconds; where several rules delay an exchange at one place, all of it is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct DelayBooks {
    /// Exchanges that waited to the end.
    pub count: u64,
    /// Mean of what was asked.
    pub asked_mean_us: f64,
    /// Mean of what it took.
    pub actual_mean_us: f64,
    /// How much longer it took, at the median.
    pub error_p50_us: u64,
    /// At the 99th percentile.
    pub error_p99_us: u64,
    /// At most.
    pub error_max_us: u64,
    /// Exchanges that waited less than was asked; a bug.
    pub early: u64,
}

impl RuleScope {
    /// Of a rule that nothing has matched.
    pub(crate) fn unmatched(rule: &Rule) -> RuleScope {
        let books = RuleBooks {
            id: rule.id.clone(),
            by: rule.by.name(),
            asked_rate: rule.rate.fraction(),
            ..RuleBooks::default()
        };
        RuleScope { books, ..RuleScope::default() }
    }

    /// One more exchange that the rule is about. `unit`: a hash of what is selected as one; `None`: not known.
    pub(crate) fn note(&mut self, asked: f64, unit: Option<u64>, selected: bool) {
        self.books.eligible += 1;
        self.met_at = Some(Instant::now());
        self.asked.note(asked);
        if let Some(hash) = unit {
            self.units.note(Unit { hash, asked, selected });
        }
    }

    /// One more delay that was waited for.
    pub(crate) fn note_delay(&mut self, asked_us: u64, actual_us: u64) {
        self.delay.note(asked_us, actual_us);
    }

    /// Delays that were waited for, what they asked for and what they took, in all.
    pub(crate) fn delays(&self) -> (u64, Duration, Duration) {
        let DelayScope { count, asked_us, actual_us, .. } = self.delay;
        (count, Duration::from_micros(asked_us), Duration::from_micros(actual_us))
    }

    /// The rule's books, judged.
    #[expect(clippy::cast_precision_loss, reason = "shares of counts far below 2^53")]
    pub(crate) fn judged(&self, was_open: bool) -> RuleBooks {
        let mut books = self.books.clone();
        books.was_open = was_open;
        if books.eligible > 0 {
            books.realised_rate = books.selected as f64 / books.eligible as f64;
            books.asked_rate = self.asked.mean();
        }
        books.delay = self.delay.books();
        let by_unit = self.units.counts();
        let all = (books.selected, books.eligible, books.asked_rate);
        let judged = match books.by {
            "request" | "operation" if !self.units.has_repeats => Some(all),
            "request" | "operation" | "session" => by_unit,
            _ => None,
        };
        if let Some((selected, units, _)) = judged {
            books.units = Some(units);
            let (low, high) = stats::interval(selected, units, SHOWN);
            (books.rate_low, books.rate_high) = (Some(low), Some(high));
        }
        books.missed = books.missed_target(judged);
        books
    }
}

impl RuleBooks {
    /// Why the rule did not do what it asked for, if it did not.
    fn missed_target(&self, rate: Option<(u64, u64, f64)>) -> Option<String> {
        if self.eligible == 0 {
            let words = "never matched: it was armed with its window open, and no exchange was about it";
            return self.was_open.then(|| words.to_owned());
        }
        if let Some((selected, units, asked)) = rate.filter(|(_, units, _)| LEAST_UNITS <= *units) {
            let is_within = |(low, high): (f64, f64)| low <= asked && asked <= high;
            // the wider interval is asked for only where the narrower does not do
            let shown = (self.rate_low.unwrap_or(0.0), self.rate_high.unwrap_or(1.0));
            if !is_within(shown) && !is_within(stats::interval(selected, units, JUDGED)) {
                return Some(format!(
                    "asks for {:.3} % and got {:.3} % of {units} {}s",
                    asked * 100.0,
                    selected as f64 / units as f64 * 100.0,
                    self.by
                ));
            }
        }
        if let Some(delay) = self.delay {
            if 0 < delay.early {
                return Some(format!("{} of its {} delays were too short", delay.early, delay.count));
            }
            let grace = LATE_US.max(delay.asked_mean_us / 2.0);
            if LEAST_UNITS <= delay.count && grace < delay.error_p50_us as f64 {
                return Some(format!(
                    "asks for delays of {:.1} ms and half of them took {:.1} ms more",
                    delay.asked_mean_us / 1e3,
                    delay.error_p50_us as f64 / 1e3
                ));
            }
        }
        let impossible = |why: &str| self.suppressed.get(why).copied().unwrap_or(0);
        let never = impossible("wrong_protocol") + impossible("no_such_point");
        let words = format!(
            "selected {} and could do nothing to any of them: {}",
            self.selected,
            in_words(&self.suppressed)
        );
        (self.applied == 0 && 0 < never && never == self.selected).then_some(words)
    }

    /// The rule's line at the end.
    #[must_use]
    pub fn in_words(&self) -> String {
        let percent = |share: f64| format!("{:.3} %", share * 100.0);
        let mut text = format!("rule {}: ", self.id);
        if self.eligible == 0 {
            text +=
                if self.was_open { "never matched" } else { "its window never opened while it was armed" };
            return text;
        }
        text += &format!(
            "asked {}, got {} of {}",
            percent(self.asked_rate),
            percent(self.realised_rate),
            self.eligible
        );
        if let (Some(low), Some(high), Some(units)) = (self.rate_low, self.rate_high, self.units) {
            let what =
                if units == self.eligible { String::new() } else { format!(" by {units} {}s", self.by) };
            text += &format!(" (99.9 %{what}: {} to {})", percent(low), percent(high));
        }
        text += &format!("; {} applied", self.applied);
        if !self.suppressed.is_empty() {
            text += &format!(", spared: {}", in_words(&self.suppressed));
        }
        if let Some(delay) = self.delay {
            text += &format!(
                "; delays asked {:.1} ms, took {:.1} ms on average, error {:.2} ms at the median, {:.2} ms at p99, {} early",
                delay.asked_mean_us / 1e3,
                delay.actual_mean_us / 1e3,
                delay.error_p50_us as f64 / 1e3,
                delay.error_p99_us as f64 / 1e3,
                delay.early
            );
        }
        text
    }
}

fn in_words(counts: &Counts) -> String {
    counts.iter().map(|(why, count)| format!("{count} {why}")).collect::<Vec<_>>().join(", ")
}

impl Asked {
    fn note(&mut self, rate: f64) {
        self.is_edited |= self.first.is_some_and(|first| first.total_cmp(&rate).is_ne());
        self.first.get_or_insert(rate);
        self.sum += rate;
        self.count += 1.0;
    }

    /// Exactly what was asked, where that was always the same.
    fn mean(&self) -> f64 {
        if self.is_edited { self.sum / self.count } else { self.first.unwrap_or_default() }
    }
}

impl Units {
    fn note(&mut self, unit: Unit) {
        let is_beyond = |last: &Unit| self.sample.len() == SAMPLE && last.hash < unit.hash;
        if self.sample.last().is_some_and(is_beyond) {
            return;
        }
        match self.sample.binary_search_by_key(&unit.hash, |known| known.hash) {
            Ok(_) => self.has_repeats = true,
            Err(place) => {
                self.sample.truncate(SAMPLE - 1);
                self.sample.insert(place, unit);
            }
        }
    }

    /// Of the sample: selected, all, and the mean rate that was asked for.
    fn counts(&self) -> Option<(u64, u64, f64)> {
        let mut asked = Asked::default();
        self.sample.iter().for_each(|unit| asked.note(unit.asked));
        let selected = self.sample.iter().filter(|unit| unit.selected).count() as u64;
        let units = self.sample.len() as u64;
        (0 < units).then(|| (selected, units, asked.mean()))
    }
}

impl DelayScope {
    fn note(&mut self, asked_us: u64, actual_us: u64) {
        self.count += 1;
        self.asked_us += asked_us;
        self.actual_us += actual_us;
        self.early += u64::from(actual_us < asked_us);
        let error = actual_us.saturating_sub(asked_us);
        self.max_us = self.max_us.max(error);
        if self.errors.is_empty() {
            self.errors = vec![0; bucket(u64::MAX) + 1];
        }
        self.errors[bucket(error)] += 1;
    }

    #[expect(clippy::cast_precision_loss, reason = "sums far below 2^53")]
    fn books(&self) -> Option<DelayBooks> {
        let mean = |sum: u64| sum as f64 / self.count as f64;
        (0 < self.count).then(|| DelayBooks {
            count: self.count,
            asked_mean_us: mean(self.asked_us),
            actual_mean_us: mean(self.actual_us),
            error_p50_us: self.error_at(50),
            error_p99_us: self.error_at(99),
            error_max_us: self.max_us,
            early: self.early,
        })
    }

    /// The upper end of the bucket of a percentile.
    fn error_at(&self, percentile: u64) -> u64 {
        let rank = (self.count * percentile).div_ceil(100);
        let mut below = 0;
        for (place, count) in self.errors.iter().enumerate() {
            below += u64::from(*count);
            if rank <= below {
                return bucket_end(place).min(self.max_us);
            }
        }
        self.max_us
    }
}

/// Sixteen to an octave.
fn bucket(us: u64) -> usize {
    let us = us.min((1 << 40) - 1);
    let octave = us.max(1).ilog2().saturating_sub(4);
    ((octave as usize) << 4) + (us >> octave) as usize
}

/// The largest number of a bucket.
fn bucket_end(place: usize) -> u64 {
    let octave = (place >> 4).saturating_sub(1);
    (((place - (octave << 4)) as u64 + 1) << octave) - 1
}

/// Units that are sampled for a rule: 24 KB of them bound a rate of one half to 5 points in 99.9 % of all runs.
const SAMPLE: usize = 1_024;
/// Fewer units say nothing about a rate.
const LEAST_UNITS: u64 = 30;
const SHOWN: f64 = 0.999;
const JUDGED: f64 = 1.0 - 1e-6;
/// A delay that is longer than asked by this and by a half, at the median, is no longer that delay. Less than that is what a
/// busy machine adds to everything; the figures tell it.
const LATE_US: f64 = 250_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(by: &'static str) -> RuleScope {
        RuleScope { books: RuleBooks { id: "r".into(), by, ..RuleBooks::default() }, ..RuleScope::default() }
    }

    fn hash(n: u64) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes())
    }

    /// `n` exchanges of `units` units, of which every `nth` is selected, at a rate of `asked`.
    fn met(by: &'static str, (n, units): (u64, u64), nth: u64, asked: f64) -> RuleBooks {
        let mut scope = scope(by);
        for exchange in 0..n {
            let unit = exchange % units;
            let selected = unit.is_multiple_of(nth);
            scope.note(asked, Some(hash(unit)), selected);
            scope.books.selected += u64::from(selected);
        }
        scope.judged(true)
    }

    #[test]
    fn rates_are_judged_by_units() {
        let check = |books: &RuleBooks, missed: bool| {
            assert_eq!(books.missed.is_some(), missed, "{books:?}");
        };
        let sound = met("request", (100_000, 100_000), 20, 0.05);
        check(&sound, false);
        assert!(sound.rate_low < Some(0.05) && Some(0.05) < sound.rate_high && sound.units == Some(100_000));
        check(&met("request", (100_000, 100_000), 20, 0.06), true);
        check(&met("request", (29, 29), 1, 0.01), false);
        check(&met("session", (100_000, 1_000), 20, 0.05), false);
        check(&met("session", (100_000, 1_000), 20, 0.15), true);
        check(&met("session", (100_000, 3), 1, 0.05), false);
        // One key for all of a client's requests: they are one.
        check(&met("request", (100_000, 1), 1, 0.2), false);
        check(&met("connection", (100_000, 1_000), 20, 0.9), false);
        assert_eq!(met("header", (100, 10), 2, 0.5).rate_low, None);
        check(&met("request", (1_000, 1_000), 1, 1.0), false);
        check(&met("request", (1_000, 1_000), 2, 1.0), true);
    }

    #[test]
    fn a_rate_that_was_edited_is_judged_by_its_mean() {
        let mut scope = scope("request");
        for exchange in 0..20_000 {
            let (asked, nth) = if exchange < 10_000 { (0.05, 20) } else { (0.5, 2) };
            let selected = exchange % nth == 0;
            scope.note(asked, Some(hash(exchange)), selected);
            scope.books.selected += u64::from(selected);
        }
        let books = scope.judged(true);
        assert!((books.asked_rate - 0.275).abs() < 1e-9);
        assert_eq!(books.missed, None);
    }

    #[test]
    fn never_matched_needs_an_open_window() {
        assert_eq!(scope("request").judged(false).missed, None);
        assert!(scope("request").judged(true).missed.expect("missed").starts_with("never matched"));
    }

    #[test]
    fn what_cannot_be_done_is_no_fault() {
        let mut of = scope("request");
        for exchange in 0..100 {
            of.note(1.0, Some(hash(exchange)), true);
        }
        (of.books.selected, of.books.suppressed) = (100, [("wrong_protocol".to_owned(), 100)].into());
        assert!(of.judged(true).missed.expect("missed").contains("100 wrong_protocol"));
        (of.books.suppressed, of.books.applied) = ([("wrong_protocol".to_owned(), 99)].into(), 1);
        assert_eq!(of.judged(true).missed, None);
    }

    #[test]
    fn delays_are_never_early_and_not_much_too_late() {
        let delayed = |more: &dyn Fn(u64) -> i64| {
            let mut of = scope("request");
            for n in 0..1_000 {
                of.note(1.0, Some(hash(n)), true);
                of.books.selected += 1;
                of.books.applied += 1;
                of.note_delay(200_000, 200_000_u64.saturating_add_signed(more(n)));
            }
            of.judged(true)
        };
        let sound = delayed(&|n| if n % 100 == 0 { 5_000 } else { 100 });
        let delay = sound.delay.expect("delays");
        assert_eq!((sound.missed, delay.count, delay.early, delay.error_max_us), (None, 1_000, 0, 5_000));
        assert!((100..=107).contains(&delay.error_p50_us) && delay.error_p99_us < 110, "{delay:?}");
        assert!((delay.actual_mean_us - 200_149.0).abs() < 0.1);
        assert!(delayed(&|n| if n == 7 { -1 } else { 1 }).missed.expect("missed").contains("1 of its 1000"));
        assert!(delayed(&|_| 300_000).missed.expect("missed").contains("half of them"));
        assert_eq!(delayed(&|_| 30_000).missed, None, "a busy machine");
        for us in [0, 1, 15, 16, 17, 31, 32, 1_000, 123_456_789, u64::MAX] {
            let us_kept = us.min((1 << 40) - 1);
            assert!(us_kept <= bucket_end(bucket(us)) && bucket_end(bucket(us)) <= us_kept + us_kept / 16);
        }
    }
}
