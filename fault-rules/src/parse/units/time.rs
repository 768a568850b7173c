//! Durations: `500ms`, `1.5s`, `1h30m`.

use std::time::Duration;

use super::decimal::Decimal;
use super::split_number;
use crate::limits;
use crate::parse::findings::{Findings, help};
use crate::parse::table::{self, Field};
use crate::parse::text::Text;
use crate::parse::words;

/// `500ms`, `1.5s`, `1h30m`; at most 24 h.
pub(crate) fn duration(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Duration> {
    let all = text.str();
    if all.is_empty() {
        return findings.error(
            "E06",
            text.span(),
            help("a duration is missing here", "write `500ms` or `30s`"),
        );
    }
    let (mut rest, mut total_ns) = (all, 0_u128);
    while !rest.is_empty() {
        let (number, behind) = split_number(rest);
        let unit_end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, next) = behind.split_at(unit_end);
        let Some(number) = Decimal::parse(number) else {
            let what = help(format!("`{all}` is not a duration"), "write `500ms`, `30s`, `5m` or `1h30m`");
            return findings.error("E06", text.span(), what);
        };
        let Some((_, unit_ns)) = TIME_UNITS.iter().find(|(name, _)| *name == unit) else {
            return findings.error("E06", text.span(), no_time_unit(all, unit));
        };
        total_ns = total_ns.saturating_add(number.times(*unit_ns));
        rest = next;
    }
    let duration = u64::try_from(total_ns).ok().map(Duration::from_nanos).filter(|it| *it <= limits::LONGEST);
    if duration.is_none() {
        return findings.error(
            "E06",
            text.span(),
            help(format!("`{all}` is longer than 24h"), "write at most `24h`"),
        );
    }
    duration
}

/// The value of a key that holds a duration.
pub(crate) fn duration_field(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Duration> {
    if let Some(number) = table::bare_number(field.value) {
        let advice = format!("write `\"{number}ms\"` or `\"{number}s\"`, whichever is meant");
        return findings.error("E06", field.span(), help("a time without a unit", advice));
    }
    duration(field.text("30s", findings)?, findings)
}

/// Whether a text is a number and a unit of time.
pub(crate) fn looks_like_time(text: &str) -> bool {
    let (number, unit) = split_number(text);
    !number.is_empty() && TIME_UNITS.iter().any(|(name, _)| unit.starts_with(name) && !unit.contains('B'))
}

fn no_time_unit(all: &str, unit: &str) -> (String, Option<String>) {
    if unit.is_empty() {
        return help(
            format!("`{all}` has no unit"),
            format!("write `{all}ms` or `{all}s`, whichever is meant"),
        );
    }
    let near = match unit.trim().to_ascii_lowercase().as_str() {
        spaced if TIME_UNITS.iter().any(|(name, _)| *name == spaced) => Some(unit.trim()),
        "sec" | "secs" | "second" | "seconds" => Some("s"),
        "msec" | "millis" | "milliseconds" => Some("ms"),
        "min" | "mins" | "minute" | "minutes" => Some("m"),
        "hour" | "hours" | "hr" => Some("h"),
        other => words::nearest(other, &["ms", "us", "ns"]),
    };
    let advice = match near {
        Some(near) => format!("did you mean `{}`?", all.replace(unit, near)),
        None => "units are ns, us, ms, s, m, h, written without space: `1m30s`".to_owned(),
    };
    help(format!("`{}` is no unit of time", unit.trim()), advice)
}

const TIME_UNITS: &[(&str, u128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    #[test]
    fn durations() {
        let check =
            |text: &str, ns: u64| assert_eq!(read(text, duration), Ok(Duration::from_nanos(ns)), "{text}");
        check("0s", 0);
        check("500ms", 500_000_000);
        check("1.5s", 1_500_000_000);
        check("1h30m", 5_400_000_000_000);
        check("250us", 250_000);
        check("250\u{b5}s", 250_000);
        check("7ns", 7);
        check("24h", 86_400_000_000_000);
        let refuse =
            |text: &str, help: &str| assert_eq!(read(text, duration), Err(help.to_owned()), "{text}");
        refuse("500", "write `500ms` or `500s`, whichever is meant");
        refuse("5sec", "did you mean `5s`?");
        refuse("25h", "write at most `24h`");
        refuse("", "write `500ms` or `30s`");
        refuse("5 s", "did you mean `5s`?");
        for bad in ["-5s", "1..2s", ".5s", "5.s", "s", "999999999999999999999s", "1e3s", "NaN", "\u{1f4a5}"] {
            assert!(read(bad, duration).is_err(), "{bad}");
        }
    }
}
