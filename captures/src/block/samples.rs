//! Exchanges of every kind, for the tests.

use proptest::prelude::*;

use crate::exchange::{Protocol, Request, Response};
use crate::messages::{Message, MessageKind, Stream, StreamKind};
use crate::notes::Notes;
use crate::{Body, Exchange, Headers, SessionId};

/// Text with what has a kind of its own in it, often the same.
pub(super) fn typed() -> impl Strategy<Value = String> {
    let id = prop_oneof![
        "[0-9a-f]{8,40}",
        "[0-9A-F]{8,20}",
        "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}",
        "[0-9A-Za-z_-]{16,24}",
        "[0-9]{1,20}",
        "0[0-9]{1,9}",
        "20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,7})?",
        Just("17000000000000000".to_owned()),
        Just("9a7c1f4be2d0836592ab".to_owned()),
        Just("0f8fad5b-d9cb-469f-a165-70867728950e".to_owned()),
        Just("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMiIsImlhdCI6MTcwMDAwMDAwMX0.c2ln".to_owned()),
        Just("squall_0123456789abc5ab7".to_owned()),
    ];
    proptest::collection::vec(("[a-z/=&?; -]{0,6}", id), 0..5)
        .prop_map(|parts| parts.into_iter().map(|(text, id)| text + &id).collect())
}

fn headers() -> impl Strategy<Value = Headers> {
    let value =
        prop_oneof![proptest::collection::vec(any::<u8>(), 0..12), typed().prop_map(String::into_bytes)];
    let field = ("[A-Za-z:-]{0,8}|host|cookie", value);
    proptest::collection::vec(field, 0..6).prop_map(|fields| fields.into_iter().collect())
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        Just(Body::default()),
        (any::<u64>(), any::<Option<u64>>()).prop_map(|(len, hash)| Body::digest(len, hash)),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Body::whole),
        typed().prop_map(Body::whole),
        (proptest::collection::vec(any::<u8>(), 0..40), any::<u64>()).prop_map(|(data, len)| Body {
            len,
            hash: None,
            data: Some(data.into())
        }),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    ("[A-Z]{0,6}", "https?|", ".{0,10}", prop_oneof![".{0,30}".boxed(), typed().boxed()], headers(), body())
        .prop_map(|(method, scheme, authority, target, headers, body)| Request {
            method,
            scheme,
            authority,
            target,
            headers,
            body,
        })
}

fn response() -> impl Strategy<Value = Response> {
    (any::<u16>(), headers(), body()).prop_map(|(status, headers, body)| Response { status, headers, body })
}

fn stream() -> impl Strategy<Value = Stream> {
    let message = (any::<u64>(), any::<(bool, bool)>(), 1u8..11, any::<u64>(), any::<Option<Vec<u8>>>());
    let messages = proptest::collection::vec(message, 0..6).prop_map(|messages| {
        let kind = |number: u8| MessageKind::from_number(number).unwrap_or(MessageKind::Text);
        let message =
            |(at_us, (from_client, compressed), number, len, data): (_, _, _, _, Option<Vec<u8>>)| Message {
                at_us,
                from_client,
                kind: kind(number),
                compressed,
                len: data.as_ref().map_or(len, |data| data.len() as u64),
                data: data.map(bytes::Bytes::from),
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

/// Near each other or anywhere, in whole seconds or not.
fn start() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        1_699_999_999_999_990u64..1_700_000_000_000_010,
        (1_700_000_000u64..1_700_000_009).prop_map(|seconds| seconds * 1_000_000),
    ]
}

pub(super) fn exchange() -> impl Strategy<Value = Exchange> {
    let protocol = prop_oneof![
        Just(Protocol::Http10),
        Just(Protocol::Http11),
        Just(Protocol::Http2),
        Just(Protocol::Http3)
    ];
    let about = (0u64..4, any::<Option<u64>>(), "[a-c]{0,3}", start(), protocol);
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
