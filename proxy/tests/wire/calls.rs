//! Faults on gRPC calls: what a client of gRPC makes of each, down to the frame that carries the status.

use std::time::{Duration, Instant};

use ::h2::Reason;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::harness::h2::{Respond, block_on, finish};
use crate::harness::proxy::ms;
use crate::harness::{H2Client, H2Origin, Proxy, Way};
use crate::shapes::rule;

pub(crate) fn message(text: &[u8]) -> Vec<u8> {
    [&[0], u32::try_from(text.len()).expect("short").to_be_bytes().as_slice(), text].concat()
}

pub(crate) fn status(code: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static(code))])
}

/// A server of gRPC. `/refused`: a status in a header that is all of the answer; else every message comes back as five, with
/// a status behind them.
pub(crate) fn server() -> H2Origin {
    H2Origin::start(|request, mut respond| async move {
        if request.uri().path().ends_with("/refused") {
            return refuse(&mut respond);
        }
        let header = http::Response::builder().header("content-type", "application/grpc").body(());
        let Ok(mut stream) = respond.send_response(header.expect("a header"), false) else { return };
        let mut body = request.into_body();
        let mut asked = Vec::new();
        while let Some(Ok(bytes)) = body.data().await {
            let _ = body.flow_control().release_capacity(bytes.len());
            asked.extend_from_slice(&bytes);
            while asked.len() >= message(b"hello").len() {
                let rest = asked.split_off(message(b"hello").len());
                let answer = Bytes::from(std::mem::replace(&mut asked, rest));
                if (0..5).any(|_| stream.send_data(answer.clone(), false).is_err()) {
                    return;
                }
            }
        }
        let _ = stream.send_trailers(status("0"));
    })
}

/// "Trailers-Only", as servers of gRPC refuse a call.
fn refuse(respond: &mut Respond) {
    let header = http::Response::builder().header("content-type", "application/grpc");
    let header = header.header("grpc-status", "9").header("grpc-message", "as asked").body(());
    let _ = respond.send_response(header.expect("a header"), true);
}

fn before(server: &H2Origin, rules: &str) -> [(Proxy, Way); 2] {
    let plan = || Proxy::before_url(&format!("h2c://{}", server.addr)).rules(rules);
    [(plan().start(), Way::Http2), (plan().tls().start(), Way::Http2Tls)]
}

