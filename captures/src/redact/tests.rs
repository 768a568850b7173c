//! Redaction, seen from outside: what was secret is gone from every byte, and what belongs together still does.

use super::*;
use crate::exchange::{Request, Response};
use crate::notes::Notes;
use crate::{Body, Headers};

const SECRET: &str = "hunter2 &/\"ü";

fn redact(exchange: &mut Exchange) {
    Redactor::new([7; 32]).exchange(exchange);
}

fn request(headers: &[(&str, &str)], target: &str, body: &[u8]) -> Exchange {
    let headers: Headers = headers.iter().copied().collect();
    let request = Request {
        target: target.to_owned(),
        headers,
        body: Body::whole(body.to_vec()),
        ..Request::default()
    };
    Exchange { request, ..Exchange::default() }
}

fn pseudonym(secret: &str) -> String {
    Key::new([7; 32]).text(secret.as_bytes())
}

#[track_caller]
fn check_header(name: &str, before: &str, after: &str) {
    let mut exchange = request(&[(name, before)], "/", b"");
    redact(&mut exchange);
    assert_eq!(exchange.request.headers.get_str(name), Some(after));
    let once = exchange.clone();
    redact(&mut exchange);
    assert_eq!(exchange, once, "redacting again changes nothing");
}

#[track_caller]
fn check_body(content_type: &str, before: &str, after: &str) {
    let mut exchange = request(&[("content-type", content_type)], "/", before.as_bytes());
    redact(&mut exchange);
    let data = exchange.request.body.data.clone().unwrap();
    assert_eq!(std::str::from_utf8(&data).unwrap(), after);
    assert_eq!(exchange.request.body, Body::whole(data));
    let once = exchange.clone();
    redact(&mut exchange);
    assert_eq!(exchange, once, "redacting again changes nothing");
}

#[test]
fn pages_hide_what_their_forms_send_back() {
    let page = |csrf: &str, meta: &str| {
        format!(
            "<meta content='{meta}' name=csrf-token><input name=\"authenticity_token\" value=\"{csrf}\">\
             <input name=page value=2><p data-n=1>"
        )
    };
    let (csrf, meta) = (pseudonym("a&b-12345"), pseudonym("meta-12345"));
    check_body("text/html; charset=utf-8", &page("a&amp;b-12345", "meta-12345"), &page(&csrf, &meta));
    check_body("text/html", "<p>no secret", "<p>no secret");
}

#[test]
fn credentials_keep_their_scheme() {
    check_header("Authorization", "Bearer abc", &format!("Bearer {}", pseudonym("abc")));
    let pair = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        format!("{}:{}", pseudonym("u"), pseudonym("p")),
    );
    check_header("Proxy-Authorization", "Basic  dTpw", &format!("Basic  {pair}"));
    check_header("Authorization", "Basic no/pair", &format!("Basic {}", pseudonym("no/pair")));
    check_header("authorization", "my own words", &pseudonym("my own words"));
    check_header("Authorization", "Bearer", &pseudonym("Bearer"));
    check_header("X-API-Key", "k1", &pseudonym("k1"));
    check_header("X-Csrf-Token", "t", &pseudonym("t"));
    check_header("X-Plain", "plain", "plain");
}

#[test]
fn cookies_keep_names_and_attributes() {
    check_header(
        "Cookie",
        "a=1; b=\"2\";c=; d",
        &format!("a={}; b=\"{}\";c=; {}", pseudonym("1"), pseudonym("2"), pseudonym("d")),
    );
    check_header(
        "Set-Cookie",
        "sid=x=y; Path=/; HttpOnly",
        &format!("sid={}; Path=/; HttpOnly", pseudonym("x=y")),
    );
    check_header("Set-Cookie", "gone=; Max-Age=0", "gone=; Max-Age=0");
}

#[test]
fn urls_lose_passwords_and_tokens() {
    let p = pseudonym("s3cret!");
    check_header(
        "Referer",
        "https://a.test/x?token=s3cret%21&b=1#access_token=s3cret!",
        &format!("https://a.test/x?token={p}&b=1#access_token={p}"),
    );
    check_header("Location", "https://me:s3cret%21@a.test/?b=1", &format!("https://me:{p}@a.test/?b=1"));
    check_header(
        "Link",
        "<https://a.test/?api_key=s3cret!>; rel=next",
        &format!("<https://a.test/?api_key={p}>; rel=next"),
    );
    let mut exchange = request(&[], "/x;jsessionid=s3cret!?password=s3cret%21&max_tokens=5", b"");
    exchange.request.authority = "s3cret!@a.test".to_owned();
    redact(&mut exchange);
    assert_eq!(exchange.request.target, format!("/x;jsessionid={p}?password={p}&max_tokens=5"));
    assert_eq!(exchange.request.authority, format!("{p}@a.test"));
}

