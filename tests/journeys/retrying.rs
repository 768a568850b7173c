//! Retries through the real proxy: faults are injected, clients try again, and the books still balance to the unit.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::kit::{Replayed, capture, text};
use crate::support::{Proxy, Shop};

/// Thirty sessions of eight requests.
fn recording() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let steps: Vec<_> = (0..240).map(|n| (n % 30, n * 10, 1, "GET /api/products", "shop.test")).collect();
    let path = capture(folder.path(), &steps);
    (folder, path)
}

/// Replays the recording twice over through a proxy with these rules.
fn replayed(rules: &str, more: &[&str]) -> (Replayed, u64) {
    let (folder, capture) = recording();
    let (shop, file) = (Shop::open(&[]), folder.path().join("faults.toml"));
    std::fs::write(&file, rules).unwrap();
    let proxy = Proxy::before(&shop.url(), &["--rules", &text(&file)]);
    let (target, admin) = (format!("http://{}", proxy.addr()), format!("http://{}", proxy.admin()));
    let counter = format!("{}/_shop/count", shop.url());
    let how = ["--target", &target, "--proxy", &admin, "--origin-counter", &counter, "--speed", "max"];
    let run = Replayed::of(&capture, &[&how[..], &["--amplify", "2x", "--no-rehearsal"], more].concat());
    proxy.settled(run.n("/requests/sent")).expect_balanced();
    (run.expect_balanced(), shop.requests())
}

#[test]
fn every_attempt_is_in_the_books() {
    for policy in ["naive:5", "backoff:5,1ms..2ms", "budget:50%,5"] {
        let (run, at_shop) = replayed(BUSY, &["--retry", policy]);
        let run = run.expect_code(0);
        let (sent, retries) = (run.n("/requests/sent"), run.n("/requests/retries"));
        assert_eq!((run.n("/requests/planned"), sent), (480, 480 + retries), "{policy}");
        assert!(retries > 50, "{policy}: a third of all attempts are refused: {retries}");
        assert_eq!(run.n("/requests/status/503") + run.n("/requests/status/200"), sent, "{policy}");
        assert_eq!(run.n("/requests/status/200"), at_shop, "{policy}: what was refused never came there");
        assert_eq!(run.n("/requests/injected/busy"), run.n("/requests/status/503"), "{policy}");
        // Each operation has one response time, however many attempts it took.
        assert_eq!(run.n("/latency/response/count"), 480, "{policy}");
    }
}

#[test]
fn connections_that_are_torn_are_tried_again() {
    let (run, _) = replayed(TORN, &["--retry", "backoff:5,1ms..2ms"]);
    let run = run.expect_code(0);
    let (sent, retries, reset) =
        (run.n("/requests/sent"), run.n("/requests/retries"), run.n("/requests/failed/reset"));
    assert_eq!((sent, sent - reset), (480 + retries, run.n("/requests/answered")));
    assert!(reset > 50 && retries > 50, "{reset} {retries}");
}

#[test]
fn a_storm_of_retries_is_what_a_budget_bounds() {
    let (storm, _) = replayed(DOWN, &["--retry", "naive:3"]);
    assert_eq!((storm.n("/requests/retries"), storm.n("/requests/status/503")), (1440, 1920));
    let (bounded, _) = replayed(DOWN, &["--retry", "budget:10%,3", "--threads", "1"]);
    let retries = bounded.n("/requests/retries");
    assert!(retries <= 48 && retries > 0, "{retries} of 480 requests");
    assert!(bounded.n("/requests/retries_denied") > 0);
}

#[test]
fn clients_that_double_and_leave_are_in_the_books() {
    let kinds = ["--misbehave", "abandon 30% after 1ms", "--misbehave", "slow-reader 10% 64KB/s"];
    let (run, _) = replayed(BUSY, &[&kinds[..], &["--retry", "naive:2"]].concat());
    assert!(run.n("/sessions/abandoned") > 0, "{:#}", run.json["sessions"]);
}

const BUSY: &str = "[[rule]]\nid = \"busy\"\nrate = \"33%\"\nrespond = 503\n";
const TORN: &str = "[[rule]]\nid = \"torn\"\nrate = \"33%\"\nreset = \"before headers\"\n";
const DOWN: &str = "[[rule]]\nid = \"down\"\nrespond = 503\n";
