//! Numbers as the rule language writes them.

use std::time::Duration;

/// In the largest units that divide it: `1m30s`.
pub(super) fn time(duration: Duration) -> String {
    let ns = duration.as_nanos();
    let units: [(u128, &str); 6] = [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    let mut left = ns;
    let mut text = String::new();
    for (size, unit) in units {
        if size <= left {
            text.push_str(&format!("{}{unit}", left / size));
            left %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// In the largest unit that divides it: `64KB`, `4096 B`.
pub(super) fn size(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "KB")];
    let unit = units.iter().find(|(size, _)| 0 < bytes && bytes.is_multiple_of(*size));
    unit.map_or_else(|| format!("{bytes} B"), |(size, unit)| format!("{}{unit}", bytes / size))
}

/// A share as a percentage.
pub(super) fn percent(fraction: f64) -> String {
    format!("{}%", rounded(fraction * 100.0))
}

/// To six digits behind the point, without the zeros.
pub(super) fn rounded(number: f64) -> String {
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `1st`, `2nd`, `13th`.
pub(super) fn ordinal(number: u64) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// `1 copy`, `3 copies`.
pub(super) fn copies(number: u32) -> String {
    if number == 1 { "1 copy".to_owned() } else { format!("{number} copies") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_they_are_written() {
        let check = |found: String, expect: &str| assert_eq!(found, expect);
        check(time(Duration::from_millis(90_500)), "1m30s500ms");
        check(time(Duration::ZERO), "0s");
        check(size(64_000), "64KB");
        check(size(4_096), "4096 B");
        check(size(0), "0 B");
        check(percent(0.000_001), "0.0001%");
        for (number, expect) in
            [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (112, "112th"), (121, "121st")]
        {
            check(ordinal(number), expect);
        }
    }
}