#[test]
fn json_keeps_its_shape_and_types() {
    let p = pseudonym("x");
    let n = Key::new([7; 32]).number(b"1234");
    check_body(
        "application/json",
        "{ \"user\": \"a\", \"password\" : \"x\", \"in\":[{\"apiKey\":\"\\u0078\",\"pin\":1234}], \"secret\":{\"a\":[\"x\",true,null]}}",
        &format!(
            "{{ \"user\": \"a\", \"password\" : \"{p}\", \"in\":[{{\"apiKey\":\"{p}\",\"pin\":{n}}}], \"secret\":{{\"a\":[\"{p}\",false,null]}}}}"
        ),
    );
    check_body(
        "application/json",
        "{\"name\":\"password\",\"value\":\"x\"}",
        &format!("{{\"name\":\"password\",\"value\":\"{p}\"}}"),
    );
    check_body(
        "application/json",
        "{\"max_tokens\":5,\"token_type\":\"x\"}",
        "{\"max_tokens\":5,\"token_type\":\"x\"}",
    );
    check_body("text/plain", "{\"token\":\"x", &format!("{{\"token\":\"{p}"));
    check_body(
        "application/json",
        r#"{"body":"{\"password\":\"x\"}"}"#,
        &format!(r#"{{"body":"{{\"password\":\"{p}\"}}"}}"#),
    );
    let login = |value: &str| format!(r#"{{"query":"mutation {{ login(password: \"{value}\", u: 1) }}"}}"#);
    check_body("application/json", &login("x"), &login(&p));
}

#[test]
fn forms_of_all_kinds() {
    let p = pseudonym("x y");
    check_body(
        "application/x-www-form-urlencoded",
        "user=a&password=x+y&new_password=x%20y&c=",
        &format!("user=a&password={p}&new_password={p}&c="),
    );
    check_body("", "password=x%20y", &format!("password={p}"));
    let multipart = |value: &str| {
        format!(
            "--B\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\n{value}\r\n--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B--\r\n"
        )
    };
    check_body("multipart/form-data; boundary=B", &multipart("x y"), &multipart(&p));
    check_body(
        "text/xml",
        "<a:Password Type=\"t\">x y</a:Password>",
        &format!("<a:Password Type=\"t\">{p}</a:Password>"),
    );
    check_body("text/plain", "user: a\npassword: xy\n", &format!("user: a\npassword: {}\n", pseudonym("xy")));
    let (bearer, key) = (pseudonym("abc-123"), pseudonym("no-scheme"));
    check_body(
        "text/plain",
        "Authorization: Bearer abc-123\nauth: no-scheme\n",
        &format!("Authorization: Bearer {bearer}\nauth: {key}\n"),
    );
}

#[test]
fn compressed_bodies_are_looked_into_or_withheld() {
    let plain = b"{\"password\":\"hunter2-hunter2\"}";
    for coding in ["gzip", "deflate", "zstd", "br"] {
        let packed = if coding == "br" { plain.to_vec() } else { bodies_encode(coding, plain) };
        let len = packed.len().to_string();
        let mut exchange = request(&[("Content-Encoding", coding), ("Content-Length", &len)], "/", &packed);
        redact(&mut exchange);
        let body = &exchange.request.body;
        match coding {
            "br" => assert!(body.data.is_none() && exchange.notes.contains(Notes::BODY_WITHHELD)),
            _ => {
                let shown = bodies_decode(coding, body.data.as_ref().unwrap());
                assert!(!shown.contains("hunter2") && shown.contains("squall_"), "{shown}");
                let length = exchange.request.headers.get_str("content-length").unwrap();
                assert_eq!(length, body.len.to_string());
            }
        }
    }
}

fn bodies_encode(coding: &str, plain: &[u8]) -> Vec<u8> {
    let mut body = Body::whole(plain.to_vec());
    let packed = match coding {
        "zstd" => zstd::encode_all(plain, 1).unwrap(),
        "deflate" => {
            let mut out = Vec::new();
            std::io::Read::read_to_end(
                &mut flate2::read::ZlibEncoder::new(plain, flate2::Compression::fast()),
                &mut out,
            )
            .unwrap();
            out
        }
        _ => {
            let mut out = Vec::new();
            std::io::Read::read_to_end(
                &mut flate2::read::GzEncoder::new(plain, flate2::Compression::fast()),
                &mut out,
            )
            .unwrap();
            out
        }
    };
    body.data = Some(packed.clone().into());
    packed
}

fn bodies_decode(coding: &str, packed: &[u8]) -> String {
    let mut out = String::new();
    let mut reader: Box<dyn std::io::Read> = match coding {
        "zstd" => Box::new(zstd::Decoder::new(packed).unwrap()),
        "deflate" => Box::new(flate2::read::ZlibDecoder::new(packed)),
        _ => Box::new(flate2::read::GzDecoder::new(packed)),
    };
    reader.read_to_string(&mut out).unwrap();
    out
}

/// The secret in every place and encoding at once: none of them may be left.
#[test]
fn no_encoding_of_a_secret_is_left_anywhere() {
    let json = serde_json::to_string(SECRET).unwrap();
    let percent = String::from_utf8(forms::percent_encode(SECRET.as_bytes())).unwrap();
    let form = percent.replace("%20", "+");
    let mut exchange = request(
        &[("X-Echo", &percent), ("Referer", &format!("http://a.test/?q={form}"))],
        &format!("/login?again={percent}"),
        format!("{{\"password\":{json},\"echo\":\"so {}\"}}", &json[1..json.len() - 1]).as_bytes(),
    );
    exchange.response = Some(Response {
        status: 200,
        headers: [("Set-Cookie", "sid=0123456789abcdef")].into_iter().collect(),
        body: Body::whole(format!("you typed {SECRET} and your session is 0123456789abcdef")),
    });
    let mut redactor = Redactor::new([7; 32]);
    redactor.exchange(&mut exchange);
    let mut later =
        request(&[("X-Session", "0123456789abcdef")], "/s/0123456789abcdef", b"{\"s\":\"0123456789abcdef\"}");
    redactor.exchange(&mut later);
    for exchange in [exchange, later] {
        let bytes = [
            exchange.request.target.as_bytes(),
            format!("{:?}", exchange.request.headers).as_bytes(),
            exchange.request.body.data.as_deref().unwrap_or_default(),
            exchange.response.as_ref().and_then(|response| response.body.data.as_deref()).unwrap_or_default(),
        ]
        .concat();
        let text = String::from_utf8_lossy(&bytes);
        for form in [SECRET, &json[1..json.len() - 1], &percent, &form, "hunter2", "0123456789abcdef"] {
            assert!(!text.contains(form), "{form} is left in {text}");
        }
    }
}

#[test]
fn words_in_cookies_are_no_secrets_elsewhere() {
    let mut exchange =
        request(&[("Cookie", "theme=dark-mode; n=12345678")], "/?theme=dark-mode&n=12345678", b"dark-mode");
    redact(&mut exchange);
    assert_eq!(exchange.request.target, "/?theme=dark-mode&n=12345678");
    assert_eq!(exchange.request.body, Body::whole(&b"dark-mode"[..]));
    assert!(!exchange.request.headers.get_str("cookie").unwrap().contains("dark"));
}

#[test]
fn any_bytes_are_taken() {
    use proptest::prelude::*;
    let kinds = [
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=-",
        "text/plain",
        "",
    ];
    let bytes = proptest::collection::vec(
        prop_oneof![
            any::<u8>(),
            Just(b'"'),
            Just(b'\\'),
            Just(b'{'),
            Just(b'-'),
            Just(b'='),
            Just(b'%'),
            Just(b'?'),
            Just(b'\n')
        ],
        0..80,
    );
    proptest!(|(bytes in bytes, kind in 0usize..5, text in ".{0,40}")| {
        let password = [b"{\"password\":", &bytes[..]].concat();
        for body in [&bytes, &password] {
            let mut exchange = request(&[("content-type", kinds[kind]), ("cookie", &text), ("referer", &text)], &text, body);
            let mut redactor = Redactor::new([1; 32]);
            redactor.exchange(&mut exchange);
            redactor.exchange(&mut exchange);
        }
    });
}
