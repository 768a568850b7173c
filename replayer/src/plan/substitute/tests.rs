use captures::exchange::Request;
use captures::{Body, Exchange, Headers, Session, SessionId};
use proptest::prelude::*;

use super::*;
use crate::plan::{self, Plan, Sender, Step, Wanted};
use crate::testing::decode_block;

const SENDER: Sender<'_> = Sender { seed: 1, run: "r", session: 0x2a, clone: 3, operation: 255, trace: None };
const ROW: [&[u8]; 3] = [b"ann lee", b"a\"b\r\nX: 1", b"41"];

fn recorded(target: &str, kind: &str, body: &str) -> Exchange {
    let headers: &[(&str, &str)] = &[("Content-Type", kind), ("X-User", "old"), ("X-Request-Id", "1")];
    Exchange {
        request: Request {
            method: "POST".to_owned(),
            target: target.to_owned(),
            headers: headers.iter().copied().collect::<Headers>(),
            body: Body::whole(body.as_bytes().to_vec()),
            ..Request::default()
        },
        ..Exchange::default()
    }
}

fn wanted(set: &[&str], http2: bool) -> Wanted {
    Wanted {
        http2,
        substitutions: set.iter().map(|typed| typed.parse().unwrap()).collect(),
        columns: ["name", "odd", "age"].map(str::to_owned).into(),
        ..plan::tests::wanted(1.0, 1)
    }
}

fn with_step<T>(exchange: &Exchange, wanted: &Wanted, look: impl FnOnce(Step<'_>) -> T) -> T {
    let session = Session { id: SessionId(0x2a), exchanges: vec![exchange.clone()] };
    look(Plan::build(&[session], wanted).step(0, 0))
}

/// Head and body as they are sent; no body: the recorded one.
fn composed(exchange: &Exchange, set: &[&str], http2: bool) -> (Vec<u8>, Option<String>) {
    let (mut head, mut body) = (Vec::new(), Vec::new());
    let user = |column: usize| ROW[column];
    let outgoing = Outgoing { sender: SENDER, jar: None, carried: None, attempt: 1, user: Some(&user) };
    let which = with_step(exchange, &wanted(set, http2), |step| {
        assert_eq!(step.path(), b"/x");
        step.compose(&mut head, &mut body, &outgoing)
    });
    let body = String::from_utf8(body).expect("test bodies are text");
    (head, (which == Composed::Written).then_some(body))
}

fn text(exchange: &Exchange, set: &[&str]) -> (String, Option<String>) {
    let (head, body) = composed(exchange, set, false);
    (String::from_utf8(head).expect("test heads are text"), body)
}

#[test]
fn what_nothing_applies_to_stays_as_it_is() {
    let exchange = recorded("/x?q=1", "text/plain", "a=1");
    for set in [&[][..], &["form:a={name}"], &["json:a=1"], &["query:z={name}"]] {
        with_step(&exchange, &wanted(set, false), |step| {
            assert!(!step.is_substituted());
            let mut plain = Vec::new();
            step.write_head(&mut plain, SENDER, None, 1);
            assert_eq!((String::from_utf8(plain).unwrap(), None), text(&exchange, set));
        });
    }
}

#[test]
fn header_fields_are_replaced_or_added() {
    let exchange = recorded("/x", "text/plain", "");
    let set = ["header:x-user={name}/{age}", "header:X-Trace={session}-{clone}", "header:X-Odd={odd}"];
    let (head, body) = text(&exchange, &set);
    assert!(head.contains("\r\nx-user: ann lee/41\r\nX-Trace: 2a-3\r\nX-Odd: a\"b  X: 1\r\n"), "{head}");
    assert!(!head.contains("old") && body.is_none(), "{head}");
    let (head, _) = text(&exchange, &["header:X-User=1", "header:x-user=2", "header:X-Request-Id={uuid}"]);
    assert!(head.contains("x-user: 2\r\n") && !head.contains("X-User"), "{head}");
    assert_eq!(head.to_lowercase().matches("x-request-id").count(), 1);
}

#[test]
fn queries_are_replaced_and_encoded() {
    let exchange = recorded("/x?q=1&r=2&q=3#f", "text/plain", "");
    let (head, _) = text(&exchange, &["query:q={name}&{odd}"]);
    let value = "ann%20lee%26a%22b%0D%0AX%3A%201";
    assert!(head.starts_with(&format!("POST /x?q={value}&r=2&q={value} HTTP/1.1\r\nHost: ")), "{head}");
}

#[test]
fn bodies_change_and_their_length_follows() {
    let check = |kind, body, set: &[&str], expect: &str| {
        let (head, written) = text(&recorded("/x", kind, body), set);
        assert_eq!(written.as_deref(), Some(expect), "{set:?}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", expect.len())), "{head}");
    };
    let form = "application/x-www-form-urlencoded";
    check(form, "user=bob&pw=1", &["form:user={name}"], "user=ann+lee&pw=1");
    check(form, "user=bob&pw=1", &["form:pw={odd}", "form:user="], "user=&pw=a%22b%0D%0AX%3A+1");
    let part = |user: &str, file: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\n{user}\r\n--b\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n{file}\r\n--b--\r\n"
        )
    };
    let parts = "multipart/form-data; boundary=b";
    let bob = part("bob", "1");
    check(parts, &bob, &["form:user={odd}", "form:file=2"], &part("a\"b\r\nX: 1", "1"));
    let json = "application/json; charset=utf-8";
    let body = r#"{"user": {"name":"bob", "age": 7, "on":true}, "list":[1,"2"]}"#;
    let all = ["json:user.name={odd}", "json:user.age={age}", "json:user.on={name}", "json:list.1={clone}"];
    let expect = r#"{"user": {"name":"a\"b\r\nX: 1", "age": 41, "on":"ann lee"}, "list":[1,"3"]}"#;
    check(json, body, &all, expect);
    check("", r#"[1]"#, &["json:0={age}", "json:0={clone}"], "[3]");
}

