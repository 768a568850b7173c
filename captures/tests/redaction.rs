//! What is redacted keeps its type and what it is equal to, wherever it stands, packed or not; and the user has a say.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use captures::exchange::{Request, Response};
use captures::messages::{Message, MessageKind, Stream, StreamKind};
use captures::notes::Notes;
use captures::redact::Policy;
use captures::{Body, Exchange, Headers, Redactor};

const EMAIL: &str = "ann.lee@mail.example.org";
const CARD: &str = "4111111111111111";

fn exchange(target: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Exchange {
    let request = Request {
        target: target.to_owned(),
        headers: headers.iter().copied().collect(),
        body: Body::whole(body.into()),
        ..Request::default()
    };
    Exchange { request, ..Exchange::default() }
}

fn answered(headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Exchange {
    let headers: Headers = headers.iter().copied().collect();
    let response = Response { status: 200, headers, body: Body::whole(body.into()) };
    Exchange { response: Some(response), ..Exchange::default() }
}

fn redact(exchange: &mut Exchange) {
    Redactor::new([7; 32]).exchange(exchange);
    let once = exchange.clone();
    Redactor::new([8; 32]).exchange(exchange);
    assert_eq!(*exchange, once, "pseudonyms stay, under another key too");
}

fn body(exchange: &Exchange) -> String {
    let body = exchange.response.as_ref().map_or(&exchange.request.body, |response| &response.body);
    String::from_utf8_lossy(body.data.as_deref().unwrap_or_default()).into_owned()
}

/// The pseudonyms of the address and the card, as they stand in a text.
fn pseudonyms() -> (String, String) {
    let mut one = exchange("/", &[], format!("{EMAIL} {CARD}"));
    redact(&mut one);
    let text = body(&one);
    let (email, card) = text.split_once(' ').expect("two words");
    (email.to_owned(), card.to_owned())
}

#[test]
fn an_address_stays_an_address_and_a_card_passes_its_test() {
    let (email, card) = pseudonyms();
    let (local, domain) = email.split_once('@').expect("an address");
    assert!(local.starts_with("squall_") && domain.ends_with(".test"), "{email}");
    assert!(
        card.len() == 16 && card.starts_with('4') && card.bytes().all(|byte| byte.is_ascii_digit()),
        "{card}"
    );
    let doubled = |digit: u32| if digit < 5 { digit * 2 } else { digit * 2 - 9 };
    let digits = card.chars().rev().filter_map(|digit| digit.to_digit(10)).enumerate();
    let sum: u32 = digits.map(|(at, digit)| if at % 2 == 1 { doubled(digit) } else { digit }).sum();
    assert_eq!(sum % 10, 0, "{card}");
}

#[test]
fn they_are_found_wherever_they_stand_and_are_the_same_everywhere() {
    let (email, card) = pseudonyms();
    let check = |mut exchange: Exchange, shown: &dyn Fn(&Exchange) -> String, expect: &str| {
        redact(&mut exchange);
        assert_eq!(shown(&exchange), expect);
    };
    let target = |exchange: &Exchange| exchange.request.target.clone();
    let coded = email.replace('@', "%40");
    check(
        exchange(&format!("/users/{EMAIL}/cards?to={EMAIL}&c={CARD}#x"), &[], ""),
        &target,
        &format!("/users/{email}/cards?to={coded}&c={card}#x"),
    );
    check(exchange(&format!("/u/{}", EMAIL.replace('@', "%40")), &[], ""), &target, &format!("/u/{email}"));
    check(exchange("/static/logo@2x.png?v=1.2", &[], ""), &target, "/static/logo@2x.png?v=1.2");
    for name in ["From", "User-Agent", "X-Who"] {
        let first = |exchange: &Exchange| {
            String::from_utf8_lossy(exchange.request.headers.get(name).expect("kept")).into_owned()
        };
        check(exchange("/", &[(name, &format!("bot (+{EMAIL})"))], ""), &first, &format!("bot (+{email})"));
    }
    let typed = |kind: &str, text: &dyn Fn(&str, &str) -> String| {
        check(exchange("/", &[("Content-Type", kind)], text(EMAIL, CARD)), &body, &text(&email, &card));
        check(answered(&[("Content-Type", kind)], text(EMAIL, CARD)), &body, &text(&email, &card));
    };
    typed("application/json", &|email, card| {
        format!(
            "{{\"e\":\"{email}\",\"text\":\"so: {email}, {card}\",\"n\":{card},\"in\":\"{{\\\"e\\\":\\\"{email}\\\"}}\"}}"
        )
    });
    typed("text/html", &|email, card| {
        format!("<p>write to <a href=\"mailto:{email}?subject=x\">{email}</a> {card}</p>")
    });
    typed("text/event-stream", &|email, card| {
        format!("id: 1\ndata: {{\"e\":\"{email}\",\"n\":{card}}}\n\n: {email}\n\n")
    });
    typed("multipart/form-data; boundary=B", &|email, card| {
        format!(
            "--B\r\nContent-Disposition: form-data; name=\"e\"\r\n\r\n{email}\r\n--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.csv\"\r\nContent-Type: text/csv\r\n\r\n{email};{card}\r\n--B--\r\n"
        )
    });
    let form = "application/x-www-form-urlencoded";
    let sent = format!("e={}&c={}&ok=1", EMAIL.replace('@', "%40"), "4111+1111+1111+1111");
    let grouped: Vec<_> =
        card.as_bytes().chunks(4).map(|four| String::from_utf8_lossy(four).into_owned()).collect();
    check(
        exchange("/", &[("Content-Type", form)], sent),
        &body,
        &format!("e={coded}&c={}&ok=1", grouped.join("%20")),
    );
}

#[test]
fn messages_of_a_socket_are_looked_into() {
    let (email, card) = pseudonyms();
    let text = format!("{{\"to\":\"{EMAIL}\",\"pay\":\"{CARD}\"}}");
    let message = Message {
        at_us: 1,
        from_client: true,
        kind: MessageKind::Text,
        compressed: false,
        len: text.len() as u64,
        data: Some(text.into()),
    };
    let stream = Stream { messages: vec![message], ..Stream::new(StreamKind::WebSocket) };
    let mut exchange = Exchange { stream: Some(stream), ..Exchange::default() };
    redact(&mut exchange);
    let message = &exchange.stream.expect("there").messages[0];
    let expect = format!("{{\"to\":\"{email}\",\"pay\":\"{card}\"}}");
    assert_eq!((message.data.as_deref(), message.len), (Some(expect.as_bytes()), expect.len() as u64));
}

fn token(subject: &str, n: u32) -> String {
    let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let claims =
        format!("{{\"sub\":\"{subject}\",\"email\":\"{EMAIL}\",\"iat\":17000000{n:02},\"jti\":\"id-{n}\"}}");
    format!(
        "{}.{}.{}",
        part("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"),
        part(&claims),
        "c2lnbmF0dXJlLW9mLXRoZS10b2tlbi0xMjM0NTY3ODk"
    )
}

fn claims(bearer: &str) -> serde_json::Value {
    let part = bearer.split('.').nth(1).expect("claims");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
}

#[test]
fn a_token_stays_a_token_of_the_same_subject() {
    let mut redactor = Redactor::new([7; 32]);
    let mut bearers = Vec::new();
    for (subject, n) in [("user-ann", 1), ("user-ann", 2), ("user-bob", 3)] {
        let token = token(subject, n);
        let mut one = exchange(
            &format!("/x?jwt={token}"),
            &[("Authorization", &format!("Bearer {token}")), ("Cookie", &format!("id_token={token}"))],
            format!("{{\"html\":\"<script>let t = '{token}'</script>\"}}"),
        );
        redactor.exchange(&mut one);
        let header = one.request.headers.get_str("authorization").expect("kept");
        let bearer = header.strip_prefix("Bearer ").expect("the scheme").to_owned();
        assert_eq!(one.request.headers.get_str("cookie"), Some(&*format!("id_token={bearer}")));
        assert_eq!(one.request.target, format!("/x?jwt={bearer}"));
        assert!(body(&one).contains(&bearer) && !format!("{bearer}{}", claims(&bearer)).contains("ann"));
        bearers.push(bearer);
    }
    let [ann, again, bob] = bearers.try_into().expect("three");
    assert_ne!(ann, again, "other tokens");
    assert_eq!(claims(&ann)["sub"], claims(&again)["sub"]);
    assert_ne!(claims(&ann)["sub"], claims(&bob)["sub"]);
    assert_eq!(
        (claims(&ann)["iat"].as_u64(), claims(&ann)["email"].as_str()),
        (Some(1_700_000_001), Some(&*pseudonyms().0))
    );
}

#[test]
fn what_a_page_gives_is_what_a_form_sends() {
    let page = "<form><input type=\"hidden\" name=\"csrf_token\" value=\"Zx81aa70QQ\"><input name=q value=shoes></form><meta content='Zx81aa70QQ' name='csrf-token'/>";
    let mut redactor = Redactor::new([7; 32]);
    let mut given = answered(&[("Content-Type", "text/html")], page);
    redactor.exchange(&mut given);
    let mut sent = exchange(
        "/",
        &[("Content-Type", "application/x-www-form-urlencoded")],
        "csrf_token=Zx81aa70QQ&q=shoes",
    );
    redactor.exchange(&mut sent);
    let form = body(&sent);
    let pseudonym =
        form.strip_prefix("csrf_token=").and_then(|rest| rest.strip_suffix("&q=shoes")).expect("the field");
    assert!(pseudonym.starts_with("squall_"), "{form}");
    assert_eq!(body(&given), page.replace("Zx81aa70QQ", pseudonym));
}

fn packed(coding: &str, plain: &[u8]) -> Vec<u8> {
    let fast = flate2::Compression::fast();
    match coding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), fast);
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), fast);
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        _ => {
            let mut packed = Vec::new();
            brotli::CompressorWriter::new(&mut packed, 4096, 5, 20).write_all(plain).unwrap();
            packed
        }
    }
}

