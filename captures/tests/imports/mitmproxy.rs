//! Flows of mitmproxy: files of its own tests, one written by version 11 with something of everything, and damage.

use std::process::Command;

use captures::export::{har, mitmproxy};
use captures::header::{FileHeader, Options};
use captures::import::Format;
use captures::messages::MessageKind;
use captures::notes::Notes;
use captures::{Exchange, Reader, SessionId, Writer};

use crate::common::{self, data};
use crate::kit::{brief, bytes, damage_everywhere, file, sample};

/// A typed netstring.
fn t(kind: char, data: &str) -> String {
    format!("{}:{data}{kind}", data.len())
}

fn dict(fields: &[(&str, String)]) -> String {
    let inner: Vec<String> = fields.iter().map(|(name, value)| t(';', name) + value).collect();
    t('}', &inner.concat())
}

fn list(items: &[String]) -> String {
    t(']', &items.concat())
}

/// A flow of the current version; `more` comes before what it says by itself, and the first of a name counts.
fn flow(path: &str, more: &[(&str, String)]) -> String {
    let header = |name: &str, value: &str| list(&[t(',', name), t(',', value)]);
    let request = dict(&[
        ("method", t(',', "GET")),
        ("scheme", t(',', "https")),
        ("host", t(';', "10.1.1.1")),
        ("port", t('#', "8443")),
        ("path", t(',', path)),
        ("authority", t(',', "")),
        ("http_version", t(',', "HTTP/1.1")),
        ("headers", list(&[header("User-Agent", "x"), header(":odd", "y")])),
        ("content", t(',', "")),
        ("timestamp_start", t('^', "1700000000.25")),
    ]);
    let mut fields = vec![("version", t('#', "21"))];
    fields.extend(more.iter().map(|(name, value)| (*name, value.clone())));
    fields.extend([("type", t(';', "http")), ("id", t(';', "a")), ("request", request)]);
    dict(&fields)
}

/// `dumpfile-7-websocket` has 6 flows as its page says: 3 handshakes and 3 flows of messages, which are no requests. Two
/// of those belong to the first and the second handshake. The third is a copy of the first that somebody gave another
/// id, so its handshake has its messages already; it is skipped and counted. 3 + 2 + 1 = 6.
#[test]
fn every_file_of_the_data_has_the_flows_that_its_page_says() {
    for (name, imported, joined, skipped) in
        [("dumpfile-7-websocket", 3, 2, 1), ("event_stream", 2, 0, 0), ("websocket", 3, 0, 0)]
    {
        let Some(path) = data(&format!("mitmproxy-flows/{name}.mitm")) else { return };
        let (format, found) = file(&path);
        let tally = &found.tally;
        assert_eq!((format, tally.damaged), (Format::Mitmproxy, 0), "{name}: {tally:?}");
        assert_eq!(tally.imported, imported, "{name}: {tally:?}");
        assert_eq!(tally.noted.values().sum::<u64>(), joined, "{name}: {tally:?}");
        assert_eq!(tally.skipped.values().sum::<u64>(), skipped, "{name}: {tally:?}");
    }
}

/// The archives of the same names were made of the same flows by mitmproxy itself.
#[test]
fn flows_and_the_archives_made_of_them_say_the_same() {
    for name in ["websocket", "event_stream"] {
        let (Some(flows), Some(archive)) =
            (data(&format!("mitmproxy-flows/{name}.mitm")), data(&format!("har/mitmproxy-flow-{name}.har")))
        else {
            return;
        };
        let (flows, archive) = (file(&flows).1.exchanges, file(&archive).1.exchanges);
        assert_eq!(brief(&flows), brief(&archive), "{name}");
        for (flow, entry) in flows.iter().zip(&archive) {
            assert_eq!(flow.start_us, entry.start_us, "{name}");
            assert_eq!(flow.request.headers.len(), entry.request.headers.len(), "{name}");
            assert_eq!(flow.protocol, entry.protocol, "{name}");
            let said = |exchange: &Exchange| -> Vec<_> {
                let messages = exchange.stream.iter().flat_map(|stream| &stream.messages);
                let messages = messages.filter(|message| message.kind != MessageKind::Close);
                messages.map(|message| (message.from_client, message.len, message.data.clone())).collect()
            };
            assert_eq!(said(flow), said(entry), "{name}");
        }
    }
}

