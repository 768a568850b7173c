//! `delay`: `200ms`, `50ms..200ms`, `200ms +- 50ms`, `p50 80ms, p99 900ms`, or a table.

use std::time::Duration;

use toml::de::DeValue;

use super::findings::{Findings, Span, help};
use super::table::{self, Field, Fields};
use super::text::Text;
use super::{not_built, units, words};
use crate::delay::{Delay, Dist};
use crate::limits;

/// The value of a `delay` key.
pub(crate) fn field(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Delay> {
    if let Some(number) = table::bare_number(field.value) {
        let advice = format!("write `\"{number}ms\"` or `\"{number}s\"`, whichever is meant");
        return findings.error("E06", field.span(), help("a delay without a unit", advice));
    }
    match field.value.get_ref() {
        DeValue::Table(_) => from_table(field.table("`delay`", findings)?, findings),
        _ => from_text(field.text("200ms", findings)?, findings),
    }
}

/// A delay written as text.
pub(crate) fn from_text(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Delay> {
    let text = text.trim();
    let all = text.str();
    let dist = if all.starts_with("like") {
        return findings.error("E23", text.span(), not_built("delay = \"like …\""));
    } else if all.starts_with('p') {
        percentiles(text, findings)?
    } else if let Some((mean, sd)) = text.split_once("+-").or_else(|| text.split_once("\u{b1}")) {
        let (mean, sd) = (units::duration(mean, findings), units::duration(sd, findings));
        Dist::Normal { mean: mean?, sd: sd? }
    } else if let Some((low, high)) = text.split_once("..") {
        let (low, high) = (units::duration(low, findings), units::duration(high, findings));
        Dist::Uniform { low: low?, high: high? }
    } else {
        Dist::Fixed(units::duration(text, findings)?)
    };
    checked(dist, Bounds::default(), text.span(), findings)
}

/// `p50 80ms, p99 900ms`.
fn percentiles(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Dist> {
    let parts =
        text.split_once(",").and_then(|(p50, p99)| Some((p50.strip_word("p50")?, p99.strip_word("p99")?)));
    let Some((p50, p99)) = parts else {
        let what = help("a delay by percentiles is given by p50 and p99", "write `p50 80ms, p99 900ms`");
        return findings.error("E07", text.span(), what);
    };
    let (p50, p99) = (units::duration(p50, findings), units::duration(p99, findings));
    Some(Dist::LogNormal { p50: p50?, p99: p99? })
}

/// `{ dist = "normal", mean = "200ms", sd = "50ms", min = "0ms", max = "1s" }` and its siblings.
fn from_table(mut fields: Fields<'_>, findings: &mut Findings<'_>) -> Option<Delay> {
    let span = fields.span();
    let Some(dist) = fields.get("dist") else {
        let what =
            help("which distribution?", format!("write `dist = \"normal\"`; there are {}", DISTS.join(", ")));
        return findings.missing("E07", span, what);
    };
    let name = dist.text("normal", findings)?;
    let mut get = |key, findings: &mut Findings<'_>| duration(&mut fields, key, findings);
    let dist = match name.str() {
        "fixed" => get("value", findings).needed("value", &span, findings).map(Dist::Fixed),
        "uniform" => {
            let low = get("min", findings).needed("min", &span, findings);
            let high = get("max", findings).needed("max", &span, findings);
            low.zip(high).map(|(low, high)| Dist::Uniform { low, high })
        }
        "normal" => {
            let mean = get("mean", findings).needed("mean", &span, findings);
            let sd = get("sd", findings).needed("sd", &span, findings);
            mean.zip(sd).map(|(mean, sd)| Dist::Normal { mean, sd })
        }
        "lognormal" => {
            let p50 = get("p50", findings).needed("p50", &span, findings);
            let p99 = get("p99", findings).needed("p99", &span, findings);
            p50.zip(p99).map(|(p50, p99)| Dist::LogNormal { p50, p99 })
        }
        "pareto" | "empirical" | "capture" => findings.error("E23", name.span(), not_built(name.str())),
        wrong => {
            let what =
                help(format!("no distribution is called `{wrong}`"), words::did_you_mean(wrong, DISTS));
            return findings.error("E07", name.span(), what);
        }
    };
    let bounds = match dist {
        Some(Dist::Normal { .. } | Dist::LogNormal { .. }) => {
            let (min, max) = (get("min", findings), get("max", findings));
            Bounds { min: min.read()?, max: max.read()? }
        }
        _ => Bounds::default(),
    };
    fields.finish(&["at", "mode"], findings);
    checked(dist?, bounds, span, findings)
}

/// Refuses parameters that contradict each other.
fn checked(dist: Dist, bounds: Bounds, span: Span, findings: &mut Findings<'_>) -> Option<Delay> {
    let min = bounds.min.unwrap_or(Duration::ZERO);
    let max = bounds.max.unwrap_or(limits::LONGEST);
    let contradiction = match dist {
        Dist::Uniform { low, high } if high < low => {
            Some(("E07", "the shortest delay is longer than the longest", "write the shorter one first"))
        }
        Dist::LogNormal { p50, .. } if p50.is_zero() => {
            Some(("E07", "a p50 of zero has no long tail", "give a p50 above zero"))
        }
        Dist::LogNormal { p50, p99 } if p99 <= p50 => Some((
            "E07",
            "p99 is not longer than p50",
            "one in a hundred is slower than p99, so it is the longer one",
        )),
        Dist::LogNormal { p99, .. } if max < p99 => {
            Some(("E07", "max is shorter than p99", "with that max the asked p99 could not be reached"))
        }
        Dist::Normal { mean, sd } if mean < sd && bounds.min.is_none() => Some((
            "E08",
            "it varies by more than its mean, so many delays would be negative",
            "make it smaller, or accept the cut: { dist = \"normal\", mean = …, sd = …, min = \"0ms\" }",
        )),
        Dist::Normal { mean, .. } if mean < min || max < mean => {
            Some(("E07", "the mean lies outside min and max", "widen the bounds"))
        }
        _ if max < min => Some(("E07", "max is shorter than min", "write the shorter one as min")),
        _ => None,
    };
    match contradiction {
        Some((code, message, advice)) => findings.error(code, span, help(message, advice)),
        None => Some(Delay::new(dist).within(min, max)),
    }
}

#[derive(Default)]
struct Bounds {
    min: Option<Duration>,
    max: Option<Duration>,
}

/// What a key of the table held.
#[derive(Clone, Copy)]
enum Found {
    Nothing,
    Wrong,
    Right(Duration),
}

impl Found {
    fn needed(self, key: &str, span: &Span, findings: &mut Findings<'_>) -> Option<Duration> {
        match self {
            Self::Right(duration) => Some(duration),
            Self::Wrong => None,
            Self::Nothing => {
                let what =
                    help(format!("`{key}` is missing in this delay"), format!("write `{key} = \"200ms\"`"));
                findings.missing("E07", span.clone(), what)
            }
        }
    }

    fn read(self) -> Option<Option<Duration>> {
        match self {
            Self::Right(duration) => Some(Some(duration)),
            Self::Nothing => Some(None),
            Self::Wrong => None,
        }
    }
}

fn duration(fields: &mut Fields<'_>, key: &'static str, findings: &mut Findings<'_>) -> Found {
    let Some(field) = fields.get(key) else { return Found::Nothing };
    let text = field.text("200ms", findings);
    text.and_then(|text| units::duration(text, findings)).map_or(Found::Wrong, Found::Right)
}

const DISTS: &[&str] = &["fixed", "uniform", "normal", "lognormal"];
