//! However the bytes are cut, the events are the same; and no bytes make it panic.

use proptest::prelude::*;

use super::*;

/// Events with neighbouring pieces of one body put together.
fn joined(seen: Vec<Seen>) -> Vec<Seen> {
    let mut joined: Vec<Seen> = Vec::new();
    for event in seen {
        match (joined.last_mut(), event) {
            (Some(Seen::Data(tag, bytes, end)), Seen::Data(next, more, now)) if *tag == next && !*end => {
                bytes.extend(more);
                *end = now;
            }
            (_, event) => joined.push(event),
        }
    }
    joined
}

/// What comes of `bytes` after ten requests, fed in pieces of these lengths.
fn run(bytes: &[u8], pieces: &[usize]) -> (Vec<Seen>, Vec<u8>, Option<Error>) {
    let mut client = Client::new(&[]);
    for number in 0..10 {
        client.open(number % 3 != 0);
    }
    client.out.clear();
    let (mut rest, mut lengths) = (bytes, pieces.iter().cycle());
    while !rest.is_empty() {
        let length = lengths.next().map_or(rest.len(), |length| (*length).clamp(1, rest.len()));
        let (piece, tail) = rest.split_at(length);
        if let Err(error) = client.feed(piece) {
            return (joined(client.seen()), client.out, Some(error));
        }
        rest = tail;
    }
    (joined(client.seen()), client.out, None)
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let stream = (0u32..11).prop_map(|number| 2 * number + 1);
    let bytes = proptest::collection::vec(any::<u8>(), 0..60);
    prop_oneof![
        4 => (stream.clone(), any::<bool>(), "[a-z]{0,40}").prop_map(|(stream, end, value)| {
            headers(stream, &[(":status", "200"), ("x-long-name", &value)], end)
        }),
        4 => (stream.clone(), any::<bool>(), bytes.clone()).prop_map(|(stream, end, bytes)| data(stream, &bytes, end)),
        1 => (stream.clone(), bytes.clone(), 0u8..20).prop_map(|(stream, bytes, padding)| {
            raw(frame::DATA, frame::PADDED, stream, &[&[padding][..], &bytes, &[0; 20]].concat())
        }),
        1 => stream.clone().prop_map(|stream| headers(stream, &[("grpc-status", "0")], true)),
        1 => (stream.clone(), 0u32..1000).prop_map(|(stream, increment)| window(stream, increment)),
        1 => stream.clone().prop_map(|stream| raw(frame::RST_STREAM, 0, stream, &[0, 0, 0, 8])),
        1 => Just(raw(frame::PING, 0, 0, b"12345678")),
        1 => (stream.clone(), bytes.clone()).prop_map(|(stream, bytes)| raw(0x77, 0xff, stream, &bytes)),
        1 => (0u8..10, any::<u8>(), stream, bytes).prop_map(|(kind, flags, stream, bytes)| {
            raw(kind, flags, stream, &bytes)
        }),
    ]
}

proptest! {
    #[test]
    fn cuts_change_nothing(
        frames in proptest::collection::vec(any_frame(), 1..40),
        pieces in proptest::collection::vec(1usize..40, 1..20),
    ) {
        let bytes = frames.concat();
        prop_assert_eq!(run(&bytes, &pieces), run(&bytes, &[usize::MAX]));
    }

    #[test]
    fn no_bytes_upset_it(bytes in proptest::collection::vec(any::<u8>(), 0..300), pieces in proptest::collection::vec(1usize..40, 1..5)) {
        let _ = run(&bytes, &pieces);
    }

    #[test]
    fn no_frames_upset_it(
        frames in proptest::collection::vec((0u8..11, any::<u8>(), 0u32..24, proptest::collection::vec(any::<u8>(), 0..40)), 0..20),
    ) {
        for (kind, flags, stream, payload) in frames {
            let _ = run(&raw(kind, flags, stream, &payload), &[usize::MAX]);
        }
    }
}
