//! h2load: many requests on a few connections, all of which must succeed.

use std::process::Command;

use crate::inline::{Certificate, Inline};
use crate::support::Shop;
use crate::tools;

#[test]
fn h2load_over_http_1_1() {
    let Some(h2load) = h2load() else { return };
    let shop = Shop::open(&[]);
    let proxy = Inline::before(&shop.url());
    check(&h2load, &["--h1", "-m", "1"], &proxy.url(), "http/1.1");
    finish(&shop, proxy);
}

#[test]
fn h2load_over_h2c() {
    let Some(h2load) = h2load() else { return };
    let shop = Shop::open(&[]);
    let proxy = Inline::before(&shop.url());
    check(&h2load, &["-m", "16"], &proxy.url(), "h2c");
    finish(&shop, proxy);
}

#[test]
fn h2load_over_h2c_on_both_sides() {
    let Some(h2load) = h2load() else { return };
    let shop = Shop::open(&[]);
    let proxy = Inline::before(&format!("h2c://{}", shop.addr()));
    check(&h2load, &["-m", "16"], &proxy.url(), "h2c");
    finish(&shop, proxy);
}

#[test]
fn h2load_over_http_2_and_tls() {
    let Some(h2load) = h2load() else { return };
    let (shop, tls) = (Shop::open(&[]), Certificate::new());
    let proxy = Inline::with_tls(&shop.url(), &tls);
    check(&h2load, &["-m", "16"], &proxy.url(), "h2");
    finish(&shop, proxy);
}

fn h2load() -> Option<String> {
    tools::program("h2load", "nghttp2-client")
}

#[track_caller]
fn check(h2load: &str, options: &[&str], base: &str, protocol: &str) {
    let mut command = Command::new(h2load);
    command
        .args(["-n", &REQUESTS.to_string(), "-c", "8"])
        .args(options)
        .arg(format!("{base}/api/products/7"));
    let said = tools::run(command);
    let all = format!(
        "requests: {REQUESTS} total, {REQUESTS} started, {REQUESTS} done, {REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout"
    );
    assert!(said.contains(&all), "{said}");
    assert!(said.contains(&format!("status codes: {REQUESTS} 2xx, 0 3xx, 0 4xx, 0 5xx")), "{said}");
    assert!(said.contains(&format!("Application protocol: {protocol}\n")), "{said}");
}

fn finish(shop: &Shop, proxy: Inline) {
    proxy.finish(REQUESTS);
    assert_eq!(shop.requests(), REQUESTS, "the shop's own count");
}

const REQUESTS: u64 = 2000;
