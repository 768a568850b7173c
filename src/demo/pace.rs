//! How much of a capture is replayed, and how fast. Pure.

use std::time::Duration;

/// What fits into a demo.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    pub(super) amplify: f64,
    /// The replay takes no longer than this, unless it was recorded faster; `None`: as recorded.
    pub(super) within: Option<Duration>,
}

impl Pace {
    /// For the demo's own capture: a hundred times the crowd, at the crowd's own pace.
    pub(super) fn own(amplify: Option<f64>) -> Pace {
        Pace { amplify: amplify.unwrap_or(AMPLIFY), within: None }
    }

    /// For somebody else's capture of `requests` requests: up to a hundred times, but no more than a laptop can
    /// send in a quarter of a minute; longer only where the user asks for more.
    pub(super) fn foreign(requests: u64, amplify: Option<f64>) -> Pace {
        let fitting = (SPAN.as_secs_f64() * RATE / requests.max(1) as f64).floor().clamp(1.0, AMPLIFY);
        let amplify = amplify.unwrap_or(fitting);
        let needed = Duration::from_secs_f64((requests as f64 * amplify / RATE).min(LONGEST));
        Pace { amplify, within: Some(SPAN.max(needed)) }
    }
}

const AMPLIFY: f64 = 100.0;
/// How long a replay of somebody else's capture should take.
const SPAN: Duration = Duration::from_secs(15);
/// Requests a second that two cores manage with shop, proxy and replayer on the same machine.
const RATE: f64 = 4000.0;
/// A day, in seconds: nobody waits longer for a demo.
const LONGEST: f64 = 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(requests: u64, amplify: Option<f64>, expected: f64, seconds: u64) {
        let pace = Pace::foreign(requests, amplify);
        assert_eq!(
            pace,
            Pace { amplify: expected, within: Some(Duration::from_secs(seconds)) },
            "{requests}"
        );
    }

    #[test]
    fn a_capture_is_replayed_as_often_as_fits() {
        check(0, None, 100.0, 15);
        check(10, None, 100.0, 15);
        check(1000, None, 60.0, 15);
        check(10_000, None, 6.0, 15);
        check(50_000, None, 1.0, 15);
        check(100_000, None, 1.0, 25);
        check(10_000, Some(100.0), 100.0, 250);
        check(u64::MAX, Some(1e7), 1e7, 86_400);
    }
}
