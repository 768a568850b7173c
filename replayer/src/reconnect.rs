//! What a client does when the server drops its WebSocket: the policies of `--reconnect`.

use std::fmt;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::limits;

/// Whether and when a client opens a dropped WebSocket again: `never | immediate | backoff[:BASE..CAP]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Reconnect {
    /// The session ends with its connection.
    #[default]
    Never,
    /// At once, as careless clients do: a restart of the server meets all of them at the same moment.
    Immediate,
    /// After a wait that grows with each try, and is never in step with others.
    Backoff(Backoff),
}

impl Reconnect {
    /// How long to wait before try `attempt` (the first is 1) to open the connection again; `None`: the client gives
    /// up. `random` decides the jitter. A connection that was opened begins anew at 1.
    pub(crate) fn wait(&self, attempt: u32, random: u64) -> Option<Duration> {
        if attempt > limits::RECONNECTS {
            return None;
        }
        match self {
            Reconnect::Never => None,
            Reconnect::Immediate => Some(Duration::ZERO),
            Reconnect::Backoff(waits) => Some(waits.wait(attempt.saturating_sub(1), random)),
        }
    }
}

impl std::str::FromStr for Reconnect {
    type Err = String;

    fn from_str(text: &str) -> Result<Reconnect, String> {
        match text.trim() {
            "never" => Ok(Reconnect::Never),
            "immediate" => Ok(Reconnect::Immediate),
            "backoff" => Ok(Reconnect::Backoff(Backoff::DEFAULT)),
            other => match other.strip_prefix("backoff:") {
                Some(waits) => waits.trim().parse().map(Reconnect::Backoff),
                None => Err(format!("unknown reconnect policy `{other}`; known are {KNOWN}")),
            },
        }
    }
}

impl fmt::Display for Reconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reconnect::Never => f.write_str("never"),
            Reconnect::Immediate => f.write_str("immediate"),
            Reconnect::Backoff(waits) => write!(f, "backoff:{waits}"),
        }
    }
}

const KNOWN: &str = "never, immediate, backoff[:BASE..CAP] (backoff:100ms..10s)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_written_and_followed() {
        let check = |text: &str, full: &str, waits_ms: [Option<u128>; 3]| {
            let policy: Reconnect = text.parse().expect(text);
            assert_eq!(policy.to_string(), full);
            assert_eq!(full.parse(), Ok(policy));
            let wait = |attempt| policy.wait(attempt, 1 << 63).map(|wait| wait.as_millis());
            assert_eq!([1, 2, limits::RECONNECTS].map(wait), waits_ms, "{text}");
            assert_eq!(wait(limits::RECONNECTS + 1), None, "{text}");
        };
        check("never", "never", [None; 3]);
        check("immediate", "immediate", [Some(0); 3]);
        check("backoff", "backoff:100ms..10s", [Some(50), Some(100), Some(5000)]);
        check("backoff: 1s..3s", "backoff:1s..3s", [Some(500), Some(1000), Some(1500)]);
    }

    #[test]
    fn mistakes_are_told() {
        for (text, word) in
            [("", "never"), ("always", "immediate"), ("backoff:", "1"), ("backoff:9s..1s", "1s..9s")]
        {
            let err = text.parse::<Reconnect>().expect_err(text);
            assert!(err.contains(word), "{text}: {err}");
        }
    }
}
