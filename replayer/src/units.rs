//! Numbers as people type them: `100x`, `1k`, `30s`, `6k/m`. Every parser says what it would have understood.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp, civil, tz};

use crate::limits;
use crate::options::Speed;

/// `1h30m`, `500ms`, `1.5s`. A bare number is refused: seconds to one tool are milliseconds to the next.
///
/// # Errors
/// Words for the user when the text is not a duration or is zero where that makes no sense.
pub fn duration(text: &str) -> Result<Duration, String> {
    let trimmed = text.trim();
    let wrong = || format!("`{text}` is not a duration: write 500ms, 30s, 5m or 1h30m");
    if trimmed.parse::<f64>().is_ok() {
        return Err(format!("`{text}` has no unit: write {trimmed}s or {trimmed}ms"));
    }
    let mut rest = trimmed;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let unit_len = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let seconds = match unit {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        let value: f64 = number.parse().map_err(|_| wrong())?;
        let part = Duration::try_from_secs_f64(value * seconds).map_err(|_| wrong())?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = tail;
    }
    Ok(total)
}

/// A duration longer than nothing.
///
/// # Errors
/// As [`duration`], and for zero.
pub fn some_duration(text: &str) -> Result<Duration, String> {
    let value = duration(text)?;
    if value.is_zero() { Err(format!("`{text}` is no time at all")) } else { Ok(value) }
}

/// `1000`, `1k`, `2.5M`: at least 1.
///
/// # Errors
/// Words for the user when the text is not a count.
pub fn count(text: &str) -> Result<usize, String> {
    let value = number(text).ok_or_else(|| format!("`{text}` is not a count: write 1000, 1k or 2M"))?;
    if value < 1.0 || value.fract() != 0.0 || value > 1e12 {
        return Err(format!("`{text}` is not a whole number of at least 1"));
    }
    Ok(value as usize)
}

/// `127.0.0.1:9464`, `[::1]:0`, or a port alone, which is one on loopback: where to listen.
///
/// # Errors
/// Words for the user when the text is no address. Names are not looked up.
pub fn listen(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
    let on_loopback = port.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    on_loopback.or_else(|_| text.parse()).map_err(|_| {
        format!("`{text}` is no address to listen on: write 9464 (on loopback) or 10.0.0.5:9464")
    })
}

/// `100x`, `100`, `2.5x`, `1kx`: how many times as many sessions.
///
/// # Errors
/// Words for the user; zero is refused because it would replay nothing.
pub fn amplify(text: &str) -> Result<f64, String> {
    let trimmed = text.trim().strip_suffix(['x', 'X']).unwrap_or(text.trim());
    let value = number(trimmed)
        .ok_or_else(|| format!("`{text}` is not an amplification: write 100x, 100 or 2.5x"))?;
    if value <= 0.0 {
        return Err(format!(
            "`{text}` would replay nothing: the amplification must be above 0 (1x is the recording)"
        ));
    }
    if value > limits::AMPLIFY_MAX {
        return Err(format!("`{text}` is too much: at most {}x", limits::AMPLIFY_MAX));
    }
    Ok(value)
}

/// `1x`, `0.5x`, `10`, `max`.
///
/// # Errors
/// Words for the user when the text is not a speed.
pub fn speed(text: &str) -> Result<Speed, String> {
    let trimmed = text.trim();
    if trimmed == "max" {
        return Ok(Speed::Max);
    }
    let value = number(trimmed.strip_suffix(['x', 'X']).unwrap_or(trimmed))
        .ok_or_else(|| format!("`{text}` is not a speed: write 1x, 0.5x, 10x or max"))?;
    if !(1e-6..=1e6).contains(&value) {
        return Err(format!("`{text}` is not a usable speed: between 0.000001x and 1000000x, or max"));
    }
    Ok(Speed::Times(value))
}

/// Requests a second: `100`, `100/s`, `6k/m`, `50k/h`; `max` means no limit (`None`).
///
/// # Errors
/// Words for the user when the text is not a rate.
pub fn rate(text: &str) -> Result<Option<f64>, String> {
    let trimmed = text.trim();
    if trimmed == "max" {
        return Ok(None);
    }
    let wrong = || format!("`{text}` is not a rate: write 100/s, 6k/m or max");
    let (amount, per) = trimmed.split_once('/').unwrap_or((trimmed, "s"));
    let seconds = match per {
        "s" | "1s" => 1.0,
        "m" | "1m" => 60.0,
        "h" | "1h" => 3600.0,
        _ => return Err(wrong()),
    };
    let value = number(amount).ok_or_else(wrong)? / seconds;
    if value <= 0.0 || value > 1e9 {
        return Err(format!("`{text}` is not a usable rate: above 0, at most 1 billion a second"));
    }
    Ok(Some(value))
}

