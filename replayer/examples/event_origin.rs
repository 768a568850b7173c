//! The origin of `benches/million_streams`: holds event streams open over HTTP/2 in clear text, as many as come.
//!
//! Each request is answered by a `text/event-stream` with one event, and stays open. Once so many are open as are
//! expected (or no more come), it waits, sends every stream a second event, waits a little, and ends them all. What it
//! counts it prints as lines of JSON. The HTTP/2 is that of the `h2` crate, not the replayer's own, so that the two
//! are held against each other.
#![allow(clippy::print_stdout)] // what it counts is for the bench that started it

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

type Streams = Vec<SendStream<Bytes>>;

/// What is open, and what was.
#[derive(Default)]
struct Held {
    streams: Streams,
    connections: u64,
    most_on_one: u32,
    last_opened: Option<Instant>,
}

struct Wanted {
    listen: String,
    streams: usize,
    hold: Duration,
}

impl Wanted {
    /// `event_origin ADDR STREAMS SECONDS`
    fn from_arguments() -> Result<Wanted, Box<dyn Error>> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let [listen, streams, seconds] = &arguments[..] else {
            return Err("usage: event_origin ADDR STREAMS SECONDS".into());
        };
        let hold = Duration::from_secs(seconds.parse()?);
        Ok(Wanted { listen: listen.clone(), streams: streams.parse()?, hold })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let wanted = Wanted::from_arguments()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(wanted))
}

async fn serve(wanted: Wanted) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(&wanted.listen).await?;
    println!("{{\"listening\": \"{}\"}}", listener.local_addr()?);
    let held = Rc::new(RefCell::new(Held::default()));
    tokio::task::spawn_local(direct(Rc::clone(&held), wanted));
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        held.borrow_mut().connections += 1;
        tokio::task::spawn_local(converse(socket, Rc::clone(&held)));
    }
}

/// One connection. How it ends is not its matter: streams that died with it are counted as gone.
async fn converse(socket: TcpStream, held: Rc<RefCell<Held>>) {
    let handshake =
        h2::server::Builder::new().max_concurrent_streams(STREAMS_PER_CONNECTION).handshake(socket);
    let Ok(mut connection) = handshake.await else { return };
    let mut opened = 0;
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let answer = http::Response::builder().header("content-type", "text/event-stream").body(());
        let answer = answer.expect("a response of constants is valid");
        let Ok(mut stream) = respond.send_response(answer, false) else { continue };
        if stream.send_data(EVENT, false).is_ok() {
            opened += 1;
            let mut held = held.borrow_mut();
            held.streams.push(stream);
            held.most_on_one = held.most_on_one.max(opened);
            held.last_opened = Some(Instant::now());
        }
    }
}

/// Waits for the streams, sends the second event, ends them.
async fn direct(held: Rc<RefCell<Held>>, wanted: Wanted) {
    while !is_complete(&held.borrow(), wanted.streams) {
        sleep(LOOK).await;
    }
    {
        let held = held.borrow();
        let (opened, connections) = (held.streams.len(), held.connections);
        println!("{{\"opened\": {opened}, \"connections\": {connections}, \"most\": {}}}", held.most_on_one);
    }
    sleep(wanted.hold).await;
    println!("{{\"second\": {}}}", send_to_all(&held, &EVENT, false).await);
    sleep(AFTER_EVENT).await;
    println!("{{\"ended\": {}}}", send_to_all(&held, &Bytes::new(), true).await);
}

fn is_complete(held: &Held, wanted: usize) -> bool {
    wanted <= held.streams.len() || held.last_opened.is_some_and(|last| QUIET < last.elapsed())
}

/// How many took it. A stream that the client reset or whose connection is gone takes nothing.
async fn send_to_all(held: &Rc<RefCell<Held>>, data: &Bytes, end: bool) -> usize {
    let mut streams = std::mem::take(&mut held.borrow_mut().streams);
    let mut alive = Streams::with_capacity(streams.len());
    for (number, mut stream) in streams.drain(..).enumerate() {
        if stream.send_data(data.clone(), end).is_ok() {
            alive.push(stream);
        }
        if number % TURN == 0 {
            // the connections write, and see who has gone
            tokio::task::yield_now().await;
        }
    }
    let taken = alive.len();
    held.borrow_mut().streams = alive;
    taken
}

const EVENT: Bytes = Bytes::from_static(b"data: {\"tick\": 1}\n\n");
const STREAMS_PER_CONNECTION: u32 = 2000;
/// Streams that are written to before the connections get their turn.
const TURN: usize = 500;
const LOOK: Duration = Duration::from_millis(50);
/// As long as no stream came: there will be no more.
const QUIET: Duration = Duration::from_secs(15);
/// From the second event to the end of all streams.
const AFTER_EVENT: Duration = Duration::from_secs(10);
