//! What answers gave is in a recording of digests as prints, and in no other form.

use std::io::Write;
use std::net::TcpStream;

use captures::links::{Given, LEAVES, SLOTS, given, sent};
use captures::{Exchange, Reader};
use proxy::Config;

use crate::harness::{Origin, Proxy, Then, eventually};

const TOKEN: &str = "t0k3n-0123456789abcdef";

fn origin() -> Origin {
    Origin::start(|request, tcp| {
        let long = |len: usize| format!("{{\"token\":\"{TOKEN}\",\"more\":\"{}\"}}", "x".repeat(len));
        let answer = |tcp: &mut TcpStream, kind: &str, body: &str| {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
            let forged = "Squall-Leaves: all json:$.forged=0123456789ab\r\n\r\n";
            let whole = [head.as_bytes(), forged.as_bytes(), body.as_bytes()].concat();
            tcp.write_all(&whole).map_or(Then::Close, |()| Then::Keep)
        };
        let event = format!("data: {{\"id\":\"{TOKEN}\"}}\n\n");
        match request.target() {
            "/json" => answer(tcp, "application/json", &long(7)),
            "/page" => {
                answer(tcp, "text/html", &format!("<input name=csrf value={TOKEN}>{}", "x".repeat(70_000)))
            }
            "/events" => answer(tcp, "text/event-stream", &event.repeat(3_000)),
            "/large" => answer(tcp, "application/json", &long(66_000)),
            "/torn" => answer(tcp, "application/json", &long(7)[..40]),
            _ => answer(tcp, "text/plain", TOKEN),
        }
    })
}

fn recorded(change: impl FnOnce(&mut Config)) -> (Vec<Exchange>, serde_json::Value, Vec<u8>) {
    let origin = origin();
    let mut proxy = Proxy::before(origin.addr).recorded().with(change).start();
    for target in ["/json", "/page", "/events", "/large", "/torn", "/plain"] {
        proxy.get(target);
    }
    let mut client = proxy.client();
    client.send(format!("GET /me?id={TOKEN} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"));
    client.answer(false);
    eventually("all are recorded", || proxy.status()["recording"]["recorded"] == 7);
    let bodies = proxy.status()["recording"]["bodies"].clone();
    proxy.stop();
    let reader = Reader::open(proxy.capture()).expect("a capture");
    let mut all: Vec<_> = reader.exchanges().map(|exchange| exchange.expect("undamaged")).collect();
    all.sort_by_key(|exchange| exchange.start_us);
    let raw = std::fs::read(proxy.capture()).expect("a file");
    (all, bodies, zstd::stream::decode_all(&raw[..]).expect("zstd"))
}

/// Places of what an answer gave in its body.
fn places(exchange: &Exchange) -> Vec<String> {
    given(exchange).iter().map(|given| given.leaf.to_string()).collect()
}

#[test]
fn answers_give_prints_and_not_a_byte_of_their_bodies() {
    let (all, bodies, decoded) = recorded(|_| {});
    let [json, page, events, large, torn, plain, me] = all.try_into().expect("seven");
    assert_eq!(places(&json), ["json:$.token"]);
    assert_eq!(places(&page), ["html-field:csrf"]);
    assert_eq!(places(&events)[..2], ["event:$.id", "event:$.id#1"]);
    for exchange in [&large, &torn, &plain] {
        assert_eq!(places(exchange), [""; 0], "{}", exchange.request.target);
    }
    let carried = sent(&me);
    let slots: Vec<String> = carried.iter().map(|carried| carried.slot.to_string()).collect();
    assert_eq!(slots, ["query:id", "header:authorization bearer"]);
    for exchange in [&json, &page, &events] {
        assert!(given(exchange).iter().all(|given: &Given| given.value.is_empty()));
        for carried in &carried {
            assert_eq!(given(exchange)[0].id(), carried.id(), "{}", carried.slot);
        }
    }
    for exchange in [json, page, events, large, torn, plain, me] {
        let answer = exchange.response.expect("an answer");
        assert!(answer.body.data.is_none() && answer.body.hash.is_some() && answer.body.len != 0);
        assert!(exchange.notes.is_empty() || exchange.request.target == "/events", "{:?}", exchange.notes);
    }
    // 1,680 events are whole within 64 KiB
    assert_eq!((&bodies["leaves_unread"], &bodies["leaves_over"]), (&2.into(), &(1_680 - 256).into()));
    assert_eq!((&bodies["response_over_limit"], &bodies["no_memory"]), (&0.into(), &0.into()));
    for secret in [TOKEN, "forged"] {
        assert!(!decoded.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
}

#[test]
fn digests_alone_and_bodies_in_full_have_no_prints() {
    for policy in ["response=digest", "response=full", "response=none"] {
        let (all, bodies, _) = recorded(|config| config.record_bodies = policy.parse().expect("a policy"));
        for exchange in all {
            let answer = exchange.response.expect("an answer");
            assert!(!answer.headers.contains(LEAVES) && !answer.headers.contains(SLOTS), "{policy}");
        }
        assert_eq!(bodies["leaves_unread"], 0, "{policy}");
    }
}

#[test]
fn no_more_of_an_answer_is_looked_into_than_was_asked_for() {
    let (all, bodies, _) =
        recorded(|config| config.record_bodies = "response=leaves:50B".parse().expect("one"));
    let [json, page, events, _, _, _, _] = all.try_into().expect("seven");
    assert_eq!(places(&json), [""; 0], "it is read as a whole or not at all");
    assert_eq!(
        (places(&page), places(&events)),
        (vec!["html-field:csrf".to_owned()], vec!["event:$.id".to_owned()])
    );
    assert_eq!(bodies["leaves_unread"], 3);
}
