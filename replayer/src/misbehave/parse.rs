//! `slow-link 5% 64KB/s`, `slow-reader 2% 4KB/s`, `double-submit 1%`, `abandon 3% after 500ms`.

use std::fmt;

use super::{Kind, Misbehaviour};
use crate::limits;
use crate::units;

impl std::str::FromStr for Misbehaviour {
    type Err = String;

    fn from_str(text: &str) -> Result<Misbehaviour, String> {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        let example = match name {
            "slow-link" => "slow-link 5% 64KB/s",
            "slow-reader" => "slow-reader 2% 4KB/s",
            "double-submit" => "double-submit 1%",
            "abandon" => "abandon 3% after 500ms",
            _ => return Err(format!("unknown misbehaviour `{name}`; known are {KNOWN}")),
        };
        let needs = |what: &str| format!("`{text}` does not say {what}: write {example}");
        let share = share(words.next().ok_or_else(|| needs("how many sessions"))?)?;
        let kind = match name {
            "double-submit" => Kind::DoubleSubmit,
            "abandon" => Kind::Abandon {
                after: match words.next() {
                    None => None,
                    Some("after") => {
                        Some(units::some_duration(words.next().ok_or_else(|| needs("after how long"))?)?)
                    }
                    Some(word) => return Err(format!("`{word}` is not understood: write {example}")),
                },
            },
            _ => {
                let bytes_per_s = byte_rate(words.next().ok_or_else(|| needs("how slow"))?)?;
                match name {
                    "slow-link" => Kind::SlowLink { bytes_per_s },
                    _ => Kind::SlowReader { bytes_per_s },
                }
            }
        };
        match words.next() {
            None => Ok(Misbehaviour { share, kind }),
            Some(extra) => Err(format!("`{text}` says too much from `{extra}` on: write {example}")),
        }
    }
}

/// Bytes a second, as they can be typed.
pub(super) struct ByteRate(pub(super) u64);

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = BYTE_UNITS.iter().find(|(_, factor)| self.0.is_multiple_of(*factor));
        let (unit, factor) = fits.unwrap_or(&("B", 1));
        write!(f, "{}{unit}/s", self.0 / factor)
    }
}

fn share(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is not a share of the sessions: write 5%, above 0% and at most 100%");
    let percent = text.strip_suffix('%').ok_or_else(wrong)?;
    let share = decimal(percent).ok_or_else(wrong)? / 100.0;
    if 0.0 < share && share <= 1.0 { Ok(share) } else { Err(wrong()) }
}

fn byte_rate(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a speed of a link: write 64KB/s, 1.5MB/s or 4KiB/s");
    let amount = text.strip_suffix("/s").ok_or_else(wrong)?;
    let digits = amount.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
    let (number, unit) = amount.split_at(digits);
    let known = BYTE_UNITS.iter().find(|(known, _)| known.eq_ignore_ascii_case(unit));
    let (_, factor) = known.ok_or_else(wrong)?;
    let rate = (decimal(number).ok_or_else(wrong)? * *factor as f64).round();
    if !(1.0..=limits::LINK_BYTES_PER_S as f64).contains(&rate) {
        let most = ByteRate(limits::LINK_BYTES_PER_S);
        return Err(format!("`{text}` is not a usable speed: at least 1B/s, at most {most}"));
    }
    Ok(rate as u64)
}

/// Digits with at most one point; no sign, no exponent.
fn decimal(text: &str) -> Option<f64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    text.parse().ok()
}

/// Thousands but where the `i` says 1,024, as in rule files. Large ones first.
const BYTE_UNITS: [(&str, u64); 6] =
    [("GB", 1_000_000_000), ("MiB", 1 << 20), ("MB", 1_000_000), ("KiB", 1 << 10), ("KB", 1_000), ("B", 1)];
const KNOWN: &str = "slow-link 5% 64KB/s, slow-reader 2% 4KB/s, double-submit 1%, abandon 3% [after 500ms]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_and_written() {
        let check = |text: &str, full: &str| {
            let one: Misbehaviour = text.parse().expect(text);
            assert_eq!(one.to_string(), full);
            assert_eq!(full.parse(), Ok(one), "{full}");
        };
        check("slow-link 5% 64KB/s", "slow-link 5% 64KB/s");
        check("  slow-link   0.5%  1.5MB/s ", "slow-link 0.5% 1500KB/s");
        check("slow-reader 100% 4KiB/s", "slow-reader 100% 4KiB/s");
        check("slow-reader 7% 1b/s", "slow-reader 7% 1B/s");
        check("double-submit 1%", "double-submit 1%");
        check("abandon 3%", "abandon 3%");
        check("abandon 0.0001% after 1.5s", "abandon 0.0001% after 1500ms");
    }

    #[test]
    fn mistakes_are_told() {
        let refused = |text: &str, word: &str| {
            let err = text.parse::<Misbehaviour>().expect_err(text);
            assert!(err.contains(word), "{text}: {err}");
        };
        refused("", "slow-reader");
        refused("slowlink 5% 64KB/s", "slow-link");
        refused("slow-link", "how many sessions");
        refused("slow-link 5%", "how slow");
        refused("slow-link 64KB/s 5%", "5%");
        refused("slow-link 5 64KB/s", "5%");
        refused("slow-link 0% 64KB/s", "above 0%");
        refused("slow-link 101% 64KB/s", "100%");
        refused("slow-link -5% 64KB/s", "5%");
        refused("slow-link NaN% 64KB/s", "5%");
        refused("slow-link 5% 64KB", "64KB/s");
        refused("slow-link 5% 64/s", "64KB/s");
        refused("slow-link 5% 64kbit/s", "64KB/s");
        refused("slow-link 5% 0KB/s", "at least 1B/s");
        refused("slow-link 5% 1..5KB/s", "64KB/s");
        refused("slow-link 5% 99999999GB/s", "at most");
        refused("slow-link 5% 64KB/s now", "now");
        refused("double-submit 1% 64KB/s", "too much");
        refused("abandon 3% 500ms", "after 500ms");
        refused("abandon 3% after", "after how long");
        refused("abandon 3% after 500", "unit");
        refused("abandon 3% after 0s", "no time");
    }
}
