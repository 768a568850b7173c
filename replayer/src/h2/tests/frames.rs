//! Scripts of frames: what a server may send, and what it may not.

use super::*;

fn head(stream: u32, fields: &[(&str, &str)], end: bool) -> Seen {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Seen::Head(10 * stream, 200, fields, end)
}

#[test]
fn a_connection_begins_with_preface_settings_and_window() {
    let mut client = Client::fresh();
    assert!(client.out.starts_with(frame::PREFACE));
    client.out.drain(..frame::PREFACE.len());
    let kinds: Vec<u8> = client.written().iter().map(|(head, _)| head.kind).collect();
    assert_eq!(kinds, [frame::SETTINGS, frame::WINDOW_UPDATE]);
    client.open(true);
    client.open(true);
    let requests = client.written();
    assert_eq!(requests[0].1, [hpack::NO_TABLE, 0x82, 0x87, 0x84]);
    assert_eq!(requests[1].1, [0x82, 0x87, 0x84]);
    assert_eq!(requests[1].0.flags, frame::END_HEADERS | frame::END_STREAM);
}

#[test]
fn answers_become_events_in_their_order() {
    let mut client = Client::new(&[]);
    let (a, b, c) = (client.open(true), client.open(true), client.open(true));
    let fields = [(":status", "200"), ("server", "x"), ("content-length", "5")];
    let bytes = [
        headers(b, &[(":status", "103"), ("link", "y")], false),
        headers(b, &[(":status", "200")], true),
        headers(a, &fields, false),
        data(a, b"he", false),
        headers(c, &[(":status", "200")], false),
        data(a, b"llo", true),
        raw(frame::DATA, frame::PADDED | frame::END_STREAM, c, b"\x02abc\0\0"),
    ];
    client.feed(&bytes.concat()).unwrap();
    assert_eq!(
        client.seen(),
        [
            Seen::Interim(10 * b, 103),
            head(b, &[], true),
            head(a, &fields[1..], false),
            Seen::Data(10 * a, b"he".to_vec(), false),
            head(c, &[], false),
            Seen::Data(10 * a, b"llo".to_vec(), true),
            Seen::Data(10 * c, b"abc".to_vec(), true),
        ]
    );
    assert_eq!(client.connection.open_streams(), 0);
}

#[test]
fn an_answer_may_end_with_trailers_or_nothing() {
    let mut client = Client::new(&[]);
    let (a, b) = (client.open(true), client.open(true));
    let trailers = headers(a, &[("grpc-status", "0")], true);
    let bytes = [ok(a), data(a, b"x", false), trailers, ok(b), data(b, b"", true)].concat();
    client.feed(&bytes).unwrap();
    let expected = Seen::Trailers(10, vec![("grpc-status".to_owned(), "0".to_owned())]);
    assert_eq!(client.seen()[2..], [expected, head(b, &[], false), Seen::Data(30, vec![], true)]);
    assert_eq!(client.connection.streams().count(), 0);
}

#[test]
fn a_header_block_may_come_in_frames_with_padding_and_priority() {
    let mut client = Client::new(&[]);
    let stream = client.open(true);
    let flags = frame::PADDED | frame::PRIORITIZED | frame::END_STREAM;
    let first = raw(frame::HEADERS, flags, stream, b"\x03\0\0\0\0\x10\x88\x0f\0\0\0");
    let rest = raw(frame::CONTINUATION, frame::END_HEADERS, stream, b"\x27\x01z");
    client.feed(&[first, raw(frame::CONTINUATION, 0, stream, b""), rest].concat()).unwrap();
    assert_eq!(client.seen(), [head(stream, &[("server", "z")], true)]);
}

/// The frames end the connection with this code, whatever is open: stream 1 and, answered, stream 3.
fn fatal(code: u32, bytes: &[u8]) {
    let mut client = Client::new(&[]);
    let (_, answered) = (client.open(true), client.open(true));
    client.feed(&ok(answered)).unwrap();
    client.out.clear();
    let error = client.feed(bytes).unwrap_err();
    assert_eq!(error.code, code, "{error}");
    let written = client.written();
    let (head, payload) = written.last().unwrap();
    assert_eq!((head.kind, &payload[4..]), (frame::GO_AWAY, &code.to_be_bytes()[..]));
    assert_eq!(client.feed(b""), Err(error));
    assert!(!client.connection.can_open() && client.connection.is_going_away());
    assert_eq!(client.connection.streams().count(), 2, "the caller learns which are lost");
}

