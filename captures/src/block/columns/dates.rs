//! Dates of ISO 8601 as numbers, and back: `2026-01-31T23:59:59`, with 0, 3 or 6 digits of a fraction.

use super::kinds::Kind;

/// The date that `text` begins with: its kind, its length, and its microseconds since 1970.
pub(super) fn date_of(text: &[u8]) -> Option<(Kind, usize, u64)> {
    let fields = text.get(..19)?;
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|(at, byte)| fields[*at] != *byte) {
        return None;
    }
    let digits = |from: usize, to: usize| {
        let part = text.get(from..to)?;
        let is_number = part.iter().all(u8::is_ascii_digit);
        is_number.then(|| part.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    };
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
    let fraction = match text.get(19) {
        Some(b'.') => text[20..].iter().take_while(|byte| byte.is_ascii_digit()).count(),
        _ => 0,
    };
    let (kind, length, fraction_us) = match fraction {
        3 => (Kind::DateMillis, 23, digits(20, 23)? * 1000),
        6 => (Kind::DateMicros, 26, digits(20, 26)?),
        _ => (Kind::DateSeconds, 19, 0),
    };
    let seconds = days_since_1970(year, month, day)? * 86_400 + hour * 3600 + minute * 60 + second;
    let us = seconds * 1_000_000 + fraction_us;
    // what would not come back as it was (a 31st of February, an hour 24) stays text
    let mut again = Vec::with_capacity(26);
    (put(kind, us, &mut again) && again == text[..length]).then_some((kind, length, us))
}

/// Writes a date; `false`, and nothing is written, beyond the year 9999.
pub(super) fn put(kind: Kind, us: u64, out: &mut Vec<u8>) -> bool {
    let (seconds, fraction_us) = (us / 1_000_000, us % 1_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date_from(days);
    if 9999 < year {
        return false;
    }
    put_digits(year, 4, out);
    for (mark, number) in
        [(b'-', month), (b'-', day), (b'T', second / 3600), (b':', second / 60 % 60), (b':', second % 60)]
    {
        out.push(mark);
        put_digits(number, 2, out);
    }
    match kind {
        Kind::DateMillis => {
            out.push(b'.');
            put_digits(fraction_us / 1000, 3, out);
        }
        Kind::DateMicros => {
            out.push(b'.');
            put_digits(fraction_us, 6, out);
        }
        _ => {}
    }
    true
}

fn put_digits(number: u64, width: u32, out: &mut Vec<u8>) {
    out.extend((0..width).rev().map(|place| b'0' + (number / 10u64.pow(place) % 10) as u8));
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` before.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || year < 1970 {
        return None;
    }
    // years that begin in March have their leap day at the end
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    days.checked_sub(DAYS_TO_1970)
}

/// Year, month and day of a day since 1970-01-01.
fn date_from(days: u64) -> (u64, u64, u64) {
    // days from the first of March of the year 0, from 0
    let days = days + DAYS_TO_1970 - 1;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let of_era_year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of_era_year + of_era_year / 4 - of_era_year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    (era * 400 + of_era_year + year, month, day)
}

/// Days from the first of March of the year 0, counted from 1, to 1970-01-01.
const DAYS_TO_1970: u64 = 719_469;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_there_and_back() {
        let check = |text: &str, expect: Option<(Kind, u64)>| {
            let found = date_of(text.as_bytes()).map(|(kind, _, us)| (kind, us));
            assert_eq!(found, expect, "{text}");
        };
        check("1970-01-01T00:00:00", Some((Kind::DateSeconds, 0)));
        check("2023-11-14T22:13:20Z", Some((Kind::DateSeconds, 1_700_000_000_000_000)));
        check("2023-11-14T22:13:20.5Z", Some((Kind::DateSeconds, 1_700_000_000_000_000)));
        check("2023-11-14T22:13:20.123+00", Some((Kind::DateMillis, 1_700_000_000_123_000)));
        check("2024-02-29T00:00:00.000001", Some((Kind::DateMicros, 1_709_164_800_000_001)));
        check("9999-12-31T23:59:59.999999", Some((Kind::DateMicros, 253_402_300_799_999_999)));
        for text in [
            "1969-12-31T23:59:59",
            "2023-02-29T00:00:00",
            "2023-01-01T24:00:00",
            "2023-13-01T00:00:00",
            "2023-00-01T00:00:00",
            "2023-01-00T00:00:00",
            "2023-01-01 00:00:00",
            "2023-01-01T00:00",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn every_day_of_a_thousand_years() {
        for day in 0..365_243u64 {
            let mut text = Vec::new();
            assert!(put(Kind::DateSeconds, day * 86_400_000_000, &mut text));
            assert_eq!(date_of(&text), Some((Kind::DateSeconds, 19, day * 86_400_000_000)));
        }
        assert!(!put(Kind::DateSeconds, u64::MAX, &mut Vec::new()));
    }
}
