//! `squall report` and `replay --report`: what they refuse, and what they leave alone.

use std::fs;

use tempfile::TempDir;

use crate::kit::{Finished, Replayed, Server, capture, text};
use crate::support::{replay, squall};

#[test]
fn a_replay_writes_its_page_and_so_does_its_run_json() {
    let folder = TempDir::new().unwrap();
    let server = Server::plain();
    let steps: Vec<_> = (0..40).map(|n| (n % 8, n, 1, "GET /</script>/x", "shop.test")).collect();
    let capture = capture(folder.path(), &steps);
    let [page, json, other] = ["run.html", "run.json", "other.html"].map(|name| folder.path().join(name));
    let secret = ["-H", "authorization: Bearer 0a1b2c3d"];
    let how = ["--target", &server.url(), "--speed", "max", "--report", &text(&page)];
    let run = Replayed::of(&capture, &[&how[..], &secret].concat()).expect_code(0).expect_answered(40);
    assert!(run.finished.out.contains("report     "), "{}", run.finished.out);
    fs::write(&json, run.json.to_string()).unwrap();
    Finished::of(squall(&["report", &text(&json), "-o", &text(&other)])).expect_words(0, &["other.html"]);
    for page in [&page, &other] {
        let page = fs::read_to_string(page).unwrap();
        assert!(page.starts_with("<!DOCTYPE html>") && page.len() < 200_000, "{} bytes", page.len());
        assert!(page.contains("\\u003c/script\\u003e/x"), "the route is in it, and harmless");
        assert!(!page.contains("0a1b2c3d"), "a secret of the command line is in the page");
        assert_eq!(page.matches("</script>").count(), 2);
    }
}

#[test]
fn what_is_no_run_is_refused_and_nothing_is_overwritten() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("empty.json"), "").unwrap();
    fs::write(path("other.json"), "{\"log\": {\"entries\": []}}").unwrap();
    fs::write(path("mine.txt"), "keep me").unwrap();
    let refused = |args: &[&str], words: &str| {
        let mut report = squall(&["report"]);
        report.args(args).current_dir(folder.path());
        Finished::of(report).expect_words(104, &[words]);
    };
    refused(&["none.json"], "cannot read none.json");
    refused(&["empty.json"], "empty.json is empty: its run was not finished");
    refused(&["other.json"], "other.json is no run.json");
    refused(&["other.json", "-o", "mine.txt"], "mine.txt is there already and is no page");
    refused(&["mine.txt", "-o", "mine.txt"], "mine.txt is there already");
    refused(&["--history", "none", "-o", "mine.txt"], "mine.txt is there already and is no page");
    refused(&["--history", "none", "-o", "page.html", "--json"], "cannot be used with");
    refused(&[], "RUN.json");
    assert_eq!(fs::read_to_string(path("mine.txt")).unwrap(), "keep me");
    assert!(!folder.path().join("other.html").exists(), "a refused report leaves no page");
}

#[test]
fn a_replay_that_cannot_write_its_page_says_so_before_it_sends_anything() {
    let folder = TempDir::new().unwrap();
    let mut run = replay(&["--report", "none/run.html", "--target", "http://127.0.0.1:9", "none.zst"]);
    run.current_dir(folder.path());
    Finished::of(run).expect_words(104, &["cannot write none/run.html"]);
    // and one that comes to nothing leaves no page behind
    let mut run = replay(&["--report", "run.html", "--target", "http://127.0.0.1:9", "none.zst"]);
    run.current_dir(folder.path());
    Finished::of(run).expect(104);
    assert!(!folder.path().join("run.html").exists());
}
