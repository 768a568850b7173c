//! `attempts`, `every`, `burst`: which of those that a rule selects are meant after all.

use toml::de::DeValue;

use super::findings::{Findings, help};
use super::table::Field;
use super::text::Text;
use super::{action, units};
use crate::limits;
use crate::select::{Attempts, Burst, Every, Per, Rate};

/// `attempts = 1`, `"1"`, `"1..2"`, `"3.."`.
pub(crate) fn attempts(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Attempts> {
    match field.value.get_ref() {
        DeValue::Integer(_) => {
            let only = u32::try_from(field.integer((1, i64::from(u32::MAX)), findings)?).ok()?;
            Some(Attempts { from: only, to: Some(only) })
        }
        _ => attempts_text(field.text("1..2", findings)?, findings),
    }
}

/// The same as text.
pub(crate) fn attempts_text(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Attempts> {
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| 1 <= *number);
    let found = match text.split_once("..") {
        None => number(text.trim().str()).map(|only| (only, Some(only))),
        Some((from, to)) => match (from.str(), to.str()) {
            ("", to) => number(to).map(|to| (1, Some(to))),
            (from, "") => number(from).map(|from| (from, None)),
            (from, to) => number(from).zip(number(to)).map(|(from, to)| (from, Some(to))),
        },
    };
    match found.filter(|(from, to)| to.is_none_or(|to| *from <= to)) {
        Some((from, to)) => Some(Attempts { from, to }),
        None => {
            let message = format!("`{}` names no attempts, which count from 1", text.str());
            findings.error("E24", text.span(), help(message, "write `1`, `1..2` or `3..`"))
        }
    }
}

/// `every = "10th"`, `"3rd per session"`, `"10th per header x-api-key"`.
pub(crate) fn every(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Every> {
    let text = field.text("10th", findings)?;
    let words = text.words();
    let (nth, per) = match words.as_slice() {
        [nth] => (nth, Some(Per::All)),
        [nth, per, kind] if per.str() == "per" => (nth, action::per_words(*kind, None, findings)),
        [nth, per, kind, name] if per.str() == "per" => {
            (nth, action::per_words(*kind, Some(*name), findings))
        }
        _ => {
            let what =
                help("this counts nothing", "write `10th`, `3rd per session` or `10th per header NAME`");
            return findings.error("E24", text.span(), what);
        }
    };
    let digits = ["st", "nd", "rd", "th"].iter().find_map(|ending| nth.str().strip_suffix(ending));
    let number = digits.and_then(|digits| digits.parse().ok());
    match number.filter(|number| (1..=limits::TOKENS).contains(number)) {
        Some(nth) => Some(Every { nth, per: per? }),
        None => {
            let message = format!("`{}` is no place in a row", nth.str());
            findings.error("E24", nth.span(), help(message, "write `10th`"))
        }
    }
}

/// `burst = { enter = "0.5%", leave = "10%", rate = "90%" }`.
pub(crate) fn burst(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Burst> {
    let mut fields = field.table("`burst`", findings)?;
    let enter = fields.needed("enter", "\"0.5%\"", findings);
    let enter = enter.and_then(|field| units::share_field(&field, findings));
    let leave = fields.needed("leave", "\"10%\"", findings);
    let leave = leave.and_then(|field| units::share_field(&field, findings));
    let rate = fields.or("rate", Rate::ALL, |field| units::share_field(field, findings));
    fields.finish(findings);
    Some(Burst { enter: enter?, leave: leave?, rate: rate? })
}
