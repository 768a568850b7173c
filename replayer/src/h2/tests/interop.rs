//! The codec as the client of a server of another make (the `h2` crate), over a pipe in memory.

use std::collections::BTreeMap;
use std::future::Future;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

/// What came of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    status: u16,
    body: usize,
    trailers: Option<Vec<(String, String)>>,
    reset: Option<u32>,
    is_over: bool,
}

impl Outcome {
    fn take(&mut self, event: Seen) {
        match event {
            Seen::Head(_, status, _, end) => (self.status, self.is_over) = (status, end),
            Seen::Data(_, bytes, end) => {
                assert!(bytes.iter().all(|byte| *byte == b'b'));
                self.body += bytes.len();
                self.is_over = end;
            }
            Seen::Trailers(_, fields) => (self.trailers, self.is_over) = (Some(fields), true),
            Seen::Reset(_, code, _) => (self.reset, self.is_over) = (Some(code), true),
            other => panic!("{other:?}"),
        }
    }
}

/// A request to send: path and size of its body, which is spaces.
#[derive(Clone, Copy, Debug)]
struct Order {
    path: &'static str,
    body: u64,
}

/// Sends the orders as soon as there are streams for them, and returns what came of each.
async fn drive(mut pipe: DuplexStream, config: Config, orders: &[Order]) -> Vec<Outcome> {
    let mut out = Vec::new();
    let mut connection = Connection::new(config, &mut out);
    let mut outcomes: BTreeMap<u32, Outcome> = BTreeMap::new();
    let mut chunk = vec![0; 5000];
    let mut most_open = 0;
    loop {
        let begun = outcomes.len();
        if begun < orders.len() && connection.can_open() {
            open(&mut connection, &mut out, orders[begun], begun as u32);
            outcomes.insert(begun as u32, Outcome::default());
            most_open = most_open.max(connection.open_streams());
            continue;
        }
        let is_stuck = connection.is_going_away() && connection.open_streams() == 0;
        if outcomes.values().all(|outcome| outcome.is_over) && (begun == orders.len() || is_stuck) {
            break;
        }
        connection.resume(&mut out);
        if !out.is_empty() {
            pipe.write_all(&out).await.unwrap();
            out.clear();
        }
        if connection.wants_room() {
            continue;
        }
        let length = pipe.read(&mut chunk).await.unwrap();
        assert_ne!(length, 0, "the server hung up: {outcomes:?}");
        let take = &mut |event: Event<'_>| match Seen::of(&event) {
            Seen::Settled | Seen::GoAway(..) => {}
            event => outcomes.get_mut(&tag(&event)).unwrap().take(event),
        };
        connection.feed(&chunk[..length], &mut out, take).unwrap();
    }
    assert!(most_open <= config.max_streams);
    assert_eq!(connection.streams().count(), 0);
    outcomes.into_values().collect()
}

fn tag(event: &Seen) -> u32 {
    match event {
        Seen::Head(tag, ..) | Seen::Data(tag, ..) | Seen::Trailers(tag, _) | Seen::Reset(tag, ..) => *tag,
        other => panic!("{other:?}"),
    }
}

fn open(connection: &mut Connection, out: &mut Vec<u8>, order: Order, tag: u32) {
    let mut block = Vec::new();
    hpack::push(&mut block, b":method", if order.body == 0 { b"GET" } else { b"POST" });
    hpack::push(&mut block, b":scheme", b"http");
    hpack::push(&mut block, b":authority", b"shop.test");
    hpack::push_name(&mut block, b":path");
    hpack::push_value(&mut block, order.path.as_bytes());
    hpack::push(&mut block, b"cookie", b"session=7");
    let stream = connection.request(out, &block, order.body == 0, tag).unwrap();
    if order.body != 0 {
        connection.send(out, stream, Piece { bytes: Bytes::new(), filler: order.body, end: true });
    }
}

/// A server that answers by path; see [`answer`].
async fn serve(pipe: DuplexStream, builder: h2::server::Builder, goes_after: usize) {
    let mut connection = builder.handshake::<_, Bytes>(pipe).await.unwrap();
    let mut count = 0;
    while let Some(accepted) = connection.accept().await {
        let Ok((request, respond)) = accepted else { break };
        count += 1;
        if count == goes_after {
            connection.graceful_shutdown();
        }
        tokio::spawn(answer(request, respond));
    }
}

/// Answers with a body of as many bytes as the path says, and does what else it says.
async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    assert_eq!(request.headers()["cookie"], "session=7");
    let path = request.uri().path().to_owned();
    if path == "/reset" {
        return respond.send_reset(Reason::INTERNAL_ERROR);
    }
    if path == "/early" {
        respond.send_response(Response::builder().status(413).body(()).unwrap(), true).unwrap();
        return; // dropping the unread request makes the server reset it with NO_ERROR
    }
    let mut body = request.into_body();
    let mut received = 0;
    while let Some(chunk) = body.data().await {
        let Ok(chunk) = chunk else { return };
        received += chunk.len();
        let _ = body.flow_control().release_capacity(chunk.len());
    }
    let length: usize = path[1..].trim_end_matches("/trailers").parse().unwrap();
    let head = Response::builder().header("x-received", received).header("server", "other").body(()).unwrap();
    let has_trailers = path.ends_with("/trailers");
    let mut stream = respond.send_response(head, length == 0 && !has_trailers).unwrap();
    let mut left = length;
    while left > 0 {
        stream.reserve_capacity(left);
        let Some(Ok(room)) = std::future::poll_fn(|context| stream.poll_capacity(context)).await else {
            return;
        };
        let now = room.min(left);
        left -= now;
        stream.send_data(Bytes::from(vec![b'b'; now]), left == 0 && !has_trailers).unwrap();
    }
    if has_trailers {
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        stream.send_trailers(trailers).unwrap();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(std::time::Duration::from_secs(60), future).await.expect("in time")
    })
}

