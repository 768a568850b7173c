//! The messages of streams are in the capture: which way, how large, when, and what the client said.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use captures::messages::{Message, MessageKind, Stream, StreamKind};
use captures::notes::Notes;
use captures::{Exchange, Reader};

use crate::harness::h2::{block_on, piece};
use crate::harness::proxy::ms;
use crate::harness::{Client, Gate, H2Client, H2Origin, Origin, Proxy, Then, eventually};

/// The one exchange of a capture and its stream.
fn only(path: &Path) -> (Exchange, Stream) {
    let all: Vec<_> = Reader::open(path).expect("a capture").exchanges().collect();
    let [Ok(exchange)] = all.as_slice() else { panic!("one exchange: {all:?}") };
    let stream = exchange.stream.clone().expect("its messages");
    for (before, after) in stream.messages.iter().zip(stream.messages.iter().skip(1)) {
        assert!(before.at_us <= after.at_us, "{stream:?}");
    }
    let last = stream.messages.last().map_or(0, |message| message.at_us);
    assert!(last <= exchange.duration_us.expect("known"));
    (exchange.clone(), stream)
}

/// Everything that the capture says, as text.
fn told(exchange: &Exchange) -> String {
    let mut line = Vec::new();
    captures::export::ndjson::write_line(exchange, &mut line).expect("memory takes it");
    String::from_utf8(line).expect("JSON")
}

const EVENTS: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

#[test]
fn events_are_kept_with_their_sizes_and_gaps() {
    let gate = Gate::new();
    let wait = gate.clone();
    let origin = Origin::start(move |_, tcp| {
        tcp.write_all(EVENTS.as_bytes()).expect("taken");
        for number in 1..=5 {
            wait.pass();
            let event = format!("id: {number}\r\ndata: {}\r\n\r\n", "x".repeat(number));
            // an event in two pieces has passed with its second
            let (first, second) = event.split_at(7);
            tcp.write_all(chunk(first).as_bytes()).expect("taken");
            tcp.write_all(chunk(second).as_bytes()).expect("taken");
        }
        wait.pass();
        let alive = format!("{}0\r\n\r\n", chunk(": alive\n\ndata: unfinished"));
        tcp.write_all(alive.as_bytes()).expect("taken");
        Then::Keep
    });
    let mut proxy = Proxy::before(origin.addr).recorded().start();
    let mut client = proxy.client();
    client.send("GET /events HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.head().status, 200);
    let mut seen = String::new();
    for number in 1..=5 {
        std::thread::sleep(GAP);
        gate.open();
        while !seen.contains(&"x".repeat(number)) {
            seen.push_str(&String::from_utf8_lossy(&client.some()));
        }
    }
    gate.open();
    eventually("the stream has ended", || proxy.status()["in_flight"] == 0);
    proxy.stop();
    let (exchange, stream) = only(&proxy.capture());
    assert_eq!((exchange.notes, stream.kind, stream.truncated), (Notes::STREAM, StreamKind::Sse, 0));
    let sizes: Vec<_> = stream.messages.iter().map(|message| (message.kind, message.len)).collect();
    let event = |number: u64| (MessageKind::Event, 7 + 6 + number + 2);
    assert_eq!(sizes[..5], [1, 2, 3, 4, 5].map(event));
    assert_eq!(sizes[5..], [(MessageKind::Comment, 8)]);
    assert!(stream.messages.iter().all(|message| !message.from_client && message.data.is_none()));
    for (before, after) in stream.messages[..4].iter().zip(&stream.messages[1..]) {
        assert!(GAP.as_micros() as u64 <= after.at_us - before.at_us, "{stream:?}");
    }
    assert!(exchange.ttfb_us.expect("known") < stream.messages[0].at_us);
}

const GAP: Duration = Duration::from_millis(20);

pub(crate) const UPGRADE: &str = "GET /socket HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
pub(crate) const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

/// Answers every message with the same, and a close with a close.
pub(crate) fn echo(tcp: &mut TcpStream) -> Then {
    tcp.write_all(SWITCHED.as_bytes()).expect("taken");
    while let Some((first, payload)) = read_frame(tcp) {
        let answered = tcp.write_all(&frame(first, &payload, None));
        if answered.is_err() || first & 0x0f == CLOSE {
            break;
        }
    }
    Then::Close
}

/// First byte and payload of a frame; `None` at the end.
pub(crate) fn read_frame(from: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    from.read_exact(&mut head).ok()?;
    let mut len = [0; 2];
    let len = match head[1] & 0x7f {
        126 => {
            from.read_exact(&mut len).ok()?;
            usize::from(u16::from_be_bytes(len))
        }
        len => usize::from(len),
    };
    let mut mask = [0; 4];
    if head[1] & 0x80 != 0 {
        from.read_exact(&mut mask).ok()?;
    }
    let mut payload = vec![0; len];
    from.read_exact(&mut payload).ok()?;
    payload.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= mask[at & 3]);
    Some((head[0], payload))
}