#[test]
fn a_file_of_mitmproxy_11_with_something_of_everything() {
    let (format, found) = file(&sample("flows-21.mitm"));
    assert_eq!((format, found.tally.damaged), (Format::Mitmproxy, 0), "{:?}", found.tally);
    let skipped: Vec<_> = found.tally.skipped.iter().map(|(why, n)| (why.as_str(), *n)).collect();
    let none = ["a DNS flow, no HTTP", "a TCP flow, no HTTP", "a UDP flow, no HTTP"];
    assert_eq!(skipped, none.map(|why| (why, 1)));
    let expect = [
        "GET /items/0?q=%C3%BC 200",
        "POST /items/1?q=%C3%BC 200",
        "GET /items/2?q=%C3%BC 200",
        "POST /items/3?q=%C3%BC 200",
        "GET /items/4?q=%C3%BC 0",
        "POST /items/5?q=%C3%BC 200",
        "GET /items/6?q=%C3%BC 101",
        "POST /items/7?q=%C3%BC 200",
        "GET /edited 200",
    ];
    assert_eq!(brief(&found.exchanges), expect);
    let [first, posted, _, _, failed, streamed, socket, replayed, _] = &found.exchanges[..] else {
        panic!("nine")
    };
    assert_eq!(
        (first.start_us, first.ttfb_us, first.duration_us),
        (1_700_000_000_000_000, Some(250_000), Some(500_000))
    );
    assert_eq!((first.session, posted.session), (SessionId(1), SessionId(2)), "two clients");
    assert_eq!(first.connection, posted.connection, "the sample gives both one connection");
    assert_eq!(posted.request.body.data.as_deref(), Some(&b"{\"n\":1}"[..]));
    assert_eq!(first.request.authority, "shop.test:8080");
    assert!(failed.notes.contains(Notes::UPSTREAM_FAILED) && failed.duration_us == Some(1_000_000));
    let body = &streamed.response.as_ref().unwrap().body;
    assert_eq!((body.len, body.hash, &body.data), (1_234_567, None, &None), "it was streamed, not kept");
    assert!(streamed.notes.contains(Notes::RESPONSE_TRUNCATED) && replayed.notes.contains(Notes::REPLAYED));
    let messages = &socket.stream.as_ref().unwrap().messages;
    let said: Vec<_> =
        messages.iter().map(|message| (message.kind, message.at_us, message.data.as_deref())).collect();
    let expect = [
        (MessageKind::Text, 500_000, Some(&b"hello"[..])),
        (MessageKind::Binary, 750_000, None),
        (MessageKind::Close, 1_000_000, Some(b"\x03\xe8bye")),
    ];
    assert_eq!(said, expect, "what was injected in mitmproxy is left out");
}

/// What mitmproxy itself makes of our exports: it reads them, and writes them again.
#[test]
fn mitmproxy_opens_what_we_export() {
    let exchanges: Vec<Exchange> = (0..40).map(common::exchange).collect();
    let dir = tempfile::tempdir().unwrap();
    let capture = dir.path().join("capture.zst");
    let mut writer = Writer::create(&capture, FileHeader::new("test", 1), Options::for_import()).unwrap();
    exchanges.iter().for_each(|exchange| writer.push(exchange, 0).unwrap());
    writer.finish(0).unwrap();
    for name in ["export.mitm", "export.har"] {
        let (export, again) = (dir.path().join(name), dir.path().join(format!("{name}.again")));
        let out = std::fs::File::create(&export).unwrap();
        match name {
            "export.har" => har::write(Reader::open(&capture).unwrap(), out),
            _ => mitmproxy::write(Reader::open(&capture).unwrap(), out),
        }
        .unwrap();
        let said =
            Command::new("mitmdump").args(["-q", "-n", "-r"]).arg(&export).arg("-w").arg(&again).output();
        let said = match said {
            Ok(said) => said,
            Err(err) => return eprintln!("skipped: mitmdump cannot be run: {err}; pip install mitmproxy"),
        };
        let stderr = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success() && again.exists(), "{name}: {stderr}");
        let (format, found) = file(&again);
        let mut words = brief(&found.exchanges);
        words.sort();
        let mut expect = brief(&exchanges);
        expect.sort();
        assert_eq!((format, found.tally.damaged, words), (Format::Mitmproxy, 0, expect), "{name}");
    }
}

#[test]
fn the_least_a_flow_can_say() {
    let found = bytes(Format::Mitmproxy, flow("/a b", &[]).as_bytes()).unwrap();
    let [exchange] = &found.exchanges[..] else { panic!("{:?}", found.tally) };
    assert_eq!(exchange.request.authority, "10.1.1.1:8443");
    assert_eq!(exchange.request.target, "/a%20b");
    assert_eq!(exchange.request.headers.len(), 1, "a pseudo-field is no header");
    assert_eq!((exchange.start_us, exchange.response.is_none()), (1_700_000_000_250_000, true));
}

#[test]
fn damage_is_named_by_its_place_and_the_rest_is_read() {
    let parts = [
        flow("/1", &[]),
        flow("/no-method", &[("request", dict(&[("timestamp_start", t('#', "5"))]))]),
        flow("/no-time", &[("request", dict(&[("method", t(',', "GET"))]))]),
        flow("/odd", &[("type", t(';', "carrier pigeon"))]),
        "3:abc}".to_owned(),
        "0:}".to_owned(),
        "torn ".to_owned(),
        flow("/2", &[]),
        flow("/cut", &[])[..50].to_owned(),
    ];
    let found = bytes(Format::Mitmproxy, parts.concat().as_bytes()).unwrap();
    assert_eq!(brief(&found.exchanges), ["GET /1 0", "GET /2 0"]);
    let ends: Vec<usize> = parts
        .iter()
        .scan(0, |end, part| {
            *end += part.len();
            Some(*end)
        })
        .collect();
    let places: Vec<_> = found.tally.named.iter().map(|damaged| damaged.place.clone()).collect();
    let expect = [(2, 0), (3, 1), (4, 2), (5, 3), (6, 4), (7, 5), (9, 7)];
    assert_eq!(places, expect.map(|(flow, after)| format!("flow {flow} at byte {}", ends[after])));
    let whys: String = found.tally.named.iter().map(|damaged| format!("{}\n", damaged.why)).collect();
    for words in ["no method", "no time", "carrier pigeon", "no length", "no flow", "cut off after 50"] {
        assert!(whys.contains(words), "{words}: {whys}");
    }
}

#[test]
fn no_damage_upsets_it() {
    let header = [flow("/1", &[]), flow("/2", &[("error", "0:~".to_owned())]), flow("/3", &[])];
    damage_everywhere(Format::Mitmproxy, header.concat().as_bytes(), 0);
    let everything = std::fs::read(sample("flows-21.mitm")).unwrap();
    damage_everywhere(Format::Mitmproxy, &everything, 1);
}
