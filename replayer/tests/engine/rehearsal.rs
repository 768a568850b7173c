//! The rehearsal keeps an hour of 401s from being taken for load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use captures::Exchange;

use crate::support::{Server, Then, answer, replay_on, step};

fn shop() -> Vec<Exchange> {
    (0..20).flat_map(|s| [step(s, s, 1, "GET /cart"), step(s, s + 5, 1, "GET /pay")]).collect()
}

/// Answers all with 401.
fn locked() -> Server {
    Server::start(|_, stream| {
        answer(stream, "401 Unauthorized", "", b"who are you?");
        Then::Keep
    })
}

#[test]
fn a_target_that_knows_nobody_stops_the_run_before_it_begins() {
    let server = locked();
    let report = replay_on(&server, &shop(), |options| {
        options.rehearsal = true;
        options.amplify = 10.0;
    });
    assert_eq!((report.exit_code, report.verdict.as_str()), (108, "stopped"), "{}", report.reason);
    assert!(report.reason.contains("401"), "{}", report.reason);
    assert!(report.books.balanced);
    assert_eq!((report.requests.sent, report.requests.planned), (0, 400));
    assert_eq!(report.requests.never_sent["guard"], 400);
    let met = server.met();
    assert!((1..=20).contains(&met.len()), "ten sessions of two steps: {}", met.len());
    let foreign = met.iter().filter(|one| !one.header("squall-session").unwrap().starts_with(&report.run));
    assert_eq!(foreign.count(), met.len(), "what is rehearsed bears a tag of its own");
}

#[test]
fn whoever_insists_gets_the_run() {
    let server = locked();
    let report = replay_on(&server, &shop(), |options| options.amplify = 10.0);
    assert_eq!((report.exit_code, report.requests.status["401"], server.met().len()), (0, 400, 400));
}

#[test]
fn a_run_of_what_was_recorded_is_not_rehearsed() {
    let server = locked();
    let report = replay_on(&server, &shop(), |options| options.rehearsal = true);
    assert_eq!((report.requests.status["401"], server.met().len()), (40, 40));
}

#[test]
fn a_target_in_order_is_rehearsed_and_loaded() {
    let server = Server::plain();
    let report = replay_on(&server, &shop(), |options| {
        options.rehearsal = true;
        options.amplify = 10.0;
    });
    assert_eq!((report.exit_code, report.requests.answered), (0, 400), "{}", report.reason);
    let met = server.met();
    let own = met.iter().filter(|one| one.header("squall-session").unwrap().starts_with(&report.run)).count();
    assert_eq!((own, met.len()), (400, 420));
}

#[test]
fn a_target_that_fails_only_later_is_not_held_back_by_its_rehearsal() {
    let count = Arc::new(AtomicU64::new(0));
    let server = Server::start(move |_, stream| {
        let status = if count.fetch_add(1, Ordering::SeqCst) < 20 { "200 OK" } else { "401 Unauthorized" };
        answer(stream, status, "", b"x");
        Then::Keep
    });
    let report = replay_on(&server, &shop(), |options| {
        options.rehearsal = true;
        options.amplify = 10.0;
    });
    assert_eq!((report.requests.status["401"], report.requests.mismatched), (400, 400));
}
