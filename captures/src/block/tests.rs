//! What every encoding must hold.

use proptest::prelude::*;

use super::samples::exchange;
use super::*;
use crate::Body;
use crate::exchange::Request;
use crate::messages::{Message, MessageKind, Stream, StreamKind};

/// The block that is written today while traffic is recorded.
fn encode(exchanges: &[Exchange]) -> Encoded {
    built_of(exchanges).finish(false)
}

/// The block that is written otherwise, if it is small.
fn encode_mixed(exchanges: &[Exchange]) -> Encoded {
    built_of(exchanges).finish(true)
}

fn built_of(exchanges: &[Exchange]) -> Builder {
    let mut builder = Builder::default();
    for exchange in exchanges {
        builder.push(exchange).unwrap();
    }
    builder
}

/// The block that earlier versions wrote.
fn encode_rows(exchanges: &[Exchange]) -> Encoded {
    let mut builder = rows::Builder::default();
    for exchange in exchanges {
        builder.push(exchange).unwrap();
    }
    builder.finish()
}

/// Sessions by their first start, each by start, what is equal in the order in which it was pushed.
fn sorted(mut exchanges: Vec<Exchange>) -> Vec<Exchange> {
    let mut starts = std::collections::HashMap::new();
    for exchange in &exchanges {
        let start = starts.entry(exchange.session).or_insert(u64::MAX);
        *start = exchange.start_us.min(*start);
    }
    exchanges.sort_by_key(|exchange| (starts[&exchange.session], exchange.session, exchange.start_us));
    exchanges
}

proptest! {
    #[test]
    fn what_goes_in_comes_out_session_by_session(exchanges in proptest::collection::vec(exchange(), 0..12)) {
        let Encoded { raw, encoding, sessions, .. } = encode(&exchanges);
        prop_assert_eq!(encoding, ENCODING_WORDS);
        prop_assert_eq!(check(&raw, exchanges.len(), encoding), Ok(sessions));
        prop_assert_eq!(decode(&raw, exchanges.len(), encoding), Ok(sorted(exchanges)));
    }

    #[test]
    fn what_earlier_versions_wrote_is_read(mut exchanges in proptest::collection::vec(exchange(), 0..12)) {
        let Encoded { raw, encoding, .. } = encode_rows(&exchanges);
        prop_assert_eq!(encoding == 2, exchanges.iter().any(|exchange| exchange.stream.is_some()));
        exchanges.sort_by_key(|exchange| (exchange.session, exchange.start_us));
        prop_assert_eq!(decode(&raw, exchanges.len(), encoding), Ok(exchanges));
    }

    #[test]
    fn no_bytes_make_it_panic(raw in proptest::collection::vec(any::<u8>(), 0..200), n in 0usize..50, encoding in 1u16..6) {
        let _ = decode(&raw, n, encoding);
    }

    #[test]
    fn damaged_blocks_never_panic(exchanges in proptest::collection::vec(exchange(), 1..4),
        place in any::<prop::sample::Index>(), to in any::<u8>(), cut in any::<prop::sample::Index>()) {
        for Encoded { mut raw, encoding, .. } in [encode(&exchanges), encode_rows(&exchanges)] {
            let index = place.index(raw.len());
            raw[index] = to;
            let decoded = decode(&raw, exchanges.len(), encoding);
            let checked = check(&raw, exchanges.len(), encoding);
            match (decoded, checked) {
                (Ok(decoded), Ok(checked)) => {
                    let n: u32 = checked.iter().map(|(_, _, exchanges)| exchanges).sum();
                    prop_assert_eq!(decoded.len(), n as usize);
                }
                (decoded, checked) => prop_assert_eq!(decoded.err(), checked.err()),
            }
            for encoding in 1..6 {
                let _ = decode(&raw[..cut.index(raw.len())], exchanges.len(), encoding);
            }
        }
    }
}

