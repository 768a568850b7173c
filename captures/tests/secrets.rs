//! No secret is in any byte of a capture, packed or unpacked, and equal secrets stay equal.

mod common;

use std::fs;

use captures::canary::{self, Canaries};
use captures::exchange::{Request, Response};
use captures::header::Options;
use captures::messages::{Message, MessageKind, Stream, StreamKind};
use captures::{Body, Exchange, Headers, Redactor, SessionId, Writer};

/// A sign-up, a log-in and a purchase, as the demo's shoppers do them.
fn shopping() -> Vec<Exchange> {
    let exchange = |n: u64, target: &str, headers: &[(&str, &str)], body: &str, set_cookie: &str| Exchange {
        session: SessionId(1),
        start_us: n,
        request: Request {
            method: "POST".to_owned(),
            target: target.to_owned(),
            headers: headers.iter().copied().collect::<Headers>(),
            body: Body::whole(body.to_owned()),
            ..Request::default()
        },
        response: Some(Response {
            status: 200,
            headers: [("Set-Cookie", set_cookie)].into_iter().collect(),
            body: Body::whole(format!(
                "{{\"session\":\"{}\"}}",
                set_cookie.split(['=', ';']).nth(1).unwrap_or("")
            )),
        }),
        ..Exchange::default()
    };
    let json = ("Content-Type", "application/json");
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    vec![
        exchange(
            1,
            "/api/signup",
            &[json],
            r#"{"name":"Ann","password":"corr\u0065ct horse"}"#,
            "customer=c-1000042; Path=/",
        ),
        exchange(
            2,
            "/api/login",
            &[form, ("Cookie", "customer=c-1000042")],
            "password=correct+horse",
            "sid=s3ss10n-0f-ann; HttpOnly",
        ),
        exchange(
            3,
            "/api/cart?sid=s3ss10n-0f-ann",
            &[json, ("Cookie", "customer=c-1000042; sid=s3ss10n-0f-ann")],
            r#"{"note":"s3ss10n-0f-ann"}"#,
            "a=b",
        ),
    ]
}

#[test]
fn no_secret_is_in_any_byte_of_a_capture() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    let mut redactor = Redactor::new([9; 32]);
    let mut writer = Writer::create(&path, common::header(), Options::default()).unwrap();
    let mut shopping = shopping();
    for exchange in &mut shopping {
        redactor.exchange(exchange);
        writer.push(exchange, 0).unwrap();
    }
    writer.finish(0).unwrap();
    let packed = fs::read(&path).unwrap();
    let unpacked = zstd::decode_all(&packed[..]).unwrap();
    for bytes in [&packed, &unpacked] {
        for secret in [
            "correct horse",
            "correct+horse",
            "corr\\u0065ct",
            "s3ss10n-0f-ann",
            "c-1000042",
            "\x09\x09\x09\x09",
        ] {
            let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!found, "{secret:?} is in the file");
        }
    }
    let body = |n: usize| String::from_utf8(shopping[n].request.body.data.clone().unwrap().to_vec()).unwrap();
    let signed_up = body(0).split('"').nth(7).unwrap().to_owned();
    assert_eq!(body(1), format!("password={signed_up}"), "the replay logs in with what it signed up with");
    let cookie = shopping[2].request.headers.get_str("cookie").unwrap().to_owned();
    let sid = cookie.split("sid=").nth(1).unwrap();
    assert_eq!(shopping[2].request.target, format!("/api/cart?sid={sid}"));
    assert_eq!(body(2), format!("{{\"note\":\"{sid}\"}}"));
    let set = shopping[1].response.as_ref().unwrap().headers.get_str("set-cookie").unwrap().to_owned();
    assert_eq!(set, format!("sid={sid}; HttpOnly"));
}

/// Keys that nobody was ever given, as a service hands them out.
fn keys() -> Vec<String> {
    let key = |prefix: &str, rest: &str| format!("{prefix}{rest}");
    vec![
        key("sk_live", "_51H8xYzAbCdEfGhIjKlMnOpQ"),
        key("ghp", "_0123456789abcdefghijABCDEFGHIJ012345"),
        key("AKI", "A0123456789ABCDEF"),
        key("xox", "b-0123456789-abcdefghijklmnop"),
        key("", "opaque0/bearer+token=77~x"),
        key("MIIEvQIBADANBgkq", "hkiG9w0BAQEFAASC"),
    ]
}

/// A key in a field whose name says nothing, in a sentence, behind `Bearer`, in the lines of a file, and in a message of gRPC.
fn with_keys(n: u64) -> Exchange {
    let [live, hub, amazon, chat, bearer, private] = &keys()[..] else { panic!("six") };
    let begin = concat!("-----BEGIN ", "PRIVATE KEY-----");
    let pem = format!("{begin}\\n{private}\\n-----END PRIVATE KEY-----\\n");
    let body = format!(
        r#"{{"note":"{live}","said":"use {hub}, or {amazon}.","call":"curl -H 'X: Bearer {bearer}'","file":"{pem}"}}"#
    );
    let message = [&[0x0a, chat.len() as u8], chat.as_bytes(), &[0x12, 3], b"ann"].concat();
    let call = [&[0, 0, 0, 0, message.len() as u8][..], &message].concat();
    let (kind, body) = match n % 2 {
        0 => ("application/json", body.into_bytes()),
        _ => ("application/grpc+proto", call),
    };
    let said = Message {
        at_us: 1,
        from_client: true,
        kind: MessageKind::Framed,
        compressed: false,
        len: message.len() as u64,
        data: Some(message.into()),
    };
    Exchange {
        session: SessionId(1),
        start_us: n,
        request: Request {
            method: "POST".to_owned(),
            target: format!("/notes?q=see+{hub}"),
            headers: [("Content-Type", kind)].into_iter().collect(),
            body: Body::whole(body),
            ..Request::default()
        },
        stream: (n % 2 == 1).then(|| Stream { messages: vec![said], ..Stream::new(StreamKind::Grpc) }),
        ..Exchange::default()
    }
}

#[test]
fn keys_that_show_what_they_are_are_found_by_no_canary() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = dir.path().join("secrets.txt");
    fs::write(&secrets, keys().join("\n")).unwrap();
    let canaries = Canaries::read(&secrets).unwrap();
    let leaks = |name: &str, redacted: bool| {
        let path = dir.path().join(name);
        let mut redactor = Redactor::new([9; 32]);
        let mut writer = Writer::create(&path, common::header(), Options::default()).unwrap();
        for n in 0..4 {
            let mut exchange = with_keys(n);
            if redacted {
                redactor.exchange(&mut exchange);
                assert!(exchange.request.body.data.is_some(), "rewritten, not withheld");
            }
            writer.push(&exchange, 0).unwrap();
        }
        writer.finish(0).unwrap();
        canary::verify(&path, &canaries).unwrap().1.count
    };
    assert!(6 <= leaks("plain.zst", false), "each of them is in it");
    assert_eq!(leaks("redacted.zst", true), 0);
}