pub(crate) fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut out = vec![first];
    match u8::try_from(payload.len()) {
        Ok(len) if len < 126 => out.push(bit | len),
        _ => {
            out.push(bit | 126);
            out.extend_from_slice(&u16::try_from(payload.len()).expect("a small frame").to_be_bytes());
        }
    }
    out.extend(mask.iter().flatten());
    let mask = mask.unwrap_or_default();
    out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at & 3]));
    out
}

pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, Some([0x5a, 0x01, 0xfe, 0x33]))
}

pub(crate) const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x08;

/// A WebSocket through the proxy.
fn upgraded(proxy: &Proxy) -> Client {
    let mut client = proxy.client();
    client.send(UPGRADE);
    assert_eq!(client.head().status, 101);
    client
}

fn sides(stream: &Stream) -> (Vec<&Message>, Vec<&Message>) {
    stream.messages.iter().partition(|message| message.from_client)
}

#[test]
fn web_socket_messages_are_kept_in_both_directions() {
    let origin = Origin::start(|_, tcp| echo(tcp));
    let mut proxy = Proxy::before(origin.addr).recorded().start();
    let mut client = upgraded(&proxy);
    let large = vec![7; 3_000];
    // a text in two fragments with a ping between them; the echo sends each frame back as it is
    let said: [(u8, &[u8]); 6] =
        [(0x01, b"hel"), (0x89, b"p"), (0x80, b"lo"), (BINARY, &large), (TEXT, b""), (0x88, b"\x03\xe8")];
    for (first, payload) in said {
        std::thread::sleep(ms(2));
        client.send(masked(first, payload));
        let expect = frame(first, payload, None);
        assert_eq!(client.exactly(expect.len()), expect);
    }
    client.rest();
    proxy.stop();
    let (exchange, stream) = only(&proxy.capture());
    assert_eq!(stream.kind, StreamKind::WebSocket);
    assert!(exchange.notes.contains(Notes::UPGRADED.with(Notes::WEBSOCKET)));
    assert!(!exchange.notes.contains(Notes::REQUEST_TRUNCATED));
    assert_eq!((exchange.request.body.len, exchange.request.body.data.as_deref()), (0, None));
    let (client, server) = sides(&stream);
    let sizes = |messages: &[&Message]| -> Vec<_> {
        messages.iter().map(|message| (message.kind, message.len)).collect()
    };
    use MessageKind::{Binary, Close, Ping, Text};
    let expect = [(Ping, 1), (Text, 5), (Binary, 3_000), (Text, 0), (Close, 2)];
    assert_eq!((sizes(&client), sizes(&server)), (expect.to_vec(), expect.to_vec()));
    let data: Vec<_> = client.iter().map(|message| message.data.as_deref()).collect();
    assert_eq!(data, [Some(&b"p"[..]), Some(b"hello"), Some(&large), Some(b""), Some(b"\x03\xe8")]);
    assert!(server.iter().all(|message| message.data.is_none()));
    for (sent, answered) in client.iter().zip(&server) {
        assert!(sent.at_us <= answered.at_us);
    }
    let span = stream.messages.last().expect("ten").at_us - stream.messages[0].at_us;
    assert!(8_000 <= span, "four sleeps of 2 ms lie between: {span}");
    assert!(exchange.ttfb_us.expect("known") < stream.messages[0].at_us);
}

#[test]
fn secrets_in_messages_do_not_reach_the_disk() {
    let origin = Origin::start(|_, tcp| echo(tcp));
    let mut proxy = Proxy::before(origin.addr).recorded().start();
    let mut client = upgraded(&proxy);
    let login = br#"{"op":"login","user":"ann","password":"hunter2-secret"}"#;
    let binary = b"\xff\x00hunter2-secret\xff";
    for (first, payload) in [(BINARY, &binary[..]), (TEXT, login), (0x88, b"")] {
        client.send(masked(first, payload));
        client.exactly(frame(first, payload, None).len());
    }
    client.rest();
    proxy.stop();
    let (exchange, stream) = only(&proxy.capture());
    let text = told(&exchange);
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains("ann") && text.contains("squall_"), "what is no secret stays: {text}");
    let (client, _) = sides(&stream);
    let login = client[1].data.as_deref().expect("recorded");
    assert_eq!(client[1].len, login.len() as u64);
    assert!(client[0].data.is_none() && exchange.notes.contains(Notes::BODY_WITHHELD));
}

