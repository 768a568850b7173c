//! A delay as a table: `{ dist = "normal", mean = "200ms", sd = "50ms", max = "1s", at = "response" }` and its siblings.

use std::sync::Arc;
use std::time::Duration;

use toml::de::DeValue;

use super::checked::{self, Bounds, Shape};
use super::{place, recorded};
use crate::delay::{Delay, Dist, Mode, Table};
use crate::parse::findings::{Findings, help};
use crate::parse::table::{Field, Fields};
use crate::parse::text::Text;
use crate::parse::{Context, units, words};

pub(super) fn read(field: &Field<'_>, cx: &mut Context<'_>) -> Option<Delay> {
    let mut fields = field.table("`delay`", &mut cx.findings)?;
    let span = fields.span();
    let Some(name) = fields.get("dist") else {
        let what =
            help("which distribution?", format!("write `dist = \"normal\"`; there are {}", DISTS.join(", ")));
        return cx.findings.missing("E07", span, what);
    };
    let name = name.text("normal", &mut cx.findings)?;
    let dist = dist(name, &mut fields, cx);
    let bounds = match name.str() {
        "fixed" | "uniform" => Some(Bounds::default()),
        _ => {
            let min = fields.optional("min", |field| units::duration_field(field, &mut cx.findings));
            let max = fields.optional("max", |field| units::duration_field(field, &mut cx.findings));
            min.zip(max).map(|(min, max)| Bounds { min, max })
        }
    };
    let at =
        fields.optional("at", |field| place(field.text("response", &mut cx.findings)?, &mut cx.findings));
    let mode = fields.or("mode", Mode::Add, |field| mode(field, &mut cx.findings));
    if !DISTS.contains(&name.str()) {
        return None; // said already; which keys it might have is anybody's guess
    }
    fields.finish(&mut cx.findings);
    let shape = Shape { dist: dist?, bounds: bounds?, at: at?, mode: mode? };
    checked::delay(shape, span, &mut cx.findings)
}

fn dist(name: Text<'_>, fields: &mut Fields<'_>, cx: &mut Context<'_>) -> Option<Dist> {
    let mut get = |key, findings: &mut Findings<'_>| needed(fields, key, findings);
    let findings = &mut cx.findings;
    match name.str() {
        "fixed" => get("value", findings).map(Dist::Fixed),
        "uniform" => {
            let (low, high) = (get("min", findings), get("max", findings));
            Some(Dist::Uniform { low: low?, high: high? })
        }
        "normal" => {
            let (mean, sd) = (get("mean", findings), get("sd", findings));
            Some(Dist::Normal { mean: mean?, sd: sd? })
        }
        "lognormal" => {
            let (p50, p99) = (get("p50", findings), get("p99", findings));
            Some(Dist::LogNormal { p50: p50?, p99: p99? })
        }
        "pareto" => {
            let scale = get("scale", findings);
            let shape = needed_field(fields, "shape", "1.5", findings);
            let shape = shape.and_then(|field| field.number(findings));
            Some(Dist::Pareto { scale: scale?, shape: shape? })
        }
        "table" => {
            let points = needed_field(fields, "points", "{ p50 = \"80ms\", p99 = \"900ms\" }", findings)?;
            points_of(&points, findings)
        }
        "like" => {
            let capture = needed_field(fields, "capture", "\"capture.zst\"", findings);
            let scale = fields.or("scale", 1.0, |field| field.number(&mut cx.findings));
            let name = capture?.text("capture.zst", &mut cx.findings)?;
            recorded(name, scale?, cx)
        }
        wrong => {
            let message = format!("no distribution is called `{wrong}`");
            findings.error("E07", name.span(), help(message, words::did_you_mean(wrong, DISTS)))
        }
    }
}

fn needed(fields: &mut Fields<'_>, key: &'static str, findings: &mut Findings<'_>) -> Option<Duration> {
    let field = needed_field(fields, key, "\"200ms\"", findings)?;
    units::duration_field(&field, findings)
}

fn needed_field<'d>(
    fields: &mut Fields<'d>,
    key: &'static str,
    example: &str,
    findings: &mut Findings<'_>,
) -> Option<Field<'d>> {
    let found = fields.get(key);
    if found.is_none() {
        let what = help(format!("`{key}` is missing in this delay"), format!("write `{key} = {example}`"));
        findings.missing::<()>("E07", fields.span(), what);
    }
    found
}

/// `{ p50 = "80ms", p90 = "200ms", p99_9 = "2s" }`.
fn points_of(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Dist> {
    let DeValue::Table(table) = field.value.get_ref() else {
        let what = help("points are a table", "write `points = { p50 = \"80ms\", p99 = \"900ms\" }`");
        return findings.error("E24", field.span(), what);
    };
    let read: Vec<_> = table
        .iter()
        .map(|(key, value)| {
            let share = percentile(key.get_ref());
            if share.is_none() {
                let message = format!("`{}` is no percentile", key.get_ref());
                findings.error::<()>("E07", key.span(), help(message, "write `p50`, `p99` or `p99_9`"));
            }
            let point = Field { name: "points", key: key.span(), value };
            Some((share?, units::duration_field(&point, findings)?))
        })
        .collect();
    let mut points = read.into_iter().collect::<Option<Vec<_>>>()?;
    points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    match Table::new(&points) {
        Some(table) => Some(Dist::Table(Arc::new(table))),
        None if points.is_empty() => {
            let what = help("a table without points", "write `points = { p50 = \"80ms\", p99 = \"900ms\" }`");
            findings.error("E07", field.span(), what)
        }
        None => {
            let what =
                help("a higher percentile with a shorter delay", "a percentile never falls: sort them");
            findings.error("E07", field.span(), what)
        }
    }
}

/// `p99_9` is 0.999.
fn percentile(name: &str) -> Option<f64> {
    let digits = name.strip_prefix('p')?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let percent: f64 = digits.replacen('_', ".", 1).parse().ok().filter(|_| plain)?;
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}

fn mode(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Mode> {
    let word = field.text("floor", findings)?;
    match word.str() {
        "add" => Some(Mode::Add),
        "floor" => Some(Mode::Floor),
        wrong => {
            let message = format!("a delay does not `{wrong}`");
            findings.error("E07", word.span(), help(message, words::did_you_mean(wrong, &["add", "floor"])))
        }
    }
}

const DISTS: &[&str] = &["fixed", "uniform", "normal", "lognormal", "pareto", "table", "like"];