/// When a run begins: `+30s`, `14:30` or `14:30:05` (UTC, today or tomorrow), `2026-11-21T14:30:00Z`, Unix seconds.
///
/// # Errors
/// Words for the user when the text is no time, or one that is over or more than a day ahead of `now`.
pub fn start_at(text: &str, now: SystemTime) -> Result<SystemTime, String> {
    let trimmed = text.trim();
    let now = Timestamp::try_from(now).map_err(|err| format!("the clock of this machine is off: {err}"))?;
    let at = match trimmed.strip_prefix('+') {
        Some(wait) => {
            SignedDuration::try_from(duration(wait)?).ok().and_then(|wait| now.checked_add(wait).ok())
        }
        None if trimmed.parse::<f64>().is_ok() => unix_seconds(trimmed),
        None => match trimmed.parse::<Timestamp>() {
            Ok(at) => Some(at),
            Err(_) if trimmed.parse::<civil::DateTime>().is_ok() && trimmed.contains(':') => {
                return Err(format!("`{text}` has no time zone: write {trimmed}Z for UTC"));
            }
            Err(_) => time_of_day(trimmed, now)?,
        },
    };
    let at = at.ok_or_else(|| {
        format!("`{text}` is not a start time: write +30s, 14:30 (UTC), 2026-11-21T14:30:00Z or Unix seconds")
    })?;
    let ahead = at.duration_since(now);
    if ahead.is_negative() {
        let ago = ahead.unsigned_abs().as_secs();
        return Err(format!("`{text}` was {ago} s ago, at {}; it is {} now", utc(at), utc(now)));
    }
    if ahead.unsigned_abs() > limits::START_AT_AHEAD {
        return Err(format!("`{text}` is more than a day ahead, at {}; it is {} now", utc(at), utc(now)));
    }
    Ok(at.into())
}

fn unix_seconds(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let nanos = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Timestamp::new(seconds.parse().ok()?, nanos).ok()
}

/// `14:30`, the next one in UTC; one that is only just over was meant for today and is an error. `None`: no such
/// thing.
fn time_of_day(text: &str, now: Timestamp) -> Result<Option<Timestamp>, String> {
    let shape = text.split(':').all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()));
    if !shape || !(5..=8).contains(&text.len()) {
        return Ok(None);
    }
    let Ok(time) = text.parse::<civil::Time>() else { return Ok(None) };
    let today = tz::TimeZone::UTC.to_datetime(now).date();
    let on = |date: civil::Date| tz::TimeZone::UTC.to_timestamp(date.to_datetime(time)).ok();
    let Some(at) = on(today) else { return Ok(None) };
    let ago = now.duration_since(at);
    match ago {
        _ if !ago.is_positive() => Ok(Some(at)),
        _ if ago.unsigned_abs() > limits::START_AT_MISSED => Ok(today.tomorrow().ok().and_then(on)),
        _ => Err(format!(
            "`{text}` UTC was {} s ago (it is {} now); write the date if tomorrow is meant",
            ago.as_secs(),
            utc(now)
        )),
    }
}

