//! Conversations in HTTP/2 without TLS.

use captures::exchange::Protocol;
use captures::messages::StreamKind;
use captures::notes::Notes;
use captures::{Body, Exchange};
use loona_hpack::Encoder;

use super::wire::Talk;
use super::{check, import};
use crate::kit::brief;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as they are typed: `:method GET; x-a b`.
fn block(encoder: &mut Encoder<'_>, fields: &str) -> Vec<u8> {
    let pairs: Vec<(&[u8], &[u8])> = fields
        .split("; ")
        .filter_map(|field| field.split_once(' '))
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    let mut out = Vec::new();
    encoder.encode_into(pairs, &mut out).unwrap();
    out
}

fn get(encoder: &mut Encoder<'_>, stream: u32, path: &str) -> Vec<u8> {
    let fields = format!(":method GET; :scheme http; :authority shop.test; :path {path}; user-agent x");
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(encoder, &fields))
}

fn body(exchange: &Exchange) -> Body {
    exchange.response.as_ref().unwrap().body.clone()
}

#[test]
fn a_server_may_speak_first() {
    let mut asks = Encoder::new();
    let settings = frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]);
    for size in [1, 4, 99] {
        let mut talk = Talk::open(4000);
        talk.pieces(false, &settings, size);
        talk.asks([PREFACE, &SETTINGS, &get(&mut asks, 1, "/a")].concat());
        talk.says(frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x88])).close();
        assert_eq!(brief(&import(&talk).exchanges), ["GET /a 200"], "in pieces of {size}");
        asks = Encoder::new();
    }
}

#[test]
fn streams_are_exchanges() {
    let (mut asks, mut says) = (Encoder::new(), Encoder::new());
    let mut talk = Talk::open(4000);
    talk.asks([PREFACE, &SETTINGS].concat()).says(SETTINGS);
    talk.asks([get(&mut asks, 1, "/a"), get(&mut asks, 3, "/b"), get(&mut asks, 5, "/c")].concat());
    // answered in another order, one with padding and priority, one in two frames
    let third = block(&mut says, ":status 200; content-type text/plain");
    let padded = [&[3][..], &[0, 0, 0, 0, 9], &third, &[0; 3]].concat();
    talk.says(
        [frame(HEADERS, END_HEADERS | PADDED | PRIORITY, 5, &padded), frame(DATA, 0, 5, b"thi")].concat(),
    );
    let first = block(&mut says, ":status 404; content-type text/plain");
    talk.says(
        [frame(HEADERS, END_STREAM, 1, &first[..1]), frame(CONTINUATION, END_HEADERS, 1, &first[1..])]
            .concat(),
    );
    talk.says(frame(DATA, END_STREAM | PADDED, 5, b"\x02rd\0\0"));
    talk.says(frame(HEADERS, END_HEADERS, 3, &block(&mut says, ":status 103; link x")));
    talk.says(frame(HEADERS, END_HEADERS | END_STREAM, 3, &block(&mut says, ":status 204"))).close();
    let found = check(&talk, &["GET /a 404", "GET /c 200", "GET /b 204"]);
    assert!(found.iter().all(|exchange| exchange.protocol == Protocol::Http2 && exchange.notes.is_empty()));
    assert_eq!(body(&found[1]), Body::whole("third"));
    let asked = &found[0].request;
    assert_eq!(
        (asked.scheme.as_str(), asked.authority.as_str(), asked.headers.len()),
        ("http", "shop.test", 1)
    );
    assert_eq!((found[1].ttfb_us, found[1].duration_us), (Some(1_000), Some(3_000)));
}

#[test]
fn grpc_calls_have_messages() {
    let (mut asks, mut says) = (Encoder::new(), Encoder::new());
    let message = |text: &str| [&[0][..], &(text.len() as u32).to_be_bytes(), text.as_bytes()].concat();
    let head = ":method POST; :scheme http; :authority a; :path /pkg.Service/Chat; content-type application/grpc; te trailers";
    let mut talk = Talk::open(4000);
    talk.asks([PREFACE, &SETTINGS, &frame(HEADERS, END_HEADERS, 1, &block(&mut asks, head))].concat());
    talk.asks(frame(DATA, 0, 1, &message("hello"))).says(SETTINGS);
    talk.says(frame(
        HEADERS,
        END_HEADERS,
        1,
        &block(&mut says, ":status 200; content-type application/grpc"),
    ));
    talk.says(frame(DATA, 0, 1, &message("one"))).says(frame(DATA, 0, 1, &message("two")));
    talk.asks(frame(DATA, END_STREAM, 1, b""));
    talk.says(frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&mut says, "grpc-status 0"))).close();
    let found = check(&talk, &["POST /pkg.Service/Chat 200"]);
    let stream = found[0].stream.as_ref().unwrap();
    let said: Vec<_> = stream
        .messages
        .iter()
        .map(|message| (message.at_us, message.from_client, message.len, message.data.as_deref()))
        .collect();
    assert_eq!(stream.kind, StreamKind::Grpc);
    assert_eq!(
        said,
        [(1_000, true, 5, Some(&b"hello"[..])), (4_000, false, 3, None), (5_000, false, 3, None)]
    );
    assert_eq!(found[0].notes, Notes::LOSSY.with(Notes::STREAM), "trailers are not kept");
}

