//! `squall report` and `replay --report`: what they refuse, and what they leave alone.

use std::fs;

use tempfile::TempDir;

use crate::kit::Finished;
use crate::support::{replay, squall};

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
