//! Numbers with their units: durations, shares, sizes, counts. Whole-number arithmetic throughout.

use std::time::Duration;

use super::findings::{Findings, help};
use super::table::{self, Field};
use super::text::Text;
use super::words;
use crate::limits;
use crate::select::Rate;

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

/// The value of a key that holds a share.
pub(crate) fn share_field(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Rate> {
    match table::bare_number(field.value) {
        Some(number) => findings.error("E05", field.span(), bare_share(number)),
        None => share(field.text("50%", findings)?.trim(), findings),
    }
}

/// The value of a key that holds a size of at least one byte.
pub(crate) fn size_field(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<u64> {
    if let Some(number) = table::bare_number(field.value) {
        let what = help("a size without a unit", format!("write `\"{number} B\"`"));
        return findings.error("E06", field.span(), what);
    }
    let text = field.text("4KB", findings)?;
    match size(text.trim(), findings)? {
        0 => findings.error("E06", text.span(), help("no size at all", "write a size above zero")),
        bytes => Some(bytes),
    }
}

/// `10KB/s`: bytes a second, from 1 to 1 TB.
pub(crate) fn byte_rate(text: Text<'_>, findings: &mut Findings<'_>) -> Option<u64> {
    let all = text.str();
    let Some((amount, _)) = text.split_once("/").filter(|(_, per)| per.str() == "s") else {
        let what = help(format!("`{all}` is no pace"), "write bytes a second: `10KB/s`");
        return findings.error("E06", text.span(), what);
    };
    let bytes = size(amount, findings)?;
    if (1..=limits::BYTES_PER_SECOND).contains(&bytes) {
        return Some(bytes);
    }
    findings.error("E06", text.span(), help("a pace outside 1 B/s to 1 TB/s", "write `10KB/s`"))
}

/// A plain number without a sign: `1.5`.
pub(crate) fn decimal(text: &str) -> Option<f64> {
    let number = Decimal::parse(text)?;
    Some(number.digits as f64 / 10_f64.powi(number.scale as i32))
}

/// A factor: `x1.5`.
pub(crate) fn factor(text: &str) -> Option<f64> {
    decimal(text.strip_prefix('x')?)
}

/// Whether a text is a number and a unit of time.
pub(crate) fn looks_like_time(text: &str) -> bool {
    let (number, unit) = split_number(text);
    !number.is_empty() && TIME_UNITS.iter().any(|(name, _)| unit.starts_with(name) && !unit.contains('B'))
}

/// `20%`; between 0 and 100.
pub(crate) fn share(text: Text<'_>, findings: &mut Findings<'_>) -> Option<Rate> {
    let all = text.str();
    let Some(number) = all.strip_suffix('%') else {
        let what = match Decimal::parse(all) {
            Some(_) => bare_share(all),
            None => help(format!("`{all}` is not a share"), "write a percentage: `20%`"),
        };
        return findings.error("E05", text.span(), what);
    };
    let Some(number) = Decimal::parse(number) else {
        return findings.error(
            "E05",
            text.span(),
            help(format!("`{all}` is not a percentage"), "write `20%`"),
        );
    };
    // At most 1e15 of digits and 1e9 of scale: both sides fit.
    let whole = 100 * 10_u128.pow(number.scale);
    match (u64::try_from(number.digits), u64::try_from(whole)) {
        (Ok(parts), Ok(whole)) if parts <= whole => Some(Rate::of(parts, whole)),
        _ => findings.error(
            "E05",
            text.span(),
            help(format!("`{all}` is more than everything"), "write at most `100%`"),
        ),
    }
}

/// What to say about a share without its percent sign.
pub(crate) fn bare_share(number: &str) -> (String, Option<String>) {
    let fraction = Decimal::parse(number).filter(|it| 0 < it.scale && it.digits <= 10_u128.pow(it.scale));
    let advice = match fraction.map(Decimal::as_percent) {
        Some(percent) => format!("write `{percent}%` or `{number}%`, whichever is meant"),
        None => format!("write `{number}%`"),
    };
    help(format!("`{number}` alone is ambiguous as a share"), advice)
}

/// `5000 B`, `64KB`, `1.5MB`, `4KiB`.
pub(crate) fn size(text: Text<'_>, findings: &mut Findings<'_>) -> Option<u64> {
    let all = text.str();
    let (number, unit) = split_number(all);
    let factor = SIZE_UNITS.iter().find(|(name, _)| *name == unit.trim()).map(|(_, factor)| *factor);
    match (Decimal::parse(number), factor) {
        (Some(number), Some(factor)) => {
            let bytes = number.times(factor);
            match u64::try_from(bytes).ok().filter(|bytes| *bytes <= MOST_BYTES) {
                Some(bytes) => Some(bytes),
                None => findings.error(
                    "E06",
                    text.span(),
                    help("more than 1 PB", "write a size that a body can have"),
                ),
            }
        }
        _ => findings.error(
            "E06",
            text.span(),
            help(format!("`{all}` is not a size"), "write `5000 B`, `64KB` or `1MB`"),
        ),
    }
}

/// `50`, `6k`, `1.5M`: a whole number, at least 1 and at most 1e9.
pub(crate) fn count(text: Text<'_>, findings: &mut Findings<'_>) -> Option<u64> {
    let all = text.str();
    let (number, suffix) = split_number(all);
    let factor = match suffix {
        "" => Some(1),
        "k" => Some(1_000),
        "M" => Some(1_000_000),
        _ => None,
    };
    let value = Decimal::parse(number)
        .zip(factor)
        .filter(|(number, factor)| number.is_whole_times(*factor))
        .and_then(|(number, factor)| u64::try_from(number.times(factor)).ok())
        .filter(|value| (1..=limits::TOKENS).contains(value));
    match value {
        Some(value) => Some(value),
        None => {
            let what =
                help(format!("`{all}` is not a whole number from 1 to 1000M"), "write `50`, `6k` or `1M`");
            findings.error("E29", text.span(), what)
        }
    }
}

/// `50/s`, `6k/m`, `100/10s`: a count and a period.
pub(crate) fn rate(text: Text<'_>, findings: &mut Findings<'_>) -> Option<(u64, Duration)> {
    let Some((tokens, per)) = text.split_once("/") else {
        let all = text.str();
        let what = help(
            format!("`{all}` is not a rate"),
            format!("write what it counts by: `{}/s`", split_number(all).0),
        );
        return findings.error("E06", text.span(), what);
    };
    let tokens = count(tokens, findings);
    let period = match per.str() {
        "s" => Some(Duration::from_secs(1)),
        "m" => Some(Duration::from_mins(1)),
        "h" => Some(Duration::from_hours(1)),
        _ => duration(per, findings),
    };
    if period == Some(Duration::ZERO) {
        return findings.error("E29", per.span(), help("a rate over no time", "write `50/s` or `50/10s`"));
    }
    tokens.zip(period)
}

/// A decimal number without a sign, exactly.
#[derive(Debug, Clone, Copy)]
struct Decimal {
    digits: u128,
    /// Of `digits`, how many stand behind the point.
    scale: u32,
}

impl Decimal {
    /// At most 15 digits before the point and 9 behind.
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let well_formed = !whole.is_empty() && (!text.contains('.') || !fraction.is_empty());
        if !well_formed || 15 < whole.len() || 9 < fraction.len() {
            return None;
        }
        let mut digits = 0_u128;
        for byte in whole.bytes().chain(fraction.bytes()) {
            digits = digits * 10 + u128::from(char::from(byte).to_digit(10)?);
        }
        Some(Self { digits, scale: fraction.len() as u32 })
    }

    /// The product, rounded down. At most 24 digits times a factor below 1e15: far from 2^128.
    fn times(self, factor: u128) -> u128 {
        self.digits.saturating_mul(factor) / 10_u128.pow(self.scale)
    }

    fn is_whole_times(self, factor: u128) -> bool {
        self.digits.saturating_mul(factor).is_multiple_of(10_u128.pow(self.scale))
    }

    /// A fraction of 1 as a percentage, in digits.
    fn as_percent(self) -> String {
        let hundred_fold = self.digits * 100;
        let one = 10_u128.pow(self.scale);
        let (whole, rest) = (hundred_fold / one, hundred_fold % one);
        if rest == 0 {
            return whole.to_string();
        }
        let digits = format!("{rest:0>width$}", width = self.scale as usize);
        format!("{whole}.{}", digits.trim_end_matches('0'))
    }
}

fn split_number(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
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

const SIZE_UNITS: &[(&str, u128)] = &[
    ("B", 1),
    ("KB", 1_000),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

const MOST_BYTES: u64 = 1_000_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(text: &str, parser: impl Fn(Text<'_>, &mut Findings<'_>) -> Option<T>) -> Result<T, String> {
        let mut findings = Findings::new(text, "test");
        let value = parser(Text::exact(text, 0), &mut findings);
        let concluded = findings.conclude(value).map_err(|report| report.findings()[0].help.clone().unwrap());
        concluded.map(|(value, _)| value)
    }

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

    #[test]
    fn shares() {
        let check = |text: &str, fraction: f64| {
            assert_eq!(read(text, share).map(Rate::fraction), Ok(fraction), "{text}");
        };
        check("0%", 0.0);
        check("100%", 1.0);
        check("50%", 0.5);
        check("12.5%", 0.125);
        let refuse = |text: &str, help: &str| assert_eq!(read(text, share), Err(help.to_owned()), "{text}");
        refuse("0.5", "write `50%` or `0.5%`, whichever is meant");
        refuse("0.125", "write `12.5%` or `0.125%`, whichever is meant");
        refuse("20", "write `20%`");
        refuse("100.1%", "write at most `100%`");
        refuse("-1%", "write `20%`");
        refuse("x", "write a percentage: `20%`");
        refuse("999999999999999%", "write at most `100%`");
    }

    #[test]
    fn sizes_counts_and_rates() {
        assert_eq!(read("5000 B", size), Ok(5_000));
        assert_eq!(read("1.5KB", size), Ok(1_500));
        assert_eq!(read("4KiB", size), Ok(4_096));
        assert!(read("5000", size).is_err());
        assert!(read("999999999999999GB", size).is_err());
        assert_eq!(read("6k", count), Ok(6_000));
        assert_eq!(read("1.5k", count), Ok(1_500));
        for bad in ["0", "1.5", "1001M", "-1", "5K", ""] {
            assert!(read(bad, count).is_err(), "{bad}");
        }
        assert_eq!(read("50/s", rate), Ok((50, Duration::from_secs(1))));
        assert_eq!(read("6k/m", rate), Ok((6_000, Duration::from_mins(1))));
        assert_eq!(read("5 / 10s", rate), Ok((5, Duration::from_secs(10))));
        assert_eq!(read("50", rate), Err("write what it counts by: `50/s`".to_owned()));
        assert!(read("50/0s", rate).is_err());
    }
}
