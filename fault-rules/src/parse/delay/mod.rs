//! `delay`: `200ms`, `50ms..200ms`, `200ms +- 50ms`, `p50 80ms, p99 900ms`, `like capture.zst x1.5`, `at least 300ms`, each
//! with ` at PLACE` behind; or a table.

mod checked;
mod table;

use std::sync::Arc;

use toml::de::DeValue;

use self::checked::{Bounds, Shape};
use super::findings::{Findings, help};
use super::table::{self as tables, Field};
use super::text::Text;
use super::{Context, units, words};
use crate::delay::{At, Delay, Dist, Mode, Recorded};

/// The value of a `delay` key.
pub(crate) fn field(field: &Field<'_>, cx: &mut Context<'_>) -> Option<Delay> {
    if let Some(number) = tables::bare_number(field.value) {
        let advice = format!("write `\"{number}ms\"` or `\"{number}s\"`, whichever is meant");
        return cx.findings.error("E06", field.span(), help("a delay without a unit", advice));
    }
    match field.value.get_ref() {
        DeValue::Table(_) => table::read(field, cx),
        _ => from_text(field.text("200ms", &mut cx.findings)?, cx),
    }
}

/// A delay written as text.
pub(crate) fn from_text(text: Text<'_>, cx: &mut Context<'_>) -> Option<Delay> {
    let text = text.trim();
    let (how_long, at) = match text.rsplit_once(" at ") {
        Some((how_long, word)) => (how_long, Some(place(word, &mut cx.findings)?)),
        None => (text, None),
    };
    let floor = how_long.strip_word("at").and_then(|rest| rest.strip_word("least"));
    let mode = if floor.is_some() { Mode::Floor } else { Mode::Add };
    let dist = dist(floor.unwrap_or(how_long), cx)?;
    let shape = Shape { dist, bounds: Bounds::default(), at, mode };
    checked::delay(shape, text.span(), &mut cx.findings)
}

fn dist(text: Text<'_>, cx: &mut Context<'_>) -> Option<Dist> {
    if let Some(rest) = text.strip_word("like") {
        return like(rest, cx);
    }
    let findings = &mut cx.findings;
    if text.str().starts_with('p') {
        return percentiles(text, findings);
    }
    let pair = |(first, second), findings: &mut Findings<'_>| {
        let (first, second) = (units::duration(first, findings), units::duration(second, findings));
        first.zip(second)
    };
    if let Some(ends) = text.split_once("+-").or_else(|| text.split_once("\u{b1}")) {
        return pair(ends, findings).map(|(mean, sd)| Dist::Normal { mean, sd });
    }
    match text.split_once("..") {
        Some(ends) => pair(ends, findings).map(|(low, high)| Dist::Uniform { low, high }),
        None => units::duration(text, findings).map(Dist::Fixed),
    }
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

/// `capture.zst`, `capture.zst x1.5`.
fn like(text: Text<'_>, cx: &mut Context<'_>) -> Option<Dist> {
    let last = text.rsplit_once(" ").and_then(|(name, word)| Some((name, units::factor(word.str())?)));
    let (name, scale) = last.unwrap_or((text, 1.0));
    recorded(name.unquoted(), scale, cx)
}

/// How long the exchanges of a capture took.
fn recorded(name: Text<'_>, scale: f64, cx: &mut Context<'_>) -> Option<Dist> {
    if !(0.0 < scale && scale <= MOST_TIMES) {
        let what = help(format!("times {scale} is no stretch of a delay"), "write a factor above 0, to 1000");
        return cx.findings.error("E07", name.span(), what);
    }
    let key = (name.str().to_owned(), scale.to_bits());
    if let Some(known) = cx.recorded.get(&key) {
        return Some(Dist::Recorded(known.clone()));
    }
    let what = match (cx.loader.latencies)(name.str()) {
        Ok(routes) => {
            cx.loaded = crate::delay::fingerprint(&routes, cx.loaded);
            if let Some(recorded) = Recorded::new(name.str(), scale, &routes).map(Arc::new) {
                cx.recorded.insert(key, recorded.clone());
                return Some(Dist::Recorded(recorded));
            }
            help(
                format!("`{}` knows of no exchange how long it took", name.str()),
                "record one through the proxy, or give percentiles: `p50 80ms, p99 900ms`",
            )
        }
        Err(error) => help(
            format!("the capture `{}` cannot be read: {error}", name.str()),
            "a relative name starts from the rule file",
        ),
    };
    cx.findings.error("E10", name.span(), what)
}

/// The word behind ` at `.
fn place(word: Text<'_>, findings: &mut Findings<'_>) -> Option<At> {
    if let Some(at) = PLACES.iter().find(|at| at.name() == word.str()) {
        return Some(*at);
    }
    let names = PLACES.map(At::name);
    let message = format!("no place in an exchange is called `{}`", word.str());
    findings.error("E07", word.span(), help(message, words::did_you_mean(word.str(), &names)))
}

const PLACES: [At; 5] = [At::Connect, At::Request, At::Response, At::FirstByte, At::Close];

const MOST_TIMES: f64 = 1_000.0;
