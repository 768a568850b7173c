//! The end of a run that is called off: no new request, and still a report.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use captures::Exchange;
use replayer::Progress;

use crate::support::{Server, Then, answer, capture, options, replay_on, step};

/// A request every 5 ms for a minute.
fn long() -> Vec<Exchange> {
    (0..12_000).map(|n| step(n % 100, 5 * n, 2, "GET /a")).collect()
}

#[test]
fn a_guard_stops_the_run() {
    let count = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&count);
    let server = Server::start(move |_, stream| {
        seen.fetch_add(1, Ordering::SeqCst);
        answer(stream, "500 Oops", "", b"x");
        Then::Keep
    });
    let report = replay_on(&server, &long(), |options| {
        options.speed = replayer::options::Speed::Times(1.0);
        options.abort_on = vec!["errors>10% over 2s".parse().unwrap()];
    });
    assert_eq!((report.exit_code, report.verdict.as_str()), (108, "stopped"), "{}", report.reason);
    assert!(report.reason.contains("errors"), "{}", report.reason);
    let sent = report.requests.sent;
    assert!((100..6000).contains(&sent), "{sent}: it stopped after some seconds of a minute");
    assert_eq!(report.requests.never_sent["guard"], 12_000 - sent);
    let before = count.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!((before, count.load(Ordering::SeqCst)), (sent, sent), "the origin met what the report says");
    assert!(report.books.balanced && report.sessions.completed < 100);
}

#[test]
fn a_guard_that_holds_lets_the_run_end() {
    let steps: Vec<_> = (0..300).map(|n| step(n % 10, 10 * n, 2, "GET /a")).collect();
    let report = replay_on(&Server::plain(), &steps, |options| {
        options.speed = replayer::options::Speed::Times(1.0);
        options.abort_on = vec!["errors>10% over 1s".parse().unwrap()];
    });
    assert_eq!((report.exit_code % 111, report.requests.answered), (0, 300), "{}", report.reason);
}

#[test]
fn whoever_interrupts_gets_the_report_of_what_was() {
    let release = Arc::new(AtomicBool::new(false));
    let (held, count) = (Arc::clone(&release), Arc::new(AtomicU64::new(0)));
    let seen = Arc::clone(&count);
    let server = Server::start(move |_, stream| {
        // From the hundredth on, answers wait until the run was called off.
        if seen.fetch_add(1, Ordering::SeqCst) >= 100 {
            while !held.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        answer(stream, "200 OK", "", b"ok");
        Then::Keep
    });
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&capture(dir.path(), &long()), &server);
    options.speed = replayer::options::Speed::Times(1.0);
    let (stop, met) = (options.stop.clone(), Arc::clone(&count));
    let caller = std::thread::spawn(move || {
        while met.load(Ordering::SeqCst) < 150 {
            std::thread::sleep(Duration::from_millis(2));
        }
        stop.interrupt();
        // What the stop needs to be heard; then what is in flight may end.
        std::thread::sleep(Duration::from_millis(150));
        let after = met.load(Ordering::SeqCst);
        release.store(true, Ordering::SeqCst);
        after
    });
    let report = replayer::replay(&options, &mut |_: Progress| {}).unwrap();
    let after = caller.join().unwrap();
    let requests = &report.requests;
    assert_eq!((report.exit_code, report.verdict.as_str()), (105, "interrupted"), "{}", report.reason);
    assert_eq!((requests.sent, requests.answered), (after, after), "nothing new, and all in flight ended");
    assert_eq!(requests.never_sent["interrupted"], 12_000 - after);
    assert!(report.books.balanced);
}

#[test]
fn the_second_interrupt_waits_for_nobody() {
    let count = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&count);
    let server = Server::start(move |_, _| {
        seen.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_secs(3600));
        Then::Close
    });
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&capture(dir.path(), &long()), &server);
    options.speed = replayer::options::Speed::Times(1.0);
    options.timeout = Duration::from_secs(600);
    let stop = options.stop.clone();
    std::thread::spawn(move || {
        while count.load(Ordering::SeqCst) < 20 {
            std::thread::sleep(Duration::from_millis(2));
        }
        stop.interrupt();
        stop.interrupt();
    });
    let report = replayer::replay(&options, &mut |_: Progress| {}).unwrap();
    assert_eq!(report.exit_code, 105);
    assert_eq!(report.requests.failed["aborted"], report.requests.sent, "{:?}", report.requests);
    assert!(report.books.balanced);
}
