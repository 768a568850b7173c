//! Statuses of the origin's answer: `2xx`, `503`, `500..599`, several with `|`.

use toml::de::DeValue;

use crate::limits;
use crate::matcher::Statuses;
use crate::parse::findings::{Findings, Span, help};
use crate::parse::table::Field;
use crate::parse::text::Text;

/// The value of a `status` key: text, a number, or an array of both.
pub(crate) fn field(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Statuses> {
    let DeValue::Array(items) = field.value.get_ref() else {
        let ranges = one(field.value, findings)?;
        return statuses(ranges, field.span(), findings);
    };
    if items.is_empty() {
        let what = help("no status at all", "leave `status` out for all statuses");
        return findings.error("E11", field.span(), what);
    }
    let read: Vec<_> = items.iter().map(|item| one(item, findings)).collect();
    let ranges = read.into_iter().collect::<Option<Vec<_>>>()?.concat();
    statuses(ranges, field.span(), findings)
}

/// The word behind `->`.
pub(crate) fn from_text(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Statuses> {
    let ranges = ranges(text, findings)?;
    statuses(ranges, text.span(), findings)
}

fn statuses(ranges: Vec<(u16, u16)>, span: Span, findings: &mut Findings<'_>) -> Option<Statuses> {
    if ranges.len() <= limits::IN_A_ROW {
        return Some(Statuses { ranges });
    }
    findings.error("E11", span, help("more than 100 statuses", "write ranges: `500..599`"))
}

fn one(value: &toml::Spanned<DeValue<'_>>, findings: &mut Findings<'_>) -> Option<Vec<(u16, u16)>> {
    match value.get_ref() {
        DeValue::Integer(digits) => {
            let digits = digits.as_str();
            match number(digits) {
                Some(status) => Some(vec![(status, status)]),
                None => findings.error("E11", value.span(), no_status(digits)),
            }
        }
        _ => ranges(crate::parse::table::text(value, "status", "2xx", findings)?, findings),
    }
}

fn ranges(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Vec<(u16, u16)>> {
    let parts: Vec<_> = text.str().split('|').map(|part| range(text.part(part.trim()), findings)).collect();
    parts.into_iter().collect()
}

fn range(text: Text<'_>, findings: &mut Findings<'_>) -> Option<(u16, u16)> {
    let word = text.str();
    let class = word.strip_suffix("xx").and_then(|class| class.parse::<u16>().ok());
    let found = match (class, word.split_once("..")) {
        (Some(class), _) => (1..=5).contains(&class).then(|| (class * 100, class * 100 + 99)),
        (None, Some((from, to))) => number(from).zip(number(to)).filter(|(from, to)| from <= to),
        (None, None) => number(word).map(|status| (status, status)),
    };
    match found {
        Some(range) => Some(range),
        None => findings.error("E11", text.span(), no_status(word)),
    }
}

fn number(digits: &str) -> Option<u16> {
    digits.parse().ok().filter(|status| (100..=599).contains(status))
}

fn no_status(word: &str) -> (String, Option<String>) {
    help(format!("`{word}` is no status of an answer"), "write `2xx`, `503`, `500..599` or `4xx|503`")
}
