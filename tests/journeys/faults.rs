//! Every kind of fault at once, and everything that can go wrong on the way: the books balance to the unit.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::kit::{Finished, Replayed, Server, Then, answer, capture, eventually, text};
use crate::support::{Proxy, Shop};

#[test]
fn all_faults_at_once() {
    let (folder, capture) = recording(30, 8);
    let shop = Shop::open(&[]);
    let rules = folder.path().join("faults.toml");
    std::fs::write(&rules, ALL).unwrap();
    let proxy = Proxy::before(&shop.url(), &["--rules", &text(&rules)]);
    let counter = format!("{}/_shop/count", shop.url());
    let how = ["--origin-counter", &counter, "--amplify", "4x", "--speed", "max"];
    let run = replayed(&proxy, &capture, &how).expect_code(0).expect_balanced();
    let sent = 30 * 8 * 4;
    assert_eq!(run.n("/requests/sent"), sent);
    for rule in run.json["rules"].as_array().unwrap() {
        assert_ne!(rule["applied"], 0, "{rule}");
    }
    assert_eq!(run.json["rules"].as_array().unwrap().len(), 8, "{}", run.json["rules"]);
    // the shop never fails by itself: what failed was injected, to the unit
    let failures = &run.json["failures"];
    assert_eq!(failures["total"], failures["injected"], "{failures}");
    assert_ne!(failures["total"], 0);
    let books = proxy.settled(sent);
    books.expect_balanced();
    for row in ["short_circuited", "dropped", "cut", "storm_copies"] {
        assert_ne!(books.total(row), 0, "{row} in {books}");
    }
}

#[test]
fn an_origin_that_is_gone_is_not_taken_for_a_fault() {
    let (_folder, capture) = recording(4, 5);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::before::<&str>(&format!("http://{gone}"), &[]);
    let run = replayed(&proxy, &capture, &["--speed", "max"]).expect_code(0).expect_not_off();
    assert_eq!((run.n("/requests/answered"), run.n("/requests/proxy_errors")), (20, 20));
    assert_eq!(
        (run.n("/failures/network"), run.n("/failures/injected"), run.n("/failures/origin")),
        (20, 0, 0)
    );
    let books = proxy.settled(20);
    books.expect_balanced();
    assert_eq!((books.total("upstream_unreachable"), books.total("upstream_attempts")), (20, 0));
}

