//! Numbers with their units: durations, shares, sizes, counts. Whole-number arithmetic throughout.

mod decimal;
mod time;

use std::time::Duration;

use self::decimal::Decimal;
use super::findings::{Findings, help};
use super::table::{self, Field};
use super::text::Text;
use crate::limits;
use crate::select::Rate;

pub(crate) use time::{duration, duration_field, looks_like_time};

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

fn split_number(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
}

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

    pub(super) fn read<T>(
        text: &str,
        parser: impl Fn(Text<'_>, &mut Findings<'_>) -> Option<T>,
    ) -> Result<T, String> {
        let mut findings = Findings::new(text, "test");
        let value = parser(Text::exact(text, 0), &mut findings);
        let concluded = findings.conclude(value).map_err(|report| report.findings()[0].help.clone().unwrap());
        concluded.map(|(value, _)| value)
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
