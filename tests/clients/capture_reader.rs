//! A reader of captures in another language, written from `captures/FORMAT.md` alone, finds what `squall captures cat`
//! prints.

use std::path::{Path, PathBuf};
use std::process::Command;

use captures::exchange::{Protocol, Request, Response};
use captures::header::{FileHeader, Options};
use captures::messages::{Message, MessageKind, Stream, StreamKind};
use captures::notes::Notes;
use captures::{Body, Exchange, Headers, SessionId, Writer};
use serde_json::Value;

use crate::support::squall;
use crate::tools;

/// Random digits that are the same in every run.
fn digits(n: u64) -> String {
    let mut x = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    format!("{:016x}{:016x}", x ^ (x >> 31), x.wrapping_mul(0x94d0_49bb_1331_11eb))
}

fn headers(n: u64) -> Headers {
    let session = n % 7;
    let mut headers = Headers::new();
    headers.push("Host", "shop.test");
    headers.push("traceparent", format!("00-{}-{}-01", digits(n), &digits(n + 1000)[..16]));
    headers.push("Cookie", format!("sid={}; seen={}", digits(session + 5000).to_uppercase(), n % 3));
    headers.push("Cookie", format!("visit={}", 1_700_000_000 + n));
    headers.push("X-Token", format!("aB3dE5gH7-jK9mN1pQ_{}x", digits(session + 6000)));
    let claims = base64(&format!(
        r#"{{"sub":"{session}","jti":"{}","iat":{}}}"#,
        digits(session + 7000),
        1_700_000_000 + session
    ));
    headers.push("Authorization", format!("Bearer eyJhbGciOiJIUzI1NiJ9.{claims}.aB3dE5gH7jK9mN1pQ3sT5uV7"));
    if n.is_multiple_of(4) {
        headers.push("X-Bytes", [0xff, n as u8, b'a']);
        headers.push("", "");
    }
    headers
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

fn exchange(n: u64) -> Exchange {
    let uuid = |n: u64| {
        let hex = digits(n);
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    };
    let order = uuid(8000 + n % 7);
    let body = match n % 5 {
        0 => Body::default(),
        1 => Body::whole(format!(
            r#"{{"order":"{order}","at":"2023-11-14T22:13:{:02}.{:03}Z","n":{n}}}"#,
            n % 60,
            n
        )),
        2 => Body::whole(vec![n as u8; 20]),
        3 => Body { len: 900 + n, hash: Some(n), data: Some(format!("part {n}").into()) },
        _ => Body::digest(n, Some(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
    };
    let response = Response {
        status: 200 + (n % 3) as u16,
        headers: [("content-type", "text/html".to_owned()), ("location", format!("/orders/{order}"))]
            .into_iter()
            .collect(),
        body: body.clone(),
    };
    let target = match n % 6 {
        0 => format!("/orders/{order}"),
        1 => format!("/products/{}?page={}&t={}", n * 37, n % 4, 1_700_000_000_000 + n),
        2 => "/".to_owned(),
        3 => format!("/päge/{n}"),
        _ => format!("/list?after={}", 1_000_000 + n),
    };
    Exchange {
        session: SessionId((n % 7).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        connection: (!n.is_multiple_of(3)).then_some(n / 3),
        edge: "default".to_owned(),
        start_us: 1_700_000_000_000_000 + n * 1_234,
        protocol: [Protocol::Http10, Protocol::Http11, Protocol::Http2, Protocol::Http3][n as usize % 4],
        request: Request {
            method: if n.is_multiple_of(5) { "GET" } else { "POST" }.to_owned(),
            scheme: "http".to_owned(),
            authority: "shop.test".to_owned(),
            target,
            headers: headers(n),
            body,
        },
        response: (n % 9 != 8).then_some(response),
        ttfb_us: (n % 4 != 1).then_some(n * 10),
        duration_us: (n % 5 != 1).then_some(n * 9 + 40),
        faults: if n.is_multiple_of(13) { vec!["slow".to_owned(), "reset".to_owned()] } else { Vec::new() },
        notes: if n.is_multiple_of(8) { Notes::COARSE_TIME.with(Notes::LOSSY) } else { Notes::NONE },
        stream: (n % 10 == 7).then(|| stream(n, StreamKind::WebSocket)),
    }
}

fn stream(n: u64, kind: StreamKind) -> Stream {
    let message = |at_us, from_client, kind, data: Option<String>| Message {
        at_us,
        from_client,
        kind,
        compressed: !from_client,
        len: data.as_ref().map_or(n, |data| data.len() as u64),
        data: data.map(Into::into),
    };
    Stream {
        kind,
        truncated: n % 3,
        messages: vec![
            message(n, true, MessageKind::Text, Some(format!("subscribe {}", digits(n % 7 + 6000)))),
            message(n + 9, false, MessageKind::Binary, None),
            message(n + 8, true, MessageKind::Close, Some(String::new())),
        ],
    }
}

/// A gRPC call, whose messages stand in its body.
fn call() -> Exchange {
    let mut exchange = exchange(5);
    exchange.request.body = Body::whole(&b"\0\0\0\0\x02ab\0\0\0\0\x03cde"[..]);
    let mut stream = Stream::new(StreamKind::Grpc);
    for (len, from_client) in [(2, true), (7, false), (3, true)] {
        let kind = MessageKind::Framed;
        stream.messages.push(Message { at_us: len, from_client, kind, compressed: false, len, data: None });
    }
    stream.fill_from_body(&exchange.request.body);
    Exchange { stream: Some(stream), ..exchange }
}

fn write(path: &Path) {
    let mut writer = Writer::create(path, FileHeader::new("test", 1), Options::default()).unwrap();
    for n in 0..400 {
        writer.push(&exchange(n), 0).unwrap();
        if n % 150 == 149 {
            writer.push(&call(), 0).unwrap();
            writer.flush(0).unwrap();
        }
    }
    writer.shed("queue", 3);
    writer.finish(0).unwrap();
}

/// A capture that is small enough for context mixing when it is compacted, with text that has lines of its own.
fn write_few(path: &Path) {
    let mut writer = Writer::create(path, FileHeader::new("test", 1), Options::default()).unwrap();
    for n in 0..11 {
        writer.push(&exchange(n), 0).unwrap();
    }
    let mut lines = exchange(11);
    lines.request.body = Body::whole("of two\nlines\n");
    writer.push(&lines, 0).unwrap();
    writer.finish(0).unwrap();
}

/// Each line as JSON, without the time in words, which says what `start_us` says.
fn lines(text: &str) -> Vec<Value> {
    let without_time = |line: &str| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("time");
        value
    };
    text.lines().map(without_time).collect()
}

#[test]
fn a_reader_written_from_the_page_finds_every_exchange() {
    let Some(python) = tools::python("zstandard, xxhash", "python3-zstandard python3-xxhash") else { return };
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/tests/read_capture.py");
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    write(&path("capture.zst"));
    for (name, flags) in [("compacted.zst", None), ("generated.zst", Some("--generators"))] {
        let arguments = ["captures", "compact", "--level", "4", "-o"];
        let mut compact = squall(&arguments);
        compact.arg(path(name)).arg(path("capture.zst")).args(flags);
        tools::run(compact);
    }
    write_few(&path("few.zst"));
    let mut compact = squall(&["captures", "compact", "-o"]);
    compact.arg(path("small.zst")).arg(path("few.zst"));
    tools::run(compact);
    let files: Vec<PathBuf> = ["capture.zst", "compacted.zst", "generated.zst", "small.zst"].map(path).into();
    for (file, n) in files.iter().zip([402, 402, 402, 12]) {
        let mut cat = squall(&["captures", "cat"]);
        cat.arg(file);
        let expected = lines(&tools::run(cat));
        assert_eq!(expected.len(), n);
        let mut read = Command::new(&python);
        read.arg(&reader).arg(file);
        let found = lines(&tools::run(read));
        for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "exchange {at} of {}", file.display());
        }
        assert_eq!(found.len(), expected.len());
    }
    let cookies = |file: &PathBuf| std::fs::read(file).unwrap().len();
    assert!(cookies(&files[2]) < cookies(&files[1]), "nothing was left out");
}
