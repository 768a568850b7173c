//! One plan several times, a history of it, and the judgement as JUnit.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::kit::{Finished, Replayed, Server, Step, answer, capture, run_squall, text};
use crate::support::replay;

/// A capture of twenty requests.
fn recording(folder: &Path) -> std::path::PathBuf {
    let steps: Vec<Step<'_>> = (0..20).map(|n| (n % 5, n * 3, 1, "GET /", "shop.test")).collect();
    capture(folder, &steps)
}

#[test]
fn a_plan_is_run_three_times_and_kept() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let capture = recording(folder.path());
    let [runs, junit] = ["runs", "junit.xml"].map(|name| text(folder.path().join(name)));
    let args = [
        "--target",
        &server.url(),
        "--repeat",
        "3",
        "--history",
        &runs,
        "--junit",
        &junit,
        "--threshold",
        "errors<1%",
    ];
    let run = Replayed::of(&capture, &args).expect_passed();
    assert_eq!(server.met().len(), 60);
    let repeat = &run.json["repeat"];
    assert_eq!(repeat["asked"], 3);
    let tags: std::collections::BTreeSet<&str> =
        repeat["runs"].as_array().unwrap().iter().map(|run| run["tag"].as_str().unwrap()).collect();
    assert_eq!(tags.len(), 3, "each run has a tag of its own: {repeat:#}");
    let p99 = repeat["spread"]
        .as_array()
        .unwrap()
        .iter()
        .find(|spread| spread["figure"] == "response.p99")
        .unwrap();
    assert!(p99["min"].as_f64() <= p99["median"].as_f64() && p99["median"].as_f64() <= p99["max"].as_f64());
    assert!(run.finished.out.contains("repeat     3 of 3 runs"), "{}", run.finished.out);

    let written = std::fs::read_to_string(&junit).unwrap();
    let document = roxmltree::Document::parse(&written).unwrap();
    let suites: Vec<_> = document.descendants().filter(|node| node.has_tag_name("testsuite")).collect();
    assert_eq!(suites.len(), 3);
    assert!(document.descendants().any(|node| node.attribute("name") == Some("errors<1%")));

    let shown = run_squall(&["report", "--history", &runs]).expect(0).out;
    for words in ["3 runs", "response.p99", "not known: 3 runs can be compared, and it takes 8"] {
        let words = words.strip_prefix("response.").unwrap_or(words);
        assert!(shown.contains(words), "{words} is missing in\n{shown}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&run_squall(&["report", "--history", &runs, "--json"]).expect(0).out).unwrap();
    assert_eq!(json["runs"].as_array().map(Vec::len), Some(3), "{json:#}");
    assert_eq!(json["plan_hash"], run.json["plan_hash"]);
}

#[test]
fn a_failing_run_among_others_is_the_verdict() {
    let met = std::sync::atomic::AtomicUsize::new(0);
    // The second of three runs meets errors.
    let server = Server::open(move |_, stream| {
        let nth = met.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if (20..40).contains(&nth) {
            use std::io::Write;
            let _ = stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
            return crate::kit::Then::Keep;
        }
        answer(stream, b"ok")
    });
    let folder = TempDir::new().unwrap();
    let capture = recording(folder.path());
    let args = ["--target", &server.url(), "--speed", "max", "--repeat", "3", "--threshold", "errors<1%"];
    let run = Replayed::of(&capture, &args);
    assert_eq!(run.json["verdict"], "fail", "{}", run.finished.out);
    let run = run.expect_code(99);
    assert_eq!(run.json["repeat"]["shown"], 2);
    let finding = &run.json["repeat"]["findings"][0];
    assert_eq!((&finding["what"], &finding["runs"]), (&"errors<1%".into(), &serde_json::json!([2])));
    assert!(
        run.finished.out.contains("in 1 of 3 runs (run 2): threshold, errors<1%"),
        "{}",
        run.finished.out
    );
}

#[test]
fn a_history_that_cannot_be_written_fails_no_run() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let capture = recording(folder.path());
    let file = text(folder.path().join("a-file"));
    std::fs::write(&file, "").unwrap();
    let run = Replayed::of(&capture, &["--target", &server.url(), "--history", &file]).expect_passed();
    assert!(run.finished.err.contains("this run is not kept"), "{}", run.finished.err);
    run_squall(&["report", "--history", &file]).expect_words(104, &["a-file"]);
    run_squall(&["report"]).expect_words(104, &["--history"]);
}

#[test]
fn a_folder_named_runs_is_used_without_being_asked_for() {
    let (server, folder) = (Server::plain(), TempDir::new().unwrap());
    let capture = text(recording(folder.path()));
    let run = || {
        let mut command: Command = replay(&["--target", &server.url(), "--quiet", &capture]);
        command.current_dir(folder.path());
        Finished::of(command)
    };
    run();
    assert!(!folder.path().join("runs").exists(), "nobody asked for one");
    std::fs::create_dir(folder.path().join("runs")).unwrap();
    run();
    assert_eq!(std::fs::read_dir(folder.path().join("runs")).unwrap().count(), 1);
}
