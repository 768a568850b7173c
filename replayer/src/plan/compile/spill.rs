//! The parts of a capture that does not fit in memory: one file without a name, in which each part's chunks are
//! strung together. All exchanges of a session are in one part, in the order they were read.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use captures::exchange::{Protocol, Request, Response};
use captures::messages::{Message, MessageKind, Stream, StreamKind};
use captures::notes::Notes;
use captures::{Body, Exchange, Headers, SessionId};
use xxhash_rust::xxh3::xxh3_64;

use crate::limits;
use crate::plan::store::unnamed_file;

/// Exchanges being divided.
pub(super) struct Spill {
    file: File,
    len: u64,
    parts: Vec<Part>,
}

/// Exchanges that were divided.
pub(super) struct Spilled {
    file: Arc<File>,
    parts: std::vec::IntoIter<Part>,
}

/// One part, to be read.
pub(super) struct PartReader {
    file: Arc<File>,
    chunks: Vec<(u64, usize)>,
}

#[derive(Default)]
struct Part {
    /// What is not yet written.
    buffer: Vec<u8>,
    /// Where the rest is; no exchange lies in two chunks.
    chunks: Vec<(u64, usize)>,
}

impl Spill {
    pub(super) fn new() -> io::Result<Spill> {
        let parts = (0..limits::PLAN_PARTITIONS).map(|_| Part::default()).collect();
        Ok(Spill { file: unnamed_file()?, len: 0, parts })
    }

