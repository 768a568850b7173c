//! What the parts of a delay must be to each other.

use std::time::Duration;

use crate::delay::{At, Delay, Dist, Mode};
use crate::limits;
use crate::parse::findings::{Findings, Span, help};

/// A delay as it was written.
pub(super) struct Shape {
    pub(super) dist: Dist,
    pub(super) bounds: Bounds,
    /// `None`: where it usually falls.
    pub(super) at: Option<At>,
    pub(super) mode: Mode,
}

#[derive(Default)]
pub(super) struct Bounds {
    pub(super) min: Option<Duration>,
    pub(super) max: Option<Duration>,
}

/// Refuses parameters that contradict each other.
pub(super) fn delay(shape: Shape, span: Span, findings: &mut Findings<'_>) -> Option<Delay> {
    let Shape { dist, bounds, at, mode } = shape;
    let min = bounds.min.unwrap_or(Duration::ZERO);
    let max = bounds.max.unwrap_or(limits::LONGEST);
    let at = at.unwrap_or(match mode {
        Mode::Add => At::Request,
        Mode::Floor => At::Response,
    });
    if mode == Mode::Floor && !matches!(at, At::Response | At::FirstByte) {
        let message = format!("nothing has passed yet that could be filled up at {}", at.name());
        return findings.error("E07", span, help(message, "write `at response` or `at first_byte`"));
    }
    let contradiction = of_shape(&dist, &bounds)
        .or_else(|| of_bounds(&dist, min, max))
        .map(|(message, advice)| ("E07", message, advice));
    let varies = match dist {
        Dist::Normal { mean, sd } if mean < sd && bounds.min.is_none() => Some((
            "E08",
            "it varies by more than its mean, so many delays would be negative",
            "make it smaller, or accept the cut: { dist = \"normal\", mean = …, sd = …, min = \"0ms\" }",
        )),
        _ => None,
    };
    match contradiction.or(varies) {
        Some((code, message, advice)) => findings.error(code, span, help(message, advice)),
        None => Some(Delay::new(dist).within(min, max).placed(at, mode)),
    }
}

fn of_shape(dist: &Dist, bounds: &Bounds) -> Option<(&'static str, &'static str)> {
    match dist {
        Dist::Uniform { low, high } if high < low => {
            Some(("the shortest delay is longer than the longest", "write the shorter one first"))
        }
        Dist::LogNormal { p50, .. } if p50.is_zero() => {
            Some(("a p50 of zero has no long tail", "give a p50 above zero"))
        }
        Dist::LogNormal { p50, p99 } if p99 <= p50 => Some((
            "p99 is not longer than p50",
            "one in a hundred is slower than p99, so it is the longer one",
        )),
        Dist::Pareto { scale, .. } if scale.is_zero() => Some((
            "a scale of zero has no tail",
            "the scale is the shortest delay: give it a time above zero",
        )),
        Dist::Pareto { shape, .. } if !(LEAST_SHAPE..=MOST_SHAPE).contains(shape) => Some((
            "the shape is outside 0.1 to 100",
            "write `shape = 1.5`; the smaller, the heavier the tail",
        )),
        // Below 1 there is no mean: without a bound a few delays are as long as all the others together.
        Dist::Pareto { shape, .. } if *shape <= 1.0 && bounds.max.is_none() => {
            Some(("a tail without a mean and without an end", "add `max = \"5s\"`, or take a shape above 1"))
        }
        _ => None,
    }
}

fn of_bounds(dist: &Dist, min: Duration, max: Duration) -> Option<(&'static str, &'static str)> {
    match dist {
        _ if max < min => Some(("max is shorter than min", "write the shorter one as min")),
        Dist::LogNormal { p99, .. } if max < *p99 => {
            Some(("max is shorter than p99", "with that max the asked p99 could not be reached"))
        }
        Dist::Normal { mean, .. } if *mean < min || max < *mean => {
            Some(("the mean lies outside min and max", "widen the bounds"))
        }
        Dist::Pareto { scale, .. } if max < *scale => {
            Some(("max is shorter than the shortest delay", "the scale is the shortest delay: raise max"))
        }
        _ => None,
    }
}

const LEAST_SHAPE: f64 = 0.1;
const MOST_SHAPE: f64 = 100.0;
