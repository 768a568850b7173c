//! What a peer may ask of us, and how much of it.

use super::*;

#[test]
fn streams_are_limited_by_both_sides() {
    let mut client = Client::fresh();
    for _ in 0..limits::H2_STREAMS_AT_FIRST {
        client.open(true);
    }
    assert!(!client.connection.can_open(), "the peer has not told its limit");
    let mut settings = Vec::new();
    frame::settings(&mut settings, &[]);
    client.feed(&settings).unwrap();
    for _ in limits::H2_STREAMS_AT_FIRST..1000 {
        client.open(true);
    }
    assert!(!client.connection.can_open(), "our own limit");
    let mut client = Client::new(&[(frame::MAX_CONCURRENT_STREAMS, 1)]);
    client.open(true);
    assert!(!client.connection.can_open());
    client.feed(&headers(1, &[(":status", "200")], true)).unwrap();
    assert!(client.connection.can_open());
}

#[test]
fn numbers_of_streams_run_out() {
    let mut client = Client::new(&[]);
    client.connection.next = frame::STREAM_MAX;
    assert_eq!(client.open(true), frame::STREAM_MAX);
    assert!(!client.connection.can_open() && client.connection.is_going_away());
}

#[test]
fn ping_and_settings_are_answered() {
    let mut client = Client::new(&[]);
    let mut bytes = raw(frame::PING, 0, 0, b"12345678");
    frame::settings(&mut bytes, &[(0x99, 5)]);
    bytes.extend(raw(frame::PING, frame::ACK, 0, b"12345678"));
    client.feed(&bytes).unwrap();
    let written = client.written();
    let kinds: Vec<_> = written.iter().map(|(head, _)| (head.kind, head.flags)).collect();
    assert_eq!(kinds, [(frame::PING, frame::ACK), (frame::SETTINGS, frame::ACK)]);
    assert_eq!(written[0].1, b"12345678");
    assert_eq!(client.seen(), [Seen::Settled]);
}

#[test]
fn a_window_is_given_back_when_half_of_it_is_used() {
    let mut client = Client::new(&[]);
    let stream = client.open(true);
    client.feed(&ok(stream)).unwrap();
    client.written();
    for turn in 1..=40 {
        client.feed(&data(stream, &[0; 10_000], false)).unwrap();
        let updates = client.written();
        assert_eq!(updates.len(), usize::from(turn % 5 == 0));
        for (head, payload) in updates {
            assert_eq!((head.stream, payload), (stream, 50_000u32.to_be_bytes().to_vec()));
        }
    }
}

#[test]
fn the_window_of_the_connection_is_counted_over_all_streams() {
    let mut client = Client::new(&[]);
    let stream = client.open(true);
    client.connection.reset(&mut client.out, stream, CANCEL);
    client.written();
    client.connection.received = limits::H2_CONNECTION_WINDOW / 2 - 1;
    client.feed(&data(stream, b"x", false)).unwrap();
    let (head, payload) = client.written().pop().unwrap();
    assert_eq!((head.stream, payload), (0, (1u32 << 29).to_be_bytes().to_vec()));
}

#[test]
fn floods_end_the_connection() {
    let flood = |frame: &[u8]| {
        let mut client = Client::new(&[]);
        client.open(true);
        client.feed(&ok(1)).unwrap();
        let fed = (0..20_000).find_map(|_| client.feed(frame).err());
        assert_eq!(fed.map(|error| error.code), Some(ENHANCE_YOUR_CALM), "{frame:?}");
        assert!(client.out.len() <= 17 * 10_001, "{} bytes", client.out.len());
        assert!(client.connection.partial.capacity() < 64 * 1024);
    };
    flood(&raw(frame::PING, 0, 0, &[0; 8]));
    flood(&raw(frame::SETTINGS, 0, 0, b""));
    flood(&raw(frame::SETTINGS, frame::ACK, 0, b""));
    flood(&data(1, b"", false));
    flood(&raw(frame::PRIORITY, 0, 1, &[0; 5]));
    flood(&raw(0x42, 0, 1, b"whatever"));
    flood(&raw(frame::GO_AWAY, 0, 0, &[0x7f; 8]));
}

#[test]
fn header_blocks_without_end_are_cut_off() {
    for payload in [&b""[..], &[0x88; 16_000]] {
        let mut client = Client::new(&[]);
        client.open(true);
        client.feed(&raw(frame::HEADERS, 0, 1, b"")).unwrap();
        let fed = (0..70).find_map(|_| client.feed(&raw(frame::CONTINUATION, 0, 1, payload)).err());
        assert_eq!(fed.map(|error| error.code), Some(ENHANCE_YOUR_CALM));
    }
}

#[test]
fn interim_answers_without_end_are_cut_off() {
    let mut client = Client::new(&[]);
    client.open(true);
    let interim = headers(1, &[(":status", "102")], false);
    let fed = (0..20_000).find_map(|_| client.feed(&interim).err());
    assert_eq!(fed.map(|error| error.code), Some(ENHANCE_YOUR_CALM));
}