#[test]
fn what_breaks_the_connection() {
    fatal(PROTOCOL_ERROR, &data(0, b"x", false));
    fatal(PROTOCOL_ERROR, &data(2, b"x", false));
    fatal(PROTOCOL_ERROR, &data(5, b"x", false));
    fatal(PROTOCOL_ERROR, &ok(0));
    fatal(PROTOCOL_ERROR, &ok(5));
    fatal(PROTOCOL_ERROR, &raw(frame::DATA, frame::PADDED, 3, b"\x04abc"));
    fatal(PROTOCOL_ERROR, &raw(frame::HEADERS, frame::PADDED | frame::END_HEADERS, 1, b"\x03\x88"));
    fatal(PROTOCOL_ERROR, &raw(frame::PUSH_PROMISE, frame::END_HEADERS, 1, b"\0\0\0\x02\x82"));
    fatal(PROTOCOL_ERROR, &raw(frame::CONTINUATION, 0, 1, b""));
    fatal(PROTOCOL_ERROR, &[raw(frame::HEADERS, 0, 1, b""), data(3, b"x", false)].concat());
    fatal(PROTOCOL_ERROR, &[raw(frame::HEADERS, 0, 1, b""), raw(frame::CONTINUATION, 0, 3, b"")].concat());
    fatal(PROTOCOL_ERROR, &[raw(frame::HEADERS, 0, 1, b""), raw(0x42, 0, 1, b"")].concat());
    fatal(PROTOCOL_ERROR, &raw(frame::PING, 0, 1, &[0; 8]));
    fatal(PROTOCOL_ERROR, &raw(frame::SETTINGS, 0, 1, b""));
    fatal(PROTOCOL_ERROR, &raw(frame::SETTINGS, 0, 0, b"\0\x02\0\0\0\x01"));
    fatal(PROTOCOL_ERROR, &raw(frame::SETTINGS, 0, 0, b"\0\x05\0\0\x3f\xff"));
    fatal(PROTOCOL_ERROR, &raw(frame::GO_AWAY, 0, 1, &[0; 8]));
    fatal(PROTOCOL_ERROR, &raw(frame::RST_STREAM, 0, 5, &[0; 4]));
    fatal(PROTOCOL_ERROR, &raw(frame::PRIORITY, 0, 0, &[0; 5]));
    fatal(PROTOCOL_ERROR, &window(0, 0));
    fatal(PROTOCOL_ERROR, &window(5, 1));
    fatal(FLOW_CONTROL_ERROR, &window(0, frame::WINDOW_MAX));
    fatal(FLOW_CONTROL_ERROR, &raw(frame::SETTINGS, 0, 0, b"\0\x04\x80\0\0\0"));
    fatal(COMPRESSION_ERROR, &raw(frame::HEADERS, frame::END_HEADERS, 1, b"\x80"));
    let empty_head = Head { length: 16_385, kind: frame::DATA, flags: 0, stream: 3 };
    let mut bytes = Vec::new();
    empty_head.write(&mut bytes);
    fatal(FRAME_SIZE_ERROR, &bytes);
    for kind in [frame::PRIORITY, frame::RST_STREAM, frame::PING, frame::GO_AWAY, frame::WINDOW_UPDATE] {
        let stream = u32::from(!matches!(kind, frame::PING | frame::GO_AWAY));
        fatal(FRAME_SIZE_ERROR, &raw(kind, 0, stream, &[0; 3]));
    }
    fatal(FRAME_SIZE_ERROR, &raw(frame::SETTINGS, 0, 0, &[0; 7]));
    fatal(FRAME_SIZE_ERROR, &raw(frame::SETTINGS, frame::ACK, 0, &[0; 6]));
    fatal(FRAME_SIZE_ERROR, &raw(frame::DATA, frame::PADDED, 3, b""));
    fatal(FRAME_SIZE_ERROR, &raw(frame::HEADERS, frame::PADDED | frame::END_HEADERS, 1, b""));
    fatal(FRAME_SIZE_ERROR, &raw(frame::HEADERS, frame::PRIORITIZED | frame::END_HEADERS, 1, b"\0\0\0\0"));
}

#[test]
fn the_first_frame_must_be_settings() {
    for bytes in [raw(frame::PING, 0, 0, &[0; 8]), raw(frame::SETTINGS, frame::ACK, 0, b"")] {
        assert_eq!(Client::fresh().feed(&bytes).unwrap_err().code, PROTOCOL_ERROR);
    }
    assert!(Client::fresh().feed(b"HTTP/1.1 400 Bad Request\r\n\r\n").is_err());
}

#[test]
fn a_peer_may_not_go_on_with_what_it_ended() {
    for bytes in [data(1, b"x", false), ok(1)] {
        let mut client = Client::new(&[]);
        client.open(true);
        client.feed(&headers(1, &[(":status", "200")], true)).unwrap();
        client.feed(&[window(1, 5), raw(frame::RST_STREAM, 0, 1, &[0; 4])].concat()).unwrap(); // late, but allowed
        assert_eq!(client.feed(&bytes).unwrap_err().code, STREAM_CLOSED);
    }
}

