//! A replay speaks to its target and to nobody else.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::kit::{Finished, Replayed, Server, run_squall, text};
use crate::support::replay;

#[test]
fn hosts_of_a_capture_are_never_spoken_to() {
    let folder = TempDir::new().unwrap();
    let capture = foreign(folder.path());
    let server = Server::plain();
    let to = ["--target", &server.url()];
    Replayed::of(&capture, &to).expect_passed().expect_answered(3).expect_not_off();
    let target = server.addr.to_string();
    let hosts = |from: usize| -> Vec<String> {
        let mut hosts: Vec<_> =
            server.met()[from..].iter().map(|met| met.header("host").unwrap().to_owned()).collect();
        hosts.sort();
        hosts
    };
    assert_eq!(hosts(0), [&*target; 3], "all three came to the target, under its own name");
    Replayed::of(&capture, &[&to[..], &["--keep-host"]].concat()).expect_passed().expect_answered(3);
    assert_eq!(hosts(3), HOSTS, "the recorded names, but still to the target");
}

#[test]
fn a_target_that_is_not_allowed_is_refused() {
    let folder = TempDir::new().unwrap();
    let capture = foreign(folder.path());
    check(&capture, &[], &[112], "--target");
    for target in ["http://example.invalid", "http://192.0.2.1:80", "https://127.0.0.1.example.invalid"] {
        check(&capture, &["--target", target], &[112], "--allow-target");
        check(&capture, &["--target", target, "--allow-target", "other.invalid"], &[112], "--allow-target");
    }
    let allowed = ["--target", "http://example.invalid", "--allow-target", "example.invalid"];
    check(&capture, &allowed, &[112, 104], "--max-rate");
    check(
        &capture,
        &["--target", "http://127.0.0.1:9", "--proxy", "http://example.invalid"],
        &[112],
        "proxy",
    );
    let dry = ["--target", "http://example.invalid", "--dry-run"];
    check(&capture, &dry, &[112], "--allow-target");
}

#[track_caller]
fn check(capture: &Path, args: &[&str], codes: &[i32], words: &str) {
    let mut command = replay(args);
    command.arg(capture).env_remove("SQUALL_ALLOW_TARGETS");
    let finished = Finished::of(command);
    assert!(
        finished.code.is_some_and(|code| codes.contains(&code)),
        "{args:?}: {:?} {}",
        finished.code,
        finished.err
    );
    assert!(finished.err.contains(words), "`{words}` is not in: {}", finished.err);
}

/// A capture made from a HAR file of three hosts that are not ours.
fn foreign(folder: &Path) -> PathBuf {
    let entry = |(at, host): (usize, &&str)| {
        format!(
            r#"{{"startedDateTime":"2026-01-01T00:00:00.{at}00Z","time":5,"timings":{{"send":1,"wait":3,"receive":1}},
            "request":{{"method":"GET","url":"https://{host}/page/{at}","httpVersion":"HTTP/1.1",
            "headers":[{{"name":"Host","value":"{host}"}}],"queryString":[],"cookies":[],"headersSize":-1,"bodySize":0}},
            "response":{{"status":200,"statusText":"OK","httpVersion":"HTTP/1.1","headers":[],"cookies":[],
            "content":{{"size":0,"mimeType":"text/html"}},"redirectURL":"","headersSize":-1,"bodySize":0}},"cache":{{}}}}"#
        )
    };
    let entries: Vec<String> = HOSTS.iter().enumerate().map(entry).collect();
    let har = folder.join("foreign.har");
    let log = format!(
        r#"{{"log":{{"version":"1.2","creator":{{"name":"journey","version":"1"}},"entries":[{}]}}}}"#,
        entries.join(",")
    );
    std::fs::write(&har, log).unwrap();
    let capture = folder.join("foreign.zst");
    run_squall(&["captures", "import", &text(&har), "-o", &text(&capture)]).expect(0);
    capture
}

/// Sorted.
const HOSTS: [&str; 3] = ["api.example.invalid", "cdn.example.invalid", "www.example.invalid"];
