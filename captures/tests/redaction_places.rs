//! Places where secrets stand in real traffic and no plain name is beside them: each of these passed once.

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use captures::exchange::{Request, Response};
use captures::notes::Notes;
use captures::{Body, Exchange, Headers, Redactor};

const SECRET: &str = "Q7xTkm4RwvLbn2Zs9dPc";

fn exchange(target: &str, headers: &[(&str, &str)], body: &str) -> Exchange {
    let request = Request {
        target: target.to_owned(),
        headers: headers.iter().copied().collect(),
        body: Body::whole(body.as_bytes().to_vec()),
        ..Request::default()
    };
    Exchange { request, ..Exchange::default() }
}

/// All that the exchange says after redaction, which redacting again does not change.
fn said(mut exchange: Exchange) -> String {
    Redactor::new([7; 32]).exchange(&mut exchange);
    let once = exchange.clone();
    Redactor::new([8; 32]).exchange(&mut exchange);
    assert_eq!(exchange, once, "pseudonyms stay, under another key too");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut said = exchange.request.target.clone();
    let response = exchange.response.as_ref();
    let headers = response.iter().flat_map(|response| response.headers.iter());
    for (name, value) in exchange.request.headers.iter().chain(headers) {
        said.push_str(&format!("\n{name}: {}", text(value)));
    }
    for body in [Some(&exchange.request.body), response.map(|response| &response.body)].into_iter().flatten()
    {
        said.push('\n');
        said.push_str(&text(body.data.as_deref().unwrap_or_default()));
    }
    said
}

/// The secret is gone, and a pseudonym stands in its place.
#[track_caller]
fn check_gone(exchange: Exchange) {
    let said = said(exchange);
    assert!(!said.contains(SECRET) && said.contains("squall_"), "{said}");
}

#[track_caller]
fn check_body(kind: &str, body: &str) {
    let body = body.replace("SECRET", SECRET);
    check_gone(exchange("/", &[("Content-Type", kind)], &body));
    let headers: Headers = [("Content-Type", kind)].into_iter().collect();
    let response = Response { status: 200, headers, body: Body::whole(body.into_bytes()) };
    check_gone(Exchange { response: Some(response), ..Exchange::default() });
}