#[test]
fn what_clients_say_is_recorded_as_their_requests_are() {
    let origin = Origin::start(|_, tcp| echo(tcp));
    let policy = "request=digest".parse().expect("a policy");
    let mut proxy =
        Proxy::before(origin.addr).recorded().with(|config| config.record_bodies = policy).start();
    let mut client = upgraded(&proxy);
    client.send(masked(TEXT, b"ten bytes."));
    client.exactly(12);
    drop(client);
    eventually("noticed", || proxy.status()["in_flight"] == 0);
    proxy.stop();
    let (_, stream) = only(&proxy.capture());
    let (client, _) = sides(&stream);
    assert_eq!((client[0].len, client[0].data.as_deref()), (10, None));
}

#[test]
fn messages_beyond_the_body_limit_keep_their_size_only() {
    let origin = Origin::start(|_, tcp| echo(tcp));
    let mut proxy = Proxy::before(origin.addr).recorded().with(|config| config.body_limit = 10).start();
    let mut client = upgraded(&proxy);
    for payload in [&b"twelve bytes"[..], b"ten bytes."] {
        client.send(masked(TEXT, payload));
        client.exactly(2 + payload.len());
    }
    // a compressed message says nothing by itself
    client.send(masked(TEXT | 0x40, b"abc"));
    client.exactly(5);
    drop(client);
    eventually("noticed", || proxy.status()["in_flight"] == 0);
    proxy.stop();
    let (_, stream) = only(&proxy.capture());
    let (client, server) = sides(&stream);
    let said: Vec<_> =
        client.iter().map(|message| (message.len, message.data.is_some(), message.compressed)).collect();
    assert_eq!(said, [(12, false, false), (10, true, false), (3, false, true)]);
    assert_eq!(server.len(), 3);
}

#[test]
fn what_is_no_web_socket_passes_and_ends_the_search() {
    let origin = Origin::start(|_, tcp| {
        tcp.write_all(format!("{SWITCHED}no frames at all").as_bytes()).expect("taken");
        let mut bytes = [0; 9];
        tcp.read_exact(&mut bytes).expect("passed");
        tcp.write_all(&bytes).expect("taken");
        Then::Close
    });
    let mut proxy = Proxy::before(origin.addr).recorded().start();
    let mut client = upgraded(&proxy);
    client.exactly(16);
    client.send("\u{7f} nor here");
    let (rest, _) = client.rest();
    assert_eq!(rest.len(), 9);
    proxy.stop();
    assert!(only(&proxy.capture()).1.messages.is_empty());
}

#[test]
fn streams_still_open_when_the_proxy_stops_are_kept() {
    let origin = Origin::start(|request, tcp| {
        if request.target() == "/socket" {
            return echo(tcp);
        }
        let event = chunk("data: 1\n\n");
        tcp.write_all(format!("{EVENTS}{event}{event}").as_bytes()).expect("taken");
        let _ = tcp.read(&mut [0]);
        Then::Close
    });
    for target in ["/socket", "/events"] {
        let proxy = Proxy::before(origin.addr).recorded();
        let mut proxy = proxy.with(|config| config.grace = ms(100)).start();
        let mut client = proxy.client();
        if target == "/socket" {
            client = upgraded(&proxy);
            client.send([masked(TEXT, b"one"), masked(TEXT, b"two")].concat());
            client.exactly(10);
        } else {
            client.send("GET /events HTTP/1.1\r\nHost: t\r\n\r\n");
            client.head();
            // the proxy may pass both in one chunk
            let mut seen = String::new();
            while seen.matches("data: 1").count() < 2 {
                seen.push_str(&String::from_utf8_lossy(&client.some()));
            }
        }
        let books = proxy.stop();
        assert_eq!((books.unfinished, books.recorded), (1, 1), "{target}");
        let (exchange, stream) = only(&proxy.capture());
        assert_eq!(stream.count(false), 2, "{target}");
        assert_eq!(exchange.request.target, target);
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&[0], &u32::try_from(message.len()).expect("small").to_be_bytes()[..], message].concat()
}

