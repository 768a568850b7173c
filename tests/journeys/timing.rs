//! A replay at 1x keeps the gaps of each session.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::kit::{Replayed, Server, Step, capture};

#[test]
fn gaps_and_order_of_each_session_are_kept() {
    let folder = TempDir::new().unwrap();
    let capture = capture(folder.path(), &STEPS);
    // on a busy machine an arrival may be late, which makes the gap behind it seem short: not the same one every time
    let mut longest = replayed(&capture);
    let mut tries = 1;
    while longest.iter().any(|(recorded, met)| *met + Duration::from_millis(1) < *recorded) {
        assert!(tries < TRIES, "recorded and met gaps, some never kept in {TRIES} runs: {longest:?}");
        tries += 1;
        for ((_, longest), (_, met)) in longest.iter_mut().zip(replayed(&capture)) {
            *longest = met.max(*longest);
        }
    }
}

/// Replays once. What must hold in any run is asserted: order, and that nothing is early. Gives all gaps, recorded and
/// met.
fn replayed(capture: &std::path::Path) -> Vec<(Duration, Duration)> {
    let server = Server::plain();
    let begun = Instant::now();
    let run = Replayed::of(capture, &["--target", &server.url(), "--speed", "1x", "--amplify", "1x"]);
    let run = run.expect_passed().expect_answered(STEPS.len() as u64).expect_not_off();
    assert_eq!(run.n("/latency/lateness/count"), STEPS.len() as u64);
    assert!(run.n("/elapsed_us") >= 700_000, "the last is due after 700 ms");

    let met = server.met();
    let mut gaps = Vec::new();
    for session in 1..=3 {
        let own: Vec<_> = STEPS.iter().filter(|step| step.0 == session).collect();
        let arrivals: Vec<_> = met.iter().filter(|met| own.iter().any(|step| step.3 == met.what)).collect();
        let order: Vec<&str> = arrivals.iter().map(|met| met.what.as_str()).collect();
        assert_eq!(order, own.iter().map(|step| step.3).collect::<Vec<_>>(), "session {session}");
        for (step, met) in own.iter().zip(&arrivals) {
            assert!(met.at - begun >= Duration::from_millis(step.1), "{} was early", step.3);
        }
        for (steps, mets) in own.windows(2).zip(arrivals.windows(2)) {
            gaps.push((Duration::from_millis(steps[1].1 - steps[0].1), mets[1].at - mets[0].at));
        }
    }
    gaps
}

const TRIES: usize = 10;
/// Three sessions with irregular gaps, interleaved.
const STEPS: [Step<'_>; 12] = [
    (1, 0, 2, "GET /1/a", "shop.test"),
    (2, 3, 2, "GET /2/a", "shop.test"),
    (1, 41, 2, "GET /1/b", "shop.test"),
    (1, 50, 2, "GET /1/c", "shop.test"),
    (3, 77, 2, "GET /3/a", "shop.test"),
    (2, 160, 2, "GET /2/b", "shop.test"),
    (3, 163, 2, "GET /3/b", "shop.test"),
    (3, 299, 2, "GET /3/c", "shop.test"),
    (2, 300, 2, "GET /2/c", "shop.test"),
    (1, 483, 2, "GET /1/d", "shop.test"),
    (2, 507, 2, "GET /2/d", "shop.test"),
    (1, 700, 2, "GET /1/e", "shop.test"),
];
