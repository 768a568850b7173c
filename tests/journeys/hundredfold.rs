//! The main job as typed: record, stop, `replay --amplify 100x capture.zst`.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::kit::{Finished, Replayed, Shopper, VISIT, expect_whole, text};
use crate::support::{Proxy, Shop, http, replay};

#[test]
fn as_typed_against_the_proxy_that_still_runs() {
    let (shop, folder) = (Shop::open(&[]), TempDir::new().unwrap());
    let (proxy, capture) = recorded(&shop, folder.path());
    let stopped = http::post(proxy.admin(), "/recording/stop", b"").json();
    assert_eq!((&stopped["state"], &stopped["recorded"]), (&"stopped".into(), &RECORDED.into()));
    expect_whole(&capture);

    let mut typed = replay(&["--amplify", "100x", "capture.zst"]);
    typed.current_dir(folder.path());
    let finished = Finished::of(typed).expect_passed();
    let sent = format!("{} planned, {} sent", thousands(SENT), thousands(SENT));
    for words in ["100x", &sent, "failures: none", "books      balanced"] {
        assert!(finished.out.contains(words), "`{words}` is not in:\n{}", finished.out);
    }
    let plan = finished.out.find("plan ").unwrap();
    assert!(plan < finished.out.find("verdict").unwrap(), "the plan comes first");
    // the rehearsal sends every one of the few sessions once, outside the books of the run
    let books = proxy.expect_delivered(RECORDED + RECORDED + SENT);
    assert_eq!(books.total("recorded"), RECORDED);
    assert_eq!(shop.requests(), RECORDED + RECORDED + SENT);
}

#[test]
fn against_the_proxy_started_again_with_rules() {
    let (shop, folder) = (Shop::open(&[]), TempDir::new().unwrap());
    let (proxy, capture) = recorded(&shop, folder.path());
    let door = proxy.addr().to_string();
    let (status, said) = proxy.stop();
    assert!(status.success(), "{said}");
    expect_whole(&capture);

    let rules = folder.path().join("faults.toml");
    std::fs::write(&rules, RULES).unwrap();
    let proxy = Proxy::start(&["--listen", &door, "--upstream", &shop.url(), "--rules", &text(&rules)]);
    let counter = format!("{}/_shop/count", shop.url());
    let run = Replayed::of(&capture, &["--amplify", "100x", "--origin-counter", &counter]);
    let run = run.expect_passed().expect_balanced();
    assert_eq!((run.n("/requests/planned"), run.n("/requests/sent")), (SENT, SENT));
    for rule in ["slow-tail", "no-cart", "torn"] {
        assert!(run.n(&format!("/requests/injected/{rule}")) != 0, "{rule} in {:#}", run.json["requests"]);
    }
    assert_eq!(run.n("/requests/failed/reset"), run.n("/requests/injected/torn"));
    // clones of the few users whose orders were hit have carts that are empty: the origin's own answers
    assert_eq!(run.n("/failures/network") + run.n("/failures/generator"), 0, "{:#}", run.json["failures"]);
    proxy.settled(SENT).expect_balanced();
}

/// A proxy that has recorded two visits, and is still recording.
fn recorded(shop: &Shop, folder: &Path) -> (Proxy, PathBuf) {
    let capture = folder.join("capture.zst");
    let proxy = Proxy::before(&shop.url(), &["--record", &text(&capture)]);
    for name in ["ada", "grace"] {
        Shopper::at(proxy.addr()).visit(name);
    }
    proxy.expect_delivered(RECORDED);
    (proxy, capture)
}

/// `1600` as `1,600`.
fn thousands(n: u64) -> String {
    format!("{},{:03}", n / 1000, n % 1000)
}

const RECORDED: u64 = 2 * VISIT;
const SENT: u64 = 100 * RECORDED;
const RULES: &str = r#"
version = 1
seed    = "0x5eed"

[[rule]]
id    = "slow-tail"
on    = "GET /**"
rate  = "20%"
delay = "1ms..20ms"

[[rule]]
id      = "no-cart"
on      = "GET /api/cart"
rate    = "10% of sessions"
respond = 503

[[rule]]
id    = "torn"
on    = "GET /api/orders"
rate  = "10% of operations"
reset = "before headers"
"#;