#[test]
fn grpc_messages_are_kept_in_both_directions() {
    let origin = H2Origin::start(|request, mut respond| async move {
        let header = http::Response::builder().header("content-type", "application/grpc");
        let mut answer = respond.send_response(header.body(()).expect("a header"), false).expect("open");
        let mut body = request.into_body();
        while let Some(Ok(chunk)) = body.data().await {
            let _ = body.flow_control().release_capacity(chunk.len());
            if chunk.is_empty() {
                continue;
            }
            // an answer to each piece, in two pieces of its own
            answer.send_data(Bytes::from(framed(b"")), false).expect("open");
            answer.send_data(Bytes::from(framed(&[1; 20])), false).expect("open");
        }
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().expect("a value"));
        answer.send_trailers(trailers).expect("open");
    });
    let mut proxy = Proxy::before_url(&format!("h2c://{}", origin.addr)).recorded().start();
    block_on(async {
        let client = H2Client::connect(proxy.addr).await;
        let request = client.request("POST", "/shop.Cart/Watch");
        let request = request.header("content-type", "application/grpc").header("te", "trailers");
        let (response, mut send) = client.start(request, false).await;
        let mut body = None;
        let mut response = Some(response);
        // the second message comes in two pieces, the first of which ends the first
        let both = [framed(b"hello"), framed(b"second message")].concat();
        for bytes in [&both[..14], &both[14..]] {
            tokio::time::sleep(ms(5)).await;
            send.send_data(Bytes::copy_from_slice(bytes), false).expect("open");
            if let Some(response) = response.take() {
                body = Some(response.await.expect("an answer").into_body());
            }
            let mut seen = 0;
            while seen < 5 + 25 {
                seen += piece(body.as_mut().expect("there since the first")).await.len();
            }
        }
        send.send_data(Bytes::new(), true).expect("open");
        let mut body = body.expect("there");
        while let Some(Ok(_)) = body.data().await {}
        let trailers = body.trailers().await.expect("no reset").expect("trailers");
        assert_eq!(trailers["grpc-status"], "0");
    });
    proxy.stop();
    let (exchange, stream) = only(&proxy.capture());
    assert_eq!((exchange.notes, stream.kind), (Notes::STREAM, StreamKind::Grpc));
    let (client, server) = sides(&stream);
    let said: Vec<_> = client.iter().map(|message| message.data.as_deref()).collect();
    assert_eq!(said, [Some(&b"hello"[..]), Some(b"second message")]);
    assert_eq!(server.iter().map(|message| message.len).collect::<Vec<_>>(), [0, 20, 0, 20]);
    assert!(stream.messages.iter().all(|message| message.kind == MessageKind::Framed));
    assert!(5_000 <= client[1].at_us - client[0].at_us, "a sleep of 5 ms lies between");
    assert!(server[1].at_us <= client[1].at_us && client[1].at_us <= server[2].at_us);
    assert_eq!(exchange.request.body.len, 10 + 5 + 14);
}

#[test]
fn grpc_over_http_1_towards_the_origin_and_refused_calls() {
    let origin = Origin::plain();
    let mut proxy = Proxy::before(origin.addr).recorded().start();
    let mut client = proxy.client();
    let body = framed(b"hello");
    client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Type: application/grpc-web+proto\r\nContent-Length: 10\r\n\r\n");
    client.send(&body);
    client.answer(false);
    proxy.stop();
    let (_, stream) = only(&proxy.capture());
    let [message] = stream.messages.as_slice() else { panic!("the client's only: {stream:?}") };
    assert!(message.from_client && message.data.as_deref() == Some(b"hello"));
}

#[test]
fn without_a_recording_or_for_replays_nothing_is_kept() {
    let origin = Origin::start(|_, tcp| echo(tcp));
    let mut proxy = Proxy::before(origin.addr).recorded().start();
    let mut client = proxy.client();
    client.send(UPGRADE.replace("Host: t\r\n", "Host: t\r\nSquall-Op: 00000000000000aa\r\n"));
    assert_eq!(client.head().status, 101);
    client.send(masked(TEXT, b"one"));
    client.exactly(5);
    drop(client);
    eventually("noticed", || proxy.status()["in_flight"] == 0);
    let books = proxy.stop();
    assert_eq!(books.recorded, 0);
}
