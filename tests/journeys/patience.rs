//! Timeouts that a rule made, and timeouts that the origin made: each is put down to its own.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::kit::{Replayed, Server, answer, capture};
use crate::support::Proxy;

/// Far beyond what a busy machine takes for one exchange over loopback.
const PATIENCE: &str = "1s";
const SLOW: Duration = Duration::from_secs(4);
const CLONES: u64 = 20;
/// Sessions of two steps each.
const SESSIONS: u64 = 4;

/// Replays a recording through a proxy with this rule, against an origin that takes so long for every second step.
fn replayed(rule: &str, origin_takes: Duration) -> Replayed {
    let (_folder, capture) = recording();
    let origin = Server::open(move |met, stream| {
        if met.what.ends_with("/pay") {
            std::thread::sleep(origin_takes);
        }
        answer(stream, b"ok")
    });
    let proxy = Proxy::before(&origin.url(), &["--fault", rule]);
    let (target, admin) = (format!("http://{}", proxy.addr()), format!("http://{}", proxy.admin()));
    let amplify = format!("{CLONES}x");
    let how = ["--target", &target, "--proxy", &admin, "--no-rehearsal", "--amplify", &amplify];
    Replayed::of(&capture, &[&how[..], &["--timeout", PATIENCE]].concat()).expect_not_off()
}

fn recording() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let step =
        |n: u64| (n / 2, n / 2 * 40 + n % 2 * 20, 1, ["GET /cart", "GET /pay"][n as usize % 2], "shop.test");
    let steps: Vec<_> = (0..2 * SESSIONS).map(step).collect();
    let path = capture(folder.path(), &steps);
    (folder, path)
}

#[test]
fn timeouts_under_a_delay_are_the_rules() {
    let run = replayed("/pay delay 4s 50% of sessions", Duration::ZERO);
    let timeouts = run.n("/requests/failed/timeout");
    assert!(0 < timeouts && timeouts < SESSIONS * CLONES, "{timeouts}");
    let failures = &run.json["failures"];
    assert_eq!((run.n("/failures/total"), run.n("/failures/injected")), (timeouts, timeouts), "{failures}");
    assert_eq!(run.sum("/requests/injected"), timeouts);
    let analysis = &run.json["analysis"];
    assert_eq!(analysis["attribution"]["injected"], timeouts, "{analysis:#}");
    assert_eq!(analysis["findings"], serde_json::json!([]), "what a rule does by itself is no finding");
}

#[test]
fn timeouts_of_a_slow_origin_are_its_own_whatever_a_rule_adds() {
    // a rule that touches nobody, one that touched every session before, one whose turn never comes
    for rule in ["/nothing delay 4s", "/cart delay 1ms", "/pay delay 4s at response"] {
        let run = replayed(rule, SLOW);
        let timeouts = run.n("/requests/failed/timeout");
        assert_eq!((timeouts, run.n("/failures/total")), (SESSIONS * CLONES, SESSIONS * CLONES));
        assert_eq!(run.n("/failures/injected"), 0, "{rule}");
        let attribution = &run.json["analysis"]["attribution"];
        assert_eq!(
            (&attribution["injected"], &attribution["downstream"]),
            (&0.into(), &0.into()),
            "{attribution}"
        );
        assert_eq!(attribution["origin"], timeouts, "{rule}: {:#}", run.json["analysis"]);
    }
}
