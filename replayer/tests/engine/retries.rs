//! Retries: who tries again, when, how often, and that all attempts are one operation.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use captures::Exchange;
use replayer::Report;
use replayer::options::Speed;

use crate::support::{Met, Server, Then, answer, replay_on, step, with_header};

const BUSY: &str = "503 Service Unavailable";

/// Answers the attempts up to `bad` with 503.
fn failing(bad: u32, headers: &'static str) -> Server {
    Server::start(move |met, stream| {
        let attempt: u32 = met.header("squall-attempt").unwrap().parse().unwrap();
        match attempt <= bad {
            true => answer(stream, BUSY, headers, b"busy"),
            false => answer(stream, "200 OK", "", b"ok"),
        }
        Then::Keep
    })
}

fn replay_with(server: &Server, steps: &[Exchange], policy: &str) -> Report {
    replay_on(server, steps, |options| options.retry = policy.parse().unwrap())
}

fn pays(count: u64) -> Vec<Exchange> {
    let key = |session| format!("{session:08x}-7425-40de-944b-e07fc1f90ae7");
    let pays = |session| step(session, session, 1, "POST /pay");
    (0..count).map(|session| with_header(pays(session), "Idempotency-Key", &key(session))).collect()
}

fn by_operation(met: &[Met]) -> BTreeMap<String, Vec<Met>> {
    let mut all: BTreeMap<String, Vec<Met>> = BTreeMap::new();
    for one in met {
        all.entry(one.header("squall-op").unwrap().to_owned()).or_default().push(one.clone());
    }
    all
}

#[test]
fn all_attempts_are_one_operation() {
    for policy in ["naive:3", "backoff:3,1ms..2ms", "budget:100%,3"] {
        let server = failing(2, "");
        let report = replay_with(&server, &pays(5), policy);
        let requests = &report.requests;
        assert_eq!(
            (requests.planned, requests.sent, requests.retries),
            (5, 15, 10),
            "{policy}: {requests:?}"
        );
        assert_eq!((requests.status["503"], requests.status["200"]), (10, 5), "{policy}");
        let met = server.met();
        let operations = by_operation(&met);
        let mut keys = BTreeSet::new();
        for attempts in operations.values() {
            let numbers: Vec<_> = attempts.iter().map(|one| one.header("squall-attempt").unwrap()).collect();
            assert_eq!(numbers, ["1", "2", "3"], "{policy}");
            let own: BTreeSet<_> =
                attempts.iter().map(|one| one.header("idempotency-key").unwrap()).collect();
            assert_eq!(own.len(), 1, "{policy}: one key for all attempts");
            keys.extend(own);
        }
        assert_eq!((operations.len(), keys.len()), (5, 5), "{policy}");
    }
}

#[test]
fn attempts_end_at_their_bound() {
    let server = failing(1000, "");
    let report = replay_with(&server, &pays(4), "naive:2");
    assert_eq!((report.requests.sent, report.requests.retries), (12, 8));
    assert_eq!((report.requests.status["503"], report.requests.answered), (12, 12));
    // One response time for each operation, from when it was due to its last answer.
    assert_eq!((report.latency.response.count, report.latency.service.count), (4, 12));
}

#[test]
fn without_a_policy_nothing_is_tried_again() {
    let report = replay_with(&failing(1, ""), &pays(4), "none");
    assert_eq!((report.requests.sent, report.requests.retries, report.requests.status["503"]), (4, 0, 4));
}

#[test]
fn the_careful_do_not_repeat_what_may_not_be_repeated() {
    let steps: Vec<_> = (0..4).map(|session| step(session, session, 1, "POST /pay")).collect();
    let careful = replay_with(&failing(1, ""), &steps, "backoff:3,1ms..2ms");
    assert_eq!(
        (careful.requests.sent, careful.requests.retries),
        (4, 0),
        "no key, so it might be paid twice"
    );
    let careless = replay_with(&failing(1, ""), &steps, "naive");
    assert_eq!((careless.requests.sent, careless.requests.retries), (8, 4));
}

#[test]
fn the_server_may_ask_for_patience() {
    let server = failing(1, "Retry-After: 1\r\n");
    let report = replay_with(&server, &pays(2), "backoff:3,1ms..2ms");
    assert_eq!((report.requests.sent, report.requests.status["200"]), (4, 2));
    for attempts in by_operation(&server.met()).values() {
        let wait = attempts[1].at - attempts[0].answered_at.unwrap().min(attempts[0].at);
        assert!(wait >= Duration::from_secs(1), "it came back after {wait:?}");
    }
    assert!(
        report.latency.response.p50 >= 990_000,
        "the user waited all that time: {:?}",
        report.latency.response
    );
    assert!(report.latency.lateness.max < 900_000, "and not for us: {:?}", report.latency.lateness);
}

#[test]
fn what_was_reset_is_tried_again_and_both_attempts_are_counted() {
    let server = Server::start(|met, stream| {
        if met.header("squall-attempt") == Some("1") {
            return Then::Reset;
        }
        answer(stream, "200 OK", "", b"ok");
        Then::Keep
    });
    let report = replay_with(&server, &pays(6), "backoff:3,1ms..2ms");
    let requests = &report.requests;
    assert_eq!((requests.sent, requests.retries, requests.answered), (12, 6, 6), "{requests:?}");
    assert_eq!(requests.failed["reset"], 6);
}

#[test]
fn a_budget_ends_a_storm() {
    let steps: Vec<_> = (0..300).map(|session| step(session, session, 1, "GET /a")).collect();
    let storm = replay_with(&failing(1000, ""), &steps, "naive:3");
    assert_eq!(storm.requests.retries, 900);
    let bounded = replay_with(&failing(1000, ""), &steps, "budget:10%,3");
    // A few are always allowed, or a client with few requests could never retry: 30 for each of two threads.
    let most = 2 * 30 + 300 / 10;
    assert!((1..=most).contains(&bounded.requests.retries), "{:?}", bounded.requests);
    assert_eq!(bounded.requests.sent, 300 + bounded.requests.retries);
    assert!(bounded.requests.retries_denied > 0);
}

#[test]
fn the_session_goes_on_after_the_last_attempt() {
    let server = failing(2, "");
    let steps = [step(1, 0, 10, "GET /a"), step(1, 20, 10, "GET /b")];
    let report = replay_on(&server, &steps, |options| {
        options.retry = "naive:2".parse().unwrap();
        options.speed = Speed::Times(1.0);
    });
    assert_eq!(report.requests.sent, 6);
    let met = server.met();
    let order: Vec<_> = met.iter().map(|one| one.target.as_str()).collect();
    assert_eq!(order, ["/a", "/a", "/a", "/b", "/b", "/b"]);
}
