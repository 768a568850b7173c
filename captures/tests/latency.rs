//! How long recorded exchanges took, route by route.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use captures::header::{FileHeader, Options};
use captures::latency::latencies;
use captures::{Exchange, Writer};

#[test]
fn routes_have_their_durations_and_faulted_exchanges_have_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.zst");
    let mut writer = Writer::create(&path, FileHeader::new("test", 1), Options::default()).unwrap();
    let base = common::exchange(1);
    let of = |method: &str, target: &str, us: Option<u64>| {
        let mut exchange = Exchange { duration_us: us, ttfb_us: Some(7), stream: None, ..base.clone() };
        exchange.request.method = method.to_owned();
        exchange.request.target = target.to_owned();
        exchange
    };
    let recorded = [
        of("GET", "/cart/7?x=1", Some(200)),
        of("GET", "/cart/8", Some(200)),
        of("GET", "/cart/9", Some(100)),
        of("POST", "/cart/9", Some(50)),
        of("GET", "/cart/9", None),
        Exchange { faults: vec!["slow".to_owned()], ..of("GET", "/cart/9", Some(9_000_000)) },
        Exchange { stream: Some(common::stream(3)), ..of("GET", "/feed", Some(60_000_000)) },
    ];
    for (n, exchange) in recorded.into_iter().enumerate() {
        let exchange = Exchange { start_us: base.start_us + n as u64, ..exchange };
        writer.push(&exchange, 1).unwrap();
    }
    writer.finish(2).unwrap();
    let found: Vec<_> =
        latencies(&path).unwrap().into_iter().map(|it| (it.method, it.path, it.durations)).collect();
    let route = |method: &str, path: &str, durations: &[(u64, u64)]| {
        (method.to_owned(), path.to_owned(), durations.to_vec())
    };
    assert_eq!(
        found,
        [
            route("GET", "/cart/{id}", &[(100, 1), (200, 2)]),
            route("GET", "/feed", &[(7, 1)]),
            route("POST", "/cart/{id}", &[(50, 1)]),
        ]
    );
    assert!(latencies(folder.path().join("nope.zst")).is_err());
}
