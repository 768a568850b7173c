//! How long a well-behaved client waits before it tries again: longer each time, and never in step with others.

use std::fmt;
use std::time::Duration;

use crate::identity;
use crate::limits;
use crate::units;

/// Exponential backoff with full jitter: before try `n` a wait anywhere between nothing and `base * 2^n`, at most
/// `cap`. Written `100ms..10s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
}

impl Backoff {
    /// 100 ms, doubled up to 10 s.
    pub const DEFAULT: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(10) };

    /// The wait after `tries` tries before (0 after the first), where `random` is the chance of it.
    pub(crate) fn wait(&self, tries: u32, random: u64) -> Duration {
        let factor = 1_u32.checked_shl(tries).filter(|factor| *factor > 0).unwrap_or(u32::MAX);
        let most = self.base.saturating_mul(factor).min(self.cap);
        most.mul_f64(identity::unit(random))
    }
}

impl std::str::FromStr for Backoff {
    type Err = String;

    fn from_str(text: &str) -> Result<Backoff, String> {
        let (base, cap) =
            text.split_once("..").ok_or_else(|| format!("`{text}` is no pair of waits: write 100ms..10s"))?;
        let wait = |text: &str| match units::some_duration(text)? {
            short if short < Duration::from_micros(1) => Err(format!("`{text}` is too short: at least 1us")),
            long if long > limits::BACKOFF_MAX => {
                Err(format!("`{text}` is too long: at most {}", Words(limits::BACKOFF_MAX)))
            }
            wait => Ok(Duration::from_micros(wait.as_micros() as u64)),
        };
        let (base, cap) = (wait(base)?, wait(cap)?);
        if cap < base {
            return Err(format!("`{text}` ends before it begins: write {}..{}", Words(cap), Words(base)));
        }
        Ok(Backoff { base, cap })
    }
}

impl fmt::Display for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", Words(self.base), Words(self.cap))
    }
}

/// A duration as it can be typed, in the largest unit that tells it exactly.
pub(crate) struct Words(pub(crate) Duration);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        if micros.is_multiple_of(1_000_000) {
            write!(f, "{}s", micros / 1_000_000)
        } else if micros.is_multiple_of(1000) {
            write!(f, "{}ms", micros / 1000)
        } else {
            write!(f, "{micros}us")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let check = |tries, most_ms| {
            let longest = Backoff::DEFAULT.wait(tries, u64::MAX);
            let most = Duration::from_millis(most_ms);
            assert!(longest <= most && most - longest < Duration::from_micros(1), "{tries}: {longest:?}");
            assert_eq!(Backoff::DEFAULT.wait(tries, 0), Duration::ZERO);
            let middle = Backoff::DEFAULT.wait(tries, 1 << 63);
            assert_eq!(middle, most / 2, "{tries}");
        };
        check(0, 100);
        check(1, 200);
        check(6, 6_400);
        check(7, 10_000);
        check(31, 10_000);
        check(32, 10_000);
        check(u32::MAX, 10_000);
    }

    #[test]
    fn pairs_of_waits_are_read_and_written() {
        for text in ["100ms..10s", "1us..1us", "1500ms..60s"] {
            assert_eq!(text.parse::<Backoff>().map(|backoff| backoff.to_string()), Ok(text.to_owned()));
        }
        let refused = |text: &str, word: &str| {
            let err = text.parse::<Backoff>().expect_err(text);
            assert!(err.contains(word), "{text}: {err}");
        };
        refused("100ms", "100ms..10s");
        refused("10s..1s", "1s..10s");
        refused("0s..1s", "no time");
        refused("0.0000001s..1s", "1us");
        refused("1s..2h", "3600s");
        refused("1..2", "unit");
        refused("..", "duration");
        refused("", "100ms..10s");
    }
}
