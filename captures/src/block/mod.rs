//! The inside of a block, encodings 1 and 2: exchanges in session-major order, strings interned.
//!
//! Three sections: the strings that the block uses, each once; a directory of sessions with the times of
//! their exchanges; the records, which name strings by their number. Nothing refers outside the block.
//! Encoding 2, written only where an exchange was a stream, has the messages behind each record.
//! The layout is written out in `FORMAT.md`.

mod decode;
mod encode;
mod interner;
mod streams;

pub(crate) use decode::decode;
pub(crate) use encode::{Builder, Encoded};

use crate::limits::{ENCODING_STREAMS, ENCODING_VERSION};

/// What a field costs in memory beside its bytes; counted, so that a list of empty fields has a price.
const FIELD_OVERHEAD: usize = 16;
/// The same for an exchange.
const EXCHANGE_OVERHEAD: usize = 256;
/// The same for a message of a stream.
const MESSAGE_OVERHEAD: usize = 64;

/// Whether this version can read blocks of that encoding.
pub(crate) fn is_known(encoding: u16) -> bool {
    matches!(encoding, ENCODING_VERSION | ENCODING_STREAMS)
}

const HAS_RESPONSE: u8 = 1;
const HAS_TTFB: u8 = 1 << 1;
const HAS_DURATION: u8 = 1 << 2;
const HAS_CONNECTION: u8 = 1 << 3;
const HAS_FAULTS: u8 = 1 << 4;
const HAS_NOTES: u8 = 1 << 5;
/// The two highest bits are the protocol.
const PROTOCOL_SHIFT: u8 = 6;

