//! How much of a capture is replayed, and how fast. Pure.

use std::time::Duration;

/// How often a capture of `requests` requests is replayed unless the user says: a hundred times, but no more than a
/// laptop can send in a quarter of a minute.
pub(super) fn amplify(requests: u64) -> f64 {
    (SPAN * RATE / requests.max(1) as f64).floor().clamp(1.0, AMPLIFY)
}

/// How fast `requests` requests, recorded over `span`, are replayed: in a quarter of a minute, whether they were
/// recorded in a week or in a second; in longer only where that would be too many a second.
pub(super) fn speed(requests: u64, span: Duration) -> f64 {
    let seconds = SPAN.max(requests as f64 / RATE);
    (span.as_secs_f64() / seconds).max(SLOWEST)
}

/// What of the amplification is left where the replay wants `sockets` and may have `connections`.
pub(super) fn within_files(amplify: f64, sockets: u64, connections: Option<usize>) -> f64 {
    match connections {
        Some(connections) if (connections as u64) < sockets => {
            (amplify * connections as f64 / sockets as f64).floor().max(1.0)
        }
        _ => amplify,
    }
}

/// How many connections the replay may have at once, if files are so scarce that it must be told: each of its
/// connections is several descriptors here, where proxy and shop live in the same process. `limits` is the text of
/// `/proc/self/limits`.
pub(super) fn connections(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let hard: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    let fitting = hard.saturating_sub(OTHER_FILES) / FILES_PER_CONNECTION;
    (fitting < PLENTY).then_some(fitting.max(1))
}

/// How often the demo replays its own capture unless the user says.
pub(super) const AMPLIFY: f64 = 100.0;
/// Seconds that a replay of somebody else's capture should take.
const SPAN: f64 = 15.0;
/// Requests a second that two cores manage with shop, proxy and replayer on the same machine.
const RATE: f64 = 4000.0;
/// Slower than this nobody would wait for a session of one request.
const SLOWEST: f64 = 0.001;
/// Both ends of the connection to the proxy, both of the one from there to the shop, and one to spare.
const FILES_PER_CONNECTION: usize = 5;
/// Listeners, runtimes, files, and the admin port.
const OTHER_FILES: usize = 256;
/// More connections than a demo ever opens.
const PLENTY: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_is_replayed_as_often_as_fits() {
        let expected =
            [(0, 100.0), (600, 100.0), (1000, 60.0), (10_000, 6.0), (50_000, 1.0), (u64::MAX, 1.0)];
        for (requests, times) in expected {
            assert_eq!(amplify(requests), times, "{requests}");
        }
    }

    #[test]
    fn a_capture_is_replayed_as_fast_as_fits() {
        let expected =
            [(0, 0, SLOWEST), (10, 3, 0.2), (60_000, 15, 1.0), (60_000, 1500, 100.0), (400_000, 50, 0.5)];
        for (requests, seconds, times) in expected {
            assert_eq!(speed(requests, Duration::from_secs(seconds)), times, "{requests} in {seconds} s");
        }
    }

    #[test]
    fn scarce_files_make_fewer_clones() {
        assert_eq!(within_files(100.0, 3000, None), 100.0);
        assert_eq!(within_files(100.0, 3000, Some(3000)), 100.0);
        assert_eq!(within_files(100.0, 3000, Some(1000)), 33.0);
        assert_eq!(within_files(100.0, 3000, Some(1)), 1.0);
    }

    #[test]
    fn connections_are_bounded_where_files_are_scarce() {
        let limits =
            |hard| format!("Limit Soft Hard Units\nMax open files            1024   {hard}   files\n");
        assert_eq!(connections(&limits("4096")), Some(768));
        assert_eq!(connections(&limits("1048576")), None);
        assert_eq!(connections(&limits("unlimited")), None);
        assert_eq!(connections(&limits("10")), Some(1));
        assert_eq!(connections(""), None);
    }
}
