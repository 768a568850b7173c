//! Real captures, with the counts that their page says.

use std::collections::BTreeMap;

use captures::import::Format;
use captures::messages::StreamKind;
use captures::notes::Notes;

use crate::common::data;
use crate::kit::{Imported, damage_everywhere, file};

fn import(name: &str) -> Option<Imported> {
    let path = data(&format!("pcap-http/zeek-{name}.pcap"))?;
    let (format, found) = file(&path);
    assert_eq!(format, Format::Pcap, "{name}");
    Some(found)
}

fn statuses(found: &Imported) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for exchange in &found.exchanges {
        *counts.entry(exchange.response.as_ref().map_or(0, |response| response.status)).or_default() += 1;
    }
    counts
}

/// Requests and answers of every file. Where the page gives a number it is this one; the others were counted with
/// tshark 4.0 (`-Y http.request`, `-Y http.response`). Two need words:
///
/// - `methods` has 49 connections with a request line each, as the page says. 17 of them are request lines. In the other
///   32 a space is missing, or the name of the method is not ASCII (`GET/ HTTP/1.1`, `OPTIONS`), and no server takes
///   them: they are damaged, and named. All 49 are answered.
/// - `zero-length-bodies-with-drops` has 7 requests and 8 answers: the request of one was not captured.
#[test]
fn every_file_has_the_requests_and_answers_that_its_page_says() {
    let files: [(&str, u64, u64, u64, u64); 15] = [
        ("bro.org", 31, 31, 0, 0),
        ("pipelined-requests", 5, 5, 0, 0),
        ("methods", 17, 17, 32, 32),
        ("100-continue", 1, 1, 0, 0),
        ("byteranges", 1, 1, 0, 0),
        ("connect-with-smtp", 1, 1, 0, 0),
        ("deeply-nested-mime", 1, 1, 0, 0),
        ("docker-http-upgrade", 6, 6, 0, 0),
        ("get-gzip", 1, 1, 0, 0),
        ("http-post-large", 2, 2, 0, 0),
        // the server is never heard
        ("multipart-form-data", 1, 0, 0, 0),
        ("no_crlf", 5, 5, 0, 0),
        ("post", 1, 1, 0, 0),
        ("proxy", 1, 1, 0, 0),
        ("zero-length-bodies-with-drops", 7, 7, 1, 0),
    ];
    for (name, requests, answered, orphans, damaged) in files {
        let Some(found) = import(name) else { return };
        let answers = found.exchanges.iter().filter(|exchange| exchange.response.is_some()).count() as u64;
        assert_eq!((found.tally.imported, answers), (requests, answered), "{name}: {:?}", found.tally);
        assert_eq!(
            found.tally.noted.get("answers without a request").copied().unwrap_or(0),
            orphans,
            "{name}"
        );
        assert_eq!(found.tally.damaged, damaged, "{name}: {:?}", found.tally);
    }
}

#[test]
fn what_is_special_about_some() {
    let Some(page) = import("bro.org") else { return };
    assert_eq!(statuses(&page), [(200, 31)].into());
    let cut: Vec<_> =
        page.exchanges.iter().filter(|exchange| exchange.notes.contains(Notes::RESPONSE_TRUNCATED)).collect();
    assert_eq!((cut.len(), page.tally.noted["bytes not captured"]), (1, 7_240));
    assert_eq!(cut[0].request.target, "/js/jquery.cycle.all.min.js");
    let Some(ranges) = import("byteranges") else { return };
    assert_eq!(statuses(&ranges), [(206, 1)].into());
    let Some(docker) = import("docker-http-upgrade") else { return };
    assert_eq!(
        docker.exchanges.iter().filter(|exchange| exchange.notes.contains(Notes::UPGRADED)).count(),
        1
    );
    let Some(large) = import("http-post-large") else { return };
    assert!(
        large
            .exchanges
            .iter()
            .any(|exchange| 60_000 < exchange.request.body.len && exchange.request.body.is_whole())
    );
    let Some(proxied) = import("proxy") else { return };
    assert_eq!(proxied.exchanges[0].request.authority, "bro.org");
}

#[test]
fn websockets_have_the_messages_that_a_scanner_finds() {
    for (name, client, server) in [
        ("broker-websocket", 5, 4),
        ("jupyter-websocket", 2, 12),
        ("reply-ping-separate", 3, 3),
        ("two-binary-fragments", 3, 3),
    ] {
        let Some(path) = data(&format!("pcap-websocket/zeek-{name}.pcap")) else { return };
        let (_, found) = file(&path);
        let [exchange] = &found.exchanges[..] else { panic!("{name}: {:?}", found.tally) };
        let stream = exchange.stream.as_ref().unwrap();
        assert_eq!((stream.kind, stream.truncated), (StreamKind::WebSocket, 0), "{name}");
        assert_eq!((stream.count(true), stream.count(false)), (client, server), "{name}");
        assert_eq!(exchange.response.as_ref().unwrap().status, 101);
    }
}

#[test]
fn no_damage_of_a_real_file_upsets_it() {
    for name in ["get-gzip", "post", "connect-with-smtp"] {
        let Some(path) = data(&format!("pcap-http/zeek-{name}.pcap")) else { return };
        damage_everywhere(Format::Pcap, &std::fs::read(path).unwrap(), 2);
    }
}