fn run(config: Config, builder: &h2::server::Builder, goes_after: usize, orders: &[Order]) -> Vec<Outcome> {
    block_on(async {
        let (ours, theirs) = duplex(10_000);
        let server = tokio::spawn(serve(theirs, builder.clone(), goes_after));
        let outcomes = drive(ours, config, orders).await;
        server.abort();
        outcomes
    })
}

fn complete(status: u16, body: usize) -> Outcome {
    Outcome { status, body, is_over: true, ..Outcome::default() }
}

fn alternating(two: [Outcome; 2], count: usize) -> Vec<Outcome> {
    two.into_iter().cycle().take(count).collect()
}

const CONFIG: Config = Config { max_streams: 100, window: 1 << 20 };

#[test]
fn many_small_exchanges() {
    let orders = [Order { path: "/13", body: 0 }, Order { path: "/0", body: 100 }].repeat(1000);
    let outcomes = run(CONFIG, &h2::server::Builder::new(), 0, &orders);
    assert_eq!(outcomes, alternating([complete(200, 13), complete(200, 0)], 2000));
}

#[test]
fn one_stream_at_a_time() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1);
    let orders = [Order { path: "/70000", body: 0 }].repeat(20);
    // Streams that are opened before the limit is known may be refused, so we open one only as well.
    let outcomes = run(Config { max_streams: 1, ..CONFIG }, &builder, 0, &orders);
    assert_eq!(outcomes, vec![complete(200, 70_000); 20]);
}

#[test]
fn great_bodies_through_tiny_windows() {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(100).initial_connection_window_size(65_600).max_frame_size(20_000);
    let orders = [Order { path: "/60000", body: 30_000 }, Order { path: "/5", body: 1 }].repeat(10);
    for window in [1, 700, 1 << 20] {
        let outcomes =
            run(Config { max_streams: 20, window }, &builder, 0, &orders[..if window == 1 { 2 } else { 20 }]);
        assert_eq!(
            outcomes,
            alternating([complete(200, 60_000), complete(200, 5)], outcomes.len()),
            "{window}"
        );
    }
}

#[test]
fn trailers_resets_and_early_answers() {
    let orders = [
        Order { path: "/10/trailers", body: 5 },
        Order { path: "/0/trailers", body: 0 },
        Order { path: "/reset", body: 0 },
        Order { path: "/early", body: 10_000_000 },
        Order { path: "/3", body: 0 },
    ];
    let outcomes = run(CONFIG, &h2::server::Builder::new(), 0, &orders);
    let trailers = Some(vec![("grpc-status".to_owned(), "0".to_owned())]);
    let expected = [
        Outcome { trailers: trailers.clone(), ..complete(200, 10) },
        Outcome { trailers, ..complete(200, 0) },
        Outcome { reset: Some(2), ..complete(0, 0) },
        complete(413, 0),
        complete(200, 3),
    ];
    assert_eq!(outcomes, expected);
}

#[test]
fn a_server_that_goes_away_ends_what_it_began() {
    let orders = [Order { path: "/1000", body: 0 }].repeat(200);
    let outcomes = run(Config { max_streams: 10, ..CONFIG }, &h2::server::Builder::new(), 25, &orders);
    let answered = outcomes.iter().filter(|outcome| **outcome == complete(200, 1000)).count();
    let refused = outcomes.iter().filter(|outcome| outcome.reset == Some(REFUSED_STREAM)).count();
    assert!(answered >= 25, "{answered} answered");
    assert_eq!(answered + refused, outcomes.len());
    assert!(outcomes.len() < 200, "no new ones after GOAWAY");
}

#[test]
fn header_fields_are_the_same_on_both_sides() {
    let outcome = block_on(async {
        let (mut ours, theirs) = duplex(10_000);
        let server = tokio::spawn(serve(theirs, h2::server::Builder::new(), 0));
        let mut out = Vec::new();
        let mut connection = Connection::new(CONFIG, &mut out);
        for tag in 0..3 {
            open(&mut connection, &mut out, Order { path: "/0", body: 7 }, tag);
        }
        ours.write_all(&out).await.unwrap();
        let mut heads = Vec::new();
        while heads.len() < 3 {
            let mut chunk = [0; 1000];
            let length = ours.read(&mut chunk).await.unwrap();
            let keep = &mut |event: Event<'_>| {
                if matches!(event, Event::Head { .. }) {
                    heads.push(Seen::of(&event));
                }
            };
            connection.feed(&chunk[..length], &mut out, keep).unwrap();
        }
        server.abort();
        heads
    });
    let fields = vec![("x-received".to_owned(), "7".to_owned()), ("server".to_owned(), "other".to_owned())];
    let expected: Vec<Seen> = (0..3).map(|tag| Seen::Head(tag, 200, fields.clone(), true)).collect();
    assert_eq!(outcome, expected);
}
