//! Numbers as people type them: `100x`, `1k`, `30s`, `6k/m`. Every parser says what it would have understood.

use std::time::Duration;

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
}
