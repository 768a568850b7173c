//! The inside of a block, encoding version 1: exchanges in session-major order, strings interned.
//!
//! Three sections: the strings that the block uses, each once; a directory of sessions with the times of
//! their exchanges; the records, which name strings by their number. Nothing refers outside the block.
//! The layout is written out in `FORMAT.md`.

mod decode;
mod encode;
mod interner;

pub(crate) use decode::decode;
pub(crate) use encode::{Builder, Encoded};

/// What a field costs in memory beside its bytes; counted, so that a list of empty fields has a price.
const FIELD_OVERHEAD: usize = 16;
/// The same for an exchange.
const EXCHANGE_OVERHEAD: usize = 256;

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

    fn exchange() -> impl Strategy<Value = Exchange> {
        let protocol = prop_oneof![
            Just(Protocol::Http10),
            Just(Protocol::Http11),
            Just(Protocol::Http2),
            Just(Protocol::Http3)
        ];
        let about = (0u64..4, any::<Option<u64>>(), "[a-c]{0,3}", any::<u64>(), protocol);
        let times = (any::<Option<u64>>(), any::<Option<u64>>());
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
            },
        )
    }

    fn encode(exchanges: &[Exchange]) -> Vec<u8> {
        let mut builder = Builder::default();
        for exchange in exchanges {
            builder.push(exchange).unwrap();
        }
        builder.finish().raw
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_session_by_session(mut exchanges in proptest::collection::vec(exchange(), 0..12)) {
            let raw = encode(&exchanges);
            exchanges.sort_by_key(|exchange| (exchange.session, exchange.start_us));
            prop_assert_eq!(decode(&raw, exchanges.len()), Ok(exchanges));
        }

        #[test]
        fn no_bytes_make_it_panic(raw in proptest::collection::vec(any::<u8>(), 0..200), n in 0usize..50) {
            let _ = decode(&raw, n);
        }

        #[test]
        fn damaged_blocks_never_panic(exchanges in proptest::collection::vec(exchange(), 1..4),
            place in any::<prop::sample::Index>(), to in any::<u8>(), cut in any::<prop::sample::Index>()) {
            let mut raw = encode(&exchanges);
            let index = place.index(raw.len());
            raw[index] = to;
            let _ = decode(&raw, exchanges.len());
            let _ = decode(&raw[..cut.index(raw.len())], exchanges.len());
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
        assert_eq!(decode(&raw, pushed).unwrap().len(), pushed);
        let mut too_much = Builder::default();
        for _ in 0..pushed + 3 {
            too_much.push(&exchange).unwrap();
        }
        assert!(decode(&too_much.finish().raw, pushed + 3).is_err());
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
