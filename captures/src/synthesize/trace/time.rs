//! Moments as traces write them.

use crate::import::log_time;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    /// By the name of the column, or else by the size of a number: what counts from 1970 gives itself away.
    pub(super) fn of(name: &str, number: f64) -> Unit {
        let name = name.to_ascii_lowercase();
        let ends = |words: &[&str]| words.iter().any(|word| name.ends_with(word));
        match number.abs() {
            _ if ends(&["_ms", "(ms)", " ms", "millis", "milliseconds"]) => Unit::Millis,
            _ if ends(&["_us", "(us)", " us", "micros", "microseconds"]) => Unit::Micros,
            _ if ends(&["_ns", "(ns)", " ns", "nanos", "nanoseconds"]) => Unit::Nanos,
            1e17.. => Unit::Nanos,
            1e14..1e17 => Unit::Micros,
            1e11..1e14 => Unit::Millis,
            _ => Unit::Seconds,
        }
    }

    const fn micros(self) -> f64 {
        match self {
            Unit::Seconds => 1e6,
            Unit::Millis => 1e3,
            Unit::Micros => 1.0,
            Unit::Nanos => 1e-3,
        }
    }
}

/// A number that may be a time.
pub(super) fn number(text: &str) -> Option<f64> {
    let number: f64 = text.trim().parse().ok()?;
    (number.is_finite() && 0.0 <= number).then_some(number)
}

/// The time in microseconds of a date with time, as RFC 3339 or a log writes it.
pub(super) fn date(text: &str) -> Option<u64> {
    log_time(text.trim().trim_matches(['[', ']'])).ok().map(|moment| moment.us)
}

/// The time in microseconds of a date or of a number that counts `unit`.
pub(super) fn either(text: &str, unit: Unit) -> Option<u64> {
    match number(text) {
        // nanoseconds since 1970 are more than a float can tell apart; as integers they keep their microseconds
        Some(_) if unit == Unit::Nanos && text.trim().parse::<u64>().is_ok() => {
            text.trim().parse::<u64>().ok().map(|nanos| nanos / 1000)
        }
        Some(number) => Some((number * unit.micros()).round() as u64),
        None => date(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_dates() {
        let check = |name: &str, text: &str, us: Option<u64>| {
            let unit = Unit::of(name, number(text).unwrap_or_default());
            assert_eq!(either(text, unit), us, "{name} {text}");
        };
        check("t", "1.5", Some(1_500_000));
        check("t", "0", Some(0));
        check("start_ms", "1500", Some(1_500_000));
        check("t", "1700000000.25", Some(1_700_000_000_250_000));
        check("t", "1700000000250", Some(1_700_000_000_250_000));
        check("t", "1700000000250001", Some(1_700_000_000_250_001));
        check("t", "1700000000250001999", Some(1_700_000_000_250_001));
        check("t", "2023-11-16 18:17:03.9799600", Some(1_700_158_623_979_960));
        check("t", "2023-11-16T18:17:03Z", Some(1_700_158_623_000_000));
        check("t", "[17/May/2015:10:05:03 +0000]", Some(1_431_857_103_000_000));
        for wrong in ["", "-1", "nan", "inf", "soon", "2023-11-16"] {
            check("t", wrong, None);
        }
    }
}
