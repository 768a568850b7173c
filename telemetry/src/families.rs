//! Families of metrics, filled at a scrape. The crate refuses names and labels that the format does not allow, and escapes
//! what labels hold.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

/// What one scrape has gathered. Its errors are those of names and labels that the format does not allow.
#[derive(Debug, Default)]
pub struct Families(Registry);

impl Families {
    /// Nothing so far.
    #[must_use]
    pub fn new() -> Families {
        Families::default()
    }

    /// A count that only grows; its name ends in `_total`.
    ///
    /// # Errors
    /// A name or label that the format does not allow, or a name that is there already.
    pub fn counter(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.kept(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    /// A sum of seconds or of shares that only grows.
    ///
    /// # Errors
    /// As [`Families::counter`].
    pub fn sum(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<CounterVec> {
        self.kept(CounterVec::new(Opts::new(name, help), labels)?)
    }

    /// What goes up and down.
    ///
    /// # Errors
    /// As [`Families::counter`].
    pub fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.kept(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// A gauge that is no whole number.
    ///
    /// # Errors
    /// As [`Families::counter`].
    pub fn ratio(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
        self.kept(GaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// Counters without a label: name, help, count.
    ///
    /// # Errors
    /// As [`Families::counter`].
    pub fn counts(&self, rows: &[(&str, &str, u64)]) -> prometheus::Result<()> {
        for (name, help, count) in rows {
            self.counter(name, help, &[])?.with_label_values::<&str>(&[]).inc_by(*count);
        }
        Ok(())
    }

    /// Gauges without a label: name, help, value.
    ///
    /// # Errors
    /// As [`Families::counter`].
    pub fn values(&self, rows: &[(&str, &str, i64)]) -> prometheus::Result<()> {
        for (name, help, value) in rows {
            self.gauge(name, help, &[])?.with_label_values::<&str>(&[]).set(*value);
        }
        Ok(())
    }

    /// What was counted elsewhere.
    ///
    /// # Errors
    /// As [`Families::counter`].
    pub fn add(&self, collector: &(impl Collector + Clone + 'static)) -> prometheus::Result<()> {
        self.0.register(Box::new(collector.clone()))
    }

    /// All of it.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.0.gather()
    }

    fn kept<C: Collector + Clone + 'static>(&self, collector: C) -> prometheus::Result<C> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}

/// The text format that a scrape gets.
///
/// # Errors
/// Those of the encoder: a family without a metric.
pub fn text(families: &[MetricFamily]) -> prometheus::Result<String> {
    let mut text = String::new();
    TextEncoder::new().encode_utf8(families, &mut text)?;
    Ok(text)
}

/// Names that a label may hold: the first so many that came, for ever; all that come later share [`OTHER`]. So a series that
/// once had its own name keeps it, and nobody can make series without end.
#[derive(Debug, Default)]
pub struct Names(Mutex<BTreeSet<String>>);

impl Names {
    /// The name itself, or what it is counted under.
    pub fn of<'a>(&self, name: &'a str) -> &'a str {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(name) {
            return name;
        }
        if MOST_NAMES <= known.len() {
            return OTHER;
        }
        known.insert(name.to_owned());
        name
    }
}

/// A count as a gauge takes it.
pub fn as_i64(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// Rules, edges and guards that have series of their own; a rule has about fifteen.
const MOST_NAMES: usize = 500;
/// What no rule can be called.
const OTHER: &str = "(other)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_labels_hold_is_escaped() {
        let families = Families::new();
        let counter = families.counter("a_total", "As.", &["edge"]).expect("a counter");
        counter.with_label_values(&["x\"} 9\nb_total 1 \\"]).inc_by(3);
        let text = text(&families.gather()).expect("text");
        let expected =
            "# HELP a_total As.\n# TYPE a_total counter\na_total{edge=\"x\\\"} 9\\nb_total 1 \\\\\"} 3\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn names_beyond_the_bound_share_one_and_early_ones_keep_theirs() {
        let names = Names::default();
        for n in 0..2 * MOST_NAMES {
            let name = format!("rule-{n}");
            assert_eq!(names.of(&name), if n < MOST_NAMES { name.as_str() } else { OTHER });
        }
        assert_eq!(names.of("rule-0"), "rule-0");
        assert_eq!(names.of("another"), OTHER);
    }
}
