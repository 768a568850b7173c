//! Streams over HTTP/2: gRPC calls message by message, and event streams that their client leaves.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use captures::messages::{Message, MessageKind, Scanned, Stream, StreamKind};
use captures::notes::Notes;
use captures::{Body, Exchange};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Response};
use replayer::options::{Connections, Http, Speed};
use replayer::report::StreamsPart;
use replayer::{Options, Report};
use support::{capture, replay, step, with_header};

/// What the server met of one request: its path, its declared length, when each piece of its body came, its end.
#[derive(Clone, Debug, Default)]
struct Met {
    path: String,
    length: Option<String>,
    pieces: Vec<(Instant, Vec<u8>)>,
    ended: Option<Instant>,
    /// The client gave the stream up, with this code.
    reset: Option<u32>,
}

type Notebook = Arc<Mutex<Vec<Met>>>;

/// A request to answer.
struct Call {
    number: usize,
    notes: Notebook,
    body: RecvStream,
    respond: SendResponse<Bytes>,
}

impl Call {
    /// The next piece of the request's body; `None` at its end.
    async fn read(&mut self) -> Option<Vec<u8>> {
        let piece = self.body.data().await;
        let mut notes = self.notes.lock().unwrap();
        let met = &mut notes[self.number];
        match piece {
            Some(Ok(piece)) if piece.is_empty() => {
                met.ended = Some(Instant::now()); // a frame that only ends the request
                None
            }
            Some(Ok(piece)) => {
                met.pieces.push((Instant::now(), piece.to_vec()));
                self.body.flow_control().release_capacity(piece.len()).unwrap();
                Some(piece.to_vec())
            }
            Some(Err(err)) => {
                met.reset = err.reason().map(u32::from);
                None
            }
            None => {
                met.ended = Some(Instant::now());
                None
            }
        }
    }

    fn begin(&mut self, kind: &str) -> SendStream<Bytes> {
        let head = Response::builder().header("content-type", kind).body(()).unwrap();
        self.respond.send_response(head, false).unwrap()
    }
}

/// An HTTP/2 server in the clear.
fn server<F: Future<Output = ()> + Send + 'static>(
    handler: impl Fn(Call) -> F + Send + Sync + 'static,
) -> (String, Notebook) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let notes = Notebook::default();
    let (book, handler) = (Arc::clone(&notes), Arc::new(handler));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((socket, _)) = listener.accept().await {
                let (book, handler) = (Arc::clone(&book), Arc::clone(&handler));
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(socket).await.unwrap();
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let notes = Arc::clone(&book);
                        let number = {
                            let mut notes = notes.lock().unwrap();
                            let length = request.headers().get("content-length");
                            let length = length.map(|length| length.to_str().unwrap().to_owned());
                            let path = request.uri().path().to_owned();
                            notes.push(Met { path, length, ..Met::default() });
                            notes.len() - 1
                        };
                        tokio::spawn(handler(Call { number, notes, body: request.into_body(), respond }));
                    }
                });
            }
        });
    });
    (url, notes)
}

fn framed(message: &[u8]) -> Bytes {
    [&[0], &(message.len() as u32).to_be_bytes()[..], message].concat().into()
}

fn status(code: &str) -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), code.parse().unwrap())])
}

/// A recorded call; of messages of the client their bytes, of those of the server nothing.
fn call(duration_ms: u64, messages: &[(u64, Option<&[u8]>)]) -> Exchange {
    let mut exchange = with_header(step(1, 0, duration_ms, "POST /chat.Room/Talk"), "te", "trailers");
    exchange = with_header(exchange, "content-type", "application/grpc");
    exchange.response.as_mut().unwrap().headers.push("content-type", "application/grpc");
    exchange.notes = Notes::STREAM;
    let body: Vec<u8> = messages.iter().filter_map(|(_, data)| data.map(framed)).flatten().collect();
    exchange.request.body = Body::whole(body);
    let message = |(at_ms, data): &(u64, Option<&[u8]>)| {
        let len = data.map_or(3, <[u8]>::len) as u64;
        let scanned = Scanned { kind: MessageKind::Framed, compressed: false, len, data: None };
        Message::new(scanned, at_ms * 1000, data.is_some())
    };
    let mut stream =
        Stream { messages: messages.iter().map(message).collect(), ..Stream::new(StreamKind::Grpc) };
    stream.fill_from_body(&exchange.request.body);
    exchange.stream = Some(stream);
    exchange
}

