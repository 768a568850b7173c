//! `[guard.NAME]`: what must stay true, and how much is too much.

use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::findings::{Findings, Span, help};
use super::table::{Field, Fields};
use super::text::Text;
use super::{Context, group, on, units, words};
use crate::guard::{Base, Guard, Limit, Margin, Signal, Trip};
use crate::matcher::Matcher;

/// All guards; their names go into the context first, so that no reference to a wrong one is called unknown.
pub(crate) fn read(field: &Field<'_>, cx: &mut Context<'_>) -> Option<Vec<Guard>> {
    let tables = group::named(field, "guard", &mut cx.findings);
    cx.guards = tables.iter().map(|(name, _, _)| (*name).to_owned()).collect();
    cx.places.guards = tables.iter().map(|(_, span, _)| span.clone()).collect();
    let read: Vec<_> = tables.into_iter().map(|(name, span, value)| one(name, span, value, cx)).collect();
    read.into_iter().collect()
}

/// The place of the guard that a rule or a hook names.
pub(crate) fn reference(field: &Field<'_>, cx: &mut Context<'_>) -> Option<usize> {
    let name = field.text("checkout-slo", &mut cx.findings)?;
    if let Some(place) = cx.guards.iter().position(|guard| guard == name.str()) {
        return Some(place);
    }
    let known: Vec<_> = cx.guards.iter().map(String::as_str).collect();
    cx.findings.error("E10", name.span(), words::unknown_reference("guard", name.str(), &known))
}

fn one(name: &str, span: Span, value: &Spanned<DeValue<'_>>, cx: &mut Context<'_>) -> Option<Guard> {
    let DeValue::Table(table) = value.get_ref() else {
        let what = help("a guard is a table", "write `signal` and `limit` below its name");
        return cx.findings.error("E24", value.span(), what);
    };
    let mut fields = Fields::new(table, span, "this guard");
    let on = fields.or("on", Matcher::default(), |field| on::without_status(field, cx));
    let findings = &mut cx.findings;
    let signal = fields.needed("signal", "\"error_ratio\"", findings);
    let signal = signal.and_then(|field| signal_of(field.text("error_ratio", findings)?, findings));
    let limit = fields.needed("limit", "\"control + 2%\"", findings);
    let limit = limit.and_then(|field| limit_of(field.text("control + 2%", findings)?, signal?, findings));
    let window = fields.or("window", WINDOW, |field| window(field, findings));
    let trip = fields.or("trip", Trip::Lift, |field| trip_of(field.text("lift", findings)?, findings));
    let samples = fields.or("min_samples", SAMPLES, |field| field.integer((10, i64::MAX), findings));
    let confidence = fields.or("confidence", 0.95, |field| confidence(field, findings));
    fields.finish(findings);
    Some(Guard {
        name: name.to_owned(),
        on: on?,
        signal: signal?,
        limit: limit?,
        window: window?,
        trip: trip?,
        min_samples: samples?.unsigned_abs(),
        confidence: confidence?,
    })
}

fn signal_of(word: Text<'_>, findings: &mut Findings<'_>) -> Option<Signal> {
    let percentile = word.str().strip_prefix('p').and_then(|digits| digits.parse().ok());
    match (word.str(), percentile.filter(|percentile| (1..=99).contains(percentile))) {
        ("error_ratio", _) => Some(Signal::ErrorRatio),
        ("goodput", _) => Some(Signal::Goodput),
        ("attempts_per_op", _) => Some(Signal::AttemptsPerOp),
        (_, Some(percentile)) => Some(Signal::Latency(percentile)),
        (wrong, None) => {
            let message = format!("a guard cannot look at `{wrong}`");
            findings.error("E31", word.span(), help(message, words::did_you_mean(wrong, SIGNALS)))
        }
    }
}

/// `control + 2%`, `baseline x1.5`, `500ms`, …, as far as the signal has such a thing.
fn limit_of(text: Text<'_>, signal: Signal, findings: &mut Findings<'_>) -> Option<Limit> {
    let base = match text.words().first().map(Text::str) {
        Some("control") => Base::Control,
        Some("baseline") => Base::Baseline,
        _ => Base::Absolute,
    };
    if (base, signal) == (Base::Control, Signal::Goodput) {
        let message = "the control group is another share of the traffic, so its goodput is another";
        return findings.error("E31", text.span(), help(message, "write `baseline - 10%` or `100/s`"));
    }
    let words = text.words().get(usize::from(base != Base::Absolute)..).map(<[_]>::to_vec)?;
    let margin = match words.as_slice() {
        [value] if base == Base::Absolute => absolute(*value, signal, findings),
        [times] => factor(*times, signal),
        [sign, value] => apart(sign.str(), *value, signal, findings),
        _ => None,
    };
    match margin {
        Some(margin) => Some(Limit { base, margin }),
        None if findings.has_error_within(text.span()) => None,
        None => {
            let message = format!("`{}` is no limit for {}", text.str(), signal.name());
            findings.error("E31", text.span(), help(message, shapes(signal)))
        }
    }
}

