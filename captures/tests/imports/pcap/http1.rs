//! Conversations in HTTP/1.

use captures::exchange::Protocol;
use captures::import::Format;
use captures::messages::MessageKind;
use captures::notes::Notes;
use captures::{Body, Exchange};

use super::wire::{T, Talk, linked, pcap, pcapng};
use super::{check, import};
use crate::kit::{brief, bytes};

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: x\r\n\r\n")
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn answer_body(exchange: &Exchange) -> &Body {
    &exchange.response.as_ref().unwrap().body
}

#[test]
fn one_after_the_other_on_one_connection() {
    let mut talk = Talk::open(4000);
    talk.asks(get("/a"))
        .says(ok("first"))
        .asks(get("/b?c=d"))
        .says("HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n");
    talk.asks("POST /form HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: x\r\nContent-Length: 3\r\n\r\na=b")
        .says(ok(""));
    talk.asks("HEAD /h HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: x\r\n\r\n")
        .says("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
        .close();
    let found = check(&talk, &["GET /a 200", "GET /b?c=d 304", "POST /form 200", "HEAD /h 200"]);
    let [first, _, posted, _] = &found[..] else { panic!("four") };
    // three packets of the handshake came before
    assert_eq!((first.start_us, first.ttfb_us, first.duration_us), (T + 3_000, Some(1_000), Some(1_000)));
    assert_eq!(first.request.authority, "shop.test");
    assert_eq!((first.request.scheme.as_str(), first.protocol), ("http", Protocol::Http11));
    assert_eq!(*answer_body(first), Body::whole("first"));
    assert_eq!(posted.request.body, Body::whole("a=b"));
    assert!(
        found
            .iter()
            .all(|exchange| exchange.session == first.session && exchange.connection == first.connection)
    );
    assert!(found.iter().all(|exchange| exchange.notes.is_empty()));
}

#[test]
fn piled_up_chunked_and_until_the_end() {
    let mut talk = Talk::open(4000);
    talk.asks([get("/1"), get("/2"), get("/3")].concat());
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n";
    talk.pieces(
        false,
        [ok("one"), chunked.to_owned(), "HTTP/1.1 200 OK\r\n\r\nto the end".to_owned()].concat().as_bytes(),
        7,
    );
    talk.close();
    let found = check(&talk, &["GET /1 200", "GET /2 200", "GET /3 200"]);
    let bodies: Vec<_> = found.iter().map(|exchange| answer_body(exchange).clone()).collect();
    assert_eq!(bodies, ["one", "abcde", "to the end"].map(Body::whole));
    assert!(found.iter().all(|exchange| exchange.notes.is_empty()));
    // what a capture stops in is cut
    talk.packets.truncate(talk.packets.len() - 4);
    let last = import(&talk).exchanges.pop().unwrap();
    assert!(last.notes.contains(Notes::RESPONSE_TRUNCATED) && answer_body(&last).hash.is_none());
}

#[test]
fn old_versions_interim_answers_and_proxies() {
    let mut talk = Talk::open(4000);
    talk.asks("GET /old HTTP/1.0\r\n\r\n").says("HTTP/1.0 200 OK\n\nold").close();
    let found = check(&talk, &["GET /old 200"]);
    assert_eq!((found[0].protocol, found[0].request.authority.as_str()), (Protocol::Http10, "10.0.0.2:80"));
    assert_eq!(*answer_body(&found[0]), Body::whole("old"));
    let mut talk = Talk::open(4000);
    talk.asks("POST /up HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    talk.says("HTTP/1.1 100 Continue\r\n\r\n")
        .asks("data")
        .says("HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n")
        .says(ok(""))
        .close();
    let found = check(&talk, &["POST /up 200"]);
    assert_eq!((found[0].request.body.clone(), found[0].ttfb_us), (Body::whole("data"), Some(4_000)));
    let mut talk = Talk::open(4000);
    talk.asks("GET https://a.test/p?q HTTP/1.1\r\nHost: other\r\n\r\n").says(ok("")).close();
    let found = check(&talk, &["GET /p?q 200"]);
    assert_eq!((found[0].request.scheme.as_str(), found[0].request.authority.as_str()), ("https", "a.test"));
}

#[test]
fn who_went_first_without_an_answer() {
    let ends = |end: &dyn Fn(&mut Talk)| {
        let mut talk = Talk::open(4000);
        talk.asks(get("/a"));
        end(&mut talk);
        check(&talk, &["GET /a 0"]).remove(0).notes
    };
    assert_eq!(ends(&|_| {}), Notes::NONE, "the capture ended before");
    assert_eq!(ends(&|talk| talk.packet(true, b"", "FA")), Notes::NONE);
    assert_eq!(ends(&|talk| talk.packet(true, b"", "R")), Notes::CLIENT_GONE);
    assert_eq!(ends(&|talk| talk.packet(false, b"", "RA")), Notes::UPSTREAM_FAILED);
    assert_eq!(
        ends(&|talk| {
            talk.packet(false, b"", "FA");
            talk.packet(true, b"", "FA");
        }),
        Notes::UPSTREAM_FAILED
    );
}

#[test]
fn every_link_and_both_containers_give_the_same() {
    let mut talk = Talk::open(4000);
    talk.asks(get("/a")).says(ok("first")).close();
    let expect = import(&talk).exchanges;
    let mac = [0u8; 12];
    let links: [(u32, Vec<u8>); 6] = [
        (1, [&mac[..], &[0x08, 0x00]].concat()),
        (1, [&mac[..], &[0x81, 0, 0, 5, 0x08, 0]].concat()),
        (113, [&[0u8; 14][..], &[0x08, 0x00]].concat()),
        (276, [&[0x08, 0x00][..], &[0; 18]].concat()),
        (0, vec![2, 0, 0, 0]),
        (228, vec![]),
    ];
    for (link, header) in links {
        let file = linked(&talk.packets, link, &header, usize::MAX);
        assert_eq!(bytes(Format::Pcap, &file).unwrap().exchanges, expect, "link {link}");
    }
    assert_eq!(bytes(Format::Pcap, &pcapng(&talk.packets)).unwrap().exchanges, expect);
    let mut talk = Talk::ipv6(4000);
    talk.asks(get("/a")).says(ok("first")).close();
    assert_eq!(check(&talk, &["GET /a 200"]).len(), 1);
}

#[test]
fn websockets_and_other_upgrades() {
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n";
    let accept = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    let hello = b"\x81\x85\x01\x02\x03\x04\x69\x67\x6f\x68\x6e"; // "hello", masked
    let mut talk = Talk::open(4000);
    // the server greets in the packet of its answer
    talk.asks(upgrade)
        .says([accept.as_bytes(), b"\x81\x02hi"].concat())
        .asks(hello)
        .says(b"\x82\x01x")
        .close();
    let found = check(&talk, &["GET /ws 101"]);
    let said: Vec<_> = found[0]
        .stream
        .as_ref()
        .unwrap()
        .messages
        .iter()
        .map(|message| (message.at_us, message.from_client, message.kind, message.data.as_deref()))
        .collect();
    let expect = [
        (1_000, false, MessageKind::Text, None),
        (2_000, true, MessageKind::Text, Some(&b"hello"[..])),
        (3_000, false, MessageKind::Binary, None),
    ];
    assert_eq!(said, expect);
    assert_eq!(found[0].notes, Notes::WEBSOCKET.with(Notes::UPGRADED));
    assert_eq!(found[0].duration_us, Some(3_000));
    // declined: the connection goes on in HTTP
    let mut talk = Talk::open(4000);
    talk.asks(upgrade).says(ok("no")).asks(get("/next")).says(ok("")).close();
    check(&talk, &["GET /ws 200", "GET /next 200"]);
    let mut talk = Talk::open(4000);
    talk.asks("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n").says("HTTP/1.1 200 OK\r\n\r\n");
    talk.asks("\x16\x03\x01").says("\x16\x03\x03").close();
    let found = check(&talk, &["CONNECT a.test:443 200"]);
    assert_eq!(found[0].notes, Notes::UPGRADED);
}

#[test]
fn events_are_found_when_they_pass() {
    let mut talk = Talk::open(4000);
    talk.asks(get("/events"))
        .says("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    talk.says("9\r\ndata: 1\n\n\r\n").says("9\r\ndata: 2\n\n\r\n").says("0\r\n\r\n").close();
    let found = check(&talk, &["GET /events 200"]);
    let times: Vec<_> = found[0]
        .stream
        .as_ref()
        .unwrap()
        .messages
        .iter()
        .map(|message| (message.at_us, message.len))
        .collect();
    assert_eq!(times, [(2_000, 8), (3_000, 8)]);
    assert_eq!(
        (found[0].notes, found[0].ttfb_us, found[0].duration_us),
        (Notes::STREAM, Some(1_000), Some(4_000))
    );
}

#[test]
fn what_is_no_http_is_counted() {
    let counted = |talk: &Talk| {
        let tally = import(talk).tally;
        assert_eq!((tally.imported, tally.damaged), (0, 0), "{tally:?}");
        tally.noted.keys().next().cloned().unwrap_or_default()
    };
    let mut talk = Talk::open(4000);
    talk.asks(b"\x16\x03\x01\x02\x00\x01").says(b"\x16\x03\x03").close();
    assert!(counted(&talk).contains("TLS"));
    let mut talk = Talk::open(4000);
    talk.says("220 mail.test ESMTP\r\n").asks("EHLO x\r\n").close();
    assert!(counted(&talk).contains("speaks first"));
    let mut talk = Talk::open(4000);
    talk.asks(b"\x00\x01binary").says(b"\x00\x02").close();
    assert!(counted(&talk).contains("no HTTP"));
}

#[test]
fn joined_midway_the_first_message_begins_it() {
    let mut talk = Talk::midway(4000);
    talk.says("of an answer that began before")
        .asks(get("/a"))
        .says(ok("x"))
        .asks(get("/b"))
        .says(ok("y"))
        .close();
    let found = import(&talk);
    assert_eq!(brief(&found.exchanges), ["GET /a 200", "GET /b 200"]);
    let mut talk = Talk::midway(4000);
    talk.says(ok("to a request before")).asks(get("/a")).says(ok("x")).close();
    let found = import(&talk);
    assert_eq!(brief(&found.exchanges), ["GET /a 200"]);
    assert_eq!(found.tally.noted.get("answers without a request"), Some(&1), "{:?}", found.tally);
}

#[test]
fn ports_are_used_again() {
    let mut talk = Talk::open(4000);
    talk.asks(get("/a")).says(ok("x")).close();
    let mut again = talk.again();
    again.asks(get("/b")).says(ok("y")).close();
    talk.packets.extend(again.packets);
    let found = check(&talk, &["GET /a 200", "GET /b 200"]);
    assert_ne!(found[0].connection, found[1].connection);
    assert_eq!(found[0].session, found[1].session);
}

#[test]
fn packets_cut_by_the_capture_still_say_what_was_asked() {
    let mut talk = Talk::open(4000);
    talk.asks(get("/a")).says(ok(&"x".repeat(2000))).asks(get("/b")).says(ok("y")).close();
    // 20 of IP, 20 of TCP, and the first line with a part of the fields
    let file = pcap(&talk.packets, 82);
    let found = bytes(Format::Pcap, &file).unwrap();
    assert_eq!(brief(&found.exchanges), ["GET /a 200", "GET /b 200"], "{:?}", found.tally);
    assert!(found.exchanges.iter().all(|exchange| exchange.notes.contains(Notes::LOSSY)));
    assert_eq!(answer_body(&found.exchanges[0]).len, 2000);
    assert!(0 < found.tally.noted["bytes not captured"]);
}

/// A server that still remembers an older connection acknowledges what was never sent; the client resets that, and opens
/// again with the same number.
#[test]
fn an_attempt_that_is_made_again_is_another_connection() {
    let mut talk = Talk::midway(4000);
    talk.packet(true, b"", "S");
    let mut stale = Talk::midway(4000).again();
    stale.packets.clear();
    stale.packet(false, b"", "A");
    stale.packet(true, b"", "R");
    talk.packets.append(&mut stale.packets);
    let mut again = Talk::open(4000);
    again.asks(get("/a")).says(ok("first")).close();
    talk.packets.append(&mut again.packets);
    check(&talk, &["GET /a 200"]);
    assert_eq!(import(&talk).tally.noted, [].into());
}

#[test]
fn what_comes_behind_a_reset_is_counted() {
    let mut talk = Talk::open(4000);
    talk.asks(get("/a")).says(ok("first"));
    talk.packet(false, b"", "R");
    talk.asks(get("/b"));
    check(&talk, &["GET /a 200"]);
    assert_eq!(import(&talk).tally.noted, [("segments behind a reset".to_owned(), 1)].into());
}

#[test]
fn the_opening_words_of_http2_are_no_request() {
    let mut talk = Talk::midway(4000);
    talk.says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n");
    talk.asks("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").close();
    assert!(import(&talk).exchanges.is_empty());
}
