//! The shape of a capture, and new sessions of that shape, through the front door.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::kit::{Replayed, Server, Shopper, VISIT, capture, inspect, run_squall, text};
use crate::support::{Proxy, Shop, http};

/// Sessions that read, search and order, one every 50 ms.
fn recorded(folder: &Path) -> PathBuf {
    let mut steps = Vec::new();
    for session in 0..60 {
        let at = session * 50;
        steps.push((session, at, 2, "GET /", "shop.test"));
        let second = if session % 3 == 0 { "GET /search?q=red" } else { "GET /products/17" };
        steps.push((session, at + 40, 2, second, "shop.test"));
        if session % 2 == 0 {
            steps.push((session, at + 90, 2, "POST /orders", "shop.test"));
        }
    }
    steps.sort_by_key(|step| step.1);
    capture(folder, &steps)
}

#[test]
fn a_synthesized_capture_is_whole_and_replays() {
    let folder = TempDir::new().unwrap();
    let (input, output) = (recorded(folder.path()), folder.path().join("new.zst"));
    let shown = run_squall(&[
        "captures",
        "synthesize",
        &text(&input),
        "--sessions",
        "100",
        "--seed",
        "5",
        "-o",
        &text(&output),
        "--strict",
    ])
    .expect(0);
    for words in [
        "learned from 150 requests in 60 sessions: 4 routes",
        "session lengths, Kolmogorov-Smirnov",
        "transitions, total variation",
        "in 100 sessions",
        "next: squall captures inspect",
    ] {
        assert!(shown.err.contains(words), "{words}: {}", shown.err);
    }
    run_squall(&["captures", "verify", &text(&output)]).expect_words(0, &["whole"]);
    let figures = inspect(&output);
    assert_eq!(figures["sessions"], 100);
    let server = Server::plain();
    let replayed = Replayed::of(&output, &["--target", &server.url(), "--speed", "max", "--no-rehearsal"])
        .expect_passed();
    assert_eq!(replayed.n("/requests/answered"), figures["requests"].as_u64().unwrap());
}

#[test]
fn new_shoppers_have_accounts_of_their_own() {
    let (shop, folder) = (Shop::open(&[]), TempDir::new().unwrap());
    let (input, output) = (folder.path().join("capture.zst"), folder.path().join("new.zst"));
    let proxy = Proxy::before(&shop.url(), &["--record", &text(&input)]);
    for n in 0..12 {
        Shopper::at(proxy.addr()).visit(&format!("ada{n:02}"));
    }
    proxy.expect_delivered(12 * VISIT);
    http::post(proxy.admin(), "/recording/stop", b"");
    let made = ["captures", "synthesize", &text(&input), "--sessions", "30", "-o", &text(&output)];
    run_squall(&made).expect(0);
    // an address or a token of somebody else would be refused: two accounts of one address, another's cart
    let fresh = Shop::open(&[]);
    let run = Replayed::of(&output, &["--target", &fresh.url(), "--speed", "4x"]).expect_passed();
    let statuses = inspect(&output)["statuses"].clone();
    assert_eq!(run.json["requests"]["status"], statuses);
    assert!(statuses["201"].as_u64().unwrap() >= 10, "people sign up: {statuses}");
}

#[test]
fn a_trace_lays_the_sessions_and_says_what_is_wrong_with_it() {
    let folder = TempDir::new().unwrap();
    let input = text(recorded(folder.path()));
    let output = text(folder.path().join("new.zst"));
    let trace = folder.path().join("trace.csv");
    fs::write(&trace, "at,tokens\n0.5,1\nsoon,2\n0.1,3\n3,4\n").unwrap();
    let trace = text(&trace);
    let laid = ["captures", "synthesize", &input, "--arrivals", &trace, "-o", &output];
    let shown = run_squall(&[&laid[..], &["--within", "10s"]].concat()).expect(0);
    for words in [
        "3 arrivals in at",
        "1 out of order (now in order), the first on line 4",
        "line 3: `soon` is no time",
    ] {
        assert!(shown.err.contains(words), "{words}: {}", shown.err);
    }
    assert_eq!(inspect(Path::new(&output))["sessions"], 3);
    fs::remove_file(&output).unwrap();
    let wrong: [(&[&str], &str); 5] = [
        (&["--arrivals-column", "when"], "it has no column `when`; it has at, tokens"),
        (&["--sessions", "9"], "3 arrivals, too few for 9 sessions"),
        (&["--within", "10"], "10s"),
        (&["--widen", "/products/{id}=0.5x"], "a factor of at least 1"),
        (&["--widen", "/product/{id}=2x"], "no key space `/product/{id}`"),
    ];
    for (more, words) in wrong {
        run_squall(&[&laid[..], more].concat()).expect_words(104, &[words]);
        assert!(!Path::new(&output).exists(), "nothing is left behind");
    }
    run_squall(&["captures", "synthesize", &input, "-o", &output]).expect_words(104, &["--sessions <N>"]);
}

#[test]
fn a_shape_fits_a_terminal() {
    let folder = TempDir::new().unwrap();
    let shown = run_squall(&["captures", "inspect", &text(recorded(folder.path()))]).expect(0);
    for line in shown.out.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
    for words in [
        "requests a session",
        "think time",
        "arrivals",
        "dispersion",
        "GET /products/{id}",
        "(start)",
        "POST /orders",
    ] {
        assert!(shown.out.contains(words), "{words}: {}", shown.out);
    }
}
