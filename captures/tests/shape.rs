//! The shape of captures whose shape is known.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;

use captures::exchange::{Request, Response};
use captures::header::{FileHeader, Options};
use captures::inspect::{Inspection, inspect};
use captures::{Body, Exchange, SessionId, Writer};

const NOW: u64 = 1_800_000_000_000_000;
const SECOND: u64 = 1_000_000;

/// 100 sessions, one a second: `/`, 2 s later `/item/N`, and in every fourth an image while that is under way, which fails.
fn known() -> Vec<Exchange> {
    let exchange = |session: u64, at: u64, target: &str, status: u16| Exchange {
        session: SessionId(session),
        start_us: NOW + session * SECOND + at,
        duration_us: Some(SECOND / 2),
        request: Request {
            method: "GET".to_owned(),
            target: target.to_owned(),
            body: Body::whole("0123456789"),
            ..Request::default()
        },
        response: (status != 0).then(|| Response {
            status,
            body: Body::digest(990, None),
            ..Response::default()
        }),
        ..Exchange::default()
    };
    let mut exchanges = Vec::new();
    for session in 0..100 {
        exchanges.push(exchange(session, 0, "/", 200));
        exchanges.push(exchange(session, SECOND / 2 + 2 * SECOND, &format!("/item/{session}?x"), 200));
        if session % 4 == 0 {
            let status = if session % 8 == 0 { 404 } else { 0 };
            exchanges.push(exchange(session, SECOND / 2 + 2 * SECOND + 1000, "/image", status));
        }
    }
    exchanges.sort_by_key(|exchange| exchange.start_us);
    exchanges
}

/// In blocks of 30, so that sessions go on in later blocks.
fn inspected(path: &Path, exchanges: &[Exchange]) -> Inspection {
    let mut writer = Writer::create(path, FileHeader::new("test", NOW), Options::default()).unwrap();
    for block in exchanges.chunks(30) {
        block.iter().for_each(|exchange| writer.push(exchange, NOW).unwrap());
        writer.flush(NOW).unwrap();
    }
    writer.finish(NOW).unwrap();
    inspect(path).unwrap()
}

#[test]
fn figures_of_known_traffic() {
    let folder = tempfile::tempdir().unwrap();
    let shape = inspected(&folder.path().join("c.zst"), &known()).shape;
    let lengths = shape.session_requests.unwrap();
    assert_eq!((lengths.count, lengths.p50, lengths.p90, lengths.max, lengths.mean), (100, 2, 3, 3, 2.25));
    let think = shape.think_us.unwrap();
    assert_eq!((think.count, think.max, think.mean, shape.overlapping), (100, 2 * SECOND, 2e6, 25));
    let lasting = shape.session_duration_us.unwrap();
    assert_eq!(lasting.max, 3 * SECOND + 1000);
    let routes: Vec<(&str, u64, f64)> =
        shape.routes.iter().map(|route| (route.name.as_str(), route.requests, route.share)).collect();
    assert_eq!(routes, [("GET /", 100, 0.4444), ("GET /item/{id}", 100, 0.4444), ("GET /image", 25, 0.1111)]);
    let image = &shape.routes[2];
    assert_eq!((image.statuses.get(&404), image.unanswered), (Some(&13), 12));
    let transitions: Vec<(&str, &str, u64, f64)> = shape
        .transitions
        .iter()
        .map(|at| (at.from.as_str(), at.to.as_str(), at.count, at.probability))
        .collect();
    let expected = [
        ("(start)", "GET /", 100, 1.0),
        ("GET /", "GET /item/{id}", 100, 1.0),
        ("GET /item/{id}", "(end)", 75, 0.75),
        ("GET /item/{id}", "GET /image", 25, 0.25),
        ("GET /image", "(end)", 25, 1.0),
    ];
    for transition in expected {
        assert!(transitions.contains(&transition), "{transition:?} in {transitions:?}");
    }
    assert_eq!(transitions.len(), expected.len());
    // `GET / HTTP/1.1` with its line ends is 18 bytes, the body 10
    assert_eq!(shape.routes[0].mean_request_bytes, 29.0);
    assert_eq!(shape.response_bytes.unwrap().count, 213);
    let rate = shape.rate.unwrap();
    assert!((rate.mean_per_s - 225.0 / 101.5).abs() < 0.02 && rate.peak_per_s == 3.0, "{rate:?}");
    let arrivals = shape.arrivals.unwrap();
    assert_eq!((arrivals.requests.iter().sum::<u64>(), arrivals.sessions.iter().sum::<u64>()), (225, 100));
    let a_second = shape.dispersion.iter().find(|at| at.window_us == SECOND).unwrap();
    assert_eq!(a_second.sessions, Some(0.0), "one a second is a beat");
}

#[test]
fn names_of_the_json_are_stable() {
    let folder = tempfile::tempdir().unwrap();
    let json = serde_json::to_value(inspected(&folder.path().join("c.zst"), &known())).unwrap();
    for pointer in [
        "/sessions",
        "/requests",
        "/span_us",
        "/first",
        "/last",
        "/blocks",
        "/damaged_blocks",
        "/shed",
        "/bytes",
        "/bytes_per_request",
        "/faulted",
        "/unanswered",
        "/statuses/200",
        "/hosts/0/name",
        "/protocols",
        "/streams",
        "/duration_us/p99",
        "/closed",
        "/damage",
        "/header/source",
        "/routes/0/name",
        "/routes/0/requests",
        "/routes/0/share",
        "/routes/0/statuses/200",
        "/routes/0/unanswered",
        "/routes/0/mean_request_bytes",
        "/routes/0/mean_response_bytes",
        "/session_requests/p50",
        "/session_duration_us/p90",
        "/think_us/p99",
        "/request_bytes/max",
        "/response_bytes/mean",
        "/overlapping",
        "/rate/mean_per_s",
        "/rate/peak_per_s",
        "/rate/peak_window_us",
        "/rate/peak_at_us",
        "/arrivals/from",
        "/arrivals/mark_us",
        "/arrivals/requests/0",
        "/arrivals/sessions/0",
        "/dispersion/0/window_us",
        "/dispersion/0/requests",
        "/dispersion/0/sessions",
        "/transitions/0/from",
        "/transitions/0/to",
        "/transitions/0/count",
        "/transitions/0/probability",
        "/split_sessions",
    ] {
        assert!(json.pointer(pointer).is_some(), "{pointer} is missing");
    }
}

#[test]
fn nothing_has_no_shape() {
    let folder = tempfile::tempdir().unwrap();
    let shape = inspected(&folder.path().join("c.zst"), &[]).shape;
    assert!(shape.routes.is_empty() && shape.transitions.is_empty() && shape.dispersion.is_empty());
    assert!(shape.rate.is_none() && shape.arrivals.is_none() && shape.session_requests.is_none());
}
