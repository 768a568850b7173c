//! Server-sent events, read by curl as they come.

use std::fmt::Write;
use std::process::Command;

use captures::messages::StreamKind;

use crate::inline::{Certificate, Inline, messages};
use crate::support::{Origin, Process, Shop};
use crate::tools;

#[test]
fn the_shops_events_arrive_whole_and_in_order() {
    let Some(curl) = curl() else { return };
    let shop = Shop::open(&[]);
    let proxy = Inline::before(&shop.url());
    let mut reader = listen(&curl, &[], &format!("{}/api/events?n=6&gap_ms=20", proxy.url()));
    for number in 1..=6 {
        expect_event(&reader, number);
    }
    assert!(reader.wait().success(), "curl got the stream's own end");
    let numbers: Vec<_> =
        reader.log().lines().filter(|line| line.starts_with("id: ")).map(str::to_owned).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6].map(|number| format!("id: {number}")));
    let recorded = proxy.finish(1);
    assert_eq!(messages(&recorded[0], StreamKind::Sse), (0, 6));
}

#[test]
fn events_arrive_one_by_one_over_http_1_1() {
    let Some(curl) = curl() else { return };
    let origin = Origin::open();
    let proxy = Inline::before(&origin.url());
    let reader = listen(&curl, &["--http1.1"], &format!("{}/events", proxy.url()));
    check_one_by_one(origin, reader, proxy);
}

#[test]
fn events_arrive_one_by_one_over_http_2() {
    let Some(curl) = curl() else { return };
    let (origin, tls) = (Origin::open(), Certificate::new());
    let proxy = Inline::with_tls(&origin.url(), &tls);
    let reader = listen(&curl, &["--http2", "--cacert", &tls.cert], &format!("{}/events", proxy.url()));
    check_one_by_one(origin, reader, proxy);
}

/// The origin sends an event only after the client has read the one before: whoever holds one back stops them all.
fn check_one_by_one(origin: Origin, mut reader: Process, proxy: Inline) {
    let head = origin.request();
    assert!(head.starts_with("GET /events HTTP/1.1\r\n"), "{head}");
    origin.write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
    for number in 1..=5 {
        let mut event = String::new();
        write!(event, "id: {number}\ndata: {{\"tick\":{number}}}\n\n").unwrap();
        origin.write_chunk(&event);
        expect_event(&reader, number);
    }
    assert_eq!(proxy.books().in_flight(), 1, "the stream is still open");
    origin.write("0\r\n\r\n");
    assert!(reader.wait().success(), "curl got the stream's own end");
    let recorded = proxy.finish(1);
    assert_eq!(messages(&recorded[0], StreamKind::Sse), (0, 5));
}

fn curl() -> Option<String> {
    tools::program("curl", "curl")
}

fn listen(curl: &str, options: &[&str], url: &str) -> Process {
    let mut command: Command = tools::curl(curl);
    command.args(["--no-buffer", "--header", "accept: text/event-stream"]).args(options).arg(url);
    Process::start("curl", command)
}

fn expect_event(reader: &Process, number: u32) {
    let id = format!("id: {number}");
    reader.wait_for(&format!("event {number}"), |line| (line == id).then_some(()));
}