const BODY_HASH: u8 = 1;
/// The data are there, all `len` bytes of them.
const BODY_WHOLE: u8 = 1 << 1;
/// The data are there with a length of their own.
const BODY_PART: u8 = 1 << 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::exchange::{Protocol, Request, Response};
    use crate::messages::{Message, MessageKind, Stream, StreamKind};
    use crate::notes::Notes;
    use crate::{Body, Exchange, Headers, SessionId};

    fn headers() -> impl Strategy<Value = Headers> {
        let field = ("[A-Za-z:-]{0,8}|host|cookie", proptest::collection::vec(any::<u8>(), 0..12));
        proptest::collection::vec(field, 0..6).prop_map(|fields| fields.into_iter().collect())
    }

    fn body() -> impl Strategy<Value = Body> {
        prop_oneof![
            Just(Body::default()),
            (any::<u64>(), any::<Option<u64>>()).prop_map(|(len, hash)| Body::digest(len, hash)),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Body::whole),
            (proptest::collection::vec(any::<u8>(), 0..40), any::<u64>()).prop_map(|(data, len)| Body {
                len,
                hash: None,
                data: Some(data.into())
            }),
        ]
    }

    fn request() -> impl Strategy<Value = Request> {
        ("[A-Z]{0,6}", "https?|", ".{0,10}", ".{0,30}", headers(), body()).prop_map(
            |(method, scheme, authority, target, headers, body)| Request {
                method,
                scheme,
                authority,
                target,
                headers,
                body,
            },
        )
    }

    fn response() -> impl Strategy<Value = Response> {
        (any::<u16>(), headers(), body()).prop_map(|(status, headers, body)| Response {
            status,
            headers,
            body,
        })
    }

    fn stream() -> impl Strategy<Value = Stream> {
        let message = (any::<u64>(), any::<(bool, bool)>(), 1u8..11, any::<u64>(), any::<Option<Vec<u8>>>());
        let messages = proptest::collection::vec(message, 0..6).prop_map(|messages| {
            let kind = |number: u8| MessageKind::from_number(number).unwrap_or(MessageKind::Text);
            let message =
                |(at_us, (from_client, compressed), number, len, data): (_, _, _, _, Option<Vec<u8>>)| {
                    Message {
                        at_us,
                        from_client,
                        kind: kind(number),
                        compressed,
                        len: data.as_ref().map_or(len, |data| data.len() as u64),
                        data: data.map(bytes::Bytes::from),
                    }
                };
            messages.into_iter().map(message).collect()
        });
        let kind = prop_oneof![Just(StreamKind::Sse), Just(StreamKind::WebSocket), Just(StreamKind::Grpc)];
        (kind, messages, any::<u64>()).prop_map(|(kind, messages, truncated)| Stream {
            kind,
            messages,
            truncated,
        })
    }

    fn exchange() -> impl Strategy<Value = Exchange> {
        let protocol = prop_oneof![
            Just(Protocol::Http10),
            Just(Protocol::Http11),
            Just(Protocol::Http2),
            Just(Protocol::Http3)
        ];
        let about = (0u64..4, any::<Option<u64>>(), "[a-c]{0,3}", any::<u64>(), protocol);
        let times = (any::<Option<u64>>(), any::<Option<u64>>(), proptest::option::of(stream()));
        let marks = (proptest::collection::vec("[a-z]{0,5}", 0..3), any::<u32>());
        (about, request(), proptest::option::of(response()), times, marks).prop_map(
            |((session, connection, edge, start_us, protocol), request, response, times, marks)| Exchange {
                session: SessionId(session),
                connection,
                edge,
                start_us,
                protocol,
                request,
                response,
                ttfb_us: times.0,
                duration_us: times.1,
                faults: marks.0,
                notes: Notes::from_bits(marks.1),
                stream: times.2,
            },
        )
    }

    fn encode(exchanges: &[Exchange]) -> Encoded {
        let mut builder = Builder::default();
        for exchange in exchanges {
            builder.push(exchange).unwrap();
        }
        builder.finish()
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_session_by_session(mut exchanges in proptest::collection::vec(exchange(), 0..12)) {
            let Encoded { raw, encoding, .. } = encode(&exchanges);
            prop_assert_eq!(encoding == 2, exchanges.iter().any(|exchange| exchange.stream.is_some()));
            exchanges.sort_by_key(|exchange| (exchange.session, exchange.start_us));
            prop_assert_eq!(decode(&raw, exchanges.len(), encoding), Ok(exchanges));
        }

        #[test]
        fn no_bytes_make_it_panic(raw in proptest::collection::vec(any::<u8>(), 0..200), n in 0usize..50, encoding in 1u16..3) {
            let _ = decode(&raw, n, encoding);
        }

        #[test]
        fn damaged_blocks_never_panic(exchanges in proptest::collection::vec(exchange(), 1..4),
            place in any::<prop::sample::Index>(), to in any::<u8>(), cut in any::<prop::sample::Index>()) {
            let Encoded { mut raw, encoding, .. } = encode(&exchanges);
            let index = place.index(raw.len());
            raw[index] = to;
            let _ = decode(&raw, exchanges.len(), encoding);
            let _ = decode(&raw[..cut.index(raw.len())], exchanges.len(), 3 - encoding);
            let _ = decode(&raw[..cut.index(raw.len())], exchanges.len(), encoding);
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
        let raw = builder.finish().raw;
        assert!(raw.len() < 2 << 20);
        assert_eq!(decode(&raw, pushed, 1).unwrap().len(), pushed);
        let mut too_much = Builder::default();
        for _ in 0..pushed + 3 {
            too_much.push(&exchange).unwrap();
        }
        assert!(decode(&too_much.finish().raw, pushed + 3, 1).is_err());
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
            stream.messages.push(Message {
                at_us,
                from_client: true,
                kind,
                compressed: false,
                len,
                data: None,
            });
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
            request: Request {
                body: Body::whole(vec![0; crate::limits::MAX_EXCHANGE]),
                ..Request::default()
            },
            ..Exchange::default()
        };
        let mut builder = Builder::default();
        assert!(builder.push(&exchange).is_err());
        assert!(builder.is_empty());
    }
}