/// To the second, with its zone.
fn utc(at: Timestamp) -> String {
    tz::TimeZone::UTC.to_datetime(at).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A decimal number with an optional `k`, `M` or `G` (powers of 1,000).
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let (digits, factor) = match text.chars().last()? {
        'k' | 'K' => (&text[..text.len() - 1], 1e3),
        'M' | 'm' => (&text[..text.len() - 1], 1e6),
        'G' | 'g' => (&text[..text.len() - 1], 1e9),
        _ => (text, 1.0),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    digits.parse::<f64>().ok().map(|value| value * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        let check =
            |text, millis| assert_eq!(duration(text).ok(), Some(Duration::from_millis(millis)), "{text}");
        check("500ms", 500);
        check("30s", 30_000);
        check("1h30m", 5_400_000);
        check("1.5s", 1_500);
        check("1m500ms", 60_500);
        for bad in ["", "30", "s", "1x", "1s5", "-1s", "1..5s", "99999999999999999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(duration("30").is_err_and(|words| words.contains("30s")));
        assert!(some_duration("0s").is_err());
    }

    #[test]
    fn a_bare_port_is_on_loopback() {
        let check =
            |text: &str, addr: &str| assert_eq!(listen(text), Ok(addr.parse().expect(addr)), "{text}");
        check("9464", "127.0.0.1:9464");
        check(":0", "127.0.0.1:0");
        check("0.0.0.0:9464", "0.0.0.0:9464");
        check("[::1]:9464", "[::1]:9464");
        for bad in ["", "localhost:9464", "10.0.0.5", "70000", "http://127.0.0.1:1"] {
            assert!(listen(bad).is_err_and(|words| words.contains("write 9464")), "{bad}");
        }
    }

    #[test]
    fn amplification_is_above_zero() {
        let check = |text, value| assert_eq!(amplify(text), Ok(value), "{text}");
        check("100x", 100.0);
        check("100", 100.0);
        check("2.5x", 2.5);
        check("1kx", 1000.0);
        check("0.1x", 0.1);
        for bad in ["0", "0x", "-1x", "x", "", "NaN", "inf", "1e3", "100M"] {
            assert!(amplify(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_counts_and_speeds() {
        assert_eq!(rate("100/s"), Ok(Some(100.0)));
        assert_eq!(rate("6k/m"), Ok(Some(100.0)));
        assert_eq!(rate("max"), Ok(None));
        assert!(rate("0/s").is_err() && rate("10/w").is_err() && rate("/s").is_err());
        assert_eq!(count("1k"), Ok(1000));
        assert_eq!(count("2M"), Ok(2_000_000));
        assert!(count("0").is_err() && count("1.5").is_err() && count("many").is_err());
        assert_eq!(speed("max"), Ok(Speed::Max));
        assert_eq!(speed("0.5x"), Ok(Speed::Times(0.5)));
        assert!(speed("0x").is_err() && speed("fast").is_err());
    }

    #[test]
    fn start_times_are_understood() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let check = |now: &str, text: &str, expected: &str| {
            assert_eq!(start_at(text, at(now).into()), Ok(at(expected).into()), "{text}");
        };
        let now = "2026-11-21T13:00:00Z";
        check(now, "+30s", "2026-11-21T13:00:30Z");
        check(now, "+1h30m", "2026-11-21T14:30:00Z");
        check(now, "14:30", "2026-11-21T14:30:00Z");
        check(now, " 14:30:05 ", "2026-11-21T14:30:05Z");
        check(now, "13:00", now);
        check(now, "08:15", "2026-11-22T08:15:00Z");
        check("2026-12-31T23:59:00Z", "00:00", "2027-01-01T00:00:00Z");
        check(now, "2026-11-21T14:30:00Z", "2026-11-21T14:30:00Z");
        check(now, "2026-11-21T16:30:00.25+02:00", "2026-11-21T14:30:00.25Z");
        check(now, "1795266060", "2026-11-21T13:01:00Z");
        check(now, "1795266060.5", "2026-11-21T13:01:00.5Z");
    }

    #[test]
    fn start_times_that_cannot_be_meant_are_told() {
        let now = "2026-11-21T13:00:00Z".parse::<Timestamp>().expect("a time");
        let refused = |text: &str, word: &str| {
            let why = start_at(text, now.into()).expect_err(text);
            assert!(why.contains(word), "{text}: {why}");
        };
        for bad in [
            "",
            "noon",
            "25:00",
            "14:60",
            "1:30",
            "14",
            "2026-11-21",
            "14:30+02:00",
            "+",
            "inf",
            "NaN",
            "1e99",
        ] {
            assert!(start_at(bad, now.into()).is_err(), "{bad}");
        }
        refused("14.30 Uhr", "write +30s, 14:30 (UTC)");
        refused("+30", "has no unit");
        refused("-30s", "not a start time");
        refused("12:59:58", "`12:59:58` UTC was 2 s ago");
        refused("2026-11-21T12:59:00Z", "was 60 s ago");
        refused("2026-11-21T14:30:00", "write 2026-11-21T14:30:00Z");
        refused("2026-11-23T13:00:00Z", "more than a day ahead, at 2026-11-23 13:00:00 UTC");
        refused("+25h", "more than a day ahead");
        refused("1795266060000", "or Unix seconds");
        refused("0", "ago");
        refused("+99999999999d", "");
    }
}
