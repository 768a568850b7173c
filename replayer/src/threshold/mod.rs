//! What a user demands of a run.
//!
//! ```text
//! response:p(95)<300ms                       a latency, its figure, a bound
//! errors<1%                                  a share of the requests
//! response{route=GET /cart/{id}}:p(95)<300ms of one route; errors{cohort=users}<1% of one capture's sessions
//! response:p(99)<baseline+10%                against an earlier run.json; for shares in points: errors<baseline+0.5%
//! ```
//!
//! The text is parsed once; names of routes and cohorts, and what the baseline lacks, are told by
//! [`Threshold::check`] before the first packet. What was not measured does not hold.

mod measured;
mod nearest;
mod parse;

use hdrhistogram::Histogram;

use crate::report::{self, Report};

/// One demand.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    expr: String,
    metric: Metric,
    scope: Scope,
    relation: Relation,
    bound: Bound,
}

/// What thresholds are judged on.
pub(crate) trait Measured {
    /// Microseconds, or a share of 1; `None`: nothing of the kind was measured.
    fn value(&self, metric: Metric, scope: &Scope) -> Option<f64>;
}

/// What is demanded of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Metric {
    Latency(Latency, Figure),
    Share(Share),
}

/// Of which part of the traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Run,
    Route(String),
    Cohort(String),
}

/// The kinds of latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Latency {
    Response,
    Service,
    Ttfb,
    Lateness,
    Wait,
    GapError,
    StartSpread,
    FirstEvent,
    EventGap,
}

/// The kinds of share, all of the requests sent, without those of the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// Answered 429 or 5xx, or not answered.
    Errors,
    /// Answered, whatever the status.
    Answered,
    /// Not answered.
    Failed,
}

/// A figure of a histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Figure {
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

/// Microseconds for latencies, a share of 1 for shares.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    Fixed(f64),
    /// This many times the baseline.
    Times(f64),
    /// The baseline and this.
    Plus(f64),
}

impl Threshold {
    /// As it was typed.
    pub(crate) fn expr(&self) -> &str {
        &self.expr
    }

    pub(crate) fn metric(&self) -> Metric {
        self.metric
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// What can only be known once the plan is: whether its route or cohort exists, and whether the baseline has what
    /// it is held against.
    ///
    /// # Errors
    /// Words for the user, with the nearest name.
    pub(crate) fn check(
        &self,
        routes: &[String],
        cohorts: &[String],
        baseline: Option<&Report>,
    ) -> Result<(), String> {
        let known = |kind: &str, name: &str, names: &[String]| {
            if names.iter().any(|known| known == name) {
                return Ok(());
            }
            let hint = nearest::nearest(name, names.iter().map(String::as_str))
                .map_or_else(|| "it has none".to_owned(), |near| format!("the nearest is `{near}`"));
            Err(format!("`{}`: the plan has no {kind} `{name}`; {hint}", self.expr))
        };
        match &self.scope {
            Scope::Run => {}
            Scope::Route(name) => known("route", name, routes)?,
            Scope::Cohort(name) => known("cohort", name, cohorts)?,
        }
        match (self.bound, baseline) {
            (Bound::Fixed(_), _) => Ok(()),
            (_, None) => Err(format!("`{}` needs an earlier run: --baseline RUN.json", self.expr)),
            (_, Some(baseline)) if self.bound(Some(baseline)).is_none() => {
                Err(format!("`{}`: the baseline has measured nothing of the kind", self.expr))
            }
            (_, Some(_)) => Ok(()),
        }
    }

    /// What it is held against; `None`: the baseline is missing, or lacks it.
    pub(crate) fn bound(&self, baseline: Option<&Report>) -> Option<f64> {
        let before = || baseline?.value(self.metric, &self.scope);
        match self.bound {
            Bound::Fixed(bound) => Some(bound),
            Bound::Times(times) => Some(before()? * times),
            Bound::Plus(more) => Some(before()? + more),
        }
    }

    /// Judges what was measured against a bound from [`Threshold::bound`].
    pub(crate) fn judge(&self, measured: &impl Measured, bound: Option<f64>) -> report::Threshold {
        let value = measured.value(self.metric, &self.scope);
        let ok = value.zip(bound).is_some_and(|(value, bound)| self.holds(value, bound));
        report::Threshold { expr: self.expr.clone(), value, bound, ok }
    }

    pub(crate) fn holds(&self, value: f64, bound: f64) -> bool {
        match self.relation {
            Relation::Less => value < bound,
            Relation::LessOrEqual => value <= bound,
            Relation::More => value > bound,
            Relation::MoreOrEqual => value >= bound,
        }
    }
}

impl Figure {
    /// `None`: nothing was measured.
    pub(crate) fn of(self, all: &Histogram<u64>) -> Option<f64> {
        let value = match self {
            // 99.9 / 100 is a little above 0.999: rounded, or the rank would be one too high.
            Figure::Percentile(p) => all.value_at_quantile((p * 1e7).round() / 1e9) as f64,
            Figure::Mean => all.mean(),
            Figure::Min => all.min() as f64,
            Figure::Max => all.max() as f64,
        };
        (!all.is_empty()).then_some(value)
    }
}

#[cfg(test)]
mod tests;