fn replay_over(url: &str, exchanges: &[Exchange], change: impl FnOnce(&mut Options)) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let path = capture(dir.path(), exchanges);
    let mut options = Options {
        target: Some(url.to_owned()),
        threads: Some(1),
        timeout: Duration::from_secs(5),
        speed: Speed::Times(1.0),
        rehearsal: false,
        http: Http::Two,
        ..Options::new(&path)
    };
    change(&mut options);
    replay(&options)
}

fn streams(report: &Report) -> &StreamsPart {
    report.streams.as_ref().expect("a stream was opened")
}

/// Opened, ended, broken, messages of the server, of the client.
fn counts(report: &Report) -> (u64, u64, u64, u64, u64) {
    let streams = streams(report);
    (streams.opened, streams.ended, streams.broken, streams.messages_in, streams.messages_out)
}

/// Answers each message with one, and the end of the request with the status.
async fn echo(mut call: Call) {
    let mut out = call.begin("application/grpc");
    while let Some(piece) = call.read().await {
        out.send_data(framed(&piece[5..]), false).unwrap();
    }
    let _ = out.send_trailers(status("0"));
}

#[test]
fn a_talk_goes_message_by_message_at_its_times() {
    let (url, notes) = server(echo);
    let talk = call(
        400,
        &[
            (10, Some(b"one")),
            (11, None),
            (110, Some(b"two")),
            (111, None),
            (210, Some(b"three")),
            (211, None),
        ],
    );
    let begun = Instant::now(); // what the server meets, it may meet late: only from here no time is too short
    let report = replay_over(&url, &[talk], |options| options.amplify = 2.0);
    assert_eq!(counts(&report), (2, 2, 0, 6, 6), "{report:#?}");
    assert_eq!((report.requests.answered, report.exit_code, streams(&report).event_gap.count), (2, 0, 4));
    for met in notes.lock().unwrap().iter() {
        let pieces: Vec<&[u8]> = met.pieces.iter().map(|(_, piece)| &piece[5..]).collect();
        assert_eq!(pieces, [&b"one"[..], b"two", b"three"]);
        assert_eq!((met.path.as_str(), &met.length), ("/chat.Room/Talk", &None));
        let at = |piece: usize| met.pieces[piece].0.duration_since(begun);
        for (piece, due) in [10, 110, 210].into_iter().enumerate() {
            assert!(Duration::from_millis(due) <= at(piece), "{piece}: {:?}", at(piece));
        }
        let ended = met.ended.expect("the client ends its side").duration_since(begun);
        assert!(ended >= Duration::from_millis(400), "not with its last message: {ended:?}");
    }
}

#[test]
fn an_upload_in_pieces_ends_with_its_last() {
    let (url, notes) = server(|mut call: Call| async move {
        while call.read().await.is_some() {}
        let mut out = call.begin("application/grpc");
        out.send_data(framed(b"sum"), false).unwrap();
        let _ = out.send_trailers(status("0"));
    });
    let upload = call(300, &[(0, Some(b"1")), (50, Some(b"2")), (100, Some(b"3")), (110, None)]);
    let report = replay_over(&url, std::slice::from_ref(&upload), |_| {});
    assert_eq!(counts(&report), (1, 1, 0, 1, 3));
    assert!(report.latency.response.max < 250_000, "{report:#?}");
    assert_eq!(notes.lock().unwrap()[0].pieces.len(), 3);
    let report = replay_over(&url, &[upload], |options| options.speed = Speed::Max);
    assert_eq!((counts(&report), report.exit_code), ((1, 1, 0, 1, 3), 0));
}

