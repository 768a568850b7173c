//! Access logs, NDJSON and archives: what the other tests of these formats leave, and damage.

use std::fs;

use captures::export::{gor, har, ndjson};
use captures::header::{FileHeader, Options};
use captures::import::Format;
use captures::notes::Notes;
use captures::{Exchange, Reader, Writer};

use crate::common::{self, data};
use crate::kit::{brief, damage_everywhere, file};

fn capture_of(exchanges: &[Exchange]) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    let mut writer = Writer::create(&path, FileHeader::new("test", 1), Options::for_import()).unwrap();
    exchanges.iter().for_each(|exchange| writer.push(exchange, 0).unwrap());
    writer.finish(0).unwrap();
    (dir, path)
}

fn exports(exchanges: &[Exchange]) -> (Vec<u8>, Vec<u8>) {
    let (_dir, path) = capture_of(exchanges);
    let (mut lines, mut archive) = (Vec::new(), Vec::new());
    ndjson::write(Reader::open(&path).unwrap(), &mut lines).unwrap();
    har::write(Reader::open(&path).unwrap(), &mut archive).unwrap();
    (lines, archive)
}

/// The blocks of a compacted capture have sessions together, and so no order of time among them.
#[test]
fn exports_that_others_send_are_in_order_of_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    let options = Options { block_bytes: 1, ..Options::for_import() };
    let mut writer = Writer::create(&path, FileHeader::new("test", 1), options).unwrap();
    for n in 0..6 {
        let start_us = 1_700_000_000_000_000 + n % 2 * 3_000_000 + n * 500_000;
        let mut exchange = Exchange { session: captures::SessionId(n % 2), start_us, ..Exchange::default() };
        (exchange.request.method, exchange.request.target) = ("GET".to_owned(), format!("/{n}"));
        writer.push(&exchange, 0).unwrap();
    }
    writer.finish(0).unwrap();
    let (mut records, mut archive) = (Vec::new(), Vec::new());
    gor::write(Reader::open(&path).unwrap(), &mut records).unwrap();
    har::write(Reader::open(&path).unwrap(), &mut archive).unwrap();
    for (format, bytes) in [(Format::Gor, records), (Format::Har, archive)] {
        let found = crate::kit::bytes(format, &bytes).unwrap();
        assert_eq!((found.exchanges.len(), found.tally.out_of_order), (6, 0), "{format:?}");
        assert!(found.exchanges.is_sorted_by_key(|exchange| exchange.start_us));
    }
}

/// What the page of this file says: it is no access log, but 500 snapshots of a server's counters. Each is a line of JSON
/// without a request, and there is nothing else in it.
#[test]
fn snapshots_of_a_status_page_are_no_requests() {
    let Some(path) = data("access-log/elastic-nginxplus.jsonl") else { return };
    let (format, found) = file(&path);
    assert_eq!((format, found.tally.imported, found.tally.damaged), (Format::AccessLog, 0, 0));
    assert_eq!(found.tally.skipped, [("a line without a request".to_owned(), 500)].into());
}

/// nginx writes this unless it is told `escape=json`; what comes first need not be whole.
#[test]
fn lines_of_nginx_that_are_nearly_json_are_an_access_log() {
    let line = |target: &str| {
        format!("{{\"msec\":\"1700000000.250\",\"request\":\"GET {target} HTTP/1.1\",\"status\":\"200\"}}\n")
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.json");
    fs::write(&path, [line(r"/a\x22"), line("/b"), line(r"/\xC3\xA4")].concat()).unwrap();
    let (format, found) = file(&path);
    assert_eq!((format, found.tally.damaged), (Format::AccessLog, 0));
    assert_eq!(brief(&found.exchanges), ["GET /a%22 200", "GET /b 200", "GET /%C3%A4 200"]);
}

#[test]
fn lines_of_json_are_an_access_log() {
    let line = |n: u64, at: &str| {
        format!(
            "{{\"time_iso8601\":\"2023-11-14T22:13:{at}+00:00\",\"msec\":\"17000000{at}.500\",\"remote_addr\":\"10.0.0.{n}\",\
             \"request\":\"GET /{n}?a=\\u00fc HTTP/1.1\",\"status\":\"200\",\"body_bytes_sent\":\"{n}\",\
             \"request_time\":\"0.250\",\"http_user_agent\":\"x\",\"host\":\"shop.test\",\"connection\":\"{n}\"}}\n"
        )
    };
    let text =
        [line(1, "21"), line(2, "20"), "not a line\n".to_owned(), "{\"torn\":\n".to_owned(), line(1, "22")]
            .concat();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.json");
    fs::write(&path, &text).unwrap();
    let (format, found) = file(&path);
    assert_eq!(format, Format::AccessLog);
    assert_eq!(
        brief(&found.exchanges),
        ["GET /2?a=%C3%BC 200", "GET /1?a=%C3%BC 200", "GET /1?a=%C3%BC 200"]
    );
    let places: Vec<_> = found.tally.named.iter().map(|damaged| damaged.place.as_str()).collect();
    assert_eq!((places, found.tally.out_of_order), (vec!["line 3", "line 4"], 1));
    let [second, first, again] = &found.exchanges[..] else { panic!("three") };
    assert_eq!((first.start_us, first.duration_us), (1_700_000_021_250_000, Some(250_000)));
    assert_eq!((first.session, first.connection), (again.session, again.connection));
    assert_ne!((first.session, first.connection), (second.session, second.connection));
    assert!(!first.notes.contains(Notes::COARSE_TIME));
}

#[test]
fn exports_are_found_out_and_come_back_equal() {
    let exchanges: Vec<Exchange> = (0..40).map(common::exchange).collect();
    let (lines, archive) = exports(&exchanges);
    for (format, export) in [(Format::Ndjson, &lines), (Format::Har, &archive)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("export");
        fs::write(&path, export).unwrap();
        let (found_out, mut found) = file(&path);
        found.exchanges.sort_by_key(|exchange| exchange.start_us);
        assert_eq!((found_out, found.exchanges), (format, exchanges.clone()));
    }
}

#[test]
fn no_damage_upsets_them() {
    let exchanges: Vec<Exchange> = (0..3).map(common::exchange).collect();
    let (lines, archive) = exports(&exchanges);
    damage_everywhere(Format::Ndjson, &lines, 0);
    damage_everywhere(Format::Har, &archive, 0);
    let combined = "1.1.1.1 - - [17/May/2015:10:05:03 +0000] \"GET /a HTTP/1.1\" 200 5 \"-\" \"x\"\n";
    let json = "{\"ts\":1700000000.5,\"method\":\"GET\",\"path\":\"/\",\"status\":200}\n";
    // a line that is cut in two may be two
    damage_everywhere(Format::AccessLog, [combined, json, combined].concat().as_bytes(), 1);
}
