//! When requests leave: gaps, order, overlap, duration, rate. Server-side times are only ever lower bounds.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use replayer::options::{Connections, Speed};
use support::{Met, Server, Then, answer, replay_on, step};

/// Asserts that `target` was met no earlier than `due` after `begun`, a moment before the run.
fn never_early(met: &[Met], target: &str, begun: Instant, due: Duration) {
    let at = met.iter().find(|one| one.target == target).unwrap().at - begun;
    assert!(at >= due, "{target} was early: {at:?} instead of {due:?}");
}

#[test]
fn gaps_are_kept_and_nothing_is_early() {
    let server = Server::plain();
    let steps = [
        step(1, 0, 2, "GET /a"),
        step(1, 120, 2, "GET /b"),
        step(1, 137, 2, "GET /c"),
        step(1, 400, 2, "GET /d"),
    ];
    let begun = Instant::now();
    let report = replay_on(&server, &steps, |options| options.speed = Speed::Times(1.0));
    let met = server.met();
    let order: Vec<&str> = met.iter().map(|one| one.target.as_str()).collect();
    assert_eq!(order, ["/a", "/b", "/c", "/d"]);
    for (target, due) in [("/b", 120), ("/c", 137), ("/d", 400)] {
        never_early(&met, target, begun, Duration::from_millis(due));
    }
    assert_eq!((report.requests.answered, report.latency.lateness.count), (4, 4));
    assert!(report.elapsed_us >= 400_000);
}

#[test]
fn within_a_time_the_recording_goes_faster_and_still_nothing_is_early() {
    let server = Server::plain();
    let steps = [step(1, 0, 2, "GET /a"), step(1, 600, 2, "GET /b")];
    let begun = Instant::now();
    let report = replay_on(&server, &steps, |options| {
        options.speed = Speed::Times(1.0);
        options.within = Some(Duration::from_millis(301));
    });
    assert!((report.plan.speed - 2.0).abs() < 0.01, "{}", report.plan.speed);
    never_early(&server.met(), "/b", begun, Duration::from_millis(299));
}

#[test]
fn a_dependent_step_waits_for_a_slow_predecessor_and_its_response_counts_from_when_it_was_due() {
    let answering = AtomicBool::new(false);
    let server = Server::start(move |met, stream| {
        if met.target == "/slow" {
            std::thread::sleep(Duration::from_millis(400));
            answering.store(true, Ordering::SeqCst);
        }
        let status = if answering.load(Ordering::SeqCst) { "200 OK" } else { "500 Too early" };
        answer(stream, status, "", b"ok");
        Then::Keep
    });
    let steps = [step(1, 0, 10, "GET /slow"), step(1, 50, 10, "GET /next")];
    let report = replay_on(&server, &steps, |options| options.speed = Speed::Times(1.0));
    assert_eq!(report.requests.status["200"], 2, "the next step did not wait");
    // Due after 50 ms, sent after 400: the wait is the server's, in the response and not in our lateness.
    let latency = &report.latency;
    assert_eq!((latency.response.count, latency.response.p50 >= 350_000), (2, true), "{latency:?}");
    assert!(latency.lateness.max + 340_000 <= latency.response.max, "{latency:?}");
}

#[test]
fn overlapping_steps_run_side_by_side() {
    // Each of the two is answered only once the other is there: one after the other would end in the timeout.
    let both = std::sync::Barrier::new(2);
    let server = Server::start(move |met, stream| {
        if met.target != "/last" {
            both.wait();
        }
        answer(stream, "200 OK", "", b"ok");
        Then::Keep
    });
    let mut steps = [step(1, 0, 100, "GET /a"), step(1, 10, 100, "GET /b"), step(1, 200, 1, "GET /last")];
    steps[1].connection = Some(2);
    let report = replay_on(&server, &steps, |options| options.speed = Speed::Times(1.0));
    assert_eq!(report.requests.answered, 3);
    assert_eq!(server.met().last().unwrap().target, "/last");
    assert_eq!(report.connections.opened, 2);
}

#[test]
fn what_is_not_due_before_the_duration_is_over_is_never_sent() {
    let server = Server::plain();
    let steps = [
        step(1, 0, 1, "GET /a"),
        step(1, 100, 1, "GET /b"),
        step(1, 60_000, 1, "GET /c"),
        step(2, 90_000, 1, "GET /d"),
    ];
    let begun = Instant::now();
    let report = replay_on(&server, &steps, |options| {
        options.speed = Speed::Times(1.0);
        options.duration = Some(Duration::from_millis(300));
    });
    assert!(begun.elapsed() < Duration::from_secs(30), "it went on after the duration");
    assert_eq!(report.requests.never_sent.get("duration"), Some(&2));
    assert_eq!((report.requests.sent, report.sessions.started, report.sessions.aborted), (2, 1, 1));
    assert_eq!(report.exit_code, 0);
}

#[test]
fn at_full_speed_the_duration_ends_the_run() {
    let server = Server::start(|_, stream| {
        std::thread::sleep(Duration::from_millis(5));
        answer(stream, "200 OK", "", b"ok");
        Then::Keep
    });
    let report = replay_on(&server, &[step(1, 0, 1, "GET /a")], |options| {
        options.amplify = 100_000.0;
        options.max_connections = Some(4);
        options.duration = Some(Duration::from_millis(300));
    });
    assert!(report.requests.never_sent["duration"] > 90_000);
    assert!(report.requests.answered > 0 && report.connections.peak <= 4);
}

#[test]
fn the_rate_is_a_cap_without_bursts() {
    let server = Server::plain();
    let steps: Vec<_> = (0..40).map(|i| step(i, i / 10, 1, "GET /a")).collect();
    let begun = Instant::now();
    let report = replay_on(&server, &steps, |options| options.max_rate = Some(100.0));
    let mut times: Vec<Duration> = server.met().iter().map(|met| met.at - begun).collect();
    times.sort();
    assert_eq!(times.len(), 40);
    for (place, at) in (0..).zip(&times) {
        assert!(*at >= Duration::from_millis(10 * place), "request {place} was early: {at:?}");
    }
    assert_eq!(report.generator.held_back, 39);
    assert_eq!(report.exit_code, 0, "{}", report.reason);
}

#[test]
fn a_run_can_be_stopped_and_says_so() {
    let server = Server::start(|_, stream| {
        std::thread::sleep(Duration::from_millis(20));
        answer(stream, "200 OK", "", b"ok");
        Then::Keep
    });
    let report = replay_on(&server, &[step(1, 0, 1, "GET /a")], |options| {
        options.amplify = 100_000.0;
        options.connections = Connections::Shared;
        options.max_connections = Some(2);
        let stop = options.stop.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            stop.interrupt();
        });
    });
    assert_eq!((report.exit_code, report.verdict.as_str()), (105, "interrupted"));
    assert!(report.requests.never_sent["interrupted"] > 90_000);
    assert_eq!(report.failed(), 0, "what was in flight could finish");
}

#[test]
fn the_second_wish_to_stop_aborts_what_is_in_flight() {
    let server = Server::start(|_, _| {
        std::thread::sleep(Duration::from_secs(60));
        Then::Close
    });
    let begun = Instant::now();
    let report = replay_on(&server, &[step(1, 0, 1, "GET /a")], |options| {
        options.timeout = Duration::from_secs(60);
        let stop = options.stop.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            stop.interrupt();
            stop.interrupt();
        });
    });
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!((report.requests.failed["aborted"], report.failures.generator), (1, 1));
    assert_eq!(report.exit_code, 105);
}