#[test]
fn a_call_with_one_request_is_sent_whole() {
    let (url, notes) = server(echo);
    let report = replay_over(&url, &[call(20, &[(0, Some(b"ask")), (10, None)])], |_| {});
    assert_eq!(counts(&report), (1, 1, 0, 1, 0));
    let met = &notes.lock().unwrap()[0];
    assert_eq!((met.pieces.len(), met.length.as_deref()), (1, Some("8")));
}

#[test]
fn a_server_that_has_enough_is_not_told_the_rest() {
    let (url, _) = server(|mut call: Call| async move {
        call.read().await;
        let mut out = call.begin("application/grpc");
        let _ = out.send_trailers(status("8"));
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(call);
    });
    let talk = call(2_000, &[(0, Some(b"one")), (1, None), (100, Some(b"two")), (1_900, Some(b"three"))]);
    let report = replay_over(&url, &[talk, step(1, 2_000, 1, "GET /after")][..1], |_| {});
    assert_eq!((counts(&report), report.requests.answered), ((1, 1, 0, 0, 1), 1), "{report:#?}");
    assert!(report.elapsed_us < 1_000_000);
}

#[test]
fn a_reset_breaks_a_stream() {
    let (url, _) = server(|mut call: Call| async move {
        call.read().await;
        let mut out = call.begin("application/grpc");
        out.send_data(framed(b"x"), false).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        out.send_reset(h2::Reason::INTERNAL_ERROR);
    });
    let talk = call(900, &[(0, Some(b"one")), (1, None), (400, Some(b"two")), (401, None)]);
    let report = replay_over(&url, &[talk], |_| {});
    assert_eq!((counts(&report), report.requests.failed["truncated"]), ((1, 0, 1, 1, 1), 1), "{report:#?}");
}

#[test]
fn many_event_streams_are_left_on_one_connection() {
    let (url, notes) = server(|mut call: Call| async move {
        let mut out = call.begin("text/event-stream");
        for _ in 0..2 {
            out.send_data(Bytes::from_static(b"data: x\n\n"), false).unwrap();
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        let code = std::future::poll_fn(|cx| out.poll_reset(cx)).await;
        call.notes.lock().unwrap()[call.number].reset = code.ok().map(u32::from);
    });
    let mut events = step(1, 0, 400, "GET /events");
    events.response.as_mut().unwrap().headers.push("content-type", "text/event-stream");
    events.notes = Notes::STREAM;
    events.notes.insert(Notes::CLIENT_GONE);
    let report = replay_over(&url, &[events], |options| {
        options.amplify = 50.0;
        options.connections = Connections::Shared;
    });
    assert_eq!(counts(&report), (50, 50, 0, 100, 0));
    assert!(streams(&report).peak_open >= 10, "{report:#?}");
    assert_eq!((report.requests.answered, report.failed()), (50, 0));
    let told = || notes.lock().unwrap().iter().filter(|met| met.reset == Some(8)).count();
    let patience = Instant::now() + Duration::from_secs(5);
    while told() < 50 && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(told(), 50, "CANCEL, as a client that leaves");
}

#[test]
fn a_retried_call_says_all_again() {
    let (url, notes) = server(|mut call: Call| async move {
        if call.number > 0 {
            return echo(call).await;
        }
        call.read().await;
        call.read().await;
        call.respond.send_reset(h2::Reason::REFUSED_STREAM);
    });
    let talk = call(300, &[(0, Some(b"one")), (1, None), (100, Some(b"two")), (101, None)]);
    let report = replay_over(&url, &[with_header(talk, "idempotency-key", "k")], |options| {
        options.retry = "naive".parse().unwrap();
    });
    assert_eq!((counts(&report), report.requests.retries), ((1, 1, 0, 2, 4), 1), "{report:#?}");
    let said: Vec<usize> = notes.lock().unwrap().iter().map(|met| met.pieces.len()).collect();
    assert_eq!(said, [2, 2]);
}
