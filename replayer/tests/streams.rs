//! Streams against servers that send what the test says, when it says so.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use captures::Exchange;
use captures::messages::{Message, MessageKind, Scanned, Stream, StreamKind};
use captures::notes::Notes;
use replayer::Report;
use replayer::options::Speed;
use replayer::report::StreamsPart;
use support::{Server, Then, replay_on, step};

/// A recorded event stream with an event at each of these milliseconds.
fn events(request: &str, duration_ms: u64, at_ms: &[u64]) -> Exchange {
    let mut exchange = step(1, 0, duration_ms, request);
    exchange.response.as_mut().unwrap().headers.push("content-type", "text/event-stream");
    exchange.notes = Notes::STREAM;
    let message = |at_ms: &u64| heard(*at_ms, MessageKind::Event);
    exchange.stream =
        Some(Stream { messages: at_ms.iter().map(message).collect(), ..Stream::new(StreamKind::Sse) });
    exchange
}

fn heard(at_ms: u64, kind: MessageKind) -> Message {
    Message::new(Scanned { kind, compressed: false, len: 7, data: None }, at_ms * 1000, false)
}

fn left(mut exchange: Exchange) -> Exchange {
    exchange.notes.insert(Notes::CLIENT_GONE);
    exchange
}

/// Answers each request with a stream of `pieces`, each after a wait in milliseconds.
fn event_server(pieces: &'static [(u64, &'static str)], then: Then) -> Server {
    Server::start(move |_, stream| {
        begin(stream);
        for (wait_ms, piece) in pieces {
            std::thread::sleep(Duration::from_millis(*wait_ms));
            if write!(stream, "{:x}\r\n{piece}\r\n", piece.len()).is_err() {
                return Then::Close;
            }
        }
        if then == Then::Keep {
            let _ = stream.write_all(b"0\r\n\r\n");
        }
        then
    })
}

fn begin(stream: &mut TcpStream) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let _ = stream.write_all(head.as_bytes());
}

fn streams(report: &Report) -> &StreamsPart {
    report.streams.as_ref().expect("a stream was opened")
}

/// Opened, ended, broken, messages of the server.
fn counts(report: &Report) -> (u64, u64, u64, u64) {
    let streams = streams(report);
    (streams.opened, streams.ended, streams.broken, streams.messages_in)
}

fn paced(options: &mut replayer::Options) {
    options.speed = Speed::Times(1.0);
}

#[test]
fn events_are_counted_and_timed() {
    let pieces = &[(60, "data: 1\n\n: alive\n\ndata"), (60, ": 2\n\n"), (100, "data: 3\n\ndata: 4\n\n")];
    let server = event_server(pieces, Then::Keep);
    let recorded = events("GET /events", 220, &[60, 120, 220, 220]);
    let report = replay_on(&server, &[recorded], |options| {
        paced(options);
        options.amplify = 3.0;
    });
    assert_eq!(counts(&report), (3, 3, 0, 12));
    let streams = streams(&report);
    assert_eq!((streams.first_event.count, streams.event_gap.count, streams.stalls), (3, 9, 0));
    assert_eq!((report.requests.answered, report.exit_code), (3, 0));
    assert!(report.latency.response.max < 150_000, "a stream is answered when it opens: {report:#?}");
}

#[test]
fn an_answer_that_turns_out_to_be_a_stream_is_one() {
    let server = event_server(&[(0, "data: 1\n\n")], Then::Keep);
    let report = replay_on(&server, &[step(1, 0, 1, "GET /events")], |_| {});
    assert_eq!(counts(&report), (1, 1, 0, 1));
}

#[test]
fn a_stall_is_seen_and_a_rhythm_is_none() {
    let check = |pieces, stalls| {
        let recorded = events("GET /events", 400, &[10, 20, 30]);
        let report = replay_on(&event_server(pieces, Then::Keep), &[recorded], paced);
        assert_eq!((streams(&report).stalls, report.requests.answered), (stalls, 1), "{report:#?}");
    };
    check(&[(0, "data: 1\n\n"), (300, "data: 2\n\n"), (300, "data: 3\n\n")], 0);
    check(&[(0, "data: 1\n\n"), (1300, "data: 2\n\n"), (0, "data: 3\n\n")], 1);
    check(&[(0, "data: 1\n\n"), (1300, ": only alive\n\n")], 1);
}

#[test]
fn the_client_leaves_as_it_did() {
    let server = event_server(&[(0, "data: 1\n\n"), (100, "data: 2\n\n"), (2000, "data: 3\n\n")], Then::Keep);
    let recorded = [left(events("GET /events", 400, &[1, 101])), step(1, 410, 1, "GET /after")];
    let report = replay_on(&server, &recorded[..1], paced);
    assert_eq!(counts(&report), (1, 1, 0, 2));
    assert_eq!((report.requests.answered, report.exit_code), (1, 0));
    assert!(report.elapsed_us < 1_500_000, "{}", report.elapsed_us);
    let report = replay_on(&server, &recorded[..1], |_| {});
    assert_eq!(counts(&report), (1, 1, 0, 2), "at full speed it leaves with what it had come for");
}

#[test]
fn a_broken_stream_is_told() {
    let check = |then, class: &str| {
        let server = event_server(&[(0, "data: 1\n\n"), (50, "data: 2\n\n")], then);
        let report = replay_on(&server, &[events("GET /events", 900, &[0, 50, 800])], paced);
        assert_eq!(counts(&report), (1, 0, 1, 2));
        assert_eq!(report.requests.failed[class], 1, "{report:#?}");
    };
    check(Then::Close, "truncated");
    check(Then::Reset, "reset");
}

#[test]
fn an_error_in_place_of_a_stream_is_an_answer() {
    let server = Server::start(|_, stream| {
        support::answer(stream, "503 Service Unavailable", "", b"no");
        Then::Keep
    });
    let report = replay_on(&server, &[left(events("GET /events", 300, &[1]))], paced);
    assert!(report.streams.is_none());
    assert_eq!((report.requests.status["503"], report.requests.answered), (1, 1));
}

#[test]
fn a_run_that_ends_leaves_its_streams() {
    let server = event_server(&[(0, "data: 1\n\n"), (5000, "data: 2\n\n")], Then::Keep);
    let report = replay_on(&server, &[left(events("GET /events", 60_000, &[1]))], |options| {
        paced(options);
        options.duration = Some(Duration::from_millis(500));
        options.timeout = Duration::from_millis(300);
    });
    assert_eq!(counts(&report), (1, 1, 0, 1));
    assert_eq!((report.requests.answered, report.failed()), (1, 0));
}

#[test]
fn a_retried_stream_begins_anew() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |_, stream| {
        begin(stream);
        let _ = stream.write_all(b"9\r\ndata: x\n\n\r\n");
        if count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
            return Then::Close;
        }
        let _ = stream.write_all(b"9\r\ndata: y\n\n\r\n0\r\n\r\n");
        Then::Keep
    });
    let report = replay_on(&server, &[events("GET /events", 100, &[0, 50])], |options| {
        paced(options);
        options.retry = "naive".parse().unwrap();
    });
    assert_eq!((counts(&report), report.requests.retries), ((2, 1, 1, 3), 1), "{report:#?}");
    assert_eq!((streams(&report).first_event.count, streams(&report).event_gap.count), (2, 1));
    assert_eq!((report.requests.answered, report.failed()), (1, 1));
}