proptest! {
    // each takes as long as many of the others
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn small_blocks_come_back_too(exchanges in proptest::collection::vec(exchange(), 0..12)) {
        let Encoded { raw, encoding, sessions, .. } = encode_mixed(&exchanges);
        prop_assert_eq!(encoding, ENCODING_MIXED);
        prop_assert_eq!(check(&raw, exchanges.len(), encoding), Ok(sessions));
        prop_assert_eq!(decode(&raw, exchanges.len(), encoding), Ok(sorted(exchanges)));
    }

    #[test]
    fn damaged_small_blocks_never_panic(exchanges in proptest::collection::vec(exchange(), 1..3),
        place in any::<prop::sample::Index>(), to in any::<u8>()) {
        let Encoded { mut raw, encoding, .. } = encode_mixed(&exchanges);
        let index = place.index(raw.len());
        raw[index] = to;
        let decoded = decode(&raw, exchanges.len(), encoding).map(|exchanges| exchanges.len());
        let checked = check(&raw, exchanges.len(), encoding);
        let n = |sessions: Vec<(u64, u64, u32)>| sessions.iter().map(|(_, _, n)| *n as usize).sum::<usize>();
        prop_assert_eq!(decoded, checked.map(n));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Enough for columns of their own, of few kinds that follow each other in all ways.
    #[test]
    fn exchanges_that_differ_in_little_come_back(kinds in proptest::collection::vec(exchange(), 1..4),
        picked in proptest::collection::vec((0usize..4, 0u64..5, 0u64..90, 0usize..3, 0usize..3), 48..140)) {
        let pick = |(kind, session, start_us, target, field): &(usize, u64, u64, usize, usize)| {
            let mut exchange = kinds[kind % kinds.len()].clone();
            exchange.session.0 = *session;
            exchange.start_us = 1_700_000_000_000_000 + start_us;
            exchange.request.target = ["/", "/items/4711", "/items/4712"][*target].to_owned();
            exchange.request.headers.push("x-field", ["a", "b", "0f8fad5bd9cb469f"][*field]);
            exchange
        };
        let exchanges: Vec<Exchange> = picked.iter().map(pick).collect();
        let Encoded { raw, encoding, sessions, .. } = encode(&exchanges);
        prop_assert_eq!(check(&raw, exchanges.len(), encoding), Ok(sessions));
        prop_assert_eq!(decode(&raw, exchanges.len(), encoding), Ok(sorted(exchanges)));
    }
}

/// Text that looks like an identifier, a number or a date but for one byte is kept as it is.
#[test]
fn almost_an_identifier_comes_back_byte_for_byte() {
    const TEXTS: &[&str] = &[
        "0f8fad5b-d9cb-469f-a165-70867728950e",
        "0F8FAD5B-D9CB-469F-A165-70867728950E",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "t=aB3dE5gH7-jK9mN1pQ_3sT5uV7x",
        "aB3dE5gH7jK9mN1pQ3sT5",
        "eyJzdWIiOiJ1c2VyIDEyMyJ9.x",
        "squall_0123456789abcdef0123456789abcdef",
        "2023-11-14T22:13:20.123456Z",
        "1700000012345",
        "1,23,4711",
    ];
    for text in TEXTS {
        let mut exchanges = Vec::new();
        for at in 0..text.len() {
            for byte in 0..=u8::MAX {
                let mut value = text.as_bytes().to_vec();
                value[at] = byte;
                let start_us = 1_700_000_000_000_000 + exchanges.len() as u64;
                let mut exchange = Exchange { start_us, ..Exchange::default() };
                exchange.request.headers.push("x-id", value.clone());
                exchange.request.body = Body { data: Some(value.into()), ..Body::default() };
                exchanges.push(exchange);
            }
        }
        for Encoded { raw, encoding, .. } in [encode(&exchanges), encode_mixed(&exchanges)] {
            let read = decode(&raw, exchanges.len(), encoding).unwrap();
            for (read, written) in read.iter().zip(&exchanges) {
                assert_eq!(read, written, "a variant of {text}");
            }
        }
    }
}

#[test]
fn a_small_block_does_not_unfold_without_end() {
    let long = "x".repeat(1 << 20);
    let mut exchange = Exchange::default();
    for _ in 0..30 {
        exchange.request.headers.push("n", &long);
    }
    let mut builder = Builder::default();
    let mut pushed = 0;
    while !builder.is_full(usize::MAX) {
        builder.push(&exchange).unwrap();
        pushed += 1;
    }
    let Encoded { raw, encoding, .. } = builder.finish(false);
    assert!(raw.len() < 10 << 20);
    assert_eq!(decode(&raw, pushed, encoding).unwrap().len(), pushed);
    let mut too_much = Builder::default();
    for _ in 0..pushed + 3 {
        too_much.push(&exchange).unwrap();
    }
    assert!(decode(&too_much.finish(false).raw, pushed + 3, encoding).is_err());
}

#[test]
fn messages_have_a_price_also_without_bytes() {
    let message = |at_us| Message {
        at_us,
        from_client: false,
        kind: MessageKind::Event,
        compressed: false,
        len: 0,
        data: None,
    };
    let mut stream = Stream::new(StreamKind::Sse);
    let mut exchange = Exchange::default();
    stream.messages = (0..crate::limits::MAX_EXCHANGE as u64 / 64).map(message).collect();
    exchange.stream = Some(stream.clone());
    assert!(Builder::default().push(&exchange).is_err());
    stream.messages.truncate(crate::limits::MAX_MESSAGES);
    exchange.stream = Some(stream);
    let block = encode(std::slice::from_ref(&exchange));
    assert!(block.raw.len() < 4 * crate::limits::MAX_MESSAGES);
    assert_eq!(decode(&block.raw, 1, block.encoding), Ok(vec![exchange]));
}

#[test]
fn bytes_that_stand_in_the_request_body_are_not_written_twice() {
    let message = vec![7; 1000];
    let mut exchange = Exchange::default();
    let framed: Vec<u8> = [&[0, 0, 0, 3, 0xe8], message.as_slice()].concat();
    exchange.request.body = Body::whole([framed.as_slice(), &framed].concat());
    let mut stream = Stream::new(StreamKind::Grpc);
    for at_us in [5, 7] {
        let (kind, len) = (MessageKind::Framed, 1000);
        stream.messages.push(Message { at_us, from_client: true, kind, compressed: false, len, data: None });
    }
    stream.fill_from_body(&exchange.request.body);
    assert_eq!(stream.messages[1].data.as_deref(), Some(message.as_slice()));
    exchange.stream = Some(stream);
    let block = encode(std::slice::from_ref(&exchange));
    assert!(block.raw.len() < 2200);
    assert_eq!(decode(&block.raw, 1, block.encoding), Ok(vec![exchange]));
}

#[test]
fn an_exchange_above_the_limit_is_refused() {
    let exchange = Exchange {
        request: Request { body: Body::whole(vec![0; crate::limits::MAX_EXCHANGE]), ..Request::default() },
        ..Exchange::default()
    };
    let mut builder = Builder::default();
    assert!(builder.push(&exchange).is_err());
    assert!(builder.is_empty());
}