fn unpacked(coding: &str, data: &[u8]) -> String {
    let mut text = Vec::new();
    let reader: &mut dyn std::io::Read = match coding {
        "gzip" => &mut flate2::read::GzDecoder::new(data),
        "deflate" => &mut flate2::read::ZlibDecoder::new(data),
        _ => &mut brotli::Decompressor::new(data, 4096),
    };
    std::io::copy(reader, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn packed_answers_are_unpacked_or_become_digests() {
    let plain = format!(
        "{{\"email\":\"{EMAIL}\",\"password\":\"hunter2-hunter2\",\"pad\":\"{}\"}}",
        "x".repeat(5000)
    );
    for coding in ["gzip", "deflate", "br"] {
        let mut exchange = answered(
            &[("Content-Type", "application/json"), ("Content-Encoding", coding)],
            packed(coding, plain.as_bytes()),
        );
        Redactor::new([7; 32]).exchange(&mut exchange);
        let response = exchange.response.expect("an answer");
        assert!(response.body.is_whole() && exchange.notes == Notes::NONE, "{coding}");
        let text = unpacked(coding, response.body.data.as_deref().expect("kept"));
        assert!(
            text.contains("squall_") && !text.contains("hunter2") && !text.contains("ann.lee"),
            "{coding}: {text}"
        );
    }
    let unreadable = [("snappy", packed("gzip", plain.as_bytes())), ("gzip", plain.clone().into_bytes())];
    for (coding, data) in unreadable {
        let len = data.len() as u64;
        let mut exchange = answered(&[("Content-Encoding", coding)], data);
        Redactor::new([7; 32]).exchange(&mut exchange);
        let body = exchange.response.expect("an answer").body;
        assert_eq!((body.data, body.len), (None, len));
        assert!(exchange.notes.contains(Notes::BODY_WITHHELD) && body.hash.is_some());
    }
}

#[test]
fn a_policy_adds_names_patterns_and_paths_and_allows_names() {
    let policy = "names = ['customer_number']\nallow = ['theme', 'x-api-token']\npatterns = ['ACME-(\\d{6})']\njson = ['order.lines[*].serial']\nemails = false\n";
    let mut exchange = exchange(
        "/o/ACME-123456?customer-number=c17&theme=dark",
        &[
            ("Cookie", "theme=solarized-dark-2026; sid=0123456789abcdef"),
            ("X-Api-Token", "open"),
            ("Content-Type", "application/json"),
        ],
        format!(
            "{{\"order\":{{\"lines\":[{{\"serial\":\"s-1\",\"n\":1}}],\"serial\":\"s-2\"}},\"e\":\"{EMAIL}\"}}"
        ),
    );
    let policy = Policy::parse(policy).expect("a policy");
    let mut redactor = Redactor::with([7; 32], policy);
    redactor.exchange(&mut exchange);
    let request = &exchange.request;
    assert!(
        request.target.starts_with("/o/ACME-squall_") && request.target.contains("customer-number=squall_"),
        "{}",
        request.target
    );
    assert!(request.target.ends_with("&theme=dark"));
    let cookie = request.headers.get_str("cookie").expect("kept");
    assert!(cookie.starts_with("theme=solarized-dark-2026; sid=squall_"), "{cookie}");
    assert_eq!(request.headers.get_str("x-api-token"), Some("open"));
    let text = body(&exchange);
    assert!(
        text.contains("\"serial\":\"squall_")
            && text.contains("\"n\":1")
            && text.contains("\"serial\":\"s-2\""),
        "{text}"
    );
    assert!(text.contains(EMAIL));
}