#[test]
fn an_origin_that_dies_under_requests() {
    let (_folder, capture) = recording(6, 6);
    let counted = Server::open(|met, stream| match met.connection % 3 {
        0 => Then::Reset,
        1 => {
            let _ = std::io::Write::write_all(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort");
            Then::Close
        }
        _ => answer(stream, b"ok"),
    });
    let proxy = Proxy::before::<&str>(&counted.url(), &["--threads", "1"]);
    let run = replayed(&proxy, &capture, &["--speed", "max"]).expect_not_off();
    assert_eq!(run.n("/requests/sent"), 36);
    assert_eq!(run.n("/failures/injected"), 0);
    let books = proxy.settled(36);
    books.expect_balanced();
    assert_ne!(books.total("upstream_failed"), 0, "{books}");
    let (attempts, ambiguous) = (books.total("upstream_attempts"), books.total("ambiguous"));
    let met = counted.met().len() as u64;
    assert!((attempts - ambiguous..=attempts).contains(&met), "the origin met {met} of {books}");
}

#[test]
fn clients_that_lose_patience_during_a_delay_are_not_forwarded() {
    let (_folder, capture) = recording(3, 2);
    let shop = Shop::open(&[]);
    let proxy = Proxy::before(&shop.url(), &["--fault", "/** delay 1h"]);
    let counter = format!("{}/_shop/count", shop.url());
    let how = ["--origin-counter", &counter, "--timeout", "300ms", "--speed", "max"];
    let run = replayed(&proxy, &capture, &how).expect_code(99).expect_balanced();
    assert_eq!((run.n("/requests/failed/timeout"), run.n("/requests/sent")), (6, 6));
    assert_eq!((run.n("/failures/injected"), run.n("/failures/network")), (6, 0), "{}", run.finished.out);
    let books = proxy.settled(6);
    assert_eq!((books.total("client_gone"), books.total("forwarded"), shop.requests()), (6, 0, 0), "{books}");
}

#[test]
fn a_breached_cap_lifts_the_rules_and_stops_the_run() {
    let (folder, capture) = recording(50, 4000);
    let shop = Shop::open(&[]);
    let rules = folder.path().join("faults.toml");
    let text_of = "[safety]\nmax_affected = \"20%\"\n[[rule]]\nid = \"all\"\nrespond = 503\n";
    std::fs::write(&rules, text_of).unwrap();
    let proxy = Proxy::before(&shop.url(), &["--rules", &text(&rules)]);
    let run = replayed(&proxy, &capture, &[]).expect_code(108).expect_not_off();
    assert_eq!(run.json["verdict"], "stopped");
    assert!(run.json["reason"].as_str().unwrap().contains("max_affected"), "{}", run.json["reason"]);
    assert_eq!(proxy.ask("/status")["armed"], false);
    proxy.settled(run.n("/requests/sent")).expect_balanced();
}

#[test]
fn a_proxy_that_is_killed_ends_the_replay_with_what_is_known() {
    let (folder, capture) = recording(20, 200);
    let server = Server::plain();
    let mut proxy = Proxy::before::<&str>(&server.url(), &[]);
    let json = folder.path().join("run.json");
    let (target, admin) = (format!("http://{}", proxy.addr()), format!("http://{}", proxy.admin()));
    let run = Replayed::start(&capture, &["--target", &target, "--proxy", &admin], &json);
    eventually("it has begun", || (proxy.books().total("seen") >= 50).then_some(()));
    proxy.process().signal("KILL");
    let run = Replayed::read(Finished::after(run), &json).expect_not_off();
    let (sent, answered) = (run.n("/requests/sent"), run.n("/requests/answered"));
    assert_eq!((sent, answered + run.sum("/requests/failed")), (20 * 200, sent));
    assert!(answered != 0 && run.n("/requests/failed/connect") != 0, "{:#}", run.json["requests"]);
    let words = "2 of 8 rows, 6 unknown";
    assert!(run.finished.out.contains(words), "{}", run.finished.out);
    let unknown =
        run.json["books"]["rows"].as_array().unwrap().iter().filter(|row| row["state"] == "unknown");
    assert_eq!(unknown.count(), 6, "nobody can tell what the proxy did: {:#}", run.json["books"]);
}

#[track_caller]
fn replayed(proxy: &Proxy, capture: &std::path::Path, more: &[&str]) -> Replayed {
    let (target, admin) = (format!("http://{}", proxy.addr()), format!("http://{}", proxy.admin()));
    Replayed::of(capture, &[&["--target", &target, "--proxy", &admin], more].concat())
}

/// Sessions that each ask for the whole catalogue, over and over, every 10 ms.
fn recording(sessions: u64, steps: u64) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let steps: Vec<_> = (0..sessions * steps)
        .map(|n| (n % sessions, n / sessions * 10, 1, PATHS[(n / sessions % 8) as usize], "shop.test"))
        .collect();
    let capture = capture(folder.path(), &steps);
    (folder, capture)
}

const PATHS: [&str; 8] = [
    "GET /api/products",
    "GET /api/products/1",
    "GET /api/products/2",
    "GET /",
    "GET /api/products/4",
    "GET /api/products/5",
    "GET /api/events?n=2&gap_ms=1",
    "GET /nowhere",
];
const ALL: &str = r#"
version = 1
seed    = "0xa11"

[[rule]]
id    = "tail"
rate  = "30%"
delay = "p50 1ms, p99 20ms"

[[rule]]
id      = "refused"
on      = "/api/products/1"
rate    = "30%"
respond = { status = 503, body = '{"error":"unavailable"}', headers = { x-reason = "chaos" } }

[[rule]]
id         = "quota"
on         = "/api/products/2"
rate_limit = "2/s burst 3"

[[rule]]
id    = "torn-early"
on    = "/"
rate  = "30%"
reset = "before headers"

[[rule]]
id    = "torn-late"
on    = "/api/products/4"
rate  = "50%"
reset = "after 10 B of body"

[[rule]]
id     = "mixed"
on     = "/api/products"
rate   = "40%"
one_of = [{ reset = "after headers" }, { reset = "after 50% of body" }, { delay = "2ms" }]

[[rule]]
id        = "dark"
on        = "/api/products/5"
rate      = "30%"
blackhole = "30ms, then reset"

[[rule]]
id    = "stampede"
on    = "/nowhere"
rate  = "50%"
storm = { when = ["404"], copies = 2, max_amplification = 3.0 }
"#;
