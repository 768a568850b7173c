//! What becomes of steps that their predecessor holds up, by policy. The origin holds the first answer of a session
//! back until another session, later, opens the gate.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use replayer::Report;
use replayer::options::{LatePolicy, Speed};

use crate::support::{Met, Server, Then, answer, replay_on, step};

/// `/slow` is answered once `/tick` was asked for, which is due after 300 ms.
fn replay_gated(policy: LatePolicy) -> (Report, Vec<Met>, Instant) {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let server = Server::start(move |met, stream| {
        let (is_open, opened) = &*gate;
        match met.target.as_str() {
            "/slow" => drop(opened.wait_while(is_open.lock().unwrap(), |open| !*open).unwrap()),
            "/tick" => {
                *is_open.lock().unwrap() = true;
                opened.notify_all();
            }
            _ => {}
        }
        answer(stream, "200 OK", "", b"ok");
        Then::Keep
    });
    let steps = [
        step(1, 0, 10, "GET /slow"),
        step(1, 50, 10, "GET /b"),
        step(1, 100, 10, "GET /c"),
        step(1, 150, 10, "GET /d"),
        step(1, 3000, 10, "GET /e"),
        step(2, 300, 10, "GET /tick"),
    ];
    let begun = Instant::now();
    let report = replay_on(&server, &steps, |options| {
        options.speed = Speed::Times(1.0);
        options.late_policy = policy;
    });
    (report, server.met(), begun)
}

/// What the first session asked for, in order.
fn order(met: &[Met]) -> Vec<&str> {
    met.iter().map(|one| one.target.as_str()).filter(|target| *target != "/tick").collect()
}

fn response_us(report: &Report, route: &str) -> u64 {
    report.routes.iter().find(|known| known.route == route).unwrap().response.p50
}

#[test]
fn catching_up_sends_all_and_counts_from_when_it_was_due() {
    let (report, met, begun) = replay_gated(LatePolicy::CatchUp);
    assert_eq!(order(&met), ["/slow", "/b", "/c", "/d", "/e"]);
    assert_eq!((report.requests.answered, report.sessions.aborted), (6, 0));
    // Due after 50, 100 and 150 ms, sent after 300: the wait is part of their response times.
    for (route, least) in [("GET /slow", 300), ("GET /b", 250), ("GET /c", 200), ("GET /d", 150)] {
        assert!(response_us(&report, route) >= least * 1000 * 99 / 100, "{route}: {:?}", report.routes);
    }
    let last = met.last().unwrap();
    assert!(last.at - begun >= Duration::from_secs(3), "what comes later keeps its time");
    // None of it is the generator's own lateness, which was at most what is left of the longest response.
    let latency = &report.latency;
    assert!(latency.lateness.max + 200_000 <= latency.response.max, "{latency:?}");
}

#[test]
fn skipping_leaves_out_what_its_successor_has_overtaken() {
    let (report, met, _) = replay_gated(LatePolicy::Skip);
    assert_eq!(order(&met), ["/slow", "/d", "/e"]);
    assert_eq!((report.requests.answered, report.requests.never_sent["skipped_late"]), (4, 2), "{report:#?}");
    assert_eq!((report.sessions.completed, report.sessions.aborted), (1, 1));
}

#[test]
fn queueing_moves_the_rest_of_the_session() {
    let (report, met, begun) = replay_gated(LatePolicy::Queue);
    assert_eq!(order(&met), ["/slow", "/b", "/c", "/d", "/e"]);
    assert_eq!((report.requests.answered, report.sessions.aborted), (6, 0));
    // `/b` went 250 ms late at least, and all after it by as much.
    for (target, due) in [("/b", 300), ("/c", 350), ("/d", 400), ("/e", 3250)] {
        let at = met.iter().find(|one| one.target == target).unwrap().at - begun;
        assert!(at >= Duration::from_millis(due), "{target} after {at:?}");
    }
}