/// Frames for stream 1 break only that; stream 3 goes on.
fn offends(code: u32, frames: &[Vec<u8>]) {
    let mut client = Client::new(&[]);
    let (a, b) = (client.open(true), client.open(true));
    client.out.clear();
    client.feed(&frames.concat()).unwrap();
    let seen = client.seen();
    let Some(Seen::Reset(10, found, Why::Malformed(why))) = seen.last() else { panic!("{seen:?}") };
    assert_eq!(*found, code, "{why}");
    let (head, payload) = client.written().pop().unwrap();
    assert_eq!((head.kind, head.stream, payload), (frame::RST_STREAM, a, code.to_be_bytes().to_vec()));
    client.feed(&[data(a, b"late", false), headers(b, &[(":status", "200")], true)].concat()).unwrap();
    assert_eq!(client.seen(), [self::head(b, &[], true)]);
}

#[test]
fn what_breaks_a_stream() {
    let length = |value: &str| headers(1, &[(":status", "200"), ("content-length", value)], false);
    offends(PROTOCOL_ERROR, &[data(1, b"x", false)]);
    offends(PROTOCOL_ERROR, &[ok(1), ok(1)]);
    offends(PROTOCOL_ERROR, &[ok(1), headers(1, &[(":status", "200")], true)]);
    offends(PROTOCOL_ERROR, &[headers(1, &[(":status", "100")], true)]);
    offends(PROTOCOL_ERROR, &[headers(1, &[(":status", "101")], false)]);
    offends(PROTOCOL_ERROR, &[headers(1, &[], true)]);
    offends(PROTOCOL_ERROR, &[headers(1, &[("server", "x"), (":status", "200")], true)]);
    offends(PROTOCOL_ERROR, &[headers(1, &[(":status", "200"), (":status", "200")], true)]);
    offends(PROTOCOL_ERROR, &[headers(1, &[(":status", "200"), (":path", "/")], true)]);
    offends(PROTOCOL_ERROR, &[headers(1, &[(":status", "20")], true)]);
    offends(PROTOCOL_ERROR, &[headers(1, &[(":status", "0200")], true)]);
    offends(PROTOCOL_ERROR, &[headers(1, &[(":status", "200"), ("Server", "x")], true)]);
    offends(PROTOCOL_ERROR, &[headers(1, &[(":status", "200"), ("server", "x\r\ny: z")], true)]);
    offends(PROTOCOL_ERROR, &[headers(1, &[(":status", "200"), ("connection", "close")], true)]);
    offends(PROTOCOL_ERROR, &[length("-1")]);
    offends(PROTOCOL_ERROR, &[length("5"), data(1, b"123456", false)]);
    offends(PROTOCOL_ERROR, &[length("5"), data(1, b"1234", true)]);
    offends(PROTOCOL_ERROR, &[length("5"), data(1, b"1234", false), headers(1, &[("a", "b")], true)]);
    offends(PROTOCOL_ERROR, &[window(1, 0)]);
    offends(FLOW_CONTROL_ERROR, &[window(1, frame::WINDOW_MAX)]);
    offends(ENHANCE_YOUR_CALM, &[headers(1, &[("x", "y"); 129], true)]);
}

#[test]
fn resets_and_refusals_of_the_peer_are_told() {
    let mut client = Client::new(&[]);
    let streams: Vec<u32> = (0..4).map(|_| client.open(true)).collect();
    client.feed(&raw(frame::RST_STREAM, 0, streams[0], &CANCEL.to_be_bytes())).unwrap();
    assert_eq!(client.seen(), [Seen::Reset(10, CANCEL, Why::Peer)]);
    client.feed(&raw(frame::GO_AWAY, 0, 0, b"\0\0\0\x03\0\0\0\0because")).unwrap();
    let refused = |tag| Seen::Reset(tag, REFUSED_STREAM, Why::Peer);
    assert_eq!(client.seen(), [Seen::GoAway(3, NO_ERROR), refused(50), refused(70)]);
    assert!(!client.connection.can_open());
    assert_eq!(client.connection.request(&mut client.out, &[0x82], true, 0), None);
    client.feed(&[ok(7), headers(3, &[(":status", "200")], true)].concat()).unwrap();
    assert_eq!(client.seen(), [head(3, &[], true)], "what was begun goes on");
}

#[test]
fn what_we_reset_is_over_at_once() {
    let mut client = Client::new(&[]);
    let stream = client.open(false);
    client.written();
    client.connection.reset(&mut client.out, stream, CANCEL);
    client.connection.reset(&mut client.out, stream, CANCEL);
    assert_eq!(client.written().len(), 1);
    client.feed(&[ok(stream), data(stream, b"late", true)].concat()).unwrap();
    assert_eq!(client.seen(), []);
    assert_eq!(client.connection.open_streams(), 0);
}