/// What is no secret stays to the last byte.
#[track_caller]
fn check_stays(target: &str, kind: &str, body: &str) {
    let said = said(exchange(target, &[("Content-Type", kind)], body));
    assert_eq!(said, format!("{target}\nContent-Type: {kind}\n{body}"));
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

#[test]
fn pages() {
    check_body("text/html", "<textarea name=\"secret\">SECRET</textarea>");
    check_body("text/html", "<TEXTAREA rows=3 name=secret >SECRET</TEXTAREA>");
    check_body(
        "text/html",
        "<div data-props=\"{&quot;csrfToken&quot;:&quot;SECRET&quot;,&quot;n&quot;:1}\">",
    );
    check_body("text/html", "<div data-props='{&#34;csrfToken&#34;:&#34;SECRET&#34;}'>");
    check_stays(
        "/",
        "text/html",
        "<textarea name=\"secret\"></textarea><textarea name=\"text\">hi</textarea>",
    );
}

#[test]
fn documents() {
    check_body("text/xml", "<password><![CDATA[SECRET]]></password>");
    check_body("text/xml", "<dict><key>password</key>\n  <string>SECRET</string></dict>");
    check_body("text/xml", "<member><name>password</name><value><string>SECRET</string></value></member>");
    check_stays("/", "text/xml", "<list><name>password</name><value></value><name>b</name></list>");
    check_stays(
        "/",
        "text/xml",
        "<dict><key>password</key><string/><key>user</key><string>ann</string></dict>",
    );
    check_body(JSON, "{'user': 'ann', 'password': 'SECRET'}");
    check_body(JSON, "user=ann&password=SECRET");
    check_body(JSON, r#"{"query":"mutation{login(password:\"\"\"SECRET\"\"\"){id}}"}"#);
    // what says that it is a picture and is text
    check_body("image/png", "{\"password\":\"SECRET\"}");
}

#[test]
fn values_of_forms_and_queries() {
    for value in [
        "a=1;token=SECRET",
        "next=%2Flogin%3Fpassword%3DSECRET",
        "r=https%3A%2F%2Fx.test%2F%3Fn%3Dhttps%253A%252F%252Fy.test%252F%253Faccess_token%253DSECRET",
        "query=mutation%7Blogin%28password%3A%22SECRET%22%29%7Bid%7D%7D",
        "code=SECRET&state=af0ifjsldkj",
        "X-Goog-Signature=SECRET",
        "hmac=SECRET",
        "sid=SECRET",
    ] {
        let value = value.replace("SECRET", SECRET);
        check_gone(exchange(&format!("/cb?{value}"), &[], ""));
        check_body(FORM, &value);
    }
    for other in [
        "scope=token:read+secret:write",
        "code=49123&country=DE",
        "t=12:30;zone=CET",
        "q=a%2520b%3Fc%3Dd",
        "path=a;b",
    ] {
        check_stays(&format!("/x?{other}"), FORM, other);
    }
    // as deep as a text may be nested, and far deeper
    let deep = "?a=".repeat(200_000);
    check_stays("/", FORM, &deep);
    // tags that never close are not searched to the end of the text, one by one
    for tag in ["<password ", "<textarea ", "<password<textarea name=secret "] {
        check_stays("/", "text/html", &tag.repeat(50_000));
    }
}

/// What is left of a body of that kind, and whether it says that it was withheld.
fn left(kind: &str, body: &[u8]) -> (Option<Vec<u8>>, bool) {
    let mut exchange = exchange("/", &[("Content-Type", kind)], "");
    exchange.request.body = Body::whole(body.to_vec());
    Redactor::new([7; 32]).exchange(&mut exchange);
    let data = exchange.request.body.data.map(|data| data.to_vec());
    (data, exchange.notes.contains(Notes::BODY_WITHHELD))
}

#[test]
fn binary_documents_are_rewritten_where_lengths_can_be_and_else_withheld() {
    let field = |text: &str| [&[0x0a, text.len() as u8][..], text.as_bytes(), &[0x10, 0xff, 1]].concat();
    let address = "ann.lee@mail.example.org";
    for kind in ["application/x-protobuf", "application/vnd.google.protobuf; proto=a.B"] {
        let (data, withheld) = left(kind, &field(address));
        let data = data.expect("kept");
        assert!(!withheld && data.len() == 2 + usize::from(data[1]) + 3, "{data:?}");
        assert!(!String::from_utf8_lossy(&data).contains("ann.lee"));
        assert_eq!(left(kind, &field("ann lee")), (Some(field("ann lee")), false));
    }
    let framed = |message: &[u8]| [&[0, 0, 0, 0, message.len() as u8][..], message].concat();
    let web = "application/grpc-web-text+proto";
    let (data, withheld) = left(web, STANDARD.encode(framed(&field(address))).as_bytes());
    let data = STANDARD.decode(data.expect("kept")).expect("base64 again");
    assert!(!withheld && !String::from_utf8_lossy(&data).contains("ann.lee") && data.contains(&b'@'));
    let pieces = [STANDARD.encode(framed(b"a")), STANDARD.encode(framed(b"bc"))].concat();
    assert_eq!(left(web, pieces.as_bytes()), (Some(pieces.into_bytes()), false));
    assert_eq!(left(web, b"no base64!"), (None, true));
    // MessagePack: a password; a token under another name; nothing
    let packed = |name: &str, value: &str| {
        let head = [0x81, 0xa0 | name.len() as u8];
        [&head[..], name.as_bytes(), &[0xd9, value.len() as u8], value.as_bytes()].concat()
    };
    let kind = "application/msgpack";
    assert_eq!(left(kind, &packed("password", SECRET)), (None, true));
    let token = concat!("ghp", "_0123456789abcdefghijABCDEFGHIJ012345");
    assert_eq!(left(kind, &packed("a", token)), (None, true));
    assert_eq!(left(kind, &packed("a", "b")), (Some(packed("a", "b")), false));
    assert_eq!(left("application/octet-stream", &packed("a", token)), (None, true));
    // latin 1 is a text all the same
    let (data, withheld) = left(FORM, b"name=J\xf6rg&password=hunter2-secret");
    assert!(!withheld && data.expect("kept").starts_with(b"name=J\xf6rg&password=squall_"));
}

#[test]
fn what_was_packed_and_does_not_say_so_is_unpacked() {
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).expect("memory");
        encoder.finish().expect("memory")
    };
    let (data, withheld) = left(JSON, &gzip(&format!("{{\"password\":\"{SECRET}\"}}")));
    let mut plain = String::new();
    let data = data.expect("kept");
    flate2::read::GzDecoder::new(&data[..]).read_to_string(&mut plain).expect("gzip again");
    assert!(!withheld && plain.contains("squall_") && !plain.contains(SECRET), "{plain}");
    let torn = &gzip("{\"a\":1}")[..12];
    assert_eq!(left("application/octet-stream", torn), (None, true), "who knows what is in it");
}

