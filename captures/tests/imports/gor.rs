//! GoReplay's files: of every shape that it writes, damaged ones, and our own export of anything.

use std::fs;
use std::io::Write;

use captures::exchange::{Protocol, Request, Response};
use captures::export::{gor, har, mitmproxy, ndjson};
use captures::header::{FileHeader, Options};
use captures::import::Format;
use captures::notes::Notes;
use captures::{Body, Exchange, Headers, Reader, SessionId, Writer};
use proptest::prelude::*;

use crate::common;
use crate::kit::{brief, bytes, damage_everywhere, file};

const SEPARATOR: &str = "\n🐵🙈🙉\n";
const T: u64 = 1_700_000_000_000_000;

fn request(id: &str, at_us: u64, target: &str) -> String {
    format!(
        "1 {id} {}000 0\nGET {target} HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: x\r\n\r\n{SEPARATOR}",
        T + at_us
    )
}

fn answer(kind: u8, id: &str, at_us: u64, took_us: &str, status: u16) -> String {
    format!(
        "{kind} {id} {}000 {took_us}\nHTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok{SEPARATOR}",
        T + at_us
    )
}

/// Method, target, status, start, time to first byte and duration.
type Timed = (String, u64, Option<u64>, Option<u64>);

fn timed(exchanges: &[Exchange]) -> Vec<Timed> {
    let words = brief(exchanges).into_iter().zip(exchanges);
    let mut all: Vec<Timed> = words
        .map(|(words, exchange)| (words, exchange.start_us - T, exchange.ttfb_us, exchange.duration_us))
        .collect();
    all.sort();
    all
}

#[test]
fn requests_are_joined_with_their_answers() {
    let text = [
        request("a", 0, "/a"),
        request("b", 10, "/b"),
        answer(2, "b", 60, "7000", 201),
        answer(2, "a", 50, "5000", 200),
        // the answer lies before its request
        answer(2, "c", 90, "-1", 404),
        request("c", 80, "/c"),
        // an id comes back; the answer to another server's replay is none of ours
        request("a", 100, "/again"),
        answer(3, "a", 110, "1000", 500),
        answer(2, "a", 120, "1000", 202),
        answer(2, "nobody", 130, "1000", 200),
        request("d", 140, "/unanswered"),
    ];
    let found = bytes(Format::Gor, text.concat().as_bytes()).unwrap();
    let expect = [
        ("GET /a 200", 0, Some(50), Some(55)),
        ("GET /again 202", 100, Some(20), Some(21)),
        ("GET /b 201", 10, Some(50), Some(57)),
        ("GET /c 404", 80, Some(10), Some(10)),
        ("GET /unanswered 0", 140, None, None),
    ];
    assert_eq!(
        timed(&found.exchanges),
        expect.map(|(words, start, ttfb, took)| (words.to_owned(), start, ttfb, took))
    );
    let tally = &found.tally;
    assert_eq!((tally.damaged, tally.skipped.values().sum::<u64>()), (0, 1), "{tally:?}");
    assert_eq!(tally.noted.get("answers without a request"), Some(&1));
    let body = &found.exchanges[0].response.as_ref().unwrap().body;
    assert_eq!(body.data.as_deref(), Some(&b"ok"[..]));
}

#[test]
fn files_of_all_versions_plain_and_compressed() {
    let three_words = "1 a 1700000000000000000\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned() + SEPARATOR;
    let posted = "1 b 1700000000000000001 -1\nPOST /4 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\n0\r\n\r\n";
    let text = three_words + posted;
    let dir = tempfile::tempdir().unwrap();
    let check = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let (format, found) = file(&path);
        assert_eq!((format, found.tally.damaged), (Format::Gor, 0), "{name}");
        assert_eq!(brief(&found.exchanges), ["GET /3 0", "POST /4 0"], "{name}");
        assert_eq!(found.exchanges[1].request.body, Body::whole(&b"abc"[..]));
        assert_eq!(found.tally.noted.get("last record without separator"), Some(&1), "{name}");
    };
    check("plain", text.as_bytes());
    check("of another system", text.replace(SEPARATOR, "\n🐵🙈🙉\r\n").as_bytes());
    let gz = |part: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(part.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    check("compressed", &gz(&text));
    // GoReplay begins a new member each time it reopens the file
    check("in two members", &[gz(&text[..40]), gz(&text[40..])].concat());
}

