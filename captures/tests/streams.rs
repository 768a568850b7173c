//! Streams on disk, in the exports, in archives of others, and captures of earlier and later versions.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::BufReader;

use captures::export::{har, ndjson};
use captures::header::Options;
use captures::import::{self, ImportOptions, Numbering};
use captures::inspect::{Streams, inspect};
use captures::messages::{MessageKind, StreamKind, WsScanner};
use captures::reader::Reader;
use captures::repair::repair;
use captures::verify::verify;
use captures::{Exchange, Writer};
use common::{capture, data, exchange, fill, header};

fn read(path: &std::path::Path) -> Vec<Exchange> {
    let mut all: Vec<_> =
        Reader::open(path).expect("a capture").exchanges().map(|read| read.expect("undamaged")).collect();
    all.sort_by_key(|exchange| exchange.start_us);
    all
}

fn import(har: bool, bytes: &[u8]) -> Vec<Exchange> {
    let mut all = Vec::new();
    let mut sink = |exchange| {
        all.push(exchange);
        Ok(())
    };
    let (options, mut numbering) = (ImportOptions::default(), Numbering::default());
    let input = BufReader::new(bytes);
    let tally = match har {
        true => import::har::read(input, &options, &mut numbering, &mut sink),
        false => import::ndjson::read(input, &options, &mut numbering, &mut sink),
    };
    assert_eq!(tally.expect("readable").damaged, 0);
    all.sort_by_key(|exchange| exchange.start_us);
    all
}

#[test]
fn messages_go_through_the_exports_and_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    capture(&path, 30, 10);
    let exchanges = read(&path);
    assert_eq!(exchanges.iter().filter(|exchange| exchange.stream.is_some()).count(), 4);
    let (mut archive, mut lines) = (Vec::new(), Vec::new());
    har::write(Reader::open(&path).unwrap(), &mut archive).unwrap();
    ndjson::write(Reader::open(&path).unwrap(), &mut lines).unwrap();
    assert_eq!(import(true, &archive), exchanges);
    assert_eq!(import(false, &lines), exchanges);
    let archive: serde_json::Value = serde_json::from_slice(&archive).unwrap();
    let entries = archive["log"]["entries"].as_array().unwrap();
    let messages: Vec<_> = entries.iter().filter_map(|entry| entry.get("_webSocketMessages")).collect();
    assert_eq!(messages.len(), 4);
    // those of Chrome have no control frames among them
    assert_eq!(messages[0].as_array().unwrap().len(), 2);
    assert_eq!((&messages[0][0]["type"], &messages[0][0]["data"]), (&"send".into(), &"message of 3".into()));
    assert_eq!(messages[0][1]["type"], "receive");
    let figures = inspect(&path).unwrap();
    let websockets = Streams { requests: 4, from_clients: 8, from_servers: 4, truncated: 2 };
    assert_eq!(figures.streams, BTreeMap::from([("websocket", websockets)]));
}

/// Where each block's header begins in the file, which is where its encoding stands: in frames of version 1, and of now.
fn blocks(bytes: &[u8]) -> Vec<usize> {
    let of_version_1 = |window: &[u8]| window == b"\x89SqBLK\n\x1a";
    let now = |window: &[u8]| window.starts_with(b"\x89Sqb");
    let headers = bytes.windows(8).enumerate().filter_map(|(at, window)| match window {
        window if of_version_1(window) => Some(at + 16),
        window if now(window) => Some(at + 8),
        _ => None,
    });
    headers.collect()
}

#[test]
fn blocks_of_an_encoding_of_tomorrow_cost_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    let mut writer = Writer::create(&path, header(), Options::default()).unwrap();
    for n in [0, 3, 1, 2] {
        writer.push(&exchange(n), 0).unwrap();
        writer.flush(0).unwrap();
    }
    writer.finish(1).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let blocks = blocks(&bytes);
    // what a reader of now does with an encoding of tomorrow is what that of before does with this one
    let at = blocks[1] - 16;
    let len = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize + 8;
    assert_eq!(bytes[blocks[1]], 4);
    bytes[blocks[1]] = 6;
    let crc = crc32c::crc32c(&bytes[at..at + len - 4]);
    bytes[at + len - 4..at + len].copy_from_slice(&crc.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let read: Vec<_> = Reader::open(&path).unwrap().exchanges().collect();
    assert_eq!(read.iter().filter(|read| read.is_ok()).count(), 3);
    let damage = read.into_iter().find_map(Result::err).expect("one block is not read");
    assert!(damage.to_string().contains("of a later version; use a newer squall"), "{damage}");
    assert!(repair(&path, None).unwrap_err().to_string().contains("newer squall"), "nothing is thrown away");
}

