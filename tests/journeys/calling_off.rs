//! Runs that are called off, by a guard or by the user: no new request, a report, and a code that says why.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::kit::{Finished, Replayed, Server, answer, capture, eventually};

/// A request every 10 ms for two minutes.
fn long() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let steps: Vec<_> = (0..12_000).map(|n| (n % 50, n * 10, 1, "GET /api/products", "shop.test")).collect();
    let path = capture(folder.path(), &steps);
    (folder, path)
}

/// Asserts that nothing came to the origin after the replayer had ended, and that it met what was sent.
#[track_caller]
fn expect_quiet(server: &Server, run: &Replayed) {
    // What was written last may still have to be read.
    let met = run.n("/requests/sent");
    eventually("the origin met all that was sent", || (server.met().len() as u64 == met).then_some(()));
    thread::sleep(Duration::from_millis(200));
    assert_eq!(server.met().len() as u64, met, "and nothing else");
    assert!(run.json["books"]["balanced"].as_bool().unwrap(), "{:#}", run.json["books"]);
    let (planned, never) = (run.n("/requests/planned"), run.sum("/requests/never_sent"));
    assert_eq!((planned, planned - met), (12_000, never));
}

#[test]
fn a_guard_ends_the_run_with_108() {
    let (_folder, path) = long();
    let count = AtomicU64::new(0);
    // Well for a while, then nothing but errors.
    let server = Server::open(move |_, stream| {
        if count.fetch_add(1, Ordering::SeqCst) < 150 {
            return answer(stream, b"ok");
        }
        let _ = std::io::Write::write_all(stream, b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
        crate::kit::Then::Keep
    });
    let how = ["--target", &server.url(), "--abort-on", "errors>20% over 1s"];
    let run = Replayed::of(&path, &how).expect_code(108);
    assert_eq!(run.json["verdict"], "stopped");
    assert!(run.json["reason"].as_str().unwrap().contains("errors"), "{}", run.json["reason"]);
    assert!(run.n("/requests/sent") > 150 && run.n("/requests/never_sent/guard") > 0);
    expect_quiet(&server, &run);
    run.finished.expect_words(108, &["verdict: stopped", "errors"]);
}

#[test]
fn control_c_ends_the_run_with_105_and_a_second_one_waits_for_nobody() {
    let (folder, path) = long();
    for signals in [1, 2] {
        let count = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&count);
        let server = Server::open(move |_, stream| {
            // The second time the origin never answers from the fiftieth request on.
            if seen.fetch_add(1, Ordering::SeqCst) >= 50 && signals == 2 {
                thread::sleep(Duration::from_secs(3600));
            }
            answer(stream, b"ok")
        });
        let json = folder.path().join(format!("{signals}.json"));
        let run = Replayed::start(&path, &["--target", &server.url(), "--timeout", "10m"], &json);
        eventually("it has begun", || (count.load(Ordering::SeqCst) >= 60).then_some(()));
        run.signal("INT");
        if signals == 2 {
            thread::sleep(Duration::from_millis(200)); // two at once would be one to the kernel
            run.signal("INT");
        }
        let run = Replayed::read(Finished::after(run), &json).expect_code(105);
        assert_eq!(run.json["verdict"], "interrupted");
        assert_eq!(run.n("/requests/failed/aborted") > 0, signals == 2, "{:#}", run.json["requests"]);
        expect_quiet(&server, &run);
    }
}

#[test]
fn a_rehearsal_that_meets_401_alone_ends_the_run_with_108_and_a_report() {
    let (_folder, path) = long();
    let server = Server::open(|_, stream| {
        let _ = std::io::Write::write_all(stream, b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n");
        crate::kit::Then::Keep
    });
    let how = ["--target", &server.url(), "--amplify", "3x", "--max-rate", "10k/s"];
    let run = Replayed::of(&path, &how).expect_code(108);
    assert_eq!((run.n("/requests/sent"), run.n("/requests/never_sent/guard")), (0, 36_000));
    assert_eq!(run.json["books"]["balanced"], true);
    run.finished.expect_words(108, &["rehearsal", "401", "--no-rehearsal"]);
    assert!(!server.met().is_empty());
}
