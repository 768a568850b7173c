//! What a user demands of a run: `response:p(95)<300ms`, `errors<1%`, `answered>99%`.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::units;

/// One demand.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    expr: String,
    metric: Metric,
    relation: Relation,
    /// Microseconds for latencies, a share of 1 for shares.
    bound: f64,
}

/// A demand and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Judged {
    /// As it was typed.
    pub expr: String,
    /// What was measured: microseconds or a share of 1. `None`: nothing was.
    pub value: Option<f64>,
    /// Whether it holds. What was not measured does not hold.
    pub ok: bool,
}

/// What thresholds are judged on.
pub(crate) trait Measured {
    /// The latencies of that kind.
    fn latency(&self, kind: Latency) -> &Histogram<u64>;
    /// That share, when anything was sent.
    fn share(&self, kind: Share) -> Option<f64>;
}

/// The kinds of latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Latency {
    Response,
    Service,
    Ttfb,
    Lateness,
}

/// The kinds of share, all of the requests sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// Answered 429 or 5xx, or not answered.
    Errors,
    /// Answered, whatever the status.
    Answered,
    /// Not answered.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Metric {
    Latency(Latency, Figure),
    Share(Share),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Figure {
    Percentile(f64),
    Mean,
    Min,
    Max,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
}

impl std::str::FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Threshold, String> {
        let at = text
            .find(['<', '>'])
            .ok_or_else(|| format!("`{text}` compares nothing: write response:p(95)<300ms or errors<1%"))?;
        let (left, rest) = (text[..at].trim(), &text[at..]);
        let (relation, right) = match (rest.strip_prefix("<="), rest.strip_prefix(">=")) {
            (Some(right), _) => (Relation::LessOrEqual, right),
            (_, Some(right)) => (Relation::MoreOrEqual, right),
            _ if rest.starts_with('<') => (Relation::Less, &rest[1..]),
            _ => (Relation::More, &rest[1..]),
        };
        let metric = metric(left)?;
        let bound = match metric {
            Metric::Latency(..) => micros(right.trim())?,
            Metric::Share(_) => share(right.trim())?,
        };
        Ok(Threshold { expr: text.trim().to_owned(), metric, relation, bound })
    }
}

impl Threshold {
    pub(crate) fn judge(&self, measured: &impl Measured) -> Judged {
        let value = match self.metric {
            Metric::Share(kind) => measured.share(kind),
            Metric::Latency(kind, figure) => {
                Some(measured.latency(kind)).filter(|all| !all.is_empty()).map(|all| figure.of(all))
            }
        };
        let ok = value.is_some_and(|value| match self.relation {
            Relation::Less => value < self.bound,
            Relation::LessOrEqual => value <= self.bound,
            Relation::More => value > self.bound,
            Relation::MoreOrEqual => value >= self.bound,
        });
        Judged { expr: self.expr.clone(), value, ok }
    }
}

impl Figure {
    fn of(self, all: &Histogram<u64>) -> f64 {
        match self {
            // 99.9 / 100 is a little above 0.999: rounded, or the rank would be one too high.
            Figure::Percentile(p) => all.value_at_quantile((p * 1e7).round() / 1e9) as f64,
            Figure::Mean => all.mean(),
            Figure::Min => all.min() as f64,
            Figure::Max => all.max() as f64,
        }
    }
}

fn metric(text: &str) -> Result<Metric, String> {
    let (name, figure) = match text.split_once(':') {
        Some((name, figure)) => (name.trim(), Some(figure.trim())),
        None => (text, None),
    };
    let share = match name {
        "errors" => Some(Share::Errors),
        "answered" => Some(Share::Answered),
        "failed" => Some(Share::Failed),
        _ => None,
    };
    if let Some(share) = share {
        return match figure {
            None => Ok(Metric::Share(share)),
            Some(figure) => Err(format!("`{name}` is a share and has no `{figure}`: write {name}<1%")),
        };
    }
    let latency = match name {
        "response" => Latency::Response,
        "service" => Latency::Service,
        "ttfb" => Latency::Ttfb,
        "lateness" => Latency::Lateness,
        _ => return Err(format!("unknown metric `{name}`; known are {KNOWN}")),
    };
    let figure = figure.ok_or_else(|| format!("`{name}` of what? Write {name}:p(95)<300ms"))?;
    Ok(Metric::Latency(latency, self::figure(figure)?))
}

