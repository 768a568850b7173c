//! Bodies of requests under flow control.

use bytes::Bytes;

use super::*;

fn piece(bytes: &[u8], filler: u64, end: bool) -> Piece {
    Piece { bytes: Bytes::copy_from_slice(bytes), filler, end }
}

/// The DATA written since the last call, as (stream, payload, end).
fn written(client: &mut Client) -> Vec<(u32, Vec<u8>, bool)> {
    let frames = client.written().into_iter().filter(|(head, _)| head.kind == frame::DATA);
    frames.map(|(head, payload)| (head.stream, payload, head.has(frame::END_STREAM))).collect()
}

#[test]
fn a_small_body_goes_at_once() {
    let mut client = Client::new(&[]);
    let stream = client.open(false);
    client.connection.send(&mut client.out, stream, piece(b"ab", 3, false));
    client.connection.send(&mut client.out, stream, piece(b"", 0, true));
    client.connection.send(&mut client.out, stream, piece(b"beyond", 0, true));
    let expected = [(stream, b"ab   ".to_vec(), false), (stream, vec![], true)];
    assert_eq!(written(&mut client), expected);
    assert!(!client.connection.is_blocked(stream));
}

#[test]
fn a_body_waits_for_its_stream_and_ends_once() {
    let mut client = Client::new(&[(frame::INITIAL_WINDOW_SIZE, 4)]);
    let stream = client.open(false);
    client.connection.send(&mut client.out, stream, piece(b"abcdef", 2, false));
    client.connection.send(&mut client.out, stream, piece(b"gh", 0, false));
    client.connection.send(&mut client.out, stream, piece(b"", 0, true));
    assert_eq!(client.connection.pending(stream), 6);
    assert_eq!(written(&mut client), [(stream, b"abcd".to_vec(), false)]);
    client.feed(&window(stream, 3)).unwrap();
    assert_eq!(written(&mut client), [(stream, b"ef ".to_vec(), false)]);
    client.feed(&window(stream, 100)).unwrap();
    assert_eq!(written(&mut client), [(stream, b" ".to_vec(), false), (stream, b"gh".to_vec(), true)]);
    assert_eq!(client.connection.pending(stream), 0);
    client.feed(&headers(stream, &[(":status", "200")], true)).unwrap();
    assert_eq!(client.connection.open_streams(), 0);
}

#[test]
fn settings_move_the_windows_of_open_streams() {
    let mut client = Client::new(&[(frame::INITIAL_WINDOW_SIZE, 10)]);
    let stream = client.open(false);
    client.connection.send(&mut client.out, stream, piece(b"", 30, true));
    let settings = |window: u32| {
        let mut bytes = Vec::new();
        frame::settings(&mut bytes, &[(frame::INITIAL_WINDOW_SIZE, 0), (frame::INITIAL_WINDOW_SIZE, window)]);
        bytes
    };
    client.feed(&settings(5)).unwrap(); // the window is -5 now
    client.feed(&window(stream, 5)).unwrap();
    assert_eq!(written(&mut client), [(stream, b" ".repeat(10), false)]);
    client.feed(&settings(12)).unwrap();
    assert_eq!(written(&mut client), [(stream, b" ".repeat(7), false)]);
    client.feed(&window(stream, frame::WINDOW_MAX - 12)).unwrap();
    assert_eq!(written(&mut client), [(stream, b" ".repeat(13), true)]);
    let error = client.feed(&settings(frame::WINDOW_MAX)).unwrap_err();
    assert_eq!(error.code, FLOW_CONTROL_ERROR);
}

#[test]
fn streams_take_turns_on_the_window_of_the_connection() {
    let mut client = Client::new(&[(frame::INITIAL_WINDOW_SIZE, 1 << 20)]);
    let (a, b, c) = (client.open(false), client.open(false), client.open(false));
    client.connection.send(&mut client.out, a, piece(b"", 100_000, true));
    client.connection.send(&mut client.out, b, piece(b"", 40_000, true));
    client.connection.send(&mut client.out, c, piece(b"", 40_000, true));
    let sum: usize = written(&mut client).iter().map(|(_, payload, _)| payload.len()).sum();
    assert_eq!(sum, 65_535);
    client.connection.reset(&mut client.out, c, CANCEL);
    assert!(!client.connection.wants_room());
    client.feed(&window(0, 200_000)).unwrap();
    let order: Vec<u32> = written(&mut client).iter().map(|(stream, ..)| *stream).collect();
    assert_eq!(order, [a, b, a, b, a, b]);
    assert_eq!(client.connection.uploads.len(), 0);
    assert_eq!(client.connection.line.len(), 0);
}

#[test]
fn a_great_body_does_not_fill_the_memory() {
    let mut client = Client::new(&[(frame::INITIAL_WINDOW_SIZE, frame::WINDOW_MAX)]);
    client.feed(&window(0, frame::WINDOW_MAX - frame::WINDOW_AT_FIRST)).unwrap();
    let stream = client.open(false);
    client.connection.send(&mut client.out, stream, piece(b"head", 1 << 20, true));
    let mut sum = 0;
    for turn in 0..6 {
        assert!(client.out.len() <= limits::H2_OUT_BYTES + HEAD);
        sum += written(&mut client).iter().map(|(_, payload, _)| payload.len()).sum::<usize>();
        assert_eq!(client.connection.wants_room(), turn < 4);
        client.connection.resume(&mut client.out);
    }
    assert_eq!(sum, (1 << 20) + 4);
    assert!(!client.connection.is_blocked(stream));
}

#[test]
fn an_answer_may_end_before_the_request() {
    let mut client = Client::new(&[(frame::INITIAL_WINDOW_SIZE, 4)]);
    let (a, b) = (client.open(false), client.open(false));
    client.connection.send(&mut client.out, a, piece(b"abcdef", 0, true));
    let early = [headers(a, &[(":status", "413")], true), headers(b, &[(":status", "413")], true)].concat();
    client.feed(&early).unwrap();
    assert_eq!(client.seen().len(), 2);
    assert_eq!((client.connection.open_streams(), client.connection.streams().count()), (2, 0));
    client.feed(&raw(frame::RST_STREAM, 0, a, &NO_ERROR.to_be_bytes())).unwrap();
    assert_eq!(client.seen(), [], "a complete answer stays complete");
    assert_eq!(client.connection.pending(a), 0);
    client.connection.send(&mut client.out, a, piece(b"x", 0, true));
    client.connection.send(&mut client.out, b, piece(b"x", 0, true));
    assert_eq!(client.connection.open_streams(), 0);
}

#[test]
fn a_long_header_block_is_split() {
    let mut client = Client::new(&[]);
    client.open(true);
    client.written();
    let mut block = vec![0x82, 0x87, 0x84];
    hpack::push(&mut block, b"x-long", &[b'x'; 40_000]);
    client.connection.request(&mut client.out, &block, true, 7).unwrap();
    let frames = client.written();
    let shape: Vec<_> = frames.iter().map(|(head, _)| (head.kind, head.flags, head.length)).collect();
    let rest = block.len() - 2 * frame::FRAME_BYTES;
    let (first, last) = (frame::END_STREAM, frame::END_HEADERS);
    assert_eq!(
        shape,
        [
            (frame::HEADERS, first, 16_384),
            (frame::CONTINUATION, 0, 16_384),
            (frame::CONTINUATION, last, rest)
        ]
    );
    let sent: Vec<u8> = frames.into_iter().flat_map(|(_, payload)| payload).collect();
    assert_eq!(sent, block);
}

const HEAD: usize = frame::HEAD_BYTES;
