//! SIGKILL while recording costs at most the block in flight.

use tempfile::TempDir;

use crate::kit::{eventually, expect_whole, inspect, run_squall, text};
use crate::support::{Proxy, Shop, http};

#[test]
fn what_was_flushed_is_there_and_the_capture_goes_on() {
    let (shop, folder) = (Shop::open(&[]), TempDir::new().unwrap());
    let capture = folder.path().join("capture.zst");
    let record = ["--record", &text(&capture)];
    let mut proxy = Proxy::before(&shop.url(), &record);
    for _ in 0..20 {
        assert_eq!(http::get(proxy.addr(), "/").status, 200);
    }
    // a block closes by its age, with no more traffic; a capture that is being written can be read
    let requests = || inspect(&capture)["requests"].as_u64().unwrap();
    eventually("the block is closed", || (requests() == 20).then_some(()));
    for _ in 0..5 {
        assert_eq!(http::get(proxy.addr(), "/api/products").status, 200);
    }
    proxy.process().signal("KILL");
    assert_eq!(proxy.process().wait().code(), None, "killed by a signal");

    let found = run_squall(&["captures", "verify", &text(&capture)]);
    found.expect_words(1, &[" exchanges in ", "not closed", "squall captures repair"]);
    let kept = requests();
    assert!((20..=25).contains(&kept), "{kept}");
    assert_eq!(inspect(&capture)["closed"], false);
    run_squall(&["captures", "repair", &text(&capture)]).expect(0);
    expect_whole(&capture);
    assert_eq!(requests(), kept);

    let proxy = Proxy::before(&shop.url(), &record);
    for _ in 0..3 {
        assert_eq!(http::get(proxy.addr(), "/").status, 200);
    }
    proxy.expect_delivered(3);
    let (status, said) = proxy.stop();
    assert!(status.success(), "{said}");
    expect_whole(&capture);
    assert_eq!(requests(), kept + 3, "appended to what was there");
}

#[test]
fn other_files_are_never_recorded_over() {
    let (shop, folder) = (Shop::open(&[]), TempDir::new().unwrap());
    let diary = folder.path().join("diary.txt");
    std::fs::write(&diary, "dear diary").unwrap();
    let listen = ["proxy", "--listen", "127.0.0.1:0", "--upstream", &shop.url(), "--record", &text(&diary)];
    run_squall(&listen).expect_words(104, &["diary.txt"]);
    assert_eq!(std::fs::read_to_string(&diary).unwrap(), "dear diary");
}
