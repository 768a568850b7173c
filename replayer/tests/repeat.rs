//! One plan several times: what is the same in all runs, and what ends the series.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use replayer::Progress;
use replayer::options::Speed;
use support::{Server, Then, answer, capture, options, step};

#[test]
fn each_run_is_a_run_of_its_own_of_one_plan() {
    let server = Server::plain();
    let dir = tempfile::tempdir().unwrap();
    let steps: Vec<_> = (0..12).map(|i| step(i % 4, i, 1, "GET /")).collect();
    let options = options(&capture(dir.path(), &steps), &server);
    let mut seen = Vec::new();
    let repeated =
        replayer::repeat(&options, 4, &mut |_: Progress| {}, &mut |run| seen.push(run.run.clone())).unwrap();
    let tags: BTreeSet<&str> = repeated.runs.iter().map(|run| run.run.as_str()).collect();
    assert_eq!((tags.len(), seen.len()), (4, 4));
    assert!(
        repeated
            .runs
            .iter()
            .all(|run| run.plan_hash == repeated.report.plan_hash && run.requests.answered == 12)
    );
    // The server can tell them apart: the tag is the first part of each session.
    let sessions: BTreeSet<String> = server
        .met()
        .iter()
        .filter_map(|met| Some(met.header("squall-session")?.get(..8)?.to_owned()))
        .collect();
    assert_eq!(sessions, tags.iter().map(|tag| (*tag).to_owned()).collect());
    assert_eq!(server.met().len(), 48);
    let once = replayer::repeat(&options, 1, &mut |_: Progress| {}, &mut |_| {}).unwrap();
    assert_eq!((once.report.repeat.as_ref(), once.runs.len()), (None, 1));
}

#[test]
fn the_user_ends_the_series_with_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::plain();
    let steps: Vec<_> = (0..5).map(|i| step(i, i, 1, "GET /")).collect();
    let options = options(&capture(dir.path(), &steps), &server);
    let stop = options.stop.clone();
    let mut ended = 0;
    let repeated = replayer::repeat(&options, 9, &mut |_: Progress| {}, &mut |_| {
        ended += 1;
        if ended == 2 {
            stop.interrupt();
        }
    })
    .unwrap();
    assert_eq!(repeated.runs.len(), 2);
    assert_eq!((repeated.report.verdict.as_str(), repeated.report.exit_code), ("interrupted", 105));
    assert_eq!(repeated.report.reason, "stopped by the user after 2 of 9 runs");
    assert_eq!(server.met().len(), 10);
}

#[test]
fn a_guard_ends_its_run_and_not_the_series() {
    let server = Server::start(|_, stream| {
        std::thread::sleep(Duration::from_millis(5));
        answer(stream, "500 No", "", b"");
        Then::Keep
    });
    let dir = tempfile::tempdir().unwrap();
    let steps: Vec<_> = (0..300).map(|i| step(i % 10, i * 20, 1, "GET /")).collect();
    let mut options = options(&capture(dir.path(), &steps), &server);
    options.speed = Speed::Times(1.0);
    options.abort_on = vec!["errors>10% over 1s".parse().unwrap()];
    let repeated = replayer::repeat(&options, 2, &mut |_: Progress| {}, &mut |_| {}).unwrap();
    let verdicts: Vec<&str> = repeated.runs.iter().map(|run| run.verdict.as_str()).collect();
    assert_eq!(verdicts, ["stopped", "stopped"]);
    assert_eq!(repeated.report.exit_code, 108);
    assert!(repeated.runs[1].requests.sent > 0, "the second run began anew");
}
