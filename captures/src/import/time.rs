//! Times as logs and archives write them.

use jiff::civil::DateTime;

use crate::wire::Malformed;

/// A moment in microseconds since 1970-01-01 UTC, and whether it was more exact than a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) us: u64,
    pub(crate) exact: bool,
}

/// `17/May/2015:10:05:03 +0000`, with a fraction of the second if there is one; with a space behind the date, as servers
/// for development write it; or ISO 8601.
pub(crate) fn log_time(text: &str) -> Result<Moment, Malformed> {
    let text = text.trim();
    let split = text.split_once([':', ' ']);
    let Some((date, time)) = split.filter(|(date, _)| date.matches('/').count() == 2) else {
        return iso_time(text);
    };
    let mut parts = date.split('/');
    let mut next = || parts.next().unwrap_or_default();
    let (day, month, year) = (next(), next(), next());
    let month = MONTHS.iter().position(|name| month.eq_ignore_ascii_case(name)).ok_or(WRONG)? as i64 + 1;
    moment(number(year)?, month, number(day)?, time)
}

/// ISO 8601 in its many dialects: `T` or a space, any fraction, any offset or none (then UTC).
pub(super) fn iso_time(text: &str) -> Result<Moment, Malformed> {
    let text = text.trim();
    let (date, time) = text.split_once(['T', 't', ' ']).ok_or(WRONG)?;
    let mut parts = date.split('-');
    let mut next = || parts.next().ok_or(WRONG).and_then(number);
    moment(next()?, next()?, next()?, time)
}

fn moment(year: i64, month: i64, day: i64, time: &str) -> Result<Moment, Malformed> {
    let clock_len =
        time.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.' | ',')).unwrap_or(time.len());
    let (clock, zone) = time.split_at(clock_len);
    let (whole, fraction) = clock.split_once(['.', ',']).unwrap_or((clock, ""));
    let mut parts = whole.split(':');
    let hour = parts.next().map_or(Err(WRONG), number)?;
    let minute = parts.next().map_or(Err(WRONG), number)?;
    let second = parts.next().map_or(Ok(0), number)?;
    // a leap second has no number of its own in Unix time
    let second = if second == 60 { 59 } else { second };
    let small = |n: i64| i8::try_from(n).map_err(|_| WRONG);
    let year = i16::try_from(year).map_err(|_| WRONG)?;
    let (month, day) = (small(month)?, small(day)?);
    let civil = DateTime::new(year, month, day, small(hour)?, small(minute)?, small(second)?, 0)
        .map_err(|_| WRONG)?;
    let utc = jiff::tz::TimeZone::UTC.to_timestamp(civil).map_err(|_| WRONG)?;
    let us = utc.as_microsecond() - offset_s(zone)? * 1_000_000 + fraction_us(fraction)?;
    Ok(Moment { us: u64::try_from(us).map_err(|_| WRONG)?, exact: !fraction.is_empty() })
}

/// `Z`, `+0200`, `-07:00`, `+02`, nothing, or a name that says UTC; in seconds east.
fn offset_s(zone: &str) -> Result<i64, Malformed> {
    let zone = zone.trim();
    if zone.is_empty() || ["z", "utc", "gmt"].iter().any(|name| zone.eq_ignore_ascii_case(name)) {
        return Ok(0);
    }
    let (sign, digits) = match zone.split_at_checked(1) {
        Some(("+", digits)) => (1, digits),
        Some(("-", digits)) => (-1, digits),
        _ => return Err(WRONG),
    };
    let digits = digits.replace(':', "");
    let (hours, minutes) = digits.split_at_checked(2).ok_or(WRONG)?;
    let minutes = if minutes.is_empty() { 0 } else { number(minutes)? };
    match (number(hours)?, minutes) {
        (hours @ 0..=23, minutes @ 0..=59) => Ok(sign * (hours * 3600 + minutes * 60)),
        _ => Err(WRONG),
    }
}

fn fraction_us(fraction: &str) -> Result<i64, Malformed> {
    let digits = format!("{:0<6}", fraction.get(..fraction.len().min(6)).unwrap_or_default());
    number(&digits)
}

fn number(text: &str) -> Result<i64, Malformed> {
    match text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() <= 9 {
        true => text.parse().map_err(|_| WRONG),
        false => Err(WRONG),
    }
}

const WRONG: Malformed = Malformed("the time cannot be read");
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_their_dialects() {
        let check = |text: &str, us: Option<u64>| {
            assert_eq!(log_time(text).ok().map(|moment| moment.us), us, "{text}");
        };
        check("17/May/2015:10:05:03 +0000", Some(1_431_857_103_000_000));
        check("17/May/2015:12:05:03 +0200", Some(1_431_857_103_000_000));
        check("17/May/2015:03:05:03.25 -0700", Some(1_431_857_103_250_000));
        check("17/May/2015 10:05:03", Some(1_431_857_103_000_000));
        check("2015-05-17T10:05:03Z", Some(1_431_857_103_000_000));
        check("2015-05-17T10:05:03", Some(1_431_857_103_000_000));
        check("2015-05-17 10:05:03,123456789+00:00", Some(1_431_857_103_123_456));
        check("2015-05-17T19:05:03.1+09", Some(1_431_857_103_100_000));
        check("2015-06-30T23:59:60Z", Some(1_435_708_799_000_000));
        for wrong in [
            "",
            "-",
            "17/Foo/2015:10:05:03",
            "31/Feb/2015:10:05:03 +0000",
            "2015-05-17",
            "1969-12-31T00:00:00Z",
        ] {
            check(wrong, None);
        }
        check("17/May/2015:10:05:03 +9900", None);
        check("17/May/2015:10:05:03 é", None);
    }
}