fn figure(text: &str) -> Result<Figure, String> {
    let wrong = || format!("unknown figure `{text}`; known are p(0) to p(100), mean, min, med, max");
    match text {
        "mean" | "avg" => Ok(Figure::Mean),
        "med" | "median" => Ok(Figure::Percentile(50.0)),
        "min" => Ok(Figure::Min),
        "max" => Ok(Figure::Max),
        _ => {
            let inner = text.strip_prefix("p(").and_then(|rest| rest.strip_suffix(')'));
            let number = inner.or_else(|| text.strip_prefix('p')).ok_or_else(wrong)?;
            let percent: f64 = number.trim().parse().map_err(|_| wrong())?;
            if (0.0..=100.0).contains(&percent) { Ok(Figure::Percentile(percent)) } else { Err(wrong()) }
        }
    }
}

fn micros(text: &str) -> Result<f64, String> {
    units::duration(text).map(|bound: Duration| bound.as_secs_f64() * 1e6)
}

fn share(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is not a share: write 1% or 0.01");
    let value: f64 = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map_err(|_| wrong())? / 100.0,
        None => text.parse().map_err(|_| wrong())?,
    };
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err(wrong()) }
}

const KNOWN: &str =
    "response, service, ttfb, lateness (each with p(95), mean, min, med, max), errors, answered, failed";

#[cfg(test)]
mod tests {
    use super::*;

    struct Sample(Histogram<u64>);

    impl Measured for Sample {
        fn latency(&self, _: Latency) -> &Histogram<u64> {
            &self.0
        }

        fn share(&self, kind: Share) -> Option<f64> {
            Some(if kind == Share::Answered { 0.995 } else { 0.005 })
        }
    }

    #[test]
    fn demands_are_judged() {
        let mut all = crate::tally::histogram();
        (1..=1000_u64).for_each(|ms| all.saturating_record(ms * 1000));
        let sample = Sample(all);
        let check = |expr: &str, ok: bool| {
            let judged = expr.parse::<Threshold>().map(|threshold| threshold.judge(&sample).ok);
            assert_eq!(judged, Ok(ok), "{expr}");
        };
        check("response:p(95)<960ms", true);
        check("response:p(95)<940ms", false);
        check("service:max<=1.1s", true);
        check("lateness:p99.9 > 1s", false);
        check("ttfb:mean<0.6s", true);
        check("errors<1%", true);
        check("errors<0.1%", false);
        check("answered>99%", true);
        check("answered>=0.999", false);
    }

    #[test]
    fn typos_are_told() {
        let refused = |expr: &str, word: &str| {
            let err = expr.parse::<Threshold>().expect_err(expr);
            assert!(err.contains(word), "{expr}: {err}");
        };
        refused("respnse:p(95)<300ms", "response");
        refused("response:p(95)<300", "unit");
        refused("response<300ms", "p(95)");
        refused("response:p(101)<300ms", "p(100)");
        refused("errors:p(95)<1%", "share");
        refused("errors<150%", "share");
        refused("response:p(95)", "compares nothing");
    }

    #[test]
    fn what_was_not_measured_does_not_hold() {
        let sample = Sample(crate::tally::histogram());
        let judged = "response:p(95)<1h".parse::<Threshold>().map(|threshold| threshold.judge(&sample));
        assert!(judged.is_ok_and(|judged| !judged.ok && judged.value.is_none()));
    }
}