#[test]
fn a_secret_that_was_met_is_found_among_words_later() {
    let mut redactor = Redactor::new([7; 32]);
    redactor.exchange(&mut exchange("/", &[("Content-Type", JSON)], &format!("{{\"token\":\"{SECRET}\"}}")));
    for kind in ["text/plain", "text/html"] {
        let mut later =
            exchange("/", &[("Content-Type", kind)], &format!("<p>hello {SECRET}, it is {SECRET}."));
        redactor.exchange(&mut later);
        let body = later.request.body.data.expect("kept");
        assert!(!String::from_utf8_lossy(&body).contains(SECRET), "{kind}");
    }
}

#[test]
fn addresses_that_stand_where_names_do_are_hidden() {
    let part = "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"ann.lee@mail.example.org.pdf\"\r\n\r\nx\r\n--B--\r\n";
    for (kind, body) in [
        (JSON, r#"{"roles":{"ann.lee@mail.example.org":["admin"],"4111111111111111":2}}"#),
        (FORM, "ann.lee%40mail.example.org=on&b=1"),
        ("multipart/form-data; boundary=B", part),
    ] {
        let said = said(exchange("/q?ann.lee@mail.example.org=1", &[("Content-Type", kind)], body));
        assert!(!said.contains("ann.lee") && !said.contains("4111111111111111"), "{said}");
        assert!(said.contains("squall_"), "{said}");
    }
}

#[test]
fn an_address_that_is_encoded_twice_is_hidden() {
    let said = said(exchange("/s?q=ann.lee%2540mail.example.org", &[], ""));
    assert!(!said.contains("ann.lee") && said.contains("squall_"), "{said}");
}

#[test]
fn parts_of_multipart_bodies() {
    let part = |head: &str, content: &str| format!("--B\r\n{head}\r\n\r\n{content}\r\n--B--\r\n");
    let form = "multipart/form-data; boundary=B";
    check_body(
        "multipart/related; boundary=B",
        &part("Content-Type: application/json", r#"{"password":"SECRET"}"#),
    );
    check_body(form, &part("Content-Disposition: form-data; filename=\"a\"; name=\"secret\"", "SECRET"));
    let inner = "--i\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nSECRET\r\n--i--";
    check_body(form, &part("Content-Type: multipart/mixed; boundary=i", inner));
    let head = "Content-Disposition: form-data; name=\"x\"\r\nContent-Type: multipart/mixed; boundary=i";
    check_body(form, &part(head, inner));
    check_body(form, &part("Content-Disposition: form-data; name=\"next\"", "https://x.test/?token=SECRET"));
}

#[test]
fn headers() {
    for (name, value) in [
        ("X-Original-Cookie", "theme=dark; sid=SECRET"),
        ("X-Hub-Signature-256", "sha256=SECRET"),
        ("Stripe-Signature", "t=1492774577,v1=SECRET"),
        ("X-Shopify-Hmac-Sha256", "SECRET"),
        ("X-Session", "SECRET"),
        ("X-Ms-Client-Principal", "SECRET"),
        ("X-Context", "{\"apiKey\":\"SECRET\"}"),
        ("Sec-WebSocket-Protocol", "graphql-transport-ws, bearer.SECRET"),
        ("Sec-WebSocket-Protocol", "access_token, SECRET"),
        ("Location", "https://app.test/cb?code=SECRET&state=xyz"),
    ] {
        check_gone(exchange("/", &[(name, &value.replace("SECRET", SECRET))], ""));
    }
    for (name, value) in [
        ("Sec-WebSocket-Protocol", "graphql-transport-ws, v12.stomp, base64.channel.k8s.io, ocpp2.0.1"),
        ("Signature-Input", "sig1=(\"@method\");created=1618884473"),
        ("X-Context", "{\"a\":[1,2]}"),
    ] {
        let said = said(exchange("/", &[(name, value)], ""));
        assert!(said.contains(value), "{said}");
    }
}

#[test]
fn tokens_of_other_shapes() {
    let head = "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ";
    // encrypted; without a signature; cut off where a body was
    for token in [
        format!("{head}.OKOawDo13gRp2oja.48V1_ALb6US04U3b.5eym8TW_c8SuK0lt.XFBoMYUZodetZdvT"),
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4tbGVlIn0.".to_owned(),
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4tbGVlIiwiZW1h".to_owned(),
    ] {
        let said = said(exchange("/", &[("Content-Type", "text/plain")], &format!("it is {token}")));
        let shown = token.split('.').nth(1).expect("a part");
        assert!(!said.contains(shown) && said.contains("squall_"), "{said}");
    }
}

#[test]
fn what_a_page_says_back_is_hidden_with_its_references() {
    let mut echo = exchange("/", &[("Content-Type", JSON)], r#"{"password":"a<b>&\"c'd-12345"}"#);
    let body = "<p>you typed a&lt;b&gt;&amp;&quot;c&#39;d-12345</p><p>a&lt;b&gt;&amp;&#34;c&#x27;d-12345</p>";
    echo.response = Some(Response { status: 200, body: Body::whole(body), ..Response::default() });
    let said = said(echo);
    assert_eq!(said.matches("12345").count(), 0, "{said}");
}

/// Marks that the search goes by, in any order: nothing makes it stumble.
#[test]
fn any_mixture_of_marks_is_taken() {
    use proptest::prelude::*;
    const MARKS: &str = "password|token|code=|&state=|<key>|</key>|<name>|</name>|<string>|<string/>|<textarea name=secret>|<input value=|&quot;|&#34;|&#39;|\"\"\"|\"|'|:|=|;|&|?|#|%3F|%253D|%|://a:b@|<![CDATA[|]]>|<|>|/|--B|\r\n\r\n|\n\n|Content-Type: multipart/mixed; boundary=B|name=\"password\"|filename=|{|}|[|]|,|eyJ|.eyJ|ghp_0123456789abcdefghijABCDEFGHIJ012345|a@b.example|4111111111111111|\u{1f600}|\0|data:| ";
    let kinds = [
        "text/html",
        "text/xml",
        JSON,
        FORM,
        "multipart/form-data; boundary=B",
        "text/event-stream",
        "application/msgpack",
        "application/x-protobuf",
        "application/grpc-web-text",
        "application/grpc",
        "image/png",
        "",
    ];
    let marks: Vec<&str> = MARKS.split('|').collect();
    let text = proptest::collection::vec(prop::sample::select(marks), 0..30).prop_map(|marks| marks.concat());
    proptest!(|(text in text, kind in prop::sample::select(kinds.to_vec()), tail in any::<Vec<u8>>())| {
        let value: String = text.chars().filter(|c| !c.is_control()).collect();
        let names = ["Sec-WebSocket-Protocol", "X-Context", "X-Old-Cookie", "Location"];
        let mut headers: Vec<(&str, &str)> = names.iter().map(|name| (*name, value.as_str())).collect();
        headers.push(("Content-Type", kind));
        let mut redactor = Redactor::new([7; 32]);
        for body in [text.clone().into_bytes(), [text.as_bytes(), &tail].concat(), [&tail, text.as_bytes()].concat()] {
            let mut exchange = exchange(&format!("/{value}"), &headers, "");
            exchange.request.body = Body::whole(body);
            redactor.exchange(&mut exchange);
            redactor.exchange(&mut exchange);
        }
    });
}

#[test]
fn what_a_review_found_is_hidden_and_no_more() {
    let stays = |target: &str, kind: &str, body: &str| {
        let said = said(exchange(target, &[("Content-Type", kind)], body));
        assert!(said.starts_with(target) && said.ends_with(body), "{said}");
    };
    // an old charset of a field is no reason to pass its address by
    let field = b"--B\r\nContent-Disposition: form-data; name=\"note\"\r\nContent-Type: text/plain; charset=ISO-8859-1\r\n\r\nsch\xf6n, ann.lee@mail.example.org\r\n--B--\r\n";
    let (data, withheld) = left("multipart/form-data; boundary=B", field);
    let data = String::from_utf8_lossy(&data.expect("kept")).into_owned();
    assert!(!withheld && !data.contains("ann.lee"), "{data}");
    // keys have known beginnings among subprotocols, too; a postcode beside a state is no login
    let key = exchange("/", &[("Sec-WebSocket-Protocol", "chat, AKIAIOSFODNN7EXAMPLE")], "");
    assert!(!said(key).contains("AKIAIOSFODNN7EXAMPLE"));
    said(exchange("/", &[("Sec-WebSocket-Protocol", "chat,  ,")], ""));
    stays("/tax?code=94105&state=CA", "text/plain", "");
    check_gone(exchange(&format!("/cb?code={SECRET}&state=1"), &[], ""));
    // what only says that it is JSON is searched as any text is
    check_body(JSON, "<p>key: ghp_0123456789abcdefABCDEF0123456789abcd for SECRET, password=SECRET");
    stays("/", "text/plain", r#"{user:"a",password:null}"#);
}

#[test]
fn the_verifier_of_a_login_stays_as_its_challenge_does() {
    // the challenge is a hash of the verifier: with a pseudonym in place of one of them no replay could log in
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let said = said(exchange(
        "/authorize?code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&state=1",
        &[("Content-Type", "application/x-www-form-urlencoded")],
        &format!("grant_type=authorization_code&code={SECRET}&code_verifier={verifier}"),
    ));
    assert!(said.contains("=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&"), "{said}");
    assert!(said.ends_with(&format!("&code_verifier={verifier}")) && !said.contains(SECRET), "{said}");
}