fn absolute(value: Text<'_>, signal: Signal, findings: &mut Findings<'_>) -> Option<Margin> {
    match signal {
        Signal::ErrorRatio => points(value, findings),
        Signal::Latency(_) => units::duration(value, findings).map(Margin::Time),
        Signal::Goodput => {
            let number = value.str().strip_suffix("/s")?;
            units::decimal(number).map(Margin::Number)
        }
        Signal::AttemptsPerOp => {
            units::decimal(value.str()).filter(|number| 1.0 <= *number).map(Margin::Number)
        }
    }
}

/// `x1.5`: of goodput a part, of anything else a multiple.
fn factor(text: Text<'_>, signal: Signal) -> Option<Margin> {
    let times = units::factor(text.str())?;
    let (low, high) = match signal {
        Signal::ErrorRatio => return None,
        Signal::Goodput => (0.0, 1.0),
        Signal::Latency(_) | Signal::AttemptsPerOp => (1.0, MOST_TIMES),
    };
    (low..=high).contains(&times).then_some(Margin::Relative((times - 1.0).abs()))
}

/// `+ 2%`, `+ 50ms`; of goodput `- 10%`.
fn apart(sign: &str, value: Text<'_>, signal: Signal, findings: &mut Findings<'_>) -> Option<Margin> {
    let right = if signal == Signal::Goodput { "-" } else { "+" };
    if sign != right {
        return None;
    }
    match signal {
        Signal::ErrorRatio => points(value, findings),
        Signal::Latency(_) if !value.str().ends_with('%') => {
            units::duration(value, findings).map(Margin::Time)
        }
        _ => {
            let number = units::decimal(value.str().strip_suffix('%')?)?;
            Some(Margin::Relative(number / 100.0))
        }
    }
}

fn points(value: Text<'_>, findings: &mut Findings<'_>) -> Option<Margin> {
    let is_share = value.str().ends_with('%') || units::decimal(value.str()).is_some();
    if !is_share {
        return None;
    }
    units::share(value, findings).map(|share| Margin::Points(share.fraction()))
}

fn shapes(signal: Signal) -> &'static str {
    match signal {
        Signal::ErrorRatio => "write `control + 2%`, `baseline + 2%` or `1%`",
        Signal::Latency(_) => "write `control + 50ms`, `baseline + 10%`, `baseline x1.5` or `500ms`",
        Signal::Goodput => "write `baseline - 10%`, `baseline x0.9` or `100/s`",
        Signal::AttemptsPerOp => "write `control + 10%`, `baseline x1.5` or `1.5`",
    }
}

fn window(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Duration> {
    let window = units::duration_field(field, findings)?;
    if (SHORTEST..=LONGEST).contains(&window) {
        return Some(window);
    }
    findings.error("E31", field.span(), help("a window outside 1s to 10m", "write `window = \"10s\"`"))
}

fn trip_of(word: Text<'_>, findings: &mut Findings<'_>) -> Option<Trip> {
    let trips = [Trip::Lift, Trip::StepDown, Trip::Hold];
    if let Some(trip) = trips.iter().find(|trip| trip.name() == word.str()) {
        return Some(*trip);
    }
    let message = format!("a guard cannot `{}`", word.str());
    let advice = words::did_you_mean(word.str(), &trips.map(Trip::name));
    findings.error("E31", word.span(), help(message, advice))
}

fn confidence(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<f64> {
    let share = units::share_field(field, findings)?.fraction();
    if (0.5..=0.9999).contains(&share) {
        return Some(share);
    }
    findings.error("E31", field.span(), help("a confidence outside 50% to 99.99%", "write `95%`"))
}

const SIGNALS: &[&str] = &["error_ratio", "p50", "p90", "p95", "p99", "goodput", "attempts_per_op"];

const WINDOW: Duration = Duration::from_secs(10);
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(10);
const SAMPLES: i64 = 100;
const MOST_TIMES: f64 = 1_000.0;