    pub(super) fn push(&mut self, exchange: &Exchange) -> io::Result<()> {
        let hash = xxh3_64(&exchange.session.0.to_le_bytes());
        let part = (hash % self.parts.len() as u64) as usize;
        encode(exchange, &mut self.parts[part].buffer);
        if limits::PLAN_SPILL_BYTES <= self.parts[part].buffer.len() {
            self.write(part)?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<Spilled> {
        for part in 0..self.parts.len() {
            self.write(part)?;
        }
        Ok(Spilled { file: Arc::new(self.file), parts: self.parts.into_iter() })
    }

    fn write(&mut self, part: usize) -> io::Result<()> {
        let Part { buffer, chunks } = &mut self.parts[part];
        self.file.seek(SeekFrom::Start(self.len))?;
        self.file.write_all(buffer)?;
        chunks.push((self.len, buffer.len()));
        self.len += buffer.len() as u64;
        // a large body must not stay allocated in each of the parts
        buffer.clear();
        buffer.shrink_to(limits::PLAN_SPILL_BYTES);
        Ok(())
    }
}

impl Spilled {
    pub(super) fn next_part(&mut self) -> Option<PartReader> {
        let part = self.parts.next()?;
        Some(PartReader { file: Arc::clone(&self.file), chunks: part.chunks })
    }
}

impl PartReader {
    /// Gives every exchange of the part, in order.
    pub(super) fn read(self, mut take: impl FnMut(Exchange)) -> io::Result<()> {
        let mut chunk = Vec::new();
        for (at, len) in self.chunks {
            chunk.resize(len, 0);
            self.file.read_exact_at(&mut chunk, at)?;
            let mut cursor = Cursor(&chunk);
            while !cursor.0.is_empty() {
                let torn = || io::Error::new(io::ErrorKind::InvalidData, "a temporary file changed");
                take(decode(&mut cursor).ok_or_else(torn)?);
            }
        }
        Ok(())
    }
}

/// All of an exchange that a plan looks at.
fn encode(exchange: &Exchange, out: &mut Vec<u8>) {
    let request = &exchange.request;
    put_number(out, exchange.session.0);
    put_optional(out, exchange.connection);
    put_number(out, exchange.start_us);
    out.push(exchange.protocol as u8);
    put_bytes(out, request.method.as_bytes());
    put_bytes(out, request.authority.as_bytes());
    put_bytes(out, request.target.as_bytes());
    put_headers(out, &request.headers);
    put_number(out, request.body.len);
    out.push(u8::from(request.body.data.is_some()));
    put_bytes(out, request.body.data.as_deref().unwrap_or_default());
    put_optional(out, exchange.response.as_ref().map(|response| response.status.into()));
    if let Some(response) = &exchange.response {
        put_headers(out, &response.headers);
        put_number(out, response.body.len);
        put_optional(out, response.body.hash);
        put_bytes(out, response.body.data.as_deref().unwrap_or_default());
    }
    put_optional(out, exchange.duration_us);
    put_number(out, exchange.faults.len() as u64);
    for fault in &exchange.faults {
        put_bytes(out, fault.as_bytes());
    }
    put_number(out, exchange.notes.bits().into());
    out.push(
        exchange
            .stream
            .as_ref()
            .map_or(0, |stream| KINDS.iter().position(|kind| *kind == stream.kind).unwrap_or(0) as u8 + 1),
    );
    if let Some(stream) = &exchange.stream {
        put_stream(out, stream);
    }
}

fn decode(cursor: &mut Cursor<'_>) -> Option<Exchange> {
    let session = SessionId(cursor.number()?);
    let connection = cursor.optional()?;
    let start_us = cursor.number()?;
    let protocol = *PROTOCOLS.get(usize::from(cursor.byte()?))?;
    let request = Request {
        method: cursor.text()?,
        scheme: String::new(),
        authority: cursor.text()?,
        target: cursor.text()?,
        headers: cursor.headers()?,
        body: cursor.body()?,
    };
    let response = match cursor.optional()? {
        None => None,
        Some(status) => {
            let (headers, len, hash) = (cursor.headers()?, cursor.number()?, cursor.optional()?);
            let values = cursor.bytes()?;
            let data = (!values.is_empty()).then(|| Bytes::copy_from_slice(values));
            let body = Body { len, hash, data };
            Some(Response { status: status.try_into().ok()?, headers, body })
        }
    };
    let duration_us = cursor.optional()?;
    let faults = (0..cursor.number()?).map(|_| cursor.text()).collect::<Option<_>>()?;
    let notes = Notes::from_bits(cursor.number()?.try_into().ok()?);
    let stream = match cursor.byte()? {
        0 => None,
        kind => Some(cursor.stream(*KINDS.get(usize::from(kind) - 1)?)?),
    };
    Some(Exchange {
        session,
        connection,
        start_us,
        protocol,
        request,
        response,
        duration_us,
        faults,
        notes,
        stream,
        ..Exchange::default()
    })
}

fn put_stream(out: &mut Vec<u8>, stream: &Stream) {
    put_number(out, stream.truncated);
    put_number(out, stream.messages.len() as u64);
    for message in &stream.messages {
        put_number(out, message.at_us);
        out.push(message.kind as u8);
        out.push(
            u8::from(message.from_client)
                | u8::from(message.compressed) << 1
                | u8::from(message.data.is_some()) << 2,
        );
        put_number(out, message.len);
        put_bytes(out, message.data.as_deref().unwrap_or_default());
    }
}

fn put_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_optional(out: &mut Vec<u8>, number: Option<u64>) {
    out.push(u8::from(number.is_some()));
    number.into_iter().for_each(|number| put_number(out, number));
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_headers(out: &mut Vec<u8>, headers: &Headers) {
    put_number(out, headers.len() as u64);
    for (name, value) in headers.iter() {
        put_bytes(out, name.as_bytes());
        put_bytes(out, value);
    }
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn optional(&mut self) -> Option<Option<u64>> {
        match self.byte()? {
            0 => Some(None),
            _ => self.number().map(Some),
        }
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?.try_into().ok()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn headers(&mut self) -> Option<Headers> {
        let count = self.number()?;
        let mut headers = Headers::new();
        for _ in 0..count {
            let name = std::str::from_utf8(self.bytes()?).ok()?;
            headers.push(name, self.bytes()?);
        }
        Some(headers)
    }

    fn stream(&mut self, kind: StreamKind) -> Option<Stream> {
        let mut stream = Stream { truncated: self.number()?, ..Stream::new(kind) };
        for _ in 0..self.number()? {
            let at_us = self.number()?;
            let kind = MessageKind::from_number(self.byte()?)?;
            let marks = self.byte()?;
            let (len, data) = (self.number()?, self.bytes()?);
            let data = (marks & 4 != 0).then(|| Bytes::copy_from_slice(data));
            let (from_client, compressed) = (marks & 1 != 0, marks & 2 != 0);
            stream.messages.push(Message { at_us, from_client, kind, compressed, len, data });
        }
        Some(stream)
    }

    fn body(&mut self) -> Option<Body> {
        let len = self.number()?;
        let recorded = self.byte()? == 1;
        let data = self.bytes()?;
        Some(Body { len, hash: None, data: recorded.then(|| Bytes::copy_from_slice(data)) })
    }
}

const KINDS: [StreamKind; 3] = [StreamKind::Sse, StreamKind::WebSocket, StreamKind::Grpc];
const PROTOCOLS: [Protocol; 4] = [Protocol::Http10, Protocol::Http11, Protocol::Http2, Protocol::Http3];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers() -> impl Strategy<Value = Headers> {
        proptest::collection::vec(("[a-z]{0,4}", any::<Vec<u8>>()), 0..4)
            .prop_map(|fields| fields.into_iter().collect())
    }

    fn body() -> impl Strategy<Value = Body> {
        let data = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40_000));
        (any::<u64>(), data).prop_map(|(len, data)| Body { len, hash: None, data: data.map(Bytes::from) })
    }

    fn stream() -> impl Strategy<Value = Stream> {
        let data = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9));
        let message = (any::<u64>(), 1..7_u8, any::<(bool, bool)>(), any::<u64>(), data).prop_map(
            |(at_us, kind, (from_client, compressed), len, data)| Message {
                at_us,
                from_client,
                kind: MessageKind::from_number(kind).unwrap_or(MessageKind::Ping),
                compressed,
                len,
                data: data.map(Bytes::from),
            },
        );
        (0..KINDS.len(), proptest::collection::vec(message, 0..5), any::<u64>())
            .prop_map(|(kind, messages, truncated)| Stream { kind: KINDS[kind], messages, truncated })
    }

    fn exchange() -> impl Strategy<Value = Exchange> {
        let request = (".{0,4}", ".{0,9}", ".{0,9}", headers(), body()).prop_map(
            |(method, authority, target, headers, body)| Request {
                method,
                authority,
                target,
                headers,
                body,
                ..Request::default()
            },
        );
        let values = proptest::option::of(proptest::collection::vec(any::<u8>(), 1..9));
        let known = any::<(u64, Option<u64>)>();
        let response =
            (any::<u16>(), headers(), values, known).prop_map(|(status, headers, values, (len, hash))| {
                Response { status, headers, body: Body { len, hash, data: values.map(Bytes::from) } }
            });
        let about = (any::<u64>(), any::<Option<u64>>(), any::<u64>(), any::<Option<u64>>());
        let streams = proptest::option::of(stream());
        let marks = (0..PROTOCOLS.len(), proptest::collection::vec(".{0,3}", 0..3), any::<u32>(), streams);
        (about, request, proptest::option::of(response), marks).prop_map(
            |(
                (session, connection, start_us, duration_us),
                request,
                response,
                (protocol, faults, notes, stream),
            )| {
                Exchange {
                    session: SessionId(session),
                    connection,
                    start_us,
                    protocol: PROTOCOLS[protocol],
                    request,
                    response,
                    duration_us,
                    faults,
                    notes: Notes::from_bits(notes),
                    stream,
                    ..Exchange::default()
                }
            },
        )
    }

    fn by_start(mut exchanges: Vec<Exchange>) -> Vec<Exchange> {
        exchanges.sort_by_key(|exchange| (exchange.session, exchange.start_us));
        exchanges
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn all_that_was_divided_comes_back(exchanges in proptest::collection::vec(exchange(), 0..12)) {
            let mut spill = Spill::new().unwrap();
            for exchange in &exchanges {
                spill.push(exchange).unwrap();
            }
            let mut spilled = spill.finish().unwrap();
            let mut back = Vec::new();
            while let Some(part) = spilled.next_part() {
                part.read(|exchange| back.push(exchange)).unwrap();
            }
            prop_assert_eq!(by_start(back), by_start(exchanges));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let mut cursor = Cursor(&bytes);
            while !cursor.0.is_empty() && decode(&mut cursor).is_some() {}
        }
    }

    #[test]
    fn a_session_comes_back_in_the_order_it_went() {
        let mut spill = Spill::new().unwrap();
        let large = Body::whole(vec![7; 30_000]);
        for number in 0..100_u64 {
            let request = Request { body: large.clone(), ..Request::default() };
            let session = SessionId(number % 3);
            spill.push(&Exchange { session, start_us: number, request, ..Exchange::default() }).unwrap();
        }
        let mut spilled = spill.finish().unwrap();
        let mut last = [None; 3];
        let mut count = 0;
        while let Some(part) = spilled.next_part() {
            assert!(part.chunks.iter().all(|(_, len)| *len < limits::PLAN_SPILL_BYTES + 40_000));
            let check = |exchange: Exchange| {
                let last = &mut last[exchange.session.0 as usize];
                assert!(last.replace(exchange.start_us) < Some(exchange.start_us));
                count += 1;
            };
            part.read(check).unwrap();
        }
        assert_eq!(count, 100);
    }
}