#[test]
fn resets_and_ends() {
    let (mut asks, mut says) = (Encoder::new(), Encoder::new());
    let mut talk = Talk::open(4000);
    talk.asks([PREFACE, &SETTINGS].concat());
    let gets: Vec<u8> = (0..4).flat_map(|n| get(&mut asks, n * 2 + 1, &format!("/{n}"))).collect();
    talk.asks(gets);
    talk.says(frame(HEADERS, END_HEADERS, 1, &block(&mut says, ":status 200")));
    talk.asks(frame(RESET, 0, 1, &[0, 0, 0, 8])).says(frame(RESET, 0, 3, &[0, 0, 0, 7]));
    talk.says(frame(HEADERS, END_HEADERS, 5, &block(&mut says, ":status 200")))
        .says(frame(DATA, 0, 5, b"ha"));
    talk.packet(false, b"", "RA");
    let found = check(&talk, &["GET /0 200", "GET /1 0", "GET /2 200", "GET /3 0"]);
    let notes: Vec<Notes> = found.iter().map(|exchange| exchange.notes).collect();
    let cut = Notes::RESPONSE_TRUNCATED;
    assert_eq!(notes, [cut.with(Notes::CLIENT_GONE), Notes::UPSTREAM_FAILED, cut, Notes::UPSTREAM_FAILED]);
}

#[test]
fn an_upgrade_goes_on_with_its_first_stream() {
    let (mut asks, mut says) = (Encoder::new(), Encoder::new());
    let mut talk = Talk::open(4000);
    talk.asks("GET /up HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    talk.says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n").says(SETTINGS);
    talk.asks([PREFACE, &SETTINGS, &get(&mut asks, 3, "/next")].concat());
    talk.says(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&mut says, ":status 200")));
    talk.says(frame(HEADERS, END_HEADERS | END_STREAM, 3, &block(&mut says, ":status 201"))).close();
    let found = check(&talk, &["GET /up 200", "GET /next 201"]);
    assert!(found.iter().all(|exchange| exchange.protocol == Protocol::Http2));
}

#[test]
fn bytes_missing_in_data_cost_that_body_and_in_a_head_all_that_follow() {
    let conversation = || {
        let (mut asks, mut says) = (Encoder::new(), Encoder::new());
        let mut talk = Talk::open(4000);
        talk.asks([PREFACE, &SETTINGS].concat())
            .asks([get(&mut asks, 1, "/1"), get(&mut asks, 3, "/2")].concat());
        talk.says(frame(HEADERS, END_HEADERS, 1, &block(&mut says, ":status 200; x-a new")));
        talk.pieces(false, &frame(DATA, END_STREAM, 1, &[b'x'; 100]), 50);
        talk.says(frame(HEADERS, END_HEADERS | END_STREAM, 3, &block(&mut says, ":status 200; x-a new")))
            .close();
        talk
    };
    assert_eq!(check(&conversation(), &["GET /1 200", "GET /2 200"]).len(), 2);
    let mut talk = conversation();
    let found = import(talk.lose(7));
    assert_eq!(brief(&found.exchanges), ["GET /1 200", "GET /2 200"], "{:?}", found.tally);
    assert!(
        found.exchanges[0].notes.contains(Notes::RESPONSE_TRUNCATED) && found.exchanges[1].notes.is_empty()
    );
    assert_eq!((body(&found.exchanges[0]).len, found.tally.damaged), (100, 0));
    let mut talk = conversation();
    let found = import(talk.lose(5));
    assert_eq!(brief(&found.exchanges), ["GET /1 0", "GET /2 0"], "{:?}", found.tally);
    assert_eq!(found.tally.damaged, 1, "{:?}", found.tally);
}