/// The header of an answer, and whether its frame says that nothing follows.
pub(crate) async fn header(client: &H2Client, path: &str) -> (HeaderMap, bool) {
    let request = client.request("POST", path).header("content-type", "application/grpc");
    let (response, mut stream) = client.start(request.header("te", "trailers"), false).await;
    stream.send_data(message(b"hello").into(), true).expect("taken");
    let (parts, body) = response.await.expect("a header").into_parts();
    (parts.headers, body.is_end_stream())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A status counts only in the frame that ends the stream: behind it in an empty DATA frame, a client of gRPC sees an answer
/// without a status, and says UNKNOWN.
#[test]
fn an_injected_status_ends_the_stream_with_its_header() {
    let server = server();
    for fault in [
        "respond = { grpc_status = \"UNAVAILABLE\", grpc_message = \"try again\" }",
        "drop_response = { respond = { grpc_status = \"UNAVAILABLE\", grpc_message = \"try again\" } }",
    ] {
        for (proxy, way) in before(&server, &rule(fault)) {
            block_on(async {
                let client = way.h2(&proxy).await;
                for path in ["/f/call", "/f/refused"] {
                    let (headers, is_all) = header(&client, path).await;
                    assert_eq!(
                        (text(&headers, "grpc-status"), text(&headers, "grpc-message"), is_all),
                        (Some("14"), Some("try again"), true),
                        "{way:?} {path} {fault}"
                    );
                    assert_eq!(text(&headers, "squall-fault"), Some("f"));
                }
            });
            proxy.books();
            assert_eq!(proxy.rule_books("f")["applied"], 2);
        }
    }
}

/// Faults behind the header of an answer that has nothing there.
const BEHIND: [&str; 11] = [
    "throttle = \"1KB/s\"",
    "stall = \"1h after headers\"",
    "stall = \"1h after 2 events\"",
    "stall = \"1h after 5 B, then reset\"",
    "loss = { rate = \"100%\", rto = \"1h\", max_rto = \"1h\" }",
    "corrupt = \"bitflip per 1 B\"",
    "truncate = \"5 B\"",
    "reset = \"after 5 B\"",
    "reset = \"after 1 events\"",
    "reset = \"after 1h\"",
    "delay = \"1h at first_byte\"",
];

#[test]
fn a_refused_call_passes_faults_of_the_body_as_it_is() {
    let server = server();
    for fault in BEHIND {
        for (proxy, way) in before(&server, &rule(fault)) {
            block_on(async {
                let client = way.h2(&proxy).await;
                let (headers, is_all) = header(&client, "/f/refused").await;
                assert_eq!(
                    (text(&headers, "grpc-status"), text(&headers, "grpc-message"), is_all),
                    (Some("9"), Some("as asked"), true),
                    "{way:?} {fault}"
                );
            });
            assert_eq!(proxy.books()["edges"][0]["delivered"], 1, "{fault}");
            assert_eq!(proxy.rule_books("f")["suppressed"]["no_such_point"], 1, "{fault}");
        }
    }
}

#[test]
fn a_refused_call_is_torn_behind_its_header() {
    let server = server();
    for (fault, reset) in [
        ("reset = { at = \"after headers\", code = \"REFUSED_STREAM\" }", Some(Reason::REFUSED_STREAM)),
        ("truncate = \"headers\"", None),
    ] {
        for (proxy, way) in before(&server, &rule(fault)) {
            block_on(async {
                let client = way.h2(&proxy).await;
                let request = client.request("POST", "/f/refused").header("content-type", "application/grpc");
                let seen = client.send(request, message(b"hello")).await;
                assert_eq!((seen.status, seen.reset, seen.trailers), (200, reset, None), "{way:?} {fault}");
            });
            assert_eq!(proxy.books()["edges"][0]["cut"]["f"], 1, "{fault}");
        }
    }
}

/// What a client sees of a call.
struct Call {
    /// 0: no header came.
    status: u16,
    grpc: Option<String>,
    body: Vec<u8>,
    reset: Option<Reason>,
    took: Duration,
}

async fn call(client: &H2Client) -> Call {
    let begun = Instant::now();
    let request = client.request("POST", "/f/call").header("content-type", "application/grpc");
    let (response, mut stream) = client.start(request.header("te", "trailers"), false).await;
    let _ = stream.send_data(message(b"hello").into(), true);
    let seen = finish(response).await;
    let of = seen.trailers.as_ref().unwrap_or(&seen.headers);
    let grpc = text(of, "grpc-status").map(ToOwned::to_owned);
    Call { status: seen.status, grpc, body: seen.body, reset: seen.reset, took: begun.elapsed() }
}

/// Each fault, the header's status, the gRPC status, how many of the five messages, the code of RST_STREAM, how long at least.
type Expected = (&'static str, u16, Option<&'static str>, usize, Option<Reason>, u64);

const EACH: [Expected; 21] = [
    ("delay = \"50ms\"", 200, Some("0"), 5, None, 50),
    ("delay = \"50ms at response\"", 200, Some("0"), 5, None, 50),
    ("delay = \"at least 50ms at first_byte\"", 200, Some("0"), 5, None, 50),
    ("respond = 503", 503, None, 0, None, 0),
    ("respond = { grpc_status = 8 }", 200, Some("8"), 0, None, 0),
    (
        "rate_limit = { rate = \"1/1h\", burst = 1 }\n[[rule]]\nid = \"g\"\nrespond = 429",
        429,
        None,
        0,
        None,
        0,
    ),
    ("reset = { at = \"before headers\", code = \"CANCEL\" }", 0, None, 0, Some(Reason::CANCEL), 0),
    ("reset = \"after headers\"", 200, None, 0, Some(Reason::INTERNAL_ERROR), 0),
    ("reset = \"after 3 events\"", 200, None, 3, Some(Reason::INTERNAL_ERROR), 0),
    ("blackhole = \"50ms, then reset\"", 0, None, 0, Some(Reason::INTERNAL_ERROR), 50),
    ("blackhole = \"50ms, then close\"", 0, None, 0, Some(Reason::CANCEL), 50),
    ("truncate = \"20 B\"", 200, None, 2, None, 0),
    ("throttle = { response = \"1KB/s\", piece = \"10 B\" }", 200, Some("0"), 5, None, 30),
    ("throttle = { request = \"200B/s\" }", 200, Some("0"), 5, None, 0),
    ("stall = \"50ms after 2 events\"", 200, Some("0"), 5, None, 50),
    ("stall = \"50ms after 2 events, then reset\"", 200, None, 2, Some(Reason::INTERNAL_ERROR), 50),
    ("loss = { rate = \"100%\", rto = \"25ms\", max_rto = \"25ms\" }", 200, Some("0"), 5, None, 50),
    ("drop_response = \"reset\"", 0, None, 0, Some(Reason::INTERNAL_ERROR), 0),
    ("drop_response = { respond = 503 }", 503, None, 0, None, 0),
    ("duplicate = 2", 200, Some("0"), 5, None, 0),
    ("goaway = \"graceful\"", 200, Some("0"), 5, None, 0),
];

#[test]
fn each_fault_is_what_its_client_sees() {
    let server = server();
    for (fault, header, grpc, messages, reset, least) in EACH {
        for (proxy, way) in before(&server, &rule(fault)) {
            block_on(async {
                let seen = call(&way.h2(&proxy).await).await;
                assert_eq!(
                    (seen.status, seen.grpc.as_deref(), seen.reset),
                    (header, grpc, reset),
                    "{way:?} {fault}"
                );
                assert_eq!(seen.body, message(b"hello").repeat(messages), "{way:?} {fault}");
                assert!(ms(least) <= seen.took, "{way:?} {fault}: {:?}", seen.took);
            });
            let copies = if fault.starts_with("duplicate") { 2 } else { 0 };
            let books = proxy.books();
            assert_eq!(books["edges"][0]["storm_copies"]["f"].as_u64().unwrap_or(0), copies);
        }
    }
}

#[test]
fn a_message_is_corrupted_and_its_status_is_not() {
    let server = server();
    for (proxy, way) in before(&server, &rule("corrupt = \"zero per 5 B\"")) {
        block_on(async {
            let seen = call(&way.h2(&proxy).await).await;
            let sent = message(b"hello").repeat(5);
            assert_eq!((seen.status, seen.grpc.as_deref(), seen.body.len()), (200, Some("0"), sent.len()));
            assert_ne!(seen.body, sent, "{way:?}");
        });
        proxy.books();
    }
}

#[test]
fn a_group_that_is_dark_and_what_fails_set_off_for_calls_too() {
    let server = server();
    let dark = |how: &str| {
        format!(
            "[group.g]\nmembers = [\"{}\"]\n[[rule]]\nid = \"f\"\non = \"/f/** group g\"\noutage = \"{how}\"\n",
            server.addr
        )
    };
    for (rules, header, reset) in
        [(dark("refuse"), 502, None), (dark("reset"), 0, Some(Reason::INTERNAL_ERROR))]
    {
        for (proxy, way) in before(&server, &rules) {
            let seen = block_on(async { call(&way.h2(&proxy).await).await });
            assert_eq!((seen.status, seen.reset, seen.body.len()), (header, reset, 0), "{way:?}");
            proxy.books();
        }
    }
    assert_eq!(server.count(), 0, "nobody was asked");
    let storm = "storm = { when = [\"slower than 1us\"], copies = 3, max_amplification = 4.0 }";
    for (proxy, way) in before(&server, &rule(storm)) {
        let seen = block_on(async { call(&way.h2(&proxy).await).await });
        assert_eq!((seen.status, seen.grpc.as_deref()), (200, Some("0")), "{way:?}");
        assert_eq!(proxy.books()["edges"][0]["storm_copies"]["f"], 3);
    }
    assert_eq!(server.count(), 8);
}