/// Written by earlier versions from the exchanges 0 to 11 of this test: before columns, in blocks of three; and by version 1
/// as it was last, in one block.
#[test]
fn captures_of_earlier_versions_are_read_and_added_to() {
    for (name, before) in [("encodings-1-and-2.zst", &[1, 2, 1, 2][..]), ("version-1.zst", &[3])] {
        let old = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/old").join(name);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("capture.zst");
        fs::copy(old, &path).unwrap();
        let encodings = |path: &std::path::Path| {
            let bytes = fs::read(path).unwrap();
            blocks(&bytes).iter().map(|at| bytes[*at]).collect::<Vec<u8>>()
        };
        assert_eq!(encodings(&path), before);
        assert!(verify(&path).unwrap().is_clean());
        assert_eq!(read(&path), (0..12).map(exchange).collect::<Vec<_>>());
        let mut writer = Writer::append(&path, header(), Options::default()).unwrap();
        fill(&mut writer, 12..24, 6);
        writer.finish(1).unwrap();
        assert_eq!(encodings(&path), [before, &[4, 4]].concat());
        assert!(verify(&path).unwrap().is_clean());
        assert_eq!(read(&path), (0..24).map(exchange).collect::<Vec<_>>());
    }
}

#[test]
fn streams_survive_an_append_and_a_repair() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.zst");
    capture(&path, 12, 4);
    let mut writer = Writer::append(&path, header(), Options::default()).unwrap();
    fill(&mut writer, 12..24, 6);
    writer.flush(1).unwrap();
    drop(writer);
    assert!(repair(&path, None).unwrap().changed);
    assert!(verify(&path).unwrap().is_clean());
    assert_eq!(read(&path), (0..24).map(exchange).collect::<Vec<_>>());
}

#[test]
fn messages_in_an_archive_of_somebody_else() {
    let Some(path) = data("har/mitmproxy-flow-websocket.har") else { return };
    let all = import(true, &fs::read(path).unwrap());
    let streams: Vec<_> = all.iter().filter_map(|exchange| exchange.stream.as_ref()).collect();
    assert_eq!(streams.iter().map(|stream| stream.messages.len()).sum::<usize>(), 5);
    for stream in streams {
        assert_eq!((stream.kind, stream.truncated), (StreamKind::WebSocket, 0));
        assert!(stream.messages.is_sorted_by_key(|message| message.at_us));
        assert!(stream.messages.iter().all(|message| message.from_client == message.data.is_some()));
    }
}

/// Payload of each TCP segment of a capture of packets, in order, with the port that it came from. Enough for short
/// recordings of one connection without losses.
fn segments(pcap: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let u32_at = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
    let link = match u32_at(pcap, 20) {
        0 => 4,
        1 => 14,
        113 => 16,
        other => panic!("link type {other}"),
    };
    let mut rest = &pcap[24..];
    let mut segments = Vec::new();
    while !rest.is_empty() {
        let len = u32_at(rest, 8) as usize;
        let packet = &rest[16 + link..16 + len];
        rest = &rest[16 + len..];
        let (header, end) = match packet[0] >> 4 {
            4 => (usize::from(packet[0] & 15) * 4, usize::from(u16::from_be_bytes([packet[2], packet[3]]))),
            _ => (40, 40 + usize::from(u16::from_be_bytes([packet[4], packet[5]]))),
        };
        let tcp = &packet[header..end];
        let payload = &tcp[usize::from(tcp[12] >> 4) * 4..];
        segments.push((u16::from_be_bytes([tcp[0], tcp[1]]), payload.to_vec()));
    }
    segments
}

/// Each message behind the handshake: from the client, kind, length, compressed.
fn web_socket_messages(pcap: &[u8]) -> Vec<(bool, MessageKind, u64, bool)> {
    let segments = segments(pcap);
    let (client, _) = segments.iter().find(|(_, payload)| payload.starts_with(b"GET ")).expect("a request");
    let mut sides = [(WsScanner::keeping(1 << 20), Vec::new()), (WsScanner::sizes(), Vec::new())];
    let mut found = Vec::new();
    for (port, payload) in &segments {
        let from_client = port == client;
        let (scanner, head) = &mut sides[usize::from(!from_client)];
        let mut bytes = payload.as_slice();
        while !bytes.is_empty() && !head.ends_with(b"\r\n\r\n") {
            head.push(bytes[0]);
            bytes = &bytes[1..];
        }
        scanner.feed(bytes, &mut |message| {
            assert_eq!(message.data.is_some(), from_client && !message.compressed);
            found.push((from_client, message.kind, message.len, message.compressed));
        });
    }
    assert!(sides.iter().all(|(scanner, _)| !scanner.is_broken()));
    found
}

#[test]
fn packets_from_the_wire() {
    let check = |name: &str, expect: (usize, usize), longest: u64| {
        let Some(path) = data(&format!("pcap-websocket/zeek-{name}.pcap")) else { return };
        let found = web_socket_messages(&fs::read(path).unwrap());
        let client = found.iter().filter(|(from_client, ..)| *from_client).count();
        assert_eq!((client, found.len() - client), expect, "{name}: {found:?}");
        assert_eq!(found.iter().map(|(_, _, len, _)| *len).max(), Some(longest), "{name}");
    };
    check("broker-websocket", (5, 4), 533);
    check("jupyter-websocket", (2, 12), 1647);
    check("reply-ping-separate", (3, 3), 12);
    check("two-binary-fragments", (3, 3), 12);
}