#[test]
fn a_uuid_is_one_for_a_clone() {
    let uuid = |set: &str, clone| {
        let exchange = recorded("/x", "application/json", r#"{"a":"b"}"#);
        let (mut head, mut body) = (Vec::new(), Vec::new());
        let sender = Sender { clone, ..SENDER };
        let outgoing = Outgoing { sender, jar: None, carried: None, attempt: 1, user: None };
        with_step(&exchange, &wanted(&[set], false), |step| step.compose(&mut head, &mut body, &outgoing));
        String::from_utf8(body).unwrap()
    };
    let own = uuid("json:a={uuid}", 1);
    assert_eq!((own.len(), uuid("json:a={uuid}{name}", 1)), (r#"{"a":""}"#.len() + 36, own.clone()));
    assert_ne!(own, uuid("json:a={uuid}", 2));
}

#[test]
fn a_header_block_carries_the_same_values() {
    let exchange = recorded("/x?q=1", "application/json", r#"{"a":"b"}"#);
    let set = ["query:q={name}", "header:X-User={name}", "json:a={odd}"];
    let (block, body) = composed(&exchange, &set, true);
    let block = decode_block(&block);
    let field = |name: &str| block.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!(block[3], (":path".to_owned(), "/x?q=ann%20lee".to_owned()));
    assert_eq!((field("x-user"), field("x-request-id").map(str::len)), (Some("ann lee"), Some(32)));
    assert_eq!(field("content-length"), body.as_ref().map(|body| body.len().to_string()).as_deref());
    assert_eq!(field("squall-op"), Some("00000000000000ff"));
}

#[test]
fn a_body_that_was_not_recorded_whole_is_left_alone_and_counted() {
    let mut exchange = recorded("/x", "application/json", r#"{"a":"b"}"#);
    exchange.request.body.len = 100;
    let mut coded = recorded("/x", "application/json", r#"{"a":"b"}"#);
    coded.request.headers.push("Content-Encoding", "gzip");
    let plain = recorded("/x", "text/plain", "a");
    let session = Session { id: SessionId(1), exchanges: vec![exchange, coded, plain] };
    let plan = Plan::build(&[session], &wanted(&["json:a={name}"], false));
    assert_eq!(plan.unreadable, 2);
    assert!(plan.program(0).steps().all(|step| !step.is_substituted()));
}

#[test]
fn a_column_that_is_not_there_is_named() {
    let set: Substitution = "query:q={mail}".parse().unwrap();
    let check = |columns: &[&str], words: &str| {
        let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        let why = set.check(&columns).unwrap_err();
        assert!(why.contains("{mail}") && why.contains(words), "{why}");
    };
    check(&[], "--users FILE");
    let header: Substitution = "header:X-A={a}-{uuid}{b}".parse().unwrap();
    assert_eq!((header.columns().collect::<Vec<_>>(), header.is_header()), (vec!["a", "b"], true));
    assert!(!set.is_header());
    check(&["name", "age"], "it has name, age");
    assert_eq!(set.check(&["mail".to_owned()]), Ok(()));
}

/// Head and body with one value for every column.
fn with_value(exchange: &Exchange, set: &[&str], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut head, mut body) = (Vec::new(), Vec::new());
    let user = |_: usize| value;
    let outgoing = Outgoing { sender: SENDER, jar: None, carried: None, attempt: 1, user: Some(&user) };
    with_step(exchange, &wanted(set, false), |step| step.compose(&mut head, &mut body, &outgoing));
    (head, body)
}

proptest! {
    #[test]
    fn no_value_breaks_what_it_goes_into(value: Vec<u8>, recorded_value: String) {
        let set = ["header:X-User={name}", "query:q={name}", "json:a.0={name}", "json:n={name}", "form:f={name}"];
        let json = serde_json::json!({ "a": [recorded_value], "n": 7, "z": true }).to_string();
        let (head, body) = with_value(&recorded("/x?q=1&z", "application/json", &json), &set, &value);
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        prop_assert_eq!(&body["a"][0], &String::from_utf8_lossy(&value).into_owned());
        prop_assert!((body["n"].is_string() || body["n"].is_number()) && body["z"] == true);
        let lines = head.split(|b| *b == b'\n').count();
        let (plain, _) = with_value(&recorded("/x?q=1&z", "application/json", &json), &set, b"");
        prop_assert_eq!(lines, plain.split(|b| *b == b'\n').count());
        prop_assert_eq!(head.iter().filter(|b| **b == b'?' || **b == b'&').count(), 2 + value.trim_ascii().iter()
            .filter(|b| **b == b'?' || **b == b'&').count());
        let kind = "application/x-www-form-urlencoded";
        let (_, body) = with_value(&recorded("/x", kind, "e=1&f=2&g=3"), &set, &value);
        let fields: Vec<_> = url::form_urlencoded::parse(&body).collect();
        prop_assert_eq!(fields.len(), 3);
        prop_assert_eq!(&fields[1].1, &String::from_utf8_lossy(&value));
    }
}
