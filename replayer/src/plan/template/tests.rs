use captures::exchange::Request;
use captures::{Body, Headers, Session, SessionId};

use super::*;
use crate::cookies::Jar;
use crate::plan::{self, Plan, Step, Wanted};
use crate::testing::decode_block;

fn exchange(method: &str, target: &str, headers: &[(&str, &str)]) -> Exchange {
    Exchange {
        request: Request {
            method: method.to_owned(),
            authority: "foreign.example.test".to_owned(),
            target: target.to_owned(),
            headers: headers.iter().copied().collect::<Headers>(),
            ..Request::default()
        },
        ..Exchange::default()
    }
}

/// The only step of a plan of one exchange.
fn with_step<T>(exchange: &Exchange, wanted: &Wanted, look: impl FnOnce(Step<'_>) -> T) -> T {
    let session = Session { id: SessionId(0x2a), exchanges: vec![exchange.clone()] };
    look(Plan::build(&[session], wanted).step(0, 0))
}

fn asked(rewrite: &Rewrite, http2: bool) -> Wanted {
    Wanted { rewrite: rewrite.clone(), http2, ..plan::tests::wanted(1.0, 1) }
}

const SENDER: Sender<'_> =
    Sender { seed: 1, run: "0a0b0c0d", session: 0x2a, clone: 3, operation: 255, trace: None };

fn written(exchange: &Exchange, rewrite: &Rewrite) -> String {
    let mut out = Vec::new();
    with_step(exchange, &asked(rewrite, false), |step| step.write_head(&mut out, SENDER, None, 1));
    String::from_utf8(out).expect("test requests are text")
}

const IDENTITY: &str =
    "squall-session: 0a0b0c0d-2a-3\r\nsquall-op: 00000000000000ff\r\nsquall-attempt: 1\r\n\r\n";

fn target() -> Rewrite {
    Rewrite { host: "127.0.0.1:8080".to_owned(), ..Rewrite::default() }
}

#[test]
fn a_plain_request_goes_to_the_target() {
    let recorded = exchange(
        "GET",
        "/a?b=1",
        &[
            ("Host", "foreign.example.test"),
            ("Accept", "*/*"),
            ("Cookie", "a=1;b=2"),
            ("X-Forwarded-For", "1.1.1.1"),
        ],
    );
    let expect = format!(
        "GET /a?b=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: */*\r\nCookie: a=1; b=2\r\n{IDENTITY}"
    );
    assert_eq!(written(&recorded, &target()), expect);
}

#[test]
fn hop_by_hop_and_own_fields_stay_behind() {
    let recorded = exchange(
        "POST",
        "/",
        &[
            ("Connection", "keep-alive, X-Hop"),
            ("X-Hop", "1"),
            ("Transfer-Encoding", "chunked"),
            ("Content-Length", "99"),
            ("Expect", "100-continue"),
            ("Squall-Op", "1"),
            ("Proxy-Authorization", "secret"),
            ("Upgrade", "h2c"),
        ],
    );
    let expect = format!("POST / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Length: 0\r\n{IDENTITY}");
    assert_eq!(written(&recorded, &target()), expect);
}

#[test]
fn no_byte_of_a_recording_ends_a_line() {
    let recorded =
        exchange("GET", "/a b\r\nX: y\u{fc}#frag", &[("X-A", "1\r\nX-B: 2"), ("X C", "3"), ("X-D", "\0")]);
    let expect = format!("GET /a%20b%0D%0AX:%20y%C3%BC HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n{IDENTITY}");
    assert_eq!(written(&recorded, &target()), expect);
}

#[test]
fn foreign_targets_become_paths() {
    let check = |target: &str, expect: &str| {
        let mut out = Vec::new();
        push_target(&mut out, target);
        assert_eq!(String::from_utf8_lossy(&out), expect, "{target}");
    };
    check("http://evil.example.test/x?y", "/x?y");
    check("http://evil.example.test", "/");
    check("http://evil.example.test?q", "/?q");
    check("//evil/x", "//evil/x");
    check("/r?to=http://a/b", "/r?to=http://a/b");
    check("", "/");
    check("x", "/x");
    check("*", "*");
}

#[test]
fn own_fields_replace_recorded_ones_and_keys_are_the_clones_own() {
    let mut recorded = exchange("PUT", "/", &[("X-A", "old"), ("Idempotency-Key", "42"), ("Accept", "b")]);
    recorded.request.body = Body { len: 10, hash: None, data: Some(Bytes::from_static(b"four")) };
    let rewrite =
        Rewrite { keep_host: true, headers: vec![("x-a".to_owned(), "new".to_owned())], ..target() };
    let text = written(&recorded, &rewrite);
    assert!(text.starts_with("PUT / HTTP/1.1\r\nHost: foreign.example.test\r\nIdempotency-Key: "), "{text}");
    assert!(text.contains("\r\nAccept: b\r\nx-a: new\r\nContent-Length: 10\r\n"), "{text}");
    assert!(!text.contains("42\r\n") && !text.contains("old"), "{text}");
    with_step(&recorded, &asked(&rewrite, false), |step| assert_eq!(step.filler(), 6));
}

fn written_h2(exchange: &Exchange, rewrite: &Rewrite, jar: Option<&Jar>) -> Vec<(String, String)> {
    let mut out = Vec::new();
    with_step(exchange, &asked(rewrite, true), |step| step.write_head_h2(&mut out, SENDER, jar, 1));
    decode_block(&out)
}

fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_header_block_says_the_same_in_lower_case() {
    let recorded = exchange(
        "GET",
        "/a?b=1",
        &[
            ("Host", "foreign.example.test"),
            ("Accept", "*/*"),
            ("X-Long", &"y".repeat(300)),
            ("Connection", "keep-alive"),
            ("TE", "trailers"),
            ("Cookie", "a=1;b=2"),
        ],
    );
    let mut jar = Jar::default();
    jar.set(format!("sid={}; Path=/", "t".repeat(200)).as_bytes(), b"/", 0);
    let cookie = format!("a=1; b=2; sid={}", "t".repeat(200));
    let expect = pairs(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "127.0.0.1:8080"),
        (":path", "/a?b=1"),
        ("accept", "*/*"),
        ("x-long", &"y".repeat(300)),
        ("te", "trailers"),
        ("cookie", &cookie),
        ("squall-session", "0a0b0c0d-2a-3"),
        ("squall-op", "00000000000000ff"),
        ("squall-attempt", "1"),
    ]);
    let rewrite = Rewrite { https: true, ..target() };
    assert_eq!(written_h2(&recorded, &rewrite, Some(&jar)), expect);
    with_step(&recorded, &asked(&rewrite, true), |step| assert_eq!(step.path(), b"/a"));
}

#[test]
fn keys_and_lengths_stand_in_a_header_block_too() {
    let uuid = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
    let mut recorded =
        exchange("PUT", "/", &[("Idempotency-Key", uuid), ("X-Request-Id", "7"), ("TE", "gzip")]);
    recorded.request.body = Body::whole(&b"four"[..]);
    let block = written_h2(&recorded, &target(), None);
    let names: Vec<&str> = block.iter().map(|(name, _)| name.as_str()).collect();
    let ours = ["squall-session", "squall-op", "squall-attempt"];
    let head =
        [":method", ":scheme", ":authority", ":path", "idempotency-key", "x-request-id", "content-length"];
    assert_eq!(names, [&head[..], &ours].concat());
    assert_eq!((block[0].1.as_str(), block[1].1.as_str(), block[6].1.as_str()), ("PUT", "http", "4"));
    assert_eq!((block[4].1.len(), block[5].1.len()), (36, 32));
    assert_ne!(block[4].1, uuid);
    let text = written(&recorded, &target());
    assert!(text.contains(&format!("Idempotency-Key: {}\r\n", block[4].1)), "{text}");
}
