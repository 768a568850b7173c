//! Amplified sessions are as many different users, and no two operations share an idempotency key.

use replayer::options::{Connections, Speed};

use crate::census::Census;
use crate::support::{Server, capture, options, replay, step, with_header};

/// Each recorded session asks for something, then pays with a key of its own.
fn amplified(recorded: u64, times: f64) {
    let dir = tempfile::tempdir().unwrap();
    let steps: Vec<_> = (0..recorded)
        .flat_map(|session| {
            let key = format!("{session:08x}-7425-40de-944b-e07fc1f90ae7");
            let pays = with_header(step(session, session + 5, 1, "POST /pay"), "Idempotency-Key", &key);
            [step(session, session, 1, "GET /a"), pays]
        })
        .collect();
    let census = Census::open();
    let mut options = options(&capture(dir.path(), &steps), &Server::plain());
    options.target = Some(census.url());
    options.amplify = times;
    options.speed = Speed::Max;
    options.connections = Connections::Shared;
    let report = replay(&options);
    let sessions = (recorded as f64 * times) as u64;
    assert_eq!((report.requests.answered, report.sessions.completed), (2 * sessions, sessions));
    let seen = census.seen.lock().unwrap();
    assert_eq!((seen.requests, seen.nameless), (2 * sessions, 0));
    assert_eq!(seen.sessions.len() as u64, sessions, "every session has a name of its own");
    assert_eq!(seen.operations.len() as u64, 2 * sessions, "every operation has an id of its own");
    assert_eq!((seen.keys.len() as u64, seen.clashes), (sessions, 0), "no key is used by two operations");
}

#[test]
fn a_thousand_sessions_become_fifty_thousand_different_ones() {
    amplified(1000, 50.0);
}

#[test]
#[ignore = "stress: two million requests, some minutes in a debug build"]
fn ten_thousand_sessions_become_a_million_different_ones() {
    amplified(10_000, 100.0);
}