#[test]
fn sessions_by_header_id_or_cookie() {
    let with = |id: &str, at: u64, fields: &str| {
        format!("1 {id} {}000 0\nGET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{SEPARATOR}", T + at)
    };
    let sessions = |text: Vec<String>| -> Vec<(u64, Option<u64>)> {
        let mut found = bytes(Format::Gor, text.concat().as_bytes()).unwrap().exchanges;
        found.sort_by_key(|exchange| exchange.start_us);
        found.iter().map(|exchange| (exchange.session.0, exchange.connection)).collect()
    };
    let named =
        |at, client: &str| with(&format!("id{at}"), at, &format!("X-Forwarded-For: {client}, 10.0.0.9\r\n"));
    assert_eq!(
        sessions(vec![named(1, "1.1.1.1"), named(2, "2.2.2.2"), named(3, "1.1.1.1")]),
        [(1, None), (2, None), (1, None)]
    );
    // port of the client, of the server, address of the client, sequence
    let sniffed =
        |at: u64, port: u16, host: u8| with(&format!("{port:04x}1f900a0000{host:02x}{at:08x}"), at, "");
    let found = sessions(vec![
        sniffed(1, 40_001, 1),
        sniffed(2, 40_002, 1),
        sniffed(3, 40_003, 2),
        sniffed(4, 40_001, 1),
    ]);
    assert_eq!(found, [(1, Some(1)), (1, Some(2)), (2, Some(3)), (1, Some(1))]);
    let cookie = |at, value: &str| with(&format!("id{at}"), at, &format!("Cookie: sid={value}\r\n"));
    assert_eq!(
        sessions(vec![cookie(1, "x"), cookie(2, "y"), cookie(3, "x")]),
        [(1, None), (2, None), (1, None)]
    );
    assert_eq!(
        sessions(vec![with("a", 1, ""), with("b", 2, "")]),
        [(1, None), (2, None)],
        "nothing says who it was"
    );
}

#[test]
fn damage_is_named_by_its_place_and_the_rest_is_read() {
    let text = [
        request("a", 0, "/1"),
        format!("1 a\nGET /no-time HTTP/1.1\r\n\r\n{SEPARATOR}"),
        format!("nonsense{SEPARATOR}"),
        SEPARATOR.to_owned(),
        format!("1 x 1700000000000000000 0\n\x16\x03\x01{SEPARATOR}"),
        // the separator between two of them is lost
        request("b", 5, "/2").replace(SEPARATOR, "\n"),
        request("c", 6, "/3"),
        "1 d 1700000000000000000 0\nPOST /cut HTTP/1.1\r\nContent-Length: 10\r\n\r\n12345".to_owned(),
    ];
    let ends: Vec<usize> = text
        .iter()
        .scan(0, |end, part| {
            *end += part.len();
            Some(*end)
        })
        .collect();
    let found = bytes(Format::Gor, text.concat().as_bytes()).unwrap();
    let mut targets = brief(&found.exchanges);
    targets.sort();
    assert_eq!(targets, ["GET /1 0", "GET /2 0", "GET /3 0", "POST /cut 0"]);
    let cut = found.exchanges.iter().find(|exchange| exchange.request.target == "/cut").unwrap();
    assert!(cut.notes.contains(Notes::REQUEST_TRUNCATED));
    assert_eq!((cut.request.body.len, cut.request.body.data.as_deref()), (10, Some(&b"12345"[..])));
    let places: Vec<_> = found.tally.named.iter().map(|damaged| damaged.place.clone()).collect();
    let expect = [(2, 8, ends[0]), (3, 13, ends[1]), (5, 17, ends[3])];
    assert_eq!(
        places,
        expect.map(|(record, line, byte)| format!("record {record} at line {line}, byte {byte}"))
    );
    assert_eq!(found.tally.noted.get("missing separators"), Some(&1));
}

#[test]
fn a_compressed_file_cut_short_gives_what_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let text: String =
        (0..2_000).map(|n| request(&format!("{:x}", n * 7919), n, &format!("/{}", n * 7919 % 977))).collect();
    let path = dir.path().join("cut.gor.gz");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    fs::write(&path, &packed[..packed.len() / 2]).unwrap();
    let (_, found) = file(&path);
    assert!(500 < found.tally.imported && found.tally.damaged == 1, "{:?}", found.tally);
    assert!(found.tally.named[0].why.contains("breaks off"));
}

/// Through a capture to a format and back.
fn round_trip(exchanges: &[Exchange], format: Format) -> Vec<Exchange> {
    let dir = tempfile::tempdir().unwrap();
    let (capture, export) = (dir.path().join("capture.zst"), dir.path().join("export"));
    let mut writer = Writer::create(&capture, FileHeader::new("test", 1), Options::for_import()).unwrap();
    exchanges.iter().for_each(|exchange| writer.push(exchange, 0).unwrap());
    writer.finish(0).unwrap();
    let out = std::io::BufWriter::new(fs::File::create(&export).unwrap());
    let reader = Reader::open(&capture).unwrap();
    let exported = match format {
        Format::Har => har::write(reader, out),
        Format::Gor => gor::write(reader, out),
        Format::Mitmproxy => mitmproxy::write(reader, out),
        _ => ndjson::write(reader, out),
    };
    assert_eq!(exported.unwrap().exchanges, exchanges.len() as u64);
    let (found_out, found) = file(&export);
    assert_eq!((found_out, found.tally.damaged), (format, 0), "{:?}", found.tally);
    assert!(found.tally.noted.is_empty(), "{:?}", found.tally);
    found.exchanges
}

#[test]
fn exchanges_of_a_recording_come_back_equal() {
    let exchanges: Vec<Exchange> = (0..50).map(common::exchange).collect();
    for format in [Format::Gor, Format::Mitmproxy] {
        let mut found = round_trip(&exchanges, format);
        found.sort_by_key(|exchange| exchange.start_us);
        assert_eq!(found, exchanges);
    }
}

fn headers() -> impl Strategy<Value = Headers> {
    let name = prop_oneof![
        Just("Host"),
        Just("Content-Length"),
        Just("Transfer-Encoding"),
        Just("X-A"),
        Just("odd name"),
        Just("Content-Type")
    ];
    let value = prop_oneof![
        "[a-z0-9]{0,6}",
        Just("chunked".to_owned()),
        Just("3".to_owned()),
        Just("a\r\nb: c".to_owned()),
        Just(" space ".to_owned()),
        Just("🐵🙈🙉".to_owned()),
        Just("text/event-stream".to_owned())
    ];
    proptest::collection::vec((name, value), 0..5).prop_map(|fields| fields.into_iter().collect())
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        Just(Body::default()),
        Just(Body::digest(7, Some(9))),
        Just(Body { len: 9, hash: None, data: Some("part".into()) }),
        Just(Body::whole("")),
        Just(Body::whole("a\n🐵🙈🙉\nb")),
        Just(Body::whole("1 a 1700000000000000000 0\nGET / HTTP/1.1\r\n\r\n")),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(Body::whole),
    ]
}

prop_compose! {
    fn exchange()(
        times in (prop_oneof![Just(0), Just(T), any::<u64>()], any::<Option<u32>>(), any::<Option<u32>>()),
        method in prop_oneof![Just("GET"), Just("HEAD"), Just("POST"), Just("CONNECT"), Just("odd method")],
        url in (prop_oneof![Just(""), Just("http"), Just("https")], prop_oneof![Just(""), Just("a.test:81")], "[/?a b%é]{0,6}"),
        parts in (headers(), body(), headers(), body()),
        status in prop_oneof![Just(None), Just(Some(200)), Just(Some(304)), Just(Some(101)), Just(Some(0)), any::<Option<u16>>()],
        protocol in prop_oneof![Just(Protocol::Http10), Just(Protocol::Http11), Just(Protocol::Http2)],
        rest in (any::<u64>(), any::<Option<u64>>(), any::<u32>(), any::<bool>()),
    ) -> Exchange {
        let (request_headers, request_body, headers, body) = parts;
        let (start_us, ttfb_us, duration_us) = times;
        let (session, connection, notes, has_stream) = rest;
        Exchange {
            session: SessionId(session),
            connection,
            edge: "edge".to_owned(),
            start_us,
            protocol,
            request: Request {
                method: method.to_owned(), scheme: url.0.to_owned(), authority: url.1.to_owned(), target: url.2,
                headers: request_headers, body: request_body,
            },
            response: status.map(|status| Response { status, headers, body }),
            ttfb_us: ttfb_us.map(u64::from),
            duration_us: duration_us.map(u64::from),
            faults: if has_stream { vec!["slow".to_owned()] } else { vec![] },
            notes: Notes::from_bits(notes),
            stream: has_stream.then(|| common::stream(1)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_was_captured_comes_back_equal(exchanges in proptest::collection::vec(exchange(), 1..6)) {
        let order = |mut exchanges: Vec<Exchange>| {
            exchanges.sort_by_key(|exchange| (exchange.start_us, exchange.session, exchange.connection));
            exchanges
        };
        for format in [Format::Gor, Format::Mitmproxy, Format::Har, Format::Ndjson] {
            prop_assert_eq!(order(round_trip(&exchanges, format)), order(exchanges.clone()), "{:?}", format);
        }
    }
}

#[test]
fn no_damage_upsets_it() {
    let text = [
        request("a", 0, "/1"),
        request("b", 1, "/2"),
        answer(2, "a", 2, "5", 200),
        answer(2, "b", 3, "5", 200),
    ];
    // where a separator breaks, what follows it may still be found
    damage_everywhere(Format::Gor, text.concat().as_bytes(), 0);
}
